"""The documentation's manifest, as the package manager reads it. The rest of its code is in the Swift tests."""

import json
import re
import subprocess
from pathlib import Path

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
