"""Take-overs of servers in the background, of caches with copies on other servers, and the statistics afterwards."""

import os
import pathlib
import signal
import socket
import subprocess

import pytest

from server import Connection, free_port, poll
from test_takeover import generations, pid_of  # noqa: F401, pytest finds the fixture here
from test_sync import SHAPE, at, listing

pytestmark = pytest.mark.larder_only


class Background:
    """Servers with -d, which follow one another. The process that is started ends at once."""

    def __init__(self, line):
        self.server = line.make("-d", "-P", os.path.join(line.directory.name, "pid"))
        self.pid_file = pathlib.Path(line.directory.name, "pid")
        self.address = ("127.0.0.1", line.port)

    def launch(self):
        done = subprocess.run(
            self.server.arguments, env=self.server.environment, cwd=self.server.directory, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=20)
        assert done.returncode == 0, done

    def pid(self):
        """The id in the file, once it is that of a process that serves."""
        text = self.pid_file.read_text() if self.pid_file.exists() else ""
        return int(text) if text.strip().isdigit() and has(int(text)) else None

    def answers(self):
        try:
            with Connection(self.address) as client:
                return pid_of(client)
        except ConnectionRefusedError:
            return None


def has(process):
    """Whether a process is there, and has not ended."""
    try:
        return "\nState:\tZ" not in pathlib.Path(f"/proc/{process}/status").read_text()
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("how", ["signal", "second server"])
def test_a_server_in_the_background(generations, how):
    """-d: the successor is in the background, too, and the file of -P has its id."""
    background = Background(generations(threads=2))
    background.launch()
    seen = [poll(background.answers, "it serves", 20)]
    try:
        with Connection(background.address) as client:
            assert client.set(b"key", b"value") == b"STORED"
            for _ in range(2):
                assert poll(background.pid, "the file of -P", 20) == seen[-1]
                if how == "signal":
                    os.kill(seen[-1], signal.SIGUSR2)
                else:
                    background.launch()
                poll(lambda: not has(seen[-1]), "the former server ends", 20)
                seen.append(pid_of(client))
                assert len(set(seen)) == len(seen) and client.get(b"key") == b"value"
                poll(lambda: background.pid() == seen[-1], "the new id", 20)
                assert background.answers() == seen[-1]
    finally:
        os.kill(seen[-1], signal.SIGTERM)
        poll(lambda: not has(seen[-1]), "the last server ends", 20)
    assert not background.pid_file.exists()


class Copies:
    """Two lines of servers whose caches have each other as node."""

    def __init__(self, generations):
        self.udp = [free_port(), free_port()]
        self.streams = [free_port(), free_port()]
        self.lines = []
        for own in (0, 1):
            cache = f"name=synced,{SHAPE},listen={at(self.streams[own])}" + listing(
                nodes=[at(self.udp[1 - own])], udp=[at(self.udp[own])])
            self.lines.append(generations("--cache", cache, threads=2))
            self.lines[-1].start()

    def client(self, of):
        return Connection(("127.0.0.1", self.streams[of]))


def test_copies_on_other_servers(generations):
    """A cache with udp= and nodes= goes on receiving and sending in the new server."""
    copies = Copies(generations)
    with copies.client(0) as first, copies.client(1) as second:
        assert first.set(b"before", b"1") == b"STORED"
        poll(lambda: second.get(b"before") == b"1", "the copy")
        for turn in range(3):
            for taken in (0, 1):
                copies.lines[taken].follow()
                for own, (here, there) in enumerate([(first, second), (second, first)]):
                    key = b"key-%d-%d-%d" % (turn, taken, own)
                    assert here.set(key, key) == b"STORED"
                    poll(lambda: there.get(key) == key, f"{key}: {there.stats('larder')}")
                    assert here.ask(b"delete " + key + b"\r\n") == b"DELETED"
                    poll(lambda: there.get(key) is None, f"{key} is deleted")
        assert first.get(b"before") == second.get(b"before") == b"1"
        assert pid_of(first) == copies.lines[0].servers[-1].process.pid
        for client in (first, second):
            counts = client.stats("larder")
            assert int(counts["sync_refused"]) == int(counts["sync_malformed"]) == 0


