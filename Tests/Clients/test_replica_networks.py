"""A database and two servers on hosts of their own, and one server's network is cut."""

import itertools
import re
import threading

import pytest

from admin import ask
from databases import DATABASES, Log, program
from networks import Hosts
from replicas import REFUSALS, Node
from server import poll

pytestmark = pytest.mark.larder_only

# Short, so that the cut is noticed within a test's time.
TIMES = "connect_timeout=2", "answer_timeout=2"


@pytest.fixture(scope="module")
def hosts():
    with Hosts() as made:
        yield made


@pytest.fixture(scope="module", params=DATABASES)
def database(request, hosts):
    with DATABASES[request.param](host=hosts.address("db"), prefix=hosts.command("db")) as made:
        yield made


@pytest.fixture
def log(database, hosts):
    return Log(database, *TIMES, prefix=hosts.command("db"))


@pytest.fixture
def nodes(start_server, tmp_path, log, hosts):
    """A server on each host. Its clients come by way of Unix sockets, which no network cuts."""
    return {
        name: Node(
            start_server, tmp_path / f"{name}.store", log.url, unix=True, socket=f"{tmp_path}/{name}.socket",
            program=program("larder"), environment=log.database.environment(), prefix=hosts.command(name))
        for name in "ab"}


class Answered:
    """Sets keys one after the other until it is stopped, and keeps those that were answered with STORED."""

    def __init__(self, node, prefix):
        self.node, self.prefix = node, prefix
        self.keys, self.refusals, self.others = [], 0, []
        self.is_over = threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        with self.node.connect(timeout=60) as connection:
            for number in itertools.count():
                if self.is_over.is_set():
                    return
                key = b"%b-%d" % (self.prefix, number)
                answer = connection.set(key, key)
                if answer == b"STORED":
                    self.keys.append(key)
                elif answer in REFUSALS:
                    self.refusals += 1
                else:
                    self.others.append(answer)

    def end(self):
        self.is_over.set()
        self.thread.join(60)
        assert not self.thread.is_alive() and self.others == []


def missing_keys(node, keys):
    with node.connect() as connection:
        return [
            key for start in range(0, len(keys), 100)
            for key in set(keys[start:start + 100]) - set(connection.get_many(keys[start:start + 100]))]


@pytest.mark.parametrize("cut, join", [("unplug", "plug"), ("drop", "deliver")])
def test_a_node_whose_network_is_cut(hosts, nodes, cut, join):
    """It reads on and refuses changes. Nothing that was answered is lost, and it catches up afterwards."""
    there, cut_off = nodes["a"], nodes["b"]
    with cut_off.connect() as connection:
        assert connection.set(b"key", b"before") == b"STORED"
    poll(lambda: there.get(b"key") == b"before", "the other server has it")
    writers = [Answered(node, name.encode()) for name, node in nodes.items()]
    try:
        poll(lambda: all(len(writer.keys) > 20 for writer in writers), "changes are answered", 20)
        getattr(hosts, cut)("b")
        try:
            poll(lambda: writers[1].refusals > 2, "its changes are refused", 40)
            assert cut_off.get(b"key") == b"before"
            with cut_off.connect(timeout=60) as connection:
                assert connection.set(b"key", b"during") in REFUSALS
            statistics = cut_off.stats()
            assert statistics["replica_log_usable"] == "0" and int(statistics["replica_lag_seconds"]) > 0
            with hosts.within("b"):
                status, body, _ = ask(cut_off.admin_port, "/readyz")
            assert status == 200 and re.match(r"ok\ncache config is read-only: .*", body), body
            # The other one goes on.
            count = len(writers[0].keys)
            poll(lambda: len(writers[0].keys) > count + 20, "the other server writes", 20)
            with there.connect(timeout=60) as connection:
                assert connection.set(b"key", b"after") == b"STORED"
            assert cut_off.get(b"key") == b"before"
            assert there.stats()["replica_log_usable"] == "1"
        finally:
            getattr(hosts, join)("b")
        count = len(writers[1].keys)
        poll(lambda: len(writers[1].keys) > count + 20, "its changes are answered again", 40)
    finally:
        for writer in writers:
            writer.is_over.set()
        for writer in writers:
            writer.end()
    answered = [key for writer in writers for key in writer.keys]
    for node in nodes.values():
        poll(lambda node=node: not missing_keys(node, answered), "all answered changes are there", 20)
        assert node.get(b"key") == b"after"
    with hosts.within("b"):
        poll(lambda: ask(cut_off.admin_port, "/readyz")[1] == "ok\n", "health has no complaint", 20)


def test_a_node_that_starts_without_a_network(hosts, nodes):
    """With a store it reads on; it needs no network for that."""
    node = nodes["b"]
    with node.connect() as connection:
        assert connection.set(b"key", b"1") == b"STORED"
    node.server.stop()
    hosts.unplug("b")
    try:
        node.start()
        assert node.get(b"key") == b"1"
        with node.connect(timeout=60) as connection:
            assert connection.set(b"key", b"2") == REFUSALS[0]
        with nodes["a"].connect() as connection:
            assert connection.set(b"key", b"3") == b"STORED"
        assert node.get(b"key") == b"1"
    finally:
        hosts.plug("b")
    poll(lambda: node.get(b"key") == b"3", "it catches up", 20)
