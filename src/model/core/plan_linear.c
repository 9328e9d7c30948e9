/* Which models are a linear sum of their inputs. */
#include "base/arena.h"
#include "model/core/kernels.h"

/* A plan with room for count terms, in the model's arena. */
static struct linear_plan *new_plan(struct weir_model *model, uint32_t count, uint32_t **inputs,
                                    double **coefficients)
{
    struct linear_plan *p = weir_arena_calloc(model->arena, 1, sizeof *p);
    *inputs = weir_arena_calloc(model->arena, count, sizeof **inputs);
    *coefficients = weir_arena_calloc(model->arena, count, sizeof **coefficients);
    if (p == NULL || *inputs == NULL || *coefficients == NULL) {
        return NULL;
    }
    *p = (struct linear_plan){
        .plan = {.run = KERNEL_VERSIONS(linear_run), .nan_spreads = true},
        .term_count = count,
        .inputs = *inputs,
        .coefficients = *coefficients,
    };
    return p;
}

/* A NaN shows in the sum only if its input takes part in it. */
static bool uses_all_inputs(const struct weir_model *model, const struct linear_plan *p)
{
    for (uint32_t i = 0; i < model->input_count; i++) {
        bool used = false;
        for (uint32_t t = 0; t < p->term_count; t++) {
            used |= p->inputs[t] == i;
        }
        if (!used) {
            return false;
        }
    }
    return true;
}

static enum weir_err from_regression(struct weir_model *model, const struct model_regression *r,
                                     const struct model_plan **plan_out)
{
    const struct model_regression_table *table = &r->tables[0];
    if (table->categorical_count > 0 || table->term_count > 0) {
        return WEIR_OK;
    }
    for (uint32_t i = 0; i < table->numeric_count; i++) {
        const struct model_numeric_predictor *n = &table->numeric[i];
        if (n->exponent != 1 || model_input_of_slot(model, n->slot) == UINT32_MAX) {
            return WEIR_OK;
        }
    }
    uint32_t *inputs;
    double *coefficients;
    struct linear_plan *p = new_plan(model, table->numeric_count, &inputs, &coefficients);
    if (p == NULL) {
        return WEIR_NOMEM;
    }
    p->start = table->intercept;
    p->link = r->normalization == MODEL_NORMALIZATION_SOFTMAX ? MODEL_NORMALIZATION_LOGIT
                                                              : r->normalization;
    for (uint32_t i = 0; i < table->numeric_count; i++) {
        inputs[i] = model_input_of_slot(model, table->numeric[i].slot);
        coefficients[i] = table->numeric[i].coefficient;
    }
    *plan_out = uses_all_inputs(model, p) ? &p->plan : NULL;
    return WEIR_OK;
}

/* The links that regressions know too. */
static bool link_of(enum model_link link, enum model_normalization *out)
{
    static const struct {
        enum model_link link;
        enum model_normalization normalization;
    } links[] = {
        {MODEL_LINK_IDENTITY, MODEL_NORMALIZATION_NONE},
        {MODEL_LINK_LOG, MODEL_NORMALIZATION_EXP},
        {MODEL_LINK_LOGIT, MODEL_NORMALIZATION_LOGIT},
        {MODEL_LINK_PROBIT, MODEL_NORMALIZATION_PROBIT},
        {MODEL_LINK_CLOGLOG, MODEL_NORMALIZATION_CLOGLOG},
        {MODEL_LINK_LOGLOG, MODEL_NORMALIZATION_LOGLOG},
        {MODEL_LINK_CAUCHIT, MODEL_NORMALIZATION_CAUCHIT},
    };
    for (size_t i = 0; i < sizeof links / sizeof links[0]; i++) {
        if (links[i].link == link) {
            *out = links[i].normalization;
            return true;
        }
    }
    return false;
}

/* An intercept (a parameter without cells) may only come first, then one covariate a parameter. */
static bool is_linear(const struct weir_model *model, const struct model_general_regression *g)
{
    for (uint32_t i = 0; i < g->pcell_count; i++) {
        const struct model_pcell *pcell = &g->pcells[i];
        if (pcell->cell_count == 0 && i == 0) {
            continue;
        }
        if (pcell->cell_count != 1 || pcell->cells[0].factor || pcell->cells[0].value != 1 ||
            model_input_of_slot(model, pcell->cells[0].slot) == UINT32_MAX) {
            return false;
        }
    }
    return g->pcell_count > 0 && g->cox == NULL && !g->has_offset_slot && !g->has_trials_slot &&
           g->offset == 0 && g->trials == 1;
}

static enum weir_err from_general(struct weir_model *model,
                                  const struct model_general_regression *g,
                                  const struct model_plan **plan_out)
{
    enum model_normalization link;
    if (!link_of(g->link, &link) || !is_linear(model, g)) {
        return WEIR_OK;
    }
    uint32_t *inputs;
    double *coefficients;
    bool intercept = g->pcells[0].cell_count == 0;
    uint32_t count = g->pcell_count - intercept;
    struct linear_plan *p = new_plan(model, count, &inputs, &coefficients);
    if (p == NULL) {
        return WEIR_NOMEM;
    }
    p->start = intercept ? g->pcells[0].beta : 0;
    p->link = link;
    for (uint32_t i = 0; i < count; i++) {
        const struct model_pcell *pcell = &g->pcells[i + intercept];
        inputs[i] = model_input_of_slot(model, pcell->cells[0].slot);
        coefficients[i] = pcell->beta;
    }
    *plan_out = uses_all_inputs(model, p) ? &p->plan : NULL;
    return WEIR_OK;
}

enum weir_err linear_plan_new(struct weir_model *model, const struct model_plan **plan_out)
{
    const struct model_element *root = model->root;
    *plan_out = NULL;
    if (root->classes != NULL) {
        return WEIR_OK;
    }
    if (root->ops == &model_regression_ops) {
        return from_regression(model, (const struct model_regression *)root, plan_out);
    }
    if (root->ops == &model_general_regression_ops) {
        return from_general(model, (const struct model_general_regression *)root, plan_out);
    }
    return WEIR_OK;
}
