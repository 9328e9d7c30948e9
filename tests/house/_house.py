"""Shared by the house checks: walking a tree, blanking comments, proving and running a check.

A check is a function of a tree's root that yields (path, line, message). Each script proves its
check on a bad sample tree before it looks at the real one: a check that finds nothing where there
is something fails.
"""
import os
import re
import sys
import tempfile

SKIP_CODE = 77
SOURCE = os.environ.get("WEIR_SOURCE_DIR") or os.path.abspath(
    os.path.join(os.path.dirname(__file__), "..", ".."))
BUILD = os.environ.get("WEIR_BUILD_DIR") or os.path.join(SOURCE, "build")
BINARY = os.environ.get("WEIR_BIN") or os.path.join(BUILD, "weir")

# Which room may include which, apart from itself and base: the layers, drawn as a table.
# src/CMakeLists.txt links the same rooms; layers.py compares the two.
MAY_INCLUDE = {
    "base": [],
    "loop": [],
    "wire": [],
    "record": [],
    "kafka": ["loop", "record"],
    "flow": ["loop"],
    "plog": ["wire"],
    "model": ["record"],
    "connect": ["flow", "kafka"],
    "streams": ["kafka", "record"],
    "broker": ["loop", "wire", "plog"],
    "http": ["loop"],
    "serving": ["streams", "connect", "flow", "broker", "http", "kafka", "model", "record"],
    "cli": ["serving", "kafka", "model", "record", "broker", "http"],
}

TOKEN = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def blank_comments(text):
    """Comments become spaces, line by line; strings stay."""
    return TOKEN.sub(lambda m: re.sub(r"[^\n]", " ", m[0]) if m[0][0] == "/" else m[0], text)


def blank_all(text):
    """Comments and the insides of strings become spaces."""
    def blank(match):
        token = match[0]
        if token[0] == "/":
            return re.sub(r"[^\n]", " ", token)
        return token[0] + re.sub(r"[^\n]", " ", token[1:-1]) + token[-1]
    return TOKEN.sub(blank, text)


def files(root, folders, extensions):
    """Paths relative to root, sorted; folders that do not exist are passed over."""
    for folder in folders:
        for where, names, found in os.walk(os.path.join(root, folder)):
            names[:] = sorted(n for n in names if not n.startswith(".") and n != "__pycache__")
            for name in sorted(found):
                if name.endswith(extensions):
                    yield os.path.relpath(os.path.join(where, name), root)


def read(root, path):
    with open(os.path.join(root, path), encoding="utf-8", errors="replace") as file:
        return file.read()


def prove(check, sample, expected):
    """check finds exactly the expected (path, line) pairs in the sample tree {path: text}."""
    with tempfile.TemporaryDirectory() as root:
        for path, text in sample.items():
            full = os.path.join(root, path)
            os.makedirs(os.path.dirname(full), exist_ok=True)
            with open(full, "w", encoding="utf-8") as file:
                file.write(text)
        found = {(path, line) for path, line, _ in check(root)}
    if found != set(expected):
        for path, line in sorted(set(expected) - found):
            print(f"self-test: {path}:{line} is bad, and the check does not see it")
        for path, line in sorted(found - set(expected)):
            print(f"self-test: {path}:{line} is fine, and the check reports it")
        sys.exit(1)


def skip(reason):
    print(f"skipped: {reason}")
    sys.exit(SKIP_CODE)


def run(check, sample, expected):
    """Proves the check, then runs it on this tree and exits."""
    prove(check, sample, expected)
    findings = sorted(set(check(SOURCE)))
    for path, line, message in findings:
        print(f"{path}:{line}: {message}")
    print(f"{len(findings)} findings")
    sys.exit(1 if findings else 0)
