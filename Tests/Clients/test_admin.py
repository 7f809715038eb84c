"""--admin: metrics and health over HTTP, beside the clients and whatever they do."""

import http.client
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import time

import pytest

from server import ROOT, Connection, cannot_test, free_port, poll, run

# Unlabelled names of prometheus/memcached_exporter without those of slab classes, extstore and the proxy, each with the
# list of `stats` and the name there.
EXPORTED = """
uptime_seconds uptime | time_seconds time | read_bytes_total bytes_read | written_bytes_total bytes_written
current_connections curr_connections | connections_total total_connections
connections_rejected_total rejected_connections | connections_yielded_total conn_yields
connections_listener_disabled_total listen_disabled_num | accepting_connections accepting_conns
current_bytes bytes | limit_bytes limit_maxbytes | current_items curr_items | items_total total_items
items_evicted_total evictions | items_reclaimed_total reclaimed | item_too_large_total store_too_large
item_no_memory_total store_no_memory | direct_reclaims_total direct_reclaims
process_user_cpu_seconds_total rusage_user | process_system_cpu_seconds_total rusage_system
lru_crawler_starts_total lru_crawler_starts | lru_crawler_reclaimed_total crawler_reclaimed
lru_crawler_items_checked_total crawler_items_checked | lru_crawler_moves_to_cold_total moves_to_cold
lru_crawler_moves_to_warm_total moves_to_warm | lru_crawler_moves_within_lru_total moves_within_lru
""".replace("\n", "|").split("|")
EXPORTED = {f"memcached_{ours}": theirs for ours, theirs in (entry.split() for entry in EXPORTED if entry.strip())}
SETTINGS = {
    "max_connections": "maxconns", "lru_crawler_sleep": "lru_crawler_sleep", "lru_crawler_to_crawl": "lru_crawler_tocrawl",
    "lru_crawler_hot_percent": "hot_lru_pct", "lru_crawler_warm_percent": "warm_lru_pct",
    "lru_crawler_hot_max_factor": "hot_max_factor", "lru_crawler_warm_max_factor": "warm_max_factor"}
# Change between two looks, or by the connection that asks for `stats`.
VARYING = {"uptime", "time", "rusage_user", "rusage_system", "bytes_read", "bytes_written", "curr_connections",
           "total_connections"}


class Admin:
    """A server with an admin listener, and requests to that."""

    def __init__(self, start_server, *arguments, **options):
        self.port = free_port()
        self.server = start_server("--admin", self.port, *arguments, **options)

    def ask(self, path, method="GET", timeout=10.0, **options):
        return ask(self.port, path, method, timeout, **options)

    def metrics(self):
        status, body, _ = self.ask("/metrics")
        assert status == 200
        return parse(body)


