/*
 * broker/syncs.c - what was appended goes to the disk, and answers wait until it is there.
 *
 * A partition with something to sync stands on the list `asked`, once. A thread takes the whole
 * list, syncs log after log, and hands it back by `done`; what is appended meanwhile is asked for
 * again and shares the next round. That is the group commit: however many produce at once, a
 * partition is synced once a round.
 *
 *      the loop:    append, ask ----> asked                    done ----> fetches, held answers
 *      the thread:                      `--> running --sync-->  '
 *
 * With flush = every the answer to a produce request is held until all that it acknowledges is on
 * the disk, and nothing behind that can be read (broker_partition_end). With interval and none the
 * logs are synced every now and then, for the sake of the next start after a crash.
 *
 * Without a thread (broker_open) the loop does its part, too: in the round behind the request.
 */
#include <signal.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "broker/inside.h"

/* Under the mutex, but for `partition`, which is the loop's, and `log`, which stays. */
struct log_sync {
    struct partition *partition;
    struct weir_plog *log;
    struct log_sync *next_asked, *next_running, *next_done;
    bool is_asked, is_running, is_done;
    size_t bytes_asked, bytes_running, bytes_done; /* appended, for fetches that wait */
};

/* A partition of a held answer. */
struct held_part {
    struct log_sync *sync; /* NULL: nothing to wait for any more */
    int64_t offset_end;
    size_t place; /* of its error in the answer */
};

struct held {
    struct held *previous, *next;
    struct connection *connection;
    int16_t version;
    struct weir_buffer answer; /* behind its head */
    uint32_t part_count, part_capacity;
    struct held_part *parts;
};

enum { PARTS_MAX = 1 << 20 };

/* ---- the lists ------------------------------------------------------------------------------- */

static void ask(struct broker_syncs *syncs, struct log_sync *sync, size_t bytes)
{
    pthread_mutex_lock(&syncs->mutex);
    sync->bytes_asked += bytes;
    if (!sync->is_asked) {
        sync->is_asked = true;
        sync->next_asked = syncs->asked;
        syncs->asked = sync;
        if (syncs->has_thread && !syncs->is_busy)
            pthread_cond_signal(&syncs->work);
    }
    pthread_mutex_unlock(&syncs->mutex);
    if (!syncs->has_thread)
        weir_loop_wakeup_signal(&syncs->wakeup);
}

/* Under the mutex. */
static struct log_sync *take_asked(struct broker_syncs *syncs)
{
    struct log_sync *first = syncs->asked;
    syncs->asked = NULL;
    for (struct log_sync *sync = first; sync; sync = sync->next_asked) {
        sync->is_asked = false;
        sync->is_running = true;
        sync->next_running = sync->next_asked;
        sync->bytes_running = sync->bytes_asked;
        sync->bytes_asked = 0;
    }
    return first;
}

/* A failure makes the log read-only, and the log says so. */
static void sync_all(struct weir_broker *broker, const struct log_sync *first)
{
    for (const struct log_sync *sync = first; sync; sync = sync->next_running) {
        struct weir_error error;
        atomic_fetch_add_explicit(&broker->stats.syncs, 1, memory_order_relaxed);
        if (weir_plog_sync(sync->log, &error) != WEIR_OK)
            atomic_fetch_add_explicit(&broker->stats.syncs_failed, 1, memory_order_relaxed);
    }
}

/* Under the mutex. */
static void put_done(struct broker_syncs *syncs, struct log_sync *first)
{
    for (struct log_sync *sync = first; sync; sync = sync->next_running) {
        sync->is_running = false;
        sync->bytes_done += sync->bytes_running;
        sync->bytes_running = 0;
        if (sync->is_done)
            continue;
        sync->is_done = true;
        sync->next_done = syncs->done;
        syncs->done = sync;
    }
}

static void *run(void *opaque)
{
    struct weir_broker *broker = opaque;
    struct broker_syncs *syncs = &broker->syncs;
    pthread_mutex_lock(&syncs->mutex);
    for (;;) {
        while (!syncs->asked && !syncs->stopping)
            pthread_cond_wait(&syncs->work, &syncs->mutex);
        if (syncs->stopping)
            break;
        struct log_sync *first = take_asked(syncs);
        syncs->is_busy = true;
        pthread_mutex_unlock(&syncs->mutex);
        sync_all(broker, first);
        pthread_mutex_lock(&syncs->mutex);
        syncs->is_busy = false;
        put_done(syncs, first);
        pthread_cond_broadcast(&syncs->idle);
        weir_loop_wakeup_signal(&syncs->wakeup);
    }
    pthread_mutex_unlock(&syncs->mutex);
    return NULL;
}

/* ---- answers that wait ----------------------------------------------------------------------- */

