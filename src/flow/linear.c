/* One element in, none or one or more out: map and its kin. */
#include <string.h>

#include "flow/inside.h"

static void pull_in(void *self, struct weir_flow_stage *stage, uint32_t outlet)
{
    (void)self;
    (void)outlet;
    flow_pull(stage, 0);
}

/* ---- map, collect ---------------------------------------------------------------------------- */

struct map_config {
    weir_flow_map_fn *fn;
    void *opaque;
    bool partial; /* collect: AGAIN leaves the element out */
};

/* Apart, so that the usual case needs few registers. */
static __attribute__((noinline)) void map_failed(struct weir_flow_stage *stage, enum weir_err err)
{
    const struct map_config *config = stage->config;

    if ((config->partial && err == WEIR_AGAIN) ||
        !flow_fail_or_resume(stage, err, &stage->island->scratch))
        flow_pull(stage, 0);
}

static void map_push(void *self, struct weir_flow_stage *stage, uint32_t inlet)
{
    const struct map_config *config = stage->config;
    struct weir_error *error = &stage->island->scratch;
    enum weir_err err;
    void *out;

    (void)self;
    (void)inlet;
    error->code = WEIR_OK;
    err = config->fn(config->opaque, flow_grab(stage, 0), &out, error);
    if (weir_likely(err == WEIR_OK))
        flow_push(stage, 0, out);
    else
        map_failed(stage, err);
}

static const struct weir_flow_stage_ops map_ops = {
    .abi = WEIR_FLOW_STAGE_ABI,
    .name = "map",
    .on_push = map_push,
    .on_pull = pull_in,
};

static const struct weir_flow_stage_ops collect_ops = {
    .abi = WEIR_FLOW_STAGE_ABI,
    .name = "collect",
    .on_push = map_push,
    .on_pull = pull_in,
};

struct weir_flow_outlet weir_flow_map(struct weir_flow_outlet in, weir_flow_map_fn *fn,
                                      void *opaque, const struct weir_flow_kind *kind)
{
    const struct map_config config = {fn, opaque, false};
    return flow_add_linear(in, &map_ops, &config, sizeof config, kind);
}

struct weir_flow_outlet weir_flow_collect(struct weir_flow_outlet in, weir_flow_map_fn *fn,
                                          void *opaque, const struct weir_flow_kind *kind)
{
    const struct map_config config = {fn, opaque, true};
    return flow_add_linear(in, &collect_ops, &config, sizeof config, kind);
}

/* ---- filter, take_while ---------------------------------------------------------------------- */

struct predicate_config {
    weir_flow_predicate *fn;
    void *opaque;
    bool inclusive;
};

static void filter_push(void *self, struct weir_flow_stage *stage, uint32_t inlet)
{
    const struct predicate_config *config = stage->config;
    void *element = flow_grab(stage, inlet);

    (void)self;
    if (config->fn(config->opaque, element)) {
        flow_push(stage, 0, element);
        return;
    }
    weir_flow_drop_element(weir_flow_in_kind(stage, inlet), element);
    flow_pull(stage, inlet);
}

static const struct weir_flow_stage_ops filter_ops = {
    .abi = WEIR_FLOW_STAGE_ABI,
    .name = "filter",
    .on_push = filter_push,
    .on_pull = pull_in,
};

struct weir_flow_outlet weir_flow_filter(struct weir_flow_outlet in, weir_flow_predicate *fn,
                                         void *opaque)
{
    const struct predicate_config config = {fn, opaque, false};
    return flow_add_linear(in, &filter_ops, &config, sizeof config, weir_flow_outlet_kind(in));
}

static void take_while_push(void *self, struct weir_flow_stage *stage, uint32_t inlet)
{
    const struct predicate_config *config = stage->config;
    void *element = flow_grab(stage, inlet);
    bool more = config->fn(config->opaque, element);

    (void)self;
    if (more || config->inclusive)
        flow_push(stage, 0, element);
    else
        weir_flow_drop_element(weir_flow_in_kind(stage, inlet), element);
    if (!more)
        weir_flow_complete_stage(stage);
}

static const struct weir_flow_stage_ops take_while_ops = {
    .abi = WEIR_FLOW_STAGE_ABI,
    .name = "take_while",
    .on_push = take_while_push,
    .on_pull = pull_in,
};

struct weir_flow_outlet weir_flow_take_while(struct weir_flow_outlet in, weir_flow_predicate *fn,
                                             void *opaque, bool inclusive)
{
    const struct predicate_config config = {fn, opaque, inclusive};
    return flow_add_linear(in, &take_while_ops, &config, sizeof config, weir_flow_outlet_kind(in));
}

