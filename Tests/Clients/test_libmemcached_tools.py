"""libmemcached's command line tools, as Debian packages them (memccat for memcat, and so on).

memccapable and memcaslap know no Unix sockets.
"""

import re
import subprocess

import pytest

from server import free_port

ASCII_TESTS = [
    "ascii " + name
    for name in (
        "version|verbosity|set|set noreply|get|gets|mget|flush|flush noreply|add|add noreply|replace|replace noreply|"
        "cas|cas noreply|incr|incr noreply|decr|decr noreply|append|append noreply|"
        "prepend|prepend noreply|stat").split("|")]

BINARY_TESTS = [
    "binary " + name
    for name in (
        "noop|quit|quitq|set|setq|flush|flushq|add|addq|replace|replaceq|delete|deleteq|get|getq|getk|getkq|"
        "incr|incrq|decr|decrq|version|append|appendq|prepend|prependq|stat").split("|")]


def tool(name, *arguments, code=0, cwd=None):
    """Runs a tool, checks its exit code, returns what it printed."""
    done = subprocess.run(
        [name, *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, cwd=cwd)
    assert done.returncode == code, f"{name} {arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


@pytest.fixture
def files(tmp_path):
    """Three files to copy into the cache: text, nothing, and 100 KB of every byte."""
    (tmp_path / "first").write_text("the first value\n")
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "large").write_bytes(bytes(range(256)) * 400)
    return tmp_path


class TestCapable:
    @pytest.mark.parametrize("threads", [1, 4])
    def test_ascii_tests_pass(self, start_server, threads):
        """All but two, which want `delete key 5` refused. memcached deletes since 1.6.40, and fails them as well."""
        server = start_server(threads=threads)
        output = tool("memccapable", "-h", "127.0.0.1", "-p", server.port, "-a", code=1)
        output = re.sub(r"ascii delete( noreply)? +(?=ascii)", "", output)
        passed = re.findall(r"^(ascii .*?) +\[pass\]$", output, re.M)
        assert sorted(passed) == sorted([*ASCII_TESTS, "ascii quit"])
        assert "2 of 27 tests failed" in output

    @pytest.mark.parametrize("threads", [1, 4])
    def test_all_binary_tests_pass(self, start_server, threads):
        server = start_server(threads=threads)
        output = tool("memccapable", "-h", "127.0.0.1", "-p", server.port, "-b")
        passed = re.findall(r"^(binary .*?) +\[pass\]$", output, re.M)
        assert sorted(passed) == sorted(BINARY_TESTS)
        assert "All tests passed" in output

    def test_each_ascii_test_passes_alone(self, tcp_server):
        for name in ASCII_TESTS:
            output = tool("memccapable", "-h", "127.0.0.1", "-p", tcp_server.port, "-a", "-T", name)
            assert f"{name} " in output and "[pass]" in output, output


class TestCopyAndShow:
    def test_copied_files_come_back(self, server, files):
        tool("memccp", "-s", server.text_address, "first", "empty", "large", cwd=files)
        assert tool("memccat", "-s", server.text_address, "first") == "the first value\n\n"
        with server.connect() as connection:
            assert connection.get(b"first") == b"the first value\n"
            assert connection.get(b"empty") == b""
            assert connection.get(b"large") == (files / "large").read_bytes()

    def test_cat_to_a_file_is_byte_exact(self, server, files):
        tool("memccp", "-s", server.text_address, "large", cwd=files)
        tool("memccat", "-s", server.text_address, "--file=copy", "large", cwd=files)
        assert (files / "copy").read_bytes() == (files / "large").read_bytes()

    def test_flags_and_expiry(self, server, files):
        tool("memccp", "-s", server.text_address, "--flags=7", "--expire=100", "first", cwd=files)
        assert tool("memccat", "-F", "-s", server.text_address, "first").startswith("7\n")

    def test_add_and_replace(self, server, files):
        assert "NOT STORED" in tool("memccp", "-R", "-s", server.text_address, "first", code=1, cwd=files)
        tool("memccp", "-A", "-s", server.text_address, "first", cwd=files)
        assert "NOT STORED" in tool("memccp", "-A", "-s", server.text_address, "first", code=1, cwd=files)
        tool("memccp", "-R", "-s", server.text_address, "first", cwd=files)

    def test_buffered_and_non_blocking(self, server, files):
        tool("memccp", "-B", "-n", "-s", server.text_address, "first", "large", cwd=files)
        assert "the first value" in tool("memccat", "-B", "-n", "-s", server.text_address, "first")

    def test_a_miss_fails(self, server):
        tool("memccat", "-s", server.text_address, "nobody", code=1)


