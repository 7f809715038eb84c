"""Servers as replicas over real databases: counters of many clients, servers that were away, killed databases."""

import os
import re
import shutil
import threading

import pytest

from admin import ask
from databases import DATABASES, Log, program
from replicas import REFUSALS, Node, count_exactly
from server import poll

pytestmark = pytest.mark.larder_only

CLIENTS = int(os.environ.get("LARDER_REPLICA_CLIENTS", "20"))
COUNTS = int(os.environ.get("LARDER_REPLICA_COUNTS", "50"))


@pytest.fixture(scope="module", params=DATABASES)
def database(request):
    with DATABASES[request.param]() as made:
        yield made


@pytest.fixture
def log(database):
    # A test that failed may have left it killed.
    database.start()
    return Log(database)


@pytest.fixture
def start_node(start_server, tmp_path, log):
    """A function that starts a server of the log."""

    def start(name, *arguments):
        return Node(
            start_server, tmp_path / f"{name}.store", log.url, *arguments, program=program("larder"),
            environment=log.database.environment())

    return start


@pytest.fixture
def nodes(start_node):
    return [start_node(name) for name in "ab"]


def test_many_clients_of_two_servers_count_exactly(nodes):
    count_exactly(nodes, CLIENTS, COUNTS)


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


@pytest.mark.parametrize("is_rewritten", [False, True])
def test_a_server_that_was_away_catches_up(nodes, log, is_rewritten):
    with nodes[0].connect() as connection:
        assert connection.set(b"gone", b"1") == b"STORED"
    poll(lambda: nodes[1].get(b"gone") == b"1", "both have the key")
    nodes[1].server.stop()
    with nodes[0].connect() as connection:
        for number in range(200):
            assert connection.set(b"key%d" % (number % 50), b"%d" % number) == b"STORED"
        assert connection.ask(b"delete gone\r\n") == b"DELETED"
    assert log.status() == {"latest": 202, "snapshot": 0, "records": 202}
    if is_rewritten:
        assert log.tool("rewrite").stdout == "snapshot 202\n"
        assert log.status() == {"latest": 202, "snapshot": 202, "records": 0}
    with nodes[0].connect() as connection:
        assert connection.set(b"last", b"1") == b"STORED"
    nodes[1].start()
    poll(lambda: nodes[1].applied() == 203, "it has all records")
    with nodes[1].connect() as connection:
        assert connection.get_many([b"gone", b"last", *(b"key%d" % key for key in range(50))]) == {
            b"last": b"1", **{b"key%d" % key: b"%d" % (150 + key) for key in range(50)}}
    # It had the records up to the first one, so only a snapshot made it load anything anew.
    assert nodes[1].stats()["replica_loads"] == ("1" if is_rewritten else "0")


def test_a_new_server_begins_with_a_copied_store(nodes, start_node, tmp_path):
    """It reads only the records that the copy does not have."""
    with nodes[0].connect() as connection:
        for number in range(50):
            assert connection.set(b"key%d" % number, b"%d" % number) == b"STORED"
    nodes[0].server.stop()
    shutil.copy(tmp_path / "a.store", tmp_path / "c.store")
    with nodes[1].connect() as connection:
        assert connection.set(b"key7", b"new") == b"STORED"
    third = start_node("c")
    poll(lambda: third.applied() == 51, "it has all records")
    with third.connect() as connection:
        assert connection.get_many([b"key%d" % number for number in range(50)]) == {
            b"key%d" % number: b"new" if number == 7 else b"%d" % number for number in range(50)}
    statistics = third.stats()
    assert (statistics["replica_loads"], statistics["replica_records_applied"]) == ("0", "1")


