"""What the rules need to know of Swift: where comments and strings are, and where functions begin and end."""

import re
from functools import lru_cache
from typing import NamedTuple

DECLARATION = re.compile(
    r"^[ \t]*(?:@\w+(?:\([^()\n]*\))?[ \t]+)*(?:[a-z]+(?:\([a-z]+\))?[ \t]+)*"
    r"(?:(?P<word>func)[ \t]+(?P<name>[^\s(<]+|\S+?(?=[(<\s]))|(?P<special>init[?!]?(?=[ \t]*[(<])|deinit|subscript))",
    re.MULTILINE,
)
# Where a comment or a string begins.
OPENING = re.compile(r'//|/\*|(?P<hashes>#*)(?P<quotes>"""|")')
COMMENT_MARK = re.compile(r"/\*|\*/")
STRING_MARK = re.compile(r'["\\\n]')
INTERPOLATION_MARK = re.compile(r'[()]|(?P<hashes>#*)(?P<quotes>"""|")')
NOT_A_NEWLINE = re.compile(r"[^\n]")
BODY_MARK = re.compile(r"[][(){}\n]")
BRACE = re.compile(r"[{}]")
# What the next line begins with when a declaration goes on in it.
CONTINUATION = re.compile(r"\s*(?:->|where\b|async\b|throws\b|rethrows\b|\{|&|,|==|:)")


class Function(NamedTuple):
    name: str
    line: int
    line_count: int
    start: int
    end: int


def masked(source):
    """The source with blanks for what is in comments and strings; lines stay where they are."""
    pieces, position = [], 0
    while opening := OPENING.search(source, position):
        start = opening.start()
        end = _string_end(source, opening) if opening["quotes"] else _comment_end(source, start)
        pieces += [source[position:start], NOT_A_NEWLINE.sub(" ", source[start:end])]
        position = end
    return "".join(pieces) + source[position:]


def _comment_end(source, start):
    if source.startswith("//", start):
        end = source.find("\n", start)
        return len(source) if end < 0 else end
    depth = 0
    for mark in COMMENT_MARK.finditer(source, start):
        depth += 1 if mark.group() == "/*" else -1
        if depth == 0:
            return mark.end()
    return len(source)


def _string_end(source, opening):
    """Where the string ends that this begins."""
    hashes, quotes = opening["hashes"], opening["quotes"]
    closing, escape = quotes + hashes, "\\" + hashes
    position = opening.end()
    while mark := STRING_MARK.search(source, position):
        position = mark.start()
        if source.startswith(closing, position):
            return position + len(closing)
        if source.startswith(escape + "(", position):
            position = _interpolation_end(source, position + len(escape) + 1)
        elif source.startswith(escape, position):
            position += len(escape) + 1
        elif mark.group() == "\n" and quotes == '"':
            return position
        else:
            position += 1
    return len(source)


def _interpolation_end(source, position):
    """Behind the parenthesis that closes an interpolation."""
    depth = 1
    while depth > 0 and (mark := INTERPOLATION_MARK.search(source, position)):
        position = mark.end()
        if mark["quotes"]:
            position = _string_end(source, mark)
        else:
            depth += 1 if mark.group() == "(" else -1
    return position


@lru_cache(maxsize=None)
def functions(source):
    """Every function with a body: functions, initializers, deinitializers and subscripts."""
    text = masked(source)
    found = []
    for match in DECLARATION.finditer(text):
        opening = _body_start(text, match.end())
        if opening is None:
            continue
        end = _closing_brace(text, opening)
        start = match.start() + len(match.group()) - len(match.group().lstrip())
        name = match["name"] or match["special"]
        found.append(
            Function(name, text.count("\n", 0, start) + 1, text.count("\n", start, end) + 1, start, end))
    return found


def _body_start(text, position):
    """The brace that opens the body of a declaration; None if it has none."""
    depth = 0
    for mark in BODY_MARK.finditer(text, position):
        character = mark.group()
        if character in "([":
            depth += 1
        elif character in ")]":
            depth -= 1
        elif depth == 0 and character == "{":
            return mark.start()
        elif depth == 0 and (character == "}" or not CONTINUATION.match(text, mark.start())):
            return None
        if depth < 0:
            return None
    return None


def _closing_brace(text, opening):
    depth = 0
    for mark in BRACE.finditer(text, opening):
        depth += 1 if mark.group() == "{" else -1
        if depth == 0:
            return mark.start()
    return len(text)
