"""A million items with mixed times to live vanish on time while a load runs.

Prints how late the last of them gave its memory back, and the longest time that a request of the load waited
while they went, beside the same load when nothing expires.
"""

import argparse
import bisect
import json
import os
import random
import socket
import subprocess
import tempfile
import time

import servers

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LIFETIMES = "a third in one second, a third in five batches, a third over the whole time"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--larder", default=os.path.join(ROOT, ".build/release/larder"))
    parser.add_argument("--bench", default=os.path.join(ROOT, "Benchmarks/.build/release/larder-bench"))
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--interval", type=int, default=5, help="bucket_interval, in seconds")
    parser.add_argument("--seconds", type=int, default=30, help="until the last item expires")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--port", type=int, default=21217)
    return parser.parse_args()


class Client:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.settimeout(60)
        self.file = self.socket.makefile("rb")

    def item_count(self):
        self.socket.sendall(b"stats\r\n")
        count = None
        while (line := self.file.readline().rstrip()) != b"END":
            if line.startswith(b"STAT curr_items "):
                count = int(line.split()[2])
        return count


def lifetime(number, seconds, draw):
    """Seconds; the first to go do so when all are stored."""
    first = seconds // 3
    if number % 3 == 0:
        return 2 * first
    if number % 3 == 1:
        return first + (number // 3 % 5) * (seconds - first) // 5 + 1
    return draw.randint(first, seconds)


def fill(client, count, seconds):
    """Stores the items; returns when each expires, by this machine's clock, sorted."""
    draw = random.Random(1)
    value = b"v" * 50
    expiries = []
    for start in range(0, count, 1000):
        batch = []
        lifetimes = []
        for number in range(start, min(start + 1000, count)):
            lifetimes.append(lifetime(number, seconds, draw))
            batch.append(b"set expiring-%d 0 %d 50 noreply\r\n%b\r\n" % (number, lifetimes[-1], value))
        client.socket.sendall(b"".join(batch))
        client.socket.sendall(b"version\r\n")
        client.file.readline()
        # Stored a little earlier: lateness comes out too small by a batch's time, some milliseconds.
        now = time.time()
        expiries += [now + seconds_left for seconds_left in lifetimes]
    return sorted(expiries)


def start_load(options, port, seconds, file):
    command = [
        options.bench, "-p", str(port), "-s", "127.0.0.1", "-t", "1", "-c", "8", "--ratio", "1:10", "-d", "100",
        "--key-maximum", "20000", "--test-time", str(seconds), "--hide-histogram", "--json-out-file", file]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def finish_load(process, file):
    error = process.communicate()[1]
    if process.returncode != 0:
        raise SystemExit(f"expiry: the load failed: {error.decode()}")
    with open(file, encoding="utf-8") as result:
        return json.load(result)


def latency(result):
    totals = result["ALL STATS"]["Totals"]
    percentiles = totals["Percentile Latencies"]
    return totals["Ops/sec"], percentiles.get("p99.90"), totals.get("Max Latency", percentiles.get("max"))


def main():
    options = arguments()
    with tempfile.TemporaryDirectory() as directory:
        flags = ["-m", "512", "-t", str(options.threads), "--cache", f"name=default,bucket_interval={options.interval}"]
        cores = range(os.cpu_count())
        with servers.Server("larder", options.larder, flags, options.port, cores, directory) as server:
            file = os.path.join(directory, "load.json")
            # Every key of the load is there, so that its items stay as many as they are.
            subprocess.run(
                [options.bench, "-p", str(options.port), "-s", "127.0.0.1", "-t", "1", "-c", "1", "-d", "100", "--ratio",
                 "1:0", "--key-maximum", "20000", "--preload", "--test-time", "1", "--hide-histogram"],
                check=True, stdout=subprocess.DEVNULL)
            quiet = finish_load(start_load(options, options.port, 10, file), file)
            client = Client(options.port)
            others = client.item_count()
            began = time.time()
            expiries = fill(client, options.items, options.seconds)
            filled = time.time()
            seconds_left = int(expiries[-1] - filled) + options.interval + 2
            load = start_load(options, options.port, seconds_left, file)
            latest, latest_at, samples = sample(client, expiries, others, options.interval)
            busy = finish_load(load, file)
            report(options, began, filled, expiries, latest, latest_at, samples, quiet, busy, server)


def sample(client, expiries, others, interval):
    """The greatest lateness seen: how long ago the first of the items that should be gone expired."""
    latest = 0.0
    latest_at = 0.0
    samples = 0
    while True:
        now = time.time()
        gone = len(expiries) - (client.item_count() - others)
        samples += 1
        if gone < len(expiries) and now - expiries[max(0, gone)] > latest:
            latest, latest_at = now - expiries[max(0, gone)], now
        if gone >= len(expiries):
            return latest, latest_at, samples
        if now > expiries[-1] + 10 * interval:
            left = len(expiries) - gone
            raise SystemExit(f"expiry: {left} items are still there {now - expiries[-1]:.1f} s after the last expired")
        time.sleep(0.02)


def report(options, began, filled, expiries, latest, latest_at, samples, quiet, busy, server):
    due = bisect.bisect_right(expiries, filled)
    print(f"{options.items} items stored in {filled - began:.1f} s; times to live: {LIFETIMES}; {due} expired meanwhile")
    print(f"bucket_interval {options.interval} s, {options.threads} workers, {samples} looks at the number of items")
    verdict = "on time" if latest <= options.interval else "LATE"
    print(f"lateness: {latest:.2f} s at most, {latest_at - filled:.1f} s after the fill ({verdict})")
    print(f"{'load of 8 connections':28} {'requests/s':>12} {'p99.9 ms':>10} {'longest ms':>11}")
    for name, result in [("nothing expires", quiet), ("a million items vanish", busy)]:
        rate, high, longest = latency(result)
        print(f"{name:28} {rate:12.0f} {high:10.3f} {longest:11.3f}")
    print(f"server CPU: {server.cpu_seconds():.1f} s in all")
    if latest > options.interval:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
