#!/usr/bin/env python3
"""Where instructions go: user instructions of an operation by part, of Larder and of memcached: make parts.

callgrind counts a short and a long run of each stream of instructions.py; the difference is the operations'. Larder's
functions are told apart by their names; a memcached without symbols, as packages have it, is one part beside its libraries.
"""

import argparse
import collections
import os
import re
import shutil
import subprocess
import sys
import tempfile

import instructions
from servers import Loader, Server

HERE = os.path.dirname(os.path.abspath(__file__))
# The first that fits a function's name and its object decides.
PARTS = (
    ("libevent", r"\[.*libevent"),
    ("locks", r"pthread_(mutex|rwlock|spin|cond)\w*|lll_|__pthread_(enable|disable)"),
    ("bytes", r"mem(cpy|move|chr|cmp|set)|str(to|len|chr|n?cmp)|__str|rawmemchr|printf|itoa"),
    ("system calls", r"epoll_wait|sendmsg|recv|syscall-template|__read|libc_(read|send|recv)|accept4|clock_gettime|close"),
    ("memory", r"\b_?(malloc|free|calloc|realloc)|_int_(malloc|free)|tcache"),
    ("parser", r"10LarderWire.*(Parser|Parse)"),
    ("encoder", r"10LarderWire.*Encoder"),
    ("store", r"11LarderStore"),
    ("connection", r"12LarderServer|WorkerCore|ConnectionV"),
    ("event loop", r"15LarderEventLoop|larder_"),
    ("itself", r"\[.*memcached"),
)


def part(function):
    return next((name for name, pattern in PARTS if re.search(pattern, function)), "rest")


def functions(kind, path, stream, operations, options, directory, stub):
    """Instructions of a server's whole life, by function."""
    cores = sorted(os.sched_getaffinity(0))
    options.port += 1
    out = os.path.join(directory, f"callgrind{options.port}")
    environment = dict(os.environ, LD_PRELOAD=stub) if kind == "memcached" else None
    server = Server(kind, path, ["-t", "1", "-m", "256"], options.port, cores[:1], directory,
                    wrapper=["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}"], environment=environment)
    with server:
        loader = Loader(options.bench, cores[-1:], directory)
        loader.fill(server, stream.load)
        count = stream.requests(operations) // instructions.CONNECTIONS
        loader.run(server, stream.load + ["-c", str(instructions.CONNECTIONS), "-n", str(count), "--seed", "7"])
    text = subprocess.run(
        ["callgrind_annotate", "--threshold=100", out], capture_output=True, text=True, check=True).stdout
    found = collections.Counter()
    for line in text.splitlines():
        if match := re.match(r"\s*([\d,]+) \([^)]*\)\s+(\S.*)", line):
            found[match[2]] += int(match[1].replace(",", ""))
    return found


def parts(kind, path, stream, options, directory, stub):
    """Instructions of one operation: by part, and those of the functions that have most."""
    short, long = (
        functions(kind, path, stream, operations, options, directory, stub)
        for operations in (instructions.SHORT, instructions.LONG))
    by_part, by_function = collections.Counter(), collections.Counter()
    for name in long:
        if name.startswith("PROGRAM TOTALS"):
            continue
        cost = stream.per_operation((short[name], long[name]), (instructions.SHORT, instructions.LONG))
        by_part[part(name)] += cost
        by_function[name] += cost
    return by_part, by_function


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--memcached", default="/usr/bin/memcached", help="memcached's binary")
    parser.add_argument("--larder", default=os.path.join(HERE, "..", ".build", "release", "larder"))
    parser.add_argument("--bench", default=os.path.join(HERE, ".build", "release", "larder-bench"))
    parser.add_argument("--streams", default=",".join(instructions.STREAMS), help="which, with commas")
    parser.add_argument("--functions", type=int, default=0, help="show so many functions of each, too")
    parser.add_argument("--port", type=int, default=27480, help="first of some free ports")
    options = parser.parse_args()
    for tool in ("valgrind", "callgrind_annotate"):
        if shutil.which(tool) is None:
            sys.exit(f"parts: {tool} is not installed (make setup-test installs it)")
    names = [name for name, _ in PARTS] + ["rest"]
    print("| stream | server | all | " + " | ".join(names) + " |")
    print("| --- | --- " + "| ---: " * (len(names) + 1) + "|")
    with tempfile.TemporaryDirectory(prefix="larder-parts-") as directory:
        stub = instructions.build_stub(directory)
        stripped = instructions.without_debug_information(options.larder, directory)
        for stream in options.streams.split(","):
            for kind, path in (("memcached", options.memcached), ("larder", stripped)):
                by_part, by_function = parts(
                    kind, path, instructions.STREAMS[stream], options, directory, stub)
                cells = [f"{by_part[name]:.0f}" if by_part[name] >= 0.5 else "" for name in names]
                print(f"| {stream} | {kind} | {sum(by_part.values()):.0f} | " + " | ".join(cells) + " |", flush=True)
                for name, cost in by_function.most_common(options.functions):
                    print(f"    {cost:8.1f} {name}")


if __name__ == "__main__":
    main()
