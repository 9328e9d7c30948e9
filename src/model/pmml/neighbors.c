/* NearestNeighborModel: its training instances become a table of what its inputs compare. */
#include "model/pmml/reader.h"

#include <stdio.h>

enum { CELLS_MAX = 1 << 26, NEIGHBORS_MAX = 1 << 16 };

const char *pmml_instance_column(const struct pmml_element *model, const char *field)
{
    const struct pmml_element *training = pmml_child(model, "TrainingInstances");
    const struct pmml_element *fields =
        training != NULL ? pmml_child(training, "InstanceFields") : NULL;
    for (const struct pmml_element *e = fields != NULL ? fields->first : NULL; e != NULL;
         e = e->next) {
        const char *name = pmml_attribute(e, "field");
        if (name != NULL && strcmp(name, field) == 0) {
            const char *column = pmml_attribute(e, "column");
            return column != NULL ? column : name;
        }
    }
    return NULL;
}

struct pmml_training pmml_find_training(struct pmml_reader *r, const struct pmml_element *e)
{
    struct pmml_training t = {.table = NULL};
    const struct pmml_element *instances = pmml_child(e, "TrainingInstances");
    if (instances == NULL) {
        pmml_fail(r, e, WEIR_INVALID, "needs TrainingInstances");
        return t;
    }
    const char *transformed = pmml_attribute(instances, "isTransformed");
    t.is_transformed = transformed != NULL && strcmp(transformed, "true") == 0;
    t.fields = pmml_child(instances, "InstanceFields");
    t.table = pmml_child(instances, "InlineTable");
    if (t.fields == NULL) {
        pmml_fail(r, instances, WEIR_INVALID, "needs InstanceFields");
    } else if (t.table == NULL) {
        pmml_fail(r, instances, WEIR_UNSUPPORTED,
                  "has no InlineTable, and no other table is supported");
    } else {
        t.count = pmml_count(t.table, "row");
    }
    if (r->err == WEIR_OK && t.count == 0) {
        pmml_fail(r, t.table, WEIR_INVALID, "needs a row");
    }
    return t;
}

void pmml_read_training(struct pmml_reader *r, const struct pmml_training *t, const char *column,
                        enum model_type type, double *values, uint32_t step)
{
    for (const struct pmml_element *e = t->table->first; e != NULL && pmml_ok(r, e); e = e->next) {
        if (!pmml_is(e, "row")) {
            continue;
        }
        struct weir_slice text = pmml_cell_text(r, e, column);
        *values = model_missing();
        if (text.data != NULL && !model_builder_value(&r->b, type, text, values)) {
            pmml_fail(r, e, WEIR_INVALID, "has a \"%.60s\" that is no value of its field", column);
        }
        values += step;
    }
}

/* ---- inputs ---------------------------------------------------------------------------------- */

static void read_inputs(struct pmml_reader *r, const struct pmml_element *e,
                        struct model_comparison *comparison)
{
    const struct pmml_element *measure = pmml_child(e, "ComparisonMeasure");
    const struct pmml_element *inputs = pmml_child(e, "KNNInputs");
    if (measure == NULL || inputs == NULL || inputs->first == NULL) {
        pmml_fail(r, e, WEIR_INVALID, "needs a ComparisonMeasure and KNNInputs");
        return;
    }
    struct model_compared_field *fields = model_alloc(&r->b, inputs->child_count, sizeof *fields);
    enum model_compare fallback = pmml_read_measure(r, measure, comparison);
    for (const struct pmml_element *c = inputs->first; c != NULL && pmml_ok(r, c); c = c->next) {
        if (!pmml_is(c, "KNNInput")) {
            pmml_unsupported(r, c);
            return;
        }
        struct model_compared_field *field = &fields[comparison->field_count++];
        pmml_read_compared_field(r, c, fallback, field);
        bool by_equality =
            field->compare == MODEL_COMPARE_DELTA || field->compare == MODEL_COMPARE_EQUAL;
        if (r->err == WEIR_OK && field->expr.type == MODEL_STRING && !by_equality) {
            pmml_fail(r, c, WEIR_INVALID, "compares strings other than by delta or equal");
        }
    }
    comparison->fields = fields;
    comparison->missing_weight_sum = comparison->field_count;
}

