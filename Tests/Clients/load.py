"""A checked load: many connections, mixed pipelined requests, every answer compared with a model.

Each connection owns a range of keys, so that the answer to every request on them is known exactly. Beside those
there are keys that all connections share: values that carry their key and a checksum, a counter under `incr`, and
a counter under `cas`, whose totals must be the number of accepted changes.

With `lossy`, the server may have evicted a key: a miss is then a right answer, a wrong value never is.
"""

import collections
import multiprocessing
import random
import selectors
import socket
import time
import zlib

KEYS_PER_CONNECTION = 400
NUMBERS_PER_CONNECTION = 20
SHARED_KEYS = 200
BATCH_REQUESTS = 150
PIECE_BYTES_MAX = 60
BLOB = random.Random(0).randbytes(1 << 20)

# What a connection sends, and how often (per cent).
MIX = {
    "get": 24, "get_many": 8, "gets": 5, "set": 18, "set_noreply": 4, "add": 5, "replace": 4, "append": 3,
    "prepend": 3, "cas": 4, "delete": 4, "delete_noreply": 1, "touch": 2, "gat": 2, "gats": 1, "expire": 1,
    "incr": 3, "decr": 2, "bad": 1, "shared_get": 2, "shared_set": 1, "shared_delete": 0.5, "shared_incr": 1,
    "shared_cas": 0.5,
}


class WrongAnswer(AssertionError):
    """The server said something that the model rules out."""


class Item:
    """What the model knows of one stored value; `token` only once a gets has told it."""

    __slots__ = ("value", "flags", "token")

    def __init__(self, value, flags):
        self.value, self.flags, self.token = value, flags, None


def shared_value(key, body):
    return b"%b %08x %b" % (key, zlib.crc32(key + body), body)


