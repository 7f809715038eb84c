"""The console of --admin: its files, and the documents that its page asks for."""

import base64
import json
import re
import urllib.parse

import pytest

from admin import Admin
from server import Connection, poll

FILES = {
    "/": "text/html; charset=utf-8", "/console.js": "text/javascript; charset=utf-8",
    "/charts.js": "text/javascript; charset=utf-8", "/format.js": "text/javascript; charset=utf-8",
    "/console.css": "text/css; charset=utf-8", "/icon.svg": "image/svg+xml; charset=utf-8",
    "/status.json": "application/json", "/key.json?key=x": "application/json", "/keys.json": "application/json",
}


@pytest.fixture
def admin(start_server):
    return Admin(start_server)


def status_of(admin, query=""):
    status, body, _ = admin.ask(f"/status.json{query}")
    assert status == 200, body
    return json.loads(body)


def search(admin, key, cache="default"):
    """Status and document of a search for a key."""
    query = urllib.parse.urlencode({"cache": cache, "key": key}, quote_via=urllib.parse.quote)
    status, body, _ = admin.ask(f"/key.json?{query}")
    return status, json.loads(body)


class TestFiles:
    @pytest.mark.parametrize("path", FILES)
    def test_headers(self, admin, path):
        status, body, headers = admin.ask(path)
        assert status == 200 and body
        assert headers["Content-Type"] == FILES[path]
        assert headers["Content-Security-Policy"] == "default-src 'self'"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"

    @pytest.mark.parametrize("path", FILES)
    def test_head_has_no_body(self, admin, path):
        with Connection(("127.0.0.1", admin.port)) as connection:
            connection.send(f"HEAD {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            answer = connection.read_until_closed()
        assert answer.startswith(b"HTTP/1.1 200 ") and answer.endswith(b"\r\n\r\n")
        assert int(re.search(rb"\r\nContent-Length: (\d+)\r\n", answer)[1]) > 0

    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
    def test_nothing_can_be_sent(self, admin, method):
        for path in FILES:
            status, _, headers = admin.ask(path, method)
            assert status == 405 and headers["Allow"] == "GET, HEAD", path

    def test_other_pages_have_the_policy_too(self, admin):
        for path in ["/metrics", "/healthz", "/readyz", "/nothing"]:
            assert admin.ask(path)[2]["Content-Security-Policy"] == "default-src 'self'", path

    def test_the_page_keeps_to_its_policy(self, admin):
        page = admin.ask("/")[1]
        assert not re.search(r"<style| style=| on\w+=|<script(?! type=\"module\" src=)", page)
        assert re.findall(r"(?:src|href)=\"([^\"]*)\"", page) and "//" not in "".join(
            re.findall(r"(?:src|href)=\"([^\"]*)\"", page))
        for path in ["/console.js", "/charts.js", "/format.js"]:
            script = admin.ask(path)[1]
            assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|\.style\b", script), path
            assert set(re.findall(r"https?://[^\"`]*", script)) <= {"http://www.w3.org/2000/svg"}, path


class TestStatus:
    def test_agrees_with_stats(self, admin):
        with admin.server.connect() as connection:
            for number in range(20):
                assert connection.set(b"key-%d" % number, b"x" * 1000) == b"STORED"
            for number in range(15):
                assert connection.get(b"key-%d" % number)
            assert connection.get(b"none") is None
            status = status_of(admin)
            stats = connection.stats()
        (cache,) = status["caches"]
        assert status["caches_left_out"] == 0 and cache["file"] is None
        assert [cache["name"], cache["items"], cache["gets"], cache["sets"], cache["hits"], cache["misses"]] == [
            "default", 20, 16, 20, 15, 1]
        for name, statistic in {"bytes": "bytes", "limit_bytes": "limit_maxbytes", "evictions": "evictions",
                                "expirations": "reclaimed"}.items():
            assert cache[name] == int(stats[statistic]), name
        assert status["pid"] == admin.server.process.pid and status["not_ready"] is None
        assert status["connections"]["current"] == int(stats["curr_connections"])
        assert status["monotonic_ms"] > 0 and status["cpu_us"] > 0

    def test_memory(self, start_server):
        admin = Admin(start_server, "-m", 64)
        with admin.server.connect() as connection:
            for number in range(500):
                assert connection.set(b"forever-%d" % number, b"x" * 4000) == b"STORED"
                assert connection.set(b"hour-%d" % number, b"x" * 2000, exptime=3600) == b"STORED"
            assert connection.set(b"large", b"x" * 1_000_000) == b"STORED"
        memory = status_of(admin)["memory"]
        parts = ["live_bytes", "hole_bytes", "free_bytes", "limbo_bytes", "index_bytes", "metadata_bytes"]
        assert sum(memory[part] for part in parts) == memory["arena_bytes"]
        slabs = memory["arena_bytes"] // memory["slab_bytes"]
        assert len(memory["map"]) == -(-slabs // memory["slabs_per_cell"])
        assert set("MI.") < set(memory["map"]) <= set("MI.oRr~+0123456789")
        assert set("o56789R") & set(memory["map"])
        *ending, forever = memory["time_buckets"]
        assert forever["ends_in_ms"] is None and forever["bytes"] > 500 * 4000 + 1_000_000
        assert sum(bucket["bytes"] for bucket in ending) > 500 * 2000
        assert all(3_500_000 < bucket["ends_in_ms"] < 20_000_000 for bucket in ending), ending
        assert sum(bucket["bytes"] for bucket in memory["time_buckets"]) == memory["live_bytes"]

    def test_a_cache_may_be_named(self, start_server):
        admin = Admin(start_server, "--cache", "name=pages,items=100,listen=:0")
        assert [cache["name"] for cache in status_of(admin)["caches"]] == ["default", "pages"]
        assert status_of(admin)["memory"]["cache"] == "default"
        assert status_of(admin, "?cache=pages")["memory"]["cache"] == "pages"
        assert status_of(admin, "?cache=%70ages&x")["memory"]["cache"] == "pages"
        for query in ["?cache=none", "?cache=", "?cache=pages%00", "?cache=%3Cscript%3E"]:
            status, body, _ = admin.ask("/status.json" + query)
            assert (status, json.loads(body)) == (404, {"error": "there is no such cache"}), query
        for query in ["?cache=%", "?cache=%1", "?cache=%zz", "?%=x"]:
            assert admin.ask("/status.json" + query)[0] == 400, query

    def test_a_hostile_name(self, start_server):
        name = "a\"<b>&'"
        admin = Admin(start_server, "--cache", f"name={name},items=100,listen=:0")
        assert [cache["name"] for cache in status_of(admin)["caches"]] == ["default", name]
        assert status_of(admin, "?cache=" + urllib.parse.quote(name))["memory"]["cache"] == name

    def test_its_length_is_bounded(self, start_server):
        caches = [word for number in range(70) for word in ("--cache", f"name=cache-{number},items=10")]
        admin = Admin(start_server, "-m", 8192, *caches)
        clients = [admin.server.connect() for _ in range(60)]
        for number, client in enumerate(clients):
            # A time bucket for each.
            assert client.set(b"key-%d" % number, b"x", exptime=4 ** (1 + number // 5) + number) == b"STORED"
        text = admin.ask("/status.json")[1]
        status = json.loads(text)
        assert len(status["caches"]) == 64 and status["caches_left_out"] == 71 - 64
        assert len(status["clients"]) == 50 and status["connections"]["current"] >= 60
        assert 1 < status["memory"]["slabs_per_cell"] and len(status["memory"]["map"]) <= 1024
        buckets = status["memory"]["time_buckets"]
        assert len(buckets) <= 25
        assert len(text) < 64 << 10
        for client in clients:
            client.close()

    def test_clients(self, admin):
        with admin.server.connect() as connection:
            assert connection.set(b"key", b"value") == b"STORED"
            own = "tcp:%s:%d" % connection.socket.getsockname()

            def silent():
                client = next(client for client in status_of(admin)["clients"] if client["address"] == own)
                assert client["listener"] == f"tcp:127.0.0.1:{admin.server.port}"
                return client["state"] == "reading" and 0 <= client["silent_ms"] < 60_000

            poll(silent, "silent")

    def test_durations(self, start_server):
        admin = Admin(start_server, threads=1)
        with admin.server.connect() as connection:
            for _ in range(600):
                assert connection.get(b"key") is None
        durations = status_of(admin)["durations"]
        assert durations["timed_one_in"] == 64
        assert sum(durations["counts"]["get"]) >= 8
        assert all(len(counts) == len(durations["bounds_ns"]) + 1 for counts in durations["counts"].values())


HOSTILE_KEYS = [
    b"<script>alert(1)</script>", b'"\\\'`{}', b"%00%41", b"a+b&c=d;e#f?g/h", b"\x80\xff\xfe", "schlüssel-€-😀".encode(),
    b"x" * 250, b"</title><img/src=x/onerror=alert(1)>", b"\x01\x1b[31m",
]


class TestSearch:
    def test_an_item(self, admin):
        with admin.server.connect() as connection:
            assert connection.set(b"key", b"value", flags=4_294_967_295, exptime=1000) == b"STORED"
            unique = connection.ask(b"mg key c\r\n").split()[1][1:].decode()
        status, item = search(admin, b"key")
        assert status == 200 and 990_000 < item.pop("expires_in_ms") <= 1_000_000
        assert 0 <= item.pop("seconds_since_access") < 60 and item.pop("memory_bytes") >= len("keyvalue")
        assert item == {
            "found": True, "value_bytes": 5, "flags": 4_294_967_295, "cas": unique, "was_fetched": True,
            "is_stale": False, "is_win_sent": False, "key_is_binary": False}

    def test_no_item(self, admin):
        assert search(admin, b"none") == (200, {"found": False})
        with admin.server.connect() as connection:
            assert connection.set(b"key", b"value", exptime=-1) == b"STORED"
            assert search(admin, b"key") == (200, {"found": False})
            assert connection.set(b"key", b"value") == b"STORED"
            assert search(admin, b"key")[1]["expires_in_ms"] is None
            assert connection.ask(b"flush_all\r\n") == b"OK"
            assert search(admin, b"key") == (200, {"found": False})

    @pytest.mark.parametrize("key", HOSTILE_KEYS, ids=range(len(HOSTILE_KEYS)))
    def test_hostile_keys(self, admin, key):
        assert search(admin, key) == (200, {"found": False})
        with admin.server.connect() as connection:
            if len(key) == 250:
                assert connection.set(key, b"value") == b"STORED"
            else:
                assert connection.ask(b"ms %b 5 b\r\nvalue\r\n" % base64.b64encode(key)).startswith(b"HD")
        status, item = search(admin, key)
        assert status == 200 and item["found"] and item["value_bytes"] == 5
        assert item["key_is_binary"] == (len(key) < 250)

    def test_zeros_blanks_and_plus(self, admin):
        with admin.server.connect() as connection:
            key = b"a\0b \r\n"
            assert connection.ask(b"ms %b 5 b\r\nvalue\r\n" % base64.b64encode(key)).startswith(b"HD")
            assert search(admin, key)[1]["found"]
            assert connection.set(b"a+b", b"value") == b"STORED"
            assert json.loads(admin.ask("/key.json?key=a+b")[1])["found"]

    def test_no_key(self, admin):
        for query in ["", "?key=", "?cache=default", "?key", "?key=" + "x" * 251, "?key=" + "%41" * 2000]:
            status, body, _ = admin.ask("/key.json" + query)
            assert status == 400 and "1 to 250 bytes" in json.loads(body)["error"], query[:20]
        for query in ["?key=%", "?key=%4", "?key=%g0", "?key=%-1"]:
            assert admin.ask("/key.json" + query)[0] == 400, query
        assert search(admin, b"key", cache="none")[0] == 404

    def test_is_no_use_of_the_item(self, admin):
        with admin.server.connect() as connection:
            assert connection.set(b"key", b"value") == b"STORED"
            before = connection.stats()
            for _ in range(5):
                assert search(admin, b"key")[1]["found"]
                assert not search(admin, b"none")[1]["found"]
            after = connection.stats()
            for name in ["cmd_get", "get_hits", "get_misses", "cmd_touch"]:
                assert before[name] == after[name], name
            assert search(admin, b"key")[1]["was_fetched"] is False
            assert connection.ask(b"mg key h u\r\n") == b"HD h0"

    def test_does_not_change_the_order_of_use(self, start_server):
        admin = Admin(start_server, "--cache", "name=lru,items=10,purge_lru=1,listen=:0", threads=1)
        with Connection(admin.server.addresses[1]) as connection:
            for number in range(10):
                assert connection.set(b"key-%d" % number, b"x") == b"STORED"
            for _ in range(3):
                assert search(admin, b"key-0", cache="lru")[1]["found"]
            assert connection.set(b"one-more", b"x") == b"STORED"
            assert connection.get(b"key-0") is None and connection.get(b"key-1") == b"x"
