"""Random changes on a Larder and a real uWSGI that are each other's node, against a model of what each of them has.

Both sides change the same keys, but in each round a key belongs to one side. A round ends when both have received a
mark that was set behind all changes, so nothing waits for time and no socket's buffer overflows.
`LARDER_SYNC_OPERATIONS` is the number of changes (10,000), `LARDER_SYNC_SEED` the seed.
"""

import hashlib
import os
import random
import time

import pytest

from server import Connection, free_port, poll
from uwsgi_client import UwsgiClient, remote

OPERATIONS = int(os.environ.get("LARDER_SYNC_OPERATIONS", 10_000))
DATAGRAM_MAX = 65_507
VALUE_MAX = 70_000
# What a sender with purge_lru tells is seconds from now, and it never looks at its own items' expiry.
CACHES = ["plain", "recent"]
OURS, THEIRS = range(2)
TEXTS = [b"text-%d" % number for number in range(40)]
# Eight bytes, as uWSGI counts, and digits, as memcached counts.
BINARY = [b"binary-%d" % number for number in range(15)]
DECIMAL = [b"decimal-%d" % number for number in range(15)]
KEYS = TEXTS + BINARY + DECIMAL
MARK = b"mark"


def digest(value):
    return value and hashlib.md5(value).hexdigest()


class Item:
    """A value, its number of client flags, and the second of its expiry: at least and at most, or None for never."""

    def __init__(self, value, expires=None, flags=0):
        self.value, self.expires, self.flags = value, expires, flags

    def with_value(self, value):
        return Item(value, self.expires, self.flags)


