"""Replicated caches: several servers that follow one log, as their clients see them."""

import mmap
import os
import re
import resource
import shutil
import threading

import pytest
from pymemcache.client.base import Client

import binary_protocol as binary
import replicas
from admin import ask
from binary_protocol import BinaryConnection
from replicas import in_threads
from server import Connection, Server, poll, run

CLIENTS = 50
COUNTS = int(os.environ.get("LARDER_REPLICA_COUNTS", "200"))


class Node(replicas.Node):
    """A server with a replicated cache over a log of this machine."""

    def __init__(self, start_server, directory, name, *arguments, threads=2):
        super().__init__(
            start_server, f"{directory}/{name}.store", f"file://{directory}/log", *arguments, threads=threads)


@pytest.fixture
def nodes(start_server, tmp_path):
    """Two servers of one log."""
    return [Node(start_server, tmp_path, name) for name in "ab"]


def test_a_change_reaches_both_servers(nodes):
    with nodes[0].connect() as here, nodes[1].connect() as there:
        assert here.set(b"greeting", b"hello", flags=7) == b"STORED"
        assert here.get(b"greeting") == b"hello"
        poll(lambda: there.get(b"greeting") == b"hello", "the other server has the value")
        assert there.ask(b"gets greeting\r\n") == here.ask(b"gets greeting\r\n") == b"VALUE greeting 7 5 1"
        for connection in here, there:
            assert connection.read_exactly(len(b"hello\r\nEND\r\n")) == b"hello\r\nEND\r\n"
        assert there.ask(b"delete greeting\r\n") == b"DELETED"
        assert here.ask(b"delete greeting\r\n") == b"NOT_FOUND"
        assert here.get(b"greeting") is None
        assert here.set(b"one", b"1") == b"STORED"
        assert there.ask(b"flush_all\r\n") == b"OK"
        assert there.get(b"one") is None
        poll(lambda: here.get(b"one") is None, "the flush reaches the other server")
        assert here.set(b"one", b"2") == b"STORED"
        poll(lambda: there.get(b"one") == b"2", "values come after a flush")
        assert here.stats()["curr_items"] == "1"


def test_the_main_cache_can_be_replicated(start_server, tmp_path):
    servers = [
        start_server("--cache", f"name=default,log=file://{tmp_path}/log,store={tmp_path}/{name}", "-m", "16")
        for name in "ab"]
    with servers[0].connect() as here, servers[1].connect() as there:
        assert here.set(b"key", b"value") == b"STORED"
        poll(lambda: there.get(b"key") == b"value", "the other server has the value")


def test_other_caches_are_as_they_were(nodes):
    with Connection(nodes[0].server.addresses[0]) as main:
        assert main.set(b"key", b"value", exptime=100) == b"STORED"
        assert main.ask(b"mn\r\n") == b"MN"
    with nodes[0].connect() as connection:
        assert connection.get(b"key") is None


def test_many_clients_of_two_servers_count_exactly(nodes):
    replicas.count_exactly(nodes, CLIENTS, COUNTS)


def test_one_of_many_adds_is_stored(nodes):
    def add(node, value):
        with node.connect() as connection:
            return [connection.set(b"key%d" % key, value, verb=b"add") for key in range(50)]

    answers = in_threads([lambda number=number: add(nodes[number % 2], b"%d" % number) for number in range(8)])
    for each in zip(*answers, strict=True):
        assert sorted(each) == [b"NOT_STORED"] * 7 + [b"STORED"]


