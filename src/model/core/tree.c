/*
 * TreeModel, the general way. Source: PMML 4.4, "Tree Models". The root's predicate is tested too:
 * false or unknown there means no prediction, whatever the strategies say.
 */
#include "model/core/elements.h"

/* How far down a row came. */
struct descent {
    const struct model_node *node; /* NULL: no prediction */
    uint32_t missing_levels;
};

/* What the missing-value strategy makes of a node with a child whose predicate is unknown. */
static const struct model_node *on_unknown(const struct model_tree *tree,
                                           const struct model_node *node, bool *stop)
{
    *stop = true;
    switch (tree->missing_strategy) {
    case MODEL_STRATEGY_LAST_PREDICTION:
        return node;
    case MODEL_STRATEGY_DEFAULT_CHILD:
        if (node->default_child >= 0) {
            *stop = false;
            return &node->children[node->default_child];
        }
        return NULL;
    case MODEL_STRATEGY_NULL_PREDICTION:
    case MODEL_STRATEGY_NONE:
    default:
        break;
    }
    return NULL;
}

/*
 * The first true child in document order wins; with a strategy, an unknown child before it lets
 * the strategy decide. Returns the next node; *stop: the descent ends with it (NULL: no result).
 */
static const struct model_node *next_node(const struct model_tree *tree,
                                          const struct model_node *node, struct model_row *row,
                                          struct descent *descent, bool *stop)
{
    for (uint32_t i = 0; i < node->child_count; i++) {
        row->surrogates = 0;
        enum model_truth truth = model_predicate_test(&node->children[i].predicate, row);
        if (truth == MODEL_TRUE) {
            descent->missing_levels += row->surrogates > 0;
            return &node->children[i];
        }
        if (truth == MODEL_UNKNOWN && tree->missing_strategy != MODEL_STRATEGY_NONE) {
            const struct model_node *next = on_unknown(tree, node, stop);
            descent->missing_levels += !*stop;
            return next;
        }
    }
    *stop = true;
    return tree->return_last_prediction && node->has_score ? node : NULL;
}

static struct descent descend(const struct model_tree *tree, struct model_row *row)
{
    struct descent descent = {NULL, 0};
    if (model_predicate_test(&tree->root.predicate, row) != MODEL_TRUE) {
        return descent;
    }
    const struct model_node *node = &tree->root;
    bool stop = false;
    while (node != NULL && node->child_count > 0 && !stop) {
        node = next_node(tree, node, row, &descent, &stop);
    }
    descent.node = node;
    return descent;
}

/* ---- weightedConfidence, aggregateNodes ------------------------------------------------------ */

/* The nodes that a row may belong to, gone through in document order. */
struct gathering {
    const struct model_tree *tree;
    struct model_row *row;
    double *classes;               /* [class_count] sums of confidences or counts */
    const struct model_node *only; /* the one node that was reached without an unknown predicate */
    bool unknown;                  /* any predicate was unknown */
};

static double confidence_of(const struct model_node *node, uint32_t index)
{
    const double *of_class = node->confidences != NULL ? node->confidences : node->probabilities;
    if (of_class == NULL) {
        return index == node->class_index ? 1 : 0;
    }
    return isnan(of_class[index]) ? 0 : of_class[index];
}

static void take_node(struct gathering *g, const struct model_node *node, double share)
{
    uint32_t class_count = g->tree->element.classes->count;
    g->only = node;
    for (uint32_t i = 0; i < class_count && node->has_score; i++) {
        if (g->tree->missing_strategy == MODEL_STRATEGY_WEIGHTED_CONFIDENCE) {
            g->classes[i] += share * confidence_of(node, i);
        } else if (node->counts != NULL) {
            g->classes[i] += node->counts[i];
        }
    }
}

/*
 * A true child before any unknown one is gone down alone; from the first unknown one on, every
 * child that is not false has its share by its number of records.
 */
static void gather(struct gathering *g, const struct model_node *node, double share)
{
    double records = 0;
    bool unknown = false;
    const struct model_node *next = NULL;
    for (uint32_t i = 0; i < node->child_count && (next == NULL || unknown); i++) {
        enum model_truth truth = model_predicate_test(&node->children[i].predicate, g->row);
        unknown |= truth == MODEL_UNKNOWN;
        next = truth == MODEL_TRUE ? &node->children[i] : next;
        records += truth != MODEL_FALSE ? node->children[i].record_count : 0;
    }
    if (!unknown) {
        if (next != NULL) {
            gather(g, next, share);
        } else if (node->child_count == 0 || g->tree->return_last_prediction) {
            take_node(g, node, share);
        }
        return;
    }
    g->unknown = true;
    for (uint32_t i = 0; i < node->child_count; i++) {
        const struct model_node *child = &node->children[i];
        if (model_predicate_test(&child->predicate, g->row) != MODEL_FALSE) {
            gather(g, child, share * child->record_count / records);
        }
    }
}

/* The node to take the result of as in any tree; NULL: *result is complete. */
static const struct model_node *score_gathered(const struct model_tree *tree, struct model_row *row,
                                               struct model_result *result)
{
    uint32_t class_count = tree->element.classes->count;
    struct gathering g = {.tree = tree, .row = row, .classes = row->work + tree->element.work};
    memset(g.classes, 0, class_count * sizeof *g.classes);
    if (model_predicate_test(&tree->root.predicate, row) != MODEL_TRUE) {
        return NULL;
    }
    gather(&g, &tree->root, 1);
    if (!g.unknown) {
        return g.only;
    }
    double sum = 0;
    for (uint32_t i = 0; i < class_count; i++) {
        sum += g.classes[i];
    }
    if (!(sum > 0)) {
        return NULL;
    }
    if (tree->missing_strategy == MODEL_STRATEGY_AGGREGATE_NODES) {
        for (uint32_t i = 0; i < class_count; i++) {
            g.classes[i] /= sum;
        }
        result->probabilities = g.classes;
    }
    result->confidences = g.classes;
    result->class_index = model_argmax(g.classes, class_count);
    result->missing = false;
    return NULL;
}

static void score(const struct model_element *element, struct model_row *row,
                  struct model_result *result)
{
    const struct model_tree *tree = (const struct model_tree *)element;
    bool gathers = tree->missing_strategy >= MODEL_STRATEGY_WEIGHTED_CONFIDENCE;
    struct descent descent =
        gathers ? (struct descent){score_gathered(tree, row, result), 0} : descend(tree, row);
    const struct model_node *node = descent.node;
    if (node == NULL || !node->has_score) {
        return;
    }
    result->missing = false;
    result->number = model_rounded(element->is_float, node->number);
    result->class_index = node->class_index;
    result->probabilities = node->probabilities;
    result->confidences = node->confidences;
    result->entity_id = node->id;
    if (tree->missing_penalty != 1 && descent.missing_levels > 0 && node->confidences != NULL) {
        double *scaled = row->work + element->work;
        double factor = pow(tree->missing_penalty, descent.missing_levels);
        for (uint32_t i = 0; i < element->classes->count; i++) {
            scaled[i] = node->confidences[i] * factor;
        }
        result->confidences = scaled;
    }
}

const struct model_element_ops model_tree_ops = {"TreeModel", score};
