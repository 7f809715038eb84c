"""`larder stats`, `get`, `set`, `delete`, `keys` and `top`, against Larder, memcached, and servers that answer badly."""

import os
import random
import re
import socket
import subprocess
import threading
import time

import pytest

from server import Connection, binary, cannot_test, free_port, poll

pytestmark = pytest.mark.larder_only

MEMCACHED = "/usr/bin/memcached"
TEXTS = [b"plain", b"with blank", b"\ttab", "gr\u00fc\u00dfe".encode(), b"100%25", b"a=b&c"]


class Memcached:
    """A memcached, over TCP or a Unix socket. `place` has the options that lead to it."""

    def __init__(self, directory, unix=False):
        self.address = str(directory / "memcached") if unix else ("127.0.0.1", free_port())
        self.place = ["-s", self.address] if unix else ["-p", self.address[1]]
        own = ["-s", self.address] if unix else ["-l", "127.0.0.1", "-p", str(self.address[1])]
        self.process = subprocess.Popen(
            [MEMCACHED, "-u", "root", "-U", "0", "-t", "1", *own], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        poll(self.is_there, "memcached accepts", 20)

    def is_there(self):
        assert self.process.poll() is None, "memcached has ended"
        try:
            Connection(self.address).close()
        except OSError:
            return False
        return True

    def connect(self):
        return Connection(self.address)

    def stop(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture(params=["larder", "larder-unix", "larder-tls", "memcached", "memcached-unix"])
def place(request, start_server, tmp_path, certificates):
    """A server, and the options that lead to it."""
    kind, _, way = request.param.partition("-")
    if kind == "memcached":
        if not os.access(MEMCACHED, os.X_OK):
            cannot_test(f"there is no {MEMCACHED}")
        memcached = Memcached(tmp_path, unix=way == "unix")
        yield memcached, memcached.place
        memcached.stop()
    elif way == "unix":
        server = start_server(unix=True, threads=2)
        yield server, ["-s", server.socket_path]
    elif way == "tls":
        server = start_server(*certificates.server_options(), threads=2, tls=certificates.context())
        yield server, ["-Z", "-l", "127.0.0.1", "-p", server.port]
    else:
        server = start_server(threads=2)
        yield server, ["-p", server.port]


def larder(*arguments, given=b""):
    return subprocess.run(
        [binary(), *(word if isinstance(word, bytes) else str(word) for word in arguments)], input=given,
        capture_output=True, timeout=30, check=False)


def told(done, code=0):
    """Standard output of a run that ended so, and had nothing to say on standard error if all is well."""
    assert done.returncode == code, done
    assert (done.stderr == b"") == (code in (0, 2)), done
    return done.stdout


class TestItems:
    def test_values_are_byte_exact(self, place):
        server, options = place
        seed = random.randrange(1 << 32)
        print("seed", seed)
        values = [b"", b"value", b"no end\r\nEND\r\n", bytes(range(256)), random.Random(seed).randbytes(700_000)]
        for key in TEXTS:
            for value in values:
                assert told(larder("set", *options, key, given=value)) == b""
                assert told(larder("get", *options, key)) == value
        with server.connect() as connection:
            assert connection.get(b"plain") == values[-1]

    def test_a_value_in_the_command_line(self, place):
        _, options = place
        assert told(larder("set", "key", "a value", *options)) == b""
        assert told(larder("get", *options, "key")) == b"a value"
        assert told(larder("set", *options, "--", "key", "-5")) == b""
        assert told(larder("get", *options, "key")) == b"-5"
        assert told(larder("set", *options, "key", "-", given=b"read\n")) == b""
        assert told(larder("get", *options, "key")) == b"read\n"
        assert told(larder("set", *options, "key", "")) == b""
        assert told(larder("get", *options, "key")) == b""

    def test_a_missing_key_has_its_exit_code(self, place):
        _, options = place
        for key in TEXTS:
            assert told(larder("get", *options, key), 2) == b""
            assert told(larder("delete", *options, key), 2) == b""
            told(larder("set", *options, key, "value"))
            assert told(larder("delete", *options, key)) == b""
            assert told(larder("get", *options, key), 2) == b""

    def test_a_refused_value(self, place):
        _, options = place
        done = larder("set", *options, "key", given=bytes(3_000_000))
        assert told(done, 1) == b""
        assert done.stderr == b"larder set: it answered: SERVER_ERROR object too large for cache\n"

    def test_output_that_cannot_be_written(self, place):
        _, options = place
        told(larder("set", *options, "key", "value"))
        with open("/dev/full", "wb") as full:
            done = subprocess.run(
                [binary(), "get", *map(str, options), "key"], stdout=full, stderr=subprocess.PIPE, timeout=30, check=False)
        assert done.returncode == 1 and b"No space left" in done.stderr


class TestStats:
    def test_lists(self, place):
        server, options = place
        told(larder("set", *options, "key", "value"))
        general = dict(line.split(" ", 1) for line in told(larder("stats", *options)).decode().splitlines())
        with server.connect() as connection:
            assert set(general) == set(connection.stats())
        assert general["curr_items"] == "1" and general["cmd_set"] == "1"
        settings = told(larder("stats", "settings", *options)).decode().splitlines()
        assert "maxbytes 67108864" in settings
        assert re.search(rb"^items:\d+:number 1$", told(larder("stats", *options, "items")), re.M)
        assert told(larder("stats", *options, "reset")) == b"RESET\n"

    def test_prefixes(self, place):
        _, options = place
        assert told(larder("stats", *options, "detail", "on")) == b"OK\n"
        told(larder("set", *options, "user:1", "value"))
        assert b"PREFIX user get 0 hit 0 set 1 del 0\n" in told(larder("stats", *options, "detail", "dump"))

    def test_an_unknown_list(self, place):
        _, options = place
        done = larder("stats", *options, "nonsense")
        assert done.returncode == 1 and done.stdout == b"" and b"it answered: ERROR" in done.stderr


class TestKeys:
    def test_all_and_by_prefix(self, place):
        server, options = place
        with server.connect() as connection:
            for number in range(3000):
                assert connection.set(b"user:%d" % number, b"x") == b"STORED"
        for key in TEXTS:
            told(larder("set", *options, key, "value"))
        keys = told(larder("keys", *options)).split(b"\n")
        assert keys.pop() == b"" and len(keys) == 3000 + len(TEXTS)
        expected = {b"user:%d" % number for number in range(3000)} | {*TEXTS} - {b"\ttab"} | {b"%09tab"}
        assert set(keys) == expected
        exact = told(larder("keys", "-0", *options)).split(b"\0")
        assert {*exact} - {b""} == {b"user:%d" % number for number in range(3000)} | {*TEXTS}
        some = told(larder("keys", *options, "user:29")).split()
        assert set(some) == {key for key in expected if key.startswith(b"user:29")}
        assert told(larder("keys", *options, "none:")) == b""
        assert told(larder("keys", *options, "with b")) == b"with blank\n"

    def test_a_limit(self, place):
        server, options = place
        with server.connect() as connection:
            for number in range(3000):
                assert connection.set(b"key-%d" % number, b"x") == b"STORED"
        assert len(set(told(larder("keys", *options, "--limit", 7)).split())) == 7
        assert len(told(larder("keys", *options, "--limit=7", "key-1")).split()) == 7
        assert told(larder("keys", *options, "--limit=0")) == b""

    def test_two_lists_at_a_time(self, place):
        """memcached makes one list at a time, and is busy for the second client."""
        server, options = place
        with server.connect() as connection:
            for number in range(20_000):
                connection.send(b"set key-%d 0 0 1 noreply\r\nx\r\n" % number)
            assert connection.set(b"last", b"x") == b"STORED"
        answers = []
        threads = [threading.Thread(target=lambda: answers.append(larder("keys", *options))) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [len(told(answer).split()) for answer in answers] == [20_001] * 3

    def test_a_memcached_without_a_walk_of_the_hash_table(self):
        """Before 1.6.9 it takes `hash` for the number of a class. One that refuses both is asked no third time."""
        for last, expected in [(b"key=a%20b exp=-1\r\nEND\r\n", (0, b"a b\n")), (b"BADCLASS invalid\r\n", (1, b""))]:
            answers = {b"lru_crawler metadump hash": b"BADCLASS invalid class id\r\n", b"lru_crawler metadump all": last}
            asked = []
            with socket.create_server(("127.0.0.1", 0)) as listener:

                def serve():
                    client, _ = listener.accept()
                    with client, client.makefile("rb") as lines:
                        for line in lines:
                            asked.append(line.rstrip())
                            client.sendall(answers.get(asked[-1], b"ERROR\r\n"))

                thread = threading.Thread(target=serve)
                thread.start()
                done = larder("keys", "-p", listener.getsockname()[1])
                thread.join()
            assert (done.returncode, done.stdout) == expected, done
            assert asked[1:] == list(answers)

    def test_not_allowed(self, start_server):
        server = start_server("-X")
        done = larder("keys", "-p", server.port)
        assert done.returncode == 1 and done.stdout == b"" and b"not allowed" in done.stderr


def rows(table):
    return {title.strip(): value for title, value in re.findall(r"^  (.*?)  +(\S+)$", table, re.M)}


def test_the_environment_names_the_server(start_server, tmp_path):
    server = start_server()
    with server.connect() as connection:
        connection.set(b"key", b"value")
    file = tmp_path / "larder.conf"
    file.write_text(f"port {server.port}\n")
    for variables in [{"LARDER_PORT": str(server.port)}, {"LARDER_CONFIG": str(file)}]:
        done = subprocess.run([binary(), "get", "key"], env=dict(os.environ, **variables), capture_output=True, timeout=20)
        assert (done.returncode, done.stdout) == (0, b"value"), done


class TestTop:
    def test_one_table(self, place):
        server, options = place
        ended = threading.Event()

        def load():
            with server.connect() as connection:
                connection.set(b"key", b"value")
                while not ended.is_set():
                    connection.get_many([b"key", b"key", b"key", b"none"])

        thread = threading.Thread(target=load)
        thread.start()
        try:
            table = told(larder("top", "--once", *options)).decode()
        finally:
            ended.set()
            thread.join()
        assert "\x1b" not in table
        figures = rows(table)
        assert int(figures["gets"]) > 0 and figures["hit ratio, %"] in {"74.9", "75.0", "75.1"}
        assert figures["limit, bytes"] == "67108864" and figures["items"] == "1" and int(figures["connections"]) >= 2
        assert "  version 1." in table

    def test_in_place_on_a_terminal(self, start_server):
        server = start_server()
        leader, follower = os.openpty()
        process = subprocess.Popen(
            [binary(), "top", "-p", str(server.port)], stdin=subprocess.DEVNULL, stdout=follower, stderr=subprocess.PIPE)
        os.close(follower)
        shown = b""
        try:
            while shown.count(b"\x1b[H\x1b[J") < 2:
                shown += os.read(leader, 1 << 16)
            server.kill()
            assert process.wait(20) == 1
            assert b"larder top: " in process.stderr.read()
        finally:
            process.kill()
            process.wait()
            process.stderr.close()
            os.close(leader)


class Answering:
    """A listener that gives each client some bytes, whatever it was asked, and closes unless it is to stall."""

    def __init__(self, answer, stalls=False):
        self.answer, self.stalls = answer, stalls
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def _serve(self):
        while True:
            client, _ = self.listener.accept()
            with client:
                if client.recv(1 << 16) == b"stop":
                    return
                try:
                    client.sendall(self.answer)
                    while self.stalls and client.recv(1 << 16):
                        pass
                except OSError:
                    pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with socket.create_connection(("127.0.0.1", self.port)) as last:
            last.sendall(b"stop")
            self.thread.join()
        self.listener.close()


COMMANDS = [["stats"], ["get", "key"], ["get", "a key"], ["set", "key", "value"], ["set", "a key", "value"],
            ["delete", "key"], ["delete", "a key"], ["keys"], ["top", "--once"]]


@pytest.fixture(params=COMMANDS, ids=" ".join)
def command(request):
    return request.param


class TestBadServers:
    def fails(self, command, port, *options):
        done = larder(*command, *options, "-p", port)
        assert done.returncode == 1, done
        assert done.stderr.startswith(f"larder {command[0]}: ".encode()) and done.stderr.count(b"\n") == 1, done
        return done.stderr

    def test_nobody_there(self, command):
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            assert b"refused" in self.fails(command, unused.getsockname()[1])

    def test_a_server_that_stalls(self, command):
        for answer in [b"", b"STAT a", b"VALUE key 0 100\r\nabc", b"key=a"]:
            with Answering(answer, stalls=True) as server:
                started = time.monotonic()
                error = self.fails(command, server.port, "-t", "0.3")
                assert time.monotonic() - started < 10
                assert b"in time" in error or b"it answered" in error

    def test_a_server_that_closes(self, command):
        for answer in [b"", b"VALUE key 0 5\r\nval", b"STAT a", b"key=a exp"]:
            with Answering(answer) as server:
                self.fails(command, server.port)

    GARBAGE = [
        b"\r\n", b"\n", b" \r\n", b"\0\r\n", b"VALUE\r\n", b"VALUE key 0 -1\r\n", b"VALUE key 0 99999999999999999999\r\n",
        b"VALUE key 0 9223372036854775807\r\n", b"VALUE key 0 +3\r\nabc\r\nEND\r\n", b"VALUE key 0 1 \r\nabcdef\r\nEND\r\n",
        b"VALUE other 0 1\r\na\r\nEND\r\n", b"VALUE key 0 1\r\na\r\nENDE\r\n", b"VA\r\n", b"VA -1\r\n", b"VA 1x\r\na\r\n",
        b"VA 9223372036854775808\r\n", b"HDX\r\n", b"key=%\r\n", b"key=%f\r\nkey=%zz exp\r\n", b"STAT\r\n", b"STATE a b\r\n",
        b"\xff\xfe\x80" * 100 + b"\r\n", b"x" * 200_000, b"SERVER_ERROR \x1b[2J\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x81\x0b" + bytes(22), b"STAT cmd_get 9223372036854775807\r\nSTAT get_hits -9223372036854775808\r\nEN\r\n"]

    def test_garbage_is_refused(self, command):
        for garbage in self.GARBAGE:
            with Answering(garbage) as server:
                assert b"\x1b" not in self.fails(command, server.port)

    def test_random_bytes(self):
        """Lines of parts that answers have, in any order. No command may trap, which is a negative exit code."""
        seed = random.randrange(1 << 32)
        print("seed", seed)
        chosen = random.Random(seed)
        parts = [b"STAT ", b"VALUE ", b"VA ", b"key=", b"END", b"EN", b"OK", b"BUSY", b" ", b"\r\n", b"\n", b"\r", b"%", b"key",
                 b"9223372036854775807", b"-1", b"0", b"1", b"\0", b"\xff", b"get_hits ", b"uptime ", b"limit_maxbytes "]
        for _ in range(60):
            answer = b"".join(chosen.choices(parts, k=chosen.randrange(1, 30)))
            with Answering(answer) as server:
                done = larder(*chosen.choice(COMMANDS), "-t", "0.3", "-p", server.port)
                assert done.returncode in (0, 1, 2), (answer, done)

    def test_numbers_at_their_limits(self):
        sample = b"".join(b"STAT %b %b\r\n" % (name, value) for name, value in [
            (b"get_hits", b"9223372036854775807"), (b"get_misses", b"9223372036854775807"), (b"uptime", b"-5"),
            (b"bytes", b"-9223372036854775808"), (b"limit_maxbytes", b"1"), (b"curr_items", b"x"),
            (b"version", b"\x1b[2J")]) + b"END\r\n"
        with Answering(sample * 2, stalls=True) as server:
            table = told(larder("top", "--once", "-p", server.port)).decode()
        assert "\x1b" not in table and rows(table)["items"] == "-"

    def test_a_port_without_tls(self, start_server, command):
        server = start_server()
        self.fails(command, server.port, "-Z")

    def test_a_server_that_wants_a_login(self, start_server, command, tmp_path):
        users = tmp_path / "users"
        users.write_text("user:word\n")
        server = start_server("-Y", users, login=(b"user", b"word"))
        # A set is an attempt to log in.
        reason = b"bad authentication token format" if command == ["set", "key", "value"] else b"unauthenticated"
        assert reason in self.fails(command, server.port)


class TestCommandLine:
    @pytest.mark.parametrize("arguments, reason", [
        (["get"], "one key"), (["get", "a", "b"], "one key"), (["set"], "a key"), (["delete"], "one key"),
        (["keys", "a", "b"], "one prefix"), (["top", "a"], "options only"), (["get", ""], "1 to 250 bytes"),
        (["get", "x" * 251], "1 to 250 bytes, not 251"), (["get", "x " * 94], "1 to 186 bytes, not 188"),
        (["keys", "--limit", "x"], "a number of keys"), (["stats", "a\nflush_all"], "control characters"),
        (["get", b"\xff"], "not UTF-8"), (["set", "key", b"\xff"], "not UTF-8")])
    def test_wrong_words(self, arguments, reason):
        done = larder(*arguments)
        assert done.returncode == 64 and done.stdout == b"" and reason in done.stderr.decode()

    def test_options_of_others(self):
        assert larder("get", "--limit", 1, "key").returncode == 1
        assert larder("keys", "--once").returncode == 1

    def test_the_longest_keys(self, place):
        _, options = place
        for key in ["x" * 250, "x " * 93]:
            told(larder("set", *options, key, "value"))
            assert told(larder("get", *options, key)) == b"value"

    def test_a_reader_that_goes_away(self, start_server):
        server = start_server()
        with server.connect() as connection:
            for number in range(30_000):
                connection.send(b"set key-%d 0 0 1 noreply\r\nx\r\n" % number)
            assert connection.set(b"last", b"x") == b"STORED"
        listing = subprocess.Popen(
            [binary(), "keys", "-p", str(server.port)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE)
        listing.stdout.readline()
        listing.stdout.close()
        assert listing.wait(20) in (0, 1)
        listing.stderr.close()
