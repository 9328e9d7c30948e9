/*
 * broker/handle_fetch.c - Fetch: records at hand, or a wait until they come.
 *
 * A fetch that finds less than min_bytes is parked: it stands on the list of every partition it
 * wants, and a timer ends its patience. A batch appended to any of them answers it at once.
 */
#include <string.h>

#include "base/alloc.h"
#include "broker/inside.h"

enum {
    FETCH_BYTES_MAX = 64 << 20,
    FETCH_PARTITIONS_MAX = 100000,
    ABORTED_BYTES_MAX = 16 << 20, /* of a partition in one answer */
};

struct wanted {
    char *topic;         /* shared by the partitions of a topic: see topic_first; "" = no such id */
    struct wire_uuid id; /* as the client named it, from version 13 on */
    bool topic_first;
    int32_t topic_partitions; /* of the topic's group, on its first */
    int32_t index, leader_epoch;
    int64_t offset;
    int32_t bytes_max;
};

/* A place on a partition's list. */
struct fetch_wait {
    struct fetch *fetch;
    struct partition *partition;
    struct fetch_wait *next;
    int64_t stable; /* last stable offset, and what has come since it moved: for READ_COMMITTED */
    int64_t held;
};

struct fetch {
    struct connection *connection;
    int32_t min_bytes, bytes_max, topic_count;
    bool committed; /* READ_COMMITTED */
    int64_t deadline_ns;
    int64_t bytes_found; /* at its first look, and appended since */
    struct wanted *wanted;
    int32_t wanted_count, wanted_capacity;
    struct fetch_wait *waits;
    int32_t wait_count;
    struct weir_loop_timer timer;
};

static void fetch_free(struct fetch *fetch)
{
    for (int32_t i = 0; i < fetch->wanted_count; i++)
        if (fetch->wanted[i].topic_first)
            weir_free(fetch->wanted[i].topic);
    weir_free(fetch->wanted);
    weir_free(fetch->waits);
    weir_free(fetch);
}

/* ---- reading the request --------------------------------------------------------------------- */

static struct wanted *add_wanted(struct fetch *fetch)
{
    if (fetch->wanted_count == fetch->wanted_capacity) {
        int32_t capacity = fetch->wanted_capacity ? fetch->wanted_capacity * 2 : 16;
        struct wanted *wanted = capacity <= 2 * FETCH_PARTITIONS_MAX
                                    ? weir_realloc(fetch->wanted, (size_t)capacity * sizeof *wanted)
                                    : NULL;
        if (!wanted)
            return NULL;
        fetch->wanted = wanted;
        fetch->wanted_capacity = capacity;
    }
    struct wanted *added = &fetch->wanted[fetch->wanted_count++];
    *added = (struct wanted){0};
    return added;
}

/* A topic by its name or, from version 13 on, by its id. */
static struct weir_slice read_name(struct request *request, struct wire_uuid *id)
{
    *id = (struct wire_uuid){{0}};
    if (request->head.version < 13)
        return wire_string(&request->in);
    *id = wire_uuid(&request->in);
    const struct topic *topic = broker_topic_find_id(request->broker, *id);
    return topic ? weir_slice(topic->name, strlen(topic->name)) : weir_slice(NULL, 0);
}

static void read_wanted(struct wire_reader *in, int16_t version, struct wanted *wanted)
{
    wanted->index = wire_i32(in);
    wanted->leader_epoch = version >= 9 ? wire_i32(in) : -1;
    wanted->offset = wire_i64(in);
    if (version >= 12)
        wire_i32(in); /* epoch of the last record it has: there is but one */
    if (version >= 5)
        wire_i64(in); /* the follower's log start */
    wanted->bytes_max = wire_i32(in);
    wire_tags(in);
}

/* One topic of the request. False: no memory. */
static bool read_topic(struct request *request, struct fetch *fetch)
{
    struct wire_reader *in = &request->in;
    struct wire_uuid id;
    struct weir_slice name = read_name(request, &id);
    int32_t partitions = wire_array(in, 16);
    if (in->failed || partitions <= 0) {
        wire_tags(in);
        return true;
    }
    char *topic = weir_strndup(name.data ? name.data : "", name.bytes);
    if (!topic)
        return false;
    fetch->topic_count++;
    for (int32_t i = 0; i < partitions && !in->failed; i++) {
        struct wanted *wanted = add_wanted(fetch);
        if (!wanted) {
            if (i == 0)
                weir_free(topic);
            return false;
        }
        wanted->topic = topic;
        wanted->topic_first = i == 0;
        wanted->topic_partitions = partitions;
        wanted->id = id;
        read_wanted(in, request->head.version, wanted);
    }
    wire_tags(in);
    return true;
}

