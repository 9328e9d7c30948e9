/* tests/unit/plog/keyed.h */
#include "keyed.h"

#include <stdio.h>

#include "base/number.h"
#include "plog/log.h"
#include "wire/record_batch.h"

enum { LOG_BYTES_MAX = 64 << 20 };

static struct weir_slice text_of(char *text, size_t room, const char *prefix, int number)
{
    int bytes = snprintf(text, room, "%s%d", prefix, number);
    return weir_slice(text, (size_t)bytes);
}

int64_t keyed_append(struct fixture *f, const struct keyed_batch *batch)
{
    struct wire_batch_options options = wire_batch_options();
    struct wire_builder builder;
    struct weir_buffer bytes;
    struct weir_plog_appended out;
    enum weir_plog_refusal refusal;
    struct weir_error error = {0};
    static const struct wire_header header = {.name = "h", .value = {.data = "v", .bytes = 1}};

    options.attributes = (int16_t)(batch->codec | (batch->transactional ? PLOG_TRANSACTIONAL : 0));
    if (batch->producer_id > 0) {
        options.producer_id = batch->producer_id;
        options.producer_epoch = 0;
        options.sequence_base = batch->sequence;
    }
    wire_builder_init(&builder, &options, 1 << 20);
    weir_buffer_init(&bytes, 1 << 20);
    for (int i = 0; i < batch->count; i++) {
        char key_text[32], value_text[32];
        struct weir_slice key = {0}, value = {0};
        if (batch->records[i].key != NO_KEY)
            key = text_of(key_text, sizeof key_text, "key", batch->records[i].key);
        if (batch->records[i].value != TOMBSTONE)
            value = text_of(value_text, sizeof value_text, "value", batch->records[i].value);
        assert_int_equal(wire_builder_add(&builder, batch->timestamp, key, value, &header, 1),
                         WEIR_OK);
    }
    assert_int_equal(wire_builder_finish(&builder, &bytes, &error), WEIR_OK);
    if (weir_plog_append(f->log, bytes.data, bytes.bytes, 0, &out, &refusal, &error) != WEIR_OK)
        fail_msg("%s", error.message);
    wire_builder_release(&builder);
    weir_buffer_release(&bytes);
    return out.offset_base;
}

int64_t keyed_put(struct fixture *f, int key, int value)
{
    return keyed_append(
        f, &(struct keyed_batch){.records = {{key, value}}, .count = 1, .timestamp = 1000});
}

void end_transaction(struct fixture *f, int64_t producer_id, bool commit)
{
    struct weir_plog_marker marker = {.producer_id = producer_id, .commit = commit};
    struct weir_plog_appended out;

    assert_int_equal(weir_plog_end_transaction(f->log, &marker, 0, &out, NULL), WEIR_OK);
}

void roll(struct fixture *f)
{
    assert_int_equal(weir_plog_roll(f->log, NULL), WEIR_OK);
}

static int number_of(struct weir_slice text, size_t prefix)
{
    int64_t number = -1;

    if (text.data != NULL)
        assert_int_equal(
            weir_parse_int64(weir_slice((const char *)text.data + prefix, text.bytes - prefix),
                             &number),
            WEIR_OK);
    return (int)number;
}

static void take_batch(struct weir_slice bytes, struct seen **seen, size_t *count, size_t *room)
{
    struct wire_batch batch;
    struct wire_walk walk;
    struct wire_record record;
    enum weir_err err;

    assert_int_equal(wire_batch_read(bytes, &batch, NULL), WEIR_OK);
    assert_true(wire_batch_crc_holds(&batch));
    if (batch.attributes & WIRE_BATCH_CONTROL)
        return;
    assert_int_equal(wire_walk_init(&walk, &batch, 1 << 20, NULL), WEIR_OK);
    while ((err = wire_walk_next(&walk, &record, NULL)) == WEIR_OK) {
        if (*count == *room) {
            *room = 2 * *room + 16;
            *seen = realloc(*seen, *room * sizeof **seen);
        }
        assert_int_equal(record.header_count, 1);
        (*seen)[(*count)++] = (struct seen){
            .offset = record.offset,
            .timestamp = record.timestamp_ms,
            .key = number_of(record.key, 3),
            .value = number_of(record.value, 5),
        };
    }
    assert_int_equal(err, WEIR_END);
    wire_walk_release(&walk);
}

struct seen *read_all(struct fixture *f, size_t *count_out)
{
    int64_t offset = weir_plog_offset_first(f->log), last = offset - 1;
    struct weir_buffer bytes;
    struct seen *seen = NULL;
    size_t count = 0, room = 0;

    weir_buffer_init(&bytes, LOG_BYTES_MAX);
    while (offset < weir_plog_offset_next(f->log)) {
        weir_buffer_clear(&bytes);
        assert_int_equal(weir_plog_read(f->log, offset, -1, 700, true, &bytes, NULL), WEIR_OK);
        if (bytes.bytes == 0)
            break;
        for (size_t at = 0; at < bytes.bytes;) {
            struct plog_head head = {0};
            assert_true(plog_head_read(bytes.data + at, &head));
            assert_true(head.offset_base > last);
            last = head.offset_last;
            take_batch(weir_slice(bytes.data + at, (size_t)head.bytes), &seen, &count, &room);
            at += (size_t)head.bytes;
        }
        offset = last + 1;
    }
    weir_buffer_release(&bytes);
    *count_out = count;
    return seen;
}

void assert_holds(struct fixture *f, const char *expected)
{
    char text[4096] = "";
    size_t count, used = 0;
    struct seen *seen = read_all(f, &count);

    for (size_t i = 0; i < count; i++) {
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%lld:%d=", i ? " " : "",
                                 (long long)seen[i].offset, seen[i].key);
        if (seen[i].value != TOMBSTONE)
            used += (size_t)snprintf(text + used, sizeof text - used, "%d", seen[i].value);
    }
    free(seen);
    assert_string_equal(text, expected);
}

enum weir_err clean(struct fixture *f, const struct weir_plog_clean_settings *settings,
                    struct weir_plog_cleaned *out)
{
    struct weir_plog_cleaning *cleaning;
    struct weir_error error = {0};
    enum weir_err err = weir_plog_cleaning_new(f->log, settings, &cleaning, &error);

    if (err == WEIR_OK) {
        err = weir_plog_cleaning_run(cleaning, out, &error);
        weir_plog_cleaning_free(cleaning);
    }
    assert_true(err == WEIR_OK || err == WEIR_END || error.message[0] != '\0');
    return err;
}
