/*
 * Forests, scans and linear sums for one instruction set. Included by kernels_<isa>.c, which says
 * what TARGET, NAME and VECTOR_BYTES are.
 */
typedef double vdouble __attribute__((vector_size(VECTOR_BYTES)));
typedef int64_t vint64 __attribute__((vector_size(VECTOR_BYTES)));
typedef int8_t vint8 __attribute__((vector_size(VECTOR_BYTES)));

enum {
    LANES = VECTOR_BYTES / 8,
    GROUP_VECTORS = 64 / LANES,      /* vectors of doubles in 64 rows */
    BYTE_VECTORS = 64 / VECTOR_BYTES /* vectors of bytes in 64 rows */
};

TARGET static inline vdouble load(const double *from)
{
    vdouble v;
    memcpy(&v, from, sizeof v);
    return v;
}

TARGET static inline void store(double *to, vdouble v)
{
    memcpy(to, &v, sizeof v);
}

TARGET static inline vdouble splat(double value)
{
    return value - (vdouble){0};
}

/* ---- NaNs ------------------------------------------------------------------------------------ */

/* True if 64 rows of a column may hold a NaN. */
TARGET static bool group_has_nan(const double *const *columns, uint32_t count, uint32_t first)
{
    vint64 seen = {0};
    for (uint32_t i = 0; i < count; i++) {
        const double *from = columns[i] + first;
        for (uint32_t v = 0; v < GROUP_VECTORS; v++) {
            vdouble x = load(from + (size_t)v * LANES);
            seen |= x != x; /* NOLINT(misc-redundant-expression): NaN, lane by lane */
        }
    }
    int64_t any = 0;
    for (uint32_t l = 0; l < LANES; l++) {
        any |= seen[l];
    }
    return any != 0;
}

TARGET uint64_t NAME(scan)(const double *const *columns, uint32_t column_count, uint32_t rows,
                           uint64_t *nan_rows)
{
    uint64_t all = 0;
    for (uint32_t first = 0; first < rows; first += 64) {
        uint32_t count = rows - first < 64 ? rows - first : 64;
        uint64_t bits = 0;
        if (count == 1 || group_has_nan(columns, column_count, first)) {
            for (uint32_t i = 0; i < column_count; i++) {
                for (uint32_t k = 0; k < count; k++) {
                    double x = columns[i][first + k];
                    bits |= (uint64_t)(x != x) << k;
                }
            }
        }
        nan_rows[first / 64] = bits;
        all |= bits;
    }
    return all;
}

/* ---- linear sums ----------------------------------------------------------------------------- */

TARGET static void linear_group(const struct linear_plan *p, const double *const *columns,
                                uint32_t first, double *numbers)
{
    enum { BLOCK = 4 };
    for (uint32_t v = 0; v < GROUP_VECTORS; v += BLOCK) {
        vdouble sums[BLOCK];
        for (uint32_t b = 0; b < BLOCK; b++) {
            sums[b] = splat(p->start);
        }
        for (uint32_t t = 0; t < p->term_count; t++) {
            const double *from = columns[p->inputs[t]] + first + (size_t)v * LANES;
            vdouble coefficient = splat(p->coefficients[t]);
            for (uint32_t b = 0; b < BLOCK; b++) {
                sums[b] += coefficient * load(from + (size_t)b * LANES);
            }
        }
        for (uint32_t b = 0; b < BLOCK; b++) {
            store(numbers + first + (size_t)(v + b) * LANES, sums[b]);
        }
    }
}

TARGET void NAME(linear_run)(const struct model_plan *plan, const struct model_run *run)
{
    const struct linear_plan *p = (const struct linear_plan *)plan;
    if (run->rows == 1) {
        double sum = p->start;
        for (uint32_t t = 0; t < p->term_count; t++) {
            sum += p->coefficients[t] * run->row[p->inputs[t]];
        }
        run->numbers[0] = sum;
    } else {
        for (uint32_t first = 0; first < run->rows; first += 64) {
            linear_group(p, run->columns, first, run->numbers);
        }
    }
    for (uint32_t r = 0; p->link != MODEL_NORMALIZATION_NONE && r < run->rows; r++) {
        run->numbers[r] = model_link_inverse(p->link, run->numbers[r]);
    }
}

/* ---- forests --------------------------------------------------------------------------------- */

/* The leaves of up to 64 rows: leaves[tree * 64 + row], numbered within the tree. */

