/* GeneralRegressionModel. */
#include "model/pmml/reader.h"

static const char *const type_names[] = {
    "regression",          "generalLinear",      "generalizedLinear", "logLinear",
    "multinomialLogistic", "ordinalMultinomial", "CoxRegression",     NULL};
enum { LOG_LINEAR = 3, MULTINOMIAL = 4, ORDINAL = 5, COX = 6 };
enum { COMPARES_MAX = 1 << 30 }; /* of PCells with PPCells: seconds, not hours */

/* In the order of enum model_link. */
static const char *const link_names[] = {"identity", "log",       "logit",   "probit",
                                         "cloglog",  "loglog",    "cauchit", "logc",
                                         "negbin",   "oddspower", "power",   NULL};

static const char *const cumulative_names[] = {"logit",  "probit",  "cloglog",
                                               "loglog", "cauchit", NULL};
static const enum model_normalization cumulative_links[] = {
    MODEL_NORMALIZATION_LOGIT, MODEL_NORMALIZATION_PROBIT, MODEL_NORMALIZATION_CLOGLOG,
    MODEL_NORMALIZATION_LOGLOG, MODEL_NORMALIZATION_CAUCHIT};

/* A Predictor or Parameter of a list, by its name; or NULL. */
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

/* A factor with a contrast matrix: a row of numbers for each category. */
struct factor {
    const struct pmml_element *element;
    uint32_t category_count, column_count;
    double *categories;
    double *numbers; /* [category_count][column_count] */
};

/* What is read first. */
struct matrices {
    const struct pmml_element *model;
    uint32_t factor_count;
    struct factor *factors; /* those with a contrast matrix */
    bool takes_references;  /* CoxRegression */
};

static void read_matrix(struct pmml_reader *r, const struct pmml_element *matrix,
                        struct factor *factor)
{
    const char *kind = pmml_attribute(matrix, "kind");
    uint32_t row = 0;
    if (matrix->child_count != factor->category_count || matrix->first == NULL) {
        pmml_fail(r, matrix, WEIR_INVALID, "needs a row for each Category");
    } else if (kind != NULL && strcmp(kind, "any") != 0) {
        pmml_fail(r, matrix, WEIR_UNSUPPORTED, "has kind=\"%.20s\", which is not supported yet",
                  kind);
    }
    for (const struct pmml_element *e = matrix->first; e != NULL && r->err == WEIR_OK;
         e = e->next) {
        const struct weir_slice *words;
        uint32_t count = pmml_array(r, e, &words);
        if (row == 0) {
            factor->column_count = count;
            factor->numbers =
                pmml_scratch(r, (size_t)count * factor->category_count, sizeof(double));
        } else if (count != factor->column_count) {
            pmml_fail(r, e, WEIR_INVALID, "is not as long as the first row");
        }
        for (uint32_t i = 0; i < count && r->err == WEIR_OK; i++) {
            double *to = &factor->numbers[(size_t)row * count + i];
            if (!model_parse_value(MODEL_DOUBLE, words[i], to)) {
                pmml_fail(r, e, WEIR_INVALID, "holds a word that is no number");
            }
        }
        row++;
    }
}

static void read_factor(struct pmml_reader *r, const struct pmml_element *e, struct factor *factor)
{
    const struct pmml_element *names = pmml_child(e, "Categories");
    enum model_type type = pmml_field_expression(r, e, pmml_required(r, e, "name")).type;
    factor->element = e;
    if (names == NULL) {
        pmml_fail(r, e, WEIR_INVALID, "needs Categories for its Matrix");
        return;
    }
    factor->categories = model_alloc(&r->b, pmml_count(names, "Category"), sizeof(double));
    for (const struct pmml_element *c = names->first; c != NULL && pmml_ok(r, c); c = c->next) {
        if (pmml_is(c, "Category")) {
            factor->categories[factor->category_count++] =
                pmml_value(r, c, type, pmml_required(r, c, "value"));
        }
    }
    if (r->err == WEIR_OK) {
        read_matrix(r, pmml_child(e, "Matrix"), factor);
    }
}

