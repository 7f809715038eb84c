"""UDP (`-U`): memcached's frame header, and nothing that helps who forges a sender's address."""

import random
import socket
import struct
import time

import pytest

from server import Connection, free_port, run

HEADER = struct.Struct(">HHHH")
# A listener that is not loopback's alone, and so has to be careful, wherever its datagrams come from.
ANYWHERE = "0.0.0.0"


class Client:
    def __init__(self, address):
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.socket.settimeout(10)
        self.socket.connect(address)
        self.request = 0

    def send(self, payload, sequence=0, total=1, reserved=0, request=None):
        self.request = (self.request + 1) & 0xffff if request is None else request
        self.socket.send(HEADER.pack(self.request, sequence, total, reserved) + payload)

    def receive(self):
        """The answer, put together; every rule about its datagrams is checked."""
        parts, total, limit = {}, None, 1400
        while total is None or len(parts) < total:
            datagram = self.socket.recv(65536)
            assert 8 < len(datagram) <= limit
            request, sequence, count, reserved = HEADER.unpack(datagram[:8])
            assert (request, reserved) == (self.request, 0)
            assert total in (None, count) and sequence < count and sequence not in parts
            total = count
            parts[sequence] = datagram[8:]
        assert all(len(parts[n]) == 1392 for n in range(total - 1))
        return b"".join(parts[n] for n in range(total))

    def ask(self, payload, **header):
        self.send(payload, **header)
        return self.receive()

    def is_silent(self):
        """Whether what was sent so far got no answer: the next request's is the first to come."""
        self.send(b"get nothing-is-here\r\n", request=0xfffe)
        return self.receive() == b"END\r\n"

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def start(start_server, *arguments, address="127.0.0.1", threads=4):
    """A server, and where its datagrams go."""
    port = free_port(address)
    server = start_server("-U", port, "-l", address, *arguments, listen=None, threads=threads)
    return server, ("127.0.0.1" if address == ANYWHERE else address, port)


@pytest.fixture(params=["127.0.0.1", "::1"])
def server(request, start_server):
    return start(start_server, address=request.param)


class TestTalking:
    def test_requests_of_each_dialect(self, server):
        _, address = server
        with Client(address) as client:
            assert client.ask(b"set k 5 0 5\r\nhello\r\n") == b"STORED\r\n"
            assert client.ask(b"get k\r\n") == b"VALUE k 5 5\r\nhello\r\nEND\r\n"
            assert client.ask(b"mg k v f\r\n") == b"VA 5 f5\r\nhello\r\n"
            assert client.ask(b"ms k 3 c\r\nabc\r\n").startswith(b"HD c")
            assert client.ask(struct.pack(">BBHBBHIIQ", 0x80, 0, 1, 0, 0, 0, 1, 7, 0) + b"k")[24:] == b"\0\0\0\0abc"
            assert client.ask(b"incr none 1\r\n") == b"NOT_FOUND\r\n"
            assert client.ask(b"version\r\n").startswith(b"VERSION 1.6.")
            assert client.ask(b"nonsense\r\n") == b"ERROR\r\n"

    def test_several_requests_in_one_datagram(self, server):
        _, address = server
        with Client(address) as client:
            assert client.ask(b"set a 0 0 1\r\n1\r\nset b 0 0 1\r\n2\r\nget a b\r\n") == (
                b"STORED\r\nSTORED\r\nVALUE a 0 1\r\n1\r\nVALUE b 0 1\r\n2\r\nEND\r\n")
            # More than one share of a client.
            count = 3000
            assert client.ask(b"get a\r\n" * count) == b"VALUE a 0 1\r\n1\r\nEND\r\n" * count

    @pytest.mark.parametrize("size", [1370, 1375, 1376, 1377, 1392, 2768, 5000, 60_000, 400_000])
    def test_long_answers_are_cut(self, server, size):
        running, address = server
        value = random.Random(size).randbytes(size)
        with running.connect() as connection, Client(address) as client:
            assert connection.set(b"k", value) == b"STORED"
            if size <= 60_000:
                assert client.ask(b"set l 0 0 %d\r\n%b\r\n" % (size, value)) == b"STORED\r\n"
                assert connection.get(b"l") == value
            assert client.ask(b"get k\r\n") == b"VALUE k 0 %d\r\n%b\r\nEND\r\n" % (size, value)

    def test_the_request_is_named_in_the_answer(self, server):
        _, address = server
        with Client(address) as client:
            for request in (0, 1, 255, 256, 0x1234, 0xffff):
                assert client.ask(b"get k\r\n", request=request) == b"END\r\n"

    def test_nothing_is_kept_between_datagrams(self, server):
        _, address = server
        with Client(address) as client:
            for half in (b"set k 0 0 5\r\nhel", b"get k", b"set k 0 0 5", b"x" * 3000, b"\x80\x01\0\1\x08\0\0\0",
                         b"quit\r\nset k 0 0 1\r\nx\r\n", b"set k 0 0 100000\r\nhello"):
                client.send(half)
            assert client.is_silent()
            assert client.ask(b"lo\r\n") == b"ERROR\r\n"
            assert client.ask(b"get k\r\n") == b"END\r\n"

    def test_no_answer_where_none_is_wanted(self, server):
        _, address = server
        with Client(address) as client:
            client.send(b"set k 0 0 1 noreply\r\nv\r\n")
            assert client.is_silent()
            assert client.ask(b"get k\r\n") == b"VALUE k 0 1\r\nv\r\nEND\r\n"

    def test_lists_without_an_end_are_for_connections(self, server):
        running, address = server
        with Client(address) as client:
            assert client.ask(b"watch fetchers\r\n") == b"ERROR\r\n"
            assert running.stats()["log_watchers"] == "0"
            with running.connect() as connection:
                for number in range(20_000):
                    connection.send(b"set %050d 0 0 1 noreply\r\nx\r\n" % number)
                assert connection.get(b"%050d" % 19_999) == b"x"
            assert client.ask(b"lru_crawler metadump all\r\n") == b"ERROR\r\n"
        running.assert_alive()


