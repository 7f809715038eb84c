"""Every packet and datagram of `Tests/Conversations/uwsgi.packets`, to a Larder and to a real uWSGI.

Each request is on a connection of its own: whole, byte by byte, and in two pieces, cut at every byte. The listener is a
socket file: there a client sees when the server has read a piece, and sends the next one only then.
"""

import dataclasses
import fcntl
import re
import socket
import struct
import termios
import time

import pytest

from server import ROOT, Connection, free_port, poll
from uwsgi_client import UwsgiClient

FILE = ROOT / "Tests" / "Conversations" / "uwsgi.packets"
# Larder's own datagrams, which it sends each second.
GREETING = bytes.fromhex("6f09004c00") + bytes(8)


@dataclasses.dataclass
class Step:
    """`kind` is packet, half, told or told to others. `answer` and `uwsgi` are what comes back, or None."""

    kind: str
    sent: str
    answer: str | None = None
    uwsgi: str | None = None


def read_file():
    """The options, and the steps of each title."""
    options, conversations, steps = [], {}, None
    for number, line in enumerate(FILE.read_text().splitlines(), 1):
        word, _, rest = line.partition(" ")
        if line.startswith("options: "):
            options = rest.split()
        elif line.startswith("== "):
            steps = conversations.setdefault(rest, [])
        elif line.startswith("halved -> "):
            steps.append(Step("half", line[10:]))
        elif word == "->":
            steps.append(Step("packet", rest))
        elif line.startswith("udp -> "):
            steps.append(Step("told", line[7:]))
        elif line.startswith("udp <- "):
            steps.append(Step("told to others", "", line[7:], line[7:]))
        elif word == "<-":
            steps[-1].answer = steps[-1].uwsgi = rest
        elif word == "uwsgi":
            steps[-1].uwsgi = {"nothing": "", "skips this": None}.get(rest, rest)
        else:
            assert not line or line.startswith("#"), f"line {number}: {line}"
    return options, conversations


OPTIONS, CONVERSATIONS = read_file()


def now_in(text, now):
    return re.sub(r"\{now([+-]\d+)\}", lambda match: (b"%d" % (now + int(match[1]))).hex(), text)


def bytes_of(text, now=None):
    text = now_in(text, int(now or time.time()))
    text = re.sub(r"\{(\w\w)\*(\d+)\}", lambda match: match[1] * int(match[2]), text)
    return bytes.fromhex(text)


def matches(data, text, began):
    """Whether these are the bytes. A time may be any since `began`, and a second more."""
    if any_bytes := re.match(r"\{(\d+) bytes\}", text):
        count = int(any_bytes[1])
        return len(data) >= count and data[count:] == bytes_of(text[any_bytes.end():])
    return any(data == bytes_of(text, now) for now in range(int(began), int(time.time()) + 2))


def packet(**fields):
    """A packet with a dictionary."""
    strings = [each for name, value in fields.items() for each in (name.encode(), value)]
    body = b"".join(len(each).to_bytes(2, "little") + each for each in strings)
    return b"\x6f" + len(body).to_bytes(2, "little") + b"\x11" + body


class Larder:
    """A Larder, its socket file, and its peer of datagrams."""

    def __init__(self, start_server, directory):
        self.node = Node()
        self.udp = free_port()
        self.path = str(directory / "uwsgi")
        sync = f"udp=127.0.0.1:{self.udp},nodes=127.0.0.1:{self.node.port}"
        self.server = start_server(
            *(each.format(sync=sync) for each in OPTIONS), "--uwsgi", self.path, threads=1)

    def answer(self, request, pieces):
        with Connection(self.path) as client:
            start = 0
            for length in pieces:
                try:
                    client.send(request[start:start + length])
                except (BrokenPipeError, ConnectionResetError):
                    break
                start += length
                if start < len(request):
                    poll(lambda: unread(client.socket) == 0, "the server has read the piece", interval=0)
            return client.read_until_closed()

    def give_half(self, request):
        """It waits for the rest, and the client leaves."""
        with Connection(self.path) as client:
            client.send(request)
            poll(lambda: unread(client.socket) == 0, "the server has read the piece", interval=0)
            assert not client.is_closed() and not client.received

    def close(self):
        self.node.close()


