"""The house rules. Each takes the tree of files and gives a line for everything that breaks it."""

import re

import imports
import seeds
from swift_source import functions

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60

# Files that are longer than they may be, and how long they may be until they are split. A number may only fall.
LONG_FILES = {
    "Sources/LarderServer/Connection/Connection.swift": 468,
    "Sources/LarderServer/Worker/Client.swift": 466,
}

# Functions that are longer than they may be, and how long they may be until they are split. A number may only fall.
LONG_FUNCTIONS = {
    ("Sources/LarderServer/Connection/ConnectionRetrieval.swift", "retrieve"): 67,
    ("Sources/LarderWire/Text/TextEncoder.swift", "bytes"): 68,
}

# Bytes that clients send, and inputs of the fuzz targets: blanks and paths in them are meant.
VERBATIM = ("Tests/Conversations/", "Tests/Fuzzing/corpus/")

MACHINE_PATH = re.compile(r"(?<![\w.~-])/(?:work|home)/[\w.]")
TRAILING_BLANKS = re.compile(r"[ \t]+$")


def short_files(tree):
    """No Swift file has more than 400 lines."""
    for path in tree.swift():
        lines = len(tree.text(path).splitlines())
        limit = LONG_FILES.get(path, FILE_LINES_MAX)
        if lines > limit:
            yield f"{path}: {lines} lines, more than {limit}. Split it by what it is about."


def short_functions(tree):
    """No Swift function has more than 60 lines."""
    for path in tree.swift():
        for function in functions(tree.text(path)):
            limit = LONG_FUNCTIONS.get((path, function.name), FUNCTION_LINES_MAX)
            if function.line_count > limit:
                yield (
                    f"{path}:{function.line}: {function.name} has {function.line_count} lines, more than {limit}."
                    " Take steps of it out into functions of their own.")


def imports_in_the_table(tree):
    """Every import in Sources agrees with the table of targets in ARCHITECTURE.md."""
    return imports.disagreements(tree)


def complete_index(tree):
    """The index of the documentation names every page beside it."""
    index = "docs/README.md"
    if index not in tree.files:
        return
    linked = {link.removeprefix("./") for link in re.findall(r"\]\(([^)#\s]+)", tree.text(index))}
    for path in tree.under("docs", ".md"):
        name = path.removeprefix("docs/")
        if path != index and name not in linked:
            yield f"{index}: does not link {name}"


def no_machine_paths(tree):
    """No file names a path that only one machine has."""
    return _lines_with(tree, MACHINE_PATH, "names a path of one machine")


def no_trailing_blanks(tree):
    """No line ends in blanks."""
    return _lines_with(tree, TRAILING_BLANKS, "ends in blanks")


def printed_seeds(tree):
    """Every random test prints its seed."""
    return seeds.unprinted(tree)


def _lines_with(tree, pattern, complaint):
    for path in tree.files:
        text = None if path.startswith(VERBATIM) else tree.text(path)
        for number, line in enumerate((text or "").splitlines(), start=1):
            if pattern.search(line):
                yield f"{path}:{number}: {complaint}"


ALL = [
    short_files,
    short_functions,
    imports_in_the_table,
    complete_index,
    no_machine_paths,
    no_trailing_blanks,
    printed_seeds,
]
