/* BaselineModel: how far from its baseline a value is. Source: PMML 4.4, "Baseline Models". */
#include "model/core/elements.h"

static void score(const struct model_element *element, struct model_row *row,
                  struct model_result *result)
{
    const struct model_baseline_test *m = (const struct model_baseline_test *)element;
    double value = model_slot_value(row, m->slot);
    if (!model_is_missing(value)) {
        result->missing = false;
        result->number = (value - m->mean) / sqrt(m->variance);
    }
}

const struct model_element_ops model_baseline_ops = {"BaselineModel", score};
