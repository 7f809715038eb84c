"""A real uWSGI as client of each command, with binary keys and values of 1 byte to 1 MiB, and its expiry times."""

import hashlib
import random
import time

import pytest

from server import Connection, free_port
from uwsgi_client import UwsgiClient, remote

MEBIBYTE = 1 << 20
SIZES = sorted({size + near for size in [1 << power for power in range(21)] for near in [-1, 0, 1]} - {0, MEBIBYTE + 1})


@pytest.fixture(scope="module")
def uwsgi(tmp_path_factory):
    client = UwsgiClient(tmp_path_factory.mktemp("uwsgi"))
    yield client
    client.stop()


@pytest.fixture(params=["tcp-1", "tcp-4", "unix-4"])
def place(request, start_server, tmp_path):
    """The cache as uWSGI's functions name it, and its address for clients of memcached."""
    port, path = free_port(), str(tmp_path / "uwsgi.sock")
    listener = path if request.param.startswith("unix") else f"127.0.0.1:{port}"
    server = start_server(
        "--cache", "name=big,items=1000,bitmap=1,blocksize=4k,blocks=20000,max_item_size=1m,listen=:0",
        "--uwsgi", listener, threads=request.param[-1])
    return f"big@{listener}", next(each for each in server.addresses[1:] if each[1] != port)


def call(uwsgi, function, keys, *arguments):
    """The results of a function of the uWSGI for each key. The last argument is the cache."""
    text = "".join(f", {each!r}" for each in arguments)
    return uwsgi.evaluate(f"[uwsgi.cache_{function}(key{text}) for key in {keys!r}]")


def hashes(uwsgi, keys, cache):
    return uwsgi.evaluate(
        "(hashlib := __import__('hashlib')) and [(value := uwsgi.cache_get(key, %r)) and "
        "hashlib.sha256(value).hexdigest() for key in %r]" % (cache, keys))


def test_keys_of_any_bytes(uwsgi, place):
    """Each function of uWSGI with each key, where the keys differ in one byte, and one is another's beginning."""
    cache, _ = place
    keys = [bytes([byte]) for byte in range(256)]
    keys += [b"big@127.0.0.1:1", b"key\0", b"key\0\0", b"key", b"cmd\3\0get", b"\r\nflush_all\r\n"]
    keys += [b"x" * 249, b"x" * 250]
    keys += [b"%b%c" % (b"\xff" * 249, byte) for byte in range(256)]
    everywhere, nowhere = [True] * len(keys), [None] * len(keys)
    assert call(uwsgi, "get", keys, cache) == call(uwsgi, "exists", keys, cache) == nowhere
    assert uwsgi.evaluate(
        f"[uwsgi.cache_set(key, key[::-1] + bytes([number % 256]), 0, {cache!r}) "
        f"for number, key in enumerate({keys!r})]") == everywhere
    assert call(uwsgi, "set", keys, b"other", 0, cache) == nowhere
    assert call(uwsgi, "exists", keys, cache) == everywhere
    expected = [hashlib.sha256(key[::-1] + bytes([number % 256])).hexdigest() for number, key in enumerate(keys)]
    assert hashes(uwsgi, keys, cache) == expected
    assert call(uwsgi, "update", keys[::2], b"updated", 0, cache) == everywhere[::2]
    expected[::2] = [hashlib.sha256(b"updated").hexdigest()] * len(keys[::2])
    assert hashes(uwsgi, keys, cache) == expected
    assert call(uwsgi, "del", keys[::3], cache) == everywhere[::3]
    assert call(uwsgi, "del", keys[::3], cache) == nowhere[::3]
    expected[::3] = nowhere[::3]
    assert hashes(uwsgi, keys, cache) == expected
    # Over the network each of these is an update with the number's eight bytes.
    for function, number in [("inc", 5), ("dec", -6), ("mul", 1 << 62), ("div", -(1 << 63))]:
        assert call(uwsgi, function, keys, number, 0, cache) == everywhere
        assert call(uwsgi, "num", keys, cache) == [number] * len(keys)
    assert uwsgi.clear(cache) is True
    assert call(uwsgi, "exists", keys, cache) == nowhere


def test_values_of_each_size(uwsgi, place):
    """Stored and read by uWSGI, and the other way round by a client of memcached."""
    cache, address = place
    seed = random.randrange(1 << 32)
    print("seed", seed)
    numbers = random.Random(seed)
    keys = [b"key-%d" % size for size in SIZES]
    with Connection(address) as client:
        for size, key in zip(SIZES, keys, strict=True):
            value, other = numbers.randbytes(size), numbers.randbytes(size)
            assert uwsgi.set(key, value, 0, cache) is True
            assert uwsgi.get(key, cache) == value
            assert client.get(key) == value
            assert client.set(key, other) == b"STORED"
            assert uwsgi.get(key, cache) == other
            assert uwsgi.update(key, value, 0, cache) is True
            assert client.get(key) == value
        assert call(uwsgi, "exists", keys, cache) == [True] * len(keys)
        # One byte more than a value may have: the one before stays.
        assert uwsgi.update(keys[-1], bytes(MEBIBYTE + 1), 0, cache) is None
        assert client.get(keys[-1]) == value
        assert uwsgi.set(b"new", bytes(MEBIBYTE + 1), 0, cache) is None
        assert uwsgi.exists(b"new", cache) is None


@pytest.mark.parametrize("place", ["tcp-1"], indirect=True)
def test_expiry_of_each_function(uwsgi, place):
    """A number of seconds from now, also where memcached would take it for a time of the year 1970."""
    cache, address = place
    port = int(cache.rpartition(":")[2])
    with Connection(address) as client:
        for function in ["set", "update", "inc", "dec", "mul", "div"]:
            for seconds in [1000, 2_592_000, 2_592_001, 100_000_000]:
                key = b"%b-%d" % (function.encode(), seconds)
                value = 5 if function in ["inc", "dec", "mul", "div"] else b"value"
                before = int(time.time())
                assert uwsgi(function, key, value, seconds, cache) is True
                _, expires = remote(port, key, b"big")
                assert before + seconds <= expires <= time.time() + seconds + 1
                left = int(client.ask(b"mg %b t\r\n" % key).removeprefix(b"HD t"))
                assert abs(before + seconds - time.time() - left) <= 2
                # Without seconds it has none any more.
                assert uwsgi.update(key, b"value", 0, cache) is True
                assert remote(port, key, b"big") == (b"value", 0)
            assert uwsgi(function, b"gone", value, -1, cache) is True
            assert uwsgi.get(b"gone", cache) is None
            assert client.get(b"gone") is None
