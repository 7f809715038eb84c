"""The process from outside: flags, listeners, limits, signals, logs, exit codes."""

import os
import pathlib
import re
import signal
import socket
import stat
import time

import pytest

from server import Connection, free_port, poll, run

TOO_MANY = b"ERROR Too many open connections\r\n"


def has_ipv6():
    try:
        free_port("::1")
        return True
    except OSError:
        return False


class TestStart:
    @pytest.mark.larder_only
    @pytest.mark.parametrize("unix", [False, True], ids=["tcp", "unix"])
    def test_one_line_says_it_all(self, start_server, unix):
        """Where, how much memory, how many threads, how to stop: once."""
        server = start_server("-m", 96, unix=unix, threads=3)
        place = server.socket_path if unix else str(server.port)
        line, *others = poll(lambda: server.output.splitlines(), "the start line")
        assert all(other.startswith("larder: settings: ") for other in others), others
        assert place in line and re.search(r"\b96 ?M", line) and re.search(r"\b3 (worker )?threads", line), line
        assert re.search(r"Ctrl-C|SIGTERM|SIGINT|kill", line) and "stop" in line, line

    def test_port_file(self, start_server):
        server = start_server()
        assert server.port_file.read_text() == f"TCP INET: {server.port}\n"
        assert [path.name for path in server.directory.glob("ports*")] == ["ports"]

    @pytest.mark.parametrize("separate", [False, pytest.param(True, marks=pytest.mark.larder_only)])
    def test_several_listeners(self, start_server, separate):
        """In one -l or in several; a bare host takes the port of -p."""
        ports = [free_port(), free_port(), free_port()]
        places = [f"127.0.0.1:{ports[0]}", f"127.0.0.1:{ports[1]}", "127.0.0.1"]
        listen = [word for place in places for word in ("-l", place)] if separate else ["-l", ",".join(places)]
        server = start_server(*listen, "-p", ports[2], listen=None)
        assert sorted(port for _, port in server.addresses) == sorted(ports)
        for index, address in enumerate(server.addresses):
            with Connection(address) as connection:
                assert connection.set(b"key", b"%d" % index) == b"STORED"
                assert connection.get(b"key") == b"%d" % index

    def test_ipv6_where_there_is_any(self, start_server):
        listen = "127.0.0.1,[::1]" if has_ipv6() else "127.0.0.1"
        server = start_server("-l", listen, "-p", free_port(), listen=None)
        assert {host for host, _ in server.addresses} == ({"127.0.0.1", "::1"} if has_ipv6() else {"127.0.0.1"})
        for address in server.addresses:
            with Connection(address) as connection:
                assert connection.ask(b"version\r\n").startswith(b"VERSION ")

    @pytest.mark.larder_only
    def test_only_this_machine_unless_told(self, start_server):
        """Without -l the server listens on loopback addresses and no other."""
        server = start_server("-p", free_port(), listen=None)
        ours = set()
        for table in ["tcp", "tcp6"]:
            for line in pathlib.Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
                _, local, _, state, *_ = line.split()
                address, port = local.split(":")
                if state == "0A" and int(port, 16) == server.port:
                    ours.add(address)
        loopback = {"0100007F"} | ({"00000000000000000000000001000000"} if has_ipv6() else set())
        assert ours == loopback

    @pytest.mark.parametrize("mask, mode", [("0700", 0o700), ("770", 0o770), ("0777", 0o777)])
    def test_socket_mode(self, start_server, mask, mode):
        server = start_server(unix=True, mask=mask)
        status = os.stat(server.socket_path)
        assert stat.S_ISSOCK(status.st_mode) and status.st_mode & 0o777 == mode

    def test_stale_socket_file_is_replaced(self, start_server):
        first = start_server(unix=True)
        path = first.socket_path
        first.process.kill()
        first.process.wait()
        assert os.path.exists(path)
        second = start_server(unix=path)
        with second.connect() as connection:
            assert connection.set(b"key", b"1") == b"STORED"
        first.process = None

    def test_other_files_are_not_replaced(self, tmp_path):
        path = tmp_path / "file"
        path.write_text("precious")
        assert run("-s", path).returncode == 71
        assert path.read_text() == "precious"

    def test_daemon_and_pid_file(self, tmp_path):
        pid_file, port = tmp_path / "pid", free_port()
        assert run("-d", "-P", pid_file, "-l", "127.0.0.1", "-p", port).returncode == 0
        pid = int(poll(lambda: pid_file.exists() and pid_file.read_text().strip(), "the pid file"))
        try:
            poll(lambda: can_connect(("127.0.0.1", port)), "the daemon answers")
            assert int(Connection(("127.0.0.1", port)).stats()["pid"]) == pid
            assert os.getsid(pid) == pid or os.getpgid(pid) != os.getpgid(0)
            os.kill(pid, signal.SIGTERM)
            poll(lambda: has_ended(pid), "the daemon stops", seconds=10)
            assert not pid_file.exists()
        finally:
            if not has_ended(pid):
                os.kill(pid, signal.SIGKILL)


