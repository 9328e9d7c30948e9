/*
 * Which models are an ensemble of binary trees over numbers, and their dense forms. The plan only
 * meets rows without missing values, so a tree's strategies for those don't matter here.
 */
#include <stdlib.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "model/core/kernels.h"

enum { NODES_MAX = 1 << 24, DEPTH_MAX = 4096, CLASSES_MAX = 64 };

/* A tree's nodes while it is flattened, in the order in which their places are given out. */
struct flat_node {
    struct forest_node node;
    const struct model_node *leaf; /* NULL: inner */
};

/* What is left to place: the children of `node` from the `child`-th on, at place `at`. */
struct pending {
    const struct model_node *node;
    uint32_t child, at, depth;
};

struct flattener {
    const struct weir_model *model;
    const struct model_tree *tree;
    struct flat_node *nodes;
    struct pending *queue;
    uint32_t count, capacity, depth;
    bool fits; /* false: the tree has another form */
    enum weir_err err;
};

/* A predicate as "goes right if value > threshold"; *left_if_true says which way it sends. */
static bool as_split(const struct weir_model *model, const struct model_predicate *p,
                     struct forest_node *node, bool *left_if_true)
{
    node->input = model_input_of_slot(model, p->slot);
    node->threshold = p->value;
    if (node->input == UINT32_MAX || !isfinite(p->value) ||
        model->slots[p->slot].type == MODEL_STRING) {
        return false;
    }
    switch (p->kind) {
    case MODEL_PREDICATE_LESS_OR_EQUAL:
        *left_if_true = true;
        return true;
    case MODEL_PREDICATE_GREATER:
        *left_if_true = false;
        return true;
    case MODEL_PREDICATE_LESS: /* value >= t is value > the number before t */
        node->threshold = nextafter(p->value, -INFINITY);
        *left_if_true = true;
        return isfinite(node->threshold);
    case MODEL_PREDICATE_GREATER_OR_EQUAL:
        node->threshold = nextafter(p->value, -INFINITY);
        *left_if_true = false;
        return isfinite(node->threshold);
    default:
        return false;
    }
}

static bool is_complement(const struct weir_model *model, const struct model_predicate *a,
                          const struct model_predicate *b)
{
    struct forest_node x;
    struct forest_node y;
    bool x_left;
    bool y_left;
    return as_split(model, a, &x, &x_left) && as_split(model, b, &y, &y_left) &&
           x.input == y.input && x.threshold == y.threshold && x_left != y_left;
}

static bool reserve(struct flattener *f, uint32_t count)
{
    if (count <= f->capacity) {
        return true;
    }
    uint32_t capacity = f->capacity > 0 ? f->capacity * 2 : 64;
    struct flat_node *nodes = weir_realloc_array(f->nodes, capacity, sizeof *nodes);
    f->nodes = nodes != NULL ? nodes : f->nodes;
    struct pending *queue = weir_realloc_array(f->queue, capacity, sizeof *queue);
    f->queue = queue != NULL ? queue : f->queue;
    if (nodes == NULL || queue == NULL) {
        f->err = WEIR_NOMEM;
        return false;
    }
    f->capacity = capacity;
    return true;
}

static void make_leaf(struct flattener *f, uint32_t at, const struct model_node *node)
{
    f->fits &= node->has_score;
    f->nodes[at].leaf = node;
    f->nodes[at].node = (struct forest_node){.threshold = INFINITY, .input = 0, .left = at};
}

/*
 * Places what one pending entry stands for: a leaf, or a split with two more entries. A node with
 * children c1, c2 ... is "c1 if its predicate holds, else the rest"; the rest of two complementary
 * children is the second, the rest of none is the node's own score where the tree says so.
 */
