/*
 * serving/flow_scoring.c - scoring as a custom stage of the flow engine, and what it makes be sent.
 *
 *      block --> decode --> score --> the same block goes on, its results lie in the lane
 *
 * A block is pulled when the producer wants one, and the producer wants one when it has copied
 * everything of the block before: that is why a lane needs room for the results of one block only,
 * and why nothing may stand between the two stages.
 */
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "serving/flow_inside.h"

struct scoring_self {
    struct weir_flow_event event; /* models have come */
    struct flow_lane *lane;
    struct weir_connect_block *waiting; /* not scored yet: for want of a model */
};

static struct server *server_of(const struct flow_lane *lane)
{
    return lane->line.engine->server;
}

static enum weir_err scoring_stage_init(void *opaque, struct weir_flow_stage *stage,
                                        struct weir_error *error)
{
    struct scoring_self *self = opaque;
    struct flow_lane *lane = *(struct flow_lane *const *)weir_flow_stage_config(stage);
    struct server *server = server_of(lane);
    self->lane = lane;
    weir_flow_event_init(&self->event, stage);
    weir_flow_stage_value_set(stage, server->models);
    enum weir_err err = weir_decoder_protobuf_new(server->schema, &lane->decoder, error);
    if (err == WEIR_OK)
        err = weir_block_new(server->schema, server->options.streams.batch_rows, &lane->block);
    if (err == WEIR_OK)
        err = scoring_task_new(&server->scoring, &lane->task, error);
    if (err == WEIR_OK)
        lane->line.event = &self->event;
    return err;
}

static void forget(struct flow_lane *lane)
{
    scoring_task_free(lane->task);
    weir_block_free(lane->block);
    weir_decoder_free(lane->decoder);
    weir_free(lane->letter.headers);
    lane->letter = (struct flow_letter){.headers = NULL};
    lane->task = NULL;
    lane->block = NULL;
    lane->decoder = NULL;
}

static void scoring_stage_release(void *opaque, struct weir_flow_stage *stage)
{
    struct scoring_self *self = opaque;
    (void)stage;
    forget(self->lane);
}

/* AGAIN: no.model=wait, and there is none. */
static enum weir_err score(struct flow_lane *lane, const struct weir_kafka_batch *batch,
                           struct weir_error *error)
{
    enum weir_err err = weir_block_prepare(lane->block, batch->count);
    if (err == WEIR_OK) {
        lane->block->rows_meta = batch->rows;
        err = weir_decode(lane->decoder, lane->block);
    }
    if (err != WEIR_OK)
        return weir_error_set(error, err, -1, "no memory for a block of records");
    return scoring_task_score(lane->task, lane->block, &lane->results, error);
}

static void score_waiting(struct scoring_self *self, struct weir_flow_stage *stage)
{
    struct flow_lane *lane = self->lane;
    struct flow_engine *engine = lane->line.engine;
    struct weir_error error = {.code = WEIR_OK};
    if (!self->waiting)
        return;
    enum weir_err err =
        atomic_load(&engine->ready) ? score(lane, &self->waiting->batch, &error) : WEIR_AGAIN;
    if (err == WEIR_AGAIN) {
        if (atomic_load(&engine->ends)) /* what is before it in the lane still goes out */
            weir_flow_complete_stage(stage);
        return;
    }
    if (err != WEIR_OK) {
        weir_flow_fail_stage(stage, &error);
        return;
    }
    atomic_fetch_add_explicit(&lane->scored, lane->results->rows, memory_order_relaxed);
    atomic_fetch_add_explicit(&lane->letters, lane->results->failed, memory_order_relaxed);
    weir_flow_push(stage, 0, self->waiting);
    self->waiting = NULL;
}

static void scoring_stage_push(void *opaque, struct weir_flow_stage *stage, uint32_t inlet)
{
    struct scoring_self *self = opaque;
    self->waiting = weir_flow_grab(stage, inlet);
    score_waiting(self, stage);
}

static void scoring_stage_pull(void *opaque, struct weir_flow_stage *stage, uint32_t outlet)
{
    (void)opaque;
    (void)outlet;
    weir_flow_pull(stage, 0);
}

static void scoring_stage_event(void *opaque, struct weir_flow_stage *stage,
                                struct weir_flow_event *event)
{
    (void)event;
    score_waiting(opaque, stage);
}

/* What still waits for a model at the end is read again by the next owner. */
static void scoring_stage_stop(void *opaque, struct weir_flow_stage *stage)
{
    struct scoring_self *self = opaque;
    (void)stage;
    if (self->waiting)
        weir_connect_block_kind.drop(self->waiting);
    self->waiting = NULL;
}

static const struct weir_flow_stage_ops scoring_stage_ops = {
    .abi = WEIR_FLOW_STAGE_ABI,
    .name = "scoring",
    .self_bytes = sizeof(struct scoring_self),
    .init = scoring_stage_init,
    .release = scoring_stage_release,
    .stop = scoring_stage_stop,
    .on_push = scoring_stage_push,
    .on_pull = scoring_stage_pull,
    .on_event = scoring_stage_event,
};

