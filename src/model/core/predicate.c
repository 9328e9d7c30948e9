/* Three-valued predicates. Source: PMML 4.4, "Tree Models", tables of and, or, xor, surrogate. */
#include "model/core/form.h"

static bool is_in(const struct model_predicate *p, double value)
{
    uint32_t low = 0;
    uint32_t high = p->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (p->values[middle] < value) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < p->count && p->values[low] == value;
}

static enum model_truth test_and(const struct model_predicate *p, struct model_row *row)
{
    enum model_truth truth = MODEL_TRUE;
    for (uint32_t i = 0; i < p->count; i++) {
        enum model_truth part = model_predicate_test(&p->parts[i], row);
        if (part == MODEL_FALSE) {
            return MODEL_FALSE;
        }
        if (part == MODEL_UNKNOWN) {
            truth = MODEL_UNKNOWN;
        }
    }
    return truth;
}

static enum model_truth test_or(const struct model_predicate *p, struct model_row *row)
{
    enum model_truth truth = MODEL_FALSE;
    for (uint32_t i = 0; i < p->count; i++) {
        enum model_truth part = model_predicate_test(&p->parts[i], row);
        if (part == MODEL_TRUE) {
            return MODEL_TRUE;
        }
        if (part == MODEL_UNKNOWN) {
            truth = MODEL_UNKNOWN;
        }
    }
    return truth;
}

static enum model_truth test_xor(const struct model_predicate *p, struct model_row *row)
{
    bool odd = false;
    for (uint32_t i = 0; i < p->count; i++) {
        enum model_truth part = model_predicate_test(&p->parts[i], row);
        if (part == MODEL_UNKNOWN) {
            return MODEL_UNKNOWN;
        }
        odd ^= part == MODEL_TRUE;
    }
    return odd ? MODEL_TRUE : MODEL_FALSE;
}

/* The first part that is known; falling back on a later one counts as a missing level. */
static enum model_truth test_surrogate(const struct model_predicate *p, struct model_row *row)
{
    for (uint32_t i = 0; i < p->count; i++) {
        enum model_truth part = model_predicate_test(&p->parts[i], row);
        if (part != MODEL_UNKNOWN) {
            row->surrogates += i > 0;
            return part;
        }
    }
    return MODEL_UNKNOWN;
}

static enum model_truth test_value(const struct model_predicate *p, double value)
{
    bool truth = false;
    switch (p->kind) {
    case MODEL_PREDICATE_EQUAL:
        truth = value == p->value;
        break;
    case MODEL_PREDICATE_NOT_EQUAL:
        truth = value != p->value;
        break;
    case MODEL_PREDICATE_LESS:
        truth = value < p->value;
        break;
    case MODEL_PREDICATE_LESS_OR_EQUAL:
        truth = value <= p->value;
        break;
    case MODEL_PREDICATE_GREATER:
        truth = value > p->value;
        break;
    case MODEL_PREDICATE_GREATER_OR_EQUAL:
        truth = value >= p->value;
        break;
    case MODEL_PREDICATE_IS_IN:
        truth = is_in(p, value);
        break;
    default:
        truth = !is_in(p, value);
        break;
    }
    return truth ? MODEL_TRUE : MODEL_FALSE;
}

enum model_truth model_predicate_test(const struct model_predicate *p, struct model_row *row)
{
    switch (p->kind) {
    case MODEL_PREDICATE_TRUE:
        return MODEL_TRUE;
    case MODEL_PREDICATE_FALSE:
        return MODEL_FALSE;
    case MODEL_PREDICATE_AND:
        return test_and(p, row);
    case MODEL_PREDICATE_OR:
        return test_or(p, row);
    case MODEL_PREDICATE_XOR:
        return test_xor(p, row);
    case MODEL_PREDICATE_SURROGATE:
        return test_surrogate(p, row);
    default:
        break;
    }
    double value = model_slot_value(row, p->slot);
    bool missing = model_is_missing(value);
    if (p->kind == MODEL_PREDICATE_IS_MISSING) {
        return missing ? MODEL_TRUE : MODEL_FALSE;
    }
    if (p->kind == MODEL_PREDICATE_IS_NOT_MISSING) {
        return missing ? MODEL_FALSE : MODEL_TRUE;
    }
    return missing ? MODEL_UNKNOWN : test_value(p, value);
}
