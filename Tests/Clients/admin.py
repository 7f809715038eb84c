"""A server with an admin listener, and what reads its pages."""

import http.client
import re

from server import free_port


class Admin:
    """A server with an admin listener, and requests to that."""

    def __init__(self, start_server, *arguments, **options):
        self.port = free_port()
        self.server = start_server("--admin", self.port, *arguments, **options)

    def ask(self, path, method="GET", timeout=10.0, **options):
        return ask(self.port, path, method, timeout, **options)

    def metrics(self):
        status, body, _ = self.ask("/metrics")
        assert status == 200
        return parse(body)


def ask(port, path, method="GET", timeout=10.0, **options):
    """Status, body and headers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request(method, path, **options)
        answer = connection.getresponse()
        return answer.status, answer.read().decode(), answer.headers
    finally:
        connection.close()


SAMPLE = re.compile(r'([a-zA-Z_:][\w:]*)(?:\{((?:[a-z_]\w*="(?:[^"\\\n]|\\[\\n"])*",?)*)\})? (\S+)')


def parse(text):
    """The samples by name and labels, after a check of all that Prometheus' text format and its promtool ask for."""
    assert text.endswith("\n")
    samples, kinds, helped = {}, {}, set()
    current = None
    for line in text.splitlines():
        if line.startswith("# HELP "):
            _, _, current, help_text = line.split(" ", 3)
            assert current not in helped and help_text, line
            helped.add(current)
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name == current and name not in kinds and kind in ("counter", "gauge", "histogram"), line
            kinds[name] = kind
            # As promtool: counters, and only they, end in _total.
            assert name.endswith("_total") == (kind == "counter"), line
            assert not name.endswith(("_count", "_sum", "_bucket", "_info_total")), line
        else:
            match = SAMPLE.fullmatch(line)
            assert match, line
            name, labels, value = match.groups()
            if kinds[current] == "histogram":
                assert name.removeprefix(current) in ("_bucket", "_sum", "_count"), line
            else:
                assert name == current, line
            series = (name, tuple(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', labels or "")))
            assert series not in samples, line
            samples[series] = float(value)
            assert samples[series] == samples[series], f"not a number: {line}"
            assert kinds[current] != "counter" or samples[series] >= 0, line
    assert helped == set(kinds)
    return samples
