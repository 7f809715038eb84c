"""The container image under podman and runc, and the Debian package under systemd as process 1 of a container.

The images are built here. mmdebstrap makes the system that they stand on, with a systemd in it. The built program takes
the place of the stage that compiles it, since no Swift image can be pulled. Containers have no network: clients run
inside.
"""

import json
import os
import pathlib
import re
import shutil
import subprocess

import pytest

from server import binary, cannot_test, poll

pytestmark = pytest.mark.larder_only
ROOT = pathlib.Path(__file__).resolve().parents[2]
BASE = "docker.io/library/debian:bookworm-slim"
PODMAN = ["podman", "--runtime", "runc", "--cgroup-manager", "cgroupfs"]
# Limits that a container may have without being allowed to raise those of its starter.
LIMITS = ["--ulimit", "nofile=20000:20000", "--ulimit", "nproc=4096:4096"]


class Engine:
    """buildah and podman, with images and containers of their own."""

    def __init__(self, directory):
        self.directory = directory
        settings = directory / "storage.conf"
        settings.write_text(
            f'[storage]\ndriver = "overlay"\ngraphroot = "{directory}/images"\nrunroot = "{directory}/run"\n')
        self.environment = {**os.environ, "CONTAINERS_STORAGE_CONF": str(settings), "STORAGE_DRIVER": "overlay"}
        self.containers = []

    def run(self, *words, seconds=300, code=0):
        """The output of a command; it must end with `code`."""
        done = subprocess.run(
            [str(word) for word in words], env=self.environment, capture_output=True, text=True, timeout=seconds)
        assert done.returncode == code, (words, done.returncode, done.stdout[-2000:], done.stderr[-4000:])
        return done.stdout

    def podman(self, *words, **how):
        return self.run(*PODMAN, *words, **how)

    def build(self, context, name):
        self.run("buildah", "bud", "--quiet", "--format", "docker", "--isolation", "chroot", "--pull-never", "-t", name,
                 context)

    def start(self, *options, image="larder", command=()):
        """A container that runs, by its id."""
        container = self.podman("run", "--detach", "--network", "none", *LIMITS, *options, image, *command).strip()
        self.containers.append(container)
        return Container(self, container)

    def end(self):
        """Removes every container of this engine. None of another can be in its storage."""
        if self.containers:
            self.podman("rm", "--force", "--time", "0", *self.containers)
        # The storage mounts its directory of layers on itself.
        layers = self.directory / "images" / "overlay"
        if os.path.ismount(layers):
            self.run("umount", layers)
        shutil.rmtree(self.directory)


class Container:
    def __init__(self, engine, number):
        self.engine, self.number = engine, number

    def log(self):
        done = subprocess.run([*PODMAN, "logs", self.number], env=self.engine.environment, capture_output=True, text=True)
        return done.stdout + done.stderr

    def inside(self, *words, **how):
        return self.engine.podman("exec", self.number, *words, **how)

    def serves(self):
        """The log line that says where it serves, once it is there."""
        return poll(lambda: re.search(r"^larder .* serves .*$", self.log(), re.MULTILINE), self.log, 30)[0]

    def health(self):
        """The exit code of the image's health check: 0 is healthy."""
        return subprocess.run(
            [*PODMAN, "healthcheck", "run", self.number], env=self.engine.environment, capture_output=True,
            timeout=60).returncode

    def end(self):
        """The exit code and the output of a container that ends by itself. `podman run` would wait 20 s for them here."""
        code = int(self.engine.podman("wait", self.number))
        return code, self.log()

    def stop(self):
        """Stops it as `docker stop` does, and gives the exit code."""
        self.engine.podman("stop", "--time", "20", self.number)
        return int(self.engine.podman("inspect", "--format", "{{.State.ExitCode}}", self.number))


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    for tool in ["podman", "buildah", "runc", "mmdebstrap"]:
        if not shutil.which(tool):
            cannot_test(f"{tool} is not installed")
    if os.geteuid() != 0:
        cannot_test("only root makes these containers")
    engine = Engine(tmp_path_factory.mktemp("engine"))
    try:
        system = engine.directory / "system.tar"
        engine.run(
            "mmdebstrap", "--quiet", "--variant=minbase", "--include=libevent-2.1-7,libssl3,systemd", "bookworm", system,
            seconds=900)
        engine.podman("import", "--quiet", system, BASE)
        system.unlink()
        yield engine
    finally:
        engine.end()


