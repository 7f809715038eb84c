"""Answers that take many turns: dumps of keys, watchers, long statistics. Each is whole, and nobody waits for it."""

import base64
import random
import re
import threading
import time
import urllib.parse

import pytest

import binary_protocol
from server import poll

METADUMP_LINE = re.compile(
    rb"key=(?P<key>\S+) exp=(?P<exp>-?\d+) la=(?P<la>\d+) cas=(?P<cas>\d+) fetch=(?P<fetch>yes|no) cls=(?P<cls>\d+)"
    rb" size=(?P<size>\d+) flags=(?P<flags>\d+) \n")
EVENT = re.compile(r"ts=(\d+)\.(\d{1,6}) gid=(\d+) type=(\w+) (.*)")


def fill(connection, count, size=10, prefix=b"key", exptime=0):
    """Sets `prefix0`, `prefix1`... to values of `size` bytes, in batches without answers."""
    value = b"v" * size
    for start in range(0, count, 500):
        connection.send(b"".join(
            b"set %b%d %d %d %d noreply\r\n%b\r\n" % (prefix, index, index % 7, exptime, size, value)
            for index in range(start, min(count, start + 500))))
    assert connection.ask(b"version\r\n").startswith(b"VERSION")


def read_dump(connection, end):
    """The lines between `OK` and `end`."""
    assert connection.read_line() == b"OK"
    while not (connection.received.endswith(b"\n" + end) or connection.received == end):
        connection._fill()
    data = bytes(connection.received[:-len(end)])
    connection.received.clear()
    # Not at every byte that a key may hold and Python takes for a line's end.
    return [line + b"\n" for line in data.split(b"\n")[:-1]]


def metadump(connection, what=b"all"):
    connection.send(b"lru_crawler metadump %b\r\n" % what)
    lines = read_dump(connection, b"END\r\n")
    matches = [METADUMP_LINE.fullmatch(line) for line in lines]
    assert all(matches), [line for line, match in zip(lines, matches) if not match][:3]
    return {urllib.parse.unquote_to_bytes(match["key"]): match for match in matches}


