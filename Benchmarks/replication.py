"""A replicated cache over FileLog, MariaDB and PostgreSQL, beside the same databases' own single-row commits.

Starts databases in empty data directories, and ends them. Prints a table: writes a second with 1, 8 and 64 writers,
records a second of a new replica, the delay to another replica, and the time of a read beside a dictionary's.

    swift build -c release --package-path Benchmarks --traits Databases --product larder-replicas
    python3 Benchmarks/replication.py
"""

import argparse
import getpass
import glob
import os
import shutil
import subprocess
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", default=os.path.join(ROOT, "Benchmarks/.build/release/larder-replicas"))
    parser.add_argument("--directory", help="where the data is: a directory of the disk to be measured")
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--updates", type=int, default=2000, help="updates whose delay is measured")
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--reads", type=int, default=5_000_000)
    parser.add_argument("--logs", default="file,mariadb,postgresql")
    return parser.parse_args()


def program(name, pattern):
    return shutil.which(name) or (sorted(glob.glob(pattern)) or [name])[-1]


class Database:
    """A server that ends with the block."""

    def __init__(self, directory):
        self.directory = directory
        self.process = None

    def __enter__(self):
        self.make()
        self.process = subprocess.Popen(self.server(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 60
        while not self.answers():
            if time.monotonic() > end:
                raise SystemExit(f"{self.server()[0]} does not answer")
            time.sleep(0.1)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()


class MariaDB(Database):
    def make(self):
        subprocess.run(
            [program("mariadb-install-db", "/usr/bin/mariadb-install-db"), "--no-defaults",
             f"--datadir={self.directory}/data", f"--user={getpass.getuser()}",
             "--auth-root-authentication-method=normal", "--skip-test-db"], check=True, stdout=subprocess.DEVNULL)

    def server(self):
        return [program("mariadbd", "/usr/sbin/mariadbd"), "--no-defaults", f"--datadir={self.directory}/data",
                f"--user={getpass.getuser()}", f"--socket={self.directory}/socket", "--skip-networking"]

    def sql(self, text):
        return subprocess.run(
            ["mariadb", "--no-defaults", "-u", "root", f"--socket={self.directory}/socket", "-e", text],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0

    def answers(self):
        return self.sql("CREATE DATABASE IF NOT EXISTS larder")

    def url(self):
        return f"mariadb://root@/larder?socket={self.directory}/socket"

    def commits_per_second(self, seconds):
        """Single-row commits of one connection."""
        self.sql("CREATE TABLE larder.own (id BIGINT AUTO_INCREMENT PRIMARY KEY, contents BLOB)")
        rows = 500 * seconds
        script = os.path.join(self.directory, "rows.sql")
        with open(script, "w") as file:
            file.write(f"INSERT INTO larder.own (contents) VALUES ('{'x' * 100}');\n" * rows)
        start = time.monotonic()
        with open(script) as file:
            subprocess.run(["mariadb", "--no-defaults", "-u", "root", f"--socket={self.directory}/socket"],
                           stdin=file, check=True)
        return round(rows / (time.monotonic() - start))


class PostgreSQL(Database):
    prefix = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.getuid() == 0 else []

    def tool(self, name):
        return program(name, f"/usr/lib/postgresql/*/bin/{name}")

    def make(self):
        if self.prefix:
            shutil.chown(self.directory, "postgres", "postgres")
        subprocess.run([*self.prefix, self.tool("initdb"), "-D", f"{self.directory}/data", "-U", "larder",
                        "--auth=trust"], check=True, stdout=subprocess.DEVNULL, cwd="/")

    def server(self):
        return [*self.prefix, self.tool("postgres"), "-D", f"{self.directory}/data", "-k", self.directory,
                "-c", "listen_addresses="]

    def sql(self, text):
        return subprocess.run(["psql", "-q", "-h", self.directory, "-U", "larder", "-d", "postgres", "-c", text],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0

    def answers(self):
        return self.sql("SELECT 1")

    def url(self):
        return f"postgresql://larder@/postgres?host={self.directory}"

    def commits_per_second(self, seconds):
        self.sql("CREATE TABLE own (id BIGSERIAL PRIMARY KEY, contents BYTEA)")
        script = os.path.join(self.directory, "row.sql")
        with open(script, "w") as file:
            file.write(f"INSERT INTO own (contents) VALUES ('{'x' * 100}');\n")
        told = subprocess.run(
            [self.tool("pgbench"), "-n", "-c", "1", "-T", str(seconds), "-f", script, "-h", self.directory, "-U",
             "larder", "postgres"], check=True, capture_output=True, text=True).stdout
        rate = [line.split()[2] for line in told.splitlines() if line.startswith("tps = ")]
        return round(float(rate[0]))


def measure(options, *words):
    told = subprocess.run([options.program, *map(str, words)], capture_output=True, text=True)
    if told.returncode:
        raise SystemExit(told.stdout)
    return {name: int(number) for name, number in map(str.split, told.stdout.splitlines())}


def run(options, log, directory):
    states = os.path.join(directory, "states")
    os.mkdir(states)
    measure(options, "init", log)
    for writers in (1, 8, 64):
        rate = measure(options, "writes", log, states, writers, options.seconds)["writes_per_second"]
        print(f"  writes a second, {writers} writers: {rate:,}")
    caught = measure(options, "catchup", log, states)
    print(f"  a new replica reads {caught['records_per_second']:,} records a second, of {caught['records']:,}")
    delay = measure(options, "delay", log, states, options.updates)
    print(f"  delay to another replica: p50 {delay['p50_microseconds']:,} us, p99 {delay['p99_microseconds']:,} us")


def main():
    options = arguments()
    servers = {"mariadb": MariaDB, "postgresql": PostgreSQL}
    for name in options.logs.split(","):
        with tempfile.TemporaryDirectory(dir=options.directory) as directory:
            os.chmod(directory, 0o755)
            print(name)
            if name == "file":
                run(options, os.path.join(directory, "log"), directory)
                states = os.path.join(directory, "states")
                times = measure(options, "reads", directory + "/log", states, options.keys, options.reads)
                print(f"  a read: {times['read_nanoseconds']} ns; of a dictionary behind a mutex: "
                      f"{times['dictionary_nanoseconds']} ns")
                continue
            home = os.path.join(directory, "database")
            os.mkdir(home)
            with servers[name](home) as database:
                print(f"  the database's own single-row commits a second: "
                      f"{database.commits_per_second(options.seconds):,}")
                run(options, database.url(), directory)


if __name__ == "__main__":
    main()
