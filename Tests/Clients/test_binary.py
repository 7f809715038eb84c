"""The binary protocol over real sockets: what libraries do with it, statistics, listeners, SASL, the log.

What is answered to what, at every split of the input, is in `Tests/Conversations/binary*.conversation`.
"""

import random
import socket
import struct

import pytest

import binary_protocol as wire
from binary_protocol import BinaryConnection, count, packet, store
from server import poll, run

SEED = random.SystemRandom().randrange(1 << 32)


@pytest.fixture
def connection(server):
    with BinaryConnection(server.connect()) as connection:
        yield connection


class TestSequences:
    def test_spymemcached_gets_many_in_one_batch(self, connection):
        """getkq for each key but no answer for misses, and a noop that tells the end."""
        for index in range(0, 200, 2):
            assert connection.ask(store(wire.SET, b"key%d" % index, b"%d" % index, flags=index)).status == wire.OK
        connection.send(b"".join(packet(wire.GETKQ, b"key%d" % index, opaque=index) for index in range(200))
                        + packet(wire.NOOP, opaque=1000))
        answers = connection.read_until_noop()
        assert [answer.opaque for answer in answers] == list(range(0, 200, 2))
        for answer in answers:
            assert answer.key == b"key%d" % answer.opaque and answer.value == b"%d" % answer.opaque
            assert struct.unpack(">I", answer.extras)[0] == answer.opaque

    def test_enyim_stores_many_in_one_batch(self, connection):
        connection.send(b"".join(store(wire.SETQ, b"key%d" % index, b"v" * index) for index in range(300))
                        + store(wire.ADDQ, b"key7", b"x", opaque=7) + packet(wire.NOOP))
        (error,) = connection.read_until_noop()
        assert (error.opcode, error.status, error.opaque, error.value) == (
            wire.ADDQ, wire.EXISTS, 7, b"Data exists for key.")
        connection.send(b"".join(packet(wire.DELETEQ, b"key%d" % index) for index in range(301)) + packet(wire.NOOP))
        (error,) = connection.read_until_noop()
        assert (error.status, error.value) == (wire.NOT_FOUND, b"Not found")

    def test_one_client_wins_a_cas(self, server):
        with BinaryConnection(server.connect()) as first, BinaryConnection(server.connect()) as second:
            cas = first.ask(store(wire.SET, b"k", b"0")).cas
            assert second.ask(packet(wire.GET, b"k")).cas == cas != 0
            assert second.ask(store(wire.SET, b"k", b"2", cas=cas)).status == wire.OK
            assert first.ask(store(wire.SET, b"k", b"1", cas=cas)).status == wire.EXISTS
            assert first.ask(packet(wire.GET, b"k")).value == b"2"

    def test_values_of_megabytes_in_both_directions(self, start_server):
        server = start_server("-I", "8m", "-m", "256")
        with BinaryConnection(server.connect()) as connection:
            values = [random.randbytes(size) for size in (1, 4096, 4097, 70_000, 5_000_000, 8_000_000)]
            for index, value in enumerate(values):
                assert connection.ask(store(wire.SET, b"%d" % index, value)).status == wire.OK
            connection.send(b"".join(packet(wire.GETK, b"%d" % index) for index in range(len(values))))
            for index, value in enumerate(values):
                answer = connection.read()
                assert answer.key == b"%d" % index and answer.value == value

    def test_a_batch_cut_anywhere(self, connection):
        print(f"seed {SEED}")
        source = random.Random(SEED)
        batch = b"".join(
            store(wire.SET, b"k%d" % index, b"v" * source.randrange(3000)) + packet(wire.GETK, b"k%d" % index)
            for index in range(50)) + packet(wire.NOOP)
        while batch:
            size = source.choice([1, 2, 23, 24, 25, 100, 5000])
            connection.send(batch[:size])
            batch = batch[size:]
        answers = connection.read_until_noop()
        assert len(answers) == 100 and all(answer.status == wire.OK for answer in answers)

    def test_text_and_binary_side_by_side(self, server):
        with BinaryConnection(server.connect()) as binary, server.connect() as text:
            assert binary.ask(count(wire.INCR, b"n", 5, 100)).value == struct.pack(">Q", 100)
            assert text.ask(b"incr n 1\r\n") == b"101"
            assert binary.ask(count(wire.DECR, b"n", 1)).value == struct.pack(">Q", 100)
            assert text.get(b"n") == b"100"


