/* Several inlets, one outlet. */
#include "base/alloc.h"
#include "flow/inside.h"

static struct weir_flow_outlet add_fan_in(const struct weir_flow_outlet *ins, uint32_t count,
                                          const struct weir_flow_stage_ops *ops)
{
    struct weir_flow_stage_options options = {.ins = ins, .in_count = count, .out_count = 1};

    weir_assert(count > 0);
    options.kind = weir_flow_outlet_kind(ins[0]);
    for (uint32_t i = 1; i < count; i++)
        if (ins[i].stage >= 0 && weir_flow_outlet_kind(ins[i]) != options.kind)
            weir_flow_graph_fail(ins[0].graph, WEIR_INVALID,
                                 "flow: elements of several kinds would come together");
    return (struct weir_flow_outlet){ins[0].graph, weir_flow_stage_add(ins[0].graph, ops, &options),
                                     0};
}

/* True if nothing can come any more. */
static bool is_over(const struct weir_flow_stage *stage)
{
    for (uint32_t i = 0; i < stage->in_count; i++)
        if (!weir_flow_in_is_closed(stage, i) || weir_flow_in_is_available(stage, i))
            return false;
    return true;
}

static void complete_when_over(struct weir_flow_stage *stage)
{
    if (is_over(stage))
        weir_flow_complete_stage(stage);
}

/* ---- merge ----------------------------------------------------------------------------------- */

struct merge_self {
    uint16_t *line; /* inlets with an element, in order of arrival; inlet 0 of preferred apart */
    uint32_t first, count;
    bool prefers;
};

static enum weir_err merge_init(void *self, struct weir_flow_stage *stage, struct weir_error *error)
{
    struct merge_self *merge = self;

    (void)error;
    merge->line = weir_flow_stage_alloc(stage, stage->in_count * sizeof *merge->line);
    return merge->line != NULL ? WEIR_OK : WEIR_NOMEM;
}

static enum weir_err preferred_init(void *self, struct weir_flow_stage *stage,
                                    struct weir_error *error)
{
    struct merge_self *merge = self;

    merge->prefers = true;
    return merge_init(self, stage, error);
}

static void merge_start(void *self, struct weir_flow_stage *stage)
{
    (void)self;
    for (uint32_t i = 0; i < stage->in_count; i++)
        flow_pull(stage, i);
}

static void merge_send(struct weir_flow_stage *stage, uint32_t inlet)
{
    flow_push(stage, 0, flow_grab(stage, inlet));
    weir_flow_try_pull(stage, inlet);
    complete_when_over(stage);
}

static void merge_push(void *self, struct weir_flow_stage *stage, uint32_t inlet)
{
    struct merge_self *merge = self;

    if (weir_flow_out_is_available(stage, 0))
        merge_send(stage, inlet);
    else if (!merge->prefers || inlet > 0)
        merge->line[(merge->first + merge->count++) % stage->in_count] = (uint16_t)inlet;
}

static void merge_pull(void *self, struct weir_flow_stage *stage, uint32_t outlet)
{
    struct merge_self *merge = self;
    uint32_t inlet;

    (void)outlet;
    if (merge->prefers && weir_flow_in_is_available(stage, 0)) {
        merge_send(stage, 0);
    } else if (merge->count > 0) {
        inlet = merge->line[merge->first];
        merge->first = (merge->first + 1) % stage->in_count;
        merge->count--;
        merge_send(stage, inlet);
    }
}

static void merge_finish(void *self, struct weir_flow_stage *stage, uint32_t inlet)
{
    (void)self;
    (void)inlet;
    complete_when_over(stage);
}

static const struct weir_flow_stage_ops merge_ops = {
    .abi = WEIR_FLOW_STAGE_ABI,
    .name = "merge",
    .self_bytes = sizeof(struct merge_self),
    .init = merge_init,
    .start = merge_start,
    .on_push = merge_push,
    .on_upstream_finish = merge_finish,
    .on_pull = merge_pull,
};

static const struct weir_flow_stage_ops preferred_ops = {
    .abi = WEIR_FLOW_STAGE_ABI,
    .name = "merge_preferred",
    .self_bytes = sizeof(struct merge_self),
    .init = preferred_init,
    .start = merge_start,
    .on_push = merge_push,
    .on_upstream_finish = merge_finish,
    .on_pull = merge_pull,
};

struct weir_flow_outlet weir_flow_merge(const struct weir_flow_outlet *ins, uint32_t count)
{
    return add_fan_in(ins, count, &merge_ops);
}

struct weir_flow_outlet weir_flow_merge_preferred(const struct weir_flow_outlet *ins,
                                                  uint32_t count)
{
    return add_fan_in(ins, count, &preferred_ops);
}

/* ---- concat ---------------------------------------------------------------------------------- */

struct concat_self {
    uint32_t current;
};

static void concat_push(void *self, struct weir_flow_stage *stage, uint32_t inlet)
{
    (void)self;
    flow_push(stage, 0, flow_grab(stage, inlet));
}

