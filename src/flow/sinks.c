/* Sinks. A failure from above needs no handler: fail_stage makes it the result. */
#include "base/alloc.h"
#include "flow/inside.h"

static void sink_start(void *self, struct weir_flow_stage *stage)
{
    (void)self;
    flow_pull(stage, 0);
}

static void finish_ok(void *self, struct weir_flow_stage *stage, uint32_t inlet)
{
    (void)self;
    (void)inlet;
    weir_flow_resolve(stage, NULL, NULL);
}

static void fail_with(struct weir_flow_stage *stage, enum weir_err err, struct weir_error *error)
{
    if (error->code != err)
        weir_error_set(error, err, -1, "stage %s: %s", stage->ops->name, weir_err_text(err));
    weir_flow_fail_stage(stage, error);
}

/* ---- fold ------------------------------------------------------------------------------------ */

struct fold_config {
    void *initial;
    enum weir_err (*fn)(void *opaque, void *sum, void *element, void **sum_out,
                        struct weir_error *error);
    void *opaque;
    const struct weir_flow_kind *kind;
};

struct fold_self {
    void *sum;
};

static enum weir_err fold_init(void *self, struct weir_flow_stage *stage, struct weir_error *error)
{
    struct fold_self *fold = self;
    const struct fold_config *config = stage->config;

    (void)error;
    fold->sum = config->initial;
    if (config->initial != NULL && config->kind != NULL) {
        fold->sum = config->kind->share(config->initial);
        if (fold->sum == NULL)
            return WEIR_NOMEM;
    }
    return WEIR_OK;
}

static void fold_release(void *self, struct weir_flow_stage *stage)
{
    struct fold_self *fold = self;
    const struct fold_config *config = stage->config;

    if (fold->sum != NULL)
        weir_flow_drop_element(config->kind, fold->sum);
}

static void fold_push(void *self, struct weir_flow_stage *stage, uint32_t inlet)
{
    struct fold_self *fold = self;
    const struct fold_config *config = stage->config;
    struct weir_error error;
    void *sum = fold->sum;
    enum weir_err err;

    error.code = WEIR_OK;
    fold->sum = NULL;
    err = config->fn(config->opaque, sum, flow_grab(stage, inlet), &sum, &error);
    if (err != WEIR_OK) {
        fail_with(stage, err, &error);
        return;
    }
    fold->sum = sum;
    flow_pull(stage, inlet);
}

static void fold_finish(void *self, struct weir_flow_stage *stage, uint32_t inlet)
{
    struct fold_self *fold = self;
    const struct fold_config *config = stage->config;

    (void)inlet;
    weir_flow_resolve(stage, fold->sum, config->kind);
    fold->sum = NULL;
}

static const struct weir_flow_stage_ops fold_ops = {
    .abi = WEIR_FLOW_STAGE_ABI,
    .name = "fold",
    .self_bytes = sizeof(struct fold_self),
    .init = fold_init,
    .release = fold_release,
    .start = sink_start,
    .on_push = fold_push,
    .on_upstream_finish = fold_finish,
};

int32_t weir_flow_fold(struct weir_flow_outlet in, void *initial,
                       enum weir_err (*fn)(void *opaque, void *sum, void *element, void **sum_out,
                                           struct weir_error *error),
                       void *opaque, const struct weir_flow_kind *kind)
{
    const struct fold_config config = {initial, fn, opaque, kind};

    if (initial != NULL && kind != NULL && kind->share == NULL)
        weir_flow_graph_fail(in.graph, WEIR_INVALID,
                             "flow: the beginning of a fold needs a kind with share");
    return flow_add_sink(in, &fold_ops, &config, sizeof config);
}

/* ---- collect_all ----------------------------------------------------------------------------- */

struct all_self {
    struct weir_flow_group *group;
    uint32_t capacity;
};

static void drop_group(void *element)
{
    weir_flow_group_free(element);
}

static const struct weir_flow_kind all_kind = {.drop = drop_group};

static bool all_grow(struct all_self *all, const struct weir_flow_kind *kind)
{
    uint32_t capacity = all->capacity > 0 ? all->capacity * 2 : 16;
    struct weir_flow_group *group =
        weir_realloc(all->group, sizeof *group + capacity * sizeof(void *));

    if (group == NULL)
        return false;
    if (all->group == NULL)
        *group = (struct weir_flow_group){.kind = kind};
    all->group = group;
    all->capacity = capacity;
    return true;
}

static enum weir_err all_init(void *self, struct weir_flow_stage *stage, struct weir_error *error)
{
    (void)error;
    return all_grow(self, weir_flow_in_kind(stage, 0)) ? WEIR_OK : WEIR_NOMEM;
}

static void all_release(void *self, struct weir_flow_stage *stage)
{
    struct all_self *all = self;

    (void)stage;
    if (all->group != NULL)
        weir_flow_group_free(all->group);
}

