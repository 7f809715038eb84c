"""deploy/kubernetes: the manifests agree with their schemas, each other, the image, and a real server."""

import json
import os
import re
import shutil
import subprocess

import kubernetes_validate
import pytest

from admin import Admin, ask
from kustomize import build, copies, load_all
from server import ROOT, binary, poll

pytestmark = pytest.mark.larder_only

TOP = ROOT / "deploy" / "kubernetes"
FILES = sorted(TOP.rglob("*.yaml"))
OF_THE_OPERATOR = {"ServiceMonitor", "PrometheusRule"}
STOP_SECONDS = 5
MEBIBYTE = 1 << 20


class Manifests:
    """What a cluster gets from one directory, and the parts that tests ask for."""

    def __init__(self, directory):
        self.documents = build(TOP / directory)
        (self.set,) = self.of("StatefulSet")
        self.pod = self.set["spec"]["template"]["spec"]
        (self.container,) = self.pod["containers"]
        self.ports = {port["name"]: port["containerPort"] for port in self.container["ports"]}
        (self.configuration,) = self.of("ConfigMap")
        (self.file_text,) = self.configuration["data"].values()

    def of(self, kind):
        return [each for each in self.documents if each["kind"] == kind]

    def probes(self):
        return {name: self.container[name]["httpGet"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}

    def settings(self, tmp_path):
        """What the server prints about the container's options and the file, started as the image starts it."""
        arguments = self.arguments(tmp_path, self.file_text)
        environment = {
            "PATH": os.environ["PATH"], "LARDER_CONTAINER": "1",
            **{each["name"]: each["value"] for each in self.container.get("env", [])}}
        result = subprocess.run(
            [binary(), *arguments, "--check-config"], env=environment, capture_output=True, text=True, timeout=10)
        assert result.returncode == 0 and result.stderr == "", result.stderr
        lines = [line.partition(" # ")[0].split() for line in result.stdout.splitlines() if line[0] != "#"]
        return {words[0]: words[1] for words in lines if len(words) == 2}

    def arguments(self, tmp_path, text):
        """The container's options, with a copy of the file in the place of the one that the ConfigMap mounts."""
        (volume,) = [each for each in self.pod["volumes"] if "configMap" in each]
        assert volume["configMap"]["name"] == self.configuration["metadata"]["name"]
        (mount,) = [each for each in self.container["volumeMounts"] if each["name"] == volume["name"]]
        (name,) = self.configuration["data"]
        path = f"{mount['mountPath']}/{name}"
        (tmp_path / name).write_text(text)
        assert sum(path in argument for argument in self.container["args"]) == 1
        return [argument.replace(path, str(tmp_path / name)) for argument in self.container["args"]]

    def items_volume(self):
        """The volume in memory for the file of items, and its place; None if there is none."""
        for volume in self.pod["volumes"]:
            if volume.get("emptyDir", {}).get("medium") == "Memory":
                (mount,) = [each for each in self.container["volumeMounts"] if each["name"] == volume["name"]]
                return volume["emptyDir"], mount["mountPath"]
        return None


@pytest.fixture(params=["base", "overlays/kept-items"])
def manifests(request):
    return Manifests(request.param)


def mebibytes(quantity):
    number, unit = re.fullmatch(r"(\d+)([MG]i)", quantity).groups()
    return int(number) * {"Mi": 1, "Gi": 1024}[unit]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(TOP)))
def test_a_file_is_sound_and_in_use(path):
    documents = load_all(path)
    assert documents and all(documents)
    if path.name != "kustomization.yaml":
        assert re.search(rf"- (path: )?{re.escape(path.name)}$", (path.parent / "kustomization.yaml").read_text(), re.M)


def test_schemas_allow_the_manifests(manifests):
    for document in manifests.documents:
        assert document["metadata"]["name"], document
        if document["kind"] not in OF_THE_OPERATOR:
            kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)


# Debian has no kubectl: the comparison is for machines that have one.
if shutil.which("kubectl") is not None:
    @pytest.mark.parametrize("directory", ["base", "overlays/kept-items"])
    def test_kubectl_prints_the_same(directory):
        result = subprocess.run(
            ["kubectl", "kustomize", TOP / directory], check=True, capture_output=True, text=True, timeout=60)
        printed = copies(re.sub(r"(name: larder-config)-[a-z0-9]{10}$", r"\1", result.stdout, flags=re.M))
        assert in_order(printed) == in_order(build(TOP / directory))


