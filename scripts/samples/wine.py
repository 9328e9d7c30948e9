#!/usr/bin/env python3
"""Makes samples/wine: synthetic records, models trained on them, and the scores to expect.

usage: scripts/samples/wine.py [DIR]        (samples/wine below this tree when nothing is said)

Needs Debian's python3-numpy and python3-sklearn. The same packages give the same models each time,
on any processor and with any number of cores: what depends on the order of sums is rounded to
DIGITS before it is written, and the scores are those of the rounded model. The scores themselves
may differ in their last digits.

The records are drawn, not measured. The limits and means are those of the red wines of P. Cortez
et al., "Modeling wine preferences by data mining from physicochemical properties", Decision Support
Systems 47 (2009), table 1, with the digits that public summaries of the same data set (UCI Wine
Quality) add; the standard deviations come from such summaries too, and the few correlations are
the figures commonly quoted for the set, rounded. The quality is a noisy function of the features
made up here, so that models have something to learn.
"""
import os
import sys
import warnings
from xml.sax.saxutils import quoteattr

import numpy
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression
from sklearn.neural_network import MLPClassifier
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

SEED = 20090601
ROWS = 1600
DIGITS = 7  # of what training by sums gives; far above the noise, far below what matters

# name, mean, standard deviation, least, most, decimals
FEATURES = [
    ("fixed acidity", 8.32, 1.74, 4.6, 15.9, 1),
    ("volatile acidity", 0.528, 0.179, 0.12, 1.58, 2),
    ("citric acid", 0.271, 0.195, 0.0, 1.0, 2),
    ("residual sugar", 2.54, 1.41, 0.9, 15.5, 1),
    ("chlorides", 0.0875, 0.0471, 0.012, 0.611, 3),
    ("free sulfur dioxide", 15.9, 10.5, 1.0, 72.0, 0),
    ("total sulfur dioxide", 46.5, 32.9, 6.0, 289.0, 0),
    ("density", 0.99675, 0.00189, 0.99007, 1.00369, 5),
    ("pH", 3.31, 0.154, 2.74, 4.01, 2),
    ("sulphates", 0.658, 0.170, 0.33, 2.0, 2),
    ("alcohol", 10.4, 1.07, 8.4, 14.9, 1),
]
NAMES = [feature[0] for feature in FEATURES]
# pairs of features that go together, or against each other
CORRELATIONS = {(0, 2): 0.67, (0, 7): 0.67, (0, 8): -0.68, (1, 2): -0.55, (2, 8): -0.54,
                (5, 6): 0.67, (7, 10): -0.50, (3, 7): 0.36, (7, 8): -0.34, (4, 9): 0.37}


# ---- records -------------------------------------------------------------------------------------

def correlation_matrix():
    """The correlations as a matrix, pulled towards none until it is positive definite."""
    matrix = numpy.identity(len(FEATURES))
    for (a, b), value in CORRELATIONS.items():
        matrix[a, b] = matrix[b, a] = value
    while numpy.linalg.eigvalsh(matrix).min() < 0.05:
        matrix = 0.95 * matrix + 0.05 * numpy.identity(len(FEATURES))
    return matrix


def draw_records():
    """ROWS records: log-normal where the spread is wide beside the mean, else normal."""
    random = numpy.random.RandomState(SEED)
    normal = random.standard_normal((ROWS, len(FEATURES)))
    normal = normal @ numpy.linalg.cholesky(correlation_matrix()).T
    columns = []
    for i, (_, mean, deviation, least, most, decimals) in enumerate(FEATURES):
        if deviation / mean > 0.25:
            sigma = numpy.sqrt(numpy.log(1 + (deviation / mean) ** 2))
            values = numpy.exp(numpy.log(mean) - sigma ** 2 / 2 + sigma * normal[:, i])
        else:
            values = mean + deviation * normal[:, i]
        columns.append(numpy.round(numpy.clip(values, least, most), decimals))
    records = numpy.column_stack(columns)
    standard = (records - records.mean(0)) / records.std(0)
    taste = (5.64 + 0.42 * standard[:, 10] - 0.28 * standard[:, 1] + 0.20 * standard[:, 9]
             - 0.14 * standard[:, 6] - 0.08 * standard[:, 4]
             + 0.15 * (standard[:, 10] > 1) * standard[:, 9] + 0.45 * random.standard_normal(ROWS))
    quality = numpy.clip(numpy.round(taste), 3, 8).astype(int)
    return records, quality


