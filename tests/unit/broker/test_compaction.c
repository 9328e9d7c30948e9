/* Compacted topics: what they take, when they are cleaned, what is left of them. */
#include "raw.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "wire/record_batch.h"

enum { BATCH_BYTES_MAX = 1 << 20 };

static int set_up(void **state)
{
    struct raw *raw = malloc(sizeof *raw);
    assert_non_null(raw);
    raw_init(raw);
    raw->place.options.cleaner_delete_retention_ms = 1000;
    raw_start(raw);
    *state = raw;
    return 0;
}

static int tear_down(void **state)
{
    struct raw *raw = *state;
    if (raw->broker)
        raw_stop(raw);
    raw_release(raw);
    free(raw);
    return 0;
}

static struct config_pair pair(const char *name, const char *value)
{
    return (struct config_pair){weir_slice(name, strlen(name)), weir_slice(value, strlen(value))};
}

static struct partition *make_compacted(struct raw *raw, const char *name, const char *policy)
{
    const struct config_pair configs[] = {
        pair("cleanup.policy", policy),
        pair("segment.bytes", "500"),
        pair("min.cleanable.dirty.ratio", "0"),
    };
    struct topic *topic;
    assert_int_equal(broker_topic_create(raw->broker, weir_slice(name, strlen(name)), 1, configs,
                                         sizeof configs / sizeof *configs, &topic, NULL),
                     WEIR_OK);
    return &topic->partitions[0];
}

/* A batch of `count` records with the keys first, first + 1 ...; every third has none if `bare`. */
static void build(struct weir_buffer *batch, int first, int count, bool bare, int codec)
{
    struct wire_batch_options options = wire_batch_options();
    struct wire_builder builder;
    options.attributes = (int16_t)codec;
    weir_buffer_init(batch, BATCH_BYTES_MAX);
    wire_builder_init(&builder, &options, BATCH_BYTES_MAX);
    for (int i = 0; i < count; i++) {
        char key[32];
        int bytes = snprintf(key, sizeof key, "k%d", first + i);
        struct weir_slice none = {.data = NULL}, given = weir_slice(key, (size_t)bytes);
        assert_int_equal(wire_builder_add(&builder, 1000, bare && i % 3 == 1 ? none : given,
                                          weir_slice("value", 5), NULL, 0),
                         WEIR_OK);
    }
    assert_int_equal(wire_builder_finish(&builder, batch, NULL), WEIR_OK);
    wire_builder_release(&builder);
}

static void put(struct partition *partition, int key)
{
    struct weir_buffer batch;
    struct weir_plog_appended out;
    enum weir_plog_refusal refusal;
    build(&batch, key, 1, false, 0);
    assert_int_equal(
        weir_plog_append(partition->log, batch.data, batch.bytes, 0, &out, &refusal, NULL),
        WEIR_OK);
    weir_buffer_release(&batch);
}

/* Lets maintenance run until there is no pass any more: the thread's work takes real time. */
static void settle(struct raw *raw)
{
    const int64_t limit = now_ms() + WAIT_MS;
    const struct timespec moment = {.tv_nsec = 1000000};
    raw_pass(raw, raw->place.options.cleaner_backoff_ms + 1000);
    while (raw->broker->cleaner.cleaning) {
        assert_true(now_ms() < limit);
        nanosleep(&moment, NULL);
        raw_pass(raw, 1000);
    }
}

static int count_records(struct partition *partition)
{
    struct weir_buffer bytes;
    int count = 0;
    weir_buffer_init(&bytes, BATCH_BYTES_MAX);
    assert_int_equal(weir_plog_read(partition->log, weir_plog_offset_first(partition->log), -1,
                                    BATCH_BYTES_MAX, true, &bytes, NULL),
                     WEIR_OK);
    for (struct weir_slice left = weir_buffer_slice(&bytes); left.bytes;) {
        struct wire_batch batch;
        assert_int_equal(wire_batch_read(left, &batch, NULL), WEIR_OK);
        count += batch.record_count;
        left = weir_slice((const uint8_t *)left.data + batch.byte_count,
                          left.bytes - batch.byte_count);
    }
    weir_buffer_release(&bytes);
    return count;
}

