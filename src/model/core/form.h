/*
 * model/core/form.h - the compiled form that every reader builds and every scorer runs.
 *
 *      inputs ---- treatment ----> slots --- derived slots (expressions) ---+
 *                                    |                                      |
 *                                    +-------> elements (tree, regression, segmentation ...)
 *                                                     |
 *                                                 result: number or class, probabilities, entity
 *                                                     |
 *                                    target treatment, Output fields
 *
 * What:    a model is a table of slots, a tree of elements and a list of outputs. A slot is one
 *          value of the row that is being scored: an input after its treatment, a derived field, or
 *          an Output field of a segment that later segments read. Names are resolved to slots by
 *          the reader; the core never looks up a name.
 * Life:    built once by a reader through builder.h, immutable from then on.
 * Threads: shared by any number of scorers; all that changes while scoring is in struct model_row.
 * Memory:  everything lies in the model's arena but the symbols.
 * Errors:  a row's, in model_row.status.
 */
#ifndef WEIR_MODEL_CORE_FORM_H
#define WEIR_MODEL_CORE_FORM_H

#include <stdatomic.h>

#include <weir/model.h>

#include "model/core/value.h"

struct weir_arena;
struct model_row;
struct model_rule_choice;

/* ---- fields and slots ------------------------------------------------------------------------ */

struct model_interval {
    double low, high; /* -inf, +inf when open-ended */
    bool low_closed, high_closed;
};

enum model_invalid {
    MODEL_INVALID_RETURN,
    MODEL_INVALID_AS_IS,
    MODEL_INVALID_AS_MISSING,
    MODEL_INVALID_AS_VALUE
};
enum model_outliers { MODEL_OUTLIERS_AS_IS, MODEL_OUTLIERS_AS_MISSING, MODEL_OUTLIERS_AS_EXTREME };

/*
 * What a MiningField and its DataField do with a raw value, in PMML's order: missing -> missing
 * treatment; valid -> outliers; invalid -> invalid treatment; a value that a treatment turned into
 * a missing one -> missing treatment.
 */
struct model_treatment {
    enum model_type type;
    uint32_t valid_count, invalid_count, missing_count, missing_text_count, interval_count;
    const double *valid_values; /* any (or an interval) given: everything else is invalid */
    const double *invalid_values;
    const double *missing_values;
    const struct model_interval *intervals;
    const struct weir_slice *missing_texts; /* as written: matched before a text is parsed */
    enum model_invalid invalid;
    double invalid_replacement;
    enum model_outliers outliers;
    double low, high;           /* for outliers; -inf, +inf when not given */
    double missing_replacement; /* missing = none */
    bool missing_is_invalid;    /* missingValueTreatment returnInvalid */
    bool plain; /* a double that is not NaN passes unchanged: kernels may read the block's column */
};

/*
 * Treats one raw value of the field's type (missing allowed). OK and the value (maybe missing), or
 * INVALID_INPUT, or MISSING_INPUT.
 */
enum weir_err model_treat(const struct model_treatment *treatment, double raw, double *value_out);
/* What becomes of a text that is no value of the field's type: as an invalid value, but that it
 * can't be taken as it is. */
bool model_is_valid(const struct model_treatment *treatment, double value);
enum weir_err model_treat_unreadable(const struct model_treatment *treatment, double *value_out);

enum model_expr_kind {
    MODEL_EXPR_CONSTANT,
    MODEL_EXPR_SLOT, /* FieldRef */
    MODEL_EXPR_NORM_CONTINUOUS,
    MODEL_EXPR_NORM_DISCRETE,
    MODEL_EXPR_TREAT, /* a segment's own MiningField */
    MODEL_EXPR_CAST,  /* args[0] as a value of another type */
    MODEL_EXPR_DISCRETIZE,
    MODEL_EXPR_MAP_VALUES,
    MODEL_EXPR_APPLY, /* a built-in function */
};

struct model_norm_point {
    double orig, norm;
};

struct model_bin {
    struct model_interval interval;
    double value;
};

/* An expression over slots. A missing operand gives map_missing_to (missing if there is none). */
struct model_expr {
    enum model_expr_kind kind;
    enum model_type type; /* of its value */
    uint32_t slot;
    double value; /* CONSTANT; NORM_DISCRETE: the category */
    double map_missing_to;
    double default_value; /* DISCRETIZE, MAP_VALUES: nothing fits; APPLY: the result is missing */
    uint32_t point_count;
    const struct model_norm_point *points;   /* [point_count >= 2], orig ascending */
    enum model_outliers outliers;            /* NORM_CONTINUOUS */
    const struct model_treatment *treatment; /* TREAT; APPLY: of isValid's field, or NULL */
    uint32_t count;                          /* of args, bins, or columns of a table */
    const struct model_expr *args;           /* [count] APPLY, CAST; MAP_VALUES: the fields */
    const struct model_bin *bins;            /* [count] DISCRETIZE */
    uint32_t row_count;
    const double *table;     /* MAP_VALUES: [row_count][count + 1], the value last, ascending */
    uint32_t function;       /* APPLY: enum model_function */
    uint32_t work;           /* APPLY: first of count doubles in row->work */
    bool invalid_is_missing; /* APPLY: a result that is not defined is a missing one */
};

