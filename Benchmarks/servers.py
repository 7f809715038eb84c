"""Starting the servers under test and the load, for compare.py."""

import glob
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time


class Server:
    """A server on one port or Unix socket, pinned to some cores; use it as a context.

    `tls`: the path of a certificate and of its key, both PEM.
    """

    def __init__(
            self, kind, path, options, port, cores, directory, unix=False, wrapper=(), environment=None, tls=None):
        self.kind = kind
        self.port = port
        self.certificate = tls[0] if tls else None
        self.socket = os.path.join(directory, f"{kind}.sock") if unix else None
        self.log = os.path.join(directory, f"{kind}.log")
        place = ["-s", self.socket] if unix else ["-p", str(port), "-l", "127.0.0.1"]
        if tls:
            place += ["-Z", "-o", f"ssl_chain_cert={tls[0]},ssl_key={tls[1]}"]
        # memcached refuses to be root, which containers' users are.
        user = ["-u", "root"] if kind == "memcached" and os.geteuid() == 0 else []
        # Under taskset from the start: on a running server it would pin the main thread only.
        pinned = ["taskset", "-c", ",".join(map(str, cores))]
        self.command = pinned + list(wrapper) + [path] + user + place + options
        self.environment = environment
        self.process = None

    @staticmethod
    def version(path):
        return subprocess.run([path, "-V"], capture_output=True, text=True, check=True).stdout.split("\n")[0]

    def __enter__(self):
        with open(self.log, "w", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                self.command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=self.environment)
        self.await_answer()
        return self

    def __exit__(self, *_):
        self.stop()

    def await_answer(self):
        for _ in range(600):
            if self.process.poll() is not None:
                break
            try:
                family = socket.AF_UNIX if self.socket else socket.AF_INET
                with socket.socket(family) as probe:
                    probe.connect(self.socket or ("127.0.0.1", self.port))
                    if self.certificate:
                        return
                    probe.sendall(b"version\r\n")
                    if probe.recv(100).startswith(b"VERSION"):
                        return
            except OSError:
                pass
            time.sleep(0.05)
        self.stop()
        with open(self.log, encoding="utf-8") as log:
            sys.exit(f"compare: {self.kind} does not answer:\n{log.read()}")

    def connect_idle(self, count):
        """Connections that say nothing."""
        idle = []
        for _ in range(count):
            connection = socket.create_connection(("127.0.0.1", self.port))
            # Reset at the end: thousands of ports would be out of use for a minute otherwise.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
            idle.append(connection)
        return idle

    def stop(self):
        """Ends the server gently, and surely."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def cpu_seconds(self):
        """CPU time of all threads, by the scheduler's own account: nanoseconds, not ticks."""
        total = 0
        for path in glob.glob(f"/proc/{self.process.pid}/task/*/schedstat"):
            with open(path, encoding="ascii") as file:
                total += int(file.read().split()[0])
        return total / 1e9

    def resident_megabytes(self, kind="VmRSS"):
        """`kind`: a line of the process's status; RssAnon leaves out the pages of files, the program's own among them."""
        with open(f"/proc/{self.process.pid}/status", encoding="utf-8") as file:
            return int(re.search(kind + r":\s+(\d+)", file.read()).group(1)) / 1024


def make_certificate(directory):
    """The paths of a certificate for this machine, which is its own authority, and of its key."""
    certificate, key = os.path.join(directory, "server.pem"), os.path.join(directory, "server.key")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-out", certificate,
         "-keyout", key],
        check=True, stdin=subprocess.DEVNULL, capture_output=True)
    return certificate, key


class Loader:
    """larder-bench, pinned."""

    def __init__(self, path, cores, directory):
        self.command = ["taskset", "-c", ",".join(map(str, cores)), path, "--hide-histogram"]
        self.json = os.path.join(directory, "bench.json")
        self.restart_seeds()

    def restart_seeds(self):
        self.seed = 1

    def next_seed(self):
        self.seed += 1
        return self.seed

    def run(self, server, options):
        """Runs one load and returns its figures."""
        place = ["-S", server.socket] if server.socket else ["-s", "127.0.0.1", "-p", str(server.port)]
        if server.certificate:
            place += ["--tls", "--cacert", server.certificate]
        command = self.command + place + options + ["--json-out-file", self.json]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            sys.exit(f"compare: {server.kind}: {done.stderr}")
        with open(self.json, encoding="utf-8") as file:
            return json.load(file)["ALL STATS"]

    def fill(self, server, load):
        """Stores every key of a load once."""
        keep = {"--key-minimum", "--key-maximum", "-d", "--data-size-range", "--client-flags"}
        options = [word for at, word in enumerate(load) if word in keep or (at and load[at - 1] in keep)]
        return self.run(server, options + [
            "--ratio", "1:0", "--key-pattern", "P:P", "-n", "allkeys", "-c", "4", "--pipeline", "16"])
