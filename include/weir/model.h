/*
 * weir/model.h - load machine-learning models and score blocks of records with them.
 *
 * What:    a reader (PMML, TensorFlow graph) turns bytes into one compiled model: input fields with
 *          their treatment, transformations, kernels, outputs. A scorer binds the model to the
 *          columns of a schema and scores blocks.
 *
 *              struct weir_model *model;
 *              struct weir_scorer *scorer;
 *              weir_model_load(bytes, NULL, &model, &error);
 *              weir_scorer_new(model, weir_decoder_schema(decoder), &scorer, &error);
 *              weir_scorer_score(scorer, block, NULL, 0); -> weir_scorer_output(scorer)
 *              weir_scorer_free(scorer);
 *              weir_model_unref(model);
 *
 * Life:    a model is immutable from load to its last unref. A scorer keeps a reference.
 * Threads: a model may be shared by any number of threads. A scorer is used by one thread at a
 *          time: a loader thread may make and warm it, hand it over, and free it later.
 *          The last unref and scorer_free may happen on any thread.
 * Memory:  everything is allocated by load and by scorer_new; weir_scorer_score allocates nothing
 *          but room for strings it has not seen.
 * Errors:  load refuses with PARSE, UNSUPPORTED, INVALID or LIMIT, naming element and line. A row
 *          that can't be scored gets a status in the output block; the others are scored.
 */
#ifndef WEIR_MODEL_H
#define WEIR_MODEL_H

#include <weir/base.h>
#include <weir/record.h>

