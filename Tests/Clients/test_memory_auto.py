"""-m auto, and a number that is too high, in a cgroup that the test makes."""

import multiprocessing
import os
import pathlib
import random
import re
import time

import pytest

from server import Connection, Server, cannot_test, poll, run

pytestmark = pytest.mark.larder_only
# A longer run: LARDER_MEMORY_SECONDS=60.
LOAD_SECONDS = float(os.environ.get("LARDER_MEMORY_SECONDS", 10))
CLIENTS = 50
BATCH = 4
KEYS = 3000


class Cgroup:
    """A cgroup with a limit of memory, of either version."""

    def __init__(self, megabytes):
        root = pathlib.Path("/sys/fs/cgroup")
        self.is_unified = (root / "cgroup.controllers").exists()
        self.path = (root if self.is_unified else root / "memory") / f"larder-test-{os.getpid()}"
        try:
            if self.is_unified:
                (root / "cgroup.subtree_control").write_text("+memory")
            self.path.mkdir()
            self.limit_file = self.path / ("memory.max" if self.is_unified else "memory.limit_in_bytes")
            self.limit_file.write_text(str(megabytes << 20))
        except OSError as error:
            cannot_test(f"this system allows no cgroup with a limit of memory: {error}")

    def kills(self):
        text = (self.path / ("memory.events" if self.is_unified else "memory.oom_control")).read_text()
        return int(re.search(r"^oom_kill (\d+)$", text, re.M)[1])

    def peak_bytes(self):
        return int((self.path / ("memory.peak" if self.is_unified else "memory.max_usage_in_bytes")).read_text())

    def remove(self):
        # The processes have ended, and the kernel may take a moment to notice.
        poll(self._is_removed, f"{self.path} is removed")

    def _is_removed(self):
        try:
            self.path.rmdir()
        except OSError:
            return not self.path.exists()
        return True


@pytest.fixture
def cgroup():
    made = Cgroup(128)
    yield made
    made.remove()


class Confined(Server):
    """A server in a cgroup."""

    def __init__(self, cgroup, *arguments, **options):
        super().__init__(*arguments, **options)
        self.arguments = ["sh", "-c", 'echo $$ > "$0" && exec "$@"', str(cgroup.path / "cgroup.procs"), *self.arguments]


@pytest.fixture
def confined(cgroup):
    """A function that starts a server in the cgroup."""
    servers = []

    def start(*arguments, **options):
        servers.append(Confined(cgroup, *arguments, **options))
        return servers[-1].start()

    yield start
    for server in servers:
        server.stop()


def test_the_log_has_the_sum(cgroup, confined):
    server = confined("-m", "auto")
    line = next(line for line in server.stderr.splitlines() if "-m auto is" in line)
    match = re.match(rf"larder: -m auto is (\d+) MB: (\d+) MB of {cgroup.limit_file}, less ", line)
    megabytes, limit = map(int, match.groups())
    parts = [int(number) for number in re.findall(r"(?:less|,) (\d+) for ", line)]
    assert limit == 128 and line.endswith(", and 2 % for tables")
    assert megabytes == (limit - sum(parts)) * 100 // 102
    assert int(server.stats("settings")["maxbytes"]) == megabytes << 20
    assert f"serves tcp:127.0.0.1:{server.port} with {megabytes} MB" in server.stderr
    assert f"memory-limit {megabytes} (command line, auto)" in server.stderr


def test_a_number_that_is_too_high(cgroup, confined):
    server = confined("-m", 128)
    assert f"larder: -m 128 needs 138 MB, and the limit is 128 MB ({cgroup.limit_file}): " in server.stderr
    assert "and the limit is" not in confined("-m", 100).stderr


def test_without_a_cgroup():
    """The memory of the machine counts then, or that of a cgroup in which all tests run."""
    total = int(re.search(r"^MemTotal: +(\d+) kB$", pathlib.Path("/proc/meminfo").read_text(), re.M)[1]) >> 10
    shown = run("-m", "auto", "--check-config").stdout
    limit = int(re.search(r"^# -m auto is \d+ MB: (\d+) MB of ", shown, re.M)[1])
    assert 0 < limit <= total
    assert 0 < int(re.search(r"^memory-limit (\d+) ", shown, re.M)[1]) < limit * 7 / 8


def load(address, seed, count, end):
    """Clients that send batches of sets and gets of 10 to 200 KB. All have sent before the first answer is read."""
    numbers = random.Random(seed)
    data = random.Random(0).randbytes(200_000)
    clients = [Connection(address, timeout=30) for _ in range(count)]
    batches = 0
    while time.monotonic() < end:
        for client in clients:
            client.is_setting = numbers.random() < 0.5
            keys = [b"key-%d" % numbers.randrange(KEYS) for _ in range(BATCH)]
            if client.is_setting:
                lengths = [numbers.randrange(10_000, 200_001) for _ in keys]
                client.send(b"".join(
                    b"set %b 0 0 %d\r\n%b\r\n" % (key, length, data[:length]) for key, length in zip(keys, lengths)))
            else:
                client.send(b"".join(b"get %b\r\n" % key for key in keys))
        for client in clients:
            for _ in range(BATCH):
                if client.is_setting:
                    assert client.read_line() == b"STORED"
                else:
                    for value in client.read_values().values():
                        assert value == data[:len(value)]
            batches += 1
    return batches


def test_the_kernel_ends_no_server(cgroup, confined):
    """The mixed load that needs the most memory: a server with a number for -m was ended by it."""
    server = confined("-m", "auto")
    seed = random.randrange(1 << 32)
    print("seed", seed)
    end = time.monotonic() + LOAD_SECONDS
    with multiprocessing.Pool(2) as pool:
        runs = [pool.apply_async(load, (server.address, seed + number, CLIENTS // 2, end)) for number in range(2)]
        batches = [each.get(LOAD_SECONDS + 60) for each in runs]
    print("batches", batches, "peak", cgroup.peak_bytes() >> 20, "MB, resident", server.resident_bytes() >> 20, "MB")
    server.assert_alive()
    assert cgroup.kills() == 0
    statistics = server.stats()
    # The cache was full, and no client was closed.
    assert int(statistics["evictions"]) > 0 and min(batches) > 0