static void all_push(void *self, struct weir_flow_stage *stage, uint32_t inlet)
{
    struct all_self *all = self;
    const uint32_t *max = stage->config;
    struct weir_error error = {.code = WEIR_OK};
    const struct weir_flow_kind *kind = weir_flow_in_kind(stage, inlet);
    void *element = flow_grab(stage, inlet);

    if (all->group->count == *max) {
        weir_flow_drop_element(kind, element);
        fail_with(stage, WEIR_LIMIT, &error);
        return;
    }
    if (all->group->count == all->capacity && !all_grow(all, kind)) {
        weir_flow_drop_element(kind, element);
        fail_with(stage, WEIR_NOMEM, &error);
        return;
    }
    all->group->elements[all->group->count++] = element;
    flow_pull(stage, inlet);
}

static void all_finish(void *self, struct weir_flow_stage *stage, uint32_t inlet)
{
    struct all_self *all = self;

    (void)inlet;
    weir_flow_resolve(stage, all->group, &all_kind);
    all->group = NULL;
}

static const struct weir_flow_stage_ops all_ops = {
    .abi = WEIR_FLOW_STAGE_ABI,
    .name = "collect_all",
    .self_bytes = sizeof(struct all_self),
    .init = all_init,
    .release = all_release,
    .start = sink_start,
    .on_push = all_push,
    .on_upstream_finish = all_finish,
};

int32_t weir_flow_collect_all(struct weir_flow_outlet in, uint32_t max)
{
    return flow_add_sink(in, &all_ops, &max, sizeof max);
}

/* ---- foreach, ignore ------------------------------------------------------------------------- */

struct foreach_config {
    enum weir_err (*fn)(void *opaque, void *element, struct weir_error *error);
    void *opaque;
};

static void foreach_push(void *self, struct weir_flow_stage *stage, uint32_t inlet)
{
    const struct foreach_config *config = stage->config;
    struct weir_error error;
    enum weir_err err;

    (void)self;
    error.code = WEIR_OK;
    err = config->fn(config->opaque, flow_grab(stage, inlet), &error);
    if (err != WEIR_OK)
        fail_with(stage, err, &error);
    else
        flow_pull(stage, inlet);
}

static const struct weir_flow_stage_ops foreach_ops = {
    .abi = WEIR_FLOW_STAGE_ABI,
    .name = "foreach",
    .start = sink_start,
    .on_push = foreach_push,
    .on_upstream_finish = finish_ok,
};

int32_t weir_flow_foreach(struct weir_flow_outlet in,
                          enum weir_err (*fn)(void *opaque, void *element,
                                              struct weir_error *error),
                          void *opaque)
{
    const struct foreach_config config = {fn, opaque};
    return flow_add_sink(in, &foreach_ops, &config, sizeof config);
}

static void ignore_push(void *self, struct weir_flow_stage *stage, uint32_t inlet)
{
    (void)self;
    weir_flow_drop_element(weir_flow_in_kind(stage, inlet), flow_grab(stage, inlet));
    flow_pull(stage, inlet);
}

static const struct weir_flow_stage_ops ignore_ops = {
    .abi = WEIR_FLOW_STAGE_ABI,
    .name = "ignore",
    .start = sink_start,
    .on_push = ignore_push,
    .on_upstream_finish = finish_ok,
};

int32_t weir_flow_ignore(struct weir_flow_outlet in)
{
    return flow_add_sink(in, &ignore_ops, NULL, 0);
}

/* ---- head, cancelled ------------------------------------------------------------------------- */

static void head_push(void *self, struct weir_flow_stage *stage, uint32_t inlet)
{
    (void)self;
    weir_flow_resolve(stage, flow_grab(stage, inlet), weir_flow_in_kind(stage, inlet));
    weir_flow_cancel(stage, inlet, NULL);
}

static void head_finish(void *self, struct weir_flow_stage *stage, uint32_t inlet)
{
    struct weir_error error;

    (void)self;
    (void)inlet;
    weir_error_set(&error, WEIR_NOT_FOUND, -1, "stage head: the stream had no element");
    weir_flow_resolve_error(stage, &error);
}

static const struct weir_flow_stage_ops head_ops = {
    .abi = WEIR_FLOW_STAGE_ABI,
    .name = "head",
    .start = sink_start,
    .on_push = head_push,
    .on_upstream_finish = head_finish,
};

int32_t weir_flow_head(struct weir_flow_outlet in)
{
    return flow_add_sink(in, &head_ops, NULL, 0);
}

static void cancelled_start(void *self, struct weir_flow_stage *stage)
{
    (void)self;
    weir_flow_cancel(stage, 0, NULL);
}

static const struct weir_flow_stage_ops cancelled_ops = {
    .abi = WEIR_FLOW_STAGE_ABI,
    .name = "cancelled",
    .start = cancelled_start,
    .on_push = ignore_push,
};

int32_t weir_flow_cancelled(struct weir_flow_outlet in)
{
    return flow_add_sink(in, &cancelled_ops, NULL, 0);
}
