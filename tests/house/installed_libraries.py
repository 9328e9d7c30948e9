#!/usr/bin/env python3
"""What `make install` lays down can be used: a program compiles and links by pkg-config alone.

Installs the build into a scratch folder, moves it (nothing may remember where it was built), and
builds a program for each weir-<library>.pc with nothing but that file's flags.
"""
import glob
import os
import subprocess
import sys
import tempfile

from _house import BUILD, skip

def run(command, **more):
    return subprocess.run(command, capture_output=True, text=True, check=False, **more)


def build_program(scratch, prefix, library):
    """None, or what went wrong."""
    folder = os.path.dirname(glob.glob(os.path.join(prefix, "lib", "**", f"weir-{library}.pc"),
                                       recursive=True)[0])
    environment = dict(os.environ, PKG_CONFIG_PATH=folder)
    flags = run(["pkg-config", "--cflags", "--libs", f"weir-{library}"], env=environment)
    if flags.returncode != 0:
        return flags.stderr
    header = os.path.exists(os.path.join(prefix, "include", "weir", f"{library}.h"))
    source = (f"#include <weir/{library}.h>\n" if header else "") + "int main(void) { return 0; }\n"
    # The whole archive, so that every symbol it needs has to be found.
    whole = f"-Wl,--whole-archive -lweir-{library} -Wl,--no-whole-archive"
    done = run(["gcc", "-std=c17", "-x", "c", "-", "-x", "none", "-o", os.path.join(scratch, library)]
               + flags.stdout.replace(f"-lweir-{library} ", whole + " ").split(), input=source)
    return done.stderr if done.returncode != 0 else None


def main():
    if not os.path.exists(os.path.join(BUILD, "cmake_install.cmake")):
        skip(f"{BUILD} is not a build")
    with tempfile.TemporaryDirectory() as scratch:
        first, prefix = os.path.join(scratch, "first"), os.path.join(scratch, "moved")
        done = run(["cmake", "--install", BUILD, "--prefix", first])
        if done.returncode != 0:
            sys.exit(f"cmake --install failed:\n{done.stdout}{done.stderr}")
        os.rename(first, prefix)
        found = sorted(os.path.basename(p)[len("weir-"):-len(".pc")] for p in
                       glob.glob(os.path.join(prefix, "lib", "**", "weir-*.pc"), recursive=True))
        failed = 0
        for library in found:
            problem = build_program(scratch, prefix, library)
            if problem:
                failed += 1
                print(f"cmake/WeirInstall.cmake:1: weir-{library} cannot be linked: {problem}")
        print(f"{len(found)} libraries, {failed} findings")
        sys.exit(1 if failed or not found else 0)


if __name__ == "__main__":
    main()
