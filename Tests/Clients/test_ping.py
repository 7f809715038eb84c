"""`larder ping` against sockets that answer well, badly, or not at all.

`LARDER_BINARY` names the program; without it, the release build of this repository.
"""

import fcntl
import os
import pathlib
import socket
import struct
import subprocess
import sys
import termios
import threading
import time

import pytest

from server import poll

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.environ.get("LARDER_BINARY", str(ROOT / ".build" / "release" / "larder"))

pytestmark = pytest.mark.larder_only


def unread(client):
    """Bytes that the other end of a TCP connection of this machine has not read; 0 when it is gone."""
    if client.family == socket.AF_UNIX:
        return struct.unpack("i", fcntl.ioctl(client, termios.TIOCOUTQ, bytes(4)))[0]
    ends = ["%08X:%04X" % (int.from_bytes(socket.inet_aton(host), sys.byteorder), port)
            for host, port in (client.getpeername(), client.getsockname())]
    with open("/proc/net/tcp") as file:
        for line in file:
            fields = line.split()
            if fields[1:3] == ends:
                return int(fields[4].partition(":")[2], 16)
    return 0


def ping(*arguments):
    return subprocess.run(
        [BINARY, "ping", *map(str, arguments)], capture_output=True, text=True, timeout=20, check=False)


class Answering:
    """A listener that gives each client the same pieces, a moment apart, and notes what it was asked."""

    def __init__(self, pieces, address=("127.0.0.1", 0), family=socket.AF_INET):
        self.pieces = pieces
        self.asked = []
        self.listener = socket.socket(family)
        self.listener.bind(address)
        self.listener.listen()
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def _serve(self):
        while True:
            client, _ = self.listener.accept()
            with client:
                asked = client.recv(100)
                if asked == b"stop":
                    return
                self.asked.append(asked)
                for piece in self.pieces or []:
                    client.sendall(piece)
                    # The next when this one was read; whoever has heard enough is gone.
                    poll(lambda: unread(client) == 0, "the piece is read")
                if self.pieces is None:
                    client.recv(1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with socket.socket(self.listener.family) as last:
            last.connect(self.listener.getsockname())
            last.sendall(b"stop")
            self.thread.join()
        self.listener.close()

    @property
    def port(self):
        return self.listener.getsockname()[1]


def test_an_answer_is_success_without_a_word():
    with Answering([b"VERSION 1.6.45\r\n"]) as server:
        done = ping("-p", server.port)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert server.asked == [b"version\r\n"]


def test_verbose_prints_the_answer():
    with Answering([b"VERS", b"ION 1.6.45\r", b"\n"]) as server:
        assert ping("-v", "-p", server.port, "-l", "127.0.0.1").stdout == "VERSION 1.6.45\n"


def test_unix_socket(tmp_path):
    path = str(tmp_path / "socket")
    with Answering([b"VERSION 1\r\n"], address=path, family=socket.AF_UNIX):
        assert ping("-s", path).returncode == 0
    assert ping("-s", tmp_path / "other").returncode == 1
    assert "too long" in ping("-s", "/" + "x" * 200).stderr


@pytest.mark.parametrize("pieces, reason", [
    ([b"ERROR Out of everything\r\n"], "ERROR Out of everything"),
    ([b"HTTP/1.1 400 Bad Request\r\n"], "HTTP/1.1"),
    ([b"VERSION 1.6.45"], "VERSION"),
    ([], "without an answer"),
    ([b"x" * 2000], "does not end"),
])
def test_other_answers_are_failures(pieces, reason):
    with Answering(pieces) as server:
        done = ping("-p", server.port)
        assert done.returncode == 1 and done.stdout == ""
        assert reason in done.stderr and len(done.stderr.splitlines()) == 1


def test_silence_ends_in_time():
    with Answering(None) as server:
        started = time.monotonic()
        done = ping("-p", server.port, "-t", "0.3")
        assert 0.25 < time.monotonic() - started < 3
        assert done.returncode == 1 and "in time" in done.stderr


def test_nobody_there():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        done = ping("-p", unused.getsockname()[1])
    assert done.returncode == 1 and "refused" in done.stderr
    assert ping("-l", "no-such-host.invalid").returncode == 1