/* x > threshold for each threshold, counted: 64 ranks of one input as bytes. */
TARGET static void rank_column(const struct forest_input *in, const double *from, int8_t *ranks)
{
    enum { BLOCK = 4 };
    int64_t counts[64];
    for (uint32_t v = 0; v < GROUP_VECTORS; v += BLOCK) {
        vdouble x[BLOCK];
        vint64 n[BLOCK];
        for (uint32_t b = 0; b < BLOCK; b++) {
            x[b] = load(from + (size_t)(v + b) * LANES);
            n[b] = (vint64){0};
        }
        for (uint32_t t = 0; t < in->threshold_count; t++) {
            vdouble threshold = splat(in->thresholds[t]);
            for (uint32_t b = 0; b < BLOCK; b++) {
                n[b] -= x[b] > threshold;
            }
        }
        memcpy(counts + (size_t)v * LANES, n, sizeof n);
    }
    for (uint32_t k = 0; k < 64; k++) {
        ranks[k] = (int8_t)counts[k];
    }
}

TARGET static void descend_masks(const struct forest_tree *tree, const int8_t *ranks,
                                 vint8 (*reach)[BYTE_VECTORS], uint8_t *leaves)
{
    for (uint32_t v = 0; v < BYTE_VECTORS; v++) {
        reach[0][v] = ~(vint8){0};
    }
    for (uint32_t i = 0; i < tree->split_count; i++) {
        const struct forest_split *split = &tree->splits[i];
        const int8_t *rank = ranks + (size_t)split->rank_row * 64;
        vint8 limit = split->rank - (vint8){0};
        for (uint32_t v = 0; v < BYTE_VECTORS; v++) {
            vint8 x;
            memcpy(&x, rank + (size_t)v * VECTOR_BYTES, sizeof x);
            vint8 right = x > limit;
            vint8 here = reach[split->reach][v];
            reach[2 * i + 1][v] = here & ~right;
            reach[2 * i + 2][v] = here & right;
        }
    }
    for (uint32_t v = 0; v < BYTE_VECTORS; v++) {
        vint8 index = {0};
        for (uint32_t l = 1; l < tree->leaf_count; l++) {
            vint8 number = (int8_t)l - (vint8){0};
            index |= reach[tree->leaves[l].reach][v] & number;
        }
        memcpy(leaves + (size_t)v * VECTOR_BYTES, &index, sizeof index);
    }
}

/* The ranks of 64 rows, then each tree. leaves: [tree][64] bytes. */
TARGET static void find_leaves_by_rank(const struct forest_plan *p, const double *const *columns,
                                       uint32_t first, char *scratch, uint8_t *leaves)
{
    vint8(*reach)[BYTE_VECTORS] = (void *)scratch;
    int8_t *ranks = (int8_t *)scratch + (size_t)(2 * FOREST_SPLITS_MAX + 2) * 64;
    for (uint32_t i = 0; i < p->ranked_count; i++) {
        rank_column(&p->ranked[i], columns[p->ranked[i].input] + first, ranks + (size_t)i * 64);
    }
    for (uint32_t t = 0; t < p->tree_count; t++) {
        descend_masks(&p->trees[t], ranks, reach, leaves + (size_t)t * 64);
    }
}

/* Eight rows of one tree at a time, level by level: eight chains of loads run side by side. Rows
 * past the last one read the padding. */
TARGET static void descend_rows(const struct forest_tree *tree, const double *const *columns,
                                uint32_t first, uint32_t count, uint32_t *leaves)
{
    const struct forest_node *nodes = tree->nodes;
    for (uint32_t r = 0; r < count; r += 8) {
        uint32_t at[8] = {0};
        for (uint32_t level = 0; level < tree->depth; level++) {
            for (uint32_t k = 0; k < 8; k++) {
                const struct forest_node *node = &nodes[at[k]];
                at[k] = node->left + (columns[node->input][first + r + k] > node->threshold);
            }
        }
        for (uint32_t k = 0; k < 8; k++) {
            leaves[r + k] = tree->leaf_of[at[k]];
        }
    }
}

TARGET static inline uint32_t descend_tree(const struct forest_tree *tree, const double *x)
{
    const struct forest_node *nodes = tree->nodes;
    uint32_t at = 0;
    for (uint32_t level = 0; level < tree->depth; level++) {
        at = nodes[at].left + (x[nodes[at].input] > nodes[at].threshold);
    }
    return tree->leaf_of[at];
}

