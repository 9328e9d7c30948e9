"""Random PMML models of every kind, with rows that have missing, invalid and outlying cells.

Everything comes from the random.Random that is handed in: one seed, one model. What the standard
leaves open is not generated: votes of segments without prediction with treatment "continue", the
order of ordinal values that are invalid, returnInvalid for a field that a segment lists and does
not read, NaN taken as it is.
"""

NUMBERS = ["x0", "x1", "x2", "x3"]
INTEGER = "n"
CATEGORY = "c"
ORDINAL = "o"
CATEGORIES = ["a", "b", "two words"]
LEVELS = ["low", "middle", "high"]
CLASSES = ["first", "second", "third", "fourth"]
KINDS = ["plain_forest", "tree", "forest", "regression", "general_regression", "network",
         "chain", "scorecard", "rules", "bayes", "clusters", "vectors", "neighbors"]


def element(name, attributes, *inner):
    given = "".join(' %s="%s"' % (k, v) for k, v in attributes.items() if v is not None)
    return "<%s%s>%s</%s>" % (name, given, "".join(inner), name)


class Maker:
    def __init__(self, rng, kind):
        self.rng = rng
        self.kind = kind
        self.plain = kind == "plain_forest" or rng.random() < 0.3
        self.classes = CLASSES[:rng.randint(2, 4)] if rng.random() < 0.5 else []
        if kind == "scorecard":
            self.classes = []
        elif kind in ("rules", "bayes", "clusters"):
            self.classes = CLASSES[:rng.randint(2, 4)]
        self.ordinal_target = False
        self.derived = []  # fields that may be used where the text stands now
        self.derivations = 0
        self.interval = None if self.plain else rng.choice([None, (-8.0, 8.0)])
        self.nodes = 0
        self.as_is = set()  # fields that take invalid values as they are

    def real(self, spread=5.0):
        return round(self.rng.uniform(-spread, spread), self.rng.randint(0, 6))

    def maybe(self, share, value):
        return value if self.rng.random() < share else None

    # ---- fields

    def data_dictionary(self):
        rng, fields = self.rng, []
        for name in NUMBERS:
            inner = []
            if name == "x0" and self.interval:
                closure = rng.choice(["openOpen", "openClosed", "closedOpen", "closedClosed"])
                inner.append(element("Interval", {"closure": closure, "leftMargin": -8,
                                                  "rightMargin": 8}))
            if name == "x1" and not self.plain:
                inner.append(element("Value", {"value": "-999", "property": "missing"}))
                inner.append(element("Value", {"value": "3", "property": "invalid"}))
            fields.append(self.data_field(name, "continuous", "double", inner))
        fields.append(self.data_field(INTEGER, "continuous", "integer", []))
        fields.append(self.data_field(CATEGORY, "categorical", "string",
                                      [element("Value", {"value": v}) for v in CATEGORIES]))
        fields.append(self.data_field(ORDINAL, "ordinal", "string",
                                      [element("Value", {"value": v}) for v in LEVELS]))
        if self.classes:
            optype = "ordinal" if self.ordinal_target else "categorical"
            fields.append(self.data_field("y", optype, "string",
                                          [element("Value", {"value": v}) for v in self.classes]))
        else:
            fields.append(self.data_field("y", "continuous", "double", []))
        return element("DataDictionary", {}, *fields)

    @staticmethod
    def data_field(name, optype, kind, inner):
        return element("DataField", {"name": name, "optype": optype, "dataType": kind}, *inner)

    def inputs(self):
        return NUMBERS if self.plain else NUMBERS + [INTEGER, CATEGORY, ORDINAL]

    def missing_treatment(self, name, top):
        text = {INTEGER: 2, CATEGORY: "b", ORDINAL: "middle"}.get(name, self.real())
        if self.rng.random() < 0.3:
            return {"missingValueReplacement": text}
        return {"missingValueTreatment": self.maybe(0.08, "returnInvalid") if top else None}

    def outlier_treatment(self, name):
        if name not in NUMBERS or self.rng.random() < 0.7:
            return {}
        return {"outliers": self.rng.choice(["asMissingValues", "asExtremeValues"]),
                "lowValue": -4, "highValue": self.maybe(0.7, 4.5)}

    def mining_field(self, name):
        given = {"name": name}
        if not self.plain:
            treatments = [None, "returnInvalid", "asMissing", "asValue"]
            if name not in (ORDINAL, INTEGER):
                treatments.append("asIs")
            invalid = self.rng.choice(treatments)
            given["invalidValueTreatment"] = invalid
            if invalid == "asIs":
                self.as_is.add(name)
            if invalid == "asValue":
                given["invalidValueReplacement"] = {
                    INTEGER: 1, CATEGORY: "a", ORDINAL: "low"}.get(name, 0.5)
            given.update(self.missing_treatment(name, True))
            given.update(self.outlier_treatment(name))
        return element("MiningField", given)

    def schema(self):
        target = element("MiningField", {"name": "y", "usageType": "target"})
        return element("MiningSchema", {}, target, *map(self.mining_field, self.inputs()))

    def segment_schema(self, extra=()):
        fields = [element("MiningField", {"name": "y", "usageType": "target"})]
        for name in self.inputs():
            given = {"name": name}
            if not self.plain and self.rng.random() < 0.1:
                given.update(self.missing_treatment(name, False))
                given.update(self.outlier_treatment(name))
            fields.append(element("MiningField", given))
        fields += [element("MiningField", {"name": name}) for name in extra]
        return element("MiningSchema", {}, *fields)

    def norm(self, field, points=None):
        at = sorted({self.real() for _ in range(points or self.rng.randint(2, 4))})
        if len(at) < 2:
            at = [-1.0, 1.0]
        rows = [element("LinearNorm", {"orig": x, "norm": self.real(2)}) for x in at]
        outliers = self.rng.choice([None, "asIs", "asMissingValues", "asExtremeValues"])
        return element("NormContinuous", {"field": field, "outliers": outliers,
                                          "mapMissingTo": self.maybe(0.3, self.real())}, *rows)

    def transformations(self, tag):
        """Derived fields, which later predicates and predictors use."""
        if self.plain or self.rng.random() < 0.4:
            return ""
        fields = []
        for _ in range(self.rng.randint(1, 2)):
            self.derivations += 1
            name = "d%d" % self.derivations
            source = self.rng.choice(NUMBERS + self.derived)
            inner = self.rng.choice([
                self.norm(source),
                element("FieldRef", {"field": source,
                                     "mapMissingTo": self.maybe(0.5, self.real())}),
                element("NormDiscrete", {"field": CATEGORY,
                                         "value": self.rng.choice(CATEGORIES),
                                         "mapMissingTo": self.maybe(0.3, 0.25)}),
                self.apply(2), self.apply(3), self.discretize(source), self.map_values()])
            fields.append(element("DerivedField", {"name": name, "optype": "continuous",
                                                   "dataType": "double"}, inner))
            self.derived.append(name)
        return element(tag, {}, *fields)

    # ---- expressions

    def operand(self, depth):
        draw = self.rng.random()
        if depth > 0 and draw < 0.4:
            return self.apply(depth - 1)
        if draw < 0.85:
            return element("FieldRef", {"field": self.rng.choice(NUMBERS + self.derived)})
        return element("Constant", {"dataType": "double"}, str(self.real()))

    @staticmethod
    def call(function, *args, **given):
        return element("Apply", {"function": function, **given}, *args)

    def truth(self, depth):
        draw = self.rng.uniform(0.3 if self.plain else 0.0, 1.0)
        text = element("FieldRef", {"field": CATEGORY})
        label = lambda: element("Constant", {"dataType": "string"}, self.rng.choice(CATEGORIES))
        if draw < 0.2:
            return self.call("isIn", text, label(), label())
        if draw < 0.3:
            upper = element("Constant", {"dataType": "string"}, "A-two words")
            return self.call("equal", self.call("concat", self.call("uppercase", text), element(
                "Constant", {"dataType": "string"}, "-"), label()), upper)
        if draw < 0.4:
            return self.call(self.rng.choice(["isMissing", "isNotMissing"]), self.operand(depth))
        if draw < 0.6 and depth > 0:
            parts = [self.truth(depth - 1) for _ in range(2)]
            return self.call(self.rng.choice(["and", "or"]), *parts)
        compare = ["equal", "notEqual", "lessThan", "lessOrEqual", "greaterThan", "greaterOrEqual"]
        return self.call(self.rng.choice(compare), self.operand(depth), self.operand(depth))

    def apply(self, depth):
        """A call that gives a double; functions that lose no digits where arguments are close."""
        rng, draw = self.rng, self.rng.random()
        given = {"mapMissingTo": self.maybe(0.2, self.real()),
                 "defaultValue": self.maybe(0.2, self.real())}
        if draw < 0.25:
            return self.call("if", self.truth(depth), self.operand(depth),
                             self.operand(depth), defaultValue=given["defaultValue"])
        if draw < 0.5:
            parts = [self.operand(depth) for _ in range(rng.randint(1, 4))]
            return self.call(rng.choice(["min", "max", "avg", "median"]), *parts, **given)
        if draw < 0.75:
            name = rng.choice(["+", "-", "threshold", "hypot"])
            return self.call(name, self.operand(depth), self.operand(depth), **given)
        if draw < 0.8:  # by a constant: products of large numbers leave sums without digits
            factor = element("Constant", {"dataType": "double"}, str(self.real(1)))
            return self.call("*", factor, self.operand(depth), **given)
        name = rng.choice(["abs", "tanh", "rint", "stdNormalCDF"])
        return self.call(name, self.operand(depth), **given)

    def discretize(self, source):
        cuts = sorted(self.rng.sample(range(-5, 6), 3))
        closure = self.rng.choice(["openClosed", "closedOpen"])
        bins = [element("DiscretizeBin", {"binValue": self.real()}, element("Interval", {
            "closure": closure, "leftMargin": low, "rightMargin": high}))
            for low, high in zip([None] + cuts[:2], cuts)]
        return element("Discretize", {"field": source, "dataType": "double",
                                      "mapMissingTo": self.maybe(0.3, 0.5),
                                      "defaultValue": self.maybe(0.5, -0.5)}, *bins)

    def map_values(self):
        rows = [element("row", {}, element("c", {}, label), element("n", {}, str(number)),
                        element("out", {}, str(self.real())))
                for label in self.rng.sample(CATEGORIES, 2) for number in range(-3, 4)]
        self.rng.shuffle(rows)
        return element("MapValues", {"outputColumn": "out", "dataType": "double",
                                     "mapMissingTo": self.maybe(0.3, 0.5),
                                     "defaultValue": self.maybe(0.5, -0.5)},
                       element("FieldColumnPair", {"field": CATEGORY, "column": "c"}),
                       element("FieldColumnPair", {"field": INTEGER, "column": "n"}),
                       element("InlineTable", {}, *rows))

    # ---- predicates

    def simple(self, name, operator, value):
        return element("SimplePredicate", {"field": name, "operator": operator, "value": value})

    def predicate(self, depth=0):
        rng, draw = self.rng, self.rng.random()
        if draw < 0.08:
            return element(rng.choice(["True", "False"]), {})
        if draw < 0.16:
            name = rng.choice(self.inputs() + self.derived)
            return element("SimplePredicate", {
                "field": name, "operator": rng.choice(["isMissing", "isNotMissing"])})
        if draw < 0.30 and depth < 2:
            operator = rng.choice(["and", "or", "xor", "surrogate"])
            parts = [self.predicate(depth + 1) for _ in range(rng.randint(2, 3))]
            return element("CompoundPredicate", {"booleanOperator": operator}, *parts)
        if draw < 0.38 and not self.plain:
            return self.set_predicate()
        if draw < 0.46 and not self.plain:
            operator = rng.choice(["equal", "notEqual"])
            return self.simple(CATEGORY, operator, rng.choice(CATEGORIES))
        if draw < 0.54 and not self.plain:
            operator = rng.choice(["lessThan", "lessOrEqual", "greaterThan", "greaterOrEqual",
                                   "equal"])
            return self.simple(ORDINAL, operator, rng.choice(LEVELS))
        name = rng.choice(NUMBERS + self.derived + ([] if self.plain else [INTEGER]))
        operator = rng.choice(["lessThan", "lessOrEqual", "greaterThan", "greaterOrEqual"] * 3 +
                              ["equal", "notEqual"])
        value = rng.randint(-4, 4) if name == INTEGER or rng.random() < 0.3 else self.real(4)
        return self.simple(name, operator, value)

    def set_predicate(self):
        operator = self.rng.choice(["isIn", "isNotIn"])
        if self.rng.random() < 0.5:
            name, kind = INTEGER, "int"
            items = " ".join(str(self.rng.randint(-4, 4)) for _ in range(3))
        else:
            name, kind = CATEGORY, "string"
            chosen = self.rng.sample(CATEGORIES, 2)
            items = " ".join('"%s"' % c if " " in c else c for c in chosen)
        return element("SimpleSetPredicate", {"field": name, "booleanOperator": operator},
                       element("Array", {"type": kind}, items))

    def split(self):
        """A predicate and its opposite, as learners write them."""
        name, value = self.rng.choice(NUMBERS), self.real(4)
        pair = self.rng.choice([("lessOrEqual", "greaterThan"), ("lessThan", "greaterOrEqual")])
        return [self.simple(name, operator, value) for operator in pair]

    # ---- trees

    def distribution(self, confidences):
        if not self.classes:
            return ""
        counts = [self.rng.randint(0, 40) for _ in self.classes]
        counts[self.rng.randrange(len(counts))] += 50
        return "".join(element("ScoreDistribution", {
            "value": label, "recordCount": count,
            "confidence": round(count / sum(counts), 3) if confidences else None})
            for label, count in zip(self.classes, counts))

    def node(self, depth, predicate, regular, confidences):
        self.nodes += 1
        node_id = str(self.nodes)
        score = self.rng.choice(self.classes) if self.classes else self.real(100)
        inner, default = [predicate, self.distribution(confidences)], None
        if depth > 0 and (regular or self.rng.random() < 0.85):
            predicates = self.split() if regular else [
                self.predicate() for _ in range(self.rng.randint(1, 3))]
            first = self.nodes + 1
            for p in predicates:
                inner.append(self.node(depth - 1, p, regular, confidences))
            default = first if self.rng.random() < 0.8 else None
        bare = self.classes and self.rng.random() < 0.2 and inner[1]
        given = {"id": node_id, "score": None if bare else score, "defaultChild": default,
                 "recordCount": self.rng.randint(1, 90)}
        return element("Node", given, *inner)

    def tree(self, schema, output, regular):
        strategy = self.rng.choice([None, "none", "nullPrediction", "lastPrediction",
                                    "defaultChild"] +
                                   (["weightedConfidence", "aggregateNodes"] * 2
                                    if self.classes else []))
        gathers = strategy in ("weightedConfidence", "aggregateNodes")
        penalty = None if gathers else self.maybe(0.4, 0.75)
        no_child = self.rng.choice([None, "returnNullPrediction", "returnLastPrediction"])
        root = element("True", {}) if regular or self.rng.random() < 0.8 else self.predicate()
        local = self.transformations("LocalTransformations")
        node = self.node(self.rng.randint(1, 6 if regular else 4), root, regular,
                         self.classes and not regular and self.rng.random() < 0.6)
        return element("TreeModel", {
            "functionName": self.function(), "missingValueStrategy": strategy,
            "missingValuePenalty": penalty, "noTrueChildStrategy": no_child,
            "splitCharacteristic": "binarySplit" if regular else "multiSplit"},
            schema, output, local, node)

    def function(self):
        return "classification" if self.classes else "regression"

    # ---- scorecards and rules

    def scorecard(self, schema, output):
        local = self.transformations("LocalTransformations")
        characteristics = []
        for c in range(self.rng.randint(1, 5)):
            attributes = [element("Attribute", {
                "partialScore": self.real(40), "reasonCode": self.maybe(0.3, "own%d" % a)},
                self.predicate()) for a in range(self.rng.randint(0, 3))]
            if self.rng.random() < 0.3:
                attributes.append(element("Attribute", {}, element("True", {}), element(
                    "ComplexPartialScore", {}, self.apply(1))))
            elif self.rng.random() < 0.9:
                attributes.append(element("Attribute", {"partialScore": self.real(40)},
                                          element("True", {})))
            characteristics.append(element("Characteristic", {
                "reasonCode": "code%d" % c, "baselineScore": self.maybe(0.7, self.real(40))},
                *attributes))
        given = {"functionName": "regression", "initialScore": self.maybe(0.5, self.real()),
                 "baselineScore": self.real(40),
                 "reasonCodeAlgorithm": self.rng.choice([None, "pointsAbove", "pointsBelow"])}
        return element("Scorecard", given, schema, output, local,
                       element("Characteristics", {}, *characteristics))

    def rule(self, depth):
        if depth > 0 and self.rng.random() < 0.3:
            inner = [self.rule(depth - 1) for _ in range(self.rng.randint(1, 3))]
            return element("CompoundRule", {}, self.predicate(), *inner)
        self.nodes += 1
        return element("SimpleRule", {
            "id": "r%d" % self.nodes, "score": self.rng.choice(self.classes),
            "weight": self.maybe(0.8, self.rng.randint(1, 5)),
            "confidence": self.maybe(0.8, abs(self.real(1)))}, self.predicate())

    def rules(self, schema, output):
        local = self.transformations("LocalTransformations")
        methods = [element("RuleSelectionMethod", {"criterion": c})
                   for c in self.rng.sample(["firstHit", "weightedSum", "weightedMax"], 2)]
        rules = [self.rule(2) for _ in range(self.rng.randint(1, 6))]
        given = {"defaultScore": self.rng.choice(self.classes), "defaultConfidence": 0.25} \
            if self.rng.random() < 0.6 else {}
        return element("RuleSetModel", {"functionName": "classification"}, schema, output, local,
                       element("RuleSet", given, *methods, *rules))

    # ---- regression

    def numeric_predictor(self, small):
        exponent = self.rng.choice([None, None, 1, 2, 3])
        return element("NumericPredictor", {
            "name": self.rng.choice(NUMBERS + self.derived), "exponent": exponent,
            "coefficient": self.real(0.02 if small else 0.4)})

    def table(self, small, label=None):
        predictors = [self.numeric_predictor(small) for _ in range(self.rng.randint(1, 5))]
        if not self.plain:
            for value in self.rng.sample(CATEGORIES, 2):
                predictors.append(element("CategoricalPredictor", {
                    "name": CATEGORY, "value": value, "coefficient": self.real(1)}))
            factors = [element("FieldRef", {"field": f}) for f in self.rng.sample(NUMBERS, 2)]
            predictors.append(element("PredictorTerm", {"coefficient": self.real(0.2)}, *factors))
        # With simplemax the sums must stay away from 0, where a quotient has no digits left.
        intercept = 60 + self.real(9) if small else self.real(2)
        return element("RegressionTable", {"intercept": intercept, "targetCategory": label},
                       *predictors)

    def regression(self, schema, output):
        local = self.transformations("LocalTransformations")
        methods = ["none", "softmax", "logit", "probit", "cloglog", "loglog", "cauchit"]
        methods += ["simplemax"] if self.classes else ["exp"]
        method = self.rng.choice(methods)
        labels = self.classes or [None]
        tables = [self.table(method == "simplemax", label) for label in labels]
        return element("RegressionModel", {"functionName": self.function(),
                                           "normalizationMethod": method},
                       schema, output, local, *tables)

    # ---- general regression

    def cells(self, parameters):
        cells = []
        for parameter in parameters[1:]:
            for name in self.rng.sample(NUMBERS + ([] if self.plain else [CATEGORY]), 2):
                value = self.rng.choice([1, 1, 2]) if name != CATEGORY else \
                    self.rng.choice(CATEGORIES)
                cells.append(element("PPCell", {"parameterName": parameter,
                                                "predictorName": name, "value": value}))
        return cells

    def general_regression(self, schema, output):
        local = self.transformations("LocalTransformations")
        given = {"functionName": self.function()}
        if len(self.classes) > 2:
            given["modelType"] = "multinomialLogistic"
        else:
            given["modelType"] = self.rng.choice(["generalizedLinear", "generalLinear",
                                                  "regression"])
            given["linkFunction"] = self.rng.choice(
                ["logit", "probit", "cloglog", "loglog", "cauchit"] +
                ([] if self.classes else ["identity", "log", "logc", "power", "oddspower"]))
            if given["linkFunction"] in ("power", "oddspower"):
                given["linkParameter"] = self.rng.choice([0, 1, 2, 3])
        tables = ""
        if self.classes and self.rng.random() < 0.3:
            given.update(modelType="ordinalMultinomial", linkFunction=None,
                         cumulativeLink=self.rng.choice(["logit", "probit", "cauchit"]))
        elif self.classes:
            given["targetReferenceCategory"] = self.rng.choice(self.classes)
        elif self.rng.random() < 0.3:
            given.update(modelType="CoxRegression", linkFunction=None, endTimeVariable="x2")
            tables = self.hazards(given)
        given["offsetValue"] = self.maybe(0.3, self.real(1))
        if not self.plain and not self.classes and not tables:
            given["trialsVariable"] = self.maybe(0.2, "x3")
        parameters = ["p%d" % i for i in range(self.rng.randint(2, 5))]
        reference = given.get("targetReferenceCategory", (self.classes or [None])[-1])
        labels = [c for c in self.classes if c != reference]
        cells = [element("PCell", {"parameterName": p, "beta": self.real(0.1),
                                   "targetCategory": label})
                 for p in parameters for label in (labels or [None])]
        contrasts = element("Categories", {}, *(element("Category", {"value": v})
                                                for v in CATEGORIES))
        contrasts += element("Matrix", {}, *(element("Array", {"type": "real"}, " ".join(
            str(self.real(1)) for _ in CATEGORIES)) for _ in CATEGORIES))
        factors = [] if self.plain else [element("Predictor", {"name": CATEGORY},
                                                 self.maybe(0.5, contrasts) or "")]
        return element(
            "GeneralRegressionModel", given, schema, output, local,
            element("ParameterList", {}, *(element("Parameter", {
                "name": p, "referencePoint": self.real(1) if tables else None})
                                           for p in parameters)),
            element("FactorList", {}, *factors),
            element("CovariateList", {}, *(element("Predictor", {"name": x}) for x in NUMBERS)),
            element("PPMatrix", {}, *self.cells(parameters)),
            element("ParamMatrix", {}, *cells), tables)

    def hazards(self, given):
        def cells():
            times = sorted(self.rng.sample(range(-6, 7), self.rng.randint(1, 4)))
            return [element("BaselineCell", {"time": t, "cumHazard": 0.1 * i + 0.05})
                    for i, t in enumerate(times)]
        if self.plain or self.rng.random() < 0.5:
            return element("BaseCumHazardTables", {"maxTime": 5}, *cells())
        given["baselineStrataVariable"] = CATEGORY
        return element("BaseCumHazardTables", {}, *(
            element("BaselineStratum", {"value": v, "maxTime": 5}, *cells())
            for v in CATEGORIES[:2]))

    # ---- networks

    def network_inputs(self):
        inputs = []
        for i, name in enumerate(NUMBERS + ([] if self.plain else [CATEGORY])):
            if name == CATEGORY:
                inner = element("NormDiscrete", {"field": name, "value": "a"})
            elif self.rng.random() < 0.5:
                inner = element("FieldRef", {"field": name})
            else:
                inner = self.norm(name)
            field = element("DerivedField", {"optype": "continuous", "dataType": "double"}, inner)
            inputs.append(element("NeuralInput", {"id": "i%d" % i}, field))
        return inputs

    def layer(self, number, size, before, method):
        neurons = []
        for k in range(size):
            full = self.plain or self.rng.random() < 0.8
            sources = before if full else self.rng.sample(before, self.rng.randint(1, len(before)))
            cons = [element("Con", {"from": s, "weight": self.real(0.9)}) for s in sources]
            neurons.append(element("Neuron", {"id": "%d,%d" % (number, k), "bias": self.real(1)},
                                   *cons))
        functions = ["logistic", "tanh", "identity", "rectifier"] * 3 + [
            "Gauss", "sine", "cosine", "Elliott", "arctan", "square", "threshold", "radialBasis"]
        # The last layer's numbers are compared: one that jumps would make an ulp a fault.
        function = self.rng.choice(functions) if method is None else "identity"
        width = 2.5 if function == "radialBasis" else None
        return element("NeuralLayer", {"activationFunction": function, "width": width,
                                       "normalizationMethod": method}, *neurons)

    def network(self, schema, output):
        local = self.transformations("LocalTransformations")
        inputs = self.network_inputs()
        before = ["i%d" % i for i in range(len(inputs))]
        sizes = [self.rng.randint(1, 9) for _ in range(self.rng.randint(1, 2))]
        sizes.append(len(self.classes) or 1)
        layers = []
        for number, size in enumerate(sizes):
            last = number == len(sizes) - 1
            method = ("softmax" if self.classes else "none") if last else None
            layers.append(self.layer(number, size, before, method))
            before = ["%d,%d" % (number, k) for k in range(size)]
        outputs = []
        for k, label in enumerate(self.classes or [None]):
            inner = element("NormDiscrete", {"field": "y", "value": label})
            if label is None:
                inner = element("FieldRef", {"field": "y"})
                if self.rng.random() < 0.5:
                    norms = [element("LinearNorm", {"orig": x, "norm": n})
                             for x, n in ((-10, 0), (20, 0.5), (40, 3))]
                    inner = element("NormContinuous", {"field": "y"}, *norms)
            field = element("DerivedField", {"optype": "continuous", "dataType": "double"}, inner)
            outputs.append(element("NeuralOutput", {"outputNeuron": before[k]}, field))
        return element("NeuralNetwork", {"functionName": self.function(),
                                         "activationFunction": "logistic"},
                       schema, output, local, element("NeuralInputs", {}, *inputs), *layers,
                       element("NeuralOutputs", {}, *outputs))

    # ---- ensembles

    def segment(self, predicate, weight, model):
        return element("Segment", {"weight": weight}, predicate, model)

    def forest(self, schema, output, regular):
        methods = ["average", "weightedAverage", "median", "selectFirst"]
        methods += ["majorityVote", "weightedMajorityVote", "max"] if self.classes else [
            "sum", "weightedSum"]
        method = self.rng.choice(methods)
        segments = []
        outer = self.transformations("LocalTransformations")
        known = list(self.derived)
        for _ in range(self.rng.randint(1, 6)):
            self.derived = list(known)  # a segment's own derived fields are known to it alone
            true = element("True", {})
            predicate = true if regular or self.rng.random() < 0.6 else self.predicate()
            weight = round(self.rng.uniform(0.5, 3), 3)
            inner = self.segment_schema()
            model = self.tree(inner, "", regular)
            if not regular and self.rng.random() < 0.25:
                self.derived = list(known)
                model = self.regression(inner, "")
            segments.append(self.segment(predicate, weight, model))
        treatment = self.rng.choice(["returnMissing", "skipSegment"])
        # Of "max" it is left open whether the weight of what lost the contest counts.
        threshold = self.maybe(0.5, round(self.rng.random(), 2))
        return element("MiningModel", {"functionName": self.function()}, schema, output, outer,
                       element("Segmentation", {
                           "multipleModelMethod": method, "missingThreshold": threshold,
                           "missingPredictionTreatment": treatment}, *segments))

    def chain(self, schema, output):
        """Regressions whose outputs the last segment reads."""
        classes, self.classes = self.classes, []
        true, segments, names = element("True", {}), [], []
        for i in range(self.rng.randint(1, 3)):
            name = "s%d" % i
            result = element("Output", {}, element("OutputField", {
                "name": name, "optype": "continuous", "dataType": "double",
                "feature": "predictedValue"}))
            predicate = true if self.rng.random() < 0.7 else self.predicate()
            make = self.rng.choice([self.regression,
                                    lambda s, o: self.tree(s, o, False)])
            known = list(self.derived)
            # What the class is called is no matter of these: they predict a number.
            schema_inner = self.segment_schema(names).replace(
                '<MiningField name="y" usageType="target"></MiningField>', "")
            segments.append(self.segment(predicate, None, make(schema_inner, result)))
            self.derived = known
            names.append(name)
        self.classes = classes
        self.derived = names + self.derived
        last = self.regression(self.segment_schema(names), "")
        segments.append(self.segment(true, None, last))
        treatment = self.rng.choice(["returnMissing", "continue", "skipSegment"])
        return element("MiningModel", {"functionName": self.function()}, schema, output,
                       element("Segmentation", {"multipleModelMethod": "modelChain",
                                                "missingPredictionTreatment": treatment},
                               *segments))

    # ---- naive Bayes, clusters, support vectors

    def counts(self, least):
        return element("TargetValueCounts", {}, *[element("TargetValueCount", {
            "value": c, "count": self.rng.randint(least, 9)}) for c in self.classes])

    def density(self):
        kind = self.rng.choice(["Gaussian", "Gaussian", "Poisson", "Uniform"])
        given = {"Gaussian": {"mean": self.real(), "variance": 0.5 + abs(self.real(9))},
                 "Poisson": {"mean": 0.5 + abs(self.real())},
                 "Uniform": {"lower": -abs(self.real(9)), "upper": 0.25 + abs(self.real(9))}}[kind]
        return element(kind + "Distribution", given)

    def bayes_input(self, name):
        if name == CATEGORY:
            values = self.rng.sample(CATEGORIES, self.rng.randint(1, 3))
            return element("BayesInput", {"fieldName": name}, *[
                element("PairCounts", {"value": v}, self.counts(0)) for v in values])
        stats = [element("TargetValueStat", {"value": c}, self.density())
                 for c in self.classes if self.rng.random() < 0.9]
        derived = ""
        if self.rng.random() < 0.3:
            derived = element("DerivedField", {"name": "own", "optype": "continuous",
                                               "dataType": "double"}, self.norm(name))
        return element("BayesInput", {"fieldName": name}, derived,
                       element("TargetValueStats", {}, *stats))

    def bayes(self, schema, output):
        local = self.transformations("LocalTransformations")
        names = self.rng.sample(NUMBERS + ([] if self.plain else [INTEGER]), 3) + self.derived
        inputs = [self.bayes_input(n) for n in names + ([] if self.plain else [CATEGORY])]
        return element("NaiveBayesModel", {
            "functionName": "classification",
            "threshold": self.rng.choice([0, 1e-9, 0.001])}, schema, output, local,
            element("BayesInputs", {}, *inputs),
            element("BayesOutput", {"fieldName": "y"}, self.counts(1)))

    def clusters(self, schema, output):
        local = self.transformations("LocalTransformations")
        names = self.rng.sample(NUMBERS, 3) + self.derived
        kind = self.rng.choice(["euclidean", "squaredEuclidean", "chebychev", "cityBlock",
                                "minkowski"])
        fields = []
        for name in names:
            function = self.rng.choice(["absDiff", "absDiff", "delta", "equal", "gaussSim", None])
            fields.append(element("ClusteringField", {
                "field": name, "compareFunction": function,
                "fieldWeight": self.maybe(0.3, 0.5 + abs(self.real())),
                "similarityScale": 2.5 if function == "gaussSim" else None}))
        array = lambda draw: element("Array", {"type": "real"},
                                     " ".join(str(draw()) for _ in names))
        weights = element("MissingValueWeights", {}, array(lambda: self.rng.randint(1, 4)))
        clusters = [element("Cluster", {"id": c, "name": self.maybe(0.5, "named " + c)},
                            array(self.real)) for c in self.classes]
        return element("ClusteringModel", {"functionName": "clustering",
                                           "modelClass": "centerBased"}, schema, output, local,
                       element("ComparisonMeasure", {
                           "kind": self.rng.choice(["distance", "distance", "similarity"])},
                           element(kind, {"p-parameter": 3 if kind == "minkowski" else None})),
                       *fields, self.maybe(0.5, weights) or "", *clusters)

    def machine(self, given, vectors, width):
        """By some of the vectors, or by a coefficient of each field where there are none."""
        chosen = self.rng.sample(vectors, self.rng.randint(1, len(vectors))) if vectors else []
        support = element("SupportVectors", {}, *[element("SupportVector", {"vectorId": v})
                                                  for v in chosen]) if vectors else ""
        values = [element("Coefficient", {"value": self.real(1)})
                  for _ in (chosen if vectors else range(width))]
        given["threshold"] = self.maybe(0.3, self.real(0.5))
        return element("SupportVectorMachine", given, support, element(
            "Coefficients", {"absoluteValue": self.real(0.5)}, *values))

    def vector(self, name, width):
        if self.rng.random() < 0.5:
            inner = element("Array", {"type": "real"},
                            " ".join(str(self.real(2)) for _ in range(width)))
        else:
            at = sorted(self.rng.sample(range(1, width + 1), self.rng.randint(1, width)))
            inner = element("REAL-SparseArray", {"n": width},
                            element("Indices", {}, " ".join(map(str, at))),
                            element("REAL-Entries", {}, " ".join(str(self.real(2)) for _ in at)))
        return element("VectorInstance", {"id": name}, inner)

    def vectors(self, schema, output):
        local = self.transformations("LocalTransformations")
        fields = [element("FieldRef", {"field": n}) for n in NUMBERS + self.derived]
        if not self.plain:
            fields += [element("CategoricalPredictor", {"name": CATEGORY, "value": v,
                                                        "coefficient": 1}) for v in CATEGORIES]
        names = ["v%d" % i for i in range(self.rng.randint(1, 8))]
        kernel = self.rng.choice(["Linear", "Polynomial", "RadialBasis", "Sigmoid"])
        given = {} if kernel == "Linear" else {"gamma": 0.05}
        if kernel == "Polynomial":
            given.update(degree=self.rng.randint(1, 3), coef0=1)
        if kernel == "Linear" and self.rng.random() < 0.5:
            names = []
        if not self.classes:
            which = [{}]
        elif self.rng.random() < 0.5:
            which = [{"targetCategory": a, "alternateTargetCategory": b}
                     for i, a in enumerate(self.classes) for b in self.classes[i + 1:]]
        else:
            which = [{"targetCategory": c} for c in self.classes]
        return element("SupportVectorMachineModel", {
            "functionName": self.function(), "threshold": self.maybe(0.3, self.real(0.5)),
            "maxWins": self.maybe(0.3, "true"),
            "svmRepresentation": "SupportVectors" if names else "Coefficients"},
            schema, output, local, element(kernel + "KernelType", given),
            element("VectorDictionary", {}, element("VectorFields", {}, *fields),
                    *[self.vector(n, len(fields)) for n in names]),
            *[self.machine(w, names, len(fields)) for w in which])

    def instance(self, place, names):
        cells = [element("id", {}, "i%d" % place)]
        for name in names:
            if name != "y" and self.rng.random() < 0.05:
                continue
            value = self.rng.choice(CATEGORIES) if name == CATEGORY else self.real()
            if name == "y" and self.classes:
                value = self.rng.choice(self.classes)
            cells.append(element("of_" + name, {}, str(value)))
        return element("row", {}, *cells)

    def neighbors(self, schema, output):
        local = self.transformations("LocalTransformations")
        fields = NUMBERS + ([] if self.plain else [CATEGORY]) + ["y"]
        columns = [element("InstanceField", {"field": "id", "column": "id"})]
        columns += [element("InstanceField", {"field": n, "column": "of_" + n}) for n in fields]
        rows = [self.instance(i, fields) for i in range(self.rng.randint(1, 30))]
        kind = self.rng.choice(["euclidean", "squaredEuclidean", "chebychev", "cityBlock"])
        similar = self.rng.random() < 0.2
        names = self.rng.sample(NUMBERS, 2) + self.derived
        inputs = [element("KNNInput", {
            "field": n, "compareFunction": self.rng.choice(["absDiff", "absDiff", None]),
            "fieldWeight": self.maybe(0.3, 0.5 + abs(self.real()))}) for n in names]
        if not self.plain:
            inputs.append(element("KNNInput", {"field": CATEGORY, "compareFunction": "delta"}))
        method = self.rng.choice(["majorityVote", "weightedMajorityVote"] if self.classes
                                 else ["average", "weightedAverage", "median"])
        return element("NearestNeighborModel", {
            "functionName": self.function(), "numberOfNeighbors": self.rng.randint(1, 7),
            "categoricalScoringMethod" if self.classes else "continuousScoringMethod":
                method.replace("weightedM", "m").replace("weightedA", "a") if similar else method,
            "threshold": self.maybe(0.5, 0.25), "instanceIdVariable": "id"}, schema, output, local,
            element("TrainingInstances", {"isTransformed": "false"},
                    element("InstanceFields", {}, *columns), element("InlineTable", {}, *rows)),
            element("ComparisonMeasure", {"kind": "similarity" if similar else "distance"},
                    element(kind, {})),
            element("KNNInputs", {}, *inputs))

    # ---- whole

    def output(self):
        if self.rng.random() < 0.5:
            return ""
        fields = [{"name": "value", "feature": "predictedValue"}]
        if self.classes:
            fields.append({"name": "winner", "feature": "probability"})
            fields += [{"name": "of " + c, "feature": "probability", "value": c}
                       for c in self.rng.sample(self.classes, 2)]
        if self.kind == "scorecard":
            fields += [{"name": "reason %d" % rank, "feature": "reasonCode", "rank": rank}
                       for rank in (1, 2, 4)]
        if self.kind in ("tree", "rules"):
            fields.append({"name": "where", "feature": "entityId"})
            if self.classes:
                fields.append({"name": "sure", "feature": "confidence"})
        if self.kind == "neighbors":
            fields += [{"name": "third", "feature": "entityId", "rank": 3},
                       {"name": "how far", "feature": "affinity", "rank": 2}]
        if self.kind == "clusters":
            fields += [{"name": "next", "feature": "entityId", "rank": 2},
                       {"name": "id", "feature": "entityId"},
                       {"name": "shown", "feature": "predictedDisplayValue"},
                       {"name": "how far", "feature": "affinity"},
                       {"name": "how far from it", "feature": "affinity",
                        "value": self.classes[-1]}]
        out = []
        for field in fields:
            text = field["feature"] in ("entityId", "reasonCode", "predictedDisplayValue") or (
                self.classes and field["feature"] == "predictedValue")
            field["optype"] = "categorical" if text else "continuous"
            field["dataType"] = "string" if text else "double"
            out.append(element("OutputField", field))
        if self.rng.random() < 0.3:
            out.append(element("OutputField", {
                "name": "turned", "optype": "continuous", "dataType": "double",
                "feature": "transformedValue"}, self.norm("x2")))
        return element("Output", {}, *out)

    def targets(self):
        if self.rng.random() < 0.6:
            return ""
        if self.classes:
            values = [element("TargetValue", {"value": c, "priorProbability": 0.1 + 0.2 * i})
                      for i, c in enumerate(self.classes)]
            return element("Targets", {}, element("Target", {"field": "y"}, *values))
        given = {"field": "y", "min": self.maybe(0.4, -20), "max": self.maybe(0.4, 30),
                 "rescaleFactor": self.maybe(0.4, self.real()),
                 "rescaleConstant": self.maybe(0.4, self.real()),
                 "castInteger": self.maybe(0.15, self.rng.choice(["round", "ceiling", "floor"]))}
        default = element("TargetValue", {"defaultValue": 7.25})
        return element("Targets", {}, element("Target", given, self.maybe(0.5, default) or ""))

    def document(self):
        if self.kind == "regression" and self.classes:
            self.ordinal_target = self.rng.random() < 0.3
        shared = self.transformations("TransformationDictionary")
        schema, output = self.schema(), self.output()
        output += self.targets()
        model = {
            "plain_forest": lambda: self.forest(schema, output, True),
            "tree": lambda: self.tree(schema, output, self.rng.random() < 0.3),
            "forest": lambda: self.forest(schema, output, False),
            "regression": lambda: self.regression(schema, output),
            "general_regression": lambda: self.general_regression(schema, output),
            "network": lambda: self.network(schema, output),
            "chain": lambda: self.chain(schema, output),
            "scorecard": lambda: self.scorecard(schema, output),
            "rules": lambda: self.rules(schema, output),
            "bayes": lambda: self.bayes(schema, output),
            "clusters": lambda: self.clusters(schema, output),
            "vectors": lambda: self.vectors(schema, output),
            "neighbors": lambda: self.neighbors(schema, output),
        }[self.kind]()
        return ('<?xml version="1.0"?>\n<PMML version="4.4" '
                'xmlns="http://www.dmg.org/PMML-4_4"><Header></Header>%s%s%s</PMML>\n'
                % (self.data_dictionary(), shared, model))

    # ---- rows

    def cell(self, name, dirty):
        draw = self.rng.random()
        if draw < dirty / 2:
            return ""
        if name == CATEGORY:
            return self.rng.choice(CATEGORIES + (["unheard of"] if draw < dirty else []))
        if name == ORDINAL:
            return self.rng.choice(LEVELS + (["higher"] if draw < dirty else []))
        if name == INTEGER:
            return "2.5" if draw < dirty * 0.7 else str(self.rng.randint(-5, 5))
        if draw < dirty:
            odd = ["many", "NaN", "-999", "3", "9.5", "8", "1e3", "-8"]
            return self.rng.choice([o for o in odd if o != "NaN" or name not in self.as_is])
        return str(self.rng.randint(-5, 5) if self.rng.random() < 0.2 else self.real(6))

    def rows(self, count):
        names = NUMBERS + [INTEGER, CATEGORY, ORDINAL]
        dirty = self.rng.choice([0.0, 0.05, 0.3])
        return names, [[self.cell(name, dirty) for name in names] for _ in range(count)]


def make(rng, kind, row_count):
    """(PMML text, field names, rows of cells)."""
    maker = Maker(rng, kind)
    return (maker.document(), *maker.rows(row_count))
