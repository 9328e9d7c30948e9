/* Requests by hand: halves, garbage, floods, waits, and what clients do not do. */
#include "raw.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/random.h"
#include "wire/record_batch.h"

static int set_up(void **state)
{
    struct raw *raw = malloc(sizeof *raw);
    assert_non_null(raw);
    raw_init(raw);
    raw_start(raw);
    *state = raw;
    return 0;
}

static int tear_down(void **state)
{
    raw_release(*state);
    free(*state);
    return 0;
}

/* ---- versions -------------------------------------------------------------------------------- */

static void versions_are_advertised(void **state)
{
    struct raw *raw = *state;
    int fd = raw_connect(raw);
    for (int16_t version = 0; version <= 4; version++) {
        struct call call;
        call_begin(&call, fd, WIRE_API_VERSIONS, version);
        if (version >= 3) {
            wire_put_text(&call.writer, "tester");
            wire_put_text(&call.writer, "1.0");
            wire_put_tags(&call.writer);
        }
        call_now(raw, &call);
        assert_int_equal(wire_i16(&call.reader), WIRE_NONE);
        int32_t count = wire_array(&call.reader, 6);
        assert_int_equal(count, wire_api_count);
        for (int32_t i = 0; i < count; i++) {
            assert_int_equal(wire_i16(&call.reader), wire_apis[i].key);
            assert_int_equal(wire_i16(&call.reader), wire_apis[i].advertised_min);
            assert_int_equal(wire_i16(&call.reader), wire_apis[i].max);
            wire_tags(&call.reader);
        }
        if (version >= 1)
            assert_int_equal(wire_i32(&call.reader), 0);
        wire_tags(&call.reader);
        assert_false(call.reader.failed);
        assert_ptr_equal(call.reader.at, call.reader.end);
        call_end(&call);
    }
    raw_close(raw, fd);
}

/* KIP-511: the plainest form, with the error, so that the client can choose again. */
static void an_unknown_version_of_api_versions_gets_version_0(void **state)
{
    struct raw *raw = *state;
    static const uint8_t request[] = {0, 0, 0, 10, 0, 18, 0, 99, 0, 0, 0, 77, 0xff, 0xff};
    struct call call;
    int fd = raw_connect(raw);
    call_begin(&call, fd, WIRE_API_VERSIONS, 0);
    raw_send(raw, fd, request, sizeof request);
    assert_true(call_answered(raw, &call));
    assert_int_equal(wire_i16(&call.reader), WIRE_UNSUPPORTED_VERSION);
    assert_int_equal(wire_array(&call.reader, 6), wire_api_count);
    call_end(&call);
    raw_close(raw, fd);
}

static void an_unknown_api_breaks_the_connection(void **state)
{
    struct raw *raw = *state;
    static const uint8_t request[] = {0, 0, 0, 10, 0x7f, 0, 0, 0, 0, 0, 0, 77, 0xff, 0xff};
    int fd = raw_connect(raw);
    raw_send(raw, fd, request, sizeof request);
    assert_true(raw_is_closed(raw, fd));
    raw_close(raw, fd);
}

/* Every request of the table, in every version, cut everywhere and empty: answered or the
 * connection closed, and the broker lives. */
static void cut_requests_of_every_api_harm_nobody(void **state)
{
    struct raw *raw = *state;
    for (size_t i = 0; i < wire_api_count; i++) {
        for (int16_t version = 0; version <= wire_apis[i].max; version++) {
            for (int extra = 0; extra < 12; extra++) {
                struct call call;
                int fd = raw_connect(raw);
                call_begin(&call, fd, (enum wire_api_key)wire_apis[i].key, version);
                for (int n = 0; n < extra; n++)
                    wire_put_i8(&call.writer, n % 3 == 0 ? 0 : 1);
                call_send(raw, &call);
                call_end(&call);
                raw_close(raw, fd);
            }
        }
    }
    struct weir_broker_stats stats;
    raw_run(raw);
    weir_broker_stats(raw->broker, &stats);
    assert_int_equal(stats.connections, 0);
    assert_int_equal(stats.fetches_parked, 0);
}

