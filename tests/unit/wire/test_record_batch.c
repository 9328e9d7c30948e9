/* Record batches: golden bytes, damaged bytes, what is built is read back. */
#include "cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire/record_batch.h"

/* Three records at offset 1234 of an idempotent producer, put together by hand from the format's
 * description; the CRC comes from another implementation. */
static const uint8_t golden[] = {
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x04, 0xd2, /* base offset 1234 */
    0x00, 0x00, 0x00, 0x5a, 0x00, 0x00, 0x00, 0x05, /* length 90, leader epoch 5 */
    0x02, 0x17, 0x75, 0x1d, 0x68, 0x00, 0x00,       /* magic, CRC, attributes */
    0x00, 0x00, 0x00, 0x02,                         /* last offset delta */
    0x00, 0x00, 0x01, 0x8b, 0xcf, 0xe5, 0x68, 0x00, /* base timestamp 1700000000000 */
    0x00, 0x00, 0x01, 0x8b, 0xcf, 0xe5, 0x69, 0x2c, /* max timestamp, 300 more */
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x10, 0x92, /* producer id 4242 */
    0x00, 0x07, 0x00, 0x00, 0x00, 0x63,             /* epoch 7, sequence 99 */
    0x00, 0x00, 0x00, 0x03,                         /* records */
    0x1c, 0x00, 0x00, 0x00, 0x06, 'k',  'e',  'y',  /* key=value */
    0x0a, 'v',  'a',  'l',  'u',  'e',  0x00,       /* no headers */
    0x1a, 0x00, 0x09, 0x02, 0x01, 0x00, 0x04,       /* 5 ms earlier, null key, empty value */
    0x02, 'h',  0x02, '1',  0x02, 'n',  0x01,       /* h=1, n=null */
    0x16, 0x00, 0xd8, 0x04, 0x04, 0x08, 'g',  'o',  /* 300 ms later */
    'n',  'e',  0x01, 0x00,                         /* a tombstone */
};

static void assert_text(struct weir_slice slice, const char *text)
{
    if (!text) {
        assert_null(slice.data);
        return;
    }
    assert_non_null(slice.data);
    assert_int_equal(slice.bytes, strlen(text));
    assert_memory_equal(slice.data, text, slice.bytes);
}

static void assert_golden_records(const struct wire_batch *batch)
{
    struct wire_walk walk;
    struct wire_record record;
    struct weir_slice name, value;
    assert_int_equal(wire_walk_init(&walk, batch, 1 << 16, NULL), WEIR_OK);
    assert_int_equal(wire_walk_next(&walk, &record, NULL), WEIR_OK);
    assert_int_equal(record.offset, batch->offset_base);
    assert_int_equal(record.timestamp_ms, 1700000000000);
    assert_text(record.key, "key");
    assert_text(record.value, "value");
    assert_int_equal(record.header_count, 0);
    assert_int_equal(wire_walk_next(&walk, &record, NULL), WEIR_OK);
    assert_int_equal(record.timestamp_ms, 1699999999995);
    assert_text(record.key, NULL);
    assert_text(record.value, "");
    assert_int_equal(record.header_count, 2);
    assert_int_equal(wire_header_next(&record.headers, &name, &value), WEIR_OK);
    assert_text(name, "h");
    assert_text(value, "1");
    assert_int_equal(wire_header_next(&record.headers, &name, &value), WEIR_OK);
    assert_text(name, "n");
    assert_text(value, NULL);
    assert_int_equal(wire_header_next(&record.headers, &name, &value), WEIR_END);
    assert_int_equal(wire_walk_next(&walk, &record, NULL), WEIR_OK);
    assert_int_equal(record.offset, batch->offset_base + 2);
    assert_int_equal(record.timestamp_ms, 1700000000300);
    assert_text(record.key, "gone");
    assert_text(record.value, NULL);
    assert_int_equal(wire_walk_next(&walk, &record, NULL), WEIR_END);
    wire_walk_release(&walk);
}

static void reads_a_golden_batch(void **state)
{
    (void)state;
    struct wire_batch batch;
    assert_int_equal(wire_batch_read(weir_slice(golden, sizeof golden), &batch, NULL), WEIR_OK);
    assert_int_equal(batch.byte_count, sizeof golden);
    assert_int_equal(batch.offset_base, 1234);
    assert_int_equal(batch.offset_last, 1236);
    assert_int_equal(batch.leader_epoch, 5);
    assert_int_equal(batch.timestamp_max, 1700000000300);
    assert_int_equal(batch.producer_id, 4242);
    assert_int_equal(batch.producer_epoch, 7);
    assert_int_equal(batch.sequence_base, 99);
    assert_int_equal(batch.record_count, 3);
    assert_true(wire_batch_crc_holds(&batch));
    assert_golden_records(&batch);
}

