"""The checker of public symbols sees a change, and a symbol without a comment."""

import contextlib
import io
import re
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import public_api
from public_api import Surface, allowed_undocumented, complaints


def symbol(*path, declaration="", comment=True):
    return {
        "identifier": {"precise": ".".join(path)}, "pathComponents": list(path),
        "declarationFragments": [{"spelling": part} for part in (declaration, "\n    -> Int")],
    } | ({"docComment": {"lines": []}} if comment else {})


def graph(*symbols, relationships=()):
    return {"symbols": list(symbols), "relationships": list(relationships)}


class SurfaceTests(unittest.TestCase):
    def setUp(self):
        self.graph = graph(
            symbol("Cache", "get()", declaration="func get()"), symbol("Cache", declaration="struct Cache"),
            relationships=[
                {"kind": "conformsTo", "source": "Cache", "target": "s:SQ", "targetFallback": "Swift.Sendable"},
                {"kind": "conformsTo", "source": "Cache", "target": "s:s8Copyable", "targetFallback": "Swift.Copyable"},
                {"kind": "memberOf", "source": "Cache.get()", "target": "Cache"},
            ])
        self.text = (
            "Cache.get(): func get() -> Int\nCache: conforms to Sendable\nCache: struct Cache -> Int\n")

    def test_one_line_a_symbol_sorted(self):
        self.assertEqual(Surface([self.graph]).text(), self.text)
        self.assertEqual(complaints("L", Surface([self.graph]), self.text), [])

    def test_symbols_that_are_added_to_other_modules(self):
        surface = Surface([self.graph, graph(symbol("Bool", "keyText", declaration="var keyText"))])
        self.assertIn("Bool.keyText: var keyText -> Int\n", surface.text())

    def test_a_conformance_under_a_condition(self):
        self.graph["relationships"].append({
            "kind": "conformsTo", "source": "Cache", "target": "s:SH", "targetFallback": "Swift.Hashable",
            "swiftConstraints": [{"kind": "conformance", "lhs": "Value", "rhs": "Hashable"}]})
        self.assertIn("Cache: conforms to Hashable where Value: Hashable\n", Surface([self.graph]).text())

    def test_a_change_is_shown(self):
        changes = {
            "+Cache.get(): func get() async -> Int": "func get() async",
            "-Cache.get(): func get() -> Int": "func get() async",
        }
        for line, declaration in changes.items():
            changed = graph(symbol("Cache", "get()", declaration=declaration), *self.graph["symbols"][1:])
            self.assertIn(line, complaints("L", Surface([changed]), self.text))

    def test_a_library_without_a_file(self):
        self.assertIn("+Cache.get(): func get() -> Int", complaints("L", Surface([self.graph]), None))

    def test_a_symbol_without_a_comment(self):
        self.graph["symbols"].append(symbol("Cache", "set()", declaration="func set()", comment=False))
        surface = Surface([self.graph])
        text = surface.text()
        self.assertEqual(allowed_undocumented(text), 1)
        self.assertEqual(complaints("L", surface, text), [])
        lines = complaints("L", surface, text.replace("# symbols without a comment: 1\n", ""))
        self.assertEqual(lines[:2], ["L: 1 public symbols without a comment, 0 may be:", "    Cache.set()"])


class PageTests(unittest.TestCase):
    """A library's page leads to all of its types, and to nothing else."""

    def test_the_page_of_the_store(self):
        names = Path(__file__).with_name("LarderStore.txt").read_text()
        types = re.findall(r"^(\w+): (?:final class|struct|enum)", names, re.MULTILINE)
        page = Path(__file__).parents[2] / "Sources" / "LarderStore" / "LarderStore.docc" / "LarderStore.md"
        topics = page.read_text().split("## Topics")[1]
        self.assertEqual(sorted(re.findall(r"^- ``(\w+)``$", topics, re.MULTILINE)), sorted(types))


class ProgramTests(unittest.TestCase):
    """The program on one library, whose graph is given."""

    def run_with(self, symbol_graph, command, text):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "L.txt"
            if text is not None:
                file.write_text(text)
            with mock.patch.object(public_api, "__file__", str(Path(folder) / "public_api.py")), \
                    mock.patch.object(public_api, "LIBRARIES", ["L"]), \
                    mock.patch.object(public_api, "symbol_graphs", lambda library: [symbol_graph]), \
                    contextlib.redirect_stderr(io.StringIO()):
                failed = public_api.main(command)
            return failed, file.read_text() if file.exists() else None

    def test_check_and_write(self):
        one = graph(symbol("A", declaration="struct A"))
        self.assertEqual(self.run_with(one, "check", None), (True, None))
        self.assertEqual(self.run_with(one, "write", None), (False, "A: struct A -> Int\n"))
        self.assertEqual(self.run_with(one, "check", "A: struct A -> Int\n"), (False, "A: struct A -> Int\n"))

    def test_what_has_no_comment_may_become_fewer_only(self):
        two = graph(symbol("A", declaration="a", comment=False), symbol("B", declaration="b", comment=False))
        head = "# symbols without a comment: "
        for allowed, failed, written in (1, True, 1), (2, False, 2), (3, False, 2):
            result = self.run_with(two, "write", f"{head}{allowed}\n")
            self.assertEqual((result[0], result[1].splitlines()[0]), (failed, f"{head}{written}"))


if __name__ == "__main__":
    unittest.main()
