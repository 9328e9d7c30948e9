/* One inlet, several outlets. */
#include "flow/inside.h"

static bool all_closed(const struct weir_flow_stage *stage)
{
    for (uint32_t i = 0; i < stage->out_count; i++)
        if (!weir_flow_out_is_closed(stage, i))
            return false;
    return true;
}

static int32_t add_fan_out(struct weir_flow_outlet in, const struct weir_flow_stage_ops *ops,
                           const void *config, size_t config_bytes, uint32_t count)
{
    const struct weir_flow_stage_options options = {.config = config,
                                                    .config_bytes = config_bytes,
                                                    .ins = &in,
                                                    .in_count = 1,
                                                    .out_count = count,
                                                    .kind = weir_flow_outlet_kind(in)};
    return weir_flow_stage_add(in.graph, ops, &options);
}

static void give_outlets(struct weir_flow_graph *graph, int32_t stage,
                         struct weir_flow_outlet *outs, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        outs[i] = (struct weir_flow_outlet){graph, stage, (int32_t)i};
}

static bool can_share(struct weir_flow_outlet in)
{
    const struct weir_flow_kind *kind = weir_flow_outlet_kind(in);

    if (kind == NULL || kind->share != NULL)
        return true;
    weir_flow_graph_fail(in.graph, WEIR_INVALID,
                         "flow: elements that go to several need a kind with share");
    return false;
}

static bool share_to(struct weir_flow_stage *stage, uint32_t outlet, void *element)
{
    const struct weir_flow_kind *kind = weir_flow_in_kind(stage, 0);
    void *shared = kind != NULL ? kind->share(element) : element;
    struct weir_error error;

    if (shared != NULL) {
        flow_push(stage, outlet, shared);
        return true;
    }
    weir_error_set(&error, WEIR_NOMEM, -1, "stage %s: no memory to share an element",
                   stage->ops->name);
    weir_flow_fail_stage(stage, &error);
    return false;
}

/* ---- broadcast ------------------------------------------------------------------------------- */

struct broadcast_config {
    bool eager; /* ends with the first outlet that cancels */
};

static void broadcast_pull(void *self, struct weir_flow_stage *stage, uint32_t outlet)
{
    (void)self;
    (void)outlet;
    for (uint32_t i = 0; i < stage->out_count; i++)
        if (!weir_flow_out_is_closed(stage, i) && !weir_flow_out_is_available(stage, i))
            return;
    weir_flow_try_pull(stage, 0);
}

static void broadcast_push(void *self, struct weir_flow_stage *stage, uint32_t inlet)
{
    void *element = flow_grab(stage, inlet);

    (void)self;
    for (uint32_t i = 0; i < stage->out_count; i++)
        if (!weir_flow_out_is_closed(stage, i) && !share_to(stage, i, element))
            break;
    weir_flow_drop_element(weir_flow_in_kind(stage, inlet), element);
}

static void broadcast_cancelled(void *self, struct weir_flow_stage *stage, uint32_t outlet,
                                const struct weir_error *cause)
{
    const struct broadcast_config *config = stage->config;

    if (config->eager || all_closed(stage))
        weir_flow_cancel_stage(stage, cause);
    else
        broadcast_pull(self, stage, outlet);
}

static const struct weir_flow_stage_ops broadcast_ops = {
    .abi = WEIR_FLOW_STAGE_ABI,
    .name = "broadcast",
    .on_push = broadcast_push,
    .on_pull = broadcast_pull,
    .on_downstream_finish = broadcast_cancelled,
};

static void add_broadcast(struct weir_flow_outlet in, bool eager, struct weir_flow_outlet *outs,
                          uint32_t count)
{
    const struct broadcast_config config = {eager};
    int32_t stage = WEIR_FLOW_NONE;

    if (can_share(in))
        stage = add_fan_out(in, &broadcast_ops, &config, sizeof config, count);
    give_outlets(in.graph, stage, outs, count);
}

void weir_flow_broadcast(struct weir_flow_outlet in, struct weir_flow_outlet *outs, uint32_t count)
{
    add_broadcast(in, false, outs, count);
}

struct weir_flow_outlet weir_flow_also_to(struct weir_flow_outlet in,
                                          struct weir_flow_outlet *side_out)
{
    struct weir_flow_outlet outs[2];