static void concat_pull(void *self, struct weir_flow_stage *stage, uint32_t outlet)
{
    struct concat_self *concat = self;

    (void)outlet;
    flow_pull(stage, concat->current);
}

static void concat_finish(void *self, struct weir_flow_stage *stage, uint32_t inlet)
{
    struct concat_self *concat = self;

    if (inlet != concat->current)
        return;
    while (concat->current < stage->in_count && weir_flow_in_is_closed(stage, concat->current))
        concat->current++;
    if (concat->current == stage->in_count)
        weir_flow_complete_stage(stage);
    else if (weir_flow_out_is_available(stage, 0))
        flow_pull(stage, concat->current);
}

static const struct weir_flow_stage_ops concat_ops = {
    .abi = WEIR_FLOW_STAGE_ABI,
    .name = "concat",
    .self_bytes = sizeof(struct concat_self),
    .on_push = concat_push,
    .on_upstream_finish = concat_finish,
    .on_pull = concat_pull,
};

struct weir_flow_outlet weir_flow_concat(const struct weir_flow_outlet *ins, uint32_t count)
{
    return add_fan_in(ins, count, &concat_ops);
}

/* ---- zip ------------------------------------------------------------------------------------- */

struct zip_config {
    enum weir_err (*fn)(void *opaque, void *a, void *b, void **out, struct weir_error *error);
    void *opaque;
};

void weir_flow_pair_free(struct weir_flow_pair *pair)
{
    if (pair->first != NULL)
        weir_flow_drop_element(pair->kinds[0], pair->first);
    if (pair->second != NULL)
        weir_flow_drop_element(pair->kinds[1], pair->second);
    weir_free(pair);
}

static void drop_pair(void *element)
{
    weir_flow_pair_free(element);
}

static const struct weir_flow_kind pair_kind = {.drop = drop_pair};

static enum weir_err make_pair(struct weir_flow_stage *stage, void *a, void *b, void **out)
{
    struct weir_flow_pair *pair = weir_alloc(sizeof *pair);

    if (pair == NULL) {
        weir_flow_drop_element(weir_flow_in_kind(stage, 0), a);
        weir_flow_drop_element(weir_flow_in_kind(stage, 1), b);
        return WEIR_NOMEM;
    }
    *pair =
        (struct weir_flow_pair){a, b, {weir_flow_in_kind(stage, 0), weir_flow_in_kind(stage, 1)}};
    *out = pair;
    return WEIR_OK;
}

static void zip_push(void *self, struct weir_flow_stage *stage, uint32_t inlet)
{
    const struct zip_config *config = stage->config;
    struct weir_error error;
    enum weir_err err;
    void *a, *b, *out;

    (void)self;
    if (!weir_flow_in_is_available(stage, 1 - inlet))
        return;
    a = flow_grab(stage, 0);
    b = flow_grab(stage, 1);
    error.code = WEIR_OK;
    err = config->fn != NULL ? config->fn(config->opaque, a, b, &out, &error)
                             : make_pair(stage, a, b, &out);
    if (err != WEIR_OK) {
        if (error.code != err)
            weir_error_set(&error, err, -1, "stage zip: %s", weir_err_text(err));
        weir_flow_fail_stage(stage, &error);
        return;
    }
    flow_push(stage, 0, out);
    if (weir_flow_in_is_closed(stage, 0) || weir_flow_in_is_closed(stage, 1))
        weir_flow_complete_stage(stage);
}

static void zip_pull(void *self, struct weir_flow_stage *stage, uint32_t outlet)
{
    (void)self;
    (void)outlet;
    weir_flow_try_pull(stage, 0);
    weir_flow_try_pull(stage, 1);
}

static void zip_finish(void *self, struct weir_flow_stage *stage, uint32_t inlet)
{
    (void)self;
    if (!weir_flow_in_is_available(stage, inlet))
        weir_flow_complete_stage(stage);
}

static const struct weir_flow_stage_ops zip_ops = {
    .abi = WEIR_FLOW_STAGE_ABI,
    .name = "zip",
    .on_push = zip_push,
    .on_upstream_finish = zip_finish,
    .on_pull = zip_pull,
};

struct weir_flow_outlet weir_flow_zip_with(struct weir_flow_outlet a, struct weir_flow_outlet b,
                                           enum weir_err (*fn)(void *opaque, void *a, void *b,
                                                               void **out,
                                                               struct weir_error *error),
                                           void *opaque, const struct weir_flow_kind *kind)
{
    const struct zip_config config = {fn, opaque};
    const struct weir_flow_outlet ins[2] = {a, b};
    const struct weir_flow_stage_options options = {.config = &config,
                                                    .config_bytes = sizeof config,
                                                    .ins = ins,
                                                    .in_count = 2,
                                                    .out_count = 1,
                                                    .kind = kind};
    return (struct weir_flow_outlet){a.graph, weir_flow_stage_add(a.graph, &zip_ops, &options), 0};
}

struct weir_flow_outlet weir_flow_zip(struct weir_flow_outlet a, struct weir_flow_outlet b)
{
    return weir_flow_zip_with(a, b, NULL, NULL, &pair_kind);
}
