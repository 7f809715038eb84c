"""`--takeover`: a new server takes the listening sockets, the items and the clients over from the old one."""

import array
import os
import re
import select
import signal
import socket
import stat
import subprocess
import tempfile
import threading

import pytest

from server import Connection, Server, free_port, poll

pytestmark = pytest.mark.larder_only
KINDS = {"hello": 1, "offer": 2, "ready": 3, "closed": 4, "taken": 5, "yours": 6}


class Generations:
    """Servers that follow one another at one port and at one socket of `--takeover`."""

    def __init__(self, *arguments, port=None, **options):
        self.arguments = arguments
        self.port = port or free_port()
        self.options = options
        self.servers = []
        self.directory = tempfile.TemporaryDirectory(prefix="larder-")
        self.path = os.path.join(self.directory.name, "takeover")

    def make(self, *arguments, path=None):
        """A further server, that has not been started."""
        server = Server(
            *self.arguments, *arguments, port=self.port, **self.options)
        server.arguments += ["--takeover", path or self.path]
        self.servers.append(server)
        return server

    def start(self, *arguments):
        return self.make(*arguments).start()

    def refused(self, *arguments, path=None):
        """The log of a server that starts, does not take over, and ends."""
        server = self.make(*arguments, path=path)
        self.servers.remove(server)
        try:
            done = subprocess.run(
                server.arguments, env=server.environment, cwd=server.directory, stdin=subprocess.DEVNULL,
                capture_output=True, text=True, timeout=20)
        finally:
            server.kill()
        assert done.returncode == 71 and "no take-over from process" in done.stderr, done
        return done.stderr

    def follow(self, *arguments):
        """Starts the next server, and waits until it has taken over and the one before has ended."""
        before = self.servers[-1]
        server = self.start(*arguments)
        assert before.wait() == 0, before.stderr
        poll(lambda: "took over" in server.stderr, lambda: server.stderr)
        return server

    def end(self):
        for server in self.servers:
            server.kill()
        self.directory.cleanup()


@pytest.fixture
def generations():
    """A function that makes `Generations`, all of whose servers are killed after the test."""
    made = []

    def make(*arguments, **options):
        made.append(Generations(*arguments, **options))
        return made[-1]

    yield make
    for each in made:
        each.end()


def pid_of(connection):
    return int(connection.stats()["pid"])


@pytest.mark.parametrize("threads", [1, 3])
def test_items_and_idle_clients_stay(generations, threads):
    line = generations(threads=threads)
    old = line.start()
    with old.connect() as client, old.connect() as silent:
        assert client.set(b"a", b"one", flags=7) == b"STORED"
        assert client.set(b"gone", b"x", exptime=-1) == b"STORED"
        assert client.set(b"life", b"x", exptime=1000) == b"STORED"
        assert client.set(b"large", b"L" * 700_000) == b"STORED"
        client.send(b"gets a\r\n")
        header = client.read_line()
        cas = header.split()[-1]
        assert header.startswith(b"VALUE a 7 3 ") and client.read_line() == b"one" and client.read_line() == b"END"
        new = line.follow()
        # The connections are the new server's.
        assert pid_of(client) == new.process.pid != old.process.pid
        assert pid_of(silent) == new.process.pid
        client.send(b"gets a\r\n")
        assert client.read_line() == b"VALUE a 7 3 " + cas and client.read_line() == b"one"
        assert client.read_line() == b"END"
        assert client.get(b"large") == b"L" * 700_000 and client.get(b"gone") is None
        life = int(client.ask(b"mg life t\r\n").split(b"t")[1])
        assert 900 < life <= 1000
        assert int(client.stats()["curr_items"]) == 3
        assert int(client.stats()["curr_connections"]) >= 2
        # A further write is a later one.
        assert client.ask(b"cas a 0 0 3 %b\r\ntwo\r\n" % cas) == b"STORED"
    assert f"process {new.process.pid} took over" in old.stderr
    assert f"from process {old.process.pid}" in new.stderr
    new.stop()


def test_many_generations(generations):
    line = generations(threads=2)
    line.start()
    for number in range(5):
        with line.servers[-1].connect() as client:
            assert client.set(b"k%d" % number, b"v%d" % number) == b"STORED"
        line.follow()
    with line.servers[-1].connect() as client:
        assert client.get_many([b"k%d" % n for n in range(5)]) == {b"k%d" % n: b"v%d" % n for n in range(5)}