def rounded(values):
    """To DIGITS significant digits: the same on every processor."""
    flat = [float("%.*g" % (DIGITS, value)) for value in numpy.ravel(values)]
    return numpy.array(flat).reshape(numpy.shape(values))


# ---- PMML ----------------------------------------------------------------------------------------

class Document:
    """PMML text, element by element."""

    def __init__(self):
        self.lines = ['<?xml version="1.0" encoding="UTF-8"?>']
        self.open_names = []

    def begin(self, element, /, **attributes):
        self._tag(element, attributes, ">")
        self.open_names.append(element)

    def end(self):
        name = self.open_names.pop()
        self.lines.append("%s</%s>" % ("  " * len(self.open_names), name))

    def leaf(self, element, /, **attributes):
        self._tag(element, attributes, "/>")

    def _tag(self, element, attributes, end):
        written = "".join(" %s=%s" % (key.rstrip("_"), quoteattr(number(value)))
                          for key, value in attributes.items())
        self.lines.append("%s<%s%s%s" % ("  " * len(self.open_names), element, written, end))

    def text(self):
        while self.open_names:
            self.end()
        return "\n".join(self.lines) + "\n"


def number(value):
    """Shortest text that reads back equal; anything else as it is."""
    if isinstance(value, (float, numpy.floating)):
        return repr(float(value))
    return str(value)


def begin_document(classes):
    document = Document()
    document.begin("PMML", xmlns="http://www.dmg.org/PMML-4_4", version="4.4")
    document.begin("Header", description="Synthetic sample of Weir; trained with scikit-learn")
    document.leaf("Application", name="weir scripts/samples/wine.py")
    document.end()
    document.begin("DataDictionary", numberOfFields=len(NAMES) + 1)
    for name in NAMES:
        document.leaf("DataField", name=name, optype="continuous", dataType="double")
    if classes is None:
        document.leaf("DataField", name="quality", optype="continuous", dataType="double")
    else:
        document.begin("DataField", name="quality", optype="categorical", dataType="string")
        for value in classes:
            document.leaf("Value", value=value)
        document.end()
    document.end()
    return document


def put_schema(document, classes=None):
    document.begin("MiningSchema")
    for name in NAMES:
        document.leaf("MiningField", name=name)
    document.leaf("MiningField", name="quality", usageType="target")
    document.end()
    if classes is not None:
        document.begin("Output")
        for value in classes:
            document.leaf("OutputField", name="probability(%s)" % value, optype="continuous",
                          dataType="double", feature="probability", value=value)
        document.end()


VALUES = []  # by feature: the distinct values of all records, sorted


def double_threshold(feature, threshold):
    """scikit-learn compares float32 features with a float64 threshold. This one decides the same
    for the doubles of our records: the middle between the two that it parts."""
    values = VALUES[feature]
    rounded = values.astype(numpy.float32).astype(float)
    below, above = values[rounded <= threshold], values[rounded > threshold]
    if len(below) == 0 or len(above) == 0:
        return float(threshold)
    return round(float(below[-1] + above[0]) / 2, 7)


