"""Values, fields, predicates and expressions of the plain evaluator (_plain_pmml.py)."""
import math

PREDICATES = ("SimplePredicate", "SimpleSetPredicate", "CompoundPredicate", "True", "False")


class NoResult(Exception):
    """The record is not scored: an input is invalid, or missing where it may not be."""


def tag(element):
    return element.tag.rsplit("}", 1)[-1]


def child(element, name):
    return next((c for c in element if tag(c) == name), None)


def children(element, *names):
    return [c for c in element if tag(c) in names]


def number(element, name, default=None):
    text = element.get(name)
    return default if text is None else float(text)


# ---- values --------------------------------------------------------------------------------------


def parse(kind, text):
    """Text as a value of a data type; ValueError if it is none."""
    if kind == "string":
        return text
    value = {"true": 1.0, "false": 0.0}[text] if text in ("true", "false") else float(text)
    if kind == "boolean" and value not in (0.0, 1.0):
        raise ValueError(text)
    if kind == "integer" and value != math.floor(value):
        raise ValueError(text)
    return value


def in_interval(interval, value):
    low, high = number(interval, "leftMargin", -math.inf), number(interval, "rightMargin", math.inf)
    closure = interval.get("closure")
    above = value >= low if closure.startswith("closed") else value > low
    below = value <= high if closure.endswith("Closed") else value < high
    return above and below


class Field:
    """A DataField: which texts are values of it, and which values are valid."""

    def __init__(self, element):
        self.name = element.get("name")
        self.kind = element.get("dataType")
        self.optype = element.get("optype")
        self.intervals = children(element, "Interval")
        self.values = {"valid": [], "invalid": [], "missing": []}
        for value in children(element, "Value"):
            self.values[value.get("property", "valid")].append(value.get("value"))

    def valid_values(self):
        return [parse(self.kind, text) for text in self.values["valid"]]

    def is_valid(self, value):
        if isinstance(value, float) and math.isnan(value):
            return False
        if value in [parse(self.kind, text) for text in self.values["invalid"]]:
            return False
        if not self.values["valid"] and not self.intervals:
            return True
        return value in self.valid_values() or any(in_interval(i, value) for i in self.intervals)


def replace_missing(mining, field):
    if mining.get("missingValueTreatment") == "returnInvalid":
        raise NoResult
    replacement = mining.get("missingValueReplacement")
    return None if replacement is None else parse(field.kind, replacement)


def replace_invalid(mining, field, value):
    treatment = mining.get("invalidValueTreatment", "returnInvalid")
    if treatment == "asMissing":
        return replace_missing(mining, field)
    if treatment == "asValue":
        return parse(field.kind, mining.get("invalidValueReplacement"))
    if treatment == "asIs" and value is not None:
        return value
    raise NoResult


def replace_outlier(mining, field, value):
    treatment = mining.get("outliers", "asIs")
    low, high = number(mining, "lowValue", -math.inf), number(mining, "highValue", math.inf)
    if treatment == "asIs" or low <= value <= high:
        return value
    if treatment == "asMissingValues":
        return replace_missing(mining, field)
    return low if value < low else high


def treat(mining, field, text):
    """MiningField and DataField on one cell. An empty cell is a missing value."""
    if not text or text in field.values["missing"]:
        return replace_missing(mining, field)
    try:
        value = parse(field.kind, text)
    except ValueError:
        return replace_invalid(mining, field, None)
    if field.kind != "string" and value in [parse(field.kind, t) for t in field.values["missing"]]:
        return replace_missing(mining, field)
    if not field.is_valid(value):
        return replace_invalid(mining, field, value)
    return replace_outlier(mining, field, value) if isinstance(value, float) else value


# ---- predicates ----------------------------------------------------------------------------------

COMPARE = {
    "equal": lambda a, b: a == b,
    "notEqual": lambda a, b: a != b,
    "lessThan": lambda a, b: a < b,
    "lessOrEqual": lambda a, b: a <= b,
    "greaterThan": lambda a, b: a > b,
    "greaterOrEqual": lambda a, b: a >= b,
}


