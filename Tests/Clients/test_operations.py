"""What operators see of a server: limits that the system sets, clients that are refused or dropped, the log's lines."""

import ctypes
import fcntl
import os
import re
import resource
import signal
import socket
import struct
import subprocess

import pytest

from binary_protocol import GET, NOT_FOUND, BinaryConnection, packet
from server import binary, cannot_test, free_port, poll

pytestmark = pytest.mark.larder_only

PR_CAPBSET_DROP, CAP_SYS_RESOURCE = 24, 24


def limit_open_files(count):
    """Run in the child: its limit on open files cannot be raised again, not even by root."""
    if ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_SYS_RESOURCE, 0, 0, 0) != 0 and os.geteuid() == 0:
        os._exit(99)
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, count))


class TestOpenFiles:
    def start(self, *arguments, files):
        port = free_port()
        process = subprocess.Popen(
            [binary(), "-l", "127.0.0.1", "-p", str(port), *map(str, arguments)], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, preexec_fn=lambda: limit_open_files(files))
        return process, port

    def test_fewer_clients_are_served_where_the_limit_is_low(self):
        process, port = self.start("-t", 4, files=1024)
        try:
            notice = process.stderr.readline().decode()
            assert notice == (
                "larder: -c is 948, not 1024: 1024 clients need 1100 open files, and the limit is 1024"
                " (raise it with ulimit -n, or LimitNOFILE= of systemd)\n")
            assert process.stderr.readline().startswith(b"larder ")
            with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
                client.sendall(b"stats settings\r\n")
                text = b""
                while not text.endswith(b"END\r\n"):
                    text += client.recv(1 << 16)
                assert b"STAT maxconns 948\r\n" in text
        finally:
            process.terminate()
            assert process.wait(15) == 0
            process.stderr.close()

    def test_without_room_for_a_client_there_is_no_server(self):
        process, _ = self.start("-t", 4, files=70)
        _, text = process.communicate(timeout=15)
        assert process.returncode == 71
        assert b"1100 open files are needed, and the limit is 70" in text


def test_a_full_server_is_healthy(start_server):
    """A restart would drop all clients, and without a file all items."""
    server = start_server("-c", 2, threads=1)
    clients = [server.connect(), server.connect()]
    assert all(client.ask(b"version\r\n").startswith(b"VERSION") for client in clients)
    result = subprocess.run(
        [binary(), "ping", "-v", "-l", "127.0.0.1", "-p", str(server.address[1])], capture_output=True, text=True,
        timeout=20, check=False)
    assert (result.returncode, result.stdout) == (0, "ERROR Too many open connections\n")


def test_refused_clients_are_worth_one_line(start_server):
    server = start_server("-c", 1, threads=1)
    with server.connect() as client:
        assert client.ask(b"version\r\n").startswith(b"VERSION")
        for _ in range(3):
            with socket.create_connection(server.address, timeout=10) as refused:
                assert refused.recv(100) == b"ERROR Too many open connections\r\n"
        poll(lambda: "larder: clients: " in server.stderr, "a line about the refused clients")
        line = re.search(r"larder: clients: (\d+) refused, as -c 1 are connected\n", server.stderr)
        assert line and 1 <= int(line[1]) <= 3


def test_dropped_clients_leave_a_trace(start_server):
    """Half-sent values have one limit for all clients, of 64 MB here."""
    server = start_server("-m", 64, threads=1)
    clients = []
    for number in range(90):
        client = server.connect()
        client.send(b"set k%d 0 0 1000000\r\n" % number + bytes(900_000))
        clients.append(client)
    with server.connect() as client:
        # 74 of them fit.
        poll(lambda: int(client.stats("larder")["requests_dropped_memory"]) >= 16, "16 clients are dropped")
        assert int(client.stats("larder")["request_bytes"]) <= 64 << 20
    poll(lambda: "dropped, as half-sent requests took too much memory" in server.stderr, "a line about them")
    for client in clients:
        client.close()