class Watcher:
    def __init__(self, server, streams=b"", alone=False, **options):
        self.connection = server.connect(**options)
        if alone:
            # Who looked whether the server is up may leave only now.
            poll(lambda: self.connection.stats()["curr_connections"] == "1", "all others have left")
        self.answer = self.connection.ask((b"watch " + streams).strip() + b"\r\n")

    def lines(self, count):
        """The next `count` lines, each with its type and its fields."""
        events = []
        while len(events) < count:
            while b"\n" not in self.connection.received:
                self.connection._fill()
            line, _, rest = bytes(self.connection.received).partition(b"\n")
            self.connection.received = bytearray(rest)
            events.append(self.parse(line.decode()))
        return events

    @staticmethod
    def parse(line):
        if line.startswith("skipped="):
            return {"type": "skipped", "count": int(line.partition("=")[2])}
        match = EVENT.fullmatch(line)
        assert match, line
        fields = dict(field.split("=", 1) for field in match[5].split(" "))
        return {"time": int(match[1]), "gid": int(match[3]), "type": match[4], **fields}

    def close(self):
        self.connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class TestMetadump:
    def test_everything_once(self, tcp_server):
        with tcp_server.connect() as connection:
            fill(connection, 20_000)
            connection.get_many([b"key1", b"key3"])
            connection.send(b"lru_crawler metadump all\r\n")
            lines = read_dump(connection, b"END\r\n")
            assert len(lines) == len(set(lines)) == 20_000
            items = {}
            for line in lines:
                match = METADUMP_LINE.fullmatch(line)
                items[match["key"]] = match
            assert set(items) == {b"key%d" % index for index in range(20_000)}
            assert items[b"key5"]["flags"] == b"5" and items[b"key5"]["exp"] == b"-1"
            assert items[b"key1"]["fetch"] == b"yes" and items[b"key2"]["fetch"] == b"no"
            assert len({match["cas"] for match in items.values()}) == 20_000
            assert all(abs(int(match["la"]) - time.time()) < 60 for match in items.values())
            assert connection.get(b"key77") == b"v" * 10, "the connection goes on as before"

    def test_ages_and_times(self, tcp_server):
        with tcp_server.connect() as connection:
            connection.set(b"dies", b"1", exptime=500)
            connection.set(b"stays", b"1")
            connection.set(b"date", b"1", exptime=int(time.time()) + 5000)
            items = metadump(connection)
            assert abs(int(items[b"dies"]["exp"]) - time.time() - 500) < 5
            assert abs(int(items[b"date"]["exp"]) - time.time() - 5000) < 5
            assert items[b"stays"]["exp"] == b"-1"

    def test_while_items_come_and_go(self, tcp_server):
        """What is there all the time is listed once; the others at most once."""
        seed = random.randrange(1 << 32)
        stop = threading.Event()

        def change():
            source = random.Random(seed)
            with tcp_server.connect() as connection:
                number = 0
                while not stop.is_set():
                    number += 1
                    connection.set(b"other%d" % number, b"1")
                    connection.set(b"key%d" % source.randrange(30_000), b"changed")
                    connection.ask(b"delete other%d\r\n" % source.randrange(number))

        with tcp_server.connect() as connection:
            fill(connection, 30_000)
            thread = threading.Thread(target=change)
            thread.start()
            try:
                for _ in range(5):
                    connection.send(b"lru_crawler mgdump all\r\n")
                    lines = read_dump(connection, b"EN\r\n")
                    assert len(lines) == len(set(lines)), f"seed {seed}"
                    missing = {b"mg key%d\r\n" % index for index in range(30_000)} - set(lines)
                    assert not missing, f"seed {seed}: {sorted(missing)[:5]}"
            finally:
                stop.set()
                thread.join(20)

    def test_a_reader_that_does_not_read_holds_nothing_up(self, start_server):
        """The server holds what one answer may hold, however long the list is; others are served."""
        server = start_server("-m", 200, threads=1)
        with server.connect() as connection, server.connect(receive_buffer=4096) as reader:
            fill(connection, 300_000)
            before = server.own_bytes()
            reader.send(b"lru_crawler metadump all\r\n")
            for index in range(2_000):
                assert connection.get(b"key%d" % index) is not None
            assert server.own_bytes() - before < 1 << 20
            assert len(read_dump(reader, b"END\r\n")) == 300_000

    def test_many_at_once(self, tcp_server):
        with tcp_server.connect() as connection:
            fill(connection, 20_000)
        readers = [tcp_server.connect() for _ in range(12)]
        for reader in readers:
            reader.send(b"lru_crawler mgdump hash\r\n")
        for reader in readers:
            assert len(set(read_dump(reader, b"EN\r\n"))) == 20_000
            reader.close()

    def test_readers_that_leave(self, tcp_server):
        with tcp_server.connect() as connection:
            fill(connection, 100_000)
            for index in range(30):
                reader = tcp_server.connect(receive_buffer=4096)
                reader.send(b"lru_crawler metadump all\r\n")
                reader.read_line()
                reader.close() if index % 2 else reader.reset()
            poll(lambda: connection.stats()["curr_connections"] == "1", "they are gone")
            assert len(metadump(connection)) == 100_000

    @pytest.mark.parametrize("dump", [b"metadump", b"mgdump"])
    def test_not_behind_other_answers(self, server, dump):
        error = b"ERROR cannot pipeline other commands before " + dump
        with server.connect() as connection:
            for before in [b"version\r\n", b"get a\r\n", b"set a 0 0 1\r\nA\r\n"]:
                connection.send(before + b"lru_crawler %b all\r\n" % dump)
                connection.read_line()
                assert connection.read_line() == error, before
            assert connection.ask(b"get a\r\nlru_crawler %b all\r\n" % dump) == b"VALUE a 0 1"

    def test_commands_behind_a_dump_wait_for_its_end(self, server):
        with server.connect() as connection:
            fill(connection, 5_000)
            connection.send(b"lru_crawler mgdump all\r\nget key1\r\nversion\r\n")
            assert len(read_until(connection, b"EN\r\n").splitlines()) == 5_002
            assert connection.read_values() == {b"key1": b"v" * 10}
            assert connection.read_line().startswith(b"VERSION")


