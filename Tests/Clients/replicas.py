"""Servers with a replicated cache, for tests."""

import signal
import threading

from server import Connection, free_port, poll

# What a server answers that cannot use its log.
REFUSALS = (
    b"SERVER_ERROR the log of this cache cannot be used: nothing was written",
    b"SERVER_ERROR the log may or may not have this change: repeat it",
    b"SERVER_ERROR the change is durable, and not applied here yet",
)


class Node:
    """A server with a replicated cache. Its listener is the server's second address, or the file `socket`."""

    def __init__(self, start_server, store, log, *arguments, threads=2, socket=None, **options):
        self.admin_port = free_port()
        listener = socket or ":0"
        self.arguments = [
            "--cache", f"name=config,log={log},store={store},listen={listener}", "--admin", self.admin_port, "-m", "16",
            *arguments]
        self.start_server, self.socket = start_server, socket
        self.options = {"threads": threads, **options}
        self.start()

    def start(self):
        self.server = self.start_server(*self.arguments, **self.options)

    @property
    def address(self):
        return self.socket or self.server.addresses[1]

    def connect(self, **options):
        return Connection(self.address, **options)

    def stats(self):
        with self.connect() as connection:
            return connection.stats("larder")

    def applied(self):
        return int(self.stats()["replica_applied_id"])

    def get(self, key):
        with self.connect() as connection:
            return connection.get(key)

    def kill(self):
        self.server.process.send_signal(signal.SIGKILL)
        self.server.process.wait(10)
        self.server.process = None


def in_threads(tasks):
    """Runs functions at the same time, and returns their results."""
    results, errors = [None] * len(tasks), []

    def run_one(place):
        try:
            results[place] = tasks[place]()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run_one, args=[place]) for place in range(len(tasks))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results


def count_exactly(nodes, clients, counts):
    """Clients of two servers increment one counter at the same time."""
    with nodes[0].connect() as connection:
        assert connection.set(b"counter", b"0") == b"STORED"
    poll(lambda: nodes[1].applied() == 1, "the other server has the counter")

    def count(node):
        with node.connect(timeout=60) as connection:
            return [int(connection.ask(b"incr counter 1\r\n")) for _ in range(counts)]

    answers = in_threads([lambda node=nodes[number % 2]: count(node) for number in range(clients)])
    # No number was given twice, and none is missing.
    assert sorted(number for each in answers for number in each) == list(range(1, clients * counts + 1))
    for node in nodes:
        poll(lambda node=node: node.get(b"counter") == b"%d" % (clients * counts), "both have the sum")
    assert sum(int(node.stats()["replica_conflicts"]) for node in nodes) > 0