def test_sigusr2_starts_the_successor(generations):
    line = generations(threads=2)
    old = line.start()
    pid = old.process.pid
    with old.connect() as client:
        client.set(b"a", b"1")
        old.process.send_signal(signal.SIGUSR2)
        assert old.wait() == 0
        successor = pid_of(client)
        try:
            assert successor != pid and client.get(b"a") == b"1"
            assert f"process {successor} was started to take over" in old.stderr
        finally:
            os.kill(successor, signal.SIGTERM)
            poll(lambda: client.is_closed(), "the successor closes the client")


def test_files_and_named_caches(generations, tmp_path):
    named = free_port()
    line = generations(
        "-e", tmp_path / "main", "--cache", f"name=some,items=100,store={tmp_path}/some,listen=127.0.0.1:{named}",
        "--cache", "name=lru,items=3,purge_lru=1", "--key-route", threads=2)
    old = line.start()
    with old.connect() as client, Connection(("127.0.0.1", named)) as other:
        assert client.set(b"a", b"main") == b"STORED"
        assert other.set(b"a", b"some") == b"STORED"
        for key in b"pqr":
            assert client.set(b"lru/%c" % key, b"x") == b"STORED"
        new = line.follow()
        assert client.get(b"a") == b"main" and other.get(b"a") == b"some"
        # The limit counts the items that were there: the one that was written first goes.
        assert client.set(b"lru/s", b"x") == b"STORED"
        assert sorted(client.get_many([b"lru/%c" % key for key in b"pqrs"])) == [b"lru/q", b"lru/r", b"lru/s"]
        assert pid_of(other) == new.process.pid
        assert client.set(b"b", b"later") == b"STORED"
    # The file is whole: it is read again after a kill.
    new.process.kill()
    new.process.wait()
    last = line.start()
    with last.connect() as client:
        assert client.get_many([b"a", b"b"]) == {b"a": b"main", b"b": b"later"}
    last.stop()


def test_all_kinds_of_sockets_are_handed_over(generations, tmp_path):
    admin, uwsgi, udp = free_port(), str(tmp_path / "uwsgi"), free_port()
    line = generations("--admin", f"127.0.0.1:{admin}", "--uwsgi", uwsgi, "-U", udp, threads=2)
    line.start()
    inode = os.stat(uwsgi).st_ino
    new = line.follow()
    assert os.stat(uwsgi).st_ino == inode
    with Connection(("127.0.0.1", admin)) as client:
        client.send(b"GET /readyz HTTP/1.0\r\n\r\n")
        assert b" 200 " in client.read_until_closed()
    with Connection(uwsgi) as client:
        client.send(b"\0")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(10)
        client.sendto(b"\0\7\0\0\0\1\0\0version\r\n", ("127.0.0.1", udp))
        assert client.recv(100)[8:].startswith(b"VERSION")
    new.stop()


def test_a_unix_socket_is_handed_over(generations):
    line = generations(unix=True, threads=2)
    old = line.start()
    line.options["unix"] = old.socket_path
    with old.connect() as client:
        client.set(b"a", b"1")
        new = line.follow()
        assert client.get(b"a") == b"1" and pid_of(client) == new.process.pid
    with new.connect() as client:
        assert client.get(b"a") == b"1"


def test_the_socket_is_for_one_user(generations):
    old = generations().start()
    mode = os.stat([path for path in old.arguments if path.endswith("/takeover")][0]).st_mode
    assert stat.S_ISSOCK(mode) and stat.S_IMODE(mode) == 0o600


@pytest.mark.parametrize("arguments, reason", [
    (["-m", 65], "cache default (68157440 bytes, in memory) cannot take over cache default (67108864 bytes, in memory)"),
    (["--cache", "name=more,items=10"], "it has 2 caches, and the server that serves has 1"),
])
def test_other_settings_are_refused(generations, arguments, reason):
    line = generations(threads=2)
    old = line.start()
    with old.connect() as client:
        client.set(b"a", b"1")
        log = line.refused(*arguments)
        assert client.get(b"a") == b"1" and pid_of(client) == old.process.pid
    poll(lambda: reason in old.stderr and "this server goes on" in old.stderr, lambda: old.stderr)
    assert reason in log
    # The next one takes over.
    line.follow()


