"""Fixtures: servers started for one test, and stopped after it with exit code 0."""

import resource
import shutil

import pytest

from certificates import Certificates
from server import Server

# Many tests hold more connections than the usual soft limit allows.
_soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (_hard, _hard))


@pytest.fixture(scope="session", autouse=True)
def no_directory_stays():
    """A test that ends a server by itself leaves its directory."""
    yield
    for directory in Server.directories:
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def start_server():
    """A function that starts a server with the given arguments; see `Server`."""
    servers = []

    def start(*arguments, **options):
        server = Server(*arguments, **options)
        servers.append(server)
        return server.start()

    yield start
    failures = []
    for server in servers:
        try:
            if server.process is not None:
                server.stop()
        except Exception as failure:
            failures.append(failure)
    if failures:
        raise ExceptionGroup("servers did not stop well", failures)


SHAPES = {"tcp-1": (False, 1), "tcp-4": (False, 4), "unix-4": (True, 4)}


@pytest.fixture(params=SHAPES)
def server(request, start_server):
    """A default server: over TCP with one worker and with four, and over a Unix socket."""
    unix, threads = SHAPES[request.param]
    return start_server(unix=unix, threads=threads)


@pytest.fixture
def tcp_server(start_server):
    """A default server over TCP with four workers."""
    return start_server(threads=4)


@pytest.fixture
def certificates(tmp_path):
    """Certificates of this test's own, which it may replace."""
    return Certificates(tmp_path)