def test_a_cas_succeeds_once(nodes):
    with nodes[0].connect() as connection:
        assert connection.set(b"sum", b"0") == b"STORED"
    poll(lambda: nodes[1].applied() == 1, "the other server has the sum")

    def add(node):
        with node.connect() as connection:
            stored = 0
            while stored < 20:
                _, _, _, length, cas = connection.ask(b"gets sum\r\n").split()
                value = connection.read_exactly(int(length) + 7)[:-7]
                answer = connection.ask(b"cas sum 0 0 %d %b\r\n%d\r\n" % (len(b"%d" % (int(value) + 1)), cas,
                                                                         int(value) + 1))
                assert answer in (b"STORED", b"EXISTS"), answer
                stored += answer == b"STORED"

    in_threads([lambda node=node: add(node) for node in nodes * 4])
    with nodes[0].connect() as connection:
        poll(lambda: connection.get(b"sum") == b"160", "the sum is exact")
        assert connection.ask(b"cas none 0 0 1 1\r\n1\r\n") == b"NOT_FOUND"


def test_classic_commands(nodes):
    with nodes[0].connect() as connection:
        assert connection.set(b"key", b"b", verb=b"replace") == b"NOT_STORED"
        assert connection.set(b"key", b"b", verb=b"append") == b"NOT_STORED"
        assert connection.set(b"key", b"b", flags=3, verb=b"add") == b"STORED"
        assert connection.set(b"key", b"c", verb=b"append") == b"STORED"
        assert connection.set(b"key", b"a", verb=b"prepend") == b"STORED"
        connection.send(b"get key\r\n")
        assert connection.read_line() == b"VALUE key 3 3"
        assert connection.read_exactly(10) == b"abc\r\nEND\r\n"
        assert connection.ask(b"incr key 1\r\n") == b"CLIENT_ERROR cannot increment or decrement non-numeric value"
        assert connection.ask(b"incr none 1\r\n") == b"NOT_FOUND"
        assert connection.set(b"number", b"10") == b"STORED"
        assert connection.ask(b"decr number 3\r\n") == b"7"
        assert connection.get(b"number") == b"7 "
        assert connection.ask(b"touch number 0\r\n") == b"TOUCHED"
        assert connection.ask(b"touch none 0\r\n") == b"NOT_FOUND"
        # Without an answer, and in order.
        connection.send(b"set quiet 0 0 1 noreply\r\n1\r\nincr quiet 1 noreply\r\nget quiet\r\n")
        assert connection.read_values() == {b"quiet": b"2"}
        # Many at once.
        connection.send(b"".join(b"set many%d 0 0 1\r\n%d\r\n" % (number, number) for number in range(9)) + b"mn\r\n")
        assert [connection.read_line() for _ in range(10)] == [b"STORED"] * 9 + [b"MN"]
        assert len(connection.get_many([b"many%d" % number for number in range(9)])) == 9


def test_a_value_that_arrives_in_pieces(nodes):
    value = os.urandom(700_000)
    with nodes[0].connect() as here, nodes[1].connect() as there:
        assert here.set(b"large", value) == b"STORED"
        assert here.get(b"large") == value
        poll(lambda: there.get(b"large") == value, "the other server has it")
        # One that is too large changes nothing: the other servers keep the old value, too.
        assert here.set(b"large", b"x" * (1 << 20)) == b"SERVER_ERROR object too large for cache"
        assert here.get(b"large") == value


