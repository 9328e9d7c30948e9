/* broker/journal_transactions.c - transactions in the journal: what stands in journal.c's frames
 * from TRANSACTION on. Layout: docs/formats/broker.md. */
#include <string.h>

#include "base/alloc.h"
#include "broker/transactions.h"

/* ---- payloads -------------------------------------------------------------------------------- */

void broker_journal_put_core(struct wire_writer *writer, const struct transaction *t,
                             const struct transaction_core *core)
{
    size_t place = broker_journal_frame_begin(writer);
    wire_put_i8(writer, JOURNAL_TRANSACTION);
    wire_put_text(writer, t->id);
    wire_put_i64(writer, core->producer.id);
    wire_put_i16(writer, core->producer.epoch);
    wire_put_i64(writer, core->last.id);
    wire_put_i16(writer, core->last.epoch);
    wire_put_i32(writer, core->timeout_ms);
    wire_put_i8(writer, (int8_t)core->state);
    wire_put_i64(writer, core->started_ms);
    wire_put_i64(writer, core->updated_ms);
    broker_journal_frame_end(writer, place);
}

void broker_journal_put_added(struct wire_writer *writer, const struct transaction *t,
                              struct weir_slice group_or_topic, int32_t partition)
{
    size_t place = broker_journal_frame_begin(writer);
    wire_put_i8(writer, JOURNAL_TRANSACTION_ADDED);
    wire_put_text(writer, t->id);
    wire_put_string(writer, group_or_topic);
    wire_put_i32(writer, partition);
    broker_journal_frame_end(writer, place);
}

void broker_journal_put_offset(struct wire_writer *writer, const struct transaction *t,
                               struct weir_slice group, struct weir_slice topic, int32_t partition,
                               const struct committed *committed)
{
    size_t place = broker_journal_frame_begin(writer);
    wire_put_i8(writer, JOURNAL_TRANSACTION_OFFSET);
    wire_put_text(writer, t->id);
    wire_put_string(writer, group);
    wire_put_string(writer, topic);
    wire_put_i32(writer, partition);
    wire_put_i64(writer, committed->offset);
    wire_put_i32(writer, committed->leader_epoch);
    wire_put_i64(writer, committed->timestamp_ms);
    wire_put_text(writer, committed->metadata);
    broker_journal_frame_end(writer, place);
}

/* ---- writing --------------------------------------------------------------------------------- */

enum weir_err broker_journal_transaction(struct weir_broker *broker, const struct transaction *t,
                                         const struct transaction_core *core,
                                         struct weir_error *error)
{
    struct weir_buffer entry;
    weir_buffer_init(&entry, TRANSACTION_ENTRIES_BYTES_MAX);
    struct wire_writer writer = wire_writer(&entry, false);
    broker_journal_put_core(&writer, t, core);
    enum weir_err err = broker_journal_append(broker, &writer, error);
    weir_buffer_release(&entry);
    return err;
}

enum weir_err broker_journal_forget_transaction(struct weir_broker *broker,
                                                const struct transaction *t,
                                                struct weir_error *error)
{
    struct weir_buffer entry;
    weir_buffer_init(&entry, TRANSACTION_ENTRIES_BYTES_MAX);
    struct wire_writer writer = wire_writer(&entry, false);
    size_t place = broker_journal_frame_begin(&writer);
    wire_put_i8(&writer, JOURNAL_FORGET_TRANSACTION);
    wire_put_text(&writer, t->id);
    broker_journal_frame_end(&writer, place);
    enum weir_err err = broker_journal_append(broker, &writer, error);
    weir_buffer_release(&entry);
    return err;
}

enum weir_err broker_journal_put_transactions(struct weir_broker *broker,
                                              struct wire_writer *writer)
{
    for (struct weir_map_entry *e = NULL; (e = weir_map_next(&broker->transactions, e)) != NULL;) {
        const struct transaction *t = e->value.pointer;
        if (t->core.producer.id < 0)
            continue; /* its first entry is about to be written */
        broker_journal_put_core(writer, t, &t->core);
        for (struct weir_map_entry *p = NULL; (p = weir_map_next(&t->partitions, p)) != NULL;) {
            int32_t partition;
            size_t topic_bytes = strlen(p->key);
            memcpy(&partition, p->key + topic_bytes + 1, sizeof partition);
            broker_journal_put_added(writer, t, weir_slice(p->key, topic_bytes), partition);
        }
        for (struct weir_map_entry *g = NULL; (g = weir_map_next(&t->groups, g)) != NULL;)
            broker_journal_put_added(writer, t, weir_slice(g->key, g->key_bytes), ADD_GROUP);
        for (struct weir_map_entry *o = NULL; (o = weir_map_next(&t->offsets, o)) != NULL;) {
            struct weir_slice group = weir_slice(o->key, strlen(o->key));
            const char *topic = o->key + group.bytes + 1;
            int32_t partition;
            memcpy(&partition, topic + strlen(topic) + 1, sizeof partition);
            broker_journal_put_offset(writer, t, group, weir_slice(topic, strlen(topic)), partition,
                                      o->value.pointer);
        }
    }
    return writer->err;
}

