"""`weir score` against the plain evaluator: random models of each kind, random rows.

WEIR_TEST_SEED repeats a run, WEIR_TEST_MODELS sets how many models are tried; a failing model and
its rows are kept and named. Labels and missing cells must be equal, numbers within 1e-12.
"""
import csv
import os
import random
import sys
import tempfile
import time

from _plain_pmml import Model
from _program import BUILD, Refused, need_program, same, score
from _random_pmml import KINDS, make

ROWS = 150
SECONDS_MAX = 30
RELATIVE, ABSOLUTE = 1e-12, 1e-13


def expect(model, names, row):
    """Cells, None for a row without result, or NotImplemented where floating point gives up."""
    try:
        return model.score(dict(zip(names, row)))
    except (ArithmeticError, ValueError):
        return NotImplemented


def compare(model, header, rows, names, cells, counts):
    """The first difference as text, or None."""
    if header != model.columns():
        return "columns %s instead of %s" % (header, model.columns())
    if len(rows) != len(cells):
        return "%d rows instead of %d" % (len(rows), len(cells))
    for number, (got, row) in enumerate(zip(rows, cells), 1):
        wanted = expect(model, names, row)
        if wanted is NotImplemented:
            counts["undefined"] += 1
            continue
        counts["without result" if wanted is None else "scored"] += 1
        for column, text, cell in zip(header, got, wanted or [None] * len(header)):
            if not same(cell, text, RELATIVE, ABSOLUTE):
                return "row %d %s, column %s: %r instead of %r" % (number, row, column, text, cell)
    return None


def try_one(seed, kind, folder, counts):
    text, names, cells = make(random.Random(seed), kind, ROWS)
    model_path = os.path.join(folder, "model.pmml")
    rows_path = os.path.join(folder, "rows.csv")
    with open(model_path, "w") as file:
        file.write(text)
    with open(rows_path, "w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([names] + cells)
    try:
        header, rows = score(model_path, rows_path)
    except Refused as refused:
        return str(refused)
    return compare(Model(text), header, rows, names, cells, counts)


def keep(folder, seed):
    kept = os.path.join(BUILD, "differential_%s" % seed)
    os.makedirs(kept, exist_ok=True)
    for name in ("model.pmml", "rows.csv"):
        os.replace(os.path.join(folder, name), os.path.join(kept, name))
    return kept


def main():
    need_program()
    seed = int(os.environ.get("WEIR_TEST_SEED") or random.SystemRandom().randrange(1 << 32))
    wanted = int(os.environ.get("WEIR_TEST_MODELS") or 500)
    print("WEIR_TEST_SEED=%d" % seed, flush=True)
    end = time.monotonic() + SECONDS_MAX
    counts = {"models": 0, "scored": 0, "without result": 0, "undefined": 0}
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        while counts["models"] < wanted and time.monotonic() < end and failed < 5:
            kind = KINDS[counts["models"] % len(KINDS)]
            own = "%d-%d" % (seed, counts["models"])
            counts["models"] += 1
            fault = try_one(own, kind, folder, counts)
            if fault:
                failed += 1
                print("%s (%s): %s" % (kind, keep(folder, own), fault))
    print(", ".join("%d %s" % (count, what) for what, count in counts.items()))
    if counts["scored"] < 10 * counts["models"] and not failed:
        print("too few rows have a result for the test to mean anything")
        return 1
    return 1 if failed else 0


sys.exit(main())
