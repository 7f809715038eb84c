"""The documentation's manifest, as the package manager reads it, links, and lengths. Other code is in the Swift tests."""

import json
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ARTICLE = ROOT / "Sources/LarderClient/LarderClient.docc/GettingStarted.md"


def described(package, scratch):
    """What the package manager reads in a manifest; it resolves and builds nothing for that."""
    command = ["swift", "package", "--package-path", package, "--scratch-path", scratch, "dump-package"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def test_manifest(tmp_path):
    blocks = re.findall(r"^```swift\n(.*?)^```$", ARTICLE.read_text(), re.MULTILINE | re.DOTALL)
    (manifest,) = [block for block in blocks if "import PackageDescription" in block]
    # The article has the reader make the package beside a directory that is called larder.
    package = tmp_path / "Greeter"
    package.mkdir()
    (package / "Package.swift").write_text(manifest)
    greeter = described(package, tmp_path / "scratch")
    larder = described(ROOT, tmp_path / "scratch-larder")

    (dependency,) = greeter["dependencies"]
    (location,) = dependency["fileSystem"]
    assert location["path"] == str(tmp_path / "larder")
    (target,) = greeter["targets"]
    assert (target["name"], target["type"]) == ("Greeter", "executable")
    ((product, identity, *_),) = [entry["product"] for entry in target["dependencies"]]
    assert identity == larder["name"] == location["identity"]
    assert product in [each["name"] for each in larder["products"] if "library" in each["type"]]


PAGES = sorted(
    page for pattern in ["*.md", "docs/*.md", "Benchmarks/*.md", "Tests/*/*.md", "Sources/*/*.docc/*.md"]
    for page in ROOT.glob(pattern))


def slugs(page):
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), link
        assert not anchor or anchor in slugs(target), link


def test_the_index_lists_every_page():
    listed = set(re.findall(r"\]\(([\w-]+\.md)\)", (ROOT / "docs/README.md").read_text()))
    assert listed == {page.name for page in (ROOT / "docs").glob("*.md")} - {"README.md"}


def test_the_first_pages_are_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 130
    assert len((ROOT / "ARCHITECTURE.md").read_text().split()) <= 1300
