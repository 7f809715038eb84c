"""The log under -vv: no client waits for its reader, and bytes of clients cannot make a line of their own."""

import fcntl
import json
import os
import re
import signal
import socket
import subprocess

import pytest

from binary_protocol import GET, GETK, NOT_FOUND, BinaryConnection, packet
from server import Connection, binary, free_port, poll

F_SETPIPE_SZ = 1031


class Pipe:
    """A server whose standard error is a pipe that is not read before `read`."""

    def __init__(self, *arguments):
        self.end, other = os.pipe()
        fcntl.fcntl(other, F_SETPIPE_SZ, 4096)
        self.port = free_port()
        self.process = subprocess.Popen(
            [binary(), "-l", "127.0.0.1", "-p", str(self.port), "-t", "2", *arguments], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=other)
        os.close(other)
        poll(self._accepts, "the server accepts", 20)

    def _accepts(self):
        try:
            self.connect().close()
            return True
        except ConnectionRefusedError:
            return False

    def connect(self):
        return Connection(("127.0.0.1", self.port), timeout=10)

    def read(self):
        """Reads until the end of the pipe."""
        text = b""
        while chunk := os.read(self.end, 1 << 16):
            text += chunk
        return text

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(15)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.end)


def say_much(connection, kilobytes):
    """Causes at least so many kilobytes of log lines: each key has 250 bytes and is logged twice."""
    for start in range(0, kilobytes * 2, 64):
        keys = [b"%06d" % (start + index) + b"k" * 244 for index in range(64)]
        connection.send(b"".join(b"get %b\r\n" % key for key in keys))
        for _ in keys:
            assert connection.read_values() == {}


def test_an_unread_log_stops_no_client():
    with Pipe() as server, server.connect() as loud:
        assert loud.ask(b"verbosity 2\r\n") == b"OK"
        say_much(loud, 1024)
        for _ in range(8):
            with server.connect() as other:
                assert other.set(b"key", b"value") == b"STORED"
                assert other.get(b"key") == b"value"
        dropped = int(loud.stats("larder")["log_lines_dropped"])
        assert dropped > 100
        assert server.stop() == 0


def test_dropped_lines_are_counted_in_the_log():
    """A line gives the number of dropped lines in their place. All other lines are there, in order."""
    with Pipe("-vv") as server:
        with server.connect() as loud:
            say_much(loud, 1024)
        process = server.process
        process.send_signal(signal.SIGTERM)
        text = server.read().decode()
        assert process.wait(15) == 0
    assert text.endswith("\n") and " serves " in text[:300]
    line = r"^larder: (\d+) log lines dropped: standard error was not read in time$"
    told = [int(match[1]) for match in re.finditer(line, text, re.M)]
    assert sum(told) > 100
    asked = [int(match[1]) for match in re.finditer(r"^<\d+ get (\d{6})k{244}$", text, re.M)]
    assert asked and asked == sorted(asked)


def test_the_last_lines_are_there_at_the_end(start_server):
    server = start_server("-vv")
    with server.connect() as connection:
        for number in range(2000):
            connection.send(b"get key%d\r\n" % number)
        for number in range(2000):
            connection.read_values()
    error = server.directory / "stderr"
    server.process.send_signal(signal.SIGTERM)
    assert server.wait() == 0
    asked = re.findall(r"^<\d+ get key(\d+)$", error.read_text(), re.M)
    assert asked == [str(number) for number in range(2000)]
    server.kill()


FORGED = b"x\nlarder: cache default has 0 items again; \x1b[31m\r\\\x7f\xc3\xa9\0"
ESCAPED = r"x\x0alarder: cache default has 0 items again; \x1b[31m\x0d\x5c\x7f\xc3\xa9\x00"


def assert_is_plain(log):
    assert re.fullmatch(rb"[\x20-\x7e\n]*", log), log


