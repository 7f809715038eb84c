"""Files of users and of certificates that are empty or cut off. At the start they are refused; on SIGHUP the old users
and certificates stay."""

import os
import re
import shutil
import signal
import threading

import pytest

from server import Connection, poll, run

USERS = b"first:one\nsecond:two\n"
CUT_USERS = [b"", USERS[:6], USERS[:-5], USERS[:-9], USERS[:-4], b"\n", USERS + b"\n"]


def one_sentence(result, code):
    assert result.returncode == code and re.fullmatch(r"[^\n]+\n", result.stderr), result
    return result.stderr


class TestUsers:
    @pytest.mark.parametrize("contents", CUT_USERS, ids=repr)
    def test_refused_at_the_start(self, tmp_path, contents):
        users = tmp_path / "users"
        users.write_bytes(contents)
        assert str(users) in one_sentence(run("-p", "-1", "-Y", users), 1)

    def test_the_old_ones_stay(self, start_server, tmp_path):
        users = tmp_path / "users"
        users.write_bytes(USERS)
        server = start_server("-Y", users, login=(b"second", b"two"))
        for count, contents in enumerate(CUT_USERS, 1):
            users.write_bytes(contents)
            server.process.send_signal(signal.SIGHUP)
            poll(lambda: server.stderr.count("the users stay as they were") == count, "a line about it")
            with server.connect() as connection:
                assert connection.get(b"k") is None
        users.write_bytes(b"third:three\nfourth:")
        server.process.send_signal(signal.SIGHUP)
        poll(lambda: server.stderr.count("the users stay as they were") == count + 1, "a line about it")
        # memcached accepts both: a last line without a line end, and an empty password.
        for contents, login in [(b"third:three\nfourth:four", (b"fourth", b"four")), (b"fifth:\n", (b"fifth", b""))]:
            users.write_bytes(contents)
            server.process.send_signal(signal.SIGHUP)
            poll(lambda: logs_in(server, login), "the new users can log in")


def logs_in(server, login):
    try:
        Connection(server.address, login=login).close()
        return True
    except (AssertionError, EOFError, ConnectionError):
        return False


@pytest.fixture
def bundles(certificates):
    """Two files with two certificates each: the server's chain, and the authorities for clients."""
    for name, parts in [("chain.pem", ["server.pem", "authority.pem"]), ("both.pem", ["authority.pem", "other.pem"])]:
        text = "".join((certificates.directory / part).read_text() for part in parts)
        (certificates.directory / name).write_text(text)
    shutil.copy(certificates.path("server.key"), certificates.path("a.key"))
    return certificates


def tls_options(certificates):
    path = certificates.path
    return ["-Z", "-o", f"ssl_chain_cert={path('chain.pem')},ssl_key={path('a.key')},ssl_ca_cert={path('both.pem')},"
            "ssl_verify_mode=2"]


def cuts(path):
    """Some cuts of every kind. The Swift tests try all cuts."""
    whole = path.read_bytes()
    second = whole.find(b"-----BEGIN", 1)
    places = {0, 1, 20, len(whole) // 3, len(whole) - 2, len(whole) - 10}
    if second > 0:
        places |= {second + 1, second + 5, second + 12, second + 26, second + 27, second + 28, second + 300}
    return [whole[:place] for place in sorted(places)]


NAMES = ["chain.pem", "a.key", "both.pem"]


class TestCertificates:
    @pytest.mark.parametrize("name", NAMES)
    def test_refused_at_the_start(self, bundles, name):
        path = bundles.directory / name
        for contents in cuts(path):
            path.write_bytes(contents)
            assert f": {path} : " in one_sentence(run("-p", "-1", *tls_options(bundles)), 64), contents

    @pytest.mark.parametrize("name", NAMES)
    def test_the_old_ones_stay(self, start_server, bundles, name):
        server = start_server(*tls_options(bundles), tls=bundles.context("client"))
        path = bundles.directory / name
        whole = path.read_bytes()
        for count, contents in enumerate(cuts(path), 1):
            path.write_bytes(contents)
            server.process.send_signal(signal.SIGHUP)
            poll(lambda: server.stderr.count("the certificates stay as they were") == count, "a line about it")
            with server.connect() as connection:
                assert connection.ask(b"refresh_certs\r\n").startswith(b"Error loading the ")
        path.write_bytes(whole)
        with server.connect() as connection:
            assert connection.ask(b"refresh_certs\r\n") == b"OK"
        # A client of the bundle's second authority is still accepted.
        with server.connect(tls=bundles.context("stranger")) as connection:
            assert connection.ask(b"version\r\n").startswith(b"VERSION ")

    def test_a_pipe_is_read_once(self, bundles, start_server):
        """A pipe cannot be read twice, so it is not checked for completeness."""
        key = bundles.directory / "a.key"
        whole = key.read_bytes()
        key.unlink()
        os.mkfifo(key)
        failures = []

        def write():
            try:
                key.write_bytes(whole)
            except OSError as failure:
                failures.append(failure)

        writer = threading.Thread(target=write, daemon=True)
        writer.start()
        start_server(*tls_options(bundles), tls=bundles.context("client"))
        writer.join(10)
        assert not failures
