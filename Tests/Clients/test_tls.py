"""TLS: `-Z` and `-o ssl_*`. Clients are Python's ssl module, pymemcache, and `openssl s_client`."""

import random
import re
import resource
import signal
import socket
import ssl
import struct
import subprocess
import threading
import time

import pymemcache
import pytest

from server import Connection, free_port, poll, run

VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


@pytest.fixture(params=[(version, threads) for version in VERSIONS for threads in (1, 4)], ids=str)
def server(request, start_server, certificates):
    version, threads = request.param
    return start_server(
        *certificates.server_options(), threads=threads, tls=certificates.context(version=VERSIONS[version]))


class TestTalking:
    def test_values_of_all_sizes(self, server):
        source = random.Random(1)
        sizes = [0, 1, 100, 4000, 4097, 16_000, 16_384, 16_385, 50_000, 300_000, 1_000_000]
        values = {b"key%d" % size: source.randbytes(size) for size in sizes}
        with server.connect() as connection:
            for key, value in values.items():
                assert connection.set(key, value) == b"STORED"
            for key, value in values.items():
                assert connection.get(key) == value
            assert connection.get_many(list(values)) == values

    def test_pipelines(self, server):
        """More requests than one share, more answers than one record, in one piece and byte by byte."""
        count = 5000
        with server.connect() as connection:
            connection.send(b"".join(b"set k%d 0 0 4\r\n%04d\r\n" % (n, n) for n in range(count)))
            for _ in range(count):
                assert connection.read_line() == b"STORED"
            connection.send(b"get " + b" ".join(b"k%d" % n for n in range(count)) + b"\r\n")
            assert connection.read_values() == {b"k%d" % n: b"%04d" % n for n in range(count)}
            for byte in b"set k 0 0 5\r\nhello\r\nget k\r\n":
                connection.send(bytes([byte]))
            assert connection.read_line() == b"STORED"
            assert connection.read_values() == {b"k": b"hello"}

    def test_many_records_in_one_segment(self, server):
        """What is left in the session when a value ends is served, though the socket says nothing more."""
        with server.connect() as connection:
            context = connection.socket.context
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            raw = socket.create_connection(server.address, timeout=10)
            session = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
            while True:
                try:
                    session.do_handshake()
                    raw.sendall(outgoing.read())
                    break
                except ssl.SSLWantReadError:
                    raw.sendall(outgoing.read())
                    incoming.write(raw.recv(65536))
            for piece in (b"set a 0 0 10", b"00\r\n", b"x" * 999, b"x\r", b"\ngets", b" a\r\nversion", b"\r\n"):
                session.write(piece)
            raw.sendall(outgoing.read())
            answer = b""
            while not answer.endswith(b"1.6.45\r\n"):
                try:
                    answer += session.read(65536)
                except ssl.SSLWantReadError:
                    incoming.write(raw.recv(65536))
            assert answer.startswith(b"STORED\r\nVALUE a 0 1000") and answer.count(b"VERSION") == 1
            raw.close()

    def test_slow_reader(self, server):
        """An answer far larger than all buffers, taken late: nothing is lost, and others are served meanwhile."""
        value = random.Random(2).randbytes(1_000_000)
        with server.connect(receive_buffer=8192) as slow, server.connect() as other:
            assert other.set(b"big", value) == b"STORED"
            slow.send(b"get big\r\n" * 20)
            for _ in range(100):
                assert other.get(b"none") is None
            for _ in range(20):
                assert slow.read_values() == {b"big": value}

    def test_quit_ends_with_a_good_bye(self, server):
        with server.connect() as connection:
            connection.send(b"set k 0 0 1\r\nv\r\nquit\r\n")
            # SSLEOFError instead of an end would say that the good-bye was missing.
            assert connection.read_until_closed() == b"STORED\r\n"

    def test_stopping_answers_what_has_come(self, server):
        with server.connect() as connection:
            connection.send(b"set k 0 0 1\r\nv\r\n" * 100)
            assert connection.read_line() == b"STORED"
            server.process.send_signal(signal.SIGTERM)
            assert connection.read_until_closed() == b"STORED\r\n" * 99
        assert server.wait() == 0

    def test_a_client_that_says_good_bye_and_waits_is_closed(self, server):
        with server.connect() as connection:
            assert connection.ask(b"version\r\n").startswith(b"VERSION")
            plain = connection.socket.unwrap()
            plain.settimeout(10)
            assert plain.recv(1) == b""
            plain.close()


