#!/usr/bin/env python3
"""Calls that are never used here, each with what to use instead."""
import re

from _house import blank_all, files, read, run

EVERYWHERE = {
    "strcpy": "use weir's buffer, or memcpy with a checked length",
    "strncpy": "use memcpy with a checked length; strncpy may leave no terminator",
    "strcat": "use weir's buffer",
    "strncat": "use weir's buffer",
    "sprintf": "use snprintf",
    "vsprintf": "use vsnprintf",
    "gets": "use a read with a limit",
    "strtok": "it keeps state; scan by hand",
    "atoi": "use a parser that reports errors",
    "atol": "use a parser that reports errors",
    "atoll": "use a parser that reports errors",
    "atof": "use a parser that reports errors",
    "system": "use posix_spawn",
    "popen": "use posix_spawn",
    "setjmp": "return an error",
    "longjmp": "return an error",
    "alloca": "use an arena",
    "rand": "use a seeded generator of your own",
    "srand": "use a seeded generator of your own",
    "random": "use a seeded generator of your own",
    "drand48": "use a seeded generator of your own",
    "mktemp": "use mkstemp",
    "tmpnam": "use mkstemp",
}
IN_TESTS = {
    "sleep": "wait for the event with a limit, or advance the clock",
    "usleep": "wait for the event with a limit, or advance the clock",
    "thrd_sleep": "wait for the event with a limit, or advance the clock",
}
IN_LIBRARIES = {
    "exit": "a library returns errors",
    "_exit": "a library returns errors",
    "quick_exit": "a library returns errors",
    "signal": "libraries install no handlers",
    "sigaction": "libraries install no handlers",
}
# The assertion handler and the logger live in base/ and do print.
PRINTING = re.compile(r"(?<![\w.>])(printf|puts|putchar|perror|v?fprintf\s*\(\s*std(?:out|err))\s*[(,]")


def calls(names):
    return re.compile(r"(?<![\w.>])(" + "|".join(map(re.escape, names)) + r")\s*\(")


def rules_for(path):
    rules = dict(EVERYWHERE)
    if path.startswith("tests/"):
        rules |= IN_TESTS
    if path.startswith("src/") and not path.startswith("src/cli/"):
        rules |= IN_LIBRARIES
    return rules


def check(root):
    for path in files(root, ["src", "include", "tests", "bench", "examples"], (".c", ".h")):
        text = blank_all(read(root, path))
        rules = rules_for(path)
        pattern = calls(rules)
        quiet = path.startswith("src/") and not path.startswith(("src/cli/", "src/base/"))
        for number, line in enumerate(text.split("\n"), 1):
            for match in pattern.finditer(line):
                yield path, number, f"{match[1]} is banned: {rules[match[1]]}"
            if quiet and PRINTING.search(line):
                yield (path, number,
                       "a library does not print: return an error or use its log callback")


SAMPLE = {
    "src/model/bad.c": 'x = strcpy(a, b);\ny = "strcpy(a, b)"; /* strcpy(a, b) */\n'
                       "exit(1);\nops->exit(1);\nmy_exit(1);\nprintf(\"x\");\n"
                       "fprintf(stderr, \"x\");\nfprintf(file, \"x\");\nsnprintf(a, 1, \"x\");\n"
                       "n = atoi (text);\nr = operand(1);\n",
    "src/cli/good.c": "exit(1);\nprintf(\"x\");\n",
    "src/cli/bad.c": "system(\"ls\");\n",
    "src/base/logger.c": "fprintf(stderr, \"x\");\n",
    "tests/unit/base/test_x.c": "sleep(1);\nusleep(1);\nexit(77);\nset_sleep(1);\n",
}
EXPECTED = [
    ("src/model/bad.c", 1), ("src/model/bad.c", 3), ("src/model/bad.c", 6), ("src/model/bad.c", 7),
    ("src/model/bad.c", 10), ("src/cli/bad.c", 1), ("tests/unit/base/test_x.c", 1),
    ("tests/unit/base/test_x.c", 2),
]

if __name__ == "__main__":
    run(check, SAMPLE, EXPECTED)
