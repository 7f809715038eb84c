"""/metrics of --admin: the values are those of `stats`, the format is Prometheus', and docs/metrics.md describes it."""

import contextlib
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import time

from admin import Admin, parse
from server import ROOT, Connection, cannot_test, free_port, poll

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

    def test_connections_of_other_protocols(self, start_server):
        admin = Admin(start_server, threads=2)
        beginnings = {
            "http": [b"GET / HTTP/1.1\r\n\r\n"] * 3, "redis": [b"*1\r\n$4\r\nPING\r\n"] * 2, "ssh": [b"SSH-2.0-OpenSSH_9\r\n"]}
        for each in sum(beginnings.values(), []):
            with admin.server.connect() as connection:
                connection.send(each)
                connection.read_until_closed()
        counts = {dict(labels)["protocol"]: value for (name, labels), value in admin.metrics().items()
                  if name == "larder_foreign_connections_total"}
        assert counts == {"uwsgi": 0, "http": 3, "tls": 0, "redis": 2, "ssh": 1, "proxy": 0}

    def test_the_age_of_the_oldest_item(self, start_server):
        """The metric is there while there are items, and is `items:1:age`."""
        port = free_port()
        admin = Admin(start_server, "--cache", f"name=other,items=100,listen=127.0.0.1:{port}", threads=2)
        name = "larder_cache_oldest_item_seconds"
        assert not [labels for metric, labels in admin.metrics() if metric == name]
        with admin.server.connect() as connection:
            assert connection.set(b"key", b"value") == b"STORED"
            assert (name, (("cache", "other"),)) not in admin.metrics()
            poll(lambda: admin.metrics()[name, (("cache", "default"),)] >= 2, "the item has an age", seconds=15)
            before = int(connection.stats("items")["items:1:age"])
            age = admin.metrics()[name, (("cache", "default"),)]
            assert before <= age <= int(connection.stats("items")["items:1:age"])
            with Connection(("127.0.0.1", port)) as other:
                assert other.set(b"key", b"value") == b"STORED"
            assert 0 <= admin.metrics()[name, (("cache", "other"),)] < age

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
    def test_has_the_metrics_that_there_are(self, start_server, certificates, tmp_path):
        """With all that adds metrics: a file, TLS, idle_timeout, hot_keys, copies on other servers, a log."""
        admin = Admin(
            start_server, "-e", "store", "-o", "idle_timeout=100,hot_keys", *certificates.server_options(),
            "--cache", f"name=synced,items=10,listen=:0,nodes=127.0.0.1:{free_port()}",
            "--cache", f"name=replicated,listen=:0,log=file://{tmp_path}/log,store=replicated",
            tls=certificates.context())
        with admin.server.connect() as connection:
            assert connection.set(b"key", b"value") == b"STORED"
            assert connection.get(b"key") == b"value"
        text = admin.ask("/metrics")[1]
        kinds = dict(re.findall(r"^# TYPE (\w+) (\w+)$", text, re.M))
        helps = dict(re.findall(r"^# HELP (\w+) (.*)$", text, re.M))
        samples = parse(text)
        labels = {name.removesuffix("_bucket"): ",".join(label for label, _ in labels) for name, labels in samples}
        assert documented() == {name: (kinds[name], labels[name], helps[name]) for name in kinds}
        reasons = {dict(labels)["reason"] for name, labels in samples if name == "larder_connections_dropped_total"}
        assert reasons == {"memory", "stalled", "unread", "login", "idle", "handshake"}
        end = samples["larder_tls_certificate_not_after_seconds", ()]
        written = subprocess.run(
            ["openssl", "x509", "-enddate", "-noout", "-in", certificates.path("server.pem")], check=True,
            capture_output=True, text=True).stdout
        assert ssl.cert_time_to_seconds(written.strip().removeprefix("notAfter=")) == end


def durations(metrics, command):
    """The buckets by their bounds, the sum and the count."""
    name, own = "larder_command_duration_seconds", ("command", command)
    buckets = {float(labels[1][1]): value for (sample, labels), value in metrics.items()
               if sample == f"{name}_bucket" and labels[0] == own}
    return buckets, metrics[f"{name}_sum", (own,)], metrics[f"{name}_count", (own,)]


class TestDurations:
    def test_one_of_64_requests_is_timed(self, start_server):
        admin = Admin(start_server, threads=1)
        with admin.server.connect() as connection:
            for number in range(2560):
                assert connection.set(b"key", b"%d" % number) == b"STORED"
            for number in range(5120):
                assert connection.get(b"key")
            for number in range(2560):
                assert connection.ask(b"incr key 1\r\n")
        metrics = admin.metrics()
        for command, expected in [("set", 40), ("get", 80), ("incr", 40)]:
            buckets, total, count = durations(metrics, command)
            # A worker's turns are counted. It has some without a request.
            assert abs(count - expected) <= 2, command
            assert list(buckets) == sorted(buckets) and list(buckets.values()) == sorted(buckets.values())
            assert list(buckets)[-1] == float("inf") and buckets[float("inf")] == count
            assert total > 0
        # Only commands that were timed are listed.
        listed = {dict(labels)["command"] for name, labels in metrics if name == "larder_command_duration_seconds_count"}
        assert {"set", "get", "incr"} <= listed <= {"set", "get", "incr", "other"}

    def test_requests_over_udp_are_timed(self, start_server):
        port = free_port()
        admin = Admin(start_server, "-U", port, threads=1)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(10)
            # A turn takes at most -R (20) of them.
            for _ in range(2000):
                client.sendto(b"\0\7\0\0\0\1\0\0get nothing\r\n", ("127.0.0.1", port))
                assert client.recv(100)[8:] == b"END\r\n"
        assert durations(admin.metrics(), "get")[2] > 0

    def test_all_requests_of_a_turn_are_timed(self, start_server):
        """A turn that finds four clients counts four requests."""
        admin = Admin(start_server, threads=1)
        server = admin.server
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(server.connect()) for _ in range(4)]
            for client in clients:
                assert client.ask(b"version\r\n").startswith(b"VERSION")
            for _ in range(200):
                server.process.send_signal(signal.SIGSTOP)
                os.waitid(os.P_PID, server.process.pid, os.WSTOPPED)
                for client in clients:
                    client.send(b"mg key v\r\n")
                server.process.send_signal(signal.SIGCONT)
                for client in clients:
                    assert client.read_line() == b"EN"
            count = durations(admin.metrics(), "get")[2]
        assert count >= 8 and count % 4 == 0
