"""Files beside a store's: FILE.new, used when the size changes, and FILE.bad-N, the files that were set aside."""

import fcntl
import os
import signal

import pytest

from server import poll, run
from test_store_file import directory, end, store  # noqa: F401  (directory and store are fixtures)

pytestmark = pytest.mark.larder_only


def write_store(start_server, path, megabytes, value):
    server = start_server("-m", megabytes, "-e", path)
    with server.connect() as connection:
        assert connection.set(b"key", value) == b"STORED"
    return server


class TestNew:
    def test_of_another_server(self, start_server, store):
        """FILE.new is the store of another server, so a server that needs the name does not start."""
        beside = store.with_name("store.new")
        end(write_store(start_server, store, 16, b"first"), signal.SIGTERM)
        other = write_store(start_server, beside, 8, b"other")
        result = run("-p", "-1", "-m", 32, "-e", store)
        assert result.returncode == 1
        assert str(beside) in result.stderr and f"pid {other.process.pid} is using it" in result.stderr
        with other.connect() as connection:
            assert connection.get(b"key") == b"other"
        end(other, signal.SIGTERM)
        # Both files are unchanged.
        for path, megabytes, value in [(beside, 8, b"other"), (store, 16, b"first")]:
            server = start_server("-m", megabytes, "-e", path)
            with server.connect() as connection:
                assert connection.get(b"key") == value
            end(server, signal.SIGTERM)

    @pytest.mark.parametrize("content", [b"", b"a rest of an earlier attempt" * 1000])
    def test_an_unused_file_is_replaced(self, start_server, store, content):
        end(write_store(start_server, store, 16, b"first"), signal.SIGKILL)
        store.with_name("store.new").write_bytes(content)
        server = start_server("-m", 32, "-e", store)
        with server.connect() as connection:
            assert connection.get(b"key") == b"first"
        poll(lambda: [path.name for path in store.parent.iterdir()] == ["store"], "the new file took the place")

    def test_a_link_is_not_followed(self, start_server, store):
        end(write_store(start_server, store, 16, b"first"), signal.SIGTERM)
        precious = store.with_name("precious")
        precious.write_bytes(b"precious")
        store.with_name("store.new").symlink_to(precious)
        result = run("-p", "-1", "-m", 32, "-e", store)
        assert result.returncode == 1 and "store.new" in result.stderr and "link" in result.stderr
        assert precious.read_bytes() == b"precious"


class TestBad:
    def spoil(self, start_server, store, content):
        """Starts a server once on a file that is no store. Returns the line about it."""
        store.write_bytes(content)
        server = start_server("-m", 16, "-e", store)
        server.assert_alive()
        end(server, signal.SIGTERM)
        line, = [line for line in server.stderr.splitlines() if "bad-" in line]
        return line

    def names(self, store):
        return sorted(path.name for path in store.parent.iterdir())

    def test_there_are_three_at_most(self, start_server, store):
        for number in range(8):
            line = self.spoil(start_server, store, b"%d" % number * 1000)
            slot = number % 3 + 1
            assert store.with_name(f"store.bad-{slot}").read_bytes() == b"%d" % number * 1000
            assert f"{store}.bad-{slot}" in line and ("was deleted" in line) == (number > 2)
        assert self.names(store) == ["store", "store.bad-1", "store.bad-2", "store.bad-3"]

    def test_files_that_are_not_replaced(self, start_server, store):
        """Directories, links and a file that a server has locked are not replaced."""
        store.with_name("store.bad-1").mkdir()
        store.with_name("store.bad-2").symlink_to(store.with_name("precious"))
        store.with_name("precious").write_bytes(b"precious")
        third = store.with_name("store.bad-3")
        third.write_bytes(b"third")
        with open(third, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            store.write_bytes(b"no store" * 100)
            result = run("-p", "-1", "-m", 16, "-e", store)
            assert result.returncode == 1 and "could not be renamed" in result.stderr and "move it away" in result.stderr
            assert third.read_bytes() == b"third" and store.read_bytes() == b"no store" * 100
        assert "store.bad-3" in self.spoil(start_server, store, b"no store" * 100)
        assert third.read_bytes() == b"no store" * 100
        assert store.with_name("precious").read_bytes() == b"precious"
        assert os.path.islink(store.with_name("store.bad-2")) and store.with_name("store.bad-1").is_dir()
