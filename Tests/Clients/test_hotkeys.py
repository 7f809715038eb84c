"""`stats hotkeys`: the most requested keys, in text and in /metrics."""

import base64
import collections
import itertools
import random
import threading

import pytest

from admin import Admin
from server import Connection, free_port, poll

pytestmark = pytest.mark.larder_only

DISABLED = {"hotkeys_status": "disabled"}


def turn(server, word):
    with server.connect() as connection:
        assert connection.ask(b"stats hotkeys %b\r\n" % word) == b"OK"


class Load:
    """Gets by a Zipf distribution with the exponent 0.99, of two clients, until the end of the block."""

    def __init__(self, server, seed, prefix, key_count=20_000):
        self.server = server
        chosen = random.Random(seed)
        self.keys = [b"%b:%d" % (prefix, number) for number in range(key_count)]
        chosen.shuffle(self.keys)
        sums = list(itertools.accumulate(1 / rank ** 0.99 for rank in range(1, key_count + 1)))
        # The requests of a client are the same again after these.
        self.requests = [chosen.choices(self.keys, cum_weights=sums, k=50_000) for _ in range(2)]
        counts = collections.Counter(itertools.chain(*self.requests))
        self.top = [key for key, _ in counts.most_common(10)]
        self.ended = threading.Event()
        self.failures = []
        self.threads = [threading.Thread(target=self._send, args=[requests]) for requests in self.requests]

    def _send(self, requests):
        pieces = [requests[start:start + 100] for start in range(0, len(requests), 100)]
        try:
            with self.server.connect() as connection:
                for piece in itertools.cycle(pieces):
                    if self.ended.is_set():
                        return
                    connection.send(b"".join(b"get %b\r\n" % key for key in piece))
                    assert connection.read_exactly(5 * len(piece)) == b"END\r\n" * len(piece)
        except Exception as failure:
            self.failures.append(failure)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        for thread in self.threads:
            thread.join()
        assert not self.failures

    def found(self):
        """How many of the true top 10 are in the top 10 of the server."""
        listed = list(self.server.stats("hotkeys"))[:10]
        return len({key.decode().replace(":", "%3A") for key in self.top} & set(listed))


@pytest.mark.parametrize("threads", [1, 4])
def test_nine_of_the_top_ten(start_server, threads):
    seed = random.randrange(1 << 32)
    print("seed", seed)
    server = start_server(threads=threads)
    turn(server, b"on")
    with Load(server, seed, b"user") as load:
        poll(lambda: load.found() >= 9, lambda: f"9 of 10: {server.stats('hotkeys')}, {load.top}", seconds=10)
        rates = [float(rate) for rate in server.stats("hotkeys").values()]
        assert rates == sorted(rates, reverse=True) and len(rates) == 50


def test_new_keys_take_the_place_of_old_ones(start_server):
    seed = random.randrange(1 << 32)
    print("seed", seed)
    server = start_server(threads=2)
    turn(server, b"on")
    for prefix in [b"first", b"second"]:
        with Load(server, seed, prefix, key_count=1000) as load:
            poll(lambda: load.found() >= 9, lambda: f"9 of 10: {server.stats('hotkeys')}, {load.top}", seconds=30)


def test_clients_that_repeat_themselves(start_server):
    """Eight keys in turns are sampled alike. Every step has one of them, and few of the steps are sampled."""
    server = start_server(threads=1)
    turn(server, b"on")
    lines = b"".join(b"gets key-%d\r\n" % number for number in range(8)) * 125
    with server.connect() as connection:
        for _ in range(400):
            connection.send(lines)
            assert connection.read_exactly(5000) == b"END\r\n" * 1000
        rates = {key: float(rate) for key, rate in connection.stats("hotkeys").items()}
    assert set(rates) == {f"key-{number}" for number in range(8)}
    assert max(rates.values()) < 2 * min(rates.values())


def packet(key):
    return b"\x80\0" + len(key).to_bytes(2) + bytes(4) + len(key).to_bytes(4) + bytes(12) + key


