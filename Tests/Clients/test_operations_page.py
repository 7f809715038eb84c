"""The commands of docs/operations.md work as they stand there, and its metrics exist."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from admin import ask
from server import binary, free_port

PAGE = (Path(__file__).resolve().parents[2] / "docs/operations.md").read_text()
COMMANDS = [line for block in re.findall(r"^```sh\n(.*?)^```", PAGE, re.M | re.S) for line in block.splitlines()]
pytestmark = pytest.mark.larder_only


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A directory with the program and a file of settings."""
    directory = tmp_path_factory.mktemp("operations")
    (directory / "bin").mkdir()
    (directory / "bin/larder").symlink_to(binary())
    (directory / "larder.conf").write_text("memory-limit 1024\n")
    return directory


@pytest.fixture
def operated(start_server, place):
    """The page's server: a function that puts its ports and its store into a text."""
    admin = free_port()
    server = start_server("-m", 1024, "-e", place / "store", "--admin", admin)
    with server.connect() as connection:
        assert connection.set(b"key", b"value") == b"STORED"

    def put(text):
        for old, new in {
                "9150": admin, "/etc/larder.conf": place / "larder.conf", "/dev/shm/larder": place / "store",
                "-p 11211": f"-p {server.port}"}.items():
            text = text.replace(old, str(new))
        return text

    put.admin = admin
    return put


@pytest.mark.parametrize("command", COMMANDS)
def test_command(operated, place, command):
    result = subprocess.run(
        ["bash", "-o", "pipefail", "-c", operated(command)], stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=30, env=dict(os.environ, PATH=f"{place / 'bin'}:{os.environ['PATH']}"))
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout or "ping" in command


def test_every_alternative_finds_a_metric(operated):
    """Also in a pattern where another alternative would be enough for grep."""
    metrics = ask(operated.admin, "/metrics")[1]
    patterns = re.findall(r"grep -E '\^(.*?)'", "\n".join(COMMANDS))
    assert len(patterns) > 6
    for pattern in patterns:
        before, _, rest = pattern.partition("(")
        words, _, after = rest.partition(")")
        for word in words.split("|"):
            assert re.search(f"^{before}{word}{after}", metrics, re.M), (pattern, word)