static void dirty_partitions_are_compacted(void **state)
{
    struct raw *raw = *state;
    struct weir_broker_stats stats;
    struct partition *partition = make_compacted(raw, "c", "compact");
    for (int i = 0; i < 100; i++)
        put(partition, i % 4);
    settle(raw);
    weir_broker_stats(raw->broker, &stats);
    assert_int_equal(stats.cleaner_passes, 1);
    assert_true(stats.cleaner_bytes_written < stats.cleaner_bytes_read);
    assert_int_equal(stats.cleaner_last_ms, weir_clock_wall_ms(&raw->clock.clock));
    assert_int_equal(stats.cleaner_uncleanable, 0);
    /* The active segment is left alone. */
    assert_true(count_records(partition) <= 4 + 6);
    assert_int_equal(weir_plog_offset_next(partition->log), 100);
    int64_t clean = partition->offset_clean;
    assert_true(clean > 90);
    settle(raw);
    weir_broker_stats(raw->broker, &stats);
    assert_int_equal(stats.cleaner_passes, 1); /* nothing is dirty */
    assert_int_equal(stats.cleaner_dirty_percent_max, 0);
    raw_stop(raw);
    raw_start(raw);
    partition = broker_partition_find(raw->broker, weir_slice("c", 1), 0);
    assert_int_equal(partition->offset_clean, clean);
    assert_true(count_records(partition) <= 4 + 6);
}

static void only_what_is_dirty_enough_is(void **state)
{
    struct raw *raw = *state;
    const struct config_pair half = pair("min.cleanable.dirty.ratio", "0.5");
    const struct config_pair late = pair("max.compaction.lag.ms", "100000");
    struct partition *partition = make_compacted(raw, "c", "compact");
    assert_int_equal(broker_topic_configure(raw->broker, partition->topic, &half, 1, NULL),
                     WEIR_OK);
    for (int i = 0; i < 30; i++)
        put(partition, i);
    settle(raw);
    assert_true(partition->offset_clean > 20);
    int64_t clean = partition->offset_clean;
    for (int i = 0; i < 10; i++)
        put(partition, i);
    settle(raw);
    assert_int_equal(partition->offset_clean, clean);
    assert_in_range(atomic_load(&raw->broker->stats.cleaner_dirty_percent_max), 1, 50);
    /* Waiting too long does as well, and it seals what is active. */
    assert_int_equal(broker_topic_configure(raw->broker, partition->topic, &late, 1, NULL),
                     WEIR_OK);
    raw_pass(raw, 200000);
    settle(raw);
    settle(raw);
    assert_true(partition->offset_clean > clean);
    assert_int_equal(partition->offset_clean, 40);
}

static void with_both_policies_old_segments_go_too(void **state)
{
    struct raw *raw = *state;
    struct partition *partition = make_compacted(raw, "c", "compact,delete");
    for (int i = 0; i < 30; i++)
        put(partition, i); /* timestamps of 1970 */
    settle(raw);
    assert_int_equal(weir_plog_offset_first(partition->log), 30);
    assert_false(partition->uncleanable);
}

static void without_the_cleaner_all_is_kept(void **state)
{
    struct raw *raw = *state;
    struct partition *partition;
    raw_stop(raw);
    raw->place.options.cleaner_enable = false;
    raw_start(raw);
    partition = make_compacted(raw, "c", "compact");
    for (int i = 0; i < 30; i++)
        put(partition, 1);
    settle(raw);
    assert_int_equal(count_records(partition), 30);
}

static void a_topic_can_go_at_any_time(void **state)
{
    struct raw *raw = *state;
    for (int round = 0; round < 20; round++) {
        struct partition *partition = make_compacted(raw, "c", "compact");
        for (int i = 0; i < 200; i++)
            put(partition, i % 50);
        assert_int_equal(partition->offset_clean, -1);
        raw_pass(raw, raw->place.options.cleaner_backoff_ms + 1000);
        assert_non_null(raw->broker->cleaner.cleaning);
        if (round % 2) { /* partitions move in memory meanwhile */
            assert_int_equal(broker_topic_grow(raw->broker, partition->topic, 5, NULL), WEIR_OK);
            partition = broker_partition_find(raw->broker, weir_slice("c", 1), 0);
        }
        assert_int_equal(broker_topic_delete(raw->broker, partition->topic, NULL), WEIR_OK);
        assert_null(raw->broker->cleaner.cleaning);
    }
    make_compacted(raw, "c", "compact");
    raw_stop(raw);
    raw_start(raw);
    /* It has nothing of those before it. */
    assert_true(broker_partition_find(raw->broker, weir_slice("c", 1), 0)->offset_clean <= 0);
}

static void damage_is_met_once(void **state)
{
    struct raw *raw = *state;
    struct partition *partition = make_compacted(raw, "c", "compact");
    char path[128];
    FILE *file;
    for (int i = 0; i < 30; i++)
        put(partition, 1);
    snprintf(path, sizeof path, "%s/c-0/00000000000000000000.log", raw->place.dir);
    file = fopen(path, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, 65, SEEK_SET), 0);
    fputc(0x7f, file);
    fclose(file);
    settle(raw);
    assert_true(partition->uncleanable);
    uint64_t read = atomic_load(&raw->broker->stats.cleaner_bytes_read);
    settle(raw);
    assert_int_equal(atomic_load(&raw->broker->stats.cleaner_bytes_read), read);
    assert_int_equal(atomic_load(&raw->broker->stats.cleaner_uncleanable), 1);
    assert_int_equal(atomic_load(&raw->broker->stats.cleaner_passes), 0);
    put(partition, 1);
    assert_int_equal(weir_plog_offset_next(partition->log), 31);
}

