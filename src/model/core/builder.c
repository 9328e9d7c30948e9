#include "model/core/builder.h"

#include "base/alloc.h"
#include "base/arena.h"
#include "model/core/function.h"
#include "model/core/plan.h"

enum weir_err model_builder_init(struct model_builder *b)
{
    *b = (struct model_builder){.err = WEIR_OK};
    b->model = weir_calloc(1, sizeof *b->model);
    struct weir_arena *arena = weir_calloc(1, sizeof *arena);
    if (b->model == NULL || arena == NULL) {
        weir_free(b->model);
        weir_free(arena);
        return WEIR_NOMEM;
    }
    weir_arena_init(arena, MODEL_BYTES_MAX);
    b->model->arena = arena;
    atomic_init(&b->model->refs, 1);
    return WEIR_OK;
}

void model_builder_release(struct model_builder *b)
{
    weir_free(b->slots);
    weir_free(b->inputs);
    weir_free(b->input_infos);
    if (b->model != NULL) {
        weir_model_unref(b->model);
    }
    *b = (struct model_builder){.err = WEIR_OK};
}

static void keep(struct model_builder *b, enum weir_err err)
{
    if (b->err == WEIR_OK) {
        b->err = err;
    }
}

void *model_alloc(struct model_builder *b, size_t count, size_t bytes)
{
    size_t total;
    void *memory = NULL;
    if (b->err != WEIR_OK) {
        return NULL;
    }
    if (!__builtin_mul_overflow(count, bytes, &total)) {
        memory = weir_arena_alloc(b->model->arena, total);
    }
    if (memory == NULL) {
        keep(b, weir_arena_full(b->model->arena) ? WEIR_LIMIT : WEIR_NOMEM);
        return NULL;
    }
    memset(memory, 0, total);
    return memory;
}

char *model_copy_text(struct model_builder *b, struct weir_slice text)
{
    char *copy = model_alloc(b, text.bytes + 1, 1);
    if (copy != NULL && text.bytes > 0) {
        memcpy(copy, text.data, text.bytes);
    }
    return copy;
}

double model_builder_symbol(struct model_builder *b, struct weir_slice text)
{
    uint32_t number = 0;
    enum weir_err err = model_symbols_add(&b->model->symbols, text, &number);
    if (err != WEIR_OK) {
        keep(b, err);
    }
    return number;
}

bool model_builder_value(struct model_builder *b, enum model_type type, struct weir_slice text,
                         double *value_out)
{
    if (type == MODEL_STRING) {
        *value_out = model_builder_symbol(b, text);
        return b->err == WEIR_OK;
    }
    return model_parse_value(type, text, value_out);
}

/* Makes room for one more in an array that doubles. */
static bool reserve(struct model_builder *b, void **array, uint32_t count, uint32_t *capacity,
                    size_t bytes)
{
    if (b->err != WEIR_OK) {
        return false;
    }
    if (count < *capacity) {
        return true;
    }
    uint32_t larger = *capacity > 0 ? *capacity * 2 : 16;
    if (count >= MODEL_SLOTS_MAX) {
        keep(b, WEIR_LIMIT);
        return false;
    }
    void *grown = weir_realloc(*array, larger * bytes);
    if (grown == NULL) {
        keep(b, WEIR_NOMEM);
        return false;
    }
    *array = grown;
    *capacity = larger;
    return true;
}

/* How deep the evaluation of an expression goes, slots included. */
static uint32_t depth_of(const struct model_builder *b, const struct model_expr *expr)
{
    uint32_t deepest = 0;
    if (expr->args == NULL) {
        return expr->kind == MODEL_EXPR_CONSTANT ? 0 : b->slots[expr->slot].depth + 1U;
    }
    for (uint32_t i = 0; i < expr->count; i++) {
        uint32_t depth = depth_of(b, &expr->args[i]);
        deepest = depth > deepest ? depth : deepest;
    }
    return deepest + 1;
}

