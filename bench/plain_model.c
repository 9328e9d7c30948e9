#include "plain_model.h"

#include <stdlib.h>
#include <string.h>

struct plain_node {
    uint32_t column;
    bool leaf;
    double threshold, number;
    uint32_t left, right; /* row[column] <= threshold ? left : right */
    double shares[PLAIN_CLASSES_MAX];
};

struct plain_model {
    double intercept;
    uint32_t term_count, tree_count, node_count, class_count;
    uint32_t columns[PLAIN_INPUTS_MAX];
    double coefficients[PLAIN_INPUTS_MAX];
    double labels[PLAIN_CLASSES_MAX];
    uint32_t roots[1024];
    struct plain_node *nodes;
};

/* The reader: a walk over tags, good for well-formed documents of these exporters only. */
struct reader {
    const char *at, *end;
    struct weir_schema *schema;
    struct plain_model *plain;
    uint32_t node_capacity;
    bool failed;
};

/* The text of an attribute of the tag at `tag`, NUL-terminated in out. */
static bool attribute(const char *tag, const char *name, char *out, size_t bytes)
{
    const char *end = strchr(tag, '>');
    char wanted[64];
    size_t length = strlen(name);
    if (end == NULL || length + 3 >= sizeof wanted) {
        return false;
    }
    wanted[0] = ' ';
    memcpy(wanted + 1, name, length);
    memcpy(wanted + 1 + length, "=\"", 3);
    const char *at = strstr(tag, wanted);
    if (at == NULL || at > end) {
        return false;
    }
    at += length + 3;
    size_t count = strcspn(at, "\"");
    if (count >= bytes) {
        return false;
    }
    memcpy(out, at, count);
    out[count] = '\0';
    return true;
}

static double number(const char *tag, const char *name, double fallback)
{
    char text[64];
    return attribute(tag, name, text, sizeof text) ? strtod(text, NULL) : fallback;
}

static uint32_t column(struct reader *r, const char *tag, const char *name)
{
    char text[128];
    int32_t index = -1;
    if (attribute(tag, name, text, sizeof text)) {
        index = weir_schema_find(r->schema, text);
    }
    r->failed |= index < 0;
    return index < 0 ? 0 : (uint32_t)index;
}

static bool is_tag(const char *at, const char *name)
{
    size_t length = strlen(name);
    return at[0] == '<' && strncmp(at + 1, name, length) == 0 && strchr(" />", at[1 + length]);
}

static uint32_t new_node(struct reader *r)
{
    struct plain_model *plain = r->plain;
    if (plain->node_count == r->node_capacity) {
        uint32_t capacity = r->node_capacity > 0 ? 2 * r->node_capacity : 64;
        struct plain_node *nodes = realloc(plain->nodes, capacity * sizeof *nodes);
        if (nodes == NULL) {
            r->failed = true;
            return 0;
        }
        plain->nodes = nodes;
        r->node_capacity = capacity;
    }
    plain->nodes[plain->node_count] = (struct plain_node){.leaf = true};
    return plain->node_count++;
}

static void read_share(struct reader *r, const char *tag, uint32_t index)
{
    double label = number(tag, "value", 0);
    for (uint32_t c = 0; c < r->plain->class_count; c++) {
        if (r->plain->labels[c] == label) {
            r->plain->nodes[index].shares[c] = number(tag, "recordCount", 0);
        }
    }
}

static void share_out(struct plain_node *node, uint32_t class_count)
{
    double sum = 0;
    for (uint32_t c = 0; c < class_count; c++) {
        sum += node->shares[c];
    }
    for (uint32_t c = 0; c < class_count && sum > 0; c++) {
        node->shares[c] /= sum;
    }
}