/* Partitions that leave a session: there is none. */
static void skip_forgotten(struct request *request)
{
    struct wire_reader *in = &request->in;
    struct wire_uuid id;
    int32_t forgotten = wire_array(in, 3);
    for (int32_t i = 0; i < forgotten && !in->failed; i++) {
        read_name(request, &id);
        int32_t partitions = wire_array(in, 4);
        for (int32_t j = 0; j < partitions && !in->failed; j++)
            wire_i32(in);
        wire_tags(in);
    }
}

/* NULL: no memory, or malformed. */
static struct fetch *read_fetch(struct request *request)
{
    int16_t version = request->head.version;
    struct wire_reader *in = &request->in;
    struct fetch *fetch = weir_calloc(1, sizeof *fetch);
    if (!fetch)
        return NULL;
    fetch->connection = request->connection;
    if (version <= 14)
        wire_i32(in); /* replica id, later a tagged field */
    int32_t wait_ms = wire_i32(in);
    fetch->min_bytes = wire_i32(in);
    fetch->bytes_max = version >= 3 ? wire_i32(in) : INT32_MAX;
    fetch->committed = version >= 4 && wire_i8(in) == READ_COMMITTED;
    if (version >= 7) {
        wire_i32(in); /* session id and epoch: sessions are not kept, every fetch is whole */
        wire_i32(in);
    }
    int32_t topics = wire_array(in, 3);
    bool ok = true;
    for (int32_t i = 0; i < topics && ok && !in->failed; i++)
        ok = read_topic(request, fetch);
    if (version >= 7)
        skip_forgotten(request);
    if (version >= 11)
        wire_string(in); /* rack */
    wire_tags(in);
    fetch->deadline_ns =
        weir_clock_now_ns(request->broker->clock) + (wait_ms > 0 ? wait_ms : 0) * WEIR_NS_PER_MS;
    if (ok && !in->failed)
        return fetch;
    fetch_free(fetch);
    return NULL;
}

/* ---- answering ------------------------------------------------------------------------------- */

/* What a look at all partitions found. */
struct found {
    int64_t room;   /* for records; -1 = none at all */
    int64_t bytes;  /* of records */
    size_t records; /* where those of the last partition stand in the answer */
    bool error;     /* some partition has one: the client must hear of it at once */
};

static enum wire_error put_records(struct wire_writer *out, struct partition *partition,
                                   const struct wanted *wanted, int64_t end, struct found *found)
{
    struct weir_error error = {.code = WEIR_OK};
    size_t place = wire_bytes_begin(out), before = out->into->bytes;
    enum wire_error answer = WIRE_NONE;
    found->records = before;
    int64_t room = found->room - found->bytes;
    int64_t bytes_max = wanted->bytes_max < room ? wanted->bytes_max : room;
    bool at_least_one = found->bytes == 0 && found->room >= 0;
    int64_t first = weir_plog_offset_first(partition->log);
    int64_t next = weir_plog_offset_next(partition->log);
    if (broker_check_leader_epoch(wanted->leader_epoch) != WIRE_NONE) {
        answer = broker_check_leader_epoch(wanted->leader_epoch);
    } else if (wanted->offset < first || wanted->offset > next) {
        answer = WIRE_OFFSET_OUT_OF_RANGE;
    } else if (wanted->offset < end && (bytes_max > 0 || at_least_one)) {
        enum weir_err err =
            weir_plog_read(partition->log, wanted->offset, end,
                           bytes_max > 0 ? (size_t)bytes_max : 0, at_least_one, out->into, &error);
        if (err == WEIR_NOT_FOUND)
            answer = WIRE_OFFSET_OUT_OF_RANGE;
        else if (err == WEIR_LIMIT || err == WEIR_NOMEM)
            weir_buffer_truncate(out->into, before); /* the rest comes with the next fetch */
        else if (err != WEIR_OK)
            answer = WIRE_STORAGE_ERROR;
    }
    if (answer != WIRE_NONE)
        weir_buffer_truncate(out->into, before);
    found->bytes += (int64_t)(out->into->bytes - before);
    wire_bytes_end(out, place);
    return answer;
}

static void put_i16_at(struct wire_writer *out, size_t place, int16_t value)
{
    if (out->err != WEIR_OK)
        return;
    out->into->data[place] = (uint8_t)((uint16_t)value >> 8);
    out->into->data[place + 1] = (uint8_t)value;
}

/* The transactions that were aborted, into an array of the answer. */
struct aborted {
    struct wire_writer writer;
    int32_t count;
};

static enum weir_err put_aborted(void *opaque, int64_t producer_id, int64_t offset_first)
{
    struct aborted *aborted = opaque;
    wire_put_i64(&aborted->writer, producer_id);
    wire_put_i64(&aborted->writer, offset_first);
    wire_put_tags(&aborted->writer);
    aborted->count++;
    return aborted->writer.err;
}

