"""uWSGI's own cache functions against the uwsgi listener, and where that listener may be."""

import random

import pytest

from server import Connection, free_port, poll, run
from uwsgi_client import UwsgiClient

CACHES = ["--cache", "name=big,items=1000,bitmap=1,blocksize=4k,blocks=2000,max_item_size=2m",
          "--cache", "name=small,items=3,blocksize=8"]


@pytest.fixture(scope="module")
def uwsgi(tmp_path_factory):
    client = UwsgiClient(tmp_path_factory.mktemp("uwsgi"))
    yield client
    client.stop()


def packet(modifier2, body, value=b""):
    return b"\x6f" + len(body).to_bytes(2, "little") + bytes([modifier2]) + body + value


def dictionary(**fields):
    def text(value):
        return len(value).to_bytes(2, "little") + value
    return b"".join(text(name.encode()) + text(value) for name, value in fields.items())


def exchange(address, request):
    with Connection(address) as connection:
        connection.send(request)
        return connection.read_until_closed()


OK = packet(17, dictionary(status=b"ok"))


@pytest.mark.parametrize("place", ["tcp-1", "tcp-4", "unix-4"])
def test_each_function(uwsgi, start_server, tmp_path, place):
    path = str(tmp_path / "uwsgi.sock")
    server = start_server(*CACHES, "--uwsgi", path if place.startswith("unix") else "127.0.0.1:0", threads=place[-1])
    where = path if place.startswith("unix") else "127.0.0.1:%d" % server.addresses[1][1]
    big, small, first = f"big@{where}", f"small@{where}", f"@{where}"
    seed = random.randrange(1 << 32)
    print("seed", seed)
    values = random.Random(seed)
    for size in [1, 2, 100, 4095, 4096, 4097, 65_535, 65_536, 200_000, 1 << 20]:
        # Any bytes, as many as uWSGI's own default of keysize allows.
        length = values.choice([1, 250, 251, 255, 256, 257, 2047, 2048, values.randint(1, 2048)])
        key, value = values.randbytes(length), values.randbytes(size)
        assert uwsgi.get(key, big) is None
        assert uwsgi.exists(key, big) is None
        assert uwsgi.set(key, value, 0, big) is True
        assert uwsgi.exists(key, big) is True
        assert uwsgi.get(key, big) == value
        assert uwsgi.get(key, first) == value
        assert uwsgi.get(key, small) is None
        assert uwsgi.set(key, b"other", 0, big) is None
        assert uwsgi.get(key, big) == value
        assert uwsgi.update(key, value[::-1], 60, big) is True
        assert uwsgi.get(key, big) == value[::-1]
        assert uwsgi("del", key, big) is True
        assert uwsgi("del", key, big) is None
        assert uwsgi.get(key, big) is None

    # Over the network these are updates with the number's eight bytes, as between two uWSGIs.
    for function in ["inc", "dec", "mul", "div"]:
        assert uwsgi.call(function, b"n", 5, 0, big) is True
        assert uwsgi.call(function, b"n", 7, 0, big) is True
        assert uwsgi.num(b"n", big) == 7
    assert uwsgi.num(b"missing", big) == 0

    assert uwsgi.update(b"k", b"", 0, big) is None
    assert uwsgi.update(b"k", b"123456789", 0, small) is None
    assert uwsgi.update(b"k", b"12345678", 0, small) is True
    assert uwsgi.update(b"k", b"123456789", 0, small) is None
    assert uwsgi.get(b"k", small) == b"12345678"
    assert uwsgi.update(b"k", bytes(3 << 20), 0, big) is None
    assert uwsgi.get(b"x" * 2049, big) is None
    assert uwsgi.set(b"x" * 2049, b"v", 0, big) is None
    assert uwsgi.set(b"k", b"v", 0, f"nobody@{where}") is None
    assert uwsgi.update(b"gone", b"v", -1, big) is True
    assert uwsgi.get(b"gone", big) is None
    assert uwsgi.update(b"later", b"v", 40_000_000, big) is True
    assert uwsgi.get(b"later", big) == b"v"
    assert uwsgi.clear(big) is True
    assert uwsgi.get(b"n", big) is None
    assert uwsgi.get(b"k", small) == b"12345678"


