"""The clocks that the server uses: waits use the monotonic clock, and lifetimes count time in suspend."""

import subprocess
import time

import pytest

from server import binary, cannot_test, free_port, poll

pytestmark = pytest.mark.larder_only

CLOCK_OFFSET = 152  # in the superblock: docs/arena-format.md
BOOT_SECONDS = 1_000_000


@pytest.fixture
def store(tmp_path):
    return tmp_path / "store"


@pytest.fixture
def start(store):
    """Starts a server on the store, run by another program such as strace, and ends it."""
    started = []

    def run(*wrapper):
        process = subprocess.Popen(
            [*wrapper, binary(), "-l", "127.0.0.1", "-p", str(free_port()), "-m", "8",
             "--cache", f"name=default,store={store},store_sync=1"],
            stdin=subprocess.DEVNULL)
        started.append(process)
        return process

    yield run
    for process in started:
        process.terminate()
        process.wait(10)


def clock_offset(store):
    with open(store, "rb") as file:
        return int.from_bytes(file.read(CLOCK_OFFSET + 8)[CLOCK_OFFSET:], "little", signed=True)


def test_lifetimes_count_in_suspend(start, store):
    """A boot clock far ahead of the monotonic one, as after a suspend."""
    namespace = ["unshare", "--user", "--map-root-user", "--time", "--boottime", str(BOOT_SECONDS)]
    if subprocess.run([*namespace, "true"], capture_output=True).returncode != 0:
        cannot_test("a time namespace is not allowed here")
    start(*namespace)
    poll(lambda: store.exists() and clock_offset(store) != 0, "the server has written its clock offset")
    booted = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) - BOOT_SECONDS
    assert abs(clock_offset(store) / 1000 - booted) < BOOT_SECONDS / 10


def test_syncing_waits_by_the_monotonic_clock(start, tmp_path):
    trace = tmp_path / "trace"
    start("strace", "-D", "-f", "-e", "trace=futex", "-o", trace)

    def waits():
        lines = trace.read_text().splitlines() if trace.exists() else []
        return [line for line in lines if "FUTEX_WAIT" in line and "tv_sec" in line]

    for line in poll(waits, "the thread that syncs waits"):
        assert "CLOCK_REALTIME" not in line, line