def can_connect(address):
    try:
        Connection(address).close()
        return True
    except OSError:
        return False


def has_ended(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


class TestRefusals:
    """Exit codes are memcached's."""

    @pytest.mark.parametrize("arguments, code", [
        ("-~", 1), ("--no-such-flag", 1), ("-t 0", 1), ("-c 0", 1), ("-R 0", 1), ("-f 0.5", 1), ("-o nonsense", 1),
        ("-m 0", 64), ("-I 100", 64), ("-I 100m", 64), ("-B nope", 64), ("-p 99999", 64), ("-u no-such-user", 67),
        ("-l 192.0.2.1 -p -1", 71), ("-s /nonexistent/directory/socket", 71)])
    def test_wrong_values(self, arguments, code):
        done = run(*arguments.split())
        assert done.returncode == code, done
        assert done.stderr.strip() and not done.stdout

    @pytest.mark.larder_only
    @pytest.mark.parametrize("arguments", ["-t 0", "-c 0", "-m 0", "-I 100m", "-u no-such-user", "nonsense"])
    def test_one_sentence(self, arguments):
        done = run(*arguments.split())
        # memcached's sentence about -I and -m names no number, so a second one does.
        count = 2 if "1/2 of memory" in done.stderr else 1
        assert done.returncode != 0 and len(done.stderr.splitlines()) == count, done

    def test_port_in_use(self, start_server):
        server = start_server()
        done = run("-l", "127.0.0.1", "-p", server.port)
        assert done.returncode == 71
        assert "failed to listen on " in done.stderr and "ddress already in use" in done.stderr
        server.assert_alive()

    @pytest.mark.larder_only
    def test_port_in_use_is_one_sentence(self, start_server):
        server = start_server()
        line, = run("-l", "127.0.0.1", "-p", server.port).stderr.splitlines()
        assert line == "failed to listen on one of interface(s) 127.0.0.1: Address already in use"

    @pytest.mark.parametrize("flag", ["-h", "--help", "-V", "--version", "-i"])
    def test_information(self, flag):
        done = run(flag)
        assert done.returncode == 0 and done.stdout and not done.stderr

    @pytest.mark.larder_only
    def test_help_fits_a_terminal_and_names_the_flags(self):
        text = run("-h").stdout
        assert max(map(len, text.splitlines())) <= 100
        for flag in "plsamcCtRIMvdPuF":
            assert re.search(rf"^ +-{flag}\b", text, re.M), flag


class TestConnectionLimit:
    @pytest.mark.larder_only
    @pytest.mark.parametrize("unix", [False, True], ids=["tcp", "unix"])
    @pytest.mark.parametrize("limit", [1, 20, 64])
    def test_exact(self, start_server, limit, unix):
        server = start_server("-c", limit, unix=unix, threads=4)
        clients = poll(lambda: fill(server, limit), f"{limit} clients fit")
        for _ in range(3):
            with server.connect() as refused:
                assert refused.read_until_closed() == TOO_MANY
        stats = clients[0].stats()
        assert stats["max_connections"] == str(limit)
        assert int(stats["curr_connections"]) == limit
        assert int(stats["rejected_connections"]) >= 3
        for _ in range(5):
            clients.pop().close()
            clients.append(poll(lambda: next(iter(fill(server, 1)), None), "a place is free again"))
            if limit == 1:
                break
        for client in clients:
            assert client.ask(b"version\r\n").startswith(b"VERSION ")

    @pytest.mark.larder_only
    def test_without_fast_refusal_they_wait(self, start_server):
        server = start_server("-c", 5, "-o", "no_maxconns_fast")
        clients = poll(lambda: fill(server, 5), "5 clients fit")
        with server.connect() as waiting:
            waiting.send(b"version\r\n")
            poll(lambda: clients[0].stats()["listen_disabled_num"] != "0", "the listener pauses")
            assert waiting.received == b"" and not waiting.is_closed()
            clients.pop().close()
            assert waiting.read_line().startswith(b"VERSION ")

    @pytest.mark.larder_only
    def test_workers_have_equal_shares(self, start_server):
        """40 clients ask in turn; each of 4 workers wakes up for a quarter of the questions."""
        server = start_server(threads=4)
        clients = [server.connect() for _ in range(40)]
        before = wakeups(server)
        for _ in range(25):
            for client in clients:
                client.ask(b"version\r\n")
        counts = sorted((count - before[task] for task, count in wakeups(server).items()), reverse=True)[:4]
        assert counts[3] > 150 and counts[0] < 2 * counts[3], counts
        for client in clients:
            client.close()


def wakeups(server):
    """How often each thread has gone to sleep of its own."""
    counts = {}
    for task in pathlib.Path(f"/proc/{server.process.pid}/task").iterdir():
        counts[task.name] = int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", (task / "status").read_text(), re.M)[1])
    return counts


def fill(server, count):
    """`count` clients that are served, or none: what came before may not have left yet."""
    clients = []
    for _ in range(count):
        client = server.connect()
        clients.append(client)
        try:
            client.send(b"version\r\n")
            served = client.read_line().startswith(b"VERSION ")
        except (EOFError, OSError):
            served = False
        if not served:
            for one in clients:
                one.close()
            return []
    return clients


class TestIdle:
    def test_idle_clients_are_closed_others_are_not(self, start_server):
        server = start_server("-o", "idle_timeout=1")
        with server.connect() as idle, server.connect() as sending, server.connect() as busy:
            idle.ask(b"version\r\n")
            sending.send(b"set key 0 0 10\r\n12345")

            def closed():
                assert busy.ask(b"version\r\n").startswith(b"VERSION ")
                return idle.is_closed()

            poll(closed, "the idle client is closed", seconds=8, interval=0.05)
            assert not sending.is_closed()
            sending.send(b"67890\r\n")
            assert sending.read_line() == b"STORED"
            assert int(busy.stats()["idle_kicks"]) >= 1

    def test_not_before_its_time(self, start_server):
        server = start_server("-o", "idle_timeout=100")
        with server.connect() as idle:
            idle.ask(b"version\r\n")
            started = time.monotonic()
            poll(lambda: time.monotonic() - started > 1.2, "a moment passes")
            assert idle.ask(b"version\r\n").startswith(b"VERSION ")


class TestStop:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["term", "int"])
    @pytest.mark.parametrize("unix", [False, True], ids=["tcp", "unix"])
    def test_clients_are_closed_and_the_code_is_0(self, start_server, number, unix):
        server = start_server(unix=unix, threads=4)
        clients = [server.connect() for _ in range(50)]
        for client in clients:
            client.ask(b"version\r\n")
        clients[0].send(b"set key 0 0 1000\r\nhalf")
        server.process.send_signal(number)
        assert server.wait() == 0
        for client in clients:
            assert client.read_until_closed() == b""
            client.close()

    @pytest.mark.larder_only
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["term", "int"])
    def test_an_answer_under_way_arrives(self, start_server, number):
        """The client reads slowly; the signal comes while most of the answer is still to be sent."""
        server = start_server("-I", "16m", threads=4)
        value = os.urandom(12 << 20)
        with server.connect() as connection:
            assert connection.set(b"big", value) == b"STORED"
        with server.connect(receive_buffer=1 << 16) as connection:
            connection.send(b"get big\r\n")
            assert connection.read_line() == b"VALUE big 0 %d" % len(value)
            server.process.send_signal(number)
            poll(lambda: not can_connect(server.address), "the listener is closed")
            assert connection.read_exactly(len(value)) == value
            assert connection.read_until_closed() == b"\r\nEND\r\n"
        assert server.wait() == 0

    @pytest.mark.larder_only
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["term", "int"])
    def test_received_requests_are_answered(self, start_server, number):
        """Pipelined requests that had arrived when the signal came are answered, in order, to the last."""
        server = start_server(threads=4)
        with server.connect() as connection:
            connection.send(b"".join(b"set key%d 0 0 1\r\nx\r\n" % index for index in range(1000)))
            assert connection.read_line() == b"STORED"
            server.process.send_signal(number)
            assert connection.read_until_closed() == b"STORED\r\n" * 999
        assert server.wait() == 0

    def test_stuck_clients_do_not_hold_it_up(self, start_server):
        """Half-sent values and unread answers: it stops all the same, with exit code 0."""
        server = start_server(threads=4)
        half, unread = server.connect(), server.connect(receive_buffer=4096)
        unread.set(b"big", bytes(1_000_000))
        unread.send(b"get big\r\n" * 500)
        half.send(b"set key 0 0 900000\r\nhalf")
        server.process.send_signal(signal.SIGTERM)
        assert server.wait() == 0
        half.close()
        unread.close()


