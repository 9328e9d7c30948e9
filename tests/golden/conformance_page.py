"""docs/pmml.md against the program: each element that it calls done is read, each refused is not."""
import os
import re
import sys
import tempfile

from _program import SOURCE, Refused, need_program, score

DICTIONARY = ('<DataDictionary><DataField name="y" optype="continuous" dataType="double"/>'
              '<DataField name="x" optype="continuous" dataType="double"/></DataDictionary>')
SCHEMA = ('<MiningSchema><MiningField name="y" usageType="target"/><MiningField name="x"/>'
          '</MiningSchema>')
REGRESSION = '<RegressionModel functionName="regression">%s%%s</RegressionModel>' % SCHEMA
TABLE = '<RegressionTable intercept="1"/>'


def model_element(name):
    return '<%s functionName="regression">%s</%s>' % (name, SCHEMA, name)


def expression(name):
    return REGRESSION % ('<LocalTransformations><DerivedField name="d" optype="continuous" '
                         'dataType="double"><%s field="x"/></DerivedField></LocalTransformations>'
                         '<RegressionTable intercept="1"><NumericPredictor name="d" '
                         'coefficient="1"/></RegressionTable>' % name)


def feature(name):
    return REGRESSION % ('<Output><OutputField name="o" feature="%s"/></Output>' % name + TABLE)


def function(name):
    return expression("Apply").replace('Apply field="x"', 'Apply function="%s"' % name)


def answer(text):
    """What the loader says; "" if it loads."""
    with tempfile.TemporaryDirectory() as folder:
        model, rows = os.path.join(folder, "m.pmml"), os.path.join(folder, "r.csv")
        with open(model, "w") as file:
            file.write('<PMML version="4.4"><Header/>%s%s</PMML>' % (DICTIONARY, text))
        with open(rows, "w") as file:
            file.write("x\n1\n")
        try:
            score(model, rows)
        except Refused as refused:
            return str(refused)
    return ""


def is_unknown(name, said):
    return "<%s> is not supported yet" % name in said or '"%s", which is no' % name in said


def section(page, title):
    return page.split("\n## %s\n" % title)[1].split("\n## ")[0]


def faults(page):
    asked = 0
    for title, make in (("Model elements", model_element), ("Expressions", expression),
                        ("Output features", feature)):
        for name, state in re.findall(r"^\| (\w+) \| (done|refused) \|", section(page, title), re.M):
            asked += 1
            if is_unknown(name, answer(make(name))) != (state == "refused"):
                yield "%s is called %s" % (name, state)
    listed = re.findall(r"`([^`]*)`", section(page, "Functions").split("\n- ")[0])
    names = " ".join(listed).split() + ["formatNumber", "noSuchFunction"]
    for name in names:
        asked += 1
        refused = name in ("formatNumber", "noSuchFunction")
        if is_unknown(name, answer(function(name))) != refused:
            yield "function %s is not as the page says" % name
    if asked < 110:
        yield "only %d entries of the page were understood" % asked


def main():
    need_program()
    with open(os.path.join(SOURCE, "docs", "pmml.md")) as file:
        found = list(faults(file.read()))
    print("\n".join(found) or "as the page says")
    return 1 if found else 0


sys.exit(main())