class Cache:
    """A cache on both servers: what each of them should have, and the changes."""

    def __init__(self, name, client, numbers):
        self.name, self.client, self.numbers = name, client, numbers
        self.items = {}, {}
        # Each is an expression of the uWSGI, what it gives, and the expiry of its item. A round ends with them.
        self.pending = []

    # Telling the other side

    def fits(self, key, item, digits):
        return 4 + 6 + len(key) + len(item.value) + digits + (6 if item.flags else 0) <= DATAGRAM_MAX

    def ours_changed(self, key):
        """Larder tells the item, or a delete if there is none that a uWSGI could take."""
        item = self.items[OURS].get(key)
        if item and item.value and self.fits(key, item, 10 if item.expires else 1):
            self.items[THEIRS][key] = Item(item.value, item.expires)
        else:
            self.items[THEIRS].pop(key, None)

    def theirs_changed(self, key, told, digits):
        """uWSGI tells nothing if the datagram would be too long."""
        if self.fits(key, told, digits):
            self.items[OURS][key] = told

    # Changes by clients of the Larder

    def change_ours(self, key, large=None):
        if key in DECIMAL:
            kinds = [self.set_digits, self.set_digits, self.increase, self.increase, self.touch, self.delete]
        elif key in BINARY:
            kinds = [lambda key: self.set(key, self.numbers.randbytes(8)), self.touch, self.delete]
        elif large is not None:
            kinds = [lambda key: self.set(key, self.numbers.randbytes(large))]
        else:
            kinds = [self.set] * 3 + [self.add, self.append, self.touch, self.delete, self.set_too_large]
        before = self.items[OURS].get(key)
        self.numbers.choice(kinds)(key)
        if self.items[OURS].get(key) is not before:
            self.ours_changed(key)

    def some_value(self):
        return self.numbers.randbytes(self.numbers.choice([0, 1, 10, 100, 1000]))

    def set(self, key, value=None, verb=b"set"):
        value = self.some_value() if value is None else value
        ttl, flags = self.numbers.choice([0, 1000, 5000]), self.numbers.choice([0, 0, 7]) if len(value) < 9999 else 0
        began = time.time()
        assert self.client.set(key, value, flags, ttl, verb) == b"STORED"
        self.items[OURS][key] = Item(value, between(began, ttl), flags)

    def set_digits(self, key):
        self.set(key, b"%d" % self.numbers.randrange(1000))

    def set_too_large(self, key):
        answer = self.client.set(key, bytes(VALUE_MAX + 1))
        assert answer == b"SERVER_ERROR object too large for cache"
        self.items[OURS].pop(key, None)

    def add(self, key):
        if key in self.items[OURS]:
            assert self.client.set(key, b"other", verb=b"add") == b"NOT_STORED"
        else:
            self.set(key, verb=b"add")

    def append(self, key):
        item, more = self.items[OURS].get(key), self.some_value()
        fits = item is not None and len(item.value) + len(more) <= VALUE_MAX
        if item is None or fits:
            assert self.client.set(key, more, verb=b"append") == (b"STORED" if fits else b"NOT_STORED")
        if fits:
            self.items[OURS][key] = item.with_value(item.value + more)

    def touch(self, key):
        item, ttl = self.items[OURS].get(key), self.numbers.choice([0, 2000])
        began = time.time()
        assert self.client.ask(b"touch %b %d\r\n" % (key, ttl)) == (b"TOUCHED" if item else b"NOT_FOUND")
        if item:
            self.items[OURS][key] = Item(item.value, between(began, ttl), item.flags)

    def increase(self, key):
        item, delta = self.items[OURS].get(key), self.numbers.randrange(1, 1000)
        value = b"%d" % (int(item.value) + delta) if item else b"NOT_FOUND"
        assert self.client.ask(b"incr %b %d\r\n" % (key, delta)) == value
        if item:
            self.items[OURS][key] = item.with_value(value)

    def delete(self, key):
        there = self.items[OURS].pop(key, None)
        assert self.client.ask(b"delete %b\r\n" % key) == (b"DELETED" if there else b"NOT_FOUND")

    def flush(self):
        """A uWSGI gets a delete of each key that the Larder had, and keeps its other ones."""
        before = self.sent()
        count = len(self.items[OURS]) + (self.client.get(MARK) is not None)
        assert self.client.ask(b"flush_all\r\n") == b"OK"
        for key in self.items[OURS]:
            self.items[THEIRS].pop(key, None)
        self.items[OURS].clear()
        # One more for Larders. Deletes may come later than changes that clients make now.
        poll(lambda: self.sent() == before + 1 + count, "all deletes are sent")

    def sent(self):
        return int(self.client.stats("caches")[f"{self.name}:sync_sent"])

    # Changes by the uWSGI

    def change_theirs(self, key, large=None):
        kind = self.numbers.choice(["set", "update", "update", "del"] + ["inc"] * 3 * (key in BINARY))
        there = self.items[THEIRS].get(key)
        ttl = self.numbers.choice([0, 30, 5000])
        expires = between(time.time(), ttl)
        if kind == "del":
            self.ask("del", there is not None, key)
            if self.items[THEIRS].pop(key, None):
                self.items[OURS].pop(key, None)
        elif kind == "inc":
            delta = self.numbers.randrange(1, 1 << 40)
            self.ask("inc", True, key, delta, ttl, expires=expires)
            total = delta + (int.from_bytes(there.value, "little") if there else 0)
            # The others are told the number that was added, not the sum. The older expiry stays here.
            self.items[THEIRS][key] = Item(
                (total % (1 << 64)).to_bytes(8, "little"), there.expires if there else expires)
            self.theirs_changed(key, Item(delta.to_bytes(8, "little"), expires), 10)
        else:
            value = self.value_for(key, large)
            stored = there is None or kind == "update"
            self.ask(kind, stored, key, value, ttl, expires=expires)
            if stored:
                self.items[THEIRS][key] = item = Item(value, expires)
                digits = (10 if self.name == "plain" else len(str(ttl))) if ttl else 1
                self.theirs_changed(key, item, digits)

    def value_for(self, key, large):
        if key in BINARY:
            return self.numbers.randbytes(8)
        if key in DECIMAL:
            return b"%d" % self.numbers.randrange(1000)
        return self.numbers.randbytes(large or self.numbers.choice([1, 10, 100, 1000]))

    def ask(self, function, result, *arguments, expires=None):
        expression = f"uwsgi.cache_{function}({', '.join(map(repr, arguments))}, {self.name!r})"
        self.pending.append((expression, True if result else None, expires))

    def run_pending(self, uwsgi):
        began = time.time()
        answers = uwsgi.evaluate("[%s]" % ", ".join(expression for expression, _, _ in self.pending))
        assert answers == [result for _, result, _ in self.pending]
        # They were made up to so many seconds later than they were written down.
        later = int(time.time() - began) + 1
        for _, _, expires in self.pending:
            if expires:
                expires[1] += later
        self.pending.clear()


def between(began, ttl):
    """The least and the greatest second of an expiry: each server may be one off."""
    return [int(began) + ttl - 1, int(time.time()) + ttl + 1] if ttl else None