def test_meta_commands(nodes):
    with nodes[0].connect() as connection:
        assert connection.ask(b"ms key 2 F5 c k Oab\r\nhi\r\n") == b"HD c1 kkey Oab"
        assert connection.ask(b"mg key v f c\r\n") == b"VA 2 f5 c1"
        assert connection.read_line() == b"hi"
        assert connection.ask(b"ms key 2 C9\r\nho\r\n") == b"EX"
        assert connection.ask(b"ms key 2 C1 c\r\nho\r\n") == b"HD c2"
        assert connection.ask(b"ms key 1 MA\r\n!\r\n") == b"HD"
        assert connection.ask(b"ms key 1 ME\r\n!\r\n") == b"NS"
        assert connection.ask(b"ms none 1 MR\r\n!\r\n") == b"NS"
        assert connection.ask(b"mg key v\r\n") == b"VA 3"
        assert connection.read_line() == b"ho!"
        assert connection.ask(b"ma number\r\n") == b"NF"
        assert connection.ask(b"ma number N0 J41 v\r\n") == b"VA 2"
        assert connection.read_line() == b"41"
        assert connection.ask(b"ma number v k\r\n") == b"VA 2 knumber"
        assert connection.read_line() == b"42"
        assert connection.ask(b"ma number MD D2 v\r\n") == b"VA 2"
        assert connection.read_line() == b"40"
        assert connection.ask(b"md number C1\r\n") == b"EX"
        assert connection.ask(b"md number\r\n") == b"HD"
        assert connection.ask(b"md number\r\n") == b"NF"
        with Connection(nodes[0].server.addresses[0]) as main:
            for command in b"ms AP8= 1 b k\r\n1\r\n", b"mg AP8= b k v s\r\n", b"mn\r\n", b"md AP8= b k q\r\n":
                main.send(command)
                connection.send(command)
            answers = [[each.read_line() for _ in range(4)] for each in (main, connection)]
            assert answers[0] == answers[1] and answers[0][-1] == b"MN"
        connection.send(b"ms quiet 1 q\r\n1\r\nma quiet q\r\nmd key q\r\nmn\r\n")
        assert connection.read_line() == b"MN"
        assert connection.get(b"quiet") == b"2"


def test_binary_commands(nodes):
    with nodes[0].connect() as plain:
        connection = BinaryConnection(plain)
        stored = connection.ask(binary.store(binary.SET, b"key", b"value", flags=9))
        assert (stored.status, stored.cas) == (binary.OK, 1)
        assert connection.ask(binary.store(binary.ADD, b"key", b"2")).status == binary.EXISTS
        assert connection.ask(binary.store(binary.SET, b"key", b"2", cas=99)).status == binary.EXISTS
        assert connection.ask(binary.store(binary.SET, b"key", b"2", cas=1)).cas == 2
        assert connection.ask(binary.packet(binary.APPEND, b"key", b"3")).status == binary.OK
        assert connection.ask(binary.packet(binary.GET, b"key")).value == b"23"
        made = connection.ask(binary.count(binary.INCR, b"n", 1, 5))
        assert (made.status, made.value) == (binary.OK, (5).to_bytes(8, "big"))
        assert connection.ask(binary.count(binary.INCR, b"n", 2, 5)).value == (7).to_bytes(8, "big")
        assert connection.ask(binary.packet(binary.DELETE, b"n")).status == binary.OK
        assert connection.ask(binary.packet(binary.DELETE, b"n")).status == binary.NOT_FOUND
        connection.send(binary.store(binary.SETQ, b"quiet", b"1") + binary.packet(binary.NOOP))
        assert connection.read().opcode == binary.NOOP
        assert connection.ask(binary.packet(binary.GET, b"quiet")).value == b"1"
        not_supported = 0x83
        assert connection.ask(binary.store(binary.SET, b"key", b"2", exptime=5)).status == not_supported
        assert connection.ask(binary.packet(binary.GAT, b"key", extras=(5).to_bytes(4, "big"))).status == not_supported
        assert connection.ask(binary.packet(binary.FLUSH)).status == binary.OK
        assert connection.ask(binary.packet(binary.GET, b"key")).status == binary.NOT_FOUND


def test_nothing_expires(nodes):
    refusal = b"CLIENT_ERROR items of a replicated cache do not expire"
    with nodes[0].connect() as connection:
        assert connection.set(b"key", b"1") == b"STORED"
        assert connection.set(b"key", b"2", exptime=10) == refusal
        assert connection.set(b"key", b"2", exptime=-1) == refusal
        for command in b"touch key 10", b"gat 10 key other", b"ms key 1 T10\r\n2", b"mg key T10", b"ma key N10", \
                b"flush_all 10":
            assert connection.ask(command + b"\r\n") == refusal, command
        assert connection.ask(b"gat 0 key\r\n") == b"VALUE key 0 1"
        assert connection.read_exactly(8) == b"1\r\nEND\r\n"
        other = b"CLIENT_ERROR a replicated cache does not have this command"
        for command in b"mg none N10", b"md key I", b"ms key 1 E7\r\n2":
            assert connection.ask(command + b"\r\n") == other, command
        assert connection.get(b"key") == b"1"


