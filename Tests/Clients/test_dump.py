"""Dumps of whole caches, uWSGI's sync=: taken from and given to a real uWSGI, among Larders, and from hostile peers."""

import contextlib
import itertools
import pathlib
import random
import re
import socket
import struct
import threading
import time

import pytest

from server import Connection, free_port, poll
from uwsgi_client import UwsgiClient, remote

COUNT = 100_000
SHAPE = f"items={COUNT + 1},blocksize=32,keysize=32"
SMALL = "items=8,blocksize=16,keysize=16"
FIELDS = struct.Struct("<11Q")


def hash_of(key):
    """djb33x, uWSGI's default; bytes count as signed."""
    value = 5381
    for byte in key:
        value = (value * 33 & 0xFFFFFFFF) ^ ((byte - 256 if byte > 127 else byte) & 0xFFFFFFFF)
    return value


def dump_of(items, slots=8, blocksize=16, keysize=16):
    """A dump as uWSGI would send it. `items`: key, value, expiry, hits, flags."""
    body = bytearray((88 + keysize + blocksize) * slots)
    for slot, (key, value, expires, hits, flags) in enumerate(items, 1):
        record = FIELDS.pack(flags, len(key), hash_of(key), len(value), slot, expires, hits, 0, 0, 0, 0) + key
        body[(88 + keysize) * slot:(88 + keysize) * slot + len(record)] = record
        start = (88 + keysize) * slots + blocksize * slot
        body[start:start + len(value)] = value
    return header(slots, blocksize) + bytes(body)


def header(slots, blocksize):
    fields = b"".join(len(each).to_bytes(2, "little") + each
                      for each in [b"items", b"%d" % slots, b"blocksize", b"%d" % blocksize])
    return b"\x6f" + len(fields).to_bytes(2, "little") + b"\x07" + fields


def items_of(*keys):
    return [(key, b"dumped-" + key[-8:], 0, 0, 0) for key in keys]


class Peer:
    """A server of dumps. Each of `answers`, functions of the socket, answers one connection. Later ones are closed."""

    def __init__(self, *answers, port=0):
        self.answers = list(answers)
        self.asked = []
        self.failures = []
        self.listener = socket.create_server(("127.0.0.1", port))
        self.place = f"127.0.0.1:{self.listener.getsockname()[1]}"
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                self.asked.append(None)
                threading.Thread(target=self.answer, args=(client, len(self.asked) - 1), daemon=True).start()

    def answer(self, client, number):
        with client:
            client.settimeout(20)
            with contextlib.suppress(OSError):
                self.asked[number] = client.recv(100)
                if number < len(self.answers):
                    self.answers[number](client)

    def close(self):
        self.listener.close()


@pytest.fixture
def peers():
    """A function that starts a `Peer`."""
    all_of_them = []

    def start(*answers, **options):
        all_of_them.append(Peer(*answers, **options))
        return all_of_them[-1]

    yield start
    for each in all_of_them:
        each.close()


def giving(data):
    return lambda client: client.sendall(data)


class Larder:
    """A server with one cache, a client of the cache, and the address where its dump is given."""

    def __init__(self, start_server, fields, *options, name="x", uwsgi=0, **more):
        self.server = start_server(
            "--uwsgi", f"127.0.0.1:{uwsgi}", "--cache", f"name={name},listen=:0,{fields}", *options, **more)
        self.log = self.server.directory / "stderr"
        # The line comes after the first client is accepted.
        port = int(poll(lambda: re.search(r"at tcp:127\.0\.0\.1:(\d+)", self.text()), "it says where it serves")[1])
        self.place = f"127.0.0.1:{port}"
        self.client = Connection(next(each for each in self.server.addresses[1:] if each[1] != port))

    def text(self):
        return self.log.read_text()

    def line(self, words, seconds=10):
        """The line of the log that has these words."""
        def find():
            return next((line for line in self.text().splitlines() if words in line), None)
        return poll(find, lambda: f"a line with {words!r} in {self.text()}", seconds)

    def left(self, key):
        """Seconds until it expires; -1: never."""
        return int(self.client.ask(b"mg %b t\r\n" % key).removeprefix(b"HD t"))


