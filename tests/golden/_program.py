"""Runs `weir score` for the golden tests, and compares its cells with expected ones."""
import csv
import io
import os
import subprocess
import sys

SOURCE = os.environ.get("WEIR_SOURCE_DIR") or os.path.abspath(
    os.path.join(os.path.dirname(__file__), "..", ".."))
BUILD = os.environ.get("WEIR_BUILD_DIR") or os.path.join(SOURCE, "build")
BINARY = os.environ.get("WEIR_BIN") or os.path.join(BUILD, "weir")
SHARED = os.environ.get("WEIR_SHARED_DATA")
# To the program, WEIR_... variables are settings: the test's own are none.
ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith("WEIR_")}


def skip(reason):
    print("skipped: " + reason)
    sys.exit(77)


def need_program():
    if not os.access(BINARY, os.X_OK):
        skip("%s is not built" % BINARY)


class Refused(Exception):
    """The program ended with an error; its text."""


def score(model_path, input_path, *arguments):
    """(header, rows) of the CSV that the program writes; cells are text."""
    command = [BINARY, "score", "--model", model_path, "--input", input_path, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60,
                          env=ENVIRONMENT)
    lines = list(csv.reader(io.StringIO(done.stdout)))
    # Rows without result are no failure of the program, but it may say so by its exit code.
    if not lines:
        raise Refused("exit %d: %s" % (done.returncode, done.stderr.strip()))
    if done.returncode < 0 or "ERROR: " in done.stderr or "runtime error" in done.stderr:
        raise Refused("exit %d: %s" % (done.returncode, done.stderr.strip()))
    # csv gives [] for an empty line: one column, no result.
    return lines[0], [row or [""] for row in lines[1:]]


def same(expected, text, relative, absolute):
    """Does a cell hold what is expected? None: an empty cell; text is compared as it is."""
    if expected is None or text == "":
        return expected is None and text == ""
    if isinstance(expected, str):
        return expected == text
    try:
        value = float(text)
    except ValueError:
        return False
    return value == expected or abs(value - expected) <= relative * abs(expected) + absolute
