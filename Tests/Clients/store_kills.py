"""Kills a server that keeps its items in a file, again and again, and checks what comes back.

    python Tests/Clients/store_kills.py --rounds 10000 --seed 1 [--binary .build/release/larder]

Each round: a server is started on the file that the last one left, every key is compared with the log of what was
acknowledged, then several clients send pipelined commands until the server is killed at a random moment, sometimes
while it is still reading its file. One client's commands are carried out in order, so that what is found must be the
state after some number of them that is not less than were answered: the same number for all keys of that client.
"""

import argparse
import os
import random
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import zlib

WRITERS = 4
KEYS = 40
SIGNALS = [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1]


class Wrong(Exception):
    pass


class Item:
    """What is stored under a key: immutable, so that states can be compared and kept."""

    __slots__ = ("value", "flags")

    def __init__(self, value, flags):
        self.value = value
        self.flags = flags

    def __eq__(self, other):
        return isinstance(other, Item) and self.value == other.value and self.flags == other.flags

    def __repr__(self):
        return f"{len(self.value)} bytes {self.value[:40]!r} flags {self.flags}"


class Command:
    """One command: its bytes, the answer that it must get, and what it does to which key (None: to all)."""

    __slots__ = ("data", "answer", "key", "after")

    def __init__(self, data, answer, key, after):
        self.data, self.answer, self.key, self.after = data, answer, key, after


class Writer:
    """One client with keys of its own."""

    def __init__(self, keys):
        self.keys = keys
        self.state = {}
        self.number = 0

    def begin(self):
        self.before = dict(self.state)
        self.commands = []
        self.answered = 0
        self.buffer = b""

    def value(self, random, key):
        self.number += 1
        text = f"{key.decode()}={self.number}:".encode()
        length = random.choice([0, 5, 50, 300, 300, 2000, 9000, 30000 if random.random() < 0.3 else 40])
        body = random.randbytes(length).replace(b"\r", b"-").replace(b"\n", b"-")
        return text + body + b"%08x" % zlib.crc32(text + body)

    def add(self, random, everything):
        """Makes up the next command, and what the model says to it."""
        key = random.choice(self.keys)
        old = self.state.get(key)
        kind = random.choices(
            ["set", "delete", "add", "replace", "append", "prepend", "incr", "touch", "number", "flush"],
            [40, 14, 8, 6, 5, 5, 8, 8, 5, 2 if everything else 0])[0]
        flags = random.choice([0, 0, 7, 0xffffffff])
        exptime = random.choice([0, 0, 10000, 500000, 2000000])
        after = old
        if kind == "flush":
            self.push(Command(b"flush_all\r\n", b"OK\r\n", None, None))
            self.state.clear()
            return
        if kind in ("set", "add", "replace"):
            value = self.value(random, key)
            data = b"%s %s %d %d %d\r\n%s\r\n" % (kind.encode(), key, flags, exptime, len(value), value)
            is_done = kind == "set" or (old is None) == (kind == "add")
            answer = b"STORED\r\n" if is_done else b"NOT_STORED\r\n"
            if is_done:
                after = Item(value, flags)
        elif kind in ("append", "prepend"):
            value = b"~%d" % self.number
            self.number += 1
            data = b"%s %s 0 0 %d\r\n%s\r\n" % (kind.encode(), key, len(value), value)
            answer = b"NOT_STORED\r\n" if old is None else b"STORED\r\n"
            if old is not None:
                after = Item(old.value + value if kind == "append" else value + old.value, old.flags)
        elif kind == "number":
            value = b"%d" % random.randrange(10**random.randrange(1, 15))
            data = b"set %s %d %d %d\r\n%s\r\n" % (key, flags, exptime, len(value), value)
            answer, after = b"STORED\r\n", Item(value, flags)
        elif kind == "incr":
            data = b"incr %s 7\r\n" % key
            if old is None:
                answer = b"NOT_FOUND\r\n"
            elif old.value.strip(b" ").isdigit() and len(old.value) < 20:
                number = b"%d" % (int(old.value) + 7)
                answer, after = number + b"\r\n", Item(number.ljust(len(old.value)), old.flags)
            else:
                answer = b"CLIENT_ERROR cannot increment or decrement non-numeric value\r\n"
        elif kind == "touch":
            dies = random.random() < 0.1
            data = b"touch %s %d\r\n" % (key, -1 if dies else exptime)
            answer = b"NOT_FOUND\r\n" if old is None else b"TOUCHED\r\n"
            if dies:
                after = None
        else:
            data = b"delete %s\r\n" % key
            answer, after = (b"NOT_FOUND\r\n" if old is None else b"DELETED\r\n"), None
        if after is None:
            self.state.pop(key, None)
        else:
            self.state[key] = after
        self.push(Command(data, answer, key, after))

    def push(self, command):
        self.commands.append(command)

    def take(self, data):
        """Compares answers with what the model said."""
        self.buffer += data
        while self.answered < len(self.commands):
            expected = self.commands[self.answered].answer
            if len(self.buffer) < len(expected):
                if not expected.startswith(self.buffer):
                    self.fail()
                return
            if not self.buffer.startswith(expected):
                self.fail()
            self.buffer = self.buffer[len(expected):]
            self.answered += 1
        if self.buffer:
            self.fail()

    def fail(self):
        command = self.commands[min(self.answered, len(self.commands) - 1)]
        raise Wrong(f"{command.data[:60]!r} was answered {self.buffer[:80]!r}, not {command.answer!r}")

    def check(self, found):
        """Finds how many commands were carried out, and takes what was found for the state."""
        possible = set(range(self.answered, len(self.commands) + 1))
        for key in self.keys:
            seen = found.get(key)
            state = self.before.get(key)
            fits = set()
            for number in range(len(self.commands) + 1):
                if number:
                    command = self.commands[number - 1]
                    if command.key == key:
                        state = command.after
                    elif command.key is None:
                        state = None
                if number >= self.answered and state == seen:
                    fits.add(number)
            if not fits:
                raise Wrong(
                    f"{key!r} is {seen!r}; before: {self.before.get(key)!r}; {self.answered} of "
                    f"{len(self.commands)} commands answered; its own: "
                    + "; ".join(
                        f"{number}: {command.data[:40]!r} -> {command.after!r}"
                        for number, command in enumerate(self.commands, 1) if command.key in (key, None)))
            possible &= fits
            if not possible:
                raise Wrong(f"{key!r} is {seen!r}, which is no state that goes with the other keys")
        self.state = {key: found[key] for key in self.keys if key in found}