/* Inputs that are no column of their own are derived from the columns, a row at a time. */
static void derive(struct pmml_reader *r, const struct pmml_element *e,
                   const struct pmml_training *t, const struct model_comparison *comparison,
                   const bool *given, double *instances)
{
    uint32_t *slots = pmml_scratch(r, t->fields->child_count, sizeof *slots);
    double *raw = pmml_scratch(r, (size_t)t->fields->child_count * t->count, sizeof *raw);
    uint32_t count = 0;
    for (const struct pmml_element *f = t->fields->first; f != NULL && pmml_ok(r, f); f = f->next) {
        const char *name = pmml_required(r, f, "field");
        if (pmml_find_field(r, name) != NULL && pmml_in_scope(r, name)) {
            slots[count] = pmml_slot(r, f, name);
            enum model_type type = pmml_slot_info(r, slots[count])->type;
            pmml_read_training(r, t, pmml_instance_column(e, name), type, raw + count++,
                               t->fields->child_count);
        }
    }
    struct model_row row;
    if (!pmml_ok(r, e) || !model_builder_row(&r->b, &row)) {
        return;
    }
    for (uint32_t i = 0; i < t->count; i++) {
        row.epoch++;
        row.status = WEIR_OK;
        for (uint32_t c = 0; c < count; c++) {
            row.values[slots[c]] = raw[(size_t)i * t->fields->child_count + c];
            row.computed[slots[c]] = row.epoch;
        }
        for (uint32_t f = 0; f < comparison->field_count; f++) {
            double value = given[f] ? 0 : model_expr_value(&comparison->fields[f].expr, &row);
            if (!given[f]) {
                instances[(size_t)i * comparison->field_count + f] =
                    row.status == WEIR_OK ? value : model_missing();
            }
        }
    }
    model_builder_row_free(&row);
}

static void read_instances(struct pmml_reader *r, const struct pmml_element *e,
                           const struct pmml_training *t, struct model_neighbors *m)
{
    uint32_t width = m->comparison.field_count;
    if (t->count > CELLS_MAX / width) {
        pmml_fail(r, t->table, WEIR_LIMIT, "has more than %d cells to compare", CELLS_MAX);
        return;
    }
    double *instances = model_alloc(&r->b, (size_t)t->count * width, sizeof *instances);
    bool *given = pmml_scratch(r, width, sizeof *given);
    bool all = true;
    for (uint32_t i = 0; i < width && pmml_ok(r, e); i++) {
        const struct model_expr *expr = &m->comparison.fields[i].expr;
        const struct model_slot *slot = pmml_slot_info(r, expr->slot);
        const char *column = pmml_instance_column(e, slot->name);
        given[i] = column != NULL;
        if (column != NULL) {
            pmml_read_training(r, t, column, slot->type, instances + i, width);
        } else if (t->is_transformed) {
            pmml_fail(r, e, WEIR_INVALID, "has no column for its input \"%.60s\"", slot->name);
        } else if (slot->type == MODEL_STRING) {
            pmml_fail(r, e, WEIR_UNSUPPORTED, "derives strings (\"%.60s\") to compare", slot->name);
        }
        all = all && given[i];
    }
    if (!all && r->err == WEIR_OK) {
        derive(r, e, t, &m->comparison, given, instances);
    }
    m->instances = instances;
    m->instance_count = t->count;
}

/* By instanceIdVariable, else their places from 1. */
static void read_ids(struct pmml_reader *r, const struct pmml_element *e,
                     const struct pmml_training *t, struct model_neighbors *m)
{
    const char *variable = pmml_attribute(e, "instanceIdVariable");
    const char *column = variable != NULL ? pmml_instance_column(e, variable) : NULL;
    struct weir_slice *ids = model_alloc(&r->b, t->count, sizeof *ids);
    uint32_t count = 0;
    if (variable != NULL && column == NULL) {
        pmml_fail(r, e, WEIR_INVALID, "has an instanceIdVariable that is no InstanceField");
    }
    for (const struct pmml_element *c = t->table->first; c != NULL && pmml_ok(r, c); c = c->next) {
        char place[sizeof "4294967295"];
        snprintf(place, sizeof place, "%u", count + 1);
        if (pmml_is(c, "row")) {
            struct weir_slice text =
                column != NULL ? pmml_cell_text(r, c, column) : pmml_slice(place);
            text = text.data != NULL ? text : weir_slice("", 0);
            ids[count++] = weir_slice(model_copy_text(&r->b, text), text.bytes);
        }
    }
    m->ids = ids;
}

/* ---- targets --------------------------------------------------------------------------------- */

static enum model_neighbor_vote read_vote(struct pmml_reader *r, const struct pmml_element *e,
                                          bool is_class, bool similarity)
{
    static const char *const numbers[] = {"average", "weightedAverage", "median", NULL};
    static const char *const classes[] = {"majorityVote", "weightedMajorityVote", NULL};
    enum model_neighbor_vote vote = (enum model_neighbor_vote)pmml_choice(
        r, e, is_class ? "categoricalScoringMethod" : "continuousScoringMethod",
        is_class ? classes : numbers, MODEL_VOTE_PLAIN);
    if (vote == MODEL_VOTE_WEIGHTED && similarity) {
        pmml_fail(r, e, WEIR_UNSUPPORTED, "weighs votes by similarity; only distances weigh");
    }
    return vote;
}

