#!/usr/bin/env python3
"""The samples are what their script makes, and weir scores them as scikit-learn does."""
import csv
import os
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


def remake(directory):
    """The script again, byte for byte."""
    subprocess.run([sys.executable, os.path.join(SOURCE, "scripts", "samples", "wine.py"), directory],
                   check=True)
    for folder, _, files in os.walk(directory):
        for file in files:
            made = os.path.join(folder, file)
            kept = os.path.join(SAMPLES, os.path.relpath(made, directory))
            with open(made, "rb") as a, open(kept, "rb") as b:
                check(a.read() == b.read(), "%s is not what the script makes" % kept)


def main():
    for file in sorted(os.listdir(os.path.join(SAMPLES, "models"))):
        compare_scores(*file.rsplit(".", 1))
    try:
        import sklearn
    except ImportError:
        print("scikit-learn is missing: the samples were not made again")
        sys.exit(1 if failures else 77)
    if sklearn.__version__.startswith("1.2."):
        with tempfile.TemporaryDirectory() as directory:
            remake(directory)
    else:
        print("scikit-learn %s trains other models: not compared" % sklearn.__version__)
    print("%d failures" % len(failures))
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