def read_until(connection, end):
    while end not in connection.received:
        connection._fill()
    data, _, rest = bytes(connection.received).partition(end)
    connection.received = bytearray(rest)
    return data + end


class TestCrawl:
    def test_gives_back_what_has_expired(self, tcp_server):
        with tcp_server.connect() as connection:
            fill(connection, 3_000, prefix=b"short", exptime=1)
            fill(connection, 3_000, prefix=b"long", exptime=1000)
            time_end = time.monotonic() + 1.1
            poll(lambda: time.monotonic() > time_end, "a second is over")
            assert connection.ask(b"lru_crawler crawl all\r\n") == b"OK"
            poll(lambda: connection.stats()["lru_crawler_running"] == "0", "the crawl is over")
            stats = connection.stats()
            assert stats["curr_items"] == "3000" and stats["lru_crawler_starts"] == "1"
            assert stats["reclaimed"] == stats["crawler_reclaimed"] == "3000", "nobody met one before"

    def test_one_at_a_time(self, start_server):
        server = start_server("-m", 300, threads=2)
        with server.connect() as connection, server.connect() as other:
            fill(connection, 400_000)
            assert connection.ask(b"lru_crawler crawl all\r\n") == b"OK"
            answer = other.ask(b"lru_crawler crawl all\r\n")
            assert answer in (b"BUSY currently processing crawler request", b"OK")
            poll(lambda: connection.stats()["lru_crawler_running"] == "0", "the crawl is over", 20)
            assert int(connection.stats()["crawler_items_checked"]) >= 400_000