def fill(client, count, exptime=0):
    for start in range(0, count, 1000):
        client.send(b"".join(
            b"set key-%d 0 %d %d noreply\r\nvalue-%d\r\n" % (n, exptime, len(b"value-%d" % n), n)
            for n in range(start, min(count, start + 1000))))
    assert client.ask(b"version\r\n").startswith(b"VERSION")


def assert_filled(client, count):
    for start in range(0, count, 1000):
        keys = [b"key-%d" % n for n in range(start, min(count, start + 1000))]
        assert client.get_many(keys) == {key: b"value" + key[3:] for key in keys}


def ask(place, name=b"x", receive=True, seconds=10, buffer=None):
    """A connection that has asked for a dump, or what came of it."""
    host, port = place.split(":")
    client = socket.socket()
    client.settimeout(seconds)
    if buffer:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    client.connect((host, int(port)))
    client.sendall(b"\x6f" + len(name).to_bytes(2, "little") + b"\x06" + name)
    return receive_all(client) if receive else client


def receive_all(client):
    data = bytearray()
    with client:
        while piece := client.recv(1 << 18):
            data += piece
    return bytes(data)


def parse(data, slots, blocksize, keysize, blocks=None, hashsize=65_536):
    """The items of a dump; their chains are followed as uWSGI follows them."""
    head = header(slots, blocksize)
    assert data[:len(head)] == head
    body = data[len(head):]
    size = 88 + keysize
    assert len(body) == size * slots + blocksize * (blocks or slots)
    found, heads = {}, {}
    records = {}
    for slot in range(slots):
        fields = FIELDS.unpack_from(body, size * slot)
        key = body[size * slot + 88:size * (slot + 1)]
        assert key[fields[1]:] == bytes(keysize - fields[1])
        if fields[1]:
            assert slot > 0
            key = key[:fields[1]]
            start = size * slots + blocksize * fields[4]
            found[key] = body[start:start + fields[3]], fields[5], fields[6], fields[0] >> 32
            records[slot] = key, fields
            assert fields[2] == hash_of(key)
            if fields[7] == 0:
                assert heads.setdefault(fields[2] % hashsize, slot) == slot
    reached = set()
    for chain, slot in heads.items():
        previous = 0
        while slot:
            key, fields = records[slot]
            assert fields[2] % hashsize == chain and fields[7] == previous and slot not in reached
            reached.add(slot)
            previous, slot = slot, fields[8]
    assert reached == set(records)
    return found


MODES = pytest.mark.parametrize("mode", ["", ",purge_lru=1"], ids=["plain", "purge_lru"])
# Of a value of up to 12 bytes each item takes several blocks. A uWSGI that takes such a dump forgets which are taken.
BITMAP_SHAPE = f"items={COUNT + 1},blocksize=4,blocks={3 * COUNT + 1},bitmap=1,keysize=32"


