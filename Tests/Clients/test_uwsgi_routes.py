"""The routes by which a real uWSGI takes pages out of a cache and puts them into it."""

import pytest

from server import Connection, free_port, poll
from uwsgi_client import UwsgiClient

KINDS = pytest.mark.parametrize("kind", ["cache", "memcached"])
PAGES = "name=pages,items=100,bitmap=1,blocksize=4k,blocks=1000,max_item_size=1m"


class Routes:
    """A uWSGI with both routes of a kind, and the address where clients of memcached see its pages."""

    def __init__(self, start_server, directory, kind, options=""):
        self.port = free_port()
        self.start = lambda **more: start_server(
            "--uwsgi", f"127.0.0.1:{self.port}", "--cache", f"{PAGES},listen=:0", threads=2, **more)
        self.server = self.start()
        main, *others = self.server.addresses
        if kind == "cache":
            place = f"name=pages@127.0.0.1:{self.port}"
            self.address = next(each for each in others if each[1] != self.port)
        else:
            place, self.address = f"addr=127.0.0.1:{main[1]}", main
        self.uwsgi = UwsgiClient(directory, routes=[
            f"^/(.+)$ {kind}:key=$1,{place}", f"^/(.+)$ {kind}store:key=$1,{place}{options}"])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.uwsgi.stop()


@KINDS
def test_a_page_is_stored_and_served(start_server, tmp_path, kind):
    with Routes(start_server, tmp_path, kind) as routes, Connection(routes.address) as client:
        uwsgi = routes.uwsgi
        first = uwsgi.page("/first")
        poll(lambda: client.get(b"first") == first, "the page is stored", 10)
        assert client.ask(b"mg first t\r\n") == b"HD t-1"
        # The application would answer with another number.
        assert uwsgi.page("/first") == first
        assert uwsgi.page("/second") != first
        # Clients of memcached replace the page, and remove it.
        assert client.set(b"first", b"replaced") == b"STORED"
        assert uwsgi.page("/first") == b"replaced"
        assert client.ask(b"delete first\r\n") == b"DELETED"
        assert uwsgi.page("/first") not in [first, b"replaced"]


@KINDS
def test_pages_of_any_size_and_bytes(start_server, tmp_path, kind):
    with Routes(start_server, tmp_path, kind) as routes, Connection(routes.address) as client:
        for size in [0, 256, 4096, 65_536, 131_072, 1_000_000]:
            path = f"page.{size}"
            page = routes.uwsgi.page(f"/{path}")
            assert len(page) >= size // 256 * 256 + len(b"page 1")
            poll(lambda: client.get(path.encode()) == page, f"the page of {size} bytes is stored", 10)
            assert routes.uwsgi.page(f"/{path}") == page
        # A page that is larger than a value may be is not stored, and comes from the application each time.
        pages = {routes.uwsgi.page("/page.1048576") for _ in range(2)}
        assert len(pages) == 2 and client.get(b"page.1048576") is None


@KINDS
def test_an_expiry(start_server, tmp_path, kind):
    with Routes(start_server, tmp_path, kind, ",expires=5000") as routes, Connection(routes.address) as client:
        page = routes.uwsgi.page("/page")
        poll(lambda: client.get(b"page") == page, "the page is stored", 10)
        assert 4900 <= int(client.ask(b"mg page t\r\n").removeprefix(b"HD t")) <= 5001
        assert routes.uwsgi.page("/page") == page
        # It is over: the application is asked again.
        assert client.ask(b"touch page -1\r\n") == b"TOUCHED"
        assert routes.uwsgi.page("/page") != page


@KINDS
def test_without_the_server(start_server, tmp_path, kind):
    """The application answers, and pages are stored again when the server is back."""
    with Routes(start_server, tmp_path, kind) as routes:
        page = routes.uwsgi.page("/page")
        port = routes.server.port
        routes.server.stop()
        alone = [routes.uwsgi.page("/page") for _ in range(2)]
        assert len({page, *alone}) == 3
        server = routes.start(port=port)
        again = routes.uwsgi.page("/page")
        assert again not in alone
        poll(lambda: routes.uwsgi.page("/page") == routes.uwsgi.page("/page"), "the page is stored", 10)
        server.assert_alive()
