"""Hostile input: nothing that a client sends ends the process, starves the others, or keeps memory.

Bounds on memory, all far below what the clients ask for:

- a full server, all that is resident: 102 % of -m and 8 MB. After every attack its own memory comes back to this;
- beyond what it was when full: 20 KB for a connection that waits, in whatever state; 64 MB for all half-sent values
  together; 256 KB for a connection whose answers are not read; and 4 MB of slack for the allocator.
"""

import os
import random
import select
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from server import poll

MEGABYTE = 1 << 20
LIMIT = 64 * MEGABYTE
WORKERS = 4
CAP = int(LIMIT * 1.02) + 8 * MEGABYTE
CONNECTION_COST = 20 * 1024
HALF_SENT_COST = 64 * MEGABYTE
UNREAD_COST = 256 * 1024
SLACK = 4 * MEGABYTE

SEED = int(os.environ.get("LARDER_HOSTILE_SEED", time.time_ns() % 1_000_000))


def fill(server, total=3 * LIMIT, seed=0):
    """Sets of mixed sizes, each of which must be stored; returns the newest values, up to a quarter of -m."""
    source = random.Random(seed)
    blob = source.randbytes(MEGABYTE)
    newest, kept = [], 0
    with server.connect() as connection:
        sent, index = 0, 0
        while sent < total:
            batch = []
            for _ in range(100):
                size = int(10 * (90_000 ** source.random()))
                start = source.randrange(len(blob) - size)
                batch.append((b"fill:%d" % index, blob[start:start + size]))
                index += 1
                sent += size
                if sum(len(value) for _, value in batch) > 300_000:
                    break
            connection.send(b"".join(
                b"set %b 0 0 %d\r\n%b\r\n" % (key, len(value), value) for key, value in batch))
            for key, value in batch:
                answer = connection.read_line()
                assert answer == b"STORED", (key, len(value), answer)
            newest += batch
    result = {}
    for key, value in reversed(newest):
        kept += len(value)
        if kept > LIMIT // 4:
            break
        result[key] = value
    return result


@pytest.fixture
def full_server(start_server):
    """A server of 64 MB that is full, with room for many clients."""
    server = start_server("-m", 64, "-c", 3000, threads=WORKERS)
    fill(server)
    return server


class Memory:
    """The server's own memory against what it was at the start."""

    def __init__(self, server):
        self.server = server
        self.before = server.own_bytes()

    def assert_grown_at_most(self, allowed):
        grown = self.server.own_bytes() - self.before
        assert grown <= allowed, f"{grown / MEGABYTE:.1f} MB more, {allowed / MEGABYTE:.1f} MB allowed"

    def assert_comes_back(self):
        poll(lambda: self.server.own_bytes() <= CAP,
             lambda: f"{self.server.own_bytes() / MEGABYTE:.1f} MB come back to {CAP / MEGABYTE:.1f}",
             seconds=10, interval=0.05)


def good_sets(server, count=50, seconds_max=10.0):
    """A well-behaved client's large sets: each succeeds, together they are quick, and the values are right."""
    value = os.urandom(900_000)
    with server.connect() as connection:
        started = time.monotonic()
        for index in range(count):
            key = b"good%d" % (index % 5)
            assert connection.set(key, value[index:]) == b"STORED", index
            assert connection.get(key) == value[index:], index
        assert time.monotonic() - started < seconds_max


