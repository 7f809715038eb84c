"""Large and odd things over text: the largest items, the longest lists, the longest streams, every key byte."""

import random
import threading

import pytest

from binary_protocol import OK, SET, BinaryConnection, store
from server import poll

MEGABYTE = 1 << 20
GIGABYTE = 1 << 30


def pattern(size):
    """Bytes that a shift by anything but their period would change."""
    block = b"".join(b"%07d\n" % index for index in range(MEGABYTE // 8))
    return (block * (size // len(block) + 1))[:size]


def send_in_background(connection, *parts):
    def send():
        for part in parts:
            connection.send(part)

    thread = threading.Thread(target=send)
    thread.start()
    return thread


def receive_value(connection, key, size):
    """Reads the answer to a `get` of one key and compares it as it comes."""
    assert connection.read_line() == b"VALUE %b 0 %d" % (key, size)
    expected = pattern(MEGABYTE)
    position = 0
    while position < size:
        if not connection.received:
            connection._fill()
        taken = min(len(connection.received), size - position, MEGABYTE - position % MEGABYTE)
        start = position % MEGABYTE
        assert connection.received[:taken] == expected[start:start + taken], f"at byte {position}"
        del connection.received[:taken]
        position += taken
    assert connection.read_line() == b"" and connection.read_line() == b"END"


class TestLargestItems:
    def test_a_gibibyte(self, start_server):
        """memcached counts key and header: a value this much smaller is the largest."""
        server = start_server("-m", 2300, "-I", "1g", threads=2)
        assert server.stats("settings")["item_size_max"] == str(GIGABYTE)
        size = GIGABYTE - 59 - len(b"huge")
        with server.connect(timeout=120) as connection, server.connect() as other:
            block = pattern(MEGABYTE)
            rest = size % MEGABYTE
            for value_size, answer in [(size, b"STORED"), (size + 1, b"SERVER_ERROR object too large for cache")]:
                last = rest + value_size - size
                parts = [b"set huge 0 0 %d\r\n" % value_size] + [block] * (size // MEGABYTE)
                thread = send_in_background(connection, *parts, block[:last] + b"\r\n")
                other.set(b"small", b"value")
                assert other.get(b"small") == b"value", "others are served meanwhile"
                assert connection.read_line() == answer
                thread.join(60)
                if answer == b"STORED":
                    connection.send(b"get huge\r\n")
                    receive_value(connection, b"huge", size)
            assert connection.get(b"huge") is None, "a refused set leaves no old value"
            connection.send(b"append small 0 0 5\r\n12345\r\n")
            assert connection.read_line() == b"STORED"
        server.assert_alive()

    @pytest.mark.parametrize("megabytes", [2, 17, 100])
    def test_items_larger_than_slabs(self, start_server, megabytes):
        server = start_server("-m", 512, "-I", f"{megabytes}m", threads=2)
        size = megabytes * MEGABYTE - 200
        with server.connect(timeout=60) as connection:
            for number in range(8):
                key = b"key%d" % number
                thread = send_in_background(
                    connection, b"set %b 0 0 %d\r\n" % (key, size), pattern(size), b"\r\n")
                assert connection.read_line() == b"STORED"
                thread.join(20)
                connection.send(b"get %b\r\n" % key)
                receive_value(connection, key, size)


class TestValuesInPieces:
    """Values of several slabs, which arrive in their place in the store."""

    SIZE = 300_000

    def value(self, number):
        return pattern(self.SIZE + number)[number:]

    @pytest.mark.parametrize("threads", [1, 4])
    def test_in_every_protocol_in_any_pieces(self, start_server, threads):
        """Each of them overwrites the others' values, while others do the same."""
        server = start_server("-m", 64, threads=threads)
        seed = random.SystemRandom().randrange(1 << 31)
        print(f"seed {seed}")
        failures = []

        def client(number):
            chance = random.Random(seed + number)
            try:
                with server.connect(timeout=60) as connection, server.connect(timeout=60) as reader:
                    for round in range(30):
                        key = b"key%d-%d" % (number, chance.randrange(4))
                        value = self.value(number * 1000 + round)
                        exptime = chance.choice([0, 0, 1000])
                        data, answer = [
                            (b"set %b 5 %d %d\r\n%b\r\n" % (key, exptime, len(value), value), b"STORED\r\n"),
                            (b"ms %b %d F5 T%d\r\n%b\r\n" % (key, len(value), exptime, value), b"HD\r\n"),
                            (b"set %b 5 0 %d noreply\r\n%b\r\nmn\r\n" % (key, len(value), value), b"MN\r\n"),
                        ][chance.randrange(3)]
                        while data:
                            piece = chance.choice([1, 2, 100, 5000, 70_000, 200_000, 400_000])
                            connection.send(data[:piece])
                            data = data[piece:]
                        assert connection.read_line() + b"\r\n" == answer
                        assert reader.get(key) == value
            except BaseException as error:
                failures.append(f"client {number}: {error!r}"[:300])

        clients = [threading.Thread(target=client, args=(number,)) for number in range(4)]
        for thread in clients:
            thread.start()
        for thread in clients:
            thread.join(120)
        assert not failures
        with server.connect() as connection, server.connect() as reader:
            value = self.value(77)
            request = store(SET, b"binary", value)
            connection.send(request[:1000])
            connection.send(request[1000:])
            assert BinaryConnection(connection).read().status == OK
            assert reader.get(b"binary") == value
        assert server.stats()["evictions"] == "0"

    def test_what_is_refused_or_broken_off_keeps_nothing(self, start_server):
        server = start_server("-m", 64, threads=2)
        value = self.value(1)
        with server.connect(timeout=60) as connection:
            assert connection.set(b"key", value) == b"STORED"
            # A value that is longer than was said.
            connection.send(b"set other 0 0 %d\r\n%b12" % (len(value), value))
            assert connection.read_line() == b"CLIENT_ERROR bad data chunk"
            connection.send(b"34\r\n")
            assert connection.read_line() == b"ERROR"
            assert connection.get(b"other") is None
            for command, answer in [
                    (b"add key 0 0 %d", b"NOT_STORED"), (b"replace none 0 0 %d", b"NOT_STORED"),
                    (b"cas key 0 0 %d 999", b"EXISTS"), (b"cas none 0 0 %d 1", b"NOT_FOUND"), (b"ms key %d C999", b"EX")]:
                connection.send(command % len(value) + b"\r\n")
                connection.send(value + b"\r\n")
                assert connection.read_line() == answer, command
            assert connection.get(b"key") == value
            connection.send(b"append key 0 0 %d\r\n" % len(value))
            connection.send(value + b"\r\n")
            assert connection.read_line() == b"STORED"
            assert connection.get(b"key") == value + value
        # Clients that hang up in the middle, many at a time.
        for _ in range(10):
            stopped = [server.connect() for _ in range(40)]
            for number, connection in enumerate(stopped):
                connection.send(b"set gone%d 0 0 %d\r\n" % (number, len(value)))
                connection.send(value[:number * 7000])
            for connection in stopped:
                connection.close()
        with server.connect(timeout=60) as connection:
            poll(lambda: int(connection.stats()["curr_connections"]) <= 3, "the others are not gone")
            assert connection.get(b"gone1") is None
            # Nearly all of the memory is there for others.
            for number in range(150):
                assert connection.set(b"k%d" % number, value) == b"STORED"
            assert server.stats()["evictions"] == "0"
            assert connection.get(b"k0") == value
            # And is full at last.
            for number in range(400):
                assert connection.set(b"k%d" % number, value) == b"STORED"
            assert connection.get(b"k399") == value

    @pytest.mark.larder_only
    def test_in_the_cache_that_the_key_names(self, start_server):
        server = start_server(
            "-m", 64, "--cache", "name=a,items=20,blocksize=400000", "--cache", "name=b,items=20,blocksize=400000",
            "--key-route", threads=1)
        value = self.value(2)
        with server.connect(timeout=60) as connection, server.connect(timeout=60) as other:
            for key in [b"a/key", b"b/key", b"key"]:
                connection.send(b"set %b 0 0 %d\r\n" % (key, len(value)))
                connection.send(value[:1000])
                assert other.set(b"b/small", b"1") == b"STORED"
                connection.send(value[1000:] + b"\r\n")
                assert connection.read_line() == b"STORED"
                assert other.get(key) == value
            for key in [b"a/gone", b"b/gone", b"gone"] * 20:
                with server.connect() as stopped:
                    stopped.send(b"set %b 0 0 %d\r\n" % (key, len(value)))
                    stopped.send(value[:100_000])
            assert connection.get(b"a/key") == value and connection.get(b"a/gone") is None


class TestLongest:
    def test_a_million_keys_in_one_get(self, start_server):
        server = start_server(threads=2)
        count = 1_000_000
        with server.connect(timeout=60) as connection:
            connection.send(b"".join(b"set k%d 0 0 1 noreply\r\nv\r\n" % index for index in range(0, 100_000)))
            assert connection.ask(b"version\r\n").startswith(b"VERSION")
            line = b"get " + b" ".join(b"k%d" % index for index in range(count)) + b"\r\n"
            thread = send_in_background(connection, line)
            found = 0
            while (header := connection.read_line()) != b"END":
                assert header == b"VALUE k%d 0 1" % found
                assert connection.read_line() == b"v"
                found += 1
            thread.join(20)
            assert found == 100_000

    def test_two_gigabytes_in_one_pipeline(self, start_server):
        """2 GB go in and out of a server of 64 MB, which never holds more than it may."""
        server = start_server(threads=1)
        batch = b"".join(b"set key%d 0 0 100000\r\n%b\r\nget key%d\r\n" % (index, pattern(100_000), index)
                         for index in range(100))
        answer = sum(len(b"STORED\r\nVALUE key%d 0 100000\r\n\r\nEND\r\n" % index) + 100_000 for index in range(100))
        rounds = 100
        peak = 0
        with server.connect(timeout=60) as connection:
            thread = send_in_background(connection, *[batch] * rounds)
            left = answer * rounds
            sent = 0
            while left:
                chunk = connection.socket.recv(min(left, 1 << 20))
                assert chunk, "the server closed the connection"
                left -= len(chunk)
                sent += len(chunk)
                if sent > 50 << 20:
                    sent = 0
                    peak = max(peak, server.own_bytes())
            thread.join(20)
            assert connection.ask(b"version\r\n").startswith(b"VERSION")
        assert 0 < peak < 80 << 20


class TestKeyBytes:
    def test_every_byte_that_a_line_can_hold(self, server):
        """All but the space and the newline; a carriage return only where it does not end the line."""
        with server.connect() as connection:
            for byte in set(range(256)) - {0x20, 0x0a}:
                key = b"a" + bytes([byte]) + b"z"
                assert connection.set(key, b"%d" % byte) == b"STORED", byte
            for byte in set(range(256)) - {0x20, 0x0a}:
                key = b"a" + bytes([byte]) + b"z"
                connection.send(b"get " + key + b"\r\n")
                assert connection.read_line() == b"VALUE " + key + b" 0 %d" % len(b"%d" % byte)
                assert connection.read_line() == b"%d" % byte and connection.read_line() == b"END"
            assert connection.stats()["curr_items"] == "254"

    def test_keys_of_every_length(self, server):
        with server.connect() as connection:
            for length in range(1, 251):
                assert connection.set(b"k" * length, b"%d" % length) == b"STORED"
            for length in range(1, 251):
                assert connection.get(b"k" * length) == b"%d" % length
