/* Stages between two paces: throttle, buffer, batch. */
#include "flow/inside.h"

/* ---- throttle -------------------------------------------------------------------------------- */

struct throttle_config {
    int64_t interval_ns; /* one element's share of time */
    int64_t credit_ns;   /* how far the bucket may run ahead */
};

struct throttle_self {
    int64_t paid_until_ns; /* what has gone out so far is paid for until then */
    bool held;             /* the element on the inlet waits for the timer */
};

static void throttle_send(struct throttle_self *throttle, struct weir_flow_stage *stage)
{
    const struct throttle_config *config = stage->config;
    int64_t now_ns = weir_flow_now_ns(stage);

    if (throttle->paid_until_ns < now_ns)
        throttle->paid_until_ns = now_ns;
    throttle->paid_until_ns += config->interval_ns;
    throttle->held = false;
    flow_push(stage, 0, flow_grab(stage, 0));
    if (weir_flow_in_is_closed(stage, 0))
        weir_flow_complete_stage(stage);
}

static void throttle_push(void *self, struct weir_flow_stage *stage, uint32_t inlet)
{
    struct throttle_self *throttle = self;
    const struct throttle_config *config = stage->config;
    int64_t wait_ns = throttle->paid_until_ns - config->credit_ns - weir_flow_now_ns(stage);

    (void)inlet;
    if (wait_ns <= 0) {
        throttle_send(throttle, stage);
        return;
    }
    throttle->held = true;
    weir_flow_timer_start(stage, 0, (wait_ns + WEIR_NS_PER_MS - 1) / WEIR_NS_PER_MS, 0);
}

static void throttle_timer(void *self, struct weir_flow_stage *stage, uint32_t timer)
{
    (void)timer;
    throttle_send(self, stage);
}

static void throttle_pull(void *self, struct weir_flow_stage *stage, uint32_t outlet)
{
    (void)self;
    (void)outlet;
    flow_pull(stage, 0);
}

static void throttle_finish(void *self, struct weir_flow_stage *stage, uint32_t inlet)
{
    struct throttle_self *throttle = self;

    (void)inlet;
    if (!throttle->held)
        weir_flow_complete_stage(stage);
}

static const struct weir_flow_stage_ops throttle_ops = {
    .abi = WEIR_FLOW_STAGE_ABI,
    .name = "throttle",
    .self_bytes = sizeof(struct throttle_self),
    .timer_count = 1,
    .on_push = throttle_push,
    .on_upstream_finish = throttle_finish,
    .on_pull = throttle_pull,
    .on_timer = throttle_timer,
};

struct weir_flow_outlet weir_flow_throttle(struct weir_flow_outlet in, uint32_t elements,
                                           int64_t per_ms, uint32_t burst)
{
    struct throttle_config config;

    if (elements == 0 || burst == 0 || per_ms <= 0 || per_ms > INT64_C(1000) * 24 * 3600 * 1000) {
        weir_flow_graph_fail(
            in.graph, WEIR_INVALID,
            "flow: throttle needs elements, burst and a time of 1 ms to 1000 days");
        return flow_no_outlet(in.graph);
    }
    config.interval_ns = per_ms * WEIR_NS_PER_MS / elements;
    if (__builtin_mul_overflow(config.interval_ns, burst - 1, &config.credit_ns))
        config.credit_ns = INT64_MAX / 2;
    return flow_add_linear(in, &throttle_ops, &config, sizeof config, weir_flow_outlet_kind(in));
}

/* ---- buffer ---------------------------------------------------------------------------------- */

struct buffer_config {
    uint32_t capacity;
    enum weir_flow_overflow strategy;
};

struct buffer_self {
    void **elements;
    uint32_t first, count;
};

static enum weir_err buffer_init(void *self, struct weir_flow_stage *stage,
                                 struct weir_error *error)
{
    struct buffer_self *buffer = self;
    const struct buffer_config *config = stage->config;

    (void)error;
    buffer->elements = weir_flow_stage_alloc(stage, config->capacity * sizeof(void *));
    return buffer->elements != NULL ? WEIR_OK : WEIR_NOMEM;
}