def put_node(document, tree, node, predicate, classes, identity):
    """One node and those below it."""
    value = tree.value[node][0]
    leaf = tree.children_left[node] < 0
    attributes = {"id": identity[0]}
    identity[0] += 1
    if classes is None:
        attributes["score"] = value[0]
    else:
        attributes["score"] = classes[int(numpy.argmax(value))]
        attributes["recordCount"] = float(value.sum())
    document.begin("Node", **attributes)
    if predicate is None:
        document.leaf("True")
    else:
        document.leaf("SimplePredicate", field=NAMES[predicate[0]], operator=predicate[1],
                      value=predicate[2])
    if classes is not None and leaf:
        for label, count in zip(classes, value):
            document.leaf("ScoreDistribution", value=label, recordCount=float(count))
    if not leaf:
        feature = tree.feature[node]
        threshold = double_threshold(feature, tree.threshold[node])
        put_node(document, tree, tree.children_left[node], (feature, "lessOrEqual", threshold),
                 classes, identity)
        put_node(document, tree, tree.children_right[node], (feature, "greaterThan", threshold),
                 classes, identity)
    document.end()


def put_tree(document, tree, classes, outputs):
    document.begin("TreeModel", functionName="regression" if classes is None else "classification",
                   splitCharacteristic="binarySplit")
    put_schema(document, classes if outputs else None)
    put_node(document, tree, 0, None, classes, [1])
    document.end()


def tree_document(model, classes):
    document = begin_document(classes)
    put_tree(document, model.tree_, classes, True)
    return document.text()


def forest_document(model, classes):
    document = begin_document(classes)
    document.begin("MiningModel", functionName="classification")
    put_schema(document, classes)
    document.begin("Segmentation", multipleModelMethod="average")
    for i, tree in enumerate(model.estimators_):
        document.begin("Segment", id=i + 1)
        document.leaf("True")
        put_tree(document, tree.tree_, classes, False)
        document.end()
    return document.text()


def linear_document(model):
    document = begin_document(None)
    document.begin("RegressionModel", functionName="regression")
    put_schema(document)
    document.begin("RegressionTable", intercept=model.intercept_)
    for name, coefficient in zip(NAMES, model.coef_):
        document.leaf("NumericPredictor", name=name, coefficient=coefficient)
    return document.text()


def glm_document(model):
    """The same line as a generalised linear model of the logarithm of quality."""
    document = begin_document(None)
    document.begin("GeneralRegressionModel", modelType="generalizedLinear",
                   functionName="regression", linkFunction="log", distribution="normal")
    put_schema(document)
    document.begin("ParameterList")
    document.leaf("Parameter", name="p0", label="(intercept)")
    for i, name in enumerate(NAMES):
        document.leaf("Parameter", name="p%d" % (i + 1), label=name)
    document.end()
    document.begin("CovariateList")
    for name in NAMES:
        document.leaf("Predictor", name=name)
    document.end()
    document.begin("PPMatrix")
    for i, name in enumerate(NAMES):
        document.leaf("PPCell", value="1", predictorName=name, parameterName="p%d" % (i + 1))
    document.end()
    document.begin("ParamMatrix")
    document.leaf("PCell", parameterName="p0", beta=model.intercept_)
    for i, coefficient in enumerate(model.coef_):
        document.leaf("PCell", parameterName="p%d" % (i + 1), beta=coefficient)
    return document.text()


def net_document(model, mean, deviation, classes):
    document = begin_document(classes)
    document.begin("NeuralNetwork", functionName="classification", activationFunction="logistic")
    put_schema(document, classes)
    document.begin("NeuralInputs", numberOfInputs=len(NAMES))
    for i, name in enumerate(NAMES):
        document.begin("NeuralInput", id="0,%d" % i)
        document.begin("DerivedField", optype="continuous", dataType="double")
        document.begin("NormContinuous", field=name)
        document.leaf("LinearNorm", orig=mean[i], norm="0")
        document.leaf("LinearNorm", orig=float(mean[i] + deviation[i]), norm="1")
        document.end()
        document.end()
        document.end()
    document.end()
    last = len(model.coefs_)
    for layer, (weights, biases) in enumerate(zip(model.coefs_, model.intercepts_), 1):
        extra = {}
        if layer == last:
            extra = {"activationFunction": "identity", "normalizationMethod": "softmax"}
        document.begin("NeuralLayer", numberOfNeurons=len(biases), **extra)
        for i, bias in enumerate(biases):
            document.begin("Neuron", id="%d,%d" % (layer, i), bias=bias)
            for j in range(weights.shape[0]):
                document.leaf("Con", from_="%d,%d" % (layer - 1, j), weight=weights[j, i])
            document.end()
        document.end()
    document.begin("NeuralOutputs", numberOfOutputs=len(classes))
    for i, value in enumerate(classes):
        document.begin("NeuralOutput", outputNeuron="%d,%d" % (last, i))
        document.begin("DerivedField", optype="categorical", dataType="string")
        document.leaf("NormDiscrete", field="quality", value=value)
        document.end()
        document.end()
    return document.text()


