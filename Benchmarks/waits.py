#!/usr/bin/env python3
"""How long requests wait while dumps are given, or while another server's datagrams flood a cache.

    Benchmarks/waits.py dump --items 100000 --threads 1
    Benchmarks/waits.py flood --threads 4

larder-bench sends one request after another at a fixed rate, an open loop: a stall makes all requests late that were due
meanwhile. The same load runs in turn with nothing beside it, with a stand-in, and with the server's work. The stand-in
is other processes that do what the server's clients and peers do, without the server. So the difference between the last
two is the server's own, and the rest is the machine's.

dump    One client asks for a dump again and again. The stand-in sends as many bytes in as many slices, with a rest
        behind each.
flood   A process sends datagrams that store values, without a pause. The stand-in's datagrams go to a socket that
        does not read. One load has a connection to each worker but the one that reads the datagrams, another load has a
        connection to that one.
"""

import argparse
import contextlib
import json
import multiprocessing
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time

import servers

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
NAME = b"x"
PIECE = 64 << 10
REST_SECONDS = 50e-6
SITUATIONS = ["nothing else", "stand-in", "the server's work"]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["dump", "flood"])
    parser.add_argument("--larder", default=os.path.join(ROOT, ".build/release/larder"))
    parser.add_argument("--bench", default=os.path.join(ROOT, "Benchmarks/.build/release/larder-bench"))
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--threads", type=int, help="of the server; 1, and 4 for a flood")
    parser.add_argument("--cores", help="of the server, for taskset: 0 or 0-3; all cores by default")
    parser.add_argument("--rate", type=int, default=5000, help="requests a second of each connection")
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--senders", type=int, default=1, help="processes that send datagrams")
    parser.add_argument("--purge-lru", action="store_true", help="a cache that keeps the order of use")
    parser.add_argument("--port", type=int, default=21417, help="this one and the three behind it")
    options = parser.parse_args()
    options.threads = options.threads or {"dump": 1, "flood": 4}[options.what]
    if options.what == "flood" and options.threads < 2:
        parser.error("a flood needs two workers: --threads 2")
    return options


@contextlib.contextmanager
def processes(*all_of_them):
    """Runs functions, each in a process of its own. They get an event that ends them, and a number to add up."""
    # A fork, because the functions are local ones.
    context = multiprocessing.get_context("fork")
    end = context.Event()
    done = context.Value("q", 0)
    started = [context.Process(target=each, args=(end, done)) for each in all_of_them]
    for each in started:
        each.start()
    try:
        yield done
    finally:
        end.set()
        for each in started:
            each.join(30)
            if each.is_alive():
                each.kill()


# A dump


def receive_all(client):
    count = 0
    buffer = bytearray(1 << 20)
    while piece := client.recv_into(buffer):
        count += piece
    return count


def asking(port):
    """Asks for a dump, reads it to its end, and asks again."""
    def ask(end, done):
        while not end.is_set():
            with socket.create_connection(("127.0.0.1", port), 30) as client:
                client.sendall(b"\x6f" + len(NAME).to_bytes(2, "little") + b"\x06" + NAME)
                count = receive_all(client)
            with done.get_lock():
                done.value += count
    return ask


def standing_in(listener, length, items):
    """A server that sends so many bytes to each client, and rests as often as the thread that gives dumps."""
    def serve(end, _):
        listener.settimeout(0.1)
        piece = bytes(PIECE)
        # A rest behind each piece, and behind each 64 items when they are counted and when they are read.
        rests = 1 + 2 * items // 64 * PIECE // length
        while not end.is_set():
            with contextlib.suppress(OSError):
                client, _ = listener.accept()
                with client:
                    # The request. A close with unread bytes would be a reset.
                    client.recv(100)
                    for start in range(0, length, PIECE):
                        client.sendall(piece[:length - start])
                        for _ in range(rests):
                            time.sleep(REST_SECONDS)
                        if end.is_set():
                            break
    return serve


