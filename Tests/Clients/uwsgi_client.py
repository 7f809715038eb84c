"""A real uWSGI that calls its own cache functions when it is told to: a client of the uwsgi protocol."""

import base64
import json
import pathlib
import subprocess
import sys
import urllib.request

from server import free_port, poll

APPLICATION = """
import base64, json, uwsgi

def application(environ, start_response):
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


class UwsgiClient:
    """`client.get(b"k", "NAME@HOST:PORT")` is `uwsgi.cache_get` with these arguments, and so on.

    `caches` are its own ones beside the one that is called local. `client.evaluate("...")` is any expression in it.
    `socket_port` is where it serves the uwsgi protocol.
    """

    def __init__(self, directory, *caches):
        self.port = free_port()
        self.socket_port = free_port()
        script = pathlib.Path(directory) / "application.py"
        script.write_text(APPLICATION)
        self.log = open(pathlib.Path(directory) / "uwsgi.log", "wb")
        self.process = subprocess.Popen(
            [pathlib.Path(sys.executable).with_name("uwsgi"), "--http-socket", f"127.0.0.1:{self.port}", "--master",
             "--socket", f"127.0.0.1:{self.socket_port}",
             "--wsgi-file", script, "--cache2", "name=local,items=10", "--die-on-term",
             *(each for cache in caches for each in ("--cache2", cache))],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT, cwd=directory)
        try:
            poll(self._answers, "uWSGI answers", 20)
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

    def stop(self):
        self.process.terminate()
        self.process.wait(20)
        self.log.close()
