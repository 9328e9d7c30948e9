"""A plain PMML evaluator: one record at a time, written from the PMML 4.4 text, made to be read.

It is the oracle of the differential test, so it shares nothing with the program: no compiled form,
no columns, no shortcuts. Missing is None; truth is True, False or None (unknown).

    model = Model(text)
    model.columns()            -> names of what a row gives, target first
    model.score({"x": "1.5"})  -> the cells as text or number, or None if there is no result
"""
import math
import xml.etree.ElementTree as ElementTree

from _plain_pmml_values import (Field, NoResult, Scope, child, children, evaluate, interpolate,
                                median, norm_points, number, parse, predicate_of,
                                replace_missing, replace_outlier, tag, test, treat)

MODELS = ("TreeModel", "MiningModel", "RegressionModel", "GeneralRegressionModel", "NeuralNetwork",
          "Scorecard", "RuleSetModel", "NaiveBayesModel", "ClusteringModel",
          "SupportVectorMachineModel", "NearestNeighborModel")


class Result:
    """What a model element says of a record; value None is a missing prediction."""

    def __init__(self, value=None, probabilities=None, confidences=None, entity=None, reasons=(),
                 affinities=None, ranked=()):
        self.value = value
        self.ranked = ranked
        self.affinities = affinities
        self.reasons = reasons
        self.probabilities = probabilities
        self.confidences = confidences
        self.entity = entity


# ---- TreeModel -----------------------------------------------------------------------------------


def next_node(tree, node, scope):
    """(node or None, go on, counts as a missing level)."""
    strategy = tree.get("missingValueStrategy", "none")
    for candidate in children(node, "Node"):
        scope.surrogate_used = False
        truth = test(predicate_of(candidate), scope)
        if truth is True:
            return candidate, True, scope.surrogate_used
        if truth is None and strategy == "nullPrediction":
            return None, False, False
        if truth is None and strategy == "lastPrediction":
            return node, False, False
        if truth is None and strategy == "defaultChild":
            wanted = node.get("defaultChild")
            for default in children(node, "Node"):
                if wanted is not None and default.get("id") == wanted:
                    return default, True, True
            return None, False, False
    if tree.get("noTrueChildStrategy", "returnNullPrediction") == "returnLastPrediction":
        return node, False, False
    return None, False, False


def node_result(model, node, factor):
    distribution = children(node, "ScoreDistribution")
    score = node.get("score")
    if not model.classes:
        return Result() if score is None else Result(float(score), entity=node.get("id"))
    if score is None and distribution:
        score = max(distribution, key=lambda d: float(d.get("recordCount"))).get("value")
    if score is None:
        return Result()
    probabilities, confidences = None, None
    if distribution:
        counts = {d.get("value"): number(d, "recordCount", 0.0) for d in distribution}
        given = {d.get("value"): number(d, "probability") for d in distribution}
        total = sum(counts.values())
        probabilities = {c: 0.0 for c in model.classes}
        for label, count in counts.items():
            probabilities[label] = count / total if given[label] is None else given[label]
        confidences = {d.get("value"): float(d.get("confidence")) * factor for d in distribution
                       if d.get("confidence") is not None}
    return Result(score, probabilities, confidences, node.get("id"))


def reachable(element, node, scope):
    """(nodes the record may belong to with their shares, was anything unknown)."""
    nodes, truths = children(node, "Node"), []
    for candidate in nodes:
        truths.append(test(predicate_of(candidate), scope))
        if truths[-1] is True and None not in truths:
            return reachable(element, candidate, scope)
    possible = [c for c, truth in zip(nodes, truths) if truth is not False]
    if not possible:
        stays = not nodes or element.get("noTrueChildStrategy") == "returnLastPrediction"
        return ([(node, 1.0)] if stays else []), False
    total = sum(number(c, "recordCount") for c in possible)
    found = []
    for candidate in possible:
        share = number(candidate, "recordCount") / total
        found += [(n, s * share) for n, s in reachable(element, candidate, scope)[0]]
    return found, True


def score_gathered(model, element, scope):
    root = child(element, "Node")
    if test(predicate_of(root), scope) is not True:
        return Result()
    found, unknown = reachable(element, root, scope)
    if not unknown:
        return node_result(model, found[0][0], 1.0) if found else Result()
    aggregates = element.get("missingValueStrategy") == "aggregateNodes"
    sums = {c: 0.0 for c in model.classes}
    for node, share in found:
        result = node_result(model, node, 1.0)
        counts = {d.get("value"): number(d, "recordCount")
                  for d in children(node, "ScoreDistribution")}
        sure = result.confidences or certain(model, result)
        for label in sums:
            sums[label] += counts.get(label, 0.0) if aggregates else share * sure.get(label, 0.0)
    total = sum(sums.values())
    if not total > 0:
        return Result()
    if aggregates:
        sums = {c: s / total for c, s in sums.items()}
    return Result(first_largest(model, sums), sums if aggregates else None, sums)