class Relay:
    """Passes the packets of a take-over on, and stops at one of a kind: it is lost, and both connections end."""

    def __init__(self, path, target, last):
        self.last = KINDS[last]
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(path)
        self.listener.listen(1)
        self.target = target
        self.seen = []
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        new, _ = self.listener.accept()
        old = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        old.connect(self.target)
        with new, old, self.listener:
            while True:
                for source in select.select([new, old], [], [])[0]:
                    data, ancillary, _, _ = source.recvmsg(1 << 18, socket.CMSG_SPACE(4 * 250))
                    descriptors = array.array("i")
                    for _, _, body in ancillary:
                        descriptors.frombytes(body[:len(body) - len(body) % 4])
                    kind = int.from_bytes(data[6:8], "little")
                    self.seen.append(kind)
                    try:
                        if not data or kind == self.last:
                            return
                        (old if source is new else new).sendmsg([data], [
                            (socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)] if descriptors else [])
                    finally:
                        for descriptor in descriptors:
                            os.close(descriptor)


@pytest.mark.parametrize("last", ["hello", "offer", "ready", "closed", "taken"])
def test_a_take_over_that_ends_half_way(generations, tmp_path, last):
    line = generations("-e", tmp_path / "store", threads=2)
    old = line.start()
    with old.connect() as client:
        for number in range(1000):
            client.set(b"k%d" % number, b"v%d" % number)
        relay = Relay(str(tmp_path / "relay"), line.path, last)
        line.refused(path=str(tmp_path / "relay"))
        relay.thread.join(10)
        assert KINDS[last] in relay.seen
        poll(lambda: "this server goes on" in old.stderr, "the log of the old server")
        # It serves as before: the client that was connected, and new ones.
        assert pid_of(client) == old.process.pid and client.get(b"k7") == b"v7"
        with old.connect() as other:
            assert len(other.get_many([b"k%d" % n for n in range(1000)])) == 1000
            assert other.set(b"after", b"1") == b"STORED"
        line.follow()
        assert client.get_many([b"after", b"k0"]) == {b"after": b"1", b"k0": b"v0"}


def test_a_successor_that_stands_still(generations, tmp_path):
    """It has the numbers and gives no answer: the old server goes on after a second."""
    line = generations(threads=2)
    old = line.start()
    with old.connect() as client:
        client.set(b"a", b"1")
        silent = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with silent:
            silent.settimeout(10)
            silent.connect(line.path)
            header = b"LTKO" + (1).to_bytes(2, "little")

            def text(value):
                return len(value).to_bytes(2, "little") + value

            cache = b"default (67108864 bytes, in memory)"
            silent.send(header + bytes([1, 0]) + text(b"0") + bytes([1, 0]) + text(cache))
            offer = silent.recv(1 << 18)
            assert offer[6] == KINDS["offer"], offer
            silent.send(header + bytes([3, 0]))
            assert silent.recv(1 << 18)[6] == KINDS["closed"]
            # The answer comes when the server goes on.
            assert client.get(b"a") == b"1"
            assert silent.recv(1 << 18)[6] == 8
    poll(lambda: "there was no answer in 1000 ms; this server goes on" in old.stderr, lambda: old.stderr)


def hello(version=1, magic=b"LTKO", body=b""):
    return magic + version.to_bytes(2, "little") + b"\1\0" + body


@pytest.mark.parametrize("packet", [
    b"x", hello(magic=b"HTTP"), hello(version=9), hello(), hello(body=b"\xff\xff"),
    hello(body=b"\0\0\xff\xff"), hello(body=b"\0\0\1\0\xff\xffabc"), b"\0" * 200_000,
], ids=["short", "magic", "version", "empty", "no text", "no cache", "short cache", "long"])
def test_bytes_that_are_no_hello(generations, packet):
    old = generations(threads=1).start()
    path = [path for path in old.arguments if path.endswith("/takeover")][0]
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
        client.settimeout(10)
        client.connect(path)
        client.send(packet)
        answer = client.recv(1 << 18)
        assert answer[:4] == b"LTKO" and answer[6] == 8, answer
    old.assert_alive()
    poll(lambda: "did not take over" in old.stderr, lambda: old.stderr)


def test_an_answer_that_is_being_sent_is_finished(generations):
    line = generations("-m", 64, "-I", "32m", threads=1)
    old = line.start()
    with old.connect(receive_buffer=4096) as slow, old.connect() as client:
        value = os.urandom(1 << 20) * 8
        assert client.set(b"large", value) == b"STORED"
        slow.send(b"get large\r\n")
        # Its first bytes are here, so the rest is being sent.
        assert slow.read_line() == b"VALUE large 0 %d" % len(value)
        line.start()
        # The memory of the value is asked for at once in the new server.
        assert client.ask(b"delete large\r\n") == b"DELETED"
        for number in range(60):
            assert client.set(b"k%d" % number, b"%d" % number * 500_000) in (b"STORED",)
        assert slow.read_exactly(len(value)) == value
        assert slow.read_until_closed() == b"\r\nEND\r\n"
    assert old.wait() == 0