class TestClients:
    def test_pymemcache(self, server):
        client = pymemcache.Client(("localhost", server.port), tls_context=server.connection_options["tls"])
        assert client.set("k", b"v" * 100_000) is True
        assert client.get("k") == b"v" * 100_000
        assert client.incr("none", 1) is None
        assert client.set_many({f"k{n}": str(n) for n in range(100)}) == []
        assert len(client.get_many([f"k{n}" for n in range(100)])) == 100
        client.close()

    def test_openssl(self, server, certificates):
        result = subprocess.run(
            ["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", "-CAfile", certificates.path("authority.pem"),
             "-verify_return_error", "-quiet", "-servername", "localhost"],
            input=b"version\r\nquit\r\n", capture_output=True, timeout=20)
        assert result.stdout.startswith(b"VERSION 1.6."), result


class TestClientCertificates:
    @pytest.mark.parametrize("version", VERSIONS)
    @pytest.mark.parametrize(
        "mode, shown, accepted", [
            (0, None, True), (0, "client", True), (0, "stranger", True),
            (1, None, True), (1, "client", True), (1, "stranger", False),
            (2, None, False), (2, "client", True), (2, "stranger", False),
            (3, None, False), (3, "client", True), (3, "stranger", False),
        ])
    def test_verify_modes(self, start_server, certificates, mode, shown, accepted, version):
        server = start_server(
            *certificates.server_options(f"ssl_ca_cert={certificates.path('authority.pem')}", f"ssl_verify_mode={mode}"),
            tls=certificates.context("client"))
        before = int(server.stats()["ssl_handshake_errors"])
        context = certificates.context(shown, VERSIONS[version])
        assert is_served(server.address, context) == accepted
        assert int(server.stats()["ssl_handshake_errors"]) == before + (not accepted)

    def test_mixed_listeners(self, start_server, certificates):
        server = start_server(
            *certificates.server_options(f"ssl_ca_cert={certificates.path('authority.pem')}", "ssl_verify_mode=1"),
            "-l", "127.0.0.1:-1,notls:127.0.0.2:-1,btls:127.0.0.3:-1,mtls:127.0.0.4:-1", listen=None,
            tls=certificates.context())
        ports = [int(port) for port in re.findall(r"^TCP INET: (\d+)$", server.port_file.read_text(), re.M)]
        usual, plain, without, mutual = [(f"127.0.0.{n + 1}", port) for n, port in enumerate(ports)]
        with Connection(plain) as connection:
            assert connection.ask(b"version\r\n").startswith(b"VERSION ")
        for shown, expected in [(None, (True, True, False)), ("client", (True, True, True)),
                                ("stranger", (False, True, False))]:
            context = certificates.context(shown)
            assert (is_served(usual, context), is_served(without, context), is_served(mutual, context)) == expected

    def test_ports_of_named_caches_are_encrypted_too(self, start_server, certificates):
        port = free_port()
        start_server(
            *certificates.server_options(), "--cache", f"name=other,items=100,blocksize=1024,listen=127.0.0.1:{port}",
            tls=certificates.context())
        assert is_served(("127.0.0.1", port), certificates.context())
        with Connection(("127.0.0.1", port)) as plain:
            plain.send(b"version\r\n")
            assert b"VERSION" not in plain.read_until_closed()


def is_served(address, context):
    """Whether a request is answered. In TLS 1.3 a client knows only then that its certificate was liked."""
    try:
        with Connection(address, tls=context) as connection:
            return connection.ask(b"version\r\n").startswith(b"VERSION ")
    except (ssl.SSLError, ConnectionError, EOFError):
        return False


