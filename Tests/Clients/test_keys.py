"""Lists of keys by prefix, page by page: `lru_crawler scan`, `larder keys --cursor`, and the admin listener."""

import base64
import json
import random
import re
import threading
import urllib.parse

import pytest

from admin import Admin
from test_subcommands import larder, told

pytestmark = pytest.mark.larder_only


def fill(server, keys):
    with server.connect() as connection:
        for start in range(0, len(keys), 1000):
            part = keys[start:start + 1000]
            connection.send(b"".join(b"set %b 0 0 1 noreply\r\nx\r\n" % key for key in part))
            assert connection.ask(b"mn\r\n") == b"MN"


def page(connection, cursor, keys_max, prefix=b""):
    """The keys of one page, decoded, and the next cursor."""
    connection.send(b"lru_crawler scan %d %d %b\r\n" % (cursor, keys_max, prefix))
    # As in metadump, the line of a key ends with a line feed alone.
    *lines, end = connection.read_line().split(b"\n")
    for line in lines:
        assert re.fullmatch(rb"key=\S+ exp=-?\d+ la=\d+ cas=\d+ fetch=(yes|no) cls=1 size=\d+ flags=\d+ ", line)
    assert (found := re.fullmatch(rb"CURSOR (\d+)", end)), end
    assert connection.read_line() == b"END"
    return [urllib.parse.unquote_to_bytes(line[4:].split(b" ")[0]) for line in lines], int(found[1])


def pages(connection, keys_max, prefix=b"", between=lambda: None):
    cursor, keys = 0, []
    while True:
        found, cursor = page(connection, cursor, keys_max, prefix)
        assert len(found) <= keys_max
        keys += found
        if cursor == 0:
            return keys
        assert len(found) == keys_max
        between()


class TestText:
    @pytest.mark.parametrize("threads", [1, 4])
    def test_each_key_is_listed_once_while_others_write(self, start_server, threads):
        seed = random.randrange(1 << 32)
        print("seed", seed)
        chosen = random.Random(seed)
        server = start_server("-m", 256, threads=threads)
        kept = [b"kept:%d" % number for number in range(30_000)]
        fill(server, kept)
        ended, failures = threading.Event(), []

        def write():
            try:
                number = 0
                with server.connect() as connection:
                    while not ended.is_set():
                        lines = [b"set new:%d 0 0 1\r\nx\r\n" % (number + place) for place in range(100)]
                        connection.send(b"".join(lines))
                        assert connection.read_exactly(800) == b"STORED\r\n" * 100
                        number += 100
            except Exception as failure:
                failures.append(failure)

        writer = threading.Thread(target=write)
        writer.start()
        try:
            with server.connect() as connection:
                keys = pages(connection, chosen.choice([97, 1000, 4096]), b"kept:")
        finally:
            ended.set()
            writer.join()
        assert not failures
        assert sorted(keys) == sorted(kept)

    @pytest.mark.parametrize("keys_max", [1, 2, 7, 1000, 4_294_967_295])
    def test_pages_of_any_size(self, start_server, keys_max):
        server = start_server()
        keys = [b"user:%d" % number for number in range(500)]
        fill(server, keys + [b"other:%d" % number for number in range(500)])
        with server.connect() as connection:
            assert sorted(pages(connection, keys_max, b"user:")) == sorted(keys)
            assert len(pages(connection, keys_max)) == 1000
            assert pages(connection, keys_max, b"none") == []

    def test_a_prefix_may_have_any_bytes(self, start_server):
        server = start_server()
        with server.connect() as connection:
            for key in [b"a b", b"a\x00\xff", b"a%20", b"ab"]:
                assert connection.ask(b"ms %b 1 b\r\nx\r\n" % base64.b64encode(key)) == b"HD"
            assert pages(connection, 10, b"a%20") == [b"a b"]
            assert pages(connection, 10, b"a%00%fF") == [b"a\x00\xff"]
            assert pages(connection, 10, b"a%2520") == [b"a%20"]

    def test_wrong_lines(self, start_server):
        server = start_server()
        with server.connect() as connection:
            for arguments in [b"", b" 0", b" 0 1 a b"]:
                assert connection.ask(b"lru_crawler scan%b\r\n" % arguments) == b"ERROR"
            for arguments in [b"x 1", b"-1 1", b"18446744073709551616 1", b"0 0", b"0 x", b"0 4294967296", b"0 1 %",
                              b"0 1 %1", b"0 1 %zz"]:
                answer = connection.ask(b"lru_crawler scan %b\r\n" % arguments)
                assert answer == b"CLIENT_ERROR bad command line format", arguments
            assert page(connection, 2 ** 64 - 1, 10) == ([], 0)

    def test_not_allowed(self, start_server):
        with start_server("-X").connect() as connection:
            assert connection.ask(b"lru_crawler scan 0 10\r\n") == b"ERROR metadump not allowed"