class TestBinary:
    """The tools that can speak the binary protocol."""

    def test_copy_show_touch_remove(self, server, files):
        arguments = ["-b", "-s", server.text_address]
        tool("memccp", *arguments, "--flags=7", "first", "empty", "large", cwd=files)
        assert tool("memccat", *arguments, "first") == "the first value\n\n"
        assert tool("memccat", "-F", *arguments, "first").startswith("7\n")
        tool("memccat", *arguments, "--file=copy", "large", cwd=files)
        assert (files / "copy").read_bytes() == (files / "large").read_bytes()
        tool("memcexist", *arguments, "first")
        tool("memctouch", *arguments, "--expire=60", "first")
        tool("memctouch", *arguments, "nobody", code=1)
        tool("memcrm", *arguments, "first")
        tool("memcexist", *arguments, "first", code=1)
        tool("memcflush", *arguments)
        tool("memcexist", *arguments, "large", code=1)

    @pytest.mark.parametrize("kind", ["set", "get", "mget"])
    def test_slap(self, server, kind):
        output = tool("memcslap", "-b", "-s", server.text_address, "-t", kind, "-c", 8, "-e", 1000)
        assert re.search(rf"Time to {kind} +8000 keys by +8 threads", output), output

    def test_aslap_verifies_every_value(self, tcp_server):
        output = tool(
            "memcaslap", "-B", "-s", tcp_server.text_address, "-x", 20000, "-T", 2, "-c", 16, "-v", "1.0", "-d", 5)
        results = dict(re.findall(r"^(\w+): (\d+)$", output, re.M))
        assert (results["get_misses"], results["verify_misses"], results["verify_failed"]) == ("0", "0", "0"), output


class TestKeysAndServer:
    def test_exist_touch_remove_flush(self, server, files):
        address = server.text_address
        tool("memccp", "-s", address, "first", "large", cwd=files)
        tool("memcexist", "-s", address, "first")
        tool("memcexist", "-s", address, "nobody", code=1)
        tool("memctouch", "-s", address, "--expire=60", "first")
        tool("memctouch", "-s", address, "nobody", code=1)
        tool("memcrm", "-s", address, "first")
        tool("memcrm", "-s", address, "first", code=1)
        tool("memcexist", "-s", address, "first", code=1)
        tool("memcexist", "-s", address, "large")
        tool("memcflush", "-s", address)
        tool("memcexist", "-s", address, "large", code=1)

    def test_touch_into_the_past_expires(self, server, files):
        tool("memccp", "-s", server.text_address, "first", cwd=files)
        tool("memctouch", "-s", server.text_address, "--expire=2592001", "first")
        tool("memccat", "-s", server.text_address, "first", code=1)

    def test_dump(self, server, files):
        tool("memccp", "-s", server.text_address, "first", "empty", "large", cwd=files)
        assert sorted(tool("memcdump", "-s", server.text_address).split()) == ["empty", "first", "large"]

    def test_ping(self, server):
        tool("memcping", "-s", server.text_address)

    def test_ping_without_a_server_fails(self):
        tool("memcping", "-s", f"127.0.0.1:{free_port()}", code=1)

    def test_stat(self, server):
        output = tool("memcstat", "-s", server.text_address)
        shown = dict(re.findall(r"^\s+(\w+): (.*)$", output, re.M))
        assert int(shown["pid"]) == server.process.pid
        assert {"uptime", "version", "curr_items", "cmd_get", "limit_maxbytes", "threads"} <= shown.keys()

    @pytest.mark.parametrize("argument", ["settings", "items", "slabs", "sizes", "conns"])
    def test_stat_arguments(self, server, files, argument):
        tool("memccp", "-s", server.text_address, "first", cwd=files)
        assert "Server:" in tool("memcstat", "-s", server.text_address, argument)

    def test_stat_version(self, server):
        output = tool("memcstat", "-S", "-s", server.text_address)
        assert re.search(r" \d+\.\d+\.\d+", output), output

    def test_stat_analysis(self, server):
        assert "Servers Analyzed" in tool("memcstat", "-a", "-s", server.text_address)
        assert "Latency" in tool("memcstat", "-a", "latency", "--iterations=100", "-s", server.text_address)


class TestLoad:
    @pytest.mark.parametrize("kind", ["set", "get", "mget"])
    @pytest.mark.parametrize("mode", [[], ["-n"], ["-N"]], ids=["plain", "non-blocking", "nodelay"])
    def test_slap(self, server, kind, mode):
        output = tool("memcslap", "-s", server.text_address, "-t", kind, "-c", 8, "-e", 1000, *mode)
        assert re.search(rf"Time to {kind} +8000 keys by +8 threads", output), output

    def test_slap_without_replies(self, server):
        tool("memcslap", "-R", "-s", server.text_address, "-t", "set", "-c", 4, "-e", 1000)

    def test_aslap_verifies_every_value(self, tcp_server):
        output = tool(
            "memcaslap", "-s", tcp_server.text_address, "-x", 20000, "-T", 2, "-c", 16, "-v", "1.0", "-d", 5)
        results = dict(re.findall(r"^(\w+): (\d+)$", output, re.M))
        assert (results["get_misses"], results["verify_misses"], results["verify_failed"]) == ("0", "0", "0"), output
