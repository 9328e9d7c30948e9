#!/usr/bin/env python3
"""The samples are what their script makes, and weir scores them as scikit-learn does."""
import csv
import os
import re
import subprocess
import sys
import tempfile

SOURCE = os.environ["WEIR_SOURCE_DIR"]
WEIR = os.environ["WEIR_BIN"]
SAMPLES = os.path.join(SOURCE, "samples", "wine")
NAMES = ("fixed acidity;volatile acidity;citric acid;residual sugar;chlorides;free sulfur dioxide;"
         "total sulfur dioxide;density;pH;sulphates;alcohol;quality of the record")
# To the program, WEIR_... variables are settings: the test's own are none.
ENVIRONMENT = {key: value for key, value in os.environ.items() if not key.startswith("WEIR_")}
failures = []


def check(good, text):
    if not good:
        failures.append(text)
        print("FAILED:", text)


def close(a, b, relative, absolute):
    return abs(a - b) <= relative * abs(a) + absolute


def compare_scores(name, ending):
    """Every cell of the expected file with what weir says; labels equal, numbers close."""
    relative, absolute = (5e-5, 1e-7) if ending == "pb" else (1e-9, 1e-12)
    model = os.path.join(SAMPLES, "models", "%s.%s" % (name, ending))
    done = subprocess.run([WEIR, "score", "--model", model, "--input",
                           os.path.join(SAMPLES, "data.csv"), "--delimiter", ";", "--names", NAMES],
                          capture_output=True, text=True, check=False, env=ENVIRONMENT)
    check(done.returncode == 0 and not done.stderr, "%s: %s" % (name, done.stderr[:300]))
    got = list(csv.DictReader(done.stdout.splitlines()))
    with open(os.path.join(SAMPLES, "expected", name + ".csv"), encoding="ascii") as lines:
        expected = list(csv.DictReader(lines))
    check(len(got) == len(expected) == 1600, "%s: %d rows" % (name, len(got)))
    wrong = 0
    for i, (a, b) in enumerate(zip(expected, got)):
        for key, value in a.items():
            label = key == "result" or (key == "quality" and len(a) > 1)
            good = key in b and (b[key] == value if label else
                                 close(float(value), float(b[key] or "nan"), relative, absolute))
            if not good and wrong < 3:
                check(False, "%s row %d %s: %s, expected %s" % (name, i, key, b.get(key), value))
            wrong += not good
    check(wrong == 0, "%s: %d cells differ" % (name, wrong))


def same_numbers(a, b, relative, absolute):
    """Two texts that differ in their numbers only, and there by no more than this."""
    number = re.compile(r"-?\b\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
    return (number.sub("#", a) == number.sub("#", b) and
            all(close(float(x), float(y), relative, absolute)
                for x, y in zip(number.findall(a), number.findall(b))))


def remake(directory, tolerances_for_all):
    """The script again: data and models byte for byte. Scores may differ in their last digits, for
    the order of sums is the processor's. With another scikit-learn everything is compared as
    numbers, to 1e-6, and a difference is told but is no fault of ours."""
    script = os.path.join(SOURCE, "scripts", "samples", "wine.py")
    subprocess.run([sys.executable, script, directory], check=True)
    made = {os.path.relpath(os.path.join(folder, file), directory)
            for folder, _, files in os.walk(directory) for file in files}
    kept = {os.path.relpath(os.path.join(folder, file), SAMPLES)
            for folder, _, files in os.walk(SAMPLES) for file in files} - {"README.md"}
    check(made == kept, "files that only one side has: %s" % sorted(made ^ kept))
    equal = near = 0
    for file in sorted(made & kept):
        with open(os.path.join(directory, file), "rb") as a, \
                open(os.path.join(SAMPLES, file), "rb") as b:
            texts = [a.read().decode("latin-1"), b.read().decode("latin-1")]
        relative, absolute = (5e-5, 1e-7) if "graph" in file else (1e-9, 1e-12)
        if tolerances_for_all:
            relative, absolute = max(relative, 1e-6), max(absolute, 1e-9)
        may_be_near = file.startswith("expected") or tolerances_for_all and file.endswith("ml")
        if texts[0] == texts[1]:
            equal += 1
        elif may_be_near and same_numbers(*texts, relative, absolute):
            near += 1
        elif tolerances_for_all and file != "data.csv":
            print("this scikit-learn makes another %s" % file)
        else:
            check(False, "%s is not what the script makes" % file)
    print("made again: %d files byte for byte, %d but for the last digits" % (equal, near))


def main():
    for file in sorted(os.listdir(os.path.join(SAMPLES, "models"))):
        compare_scores(*file.rsplit(".", 1))
    try:
        import sklearn
    except ImportError:
        print("scikit-learn is missing: the samples were not made again")
        sys.exit(1 if failures else 77)
    with tempfile.TemporaryDirectory() as directory:
        remake(directory, not sklearn.__version__.startswith("1.2."))
    print("%d failures" % len(failures))
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
