"""The Django example inside a real uWSGI, with the cache backend of PyPI's django-uwsgi-cache, at a uwsgi listener.

The site is the one of `qsets`. `LARDER_DJANGO_CACHE=DIRECTORY` also runs the original, unmodified: a checkout of
github.com/hackorama/django-cache. It is not part of this repository, so its directory must be given.
"""

import os
import pathlib
import subprocess
import sys
import urllib.request

import pytest

from server import free_port, poll
from test_django_models import full, lines_with

CLIENTS = pathlib.Path(__file__).parent
# The directory of each site, its settings, and what uWSGI serves of it.
SITES = {"qsets": (CLIENTS, "qsets.settings", "django.core.wsgi:get_wsgi_application()")}
if "LARDER_DJANGO_CACHE" in os.environ:
    SITES["original"] = (pathlib.Path(os.environ["LARDER_DJANGO_CACHE"]) / "server", "server.settings", "server.wsgi")

# Only the place of the cache and that of the database differ from the site's own settings.
SETTINGS = """
from {settings} import *

CACHES = {{"default": {{"BACKEND": "uwsgicache.UWSGICache", "LOCATION": {location!r}}}}}
DATABASES["default"]["NAME"] = {database!r}
ALLOWED_HOSTS = ["127.0.0.1"]
"""


class Site:
    """The site in a real uWSGI. `visit()` is what one request makes it log."""

    def __init__(self, directory, site, location):
        root, settings, module = SITES[site]
        (directory / "site_settings.py").write_text(SETTINGS.format(
            settings=settings, location=location, database=str(directory / "rows.sqlite")))
        environment = dict(
            os.environ, DJANGO_SETTINGS_MODULE="site_settings", PYTHONPATH=f"{root}:{directory}",
            PYTHONDONTWRITEBYTECODE="1",
            # The settings of `qsets` read these. SETTINGS sets another cache.
            QSETS_BACKEND="", QSETS_LOCATION="")
        subprocess.run(
            [sys.executable, "-m", "django", "migrate", "--run-syncdb", "--skip-checks", "--verbosity", "0"],
            env=environment, cwd=root, check=True, timeout=60)
        self.port = free_port()
        self.log_path = directory / "uwsgi.log"
        self.log = open(self.log_path, "wb")
        self.process = subprocess.Popen(
            [pathlib.Path(sys.executable).with_name("uwsgi"), "--http-socket", f"127.0.0.1:{self.port}", "--master",
             "--die-on-term", "--need-app", "--disable-logging", "--module", module],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT, cwd=root, env=environment)
        try:
            poll(self._is_ready, lambda: f"the site is ready: {self.text()}", 30)
        except BaseException:
            self.stop()
            raise

    def text(self):
        return self.log_path.read_text()

    def _is_ready(self):
        assert self.process.poll() is None, self.text()
        return "spawned uWSGI worker 1" in self.text()

    def visit(self):
        before = len(self.text())
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=20) as answer:
            assert answer.status == 200
        return full(self.text()[before:])

    def stop(self):
        self.process.terminate()
        self.process.wait(20)
        self.log.close()


@pytest.mark.parametrize("site", SITES)
def test_the_lines_twice(start_server, tmp_path, site):
    """Also after a restart of the server, and without any server: then each read is a miss."""
    port = free_port()
    place = f"127.0.0.1:{port}"
    options = ["--uwsgi", place, "--cache", "name=other,items=10", "--cache", "name=qsets,items=100"]
    server = start_server(*options)
    expected = lines_with("UWSGICache")
    hits, misses = (sum(word in line for line in expected) for word in ["CACHE HIT", "CACHE MISS"])
    assert (hits, misses) == (6, 9)
    example = Site(tmp_path, site, f"qsets@{place}")
    try:
        for visits in [1, 2]:
            assert example.visit() == expected
            told = server.stats("caches")
            assert (int(told["qsets:hits"]), int(told["qsets:miss"])) == (visits * hits, visits * misses)
            # Each row was removed at the end.
            assert (told["qsets:items"], told["other:items"]) == ("0", "0")
        server.stop()
        alone = []
        for line in expected:
            key = line.removeprefix("  CACHE HIT ")
            alone += [line] if key == line else [f"  CACHE MISS {key}", f"  CACHE POPULATE {key}"]
        assert example.visit() == alone
        server = start_server(*options)
        assert example.visit() == expected
    finally:
        example.stop()
