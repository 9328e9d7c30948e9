/* TreeModel. */
#include "model/pmml/reader.h"

static const char *const strategy_names[] = {"none",
                                             "nullPrediction",
                                             "lastPrediction",
                                             "defaultChild",
                                             "weightedConfidence",
                                             "aggregateNodes",
                                             NULL};

/* Refuses what stands in a Node and would change its result. */
static void check_node(struct pmml_reader *r, const struct pmml_element *e)
{
    for (const struct pmml_element *c = e->first; c != NULL; c = c->next) {
        if (!pmml_is(c, "Node") && !pmml_is(c, "ScoreDistribution") && !pmml_is_predicate(c) &&
            !pmml_is(c, "Partition")) {
            pmml_unsupported(r, c);
        }
    }
}

/*
 * Probabilities are given for all ScoreDistributions or none (then they are shares of the record
 * counts); a class that is not listed has none of either. The label with the largest count is the
 * score of a node that has no score of its own.
 */
static void read_distribution(struct pmml_reader *r, const struct pmml_element *e,
                              enum model_missing_strategy strategy, struct model_node *node)
{
    uint32_t class_count = r->target->classes->count;
    double *probabilities = model_alloc(&r->b, class_count, sizeof *probabilities);
    double *confidences = NULL;
    bool aggregates = strategy == MODEL_STRATEGY_AGGREGATE_NODES;
    double *counts = aggregates ? model_alloc(&r->b, class_count, sizeof *counts) : NULL;
    if (!pmml_ok(r, e)) {
        return;
    }
    double sum = 0;
    double largest = -1;
    uint32_t best = 0;
    bool given = false;
    for (const struct pmml_element *d = e->first; d != NULL && r->err == WEIR_OK; d = d->next) {
        if (!pmml_is(d, "ScoreDistribution")) {
            continue;
        }
        uint32_t index = pmml_class(r, d, pmml_required(r, d, "value"));
        double count = pmml_number(r, d, "recordCount", 0);
        sum += count;
        if (counts != NULL) {
            counts[index] += count;
        }
        if (count > largest) {
            largest = count;
            best = index;
        }
        given = pmml_attribute(d, "probability") != NULL;
        probabilities[index] = given ? pmml_number(r, d, "probability", 0) : count;
        if (pmml_attribute(d, "confidence") != NULL) {
            if (confidences == NULL) {
                confidences = model_alloc(&r->b, class_count, sizeof *confidences);
                for (uint32_t i = 0; confidences != NULL && i < class_count; i++) {
                    confidences[i] = NAN;
                }
            }
            if (pmml_ok(r, d)) {
                confidences[index] = pmml_number(r, d, "confidence", 0);
            }
        }
    }
    for (uint32_t i = 0; i < class_count && !given && sum > 0; i++) {
        probabilities[i] /= sum;
    }
    node->probabilities = probabilities;
    node->confidences = confidences;
    node->counts = counts;
    node->record_count = sum;
    if (!node->has_score) {
        node->has_score = true;
        node->class_index = best;
    }
}

static void read_score(struct pmml_reader *r, const struct pmml_element *e,
                       enum model_missing_strategy strategy, struct model_node *node)
{
    const char *score = pmml_attribute(e, "score");
    bool classification = r->target->classes != NULL;
    node->has_score = score != NULL;
    if (score != NULL && classification) {
        node->class_index = pmml_class(r, e, score);
    } else if (score != NULL) {
        node->number = pmml_number(r, e, "score", 0);
    }
    if (classification && pmml_child(e, "ScoreDistribution") != NULL) {
        read_distribution(r, e, strategy, node);
    }
    node->record_count = pmml_number(r, e, "recordCount", node->record_count);
    if (strategy == MODEL_STRATEGY_WEIGHTED_CONFIDENCE && !(node->record_count > 0)) {
        pmml_fail(r, e, WEIR_INVALID, "needs a recordCount for weightedConfidence");
    }
    const char *id = pmml_attribute(e, "id");
    if (id != NULL) {
        struct weir_slice text = pmml_slice(id);
        node->id = weir_slice(model_copy_text(&r->b, text), text.bytes);
    }
}

/* Index of defaultChild among a node's children; -1 and an error if there is no such node. */
static int32_t find_default_child(struct pmml_reader *r, const struct pmml_element *e)
{
    const char *wanted = pmml_attribute(e, "defaultChild");
    if (wanted == NULL) {
        return -1;
    }
    int32_t index = 0;
    for (const struct pmml_element *c = e->first; c != NULL; c = c->next) {
        if (!pmml_is(c, "Node")) {
            continue;
        }
        const char *id = pmml_attribute(c, "id");
        if (id != NULL && strcmp(id, wanted) == 0) {
            return index;
        }
        index++;
    }
    pmml_fail(r, e, WEIR_INVALID, "names defaultChild=\"%.60s\", which is none of its nodes",
              wanted);
    return -1;
}

static void read_node(struct pmml_reader *r, const struct pmml_element *e,
                      enum model_missing_strategy strategy, struct model_node *node)
{
    check_node(r, e);
    node->default_child = find_default_child(r, e);
    pmml_read_predicate_of(r, e, &node->predicate);
    read_score(r, e, strategy, node);
    struct model_node *children = model_alloc(&r->b, pmml_count(e, "Node"), sizeof *children);
    for (const struct pmml_element *c = e->first; c != NULL && pmml_ok(r, c); c = c->next) {
        if (pmml_is(c, "Node")) {
            read_node(r, c, strategy, &children[node->child_count++]);
        }
    }
    node->children = children;
}

struct model_element *pmml_read_tree(struct pmml_reader *r, const struct pmml_element *e)
{
    static const char *const no_true_child[] = {"returnNullPrediction", "returnLastPrediction",
                                                NULL};
    struct model_tree *tree = model_alloc(&r->b, 1, sizeof *tree);
    const struct pmml_element *root = pmml_child(e, "Node");
    if (root == NULL) {
        pmml_fail(r, e, WEIR_INVALID, "needs a Node");
    }
    if (root == NULL || !pmml_ok(r, e)) {
        return NULL;
    }
    pmml_read_base(r, e, &model_tree_ops, &tree->element);
    tree->missing_strategy =
        (enum model_missing_strategy)pmml_choice(r, e, "missingValueStrategy", strategy_names, 0);
    tree->missing_penalty = pmml_number(r, e, "missingValuePenalty", 1);
    tree->return_last_prediction = pmml_choice(r, e, "noTrueChildStrategy", no_true_child, 0) == 1;
    bool gathers = tree->missing_strategy >= MODEL_STRATEGY_WEIGHTED_CONFIDENCE;
    if (gathers && (tree->missing_penalty != 1 || r->target->classes == NULL)) {
        pmml_fail(r, e, WEIR_UNSUPPORTED,
                  "has missingValueStrategy=\"%s\" with a missingValuePenalty or for regression",
                  strategy_names[tree->missing_strategy]);
        return NULL;
    }
    if ((gathers || tree->missing_penalty != 1) && r->target->classes != NULL) {
        tree->element.work = model_builder_work(&r->b, r->target->classes->count);
    }
    read_node(r, root, tree->missing_strategy, &tree->root);
    return &tree->element;
}