static void place(struct flattener *f, struct pending todo)
{
    while (todo.child < todo.node->child_count &&
           todo.node->children[todo.child].predicate.kind == MODEL_PREDICATE_TRUE) {
        todo.node = &todo.node->children[todo.child];
        todo.child = 0;
    }
    const struct model_node *node = todo.node;
    if (todo.child == node->child_count) {
        f->fits &= node->child_count == 0 || f->tree->return_last_prediction;
        make_leaf(f, todo.at, node);
        return;
    }
    const struct model_node *first = &node->children[todo.child];
    struct forest_node split;
    bool left_if_true;
    if (!as_split(f->model, &first->predicate, &split, &left_if_true) || f->count + 2 > NODES_MAX ||
        todo.depth == DEPTH_MAX) {
        f->fits = false;
        return;
    }
    if (!reserve(f, f->count + 2)) {
        return;
    }
    split.left = f->count;
    f->count += 2;
    f->nodes[todo.at] = (struct flat_node){split, NULL};
    struct pending hit = {first, 0, split.left + !left_if_true, todo.depth + 1};
    struct pending rest = {node, todo.child + 1, split.left + left_if_true, todo.depth + 1};
    bool pair = todo.child + 2 == node->child_count &&
                is_complement(f->model, &first->predicate, &first[1].predicate);
    if (pair) {
        rest.node = &first[1];
        rest.child = 0;
    }
    f->queue[hit.at] = hit;
    f->queue[rest.at] = rest;
    f->depth = todo.depth + 1 > f->depth ? todo.depth + 1 : f->depth;
}

/* The queue is indexed by place, so walking it in order is breadth first. */
static void flatten(struct flattener *f, const struct model_tree *tree)
{
    f->tree = tree;
    f->count = 1;
    f->depth = 0;
    f->fits = tree->root.predicate.kind == MODEL_PREDICATE_TRUE;
    if (!reserve(f, 1)) {
        return;
    }
    f->queue[0] = (struct pending){&tree->root, 0, 0, 0};
    for (uint32_t at = 0; at < f->count && f->fits && f->err == WEIR_OK; at++) {
        place(f, f->queue[at]);
    }
}

/* ---- the plan -------------------------------------------------------------------------------- */

struct compiler {
    struct weir_model *model;
    struct forest_plan *plan;
    struct forest_tree *trees;
    const struct model_node **leaves; /* of all trees so far */
    uint32_t leaf_count, leaf_capacity;
    const double *weights; /* [trees] that the method gives */
    enum weir_err err;
};

/* Zeroed, and aligned so that no vector crosses a cache line. */
static void *take(struct compiler *c, size_t count, size_t bytes)
{
    size_t total;
    void *memory = NULL;
    if (!__builtin_mul_overflow(count, bytes, &total)) {
        memory = weir_arena_alloc_aligned(c->model->arena, 64, total);
    }
    if (memory == NULL) {
        c->err = WEIR_NOMEM;
        return NULL;
    }
    memset(memory, 0, total);
    return memory;
}

static void add_leaf(struct compiler *c, const struct model_node *leaf)
{
    if (c->leaf_count == c->leaf_capacity) {
        uint32_t capacity = c->leaf_capacity > 0 ? c->leaf_capacity * 2 : 64;
        void *grown = weir_realloc_array(c->leaves, capacity, sizeof *c->leaves);
        if (grown == NULL) {
            c->err = WEIR_NOMEM;
            return;
        }
        c->leaves = grown;
        c->leaf_capacity = capacity;
    }
    c->leaves[c->leaf_count++] = leaf;
}

static void add_tree(struct compiler *c, const struct flattener *f, struct forest_tree *tree)
{
    struct forest_node *nodes = take(c, f->count, sizeof *nodes);
    uint32_t *leaf_of = take(c, f->count, sizeof *leaf_of);
    tree->leaf_first = c->leaf_count;
    for (uint32_t i = 0; i < f->count && c->err == WEIR_OK; i++) {
        nodes[i] = f->nodes[i].node;
        if (f->nodes[i].leaf != NULL) {
            leaf_of[i] = tree->leaf_count++;
            add_leaf(c, f->nodes[i].leaf);
        } else if (nodes[i].input + 1 > c->plan->input_max) {
            c->plan->input_max = nodes[i].input + 1;
        }
    }
    tree->nodes = nodes;
    tree->leaf_of = leaf_of;
    tree->depth = f->depth;
    tree->split_count = tree->leaf_count > 0 ? tree->leaf_count - 1 : 0;
}

