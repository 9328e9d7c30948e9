/* Sources that need nothing but demand or a timer. */
#include <string.h>

#include "flow/inside.h"

/* A further owner for an element that the graph keeps; false: the stage has failed. */
static bool own(struct weir_flow_stage *stage, void *element, void **out)
{
    const struct weir_flow_kind *kind = weir_flow_out_kind(stage, 0);
    struct weir_error error;

    *out = kind != NULL ? kind->share(element) : element;
    if (*out != NULL)
        return true;
    weir_error_set(&error, WEIR_NOMEM, -1, "stage %s: no memory to share an element",
                   stage->ops->name);
    weir_flow_fail_stage(stage, &error);
    return false;
}

static bool can_share(struct weir_flow_graph *graph, const struct weir_flow_kind *kind)
{
    if (kind == NULL || kind->share != NULL)
        return true;
    weir_flow_graph_fail(graph, WEIR_INVALID,
                         "flow: elements that a graph keeps need a kind with share");
    return false;
}

/* ---- array ----------------------------------------------------------------------------------- */

struct array_config {
    void *const *elements;
    uint32_t count;
};

struct array_self {
    uint32_t next;
};

static void array_start(void *self, struct weir_flow_stage *stage)
{
    const struct array_config *config = stage->config;

    (void)self;
    if (config->count == 0)
        weir_flow_complete(stage, 0);
}

static void array_pull(void *self, struct weir_flow_stage *stage, uint32_t outlet)
{
    struct array_self *array = self;
    const struct array_config *config = stage->config;
    void *element;

    if (!own(stage, config->elements[array->next], &element))
        return;
    flow_push(stage, outlet, element);
    if (++array->next == config->count)
        weir_flow_complete(stage, outlet);
}

static const struct weir_flow_stage_ops array_ops = {
    .abi = WEIR_FLOW_STAGE_ABI,
    .name = "array",
    .self_bytes = sizeof(struct array_self),
    .start = array_start,
    .on_pull = array_pull,
};

struct weir_flow_outlet weir_flow_from_array(struct weir_flow_graph *graph, void *const *elements,
                                             uint32_t count, const struct weir_flow_kind *kind)
{
    void **copy = weir_arena_calloc(&graph->arena, count, sizeof *copy);
    const struct array_config config = {copy, count};

    if (!can_share(graph, kind))
        return flow_no_outlet(graph);
    if (copy == NULL) {
        weir_flow_graph_fail(graph, WEIR_NOMEM, "flow: no memory for an array of elements");
        return flow_no_outlet(graph);
    }
    if (count > 0)
        memcpy(copy, elements, count * sizeof *copy);
    return flow_add_source(graph, &array_ops, &config, sizeof config, kind);
}

struct weir_flow_outlet weir_flow_single(struct weir_flow_graph *graph, void *element,
                                         const struct weir_flow_kind *kind)
{
    return weir_flow_from_array(graph, &element, 1, kind);
}

struct weir_flow_outlet weir_flow_empty(struct weir_flow_graph *graph)
{
    return weir_flow_from_array(graph, NULL, 0, NULL);
}

/* ---- failed ---------------------------------------------------------------------------------- */

static void failed_start(void *self, struct weir_flow_stage *stage)
{
    (void)self;
    weir_flow_fail_stage(stage, stage->config);
}

static void no_pull(void *self, struct weir_flow_stage *stage, uint32_t outlet)
{
    (void)self;
    (void)stage;
    (void)outlet;
}

static const struct weir_flow_stage_ops failed_ops = {
    .abi = WEIR_FLOW_STAGE_ABI,
    .name = "failed",
    .start = failed_start,
    .on_pull = no_pull,
};

struct weir_flow_outlet weir_flow_failed(struct weir_flow_graph *graph, enum weir_err code,
                                         const char *message)
{
    struct weir_error error;

    weir_error_set(&error, code, -1, "%s", message);
    return flow_add_source(graph, &failed_ops, &error, sizeof error, NULL);
}

/* ---- repeat ---------------------------------------------------------------------------------- */

struct element_config {
    void *element;
    int64_t initial_ms, period_ms;
};

