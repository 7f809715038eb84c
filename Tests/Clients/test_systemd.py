"""The service manager's protocols: messages to NOTIFY_SOCKET, the watchdog, and sockets that it has opened."""

import ctypes
import fcntl
import os
import re
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from server import Connection, Server, binary, cannot_test, poll

pytestmark = pytest.mark.larder_only
PTRACE_ATTACH, PTRACE_DETACH = 16, 17


class Service(Server):
    """A server that a service manager starts: with sockets from descriptor 3 on, and its variables.

    A value of `variables` is a text, or None for a variable that is not there. LISTEN_PID is the server's unless given.
    """

    def __init__(self, *arguments, sockets=(), variables=None, **options):
        super().__init__(*arguments, **options)
        self.sockets = [each.fileno() for each in sockets]
        self.environment.update({name: str(value) for name, value in (variables or {}).items()})
        if self.sockets:
            self.environment.setdefault("LISTEN_FDS", str(len(self.sockets)))

    def launch(self):
        """Starts the process, and returns at once."""
        command = self.arguments
        if self.sockets and "LISTEN_PID" not in self.environment:
            command = ["sh", "-c", 'LISTEN_PID=$$ exec "$@"', "sh", *command]
        with open(self.directory / "stdout", "wb") as out, open(self.directory / "stderr", "wb") as err:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=self.environment, cwd=self.directory,
                close_fds=False, preexec_fn=self._place_sockets)
        return self

    def _place_sockets(self):
        moved = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 100) for fd in self.sockets]
        for number, fd in enumerate(moved):
            os.dup2(fd, 3 + number)

    def start(self):
        self.launch()
        poll(self._is_accepting, f"{self.arguments} accepts", 20)
        return self


@pytest.fixture
def services():
    """A function that makes a `Service`, and stops it after the test."""
    made = []

    def make(*arguments, **options):
        made.append(Service(*arguments, **options))
        return made[-1]

    yield make
    try:
        for service in made:
            if service.process is not None:
                service.stop()
    finally:
        for service in made:
            service.kill()


class Descriptor:
    """A descriptor that is closed with the last reference to it."""

    def __init__(self, number):
        self.number = number

    def fileno(self):
        return self.number

    def close(self):
        if self.number >= 0:
            os.close(self.number)
        self.number = -1

    __del__ = close


class Manager:
    """The service manager's end of NOTIFY_SOCKET."""

    def __init__(self, address, place):
        self.place = place
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.socket.bind(address)
        self.socket.settimeout(20)
        self.senders = set()
        # The descriptors that it keeps, by name.
        self.kept = {}

    def message(self):
        """The next message, as a dictionary."""
        data, control, _, _ = self.socket.recvmsg(4096, socket.CMSG_SPACE(12) + socket.CMSG_SPACE(16))
        lines = data.decode().split("\n")
        assert all("=" in line for line in lines), data
        message = dict(line.split("=", 1) for line in lines)
        for _, kind, body in control:
            if kind == socket.SCM_RIGHTS:
                assert message["FDSTORE"] == "1" and message["FDNAME"] not in self.kept and len(body) == 4, message
                self.kept[message["FDNAME"]] = Descriptor(int.from_bytes(body, "little"))
            else:
                self.senders.add(int.from_bytes(body[:4], "little"))
        if message.get("FDSTOREREMOVE") == "1":
            self.kept.pop(message["FDNAME"]).close()
        return message

    def next(self, *names):
        """The next message that has one of these names."""
        while True:
            message = self.message()
            if any(name in message for name in names):
                return message

    def drain(self):
        """How many messages wait."""
        self.socket.setblocking(False)
        count = 0
        try:
            while self.socket.recv(4096):
                count += 1
        except BlockingIOError:
            self.socket.settimeout(20)
        return count

    def is_silent_for(self, seconds):
        self.socket.settimeout(seconds)
        try:
            return not self.socket.recv(4096)
        except TimeoutError:
            return True
        finally:
            self.socket.settimeout(20)