class Peer:
    """The same caches in a real uWSGI."""

    def __init__(self, directory):
        self.node = Node()
        self.udp = free_port()
        caches = [each for each in OPTIONS if each != "--cache"]
        sync = f"udp=127.0.0.1:{self.udp},node=127.0.0.1:{self.node.port}"
        self.uwsgi = UwsgiClient(directory, *(each.format(sync=sync).replace("=64k", "=65536") for each in caches))

    def answer(self, request, pieces):
        with Connection(("127.0.0.1", self.uwsgi.socket_port)) as client:
            client.send(request)
            return client.read_until_closed()

    def give_half(self, request):
        with Connection(("127.0.0.1", self.uwsgi.socket_port)) as client:
            client.send(request)

    def close(self):
        self.uwsgi.stop()
        self.node.close()


class Node:
    """The other server of `nodes=`, which only keeps what it is told."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(10)
        self.port = self.socket.getsockname()[1]

    def receive(self):
        while (datagram := self.socket.recv(1 << 16)) == GREETING:
            pass
        return datagram

    def close(self):
        self.socket.close()


def unread(sock):
    """How many bytes the other end of a socket file has not read yet."""
    return struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)))[0]


def hold(server, steps, cut, field):
    """The steps of one title; `cut(length)` is how a request is sent."""
    began = time.time()
    told = False
    for number, step in enumerate(steps):
        expected = getattr(step, field)
        sent = bytes_of(step.sent, began)
        if step.kind == "told":
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                sender.sendto(sent, ("127.0.0.1", server.udp))
            told = True
        elif step.kind == "told to others":
            datagram = server.node.receive()
            assert matches(datagram, expected, began), (number, datagram.hex(), expected)
        elif step.kind == "half":
            server.give_half(sent)
        elif expected is not None:
            answers = []

            def is_right():
                answers.append(server.answer(sent, cut(len(sent))))
                return matches(answers[-1], expected, began)

            if told:
                # A datagram arrives at some time.
                poll(is_right, lambda: (number, step.sent, answers[-1].hex()), 10)
                told = False
            else:
                assert is_right(), (number, step.sent, answers[-1].hex())


def forget(server, passes):
    """Removes what a title has stored, and takes the datagrams about it."""
    for key in [b"k", b"a", b"i", b"n", b"n1", b"z"]:
        server.answer(packet(cmd=b"del", key=key), [1 << 16])
    mark = b"mark-%b" % str(passes).encode()
    server.answer(packet(cmd=b"update", key=b"mark", size=b"%d" % len(mark)) + mark, [1 << 16])
    while mark not in server.node.receive():
        pass


@pytest.fixture(scope="module")
def peer(tmp_path_factory):
    peer = Peer(tmp_path_factory.mktemp("peer"))
    yield peer
    peer.close()


@pytest.mark.parametrize("title", CONVERSATIONS)
def test_with_larder(start_server, tmp_path, title):
    larder = Larder(start_server, tmp_path)
    try:
        steps = CONVERSATIONS[title]
        # Of thousands of equal bytes the first cuts say all.
        longest = min(100, max(len(bytes_of(step.sent)) for step in steps))
        hold(larder, steps, lambda length: [length], "answer")
        forget(larder, 0)
        hold(larder, steps, lambda length: [1] * length, "answer")
        for at in range(1, longest):
            forget(larder, at)
            hold(larder, steps, lambda length: [min(at, length), max(0, length - at)], "answer")
        larder.server.assert_alive()
    finally:
        larder.close()


@pytest.mark.parametrize("title", CONVERSATIONS)
def test_with_uwsgi(peer, title):
    """The file says what a real uWSGI does."""
    hold(peer, CONVERSATIONS[title], lambda length: [length], "uwsgi")
    forget(peer, title)


def test_every_modifier_is_sent():
    sent = [bytes_of(step.sent) for steps in CONVERSATIONS.values() for step in steps if step.sent]
    assert {each[3] for each in sent if each[0] == 0x6F} >= {0, 1, 2, 3, 4, 5, 6, 10, 11, 17}