static void garbage_harms_nobody(void **state)
{
    struct raw *raw = *state;
    struct weir_random random = {.state = 20240607};
    print_message("seed %llu\n", (unsigned long long)random.state);
    for (int round = 0; round < 3000; round++) {
        uint8_t bytes[256];
        size_t count = 8 + weir_random_below(&random, 200);
        int fd = raw_connect(raw);
        for (size_t i = 0; i < count; i++)
            bytes[i] = (uint8_t)(weir_random_below(&random, 4) ? weir_random_below(&random, 4)
                                                               : weir_random_next(&random));
        bytes[0] = bytes[1] = bytes[2] = 0;
        bytes[3] = (uint8_t)(count - 4);
        bytes[4] = 0;
        bytes[5] = (uint8_t)wire_apis[weir_random_below(&random, (uint32_t)wire_api_count)].key;
        bytes[6] = 0;
        bytes[7] = (uint8_t)weir_random_below(&random, 19);
        raw_send(raw, fd, bytes, count);
        raw_close(raw, fd);
    }
    int fd = raw_connect(raw);
    raw_make_topic(raw, fd, "still-there", 1);
    raw_close(raw, fd);
}

/* ---- bytes ----------------------------------------------------------------------------------- */

static void absurd_sizes_are_refused_at_once(void **state)
{
    struct raw *raw = *state;
    static const uint8_t sizes[][4] = {
        {0x7f, 0xff, 0xff, 0xff}, {0xff, 0xff, 0xff, 0xff}, {0, 0, 0, 0}, {'G', 'E', 'T', ' '}};
    for (size_t i = 0; i < 4; i++) {
        int fd = raw_connect(raw);
        raw_send(raw, fd, sizes[i], 4);
        assert_true(raw_is_closed(raw, fd));
        raw_close(raw, fd);
    }
    /* An announced size is no reason to take memory. */
    static const uint8_t large[] = {6, 0, 0, 0, 0, 0};
    int fd = raw_connect(raw);
    raw_send(raw, fd, large, sizeof large);
    assert_false(raw_is_closed(raw, fd));
    assert_true(raw->broker->memory_used < 1 << 20);
    raw_close(raw, fd);
}

static void bytes_may_come_one_at_a_time_and_requests_together(void **state)
{
    struct raw *raw = *state;
    struct call first, second;
    int fd = raw_connect(raw);
    call_begin(&first, fd, WIRE_LIST_GROUPS, 0);
    wire_fill_i32(&first.writer, 0, (int32_t)first.out.bytes - 4);
    for (size_t i = 0; i < first.out.bytes; i++)
        raw_send(raw, fd, first.out.data + i, 1);
    assert_true(call_answered(raw, &first));
    call_end(&first);
    /* Two in one piece are answered in their order. */
    call_begin(&first, fd, WIRE_LIST_GROUPS, 0);
    call_begin(&second, fd, WIRE_API_VERSIONS, 0);
    wire_fill_i32(&first.writer, 0, (int32_t)first.out.bytes - 4);
    wire_fill_i32(&second.writer, 0, (int32_t)second.out.bytes - 4);
    assert_int_equal(weir_buffer_append(&first.out, second.out.data, second.out.bytes), WEIR_OK);
    raw_send(raw, fd, first.out.data, first.out.bytes);
    assert_true(call_answered(raw, &first));
    assert_int_equal(wire_i16(&first.reader), WIRE_NONE);
    assert_int_equal(wire_array(&first.reader, 1), 0);
    assert_true(call_answered(raw, &second));
    wire_i16(&second.reader);
    assert_int_equal(wire_array(&second.reader, 1), wire_api_count);
    call_end(&first);
    call_end(&second);
    raw_close(raw, fd);
}

/* ---- fetches --------------------------------------------------------------------------------- */

static void begin_fetch(struct call *call, int fd, const char *topic, int64_t offset,
                        int32_t wait_ms, int32_t min_bytes)
{
    struct wire_writer *w = &call->writer;
    call_begin(call, fd, WIRE_FETCH, 4);
    wire_put_i32(w, -1);
    wire_put_i32(w, wait_ms);
    wire_put_i32(w, min_bytes);
    wire_put_i32(w, 50 << 20);
    wire_put_i8(w, 0);
    wire_put_array(w, 1);
    wire_put_text(w, topic);
    wire_put_array(w, 1);
    wire_put_i32(w, 0);
    wire_put_i64(w, offset);
    wire_put_i32(w, 50 << 20);
}