static void leave_held(struct broker_syncs *syncs, struct held *held)
{
    held->connection->held = NULL;
    if (held->previous)
        held->previous->next = held->next;
    else
        syncs->held = held->next;
    if (held->next)
        held->next->previous = held->previous;
}

static void held_free(struct held *held)
{
    weir_buffer_release(&held->answer);
    weir_free(held->parts);
    weir_free(held);
}

/* In place: an error, and no offsets. */
static void refuse(struct held *held, const struct held_part *part, enum wire_error error)
{
    uint8_t *at = held->answer.data + part->place;
    at[0] = (uint8_t)((uint16_t)error >> 8);
    at[1] = (uint8_t)error;
    memset(at + 2, 0xff, held->version >= 5 ? 24 : 16); /* base offset, append time, first offset */
}

/* True: nothing is left to wait for. */
static bool look_at_parts(struct held *held)
{
    bool over = true;
    for (uint32_t i = 0; i < held->part_count; i++) {
        struct held_part *part = &held->parts[i];
        if (!part->sync)
            continue;
        if (weir_plog_offset_flushed(part->sync->log) < part->offset_end) {
            if (!weir_plog_is_read_only(part->sync->log)) {
                over = false;
                continue;
            }
            refuse(held, part, WIRE_STORAGE_ERROR);
        }
        part->sync = NULL;
    }
    return over;
}

static void answer(struct broker_syncs *syncs, struct held *held)
{
    struct connection *connection = held->connection;
    struct wire_writer writer = broker_answer_begin(connection);
    if (writer.err == WEIR_OK)
        writer.err = weir_buffer_append(writer.into, held->answer.data, held->answer.bytes);
    leave_held(syncs, held);
    held_free(held);
    broker_answer_end(connection, &writer);
}

static void look_at_held(struct broker_syncs *syncs)
{
    struct held *next;
    for (struct held *held = syncs->held; held; held = next) {
        next = held->next;
        if (look_at_parts(held))
            answer(syncs, held);
    }
}

bool broker_held_add(struct held **held, const struct partition *partition, int64_t offset_end,
                     size_t place)
{
    if (!*held) {
        *held = weir_calloc(1, sizeof **held);
        if (!*held)
            return false;
    }
    struct held *to = *held;
    if (to->part_count == to->part_capacity) {
        uint32_t capacity = to->part_capacity ? 2 * to->part_capacity : 4;
        struct held_part *parts =
            capacity <= PARTS_MAX ? weir_realloc_array(to->parts, capacity, sizeof *parts) : NULL;
        if (!parts)
            return false;
        to->parts = parts;
        to->part_capacity = capacity;
    }
    to->parts[to->part_count++] = (struct held_part){partition->sync, offset_end, place};
    return true;
}

void broker_held_drop(struct held *held)
{
    if (held)
        held_free(held);
}

enum handled broker_held_park(struct held *held, struct request *request, size_t body)
{
    struct connection *connection = request->connection;
    struct broker_syncs *syncs = &request->broker->syncs;
    const struct weir_buffer *out = request->out.into;
    weir_buffer_init(&held->answer, out->bytes_max);
    if (request->out.err != WEIR_OK ||
        weir_buffer_append(&held->answer, out->data + body, out->bytes - body) != WEIR_OK) {
        held_free(held);
        return HANDLED_CLOSE;
    }
    for (uint32_t i = 0; i < held->part_count; i++)
        held->parts[i].place -= body;
    held->version = request->head.version;
    held->connection = connection;
    held->next = syncs->held;
    if (held->next)
        held->next->previous = held;
    syncs->held = held;
    connection->held = held;
    broker_connection_park(connection);
    return HANDLED_PARKED;
}

void broker_held_cancel(struct connection *connection)
{
    struct held *held = connection->held;
    leave_held(&connection->broker->syncs, held);
    held_free(held);
}

size_t broker_held_bytes(const struct connection *connection)
{
    const struct held *held = connection->held;
    return held ? sizeof *held + held->answer.capacity +
                      held->part_capacity * sizeof(struct held_part)
                : 0;
}

/* ---- the loop's side ------------------------------------------------------------------------- */

static struct log_sync *take_done(struct broker_syncs *syncs, size_t *bytes_out)
{
    pthread_mutex_lock(&syncs->mutex);
    struct log_sync *sync = syncs->done;
    if (sync) {
        syncs->done = sync->next_done;
        sync->is_done = false;
        *bytes_out = sync->bytes_done;
        sync->bytes_done = 0;
    }
    pthread_mutex_unlock(&syncs->mutex);
    return sync;
}

