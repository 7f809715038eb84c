"""Inputs that broke memcached's binary protocol once, each as it was sent, and then whether all is well.

A hostile client may be refused. It must not stop the server, read what is not its own, make it hold memory, or
disturb anybody else.
"""

import random
import socket
import struct

import pytest

import binary_protocol as wire
from binary_protocol import BinaryConnection, packet, store

SEED = random.SystemRandom().randrange(1 << 32)


@pytest.fixture
def victim(tcp_server):
    """The server, with a value whose owner is still served the same afterwards."""
    with BinaryConnection(tcp_server.connect()) as owner:
        assert owner.ask(store(wire.SET, b"mine", b"untouched")).status == wire.OK
        yield tcp_server
        assert owner.ask(packet(wire.GET, b"mine")).value == b"untouched"
    tcp_server.assert_alive()


def provoke(server, data, more=b""):
    """What comes back until the server, or the end of the input, ends the connection."""
    with server.connect() as connection:
        try:
            connection.send(data)
            if more:
                connection.send(more)
            connection.socket.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, ConnectionResetError, OSError):
            pass
        return connection.read_until_closed()


class TestLengths:
    @pytest.mark.parametrize("body", [0x7fffffff, 0x80000000, 0xffffffff, 0xfffffff0, 0x80000008, 0x40000001], ids=hex)
    def test_bodies_that_were_negative(self, victim, body):
        """CVE-2011-4971, CVE-2016-8704 (append, prepend), -8705 (set and its kin), -8706 (SASL), and the
        overflow of 2026."""
        before = victim.own_bytes()
        for opcode in range(0x25):
            for key, extras in ((b"k", b""), (b"k", bytes(8)), (b"", b""), (b"PLAIN", b""), (b"k", bytes(20))):
                provoke(victim, packet(opcode, key, extras=extras, bodylen=body), b"x" * 100_000)
        assert victim.own_bytes() - before < 8 << 20

    def test_extras_longer_than_any_command_has(self, victim):
        """CVE-2020-10931: 255 bytes of extras were copied to where there was room for 24."""
        for opcode in range(0x25):
            provoke(victim, packet(opcode, b"k", b"v", extras=b"\xff" * 255))
            provoke(victim, packet(opcode, b"k", extras=b"\xff" * 255, extlen=255, bodylen=3))

    def test_keys_longer_than_any_key(self, victim):
        for opcode in range(0x25):
            provoke(victim, packet(opcode, b"k" * 65_535))
            provoke(victim, packet(opcode, keylen=65_535, bodylen=65_535))
            provoke(victim, packet(opcode, b"k" * 251, extras=bytes(8)))

    def test_lengths_that_contradict_each_other(self, victim):
        for opcode in range(0x25):
            for keylen, extlen, bodylen in ((3, 0, 0), (0, 8, 7), (250, 255, 300), (0xffff, 0xff, 0), (1, 1, 1)):
                provoke(victim, packet(opcode, b"keykey", keylen=keylen, extlen=extlen, bodylen=bodylen))

    def test_signed_compare(self, victim):
        """CVE-2017-9951: a length above 2^31 passed for a small one, and what lay behind the packet was read."""
        for opcode in (wire.GET, wire.TOUCH, wire.GAT, wire.STAT):
            answer = provoke(victim, packet(opcode, b"k", extras=bytes(4), keylen=1, bodylen=0xffffff01))
            assert len(answer) < 100

    def test_a_gibibyte_is_not_reserved_because_somebody_says_so(self, victim):
        before = victim.own_bytes()
        connections = [victim.connect() for _ in range(50)]
        for connection in connections:
            connection.send(store(wire.SET, b"k", b"x" * 1000, bodylen=0x3fffffff))
        with BinaryConnection(victim.connect()) as other:
            assert other.ask(store(wire.SET, b"other", b"v")).status == wire.OK
        assert victim.own_bytes() - before < 16 << 20
        for connection in connections:
            connection.close()


class TestRest:
    def test_long_keys_in_the_log(self, start_server):
        """CVE-2013-0179, -7290, -7291: what `-vv` printed of a key went beyond it."""
        server = start_server("-vv")
        for opcode in (wire.DELETE, wire.GET, wire.TOUCH, wire.SET, wire.INCR, wire.STAT):
            provoke(server, packet(opcode, b"%s%n\xff" * 50, extras=bytes(8)))
            provoke(server, packet(opcode, b"k" * 250))
            provoke(server, packet(opcode, keylen=250, bodylen=250))
        server.assert_alive()
        assert "untouched" not in server.stderr

    def test_authentication_is_not_kept_after_a_failure(self, start_server, tmp_path):
        """CVE-2013-7239."""
        (tmp_path / "users").write_text("user:password\n")
        server = start_server("-S", "-Y", tmp_path / "users", binary_only=True)
        with BinaryConnection(server.connect()) as connection:
            assert connection.authenticate(b"user", b"password") == wire.OK
            assert connection.authenticate(b"user", b"nothing") == wire.AUTH_ERROR
            assert connection.ask(packet(wire.GET, b"k")).status == wire.AUTH_ERROR
            assert connection.is_closed()

    def test_huge_authentication(self, start_server, tmp_path):
        """2026: a token of any length was kept. CVE-2016-8706: one whose length overflowed."""
        (tmp_path / "users").write_text("user:password\n")
        server = start_server("-S", "-Y", tmp_path / "users", binary_only=True)
        before = server.own_bytes()
        with BinaryConnection(server.connect()) as connection:
            message = packet(wire.SASL_AUTH, b"PLAIN", b"\0user\0" + b"x" * 16_000)
            assert connection.ask(message).status == wire.AUTH_ERROR
        for size in (16_384, 16_385, 1 << 20, 30 << 20):
            provoke(server, packet(wire.SASL_AUTH, b"PLAIN", bodylen=size + 5), b"x" * min(size, 100_000))
        for body in (0x80000000, 0xffffffff):
            provoke(server, packet(wire.SASL_AUTH, b"PLAIN", bodylen=body), b"x" * 100_000)
        assert server.own_bytes() - before < 8 << 20
        server.assert_alive()

    def test_a_value_that_everybody_reads_at_once(self, victim):
        """CVE-2018-1000127 and 2026: readers that do not read were counted until the count overflowed."""
        with BinaryConnection(victim.connect()) as writer:
            writer.ask(store(wire.SET, b"large", b"x" * 100_000))
            readers = [victim.connect(receive_buffer=4096) for _ in range(20)]
            for reader in readers:
                reader.send(packet(wire.GETQ, b"large") * 3000)
            for _ in range(50):
                assert writer.ask(store(wire.SET, b"large", b"y" * 100_000)).status == wire.OK
            assert writer.ask(packet(wire.GET, b"large")).value == b"y" * 100_000
            for reader in readers:
                reader.reset()

    def test_random_damage(self, victim):
        """Whole packets, damaged: no answer is longer than what is stored here could make it."""
        print(f"seed {SEED}")
        source = random.Random(SEED)
        for _ in range(300):
            batch = bytearray()
            for _ in range(source.randrange(1, 8)):
                opcode = source.randrange(0x26)
                extras = bytes(source.choice([0, 0, 4, 8, 20]))
                batch += packet(opcode, b"k" * source.randrange(1, 12), b"v" * source.randrange(40), extras)
            for _ in range(source.randrange(6)):
                batch[source.randrange(len(batch))] = source.choice([0, 1, 0x7f, 0x80, 0xff, source.randrange(256)])
            answer = provoke(victim, bytes(batch).replace(b"mine", b"nime"))
            assert len(answer) < 1 << 20
