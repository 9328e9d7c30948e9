/* recover, time-outs, keep_alive, watch_termination: stages that pass elements on and watch. */
#include <string.h>

#include "flow/inside.h"

static void pass(void *self, struct weir_flow_stage *stage, uint32_t inlet)
{
    (void)self;
    flow_push(stage, 0, flow_grab(stage, inlet));
}

static void pull_in(void *self, struct weir_flow_stage *stage, uint32_t outlet)
{
    (void)self;
    (void)outlet;
    flow_pull(stage, 0);
}

/* ---- recover --------------------------------------------------------------------------------- */

struct recover_config {
    enum weir_err (*fn)(void *opaque, const struct weir_error *failure, void **out,
                        struct weir_error *error);
    void *opaque;
};

struct recover_self {
    void *last; /* waits for demand */
};

static void recover_send(struct recover_self *recover, struct weir_flow_stage *stage)
{
    flow_push(stage, 0, recover->last);
    recover->last = NULL;
    weir_flow_complete_stage(stage);
}

static void recover_failure(void *self, struct weir_flow_stage *stage, uint32_t inlet,
                            const struct weir_error *failure)
{
    struct recover_self *recover = self;
    const struct recover_config *config = stage->config;
    struct weir_error error;
    enum weir_err err;

    (void)inlet;
    error.code = WEIR_OK;
    err = config->fn(config->opaque, failure, &recover->last, &error);
    if (err != WEIR_OK) {
        recover->last = NULL;
        if (error.code != err)
            error = *failure;
        weir_flow_fail_stage(stage, &error);
    } else if (weir_flow_out_is_available(stage, 0)) {
        recover_send(recover, stage);
    }
}

static void recover_pull(void *self, struct weir_flow_stage *stage, uint32_t outlet)
{
    struct recover_self *recover = self;

    (void)outlet;
    if (recover->last != NULL)
        recover_send(recover, stage);
    else
        flow_pull(stage, 0);
}

static void recover_stop(void *self, struct weir_flow_stage *stage)
{
    struct recover_self *recover = self;

    if (recover->last != NULL)
        weir_flow_drop_element(weir_flow_out_kind(stage, 0), recover->last);
}

static const struct weir_flow_stage_ops recover_ops = {
    .abi = WEIR_FLOW_STAGE_ABI,
    .name = "recover",
    .self_bytes = sizeof(struct recover_self),
    .stop = recover_stop,
    .on_push = pass,
    .on_upstream_failure = recover_failure,
    .on_pull = recover_pull,
};

struct weir_flow_outlet weir_flow_recover(struct weir_flow_outlet in,
                                          enum weir_err (*fn)(void *opaque,
                                                              const struct weir_error *failure,
                                                              void **out, struct weir_error *error),
                                          void *opaque)
{
    const struct recover_config config = {fn, opaque};
    return flow_add_linear(in, &recover_ops, &config, sizeof config, weir_flow_outlet_kind(in));
}

/* ---- time-outs ------------------------------------------------------------------------------- */

static void timeout_restart(struct weir_flow_stage *stage)
{
    int64_t timeout_ms;

    memcpy(&timeout_ms, stage->config, sizeof timeout_ms);
    weir_flow_timer_start(stage, 0, timeout_ms, 0);
}

static void timeout_start(void *self, struct weir_flow_stage *stage)
{
    (void)self;
    timeout_restart(stage);
}

static void timeout_fail(void *self, struct weir_flow_stage *stage, uint32_t timer)
{
    struct weir_error error;

    (void)self;
    (void)timer;
    weir_error_set(&error, WEIR_TIMEOUT, -1, "stage %s: the time is over", stage->ops->name);
    weir_flow_fail_stage(stage, &error);
}

static void idle_push(void *self, struct weir_flow_stage *stage, uint32_t inlet)
{
    timeout_restart(stage);
    pass(self, stage, inlet);
}

static void initial_push(void *self, struct weir_flow_stage *stage, uint32_t inlet)
{
    weir_flow_timer_stop(stage, 0);
    pass(self, stage, inlet);
}