/* Probability of a class at a leaf, as the general path takes it for a sum. */
static double share(const struct model_node *leaf, uint32_t class_index)
{
    if (leaf->probabilities == NULL) {
        return leaf->class_index == class_index ? 1 : 0;
    }
    double p = leaf->probabilities[class_index];
    return isnan(p) ? 0 : p;
}

static double leaf_cell(const struct model_node *leaf, enum model_method method, uint32_t index,
                        double weight)
{
    switch (method) {
    case MODEL_METHOD_MAJORITY_VOTE:
    case MODEL_METHOD_WEIGHTED_MAJORITY_VOTE:
        return leaf->class_index == index ? weight : 0;
    case MODEL_METHOD_WEIGHTED_AVERAGE:
        return weight * share(leaf, index);
    default:
        return share(leaf, index);
    }
}

/* Leaf vectors of a sum over the classes. */
static void fill_vectors(struct compiler *c, enum model_method method, double *vectors)
{
    struct forest_plan *p = c->plan;
    for (uint32_t t = 0; t < p->tree_count; t++) {
        struct forest_tree *tree = &c->trees[t];
        tree->vectors = vectors + (size_t)tree->leaf_first * p->width;
        for (uint32_t l = tree->leaf_first; l < tree->leaf_first + tree->leaf_count; l++) {
            for (uint32_t i = 0; i < p->class_count; i++) {
                vectors[(size_t)l * p->width + i] =
                    leaf_cell(c->leaves[l], method, i, c->weights[t]);
            }
        }
    }
}

/* What leaves are worth. method: of the segmentation; SELECT_FIRST stands for a tree alone. */
static void fill_leaves(struct compiler *c, enum model_method method)
{
    struct forest_plan *p = c->plan;
    bool alone = method == MODEL_METHOD_SELECT_FIRST;
    bool weighted = method == MODEL_METHOD_WEIGHTED_AVERAGE || method == MODEL_METHOD_WEIGHTED_SUM;
    if (p->class_count == 0) {
        double *numbers = take(c, c->leaf_count, sizeof *numbers);
        for (uint32_t t = 0; t < p->tree_count && numbers != NULL; t++) {
            const struct forest_tree *tree = &c->trees[t];
            for (uint32_t l = tree->leaf_first; l < tree->leaf_first + tree->leaf_count; l++) {
                double number = c->leaves[l]->number;
                numbers[l] = weighted ? c->weights[t] * number : number;
            }
        }
        p->numbers = numbers;
        return;
    }
    p->width = (p->class_count + FOREST_LEAF_WIDTH - 1) / FOREST_LEAF_WIDTH * FOREST_LEAF_WIDTH;
    double *vectors = take(c, (size_t)c->leaf_count * p->width, sizeof *vectors);
    uint32_t *classes = take(c, c->leaf_count, sizeof *classes);
    p->vectors = vectors;
    p->sums_vectors = !alone;
    if (c->err == WEIR_OK && !alone) {
        fill_vectors(c, method, vectors);
        return;
    }
    for (uint32_t l = 0; l < c->leaf_count && c->err == WEIR_OK; l++) {
        classes[l] = c->leaves[l]->class_index;
        for (uint32_t i = 0; i < p->class_count; i++) {
            const double *given = c->leaves[l]->probabilities;
            vectors[(size_t)l * p->width + i] = given != NULL ? given[i] : (double)NAN;
        }
    }
    p->classes = classes;
}