/* ---- take, drop ------------------------------------------------------------------------------ */

struct count_self {
    uint64_t left;
};

static enum weir_err count_init(void *self, struct weir_flow_stage *stage, struct weir_error *error)
{
    struct count_self *count = self;

    (void)error;
    memcpy(&count->left, stage->config, sizeof count->left);
    return WEIR_OK;
}

static void take_start(void *self, struct weir_flow_stage *stage)
{
    struct count_self *count = self;

    if (count->left == 0)
        weir_flow_complete_stage(stage);
}

static void take_push(void *self, struct weir_flow_stage *stage, uint32_t inlet)
{
    struct count_self *count = self;

    flow_push(stage, 0, flow_grab(stage, inlet));
    if (--count->left == 0)
        weir_flow_complete_stage(stage);
}

static const struct weir_flow_stage_ops take_ops = {
    .abi = WEIR_FLOW_STAGE_ABI,
    .name = "take",
    .self_bytes = sizeof(struct count_self),
    .init = count_init,
    .start = take_start,
    .on_push = take_push,
    .on_pull = pull_in,
};

struct weir_flow_outlet weir_flow_take(struct weir_flow_outlet in, uint64_t count)
{
    return flow_add_linear(in, &take_ops, &count, sizeof count, weir_flow_outlet_kind(in));
}

static void drop_push(void *self, struct weir_flow_stage *stage, uint32_t inlet)
{
    struct count_self *count = self;
    void *element = flow_grab(stage, inlet);

    if (count->left == 0) {
        flow_push(stage, 0, element);
        return;
    }
    count->left--;
    weir_flow_drop_element(weir_flow_in_kind(stage, inlet), element);
    flow_pull(stage, inlet);
}

static const struct weir_flow_stage_ops drop_ops = {
    .abi = WEIR_FLOW_STAGE_ABI,
    .name = "drop",
    .self_bytes = sizeof(struct count_self),
    .init = count_init,
    .on_push = drop_push,
    .on_pull = pull_in,
};

struct weir_flow_outlet weir_flow_drop(struct weir_flow_outlet in, uint64_t count)
{
    return flow_add_linear(in, &drop_ops, &count, sizeof count, weir_flow_outlet_kind(in));
}

/* ---- stateful_map ---------------------------------------------------------------------------- */

struct stateful_self {
    void *state;
    bool has_state;
    void *last; /* what `complete` gave, waiting for demand */
};

static enum weir_err stateful_init(void *self, struct weir_flow_stage *stage,
                                   struct weir_error *error)
{
    struct stateful_self *map = self;
    const struct weir_flow_stateful_map *config = stage->config;
    enum weir_err err = config->create(config->opaque, &map->state, error);

    map->has_state = err == WEIR_OK;
    return err;
}

static void stateful_release(void *self, struct weir_flow_stage *stage)
{
    struct stateful_self *map = self;
    const struct weir_flow_stateful_map *config = stage->config;

    if (map->has_state && config->free_state != NULL)
        config->free_state(config->opaque, map->state);
    map->has_state = false;
}

static void stateful_push(void *self, struct weir_flow_stage *stage, uint32_t inlet)
{
    struct stateful_self *map = self;
    const struct weir_flow_stateful_map *config = stage->config;
    enum weir_flow_directive directive;
    struct weir_error error;
    enum weir_err err;
    void *out;

    error.code = WEIR_OK;
    err = config->map(config->opaque, map->state, flow_grab(stage, inlet), &out, &error);
    if (err == WEIR_OK) {
        flow_push(stage, 0, out);
        return;
    }
    if (err != WEIR_AGAIN) {
        if (error.code != err)
            weir_error_set(&error, err, -1, "stage stateful_map: %s", weir_err_text(err));
        directive = flow_decide(stage, &error);
        if (directive == WEIR_FLOW_RESTART) {
            stateful_release(self, stage);
            err = stateful_init(self, stage, &error);
        }
        if (directive == WEIR_FLOW_STOP || (directive == WEIR_FLOW_RESTART && err != WEIR_OK)) {
            weir_flow_fail_stage(stage, &error);
            return;
        }
    }
    flow_pull(stage, inlet);
}

