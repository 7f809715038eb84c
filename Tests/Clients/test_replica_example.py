"""docker/compose.replicated.yaml: what it names is there, and its commands run as processes of this machine."""

import http.client
import os
import pathlib
import re
import subprocess
import sys

import pytest
import yaml

from databases import PASSWORD, PostgreSQL, program
from server import ROOT, free_port, poll

pytestmark = pytest.mark.larder_only

FILE = ROOT / "docker" / "compose.replicated.yaml"
COMPOSE = yaml.safe_load(FILE.read_text())
SERVICES = COMPOSE["services"]
BUILDS = {
    service["image"]: service["build"] if isinstance(service["build"], dict) else {"context": service["build"]}
    for service in SERVICES.values() if "build" in service}


def test_what_the_file_names_is_there():
    for name, service in SERVICES.items():
        assert service["image"] in BUILDS or ":" in service["image"], name
        assert set(service["networks"]) <= set(COMPOSE["networks"]), name
        assert set(service.get("secrets", [])) <= set(COMPOSE["secrets"]), name
        assert {volume.split(":")[0] for volume in service.get("volumes", [])} <= set(COMPOSE["volumes"]), name
        assert set(service.get("depends_on", {})) <= set(SERVICES), name
        for dependency, condition in service.get("depends_on", {}).items():
            assert set(service["networks"]) & set(SERVICES[dependency]["networks"]) or \
                condition["condition"] == "service_completed_successfully"
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    # For this machine only, and each once.
    assert all(re.fullmatch(r"127\.0\.0\.1:\d+:8080", port) for port in ports) and len(set(ports)) == len(ports) == 4
    # Nodes share nothing but the database.
    shared = set.intersection(*(set(SERVICES[f"server-{node}"]["networks"]) for node in "ab"))
    assert shared == {"database"}


def test_the_password_is_in_no_command_and_in_no_repository():
    (secret,) = COMPOSE["secrets"].values()
    path = str((FILE.parent / secret["file"]).relative_to(ROOT))
    assert path in (ROOT / ".gitignore").read_text().splitlines()
    assert path in (ROOT / "docker/replicated/Dockerfile.dockerignore").read_text().splitlines()
    urls = re.findall(r"postgresql://\S+", FILE.read_text())
    assert urls and all("passwordfile=/run/secrets/database-password" in url and ":" not in url[13:] for url in urls)


def test_what_the_images_are_made_of_is_there():
    for build in BUILDS.values():
        context = (FILE.parent / build["context"]).resolve()
        dockerfile = context / build.get("dockerfile", "Dockerfile")
        copied = re.findall(r"^COPY (?!--from)(.+)", dockerfile.read_text(), re.MULTILINE)
        assert copied
        for line in copied:
            for name in line.split()[:-1]:
                assert (context / name).exists(), f"{dockerfile}: COPY {name}"
    products = re.search(r"for program in (.*);", (ROOT / "docker/replicated/Dockerfile").read_text())[1].split()
    assert set(products) <= set(re.findall(r'executable\(name: "([\w-]+)"', (ROOT / "Package.swift").read_text()))


class Example:
    """The services as processes. Addresses, ports and paths of containers become ones of this machine."""

    def __init__(self, directory, database):
        self.directory, self.database = directory, database
        (directory / "password").write_text(PASSWORD + "\n")
        self.ports = {name: free_port() for name in SERVICES}
        self.processes = {}

    def words(self, name, texts):
        """The words of a service, as this machine has their files and ports."""
        service = SERVICES[name]
        volume = next((volume.split(":")[0] for volume in service.get("volumes", [])), "none")
        (self.directory / volume).mkdir(exist_ok=True)
        replacements = {
            "@database/": f"@127.0.0.1:{self.database.port}/",
            "/run/secrets/database-password": f"{self.directory}/password",
            "/var/lib/larder": f"{self.directory}/{volume}",
            "0.0.0.0": "127.0.0.1",
            "--listen=*": "--listen=127.0.0.1",
            **{f"{server}:11211": f"127.0.0.1:{port}" for server, port in self.ports.items()}}
        for text in texts:
            for old, new in replacements.items():
                text = text.replace(old, new)
            yield str(self.ports[name]) if text == "8080" else text

    def command(self, name):
        first, *rest = self.words(name, SERVICES[name]["command"])
        if first.endswith(".py"):
            return [sys.executable, ROOT / "docker" / "replicated" / "python" / first, *rest]
        port = ["-p", str(self.ports[name])] if name.startswith("server") else []
        return [program(first), *rest, *port]

    def environment(self, name):
        variables = SERVICES[name].get("environment", {})
        return dict(zip(variables, self.words(name, variables.values()), strict=True), PATH=os.environ["PATH"])

    def run(self, name):
        return subprocess.run(
            self.command(name), env=self.environment(name), stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=60)

    def start(self, name):
        with open(self.directory / f"{name}.log", "wb") as log:
            self.processes[name] = subprocess.Popen(
                self.command(name), env=self.environment(name), stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def log(self, name):
        return pathlib.Path(self.directory / f"{name}.log").read_text()

    def ask(self, name, path, method="GET", body=None):
        """The answer of a service: its status and body."""
        assert self.processes[name].poll() is None, self.log(name)
        connection = http.client.HTTPConnection("127.0.0.1", self.ports[name], timeout=60)
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def is_ready(self, name):
        assert self.processes[name].poll() is None, self.log(name)
        if name.startswith("server"):
            ping = subprocess.run([program("larder"), "ping", "-p", str(self.ports[name])], capture_output=True)
            return ping.returncode == 0
        try:
            return self.ask(name, "/nothing")[0] == 404
        except OSError:
            return False

    def end(self):
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            process.wait(20)


@pytest.fixture
def example(tmp_path):
    with PostgreSQL() as database:
        made = Example(tmp_path, database)
        try:
            yield made
        finally:
            made.end()


def test_two_nodes_share_prices(example):
    made = example.run("tables")
    assert made.returncode == 0, made.stderr
    for kind in "server", "swift", "python":
        for node in "ab":
            example.start(f"{kind}-{node}")
        for node in "ab":
            poll(lambda name=f"{kind}-{node}": example.is_ready(name), f"{kind}-{node} is ready", 30)

    def all_say(answer, path="/apple"):
        for name in "swift-a", "swift-b", "python-a", "python-b":
            poll(lambda name=name: example.ask(name, path) == answer, f"{name} says {answer}", 10)

    assert example.ask("python-a", "/apple", "PUT", "100") == (200, b"100")
    all_say((200, b"100"))
    assert example.ask("python-b", "/apple", "POST", "5") == (200, b"105")
    all_say((200, b"105"))
    assert example.ask("python-b", "/pear", "POST", "5") == (404, b"")
    assert example.ask("python-a", "/pear", "PUT", "7") == (200, b"7")
    assert example.ask("python-b", "/apple", "DELETE")[0] == 200
    all_say((404, b""))
    all_say((200, b"7"), "/pear")
    assert example.ask("swift-b", "/") == (200, b"applied 4\n")

    example.database.kill()
    status, body = example.ask("python-a", "/pear", "PUT", "8")
    assert status == 503 and body.startswith(b"the log "), body
    all_say((200, b"7"), "/pear")
    example.database.start()
    poll(lambda: example.ask("python-a", "/pear", "PUT", "9") == (200, b"9"), "changes are written again", 20)
    all_say((200, b"9"), "/pear")
    for name in example.processes:
        assert PASSWORD not in example.log(name)