static void buffer_start(void *self, struct weir_flow_stage *stage)
{
    (void)self;
    flow_pull(stage, 0);
}

static void buffer_put(struct buffer_self *buffer, uint32_t capacity, void *element)
{
    weir_assert(capacity > 0);
    buffer->elements[(buffer->first + buffer->count++) % capacity] = element;
}

static void *buffer_take(struct buffer_self *buffer, uint32_t capacity)
{
    void *element = buffer->elements[buffer->first];

    buffer->first = (buffer->first + 1) % capacity;
    buffer->count--;
    return element;
}

/* The buffer is full, and an element is there. False: the stage has failed. */
static bool buffer_overflow(struct buffer_self *buffer, struct weir_flow_stage *stage,
                            void *element)
{
    const struct buffer_config *config = stage->config;
    const struct weir_flow_kind *kind = weir_flow_in_kind(stage, 0);
    struct weir_error error;

    switch (config->strategy) {
    case WEIR_FLOW_DROP_HEAD:
        weir_flow_drop_element(kind, buffer_take(buffer, config->capacity));
        break;
    case WEIR_FLOW_DROP_TAIL:
        buffer->count--;
        weir_flow_drop_element(
            kind, buffer->elements[(buffer->first + buffer->count) % config->capacity]);
        break;
    case WEIR_FLOW_DROP_BUFFER:
        while (buffer->count > 0)
            weir_flow_drop_element(kind, buffer_take(buffer, config->capacity));
        break;
    case WEIR_FLOW_DROP_NEW:
        weir_flow_drop_element(kind, element);
        return true;
    default:
        weir_flow_drop_element(kind, element);
        weir_error_set(&error, WEIR_LIMIT, -1, "stage buffer: more than %u elements wait",
                       config->capacity);
        weir_flow_fail_stage(stage, &error);
        return false;
    }
    buffer_put(buffer, config->capacity, element);
    return true;
}

static void buffer_push(void *self, struct weir_flow_stage *stage, uint32_t inlet)
{
    struct buffer_self *buffer = self;
    const struct buffer_config *config = stage->config;
    void *element = flow_grab(stage, inlet);

    if (weir_flow_out_is_available(stage, 0))
        flow_push(stage, 0, element);
    else if (buffer->count < config->capacity)
        buffer_put(buffer, config->capacity, element);
    else if (!buffer_overflow(buffer, stage, element))
        return;
    if (config->strategy != WEIR_FLOW_BACKPRESSURE || buffer->count < config->capacity)
        flow_pull(stage, inlet);
}

static void buffer_pull(void *self, struct weir_flow_stage *stage, uint32_t outlet)
{
    struct buffer_self *buffer = self;
    const struct buffer_config *config = stage->config;

    if (buffer->count > 0)
        flow_push(stage, outlet, buffer_take(buffer, config->capacity));
    if (buffer->count == 0 && weir_flow_in_is_closed(stage, 0))
        weir_flow_complete_stage(stage);
    else
        weir_flow_try_pull(stage, 0);
}

static void buffer_finish(void *self, struct weir_flow_stage *stage, uint32_t inlet)
{
    struct buffer_self *buffer = self;

    (void)inlet;
    if (buffer->count == 0)
        weir_flow_complete_stage(stage);
}

static void buffer_stop(void *self, struct weir_flow_stage *stage)
{
    struct buffer_self *buffer = self;
    const struct buffer_config *config = stage->config;

    while (buffer->count > 0)
        weir_flow_drop_element(weir_flow_in_kind(stage, 0), buffer_take(buffer, config->capacity));
}

static const struct weir_flow_stage_ops buffer_ops = {
    .abi = WEIR_FLOW_STAGE_ABI,
    .name = "buffer",
    .self_bytes = sizeof(struct buffer_self),
    .init = buffer_init,
    .start = buffer_start,
    .stop = buffer_stop,
    .on_push = buffer_push,
    .on_upstream_finish = buffer_finish,
    .on_pull = buffer_pull,
};

struct weir_flow_outlet weir_flow_buffer(struct weir_flow_outlet in, uint32_t capacity,
                                         enum weir_flow_overflow strategy)
{
    const struct buffer_config config = {capacity, strategy};

