"""uwsgicachetop and uwsgitop, PyPI's programs for uWSGI's statistics, in a terminal of the test's own."""

import contextlib
import fcntl
import os
import pathlib
import pty
import struct
import subprocess
import sys
import termios
import threading

import pyte
import pytest

from server import Connection, poll
from test_uwsgi_stats import read, server, use  # noqa: F401  (server is a fixture)

ROWS, COLUMNS = 40, 160
# uwsgicachetop calls a function that Python 3.12 has no more. `format_string` takes the same arguments.
RUNNER = """
import locale, runpy, sys
locale.format = locale.format_string
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


class Terminal:
    """A program in a terminal. `words()` are those of each line on its screen."""

    def __init__(self, program, *arguments):
        self.screen = pyte.Screen(COLUMNS, ROWS)
        self.stream = pyte.ByteStream(self.screen)
        self.lock = threading.Lock()
        self.master, inside = pty.openpty()
        fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        path = pathlib.Path(sys.executable).with_name(program)
        self.process = subprocess.Popen(
            [sys.executable, "-c", RUNNER, path, *arguments], stdin=inside, stdout=inside, stderr=inside,
            env=dict(os.environ, TERM="linux", LC_ALL="C"))
        os.close(inside)
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self):
        # The end of the program is an error of the terminal.
        with contextlib.suppress(OSError):
            while data := os.read(self.master, 1 << 16):
                with self.lock:
                    self.stream.feed(data)

    def lines(self):
        with self.lock:
            return [line.rstrip() for line in self.screen.display]

    def words(self):
        return [line.split() for line in self.lines()]

    def waits_for(self, condition, what):
        return poll(lambda: condition(self.words()), lambda: "\n".join([what, *self.lines()]), 20, interval=0.02)

    def quit(self):
        os.write(self.master, b"q")
        code = self.process.wait(20)
        self.reader.join()
        return code

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.reader.join()
        os.close(self.master)


@pytest.fixture
def terminal():
    """A function that starts a program in a terminal."""
    terminals = []

    def start(*arguments):
        terminals.append(Terminal(*arguments))
        return terminals[-1]

    yield start
    for each in terminals:
        each.close()


def test_uwsgicachetop(server, terminal):  # noqa: F811
    top = terminal("uwsgicachetop", "%s:%d" % server.statistics, "1")

    def shows(*rows):
        """A row is name, hits, misses, items, most items, percent of hits, and how often it was full."""
        expected = [list(map(str, row)) for row in rows]
        return top.waits_for(
            lambda words: [[line[at] for at in [0, 1, 2, 5, 6, 7, 8]]
                           for line in words[3:6] if len(line) == 9] == expected, f"{expected}")

    shows(("default", 0, 0, 0, 0, 0, 0), ("big", 0, 0, 0, 100, 0, 0), ('a"b', 0, 0, 0, 2, 0, 0))
    assert top.words()[2] == "NAME HITS MISS HITS/s MISS/s ITEMS MAXITEMS H/M RAT FULL".split()
    count = use(server)
    told = {cache["name"]: cache for cache in read(server.statistics)["caches"]}
    rows = []
    for name in ["default", "big", 'a"b']:
        cache = told[name]
        ratio = "%.2f" % (100 * cache["hits"] / (cache["hits"] + cache["miss"]))
        rows.append((name, *(cache[each] for each in ["hits", "miss", "items", "max_items"]), ratio, cache["full"]))
    assert rows[1] == ("big", 5, 6, 4, 100, "45.45", 0)
    shows(*rows)
    with Connection(server.addresses[1]) as connection:
        assert connection.get(b"1") == b"2"
    shows(rows[0], ("big", 6, 6, 4, 100, "50.00", 0), rows[2])
    first, second = top.lines()[:2]
    assert first.startswith(f"uwsgi-{read(server.statistics)['version']} - ")
    assert f" - req: {count + 1} - " in first and " - lq: 0 - tx: " in first
    assert f"- masterpid: {server.process.pid}" in second and f"- uid: {os.getuid()}" in second
    assert top.quit() == 0


def test_uwsgitop(server, terminal):  # noqa: F811
    count = use(server)
    top = terminal("uwsgitop", "%s:%d" % server.statistics, "--frequency", "1")
    top.waits_for(lambda words: f"req: {count} " in top.lines()[0], f"req: {count}")
    heading, *workers = top.words()[2:5]
    assert heading[:8] == "WID % PID REQ RPS EXC SIG STATUS".split()
    assert sorted(worker[0] for worker in workers) == ["1", "2"]
    assert sum(int(worker[3]) for worker in workers) == count
    for worker in workers:
        assert worker[2] == str(server.process.pid) and worker[5:8] == ["0", "0", "idle"]
    with Connection(server.addresses[1]) as connection:
        assert connection.get(b"1") == b"2"
    top.waits_for(lambda words: f"req: {count + 1} " in top.lines()[0], f"req: {count + 1}")
    assert top.quit() == 0