class TestWithUwsgi:
    @pytest.mark.parametrize(
        "shape, is_relative", [(SHAPE, False), (f"{SHAPE},purge_lru=1", True), (BITMAP_SHAPE, False)],
        ids=["plain", "purge_lru", "bitmap"])
    def test_from_uwsgi(self, start_server, tmp_path, shape, is_relative):
        uwsgi = UwsgiClient(tmp_path, f"name=x,{shape}")
        try:
            assert uwsgi.evaluate(
                f"sum(uwsgi.cache_set('key-%d' % n, b'value-%d' % n, 0 if n % 2 else 5000, 'x') is True "
                f"for n in range({COUNT}))") == COUNT
            assert uwsgi.get(b"key-7", "x") == b"value-7"
            larder = Larder(start_server, f"{shape},sync=127.0.0.1:{uwsgi.socket_port}")
            assert f"has {COUNT} items" in larder.line("of 127.0.0.1", 30)
            assert_filled(larder.client, COUNT)
            assert larder.left(b"key-1") == -1
            if is_relative:
                # Its expiry is relative there.
                assert 4990 <= larder.left(b"key-2") <= 5000
            else:
                _, expires = remote(uwsgi.socket_port, b"key-2", b"x")
                assert abs(larder.left(b"key-2") - (expires - time.time())) <= 1
        finally:
            uwsgi.stop()

    def test_several_blocks_of_uwsgi(self, start_server, tmp_path):
        shape = "items=3001,blocksize=32,blocks=60000,bitmap=1,keysize=32"
        uwsgi = UwsgiClient(tmp_path, f"name=x,{shape}")
        try:
            assert uwsgi.evaluate(
                "sum(uwsgi.cache_set('key-%d' % n, b'%d,' % n * (1 + n % 97), 0, 'x') is True "
                "for n in range(3000))") == 3000
            # Deletes leave holes, and the next values go into them.
            assert uwsgi.evaluate(
                "sum(uwsgi.cache_del('key-%d' % n, 'x') is True for n in range(0, 3000, 3))") == 1000
            assert uwsgi.evaluate(
                "sum(uwsgi.cache_set('new-%d' % n, b'%d;' % n * (1 + n % 61), 0, 'x') is True "
                "for n in range(500))") == 500
            larder = Larder(start_server, f"{shape},sync=127.0.0.1:{uwsgi.socket_port}")
            assert "has 2500 items" in larder.line("of 127.0.0.1", 30)
            expected = {b"key-%d" % n: b"%d," % n * (1 + n % 97) for n in range(3000) if n % 3}
            expected |= {b"new-%d" % n: b"%d;" % n * (1 + n % 61) for n in range(500)}
            keys = [b"%b-%d" % (kind, n) for kind in [b"key", b"new"] for n in range(3000)]
            found = {}
            for start in range(0, len(keys), 100):
                found |= larder.client.get_many(keys[start:start + 100])
            assert found == expected
        finally:
            uwsgi.stop()

    def test_hits_of_uwsgi(self, start_server, tmp_path):
        uwsgi = UwsgiClient(tmp_path, f"name=x,{SMALL},hash=murmur2")
        try:
            for key in [b"used", b"unused", bytes([255, 128, 1])]:
                assert uwsgi.set(key, b"v", 0, "x") is True
            # A deleted item leaves traces in its record.
            assert uwsgi.set(b"deleted", b"v", 0, "x") is True and uwsgi("del", b"deleted", "x") is True
            assert uwsgi.get(b"used", "x") == b"v"
            larder = Larder(start_server, f"{SMALL},hash=murmur2,sync=127.0.0.1:{uwsgi.socket_port}")
            larder.line("has 3 items")
            assert larder.client.ask(b"mg used h u\r\n") == b"HD h1"
            assert larder.client.ask(b"mg unused h u\r\n") == b"HD h0"
            assert remote(int(larder.place.split(":")[1]), bytes([255, 128, 1]), b"x") == (b"v", 0)
        finally:
            uwsgi.stop()

    def test_long_keys(self, start_server, tmp_path):
        """From a uWSGI to a Larder, from there to another one, and from that one to a uWSGI."""
        shape = "items=60,blocksize=32"
        seed = random.randrange(1 << 32)
        print("seed", seed)
        numbers = random.Random(seed)
        lengths = [1, 250, 251, 255, 256, 257, 2047, 2048] + [numbers.randint(1, 2048) for _ in range(40)]
        items = {numbers.randbytes(length): b"value-%d" % length for length in lengths}
        first = UwsgiClient(tmp_path, f"name=x,{shape}")
        try:
            for key, value in items.items():
                assert first.set(key, value, 0, "x") is True
            larder = Larder(start_server, f"{shape},sync=127.0.0.1:{first.socket_port}")
            larder.line(f"has {len(items)} items")
        finally:
            first.stop()
        other = Larder(start_server, f"{shape},sync={larder.place}")
        other.line(f"has {len(items)} items")
        (tmp_path / "last").mkdir()
        last = UwsgiClient(tmp_path / "last", f"name=x,{shape},sync={other.place}")
        try:
            for key, value in items.items():
                for each in [larder, other]:
                    assert remote(int(each.place.split(":")[1]), key, b"x") == (value, 0), len(key)
                assert last.get(key, "x") == value, len(key)
        finally:
            last.stop()

    @MODES
    def test_to_uwsgi(self, start_server, tmp_path, mode):
        larder = Larder(start_server, f"{SHAPE}{mode}")
        fill(larder.client, COUNT)
        assert larder.client.set(b"key-2", b"value-2", exptime=5000) == b"STORED"
        uwsgi = UwsgiClient(tmp_path, f"name=x,{SHAPE}{mode},sync={larder.place}")
        try:
            assert uwsgi.evaluate(
                f"sum(uwsgi.cache_get('key-%d' % n, 'x') == b'value-%d' % n for n in range({COUNT}))") == COUNT
            _, expires = remote(uwsgi.socket_port, b"key-2", b"x")
            assert abs(larder.left(b"key-2") - (expires - time.time())) <= 1
            # Its tables are whole: items come and go.
            assert uwsgi("del", b"key-5", "x") is True
            assert uwsgi.set(b"another", b"value", 0, "x") is True
            assert uwsgi.update(b"key-6", b"changed", 0, "x") is True
            assert [uwsgi.get(key, "x") for key in [b"key-5", b"another", b"key-6", b"key-7"]] == [
                None, b"value", b"changed", b"value-7"]
            larder.line(f"gave a dump of {COUNT} items")
        finally:
            uwsgi.stop()


