"""Clients that speak another protocol to memcached's port: closed, counted and logged."""

import ssl
import urllib.error
import urllib.request

import pytest

from server import Connection, poll
from uwsgi_client import UwsgiClient

PROXY_2 = b"\r\n\r\n\0\r\nQUIT\n!\x11\0\x0c\x7f\0\0\x01\x7f\0\0\x01\xdc\x04\x2b\xcb"
SHORT_LINE = b"CLIENT_ERROR bad command line format\r\n"
FOREIGN = {
    "uwsgi": b"o\x1e\0\x11\x03\0cmd", "http": b"HEAD / HTTP/1.1\r\n\r\n", "tls": b"\x16\x03\x01\x02\0\x01\0",
    "redis": b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", "ssh": b"SSH-2.0-x\r\n", "proxy": PROXY_2,
}


def counts(server):
    return {name.removeprefix("foreign_"): int(value)
            for name, value in server.stats("larder").items() if name.startswith("foreign_")}


def test_a_uwsgi_value_is_no_command(start_server, tmp_path):
    server = start_server()
    with server.connect() as connection:
        assert connection.set(b"k", b"v") == b"STORED"
    client = UwsgiClient(tmp_path)
    try:
        for value in [b"a\r\nflush_all\r\n", b"\r\nflush_all\r\n" * 1000]:
            for key in [b"k", b"x\nflush_all\r\n", b"y" * 5, b"y" * 2490]:
                assert client.update(key, value, 0, f"x@127.0.0.1:{server.port}") is None
                assert client.get(key, f"x@127.0.0.1:{server.port}") is None
    finally:
        client.stop()
    with server.connect() as connection:
        assert connection.get(b"k") == b"v"
    assert counts(server)["uwsgi"] == 16


@pytest.mark.parametrize("kind", FOREIGN)
def test_closed_without_a_word(start_server, kind):
    server = start_server()
    with server.connect() as connection:
        connection.send(FOREIGN[kind])
        # A PROXY header of version 2 begins with two empty lines.
        assert connection.read_until_closed() == (SHORT_LINE * 2 if kind == "proxy" else b"")
    assert counts(server) == {each: int(each == kind) for each in FOREIGN}


@pytest.mark.parametrize("shape", ["ascii", "binary"])
def test_on_a_listener_of_one_protocol(start_server, shape):
    server = start_server("-B", shape, binary_only=shape == "binary")
    for first_bytes in FOREIGN.values():
        with server.connect() as connection:
            connection.send(first_bytes)
            assert connection.read_until_closed() in (b"", SHORT_LINE * 2)
    server.assert_alive()


def test_real_clients(tcp_server):
    for _ in range(3):
        with pytest.raises((urllib.error.URLError, ConnectionError)):
            urllib.request.urlopen(f"http://127.0.0.1:{tcp_server.port}/", timeout=5)
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with pytest.raises((ssl.SSLError, ConnectionError, EOFError)):
        Connection(tcp_server.address, tls=context)
    found = counts(tcp_server)
    assert found["http"] == 3 and found["tls"] == 1
    poll(lambda: "3 closed, as they spoke HTTP" in tcp_server.stderr, lambda: tcp_server.stderr)
    assert tcp_server.stderr.count("larder: clients:") <= 2


def test_first_commands_byte_by_byte(tcp_server):
    commands = {
        b"get k\r\n": b"END\r\n", b"gets k\r\n": b"END\r\n", b"gat 0 k\r\n": b"END\r\n", b"mn\r\n": b"MN\r\n",
        b"set k 0 0 1\r\nv\r\n": b"STORED\r\n", b"delete k\r\n": b"DELETED\r\n", b"\r\n": SHORT_LINE,
        b"\n": SHORT_LINE, b"GET k\r\n": b"ERROR\r\n", b"S\r\n": SHORT_LINE, b"*\r\n": SHORT_LINE,
        b"\x80\x0a" + bytes(22): b"\x81\x0a" + bytes(22),
    }
    for command, answer in commands.items():
        with tcp_server.connect() as connection:
            for place in range(len(command)):
                connection.send(command[place:place + 1])
            assert connection.read_exactly(len(answer)) == answer, command
    assert not any(counts(tcp_server).values())