class TestHostile:
    def test_headers(self, server):
        """CVE-2022-48571 was a part of a request. Nothing of these is answered, and they are counted."""
        running, address = server
        with Client(address) as client:
            for total in (0, 2, 3, 255, 256, 0x0100, 0x0201, 0xffff):
                for sequence in (0, 1, 0xffff):
                    client.send(b"get k\r\n", sequence=sequence, total=total)
            client.socket.send(b"")
            for length in range(1, 9):
                client.socket.send(HEADER.pack(1, 0, 1, 0)[:length])
            assert client.is_silent()
            assert int(running.stats("larder")["udp_requests_dropped"]) == 24 + 9
            # Which part it is and what is reserved are not looked at, as in memcached.
            assert client.ask(b"get k\r\n", sequence=9, reserved=0xffff) == b"END\r\n"

    def test_garbage(self, server):
        running, address = server
        seed = time.time_ns() % 1_000_000
        print("seed", seed)
        source = random.Random(seed)
        lines = [b"get ", b"set k 0 0 ", b"mg ", b"ms k ", b"\x80", b"\x80\x01\0\1\x08", b"stats ", b"incr "]
        with Client(address) as client:
            for number in range(2000):
                payload = source.choice(lines) * source.randrange(3) + source.randbytes(source.randrange(1, 2000))
                datagram = HEADER.pack(number, 0, 1, 0) + payload
                client.socket.send(datagram if number % 3 else source.randbytes(source.randrange(0, 1500)))
                if number % 20 == 0:
                    # So that none is lost on the way: the system holds only so many.
                    with Client(address) as other:
                        assert other.ask(b"get k\r\n") == b"END\r\n"
        running.assert_alive()

    def test_the_largest_datagram(self, server):
        running, address = server
        with Client(address) as client:
            value = b"v" * (65_507 - 8 - len("set big 0 0 65000\r\n\r\n"))
            payload = b"set big 0 0 %d\r\n%b\r\n" % (len(value), value)
            assert len(payload) + 8 == 65_507
            assert client.ask(payload) == b"STORED\r\n"
            with running.connect() as connection:
                assert connection.get(b"big") == value

    def test_answers_too_long_to_be_received_are_not_sent(self, server):
        running, address = server
        with running.connect() as connection, Client(address) as client:
            for number in range(6):
                connection.set(b"k%d" % number, b"v" * 1_000_000)
            before = int(running.stats("larder")["udp_replies_withheld"])
            client.send(b"get k0 k1 k2 k3 k4 k5\r\n")
            assert client.is_silent()
            assert int(running.stats("larder")["udp_replies_withheld"]) == before + 1


