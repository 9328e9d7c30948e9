/* The test kit's two ends. They act from outside of handlers, which one thread makes safe. */
#include "flow/inside.h"

enum { PROBE_ELEMENTS_MAX = 4096 };

static void let_run(struct weir_flow_stage *stage)
{
    flow_island_wake(stage->island);
    weir_flow_materializer_run(stage->island->runnable.materializer);
}

/* ---- source ---------------------------------------------------------------------------------- */

struct weir_flow_source_probe {
    struct weir_flow_stage *stage;
    enum weir_err cancelled;
};

static enum weir_err source_init(void *self, struct weir_flow_stage *stage,
                                 struct weir_error *error)
{
    struct weir_flow_source_probe *probe = self;

    if (flow_options(stage->island)->threads > 0)
        return weir_error_set(error, WEIR_INVALID, -1, "flow: probes need threads = 0");
    probe->stage = stage;
    weir_flow_stage_value_set(stage, probe);
    return WEIR_OK;
}

static void source_pull(void *self, struct weir_flow_stage *stage, uint32_t outlet)
{
    (void)self;
    (void)stage;
    (void)outlet;
}

static void source_cancelled(void *self, struct weir_flow_stage *stage, uint32_t outlet,
                             const struct weir_error *cause)
{
    struct weir_flow_source_probe *probe = self;

    (void)stage;
    (void)outlet;
    probe->cancelled = cause != NULL ? cause->code : WEIR_CLOSED;
}

static const struct weir_flow_stage_ops source_ops = {
    .abi = WEIR_FLOW_STAGE_ABI,
    .name = "probe_source",
    .self_bytes = sizeof(struct weir_flow_source_probe),
    .init = source_init,
    .on_pull = source_pull,
    .on_downstream_finish = source_cancelled,
};

struct weir_flow_outlet weir_flow_probe_source(struct weir_flow_graph *graph,
                                               const struct weir_flow_kind *kind)
{
    return flow_add_source(graph, &source_ops, NULL, 0, kind);
}

enum weir_err weir_flow_source_probe_next(struct weir_flow_source_probe *probe, void *element)
{
    let_run(probe->stage);
    if (weir_flow_out_is_closed(probe->stage, 0))
        return WEIR_CLOSED;
    if (!weir_flow_out_is_available(probe->stage, 0))
        return WEIR_AGAIN;
    weir_flow_push(probe->stage, 0, element);
    let_run(probe->stage);
    return WEIR_OK;
}

void weir_flow_source_probe_complete(struct weir_flow_source_probe *probe)
{
    let_run(probe->stage);
    weir_flow_complete(probe->stage, 0);
    let_run(probe->stage);
}

void weir_flow_source_probe_fail(struct weir_flow_source_probe *probe, enum weir_err code)
{
    struct weir_error error;

    weir_error_set(&error, code, -1, "failed by a probe");
    let_run(probe->stage);
    weir_flow_fail(probe->stage, 0, &error);
    let_run(probe->stage);
}

bool weir_flow_source_probe_has_demand(struct weir_flow_source_probe *probe)
{
    let_run(probe->stage);
    return weir_flow_out_is_available(probe->stage, 0);
}

enum weir_err weir_flow_source_probe_cancelled(struct weir_flow_source_probe *probe)
{
    let_run(probe->stage);
    return probe->cancelled;
}

/* ---- sink ------------------------------------------------------------------------------------ */

struct weir_flow_sink_probe {
    struct weir_flow_stage *stage;
    uint64_t wanted;
    uint32_t first, count;
    void *elements[PROBE_ELEMENTS_MAX];
};

static enum weir_err sink_init(void *self, struct weir_flow_stage *stage, struct weir_error *error)
{
    struct weir_flow_sink_probe *probe = self;

    if (flow_options(stage->island)->threads > 0)
        return weir_error_set(error, WEIR_INVALID, -1, "flow: probes need threads = 0");
    probe->stage = stage;
    weir_flow_stage_value_set(stage, probe);
    return WEIR_OK;
}

static void sink_release(void *self, struct weir_flow_stage *stage)
{
    struct weir_flow_sink_probe *probe = self;

    for (; probe->count > 0; probe->count--)
        weir_flow_drop_element(weir_flow_in_kind(stage, 0),
                               probe->elements[probe->first++ % PROBE_ELEMENTS_MAX]);
}

static void sink_push(void *self, struct weir_flow_stage *stage, uint32_t inlet)
{
    struct weir_flow_sink_probe *probe = self;

    probe->elements[(probe->first + probe->count++) % PROBE_ELEMENTS_MAX] =
        weir_flow_grab(stage, inlet);
    if (--probe->wanted > 0)
        weir_flow_pull(stage, inlet);
}

static void sink_finish(void *self, struct weir_flow_stage *stage, uint32_t inlet)
{
    (void)self;
    (void)inlet;
    weir_flow_resolve(stage, NULL, NULL);
}

static const struct weir_flow_stage_ops sink_ops = {
    .abi = WEIR_FLOW_STAGE_ABI,
    .name = "probe_sink",
    .self_bytes = sizeof(struct weir_flow_sink_probe),
    .init = sink_init,
    .release = sink_release,
    .on_push = sink_push,
    .on_upstream_finish = sink_finish,
};

int32_t weir_flow_probe_sink(struct weir_flow_outlet in)
{
    return flow_add_sink(in, &sink_ops, NULL, 0);
}

void weir_flow_sink_probe_request(struct weir_flow_sink_probe *probe, uint32_t count)
{
    let_run(probe->stage);
    weir_assert(probe->count + probe->wanted + count <= PROBE_ELEMENTS_MAX);
    probe->wanted += count;
    if (probe->wanted > 0)
        weir_flow_try_pull(probe->stage, 0);
    let_run(probe->stage);
}

enum weir_err weir_flow_sink_probe_take(struct weir_flow_sink_probe *probe, void **out)
{
    let_run(probe->stage);
    if (probe->count > 0) {
        *out = probe->elements[probe->first++ % PROBE_ELEMENTS_MAX];
        probe->count--;
        return WEIR_OK;
    }
    if (!atomic_load(&probe->stage->resolved))
        return WEIR_AGAIN;
    return probe->stage->result_error.code != WEIR_OK ? probe->stage->result_error.code : WEIR_END;
}

void weir_flow_sink_probe_cancel(struct weir_flow_sink_probe *probe)
{
    let_run(probe->stage);
    weir_flow_cancel(probe->stage, 0, NULL);
    let_run(probe->stage);
}