@pytest.fixture(scope="module")
def image(engine):
    """The image of docker/Dockerfile, without the stage that compiles."""
    context = engine.directory / "larder"
    context.mkdir()
    engine.run("make", "-s", "-C", ROOT, "install-built", f"BUILT={binary()}", f"DESTDIR={context}/out", "PREFIX=/usr")
    text = (ROOT / "docker" / "Dockerfile").read_text()
    stage = text[text.index("FROM debian:"):]
    assert stage.count("COPY --from=build /out/ /") == 1
    (context / "Dockerfile").write_text(stage.replace("COPY --from=build /out/ /", "COPY out/ /"))
    engine.build(context, "larder")
    return engine


@pytest.fixture(scope="module")
def bare(engine):
    """An image with the program and its libraries, and nothing else: no shell, no other file."""
    context = engine.directory / "bare"
    tree = context / "out"
    listed = engine.run("ldd", binary())
    libraries = re.findall(r"(/\S+) \(0x", listed)
    assert any("libevent" in path for path in libraries) and any("ld-linux" in path for path in libraries), listed
    for path in libraries:
        target = tree / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    (tree / "usr/bin").mkdir(parents=True, exist_ok=True)
    shutil.copy(binary(), tree / "usr/bin/larder")
    (context / "Dockerfile").write_text(
        "FROM scratch\nCOPY out/ /\nENV PATH=/usr/bin LARDER_CONTAINER=1\nUSER 11211:11211\n"
        'HEALTHCHECK CMD ["larder", "ping", "--health"]\nENTRYPOINT ["larder"]\n')
    engine.build(context, "bare")
    return engine


class TestImage:
    @pytest.mark.parametrize(("options", "command", "memory"), [
        ((), (), 64), ((), ("-m", "32"), 32), ((), ("larder", "-m", "32"), 32), ((), ("memcached", "-m", "32"), 32),
        (("--entrypoint", "memcached"), ("-m", "32"), 32), (("--entrypoint", "/entrypoint.sh"), ("-m", "32"), 32),
        (("--entrypoint", "/entrypoint.sh"), ("memcached", "-m", "32"), 32),
        (("--entrypoint", "larder-entrypoint"), (), 64),
        (("--env", "LARDER_MEMORY_LIMIT=32"), (), 32), (("--env", "MEMCACHED_CACHE_SIZE=32"), (), 32),
        (("--user", "1000:1000"), (), 64), (("--read-only", "--read-only-tmpfs=false"), (), 64),
    ])
    def test_it_serves(self, image, options, command, memory):
        container = image.start(*options, command=command)
        assert " serves tcp:0.0.0.0:11211" in container.serves()
        container.inside("larder", "set", "key", "value")
        assert container.inside("larder", "get", "key") == "value"
        assert f"limit_maxbytes {memory << 20}\n" in container.inside("larder", "stats")
        assert container.health() == 0
        assert container.stop() == 0

    @pytest.mark.parametrize(("options", "command"), [
        ((), ("-p", "12000")), ((), ("-s", "/tmp/larder.sock")), ((), ("-l", "127.0.0.1", "-p", "12000", "-c", "1")),
        (("--env", "LARDER_PORT=12000"), ()), (("--env", "LARDER_ADMIN=9200"), ("-p", "12000")),
        (("--env", "MEMCACHED_PASSWORD=secret"), ()),
    ])
    def test_its_health(self, image, options, command):
        container = image.start(*options, command=command)
        container.serves()
        assert container.health() == 0

    def test_a_hung_server_is_not_healthy(self, image):
        container = image.start("--health-timeout", "10s")
        container.serves()
        image.podman("pause", container.number)
        assert container.health() != 0
        image.podman("unpause", container.number)
        assert container.health() == 0

    def test_another_program_and_commands(self, image):
        def run(*words):
            return image.start(command=words).end()

        assert run("sh", "-c", "id -u; echo words") == (0, "11211\nwords\n")
        for words in [("version",), ("memcached", "-V")]:
            code, said = run(*words)
            assert code == 0 and said.startswith("memcached 1.6.45")
        code, said = run("no-such-program")
        assert code == 127 and said.startswith("larder: cannot run no-such-program: ")

    def test_what_it_says_of_itself(self, image):
        (about,) = json.loads(image.podman("image", "inspect", "larder"))
        assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", about["Config"]["User"])
        labels = about["Config"]["Labels"]
        version = re.search(r"Larder ([\d.]+)", image.start(command=["version"]).end()[1])
        assert labels["org.opencontainers.image.version"] == version[1]
        assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
        assert {f"org.opencontainers.image.{name}" for name in ("title", "description", "vendor")} <= labels.keys()

    def test_a_file_survives_the_container(self, image, tmp_path):
        tmp_path.chmod(0o777)
        options = ["--volume", f"{tmp_path}:/items"]
        first = image.start(*options, command=("-e", "/items/store"))
        first.serves()
        first.inside("larder", "set", "key", "value")
        image.podman("kill", "--signal", "KILL", first.number)
        second = image.start(*options, command=("-e", "/items/store"))
        second.serves()
        assert second.inside("larder", "get", "key") == "value"


