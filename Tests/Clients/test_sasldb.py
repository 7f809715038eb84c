"""-S without a file of users: logins by libsasl2, with the users of a sasldb."""

import hashlib
import hmac
import os
import pathlib
import subprocess
import sys
import threading

import bmemcached
import pytest

from binary_protocol import (
    AUTH_CONTINUE, AUTH_ERROR, NOOP, OK, SASL_AUTH, SASL_LIST, SASL_STEP, BinaryConnection, packet, store, SET)
from server import run

pytestmark = pytest.mark.larder_only

# Debian has saslpasswd2 in /usr/sbin, which is not in the PATH of other users than root.
SASLPASSWD = "/usr/sbin/saslpasswd2"
USER, PASSWORD = b"web@larder", b"correct horse"
PLAIN = b"\0" + USER + b"\0" + PASSWORD


@pytest.fixture
def configuration(tmp_path, monkeypatch):
    """A sasldb with one user, and the library's configuration."""
    database = tmp_path / "sasldb2"
    subprocess.run(
        [SASLPASSWD, "-p", "-c", "-a", "memcached", "-u", "larder", "-f", database, "web"], input=PASSWORD, check=True)
    path = tmp_path / "memcached.conf"
    path.write_text(f"sasldb_path: {database}\n")
    monkeypatch.setenv("SASL_CONF_PATH", str(tmp_path))
    monkeypatch.delenv("MEMCACHED_SASL_PWDB", raising=False)
    return path


@pytest.fixture
def server(configuration, start_server):
    return start_server("-S", threads=2, binary_only=True)


def connect(server):
    return BinaryConnection(server.connect())


def authenticate(connection, mechanism, message=b""):
    return connection.ask(packet(SASL_AUTH, mechanism, message))


def is_served(connection):
    """Whether the server serves the client. It closes the connection of one that has not logged in."""
    return connection.ask(packet(NOOP)).status == OK


def cram_answer(challenge, user=USER, password=PASSWORD):
    return user + b" " + hmac.new(password, challenge, hashlib.md5).hexdigest().encode()


def run_pylibmc(server, password):
    """Sets and reads an item in a process of its own, because pylibmc's wheel needs a variable for its mechanisms."""
    program = f"""
import pylibmc
client = pylibmc.Client([{server.text_address!r}], binary=True, username={USER.decode()!r}, password={password!r})
try:
    client.set("key", "value")
    print(client.get("key"), end="")
except pylibmc.Error as error:
    print(repr(error))
"""
    (directory,) = {path.parent for path in pathlib.Path("/usr/lib").glob("*/sasl2/libplain.so*")}
    return subprocess.run(
        [sys.executable, "-c", program], env=dict(os.environ, SASL_PATH=str(directory)), capture_output=True,
        text=True, timeout=60, check=True).stdout


class TestMechanisms:
    def test_library_lists_them(self, server):
        with connect(server) as connection:
            answer = connection.ask(packet(SASL_LIST))
            assert answer.status == OK
            assert {b"PLAIN", b"CRAM-MD5"} <= set(answer.value.split(b" "))

    def test_configuration_chooses_them(self, configuration, start_server):
        configuration.write_text(configuration.read_text() + "mech_list: cram-md5\n")
        with connect(start_server("-S", binary_only=True)) as connection:
            assert connection.ask(packet(SASL_LIST)).value == b"CRAM-MD5"
            assert authenticate(connection, b"PLAIN", PLAIN).status == AUTH_ERROR

    def test_anonymous_is_no_login(self, server):
        with connect(server) as connection:
            assert b"ANONYMOUS" not in connection.ask(packet(SASL_LIST)).value
            assert authenticate(connection, b"ANONYMOUS", b"me").status == AUTH_ERROR
            assert not is_served(connection)

    @pytest.mark.parametrize("mechanism", [b"FOO", b"EXTERNAL", b"PLAI"])
    def test_unknown_ones_fail(self, server, mechanism):
        with connect(server) as connection:
            answer = authenticate(connection, mechanism, PLAIN)
            assert (answer.status, answer.value) == (AUTH_ERROR, b"Auth failure.")
            assert not is_served(connection)


