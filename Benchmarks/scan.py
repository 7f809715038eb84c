#!/usr/bin/env python3
"""Lists all keys of a large cache by pages, while other clients load it and its index grows.

Prints how many of the keys that stay were listed once, never, and more than once, and the latency of the other clients
with the scan and without it. Exit code 1 says that a key was missing or was listed twice, or that the 99.9th percentile
was more than --allowed milliseconds higher with the scan.
"""

import argparse
import multiprocessing
import os
import re
import socket
import statistics
import sys
import tempfile
import time

from servers import Loader, Server

HERE = os.path.dirname(os.path.abspath(__file__))
BATCH = 2000
PAGE_KEY = re.compile(rb"^key=stay%3A(\d+) ", re.MULTILINE)
END = re.compile(rb"CURSOR (\d+)\r\nEND\r\n\Z")


def connect(port):
    connection = socket.create_connection(("127.0.0.1", port))
    connection.settimeout(60)
    return connection


def store(port, prefix, first, last, seconds=0.0):
    """Stores keys, evenly over so many seconds."""
    with connect(port) as connection, connection.makefile("rb") as answers:
        begin = time.monotonic()
        for start in range(first, last, BATCH):
            part = range(start, min(start + BATCH, last))
            connection.sendall(b"".join(b"set %b:%d 0 0 4 noreply\r\nxxxx\r\n" % (prefix, number) for number in part))
            due = begin + seconds * (start - first) / max(1, last - first)
            time.sleep(max(0.0, due - time.monotonic()))
        connection.sendall(b"mn\r\n")
        if answers.readline() != b"MN\r\n":
            sys.exit("scan: the keys were not stored")


def statistic(port, name):
    with connect(port) as connection, connection.makefile("rb") as answers:
        connection.sendall(b"stats\r\n")
        found = 0
        while (line := answers.readline()) not in (b"END\r\n", b""):
            if line.startswith(b"STAT %b " % name):
                found = int(line.split()[2])
        return found


def scans(port, keys, page_keys, ended, results):
    """Lists all keys again and again until the load has ended; a result for each time."""
    found = []
    while not found or not ended.is_set():
        found.append(scan(port, keys, page_keys))
    results.put(found)


def scan(port, keys, page_keys):
    """Lists all keys; how often each of those that stay was listed, and how long it took."""
    seen = bytearray(keys)
    pages, cursor, longest = 0, 0, 0.0
    begin = time.monotonic()
    with connect(port) as connection:
        while True:
            asked = time.monotonic()
            connection.sendall(b"lru_crawler scan %d %d\r\n" % (cursor, page_keys))
            text = b""
            while not (end := END.search(text, max(0, len(text) - 64))):
                data = connection.recv(1 << 18)
                if not data:
                    sys.exit(f"scan: the server closed the connection after {text[-100:]!r}")
                text += data
            longest = max(longest, time.monotonic() - asked)
            for number in PAGE_KEY.findall(text):
                seen[int(number)] = min(255, seen[int(number)] + 1)
            pages += 1
            cursor = int(end.group(1))
            if cursor == 0:
                break
    never, once = seen.count(0), seen.count(1)
    return once, never, keys - never - once, pages, time.monotonic() - begin, longest


def measure(options, server, loader, is_scanned):
    """The figures of the other clients' load, and those of the scans during it."""
    port = server.port
    results, ended = multiprocessing.Queue(), multiprocessing.Event()
    if is_scanned:
        grower = multiprocessing.Process(
            target=store, args=(port, b"grow", 0, options.grow, options.seconds * 0.8))
        scanner = multiprocessing.Process(target=scans, args=(port, options.keys, options.page, ended, results))
        processes = [grower, scanner]
    else:
        # The same growth without the scan: what it costs is not the scan's.
        processes = [multiprocessing.Process(
            target=store, args=(port, b"grow", options.grow, 2 * options.grow, options.seconds * 0.8))]
    for process in processes:
        process.start()
    figures = loader.run(server, [
        "--key-maximum", "100000", "-d", "100", "-c", str(options.clients), "--rate-limiting",
        str(max(1, options.rate // options.clients)), "--test-time", str(options.seconds), "--seed", "7"])
    ended.set()
    found = results.get() if is_scanned else None
    for process in processes:
        process.join()
    return figures["Totals"]["Percentile Latencies"], found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--larder", default=os.path.join(HERE, "..", ".build", "release", "larder"))
    parser.add_argument("--bench", default=os.path.join(HERE, ".build", "release", "larder-bench"))
    parser.add_argument("--keys", type=int, default=5_000_000, help="keys that stay")
    parser.add_argument("--grow", type=int, default=1_000_000, help="keys that are added during the scan")
    parser.add_argument("--page", type=int, default=1000, help="keys on a page")
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--rate", type=int, default=5000, help="requests a second of all clients")
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--allowed", type=float, default=1.0, help="milliseconds")
    parser.add_argument("--port", type=int, default=23380, help="first of some free ports")
    options = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    wrong, added = 0, []
    with tempfile.TemporaryDirectory(prefix="larder-scan-") as directory:
        for run in range(options.runs):
            arguments = ["-t", str(options.threads), "-m", "2048"]
            with Server("larder", options.larder, arguments, options.port + run, cores, directory) as server:
                loader = Loader(options.bench, cores, directory)
                store(server.port, b"stay", 0, options.keys)
                before = statistic(server.port, b"hash_bytes")
                with_scan, found = measure(options, server, loader, True)
                after = statistic(server.port, b"hash_bytes")
                without, _ = measure(options, server, loader, False)
            added.append(with_scan["p99.90"] - without["p99.90"])
            print(f"index {before >> 20} to {after >> 20} MB")
            for once, never, more, pages, seconds, longest in found:
                wrong += never + more
                print(f"  {once} keys once, {never} never, {more} more than once; {pages} pages in {seconds:.1f} s, the "
                      f"longest {longest * 1000:.0f} ms")
            print("  other clients, p50 p99 p99.9 in ms: " + "; ".join(
                name + " " + " ".join(f"{figures[p]:.2f}" for p in ("p50.00", "p99.00", "p99.90"))
                for name, figures in (("with the scan", with_scan), ("without", without))), flush=True)
    if wrong:
        sys.exit(f"scan: {wrong} keys were missing or listed more than once")
    if statistics.median(added) > options.allowed:
        sys.exit(f"scan: p99.9 was {statistics.median(added):.2f} ms higher with the scan")


if __name__ == "__main__":
    main()
