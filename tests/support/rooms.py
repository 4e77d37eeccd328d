#!/usr/bin/env python3
"""Prints which rooms (top-level modules) of a source directory import which, with the number of files that do, and the circles among them.

Usage: rooms.py [DIRECTORY]   (default: src)
"""

import collections
import pathlib
import re
import sys

root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "src")
imports = collections.defaultdict(lambda: collections.defaultdict(set))


def heads(group):
    """The first segments of the items of `{a::b, c::{d, e}}`, whose opening brace has been read."""
    depth, head = 1, ""
    for char in group:
        depth += (char == "{") - (char == "}")
        if depth == 0:
            break
        if depth == 1:
            head += char if char not in "{}" else ""
    return [item.strip().split("::")[0] for item in head.split(",")]


for path in sorted(root.rglob("*.rs")):
    room = path.relative_to(root).parts[0].removesuffix(".rs")
    code = path.read_text().split("#[cfg(test)]")[0]
    code = "\n".join(line.split("//")[0] for line in code.splitlines())
    names = set(re.findall(r"\bcrate::([a-z_]+)\b", code))
    for match in re.finditer(r"\bcrate::\{", code):
        names.update(heads(code[match.end():]))
    for name in names:
        if name and name != room and ((root / name).is_dir() or (root / f"{name}.rs").is_file()):
            imports[room][name].add(path)

for room in sorted(imports):
    print(f"{room} -> " + ", ".join(f"{name} ({len(files)})" for name, files in sorted(imports[room].items())))


def reachable(start):
    seen, rest = set(), [start]
    while rest:
        for name in imports.get(rest.pop(), {}):
            if name not in seen:
                seen.add(name)
                rest.append(name)
    return seen


circle = sorted(room for room in imports if room in reachable(room))
print("rooms in circles: " + (", ".join(circle) or "none"))
