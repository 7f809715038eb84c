"""Larder's Swift client and the Python clients find each other's values on many servers."""

import os
import pathlib
import subprocess

import pylibmc
import pytest
from pymemcache.client.hash import HashClient

from server import ROOT

KEYS = [f"user:{number}" for number in range(200)] + ["Zürich", "日本語", "a" * 250]


def probe_path():
    """`LARDER_CLIENT_PROBE` names the program; without it, the debug build of this repository."""
    path = pathlib.Path(os.environ.get("LARDER_CLIENT_PROBE", ROOT / ".build" / "debug" / "client-probe"))
    if not os.access(path, os.X_OK):
        raise FileNotFoundError(f"no client at {path}: build it (swift build --product client-probe)")
    return str(path)


def ask_swift(distribution, servers, lines):
    """The answers of the Swift client to lines of input."""
    finished = subprocess.run(
        [probe_path(), distribution, *servers], input="".join(f"{line}\n" for line in lines), capture_output=True,
        encoding="utf-8", timeout=60)
    assert finished.returncode == 0, finished.stderr
    answers = finished.stdout.splitlines()
    assert len(answers) == len(lines)
    return answers


# How the Swift client calls it, what pylibmc is told, and the weights.
DISTRIBUTIONS = {
    "ketama": ("ketama", {"ketama": True}, None),
    "ketama-md5": ("ketama-md5", {"ketama": True, "hash": "md5"}, None),
    "ketama_weighted": ("ketama-weighted", {"ketama_weighted": True}, None),
    "ketama, weights": ("ketama", {"ketama": True}, [1, 4, 2, 1]),
    "ketama_weighted, weights": ("ketama-weighted", {"ketama_weighted": True}, [3, 1, 7, 2]),
}
# pylibmc has no words for the weight of a Unix socket.
CASES = [
    (unix, name) for name, (_, _, weights) in DISTRIBUTIONS.items() for unix in (False, True) if not (unix and weights)]


@pytest.mark.parametrize("binary", [True, False], ids=["binary", "text"])
@pytest.mark.parametrize("unix,name", CASES, ids=[f"{name}-{'unix' if unix else 'tcp'}" for unix, name in CASES])
def test_pylibmc_and_the_swift_client_find_each_others_values(start_server, unix, name, binary):
    distribution, behaviors, weights = DISTRIBUTIONS[name]
    servers = [start_server(unix=unix, threads=1) for _ in range(4)]
    names = [server.text_address for server in servers]
    swift_names = python_names = names
    if weights:
        swift_names = [f"{name}={weight}" for name, weight in zip(names, weights)]
        python_names = [f"{name}:{weight}" for name, weight in zip(names, weights)]
    # As wheezy.caching makes it, when binary.
    client = pylibmc.Client(python_names, binary=binary, behaviors={"tcp_nodelay": True, **behaviors})

    for key in KEYS:
        assert client.set(key.encode(), f"python {key}")
    found = ask_swift(distribution, swift_names, [f"get {key}" for key in KEYS])
    assert found == [f"value python {key}" for key in KEYS]

    written = ask_swift(distribution, swift_names, [f"set {key} swift {key}" for key in KEYS])
    assert written == ["stored"] * len(KEYS)
    for key in KEYS:
        assert client.get(key.encode()) == f"swift {key}".encode()

    # On the same servers, and not twice: the keys were spread, and nobody has another's.
    places = ask_swift(distribution, swift_names, [f"where {key}" for key in KEYS])
    counts = [int(server.stats()["curr_items"]) for server in servers]
    assert counts == [places.count(f"server {index}") for index in range(len(servers))]
    assert min(counts) > 0


def test_pymemcache_and_the_swift_client_find_each_others_values(start_server):
    servers = [start_server(threads=1) for _ in range(4)]
    names = [server.text_address for server in servers]
    client = HashClient([server.address for server in servers])
    keys = [key for key in KEYS if key.isascii()]
    for key in keys:
        assert client.set(key, f"python {key}")
    assert ask_swift("rendezvous", names, [f"get {key}" for key in keys]) == [f"value python {key}" for key in keys]
    assert ask_swift("rendezvous", names, [f"set {key} swift" for key in keys]) == ["stored"] * len(keys)
    for key in keys:
        assert client.get(key) == b"swift"
    client.close()