def test_the_log_says_what_the_server_stops_with(start_server, tmp_path):
    server = start_server("-e", tmp_path / "store", threads=1)
    client = server.connect()
    assert client.ask(b"version\r\n").startswith(b"VERSION")
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(15) == 0
    assert server.stderr.splitlines()[-2:] == [
        "Signal handled: Terminated.",
        f"larder: stopped; clients connected at the signal: 1; cache default is kept in {tmp_path / 'store'}"]


def test_the_log_says_what_was_read_again(start_server, tmp_path):
    users = tmp_path / "users"
    users.write_text("user:password\n")
    server = start_server("-Y", users, threads=1, login=(b"user", b"password"))
    server.process.send_signal(signal.SIGHUP)
    poll(lambda: server.stderr.endswith("larder: SIGHUP: read again: users\n"), "the line about the users")


def delayed_acknowledgements():
    with open("/proc/net/netstat") as file:
        names, values = [line.split() for line in file if line.startswith("TcpExt:")]
    return int(values[names.index("DelayedACKs")])


def test_the_first_half_of_a_request_is_acknowledged_at_once(start_server):
    """A client without TCP_NODELAY sends the second half when the first is acknowledged. Linux waits 40 ms with that,
    in case there is an answer to send it with. It counts such waits for the whole machine, so other tests may add some:
    one try without any is enough."""
    server = start_server(threads=1)
    request = packet(GET, b"nobody")

    def waits():
        before = delayed_acknowledgements()
        with server.connect() as client:
            client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 0)
            answers = BinaryConnection(client)
            # The system acknowledges the first packets of a connection at once by itself.
            for _ in range(30):
                client.send(request[:24])
                client.send(request[24:])
                assert answers.read().status == NOT_FOUND
        return delayed_acknowledgements() - before

    assert min(waits() for _ in range(5)) < 10, "30 requests in two halves, each with a wait"


CLONE_NEWNET = 0x40000000
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1


def move_to_network_without_ipv6():
    """Run in the child: a network namespace of its own, whose loopback has IPv4 only."""
    if ctypes.CDLL(None).unshare(CLONE_NEWNET) != 0:
        os._exit(99)
    with open("/proc/sys/net/ipv6/conf/all/disable_ipv6", "w") as file:
        file.write("1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sH14x", b"lo", IFF_UP)
        fcntl.ioctl(control, SIOCSIFFLAGS, request)


class TestWithoutIPv6:
    def start(self, *arguments):
        try:
            return subprocess.Popen(
                [binary(), "-p", "11211", *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE, preexec_fn=move_to_network_without_ipv6)
        except subprocess.SubprocessError:
            cannot_test("needs a network namespace of its own")

    @pytest.mark.parametrize("udp", [(), ("-U", "11211")])
    def test_the_addresses_that_there_are_are_served(self, udp):
        process = self.start("-l", "127.0.0.1,::1", *udp)
        try:
            assert process.stderr.readline() == b"larder: not listening on ::1 of -l: this machine has no IPv6\n"
            assert process.stderr.readline().startswith(b"larder 0.1.0 serves tcp:127.0.0.1:11211")
        finally:
            process.terminate()
            assert process.wait(15) == 0
            process.stderr.close()

    def test_nothing_but_ipv6_is_refused(self):
        process = self.start("-l", "::1")
        _, text = process.communicate(timeout=15)
        assert process.returncode == 71 and b"failed to listen on one of interface(s) ::1" in text


def test_a_second_server_does_not_take_the_socket_of_the_first(start_server, tmp_path):
    path = str(tmp_path / "socket")
    first = start_server(unix=path, threads=1)
    with first.connect() as client:
        client.set(b"key", b"value")
        second = subprocess.run(
            [binary(), "-s", path], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20, check=False)
        assert second.returncode == 71
        assert second.stderr == f"failed to listen on UNIX socket: {path}: Address already in use\n"
        with first.connect() as other:
            assert other.get(b"key") == b"value"
    first.stop()
    # The file that a server leaves is in nobody's way.
    third = start_server(unix=path, threads=1)
    with third.connect() as client:
        assert client.get(b"key") is None
