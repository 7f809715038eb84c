"""Clients that do not read their answers: their memory has one limit together, and each client has a deadline."""

import pytest

from server import poll

MEGABYTE = 1 << 20
VALUE_BYTES = 900_000
# The limit in README, "Memory": -m, 2 %, 8 MB, and 64 MB for unread answers beside one value for each worker.
UNREAD_BYTES_MAX = 64 * MEGABYTE


def unread(server, key, count, requests=1, **options):
    """Clients that ask for a value and do not read it. The system buffers a part of it."""
    clients = [server.connect(receive_buffer=4096, **options) for _ in range(count)]
    for client in clients:
        client.send(b"get %b\r\n" % key * requests)
    return clients


def own_statistics(server):
    return {name: int(value) for name, value in server.stats("larder").items() if value.isdigit()}




def waits(server, count):
    """Waits until `count` clients have unread answers or were closed for them."""
    def sending():
        conns = server.stats("conns")
        waiting = sum(value == "conn_mwrite" for value in conns.values())
        return waiting + own_statistics(server).get("unread_closed", 0) >= count
    poll(sending, f"{count} answers wait", 30)


@pytest.mark.parametrize("unix", [False, True], ids=["tcp", "unix"])
def test_all_of_them_have_one_limit(start_server, unix):
    """Twenty values of 900 KB fill the store. 250 clients ask for one each, which would hold up to 225 MB."""
    server = start_server("-m", 24, unix=unix, threads=2)
    with server.connect() as connection:
        for number in range(20):
            assert connection.set(b"key%d" % number, bytes(VALUE_BYTES)) == b"STORED"
        clients = []
        for number in range(250):
            clients += unread(server, b"key%d" % (5 + number % 15), 1, requests=4)
        waits(server, 250)
        for number in range(40):
            assert connection.set(b"other%d" % number, bytes(VALUE_BYTES)) == b"STORED"
        limit = 24 * MEGABYTE * 1.02 + 8 * MEGABYTE + UNREAD_BYTES_MAX + 2 * VALUE_BYTES
        assert server.own_bytes() < limit
        held = own_statistics(server)
        assert held["unread_bytes"] < UNREAD_BYTES_MAX + 2 * VALUE_BYTES and held["unread_closed"] > 10, held
    for client in clients:
        client.close()
    poll(lambda: own_statistics(server)["unread_bytes"] == 0, "all memory is freed")
    assert own_statistics(server)["unread_closed"] < 250


def test_a_client_that_reads_is_not_closed(start_server):
    """A client that reads its answers gets all of them, even if other clients do not read."""
    server = start_server("-m", 24, threads=1)
    with server.connect(receive_buffer=4096) as reader:
        assert reader.set(b"key", bytes(VALUE_BYTES)) == b"STORED"
        clients = unread(server, b"key", 150)
        for _ in range(10):
            clients += unread(server, b"key", 10)
            assert reader.get(b"key") == bytes(VALUE_BYTES)
    for client in clients:
        client.close()


@pytest.mark.parametrize("unix", [False, True], ids=["tcp", "unix"])
def test_a_client_that_reads_nothing_for_a_minute_is_closed(start_server, unix):
    server = start_server("-o", "relaxed_privileges", unix=unix, threads=1)
    with server.connect() as connection:
        assert connection.set(b"key", bytes(VALUE_BYTES)) == b"STORED"
        clients = unread(server, b"key", 5, requests=8)
        waits(server, 5)
        before = own_statistics(server)
        assert before["unread_bytes"] > 0 and before["unread_closed"] == 0
        assert connection.ask(b"debugtime 50\r\n") == b"OK"
        reader = unread(server, b"key", 1, requests=8)[0]
        assert connection.ask(b"debugtime 15\r\n") == b"OK"
        poll(lambda: own_statistics(server)["unread_closed"] == 5, "the five are closed", 10)
        for _ in range(8):
            assert reader.read_values() == {b"key": bytes(VALUE_BYTES)}
        assert own_statistics(server)["unread_bytes"] == 0
    for client in [*clients, reader]:
        client.close()


def test_an_encrypted_client(start_server, certificates):
    server = start_server(
        "-o", "relaxed_privileges", *certificates.server_options(), tls=certificates.context(), threads=1)
    with server.connect() as connection:
        assert connection.set(b"key", bytes(VALUE_BYTES)) == b"STORED"
        clients = unread(server, b"key", 3, requests=8)
        waits(server, 3)
        assert connection.ask(b"debugtime 61\r\n") == b"OK"
        poll(lambda: own_statistics(server)["unread_closed"] == 3, "the three are closed", 10)
    for client in clients:
        client.close()