/* ---- the 64-row form ------------------------------------------------------------------------- */

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Distinct thresholds of one input over all trees; more than FOREST_RANKS_MAX: false. */
static bool collect_thresholds(struct compiler *c, uint32_t input, struct forest_input *out)
{
    double found[FOREST_RANKS_MAX];
    uint32_t count = 0;
    for (uint32_t t = 0; t < c->plan->tree_count; t++) {
        const struct forest_tree *tree = &c->trees[t];
        for (uint32_t n = 0; n < tree->split_count + tree->leaf_count; n++) {
            const struct forest_node *node = &tree->nodes[n];
            uint32_t k = 0;
            if (node->left == n || node->input != input) {
                continue;
            }
            while (k < count && found[k] != node->threshold) {
                k++;
            }
            if (k == FOREST_RANKS_MAX) {
                return false;
            }
            found[k] = node->threshold;
            count = k == count ? count + 1 : count;
        }
    }
    /* cppcheck-suppress uninitvar ; `count` of them were set */
    qsort(found, count, sizeof *found, ascending);
    double *kept = take(c, count, sizeof *kept);
    if (kept == NULL) {
        return false;
    }
    memcpy(kept, found, count * sizeof *found);
    *out = (struct forest_input){input, count, kept};
    return true;
}

static void rank_split(const struct forest_plan *p, const struct forest_node *node,
                       struct forest_split *split)
{
    while (p->ranked[split->rank_row].input != node->input) {
        split->rank_row++;
    }
    const struct forest_input *in = &p->ranked[split->rank_row];
    while (in->thresholds[split->rank] != node->threshold) {
        split->rank++;
    }
}

/* Places in the reach masks: the i-th inner node in breadth-first order owns 2i+1 and 2i+2. */
static void rank_tree(struct compiler *c, struct forest_tree *tree)
{
    uint32_t count = tree->split_count + tree->leaf_count;
    struct forest_split *splits = take(c, tree->split_count, sizeof *splits);
    struct forest_leaf *leaves = take(c, tree->leaf_count, sizeof *leaves);
    uint16_t reach[2 * FOREST_SPLITS_MAX + 1] = {0};
    uint32_t split_count = 0;
    for (uint32_t n = 0; n < count && c->err == WEIR_OK; n++) {
        const struct forest_node *node = &tree->nodes[n];
        if (node->left == n) {
            leaves[tree->leaf_of[n]].reach = reach[n];
            continue;
        }
        struct forest_split *split = &splits[split_count];
        split->reach = reach[n];
        rank_split(c->plan, node, split);
        reach[node->left] = (uint16_t)(2 * split_count + 1);
        reach[node->left + 1] = (uint16_t)(2 * split_count + 2);
        split_count++;
    }
    tree->splits = splits;
    tree->leaves = leaves;
}

static void add_ranks(struct compiler *c)
{
    struct forest_plan *p = c->plan;
    for (uint32_t t = 0; t < p->tree_count; t++) {
        if (c->trees[t].split_count > FOREST_SPLITS_MAX) {
            return;
        }
    }
    struct forest_input *ranked = take(c, p->input_max, sizeof *ranked);
    for (uint32_t i = 0; i < p->input_max && c->err == WEIR_OK; i++) {
        if (!collect_thresholds(c, i, &ranked[p->ranked_count])) {
            return;
        }
        p->ranked_count += ranked[p->ranked_count].threshold_count > 0;
    }
    p->ranked = ranked;
    for (uint32_t t = 0; t < p->tree_count && c->err == WEIR_OK; t++) {
        rank_tree(c, &c->trees[t]);
    }
    p->has_ranks = true;
}

/* ---- choosing -------------------------------------------------------------------------------- */

