"""One server process under test, and a plain-socket client to talk to it.

`LARDER_BINARY` names the server to test; without it, the release build of this repository.
Any program with memcached's command line will do: a wrapper that starts memcached proves the tests.
"""

import itertools
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
START_SECONDS_MAX = 20.0
STOP_SECONDS_MAX = 10.0


def binary():
    """The path of the server to test; a clear error when it is not there."""
    path = pathlib.Path(os.environ.get("LARDER_BINARY", ROOT / ".build" / "release" / "larder"))
    if not os.access(path, os.X_OK):
        raise FileNotFoundError(f"no server at {path}: build it (swift build -c release) or set LARDER_BINARY")
    return str(path)


def poll(condition, what, seconds=5.0, interval=0.005):
    """The first true result of `condition`, or an error that says what (a text or a function) did not happen."""
    deadline = time.monotonic() + seconds
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what() if callable(what) else what}")
        time.sleep(interval)


def _server_ports():
    """Ports that the system gives to no client's end of a connection; other numbers for each process that runs tests."""
    first, end = 10_000, int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    processes = 8
    process = int(os.environ.get("PYTEST_XDIST_WORKER", "gw-1").removeprefix("gw")) + 1
    ports = range(first + process % processes, end, processes)
    return itertools.islice(itertools.cycle(ports), os.getpid() % len(ports), None)


_ports = _server_ports()


