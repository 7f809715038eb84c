"""pymemcache: its classic surface, one connection, pool and consistent hashing over two servers."""

import json
import threading
import time
from contextlib import closing

import pytest
from pymemcache.client.base import Client, PooledClient
from pymemcache.client.hash import HashClient
from pymemcache.exceptions import (
    MemcacheClientError, MemcacheIllegalInputError, MemcacheServerError, MemcacheUnknownCommandError)
from pymemcache.serde import CompressedSerde, pickle_serde

from server import poll

VALUES = [b"", b"0", b"bytes", bytes(range(256)) * 16, b"VALUE k 0 1\r\nx\r\nEND\r\n", b"x" * 1_000_000]


@pytest.fixture
def client(server):
    with closing(Client(server.address, timeout=10, no_delay=True)) as client:
        yield client


class TestStorage:
    @pytest.mark.parametrize("value", VALUES, ids=lambda value: f"{len(value)}-bytes")
    def test_value_comes_back(self, client, value):
        assert client.set("key", value, noreply=False) is True
        assert client.get("key") == value

    def test_miss_and_default(self, client):
        assert client.get("nobody") is None
        assert client.get("nobody", default="else") == "else"

    def test_add_and_replace(self, client):
        assert client.replace("key", "0", noreply=False) is False
        assert client.add("key", "1", noreply=False) is True
        assert client.add("key", "2", noreply=False) is False
        assert client.replace("key", "3", noreply=False) is True
        assert client.get("key") == b"3"

    def test_append_and_prepend(self, client):
        assert client.append("key", "z", noreply=False) is False
        client.set("key", "middle", noreply=False)
        assert client.append("key", "-end", noreply=False) is True
        assert client.prepend("key", "start-", noreply=False) is True
        assert client.get("key") == b"start-middle-end"

    def test_flags(self, client):
        client.set("key", "value", flags=4_294_967_295, noreply=False)
        assert client.raw_command(b"get key", end_tokens=b"END\r\n") == b"VALUE key 4294967295 5\r\nvalue\r\n"

    def test_delete(self, client):
        client.set("key", "value", noreply=False)
        assert client.delete("key", noreply=False) is True
        assert client.delete("key", noreply=False) is False
        assert client.get("key") is None

    def test_many(self, client):
        values = {f"key{index}": f"value{index}".encode() for index in range(1000)}
        assert client.set_many(values, noreply=False) == []
        assert client.get_many([*values, "nobody"]) == values
        assert client.delete_many(list(values), noreply=False) is True
        assert client.get_many(list(values)) == {}