def dump_length(port):
    with socket.create_connection(("127.0.0.1", port), 30) as client:
        client.sendall(b"\x6f" + len(NAME).to_bytes(2, "little") + b"\x06" + NAME)
        return receive_all(client)


def measure_dumps(options, directory):
    fields = f"name=x,items={options.items + 1},blocksize=64,keysize=32,listen=:{options.port + 1}"
    fields += ",purge_lru=1" if options.purge_lru else ""
    flags = ["-t", str(options.threads), "-m", "64", "--uwsgi", f"127.0.0.1:{options.port + 2}", "--cache", fields]
    with servers.Server("larder", options.larder, flags, options.port, cores(options), directory):
        load = Load(options, directory, options.port + 1, 1)
        load.fill()
        length = dump_length(options.port + 2)
        print(f"a dump of {options.items} items has {length} bytes; -t {options.threads}, "
              f"{options.rate} requests a second, {options.rounds} rounds of {options.seconds} s")
        with socket.create_server(("127.0.0.1", options.port + 3)) as listener:
            beside = [[], [asking(options.port + 3), standing_in(listener, length, options.items)], [asking(options.port + 2)]]
            for kind, ratio in [("get", "0:1"), ("set", "1:0")]:
                take_turns(options, beside, [(f"{kind}s", load, ratio)], lambda count: f"{count >> 20} MB of dumps")


# A flood


def flooding(port):
    """Datagrams that store values of 100 bytes, as uWSGI sends them."""
    def flood(end, done):
        packets = []
        for number in range(256):
            body = b"".join(
                len(each).to_bytes(2, "little") + each for each in [b"flood-%d" % number, bytes(100), b"0"])
            packets.append(b"\x6f" + len(body).to_bytes(2, "little") + b"\x0a" + body)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.connect(("127.0.0.1", port))
            while not end.is_set():
                for packet in packets:
                    with contextlib.suppress(ConnectionRefusedError):
                        sender.send(packet)
                with done.get_lock():
                    done.value += len(packets)
    return flood


def requests_of_workers(port):
    with socket.create_connection(("127.0.0.1", port), 10) as client:
        data = b""
        while piece := client.recv(1 << 16):
            data += piece
    return [worker["requests"] for worker in json.loads(data)["workers"]]


def turn_to_first_worker(options):
    """Connections go to the workers in turn. After this the next one goes to the first worker."""
    while True:
        before = requests_of_workers(options.port + 2)
        with socket.create_connection(("127.0.0.1", options.port + 1), 10) as client:
            client.sendall(b"get none\r\n")
            assert client.recv(100) == b"END\r\n"
            after = requests_of_workers(options.port + 2)
        if after[-1] > before[-1]:
            return


def measure_floods(options, directory):
    port = options.port + 3
    # The socket of the first cache with udp= is read by the last worker.
    fields = f"name=x,items={options.items + 1000},blocksize=128,keysize=32,listen=:{options.port + 1},udp={port}"
    flags = ["-t", str(options.threads), "-m", "64", "--stats", f"127.0.0.1:{options.port + 2}", "--cache", fields]
    with servers.Server("larder", options.larder, flags, options.port, cores(options), directory):
        others = Load(options, directory, options.port + 1, options.threads - 1)
        reader = Load(options, directory, options.port + 1, 1)
        others.fill()
        print(f"-t {options.threads}, {options.rate} requests a second of each connection, "
              f"{options.rounds} rounds of {options.seconds} s")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
            silent.bind(("127.0.0.1", 0))
            senders = options.senders
            beside = [[], [flooding(silent.getsockname()[1])] * senders, [flooding(port)] * senders]
            for kind, ratio in [("get", "0:1"), ("set", "1:0")]:
                loads = [(f"{kind}s, other workers", others, ratio), (f"{kind}s, the worker that reads", reader, ratio)]
                take_turns(
                    options, beside, loads, lambda count: f"{count / options.seconds / options.rounds:.0f} datagrams/s",
                    begin=lambda: turn_to_first_worker(options))
        print_counters(options)


