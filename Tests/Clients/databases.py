"""Real MariaDB and PostgreSQL servers, from empty data directories and on free ports. The tests end them.

`LARDER_DATABASE_PROGRAMS` is the directory of `larder` and `larder-log` with the logs of databases; without it, the
debug build of this repository, which has all traits.
"""

import contextlib
import getpass
import glob
import itertools
import os
import pathlib
import shutil
import subprocess
import tempfile

from server import ROOT, free_port, poll

USER = "larder"
# Characters that an URL, a file of passwords and a command line treat in their own ways.
PASSWORD = "right pass:w/rd%1"
START_SECONDS_MAX = 60


def program(name):
    """The path of a program that has the logs of databases."""
    directory = pathlib.Path(os.environ.get("LARDER_DATABASE_PROGRAMS", ROOT / ".build" / "debug"))
    if not os.access(directory / name, os.X_OK):
        raise FileNotFoundError(
            f"no {name} at {directory}: build it (make database-programs) or set LARDER_DATABASE_PROGRAMS")
    return str(directory / name)


def _tool(name, *patterns):
    """A program of a database, which need not be in PATH."""
    found = shutil.which(name) or next((path for each in patterns for path in sorted(glob.glob(each))[-1:]), None)
    if found is None:
        raise FileNotFoundError(f"there is no {name}: make setup-test installs the databases")
    return found


class Database:
    """A database server. It runs as `account` if the tests run as root, and ends with the program of the tests.

    `prefix` begins its command line. `certificates` make it refuse connections over TCP without TLS; it shows the one
    of the name `certificate`, which the next start looks at.
    """

    certificate = "server"

    def __init__(self, host="127.0.0.1", certificates=None, prefix=()):
        self.host, self.certificates = host, certificates
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="larder-database-"))
        self.directory.chmod(0o755)
        self.port = free_port()
        self.process = None
        self.prefix = [*prefix, "setpriv", "--pdeathsig=KILL"]
        if os.getuid() == 0:
            self.prefix += [f"--reuid={self.account}", f"--regid={self.account}", "--clear-groups"]
            shutil.chown(self.directory, self.account, self.account)
        try:
            self._make()
            self.start()
            assert self._client("CREATE DATABASE larder", self.first_database).returncode == 0
            self.make_user(USER)
            self.sql(self.table_rights)
        except BaseException:
            self.end()
            raise

    def _own(self, name):
        """Gives the database a file of its own, which no other user can read: the certificate's key, for instance."""
        copy = self.directory / name
        shutil.copy(self.certificates.path(name), copy)
        copy.chmod(0o600)
        if os.getuid() == 0:
            shutil.chown(copy, self.account, self.account)
        return copy

    def _run(self, *words):
        outcome = subprocess.run(
            [*self.prefix, *map(str, words)], cwd="/", stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=120)
        assert outcome.returncode == 0, outcome.stdout + outcome.stderr

    def start(self):
        """Starts the server, and waits until it answers. Call it on the main thread, with which the server ends."""
        poll(self._has_started, lambda: f"{self.kind} answers: {self.log()}", START_SECONDS_MAX, 0.05)

    def _has_started(self):
        # A killed PostgreSQL leaves processes that end a little later. No other server starts until then.
        if self.process is None or self.process.poll() is not None:
            with open(self.directory / "log", "ab") as log:
                self.process = subprocess.Popen(
                    [*self.prefix, *map(str, self._server())], cwd="/", stdin=subprocess.DEVNULL, stdout=log,
                    stderr=log)
        return self._client("SELECT 1", self.first_database).returncode == 0

    def log(self):
        return (self.directory / "log").read_text(errors="replace")[-4000:]

    def sql(self, text):
        """Runs statements as the administrator. Returns what they print, a row a line."""
        outcome = self._client(text, "larder")
        assert outcome.returncode == 0, outcome.stderr
        return outcome.stdout

    def _client(self, text, database):
        return subprocess.run(
            [*self._client_words(), database], input=text, capture_output=True, text=True, timeout=60)

    def kill(self):
        self.process.kill()
        self.process.wait(10)

    def restart(self):
        self.kill()
        self.start()

    def end(self):
        """Whatever state it is in, no process and no file stays behind."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(self.end_signal)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(20)
            if self.process.poll() is None:
                self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def url(self, table, *options, login=USER):
        """The URL of a log, over TCP and without a password."""
        options = "&".join([f"table={table}", *options])
        return f"{self.kind}://{login}@{self.host}:{self.port}/larder?{options}"

    def password_option(self):
        """An option of an URL, by which a program finds the password in a file."""
        path = self.directory / "password"
        path.write_text(PASSWORD + "\n")
        return f"passwordfile={path}"


class MariaDB(Database):
    kind, account, first_database, end_signal = "mariadb", "mysql", "mysql", 9
    table_rights = f"GRANT ALL ON larder.* TO {USER}@'%'"

    def _make(self):
        self._run(
            _tool("mariadb-install-db"), "--no-defaults", f"--datadir={self.directory}/data",
            f"--user={self.account if os.getuid() == 0 else getpass.getuser()}",
            "--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve")

    def _server(self):
        words = [
            _tool("mariadbd", "/usr/sbin/mariadbd", "/usr/local/sbin/mariadbd", "/usr/libexec/mariadbd"),
            "--no-defaults", f"--datadir={self.directory}/data", f"--socket={self.directory}/socket",
            f"--pid-file={self.directory}/pid", f"--bind-address={self.host}", f"--port={self.port}",
            "--skip-name-resolve", "--innodb-buffer-pool-size=32M"]
        if self.certificates is not None:
            name = self.certificate
            words += [f"--ssl-cert={self._own(name + '.pem')}", f"--ssl-key={self._own(name + '.key')}",
                      f"--ssl-ca={self._own('authority.pem')}", "--require-secure-transport=ON"]
        return words

    def _client_words(self):
        return [_tool("mariadb"), "--no-defaults", "--user=root", f"--socket={self.directory}/socket", "-N", "-B"]

    def dump(self, tables):
        """A backup of tables: the statements that make them again."""
        words = [_tool("mariadb-dump"), *self._client_words()[1:4], "--single-transaction", "--hex-blob", "larder"]
        return subprocess.run([*words, *tables], check=True, capture_output=True, text=True, timeout=60).stdout

    def make_user(self, name):
        """A user with the password, and without any rights."""
        self.sql(f"CREATE USER {name}@'%' IDENTIFIED BY '{PASSWORD}'")

    def allow(self, name, tables):
        """Gives a user the rights that docs/replicated-caches.md lists."""
        for table in tables:
            self.sql(f"GRANT SELECT, INSERT, UPDATE, DELETE ON larder.{table} TO {name}@'%'")

    def demand_certificate(self, name):
        """Lets a user in only with a certificate of the authority."""
        self.sql(f"ALTER USER {name}@'%' REQUIRE X509")

    def environment(self):
        """Hands a program the password, as MariaDB's own programs take it."""
        return {"MYSQL_PWD": PASSWORD}


