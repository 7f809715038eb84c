"""Named caches: listeners, workers, limits, expiry and restarts, as users of the program see them."""

import re
import signal
import threading

import pytest
from pymemcache.client.base import Client

from server import Connection, Server, poll, run

WORKERS = [1, 4]


def addresses(server, *names):
    """The addresses of the main port and of each cache with `listen=:0`, by name."""
    return dict(zip(["main", *names], server.addresses, strict=True))


def cache_fields(server, name):
    """The fields of one cache in `stats caches`."""
    fields = server.stats("caches")
    return {key.rsplit(":", 1)[1]: value for key, value in fields.items() if key.rsplit(":", 1)[0] == name}


@pytest.mark.parametrize("threads", WORKERS)
def test_equal_keys_do_not_meet(start_server, tmp_path, threads):
    path = str(tmp_path / "c.sock")
    server = start_server(
        "--cache", "name=a,items=100,listen=:0", "--cache2", f"name=b,items=100,bitmap=1,blocksize=64,listen=:0;{path}",
        threads=threads)
    where = addresses(server, "a", "b")
    places = {"main": [where["main"]], "a": [where["a"]], "b": [where["b"], path]}
    for name in places:
        with Connection(places[name][0]) as connection:
            assert connection.set(b"key", name.encode()) == b"STORED"
    for name, its_places in places.items():
        for place in its_places:
            # Several connections, so that every worker has some.
            for _ in range(2 * threads):
                with Connection(place) as connection:
                    assert connection.get(b"key") == name.encode()
    with Connection(where["a"]) as connection:
        assert connection.ask(b"flush_all\r\n") == b"OK"
        assert connection.get(b"key") is None
        assert connection.stats()["curr_items"] == "0"
    with Connection(path) as connection:
        assert connection.get(b"key") == b"b"
        assert connection.stats()["curr_items"] == "1"
    fields = server.stats("caches")
    assert len(fields) == 3 * 12
    names = "name hash hashsize keysize max_items blocks blocksize items hits miss full last_modified_at".split()
    for name in ["default", "a", "b"]:
        assert list(cache_fields(server, name)) == names