/* Bytes of records in the answer; its error. */
static size_t read_fetch(struct call *call, int *error)
{
    struct wire_reader *r = &call->reader;
    wire_i32(r);
    assert_int_equal(wire_array(r, 1), 1);
    wire_string(r);
    assert_int_equal(wire_array(r, 1), 1);
    wire_i32(r);
    *error = wire_i16(r);
    wire_i64(r);
    wire_i64(r);
    wire_array(r, 1);
    struct weir_slice records = wire_bytes(r);
    assert_false(r->failed);
    assert_ptr_equal(r->at, r->end);
    call_end(call);
    return records.bytes;
}

static void a_fetch_waits_for_its_bytes_or_its_time(void **state)
{
    struct raw *raw = *state;
    struct call call;
    int error, reader = raw_connect(raw), writer = raw_connect(raw);
    raw_make_topic(raw, writer, "t", 1);
    begin_fetch(&call, reader, "t", 0, 500, 1);
    call_send(raw, &call);
    raw_pass(raw, 499);
    assert_false(call_answered(raw, &call));
    raw_pass(raw, 1);
    assert_true(call_answered(raw, &call));
    assert_int_equal(read_fetch(&call, &error), 0);
    assert_int_equal(error, WIRE_NONE);
    /* It wakes when there is enough, not before. */
    begin_fetch(&call, reader, "t", 0, 500, 400);
    call_send(raw, &call);
    raw_produce(raw, writer, "t", 0, 1);
    assert_false(call_answered(raw, &call));
    raw_produce(raw, writer, "t", 0, 2);
    assert_true(call_answered(raw, &call));
    assert_true(read_fetch(&call, &error) >= 400);
    raw_close(raw, reader);
    raw_close(raw, writer);
}

static void a_fetch_out_of_range_is_told_at_once(void **state)
{
    struct raw *raw = *state;
    struct call call;
    int error, fd = raw_connect(raw);
    raw_make_topic(raw, fd, "t", 1);
    raw_produce(raw, fd, "t", 0, 3);
    begin_fetch(&call, fd, "t", 4, 10000, 1);
    call_now(raw, &call);
    read_fetch(&call, &error);
    assert_int_equal(error, WIRE_OFFSET_OUT_OF_RANGE);
    begin_fetch(&call, fd, "no-such", 0, 10000, 1);
    call_now(raw, &call);
    read_fetch(&call, &error);
    assert_int_equal(error, WIRE_UNKNOWN_TOPIC_OR_PARTITION);
    raw_close(raw, fd);
}

static void delete_topic(struct raw *raw, int fd, const char *topic)
{
    struct call call;
    call_begin(&call, fd, WIRE_DELETE_TOPICS, 0);
    wire_put_array(&call.writer, 1);
    wire_put_text(&call.writer, topic);
    wire_put_i32(&call.writer, 1000);
    call_now(raw, &call);
    wire_array(&call.reader, 1);
    wire_string(&call.reader);
    assert_int_equal(wire_i16(&call.reader), WIRE_NONE);
    call_end(&call);
}

static void add_partitions(struct raw *raw, int fd, const char *topic, int32_t count)
{
    struct call call;
    call_begin(&call, fd, WIRE_CREATE_PARTITIONS, 0);
    wire_put_array(&call.writer, 1);
    wire_put_text(&call.writer, topic);
    wire_put_i32(&call.writer, count);
    wire_put_array(&call.writer, -1);
    wire_put_i32(&call.writer, 1000);
    wire_put_bool(&call.writer, false);
    call_now(raw, &call);
    wire_i32(&call.reader);
    wire_array(&call.reader, 1);
    wire_string(&call.reader);
    assert_int_equal(wire_i16(&call.reader), WIRE_NONE);
    call_end(&call);
}