def test_keys_are_as_long_as_in_uwsgi(start_server, tmp_path):
    """The same calls to caches of a real uWSGI and of a Larder, with keys of every length near the limits."""
    caches = ["name=usual,items=50", "name=longer,items=50,keysize=3900", "name=shorter,items=50,keysize=300"]
    server = start_server(*(each for cache in caches for each in ("--cache2", cache)), "--uwsgi", "127.0.0.1:0")
    client = UwsgiClient(tmp_path, *caches)
    try:
        for cache, limit in [("usual", 2048), ("longer", 3900), ("shorter", 300)]:
            answers = []
            for where in [cache, f"{cache}@127.0.0.1:{server.addresses[1][1]}"]:
                calls = []
                for length in [1, 250, 251, 255, 256, 257, 300, 301, 2048, 2049, 3900, 3901]:
                    key = bytes(n * 7 % 256 for n in range(length))
                    calls.append([
                        client.get(key, where), client.set(key, b"v", 0, where), client.set(key, b"w", 0, where),
                        client.exists(key, where), client.get(key, where), client.update(key, b"12345678", 60, where),
                        client.get(key, where), client.num(key, where),
                        client("del", key, where), client("del", key, where), client.exists(key, where)])
                    assert (calls[-1][1] is True) == (length <= limit), (where, length, calls[-1])
                answers.append(calls)
            assert answers[0] == answers[1], cache
    finally:
        client.stop()


def test_the_longest_keys(start_server):
    server = start_server("--cache", "name=a,items=10,keysize=65535,listen=:0", "--uwsgi", "127.0.0.1:0")
    address, listener = server.addresses[1:]
    key = random.Random(4).randbytes(65_400)
    assert exchange(address, packet(17, dictionary(cmd=b"set", key=key, size=b"5"), b"HELLO")) == OK
    assert exchange(address, packet(17, dictionary(cmd=b"exists", key=key))) == OK
    assert exchange(address, packet(0, key)) == packet(0, b"HELLO")
    with Connection(listener) as watcher:
        assert watcher.ask(b"watch fetchers\r\n") == b"OK"
        middle = b"%n" * 1500
        assert exchange(address, packet(17, dictionary(cmd=b"get", key=middle))) != OK
        while not watcher.received.endswith(b"\n"):
            watcher._fill()
        line = bytes(watcher.received)
        # The first 255 bytes.
        assert b"key=" + b"%25n" * 127 + b"%25 status=not_found" in line, line
    with Connection(listener) as connection:
        assert connection.stats()["curr_items"] == "1"
        # No line of a memcached port has such a key.
        assert connection.ask(b"lru_crawler metadump all\r\n") == b"OK"
        assert connection.read_line() == b"END"
    assert exchange(address, packet(2, key)) == b""
    assert exchange(address, packet(17, dictionary(cmd=b"exists", key=key))) != OK


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_long_keys_outlive_the_process(start_server, tmp_path, end):
    path = tmp_path / "store"
    arguments = ["--cache", f"name=a,items=500,blocksize=100,store={path}", "--uwsgi", "127.0.0.1:0"]
    server = start_server(*arguments)
    keys = [random.Random(n).randbytes(length) for n, length in enumerate([8, 250, 255, 256, 1000, 2048] * 20)]

    def ask(command, key, value=b""):
        fields = {"cmd": command, "key": key} | ({"size": b"%d" % len(value)} if value else {})
        return exchange(server.addresses[1], packet(17, dictionary(**fields), value))

    def versions():
        data = path.read_bytes()
        return [int.from_bytes(data[place + 8:place + 12], "little") for place in [0, len(data) - 4096]]

    for key in keys:
        if len(key) < 256:
            assert ask(b"set", key, b"v" + key[:50]) == OK
    # An older Larder opens the file until a long key is in it.
    assert versions() == [2, 2]
    for key in keys:
        if len(key) > 255:
            assert ask(b"set", key, b"v" + key[:50]) == OK
    assert versions() == [3, 3]
    server.kill() if end == "kill" else server.stop()
    server = start_server(*arguments)
    for key in keys:
        assert ask(b"get", key).endswith(b"v" + key[:50]), len(key)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["store"]