def in_order(documents):
    return sorted(json.dumps(document, sort_keys=True) for document in documents)


def test_the_server_takes_the_settings(manifests, tmp_path):
    settings = manifests.settings(tmp_path)
    assert settings["listen"] == "*"
    assert int(settings["port"]) == manifests.ports["memcache"]
    assert settings["admin"] == f"*:{manifests.ports['admin']}"
    assert settings["threads"] == manifests.container["resources"]["requests"]["cpu"]


def test_ports_agree(manifests):
    assert len(set(manifests.ports.values())) == len(manifests.ports) == 2
    for service in manifests.of("Service"):
        for port in service["spec"]["ports"]:
            assert port["name"] == port["targetPort"] and port["port"] == manifests.ports[port["targetPort"]]
    for probe in manifests.probes().values():
        assert probe["port"] == "admin"
    for monitor in manifests.of("ServiceMonitor"):
        assert [endpoint["port"] for endpoint in monitor["spec"]["endpoints"]] == ["admin"]
    (policy,) = manifests.of("NetworkPolicy")
    clients, admin = policy["spec"]["ingress"]
    assert [port["port"] for port in clients["ports"]] == [manifests.ports["memcache"]]
    assert [port["port"] for port in admin["ports"]] == [manifests.ports["admin"]]
    # No rule without `from`: that would allow everybody.
    assert clients["from"] == [{"podSelector": {}}]
    assert [list(each) for each in admin["from"]] == [["namespaceSelector"]]
    assert admin["from"][0]["namespaceSelector"]["matchLabels"]
    assert policy["spec"]["policyTypes"] == ["Ingress"]


def test_probes_are_answered(manifests, start_server, tmp_path):
    # On loopback, with less memory, and with ports and a file of the test's own.
    text = manifests.file_text.replace("listen *", "listen 127.0.0.1")
    text = re.sub(r"^memory-limit \d+$", "memory-limit 64", text, flags=re.M)
    volume = manifests.items_volume()
    if volume is not None:
        text = text.replace(f"memory-file {volume[1]}/", f"memory-file {tmp_path}/")
    admin = Admin(start_server, *manifests.arguments(tmp_path, text), "-p", "-1", listen=None)
    probes = manifests.probes()
    assert probes["livenessProbe"]["path"] == "/healthz"
    assert probes["readinessProbe"]["path"] == probes["startupProbe"]["path"] == "/readyz"
    for probe in probes.values():
        poll(lambda: ask(admin.port, probe["path"])[0] == 200, f"{probe['path']} answers 200")
    for monitor in manifests.of("ServiceMonitor"):
        assert ask(admin.port, monitor["spec"]["endpoints"][0]["path"])[0] == 200
    if volume is not None:
        (file,) = tmp_path.glob("*.store")
        beside_items = file.stat().st_size - 64 * MEBIBYTE
        limit = int(re.search(r"^memory-limit (\d+)$", manifests.file_text, re.M)[1])
        assert limit * MEBIBYTE + beside_items <= mebibytes(volume[0]["sizeLimit"]) * MEBIBYTE


def test_the_memory_limit_follows_the_formula(manifests, tmp_path):
    page = (ROOT / "docs" / "operations.md").read_text()
    example, factor, addition, result = re.search(
        r"(\d+) \* ([\d.]+) \+ (\d+ \+ \d+ \+ \d+) = (\d+) MB", page).groups()
    addition = sum(map(int, addition.split(" + ")))
    assert int(float(example) * float(factor)) + addition == int(result)
    settings = manifests.settings(tmp_path)
    resources = manifests.container["resources"]
    # A larger -I would need more than 64 MB for slow clients.
    assert int(settings["max-item-size"]) <= 32 * MEBIBYTE
    assert mebibytes(resources["limits"]["memory"]) >= int(settings["memory-limit"]) * float(factor) + addition
    assert resources["requests"]["memory"] == resources["limits"]["memory"]
    # Named caches have memory of their own, which is not in this sum.
    assert "cache" not in settings


def test_items_are_in_memory_that_outlives_the_container(tmp_path):
    manifests = Manifests("overlays/kept-items")
    volume, place = manifests.items_volume()
    file = manifests.settings(tmp_path)["memory-file"]
    assert file.startswith(f"{place}/")
    assert mebibytes(volume["sizeLimit"]) < mebibytes(manifests.container["resources"]["limits"]["memory"])


