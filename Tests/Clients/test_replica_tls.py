"""Logs in databases that take no connection over TCP without TLS: authorities, host names, the log's certificate."""

import pytest

from certificates import Certificates
from databases import DATABASES, USER, Log, program, tool
from replicas import Node

pytestmark = pytest.mark.larder_only

DONE = (0, "latest 0\nsnapshot 0\nrecords 0\n")


@pytest.fixture(scope="module")
def authorities(tmp_path_factory):
    made = Certificates(tmp_path_factory.mktemp("certificates"))
    made.issue("renamed", names="DNS:db.example")
    return made


@pytest.fixture(scope="module", params=DATABASES)
def database(request, authorities):
    with DATABASES[request.param](certificates=authorities) as made:
        yield made


@pytest.fixture(scope="module")
def log(database, authorities):
    return Log(database, "sslmode=verify-full", f"sslrootcert={authorities.path('authority.pem')}")


@pytest.fixture
def ask(database, log):
    """A function that asks for the log's status, with options of the URL."""

    def status(*options, login=USER):
        return tool(database.url(log.table, *options, login=login), database.environment(), "status")

    return status


def assert_refused(outcome, *reasons):
    """No connection was made. `reasons` are what MariaDB and PostgreSQL say of that."""
    assert outcome.returncode == 1 and outcome.stdout == ""
    assert outcome.stderr.startswith("larder log status: cannot use the log "), outcome.stderr
    assert any(reason in outcome.stderr for reason in reasons), outcome.stderr


def test_a_connection_without_tls_is_refused(ask):
    # MariaDB does not say why.
    assert_refused(ask("sslmode=disable"), "Access denied", "no encryption")


def test_the_right_authority_is_taken(ask, authorities):
    for mode in "require", "verify-full":
        found = ask(f"sslmode={mode}", f"sslrootcert={authorities.path('authority.pem')}")
        assert (found.returncode, found.stdout) == DONE, found.stderr
    # Encrypted, and the server's certificate is not looked at.
    found = ask("sslmode=require")
    assert (found.returncode, found.stdout) == DONE, found.stderr


def test_another_authority_is_refused(ask, authorities):
    for mode in "require", "verify-full":
        assert_refused(
            ask(f"sslmode={mode}", f"sslrootcert={authorities.path('other.pem')}"),
            "self-signed certificate in certificate chain", "certificate verify failed")
    assert_refused(
        ask("sslmode=verify-full", f"sslrootcert={authorities.path('nowhere.pem')}"),
        "No such file or directory", "nowhere.pem\" does not exist")


def test_another_name_is_refused(ask, database, authorities):
    """The authority signed the certificate, but for another host."""
    database.certificate = "renamed"
    try:
        database.restart()
        assert_refused(
            ask("sslmode=verify-full", f"sslrootcert={authorities.path('authority.pem')}"),
            "Validation of SSL server certificate failed", "does not match host name")
        found = ask("sslmode=require")
        assert (found.returncode, found.stdout) == DONE, found.stderr
    finally:
        database.certificate = "server"
        database.restart()


def test_the_log_shows_a_certificate(ask, database, log, authorities):
    """A user that must have a certificate of the database's authority."""
    login = f"shown_{database.kind}"
    database.make_user(login)
    database.allow(login, log.tables)
    database.demand_certificate(login)
    authority = ["sslmode=verify-full", f"sslrootcert={authorities.path('authority.pem')}"]
    assert_refused(ask(*authority, login=login), "Access denied", "requires a valid client certificate")

    def ask_as(name):
        own = [f"sslcert={authorities.path(name + '.pem')}", f"sslkey={authorities.path(name + '.key')}"]
        return ask(*authority, *own, login=login)

    found = ask_as("client")
    assert (found.returncode, found.stdout) == DONE, found.stderr
    # The server closes at once, so the log may be told of that before it reads the reason.
    assert_refused(
        ask_as("stranger"), "unknown ca", "Lost connection", "closed the connection", "Connection reset", "Broken pipe")


def test_a_server_writes_through_tls(start_server, tmp_path, log):
    node = Node(
        start_server, tmp_path / "store", log.url, program=program("larder"), environment=log.database.environment())
    with node.connect() as connection:
        assert connection.set(b"key", b"1") == b"STORED"
    assert log.tool("tail").stdout == "1 set key 1\n"
