/*
 * model/core/scorer.h - inside of a scorer: binding of inputs to columns, scratch, output block.
 *
 *      block ----> binding (columns, string caches) ----+--> plan over tiles of columns
 *                                                       +--> general path, one row at a time
 *                                                                   |
 *      output block <------------------- rows' results, statuses ---+
 *
 * Life, threads, memory: as weir_scorer in weir/model.h.
 */
#ifndef WEIR_MODEL_CORE_SCORER_H
#define WEIR_MODEL_CORE_SCORER_H

#include "model/core/elements.h"
#include "model/core/plan.h"

/* What a string of a column is worth to the input that it feeds. */
struct model_string_value {
    double raw;     /* of the field's type, missing included */
    uint8_t status; /* enum weir_err: OK; INVALID_INPUT: not of the type; NOMEM */
};

/* Where an input comes from. */
struct model_binding {
    int32_t column; /* -1: the schema lacks it */
    enum weir_type type;
    /* WEIR_STRING: values of the dictionary's strings, filled as new ones are seen. */
    struct model_string_value *strings;
    uint32_t string_count, string_capacity;
    uint64_t generation;
};

/* The general path's results for one row, kept when details were asked for. */
struct model_detail_store {
    struct weir_slice *entity_ids; /* [rows_max] */
    double *probabilities;         /* [rows_max][class_count], NULL for regression */
    double *confidences;           /* likewise */
    double *affinities;            /* likewise */
    uint8_t *has; /* [rows_max] bit 0: probabilities, bit 1: confidences, bit 2: affinities */
    uint32_t derived_count;
    uint32_t *derived_slots; /* [derived_count] */
    struct weir_field *derived;
    struct weir_cell *cells; /* [rows_max][derived_count] */
};

struct weir_scorer {
    struct weir_model *model;
    struct weir_schema *schema, *output_schema;
    struct weir_block *output;
    uint32_t rows_max;
    unsigned flags;
    struct model_binding *bindings; /* [input_count] */
    struct model_symbols strings;   /* that the model does not know, numbered behind its own */
    uint32_t strings_bound;         /* the first of them came from columns, the rest from rows */
    struct model_row row;
    struct model_detail_store details;

    /* The plan, NULL if there is none or if more was asked for than it gives. */
    const struct model_plan *plan;
    void (*run)(const struct model_plan *plan, const struct model_run *run);
    model_scan *scan;
    bool direct;              /* every input is a plain double column: no copies */
    bool one;                 /* a block of one row may take the short way */
    uint32_t *direct_columns; /* [input_count] columns that feed the inputs, if direct */
    const double **columns;   /* [input_count] */
    double *cells;            /* [input_count] of a call with one row */
    double *tiles;            /* [input_count][MODEL_TILE] unless direct */
    double *numbers;          /* [MODEL_TILE] */
    uint32_t *classes;        /* [MODEL_TILE] */
    double **probabilities;   /* [class_count] columns of MODEL_TILE, or NULL: not wanted */
    double *probability_cells;
    void *scratch;
};

/* Binding (bind.c). */
WEIR_MUST_USE enum weir_err model_bind(struct weir_scorer *scorer, struct weir_error *error);
void model_unbind(struct weir_scorer *scorer);
/* Values of the strings that dictionaries have got since the last block. */
void model_bind_block(struct weir_scorer *scorer, const struct weir_block *block);
/* Value of an input in a row before its treatment. OK, INVALID_INPUT (not of the field's type) or
 * NOMEM. */
enum weir_err model_bind_raw(const struct weir_scorer *scorer, const struct weir_block *block,
                             uint32_t input, uint32_t row, double *raw_out);
/* The same, treated. */
enum weir_err model_bind_value(const struct weir_scorer *scorer, const struct weir_block *block,
                               uint32_t input, uint32_t row, double *value_out);

#endif
