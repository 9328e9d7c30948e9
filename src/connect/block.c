/*
 * Blocks: who holds them, what of them is done, and where their partition stands.
 *
 * A block is counted by its holders; a record that goes on alone holds its block. When the last one
 * lets go, a block whose partition still waits for one of its rows is a fault of the stream: that
 * row will never be done.
 */
#include "base/alloc.h"
#include "connect/inside.h"

enum weir_err connect_block_get_locked(struct connect_reader *reader,
                                       struct connect_block **block_out)
{
    const struct weir_connect_source_options *options = reader->options;
    struct connect_block *block = reader->spare;

    if (block != NULL) {
        reader->spare = block->next;
    } else {
        if (reader->made_count == options->blocks)
            return WEIR_AGAIN;
        block = weir_alloc(sizeof *block + options->records_max * sizeof *block->records);
        if (block == NULL)
            return WEIR_NOMEM;
        reader->made_count++;
    }
    *block = (struct connect_block){.reader = reader};
    *block_out = block;
    return WEIR_OK;
}

void connect_block_return_locked(struct connect_block *block)
{
    struct connect_reader *reader = block->reader;

    block->state = CONNECT_FREE;
    block->next = reader->returned;
    reader->returned = block;
}

void connect_block_hand_over_locked(struct connect_reader *reader, struct connect_block *block,
                                    struct connect_partition *partition)
{
    for (uint32_t row = 0; row < block->block.batch.count; row++)
        block->records[row] = (struct weir_connect_record){.block = &block->block, .row = row};
    block->partition = partition;
    if (partition != NULL) {
        if (partition->newest != NULL)
            partition->newest->next_in_line = block;
        else
            partition->oldest = block;
        partition->newest = block;
    }
    block->state = CONNECT_QUEUED;
    if (reader->queue_last != NULL)
        reader->queue_last->next = block;
    else
        reader->queue_first = block;
    reader->queue_last = block;
    reader->queued_count++;
}

static struct connect_block *queue_pop(struct connect_reader *reader)
{
    struct connect_block *block = reader->queue_first;

    reader->queue_first = block->next;
    if (reader->queue_first == NULL)
        reader->queue_last = NULL;
    block->next = NULL;
    reader->queued_count--;
    return block;
}

/* There is a place again for which a step has looked in vain. */
static void room_locked(struct connect_reader *reader)
{
    if (reader->wants_room && !reader->closed)
        weir_kafka_consumer_wake(reader->consumer);
    reader->wants_room = false;
}

struct connect_block *connect_block_take(struct connect_reader *reader)
{
    struct connect_block *block = NULL;

    pthread_mutex_lock(&reader->mutex);
    if (reader->queue_first != NULL) {
        block = queue_pop(reader);
        block->state = CONNECT_LIVE;
        atomic_store(&block->references, 1);
        reader->live_count++;
        reader->stats.records += block->block.batch.count;
        if (block->partition != NULL)
            block->partition->live++;
        room_locked(reader);
    }
    pthread_mutex_unlock(&reader->mutex);
    return block;
}

void connect_queue_discard_locked(struct connect_reader *reader, int32_t partition_index)
{
    for (uint32_t count = reader->queued_count; count > 0; count--) {
        struct connect_block *block = queue_pop(reader);
        if (partition_index >= 0 && block->block.batch.partition_index != partition_index) {
            if (reader->queue_last != NULL)
                reader->queue_last->next = block;
            else
                reader->queue_first = block;
            reader->queue_last = block;
            reader->queued_count++;
        } else {
            block->state = CONNECT_DROPPED;
            if (block->partition == NULL)
                connect_block_return_locked(block);
        }
    }
}

void connect_line_end_locked(struct connect_partition *partition)
{
    while (partition->oldest != NULL) {
        struct connect_block *block = partition->oldest;
        partition->oldest = block->next_in_line;
        block->partition = NULL;
        if (block->state == CONNECT_DROPPED)
            connect_block_return_locked(block);
    }
    partition->newest = NULL;
}

void connect_returned_release(struct connect_reader *reader)
{
    struct connect_block *returned, *last = NULL;

    pthread_mutex_lock(&reader->mutex);
    returned = reader->returned;
    reader->returned = NULL;
    pthread_mutex_unlock(&reader->mutex);
    for (struct connect_block *block = returned; block != NULL; block = block->next) {
        weir_kafka_batch_release(&block->block.batch);
        last = block;
    }
    if (last == NULL)
        return;
    pthread_mutex_lock(&reader->mutex);
    last->next = reader->spare;
    reader->spare = returned;
    pthread_mutex_unlock(&reader->mutex);
}