def score_tree(model, element, scope):
    if element.get("missingValueStrategy") in ("weightedConfidence", "aggregateNodes"):
        return score_gathered(model, element, scope)
    node = child(element, "Node")
    levels, going = 0, True
    if test(predicate_of(node), scope) is not True:
        return Result()
    while node is not None and going and children(node, "Node"):
        node, going, missing = next_node(element, node, scope)
        levels += missing
    if node is None:
        return Result()
    return node_result(model, node, number(element, "missingValuePenalty", 1.0) ** levels)


# ---- MiningModel ---------------------------------------------------------------------------------


def certain(model, result):
    """Probabilities; a result without any is sure of its class."""
    if result.probabilities is None:
        return {c: float(c == result.value) for c in model.classes}
    return {c: result.probabilities.get(c) or 0.0 for c in model.classes}


def first_largest(model, probabilities):
    best = None
    for label in model.classes:
        p = probabilities.get(label)
        if p is not None and not math.isnan(p) and (best is None or p > probabilities[best]):
            best = label
    return best


def combine_numbers(method, votes):
    values = [r.value for r, _ in votes]
    weighted = sum(r.value * w for r, w in votes)
    return {"average": lambda: sum(values) / len(values),
            "weightedAverage": lambda: weighted / sum(w for _, w in votes),
            "sum": lambda: sum(values), "weightedSum": lambda: weighted,
            "median": lambda: median(values)}[method]()


def combine_classes(model, method, votes):
    if method == "median":
        return {c: median([certain(model, r)[c] for r, _ in votes]) for c in model.classes}
    if method in ("majorityVote", "average", "max"):
        votes = [(r, 1.0) for r, _ in votes]
    if method == "max":
        largest = max(max(certain(model, r).values()) for r, _ in votes)
        votes = [(r, w) for r, w in votes if max(certain(model, r).values()) == largest]
    sums = {c: 0.0 for c in model.classes}
    for result, weight in votes:
        shares = certain(model, result)
        if method in ("majorityVote", "weightedMajorityVote"):
            shares = {c: float(c == result.value) for c in model.classes}
        for label in model.classes:
            sums[label] += weight * shares[label]
    total = sum(w for _, w in votes)
    return {c: s / total for c, s in sums.items()}


def chosen_segments(segmentation, scope):
    for segment in children(segmentation, "Segment"):
        if test(predicate_of(segment), scope) is True:
            yield segment, children(segment, *MODELS)[0]


def score_chain(model, segmentation, scope, treatment):
    result = Result()
    for _, element in chosen_segments(segmentation, scope):
        following = model.score_element(element, scope)
        if following.value is None and treatment == "skipSegment":
            continue
        if bool(model.classes) == bool(model.classes_of(element)):
            result = following
        if following.value is None and treatment == "returnMissing":
            return Result()
    return result


def score_first(model, segmentation, scope, treatment):
    for _, element in chosen_segments(segmentation, scope):
        result = model.score_element(element, scope)
        if result.value is not None or treatment != "skipSegment":
            return result
    return Result()


def score_mining(model, element, scope):
    segmentation = child(element, "Segmentation")
    method = segmentation.get("multipleModelMethod")
    treatment = segmentation.get("missingPredictionTreatment", "continue")
    if method == "modelChain":
        return score_chain(model, segmentation, scope, treatment)
    if method == "selectFirst":
        return score_first(model, segmentation, scope, treatment)
    votes, lost = [], 0.0
    for segment, inner in chosen_segments(segmentation, scope):
        result = model.score_element(inner, scope)
        weight = number(segment, "weight", 1.0) if method.startswith("weighted") else 1.0
        if result.value is None:
            if treatment == "returnMissing":
                return Result()
            lost += weight
        else:
            votes.append((result, weight))
    kept = sum(w for _, w in votes)
    if not votes or (treatment == "skipSegment" and
                     lost / (lost + kept) > number(segmentation, "missingThreshold", 1.0)):
        return Result()
    if not model.classes:
        return Result(combine_numbers(method, votes))
    probabilities = combine_classes(model, method, votes)
    return Result(first_largest(model, probabilities), probabilities)


# ---- RegressionModel, GeneralRegressionModel -----------------------------------------------------