static void a_topic_that_goes_or_grows_lets_its_fetches_go(void **state)
{
    struct raw *raw = *state;
    struct call call;
    int error, reader = raw_connect(raw), admin = raw_connect(raw);
    raw_make_topic(raw, admin, "t", 1);
    begin_fetch(&call, reader, "t", 0, 60000, 1 << 20);
    call_send(raw, &call);
    add_partitions(raw, admin, "t", 5000);
    assert_true(call_answered(raw, &call));
    read_fetch(&call, &error);
    begin_fetch(&call, reader, "t", 0, 60000, 1 << 20);
    call_send(raw, &call);
    delete_topic(raw, admin, "t");
    assert_true(call_answered(raw, &call));
    read_fetch(&call, &error);
    raw_close(raw, reader);
    raw_close(raw, admin);
}

static void a_client_that_goes_takes_its_fetch_along(void **state)
{
    struct raw *raw = *state;
    struct weir_broker_stats stats;
    struct call call;
    int reader = raw_connect(raw), writer = raw_connect(raw);
    raw_make_topic(raw, writer, "t", 1);
    begin_fetch(&call, reader, "t", 0, 1 << 30, 1);
    call_send(raw, &call);
    weir_broker_stats(raw->broker, &stats);
    assert_int_equal(stats.fetches_parked, 1);
    call_end(&call);
    raw_close(raw, reader);
    weir_broker_stats(raw->broker, &stats);
    assert_int_equal(stats.fetches_parked, 0);
    assert_int_equal(stats.connections, 1);
    raw_produce(raw, writer, "t", 0, 1);
    raw_close(raw, writer);
}

/* ---- pressure -------------------------------------------------------------------------------- */

static void a_client_that_does_not_read_is_not_read_either(void **state)
{
    enum { REQUESTS = 200 };
    struct raw *raw = *state;
    struct call call;
    int error, fd = raw_connect(raw), slow = raw_connect(raw);
    raw_make_topic(raw, fd, "t", 1);
    for (int i = 0; i < 20; i++)
        raw_produce(raw, fd, "t", 0, 5000); /* half a megabyte each */
    size_t peak = 0;
    begin_fetch(&call, slow, "t", 0, 0, 1);
    wire_fill_i32(&call.writer, 0, (int32_t)call.out.bytes - 4);
    for (int i = 0; i < REQUESTS; i++) { /* 2 GB of answers are asked for */
        raw_send(raw, slow, call.out.data, call.out.bytes);
        peak = raw->broker->memory_used > peak ? raw->broker->memory_used : peak;
    }
    print_message("peak of the buffers: %zu kB\n", peak >> 10);
    assert_true(peak < 32 << 20);
    assert_true(call_answered(raw, &call));
    assert_true(read_fetch(&call, &error) > 5000000);
    raw_close(raw, slow);
    raw_close(raw, fd);
    raw_pass(raw, 1000);
    raw_pass(raw, 1000);
    assert_int_equal(raw->broker->memory_used, 0);
}

/* One batch wakes very many: together they get no more than there is memory for. */
static void fetches_that_wake_together_stay_within_the_memory(void **state)
{
    enum { READERS = 40, MEMORY = 4 << 20 };
    struct raw raw;
    int fds[READERS], error;
    struct call calls[READERS];
    size_t given = 0;
    (void)state;
    raw_init(&raw);
    raw.place.options.memory_bytes = MEMORY;
    raw_start(&raw);
    int writer = raw_connect(&raw);
    raw_make_topic(&raw, writer, "t", 1);
    for (int i = 0; i < READERS; i++) {
        fds[i] = raw_connect(&raw);
        begin_fetch(&calls[i], fds[i], "t", 0, 1 << 30, 1);
        call_send(&raw, &calls[i]);
    }
    raw_produce(&raw, writer, "t", 0, 5000); /* half a megabyte */
    for (int i = 0; i < READERS; i++) {
        assert_true(call_answered(&raw, &calls[i]));
        given += read_fetch(&calls[i], &error);
        raw_close(&raw, fds[i]);
    }
    print_message("given: %zu kB\n", given >> 10);
    assert_true(given > 400000);
    assert_true(given <= MEMORY);
    raw_close(&raw, writer);
    raw_release(&raw);
}