@pytest.fixture(params=["path", "abstract"])
def manager(request, tmp_path):
    if request.param == "path":
        # The temporary path of pytest may be too long for a socket.
        with tempfile.TemporaryDirectory(prefix="larder-notify-") as directory:
            made = Manager(directory + "/notify", directory + "/notify")
            yield made
    else:
        name = f"larder-test-{os.getpid()}"
        made = Manager("\0" + name, "@" + name)
        yield made
    made.socket.close()


def microseconds():
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000


class TestMessages:
    def test_from_the_start_to_the_end(self, services, manager):
        service = services(variables={"NOTIFY_SOCKET": manager.place}).launch()
        ready = manager.message()
        assert ready["READY"] == "1"
        place = ready["STATUS"].removeprefix("Serves tcp:")
        host, _, port = place.rpartition(":")
        with Connection((host, int(port))) as connection:
            assert connection.ask(b"version\r\n").startswith(b"VERSION")
        for _ in range(2):
            before = microseconds()
            service.process.send_signal(signal.SIGHUP)
            reloading = manager.message()
            assert reloading["RELOADING"] == "1" and reloading["STATUS"]
            assert before <= int(reloading["MONOTONIC_USEC"]) <= microseconds()
            assert manager.message() == ready
        service.process.send_signal(signal.SIGTERM)
        stopping = manager.message()
        assert stopping["STOPPING"] == "1" and stopping["STATUS"]
        assert manager.senders == {service.process.pid}
        assert service.wait() == 0

    def test_settings_that_have_a_mistake(self, services, manager, tmp_path):
        """READY=1 ends the reload, and the server serves."""
        file = tmp_path / "larder.conf"
        file.write_text("threads 2\n")
        service = services("--config", file, variables={"NOTIFY_SOCKET": manager.place}).launch()
        assert manager.message()["READY"] == "1"
        file.write_text("nonsense 2\n")
        service.process.send_signal(signal.SIGHUP)
        assert manager.message()["RELOADING"] == "1"
        assert manager.message()["READY"] == "1"

    def test_ready_when_the_store_is_restored(self, services, manager, tmp_path):
        store = tmp_path / "store"
        first = services("-m", 512, "-e", store).start()
        with first.connect() as connection:
            for batch in range(0, 500_000, 4000):
                connection.send(b"".join(
                    b"set key-%d 0 0 10 noreply\r\n%010d\r\n" % (number, number)
                    for number in range(batch, batch + 4000)))
            assert connection.get(b"key-499999")
        first.process.kill()
        first.process.wait()
        first.kill()
        service = services("-m", 512, "-e", store, variables={"NOTIFY_SOCKET": manager.place}).launch()
        poll(service.port_file.exists, "it listens", 20, interval=0.0005)
        # SIGHUP during the start sends no READY=1.
        service.process.send_signal(signal.SIGHUP)
        message = manager.next("READY", "RELOADING")
        address = ("127.0.0.1", int(message["STATUS"].rpartition(":")[2]))
        with Connection(address) as connection:
            stats = connection.stats()
        assert "RELOADING" not in message
        assert (stats["store_ready"], stats["curr_items"]) == ("1", "500000")

    @pytest.mark.parametrize("place, reason", [
        ("notify", 'takes the path of a socket, or @ and an abstract name, not "notify"'),
        ("@", 'not "@"'), ("vsock:2:1234", 'not "vsock:2:1234"'), ("/" + "x" * 200, "not \"/xxx"),
        ("a\nb", 'not "a\\x0ab"'), ("/nowhere/notify", "No such file or directory"), ("@larder-nobody", "refused"),
    ])
    def test_a_socket_that_cannot_be_used(self, services, place, reason):
        service = services(variables={"NOTIFY_SOCKET": place, "WATCHDOG_USEC": "2000"}).start()
        poll(lambda: reason in service.stderr, lambda: service.stderr)
        service.assert_alive()
        assert service.stderr.count("NOTIFY_SOCKET") == 1

    @pytest.mark.parametrize("threads", [1, 2])
    def test_a_manager_that_does_not_read(self, services, manager, threads):
        """The queue of the service manager is full. Clients are served."""
        filler = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        filler.setblocking(False)
        try:
            while True:
                filler.sendto(b"X=1", manager.socket.getsockname())
        except BlockingIOError:
            pass
        variables = {"NOTIFY_SOCKET": manager.place, "WATCHDOG_USEC": "2000"}
        service = services("-t", threads, variables=variables).start()
        with service.connect() as connection:
            for _ in range(100):
                assert connection.set(b"key", b"value") == b"STORED"
        filler.close()