/* ---- keys */

static void produce_bare(struct raw *raw, int fd, int16_t version, int codec)
{
    struct weir_buffer batch;
    struct call call;
    build(&batch, 0, 5, true, codec);
    call_begin(&call, fd, WIRE_PRODUCE, version);
    wire_put_text(&call.writer, NULL);
    wire_put_i16(&call.writer, 1);
    wire_put_i32(&call.writer, 1000);
    wire_put_array(&call.writer, 1);
    wire_put_text(&call.writer, "c");
    wire_put_array(&call.writer, 1);
    wire_put_i32(&call.writer, 0);
    wire_put_bytes(&call.writer, weir_buffer_slice(&batch));
    wire_put_tags(&call.writer);
    wire_put_tags(&call.writer);
    wire_put_tags(&call.writer);
    call_now(raw, &call);
    assert_int_equal(wire_array(&call.reader, 1), 1);
    wire_string(&call.reader);
    assert_int_equal(wire_array(&call.reader, 1), 1);
    assert_int_equal(wire_i32(&call.reader), 0);
    assert_int_equal(wire_i16(&call.reader), WIRE_INVALID_RECORD);
    assert_int_equal(wire_i64(&call.reader), -1);
    wire_i64(&call.reader);
    if (version >= 5)
        wire_i64(&call.reader);
    if (version >= 8) {
        assert_int_equal(wire_array(&call.reader, 1), 2);
        for (int i = 0; i < 2; i++) {
            assert_int_equal(wire_i32(&call.reader), i == 0 ? 1 : 4);
            assert_non_null(wire_string(&call.reader).data);
            wire_tags(&call.reader);
        }
        assert_non_null(wire_string(&call.reader).data);
    }
    assert_false(call.reader.failed);
    call_end(&call);
    weir_buffer_release(&batch);
}

static void records_without_a_key_are_refused(void **state)
{
    struct raw *raw = *state;
    struct partition *partition = make_compacted(raw, "c", "delete,compact");
    int fd = raw_connect(raw);
    for (int16_t version = 3; version <= 11; version++)
        produce_bare(raw, fd, version, version % 5);
    assert_int_equal(weir_plog_offset_next(partition->log), 0);
    /* Elsewhere they are taken. */
    raw_make_topic(raw, fd, "plain", 1);
    raw_produce(raw, fd, "plain", 0, 3);
    raw_close(raw, fd);
}

/* ---- librdkafka */

/* A broker whose cleaner never rests, and a topic with small segments. */
static void place_with_topic(struct place *place)
{
    place_init(place);
    place->options.cleaner_backoff_ms = 0;
    place_start(place);
    rd_kafka_t *client = rd_producer(place_address(place), NULL);
    assert_int_equal(rd_make_topic(client, "c", 1, "cleanup.policy", "compact", "segment.bytes",
                                   "2000", "min.cleanable.dirty.ratio", "0.01",
                                   "delete.retention.ms", "0", NULL),
                     0);
    rd_end(client);
}

/* Reads "k<0-9>" to the end; last: the offsets of the keys' last records. Gives how many came. */
static int read_keys(struct place *place, const char *prefix, int64_t last[10])
{
    rd_kafka_t *consumer = rd_consumer(place_address(place), "reader", "enable.partition.eof",
                                       "true", "check.crcs", "true", NULL);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    int seen = 0;
    rd_kafka_topic_partition_list_add(list, "c", 0)->offset = 0;
    assert_int_equal(rd_kafka_assign(consumer, list), 0);
    rd_kafka_topic_partition_list_destroy(list);
    for (int key = 0; key < 10; key++)
        last[key] = -1;
    for (bool end = false; !end; seen += !end) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(consumer, WAIT_MS);
        assert_non_null(message);
        end = message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF;
        assert_true(end || message->err == 0);
        if (!end) {
            last[((const char *)message->key)[1] - '0'] = message->offset;
            assert_memory_equal(message->payload, prefix, strlen(prefix));
        }
        rd_kafka_message_destroy(message);
    }
    rd_end(consumer);
    return seen;
}

/* Reads until fewer than `limit` records are left; never one of another prefix. */
static void read_compacted(struct place *place, const char *prefix, int limit, int64_t last[10])
{
    const int64_t until = now_ms() + WAIT_MS;
    struct weir_broker_stats stats;
    do { /* the pass is counted a moment after its segments can be read */
        assert_true(now_ms() < until);
        weir_broker_stats(place->broker, &stats);
    } while (read_keys(place, prefix, last) >= limit || stats.cleaner_passes == 0);
    assert_int_equal(stats.cleaner_uncleanable, 0);
}