class TestFlags:
    def test_memory_and_threads(self, start_server):
        settings = start_server("-m", 100, threads=3).stats("settings")
        assert settings["maxbytes"] == str(100 << 20) and settings["num_threads"] == "3"

    @pytest.mark.parametrize("size", [pytest.param(1, marks=pytest.mark.larder_only), 512])
    def test_item_size(self, start_server, size):
        server = start_server("-I", f"{size}k")
        with server.connect() as connection:
            assert connection.set(b"key", bytes(size * 1024 - 100)) == b"STORED"
            assert connection.set(b"key", bytes(size * 1024)) == b"SERVER_ERROR object too large for cache"
            assert connection.get(b"key") is None

    def test_large_items(self, start_server):
        server = start_server("-I", "128m", "-m", 1024)
        value = os.urandom(1 << 20) * 100
        with server.connect(timeout=60) as connection:
            assert connection.set(b"key", value) == b"STORED"
            assert connection.get(b"key") == value
            assert connection.set(b"key", bytes(128 << 20)) == b"SERVER_ERROR object too large for cache"
            assert connection.get(b"key") is None

    def test_no_evictions(self, start_server):
        """-M: an error when full, and nothing that is there goes."""
        server = start_server("-M", "-m", 64)
        with server.connect() as connection:
            stored = []
            for index in range(2000):
                answer = connection.set(b"key%d" % index, b"%05d" % index * 20000)
                if answer != b"STORED":
                    break
                stored.append(index)
            assert answer == b"SERVER_ERROR out of memory storing object"
            assert 400 < len(stored) < 700
            for index in stored:
                assert connection.get(b"key%d" % index) == b"%05d" % index * 20000
            assert connection.stats()["evictions"] == "0"
            assert connection.ask(b"delete key0\r\n") == b"DELETED"

    def test_no_cas(self, start_server):
        with start_server("-C").connect() as connection:
            connection.set(b"key", b"1")
            connection.send(b"gets key\r\n")
            assert connection.read_line() == b"VALUE key 0 1 0"

    def test_no_flush(self, start_server):
        with start_server("-F").connect() as connection:
            connection.set(b"key", b"1")
            assert connection.ask(b"flush_all\r\n") == b"CLIENT_ERROR flush_all not allowed"
            assert connection.get(b"key") == b"1"

    def test_long_options(self, start_server):
        server = start_server(
            "--memory-limit=70", "--conn-limit=200", "--threads=2", "--max-item-size=2m", "--disable-cas",
            "--listen=127.0.0.1", "--port=-1", listen=None)
        settings = server.stats("settings")
        assert [settings[name] for name in ["maxbytes", "maxconns", "num_threads", "item_size_max", "cas_enabled"]] == [
            str(70 << 20), "200", "2", str(2 << 20), "no"]


