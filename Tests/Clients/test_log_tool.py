"""`larder log`: runs the program larder-log, beside the server or in PATH."""

import shutil
import subprocess

import pytest

from server import binary

pytestmark = pytest.mark.larder_only


@pytest.fixture
def larder(tmp_path):
    """The server's program in a directory of its own, with another one as PATH."""
    directory = tmp_path / "bin"
    directory.mkdir()
    (tmp_path / "path").mkdir()
    shutil.copy(binary(), directory / "larder")

    def run(*arguments):
        return subprocess.run(
            [directory / "larder", *arguments], env={"PATH": str(tmp_path / "path")}, capture_output=True, text=True,
            timeout=10)

    return run


def place(directory, name):
    program = directory / "larder-log"
    program.write_text(f'#!/bin/sh\nprintf "%s|" {name} "$@"\nexit 3\n')
    program.chmod(0o755)


def test_a_missing_program_is_named(larder):
    result = larder("log", "status", "/nowhere")
    assert (result.returncode, result.stdout) == (1, "")
    assert "cannot run the program larder-log: it is neither beside larder nor in PATH" in result.stderr
    assert "--product larder-log" in result.stderr


def test_the_program_gets_all_words(larder, tmp_path):
    words = ["tail", "--after", "1", "a b", ""]
    place(tmp_path / "path", "path")
    result = larder("log", *words)
    assert (result.returncode, result.stdout, result.stderr) == (3, "path|tail|--after|1|a b||", "")
    place(tmp_path / "bin", "beside")
    assert larder("log", *words).stdout == "beside|tail|--after|1|a b||"


def test_the_help_needs_no_program(larder):
    result = larder("log", "-h")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("usage: larder log COMMAND")