def test_rules_are_those_of_docker():
    (rule,) = load_all(TOP / "components" / "prometheus" / "prometheusrule.yaml")
    (rules,) = load_all(ROOT / "docker" / "prometheus" / "larder.rules.yml")
    assert rule["spec"] == rules, "copy the groups of docker/prometheus/larder.rules.yml"
    assert rule in Manifests("overlays/kept-items").documents


def matches(selector, document):
    return selector and selector.items() <= document["metadata"]["labels"].items()


def test_selectors_match(manifests):
    template = manifests.set["spec"]["template"]
    selectors = [
        manifests.set["spec"]["selector"]["matchLabels"],
        *[each["spec"]["selector"] for each in manifests.of("Service")],
        *[each["spec"]["selector"]["matchLabels"] for each in manifests.of("PodDisruptionBudget")],
        *[each["spec"]["podSelector"]["matchLabels"] for each in manifests.of("NetworkPolicy")],
        *[each["labelSelector"]["matchLabels"] for each in manifests.pod["topologySpreadConstraints"]],
    ]
    assert len(selectors) == 6 + len(manifests.of("Service")) - 1
    assert all(matches(selector, template) for selector in selectors)
    (headless,) = [each for each in manifests.of("Service") if each["spec"].get("clusterIP") == "None"]
    assert manifests.set["spec"]["serviceName"] == headless["metadata"]["name"]
    for monitor in manifests.of("ServiceMonitor"):
        (endpoint,) = monitor["spec"]["endpoints"]
        read = [
            each for each in manifests.of("Service") if matches(monitor["spec"]["selector"]["matchLabels"], each)
            and endpoint["port"] in [port["name"] for port in each["spec"]["ports"]]]
        assert read == [headless], "each pod is read once"
        # The alert LarderDown asks for it.
        assert "larder" in headless["metadata"]["labels"][monitor["spec"]["jobLabel"]]
    for document in manifests.documents:
        assert matches(manifests.set["spec"]["selector"]["matchLabels"], document), document["metadata"]


def test_several_servers_have_no_address_that_picks_one(manifests):
    picks = [each for each in manifests.of("Service") if each["spec"].get("clusterIP") != "None"]
    assert bool(picks) == (manifests.set["spec"]["replicas"] == 1)


def test_the_pod_has_no_privileges(manifests):
    dockerfile = (ROOT / "docker" / "Dockerfile").read_text()
    user, group = map(int, re.search(r"^USER (\d+):(\d+)$", dockerfile, re.M).groups())
    pod = manifests.pod["securityContext"]
    assert (pod["runAsUser"], pod["runAsGroup"], pod["fsGroup"]) == (user, group, group)
    assert pod["runAsNonRoot"] is True and pod["seccompProfile"] == {"type": "RuntimeDefault"}
    assert manifests.container["securityContext"] == {
        "allowPrivilegeEscalation": False, "privileged": False, "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]}}
    assert manifests.pod["automountServiceAccountToken"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(manifests.pod)


def test_the_time_for_a_stop(manifests):
    assert "ends within five seconds" in re.sub(r"\s+", " ", (ROOT / "docs" / "operations.md").read_text())
    command, seconds = manifests.container["lifecycle"]["preStop"]["exec"]["command"]
    assert command == "sleep" and manifests.pod["terminationGracePeriodSeconds"] >= int(seconds) + STOP_SECONDS
    startup = manifests.container["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] >= 600


def test_the_page_names_what_exists():
    page = (ROOT / "docs" / "kubernetes.md").read_text()
    named = set(re.findall(r"\bdeploy/kubernetes[\w./-]*[\w]", page))
    assert {f"deploy/kubernetes/{name}" for name in ("base", "components/prometheus", "overlays/kept-items")} <= named
    assert all((ROOT / name).exists() for name in named)
    manifests = Manifests("base")
    name = manifests.set["metadata"]["name"]
    assert f"{name}-0.{manifests.set['spec']['serviceName']}:{manifests.ports['memcache']}" in page
    for directory in ("base", "overlays/kept-items"):
        each = Manifests(directory)
        limit = re.search(r"^memory-limit (\d+)$", each.file_text, re.M)[1]
        assert re.search(rf"\| {limit} \| .*{each.container['resources']['limits']['memory']} \|", page)
