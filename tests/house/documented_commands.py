#!/usr/bin/env python3
"""The commands that README.md, CONTRIBUTING.md and docs/ show exist, with their options.

In fenced blocks: `make VERB` is a verb of the Makefile, `scripts/NAME` a script, `weir COMMAND
--option` a command of the built program whose --help names the option.
"""
import os
import re
import subprocess

from _house import BINARY, SOURCE, files, prove, read, run, skip

FENCE = re.compile(r"^\s*```")
WEIR = re.compile(r"^(?:\./)?(?:build/)?weir$")


def commands(text):
    """Yields (line number, words) of each command in the fenced blocks, pipes taken apart."""
    fenced = False
    for number, line in enumerate(text.split("\n"), 1):
        if FENCE.match(line):
            fenced = not fenced
        elif fenced:
            line = re.sub(r"(^|\s)#.*", "", line).strip().removeprefix("$ ")
            for part in re.split(r"\s(?:\||&&|;)\s", line):
                words = part.split()
                while words and re.match(r"^[A-Z_]+=", words[0]):
                    words.pop(0)
                if words:
                    yield number, words


def documents(root):
    return [p for p in ("README.md", "CONTRIBUTING.md") if os.path.exists(os.path.join(root, p))] \
        + list(files(root, ["docs"], (".md",)))


def make_verbs(root):
    return set(re.findall(r"^([a-z-]+):", read(root, "Makefile"), re.M))


def check_static(root):
    verbs = make_verbs(root)
    for path in documents(root):
        for number, words in commands(read(root, path)):
            if words[0] == "make" and len(words) > 1 and re.match(r"^[a-z-]+$", words[1]) \
                    and words[1] not in verbs:
                yield path, number, f"make {words[1]}: the Makefile has no such verb"
            script = words[0].removeprefix("./")
            if re.match(r"^(scripts|\.ci)/", script) and not os.path.exists(os.path.join(root, script)):
                yield path, number, f"{script} does not exist"


def check_weir(root, help_of):
    """help_of(command words) is the text of --help, None where there is no such command."""
    for path in documents(root):
        for number, words in commands(read(root, path)):
            if not WEIR.match(words[0]) or len(words) < 2:
                continue
            command = words[1]
            if command.startswith("-"):
                continue
            text = help_of(command)
            if text is None:
                yield path, number, f"weir {command}: the program has no such command"
                continue
            for word in words[2:]:
                option = word.strip("[]").split("=")[0]
                if option.startswith("--") and not re.search(re.escape(option) + r"(?![\w-])", text):
                    yield path, number, f"weir {command} --help does not name {option}"


def program_help(command):
    done = subprocess.run([BINARY, command, "--help"], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, timeout=20, check=False)
    return done.stdout + done.stderr if done.returncode == 0 else None


def check(root):
    yield from check_static(root)
    yield from check_weir(root, program_help)


SAMPLE = {
    "Makefile": "all: x\ndemo: y\n",
    "scripts/deps": "",
    "README.md": "make nothing\n```sh\n$ make demo ARGS=x\nmake dmeo\nscripts/deps build\nscripts/gone\n"
                 "make  # all\n```\n",
}
EXPECTED = [("README.md", 4), ("README.md", 6)]
WEIR_SAMPLE = {
    "Makefile": "all: x\n",
    "README.md": "```\nweir demo --rate 5 --raet 5\nbuild/weir gone\nweir demo | weir read --rate=1\n"
                 "X=1 weir demo\n```\n",
}
WEIR_EXPECTED = [("README.md", 2), ("README.md", 3), ("README.md", 4)]

if __name__ == "__main__":
    prove(check_static, SAMPLE, EXPECTED)
    prove(lambda root: check_weir(root, {"demo": "  --rate N"}.get), WEIR_SAMPLE, WEIR_EXPECTED)
    shown = [w for p in documents(SOURCE) for _, w in commands(read(SOURCE, p)) if WEIR.match(w[0])]
    if shown and not os.path.exists(BINARY):
        for path, line, message in check_static(SOURCE):
            print(f"{path}:{line}: {message}")
        skip(f"{BINARY} is not built")
    run(check, SAMPLE, EXPECTED)