class TestCommand:
    def test_pages(self, start_server):
        server = start_server()
        fill(server, [b"user:%d" % number for number in range(1000)] + [b"other"])
        keys, cursor = [], b"0"
        while True:
            done = larder("keys", "-p", server.port, "user:", "--limit", 64, "--cursor", cursor)
            assert done.returncode == 0
            part = done.stdout.split()
            keys += part
            assert (found := re.fullmatch(rb"larder keys: the next cursor is (\d+)\n", done.stderr)), done.stderr
            cursor = found[1]
            if cursor == b"0":
                break
            assert len(part) == 64
        assert sorted(keys) == sorted(b"user:%d" % number for number in range(1000))

    def test_more_keys_than_a_page_of_the_server_has(self, start_server):
        server = start_server()
        keys = [b"key-%d" % number for number in range(25_000)]
        fill(server, keys)
        assert sorted(told(larder("keys", "-p", server.port)).split()) == sorted(keys)
        assert len(set(told(larder("keys", "-p", server.port, "--limit", 20_001)).split())) == 20_001

    def test_a_prefix_that_no_key_has(self, start_server):
        server = start_server()
        assert told(larder("keys", "-p", server.port, "x" * 5000)) == b""

    def test_words(self, start_server):
        done = larder("keys", "--cursor", "x")
        assert done.returncode != 0 and b"--cursor takes a number" in done.stderr


class TestAdmin:
    def keys(self, admin, query):
        status, body, _ = admin.ask(f"/keys.json?{query}")
        return status, json.loads(body)

    def test_pages(self, start_server):
        admin = Admin(start_server, "--cache", "name=pages,items=1000,listen=:0")
        fill(admin.server, [b"user:%d" % number for number in range(700)] + [b"other:%d" % number for number in range(9)])
        found, cursor = [], "0"
        while cursor is not None:
            status, answer = self.keys(admin, f"prefix=user%3A&limit=50&cursor={cursor}")
            assert status == 200
            cursor = answer["cursor"]
            assert len(answer["keys"]) == 50 or cursor is None
            found += answer["keys"]
        assert sorted(found) == sorted("user%%3A%d" % number for number in range(700))
        assert self.keys(admin, "cache=pages") == (200, {"keys": [], "cursor": None})
        assert len(self.keys(admin, "")[1]["keys"]) == 100
        with admin.server.connect() as connection:
            assert connection.stats()["get_hits"] == "0"

    def test_wrong_queries(self, start_server):
        admin = Admin(start_server)
        for query in ["limit=0", "limit=1001", "limit=x", "limit=+1", "limit=", "cursor=-1", "cursor=x",
                      "cursor=18446744073709551616", "prefix=" + "x" * 251, "prefix=%"]:
            assert self.keys(admin, query)[0] == 400, query
        assert self.keys(admin, "cache=none") == (404, {"error": "there is no such cache"})
        assert self.keys(admin, "cursor=18446744073709551615") == (200, {"keys": [], "cursor": None})

    def test_not_allowed(self, start_server):
        admin = Admin(start_server, "-X", "-o", "hot_keys")
        assert self.keys(admin, "")[0] == 403
        assert json.loads(admin.ask("/status.json")[1])["hot_keys"] is None

    def test_hot_keys_and_prefixes(self, start_server):
        admin = Admin(start_server, "-o", "hot_keys", "-D", ":", threads=1)
        with admin.server.connect() as connection:
            for number in range(300):
                connection.get(b"hot:key")
                connection.get(b"cold:%d" % (number % 10))
        status = json.loads(admin.ask("/status.json")[1])
        assert status["hot_keys"][0]["key"] == "hot%3Akey" and status["hot_keys"][0]["per_second"] > 0
        assert {"prefix": "hot", "gets": 300, "hits": 0, "sets": 0, "deletes": 0} in status["prefixes"]
        plain = json.loads(Admin(start_server).ask("/status.json")[1])
        assert plain["hot_keys"] is None and plain["prefixes"] is None
