"""Copies of a cache on other servers, uWSGI's nodes= and udp=: byte for byte, among Larders, and with a real uWSGI."""

import multiprocessing
import os
import random
import re
import signal
import socket
import subprocess
import time

import pytest

from server import Connection, binary, free_port, poll, run
from uwsgi_client import UwsgiClient, remote

SHAPE = "items=5000,blocksize=70000"
DATAGRAM_MAX = 65_507
# Larder's own datagrams, which uWSGI ignores.
GREETING = bytes.fromhex("6f09004c00") + bytes(8)
CLEAR = bytes.fromhex("6f09004c01") + bytes(8)


def listing(**lists):
    return "".join(f",{key}={';'.join(each)}" for key, each in lists.items() if each)


def at(port, host="127.0.0.1"):
    return f"{host}:{port}"


class Larder:
    """A server with one cache that has nodes, and a client of that cache."""

    def __init__(self, start_server, nodes=(), port=None, *options, threads=2):
        self.port = port or free_port()
        fields = f"name=synced,{SHAPE},listen=:0" + listing(nodes=nodes, udp=[at(self.port)])
        self.server = start_server("--cache", fields, *options, threads=threads)
        self.address = self.server.addresses[1]
        self.client = Connection(self.address)

    def counters(self):
        return {name.removeprefix("sync_"): int(value) for name, value in self.client.stats("larder").items()
                if name.startswith("sync_")}

    def count(self, name):
        return self.counters()[name]

    def send(self, *datagrams, by=None):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            if by:
                sender.bind((by, 0))
            for each in datagrams:
                sender.sendto(each, ("127.0.0.1", self.port))


class Peer:
    """A node that is no server: it only keeps the datagrams."""

    def __init__(self, host="127.0.0.1"):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.socket.bind((host, 0))
        self.socket.settimeout(10)
        self.place = at(self.socket.getsockname()[1], host)

    def receive(self):
        """The next datagram, without the greetings."""
        end = time.monotonic() + 10
        while time.monotonic() < end:
            datagram = self.socket.recv(1 << 16)
            if datagram != GREETING:
                return datagram
        raise TimeoutError("only greetings came for ten seconds")

    def greet(self, larder):
        self.socket.sendto(GREETING, ("127.0.0.1", larder.port))

    def close(self):
        self.socket.close()


@pytest.fixture
def peer():
    peer = Peer()
    yield peer
    peer.close()


def text(value):
    return len(value).to_bytes(2, "little") + value


def packet(modifier2, *strings):
    body = b"".join(text(each) for each in strings)
    return b"\x6f" + len(body).to_bytes(2, "little") + bytes([modifier2]) + body


def stored(key, value, expires=b"0", flags=0):
    return packet(10, key, value, expires, *([flags.to_bytes(4, "little")] if flags else []))


def deleted(key):
    # Two bytes of padding, which are an empty string.
    return packet(11, key, b"")


