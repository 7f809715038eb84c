#!/usr/bin/env python3
"""Holds what Larder costs against ceilings: make gates, which CI runs.

Everything here is counted, nothing is timed, so that it comes out alike on any machine of a kind: instructions
in user space for an operation (valgrind), system calls for an operation (strace), bytes that an item takes
beyond its key and value, resident memory of an idle connection, and calls for memory or of the reference
counter in the functions that every request goes through. The ceilings are in ceilings.json: who changes one
says why in the same commit.
"""

import argparse
import collections
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

import density
import instructions
from servers import Loader, Server

HERE = os.path.dirname(os.path.abspath(__file__))
# Operations of the two runs whose difference is counted.
SHORT, LONG = 16_000, 64_000
SHORT_CALLS, LONG_CALLS = 4_000, 12_000
STREAMS = {
    **instructions.STREAMS,
    "set1": instructions.Stream(instructions.KEYS + ["--ratio", "1:0"]),
}
COUNTED_CALLS = ("accept4", "close", "epoll_ctl", "read", "recvfrom", "sendmsg", "sendto", "setsockopt", "write", "writev")
IDLE_CONNECTIONS = 1000
DENSITY_MEGABYTES = 32
# What every request of its kind goes through.
HOT = [
    r"ConnectionV8textStep", r"ConnectionV10binaryStep", r"ExecuteO13answerClassic", r"ExecuteO13answerPackets",
    r"7SessionV6lookUp", r"7SessionV8markUsed", r"7SessionV5store_", r"7SessionV10publishSet",
    r"TextParserV4next", r"TextParserV9takeLines", r"TextParserV14takeKeysOfLine", r"TextParserV8takeSets",
    r"TextParserV12takeMetaGets", r"BinaryParserV4next",
    r"TextEncoderO11encodeValue", r"MetaEncoderO16encodePlainValue", r"BinaryEncoderO11encodeValue",
    r"clientIsReady\w*Tf",
]
COSTLY = re.compile(
    r"swift_(retain|release|alloc|dealloc|bridgeObject|once|getWitness|dynamicCast|beginAccess)\w*|malloc|calloc|"
    r"free|pthread_mutex_\w+")


class Gates:
    def __init__(self, ceilings):
        self.ceilings = ceilings
        self.broken = 0

    def hold(self, group, name, figure, form="{:.1f}"):
        ceiling = self.ceilings[group][name]
        is_above = figure > ceiling
        self.broken += is_above
        print(f"{group:14} {name:10} {form.format(figure):>10}  ceiling {form.format(ceiling):>8}"
              + ("   ABOVE" if is_above else ""), flush=True)


def instructions_per_operation(options, directory, stream, further=()):
    counts = [
        instructions.count(
            "larder", options.stripped, stream.load, stream.requests(operations), options, directory, None, further)
        for operations in (SHORT, LONG)]
    return stream.per_operation(counts, (SHORT, LONG))


def cost_of_timing(options, directory, stream):
    """How many times the instructions an operation takes while a part of the requests is timed."""
    timed = instructions_per_operation(options, directory, stream, ["--admin", f"127.0.0.1:{options.port + 500}"])
    return timed / instructions_per_operation(options, directory, stream)