def test_datagrams_that_arrive_in_between(generations):
    """What the socket of udp= holds while no server reads it is carried out by the new one."""
    copies = Copies(generations)
    line = copies.lines[0]
    old = line.servers[-1]
    with copies.client(1) as second:
        # The datagrams of the sets wait in the socket, because the server stands still.
        old.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, old.process.pid, os.WSTOPPED)
        for number in range(50):
            assert second.set(b"key-%d" % number, b"%d" % number) == b"STORED"
        new = line.make()
        process = subprocess.Popen(
            new.arguments, env=new.environment, cwd=new.directory, stdin=subprocess.DEVNULL,
            stderr=open(new.directory / "stderr", "wb"))
        new.process = process
        old.process.send_signal(signal.SIGCONT)
        assert old.wait() == 0
        poll(lambda: "took over" in new.stderr, lambda: new.stderr, 20)
        with copies.client(0) as first:
            keys = [b"key-%d" % number for number in range(50)]
            poll(lambda: len(first.get_many(keys)) == 50, lambda: first.stats("larder"), 20)


def test_statistics_of_the_new_server(generations):
    """Counters of requests begin at 0, those of the store and of connections go on."""
    line = generations("-m", 8, "-I", "64k", "-c", 40, threads=2)
    old = line.start()
    with old.connect() as client, old.connect() as silent:
        for number in range(3000):
            assert client.set(b"key-%d" % number, b"v" * 5000) == b"STORED"
        client.get(b"key-2999")
        client.ask(b"incr nothing 1\r\n")
        silent.get(b"none")
        before = client.stats()
        assert int(before["evictions"]) > 0 and int(before["cmd_set"]) == 3000
        new = line.follow()
        after = client.stats()
        for name in ["curr_items", "bytes", "evictions", "limit_maxbytes", "max_connections"]:
            assert after[name] == before[name], name
        for name in ["cmd_set", "get_hits", "get_misses", "incr_misses", "cmd_flush", "rejected_connections"]:
            assert after[name] == "0", name
        assert int(after["pid"]) == new.process.pid and int(after["uptime"]) <= int(before["uptime"])
        # The clients that were handed over, and perhaps those of the tests for a start.
        assert 2 <= int(after["curr_connections"]) <= 5
        conns = client.stats("conns")
        own = {":".join(map(str, each.socket.getsockname())) for each in (client, silent)}
        assert own <= {value.removeprefix("tcp:") for name, value in conns.items() if name.endswith(":addr")}
        # Eviction goes on from the same numbers.
        for number in range(3000):
            assert client.set(b"more-%d" % number, b"v" * 5000) == b"STORED"
        last = client.stats()
        assert int(last["evictions"]) > int(before["evictions"]) and last["cmd_set"] == "3000"
        assert client.get(b"more-2999") and client.stats()["get_hits"] == "1"


def test_the_limit_of_clients_counts_those_handed_over(generations):
    line = generations("-c", 12, threads=2)
    old = line.start()
    clients = [old.connect() for _ in range(6)]
    try:
        for client in clients:
            assert client.ask(b"version\r\n").startswith(b"VERSION")
        new = line.follow()
        for client in clients:
            assert pid_of(client) == new.process.pid
        # The tests for a start have ended by then.
        poll(lambda: int(clients[0].stats()["curr_connections"]) == 6, lambda: clients[0].stats())
        while len(clients) < 12:
            clients.append(new.connect())
            assert clients[-1].ask(b"version\r\n").startswith(b"VERSION")
        with new.connect() as refused:
            assert refused.read_until_closed() == b"ERROR Too many open connections\r\n"
        # The place of one that was handed over is free again when it leaves.
        clients.pop(0).close()
        poll(lambda: int(clients[0].stats()["curr_connections"]) == 11, lambda: clients[0].stats())
        with new.connect() as client:
            assert client.ask(b"version\r\n").startswith(b"VERSION")
    finally:
        for client in clients:
            client.close()


def test_durations_and_hot_keys_go_on(generations):
    """What --admin shows is measured by the new server."""
    admin = free_port()
    line = generations("--admin", f"127.0.0.1:{admin}", "-o", "hot_keys", threads=1)
    old = line.start()
    with old.connect() as client:
        client.set(b"key", b"value")
        line.follow()
        for _ in range(200):
            assert client.get(b"key") == b"value"
        assert b"key" in client.stats("hotkeys") or "key" in client.stats("hotkeys")
    with socket.create_connection(("127.0.0.1", admin), 10) as web:
        web.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        page = b""
        while data := web.recv(1 << 16):
            page += data
    counts = [line for line in page.split(b"\n") if line.startswith(b'larder_command_duration_seconds_count{command="get"}')]
    assert counts and 2 <= int(counts[0].split()[1]) <= 4