REQUESTS = [
    b"get big\r\n", b"gets big small\r\n", b"gat 0 big\r\n", b"mg big v\r\n", b"mg small v t c s k Oabc\r\n", b"me big\r\n",
    b"mn\r\n", b"version\r\n", b"stats\r\n", b"stats settings\r\n", b"stats items\r\n", b"stats slabs\r\n", b"stats sizes\r\n",
    b"stats conns\r\n", b"stats detail dump\r\n", b"stats cachedump 1 0\r\n", b"stats reset\r\n", b"x\r\n", b"nonsense\r\n",
    b"lru_crawler metadump all\r\n", b"lru_crawler mgdump all\r\n", b"watch fetchers\r\n", b"refresh_certs\r\n",
    b"set small 0 0 5\r\nhello\r\n", b"add s 0 0 1\r\n1\r\n", b"replace none 0 0 1\r\n1\r\n", b"append small 0 0 1\r\n!\r\n",
    b"prepend small 0 0 1\r\n!\r\n", b"cas small 0 0 1 1\r\n1\r\n", b"set k 0 0\r\n", b"set k 0 0 99999999\r\n",
    b"incr n 1\r\n", b"decr n 1\r\n", b"touch small 0\r\n", b"delete none\r\n", b"flush_all 100\r\n", b"verbosity 0\r\n",
    b"ms small 1 c k s\r\n1\r\n", b"md none q k\r\n", b"ma n N0 v t c\r\n", b"get " + b"big " * 20 + b"\r\n",
    b"slabs automove 1\r\n", b"cache_memlimit 64\r\n", b"shutdown\r\n", b"quit\r\n", b"verbosity\r\n", b"get\r\n",
] + [struct.pack(">BBHBBHIIQ", 0x80, opcode, 3, 0, 0, 0, 3, 0, 0) + b"big" for opcode in range(0x00, 0x26)] + [
    struct.pack(">BBHBBHIIQ", 0x80, opcode, 0, 0, 0, 0, 0, 0, 0) for opcode in (0x07, 0x08, 0x0a, 0x0b, 0x10, 0x20)]


class TestAmplification:
    """CVE-2018-1000115 was an answer 50,000 times as large as its request, to an address that was forged."""

    def measured(self, start_server, address, *arguments):
        """What each request got: bytes asked, bytes answered."""
        server, place = start(start_server, *arguments, address=address)
        with server.connect() as connection:
            for key, value in {b"big": b"v" * 1_000_000, b"small": b"1", b"n": b"1"}.items():
                assert connection.set(key, value) == b"STORED"
        result = []
        with Client(place) as client:
            for payload in REQUESTS:
                client.send(payload)
                asked = len(payload) + 8
                answered = 0
                # Its answer comes before that of the next one: long enough to get one wherever.
                client.socket.send(HEADER.pack(0xeeee, 0, 1, 0) + b"get nothing-at-all-is-here\r\n")
                while (datagram := client.socket.recv(65536))[:2] != b"\xee\xee":
                    answered += len(datagram)
                result.append((payload, asked, answered))
        server.assert_alive()
        return server, result

    def test_answers_are_smaller_than_requests(self, start_server):
        server, result = self.measured(start_server, ANYWHERE)
        larger = [(payload[:40], asked, answered) for payload, asked, answered in result if answered >= asked]
        assert larger == []
        assert any(answered > 0 for _, _, answered in result)
        assert int(server.stats("larder")["udp_replies_withheld"]) > 20

    def test_long_requests_get_long_answers(self, start_server):
        """Spaces make a request as long as its answer: how a value is read where answers must be small."""
        _, place = start(start_server, address=ANYWHERE)
        with Client(place) as client:
            assert client.ask(b"set k 0 0 100\r\n" + b"v" * 100 + b"\r\n") == b"STORED\r\n"
            client.send(b"get k\r\n")
            assert client.is_silent()
            answer = b"VALUE k 0 100\r\n" + b"v" * 100 + b"\r\nEND\r\n"
            client.send(b"get k" + b" " * (len(answer) - len("get k\r\n")) + b"\r\n")
            assert client.is_silent()
            assert client.ask(b"get k" + b" " * (len(answer) - len("get k\r\n") + 1) + b"\r\n") == answer

    def test_two_servers_do_not_answer_each_other(self, start_server):
        """An error is answered by an error: where the sender may be forged, that must end."""
        _, place = start(start_server, address=ANYWHERE)
        with Client(place) as client:
            for payload in (b"ERROR\r\n", b"END\r\n", b"STORED\r\n", b"EN\r\n", b"x" * 2000 + b"\r\n",
                            b"CLIENT_ERROR bad command line format\r\n" * 30, b"get k" + b" " * 1000 + b"\r\n"):
                rounds = 0
                while payload is not None:
                    rounds += 1
                    assert rounds < 10, payload
                    client.send(payload)
                    client.socket.send(HEADER.pack(0xeeee, 0, 1, 0) + b"get nothing-at-all-is-here\r\n")
                    answer = None
                    while (datagram := client.socket.recv(65536))[:2] != b"\xee\xee":
                        assert len(datagram) < len(payload) + 8
                        answer = datagram[8:]
                    payload = answer

    def test_loopback_and_the_flag_answer_all(self, start_server):
        for address, arguments in (("127.0.0.1", []), (ANYWHERE, ["--udp-unsafe"])):
            _, result = self.measured(start_server, address, *arguments)
            assert max(answered / asked for _, asked, answered in result) > 100


