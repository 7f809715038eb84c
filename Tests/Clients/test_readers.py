"""Programs that read the server's file in place, while it serves, and are stopped and killed as they do.

They are `larder-readers` of Benchmarks: a package of its own, so its use of the store is any program's.
"""

import json
import os
import random
import re
import shutil
import signal
import subprocess

import pytest

from server import ROOT, poll

READERS = ROOT / "Benchmarks" / ".build" / "release" / "larder-readers"
KEYS = 5000

pytestmark = pytest.mark.larder_only


def readers(*arguments, **options):
    """Starts the program; its answer is one JSON line."""
    if not os.access(READERS, os.X_OK):
        raise FileNotFoundError(f"{READERS} is not built: make test-clients builds it")
    return subprocess.Popen(
        [str(READERS), *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, **options)


def judged(process, seconds=300):
    output, _ = process.communicate(timeout=seconds)
    assert process.returncode == 0, output
    return json.loads(output)


NAMED = f"name=named,items={KEYS},blocksize=2k,bitmap=1,blocks={2 * KEYS},listen=:0"


@pytest.fixture
def shared(request, tmp_path, start_server):
    """A server with a file, and paths of the file and of the numbers that were acknowledged.

    With the parameter "named" it is the file of a named cache, and `server` speaks to that one.
    """
    directory = tmp_path if not os.path.isdir("/dev/shm") else None
    if directory is None:
        directory = f"/dev/shm/larder-readers-{os.getpid()}"
        os.mkdir(directory, 0o700)
    store, acknowledged = f"{directory}/store", f"{directory}/acknowledged"
    if getattr(request, "param", "") == "named":
        server = start_server("--cache", f"{NAMED},store={store}", threads=2)
        server.addresses.reverse()
    else:
        server = start_server("-m", 32, "-e", store, threads=2)
    yield server, store, acknowledged
    if str(directory).startswith("/dev/shm"):
        shutil.rmtree(directory)


@pytest.fixture
def load(shared):
    """Begins to write at full speed; ends when the test does."""
    processes = []

    def start(seed, flushes=50_000):
        server, _, acknowledged = shared
        processes.append(readers(
            "write", "--port", server.port, "--acknowledged", acknowledged, "--keys", KEYS, "--seed", seed,
            "--flushes", flushes))
        with server.connect() as connection:
            poll(lambda: int(connection.stats()["cmd_set"]) > 2 * KEYS, "the load begins")
        return processes[-1]

    yield start
    for process in processes:
        process.terminate()
        process.wait(10)
        process.stdout.close()


@pytest.mark.parametrize("shared", ["main", "named"], indirect=True)
@pytest.mark.parametrize("pread,reads", [(0, 1_000_000), (1, 100_000)])
def test_no_wrong_value_and_none_older_than_acknowledged(shared, load, pread, reads):
    _, store, acknowledged = shared
    seed = random.randrange(1 << 30)
    print("seed", seed)
    writer = load(seed)
    result = judged(readers(
        "read", "--store", store, "--acknowledged", acknowledged, "--reads", reads, "--keys", KEYS,
        "--seed", seed, "--pread", pread))
    print(result)
    assert writer.poll() is None, "the load ended before the reading"
    assert result["wrong"] == 0 and result["older"] == 0
    assert result["found"] > reads / 10
    assert result["unavailable"] < reads / 10


def test_the_judge_notices(shared):
    """A value that is not the key's, and one that is older than what was acknowledged."""
    server, store, acknowledged = shared
    arguments = ["read", "--store", store, "--acknowledged", acknowledged, "--reads", 1000, "--keys", 1]
    value = (0).to_bytes(8, "little") + (1).to_bytes(8, "little") + b"x" * 40
    with server.connect() as connection:
        assert connection.set(b"key-0", value, flags=1) == b"STORED"
    wrong = readers(*arguments)
    assert json.loads(wrong.communicate(timeout=60)[0])["wrong"] == 1000
    assert wrong.returncode == 1

    writer = readers("write", "--port", server.port, "--acknowledged", acknowledged, "--keys", 1)
    with server.connect() as connection:
        poll(lambda: int(connection.stats()["cmd_set"]) > 1000, "the load begins")
    writer.terminate()
    writer.communicate()
    with open(acknowledged, "r+b") as file:
        file.write((1 << 60).to_bytes(8, "little"))
    older = readers(*arguments)
    told = json.loads(older.communicate(timeout=60)[0])
    # The last write may have been a deletion.
    assert told["wrong"] == 0 and told["older"] == told["found"]
    assert told["found"] == 0 or older.returncode == 1


def test_readers_are_stopped_and_killed_and_the_server_does_not_notice(shared, load):
    server, store, acknowledged = shared
    seed = random.randrange(1 << 30)
    print("seed", seed)
    chance = random.Random(seed)
    load(seed, flushes=0)
    stopped = []
    with server.connect() as connection:
        for number in range(40):
            reader = readers(
                "read", "--store", store, "--acknowledged", acknowledged, "--reads", 10**9, "--keys", KEYS,
                "--seed", seed + number)
            poll(lambda: store in maps(reader), "the reader has the file")
            for _ in range(chance.randrange(20)):
                assert connection.ask(b"mn\r\n") == b"MN"
            if number % 4 == 0:
                reader.send_signal(signal.SIGSTOP)
                stopped.append(reader)
            else:
                reader.kill()
                reader.communicate()
            value = b"%d" % number
            assert connection.set(b"probe", value) == b"STORED"
            assert connection.get(b"probe") == value
        writes = int(connection.stats()["cmd_set"])
        poll(lambda: int(connection.stats()["cmd_set"]) > writes + KEYS, "the load goes on")
    # Those that were stopped for so long read on, and nothing wrong.
    for reader in stopped:
        reader.kill()
        reader.communicate()


def maps(process):
    try:
        with open(f"/proc/{process.pid}/maps") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def test_no_system_call_for_a_read(shared):
    server, store, _ = shared
    with server.connect() as connection:
        for key in range(100):
            assert connection.set(b"key-%d" % key, b"x" * 100) == b"STORED"

    def calls(reads):
        trace = subprocess.run(
            ["strace", "-f", "-c", str(READERS), "time", "--store", store, "--reads", str(reads), "--keys", "100"],
            capture_output=True, text=True, timeout=120)
        assert trace.returncode == 0, trace.stderr
        assert json.loads(trace.stdout.splitlines()[0])["found"] == reads
        return int(re.search(r"^\s*100\.00\s+.*?(\d+)\s+(?:\d+\s+)?total$", trace.stderr, re.M)[1])

    few, many = calls(1000), calls(1_000_000)
    print(few, many)
    # Ten times a second a reader looks whether the path names another file.
    assert many - few < 500


@pytest.mark.parametrize("shared", ["named"], indirect=True)
def test_the_file_of_a_named_cache_follows_its_listener(shared):
    server, store, acknowledged = shared
    arguments = ["time", "--store", store, "--reads", 1000, "--keys", 100]
    with server.connect() as connection:
        for key in range(100):
            assert connection.set(b"key-%d" % key, b"x" * 100) == b"STORED"
        assert judged(readers(*arguments)) | {"nanoseconds_each": 0} == {
            "reads": 1000, "found": 1000, "bytes": 100_000, "nanoseconds_each": 0}
        assert connection.set(b"key-7", b"x" * 1100) == b"STORED"
        found = judged(readers(*arguments))
        assert found["found"] == 1000 and found["bytes"] % 1000 == 0 and found["bytes"] > 100_000
        assert connection.ask(b"flush_all\r\n") == b"OK"
        assert connection.set(b"key-8", b"y") == b"STORED"
        found = judged(readers(*arguments))
        assert 0 < found["found"] < 100 and found["bytes"] == found["found"]


def test_the_file_of_a_killed_server_can_be_read(shared, start_server):
    server, store, _ = shared
    with server.connect() as connection:
        for key in range(100):
            assert connection.set(b"key-%d" % key, b"x" * 100) == b"STORED"
    timer = readers("time", "--store", store, "--reads", 100, "--keys", 100)
    assert judged(timer)["found"] == 100
    server.kill()
    assert judged(readers("time", "--store", store, "--reads", 100, "--keys", 100))["found"] == 100
    with start_server("-m", 32, "-e", store).connect() as connection:
        assert connection.ask(b"delete key-1\r\n") == b"DELETED"
    reader = readers("time", "--store", store, "--reads", 1000, "--keys", 100)
    assert 900 < judged(reader)["found"] < 1000