class TestStatistics:
    def test_the_same_as_in_text(self, server):
        with BinaryConnection(server.connect()) as binary, server.connect() as text:
            binary.ask(store(wire.SET, b"k", b"v"))
            for argument in ("", "settings", "items", "slabs", "sizes"):
                found, expected = binary.stats(argument.encode()), text.stats(argument)
                assert list(found) == list(expected), argument
                moving = {"uptime", "time", "rusage_user", "rusage_system", "bytes_read", "bytes_written",
                          "response_obj_count", "read_buf_count",
                          # The connection that asked whether the server is up may be closing still.
                          "curr_connections", "connection_structures"}
                assert {name: found[name] for name in found if name not in moving} == {
                    name: expected[name] for name in expected if name not in moving}

    def test_what_counts_as_what(self, connection):
        connection.ask(store(wire.SET, b"k", b"1"))
        connection.ask(packet(wire.GET, b"k"))
        connection.send(packet(wire.GETQ, b"none"))
        connection.ask(packet(wire.TOUCH, b"k", extras=bytes(4)))
        connection.ask(packet(wire.GAT, b"k", extras=bytes(4)))
        connection.ask(packet(wire.GATK, b"none", extras=bytes(4)))
        connection.ask(count(wire.INCR, b"k"))
        connection.ask(count(wire.INCR, b"new"))
        connection.ask(count(wire.DECR, b"none", exptime=0xffffffff))
        connection.ask(packet(wire.DELETE, b"k"))
        connection.ask(packet(wire.DELETE, b"k"))
        connection.ask(store(wire.SET, b"none", b"1", cas=3))
        stats = {name: int(value) for name, value in connection.stats().items() if value.isdigit()}
        expected = {
            "cmd_get": 2, "get_hits": 1, "get_misses": 1, "cmd_touch": 3, "touch_hits": 2, "touch_misses": 1,
            "cmd_set": 2, "incr_hits": 1, "incr_misses": 0, "decr_misses": 1, "delete_hits": 1, "delete_misses": 1,
            "cas_misses": 1}
        assert {name: stats[name] for name in expected} == expected

    def test_reset(self, connection):
        connection.ask(packet(wire.GET, b"k"))
        assert connection.ask(packet(wire.STAT, b"reset"))[1:3] == (wire.OK, 0)
        assert connection.stats()["cmd_get"] == "0"

    def test_connections(self, server, connection):
        stats = connection.stats(b"conns")
        assert any(name.endswith(":state") for name in stats)


class TestListeners:
    """`-B`, and `proto[...]` before an address."""

    def speaks(self, server, data):
        with server.connect() as connection:
            connection.send(data)
            connection.socket.shutdown(socket.SHUT_WR)
            return connection.read_until_closed()

    def test_binary_only(self, start_server):
        server = start_server("-B", "binary", binary_only=True)
        assert self.speaks(server, b"version\r\n" * 4) == b""
        with BinaryConnection(server.connect()) as connection:
            assert connection.ask(packet(wire.NOOP)).status == wire.OK
            assert connection.stats(b"settings")["binding_protocol"] == "binary"

    def test_ascii_only(self, start_server):
        server = start_server("-B", "ascii")
        assert self.speaks(server, packet(wire.GET, b"key") + b"\r\n") == b"ERROR\r\n"
        assert server.stats("settings")["binding_protocol"] == "ascii"

    def test_auto(self, tcp_server):
        assert self.speaks(tcp_server, packet(wire.NOOP))[:2] == b"\x81\x0a"
        assert tcp_server.stats("settings")["binding_protocol"] == "auto-negotiate"

    def test_each_listener_for_itself(self, start_server):
        server = start_server(
            "-p", "-1", "-l", "127.0.0.1:-1,proto[binary]:127.0.0.2:-1,proto[ascii]:127.0.0.3:-1", listen=None)
        ports = [port for _, port in server.addresses]
        answers = []
        for host, port in zip(("127.0.0.1", "127.0.0.2", "127.0.0.3"), ports):
            with socket.create_connection((host, port), 10) as client:
                client.sendall(packet(wire.GET, b"key") + b"\r\n")
                client.shutdown(socket.SHUT_WR)
                answers.append(client.recv(24)[:2])
        assert answers == [b"\x81\x00", b"\x81\x00", b"ER"]


