/*
 * map_async in its three orders.
 *
 * Promises are places in an array. `line` holds those in use, in the order in which their results
 * go out: by arrival of the element (ordered, partitioned) or of the answer (unordered). While one
 * is open the stage keeps going, so that whoever owes the answer finds it alive.
 */
#include "flow/inside.h"

enum promise_state {
    PROMISE_FREE,
    PROMISE_WAITS, /* for an open one of its partition */
    PROMISE_OPEN,  /* somebody owes the answer */
    PROMISE_KEPT,
};

struct weir_flow_promise {
    struct weir_flow_event event; /* the answer is in */
    enum promise_state state;
    void *element; /* in: while it waits; out: once kept; NULL: left out */
    uint64_t partition;
    struct weir_error error;
};

enum async_order { ASYNC_ORDERED, ASYNC_UNORDERED, ASYNC_PARTITIONED };

struct async_config {
    struct weir_flow_map_async map;
    enum async_order order;
};

struct async_self {
    struct weir_flow_promise *promises;
    struct weir_flow_promise **line, **free;
    uint32_t line_first, line_count, free_count, open_count;
};

static enum weir_err async_init(void *self, struct weir_flow_stage *stage, struct weir_error *error)
{
    struct async_self *async = self;
    const struct async_config *config = stage->config;
    uint32_t count = config->map.parallelism;

    (void)error;
    async->promises = weir_flow_stage_alloc(stage, count * sizeof *async->promises);
    async->line = weir_flow_stage_alloc(stage, count * sizeof(void *));
    async->free = weir_flow_stage_alloc(stage, count * sizeof(void *));
    if (async->promises == NULL || async->line == NULL || async->free == NULL)
        return WEIR_NOMEM;
    for (uint32_t i = 0; i < count; i++) {
        weir_flow_event_init(&async->promises[i].event, stage);
        async->free[async->free_count++] = &async->promises[count - 1 - i];
    }
    return WEIR_OK;
}

static struct weir_flow_promise *in_line(struct async_self *async, uint32_t place,
                                         const struct async_config *config)
{
    return async->line[(async->line_first + place) % config->map.parallelism];
}

static void join_line(struct async_self *async, struct weir_flow_promise *promise,
                      const struct async_config *config)
{
    async->line[(async->line_first + async->line_count++) % config->map.parallelism] = promise;
}

static void start_promise(struct async_self *async, struct weir_flow_stage *stage,
                          struct weir_flow_promise *promise)
{
    const struct async_config *config = stage->config;
    void *element = promise->element;

    promise->element = NULL;
    promise->error.code = WEIR_OK;
    promise->state = PROMISE_OPEN;
    async->open_count++;
    weir_flow_keep_going(stage, true);
    config->map.start(config->map.opaque, element, promise);
}

static void async_push(void *self, struct weir_flow_stage *stage, uint32_t inlet)
{
    struct async_self *async = self;
    const struct async_config *config = stage->config;
    struct weir_flow_promise *promise = async->free[--async->free_count];
    bool waits = false;

    promise->element = flow_grab(stage, inlet);
    if (config->order == ASYNC_PARTITIONED) {
        promise->partition = config->map.partition(config->map.opaque, promise->element);
        for (uint32_t i = 0; i < async->line_count && !waits; i++) {
            const struct weir_flow_promise *other = in_line(async, i, config);
            waits = other->state != PROMISE_KEPT && other->partition == promise->partition;
        }
    }
    promise->state = PROMISE_WAITS;
    if (config->order != ASYNC_UNORDERED)
        join_line(async, promise, config);
    if (!waits)
        start_promise(async, stage, promise);
    if (async->free_count > 0)
        weir_flow_try_pull(stage, inlet);
}

/* Sends what may go, makes room, and sees the end. */
static void async_emit(struct async_self *async, struct weir_flow_stage *stage)
{
    const struct async_config *config = stage->config;

    while (async->line_count > 0) {
        struct weir_flow_promise *first = in_line(async, 0, config);
        if (first->state != PROMISE_KEPT)
            break;
        if (first->element != NULL) {
            if (!weir_flow_out_is_available(stage, 0))
                break;
            flow_push(stage, 0, first->element);
        }
        first->state = PROMISE_FREE;
        async->free[async->free_count++] = first;
        async->line_first = (async->line_first + 1) % config->map.parallelism;
        async->line_count--;
    }
    if (async->line_count + async->open_count == 0 && weir_flow_in_is_closed(stage, 0))
        weir_flow_complete_stage(stage);
    else if (async->free_count > 0)
        weir_flow_try_pull(stage, 0);
}

