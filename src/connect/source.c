/* The stage of a source, its control, its records one by one, and the committer. */
#include <string.h>

#include "base/clock.h"
#include "connect/inside.h"

void weir_connect_source_options_default(struct weir_connect_source_options *options)
{
    *options = (struct weir_connect_source_options){.guarantee = WEIR_CONNECT_COMMITTABLE,
                                                    .records_max = 1024,
                                                    .blocks = 64,
                                                    .commit_records = 1000,
                                                    .commit_ms = 1000,
                                                    .drain_ms = 10000,
                                                    .poll_ms = 10,
                                                    .thread = true};
    weir_kafka_consumer_options_default(&options->consumer);
}

enum { TIMER_POLL };

/* What a step with a thread waits at most: commits and the end are looked at so often. */
enum { STEP_MS = 50 };

struct weir_connect_control {
    struct connect_reader reader;
    struct weir_flow_event event; /* something to see: a block, a failure, a stop, the end */
    struct weir_flow_stage *stage;
    pthread_t thread;
    bool has_thread;
};

static struct weir_connect_control *control_of(struct connect_reader *reader)
{
    return WEIR_CONTAINER(reader, struct weir_connect_control, reader);
}

static void notify(struct connect_reader *reader)
{
    weir_flow_invoke(&control_of(reader)->event);
}

static enum weir_err source_init(void *self, struct weir_flow_stage *stage,
                                 struct weir_error *error)
{
    struct weir_connect_control *control = self;

    control->stage = stage;
    control->reader.options = weir_flow_stage_config(stage);
    control->reader.notify = notify;
    weir_flow_event_init(&control->event, stage);
    weir_flow_stage_value_set(stage, control);
    return connect_reader_open(&control->reader, error);
}

static bool is_closed(struct connect_reader *reader)
{
    bool closed;

    pthread_mutex_lock(&reader->mutex);
    closed = reader->closed;
    pthread_mutex_unlock(&reader->mutex);
    return closed;
}

static void *read_all(void *opaque)
{
    struct weir_connect_control *control = opaque;

    while (!is_closed(&control->reader))
        connect_reader_step(&control->reader, STEP_MS, weir_clock_now_ns(NULL));
    return NULL;
}

static void source_start(void *self, struct weir_flow_stage *stage)
{
    struct weir_connect_control *control = self;
    const struct weir_connect_source_options *options = control->reader.options;
    struct weir_error error;

    if (!options->thread) {
        weir_flow_timer_start(stage, TIMER_POLL, options->poll_ms, options->poll_ms);
    } else if (pthread_create(&control->thread, NULL, read_all, control) == 0) {
        control->has_thread = true;
    } else {
        (void)weir_error_set(&error, WEIR_IO, -1, "connect: no thread can be started");
        weir_flow_fail_stage(stage, &error);
    }
}

/* Passes on what there is to pass on: a block, the failure, the completion, the end. */
static void look(struct weir_connect_control *control)
{
    struct weir_flow_stage *stage = control->stage;
    struct connect_reader *reader = &control->reader;
    struct weir_error failure;
    bool complete, drained;

    if (weir_flow_out_is_available(stage, 0)) {
        struct connect_block *block = connect_block_take(reader);
        if (block != NULL)
            weir_flow_push(stage, 0, &block->block);
    }
    pthread_mutex_lock(&reader->mutex);
    failure = reader->failure;
    complete = reader->end_due_ns != 0 && reader->queued_count == 0;
    drained = reader->drained;
    pthread_mutex_unlock(&reader->mutex);
    if (weir_flow_out_is_closed(stage, 0)) {
        weir_flow_keep_going(stage, !drained);
    } else if (failure.code != WEIR_OK) {
        weir_flow_fail_stage(stage, &failure);
    } else if (complete) {
        weir_flow_keep_going(stage, !drained);
        weir_flow_complete(stage, 0);
    }
}

