"""The commands of docs/operations.md do as the page says, in its order, with one server."""

import os
import pathlib
import re
import subprocess

import pytest

from admin import Admin
from server import ROOT, binary

pytestmark = pytest.mark.larder_only

PAGE = (ROOT / "docs" / "operations.md").read_text()
BLOCKS = re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
# The first block of the page defines the function that the others call.
DEFINITION = BLOCKS[0].split("ask version")[0]


def commands():
    for block in BLOCKS:
        for line in block.splitlines():
            if not line.startswith(("#", "ask()")):
                yield line


@pytest.fixture(scope="module")
def shell(tmp_path_factory):
    directory = tmp_path_factory.mktemp("bin")
    (directory / "larder").symlink_to(pathlib.Path(binary()).resolve())
    return {**os.environ, "PATH": f"{directory}:{os.environ['PATH']}"}


def test_there_is_something_to_run():
    assert len(list(commands())) > 15


@pytest.mark.parametrize("line", list(commands()))
def test_a_command(start_server, tmp_path, shell, line):
    admin = Admin(start_server, "-e", tmp_path / "store")
    with admin.server.connect() as connection:
        # The state that the earlier commands of the page leave.
        connection.send(b"set k 0 0 1\r\nv\r\nstats detail on\r\nget user:1\r\n")
        assert connection.read_exactly(17) == b"STORED\r\nOK\r\nEND\r\n"
        expected = re.fullmatch(r".*\s# => (.*)", line)
        assert expected, "the page does not say what this prints"
        script = line.replace("11211", str(admin.server.port)).replace("9150", str(admin.port))
        definition = DEFINITION.replace("11211", str(admin.server.port))
        result = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", definition + script], capture_output=True, text=True, timeout=60,
            env={**shell, "PID": str(admin.server.process.pid)})
    assert (result.returncode, result.stderr) == (0, "")
    assert re.search(expected[1], result.stdout), result.stdout
