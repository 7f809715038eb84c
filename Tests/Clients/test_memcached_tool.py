"""memcached's own memcached-tool, as Debian ships it, in the modes that only ask."""

import pathlib
import re
import shutil
import subprocess

import pytest

TOOL = pathlib.Path("/usr/share/memcached/scripts/memcached-tool")


@pytest.fixture
def filled(start_server):
    """A server with 300 items of three sizes."""
    server = start_server("-o", "track_sizes")
    with server.connect() as connection:
        for index in range(100):
            connection.set(b"small%d" % index, b"v")
            connection.set(b"large%d" % index, bytes(5000), exptime=1000)
            connection.set(b"number%d" % index, b"%d" % index, flags=index)
    return server


def tool(server, *arguments):
    assert shutil.which("perl") and TOOL.exists(), "the tests need Debian's memcached package and perl"
    result = subprocess.run(
        ["perl", str(TOOL), server.text_address, *arguments], capture_output=True, timeout=30)
    assert result.returncode == 0, result.stderr
    # Line ends stay as they are: in a dump they are part of the protocol.
    return result.stdout.decode("latin-1")


def test_display(filled):
    header, line = tool(filled, "display").splitlines()
    assert header.split() == ["#", "Item_Size", "Max_age", "Pages", "Count", "Full?", "Evicted", "Evict_Time", "OOM"]
    number, size, age, pages, count, full, evicted, evict_time, oom = line.split()
    assert (number, count, full, evicted, evict_time, oom) == ("1", "300", "no", "0", "0", "0")
    assert re.fullmatch(r"1\.[67]K", size), "a third of the items are 5000 bytes, the others a few"
    assert int(age.rstrip("s")) < 60 and int(pages) > 0


def test_display_of_a_full_server(start_server):
    server = start_server("-m", 16)
    with server.connect() as connection:
        for index in range(3000):
            connection.set(b"key%d" % index, bytes(10_000))
    fields = tool(server, "display").splitlines()[1].split()
    assert int(fields[6]) > 1000, "evictions"


def test_stats_and_settings(filled):
    stats = dict(line.split() for line in tool(filled, "stats").splitlines()[1:])
    assert stats["curr_items"] == "300" and stats["cmd_set"] == "300"
    settings = dict(line.split(maxsplit=1) for line in tool(filled, "settings").splitlines()[1:])
    assert settings["maxbytes"] == str(64 << 20) and settings["track_sizes"] == "yes"


def test_sizes(filled):
    sizes = {int(size): int(count) for size, count in map(str.split, tool(filled, "sizes").splitlines()[1:])}
    assert sum(sizes.values()) == 300
    assert sum(count for size, count in sizes.items() if size > 5000) == 100


def test_keys(filled):
    keys = re.findall(r"^key=(\S+) exp=(-?\d+) la=\d+ ", tool(filled, "keys"), re.M)
    assert len(keys) == len(dict(keys)) == 300
    assert dict(keys)["small7"] == "-1" and int(dict(keys)["large7"]) > 1_700_000_000
def test_dump_can_be_read_in_again(filled, start_server):
    commands = tool(filled, "dump")
    assert commands.count("add ") == 300
    assert re.search(r"^add number42 42 0 2\r\n42\r\n", commands, re.M)
    other = start_server()
    with other.connect() as connection:
        connection.send(commands.encode("latin-1"))
        assert {connection.read_line() for _ in range(300)} == {b"STORED"}
        assert connection.get(b"large99") == bytes(5000)