/* One row: four trees side by side. */
TARGET static void descend_trees(const struct forest_plan *p, const double *x, uint32_t *leaves)
{
    for (uint32_t t = 0; t < p->tree_count; t += 4) {
        const struct forest_node *nodes[4];
        uint32_t at[4] = {0};
        uint32_t depth = 0;
        for (uint32_t k = 0; k < 4; k++) {
            const struct forest_tree *tree = &p->trees[t + k < p->tree_count ? t + k : t];
            nodes[k] = tree->nodes;
            depth = tree->depth > depth ? tree->depth : depth;
        }
        for (uint32_t level = 0; level < depth; level++) {
            for (uint32_t k = 0; k < 4; k++) {
                const struct forest_node *node = &nodes[k][at[k]];
                at[k] = node->left + (x[node->input] > node->threshold);
            }
        }
        for (uint32_t k = 0; k < 4 && t + k < p->tree_count; k++) {
            leaves[t + k] = p->trees[t + k].leaf_of[at[k]] + p->trees[t + k].leaf_first;
        }
    }
}

/* Largest of count, the first of equals. */
TARGET static inline uint32_t largest(const double *values, uint32_t count)
{
    uint32_t best = 0;
    double most = values[0];
    for (uint32_t c = 1; c < count; c++) {
        bool more = values[c] > most;
        most = more ? values[c] : most;
        best = more ? c : best;
    }
    return best;
}

/*
 * The class of undivided sums. Dividing by a positive number keeps their order, but two that are
 * close may become equal, and then the first of them wins: only then they are divided.
 */
TARGET static inline uint32_t largest_of_sums(double *sums, uint32_t count, double divisor)
{
    uint32_t best = 0;
    double most = sums[0];
    double before = -INFINITY; /* the largest in front of the best */
    for (uint32_t c = 1; c < count; c++) {
        bool more = sums[c] > most;
        before = more ? most : before;
        most = more ? sums[c] : most;
        best = more ? c : best;
    }
    if (divisor > 0 && before < most - fabs(most) * 0x1p-50) {
        return best;
    }
    for (uint32_t c = 0; c < count; c++) {
        sums[c] /= divisor;
    }
    return largest(sums, count);
}

/* Sum of leaf vectors, in the order of the trees, divided; then the class. leaves: one a tree, each
 * `step` apart. */
TARGET static inline void vote(const struct forest_plan *p, const uint32_t *leaves, uint32_t step,
                               uint32_t row, const struct model_run *run)
{
    double sums[MODEL_CLASSES_MAX < 64 ? MODEL_CLASSES_MAX : 64]
        __attribute__((aligned(VECTOR_BYTES)));
    vdouble divisor = splat(p->divisor);
    for (uint32_t c = 0; c < p->class_count; c += LANES) {
        vdouble sum = {0};
        for (uint32_t t = 0; t < p->tree_count; t++) {
            sum += load(p->vectors + (size_t)leaves[(size_t)t * step] * p->width + c);
        }
        store(sums + c, run->probabilities != NULL ? sum / divisor : sum);
    }
    if (run->probabilities == NULL) {
        run->classes[row] = largest_of_sums(sums, p->class_count, p->divisor);
        return;
    }
    run->classes[row] = largest(sums, p->class_count);
    for (uint32_t c = 0; c < p->class_count; c++) {
        run->probabilities[c][row] = sums[c];
    }
}

TARGET static inline void take_leaf(const struct forest_plan *p, uint32_t leaf, uint32_t row,
                                    const struct model_run *run)
{
    run->classes[row] = p->classes[leaf];
    for (uint32_t c = 0; run->probabilities != NULL && c < p->class_count; c++) {
        run->probabilities[c][row] = p->vectors[(size_t)leaf * p->width + c];
    }
}

TARGET static inline void add_numbers(const struct forest_plan *p, const uint32_t *leaves,
                                      uint32_t step, uint32_t row, const struct model_run *run)
{
    double sum = p->numbers[leaves[0]];
    for (uint32_t t = 1; t < p->tree_count; t++) {
        sum += p->numbers[leaves[(size_t)t * step]];
    }
    run->numbers[row] = p->divisor == 1 ? sum : sum / p->divisor;
}

TARGET static inline void finish_row(const struct forest_plan *p, const uint32_t *leaves,
                                     uint32_t step, uint32_t row, const struct model_run *run)
{
    if (p->sums_vectors) {
        vote(p, leaves, step, row, run);
    } else if (p->classes != NULL) {
        take_leaf(p, leaves[0], row, run);
    } else {
        add_numbers(p, leaves, step, row, run);
    }
}

