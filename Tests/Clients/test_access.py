"""Users and passwords: `-Y`, with real clients and over a real socket. What is answered to what, at every split of
the input, is in `Tests/Conversations/access.conversation`."""

import re
import signal
import struct

import pytest

from server import poll, run

USERS = "foo:bar\nreader:a longer secret\n"


@pytest.fixture
def user_file(tmp_path):
    path = tmp_path / "users"
    path.write_text(USERS)
    return path


def login(connection, name, password):
    return connection.set(b"whatever", b"%b %b" % (name, password))


def test_nobody_is_served_before_the_password(start_server, user_file):
    server = start_server("-Y", user_file, login=(b"foo", b"bar"))
    with server.connect() as friend, server.connect(login=None) as stranger:
        assert friend.set(b"k", b"secret") == b"STORED"
        for line in (b"get k", b"gets k", b"mg k v", b"stats", b"version", b"delete k", b"flush_all", b"watch",
                     b"lru_crawler metadump all", b"set k 0 0", b"incr k 1", b"verbosity 2", b"shutdown"):
            assert stranger.ask(line + b"\r\n") == b"CLIENT_ERROR unauthenticated"
        assert login(stranger, b"foo", b"baz") == b"CLIENT_ERROR authentication failure"
        assert stranger.ask(b"get k\r\n") == b"CLIENT_ERROR unauthenticated"
        assert login(stranger, b"reader", b"a longer secret") == b"STORED"
        assert stranger.get(b"k") == b"secret"
        stats = friend.stats()
        # Two logged in (and one more when the server was found to be up), one did not.
        assert (stats["auth_cmds"], stats["auth_errors"]) == ("4", "1")
        assert friend.stats("settings")["auth_enabled_ascii"] == str(user_file)


def test_binary_is_not_a_way_around(start_server, user_file):
    server = start_server("-Y", user_file, login=(b"foo", b"bar"))
    with server.connect() as friend:
        friend.set(b"k", b"secret")
    with server.connect(login=None) as stranger:
        stranger.send(b"\x80\x00\x00\x01" + bytes(3) + b"\0" + b"\0\0\0\x01" + bytes(12) + b"k" + b"\r\n")
        stranger.socket.shutdown(1)
        assert b"secret" not in stranger.read_until_closed()


def test_the_file_is_read_again_on_hangup(start_server, user_file):
    server = start_server("-Y", user_file, login=(b"foo", b"bar"))

    def accepts(name, password):
        with server.connect(login=None) as connection:
            return login(connection, name, password) == b"STORED"

    with server.connect() as old:
        user_file.write_text("foo:new\n")
        server.process.send_signal(signal.SIGHUP)
        poll(lambda: accepts(b"foo", b"new"), "the new password works")
        assert not accepts(b"foo", b"bar") and not accepts(b"reader", b"a longer secret")
        # Who is logged in stays so.
        assert old.set(b"k", b"v") == b"STORED"
        for wrong in ("nonsense\n", "foo:x\n\nfoo:y\n"):
            user_file.write_text(wrong)
            lines = server.stderr.count("\n")
            server.process.send_signal(signal.SIGHUP)
            poll(lambda: server.stderr.count("\n") > lines, "a line about the wrong file")
            assert server.stderr.count("\n") == lines + 1
            assert re.search(r"malformed entry.*stay as they were\.\n$", server.stderr)
            assert accepts(b"foo", b"new") and not accepts(b"foo", b"x")
        user_file.unlink()
        server.process.send_signal(signal.SIGHUP)
        poll(lambda: "No such file" in server.stderr, "a line about the missing file")
        assert accepts(b"foo", b"new")


def test_hangup_without_a_file_of_users(start_server):
    server = start_server()
    server.process.send_signal(signal.SIGHUP)
    server.assert_alive()


@pytest.mark.parametrize("contents", ["nonsense", "\n", "foo:bar\n\n", "x" * 1000, "foo:" + "b" * 5000])
def test_a_wrong_file_is_refused(tmp_path, contents):
    path = tmp_path / "users"
    path.write_text(contents)
    result = run("-Y", path, "-p", "-1")
    assert result.returncode == 1
    assert result.stderr == f"Authfile [{path}] has a malformed entry. Should be 'user:password'\n"