class TestWithoutAShell:
    def test_it_serves(self, bare):
        container = bare.start(image="bare", command=("memcached", "-m", "32", "-p", "12000"))
        assert " serves tcp:0.0.0.0:12000" in container.serves()
        container.inside("larder", "set", "-p", "12000", "key", "value")
        assert container.inside("larder", "get", "-p", "12000", "key") == "value"
        assert container.health() == 0
        container.inside("sh", code=127)
        assert container.stop() == 0


@pytest.fixture(scope="module")
def machine(engine):
    """A container with systemd as process 1, in which the Debian package is installed."""
    directory = engine.directory / "deb"
    directory.mkdir()
    engine.run("make", "-s", "-C", ROOT, "deb-built", f"BUILT={binary()}", f"DEB_DIRECTORY={directory}")
    (package,) = directory.iterdir()
    machine = engine.start(
        "--privileged", "--systemd=always", "--entrypoint", "/lib/systemd/systemd", "--volume", f"{directory}:/deb",
        image=BASE)
    poll(lambda: "running" in subprocess.run(
        [*PODMAN, "exec", machine.number, "systemctl", "is-system-running"], env=engine.environment,
        capture_output=True, text=True).stdout, machine.log, 60, interval=0.2)
    machine.inside("dpkg", "-i", f"/deb/{package.name}")
    return machine


