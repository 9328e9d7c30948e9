/* serving/flow_models.c - the models topic in the flow engine: table, and letters of bad models. */
#include "base/alloc.h"
#include "serving/flow_inside.h"

enum { RETRY_MS = 10 };
enum { TIMER_RETRY };

/* ---- the table ------------------------------------------------------------------------------- */

struct models_self {
    struct weir_flow_event event; /* a model was loaded or refused */
    struct flow_engine *engine;
    struct weir_connect_table_block *waiting; /* the loader's queue is full */
    bool at_end;
};

static enum weir_err models_stage_init(void *opaque, struct weir_flow_stage *stage,
                                       struct weir_error *error)
{
    struct models_self *self = opaque;
    (void)error;
    self->engine = *(struct flow_engine *const *)weir_flow_stage_config(stage);
    self->engine->table.event = &self->event;
    weir_flow_event_init(&self->event, stage);
    weir_flow_stage_value_set(stage, self->engine->server->models);
    return WEIR_OK;
}

static void models_stage_start(void *opaque, struct weir_flow_stage *stage)
{
    (void)opaque;
    weir_flow_pull(stage, 0);
}

/* Takes in what waits, and says so when the models are ready. */
static void take_in(struct models_self *self, struct weir_flow_stage *stage)
{
    struct flow_engine *engine = self->engine;
    struct weir_error error;
    bool ready = atomic_load(&engine->ready);
    if (self->waiting) {
        const struct weir_kafka_batch *batch = &self->waiting->batch;
        enum weir_err err = server_update_models(engine->server, &batch->rows, batch->count,
                                                 self->waiting->past_end, &error);
        if (err == WEIR_OK) {
            atomic_fetch_add_explicit(&engine->global_records, batch->count, memory_order_relaxed);
            self->at_end = self->at_end || batch->count == 0;
            weir_connect_table_kind.drop(self->waiting);
            self->waiting = NULL;
            weir_flow_try_pull(stage, 0);
        } else if (err != WEIR_AGAIN) {
            weir_flow_fail_stage(stage, &error);
            return;
        }
    }
    if (!ready && self->at_end && models_ready(engine->server->models)) {
        flow_engine_is_ready(engine);
        ready = true;
    }
    if (self->waiting || !ready)
        weir_flow_timer_start(stage, TIMER_RETRY, RETRY_MS, 0);
}

static void models_stage_push(void *opaque, struct weir_flow_stage *stage, uint32_t inlet)
{
    struct models_self *self = opaque;
    self->waiting = weir_flow_grab(stage, inlet);
    take_in(self, stage);
}

static void models_stage_timer(void *opaque, struct weir_flow_stage *stage, uint32_t timer)
{
    (void)timer;
    take_in(opaque, stage);
}

static void models_stage_event(void *opaque, struct weir_flow_stage *stage,
                               struct weir_flow_event *event)
{
    (void)event;
    take_in(opaque, stage);
}

static void models_stage_failure(void *opaque, struct weir_flow_stage *stage, uint32_t inlet,
                                 const struct weir_error *error)
{
    (void)opaque;
    (void)inlet;
    weir_flow_resolve_error(stage, error);
    weir_flow_fail_stage(stage, error);
}

static void models_stage_stop(void *opaque, struct weir_flow_stage *stage)
{
    struct models_self *self = opaque;
    (void)stage;
    if (self->waiting)
        weir_connect_table_kind.drop(self->waiting);
    self->waiting = NULL;
}

static const struct weir_flow_stage_ops models_stage_ops = {
    .abi = WEIR_FLOW_STAGE_ABI,
    .name = "models",
    .self_bytes = sizeof(struct models_self),
    .timer_count = 1,
    .init = models_stage_init,
    .start = models_stage_start,
    .stop = models_stage_stop,
    .on_push = models_stage_push,
    .on_upstream_failure = models_stage_failure,
    .on_timer = models_stage_timer,
    .on_event = models_stage_event,
};

int32_t flow_models_sink(struct weir_flow_outlet in, struct flow_engine *engine)
{
    const struct weir_flow_stage_options options = {
        .config = &engine, .config_bytes = sizeof(struct flow_engine *), .ins = &in, .in_count = 1};
    return weir_flow_stage_add(in.graph, &models_stage_ops, &options);
}

