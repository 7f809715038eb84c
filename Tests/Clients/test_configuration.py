"""The file of --config, the environment, --check-config, and SIGHUP."""

import os
import pwd
import signal
import subprocess

import pytest

from binary_protocol import BinaryConnection
from server import binary, cannot_test, free_port, poll, run

# A file like that of Debian's package: comments, options as on the command line, and logfile.
DEBIAN = """\
# Run the server as a daemon. The script implies this.
-d

# Where the script logs
logfile /var/log/memcached.log

# Be verbose
# -v

# Memory in megabytes
-m 32

# The port
-p 11211

# The user
-u {user}

# The address
-l 127.0.0.1

# The number of simultaneous connections
# -c 1024

-P {directory}/memcached.pid
"""


def check(*arguments, **variables):
    return subprocess.run(
        [binary(), "--check-config", *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=10, env=dict(os.environ, **variables))


def settings(result):
    """The lines of --check-config as (line without blanks at its end, source)."""
    lines = result.stdout.splitlines()[1:]
    return [(line.rpartition("# ")[0].rstrip(), line.rpartition("# ")[2]) for line in lines]


def hang_up(server, text):
    """Sends SIGHUP, and waits until a new line of the log has the text."""
    before = len(server.stderr)
    server.process.send_signal(signal.SIGHUP)
    poll(lambda: text in server.stderr[before:], lambda: f"{text!r} in {server.stderr[before:]!r}")
    return server.stderr[before:]


def told(text):
    """The lines about SIGHUP. With -vv there are also lines about the clients of a test."""
    return [line for line in text.splitlines() if line.startswith("larder: SIGHUP: ")]


class TestFile:
    def test_debians_file_serves(self, start_server, tmp_path):
        file = tmp_path / "memcached.conf"
        tmp_path.chmod(0o777)
        user = pwd.getpwuid(os.getuid()).pw_name
        file.write_text(DEBIAN.format(user=user, directory=tmp_path))
        # The command line has the test's port, which replaces that of the file.
        server = start_server("--config", file, "-p", free_port(), listen=None)
        server.assert_alive()
        assert server.stats("settings")["maxbytes"] == str(32 << 20)
        assert server.stats("settings")["inter"] == "127.0.0.1"
        # The server stays in the foreground, as the service manager needs it.
        assert (tmp_path / "memcached.pid").read_text() == f"{server.process.pid}\n"
        assert f"larder: {file}:2: -d is passed over" in server.stderr
        assert f"larder: {file}:5: logfile is passed over" in server.stderr

    def test_debians_own_file_is_understood(self):
        """Reads the file of the memcached package, if it is installed."""
        path = "/usr/share/memcached/memcached.conf.default"
        if not os.path.exists(path):
            cannot_test("memcached's package has no such file here")
        result = check("--config", path)
        assert result.returncode == 0, result.stderr
        given = {line: source for line, source in settings(result) if not line.startswith("#")}
        assert given["listen 127.0.0.1"].startswith(f"{path}:") and given["user memcache"].startswith(f"{path}:")

    def test_a_file_that_is_not_there(self):
        result = subprocess.run(
            [binary(), "--check-config", "--config", "none"], cwd="/dev", capture_output=True, text=True, timeout=10)
        assert (result.returncode, result.stderr) == (64, "none:1: cannot be read: No such file or directory.\n")

    @pytest.mark.parametrize("text, message", [
        ("threads 2\nthreads 0\n", ":2: Number of threads must be greater than 0\n"),
        ("-m 64\n\n# x\nnonsense 1\n", ':4: there is no option "nonsense"; larder -h lists all of them.\n'),
    ])
    def test_a_mistake_has_file_and_line(self, tmp_path, text, message):
        file = tmp_path / "larder.conf"
        file.write_text(text)
        for arguments in [["--config", file], ["--check-config", "--config", file]]:
            result = run(*arguments)
            assert (result.returncode, result.stderr, result.stdout) == (64, f"{file}{message}", "")

    def test_a_file_that_everybody_may_write(self, tmp_path):
        file = tmp_path / "larder.conf"
        file.write_text("threads 2\n")
        file.chmod(0o646)
        assert f"# warning: {file}: every user of this machine may write this file." in check("--config", file).stdout

    @pytest.mark.parametrize("path, reason", [("/", "Is a directory"), ("/dev/zero", "longer than 65536 bytes")])
    def test_no_file_at_all(self, path, reason):
        result = check("--config", path)
        assert result.returncode == 64 and reason in result.stderr


class TestEnvironment:
    def test_file_environment_options(self, tmp_path):
        file = tmp_path / "larder.conf"
        file.write_text("memory-limit 128\nthreads 2\nconn-limit 10\n")
        result = check("-c", "30", LARDER_CONFIG=str(file), LARDER_THREADS="3", LARDER_CONN_LIMIT="20")
        assert result.returncode == 0
        shown = settings(result)
        assert ("memory-limit 128", f"{file}:1") in shown and ("threads 3", "LARDER_THREADS") in shown
        assert ("conn-limit 30", "command line") in shown and ("port 11211", "default") in shown

    def test_a_mistake_has_its_variable(self):
        result = check(LARDER_THREADS="0")
        assert (result.returncode, result.stderr) == (64, "LARDER_THREADS: Number of threads must be greater than 0\n")

    def test_bitnamis_password(self, start_server, tmp_path, monkeypatch):
        secret = tmp_path / "password"
        secret.write_text("first\n")
        monkeypatch.setenv("MEMCACHED_USERNAME", "web")
        monkeypatch.setenv("MEMCACHED_PASSWORD_FILE", str(secret))
        monkeypatch.setenv("MEMCACHED_CACHE_SIZE", "32")
        server = start_server(binary_only=True)

        def logs_in(password):
            with BinaryConnection(server.connect()) as connection:
                return connection.authenticate(b"web", password) == 0

        assert logs_in(b"first") and not logs_in(b"second")
        secret.write_text("second\n")
        hang_up(server, "larder: SIGHUP: read again: settings, users\n")
        assert logs_in(b"second") and not logs_in(b"first")


class TestReload:
    @pytest.fixture
    def file(self, tmp_path):
        path = tmp_path / "larder.conf"
        path.write_text("conn-limit 50\nthreads 2\n")
        return path

    def test_what_changes_and_what_needs_a_restart(self, start_server, file):
        server = start_server("--config", file)
        file.write_text("conn-limit 5\nthreads 3\nverbose 2\nextended idle_timeout=77,login_timeout=3\n")
        assert sorted(told(hang_up(server, "read again: settings\n"))) == [
            "larder: SIGHUP: conn-limit is 5 now, and was 50",
            "larder: SIGHUP: extended idle_timeout is 77 now, and was 0",
            "larder: SIGHUP: extended login_timeout is 3 now, and was 10",
            "larder: SIGHUP: read again: settings",
            "larder: SIGHUP: threads 3 needs a restart; until then it is 2",
            "larder: SIGHUP: verbose is 2 now, and was 0",
        ]
        shown = server.stats("settings")
        assert (shown["maxconns"], shown["idle_timeout"], shown["verbosity"]) == ("5", "77", "2")
        # The second SIGHUP reports only the settings that need a restart.
        assert told(hang_up(server, "read again: settings\n")) == [
            "larder: SIGHUP: threads 3 needs a restart; until then it is 2", "larder: SIGHUP: read again: settings"]

    def test_fewer_clients_and_more_again(self, start_server, file):
        server = start_server("--config", file)
        file.write_text("conn-limit 2\nthreads 2\n")
        hang_up(server, "conn-limit is 2 now, and was 50\n")
        with server.connect() as one, server.connect() as two:
            assert one.ask(b"version\r\n").startswith(b"VERSION")
            assert two.ask(b"version\r\n").startswith(b"VERSION")
            with server.connect() as three:
                assert three.read_line() == b"ERROR Too many open connections"
            file.write_text("conn-limit 500\nthreads 2\n")
            hang_up(server, "conn-limit 500 needs a restart; until then it is 50, as at the start\n")
            with server.connect() as three:
                assert three.ask(b"version\r\n").startswith(b"VERSION")

    def test_waiting_clients_get_the_room(self, start_server, file):
        file.write_text("conn-limit 50\nthreads 2\nextended no_maxconns_fast\n")
        server = start_server("--config", file)
        file.write_text("conn-limit 1\nthreads 2\nextended no_maxconns_fast\n")
        hang_up(server, "conn-limit is 1 now, and was 50\n")
        with server.connect() as one:
            assert one.ask(b"version\r\n").startswith(b"VERSION")
            with server.connect() as two:
                two.send(b"version\r\n")
                poll(lambda: one.stats()["accepting_conns"] == "0", "the listeners pause")
                file.write_text("conn-limit 2\nthreads 2\nextended no_maxconns_fast\n")
                server.process.send_signal(signal.SIGHUP)
                assert two.read_line().startswith(b"VERSION")

    def test_a_mistake_changes_nothing(self, start_server, file):
        server = start_server("--config", file)
        file.write_text("conn-limit 5\nthreads none\n")
        text = hang_up(server, "stay as they were\n")
        assert text == (
            f"larder: SIGHUP: {file}:2: Number of threads must be greater than 0; the settings stay as they were\n")
        assert server.stats("settings")["maxconns"] == "50"
        server.assert_alive()

    def test_the_clients_level_stays(self, start_server, file):
        """The command verbosity has set it, and the file has not changed it."""
        server = start_server("--config", file)
        with server.connect() as connection:
            assert connection.ask(b"verbosity 1\r\n") == b"OK"
        hang_up(server, "read again: settings\n")
        assert server.stats("settings")["verbosity"] == "1"