static void read_factors(struct pmml_reader *r, struct matrices *m)
{
    const struct pmml_element *list = pmml_child(m->model, "FactorList");
    m->factors = pmml_scratch(r, list != NULL ? list->child_count : 0, sizeof *m->factors);
    for (const struct pmml_element *e = list != NULL ? list->first : NULL;
         e != NULL && pmml_ok(r, e); e = e->next) {
        if (pmml_child(e, "Matrix") != NULL) {
            read_factor(r, e, &m->factors[m->factor_count++]);
        }
    }
}

/* What each category of the factor is worth to a cell: the column of the cell's own category. */
static void take_contrasts(struct pmml_reader *r, const struct pmml_element *e,
                           const struct factor *factor, struct model_ppcell *cell)
{
    uint32_t column = 0;
    while (column < factor->category_count && factor->categories[column] != cell->value) {
        column++;
    }
    if (column >= factor->column_count || column == factor->category_count) {
        pmml_fail(r, e, WEIR_INVALID, "has a value without a column in its factor's Matrix");
        return;
    }
    double *contrasts = model_alloc(&r->b, factor->category_count, sizeof *contrasts);
    for (uint32_t i = 0; contrasts != NULL && i < factor->category_count; i++) {
        contrasts[i] = factor->numbers[(size_t)i * factor->column_count + column];
    }
    cell->category_count = factor->category_count;
    cell->categories = factor->categories;
    cell->contrasts = contrasts;
}

static void read_ppcell(struct pmml_reader *r, const struct matrices *m,
                        const struct pmml_element *e, struct model_ppcell *cell)
{
    const char *name = pmml_required(r, e, "predictorName");
    const struct pmml_element *factor = find_predictor(m->model, "FactorList", name);
    const char *value = pmml_required(r, e, "value");
    cell->slot = pmml_slot(r, e, name);
    cell->factor = factor != NULL;
    if (pmml_attribute(e, "targetCategory") != NULL) {
        pmml_fail(r, e, WEIR_UNSUPPORTED, "has a targetCategory, which is not supported yet");
    }
    if (r->err != WEIR_OK) {
        return;
    }
    enum model_type type = pmml_slot_info(r, cell->slot)->type;
    cell->value = pmml_value(r, e, cell->factor ? type : MODEL_DOUBLE, value);
    for (uint32_t i = 0; i < m->factor_count; i++) {
        if (m->factors[i].element == factor) {
            take_contrasts(r, e, &m->factors[i], cell);
        }
    }
}

static bool is_of_parameter(const struct pmml_element *cell, const char *parameter)
{
    const char *name = pmml_attribute(cell, "parameterName");
    return pmml_is(cell, "PPCell") && name != NULL && strcmp(name, parameter) == 0;
}

/* A PCell with the cells of the predictor-to-parameter matrix that are its parameter's. */
static void read_pcell(struct pmml_reader *r, const struct matrices *m,
                       const struct pmml_element *e, struct model_pcell *pcell)
{
    const struct pmml_element *matrix = pmml_child(m->model, "PPMatrix");
    const char *parameter = pmml_required(r, e, "parameterName");
    const char *category = pmml_attribute(e, "targetCategory");
    pcell->beta = pmml_required_number(r, e, "beta");
    pcell->class_index = UINT32_MAX;
    if (m->takes_references) {
        const struct pmml_element *named = find_predictor(m->model, "ParameterList", parameter);
        pcell->reference = named != NULL ? pmml_number(r, named, "referencePoint", 0) : 0;
    }
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
            read_ppcell(r, m, c, &cells[pcell->cell_count++]);
        }
    }
    pcell->cells = cells;
}