def test_memcached_clients_see_the_same_items(uwsgi, start_server):
    server = start_server("--cache", "name=a,items=100,listen=:0", "--uwsgi", "127.0.0.1:0")
    _, (_, port), a = server.addresses
    assert uwsgi.update(b"k", b"v", 0, f"a@127.0.0.1:{port}") is True
    assert uwsgi.update(b"k", b"main", 0, f"default@127.0.0.1:{port}") is True
    with Connection(a) as connection, server.connect() as main:
        assert connection.get(b"k") == b"v"
        assert connection.set(b"k", b"w") == b"STORED"
        assert main.get(b"k") == b"main"
    assert uwsgi.get(b"k", f"a@127.0.0.1:{port}") == b"w"


def test_several_places(uwsgi, start_server, tmp_path):
    """Each listener serves each cache. A port alone is on loopback."""
    ports, paths = [free_port(), free_port()], [str(tmp_path / name) for name in ["first", "second"]]
    places = [str(ports[0]), f"127.0.0.1:{ports[1]}", *paths]
    start_server(*CACHES, *(each for place in places for each in ("--uwsgi", place)), threads=2)
    places[0] = f"127.0.0.1:{ports[0]}"
    for number, place in enumerate(places):
        for name in ["big", "small"]:
            key = b"%d-%b" % (number % 2, name.encode())
            assert uwsgi.update(key, b"%d" % number, 0, f"{name}@{place}") is True
            for other in places:
                assert uwsgi.get(key, f"{name}@{other}") == b"%d" % number
                assert uwsgi.get(key, f"default@{other}") is None


def test_expired_items_are_not_found(uwsgi, start_server):
    server = start_server(*CACHES, "--uwsgi", "127.0.0.1:0")
    cache = "big@127.0.0.1:%d" % server.addresses[1][1]
    assert uwsgi.set(b"k", b"v", 1, cache) is True
    poll(lambda: uwsgi.exists(b"k", cache) is None, "the item expires", 10, interval=0.05)
    assert uwsgi.set(b"k", b"v", 0, cache) is True


def test_stalled_packets_harm_nobody(start_server):
    server = start_server(*CACHES, "--uwsgi", "127.0.0.1:0", threads=1)
    address = server.addresses[1]
    request = packet(17, dictionary(cmd=b"set", key=b"k", size=b"100000"), bytes(100_000))
    stalled = [Connection(address) for _ in range(50)]
    try:
        for number, connection in enumerate(stalled):
            connection.send(request[:number * 1000 + 1])
        assert exchange(address, packet(17, dictionary(cmd=b"exists", key=b"k"))) != OK
        assert exchange(address, request) == OK
        assert exchange(address, packet(17, dictionary(cmd=b"exists", key=b"k"))) == OK
    finally:
        for connection in stalled:
            connection.close()
    poll(lambda: int(server.stats("larder")["request_bytes"]) == 0, "their memory is given back")


@pytest.mark.parametrize("arguments, word", [
    (["--uwsgi", "0.0.0.0:0"], "--uwsgi-open"), (["--uwsgi", "*:0"], "--uwsgi-open"),
    (["--uwsgi", "[::]:0"], "--uwsgi-open"), (["--uwsgi", "127.0.0.1:0", "-S", "-Y", "USERS"], "-S"),
    (["--uwsgi", "127.0.0.1:0", "-Y", "USERS"], "-Y"), (["--uwsgi", "./socket", "-Z"], "-Z"),
    (["--uwsgi", "here"], "--uwsgi"), (["--uwsgi", ""], "--uwsgi"), (["--uwsgi", "127.0.0.1:70000"], "--uwsgi"),
])
def test_refused_at_start(tmp_path, arguments, word):
    users = tmp_path / "users"
    users.write_text("name:password\n")
    given = [str(users) if each == "USERS" else each for each in arguments]
    result = run("-p", "0", *given)
    assert result.returncode == 64, result
    assert word in result.stderr and "--uwsgi" in result.stderr, result.stderr


def test_a_trusted_network(start_server, tmp_path):
    users = tmp_path / "users"
    users.write_text("name:password\n")
    server = start_server(*CACHES, "--uwsgi", "0.0.0.0:0", "--uwsgi-open", "-Y", users, login=(b"name", b"password"))
    address = server.addresses[1]
    assert exchange(address, packet(17, dictionary(cmd=b"update", key=b"k", size=b"1"), b"v")) == OK
    assert exchange(address, packet(17, dictionary(cmd=b"exists", key=b"k"))) == OK
