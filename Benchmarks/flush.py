#!/usr/bin/env python3
"""How long requests wait while millions of items are flushed: Benchmarks/flush.py [--memcached PATH] [--items N].

A client stores the items. Two others send a set or a get at a time. Then the first client sends flush_all. Each line has
the time of flush_all, the longest waits of the others from then on, and the items that are counted right after the
flush. Larder and memcached take turns.
"""

import argparse
import os
import threading
import time

from unread import ROOT, Server

BATCH = 2_000


def fill(client, items):
    for start in range(0, items, BATCH):
        client.sendall(b"".join(
            b"set key:%d 0 0 20 noreply\r\n01234567890123456789\r\n" % number for number in range(start, start + BATCH)))
    ask(client, b"version\r\n", b"\r\n")


def ask(client, request, end):
    """An answer, to its end."""
    client.sendall(request)
    answer = b""
    while not answer.endswith(end):
        chunk = client.recv(65536)
        if not chunk:
            raise EOFError("the server closed the connection")
        answer += chunk
    return answer


class Probe(threading.Thread):
    """A client that sends one request at a time, and notes how long each took."""

    def __init__(self, server, request, end):
        super().__init__()
        self.client, self.request, self.end = server.connect(), request, end
        self.is_stopped = False
        self.times = []

    def run(self):
        number = 0
        while not self.is_stopped:
            begin = time.perf_counter()
            ask(self.client, self.request(number), self.end)
            self.times.append((begin, time.perf_counter() - begin))
            number += 1
            time.sleep(0.0005)

    def stop(self):
        self.is_stopped = True
        self.join()

    def worst(self, since, until=float("inf")):
        """In milliseconds, of requests that were answered after the one moment and sent before the other."""
        return 1000 * max(seconds for begin, seconds in self.times if begin + seconds > since and begin < until)


def measure(name, binary, options, extra):
    with Server(binary, "-m", options.memory, "-t", 4, *extra) as server:
        client = server.connect()
        fill(client, options.items)
        sets = Probe(server, lambda number: b"set probe:%d 0 0 5\r\nvalue\r\n" % number, b"\r\n")
        gets = Probe(server, lambda number: b"get key:%d\r\n" % (number * 7919 % options.items), b"END\r\n")
        begin = time.perf_counter()
        for probe in sets, gets:
            probe.start()
        time.sleep(1)
        flush = time.perf_counter()
        ask(client, b"flush_all\r\n", b"OK\r\n")
        flushed = time.perf_counter()
        statistics = ask(client, b"stats\r\n", b"END\r\n")
        time.sleep(2)
        for probe in sets, gets:
            probe.stop()
        items = int(statistics.split(b"STAT curr_items ")[1].split()[0])
        print(
            f"{name}: flush_all {1000 * (flushed - flush):.2f} ms; longest set {sets.worst(flush):.2f} ms"
            f" (before {sets.worst(begin, flush):.2f}), longest get {gets.worst(flush):.2f} ms"
            f" (before {gets.worst(begin, flush):.2f}); {items} items right after", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--larder", default=str(ROOT / ".build/release/larder"))
    parser.add_argument("--memcached", help="measured too, if given")
    parser.add_argument("--items", type=int, default=5_000_000)
    parser.add_argument("--memory", type=int, default=2048, help="-m of the servers, in MB")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    for _ in range(options.rounds):
        measure("larder", options.larder, options, [])
        if options.memcached:
            measure("memcached", options.memcached, options, ["-u", "root"] if os.geteuid() == 0 else [])


if __name__ == "__main__":
    main()
