"""Each rule is seen to fail on what breaks it, and to pass what only looks like it."""

import contextlib
import io
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import rules
import tidy
from swift_source import functions, masked
from tree import Tree

TABLE = """\
| target | purpose | may import |
| --- | --- | --- |
| `LarderStore` (library) | items | |
| `LarderWire` | bytes | LarderStore |
| `LarderGRDB`, `larder-fuzz` | records | Wire, for its numbers; fuzz: Store; behind traits GRDB, swift-log |
| `larder` | the program | Wire |
"""


class RuleTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)

    def paths(self, files):
        for path, content in files.items():
            target = self.root / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content if isinstance(content, bytes) else content.encode())
        return Tree(self.root)

    def broken(self, rule, files):
        return list(rule(self.paths(files)))


class LengthTests(RuleTest):
    def test_a_long_file(self):
        files = {"A.swift": "//\n" * 401, "B.swift": "//\n" * 400, "C.py": "#\n" * 401}
        (line,) = self.broken(rules.short_files, files)
        self.assertIn("A.swift: 401 lines", line)

    def test_a_known_long_file_may_not_grow(self):
        with mock.patch.dict(rules.LONG_FILES, {"A.swift": 500}):
            self.assertEqual(self.broken(rules.short_files, {"A.swift": "//\n" * 500}), [])
            self.assertEqual(len(self.broken(rules.short_files, {"A.swift": "//\n" * 501})), 1)

    def test_a_long_function(self):
        body = "    f()\n" * 58
        files = {
            "A.swift": f"struct A {{\n  private static func long(\n  ) -> Int {{\n{body}  }}\n}}\n",
            "B.swift": f"struct B {{\n  private func long() {{\n{body}  }}\n}}\n",
        }
        (line,) = self.broken(rules.short_functions, files)
        self.assertIn("A.swift:2: long has 61 lines", line)
        with mock.patch.dict(rules.LONG_FUNCTIONS, {("A.swift", "long"): 61}):
            self.assertEqual(self.broken(rules.short_functions, files), [])

    def test_every_kind_of_function(self):
        body = "    f()\n" * 60
        for head in ("init?(a: Int)", "deinit", "subscript(a: Int) -> Int", "static func + (a: A, b: A) -> A",
                     "@inlinable package mutating func f<T>(_ t: T = { 1 }()) async throws(E) -> [T]\n    where T: P"):
            found = self.broken(rules.short_functions, {"A.swift": f"struct A {{\n    {head} {{\n{body}    }}\n}}\n"})
            self.assertEqual(len(found), 1, head)


class SourceTests(unittest.TestCase):
    def test_strings_and_comments_hold_no_code(self):
        source = '"}" /* { /* } */ */ #"\\(a")}"# "\\(f("}") + "\\(1)")" \'x\' // }\n"""\n}"\n"""\nlet a = "\\"}"'
        text = masked(source)
        self.assertNotIn("}", text)
        self.assertEqual(text.count("\n"), source.count("\n"))
        self.assertTrue(text.rstrip().endswith("let a ="))

    def test_what_has_no_body_is_no_function(self):
        source = "protocol P {\n  func a()\n  func b() -> Int\n  init()\n  var c: Int { get }\n}\nfunc d() {\n}\n"
        self.assertEqual([each.name for each in functions(source)], ["d"])

    def test_calls_are_no_functions(self):
        self.assertEqual(functions("let a = .init(b) { c }\nself.init(b)\n"), [])


class ImportTests(RuleTest):
    def imports(self, files):
        defaults = {"ARCHITECTURE.md": TABLE, "Sources/larder/main.swift": "import LarderWire\n"}
        for target in ("LarderStore", "LarderWire", "LarderGRDB", "larder-fuzz"):
            defaults[f"Sources/{target}/Empty.swift"] = ""
        return self.broken(rules.imports_in_the_table, defaults | files)

    def test_what_the_table_allows(self):
        self.assertEqual(self.imports({
            "Sources/LarderWire/A.swift": "public import LarderStore\nimport Glibc\n// import LarderServer\n",
            "Sources/LarderGRDB/A.swift": "#if GRDB\n    import GRDB\n    import Logging\n    import struct LarderStore.A\n",
            "Sources/larder-fuzz/A.swift": "@testable import LarderWire\nimport Foundation\n",
        }), [])

    def test_what_it_does_not(self):
        for line in ("import LarderWire", "@testable import LarderGRDB", "package import struct Logging.Logger",
                     "    import NIOCore"):
            (complaint,) = self.imports({"Sources/LarderStore/A.swift": line + "\n"})
            self.assertIn("Sources/LarderStore/A.swift: imports ", complaint)

    def test_foundation_in_the_program(self):
        for target in ("larder", "LarderWire", "LarderStore"):
            (complaint,) = self.imports({f"Sources/{target}/A.swift": "import Foundation\n"})
            self.assertIn("imports Foundation", complaint)
            (self.root / f"Sources/{target}/A.swift").unlink()

    def test_a_target_without_a_row(self):
        self.assertIn("no row for LarderNew", self.imports({"Sources/LarderNew/A.swift": ""})[0])

    def test_a_row_without_a_target(self):
        table = TABLE.replace("`LarderStore`", "`LarderStore`, `LarderOld`")
        self.assertIn("LarderOld, which is not in Sources", self.imports({"ARCHITECTURE.md": table})[0])

    def test_a_name_that_nobody_knows(self):
        table = TABLE.replace("bytes | LarderStore", "bytes | LarderStore, Stoer")
        self.assertIn("Stoer", self.imports({"ARCHITECTURE.md": table})[0])


