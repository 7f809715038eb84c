"""`larder log` over real databases: with each way to give a password, and no password where others can read it."""

import os
import pathlib
import subprocess
import urllib.parse

import pytest

from databases import DATABASES, PASSWORD, USER, Log, program, tool
from replicas import Node
from server import poll

pytestmark = pytest.mark.larder_only

ENCODED = urllib.parse.quote(PASSWORD, safe="")


@pytest.fixture(scope="module", params=DATABASES)
def database(request):
    with DATABASES[request.param]() as made:
        yield made


@pytest.fixture
def log(database):
    return Log(database)


def all_command_lines():
    """What every user of the machine can read of its processes."""
    lines = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(path.read_bytes())
        except OSError:
            continue
    return b"\n".join(lines)


def assert_no_password(*texts):
    for secret in PASSWORD, ENCODED:
        assert secret.encode() not in all_command_lines()
        for text in texts:
            assert secret not in text, text


def test_the_printed_statements_make_the_tables(database):
    """They are for an administrator. The log's own user needs no right to make tables."""
    login = "limited"
    database.make_user(login)
    url = database.url("printed", login=login)

    def run(*words):
        return tool(url, database.environment(), *words)

    missing = run("status")
    assert missing.returncode == 1
    refused = run("init")
    assert refused.returncode == 1 and refused.stderr.startswith("larder log init: cannot use the log "), refused
    statements = run("init", "--sql").stdout
    assert statements.count("CREATE TABLE") == 3
    database.sql(statements)
    database.allow(login, [f"printed_{part}" for part in ("counter", "records", "snapshot")])
    assert run("status").stdout == "latest 0\nsnapshot 0\nrecords 0\n"
    assert run("rewrite").stdout == "snapshot 0\n"
    assert_no_password(missing.stderr, refused.stderr, statements)


def test_changes_of_a_server_are_read_and_shortened(start_server, tmp_path, log):
    node = Node(
        start_server, tmp_path / "store", log.url, "-vv", program=program("larder"),
        environment=log.database.environment())
    follower = subprocess.Popen(
        [program("larder"), "log", "tail", "--after", "2", "--follow"], stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={"PATH": os.environ["PATH"], "LARDER_LOG_URL": log.url, **log.database.environment()})
    try:
        with node.connect() as connection:
            for number in range(1, 13):
                assert connection.set(b"key%d" % number, b"value") == b"STORED"
            assert connection.set(b"key1", b"2", verb=b"append") == b"STORED"
            assert connection.ask(b"delete key2\r\n") == b"DELETED"
            assert connection.set(b"a%b", b"") == b"STORED"
        last = "12 set key12 5\n13 set-if key1 6\n14 delete key2\n15 set a%25b 0\n"
        assert log.tool("tail", "--after", "11").stdout == last
        assert log.tool("tail").stdout.startswith("6 set key6 5\n")
        followed = "".join(follower.stdout.readline() for _ in range(13))
        assert followed == "".join(f"{number} set key{number} 5\n" for number in range(3, 12)) + last
        assert_no_password(followed)
        assert log.tool("rewrite", "--before", "5").stdout == "snapshot 5\n"
        assert log.status() == {"latest": 15, "snapshot": 5, "records": 10}
        shortened = log.tool("tail", "--after", "1")
        assert shortened.stdout.startswith("6 set key6 5\n") and "replaced the records before 6" in shortened.stderr
        # The server writes on behind the snapshot, and the follower sees it.
        with node.connect() as connection:
            assert connection.set(b"key6", b"new") == b"STORED"
        assert follower.stdout.readline() == "16 set key6 3\n"
        too_far = log.tool("rewrite", "--before", "99")
        assert too_far.returncode == 1 and log.status()["snapshot"] == 5
        assert log.tool("rewrite").stdout == "snapshot 16\n"
        assert log.status() == {"latest": 16, "snapshot": 16, "records": 0}
        assert log.tool("tail").stdout == ""
    finally:
        follower.kill()
        follower.communicate(timeout=10)
    with node.connect() as connection:
        assert connection.get_many([b"key1", b"key2", b"key6", b"a%b"]) == {
            b"key1": b"value2", b"key6": b"new", b"a%b": b""}
    assert_no_password(node.server.output, too_far.stderr, shortened.stderr)