static void async_pull(void *self, struct weir_flow_stage *stage, uint32_t outlet)
{
    (void)outlet;
    async_emit(self, stage);
}

static void async_start(void *self, struct weir_flow_stage *stage)
{
    (void)self;
    flow_pull(stage, 0);
}

static void async_finish(void *self, struct weir_flow_stage *stage, uint32_t inlet)
{
    struct async_self *async = self;

    (void)inlet;
    if (async->line_count + async->open_count == 0)
        weir_flow_complete_stage(stage);
}

/* The next of a partition whose promise has been kept. */
static void start_next(struct async_self *async, struct weir_flow_stage *stage, uint64_t partition)
{
    const struct async_config *config = stage->config;

    for (uint32_t i = 0; i < async->line_count; i++) {
        struct weir_flow_promise *promise = in_line(async, i, config);
        if (promise->state == PROMISE_WAITS && promise->partition == partition) {
            start_promise(async, stage, promise);
            return;
        }
    }
}

static void async_event(void *self, struct weir_flow_stage *stage, struct weir_flow_event *event)
{
    struct async_self *async = self;
    const struct async_config *config = stage->config;
    struct weir_flow_promise *promise = WEIR_CONTAINER(event, struct weir_flow_promise, event);

    promise->state = PROMISE_KEPT;
    async->open_count--;
    if (config->order == ASYNC_UNORDERED)
        join_line(async, promise, config);
    if (!weir_flow_out_is_closed(stage, 0)) {
        if (promise->error.code == WEIR_OK ||
            !flow_fail_or_resume(stage, promise->error.code, &promise->error)) {
            if (config->order == ASYNC_PARTITIONED)
                start_next(async, stage, promise->partition);
            async_emit(async, stage);
        }
    }
    if (async->open_count == 0)
        weir_flow_keep_going(stage, false);
}

static void async_stop(void *self, struct weir_flow_stage *stage)
{
    struct async_self *async = self;
    const struct async_config *config = stage->config;

    for (uint32_t i = 0; i < async->line_count; i++) {
        struct weir_flow_promise *promise = in_line(async, i, config);
        if (promise->element != NULL)
            weir_flow_drop_element(promise->state == PROMISE_WAITS ? weir_flow_in_kind(stage, 0)
                                                                   : weir_flow_out_kind(stage, 0),
                                   promise->element);
    }
}

void weir_flow_promise_succeed(struct weir_flow_promise *promise, void *element)
{
    weir_assert(element != NULL);
    promise->element = element;
    weir_flow_invoke(&promise->event);
}

void weir_flow_promise_fail(struct weir_flow_promise *promise, const struct weir_error *error)
{
    weir_assert(error->code != WEIR_OK);
    promise->error = *error;
    weir_flow_invoke(&promise->event);
}

static const struct weir_flow_stage_ops async_ops = {
    .abi = WEIR_FLOW_STAGE_ABI,
    .name = "map_async",
    .self_bytes = sizeof(struct async_self),
    .init = async_init,
    .start = async_start,
    .stop = async_stop,
    .on_push = async_push,
    .on_upstream_finish = async_finish,
    .on_pull = async_pull,
    .on_event = async_event,
};

static struct weir_flow_outlet add_async(struct weir_flow_outlet in,
                                         const struct weir_flow_map_async *map,
                                         enum async_order order, const struct weir_flow_kind *kind)
{
    const struct async_config config = {*map, order};

    if (map->parallelism == 0 || map->parallelism > WEIR_FLOW_BUFFER_MAX || map->start == NULL ||
        (order == ASYNC_PARTITIONED && map->partition == NULL)) {
        weir_flow_graph_fail(in.graph, WEIR_INVALID,
                             "flow: map_async needs a parallelism and its functions");
        return flow_no_outlet(in.graph);
    }
    return flow_add_linear(in, &async_ops, &config, sizeof config, kind);
}

struct weir_flow_outlet weir_flow_map_async(struct weir_flow_outlet in,
                                            const struct weir_flow_map_async *map,
                                            const struct weir_flow_kind *kind)
{
    return add_async(in, map, ASYNC_ORDERED, kind);
}

struct weir_flow_outlet weir_flow_map_async_unordered(struct weir_flow_outlet in,
                                                      const struct weir_flow_map_async *map,
                                                      const struct weir_flow_kind *kind)
{
    return add_async(in, map, ASYNC_UNORDERED, kind);
}

struct weir_flow_outlet weir_flow_map_async_partitioned(struct weir_flow_outlet in,
                                                        const struct weir_flow_map_async *map,
                                                        const struct weir_flow_kind *kind)
{
    return add_async(in, map, ASYNC_PARTITIONED, kind);
}
