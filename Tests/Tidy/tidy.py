#!/usr/bin/env python3
"""Holds the repository against the house rules (rules.py). It needs nothing but Python, and no build."""

import sys
from pathlib import Path

import rules
from tree import Tree


def main(root):
    tree = Tree(root)
    failures = 0
    for rule in rules.ALL:
        for line in rule(tree):
            failures += 1
            print(f"{line}\n    [{rule.__name__}] {rule.__doc__}", file=sys.stderr)
    if failures:
        print(f"{failures} breaches of the house rules", file=sys.stderr)
    return failures > 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).resolve().parents[2]))
