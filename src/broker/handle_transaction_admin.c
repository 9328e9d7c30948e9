/* broker/handle_transaction_admin.c - what is said of transactions and producers to who looks after
 * them: DescribeProducers, DescribeTransactions, ListTransactions, WriteTxnMarkers. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "broker/transactions.h"

/* Kafka's names, in the order of enum transaction_state. The last two can be asked for, but nothing
 * is ever in them here. */
static const char *const states[] = {"Empty",        "Ongoing",          "PrepareCommit",
                                     "PrepareAbort", "CompleteCommit",   "CompleteAbort",
                                     "Dead",         "PrepareEpochFence"};
enum {
    STATE_COUNT = sizeof states / sizeof *states,
    LISTED_IDS_MAX = 1000, /* that one request may ask for */
};

/* ---- DescribeProducers ----------------------------------------------------------------------- */

static void put_producer(void *opaque, const struct weir_plog_producer *producer)
{
    struct wire_writer *out = opaque;
    wire_put_i64(out, producer->id);
    wire_put_i32(out, producer->epoch);
    wire_put_i32(out, producer->sequence_last);
    wire_put_i64(out, producer->timestamp);
    wire_put_i32(out, producer->coordinator_epoch);
    wire_put_i64(out, producer->offset_first);
    wire_put_tags(out);
}

static void put_producers(struct wire_writer *out, const struct partition *partition)
{
    wire_put_i16(out, partition ? WIRE_NONE : WIRE_UNKNOWN_TOPIC_OR_PARTITION);
    wire_put_text(out, NULL);
    wire_put_array(out, partition ? (int32_t)weir_plog_producer_count(partition->log) : 0);
    if (partition)
        weir_plog_each_producer(partition->log, put_producer, out);
}

enum handled broker_handle_describe_producers(struct request *request)
{
    struct wire_reader *in = &request->in;
    struct wire_writer *out = &request->out;
    int32_t topics = wire_array(in, 2);
    wire_put_i32(out, 0);
    wire_put_array(out, topics > 0 ? topics : 0);
    for (int32_t i = 0; i < topics && !in->failed && out->err == WEIR_OK; i++) {
        struct weir_slice topic = wire_string(in);
        int32_t partitions = wire_array(in, 4);
        wire_put_string(out, topic);
        wire_put_array(out, partitions > 0 ? partitions : 0);
        for (int32_t j = 0; j < partitions && !in->failed && out->err == WEIR_OK; j++) {
            int32_t partition = wire_i32(in);
            wire_put_i32(out, partition);
            put_producers(out, broker_partition_find(request->broker, topic, partition));
            wire_put_tags(out);
        }
        wire_tags(in);
        wire_put_tags(out);
    }
    wire_tags(in);
    wire_put_tags(out);
    return HANDLED_ANSWER;
}

/* ---- DescribeTransactions -------------------------------------------------------------------- */

/* Keys are "<topic>\0<partition>". */
static int by_topic(const void *one, const void *other)
{
    const struct weir_map_entry *const *a = one, *const *b = other;
    return strcmp((*a)->key, (*b)->key);
}

/* The end of those that have the topic of the one at `from`. */
static uint32_t end_of_topic(struct weir_map_entry *const *entries, uint32_t count, uint32_t from)
{
    uint32_t end = from + 1;
    while (end < count && strcmp(entries[end]->key, entries[from]->key) == 0)
        end++;
    return end;
}

static void put_topics(struct wire_writer *out, struct weir_map_entry *const *entries,
                       uint32_t count)
{
    int32_t topics = 0;
    for (uint32_t i = 0; i < count; i = end_of_topic(entries, count, i))
        topics++;
    wire_put_array(out, topics);
    for (uint32_t i = 0; i < count;) {
        uint32_t end = end_of_topic(entries, count, i);
        wire_put_text(out, entries[i]->key);
        wire_put_array(out, (int32_t)(end - i));
        for (; i < end; i++) {
            int32_t partition;
            memcpy(&partition, entries[i]->key + strlen(entries[i]->key) + 1, sizeof partition);
            wire_put_i32(out, partition);
        }
        wire_put_tags(out);
    }
}