class TestCompareAndSwap:
    def test_swap(self, client):
        client.set("key", "1", noreply=False)
        value, token = client.gets("key")
        assert value == b"1"
        assert client.cas("key", "2", token, noreply=False) is True
        assert client.cas("key", "3", token, noreply=False) is False
        assert client.get("key") == b"2"

    def test_missing(self, client):
        assert client.gets("nobody") == (None, None)
        assert client.cas("nobody", "1", b"1", noreply=False) is None

    def test_gets_many(self, client):
        client.set_many({"a": "1", "b": "2"}, noreply=False)
        found = client.gets_many(["a", "b", "c"])
        assert {key: value for key, (value, _) in found.items()} == {"a": b"1", "b": b"2"}
        assert found["a"][1] != found["b"][1]

    def test_no_update_is_lost(self, server):
        """Four threads increment one number by cas; every accepted increment counts."""
        with closing(Client(server.address)) as client:
            client.set("counter", "0", noreply=False)

        def add(count):
            with closing(Client(server.address, timeout=10)) as client:
                while count:
                    value, token = client.gets("counter")
                    count -= client.cas("counter", str(int(value) + 1), token, noreply=False)

        threads = [threading.Thread(target=add, args=(250,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        with closing(Client(server.address)) as client:
            assert client.get("counter") == b"1000"


class TestNumbers:
    def test_incr_and_decr(self, client):
        client.set("number", "10", noreply=False)
        assert client.incr("number", 5, noreply=False) == 15
        assert client.decr("number", 20, noreply=False) == 0
        assert client.incr("number", 2**64 - 1, noreply=False) == 2**64 - 1
        assert client.incr("number", 2, noreply=False) == 1

    def test_missing(self, client):
        assert client.incr("nobody", 1, noreply=False) is None
        assert client.decr("nobody", 1, noreply=False) is None

    def test_text_is_no_number(self, client):
        client.set("text", "abc", noreply=False)
        with pytest.raises(MemcacheClientError, match="cannot increment or decrement non-numeric value"):
            client.incr("text", 1, noreply=False)


class TestExpiry:
    def test_one_second(self, client):
        client.set("short", "1", expire=1, noreply=False)
        client.set("long", "1", expire=100, noreply=False)
        assert client.get("short") == b"1"
        poll(lambda: client.get("short") is None, "the key expires", seconds=3)
        assert client.get("long") == b"1"

    def test_absolute_and_past(self, client):
        client.set("future", "1", expire=int(time.time()) + 100, noreply=False)
        client.set("past", "1", expire=int(time.time()) - 100, noreply=False)
        client.set("negative", "1", expire=-1, noreply=False)
        assert client.get_many(["future", "past", "negative"]) == {"future": b"1"}

    def test_touch(self, client):
        client.set("key", "1", noreply=False)
        assert client.touch("key", 100, noreply=False) is True
        assert client.touch("nobody", 100, noreply=False) is False
        assert client.touch("key", -1, noreply=False) is True
        assert client.get("key") is None

    def test_get_and_touch(self, client):
        client.set("key", "1", noreply=False)
        answer = client.raw_command(b"gats 100 key nobody", end_tokens=b"END\r\n")
        assert answer == b"VALUE key 0 1 %b\r\n1\r\n" % client.gets("key")[1]
        assert client.raw_command(b"gat -1 key", end_tokens=b"END\r\n") == b"VALUE key 0 1\r\n1\r\n"
        assert client.get("key") is None

    def test_flush_all(self, client):
        client.set("key", "1", noreply=False)
        assert client.flush_all(noreply=False) is True
        assert client.get("key") is None
        assert client.set("key", "2", noreply=False) is True
        assert client.get("key") == b"2"

    def test_flush_all_later(self, tcp_server):
        """Three seconds, since memcached flushes up to a whole second early."""
        with closing(Client(tcp_server.address)) as client:
            client.set("key", "1", noreply=False)
            assert client.flush_all(delay=3, noreply=False) is True
            assert client.get("key") == b"1"
            poll(lambda: client.get("key") is None, "the delayed flush happens", seconds=5)


class TestNoReply:
    def test_a_thousand_silent_commands_leave_nothing_behind(self, client):
        """A stray answer would be taken for the answer to the next command."""
        for index in range(200):
            key = f"key{index}"
            client.set(key, "1", noreply=True)
            client.add(key, "2", noreply=True)
            client.append(key, "0", noreply=True)
            client.incr(key, 5, noreply=True)
            client.touch(key, 100, noreply=True)
            if index % 2:
                client.delete(key, noreply=True)
        found = client.get_many([f"key{index}" for index in range(200)])
        assert found == {f"key{index}": b"15" for index in range(0, 200, 2)}

    def test_silent_errors(self, client):
        client.set("text", "abc", noreply=False)
        client.incr("text", 1, noreply=True)
        client.replace("nobody", "1", noreply=True)
        client.cas("nobody", "1", b"1", noreply=True)
        client.flush_all(noreply=True)
        assert client.get("text") is None


class TestLimits:
    def test_too_large(self, client):
        client.set("key", "old", noreply=False)
        with pytest.raises(MemcacheServerError, match="object too large for cache"):
            client.set("key", b"x" * (1 << 20), noreply=False)
        assert client.get("key") is None
        assert client.set("key", b"y" * 1_048_000, noreply=False) is True
        assert client.get("key") == b"y" * 1_048_000

    def test_too_large_silently(self, client):
        client.set("key", b"x" * (1 << 21), noreply=True)
        assert client.get("key") is None

    def test_longest_key(self, client):
        key = "k" * 250
        assert client.set(key, "value", noreply=False) is True
        assert client.get_many([key]) == {key: b"value"}
        with pytest.raises(MemcacheIllegalInputError):
            client.set(key + "k", "value", noreply=False)

    def test_unicode_keys(self, server):
        with closing(Client(server.address, allow_unicode_keys=True, encoding="utf-8")) as client:
            for key in ["schlüssel", "鍵", "🔑" * 62]:
                assert client.set(key, key, noreply=False) is True
                assert client.get(key) == key.encode()

    def test_unknown_command(self, client):
        with pytest.raises(MemcacheUnknownCommandError):
            client._misc_cmd([b"nonsense\r\n"], b"nonsense", False)

    def test_prefix(self, server):
        with closing(Client(server.address, key_prefix=b"app:")) as prefixed, closing(Client(server.address)) as plain:
            prefixed.set("key", "1", noreply=False)
            assert plain.get("app:key") == b"1"
            assert prefixed.get_many(["key"]) == {"key": b"1"}


class TestServerCommands:
    def test_version(self, client):
        assert client.version().split(b".")[0].isdigit()

    def test_stats(self, client):
        client.set("key", "1", noreply=False)
        stats = client.stats()
        assert stats[b"curr_items"] == 1 and stats[b"cmd_set"] == 1
        assert stats[b"version"] == client.version()
        assert client.stats("settings")[b"maxbytes"] == 64 << 20
        for argument in ["items", "slabs", "sizes", "conns"]:
            assert isinstance(client.stats(argument), dict)

    def test_verbosity(self, client):
        assert client.raw_command(b"verbosity 1") == b"OK"

    def test_quit_and_come_back(self, client):
        client.set("key", "1", noreply=False)
        client.quit()
        assert client.get("key") == b"1"


class TestSerializers:
    def test_pickle(self, server):
        value = {"list": [1, 2.5, None], "set": {1, 2}, "text": "käse"}
        with closing(Client(server.address, serde=pickle_serde)) as client:
            client.set("key", value, noreply=False)
            client.set("int", 42, noreply=False)
            client.set("text", "käse", noreply=False)
            assert client.get_many(["key", "int", "text"]) == {"key": value, "int": 42, "text": "käse"}

    def test_compressed(self, server):
        with closing(Client(server.address, serde=CompressedSerde(min_compress_len=100))) as client:
            client.set("key", "compress me " * 100_000, noreply=False)
            assert client.get("key") == "compress me " * 100_000

    def test_own_serializer(self, server):
        with closing(Client(
                server.address, serializer=lambda key, value: (json.dumps(value), 3),
                deserializer=lambda key, value, flags: (json.loads(value), flags))) as client:
            client.set("key", [1, "two"], noreply=False)
            assert client.get("key") == ([1, "two"], 3)


class TestMemoryLimit:
    def test_limit_goes_down_and_up(self, client):
        client.set("key", "value", noreply=False)
        for megabytes in (8, 32, 64):
            assert client.cache_memlimit(megabytes) is True
            assert client.stats()[b"limit_maxbytes"] == megabytes << 20
            assert client.stats("settings")[b"maxbytes"] == megabytes << 20
            assert client.get("key") == b"value"

    @pytest.mark.larder_only
    def test_full_cache_gives_its_memory_back(self, start_server):
        server = start_server("-m", "64")
        with closing(Client(server.address, timeout=10, no_delay=True)) as client:
            value = b"x" * 10_000
            for number in range(8000):
                client.set(f"key{number}", value)
            full = client.stats()[b"bytes"]
            assert full > 50 << 20
            resident = server.resident_bytes()
            assert client.cache_memlimit(16) is True
            poll(lambda: server.stats("larder")["withheld_bytes"] == str(48 << 20), "the limit is kept")
            assert 8 << 20 < client.stats()[b"bytes"] < 16 << 20
            assert server.resident_bytes() < resident - (40 << 20)
            # The last stored item is not evicted.
            assert client.get("key7999") == value
            assert client.cache_memlimit(64) is True
            for number in range(8000):
                client.set(f"key{number}", value)
            assert client.stats()[b"bytes"] > 50 << 20


class TestPools:
    def test_pool_under_threads(self, server):
        client = PooledClient(server.address, max_pool_size=8, timeout=10)
        errors = []

        def work(number):
            for index in range(200):
                key, value = f"{number}:{index}", f"value {number} {index}".encode()
                if not client.set(key, value, noreply=False) or client.get(key) != value:
                    errors.append(key)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert errors == []
        assert client.stats()[b"curr_items"] == 1600
        client.close()

    def test_two_servers(self, start_server):
        servers = [start_server(threads=2), start_server(unix=True, threads=2)]
        client = HashClient([server.address for server in servers], use_pooling=True, timeout=10)
        values = {f"key{index}": str(index).encode() for index in range(500)}
        assert client.set_many(values, noreply=False) == []
        assert client.get_many(list(values)) == values
        counts = [int(server.stats()["curr_items"]) for server in servers]
        assert sum(counts) == 500 and min(counts) > 50
        client.close()