class TestSending:
    def test_each_change(self, start_server, peer):
        client = Larder(start_server, [peer.place]).client
        assert client.set(b"k", b"v") == b"STORED"
        assert peer.receive() == bytes.fromhex("6f09000a 0100 6b 0100 76 0100 30")
        assert client.set(b"k", b"w", flags=0x01020304) == b"STORED"
        assert peer.receive() == stored(b"k", b"w", flags=0x01020304)
        for command in [b"append", b"prepend"]:
            assert client.set(b"k", b"x", verb=command) == b"STORED"
        assert peer.receive() == stored(b"k", b"wx", flags=0x01020304)
        assert peer.receive() == stored(b"k", b"xwx", flags=0x01020304)
        before = int(time.time())
        assert client.ask(b"touch k 100\r\n") == b"TOUCHED"
        told = peer.receive()
        expires = int(told[-16:-6])
        assert before + 99 <= expires <= time.time() + 102
        assert told == stored(b"k", b"xwx", b"%d" % expires, flags=0x01020304)
        assert client.set(b"n", b"5") == b"STORED"
        assert peer.receive() == stored(b"n", b"5")
        assert client.ask(b"incr n 2\r\n") == b"7"
        # The sum. uWSGI sends the number that was added.
        assert peer.receive() == stored(b"n", b"7")
        assert client.ask(b"ms m 1 T0\r\nv\r\n") == b"HD"
        assert peer.receive() == stored(b"m", b"v")
        assert client.ask(b"md m\r\n") == b"HD"
        assert peer.receive() == bytes.fromhex("6f05000b 0100 6d 0000")
        assert client.ask(b"delete k\r\n") == b"DELETED"
        assert peer.receive() == deleted(b"k")

    def test_what_is_no_change(self, start_server, peer):
        client = Larder(start_server, [peer.place]).client
        assert client.ask(b"delete none\r\n") == b"NOT_FOUND"
        assert client.set(b"none", b"v", verb=b"replace") == b"NOT_STORED"
        assert client.get(b"none") is None
        assert client.set(b"k", b"v", verb=b"add") == b"STORED"
        assert client.set(b"k", b"w", verb=b"add") == b"NOT_STORED"
        assert client.get(b"k") == b"v"
        assert client.ask(b"delete k\r\n") == b"DELETED"
        assert [peer.receive(), peer.receive()] == [stored(b"k", b"v"), deleted(b"k")]

    def test_what_does_not_fit(self, start_server, peer):
        """A datagram of 65,507 bytes is sent. Above that a delete is sent, so that no peer keeps the old value."""
        larder = Larder(start_server, [peer.place])
        fits = b"x" * (DATAGRAM_MAX - 12)
        assert larder.client.set(b"k", fits) == b"STORED"
        assert peer.receive() == stored(b"k", fits)
        assert larder.count("too_large") == 0
        assert larder.client.set(b"k", fits + b"x") == b"STORED"
        assert peer.receive() == deleted(b"k")
        assert larder.count("too_large") == 1
        assert larder.client.set(b"k", b"x" * 66_000) == b"STORED"
        assert peer.receive() == deleted(b"k")
        # A value that this cache refuses is deleted on the other servers.
        assert larder.client.set(b"k", b"v") == b"STORED"
        assert peer.receive() == stored(b"k", b"v")
        assert larder.client.set(b"k", b"x" * 70_001) == b"SERVER_ERROR object too large for cache"
        assert peer.receive() == deleted(b"k")

    def test_an_empty_value(self, start_server, peer):
        """uWSGI ignores an empty value, and would keep the old one. A Larder stores it."""
        larder = Larder(start_server, [peer.place])
        assert larder.client.set(b"k", b"") == b"STORED"
        assert peer.receive() == deleted(b"k")
        peer.greet(larder)
        poll(lambda: larder.count("received") == 1, "the greeting arrives")
        assert larder.client.set(b"k", b"") == b"STORED"
        assert peer.receive() == stored(b"k", b"")

    def test_pipelined_changes(self, start_server, peer):
        """Changes of one turn: the last datagram of each key has its last state."""
        client = Larder(start_server, [peer.place], threads=1).client
        keys = [b"key-%d" % number for number in range(50)]
        for value in range(4):
            client.send(b"".join(b"set %b 0 0 1 noreply\r\n%d\r\n" % (key, value) for key in keys))
        client.send(b"set end 0 0 1\r\n.\r\n")
        assert client.read_line() == b"STORED"
        last = {}
        while (datagram := peer.receive()) != stored(b"end", b"."):
            last[datagram[6:6 + datagram[4]]] = datagram
        assert last == {key: stored(key, b"3") for key in keys}

    def test_clear(self, start_server):
        """A Larder gets one datagram. A node that sent no greeting also gets a delete of each key."""
        larder_node, other = Peer(), Peer()
        keys = {b"key-%d" % number for number in range(300)}
        try:
            larder = Larder(start_server, [larder_node.place, other.place])
            larder_node.greet(larder)
            poll(lambda: larder.count("received") == 1, "the greeting arrives")
            for key in keys:
                assert larder.client.set(key, b"v") == b"STORED"
            for each in [larder_node, other]:
                assert {each.receive() for _ in keys} == {stored(key, b"v") for key in keys}
            assert larder.client.ask(b"flush_all\r\n") == b"OK"
            assert other.receive() == CLEAR
            assert {other.receive() for _ in keys} == {deleted(key) for key in keys}
            assert larder.client.set(b"after", b"v") == b"STORED"
            for each, told in [(larder_node, [CLEAR, stored(b"after", b"v")]), (other, [stored(b"after", b"v")])]:
                assert [each.receive() for _ in told] == told
            # A flush at a later time is sent to a Larder only.
            assert larder.client.ask(b"flush_all 1000\r\n") == b"OK"
            for each in [larder_node, other]:
                told = each.receive()
                assert told[:5] == CLEAR[:5]
                assert abs(int.from_bytes(told[5:], "little") / 1000 - 1000 - time.time()) < 60
        finally:
            larder_node.close()
            other.close()


