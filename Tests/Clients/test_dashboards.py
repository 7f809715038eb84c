"""docker/prometheus and docker/grafana: each query has data from a real Prometheus, and each alert fires when it should."""

import json
import math
import re
import shutil
import subprocess
import urllib.parse

import pytest

from admin import Admin, ask
from server import ROOT, Connection, cannot_test, free_port, poll

pytestmark = pytest.mark.larder_only

RULES = ROOT / "docker" / "prometheus" / "larder.rules.yml"
CONFIGURATION = ROOT / "docker" / "prometheus" / "prometheus.yml"
DASHBOARD = json.loads((ROOT / "docker" / "grafana" / "larder-dashboard.json").read_text())
ALERTS = re.findall(r"- alert: (\w+)", RULES.read_text())
QUERIES = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
VARIABLES = [variable["definition"] for variable in DASHBOARD["templating"]["list"] if variable["type"] == "query"]

# For each alert: the series that fire it, with a value for each minute, and the labels of the alert.
SITUATIONS = {
    "LarderDown": ({'up{job="larder",instance="a"}': "0x10"}, {"job": "larder"}),
    "LarderNotReady": ({'larder_store_ready{instance="a",cache="default"}': "0x20"}, {"cache": "default"}),
    "LarderHitRatioFell": (
        {'larder_cache_hits_total{instance="a",cache="default"}': "0+600x60 36000+60x60",
         'larder_cache_misses_total{instance="a",cache="default"}': "0+60x60 3600+600x60"}, {"cache": "default"}),
    "LarderStoresRefused": ({'memcached_item_no_memory_total{instance="a"}': "0+5x20"}, {}),
    "LarderConnectionsNearLimit": (
        {'memcached_current_connections{instance="a"}': "950x20", 'memcached_max_connections{instance="a"}': "1000x20"},
        {}),
    "LarderConnectionsRefused": ({'memcached_connections_rejected_total{instance="a"}': "0+1x20"}, {}),
    "LarderClientsDropped": (
        {'larder_connections_dropped_total{instance="a",reason="unread"}': "0+1x20",
         'larder_connections_dropped_total{instance="a",reason="idle"}': "0+9x20"}, {"reason": "unread"}),
    "LarderLoginsRefused": ({'larder_auth_failures_total{instance="a"}': "0+120x20"}, {}),
    "LarderStoreDamaged": (
        {'larder_store_damages_total{instance="a",cache="default"}': "0x10 1x10"}, {"cache": "default"}),
    "LarderSyncDropped": ({'larder_cache_sync_dropped_total{instance="a",cache="c"}': "0x10 3x10"}, {"cache": "c"}),
    "LarderReplicaLogUnusable": ({'larder_replica_log_usable{instance="a",cache="c"}': "1x5 0x15"}, {"cache": "c"}),
    "LarderReplicaLags": ({'larder_replica_lag_seconds{instance="a",cache="c"}': "0x5 60+60x15"}, {"cache": "c"}),
    "LarderCertificateExpires": ({'larder_tls_certificate_not_after_seconds{instance="a"}': "86400x20"}, {}),
}
# The same metrics on a server in good health.
HEALTH = {
    'up{job="larder",instance="a"}': "1x200", 'larder_store_ready{instance="a",cache="default"}': "1x200",
    'larder_cache_hits_total{instance="a",cache="default"}': "0+600x200",
    'larder_cache_misses_total{instance="a",cache="default"}': "0+60x200",
    'memcached_item_no_memory_total{instance="a"}': "7x200", 'memcached_current_connections{instance="a"}': "800x200",
    'memcached_max_connections{instance="a"}': "1000x200", 'memcached_connections_rejected_total{instance="a"}': "3x200",
    'larder_connections_dropped_total{instance="a",reason="idle"}': "0+9x200",
    'larder_auth_failures_total{instance="a"}': "0+6x200",
    'larder_store_damages_total{instance="a",cache="default"}': "0x200",
    'larder_cache_sync_dropped_total{instance="a",cache="c"}': "0x200",
    'larder_replica_log_usable{instance="a",cache="c"}': "1x200",
    # A database that was down for a moment.
    'larder_replica_lag_seconds{instance="a",cache="c"}': "0x50 40x1 0x148",
    'larder_tls_certificate_not_after_seconds{instance="a"}': "2592000x200",
}


def promtool(*arguments):
    if shutil.which("promtool") is None:
        cannot_test("there is no promtool (Debian's prometheus has it)")
    return subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, timeout=60)


