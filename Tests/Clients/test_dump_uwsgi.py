"""Dumps between a Larder and a real uWSGI whose caches differ in more than their items."""

import random
import socket
import time

import pytest

from server import free_port, poll
from test_dump import SMALL, Larder
from uwsgi_client import UwsgiClient, remote

# Bytes count as signed in uWSGI's hashes, and murmur2 treats the last one to three apart.
KEYS = [bytes([byte]) for byte in range(256)] + [b"\xff" * length for length in range(2, 17)]
KEYS += [b"\0" * length for length in range(2, 17)] + [b"k\0", b"\0k", b"hello"]
HASHES = pytest.mark.parametrize("hash", ["djb33x", "murmur2"])


def value_of(key):
    return b"<" + key[::-1][:14] + b">"


@pytest.fixture
def start_uwsgi(tmp_path):
    """A function that starts a uWSGI with these caches."""
    clients = []

    def start(*caches, **options):
        directory = tmp_path / f"uwsgi-{len(clients)}"
        directory.mkdir()
        clients.append(UwsgiClient(directory, *caches, **options))
        return clients[-1]

    yield start
    for each in clients:
        each.stop()


@HASHES
@pytest.mark.parametrize("hashsize", [65_536, 131_072, 70_001])
def test_chains_and_hashes_for_uwsgi(start_server, start_uwsgi, hash, hashsize):
    """uWSGI finds each key by the chains of the dump, and its tables are whole: items come and go."""
    shape = f"items={len(KEYS) + 100},blocksize=16,keysize=16,hash={hash},hashsize={hashsize}"
    larder = Larder(start_server, shape)
    for key in KEYS:
        assert remote_store(larder, key, value_of(key))
    uwsgi = start_uwsgi(f"name=x,{shape},sync={larder.place}")
    larder.line(f"gave a dump of {len(KEYS)} items")
    present = set(KEYS)
    found = f"[uwsgi.cache_get(key, 'x') == b'<' + key[::-1][:14] + b'>' for key in {KEYS!r}]"
    assert uwsgi.evaluate(found) == [True] * len(KEYS)
    seed = random.randrange(1 << 32)
    print("seed", seed)
    gone = random.Random(seed).sample(KEYS, len(KEYS) // 2)
    assert uwsgi.evaluate(f"[uwsgi.cache_del(key, 'x') for key in {gone!r}]") == [True] * len(gone)
    present -= set(gone)
    assert uwsgi.evaluate(found) == [key in present for key in KEYS]
    assert uwsgi.evaluate(
        f"[uwsgi.cache_set(key, b'<' + key[::-1][:14] + b'>', 0, 'x') for key in {gone!r}]") == [True] * len(gone)
    assert uwsgi.evaluate(found) == [True] * len(KEYS)
    # The other slots are free.
    assert uwsgi.evaluate(
        "sum(uwsgi.cache_set('new-%d' % n, b'v', 0, 'x') is True for n in range(200))") == 99


@HASHES
def test_binary_keys_of_uwsgi(start_server, start_uwsgi, hash):
    shape = f"items={len(KEYS) + 1},blocksize=16,keysize=16,hash={hash}"
    uwsgi = start_uwsgi(f"name=x,{shape}")
    assert uwsgi.evaluate(
        f"[uwsgi.cache_set(key, b'<' + key[::-1][:14] + b'>', 0, 'x') for key in {KEYS!r}]") == [True] * len(KEYS)
    larder = Larder(start_server, f"{shape},sync=127.0.0.1:{uwsgi.socket_port}")
    larder.line(f"has {len(KEYS)} items")
    for key in KEYS:
        assert remote(port_of(larder), key, b"x") == (value_of(key), 0)


def test_another_geometry_of_uwsgi(start_server, start_uwsgi):
    uwsgi = start_uwsgi("name=x,items=9,blocksize=32,keysize=16")
    assert uwsgi.set(b"k", b"v", 0, "x") is True
    larder = Larder(start_server, f"{SMALL},sync=127.0.0.1:{uwsgi.socket_port}")
    larder.line(f"127.0.0.1:{uwsgi.socket_port}: it has items=9 and blocksize=32, this one items=8 and blocksize=16")
    assert larder.client.get(b"k") is None
    assert larder.client.set(b"k", b"own") == b"STORED"


def test_another_geometry_for_uwsgi(start_server, start_uwsgi, tmp_path):
    """uWSGI compares items and blocksize, and ends."""
    larder = Larder(start_server, SMALL)
    for shape, told in [("items=9,blocksize=16", "cache size, expected 9 received 8"),
                        ("items=8,blocksize=32", "cache block size, expected 32 received 16")]:
        with pytest.raises(AssertionError, match="uWSGI ended with 1"):
            UwsgiClient(tmp_path, f"name=x,{shape},keysize=16,sync={larder.place}")
        assert f"[cache-sync] invalid {told}" in (tmp_path / "uwsgi.log").read_text()
    larder.server.assert_alive()


def test_a_uwsgi_that_comes_later(start_server, start_uwsgi):
    port = free_port()
    larder = Larder(start_server, f"{SMALL},sync=127.0.0.1:{port}")
    larder.line(f"asks again later: 127.0.0.1:{port}: Connection refused")
    assert larder.client.set(b"own", b"v") == b"STORED"
    start_uwsgi(f"name=x,{SMALL}", socket_port=port, options=["--add-cache-item", "x k=late"])
    larder.line("has 1 items", 60)
    assert larder.client.get_many([b"k", b"own"]) == {b"k": b"late", b"own": b"v"}


def test_expired_items_and_lives(start_server, start_uwsgi):
    """Both ways in one chain: from a uWSGI to a Larder, and from that to another uWSGI."""
    first = start_uwsgi(f"name=x,{SMALL}")
    assert first.set(b"never", b"v", 0, "x") is True
    assert first.set(b"long", b"v", 5000, "x") is True
    # uWSGI keeps it until a sweep, or serves it.
    assert first.set(b"over", b"v", -1, "x") is True
    larder = Larder(start_server, f"{SMALL},sync=127.0.0.1:{first.socket_port}")
    larder.line("has 2 items")
    second = start_uwsgi(f"name=x,{SMALL},sync={larder.place}")
    assert [second.get(key, "x") for key in [b"never", b"long", b"over"]] == [b"v", b"v", None]
    expiries = [remote(port, b"long", b"x")[1] for port in [first.socket_port, port_of(larder), second.socket_port]]
    assert len(set(expiries)) == 1 and 4900 < expiries[0] - time.time() <= 5001
    assert remote(second.socket_port, b"never", b"x") == (b"v", 0)


def test_a_restart_beside_a_uwsgi(start_server, start_uwsgi):
    """A Larder that comes back serves no value older than what the uWSGI had confirmed before."""
    theirs, ours = free_port(), free_port()
    shape = "items=20001,blocksize=64,keysize=32"
    uwsgi = start_uwsgi(f"name=x,{shape},nodes=127.0.0.1:{ours},udp=127.0.0.1:{theirs}")
    fields = f"{shape},nodes=127.0.0.1:{theirs},udp=127.0.0.1:{ours},sync=127.0.0.1:{uwsgi.socket_port}"
    seed = random.randrange(1 << 32)
    print("seed", seed)
    numbers = random.Random(seed)
    keys = [b"key-%d" % number for number in range(15_000)]
    assert uwsgi.evaluate("sum(uwsgi.cache_set('key-%d' % n, b'0', 0, 'x') is True for n in range(15000))") == 15_000
    confirmed, turn = dict.fromkeys(keys, 0), 0

    def write(count):
        nonlocal turn
        changes = {key: turn + place for place, key in enumerate(numbers.sample(keys, count), 1)}
        turn += count
        pairs = [(key, b"%d" % value) for key, value in changes.items()]
        stored = f"sum(uwsgi.cache_update(key, value, 0, 'x') is True for key, value in {pairs!r})"
        assert uwsgi.evaluate(stored) == count
        confirmed.update(changes)

    def values(larder):
        found = {}
        for at in range(0, len(keys), 1000):
            found |= larder.client.get_many(keys[at:at + 1000])
        return found

    for _ in range(3):
        write(2000)
        floor = dict(confirmed)
        larder = Larder(start_server, fields, threads=2)
        while "items after" not in larder.text():
            # So few that no socket's buffer overflows.
            write(20)
            for key, value in larder.client.get_many(numbers.sample(keys, 200)).items():
                assert int(value) >= floor[key]
                # It does not go back, either.
                floor[key] = int(value)
        larder.line("has ")
        expected = {key: b"%d" % value for key, value in confirmed.items()}
        poll(lambda: values(larder) == expected, "both have the same", 20)
        # What its own client changes there, the next dump has.
        for key in numbers.sample(keys, 50):
            turn += 1
            assert larder.client.set(key, b"%d" % turn) == b"STORED"
            confirmed[key] = turn
            poll(lambda: uwsgi.get(key, "x") == b"%d" % turn, "the change arrives", 10, interval=0.001)
        larder.server.stop()


def port_of(larder):
    return int(larder.place.split(":")[1])


def remote_store(larder, key, value):
    """Stores over the uwsgi protocol, where a key may be any bytes."""
    fields = [b"cmd", b"update", b"key", key, b"size", b"%d" % len(value), b"cache", b"x"]
    body = b"".join(len(each).to_bytes(2, "little") + each for each in fields)
    with socket.create_connection(("127.0.0.1", port_of(larder)), 10) as client:
        client.sendall(b"\x6f" + len(body).to_bytes(2, "little") + b"\x11" + body + value)
        return client.recv(100).endswith(b"ok")
