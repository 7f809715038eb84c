"""The load generator of Benchmarks, against this server and against memcached: short runs, and what it says of them."""

import json
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import threading
import xml.dom.minidom

import pytest

import server as servers
from server import ROOT, poll

BENCH = ROOT / "Benchmarks" / ".build" / "release" / "larder-bench"
MEMCACHED = shutil.which("memcached")
DIALECTS = ["memcache_text", "memcache_meta", "memcache_binary"]
SHORT = ["-c", "5", "-n", "200", "--key-maximum", "500", "-d", "50"]

pytestmark = pytest.mark.larder_only


def bench(*arguments):
    """Runs the program to its end."""
    if not os.access(BENCH, os.X_OK):
        raise FileNotFoundError(f"{BENCH} is not built: make test-clients builds it")
    return subprocess.run(
        [str(BENCH), *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)


def figures(tmp_path, *arguments):
    """The figures of a run that must end well."""
    path = tmp_path / "figures.json"
    done = bench(*arguments, "--json-out-file", path)
    assert done.returncode == 0, done.stderr
    return json.loads(path.read_text())["ALL STATS"]


@pytest.fixture
def memcached():
    """Where a memcached of the system listens."""
    port = servers.free_port()
    user = ["-u", "root"] if os.geteuid() == 0 else []
    process = subprocess.Popen(
        [MEMCACHED, *user, "-l", "127.0.0.1", "-p", str(port), "-m", "64"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def accepts():
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    try:
        poll(accepts, "memcached accepts", 20)
        yield port
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(params=["larder", "memcached"])
def port(request):
    """A port of this server, and one of memcached's."""
    if request.param == "memcached":
        return request.getfixturevalue("memcached")
    return request.getfixturevalue("start_server")("-m", 64, threads=2).port


@pytest.mark.parametrize("dialect", DIALECTS)
def test_all_protocols(port, dialect, tmp_path):
    place = ["-s", "127.0.0.1", "-p", port, "-P", dialect]
    filled = figures(tmp_path, *place, *SHORT, "--preload")
    assert filled["Totals"]["Count"] == 1000
    assert (filled["Totals"]["Hits"], filled["Totals"]["Misses"], filled["Errors"]) == (filled["Gets"]["Count"], 0, 0)
    batches = figures(tmp_path, *place, *SHORT, "--pipeline", 8, "-t", 2)
    assert batches["Totals"]["Count"] == 2000 and batches["Totals"]["Misses"] == 0
    # Keys up to 999, of which half were stored.
    many = figures(tmp_path, *place, "-c", 1, "-n", 10, "--key-maximum", 999, "--key-pattern", "S:S",
                   "--ratio", "0:100", "--multi-key-get", 100)
    assert (many["Keys"], many["Totals"]["Hits"], many["Totals"]["Misses"]) == (1000, 501, 499)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_what_another_program_stored_is_wrong(start_server, dialect):
    server = start_server()
    with server.connect() as connection:
        assert connection.set(b"memtier-7", b"x" * 50) == b"STORED"
    done = bench("-s", "127.0.0.1", "-p", server.port, "-P", dialect, "-n", 1, "-c", 1, "--ratio", "0:1",
                 "--key-minimum", 7, "--key-maximum", 7)
    assert done.returncode == 1
    assert "wrong value: key memtier-7, 50 bytes" in done.stderr


def test_reconnecting(start_server, tmp_path):
    server = start_server()
    figure = figures(tmp_path, "-s", "127.0.0.1", "-p", server.port, *SHORT, "--reconnect-interval", 1)
    assert figure["Totals"]["Count"] == 1000 and figure["Reconnections"] == 995
    # Five at first, one to see whether the server is there, and what this test itself opened.
    assert int(server.stats()["total_connections"]) >= 1001


def test_open_loop(start_server, tmp_path):
    server = start_server()
    figure = figures(tmp_path, "-s", "127.0.0.1", "-p", server.port, "-c", 5, "-n", 50, "--rate-limiting", 500)
    assert figure["Totals"]["Count"] == 250 and figure["Unanswered"] == 0
    # The 50th request of a connection is due 98 ms after the first.
    assert figure["Runtime"]["Total duration"] >= 98


@pytest.mark.parametrize("dialect", DIALECTS)
def test_tls_and_passwords(start_server, certificates, tmp_path, dialect):
    users = tmp_path / "users"
    users.write_text("me:secret\n")
    login = ["-S"] if dialect == "memcache_binary" else []
    server = start_server(
        *certificates.server_options(), "-Y", users, *login, threads=2, tls=certificates.context(),
        login=None if login else (b"me", b"secret"), binary_only=bool(login))
    place = ["-s", "localhost", "-4", "-p", server.port, "-P", dialect, *SHORT]
    trusting = ["--tls", "--cacert", certificates.path("authority.pem")]
    figure = figures(tmp_path, *place, *trusting, "-a", "me:secret", "--preload", "--pipeline", 4)
    assert figure["Totals"]["Count"] == 1000 and figure["Totals"]["Misses"] == 0
    again = figures(tmp_path, *place, *trusting, "-a", "me:secret", "--reconnect-interval", 50)
    assert again["Totals"]["Count"] == 1000 and again["Reconnections"] == 15
    for arguments, reason in [
            ([*trusting, "-a", "me:wrong"], "the server refused the password: "),
            (["--tls", "-a", "me:secret"], "the server's certificate: "),
            ([*trusting, "--sni", "elsewhere", "-a", "me:secret"], "the server's certificate: "),
    ]:
        done = bench(*place, *arguments)
        assert done.returncode == 1 and reason in done.stderr, done.stderr
    assert bench(*place, "--tls", "--tls-skip-verify", "-a", "me:secret").returncode == 0


def test_large_values_through_tls(start_server, certificates, tmp_path):
    server = start_server(*certificates.server_options(), "-m", 128, threads=2, tls=certificates.context())
    figure = figures(
        tmp_path, "-s", "127.0.0.1", "-p", server.port, "--tls", "--cacert", certificates.path("authority.pem"),
        "--data-size-range", "1-300000", "-n", 40, "-c", 4, "--key-maximum", 20, "--preload", "--pipeline", 4,
        "--ratio", "1:1")
    assert figure["Totals"]["Count"] == 160 and figure["Totals"]["Misses"] == 0


def test_files(start_server, tmp_path):
    server = start_server()
    done = bench(
        "-s", "127.0.0.1", "-p", server.port, *SHORT, "-x", 3, "--hdr-file-prefix", tmp_path / "latency",
        "--json-out-file", tmp_path / "figures.json", "-o", tmp_path / "summary", "--print-percentiles", "50,99.99")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    report = json.loads((tmp_path / "figures.json").read_text())
    assert report["ALL STATS"]["Totals"]["Count"] == 3000
    assert report["RUN #3 RESULTS"]["Totals"]["Count"] == 1000
    assert report["BEST RUN RESULTS"]["Totals"]["Ops/sec"] >= report["WORST RUN RESULTS"]["Totals"]["Ops/sec"]
    assert "p99.99 ms" in (tmp_path / "summary").read_text()
    picture = xml.dom.minidom.parse(str(tmp_path / "latency.svg"))
    assert len(picture.getElementsByTagName("polyline")) == 3
    lines = (tmp_path / "latency_FULL_RUN_2.hgrm").read_text().splitlines()
    assert lines[0].split() == ["Value", "Percentile", "TotalCount", "1/(1-Percentile)"]
    assert [line for line in lines if line.endswith("       1000")][-1].split()[1] == "1.000000000000"
    assert sum(line.startswith("#[") for line in lines) == 3


def test_progress(start_server):
    server = start_server()
    done = bench("-s", "127.0.0.1", "-p", server.port, "--test-time", 3, "-c", 1, "--progress", "--rate-limiting", 10)
    assert done.returncode == 0
    lines = done.stderr.splitlines()
    assert lines and all(re.fullmatch(
        r"run 1   \d+ %   \d s   \d+ requests   \d+/s   \d+\.\d{3} ms", line) for line in lines), done.stderr


def test_a_server_that_goes_ends_the_run_with_a_sentence():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        def serve():
            listener.accept()[0].close()
            connection, _ = listener.accept()
            connection.recv(100)
            connection.close()

        thread = threading.Thread(target=serve)
        thread.start()
        done = bench("-s", "127.0.0.1", "-p", listener.getsockname()[1], "-c", 1)
        thread.join()
    assert done.returncode == 1 and done.stderr == "larder-bench: the server closed a connection\n", done.stderr


@pytest.mark.parametrize("arguments", [["--nonsense"], ["-P", "redis"], ["--ratio", "0:0"], ["-p"], ["--cert", "x"]])
def test_wrong_options(arguments):
    done = bench(*arguments)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("larder-bench: ") and done.stderr.count("\n") == 1


def test_version_and_help():
    assert bench("--version").stdout.startswith("larder-bench ")
    assert "--rate-limiting" in bench("--help").stdout


def two_free_ports():
    """The first of two neighbours that nobody listens on, below those that the system gives to connections."""
    for _ in range(100):
        port = random.randrange(20_000, 32_000)
        with socket.socket() as first, socket.socket() as second:
            try:
                first.bind(("127.0.0.1", port))
                second.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port
    raise AssertionError("no two free ports")


def test_compare(tmp_path):
    names = ["v16k"]
    done = subprocess.run(
        [sys.executable, ROOT / "Benchmarks" / "compare.py", "--workloads", ",".join(names), "--pairs", "1",
         "--seconds", "0.5", "--no-instructions", "--larder", servers.binary(), "--memcached", MEMCACHED,
         "--port", str(two_free_ports()), "--json", tmp_path / "runs.json", "--svg", tmp_path / "picture.svg"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
    if len(os.sched_getaffinity(0)) < 2:
        assert done.returncode == 1 and "needs two cores" in done.stderr
        return
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "runs.json").read_text())
    for name in names:
        summary = report["workloads"][name]["summary"]
        for figure in ("cpu", "rate", "p50", "p99", "p99.9", "rss"):
            values = summary[figure]
            assert values["larder"] > 0 and values["memcached"] > 0, figure
            assert values["ratio"] == pytest.approx(values["larder"] / values["memcached"])
        assert sum(line.startswith(f"| {name} ") for line in done.stdout.splitlines()) == 2
        # Filled: a miss would be cheaper than what is to be measured.
        assert all(run["misses"] == 0 for runs in report["workloads"][name]["runs"].values() for run in runs)
    picture = xml.dom.minidom.parse(str(tmp_path / "picture.svg"))
    assert len(picture.getElementsByTagName("rect")) == 2 + len(names)