def hold(tmp_path, series, alerts, minutes):
    """Runs the rules over `series`; at the end exactly `alerts` must fire. Their annotations are not compared."""
    rules = "\n".join(
        line for line in RULES.read_text().splitlines() if not re.match(r"\s+(annotations|summary):", line))
    (tmp_path / "rules.yml").write_text(rules)
    test = {
        "rule_files": ["rules.yml"], "evaluation_interval": "1m",
        "tests": [{
            "interval": "1m",
            "input_series": [{"series": name, "values": values} for name, values in series.items()],
            "alert_rule_test": [
                {"eval_time": f"{minutes}m", "alertname": alert,
                 "exp_alerts": [{"exp_labels": labels}] if alert in alerts else []}
                for alert, labels in {**dict.fromkeys(ALERTS, None), **alerts}.items()],
        }],
    }
    # JSON is YAML.
    (tmp_path / "test.yml").write_text(json.dumps(test))
    result = promtool("test", "rules", tmp_path / "test.yml")
    assert result.returncode == 0, result.stdout + result.stderr


def severity(alert):
    return re.search(rf"alert: {alert}\n.*?severity: (\w+)", RULES.read_text(), re.DOTALL)[1]


def test_the_files_are_sound():
    result = promtool("check", "rules", RULES)
    assert result.returncode == 0 and "SUCCESS" in result.stdout, result.stdout + result.stderr
    result = promtool("check", "config", CONFIGURATION)
    assert result.returncode == 0, result.stdout + result.stderr
    assert set(SITUATIONS) == set(ALERTS) and len(QUERIES) > 15


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_fires(tmp_path, alert):
    series, labels = SITUATIONS[alert]
    minutes = 85 if alert == "LarderHitRatioFell" else 15
    hold(tmp_path, series, {alert: {"instance": "a", "severity": severity(alert), **labels}}, minutes)


def test_no_alert_fires_in_good_health(tmp_path):
    hold(tmp_path, HEALTH, {}, 120)


class Prometheus:
    """A Prometheus that reads the metrics of one Larder five times a second."""

    def __init__(self, directory, admin_port):
        if shutil.which("prometheus") is None:
            cannot_test("there is no prometheus")
        text = CONFIGURATION.read_text().replace("127.0.0.1:9150", f"127.0.0.1:{admin_port}").replace("15s", "200ms")
        (directory / "prometheus.yml").write_text(text)
        shutil.copy(RULES, directory)
        self.port = free_port()
        self.log = open(directory / "log", "wb")
        self.process = subprocess.Popen(
            ["prometheus", f"--config.file={directory}/prometheus.yml", f"--storage.tsdb.path={directory}/data",
             f"--web.listen-address=127.0.0.1:{self.port}"], stdout=self.log, stderr=self.log)

    def is_ready(self):
        assert self.process.poll() is None, "prometheus has ended"
        try:
            return ask(self.port, "/-/ready")[0] == 200
        except OSError:
            return False

    def values(self, query):
        status, body, _ = ask(self.port, "/api/v1/query?" + urllib.parse.urlencode({"query": query}))
        assert status == 200, body
        return [float(sample["value"][1]) for sample in json.loads(body)["data"]["result"]]

    def label_values(self, definition):
        metric, label = re.fullmatch(r"label_values\((.*), (\w+)\)", definition).groups()
        status, body, _ = ask(
            self.port, f"/api/v1/label/{label}/values?" + urllib.parse.urlencode({"match[]": metric}))
        assert status == 200, body
        return json.loads(body)["data"]

    def close(self):
        self.process.terminate()
        self.process.wait(20)
        self.log.close()


def filled_in(query):
    return query.replace("$instance", ".*").replace("$cache", ".*").replace("$__rate_interval", "5s")


def test_every_query_has_data(start_server, tmp_path):
    # A replicated cache has the metrics of replicas.
    admin = Admin(
        start_server, "-e", tmp_path / "store",
        "--cache", f"name=copied,log=file://{tmp_path}/changes,store={tmp_path}/copied,listen=127.0.0.1:0")
    prometheus = Prometheus(tmp_path, admin.port)
    try:
        poll(prometheus.is_ready, "prometheus is ready", seconds=60, interval=0.1)
        missing = set(QUERIES)

        def all_have_data():
            # A rate needs requests between two looks.
            with admin.server.connect() as connection:
                for _ in range(300):
                    connection.set(b"k", b"v")
                    connection.get(b"k")
                    connection.get(b"none")
            # A disk that is busy makes each change wait.
            with Connection(admin.server.addresses[1], timeout=60) as connection:
                connection.set(b"k", b"v")
            for query in list(missing):
                # Commands without requests have no quantile: NaN.
                if any(not math.isnan(value) for value in prometheus.values(filled_in(query))):
                    missing.discard(query)
            return not missing

        poll(all_have_data, lambda: f"no data: {missing}", seconds=60, interval=0.2)
        poll(lambda: prometheus.values('larder:hit_ratio:rate10m{cache="default"}'), "the ratio is recorded", seconds=30)
        (ratio,) = prometheus.values('larder:hit_ratio:rate10m{cache="default"}')
        assert ratio == pytest.approx(0.5, abs=0.05)
        for definition in VARIABLES:
            assert prometheus.label_values(filled_in(definition)), definition
        assert prometheus.values('ALERTS{alertstate="firing"}') == []
    finally:
        prometheus.close()