/* Several clients each send half of a large request when there is memory for none of them. */
static void large_requests_get_through_one_after_the_other(void **state)
{
    enum { CLIENTS = 6, BYTES = 1 << 20 };
    struct raw raw;
    int fds[CLIENTS];
    struct call calls[CLIENTS];
    (void)state;
    raw_init(&raw);
    raw.place.options.memory_bytes = 1 << 20;
    raw_start(&raw);
    char *filler = calloc(1, BYTES);
    assert_non_null(filler);
    for (int i = 0; i < CLIENTS; i++) {
        fds[i] = raw_connect(&raw);
        call_begin(&calls[i], fds[i], WIRE_SYNC_GROUP, 0);
        wire_put_text(&calls[i].writer, "g");
        wire_put_i32(&calls[i].writer, 1);
        wire_put_text(&calls[i].writer, "m");
        wire_put_array(&calls[i].writer, 1);
        wire_put_text(&calls[i].writer, "m");
        wire_put_bytes(&calls[i].writer, weir_slice(filler, BYTES));
        wire_fill_i32(&calls[i].writer, 0, (int32_t)calls[i].out.bytes - 4);
    }
    size_t sent[CLIENTS] = {0}, peak = 0;
    int answered = 0;
    bool done[CLIENTS] = {false};
    for (int round = 0; answered < CLIENTS; round++) {
        assert_true(round < 100000);
        for (int i = 0; i < CLIENTS; i++) {
            size_t left = calls[i].out.bytes - sent[i];
            ssize_t count =
                send(fds[i], calls[i].out.data + sent[i], left < 8192 ? left : 8192, MSG_NOSIGNAL);
            sent[i] += count > 0 ? (size_t)count : 0;
            raw_run(&raw);
            peak = raw.broker->memory_used > peak ? raw.broker->memory_used : peak;
            if (sent[i] == calls[i].out.bytes && !done[i] && call_answered(&raw, &calls[i])) {
                done[i] = true;
                answered++;
            }
        }
    }
    print_message("peak of the buffers: %zu kB\n", peak >> 10);
    assert_true(peak < 6 << 20);
    for (int i = 0; i < CLIENTS; i++) {
        call_end(&calls[i]);
        raw_close(&raw, fds[i]);
    }
    free(filler);
    raw_release(&raw);
}

static void idle_connections_cost_little(void **state)
{
    enum { CONNECTIONS = 400 };
    struct raw *raw = *state;
    int fds[CONNECTIONS];
    for (int i = 0; i < CONNECTIONS; i++) {
        struct call call;
        fds[i] = raw_connect(raw);
        call_begin(&call, fds[i], WIRE_LIST_GROUPS, 0);
        call_now(raw, &call);
        call_end(&call);
    }
    raw_pass(raw, 1000);
    raw_pass(raw, 1000);
    assert_int_equal(raw->broker->memory_used, 0);
    for (int i = 0; i < CONNECTIONS; i++)
        raw_close(raw, fds[i]);
}

static void too_many_connections_are_refused(void **state)
{
    struct raw raw;
    (void)state;
    raw_init(&raw);
    raw.place.options.connections_max = 3;
    raw_start(&raw);
    int fds[5];
    for (int i = 0; i < 5; i++)
        fds[i] = raw_connect(&raw);
    for (int i = 0; i < 5; i++)
        assert_int_equal(raw_is_closed(&raw, fds[i]), i >= 3);
    for (int i = 0; i < 5; i++)
        close(fds[i]);
    raw_release(&raw);
}

/* ---- records that are not right -------------------------------------------------------------- */

static int produce_bytes(struct raw *raw, int fd, const void *bytes, size_t count)
{
    struct call call;
    call_begin(&call, fd, WIRE_PRODUCE, 8);
    wire_put_text(&call.writer, NULL);
    wire_put_i16(&call.writer, -1);
    wire_put_i32(&call.writer, 1000);
    wire_put_array(&call.writer, 1);
    wire_put_text(&call.writer, "t");
    wire_put_array(&call.writer, 1);
    wire_put_i32(&call.writer, 0);
    wire_put_bytes(&call.writer, weir_slice(bytes, count));
    call_now(raw, &call);
    wire_array(&call.reader, 1);
    wire_string(&call.reader);
    wire_array(&call.reader, 1);
    wire_i32(&call.reader);
    int error = wire_i16(&call.reader);
    call_end(&call);
    return error;
}

