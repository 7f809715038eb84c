"""The Django example, over Django's two memcached backends and in Swift: the same lines from all of them."""

import os
import pathlib
import re
import subprocess
import sys

import pytest

from server import ROOT, free_port

BACKENDS = ["PyMemcacheCache", "PyLibMCCache"]

# What a run prints, empty lines apart, for each of the three ways to a row.
BLOCK = """\
Testing {title} using {cache} ...
Creating {created} with id=1
  CACHE INVALIDATE key={key}
First get of {read_first} with id=1
  CACHE MISS key={key}
  CACHE POPULATE key={key}
Got {kind} id=1 mame={first}
Second get of {noun} with id=1
  CACHE HIT key={key}
Got {kind} id=1 mame={first}
Updating {noun} with id=1
  CACHE INVALIDATE key={key}
First get of updated {noun} with id=1
  CACHE MISS key={key}
  CACHE POPULATE key={key}
Got {kind} id=1 mame={second}
Second get of updated {noun} with id=1
  CACHE HIT key={key}
Got {kind} id=1 mame={second}
Removing {noun} with id=1
  CACHE INVALIDATE key={key}
Get removed {noun} with id=1
  CACHE MISS key={key}
Got None"""
BLOCKS = [
    dict(title="Django Model object specific simple caching version", created="user", read_first="user", noun="user",
         key="1", kind="User", first="John", second="Jane"),
    dict(title="generic caching version for all Django Model objects", created="a user", read_first="user",
         noun="user", key="User.1", kind="User", first="Alice", second="Bob"),
    dict(title="new CacheableModel class version of Django Model objects", created="a team", read_first="team ",
         noun="team", key="Team.1", kind="Team", first="Dev", second="Ops"),
]


def lines_with(cache):
    """The 72 lines, of a cache of that name."""
    lines = [line for block in BLOCKS for line in BLOCK.format(cache=cache, **block).splitlines()]
    assert len(lines) == 72
    return lines


def full(text):
    """The lines of a text that are not empty."""
    return [line for line in text.splitlines() if line]


class Site:
    """The Django site, in a process of its own, so that it can live on while the server does not."""

    def __init__(self, backend, place):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "qsets"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8",
            cwd=pathlib.Path(__file__).parent,
            env=dict(os.environ, QSETS_LOCATION=place,
                     QSETS_BACKEND=f"django.core.cache.backends.memcached.{backend}"))

    def visit(self):
        """What one request makes the site log."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        lines = []
        while (line := self.process.stdout.readline()) != "done\n":
            assert line, f"the site has ended: {lines}"
            lines.append(line)
        return full("".join(lines))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.stdout.close()
        try:
            self.process.wait(20)
        finally:
            self.process.kill()


def demo_path():
    """`LARDER_QSETS_DEMO` names the program; without it, the debug build of this repository."""
    path = pathlib.Path(os.environ.get("LARDER_QSETS_DEMO", ROOT / ".build" / "debug" / "qsets-demo"))
    if not os.access(path, os.X_OK):
        raise FileNotFoundError(f"no demo at {path}: build it (make qsets-demo) or set LARDER_QSETS_DEMO")
    return str(path)


def run_demo(*arguments):
    """The Swift demo's exit code, its lines that are not empty, and what it says about itself."""
    finished = subprocess.run([demo_path(), *arguments], capture_output=True, encoding="utf-8", timeout=60)
    return finished.returncode, full(finished.stdout), finished.stderr


def without_cache_name(lines):
    return [re.sub(r" using \w+ \.\.\.$", " using a cache ...", line) for line in lines]


@pytest.mark.parametrize("backend", BACKENDS)
def test_django_and_swift_print_the_same(start_server, backend):
    port = free_port()
    server = start_server(threads=4, port=port)
    expected = lines_with(backend)
    with Site(backend, server.text_address) as site:
        for _ in range(2):
            assert site.visit() == expected
        code, lines, complaint = run_demo(server.text_address)
        assert (code, complaint) == (0, "")
        assert without_cache_name(lines) == without_cache_name(expected)
        gets = int(server.stats()["get_hits"])
        assert gets >= 2 * 6, "nobody asked the server"

        server.stop()
        server = start_server(threads=4, port=port)
        # pymemcache opens its connections anew for each request. pylibmc keeps its own, and its first command
        # on one that the server has closed fails, with memcached as well.
        if backend == "PyMemcacheCache":
            assert site.visit() == expected
    with Site(backend, server.text_address) as site:
        for _ in range(2):
            assert site.visit() == expected
    assert run_demo(server.text_address) == (code, lines, complaint)


def test_the_demo_over_a_unix_socket(start_server):
    server = start_server(unix=True)
    for _ in range(2):
        assert run_demo(server.text_address) == (0, lines_with("RemoteCache"), "")
    assert int(server.stats()["get_hits"]) > 0


def test_the_demo_in_memory(tmp_path):
    expected = (0, lines_with("MemoryCache"), "")
    assert run_demo("--memory") == expected
    # The file is there the second time, and the table in it.
    for _ in range(2):
        assert run_demo("--memory", "--database", str(tmp_path / "rows.sqlite")) == expected
    assert run_demo("--memory", "--ttl", "3600") == expected


def test_the_demo_without_time_to_live(start_server):
    """What ends at once is never found."""
    for place in ("--memory", start_server().text_address):
        code, lines, _ = run_demo(place, "--ttl", "0")
        assert code == 0
        assert not any("HIT" in line for line in lines)
        assert lines.count("  CACHE POPULATE key=Team.1") == 4
        assert lines.count("Got Team id=1 mame=Ops") == 2


def test_the_demo_with_the_server_down(tmp_path):
    for place in (f"127.0.0.1:{free_port()}", str(tmp_path / "nobody")):
        code, lines, complaint = run_demo(place)
        assert code == 0
        assert complaint.startswith(f"qsets-demo: the cache at {place} cannot be asked")
        assert complaint.count("\n") == 1
        # The rows are all there, and every read of one is a miss that is explained.
        expected = [line for line in lines_with("RemoteCache") if "POPULATE" not in line]
        expected = [line.replace("CACHE HIT", "CACHE MISS") for line in expected]
        assert [line for line in lines if "UNAVAILABLE" not in line] == expected
        assert sum("UNAVAILABLE" in line for line in lines) == 15


@pytest.mark.parametrize("arguments", [["--no-such"], ["--ttl"], ["--ttl", "-1"], ["nowhere"]])
def test_the_demo_refuses(arguments):
    code, lines, complaint = run_demo(*arguments)
    assert (code, lines) == (2, [])
    assert "usage: qsets-demo" in complaint


def test_the_demo_with_no_database(tmp_path):
    code, lines, complaint = run_demo("--memory", "--database", str(tmp_path))
    assert (code, lines) == (1, [])
    assert complaint.startswith("qsets-demo: ")