static void build_golden(struct weir_buffer *into, int codec)
{
    const struct wire_header headers[] = {{"h", weir_slice("1", 1)}, {"n", weir_slice(NULL, 0)}};
    struct wire_batch_options options = wire_batch_options();
    struct wire_builder builder;
    struct weir_slice null = weir_slice(NULL, 0);
    options.offset_base = 1234;
    options.leader_epoch = 5;
    options.producer_id = 4242;
    options.producer_epoch = 7;
    options.sequence_base = 99;
    options.attributes = (int16_t)codec;
    wire_builder_init(&builder, &options, 1 << 16);
    assert_int_equal(wire_builder_finish(&builder, into, NULL), WEIR_INVALID);
    assert_int_equal(wire_builder_add(&builder, 1700000000000, weir_slice("key", 3),
                                      weir_slice("value", 5), NULL, 0),
                     WEIR_OK);
    assert_int_equal(wire_builder_add(&builder, 1699999999995, null, weir_slice("", 0), headers, 2),
                     WEIR_OK);
    assert_int_equal(
        wire_builder_add(&builder, 1700000000300, weir_slice("gone", 4), null, NULL, 0), WEIR_OK);
    assert_int_equal(wire_builder_finish(&builder, into, NULL), WEIR_OK);
    assert_int_equal(builder.options.offset_base, 1237);
    assert_int_equal(builder.options.sequence_base, 102);
    wire_builder_release(&builder);
}

static void builds_the_golden_batch(void **state)
{
    (void)state;
    struct weir_buffer buffer;
    weir_buffer_init(&buffer, 1 << 16);
    build_golden(&buffer, WIRE_CODEC_NONE);
    assert_int_equal(buffer.bytes, sizeof golden);
    assert_memory_equal(buffer.data, golden, sizeof golden);
    weir_buffer_release(&buffer);
}

static void every_codec_gives_the_records_back(void **state)
{
    (void)state;
    for (int codec = 0; codec < WIRE_CODEC_COUNT; codec++) {
        struct weir_buffer buffer;
        struct wire_batch batch;
        weir_buffer_init(&buffer, 1 << 16);
        build_golden(&buffer, codec);
        assert_int_equal(wire_batch_read(weir_buffer_slice(&buffer), &batch, NULL), WEIR_OK);
        assert_true(wire_batch_crc_holds(&batch));
        assert_golden_records(&batch);
        weir_buffer_release(&buffer);
    }
}

static void log_append_time_is_the_time_of_all(void **state)
{
    (void)state;
    struct wire_batch batch;
    struct wire_walk walk;
    struct wire_record record;
    assert_int_equal(wire_batch_read(weir_slice(golden, sizeof golden), &batch, NULL), WEIR_OK);
    batch.attributes |= WIRE_BATCH_LOG_APPEND_TIME;
    assert_int_equal(wire_walk_init(&walk, &batch, 1 << 16, NULL), WEIR_OK);
    while (wire_walk_next(&walk, &record, NULL) == WEIR_OK)
        assert_int_equal(record.timestamp_ms, 1700000000300);
    wire_walk_release(&walk);
}

static void sequences_wrap_at_two_to_the_31(void **state)
{
    (void)state;
    struct weir_buffer buffer;
    struct wire_batch_options options = wire_batch_options();
    struct wire_builder builder;
    struct weir_slice null = weir_slice(NULL, 0);
    weir_buffer_init(&buffer, 1 << 16);
    options.sequence_base = INT32_MAX;
    wire_builder_init(&builder, &options, 1 << 16);
    assert_int_equal(wire_builder_add(&builder, 1, null, null, NULL, 0), WEIR_OK);
    assert_int_equal(wire_builder_finish(&builder, &buffer, NULL), WEIR_OK);
    assert_int_equal(builder.options.sequence_base, 0);
    wire_builder_release(&builder);
    weir_buffer_release(&buffer);
}

/* Walks whatever `bytes` are; true if it came to a clean end. */
static bool survives(const uint8_t *bytes, size_t count)
{
    struct wire_batch batch;
    struct wire_walk walk;
    struct wire_record record;
    if (wire_batch_read(weir_slice(bytes, count), &batch, NULL) != WEIR_OK ||
        !wire_batch_crc_holds(&batch))
        return false;
    enum weir_err err = wire_walk_init(&walk, &batch, 1 << 16, NULL);
    while (err == WEIR_OK)
        err = wire_walk_next(&walk, &record, NULL);
    wire_walk_release(&walk);
    return err == WEIR_END;
}

static void every_cut_is_noticed(void **state)
{
    (void)state;
    struct weir_error error;
    struct wire_batch batch;
    for (size_t count = 0; count < sizeof golden; count++) {
        uint8_t *exact = malloc(count ? count : 1); /* so that reading beyond it is seen */
        assert_non_null(exact);
        memcpy(exact, golden, count);
        assert_int_equal(wire_batch_read(weir_slice(exact, count), &batch, &error), WEIR_TRUNCATED);
        free(exact);
    }
}

static void every_flipped_bit_behind_the_crc_is_noticed(void **state)
{
    (void)state;
    uint8_t bytes[sizeof golden];
    for (size_t bit = 17 * 8; bit < sizeof golden * 8; bit++) {
        memcpy(bytes, golden, sizeof golden);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_false(survives(bytes, sizeof bytes));
    }
}

