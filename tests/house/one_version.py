#!/usr/bin/env python3
"""The version stands in CMakeLists.txt and in weir/base.h, and they agree."""
import re

from _house import read, run


def check(root):
    build = re.search(r"project\(weir VERSION ([\d.]+)", read(root, "CMakeLists.txt"))
    text = read(root, "include/weir/base.h")
    header = re.search(r'#define WEIR_VERSION "([^"]+)"', text)
    if not build or not header or build[1] != header[1]:
        line = text.count("\n", 0, header.start()) + 1 if header else 1
        yield ("include/weir/base.h", line,
               f"version {header and header[1]}, CMakeLists.txt says {build and build[1]}")


SAMPLE = {"CMakeLists.txt": "project(weir VERSION 0.2.0 LANGUAGES C)\n",
          "include/weir/base.h": '\n#define WEIR_VERSION "0.1.0"\n'}

if __name__ == "__main__":
    run(check, SAMPLE, [("include/weir/base.h", 2)])