/* From leaf bytes of 64 rows. Up to eight classes, four rows go side by side. */
TARGET static void vote_bytes(const struct forest_plan *p, const uint8_t *leaves, uint32_t first,
                              uint32_t count, const struct model_run *run)
{
    enum { SIDE = 4 };
    vdouble divisor = splat(p->divisor);
    double sums[SIDE][64] __attribute__((aligned(VECTOR_BYTES)));
    size_t width = p->width;
    for (uint32_t r = 0; r < count; r += SIDE) {
        for (uint32_t c = 0; c < p->class_count; c += LANES) {
            vdouble sum[SIDE] = {{0}};
            for (uint32_t t = 0; t < p->tree_count; t++) {
                const double *of_tree = p->trees[t].vectors + c;
                const uint8_t *at = leaves + (size_t)t * 64 + r;
                for (uint32_t k = 0; k < SIDE; k++) {
                    sum[k] += load(of_tree + at[k] * width);
                }
            }
            for (uint32_t k = 0; k < SIDE; k++) {
                store(sums[k] + c, run->probabilities != NULL ? sum[k] / divisor : sum[k]);
            }
        }
        for (uint32_t k = 0; k < SIDE && r + k < count; k++) {
            if (run->probabilities == NULL) {
                run->classes[first + r + k] = largest_of_sums(sums[k], p->class_count, p->divisor);
                continue;
            }
            run->classes[first + r + k] = largest(sums[k], p->class_count);
            for (uint32_t c = 0; c < p->class_count; c++) {
                run->probabilities[c][first + r + k] = sums[k][c];
            }
        }
    }
}

TARGET static void finish_bytes(const struct forest_plan *p, const uint8_t *leaves, uint32_t first,
                                uint32_t count, const struct model_run *run)
{
    if (p->sums_vectors) {
        vote_bytes(p, leaves, first, count, run);
        return;
    }
    if (p->tree_count == 1 && p->numbers != NULL && p->divisor == 1) {
        for (uint32_t r = 0; r < count; r++) {
            run->numbers[first + r] = p->numbers[leaves[r]];
        }
        return;
    }
    if (p->tree_count == 1 && p->classes != NULL && run->probabilities == NULL) {
        for (uint32_t r = 0; r < count; r++) {
            run->classes[first + r] = p->classes[leaves[r]];
        }
        return;
    }
    for (uint32_t r = 0; r < count; r++) {
        if (p->classes != NULL) {
            take_leaf(p, leaves[r], first + r, run);
            continue;
        }
        double sum = p->numbers[leaves[r]];
        for (uint32_t t = 1; t < p->tree_count; t++) {
            sum += p->numbers[p->trees[t].leaf_first + leaves[(size_t)t * 64 + r]];
        }
        run->numbers[first + r] = p->divisor == 1 ? sum : sum / p->divisor;
    }
}

TARGET static void forest_group(const struct forest_plan *p, const struct model_run *run,
                                uint32_t first, uint32_t count)
{
    char *scratch = run->scratch;
    if (p->has_ranks && count >= 16) {
        uint8_t *bytes = (uint8_t *)scratch + forest_scratch_leaves(p);
        find_leaves_by_rank(p, run->columns, first, scratch, bytes);
        finish_bytes(p, bytes, first, count, run);
        return;
    }
    uint32_t *leaves = (uint32_t *)(void *)scratch;
    for (uint32_t t = 0; t < p->tree_count; t++) {
        uint32_t *of_tree = leaves + (size_t)t * 64;
        descend_rows(&p->trees[t], run->columns, first, count, of_tree);
        for (uint32_t r = 0; r < count; r++) {
            of_tree[r] += p->trees[t].leaf_first;
        }
    }
    for (uint32_t r = 0; r < count; r++) {
        finish_row(p, leaves + r, 64, first + r, run);
    }
}

TARGET void NAME(forest_run)(const struct model_plan *plan, const struct model_run *run)
{
    const struct forest_plan *p = (const struct forest_plan *)plan;
    if (run->rows > 1) {
        for (uint32_t first = 0; first < run->rows; first += 64) {
            uint32_t left = run->rows - first;
            forest_group(p, run, first, left < 64 ? left : 64);
        }
        return;
    }
    if (VECTOR_BYTES == 64) {
        forest_run_portable(plan, run); /* measured: one row gains nothing from wide vectors */
        return;
    }
    uint32_t *leaves = run->scratch;
    if (p->tree_count == 1) {
        leaves[0] = descend_tree(&p->trees[0], run->row);
    } else {
        descend_trees(p, run->row, leaves);
    }
    finish_row(p, leaves, 1, 0, run);
}
