#!/usr/bin/env python3
"""What `stats hotkeys` costs: CPU of a get under a Zipf load, with and without it, in turns on one server."""

import argparse
import os
import statistics
import sys
import tempfile

import density
from servers import Loader, Server
from workloads import WORKLOADS

HERE = os.path.dirname(os.path.abspath(__file__))


def turn(port, word):
    if density.Client(port).ask(b"stats hotkeys %b\r\n" % word, b"\r\n") != b"OK\r\n":
        sys.exit("hotkeys: the server has no stats hotkeys")


def cost(server, loader, load, seconds):
    """Microseconds of CPU for a key, all threads."""
    before = server.cpu_seconds()
    figures = loader.run(server, load + ["--test-time", str(seconds), "--seed", str(loader.next_seed())])
    return (server.cpu_seconds() - before) * 1e6 / figures["Keys"]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--larder", default=os.path.join(HERE, "..", ".build", "release", "larder"))
    parser.add_argument("--bench", default=os.path.join(HERE, ".build", "release", "larder-bench"))
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--allowed", type=float, default=0.01)
    parser.add_argument("--port", type=int, default=23480)
    options = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    load = WORKLOADS["zipf"].command
    with tempfile.TemporaryDirectory(prefix="larder-hotkeys-") as directory:
        arguments = ["-t", "1", "-m", "1024"]
        with Server("larder", options.larder, arguments, options.port, cores[:1], directory) as server:
            loader = Loader(options.bench, cores[-1:], directory)
            loader.fill(server, load)
            cost(server, loader, load, options.seconds)
            ratios, costs = [], {b"off": [], b"on": []}
            for pair in range(options.pairs):
                # In changing order, so that a machine that becomes slower harms both alike.
                for word in (b"off", b"on")[::1 if pair % 2 else -1]:
                    turn(server.port, word)
                    costs[word].append(cost(server, loader, load, options.seconds))
                ratios.append(costs[b"on"][-1] / costs[b"off"][-1])
    added = statistics.median(ratios) - 1
    print(f"CPU us/key off {statistics.median(costs[b'off']):.3f}, on {statistics.median(costs[b'on']):.3f}; added, median "
          f"of {options.pairs} pairs: {added:.2%} (quartiles "
          + " ".join(f"{each - 1:.2%}" for each in statistics.quantiles(ratios)[::2]) + ")")
    if added > options.allowed:
        sys.exit(f"hotkeys: more than {options.allowed:.0%}")


if __name__ == "__main__":
    main()
