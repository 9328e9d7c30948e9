#!/usr/bin/env python3
"""A program linked with one library pulls in no other's dependencies.

The build links house_alone_<room> with the whole archive of one room and what the room declares:
that it links shows that nothing undeclared is used, and ldd shows what comes along.
"""
import os
import re
import subprocess
import sys

from _house import BUILD, skip

# Shared libraries that a program of this one room may not need.
FOREIGN = {
    "record": ["librdkafka", "libmicrohttpd", "libxml2", "liblz4"],
    "model": ["librdkafka", "libmicrohttpd", "liblz4"],
    "wire": ["librdkafka", "libmicrohttpd", "libxml2"],
    "flow": ["librdkafka", "libmicrohttpd", "libxml2", "liblz4"],
    "connect": ["libmicrohttpd", "libxml2", "liblz4"],
    "plog": ["librdkafka", "libmicrohttpd", "libxml2"],
    "broker": ["librdkafka", "libmicrohttpd", "libxml2"],
    "kafka": ["libmicrohttpd", "libxml2"],
    "streams": ["libmicrohttpd", "libxml2"],
}


def needed(program):
    """Names of the libraries that the program itself asks for; not what those bring along."""
    text = subprocess.run(["readelf", "-d", program], capture_output=True, text=True,
                          check=True).stdout
    return re.findall(r"\(NEEDED\).*\[([^\]]+)\]", text)


def foreign(libraries, unwanted):
    return [lib for lib in libraries if lib.split(".so")[0] in unwanted]


def main():
    if foreign(["libxml2.so.2", "librdkafka.so.1", "libc.so.6"], FOREIGN["model"]) \
            != ["librdkafka.so.1"]:
        sys.exit("self-test: a foreign library is not seen")
    seen = failed = 0
    for room, unwanted in FOREIGN.items():
        program = os.path.join(BUILD, "tests", f"house_alone_{room}")
        if not os.path.exists(program):
            print(f"{room}: not built")
            continue
        seen += 1
        for library in foreign(needed(program), unwanted):
            print(f"src/CMakeLists.txt:1: weir_{room} pulls in {library}: a program of {room}/ "
                  "alone must not need it; take it out of the room's DEPS or PKG")
            failed += 1
    if not seen:
        skip("no room is built")
    print(f"{seen} rooms, {failed} findings")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
