"""User instructions per operation, counted by valgrind, for compare.py --instructions.

Two runs of one fixed stream that differ only in length: the difference of their counts is the cost of
the operations, without starting, filling and stopping. It repeats to a fraction of a percent, whatever
else the machine does, and so is the figure to gate on.
"""

import os
import re
import shutil
import subprocess
import sys
import typing

from servers import Loader, Server

KEYS = ["--key-maximum", "10000", "-d", "100"]
# pylibmc, python-memcached and PHP's clients set client flags.
FLAGS = ["--client-flags", "12345"]
META = KEYS + ["-P", "memcache_meta"]
BINARY = KEYS + ["-P", "memcache_binary"]


class Stream(typing.NamedTuple):
    """A load, the operations in one request of it, and how many times fewer requests are enough: connections are slow to
    make under valgrind."""

    load: list
    keys_per_request: int = 1
    fewer: int = 1

    def requests(self, operations):
        return operations // self.keys_per_request // self.fewer

    def per_operation(self, counts, operations):
        """What one operation costs, from what two runs of so many of them cost."""
        return (counts[1] - counts[0]) * self.fewer / (operations[1] - operations[0])


STREAMS = {
    "get1": Stream(KEYS + ["--ratio", "0:1"]),
    "pipe32": Stream(KEYS + ["--pipeline", "32"]),
    "set32": Stream(KEYS + ["--pipeline", "32", "--ratio", "1:0"]),
    "mget100": Stream(KEYS + ["--ratio", "0:100", "--multi-key-get", "100"], 100),
    "meta1": Stream(META + ["--ratio", "0:1"]),
    "meta32": Stream(META + ["--pipeline", "32"]),
    "metaq100": Stream(META + ["--ratio", "0:100", "--multi-key-get", "100"], 100),
    "bin1": Stream(BINARY + ["--ratio", "0:1"]),
    "binq100": Stream(BINARY + ["--ratio", "0:100", "--multi-key-get", "100"], 100),
    "getf1": Stream(KEYS + FLAGS + ["--ratio", "0:1"]),
    "setf32": Stream(KEYS + FLAGS + ["--pipeline", "32", "--ratio", "1:0"]),
    "mgetf100": Stream(KEYS + FLAGS + ["--ratio", "0:100", "--multi-key-get", "100"], 100),
    "metaqf100": Stream(META + FLAGS + ["--ratio", "0:100", "--multi-key-get", "100"], 100),
    "binqf100": Stream(BINARY + FLAGS + ["--ratio", "0:100", "--multi-key-get", "100"], 100),
    "churn": Stream(KEYS + ["--reconnect-interval", "1"], fewer=8),
}
# Operations of the two runs; each a whole number of batches on each of the connections.
SHORT, LONG = 16_000, 64_000
# Several, so that an epoll_wait has several to report, as with real clients.
CONNECTIONS = 10

# Under valgrind memcached's setrlimit fails, and memcached gives up.
STUB = """
#include <sys/resource.h>
int setrlimit(__rlimit_resource_t resource, const struct rlimit *limit) {
    (void)resource; (void)limit; return 0;
}
"""


def compare(options, directory, names):
    """Prints and returns instructions per operation of both servers, of the streams that are named."""
    if shutil.which("valgrind") is None:
        sys.exit("compare: valgrind is not installed")
    stub = build_stub(directory)
    larder = without_debug_information(options.larder, directory)
    report = {}
    print(f"{'workload':9} | {'instructions/op mc':>18} {'larder':>9} {'ratio':>6}", flush=True)
    for name in filter(names.__contains__, STREAMS):
        stream = STREAMS[name]
        figures = {}
        for kind, path in (("memcached", options.memcached), ("larder", larder)):
            counts = [
                count(kind, path, stream.load, stream.requests(operations), options, directory, stub)
                for operations in (SHORT, LONG)
            ]
            figures[kind] = stream.per_operation(counts, (SHORT, LONG))
        figures["ratio"] = figures["larder"] / figures["memcached"]
        report[name] = figures
        print(f"{name:9} | {figures['memcached']:18.0f} {figures['larder']:9.0f} {figures['ratio']:6.3f}",
              flush=True)
    return report


def build_stub(directory):
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        sys.exit("compare: no C compiler, for what memcached needs under valgrind")
    source, library = os.path.join(directory, "stub.c"), os.path.join(directory, "stub.so")
    with open(source, "w", encoding="ascii") as file:
        file.write("#define _GNU_SOURCE" + STUB)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)
    return library


def without_debug_information(path, directory):
    """A copy without DWARF 5, which older valgrinds cannot read and die of."""
    copy = os.path.join(directory, "larder")
    shutil.copy(path, copy)
    if shutil.which("objcopy"):
        subprocess.run(["objcopy", "--strip-debug", copy], check=True)
    return copy


def count(kind, path, load, requests, options, directory, stub, further=()):
    """Instructions of a server's whole life with `requests` requests in it. `further`: options of the server."""
    cores = sorted(os.sched_getaffinity(0))
    counter = ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]
    environment = dict(os.environ, LD_PRELOAD=stub) if kind == "memcached" else None
    server = Server(kind, path, ["-t", "1", "-m", "256", *further], options.port, cores[:1], directory,
                    wrapper=counter, environment=environment)
    with server:
        loader = Loader(options.bench, cores[-1:], directory)
        loader.fill(server, load)
        loader.run(server, load + [
            "-c", str(CONNECTIONS), "-n", str(requests // CONNECTIONS), "--seed", "7"])
    with open(server.log, encoding="utf-8", errors="replace") as log:
        found = re.search(r"I\s+refs:\s+([\d,]+)", log.read())
    if found is None:
        sys.exit(f"compare: valgrind gave no count for {kind}")
    return int(found.group(1).replace(",", ""))