    add_broadcast(in, true, outs, 2);
    *side_out = outs[1];
    return outs[0];
}

/* ---- balance --------------------------------------------------------------------------------- */

struct balance_self {
    uint32_t next; /* whose turn it is, among those that have asked */
};

static bool balance_send(struct balance_self *balance, struct weir_flow_stage *stage)
{
    for (uint32_t i = 0; i < stage->out_count; i++) {
        uint32_t outlet = (balance->next + i) % stage->out_count;
        if (weir_flow_out_is_available(stage, outlet)) {
            balance->next = outlet + 1;
            flow_push(stage, outlet, flow_grab(stage, 0));
            return true;
        }
    }
    return false;
}

static void balance_pull(void *self, struct weir_flow_stage *stage, uint32_t outlet)
{
    (void)outlet;
    if (weir_flow_in_is_available(stage, 0))
        balance_send(self, stage);
    else
        weir_flow_try_pull(stage, 0);
    if (weir_flow_in_is_closed(stage, 0))
        weir_flow_complete_stage(stage);
}

static void balance_push(void *self, struct weir_flow_stage *stage, uint32_t inlet)
{
    if (!balance_send(self, stage))
        return; /* who had asked has cancelled: the next that asks gets it */
    for (uint32_t i = 0; i < stage->out_count; i++)
        if (weir_flow_out_is_available(stage, i)) {
            weir_flow_try_pull(stage, inlet);
            return;
        }
}

static void balance_finish(void *self, struct weir_flow_stage *stage, uint32_t inlet)
{
    (void)self;
    if (!weir_flow_in_is_available(stage, inlet))
        weir_flow_complete_stage(stage);
}

static void balance_cancelled(void *self, struct weir_flow_stage *stage, uint32_t outlet,
                              const struct weir_error *cause)
{
    (void)self;
    (void)outlet;
    if (all_closed(stage))
        weir_flow_cancel_stage(stage, cause);
}

static const struct weir_flow_stage_ops balance_ops = {
    .abi = WEIR_FLOW_STAGE_ABI,
    .name = "balance",
    .self_bytes = sizeof(struct balance_self),
    .on_push = balance_push,
    .on_upstream_finish = balance_finish,
    .on_pull = balance_pull,
    .on_downstream_finish = balance_cancelled,
};

void weir_flow_balance(struct weir_flow_outlet in, struct weir_flow_outlet *outs, uint32_t count)
{
    give_outlets(in.graph, add_fan_out(in, &balance_ops, NULL, 0, count), outs, count);
}

/* ---- partition ------------------------------------------------------------------------------- */

struct partition_config {
    uint32_t (*fn)(void *opaque, const void *element);
    weir_flow_predicate *divert; /* instead of fn: true = outlet 1 */
    void *opaque;
    bool eager;
};

struct partition_self {
    void *element; /* waits for demand of its outlet */
    uint32_t outlet;
};

static void partition_push(void *self, struct weir_flow_stage *stage, uint32_t inlet)
{
    struct partition_self *partition = self;
    const struct partition_config *config = stage->config;
    void *element = flow_grab(stage, inlet);
    uint32_t outlet = config->divert != NULL ? config->divert(config->opaque, element)
                                             : config->fn(config->opaque, element);

    if (outlet >= stage->out_count)
        flow_illegal(stage, "partition to an outlet that there is not", outlet);
    if (!weir_flow_out_is_closed(stage, outlet) && !weir_flow_out_is_available(stage, outlet)) {
        partition->element = element;
        partition->outlet = outlet;
        return;
    }
    if (weir_flow_out_is_closed(stage, outlet))
        weir_flow_drop_element(weir_flow_in_kind(stage, inlet), element);
    else
        flow_push(stage, outlet, element);
    for (uint32_t i = 0; i < stage->out_count; i++)
        if (weir_flow_out_is_available(stage, i)) {
            weir_flow_try_pull(stage, inlet);
            return;
        }
}

static void partition_pull(void *self, struct weir_flow_stage *stage, uint32_t outlet)
{
    struct partition_self *partition = self;

    if (partition->element == NULL) {
        weir_flow_try_pull(stage, 0);
    } else if (partition->outlet == outlet) {
        flow_push(stage, outlet, partition->element);
        partition->element = NULL;
        if (weir_flow_in_is_closed(stage, 0)) {
            weir_flow_complete_stage(stage);
            return;
        }
        for (uint32_t i = 0; i < stage->out_count; i++)
            if (weir_flow_out_is_available(stage, i)) {
                weir_flow_try_pull(stage, 0);
                return;
            }
    }
}

