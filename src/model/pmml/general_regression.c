/* GeneralRegressionModel. */
#include "model/pmml/reader.h"

static const char *const type_names[] = {"regression", "generalLinear",       "generalizedLinear",
                                         "logLinear",  "multinomialLogistic", NULL};
enum { LOG_LINEAR = 3, MULTINOMIAL = 4 };
enum { COMPARES_MAX = 1 << 30 }; /* of PCells with PPCells: seconds, not hours */

/* In the order of enum model_link. */
static const char *const link_names[] = {"identity", "log",       "logit",   "probit",
                                         "cloglog",  "loglog",    "cauchit", "logc",
                                         "negbin",   "oddspower", "power",   NULL};

/* What is known of a predictor while the matrices are read. */
static const struct pmml_element *find_predictor(const struct pmml_element *model, const char *list,
                                                 const char *name)
{
    const struct pmml_element *e = pmml_child(model, list);
    for (e = e != NULL ? e->first : NULL; e != NULL; e = e->next) {
        const char *given = pmml_attribute(e, "name");
        if (given != NULL && strcmp(given, name) == 0) {
            return e;
        }
    }
    return NULL;
}

static void read_ppcell(struct pmml_reader *r, const struct pmml_element *model,
                        const struct pmml_element *e, struct model_ppcell *cell)
{
    const char *name = pmml_required(r, e, "predictorName");
    const struct pmml_element *factor = find_predictor(model, "FactorList", name);
    const char *value = pmml_required(r, e, "value");
    cell->slot = pmml_slot(r, e, name);
    cell->factor = factor != NULL;
    if (pmml_attribute(e, "targetCategory") != NULL) {
        pmml_fail(r, e, WEIR_UNSUPPORTED, "has a targetCategory, which is not supported yet");
    } else if (factor != NULL && pmml_child(factor, "Matrix") != NULL) {
        pmml_unsupported(r, pmml_child(factor, "Matrix"));
    }
    if (r->err != WEIR_OK) {
        return;
    }
    enum model_type type = pmml_slot_info(r, cell->slot)->type;
    cell->value = pmml_value(r, e, cell->factor ? type : MODEL_DOUBLE, value);
}

static bool is_of_parameter(const struct pmml_element *cell, const char *parameter)
{
    const char *name = pmml_attribute(cell, "parameterName");
    return pmml_is(cell, "PPCell") && name != NULL && strcmp(name, parameter) == 0;
}

/* A PCell with the cells of the predictor-to-parameter matrix that are its parameter's. */
static void read_pcell(struct pmml_reader *r, const struct pmml_element *model,
                       const struct pmml_element *e, struct model_pcell *pcell)
{
    const struct pmml_element *matrix = pmml_child(model, "PPMatrix");
    const char *parameter = pmml_required(r, e, "parameterName");
    const char *category = pmml_attribute(e, "targetCategory");
    pcell->beta = pmml_required_number(r, e, "beta");
    pcell->class_index = UINT32_MAX;
    if (category != NULL && r->target->classes != NULL) {
        pcell->class_index = pmml_class(r, e, category);
    }
    uint32_t count = 0;
    const struct pmml_element *first = matrix != NULL ? matrix->first : NULL;
    for (const struct pmml_element *c = first; c != NULL; c = c->next) {
        count += is_of_parameter(c, parameter);
    }
    struct model_ppcell *cells = model_alloc(&r->b, count, sizeof *cells);
    for (const struct pmml_element *c = first; c != NULL && pmml_ok(r, c); c = c->next) {
        if (is_of_parameter(c, parameter)) {
            read_ppcell(r, model, c, &cells[pcell->cell_count++]);
        }
    }
    pcell->cells = cells;
}

