"""Random tests and their seeds: who draws one has to print it, or a failure cannot be seen again."""

import re

from swift_source import functions

# In Swift: a random number that no generator of the test makes.
DRAWN = re.compile(r"\.random\(in:|\.randomElement\(|\.shuffled\(|SystemRandomNumberGenerator\(")
SEED_NAME = re.compile(r"\bseed\b", re.IGNORECASE)
PRINTED = re.compile(r"\\\([^()]*\bseed\b", re.IGNORECASE)

# In Python: the same.
DRAWN_IN_PYTHON = re.compile(r"\b(?:seed|SEED)\s*=.*\brandom\.(?:SystemRandom\(\)\.)?rand")
PRINTED_IN_PYTHON = re.compile(r"\{(?:seed|SEED)\b|print\([^)\n]*\b(?:seed|SEED)\b")


def unprinted(tree):
    for path in tree.under("Tests", ".swift"):
        yield from in_swift(path, tree.text(path))
    for path in tree.under("Tests", ".py"):
        text = tree.text(path)
        if not path.startswith("Tests/Tidy/") and DRAWN_IN_PYTHON.search(text) and not PRINTED_IN_PYTHON.search(text):
            yield f"{path}: draws a seed and does not print it"


def in_swift(path, source):
    bodies = functions(source)
    for match in DRAWN.finditer(source):
        if "using:" in arguments(source, match.end()):
            continue
        line = source.count("\n", 0, match.start()) + 1
        # A function that draws a seed prints it; one that is drawn for a whole suite may be printed anywhere in it.
        around = [source[each.start:each.end] for each in bodies if each.start <= match.start() < each.end]
        scope = around[-1] if around else source
        if not SEED_NAME.search(scope):
            yield f"{path}:{line}: is random without a seed: draw a seed, print it, and use SeededRandom(seed:)"
        elif not PRINTED.search(scope):
            yield f"{path}:{line}: draws a seed and does not print it: name it in the expectations or print it"


def arguments(source, start):
    """The arguments of a call, from behind its opening parenthesis."""
    depth = 1
    for position in range(start, len(source)):
        depth += {"(": 1, ")": -1}.get(source[position], 0)
        if depth == 0:
            return source[start:position]
    return source[start:]
