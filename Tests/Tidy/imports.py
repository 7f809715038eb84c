"""Who may import whom: the last column of ARCHITECTURE.md's table of targets, held against the sources."""

import re

TABLE = "ARCHITECTURE.md"

# What the table calls a package, and the modules of it.
PACKAGES = {
    "SwiftNIO": {"NIOCore", "NIOPosix", "NIOConcurrencyHelpers", "NIOFoundationCompat"},
    "swift-nio": {"NIOCore", "NIOPosix", "NIOConcurrencyHelpers", "NIOFoundationCompat"},
    "swift-nio-ssl": {"NIOSSL"},
    "swift-log": {"Logging"},
    "swift-metrics": {"Metrics"},
    "swift-distributed-tracing": {"Tracing"},
    "swift-crypto": {"Crypto"},
    "swift-service-lifecycle": {"ServiceLifecycle"},
    "swift-configuration": {"Configuration"},
    "GRDB": {"GRDB"},
    "Hummingbird": {"Hummingbird"},
}
# What comes with Swift on every machine.
SYSTEM = {"Dispatch", "Glibc", "Swift", "Synchronization"}
# What comes with Swift, and no program may have that must start in milliseconds.
FOUNDATION = {"Foundation", "FoundationEssentials"}
PROGRAM = "larder"

IMPORT = re.compile(
    r"^[ \t]*(?:@\w+[ \t]+)*(?:(?:public|package|internal|private|fileprivate)[ \t]+)?import[ \t]+"
    r"(?:(?:struct|class|enum|protocol|func|var|let|typealias|actor)[ \t]+)?(\w+)",
    re.MULTILINE,
)
WORD = re.compile(r"[\w-]+")


def disagreements(tree):
    targets = {path.split("/")[1] for path in tree.under("Sources")}
    table, complaints = read_table(tree.text(TABLE) if TABLE in tree.files else "", targets)
    yield from complaints
    for target in sorted(targets - table.keys()):
        yield f"{TABLE}: the table has no row for {target}"
    served = closure(PROGRAM, table)
    for path in tree.under("Sources", ".swift"):
        target = path.split("/")[1]
        for module in IMPORT.findall(tree.text(path)):
            if module in SYSTEM or module in table.get(target, {module}):
                continue
            if module in FOUNDATION and target not in served:
                continue
            yield f"{path}: imports {module}, which the table in {TABLE} does not allow {target}"


def read_table(text, targets):
    """The modules that each target may import, by target; and what is wrong with the table."""
    table, complaints = {}, []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        names = re.findall(r"`([\w-]+)`", cells[0])
        if not line.startswith("|") or len(cells) != 3 or not targets.intersection(names):
            continue
        allowed = set()
        for word in entries(cells[2]):
            modules = resolve(word, targets)
            if modules is None:
                complaints.append(f"{TABLE}: {names[0]} may import {word}, which is no target and no known package")
            allowed |= modules or set()
        for name in names:
            table[name] = allowed
            if name not in targets:
                complaints.append(f"{TABLE}: the table has a row for {name}, which is not in Sources")
    return table, complaints


def entries(cell):
    """The names in a cell. What follows a name, as in `Wire, for its numbers` or `model: Store`, explains it."""
    for part in re.split(r"[,;]", cell):
        part = part.replace("`", "").replace("behind traits", "").strip()
        part = part.split(":")[-1].strip()
        if part and WORD.fullmatch(part):
            yield part


def resolve(word, targets):
    if word in targets:
        return {word}
    # `GRDB` is the package: the target is named in full.
    if word in PACKAGES:
        return PACKAGES[word]
    return {"Larder" + word} if "Larder" + word in targets else None


def closure(target, table):
    """The target and all that it imports, directly or not."""
    found, pending = set(), [target]
    while pending:
        name = pending.pop()
        if name not in found:
            found.add(name)
            pending += table.get(name, set())
    return found
