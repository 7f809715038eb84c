#!/usr/bin/env python3
"""Fills memcached and Larder until they evict and counts what can be read back: make density.

Both with -m 256, keys of 20 bytes, one size of value after the other. With --twice as many new keys follow as were
stored until then. Overhead is `-m` divided by the items
found, less key and value: the index, rounding, expiry, cas and what lies idle are all in it.
"""

import argparse
import os
import re
import socket
import tempfile

from servers import Server

MEGABYTES = 256
KEY_BYTES = 20
SIZES = [10, 50, 100, 200, 500, 1000, 4000]


class Client:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.settimeout(120)

    def ask(self, request, end):
        """Sends, and returns what came up to the line `end`."""
        self.socket.sendall(request)
        parts, tail = [], b""
        while not tail.endswith(end):
            data = self.socket.recv(1 << 20)
            if not data:
                raise SystemExit("density: the server closed the connection")
            parts.append(data)
            tail = (tail + data)[-len(end):]
        return b"".join(parts)

    def evictions(self):
        return int(re.search(rb"STAT evictions (\d+)", self.ask(b"stats\r\n", b"END\r\n")).group(1))


def keys(first, count):
    return [b"key-%016d" % number for number in range(first, first + count)]


def measure(server, value_bytes, is_twice=False):
    client = Client(server.port)
    # A batch is a thousandth of what may fit.
    batch = max(50, MEGABYTES * 1024 * 1024 // (value_bytes + KEY_BYTES + 24) // 1000)
    tail = b" 0 0 %d\r\n" % value_bytes + b"x" * value_bytes + b"\r\n"
    stored = refused = 0
    end = None
    while end is None or stored < end:
        request = b"".join(b"set " + key + tail for key in keys(stored, batch)) + b"mn\r\n"
        answer = client.ask(request, b"MN\r\n")
        refused += batch - answer.count(b"STORED\r\n")
        stored += batch
        if end is None and client.evictions() > 0:
            end = 2 * stored if is_twice else stored
    found = 0
    for first in range(0, stored, 100):
        request = b"get " + b" ".join(keys(first, min(100, stored - first))) + b"\r\nmn\r\n"
        found += client.ask(request, b"MN\r\n").count(b"VALUE key-")
    overhead = MEGABYTES * 1024 * 1024 / found - KEY_BYTES - value_bytes
    return found, overhead, server.resident_megabytes(), refused


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--memcached", default="/usr/bin/memcached")
    parser.add_argument("--larder", default=os.path.join(here, "..", ".build", "release", "larder"))
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)))
    parser.add_argument("--twice", action="store_true", help="fill the store a second time, with new keys")
    parser.add_argument("--port", type=int, default=25280, help="first of some free ports")
    options = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    port = options.port
    print(f"-m {MEGABYTES}, keys of {KEY_BYTES} B      memcached                          larder")
    print("value B      items  overhead B  RSS MB      items  overhead B  RSS MB    items  refused")
    with tempfile.TemporaryDirectory(prefix="larder-density-") as directory:
        for size in map(int, options.sizes.split(",")):
            rows = []
            for kind, path in (("memcached", options.memcached), ("larder", options.larder)):
                port += 1
                with Server(kind, path, ["-t", "1", "-m", str(MEGABYTES)], port, cores, directory) as server:
                    rows.append(measure(server, size, options.twice))
            (their, ours) = rows
            print(f"{size:7} " + "".join(f"{row[0]:10} {row[1]:11.1f} {row[2]:7.1f} " for row in rows)
                  + f"{ours[0] / their[0]:8.2f}x {their[3]}/{ours[3]}", flush=True)


if __name__ == "__main__":
    main()
