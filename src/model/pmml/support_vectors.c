/* SupportVectorMachineModel. */
#include "model/pmml/reader.h"

#include <stdlib.h>

enum { CELLS_MAX = 1 << 25 }; /* of all vectors: sparse ones are spread out */

/* Ids of the vectors, sorted. */
struct vector_id {
    const char *id;
    uint32_t index;
};

struct vector_ids {
    struct vector_id *items;
    uint32_t count;
};

static int by_id(const void *a, const void *b)
{
    return strcmp(((const struct vector_id *)a)->id, ((const struct vector_id *)b)->id);
}

static void read_kernel(struct pmml_reader *r, const struct pmml_element *e,
                        struct model_support_vectors *m)
{
    /* In the order of enum model_kernel. */
    static const char *const names[] = {"LinearKernelType", "PolynomialKernelType",
                                        "RadialBasisKernelType", "SigmoidKernelType"};
    bool found = false;
    for (uint32_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const struct pmml_element *kernel = pmml_child(e, names[i]);
        if (kernel != NULL && found) {
            pmml_fail(r, kernel, WEIR_INVALID, "is a second kernel");
        } else if (kernel != NULL) {
            found = true;
            m->kernel = (enum model_kernel)i;
            m->gamma = pmml_number(r, kernel, "gamma", 1);
            m->coef0 = pmml_number(r, kernel, "coef0", 1);
            m->degree = pmml_number(r, kernel, "degree", 1);
        }
    }
    if (!found) {
        pmml_fail(r, e, WEIR_INVALID, "needs a kernel");
    }
}

static void read_field(struct pmml_reader *r, const struct pmml_element *e, struct model_expr *expr)
{
    if (pmml_is(e, "FieldRef")) {
        pmml_read_expression(r, e, MODEL_TYPE_OPEN, expr);
        if (r->err == WEIR_OK && expr->type == MODEL_STRING) {
            pmml_fail(r, e, WEIR_INVALID, "names a field of strings, which is no number");
        }
        return;
    }
    if (!pmml_is(e, "CategoricalPredictor")) {
        pmml_unsupported(r, e);
        return;
    }
    if (pmml_required_number(r, e, "coefficient") != 1) {
        pmml_fail(r, e, WEIR_UNSUPPORTED, "has a coefficient that is not 1");
    }
    struct model_expr field = pmml_field_expression(r, e, pmml_required(r, e, "name"));
    const char *value = pmml_required(r, e, "value");
    *expr = field;
    if (r->err == WEIR_OK) {
        expr->kind = MODEL_EXPR_NORM_DISCRETE;
        expr->type = MODEL_DOUBLE;
        expr->value = pmml_value(r, e, field.type, value);
    }
}

static void read_fields(struct pmml_reader *r, const struct pmml_element *e,
                        struct model_support_vectors *m)
{
    struct model_expr *inputs = model_alloc(&r->b, e->child_count, sizeof *inputs);
    for (const struct pmml_element *c = e->first; c != NULL && pmml_ok(r, c); c = c->next) {
        read_field(r, c, &inputs[m->input_count++]);
    }
    m->inputs = inputs;
}

static double read_word(struct pmml_reader *r, const struct pmml_element *e, struct weir_slice word)
{
    double number = 0;
    if (!model_parse_value(MODEL_DOUBLE, word, &number) || !isfinite(number)) {
        pmml_fail(r, e, WEIR_INVALID, "holds a word that is no number");
    }
    return number;
}

static void read_sparse(struct pmml_reader *r, const struct pmml_element *e, uint32_t width,
                        double *vector)
{
    const struct pmml_element *at = pmml_child(e, "Indices");
    const struct pmml_element *entries = pmml_child(e, "REAL-Entries");
    const struct weir_slice *places = NULL;
    const struct weir_slice *words = NULL;
    uint32_t count = at != NULL ? pmml_array(r, at, &places) : 0;
    uint32_t word_count = entries != NULL ? pmml_array(r, entries, &words) : 0;
    if (pmml_number(r, e, "n", width) != width) {
        pmml_fail(r, e, WEIR_INVALID, "has not as many numbers as there are VectorFields");
    } else if (count != word_count) {
        pmml_fail(r, e, WEIR_INVALID, "has %u Indices and %u REAL-Entries", count, word_count);
    }
    double rest = pmml_number(r, e, "defaultValue", 0);
    for (uint32_t i = 0; i < width && r->err == WEIR_OK; i++) {
        vector[i] = rest;
    }
    for (uint32_t i = 0; i < count && r->err == WEIR_OK; i++) {
        double place = read_word(r, e, places[i]);
        if (!(place >= 1 && place <= width && place == floor(place))) {
            pmml_fail(r, e, WEIR_INVALID, "has an index that is none from 1 to %u", width);
            return;
        }
        vector[(uint32_t)place - 1] = read_word(r, e, words[i]);
    }
}

