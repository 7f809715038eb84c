"""`larder inspect`: what people and programs see of a store's file."""

import json
import os
import threading

import pytest

from server import run

pytestmark = pytest.mark.larder_only


@pytest.fixture
def store(tmp_path):
    return tmp_path / "store"


def fill(server):
    with server.connect() as connection:
        for number in range(2000):
            exptime = (0, 100, 4000)[number % 3]
            value = b"x" * (300_000 if number == 0 else number % 300)
            assert connection.set(b"key-%d" % number, value, exptime=exptime) == b"STORED"
        for number in range(0, 2000, 10):
            assert connection.ask(b"delete key-%d\r\n" % number) == b"DELETED"


def test_a_running_server_then_a_closed_file_then_a_damaged_one(store, start_server):
    server = start_server("-m", 16, "-e", store, threads=2)
    fill(server)
    alive = run("inspect", store)
    assert alive.returncode == 0, alive.stdout + alive.stderr
    assert f"process {server.process.pid} has it open" in alive.stdout
    assert alive.stdout.endswith("ok\n")

    server.process.terminate()
    assert server.process.wait(10) == 0
    closed = run("inspect", store)
    assert closed.returncode == 0, closed.stdout + closed.stderr
    for text in ("closed in order", "1800, and 0 expired", "map: a slab a character", "never", " min  ", "ok\n"):
        assert text in closed.stdout, closed.stdout
    told = json.loads(run("inspect", "--json", store).stdout)
    assert told["state"] == "closed" and told["problems"] == []
    assert told["items"]["live"] == told["index"]["used_slots"] == 1800
    assert sum(told["slabs"].values()) * told["slab_bytes"] == told["arena_bytes"]

    # Someone writes into the middle of it.
    with open(store, "r+b") as file:
        content = file.read()
        file.seek(content.index(b"key-1999") + 20)
        file.write(b"Y")
    damaged = run("inspect", store)
    assert damaged.returncode == 1
    assert "wrong: " in damaged.stdout and "\nok\n" not in damaged.stdout
    assert json.loads(run("inspect", "--json", store).stdout)["problem_count"] > 0


def test_what_is_no_store(store):
    assert run("inspect", store).returncode == 1
    store.write_bytes(os.urandom(100_000))
    answer = run("inspect", store)
    assert answer.returncode == 1 and answer.stdout == "" and "not a Larder store" in answer.stderr
    assert run("inspect").returncode != 0
    assert "usage: larder inspect" in run("inspect", "-h").stdout


def test_a_file_that_is_being_made(store, start_server):
    """Inspects a file while servers start on it and end. No inspection may report damage."""
    stopped = threading.Event()
    answers = []

    def look():
        while not stopped.is_set():
            answers.append(run("inspect", store))

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for number in range(12):
            server = start_server("-m", 64, "-e", store)
            with server.connect() as connection:
                assert connection.set(b"key-%d" % number, b"x" * 3000) == b"STORED"
            server.stop()
            # Every second server creates the file. The others start on the file of the server before.
            if number % 2:
                store.unlink()
    finally:
        stopped.set()
        for thread in threads:
            thread.join()
    for answer in answers:
        assert answer.returncode in (0, 2) or "No such file" in answer.stderr, answer.stdout + answer.stderr
        assert answer.returncode != 2 or "is making this file" in answer.stderr
    assert any(answer.returncode == 0 for answer in answers)