class TestReceiving:
    def test_what_uwsgi_sends(self, start_server):
        larder = Larder(start_server)
        now = int(time.time())
        larder.send(
            bytes.fromhex("6f09000a 0100 6b 0100 76 0100 30"),
            stored(b"absolute", b"v2", b"%d" % (now + 100)),
            bytes.fromhex("6f0b000a 0100 61 0100 76 0300 313030"),
            bytes.fromhex("6f11000a 0100 69 0800 0200000000000000 0200 3330"),
            stored(b"old", b"v", b"%d" % (now - 100)), packet(10, b"never", b"v"), stored(b"flags", b"v", flags=7),
            stored(b"gone", b"v"), stored(b"deleted", b"v"), bytes.fromhex("6f06000b 0400") + b"gone",
            packet(11, b"deleted", b""), stored(b"end", b"v"))
        client = larder.client
        poll(lambda: client.get(b"end"), "all are received")
        assert client.get_many([b"k", b"absolute", b"a", b"i", b"old", b"never", b"flags", b"gone", b"deleted"]) == {
            b"k": b"v", b"absolute": b"v2", b"a": b"v", b"i": b"\2" + bytes(7), b"never": b"v", b"flags": b"v"}
        for key, least, most in [(b"absolute", 40, 101), (b"a", 40, 100), (b"i", 1, 30)]:
            assert least <= int(client.ask(b"mg %b t\r\n" % key).removeprefix(b"HD t")) <= most
        for key in [b"k", b"never"]:
            assert client.ask(b"mg %b t\r\n" % key) == b"HD t-1"
        assert client.ask(b"mg flags f\r\n") == b"HD f7"
        assert larder.counters() == {
            "sent": 0, "received": 12, "too_large": 0, "dropped": 0, "refused": 0, "malformed": 0}

    def test_datagrams_without_effect(self, start_server):
        larder = Larder(start_server)
        assert larder.client.set(b"k", b"v") == b"STORED"
        larder.send(
            b"", b"\x6f", bytes.fromhex("6e05000b 0100 6b 0000"), bytes.fromhex("6f06000b 0100 6b 0000"),
            bytes.fromhex("6f050009 0100 6b 0000"), bytes.fromhex("6f05000a 0100 6b ffff"),
            bytes.fromhex("6f03000b ffff 6b"), packet(10, b"k" * 2049, b"v", b"0"), packet(10, b"k", b"w", b"-1"))
        # uWSGI's clear sends these.
        larder.send(*[bytes.fromhex("6f02000b 0000")] * 3, packet(10, b"", b"v", b"0"), stored(b"end", b"v"))
        poll(lambda: larder.client.get(b"end"), "all are received")
        assert larder.client.get(b"k") == b"v"
        counts = [larder.count(name) for name in ["malformed", "dropped", "received"]]
        # The longest key of the cache has 2,048 bytes.
        assert counts == [8, 1, 5]

    def test_what_has_no_room(self, start_server):
        """The old value is dropped, so the cache has no value older than the received one."""
        larder = Larder(start_server)
        assert larder.client.set(b"k", b"v") == b"STORED"
        small = free_port()
        server = start_server(
            "--cache", f"name=small,items=10,blocksize=8,listen=:0,udp={at(small)}")
        with Connection(server.addresses[1]) as client, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            assert client.set(b"k", b"v") == b"STORED"
            sender.sendto(stored(b"k", b"123456789"), ("127.0.0.1", small))
            poll(lambda: client.stats("larder")["sync_dropped"] == "1", "it is received")
            assert client.get(b"k") is None

    def test_nothing_is_sent_again(self, start_server, peer):
        larder = Larder(start_server, [peer.place])
        for number in range(100):
            larder.send(stored(b"key-%d" % number, b"v"), deleted(b"key-%d" % (number // 2)), packet(11, b"none", b""))
        larder.send(CLEAR, stored(b"end", b"v"))
        poll(lambda: larder.client.get(b"end"), "all are received")
        assert larder.client.get(b"key-99") is None
        assert larder.client.set(b"own", b"v") == b"STORED"
        assert peer.receive() == stored(b"own", b"v")

    def test_senders_that_nodes_does_not_name(self, start_server):
        larder = Larder(start_server, ["127.0.0.2:9", "127.0.0.3:9"])
        larder.send(stored(b"stranger", b"v"), CLEAR, GREETING)
        poll(lambda: larder.count("refused") == 3, "all are received")
        larder.send(stored(b"first", b"v"), by="127.0.0.2")
        larder.send(stored(b"second", b"v"), by="127.0.0.3")
        poll(lambda: larder.count("received") == 2, "all are received")
        keys = [b"stranger", b"first", b"second"]
        assert larder.client.get_many(keys) == {b"first": b"v", b"second": b"v"}

    def test_clear(self, start_server):
        larder, kept = Larder(start_server), Larder(start_server, [], None, "-F")
        for each in [larder, kept]:
            assert each.client.set(b"k", b"v") == b"STORED"
            later = int((time.time() + 1000) * 1000).to_bytes(8, "little")
            each.send(CLEAR[:5] + later, stored(b"end", b"v"))
            poll(lambda: each.client.get(b"end"), "all are received")
            assert each.client.get(b"k") == b"v"
            each.send(CLEAR)
        poll(lambda: larder.client.get(b"k") is None, "it is cleared")
        # With -F no server may clear the cache.
        poll(lambda: kept.count("refused") == 2, "all are received")
        assert kept.client.get(b"k") == b"v"

    def test_a_reset_of_the_counters(self, start_server):
        larder = Larder(start_server)
        larder.send(b"wrong")
        poll(lambda: larder.count("malformed") == 1, "it is received")
        assert larder.client.stats("caches")["synced:sync_malformed"] == "1"
        assert larder.client.ask(b"stats reset\r\n") == b"RESET"
        assert larder.count("malformed") == 0


def flood(port, seconds):
    """Datagrams without a pause, most of which change something."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for number in range(256):
                sender.sendto(stored(b"flood-%d" % number, b"x" * 1000), ("127.0.0.1", port))


def test_other_machines_are_no_part_of_this_one():
    """A machine that may bind sockets to any address leaves out only its own addresses."""
    port = free_port()
    nodes = [f"{host}:{port}" for host in ["192.0.2.7", "192.0.2.8", "127.0.0.3"]]
    fields = f"name=synced,{SHAPE},udp=0.0.0.0:{port}" + listing(nodes=nodes)
    network = (
        "ip link set lo up; ip address add 192.0.2.7/32 dev lo; echo 1 > /proc/sys/net/ipv4/ip_nonlocal_bind; "
        'exec "$@"')
    server = [binary(), "-p", "0", "--uwsgi", "127.0.0.1:0", "--cache", fields]
    process = subprocess.Popen(
        ["unshare", "--net", "sh", "-euc", network, "sh", *server], stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True)
    try:
        line = next(line for line in process.stderr if " tells " in line)
    finally:
        process.kill()
        process.communicate()
    assert line.startswith(f'cache "synced" tells udp:192.0.2.8:{port} of its changes')


class TestAmongLarders:
    @pytest.mark.parametrize("threads", [1, 4])
    def test_two_converge(self, start_server, threads):
        """Each server's clients change keys of their own. In the end both servers have the same items."""
        ports = [free_port(), free_port()]
        both = [at(port) for port in ports]
        # Both servers have the same list, and skip their own address.
        larders = [Larder(start_server, both, port, threads=threads) for port in ports]
        seed = random.randrange(1 << 32)
        print("seed", seed)
        numbers = random.Random(seed)
        keys = [b"key-%d" % number for number in range(60)]
        # Each sends a greeting once a second. After it, empty values are sent, too.
        for larder in larders:
            poll(lambda: larder.count("received") > 0, "the greeting arrives", 10)
        clients = [(side, Connection(larder.address)) for side, larder in enumerate(larders) for _ in range(3)]
        for number in range(3000):
            if number % 30 == 0:
                # What was sent before has mostly arrived, so that the sockets' buffers have room.
                for sender, receiver in [larders, larders[::-1]]:
                    assert sender.client.set(b"mark", b"%d" % number) == b"STORED"
                    poll(lambda: receiver.client.get(b"mark") == b"%d" % number, "the mark arrives", 20)
            side, client = numbers.choice(clients)
            key = numbers.choice(keys[side::2])
            value = numbers.randbytes(numbers.choice([0, 1, 10, 1000, 5000]))
            kind = numbers.randrange(8)
            if kind < 4:
                client.set(key, value, flags=numbers.choice([0, 5]), exptime=numbers.choice([0, 5000]))
            elif kind < 5:
                client.set(key, value, verb=numbers.choice([b"append", b"add", b"replace"]))
            elif kind < 6:
                client.ask(b"touch %b 7000\r\n" % key)
            else:
                client.ask(b"delete %b\r\n" % key)

        def state(larder):
            lines = []
            for key in keys:
                larder.client.send(b"mg %b v f\r\n" % key)
                line = larder.client.read_line()
                lines.append(line)
                if line != b"EN":
                    lines.append(larder.client.read_exactly(int(line.split()[1]) + 2))
            return lines

        poll(lambda: state(larders[0]) == state(larders[1]), "both have the same", 20, interval=0.1)
        assert any(line != b"EN" for line in state(larders[0]))
        for larder in larders:
            counts = larder.counters()
            assert counts["sent"] > 0 and counts["received"] > 0
            assert [counts[name] for name in ["dropped", "refused", "malformed"]] == [0, 0, 0]
        assert larders[0].client.ask(b"flush_all\r\n") == b"OK"
        poll(lambda: all(line == b"EN" for line in state(larders[1])), "the other one is cleared")
        for _, client in clients:
            client.close()

    def test_a_clear_among_larders_is_one_datagram(self, start_server):
        ports = [free_port(), free_port()]
        larders = [Larder(start_server, [at(port) for port in ports], port) for port in ports]
        for larder in larders:
            poll(lambda: larder.count("received") > 0, "the greeting arrives", 10)
        sender, receiver = larders
        for number in range(100):
            assert sender.client.set(b"key-%d" % number, b"v") == b"STORED"
        poll(lambda: receiver.client.get(b"key-99"), "all are told")
        before = sender.count("sent")
        assert sender.client.ask(b"flush_all\r\n") == b"OK"
        poll(lambda: receiver.client.get(b"key-0") is None, "it is cleared")
        assert sender.count("sent") == before + 1

    def test_a_flood_stops_nobody(self, start_server):
        larder = Larder(start_server)
        clients = [Connection(larder.address) for _ in range(4)]
        flooding = multiprocessing.Process(target=flood, args=(larder.port, 3))
        flooding.start()
        try:
            poll(lambda: larder.count("received") > 1000, "the flood has begun", 20)
            for number in range(500):
                for place, client in enumerate(clients):
                    key = b"own-%d" % place
                    assert client.set(key, b"%d" % number) == b"STORED"
                    assert client.get(key) == b"%d" % number
            assert larder.client.set(b"k", b"v") == b"STORED"
        finally:
            flooding.join()
            for client in clients:
                client.close()
        assert flooding.exitcode == 0
        larder.server.assert_alive()


@pytest.mark.parametrize("batch", [1, 7, 20])
def test_a_turn_takes_a_batch_of_datagrams(start_server, batch):
    """-R datagrams are read, then the worker's clients are served, however many datagrams wait."""
    larder = Larder(start_server, [], None, "-R", str(batch), threads=1)
    assert larder.client.ask(b"version\r\n").startswith(b"VERSION")
    process = larder.server.process
    process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED)
    # Both wait for the worker, the datagrams first.
    larder.send(*[stored(b"flood-%d" % number, b"v") for number in range(100)])
    larder.client.send(b"stats larder\r\n")
    process.send_signal(signal.SIGCONT)
    answer = {}
    while (line := larder.client.read_line()) != b"END":
        _, name, value = line.split(b" ", 2)
        answer[name] = value
    assert 1 <= int(answer[b"sync_received"]) <= batch
    poll(lambda: larder.count("received") == 100, "all are received")


class TestLongKeys:
    """Their clients speak the uwsgi protocol. The other side is a socket, a Larder, or a real uWSGI."""

    @staticmethod
    def server(start_server, nodes, port, fields=SHAPE):
        server = start_server(
            "--cache", f"name=synced,{fields}" + listing(nodes=nodes, udp=[at(port)]), "--uwsgi", "127.0.0.1:0")
        return server, server.addresses[1][1]

    @staticmethod
    def ask(port, command, key, value=b""):
        """Whether the answer is ok."""
        fields = [b"cmd", command, b"key", key, *([b"size", b"%d" % len(value)] if value else [])]
        with Connection(("127.0.0.1", port)) as connection:
            connection.send(packet(17, *fields) + value)
            return b"status\x02\x00ok" in connection.read_until_closed()

    def test_datagrams(self, start_server, peer):
        port = free_port()
        server, uwsgi = self.server(start_server, [peer.place], port, "items=50,blocksize=70000,keysize=65535")
        for length in [250, 251, 255, 256, 257, 2048, 60_000]:
            key = random.Random(length).randbytes(length)
            assert self.ask(uwsgi, b"update", key, b"v")
            assert peer.receive() == stored(key, b"v")
            assert self.ask(uwsgi, b"del", key)
            assert peer.receive() == deleted(key)
        # Key and value do not fit together, so a delete is sent.
        assert self.ask(uwsgi, b"update", b"k" * 60_000, b"v" * 6000)
        assert peer.receive() == deleted(b"k" * 60_000)
        # A flush sends a delete of each key to a node that is no Larder.
        keys = {bytes([65 + n]) * (255 + n) for n in range(5)}
        for key in keys:
            assert self.ask(uwsgi, b"update", key, b"v")
            assert peer.receive() == stored(key, b"v")
        assert self.ask(uwsgi, b"clear", b"")
        assert peer.receive() == CLEAR
        assert {peer.receive() for _ in range(6)} == {deleted(key) for key in keys | {b"k" * 60_000}}
        server.assert_alive()

    def test_received(self, start_server):
        port = free_port()
        server, uwsgi = self.server(start_server, [], port)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for length in [250, 251, 255, 256, 257, 2048]:
                key = random.Random(length).randbytes(length)
                sender.sendto(stored(key, b"v"), ("127.0.0.1", port))
                poll(lambda: self.ask(uwsgi, b"exists", key), f"{length} bytes arrive", interval=0.02)
                sender.sendto(deleted(key), ("127.0.0.1", port))
                poll(lambda: not self.ask(uwsgi, b"exists", key), f"{length} bytes are deleted", interval=0.02)
            # Longer than keysize.
            for datagram in [stored(b"k" * 2049, b"v"), deleted(b"k" * 2049)]:
                sender.sendto(datagram, ("127.0.0.1", port))

            def dropped():
                return int(server.stats("caches")["synced:sync_dropped"])

            poll(lambda: dropped() == 2, "both are dropped", interval=0.02)

    def test_with_uwsgi(self, start_server, tmp_path):
        ours, theirs, third = free_port(), free_port(), free_port()
        real = UwsgiClient(
            tmp_path, f"name=synced,items=1001,blocksize=70000{listing(nodes=[at(ours)], udp=[at(theirs)])}")
        try:
            _, uwsgi = self.server(start_server, [at(theirs), at(third)], ours)
            _, other = self.server(start_server, [at(ours)], third)
            for length in [250, 251, 255, 256, 2048]:
                key = random.Random(length).randbytes(length)
                assert self.ask(uwsgi, b"update", key, b"ours")
                poll(lambda: real.get(key, "synced") == b"ours", f"{length} bytes arrive", interval=0.02)
                poll(lambda: self.ask(other, b"exists", key), f"{length} bytes arrive at the other", interval=0.02)
                assert real.update(key, b"theirs", 0, "synced") is True
                poll(lambda: remote(uwsgi, key, b"synced")[0] == b"theirs", f"{length} come back", interval=0.02)
                assert self.ask(uwsgi, b"del", key)
                poll(lambda: real.exists(key, "synced") is None, f"{length} bytes are deleted", interval=0.02)
                poll(lambda: not self.ask(other, b"exists", key), f"{length} are deleted there", interval=0.02)
        finally:
            real.stop()


class TestWithUwsgi:
    @pytest.fixture
    def pair(self, start_server, tmp_path):
        """A Larder and a real uWSGI that send each other their changes."""
        ours, theirs = free_port(), free_port()
        uwsgi = UwsgiClient(
            tmp_path, f"name=synced,items=1001,blocksize=70000{listing(nodes=[at(ours)], udp=[at(theirs)])}")
        try:
            yield Larder(start_server, [at(theirs)], ours), uwsgi
        finally:
            uwsgi.stop()

    def test_from_larder(self, pair, tmp_path):
        larder, uwsgi = pair
        client = larder.client

        def arrives(key, value):
            poll(lambda: uwsgi.get(key, "synced") == value, f"{key} arrives", 10, interval=0.02)

        assert client.set(b"k", b"v") == b"STORED"
        arrives(b"k", b"v")
        assert client.set(b"k", b"other", flags=9) == b"STORED"
        arrives(b"k", b"other")
        largest = b"x" * (DATAGRAM_MAX - 12)
        assert client.set(b"k", largest) == b"STORED"
        arrives(b"k", largest)
        # For one byte more a delete is sent, with the padding that uWSGI needs.
        assert client.set(b"k", largest + b"x") == b"STORED"
        arrives(b"k", None)
        for key in [b"k", b"long-key-0", b"x" * 250]:
            assert client.set(key, b"v") == b"STORED"
            arrives(key, b"v")
            assert client.ask(b"delete %b\r\n" % key) == b"DELETED"
            arrives(key, None)
        assert client.set(b"short", b"v", exptime=1) == b"STORED"
        # uWSGI serves an expired item until a sweep. Datagrams cause no sweep, so the test sets an item on the uWSGI.
        poll(lambda: uwsgi.exists(b"short", "synced"), "it arrives", interval=0.02)
        assert uwsgi.set(b"sweep", b"v", 1, "synced") is True
        poll(lambda: uwsgi.exists(b"short", "synced") is None, "it expires", 20, interval=0.1)
        keys = [b"key-%d" % number for number in range(150)]
        for key in keys:
            assert client.set(key, b"v") == b"STORED"
        arrives(keys[-1], b"v")
        assert client.ask(b"flush_all\r\n") == b"OK"
        poll(lambda: not any(uwsgi.exists(key, "synced") for key in keys[::20]), "all are deleted", 10, interval=0.1)
        # uWSGI logs nothing about the greetings.
        assert "read()" not in (tmp_path / "uwsgi.log").read_text()

    def test_from_uwsgi(self, pair):
        larder, uwsgi = pair
        client = larder.client

        def arrives(key, value):
            poll(lambda: client.get(key) == value, f"{key} arrives", 10)

        assert uwsgi.set(b"k", b"v", 0, "synced") is True
        arrives(b"k", b"v")
        assert client.ask(b"mg k t\r\n") == b"HD t-1"
        assert uwsgi.update(b"k", b"other", 100, "synced") is True
        arrives(b"k", b"other")
        assert 40 <= int(client.ask(b"mg k t\r\n").removeprefix(b"HD t")) <= 101
        assert uwsgi("del", b"k", "synced") is True
        arrives(b"k", None)
        assert uwsgi.set(b"short", b"v", 1, "synced") is True
        poll(lambda: larder.count("received") >= 4, "it arrives", 10)
        arrives(b"short", None)
        largest = b"x" * 65_480
        assert uwsgi.update(b"k", largest, 0, "synced") is True
        arrives(b"k", largest)
        # Larder does not send received changes again. A uWSGI sends them to its own nodes.
        assert larder.count("sent") == 0
        assert uwsgi.clear("synced") is True
        assert uwsgi.set(b"end", b"v", 0, "synced") is True
        arrives(b"end", b"v")
        # uWSGI's clear deletes no item on other servers.
        assert client.get(b"k") == largest
        assert larder.count("malformed") == 0

    def test_a_clear_over_the_network(self, start_server, tmp_path):
        """uWSGI's `cache_clear` of a Larder's cache empties the cache of its node, a uWSGI, key by key."""
        theirs, path = free_port(), str(tmp_path / "uwsgi.sock")
        uwsgi = UwsgiClient(tmp_path, f"name=synced,items=1001,blocksize=70000{listing(udp=[at(theirs)])}")
        node = Peer()
        try:
            larder = Larder(start_server, [at(theirs), node.place], None, "--uwsgi", path)
            node.greet(larder)
            poll(lambda: larder.count("received") == 1, "the greeting arrives")
            keys = [b"key-%d" % number for number in range(150)]
            for key in keys:
                assert larder.client.set(key, b"v") == b"STORED"
                assert node.receive() == stored(key, b"v")
            poll(lambda: uwsgi.get(keys[-1], "synced") == b"v", "all arrive", 10, interval=0.02)
            assert uwsgi.set(b"own", b"v", 0, "synced") is True
            assert uwsgi.clear(f"synced@{path}") is True
            assert larder.client.get_many(keys) == {}
            left = f"sum(uwsgi.cache_exists(key, 'synced') is True for key in {keys!r})"
            poll(lambda: uwsgi.evaluate(left) == 0, "all are deleted", 10, interval=0.05)
            assert uwsgi.get(b"own", "synced") == b"v"
            # A Larder gets one datagram.
            assert larder.client.set(b"after", b"v") == b"STORED"
            assert [node.receive(), node.receive()] == [CLEAR, stored(b"after", b"v")]
        finally:
            node.close()
            uwsgi.stop()


@pytest.mark.parametrize("fields, options, words", [
    ("udp=0.0.0.0:{port}", [], ["cache \"x\"", "udp", "nodes", "--uwsgi-open"]),
    ("udp=203.0.113.1:{port},nodes=127.0.0.1:9", [], ["cache \"x\"", "udp 203.0.113.1"]),
    ("udp={port}", ["-Y", "USERS"], ["cache \"x\"", "udp", "-Y", "--uwsgi-open"]),
])
def test_refused_at_start(tmp_path, fields, options, words):
    users = tmp_path / "users"
    users.write_text("name:password\n")
    result = run(
        "-p", "0", "--cache", f"name=x,items=1,listen=:0,{fields.format(port=free_port())}",
        *[str(users) if each == "USERS" else each for each in options])
    assert result.returncode in (64, 71), result
    assert result.stderr.count("\n") == 1
    for word in words:
        assert word in result.stderr


def test_the_line_at_the_start(start_server):
    port, other = free_port(), free_port()
    larder = Larder(start_server, [at(port), at(other)], port)
    line = f'cache "synced" tells udp:127.0.0.1:{other} of its changes, and takes those that come to udp:127.0.0.1:{port}'
    assert line in larder.server.stderr.splitlines()
    conns = larder.client.stats("conns")
    assert f"udp:127.0.0.1:{port}" in [value for name, value in conns.items() if re.fullmatch(r"\d+:addr", name)]