class TestAmongLarders:
    @pytest.mark.parametrize("shape", [
        "items=300,blocksize=70000,keysize=200", "items=300,blocksize=70000,keysize=200,purge_lru=1",
        "items=300,blocksize=100,blocks=3000,bitmap=1,keysize=200,hashsize=7"])
    def test_everything_arrives(self, start_server, shape):
        giver = Larder(start_server, shape, threads=2)
        seed = random.randrange(1 << 32)
        print("seed", seed)
        numbers = random.Random(seed)
        items = {}
        for number in range(250):
            key, value = b"key-%d" % number, numbers.randbytes(numbers.choice([0, 1, 100, 101, 700]))
            items[key] = value, numbers.choice([0, 7, 0xFFFFFFFF]), numbers.choice([0, 5000])
            assert giver.client.set(key, value, *items[key][1:]) == b"STORED"
        taker = Larder(start_server, f"{shape},sync={giver.place}", threads=2)
        taker.line("has 250 items")
        for key, (value, flags, exptime) in items.items():
            taker.client.send(b"mg %b v f t\r\n" % key)
            size, shown, left = re.fullmatch(rb"VA (\d+) f(\d+) t(-?\d+)", taker.client.read_line()).groups()
            assert taker.client.read_exactly(int(size) + 2) == value + b"\r\n"
            assert int(shown) == flags
            # A dump has whole seconds.
            assert 4950 <= int(left) <= 5001 if exptime else int(left) == -1

    def test_the_order_of_use(self, start_server):
        shape = "items=13,blocksize=16,keysize=16,purge_lru=1"
        giver = Larder(start_server, shape, "-o", "relaxed_privileges")
        keys = [b"key-%d" % number for number in range(12)]
        for key in keys:
            assert giver.client.set(key, b"v") == b"STORED"
            assert giver.client.ask(b"debugtime 10\r\n") == b"OK"
        assert giver.client.get(keys[0]) == b"v"
        taker = Larder(start_server, f"{shape},sync={giver.place}")
        taker.line("has 12 items")
        for number in range(7):
            assert taker.client.set(b"new-%d" % number, b"v") == b"STORED"
        assert set(taker.client.get_many(keys)) == {keys[0], *keys[7:]}

    def test_one_list_for_all(self, start_server, peers):
        """A server that finds itself in its list asks the next one."""
        port = free_port()
        peer = peers(giving(dump_of(items_of(b"k"))))
        larder = Larder(start_server, f"{SMALL},sync=127.0.0.1:{port};{peer.place}", uwsgi=port)
        larder.line("has 1 items")
        assert larder.client.get(b"k") == b"dumped-k"
        assert peer.asked == [b"\x6f\x01\x00\x06x"]

    def test_a_file_takes_over_what_the_peer_has(self, start_server, tmp_path, peers):
        shape = f"{SMALL},store={tmp_path / 'store'}"
        first = Larder(start_server, shape)
        for key in [b"deleted-there", b"changed-there"]:
            assert first.client.set(key, b"old") == b"STORED"
        first.server.stop()
        peer = peers(giving(dump_of(items_of(b"changed-there"))))
        second = Larder(start_server, f"{shape},sync={peer.place}")
        second.line("1 of its file went")
        assert second.client.get(b"deleted-there") is None
        assert second.client.get(b"changed-there") == b"dumped-ed-there"


    def test_a_rolling_restart(self, start_server):
        """A server that comes back serves no value older than what the other one had confirmed before."""
        ports = [(free_port(), free_port()) for _ in range(2)]
        nodes = ";".join(f"127.0.0.1:{udp}" for _, udp in ports)
        places = ";".join(f"127.0.0.1:{uwsgi}" for uwsgi, _ in ports)

        def start(side):
            uwsgi, udp = ports[side]
            fields = f"items=20001,blocksize=64,keysize=32,nodes={nodes},udp=127.0.0.1:{udp},sync={places}"
            return Larder(start_server, fields, uwsgi=uwsgi, threads=2)

        both = [start(0), start(1)]
        keys = [b"key-%d" % number for number in range(15_000)]
        confirmed = dict.fromkeys(keys, 0)
        turn = itertools.count(1)

        def write(client, count):
            """One value after another, so that UDP keeps up."""
            for key in random.choices(keys, k=count):
                value = next(turn)
                assert client.set(key, b"%d" % value) == b"STORED"
                confirmed[key] = value

        for start_of_part in range(0, len(keys), 1000):
            part = keys[start_of_part:start_of_part + 1000]
            both[1].client.send(b"".join(b"set %b 0 0 1 noreply\r\n0\r\n" % key for key in part))
        for restarted in [0, 1]:
            kept = both[1 - restarted]
            write(kept.client, 2000)
            both[restarted].server.stop()
            write(kept.client, 2000)
            floor = dict(confirmed)
            both[restarted] = back = start(restarted)
            while "items after" not in back.text():
                write(kept.client, 20)
                for key, value in back.client.get_many(random.choices(keys, k=50)).items():
                    assert int(value) >= floor[key]
                    # It does not go back, either.
                    floor[key] = int(value)
            values = [{}, {}]

            def are_equal():
                for side, larder in enumerate(both):
                    for at in range(0, len(keys), 1000):
                        values[side].update(larder.client.get_many(keys[at:at + 1000]))
                return values[0] == values[1] == {key: b"%d" % value for key, value in confirmed.items()}

            poll(are_equal, "both have the same", 20, interval=0.1)