static void partition_finish(void *self, struct weir_flow_stage *stage, uint32_t inlet)
{
    struct partition_self *partition = self;

    (void)inlet;
    if (partition->element == NULL)
        weir_flow_complete_stage(stage);
}

static void partition_stop(void *self, struct weir_flow_stage *stage)
{
    struct partition_self *partition = self;

    if (partition->element != NULL)
        weir_flow_drop_element(weir_flow_in_kind(stage, 0), partition->element);
    partition->element = NULL;
}

static void partition_cancelled(void *self, struct weir_flow_stage *stage, uint32_t outlet,
                                const struct weir_error *cause)
{
    struct partition_self *partition = self;
    const struct partition_config *config = stage->config;

    if (config->eager || all_closed(stage)) {
        weir_flow_cancel_stage(stage, cause);
        return;
    }
    if (partition->element == NULL || partition->outlet != outlet)
        return;
    partition_stop(self, stage);
    if (weir_flow_in_is_closed(stage, 0))
        weir_flow_complete_stage(stage);
    else
        weir_flow_try_pull(stage, 0);
}

static const struct weir_flow_stage_ops partition_ops = {
    .abi = WEIR_FLOW_STAGE_ABI,
    .name = "partition",
    .self_bytes = sizeof(struct partition_self),
    .stop = partition_stop,
    .on_push = partition_push,
    .on_upstream_finish = partition_finish,
    .on_pull = partition_pull,
    .on_downstream_finish = partition_cancelled,
};

void weir_flow_partition(struct weir_flow_outlet in,
                         uint32_t (*fn)(void *opaque, const void *element), void *opaque,
                         struct weir_flow_outlet *outs, uint32_t count)
{
    const struct partition_config config = {.fn = fn, .opaque = opaque};
    give_outlets(in.graph, add_fan_out(in, &partition_ops, &config, sizeof config, count), outs,
                 count);
}

struct weir_flow_outlet weir_flow_divert_to(struct weir_flow_outlet in, weir_flow_predicate *fn,
                                            void *opaque, struct weir_flow_outlet *side_out)
{
    const struct partition_config config = {.divert = fn, .opaque = opaque, .eager = true};
    struct weir_flow_outlet outs[2];

    give_outlets(in.graph, add_fan_out(in, &partition_ops, &config, sizeof config, 2), outs, 2);
    *side_out = outs[1];
    return outs[0];
}

/* ---- wire_tap -------------------------------------------------------------------------------- */

static void tap_push(void *self, struct weir_flow_stage *stage, uint32_t inlet)
{
    void *element = flow_grab(stage, inlet);

    (void)self;
    if (weir_flow_out_is_available(stage, 1) && !share_to(stage, 1, element)) {
        weir_flow_drop_element(weir_flow_in_kind(stage, inlet), element);
        return;
    }
    flow_push(stage, 0, element);
}

static void tap_pull(void *self, struct weir_flow_stage *stage, uint32_t outlet)
{
    (void)self;
    if (outlet == 0)
        flow_pull(stage, 0);
}

static void tap_cancelled(void *self, struct weir_flow_stage *stage, uint32_t outlet,
                          const struct weir_error *cause)
{
    (void)self;
    if (outlet == 0)
        weir_flow_cancel_stage(stage, cause);
}

static const struct weir_flow_stage_ops tap_ops = {
    .abi = WEIR_FLOW_STAGE_ABI,
    .name = "wire_tap",
    .on_push = tap_push,
    .on_pull = tap_pull,
    .on_downstream_finish = tap_cancelled,
};

struct weir_flow_outlet weir_flow_wire_tap(struct weir_flow_outlet in,
                                           struct weir_flow_outlet *side_out)
{
    struct weir_flow_outlet outs[2];
    int32_t stage = WEIR_FLOW_NONE;

    if (can_share(in))
        stage = add_fan_out(in, &tap_ops, NULL, 0, 2);
    give_outlets(in.graph, stage, outs, 2);
    *side_out = outs[1];
    return outs[0];
}
