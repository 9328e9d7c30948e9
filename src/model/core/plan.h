/*
 * model/core/plan.h - plans: fast ways to score whole columns of rows.
 *
 * What:    a plan is compiled beside the elements when the model has a form that a batch kernel
 *          knows (an ensemble of numeric binary trees, a linear sum, a dense network). It reads the
 *          inputs as columns of doubles and writes numbers or class indices. It knows nothing of
 *          missing values: a row with a NaN among its inputs is scored again by the general path.
 *          Everything else goes through the general path, one row at a time.
 * Life:    made with the model by model_plan_new or by a reader, immutable.
 * Threads: shared; scratch is the caller's.
 * Memory:  the model's arena. Kernels allocate nothing.
 * Results: a plan's dispatched kernels give the bits of its portable ones, for they do the same
 *          IEEE operations in the same order (no FMA), exp included. That exp is within 2 ulp
 *          (dense_kernel.h), where the general path uses the C library's.
 */
#ifndef WEIR_MODEL_CORE_PLAN_H
#define WEIR_MODEL_CORE_PLAN_H

#include "model/core/form.h"

/* Instruction sets that kernels are compiled for. */
enum model_isa { MODEL_ISA_PORTABLE, MODEL_ISA_AVX2, MODEL_ISA_AVX512, MODEL_ISA_COUNT };

/* The best that this CPU offers. */
enum model_isa model_isa_detect(void);

enum { MODEL_TILE = 256 }; /* most rows of one call to a plan; a multiple of 64 */

struct model_run {
    const double *const *columns; /* [input_count] cells of each input; readable up to the next
                                     multiple of 64 rows */
    const double *row;            /* [input_count] the cells side by side; read instead of the
                                     columns when rows == 1 */
    uint32_t rows;                /* 1 .. MODEL_TILE */
    double *numbers;              /* [MODEL_TILE] regression */
    uint32_t *classes;            /* [MODEL_TILE] classification; UINT32_MAX = none wins */
    double *const *probabilities; /* [class_count] columns of MODEL_TILE, or NULL: not wanted */
    void *scratch;                /* plan->scratch_bytes, aligned to 64 */
};

struct model_plan {
    /* By instruction set; rows == 1 is worth a path of its own in each. */
    void (*run[MODEL_ISA_COUNT])(const struct model_plan *plan, const struct model_run *run);
    size_t scratch_bytes;
    bool nan_spreads; /* a NaN among the inputs always shows as a NaN in numbers[] (a linear sum):
                         the scorer looks there instead of at every input */
};

/*
 * Finds NaNs: bit r of nan_rows[] (rows / 64 words, rounded up) is set if a column has one in
 * row r.
 * Gives a value other than 0 if there is any.
 */
typedef uint64_t model_scan(const double *const *columns, uint32_t column_count, uint32_t rows,
                            uint64_t *nan_rows);
model_scan *model_scan_for(enum model_isa isa);

/*
 * Looks at a finished model and sets model->plan if one of the kernels fits it; else leaves NULL.
 * Errors: NOMEM.
 */
WEIR_MUST_USE enum weir_err model_plan_choose(struct weir_model *model);

#endif