class TestReload:
    def subject(self, server):
        with server.connect() as connection:
            return dict(pair[0] for pair in connection.socket.getpeercert()["subject"])["commonName"]

    @pytest.mark.parametrize("how", ["hangup", "command"])
    def test_new_certificates(self, start_server, certificates, how):
        server = start_server(*certificates.server_options(), tls=certificates.context())

        def reload():
            if how == "hangup":
                server.process.send_signal(signal.SIGHUP)
                return b"OK"
            with server.connect() as connection:
                return connection.ask(b"refresh_certs\r\n")

        with server.connect() as old:
            certificates.issue("server", subject="second")
            assert self.subject(server) == "server"
            assert reload() == b"OK"
            poll(lambda: self.subject(server) == "second", "the new certificate is shown")
            assert old.set(b"k", b"v") == b"STORED" and old.get(b"k") == b"v"
            assert int(old.stats()["time_since_server_cert_refresh"]) <= 2
            # A key that does not fit: everything stays as it was.
            (certificates.directory / "server.key").write_bytes((certificates.directory / "client.key").read_bytes())
            answer = reload()
            if how == "hangup":
                poll(lambda: "the certificates stay as they were" in server.stderr, "a line about it")
            else:
                assert answer.startswith(b"Error loading the key: ") and b"key values mismatch" in answer
            assert self.subject(server) == "second"
            (certificates.directory / "server.pem").unlink()
            answer = reload()
            if how == "command":
                assert answer.startswith(b"Error loading the certificate chain: ") and b"No such file" in answer
            assert self.subject(server) == "second"
            assert old.get(b"k") == b"v"

    def test_without_tls(self, start_server):
        with start_server().connect() as connection:
            assert connection.ask(b"refresh_certs\r\n") == b"Error TLS not enabled"

    def test_under_load_no_request_is_lost(self, start_server, certificates):
        """Clients that stay and clients that come and go, while certificates are read again and again."""
        server = start_server(*certificates.server_options(), threads=4, tls=certificates.context())
        stops = threading.Event()
        failures, rounds = [], [0] * 6

        def talk(number, stays):
            try:
                while not stops.is_set():
                    with server.connect() as connection:
                        for _ in range(200 if stays else 1):
                            value = b"%d:%d" % (number, rounds[number])
                            assert connection.set(b"k%d" % number, value) == b"STORED"
                            assert connection.get(b"k%d" % number) == value
                            rounds[number] += 1
            except Exception as failure:
                failures.append(failure)

        threads = [threading.Thread(target=talk, args=(n, n < 2)) for n in range(6)]
        for thread in threads:
            thread.start()
        for number in range(20):
            certificates.issue("server", subject=f"server{number}")
            seen = sum(rounds)
            if number % 2:
                server.process.send_signal(signal.SIGHUP)
            else:
                with server.connect() as connection:
                    assert connection.ask(b"refresh_certs\r\n") == b"OK"
            poll(lambda: sum(rounds) > seen + 12 or failures, "requests go on")
        stops.set()
        for thread in threads:
            thread.join()
        assert failures == []
        stats = server.stats()
        assert (stats["ssl_handshake_errors"], stats["ssl_proto_errors"]) == ("0", "0")


class TestResumption:
    def resume(self, server, context):
        """Connects twice; whether the second took up the first's session."""
        def connect(session):
            raw = socket.create_connection(server.address, timeout=10)
            wrapped = context.wrap_socket(raw, server_hostname="localhost", session=session)
            wrapped.sendall(b"version\r\n")
            assert wrapped.recv(100).startswith(b"VERSION")
            return wrapped

        first = connect(None)
        assert not first.session_reused
        second = connect(first.session)
        reused = second.session_reused
        first.close()
        second.close()
        return reused

    @pytest.mark.parametrize("version", VERSIONS)
    @pytest.mark.parametrize("mode", [0, 2])
    def test_sessions_are_taken_up(self, start_server, certificates, version, mode):
        server = start_server(
            *certificates.server_options(
                "ssl_session_cache", f"ssl_ca_cert={certificates.path('authority.pem')}", f"ssl_verify_mode={mode}"),
            tls=certificates.context("client", VERSIONS[version]))
        before = int(server.stats()["ssl_new_sessions"])
        assert self.resume(server, server.connection_options["tls"])
        # The first of the two, and the connection that asks.
        assert int(server.stats()["ssl_new_sessions"]) == before + 2

    @pytest.mark.parametrize("version", VERSIONS)
    def test_not_across_a_reload(self, start_server, certificates, version):
        """A client certificate that was good before a reload may not be good after it."""
        server = start_server(*certificates.server_options("ssl_session_cache"),
                              tls=certificates.context(version=VERSIONS[version]))
        context = server.connection_options["tls"]
        raw = socket.create_connection(server.address, timeout=10)
        first = context.wrap_socket(raw, server_hostname="localhost")
        first.sendall(b"refresh_certs\r\n")
        assert first.recv(100) == b"OK\r\n"
        raw = socket.create_connection(server.address, timeout=10)
        second = context.wrap_socket(raw, server_hostname="localhost", session=first.session)
        assert not second.session_reused
        first.close()
        second.close()


