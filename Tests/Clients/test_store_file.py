"""A store in a file (-e, --store), through the real server: restarts, files of every bad kind, faults."""

import os
import pathlib
import random
import shutil
import signal
import subprocess
import tempfile
import threading

import pytest

from server import Connection, binary, poll

pytestmark = pytest.mark.larder_only

SIGNALS = [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGKILL]
REFUSED = 1


@pytest.fixture
def directory():
    """A directory for stores, in memory where there is one."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="larder-store-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def store(directory):
    return directory / "store"


def end(server, number):
    """Ends a server with a signal, and waits for its end only as long as the next start would."""
    server.process.send_signal(number)
    code = server.process.wait(10)
    server.process = None
    assert code == (-number if number == signal.SIGKILL else 0)


def fill(connection, count=300):
    """Items with and without flags and expiry, small and larger than a slab; returns them with their cas."""
    expected = {}
    for number in range(count):
        key = b"key-%d" % number
        value = random.Random(number).randbytes(300_000 if number % 100 == 7 else number * 3 % 4000)
        assert connection.set(key, value, flags=number % 3 * 1000, exptime=(0, 5000, 2_000_000)[number % 3]) == b"STORED"
        expected[key] = value
    for number in range(0, count, 10):
        assert connection.ask(b"delete key-%d\r\n" % number) == b"DELETED"
        del expected[b"key-%d" % number]
    return expected


def dump(connection, keys):
    """Value, flags, cas of each key that is there."""
    found = {}
    for key in keys:
        connection.send(b"gets " + key + b"\r\n")
        line = connection.read_line()
        if line == b"END":
            continue
        _, _, flags, length, cas = line.split()
        found[key] = (connection.read_exactly(int(length)), int(flags), int(cas))
        assert connection.read_exactly(7) == b"\r\nEND\r\n"
    return found


ALL_KEYS = [b"key-%d" % number for number in range(300)]


class TestRestart:
    @pytest.mark.parametrize("memory", [16, 32, 12], ids=["same", "more", "less"])
    @pytest.mark.parametrize("number", SIGNALS, ids=[number.name for number in SIGNALS])
    def test_everything_is_back(self, start_server, store, number, memory):
        """Byte for byte, with flags and cas; and what was deleted is not."""
        first = start_server("-m", 16, "-e", store)
        with first.connect() as connection:
            expected = fill(connection)
            before = dump(connection, ALL_KEYS)
        assert {key: value for key, (value, _, _) in before.items()} == expected
        end(first, number)
        second = start_server("-m", memory, "--store", store)
        with second.connect() as connection:
            assert dump(connection, ALL_KEYS) == before
            figures = connection.stats()
            assert figures["store_recovered_items"] == str(len(expected)) == figures["curr_items"]
            assert figures["store_dropped_items"] == "0" and figures["store_ready"] == "1"
            assert figures["store_file"] == str(store)
            # A cas goes on counting, and the store goes on working.
            assert connection.set(b"key-0", b"new") == b"STORED"
            assert dump(connection, [b"key-0"])[b"key-0"][2] > max(cas for _, _, cas in before.values())
        assert sorted(path.name for path in store.parent.iterdir()) == ["store"]

    def test_expiry_goes_on(self, start_server, store):
        first = start_server("-e", store)
        with first.connect() as connection:
            connection.set(b"short", b"1", exptime=1)
            connection.set(b"long", b"1", exptime=1000)
            connection.set(b"shortened", b"1", exptime=1000)
            assert connection.ask(b"touch shortened 1\r\n") == b"TOUCHED"
        end(first, signal.SIGKILL)
        second = start_server("-e", store)
        with second.connect() as connection:
            poll(lambda: set(connection.get_many([b"short", b"long", b"shortened"])) == {b"long"}, "the expiry")

    @pytest.mark.parametrize("number", SIGNALS, ids=[number.name for number in SIGNALS])
    def test_flushed_stays_gone(self, start_server, store, number):
        first = start_server("-m", 16, "-e", store)
        with first.connect() as connection:
            fill(connection)
            assert connection.ask(b"flush_all\r\n") == b"OK"
            assert connection.set(b"key-1", b"after") == b"STORED"
        end(first, number)
        second = start_server("-m", 16, "-e", store)
        with second.connect() as connection:
            assert connection.get_many(ALL_KEYS) == {b"key-1": b"after"}

    @pytest.mark.parametrize("memory", [16, 24], ids=["same", "more"])
    def test_delayed_flush_falls_due(self, start_server, store, memory):
        """While the server is away, and while it is there."""
        first = start_server("-m", 16, "-e", store)
        with first.connect() as connection:
            fill(connection)
            assert connection.ask(b"flush_all 2\r\n") == b"OK"
        end(first, signal.SIGKILL)
        second = start_server("-m", memory, "-e", store)
        with second.connect() as connection:
            poll(lambda: not connection.get_many(ALL_KEYS), "the flush")
            assert connection.set(b"key-1", b"after") == b"STORED"
        end(second, signal.SIGKILL)
        third = start_server("-m", memory, "-e", store)
        with third.connect() as connection:
            assert connection.get_many(ALL_KEYS) == {b"key-1": b"after"}

    def test_smaller_keeps_the_newest_and_the_hottest(self, start_server, store):
        first = start_server("-m", 32, "-e", store)
        with first.connect() as connection:
            for number in range(20_000):
                value = b"%04d" % (number % 10_000) * 250
                connection.send(b"set item-%d 0 0 1000 noreply\r\n%b\r\n" % (number, value))
                if number % 100 == 99:
                    connection.get(b"item-5")
            for number in range(0, 100):
                for _ in range(3):
                    assert connection.get(b"item-%d" % number)
        end(first, signal.SIGKILL)
        second = start_server("-m", 8, "-e", store)
        with second.connect() as connection:
            kept = connection.get_many([b"item-%d" % number for number in range(20_000)])
            assert 6000 < len(kept) < 8000, len(kept)
            for number in [*range(100), *range(15_000, 20_000)]:
                assert kept[b"item-%d" % number] == b"%04d" % (number % 10000) * 250, number
            figures = connection.stats()
            assert int(figures["store_left_out_items"]) + int(figures["curr_items"]) == 20_000
        end(second, signal.SIGTERM)
        third = start_server("-m", 8, "-e", store)
        with third.connect() as connection:
            assert connection.get_many(list(kept)) == kept

    def test_named_cache(self, start_server, store):
        arguments = ["--key-route", "--cache", f"name=n,items=100,blocksize=4096,store={store},store_sync=1"]
        first = start_server(*arguments)
        with first.connect() as connection:
            assert connection.set(b"n/key", b"kept") == b"STORED"
            assert connection.set(b"key", b"lost") == b"STORED"
        end(first, signal.SIGKILL)
        second = start_server(*arguments)
        with second.connect() as connection:
            assert connection.get_many([b"n/key", b"key"]) == {b"n/key": b"kept"}


def refused(store, *arguments):
    """The one sentence with which a server does not start."""
    result = subprocess.run(
        [binary(), "-p", "-1", "-m", "16", "-e", str(store), *arguments], stdin=subprocess.DEVNULL, capture_output=True,
        timeout=20)
    assert result.returncode == REFUSED, result
    line, = result.stderr.decode().splitlines()
    assert line.startswith(f"larder: cannot use {store}") and " as a store: " in line, line
    return line


class TestRefusals:
    def test_directory(self, store):
        store.mkdir()
        assert "not a regular file" in refused(store)

    def test_fifo(self, store):
        os.mkfifo(store)
        assert "not a regular file" in refused(store)

    def test_symbolic_link(self, store):
        store.with_name("other").touch()
        store.symlink_to("other")
        assert "symbolic link" in refused(store)
        assert store.with_name("other").stat().st_size == 0

    def test_no_directory(self, store):
        assert "No such file" in refused(store / "below")

    def test_other_owner(self, store):
        if os.geteuid() != 0:
            # Nobody but root can give a file away; this one is root's, and cannot even be opened.
            assert "Permission denied" in refused(pathlib.Path("/etc/passwd"))
            return
        store.touch()
        os.chown(store, 12345, 12345)
        assert "another user" in refused(store)

    def test_no_permission(self, store):
        # Root may do all, so it asks as somebody else.
        store.parent.chmod(0o700 if os.geteuid() == 0 else 0)
        try:
            assert "Permission denied" in refused(store, *(["-u", "nobody"] if os.geteuid() == 0 else []))
        finally:
            store.parent.chmod(0o700)

    def test_second_server(self, start_server, store):
        first = start_server("-m", 16, "-e", store)
        with first.connect() as connection:
            fill(connection)
            before = dump(connection, ALL_KEYS)
            assert f"pid {first.process.pid} " in refused(store)
            assert f"pid {first.process.pid} " in refused(store, "-m", "32")
            assert dump(connection, ALL_KEYS) == before

    def test_no_space(self, start_server, directory):
        """As much as its whole file system is refused, and the file that was there stays."""
        system = os.statvfs(directory)
        too_much = str(system.f_blocks * system.f_frsize // 2**20 + 64)
        store = directory / "store"
        assert "no space" in refused(store, "-m", too_much)
        assert list(directory.iterdir()) == []
        first = start_server("-m", 12, "-e", store)
        with first.connect() as connection:
            connection.set(b"key", b"value")
        end(first, signal.SIGTERM)
        assert "no space" in refused(store, "-m", too_much)
        assert [path.name for path in directory.iterdir()] == ["store"]
        second = start_server("-m", 12, "-e", store)
        with second.connect() as connection:
            assert connection.get(b"key") == b"value"
        end(second, signal.SIGTERM)


class TestBadFiles:
    """Any file starts: what can be used of it is, and what cannot is set aside."""

    def start(self, start_server, store):
        server = start_server("-m", 16, "-e", store)
        with server.connect() as connection:
            expected = fill(connection)
        end(server, signal.SIGKILL)
        return expected

    def check(self, start_server, store, expected, at_least=0):
        server = start_server("-m", 16, "-e", store)
        with server.connect() as connection:
            found = connection.get_many(ALL_KEYS)
            for key, value in found.items():
                assert expected.get(key) == value, key
            assert len(found) >= at_least
            fill(connection)
        server.assert_alive()
        end(server, signal.SIGTERM)
        return found, server.stderr

    def test_empty(self, start_server, store):
        store.touch()
        found, log = self.check(start_server, store, {})
        # The start, its settings, the signal, and the stop.
        assert not found and len(log.splitlines()) == 4

    @pytest.mark.parametrize("content", [b"x", b"hello\n" * 1000, b"\0" * 100_000, bytes(range(256)) * 100])
    def test_garbage_is_set_aside(self, start_server, store, content):
        for number in (1, 2):
            store.write_bytes(content)
            found, log = self.check(start_server, store, {})
            assert not found
            assert store.with_name(f"store.bad-{number}").read_bytes() == content
            line, = [line for line in log.splitlines() if "bad-" in line]
            assert f"{store}.bad-{number}" in line
            store.unlink()

    @pytest.mark.parametrize("offset, name", [(8, "version"), (12, "byte order")])
    def test_other_program_or_machine(self, start_server, store, offset, name):
        self.start(start_server, store)
        content = bytearray(store.read_bytes())
        for base in (0, len(content) - 4096):
            content[base + offset:base + offset + 4] = content[base + offset:base + offset + 4][::-1]
        store.write_bytes(content)
        found, log = self.check(start_server, store, {})
        assert not found and name in log
        # Whoever reads it in place is told to look for the new one (index_epoch); nothing else is touched.
        aside = bytearray(store.with_name("store.bad-1").read_bytes())
        aside[112:120] = content[112:120]
        assert aside == content

    @pytest.mark.parametrize("part", [0.001, 0.1, 0.5, 0.9])
    def test_truncated(self, start_server, store, part):
        expected = self.start(start_server, store)
        size = store.stat().st_size
        os.truncate(store, int(size * part))
        found, _ = self.check(start_server, store, expected)
        assert store.stat().st_size == size
        if part == 0.9:
            assert len(found) == len(expected)

    def test_extended(self, start_server, store):
        expected = self.start(start_server, store)
        size = store.stat().st_size
        with open(store, "ab") as file:
            file.write(b"x" * 100_000)
        self.check(start_server, store, expected, len(expected))
        assert store.stat().st_size == size

    @pytest.mark.parametrize("place", [0, -1], ids=["first", "second"])
    def test_one_superblock_is_enough(self, start_server, store, place):
        expected = self.start(start_server, store)
        content = bytearray(store.read_bytes())
        base = 0 if place == 0 else len(content) - 4096
        content[base:base + 4096] = bytes(4096)
        store.write_bytes(content)
        self.check(start_server, store, expected, len(expected))

    def test_zero_pages_and_flipped_bits(self, start_server, store):
        seed = random.SystemRandom().randrange(1 << 31)
        print(f"seed {seed}")
        numbers = random.Random(seed)
        expected = self.start(start_server, store)
        original = store.read_bytes()
        for _ in range(20):
            content = bytearray(original)
            for _ in range(numbers.choice([1, 10, 1000])):
                if numbers.random() < 0.3:
                    page = numbers.randrange(len(content) // 4096) * 4096
                    content[page:page + 4096] = bytes(4096)
                else:
                    place = numbers.randrange(len(content) if numbers.random() < 0.5 else 65_536)
                    content[place] ^= 1 << numbers.randrange(8)
            store.write_bytes(content)
            self.check(start_server, store, expected)
            store.unlink()

    def test_a_flipped_bit_in_the_slab_table(self, start_server, store):
        """The record at 0x1080 is that of the first slab with items. No item is lost, and the log has a line."""
        server = start_server("-m", 64, "-e", store)
        items = {b"key-%d" % number: b"%d" % number * 60 for number in range(1500)}
        with server.connect() as connection:
            for key, value in items.items():
                assert connection.set(key, value) == b"STORED"
        end(server, signal.SIGKILL)
        sound = store.read_bytes()
        assert int.from_bytes(sound[0x1080:0x1084], "little") in (1, 2)
        # State, sequence, start and end of the time bucket, first cas, cursor: in each four bits.
        mended = 0
        for bit in [8 * field + bit for field in (0, 8, 16, 24, 32, 40) for bit in (0, 1, 2, 13)]:
            damaged = bytearray(sound)
            damaged[0x1080 + bit // 8] ^= 1 << bit % 8
            store.write_bytes(damaged)
            server = start_server("-m", 64, "-e", store)
            with server.connect() as connection:
                assert connection.get_many(list(items)) == items, f"bit {bit}"
            mended += "damaged records of slabs were mended" in server.stderr
            end(server, signal.SIGKILL)
        assert mended > 12

    def test_deleted_instead(self, start_server, store):
        store.write_bytes(b"garbage")
        server = start_server("--key-route", "--cache", f"name=n,items=100,store={store},store_delete=1")
        with server.connect() as connection:
            assert connection.set(b"n/key", b"value") == b"STORED"
        assert "deleted" in server.stderr
        assert sorted(path.name for path in store.parent.iterdir()) == ["store"]


class TestFaults:
    def test_emptied_under_a_live_server(self, start_server, store):
        """The server drops its items, logs it, and continues in memory. It can be started again."""
        server = start_server("-m", 16, "-e", store)
        with server.connect() as connection:
            fill(connection)
        os.truncate(store, 0)
        poll(lambda: "goes on in memory only" in server.stderr, "the server logs it")
        with server.connect() as connection:
            assert connection.get_many(ALL_KEYS) == {}
            assert int(connection.stats()["store_damages"]) == 1
            expected = fill(connection)
            assert connection.get_many(list(expected)) == expected
        server.stop()
        with start_server("-m", 16, "-e", store).connect() as connection:
            assert connection.get_many(ALL_KEYS) == {}

    @pytest.mark.parametrize("part", [0.7, 0.3, 0.01])
    def test_truncated_under_a_live_server(self, start_server, store, part):
        """The server never dies of it, and never answers with another value."""
        server = start_server("-m", 16, "-e", store, threads=4)
        with server.connect() as connection:
            expected = fill(connection)
        stop = threading.Event()
        wrong = []
        answered = [0] * 4

        def load(number):
            numbers = random.Random(number)
            while not stop.is_set():
                try:
                    with server.connect() as connection:
                        ask(connection, number, numbers)
                except (EOFError, ConnectionError):
                    # A client is disconnected if its answer was not sent yet when the change was noticed.
                    continue

        def ask(connection, number, numbers):
            while not stop.is_set():
                answered[number] += 1
                key = numbers.choice(ALL_KEYS)
                if numbers.random() < 0.2:
                    answer = connection.set(key, expected.get(key, b"again"))
                    if answer not in (b"STORED", b"SERVER_ERROR out of memory storing object"):
                        wrong.append(answer)
                else:
                    value = connection.get(key)
                    if value not in (None, expected.get(key, b"again")):
                        wrong.append((key, value[:40]))

        threads = [threading.Thread(target=load, args=[number]) for number in range(4)]
        for thread in threads:
            thread.start()
        os.truncate(store, int(store.stat().st_size * part))
        poll(lambda: int(server.stats()["store_missing_pages"]) > 0, "a missing page")
        so_far = list(answered)
        poll(lambda: all(now > then + 300 for now, then in zip(answered, so_far)), "every client goes on", seconds=20)
        stop.set()
        for thread in threads:
            thread.join()
        assert not wrong, wrong[:5]
        server.assert_alive()
        server.process.kill()
        server.process.wait()
        server.process = None
        # And what is left of the file starts.
        again = start_server("-m", 16, "-e", store)
        again.assert_alive()

    def test_deleted_under_a_live_server(self, start_server, store):
        server = start_server("-m", 16, "-e", store)
        with server.connect() as connection:
            expected = fill(connection)
            store.unlink()
            assert connection.get_many(ALL_KEYS) == expected


class TestWhileItIsFound:
    def test_answers_what_needs_no_store(self, start_server, store):
        """A large store: the port answers while it is read, and a request that needs it waits, and is answered."""
        first = start_server("-m", 1024, "-e", store)
        with first.connect() as connection:
            for batch in range(0, 400_000, 2000):
                connection.send(b"".join(
                    b"set key-%d 0 0 100 noreply\r\n%0100d\r\n" % (number, number)
                    for number in range(batch, batch + 2000)))
            assert connection.get(b"key-399999")
        end(first, signal.SIGKILL)
        second = start_server("-m", 1024, "-e", store)
        with second.connect() as waiting, second.connect() as asking:
            waiting.send(b"version\r\nget key-5\r\nset key-5 0 0 1\r\nx\r\nget key-5\r\nversion\r\n")
            assert asking.ask(b"version\r\n").startswith(b"VERSION")
            ready = asking.stats()["store_ready"]
            print(f"ready when first asked: {ready}")
            assert waiting.read_line().startswith(b"VERSION")
            assert waiting.read_values() == {b"key-5": b"%0100d" % 5}
            assert waiting.read_line() == b"STORED"
            assert waiting.read_values() == {b"key-5": b"x"}
            assert waiting.read_line().startswith(b"VERSION")
            figures = asking.stats()
            assert figures["store_recovered_items"] == "400000"
            print(figures["store_recovery_milliseconds"], "ms")