class TestForms:
    def test_each_form_of_reading(self, start_server):
        """The first steps are all sampled. Misses count as hits do."""
        server = start_server(threads=1)
        with server.connect() as connection:
            assert connection.ask(b"stats hotkeys on\r\n") == b"OK"
            assert connection.set(b"stored", b"value") == b"STORED"
            assert connection.set(b"large", b"x" * 200_000) == b"STORED"
            assert connection.ask(b"delete deleted\r\n") == b"NOT_FOUND"
            assert connection.ask(b"touch touched 10\r\n") == b"NOT_FOUND"
            assert connection.ask(b"incr number 1\r\n") == b"NOT_FOUND"
            encoded = base64.b64encode(b"a key\0\xff")
            asked = {
                b"get stored": 2, b"get large": 2, b"gets missing": 1, b"gat 100 gat": 1, b"mg meta v": 1, b"mg meta-t t": 1,
                b"mg %b b v" % encoded: 1, b"get " + b" ".join(b"many-%d" % number for number in range(40)): 1}
            for line, lines in asked.items():
                for _ in range(40):
                    connection.send(line + b"\r\n")
                    answer = connection.read_line()
                    if answer.startswith(b"VALUE"):
                        connection.read_exactly(int(answer.split()[3]) + 2)
                        assert connection.read_line() == b"END" and lines == 2
            # Many that arrive together.
            connection.send(b"get batch\r\n" * 40 + b"mg batch-m v\r\n" * 40)
            assert connection.read_exactly(5 * 40 + 4 * 40) == b"END\r\n" * 40 + b"EN\r\n" * 40
            with server.connect() as other:
                for _ in range(40):
                    other.send(packet(b"binary"))
                    assert other.read_exactly(24)[6:8] == b"\0\1"
                    other.read_exactly(len(b"Not found"))
            rates = {key: float(rate) for key, rate in connection.stats("hotkeys").items()}
        keys = {"stored", "large", "missing", "gat", "meta", "meta-t", "a%20key%00%FF", "batch", "batch-m", "binary"}
        # The list has 50 keys.
        assert set(rates) == keys | {f"many-{number}" for number in range(40)}
        # Those that came first have faded a little.
        assert max(rates.values()) < 1.7 * min(rates.values()), rates

    def test_a_first_request_counts_once(self, start_server):
        server = start_server(threads=1)
        turn(server, b"on")
        for _ in range(50):
            with server.connect() as connection:
                assert connection.get(b"first") is None
                assert connection.get(b"second") is None
        rates = {key: float(rate) for key, rate in server.stats("hotkeys").items()}
        assert set(rates) == {"first", "second"} and rates["first"] < 1.3 * rates["second"]

    def test_of_each_cache(self, start_server):
        port = free_port()
        server = start_server("--key-route", "--cache", f"name=other,items=100,listen=127.0.0.1:{port}", threads=1)
        turn(server, b"on")
        with server.connect() as connection, Connection(("127.0.0.1", port)) as other:
            for _ in range(20):
                assert connection.get(b"main") is None
                assert connection.get(b"other/routed") is None
                assert connection.ask(b"mg other/meta t\r\n") == b"EN"
                assert other.get(b"direct") is None
            assert set(connection.stats("hotkeys")) == {"main"}
            assert set(other.stats("hotkeys")) == {"routed", "meta", "direct"}


    def test_uwsgi(self, start_server):
        server = start_server("--cache", "name=other,items=100,listen=:0", "--uwsgi", "127.0.0.1:0", threads=1)
        _, uwsgi, other = server.addresses
        turn(server, b"on")
        for command in [b"get", b"exists"]:
            fields = [b"cmd", command, b"key", command + b"-key", b"cache", b"other"]
            body = b"".join(len(field).to_bytes(2, "little") + field for field in fields)
            for _ in range(20):
                with Connection(uwsgi) as connection:
                    connection.send(b"\x6f" + len(body).to_bytes(2, "little") + b"\x11" + body)
                    connection.read_until_closed()
        with Connection(other) as connection:
            assert set(connection.stats("hotkeys")) == {"get-key"}


class TestSwitch:
    def test_off_on_and_off(self, start_server):
        server = start_server(threads=4)
        assert server.stats("hotkeys") == DISABLED
        turn(server, b"on")
        assert server.stats("hotkeys") == {}
        # Each worker follows within a second.
        with Connection(server.address) as first, Connection(server.address) as second, \
                Connection(server.address) as third, Connection(server.address) as fourth:
            clients = {b"key-%d" % number: client for number, client in enumerate([first, second, third, fourth])}

            def all_there():
                for key, client in clients.items():
                    assert client.get(key) is None
                return set(server.stats("hotkeys")) == {key.decode() for key in clients}

            poll(all_there, "all workers sample", seconds=10)
            turn(server, b"off")
            assert server.stats("hotkeys") == DISABLED
            for key, client in clients.items():
                assert client.get(key) is None
            turn(server, b"on")
            assert server.stats("hotkeys") == {}

    def test_other_words(self, start_server):
        server = start_server()
        with server.connect() as connection:
            assert connection.ask(b"stats hotkeys nonsense\r\n") == b"ERROR"

    def test_not_with_dumps_disabled(self, start_server):
        server = start_server("-X", "-o", "hot_keys")
        with server.connect() as connection:
            assert connection.get(b"key") is None
            assert connection.stats("hotkeys") == connection.stats("hotkeys on") == DISABLED


NAME = "larder_hot_key_requests_per_second"


class TestMetrics:
    def test_only_with_the_option(self, start_server):
        admin = Admin(start_server, threads=1)
        turn(admin.server, b"on")
        with admin.server.connect() as connection:
            assert connection.get(b"secret") is None
            assert set(connection.stats("hotkeys")) == {"secret"}
        assert not [name for name, _ in admin.metrics() if name == NAME]
        assert "secret" not in admin.ask("/metrics")[1]

    def test_ten_of_each_cache(self, start_server):
        admin = Admin(start_server, "-o", "hot_keys", threads=1)
        with admin.server.connect() as connection:
            for number in range(20):
                for _ in range(20 + number):
                    assert connection.get(b'"%d' % number) is None
            listed = connection.stats("hotkeys")
        assert len(listed) == 20
        shown = {dict(labels)["key"]: value for (name, labels), value in admin.metrics().items() if name == NAME}
        assert set(shown) == set(list(listed)[:10]) == {f"%22{number}" for number in range(10, 20)}
        assert all(value > 0 for value in shown.values())
        turn(admin.server, b"off")
        assert not [name for name, _ in admin.metrics() if name == NAME]

    def test_one_of_64_requests_is_timed_as_well(self, start_server):
        admin = Admin(start_server, "-o", "hot_keys", threads=1)
        with admin.server.connect() as connection:
            for _ in range(20_480):
                connection.send(b"gets key\r\n")
                assert connection.read_line() == b"END"
        count = admin.metrics()["larder_command_duration_seconds_count", (("command", "get"),)]
        assert 316 <= count <= 322
