"""Relative paths, and the temporary files that are written beside the files that they replace."""

import os
import pathlib
import signal
import subprocess

import pytest

from server import Connection, binary, free_port, poll, run
from test_process import has_ended

pytestmark = pytest.mark.larder_only


class Daemon:
    """A server started with -d in a directory, and its answers."""

    def __init__(self, directory, *arguments, env=None):
        result = subprocess.run(
            [binary(), "-d", "-P", "pid", *map(str, arguments)], cwd=directory, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=10, env=env)
        assert result.returncode == 0, result
        self.pid_file = pathlib.Path(directory) / "pid"
        try:
            self.pid = int(poll(lambda: self.pid_file.exists() and self.pid_file.read_text().strip(), "the pid file"))
        except AssertionError:
            # A daemon that does not keep the relative path writes its pid file to /. End that daemon.
            stray = pathlib.Path("/pid")
            if stray.exists():
                os.kill(int(stray.read_text()), signal.SIGKILL)
                stray.unlink()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.kill(self.pid, signal.SIGTERM)
        try:
            poll(lambda: has_ended(self.pid), "the daemon stops", seconds=10)
        finally:
            if not has_ended(self.pid):
                os.kill(self.pid, signal.SIGKILL)
        assert not self.pid_file.exists()


class TestRelativePaths:
    def test_of_a_daemon(self, certificates):
        """The pid file, the stores, the users and all TLS files; on SIGHUP, too."""
        here, port = certificates.directory, free_port()
        (here / "users").write_text("foo:bar\n")
        arguments = [
            "-e", "store", "-l", "127.0.0.1", "-p", port, "-Y", "users", "-Z", "-o",
            "ssl_chain_cert=server.pem,ssl_key=server.key,ssl_ca_cert=authority.pem", "--cache",
            "name=other,items=100,blocksize=1024,store=other.store,listen=unix:other.socket"]
        context = certificates.context()
        for expected in (None, b"value"):
            with Daemon(here, *arguments):
                with Connection(("127.0.0.1", port), tls=context, login=(b"foo", b"bar")) as connection:
                    assert connection.get(b"key") == expected
                    assert connection.set(b"key", b"value") == b"STORED"
                    assert connection.ask(b"refresh_certs\r\n") == b"OK"
                    settings = connection.stats("settings")
                    assert (settings["memory_file"], settings["ssl_chain_cert"], settings["ssl_key"],
                            settings["ssl_ca_cert"], settings["auth_enabled_ascii"]) == (
                                "store", "server.pem", "server.key", "authority.pem", "users")
                with Connection(str(here / "other.socket"), login=(b"foo", b"bar")) as connection:
                    assert connection.get(b"key") == expected
                    assert connection.set(b"key", b"value") == b"STORED"
        # The same files also work for a server that is no daemon.
        process = subprocess.Popen([binary(), *map(str, arguments)], cwd=here, stderr=subprocess.DEVNULL)
        try:
            poll(lambda: talks(port, context), "it answers")
            with Connection(("127.0.0.1", port), tls=context, login=(b"foo", b"bar")) as connection:
                assert connection.get(b"key") == b"value"
        finally:
            process.terminate()
            assert process.wait(10) == 0

    def test_socket(self, tmp_path):
        with Daemon(tmp_path, "-s", "socket"), Connection(str(tmp_path / "socket")) as connection:
            assert connection.stats("settings")["domain_socket"] == "socket"

    def test_a_directory_whose_path_is_too_long_for_a_socket(self, tmp_path):
        """The absolute path of the socket is too long. A daemon refuses it; another server uses the relative path."""
        deep = tmp_path / ("d" * 120)
        deep.mkdir()
        process = subprocess.Popen([binary(), "-s", "socket"], cwd=deep, stderr=subprocess.DEVNULL)
        try:
            poll(lambda: (deep / "socket").exists(), "the socket is there")
        finally:
            process.terminate()
            process.wait(10)
        assert process.returncode in (0, -signal.SIGTERM)
        pid_file = tmp_path / "pid"
        try:
            # Reads standard error to its end, and so waits for the daemon's end.
            result = subprocess.run(
                [binary(), "-d", "-v", "-P", pid_file, "-s", "other"], cwd=deep, capture_output=True, text=True,
                timeout=10)
            assert f"failed to listen on UNIX socket: {deep}/other: File name too long" in result.stderr
            assert not pid_file.exists()
        finally:
            if pid_file.exists():
                os.kill(int(pid_file.read_text()), signal.SIGKILL)


def talks(port, context):
    try:
        Connection(("127.0.0.1", port), tls=context).close()
        return True
    except ConnectionError:
        return False


class TestTemporaryFiles:
    """The temporary files: PATH.tmp for -P, and PATH.lck for the file of ports. Both files are written before the
    server handles a signal; the pid file is first."""

    @pytest.fixture(params=[("pid", "pid.tmp"), ("ports", "ports.lck")], ids=str)
    def files(self, request, tmp_path):
        name, temporary = request.param
        return tmp_path / name, tmp_path / temporary

    def start(self, directory):
        return subprocess.Popen(
            [binary(), "-l", "127.0.0.1", "-p", str(free_port()), "-P", directory / "pid"], stderr=subprocess.PIPE,
            text=True, env=dict(os.environ, MEMCACHED_PORT_FILENAME=str(directory / "ports")))

    def end(self, process):
        process.terminate()
        _, log = process.communicate(timeout=10)
        assert process.returncode == 0
        return log

    def log_of_a_run(self, path, tmp_path):
        """Starts a server that cannot write `path`, and ends it when its other file is there."""
        process = self.start(tmp_path)
        try:
            other = tmp_path / ("ports" if path.name == "pid" else "pid")
            poll(lambda: other.exists() and other.read_text(), "the other file is there")
        finally:
            log = self.end(process)
        return log

    @pytest.mark.parametrize("target", ["precious", "not there"])
    def test_a_link_is_not_followed(self, files, tmp_path, target):
        path, temporary = files
        (tmp_path / "precious").write_text("precious")
        temporary.symlink_to(tmp_path / target)
        log = self.log_of_a_run(path, tmp_path)
        assert (tmp_path / "precious").read_text() == "precious"
        assert not (tmp_path / "not there").exists()
        assert temporary.is_symlink() and not path.exists()
        assert str(temporary) in log and "File exists" in log

    def test_a_left_over_file_goes(self, files, tmp_path):
        path, temporary = files
        temporary.write_text("longer than the new content: " * 10)
        other_name = tmp_path / "hard link"
        os.link(temporary, other_name)
        process = self.start(tmp_path)
        try:
            text = poll(lambda: path.exists() and path.read_text(), "the file is there")
        finally:
            self.end(process)
        assert len(text) < 100 and not temporary.exists()
        assert other_name.read_text().startswith("longer")

    def test_a_directory_stays(self, files, tmp_path):
        path, temporary = files
        temporary.mkdir()
        log = self.log_of_a_run(path, tmp_path)
        assert temporary.is_dir() and str(temporary) in log