static void backpressure_pull(void *self, struct weir_flow_stage *stage, uint32_t outlet)
{
    weir_flow_timer_stop(stage, 0);
    pull_in(self, stage, outlet);
}

static const struct weir_flow_stage_ops idle_ops = {
    .abi = WEIR_FLOW_STAGE_ABI,
    .name = "idle_timeout",
    .timer_count = 1,
    .start = timeout_start,
    .on_push = idle_push,
    .on_pull = pull_in,
    .on_timer = timeout_fail,
};

static const struct weir_flow_stage_ops initial_ops = {
    .abi = WEIR_FLOW_STAGE_ABI,
    .name = "initial_timeout",
    .timer_count = 1,
    .start = timeout_start,
    .on_push = initial_push,
    .on_pull = pull_in,
    .on_timer = timeout_fail,
};

static const struct weir_flow_stage_ops completion_ops = {
    .abi = WEIR_FLOW_STAGE_ABI,
    .name = "completion_timeout",
    .timer_count = 1,
    .start = timeout_start,
    .on_push = pass,
    .on_pull = pull_in,
    .on_timer = timeout_fail,
};

static const struct weir_flow_stage_ops backpressure_ops = {
    .abi = WEIR_FLOW_STAGE_ABI,
    .name = "backpressure_timeout",
    .timer_count = 1,
    .start = timeout_start,
    .on_push = idle_push,
    .on_pull = backpressure_pull,
    .on_timer = timeout_fail,
};

static struct weir_flow_outlet add_timeout(struct weir_flow_outlet in, int64_t timeout_ms,
                                           const struct weir_flow_stage_ops *ops)
{
    if (timeout_ms <= 0) {
        weir_flow_graph_fail(in.graph, WEIR_INVALID, "flow: a time-out needs a time above 0");
        return flow_no_outlet(in.graph);
    }
    return flow_add_linear(in, ops, &timeout_ms, sizeof timeout_ms, weir_flow_outlet_kind(in));
}

struct weir_flow_outlet weir_flow_idle_timeout(struct weir_flow_outlet in, int64_t timeout_ms)
{
    return add_timeout(in, timeout_ms, &idle_ops);
}

struct weir_flow_outlet weir_flow_initial_timeout(struct weir_flow_outlet in, int64_t timeout_ms)
{
    return add_timeout(in, timeout_ms, &initial_ops);
}

struct weir_flow_outlet weir_flow_completion_timeout(struct weir_flow_outlet in, int64_t timeout_ms)
{
    return add_timeout(in, timeout_ms, &completion_ops);
}

struct weir_flow_outlet weir_flow_backpressure_timeout(struct weir_flow_outlet in,
                                                       int64_t timeout_ms)
{
    return add_timeout(in, timeout_ms, &backpressure_ops);
}

/* ---- keep_alive ------------------------------------------------------------------------------ */

struct keep_alive_config {
    int64_t idle_ms;
    enum weir_err (*make)(void *opaque, void **out, struct weir_error *error);
    void *opaque;
};

struct keep_alive_self {
    int64_t deadline_ns; /* when it has been idle for too long */
};

/* An element waits in the inlet until downstream wants it: so upstream is asked at once. */
static void keep_alive_start(void *self, struct weir_flow_stage *stage)
{
    const struct keep_alive_config *config = stage->config;
    struct keep_alive_self *keep_alive = self;

    keep_alive->deadline_ns = weir_flow_now_ns(stage) + config->idle_ms * WEIR_NS_PER_MS;
    flow_pull(stage, 0);
}

static void keep_alive_send(struct weir_flow_stage *stage)
{
    flow_push(stage, 0, flow_grab(stage, 0));
    if (weir_flow_in_is_closed(stage, 0))
        weir_flow_complete_stage(stage);
    else
        flow_pull(stage, 0);
}

static void keep_alive_make(struct keep_alive_self *keep_alive, struct weir_flow_stage *stage)
{
    const struct keep_alive_config *config = stage->config;
    struct weir_error error;
    void *element;
    enum weir_err err;

    error.code = WEIR_OK;
    err = config->make(config->opaque, &element, &error);
    if (err != WEIR_OK) {
        if (error.code != err)
            weir_error_set(&error, err, -1, "stage keep_alive: no element could be made");
        weir_flow_fail_stage(stage, &error);
        return;
    }
    keep_alive->deadline_ns = weir_flow_now_ns(stage) + config->idle_ms * WEIR_NS_PER_MS;
    flow_push(stage, 0, element);
}