class TestWatchdog:
    @pytest.fixture
    def watched(self, services, manager):
        service = services(variables={"NOTIFY_SOCKET": manager.place, "WATCHDOG_USEC": "20000"}).start()
        for _ in range(3):
            assert manager.next("WATCHDOG")["WATCHDOG"] == "1"
        return service

    def test_ends_with_the_process(self, watched, manager):
        watched.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, watched.process.pid, os.WSTOPPED)
        manager.drain()
        assert manager.is_silent_for(0.3)
        watched.process.send_signal(signal.SIGCONT)
        assert manager.next("WATCHDOG")

    def test_ends_with_the_loop(self, watched, manager):
        """Only the first worker's thread is stopped."""
        (thread,) = [
            int(path.parent.name) for path in Path(f"/proc/{watched.process.pid}/task").glob("*/comm")
            if path.read_text() == "larder-0\n"]
        ptrace = ctypes.CDLL(None, use_errno=True).ptrace
        ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
        if ptrace(PTRACE_ATTACH, thread, None, None) != 0:
            cannot_test(f"ptrace is not allowed here: {os.strerror(ctypes.get_errno())}")
        try:
            os.waitpid(thread, 0x40000000)  # __WALL
            manager.drain()
            assert manager.is_silent_for(0.3)
        finally:
            assert ptrace(PTRACE_DETACH, thread, None, None) == 0
        assert manager.next("WATCHDOG")

    @pytest.mark.parametrize("interval, pid, warning", [
        ("2000", 1, None), ("0", None, "WATCHDOG_USEC"), ("-1", None, "WATCHDOG_USEC"), ("soon", None, "WATCHDOG_USEC"),
        ("99999999999999999999", None, "WATCHDOG_USEC"), ("2000", "x", "WATCHDOG_PID"),
    ])
    def test_not_wanted(self, services, manager, interval, pid, warning):
        variables = {"NOTIFY_SOCKET": manager.place, "WATCHDOG_USEC": interval}
        if pid is not None:
            variables["WATCHDOG_PID"] = pid
        service = services(variables=variables).start()
        poll(lambda: int(service.stats()["uptime"]) > 0, "a second has passed")
        service.process.send_signal(signal.SIGTERM)
        messages = []
        while "STOPPING" not in (messages[-1] if messages else {}):
            messages.append(manager.message())
        assert [list(message) for message in messages] == [["READY", "STATUS"], ["STOPPING", "STATUS"]]
        assert (f"larder: {warning} takes " in service.stderr) == (warning is not None)

    def test_the_longest_interval(self, services, manager):
        variables = {"NOTIFY_SOCKET": manager.place, "WATCHDOG_USEC": 2**64 - 1, "WATCHDOG_PID": ""}
        services(variables=variables).start().assert_alive()


def listening(family=socket.AF_INET, address=("127.0.0.1", 0)):
    made = socket.socket(family, socket.SOCK_STREAM)
    made.bind(address)
    made.listen(64)
    return made


def listening_on(kind, directory):
    """A listening socket, its address for clients, and its text in the log."""
    if kind == "tcp":
        made = listening()
        return made, made.getsockname(), "tcp:%s:%d" % made.getsockname()
    if kind == "file":
        return listening(socket.AF_UNIX, f"{directory}/s"), f"{directory}/s", f"unix:{directory}/s"
    name = f"larder-test-{os.getpid()}-listening"
    return listening(socket.AF_UNIX, "\0" + name), "\0" + name, f"unix:@{name}"


