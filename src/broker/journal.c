/*
 * broker/journal.c - committed offsets, producer ids and transactions on disk.
 *
 * A file of framed records, written behind each other and rewritten, without what is outdated, at
 * start and whenever it is mostly outdated. Layout: docs/formats/broker.md.
 *
 *      "WEIRJNL1"  [length u32][crc32c u32][payload]  [length][crc][payload] ...
 *      payload: kind u8, then by kind
 *        COMMIT       group, topic, partition i32, offset i64, epoch i32, time i64, metadata
 *        FORGET       group
 *        FORGET_TOPIC topic, in all groups
 *        PRODUCER_ID  limit i64: no id below it may be given out again
 *        FORGET_OFFSET group, topic, partition i32
 *        TRANSACTION  and what belongs to it: journal_transactions.c
 *      texts: length u16, bytes; numbers big-endian
 *
 * A commit is acknowledged when it is written: kill -9 loses nothing. A torn tail is cut.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/digest.h"
#include "broker/inside.h"

enum {
    HEAD_BYTES = 8,
    FRAME_BYTES = 8,
    PAYLOAD_BYTES_MAX = 1 << 17,
    PRODUCER_ID_BLOCK = 1000,
    REWRITE_BYTES_MIN = 4 << 20, /* smaller files are not worth it */
    REWRITE_FACTOR = 4,
};
#define FILE_BYTES_MAX ((size_t)1 << 32)

static const char head[HEAD_BYTES + 1] = "WEIRJNL1";

/* ---- payloads -------------------------------------------------------------------------------- */

static void put_commit(struct wire_writer *writer, struct weir_slice group, struct weir_slice topic,
                       int32_t partition, const struct committed *committed)
{
    wire_put_i8(writer, JOURNAL_COMMIT);
    wire_put_string(writer, group);
    wire_put_string(writer, topic);
    wire_put_i32(writer, partition);
    wire_put_i64(writer, committed->offset);
    wire_put_i32(writer, committed->leader_epoch);
    wire_put_i64(writer, committed->timestamp_ms);
    wire_put_text(writer, committed->metadata);
}

size_t broker_journal_frame_begin(struct wire_writer *writer)
{
    size_t place = wire_reserve_i32(writer);
    wire_reserve_i32(writer);
    return place;
}

void broker_journal_frame_end(struct wire_writer *writer, size_t place)
{
    if (writer->err != WEIR_OK)
        return;
    const uint8_t *payload = writer->into->data + place + FRAME_BYTES;
    size_t bytes = writer->into->bytes - place - FRAME_BYTES;
    wire_fill_i32(writer, place, (int32_t)bytes);
    wire_fill_i32(writer, place + 4, (int32_t)weir_crc32c(0, payload, bytes));
}

/* ---- writing --------------------------------------------------------------------------------- */

static enum weir_err put_groups(struct weir_broker *broker, struct wire_writer *writer);

/* Replaces the file by one that holds only what is in force. */
static enum weir_err rewrite(struct weir_broker *broker, struct weir_error *error)
{
    struct journal *journal = &broker->journal;
    struct weir_buffer text;
    weir_buffer_init(&text, FILE_BYTES_MAX);
    struct wire_writer writer = wire_writer(&text, false);
    enum weir_err err = weir_buffer_append(&text, head, HEAD_BYTES);
    if (err == WEIR_OK) {
        size_t place = broker_journal_frame_begin(&writer);
        wire_put_i8(&writer, JOURNAL_PRODUCER_ID);
        wire_put_i64(&writer, journal->producer_id_limit);
        broker_journal_frame_end(&writer, place);
        err = put_groups(broker, &writer);
    }
    if (err == WEIR_OK)
        err = broker_journal_put_transactions(broker, &writer);
    if (err == WEIR_OK)
        err = weir_disk_replace_file(broker->disk, journal->path, text.data, text.bytes, error);
    else
        weir_error_set(error, err, -1, "%s: too large to be rewritten", journal->path);
    if (err == WEIR_OK) {
        /* The old descriptor is of a file that has no name any more. If the new one can't be had,
         * there is none, and the next entry tries again. */
        weir_disk_close(broker->disk, journal->path, journal->fd, NULL);
        journal->fd = -1;
        journal->bytes = journal->live_bytes = (int64_t)text.bytes;
        int fd = -1;
        err = weir_disk_open(broker->disk, journal->path, O_RDWR, 0644, &fd, error);
        if (err == WEIR_OK)
            journal->fd = fd;
    }
    weir_buffer_release(&text);
    return err;
}