class TestForgedLines:
    def test_a_binary_key(self, start_server):
        server = start_server("-vv")
        with BinaryConnection(server.connect()) as connection:
            assert connection.ask(packet(GETK, FORGED)).status == NOT_FOUND
        poll(lambda: ESCAPED in server.stderr, "the key's line", 5)
        assert_is_plain((server.directory / "stderr").read_bytes())

    @pytest.mark.parametrize("line", [
        b"get \x1b[2J\x01\x9b\xff\\n", b"\x1b]0;title\x07", b"get a\rb", b"gets \xe2\x80\xae", b"mg \x08\x08\x08 v",
        b"delete \x7f", b"set \x1b[1m 0 0 1\r\nx"])
    def test_a_text_line(self, start_server, line):
        server = start_server("-vv")
        with server.connect() as connection:
            connection.send(line + b"\r\nget last\r\nquit\r\n")
            connection.read_until_closed()
        poll(lambda: "get last" in server.stderr, "the log")
        assert_is_plain((server.directory / "stderr").read_bytes())

    def test_a_long_line_is_cut(self, start_server):
        server = start_server("-vv")
        with server.connect() as connection:
            assert connection.get_many([b"k" * 200] * 1000) == {}
        poll(lambda: re.search(r"^<\d+ get k+ .*\.\.\. \(\d{6} bytes\)$", server.stderr, re.M), "the long line")

    def test_prefixes(self, start_server):
        server = start_server()
        with server.connect() as connection, BinaryConnection(server.connect()) as other:
            assert connection.ask(b"stats detail on\r\n") == b"OK"
            assert other.ask(packet(GET, b"a\r\nEND\r\nPREFIX b \x1b\x7f%\xff:1")).status == NOT_FOUND
            connection.send(b"stats detail dump\r\n")
            lines = [connection.read_line(), connection.read_line()]
        assert lines == [b"PREFIX a%0D%0AEND%0D%0APREFIX%20b%20%1B%7F%\xff get 1 hit 0 set 0 del 0", b"END"]


def admitted(server):
    """A connection, or None if the server refuses it."""
    client = server.connect()
    if client.ask(b"version\r\n").startswith(b"VERSION"):
        return client
    client.close()
    return None


class TestFormat:
    def objects(self, server):
        """Every line of the log as an object."""
        found = [json.loads(line) for line in server.stderr.splitlines()]
        for each in found:
            assert list(each) == ["time", "level", "message"], each
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", each["time"])
        return found

    def test_each_line_is_an_object(self, start_server):
        server = start_server("--log-format", "json", "-vv", "-f", "1.1")
        with server.connect() as connection, BinaryConnection(server.connect()) as other:
            connection.send(b'get "\\\x1b\r\n')
            assert connection.read_values() == {}
            assert other.ask(packet(GETK, FORGED)).status == NOT_FOUND
        server.process.send_signal(signal.SIGHUP)
        poll(lambda: "SIGHUP" in server.stderr, "the line about SIGHUP")
        server.process.send_signal(signal.SIGTERM)
        assert server.wait() == 0
        found = self.objects(server)
        levels = {each["message"]: each["level"] for each in found}
        assert levels["SIGHUP: there is no file to read again"] == "info"
        assert levels["-f is ignored: Larder has no slab classes, an item takes the blocks it needs."] == "warning"
        assert levels["Signal handled: Terminated."] == "info"
        (asked,) = [each for each in found if re.fullmatch(r'<\d+ get "\\x5c\\x1b', each["message"])]
        assert asked["level"] == "debug"
        server.kill()

    def test_a_start_that_fails(self):
        result = subprocess.run(
            [binary(), "--log-format=json", "-s", "/no/such/directory/socket"], capture_output=True, text=True,
            timeout=10)
        found = json.loads(result.stderr.splitlines()[-1])
        assert result.returncode == 71 and found["level"] == "error"

    def test_text_stays_the_message(self, start_server):
        server = start_server("--log-format", "text", threads=2)
        assert server.stderr.startswith("larder 0.1.0 serves tcp:")

    def test_the_settings_at_the_start(self, start_server):
        server = start_server("-m", "32", threads=2)
        poll(lambda: "larder: settings: " in server.stderr, "the line")
        line = re.search(r"^larder: settings: (.*)$", server.stderr, re.M)[1]
        assert "memory-limit 32 (command line), " in line and "threads 2 (command line)" in line

    def test_many_refusals_are_a_few_lines_with_a_count(self, start_server):
        count = 10_000
        server = start_server("--log-format", "json", "-c", "1", threads=1)
        # The connection that checked the start may still be open.
        client = poll(lambda: admitted(server), "a client is let in")
        with client:
            for _ in range(count):
                with socket.create_connection(server.address, timeout=10) as refused:
                    assert refused.recv(100) == b"ERROR Too many open connections\r\n"
        server.process.send_signal(signal.SIGTERM)
        assert server.wait() == 0
        found = self.objects(server)
        assert len(found) <= 10
        told = [re.match(r"clients: (\d+) refused, as -c 1 are connected", each["message"]) for each in found]
        assert sum(int(match[1]) for match in told if match) >= count
        server.kill()