@pytest.fixture
def directory():
    with tempfile.TemporaryDirectory(prefix="larder-") as made:
        yield made


class TestSockets:
    @pytest.mark.parametrize("kind", ["tcp", "file", "abstract"])
    @pytest.mark.parametrize("threads", [1, 4])
    def test_a_client_before_the_start(self, services, directory, kind, threads):
        """A server that starts later serves the client, and so does the next server."""
        listener, address, text = listening_on(kind, directory)
        with listener:
            for name in [None, "larder.socket"]:
                with Connection(address) as early:
                    early.send(b"set key 0 0 5\r\nvalue\r\nget key\r\n")
                    variables = {"LISTEN_FDNAMES": name} if name else {}
                    service = services("-t", threads, sockets=[listener], variables=variables, listen=None).launch()
                    assert early.read_line() == b"STORED"
                    assert early.read_values() == {b"key": b"value"}
                poll(lambda: f" serves {text} with 64 MB" in service.stderr, lambda: service.stderr)
                service.stop()

    def test_several_in_place_of_the_options(self, services, directory):
        first, second, third = (listening_on(kind, directory) for kind in ("tcp", "abstract", "tcp"))
        own = f"{directory}/own"
        with first[0], second[0], third[0]:
            service = services(
                "-s", own, "-c", 10, sockets=[first[0], second[0], third[0]], listen=None,
                variables={"LISTEN_FDNAMES": "a::b"}).launch()
            for _, address, _ in (first, second, third):
                with Connection(address) as client:
                    assert client.ask(b"version\r\n").startswith(b"VERSION")
            assert not os.path.exists(own)
            line = "larder: the service manager opened these listeners; -l, -p and -s have no effect\n"
            poll(lambda: line in service.stderr, lambda: service.stderr)

    def test_with_tls(self, services, certificates, directory):
        tcp, unix = listening_on("tcp", directory), listening_on("file", directory)
        with tcp[0], unix[0]:
            services(*certificates.server_options(), sockets=[tcp[0], unix[0]], listen=None).launch()
            with Connection(tcp[1], tls=certificates.context()) as client:
                assert client.ask(b"version\r\n").startswith(b"VERSION")
            with Connection(unix[1]) as client:
                assert client.ask(b"version\r\n").startswith(b"VERSION")

    @pytest.mark.parametrize("variables", [
        {"LISTEN_PID": "1"}, {"LISTEN_PID": ""}, {"LISTEN_PID": "1", "LISTEN_FDS": "nonsense"},
        {"LISTEN_FDS": "0"}, {"LISTEN_FDS": ""},
    ], ids=str)
    def test_meant_for_another_process(self, services, variables):
        """The server opens its own sockets, and does not touch the others."""
        with listening() as listener:
            service = services(sockets=[listener], variables=variables).start()
            assert service.address != listener.getsockname()
            service.assert_alive()

    @pytest.mark.parametrize("variables, message", [
        ({"LISTEN_FDS": "x"}, 'LISTEN_FDS takes a number of sockets from 0 to 64, not "x".'),
        ({"LISTEN_FDS": "-1"}, 'LISTEN_FDS takes a number of sockets from 0 to 64, not "-1".'),
        ({"LISTEN_FDS": "65"}, 'LISTEN_FDS takes a number of sockets from 0 to 64, not "65".'),
        ({"LISTEN_FDS": "1\n2"}, 'LISTEN_FDS takes a number of sockets from 0 to 64, not "1\\x0a2".'),
        ({"LISTEN_PID": "me"}, 'LISTEN_PID takes the id of a process, not "me".'),
        ({"LISTEN_PID": "-3"}, 'LISTEN_PID takes the id of a process, not "-3".'),
        ({"LISTEN_FDNAMES": "a:b"}, "LISTEN_FDNAMES has 2 names, and LISTEN_FDS has 1 sockets."),
        ({"LISTEN_FDS": "40"}, "LISTEN_FDS: descriptor 4 is not a listening socket"),
    ], ids=str)
    def test_garbage(self, services, variables, message):
        with listening() as listener:
            service = services(sockets=[listener], variables=variables).launch()
            assert service.wait() == 64
            assert service.stderr.startswith(message) and service.stderr.count("\n") == 1
            service.kill()

    @pytest.mark.parametrize("kind", ["datagram", "connected", "not listening", "file", "pipe"])
    def test_other_kinds(self, services, tmp_path, kind):
        pair = socket.socketpair()
        reader, writer = os.pipe()
        others = {
            "datagram": socket.socket(socket.AF_INET, socket.SOCK_DGRAM), "connected": pair[0],
            "not listening": socket.socket(), "file": open(tmp_path / "file", "w"), "pipe": os.fdopen(reader, "rb"),
        }
        with listening() as listener:
            service = services(
                sockets=[listener, others[kind]], variables={"LISTEN_FDNAMES": "good:bad"}).launch()
            assert service.wait() == 64
            assert service.stderr == (
                "LISTEN_FDS: descriptor 4 (bad) is not a listening socket for TCP or Unix clients; in a socket unit, "
                "ListenStream= makes one.\n")
            service.kill()
        for each in [*others.values(), pair[1]]:
            each.close()
        os.close(writer)