def load(address, errors, stop, counts, number):
    """Sets and gets over connections that are opened for them."""
    turn = 0
    while not stop.is_set():
        turn += 1
        key, value = b"key-%d-%d" % (number, turn % 200), b"%d-%d" % (number, turn)
        try:
            with Connection(address, timeout=20) as client:
                answer = client.set(key, value)
                found = client.get(key)
            if answer != b"STORED" or found != value:
                errors.append((key, answer, found, value))
            counts[number] += 1
        except Exception as error:  # A reset, an end, a refusal: each is a failed request.
            errors.append(error)


def test_take_overs_under_load(generations):
    """No request of a new connection fails, and nothing that was stored is lost."""
    times = int(os.environ.get("LARDER_TAKEOVERS", "5"))
    line = generations("-t", 2)
    line.start()
    with line.servers[-1].connect() as client:
        for number in range(2000):
            client.set(b"kept-%d" % number, b"%d" % number)
    errors, stop, counts = [], threading.Event(), [0] * 4
    threads = [
        threading.Thread(target=load, args=(("127.0.0.1", line.port), errors, stop, counts, n)) for n in range(4)]
    for thread in threads:
        thread.start()
    pauses = []
    try:
        for _ in range(times):
            before = sum(counts)
            line.follow()
            pauses.append(int(re.search(r"pause of (\d+) ms", line.servers[-2].stderr)[1]))
            line.servers.pop(0).kill()
            poll(lambda: sum(counts) > before + 20 or errors, "the load goes on", 20)
            assert not errors, errors[:3]
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)
    assert not errors, errors[:3]
    print(f"{times} take-overs, {sum(counts)} connections, pauses {sorted(pauses)}")
    with line.servers[-1].connect() as client:
        keys = [b"kept-%d" % n for n in range(2000)]
        assert client.get_many(keys) == {b"kept-%d" % n: b"%d" % n for n in range(2000)}


def test_requests_in_progress(generations):
    """Half a request is not waited for, and nothing of it is stored. A client that watches is closed, too."""
    line = generations(threads=2)
    old = line.start()
    with old.connect() as half, old.connect() as watcher:
        half.send(b"set half 0 0 10\r\n12345")
        assert watcher.ask(b"watch mutations\r\n") == b"OK"
        poll(lambda: int(old.stats()["bytes_read"]) >= 22, "the first half has arrived")
        line.follow()
        assert half.read_until_closed() == b"" and watcher.read_until_closed() == b""
    with line.servers[-1].connect() as client:
        assert client.get(b"half") is None


def test_a_login_stays_valid(generations, tmp_path):
    users = tmp_path / "users"
    users.write_text("me:secret\n")
    login = (b"me", b"secret")
    line = generations("-Y", users, threads=2, login=login)
    old = line.start()
    with old.connect() as client, Connection(old.address) as stranger:
        assert client.set(b"a", b"1") == b"STORED"
        new = line.follow()
        assert client.get(b"a") == b"1" and pid_of(client) == new.process.pid
        # A client that had not logged in has to.
        assert stranger.ask(b"get a\r\n").startswith(b"CLIENT_ERROR")
        assert stranger.set(b"login", b"me secret") == b"STORED" and stranger.get(b"a") == b"1"


def test_the_service_manager_hears_of_the_successor(generations, tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.settimeout(10)
        manager.bind(str(tmp_path / "notify"))
        line = generations(threads=2)
        old = line.make()
        old.environment.update(NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="100000")
        old.start()
        pid = old.process.pid
        messages = []

        def heard(text):
            while not messages or text not in messages[-1]:
                messages.append(manager.recv(4096).decode())

        heard("READY=1")
        with old.connect() as client:
            old.process.send_signal(signal.SIGUSR2)
            heard("MAINPID=")
            successor = int(messages[-1].removeprefix("MAINPID="))
            try:
                assert old.wait() == 0 and successor == pid_of(client) != pid
                # The successor has the socket and the watchdog, too.
                heard("READY=1")
                heard("WATCHDOG=1")
            finally:
                os.kill(successor, signal.SIGTERM)
                heard("STOPPING=1")
                poll(client.is_closed, "the successor closes the client")
