/* Several elements as one: grouped and grouped_within. */
#include "base/alloc.h"
#include "flow/inside.h"

void weir_flow_group_free(struct weir_flow_group *group)
{
    for (uint32_t i = 0; i < group->count; i++)
        weir_flow_drop_element(group->kind, group->elements[i]);
    weir_free(group);
}

static void drop_group(void *element)
{
    weir_flow_group_free(element);
}

static const struct weir_flow_kind group_kind = {.drop = drop_group};

struct group_config {
    uint32_t count;
    int64_t within_ms; /* 0: no limit of time */
};

struct group_self {
    struct weir_flow_group *group; /* NULL: empty */
    bool due;                      /* to go out as soon as there is demand */
};

static void group_start(void *self, struct weir_flow_stage *stage)
{
    const struct group_config *config = stage->config;

    (void)self;
    if (config->within_ms == 0)
        return;
    weir_flow_timer_start(stage, 0, config->within_ms, config->within_ms);
    flow_pull(stage, 0);
}

static void group_send(struct group_self *group, struct weir_flow_stage *stage)
{
    const struct group_config *config = stage->config;

    flow_push(stage, 0, group->group);
    group->group = NULL;
    group->due = false;
    if (config->within_ms > 0)
        weir_flow_timer_start(stage, 0, config->within_ms, config->within_ms);
}

static bool group_add(struct group_self *group, struct weir_flow_stage *stage, void *element)
{
    const struct group_config *config = stage->config;
    struct weir_error error;

    if (group->group == NULL) {
        group->group = weir_alloc(sizeof *group->group + config->count * sizeof(void *));
        if (group->group == NULL) {
            weir_flow_drop_element(weir_flow_in_kind(stage, 0), element);
            weir_error_set(&error, WEIR_NOMEM, -1, "stage %s: no memory for a group",
                           stage->ops->name);
            weir_flow_fail_stage(stage, &error);
            return false;
        }
        group->group->kind = weir_flow_in_kind(stage, 0);
        group->group->count = 0;
    }
    group->group->elements[group->group->count++] = element;
    return true;
}

static void group_push(void *self, struct weir_flow_stage *stage, uint32_t inlet)
{
    struct group_self *group = self;
    const struct group_config *config = stage->config;

    if (!group_add(group, stage, flow_grab(stage, inlet)))
        return;
    if (group->group->count < config->count) {
        flow_pull(stage, inlet);
        return;
    }
    group->due = true;
    if (!weir_flow_out_is_available(stage, 0))
        return;
    group_send(group, stage);
    if (config->within_ms > 0)
        flow_pull(stage, inlet);
}

static void group_pull(void *self, struct weir_flow_stage *stage, uint32_t outlet)
{
    struct group_self *group = self;

    (void)outlet;
    if (group->due)
        group_send(group, stage);
    if (weir_flow_in_is_closed(stage, 0))
        weir_flow_complete_stage(stage);
    else
        weir_flow_try_pull(stage, 0);
}

static void group_timer(void *self, struct weir_flow_stage *stage, uint32_t timer)
{
    struct group_self *group = self;

    (void)timer;
    if (group->group == NULL)
        return;
    group->due = true;
    if (weir_flow_out_is_available(stage, 0)) {
        group_send(group, stage);
        weir_flow_try_pull(stage, 0);
    }
}

static void group_finish(void *self, struct weir_flow_stage *stage, uint32_t inlet)
{
    struct group_self *group = self;

    (void)inlet;
    group->due = group->group != NULL;
    if (group->due && !weir_flow_out_is_available(stage, 0)) {
        const struct group_config *config = stage->config;
        if (config->within_ms > 0)
            weir_flow_timer_stop(stage, 0);
        return;
    }
    if (group->due)
        group_send(group, stage);
    weir_flow_complete_stage(stage);
}

static void group_stop(void *self, struct weir_flow_stage *stage)
{
    struct group_self *group = self;

    (void)stage;
    if (group->group != NULL)
        weir_flow_group_free(group->group);
}

static const struct weir_flow_stage_ops grouped_ops = {
    .abi = WEIR_FLOW_STAGE_ABI,
    .name = "grouped",
    .self_bytes = sizeof(struct group_self),
    .stop = group_stop,
    .on_push = group_push,
    .on_upstream_finish = group_finish,
    .on_pull = group_pull,
};

static const struct weir_flow_stage_ops grouped_within_ops = {
    .abi = WEIR_FLOW_STAGE_ABI,
    .name = "grouped_within",
    .self_bytes = sizeof(struct group_self),
    .timer_count = 1,
    .start = group_start,
    .stop = group_stop,
    .on_push = group_push,
    .on_upstream_finish = group_finish,
    .on_pull = group_pull,
    .on_timer = group_timer,
};

static struct weir_flow_outlet add_grouped(struct weir_flow_outlet in, uint32_t count,
                                           int64_t within_ms, const struct weir_flow_stage_ops *ops)
{
    const struct group_config config = {count, within_ms};

    if (count == 0 || count > WEIR_FLOW_BUFFER_MAX || within_ms < 0) {
        weir_flow_graph_fail(in.graph, WEIR_INVALID, "flow: groups of no or too many elements");
        return flow_no_outlet(in.graph);
    }
    return flow_add_linear(in, ops, &config, sizeof config, &group_kind);
}

struct weir_flow_outlet weir_flow_grouped(struct weir_flow_outlet in, uint32_t count)
{
    return add_grouped(in, count, 0, &grouped_ops);
}

struct weir_flow_outlet weir_flow_grouped_within(struct weir_flow_outlet in, uint32_t count,
                                                 int64_t within_ms)
{
    return add_grouped(in, count, within_ms > 0 ? within_ms : -1, &grouped_within_ops);
}