/* ---- bad models ------------------------------------------------------------------------------ */

struct bad_model {
    struct models *models;
    struct models_bad *bad;
    struct flow_letter letter;
};

static void end_letter(struct bad_model *model)
{
    weir_free(model->letter.headers);
    weir_free(model);
}

/* Not delivered: it waits for the next try. */
static void drop_bad_model(void *element)
{
    struct bad_model *model = element;
    models_return_bad(model->models, model->bad);
    end_letter(model);
}

static const struct weir_flow_kind bad_model_kind = {.drop = drop_bad_model};

struct bad_self {
    struct flow_engine *engine;
};

static enum weir_err bad_models_init(void *opaque, struct weir_flow_stage *stage,
                                     struct weir_error *error)
{
    struct bad_self *self = opaque;
    (void)error;
    self->engine = *(struct flow_engine *const *)weir_flow_stage_config(stage);
    return WEIR_OK;
}

static void bad_models_start(void *opaque, struct weir_flow_stage *stage)
{
    (void)opaque;
    weir_flow_timer_start(stage, TIMER_RETRY, SCORING_BAD_MODELS_EVERY_MS,
                          SCORING_BAD_MODELS_EVERY_MS);
}

static void take_bad(struct bad_self *self, struct weir_flow_stage *stage)
{
    struct models *models = self->engine->server->models;
    if (!weir_flow_out_is_available(stage, 0) || !flow_engine_owns_first(self->engine))
        return;
    struct models_bad *bad = models_take_bad(models);
    struct bad_model *model = bad ? weir_calloc(1, sizeof *model) : NULL;
    if (bad && !model)
        models_return_bad(models, bad);
    if (!model)
        return;
    model->models = models;
    model->bad = bad;
    weir_error_set(&model->letter.why, bad->why, -1, "%s", bad->message);
    weir_flow_push(stage, 0, model);
}

static void bad_models_pull(void *opaque, struct weir_flow_stage *stage, uint32_t outlet)
{
    (void)outlet;
    take_bad(opaque, stage);
}

static void bad_models_timer(void *opaque, struct weir_flow_stage *stage, uint32_t timer)
{
    (void)timer;
    take_bad(opaque, stage);
}

static const struct weir_flow_stage_ops bad_models_ops = {
    .abi = WEIR_FLOW_STAGE_ABI,
    .name = "bad_models",
    .self_bytes = sizeof(struct bad_self),
    .timer_count = 1,
    .init = bad_models_init,
    .start = bad_models_start,
    .on_pull = bad_models_pull,
    .on_timer = bad_models_timer,
};

struct weir_flow_outlet flow_bad_models(struct weir_flow_graph *graph, struct flow_engine *engine)
{
    const struct weir_flow_stage_options options = {.config = &engine,
                                                    .config_bytes = sizeof(struct flow_engine *),
                                                    .out_count = 1,
                                                    .kind = &bad_model_kind};
    return (struct weir_flow_outlet){graph, weir_flow_stage_add(graph, &bad_models_ops, &options),
                                     0};
}

bool flow_bad_models_record(void *opaque, const void *element, uint32_t index,
                            struct weir_kafka_record *record_out)
{
    const struct flow_engine *engine = opaque;
    struct bad_model *model = (struct bad_model *)(uintptr_t)element;
    if (index > 0)
        return false;
    flow_letter_make(&model->letter, engine->server, &model->bad->rows, 0, record_out);
    return true;
}

bool flow_bad_models_instead(void *opaque, const void *element, uint32_t index,
                             const struct weir_error *error, struct weir_kafka_record *record_out)
{
    struct bad_model *model = (struct bad_model *)(uintptr_t)element;
    (void)error;
    return flow_letter_shorten(&model->letter) &&
           flow_bad_models_record(opaque, element, index, record_out);
}

enum weir_err flow_bad_models_sent(void *opaque, void *element, struct weir_error *error)
{
    struct flow_engine *engine = opaque;
    struct bad_model *model = element;
    (void)error;
    atomic_fetch_add(&engine->model_letters, 1);
    atomic_fetch_add(&engine->server->scoring.totals.dead_models, 1);
    weir_free(model->bad);
    end_letter(model);
    return WEIR_OK;
}