def test_each_way_to_give_a_password(database, log):
    with_login = log.url.replace(f"//{USER}@", f"//{USER}:{ENCODED}@")
    from_file = f"{log.url}&{database.password_option()}"
    variable = "MYSQL_PWD" if database.kind == "mariadb" else "PGPASSWORD"
    for url, environment in (
            (with_login, {}), (from_file, {}), (log.url, database.environment()), (log.url, {variable: PASSWORD})):
        found = tool(url, environment, "status")
        assert (found.returncode, found.stdout) == (0, "latest 0\nsnapshot 0\nrecords 0\n"), found.stderr
    for url, environment in (
            (log.url, {}), (log.url, {variable: "wrong-" + PASSWORD}), (with_login + "x@", {}),
            (from_file.replace("/password", "/nowhere"), {}), (with_login.replace(ENCODED, ENCODED + "1"), {})):
        refused = tool(url, environment, "status")
        assert refused.returncode == 1 and refused.stdout == ""
        assert refused.stderr.startswith("larder log status: ")
        assert_no_password(refused.stderr)
    # The file is read for each connection, so a new password needs no restart.
    on_the_command_line = subprocess.run(
        [program("larder"), "log", "status", from_file], stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=60, env={"PATH": os.environ["PATH"]})
    assert on_the_command_line.returncode == 0, on_the_command_line.stderr
    in_the_command_line = subprocess.run(
        [program("larder"), "log", "status", log.url.replace(f"//{USER}@", f"//{USER}:nobody@")],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert in_the_command_line.returncode == 1
    assert "a command line has no password" in in_the_command_line.stderr
    assert "nobody" not in in_the_command_line.stderr


def test_a_server_takes_the_password_of_a_file(start_server, tmp_path, database, log):
    """Its options are in the log, and in --check-config."""
    url = f"{log.url}&{database.password_option()}"
    node = Node(start_server, tmp_path / "store", url, "-vv", program=program("larder"))
    with node.connect() as connection:
        assert connection.set(b"key", b"1") == b"STORED"
    # A password that is changed, and a file that follows.
    file = database.directory / "password"
    other = "another password"
    change = "ALTER USER {} IDENTIFIED BY '{}'" if database.kind == "mariadb" else "ALTER USER {} PASSWORD '{}'"
    user = f"{USER}@'%'" if database.kind == "mariadb" else USER
    database.sql(change.format(user, other))
    try:
        database.kill()
        file.write_text("wrong\n")
        database.start()
        with node.connect() as connection:
            assert connection.set(b"key", b"2").startswith(b"SERVER_ERROR the log of this cache cannot be used")
            file.write_text(other + "\n")
            poll(lambda: connection.set(b"key", b"3") == b"STORED", "changes are written again", 10)
    finally:
        database.sql(change.format(user, PASSWORD))
    assert other not in node.server.output
    assert_no_password(node.server.output)


@pytest.mark.parametrize("option, complaint", [
    ("answer_timeout=0", "answer_timeout= needs 1 to 3600 seconds"),
    ("answer_timeout=3601", "answer_timeout= needs 1 to 3600 seconds"),
    ("answer_timeout=soon", "answer_timeout= needs 1 to 3600 seconds"),
    ("table=a-b", "table= needs"),
])
def test_bad_options(database, option, complaint):
    refused = tool(database.url("log", option, login=f"{USER}:{ENCODED}"), {}, "status")
    assert refused.returncode == 1 and complaint in refused.stderr
    assert_no_password(refused.stderr)