class Worker:
    """One connection: makes requests, and checks the answers in their order against its own model."""

    def __init__(self, address, number, seed, lossy):
        self.random = random.Random(f"{seed}/{number}")
        self.lossy = lossy
        self.prefix = b"%d:" % number
        self.items = {}
        self.tokens = {}
        self.pending = collections.deque()
        self.counts = collections.Counter()
        self.shared_counter_sum = self.shared_cas_count = self.shared_counter_seen = 0
        self.shared_cas_token = None
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.socket.connect(address)
        self.socket.setblocking(False)
        self.outgoing = memoryview(b"")
        self.incoming, self.position = bytearray(), 0

    # Requests. Each returns its bytes and leaves (checker, arguments) in `pending`.

    def fill(self, count):
        names = self.random.choices(list(MIX), list(MIX.values()), k=count)
        parts = [getattr(self, "make_" + name)() for name in names]
        # A silent request at the end of everything would never be waited for: end on one that is not.
        self.pending.append((self.check_line, b"OK"))
        self.outgoing = memoryview(b"".join(parts) + b"verbosity 0\r\n")

    def key(self):
        return self.prefix + b"%d" % int(self.random.random() * KEYS_PER_CONNECTION)

    def number_key(self):
        return self.prefix + b"n%d" % int(self.random.random() * NUMBERS_PER_CONNECTION)

    def value(self):
        kind = self.random.random()
        size_max = 200 if kind < 0.8 else 2_000 if kind < 0.97 else 20_000 if kind < 0.9995 else 600_000
        size = int(self.random.random() * size_max)
        start = int(self.random.random() * (len(BLOB) - size))
        return BLOB[start:start + size]

    def make_get(self):
        keys = [self.key()]
        self.pending.append((self.check_values, keys, False, False))
        return b"get %b\r\n" % keys[0]

    def make_get_many(self):
        keys = [self.key() for _ in range(2 + int(self.random.random() * 20))]
        self.pending.append((self.check_values, keys, False, False))
        return b"get %b\r\n" % b" ".join(keys)

    def make_gets(self):
        keys = [self.key() for _ in range(1 + int(self.random.random() * 3))]
        self.pending.append((self.check_values, keys, True, False))
        return b"gets %b\r\n" % b" ".join(keys)

    def make_gat(self):
        keys = [self.key() for _ in range(1 + int(self.random.random() * 3))]
        self.pending.append((self.check_values, keys, False, False))
        return b"gat 1000 %b\r\n" % b" ".join(keys)

    def make_gats(self):
        key = self.key()
        self.pending.append((self.check_values, [key], True, False))
        return b"gats 0 %b\r\n" % key

    def make_expire(self):
        """A get that also ends the value's life."""
        key = self.key()
        self.pending.append((self.check_values, [key], False, True))
        return b"gat -1 %b\r\n" % key

    def storage(self, verb, key, value, flags, tail=b""):
        return b"%b %b %d %d %d%b\r\n%b\r\n" % (
            verb, key, flags, 3600 * int(self.random.random() * 2), len(value), tail, value)

    def make_set(self):
        key, value, flags = self.key(), self.value(), int(self.random.random() * 2**32)
        if self.random.random() < 0.1:
            key, value = self.number_key(), b"%d" % int(self.random.random() * 1000)
        self.pending.append((self.check_set, key, value, flags))
        return self.storage(b"set", key, value, flags)

    def make_set_noreply(self):
        key, value = self.key(), self.value()
        self.pending.append((self.note_set, key, value, 9))
        return self.storage(b"set", key, value, 9, b" noreply")

    def make_add(self):
        key, value = self.key(), self.value()
        self.pending.append((self.check_add, key, value, 1))
        return self.storage(b"add", key, value, 1)

    def make_replace(self):
        key, value = self.key(), self.value()
        self.pending.append((self.check_replace, key, value, 2))
        return self.storage(b"replace", key, value, 2)

    def make_append(self):
        key, value = self.key(), self.value()[:PIECE_BYTES_MAX]
        self.pending.append((self.check_grow, key, value, False))
        return self.storage(b"append", key, value, 77)

    def make_prepend(self):
        key, value = self.key(), self.value()[:PIECE_BYTES_MAX]
        self.pending.append((self.check_grow, key, value, True))
        return self.storage(b"prepend", key, value, 77)

    def make_cas(self):
        """With the newest token that was seen for the key, or an old one, or one that never was."""
        key, value = self.key(), self.value()
        if self.tokens and self.random.random() < 0.7:
            key = self.random.choice(list(self.tokens)[-8:])
        token = self.tokens.get(key, 2**63)
        self.pending.append((self.check_cas, key, value, token))
        return b"cas %b 3 0 %d %d\r\n%b\r\n" % (key, len(value), token, value)

    def make_delete(self):
        key = self.key()
        self.pending.append((self.check_delete, key))
        return b"delete %b\r\n" % key

    def make_delete_noreply(self):
        key = self.key()
        self.pending.append((self.note_delete, key))
        return b"delete %b noreply\r\n" % key

    def make_touch(self):
        key = self.key()
        self.pending.append((self.check_touch, key))
        return b"touch %b 1000\r\n" % key

    def make_incr(self):
        """Below 2^63: above, memcached 1.6.18 now and then takes the number for text."""
        key, delta = self.number_key(), int(self.random.random() * 2**self.random.randrange(50))
        self.pending.append((self.check_arithmetic, key, delta))
        return b"incr %b %d\r\n" % (key, delta)

    def make_decr(self):
        key, delta = self.number_key(), int(self.random.random() * 1000)
        self.pending.append((self.check_arithmetic, key, -delta))
        return b"decr %b %d\r\n" % (key, delta)

    def make_bad(self):
        """Input that is wrong, and must not disturb what stands around it."""
        line, answer = self.random.choice(BAD)
        self.pending.append((self.check_line, answer))
        return line

    def shared_key(self):
        return b"shared:%d" % int(self.random.random() * SHARED_KEYS)

    def make_shared_get(self):
        key = self.shared_key()
        self.pending.append((self.check_shared_get, key))
        return b"get %b\r\n" % key

    def make_shared_set(self):
        key = self.shared_key()
        self.pending.append((self.check_line, b"STORED"))
        return self.storage(b"set", key, shared_value(key, self.value()), 5)

    def make_shared_delete(self):
        self.pending.append((self.check_one_of, (b"DELETED", b"NOT_FOUND")))
        return b"delete %b\r\n" % self.shared_key()

    def make_shared_incr(self):
        delta = 1 + int(self.random.random() * 9)
        self.pending.append((self.check_shared_incr, delta))
        return b"incr shared:counter %d\r\n" % delta

    def make_shared_cas(self):
        """Adds one to a number with what the last gets told; asks again right after."""
        parts = []
        if self.shared_cas_token is not None:
            number, token = self.shared_cas_token
            value = b"%d" % (number + 1)
            self.pending.append((self.check_shared_cas,))
            parts.append(b"cas shared:cas 0 0 %d %d\r\n%b\r\n" % (len(value), token, value))
        self.pending.append((self.check_shared_gets,))
        parts.append(b"gets shared:cas\r\n")
        self.shared_cas_token = None
        return b"".join(parts)

    # Answers. Each reads its own, and raises IndexError (via `line` and `take`) when not all of it is there.

    def line(self):
        end = self.incoming.find(b"\r\n", self.position)
        if end < 0:
            raise IndexError
        line = bytes(self.incoming[self.position:end])
        self.position = end + 2
        return line

    def take(self, count):
        end = self.position + count + 2
        if len(self.incoming) < end:
            raise IndexError
        if self.incoming[end - 2:end] != b"\r\n":
            raise WrongAnswer(f"no line end after {count} bytes")
        value = bytes(self.incoming[self.position:end - 2])
        self.position = end
        return value

    def values(self, with_token):
        """The answer to a get, as (key, flags, value, token)."""
        found = []
        while (line := self.line()) != b"END":
            fields = line.split(b" ")
            if fields[0] != b"VALUE" or len(fields) != 4 + with_token:
                raise WrongAnswer(f"{line[:200]!r} in a get")
            found.append((fields[1], int(fields[2]), self.take(int(fields[3])), int(fields[4]) if with_token else None))
        return found

    def expect(self, condition, *what):
        if not condition:
            raise WrongAnswer(" ".join(value if isinstance(value, str) else repr(value)[:300] for value in what))

    def check_values(self, keys, with_token, expires):
        found = self.values(with_token)
        place = 0
        for key in keys:
            item = self.items.get(key)
            answered = place < len(found) and found[place][0] == key
            if not answered:
                self.expect(item is None or self.lossy, "miss for", key, "which holds", item and item.value)
                self.items.pop(key, None)
                continue
            _, flags, value, token = found[place]
            place += 1
            self.expect(item is not None, "value", value, "for", key, "which holds nothing")
            self.expect(value == item.value and flags == item.flags, key, "has", value, flags, "not", item.value,
                        item.flags)
            if with_token:
                self.expect(item.token in (None, token), "cas of", key, "changed by itself")
                item.token = self.tokens[key] = token
            if expires:
                del self.items[key]
        self.expect(place == len(found), "values nobody asked for:", found[place:])

    def store(self, key, value, flags):
        self.items[key] = Item(value, flags)

    def check_line(self, answer):
        line = self.line()
        self.expect(line == answer, line, "instead of", answer)

    def check_one_of(self, answers):
        line = self.line()
        self.expect(line in answers, line, "instead of one of", answers)

    def present(self, key, hit, yes, no):
        """Reads a line that says whether the key was there; settles the model; returns whether it was."""
        line = self.line()
        self.expect(line in (yes, no), line, "instead of", yes, "or", no)
        answered = line == yes
        if self.lossy and not answered and hit:
            self.items.pop(key, None)
            return False
        self.expect(answered == hit, line, "for", key, "which is", "there" if hit else "not there")
        return answered

    def check_set(self, key, value, flags):
        self.check_line(b"STORED")
        self.store(key, value, flags)

    def note_set(self, key, value, flags):
        self.store(key, value, flags)

    def check_add(self, key, value, flags):
        if not self.present(key, key in self.items, b"NOT_STORED", b"STORED"):
            self.store(key, value, flags)

    def check_replace(self, key, value, flags):
        if self.present(key, key in self.items, b"STORED", b"NOT_STORED"):
            self.store(key, value, flags)

    def check_grow(self, key, value, in_front):
        if self.present(key, key in self.items, b"STORED", b"NOT_STORED"):
            old = self.items[key]
            self.store(key, value + old.value if in_front else old.value + value, old.flags)

    def check_cas(self, key, value, token):
        item = self.items.get(key)
        matches = item is not None and item.token == token
        line = self.line()
        if line == b"NOT_FOUND" and (item is None or self.lossy):
            self.items.pop(key, None)
        elif item is not None and line == b"STORED" and matches:
            self.store(key, value, 3)
        elif item is not None and line == b"EXISTS" and not matches:
            pass
        else:
            raise WrongAnswer(f"{line!r} to a cas of {key!r}: there {item is not None}, same token {matches}")

    def check_delete(self, key):
        if self.present(key, key in self.items, b"DELETED", b"NOT_FOUND"):
            del self.items[key]

    def note_delete(self, key):
        self.items.pop(key, None)

    def check_touch(self, key):
        self.present(key, key in self.items, b"TOUCHED", b"NOT_FOUND")

    def check_arithmetic(self, key, delta):
        item = self.items.get(key)
        line = self.line()
        if line == b"NOT_FOUND" and (item is None or self.lossy):
            self.items.pop(key, None)
            return
        self.expect(item is not None, line, "for", key, "which is not there")
        number = max(0, int(item.value) + delta) % 2**64
        self.expect(line == b"%d" % number, line, "instead of", number)
        # A shorter number is padded in place; nothing here appends to numbers, so only their value matters.
        self.store(key, line, item.flags)

    def check_shared_get(self, key):
        for found, flags, value, _ in self.values(False):
            found_key, checksum, body = value.split(b" ", 2)
            self.expect(found == found_key == key and flags == 5, found, found_key, flags, "for", key)
            self.expect(int(checksum, 16) == zlib.crc32(key + body), "torn value of", key)

    def check_shared_incr(self, delta):
        line = self.line()
        if self.lossy and line == b"NOT_FOUND":
            return
        self.expect(line.isdigit(), line, "to incr")
        self.expect(self.lossy or int(line) >= self.shared_counter_seen + delta, "counter went back to", line)
        self.shared_counter_seen = int(line)
        self.shared_counter_sum += delta

    def check_shared_cas(self):
        line = self.line()
        if not (self.lossy and line == b"NOT_FOUND"):
            self.expect(line in (b"STORED", b"EXISTS"), line, "to cas")
        self.shared_cas_count += line == b"STORED"

    def check_shared_gets(self):
        for _, _, value, token in self.values(True):
            self.shared_cas_token = int(value), token

    # Moving bytes.

    def send(self):
        sent = self.socket.send(self.outgoing)
        self.outgoing = self.outgoing[sent:]

    def receive(self):
        """Reads what is there and checks each answer that is complete; returns how many were."""
        chunk = self.socket.recv(1 << 18)
        if not chunk:
            raise WrongAnswer("the server closed the connection")
        self.incoming += chunk
        checked = 0
        while self.pending:
            check, *arguments = self.pending[0]
            start = self.position
            try:
                check(*arguments)
            except IndexError:
                self.position = start
                break
            self.pending.popleft()
            checked += 1
        del self.incoming[:self.position]
        self.position = 0
        if not self.pending and not self.outgoing and self.incoming:
            raise WrongAnswer(f"bytes nobody asked for: {bytes(self.incoming[:200])!r}")
        return checked


