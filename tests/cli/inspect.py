"""weir inspect: what a model wants, gives and costs; for people and for programs."""
import hashlib
import json
import os

from _cli import PMML, SOURCE, check, finish, weir, write

model = write("small.pmml", PMML)
digest = hashlib.sha256(PMML.encode()).hexdigest()

weir("inspect", model).gives(0).says(
    "PMML RegressionModel, regression of quality", f"{len(PMML)} bytes, sha256 {digest}",
    "INPUT    TYPE    KIND        WITHOUT IT\nalcohol  double  continuous  ",
    "OUTPUT   TYPE\nquality  double\n", "--input FILE.csv measures")

told = json.loads(weir("inspect", model, "--json").gives(0).output)
check(told["sha256"] == digest and told["bytes"] == len(PMML), "size or digest")
check([i["name"] for i in told["inputs"]] == ["alcohol"], "inputs")
check([o["name"] for o in told["outputs"]] == ["quality"], "outputs")
check(told["target"] == "quality" and told["classes"] == [], "target")
check(told["memoryBytes"] > 0 and told["loadMs"] > 0 and "rowNs" not in told, "figures")

rows = write("rows.csv", "alcohol,other\n10,a\n,b\nabc,c\n9,d\n")
told = json.loads(weir("inspect", model, "--input", rows, "--json").gives(0).output)
check(told["rows"] == 4 and told["rowsWithoutResult"] == 2, "rows")
check(told["rowNs"] > 0 and told["blockRowNs"] > 0, "cost")
weir("inspect", model, "--input", rows).gives(0).says(
    "ns to score a row by itself", "(4 rows, 2 of them without a result)")
weir("inspect", model, "--input", "-", stdin="alcohol\n1\n").gives(0).says("(1 rows")

clusters = write("clusters.pmml", """<PMML xmlns="http://www.dmg.org/PMML-4_4" version="4.4">
<Header/><DataDictionary><DataField name="x" optype="continuous" dataType="double"/></DataDictionary>
<ClusteringModel functionName="clustering" modelClass="centerBased" numberOfClusters="2">
<MiningSchema><MiningField name="x"/></MiningSchema>
<ComparisonMeasure kind="distance"><squaredEuclidean/></ComparisonMeasure>
<ClusteringField field="x" compareFunction="absDiff"/>
<Cluster id="low"><Array n="1" type="real">1</Array></Cluster>
<Cluster id="high"><Array n="1" type="real">9</Array></Cluster>
</ClusteringModel></PMML>""")
weir("inspect", clusters).gives(0).says("PMML ClusteringModel, clustering\n")
told = json.loads(weir("inspect", clusters, "--json").gives(0).output)
check(told["function"] == "clustering" and told["classes"] == ["low", "high"], "clusters")

samples = os.path.join(SOURCE, "samples", "wine", "models")
for name in sorted(os.listdir(samples)):
    told = json.loads(weir("inspect", os.path.join(samples, name), "--json").gives(0).output)
    check(len(told["inputs"]) == 11 and told["outputs"], "inputs of " + name)

weir("inspect").gives(2, "", "FILE is missing")
weir("inspect", "/no/model").gives(1, "", "/no/model: No such file")
weir("inspect", rows).gives(1, "", rows + ": ")
weir("inspect", model, "--input", "/no/rows").gives(1, "", "/no/rows: ")
weir("inspect", model, "--input", write("a.csv", "a,b\n1,2\n")).gives(1, "", '"alcohol"')
weir("inspect", model, "--input", write("e.csv", "alcohol\n")).gives(1, "", "no rows")
weir("inspect", model, "--delimiter", "ab").gives(2, "", "delimiter")
finish()
