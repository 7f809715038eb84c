"""The console of --admin in a browser."""

import base64
import json
import re
import urllib.parse

import pytest

from admin import Admin
from browser import Browser
from server import poll


@pytest.fixture
def admin(start_server):
    return Admin(start_server)


@pytest.fixture
def browser(tmp_path):
    browser = Browser(tmp_path / "browser")
    yield browser
    browser.close()


def figure(browser, name):
    return browser.text(f"[data-figure={json.dumps(name)}]")


@pytest.fixture
def page(admin, browser):
    """A browser that shows the console of `admin`."""
    browser.open(f"http://127.0.0.1:{admin.port}/")
    poll(lambda: browser.text("#state") == "Ready" and figure(browser, "Items"), lambda: browser.errors, 30, 0.05)
    return browser


def polls_of(browser):
    browser.evaluate("0")
    return sum("/status.json" in address for address in browser.requests)


class TestPage:
    def test_a_set_shows_at_the_next_poll_but_one(self, admin, page):
        """The page polls once a second, so a set is visible within two seconds."""
        assert figure(page, "Items") == "0"
        before = polls_of(page)
        with admin.server.connect() as connection:
            for number in range(7):
                assert connection.set(b"key-%d" % number, b"x") == b"STORED"
        poll(lambda: figure(page, "Items") == "7", "seven items", 30, 0.01)
        assert polls_of(page) - before <= 2
        poll(lambda: polls_of(page) > 4, "polls", 30, 0.05)
        gaps = page.evaluate(
            "performance.getEntriesByType('resource').filter(e => e.name.includes('status.json'))"
            ".map(e => e.startTime).map((time, place, all) => time - all[place - 1]).slice(1)")
        # On a slow machine some gaps are longer, so the shortest one is compared.
        assert 900 < min(gaps) < 1900, gaps

    def test_draws_what_happens(self, start_server, browser):
        admin = Admin(start_server, "--cache", "name=pages,items=100,listen=:0")
        browser.open(f"http://127.0.0.1:{admin.port}/")
        with admin.server.connect() as connection:
            def drawn():
                for number in range(600):
                    connection.set(b"key-%d" % number, b"x" * 100, exptime=1000)
                    assert connection.get(b"key-%d" % number)
                    assert connection.get(b"none") is None
                return "50.0 %" in browser.text("#ratio") and "≤" in browser.text("#latency tbody")

            poll(drawn, lambda: browser.text("body"), 30, 0.05)
            assert browser.evaluate("document.querySelectorAll('#rates path.series[d]').length") >= 3
            assert "hits" in browser.evaluate("document.querySelector('#rates svg').getAttribute('aria-label')")
            assert browser.evaluate("document.querySelectorAll('#map svg rect').length") > 12
            assert "within" in browser.text("#buckets tbody")
            assert "tcp:127.0.0.1:" in browser.text("#clients tbody")
            assert browser.text("#caches tbody").count("\n") == 1 and "pages" in browser.text("#caches tbody")
        browser.evaluate("document.querySelector('#cache').value = 'pages';"
                         "document.querySelector('#cache').dispatchEvent(new Event('change'))")
        poll(lambda: figure(browser, "Items") == "0", "the other cache's items", 30, 0.05)
        assert browser.errors == []

    def test_lists_keys_by_prefix(self, start_server, browser):
        admin = Admin(start_server, "-o", "hot_keys", "-D", ":", threads=1)
        keys = [f"user:{number:03}" for number in range(120)]
        with admin.server.connect() as connection:
            for key in [*keys, "other:<b>1</b>"]:
                assert connection.set(key.encode(), b"x") == b"STORED"
            for _ in range(300):
                assert connection.get(b"other:<b>1</b>") == b"x"
        browser.open(f"http://127.0.0.1:{admin.port}/")
        poll(lambda: figure(browser, "Items") == "121", "the items", 30, 0.05)
        browser.evaluate("document.querySelector('#prefix').value = 'user:';"
                         "document.querySelector('#list').requestSubmit()")
        listed = []
        for count in [50, 50, 20]:
            poll(lambda: browser.text("#listed-note").startswith(f"{count} keys"),
                 lambda: browser.text("#listed-note"), 30, 0.05)
            listed += browser.text("#listed").split()
            if count == 50:
                browser.evaluate("document.querySelector('#more').click()")
                poll(lambda: browser.text("#listed").split()[0] != listed[-50], "the next page", 30, 0.05)
        assert sorted(listed) == keys
        assert browser.evaluate("document.querySelector('#more').hidden")
        poll(lambda: "other:<b>1</b>" in browser.text("#hot-keys tbody"), "a hot key", 30, 0.05)
        assert browser.text("#prefixes tbody").split()[:2] == ["other", "300"]
        assert browser.errors == []

    def test_stays_on_its_host(self, admin, page):
        poll(lambda: polls_of(page) > 2, "polls", 30, 0.05)
        hosts = {urllib.parse.urlsplit(address).netloc for address in page.requests}
        assert hosts == {f"127.0.0.1:{admin.port}"}
        assert page.errors == []

    def test_by_keyboard(self, admin, page):
        key = '<img src=x onerror="document.title=1">'
        with admin.server.connect() as connection:
            encoded = base64.b64encode(key.encode())
            assert connection.ask(b"ms %b 5 b F7\r\nvalue\r\n" % encoded).startswith(b"HD")
        seen = []
        for _ in range(30):
            page.press("Tab")
            focus, outline = page.evaluate(
                "[document.activeElement.id || document.activeElement.tagName.toLowerCase() +"
                " (document.activeElement.getAttribute('href') ??"
                " document.activeElement.getAttribute('aria-labelledby') ?? ''),"
                " getComputedStyle(document.activeElement).outlineStyle]")
            if focus in seen:
                break
            if focus != "body":
                assert outline not in ("none", ""), focus
            seen.append(focus)
            if focus == "key":
                page.write(key)
                page.press("Enter")
                poll(lambda: "is in the cache" in page.text("#found"), lambda: page.text("#found"), 30, 0.05)
        parts = ["latency", "buckets", "caches", "hot-keys", "prefixes", "clients"]
        regions = {f"div{part}-heading" for part in parts}
        assert regions | {"cache", "key", "button", "prefix", "list-button", "a/metrics", "a/status.json"} <= set(seen)
        assert page.text("#found").startswith(f"{key} is in the cache.")
        assert page.evaluate("document.querySelectorAll('#found img').length") == 0
        assert page.evaluate("document.title") == "Larder" and "Flags" in page.text("#found")

    def test_names_for_everything(self, page):
        """Each field has a label, each drawing a name, each table's column a heading."""
        assert page.evaluate("[...document.querySelectorAll('input, select')].every(e => e.labels.length === 1)")
        assert page.evaluate("[...document.querySelectorAll('svg')].every("
                             "e => e.getAttribute('aria-label') || e.getAttribute('aria-hidden'))")
        assert page.evaluate("[...document.querySelectorAll('th')].every(e => e.textContent.trim())")
        assert page.evaluate("[...document.querySelectorAll('[role=region], section')].every("
                             "e => document.getElementById(e.getAttribute('aria-labelledby')).textContent)")

    @pytest.mark.parametrize("width", [360, 768, 1280])
    def test_fits_its_width(self, start_server, browser, width):
        admin = Admin(start_server, "--cache", f"name={'W' * 60},items=100,listen=:0", "-m", 1024)
        with admin.server.connect() as connection:
            for lifetime in [0, 100, 1000, 10_000, 2_000_000]:
                assert connection.set(b"key-%d" % lifetime, b"x" * 10_000, exptime=lifetime) == b"STORED"
        browser.resize(width)
        browser.open(f"http://127.0.0.1:{admin.port}/")
        poll(lambda: "days" in browser.text("#buckets tbody") and figure(browser, "Items"), "the page", 30, 0.05)
        browser.evaluate("document.querySelector('#key').value = 'W'.repeat(250);"
                         "document.querySelector('#search').requestSubmit()")
        poll(lambda: "not in the cache" in browser.text("#found"), "an answer", 30, 0.05)
        with admin.server.connect() as connection:
            assert connection.set(b"W" * 250, b"x") == b"STORED"
        browser.evaluate("document.querySelector('#prefix').value = 'W';"
                         "document.querySelector('#list').requestSubmit()")
        poll(lambda: "W" * 250 in browser.text("#listed"), "a list", 30, 0.05)
        assert browser.evaluate("innerWidth") == width
        assert browser.evaluate("document.documentElement.scrollWidth") <= width

    def test_light_and_dark(self, page):
        colours = {}
        for scheme in ["light", "dark"]:
            page.prefer(scheme)
            colours[scheme] = page.evaluate(
                "(() => { const background = getComputedStyle(document.querySelector('section')).backgroundColor;"
                " return ['body', '.note', 'a', 'th', 'h1 span', '#figures dt'].map(selector =>"
                " [selector, getComputedStyle(document.querySelector(selector)).color, background]); })()")
            for selector, text, background in colours[scheme]:
                assert contrast(text, background) >= 4.5, (scheme, selector, text, background)
        light, dark = (luminance(colours[scheme][0][2]) for scheme in ["light", "dark"])
        assert light > 0.8 and dark < 0.1

    def test_says_that_the_server_is_gone(self, admin, page):
        admin.server.stop()
        poll(lambda: page.text("#state").startswith("No answer"), lambda: page.text("#state"), 30, 0.05)


def luminance(colour):
    """The relative luminance of `rgb(r, g, b)`, as the WCAG guidelines define it."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(first, second):
    dark, light = sorted([luminance(first), luminance(second)])
    return (light + 0.05) / (dark + 0.05)