static void read_pcells(struct pmml_reader *r, const struct pmml_element *model,
                        struct model_general_regression *g)
{
    struct matrices m = {.model = model, .takes_references = g->cox != NULL};
    read_factors(r, &m);
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
            read_pcell(r, &m, c, &pcells[g->pcell_count++]);
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
    if (g->ordinal) {
        g->reference_class = class_count - 1; /* which the others leave over */
        return;
    }
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

/* ---- CoxRegression --------------------------------------------------------------------------- */

static void read_baseline(struct pmml_reader *r, const struct pmml_element *e,
                          struct model_baseline *baseline)
{
    uint32_t count = pmml_count(e, "BaselineCell");
    double *times = model_alloc(&r->b, count, sizeof *times);
    double *hazards = model_alloc(&r->b, count, sizeof *hazards);
    baseline->time_max = pmml_required_number(r, e, "maxTime");
    for (const struct pmml_element *c = e->first; c != NULL && pmml_ok(r, c); c = c->next) {
        if (!pmml_is(c, "BaselineCell")) {
            continue;
        }
        uint32_t i = baseline->cell_count++;
        times[i] = pmml_required_number(r, c, "time");
        hazards[i] = pmml_required_number(r, c, "cumHazard");
        if (i > 0 && !(times[i] > times[i - 1])) {
            pmml_fail(r, c, WEIR_INVALID, "is not in ascending order of time");
        }
    }
    baseline->times = times;
    baseline->hazards = hazards;
}

static const struct model_cox *read_cox(struct pmml_reader *r, const struct pmml_element *e)
{
    const struct pmml_element *tables = pmml_child(e, "BaseCumHazardTables");
    const char *strata = pmml_attribute(e, "baselineStrataVariable");
    struct model_cox *cox = model_alloc(&r->b, 1, sizeof *cox);
    if (tables == NULL) {
        pmml_fail(r, e, WEIR_INVALID, "needs BaseCumHazardTables");
    }
    if (tables == NULL || !pmml_ok(r, e)) {
        return NULL;
    }
    uint32_t count = strata != NULL ? pmml_count(tables, "BaselineStratum") : 1;
    struct model_baseline *baselines = model_alloc(&r->b, count, sizeof *baselines);
    cox->time_slot = pmml_slot(r, e, pmml_required(r, e, "endTimeVariable"));
    cox->has_strata = strata != NULL;
    cox->stratum_slot = strata != NULL ? pmml_slot(r, e, strata) : 0;
    if (strata == NULL && pmml_ok(r, tables)) {
        read_baseline(r, tables, &baselines[cox->baseline_count++]);
    }
    for (const struct pmml_element *c = tables->first; strata != NULL && c != NULL && pmml_ok(r, c);
         c = c->next) {
        if (pmml_is(c, "BaselineStratum")) {
            struct model_baseline *baseline = &baselines[cox->baseline_count++];
            enum model_type type = pmml_slot_info(r, cox->stratum_slot)->type;
            baseline->stratum = pmml_value(r, c, type, pmml_required(r, c, "value"));
            read_baseline(r, c, baseline);
        }
    }
    cox->baselines = baselines;
    return cox;
}

/* ---- the model ------------------------------------------------------------------------------- */

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
    g->ordinal = type == ORDINAL;
    g->cumulative_link = cumulative_links[pmml_choice(r, e, "cumulativeLink", cumulative_names, 0)];
    g->cox = type == COX && r->err == WEIR_OK ? read_cox(r, e) : NULL;
    if (r->err == WEIR_OK) {
        read_pcells(r, e, g);
    }
    if (r->target->classes != NULL) {
        if (r->err == WEIR_OK) {
            read_reference(r, e, g);
        }
        g->element.work = model_builder_work(&r->b, r->target->classes->count);
    }
    bool classifies = g->multinomial || g->ordinal;
    if (classifies != (r->target->classes != NULL) && (classifies || type == COX)) {
        pmml_fail(r, e, WEIR_INVALID, "has a functionName that its modelType can't have");
    }
    return &g->element;
}