uint32_t model_builder_slot(struct model_builder *b, const struct model_slot *slot)
{
    uint32_t index = b->model->slot_count;
    void *slots = b->slots;
    bool room = reserve(b, &slots, index, &b->slot_capacity, sizeof *b->slots);
    b->slots = slots;
    char *name = model_copy_text(b, weir_slice(slot->name, strlen(slot->name)));
    if (!room || name == NULL) {
        return 0;
    }
    struct model_slot *to = &b->slots[index];
    *to = *slot;
    to->name = name;
    to->depth = 0;
    if (to->expr != NULL) {
        uint32_t depth = depth_of(b, to->expr);
        if (depth > MODEL_SLOT_DEPTH_MAX) {
            keep(b, WEIR_LIMIT);
        }
        to->depth = (uint16_t)depth;
    }
    b->model->slot_count++;
    return index;
}

uint32_t model_builder_input(struct model_builder *b, const struct model_slot *slot,
                             const struct model_treatment *treatment)
{
    uint32_t index = b->model->input_count;
    uint32_t slot_index = model_builder_slot(b, slot);
    uint32_t capacity = b->input_capacity;
    void *inputs = b->inputs;
    void *infos = b->input_infos;
    bool room = reserve(b, &inputs, index, &capacity, sizeof *b->inputs);
    b->inputs = inputs;
    room = room && reserve(b, &infos, index, &b->input_capacity, sizeof *b->input_infos);
    b->input_infos = infos;
    if (!room || b->err != WEIR_OK) {
        return 0;
    }
    static const enum weir_type types[] = {
        [MODEL_STRING] = WEIR_STRING, [MODEL_INTEGER] = WEIR_INT64, [MODEL_FLOAT] = WEIR_FLOAT,
        [MODEL_DOUBLE] = WEIR_DOUBLE, [MODEL_BOOLEAN] = WEIR_INT64,
    };
    enum weir_type type = model_is_calendar(slot->type) ? WEIR_STRING : types[slot->type];
    b->inputs[index] = (struct model_input){slot_index, *treatment};
    b->input_infos[index] = (struct weir_model_input){
        .name = b->slots[slot_index].name,
        .type = type,
        .categorical = slot->optype != MODEL_CONTINUOUS,
        .required = treatment->missing_is_invalid,
    };
    b->model->input_count++;
    return slot_index;
}

uint32_t model_builder_work(struct model_builder *b, size_t count)
{
    uint32_t first = b->model->work_count;
    if (count > MODEL_WORK_MAX - first) {
        keep(b, WEIR_LIMIT);
        return 0;
    }
    b->model->work_count += (uint32_t)count;
    return first;
}

const struct model_classes *model_builder_classes(struct model_builder *b, enum model_type type,
                                                  const struct weir_slice *labels, uint32_t count)
{
    struct model_classes *classes = model_alloc(b, 1, sizeof *classes);
    struct weir_slice *copies = model_alloc(b, count, sizeof *copies);
    double *values = model_alloc(b, count, sizeof *values);
    if (values == NULL) {
        return NULL;
    }
    for (uint32_t i = 0; i < count && b->err == WEIR_OK; i++) {
        copies[i] = weir_slice(model_copy_text(b, labels[i]), labels[i].bytes);
        if (!model_builder_value(b, type, labels[i], &values[i])) {
            keep(b, WEIR_INVALID); /* a label that its field can't hold */
        }
    }
    *classes = (struct model_classes){count, copies, values};
    return b->err == WEIR_OK ? classes : NULL;
}

uint32_t model_classes_find(const struct model_builder *b, const struct model_classes *classes,
                            enum model_type type, struct weir_slice label)
{
    double value;
    if (type == MODEL_STRING) {
        value = (double)model_symbols_find(&b->model->symbols, label);
    } else if (!model_parse_value(type, label, &value)) {
        return UINT32_MAX;
    }
    for (uint32_t i = 0; i < classes->count; i++) {
        if (classes->values[i] == value) {
            return i;
        }
    }
    return UINT32_MAX;
}

