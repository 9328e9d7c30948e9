#!/usr/bin/env python3
"""Each public header compiles alone and twice, as C17 and as C++17, without the build's flags."""
import os
import re
import shutil
import subprocess

from _house import files, run, skip

COMPILERS = [
    ("C17", ["gcc", "-x", "c", "-std=c17", "-pedantic"]),
    ("C++17", ["g++", "-x", "c++", "-std=c++17"]),
]


def check(root):
    for path in files(root, ["include"], (".h",)):
        name = os.path.relpath(path, "include")
        source = f"#include <{name}>\n#include <{name}>\nint main(void) {{ return 0; }}\n"
        for language, command in COMPILERS:
            done = subprocess.run(
                command + ["-Wall", "-Wextra", "-Werror", "-fsyntax-only",
                           "-I", os.path.join(root, "include"), "-"],
                input=source, text=True, capture_output=True, check=False)
            if done.returncode != 0:
                error = next((e for e in done.stderr.splitlines() if "error" in e), "no message")
                place = re.search(re.escape(path) + r":(\d+)", done.stderr)
                yield (path, int(place[1]) if place else 1,
                       f"does not compile alone as {language}: {error}; include what it uses")


SAMPLE = {
    "include/weir/needs.h": "#ifndef N\n#define N\nsize_t weir_size(void);\n#endif\n",
    "include/weir/twice.h": "struct weir_twice { int x; };\n",
    "include/weir/not_cpp.h": "#ifndef C\n#define C\nint weir_f(int class);\n#endif\n",
    "include/weir/good.h": "#ifndef G\n#define G\n#include <stddef.h>\nsize_t weir_g(void);\n#endif\n",
}
EXPECTED = [("include/weir/needs.h", 3), ("include/weir/twice.h", 1), ("include/weir/not_cpp.h", 3)]

if __name__ == "__main__":
    for tool in ("gcc", "g++"):
        if not shutil.which(tool):
            skip(f"{tool} is missing: run scripts/deps build test")
    run(check, SAMPLE, EXPECTED)
