"""A real uWSGI that calls its own cache functions when it is told to: a client of the uwsgi protocol."""

import base64
import json
import pathlib
import re
import socket
import subprocess
import sys
import urllib.request

from server import free_port, poll

APPLICATION = """
import base64, json, uwsgi

pages = 0

def application(environ, start_response):
    if environ["REQUEST_METHOD"] == "GET":
        # A page that is another one each time, unless a cache answers. "/name.1000" is longer by some 1,000 bytes.
        global pages
        pages += 1
        start_response("200 OK", [("Content-Type", "text/plain")])
        length = environ["PATH_INFO"].partition(".")[2] or 0
        return [b"page %d" % pages + bytes(range(256)) * (int(length) // 256)]
    body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    function, *arguments = json.loads(body)
    decoded = [base64.b64decode(each["bytes"]) if isinstance(each, dict) else each for each in arguments]
    if function == "evaluate":
        result = eval(*decoded, {"uwsgi": uwsgi})
    else:
        result = getattr(uwsgi, "cache_" + function)(*decoded)
    if isinstance(result, bytes):
        result = {"bytes": base64.b64encode(result).decode()}
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(result).encode()]
"""


def remote(port, key, cache):
    """Value and expiry of an item, as a uWSGI or a Larder tells them over the uwsgi protocol."""
    fields = [b"cmd", b"get", b"key", key, b"cache", cache]
    body = b"".join(len(each).to_bytes(2, "little") + each for each in fields)
    with socket.create_connection(("127.0.0.1", port), 10) as client:
        client.sendall(b"\x6f" + len(body).to_bytes(2, "little") + b"\x11" + body)
        data = bytearray()
        while piece := client.recv(1 << 16):
            data += piece
    length = int.from_bytes(data[1:3], "little") + 4
    expires = re.search(rb"expires..(\d+)", data[:length], re.DOTALL)
    return bytes(data[length:]), int(expires[1]) if expires else 0


def _receives_datagrams(port):
    """Whether a socket of this machine has the UDP port."""
    lines = pathlib.Path("/proc/net/udp").read_text().splitlines()[1:]
    return any(line.split()[1].endswith(f":{port:04X}") for line in lines)


class UwsgiClient:
    """`client.get(b"k", "NAME@HOST:PORT")` is `uwsgi.cache_get` with these arguments, and so on.

    `caches` are its own ones, before the one that is called local. `client.evaluate("...")` is any expression in it.
    `socket_port` is where it serves the uwsgi protocol. `options` are further ones of its command line.
    `client.page("/x")` asks for a page, by its `routes`.
    """

    def __init__(self, directory, *caches, routes=(), socket_port=None, options=()):
        self.port = free_port()
        self.socket_port = socket_port or free_port()
        script = pathlib.Path(directory) / "application.py"
        script.write_text(APPLICATION)
        self.log = open(pathlib.Path(directory) / "uwsgi.log", "wb")
        self.process = subprocess.Popen(
            [pathlib.Path(sys.executable).with_name("uwsgi"), "--http-socket", f"127.0.0.1:{self.port}", "--master",
             "--socket", f"127.0.0.1:{self.socket_port}",
             "--wsgi-file", script, "--die-on-term",
             *(each for cache in [*caches, "name=local,items=10"] for each in ("--cache2", cache)),
             *(each for route in routes for each in ("--route", route)), *options],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT, cwd=directory)
        try:
            poll(self._answers, "uWSGI answers", 20)
            # A thread opens these, at times after the first answer. Until then datagrams are lost.
            for port in re.findall(r"udp=127\.0\.0\.1:(\d+)", ",".join(caches)):
                poll(lambda: _receives_datagrams(int(port)), f"uWSGI opens port {port} for datagrams", 20)
        except BaseException:
            self.stop()
            raise

    def _answers(self):
        assert self.process.poll() is None, f"uWSGI ended with {self.process.returncode}"
        try:
            return self.exists("none", "local") is None
        except OSError:
            return False

    def __call__(self, function, *arguments):
        return self.call(function, *arguments)

    def __getattr__(self, function):
        return lambda *arguments: self.call(function, *arguments)

    def call(self, function, *arguments):
        encoded = [
            {"bytes": base64.b64encode(each).decode()} if isinstance(each, bytes) else each for each in arguments]
        body = json.dumps([function, *encoded]).encode()
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", body, timeout=20) as answer:
            result = json.load(answer)
        return base64.b64decode(result["bytes"]) if isinstance(result, dict) else result

    def page(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=20) as answer:
            return answer.read()

    def stop(self):
        self.process.terminate()
        self.process.wait(20)
        self.log.close()
