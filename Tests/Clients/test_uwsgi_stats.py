"""--stats: uWSGI's statistics, as its tools read them."""

import json
import os

import pytest

from server import Connection, free_port, poll, run

FIELDS = "name hash hashsize keysize max_items blocks blocksize items hits miss full last_modified_at".split()
CACHES = ["--cache", "name=big,items=100,bitmap=1,blocksize=64,lastmod=1,listen=:0",
          "--cache", 'name=a"b,items=2,blocksize=100,listen=:0']


def read(address):
    """Reads the statistics to the end of the connection, as uwsgicachetop and uwsgitop do."""
    with Connection(address) as connection:
        return json.loads(connection.read_until_closed())


@pytest.fixture
def server(start_server):
    """With `statistics`, the address of the listener."""
    port = free_port()
    server = start_server(*CACHES, "--stats", f"127.0.0.1:{port}", threads=2)
    server.statistics = ("127.0.0.1", port)
    return server


def use(server):
    """Requests to each cache; returns how many."""
    count = 0
    for place, number in zip(server.addresses, [3, 5, 7], strict=True):
        with Connection(place) as connection:
            for key in range(number):
                connection.set(b"%d" % key, b"1")
                connection.get(b"%d" % key)
                connection.get(b"missing")
            connection.ask(b"delete 0\r\n")
            connection.ask(b"incr 1 1\r\n")
            connection.ask(b"touch missing 0\r\n")
            count += 3 * number + 3
    return count


def test_each_cache_has_the_fields_of_stats_caches(server):
    use(server)
    told = server.stats("caches")
    answer = read(server.statistics)
    assert [cache["name"] for cache in answer["caches"]] == ["default", "big", 'a"b']
    for cache in answer["caches"]:
        assert list(cache) == FIELDS
        for field, value in cache.items():
            assert str(value) == told[f"{cache['name']}:{field}"], (cache["name"], field)
            assert isinstance(value, str if field in ("name", "hash") else int)
    _, big, small = answer["caches"]
    assert (big["items"], big["hits"], big["miss"], big["full"]) == (4, 5, 6, 0)
    assert (big["hash"], big["hashsize"], big["keysize"], big["max_items"]) == ("djb33x", 65536, 2048, 100)
    assert (big["blocks"], big["blocksize"]) == (100, 64) and big["last_modified_at"] > 0
    assert (small["items"], small["full"]) == (1, 5)


def test_the_workers_and_the_process(server):
    count = use(server)
    answer = read(server.statistics)
    assert list(answer) == ["version", "listen_queue", "pid", "uid", "gid", "cwd", "caches", "workers"]
    assert answer["pid"] == server.process.pid
    assert (answer["uid"], answer["gid"]) == (os.getuid(), os.getgid())
    assert answer["cwd"] == os.path.realpath(server.directory)
    assert [worker["id"] for worker in answer["workers"]] == [1, 2]
    assert sum(worker["requests"] for worker in answer["workers"]) == count
    assert all(worker["pid"] == server.process.pid for worker in answer["workers"])
    assert sum(worker["tx"] for worker in answer["workers"]) > 10 * count
    # The other fields of a worker that uwsgitop reads.
    for worker in answer["workers"]:
        assert worker["status"] == "idle" and worker["last_spawn"] > 1_500_000_000
        for field in ["exceptions", "avg_rt", "rss", "vsz", "respawn_count", "harakiri_count", "running_time"]:
            assert isinstance(worker[field], int)


def test_clients_that_never_read_harm_nobody(start_server):
    port = free_port()
    # With so many caches the answer is larger than the socket's buffer.
    many = [argument for number in range(400)
            for argument in ("--cache", f"name=cache-{number:03},items=1,blocksize=1,listen=unix:s{number}")]
    server = start_server(*many, "--stats", str(port), threads=1)
    address = ("127.0.0.1", port)
    before = server.descriptor_count()
    silent = [Connection(address, receive_buffer=1024) for _ in range(200)]
    try:
        poll(lambda: server.descriptor_count() > before, "some of them have an answer that they do not read")
        with server.connect() as connection:
            for _ in range(20):
                assert len(read(address)["caches"]) == 401
                assert connection.set(b"k", b"v") == b"STORED"
        # The server closes these clients although they are still connected, so they hold no memory.
        poll(lambda: server.descriptor_count() <= before, "those that do not read are closed", 20, interval=0.05)
    finally:
        for connection in silent:
            connection.close()
    server.assert_alive()


def test_what_a_client_sends_is_ignored(server):
    for request in [b"GET / HTTP/1.0\r\n\r\n", b"x" * 1000, b"\x6f\0\0\0"]:
        with Connection(server.statistics) as connection:
            try:
                connection.send(request)
            except (BrokenPipeError, ConnectionResetError):
                pass
            assert json.loads(connection.read_until_closed())["pid"] == server.process.pid


def test_a_client_that_leaves_at_once(server):
    for _ in range(100):
        Connection(server.statistics).reset()
    assert read(server.statistics)["pid"] == server.process.pid


def test_several_places_and_a_socket_file(start_server, tmp_path):
    port, path = free_port(), str(tmp_path / "statistics")
    server = start_server("--stats", str(port), "--stats", path, "--admin", free_port())
    for address in [("127.0.0.1", port), path]:
        assert read(address)["caches"][0]["name"] == "default"
    # The line comes after the first client is accepted.
    poll(lambda: f"uWSGI's statistics at tcp:127.0.0.1:{port}" in server.stderr and f"unix:{path}" in server.stderr,
         lambda: server.stderr)


@pytest.mark.parametrize(("arguments", "word"), [
    (["--stats", "0.0.0.0:0"], "--uwsgi-open"), (["--stats", "*:0"], "--uwsgi-open"),
    (["--stats", "[::]:0"], "--uwsgi-open"), (["--stats", "127.0.0.1:0", "-S", "-Y", "USERS"], "-S"),
    (["--stats", "127.0.0.1:0", "-Y", "USERS"], "-Y"), (["--stats", "./socket", "-Z"], "-Z"),
    (["--stats", "here"], "socket file"), (["--stats", ""], "socket file"),
    (["--stats", "127.0.0.1:70000"], "socket file"),
])
def test_refused_at_start(tmp_path, arguments, word):
    users = tmp_path / "users"
    users.write_text("name:password\n")
    result = run("-p", "0", *(str(users) if each == "USERS" else each for each in arguments))
    assert result.returncode == 64, result
    assert word in result.stderr and "--stats" in result.stderr, result.stderr


def test_a_place_that_is_taken(start_server):
    port = start_server().port
    result = run("-p", "-1", "--stats", f"127.0.0.1:{port}")
    assert (result.returncode, result.stderr) == (
        71, f"--stats 127.0.0.1:{port}: failed to listen: Address already in use\n")


def test_a_trusted_network(start_server, tmp_path):
    users = tmp_path / "users"
    users.write_text("name:password\n")
    port = free_port()
    start_server("--stats", f"0.0.0.0:{port}", "--uwsgi-open", "-Y", users, login=(b"name", b"password"))
    assert read(("127.0.0.1", port))["workers"]
