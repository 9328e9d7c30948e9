/* MiningModel and its Segmentation. */
#include "model/pmml/reader.h"

static const char *const method_names[] = {
    "majorityVote", "weightedMajorityVote", "average",    "weightedAverage",
    "median",       "weightedMedian",       "max",        "sum",
    "weightedSum",  "selectFirst",          "modelChain", NULL};

static const char *const treatment_names[] = {"returnMissing", "skipSegment", "continue", NULL};

enum { ASKED_MAX = 1 << 24 }; /* OutputFields times segments, where one names a segment */

/* The Output of the MiningModel, if it asks for results of segments; or NULL. */
static const struct pmml_element *find_asking(struct pmml_reader *r,
                                              const struct pmml_element *segmentation)
{
    const struct pmml_element *output = pmml_child(segmentation->parent, "Output");
    bool asks = false;
    for (const struct pmml_element *e = output != NULL ? output->first : NULL; e != NULL;
         e = e->next) {
        asks |= pmml_attribute(e, "segmentId") != NULL;
    }
    if (asks && (uint64_t)output->child_count * segmentation->child_count > ASKED_MAX) {
        pmml_fail(r, output, WEIR_LIMIT, "asks too many segments for too much");
    }
    return asks ? output : NULL;
}

static void read_segment(struct pmml_reader *r, const struct pmml_element *e,
                         const struct pmml_asking *asking, struct model_segment *segment)
{
    const char *id = pmml_attribute(e, "id");
    if (id != NULL) {
        struct weir_slice text = pmml_slice(id);
        segment->id = weir_slice(model_copy_text(&r->b, text), text.bytes);
    }
    segment->weight = pmml_number(r, e, "weight", 1);
    pmml_read_predicate_of(r, e, &segment->predicate);
    for (const struct pmml_element *c = e->first; c != NULL && r->err == WEIR_OK; c = c->next) {
        if (pmml_is_model(c)) {
            r->asking = asking->output != NULL ? asking : NULL;
            segment->element = pmml_read_model(r, c, false);
            r->asking = NULL;
        } else if (pmml_is(c, "VariableWeight")) {
            segment->has_weight_slot = true;
            segment->weight_slot = pmml_slot(r, c, pmml_required(r, c, "field"));
        } else if (!pmml_is_predicate(c)) {
            pmml_unsupported(r, c);
        }
    }
    if (segment->element == NULL) {
        pmml_fail(r, e, WEIR_INVALID, "needs a model");
    }
}

/* Segments of one kind, which the method fits; a chain is what its last segments are. */
static void check_method(struct pmml_reader *r, const struct pmml_element *e,
                         const struct model_segmentation *s)
{
    bool classes = r->target->classes != NULL;
    bool number_only = s->method == MODEL_METHOD_SUM || s->method == MODEL_METHOD_WEIGHTED_SUM ||
                       s->method == MODEL_METHOD_WEIGHTED_MEDIAN;
    bool class_only =
        s->method == MODEL_METHOD_MAJORITY_VOTE || s->method == MODEL_METHOD_WEIGHTED_MAJORITY_VOTE;
    if ((classes && number_only) || (!classes && class_only)) {
        pmml_fail(r, e, WEIR_INVALID, "has a multipleModelMethod that its functionName can't have");
    }
    if (s->segment_count == 0) {
        pmml_fail(r, e, WEIR_INVALID, "needs a Segment");
    }
    bool chain = s->method == MODEL_METHOD_MODEL_CHAIN;
    for (uint32_t i = chain && s->segment_count > 0 ? s->segment_count - 1 : 0;
         i < s->segment_count && r->err == WEIR_OK; i++) {
        if (s->segments[i].element->classes != r->target->classes) {
            pmml_fail(r, e, WEIR_INVALID, "has a segment that predicts something else");
        }
    }
}

static void read_segmentation(struct pmml_reader *r, const struct pmml_element *e,
                              struct model_segmentation *s)
{
    pmml_required(r, e, "multipleModelMethod");
    s->method = (enum model_method)pmml_choice(r, e, "multipleModelMethod", method_names, 0);
    s->missing_prediction = (enum model_missing_prediction)pmml_choice(
        r, e, "missingPredictionTreatment", treatment_names, MODEL_PREDICTION_CONTINUE);
    s->missing_threshold = pmml_number(r, e, "missingThreshold", 1);
    const struct pmml_element *output = find_asking(r, e);
    struct model_segment *segments = model_alloc(&r->b, pmml_count(e, "Segment"), sizeof *segments);
    for (const struct pmml_element *c = e->first; c != NULL && pmml_ok(r, c); c = c->next) {
        if (pmml_is(c, "Segment")) {
            struct pmml_asking asking = {output, pmml_attribute(c, "id"), s->segment_count + 1};
            read_segment(r, c, &asking, &segments[s->segment_count++]);
        } else {
            pmml_unsupported(r, c);
        }
    }
    s->segments = segments;
    check_method(r, e, s);
    size_t class_count = r->target->classes != NULL ? r->target->classes->count : 0;
    size_t work = class_count;
    if (s->method == MODEL_METHOD_WEIGHTED_MEDIAN) {
        work += 2 * (size_t)s->segment_count;
    } else if (s->method == MODEL_METHOD_MEDIAN) {
        work += s->segment_count * (class_count > 0 ? class_count : 1);
    }
    s->element.work = model_builder_work(&r->b, work);
}

struct model_element *pmml_read_mining(struct pmml_reader *r, const struct pmml_element *e)
{
    struct model_segmentation *s = model_alloc(&r->b, 1, sizeof *s);
    const struct pmml_element *segmentation = pmml_child(e, "Segmentation");
    for (const struct pmml_element *c = e->first; c != NULL; c = c->next) {
        /* Model composition: models outside segments, tied together by ResultField. */
        if (pmml_is(c, "Regression") || pmml_is(c, "DecisionTree")) {
            pmml_unsupported(r, c);
        }
    }
    if (segmentation == NULL) {
        pmml_fail(r, e, WEIR_INVALID, "needs a Segmentation");
    }
    if (segmentation == NULL || !pmml_ok(r, e)) {
        return NULL;
    }
    pmml_read_base(r, e, &model_segmentation_ops, &s->element);
    read_segmentation(r, segmentation, s);
    return &s->element;
}