def calls(options, directory, stream, operations):
    """System calls of a server's whole life but for the waiting, by name."""
    cores = sorted(os.sched_getaffinity(0))
    options.traces += 1
    trace = os.path.join(directory, f"trace{options.traces}")
    options.port += 1
    server = Server("larder", options.larder, ["-t", "1", "-m", "256"], options.port, cores[:1], directory,
                    wrapper=["strace", "-f", "-c", "-o", trace])
    with server:
        loader = Loader(options.bench, cores[-1:], directory)
        loader.fill(server, stream.load)
        loader.run(server, stream.load + ["-c", "10", "-n", str(stream.requests(operations) // 10), "--seed", "7"])
        # The tracer minds no signal: it ends, and writes, when the server does.
        found = re.search(rb"STAT pid (\d+)", density.Client(options.port).ask(b"stats\r\n", b"END\r\n"))
        os.kill(int(found.group(1)), signal.SIGTERM)
        server.process.wait(30)
    found = collections.Counter()
    with open(trace, encoding="utf-8") as file:
        for line in file:
            words = line.split()
            if len(words) >= 5 and words[3].isdigit():
                found[words[-1]] = int(words[3])
    total = sum(count for name, count in found.items() if name in COUNTED_CALLS)
    if total < 100:
        sys.exit("gates: strace has seen nothing of the server")
    return total


def calls_per_operation(options, directory, stream):
    counts = [calls(options, directory, stream, count) for count in (SHORT_CALLS, LONG_CALLS)]
    return stream.per_operation(counts, (SHORT_CALLS, LONG_CALLS))


def least(count, ceiling, options, directory, name):
    """What a stream costs; the least of three counts if the first ones are above the ceiling.

    On a busy machine requests come in pieces, and fewer of them at a time: that only adds. One at a time, it is
    2 % of the instructions.
    """
    figures = []
    while len(figures) < 3 and (not figures or min(figures) > ceiling):
        options.port += 1
        figures.append(count(options, directory, STREAMS[name]))
    return min(figures)


def bytes_per_item(options, directory, value_bytes):
    density.MEGABYTES = DENSITY_MEGABYTES
    options.port += 1
    cores = sorted(os.sched_getaffinity(0))
    memory = ["-t", "1", "-m", str(DENSITY_MEGABYTES)]
    with Server("larder", options.larder, memory, options.port, cores, directory) as server:
        _, overhead, _, refused = density.measure(server, value_bytes)
    if refused:
        sys.exit(f"gates: {refused} sets were refused")
    return overhead


def bytes_per_connection(options, directory):
    """Resident memory of a connection that has had an answer and is idle."""
    options.port += 1
    cores = sorted(os.sched_getaffinity(0))

    def connect():
        connection = socket.create_connection(("127.0.0.1", options.port))
        connection.sendall(b"get nothing\r\n")
        connection.recv(100)
        return connection

    with Server("larder", options.larder, ["-t", "1", "-c", "4096"], options.port, cores, directory) as server:
        idle = [connect() for _ in range(IDLE_CONNECTIONS)]
        # Code that runs for the first time becomes resident, too, and is no connection's.
        before = server.resident_megabytes("RssAnon")
        idle += [connect() for _ in range(IDLE_CONNECTIONS)]
        after = server.resident_megabytes("RssAnon")
        for connection in idle:
            connection.close()
    return (after - before) * 2**20 / IDLE_CONNECTIONS


def costly_calls(path):
    """What the hot functions call that takes memory, counts references or locks."""
    text = subprocess.run(
        ["objdump", "-d", "--no-show-raw-insn", path], capture_output=True, text=True, check=True).stdout
    found, seen, function = [], set(), None
    for line in text.splitlines():
        if line.endswith(">:"):
            name = line[line.index("<") + 1:-2]
            function = next((hot for hot in HOT if re.search(hot, name)), None)
            if function:
                seen.add(function)
        elif function and "\tcall" in line and "<" in line:
            target = line[line.rindex("<") + 1:].rstrip(">").split("@")[0]
            if COSTLY.fullmatch(target):
                found.append(f"{function} calls {target}")
    missing = [hot for hot in HOT if hot not in seen]
    if missing:
        sys.exit(f"gates: no such function in the server: {', '.join(missing)}")
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--larder", default=os.path.join(HERE, "..", ".build", "release", "larder"))
    parser.add_argument("--bench", default=os.path.join(HERE, ".build", "release", "larder-bench"))
    parser.add_argument("--port", type=int, default=26280, help="first of some free ports")
    options = parser.parse_args()
    options.traces = 0
    for tool in ("valgrind", "strace", "objdump", "objcopy"):
        if shutil.which(tool) is None:
            sys.exit(f"gates: {tool} is not installed (make setup-test installs it)")
    with open(os.path.join(HERE, "ceilings.json"), encoding="utf-8") as file:
        gates = Gates(json.load(file))
    with tempfile.TemporaryDirectory(prefix="larder-gates-") as directory:
        options.stripped = instructions.without_debug_information(options.larder, directory)
        for name, ceiling in gates.ceilings["instructions"].items():
            gates.hold("instructions", name, least(instructions_per_operation, ceiling, options, directory, name))
        for name, ceiling in gates.ceilings["timing"].items():
            gates.hold("timing", name, least(cost_of_timing, ceiling, options, directory, name), "{:.3f}")
        for name, ceiling in gates.ceilings["system calls"].items():
            figure = least(calls_per_operation, ceiling, options, directory, name)
            gates.hold("system calls", name, figure, "{:.4f}")
        for size in gates.ceilings["bytes an item"]:
            gates.hold("bytes an item", size, bytes_per_item(options, directory, int(size)))
        gates.hold("connection", "bytes", bytes_per_connection(options, directory))
    for call in (found := costly_calls(options.larder)):
        print(f"hot functions: {call}   ABOVE")
    print(f"hot functions  {len(HOT)} looked through, {len(found)} calls for memory, references or locks")
    if gates.broken or found:
        sys.exit(f"gates: {gates.broken + len(found)} above their ceilings")


if __name__ == "__main__":
    main()