enum weir_err broker_journal_append(struct weir_broker *broker, const struct wire_writer *writer,
                                    struct weir_error *error)
{
    struct journal *journal = &broker->journal;
    if (writer->err != WEIR_OK)
        return weir_error_set(error, writer->err, -1, "%s: the entry is too large", journal->path);
    enum weir_err err = WEIR_OK;
    /* Before the entry, for what is rewritten comes from memory, which has all entries but this. */
    if (journal->fd < 0 || (journal->bytes > REWRITE_BYTES_MIN &&
                            journal->bytes > REWRITE_FACTOR * journal->live_bytes))
        err = rewrite(broker, error);
    if (err != WEIR_OK)
        return err;
    err = weir_disk_write(broker->disk, journal->path, journal->fd, writer->into->data,
                          writer->into->bytes, journal->bytes, error);
    if (err != WEIR_OK) { /* what was written of it must not stand before the next entry */
        if (weir_disk_truncate(broker->disk, journal->path, journal->fd, journal->bytes, NULL) !=
            WEIR_OK)
            weir_log(&broker->options.log, WEIR_LOG_ERROR, "broker", "%s: can't be cut back",
                     journal->path);
        return err;
    }
    journal->bytes += (int64_t)writer->into->bytes;
    if (broker->options.flush == WEIR_BROKER_FLUSH_EVERY)
        err = weir_disk_sync(broker->disk, journal->path, journal->fd, error);
    return err;
}

enum weir_err broker_journal_commit(struct weir_broker *broker, struct weir_slice group,
                                    struct weir_slice topic, int32_t partition,
                                    const struct committed *committed, struct weir_error *error)
{
    struct weir_buffer entry;
    weir_buffer_init(&entry, PAYLOAD_BYTES_MAX);
    struct wire_writer writer = wire_writer(&entry, false);
    size_t place = broker_journal_frame_begin(&writer);
    put_commit(&writer, group, topic, partition, committed);
    broker_journal_frame_end(&writer, place);
    enum weir_err err = broker_journal_append(broker, &writer, error);
    weir_buffer_release(&entry);
    return err;
}

static enum weir_err append_name(struct weir_broker *broker, enum journal_kind kind,
                                 struct weir_slice name, struct weir_error *error)
{
    struct weir_buffer entry;
    weir_buffer_init(&entry, PAYLOAD_BYTES_MAX);
    struct wire_writer writer = wire_writer(&entry, false);
    size_t place = broker_journal_frame_begin(&writer);
    wire_put_i8(&writer, (int8_t)kind);
    wire_put_string(&writer, name);
    broker_journal_frame_end(&writer, place);
    enum weir_err err = broker_journal_append(broker, &writer, error);
    weir_buffer_release(&entry);
    return err;
}

enum weir_err broker_journal_forget_group(struct weir_broker *broker, struct weir_slice group,
                                          struct weir_error *error)
{
    return append_name(broker, JOURNAL_FORGET, group, error);
}

enum weir_err broker_journal_forget_topic(struct weir_broker *broker, struct weir_slice topic,
                                          struct weir_error *error)
{
    return append_name(broker, JOURNAL_FORGET_TOPIC, topic, error);
}

enum weir_err broker_journal_forget_offset(struct weir_broker *broker, struct weir_slice group,
                                           struct weir_slice topic, int32_t partition,
                                           struct weir_error *error)
{
    struct weir_buffer entry;
    weir_buffer_init(&entry, PAYLOAD_BYTES_MAX);
    struct wire_writer writer = wire_writer(&entry, false);
    size_t place = broker_journal_frame_begin(&writer);
    wire_put_i8(&writer, JOURNAL_FORGET_OFFSET);
    wire_put_string(&writer, group);
    wire_put_string(&writer, topic);
    wire_put_i32(&writer, partition);
    broker_journal_frame_end(&writer, place);
    enum weir_err err = broker_journal_append(broker, &writer, error);
    weir_buffer_release(&entry);
    return err;
}

