"""pylibmc, that is libmemcached in C, in both protocols: values of each kind, behaviours, pools, two servers."""

import threading

import pylibmc
import pytest

from server import poll

BEHAVIOURS = {
    "plain": {},
    "tcp_nodelay": {"tcp_nodelay": True},
    "cas": {"cas": True},
    "no_block": {"no_block": True, "tcp_nodelay": True},
    "ketama": {"ketama": True, "hash": "md5"},
    "verify_keys": {"verify_keys": True},
}
# libmemcached refuses to check keys in binary, where they may hold anything.
COMBINATIONS = [(name, binary) for name in BEHAVIOURS for binary in (False, True)
                if (name, binary) != ("verify_keys", True)]


def connect(*servers, binary=False, **options):
    return pylibmc.Client([server.text_address for server in servers], binary=binary, **options)


@pytest.fixture(params=[False, True], ids=["text", "binary"])
def binary(request):
    return request.param


@pytest.fixture
def client(server, binary):
    client = connect(server, binary=binary, behaviors={"cas": True})
    yield client
    client.disconnect_all()


class TestBehaviours:
    @pytest.mark.parametrize("name, binary", COMBINATIONS)
    def test_round_trip(self, server, name, binary):
        client = connect(server, binary=binary, behaviors=BEHAVIOURS[name])
        values = {f"key{index}": "value" * index for index in range(200)}
        assert client.set_multi(values) == []
        assert client.get_multi([*values, "nobody"]) == values
        assert client.set("large", b"x" * 900_000) and client.get("large") == b"x" * 900_000
        assert client.delete_multi(list(values)) is True
        assert client.get_multi(list(values)) == {}

    def test_two_servers_ketama(self, start_server, binary):
        servers = [start_server(threads=2), start_server(threads=2)]
        client = connect(*servers, binary=binary, behaviors={"ketama": True, "remove_failed": 1, "retry_timeout": 1})
        values = {f"key{index}": index for index in range(1000)}
        assert client.set_multi(values) == []
        assert client.get_multi(list(values)) == values
        counts = [int(server.stats()["curr_items"]) for server in servers]
        assert sum(counts) == 1000 and min(counts) > 200
        assert client.flush_all() is True
        assert client.get_multi(list(values)) == {}

    def test_two_unix_sockets(self, start_server):
        servers = [start_server(unix=True, threads=2), start_server(unix=True, threads=2)]
        client = connect(*servers)
        values = {f"key{index}": index for index in range(300)}
        assert client.set_multi(values) == []
        assert client.get_multi(list(values)) == values
        assert all(int(server.stats()["curr_items"]) > 0 for server in servers)


class TestValues:
    @pytest.mark.parametrize(
        "value", [b"", b"bytes\r\n\0", "", "text käse 鍵", 0, -17, 2**40, 1.5, None, [1, {"two": (3,)}],
                  bytes(range(256)) * 4000], ids=lambda value: f"{type(value).__name__}-{str(value)[:12]}")
    def test_value_comes_back(self, client, value):
        assert client.set("key", value) is True
        found = client.get("key", "nothing")
        assert found == value and type(found) is type(value)

    def test_compressed(self, client):
        assert client.set("key", "again and " * 200_000, min_compress_len=1000, compress_level=6)
        assert client.get("key") == "again and " * 200_000

    def test_too_large(self, client):
        with pytest.raises(pylibmc.TooBig):
            client.set("key", bytes(1 << 20) + b"x")
        assert client.get("key") is None
        assert client.set("key", b"x" * 1_048_000) and client.get("key") == b"x" * 1_048_000

    def test_keys(self, client):
        assert client.set("k" * 250, 1) and client.get("k" * 250) == 1
        with pytest.raises(ValueError):
            client.set("k" * 251, 1)
        assert client.set("schlüssel", 1) and client.get("schlüssel") == 1