class TestTaking:
    def test_a_client_is_newer(self, start_server, peers):
        """What clients stored, changed or deleted since the start stays so."""
        goes_on = threading.Event()
        keys = [b"stored", b"added", b"deleted", b"touched", b"flags", b"left"]
        data = dump_of(items_of(*keys))

        def answer(client):
            # The records are there, and of the values none.
            client.sendall(data[:-16 * 8])
            goes_on.wait(20)
            client.sendall(data[-16 * 8:])

        peer = peers(answer)
        larder = Larder(start_server, f"{SMALL},sync={peer.place}")
        assert larder.client.set(b"stored", b"newer") == b"STORED"
        assert larder.client.set(b"added", b"newer", verb=b"add") == b"STORED"
        assert larder.client.ask(b"delete deleted\r\n") == b"NOT_FOUND"
        assert larder.client.set(b"touched", b"newer", exptime=-1) == b"STORED"
        assert larder.client.ask(b"ms flags 5 F7\r\nnewer\r\n") == b"HD"
        goes_on.set()
        line = larder.line("has 1 items")
        assert "5 were changed here meanwhile" in line
        assert larder.client.get_many(keys) == {
            b"stored": b"newer", b"added": b"newer", b"flags": b"newer", b"left": b"dumped-left"}

    def test_a_clear_ends_it(self, start_server, peers):
        goes_on = threading.Event()
        data = dump_of(items_of(b"a", b"b"))
        peer = peers(lambda client: (goes_on.wait(20), client.sendall(data)))
        larder = Larder(start_server, f"{SMALL},sync={peer.place}")
        assert larder.client.ask(b"flush_all\r\n") == b"OK"
        goes_on.set()
        assert "takes no more" in larder.line("has 0 items")
        assert larder.client.get_many([b"a", b"b"]) == {}

    def test_what_does_not_fit_is_named(self, start_server, peers):
        long = [bytes([65 + n]) * 251 for n in range(5)]
        data = dump_of([(key, b"x" * 16, 0, 0, 0) for key in long] + items_of(b"k")
                       + [(b"expired", b"v", 200_000_000, 0, 0)], keysize=300)
        peer = peers(giving(data))
        larder = Larder(start_server, f"items=8,blocksize=16,max_item_size=15,keysize=300,sync={peer.place}")
        line = larder.line("has 1 items")
        assert '5 do not fit: "AAAA' in line and "and 2 more" in line and "1 have expired" in line
        assert larder.client.get(b"k") == b"dumped-k"

    def test_another_geometry(self, start_server, peers):
        wrong = peers(giving(dump_of(items_of(b"k"), slots=9, blocksize=32)))
        keys = peers(giving(dump_of(items_of(b"one", b"two"), keysize=24) + bytes(1000)))
        page = peers(giving(b"HTTP/1.0 400 Bad Request\r\n\r\n" + bytes(5000)))
        right = peers(giving(dump_of(items_of(b"k"))))
        places = ";".join(each.place for each in [wrong, keys, page, right])
        larder = Larder(start_server, f"{SMALL},sync={places}")
        larder.line("has 1 items")
        assert f"{wrong.place}: it has items=9 and blocksize=32, this one items=8 and blocksize=16" in larder.text()
        assert re.search(f"{keys.place}: its record \\d does not fit keysize=16", larder.text())
        assert f"{page.place}: its answer is no dump" in larder.text()

    def test_unreachable_then_reachable(self, start_server, peers):
        port = free_port()
        larder = Larder(start_server, f"{SMALL},sync=127.0.0.1:{port}")
        larder.line(f"asks again later: 127.0.0.1:{port}: Connection refused")
        assert larder.client.set(b"own", b"v") == b"STORED"
        peers(giving(dump_of(items_of(b"k", b"own"))), port=port)
        larder.line("has 1 items")
        assert larder.client.get_many([b"k", b"own"]) == {b"k": b"dumped-k", b"own": b"v"}

    def test_cuts_and_stalls(self, start_server, peers):
        """Peers that stop at seeded places, or nearly, are asked again; clients are served meanwhile."""
        seed = random.randrange(1 << 32)
        print("seed", seed)
        numbers = random.Random(seed)
        data = dump_of(items_of(b"a", b"b", b"c"))
        # At the latest in front of the third value.
        last_value = len(data) - 16 * 5
        released = threading.Event()
        caches, asked = [], []
        for number in range(12):
            place = numbers.randrange(last_value)

            def stop(client, place=place, kind=number % 3):
                client.sendall(data[:place])
                if kind == 0:
                    released.wait(30)
                elif kind == 1:
                    # A byte now and then, and never all.
                    for byte in data[place:last_value]:
                        client.sendall(bytes([byte]))
                        if released.wait(0.5):
                            return
                    released.wait(30)

            asked.append(peers(stop, giving(data)))
            caches += ["--cache", f"name=c{number},listen=:0,{SMALL},sync={asked[-1].place}"]
        larder = Larder(start_server, SMALL, *caches)
        for _ in range(100):
            assert larder.client.set(b"k", b"v") == b"STORED"
            assert larder.client.get(b"k") == b"v"
        for number, peer in enumerate(asked):
            larder.line(f'cache "c{number}" has 3 items', 40)
            assert len(peer.asked) == 2
        assert "no byte within 10 seconds" in larder.text()
        assert "less than 64 KB came through in a second" in larder.text()
        assert "the connection ended before the dump did" in larder.text()
        released.set()

    def test_a_stop_does_not_wait(self, start_server, peers):
        released = threading.Event()
        peer = peers(lambda client: released.wait(30))
        larder = Larder(start_server, f"{SMALL},sync={peer.place}")
        poll(lambda: peer.asked, "it asks")
        larder.server.stop()
        released.set()

    def test_damaged_dumps(self, start_server, peers):
        """Any bytes: the server stays up, and serves the values of its clients."""
        seed = random.randrange(1 << 32)
        print("seed", seed)
        numbers = random.Random(seed)
        data = dump_of(items_of(b"a", b"b", b"c"))
        caches, asked = [], []
        for number in range(20):
            damaged = bytearray(data)
            for _ in range(numbers.randrange(1, 30)):
                damaged[numbers.randrange(len(header(8, 16)), len(data))] = numbers.choice([0, 1, 127, 128, 255])
            asked.append(peers(giving(bytes(damaged)), giving(data)))
            caches += ["--cache", f"name=c{number},listen=:0,{SMALL},sync={asked[-1].place}"]
        larder = Larder(start_server, SMALL, *caches)
        for number in range(20):
            poll(lambda: re.search(rf'cache "c{number}" (has \d|takes no items)', larder.text()), "it is over", 20)
        assert larder.client.set(b"k", b"v") == b"STORED"
        larder.server.assert_alive()

    def test_endless_streams(self, start_server, peers):
        """Peers that never stop: each is left, and the memory stays what it is."""
        whole = dump_of(items_of(b"a", b"b"))
        beginnings = [b"", header(8, 16), whole, whole[:-1], whole[:200], b"\x6f\xff\xff\x07"]
        left = threading.Semaphore(0)

        def stream(client, beginning, byte):
            try:
                client.sendall(beginning)
                while True:
                    client.sendall(byte * (1 << 16))
            finally:
                left.release()

        caches, count = [], 0
        for beginning in beginnings:
            for byte in [b"\0", b"\1", b"\x7f", b"\xff"]:
                peer = peers(lambda client, beginning=beginning, byte=byte: stream(client, beginning, byte))
                caches += ["--cache", f"name=c{count},listen=:0,{SMALL},sync={peer.place}"]
                count += 1
        larder = Larder(start_server, SMALL, *caches)
        for number in range(count):
            assert left.acquire(timeout=20), f"{number} of {count} were left"
            assert larder.client.set(b"k", b"v") == b"STORED"
        status = pathlib.Path(f"/proc/{larder.server.process.pid}/status").read_text()
        assert int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) < 200_000