def put(service, key, value):
    with service.connect() as client:
        return client.set(key, value)


def value_of(service, key):
    with service.connect() as client:
        return client.get(key)


class TestMemory:
    """--keep-memory: the service manager keeps the memory of caches without a file."""

    NAME = "larder-memory-default"

    @pytest.fixture
    def begin(self, services, manager):
        """A function that starts a server with what the manager keeps, and waits until it is ready. Gives the server and
        the messages before that."""
        def begin(*arguments, sockets=(), **options):
            kept = list(manager.kept.items())
            variables = {"NOTIFY_SOCKET": manager.place}
            if kept or sockets:
                variables["LISTEN_FDNAMES"] = ":".join([name for name, _ in kept] + ["larder.socket"] * len(sockets))
            service = services(
                *arguments, sockets=[fd for _, fd in kept] + list(sockets), variables=variables, **options).launch()
            messages = []
            while "READY" not in (messages[-1] if messages else {}):
                messages.append(manager.message())
            if not sockets:
                poll(service._is_accepting, lambda: service.stderr, 20)
            return service, [each for each in messages[:-1] if "EXTEND_TIMEOUT_USEC" not in each]

        return begin

    @staticmethod
    def end(service, how):
        service.process.send_signal(how)
        service.process.wait(20)
        service.process = None

    @pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
    @pytest.mark.parametrize("threads", [1, 3])
    def test_items_survive(self, begin, manager, how, threads):
        service, messages = begin("--keep-memory", "-m", 64, threads=threads)
        assert messages == [{"FDSTORE": "1", "FDNAME": self.NAME}] and list(manager.kept) == [self.NAME]
        assert os.readlink(f"/proc/self/fd/{manager.kept[self.NAME].fileno()}").startswith("/memfd:larder")
        values = {b"key-%d" % number: b"%d" % number * (number % 500) for number in range(5000)}
        with service.connect() as client:
            for key, value in values.items():
                assert client.set(key, value, flags=7) == b"STORED"
            assert client.set(b"large", b"L" * 700_000) == b"STORED"
        for _ in range(2):
            self.end(service, how)
            manager.drain()
            service, messages = begin("--keep-memory", "-m", 64, threads=threads)
            assert messages == [] and list(manager.kept) == [self.NAME]
            with service.connect() as client:
                for first in range(0, 5000, 100):
                    keys = list(values)[first:first + 100]
                    assert client.get_many(keys) == {key: values[key] for key in keys}
                assert client.get(b"large") == b"L" * 700_000
                assert int(client.stats()["curr_items"]) == 5001
            poll(lambda: "cache default has 5001 items again" in service.stderr, lambda: service.stderr)

    def test_memory_is_taken_when_it_is_needed(self, begin, manager):
        """As without the option: pages come with items, and a restart adds none."""
        service, _ = begin("--keep-memory", "-m", 512)
        with service.connect() as client:
            for number in range(20):
                assert client.set(b"key-%d" % number, b"v" * 500_000) == b"STORED"

        def megabytes():
            return os.fstat(manager.kept[self.NAME].fileno()).st_blocks / 2048

        values_megabytes = 20 * 500_000 / 2**20
        assert values_megabytes < megabytes() < 40
        self.end(service, signal.SIGKILL)
        service, _ = begin("--keep-memory", "-m", 512)
        assert len(service.stats()) > 10 and values_megabytes < megabytes() < 40

    def test_another_size(self, begin, manager):
        service, _ = begin("--keep-memory", "-m", 32)
        with service.connect() as client:
            for number in range(100):
                assert client.set(b"key-%d" % number, b"%d" % number) == b"STORED"
        self.end(service, signal.SIGKILL)
        for size in (64, 48):
            service, messages = begin("--keep-memory", "-m", size)
            assert messages == [
                {"FDSTOREREMOVE": "1", "FDNAME": self.NAME}, {"FDSTORE": "1", "FDNAME": self.NAME}]
            assert os.fstat(manager.kept[self.NAME].fileno()).st_size > size << 20
            poll(lambda: "its items are in new memory" in service.stderr, lambda: service.stderr)
            with service.connect() as client:
                assert client.get_many([b"key-%d" % number for number in range(100)]) == {
                    b"key-%d" % number: b"%d" % number for number in range(100)}
            self.end(service, signal.SIGTERM)
            manager.drain()

    @pytest.mark.parametrize("arguments", [
        (), ("-e", "store"), ("--keep-memory", "--cache", "name=other,items=10,listen=127.0.0.1:0")], ids=str)
    def test_memory_that_is_not_used_any_more(self, begin, manager, arguments):
        service, _ = begin("--keep-memory", "--cache", "name=a:b%,items=10,listen=127.0.0.1:0")
        gone = "larder-memory-a%3Ab%25"
        assert sorted(manager.kept) == [gone, self.NAME]
        assert put(service, b"key", b"value") == b"STORED"
        self.end(service, signal.SIGKILL)
        service, messages = begin(*arguments)
        kept = {self.NAME, "larder-memory-other"} if "--keep-memory" in arguments else set()
        assert set(manager.kept) == kept
        assert {"FDSTOREREMOVE": "1", "FDNAME": gone} in messages
        assert (value_of(service, b"key") == b"value") == bool(kept)

    @pytest.mark.parametrize("place", [0, 4096, -4096], ids=["first", "tables", "last"])
    def test_memory_that_is_damaged(self, begin, manager, place):
        """It is not used, or what is whole in it is: as a file."""
        service, _ = begin("--keep-memory", "-m", 32)
        assert put(service, b"key", b"value") == b"STORED"
        self.end(service, signal.SIGKILL)
        fd = manager.kept[self.NAME].fileno()
        size = os.fstat(fd).st_size
        os.pwrite(fd, b"\xff" * 4096, place % size)
        os.pwrite(fd, b"\xff" * 4096, size - 4096)
        service, messages = begin("--keep-memory", "-m", 32)
        assert value_of(service, b"key") in (None, b"value")
        assert put(service, b"key", b"later") == b"STORED"
        if place == 0:
            assert [list(message)[0] for message in messages] == ["FDSTOREREMOVE", "FDSTORE"]
            assert "memory of the service manager was not used, and a new store was begun" in service.stderr
        self.end(service, signal.SIGKILL)
        service, _ = begin("--keep-memory", "-m", 32)
        assert value_of(service, b"key") == b"later"

    def test_beside_sockets(self, begin, manager, directory):
        """The socket unit's sockets and the memory come together, in any order."""
        listener, address, _ = listening_on("file", directory)
        with listener:
            service, _ = begin("--keep-memory", sockets=[listener], listen=None)
            with Connection(address) as client:
                assert client.set(b"key", b"value") == b"STORED"
            self.end(service, signal.SIGKILL)
            service, _ = begin("--keep-memory", sockets=[listener], listen=None)
            with Connection(address) as client:
                assert client.get(b"key") == b"value"

    def test_without_a_manager(self, services):
        service = services("--keep-memory").start()
        poll(lambda: "--keep-memory has no effect" in service.stderr, lambda: service.stderr)
        assert put(service, b"key", b"value") == b"STORED"

    def test_a_take_over(self, begin, services, manager, directory):
        """The new server uses the memory that the manager keeps."""
        arguments = ["--keep-memory", "--takeover", f"{directory}/takeover"]
        old, _ = begin(*arguments)
        with old.connect() as client:
            assert client.set(b"key", b"value") == b"STORED"
            memory = manager.kept.pop(self.NAME)
            new = services(*arguments, variables={"NOTIFY_SOCKET": manager.place}, port=old.port).launch()
            assert old.process.wait(20) == 0
            assert manager.next("MAINPID")["MAINPID"] == str(new.process.pid)
            assert manager.next("FDSTORE")["FDNAME"] == self.NAME
            assert client.get(b"key") == b"value" and client.set(b"more", b"1") == b"STORED"
        assert os.path.sameopenfile(memory.fileno(), manager.kept[self.NAME].fileno())
        self.end(new, signal.SIGKILL)
        last, _ = begin("--keep-memory")
        with last.connect() as client:
            assert client.get_many([b"key", b"more"]) == {b"key": b"value", b"more": b"1"}


