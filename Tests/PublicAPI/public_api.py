#!/usr/bin/env python3
"""The public symbols of each library, in a text file that is under review: a change of them is a change of the file.

    public_api.py check    says how the symbols of the last debug build differ from the files, and which have no comment
    public_api.py write    writes the files anew

The symbols are those of the compiler's symbol graph. It is taken from the modules in .build/debug, so nothing is built.
"""

import difflib
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / ".build" / "debug"
LIBRARIES = [
    "LarderStore", "LarderReplication", "LarderMariaDB", "LarderPostgreSQL", "LarderClient", "LarderTestServer",
    "LarderHummingbird", "LarderGRDB"]
UNDOCUMENTED = "symbols without a comment:"
# Conformances that every type has, or that follow from another.
IMPLIED = {"Copyable", "Escapable", "SendableMetatype", "Equatable"}


class Surface:
    """What one library shows: a line for each symbol and each conformance, and who has no comment."""

    def __init__(self, graphs):
        self.lines, self.undocumented = set(), []
        for graph in graphs:
            names = {}
            for symbol in graph["symbols"]:
                name = names[symbol["identifier"]["precise"]] = ".".join(symbol["pathComponents"])
                declaration = "".join(fragment["spelling"] for fragment in symbol["declarationFragments"])
                self.lines.add(f"{name}: {' '.join(declaration.split())}")
                if not symbol.get("docComment"):
                    self.undocumented.append(name)
            self.lines |= set(_conformances(graph, names))
        self.undocumented.sort()

    def text(self):
        head = [f"# {UNDOCUMENTED} {len(self.undocumented)}"] if self.undocumented else []
        return "\n".join(head + sorted(self.lines)) + "\n"


def _conformances(graph, names):
    for relationship in graph["relationships"]:
        if relationship["kind"] != "conformsTo":
            continue
        source = names.get(relationship["source"])
        target = names.get(relationship["target"]) or relationship.get("targetFallback", "?").removeprefix("Swift.")
        if source is None or target in IMPLIED:
            continue
        constraints = " and ".join(
            f"{each['lhs']}: {each['rhs']}" for each in relationship.get("swiftConstraints", []))
        yield f"{source}: conforms to {target}" + (f" where {constraints}" if constraints else "")


def allowed_undocumented(text):
    """How many symbols of a library may be without a comment: as many as the file says, which is none if it does not."""
    match = re.match(rf"# {UNDOCUMENTED} (\d+)$", text, re.MULTILINE)
    return int(match[1]) if match else 0


def complaints(library, surface, text):
    """What is wrong with a library whose file has this text; None for a library without a file."""
    lines = []
    allowed = allowed_undocumented(text or "")
    if text is not None and len(surface.undocumented) > allowed:
        lines.append(f"{library}: {len(surface.undocumented)} public symbols without a comment, {allowed} may be:")
        lines += [f"    {name}" for name in surface.undocumented]
    if surface.text() != (text or ""):
        lines.append(f"{library}: the public symbols are not those of Tests/PublicAPI/{library}.txt.")
        lines.append("If that is meant, `make public-api` writes the file anew.")
        lines += difflib.unified_diff(
            (text or "").splitlines(), surface.text().splitlines(), "the file", "the build", lineterm="", n=0)
    return lines


def symbol_graphs(library):
    """The compiler's symbol graph of a library: its own symbols, and those that it adds to other modules."""
    manifest = BUILD.with_suffix(".yaml")
    if not (BUILD / "Modules" / f"{library}.swiftmodule").exists() or not manifest.exists():
        sys.exit(f"{library} is not built: `make debug` builds it.")
    maps = sorted(set(re.findall(r'-fmodule-map-file=[^"]+', manifest.read_text())))
    target = json.loads(subprocess.run(
        ["swift", "-print-target-info"], check=True, capture_output=True, text=True).stdout)["target"]["triple"]
    with tempfile.TemporaryDirectory() as folder:
        command = ["swift", "symbolgraph-extract", "-module-name", library, "-I", BUILD / "Modules"]
        command += [word for each in maps for word in ("-Xcc", each)]
        command += ["-target", target, "-minimum-access-level", "public", "-skip-synthesized-members"]
        subprocess.run(command + ["-output-dir", folder], check=True)
        return [json.loads(path.read_text()) for path in sorted(Path(folder).glob("*.symbols.json"))]


def main(command):
    failed = False
    for library in LIBRARIES:
        file = Path(__file__).with_name(f"{library}.txt")
        text = file.read_text() if file.exists() else None
        surface = Surface(symbol_graphs(library))
        if command == "write" and (text is None or len(surface.undocumented) <= allowed_undocumented(text)):
            file.write_text(surface.text())
            continue
        lines = complaints(library, surface, text)
        print("\n".join(lines), file=sys.stderr, end="\n" if lines else "")
        failed = failed or bool(lines)
    return failed


if __name__ == "__main__":
    if sys.argv[1:] not in (["check"], ["write"]):
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1]))
