"""The Python service of docker/compose.replicated.yaml: prices in a replicated cache, by way of the node's server.

    python prices.py SERVER ADDRESS PORT

`GET /NAME` answers with a price, `PUT /NAME` sets it, `POST /NAME` adds to it, `DELETE /NAME` removes it. A change is
answered when it is durable. Any client of memcached would do: the server's cache is the same on all nodes.
"""

import http.server
import sys

from pymemcache.client.base import PooledClient
from pymemcache.exceptions import MemcacheError, MemcacheServerError


class Prices(http.server.BaseHTTPRequestHandler):
    client = None

    def answer(self, status, body=b""):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def body(self):
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def work(self, change):
        """Answers with a price, or says why the change was not made."""
        try:
            price = change(self.path.removeprefix("/"))
        except MemcacheServerError as error:
            # Without the log the server reads on, and refuses changes.
            return self.answer(503, error.args[0] + b"\n")
        except (MemcacheError, OSError) as error:
            return self.answer(503, f"{error}\n".encode())
        return self.answer(404) if price is None else self.answer(200, price)

    def do_GET(self):
        self.work(self.client.get)

    def do_PUT(self):
        def put(name):
            price = self.body()
            self.client.set(name, price, noreply=False)
            return price

        self.work(put)

    def do_POST(self):
        def add(name):
            price = self.client.incr(name, int(self.body()))
            return None if price is None else b"%d" % price

        self.work(add)

    def do_DELETE(self):
        self.work(lambda name: b"" if self.client.delete(name, noreply=False) else None)


if __name__ == "__main__":
    Prices.client = PooledClient(sys.argv[1], timeout=30)
    http.server.ThreadingHTTPServer((sys.argv[2], int(sys.argv[3])), Prices).serve_forever()