static void read_vector(struct pmml_reader *r, const struct pmml_element *e, uint32_t width,
                        double *vector)
{
    const struct pmml_element *array = e->first;
    const struct weir_slice *words;
    if (array == NULL || (!pmml_is(array, "Array") && !pmml_is(array, "REAL-SparseArray"))) {
        pmml_fail(r, e, WEIR_INVALID, "needs an Array or REAL-SparseArray");
    } else if (pmml_is(array, "REAL-SparseArray")) {
        read_sparse(r, array, width, vector);
    } else if (pmml_array(r, array, &words) != width) {
        pmml_fail(r, array, WEIR_INVALID, "has not as many numbers as there are VectorFields");
    } else {
        for (uint32_t i = 0; i < width && r->err == WEIR_OK; i++) {
            vector[i] = read_word(r, array, words[i]);
        }
    }
}

static void read_dictionary(struct pmml_reader *r, const struct pmml_element *e,
                            struct model_support_vectors *m, struct vector_ids *ids)
{
    const struct pmml_element *fields = pmml_child(e, "VectorFields");
    uint32_t count = pmml_count(e, "VectorInstance");
    if (fields == NULL || fields->child_count == 0) {
        pmml_fail(r, e, WEIR_INVALID, "needs VectorFields with a field");
        return;
    }
    read_fields(r, fields, m);
    if ((uint64_t)count * m->input_count > CELLS_MAX) {
        pmml_fail(r, e, WEIR_LIMIT, "holds more than %d numbers", CELLS_MAX);
        return;
    }
    double *vectors = model_alloc(&r->b, (size_t)count * m->input_count, sizeof *vectors);
    ids->items = pmml_scratch(r, count, sizeof *ids->items);
    for (const struct pmml_element *c = e->first; c != NULL && pmml_ok(r, c); c = c->next) {
        if (pmml_is(c, "VectorInstance")) {
            ids->items[ids->count++] =
                (struct vector_id){pmml_required(r, c, "id"), m->vector_count};
            read_vector(r, c, m->input_count, vectors + (size_t)m->vector_count++ * m->input_count);
        } else if (c != fields) {
            pmml_unsupported(r, c);
        }
    }
    m->vectors = vectors;
    if (r->err == WEIR_OK && ids->count > 0) {
        qsort(ids->items, ids->count, sizeof *ids->items, by_id);
    }
    for (uint32_t i = 1; i < ids->count && r->err == WEIR_OK; i++) {
        if (strcmp(ids->items[i - 1].id, ids->items[i].id) == 0) {
            pmml_fail(r, e, WEIR_INVALID, "has the vector \"%.60s\" twice", ids->items[i].id);
        }
    }
}

static void read_coefficients(struct pmml_reader *r, const struct pmml_element *e, uint32_t wanted,
                              struct model_support_machine *machine)
{
    double *coefficients = model_alloc(&r->b, e->child_count, sizeof *coefficients);
    uint32_t count = 0;
    machine->constant = pmml_number(r, e, "absoluteValue", 0);
    for (const struct pmml_element *c = e->first; c != NULL && pmml_ok(r, c); c = c->next) {
        if (pmml_is(c, "Coefficient")) {
            coefficients[count++] = pmml_number(r, c, "value", 0);
        } else {
            pmml_unsupported(r, c);
        }
    }
    if (count != wanted) {
        pmml_fail(r, e, WEIR_INVALID, "has %u Coefficients instead of %u", count, wanted);
    }
    machine->coefficients = coefficients;
}

static void read_vectors(struct pmml_reader *r, const struct pmml_element *e,
                         const struct vector_ids *ids, struct model_support_machine *machine)
{
    uint32_t *vectors = model_alloc(&r->b, e->child_count, sizeof *vectors);
    for (const struct pmml_element *c = e->first; c != NULL && pmml_ok(r, c); c = c->next) {
        struct vector_id key = {pmml_required(r, c, "vectorId"), 0};
        const struct vector_id *found =
            ids->count > 0 ? bsearch(&key, ids->items, ids->count, sizeof key, by_id) : NULL;
        if (!pmml_is(c, "SupportVector") || found == NULL) {
            pmml_fail(r, c, WEIR_INVALID, "names \"%.60s\", which is no VectorInstance", key.id);
            return;
        }
        vectors[machine->count++] = found->index;
    }
    machine->vectors = vectors;
}