/* Puts the aborted transactions among the records that stand from `records` on in front of them:
 * into bytes [array, array_end), where an empty array stands. */
static enum wire_error list_aborted(struct wire_writer *out, struct partition *partition,
                                    int64_t offset, size_t array, size_t array_end, size_t records)
{
    struct weir_buffer list, *into = out->into;
    if (out->err != WEIR_OK || into->bytes == records)
        return WIRE_NONE;
    int64_t end = weir_plog_batches_end(weir_slice(into->data + records, into->bytes - records));
    weir_buffer_init(&list, ABORTED_BYTES_MAX);
    struct aborted aborted = {.writer = wire_writer(&list, out->flexible)};
    enum weir_err err = weir_plog_aborted(partition->log, offset, end, put_aborted, &aborted, NULL);
    if (err == WEIR_OK && aborted.count > 0) {
        struct weir_buffer tail;
        weir_buffer_init(&tail, into->bytes + 1);
        err = weir_buffer_append(&tail, into->data + array_end, into->bytes - array_end);
        if (err == WEIR_OK) {
            weir_buffer_truncate(into, array);
            wire_put_array(out, aborted.count);
            if (out->err == WEIR_OK)
                out->err = weir_buffer_append(into, list.data, list.bytes);
            if (out->err == WEIR_OK)
                out->err = weir_buffer_append(into, tail.data, tail.bytes);
        }
        weir_buffer_release(&tail);
    }
    weir_buffer_release(&list);
    return err == WEIR_OK ? WIRE_NONE : WIRE_STORAGE_ERROR;
}

static void put_partition(struct wire_writer *out, int16_t version, struct weir_broker *broker,
                          const struct wanted *wanted, bool committed, struct found *found)
{
    struct partition *partition = broker_partition_find(
        broker, weir_slice(wanted->topic, strlen(wanted->topic)), wanted->index);
    int64_t watermark = partition ? broker_partition_end(broker, partition, false) : -1;
    int64_t stable = partition ? broker_partition_end(broker, partition, true) : -1;
    wire_put_i32(out, wanted->index);
    size_t error_place = out->into->bytes;
    wire_put_i16(out, WIRE_NONE);
    wire_put_i64(out, watermark);
    wire_put_i64(out, stable);
    if (version >= 5)
        wire_put_i64(out, partition ? weir_plog_offset_first(partition->log) : -1);
    size_t array = out->into->bytes;
    wire_put_array(out, committed ? 0 : -1); /* aborted transactions */
    size_t array_end = out->into->bytes;
    if (version >= 11)
        wire_put_i32(out, -1); /* preferred replica */
    bool no_topic = version >= 13 && !*wanted->topic;
    enum wire_error error = no_topic ? WIRE_UNKNOWN_TOPIC_ID : WIRE_UNKNOWN_TOPIC_OR_PARTITION;
    if (partition)
        error = put_records(out, partition, wanted, committed ? stable : watermark, found);
    else
        wire_put_bytes(out, weir_slice("", 0));
    if (partition && committed && error == WIRE_NONE)
        error = list_aborted(out, partition, wanted->offset, array, array_end, found->records);
    wire_put_tags(out);
    put_i16_at(out, error_place, (int16_t)error);
    found->error |= error != WIRE_NONE;
}

/* Records that one answer may hold: as many as the client wants, but only a part of the memory that
 * is left for all. Nothing of it left: the client gets none, and asks again. */
static int64_t room_of(const struct weir_broker *broker, const struct fetch *fetch)
{
    int64_t spare = (int64_t)broker->options.memory_bytes - (int64_t)broker->memory_used;
    int64_t room = fetch->bytes_max < FETCH_BYTES_MAX ? fetch->bytes_max : FETCH_BYTES_MAX;
    if (spare <= 0)
        return -1;
    return room < spare / 4 ? room : spare / 4;
}

static struct found put_fetch(struct wire_writer *out, int16_t version, struct weir_broker *broker,
                              const struct fetch *fetch)
{
    struct found found = {.room = room_of(broker, fetch)};
    wire_put_i32(out, 0); /* throttle */
    if (version >= 7) {
        wire_put_i16(out, WIRE_NONE);
        wire_put_i32(out, 0); /* no session */
    }
    wire_put_array(out, fetch->topic_count);
    for (int32_t i = 0; i < fetch->wanted_count; i++) {
        const struct wanted *wanted = &fetch->wanted[i];
        if (wanted->topic_first && version >= 13)
            wire_put_uuid(out, wanted->id);
        else if (wanted->topic_first)
            wire_put_text(out, wanted->topic);
        if (wanted->topic_first)
            wire_put_array(out, wanted->topic_partitions);
        put_partition(out, version, broker, wanted, fetch->committed, &found);
        if (i + 1 == fetch->wanted_count || wanted[1].topic_first)
            wire_put_tags(out);
    }
    wire_put_tags(out);
    return found;
}

