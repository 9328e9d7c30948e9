"""Runs the program as a user does, and checks what it says."""
import os
import subprocess
import sys
import tempfile

SOURCE = os.environ.get("WEIR_SOURCE_DIR") or os.path.abspath(
    os.path.join(os.path.dirname(__file__), "..", ".."))
BINARY = os.environ.get("WEIR_BIN") or os.path.join(SOURCE, "build", "weir")
# To the program, WEIR_... variables are settings: the test's own are none.
ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith("WEIR_")}

PMML = """<PMML version="4.4" xmlns="http://www.dmg.org/PMML-4_4"><Header/><DataDictionary>
<DataField name="alcohol" optype="continuous" dataType="double"/>
<DataField name="quality" optype="continuous" dataType="double"/></DataDictionary>
<RegressionModel functionName="regression"><MiningSchema><MiningField name="alcohol"/>
<MiningField name="quality" usageType="target"/></MiningSchema>
<RegressionTable intercept="0.5"><NumericPredictor name="alcohol" coefficient="2"/>
</RegressionTable></RegressionModel></PMML>
"""

failures = []


class Done:
    """A run that is over: status, output, errors, command."""

    def __init__(self, arguments, stdin=None, stdout=None, **variables):
        self.command = "weir " + " ".join(arguments)
        done = subprocess.run([BINARY, *arguments], input=stdin, stderr=subprocess.PIPE,
                              stdout=stdout or subprocess.PIPE, text=True, timeout=60,
                              env={**ENVIRONMENT, **variables})
        self.status, self.output, self.errors = done.returncode, done.stdout or "", done.stderr

    def gives(self, status, output=None, errors=None):
        """The exit status, the whole output, a part of the errors."""
        if self.status != status:
            self.wrong("exit %d, not %d" % (self.status, status))
        if output is not None and self.output != output:
            self.wrong("output is not %r" % output)
        if errors is not None and errors not in self.errors:
            self.wrong("errors do not say %r" % errors)
        if "runtime error" in self.errors or "ERROR: " in self.errors:
            self.wrong("a sanitizer speaks")
        return self

    def says(self, *parts):
        for part in parts:
            if part not in self.output:
                self.wrong("output does not say %r" % part)
        return self

    def wrong(self, what):
        failures.append("%s: %s\n%s%s" % (self.command, what, self.output, self.errors))


def weir(*arguments, **more):
    return Done(arguments, **more)


def write(name, text):
    """A file in the test's folder; its path."""
    path = os.path.join(folder.name, name)
    with open(path, "w", encoding="utf-8", newline="") as file:
        file.write(text)
    return path


def check(truth, what):
    if not truth:
        failures.append(what)


def finish():
    folder.cleanup()
    for failure in failures:
        print("FAILED: " + failure)
    sys.exit(1 if failures else 0)


folder = tempfile.TemporaryDirectory()
if not os.access(BINARY, os.X_OK):
    print("skipped: %s is not built" % BINARY)
    sys.exit(77)
