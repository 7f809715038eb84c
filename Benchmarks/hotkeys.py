#!/usr/bin/env python3
"""What `stats hotkeys` costs: CPU of a get under a Zipf load, with and without it, in turns on one server.

A worker notes some 8,000 keys a second, however many requests come. So the cost is a share of a core, and that is what
--allowed limits. It is the same share of the requests' own CPU where the load keeps a core busy, and a larger one of
fewer requests.
"""

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
    """Microseconds of CPU for a key, all threads, and keys a second."""
    before = server.cpu_seconds()
    figures = loader.run(server, load + ["--test-time", str(seconds), "--seed", str(loader.next_seed())])
    return (server.cpu_seconds() - before) * 1e6 / figures["Keys"], figures["Keys/sec"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
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
            shares, ratios, costs = [], [], {b"off": [], b"on": []}
            for pair in range(options.pairs):
                # In changing order, so that a machine that becomes slower harms both alike.
                for word in (b"off", b"on")[::1 if pair % 2 else -1]:
                    turn(server.port, word)
                    costs[word].append(cost(server, loader, load, options.seconds))
                (off, _), (on, rate) = costs[b"off"][-1], costs[b"on"][-1]
                ratios.append(on / off)
                shares.append((on - off) * rate / 1e6)
    off, on = (statistics.median(each for each, _ in costs[word]) for word in (b"off", b"on"))
    rate = statistics.median(each for _, each in costs[b"on"])
    added = statistics.median(shares)
    print(f"{rate:.0f} keys/s; CPU us/key off {off:.3f}, on {on:.3f}, ratio {statistics.median(ratios):.3f}; added, median of "
          f"{options.pairs} pairs: {added:.2%} of a core (quartiles "
          + " ".join(f"{each:.2%}" for each in statistics.quantiles(shares)[::2]) + ")")
    if added > options.allowed:
        sys.exit(f"hotkeys: more than {options.allowed:.0%} of a core")


if __name__ == "__main__":
    main()