static void on_wakeup(struct weir_loop_wakeup *wakeup)
{
    struct weir_broker *broker = wakeup->opaque;
    struct broker_syncs *syncs = &broker->syncs;
    struct log_sync *sync;
    size_t bytes = 0;
    if (!syncs->has_thread) {
        struct log_sync *first = take_asked(syncs);
        sync_all(broker, first);
        put_done(syncs, first);
    }
    while ((sync = take_done(syncs, &bytes)) != NULL)
        if (broker->options.flush == WEIR_BROKER_FLUSH_EVERY)
            broker_fetches_wake(sync->partition, bytes);
    look_at_held(syncs);
    broker_connections_settle(broker);
}

void broker_appended(struct weir_broker *broker, struct partition *partition, size_t bytes)
{
    if (broker->options.flush == WEIR_BROKER_FLUSH_EVERY)
        ask(&broker->syncs, partition->sync, bytes);
    else
        broker_fetches_wake(partition, bytes);
}

void broker_sync_if_needed(struct weir_broker *broker, struct partition *partition)
{
    if (weir_plog_offset_flushed(partition->log) < weir_plog_offset_next(partition->log) &&
        !weir_plog_is_read_only(partition->log))
        ask(&broker->syncs, partition->sync, 0);
}

int64_t broker_partition_end(const struct weir_broker *broker, const struct partition *partition,
                             bool committed)
{
    int64_t end = weir_plog_offset_next(partition->log);
    if (broker->options.flush == WEIR_BROKER_FLUSH_EVERY) {
        int64_t flushed = weir_plog_offset_flushed(partition->log);
        end = flushed < end ? flushed : end;
    }
    if (committed) {
        int64_t stable = weir_plog_offset_stable(partition->log);
        end = stable < end ? stable : end;
    }
    return end;
}

/* ---- life ------------------------------------------------------------------------------------ */

enum weir_err broker_sync_add(struct partition *partition)
{
    partition->sync = weir_calloc(1, sizeof *partition->sync);
    if (!partition->sync)
        return WEIR_NOMEM;
    partition->sync->partition = partition;
    partition->sync->log = partition->log;
    return WEIR_OK;
}

void broker_sync_moved(struct partition *partition)
{
    partition->sync->partition = partition;
}

static void leave_lists(struct broker_syncs *syncs, struct log_sync *sync)
{
    struct log_sync **at;
    pthread_mutex_lock(&syncs->mutex);
    for (at = &syncs->asked; *at && *at != sync;)
        at = &(*at)->next_asked;
    if (*at)
        *at = sync->next_asked;
    while (sync->is_running)
        pthread_cond_wait(&syncs->idle, &syncs->mutex);
    for (at = &syncs->done; *at && *at != sync;)
        at = &(*at)->next_done;
    if (*at)
        *at = sync->next_done;
    pthread_mutex_unlock(&syncs->mutex);
}

void broker_sync_remove(struct weir_broker *broker, struct partition *partition)
{
    struct broker_syncs *syncs = &broker->syncs;
    struct log_sync *sync = partition->sync;
    if (!sync)
        return;
    if (syncs->is_open)
        leave_lists(syncs, sync);
    for (struct held *held = syncs->held; held; held = held->next)
        for (uint32_t i = 0; i < held->part_count; i++)
            if (held->parts[i].sync == sync) {
                refuse(held, &held->parts[i], WIRE_UNKNOWN_TOPIC_OR_PARTITION);
                held->parts[i].sync = NULL;
            }
    if (syncs->held)
        weir_loop_wakeup_signal(&syncs->wakeup);
    weir_free(sync);
    partition->sync = NULL;
}

void broker_syncs_open(struct weir_broker *broker)
{
    struct broker_syncs *syncs = &broker->syncs;
    pthread_mutex_init(&syncs->mutex, NULL);
    pthread_cond_init(&syncs->work, NULL);
    pthread_cond_init(&syncs->idle, NULL);
    syncs->wakeup.opaque = broker;
    weir_loop_wakeup_open(broker->loop, &syncs->wakeup, on_wakeup);
    syncs->is_open = true;
}

enum weir_err broker_syncs_start(struct weir_broker *broker)
{
    struct broker_syncs *syncs = &broker->syncs;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    syncs->has_thread = pthread_create(&syncs->thread, NULL, run, broker) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return syncs->has_thread ? WEIR_OK : WEIR_NOMEM;
}

void broker_syncs_stop(struct weir_broker *broker)
{
    struct broker_syncs *syncs = &broker->syncs;
    if (!syncs->is_open)
        return;
    if (syncs->has_thread) {
        pthread_mutex_lock(&syncs->mutex);
        syncs->stopping = true;
        pthread_cond_signal(&syncs->work);
        pthread_mutex_unlock(&syncs->mutex);
        weir_assert(pthread_join(syncs->thread, NULL) == 0);
        syncs->has_thread = false;
    }
    weir_loop_wakeup_close(&syncs->wakeup);
    pthread_cond_destroy(&syncs->idle);
    pthread_cond_destroy(&syncs->work);
    pthread_mutex_destroy(&syncs->mutex);
    syncs->is_open = false;
}