static void keep_alive_push(void *self, struct weir_flow_stage *stage, uint32_t inlet)
{
    const struct keep_alive_config *config = stage->config;
    struct keep_alive_self *keep_alive = self;

    (void)inlet;
    weir_flow_timer_stop(stage, 0);
    keep_alive->deadline_ns = weir_flow_now_ns(stage) + config->idle_ms * WEIR_NS_PER_MS;
    if (weir_flow_out_is_available(stage, 0))
        keep_alive_send(stage);
}

static void keep_alive_pull(void *self, struct weir_flow_stage *stage, uint32_t outlet)
{
    struct keep_alive_self *keep_alive = self;
    int64_t left_ns = keep_alive->deadline_ns - weir_flow_now_ns(stage);

    (void)outlet;
    if (weir_flow_in_is_available(stage, 0))
        keep_alive_send(stage);
    else if (left_ns <= 0)
        keep_alive_make(keep_alive, stage);
    else
        weir_flow_timer_start(stage, 0, (left_ns + WEIR_NS_PER_MS - 1) / WEIR_NS_PER_MS, 0);
}

static void keep_alive_timer(void *self, struct weir_flow_stage *stage, uint32_t timer)
{
    (void)timer;
    if (weir_flow_out_is_available(stage, 0))
        keep_alive_make(self, stage);
}

static void keep_alive_finish(void *self, struct weir_flow_stage *stage, uint32_t inlet)
{
    (void)self;
    if (!weir_flow_in_is_available(stage, inlet)) /* else behind what waits */
        weir_flow_complete_stage(stage);
}

static const struct weir_flow_stage_ops keep_alive_ops = {
    .abi = WEIR_FLOW_STAGE_ABI,
    .name = "keep_alive",
    .self_bytes = sizeof(struct keep_alive_self),
    .timer_count = 1,
    .start = keep_alive_start,
    .on_push = keep_alive_push,
    .on_upstream_finish = keep_alive_finish,
    .on_pull = keep_alive_pull,
    .on_timer = keep_alive_timer,
};

struct weir_flow_outlet weir_flow_keep_alive(struct weir_flow_outlet in, int64_t idle_ms,
                                             enum weir_err (*make)(void *opaque, void **out,
                                                                   struct weir_error *error),
                                             void *opaque)
{
    const struct keep_alive_config config = {idle_ms, make, opaque};

    if (idle_ms <= 0) {
        weir_flow_graph_fail(in.graph, WEIR_INVALID, "flow: keep_alive needs a time above 0");
        return flow_no_outlet(in.graph);
    }
    return flow_add_linear(in, &keep_alive_ops, &config, sizeof config, weir_flow_outlet_kind(in));
}

/* ---- watch_termination ----------------------------------------------------------------------- */

static void watch_finish(void *self, struct weir_flow_stage *stage, uint32_t inlet)
{
    (void)self;
    (void)inlet;
    weir_flow_resolve(stage, NULL, NULL);
    weir_flow_complete_stage(stage);
}

static void watch_cancelled(void *self, struct weir_flow_stage *stage, uint32_t outlet,
                            const struct weir_error *cause)
{
    (void)self;
    (void)outlet;
    if (cause != NULL)
        weir_flow_resolve_error(stage, cause);
    weir_flow_cancel_stage(stage, cause);
}

static const struct weir_flow_stage_ops watch_ops = {
    .abi = WEIR_FLOW_STAGE_ABI,
    .name = "watch_termination",
    .on_push = pass,
    .on_upstream_finish = watch_finish,
    .on_pull = pull_in,
    .on_downstream_finish = watch_cancelled,
};

struct weir_flow_outlet weir_flow_watch_termination(struct weir_flow_outlet in)
{
    return flow_add_linear(in, &watch_ops, NULL, 0, weir_flow_outlet_kind(in));
}
