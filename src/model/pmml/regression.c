/* RegressionModel. */
#include "model/pmml/reader.h"

/* In the order of enum model_normalization. */
static const char *const normalization_names[] = {
    "none", "simplemax", "softmax", "logit", "probit", "cloglog", "exp", "loglog", "cauchit", NULL};

/* PredictorTerm names its factors by FieldRef. */
static void read_term(struct pmml_reader *r, const struct pmml_element *e,
                      struct model_predictor_term *term)
{
    term->coefficient = pmml_required_number(r, e, "coefficient");
    uint32_t *slots = model_alloc(&r->b, e->child_count, sizeof *slots);
    for (const struct pmml_element *c = e->first; c != NULL && pmml_ok(r, c); c = c->next) {
        if (pmml_is(c, "FieldRef")) {
            slots[term->slot_count++] = pmml_slot(r, c, pmml_required(r, c, "field"));
        } else {
            pmml_unsupported(r, c);
        }
    }
    term->slots = slots;
}

static void read_predictor(struct pmml_reader *r, const struct pmml_element *e,
                           struct model_regression_table *table,
                           struct model_numeric_predictor *numeric,
                           struct model_categorical_predictor *categorical,
                           struct model_predictor_term *terms)
{
    if (pmml_is(e, "NumericPredictor")) {
        numeric[table->numeric_count++] = (struct model_numeric_predictor){
            .slot = pmml_slot(r, e, pmml_required(r, e, "name")),
            .exponent = pmml_number(r, e, "exponent", 1),
            .coefficient = pmml_required_number(r, e, "coefficient"),
        };
    } else if (pmml_is(e, "CategoricalPredictor")) {
        uint32_t slot = pmml_slot(r, e, pmml_required(r, e, "name"));
        const char *value = pmml_required(r, e, "value");
        double coefficient = pmml_required_number(r, e, "coefficient");
        if (r->err == WEIR_OK) {
            enum model_type type = pmml_slot_info(r, slot)->type;
            categorical[table->categorical_count++] = (struct model_categorical_predictor){
                slot, pmml_value(r, e, type, value), coefficient};
        }
    } else if (pmml_is(e, "PredictorTerm")) {
        read_term(r, e, &terms[table->term_count++]);
    } else {
        pmml_unsupported(r, e);
    }
}

static void read_table(struct pmml_reader *r, const struct pmml_element *e,
                       struct model_regression_table *table)
{
    struct model_numeric_predictor *numeric =
        model_alloc(&r->b, pmml_count(e, "NumericPredictor"), sizeof *numeric);
    struct model_categorical_predictor *categorical =
        model_alloc(&r->b, pmml_count(e, "CategoricalPredictor"), sizeof *categorical);
    struct model_predictor_term *terms =
        model_alloc(&r->b, pmml_count(e, "PredictorTerm"), sizeof *terms);
    table->intercept = pmml_required_number(r, e, "intercept");
    if (r->target->classes != NULL) {
        table->class_index = pmml_class(r, e, pmml_required(r, e, "targetCategory"));
    }
    for (const struct pmml_element *c = e->first; c != NULL && pmml_ok(r, c); c = c->next) {
        read_predictor(r, c, table, numeric, categorical, terms);
    }
    table->numeric = numeric;
    table->categorical = categorical;
    table->terms = terms;
}

/* One table for a number; two or more, one a class, for a classification. */
static void check_tables(struct pmml_reader *r, const struct pmml_element *e,
                         const struct model_regression *m)
{
    if (r->target->classes == NULL) {
        if (m->table_count != 1) {
            pmml_fail(r, e, WEIR_INVALID, "needs one RegressionTable");
        } else if (m->normalization == MODEL_NORMALIZATION_SIMPLEMAX) {
            pmml_fail(r, e, WEIR_INVALID, "can't normalize one number by simplemax");
        }
        return;
    }
    if (m->table_count < 2) {
        pmml_fail(r, e, WEIR_INVALID, "needs two RegressionTables or more");
    } else if (m->normalization == MODEL_NORMALIZATION_EXP) {
        pmml_fail(r, e, WEIR_INVALID, "can't normalize a classification by exp");
    }
    for (uint32_t i = 0; i < m->table_count; i++) {
        for (uint32_t k = 0; k < i; k++) {
            if (m->tables[i].class_index == m->tables[k].class_index) {
                pmml_fail(r, e, WEIR_INVALID, "has two RegressionTables for one class");
            }
        }
    }
}

struct model_element *pmml_read_regression(struct pmml_reader *r, const struct pmml_element *e)
{
    struct model_regression *m = model_alloc(&r->b, 1, sizeof *m);
    struct model_regression_table *tables =
        model_alloc(&r->b, pmml_count(e, "RegressionTable"), sizeof *tables);
    if (!pmml_ok(r, e)) {
        return NULL;
    }
    pmml_read_base(r, e, &model_regression_ops, &m->element);
    m->normalization =
        (enum model_normalization)pmml_choice(r, e, "normalizationMethod", normalization_names, 0);
    m->ordinal = r->target->optype == MODEL_ORDINAL;
    for (const struct pmml_element *c = e->first; c != NULL && r->err == WEIR_OK; c = c->next) {
        if (pmml_is(c, "RegressionTable")) {
            read_table(r, c, &tables[m->table_count++]);
        }
    }
    m->tables = tables;
    if (r->err == WEIR_OK) {
        check_tables(r, e, m);
    }
    size_t class_count = r->target->classes != NULL ? r->target->classes->count : 0;
    m->element.work = model_builder_work(&r->b, class_count + m->table_count);
    return &m->element;
}
