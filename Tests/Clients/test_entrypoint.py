"""The program as a container image starts it: LARDER_CONTAINER is set. And the image's files."""

import os
import pathlib
import re
import socket
import subprocess

import pytest

from server import binary, cannot_test, free_port, poll

pytestmark = pytest.mark.larder_only
ROOT = pathlib.Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"


def enter(*arguments, **variables):
    """Runs the program as the image's entry point."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("LARDER_", "MEMCACHED_"))}
    return subprocess.run(
        [binary(), *arguments], env={**environment, "LARDER_CONTAINER": "1", **variables}, capture_output=True,
        text=True, timeout=20)


def effective(*arguments, **variables):
    """The settings that the server would have: each with its value and its source."""
    done = enter(*arguments, "--check-config", **variables)
    assert done.returncode == 0, done
    lines = re.findall(r"^(# )?(\S+) ?(.*?) +# (.+)$", done.stdout, re.MULTILINE)
    return {name: (value, source) for off, name, value, source in lines if not off}


ALL = ("*", "LARDER_CONTAINER")


@pytest.mark.parametrize("arguments", [
    # The documented ways to start memcached's image, and ours.
    [], ["larder"], ["memcached"], ["-m", "64"], ["larder", "-m", "64"], ["memcached", "-m", "64"],
    ["memcached", "--memory-limit=64"], ["--conn-limit=1024", "--threads=4"],
    # Letters within other options are no address.
    ["-ularder"], ["-u", "-l"], ["-P", "/tmp/-l"], ["--listen-backlog=5"], ["--unix-mask=700"],
])
def test_it_listens_on_all_addresses(arguments):
    settings = effective(*arguments)
    assert settings["listen"] == ALL
    assert settings["admin"] == ("127.0.0.1:9150", "LARDER_CONTAINER")
    if "64" in arguments or "--memory-limit=64" in arguments:
        assert settings["memory-limit"] == ("64", "command line") or settings["memory-limit"][0] == "64"


@pytest.mark.parametrize("arguments", [
    ["-l", "127.0.0.1"], ["-l127.0.0.1"], ["-vl", "127.0.0.1"], ["-vvAl127.0.0.1"], ["--listen", "127.0.0.1"],
    ["--listen=127.0.0.1"], ["-m", "64", "-l", "127.0.0.1"], ["-m64", "--verbose", "--listen=127.0.0.1"],
    ["-s", "/tmp/larder.sock"], ["-s/tmp/larder.sock"], ["--unix-socket", "/tmp/larder.sock"],
    ["--unix-socket=/tmp/larder.sock"], ["--unix-s=/tmp/larder.sock"],
])
@pytest.mark.parametrize("name", [[], ["memcached"]])
def test_no_address_is_added_to_the_users_own(name, arguments):
    settings = effective(*name, *arguments)
    own = "unix-socket" if any("sock" in word for word in arguments) else "listen"
    assert settings[own][1] == "command line"
    assert settings.get("listen") != ALL


@pytest.mark.parametrize("variables, listens", [
    ({"LARDER_LISTEN": "10.0.0.1"}, True),
    ({"LARDER_UNIX_SOCKET": "/tmp/larder.sock"}, True),
    ({"MEMCACHED_LISTEN_ADDRESS": "10.0.0.1"}, True),
    ({"MEMCACHED_EXTRA_FLAGS": "-v -l 10.0.0.1"}, True),
    ({"MEMCACHED_EXTRA_FLAGS": "-v -t 2"}, False),
    ({"LARDER_LISTEN": "", "LARDER_PORT": "12000", "MEMCACHED_PORT_NUMBER": "12000"}, False),
])
def test_no_address_is_added_to_that_of_a_variable(variables, listens):
    assert (effective("-m", "64", **variables).get("listen") == ALL) is not listens


@pytest.mark.parametrize("text, listens", [
    ("-m 64\n-l 127.0.0.1\n", True),
    ("listen 10.0.0.1\n", True),
    ("unix-socket /tmp/larder.sock\n", True),
    ("# -l 127.0.0.1\n#listen 10.0.0.1\nlisten-backlog 5\n", False),
])
def test_no_address_is_added_to_that_of_the_file(tmp_path, text, listens):
    file = tmp_path / "larder.conf"
    file.write_text(text)
    for words, variables in [(["--config", file], {}), ([], {"LARDER_CONFIG": str(file)})]:
        assert (effective(*words, **variables).get("listen") == ALL) is not listens


def test_an_admin_address_of_ones_own():
    assert effective("--admin", "*:9200")["admin"] == ("*:9200", "command line")
    assert effective(LARDER_ADMIN="9200")["admin"] == ("9200", "LARDER_ADMIN")


def test_outside_a_container_there_are_no_such_defaults():
    settings = effective(LARDER_CONTAINER="")
    assert "listen" not in settings and "admin" not in settings


class TestOtherWords:
    def test_another_program_is_run(self):
        done = enter("echo", "larder", "-m")
        assert (done.returncode, done.stdout) == (0, "larder -m\n")
        assert enter("sh", "-c", "exit 7").returncode == 7

    def test_a_program_that_is_not_there(self, tmp_path):
        done = enter("no-such-program", "-m")
        assert (done.returncode, done.stderr) == (
            127, "larder: cannot run no-such-program: No such file or directory\n")
        file = tmp_path / "file"
        file.write_text("")
        assert enter(str(file)).returncode == 126

    def test_subcommands_are_larders(self):
        assert enter("version").stdout.startswith("memcached 1.6.45")
        assert enter("larder", "version").stdout == enter("version").stdout

    def test_a_word_behind_the_name_is_a_mistake(self):
        done = enter("larder", "sh")
        assert done.returncode == 64 and '"sh"' in done.stderr

    def test_outside_a_container_no_program_is_run(self):
        done = enter("echo", "words", LARDER_CONTAINER="")
        assert done.returncode == 64 and done.stdout == ""


class TestHealth:
    @pytest.fixture
    def places(self):
        """The ports of a server and of its admin listener, until the test's end."""
        port, admin = free_port(), free_port()
        environment = {**os.environ, "LARDER_CONTAINER": "1", "LARDER_ADMIN": str(admin)}
        process = subprocess.Popen(
            [binary(), "-u", "root", "-l", "127.0.0.1", "-p", str(port)], env=environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            poll(lambda: self.is_open(admin), "the admin listener is there", 20)
            yield port, admin
        finally:
            process.terminate()
            process.wait(20)

    @staticmethod
    def is_open(port):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    def test_it_asks_the_admin_listener_of_the_environment(self, places):
        """As the health check of the image does, with any port of the cache."""
        _, admin = places
        done = enter("ping", "--health", "-v", LARDER_ADMIN=str(admin))
        assert (done.returncode, done.stdout, done.stderr) == (0, "HTTP/1.1 200 OK\n", "") or (
            done.returncode == 0 and done.stdout.startswith("HTTP/1."))
        assert enter("ping", "--health", LARDER_ADMIN=f"*:{admin}").returncode == 0
        assert enter("ping", "--health", "-p", str(admin), LARDER_CONTAINER="").returncode == 0

    def test_no_health(self, places):
        port, admin = places
        # A cache's port answers no HTTP.
        done = enter("ping", "--health", "-p", str(port), "-t", "2")
        assert done.returncode == 1 and done.stderr.startswith("larder ping: "), done
        done = enter("ping", "--health", "-p", str(free_port()))
        assert done.returncode == 1 and "cannot connect" in done.stderr
        done = enter("ping", "--health", LARDER_CONTAINER="")
        assert done.returncode == 64 and "describes no admin listener" in done.stderr
        assert enter("ping", "--health", "-s", "/tmp/larder.sock").returncode == 64

    def test_answers_that_are_none(self):
        """Of a listener that is no admin listener."""
        for answer in [b"", b"HTTP/1.1 503 Not ready\r\n\r\n", b"x" * 4096, b"HTTP/1.1\r\n", b"VERSION 1\r\n"]:
            with socket.create_server(("127.0.0.1", 0)) as listener:
                process = subprocess.Popen(
                    [binary(), "ping", "--health", "-p", str(listener.getsockname()[1]), "-t", "5"],
                    stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
                connection, _ = listener.accept()
                connection.recv(4096)
                connection.sendall(answer)
                connection.close()
                _, reason = process.communicate(timeout=20)
            assert process.returncode == 1 and reason.startswith("larder ping: "), (answer, reason)

    def test_a_second_server_on_the_hosts_network(self):
        """The default port of the admin listener is taken: the server starts without it."""
        with socket.socket() as holder:
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                holder.bind(("127.0.0.1", 9150))
            except OSError:
                cannot_test("another program has port 9150")
            holder.listen()
            port = free_port()
            process = subprocess.Popen(
                [binary(), "-u", "root", "-l", "127.0.0.1", "-p", str(port)],
                env={**os.environ, "LARDER_CONTAINER": "1"}, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE, text=True)
            try:
                poll(lambda: self.is_open(port), "it serves", 20)
            finally:
                process.terminate()
                log = process.communicate(timeout=20)[1]
        assert "larder: no metrics and no health at 127.0.0.1:9150: " in log, log


def dockerfile():
    return (DOCKER / "Dockerfile").read_text()


def test_dockerfile_names_what_exists():
    text = dockerfile()
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^RUN make ([a-z-]+)", text, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"no target {target}"
    copied = re.findall(r"^COPY (?!--from)(.+)", text, re.MULTILINE)
    assert copied
    for line in copied:
        for name in line.split()[:-1]:
            assert (ROOT / name).exists(), f"COPY {name}: not in the repository"


def test_image_has_memcacheds_names_and_a_numeric_user():
    """A pod may start `memcached -m 64` or /entrypoint.sh; Kubernetes tells that a user is not root by its number."""
    text = dockerfile()
    assert re.search(r"^USER [1-9]\d*:[1-9]\d*$", text, re.MULTILINE)
    links = {path: target for target, path in re.findall(r"ln -s (\S+) (\S+)", text)}
    assert links == {
        "/usr/bin/memcached": "larder", "/usr/bin/larder-entrypoint": "larder", "/entrypoint.sh": "usr/bin/larder"}
    assert re.search(r'^ENTRYPOINT \["larder"\]$', text, re.MULTILINE)
    assert re.search(r"^ENV LARDER_CONTAINER=1$", text, re.MULTILINE)


def test_the_label_has_the_version():
    version = re.search(r"Larder ([\d.]+)", enter("version").stdout)[1]
    assert f'org.opencontainers.image.version="{version}"' in dockerfile()


def test_compose_names_what_exists():
    text = (DOCKER / "compose.yaml").read_text()
    assert (DOCKER / re.search(r"context: (\S+)", text)[1]).resolve() == ROOT
    assert (ROOT / re.search(r"dockerfile: (\S+)", text)[1]).exists()
