"""A million mixed requests from 50 connections over 4 workers; see `load`.

LARDER_LOAD_REQUESTS is their number, LARDER_LOAD_SEED repeats a run.
"""

import os
import threading
import time

import pytest

import load

REQUESTS = int(os.environ.get("LARDER_LOAD_REQUESTS", 1_000_000))
SEED = int(os.environ.get("LARDER_LOAD_SEED", time.time_ns() % 1_000_000))


def prepare(server):
    with server.connect() as connection:
        for key, value in [(b"shared:counter", b"0"), (b"shared:cas", b"0"), (b"shared:text", b"text")]:
            assert connection.set(key, value) == b"STORED"


@pytest.mark.parametrize("unix", [False, True], ids=["tcp", "unix"])
def test_every_answer_is_right(start_server, unix):
    server = start_server("-m", 1024, unix=unix, threads=4)
    prepare(server)
    requests = REQUESTS if not unix else REQUESTS // 10
    started = time.monotonic()
    total = load.run(server.address, requests, seed=SEED)
    print(f"seed {SEED}: {total['requests']} requests in {time.monotonic() - started:.1f} s")
    assert total["requests"] >= requests
    with server.connect() as connection:
        assert int(connection.get(b"shared:counter")) == total["counter"]
        assert int(connection.get(b"shared:cas")) == total["cas"] > 0
        stats = connection.stats()
    assert stats["evictions"] == "0"
    assert int(stats["curr_connections"]) < 50


def test_a_wrong_answer_is_noticed(start_server):
    """Someone else writes to a key that a connection owns: the run must fail."""
    server = start_server("-m", 1024, threads=4)
    prepare(server)
    stop = threading.Event()

    def interfere():
        with server.connect() as connection:
            while not stop.is_set():
                for index in range(load.KEYS_PER_CONNECTION):
                    connection.set(b"0:%d" % index, b"not yours")

    thread = threading.Thread(target=interfere)
    thread.start()
    try:
        with pytest.raises(load.WrongAnswer, match="0:"):
            load.run(server.address, 200_000, seed=SEED, lossy=True)
    finally:
        stop.set()
        thread.join(30)


@pytest.mark.larder_only
def test_no_wrong_value_while_evicting(start_server, monkeypatch):
    """Three times more data than memory: misses are right, anything else but the newest value is wrong.

    memcached refuses a value now and then (`out of memory storing object`); a value within the limit never is here.
    """
    monkeypatch.setattr(load, "KEYS_PER_CONNECTION", 6000)
    monkeypatch.setitem(load.MIX, "bad", 0)
    server = start_server("-m", 64, threads=4)
    requests = REQUESTS // 2
    with server.connect() as connection:
        filler = bytes(900_000)
        for index in range(80):
            assert connection.set(b"filler%d" % index, filler) == b"STORED"
    total = load.run(server.address, requests, seed=SEED, lossy=True)
    print(f"seed {SEED}: {total['requests']} requests")
    assert int(server.stats()["evictions"]) > 0
    server.assert_alive()