def free_port(host="127.0.0.1"):
    """A port that has no listener now. No client's connection can take it before the server does."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for port in itertools.islice(_ports, 1000):
        try:
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                with socket.socket(family, kind) as probe:
                    probe.bind((host, port))
            return port
        except OSError:
            continue
    raise AssertionError("1,000 ports in a row are in use")


def cannot_test(reason):
    """Skips a test if the system does not allow what the test needs. In CI this is a failure: its system allows it."""
    # Not at the top of the file: programs without pytest import it, too.
    import pytest

    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


class Connection:
    """A blocking connection that speaks bytes; every wait ends after `timeout` seconds.

    `tls` is an ssl.SSLContext to speak through, `login` a name and a password to begin with.
    """

    def __init__(self, address, timeout=10.0, receive_buffer=None, tls=None, login=None):
        family = socket.AF_UNIX if isinstance(address, str) else (
            socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.socket.settimeout(timeout)
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        try:
            self.socket.connect(address)
        except OSError:
            self.socket.close()
            raise
        if family != socket.AF_UNIX:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = bytearray()
        try:
            if tls is not None:
                self.socket = tls.wrap_socket(self.socket, server_hostname="localhost")
            if login is not None:
                answer = self.set(b"login", b"%b %b" % login)
                assert answer == b"STORED", answer
        except BaseException:
            self.socket.close()
            raise

    def send(self, data):
        self.socket.sendall(data)

    def _fill(self):
        chunk = self.socket.recv(1 << 18)
        if not chunk:
            raise EOFError(f"the server closed the connection; unread: {bytes(self.received[:200])!r}")
        self.received += chunk

    def read_line(self):
        """One answer line without its end."""
        start = 0
        while True:
            end = self.received.find(b"\r\n", start)
            if end >= 0:
                break
            start = max(0, len(self.received) - 1)
            self._fill()
        line = bytes(self.received[:end])
        del self.received[:end + 2]
        return line

    def read_exactly(self, count):
        while len(self.received) < count:
            self._fill()
        data = bytes(self.received[:count])
        del self.received[:count]
        return data

    def read_until_closed(self):
        """Everything up to the end of the connection; a reset counts as an end."""
        try:
            while chunk := self.socket.recv(1 << 18):
                self.received += chunk
        except (ConnectionResetError, BrokenPipeError):
            pass
        data, self.received = bytes(self.received), bytearray()
        return data

    def ask(self, command):
        """Sends one command that answers with one line."""
        self.send(command)
        return self.read_line()

    def set(self, key, value, flags=0, exptime=0, verb=b"set"):
        return self.ask(b"%b %b %d %d %d\r\n%b\r\n" % (verb, key, flags, exptime, len(value), value))

    def get(self, key):
        """The value, or None for a miss."""
        return self.get_many([key]).get(key)

    def get_many(self, keys, verb=b"get"):
        self.send(verb + b" " + b" ".join(keys) + b"\r\n")
        return self.read_values()

    def read_values(self):
        found = {}
        while (line := self.read_line()) != b"END":
            word, key, _, count, *_ = line.split(b" ")
            assert word == b"VALUE", line
            found[key] = self.read_exactly(int(count))
            assert self.read_exactly(2) == b"\r\n"
        return found

    def stats(self, argument=""):
        """`stats`, as a dictionary of strings in the order of the answer."""
        self.send(f"stats {argument}".strip().encode() + b"\r\n")
        result = {}
        while (line := self.read_line().decode()) != "END":
            parts = line.split(" ", 2)
            assert parts[0] == "STAT" and len(parts) >= 2, line
            assert parts[1] not in result, f"twice: {line}"
            result[parts[1]] = parts[2] if len(parts) == 3 else ""
        return result

    def is_closed(self):
        """Whether the server has closed; reads away what it still sent."""
        try:
            self.socket.settimeout(0.001)
            chunk = self.socket.recv(1 << 16)
            self.received += chunk
            return not chunk
        except (TimeoutError, BlockingIOError):
            return False
        except (ConnectionResetError, BrokenPipeError):
            return True
        finally:
            self.socket.settimeout(10.0)

    def reset(self):
        """Closes without a good-bye: the server sees ECONNRESET."""
        if self.socket.family != socket.AF_UNIX:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self.socket.close()

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Server:
    """A running server. `addresses` are where it listens; `address` is the first of them.

    `unix` is True, or the path of the socket. `listen=None` leaves -l and -p to the arguments.
    `tls` and `login` are what its connections begin with. `binary_only`: it does not speak text.
    `program` is another one than `binary()`, `prefix` begins the command line, `environment` is added to this process's.
    """

    # Of all servers of this process: conftest.py removes those that are left at the end.
    directories = []

    def __init__(
            self, *arguments, unix=False, mask="0700", listen="127.0.0.1", threads=None, port="-1", tls=None,
            login=None, binary_only=False, program=None, prefix=(), environment=None):
        self.is_binary = binary_only
        self.connection_options = {"tls": tls, "login": login}
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="larder-"))
        self.directories.append(self.directory)
        self.port_file = self.directory / "ports"
        self.socket_path = str(self.directory / "socket") if unix is True else unix or None
        self.arguments = [*prefix, program or binary(), *map(str, arguments)]
        if threads is not None:
            self.arguments += ["-t", str(threads)]
        if unix:
            self.arguments += ["-s", self.socket_path, "-a", mask]
        elif listen is not None:
            self.arguments += ["-l", listen, "-p", str(port)]
        self.environment = dict(
            os.environ, MEMCACHED_PORT_FILENAME=str(self.port_file), **environment or {})
        self.addresses = []
        self.process = None

    def start(self):
        with open(self.directory / "stdout", "wb") as out, open(self.directory / "stderr", "wb") as err:
            self.process = subprocess.Popen(
                self.arguments, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=self.environment,
                cwd=self.directory)
        try:
            poll(self._is_accepting, f"{self.arguments} accepts", START_SECONDS_MAX)
        except BaseException:
            self.kill()
            raise
        return self

    def _is_accepting(self):
        if self.process.poll() is not None:
            raise AssertionError(f"{self.arguments} ended with {self.process.returncode}: {self.stderr}")
        if self.socket_path is not None:
            self.addresses = [self.socket_path]
        elif self.port_file.exists():
            self.addresses = [
                ("::1" if match[1] else "127.0.0.1", int(match[2]))
                for match in re.finditer(r"^TCP INET(6?): (\d+)$", self.port_file.read_text(), re.M)]
        if not self.addresses:
            return False
        try:
            return self._tells_its_version()
        except (ConnectionRefusedError, FileNotFoundError):
            return False

    def _tells_its_version(self):
        with self.connect() as connection:
            if not self.is_binary:
                return connection.ask(b"version\r\n").startswith(b"VERSION ")
            connection.send(b"\x80\x0b" + bytes(22))
            return connection.read_exactly(24).startswith(b"\x81\x0b")

    @property
    def address(self):
        return self.addresses[0]

    @property
    def port(self):
        return self.address[1]

    @property
    def text_address(self):
        """As memcached's clients take it: `host:port`, or the path of the socket."""
        return self.socket_path or f"{self.address[0]}:{self.port}"

    @property
    def stderr(self):
        return (self.directory / "stderr").read_text(errors="replace")

    @property
    def stdout(self):
        return (self.directory / "stdout").read_text(errors="replace")

    @property
    def output(self):
        return self.stdout + self.stderr

    def connect(self, **options):
        return Connection(self.address, **{**self.connection_options, **options})

    def stats(self, argument=""):
        with self.connect() as connection:
            return connection.stats(argument)

    def resident_bytes(self):
        return self._memory("VmRSS")

    def own_bytes(self):
        """Resident memory without the program's files, which all processes share and the system can drop."""
        return self._memory("RssAnon|RssShmem")

    def _memory(self, names):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return sum(int(kilobytes) for kilobytes in re.findall(rf"^(?:{names}):\s+(\d+) kB", status, re.M)) * 1024

    def descriptor_count(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def assert_alive(self):
        """Running, and answering on a new connection."""
        assert self.process.poll() is None, f"ended with {self.process.returncode}: {self.stderr[-2000:]}"
        assert self._tells_its_version()

    def wait(self, seconds=STOP_SECONDS_MAX):
        """The exit code."""
        return self.process.wait(seconds)

    def stop(self, number=signal.SIGTERM):
        """Stops it if it still runs, and insists on exit code 0."""
        try:
            if self.process.poll() is None:
                self.process.send_signal(number)
            code = self.wait()
            assert code == 0, f"exit code {code}: {self.stderr[-2000:]}"
        finally:
            self.kill()

    def kill(self):
        """Whatever state it is in, no process and no file stays behind."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process = None
        shutil.rmtree(self.directory, ignore_errors=True)


def run(*arguments, seconds=10.0):
    """Runs the binary to its end: for flags that only print, and for refusals to start."""
    return subprocess.run(
        [binary(), *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds)