class TestHostile:
    def test_what_a_session_holds_back_costs_no_stack(self, start_server, certificates):
        """OpenSSL reads ahead 16,709 bytes; records of 1,285 leave one of those to the next read each time, so that the
        session holds something back as long as the client sends."""
        soft, hard = resource.getrlimit(resource.RLIMIT_STACK)
        resource.setrlimit(resource.RLIMIT_STACK, (256 << 10, hard))
        try:
            context = certificates.context(version=VERSIONS["1.2"])
            server = start_server(*certificates.server_options(), threads=1, tls=context)
        finally:
            resource.setrlimit(resource.RLIMIT_STACK, (soft, hard))
        # Whether the server falls behind, which is what it takes, is for the machine to say: four times.
        for _ in range(4):
            self.send_small_records(server, context, 60 << 20)
            with server.connect() as other:
                assert other.ask(b"version\r\n").startswith(b"VERSION")

    @staticmethod
    def send_small_records(server, context, size):
        """One value that is too large, in records of 1,285 bytes, all at once."""
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        session = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
        with socket.create_connection(server.address, timeout=30) as raw:
            while True:
                try:
                    session.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    raw.sendall(outgoing.read())
                    incoming.write(raw.recv(1 << 16))
            raw.sendall(outgoing.read())
            head = b"set k 0 0 %d\r\n" % size
            session.write(head + bytes(1_256 - len(head)))
            for _ in range(size // 1_256):
                session.write(bytes(1_256))
            raw.sendall(outgoing.read())

    def test_a_plain_client(self, start_server, certificates):
        server = start_server(*certificates.server_options(), tls=certificates.context())
        for line in (b"version\r\n", b"GET / HTTP/1.1\r\n\r\n", b"set k 0 0 1\r\nv\r\n", bytes(100), b"\x80" * 24):
            with server.connect(tls=None) as connection:
                connection.send(line)
                answer = connection.read_until_closed()
                assert b"VERSION" not in answer and b"STORED" not in answer
        assert int(server.stats()["ssl_handshake_errors"]) == 5
        server.assert_alive()

    def test_garbage_of_every_kind(self, start_server, certificates):
        """Random bytes, broken records and cut hellos: the server answers others all the while."""
        seed = time.time_ns() % 1_000_000
        print("seed", seed)
        source = random.Random(seed)
        server = start_server(*certificates.server_options(), tls=certificates.context())
        hello = client_hello(certificates.context())
        with server.connect() as friend:
            for number in range(300):
                kind = number % 5
                if kind == 0:
                    data = source.randbytes(source.randrange(1, 3000))
                elif kind == 1:
                    data = bytearray(hello)
                    for _ in range(source.randrange(1, 8)):
                        data[source.randrange(len(data))] = source.randrange(256)
                elif kind == 2:
                    data = hello[:source.randrange(len(hello))]
                elif kind == 3:
                    data = struct.pack(">BHH", source.choice([20, 21, 22, 23, 24]), 0x0301 + source.randrange(4),
                                       source.choice([0, 1, 16384, 16385, 18432, 65535])) + source.randbytes(64)
                else:
                    data = hello + source.randbytes(200)
                with server.connect(tls=None) as connection:
                    try:
                        connection.send(bytes(data))
                        if kind != 2:
                            connection.socket.shutdown(socket.SHUT_WR)
                            connection.read_until_closed()
                    except (BrokenPipeError, ConnectionResetError):
                        pass
                assert friend.set(b"k", b"%d" % number) == b"STORED"
        server.assert_alive()

    def test_garbage_after_the_handshake(self, start_server, certificates):
        server = start_server(*certificates.server_options(), tls=certificates.context())
        for number in range(20):
            connection = server.connect()
            connection.ask(b"version\r\n")
            raw = socket.socket(fileno=connection.socket.detach())
            raw.settimeout(10)
            raw.sendall(b"\x17\x03\x03\x00\x20" + bytes([number]) * 32 if number % 2 else b"get k\r\n" * 5)
            try:
                while raw.recv(4096):
                    pass
            except ConnectionResetError:
                pass
            raw.close()
        assert int(server.stats()["ssl_proto_errors"]) == 20
        server.assert_alive()

    def test_half_handshakes_end(self, start_server, certificates):
        """Who does not finish its handshake is let go; meanwhile it costs others nothing."""
        server = start_server(*certificates.server_options(), tls=certificates.context())
        hello = client_hello(certificates.context())
        strangers = [server.connect(tls=None) for _ in range(100)]
        for number, stranger in enumerate(strangers):
            stranger.send(hello[:number])
        with server.connect() as friend:
            for _ in range(100):
                assert friend.set(b"k", b"v") == b"STORED"
            # One byte now and then does not prolong it.
            strangers[50].send(hello[50:51])
            poll(lambda: int(friend.stats()["curr_connections"]) == 1, "the strangers are gone", seconds=20)
            assert int(friend.stats()["ssl_handshake_errors"]) == 100
        for stranger in strangers:
            assert stranger.read_until_closed() == b""
            stranger.close()

    def test_renegotiation_is_refused(self, start_server, certificates):
        server = start_server(*certificates.server_options(), tls=certificates.context())
        result = subprocess.run(
            ["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", "-tls1_2", "-no_ign_eof"],
            input=b"R\n", capture_output=True, timeout=20)
        assert b"no renegotiation" in result.stderr
        server.assert_alive()

    def test_old_versions_are_refused_unless_asked_for(self, start_server, certificates):
        server = start_server(*certificates.server_options("ssl_min_version=3"), tls=certificates.context())
        assert not is_served(server.address, certificates.context(version=ssl.TLSVersion.TLSv1_2))
        assert is_served(server.address, certificates.context(version=ssl.TLSVersion.TLSv1_3))

    def test_memory_of_idle_clients(self, start_server, certificates):
        """A measure that is printed, and a bound: what an idle encrypted client costs beside its socket."""
        count = 400
        server = start_server(*certificates.server_options(), threads=4, tls=certificates.context())
        clients = [server.connect() for _ in range(20)]
        before = server.own_bytes()
        clients += [server.connect() for _ in range(count)]
        for client in clients:
            assert client.set(b"k", b"v" * 20_000) == b"STORED"
        cost = (server.own_bytes() - before) / count
        print(f"{cost:.0f} bytes for an idle client")
        assert cost < 48 << 10
        for client in clients:
            client.close()


def client_hello(context):
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        session.do_handshake()
    return outgoing.read()


class TestOptions:
    @pytest.mark.parametrize(
        "options, code, message", [
            (["-p", "0", "-Z"], 64, "ERROR: You cannot enable SSL without a TCP port."),
            (["-Z"], 64,
             "Error loading the certificate chain: \\(null\\) : .*\n-Z needs a certificate: give -o ssl_chain_cert=FILE."),
            (["-Z", "-o", "ssl_chain_cert"], 1, "Missing ssl_chain_cert argument"),
            (["-Z", "-o", "ssl_chain_cert=/nowhere"], 64,
             "Error loading the certificate chain: /nowhere : error:80000002:system library::No such file or directory"),
            (["-o", "ssl_key"], 1, "Missing ssl_key argument"),
            (["-o", "ssl_ca_cert"], 1, "Missing ssl_ca_cert argument"),
            (["-o", "ssl_ciphers"], 1, "Missing ssl_ciphers argument"),
            (["-o", "ssl_verify_mode"], 1, "Missing ssl_verify_mode argument"),
            (["-o", "ssl_verify_mode=x"], 1, "could not parse argument to ssl_verify_mode"),
            (["-o", "ssl_verify_mode=4"], 1, "Invalid ssl_verify_mode. Use help to see valid options."),
            (["-o", "ssl_keyformat"], 1, "Missing ssl_keyformat argument"),
            (["-o", "ssl_keyformat=x"], 1, "could not parse argument to ssl_keyformat"),
            (["-o", "ssl_wbuf_size"], 1, "Missing ssl_wbuf_size argument"),
            (["-o", "ssl_wbuf_size=x"], 1, "could not parse argument to ssl_wbuf_size"),
            (["-o", "ssl_min_version"], 1, "Missing ssl_min_version argument"),
            (["-o", "ssl_min_version=x"], 1, "could not parse argument to ssl_min_version"),
            (["-o", "ssl_min_version=4"], 1, "Invalid ssl_min_version. Use help to see valid options."),
            (["-l", "notls:127.0.0.1"], 71, "'notls' option is valid only when SSL is enabled"),
            (["-l", "mtls:127.0.0.1"], 71, "'mtls' option is valid only when SSL is enabled"),
        ])
    def test_refusals(self, options, code, message):
        result = run(*options)
        assert result.returncode == code
        assert re.fullmatch(message + "\n", result.stderr), result.stderr

    def test_a_key_of_somebody_else(self, certificates):
        result = run("-p", "-1", "-Z", "-o", f"ssl_chain_cert={certificates.path('server.pem')},"
                     f"ssl_key={certificates.path('client.key')}")
        assert result.returncode == 64 and "key values mismatch" in result.stderr

    def test_ciphers_that_there_are_not(self, certificates):
        result = run("-p", "-1", *certificates.server_options("ssl_ciphers=NONSENSE"))
        assert (result.returncode, result.stderr) == (64, "Error setting the provided cipher(s): NONSENSE\n")

    def test_settings(self, start_server, certificates):
        server = start_server(*certificates.server_options(
            "ssl_verify_mode=1", "ssl_session_cache", "ssl_wbuf_size=8", "ssl_min_version=2",
            "ssl_ciphers=ECDHE-ECDSA-AES128-GCM-SHA256"), tls=certificates.context())
        settings = server.stats("settings")
        assert {name: value for name, value in settings.items() if name.startswith("ssl_")} == {
            "ssl_enabled": "yes", "ssl_chain_cert": certificates.path("server.pem"),
            "ssl_key": certificates.path("server.key"), "ssl_verify_mode": "1", "ssl_keyformat": "1",
            "ssl_ciphers": "ECDHE-ECDSA-AES128-GCM-SHA256", "ssl_ca_cert": "NULL", "ssl_wbuf_size": "8192",
            "ssl_session_cache": "yes", "ssl_kernel_tls": "no", "ssl_min_version": "tlsv1.2"}
        assert [name for name in server.stats() if "ssl" in name or "cert" in name] == [
            "ssl_new_sessions", "ssl_handshake_errors", "ssl_proto_errors", "time_since_server_cert_refresh"]

    def test_a_password_and_tls(self, start_server, certificates, tmp_path):
        (tmp_path / "users").write_text("foo:bar\n")
        server = start_server(*certificates.server_options(), "-Y", tmp_path / "users", tls=certificates.context(),
                              login=(b"foo", b"bar"))
        with server.connect() as friend, server.connect(login=None) as stranger:
            assert friend.set(b"k", b"v") == b"STORED"
            assert stranger.ask(b"get k\r\n") == b"CLIENT_ERROR unauthenticated"

    def test_kernel_tls_and_a_daemon_with_relative_paths(self, start_server, certificates):
        server = start_server(
            *certificates.server_options("ssl_kernel_tls"), tls=certificates.context())
        with server.connect() as connection:
            value = random.Random(3).randbytes(500_000)
            assert connection.set(b"k", value) == b"STORED" and connection.get(b"k") == value
