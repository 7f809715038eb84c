"""The Swift client logs in to memcached's own SASL, whose users are in a database of the SASL library's."""

import os
import pathlib
import re
import subprocess

import pytest

from server import poll
from test_swift_client import probe_path

MEMCACHED = os.environ.get("MEMCACHED_BINARY") or "/usr/bin/memcached"
# Debian keeps it out of the way of those who are not root.
SASLPASSWD = "/usr/sbin/saslpasswd2"


@pytest.fixture
def memcached(tmp_path):
    """A memcached with `-S`, and where it listens."""
    database = tmp_path / "sasldb2"
    (tmp_path / "memcached.conf").write_text(f"mech_list: plain\nsasldb_path: {database}\n")
    subprocess.run(
        [SASLPASSWD, "-p", "-c", "-a", "memcached", "-u", "larder", "-f", database, "web"], input=b"correct horse",
        check=True)
    ports = tmp_path / "ports"
    user = ["-u", "root"] if os.geteuid() == 0 else []
    process = subprocess.Popen(
        [MEMCACHED, "-S", *user, "-l", "127.0.0.1", "-p", "-1"], stdin=subprocess.DEVNULL,
        env=dict(os.environ, SASL_CONF_PATH=str(tmp_path), MEMCACHED_PORT_FILENAME=str(ports)))
    try:
        poll(ports.exists, "memcached listens")
        yield "127.0.0.1:" + re.search(r"TCP INET: (\d+)", pathlib.Path(ports).read_text())[1]
    finally:
        process.kill()
        process.wait()


def ask(server, password, lines):
    return subprocess.run(
        [probe_path(), "ketama", f"--sasl=web@larder:{password}", server], input="".join(f"{line}\n" for line in lines),
        capture_output=True, encoding="utf-8", timeout=60, env=dict(os.environ, SWIFT_BACKTRACE="enable=no"))


def test_the_swift_client_logs_in(memcached):
    finished = ask(memcached, "correct horse", ["put-text a text", "take-text a", "get none"])
    assert finished.stdout.splitlines() == ["stored", "text", "miss"]


def test_a_wrong_password_is_refused(memcached):
    finished = ask(memcached, "wrong horse", ["get a"])
    assert finished.returncode != 0
    assert "authentication failed" in finished.stderr
