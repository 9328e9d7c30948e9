"""`weir score` on the eight reference models: every cell of all 1,599 records is as expected."""
import csv
import os
import sys

from _program import SHARED, Refused, need_program, same, score, skip

NAMES = ("fixed acidity;volatile acidity;citric acid;residual sugar;chlorides;free sulfur dioxide;"
         "total sulfur dioxide;density;pH;sulphates;alcohol;quality")
RECORDS = 1599
PMML = [
    "winequalityDecisionTreeClassification",
    "winequalityDesisionTreeRegression",
    "winequalityGeneralizedLinearRegressionGamma",
    "winequalityGeneralizedLinearRegressionGaussian",
    "winequalityLinearRegression",
    "winequalityMultilayerPerceptron",
    "winequalityRandonForrestClassification",
]
GRAPH = "optimized_WineQuality"


def compare(name, labels, header, rows, relative, absolute):
    """Faults as text; `labels`: the first cell is compared as text."""
    with open(os.path.join(SHARED, "wine", "expected", name + ".csv"), newline="") as file:
        lines = list(csv.reader(file))
    if header != lines[0]:
        yield "%s: columns %s instead of %s" % (name, header, lines[0])
        return
    if len(rows) != RECORDS or len(lines) != RECORDS + 1:
        yield "%s: %d rows, %d expected" % (name, len(rows), len(lines) - 1)
    for number, (row, line) in enumerate(zip(rows, lines[1:]), 1):
        for column, cell, text in zip(header, line, row):
            as_text = labels and column == header[0]
            if not same(cell if as_text else float(cell), text, relative, absolute):
                yield "%s, record %d, %s: %s instead of %s" % (name, number, column, text, cell)


def check(name, suffix):
    records = os.path.join(SHARED, "wine", "winequality_red.csv")
    model = os.path.join(SHARED, "wine", name + suffix)
    header, rows = score(model, records, "--delimiter", ";", "--names", NAMES)
    if name == GRAPH:
        return compare(name, True, header, rows, 5e-5, 1e-7)
    return compare(name, len(header) > 1, header, rows, 1e-12, 0)


def main():
    if not SHARED or not os.path.isdir(os.path.join(SHARED, "wine")):
        skip("the reference models (WEIR_SHARED_DATA) are absent")
    need_program()
    faults = []
    for name in PMML + [GRAPH]:
        try:
            found = list(check(name, ".pb" if name == GRAPH else ".pmml"))
        except Refused as refused:
            found = ["%s: %s" % (name, refused)]
        print("%-50s %s" % (name, "%d faults" % len(found) if found else "as expected"))
        faults += found
    print("\n".join(faults[:20]))
    return 1 if faults else 0


sys.exit(main())
