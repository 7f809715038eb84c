"""Users and passwords: `-Y`, with real clients and over a real socket. What is answered to what, at every split of
the input, is in `Tests/Conversations/access.conversation`."""

import re
import signal

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
    server = start_server("-Y", user_file, login=(b"foo", b"bar"))
    with server.connect(login=None) as stranger:
        stranger.send(b"set a 0 0 7\r\nfoo baz\r\n" * 2000)
        answer = stranger.read_until_closed()
    attempts = answer.count(b"CLIENT_ERROR authentication failure\r\n")
    assert 0 < attempts <= 16384 // 22
    server.assert_alive()
