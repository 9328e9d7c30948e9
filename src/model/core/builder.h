/*
 * model/core/builder.h - how a reader builds a model.
 *
 *      struct model_builder b;
 *      model_builder_init(&b);                       -> b.model, b.model->arena
 *      slot = model_builder_slot(&b, ...), model_builder_input(&b, ...)
 *      classes, elements in the arena (elements.h), b.model->root = ...
 *      model_builder_finish(&b, &info, &model, error)   or   model_builder_release(&b)
 *
 * Life:    init -> finish or release (either ends it; release after a failed finish).
 * Threads: one.
 * Memory:  everything a reader hands to the core must lie in the arena (model_alloc, model_copy_*).
 * Errors:  sticky: the first failure is kept in b.err; functions that fail return 0 or NULL, so a
 *          reader may look at b.err once at the end of a step. Allocation failures are NOMEM.
 */
#ifndef WEIR_MODEL_CORE_BUILDER_H
#define WEIR_MODEL_CORE_BUILDER_H

#include "model/core/elements.h"

struct model_builder {
    struct weir_model *model;
    struct model_slot *slots;
    uint32_t slot_capacity;
    struct model_input *inputs;
    struct weir_model_input *input_infos;
    uint32_t input_capacity;
    enum weir_err err;
};

enum { MODEL_SLOTS_MAX = 1 << 20, MODEL_WORK_MAX = 1 << 24 };

#define MODEL_BYTES_MAX ((size_t)4 << 30) /* of a compiled model */

WEIR_MUST_USE enum weir_err model_builder_init(struct model_builder *b);
void model_builder_release(struct model_builder *b);

/* Zeroed memory of the arena for count objects; NULL and b->err on failure. count 0 is allowed. */
void *model_alloc(struct model_builder *b, size_t count, size_t bytes);
/* A copy with a NUL behind it. */
char *model_copy_text(struct model_builder *b, struct weir_slice text);

/* Number of a string as a value. */
double model_builder_symbol(struct model_builder *b, struct weir_slice text);
/* Text as a value of a type (strings: the symbol). False if it is no such value (b->err is not
 * touched by that). */
bool model_builder_value(struct model_builder *b, enum model_type type, struct weir_slice text,
                         double *value_out);

/* A new slot, *slot copied; its index. */
uint32_t model_builder_slot(struct model_builder *b, const struct model_slot *slot);
/* A new input: a slot and its treatment (copied; what it points to lies in the arena). The slot's
 * index. */
uint32_t model_builder_input(struct model_builder *b, const struct model_slot *slot,
                             const struct model_treatment *treatment);
/* First of count doubles in row->work. */
uint32_t model_builder_work(struct model_builder *b, size_t count);
/* Classes from labels (copied), typed. */
const struct model_classes *model_builder_classes(struct model_builder *b, enum model_type type,
                                                  const struct weir_slice *labels, uint32_t count);
/* Index of the class with this label, or UINT32_MAX. Numbers compare as numbers. */
uint32_t model_classes_find(const struct model_builder *b, const struct model_classes *classes,
                            enum model_type type, struct weir_slice label);

/* A row over the slots made so far, for a reader that computes at load what would be the same in
 * every row; its caller counts epoch up from 0 and sets the inputs. False: NOMEM. */
bool model_builder_row(struct model_builder *b, struct model_row *row);
void model_builder_row_free(struct model_row *row);

/* What finish can't know by itself. Strings are copied. */
struct model_builder_info {
    enum weir_model_format format;
    const char *algorithm, *target;
    const struct weir_field *outputs; /* target first; see weir_model_info */
    uint32_t output_count;
};

/*
 * Completes weir_model_info from b.model->root and inputs, chooses a plan and gives the model with
 * one reference. Errors: b->err, NOMEM, LIMIT.
 */
WEIR_MUST_USE enum weir_err model_builder_finish(struct model_builder *b,
                                                 const struct model_builder_info *info,
                                                 struct weir_model **model_out,
                                                 struct weir_error *error);

#endif