def print_counters(options):
    with socket.create_connection(("127.0.0.1", options.port + 1), 10) as client:
        client.sendall(b"stats larder\r\n")
        data = b""
        while not data.endswith(b"END\r\n"):
            data += client.recv(1 << 16)
    for line in data.split(b"\r\n"):
        if line.startswith((b"STAT sync_received", b"STAT sync_dropped")):
            print(line[5:].decode())


# Loads


class Load:
    """larder-bench with some connections."""

    def __init__(self, options, directory, port, connections):
        self.options = options
        self.file = os.path.join(directory, f"load-{connections}-{id(self)}.json")
        self.command = [
            options.bench, "-s", "127.0.0.1", "-p", str(port), "-t", "1", "-c", str(connections), "-d", "50",
            "--key-minimum", "1", "--key-maximum", str(options.items // 2), "--hide-histogram",
            "--json-out-file", self.file]
        self.key_maximum = options.items

    def fill(self):
        command = self.command + ["--ratio", "1:0", "--key-pattern", "P:P", "-n", "allkeys", "--pipeline", "16"]
        command[command.index("--key-maximum") + 1] = str(self.key_maximum)
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    def start(self, ratio):
        return subprocess.Popen(
            self.command + ["--ratio", ratio, "--rate-limiting", str(self.options.rate), "--test-time",
                            str(self.options.seconds)],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def finish(self, process):
        error = process.communicate()[1]
        if process.returncode != 0:
            sys.exit(f"waits: the load failed: {error.decode()}")
        with open(self.file, encoding="utf-8") as file:
            return json.load(file)["ALL STATS"]


def take_turns(options, beside, loads, describe, begin=lambda: None):
    """Prints a line for each situation and load: of the rounds' figures the median, and the longest wait of all."""
    results = {(situation, name): [] for situation in SITUATIONS for name, _, _ in loads}
    work = dict.fromkeys(SITUATIONS, 0)
    for number in range(options.rounds):
        order = list(zip(SITUATIONS, beside))
        # So that no situation always comes first.
        for situation, functions in order[number % 3:] + order[:number % 3]:
            begin()
            with processes(*functions) as done:
                started = []
                for _, load, ratio in loads:
                    started.append(load.start(ratio))
                    # The connections are made in this order.
                    time.sleep(0.2)
                for (name, load, _), process in zip(loads, started):
                    results[situation, name].append(load.finish(process))
                work[situation] += done.value
    print(f"{'':28} {'beside':18} {'req/s':>7} {'p50 µs':>8} {'p99':>8} {'p99.9':>8} {'p99.99':>8} {'longest':>8} "
          f"{'own p99.9':>9}")
    for name, _, _ in loads:
        for situation in SITUATIONS:
            print_line(name, situation, results[situation, name])
    print(f"{'':28} {SITUATIONS[1]}: {describe(work[SITUATIONS[1]])}; {SITUATIONS[2]}: {describe(work[SITUATIONS[2]])}")


def print_line(name, situation, runs):
    def median(take):
        return statistics.median(take(run) for run in runs)

    percentiles = [1000 * median(lambda run, at=at: run["Totals"]["Percentile Latencies"][at])
                   for at in ["p50.00", "p99.00", "p99.90", "p99.99"]]
    longest = 1000 * max(run["Totals"]["Max Latency"] for run in runs)
    own = 1000 * median(lambda run: run["Own Delay"]["p99.90"])
    figures = " ".join(f"{each:8.0f}" for each in [*percentiles, longest])
    print(f"{name:28} {situation:18} {median(lambda run: run['Totals']['Ops/sec']):7.0f} {figures} {own:9.0f}", flush=True)


def cores(options):
    return [options.cores] if options.cores else range(os.cpu_count())


def main():
    options = arguments()
    with tempfile.TemporaryDirectory() as directory:
        {"dump": measure_dumps, "flood": measure_floods}[options.what](options, directory)


if __name__ == "__main__":
    main()
