/*
 * serving/model_record.h - what a model has done in a task: a value of the store "ModelStore".
 *
 * What:    for each data type the model that scored last, by its digest, and its statistics in this
 *          task. Never the model itself: that is on the models topic. The bytes are those of the
 *          store's changelog: docs/formats/model-store.md.
 * Life:    plain values.
 * Threads: any.
 * Memory:  none.
 * Errors:  CORRUPT, OTHER_VERSION: not, or no longer, such a value.
 */
#ifndef SERVING_MODEL_RECORD_H
#define SERVING_MODEL_RECORD_H

#include <weir/base.h>

#include "serving/models.h"

extern const char model_store_name[]; /* "ModelStore" */

struct model_record {
    char name[MODELS_NAME_BYTES_MAX + 1]; /* of the model */
    uint8_t digest[32];
    int64_t since_ms; /* timestamp of its record on the models topic */
    struct statistics_copy statistics;
};

enum { MODEL_RECORD_BYTES_MAX = 1 + 4 + 32 + 6 * 8 + 1 + MODELS_NAME_BYTES_MAX };

/* Returns how many of the bytes are used. */
size_t model_record_encode(const struct model_record *record, uint8_t out[MODEL_RECORD_BYTES_MAX]);
enum weir_err model_record_decode(struct weir_slice bytes, struct model_record *out,
                                  struct weir_error *error);
/* Adds what a model did: another one than before begins at nothing. */
void model_record_add(struct model_record *record, const struct model_record *more);

#endif