static void read_classes(struct pmml_reader *r, const struct pmml_element *e,
                         const struct pmml_training *t, const struct pmml_target *named,
                         struct model_neighbor_target *target)
{
    const struct model_classes *classes = target->classes;
    const char *column = pmml_instance_column(e, named->name);
    double *values = model_alloc(&r->b, t->count, sizeof *values);
    double *cases = model_alloc(&r->b, classes != NULL ? classes->count : 0, sizeof *cases);
    if (column == NULL) {
        pmml_fail(r, e, WEIR_INVALID, "has no column for its target \"%.60s\"", named->name);
    }
    if (!pmml_ok(r, e)) {
        return;
    }
    pmml_read_training(r, t, column, named->type, values, 1);
    for (uint32_t i = 0; classes != NULL && i < t->count && r->err == WEIR_OK; i++) {
        uint32_t index = 0;
        while (index < classes->count && classes->values[index] != values[i]) {
            index++;
        }
        if (index < classes->count) {
            values[i] = index;
            cases[index]++;
        } else if (!model_is_missing(values[i])) {
            pmml_fail(r, t->table, WEIR_INVALID, "holds a value that is no class of \"%.60s\"",
                      named->name);
        }
    }
    target->values = values;
    target->cases = cases;
}

/* One more target than the model's own: its value is a field to the Output. */
static void open_target(struct pmml_reader *r, const struct pmml_element *e,
                        const struct pmml_element *mining, struct pmml_target *named,
                        struct model_neighbor_target *target)
{
    *named = (struct pmml_target){.name = pmml_required(r, mining, "name"), .type = MODEL_STRING};
    const struct pmml_field *field = pmml_find_field(r, named->name);
    if (field != NULL) {
        named->type = field->type;
        named->optype = field->optype;
    }
    if (r->err == WEIR_OK && named->optype != MODEL_CONTINUOUS) {
        target->classes = pmml_read_classes(r, e, named);
    }
    struct model_slot slot = {.name = named->name, .type = named->type, .optype = named->optype};
    target->slot = model_builder_slot(&r->b, &slot);
    pmml_scope_add(r, named->name, target->slot);
}

static void read_targets(struct pmml_reader *r, const struct pmml_element *e,
                         const struct pmml_training *t, struct model_neighbors *m)
{
    const struct pmml_element *schema = pmml_child(e, "MiningSchema");
    const struct pmml_element *first = pmml_find_target(schema);
    struct model_neighbor_target *targets =
        model_alloc(&r->b, schema->child_count + 1, sizeof *targets);
    for (const struct pmml_element *c = first; c != NULL && pmml_ok(r, c); c = c->next) {
        const char *usage = pmml_attribute(c, "usageType");
        if (usage == NULL || (strcmp(usage, "target") != 0 && strcmp(usage, "predicted") != 0)) {
            continue;
        }
        struct model_neighbor_target *target = &targets[m->target_count++];
        struct pmml_target named = *r->target;
        target->classes = named.classes;
        if (c != first) {
            open_target(r, e, c, &named, target);
        }
        target->vote = read_vote(r, e, target->classes != NULL, m->comparison.similarity);
        read_classes(r, e, t, &named, target);
    }
    m->targets = targets;
    if (first == NULL) {
        pmml_fail(r, e, WEIR_UNSUPPORTED, "has no target");
    }
}

struct model_element *pmml_read_neighbors(struct pmml_reader *r, const struct pmml_element *e)
{
    struct model_neighbors *m = model_alloc(&r->b, 1, sizeof *m);
    struct pmml_training training = pmml_find_training(r, e);
    double wanted = pmml_required_number(r, e, "numberOfNeighbors");
    if (!(wanted >= 1 && wanted <= NEIGHBORS_MAX && wanted == floor(wanted))) {
        pmml_fail(r, e, WEIR_INVALID, "has a numberOfNeighbors that is none from 1 to %d",
                  NEIGHBORS_MAX);
    }
    if (!pmml_ok(r, e)) {
        return NULL;
    }
    pmml_read_base(r, e, &model_neighbors_ops, &m->element);
    m->neighbor_count = wanted < training.count ? (uint32_t)wanted : training.count;
    m->threshold = pmml_number(r, e, "threshold", 0.001);
    read_inputs(r, e, &m->comparison);
    if (r->err == WEIR_OK) {
        read_instances(r, e, &training, m);
        read_ids(r, e, &training, m);
    }
    if (r->err == WEIR_OK) {
        read_targets(r, e, &training, m);
    }
    size_t scratch = m->neighbor_count;
    for (uint32_t i = 0; r->err == WEIR_OK && i < m->target_count; i++) {
        const struct model_classes *classes = m->targets[i].classes;
        scratch = classes != NULL && classes->count > scratch ? classes->count : scratch;
    }
    m->element.work = model_builder_work(
        &r->b, m->comparison.field_count + (size_t)m->instance_count + m->neighbor_count + scratch);
    return &m->element;
}
