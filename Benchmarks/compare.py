#!/usr/bin/env python3
"""Runs memcached and Larder in turn under the same loads and prints what each costs: make compare.

Both servers of a workload are started and filled; then runs of one and of the other alternate, so that
whatever else the machine does hits both alike. What counts is the ratio Larder/memcached of each such
pair: absolute figures move with the machine, ratios hardly. See README.md for what each column means.
"""

import argparse
import contextlib
import itertools
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import comparison
import instructions
from servers import Loader, Server, make_certificate
from workloads import QUICK, STREAM_OF, WORKLOADS

# Counting instructions takes half a minute; with --quick it is left out when this much time has passed.
QUICK_SECONDS = 80

FIGURES = ("cpu", "rate", "p50", "p99", "p99.9", "rss")


def cores(wanted):
    """Where the server's threads and the load run: apart as long as there are cores."""
    available = sorted(os.sched_getaffinity(0))
    if len(available) < 2:
        sys.exit("compare: needs two cores, one for the server and one for the load")
    if wanted < len(available):
        return available[:wanted], available[wanted:wanted + 1]
    return available, available[-1:]


def measure(server, loader, load, seconds):
    """One run: what the server spent, over what was done."""
    before = server.cpu_seconds()
    checks = ["--no-verify"] if server.kind == "floor" else []
    stats = loader.run(server, load + ["--test-time", str(seconds), "--seed", str(loader.next_seed())] + checks)
    spent = server.cpu_seconds() - before
    percentiles = stats["Totals"]["Percentile Latencies"]
    return {
        "cpu": spent * 1e6 / max(1, stats["Keys"]),
        "rate": stats["Keys/sec"],
        "p50": percentiles["p50.00"] * 1000,
        "p99": percentiles["p99.00"] * 1000,
        "p99.9": percentiles["p99.90"] * 1000,
        "rss": server.resident_megabytes(),
        "errors": stats["Errors"],
        "misses": stats["Totals"]["Misses"],
        "unanswered": stats["Unanswered"],
        "own cpu": stats["Own CPU Nanoseconds"] / 1e3 / max(1, stats["Totals"]["Count"]),
    }


def programs(workload, options):
    yield "memcached", options.memcached
    yield "larder", options.larder
    if options.floor and workload.has_floor:
        yield "floor", options.floor


@contextlib.contextmanager
def both_servers(workload, options, directory):
    """memcached and Larder, filled, and the load for them; with --floor what a server cannot go below."""
    server_cores, load_cores = cores(workload.cores or workload.threads)
    tls = make_certificate(directory) if workload.tls else None
    arguments = ["-t", str(workload.threads), *workload.server]
    with contextlib.ExitStack() as stack:
        servers = [
            stack.enter_context(
                Server(kind, path, arguments, options.port + number, server_cores, directory, workload.unix, tls=tls))
            for number, (kind, path) in enumerate(programs(workload, options))
        ]
        loader = Loader(options.bench, load_cores, directory)
        for server in servers:
            if server.kind != "floor":
                loader.fill(server, list(workload.stored))
            for connection in server.connect_idle(workload.idle):
                stack.callback(connection.close)
        yield servers, loader


def run_pairs(workload, servers, loader, options):
    """Runs of the one and of the other in turn."""
    if not workload.has_floor:
        servers = [server for server in servers if server.kind != "floor"]
    loader.restart_seeds()
    for server in servers:
        measure(server, loader, workload.command, max(0.1, options.seconds / 4))
    runs = {server.kind: [] for server in servers}
    for _ in range(options.pairs):
        seed = loader.seed
        for server in servers:
            # All of a pair are asked for the same keys.
            loader.seed = seed
            runs[server.kind].append(measure(server, loader, workload.command, options.seconds))
    return runs


def summarize(runs):
    """Medians of each server, the median of the pairs' ratios, and the ratio of the best runs: what was
    least disturbed, and on a busy machine the steadier of the two."""
    figures = {}
    for figure in FIGURES:
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
    if "floor" in runs:
        figures["floor"] = {
            "cpu": statistics.median(run["cpu"] for run in runs["floor"]),
            "ratio": statistics.median(
                floor["cpu"] / mc["cpu"] for floor, mc in zip(runs["floor"], runs["memcached"])),
            "best": min(run["cpu"] for run in runs["floor"]) / min(run["cpu"] for run in runs["memcached"]),
        }
    return figures


def compare(options, directory, report):
    """Measures the workloads of `options` and says how it goes on standard error."""
    chosen = [(name, WORKLOADS[name]) for name in options.workloads]
    for _, group in itertools.groupby(chosen, key=lambda entry: entry[1].setting):
        group = list(group)
        with both_servers(group[0][1], options, directory) as (servers, loader):
            for name, workload in group:
                runs = run_pairs(workload, servers, loader, options)
                summary = summarize(runs)
                report["workloads"][name] = {"about": workload.about, "summary": summary, "runs": runs}
                print(f"{name}: CPU {summary['cpu']['ratio']:.3f} (best {summary['cpu']['best']:.3f}), "
                      f"ops/s {summary['rate']['ratio']:.3f}, p99 {summary['p99']['ratio']:.3f} of memcached's",
                      file=sys.stderr, flush=True)


