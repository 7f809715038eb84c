"""--admin: health and metrics over HTTP, beside the clients and whatever they do."""

import json
import os
import re
import signal
import socket
import time

import pytest

from admin import Admin, ask, parse
from server import Connection, free_port, poll, run


class TestPages:
    def test_healthy_and_ready(self, start_server):
        admin = Admin(start_server)
        assert admin.ask("/healthz")[:2] == (200, "ok\n")
        assert admin.ask("/readyz")[:2] == (200, "ok\n")
        assert admin.ask("/readyz?verbose")[0] == 200
        status, body, headers = admin.ask("/")
        assert status == 200 and "/metrics" in body and headers["Content-Type"].startswith("text/html")

    def test_not_found(self, start_server):
        admin = Admin(start_server)
        for path in ["/nothing", "/metrics/", "/%00", "//healthz", "/" + "x" * 4000]:
            assert admin.ask(path)[0] == 404, path

    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "BREW"])
    def test_other_methods(self, start_server, method):
        admin = Admin(start_server)
        body = b"x" * 100 if method in ("POST", "PUT") else None
        status, _, headers = admin.ask("/metrics", method, body=body)
        assert status == 405 and headers["Allow"] == "GET, HEAD"
        assert admin.ask("/healthz")[0] == 200

    def test_head(self, start_server):
        admin = Admin(start_server)
        with Connection(("127.0.0.1", admin.port)) as connection:
            connection.send(b"HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = connection.read_until_closed()
        assert answer.startswith(b"HTTP/1.1 200 ") and answer.endswith(b"\r\n\r\n")
        assert b"\r\nContent-Length: 3\r\n" in answer

    def test_is_for_this_machine_only(self, start_server):
        admin = Admin(start_server)
        listening = open("/proc/net/tcp").read()
        assert f" 0100007F:{admin.port:04X} 00000000:0000 0A " in listening
        assert f" 00000000:{admin.port:04X} 00000000:0000 0A " not in listening


class TestReadiness:
    def test_not_before_the_file_is_read(self, start_server, tmp_path):
        store = tmp_path / "store"
        first = start_server("-m", 1024, "-e", store)
        with first.connect() as connection:
            for batch in range(0, 1_000_000, 4000):
                connection.send(b"".join(
                    b"set key-%d 0 0 10 noreply\r\n%010d\r\n" % (number, number)
                    for number in range(batch, batch + 4000)))
            assert connection.get(b"key-999999")
        first.process.send_signal(signal.SIGKILL)
        first.process.wait()
        first.process = None
        admin_port = free_port()
        server = start_server("-m", 1024, "-e", store, "--admin", admin_port)
        seen, searches, consoles = [], [], []

        def ready():
            assert ask(admin_port, "/healthz")[0] == 200
            status, body, _ = ask(admin_port, "/readyz")
            seen.append((status, body))
            searches.append(ask(admin_port, "/key.json?key=key-1")[0])
            consoles.append(json.loads(ask(admin_port, "/status.json")[1]))
            return status == 200

        poll(ready, "ready", 60, interval=0.001)
        assert seen[0][0] == 503 and "cache default reads its file" in seen[0][1], seen[:3]
        assert searches[0] == 503 and searches[-1] == 200
        assert "reads its file" in consoles[0]["not_ready"] and consoles[0]["memory"] is None
        assert consoles[-1]["not_ready"] is None and consoles[-1]["caches"][0]["file"]["path"] == str(store)
        assert server.stats()["store_ready"] == "1"
        metrics = parse(ask(admin_port, "/metrics")[1])
        label = (("cache", "default"),)
        assert metrics["larder_store_ready", label] == 1
        assert metrics["larder_store_recovered_items", label] == 1_000_000
        assert metrics["larder_store_recovered_ratio", label] == 1
        assert metrics["larder_store_recovery_seconds", label] > 0

    def test_not_while_the_server_stops(self, start_server):
        """A client that does not read its answer holds the stop up for two seconds."""
        admin = Admin(start_server, "-I", "20m", "-m", "100")
        with admin.server.connect(receive_buffer=4096) as client:
            assert client.set(b"large", b"x" * 16_000_000) == b"STORED"
            client.send(b"get large\r\n")
            client.read_line()
            admin.server.process.send_signal(signal.SIGTERM)

            def stopping():
                status, body, _ = admin.ask("/readyz")
                return status == 503 and body == "the server stops\n"

            poll(stopping, "not ready")
            assert admin.ask("/healthz")[0] == 200
            assert admin.server.wait() == 0

    def test_answers_when_full_of_clients(self, start_server):
        admin = Admin(start_server, "-c", 10)
        poll(lambda: admin.metrics()["memcached_current_connections", ()] == 0, "the client that awaited the start is gone")
        clients = [admin.server.connect() for _ in range(10)]
        poll(lambda: admin.metrics()["memcached_current_connections", ()] == 10, "full")
        for path in ["/healthz", "/readyz", "/metrics"]:
            assert admin.ask(path)[0] == 200
        with admin.server.connect() as refused:
            assert b"Too many open connections" in refused.read_until_closed()
        assert admin.metrics()["memcached_connections_rejected_total", ()] > 0
        for client in clients:
            assert client.ask(b"version\r\n").startswith(b"VERSION")
            client.close()


class TestHostileClients:
    @pytest.mark.parametrize("request_bytes", [
        b"GET / HTTP/1.1\r\nX: " + b"x" * 100_000 + b"\r\n\r\n", b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 10_000 + b"\r\n", b"POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\n" + b"x" * 100_000,
        b"GET / HTTP/9.9\r\n\r\n", b"\0" * 20_000, b"set a 0 0 1\r\nx\r\n", b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    ], ids=["header", "path", "headers", "body", "chunk", "version", "zeros", "memcached", "negative"])
    def test_too_much(self, start_server, request_bytes):
        """Refused and closed; nobody else notices."""
        admin = Admin(start_server)
        with Connection(("127.0.0.1", admin.port)) as hostile:
            try:
                hostile.send(request_bytes)
            except (BrokenPipeError, ConnectionResetError):
                pass
            answer = hostile.read_until_closed()
            assert not answer or re.match(rb"HTTP/\d.\d 4\d\d ", answer), answer[:100]
        assert admin.ask("/healthz")[0] == 200
        admin.server.assert_alive()

    def test_slow_clients_are_closed(self, start_server):
        """A byte now and then keeps a connection from being silent. The request as a whole has a limit, too."""
        admin = Admin(start_server)
        with Connection(("127.0.0.1", admin.port), timeout=30) as slow, Connection(
                ("127.0.0.1", admin.port), timeout=30) as silent:
            silent.send(b"GET / HT")
            began = time.monotonic()
            closed = {}

            def all_closed():
                for name, connection in [("slow", slow), ("silent", silent)]:
                    if name not in closed and connection.is_closed():
                        closed[name] = time.monotonic() - began
                if "slow" not in closed:
                    try:
                        slow.send(b"x")
                    except (BrokenPipeError, ConnectionResetError):
                        pass
                assert admin.ask("/healthz")[0] == 200
                return len(closed) == 2

            poll(all_closed, lambda: f"closed: {closed}", 25, interval=0.2)

    def test_a_thousand_connections(self, start_server):
        """Silent clients take all places, and make room for others; memcached's clients do not notice."""
        admin = Admin(start_server)
        descriptors = admin.server.descriptor_count()
        with admin.server.connect() as client:
            assert client.set(b"key", b"value") == b"STORED"
            sockets = []
            try:
                for _ in range(1000):
                    connection = socket.socket()
                    connection.setblocking(False)
                    connection.connect_ex(("127.0.0.1", admin.port))
                    sockets.append(connection)
                assert client.get(b"key") == b"value"
                assert admin.ask("/healthz", timeout=30)[0] == 200
                assert admin.server.descriptor_count() < descriptors + 60
                assert client.get(b"key") == b"value"
            finally:
                for connection in sockets:
                    connection.close()
        poll(lambda: admin.ask("/healthz", timeout=30)[0] == 200, "answers again", 30)
        assert admin.server.stats()["rejected_connections"] == "0"

    def test_stops_at_once(self, start_server):
        admin = Admin(start_server)
        with Connection(("127.0.0.1", admin.port)) as open_connection:
            open_connection.send(b"GET /")
            admin.server.stop()
            assert open_connection.read_until_closed() == b""


class TestOption:
    def test_a_port_that_is_taken(self, start_server):
        admin = Admin(start_server)
        refused = run("--admin", admin.port, "-p", free_port())
        assert refused.returncode == 71
        assert refused.stderr == (
            f"failed to listen on the address of --admin, {admin.port}: Address already in use\n")

    @pytest.mark.parametrize("text", ["", "x", "0", "65536", ":9150", "a:b", "::1", "::1:9150", "1.2.3.4", "[::1]", "9150x"])
    def test_addresses_that_are_none(self, text):
        refused = run("--admin", text)
        assert refused.returncode == 64
        assert refused.stderr.startswith("--admin takes a port or HOST:PORT") and refused.stderr.count("\n") == 1

    def test_an_address(self, start_server):
        port = free_port()
        server = start_server("--admin", f"127.0.0.2:{port}")
        assert f"larder: metrics and health over HTTP at tcp:127.0.0.2:{port}\n" in server.stderr
        with Connection(("127.0.0.2", port)) as connection:
            connection.send(b"GET /healthz HTTP/1.0\r\n\r\n")
            assert connection.read_until_closed().endswith(b"\r\n\r\nok\n")

    def test_none_without_it(self, start_server):
        server = start_server()
        threads = [open(f"/proc/{server.process.pid}/task/{task}/comm").read().strip()
                   for task in os.listdir(f"/proc/{server.process.pid}/task")]
        assert "larder-admin" not in threads and "larder-0" in threads