INVERSE = {
    "none": lambda y: y,
    "identity": lambda y: y,
    "logit": lambda y: 1 / (1 + math.exp(-y)),
    "probit": lambda y: math.erfc(-y / math.sqrt(2)) / 2,
    "cloglog": lambda y: 1 - math.exp(-math.exp(y)),
    "loglog": lambda y: math.exp(-math.exp(-y)),
    "cauchit": lambda y: 0.5 + math.atan(y) / math.pi,
    "exp": math.exp,
    "log": math.exp,
    "logc": lambda y: 1 - math.exp(y),
}


def softmax(values):
    powers = [math.exp(v - max(values)) for v in values]
    return [p / sum(powers) for p in powers]


def simplemax(values):
    return [v / sum(values) for v in values]


def table_value(table, scope):
    """None if a number is missing; a missing category adds nothing."""
    total = number(table, "intercept", 0.0)
    for p in children(table, "NumericPredictor"):
        x = scope.value(p.get("name"))
        if x is None:
            return None
        total += float(p.get("coefficient")) * math.pow(x, number(p, "exponent", 1.0))
    for p in children(table, "CategoricalPredictor"):
        x = scope.value(p.get("name"))
        if x is not None and x == parse(scope.field(p.get("name")).kind, p.get("value")):
            total += float(p.get("coefficient"))
    for p in children(table, "PredictorTerm"):
        factors = [scope.value(f.get("field")) for f in children(p, "FieldRef")]
        if None in factors:
            return None
        total += float(p.get("coefficient")) * math.prod(factors)
    return total


def normalize_tables(method, values):
    if method in ("softmax", "simplemax"):
        return (softmax if method == "softmax" else simplemax)(values)
    if len(values) == 2:
        p = min(max(INVERSE[method](values[0]), 0.0), 1.0)
        return [p, 1 - p]
    if method == "none":
        return values[:-1] + [1 - sum(values[:-1])]
    return simplemax([INVERSE[method](v) for v in values])


def normalize_ordinal(method, values):
    upto = [INVERSE[method](v) for v in values[:-1]] + [1.0]
    return [b - a for a, b in zip([0.0] + upto, upto)]


def score_regression(model, element, scope):
    method = element.get("normalizationMethod", "none")
    tables = children(element, "RegressionTable")
    values = [table_value(t, scope) for t in tables]
    if None in values:
        return Result()
    if not model.classes:
        return Result(INVERSE["logit" if method == "softmax" else method](values[0]))
    if model.target_field.optype == "ordinal" and method not in ("softmax", "simplemax"):
        shares = normalize_ordinal(method, values)
    else:
        shares = normalize_tables(method, values)
    probabilities = {t.get("targetCategory"): p for t, p in zip(tables, shares)}
    return Result(first_largest(model, probabilities), probabilities)


def contrast_of(factor, own, value):
    """What a category is worth in its factor's matrix, in the column of the cell's own."""
    categories = [c.get("value") for c in child(factor, "Categories")]
    if value not in categories:
        return None
    row = list(child(factor, "Matrix"))[categories.index(value)]
    return float(row.text.split()[categories.index(own)])


def parameter_value(element, parameter, scope):
    """Product of the parameter's cells; None if a predictor is missing."""
    factors = {p.get("name"): p for p in child(element, "FactorList") or []}
    product = 1.0
    for cell in child(element, "PPMatrix") or []:
        if cell.get("parameterName") != parameter:
            continue
        name = cell.get("predictorName")
        x = scope.value(name)
        if x is None:
            return None
        if name in factors and child(factors[name], "Matrix") is not None:
            worth = contrast_of(factors[name], cell.get("value"), x)
            if worth is None:
                return None
            product *= worth
        elif name in factors:
            product *= float(x == parse(scope.field(name).kind, cell.get("value")))
        else:
            product *= math.pow(x, float(cell.get("value")))
    return product


def cumulative_hazard(element, y, scope):
    tables, strata = child(element, "BaseCumHazardTables"), element.get("baselineStrataVariable")
    if strata is not None:
        tables = next((s for s in tables if s.get("value") == scope.value(strata)), None)
    time = scope.value(element.get("endTimeVariable"))
    if tables is None or time is None or time > number(tables, "maxTime"):
        return None
    passed = [number(c, "cumHazard") for c in children(tables, "BaselineCell")
              if number(c, "time") <= time]
    return passed[-1] * math.exp(y) if passed else 0.0