double model_expr_value(const struct model_expr *expr, struct model_row *row);
/* NormContinuous on a number, and its inverse (norm -> orig) for outputs of a neural network. */
double model_norm_continuous(const struct model_expr *expr, double value);
double model_norm_inverse(const struct model_expr *expr, double value);

struct model_slot {
    const char *name;
    enum model_type type;
    enum model_optype optype;
    uint32_t value_count; /* declared valid values in order: the order of an ordinal field */
    const double *values;
    const struct model_expr *expr; /* derived, computed when first read; NULL: set by the scorer
                                      (inputs) or by an element (its outputs) */
    bool named;                    /* has a DerivedField of its own: appears in details */
    uint16_t depth;                /* of the derivation, set by the builder: it is recursive */
};

enum { MODEL_SLOT_DEPTH_MAX = 256 };

struct model_input {
    uint32_t slot;
    struct model_treatment treatment;
};

/* ---- predicates ------------------------------------------------------------------------------ */

enum model_truth { MODEL_FALSE, MODEL_TRUE, MODEL_UNKNOWN };

enum model_predicate_kind {
    MODEL_PREDICATE_TRUE,
    MODEL_PREDICATE_FALSE,
    MODEL_PREDICATE_EQUAL,
    MODEL_PREDICATE_NOT_EQUAL,
    MODEL_PREDICATE_LESS,
    MODEL_PREDICATE_LESS_OR_EQUAL,
    MODEL_PREDICATE_GREATER,
    MODEL_PREDICATE_GREATER_OR_EQUAL,
    MODEL_PREDICATE_IS_MISSING,
    MODEL_PREDICATE_IS_NOT_MISSING,
    MODEL_PREDICATE_IS_IN, /* also comparisons of ordinal fields, as the set of values they admit */
    MODEL_PREDICATE_IS_NOT_IN,
    MODEL_PREDICATE_AND,
    MODEL_PREDICATE_OR,
    MODEL_PREDICATE_XOR,
    MODEL_PREDICATE_SURROGATE,
};

struct model_predicate {
    enum model_predicate_kind kind;
    uint32_t slot;
    uint32_t count; /* of values or parts */
    double value;
    const double *values;                /* [count] ascending: IS_IN, IS_NOT_IN */
    const struct model_predicate *parts; /* [count]: AND, OR, XOR, SURROGATE */
};

/* Three-valued. Counts surrogates that were used in row->surrogates. */
enum model_truth model_predicate_test(const struct model_predicate *predicate,
                                      struct model_row *row);

/* ---- elements -------------------------------------------------------------------------------- */

/* What an element says about a row. Borrowed arrays stay until the element scores another row. */
struct model_result {
    bool missing;                /* no prediction (a null score) */
    double number;               /* regression */
    uint32_t class_index;        /* classification; UINT32_MAX = none */
    const double *probabilities; /* [class_count] or NULL; NaN = none for this class */
    const double *confidences;   /* likewise */
    const double *affinities;    /* likewise: distance or similarity of each cluster */
    struct weir_slice entity_id; /* null if there is none */
    uint32_t ranked_count;       /* clusters or neighbors, the nearest first */
    const double *ranked;        /* [ranked_count] their numbers */
    const struct weir_slice *ranked_ids;
    const double *ranked_affinities; /* both by number */
    uint32_t reason_count;
    const double *reasons; /* [reason_count] reason codes as strings' values, the first first */
};

/* PMML's Target: what is done to a regression's number, in this order; defaults. */
enum model_cast { MODEL_CAST_NONE, MODEL_CAST_ROUND, MODEL_CAST_CEILING, MODEL_CAST_FLOOR };

struct model_target {
    double min, max; /* -inf, +inf when not given */
    double rescale_factor, rescale_constant;
    enum model_cast cast;
    double default_value;   /* for a missing result; missing = none */
    uint32_t default_class; /* classification: for a missing result; UINT32_MAX = none */
    const double *priors;   /* [class_count] the probabilities that come with it */
};

double model_target_apply(const struct model_target *target, bool is_float, double number);
/* As a calculation in float32 leaves it. Sums, products and quotients of floats that are made in
 * double and rounded are those made in float. */
