"""Statistics: names, their order, what counts as what, and what a monitoring agent makes of them."""

import re
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from server import poll

# memcached 1.6.45, in the order of its answer.
GENERAL = """
pid uptime time version libevent pointer_size rusage_user rusage_system max_connections curr_connections
total_connections rejected_connections connection_structures response_obj_oom response_obj_count response_obj_bytes
read_buf_count read_buf_bytes read_buf_bytes_free read_buf_oom reserved_fds cmd_get cmd_set cmd_flush cmd_touch cmd_meta
get_hits get_misses get_expired get_flushed delete_misses delete_hits incr_misses incr_hits decr_misses decr_hits
cas_misses cas_hits cas_badval touch_hits touch_misses store_too_large store_no_memory auth_cmds auth_errors idle_kicks
bytes_read bytes_written limit_maxbytes accepting_conns listen_disabled_num time_in_listen_disabled_us threads
conn_yields hash_power_level hash_bytes hash_is_expanding slab_reassign_rescues slab_reassign_chunk_rescues
slab_reassign_inline_reclaim slab_reassign_busy_items slab_reassign_busy_deletes slab_reassign_busy_nomem
slab_reassign_last_busy_status slab_reassign_running slabs_moved lru_crawler_running lru_crawler_starts
lru_maintainer_juggles malloc_fails log_worker_dropped log_worker_written log_watcher_skipped log_watcher_sent
log_watchers ssl_new_sessions ssl_handshake_errors ssl_proto_errors time_since_server_cert_refresh unexpected_napi_ids
round_robin_fallback bytes curr_items total_items slab_global_page_pool expired_unfetched evicted_unfetched
evicted_active evictions reclaimed crawler_reclaimed crawler_items_checked lrutail_reflocked moves_to_cold moves_to_warm
moves_within_lru direct_reclaims lru_bumps_dropped
""".split()

# Those that clients, exporters and dashboards read; the rest are memcached's own internals.
GENERAL_REQUIRED = set("""
pid uptime time version pointer_size rusage_user rusage_system max_connections curr_connections total_connections
rejected_connections connection_structures cmd_get cmd_set cmd_flush cmd_touch get_hits get_misses get_expired
get_flushed delete_misses delete_hits incr_misses incr_hits decr_misses decr_hits cas_misses cas_hits cas_badval
touch_hits touch_misses store_too_large store_no_memory bytes_read bytes_written limit_maxbytes accepting_conns
listen_disabled_num time_in_listen_disabled_us threads conn_yields hash_power_level hash_bytes hash_is_expanding bytes
curr_items total_items expired_unfetched evicted_unfetched evictions reclaimed
""".split())

SETTINGS = """
maxbytes maxconns tcpport udpport inter verbosity oldest evictions domain_socket umask shutdown_command growth_factor
chunk_size num_threads num_threads_per_udp stat_key_prefix detail_enabled reqs_per_event cas_enabled tcp_backlog
binding_protocol auth_enabled_sasl auth_enabled_ascii item_size_max maxconns_fast hashpower_init slab_reassign
slab_automove slab_automove_ratio slab_automove_window slab_chunk_max lru_crawler lru_crawler_sleep lru_crawler_tocrawl
tail_repair_time flush_enabled dump_enabled hash_algorithm lru_maintainer_thread lru_segmented hot_lru_pct warm_lru_pct
hot_max_factor warm_max_factor temp_lru temporary_ttl idle_timeout watcher_logbuf_size worker_logbuf_size
read_buf_mem_limit track_sizes inline_ascii_response drop_privileges ext_item_size ext_item_age ext_low_ttl
ext_recache_rate ext_wbuf_size ext_compact_under ext_drop_under ext_max_sleep ext_max_frag slab_automove_freeratio
ext_drop_unread ssl_enabled ssl_chain_cert ssl_key ssl_verify_mode ssl_keyformat ssl_ciphers ssl_ca_cert ssl_wbuf_size
ssl_session_cache ssl_kernel_tls ssl_min_version proxy_enabled proxy_uring_enabled num_napi_ids memory_file
client_flags_size
""".split()