UNITS = Path(__file__).resolve().parents[2] / "systemd"


@pytest.fixture
def units(tmp_path):
    """The units, with the path of the tested server."""
    for path in UNITS.iterdir():
        (tmp_path / path.name).write_text(path.read_text().replace("/usr/bin/larder", binary()))
    return tmp_path


@pytest.fixture(scope="module")
def analyze():
    """systemd-analyze, with the options of its version 250."""
    try:
        version = subprocess.run(["systemd-analyze", "--version"], capture_output=True, text=True, timeout=60).stdout
    except FileNotFoundError:
        cannot_test("there is no systemd-analyze (Debian's systemd has it)")
    if int(version.split()[1]) < 250:
        cannot_test(f"systemd-analyze is too old: {version.splitlines()[0]}")
    return "systemd-analyze"


class TestUnits:
    def test_verify(self, units, analyze):
        names = [units / name for name in ("larder.service", "larder@a.service", "larder.socket")]
        (units / "larder@a.service").write_text((units / "larder@.service").read_text())
        result = subprocess.run(
            [analyze, "verify", "--man=no", "--recursive-errors=no", *names], capture_output=True, text=True,
            timeout=60)
        assert (result.returncode, result.stdout, result.stderr) == (0, "", "")

    def test_the_socket_unit_without_ipv6(self):
        """systemd can open its addresses in a network that has no IPv6."""
        places = re.findall(r"^ListenStream=(.+)$", (UNITS / "larder.socket").read_text(), re.M)
        options = " ".join(f"--listen='{place}'" for place in places)
        process = subprocess.Popen(
            ["unshare", "--net", "sh", "-euc",
             "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6; ip link set lo up; "
             f"exec systemd-socket-activate {options} true"],
            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            lines = [process.stderr.readline() for _ in places]
        finally:
            process.kill()
            process.communicate()
        assert places and lines == [f"Listening on {place} as {3 + fd}.\n" for fd, place in enumerate(places)]

    @pytest.mark.parametrize("name", ["larder.service", "larder@a.service"])
    def test_security(self, units, analyze, name):
        (units / "larder@a.service").write_text((units / "larder@.service").read_text())
        result = subprocess.run(
            [analyze, "security", "--offline=true", "--threshold=20", "--no-pager", units / name],
            capture_output=True, text=True, timeout=60)
        assert result.returncode == 0, result.stdout[-600:] + result.stderr