@pytest.mark.parametrize("threads", WORKERS)
def test_ten_times_the_capacity_all_succeed(start_server, threads):
    server = start_server("--cache", "name=lru,items=1000,blocksize=100,purge_lru=1,listen=:0", threads=threads)
    where = addresses(server, "lru")["lru"]
    failures = []

    def insert(part):
        client = Client(where, timeout=20)
        try:
            for number in range(2500):
                if not client.set(f"{part}-{number}", b"x" * 100, noreply=False):
                    failures.append((part, number))
        except Exception as error:
            failures.append((part, error))

    clients = [threading.Thread(target=insert, args=(part,)) for part in range(4)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    assert not failures
    fields = cache_fields(server, "lru")
    assert fields["items"] == "1000" and fields["full"] == "9000"
    with Connection(where) as connection:
        # The last thousand of one client, stored alone, are what is there.
        for number in range(1000):
            assert connection.set(b"last-%d" % number, b"y") == b"STORED"
        keys = [b"%d-%d" % (part, number) for part in range(4) for number in range(2500)]
        for start in range(0, len(keys), 100):
            assert connection.get_many(keys[start:start + 100]) == {}
        for number in range(1000):
            assert connection.get(b"last-%d" % number) == b"y"


@pytest.mark.parametrize("threads", WORKERS)
def test_the_limit_is_exact_under_load(start_server, threads):
    server = start_server("--cache", "name=c,items=500,blocksize=100,listen=:0", threads=threads)
    where = addresses(server, "c")["c"]
    stored = []

    def insert(part):
        with Connection(where) as connection:
            for number in range(400):
                answer = connection.set(b"%d-%d" % (part, number), b"v")
                assert answer in (b"STORED", b"SERVER_ERROR out of memory storing object"), answer
                if answer == b"STORED":
                    stored.append(b"%d-%d" % (part, number))

    clients = [threading.Thread(target=insert, args=(part,)) for part in range(4)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    assert len(stored) == 500
    with Connection(where) as connection:
        for key in stored:
            assert connection.get(key) == b"v"
    assert cache_fields(server, "c")["full"] == "1100"


def test_a_block_is_the_limit(start_server):
    server = start_server("--cache", "name=c,items=10,blocksize=64k,listen=:0")
    with Connection(addresses(server, "c")["c"]) as connection:
        value = bytes(i % 251 for i in range(65536))
        assert connection.set(b"k", value) == b"STORED"
        assert connection.get(b"k") == value
        assert connection.set(b"j", value + b"x") == b"SERVER_ERROR object too large for cache"
        assert connection.get(b"k") == value


@pytest.mark.parametrize("more", ["", ",purge_lru=1", ",lazy=1"])
def test_an_idle_cache_gives_its_memory_back(start_server, more):
    server = start_server("--cache", f"name=c,items=5000,bucket_interval=1{more},listen=:0", threads=2)
    with Connection(addresses(server, "c")["c"]) as connection:
        for number in range(0, 5000, 100):
            connection.send(b"".join(b"set %d 0 1 3 noreply\r\nabc\r\n" % n for n in range(number, number + 100)))
        assert connection.ask(b"version\r\n").startswith(b"VERSION")
    # Nobody asks the cache for anything: only the main port is asked how it stands.
    poll(lambda: cache_fields(server, "c")["items"] == "0", "no item is left", seconds=10)


def test_being_full_is_said_once_unless_nobody_wants_to_know(start_server):
    server = start_server(
        "--cache", "name=loud,items=1,listen=:0", "--cache", "name=quiet,items=1,ignore_full,listen=:0")
    where = addresses(server, "loud", "quiet")
    for name in ["loud", "quiet"]:
        with Connection(where[name]) as connection:
            assert connection.set(b"a", b"x") == b"STORED"
            for _ in range(3):
                assert connection.set(b"b", b"x") == b"SERVER_ERROR out of memory storing object"
    poll(lambda: 'cache "loud" is full' in server.stderr, "the log says so")
    # What is said more than once is said a second later, by the server's own clock.
    full_at = int(server.stats()["uptime"])
    poll(lambda: int(server.stats()["uptime"]) > full_at + 1, "two seconds pass")
    assert server.stderr.count("is full") == 1
    assert cache_fields(server, "quiet")["full"] == "3"


def test_each_cache_is_introduced(start_server):
    server = start_server("--cache", "name=a,items=7,blocksize=64,bitmap=1,listen=:0", "--key-route")

    def lines():
        return [line for line in server.stderr.splitlines() if line.startswith('cache "a"')]

    # The line comes after the first client is accepted.
    line = poll(lines, "it is introduced")
    assert len(line) == 1
    port = addresses(server, "a")["a"][1]
    assert re.search(rf"127\.0\.0\.1:{port}, keys a/\.\.\.: 7 items, values of up to 448 bytes in blocks of 64", line[0])


@pytest.mark.parametrize(("option", "words"), [
    ("name=x", ['cache "x"', "items", "whole number"]),
    ("items=1", ["name="]),
    ("name=x,items=0", ['cache "x"', "items", "from 1 to"]),
    ("name=x,items=1,blocksize=1x", ['cache "x"', "blocksize", "size from 1"]),
    ("name=x,items=1,bitmap=2", ['cache "x"', "bitmap", "1 or 0"]),
    ("name=x,items=1,nonsense=2", ['cache "x"', "nonsense", "name, items, blocksize"]),
    ("name=x,items=1,sync=:1", ['cache "x"', "sync", "socket files"]),
    ("name=default,sync=10.0.0.1:1", ['cache "default"', "sync", "items="]),
])
def test_a_wrong_value_stops_the_start(option, words):
    result = run("-p", "0", "--cache", option)
    assert result.returncode != 0
    assert result.stdout == "" and result.stderr.count("\n") == 1
    for word in words:
        assert word in result.stderr


def test_compat_warns(start_server):
    server = start_server("--compat", "--cache", "name=x,items=1,nonsense=2,listen=:0")
    assert server.stderr.count("passed over") == 1


def test_memory_is_taken_as_it_is_used(start_server):
    before = start_server(threads=4)
    plain = before.own_bytes()
    # uWSGI's defaults for a million items would be 65 GB.
    server = start_server("--cache", "name=big,items=1000000,listen=:0", "--cache", "name=lru,items=1000000,lru,listen=:0", threads=4)
    assert server.own_bytes() < plain + (24 << 20)
    with Connection(addresses(server, "big", "lru")["lru"]) as connection:
        for start in range(0, 100_000, 500):
            connection.send(b"".join(b"set key-%d 0 0 100 noreply\r\n%b\r\n" % (n, b"x" * 100) for n in range(start, start + 500)))
        assert connection.ask(b"version\r\n").startswith(b"VERSION")
    # 100,000 items of 100 bytes, and the order of their use.
    assert server.own_bytes() < plain + (24 << 20) + 100_000 * 260


@pytest.mark.parametrize("shape", ["blocksize=64", "bitmap=1,blocksize=32"])
def test_a_cache_in_a_file_survives(tmp_path, shape):
    option = f"name=c,items=2000,store={tmp_path / 'c.store'},{shape},listen=:0"
    server = Server("--cache", option).start()
    try:
        with Connection(addresses(server, "c")["c"]) as connection:
            for number in range(2000):
                assert connection.set(b"key-%d" % number, b"value-%d" % number, flags=number) == b"STORED"
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
    finally:
        server.kill()
    server = Server("--cache", option).start()
    try:
        with Connection(addresses(server, "c")["c"]) as connection:
            for number in range(2000):
                assert connection.get(b"key-%d" % number) == b"value-%d" % number
            assert connection.set(b"one-more", b"x") == b"SERVER_ERROR out of memory storing object"
            assert connection.ask(b"delete key-0\r\n") == b"DELETED"
            assert connection.set(b"one-more", b"x") == b"STORED"
            assert connection.get(b"key-1") == b"value-1"
    finally:
        server.stop()
        server.kill()


class TestNarrowerLimits:
    """A restart with narrower limits drops items only with shrink=1."""

    WIDE = "items=200,blocksize=400,bitmap=1,blocks=300,keysize=100"

    @pytest.fixture
    def store(self, tmp_path):
        """The path of a file with 200 items: 10 have values of 350 bytes, 10 of 1,000, 20 have keys of 60 bytes."""
        path = str(tmp_path / "c.store")
        server = Server("--cache", f"name=c,store={path},{self.WIDE},listen=:0").start()
        try:
            with Connection(addresses(server, "c")["c"]) as connection:
                for number in range(200):
                    assert connection.set(*self.item(number)) == b"STORED"
        finally:
            server.stop()
        return path

    @staticmethod
    def item(number):
        key = b"key-%03d" % number
        return key.ljust(60, b"k") if number >= 180 else key, b"v" * {0: 350, 1: 1000}.get(number // 10, 100)

    def start(self, path, limits):
        return Server("--cache", f"name=c,store={path},{limits},listen=:0").start()

    def kept(self, path, limits):
        """The items that a server with these limits has, and its log."""
        server = self.start(path, limits)
        try:
            with Connection(addresses(server, "c")["c"]) as connection:
                items = [self.item(number) for number in range(200)]
                kept = sum(connection.get(key) == value for key, value in items)
            assert cache_fields(server, "c")["items"] == str(kept)
            return kept, server.stderr
        finally:
            server.stop()

    @pytest.mark.parametrize(("limits", "beyond"), [
        ("items=10,blocksize=400,bitmap=1,blocks=300,keysize=100", 190),
        ("items=199,blocksize=400,bitmap=1,blocks=300,keysize=100", 1),
        ("items=200,strict_items=1,blocksize=400,bitmap=1,blocks=300,keysize=100", 1),
        ("items=200,blocksize=400,bitmap=1,blocks=300,keysize=100,max_item_size=999", 10),
        ("items=200,blocksize=400,bitmap=1,blocks=300,keysize=59", 20),
        ("items=200,blocksize=349,keysize=100", 20),
        ("items=200,blocksize=400,bitmap=1,blocks=200,keysize=100", 12),
        ("items=200,blocksize=400,bitmap=1,blocks=300,keysize=100,purge_lru=1,max_item_size=100", 20),
    ])
    def test_the_start_is_refused(self, store, limits, beyond):
        for _ in range(2):
            done = run("-p", "0", "--cache", f"name=c,store={store},{limits},listen=:0")
            assert done.returncode == 1, done
            assert (f'larder: cache "c": {beyond} items in {store} are beyond its limits. Give items, max_item_size, '
                    "keysize, blocksize and blocks their former values, or drop these items with shrink=1."
                    ) in done.stderr.splitlines()
            assert "items again" not in done.stderr
        assert self.kept(store, self.WIDE)[0] == 200

    @pytest.mark.parametrize(("limits", "expected"), [
        ("items=10,blocksize=400,bitmap=1,blocks=300,keysize=100", 10),
        ("items=200,blocksize=400,bitmap=1,blocks=300,keysize=59", 180),
        ("items=200,blocksize=349,keysize=100", 180),
    ])
    def test_shrink_drops_them(self, store, limits, expected):
        kept, log = self.kept(store, limits + ",shrink=1")
        assert kept == expected
        assert f"has {kept} items again" in log and f"left out {200 - kept} " in log, log
        # The file has only these items now.
        assert self.kept(store, limits)[0] == expected

    @pytest.mark.parametrize("limits", [
        WIDE, "items=2000,blocksize=400,bitmap=1,blocks=3000,keysize=100", "items=200,blocksize=1000",
        "items=200,blocksize=400,bitmap=1,blocks=220,keysize=60,max_item_size=1000",
    ])
    def test_the_server_starts_if_all_items_fit(self, store, limits):
        assert self.kept(store, limits)[0] == 200

    def test_the_server_starts_after_a_kill_during_writes_to_a_full_cache(self, tmp_path):
        option = f"name=c,items=500,blocksize=100,purge_lru=1,store={tmp_path / 'c.store'},listen=:0"
        for _ in range(8):
            server = Server("--cache", option, threads=4).start()
            try:
                connections = [Connection(addresses(server, "c")["c"]) for _ in range(4)]
                for part, connection in enumerate(connections):
                    connection.send(b"".join(
                        b"set %d-%d 0 0 80 noreply\r\n%b\r\n" % (part, number, b"x" * 80) for number in range(3000)))
                poll(lambda: int(cache_fields(server, "c")["full"]) > 100, "it is full", interval=0)
            finally:
                server.kill()
        server = Server("--cache", option).start()
        try:
            # Statistics are answered while the file is read. A get is answered afterwards.
            with Connection(addresses(server, "c")["c"]) as connection:
                connection.get(b"key")
            # The kill may come between the drop of one item and the store of the next, under the one lock of writers.
            assert cache_fields(server, "c")["items"] in ("499", "500")
        finally:
            server.stop()


class TestUse:
    """With purge_lru, the reads that count as a use in memcached 1.6.45, and stores, count as a use of an item."""

    @pytest.mark.parametrize("command", [
        b"get a", b"gets a", b"gat 0 a", b"touch a 0", b"mg a v", b"mg a", b"mg a k", b"mg a k q", b"mg a s t",
        b"mg a h", b"mg a l t v", b"mg a T0", b"mg a E1 v", b"set a 0 0 1\r\nv", b"append a 0 0 1\r\nv", b"ms a 1\r\nv",
    ])
    def test_use(self, start_server, command):
        assert self.stays(start_server, command)

    @pytest.mark.parametrize("command", [
        b"mn", b"me a", b"mg a u", b"mg a v u", b"mg a k u q", b"mg a h l t u", b"get c", b"mg c v", b"mg c q",
        b"add a 0 0 1\r\nv",
    ])
    def test_no_use(self, start_server, command):
        assert not self.stays(start_server, command)

    @staticmethod
    def stays(start_server, command):
        """Whether the older of two items stays after the command, when a third one needs its place."""
        server = start_server("--cache", "name=lru,items=2,blocksize=100,purge_lru=1,listen=:0", threads=1)
        with Connection(addresses(server, "lru")["lru"]) as connection:
            assert connection.set(b"a", b"1") == b"STORED" and connection.set(b"b", b"1") == b"STORED"
            connection.send(command + b"\r\nversion\r\n")
            while not connection.read_line().startswith(b"VERSION"):
                pass
            assert connection.set(b"c", b"1") == b"STORED"
            found = set(connection.get_many([b"a", b"b", b"c"]))
        assert found in ({b"a", b"c"}, {b"b", b"c"})
        return b"a" in found


class TestRefusals:
    """A cache that cannot be opened is named, and so are its key and what was asked for."""

    def test_listen(self, start_server, tmp_path):
        taken = start_server().port
        for place, reason in [
            (f":{taken}", "Address already in use"), (f"127.0.0.1:{taken}", "Address already in use"),
            ("unix:/nowhere/pages.sock", "No such file or directory"),
        ]:
            done = run("-p", "0", "-l", "127.0.0.1", "--cache", f"name=pages,items=10,listen={place}")
            assert (done.returncode, done.stderr) == (71, f'cache "pages": listen={place}: failed to listen: {reason}\n')

    def test_store(self, tmp_path):
        path = f"{tmp_path}/nowhere/pages"
        done = run("-p", "0", "--cache", f"name=pages,items=10,listen=:0,store={path}")
        assert (done.returncode, done.stderr) == (
            1, f'larder: cache "pages": cannot use {path} as a store: No such file or directory\n')
