/*
 * A topic read whole, without a group: one block at a time, polled for by a timer, as such topics
 * are quiet. The next block is read when the one before has been dropped.
 */
#include "base/assert.h"
#include "connect/inside.h"

void weir_connect_table_options_default(struct weir_connect_table_options *options)
{
    *options = (struct weir_connect_table_options){.records_max = 256, .poll_ms = 20};
    weir_kafka_table_options_default(&options->table);
}

enum { TIMER_POLL };

struct table_self {
    struct weir_kafka_table *table;
    struct weir_connect_table_block block;
    _Atomic bool lent; /* the block is in the hands of the stream */
    bool filled;       /* its batch is to be given back */
    bool at_end;
};

static const struct weir_connect_table_options *options_of(const struct weir_flow_stage *stage)
{
    return weir_flow_stage_config(stage);
}

static void drop_block(void *element)
{
    struct weir_connect_table_block *block = element;

    atomic_store(&WEIR_CONTAINER(block, struct table_self, block)->lent, false);
}

const struct weir_flow_kind weir_connect_table_kind = {.drop = drop_block};

static enum weir_err table_init(void *opaque, struct weir_flow_stage *stage,
                                struct weir_error *error)
{
    struct table_self *self = opaque;

    return weir_kafka_table_open(options_of(stage)->kafka, &options_of(stage)->table, &self->table,
                                 error);
}

static void table_start(void *opaque, struct weir_flow_stage *stage)
{
    const int32_t poll_ms = options_of(stage)->poll_ms;

    (void)opaque;
    weir_flow_timer_start(stage, TIMER_POLL, poll_ms, poll_ms);
}

static void look(struct table_self *self, struct weir_flow_stage *stage)
{
    struct weir_error error = {.code = WEIR_OK};
    enum weir_err err;

    if (atomic_load(&self->lent) || !weir_flow_out_is_available(stage, 0))
        return;
    if (self->filled)
        weir_kafka_batch_release(&self->block.batch);
    self->filled = false;
    self->block.batch = (struct weir_kafka_batch){.count = 0};
    err = weir_kafka_table_poll(self->table, options_of(stage)->records_max, 0, &self->block.batch,
                                &error);
    self->filled = err == WEIR_OK;
    self->block.past_end = self->at_end;
    self->at_end = self->at_end || err == WEIR_END;
    if (err == WEIR_OK || err == WEIR_END) {
        atomic_store(&self->lent, true);
        weir_flow_push(stage, 0, &self->block);
    } else if (err != WEIR_AGAIN && error.fatal) {
        weir_flow_fail_stage(stage, &error);
    }
}

static void table_pull(void *opaque, struct weir_flow_stage *stage, uint32_t outlet)
{
    (void)outlet;
    look(opaque, stage);
}

static void table_timer(void *opaque, struct weir_flow_stage *stage, uint32_t timer)
{
    (void)timer;
    look(opaque, stage);
}

static void table_release(void *opaque, struct weir_flow_stage *stage)
{
    struct table_self *self = opaque;

    (void)stage;
    weir_assert(!atomic_load(&self->lent)); /* a block was kept beyond the end of its stream */
    if (self->filled)
        weir_kafka_batch_release(&self->block.batch);
    weir_kafka_table_close(self->table);
}

static const struct weir_flow_stage_ops table_ops = {
    .abi = WEIR_FLOW_STAGE_ABI,
    .name = "connect_table",
    .self_bytes = sizeof(struct table_self),
    .timer_count = 1,
    .init = table_init,
    .release = table_release,
    .start = table_start,
    .on_pull = table_pull,
    .on_timer = table_timer,
};

struct weir_flow_outlet weir_connect_table(struct weir_flow_graph *graph,
                                           const struct weir_connect_table_options *options)
{
    const struct weir_flow_stage_options stage = {.config = options,
                                                  .config_bytes = sizeof *options,
                                                  .out_count = 1,
                                                  .kind = &weir_connect_table_kind};

    if (options->kafka == NULL || options->table.topic == NULL || options->records_max == 0 ||
        options->records_max > WEIR_KAFKA_BATCH_MAX || options->poll_ms <= 0)
        weir_flow_graph_fail(graph, WEIR_INVALID,
                             "connect: a table needs a cluster, a topic, and its limits");
    return (struct weir_flow_outlet){graph, weir_flow_stage_add(graph, &table_ops, &stage), 0};
}