class TestGarbage:
    WORDS = (b"get gets gat gats set add replace append prepend cas touch delete incr decr flush_all version verbosity "
             b"quit stats mg ms md ma mn me lru_crawler lru slabs shutdown cache_memlimit misbehave "
             b"noreply items slabs sizes settings conns reset detail on off dump all metadump cachedump maps").split()
    NUMBERS = [b"0", b"1", b"-1", b"4294967295", b"4294967296", b"18446744073709551615", b"18446744073709551616",
               b"2147483647", b"2147483648", b"-2147483648", b"9" * 40, b"1e3", b"0x10", b"+1", b" ", b"", b"1.5"]

    def piece(self, source):
        """A command that is nearly right, or not at all."""
        kind = source.random()
        if kind < 0.25:
            return source.randbytes(source.randrange(1, 300))
        if kind < 0.5:
            words = [source.choice(self.WORDS)]
            for _ in range(source.randrange(8)):
                words.append(source.choice([
                    source.choice(self.WORDS), source.choice(self.NUMBERS), b"key%d" % source.randrange(5),
                    b"k" * source.randrange(1, 400), source.randbytes(source.randrange(1, 20))]))
            return source.choice([b" ", b"  ", b"\t", b"\0"]).join(words) + source.choice([b"\r\n", b"\n", b"\r", b""])
        size = source.choice([0, 1, 10, 5000])
        body = source.randbytes(size)
        told = source.choice([size, size, size, size + 1, max(0, size - 1), 2**31, -1])
        whole = bytearray(b"%b key%d %b %b %d%b\r\n%b\r\n" % (
            source.choice(self.WORDS[4:10]), source.randrange(5), source.choice(self.NUMBERS[:4]),
            source.choice(self.NUMBERS[:4]), told, source.choice([b"", b" 7", b" noreply", b" 7 noreply"]), body))
        for _ in range(source.choice([0, 0, 0, 1, 3])):
            change = source.random()
            place = source.randrange(len(whole))
            if change < 0.4:
                whole[place] = source.randrange(256)
            elif change < 0.7:
                del whole[place:place + source.randrange(1, 8)]
            else:
                whole[place:place] = source.choice([b"\r\n", b"\0", b" ", b"\x80", b"9" * 12])
            if not whole:
                break
        return bytes(whole)

    def test_nothing_ends_the_process(self, start_server):
        """3,000 connections of garbage, some read and some not, some ended well and some reset."""
        server = start_server("-c", 3000, threads=WORKERS)

        def attack(number):
            source = random.Random(f"{SEED}/{number}")
            for _ in range(375):
                connection = server.connect()
                try:
                    for _ in range(source.randrange(1, 12)):
                        connection.send(self.piece(source))
                    if source.random() < 0.5:
                        connection.socket.shutdown(socket.SHUT_WR)
                        connection.read_until_closed()
                except TimeoutError:
                    raise
                except OSError:
                    pass  # Hung up on, as garbage may be.
                finally:
                    connection.reset() if source.random() < 0.3 else connection.close()

        print(f"seed {SEED}")
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(attack, range(8)))
        server.assert_alive()
        with server.connect() as connection:
            assert connection.ask(b"flush_all\r\n") == b"OK"
            assert connection.set(b"key", b"value") == b"STORED" and connection.get(b"key") == b"value"

    @pytest.mark.parametrize("line", [
        b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n", b"POST /x HTTP/1.0\r\n\r\nset a 0 0 1\r\n1\r\n"])
    def test_browsers_are_hung_up_on(self, tcp_server, line):
        """A page that makes a browser post commands reaches nothing."""
        with tcp_server.connect() as connection:
            connection.send(line)
            connection.read_until_closed()
        with tcp_server.connect() as connection:
            assert connection.get(b"a") is None

    @pytest.mark.parametrize("opcode", [0x00, 0x01, 0x05, 0x10, 0x1c, 0x20, 0xff])
    def test_binary_requests_end_or_are_answered(self, tcp_server, opcode):
        """Also with lengths that lie: too long, and those that were negative once."""
        lengths = [(3, 0, 3), (0xffff, 0, 3), (0, 255, 8), (0, 0, 0xffffffff), (3, 8, 0x80000000)]
        for key_count, extras, total in lengths:
            with tcp_server.connect() as connection:
                connection.send(b"\x80" + bytes([opcode]) + key_count.to_bytes(2, "big") + bytes([extras, 0, 0, 0])
                                + total.to_bytes(4, "big") + bytes(12) + b"keykeykey\r\n")
                connection.socket.shutdown(socket.SHUT_WR)
                connection.read_until_closed()
        tcp_server.assert_alive()


@pytest.mark.larder_only
class TestHalfSentValues:
    """memcached reserves room for each announced value: 100 of them stop every other client's large sets."""

    def test_a_thousand_announced_values_stop_nobody(self, full_server):
        memory = Memory(full_server)
        half = [full_server.connect() for _ in range(1000)]
        for index, connection in enumerate(half):
            connection.send(b"set half%d 0 0 900000\r\nonly the beginning" % index)
        poll(lambda: int(full_server.stats()["curr_connections"]) >= 1000, "all are there")
        good_sets(full_server)
        memory.assert_grown_at_most(1000 * CONNECTION_COST + SLACK)
        for connection in half:
            connection.close()
        memory.assert_comes_back()
        full_server.assert_alive()

    def test_nor_do_values_that_are_nearly_there(self, full_server):
        memory = Memory(full_server)
        half = [full_server.connect() for _ in range(60)]
        body = bytes(850_000)

        def send(item):
            index, connection = item
            # One that is refused for lack of room, or cut off, is as good.
            try:
                connection.send(b"set half%d 0 0 900000\r\n" % index + body)
            except (ConnectionResetError, BrokenPipeError, TimeoutError):
                pass

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(send, enumerate(half)))
        good_sets(full_server)
        memory.assert_grown_at_most(HALF_SENT_COST + SLACK)
        for connection in half:
            connection.reset()
        memory.assert_comes_back()
        good_sets(full_server, count=10)

    def test_those_who_finish_after_all_are_stored(self, full_server):
        """Ten clients send 900 KB a little at a time, at the same time; every value is whole."""
        value = os.urandom(900_000)
        clients = [full_server.connect() for _ in range(10)]
        for index, client in enumerate(clients):
            client.send(b"set slow%d 0 0 %d\r\n" % (index, len(value)))
        for start in range(0, len(value), 90_000):
            for client in clients:
                client.send(value[start:start + 90_000])
        for index, client in enumerate(clients):
            assert client.ask(b"\r\n") == b"STORED"
            assert client.get(b"slow%d" % index) == value
            client.close()


class TestSlowReaders:
    def test_unread_answers_cost_little(self, full_server):
        """50 clients ask for 1 MB, 4,000 times each: 200 GB that nobody reads."""
        value = os.urandom(1_000_000)
        with full_server.connect() as connection:
            assert connection.set(b"big", value) == b"STORED"
        memory = Memory(full_server)
        readers = [full_server.connect(receive_buffer=8192) for _ in range(50)]
        for reader in readers:
            reader.socket.setblocking(False)
            send_what_fits(reader, b"get big\r\n" * 4000)
        good_sets(full_server)
        memory.assert_grown_at_most(50 * UNREAD_COST + SLACK)
        with full_server.connect() as connection:
            for _ in range(100):
                assert connection.ask(b"version\r\n").startswith(b"VERSION ")
        for reader in readers:
            reader.reset()
        memory.assert_comes_back()
        poll(lambda: int(full_server.stats()["curr_connections"]) < 10, "they are gone")

    def test_an_answer_under_way_stays_whole(self, full_server):
        """While readers crawl through a value it is replaced, deleted, evicted and flushed."""
        old = os.urandom(1_000_000)
        with full_server.connect() as connection:
            assert connection.set(b"big", old) == b"STORED"
        readers = [full_server.connect(receive_buffer=8192) for _ in range(20)]
        for reader in readers:
            reader.send(b"get big\r\n")
        for reader in readers:
            assert reader.read_line() == b"VALUE big 0 1000000"
        with full_server.connect() as connection:
            assert connection.set(b"big", bytes(1_000_000)) == b"STORED"
            assert connection.ask(b"delete big\r\n") == b"DELETED"
        fill(full_server, total=LIMIT * 3 // 2, seed=1)
        with full_server.connect() as connection:
            assert connection.ask(b"flush_all\r\n") == b"OK"
        fill(full_server, total=LIMIT // 2, seed=2)
        for reader in readers:
            assert reader.read_exactly(len(old)) == old
            assert reader.read_exactly(7) == b"\r\nEND\r\n"
            reader.close()

    def test_unread_small_answers(self, full_server):
        """Small answers are pipelined without reading: the server stops reading, not working."""
        memory = Memory(full_server)
        clients = [full_server.connect(receive_buffer=8192) for _ in range(50)]
        for client in clients:
            client.socket.setblocking(False)
            send_what_fits(client, b"version\r\nget nothing\r\nstats\r\n" * 100_000)
        good_sets(full_server, count=10)
        memory.assert_grown_at_most(50 * UNREAD_COST + SLACK)
        for client in clients:
            client.reset()
        memory.assert_comes_back()


def send_what_fits(connection, data):
    """Sends until the other side takes no more for a moment, or all is sent."""
    view = memoryview(data)
    for _ in range(200):
        try:
            view = view[connection.socket.send(view):]
        except BlockingIOError:
            select.select([], [connection.socket], [], 0.001)
        if not view:
            return


class TestLeaks:
    STATES = [
        b"", b"ge", b"get key\r\n", b"get big\r\n" * 50, b"set key 0 0 5\r\n", b"set key 0 0 5\r\nab",
        b"set key 0 0 5\r\nabcde\r", b"set key 0 0 900000\r\n" + bytes(70_000),
        b"set key 0 0 2000000\r\n" + bytes(9000), b"nonsense\r\n" * 100, b"quit\r\n", b"get " + b"k " * 900,
        b"x" * 1500, b"stats\r\nverbosity", b"\x80\x01" + b"\0" * 9]

    def test_five_thousand_visits_leave_nothing(self, full_server):
        with full_server.connect() as connection:
            connection.set(b"big", bytes(500_000))
        self.visit(full_server, 1000)
        self.assert_settles(full_server, full_server.descriptor_count())
        memory, descriptors = Memory(full_server), full_server.descriptor_count()
        self.visit(full_server, 5000)
        self.assert_settles(full_server, descriptors)
        memory.assert_grown_at_most(SLACK)
        full_server.assert_alive()

    def visit(self, server, count):
        """Connections in every state of the protocol, left with a close or a reset, up to 40 at a time."""
        source = random.Random(SEED)
        connections = []
        for index in range(count):
            connection = server.connect()
            connection.send(self.STATES[index % len(self.STATES)])
            connections.append(connection)
            if len(connections) == 40:
                for one in connections:
                    one.reset() if source.random() < 0.5 else one.close()
                connections.clear()
        for one in connections:
            one.close()

    def assert_settles(self, server, descriptors):
        with server.connect() as connection:
            first = connection.stats()
            poll(lambda: int(connection.stats()["curr_connections"]) <= 3, f"they are gone: {first}", seconds=10)
        poll(lambda: server.descriptor_count() <= descriptors, "the descriptors are closed")


class TestLongLines:
    @pytest.mark.parametrize("start", [b"", b"set ", b"x ", b" "], ids=["letters", "set", "words", "spaces"])
    def test_an_endless_line_is_hung_up_on(self, full_server, start):
        memory = Memory(full_server)
        connection = full_server.connect()
        sent = 0
        try:
            connection.send(start)
            while not connection.is_closed():
                connection.send((b" " if start == b" " else b"a") * 4096)
                sent += 4096
                assert sent < 4 * MEGABYTE, "the server still listens"
        except (ConnectionResetError, BrokenPipeError):
            pass
        connection.close()
        memory.assert_grown_at_most(SLACK)
        full_server.assert_alive()

    @pytest.mark.larder_only
    @pytest.mark.parametrize("hits", [True, False], ids=["hits", "misses"])
    def test_a_get_of_a_million_keys(self, full_server, hits):
        """One line of 2 MB; an answer of 17 MB, or a short one. (memcached 1.6.18: 1.2 GB, and a minute.)"""
        memory = Memory(full_server)
        with full_server.connect(timeout=60) as connection:
            if hits:
                assert connection.set(b"k", b"v") == b"STORED"
            expected = (b"VALUE k 0 1\r\nv\r\n" * 1_000_000 if hits else b"") + b"END\r\n"
            sender = threading.Thread(
                target=connection.send, args=(b"get " + b" ".join([b"k" if hits else b"q"] * 1_000_000) + b"\r\n",))
            sender.start()
            answer = connection.read_exactly(len(expected))
            sender.join(60)
            assert answer == expected
            assert connection.ask(b"version\r\n").startswith(b"VERSION ")
        memory.assert_grown_at_most(48 * MEGABYTE)
        full_server.assert_alive()


class TestMemoryCap:
    @pytest.mark.larder_only
    def test_an_empty_server_is_small(self, start_server):
        """The code that only the start needs does not stay resident: with it, the process has more than 10 MB."""
        server = start_server("-m", 64, threads=WORKERS)
        server.assert_alive()
        assert server.resident_bytes() <= 8 * MEGABYTE, server.resident_bytes() / MEGABYTE

    @pytest.mark.larder_only
    def test_three_times_as_much_data(self, start_server):
        """10 B to 900 KB, all accepted; the process keeps its bound; the newest 16 MB are there, and right."""
        server = start_server("-m", 64, threads=WORKERS)
        newest = fill(server, seed=SEED)
        print(f"seed {SEED}, resident {server.resident_bytes() / MEGABYTE:.1f} MB, {len(newest)} newest")
        assert server.resident_bytes() <= CAP, server.resident_bytes() / MEGABYTE
        with server.connect() as connection:
            for key, value in newest.items():
                assert connection.get(key) == value, (key, len(value))

    @pytest.mark.larder_only
    def test_sizes_shift(self, start_server):
        """Full of one size, then of another: never an error, and the newest are there at once."""
        server = start_server("-m", 64, threads=WORKERS)
        for size in [100, 900_000, 10_000, 100, 900_000]:
            count = min(300_000, 2 * LIMIT // size)
            value = os.urandom(size)
            with server.connect() as connection:
                for first in range(0, count, 1000):
                    numbers = range(first, min(count, first + 1000))
                    sender = threading.Thread(target=connection.send, args=(b"".join(
                        b"set %d:%d 0 0 %d\r\n%b\r\n" % (size, number, size, value) for number in numbers),))
                    sender.start()
                    answers = connection.read_exactly(8 * len(numbers))
                    sender.join(30)
                    assert answers == b"STORED\r\n" * len(numbers), answers.replace(b"STORED\r\n", b"")[:100]
                newest = range(count - max(1, LIMIT // 4 // (size + 100)), count)
                for first in range(newest.start, count, 20):
                    keys = [b"%d:%d" % (size, number) for number in range(first, min(count, first + 20))]
                    assert connection.get_many(keys) == dict.fromkeys(keys, value)
            assert server.resident_bytes() <= CAP, (size, server.resident_bytes() / MEGABYTE)
