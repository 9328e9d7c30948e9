/* Scorecard. */
#include "model/pmml/reader.h"

/* What attributes inherit from their characteristic and the model. */
struct defaults {
    const char *reason;
    double baseline;
    bool has_baseline;
};

static void inherit(struct pmml_reader *r, const struct pmml_element *e, struct defaults *d)
{
    const char *reason = pmml_attribute(e, "reasonCode");
    d->reason = reason != NULL ? reason : d->reason;
    d->has_baseline |= pmml_attribute(e, "baselineScore") != NULL;
    d->baseline = pmml_number(r, e, "baselineScore", d->baseline);
}

static void read_attribute(struct pmml_reader *r, const struct pmml_element *e,
                           struct defaults defaults, bool use_reason_codes,
                           struct model_attribute *a)
{
    const struct pmml_element *complex = pmml_child(e, "ComplexPartialScore");
    inherit(r, e, &defaults);
    pmml_read_predicate_of(r, e, &a->predicate);
    if (complex != NULL) {
        struct model_expr *expr = model_alloc(&r->b, 1, sizeof *expr);
        if (pmml_ok(r, complex)) {
            pmml_read_derivation(r, complex, MODEL_DOUBLE, expr);
        }
        a->expr = expr;
    } else {
        a->partial_score = pmml_required_number(r, e, "partialScore");
    }
    a->baseline = defaults.baseline;
    if (!use_reason_codes) {
        return;
    }
    if (defaults.reason == NULL || !defaults.has_baseline) {
        pmml_fail(r, e, WEIR_INVALID, "has no %s, neither here nor in its characteristic%s",
                  defaults.reason == NULL ? "reasonCode" : "baselineScore",
                  defaults.reason == NULL ? "" : " or model");
        return;
    }
    a->reason = model_builder_symbol(&r->b, pmml_slice(defaults.reason));
}

static void read_characteristic(struct pmml_reader *r, const struct pmml_element *e,
                                struct defaults defaults, bool use_reason_codes,
                                struct model_characteristic *c)
{
    struct model_attribute *attributes = model_alloc(&r->b, e->child_count, sizeof *attributes);
    inherit(r, e, &defaults);
    for (const struct pmml_element *a = e->first; a != NULL && pmml_ok(r, a); a = a->next) {
        if (pmml_is(a, "Attribute")) {
            read_attribute(r, a, defaults, use_reason_codes, &attributes[c->attribute_count++]);
        } else {
            pmml_unsupported(r, a);
        }
    }
    c->attributes = attributes;
}

struct model_element *pmml_read_scorecard(struct pmml_reader *r, const struct pmml_element *e)
{
    static const char *const algorithms[] = {"pointsBelow", "pointsAbove", NULL};
    const struct pmml_element *list = pmml_child(e, "Characteristics");
    struct model_scorecard *s = model_alloc(&r->b, 1, sizeof *s);
    if (list == NULL || r->target->classes != NULL) {
        pmml_fail(r, e, WEIR_INVALID, "needs Characteristics and functionName=\"regression\"");
        return NULL;
    }
    struct model_characteristic *characteristics =
        model_alloc(&r->b, list->child_count, sizeof *characteristics);
    if (!pmml_ok(r, e)) {
        return NULL;
    }
    pmml_read_base(r, e, &model_scorecard_ops, &s->element);
    const char *use = pmml_attribute(e, "useReasonCodes");
    s->use_reason_codes = use == NULL || strcmp(use, "false") != 0;
    s->points_above = pmml_choice(r, e, "reasonCodeAlgorithm", algorithms, 0) == 1;
    s->initial_score = pmml_number(r, e, "initialScore", 0);
    struct defaults defaults = {NULL, 0, false};
    inherit(r, e, &defaults);
    for (const struct pmml_element *c = list->first; c != NULL && pmml_ok(r, c); c = c->next) {
        if (pmml_is(c, "Characteristic")) {
            read_characteristic(r, c, defaults, s->use_reason_codes,
                                &characteristics[s->characteristic_count++]);
        } else {
            pmml_unsupported(r, c);
        }
    }
    s->characteristics = characteristics;
    s->element.work = model_builder_work(&r->b, (size_t)2 * s->characteristic_count);
    return &s->element;
}