def test_a_client_library_works_unchanged(nodes):
    client = Client(nodes[0].address, timeout=10, default_noreply=False)
    assert client.set("key", "value")
    assert client.get("key") == b"value"
    assert client.add("key", "2") is False
    assert client.delete("key")
    assert client.incr("none", 1) is None
    client.close()


def test_a_server_that_was_away_catches_up(nodes):
    nodes[1].server.stop()
    with nodes[0].connect() as connection:
        for number in range(200):
            assert connection.set(b"key%d" % (number % 50), b"%d" % number) == b"STORED"
        assert connection.ask(b"delete key0\r\n") == b"DELETED"
    nodes[1].start()
    with nodes[1].connect() as connection:
        poll(lambda: nodes[1].applied() == 201, "it has all records")
        assert connection.get(b"key0") is None
        assert connection.get_many([b"key%d" % key for key in range(1, 50)]) == {
            b"key%d" % key: b"%d" % (150 + key) for key in range(1, 50)}


def test_no_answered_change_is_lost_by_a_kill(nodes):
    answered = []

    def write():
        try:
            with nodes[0].connect() as connection:
                for number in range(100_000):
                    if connection.set(b"key%d" % number, b"%d" % number) == b"STORED":
                        answered.append(number)
        except (OSError, EOFError):
            pass

    writer = threading.Thread(target=write)
    writer.start()
    poll(lambda: len(answered) > 100, "some changes are answered", 30)
    nodes[0].kill()
    writer.join()
    nodes[0].start()
    for node in nodes:
        with node.connect() as connection:
            found = {}
            for start in range(0, len(answered), 100):
                keys = [b"key%d" % number for number in answered[start:start + 100]]
                poll(lambda keys=keys: len(connection.get_many(keys)) == len(keys), "all answered changes are there")
                found |= connection.get_many(keys)
            assert found == {b"key%d" % number: b"%d" % number for number in answered}
    # The file is of the same boot, so it was not read again from the beginning.
    assert nodes[0].stats()["replica_loads"] == "0"


def test_a_server_without_its_log_reads_on(start_server, tmp_path):
    node = Node(start_server, tmp_path, "a")
    with node.connect() as connection:
        assert connection.set(b"key", b"1") == b"STORED"
    node.server.stop()
    # A file where the directory was: the log cannot be opened.
    shutil.move(tmp_path / "log", tmp_path / "away")
    (tmp_path / "log").write_text("")
    node.start()
    refusal = b"SERVER_ERROR the log of this cache cannot be used: nothing was written"
    with node.connect() as connection:
        assert connection.get(b"key") == b"1"
        assert connection.set(b"key", b"2") == refusal
        assert connection.ask(b"incr key 1\r\n") == refusal
        assert connection.ask(b"ms key 1\r\n2\r\n") == refusal
        assert BinaryConnection(node.connect()).ask(binary.store(binary.SET, b"key", b"2")).status == 0x86
        assert connection.get(b"key") == b"1"
        statistics = node.stats()
        assert statistics["replica_log_usable"] == "0"
        assert str(tmp_path / "log") in statistics["replica_error"]
        status, body, _ = ask(node.admin_port, "/readyz")
        assert status == 200 and re.match(r"ok\ncache config is read-only: .*log", body), body
        _, metrics, _ = ask(node.admin_port, "/metrics")
        assert 'larder_replica_log_usable{cache="config"} 0' in metrics
        assert "cache config is read-only" in node.server.stderr
        # It is there again.
        (tmp_path / "log").unlink()
        shutil.move(tmp_path / "away", tmp_path / "log")
        poll(lambda: connection.set(b"key", b"3") == b"STORED", "changes are written again")
        poll(lambda: ask(node.admin_port, "/readyz")[1] == "ok\n", "health has no complaint")


