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

static void score(const struct model_element *element, struct model_row *row,
                  struct model_result *result)
{
    const struct model_tree *tree = (const struct model_tree *)element;
    struct descent descent = descend(tree, row);
    const struct model_node *node = descent.node;
    if (node == NULL || !node->has_score) {
        return;
    }
    result->missing = false;
    result->number = node->number;
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