/* Trees and weights of a model that is a tree or an ensemble of them; 0 trees: it is neither. */
static uint32_t list_trees(const struct weir_model *model, const struct model_tree **trees,
                           double *weights, enum model_method *method)
{
    const struct model_element *root = model->root;
    if (root->ops == &model_tree_ops) {
        *method = MODEL_METHOD_SELECT_FIRST;
        if (trees != NULL) {
            trees[0] = (const struct model_tree *)root;
            weights[0] = 1;
        }
        return 1;
    }
    if (root->ops != &model_segmentation_ops) {
        return 0;
    }
    const struct model_segmentation *s = (const struct model_segmentation *)root;
    if (s->method == MODEL_METHOD_MAX || s->method == MODEL_METHOD_MEDIAN ||
        s->method == MODEL_METHOD_WEIGHTED_MEDIAN || s->method == MODEL_METHOD_SELECT_FIRST ||
        s->method == MODEL_METHOD_MODEL_CHAIN) {
        return 0;
    }
    *method = s->method;
    bool weighted = s->method == MODEL_METHOD_WEIGHTED_AVERAGE ||
                    s->method == MODEL_METHOD_WEIGHTED_SUM ||
                    s->method == MODEL_METHOD_WEIGHTED_MAJORITY_VOTE;
    for (uint32_t i = 0; i < s->segment_count; i++) {
        const struct model_element *e = s->segments[i].element;
        if (s->segments[i].predicate.kind != MODEL_PREDICATE_TRUE || e->ops != &model_tree_ops ||
            e->target != NULL || e->output_count > 0 || e->is_float ||
            s->segments[i].has_weight_slot) {
            return 0;
        }
        if (trees != NULL) {
            trees[i] = (const struct model_tree *)e;
            weights[i] = weighted ? s->segments[i].weight : 1;
        }
    }
    return s->segment_count;
}

static double divisor_of(enum model_method method, const double *weights, uint32_t count)
{
    double sum = 0;
    for (uint32_t i = 0; i < count; i++) {
        sum += weights[i];
    }
    bool none = method == MODEL_METHOD_SELECT_FIRST || method == MODEL_METHOD_SUM ||
                method == MODEL_METHOD_WEIGHTED_SUM;
    return none ? 1 : method == MODEL_METHOD_AVERAGE ? count : sum;
}

static void compile(struct compiler *c, const struct model_tree *const *trees,
                    enum model_method method, bool *fits)
{
    struct flattener f = {.model = c->model};
    struct forest_plan *p = c->plan;
    *fits = true;
    for (uint32_t t = 0; t < p->tree_count && *fits && c->err == WEIR_OK; t++) {
        flatten(&f, trees[t]);
        *fits = f.fits;
        c->err = f.err;
        if (*fits && c->err == WEIR_OK) {
            add_tree(c, &f, &c->trees[t]);
        }
    }
    weir_free(f.nodes);
    weir_free(f.queue);
    if (*fits && c->err == WEIR_OK) {
        p->leaf_count = c->leaf_count;
        fill_leaves(c, method);
    }
    if (*fits && c->err == WEIR_OK) {
        add_ranks(c);
    }
    size_t rows64 = (size_t)p->tree_count * 64 * sizeof(uint32_t);
    size_t ranked = forest_scratch_leaves(p) + (size_t)p->tree_count * 64;
    p->plan.scratch_bytes = ranked > rows64 ? ranked : rows64;
}

enum weir_err forest_plan_new(struct weir_model *model, const struct model_plan **plan_out)
{
    enum model_method method = MODEL_METHOD_SUM;
    uint32_t count = list_trees(model, NULL, NULL, &method);
    uint32_t class_count = model->root->classes != NULL ? model->root->classes->count : 0;
    *plan_out = NULL;
    if (count == 0 || class_count > CLASSES_MAX) {
        return WEIR_OK;
    }
    struct compiler c = {.model = model};
    const struct model_tree **trees = take(&c, count, sizeof *trees);
    double *weights = take(&c, count, sizeof *weights);
    c.plan = take(&c, 1, sizeof *c.plan);
    c.trees = take(&c, count, sizeof *c.trees);
    bool fits = false;
    if (c.err == WEIR_OK) {
        list_trees(model, trees, weights, &method);
        *c.plan = (struct forest_plan){
            .plan = {.run = KERNEL_VERSIONS(forest_run)},
            .tree_count = count,
            .trees = c.trees,
            .class_count = class_count,
            .divisor = divisor_of(method, weights, count),
        };
        c.weights = weights;
        compile(&c, trees, method, &fits);
    }
    weir_free(c.leaves);
    *plan_out = fits && c.err == WEIR_OK ? &c.plan->plan : NULL;
    return c.err;
}
