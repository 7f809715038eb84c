"""Django's two memcached backends, with what a Django site does to its cache."""

import threading

import django
import pytest
from django.conf import settings
from django.core.cache import CacheHandler
from django.core.cache.backends.base import InvalidCacheKey
from django.test import RequestFactory

from server import poll

BACKENDS = ["PyMemcacheCache", "PyLibMCCache"]

if not settings.configured:
    settings.configure(USE_TZ=True, DEFAULT_CHARSET="utf-8", ALLOWED_HOSTS=["testserver"])
    django.setup()


def handler(backend, server, **options):
    """The caches of a site: one entry, `default`."""
    place = f"unix:{server.socket_path}" if server.socket_path and backend == "PyMemcacheCache" else server.text_address
    return CacheHandler({"default": {
        "BACKEND": f"django.core.cache.backends.memcached.{backend}", "LOCATION": place, "KEY_PREFIX": "site",
        **options}})


@pytest.fixture(params=BACKENDS)
def caches(request, server):
    caches = handler(request.param, server)
    yield caches
    caches.close_all()


@pytest.fixture
def cache(caches):
    return caches["default"]


def test_values(cache):
    values = {"text": "käse", "number": 7, "list": [1, {"two": 3.0}], "bytes": b"\0\r\n", "large": "x" * 900_000}
    assert cache.set_many(values) == []
    assert cache.get_many([*values, "nobody"]) == values
    assert cache.get("nobody", "else") == "else"
    cache.delete_many(list(values))
    assert cache.get_many(list(values)) == {}


def test_none_is_a_value(cache):
    cache.set("none", None)
    assert cache.get("none", "else") is None
    assert cache.has_key("none") and "none" in cache and "nobody" not in cache


def test_add_delete_get_or_set(cache):
    assert cache.add("key", 1) is True
    assert cache.add("key", 2) is False
    assert cache.get("key") == 1
    assert cache.delete("key") is True
    assert cache.delete("key") is False
    assert cache.get_or_set("key", lambda: 42) == 42
    assert cache.get_or_set("key", 43) == 42


def test_numbers(cache):
    cache.set("number", 10)
    assert cache.incr("number", 5) == 15
    assert cache.decr("number", 4) == 11
    assert cache.get("number") == 11
    with pytest.raises(ValueError):
        cache.incr("nobody")


def test_versions(cache):
    cache.set("key", "one", version=1)
    cache.set("key", "two", version=2)
    assert (cache.get("key"), cache.get("key", version=2)) == ("one", "two")
    assert cache.incr_version("key", version=2) == 3
    assert cache.get("key", version=3) == "two"


def test_timeouts(cache):
    cache.set("forever", 1, timeout=None)
    cache.set("short", 1, timeout=1)
    cache.set("month", 1, timeout=60 * 60 * 24 * 31)
    cache.set("never", 1, timeout=0)
    assert cache.get_many(["forever", "short", "month", "never"]) == {"forever": 1, "short": 1, "month": 1}
    assert cache.touch("forever", 100) is True
    assert cache.touch("nobody") is False
    poll(lambda: cache.get("short") is None, "the key expires", seconds=3)
    assert cache.get("month") == 1


def test_clear(cache):
    cache.set("key", 1)
    cache.clear()
    assert cache.get("key") is None
    cache.set("key", 2)
    assert cache.get("key") == 2


def test_too_large_is_dropped(cache, caches):
    """Django's promise: a failed set leaves no old value behind."""
    cache.set("key", "old")
    try:
        cache.set("key", "x" * (1 << 20))
    except Exception as failure:
        assert "large" in str(failure).lower() or "TooBig" in type(failure).__name__
    assert cache.get("key") is None


def test_keys(cache):
    with pytest.raises(InvalidCacheKey):
        cache.set("x" * 251, 1)
    cache.set("schlüssel", 1)
    assert cache.get("schlüssel") == 1


def test_sessions(caches, monkeypatch):
    """The cache session backend keeps a visitor's data."""
    from django.contrib.sessions.backends import cache as sessions
    monkeypatch.setattr(sessions, "caches", caches)
    session = sessions.SessionStore()
    session["visitor"] = {"name": "Ada", "count": 1}
    session.save()
    again = sessions.SessionStore(session.session_key)
    assert again["visitor"] == {"name": "Ada", "count": 1}
    again.delete()
    assert sessions.SessionStore(session.session_key).load() == {}


def test_page_cache(caches, monkeypatch):
    """The page cache serves the second request without calling the view."""
    from django.http import HttpResponse
    from django.middleware import cache as middleware
    from django.utils import cache as utilities
    from django.views.decorators.cache import cache_page
    monkeypatch.setattr(middleware, "caches", caches)
    monkeypatch.setattr(utilities, "caches", caches)
    calls = []

    @cache_page(60)
    def view(request):
        calls.append(request.path)
        return HttpResponse(b"page " * 1000)

    for _ in range(3):
        assert view(RequestFactory().get("/page")).content == b"page " * 1000
    assert calls == ["/page"]


def test_threads(caches):
    errors = []

    def work(number):
        cache = caches["default"]
        for index in range(100):
            cache.set(f"{number}:{index}", index)
            if cache.get(f"{number}:{index}") != index:
                errors.append((number, index))
        cache.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