def inverse_link(element, y):
    link = element.get("linkFunction", "identity")
    a = number(element, "linkParameter", 0.0)
    if link == "power":
        return math.exp(y) if a == 0 else math.pow(y, 1 / a)
    if link == "negbin":
        return 1 / (number(element, "distParameter") * (math.exp(-y) - 1))
    if link == "oddspower":
        return INVERSE["logit"](y) if a == 0 else 1 / (1 + math.pow(1 + a * y, -1 / a))
    return INVERSE[link](y)


def variable_or(element, what, default, scope):
    name = element.get(what + "Variable")
    return number(element, what + "Value", default) if name is None else scope.value(name)


def score_general_regression(model, element, scope):
    offset = variable_or(element, "offset", 0.0, scope)
    trials = variable_or(element, "trials", 1.0, scope)
    cells = [(c, parameter_value(element, c.get("parameterName"), scope))
             for c in child(element, "ParamMatrix")]
    if offset is None or trials is None or any(v is None for _, v in cells):
        return Result()
    if element.get("modelType") == "CoxRegression":
        references = {p.get("name"): number(p, "referencePoint", 0.0)
                      for p in child(element, "ParameterList")}
        y = sum(float(c.get("beta")) * (v - references[c.get("parameterName")]) for c, v in cells)
        return Result(cumulative_hazard(element, y, scope))
    if not model.classes:
        y = sum(float(c.get("beta")) * v for c, v in cells)
        return Result(inverse_link(element, y + offset) * trials)
    ordinal = element.get("modelType") == "ordinalMultinomial"
    reference = model.classes[-1] if ordinal else element.get("targetReferenceCategory")
    sums = {label: offset for label in model.classes}
    sums[reference] = 0.0
    for cell, value in cells:
        for label in model.classes:
            if label != reference and cell.get("targetCategory") in (None, label):
                sums[label] += float(cell.get("beta")) * value
    if element.get("modelType") == "multinomialLogistic":
        probabilities = dict(zip(sums, softmax(list(sums.values()))))
    elif ordinal:
        shares = normalize_ordinal(element.get("cumulativeLink", "logit"), list(sums.values()))
        probabilities = dict(zip(sums, shares))
    else:
        event = next(c for c in model.classes if c != reference)
        p = inverse_link(element, sums[event])
        probabilities = {event: p, reference: 1 - p}
    return Result(first_largest(model, probabilities), probabilities)


# ---- Scorecard, RuleSetModel ---------------------------------------------------------------------


def score_card(model, element, scope):
    total, reasons = number(element, "initialScore", 0.0), []
    above = element.get("reasonCodeAlgorithm") == "pointsAbove"
    for characteristic in child(element, "Characteristics"):
        true = [a for a in characteristic if test(predicate_of(a), scope) is True]
        if not true:
            return Result()
        complex_score = child(true[0], "ComplexPartialScore")
        points = number(true[0], "partialScore") if complex_score is None else \
            evaluate(complex_score[0], scope)
        if points is None:
            return Result()
        total += points
        given = lambda name: next(e.get(name) for e in (true[0], characteristic, element)
                                  if e.get(name) is not None)
        lost = points - float(given("baselineScore"))
        reasons.append((lost if above else -lost, given("reasonCode")))
    reasons = sorted((r for r in reasons if r[0] >= 0), key=lambda r: -r[0])
    return Result(total, reasons=[code for _, code in reasons])


def fired(rules, scope):
    found = []
    for rule in rules:
        if tag(rule) == "CompoundRule" and test(predicate_of(rule), scope) is True:
            found += fired(children(rule, "SimpleRule", "CompoundRule"), scope)
        elif tag(rule) == "SimpleRule" and test(predicate_of(rule), scope) is True:
            found.append(rule)
    return found


def score_rules(model, element, scope):
    rule_set = child(element, "RuleSet")
    criterion = child(rule_set, "RuleSelectionMethod").get("criterion")
    rules = fired(children(rule_set, "SimpleRule", "CompoundRule"), scope)
    if not rules:
        label = rule_set.get("defaultScore")
        return Result(label, None, {label: number(rule_set, "defaultConfidence")})
    weight = lambda rule: number(rule, "weight", 1.0)
    if criterion == "weightedSum":
        sums = {c: sum(weight(r) for r in rules if r.get("score") == c) / len(rules)
                for c in model.classes}
        return Result(first_largest(model, sums), None, sums)
    rule = rules[0] if criterion == "firstHit" else max(rules, key=weight)
    return Result(rule.get("score"), None, {rule.get("score"): number(rule, "confidence", 1.0)},
                  rule.get("id"))


# ---- NeuralNetwork -------------------------------------------------------------------------------

def of_angle(function):
    """Of a large angle the digits that count are those that the sum's last rounding took: what
    such a network gives depends on the order of the sum, and is not compared."""
    def value(z):
        if abs(z) > 100:
            raise ArithmeticError("an angle of %g" % z)
        return function(z)
    return value


