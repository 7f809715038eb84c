"""Large and odd things over text: the largest items, the longest lists, the longest streams, every key byte."""

import threading

import pytest

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