class Server:
    def __init__(self, binary, directory, number, memory, arguments=()):
        self.path = f"{directory}/s{number}"
        self.log = open(f"{directory}/log", "ab")
        self.process = subprocess.Popen(
            [binary, "-s", self.path, "-t", "4", "-m", str(memory), "-e", f"{directory}/store", *arguments],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)

    def connect(self):
        end = time.monotonic() + 30
        while True:
            try:
                client = socket.socket(socket.AF_UNIX)
                client.settimeout(30)
                client.connect(self.path)
                return client
            except OSError:
                client.close()
                if time.monotonic() > end:
                    raise Wrong("the server does not listen")
                self.run_for(0.0005)

    def run_for(self, seconds):
        """Returns after that time, unless the server ends by itself before."""
        try:
            raise Wrong(f"the server ended by itself with {self.process.wait(seconds)}")
        except subprocess.TimeoutExpired:
            pass

    def kill(self, how=signal.SIGKILL):
        self.process.send_signal(how)

    def reap(self, how=signal.SIGKILL):
        code = self.process.wait(30)
        self.log.close()
        if os.path.exists(self.path):
            os.unlink(self.path)
        if code != (-signal.SIGKILL if how == signal.SIGKILL else 0):
            raise Wrong(f"the server ended with {code} after signal {how}")


def read_all(client, keys):
    """Every key's item."""
    client.sendall(b"get " + b" ".join(keys) + b"\r\n")
    data = b""
    while not data.endswith(b"END\r\n"):
        piece = client.recv(1 << 20)
        if not piece:
            raise Wrong("the server closed the connection")
        data += piece
    found, place = {}, 0
    while not data.startswith(b"END\r\n", place):
        end = data.index(b"\r\n", place)
        _, key, flags, length = data[place:end].split(b" ")
        found[key] = Item(data[end + 2:end + 2 + int(length)], int(flags))
        place = end + 4 + int(length)
    return found


def statistics(client):
    client.sendall(b"stats\r\n")
    data = b""
    while not data.endswith(b"END\r\n"):
        data += client.recv(1 << 16)
    return dict(line.split(" ", 2)[1:] for line in data.decode().splitlines() if line.startswith("STAT"))


def drain(writers, clients, until):
    """Reads answers until a time, or for None until the server is gone."""
    open_clients = {client.fileno(): (client, writer) for client, writer in zip(clients, writers)}
    while open_clients:
        left = None if until is None else until - time.monotonic()
        if left is not None and left <= 0:
            return
        for number in select.select(list(open_clients), [], [], 30 if left is None else left)[0]:
            client, writer = open_clients[number]
            try:
                data = client.recv(1 << 16)
            except ConnectionError:
                data = b""
            if not data:
                del open_clients[number]
            else:
                writer.take(data)