static void read_pcells(struct pmml_reader *r, const struct pmml_element *model,
                        struct model_general_regression *g)
{
    const struct pmml_element *matrix = pmml_child(model, "ParamMatrix");
    if (matrix == NULL) {
        pmml_fail(r, model, WEIR_INVALID, "needs a ParamMatrix");
        return;
    }
    const struct pmml_element *cells = pmml_child(model, "PPMatrix");
    if (cells != NULL && (uint64_t)cells->child_count * matrix->child_count > COMPARES_MAX) {
        pmml_fail(r, matrix, WEIR_LIMIT, "and its PPMatrix are too large");
        return;
    }
    struct model_pcell *pcells = model_alloc(&r->b, matrix->child_count, sizeof *pcells);
    for (const struct pmml_element *c = matrix->first; c != NULL && pmml_ok(r, c); c = c->next) {
        if (!pmml_is(c, "PCell")) {
            pmml_unsupported(r, c);
        } else {
            read_pcell(r, model, c, &pcells[g->pcell_count++]);
        }
    }
    g->pcells = pcells;
}

/* A field or a constant: offsetVariable or offsetValue, trialsVariable or trialsValue. */
static bool read_variable(struct pmml_reader *r, const struct pmml_element *e, const char *variable,
                          uint32_t *slot)
{
    const char *name = pmml_attribute(e, variable);
    if (name == NULL) {
        return false;
    }
    *slot = pmml_slot(r, e, name);
    return true;
}

/* The reference class: named, or the last one, or of two the one that no PCell is for. */
static void read_reference(struct pmml_reader *r, const struct pmml_element *e,
                           struct model_general_regression *g)
{
    const char *reference = pmml_attribute(e, "targetReferenceCategory");
    uint32_t class_count = r->target->classes->count;
    if (!g->multinomial && class_count != 2) {
        pmml_fail(r, e, WEIR_UNSUPPORTED, "classifies into %u classes by a link, not into 2",
                  class_count);
        return;
    }
    g->reference_class = class_count - 1;
    if (reference != NULL) {
        g->reference_class = pmml_class(r, e, reference);
        return;
    }
    for (uint32_t c = 0; c < class_count; c++) {
        bool used = false;
        for (uint32_t i = 0; i < g->pcell_count; i++) {
            uint32_t index = g->pcells[i].class_index;
            used |= index == c || (index == UINT32_MAX && c + 1 < class_count);
        }
        if (!used) {
            g->reference_class = c;
            return;
        }
    }
}

struct model_element *pmml_read_general_regression(struct pmml_reader *r,
                                                   const struct pmml_element *e)
{
    struct model_general_regression *g = model_alloc(&r->b, 1, sizeof *g);
    pmml_required(r, e, "modelType");
    if (!pmml_ok(r, e)) {
        return NULL;
    }
    pmml_read_base(r, e, &model_general_regression_ops, &g->element);
    uint32_t type = pmml_choice(r, e, "modelType", type_names, 0);
    g->multinomial = type == MULTINOMIAL;
    uint32_t link = type == LOG_LINEAR ? MODEL_LINK_LOG : MODEL_LINK_IDENTITY;
    g->link = (enum model_link)pmml_choice(r, e, "linkFunction", link_names, link);
    g->link_parameter = pmml_number(r, e, "linkParameter", 0);
    g->dist_parameter = pmml_number(r, e, "distParameter", 0);
    g->has_offset_slot = read_variable(r, e, "offsetVariable", &g->offset_slot);
    g->has_trials_slot = read_variable(r, e, "trialsVariable", &g->trials_slot);
    g->offset = pmml_number(r, e, "offsetValue", 0);
    g->trials = pmml_number(r, e, "trialsValue", 1);
    if (r->err == WEIR_OK) {
        read_pcells(r, e, g);
    }
    if (r->target->classes != NULL) {
        if (r->err == WEIR_OK) {
            read_reference(r, e, g);
        }
        g->element.work = model_builder_work(&r->b, r->target->classes->count);
    } else if (g->multinomial) {
        pmml_fail(r, e, WEIR_INVALID, "is multinomialLogistic but no classification");
    }
    return &g->element;
}
