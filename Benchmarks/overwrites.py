#!/usr/bin/env python3
"""Overwrites keys at random in memcached and Larder, and counts those that are missing afterwards: make overwrites.

Both with -m 64. Keys of ten bytes are stored once, then eight times as many sets go to random ones of them. Live is the
share of -m that keys and values fill.
"""

import argparse
import itertools
import os
import random
import re
import tempfile

from density import Client
from servers import Server

MEGABYTES = 64
TIMES = 8


def key(number):
    return b"k%09d" % number


def lifetime(kind, numbers):
    return {"none": 0, "one": 3600, "mixed": numbers.randrange(600, 3600)}[kind]


def send(clients, order, value_bytes, kind, numbers):
    """Sets the keys, in batches that go to one connection after the other."""
    value = b"x" * value_bytes
    per_batch = max(1, 200_000 // (value_bytes + 40))
    turns = itertools.cycle(clients)
    for first in range(0, len(order), per_batch):
        request = b"".join(
            b"set %b 0 %d %d noreply\r\n%b\r\n" % (key(number), lifetime(kind, numbers), value_bytes, value)
            for number in order[first:first + per_batch])
        next(turns).ask(request + b"mn\r\n", b"MN\r\n")


def measure(port, live, value_bytes, kind, workers, seed):
    """The number of keys, how many are missing, and the evictions."""
    clients = [Client(port) for _ in range(workers)]
    numbers = random.Random(seed)
    count = int(MEGABYTES * 1024 * 1024 * live / 100 / (value_bytes + 10))
    send(clients, range(count), value_bytes, kind, numbers)
    for _ in range(TIMES):
        send(clients, [numbers.randrange(count) for _ in range(count)], value_bytes, kind, numbers)
    missing = 0
    for first in range(0, count, 100):
        request = b"".join(b"mg %b\r\n" % key(number) for number in range(first, min(count, first + 100)))
        missing += clients[0].ask(request + b"mn\r\n", b"MN\r\n").count(b"EN\r\n")
    evictions = int(re.search(rb"STAT evictions (\d+)", clients[0].ask(b"stats\r\n", b"END\r\n"))[1])
    return count, missing, evictions


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--memcached", default="/usr/bin/memcached")
    parser.add_argument("--larder", default=os.path.join(here, "..", ".build", "release", "larder"))
    parser.add_argument("--live", default="84,86,88,92", help="percentages of -m")
    parser.add_argument("--sizes", default="300,1000,4000,16000", help="bytes of a value")
    parser.add_argument("--lifetimes", default="none,one,mixed")
    parser.add_argument("--workers", default="1,4")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--port", type=int, default=25380, help="first of some free ports")
    options = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    port = options.port
    print(f"-m {MEGABYTES}, seed {options.seed}              keys   missing: memcached   larder")
    with tempfile.TemporaryDirectory(prefix="larder-overwrites-") as directory:
        for size, live, kind, workers in itertools.product(
                map(int, options.sizes.split(",")), map(float, options.live.split(",")),
                options.lifetimes.split(","), map(int, options.workers.split(","))):
            rows = []
            for server, path in (("memcached", options.memcached), ("larder", options.larder)):
                port += 1
                arguments = ["-t", str(workers), "-m", str(MEGABYTES), "-I", "4m"]
                with Server(server, path, arguments, port, cores, directory):
                    rows.append(measure(port, live, size, kind, workers, options.seed))
            (their, ours) = rows
            print(f"{size:6} B {live:g} % {kind:5} -t {workers} {ours[0]:9} {their[1]:20} {ours[1]:8}", flush=True)


if __name__ == "__main__":
    main()