REFUSAL = b"SERVER_ERROR the log of this cache cannot be used: nothing was written"


def health(node, path="/healthz"):
    return ask(node.admin_port, path)[1]


def test_a_log_that_is_moved_away_under_servers(nodes, tmp_path):
    """Servers that have it open answer no change as written, and go on when it is back."""
    first, second = (node.connect() for node in nodes)
    assert first.set(b"key", b"1") == b"STORED"
    poll(lambda: second.get(b"key") == b"1", "both have the change")
    shutil.move(tmp_path / "log", tmp_path / "away")
    for connection in first, second:
        assert connection.set(b"key", b"2") == REFUSAL
        assert connection.ask(b"incr key 1\r\n") == REFUSAL
        assert connection.get(b"key") == b"1"
    assert not (tmp_path / "log").exists()
    for node in nodes:
        poll(lambda node=node: "cache config is read-only" in health(node), "health tells it")
    shutil.move(tmp_path / "away", tmp_path / "log")
    poll(lambda: first.set(b"key", b"3") == b"STORED", "changes are written again")
    poll(lambda: second.get(b"key") == b"3", "the other server follows")
    for node in nodes:
        poll(lambda node=node: health(node) == "ok\n", "health has no complaint")


def test_a_log_that_is_replaced_under_servers(nodes, start_server, tmp_path):
    """They have the items of the other log, and add to it."""
    (tmp_path / "third").mkdir()
    third = Node(start_server, tmp_path / "third", "c")
    with third.connect() as connection:
        assert connection.set(b"key", b"other") == connection.set(b"only", b"1") == b"STORED"
    third.server.stop()
    first, second = (node.connect() for node in nodes)
    for number in range(5):
        assert first.set(b"gone%d" % number, b"1") == b"STORED"
    shutil.move(tmp_path / "log", tmp_path / "away")
    shutil.move(tmp_path / "third" / "log", tmp_path / "log")
    for connection in first, second:
        poll(lambda connection=connection: connection.get(b"only") == b"1", "a server has the other log's items")
        assert connection.get(b"key") == b"other"
        assert connection.get(b"gone1") is None
    assert first.set(b"new", b"1") == b"STORED"
    poll(lambda: second.get(b"new") == b"1", "the other server follows")


def test_health_stays_bad_while_the_disk_is_full(start_server, tmp_path):
    """The limit of a file's size refuses changes, as a full disk does. Reads of the log go on meanwhile."""
    node = Node(start_server, tmp_path, "a")
    node.server.stop()
    # A process that ignores the signal gets an error instead, also after exec.
    server = Server(*node.arguments, threads=2)
    server.arguments = ["/bin/sh", "-c", 'trap "" XFSZ; exec "$0" "$@"', *server.arguments]
    try:
        server.start()
        node.server = server
        with node.connect() as connection:
            assert connection.set(b"key", b"1") == b"STORED"
            assert health(node) == "ok\n"
            segment = next((tmp_path / "log").glob("segment-*"))
            none = resource.RLIM_INFINITY
            resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (segment.stat().st_size + 10, none))
            assert connection.set(b"key", b"2") == REFUSAL
            poll(lambda: "cache config is read-only" in health(node), "health tells it")
            for _ in range(5):
                assert "cache config is read-only" in health(node)
                # A request that finds its answer in the items, and writes nothing to the log.
                assert connection.ask(b"add key 0 0 1\r\n1\r\n") == b"NOT_STORED"
            assert node.stats()["replica_log_usable"] == "0"
            assert server.stderr.count("follows its log again") == 0
            resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (none, none))
            assert "cache config is read-only" in health(node)
            assert connection.set(b"key", b"3") == b"STORED"
            poll(lambda: health(node) == "ok\n", "health has no complaint after a change")
            assert node.stats()["replica_log_usable"] == "1"
    finally:
        server.stop()


