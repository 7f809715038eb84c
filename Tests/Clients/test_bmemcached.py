"""python-binary-memcached: a client that speaks nothing but the binary protocol, SASL included."""

import threading

import bmemcached
import pytest

from server import poll


@pytest.fixture(params=["plain", "sasl", "password-database"])
def client(request, start_server, tmp_path, monkeypatch):
    if request.param == "plain":
        server = start_server(threads=4)
        client = bmemcached.Client((server.text_address,))
    elif request.param == "password-database":
        (tmp_path / "users").write_text("user:password:::::::\n")
        monkeypatch.setenv("MEMCACHED_SASL_PWDB", str(tmp_path / "users"))
        server = start_server("-S", threads=4, binary_only=True)
        client = bmemcached.Client((server.text_address,), "user", "password")
    else:
        (tmp_path / "users").write_text("user:password\n")
        server = start_server("-S", "-Y", tmp_path / "users", threads=4, binary_only=True)
        client = bmemcached.Client((server.text_address,), "user", "password")
    client.server_under_test = server
    yield client
    client.disconnect_all()


@pytest.mark.parametrize("value", ["text käse", b"bytes\r\n\0", 17, 2**40, [1, {"two": (3,)}], "x" * 900_000],
                         ids=lambda value: f"{type(value).__name__}-{str(value)[:8]}")
def test_value_comes_back(client, value):
    assert client.set("key", value) is True
    assert client.get("key") == value


def test_add_replace_delete(client):
    assert client.replace("key", "1") is False
    assert client.add("key", "2") is True
    assert client.add("key", "3") is False
    assert client.replace("key", "4") is True
    assert client.get("key") == "4"
    assert client.delete("key") is True
    assert client.get("key") is None and client.get("key", "nothing") == "nothing"


def test_many(client):
    values = {f"key{index}": f"value{index}" for index in range(500)}
    assert client.set_multi(values) == []
    assert client.get_multi([*values, "nobody"]) == values
    assert client.delete_multi(list(values)) is True
    assert client.get_multi(list(values)) == {}


def test_cas(client):
    assert client.set("key", "1")
    value, cas = client.gets("key")
    assert value == "1"
    assert client.cas("key", "2", cas) is True
    assert client.cas("key", "3", cas) is False
    assert client.get("key") == "2"


def test_numbers(client):
    assert client.incr("n", 5, default=100) == 100
    assert client.incr("n", 5) == 105
    assert client.decr("n", 200) == 0
    assert client.decr("m", 1, default=7) == 7


def test_expiry(client):
    assert client.set("key", "1", time=1)
    poll(lambda: client.get("key") is None, "the key expires", seconds=3)


def test_flush_and_stats(client):
    client.set("key", "1")
    assert client.flush_all() is True and client.get("key") is None
    (stats,) = client.stats().values()
    assert int(stats["pid"]) == client.server_under_test.process.pid
    (settings,) = client.stats("settings").values()
    assert int(settings["num_threads"]) == 4


def test_a_wrong_password_gets_nothing(start_server, tmp_path):
    (tmp_path / "users").write_text("user:password\n")
    server = start_server("-S", "-Y", tmp_path / "users", binary_only=True)
    friend = bmemcached.Client((server.text_address,), "user", "password")
    friend.set("key", "secret")
    stranger = bmemcached.Client((server.text_address,), "user", "wrong")
    with pytest.raises(bmemcached.exceptions.MemcachedException, match="Auth failure"):
        stranger.get("key")
    assert friend.get("key") == "secret"


def test_threads(client):
    """A client for each thread, as bmemcached's own DistributedClient has it."""
    errors = []
    address = client.server_under_test.text_address
    login = ("user", "password") if "-S" in client.server_under_test.arguments else ()

    def work(number):
        mine = bmemcached.Client((address,), *login)
        for index in range(200):
            key = f"{number}:{index}"
            if not mine.set(key, key) or mine.get(key) != key:
                errors.append(key)
        mine.disconnect_all()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