static void stateful_finish(void *self, struct weir_flow_stage *stage, uint32_t inlet)
{
    struct stateful_self *map = self;
    const struct weir_flow_stateful_map *config = stage->config;
    struct weir_error error;
    enum weir_err err = WEIR_AGAIN;

    (void)inlet;
    error.code = WEIR_OK;
    if (config->complete != NULL)
        err = config->complete(config->opaque, map->state, &map->last, &error);
    if (err != WEIR_OK)
        map->last = NULL;
    if (err == WEIR_AGAIN) {
        weir_flow_complete_stage(stage);
    } else if (err != WEIR_OK) {
        if (error.code != err)
            weir_error_set(&error, err, -1, "stage stateful_map: %s", weir_err_text(err));
        weir_flow_fail_stage(stage, &error);
    } else if (weir_flow_out_is_available(stage, 0)) {
        flow_push(stage, 0, map->last);
        map->last = NULL;
        weir_flow_complete_stage(stage);
    }
}

static void stateful_pull(void *self, struct weir_flow_stage *stage, uint32_t outlet)
{
    struct stateful_self *map = self;

    if (map->last == NULL) {
        flow_pull(stage, 0);
        return;
    }
    flow_push(stage, outlet, map->last);
    map->last = NULL;
    weir_flow_complete_stage(stage);
}

static void stateful_stop(void *self, struct weir_flow_stage *stage)
{
    struct stateful_self *map = self;

    if (map->last != NULL)
        weir_flow_drop_element(weir_flow_out_kind(stage, 0), map->last);
}

static const struct weir_flow_stage_ops stateful_ops = {
    .abi = WEIR_FLOW_STAGE_ABI,
    .name = "stateful_map",
    .self_bytes = sizeof(struct stateful_self),
    .init = stateful_init,
    .release = stateful_release,
    .stop = stateful_stop,
    .on_push = stateful_push,
    .on_upstream_finish = stateful_finish,
    .on_pull = stateful_pull,
};

struct weir_flow_outlet weir_flow_stateful_map(struct weir_flow_outlet in,
                                               const struct weir_flow_stateful_map *map,
                                               const struct weir_flow_kind *kind)
{
    return flow_add_linear(in, &stateful_ops, map, sizeof *map, kind);
}

/* ---- map_concat ------------------------------------------------------------------------------ */

struct concat_self {
    void *cursor;
    bool is_open;
};

static void concat_close(struct concat_self *concat, const struct weir_flow_map_concat *config)
{
    if (concat->is_open && config->close != NULL)
        config->close(config->opaque, concat->cursor);
    concat->is_open = false;
}

/* The next element of the cursor, or of the next input. */
static void concat_emit(struct concat_self *concat, struct weir_flow_stage *stage)
{
    const struct weir_flow_map_concat *config = stage->config;
    struct weir_error error;
    enum weir_err err = WEIR_END;
    void *out;

    error.code = WEIR_OK;
    if (concat->is_open)
        err = config->next(config->opaque, concat->cursor, &out, &error);
    if (err == WEIR_OK) {
        flow_push(stage, 0, out);
        return;
    }
    concat_close(concat, config);
    if (err != WEIR_END && flow_fail_or_resume(stage, err, &error))
        return;
    if (weir_flow_in_is_closed(stage, 0))
        weir_flow_complete_stage(stage);
    else
        weir_flow_try_pull(stage, 0);
}

static void concat_push(void *self, struct weir_flow_stage *stage, uint32_t inlet)
{
    struct concat_self *concat = self;
    const struct weir_flow_map_concat *config = stage->config;
    struct weir_error error;
    enum weir_err err;

    error.code = WEIR_OK;
    err = config->open(config->opaque, flow_grab(stage, inlet), &concat->cursor, &error);
    concat->is_open = err == WEIR_OK;
    if (err == WEIR_OK || !flow_fail_or_resume(stage, err, &error))
        concat_emit(concat, stage);
}

static void concat_pull(void *self, struct weir_flow_stage *stage, uint32_t outlet)
{
    (void)outlet;
    concat_emit(self, stage);
}

static void concat_finish(void *self, struct weir_flow_stage *stage, uint32_t inlet)
{
    struct concat_self *concat = self;

    (void)inlet;
    if (!concat->is_open)
        weir_flow_complete_stage(stage);
}

static void concat_stop(void *self, struct weir_flow_stage *stage)
{
    concat_close(self, stage->config);
}

static const struct weir_flow_stage_ops map_concat_ops = {
    .abi = WEIR_FLOW_STAGE_ABI,
    .name = "map_concat",
    .self_bytes = sizeof(struct concat_self),
    .stop = concat_stop,
    .on_push = concat_push,
    .on_upstream_finish = concat_finish,
    .on_pull = concat_pull,
};

struct weir_flow_outlet weir_flow_map_concat(struct weir_flow_outlet in,
                                             const struct weir_flow_map_concat *map,
                                             const struct weir_flow_kind *kind)
{
    return flow_add_linear(in, &map_concat_ops, map, sizeof *map, kind);
}