BAD = [
    (b"nonsense\r\n", b"ERROR"),
    (b"GET key\r\n", b"ERROR"),
    (b"incr shared:text 1\r\n", b"CLIENT_ERROR cannot increment or decrement non-numeric value"),
    (b"incr shared:counter x\r\n", b"CLIENT_ERROR invalid numeric delta argument"),
    (b"touch shared:text x\r\n", b"CLIENT_ERROR invalid exptime argument"),
    (b"set shared:bad 0 0 -1\r\n", b"CLIENT_ERROR bad command line format"),
]


def drive(address, numbers, requests, seed, lossy, deadline):
    """Runs the workers `numbers` of one process until each has done its requests; returns their totals."""
    workers = [Worker(address, number, seed, lossy) for number in numbers]
    left = dict.fromkeys(workers, requests)
    counts = collections.Counter()
    with selectors.DefaultSelector() as selector:

        def next_batch(worker):
            count = min(BATCH_REQUESTS, left[worker])
            left[worker] -= count
            if count == 0:
                selector.unregister(worker.socket)
                return
            worker.fill(count)
            selector.modify(worker.socket, selectors.EVENT_READ | selectors.EVENT_WRITE, worker)

        for worker in workers:
            selector.register(worker.socket, selectors.EVENT_READ, worker)
            next_batch(worker)
        while selector.get_map():
            events = selector.select(timeout=10)
            if not events or time.monotonic() > deadline:
                raise WrongAnswer(f"not done in time; left: {sum(left.values())}")
            for key, mask in events:
                worker = key.data
                if mask & selectors.EVENT_READ:
                    counts["requests"] += worker.receive()
                if mask & selectors.EVENT_WRITE and worker.outgoing:
                    worker.send()
                    if not worker.outgoing:
                        selector.modify(worker.socket, selectors.EVENT_READ, worker)
                if not worker.pending and not worker.outgoing:
                    next_batch(worker)
    for worker in workers:
        counts["counter"] += worker.shared_counter_sum
        counts["cas"] += worker.shared_cas_count
        worker.socket.close()
    return counts


def _process(queue, *arguments):
    try:
        queue.put(drive(*arguments))
    except BaseException as failure:
        queue.put(f"{type(failure).__name__}: {failure}")


def run(address, requests, connections=50, processes=4, seed=1, lossy=False, seconds=120.0):
    """Spreads the load over processes; returns the totals of all, or raises what the first of them found."""
    queue = multiprocessing.get_context("fork").Queue()
    deadline = time.monotonic() + seconds
    children = [
        multiprocessing.get_context("fork").Process(
            target=_process, args=(queue, address, range(first, connections, processes),
                                   -(-requests // connections), seed, lossy, deadline))
        for first in range(processes)]
    for child in children:
        child.start()
    total = collections.Counter()
    try:
        for _ in children:
            result = queue.get(timeout=seconds + 30)
            if isinstance(result, str):
                raise WrongAnswer(f"seed {seed}: {result}")
            total.update(result)
    finally:
        for child in children:
            child.terminate()
            child.join()
    return total