static void a_consumer_sees_the_last_of_each_key(void **state)
{
    enum { KEYS = 10, RECORDS = 500 };
    struct place place;
    int64_t last[KEYS];
    (void)state;
    place_with_topic(&place);
    rd_kafka_t *producer = rd_producer(place_address(&place), "enable.idempotence", "true",
                                       "compression.codec", "lz4", "batch.num.messages", "7", NULL);
    for (int i = 0; i < RECORDS; i += KEYS)
        assert_int_equal(rd_put(producer, "c", 0, "v", 0, KEYS), KEYS);
    read_compacted(&place, "v", RECORDS / 2, last);
    for (int key = 0; key < KEYS; key++)
        assert_int_equal(last[key], RECORDS - KEYS + key);
    rd_end(producer);
    place_release(&place);
}

/* Aborted ones go with all they replaced staying; what is left of them misleads no consumer. */
static void a_consumer_sees_the_last_committed_of_each_key(void **state)
{
    enum { KEYS = 10, TRANSACTIONS = 60 };
    struct place place;
    int64_t last[KEYS];
    int64_t committed_end = 0;
    (void)state;
    place_with_topic(&place);
    rd_kafka_t *producer = rd_producer(place_address(&place), "transactional.id", "t", NULL);
    assert_null(rd_kafka_init_transactions(producer, WAIT_MS));
    for (int i = 0; i < TRANSACTIONS; i++) {
        bool commit = i % 3 != 2;
        assert_null(rd_kafka_begin_transaction(producer));
        assert_int_equal(rd_put(producer, "c", 0, commit ? "good" : "bad", 0, KEYS), KEYS);
        assert_null(commit ? rd_kafka_commit_transaction(producer, WAIT_MS)
                           : rd_kafka_abort_transaction(producer, WAIT_MS));
        if (commit)
            committed_end = (int64_t)(i + 1) * (KEYS + 1) - 1; /* its marker's offset */
        if (i % 20 == 19) {
            read_compacted(&place, "good", 8 * KEYS, last);
            for (int key = 0; key < KEYS; key++)
                assert_int_equal(last[key], committed_end - KEYS + key);
        }
    }
    rd_end(producer);
    place_release(&place);
}

#define raw_test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

static int delete_records(struct raw *raw, int fd, const char *topic, int64_t offset)
{
    struct call call;
    call_begin(&call, fd, WIRE_DELETE_RECORDS, 0);
    wire_put_array(&call.writer, 1);
    wire_put_text(&call.writer, topic);
    wire_put_array(&call.writer, 1);
    wire_put_i32(&call.writer, 0);
    wire_put_i64(&call.writer, offset);
    wire_put_i32(&call.writer, 1000);
    call_now(raw, &call);
    wire_i32(&call.reader); /* throttle */
    assert_int_equal(wire_array(&call.reader, 1), 1);
    wire_string(&call.reader);
    assert_int_equal(wire_array(&call.reader, 1), 1);
    wire_i32(&call.reader);
    wire_i64(&call.reader);
    int error = wire_i16(&call.reader);
    call_end(&call);
    return error;
}

/* Without `delete` in its policy a topic keeps the newest record of every key. */
static void records_are_deleted_only_where_the_policy_says_so(void **state)
{
    struct raw *raw = *state;
    int fd = raw_connect(raw);
    struct partition *kept = make_compacted(raw, "c", "compact");
    put(kept, 1);
    assert_int_equal(delete_records(raw, fd, "c", 1), WIRE_POLICY_VIOLATION);
    assert_int_equal(weir_plog_offset_first(kept->log), 0);
    struct partition *trimmed = make_compacted(raw, "d", "compact,delete");
    put(trimmed, 1);
    assert_int_equal(delete_records(raw, fd, "d", 1), WIRE_NONE);
    assert_int_equal(weir_plog_offset_first(trimmed->log), 1);
    raw_close(raw, fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        raw_test(dirty_partitions_are_compacted),
        raw_test(only_what_is_dirty_enough_is),
        raw_test(with_both_policies_old_segments_go_too),
        raw_test(without_the_cleaner_all_is_kept),
        raw_test(a_topic_can_go_at_any_time),
        raw_test(damage_is_met_once),
        raw_test(records_without_a_key_are_refused),
        raw_test(records_are_deleted_only_where_the_policy_says_so),
        cmocka_unit_test(a_consumer_sees_the_last_of_each_key),
        cmocka_unit_test(a_consumer_sees_the_last_committed_of_each_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