class TestWatch:
    def test_events_of_all_workers(self, tcp_server):
        with Watcher(tcp_server, b"fetchers mutations deletions") as watcher:
            assert watcher.answer == b"OK"
            clients = [tcp_server.connect() for _ in range(8)]
            for number, client in enumerate(clients):
                client.set(b"key%d" % number, b"value")
                client.get(b"key%d" % number)
                client.ask(b"delete key%d\r\n" % number)
            events = watcher.lines(5 * len(clients))
            assert len({event["gid"] for event in events}) == len(events)
            for number in range(len(clients)):
                of_key = [event for event in events if event["key"] == f"key{number}"]
                assert [event["type"] for event in sorted(of_key, key=lambda event: event["gid"])] == [
                    "item_get", "item_store", "item_get", "item_get", "deleted"]
            stores = [event for event in events if event["type"] == "item_store"]
            assert all(event["status"] == "stored" and event["cmd"] == "set" for event in stores)
            conns = clients[0].stats("conns")
            for event in stores:
                assert f"{event['cfd']}:state" in conns, "the number is that of stats conns"
            for client in clients:
                client.close()

    def test_a_slow_watcher_is_skipped_and_told_so(self, start_server):
        server = start_server("-o", "watcher_logbuf_size=8", threads=2)
        spacer = b"X" * 180
        with Watcher(server, b"fetchers", receive_buffer=4096) as watcher, server.connect() as client:
            for start in range(0, 60_000, 100):
                client.send(b"".join(b"get foo%d%b\r\n" % (start + index, spacer) for index in range(100)))
                client.read_exactly(500)
            stats = client.stats()
            skipped = int(stats["log_watcher_skipped"])
            assert skipped > 0 and int(stats["log_watchers"]) == 1
            assert int(stats["log_watcher_sent"]) + skipped == 60_000 == int(stats["log_worker_written"])
            told, seen, last = 0, 0, 0
            while told + seen < 60_000:
                (event,) = watcher.lines(1)
                if event["type"] == "skipped":
                    told += event["count"]
                    continue
                seen += 1
                assert event["gid"] > last
                last = event["gid"]
                if seen % 50 == 0:
                    # The line that tells comes with the next event that fits.
                    client.get(b"again")
            assert told > 0

    def test_a_watcher_that_never_reads_costs_its_buffer(self, start_server):
        server = start_server(threads=1)
        with Watcher(server, b"fetchers mutations", receive_buffer=4096), server.connect() as client:
            fill(client, 1_000)
            before = server.own_bytes()
            for _ in range(30):
                fill(client, 10_000)
            assert server.own_bytes() - before < 2 << 20

    def test_evictions(self, start_server):
        server = start_server("-m", 16, threads=1)
        with server.connect() as client, Watcher(server, b"evictions") as watcher:
            fill(client, 3_000, size=11_000, exptime=1000)
            evictions = int(client.stats()["evictions"])
            assert evictions > 1_000
            events = watcher.lines(evictions)
            assert {event["type"] for event in events} == {"eviction"}
            assert {event["size"] for event in events} == {"11000"}
            assert all(event["fetch"] == "no" and 900 < int(event["ttl"]) <= 1000 for event in events)
            assert len({event["key"] for event in events}) == evictions
            assert all(client.get(event["key"].encode()) is None for event in events[:50])

    def test_connections(self, start_server):
        server = start_server("-o", "idle_timeout=1", threads=2)
        with Watcher(server, b"connevents", alone=True) as watcher:
            with server.connect() as client:
                port = client.socket.getsockname()[1]
                client.ask(b"version\r\n")
                (new,) = watcher.lines(1)
            (close,) = watcher.lines(1)
            expected = {"rip": "127.0.0.1", "rport": str(port), "transport": "tcp", "cfd": new["cfd"]}
            assert new["type"] == "conn_new" and close["type"] == "conn_close" and close["reason"] == "normal"
            for name, value in expected.items():
                assert new[name] == close[name] == value
            with server.connect() as client:
                assert watcher.lines(1)[0]["type"] == "conn_new"
                client.send(b"GET / HTTP/1.0\r\n\r\n")
                assert client.read_until_closed() == b""
                assert watcher.lines(1)[0]["reason"] == "error"
            with server.connect() as client:
                client.ask(b"version\r\n")
                assert watcher.lines(1)[0]["type"] == "conn_new"
                client.read_until_closed()
                assert watcher.lines(1)[0]["reason"] == "idle_timeout"

    def test_connections_on_a_socket_file(self, start_server):
        server = start_server(unix=True)
        with Watcher(server, b"connevents", alone=True) as watcher:
            server.connect().close()
            new, close = watcher.lines(2)
            assert (new["rip"], new["rport"], new["transport"]) == ("unix", "0", "local")
            assert close["reason"] == "normal"

    def test_as_many_as_memcached_has(self, tcp_server):
        watchers = [Watcher(tcp_server) for _ in range(20)]
        assert {watcher.answer for watcher in watchers} == {b"OK"}
        with Watcher(tcp_server) as late:
            assert late.answer == b"WATCHER_TOO_MANY log watcher limit reached"
            assert late.connection.ask(b"version\r\n").startswith(b"VERSION"), "it is not a watcher"
        with tcp_server.connect() as client:
            client.get(b"key")
            for watcher in watchers:
                assert watcher.lines(1)[0]["key"] == "key"
            assert client.stats()["log_watchers"] == "20"
            watchers.pop().close()
            poll(lambda: client.stats()["log_watchers"] == "19", "it is gone")
            with Watcher(tcp_server) as next_one:
                assert next_one.answer == b"OK"
            for watcher in watchers:
                watcher.close()
            poll(lambda: client.stats()["log_watchers"] == "0", "all are gone")

    def test_not_behind_other_answers(self, server):
        with server.connect() as connection:
            connection.send(b"version\r\nwatch fetchers\r\n")
            connection.read_line()
            assert connection.read_line() == b"ERROR cannot pipeline other commands before watch"

    def test_the_longest_key(self, tcp_server):
        with Watcher(tcp_server, b"mutations") as watcher, tcp_server.connect() as client:
            client.set(b"#" * 250, b"memcached")
            assert watcher.lines(1)[0]["key"] == "%23" * 250

    def test_it_stops_with_the_server(self, tcp_server):
        with Watcher(tcp_server) as watcher:
            tcp_server.stop()
            assert watcher.connection.read_until_closed() == b""


