#!/usr/bin/env python3
"""Includes go downwards only, by the table in _house.py, and src/CMakeLists.txt links the same.

Also: model/core includes no reader, a reader only core; each library of others has one room.
"""
import re

from _house import MAY_INCLUDE, blank_comments, files, read, run

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(["<])([^">\n]+)[">]', re.M)

# The one room that includes these; the others go through it.
OWNER = {
    "librdkafka/": "kafka",
    "microhttpd.h": "http",
    "libxml/": "model",
    "jansson.h": "base",
    "lmdb.h": "streams",
    "lz4": "wire",
    "snappy-c.h": "wire",
    "zstd": "wire",
    "zlib.h": "wire",
}


def room_of_header(name):
    """A public header is weir/<room>.h or weir/<room>_<part>.h."""
    return name.removesuffix(".h").split("_")[0]


def room_of(path):
    """The room of a source file, None outside the rooms."""
    parts = path.split("/")
    if parts[0] == "src" and len(parts) > 2:
        return parts[1]
    if parts[:2] == ["include", "weir"]:
        return room_of_header(parts[2])
    return None


def target_room(quote, name):
    """The room an include belongs to; None for others' headers, '' where no room is named."""
    if name.startswith("weir/"):
        return room_of_header(name.split("/")[1])
    if quote == "<":
        return None
    return name.split("/")[0] if "/" in name and not name.startswith(".") else ""


def model_part(name):
    """The part of model/ that a path like model/pmml/reader.h belongs to, or None."""
    parts = name.split("/")
    return parts[1] if parts[0] == "model" and len(parts) > 2 else None


def check_include(path, room, quote, name):
    other = target_room(quote, name)
    if other is None:
        for prefix, owner in OWNER.items():
            if name.startswith(prefix) and room != owner:
                return f"<{name}> belongs to {owner}/; call {owner}/ instead"
        return None
    if other == "":
        return f'"{name}" names no room; write "{room}/..." from src/'
    if other not in MAY_INCLUDE:
        return f"{name}: there is no room {other}; rooms are listed in tests/house/_house.py"
    if other not in (room, "base") and other not in MAY_INCLUDE[room]:
        allowed = ", ".join(MAY_INCLUDE[room] + ["base"])
        return f"{room}/ may not include {other}/, only {allowed}; move the code down or pass it in"
    part = model_part(path.removeprefix("src/"))
    wanted = model_part(name)
    if part and wanted and wanted not in (part, "core"):
        return f"model/{part} may include model/core, not model/{wanted}"
    return None


def check_cmake(root):
    path = "src/CMakeLists.txt"
    try:
        text = read(root, path)
    except FileNotFoundError:
        return
    for match in re.finditer(r"^weir_room\(([^)]*)\)", text, re.M):
        words = match[1].split()
        line = text.count("\n", 0, match.start()) + 1
        deps = words[words.index("DEPS") + 1:] if "DEPS" in words else []
        deps = deps[:deps.index("PKG")] if "PKG" in deps else deps
        if words[0] not in MAY_INCLUDE:
            yield path, line, f"{words[0]} is not in the table of tests/house/_house.py"
        elif set(deps) - {"base"} != set(MAY_INCLUDE[words[0]]):
            yield (path, line, f"{words[0]} links {sorted(set(deps))}, the table in "
                   f"tests/house/_house.py says {MAY_INCLUDE[words[0]]}: make them agree")


def check(root):
    for path in files(root, ["src", "include"], (".c", ".h")):
        room = room_of(path)
        text = blank_comments(read(root, path))
        if room not in MAY_INCLUDE:
            yield path, 1, f"{room or path} is not a room; rooms are listed in tests/house/_house.py"
            continue
        for match in INCLUDE.finditer(text):
            problem = check_include(path, room, match[1], match[2])
            if problem:
                yield path, text.count("\n", 0, match.start(1)) + 1, problem
    yield from check_cmake(root)


SAMPLE = {
    "src/record/upward.c": '#include "base/arena.h"\n#include "kafka/consumer.h"\n'
                           '// #include "cli/x.h"\n/*\n#include "cli/x.h"\n*/\n',
    "src/wire/sideways.c": '#include <weir/record.h>\n#include <stdio.h>\n',
    "src/streams/skips.c": '#include "loop/loop.h"\n#include <weir/kafka.h>\n',
    "src/base/nameless.c": '#include "arena.h"\n#include "../base/arena.h"\n',
    "src/model/core/reader.c": '#include "model/pmml/reader.h"\n#include "model/core/form.h"\n',
    "src/model/pmml/other.c": '#include "model/tensorflow/graph.h"\n#include "model/core/form.h"\n',
    "src/model/reader.c": '#include "model/pmml/reader.h"\n',
    "src/serving/direct.c": '  #  include <librdkafka/rdkafka.h>\n',
    "src/helpers/any.c": "int x;\n",
    "include/weir/record_part.h": '#include <weir/record.h>\n#include <weir/kafka_part.h>\n',
    "include/weir/record.h": '#include <weir/base.h>\n#include <weir/kafka.h>\n',
    "src/CMakeLists.txt": "weir_room(base PKG jansson)\nweir_room(http DEPS base loop record PKG x)\n",
}
EXPECTED = [
    ("src/record/upward.c", 2), ("src/wire/sideways.c", 1), ("src/streams/skips.c", 1),
    ("src/base/nameless.c", 1), ("src/base/nameless.c", 2), ("src/model/core/reader.c", 1),
    ("src/model/pmml/other.c", 1), ("src/serving/direct.c", 1), ("src/helpers/any.c", 1),
    ("include/weir/record_part.h", 2), ("include/weir/record.h", 2), ("src/CMakeLists.txt", 2),
]

if __name__ == "__main__":
    run(check, SAMPLE, EXPECTED)