def array_items(text):
    """Blank-separated items, quoted if they hold blanks, with backslash before a quote."""
    items, item, quoted, at = [], None, False, 0
    while at < len(text):
        c = text[at]
        if c == "\\" and quoted:
            at += 1
            item += text[at]
        elif c == '"':
            quoted = not quoted
            item = item or ""
        elif c.isspace() and not quoted:
            if item is not None:
                items.append(item)
            item = None
        else:
            item = (item or "") + c
        at += 1
    return items if item is None else items + [item]


def test_simple(element, scope):
    name, operator = element.get("field"), element.get("operator")
    value = scope.value(name)
    if operator == "isMissing":
        return value is None
    if operator == "isNotMissing":
        return value is not None
    if value is None:
        return None
    field = scope.field(name)
    wanted = parse(field.kind, element.get("value"))
    if field.optype == "ordinal" and operator not in ("equal", "notEqual"):
        order = field.valid_values()
        return COMPARE[operator](order.index(value), order.index(wanted))
    return COMPARE[operator](value, wanted)


def test_set(element, scope):
    name = element.get("field")
    value = scope.value(name)
    if value is None:
        return None
    texts = array_items(child(element, "Array").text or "")
    items = [parse(scope.field(name).kind, text) for text in texts]
    return (value in items) == (element.get("booleanOperator") == "isIn")


def test_compound(element, scope):
    parts = [test(p, scope) for p in children(element, *PREDICATES)]
    operator = element.get("booleanOperator")
    if operator == "surrogate":
        if parts[0] is None:
            scope.surrogate_used = True
        return next((p for p in parts if p is not None), None)
    if operator == "and":
        return False if False in parts else None if None in parts else True
    if operator == "or":
        return True if True in parts else None if None in parts else False
    return None if None in parts else sum(parts) % 2 == 1


def test(element, scope):
    name = tag(element)
    if name in ("True", "False"):
        return name == "True"
    return {"SimplePredicate": test_simple, "SimpleSetPredicate": test_set,
            "CompoundPredicate": test_compound}[name](element, scope)


def predicate_of(element):
    return children(element, *PREDICATES)[0]


# ---- expressions ---------------------------------------------------------------------------------


def norm_points(element):
    return [(float(p.get("orig")), float(p.get("norm"))) for p in children(element, "LinearNorm")]


def interpolate(points, value):
    """Straight lines through the points, the first and the last one drawn on."""
    pair = points[:2]
    for i in range(1, len(points) - 1):
        if value > points[i][0]:
            pair = points[i:i + 2]
    (x0, y0), (x1, y1) = pair
    return y0 + (value - x0) / (x1 - x0) * (y1 - y0)


def norm_continuous(element, value):
    points = norm_points(element)
    outliers = element.get("outliers", "asIs")
    if outliers != "asIs" and not points[0][0] <= value <= points[-1][0]:
        if outliers == "asMissingValues":
            return number(element, "mapMissingTo")
        return points[0][1] if value < points[0][0] else points[-1][1]
    return interpolate(points, value)


def rounded(x):
    return math.floor(x) + (1.0 if x - math.floor(x) >= 0.5 else 0.0)


def median(values):
    values = sorted(values)
    middle = len(values) // 2
    return values[middle] if len(values) % 2 else (values[middle - 1] + values[middle]) / 2


AGGREGATES = {
    "min": min, "max": max, "sum": sum, "product": math.prod,
    "avg": lambda values: sum(values) / len(values), "median": lambda values: median(values),
}
FUNCTIONS = {
    "+": lambda x, y: x + y, "-": lambda x, y: x - y, "*": lambda x, y: x * y,
    "/": lambda x, y: x / y, "pow": math.pow, "hypot": math.hypot,
    "modulo": lambda x, y: x - y * math.floor(x / y),
    "threshold": lambda x, y: float(x > y), "abs": abs, "exp": math.exp, "tanh": math.tanh,
    "floor": math.floor, "ceil": math.ceil, "round": rounded, "rint": round,
    "stdNormalCDF": lambda x: math.erfc(-x / math.sqrt(2)) / 2,
    "and": lambda *x: all(x), "or": lambda *x: any(x), "not": lambda x: not x,
    "uppercase": str.upper, "stringLength": len, "trimBlanks": str.strip,
    "substring": lambda text, first, count: text[int(first) - 1:int(first + count) - 1],
    **COMPARE,
}