#ifdef __cplusplus
extern "C" {
#endif

struct weir_model;
struct weir_scorer;

/* ---- loading --------------------------------------------------------------------------------- */

enum weir_model_format { WEIR_FORMAT_AUTO, WEIR_FORMAT_PMML, WEIR_FORMAT_TENSORFLOW };

/* All 0 = the defaults in brackets. */
struct weir_model_options {
    enum weir_model_format format; /* [AUTO: '<' after white space or a byte-order mark is PMML] */
    size_t bytes_max;              /* size of the document [256 MiB] */
    uint32_t depth_max;            /* nesting of elements [256] */
    uint32_t nodes_max;            /* elements, or graph nodes [10,000,000] */
    bool unverified;               /* the rows of a ModelVerification are not scored [false] */
};

/*
 * Parses, checks and compiles a model; bytes are borrowed for the call. May take long: call it off
 * the scoring path. options may be NULL. Gives one reference.
 * Errors: PARSE (malformed; position = line of the PMML, or byte of the graph), UNSUPPORTED (names
 * the element or graph operation and its line), INVALID (contradicts itself, for instance a
 * MiningField without a DataField, an Output field named like the target; scores a row of its own
 * ModelVerification otherwise than that says), LIMIT, NOMEM.
 */
WEIR_MUST_USE enum weir_err weir_model_load(struct weir_slice bytes,
                                            const struct weir_model_options *options,
                                            struct weir_model **model_out,
                                            struct weir_error *error);
struct weir_model *weir_model_ref(struct weir_model *model);
void weir_model_unref(struct weir_model *model); /* NULL is allowed */

/* ---- what a model wants and gives ------------------------------------------------------------ */

/* PMML's names: MiningFunction, OpType. */
enum weir_model_function {
    WEIR_FUNCTION_REGRESSION,
    WEIR_FUNCTION_CLASSIFICATION,
    WEIR_FUNCTION_CLUSTERING,  /* the classes are the clusters' ids */
    WEIR_FUNCTION_ASSOCIATION, /* the result is the id of the best rule */
};

struct weir_model_input {
    const char *name;
    enum weir_type type; /* the type the kernels read; other columns are converted */
    bool categorical;
    bool required; /* a missing value leaves the row without result, whatever the model's form */
};

struct weir_model_info {
    enum weir_model_format format;
    enum weir_model_function function;
    const char *algorithm; /* "TreeModel", "MiningModel", "NeuralNetwork", "GraphDef" ... */
    const char *target;    /* name of the target field, "result" for a graph; "" if there is none */
    uint32_t input_count, output_count, class_count;
    const struct weir_model_input *inputs; /* [input_count], in document order */
    const struct weir_field *outputs;      /* [output_count]: target first, then each Output
                                                   field; without any, probability(<value>) of each
                                                   class; graph: result, p0, p1 ... */
    const struct weir_slice *classes;      /* [class_count], in the target's Value order; clusters
                                              in document order */
    size_t bytes;                          /* memory the compiled model holds */
};

/* Borrowed for the model's life. */
const struct weir_model_info *weir_model_info(const struct weir_model *model);

/* ---- scoring --------------------------------------------------------------------------------- */

enum weir_scorer_flags {
    WEIR_SCORER_VALUE = 0,    /* the target only: what a stream of scores needs */
    WEIR_SCORER_OUTPUTS = 1,  /* also the Output fields */
    WEIR_SCORER_DETAILS = 2,  /* also what weir_scorer_details tells */
    WEIR_SCORER_PORTABLE = 4, /* the portable kernels, not those chosen by CPU: for tests, bench */
};

/*
 * Binds the model's inputs to columns of the schema by name (weir_schema_find). A graph has no
 * field names: it takes as many fields as it wants, the numeric ones in field-number order, or,
 * where no field has a number (CSV), all in header order, as doubles. A double, float or int64
 * column feeds a numeric input directly; a string column is parsed by the field's data type (once a
 * distinct string; a cell that is no number is INVALID_INPUT). An input that the schema lacks is
 * missing in every row.
 * rows_max: largest block that will be scored. schema and model are shared.
 * Errors: INVALID (no input of the model is found in the schema: says which it wants), NOMEM.
 */
WEIR_MUST_USE enum weir_err weir_scorer_new(struct weir_model *model, struct weir_schema *schema,
                                            uint32_t rows_max, unsigned flags,
                                            struct weir_scorer **scorer_out,
                                            struct weir_error *error);
void weir_scorer_free(struct weir_scorer *scorer); /* NULL is allowed */

/*
 * Scores rows[0 .. row_count) (ascending row numbers; NULL = all) of the block (same schema, at
 * most rows_max rows) whose status is OK; the others keep their status in the output. Row r of the
 * output belongs to row r of the block; rows not asked for are undefined there. Never allocates,
 * locks or parses, but for a string column whose dictionary has new strings and for expressions
 * that make or read strings; if there is no memory for one, its rows get status NOMEM.
 * Association rules with a group field gather a basket: rows with one value of it that follow each
 * other, in blocks too, are one basket, and each is scored with the items so far.
 */
void weir_scorer_score(struct weir_scorer *scorer, const struct weir_block *block,
                       const uint32_t *rows, uint32_t row_count);

/*
 * The results of the last weir_scorer_score, a block of as many rows: column 0 is the target
 * (a double for regression, a string for classification, clustering and association, the index as
 * int64 for a graph), then the other outputs of info->outputs if they were asked for. A row's
 * status says why it has no result: MISSING_INPUT, INVALID_INPUT, NO_RESULT, MODEL_FAILED, NOMEM.
 * Borrowed until the next call on this scorer.
 */
const struct weir_block *weir_scorer_output(const struct weir_scorer *scorer);

/* Says in words why a row of the last scored block has no result: which field, which value. Slow;
 * allocates nothing. Gives the row's code. */
enum weir_err weir_scorer_explain(const struct weir_scorer *scorer, const struct weir_block *block,
                                  uint32_t row, struct weir_error *error);

/* A value of any type. */
struct weir_cell {
    bool valid;
    enum weir_type type;
    union {
        double f64;
        int64_t i64;
        struct weir_slice string;
    };
};

/* More about one row of the last block; needs WEIR_SCORER_DETAILS. Borrowed until the next call. */
struct weir_score_details {
    struct weir_slice entity_id; /* winning tree node, cluster ...; null if none */
    uint32_t class_count;        /* 0 for regression */
    const double *probabilities; /* [class_count] in info->classes order; NaN = none; NULL */
    const double *confidences;   /* likewise, or NULL */
    const double *affinities;    /* likewise: distance or similarity of each cluster; or NULL */
    uint32_t derived_count;      /* derived fields and their values */
    const struct weir_field *derived;
    const struct weir_cell *derived_values; /* [derived_count] */
};
void weir_scorer_details(const struct weir_scorer *scorer, uint32_t row,
                         struct weir_score_details *out);

#ifdef __cplusplus
}
#endif
#endif