def count_instructions(options, directory, report):
    """Adds the instructions of each stream to the workload that it is like; no others are counted."""
    streams = instructions.compare(options, directory, {STREAM_OF.get(name, name) for name in report["workloads"]})
    report["instructions"] = streams
    for name, entry in report["workloads"].items():
        figures = streams.get(STREAM_OF.get(name, name))
        if isinstance(figures, dict) and {"memcached", "larder", "ratio"} <= set(figures):
            entry["summary"]["instructions"] = figures


def speaks_tls(memcached):
    """Whether it was built with OpenSSL."""
    return "enable-ssl" in subprocess.run([memcached, "-h"], capture_output=True, text=True, check=False).stdout


def available(names, memcached):
    """The workloads that can run here; the others with the reason why not."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    for name in names:
        if 2 * WORKLOADS[name].idle + 200 > hard:
            print(f"compare: {name} is left out: it needs {2 * WORKLOADS[name].idle + 200} descriptors, the limit is "
                  f"{hard}", file=sys.stderr)
        elif WORKLOADS[name].tls and (shutil.which("openssl") is None or not speaks_tls(memcached)):
            print(f"compare: {name} is left out: it needs the openssl program and a memcached with -Z", file=sys.stderr)
        else:
            yield name


def machine():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        models = [line.split(":")[1].strip() for line in file if line.startswith("model name")]
    model = models[0] if models else platform.machine()
    return f"{model}, {len(os.sched_getaffinity(0))} cores, Linux {platform.release()}"


def parse():
    here = os.path.dirname(os.path.abspath(__file__))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--memcached", default="/usr/bin/memcached", help="memcached's binary")
    parser.add_argument("--larder", default=os.path.join(here, "..", ".build", "release", "larder"))
    parser.add_argument("--bench", default=os.path.join(here, ".build", "release", "larder-bench"))
    parser.add_argument(
        "--floor", nargs="?", const=os.path.join(here, ".build", "release", "larder-floor"),
        help="measure beside them what reading a request and sending a constant costs, where that is comparable")
    parser.add_argument("--quick", action="store_true", help="some workloads, 3 pairs of 0.5 s instead of 7 of 3 s")
    parser.add_argument("--pairs", type=int, help="how many pairs of runs")
    parser.add_argument("--seconds", type=float, help="how long a run is")
    parser.add_argument("--workloads", help="which, with commas: " + ", ".join(WORKLOADS))
    parser.add_argument("--instructions", action="store_true",
                        help="only count user instructions per operation with valgrind")
    parser.add_argument("--no-instructions", action="store_true", help="all but that")
    parser.add_argument("--port", type=int, default=25080, help="first of two free ports")
    parser.add_argument("--json", default=os.path.join(here, ".build", "compare.json"),
                        help="where the figures of all runs go (default %(default)s)")
    parser.add_argument("--svg", default=os.path.join(here, ".build", "compare.svg"),
                        help="where the picture goes (default %(default)s)")
    options = parser.parse_args()
    options.pairs = options.pairs or (3 if options.quick else 7)
    options.seconds = options.seconds or (0.5 if options.quick else 3.0)
    names = options.workloads.split(",") if options.workloads else QUICK if options.quick else WORKLOADS
    for name in names:
        if name not in WORKLOADS:
            sys.exit(f"compare: there is no workload {name}; there are {', '.join(WORKLOADS)}")
    for path in filter(None, (options.memcached, options.larder, options.bench, options.floor)):
        if not os.access(path, os.X_OK):
            sys.exit(f"compare: {path} is not there (MEMCACHED=PATH names memcached)")
    options.workloads = list(available(names, options.memcached))
    return options


def print_tables(summaries):
    print(comparison.table(summaries, comparison.COSTS, with_goals=True))
    print()
    print(comparison.table(summaries, comparison.LATENCIES, with_goals=False))
    for lines in (comparison.scaling(summaries), comparison.floors(summaries)):
        if lines:
            print("\n" + lines)


def main():
    start = time.monotonic()
    options = parse()
    report = {
        "workloads": {}, "pairs": options.pairs, "seconds": options.seconds, "machine": machine(),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "versions": {"memcached": Server.version(options.memcached), "larder": Server.version(options.larder)},
    }
    print(f"mc: {report['versions']['memcached']}; larder: {report['versions']['larder']}; {report['machine']}; "
          f"{report['date']}; {options.pairs} pairs of {options.seconds} s, medians; ratio: larder/memcached",
          flush=True)
    with tempfile.TemporaryDirectory(prefix="larder-compare-") as directory:
        if not options.instructions:
            compare(options, directory, report)
        if options.instructions:
            report["instructions"] = instructions.compare(options, directory, instructions.STREAMS)
        elif options.quick and time.monotonic() - start > QUICK_SECONDS:
            print("compare: no time is left to count instructions: ARGS=--instructions does", file=sys.stderr)
        elif not options.no_instructions and shutil.which("valgrind"):
            count_instructions(options, directory, report)
    summaries = {name: entry["summary"] for name, entry in report["workloads"].items()}
    if summaries:
        print_tables(summaries)
        subtitle = f"{report['versions']['memcached']}; {report['machine']}; {report['date']}"
        with open(options.svg, "w", encoding="utf-8") as file:
            file.write(comparison.picture(summaries, subtitle))
    with open(options.json, "w", encoding="utf-8") as file:
        json.dump(report, file, indent=1)
    print(f"All runs: {options.json}" + (f"; picture: {options.svg}" if summaries else ""))


if __name__ == "__main__":
    main()