static void source_pull(void *self, struct weir_flow_stage *stage, uint32_t outlet)
{
    struct weir_connect_control *control = self;

    (void)outlet;
    if (!control->reader.options->thread && control->reader.queue_first == NULL)
        connect_reader_step(&control->reader, 0, weir_flow_now_ns(stage));
    look(control);
}

static void source_timer(void *self, struct weir_flow_stage *stage, uint32_t timer)
{
    struct weir_connect_control *control = self;

    (void)timer;
    connect_reader_step(&control->reader, 0, weir_flow_now_ns(stage));
    look(control);
}

static void source_event(void *self, struct weir_flow_stage *stage, struct weir_flow_event *event)
{
    (void)stage;
    (void)event;
    look(self);
}

/* Downstream has enough, or failed: what is done is committed before the stage ends. */
static void source_cancelled(void *self, struct weir_flow_stage *stage, uint32_t outlet,
                             const struct weir_error *cause)
{
    struct weir_connect_control *control = self;

    (void)outlet;
    (void)cause;
    weir_flow_keep_going(stage, true);
    connect_reader_stop(&control->reader, true);
}

static void source_stop(void *self, struct weir_flow_stage *stage)
{
    struct weir_connect_control *control = self;

    (void)stage;
    connect_reader_stop(&control->reader, true);
}

static void source_release(void *self, struct weir_flow_stage *stage)
{
    struct weir_connect_control *control = self;
    uint32_t live_count;

    (void)stage;
    pthread_mutex_lock(&control->reader.mutex);
    live_count = control->reader.live_count;
    pthread_mutex_unlock(&control->reader.mutex);
    weir_assert(live_count == 0); /* a block was kept beyond the end of its stream */
    if (control->has_thread)
        pthread_join(control->thread, NULL);
    connect_reader_release(&control->reader);
}

static const struct weir_flow_stage_ops source_ops = {
    .abi = WEIR_FLOW_STAGE_ABI,
    .name = "connect_source",
    .self_bytes = sizeof(struct weir_connect_control),
    .timer_count = 1,
    .init = source_init,
    .release = source_release,
    .start = source_start,
    .stop = source_stop,
    .on_pull = source_pull,
    .on_downstream_finish = source_cancelled,
    .on_timer = source_timer,
    .on_event = source_event,
};

struct weir_flow_outlet weir_connect_source(struct weir_flow_graph *graph,
                                            const struct weir_connect_source_options *options)
{
    const struct weir_flow_stage_options stage = {.config = options,
                                                  .config_bytes = sizeof *options,
                                                  .out_count = 1,
                                                  .kind = &weir_connect_block_kind};

    if (options->kafka == NULL || options->records_max == 0 ||
        options->records_max > WEIR_KAFKA_BATCH_MAX || options->blocks == 0 ||
        options->blocks > WEIR_CONNECT_BLOCKS_MAX || options->commit_ms < 0 ||
        options->drain_ms < 0 || options->poll_ms <= 0)
        weir_flow_graph_fail(graph, WEIR_INVALID,
                             "connect: a source needs a cluster, and limits within their bounds");
    return (struct weir_flow_outlet){graph, weir_flow_stage_add(graph, &source_ops, &stage), 0};
}

void weir_connect_stop(struct weir_connect_control *control)
{
    connect_reader_stop(&control->reader, false);
}

bool weir_connect_owns(struct weir_connect_control *control, const char *topic, int32_t partition)
{
    struct connect_reader *reader = &control->reader;
    bool owns = false;

    pthread_mutex_lock(&reader->mutex);
    for (uint32_t i = 0; i < reader->partition_count && !owns; i++) {
        const struct connect_partition *ours = reader->partitions[i];
        owns = ours != NULL && ours->partition == partition && strcmp(ours->topic, topic) == 0;
    }
    pthread_mutex_unlock(&reader->mutex);
    return owns;
}

