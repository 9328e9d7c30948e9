/*
 * model/core/kernels.h - what the batch kernels run on, and the tables of their versions.
 *
 * What:    compiled forms that are denser than the elements they come from: a forest as arrays of
 *          nodes, a linear sum as a list, a network as matrices. plan_*.c makes them, *_kernel.h
 *          runs them and is compiled once for each instruction set.
 * Life, memory: the model's arena.
 * Threads: immutable.
 */
#ifndef WEIR_MODEL_CORE_KERNELS_H
#define WEIR_MODEL_CORE_KERNELS_H

#include "model/core/elements.h"
#include "model/core/plan.h"

/* ---- forest ---------------------------------------------------------------------------------- */

/*
 * A binary tree as an array: the children of a node stand side by side, so a step is
 *     node = left + (x[input] > threshold)
 * without a branch. A leaf is its own left child and has threshold +inf: going on is staying.
 */
struct forest_node {
    double threshold;
    uint32_t input;
    uint32_t left;
};

/*
 * The same tree for 64 rows at once: numbers become ranks among the input's thresholds (bytes), a
 * node turns the byte mask of rows that reach it into those of its children.
 *
 *      reach[0] = all        child masks of the i-th inner node: reach[2i+1], reach[2i+2]
 *      goes right: rank[input] > rank
 */
struct forest_split {
    uint16_t reach;    /* where this node's own mask stands */
    uint16_t rank_row; /* of the input, in the table of ranks */
    int8_t rank;
};

struct forest_leaf {
    uint16_t reach;
};

struct forest_tree {
    const struct forest_node *nodes;
    uint32_t depth;
    const uint32_t *leaf_of;           /* [nodes] leaf number of a node */
    const struct forest_split *splits; /* breadth first */
    const struct forest_leaf *leaves;
    uint32_t split_count, leaf_count;
    uint32_t leaf_first;   /* of its leaves among all leaves of the forest */
    const double *vectors; /* those of its first leaf, where vectors are summed */
};

enum {
    FOREST_SPLITS_MAX = 127, /* of one tree, for the 64-row form: beyond it descending is faster */
    FOREST_RANKS_MAX = 127,  /* thresholds of one input: ranks are signed bytes */
    FOREST_LEAF_WIDTH = 8,   /* leaf vectors are padded to this many doubles */
};

struct forest_input {
    uint32_t input;
    uint32_t threshold_count;
    const double *thresholds; /* ascending */
};

struct forest_plan {
    struct model_plan plan;
    uint32_t tree_count, leaf_count, input_max; /* input_max: largest input index + 1 */
    const struct forest_tree *trees;
    bool has_ranks; /* the 64-row form is there */
    uint32_t ranked_count;
    const struct forest_input *ranked; /* [ranked_count] rows of the table of ranks */

    /* What a leaf is worth. One of three:
     * a tree's number or the sum of numbers;
     * a tree's class, with its probabilities;
     * a vector over the classes, summed and divided. */
    bool sums_vectors;
    const double *numbers;       /* [leaf_count] regression */
    const uint32_t *classes;     /* [leaf_count] one tree's classes */
    const double *vectors;       /* [leaf_count][width] summed, or one tree's probabilities */
    uint32_t class_count, width; /* width: class_count rounded up to FOREST_LEAF_WIDTH */
    double divisor;              /* of sums; 1 = none */
};

/* Bytes of scratch before the leaf bytes of the 64-row form: reach masks, then ranks. */
static inline size_t forest_scratch_leaves(const struct forest_plan *p)
{
    return ((size_t)(2 * FOREST_SPLITS_MAX + 2) + p->ranked_count) * 64;
}

/* ---- linear sum ------------------------------------------------------------------------------ */

struct linear_plan {
    struct model_plan plan;
    double start;
    uint32_t term_count;
    const uint32_t *inputs;        /* [term_count] */
    const double *coefficients;    /* [term_count] */
    enum model_normalization link; /* undone on each sum; NONE */
};

/* ---- dense network --------------------------------------------------------------------------- */

struct dense_layer {
    uint32_t inputs, outputs, stride; /* stride: outputs rounded up to 16 */
    enum model_activation activation;
    double threshold;
    bool softmax;
    bool bias_last;                   /* added behind the sum, as graphs do */
    const double *weights64, *bias64; /* [inputs][stride], [stride]; one of the two kinds */
    const float *weights32, *bias32;
};

struct dense_plan {
    struct model_plan plan;
    bool is_float;
    uint32_t input_count, layer_count, width_max;
    const uint32_t *inputs;         /* [input_count] */
    const struct model_expr *norms; /* [input_count] kind NORM_CONTINUOUS: applied first; or NULL */
    const struct dense_layer *layers;
    const uint32_t *class_of;         /* [outputs of the last layer], classification */
    const struct model_expr *inverse; /* regression: norm to undo, or NULL */
};

/* ---- versions -------------------------------------------------------------------------------- */

#define KERNEL_NAMES(isa)                                                                          \
    void forest_run_##isa(const struct model_plan *plan, const struct model_run *run);             \
    void linear_run_##isa(const struct model_plan *plan, const struct model_run *run);             \
    void dense_run64_##isa(const struct model_plan *plan, const struct model_run *run);            \
    void dense_run32_##isa(const struct model_plan *plan, const struct model_run *run);            \
    model_scan scan_##isa;

KERNEL_NAMES(portable)
#if defined(__x86_64__)
KERNEL_NAMES(avx2)
KERNEL_NAMES(avx512)
#else
#define forest_run_avx2 forest_run_portable
#define forest_run_avx512 forest_run_portable
#define linear_run_avx2 linear_run_portable
#define linear_run_avx512 linear_run_portable
#define dense_run64_avx2 dense_run64_portable
#define dense_run64_avx512 dense_run64_portable
#define dense_run32_avx2 dense_run32_portable
#define dense_run32_avx512 dense_run32_portable
#define scan_avx2 scan_portable
#define scan_avx512 scan_portable
#endif

#define KERNEL_VERSIONS(kernel)                                                                    \
    {                                                                                              \
        [MODEL_ISA_PORTABLE] = kernel##_portable, [MODEL_ISA_AVX2] = kernel##_avx2,                \
        [MODEL_ISA_AVX512] = kernel##_avx512                                                       \
    }

/* Each sets *plan_out to a plan for the model, or NULL if it has another form. NOMEM. */
WEIR_MUST_USE enum weir_err forest_plan_new(struct weir_model *model,
                                            const struct model_plan **plan_out);
WEIR_MUST_USE enum weir_err linear_plan_new(struct weir_model *model,
                                            const struct model_plan **plan_out);
WEIR_MUST_USE enum weir_err dense_plan_new(struct weir_model *model,
                                           const struct model_plan **plan_out);

/* Index of the input that fills a slot, or UINT32_MAX. */
uint32_t model_input_of_slot(const struct weir_model *model, uint32_t slot);

#endif
