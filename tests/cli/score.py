"""weir score: a value a row, reasons for the others, and what can't be read is named."""
import json
import os

from _cli import PMML, SOURCE, check, finish, weir, write

model = write("small.pmml", PMML)
rows = write("rows.csv", "alcohol,other\n10,1\n,2\n11,3,4\n12\nabc,1\n9,9\n")

done = weir("score", "--model", model, "--input", rows)
done.gives(0, "quality\n20.5\n\n\n\n\n18.5\n", "4 of 6 rows could not be scored")
for line, words in [(3, "no result for this input; missing: alcohol"), (4, "another number of cells"), (5, "another number of cells"),
                    (6, '"alcohol" can\'t be "abc"')]:
    check("line %d: " % line in done.errors and words in done.errors, "no reason for %d" % line)
check("line 2:" not in done.errors and "line 7:" not in done.errors, "a good row has a reason")

done = weir("score", "--model", model, "--input", rows, "--format", "json").gives(0)
objects = [json.loads(line) for line in done.output.splitlines()]
check([o["quality"] for o in objects] == [20.5, None, None, None, None, 18.5], "JSON values")
check([("error" in o["$"]) for o in objects] == [False, True, True, True, True, False],
      "JSON errors")

# All rows good: nothing on standard error.
done = weir("score", "--model", model, stdin="alcohol\n1\n2\n").gives(0, "quality\n2.5\n4.5\n")
check(done.errors == "", "words about nothing")
weir("score", "--model", model, "--names", "alcohol;other", "--delimiter", ";",
     stdin="10;1\n;2\n").gives(0, "quality\n20.5\n\n", "line 2: ")
weir("score", "--model", model, "--missing", "n/a", stdin="alcohol\nn/a\n3\n").gives(
    0, "quality\n\n6.5\n", "1 of 2 rows")
weir("score", "--model", model, stdin="\ufeffalcohol\r\n1\r\n").gives(0, "quality\n2.5\n")
weir("score", "--model", model, stdin="alcohol\n").gives(0, "quality\n")
many = "alcohol\n" + "".join("%d\n" % i for i in range(5000))
weir("score", "--model", model, stdin=many).gives(
    0, "quality\n" + "".join("%s\n" % repr(2.0 * i + 0.5) for i in range(5000)))

weir("score", "--model", "/no/model", "--input", rows).gives(1, "", "/no/model: No such file")
weir("score", "--model", model, "--input", "/no/rows").gives(1, "", "/no/rows: ")
weir("score", "--model", os.path.dirname(model), "--input", rows).gives(1, "")
weir("score", "--model", rows, "--input", rows).gives(1, "", rows + ": ")
weir("score", "--model", write("empty.pmml", ""), "--input", rows).gives(1, "", "empty.pmml: ")
broken = write("broken.pmml", PMML.replace("</RegressionTable>", ""))
weir("score", "--model", broken, "--input", rows).gives(1, "", "line ")
odd = write("odd.pmml", PMML.replace("RegressionModel", "BaselineModel"))
weir("score", "--model", odd, "--input", rows).gives(1, "", "BaselineModel")
weir("score", "--model", model, stdin="a,b\n1,2\n").gives(1, None, '"alcohol"')
weir("score", "--model", model, stdin="").gives(1, None, "is empty")
weir("score", "--model", model, stdin='alcohol\n"2\n').gives(1, None, "line 2: a quoted cell")
weir("score", "--model", model, "--format", "xml").gives(2, "", "csv|json")
weir("score", "--model", model, "--delimiter", "ab", stdin="alcohol\n1\n").gives(2, "", "delimiter")

with open("/dev/full", "w", encoding="utf-8") as full:
    weir("score", "--model", model, "--input", rows, stdout=full).gives(1)

# The samples that come with the program: every model scores every record.
samples = os.path.join(SOURCE, "samples", "wine")
with open(os.path.join(samples, "data.csv"), encoding="utf-8") as file:
    count = sum(1 for _ in file)
names = "fixed_acidity;volatile_acidity;citric_acid;residual_sugar;chlorides;" \
        "free_sulfur_dioxide;total_sulfur_dioxide;density;pH;sulphates;alcohol;quality"
for name in sorted(os.listdir(os.path.join(samples, "models"))):
    done = weir("score", "--model", os.path.join(samples, "models", name), "--input",
                os.path.join(samples, "data.csv"), "--delimiter", ";", "--names", names)
    done.gives(0)
    check(done.errors == "", name + ": " + done.errors[:200])
    lines = done.output.splitlines()
    check(len(lines) == count + 1, "%s: %d lines" % (name, len(lines)))
    check(all(lines[1:]), name + ": a record without value")

finish()