bool model_builder_row(struct model_builder *b, struct model_row *row)
{
    b->model->slots = b->slots; /* until settle puts its own copy there */
    *row = (struct model_row){.model = b->model};
    row->values = weir_calloc(b->model->slot_count + (size_t)1, sizeof *row->values);
    row->computed = weir_calloc(b->model->slot_count + (size_t)1, sizeof *row->computed);
    row->work = weir_calloc(b->model->work_count + (size_t)1, sizeof *row->work);
    row->text = weir_calloc(MODEL_TEXT_MAX, 1);
    row->strings = weir_calloc(1, sizeof *row->strings);
    if (row->values == NULL || row->computed == NULL || row->work == NULL || row->text == NULL ||
        row->strings == NULL) {
        keep(b, WEIR_NOMEM);
        model_builder_row_free(row);
        return false;
    }
    return true;
}

void model_builder_row_free(struct model_row *row)
{
    if (row->strings != NULL) {
        model_symbols_release(row->strings);
    }
    weir_free(row->strings);
    weir_free(row->text);
    weir_free(row->work);
    weir_free(row->computed);
    weir_free(row->values);
}

/* Moves the growing arrays into the arena. */
static void settle(struct model_builder *b)
{
    struct weir_model *model = b->model;
    struct model_slot *slots = model_alloc(b, model->slot_count, sizeof *slots);
    struct model_input *inputs = model_alloc(b, model->input_count, sizeof *inputs);
    struct weir_model_input *infos = model_alloc(b, model->input_count, sizeof *infos);
    if (infos == NULL) {
        return;
    }
    if (model->slot_count > 0) {
        memcpy(slots, b->slots, model->slot_count * sizeof *slots);
    }
    if (model->input_count > 0) {
        memcpy(inputs, b->inputs, model->input_count * sizeof *inputs);
        memcpy(infos, b->input_infos, model->input_count * sizeof *infos);
    }
    model->slots = slots;
    model->inputs = inputs;
    model->info.inputs = infos;
    model->info.input_count = model->input_count;
}

static void describe(struct model_builder *b, const struct model_builder_info *given)
{
    struct weir_model_info *info = &b->model->info;
    struct weir_field *outputs = model_alloc(b, given->output_count, sizeof *outputs);
    info->format = given->format;
    info->algorithm = model_copy_text(b, weir_slice(given->algorithm, strlen(given->algorithm)));
    info->target = model_copy_text(b, weir_slice(given->target, strlen(given->target)));
    for (uint32_t i = 0; i < given->output_count && b->err == WEIR_OK; i++) {
        const char *name = given->outputs[i].name;
        outputs[i] = given->outputs[i];
        outputs[i].name = model_copy_text(b, weir_slice(name, strlen(name)));
    }
    info->outputs = outputs;
    info->output_count = given->output_count;
    info->function = b->model->root->function;
    const struct model_classes *classes = b->model->root->classes;
    info->class_count = classes != NULL ? classes->count : 0;
    info->classes = classes != NULL ? classes->labels : NULL;
}

enum weir_err model_builder_finish(struct model_builder *b, const struct model_builder_info *info,
                                   struct weir_model **model_out, struct weir_error *error)
{
    settle(b);
    if (b->err == WEIR_OK) {
        describe(b, info);
    }
    if (b->err == WEIR_OK) {
        keep(b, model_plan_choose(b->model));
    }
    if (b->err != WEIR_OK) {
        return weir_error_set(error, b->err, -1, "the model can't be compiled: %s",
                              weir_err_text(b->err));
    }
    struct weir_model *model = b->model;
    model->info.bytes = sizeof *model + model->arena->bytes_taken;
    b->model = NULL;
    model_builder_release(b);
    *model_out = model;
    return WEIR_OK;
}