class Run:
    def __init__(self, binary, directory, seed, memory=8):
        self.binary, self.directory, self.memory = binary, directory, memory
        self.random = random.Random(seed)
        self.writers = [
            Writer([f"w{writer}-{key}{'x' * (key * 5 % 60)}".encode() for key in range(KEYS)])
            for writer in range(WRITERS)]
        self.everyone = Writer([key for writer in self.writers for key in writer.keys])
        self.keys = self.everyone.keys
        self.number = 0
        self.answered = self.sent = self.torn = 0
        self.server = self.start()
        for writer in self.writers + [self.everyone]:
            writer.begin()
        self.active = self.writers

    def start(self):
        self.number += 1
        return Server(self.binary, self.directory, self.number, self.memory)

    def round(self):
        random = self.random
        client = self.server.connect()
        found = read_all(client, self.keys)
        for writer in self.active:
            writer.check(found)
        for key in found:
            if key not in self.keys:
                raise Wrong(f"{key!r} was never stored")
        if self.active is not self.writers:
            for writer in self.writers:
                writer.state = {key: found[key] for key in writer.keys if key in found}
        figures = statistics(client)
        if figures["evictions"] != "0":
            raise Wrong("items were evicted: the arena is too small for this test")
        self.torn += int(figures["store_dropped_items"])
        client.close()

        is_alone = random.random() < 0.2
        if is_alone:
            self.everyone.state = {key: item for writer in self.writers for key, item in writer.state.items()}
            self.everyone.number = max(writer.number for writer in self.writers) + 1
        self.active = [self.everyone] if is_alone else self.writers
        clients = [self.server.connect() for _ in self.active]
        for writer, client in zip(self.active, clients):
            writer.begin()
            for _ in range(random.choice([1, 5, 30, 60, 150])):
                writer.add(random, is_alone)
            client.setblocking(True)
        for writer, client in zip(self.active, clients):
            data = b"".join(command.data for command in writer.commands)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 22)
            client.setblocking(False)
            try:
                sent = client.send(data)
            except BlockingIOError:
                sent = 0
            # What did not fit is not sent: the commands that were cut off were never asked for.
            if sent < len(data):
                total, whole = 0, 0
                for command in writer.commands:
                    total += len(command.data)
                    if total > sent:
                        break
                    whole += 1
                writer.commands = writer.commands[:whole]
            client.setblocking(True)
        how = random.choice(SIGNALS) if random.random() < 0.1 else signal.SIGKILL
        if random.random() < 0.9:
            drain(self.active, clients, time.monotonic() + random.random() ** 2 * 0.008)
        self.server.kill(how)
        killed = self.server
        # At once: the one that was killed may not even be gone.
        self.server = self.start()
        drain(self.active, clients, None)
        for client in clients:
            client.close()
        killed.reap(how)
        if random.random() < 0.15:
            self.server.run_for(random.random() * 0.02)
            self.server.kill()
            killed = self.server
            self.server = self.start()
            killed.reap()
        self.answered += sum(writer.answered for writer in self.active)
        self.sent += sum(len(writer.commands) for writer in self.active)
        for writer in self.writers:
            writer.number = max(writer.number, self.everyone.number)

    def close(self):
        if self.server.process.poll() is None:
            self.server.kill()
            self.server.process.wait(30)


def kills(binary, rounds, seed, directory=None, progress=None):
    """Returns the number of commands answered and sent, and of torn items dropped."""
    parent = directory or ("/dev/shm" if os.path.isdir("/dev/shm") else None)
    directory = tempfile.mkdtemp(prefix="larder-kills-", dir=parent)
    run = Run(binary, directory, seed)
    try:
        for number in range(rounds):
            try:
                run.round()
            except Exception as error:
                kept = f"{tempfile.gettempdir()}/larder-kills-{seed}"
                shutil.rmtree(kept, ignore_errors=True)
                shutil.copytree(directory, kept, ignore=shutil.ignore_patterns("s[0-9]*"))
                raise Wrong(f"seed {seed}, round {number}, files in {kept}: {error}") from error
            if progress and number % progress == progress - 1:
                print(f"{number + 1} kills, {run.answered} of {run.sent} commands answered, {run.torn} torn", flush=True)
        return run.answered, run.sent, run.torn
    finally:
        run.close()
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 31))
    parser.add_argument("--binary", default=".build/release/larder")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    try:
        print("%d answered of %d sent, %d torn" % kills(options.binary, options.rounds, options.seed, progress=100))
    except Wrong as wrong:
        sys.exit(str(wrong))