def test_a_restored_backup_is_noticed(nodes, log):
    """Changes that the backup does not have are gone on all servers alike, and new ones come after it."""
    with nodes[0].connect() as connection:
        assert connection.set(b"kept", b"1") == b"STORED"
        backup = log.database.dump(log.tables)
        for number in range(20):
            assert connection.set(b"lost%d" % number, b"1") == b"STORED"
        assert connection.set(b"kept", b"2") == b"STORED"
    poll(lambda: nodes[1].applied() == 22, "both have all records")
    log.database.sql(backup)
    for node in nodes:
        poll(lambda node=node: node.get(b"kept") == b"1", "the value is that of the backup")
        with node.connect() as connection:
            assert connection.get_many([b"lost%d" % number for number in range(20)]) == {}
    with nodes[1].connect() as connection:
        poll(lambda: connection.set(b"kept", b"3") == b"STORED", "changes are written")
    poll(lambda: nodes[0].get(b"kept") == b"3", "the other server has it")
    assert log.status()["latest"] == nodes[0].applied() == nodes[1].applied()


class Writer(threading.Thread):
    """Sets keys of its own again and again, one value after the other, and repeats a set that is refused."""

    def __init__(self, node, name):
        super().__init__()
        self.node, self.name_of_key = node, name
        self.stored, self.refusals, self.others = 0, 0, []
        self.is_over = threading.Event()

    def run(self):
        with self.node.connect(timeout=60) as connection:
            while not self.is_over.is_set():
                answer = connection.set(self.name_of_key, b"%d" % (self.stored + 1))
                if answer == b"STORED":
                    self.stored += 1
                elif answer in REFUSALS:
                    self.refusals += 1
                else:
                    self.others.append(answer)
                # Reads go on, and never show an older value than the one that was answered.
                if int(connection.get(self.name_of_key) or 0) < self.stored:
                    self.others.append(b"an older value")


def test_a_killed_database(nodes, database):
    """Reads go on, changes are refused, health says so; and nothing that was answered is lost."""
    writers = [Writer(nodes[number % 2], b"key%d" % number) for number in range(6)]
    for writer in writers:
        writer.start()
    try:
        poll(lambda: all(writer.stored > 20 for writer in writers), "changes are answered", 30)
        database.kill()
        poll(lambda: all(writer.refusals > 0 for writer in writers), "changes are refused", 30)
        for node in nodes:
            assert node.get(b"key0") is not None
            statistics = node.stats()
            assert statistics["replica_log_usable"] == "0" and statistics["replica_error"]
            poll(lambda node=node: int(node.stats()["replica_lag_seconds"]) > 0, "the lag grows")
            status, body, _ = ask(node.admin_port, "/readyz")
            assert status == 200 and re.match(r"ok\ncache config is read-only: .*", body), body
            _, metrics, _ = ask(node.admin_port, "/metrics")
            assert 'larder_replica_log_usable{cache="config"} 0' in metrics
            assert "cache config is read-only" in node.server.stderr
        database.start()
        stored = [writer.stored for writer in writers]
        poll(lambda: all(writer.stored > before + 20 for writer, before in zip(writers, stored)), "it works again", 30)
    finally:
        for writer in writers:
            writer.is_over.set()
        for writer in writers:
            writer.join()
    assert [writer.others for writer in writers] == [[]] * 6
    for node in nodes:
        # A refused change may be in the log. Then it comes after the last one that was answered.
        poll(lambda node=node: ask(node.admin_port, "/readyz")[1] == "ok\n", "health has no complaint", 10)
        for writer in writers:
            poll(lambda node=node, writer=writer: int(node.get(writer.name_of_key)) >= writer.stored, "it is there")
    poll(lambda: nodes[0].applied() == nodes[1].applied(), "both have applied the same")
    values = [[node.get(writer.name_of_key) for writer in writers] for node in nodes]
    assert values[0] == values[1]


def test_a_server_starts_while_its_database_is_down(nodes, database):
    with nodes[0].connect() as connection:
        assert connection.set(b"key", b"1") == b"STORED"
    nodes[0].server.stop()
    database.kill()
    try:
        nodes[0].start()
        with nodes[0].connect() as connection:
            assert connection.get(b"key") == b"1"
            assert connection.set(b"key", b"2") == REFUSALS[0]
    finally:
        database.start()
    with nodes[0].connect() as connection:
        poll(lambda: connection.set(b"key", b"3") == b"STORED", "changes are written again", 10)
    poll(lambda: nodes[1].get(b"key") == b"3", "the other server has it")