/* ---- waiting --------------------------------------------------------------------------------- */

/* Takes the fetch off all lists. */
static void stop_waiting(struct fetch *fetch)
{
    /* The last first: they stand in front, also where one partition was named many times. */
    for (int32_t i = fetch->wait_count - 1; i >= 0; i--) {
        struct fetch_wait **at = &fetch->waits[i].partition->waits;
        while (*at && *at != &fetch->waits[i])
            at = &(*at)->next;
        if (*at)
            *at = fetch->waits[i].next;
    }
    fetch->wait_count = 0;
    weir_loop_timer_stop(&fetch->timer);
    fetch->connection->fetch = NULL;
    atomic_fetch_sub(&fetch->connection->broker->stats.fetches_parked, 1);
}

static void answer(struct fetch *fetch)
{
    struct connection *connection = fetch->connection;
    stop_waiting(fetch);
    struct wire_writer writer = broker_answer_begin(connection);
    put_fetch(&writer, connection->head.version, connection->broker, fetch);
    fetch_free(fetch);
    broker_answer_end(connection, &writer);
}

static void on_patience_end(struct weir_loop_timer *timer)
{
    struct fetch *fetch = timer->opaque;
    struct weir_broker *broker = fetch->connection->broker;
    answer(fetch);
    broker_connections_settle(broker);
}

void broker_fetch_cancel(struct connection *connection)
{
    struct fetch *fetch = connection->fetch;
    stop_waiting(fetch);
    fetch_free(fetch);
}

void broker_fetches_wake(struct partition *partition, size_t bytes)
{
    struct fetch_wait *wait;
    const struct weir_broker *broker =
        partition->waits ? partition->waits->fetch->connection->broker : NULL;
    int64_t stable = broker ? broker_partition_end(broker, partition, true) : -1;
    for (wait = partition->waits; wait; wait = wait->next) {
        wait->held += (int64_t)bytes;
        /* What is not decided can't be read yet. */
        if (wait->fetch->committed && wait->stable == stable)
            continue;
        wait->fetch->bytes_found += wait->held;
        wait->stable = stable;
        wait->held = 0;
    }
    for (wait = partition->waits; wait;) {
        if (wait->fetch->bytes_found < wait->fetch->min_bytes) {
            wait = wait->next;
            continue;
        }
        answer(wait->fetch);
        wait = partition->waits; /* the list has changed: from its start */
    }
}

void broker_fetches_release(struct partition *partition)
{
    while (partition->waits)
        answer(partition->waits->fetch);
}

static bool park(struct fetch *fetch)
{
    struct weir_broker *broker = fetch->connection->broker;
    fetch->waits = weir_calloc((size_t)fetch->wanted_count + 1, sizeof *fetch->waits);
    if (!fetch->waits)
        return false;
    weir_loop_timer_init(broker->loop, &fetch->timer, on_patience_end);
    fetch->timer.opaque = fetch;
    if (weir_loop_timer_start_at(&fetch->timer, fetch->deadline_ns, 0) != WEIR_OK)
        return false;
    for (int32_t i = 0; i < fetch->wanted_count; i++) {
        const struct wanted *wanted = &fetch->wanted[i];
        struct partition *partition = broker_partition_find(
            broker, weir_slice(wanted->topic, strlen(wanted->topic)), wanted->index);
        if (!partition)
            continue;
        struct fetch_wait *wait = &fetch->waits[fetch->wait_count++];
        *wait = (struct fetch_wait){.fetch = fetch,
                                    .partition = partition,
                                    .next = partition->waits,
                                    .stable = broker_partition_end(broker, partition, true)};
        partition->waits = wait;
    }
    fetch->connection->fetch = fetch;
    atomic_fetch_add(&broker->stats.fetches_parked, 1);
    return true;
}

enum handled broker_handle_fetch(struct request *request)
{
    struct fetch *fetch = read_fetch(request);
    if (!fetch)
        return HANDLED_CLOSE;
    struct found found = put_fetch(&request->out, request->head.version, request->broker, fetch);
    fetch->bytes_found = found.bytes;
    bool enough = found.error || found.bytes >= fetch->min_bytes || !fetch->wanted_count ||
                  weir_clock_now_ns(request->broker->clock) >= fetch->deadline_ns;
    if (!enough) {
        if (park(fetch)) {
            broker_connection_park(request->connection);
            return HANDLED_PARKED;
        }
        weir_log(&request->broker->options.log, WEIR_LOG_ERROR, "broker",
                 "a fetch can't be parked: no memory or timer");
        fetch_free(fetch);
        return HANDLED_CLOSE;
    }
    fetch_free(fetch);
    return HANDLED_ANSWER;
}