/* The partitions of a transaction, by topic. NOMEM. */
static enum weir_err put_partitions(struct wire_writer *out, const struct transaction *t)
{
    uint32_t count = 0, capacity = t ? weir_map_count(&t->partitions) : 0;
    struct weir_map_entry **entries = weir_alloc((capacity + 1) * sizeof *entries);
    if (!entries)
        return WEIR_NOMEM;
    for (struct weir_map_entry *e = NULL; t && (e = weir_map_next(&t->partitions, e)) != NULL;)
        entries[count++] = e;
    qsort(entries, count, sizeof *entries, by_topic);
    put_topics(out, entries, count);
    weir_free(entries);
    return WEIR_OK;
}

static enum weir_err put_transaction(struct wire_writer *out, struct weir_slice id,
                                     const struct transaction *t)
{
    static const struct transaction_core none;
    const struct transaction_core *core = t ? &t->core : &none;
    wire_put_i16(out, t          ? WIRE_NONE
                      : id.bytes ? WIRE_TRANSACTIONAL_ID_NOT_FOUND
                                 : WIRE_INVALID_REQUEST);
    wire_put_string(out, id);
    wire_put_text(out, t ? states[core->state] : "");
    wire_put_i32(out, core->timeout_ms);
    wire_put_i64(out, core->started_ms);
    wire_put_i64(out, core->producer.id);
    wire_put_i16(out, core->producer.epoch);
    enum weir_err err = put_partitions(out, t);
    wire_put_tags(out);
    return err;
}

enum handled broker_handle_describe_transactions(struct request *request)
{
    struct wire_reader *in = &request->in;
    struct wire_writer *out = &request->out;
    enum weir_err err = WEIR_OK;
    int32_t count = wire_array(in, 1);
    wire_put_i32(out, 0);
    wire_put_array(out, count > 0 ? count : 0);
    for (int32_t i = 0; i < count && !in->failed && err == WEIR_OK && out->err == WEIR_OK; i++) {
        struct weir_slice id = wire_string(in);
        if (id.data)
            err = put_transaction(out, id, broker_transaction_find(request->broker, id));
        else
            in->failed = true;
    }
    wire_tags(in);
    wire_put_tags(out);
    return err == WEIR_OK ? HANDLED_ANSWER : HANDLED_CLOSE;
}

/* ---- ListTransactions ------------------------------------------------------------------------ */

/* Those that a request wants to hear of; no states or ids at all means every one. */
struct listing {
    struct wire_reader names, ids;
    int32_t name_count, id_count, unknown_count;
    uint32_t states; /* a bit each */
    int64_t older_ms, now_ms;
};

/* STATE_COUNT: there is none of this name. */
static uint32_t state_of(struct weir_slice name)
{
    uint32_t state = 0;
    while (state < STATE_COUNT && (strlen(states[state]) != name.bytes ||
                                   memcmp(states[state], name.data, name.bytes) != 0))
        state++;
    return state;
}

static struct listing read_listing(const struct request *request, struct wire_reader *in)
{
    struct listing listing = {.older_ms = -1};
    listing.name_count = wire_array(in, 1);
    listing.names = *in;
    for (int32_t i = 0; i < listing.name_count && !in->failed; i++) {
        uint32_t state = state_of(wire_string(in));
        if (state == STATE_COUNT)
            listing.unknown_count++;
        else
            listing.states |= 1U << state;
    }
    listing.id_count = wire_array(in, 8);
    listing.ids = *in;
    in->failed |= listing.id_count > LISTED_IDS_MAX;
    for (int32_t i = 0; i < listing.id_count && !in->failed; i++)
        wire_i64(in);
    if (request->head.version >= 1)
        listing.older_ms = wire_i64(in);
    wire_tags(in);
    listing.now_ms = weir_clock_wall_ms(request->broker->clock);
    return listing;
}

static bool has_wanted_id(const struct listing *listing, int64_t id)
{
    struct wire_reader ids = listing->ids;
    for (int32_t i = 0; i < listing->id_count; i++)
        if (wire_i64(&ids) == id)
            return true;
    return listing->id_count <= 0;
}

static bool is_listed(const struct listing *listing, const struct transaction *t)
{
    const struct transaction_core *core = &t->core;
    return (listing->name_count <= 0 || listing->states & 1U << core->state) &&
           (listing->older_ms < 0 || listing->now_ms - core->started_ms > listing->older_ms) &&
           has_wanted_id(listing, core->producer.id);
}

static void put_unknown_states(struct wire_writer *out, const struct listing *listing)
{
    struct wire_reader names = listing->names;
    wire_put_array(out, listing->unknown_count);
    for (int32_t i = 0; i < listing->name_count; i++) {
        struct weir_slice name = wire_string(&names);
        if (state_of(name) == STATE_COUNT)
            wire_put_string(out, name);
    }
}

