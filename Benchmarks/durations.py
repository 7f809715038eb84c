#!/usr/bin/env python3
"""Compares the durations of /metrics with the latencies that the load generator measured in the same run.

Each load keeps one worker busy, so that nearly all of a request's time is spent in the server: a client's latency
then is the time that the metrics have. Prints the 99th percentile of both, and their ratio; exit code 1 if a ratio is
off by more than --allowed.
"""

import argparse
import os
import re
import statistics
import sys
import tempfile
import urllib.request

from servers import Loader, Server

HERE = os.path.dirname(os.path.abspath(__file__))
KEYS = ["--key-maximum", "200000", "-d", "100"]
# One core is the server's, and it is the one that is busy: the generator spends less on such requests.
LOADS = {
    "pipe32": KEYS + ["--pipeline", "32", "-c", "50"],
    "mget100": KEYS + ["--ratio", "0:100", "--multi-key-get", "100", "-c", "50"],
    "v16k": ["--key-maximum", "5000", "-d", "16384", "--ratio", "0:1", "--pipeline", "8", "-c", "20"],
}
BUCKET = re.compile(r'larder_command_duration_seconds_bucket\{command="get",le="([^"]+)"\} (\d+)')


def buckets(port):
    """The histogram of gets: bounds in seconds, and how many were up to each."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    return [(float(bound), int(count)) for bound, count in BUCKET.findall(text)]


def quantile(share, found):
    """As Prometheus' histogram_quantile: evenly spread within a bucket."""
    rank = share * found[-1][1]
    lower, below = 0.0, 0
    for bound, count in found:
        if count >= rank:
            if bound == float("inf"):
                return lower
            return lower + (bound - lower) * (rank - below) / max(1, count - below)
        lower, below = bound, count
    raise ValueError("no bucket was filled")


def difference(before, after):
    earlier = dict(before)
    return [(bound, count - earlier.get(bound, 0)) for bound, count in after]


def measure(options, name, directory):
    """Median and 99th percentile of one run, by the metrics and by the generator, in microseconds; and requests timed."""
    cores = sorted(os.sched_getaffinity(0))
    options.port += 2
    admin = options.port + 1
    arguments = ["-t", "1", "-m", "1024", "--admin", f"127.0.0.1:{admin}"]
    with Server("larder", options.larder, arguments, options.port, cores[:1], directory) as server:
        loader = Loader(options.bench, cores[-1:], directory)
        loader.fill(server, LOADS[name])
        loader.run(server, LOADS[name] + ["--test-time", "1"])
        before = buckets(admin)
        figures = loader.run(server, LOADS[name] + ["--test-time", str(options.seconds)])
        found = difference(before, buckets(admin))
    measured = figures["Gets"]["Percentile Latencies"]
    return [(quantile(share, found) * 1e6, measured[name] * 1000) for share, name in (
        (0.5, "p50.00"), (0.99, "p99.00"))], found[-1][1]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--larder", default=os.path.join(HERE, "..", ".build", "release", "larder"))
    parser.add_argument("--bench", default=os.path.join(HERE, ".build", "release", "larder-bench"))
    parser.add_argument("--loads", default=",".join(LOADS), help="some of " + ", ".join(LOADS))
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--runs", type=int, default=3, help="the median of so many counts")
    parser.add_argument("--allowed", type=float, default=0.1, help="how far a ratio may be from 1")
    parser.add_argument("--port", type=int, default=23280, help="first of some free ports")
    options = parser.parse_args()
    if len(os.sched_getaffinity(0)) < 2:
        sys.exit("durations: the server and the generator need a core each")
    far = []
    print("load     | p99 by /metrics | by the generator | ratio (runs)            | the same of p50 | timed", flush=True)
    with tempfile.TemporaryDirectory(prefix="larder-durations-") as directory:
        for name in options.loads.split(","):
            runs = [measure(options, name, directory) for _ in range(options.runs)]
            ratios = [[by_metrics / measured for by_metrics, measured in quantiles] for quantiles, _ in runs]
            half, ratio = (statistics.median(each) for each in zip(*ratios))
            (_, (by_metrics, measured)), timed = min(runs, key=lambda run: abs(run[0][1][0] / run[0][1][1] - ratio))
            texts = ", ".join(f"{each[1]:.3f}" for each in ratios)
            print(f"{name:8} | {by_metrics:12.0f} us | {measured:13.0f} us | {ratio:.3f} ({texts}) | {half:15.3f} | {timed}",
                  flush=True)
            if abs(ratio - 1) > options.allowed:
                far.append(name)
    if far:
        sys.exit(f"durations: off by more than {options.allowed:.0%}: {', '.join(far)}")


if __name__ == "__main__":
    main()