class TestLog:
    def test_headers_are_printed_under_vv(self, start_server):
        server = start_server("-vv")
        with BinaryConnection(server.connect()) as connection:
            connection.ask(store(wire.SET, b"key", b"value"))
        def printed():
            text = server.stderr
            return "Client using the binary protocol" in text and "Read binary protocol data:" in text and (
                "0x80 0x01 0x00 0x03" in text) and "Writing bin response:" in text
        poll(printed, lambda: server.stderr)


class TestSASL:
    @pytest.fixture
    def users(self, tmp_path):
        path = tmp_path / "users"
        path.write_text("testuser:testpass\nother:secret\n")
        return path

    @pytest.fixture
    def server(self, start_server, users):
        return start_server("-S", "-Y", users, threads=4, binary_only=True)

    def test_memcacheds_own_list(self, server):
        """What memcached's binary-sasl.t looks at, in its order."""
        connect = lambda: BinaryConnection(server.connect())
        with connect() as connection:
            assert connection.ask(packet(wire.VERSION)).status == wire.OK
            assert connection.ask(packet(wire.SASL_LIST)).value.split() == [b"PLAIN"]
        for request in (store(wire.SET, b"x", b"somevalue"), packet(wire.DELETE, b"x"), packet(wire.FLUSH)):
            with connect() as connection:
                assert connection.ask(request).status == wire.AUTH_ERROR
                assert connection.is_closed()
        with connect() as connection:
            assert connection.ask(packet(wire.SASL_AUTH, b"X" * 40, b"\0testuser\0testpass")).status == wire.INVALID
            assert connection.authenticate(b"testuser", b"wrongpassword") == wire.AUTH_ERROR
            assert connection.authenticate(b"testuser", b"testpass") == wire.OK
            assert connection.ask(store(wire.SET, b"x", b"somevalue")).status == wire.OK
            assert connection.ask(packet(wire.GET, b"x")).value == b"somevalue"
            assert connection.ask(packet(wire.DELETE, b"x")).status == wire.OK
            assert connection.ask(packet(wire.FLUSH)).status == wire.OK
        with connect() as first, connect() as second:
            assert first.authenticate(b"testuser", b"wrongpassword") == wire.AUTH_ERROR
            assert second.authenticate(b"testuser", b"testpass") == wire.OK
            assert second.ask(store(wire.SET, b"x", b"v")).status == wire.OK
            stats = second.stats()
            assert (stats["auth_cmds"], stats["auth_errors"]) == ("4", "2")
            assert second.stats(b"settings")["auth_enabled_sasl"] == "yes"
            assert first.ask(store(wire.SET, b"x", b"w")).status == wire.AUTH_ERROR

    def test_text_is_not_a_way_around(self, server):
        with server.connect() as stranger:
            stranger.send(b"get x\r\n" * 20)
            assert stranger.read_until_closed() == b""

    def test_users_are_read_again_on_hangup(self, server, users):
        def accepts(password):
            with BinaryConnection(server.connect()) as connection:
                return connection.authenticate(b"testuser", password) == wire.OK
        assert accepts(b"testpass") and not accepts(b"new")
        users.write_text("testuser:new\n")
        server.process.send_signal(1)
        poll(lambda: accepts(b"new"), "the new password counts")
        assert not accepts(b"testpass")

    @pytest.mark.parametrize("arguments, message", [
        (["-S", "-Y", "f", "-B", "ascii"], "You cannot allow the ASCII protocol"),
        (["-S", "-Y", "f", "-B", "auto"], "You cannot allow the ASCII protocol"),
        (["-Y", "f", "-B", "binary"], "You cannot allow the BINARY protocol")])
    def test_ways_in_that_exclude_each_other(self, arguments, message):
        done = run(*arguments)
        assert done.returncode == 64 and message in done.stderr