enum weir_err broker_journal_producer_id(struct weir_broker *broker, int64_t *out,
                                         struct weir_error *error)
{
    struct journal *journal = &broker->journal;
    if (journal->producer_id_next == journal->producer_id_limit) {
        struct weir_buffer entry;
        weir_buffer_init(&entry, PAYLOAD_BYTES_MAX);
        struct wire_writer writer = wire_writer(&entry, false);
        size_t place = broker_journal_frame_begin(&writer);
        wire_put_i8(&writer, JOURNAL_PRODUCER_ID);
        wire_put_i64(&writer, journal->producer_id_limit + PRODUCER_ID_BLOCK);
        broker_journal_frame_end(&writer, place);
        enum weir_err err = broker_journal_append(broker, &writer, error);
        weir_buffer_release(&entry);
        if (err == WEIR_OK) /* not even after a power failure may an id come twice */
            err = weir_disk_sync(broker->disk, journal->path, journal->fd, error);
        if (err != WEIR_OK)
            return err;
        journal->producer_id_limit += PRODUCER_ID_BLOCK;
    }
    *out = journal->producer_id_next++;
    return WEIR_OK;
}

/* ---- reading --------------------------------------------------------------------------------- */

static enum weir_err take_commit(struct weir_broker *broker, struct wire_reader *reader)
{
    struct weir_slice id = wire_string(reader), topic = wire_string(reader);
    int32_t partition = wire_i32(reader);
    struct committed committed = {.offset = wire_i64(reader)};
    committed.leader_epoch = wire_i32(reader);
    committed.timestamp_ms = wire_i64(reader);
    struct weir_slice metadata = wire_string(reader);
    if (reader->failed || !id.data || !topic.data)
        return WEIR_CORRUPT;
    if (!broker_topic_find(broker, topic)) /* deleted; its FORGET_TOPIC was not written any more */
        return WEIR_OK;
    struct group *group = broker_group_find_or_make(broker, id);
    committed.metadata = metadata.data ? weir_strndup(metadata.data, metadata.bytes) : NULL;
    if (!group || (metadata.data && !committed.metadata)) {
        weir_free(committed.metadata);
        return WEIR_NOMEM;
    }
    enum weir_err err = broker_group_store(group, topic, partition, &committed);
    weir_free(committed.metadata);
    broker_transactions_supersede(broker, id, topic, partition);
    return err;
}

static enum weir_err take_forget_offset(struct weir_broker *broker, struct wire_reader *reader)
{
    struct weir_slice id = wire_string(reader), topic = wire_string(reader);
    int32_t partition = wire_i32(reader);
    if (reader->failed)
        return WEIR_CORRUPT;
    struct group *group = broker_group_find(broker, id);
    if (group)
        broker_group_drop_offset(group, topic, partition);
    return WEIR_OK;
}

static enum weir_err take_payload(struct weir_broker *broker, struct weir_slice payload)
{
    struct wire_reader reader = wire_reader(payload, false);
    int64_t limit;
    enum journal_kind kind = (enum journal_kind)wire_i8(&reader);
    switch (kind) {
    case JOURNAL_COMMIT:
        return take_commit(broker, &reader);
    case JOURNAL_FORGET:
        broker_group_forget(broker, wire_string(&reader));
        return reader.failed ? WEIR_CORRUPT : WEIR_OK;
    case JOURNAL_FORGET_TOPIC:
        broker_groups_forget_topic(broker, wire_string(&reader));
        return reader.failed ? WEIR_CORRUPT : WEIR_OK;
    case JOURNAL_FORGET_OFFSET:
        return take_forget_offset(broker, &reader);
    case JOURNAL_PRODUCER_ID:
        limit = wire_i64(&reader);
        if (limit > broker->journal.producer_id_limit)
            broker->journal.producer_id_limit = limit;
        return reader.failed ? WEIR_CORRUPT : WEIR_OK;
    case JOURNAL_TRANSACTION:
    case JOURNAL_TRANSACTION_ADDED:
    case JOURNAL_TRANSACTION_OFFSET:
    case JOURNAL_FORGET_TRANSACTION:
        return broker_journal_take_transaction(broker, kind, &reader);
    default:
        return WEIR_CORRUPT;
    }
}

