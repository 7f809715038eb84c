"""meta-memcache: a client that speaks nothing but the meta protocol."""

import threading

import pytest
from meta_memcache import (
    CacheClient, Key, LeasePolicy, RecachePolicy, ServerAddress, SetMode, StalePolicy, connection_pool_factory_builder)

VALUES = ["text", b"", bytes(range(256)) * 16, b"VA 1\r\nx\r\nEN\r\n", 42, -1, True, {"a": [1, 2]}, "x" * 900_000]


@pytest.fixture(params=[1, 4], ids=lambda threads: f"tcp-{threads}")
def cache_server(request, start_server):
    return start_server(threads=request.param)


def connect(server, connections=3):
    host, port = server.address
    return CacheClient.cache_client_from_servers(
        servers=[ServerAddress(host, port)],
        connection_pool_factory_fn=connection_pool_factory_builder(
            max_pool_size=connections, connection_timeout=10, recv_timeout=10))


@pytest.fixture
def client(cache_server):
    return connect(cache_server)


class TestValues:
    @pytest.mark.parametrize("value", VALUES, ids=lambda value: f"{type(value).__name__}-{len(str(value))}")
    def test_value_comes_back(self, client, value):
        assert client.set("key", value, ttl=100)
        assert client.get("key") == value

    def test_miss(self, client):
        assert client.get("nobody") is None

    def test_unicode_and_long_keys(self, client):
        for name in ["ключ", "k" * 250, "k" * 300, "space and\nline"]:
            assert client.set(Key(name), name, ttl=100)
            assert client.get(Key(name)) == name
            assert client.delete(Key(name))
            assert client.get(Key(name)) is None

    def test_modes(self, client):
        assert not client.set("key", "0", ttl=100, set_mode=SetMode.REPLACE)
        assert client.set("key", b"b", ttl=100, set_mode=SetMode.ADD)
        assert not client.set("key", b"x", ttl=100, set_mode=SetMode.ADD)
        assert client.set("key", b"c", ttl=100, set_mode=SetMode.APPEND)
        assert client.set("key", b"a", ttl=100, set_mode=SetMode.PREPEND)
        assert client.get("key") == b"abc"

    def test_refill_does_not_overwrite(self, client):
        assert client.refill("key", 1, ttl=100)
        assert not client.refill("key", 2, ttl=100)
        assert client.get("key") == 1

    def test_many(self, client):
        keys = [f"key{number}" for number in range(1000)]
        for key in keys[::2]:
            assert client.set(key, key.upper(), ttl=100, no_reply=True)
        found = client.multi_get([Key(key) for key in keys])
        assert {key.key: value for key, value in found.items() if value is not None} == {
            key: key.upper() for key in keys[::2]}

    def test_silent_writes_are_in_order(self, client):
        for number in range(100):
            client.set("key", number, ttl=100, no_reply=True)
        assert client.get("key") == 99
        client.delete("key", no_reply=True)
        assert client.get("key") is None


class TestCas:
    def test_the_right_token_stores(self, client):
        client.set("key", 1, ttl=100)
        value, token = client.get_cas("key")
        assert value == 1
        assert client.set("key", 2, ttl=100, cas_token=token)
        assert not client.set("key", 3, ttl=100, cas_token=token)
        assert client.get("key") == 2

    def test_a_write_tells_its_token(self, client):
        token = client.set_cas("key", 1, ttl=100)
        assert client.set_cas("key", 2, ttl=100, cas_token=token) is not None
        assert client.set_cas("key", 3, ttl=100, cas_token=token) is None
        assert client.get_cas("key")[0] == 2

    def test_deletion_with_a_token(self, client):
        token = client.set_cas("key", 1, ttl=100)
        assert not client.delete("key", cas_token=token + 1)
        assert client.delete("key", cas_token=token)
        assert client.invalidate("key")


class TestTimes:
    def test_touch(self, client):
        assert not client.touch("key", ttl=100)
        client.set("key", 1, ttl=5)
        assert client.touch("key", ttl=100)
        assert client.get("key", touch_ttl=1000) == 1
        assert client.touch("key", ttl=1_000_000_000), "a time long past"
        assert client.get("key") is None

    def test_recache(self, client):
        """Of all who read shortly before the end one misses, and makes the value anew."""
        client.set("key", "old", ttl=20)
        policy = RecachePolicy(ttl=30)
        assert client.get("key", recache_policy=policy) is None
        assert client.get("key", recache_policy=policy) == "old"
        client.set("key", "new", ttl=100)
        assert client.get("key", recache_policy=policy) == "new"


class TestStale:
    def test_stale_deletion(self, client):
        stale = StalePolicy(mark_stale_on_deletion_ttl=30)
        client.set("key", "old", ttl=100)
        assert client.delete("key", stale_policy=stale)
        assert client.get("key") is None, "the first to ask is to make it anew"
        assert client.get("key") == "old"
        client.set("key", "new", ttl=100)
        assert client.get("key") == "new"

    def test_a_late_write_is_stale(self, client):
        stale = StalePolicy(mark_stale_on_cas_mismatch=True)
        first = client.set_cas("key", 1, ttl=100)
        client.set("key", 2, ttl=100)
        assert client.set("key", 3, ttl=100, cas_token=first, stale_policy=stale)
        assert client.get("key") is None
        assert client.get("key") == 3


class TestNumbers:
    def test_delta(self, client):
        assert client.delta_and_get("count", 1) is None
        assert client.delta_initialize_and_get("count", 1, initial_value=10, initial_ttl=100) == 10
        assert client.delta_initialize_and_get("count", 5, initial_value=10, initial_ttl=100) == 15
        assert client.delta_and_get("count", -20) == 0
        assert client.delta("count", 7, refresh_ttl=50)
        assert client.delta("count", 7, no_reply=True)
        assert int(client.get("count")) == 14


class TestLease:
    def test_one_of_many_makes_the_value(self, cache_server):
        """Forty clients ask at once for what is not there: one is told to make it, all get it."""
        policy = LeasePolicy(ttl=30, miss_retries=1000, miss_retry_wait=0.01, miss_max_retry_wait=0.02)
        made, got = [], []
        start = threading.Barrier(40)

        def ask():
            client = connect(cache_server, connections=1)
            start.wait(30)
            value = client.get_or_lease("cold", policy)
            if value is None:
                made.append(1)
                value = "warm"
                client.set("cold", value, ttl=100)
            got.append(value)

        threads = [threading.Thread(target=ask) for _ in range(40)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert len(made) == 1
        assert got == ["warm"] * 40
