"""What Larder's Swift client stores the Python clients read as the same values, and the other way round."""

import json

import bmemcached
import memcache
import pylibmc
import pytest
from pymemcache.client.base import Client as PyMemcache
from pymemcache.serde import compressed_serde

from test_swift_client import ask_swift

TEXT = "Zürich, 日本語"
# Long enough to be deflated.
LONG = "all the same " * 100


def pylibmc_text(server):
    return pylibmc.Client([server.text_address])


def pylibmc_binary(server):
    return pylibmc.Client([server.text_address], binary=True)


def python_memcached(server):
    return memcache.Client([server.text_address], socket_timeout=10)


def pymemcache(server):
    return PyMemcache(server.address, serde=compressed_serde)


# How each is told to deflate what is long.
CLIENTS = {
    pylibmc_text: {"min_compress_len": 200},
    pylibmc_binary: {"min_compress_len": 200},
    python_memcached: {"min_compress_len": 200},
    pymemcache: {},
}


@pytest.fixture(params=CLIENTS, ids=lambda make: make.__name__)
def client(request, tcp_server):
    made = request.param(tcp_server)
    made.options = CLIENTS[request.param]
    return made


@pytest.fixture(params=[[], ["--binary"]], ids=["meta", "binary"])
def swift(request, tcp_server):
    """Asks the Swift client, in either dialect."""
    return lambda lines: ask_swift("ketama", [*request.param, tcp_server.text_address], lines)


def test_python_reads_what_swift_wrote(client, swift):
    lines = [f"put-text text {TEXT}", f"put-text long {LONG.strip()}", "put-int int -5", "put-int large 9223372036854775807",
             "put-bool true true", "put-bytes bytes 0,10,13,255", "put-row row Ann"]
    assert swift(lines) == ["stored"] * len(lines)
    assert client.get("text") == TEXT
    assert client.get("long") == LONG.strip()
    assert client.get("int") == -5
    assert client.get("large") == 2**63 - 1
    assert client.get("true") == 1
    assert client.get("bytes") == bytes([0, 10, 13, 255])
    assert json.loads(client.get("row")) == {"id": 7, "name": "Ann"}


def test_swift_reads_what_python_wrote(client, swift):
    for key, value in {"text": TEXT, "long": LONG, "int": -5, "large": 2**63 - 1, "true": True,
                       "bytes": bytes([0, 10, 13, 255]), "row": '{"id": 8, "name": "Bob"}', "list": [1, 2]}.items():
        assert client.set(key, value, **client.options)
    lines = ["take-text text", "take-text long", "take-int int", "take-int large", "take-bool true", "take-bytes bytes",
             "take-row row", "take-text list"]
    answers = swift(lines)
    # A bool is an int to pylibmc; python-memcached and pymemcache pickle it, which is Python's own.
    assert answers[4] in ("true", "refused")
    assert answers[:4] + answers[5:] == [TEXT, LONG, "-5", "9223372036854775807", "0,10,13,255", "8 Bob", "refused"]


def test_both_count_one_number(client, swift):
    swift(["put-int count 41"])
    assert client.incr("count", 1) == 42
    assert swift(["take-int count"]) == ["42"]
    client.decr("count", 35)
    assert swift(["take-int count"]) == ["7"]


def test_behind_sasl_each_reads_what_the_other_wrote(start_server, tmp_path):
    (tmp_path / "users").write_text("web:correct horse\n")
    server = start_server("-S", "-Y", tmp_path / "users", threads=4, binary_only=True)
    client = bmemcached.Client((server.text_address,), "web", "correct horse")
    servers = ["--sasl=web:correct horse", server.text_address]
    assert ask_swift("ketama", servers, [f"put-text text {TEXT}", "put-int int -5"]) == ["stored"] * 2
    # What is text to the others is bytes to bmemcached.
    assert client.get("text") == TEXT.encode()
    assert client.set("other", 17)
    assert ask_swift("ketama", servers, ["take-int other"]) == ["17"]
    client.disconnect_all()