class TextTests(RuleTest):
    def test_a_page_that_the_index_does_not_name(self):
        files = {"docs/README.md": "[a](a.md), [b](./b.md#part), [c](https://c.md)\n", "docs/a.md": "", "docs/b.md": ""}
        self.assertEqual(self.broken(rules.complete_index, files), [])
        (line,) = self.broken(rules.complete_index, files | {"docs/c.md": ""})
        self.assertIn("does not link c.md", line)

    def test_a_path_of_one_machine(self):
        for line in ("see /wo" "rk/main", "in '/ho" "me/me/x'", "file:///ho" "me/me", "--out=/wo" "rk/x"):
            with self.subTest(line):
                (complaint,) = self.broken(rules.no_machine_paths, {"a.md": "\n" + line + "\n"})
                self.assertIn("a.md:2:", complaint)
        fine = "a.b/wo" "rk/c, /wo" "rk alone, frame/ho" "me/x, ~/ho" "me/x, https://a.example/ho" "me/x\n"
        self.assertEqual(self.broken(rules.no_machine_paths, {"a.md": fine}), [])

    def test_trailing_blanks(self):
        files = {"a.py": "a \nb\t\nc\n", "Tests/Conversations/a.conversation": "a \n", "b.bin": b"\0 \n"}
        self.assertEqual([line[:7] for line in self.broken(rules.no_trailing_blanks, files)], ["a.py:1:", "a.py:2:"])


class SeedTests(RuleTest):
    def seeds(self, text, path="Tests/ATests/ATests.swift"):
        return self.broken(rules.printed_seeds, {path: text})

    def test_a_printed_seed(self):
        for line in ('print("seed \\(seed)")', '#expect(a, "seed \\(random.seed)")', 'note("\\(Self.seed)")'):
            self.assertEqual(self.seeds(
                "func a() {\n  let seed = UInt64.random(in: 0 ... .max)\n"
                f"  var random = SeededRandom(seed: seed)\n  {line}\n}}\n"), [], line)

    def test_a_seed_that_is_not_printed(self):
        draws = "func a() {\n  let seed = UInt64.random(in: 0...9)\n}\n"
        self.assertIn("does not print it", self.seeds(draws)[0])
        self.assertIn("does not print it", self.seeds(draws + 'func b(seed: Int) { print("\\(seed)") }\n')[0])

    def test_what_has_no_seed(self):
        for text in ("Int.random(in: 0..<f(1))", "a.shuffled()", "a.randomElement()", "SystemRandomNumberGenerator()"):
            (line,) = self.seeds(f"func a() {{\n  g({text})\n}}\n")
            self.assertIn("ATests.swift:2: is random without a seed", line)

    def test_what_a_generator_of_the_test_makes(self):
        for text in ("Int.random(in: 0...(Int.random(in: 0...9, using: &r) == 0 ? 2 : 5), using: &r)",
                     "a.shuffled(using: &r)", "SeededRandom(seed: 7)"):
            self.assertEqual(self.seeds(f"func a() {{ g({text}) }}\n"), [], text)

    def test_python(self):
        path = "Tests/Clients/test_a.py"
        draws = "SEED = random.SystemRandom().randrange(9)\n"
        self.assertIn("does not print it", self.seeds(draws, path)[0])
        self.assertEqual(self.seeds(draws + 'assert a, f"seed {SEED}"\n', path), [])
        self.assertEqual(self.seeds("source = random.Random(7)\n", path), [])


class ProgramTests(RuleTest):
    def test_breaches_are_told_and_counted(self):
        self.paths({"a.md": "a \n"})
        output = io.StringIO()
        with contextlib.redirect_stderr(output):
            self.assertTrue(tidy.main(self.root))
        self.assertIn("a.md:1: ends in blanks", output.getvalue())
        self.assertIn("1 breaches", output.getvalue())

    def test_a_tidy_tree(self):
        self.paths({"a.md": "a\n"})
        self.assertFalse(tidy.main(self.root))


if __name__ == "__main__":
    unittest.main()