/* model is the SupportVectorMachineModel, whose threshold a machine may override. */
static void read_machine(struct pmml_reader *r, const struct pmml_element *model,
                         const struct pmml_element *e, const struct model_support_vectors *m,
                         const struct vector_ids *ids, struct model_support_machine *machine)
{
    const struct pmml_element *vectors = pmml_child(e, "SupportVectors");
    const struct pmml_element *coefficients = pmml_child(e, "Coefficients");
    const char *representation = pmml_attribute(model, "svmRepresentation");
    bool by_vectors = representation == NULL || strcmp(representation, "SupportVectors") == 0;
    if (r->target->classes != NULL) {
        machine->class_index = pmml_class(r, e, pmml_required(r, e, "targetCategory"));
        machine->alternate_index = UINT32_MAX;
        const char *alternate = pmml_attribute(e, "alternateTargetCategory");
        if (m->one_against_one && alternate == NULL) {
            pmml_required(r, e, "alternateTargetCategory");
        } else if (alternate != NULL) {
            machine->alternate_index = pmml_class(r, e, alternate);
        }
    }
    machine->threshold = pmml_number(r, e, "threshold", pmml_number(r, model, "threshold", 0));
    if (coefficients == NULL || (by_vectors && vectors == NULL)) {
        pmml_fail(r, e, WEIR_INVALID, "needs %s",
                  by_vectors ? "SupportVectors and Coefficients" : "Coefficients");
        return;
    }
    if (by_vectors) {
        read_vectors(r, vectors, ids, machine);
    }
    read_coefficients(r, coefficients, by_vectors ? machine->count : m->input_count, machine);
}

/* Without classificationMethod the machines say it: one that has an alternative is one of two. */
static void read_method(struct pmml_reader *r, const struct pmml_element *e,
                        struct model_support_vectors *m)
{
    static const char *const methods[] = {"OneAgainstAll", "OneAgainstOne", NULL};
    static const char *const representations[] = {"SupportVectors", "Coefficients", NULL};
    static const char *const truths[] = {"false", "true", "0", "1", NULL};
    const struct pmml_element *machine = pmml_child(e, "SupportVectorMachine");
    bool pair = machine != NULL && pmml_attribute(machine, "alternateTargetCategory") != NULL;
    m->one_against_one = pmml_choice(r, e, "classificationMethod", methods, pair ? 1 : 0) == 1;
    m->max_wins = (pmml_choice(r, e, "maxWins", truths, 0) & 1) != 0;
    bool by_vectors = pmml_choice(r, e, "svmRepresentation", representations, 0) == 0;
    if (!by_vectors && m->kernel != MODEL_KERNEL_LINEAR) {
        pmml_fail(r, e, WEIR_INVALID,
                  "has svmRepresentation=\"Coefficients\", which only a linear "
                  "kernel can have");
    }
    if (pmml_attribute(e, "alternateBinaryTargetCategory") != NULL) {
        pmml_fail(r, e, WEIR_UNSUPPORTED,
                  "has alternateBinaryTargetCategory, which is not supported yet");
    }
}

static void read_machines(struct pmml_reader *r, const struct pmml_element *e,
                          struct model_support_vectors *m, const struct vector_ids *ids)
{
    uint32_t count = pmml_count(e, "SupportVectorMachine");
    struct model_support_machine *machines = model_alloc(&r->b, count, sizeof *machines);
    for (const struct pmml_element *c = e->first; c != NULL && pmml_ok(r, c); c = c->next) {
        if (pmml_is(c, "SupportVectorMachine")) {
            read_machine(r, e, c, m, ids, &machines[m->machine_count++]);
        }
    }
    m->machines = machines;
    if (count == 0 || (r->target->classes == NULL && count != 1)) {
        pmml_fail(r, e, WEIR_INVALID,
                  "has %u SupportVectorMachines, which its functionName can't have", count);
    } else if (r->target->classes != NULL && !m->one_against_one && count < 2) {
        pmml_fail(r, e, WEIR_INVALID, "needs a SupportVectorMachine for each class");
    }
}

struct model_element *pmml_read_support_vectors(struct pmml_reader *r, const struct pmml_element *e)
{
    struct model_support_vectors *m = model_alloc(&r->b, 1, sizeof *m);
    const struct pmml_element *dictionary = pmml_child(e, "VectorDictionary");
    struct vector_ids ids = {NULL, 0};
    if (dictionary == NULL) {
        pmml_fail(r, e, WEIR_INVALID, "needs a VectorDictionary");
    }
    if (dictionary == NULL || !pmml_ok(r, e)) {
        return NULL;
    }
    pmml_read_base(r, e, &model_support_vectors_ops, &m->element);
    read_kernel(r, e, m);
    read_method(r, e, m);
    read_dictionary(r, dictionary, m, &ids);
    if (r->err == WEIR_OK) {
        read_machines(r, e, m, &ids);
    }
    size_t class_count = r->target->classes != NULL ? r->target->classes->count : 0;
    m->element.work =
        model_builder_work(&r->b, (size_t)m->input_count + m->vector_count + class_count);
    return &m->element;
}
