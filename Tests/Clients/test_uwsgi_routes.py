"""The routes by which a real uWSGI takes pages out of a cache and puts them into it."""

import re

import pytest

from server import Connection, poll
from uwsgi_client import UwsgiClient


@pytest.mark.parametrize("kind", ["cache", "memcached"])
def test_a_page_is_stored_and_served(start_server, tmp_path, kind):
    server = start_server("--uwsgi", "127.0.0.1:0", "--cache", "name=pages,items=100,listen=:0", threads=2)
    main, *others = server.addresses
    if kind == "cache":
        line = poll(lambda: re.search(r"at tcp:127\.0\.0\.1:(\d+)", server.stderr), "it says where it serves")
        port = int(line[1])
        place = f"name=pages@127.0.0.1:{port}"
        address = next(each for each in others if each[1] != port)
    else:
        place, address = f"addr=127.0.0.1:{main[1]}", main
    routes = [f"^/(.+)$ {kind}:key=$1,{place}", f"^/(.+)$ {kind}store:key=$1,{place}"]
    uwsgi = UwsgiClient(tmp_path, routes=routes)
    try:
        with Connection(address) as client:
            first = uwsgi.page("/first")
            poll(lambda: client.get(b"first") == first, "the page is stored", 10)
            # The application would answer with another number.
            assert uwsgi.page("/first") == first
            assert uwsgi.page("/second") != first
            # Clients of memcached replace the page, and remove it.
            assert client.set(b"first", b"replaced") == b"STORED"
            assert uwsgi.page("/first") == b"replaced"
            assert client.ask(b"delete first\r\n") == b"DELETED"
            assert uwsgi.page("/first") not in [first, b"replaced"]
    finally:
        uwsgi.stop()