SETTINGS_DEFAULT = {
    "maxbytes": "67108864", "maxconns": "1024", "udpport": "0", "verbosity": "0", "evictions": "on", "umask": "700",
    "num_threads": "4", "stat_key_prefix": ":", "detail_enabled": "no", "reqs_per_event": "20", "cas_enabled": "yes",
    "tcp_backlog": "1024", "binding_protocol": "auto-negotiate", "auth_enabled_sasl": "no", "item_size_max": "1048576",
    "maxconns_fast": "yes", "flush_enabled": "yes", "dump_enabled": "yes", "idle_timeout": "0", "growth_factor": "1.25",
    "chunk_size": "48",
}


@pytest.fixture
def connection(tcp_server):
    with tcp_server.connect() as connection:
        yield connection


class Counted:
    """The change of every general statistic since the last look."""

    def __init__(self, connection):
        self.connection = connection
        self.before = connection.stats()

    def changes(self, *ignored):
        now = self.connection.stats()
        names = [name for name in GENERAL if re.match(r"(cmd|get|delete|incr|decr|cas|touch|store)_", name)]
        changed = {
            name: int(now[name]) - int(self.before[name])
            for name in [*names, "total_items", "curr_items"] if name in now and now[name] != self.before[name]}
        self.before = now
        return changed


class TestNames:
    def test_general(self, tcp_server):
        names = list(tcp_server.stats())
        known = [name for name in names if name in GENERAL]
        assert known == [name for name in GENERAL if name in known], "memcached's names, in memcached's order"
        assert GENERAL_REQUIRED <= set(names), GENERAL_REQUIRED - set(names)

    def test_settings(self, tcp_server):
        settings = tcp_server.stats("settings")
        known = [name for name in settings if name in SETTINGS]
        assert known == [name for name in SETTINGS if name in known]
        assert {name: settings.get(name) for name in SETTINGS_DEFAULT} == SETTINGS_DEFAULT
        assert settings["inter"] == "127.0.0.1" and settings["domain_socket"] == "NULL"

    def test_settings_follow_the_flags(self, start_server):
        server = start_server(
            "-m", 80, "-c", 100, "-I", "2m", "-M", "-C", "-F", "-X", "-R", 7, "-b", 99, "-o", "idle_timeout=50", "-v",
            unix=True, mask="0750", threads=2)
        settings = server.stats("settings")
        expected = {
            "maxbytes": str(80 << 20), "maxconns": "100", "item_size_max": str(2 << 20), "evictions": "off",
            "cas_enabled": "no", "flush_enabled": "no", "dump_enabled": "no", "reqs_per_event": "7",
            "tcp_backlog": "99", "idle_timeout": "50", "verbosity": "1", "domain_socket": server.socket_path,
            "umask": "750", "num_threads": "2"}
        assert {name: settings[name] for name in expected} == expected

    def test_idle_kicks_when_there_is_a_timeout(self, start_server):
        assert start_server("-o", "idle_timeout=50").stats()["idle_kicks"] == "0"

    def test_values_have_their_shapes(self, tcp_server):
        stats = tcp_server.stats()
        assert int(stats["pid"]) == tcp_server.process.pid
        assert abs(int(stats["time"]) - time.time()) < 3 and int(stats["uptime"]) < 30
        assert re.fullmatch(r"\d+\.\d{6}", stats["rusage_user"])
        assert re.fullmatch(r"\d+\.\d{6}", stats["rusage_system"])
        assert re.match(r"\d+\.\d+\.\d+", stats["version"])
        assert stats["pointer_size"] == "64" and stats["threads"] == "4" and stats["accepting_conns"] == "1"
        assert stats["limit_maxbytes"] == str(64 << 20) and stats["max_connections"] == "1024"
        for name in set(stats) & set(GENERAL) - {"version", "libevent", "rusage_user", "rusage_system"}:
            assert stats[name].isdigit(), (name, stats[name])

    def test_unknown_argument(self, connection):
        assert connection.ask(b"stats nonsense\r\n") == b"ERROR" or connection.read_line() == b""