static void damaged_batches_are_refused(void **state)
{
    struct raw *raw = *state;
    struct wire_batch_options options = wire_batch_options();
    struct wire_builder builder;
    struct weir_buffer batch;
    int fd = raw_connect(raw);
    raw_make_topic(raw, fd, "t", 1);
    weir_buffer_init(&batch, 1 << 16);
    wire_builder_init(&builder, &options, 1 << 16);
    assert_int_equal(wire_builder_add(&builder, 1, weir_slice("k", 1), weir_slice("v", 1), NULL, 0),
                     WEIR_OK);
    assert_int_equal(wire_builder_finish(&builder, &batch, NULL), WEIR_OK);
    assert_int_equal(produce_bytes(raw, fd, batch.data, batch.bytes), WIRE_NONE);
    batch.data[batch.bytes - 2] ^= 1;
    assert_int_equal(produce_bytes(raw, fd, batch.data, batch.bytes), WIRE_CORRUPT_MESSAGE);
    batch.data[batch.bytes - 2] ^= 1;
    assert_int_not_equal(produce_bytes(raw, fd, batch.data, batch.bytes - 1), WIRE_NONE);
    assert_int_not_equal(produce_bytes(raw, fd, "", 0), WIRE_NONE);
    assert_int_not_equal(produce_bytes(raw, fd, NULL, 0), WIRE_NONE);
    batch.data[16] = 1;
    assert_int_not_equal(produce_bytes(raw, fd, batch.data, batch.bytes), WIRE_NONE);
    batch.data[16] = 2;
    assert_int_equal(produce_bytes(raw, fd, batch.data, batch.bytes), WIRE_NONE);
    wire_builder_release(&builder);
    weir_buffer_release(&batch);
    raw_close(raw, fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

/* Produces nothing at all to topic "t". */
static void produce_with_acks(struct raw *raw, struct call *call, int fd, int16_t acks)
{
    call_begin(call, fd, WIRE_PRODUCE, 3);
    wire_put_text(&call->writer, NULL);
    wire_put_i16(&call->writer, acks);
    wire_put_i32(&call->writer, 1000);
    wire_put_array(&call->writer, 1);
    wire_put_text(&call->writer, "t");
    wire_put_array(&call->writer, 1);
    wire_put_i32(&call->writer, 0);
    wire_put_bytes(&call->writer, weir_slice("", 0));
    call_send(raw, call);
}

/* Who wants no answer hears of a failure by the end of the connection, as with Apache Kafka. */
static void acks_that_are_none_or_unknown(void **state)
{
    struct raw *raw = *state;
    struct call call;
    int fd = raw_connect(raw);
    raw_make_topic(raw, fd, "t", 1);
    produce_with_acks(raw, &call, fd, 2);
    assert_int_equal(raw_take_produced(raw, &call), WIRE_INVALID_REQUIRED_ACKS);
    call_end(&call);
    assert_false(raw_is_closed(raw, fd));
    produce_with_acks(raw, &call, fd, 0);
    assert_true(raw_is_closed(raw, fd));
    call_end(&call);
    raw_close(raw, fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(versions_are_advertised),
        TEST(an_unknown_version_of_api_versions_gets_version_0),
        TEST(an_unknown_api_breaks_the_connection),
        TEST(cut_requests_of_every_api_harm_nobody),
        TEST(garbage_harms_nobody),
        TEST(absurd_sizes_are_refused_at_once),
        TEST(bytes_may_come_one_at_a_time_and_requests_together),
        TEST(a_fetch_waits_for_its_bytes_or_its_time),
        TEST(a_fetch_out_of_range_is_told_at_once),
        TEST(a_topic_that_goes_or_grows_lets_its_fetches_go),
        TEST(a_client_that_goes_takes_its_fetch_along),
        TEST(a_client_that_does_not_read_is_not_read_either),
        cmocka_unit_test(fetches_that_wake_together_stay_within_the_memory),
        cmocka_unit_test(large_requests_get_through_one_after_the_other),
        TEST(idle_connections_cost_little),
        cmocka_unit_test(too_many_connections_are_refused),
        TEST(damaged_batches_are_refused),
        TEST(acks_that_are_none_or_unknown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
