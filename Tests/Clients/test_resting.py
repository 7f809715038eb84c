"""Clients at rest borrow a connection of their worker's for each request: nothing of one may reach another."""

import random

import pytest

from binary_protocol import AUTH_ERROR, GET, NOOP, OK, BinaryConnection, packet, store, SET

CLIENTS = 40


class Talker:
    """One client that sends its next request in pieces, and knows what it is to be told."""

    def __init__(self, server, number, is_binary, generator):
        self.connection = server.connect()
        self.number = number
        self.is_binary = is_binary
        self.generator = generator
        self.count = 0
        self.pending = b""
        self.expected = b""

    def begin(self):
        self.count += 1
        value = b"%d of %d" % (self.count, self.number) + b"x" * self.generator.choice([0, 10, 5_000])
        key = b"key%d" % self.number
        if self.is_binary:
            answers = BinaryConnection(self.connection)
            self.pending = store(SET, key, value, opaque=self.count) + packet(GET, key, opaque=self.count)
            self.check = lambda: self.check_binary(answers, value)
            return
        self.pending = b"set %b 0 0 %d\r\n%b\r\n" % (key, len(value), value)
        self.pending += self.generator.choice([b"get %b\r\n", b"get nobody%b %b\r\n"]).replace(b"%b", key)
        self.check = lambda: self.check_text(key, value)

    def check_text(self, key, value):
        assert self.connection.read_line() == b"STORED"
        assert self.connection.read_values() == {key: value}

    def check_binary(self, answers, value):
        stored, found = answers.read(), answers.read()
        assert (stored.status, stored.opaque) == (OK, self.count)
        assert (found.status, found.opaque, found.value) == (OK, self.count, value)

    def step(self):
        """Sends a piece; checks the answers behind the last one."""
        if not self.pending:
            self.begin()
        length = self.generator.choice([1, 7, 30, len(self.pending)])
        piece, self.pending = self.pending[:length], self.pending[length:]
        self.connection.send(piece)
        if not self.pending:
            self.check()


@pytest.mark.parametrize("threads", [1, 3])
def test_dialects_and_halves_do_not_mix(start_server, threads):
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    generator = random.Random(seed)
    server = start_server(threads=threads)
    talkers = [Talker(server, number, number % 2 == 0, generator) for number in range(CLIENTS)]
    for _ in range(6_000):
        generator.choice(talkers).step()
    for talker in talkers:
        while talker.pending:
            talker.step()
        talker.connection.close()


def test_a_login_is_its_clients_alone(start_server, tmp_path):
    users = tmp_path / "users"
    users.write_text("foo:bar\n")
    server = start_server("-S", "-Y", users, threads=1, binary_only=True)
    with BinaryConnection(server.connect(login=None)) as friend:
        assert friend.authenticate(b"foo", b"bar") == OK
        assert friend.ask(store(SET, b"k", b"secret")).status == OK
        for _ in range(20):
            with BinaryConnection(server.connect(login=None)) as stranger:
                assert friend.ask(packet(GET, b"k")).value == b"secret"
                assert stranger.ask(packet(GET, b"k")).status == AUTH_ERROR
                assert stranger.is_closed()
            assert friend.ask(packet(NOOP)).status == OK


def test_a_text_login_is_its_clients_alone(start_server, tmp_path):
    users = tmp_path / "users"
    users.write_text("foo:bar\n")
    server = start_server("-Y", users, threads=1, login=(b"foo", b"bar"))
    with server.connect() as friend:
        assert friend.set(b"k", b"secret") == b"STORED"
        for _ in range(20):
            with server.connect(login=None) as stranger:
                assert friend.get(b"k") == b"secret"
                assert stranger.ask(b"get k\r\n") == b"CLIENT_ERROR unauthenticated"
                assert friend.get(b"k") == b"secret"
                assert stranger.ask(b"get k\r\n") == b"CLIENT_ERROR unauthenticated"