/* Reads the node at r->at with all below it; *test_out: the tag of its predicate. */
static uint32_t read_node(struct reader *r, const char **test_out)
{
    uint32_t index = new_node(r);
    uint32_t child_count = 0;
    if (r->failed) {
        return 0;
    }
    r->plain->nodes[index].number = number(r->at, "score", 0);
    for (r->at++; !r->failed && (r->at = strchr(r->at, '<')) != NULL;) {
        if (is_tag(r->at, "/Node")) {
            r->at++;
            share_out(&r->plain->nodes[index], r->plain->class_count);
            r->failed |= child_count != 0 && child_count != 2;
            return index;
        }
        if (is_tag(r->at, "Node")) {
            const char *test = NULL;
            uint32_t child = read_node(r, &test);
            if (r->failed || test == NULL) {
                break;
            }
            struct plain_node *node = &r->plain->nodes[index];
            char operator[32] = "";
            attribute(test, "operator", operator, sizeof operator);
            node->leaf = false;
            node->column = column(r, test, "field");
            node->threshold = number(test, "value", 0);
            *(strcmp(operator, "lessOrEqual") == 0 ? &node->left : &node->right) = child;
            child_count++;
            continue;
        }
        if (is_tag(r->at, "SimplePredicate")) {
            *test_out = r->at;
        } else if (is_tag(r->at, "ScoreDistribution")) {
            read_share(r, r->at, index);
        }
        r->at++;
    }
    r->failed = true;
    return 0;
}

static void read_model(struct reader *r)
{
    struct plain_model *plain = r->plain;
    while (!r->failed && (r->at = strchr(r->at, '<')) != NULL) {
        if (is_tag(r->at, "Value") && plain->class_count < PLAIN_CLASSES_MAX) {
            plain->labels[plain->class_count++] = number(r->at, "value", 0);
        } else if (is_tag(r->at, "NumericPredictor") && plain->term_count < PLAIN_INPUTS_MAX) {
            plain->columns[plain->term_count] = column(r, r->at, "name");
            plain->coefficients[plain->term_count++] = number(r->at, "coefficient", 0);
        } else if (is_tag(r->at, "RegressionTable")) {
            plain->intercept = number(r->at, "intercept", 0);
        } else if (is_tag(r->at, "Node") && plain->tree_count < 1024) {
            const char *test = NULL;
            uint32_t root = read_node(r, &test);
            plain->roots[plain->tree_count++] = root;
            continue;
        }
        r->at++;
    }
}

struct plain_model *plain_model_new(struct weir_slice pmml, struct weir_schema *schema)
{
    struct plain_model *plain = calloc(1, sizeof *plain);
    char *text = malloc(pmml.bytes + 1);
    if (plain == NULL || text == NULL) {
        free(plain);
        free(text);
        return NULL;
    }
    memcpy(text, pmml.data, pmml.bytes);
    text[pmml.bytes] = '\0';
    bool other = strstr(text, "<NeuralNetwork") != NULL || strstr(text, "<PMML") == NULL ||
                 strstr(text, "<GeneralRegressionModel") != NULL;
    struct reader r = {.at = text, .schema = schema, .plain = plain, .failed = other};
    read_model(&r);
    free(text);
    if (r.failed || (plain->tree_count == 0) == (plain->term_count == 0)) {
        plain_model_free(plain);
        return NULL;
    }
    return plain;
}

void plain_model_free(struct plain_model *plain)
{
    if (plain != NULL) {
        free(plain->nodes);
        free(plain);
    }
}

static const struct plain_node *walk(const struct plain_model *plain, uint32_t root,
                                     const double *row)
{
    const struct plain_node *node = &plain->nodes[root];
    while (!node->leaf) {
        node = &plain->nodes[row[node->column] <= node->threshold ? node->left : node->right];
    }
    return node;
}

static double vote(const struct plain_model *plain, const double *row)
{
    double sums[PLAIN_CLASSES_MAX] = {0};
    for (uint32_t t = 0; t < plain->tree_count; t++) {
        const struct plain_node *leaf = walk(plain, plain->roots[t], row);
        for (uint32_t c = 0; c < plain->class_count; c++) {
            sums[c] += leaf->shares[c];
        }
    }
    uint32_t best = 0;
    for (uint32_t c = 1; c < plain->class_count; c++) {
        best = sums[c] > sums[best] ? c : best;
    }
    return plain->labels[best];
}

double plain_model_score(const struct plain_model *plain, const double *row)
{
    if (plain->tree_count == 1) {
        return walk(plain, plain->roots[0], row)->number;
    }
    if (plain->tree_count > 1) {
        return vote(plain, row);
    }
    double sum = plain->intercept;
    for (uint32_t i = 0; i < plain->term_count; i++) {
        sum += plain->coefficients[i] * row[plain->columns[i]];
    }
    return sum;
}
