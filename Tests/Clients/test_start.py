"""The start of a process: its arguments, its descriptors, and the directory that relative paths begin at."""

import ctypes
import itertools
import os
import pathlib
import signal
import subprocess

import pytest

from server import Connection, binary, cannot_test, free_port, poll, run

VERSION = run("-V").stdout
pytestmark = pytest.mark.larder_only


def can_unshare():
    return subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode == 0


WITHOUT_PROC = {
    "no /proc": "mount -t tmpfs none /proc",
    # The shell and the server have the same pid.
    "no /proc/self/maps": "mount --bind /dev/null /proc/$$/maps",
    "no /proc/self/cmdline": "mount --bind /dev/null /proc/$$/cmdline",
}


def without_proc(mount, *arguments):
    """A command line for a server that lacks a part of /proc."""
    # exec keeps the process, so the mount in its /proc/PID stays valid.
    return ["unshare", "--mount", "sh", "-c", f'{mount} && exec "$@"', "sh", binary(), *map(str, arguments)]


@pytest.fixture(scope="module")
def changer(tmp_path_factory):
    """A preloaded library whose constructor changes the environment."""
    directory = tmp_path_factory.mktemp("changer")
    (directory / "changer.c").write_text("""
        #include <stdlib.h>
        __attribute__((constructor)) static void change(void) { setenv("SET_BY_A_CONSTRUCTOR", "1", 1); }
    """)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", directory / "changer.so", directory / "changer.c"], check=True)
    return directory / "changer.so"


def check_arguments(start):
    """`start` runs the server with arguments until it ends."""
    result = start("-V")
    assert (result.returncode, result.stdout) == (0, VERSION), result
    result = start("-p", "-1", "-Y", "/nowhere/users")
    assert result.returncode == 1 and "authfile [/nowhere/users]" in result.stderr, result
    result = start("-p", "-1", "two words", "täglich")
    assert result.returncode == 64 and '"two words"' in result.stderr, result


class TestArguments:
    @pytest.mark.parametrize("mount", WITHOUT_PROC.values(), ids=WITHOUT_PROC)
    def test_without_proc(self, mount):
        if not can_unshare():
            cannot_test("a mount namespace is not allowed here")
        check_arguments(lambda *arguments: subprocess.run(
            without_proc(mount, *arguments), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=5))

    def test_an_environment_that_was_changed_before(self, changer):
        environment = dict(os.environ, LD_PRELOAD=str(changer))
        environment.pop("SET_BY_A_CONSTRUCTOR", None)
        check_arguments(lambda *arguments: subprocess.run(
            [binary(), *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=5,
            env=environment))

    def test_an_empty_environment(self):
        check_arguments(lambda *arguments: subprocess.run(
            [binary(), *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=5, env={}))

    @pytest.mark.parametrize("words", [[], [b""]], ids=["nothing", "an empty name"])
    def test_not_even_a_name(self, words, tmp_path):
        """Newer kernels replace an empty argument list by one empty name."""
        values = (ctypes.c_char_p * (len(words) + 1))(*words, None)
        log = os.open(tmp_path / "log", os.O_CREAT | os.O_RDWR)
        path = os.fsencode(binary())
        execute = ctypes.CDLL(None).execv
        child = os.fork()
        if child == 0:
            os.dup2(log, 2)
            execute(path, values)
            os._exit(99)
        try:
            ended = poll(lambda: os.waitpid(child, os.WNOHANG)[1] or False, "it refuses to start")
        except AssertionError:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            raise
        assert os.waitstatus_to_exitcode(ended) == 64
        text = (tmp_path / "log").read_text()
        assert text == "larder: the argument list is empty: not even the program's name (argv[0]) was passed.\n"


def start_closed(closed, *arguments):
    """Starts the server with some of the descriptors 0, 1 and 2 closed, and the others on /dev/null."""
    changes = " ".join(f"{fd}>&-" if fd in closed else f"{fd}<>/dev/null" for fd in range(3))
    return subprocess.Popen(["sh", "-c", f'exec "$@" {changes}', "sh", binary(), *map(str, arguments)])


class TestDescriptors:
    @pytest.mark.parametrize(
        "closed", [chosen for count in (3, 2, 1) for chosen in itertools.combinations(range(3), count)], ids=str)
    @pytest.mark.parametrize("threads", [1, 2])
    def test_closed_ones(self, tmp_path, closed, threads):
        """The store's file and the sockets must not get the number of a standard stream."""
        store, port = tmp_path / "store", free_port()
        arguments = ["-p", port, "-l", "127.0.0.1", "-e", store, "-vv", "-t", threads]
        for expected in [None, b"value"]:
            process = start_closed(closed, *arguments)
            try:
                poll(lambda: answers(port), "it answers")
                null = os.stat("/dev/null").st_rdev
                for fd in range(3):
                    assert os.stat(f"/proc/{process.pid}/fd/{fd}").st_rdev == null, fd
                with Connection(("127.0.0.1", port)) as connection:
                    assert connection.get(b"key") == expected
                    assert connection.set(b"key", b"value") == b"STORED"
                    assert connection.get(b"key") == b"value"
                assert run("inspect", store).returncode == 0
            finally:
                process.send_signal(signal.SIGTERM)
                try:
                    code = process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
                    raise
            assert code == 0
        assert [path.name for path in tmp_path.iterdir()] == ["store"]

    def test_a_command_that_prints(self):
        assert start_closed([0, 1, 2], "-V").wait(5) == 0
        assert start_closed([0, 1, 2], "ping", "-p", free_port()).wait(10) == 1


def answers(port):
    try:
        with Connection(("127.0.0.1", port)) as connection:
            return connection.ask(b"version\r\n").startswith(b"VERSION")
    except (ConnectionError, EOFError):
        return False