class TestLongStatistics:
    def test_conns_of_many_clients(self, start_server):
        server = start_server("-c", 3000, threads=2)
        clients = [server.connect() for _ in range(2000)]
        poll(lambda: clients[0].stats()["curr_connections"] == "2000", "all are taken in")
        conns = clients[0].stats("conns")
        addresses = {value for name, value in conns.items() if name.endswith(":addr")}
        for client in clients:
            assert f"tcp:127.0.0.1:{client.socket.getsockname()[1]}" in addresses
        states = {value for name, value in conns.items() if name.endswith(":state")}
        assert states <= {"conn_listening", "conn_read", "conn_watch", "conn_new_cmd", "conn_mwrite", "conn_parse_cmd"}
        for client in clients:
            client.close()

    def test_prefixes(self, start_server):
        server = start_server("-D", ":")
        with server.connect() as connection:
            connection.send(b"".join(b"set p%d:k 0 0 1 noreply\r\n1\r\n" % index for index in range(10_000)))
            connection.send(b"stats detail dump\r\n")
            lines = read_until(connection, b"END\r\n").splitlines()[:-1]
            assert set(lines) == {b"PREFIX p%d get 0 hit 0 set 1 del 0" % index for index in range(10_000)}

    def test_sizes(self, start_server):
        server = start_server("-o", "track_sizes")
        with server.connect() as connection:
            assert connection.stats("settings")["track_sizes"] == "yes"
            assert connection.stats("sizes") == {}
            fill(connection, 1_000, size=20)
            fill(connection, 500, size=900, prefix=b"large")
            sizes = {int(size): int(count) for size, count in connection.stats("sizes").items()}
            assert list(sizes) == sorted(sizes) and all(size % 32 == 0 for size in sizes)
            assert sum(count for size, count in sizes.items() if size < 100) == 1_000
            assert sum(count for size, count in sizes.items() if size > 900) == 500

    def test_cachedump_lists_all_items(self, tcp_server):
        """memcached's answer ends after 2 MB, for each of its classes. Here all items are in one class."""
        with tcp_server.connect() as connection:
            fill(connection, 60_000, prefix=b"k" * 100)
            connection.send(b"stats cachedump 1 0\r\n")
            lines = read_until(connection, b"END\r\n").splitlines()
            assert len(set(lines)) == len(lines) == 60_001
            assert all(re.fullmatch(rb"ITEM k{100}\d+ \[10 b; 0 s\]", line) for line in lines[:-1])

    def test_no_key_breaks_the_list(self, tcp_server):
        """A line with a key's bytes as they are could end in the middle, and a client would lose its place."""
        with tcp_server.connect() as connection:
            connection.ask(b"set plain 0 0 1\r\nv\r\n")
            for key in (b"x\r\nEND\r\nINJ", b"a b", b"plain too"):
                assert connection.ask(b"ms %s 1 b\r\nv\r\n" % base64.b64encode(key)) == b"HD"
        with tcp_server.connect() as connection:
            # The binary protocol takes any byte in a key.
            for key in (b"y\nEND", b"\x00\x7f", b"c d"):
                binary = binary_protocol.BinaryConnection(connection)
                assert binary.ask(binary_protocol.store(binary_protocol.SET, key, b"v")).status == binary_protocol.OK
        with tcp_server.connect() as connection:
            connection.send(b"stats cachedump 1 0\r\n")
            assert read_until(connection, b"END\r\n") == b"ITEM plain [1 b; 0 s]\r\nEND\r\n"
