"""Another program changes the file of a store that is in use: truncates, zeroes, punches holes, overwrites, replaces,
deletes, makes unreadable, at random times and places, while clients read and write.

After each case the server must answer without wrong values and accept sets, or it must have ended with one line and
exit code 71. Without requests its threads must sleep, and SIGTERM must end it.

LARDER_DAMAGE_CASES is the number of cases, LARDER_DAMAGE_SEED the seed of the first one.
"""

import os
import random
import shutil
import signal
import socket
import tempfile
import threading
import time
import zlib

import pytest

from server import Connection, Server, free_port, poll

CASES = int(os.environ.get("LARDER_DAMAGE_CASES", "200"))
SEED = int(os.environ.get("LARDER_DAMAGE_SEED", str(int(time.time()))))
GROUPS = 8
KEYS = 300
MODES = ["truncate", "holes", "zero", "foreign", "garbage", "punch", "replace", "delete", "chmod", "append", "full"]


def value(key, version, size):
    """A value that names its key and shows whether it is complete."""
    head = b"%b:%d:%d:" % (key, version, size)
    body = (head * (size // len(head) + 1))[:size]
    return body + b"%08x" % zlib.crc32(body)


def is_sound(key, found):
    return found.startswith(key + b":") and b"%08x" % zlib.crc32(found[:-8]) == found[-8:]


class Load(threading.Thread):
    """Sets and gets its own keys, and collects wrong answers."""

    def __init__(self, port, number, seed, stop):
        super().__init__(daemon=True)
        self.port, self.number, self.stop_event = port, number, stop
        self.random = random.Random(seed)
        self.latest = {}
        self.wrong = []
        self.answers = 0

    def run(self):
        while not self.stop_event.is_set():
            try:
                with Connection(("127.0.0.1", self.port), timeout=15) as connection:
                    while not self.stop_event.is_set():
                        self.step(connection)
            except ConnectionRefusedError:
                # The server has ended; the caller checks its exit code.
                return
            except (EOFError, ConnectionError):
                pass
            except (socket.timeout, TimeoutError):
                self.wrong.append("no answer within 15 s")
                return

    def step(self, connection):
        key = b"t%d_%d" % (self.number, self.random.randrange(KEYS))
        if self.random.random() < 0.4:
            version = self.latest.get(key, 0) + 1
            size = self.random.choice([10, 100, 1000, 5000, 40_000])
            # Noted before the request, since the version may be stored even if no answer comes.
            self.latest[key] = version
            answer = connection.set(key, value(key, version, size))
            if answer not in (b"STORED", b"SERVER_ERROR out of memory storing object"):
                self.wrong.append((key, answer))
        else:
            keys = [b"t%d_%d" % (self.number, self.random.randrange(KEYS)) for _ in range(self.random.choice([1, 1, 8]))]
            for key, found in connection.get_many(keys).items():
                if not is_sound(key, found):
                    self.wrong.append((key, found[:60], len(found)))
                elif int(found.split(b":")[1]) > self.latest.get(key, 0):
                    self.wrong.append((key, "a version that was never set", found[:60]))
        self.answers += 1


def damage(mode, path, numbers, foreign):
    size = os.path.getsize(path)
    # Random places, and often the tables at the beginning and the index at the end.
    place = numbers.choice([0, 1, 4096, size // 2, size - 4096, numbers.randrange(size), numbers.randrange(size)])
    if mode == "truncate":
        os.truncate(path, place)
    elif mode == "holes":
        os.truncate(path, place)
        os.truncate(path, size)
    elif mode == "zero":
        write(path, place, bytes(min(size - place, numbers.choice([4096, 1 << 20, size]))))
    elif mode == "garbage":
        write(path, place, numbers.randbytes(min(size - place, numbers.choice([512, 4096, 1 << 20]))))
    elif mode == "foreign":
        with open(foreign, "rb") as source:
            write(path, 0, source.read())
    elif mode == "punch":
        os.system(f"fallocate -p -o {place // 4096 * 4096} -l {numbers.choice([4096, 1 << 20])} {path}")
    elif mode == "replace":
        shutil.copy(foreign, f"{path}.other")
        os.rename(f"{path}.other", path)
    elif mode == "delete":
        os.unlink(path)
    elif mode == "chmod":
        os.chmod(path, 0)
    elif mode == "append":
        write(path, size, b"x" * 5000)
    elif mode == "full":
        # The file has its space already, so a full disk does not change it.
        with open(f"{path}.filler", "wb") as filler:
            try:
                os.posix_fallocate(filler.fileno(), 0, 1 << 20)
            except OSError:
                pass


def write(path, place, data):
    fd = os.open(path, os.O_WRONLY)
    try:
        # In pieces, as cp writes.
        for start in range(0, len(data), 128 << 10):
            os.pwrite(fd, data[start : start + (128 << 10)], place + start)
    finally:
        os.close(fd)


def thread_states(pid):
    """The states of the threads in /proc: R is running, S is sleeping."""
    states = []
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/stat") as file:
            states.append(file.read().rsplit(")", 1)[1].split()[0])
    return states


@pytest.fixture(scope="module")
def foreign():
    """Another store's file of the same size with other items."""
    directory = tempfile.mkdtemp(dir="/dev/shm", prefix="larder-foreign-")
    path = f"{directory}/store"
    server = Server("-m", 8, "-e", path).start()
    with server.connect() as connection:
        for number in range(2000):
            connection.set(b"t0_%d" % (number % KEYS), value(b"t0_%d" % (number % KEYS), 1_000_000, 500))
    server.stop()
    yield path
    shutil.rmtree(directory)


def run_case(seed, foreign):
    numbers = random.Random(seed)
    mode = numbers.choice(MODES)
    threads = numbers.choice([1, 2, 4])
    directory = tempfile.mkdtemp(dir="/dev/shm", prefix="larder-damage-")
    path = f"{directory}/store"
    arguments = ["-m", 8, "-e", path]
    port = None
    if numbers.random() < 0.4:
        port = free_port()
        path = f"{directory}/named"
        arguments += ["--cache", f"name=c,items=1000,blocksize=64,bitmap=1,blocks=60000,purge_lru=1,store={path},listen=127.0.0.1:{port}"]
    what = f"case of seed {seed}: {mode}, -t {threads}, {'named cache' if port else 'main cache'}"
    server = Server(*arguments, threads=threads).start()
    stop = threading.Event()
    loads = [Load(port or server.port, number, seed * 10 + number, stop) for number in range(2)]
    try:
        for load in loads:
            load.start()
        before = numbers.choice([0, 50, 300])
        poll(lambda: all(load.answers > before for load in loads), f"{what}: the load begins", seconds=20)
        damage(mode, path, numbers, foreign)
        so_far = [load.answers for load in loads]
        poll(
            lambda: server.process.poll() is not None or all(load.answers > then + 100 for load, then in zip(loads, so_far)),
            f"{what}: clients are answered", seconds=30)
        stop.set()
        for load in loads:
            load.join(20)
        wrong = [answer for load in loads for answer in load.wrong]
        assert not wrong, f"{what}: {wrong[:3]}"
        if server.process.poll() is not None:
            assert server.process.returncode == 71, f"{what}: exit code {server.process.returncode}: {server.stderr[-500:]}"
            assert "changed by another program" in server.stderr.splitlines()[-1], what
            server.process = None
            return mode, "stopped"
        with Connection(("127.0.0.1", port or server.port)) as connection:
            assert connection.set(b"after", b"1") == b"STORED", what
            assert connection.get(b"after") == b"1", what
            if mode in ("replace", "delete", "chmod", "full"):
                assert int(connection.stats()["store_damages"]) == 0, f"{what}: the store was emptied without damage"
            elif mode not in ("punch",):
                # The thread that notices it may have to wait for a processor.
                poll(lambda: int(connection.stats()["store_damages"]) >= 1, f"{what}: the change is noticed", 10)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(10) == 0, what
        server.process = None
        return mode, "went on"
    finally:
        stop.set()
        if server.process is not None:
            server.process.kill()
            server.process.wait()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.mark.parametrize("group", range(GROUPS))
def test_a_file_that_others_change(group, foreign):
    print(f"LARDER_DAMAGE_SEED={SEED}")
    outcomes = {}
    for number in range(group, CASES, GROUPS):
        outcome = run_case(SEED + number, foreign)
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
    print(outcomes)


def test_an_idle_server_uses_no_time(start_server, tmp_path):
    """After the change no thread spins, with or without requests."""
    path = tmp_path / "store"
    server = start_server("-m", 8, "-e", path, threads=2)
    with server.connect() as connection:
        connection.set(b"key", b"value")
        os.truncate(path, 4096)
        poll(lambda: connection.get(b"key") is None, "the item is dropped")
        poll(lambda: "goes on in memory only" in server.stderr, "the server logs it")
        # A spinning thread never sleeps.
        poll(lambda: all(state == "S" for state in thread_states(server.process.pid)), "every thread sleeps")