def call(name, parts, scope):
    """A built-in function; its arguments are elements, so that an if looks at one branch."""
    if name == "if":
        truth = evaluate(parts[0], scope)
        chosen = [] if truth is None else parts[1:2] if truth else parts[2:3]
        return evaluate(chosen[0], scope) if chosen else None
    values = [evaluate(p, scope) for p in parts]
    if name in ("isMissing", "isNotMissing"):
        return (values[0] is None) == (name == "isMissing")
    if name in ("isIn", "isNotIn"):
        return (values[0] in values[1:]) == (name == "isIn")
    if name == "concat":
        texts = [v for v in values if v is not None]
        return "".join(texts) if texts else None
    if name in AGGREGATES:
        values = [v for v in values if v is not None]
        return AGGREGATES[name](values) if values else None
    return None if None in values else FUNCTIONS[name](*values)


def apply(element, scope):
    parts = [c for c in element if tag(c) != "Extension"]
    replacement = number(element, "mapMissingTo")
    if replacement is not None and None in [evaluate(p, scope) for p in parts]:
        return replacement
    value = call(element.get("function"), parts, scope)
    return number(element, "defaultValue") if value is None else value


def discretize(element, value):
    kind = element.get("dataType", "string")
    for b in children(element, "DiscretizeBin"):
        if in_interval(child(b, "Interval"), value):
            return parse(kind, b.get("binValue"))
    text = element.get("defaultValue")
    return None if text is None else parse(kind, text)


def map_values(element, scope):
    kind = element.get("dataType", "string")
    wanted = {p.get("column"): (scope.value(p.get("field")), scope.field(p.get("field")).kind)
              for p in children(element, "FieldColumnPair")}
    text = element.get("defaultValue")
    if None in [value for value, _ in wanted.values()]:
        text = element.get("mapMissingTo")
    else:
        for row in child(element, "InlineTable"):
            cells = {tag(c): c.text for c in row}
            if all(parse(k, cells[column]) == v for column, (v, k) in wanted.items()):
                text = cells[element.get("outputColumn")]
    return None if text is None else parse(kind, text)


def evaluate(element, scope):
    name = tag(element)
    if name == "Constant":
        return parse(element.get("dataType", "double"), element.text)
    if name == "Apply":
        return apply(element, scope)
    if name == "MapValues":
        return map_values(element, scope)
    value = scope.value(element.get("field"))
    if name == "FieldRef":
        missing = element.get("mapMissingTo")
        if value is None and missing is not None:
            return parse(scope.field(element.get("field")).kind, missing)
        return value
    if value is None:
        return number(element, "mapMissingTo")
    if name == "NormContinuous":
        return norm_continuous(element, value)
    if name == "Discretize":
        return discretize(element, value)
    if name == "NormDiscrete":
        kind = scope.field(element.get("field")).kind
        return 1.0 if value == parse(kind, element.get("value")) else 0.0
    raise NotImplementedError(name)


class Scope:
    """Names of one record: treated inputs, derived fields, outputs of earlier segments."""

    def __init__(self, fields, values):
        self.fields = dict(fields)
        self.values = dict(values)
        self.derived = {}
        self.surrogate_used = False

    def inner(self):
        scope = Scope(self.fields, self.values)
        scope.derived = dict(self.derived)
        return scope

    def define(self, transformations):
        for element in children(transformations, "DerivedField"):
            name = element.get("name")
            self.derived[name] = (element, self.inner())
            self.values.pop(name, None)
            self.fields[name] = Field(element)

    def value(self, name):
        if name in self.derived and name not in self.values:
            element, scope = self.derived[name]
            value = evaluate(next(c for c in element if tag(c) != "Extension"), scope)
            self.values[name] = float(value) if isinstance(value, (bool, int)) else value
        return self.values.get(name)  # an output of a segment that took no part: missing

    def field(self, name):
        return self.fields[name]