class TestProcess:
    def test_off_unless_asked_for(self, start_server):
        server = start_server()
        assert server.stats("settings")["udpport"] == "0"
        assert "UDP" not in server.port_file.read_text()
        assert server.stats("larder")["udp_requests_dropped"] == "0"

    def test_no_line_of_memcacheds_lists_is_more_or_less(self, start_server):
        server, _ = start(start_server)
        assert list(server.stats()) == list(start_server().stats())

    def test_the_port_alone_moves_tcp(self, start_server):
        server, (_, port) = start(start_server)
        assert server.port == port
        settings = server.stats("settings")
        assert (settings["udpport"], settings["tcpport"]) == (str(port), str(port))

    def test_another_tcp_port(self, start_server):
        udp = free_port()
        server = start_server("-U", udp)
        assert server.port != udp
        assert f"UDP INET: {udp}\n" in server.port_file.read_text()
        with Client(("127.0.0.1", udp)) as client:
            assert client.ask(b"get k\r\n") == b"END\r\n"
        connections = server.stats("conns")
        ends = [name.split(":")[0] for name, value in connections.items() if value == f"udp:127.0.0.1:{udp}"]
        assert len(ends) == 1 and connections[f"{ends[0]}:UDP"] == "UDP"
        assert connections[f"{ends[0]}:state"] == "conn_read"

    def test_any_free_port(self, start_server):
        server = start_server("-U", "-1", "-l", "127.0.0.1,::1", "-p", "-1", listen=None)
        ports = [int(line.split(": ")[1]) for line in server.port_file.read_text().splitlines() if "UDP" in line]
        assert len(ports) == 2
        with Client(("127.0.0.1", ports[0])) as four, Client(("::1", ports[1])) as six:
            assert four.ask(b"set k 0 0 1\r\nv\r\n") == b"STORED\r\n"
            assert six.ask(b"get k\r\n") == b"VALUE k 0 1\r\nv\r\nEND\r\n"

    def test_udp_alone(self, start_server):
        port = free_port()
        import subprocess
        from server import binary, poll
        process = subprocess.Popen([binary(), "-p", "0", "-U", str(port), "-l", "127.0.0.1"], stderr=subprocess.DEVNULL)
        try:
            def answers():
                with Client(("127.0.0.1", port)) as client:
                    client.socket.settimeout(0.2)
                    try:
                        return client.ask(b"get k\r\n") == b"END\r\n"
                    except (ConnectionRefusedError, TimeoutError):
                        return False
            poll(answers, "it answers")
        finally:
            process.terminate()
            assert process.wait(10) == 0

    def test_a_port_in_use(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.bind(("127.0.0.1", 0))
            port = other.getsockname()[1]
            result = run("-l", "127.0.0.1", "-p", "-1", "-U", port)
        assert (result.returncode, result.stderr) == (71, f"failed to listen on UDP port {port}: Address already in use\n")

    @pytest.mark.parametrize(
        "options, message", [
            (["-S", "-Y", "FILE"], "ERROR: Cannot enable UDP while using binary SASL authentication."),
            (["-Y", "FILE"], "Cannot use UDP with ascii authentication enabled (-U 0 to disable)"),
        ])
    def test_not_with_passwords(self, tmp_path, options, message):
        """A datagram has no connection that could have logged in: memcached once let everybody in that way."""
        (tmp_path / "users").write_text("foo:bar\n")
        options = [str(tmp_path / "users") if option == "FILE" else option for option in options]
        for port in ("11211", "-1"):
            result = run("-U", port, *options)
            assert (result.returncode, result.stderr) == (64, message + "\n")

    def test_ports_that_there_are_not(self):
        assert run("-U", "70000").stderr == "ERROR: Invalid port number 70000.\n"
        assert run("-U", "abc").returncode == 64