static void repeat_pull(void *self, struct weir_flow_stage *stage, uint32_t outlet)
{
    const struct element_config *config = stage->config;
    void *element;

    (void)self;
    if (own(stage, config->element, &element))
        flow_push(stage, outlet, element);
}

static const struct weir_flow_stage_ops repeat_ops = {
    .abi = WEIR_FLOW_STAGE_ABI,
    .name = "repeat",
    .on_pull = repeat_pull,
};

struct weir_flow_outlet weir_flow_repeat(struct weir_flow_graph *graph, void *element,
                                         const struct weir_flow_kind *kind)
{
    const struct element_config config = {.element = element};

    if (!can_share(graph, kind))
        return flow_no_outlet(graph);
    return flow_add_source(graph, &repeat_ops, &config, sizeof config, kind);
}

/* ---- tick ------------------------------------------------------------------------------------ */

static void tick_start(void *self, struct weir_flow_stage *stage)
{
    const struct element_config *config = stage->config;

    (void)self;
    weir_flow_timer_start(stage, 0, config->initial_ms, config->period_ms);
}

static void tick_timer(void *self, struct weir_flow_stage *stage, uint32_t timer)
{
    (void)timer;
    if (weir_flow_out_is_available(stage, 0))
        repeat_pull(self, stage, 0);
}

static const struct weir_flow_stage_ops tick_ops = {
    .abi = WEIR_FLOW_STAGE_ABI,
    .name = "tick",
    .timer_count = 1,
    .start = tick_start,
    .on_pull = no_pull,
    .on_timer = tick_timer,
};

struct weir_flow_outlet weir_flow_tick(struct weir_flow_graph *graph, int64_t initial_ms,
                                       int64_t period_ms, void *element,
                                       const struct weir_flow_kind *kind)
{
    const struct element_config config = {element, initial_ms, period_ms};

    if (!can_share(graph, kind))
        return flow_no_outlet(graph);
    if (initial_ms < 0 || period_ms <= 0) {
        weir_flow_graph_fail(graph, WEIR_INVALID, "flow: tick needs a period above 0");
        return flow_no_outlet(graph);
    }
    return flow_add_source(graph, &tick_ops, &config, sizeof config, kind);
}

/* ---- unfold ---------------------------------------------------------------------------------- */

struct unfold_self {
    void *state;
};

static enum weir_err unfold_init(void *self, struct weir_flow_stage *stage,
                                 struct weir_error *error)
{
    struct unfold_self *unfold = self;
    const struct weir_flow_unfold *config = stage->config;

    return config->open != NULL ? config->open(config->opaque, &unfold->state, error) : WEIR_OK;
}

static void unfold_release(void *self, struct weir_flow_stage *stage)
{
    struct unfold_self *unfold = self;
    const struct weir_flow_unfold *config = stage->config;

    if (config->close != NULL)
        config->close(config->opaque, unfold->state);
}

static void unfold_pull(void *self, struct weir_flow_stage *stage, uint32_t outlet)
{
    struct unfold_self *unfold = self;
    const struct weir_flow_unfold *config = stage->config;
    struct weir_error error;
    enum weir_err err;
    void *element;

    error.code = WEIR_OK;
    err = config->next(config->opaque, unfold->state, &element, &error);
    if (err == WEIR_OK) {
        flow_push(stage, outlet, element);
        return;
    }
    if (err == WEIR_END) {
        weir_flow_complete(stage, outlet);
        return;
    }
    if (error.code != err)
        weir_error_set(&error, err, -1, "stage unfold: %s", weir_err_text(err));
    weir_flow_fail_stage(stage, &error);
}

static const struct weir_flow_stage_ops unfold_ops = {
    .abi = WEIR_FLOW_STAGE_ABI,
    .name = "unfold",
    .self_bytes = sizeof(struct unfold_self),
    .init = unfold_init,
    .release = unfold_release,
    .on_pull = unfold_pull,
};

struct weir_flow_outlet weir_flow_unfold(struct weir_flow_graph *graph,
                                         const struct weir_flow_unfold *unfold,
                                         const struct weir_flow_kind *kind)
{
    return flow_add_source(graph, &unfold_ops, unfold, sizeof *unfold, kind);
}