/* ---- reading --------------------------------------------------------------------------------- */

static enum weir_err take_core(struct weir_broker *broker, struct weir_slice id,
                               struct wire_reader *reader)
{
    struct transaction_core core = {.producer.id = wire_i64(reader)};
    core.producer.epoch = wire_i16(reader);
    core.last.id = wire_i64(reader);
    core.last.epoch = wire_i16(reader);
    core.timeout_ms = wire_i32(reader);
    int8_t state = wire_i8(reader);
    core.started_ms = wire_i64(reader);
    core.updated_ms = wire_i64(reader);
    if (reader->failed || state < TRANSACTION_EMPTY || state > TRANSACTION_COMPLETE_ABORT ||
        core.producer.id < 0 || core.producer.epoch < 0)
        return WEIR_CORRUPT;
    core.state = (enum transaction_state)state;
    struct transaction *t = broker_transaction_obtain(broker, id);
    enum weir_err err = t ? WEIR_OK : WEIR_NOMEM;
    if (err == WEIR_OK && core.state == TRANSACTION_COMPLETE_COMMIT)
        err = broker_transaction_apply_offsets(broker, t);
    if (err == WEIR_OK)
        broker_transaction_become(broker, t, &core);
    return err;
}

static enum weir_err take_offset(struct weir_broker *broker, struct transaction *t,
                                 struct wire_reader *reader)
{
    struct weir_slice group = wire_string(reader), topic = wire_string(reader);
    int32_t partition = wire_i32(reader);
    struct committed committed = {.offset = wire_i64(reader)};
    committed.leader_epoch = wire_i32(reader);
    committed.timestamp_ms = wire_i64(reader);
    struct weir_slice metadata = wire_string(reader);
    if (reader->failed || !group.data || !topic.data)
        return WEIR_CORRUPT;
    committed.metadata = metadata.data ? weir_strndup(metadata.data, metadata.bytes) : NULL;
    if (metadata.data && !committed.metadata)
        return WEIR_NOMEM;
    enum weir_err err =
        broker_transaction_note_offset(broker, t, group, topic, partition, &committed);
    weir_free(committed.metadata);
    return err;
}

enum weir_err broker_journal_take_transaction(struct weir_broker *broker, enum journal_kind kind,
                                              struct wire_reader *reader)
{
    struct weir_slice id = wire_string(reader), name;
    int32_t partition;
    if (reader->failed || !id.bytes)
        return WEIR_CORRUPT;
    if (kind == JOURNAL_TRANSACTION)
        return take_core(broker, id, reader);
    struct transaction *t = broker_transaction_find(broker, id);
    if (!t)
        return WEIR_OK;
    switch (kind) {
    case JOURNAL_TRANSACTION_ADDED:
        name = wire_string(reader);
        partition = wire_i32(reader);
        if (reader->failed || !name.data)
            return WEIR_CORRUPT;
        return broker_transaction_note(t, name, partition);
    case JOURNAL_TRANSACTION_OFFSET:
        return take_offset(broker, t, reader);
    case JOURNAL_FORGET_TRANSACTION:
        broker_transaction_forget(broker, t);
        return WEIR_OK;
    default:
        return WEIR_CORRUPT;
    }
}

enum weir_err broker_journal_take_entries(struct weir_broker *broker, struct weir_slice entries)
{
    struct wire_reader reader = wire_reader(entries, false);
    enum weir_err err = WEIR_OK;
    while (err == WEIR_OK && reader.at < reader.end) {
        size_t bytes = (size_t)wire_i32(&reader);
        wire_i32(&reader); /* checksum */
        struct wire_reader payload = wire_reader(weir_slice(reader.at, bytes), false);
        enum journal_kind kind = (enum journal_kind)wire_i8(&payload);
        err = broker_journal_take_transaction(broker, kind, &payload);
        reader.at += bytes;
    }
    return err;
}