# ---- TensorFlow graph ----------------------------------------------------------------------------

def varint(value):
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7f | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(tag, content):
    """A field of protobuf: a number, or bytes with their length."""
    if isinstance(content, int):
        return varint(tag << 3) + varint(content)
    if isinstance(content, str):
        content = content.encode()
    return varint(tag << 3 | 2) + varint(len(content)) + content


def shape(dimensions):
    """TensorShapeProto; -1 is written as the ten bytes of a negative int64."""
    return b"".join(field(2, field(1, size & (1 << 64) - 1)) for size in dimensions)


def attribute(name, value):
    return field(5, field(1, name) + field(2, value))


FLOAT = 1
TYPE = attribute("T", field(6, FLOAT))


def node(name, operation, inputs=(), *attributes):
    body = field(1, name) + field(2, operation)
    body += b"".join(field(3, source) for source in inputs)
    return field(1, body + b"".join(attributes))


def constant(name, values):
    values = numpy.asarray(values, dtype="<f4")
    tensor = field(1, FLOAT) + field(2, shape(values.shape)) + field(4, values.tobytes())
    return node(name, "Const", (), attribute("dtype", field(6, FLOAT)),
                attribute("value", field(8, tensor)))


def graph_bytes(layers):
    """A frozen GraphDef: input -> (MatMul, BiasAdd, activation) for each layer."""
    out = node("input", "Placeholder", (), attribute("dtype", field(6, FLOAT)),
               attribute("shape", field(7, shape([-1, len(NAMES)]))))
    source = "input"
    for i, (weights, biases, activation) in enumerate(layers, 1):
        stem = "dense_%d" % i
        out += constant(stem + "/kernel", weights) + constant(stem + "/bias", biases)
        out += node(stem + "/MatMul", "MatMul", [source, stem + "/kernel"], TYPE,
                    attribute("transpose_a", field(5, 0)), attribute("transpose_b", field(5, 0)))
        out += node(stem + "/BiasAdd", "BiasAdd", [stem + "/MatMul", stem + "/bias"], TYPE)
        source = stem + "/" + activation
        out += node(source, activation, [stem + "/BiasAdd"], TYPE)
    return out


def graph_scores(layers, records):
    values = records.astype(numpy.float32)
    for weights, biases, activation in layers:
        values = values @ weights.astype(numpy.float32) + biases.astype(numpy.float32)
        if activation == "Relu":
            values = numpy.maximum(values, 0)
        else:
            values = numpy.exp(values - values.max(1, keepdims=True))
            values /= values.sum(1, keepdims=True)
    return values


# ---- training ------------------------------------------------------------------------------------

def fit_line(records, target):
    line = LinearRegression().fit(records, target)
    line.coef_, line.intercept_ = rounded(line.coef_), float(rounded(line.intercept_))
    return line


def fit_net(hidden, activation, inputs, labels):
    """All records in each step: a quasi-Newton method would blow the noise of the sums up until the
    weights have no digit in common on two processors."""
    net = MLPClassifier(hidden, activation, solver="adam", batch_size=ROWS, learning_rate_init=0.02,
                        max_iter=600, tol=0, n_iter_no_change=600, alpha=0.01, shuffle=False,
                        random_state=1)
    net.fit(inputs, labels)
    net.coefs_ = [rounded(layer) for layer in net.coefs_]
    net.intercepts_ = [rounded(layer) for layer in net.intercepts_]
    return net