class Pair:
    """Both servers, with both caches."""

    def __init__(self, start_server, directory, numbers):
        ports = {name: (free_port(), free_port()) for name in CACHES}
        self.port = free_port()
        shape = f"items=1001,blocksize={VALUE_MAX}"
        modes = {"plain": "", "recent": ",purge_lru=1"}
        options, theirs = [], []
        for name, (here, there) in ports.items():
            options += ["--cache", f"name={name},{shape}{modes[name]},listen=:0,udp=127.0.0.1:{here},"
                                   f"nodes=127.0.0.1:{there}"]
            theirs.append(f"name={name},{shape}{modes[name]},udp=127.0.0.1:{there},nodes=127.0.0.1:{here}")
        self.uwsgi = UwsgiClient(directory, *theirs)
        self.server = start_server(*options, "--uwsgi", f"127.0.0.1:{self.port}", threads=2)
        places = [each for each in self.server.addresses[1:] if each[1] != self.port]
        self.caches = [Cache(name, Connection(place), numbers) for name, place in zip(CACHES, places, strict=True)]
        self.rounds = 0

    def end_round(self):
        """Does what the uWSGI is to do, and waits until each side has all that the other one has told."""
        self.rounds += 1
        for cache in self.caches:
            cache.run_pending(self.uwsgi)
            ours, theirs = (b"%d of %b" % (self.rounds, side) for side in [b"ours", b"theirs"])
            assert cache.client.set(MARK, ours) == b"STORED"
            poll(lambda: self.uwsgi.get(MARK, cache.name) == ours, "the mark arrives there", 20)
            assert self.uwsgi.update(MARK, theirs, 0, cache.name) is True
            poll(lambda: cache.client.get(MARK) == theirs, "the mark arrives here", 20)

    def check(self, expiries):
        for cache in self.caches:
            found = cache.client.get_many(KEYS)
            assert found == {key: item.value for key, item in cache.items[OURS].items()}, cache.name
            digests = self.uwsgi.evaluate(
                f"(hashlib := __import__('hashlib')) and [(value := uwsgi.cache_get(key, {cache.name!r})) and "
                f"hashlib.md5(value).hexdigest() for key in {KEYS!r}]")
            items = [cache.items[THEIRS].get(key) for key in KEYS]
            assert digests == [item and digest(item.value) for item in items], cache.name
            for key in expiries:
                self.check_expiry(cache, key)

    def check_expiry(self, cache, key):
        sides = [(OURS, self.port)] + [(THEIRS, self.uwsgi.socket_port)] * (cache.name == "plain")
        for side, port in sides:
            item = cache.items[side].get(key)
            if item is None or not item.value:
                continue
            value, expires = remote(port, key, cache.name.encode())
            assert value == item.value
            if item.expires is None:
                assert expires == 0, (cache.name, key, side)
            else:
                assert item.expires[0] <= expires <= item.expires[1], (cache.name, key, side)

    def stop(self):
        for cache in self.caches:
            cache.client.close()
        self.uwsgi.stop()


@pytest.fixture
def numbers():
    seed = int(os.environ.get("LARDER_SYNC_SEED", random.randrange(1 << 32)))
    print("LARDER_SYNC_SEED =", seed)
    return random.Random(seed)


@pytest.fixture
def pair(start_server, tmp_path, numbers):
    pair = Pair(start_server, tmp_path, numbers)
    yield pair
    pair.stop()


def test_both_have_what_the_model_has(pair, numbers):
    done = [0, 0]
    while sum(done) < OPERATIONS:
        changed = set()
        if numbers.randrange(10) == 0:
            numbers.choice(pair.caches).flush()
            pair.end_round()
        for cache in pair.caches:
            # Values whose datagram just fits and just does not, and values of that length.
            key = numbers.choice(TEXTS)
            large = DATAGRAM_MAX - 10 - len(key) - numbers.choice([1, 10]) + numbers.choice([0, 1])
            large = numbers.choice([None, None, large, DATAGRAM_MAX, DATAGRAM_MAX + 1])
            sides = {key: numbers.choice([OURS, THEIRS]) for key in KEYS}
            changes = [(key, large)] * (large is not None)
            changes += [(numbers.choice(KEYS), None) for _ in range(30)]
            for key, large in changes:
                [cache.change_ours, cache.change_theirs][sides[key]](key, large)
                done[sides[key]] += 1
                changed.add(key)
        pair.end_round()
        pair.check(numbers.sample(sorted(changed), 5))
    # uWSGI's sums and its long values are not the other side's. A change of each key makes both equal.
    for cache in pair.caches:
        for key in KEYS:
            cache.set(key, b"%d" % numbers.randrange(1 << 30))
            cache.ours_changed(key)
            if key in KEYS[::9]:
                # Room for these in the buffers of the sockets.
                pair.end_round()
    pair.end_round()
    pair.check(KEYS)
    for cache in pair.caches:
        ours, theirs = ({key: item.value for key, item in items.items()} for items in cache.items)
        assert ours == theirs
        told = cache.client.stats("caches")
        assert int(told[f"{cache.name}:sync_received"]) > OPERATIONS // 10
        for name in ["dropped", "refused", "malformed"]:
            assert told[f"{cache.name}:sync_{name}"] == "0"
        assert int(told[f"{cache.name}:sync_too_large"]) > 0
    print(f"{done[OURS]} changes on the Larder, {done[THEIRS]} on the uWSGI, {pair.rounds} rounds")


def test_short_lives_end_on_both_sides(pair):
    for cache in pair.caches:
        for number in range(20):
            assert cache.client.set(b"ours-%d" % number, b"v", exptime=1) == b"STORED"
        assert pair.uwsgi.evaluate(
            f"sum(uwsgi.cache_set('theirs-%d' % n, b'v', 1, {cache.name!r}) is True for n in range(20))") == 20
        pair.end_round()
    keys = [b"%b-%d" % (side, number) for side in [b"ours", b"theirs"] for number in range(20)]
    for cache in pair.caches:
        poll(lambda: cache.client.get_many(keys) == {}, "all expire here", 20, interval=0.05)
    # A datagram causes no sweep there, and an own item's expiry does. With purge_lru there is none at all.
    assert pair.uwsgi.set(b"sweep", b"v", 1, "plain") is True
    poll(lambda: not any(pair.uwsgi.exists(key, "plain") for key in keys), "all expire there", 20, interval=0.1)
