"""A process of a replicated cache that is killed while it holds the lock of a bucket that readers look into."""

import contextlib
import mmap
import os
import pathlib
import random
import shutil
import signal
import struct
import subprocess
import tempfile

import pytest

from databases import program
from server import poll

pytestmark = pytest.mark.larder_only

ROUNDS = int(os.environ.get("LARDER_LOCKED_KILLS", "3"))
NAME, TASKS, SETS = "key", 32, 1000


class Buckets:
    """The versions of a state file's buckets: docs/arena-format.md. An odd one is locked."""

    def __init__(self, path):
        with open(path, "rb") as file:
            self.content = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        (self.slab_shift,) = struct.unpack_from("<I", self.content, 28)
        (self.directory,) = struct.unpack_from("<Q", self.content, 48)

    def is_any_locked(self):
        buckets_left, _, _, slabs = struct.unpack_from("<4Q", self.content, 80)
        for number in struct.unpack_from(f"<{slabs}I", self.content, self.directory):
            start = number << self.slab_shift
            end = min((number + 1) << self.slab_shift, start + 64 * buckets_left)
            # 16 numbers to a bucket, and the version is its first one.
            if any(version & 1 for version in self.content[start:end].cast("I")[::16].tolist()):
                return True
            buckets_left -= (end - start) // 64
        return False


class Process:
    """A replication-probe, and what it has printed."""

    def __init__(self, directory, *words):
        self.output = directory / f"{words[0]}-{os.urandom(4).hex()}"
        with open(self.output, "wb") as output:
            self.process = subprocess.Popen(
                [program("replication-probe"), *map(str, words)], stdin=subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT)

    def lines(self):
        return self.output.read_text().splitlines()

    def wait_until_open(self):
        poll(lambda: "open" in self.lines(), lambda: f"it is open: {self.lines()}", 20, 0.0005)

    def stop(self):
        """Stops all threads. The state of the process says when it is done."""
        self.process.send_signal(signal.SIGSTOP)
        stat = pathlib.Path(f"/proc/{self.process.pid}/stat")
        poll(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T", "it has stopped", 20, 0)

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)

    def kill(self):
        self.process.kill()
        self.process.wait(20)


@pytest.fixture(scope="module")
def log():
    """A log of many records, and a state file that has only the first one. No disk makes the applier wait."""
    directory = pathlib.Path(tempfile.mkdtemp(prefix="larder-kills-", dir="/dev/shm"))
    try:
        for state, sets in ("early", 1), ("late", SETS):
            burst = Process(directory, "burst", directory / "log", directory / state, NAME, TASKS, sets)
            assert burst.process.wait(120) == 0, burst.lines()
        yield directory
    finally:
        shutil.rmtree(directory)


def killed_with_a_locked_bucket(directory, state, chance, processes):
    """A process that applies the log is killed in a bucket's lock. Returns one that reads the same file all the time;
    nil if no bucket was seen locked before all records were applied."""
    shutil.copy(directory / "early", state)
    applier = Process(directory, "idle", directory / "log", state)
    processes.append(applier)
    applier.wait_until_open()
    applier.stop()
    buckets = Buckets(state)
    while buckets.is_any_locked():
        applier.go_on()
        applier.stop()
    # It opens the file while no bucket is locked, and goes on reading when one is.
    reader = Process(directory, "watch", directory / "log", state, NAME, TASKS, SETS)
    processes.append(reader)
    poll(lambda: len(reader.lines()) > 1, lambda: f"it has read all keys: {reader.lines()}", 20)
    while not buckets.is_any_locked():
        if len(reader.lines()) > 1 and reader.lines()[-1].split()[2] == str(TASKS * (SETS + 1)):
            return None
        applier.go_on()
        for _ in range(chance.randrange(200)):
            pass
        applier.stop()
    # A stopped process does nothing more before it dies.
    applier.kill()
    return reader


def test_readers_go_on_when_a_bucket_is_locked_for_ever(log):
    """They need two seconds at most: then a read would fail. Another process takes over, and applies the rest."""
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed of the stops: {seed}")
    chance = random.Random(seed)
    done = 0
    for attempt in range(50 * ROUNDS):
        with contextlib.ExitStack() as stack:
            processes = []
            stack.callback(lambda processes=processes: [process.kill() for process in processes])
            reader = killed_with_a_locked_bucket(log, log / f"state{attempt}", chance, processes)
            if reader is None:
                continue
            last = f"round {TASKS * SETS} {TASKS * (SETS + 1)} true"
            poll(lambda reader=reader: last in reader.lines(), lambda reader=reader: reader.lines()[-3:], 30)
            assert reader.process.poll() is None
            # No round read an older value, or missed a key.
            found = [int(line.split()[1]) for line in reader.lines() if line.startswith("round")]
            assert found == sorted(found) and found[0] < TASKS * SETS
            done += 1
        for path in log.glob(f"state{attempt}*"):
            path.unlink()
        if done == ROUNDS:
            return
    raise AssertionError(f"a bucket was seen locked {done} times only, seed {seed}")