class TestGiving:
    def test_the_bytes(self, start_server):
        larder = Larder(start_server, SMALL)
        assert parse(ask(larder.place), 8, 16, 16) == {}
        assert larder.client.set(b"k", b"v", 7, 5000) == b"STORED"
        assert larder.client.set(b"used", b"0123456789abcdef") == b"STORED"
        assert larder.client.get(b"used")
        expires = int(time.time()) + 5000
        for name in [b"x", b""]:
            found = parse(ask(larder.place, name), 8, 16, 16)
            assert found[b"used"] == (b"0123456789abcdef", 0, 1, 0)
            value, shown, hits, flags = found[b"k"]
            assert (value, hits, flags) == (b"v", 0, 7) and abs(shown - expires) <= 2
        # Byte by byte, and one that is none.
        with socket.create_connection(larder.place.split(":"), 10) as client:
            for byte in b"\x6f\x01\x00\x06x":
                client.sendall(bytes([byte]))
            assert len(receive_all(client)) == len(header(8, 16)) + 8 * (88 + 16 + 16)
        for name in [b"none", b"default"]:
            assert ask(larder.place, name) == b""

    def test_chains_of_a_small_table(self, start_server):
        larder = Larder(start_server, "items=600,blocksize=16,keysize=16,hashsize=64")
        for number in range(599):
            assert larder.client.set(b"key-%d" % number, b"%d" % number) == b"STORED"
        found = parse(ask(larder.place), 600, 16, 16, hashsize=64)
        assert {key: value[0] for key, value in found.items()} == {
            b"key-%d" % number: b"%d" % number for number in range(599)}

    def test_one_slot_less(self, start_server):
        """uWSGI does not use slot 0: of as many items as the cache holds, one is left out."""
        larder = Larder(start_server, SMALL)
        for number in range(8):
            assert larder.client.set(b"key-%d" % number, b"v") == b"STORED"
        assert len(parse(ask(larder.place), 8, 16, 16)) == 7
        larder.line("gave a dump of 7 items; 1 did not fit")

    def test_it_is_of_one_moment(self, start_server):
        """Values that are changed, deleted or pushed out behind their records are sent as they were."""
        shape = "items=2000,blocksize=8192,keysize=16,purge_lru=1"
        larder = Larder(start_server, shape, threads=2)
        values = {b"key-%d" % number: b"%d," % number * 1000 for number in range(1900)}
        for key, value in values.items():
            assert larder.client.set(key, value) == b"STORED"
        client = ask(larder.place, receive=False)
        # The records fit the buffers of the sockets, and the values do not: they wait for the reader.
        first = client.recv(1 << 10)
        for number in range(0, 1900, 2):
            if number % 4:
                assert larder.client.ask(b"delete key-%d\r\n" % number) == b"DELETED"
            else:
                assert larder.client.set(b"key-%d" % number, b"other") == b"STORED"
        for number in range(1100):
            assert larder.client.set(b"new-%d" % number, b"new") == b"STORED"
        found = parse(first + receive_all(client), 2000, 8192, 16)
        assert {key: value for key, (value, *_) in found.items()} == values

    def test_a_clear_cuts_it(self, start_server):
        larder = Larder(start_server, "items=2000,blocksize=8192,keysize=16")
        for number in range(1900):
            assert larder.client.set(b"key-%d" % number, bytes(8000)) == b"STORED"
        client = ask(larder.place, receive=False)
        first = client.recv(1 << 10)
        assert larder.client.ask(b"flush_all\r\n") == b"OK"
        # Values of later items are no part of it.
        for number in range(1900):
            assert larder.client.set(b"key-%d" % number, b"x" * 8000) == b"STORED"
        assert len(first + receive_all(client)) < 2000 * (88 + 16 + 8192)
        larder.line("a dump was not sent to its end: the cache was cleared")

    def test_a_stop_ends_it(self, start_server):
        """Also if the peer takes the bytes as soon as they come. Its dump is two gigabytes of free slots."""
        larder = Larder(start_server, "items=1000000,blocksize=16,keysize=2000")
        assert larder.client.set(b"k", b"v") == b"STORED"
        client = ask(larder.place, receive=False)
        received, begun = 0, threading.Event()

        def read():
            nonlocal received
            with client, contextlib.suppress(OSError):
                while count := len(client.recv(1 << 18)):
                    received += count
                    begun.set()

        reader = threading.Thread(target=read)
        reader.start()
        assert begun.wait(10)
        larder.server.stop()
        reader.join()
        assert received < 1_000_000 * (88 + 2000)

    def test_it_is_never_whole_in_memory(self, start_server):
        """Two gigabytes of free slots, of which the peer has received half a gigabyte."""
        larder = Larder(start_server, "items=1000000,blocksize=16,keysize=2000")
        for number in range(1000):
            assert larder.client.set(b"key-%d" % number, b"v") == b"STORED"
        before = larder.server.own_bytes()
        with ask(larder.place, receive=False) as client:
            received = 0
            while received < 500 << 20:
                received += len(client.recv(1 << 20))
            assert larder.server.own_bytes() - before < 16 << 20
        larder.line("a dump was not sent to its end")

    def test_those_that_do_not_read_keep_nobody(self, start_server):
        larder = Larder(start_server, "items=2000,blocksize=8192,keysize=16")
        slow = ask(larder.place, receive=False, buffer=16 << 10)
        assert slow.recv(1) == b"\x6f"
        clients = [ask(larder.place, receive=False) for _ in range(12)]
        assert larder.client.set(b"k", b"v") == b"STORED"
        for client in clients:
            client.close()
        over = threading.Event()

        def read_slowly():
            with slow, contextlib.suppress(OSError):
                while not over.wait(0.5) and slow.recv(3 << 10):
                    pass

        reader = threading.Thread(target=read_slowly)
        reader.start()
        try:
            data = poll(lambda: ask(larder.place, seconds=30), "one that reads has its turn", 30, interval=0.1)
        finally:
            over.set()
            reader.join()
        assert b"k" in parse(data, 2000, 8192, 16)