ACTIVATION = {
    "identity": lambda z: z,
    "logistic": INVERSE["logit"],
    "tanh": math.tanh,
    "rectifier": lambda z: z if z > 0 else 0.0,
    "exponential": math.exp,
    "reciprocal": lambda z: 1 / z,
    "square": lambda z: z * z,
    "Gauss": lambda z: math.exp(-z * z),
    "sine": of_angle(math.sin),
    "cosine": of_angle(math.cos),
    "Elliott": lambda z: z / (1 + abs(z)),
    "arctan": lambda z: 2 * math.atan(z) / math.pi,
}


def neuron_value(network, layer, neuron, known):
    function = layer.get("activationFunction", network.get("activationFunction"))
    setting = lambda name, default: number(neuron, name, number(layer, name,
                                                               number(network, name, default)))
    inputs = [(known[c.get("from")], float(c.get("weight"))) for c in children(neuron, "Con")]
    if function == "radialBasis":
        squares = sum((x - w) ** 2 for x, w in inputs) / (2 * setting("width", None) ** 2)
        return math.exp(len(inputs) * math.log(setting("altitude", 1.0)) - squares)
    z = number(neuron, "bias", 0.0) + sum(x * w for x, w in inputs)
    if function == "threshold":
        limit = number(layer, "threshold", number(network, "threshold", 0.0))
        return 1.0 if z > limit else 0.0
    return ACTIVATION[function](z)


def score_network(model, element, scope):
    known = {}
    for entry in child(element, "NeuralInputs"):
        known[entry.get("id")] = evaluate(list(child(entry, "DerivedField"))[0], scope)
    if None in known.values():
        return Result()
    layers = children(element, "NeuralLayer")
    for layer in layers:
        values = [neuron_value(element, layer, n, known) for n in children(layer, "Neuron")]
        own = element.get("normalizationMethod", "none") if layer is layers[-1] else "none"
        method = layer.get("normalizationMethod", own)
        values = {"softmax": softmax, "simplemax": simplemax, "none": list}[method](values)
        known.update(zip((n.get("id") for n in children(layer, "Neuron")), values))
    outputs = [(known[o.get("outputNeuron")], list(child(o, "DerivedField"))[0])
               for o in child(element, "NeuralOutputs")]
    if model.classes:
        probabilities = {norm.get("value"): value for value, norm in outputs}
        return Result(first_largest(model, probabilities), probabilities)
    value, norm = outputs[0]
    if tag(norm) == "FieldRef":
        return Result(value)
    turned = sorted((y, x) for x, y in norm_points(norm))
    return Result(interpolate(turned, value))


# ---- the model -----------------------------------------------------------------------------------

# ---- NaiveBayesModel -----------------------------------------------------------------------------

def density(distribution, x):
    kind = tag(distribution)
    if kind == "UniformDistribution":
        low, high = number(distribution, "lower"), number(distribution, "upper")
        return 1 / (high - low) if low <= x <= high else 0.0
    mean = number(distribution, "mean")
    if kind == "PoissonDistribution":
        return math.exp(-mean) * mean ** x / math.factorial(int(x)) \
            if x >= 0 and x == math.floor(x) else 0.0
    variance = number(distribution, "variance")
    return math.exp(-(x - mean) ** 2 / (2 * variance)) / math.sqrt(2 * math.pi * variance)


def counts_of(element, label):
    """The count of a class in an element's TargetValueCounts."""
    return sum(number(c, "count") for c in child(element, "TargetValueCounts")
               if c.get("value") == label)


def share_of(bayes_input, value, label, threshold):
    stats = child(bayes_input, "TargetValueStats")
    if stats is not None:
        given = [s for s in stats if s.get("value") == label]
        return max(density(given[0][0], value) if given else 0.0, threshold)
    pairs = children(bayes_input, "PairCounts")
    count = sum(counts_of(p, label) for p in pairs if p.get("value") == value)
    return count / sum(counts_of(p, label) for p in pairs) if count else threshold


def score_bayes(model, element, scope):
    threshold = number(element, "threshold")
    weights = {c: counts_of(child(element, "BayesOutput"), c) for c in model.classes}
    for bayes_input in child(element, "BayesInputs"):
        derived = child(bayes_input, "DerivedField")
        value = scope.value(bayes_input.get("fieldName")) if derived is None else \
            evaluate(derived[0], scope)
        if value is not None:
            for label in weights:
                weights[label] *= share_of(bayes_input, value, label, threshold)
    total = sum(weights.values())
    if not total:
        return Result()
    shares = {c: w / total for c, w in weights.items()}
    return Result(first_largest(model, shares), shares)