# ---- files ---------------------------------------------------------------------------------------

def write(directory, name, content):
    path = os.path.join(directory, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as out:
        out.write(content if isinstance(content, bytes) else content.encode())


def write_expected(directory, name, header, rows):
    lines = [",".join(header)]
    lines += [",".join(number(cell) for cell in row) for row in rows]
    write(directory, "expected/%s.csv" % name, "\n".join(lines) + "\n")


def write_classes(directory, name, classes, probabilities):
    header = ["quality"] + ["probability(%s)" % value for value in classes]
    rows = [[classes[int(numpy.argmax(row))]] + list(row) for row in probabilities]
    write_expected(directory, name, header, rows)


def main():
    directory = sys.argv[1] if len(sys.argv) > 1 else os.path.join(
        os.path.dirname(os.path.abspath(__file__)), "..", "..", "samples", "wine")
    warnings.simplefilter("ignore")  # the small net does not need to converge
    records, quality = draw_records()
    VALUES.extend(numpy.unique(column) for column in records.T)
    write(directory, "data.csv", "\n".join(
        ";".join(number(cell) for cell in row) + ";%d" % grade
        for row, grade in zip(records, quality)) + "\n")
    classes = [str(value) for value in sorted(set(quality))]
    labels = numpy.array([str(value) for value in quality])

    tree = DecisionTreeRegressor(max_depth=5, min_samples_leaf=10, random_state=1)
    tree.fit(records, quality.astype(float))
    write(directory, "models/wine-tree-regression.pmml", tree_document(tree, None))
    write_expected(directory, "wine-tree-regression", ["quality"],
                   [[value] for value in tree.predict(records)])

    tree = DecisionTreeClassifier(max_depth=5, min_samples_leaf=10, random_state=1)
    tree.fit(records, labels)
    write(directory, "models/wine-tree-classification.pmml", tree_document(tree, classes))
    write_classes(directory, "wine-tree-classification", classes, tree.predict_proba(records))

    forest = RandomForestClassifier(n_estimators=10, max_depth=6, min_samples_leaf=8,
                                    random_state=1)
    forest.fit(records, labels)
    write(directory, "models/wine-forest.pmml", forest_document(forest, classes))
    write_classes(directory, "wine-forest", classes, forest.predict_proba(records))

    line = fit_line(records, quality)
    write(directory, "models/wine-linear.pmml", linear_document(line))
    write_expected(directory, "wine-linear", ["quality"],
                   [[value] for value in line.predict(records)])

    line = fit_line(records, numpy.log(quality))
    write(directory, "models/wine-glm.pmml", glm_document(line))
    write_expected(directory, "wine-glm", ["quality"],
                   [[value] for value in numpy.exp(line.predict(records))])

    mean, deviation = rounded(records.mean(0)), rounded(records.std(0))
    net = fit_net((10,), "logistic", (records - mean) / deviation, labels)
    write(directory, "models/wine-net.pmml", net_document(net, mean, deviation, classes))
    write_classes(directory, "wine-net", classes, net.predict_proba((records - mean) / deviation))

    # The graph takes raw features: the scaling goes into the first layer's weights. It only
    # divides, for to subtract the mean as well would cancel most digits of a float32.
    most = numpy.array([feature[4] for feature in FEATURES])
    net = fit_net((12, 8), "relu", records / most, labels)
    weights = [rounded(net.coefs_[0] / most[:, None])] + net.coefs_[1:]
    layers = list(zip(weights, net.intercepts_, ["Relu", "Relu", "Softmax"]))
    write(directory, "models/wine-graph.pb", graph_bytes(layers))
    scores = graph_scores(layers, records)
    write_expected(directory, "wine-graph",
                   ["result"] + ["p%d" % i for i in range(len(classes))],
                   [[int(numpy.argmax(row))] + [float(cell) for cell in row] for row in scores])


if __name__ == "__main__":
    main()
