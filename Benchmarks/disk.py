#!/usr/bin/env python3
"""How long sets wait while the pages of a store's file are written: Benchmarks/disk.py DIRECTORY...

For memory only ("-") and for a file in each directory: a load overwrites keys at 150,000 sets a second, in batches, and
another client sends a set at a time. Prints percentiles of the latter, in milliseconds. Then the server is killed while
the load runs, and started again: prints how long it takes until it answers a get.
"""

import argparse
import pathlib
import subprocess
import time

from unread import ROOT, Server, store


def percentile(times, share):
    return 1000 * sorted(times)[min(len(times) - 1, int(len(times) * share))]


def load(options, port):
    batch = 30
    return subprocess.Popen(
        [options.bench, "-s", "127.0.0.1", "-p", str(port), "-t", "1", "-c", "10", f"--pipeline={batch}",
         f"--rate-limiting={options.rate // 10}", "--ratio=1:0", "-d", "100", "--key-maximum=1000000", "--key-pattern=R:R",
         f"--test-time={options.seconds + 5}", "--no-verify", "-o", "/dev/null"], stderr=subprocess.DEVNULL)


def probe(server, seconds):
    client = server.connect()
    times = []
    end = time.perf_counter() + seconds
    number = 0
    while (begin := time.perf_counter()) < end:
        assert store(client, b"probe%d" % (number % 5000), b"x" * 100)
        times.append(time.perf_counter() - begin)
        number += 1
        time.sleep(0.0005)
    return times


def measure(options, place):
    path = None if place == "-" else pathlib.Path(place) / "larder-disk-benchmark"
    arguments = ["-m", options.memory, "-t", 2] + ([] if path is None else ["-e", path])
    server = Server(options.larder, *arguments)
    running = None
    try:
        running = load(options, server.port)
        time.sleep(3)
        times = probe(server, options.seconds)
        line = ", ".join(
            f"{name} {percentile(times, share):.2f}" for name, share in
            (("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("max", 1)))
        server.process.kill()
        server.process.wait()
        if path is not None:
            begin = time.perf_counter()
            server = Server(options.larder, *arguments)
            client = server.connect()
            client.sendall(b"get probe1\r\n")
            answer = client.recv(4096)
            line += f"; after kill -9 {1000 * (time.perf_counter() - begin):.0f} ms until {answer[:12]!r}"
        print(f"{place}: {line} ({len(times)} sets)", flush=True)
    finally:
        for process in [server.process, running]:
            if process:
                process.kill()
                process.wait()
        if path is not None:
            path.unlink(missing_ok=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directories", nargs="+", metavar="DIRECTORY")
    parser.add_argument("--larder", default=str(ROOT / ".build/release/larder"))
    parser.add_argument("--bench", default=str(ROOT / "Benchmarks/.build/release/larder-bench"))
    parser.add_argument("--rate", type=int, default=150_000, help="sets a second")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--memory", type=int, default=256, help="-m, in MB")
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    for _ in range(options.rounds):
        for place in options.directories:
            measure(options, place)


if __name__ == "__main__":
    main()
