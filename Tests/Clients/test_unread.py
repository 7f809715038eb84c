"""Clients that do not read their answers: their memory has one limit together, and each client has a deadline."""

import random

import pytest

from server import poll

MEGABYTE = 1 << 20
VALUE_BYTES = 900_000
# The limit in docs/memory.md: -m, 2 %, 8 MB, and 64 MB for unread answers beside one value for each worker.
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


def own_value(number, count=VALUE_BYTES):
    """A value whose bytes differ from those of every other number."""
    return random.Random(number).randbytes(count)


def same(found, expected):
    """Compares values. A failed assertion then prints `False`, and not megabytes."""
    return found == expected


@pytest.mark.parametrize("transport", ["tcp", "unix", "tls"])
def test_only_what_a_socket_does_not_take_is_copied(start_server, certificates, transport):
    """Six values are a third of the arena, and stay there. 18 more clients ask for others, which are copied."""
    size = 2_500_000
    tls = {"tls": certificates.context()} if transport == "tls" else {}
    arguments = ["-m", 48, "-I", "4m", *(certificates.server_options() if tls else [])]
    server, fresh = [
        start_server(*arguments, unix=transport == "unix", threads=1, **tls) for _ in range(2)]
    with server.connect() as connection, fresh.connect() as other:
        for number in range(15):
            assert connection.set(b"key%d" % number, own_value(number, size)) == b"STORED"
        asked = [*range(15), *range(6, 15)]
        # A TCP socket may take some megabytes, a Unix socket takes some hundred kilobytes.
        requests = 1 if transport == "unix" else 4
        clients = [unread(server, b"key%d" % number, 1, requests)[0] for number in asked]
        waits(server, len(clients))
        held = own_statistics(server)
        assert held["unread_closed"] == 0, held
        if transport == "unix":
            # Whole copies would be 2.5 MB each, and a buffer of 16 KB.
            assert held["unread_bytes"] < 18 * (size - 64_000), held
        # All values in the arena are overwritten.
        for number in range(40):
            assert connection.set(b"other%d" % number, bytes(size)) == b"STORED"
        for number, client in zip(asked, clients):
            expected = {b"key%d" % number: own_value(number, size)}
            answers = [client.read_values() for _ in range(requests)]
            assert same(answers[0], expected)
            # Those that were looked up after the sets are misses.
            found = sum(map(bool, answers))
            assert same(answers, [expected] * found + [{}] * (requests - found))
        poll(lambda: own_statistics(server)["unread_bytes"] == 0, "all is given back")
        # No pin is left: the arena holds as many values as that of a fresh server.
        for number in range(40):
            for to in connection, other:
                assert to.set(b"third%d" % number, bytes(size)) == b"STORED"
        assert server.stats()["curr_items"] == fresh.stats()["curr_items"]
    for client in clients:
        client.close()


def test_the_client_that_read_last_stays(start_server):
    """The first client reads half of its answer. Clients that read nothing are closed before it, in their order."""
    server = start_server("-m", 24, unix=True, threads=1)
    with server.connect() as connection:
        for number in range(15):
            assert connection.set(b"key%d" % number, own_value(number)) == b"STORED"
        clients = []

        def ask(count):
            for _ in range(count):
                clients.append(unread(server, b"key%d" % (len(clients) % 15), 1)[0])
                waits(server, len(clients))

        ask(40)
        assert own_statistics(server)["unread_closed"] == 0
        # More than the sockets hold, so the server has sent again.
        clients[0].received[:0] = clients[0].read_exactly(VALUE_BYTES // 2)
        while own_statistics(server)["unread_closed"] < 10:
            ask(1)
            assert len(clients) < 400
        closed = own_statistics(server)["unread_closed"]
        for number, client in enumerate(clients):
            if 1 <= number <= closed:
                assert len(client.read_until_closed()) < VALUE_BYTES
            else:
                assert same(client.read_values(), {b"key%d" % (number % 15): own_value(number % 15)})
    for client in clients:
        client.close()


def test_a_client_that_reads_is_not_closed(start_server):
    """A client that takes its answers gets all of them, among those that do not."""
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