class TestCounting:
    def test_gets_count_keys(self, connection):
        connection.set(b"a", b"1")
        connection.set(b"b", b"1")
        counted = Counted(connection)
        connection.get_many([b"a", b"b", b"c", b"a"])
        assert counted.changes() == {"cmd_get": 4, "get_hits": 3, "get_misses": 1}
        connection.get_many([b"a", b"c"], verb=b"gets")
        assert counted.changes() == {"cmd_get": 2, "get_hits": 1, "get_misses": 1}

    def test_stores_count_even_when_not_stored(self, connection):
        counted = Counted(connection)
        assert connection.set(b"key", b"1") == b"STORED"
        assert counted.changes() == {"cmd_set": 1, "total_items": 1, "curr_items": 1}
        assert connection.set(b"key", b"1", verb=b"add") == b"NOT_STORED"
        assert connection.set(b"nobody", b"1", verb=b"replace") == b"NOT_STORED"
        assert connection.set(b"nobody", b"1", verb=b"append") == b"NOT_STORED"
        assert counted.changes()["cmd_set"] == 3
        assert connection.set(b"key", b"2", verb=b"append") == b"STORED"
        assert counted.changes()["cmd_set"] == 1

    def test_a_wrong_store_does_not_count(self, connection):
        counted = Counted(connection)
        assert connection.ask(b"set key 0 0 x\r\n").startswith(b"CLIENT_ERROR")
        assert counted.changes() == {}
        assert connection.set(b"key", bytes(1 << 20)) == b"SERVER_ERROR object too large for cache"
        changes = counted.changes()
        assert changes.pop("store_too_large") == 1 and set(changes) <= {"cmd_set"}

    def test_cas(self, connection):
        connection.set(b"key", b"1")
        connection.send(b"gets key\r\n")
        token = connection.read_line().split()[-1]
        connection.read_exactly(len(b"1\r\nEND\r\n"))
        counted = Counted(connection)
        assert connection.ask(b"cas key 0 0 1 %b\r\n2\r\n" % token) == b"STORED"
        assert connection.ask(b"cas key 0 0 1 %b\r\n3\r\n" % token) == b"EXISTS"
        assert connection.ask(b"cas nobody 0 0 1 1\r\n3\r\n") == b"NOT_FOUND"
        changes = counted.changes()
        assert (changes["cmd_set"], changes["cas_hits"], changes["cas_badval"], changes["cas_misses"]) == (3, 1, 1, 1)

    def test_arithmetic_and_delete(self, connection):
        connection.set(b"key", b"10")
        counted = Counted(connection)
        for command in [b"incr key 1", b"incr key 1", b"incr nobody 1", b"decr key 1", b"decr nobody 1"]:
            connection.ask(command + b"\r\n")
        changes = counted.changes()
        assert changes == {"incr_hits": 2, "incr_misses": 1, "decr_hits": 1, "decr_misses": 1}
        connection.ask(b"delete key\r\n")
        connection.ask(b"delete key\r\n")
        assert counted.changes() == {"delete_hits": 1, "delete_misses": 1, "curr_items": -1}

    @pytest.mark.larder_only
    def test_touches_and_gats_are_touches(self, connection):
        """As in 1.6.45; 1.6.18 counts a gat under both."""
        connection.set(b"key", b"1")
        counted = Counted(connection)
        connection.ask(b"touch key 100\r\n")
        connection.ask(b"touch nobody 100\r\n")
        assert counted.changes() == {"cmd_touch": 2, "touch_hits": 1, "touch_misses": 1}
        connection.send(b"gat 100 key nobody\r\n")
        connection.read_values()
        assert counted.changes() == {"cmd_touch": 2, "touch_hits": 1, "touch_misses": 1}

    def test_expired_and_flushed(self, connection):
        connection.set(b"key", b"1", exptime=-1)
        counted = Counted(connection)
        assert connection.get(b"key") is None
        changes = counted.changes()
        assert (changes["get_misses"], changes["cmd_get"]) == (1, 1) and changes.get("get_expired", 0) <= 1
        connection.set(b"key", b"1", exptime=1)
        counted = Counted(connection)
        polls = [0]

        def expired():
            polls[0] += 1
            return connection.get(b"key") is None

        poll(expired, "the key expires", seconds=3, interval=0.05)
        changes = counted.changes()
        assert changes["get_misses"] == 1 and changes["cmd_get"] == polls[0]
        assert changes.get("get_hits", 0) == polls[0] - 1
        connection.set(b"key", b"1")
        counted = Counted(connection)
        assert connection.ask(b"flush_all\r\n") == b"OK"
        assert connection.get(b"key") is None
        changes = counted.changes()
        assert (changes["cmd_flush"], changes["get_misses"]) == (1, 1) and changes.get("get_flushed", 0) <= 1

    @pytest.mark.larder_only
    def test_expired_finds_are_told_apart(self, connection):
        """A find that came too late is get_expired, unless the sweep was there before."""
        connection.set(b"key", b"1", exptime=1)
        counted = Counted(connection)
        poll(lambda: connection.get(b"key") is None, "the key expires", seconds=3)
        changes = counted.changes()
        stats = connection.stats()
        assert changes.get("get_expired", 0) == 1 or int(stats["reclaimed"]) >= 1

    def test_gauges(self, connection):
        start = connection.stats()
        for index in range(100):
            connection.set(b"key%d" % index, bytes(1000))
        full = connection.stats()
        assert int(full["curr_items"]) == 100 and int(full["total_items"]) == 100
        assert 100_000 < int(full["bytes"]) - int(start["bytes"]) < 120_000
        for index in range(50):
            connection.ask(b"delete key%d\r\n" % index)
        half = connection.stats()
        assert half["curr_items"] == "50" and half["total_items"] == "100"
        assert int(half["bytes"]) - int(start["bytes"]) < 60_000

    def test_connections(self, tcp_server):
        with tcp_server.connect() as first:
            start = first.stats()
            others = [tcp_server.connect() for _ in range(5)]
            for other in others:
                other.ask(b"version\r\n")
            now = first.stats()
            # The first count may still have the connection by which the start was checked.
            assert int(now["total_connections"]) == int(start["total_connections"]) + 5
            for other in others:
                other.close()
            left = int(now["curr_connections"]) - 5
            poll(lambda: int(first.stats()["curr_connections"]) == left, f"{left} are left")

    def test_bytes_read_and_written(self, connection):
        """The answer to `stats` may itself be counted late, so: at least the payload, at most a little more."""
        start = connection.stats()
        connection.set(b"key", bytes(500_000))
        connection.get(b"key")
        now = connection.stats()
        for name in ["bytes_read", "bytes_written"]:
            assert 500_000 <= int(now[name]) - int(start[name]) < 520_000, name

    def test_evictions(self, connection):
        for index in range(120):
            assert connection.set(b"key%d" % index, bytes(900_000)) == b"STORED"
        stats = connection.stats()
        assert int(stats["evictions"]) >= 40
        assert int(stats["curr_items"]) == 120 - int(stats["evictions"])
        assert int(stats["evicted_unfetched"]) == int(stats["evictions"])
        assert int(stats["bytes"]) <= 64 << 20

    def test_reset(self, connection):
        connection.set(b"key", b"1")
        connection.get_many([b"key", b"nobody"])
        before = connection.stats()
        assert connection.ask(b"stats reset\r\n") == b"RESET"
        after = connection.stats()
        for name in ["cmd_get", "cmd_set", "get_hits", "get_misses", "evictions", "total_items"]:
            assert after[name] == "0", name
        for name in ["curr_items", "bytes", "curr_connections", "limit_maxbytes", "pid", "threads"]:
            assert after[name] == before[name], name


