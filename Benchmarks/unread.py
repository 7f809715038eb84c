#!/usr/bin/env python3
"""Measures the cost of clients that never read their answers: Benchmarks/unread.py [--memcached PATH] [--rounds N].

1,000 clients ask for values of 1 MB and read nothing. Another client stores 300 values of 900 KB: two seconds later, or
at once with --pause 0.
Larder and memcached take turns. Each line has the resident memory before and after the clients, at the end, and the
seconds that the 300 sets took.
"""

import argparse
import os
import pathlib
import resource
import socket
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    def __init__(self, binary, *arguments):
        self.port = free_port()
        self.process = subprocess.Popen(
            [binary, "-l", "127.0.0.1", "-p", str(self.port), *map(str, arguments)], stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while True:
            try:
                return socket.create_connection(("127.0.0.1", self.port)).close()
            except ConnectionRefusedError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise
                time.sleep(0.01)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def resident_megabytes(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024

    def connect(self, receive_buffer=None):
        client = socket.socket()
        if receive_buffer:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        else:
            client.settimeout(30)
        client.connect(("127.0.0.1", self.port))
        return client


def store(client, key, value):
    """Whether the server takes it."""
    client.sendall(b"set %b 0 0 %d\r\n%b\r\n" % (key, len(value), value))
    answer = b""
    while not answer.endswith(b"\r\n"):
        chunk = client.recv(4096)
        if not chunk:
            raise EOFError("the server closed the connection")
        answer += chunk
    return answer == b"STORED\r\n"


def measure(name, binary, options, extra):
    with Server(binary, "-m", 64, "-c", 8000, "-t", 4, *extra) as server:
        client = server.connect()
        value = os.urandom(options.bytes)
        for number in range(options.values):
            store(client, b"big%d" % number, value)
        before = server.resident_megabytes()
        silent = []
        for number in range(options.clients):
            silent.append(server.connect(receive_buffer=4096))
            silent[-1].sendall(b"get big%d\r\n" % (number % options.values) * 4)
        time.sleep(options.pause)
        meanwhile = server.resident_megabytes()
        begin = time.monotonic()
        stored = sum(store(client, b"other%d" % number, value[:900_000]) for number in range(300))
        seconds = time.monotonic() - begin
        print(f"{name:10} MB {before:.0f} {meanwhile:.0f} {server.resident_megabytes():.0f}  "
              f"sets {seconds:.2f} s, {300 - stored} refused", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--larder", default=str(ROOT / ".build" / "release" / "larder"))
    parser.add_argument("--memcached", default="memcached")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--bytes", type=int, default=1_000_000, help="of each value that they ask for")
    parser.add_argument("--values", type=int, default=55)
    parser.add_argument("--pause", type=float, default=2, help="seconds before the sets")
    options = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    for _ in range(options.rounds):
        measure("larder", options.larder, options, [])
        measure("memcached", options.memcached, options, ["-u", "root"] if os.geteuid() == 0 else [])


if __name__ == "__main__":
    main()