class TestLog:
    def test_very_verbose(self, start_server):
        server = start_server("-vv")
        with server.connect() as connection:
            connection.set(b"foo", b"secret")
            connection.get(b"foo")
            connection.get(b"absent")
        poll(lambda: "get absent" in server.stderr, "the log")
        descriptor = re.search(r"^<(\d+) get absent$", server.stderr, re.M)[1]
        for line in [f"<{descriptor} set foo 0 0 6", f">{descriptor} STORED", f"<{descriptor} get foo",
                     f">{descriptor} sending key foo", f">{descriptor} END"]:
            assert line in server.stderr.splitlines(), line
        assert "secret" not in server.stderr

    def test_quiet(self, start_server):
        server = start_server()
        with server.connect() as connection:
            connection.get(b"absent")
            connection.ask(b"nonsense\r\n")
        assert "absent" not in server.output and "nonsense" not in server.output

    def test_verbosity_at_run_time(self, start_server):
        server = start_server()
        with server.connect() as connection:
            assert connection.ask(b"verbosity 2\r\n") == b"OK"
            connection.get(b"logged")
            assert connection.ask(b"verbosity 0\r\n") == b"OK"
            connection.get(b"unlogged")
        poll(lambda: "get logged" in server.stderr, "the log")
        assert "unlogged" not in server.stderr

    def test_hostile_keys_cannot_forge_lines(self, start_server):
        """Carriage returns and control characters of a client do not start lines of their own."""
        server = start_server("-vv")
        with server.connect() as connection:
            connection.send(b"get \x1b[2J\x01\n")
            connection.read_line()
            connection.get(b"last")
        poll(lambda: "get last" in server.stderr, "the log")
        server.assert_alive()


@pytest.mark.larder_only
class TestPing:
    @pytest.mark.parametrize("unix", [False, True], ids=["tcp", "unix"])
    def test_a_server_is_there(self, start_server, unix):
        server = start_server(unix=unix)
        place = ["-s", server.socket_path] if unix else ["-l", "127.0.0.1", "-p", server.port]
        done = run("ping", *place)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert run("ping", "-v", *place).stdout.startswith("VERSION ")

    def test_nobody_is_there(self, tmp_path):
        for place in [["-p", free_port()], ["-s", tmp_path / "socket"]]:
            done = run("ping", *place)
            assert done.returncode == 1 and len(done.stderr.splitlines()) == 1

    def test_somebody_who_does_not_answer(self):
        with socket.socket() as mute:
            mute.bind(("127.0.0.1", 0))
            mute.listen()
            started = time.monotonic()
            done = run("ping", "-l", "127.0.0.1", "-p", mute.getsockname()[1], "-t", "0.3")
            assert done.returncode == 1 and done.stderr and time.monotonic() - started < 3
