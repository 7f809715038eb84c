"""deploy/chart: Helm renders eight files of values as the goldens have it, and a real server takes the settings.

`python Tests/Clients/test_chart.py` writes the goldens anew.
"""

import pathlib
import re
import subprocess

import helm_python
import kubernetes_validate
import pytest
import yaml

from kustomize import build
from server import ROOT, binary

CHART = ROOT / "deploy" / "chart"
CASES = sorted(pathlib.Path(__file__).resolve().parent.joinpath("chart").glob("*.values.yaml"))
OF_THE_OPERATOR = {"ServiceMonitor", "PrometheusRule"}


def values_of(case):
    return yaml.safe_load(case.read_text()) or {}


def golden_of(case):
    return case.with_name(case.name.replace(".values.", ".golden."))


def rendered(values, name="larder"):
    """The manifests as one text, each with the name of its template."""
    with helm_python.Chart.load(CHART) as chart:
        files = chart.render(values, name=name, namespace="cache")
    return "".join(
        f"---\n# {path}\n{text.strip()}\n" for path, text in sorted(files.items()) if text.strip())


def documents(values, **options):
    return [each for each in yaml.safe_load_all(rendered(values, **options)) if each]


@pytest.fixture(params=CASES, ids=lambda case: case.name.split(".")[0])
def case(request):
    return request.param


def one(found, kind, name=None):
    (each,) = [each for each in found if each["kind"] == kind and name in (None, each["metadata"]["name"])]
    return each


def test_golden(case):
    assert len(CASES) >= 8
    assert rendered(values_of(case)) == golden_of(case).read_text()


def test_lint(case):
    report = helm_python.lint(CHART, values_of(case), strict=True)
    # 1 is information: the chart has no icon.
    assert report["errors"] == [] and all(each["severity"] <= 1 for each in report["messages"]), report


def test_schemas(case):
    found = documents(values_of(case))
    assert {"StatefulSet", "ConfigMap", "Service"} <= {each["kind"] for each in found}
    for each in found:
        assert each["metadata"]["namespace"] == "cache"
        if each["kind"] not in OF_THE_OPERATOR:
            kubernetes_validate.validate(each, "1.37", strict=True)


def test_a_server_takes_the_settings(case, tmp_path):
    found = documents(values_of(case))
    (text,) = one(found, "ConfigMap")["data"].values()
    file = tmp_path / "larder.conf"
    file.write_text(text)
    checked = subprocess.run([binary(), "--config", file, "--check-config"], capture_output=True, text=True, timeout=10)
    assert checked.returncode == 0, checked.stderr
    shown = {line.partition(" # ")[0].rstrip() for line in checked.stdout.splitlines()}
    ports = {port["name"]: port["containerPort"] for port in one(found, "StatefulSet")["spec"]["template"]["spec"][
        "containers"][0]["ports"]}
    assert {f"port {ports['memcache']}", f"admin *:{ports['admin']}", "listen *"} <= shown
    for name, value in values_of(case).get("settings", {}).items():
        for each in value if isinstance(value, list) else [value]:
            if each is True:
                assert name in shown
            elif each is False:
                assert not any(line.split()[0] == name for line in shown if line and line[0] != "#")
            else:
                assert any(line == f"{name} {each}".replace("#", "\\#") or line.startswith(f"{name} {each}=")
                           for line in shown), (name, each)


def test_the_rules_are_those_of_the_dashboards():
    rule = one(documents({"prometheusRule": {"enabled": True}}), "PrometheusRule")
    assert rule["spec"] == yaml.safe_load((ROOT / "docker/prometheus/larder.rules.yml").read_text())


def test_the_pods_are_those_of_the_manifests():
    """The chart and deploy/kubernetes differ in names and labels only."""
    def pod(found):
        spec = one(found, "StatefulSet")["spec"]["template"]["spec"]
        spec.pop("volumes")
        spec["containers"][0].pop("image")
        return spec

    def ports(found, name):
        return one(found, "Service", name)["spec"]["ports"]

    chart, manifests = documents({}), build(ROOT / "deploy/kubernetes/base")
    assert pod(chart) == pod(manifests)
    for name in ["larder", "larder-client"]:
        assert ports(chart, name) == ports(manifests, name)
    assert one(chart, "PodDisruptionBudget")["spec"] == one(manifests, "PodDisruptionBudget")["spec"]


def test_the_name_of_the_release():
    for release, name in [("larder", "larder"), ("my-larder", "my-larder"), ("shop", "shop-larder")]:
        found = documents({}, name=release)
        assert one(found, "StatefulSet")["metadata"]["name"] == one(found, "StatefulSet")["spec"]["serviceName"] == name
    long = one(documents({}, name="a" * 53), "StatefulSet")["metadata"]["name"]
    # The name of a pod, and that with the hash of a revision, are labels.
    assert len(long) <= 50


def test_a_change_of_the_settings_restarts_the_pods():
    def annotations(values):
        return one(documents(values), "StatefulSet")["spec"]["template"]["metadata"]["annotations"]

    assert annotations({}) == annotations({"replicas": 2})
    assert annotations({}) != annotations({"settings": {"threads": 3}})


@pytest.mark.parametrize("values, message", [
    ({"setings": {}}, "setings"), ({"settings": {"port": 1}}, "port"), ({"settings": {"-m": 1}}, "-m"),
    ({"port": 0}, "port"), ({"image": {"pullPolicy": "Sometimes"}}, "pullPolicy"),
    ({"keepItems": {"enabled": True, "size": "1Gi"}}, "keepItems needs a number"),
    ({"keepItems": {"enabled": True}, "settings": {"memory-limit": 64}}, "keepItems needs a number"),
])
def test_refusals(values, message):
    with pytest.raises(helm_python.HelmError, match=re.escape(message)):
        with helm_python.Chart.load(CHART) as chart:
            chart.validate_schema(values)
        rendered(values)


if __name__ == "__main__":
    for each in CASES:
        golden_of(each).write_text(rendered(values_of(each)))