    if (capacity == 0 || capacity > WEIR_FLOW_BUFFER_MAX) {
        weir_flow_graph_fail(in.graph, WEIR_INVALID, "flow: a buffer of no or too many elements");
        return flow_no_outlet(in.graph);
    }
    return flow_add_linear(in, &buffer_ops, &config, sizeof config, weir_flow_outlet_kind(in));
}

/* ---- batch, conflate ------------------------------------------------------------------------- */

struct batch_self {
    void *batch; /* NULL: none */
    uint64_t elements;
};

static void batch_start(void *self, struct weir_flow_stage *stage)
{
    (void)self;
    flow_pull(stage, 0);
}

static void batch_send(struct batch_self *batch, struct weir_flow_stage *stage)
{
    flow_push(stage, 0, batch->batch);
    batch->batch = NULL;
    batch->elements = 0;
}

static void batch_push(void *self, struct weir_flow_stage *stage, uint32_t inlet)
{
    struct batch_self *batch = self;
    const struct weir_flow_batch *config = stage->config;
    void *element = flow_grab(stage, inlet), *whole = element;
    struct weir_error error;
    enum weir_err err = WEIR_OK;

    error.code = WEIR_OK;
    if (batch->batch != NULL)
        err = config->aggregate(config->opaque, batch->batch, element, &whole, &error);
    else if (config->seed != NULL)
        err = config->seed(config->opaque, element, &whole, &error);
    batch->batch = err == WEIR_OK ? whole : NULL;
    if (err != WEIR_OK) {
        if (error.code != err)
            weir_error_set(&error, err, -1, "stage batch: %s", weir_err_text(err));
        weir_flow_fail_stage(stage, &error);
        return;
    }
    batch->elements++;
    if (weir_flow_out_is_available(stage, 0))
        batch_send(batch, stage);
    if (batch->elements < config->max)
        flow_pull(stage, inlet);
}

static void batch_pull(void *self, struct weir_flow_stage *stage, uint32_t outlet)
{
    struct batch_self *batch = self;

    (void)outlet;
    if (batch->batch != NULL)
        batch_send(batch, stage);
    if (weir_flow_in_is_closed(stage, 0))
        weir_flow_complete_stage(stage);
    else
        weir_flow_try_pull(stage, 0);
}

static void batch_finish(void *self, struct weir_flow_stage *stage, uint32_t inlet)
{
    struct batch_self *batch = self;

    (void)inlet;
    if (batch->batch == NULL)
        weir_flow_complete_stage(stage);
}

static void batch_stop(void *self, struct weir_flow_stage *stage)
{
    struct batch_self *batch = self;

    if (batch->batch != NULL)
        weir_flow_drop_element(weir_flow_out_kind(stage, 0), batch->batch);
}

static const struct weir_flow_stage_ops batch_ops = {
    .abi = WEIR_FLOW_STAGE_ABI,
    .name = "batch",
    .self_bytes = sizeof(struct batch_self),
    .start = batch_start,
    .stop = batch_stop,
    .on_push = batch_push,
    .on_upstream_finish = batch_finish,
    .on_pull = batch_pull,
};

struct weir_flow_outlet weir_flow_batch(struct weir_flow_outlet in,
                                        const struct weir_flow_batch *batch,
                                        const struct weir_flow_kind *kind)
{
    if (batch->max == 0) {
        weir_flow_graph_fail(in.graph, WEIR_INVALID, "flow: a batch of no elements");
        return flow_no_outlet(in.graph);
    }
    return flow_add_linear(in, &batch_ops, batch, sizeof *batch, kind);
}

struct weir_flow_outlet
weir_flow_conflate(struct weir_flow_outlet in,
                   enum weir_err (*aggregate)(void *opaque, void *batch, void *element,
                                              void **batch_out, struct weir_error *error),
                   void *opaque)
{
    const struct weir_flow_batch batch = {
        .max = UINT64_MAX, .aggregate = aggregate, .opaque = opaque};
    return weir_flow_batch(in, &batch, weir_flow_outlet_kind(in));
}