/* Takes frames until the end or the first that is torn; gives where that is. */
static enum weir_err take_frames(struct weir_broker *broker, struct weir_slice text, size_t *end)
{
    const uint8_t *bytes = text.data;
    size_t at = HEAD_BYTES;
    while (text.bytes - at >= FRAME_BYTES) {
        struct wire_reader frame = wire_reader(weir_slice(bytes + at, FRAME_BYTES), false);
        uint32_t length = (uint32_t)wire_i32(&frame), crc = (uint32_t)wire_i32(&frame);
        if (length > PAYLOAD_BYTES_MAX || length > text.bytes - at - FRAME_BYTES ||
            weir_crc32c(0, bytes + at + FRAME_BYTES, length) != crc)
            break;
        enum weir_err err = take_payload(broker, weir_slice(bytes + at + FRAME_BYTES, length));
        if (err == WEIR_NOMEM)
            return err;
        if (err != WEIR_OK)
            break;
        at += FRAME_BYTES + length;
    }
    *end = at;
    return WEIR_OK;
}

enum weir_err broker_journal_open(struct weir_broker *broker, struct weir_error *error)
{
    struct journal *journal = &broker->journal;
    struct weir_buffer text;
    size_t bytes = strlen(broker->data_dir) + sizeof "/weir-journal", end = HEAD_BYTES;
    journal->path = weir_alloc(bytes);
    if (!journal->path)
        return weir_error_set(error, WEIR_NOMEM, -1, "no memory for a path");
    snprintf(journal->path, bytes, "%s/weir-journal", broker->data_dir);
    weir_buffer_init(&text, FILE_BYTES_MAX);
    enum weir_err err = weir_disk_read_file(broker->disk, journal->path, &text, error);
    if (err == WEIR_NOT_FOUND) {
        err = WEIR_OK;
    } else if (err == WEIR_OK) {
        if (text.bytes < HEAD_BYTES || memcmp(text.data, head, HEAD_BYTES) != 0)
            err = weir_error_set(error, WEIR_OTHER_VERSION, -1,
                                 "%s: not a journal that this version reads", journal->path);
        else
            err = take_frames(broker, weir_buffer_slice(&text), &end);
        if (err == WEIR_OK && end < text.bytes)
            weir_log(&broker->options.log, WEIR_LOG_WARN, "broker",
                     "%s: the last %zu bytes were torn and are cut off", journal->path,
                     text.bytes - end);
    }
    weir_buffer_release(&text);
    journal->producer_id_next = journal->producer_id_limit;
    return err == WEIR_OK ? rewrite(broker, error) : err;
}

enum weir_err broker_journal_close(struct weir_broker *broker, struct weir_error *error)
{
    struct journal *journal = &broker->journal;
    enum weir_err err = WEIR_OK;
    if (journal->fd >= 0)
        err = weir_disk_sync(broker->disk, journal->path, journal->fd, error);
    weir_disk_close(broker->disk, journal->path, journal->fd, NULL);
    weir_free(journal->path);
    journal->fd = -1;
    return err;
}

/* ---- what is in force ------------------------------------------------------------------------ */

struct putting {
    struct wire_writer *writer;
    struct weir_slice group;
};

static void put_one(void *opaque, struct weir_slice topic, int32_t partition,
                    const struct committed *committed)
{
    struct putting *putting = opaque;
    size_t place = broker_journal_frame_begin(putting->writer);
    put_commit(putting->writer, putting->group, topic, partition, committed);
    broker_journal_frame_end(putting->writer, place);
}

static enum weir_err put_groups(struct weir_broker *broker, struct wire_writer *writer)
{
    for (struct weir_map_entry *e = NULL; (e = weir_map_next(&broker->groups, e)) != NULL;) {
        struct putting putting = {writer, weir_slice(e->key, e->key_bytes)};
        broker_group_each_committed(e->value.pointer, put_one, &putting);
    }
    return writer->err;
}