def test_a_missing_file_is_refused(tmp_path):
    result = run("-Y", tmp_path / "none", "-p", "-1")
    assert (result.returncode, result.stderr) == (
        1, f"Could not open authfile [{tmp_path}/none] for reading, error No such file or directory\n")


def test_strangers_get_no_memory_for_what_they_announce(start_server, user_file):
    """200 strangers who announce 4 GB each, and 200 who send half a login."""
    server = start_server("-Y", user_file, login=(b"foo", b"bar"))
    before = server.own_bytes()
    strangers = [server.connect(login=None) for _ in range(400)]
    for stranger in strangers[:200]:
        assert stranger.ask(b"set a 0 0 4294967295\r\n") == b"CLIENT_ERROR auth token too long"
        assert stranger.read_until_closed() == b""
    for stranger in strangers[200:]:
        stranger.send(b"set a 0 0 16000\r\n" + b"x" * 8000)
    with server.connect() as friend:
        assert friend.set(b"k", b"v") == b"STORED"
        assert server.own_bytes() - before < 200 * (20 << 10) + (4 << 20)
    for stranger in strangers:
        stranger.close()


def test_a_stranger_may_say_no_more_than_16_kilobytes(start_server, user_file):
    """Requests that are no login are answered at once, up to 16 KB. Failed logins are delayed, so the time limit ends
    them first."""
    server = start_server("-Y", user_file, "-o", "login_timeout=2", login=(b"foo", b"bar"))
    with server.connect(login=None) as stranger:
        stranger.send(b"version\r\n" * 2000)
        answers = stranger.read_until_closed()
        assert answers.count(b"CLIENT_ERROR unauthenticated\r\n") == 16384 // 9
    with server.connect(login=None) as stranger:
        stranger.send(b"set a 0 0 7\r\nfoo baz\r\n" * 2000)
        answer = stranger.read_until_closed()
    attempts = answer.count(b"CLIENT_ERROR authentication failure\r\n")
    assert 0 < attempts <= 16384 // 22
    server.assert_alive()


class TestPing:
    """`larder ping` where something is asked for first."""

    def ping(self, server, *options):
        return run("ping", "-p", server.port, "-l", "127.0.0.1", "-v", "-t", "5", *options)

    def test_a_password(self, start_server, user_file):
        result = self.ping(start_server("-Y", user_file, login=(b"foo", b"bar")))
        assert (result.returncode, result.stdout) == (0, "CLIENT_ERROR unauthenticated\n")

    @pytest.mark.parametrize("options", [["-B", "binary"], ["-S", "-Y", "FILE"]])
    def test_binary_only(self, start_server, user_file, options):
        options = [user_file if option == "FILE" else option for option in options]
        server = start_server(*options, binary_only=True)
        result = self.ping(server, "-B", "binary")
        assert (result.returncode, result.stdout[:12]) == (0, "VERSION 1.6."), result

    def test_tls(self, start_server, certificates):
        server = start_server(*certificates.server_options(), tls=certificates.context())
        result = self.ping(server, "-Z")
        assert (result.returncode, result.stdout[:12]) == (0, "VERSION 1.6."), result
        assert self.ping(server).returncode == 1
        result = self.ping(start_server(), "-Z")
        assert result.returncode == 1 and "is this a TLS port?" in result.stderr


def sasl_packet(opcode, key=b"", body=b"", stated=None):
    length = len(key) + len(body) if stated is None else stated
    return struct.pack(">BBHBBHIIQ", 0x80, opcode, len(key), 0, 0, 0, length, 0, 0) + key + body


