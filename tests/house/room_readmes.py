#!/usr/bin/env python3
"""Each room has its one-page README, and the files it names are there."""
import os
import re

from _house import files, read, run

PAGE_LINES_MAX = 120
NAMED = re.compile(r"`([\w./-]+\.[ch])`")


def check(root):
    known = {os.path.basename(p) for p in files(root, ["src", "include", "tests"], (".c", ".h"))}
    rooms = {path.split("/")[1] for path in files(root, ["src"], (".c", ".h")) if path.count("/") > 1}
    for room in sorted(rooms):
        path = f"src/{room}/README.md"
        if not os.path.exists(os.path.join(root, path)):
            yield path, 1, ("is missing: one page of purpose, data structures first, threads, "
                            "files in reading order")
            continue
        lines = read(root, path).split("\n")
        if len(lines) - 1 > PAGE_LINES_MAX:
            yield path, PAGE_LINES_MAX + 1, f"{len(lines) - 1} lines: a page is {PAGE_LINES_MAX} at most"
        for number, line in enumerate(lines, 1):
            for name in NAMED.findall(line):
                if os.path.basename(name) not in known:
                    yield path, number, f"names {name}, which does not exist"


SAMPLE = {
    "src/base/arena.c": "", "src/base/README.md": "# base\n`arena.c`, `base/arena.c`\n`gone.c`\n",
    "src/loop/loop.c": "",
    "src/wire/codec.c": "", "src/wire/README.md": "line\n" * (PAGE_LINES_MAX + 1),
}
EXPECTED = [
    ("src/base/README.md", 3), ("src/loop/README.md", 1), ("src/wire/README.md", PAGE_LINES_MAX + 1),
]

if __name__ == "__main__":
    run(check, SAMPLE, EXPECTED)