class TestOthers:
    def fill(self, connection):
        for index in range(300):
            connection.set(b"key%d" % index, bytes(index * 10))

    def test_items(self, connection):
        assert connection.stats("items") == {}
        self.fill(connection)
        items = connection.stats("items")
        assert all(re.fullmatch(r"items:\d+:\w+", name) for name in items)
        assert sum(int(value) for name, value in items.items() if name.endswith(":number")) == 300

    def test_slabs(self, connection):
        self.fill(connection)
        slabs = connection.stats("slabs")
        assert list(slabs)[-2:] == ["active_slabs", "total_malloced"]
        classes = {name.split(":")[0] for name in slabs if ":" in name}
        assert int(slabs["active_slabs"]) == len(classes)
        assert int(slabs["total_malloced"]) > 0
        for number in classes:
            assert {f"{number}:{name}" for name in ["cmd_set", "cas_hits", "cas_badval"]} <= slabs.keys()

    def test_sizes(self, connection):
        self.fill(connection)
        sizes = connection.stats("sizes")
        assert sizes == {"sizes_status": "disabled"} or sum(map(int, sizes.values())) == 300

    def test_conns(self, server):
        with server.connect() as connection:
            conns = connection.stats("conns")
        assert all(re.fullmatch(r"\d+:\w+", name) for name in conns)
        states = {value for name, value in conns.items() if name.endswith(":state")}
        assert "conn_listening" in states and len(states) >= 2
        addresses = [value for name, value in conns.items() if name.endswith(":addr")]
        assert any(address.startswith("unix:" if server.socket_path else "tcp:127.0.0.1:") for address in addresses)
        assert any(name.endswith(":secs_since_last_cmd") for name in conns)

    @pytest.mark.larder_only
    def test_conns_with_a_client_whose_name_has_line_ends(self, start_server):
        server = start_server(unix=True)
        with socket.socket(socket.AF_UNIX) as client, server.connect() as connection:
            client.bind(b"\0name\r\nEND\r\nERROR")
            client.connect(server.socket_path)
            client.sendall(b"version\r\n")
            assert client.recv(100).startswith(b"VERSION ")
            conns = connection.stats("conns")
            assert connection.ask(b"version\r\n").startswith(b"VERSION ")
        names = [value for name, value in conns.items() if name.endswith(":addr") and "name" in value]
        assert len(names) == 1 and "END" in names[0]


