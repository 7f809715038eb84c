"""The container image: its entry point under a plain sh, and its files against what the repository has.

No container engine is needed; a `larder` that prints its arguments stands in for the server.
"""

import os
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"


@pytest.fixture(scope="module")
def bin_directory(tmp_path_factory):
    directory = tmp_path_factory.mktemp("bin")
    fake = directory / "larder"
    fake.write_text("#!/bin/sh\nprintf '%s\\n' larder \"$@\"\n")
    fake.chmod(0o755)
    return directory


def enter(bin_directory, *arguments, **variables):
    """What the entry point ends up running, as a list of words."""
    environment = dict(os.environ, PATH=f"{bin_directory}:{os.environ['PATH']}", **variables)
    result = subprocess.run(
        ["sh", str(DOCKER / "entrypoint.sh"), *arguments],
        env=environment, capture_output=True, text=True, timeout=10, check=True,
    )
    assert result.stderr == ""
    return result.stdout.splitlines()


ALL = ["-l", "*"]


@pytest.mark.parametrize(
    "arguments, words",
    [
        # The four documented ways to start memcached's image, and ours.
        ([], ["larder", *ALL]),
        (["larder"], ["larder", *ALL]),
        (["memcached", "-m", "64"], ["larder", *ALL, "-m", "64"]),
        (["memcached", "--memory-limit=64"], ["larder", *ALL, "--memory-limit=64"]),
        (["--conn-limit=1024", "--threads=4"], ["larder", *ALL, "--conn-limit=1024", "--threads=4"]),
        (["-h"], ["larder", *ALL, "-h"]),
        (["larder", "-m", "64"], ["larder", *ALL, "-m", "64"]),
        # Subcommands do not listen.
        (["larder", "ping", "-t", "1"], ["larder", "ping", "-t", "1"]),
        # Anything else is run as it stands.
        (["echo", "larder", "-m"], ["larder -m"]),
        # Arguments stay whole.
        (["-o", "a b", "-P", ""], ["larder", *ALL, "-o", "a b", "-P", ""]),
    ],
)
def test_what_is_run(bin_directory, arguments, words):
    assert enter(bin_directory, *arguments) == words


@pytest.mark.parametrize(
    "arguments",
    [
        ["-l", "127.0.0.1"],
        ["-l127.0.0.1"],
        ["-vl", "127.0.0.1"],
        ["-vvAl127.0.0.1"],
        ["--listen", "127.0.0.1"],
        ["--listen=127.0.0.1"],
        ["-m", "64", "-l", "127.0.0.1"],
        ["-m64", "--verbose", "--listen=::1"],
        ["-s", "/tmp/larder.sock"],
        ["-s/tmp/larder.sock"],
        ["--unix-socket", "/tmp/larder.sock"],
        ["--unix-socket=/tmp/larder.sock"],
        ["--unix-s=/tmp/larder.sock"],
        ["-FXWl", "::1"],
    ],
)
def test_no_address_is_added_to_the_users_own(bin_directory, arguments):
    assert enter(bin_directory, *arguments) == ["larder", *arguments]
    assert enter(bin_directory, "memcached", *arguments) == ["larder", *arguments]


@pytest.mark.parametrize(
    "arguments",
    [
        ["-ularder"],
        ["-u", "-l"],
        ["-P", "/tmp/-l"],
        ["-o", "slab_sizes=1-2"],
        ["-Dl"],
        ["--listen-backlog=5"],
        ["--license"],
        ["--lock-memory"],
        ["--unix-mask=700"],
        ["-m"],
        ["--", "-l"],
    ],
)
def test_letters_inside_other_options_are_no_address(bin_directory, arguments):
    assert enter(bin_directory, *arguments) == ["larder", *ALL, *arguments]


