#!/usr/bin/env python3
"""Replays the same seeded mixes of requests on several servers and prints their hit ratios: make hitratio.

Look-aside: what is missed is stored. Every server gets the same `-m` and the same sequence. Redis is measured
where it is installed (maxmemory-policy allkeys-lfu). Zipf's keys are 2,000,000 (4,000,000 in `small`), values
log-uniform between 16 and 4096 bytes, 10 and 100 in `small`, 200 in `fixed`; `scan` has 20 % keys that are never
asked for again, `ttl` lets half of the keys expire after 2 to 6 s at 100,000 requests a second.
"""

import argparse
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time

from servers import Server


class Redis:
    """redis-server as a bounded LFU cache, on one port."""

    kind = "redis"

    def __init__(self, path, megabytes, port, directory):
        self.port = port
        self.command = [
            path, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", directory,
            "--maxmemory", f"{megabytes}mb", "--maxmemory-policy", "allkeys-lfu"]
        self.process = None

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(200):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as probe:
                probe.sendall(b"*1\r\n$4\r\nPING\r\n")
                if probe.recv(100) == b"+PONG\r\n":
                    return self
            time.sleep(0.05)
        self.__exit__()
        sys.exit("hitratio: redis does not answer")

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(30)

    resident_megabytes = Server.resident_megabytes


def make(name, options, megabytes, port, directory):
    """A server by its column's name."""
    if name == "redis-lfu":
        return Redis(options.redis, megabytes, port, directory)
    cores = sorted(os.sched_getaffinity(0))
    kind = "memcached" if name == "memcached" else "larder"
    extra = ["-o", "size_aware"] if name == "size_aware" else []
    path = options.memcached if kind == "memcached" else options.larder
    return Server(kind, path, ["-t", "1", "-m", str(megabytes)] + extra, port, cores, directory)


def measure(name, options, mix, megabytes, directory, port):
    with make(name, options, megabytes, port, directory) as server:
        dialect = "--redis" if name == "redis-lfu" else "--memcached"
        done = subprocess.run(
            [options.hits, dialect, str(port), mix], capture_output=True, text=True, check=False, timeout=900)
        if done.returncode != 0:
            sys.exit(f"hitratio: {name}, {mix}: {done.stderr}")
        words = done.stdout.split()
        return float(words[1]), float(words[3]), int(words[words.index("refused") + 1]), server.resident_megabytes()


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--memcached", default="/usr/bin/memcached")
    parser.add_argument("--redis", default=shutil.which("redis-server"))
    parser.add_argument("--larder", default=os.path.join(here, "..", ".build", "release", "larder"))
    parser.add_argument("--hits", default=os.path.join(here, "..", ".build", "release", "larder-hits"))
    parser.add_argument("--mixes", default="", help="which, with commas; all")
    parser.add_argument("--columns", default="", help="of memcached, redis-lfu, larder, size_aware; all there are")
    parser.add_argument("--port", type=int, default=25180, help="first of some free ports")
    options = parser.parse_args()
    columns = options.columns.split(",") if options.columns else [
        name for name in ("memcached", "redis-lfu", "larder", "size_aware") if name != "redis-lfu" or options.redis]
    listed = subprocess.run([options.hits, "--list"], capture_output=True, text=True, check=True).stdout.split()
    mixes = dict(zip(listed[::2], map(int, listed[1::2])))
    wanted = options.mixes.split(",") if options.mixes else list(mixes)
    print("hit ratio (RSS in MB); last: Larder less memcached, in points")
    print(f"{'mix':11}" + "".join(f"{name:>17}" for name in columns), flush=True)
    sums = {name: 0.0 for name in columns}
    port = options.port
    with tempfile.TemporaryDirectory(prefix="larder-hits-") as directory:
        for mix in wanted:
            row = {}
            print(f"{mix:11}", end="", flush=True)
            for name in columns:
                port += 1
                row[name] = measure(name, options, mix, mixes[mix], directory, port)
                sums[name] += row[name][0]
                refused = f" {row[name][2]} refused" if row[name][2] else ""
                print(f"{row[name][0]:10.4f} ({row[name][3]:4.0f}){refused}", end="", flush=True)
            difference = ""
            if "memcached" in row and "larder" in row:
                difference = f" {100 * (row['larder'][0] - row['memcached'][0]):+.2f}"
            print(difference, flush=True)
    print(f"{'mean':11}" + "".join(f"{sums[name] / len(wanted):10.4f}       " for name in columns))


if __name__ == "__main__":
    main()