# ---- ClusteringModel -----------------------------------------------------------------------------

def compare_numbers(function, scale, x, y):
    return {"absDiff": lambda: abs(x - y), "delta": lambda: float(x != y),
            "equal": lambda: float(x == y),
            "gaussSim": lambda: math.exp(-math.log(2) * (x - y) ** 2 / scale ** 2)}[function]()


def distance_of(kind, parts, p):
    """parts: (weight, comparison) of each field that is not missing."""
    if kind == "chebychev":
        return max(w * c for w, c in parts)
    power = {"cityBlock": 1, "minkowski": p}.get(kind, 2)
    return sum(w * c ** power for w, c in parts)


def affinity_of(element, fields, values, center):
    """Distance or similarity of a record and a cluster's center, or a training instance."""
    comparison = child(element, "ComparisonMeasure")
    measure = comparison[0]
    kind, p = tag(measure), number(measure, "p-parameter")
    missing = child(element, "MissingValueWeights")
    weights = [1.0] * len(fields) if missing is None else list(map(float, missing[0].text.split()))
    if any(v is not None and c is None for v, c in zip(values, center)):
        return None
    known = [i for i, v in enumerate(values) if v is not None]
    if not known:
        return None
    if kind == "jaccard":
        ones = sum(values[i] == 1 and center[i] == 1 for i in known)
        some = sum(values[i] == 1 or center[i] == 1 for i in known)
        return ones / some if some else None
    parts = []
    for i in known:
        function = fields[i].get("compareFunction", comparison.get("compareFunction", "absDiff"))
        c = compare_numbers(function, number(fields[i], "similarityScale"), values[i], center[i])
        parts.append((number(fields[i], "fieldWeight", 1.0), c))
    total = distance_of(kind, parts, p) * sum(weights) / sum(weights[i] for i in known)
    return total ** {"euclidean": 0.5, "minkowski": 1 / (p or 1)}.get(kind, 1)


def score_clusters(model, element, scope):
    fields = children(element, "ClusteringField")
    values = [scope.value(f.get("field")) for f in fields]
    found = {}
    for label, cluster in zip(model.classes, children(element, "Cluster")):
        center = list(map(float, child(cluster, "Array").text.split()))
        found[label] = affinity_of(element, fields, values, center)
    known = {label: a for label, a in found.items() if a is not None}
    if not known:
        return Result()
    similar = child(element, "ComparisonMeasure").get("kind") == "similarity"
    ranked = sorted(known, key=lambda label: -known[label] if similar else known[label])
    return Result(ranked[0], entity=ranked[0], affinities=found, ranked=ranked)


# ---- NearestNeighborModel ------------------------------------------------------------------------

def instance_rows(model, element):
    """Training instances as scopes: cells by the names of their fields, others derived from them."""
    training = child(element, "TrainingInstances")
    for row in child(training, "InlineTable"):
        cells = {tag(c): c.text for c in row}
        values = {}
        for field in child(training, "InstanceFields"):
            text = cells.get(field.get("column"))
            kind = model.fields[field.get("field")].kind if field.get("field") != "id" else "string"
            values[field.get("field")] = None if not text else parse(kind, text)
        scope = Scope(model.fields, values)
        transformations = child(element, "LocalTransformations")
        if model.transformations is not None:
            scope.define(model.transformations)
        if transformations is not None:
            scope.define(transformations)
        yield scope


def vote_of(model, votes, instances):
    """votes: (class, weight); a tie is settled by the training instances, then by the label."""
    sums = {label: sum(w for c, w in votes if c == label) for label in dict(votes)}
    cases = {label: sum(i.value(model.target) == label for i in instances) for label in sums}
    return min(sums, key=lambda label: (-sums[label], -cases[label], label))


def score_neighbors(model, element, scope):
    fields = list(child(element, "KNNInputs"))
    values = [scope.value(f.get("field")) for f in fields]
    instances = list(instance_rows(model, element))
    found = {}
    for place, instance in enumerate(instances):
        center = [instance.value(f.get("field")) for f in fields]
        affinity = affinity_of(element, fields, values, center)
        if affinity is not None:
            found[place] = affinity
    similar = child(element, "ComparisonMeasure").get("kind") == "similarity"
    nearest = sorted(found, key=lambda place: -found[place] if similar else found[place])
    nearest = nearest[:int(element.get("numberOfNeighbors"))]
    method = element.get("categoricalScoringMethod" if model.classes
                         else "continuousScoringMethod", "average")
    threshold = number(element, "threshold", 0.001)
    votes = [(instances[n].value(model.target),
              1 / (found[n] + threshold) if method.startswith("weighted") else 1.0)
             for n in nearest if instances[n].value(model.target) is not None]
    if not votes:
        return Result()
    if model.classes:
        value = vote_of(model, votes, instances)
    elif method == "median":
        value = median([v for v, _ in votes])
    else:
        value = sum(v * w for v, w in votes) / sum(w for _, w in votes)
    ids = [instances[n].value("id") for n in nearest]
    return Result(value, entity=ids[0], affinities={i: found[n] for i, n in zip(ids, nearest)},
                  ranked=ids)


