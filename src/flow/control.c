/* recover, time-outs, kill switches, watch_termination: stages that pass elements on and watch. */
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

/* ---- kill switch ----------------------------------------------------------------------------- */

enum switch_state { SWITCH_ON, SWITCH_WRITING, SWITCH_SHUTDOWN, SWITCH_ABORTED };

struct weir_flow_kill_switch {
    struct weir_flow_event event;
    _Atomic int state;
    struct weir_error error;
};

static enum weir_err switch_init(void *self, struct weir_flow_stage *stage,
                                 struct weir_error *error)
{
    struct weir_flow_kill_switch *kill_switch = self;

    (void)error;
    weir_flow_event_init(&kill_switch->event, stage);
    weir_flow_stage_value_set(stage, kill_switch);
    return WEIR_OK;
}

static void switch_event(void *self, struct weir_flow_stage *stage, struct weir_flow_event *event)
{
    struct weir_flow_kill_switch *kill_switch = self;

    (void)event;
    if (atomic_load(&kill_switch->state) == SWITCH_ABORTED)
        weir_flow_fail_stage(stage, &kill_switch->error);
    else
        weir_flow_complete_stage(stage);
}

static const struct weir_flow_stage_ops switch_ops = {
    .abi = WEIR_FLOW_STAGE_ABI,
    .name = "kill_switch",
    .self_bytes = sizeof(struct weir_flow_kill_switch),
    .init = switch_init,
    .on_push = pass,
    .on_pull = pull_in,
    .on_event = switch_event,
};

struct weir_flow_outlet weir_flow_kill_switch(struct weir_flow_outlet in)
{
    return flow_add_linear(in, &switch_ops, NULL, 0, weir_flow_outlet_kind(in));
}

void weir_flow_kill_switch_shutdown(struct weir_flow_kill_switch *kill_switch)
{
    int on = SWITCH_ON;

    if (atomic_compare_exchange_strong(&kill_switch->state, &on, SWITCH_SHUTDOWN))
        weir_flow_invoke(&kill_switch->event);
}

void weir_flow_kill_switch_abort(struct weir_flow_kill_switch *kill_switch,
                                 const struct weir_error *error)
{
    int on = SWITCH_ON;

    weir_assert(error->code != WEIR_OK);
    if (!atomic_compare_exchange_strong(&kill_switch->state, &on, SWITCH_WRITING))
        return;
    kill_switch->error = *error;
    atomic_store(&kill_switch->state, SWITCH_ABORTED);
    weir_flow_invoke(&kill_switch->event);
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