struct weir_flow_outlet flow_scoring(struct weir_flow_outlet in, struct flow_lane *lane)
{
    const struct weir_flow_stage_options options = {.config = &lane,
                                                    .config_bytes = sizeof(struct flow_lane *),
                                                    .ins = &in,
                                                    .in_count = 1,
                                                    .out_count = 1,
                                                    .kind = &weir_connect_block_kind};
    return (struct weir_flow_outlet){
        in.graph, weir_flow_stage_add(in.graph, &scoring_stage_ops, &options), 0};
}

/* ---- letters --------------------------------------------------------------------------------- */

void flow_letter_make(struct flow_letter *letter, const struct server *server,
                      const struct weir_rows *rows, uint32_t row,
                      struct weir_kafka_record *record_out)
{
    const struct kafka_letter_reason reason = {letter->why.code, letter->why.message};
    size_t count = rows->header_count[row] + (size_t)KAFKA_LETTER_HEADERS_MAX;
    if (count > letter->header_capacity && letter->level < KAFKA_LETTER_BARE) {
        struct weir_header *headers = weir_realloc_array(letter->headers, count, sizeof *headers);
        if (headers) {
            letter->headers = headers;
            letter->header_capacity = count;
        } else {
            letter->level = KAFKA_LETTER_BARE;
        }
    }
    kafka_letter_make(rows, row, &reason, letter->level,
                      letter->level < KAFKA_LETTER_BARE ? letter->headers : letter->bare,
                      &letter->words, record_out);
    record_out->topic = server->options.dead_letter_topic;
}

bool flow_letter_shorten(struct flow_letter *letter)
{
    if (letter->level == KAFKA_LETTER_BARE)
        return false;
    letter->level++;
    return true;
}

/* ---- what is sent ---------------------------------------------------------------------------- */

static int32_t partition_of(const struct server *server, int32_t source_partition)
{
    bool same = server->scores_partitions == server->data_partitions &&
                source_partition < server->scores_partitions;
    return same ? source_partition : -1;
}

bool flow_scoring_rows(void *opaque, const void *element, uint32_t index,
                       struct weir_connect_rows *rows_out)
{
    struct flow_lane *lane = opaque;
    const struct weir_block *results = lane->results;
    const struct server *server = server_of(lane);
    uint32_t end = index;
    (void)element;
    while (end < results->rows && results->status[end] == WEIR_OK)
        end++;
    if (end == index)
        return false;
    *rows_out =
        (struct weir_connect_rows){.topic = server->options.scores_topic,
                                   .partition = partition_of(server, results->rows_meta.partition),
                                   .rows = &results->rows_meta,
                                   .first = index,
                                   .end = end};
    return true;
}

/* A row that has no result: it could not be decoded, or it has no model. */
static void explain(struct flow_lane *lane, uint32_t row)
{
    const struct weir_block *block = lane->block;
    if (block->status[row] == WEIR_OK)
        weir_error_set(&lane->letter.why, (enum weir_err)lane->results->status[row], -1, "%s",
                       scoring_no_model_text);
    else
        weir_decode_explain(lane->decoder, block->rows_meta.value[row], &lane->letter.why);
}

bool flow_scoring_record(void *opaque, const void *element, uint32_t index,
                         struct weir_kafka_record *record_out)
{
    struct flow_lane *lane = opaque;
    const struct weir_block *results = lane->results;
    const struct weir_rows *rows = &results->rows_meta;
    (void)element;
    if (index == results->rows)
        return false;
    lane->letter.level = KAFKA_LETTER_WHOLE;
    if (results->status[index] != WEIR_OK) {
        explain(lane, index);
        flow_letter_make(&lane->letter, server_of(lane), &lane->block->rows_meta, index,
                         record_out);
        return true;
    }
    *record_out =
        (struct weir_kafka_record){.topic = server_of(lane)->options.scores_topic,
                                   .partition = partition_of(server_of(lane), rows->partition),
                                   .timestamp_ms = rows->timestamp_ms[index],
                                   .key = rows->key[index],
                                   .value = rows->value[index],
                                   .headers = rows->headers[index],
                                   .header_count = rows->header_count[index]};
    return true;
}

/* A result that the broker refuses, for its key or headers are too large, becomes a letter; one of
 * those becomes smaller. */
bool flow_scoring_instead(void *opaque, const void *element, uint32_t index,
                          const struct weir_error *error, struct weir_kafka_record *record_out)
{
    struct flow_lane *lane = opaque;
    const char *letters = server_of(lane)->options.dead_letter_topic;
    (void)element;
    if (record_out->topic != letters)
        lane->letter.why = *error;
    else if (!flow_letter_shorten(&lane->letter))
        return false;
    flow_letter_make(&lane->letter, server_of(lane), &lane->block->rows_meta, index, record_out);
    return true;
}