# ---- SupportVectorMachineModel -------------------------------------------------------------------

def kernel_value(kernel, x, y):
    gamma, coef0 = number(kernel, "gamma", 1.0), number(kernel, "coef0", 1.0)
    product = 0.0
    for a, b in zip(x, y):
        product += a * b
    return {"LinearKernelType": lambda: product,
            "PolynomialKernelType": lambda: (gamma * product + coef0) ** number(kernel, "degree", 1.0),
            "SigmoidKernelType": lambda: math.tanh(gamma * product + coef0),
            "RadialBasisKernelType":
                lambda: math.exp(-gamma * sum((a - b) ** 2 for a, b in zip(x, y)))}[tag(kernel)]()


def vector_of(instance, width):
    sparse = child(instance, "REAL-SparseArray")
    if sparse is None:
        return list(map(float, child(instance, "Array").text.split()))
    vector = [number(sparse, "defaultValue", 0.0)] * width
    if len(sparse):
        for index, entry in zip(sparse[0].text.split(), sparse[1].text.split()):
            vector[int(index) - 1] = float(entry)
    return vector


def machine_sum(element, machine, x):
    coefficients = [number(c, "value", 0.0) for c in child(machine, "Coefficients")]
    constant = number(child(machine, "Coefficients"), "absoluteValue", 0.0)
    if element.get("svmRepresentation") == "Coefficients":
        return sum(c * v for c, v in zip(coefficients, x)) + constant
    kernel = next(c for c in element if tag(c).endswith("KernelType"))
    instances = {i.get("id"): i for i in
                 children(child(element, "VectorDictionary"), "VectorInstance")}
    total = 0.0
    for coefficient, vector in zip(coefficients, child(machine, "SupportVectors")):
        other = vector_of(instances[vector.get("vectorId")], len(x))
        total += coefficient * kernel_value(kernel, x, other)
    return total + constant


def score_vectors(model, element, scope):
    x = []
    for field in child(child(element, "VectorDictionary"), "VectorFields"):
        value = scope.value(field.get("field", field.get("name")))
        if value is None:
            return Result()
        x.append(value if tag(field) == "FieldRef" else float(value == field.get("value")))
    machines = children(element, "SupportVectorMachine")
    sums = [machine_sum(element, m, x) for m in machines]
    if not model.classes:
        return Result(sums[0])
    if machines[0].get("alternateTargetCategory") is None:
        sign = 1 if element.get("maxWins") == "true" else -1
        best = {m.get("targetCategory"): sign * s for m, s in zip(machines, sums)}
        return Result(max((c for c in model.classes if c in best), key=best.get))
    votes = dict.fromkeys(model.classes, 0)
    for machine, value in zip(machines, sums):
        threshold = number(machine, "threshold", number(element, "threshold", 0.0))
        below = value < threshold
        votes[machine.get("targetCategory" if below else "alternateTargetCategory")] += 1
    return Result(first_largest(model, votes))


SCORE = {"TreeModel": score_tree, "MiningModel": score_mining, "RegressionModel": score_regression,
         "GeneralRegressionModel": score_general_regression, "NeuralNetwork": score_network,
         "Scorecard": score_card, "RuleSetModel": score_rules, "NaiveBayesModel": score_bayes,
         "ClusteringModel": score_clusters, "SupportVectorMachineModel": score_vectors,
         "NearestNeighborModel": score_neighbors}


def cast_integer(how, value):
    return {None: lambda v: v, "round": lambda v: math.floor(v + 0.5),
            "ceiling": math.ceil, "floor": math.floor}[how](value)


def apply_target(target, value):
    value = min(max(value, number(target, "min", -math.inf)), number(target, "max", math.inf))
    value = value * number(target, "rescaleFactor", 1.0) + number(target, "rescaleConstant", 0.0)
    return float(cast_integer(target.get("castInteger"), value))