enum handled broker_handle_list_transactions(struct request *request)
{
    const struct weir_map *all = &request->broker->transactions;
    struct wire_writer *out = &request->out;
    struct listing listing = read_listing(request, &request->in);
    int32_t count = 0;
    if (request->in.failed)
        return HANDLED_CLOSE;
    for (struct weir_map_entry *e = NULL; (e = weir_map_next(all, e)) != NULL;)
        count += is_listed(&listing, e->value.pointer);
    wire_put_i32(out, 0);
    wire_put_i16(out, WIRE_NONE);
    put_unknown_states(out, &listing);
    wire_put_array(out, count);
    for (struct weir_map_entry *e = NULL; (e = weir_map_next(all, e)) != NULL;) {
        const struct transaction *t = e->value.pointer;
        if (!is_listed(&listing, t))
            continue;
        wire_put_text(out, t->id);
        wire_put_i64(out, t->core.producer.id);
        wire_put_text(out, states[t->core.state]);
        wire_put_tags(out);
    }
    wire_put_tags(out);
    return HANDLED_ANSWER;
}

/* ---- WriteTxnMarkers ------------------------------------------------------------------------- */

static enum wire_error write_marker(struct weir_broker *broker, struct weir_slice topic,
                                    int32_t index, const struct weir_plog_marker *marker)
{
    struct partition *partition = broker_partition_find(broker, topic, index);
    struct weir_plog_producer known;
    if (marker->producer_id < 0 || marker->producer_epoch < 0)
        return WIRE_INVALID_REQUEST;
    if (!partition)
        return WIRE_UNKNOWN_TOPIC_OR_PARTITION;
    if (weir_plog_producer_find(partition->log, marker->producer_id, &known)) {
        if (marker->producer_epoch < known.epoch)
            return WIRE_INVALID_PRODUCER_EPOCH;
        if (marker->coordinator_epoch < known.coordinator_epoch)
            return WIRE_TRANSACTION_COORDINATOR_FENCED;
    }
    return broker_transaction_mark(broker, partition, marker) ? WIRE_NONE : WIRE_STORAGE_ERROR;
}

/* The coordinator's epoch, which stands behind the topics of a marker. */
static int32_t read_coordinator_epoch(struct wire_reader *in)
{
    int32_t topics = wire_array(in, 2);
    for (int32_t i = 0; i < topics && !in->failed; i++) {
        wire_string(in);
        int32_t partitions = wire_array(in, 4);
        for (int32_t j = 0; j < partitions && !in->failed; j++)
            wire_i32(in);
        wire_tags(in);
    }
    return wire_i32(in);
}

static void put_marker(struct request *request)
{
    struct wire_reader *in = &request->in;
    struct wire_writer *out = &request->out;
    struct weir_plog_marker marker = {.producer_id = wire_i64(in)};
    marker.producer_epoch = wire_i16(in);
    marker.commit = wire_bool(in);
    struct wire_reader ahead = *in;
    marker.coordinator_epoch = read_coordinator_epoch(&ahead);
    in->failed |= ahead.failed;
    int32_t topics = wire_array(in, 2);
    wire_put_i64(out, marker.producer_id);
    wire_put_array(out, topics > 0 ? topics : 0);
    for (int32_t i = 0; i < topics && !in->failed; i++) {
        struct weir_slice topic = wire_string(in);
        int32_t partitions = wire_array(in, 4);
        wire_put_string(out, topic);
        wire_put_array(out, partitions > 0 ? partitions : 0);
        for (int32_t j = 0; j < partitions && !in->failed; j++) {
            int32_t partition = wire_i32(in);
            wire_put_i32(out, partition);
            wire_put_i16(out, (int16_t)write_marker(request->broker, topic, partition, &marker));
            wire_put_tags(out);
        }
        wire_tags(in);
        wire_put_tags(out);
    }
    wire_i32(in); /* the coordinator's epoch */
    wire_tags(in);
    wire_put_tags(out);
}

enum handled broker_handle_write_txn_markers(struct request *request)
{
    struct wire_reader *in = &request->in;
    struct wire_writer *out = &request->out;
    int32_t markers = wire_array(in, 15);
    wire_put_array(out, markers > 0 ? markers : 0);
    for (int32_t i = 0; i < markers && !in->failed; i++)
        put_marker(request);
    wire_tags(in);
    wire_put_tags(out);
    return HANDLED_ANSWER;
}
