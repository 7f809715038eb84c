"""The end of the process: SIGTERM ends it within a deadline, even if a thread hangs, and one line names the thread."""

import ctypes
import os
import signal
import time

import pytest

from server import cannot_test, poll

# Five seconds from the signal, and some more for a busy machine.
DEADLINE_SECONDS_MAX = 15.0
NOT_STOPPED = 71
PTRACE_SEIZE, PTRACE_INTERRUPT = 0x4206, 0x4207
WAIT_FOR_THREADS = 0x40000000


class HeldThread:
    """Stops one thread of a server, as if it hung in a loop or in a system call."""

    def __init__(self, server, name=None):
        """Without a name: the main thread."""
        self.is_main = name is None
        self.identifier = server.process.pid if self.is_main else thread_named(server, name)
        self.libc = ctypes.CDLL(None, use_errno=True)
        for request in (PTRACE_SEIZE, PTRACE_INTERRUPT):
            if self.libc.ptrace(request, self.identifier, None, None) != 0:
                cannot_test(f"ptrace is not allowed here: {os.strerror(ctypes.get_errno())}")
        os.waitpid(self.identifier, WAIT_FOR_THREADS)

    def reap(self):
        """A traced thread, and its process, stay as zombies until the tracer waits for them."""
        if not self.is_main:
            os.waitpid(self.identifier, WAIT_FOR_THREADS)


def thread_named(server, name):
    tasks = f"/proc/{server.process.pid}/task"
    for task in os.listdir(tasks):
        with open(f"{tasks}/{task}/comm") as comm:
            if comm.read().strip() == name:
                return int(task)
    raise AssertionError(f"no thread {name}")


def ends_at_the_deadline(server, held):
    """Sends SIGTERM. Returns the last line of standard error."""
    began = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    lines = server.directory / "stderr"
    poll(lambda: "not stopped after 5 s" in lines.read_text(), "the line at the deadline", DEADLINE_SECONDS_MAX)
    held.reap()
    code = server.process.wait(DEADLINE_SECONDS_MAX)
    took = time.monotonic() - began
    last = server.stderr.splitlines()[-1]
    server.kill()
    assert code == NOT_STOPPED and took > 4, (code, took)
    return last


def test_a_worker_that_hangs(start_server):
    server = start_server(threads=2)
    last = ends_at_the_deadline(server, HeldThread(server, "larder-1"))
    assert "larder-1." in last and "larder-0" not in last, last


def test_a_main_thread_that_hangs(start_server):
    """Only the thread that waits for signals handles SIGTERM."""
    server = start_server(threads=2)
    last = ends_at_the_deadline(server, HeldThread(server))
    assert "the main thread is busy" in last, last


def test_a_store_is_as_after_a_kill(start_server, tmp_path):
    file = tmp_path / "store"
    server = start_server("-e", file, threads=2)
    with server.connect() as connection:
        assert connection.set(b"key", b"value") == b"STORED"
    ends_at_the_deadline(server, HeldThread(server, "larder-1"))
    server = start_server("-e", file, threads=2)
    with server.connect() as connection:
        assert connection.get(b"key") == b"value"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_nothing_hangs(start_server, number):
    """The server does not wait for the deadline, and does not log it."""
    server = start_server(threads=2)
    began = time.monotonic()
    server.process.send_signal(number)
    assert server.wait() == 0 and time.monotonic() - began < 4
    assert "not stopped" not in server.stderr
    server.kill()


def test_threads_of_the_store_do_not_take_the_signal(start_server, tmp_path):
    """The cache's thread that writes the file starts before the workers."""
    cache = f"name=n,items=100,blocksize=4096,store={tmp_path / 'store'},store_sync=1"
    server = start_server("--cache", cache, threads=1)
    for task in os.listdir(f"/proc/{server.process.pid}/task"):
        with open(f"/proc/{server.process.pid}/task/{task}/status") as status:
            blocked = next(int(line.split()[1], 16) for line in status if line.startswith("SigBlk"))
        assert blocked >> (signal.SIGTERM - 1) & 1 or task in signal_takers(server), task
    server.process.send_signal(signal.SIGTERM)
    assert server.wait() == 0
    server.kill()


def signal_takers(server):
    return {str(thread_named(server, "larder-stop"))}


def test_shutdown_by_command(start_server):
    server = start_server("-A")
    with server.connect() as connection:
        connection.send(b"shutdown\r\n")
        assert connection.read_until_closed() == b""
    assert server.wait() == 0
    server.kill()