void connect_blocks_free(struct connect_reader *reader)
{
    while (reader->spare != NULL) {
        struct connect_block *next = reader->spare->next;
        weir_free(reader->spare);
        reader->spare = next;
        reader->made_count--;
    }
    weir_assert(reader->made_count == 0);
}

/* ---- what is done ---------------------------------------------------------------------------- */

/* Moves the position over what is done at the old end of the line. */
static void advance(struct connect_reader *reader, struct connect_partition *partition)
{
    struct connect_block *block = partition->oldest;

    while (block != NULL) {
        const struct weir_kafka_batch *batch = &block->block.batch;
        while (block->low < batch->count && block->records[block->low].done)
            partition->position = batch->rows.offset[block->low++] + 1;
        if (block->low < batch->count)
            return;
        partition->position = batch->offset_next;
        partition->oldest = block->next_in_line;
        if (partition->oldest == NULL)
            partition->newest = NULL;
        /* Live: it was said to be done by one who holds it. */
        weir_assert(block->state == CONNECT_LIVE || block->state == CONNECT_DROPPED);
        block->partition = NULL;
        if (block->state == CONNECT_LIVE)
            partition->live--;
        else
            connect_block_return_locked(block);
        block = partition->oldest;
        pthread_cond_broadcast(&reader->changed);
    }
}

static void mark(struct connect_block *block, uint32_t first, uint32_t end)
{
    struct connect_reader *reader = block->reader;

    pthread_mutex_lock(&reader->mutex);
    for (uint32_t row = first; row < end; row++) {
        if (!block->records[row].done) {
            block->records[row].done = true;
            block->done_count++;
            reader->done_count++;
        }
    }
    if (block->partition != NULL && reader->options->guarantee == WEIR_CONNECT_COMMITTABLE)
        advance(reader, block->partition);
    pthread_mutex_unlock(&reader->mutex);
}

void weir_connect_done(struct weir_connect_record *record)
{
    mark(connect_block_of(record->block), record->row, record->row + 1);
}

void weir_connect_done_block(struct weir_connect_block *block)
{
    mark(connect_block_of(block), 0, block->batch.count);
}

/* ---- holders --------------------------------------------------------------------------------- */

void connect_block_ref(struct connect_block *block)
{
    atomic_fetch_add(&block->references, 1);
}

/* Nobody holds it any more. True: a row that its partition waits for was dropped. */
static bool let_go(struct connect_block *block)
{
    struct connect_reader *reader = block->reader;
    struct connect_partition *partition = block->partition;
    struct weir_error error;

    block->state = CONNECT_DROPPED;
    reader->live_count--;
    if (partition == NULL) {
        connect_block_return_locked(block);
        return false;
    }
    partition->live--;
    if (block->done_count == block->block.batch.count || reader->stopping)
        return false;
    (void)weir_error_set(&error, WEIR_INVALID, block->block.batch.rows.offset[block->low],
                         "connect: a record of %s [%d] was dropped and not marked as done",
                         partition->topic, partition->partition);
    connect_reader_fail_locked(reader, &error);
    return true;
}

void connect_block_unref(struct connect_block *block)
{
    struct connect_reader *reader = block->reader;
    bool failed;

    if (atomic_fetch_sub(&block->references, 1) != 1)
        return;
    pthread_mutex_lock(&reader->mutex);
    failed = let_go(block);
    pthread_cond_broadcast(&reader->changed);
    room_locked(reader);
    pthread_mutex_unlock(&reader->mutex);
    if (failed)
        reader->notify(reader);
}

static void drop_block(void *element)
{
    connect_block_unref(connect_block_of(element));
}

static void *share_block(void *element)
{
    connect_block_ref(connect_block_of(element));
    return element;
}

static void drop_record(void *element)
{
    struct weir_connect_record *record = element;

    drop_block(record->block);
}

static void *share_record(void *element)
{
    struct weir_connect_record *record = element;

    share_block(record->block);
    return record;
}

const struct weir_flow_kind weir_connect_block_kind = {.drop = drop_block, .share = share_block};
const struct weir_flow_kind weir_connect_record_kind = {.drop = drop_record, .share = share_record};