class TestUnderLoad:
    @pytest.mark.parametrize("argument", ["", "items", "slabs", "sizes", "conns", "settings"])
    def test_asking_while_others_evict(self, start_server, argument):
        """Many ask on every worker while two fill a full store; nobody waits for anybody."""
        server = start_server("-m", 64, threads=4)
        stop = threading.Event()

        def ask():
            with server.connect() as connection:
                while not stop.is_set():
                    connection.stats(argument)

        def fill(number):
            with server.connect() as connection:
                for index in range(300):
                    assert connection.set(b"%d:%d" % (number, index), bytes(900_000 >> index % 3)) == b"STORED"

        with ThreadPoolExecutor(10) as pool:
            askers = [pool.submit(ask) for _ in range(8)]
            fillers = [pool.submit(fill, number) for number in range(2)]
            try:
                for filler in fillers:
                    filler.result(60)
            finally:
                stop.set()
            for asker in askers:
                asker.result(30)


class TestExporter:
    """What prometheus/memcached_exporter does with the answers (its published rules)."""

    ALL_OR_NOTHING = ["cmd_set", "cas_misses", "cas_hits", "cas_badval"]
    COUNTERS = """
        uptime time bytes limit_maxbytes curr_items total_items bytes_read bytes_written curr_connections
        total_connections rejected_connections conn_yields listen_disabled_num evictions reclaimed store_too_large
        store_no_memory accepting_conns cmd_flush get_hits get_misses delete_hits delete_misses incr_hits incr_misses
        decr_hits decr_misses touch_hits touch_misses max_connections""".split()

    def test_every_series_has_a_value(self, connection):
        connection.set(b"key", b"1")
        connection.get_many([b"key", b"nobody"])
        stats, settings = connection.stats(), connection.stats("settings")
        for name in self.ALL_OR_NOTHING:
            float(stats[name])
        for name in self.COUNTERS:
            float(stats[name])
        sets = float(stats["cmd_set"]) - sum(float(stats[name]) for name in self.ALL_OR_NOTHING[1:])
        assert sets == 1
        for name in ["rusage_user", "rusage_system"]:
            seconds, microseconds = stats[name].split(".")
            assert len(microseconds) == 6 and int(microseconds) < 1_000_000 and int(seconds) >= 0
        assert int(settings["maxconns"]) == 1024
        if settings.get("lru_crawler") == "yes":
            for name in ["sleep", "tocrawl"]:
                float(settings[f"lru_crawler_{name}"])
            for name in ["hot_lru_pct", "warm_lru_pct", "hot_max_factor", "warm_max_factor"]:
                float(settings[name])

    def test_slabs_and_items(self, connection):
        """Any class listed must be complete enough; other lines are numbers under `class:name`."""
        connection.set(b"key", b"1")
        slabs, items = connection.stats("slabs"), connection.stats("items")
        for name, value in slabs.items():
            if ":" in name:
                number, field = name.split(":")
                assert int(number) >= 0 and field
            float(value)
        for number in {name.split(":")[0] for name in slabs if ":" in name}:
            for field in ["cmd_set", "cas_hits", "cas_badval"]:
                float(slabs[f"{number}:{field}"])
        for name, value in items.items():
            word, number, field = name.split(":")
            assert word == "items" and int(number) >= 0 and field
            float(value)