class TestPlain:
    @pytest.mark.parametrize("mechanism", [b"PLAIN", b"plain"])
    def test_right_password(self, server, mechanism):
        with connect(server) as connection:
            answer = authenticate(connection, mechanism, PLAIN)
            assert (answer.status, answer.value) == (OK, b"Authenticated")
            assert connection.ask(store(SET, b"key", b"value")).status == OK

    @pytest.mark.parametrize("message", [
        b"\0" + USER + b"\0wrong", b"\0nobody@larder\0" + PASSWORD, b"\0web\0" + PASSWORD, b"other\0" + PLAIN[1:],
        b"web", b"\0\0", b"x" * 8000])
    def test_others_fail(self, server, message):
        with connect(server) as connection:
            answer = authenticate(connection, b"PLAIN", message)
            assert (answer.status, answer.value) == (AUTH_ERROR, b"Auth failure.")
            assert not is_served(connection)

    def test_in_two_steps(self, server):
        with connect(server) as connection:
            answer = authenticate(connection, b"PLAIN")
            assert (answer.status, answer.value) == (AUTH_CONTINUE, b"")
            assert connection.ask(packet(SASL_STEP, b"PLAIN", PLAIN)).status == OK
            assert is_served(connection)

    def test_step_without_a_beginning_fails(self, server):
        with connect(server) as connection:
            assert connection.ask(packet(SASL_STEP, b"PLAIN", PLAIN)).status == AUTH_ERROR
            assert not is_served(connection)

    def test_right_after_wrong_and_wrong_after_right(self, server):
        with connect(server) as connection:
            assert authenticate(connection, b"PLAIN", PLAIN + b"x").status == AUTH_ERROR
            assert authenticate(connection, b"PLAIN", PLAIN).status == OK
            assert is_served(connection)
            assert authenticate(connection, b"PLAIN", PLAIN + b"x").status == AUTH_ERROR
            assert not is_served(connection)
        with connect(server) as connection:
            assert authenticate(connection, b"PLAIN", PLAIN).status == OK
            stats = connection.stats()
            assert (stats["auth_cmds"], stats["auth_errors"]) == ("4", "2")


class TestCramMD5:
    @pytest.mark.parametrize("user, password, status", [
        (USER, PASSWORD, OK), (USER, b"wrong", AUTH_ERROR), (b"nobody@larder", PASSWORD, AUTH_ERROR)])
    def test_challenge_is_answered(self, server, user, password, status):
        with connect(server) as connection:
            challenge = authenticate(connection, b"CRAM-MD5")
            assert challenge.status == AUTH_CONTINUE and challenge.value.startswith(b"<")
            # A request for the list of mechanisms does not end the login.
            assert connection.ask(packet(SASL_LIST)).status == OK
            answer = connection.ask(packet(SASL_STEP, b"CRAM-MD5", cram_answer(challenge.value, user, password)))
            assert answer.status == status
            assert is_served(connection) == (status == OK)

    def test_each_connection_has_its_own_challenge(self, server):
        with connect(server) as first, connect(server) as second:
            challenges = [authenticate(each, b"CRAM-MD5").value for each in (first, second)]
            assert challenges[0] != challenges[1]
            assert first.ask(packet(SASL_STEP, b"CRAM-MD5", cram_answer(challenges[1]))).status == AUTH_ERROR
            assert second.ask(packet(SASL_STEP, b"CRAM-MD5", cram_answer(challenges[1]))).status == OK

    def test_step_after_a_failure_fails(self, server):
        with connect(server) as connection:
            challenge = authenticate(connection, b"CRAM-MD5").value
            assert connection.ask(packet(SASL_STEP, b"CRAM-MD5", b"nonsense")).status == AUTH_ERROR
            assert connection.ask(packet(SASL_STEP, b"CRAM-MD5", cram_answer(challenge))).status == AUTH_ERROR


class TestClients:
    def test_bmemcached(self, server):
        client = bmemcached.Client((server.text_address,), USER.decode(), PASSWORD.decode())
        assert client.set("key", "value") and client.get("key") == "value"
        client.disconnect_all()
        with pytest.raises(bmemcached.exceptions.MemcachedException, match="Auth failure"):
            bmemcached.Client((server.text_address,), USER.decode(), "wrong").get("key")

    def test_pylibmc(self, configuration, start_server):
        """libmemcached takes the strongest mechanism, and fails if that has several steps: with memcached, too."""
        configuration.write_text(configuration.read_text() + "mech_list: plain\n")
        server = start_server("-S", binary_only=True)
        assert run_pylibmc(server, PASSWORD.decode()) == "value"
        assert "Error" in run_pylibmc(server, "wrong")

    def test_many_at_once_beside_open_logins(self, server):
        left_open = [connect(server) for _ in range(20)]
        for connection in left_open:
            assert authenticate(connection, b"CRAM-MD5").status == AUTH_CONTINUE
        served = []

        def work():
            with connect(server) as connection:
                if authenticate(connection, b"PLAIN", PLAIN).status == OK and is_served(connection):
                    served.append(True)

        threads = [threading.Thread(target=work) for _ in range(40)]
        for thread in threads:
            thread.start()
        for connection in left_open[::2]:
            connection.close()
        for thread in threads:
            thread.join(60)
        assert len(served) == 40
        server.assert_alive()


class TestStart:
    def test_without_the_library_one_sentence_says_so(self, configuration, tmp_path, monkeypatch):
        directory = tmp_path / "libraries"
        directory.mkdir()
        for name in ("libsasl2.so.2", "libsasl2.so.3"):
            (directory / name).write_text("none")
        monkeypatch.setenv("LD_LIBRARY_PATH", str(directory))
        done = run("-S")
        assert done.returncode == 1
        assert done.stderr.count("\n") == 1 and "libsasl2-2" in done.stderr and "libsasl2-modules" in done.stderr

    def test_without_mechanisms_one_sentence_says_so(self, configuration):
        configuration.write_text(configuration.read_text() + "mech_list: none\n")
        done = run("-S")
        assert done.returncode == 1
        assert done.stderr.count("\n") == 1 and "mech_list" in done.stderr