@pytest.mark.parametrize("variables, listens", [
    ({"LARDER_LISTEN": "10.0.0.1"}, True),
    ({"LARDER_UNIX_SOCKET": "/tmp/larder.sock"}, True),
    ({"MEMCACHED_LISTEN_ADDRESS": "10.0.0.1"}, True),
    ({"MEMCACHED_LISTEN_ADDRESS_FILE": "/run/address"}, True),
    ({"MEMCACHED_EXTRA_FLAGS": "-v -l 10.0.0.1"}, True),
    ({"MEMCACHED_EXTRA_FLAGS": "-v -t 2"}, False),
    ({"LARDER_LISTEN": "", "LARDER_PORT": "12000", "MEMCACHED_PORT_NUMBER": "12000"}, False),
])
def test_no_address_is_added_to_that_of_a_variable(bin_directory, variables, listens):
    assert enter(bin_directory, "-m", "64", **variables) == ["larder", *([] if listens else ALL), "-m", "64"]


@pytest.mark.parametrize("text, listens", [
    ("-m 64\n-l 127.0.0.1\n", True),
    ("-m 64 -l 127.0.0.1\n", True),
    ("  -v --listen=127.0.0.1\n", True),
    ("-v -s /tmp/larder.sock\n", True),
    ("-m 64 -L -S\n", False),
    ("listen 10.0.0.1\n", True),
    ("\tlisten=10.0.0.1\n", True),
    ("--listen=10.0.0.1\n", True),
    ("unix-socket /tmp/larder.sock\n", True),
    ("# -l 127.0.0.1\n#listen 10.0.0.1\nlisten-backlog 5\n--listen-backlog=5\nlock-memory\n", False),
])
def test_no_address_is_added_to_that_of_the_file(bin_directory, tmp_path, text, listens):
    file = tmp_path / "larder.conf"
    file.write_text(text)
    added = [] if listens else ALL
    for words in [["--config", str(file)], [f"--config={file}"]]:
        assert enter(bin_directory, *words) == ["larder", *added, *words]
    assert enter(bin_directory, "-m", "64", LARDER_CONFIG=str(file)) == ["larder", *added, "-m", "64"]


def test_letters_with_arguments_are_the_servers(bin_directory):
    """The script and the server's own table must agree on which letters take an argument."""
    script = (DOCKER / "entrypoint.sh").read_text()
    in_script = set(re.search(r"^ +\[([a-zA-Z]{10,})\]\)", script, re.MULTILINE)[1]) | set("ls")
    sources = "".join(
        path.read_text() for path in (ROOT / "Sources/LarderServer/CommandLine").glob("*Options.swift"))
    in_table = set(re.findall(r'"(\w)", (?:"[\w-]+"|nil), \.required', sources))
    assert in_script == in_table


def test_dockerfile_names_what_exists():
    text = (DOCKER / "Dockerfile").read_text()
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^RUN make ([a-z-]+)", text, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"no target {target}"
    copied = re.findall(r"^COPY (?!--from)(.+)", text, re.MULTILINE)
    assert copied
    for line in copied:
        for name in line.split()[:-1]:
            assert (ROOT / name).exists(), f"COPY {name}: not in the repository"
    entry = re.search(r'^ENTRYPOINT \["(.+)"\]', text, re.MULTILINE)[1]
    assert f"COPY docker/entrypoint.sh /usr/bin/{entry}\n" in text, "the image has no entry point"


def test_image_has_memcacheds_names_and_a_numeric_user():
    """A pod may start `memcached -m 64` or /entrypoint.sh; Kubernetes tells that a user is not root by its number."""
    text = (DOCKER / "Dockerfile").read_text()
    assert re.search(r"^USER [1-9]\d*:[1-9]\d*$", text, re.MULTILINE)
    links = dict(re.findall(r"ln -s (\S+) (\S+)", text))
    assert links == {"larder-entrypoint": "/usr/bin/memcached", "usr/bin/larder-entrypoint": "/entrypoint.sh"}


def test_compose_names_what_exists():
    text = (DOCKER / "compose.yaml").read_text()
    assert (DOCKER / re.search(r"context: (\S+)", text)[1]).resolve() == ROOT
    assert (ROOT / re.search(r"dockerfile: (\S+)", text)[1]).exists()