class PostgreSQL(Database):
    # SIGQUIT: at once, its processes, too.
    kind, account, first_database, end_signal = "postgresql", "postgres", "postgres", 3
    table_rights = f"GRANT CREATE ON SCHEMA public TO {USER}"

    @staticmethod
    def _program(name):
        return _tool(name, f"/usr/lib/postgresql/*/bin/{name}", f"/usr/local/bin/{name}")

    def _make(self):
        self._run(
            self._program("initdb"), "-D", self.directory / "data", "-U", "postgres", "--auth-local=trust",
            "--auth-host=scram-sha-256", "--no-sync")
        kind = "host" if self.certificates is None else "hostssl"
        self.rules = self.directory / "data" / "pg_hba.conf"
        self.rules.write_text(f"local all all trust\n{kind} all all all scram-sha-256\n")

    def _server(self):
        settings = {
            "listen_addresses": self.host, "port": self.port, "shared_buffers": "32MB",
            "unix_socket_directories": self.directory}
        if self.certificates is not None:
            settings |= {
                "ssl": "on", "ssl_cert_file": self._own(f"{self.certificate}.pem"),
                "ssl_key_file": self._own(f"{self.certificate}.key"), "ssl_ca_file": self._own("authority.pem")}
        words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return [self._program("postgres"), "-D", self.directory / "data", *words]

    def _client_words(self):
        return [self._program("psql"), "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", str(self.directory),
                "-p", str(self.port), "-U", "postgres", "-d"]

    def dump(self, tables):
        """A backup of tables: the statements that make them again."""
        words = [self._program("pg_dump"), "-h", str(self.directory), "-p", str(self.port), "-U", "postgres", "--clean"]
        words += [word for table in tables for word in ("-t", table)] + ["larder"]
        return subprocess.run(words, check=True, capture_output=True, text=True, timeout=60).stdout

    def make_user(self, name):
        """A user with the password, and without any rights."""
        self.sql(f"CREATE USER {name} PASSWORD '{PASSWORD}'")

    def allow(self, name, tables):
        """Gives a user the rights that docs/replicated-caches.md lists."""
        for table in tables:
            self.sql(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {name}")

    def demand_certificate(self, name):
        """Lets a user in only with a certificate of the authority."""
        rule = f"hostssl all {name} all scram-sha-256 clientcert=verify-ca\n"
        self.rules.write_text(rule + self.rules.read_text())
        self.restart()

    def environment(self):
        """Hands a program the password, as PostgreSQL's own programs take it."""
        path = self.directory / "pgpass"
        escaped = PASSWORD.replace("\\", "\\\\").replace(":", "\\:")
        path.write_text(f"{self.host}:{self.port}:larder:*:{escaped}\n")
        # libpq reads no file that others may read.
        path.chmod(0o600)
        return {"PGPASSFILE": str(path)}


DATABASES = {"mariadb": MariaDB, "postgresql": PostgreSQL}


class Log:
    """A log in a database, whose tables `larder log init` has made. `prefix` begins the command line of the tool."""

    _numbers = itertools.count()

    def __init__(self, database, *options, prefix=()):
        self.database, self.prefix = database, prefix
        self.table = f"log{next(self._numbers)}"
        self.url = database.url(self.table, *options)
        made = self.tool("init")
        assert made.returncode == 0, made.stderr

    @property
    def tables(self):
        return [f"{self.table}_{part}" for part in ("counter", "records", "snapshot")]

    def tool(self, *words):
        """`larder log`, with the URL and the password in the environment."""
        return tool(self.url, self.database.environment(), *words, prefix=self.prefix)

    def status(self):
        outcome = self.tool("status")
        assert outcome.returncode == 0, outcome.stderr
        return {name: int(value) for name, value in map(str.split, outcome.stdout.splitlines())}


def tool(url, environment, *words, prefix=()):
    """Runs `larder log` with nothing in its environment but `PATH`, `LARDER_LOG_URL` and `environment`."""
    return subprocess.run(
        [*prefix, program("larder"), "log", *map(str, words)], stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=60, env={"PATH": os.environ["PATH"], "LARDER_LOG_URL": url, **environment})