static inline double model_rounded(bool is_float, double value)
{
    return is_float && !model_is_missing(value) ? (double)(float)value : value;
}

enum model_feature {
    MODEL_FEATURE_PREDICTED_VALUE,
    MODEL_FEATURE_PROBABILITY,
    MODEL_FEATURE_CONFIDENCE,
    MODEL_FEATURE_ENTITY_ID,
    MODEL_FEATURE_TRANSFORMED_VALUE,
    MODEL_FEATURE_REASON_CODE,
    MODEL_FEATURE_AFFINITY,
    MODEL_FEATURE_DISPLAY_VALUE,
    MODEL_FEATURE_RESIDUAL,
    MODEL_FEATURE_RULE,
};

/* One OutputField of an element. */
struct model_output {
    const char *name;
    enum model_feature feature;
    uint32_t class_index; /* of value=; UINT32_MAX = the winning class */
    uint32_t rank;        /* REASON_CODE, ENTITY_ID, AFFINITY: 1 = the first */
    uint32_t slot;        /* where later readers find it */
    enum model_type type;
    const struct model_expr *expr;          /* TRANSFORMED_VALUE; RESIDUAL: what was observed */
    const struct model_rule_choice *choice; /* RULE */
};

struct model_element;

struct model_element_ops {
    const char *name; /* "TreeModel" */
    /*
     * Scores the row into *result, which begins as missing with everything else empty. A row that
     * can't be scored for a reason worth telling gets row->status. Must not allocate.
     */
    void (*score)(const struct model_element *element, struct model_row *row,
                  struct model_result *result);
};

/* Base of every element; struct model_tree and the others begin with it. */
struct model_element {
    const struct model_element_ops *ops;
    enum weir_model_function function;
    const struct model_classes *classes; /* classification; NULL for regression */
    const struct model_target *target;   /* NULL = none */
    const double *displays; /* [class_count] predictedDisplayValue of each class, or NULL */
    uint32_t output_count;
    const struct model_output *outputs;
    bool is_float;        /* x-mathContext: sums and results are rounded to float32 */
    uint32_t rank_max;    /* of the outputs' ranks */
    bool target_is_read;  /* by an Output expression: what is predicted goes into target_slot */
    uint32_t target_slot; /* seen by the outputs only */
    uint32_t work;        /* first of the doubles in row->work that are this element's own */
};

/* Scores an element: its ops, then its target's treatment, then its outputs into their slots. */
void model_element_score(const struct model_element *element, struct model_row *row,
                         struct model_result *result);

/* ---- the model ------------------------------------------------------------------------------- */

struct model_plan;

struct weir_model {
    atomic_uint refs;
    struct weir_arena *arena;
    struct model_symbols symbols;
    struct weir_model_info info;
    uint32_t slot_count;
    const struct model_slot *slots;
    uint32_t input_count;
    const struct model_input *inputs; /* [input_count]; input i is described by info.inputs[i] */
    bool inputs_by_position;          /* a graph: bound to the numeric fields in their order */
    bool result_is_index;             /* a graph: the target is the class index as int64 */
    const struct model_element *root;
    const struct model_plan *plan; /* the fast way, or NULL */
    uint32_t work_count;           /* doubles of row->work */
    bool makes_strings;            /* an expression needs row->text */
};

/* One row on its way through the general path: the scratch memory of a scorer. */
struct model_row {
    const struct weir_model *model;
    double *values;                /* [slot_count] */
    uint32_t *computed;            /* [slot_count] epoch in which a derived slot was computed */
    uint32_t epoch;                /* of this row, never 0 */
    uint32_t surrogates;           /* surrogate predicates that had to fall back, for this node */
    enum weir_err status;          /* sticky: the first error of this row */
    double *work;                  /* [work_count] */
    char *text;                    /* [MODEL_TEXT_MAX] if the model makes strings */
    struct model_symbols *strings; /* that the model does not know, numbered behind its own */
};

/* Text of a string value, null slice for one that was seen nowhere. */
struct weir_slice model_row_text(const struct model_row *row, double value);
/* Value of a text; false and row->status without memory. */
bool model_row_string(struct model_row *row, struct weir_slice text, double *value_out);

static inline void model_row_fail(struct model_row *row, enum weir_err why)
{
    if (row->status == WEIR_OK) {
        row->status = why;
    }
}

double model_slot_compute(struct model_row *row, uint32_t slot);

/* Value of a slot; derived slots are computed when they are first read in a row. */
static inline double model_slot_value(struct model_row *row, uint32_t slot)
{
    if (row->computed[slot] == row->epoch) {
        return row->values[slot];
    }
    return model_slot_compute(row, slot);
}

#endif