void weir_connect_stats(struct weir_connect_control *control, struct weir_connect_stats *out)
{
    pthread_mutex_lock(&control->reader.mutex);
    *out = control->reader.stats;
    pthread_mutex_unlock(&control->reader.mutex);
}

/* ---- records one by one ---------------------------------------------------------------------- */

struct each_self {
    struct weir_connect_block *block; /* held while rows of it are to come */
    uint32_t row;
};

static void each_send(struct each_self *each, struct weir_flow_stage *stage)
{
    struct connect_block *block = connect_block_of(each->block);
    struct weir_connect_record *record = &block->records[each->row++];

    /* The last record takes over the block. */
    if (each->row < block->block.batch.count)
        connect_block_ref(block);
    else
        each->block = NULL;
    weir_flow_push(stage, 0, record);
    if (each->block == NULL && weir_flow_in_is_closed(stage, 0))
        weir_flow_complete_stage(stage);
}

static void each_push(void *self, struct weir_flow_stage *stage, uint32_t inlet)
{
    struct each_self *each = self;

    each->block = weir_flow_grab(stage, inlet);
    each->row = 0;
    each_send(each, stage);
}

static void each_pull(void *self, struct weir_flow_stage *stage, uint32_t outlet)
{
    struct each_self *each = self;

    (void)outlet;
    if (each->block != NULL)
        each_send(each, stage);
    else
        weir_flow_pull(stage, 0);
}

static void each_finish(void *self, struct weir_flow_stage *stage, uint32_t inlet)
{
    struct each_self *each = self;

    (void)inlet;
    if (each->block == NULL)
        weir_flow_complete_stage(stage);
}

static void each_stop(void *self, struct weir_flow_stage *stage)
{
    struct each_self *each = self;

    (void)stage;
    if (each->block != NULL)
        connect_block_unref(connect_block_of(each->block));
}

static const struct weir_flow_stage_ops each_ops = {
    .abi = WEIR_FLOW_STAGE_ABI,
    .name = "connect_each",
    .self_bytes = sizeof(struct each_self),
    .stop = each_stop,
    .on_push = each_push,
    .on_upstream_finish = each_finish,
    .on_pull = each_pull,
};

struct weir_flow_outlet weir_connect_each(struct weir_flow_outlet in)
{
    const struct weir_flow_stage_options stage = {
        .ins = &in, .in_count = 1, .out_count = 1, .kind = &weir_connect_record_kind};

    if (in.stage >= 0 && weir_flow_outlet_kind(in) != &weir_connect_block_kind)
        weir_flow_graph_fail(in.graph, WEIR_INVALID, "connect: each takes blocks");
    return (struct weir_flow_outlet){in.graph, weir_flow_stage_add(in.graph, &each_ops, &stage), 0};
}

/* ---- committer ------------------------------------------------------------------------------- */

static enum weir_err commit_block(void *opaque, void *element, struct weir_error *error)
{
    (void)opaque;
    (void)error;
    weir_connect_done_block(element);
    weir_connect_block_kind.drop(element);
    return WEIR_OK;
}

static enum weir_err commit_record(void *opaque, void *element, struct weir_error *error)
{
    (void)opaque;
    (void)error;
    weir_connect_done(element);
    weir_connect_record_kind.drop(element);
    return WEIR_OK;
}

int32_t weir_connect_committer(struct weir_flow_outlet in)
{
    const struct weir_flow_kind *kind = in.stage >= 0 ? weir_flow_outlet_kind(in) : NULL;

    if (in.stage >= 0 && kind != &weir_connect_block_kind && kind != &weir_connect_record_kind)
        weir_flow_graph_fail(in.graph, WEIR_INVALID,
                             "connect: a committer takes blocks or records");
    return weir_flow_foreach(in, kind == &weir_connect_block_kind ? commit_block : commit_record,
                             NULL);
}