class TestCommands:
    def test_add_replace_delete(self, client, binary):
        if binary:
            # libmemcached passes on what the binary protocol says more exactly.
            with pytest.raises(pylibmc.NotFound):
                client.replace("key", 1)
        else:
            assert client.replace("key", 1) is False
        assert client.add("key", 2) is True
        assert client.add("key", 3) is False
        assert client.replace("key", 4) is True
        assert client.get("key") == 4
        assert client.delete("key") is True
        assert client.delete("key") is False

    def test_append_prepend(self, client):
        assert client.append("nobody", "x") is False
        client.set("key", "b")
        assert client.append("key", "c") and client.prepend("key", "a")
        assert client.get("key") == "abc"

    def test_numbers(self, client, binary):
        client.set("number", 10)
        assert client.incr("number") == 11 and client.incr("number", 9) == 20
        assert client.decr("number", 5) == 15 and client.decr("number", 100) == 0
        client.set_multi({"a": 1, "b": 2})
        if not binary:
            # In binary libmemcached sends these quietly, and then waits for their answers: so with memcached.
            client.incr_multi(["a", "b"], delta=5)
            assert int(client.get("a")) == 6 and int(client.get("b")) == 7
        with pytest.raises(pylibmc.NotFound):
            client.incr("nobody")
        client.set("text", "abc")
        with pytest.raises(pylibmc.Error if binary else pylibmc.ClientError):
            client.incr("text")

    def test_cas(self, client):
        client.set("key", 1)
        value, token = client.gets("key")
        assert value == 1
        assert client.cas("key", 2, token) is True
        assert client.cas("key", 3, token) is False
        with pytest.raises(pylibmc.NotFound):
            client.cas("nobody", 1, 1)
        assert client.gets("nobody") == (None, None)

    def test_touch_and_expiry(self, client, binary):
        # Over binary libmemcached takes five seconds for a touch, with memcached too: it awaits another packet.
        if not binary:
            assert client.touch("nobody", 10) is False
        client.set("key", 1, time=100)
        client.set("short", 1, time=1)
        assert client.get_multi(["key", "short"]) == {"key": 1, "short": 1}
        if not binary:
            assert client.touch("key", 200) is True
        poll(lambda: client.get("short") is None, "the key expires", seconds=3)
        assert client.get("key") == 1

    def test_multi_with_prefix(self, client):
        assert client.set_multi({"a": 1, "b": 2}, key_prefix="pre:", time=100) == []
        assert client.get_multi(["a", "b"], key_prefix="pre:") == {"a": 1, "b": 2}
        assert client.get("pre:a") == 1
        assert client.add_multi({"a": 1, "c": 3}, key_prefix="pre:") == ["a"]
        assert client.delete_multi(["a", "b", "c"], key_prefix="pre:") is True

    def test_mapping(self, client):
        client["key"] = [1]
        assert client["key"] == [1] and "key" in client
        del client["key"]
        assert "key" not in client
        with pytest.raises(KeyError):
            client["key"]

    def test_flush_stats_version(self, client, server):
        client.set("key", 1)
        assert client.flush_all() is True and client.get("key") is None
        (name, stats), = client.get_stats()
        assert int(stats["pid"]) == server.process.pid and stats["cmd_set"] == b"1"


class TestPools:
    @pytest.mark.parametrize("kind", ["pool", "threads"])
    def test_pool(self, server, kind, binary):
        client = connect(server, binary=binary, behaviors={"tcp_nodelay": True})
        pool = pylibmc.ClientPool(client, 4) if kind == "pool" else pylibmc.ThreadMappedPool(client)
        errors = []

        def work(number):
            with pool.reserve(**({"block": True} if kind == "pool" else {})) as mine:
                for index in range(300):
                    key = f"{number}:{index}"
                    if not mine.set(key, key) or mine.get(key) != key:
                        errors.append(key)
            if kind == "threads":
                pool.relinquish()

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert errors == []
        assert client.get("7:299") == "7:299"

    def test_a_server_that_is_gone(self, start_server):
        server = start_server()
        client = connect(server)
        assert client.set("key", 1)
        server.stop()
        with pytest.raises(pylibmc.Error):
            client.set("key", 2)
