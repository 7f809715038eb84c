"""Inputs that broke memcached's text protocol or its commands once, and what came after them.

Those of the binary protocol are in test_cve_binary.py, of access in test_access.py, of UDP in test_udp.py.
"""

import socket

import pytest


@pytest.fixture
def victim(tcp_server):
    """The server, with a value whose owner is still served the same afterwards."""
    with tcp_server.connect() as owner:
        assert owner.set(b"mine", b"untouched") == b"STORED"
        yield tcp_server
        assert owner.get(b"mine") == b"untouched"
    tcp_server.assert_alive()


def provoke(server, data):
    """What comes back until the server, or the end of the input, ends the connection."""
    with server.connect() as connection:
        try:
            connection.send(data)
            connection.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        return connection.read_until_closed()


def test_no_map_of_the_memory(victim):
    """CVE-2009-1255: `stats maps` told where everything lies."""
    answer = provoke(victim, b"stats maps\r\n")
    assert b"r-xp" not in answer and b"heap" not in answer


@pytest.mark.parametrize("length", [b"2147483647", b"2147483648", b"4294967295", b"4294967297", b"-1", b"-2147483648",
                                    b"9223372036854775807", b"18446744073709551615", b"99999999999999999999"])
def test_lengths_that_were_too_much(victim, length):
    """CVE-2009-2415, and the signed overflow of 1.6.42: a length that wraps must not be taken for a short one."""
    before = victim.own_bytes()
    for command in (b"set k 0 0 %s\r\n", b"add k 0 0 %s\r\n", b"append k 0 0 %s\r\n", b"cas k 0 0 %s 1\r\n", b"ms k %s\r\n"):
        answer = provoke(victim, command % length + b"x" * 10_000 + b"\r\nget mine\r\n")
        assert b"STORED" not in answer and b"HD\r\n" not in answer
    assert victim.own_bytes() - before < 8 << 20


def test_a_line_without_end(victim):
    """CVE-2010-1152: a line that never ended filled the memory."""
    before = victim.own_bytes()
    provoke(victim, b"x" * (4 << 20))
    provoke(victim, b"set " + b"x" * (4 << 20))
    assert victim.own_bytes() - before < 8 << 20


def test_keys_that_look_like_formats(start_server):
    """CVE-2013-0179, -7290, -7291: a key was logged beyond its end."""
    server = start_server("-vv", threads=1)
    for key in (b"%n%n%n%s%s%s", b"\xff" * 250, b"a" * 250):
        assert provoke(server, b"get " + key + b"\r\n") == b"END\r\n"
        assert provoke(server, b"delete " + key + b"\r\n") == b"NOT_FOUND\r\n"
    server.assert_alive()


@pytest.mark.parametrize("command", [
    b"lru", b"lru mode", b"lru tune", b"lru tune 10", b"lru temp_ttl", b"lru nonsense 1 2 3", b"lru mode flat extra",
    b"slabs", b"slabs reassign", b"slabs reassign 1", b"slabs reassign 1 1", b"slabs reassign -1 99",
    b"slabs reassign 99999999999 1", b"slabs automove", b"slabs automove 9", b"slabs automove freeratio",
    b"lru_crawler", b"lru_crawler crawl", b"lru_crawler metadump", b"lru_crawler tocrawl", b"lru_crawler sleep -1",
    b"cache_memlimit", b"cache_memlimit -1", b"cache_memlimit 99999999999999", b"verbosity", b"watch", b"watch nonsense",
    b"stats cachedump", b"stats cachedump 99 99", b"stats cachedump -1 -1", b"stats detail", b"shutdown", b"misbehave",
    b"refresh_certs", b"extstore", b"extstore free_memchunks 1 1", b"mn extra", b"me", b"md", b"ma", b"mg", b"ms"])
def test_commands_with_too_few_words(victim, command):
    """CVE-2019-11596 (`lru mode` without a mode), and `slabs reassign` of 1.6.42."""
    answer = provoke(victim, command + b"\r\nget mine\r\n")
    assert answer.endswith(b"\r\nVALUE mine 0 9\r\nuntouched\r\nEND\r\n") or command.startswith(b"watch")


@pytest.mark.parametrize("length", [1, 107, 108, 109, 200, 5000])
def test_long_names_of_sockets(start_server, tmp_path, length):
    """CVE-2019-15026: the name was read beyond its end. One that is too long ends the start."""
    from server import run
    path = str(tmp_path) + "/" + "s" * max(1, length - len(str(tmp_path)) - 1)
    result = run("-s", path, "-V") if length < 108 else run("-s", path, seconds=5)
    assert result.returncode >= 0
    if length >= 109:
        assert result.returncode != 0


def test_errors_of_mg_have_their_own_words(victim):
    """CVE-2020-22570: the words of an error were written over each other."""
    for line in (b"mg " + b"k" * 251 + b" v", b"mg k " + b"v " * 5000, b"mg k " + b"O" * 300, b"mg k " + b"\xff" * 100,
                 b"mg " + b"k" * 1500):
        answer = provoke(victim, line + b"\r\n")
        assert answer == b"EN\r\n" or answer.startswith((b"CLIENT_ERROR", b"ERROR")) and answer.count(b"\r\n") == 1


@pytest.mark.parametrize("spaces", [1, 2, 100, 1000, 20_000])
def test_spaces_between_keys(victim, spaces):
    """CVE-2023-46852: spaces in a retrieval were counted short."""
    answer = provoke(victim, b"get" + b" " * spaces + b"mine" + b" " * spaces + b"mine" + b" " * spaces + b"\r\n")
    assert answer == b"VALUE mine 0 9\r\nuntouched\r\n" * 2 + b"END\r\n"


def test_lines_that_end_early(victim):
    """CVE-2023-46853: a line that ends in `\\n` alone was read one byte off."""
    answer = provoke(victim, b"get mine\nmg mine v\nset other 0 0 1\nA\r\nversion\nget other\n")
    assert answer == (b"VALUE mine 0 9\r\nuntouched\r\nEND\r\nVA 9\r\nuntouched\r\nSTORED\r\n"
                      b"VERSION 1.6.45\r\nVALUE other 0 1\r\nA\r\nEND\r\n")


def test_watchers_of_every_dialect(victim):
    """1.6.42: `watch`, and a set in binary, ended the server; 1.6.45: a watcher that left while it was written to."""
    import binary_protocol as wire
    for _ in range(20):
        with victim.connect() as watcher:
            watcher.send(b"watch mutations fetchers evictions connevents deletions\r\n")
            assert watcher.read_line() == b"OK"
            with wire.BinaryConnection(victim.connect()) as other:
                assert other.ask(wire.store(wire.SET, b"k", b"v")).status == wire.OK
            provoke(victim, b"set k 0 0 1\r\nA\r\nget k\r\nms k 1\r\nA\r\nmg k v\r\ndelete k\r\n")


def test_a_dump_that_nobody_reads(victim):
    """1.6.44: a dump whose client stood still ran over its buffer."""
    with victim.connect() as connection:
        for start in range(0, 20_000, 1000):
            connection.send(b"".join(b"set key%d 0 0 1 noreply\r\nA\r\n" % number for number in range(start, start + 1000)))
        assert connection.get(b"key19999") == b"A"
    idle = victim.connect(receive_buffer=4096)
    with idle:
        idle.send(b"lru_crawler metadump all\r\nlru_crawler metadump all\r\n")
        assert provoke(victim, b"lru_crawler metadump all\r\n").count(b"key=") == 20_001