/* With the CRC left aside: nothing is read beyond the bytes, whatever they say. */
static void damaged_records_are_refused_within_bounds(void **state)
{
    (void)state;
    for (size_t at = 16; at < sizeof golden; at++) {
        for (unsigned value = 0; value < 256; value++) {
            uint8_t *exact = malloc(sizeof golden);
            struct wire_batch batch;
            struct wire_record record;
            assert_non_null(exact);
            memcpy(exact, golden, sizeof golden);
            exact[at] = (uint8_t)value;
            if (wire_batch_read(weir_slice(exact, sizeof golden), &batch, NULL) == WEIR_OK) {
                struct wire_walk walk;
                enum weir_err err = wire_walk_init(&walk, &batch, 1 << 12, NULL);
                while (err == WEIR_OK)
                    err = wire_walk_next(&walk, &record, NULL);
                wire_walk_release(&walk);
            }
            free(exact);
        }
    }
}

static void old_formats_are_named(void **state)
{
    (void)state;
    uint8_t bytes[sizeof golden];
    struct wire_batch batch;
    struct weir_error error;
    memcpy(bytes, golden, sizeof golden);
    bytes[16] = 1;
    assert_int_equal(wire_batch_read(weir_slice(bytes, sizeof bytes), &batch, &error),
                     WEIR_UNSUPPORTED);
    assert_non_null(strstr(error.message, "version 1"));
}

/* With all records kept not a byte changes. */
static void a_batch_is_written_anew_with_some_of_its_records(void **state)
{
    static const uint8_t all[] = {1, 1, 1}, some[] = {0, 1, 1}, none[] = {0, 0, 0};
    struct wire_batch batch;
    struct wire_walk walk, left;
    struct wire_record record;
    struct weir_buffer out;
    (void)state;
    weir_buffer_init(&out, 1 << 16);
    assert_int_equal(wire_batch_read(weir_slice(golden, sizeof golden), &batch, NULL), WEIR_OK);
    assert_int_equal(wire_walk_init(&walk, &batch, 1 << 16, NULL), WEIR_OK);
    assert_int_equal(wire_walk_rewrite(&walk, all, -1, &out, NULL), WEIR_OK);
    assert_int_equal(out.bytes, sizeof golden);
    assert_memory_equal(out.data, golden, sizeof golden);

    weir_buffer_clear(&out);
    assert_int_equal(wire_walk_rewrite(&walk, some, 1800000000000, &out, NULL), WEIR_OK);
    assert_int_equal(wire_batch_read(weir_buffer_slice(&out), &batch, NULL), WEIR_OK);
    assert_true(wire_batch_crc_holds(&batch));
    assert_int_equal(batch.attributes, WIRE_BATCH_DELETE_HORIZON);
    assert_int_equal(batch.timestamp_base, 1800000000000);
    assert_int_equal(batch.timestamp_max, 1700000000300);
    assert_int_equal(batch.offset_base, 1234);
    assert_int_equal(batch.last_offset_delta, 2);
    assert_int_equal(batch.sequence_base, 99);
    assert_int_equal(batch.record_count, 2);
    assert_int_equal(wire_walk_init(&left, &batch, 1 << 16, NULL), WEIR_OK);
    assert_int_equal(wire_walk_next(&left, &record, NULL), WEIR_OK);
    assert_int_equal(record.offset, 1235);
    assert_int_equal(record.timestamp_ms, 1699999999995);
    assert_int_equal(record.header_count, 2);
    assert_int_equal(wire_walk_next(&left, &record, NULL), WEIR_OK);
    assert_int_equal(record.offset, 1236);
    assert_int_equal(record.timestamp_ms, 1700000000300);
    assert_text(record.key, "gone");
    assert_text(record.value, NULL);
    assert_int_equal(wire_walk_next(&left, &record, NULL), WEIR_END);
    wire_walk_release(&left);

    weir_buffer_clear(&out);
    assert_int_equal(wire_walk_rewrite(&walk, none, -1, &out, NULL), WEIR_OK);
    assert_int_equal(out.bytes, WIRE_BATCH_HEAD_BYTES);
    assert_int_equal(wire_batch_read(weir_buffer_slice(&out), &batch, NULL), WEIR_OK);
    assert_true(wire_batch_crc_holds(&batch));
    assert_int_equal(batch.offset_last, 1236);
    assert_int_equal(batch.record_count, 0);
    wire_walk_release(&walk);
    weir_buffer_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_a_golden_batch),
        cmocka_unit_test(builds_the_golden_batch),
        cmocka_unit_test(every_codec_gives_the_records_back),
        cmocka_unit_test(log_append_time_is_the_time_of_all),
        cmocka_unit_test(a_batch_is_written_anew_with_some_of_its_records),
        cmocka_unit_test(sequences_wrap_at_two_to_the_31),
        cmocka_unit_test(every_cut_is_noticed),
        cmocka_unit_test(every_flipped_bit_behind_the_crc_is_noticed),
        cmocka_unit_test(damaged_records_are_refused_within_bounds),
        cmocka_unit_test(old_formats_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