def ask(port, path, method="GET", timeout=10.0, **options):
    """Status, body and headers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request(method, path, **options)
        answer = connection.getresponse()
        return answer.status, answer.read().decode(), answer.headers
    finally:
        connection.close()


SAMPLE = re.compile(r'([a-zA-Z_:][\w:]*)(?:\{((?:[a-z_]\w*="(?:[^"\\\n]|\\[\\n"])*",?)*)\})? (\S+)')


def parse(text):
    """The samples by name and labels, after a check of all that Prometheus' text format and its promtool ask for."""
    assert text.endswith("\n")
    samples, kinds, helped = {}, {}, set()
    current = None
    for line in text.splitlines():
        if line.startswith("# HELP "):
            _, _, current, help_text = line.split(" ", 3)
            assert current not in helped and help_text, line
            helped.add(current)
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name == current and name not in kinds and kind in ("counter", "gauge", "histogram"), line
            kinds[name] = kind
            # As promtool: counters, and only they, end in _total.
            assert name.endswith("_total") == (kind == "counter"), line
            assert not name.endswith(("_count", "_sum", "_bucket", "_info_total")), line
        else:
            match = SAMPLE.fullmatch(line)
            assert match, line
            name, labels, value = match.groups()
            assert name == current or kinds.get(current) == "histogram" and name.startswith(current), line
            series = (name, tuple(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', labels or "")))
            assert series not in samples, line
            samples[series] = float(value)
            assert samples[series] == samples[series], f"not a number: {line}"
            assert kinds[current] != "counter" or samples[series] >= 0, line
    assert helped == set(kinds)
    return samples


def use(server):
    """A known load."""
    with server.connect() as connection:
        for number in range(50):
            assert connection.set(b"key-%d" % number, b"x" * 100) == b"STORED"
        for number in range(30):
            assert connection.get(b"key-%d" % number)
        for number in range(7):
            assert connection.get(b"none-%d" % number) is None
        assert connection.ask(b"delete key-49\r\n") == b"DELETED"
        assert connection.ask(b"delete key-49\r\n") == b"NOT_FOUND"
        assert connection.set(b"number", b"5") == b"STORED"
        assert connection.ask(b"incr number 2\r\n") == b"7"
        assert connection.ask(b"decr none 2\r\n") == b"NOT_FOUND"
        assert connection.ask(b"touch number 100\r\n") == b"TOUCHED"
        connection.send(b"gets number\r\n")
        line = connection.read_line()
        connection.read_exactly(3)
        assert connection.read_line() == b"END"
        unique = line.split()[4]
        assert connection.ask(b"cas number 0 0 1 %b\r\n8\r\n" % unique) == b"STORED"
        assert connection.ask(b"cas number 0 0 1 %b\r\n9\r\n" % unique) == b"EXISTS"
        assert connection.ask(b"cas none 0 0 1 1\r\n9\r\n") == b"NOT_FOUND"


class TestMetrics:
    def test_are_those_of_stats(self, start_server):
        admin = Admin(start_server, threads=2)
        use(admin.server)
        figures, settings = admin.server.stats(), admin.server.stats("settings")
        metrics = admin.metrics()
        assert set(EXPORTED.values()) <= set(figures)
        for name, statistic in EXPORTED.items():
            assert (name, ()) in metrics, name
            if statistic not in VARYING:
                assert metrics[name, ()] == float(figures[statistic]), name
        for name, setting in SETTINGS.items():
            assert metrics[f"memcached_{name}", ()] == float(settings[setting]), name
        assert metrics["memcached_lru_crawler_enabled", ()] == 1
        assert metrics["memcached_lru_crawler_maintainer_thread", ()] == 0
        assert metrics["memcached_up", ()] == 1
        assert metrics["memcached_version", (("version", figures["version"]),)] == 1
        assert metrics["memcached_malloced_bytes", ()] == float(admin.server.stats("slabs")["total_malloced"])
        assert abs(metrics["memcached_time_seconds", ()] - time.time()) < 60
        assert metrics["memcached_read_bytes_total", ()] >= float(figures["bytes_read"])

    def test_promtool_has_no_complaint(self, start_server):
        promtool = shutil.which("promtool")
        if promtool is None:
            cannot_test("there is no promtool (Debian's prometheus has it)")
        admin = Admin(start_server, "-e", "store", threads=2)
        use(admin.server)
        check = subprocess.run(
            [promtool, "check", "metrics"], input=admin.ask("/metrics")[1], capture_output=True, text=True, timeout=30)
        assert (check.returncode, check.stdout, check.stderr) == (0, "", "")

    def test_commands(self, start_server):
        admin = Admin(start_server, threads=2)
        use(admin.server)
        counts = {labels: value for (name, labels), value in admin.metrics().items()
                  if name == "memcached_commands_total"}
        counts = {(dict(labels)["command"], dict(labels)["status"]): value for labels, value in counts.items()}
        assert counts == {
            ("get", "hit"): 31, ("get", "miss"): 7, ("delete", "hit"): 1, ("delete", "miss"): 1, ("incr", "hit"): 1,
            ("incr", "miss"): 0, ("decr", "hit"): 0, ("decr", "miss"): 1, ("cas", "hit"): 1, ("cas", "miss"): 1,
            ("cas", "badval"): 1, ("touch", "hit"): 1, ("touch", "miss"): 0, ("flush", "hit"): 0, ("set", "hit"): 51}

    def test_reset_as_stats(self, start_server):
        admin = Admin(start_server, threads=2)
        use(admin.server)
        with admin.server.connect() as connection:
            assert connection.ask(b"stats reset\r\n") == b"RESET"
        assert admin.metrics()["memcached_items_total", ()] == 0

    def test_a_cache_of_its_own_each(self, start_server):
        """Names of caches may have any byte; those that end a label's value are escaped."""
        # --cache itself takes a backslash for the sign that the next one is meant as it is.
        name = r'a"b\\c'
        port = free_port()
        admin = Admin(start_server, "--cache", f"name={name},items=100,listen=127.0.0.1:{port}", threads=2)
        with Connection(("127.0.0.1", port)) as connection:
            assert connection.set(b"key", b"value") == b"STORED"
            assert connection.get(b"key") == b"value"
            assert connection.get(b"none") is None
        metrics = admin.metrics()
        other = (("cache", r'a\"b\\c'),)
        assert metrics["larder_cache_items", other] == 1
        assert metrics["larder_cache_hits_total", other] == 1
        assert metrics["larder_cache_misses_total", other] == 1
        assert metrics["larder_cache_items", (("cache", "default"),)] == 0


def documented():
    """Type, labels and meaning of each metric in docs/metrics.md, by its name."""
    page = (ROOT / "docs/metrics.md").read_text()
    rows = re.findall(r"^\| `(\w+_\w+)(?:\{([\w,]+)\})?` \| (counter|gauge|histogram) \| (.*) \|$", page, re.M)
    assert len({name for name, *_ in rows}) == len(rows), "a metric twice"
    return {name: (kind, labels, meaning) for name, labels, kind, meaning in rows}


class TestPage:
    def test_has_the_metrics_that_there_are(self, start_server, certificates):
        """With all that adds metrics: a file, TLS, idle_timeout."""
        admin = Admin(
            start_server, "-e", "store", "-o", "idle_timeout=100", *certificates.server_options(),
            tls=certificates.context())
        text = admin.ask("/metrics")[1]
        kinds = dict(re.findall(r"^# TYPE (\w+) (\w+)$", text, re.M))
        helps = dict(re.findall(r"^# HELP (\w+) (.*)$", text, re.M))
        samples = parse(text)
        labels = {name: ",".join(label for label, _ in labels) for name, labels in samples}
        assert documented() == {name: (kinds[name], labels[name], helps[name]) for name in kinds}
        reasons = {dict(labels)["reason"] for name, labels in samples if name == "larder_connections_dropped_total"}
        assert reasons == {"memory", "stalled", "unread", "login", "idle", "handshake"}
        end = samples["larder_tls_certificate_not_after_seconds", ()]
        written = subprocess.run(
            ["openssl", "x509", "-enddate", "-noout", "-in", certificates.path("server.pem")], check=True,
            capture_output=True, text=True).stdout
        assert ssl.cert_time_to_seconds(written.strip().removeprefix("notAfter=")) == end


class TestPages:
    def test_healthy_and_ready(self, start_server):
        admin = Admin(start_server)
        assert admin.ask("/healthz")[:2] == (200, "ok\n")
        assert admin.ask("/readyz")[:2] == (200, "ok\n")
        assert admin.ask("/readyz?verbose")[0] == 200
        status, body, headers = admin.ask("/")
        assert status == 200 and "/metrics" in body and headers["Content-Type"].startswith("text/html")

    def test_not_found(self, start_server):
        admin = Admin(start_server)
        for path in ["/nothing", "/metrics/", "/%00", "//healthz", "/" + "x" * 4000]:
            assert admin.ask(path)[0] == 404, path

    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "BREW"])
    def test_other_methods(self, start_server, method):
        admin = Admin(start_server)
        body = b"x" * 100 if method in ("POST", "PUT") else None
        status, _, headers = admin.ask("/metrics", method, body=body)
        assert status == 405 and headers["Allow"] == "GET, HEAD"
        assert admin.ask("/healthz")[0] == 200

    def test_head(self, start_server):
        admin = Admin(start_server)
        with Connection(("127.0.0.1", admin.port)) as connection:
            connection.send(b"HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = connection.read_until_closed()
        assert answer.startswith(b"HTTP/1.1 200 ") and answer.endswith(b"\r\n\r\n")
        assert b"\r\nContent-Length: 3\r\n" in answer

    def test_is_for_this_machine_only(self, start_server):
        admin = Admin(start_server)
        listening = open("/proc/net/tcp").read()
        assert f" 0100007F:{admin.port:04X} 00000000:0000 0A " in listening
        assert f" 00000000:{admin.port:04X} 00000000:0000 0A " not in listening


class TestReadiness:
    def test_not_before_the_file_is_read(self, start_server, tmp_path):
        store = tmp_path / "store"
        first = start_server("-m", 1024, "-e", store)
        with first.connect() as connection:
            for batch in range(0, 1_000_000, 4000):
                connection.send(b"".join(
                    b"set key-%d 0 0 10 noreply\r\n%010d\r\n" % (number, number)
                    for number in range(batch, batch + 4000)))
            assert connection.get(b"key-999999")
        first.process.send_signal(signal.SIGKILL)
        first.process.wait()
        first.process = None
        admin_port = free_port()
        server = start_server("-m", 1024, "-e", store, "--admin", admin_port)
        seen = []

        def ready():
            assert ask(admin_port, "/healthz")[0] == 200
            status, body, _ = ask(admin_port, "/readyz")
            seen.append((status, body))
            return status == 200

        poll(ready, "ready", 60, interval=0.001)
        assert seen[0][0] == 503 and "cache default reads its file" in seen[0][1], seen[:3]
        assert server.stats()["store_ready"] == "1"
        metrics = parse(ask(admin_port, "/metrics")[1])
        label = (("cache", "default"),)
        assert metrics["larder_store_ready", label] == 1
        assert metrics["larder_store_recovered_items", label] == 1_000_000
        assert metrics["larder_store_recovered_ratio", label] == 1
        assert metrics["larder_store_recovery_seconds", label] > 0

    def test_not_while_the_server_stops(self, start_server):
        """A client that does not read its answer holds the stop up for two seconds."""
        admin = Admin(start_server, "-I", "20m", "-m", "100")
        with admin.server.connect(receive_buffer=4096) as client:
            assert client.set(b"large", b"x" * 16_000_000) == b"STORED"
            client.send(b"get large\r\n")
            client.read_line()
            admin.server.process.send_signal(signal.SIGTERM)

            def stopping():
                status, body, _ = admin.ask("/readyz")
                return status == 503 and body == "the server stops\n"

            poll(stopping, "not ready")
            assert admin.ask("/healthz")[0] == 200
            assert admin.server.wait() == 0

    def test_answers_when_full_of_clients(self, start_server):
        admin = Admin(start_server, "-c", 10)
        clients = [admin.server.connect() for _ in range(10)]
        poll(lambda: admin.metrics()["memcached_current_connections", ()] == 10, "full")
        for path in ["/healthz", "/readyz", "/metrics"]:
            assert admin.ask(path)[0] == 200
        with admin.server.connect() as refused:
            assert b"Too many open connections" in refused.read_until_closed()
        assert admin.metrics()["memcached_connections_rejected_total", ()] > 0
        for client in clients:
            assert client.ask(b"version\r\n").startswith(b"VERSION")
            client.close()


class TestHostileClients:
    @pytest.mark.parametrize("request_bytes", [
        b"GET / HTTP/1.1\r\nX: " + b"x" * 100_000 + b"\r\n\r\n", b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 10_000 + b"\r\n", b"POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\n" + b"x" * 100_000,
        b"GET / HTTP/9.9\r\n\r\n", b"\0" * 20_000, b"set a 0 0 1\r\nx\r\n", b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    ], ids=["header", "path", "headers", "body", "chunk", "version", "zeros", "memcached", "negative"])
    def test_too_much(self, start_server, request_bytes):
        """Refused and closed; nobody else notices."""
        admin = Admin(start_server)
        with Connection(("127.0.0.1", admin.port)) as hostile:
            try:
                hostile.send(request_bytes)
            except (BrokenPipeError, ConnectionResetError):
                pass
            answer = hostile.read_until_closed()
            assert not answer or re.match(rb"HTTP/\d.\d 4\d\d ", answer), answer[:100]
        assert admin.ask("/healthz")[0] == 200
        admin.server.assert_alive()

    def test_slow_clients_are_closed(self, start_server):
        """A byte now and then keeps a connection from being silent. The request as a whole has a limit, too."""
        admin = Admin(start_server)
        with Connection(("127.0.0.1", admin.port), timeout=30) as slow, Connection(
                ("127.0.0.1", admin.port), timeout=30) as silent:
            silent.send(b"GET / HT")
            began = time.monotonic()
            closed = {}

            def all_closed():
                for name, connection in [("slow", slow), ("silent", silent)]:
                    if name not in closed and connection.is_closed():
                        closed[name] = time.monotonic() - began
                if "slow" not in closed:
                    try:
                        slow.send(b"x")
                    except (BrokenPipeError, ConnectionResetError):
                        pass
                assert admin.ask("/healthz")[0] == 200
                return len(closed) == 2

            poll(all_closed, lambda: f"closed: {closed}", 25, interval=0.2)

    def test_a_thousand_connections(self, start_server):
        """Silent clients take all places, and make room for others; memcached's clients do not notice."""
        admin = Admin(start_server)
        descriptors = admin.server.descriptor_count()
        with admin.server.connect() as client:
            assert client.set(b"key", b"value") == b"STORED"
            sockets = []
            try:
                for _ in range(1000):
                    connection = socket.socket()
                    connection.setblocking(False)
                    connection.connect_ex(("127.0.0.1", admin.port))
                    sockets.append(connection)
                assert client.get(b"key") == b"value"
                assert admin.ask("/healthz", timeout=30)[0] == 200
                assert admin.server.descriptor_count() < descriptors + 60
                assert client.get(b"key") == b"value"
            finally:
                for connection in sockets:
                    connection.close()
        poll(lambda: admin.ask("/healthz", timeout=30)[0] == 200, "answers again", 30)
        assert admin.server.stats()["rejected_connections"] == "0"

    def test_stops_at_once(self, start_server):
        admin = Admin(start_server)
        with Connection(("127.0.0.1", admin.port)) as open_connection:
            open_connection.send(b"GET /")
            admin.server.stop()
            assert open_connection.read_until_closed() == b""


class TestOption:
    def test_a_port_that_is_taken(self, start_server):
        admin = Admin(start_server)
        refused = run("--admin", admin.port, "-p", free_port())
        assert refused.returncode == 71
        assert refused.stderr == (
            f"failed to listen on the address of --admin, {admin.port}: Address already in use\n")

    @pytest.mark.parametrize("text", ["", "x", "0", "65536", ":9150", "a:b", "::1", "::1:9150", "1.2.3.4", "[::1]", "9150x"])
    def test_addresses_that_are_none(self, text):
        refused = run("--admin", text)
        assert refused.returncode == 64
        assert refused.stderr.startswith("--admin takes a port or HOST:PORT") and refused.stderr.count("\n") == 1

    def test_an_address(self, start_server):
        port = free_port()
        server = start_server("--admin", f"127.0.0.2:{port}")
        assert f"larder: metrics and health over HTTP at tcp:127.0.0.2:{port}\n" in server.stderr
        with Connection(("127.0.0.2", port)) as connection:
            connection.send(b"GET /healthz HTTP/1.0\r\n\r\n")
            assert connection.read_until_closed().endswith(b"\r\n\r\nok\n")

    def test_none_without_it(self, start_server):
        server = start_server()
        threads = [open(f"/proc/{server.process.pid}/task/{task}/comm").read().strip()
                   for task in os.listdir(f"/proc/{server.process.pid}/task")]
        assert "larder-admin" not in threads and "larder-0" in threads