@pytest.mark.parametrize("request_line, answer, value", [
    (b"incr visits-of-today 1\r\n", b"42", b"42"),
    (b"append visits-of-today 0 0 1\r\n7\r\n", b"STORED", b"417"),
    (b"ma visits-of-today\r\n", b"HD", b"42"),
], ids=["incr", "append", "ma"])
def test_no_change_rests_on_a_changed_file(nodes, tmp_path, request_line, answer, value):
    """Another program changes an item through a mapping, which no system call reports."""
    with nodes[0].connect() as connection:
        assert connection.set(b"visits-of-today", b"41") == b"STORED"
        with open(tmp_path / "a.store", "r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
            place = mapped.find(b"visits-of-today41")
            assert place > 0
            mapped[place + 15:place + 17] = b"97"
        assert connection.ask(request_line) == answer
        assert connection.get(b"visits-of-today") == value
        assert nodes[0].stats()["replica_loads"] == "2"
    with nodes[1].connect() as other:
        poll(lambda: other.get(b"visits-of-today") == value, "the other server has the right value")


def test_a_new_server_without_its_log_is_not_ready(start_server, tmp_path):
    (tmp_path / "log").write_text("")
    node = Node(start_server, tmp_path, "a")
    with node.connect() as connection:
        connection.send(b"get key\r\n")
        poll(lambda: ask(node.admin_port, "/readyz")[0] == 503, "it is not ready")
        assert "cache config has not read its log" in ask(node.admin_port, "/readyz")[1]
        (tmp_path / "log").unlink()
        assert connection.read_line() == b"END"
    poll(lambda: ask(node.admin_port, "/readyz")[0] == 200, "it is ready")


def test_statistics_and_metrics(nodes):
    with nodes[0].connect() as connection:
        for number in range(3):
            assert connection.set(b"key%d" % number, b"1") == b"STORED"
    for node in nodes:
        poll(lambda node=node: node.applied() == 3, "both have all records")
        statistics = node.stats()
        assert [statistics[f"replica_{name}"] for name in ("latest_id", "lag", "lag_seconds", "log_usable")] == [
            "3", "0", "0", "1"]
        _, metrics, _ = ask(node.admin_port, "/metrics")
        for name, value in ("applied_id", 3), ("latest_id", 3), ("lag_records", 0), ("log_usable", 1):
            assert f'larder_replica_{name}{{cache="config"}} {value}' in metrics
    assert nodes[0].stats()["replica_writes"] == "3"
    assert nodes[1].stats()["replica_writes"] == "0"


@pytest.mark.parametrize("url", [
    "file://u:SECRET@h/x", "file://u:SEC/RET@h/x", "FILE://:SECRET@/x", "file:///x?password=SECRET",
    "file:///x?a=b&password=SECRET", "unknown://u:SECRET@h/x",
])
def test_a_password_is_refused(url, tmp_path):
    """It would be in the command line, in the log and in --check-config."""
    line = f"name=config,log={url},store={tmp_path}/s"
    (tmp_path / "file").write_text(f"cache {line}\n")
    for arguments in ["--cache", line], ["--config", tmp_path / "file"], ["--check-config", "--cache", line]:
        outcome = run(*arguments)
        assert outcome.returncode != 0 and "log has a password" in outcome.stderr
        assert "SECRET" not in outcome.stderr + outcome.stdout


@pytest.mark.parametrize("keys, message", [
    ("log=file:///tmp/x", "store is missing"),
    ("log=/tmp/x,store=s", "log takes"),
    ("log=file://x,store=s", "log takes"),
    ("log=ftp://x/y,store=s", "log takes"),
    ("log=file:///tmp/x,store=s,items=5", "items does not go with log"),
    ("log=file:///tmp/x,store=s,lastmod=1", "lastmod needs items"),
    ("log=file:///tmp/x,store=s,nodes=10.0.0.5:3032", "nodes needs items"),
])
def test_bad_options(keys, message):
    outcome = run("--cache", f"name=config,{keys}")
    assert outcome.returncode != 0
    assert message in outcome.stderr
