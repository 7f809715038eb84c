#!/usr/bin/env python3
"""Runs memcached and Larder in turn under the same loads and prints what each costs: make compare.

Both servers of a workload are started and filled; then runs of one and of the other alternate, so that
whatever else the machine does hits both alike. What counts is the ratio Larder/memcached of each such
pair: absolute figures move with the machine, ratios hardly. See README.md for what each column means.
"""

import argparse
import contextlib
import json
import os
import statistics
import sys
import tempfile

import instructions
from servers import Loader, Server

MEMORY = ["-m", "1024", "-c", "4096"]
KEYS = ["--key-maximum", "200000"]
SMALL = KEYS + ["-d", "100"]

# name: server threads, server options, load options; "keys" of the load are stored first.
WORKLOADS = {
    "get50": (1, MEMORY, SMALL),
    "pipe32": (1, MEMORY, SMALL + ["--pipeline", "32"]),
    "set32": (1, MEMORY, SMALL + ["--pipeline", "32", "--ratio", "1:0"]),
    "mget100": (1, MEMORY, SMALL + ["--ratio", "0:100", "--multi-key-get", "100"]),
    "unix50": (1, MEMORY, SMALL),
    "v16k": (1, MEMORY, ["--key-maximum", "20000", "-d", "16384"]),
    "evict": (
        1, ["-m", "64", "-c", "4096"],
        ["--key-maximum", "1000000", "--data-size-range", "100-1000", "--pipeline", "32", "--ratio", "1:0"],
    ),
    "conn1k": (1, MEMORY, SMALL + ["-c", "1000"]),
    "t4get50": (4, MEMORY, SMALL),
}

FIGURES = [
    ("cpu", "CPU us/op", "{:.3f}"),
    ("rate", "ops/s", "{:.0f}"),
    ("p50", "p50 ms", "{:.3f}"),
    ("p99", "p99 ms", "{:.3f}"),
    ("rss", "RSS MB", "{:.1f}"),
]


def cores(threads):
    """Where the server's threads and the load run: apart as long as there are cores."""
    available = sorted(os.sched_getaffinity(0))
    if len(available) < 2:
        sys.exit("compare: needs two cores, one for the server and one for the load")
    if threads == 1:
        return [available[0]], [available[1]]
    if len(available) > threads:
        return available[:threads], [available[threads]]
    return available, [available[-1]]


def measure(server, loader, load, seconds):
    """One run: what the server spent, over what was done."""
    before = server.cpu_seconds()
    stats = loader.run(server, load + ["--test-time", str(seconds), "--seed", str(loader.next_seed())])
    spent = server.cpu_seconds() - before
    percentiles = stats["Totals"]["Percentile Latencies"]
    return {
        "cpu": spent * 1e6 / stats["Keys"],
        "rate": stats["Keys/sec"],
        "p50": percentiles["p50.00"],
        "p99": percentiles["p99.00"],
        "rss": server.resident_megabytes(),
        "errors": stats["Errors"],
        "misses": stats["Totals"]["Misses"],
    }


def run_workload(name, options, directory):
    threads, server_options, load = WORKLOADS[name]
    server_cores, load_cores = cores(threads)
    unix = name.startswith("unix")
    with contextlib.ExitStack() as stack:
        servers = [
            stack.enter_context(
                Server(kind, path, ["-t", str(threads)] + server_options, options.port + number,
                       server_cores, directory, unix))
            for number, (kind, path) in enumerate(
                [("memcached", options.memcached), ("larder", options.larder)])
        ]
        loader = Loader(options.bench, load_cores, directory)
        for server in servers:
            loader.fill(server, load)
            measure(server, loader, load, options.seconds / 4)
        loader.restart_seeds()
        runs = {"memcached": [], "larder": []}
        for _ in range(options.pairs):
            seed = loader.seed
            for server in servers:
                # Both of a pair are asked for the same keys.
                loader.seed = seed
                runs[server.kind].append(measure(server, loader, load, options.seconds))
    return runs