class TestAdvisories:
    """What went wrong with memcached's passwords once: each as an input. See also `test_udp.py` for SASL over UDP,
    and `Tests/LarderServerTests/UserTableTests.swift` for files of users and for the comparison."""

    @pytest.fixture
    def sasl_server(self, start_server, user_file):
        return start_server("-S", "-Y", user_file, binary_only=True)

    @staticmethod
    def status(connection):
        header = connection.read_exactly(24)
        connection.read_exactly(int.from_bytes(header[8:12], "big"))
        return int.from_bytes(header[6:8], "big")

    def test_cve_2013_7239_a_failure_leaves_nobody_logged_in(self, sasl_server):
        with sasl_server.connect() as connection:
            connection.send(sasl_packet(0x21, b"PLAIN", b"\0foo\0bar"))
            assert self.status(connection) == 0
            connection.send(sasl_packet(0x21, b"PLAIN", b"\0foo\0wrong"))
            assert self.status(connection) == 0x20
            connection.send(sasl_packet(0x00, b"k"))
            assert self.status(connection) == 0x20
            assert connection.read_until_closed() == b""

    @pytest.mark.parametrize("message", [b"", b"\0", b"\0\0", b"foo\0bar", b"\0foo\0", b"\0foo\0bar\0", b"\0foo\0ba",
                                         b"\0foo\0barr", b"\0\0bar", b"\0FOO\0bar", b"\xff" * 300])
    def test_sasl_messages_that_are_none(self, sasl_server, message):
        with sasl_server.connect() as connection:
            connection.send(sasl_packet(0x21, b"PLAIN", message))
            assert self.status(connection) in (0x20, 0x21)
            connection.send(sasl_packet(0x00, b"k"))
            assert self.status(connection) == 0x20

    def test_cve_2016_8706_lengths_that_do_not_fit(self, sasl_server):
        for key, stated in ((b"PLAIN", 2), (b"PLAIN", 0), (b"x" * 300, None), (b"PLAIN", 0xffffffff)):
            with sasl_server.connect() as connection:
                connection.send(sasl_packet(0x21, key, b"", stated))
                assert self.status(connection) != 0
        assert sasl_server.process.poll() is None

    def test_a_huge_sasl_message_gets_no_memory(self, sasl_server):
        """Lengths up to what a value may have are stated by 100 strangers, and nothing is taken for them."""
        before = sasl_server.own_bytes()
        strangers = [sasl_server.connect() for _ in range(100)]
        for stranger, stated in zip(strangers, [1 << 20, 1 << 25, 1 << 29, (1 << 30) - 1] * 25):
            stranger.send(sasl_packet(0x21, b"PLAIN", b"\0foo\0" + b"x" * 10_000, stated))
        for stranger in strangers:
            # Refused at once, or closed: no such message is waited for.
            try:
                assert self.status(stranger) != 0
            except EOFError:
                pass
        assert sasl_server.own_bytes() - before < 100 * (20 << 10) + (4 << 20)
        for stranger in strangers:
            stranger.close()

    def test_commands_before_sasl(self, sasl_server):
        for opcode in set(range(0x00, 0x40)) - {0x07, 0x0b, 0x17, 0x20, 0x21, 0x22}:
            with sasl_server.connect() as connection:
                connection.send(sasl_packet(opcode, b"k"))
                assert self.status(connection) != 0
        assert sasl_server.process.poll() is None

    def test_cve_2026_90698_words_of_a_login(self, start_server, user_file):
        """The line of a login was read beyond its end: lines with too few words, too many, and none."""
        server = start_server("-Y", user_file, login=(b"foo", b"bar"))
        for line in (b"set", b"set ", b"set a", b"set a 0", b"set a 0 0", b"set a 0 0 ", b"     ", b" " * 2000,
                     b"set " * 500, b"set a 0 0 " + b"9" * 1000, b"set" + b" x" * 900, b"\0" * 100, b"set\ta\t0\t0\t7"):
            with server.connect(login=None) as connection:
                connection.send(line + b"\r\n")
                connection.socket.shutdown(1)
                answer = connection.read_until_closed()
                assert answer in (b"", b"CLIENT_ERROR unauthenticated\r\n"), line
        server.assert_alive()

    def test_huge_token_1_6_42(self, start_server, user_file):
        server = start_server("-Y", user_file, login=(b"foo", b"bar"))
        for length in (16_384, 65_536, 2**31 - 3, 2**31 - 2, 2**31, 2**32 - 2, 2**32 - 1):
            with server.connect(login=None) as connection:
                assert connection.ask(b"set a 0 0 %d\r\n" % length) == b"CLIENT_ERROR auth token too long"
                assert connection.read_until_closed() == b""
        server.assert_alive()