def treat_result(model, element, result):
    """Targets."""
    targets = child(element, "Targets")
    if targets is None:
        return result
    target = child(targets, "Target")
    values = children(target, "TargetValue")
    if model.classes:
        priors = {v.get("value"): number(v, "priorProbability") for v in values}
        if result.value is None and priors:
            return Result(first_largest(model, priors), priors)
        return result
    if result.value is not None:
        result.value = apply_target(target, result.value)
    elif values:
        result.value = number(values[0], "defaultValue")
    return result


class Model:
    def __init__(self, text):
        root = ElementTree.fromstring(text)
        self.fields = {e.get("name"): Field(e) for e in
                       children(child(root, "DataDictionary"), "DataField")}
        # What segments give is a field to those behind them, missing if they took no part.
        self.fields.update((e.get("name"), Field(e)) for e in root.iter()
                           if tag(e) == "OutputField")
        self.transformations = child(root, "TransformationDictionary")
        self.element = children(root, *MODELS)[0]
        self.schema = list(child(self.element, "MiningSchema"))
        self.target = next(m.get("name") for m in self.schema
                           if m.get("usageType") in ("target", "predicted"))
        self.target_field = self.fields[self.target]
        self.classes = self.classes_of(self.element)  # of the element that is being scored
        output = child(self.element, "Output")
        self.outputs = [] if output is None else children(output, "OutputField")

    def classes_of(self, element):
        if tag(element) == "ClusteringModel":
            return [c.get("id", str(i)) for i, c in enumerate(children(element, "Cluster"), 1)]
        is_number = element.get("functionName") == "regression"
        return [] if is_number else self.target_field.values["valid"]

    def columns(self):
        names = [o.get("name") for o in self.outputs]
        if not names:
            names = ["probability(%s)" % c for c in self.classes]
        return [self.target] + names

    def output_value(self, output, result, scope):
        feature, label = output.get("feature", "predictedValue"), output.get("value")
        if feature == "transformedValue":
            return evaluate(list(output)[0], scope)
        if feature == "predictedValue" or result.value is None:
            return result.value
        rank = int(output.get("rank", "1"))
        if feature in ("entityId", "affinity") and result.ranked and label is None:
            entity = result.ranked[rank - 1] if rank <= len(result.ranked) else None
            return entity if feature == "entityId" else result.affinities.get(entity)
        if feature == "entityId":
            return result.entity
        if feature == "reasonCode":
            return result.reasons[rank - 1] if rank <= len(result.reasons) else None
        if feature == "predictedDisplayValue":
            return next((c.get("name", result.value) for i, c in
                         enumerate(children(self.element, "Cluster"), 1)
                         if c.get("id", str(i)) == result.value), result.value)
        source = {"probability": result.probabilities, "confidence": result.confidences,
                  "affinity": result.affinities}[feature]
        return (source or {}).get(label or result.value)

    def score_element(self, element, outer):
        scope = outer.inner()
        if element is not self.element:
            self.treat_again(element, scope)
        transformations = child(element, "LocalTransformations")
        if transformations is not None:
            scope.define(transformations)
        outer_classes, self.classes = self.classes, self.classes_of(element)
        result = treat_result(self, element, SCORE[tag(element)](self, element, scope))
        self.classes = outer_classes
        output = child(element, "Output")
        for field in [] if output is None else children(output, "OutputField"):
            outer.values[field.get("name")] = self.output_value(field, result, scope)
        return result

    @staticmethod
    def treat_again(element, scope):
        """A segment's own MiningSchema treats missing values and outliers that reach it."""
        for mining in child(element, "MiningSchema"):
            name = mining.get("name")
            if mining.get("usageType", "active") != "active":
                continue
            value = scope.value(name)
            if value is None:
                value = replace_missing(mining, scope.field(name))
            elif isinstance(value, float):
                value = replace_outlier(mining, scope.field(name), value)
            scope.values[name] = value

    def score(self, cells):
        """cells: text by field name. The row's cells, target first; None if there is no result."""
        self.classes = self.classes_of(self.element)
        try:
            values = {}
            for mining in self.schema:
                if mining.get("usageType", "active") == "active":
                    name = mining.get("name")
                    values[name] = treat(mining, self.fields[name], cells.get(name, ""))
            scope = Scope(self.fields, values)
            if self.transformations is not None:
                scope.define(self.transformations)
            result = self.score_element(self.element, scope)
        except NoResult:
            return None
        if result.value is None or result.value != result.value:
            return None  # not a number: the model failed on this record
        if not self.outputs:
            shares = result.probabilities or {}
            return [result.value] + [shares.get(c) for c in self.classes]
        return [result.value] + [scope.values[o.get("name")] for o in self.outputs]
