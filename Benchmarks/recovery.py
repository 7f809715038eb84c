#!/usr/bin/env python3
"""How long a server needs after a kill -9 to read its store's file: Benchmarks/recovery.py DIRECTORY...

For each directory and number of items: fills a store with values of 32 bytes, kills the server, and starts it again.
Prints the milliseconds from the start to the first answer, which may be a miss, and to the answer that all items are
there. "warm": the file is in the page cache. "cold": it was written and dropped from the cache. "busy": cold, and two
processes write 64 MB at a time to the same directory and wait for the disk each time.
"""

import argparse
import os
import pathlib
import socket
import subprocess
import sys
import time

from unread import ROOT, Server, free_port

WRITER = """
import os, sys
block = os.urandom(1 << 20)
with open(sys.argv[1], "wb", buffering=0) as file:
    while True:
        file.seek(0)
        for _ in range(64):
            file.write(block)
        os.fsync(file.fileno())
"""


def ask(port, request):
    """The answer; None: the server does not accept yet."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
            client.sendall(request)
            answer = b""
            while not answer.endswith(b"END\r\n"):
                chunk = client.recv(65536)
                if not chunk:
                    return None
                answer += chunk
            return answer
    except ConnectionError:
        return None


def statistic(port, name):
    answer = ask(port, b"stats\r\n") or b""
    for line in answer.split(b"\r\n"):
        words = line.split()
        if len(words) == 3 and words[1] == name:
            return int(words[2])
    return None


def end(process):
    process.kill()
    process.wait()


def drop_from_cache(path):
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


def start(options, arguments):
    """A server that is just started, and the milliseconds to its first answer and to its last item."""
    port = free_port()
    begin = time.perf_counter()
    process = subprocess.Popen(
        [options.larder, "-l", "127.0.0.1", "-p", str(port), *map(str, arguments)], stderr=subprocess.DEVNULL)
    try:
        while ask(port, b"get none\r\n") is None:
            if process.poll() is not None:
                raise SystemExit(f"the server ended with {process.returncode}")
            time.sleep(0.001)
        first = time.perf_counter() - begin
        while statistic(port, b"store_recovered_percent") != 100:
            time.sleep(0.005)
        return 1000 * first, 1000 * (time.perf_counter() - begin), statistic(port, b"curr_items")
    finally:
        end(process)


def fill(options, arguments, items):
    server = Server(options.larder, *arguments)
    try:
        subprocess.run(
            [options.bench, "-s", "127.0.0.1", "-p", str(server.port), "-t", "1", "-c", "10", "--pipeline=100",
             "--ratio=1:0", "-d", "32", f"--key-maximum={items - 1}", "--key-pattern=P:P", "-n", "allkeys",
             "--no-verify", "-o", "/dev/null"], check=True, stderr=subprocess.DEVNULL)
        return statistic(server.port, b"curr_items")
    finally:
        end(server.process)


def measure(options, directory, items):
    path = pathlib.Path(directory) / "larder-recovery-benchmark"
    noise = [path.with_suffix(f".{number}") for number in range(2)]
    arguments = ["-m", max(64, items * 128 >> 20), "-t", 2, "-e", path]
    try:
        stored = fill(options, arguments, items)
        for mode in options.modes.split(","):
            if mode != "warm":
                drop_from_cache(path)
            writers = [subprocess.Popen([sys.executable, "-c", WRITER, file]) for file in noise] if mode == "busy" else []
            try:
                if writers:
                    time.sleep(3)
                first, last, found = start(options, arguments)
            finally:
                for writer in writers:
                    end(writer)
            lost = "" if found == stored else f", {stored - found} LOST"
            print(f"{directory}, {stored} items, {mode}: answers after {first:.0f} ms, has all after {last:.0f} ms{lost}",
                  flush=True)
    finally:
        for file in [path, *noise]:
            file.unlink(missing_ok=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directories", nargs="+", metavar="DIRECTORY")
    parser.add_argument("--larder", default=str(ROOT / ".build/release/larder"))
    parser.add_argument("--bench", default=str(ROOT / "Benchmarks/.build/release/larder-bench"))
    parser.add_argument("--items", default="1000000,10000000")
    parser.add_argument("--modes", default="warm,cold,busy")
    options = parser.parse_args()
    for directory in options.directories:
        for items in options.items.split(","):
            measure(options, directory, int(items))


if __name__ == "__main__":
    main()