def summarize(runs):
    """Medians of each server, the median of the pairs' ratios, and the ratio of the best runs: what was
    least disturbed, and on a busy machine the steadier of the two."""
    figures = {}
    for figure, _, _ in FIGURES:
        theirs = [run[figure] for run in runs["memcached"]]
        ours = [run[figure] for run in runs["larder"]]
        ratios = [our / their if their else 0 for our, their in zip(ours, theirs)]
        best = max if figure == "rate" else min
        figures[figure] = {
            "memcached": statistics.median(theirs), "larder": statistics.median(ours),
            "ratio": statistics.median(ratios),
            "best": best(ours) / best(theirs) if best(theirs) else 0,
        }
    figures["errors"] = {kind: sum(run["errors"] for run in runs[kind]) for kind in runs}
    return figures


def print_header():
    print(f"{'workload':9}", end="")
    for _, title, _ in FIGURES:
        print(f" | {title + ' mc':>13} {'larder':>9} {'ratio':>6}", end="")
        if title.startswith("CPU"):
            print(f" {'best':>6}", end="")
    print(" | errors mc/larder", flush=True)


def print_row(name, figures):
    print(f"{name:9}", end="")
    for figure, title, form in FIGURES:
        values = figures[figure]
        theirs, ours = form.format(values["memcached"]), form.format(values["larder"])
        print(f" | {theirs:>13} {ours:>9} {values['ratio']:6.3f}", end="")
        if title.startswith("CPU"):
            print(f" {values['best']:6.3f}", end="")
    print(f" | {figures['errors']['memcached']}/{figures['errors']['larder']}", flush=True)


def parse():
    here = os.path.dirname(os.path.abspath(__file__))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--memcached", default="/usr/bin/memcached", help="memcached's binary")
    parser.add_argument("--larder", default=os.path.join(here, "..", ".build", "release", "larder"))
    parser.add_argument("--bench", default=os.path.join(here, ".build", "release", "larder-bench"))
    parser.add_argument("--quick", action="store_true", help="3 pairs of 1 s instead of 7 of 3 s")
    parser.add_argument("--pairs", type=int, help="how many pairs of runs")
    parser.add_argument("--seconds", type=float, help="how long a run is")
    parser.add_argument("--workloads", default=",".join(WORKLOADS), help="which, with commas")
    parser.add_argument("--instructions", action="store_true",
                        help="count user instructions per operation with valgrind instead")
    parser.add_argument("--port", type=int, default=25080, help="first of two free ports")
    parser.add_argument("--json", default=os.path.join(here, ".build", "compare.json"),
                        help="where the figures of all runs go (default %(default)s)")
    options = parser.parse_args()
    options.pairs = options.pairs or (3 if options.quick else 7)
    options.seconds = options.seconds or (1.0 if options.quick else 3.0)
    for path in (options.memcached, options.larder, options.bench):
        if not os.access(path, os.X_OK):
            sys.exit(f"compare: {path} is not there (MEMCACHED=PATH names memcached)")
    return options


def main():
    options = parse()
    report = {"workloads": {}, "pairs": options.pairs, "seconds": options.seconds}
    with tempfile.TemporaryDirectory(prefix="larder-compare-") as directory:
        report["versions"] = {
            "memcached": Server.version(options.memcached), "larder": Server.version(options.larder)}
        print(f"A: {report['versions']['memcached']}, B: {report['versions']['larder']}; "
              "ratio: larder/memcached, median of the pairs")
        if options.instructions:
            report["instructions"] = instructions.compare(options, directory)
        else:
            print_header()
            for name in options.workloads.split(","):
                if name not in WORKLOADS:
                    sys.exit(f"compare: there is no workload {name}; there are {', '.join(WORKLOADS)}")
                runs = run_workload(name, options, directory)
                report["workloads"][name] = {"summary": summarize(runs), "runs": runs}
                print_row(name, report["workloads"][name]["summary"])
    with open(options.json, "w", encoding="utf-8") as file:
        json.dump(report, file, indent=1)
    print(f"All runs: {options.json}")


if __name__ == "__main__":
    main()
