#!/usr/bin/env python3
"""Files and lines stay readable, and nothing is promised in place of being done."""
import re

from _house import files, read, run

FILE_LINES_MAX = 1200
LINE_COLUMNS_MAX = 100
FOLDERS = ["src", "include", "tests", "bench", "examples", "scripts", "cmake", "docs", "samples"]
CODE = (".c", ".h")
TEXT = CODE + (".py", ".sh", ".cmake", ".txt", ".md", ".proto")
# Split, so that this file passes its own check.
PROMISE = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b")
VAGUE = re.compile(r"(^|/)(utils?|helpers?|misc|common)\.[ch]$")


def check(root):
    for path in files(root, FOLDERS, TEXT):
        lines = read(root, path).split("\n")
        if path.endswith(CODE + (".py", ".sh")) and len(lines) - 1 > FILE_LINES_MAX:
            yield path, FILE_LINES_MAX + 1, f"{len(lines) - 1} lines, {FILE_LINES_MAX} at most: split"
        if VAGUE.search(path):
            yield path, 1, "a file is named for what it holds"
        for number, line in enumerate(lines, 1):
            if PROMISE.search(line):
                yield path, number, "do it now, or write an issue; the source makes no promises"
            if path.endswith(CODE):
                if len(line) > LINE_COLUMNS_MAX:
                    yield path, number, f"{len(line)} columns, {LINE_COLUMNS_MAX} at most: break the line"
                if line != line.rstrip() or "\t" in line:
                    yield path, number, "tab or space at the end: run make format"


SAMPLE = {
    "src/base/long.c": "int x;\n" * (FILE_LINES_MAX + 1),
    "src/base/fits.c": "int x;\n" * FILE_LINES_MAX,
    "src/base/wide.c": "/* " + "x" * 98 + " */\n/* " + "x" * 94 + " */\n",
    "src/base/space.c": "int x; \nint y;\n\tint z;\n",
    "src/base/utils.c": "int x;\n",
    "scripts/later.sh": "# TO" "DO: later\n# todos are fine\n",
    "docs/later.md": "fine\n\nFIX" "ME\n",
}
EXPECTED = [
    ("src/base/long.c", FILE_LINES_MAX + 1), ("src/base/wide.c", 1), ("src/base/space.c", 1),
    ("src/base/space.c", 3), ("src/base/utils.c", 1), ("scripts/later.sh", 1), ("docs/later.md", 3),
]

if __name__ == "__main__":
    run(check, SAMPLE, EXPECTED)