class TestSystemd:
    @pytest.fixture(autouse=True)
    def settings(self, machine):
        """Each test writes settings of its own."""
        machine.inside("sh", "-c", "cp /etc/default/larder /etc/default/larder.before")
        yield
        machine.inside("systemctl", "stop", "larder.socket", "larder.service")
        machine.inside("sh", "-c", "mv /etc/default/larder.before /etc/default/larder")
        machine.inside("sh", "-c", "rm -rf /etc/systemd/system/larder.service.d /var/lib/larder/*")
        machine.inside("systemctl", "daemon-reload")

    @staticmethod
    def shown(machine, name):
        return machine.inside("systemctl", "show", "--property", name, "--value", "larder").strip()

    def drop_in(self, machine, text):
        machine.inside("mkdir", "-p", "/etc/systemd/system/larder.service.d")
        machine.inside("sh", "-c", f"printf '%s' '{text}' > /etc/systemd/system/larder.service.d/test.conf")
        machine.inside("systemctl", "daemon-reload")

    def test_start_returns_when_it_serves(self, machine):
        machine.inside("systemctl", "start", "larder")
        machine.inside("larder", "set", "key", "value")
        assert machine.inside("larder", "get", "key") == "value"
        assert self.shown(machine, "ActiveState") == "active"
        assert self.shown(machine, "StatusText").startswith("Serves tcp:127.0.0.1:11211")
        machine.inside("systemctl", "stop", "larder")
        assert self.shown(machine, "Result") == "success"

    def test_start_returns_when_the_file_has_been_read(self, machine):
        machine.inside("sh", "-c", "echo LARDER_MEMORY_FILE=/var/lib/larder/store >> /etc/default/larder")
        machine.inside("systemctl", "start", "larder")
        machine.inside("sh", "-c", r"""
            awk 'BEGIN { for (n = 0; n < 200000; n++) printf "set key-%d 0 0 5 noreply\r\nvalue\r\n", n; printf "mn\r\n" }' \
                > /tmp/commands""")
        self.send(machine, "/tmp/commands")
        machine.inside("systemctl", "kill", "--signal", "KILL", "larder")
        poll(lambda: self.shown(machine, "ActiveState") == "active", "it runs again", 30)
        machine.inside("systemctl", "restart", "larder")
        shown = machine.inside("larder", "stats")
        assert "store_ready 1\n" in shown and "curr_items 200000\n" in shown, shown

    @staticmethod
    def send(machine, path):
        """Sends a file to the port, and reads until its last answer. The system has perl, and no nc."""
        machine.inside("perl", "-MIO::Socket::INET", "-e", r"""
            my $socket = IO::Socket::INET->new(PeerAddr => "127.0.0.1:11211") or die "no connection: $!";
            open my $file, "<", $ARGV[0] or die $!;
            local $/ = \65536;
            print $socket $_ while <$file>;
            $socket->flush;
            { local $/ = "\n"; my $line = <$socket>; die "answer: $line" unless $line eq "MN\r\n"; }""", path)

    def test_reload_is_sighup(self, machine):
        machine.inside("systemctl", "start", "larder")
        before = self.shown(machine, "MainPID")
        machine.inside("sh", "-c", "echo LARDER_VERBOSE=1 >> /etc/default/larder")
        machine.inside("systemctl", "reload", "larder")
        assert self.shown(machine, "MainPID") == before and self.shown(machine, "ActiveState") == "active"
        poll(lambda: "SIGHUP" in machine.inside("journalctl", "-u", "larder", "--no-pager"), "it read its files", 20)

    def test_the_socket_starts_the_service(self, machine):
        machine.inside("systemctl", "start", "larder.socket")
        assert self.shown(machine, "ActiveState") == "inactive"
        machine.inside("larder", "set", "key", "value")
        assert self.shown(machine, "ActiveState") == "active"
        assert machine.inside("larder", "get", "key") == "value"
        # Clients wait while the service is restarted; none is refused.
        machine.inside("systemctl", "stop", "larder.service")
        machine.inside("larder", "ping")

    def test_memory_that_is_kept(self, machine):
        """Items are there again after a restart and after a kill; `stop` gives the memory back."""
        machine.inside("sh", "-c", "echo LARDER_KEEP_MEMORY=1 >> /etc/default/larder")
        # The package has started it, without the setting.
        machine.inside("systemctl", "restart", "larder")
        machine.inside("larder", "set", "key", "value")
        assert self.shown(machine, "NFileDescriptorStore") == "1"
        for command in [("systemctl", "restart", "larder"), ("systemctl", "kill", "--signal=KILL", "larder")]:
            before = self.shown(machine, "MainPID")
            machine.inside(*command)
            poll(lambda: self.shown(machine, "MainPID") not in (before, "0")
                 and self.shown(machine, "ActiveState") == "active", machine.log, 30)
            assert machine.inside("larder", "get", "key") == "value"
            assert self.shown(machine, "NFileDescriptorStore") == "1"
        machine.inside("systemctl", "stop", "larder")
        assert self.shown(machine, "NFileDescriptorStore") == "0"
        machine.inside("systemctl", "start", "larder")
        machine.inside("larder", "get", "key", code=2)

    def test_a_server_that_hangs_is_restarted(self, machine):
        self.drop_in(machine, "[Service]\nWatchdogSec=2\n")
        machine.inside("systemctl", "start", "larder")
        before = self.shown(machine, "MainPID")
        machine.inside("sh", "-c", f"kill -STOP {before}")
        poll(lambda: self.shown(machine, "NRestarts") == "1" and self.shown(machine, "ActiveState") == "active",
             lambda: machine.inside("journalctl", "-u", "larder", "--no-pager"), 60, interval=0.2)
        assert self.shown(machine, "MainPID") != before
        machine.inside("larder", "ping")

    def test_its_exposure(self, machine):
        shown = machine.inside("systemd-analyze", "security", "--no-pager", "larder.service")
        assert float(re.search(r"exposure level for larder\.service: ([\d.]+)", shown)[1]) <= 2.0
