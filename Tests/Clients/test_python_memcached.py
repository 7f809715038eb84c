"""python-memcached: the oldest of the Python clients, and the one with the loosest wire habits."""

import memcache
import pytest

from server import poll


def connect(*servers, **options):
    places = ["unix:" + server.socket_path if server.socket_path else server.text_address for server in servers]
    return memcache.Client(places, socket_timeout=10, cache_cas=True, **options)


@pytest.fixture
def client(server):
    client = connect(server)
    yield client
    client.disconnect_all()


@pytest.mark.parametrize(
    "value", [b"bytes\r\n", "text käse", "", 7, -7, 2**70, 1.5, None, {"a": [1, 2]}, b"x" * 1_000_000],
    ids=lambda value: f"{type(value).__name__}-{str(value)[:10]}")
def test_value_comes_back(client, value):
    assert client.set("key", value)
    assert client.get("key", default="nothing") == value


def test_compressed(client):
    assert client.set("key", "again and " * 300_000, min_compress_len=1000)
    assert client.get("key") == "again and " * 300_000


def test_too_large(client, server):
    assert client.set("key", "old")
    assert not client.set("key", b"x" * (1 << 20))
    big = connect(server, server_max_value_length=0)
    assert not big.set("key", b"x" * (1 << 20))
    assert client.get("key") is None
    assert client.set("key", b"x" * 1_048_000) and client.get("key") == b"x" * 1_048_000


def test_add_replace_delete(client):
    assert not client.replace("key", "0")
    assert client.add("key", "1")
    assert not client.add("key", "2")
    assert client.replace("key", "3")
    assert client.get("key") == "3"
    assert client.delete("key") and not client.delete("key")
    assert client.get("key") is None


def test_append_prepend(client):
    assert not client.append("key", "x")
    client.set("key", "b")
    assert client.append("key", "c") and client.prepend("key", "a")
    assert client.get("key") == "abc"


def test_numbers(client):
    client.set("number", 10)
    assert client.incr("number") == 11 and client.incr("number", 2**40) == 11 + 2**40
    assert client.decr("number", 2**50) == 0
    assert client.incr("nobody") is None


def test_cas(client, server):
    client.set("key", "1")
    assert client.gets("key") == "1"
    assert client.cas("key", "2")
    assert client.gets("key") == "2"
    connect(server).set("key", "other")
    assert not client.cas("key", "3")
    assert client.get("key") == "other"


def test_multi(client):
    values = {f"key{index}": index for index in range(500)}
    assert client.set_multi(values, key_prefix="p:", time=100) == []
    assert client.get_multi([*values, "nobody"], key_prefix="p:") == values
    assert client.delete_multi(list(values), key_prefix="p:") == 1
    assert client.get_multi(list(values), key_prefix="p:") == {}


def test_expiry_and_touch(client):
    client.set_multi({"short": 1, "long": 1}, time=1)
    assert client.touch("long", time=100)
    assert not client.touch("nobody", time=100)
    poll(lambda: client.get("short") is None, "the key expires", seconds=3)
    assert client.get("long") == 1


def test_silent_commands(client):
    for index in range(300):
        client.set(f"key{index}", "1", noreply=True)
        client.incr(f"key{index}", 4, noreply=True)
        if index % 2:
            client.delete(f"key{index}", noreply=True)
    assert client.get_multi([f"key{index}" for index in range(300)]) == {
        f"key{index}": "5" for index in range(0, 300, 2)}


def test_keys(client):
    assert client.set("k" * 250, 1) and client.get("k" * 250) == 1
    for bad in ["k" * 251, "with space", "with\nnewline"]:
        with pytest.raises((client.MemcachedKeyError, client.MemcachedKeyLengthError)):
            client.set(bad, 1)
    assert client.set("schlüssel", 1) and client.get("schlüssel") == 1


def test_flush_and_stats(client, server):
    client.set("key", "value" * 100)
    (_, stats), = client.get_stats()
    assert int(stats["pid"]) == server.process.pid and stats["curr_items"] == "1"
    (_, settings), = client.get_stats("settings")
    assert settings["maxbytes"] == str(64 << 20)
    assert len(client.get_slab_stats()) == 1
    client.flush_all()
    assert client.get("key") is None


def test_two_servers(start_server):
    servers = [start_server(threads=2), start_server(unix=True, threads=2)]
    client = connect(*servers)
    values = {f"key{index}": index for index in range(400)}
    assert client.set_multi(values) == []
    assert client.get_multi(list(values)) == values
    assert all(int(server.stats()["curr_items"]) > 50 for server in servers)
