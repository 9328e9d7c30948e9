/* Transactions as somebody sees them who looks after them, what settings decide, and partitions
 * that can't be written. */
#include "txn.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- requests -------------------------------------------------------------------------------- */

/* All partitions of a request, in one topic; gives the error of the last. */
static int add_some(struct txn_bench *b, const char *id, struct producer producer, int32_t first,
                    int32_t last)
{
    struct call call;
    int error = -100;
    call_begin(&call, b->fd, WIRE_ADD_PARTITIONS_TO_TXN, 3);
    wire_put_text(&call.writer, id);
    txn_put_producer(&call.writer, producer);
    wire_put_array(&call.writer, 1);
    wire_put_text(&call.writer, "t");
    wire_put_array(&call.writer, last - first + 1);
    for (int32_t i = first; i <= last; i++)
        wire_put_i32(&call.writer, i);
    wire_put_tags(&call.writer);
    wire_put_tags(&call.writer);
    call_now(&b->raw, &call);
    wire_i32(&call.reader);
    assert_int_equal(wire_array(&call.reader, 1), 1);
    wire_string(&call.reader);
    assert_int_equal(wire_array(&call.reader, 1), last - first + 1);
    for (int32_t i = first; i <= last; i++) {
        assert_int_equal(wire_i32(&call.reader), i);
        error = wire_i16(&call.reader);
        wire_tags(&call.reader);
    }
    call_end(&call);
    return error;
}

static int init_for(struct txn_bench *b, const char *id, int32_t timeout_ms)
{
    struct call call;
    call_begin(&call, b->fd, WIRE_INIT_PRODUCER_ID, 1);
    wire_put_text(&call.writer, id);
    wire_put_i32(&call.writer, timeout_ms);
    int error = txn_result(&b->raw, &call);
    call_end(&call);
    return error;
}

/* "<error> <state> <timeout> <open for> <epoch> t:<partitions>"; open for -1: never begun. */
static const char *describe(struct txn_bench *b, const char *id)
{
    static char text[256];
    struct call call;
    struct wire_reader *r = &call.reader;
    call_begin(&call, b->fd, WIRE_DESCRIBE_TRANSACTIONS, 0);
    wire_put_array(&call.writer, 1);
    wire_put_text(&call.writer, id);
    wire_put_tags(&call.writer);
    call_now(&b->raw, &call);
    wire_i32(r);
    assert_int_equal(wire_array(r, 1), 1);
    int error = wire_i16(r);
    struct weir_slice asked = wire_string(r), state = wire_string(r);
    assert_true(weir_slice_equal(asked, weir_slice(id, strlen(id))));
    int timeout_ms = wire_i32(r);
    int64_t started_ms = wire_i64(r);
    wire_i64(r);
    int epoch = wire_i16(r);
    if (started_ms > 0)
        started_ms = weir_clock_wall_ms(&b->raw.clock.clock) - started_ms;
    size_t used =
        (size_t)snprintf(text, sizeof text, "%d %.*s %d %lld %d", error, (int)state.bytes,
                         (const char *)state.data, timeout_ms, (long long)started_ms, epoch);
    for (int32_t i = wire_array(r, 1); i > 0; i--) {
        struct weir_slice topic = wire_string(r);
        used += (size_t)snprintf(text + used, sizeof text - used, " %.*s:", (int)topic.bytes,
                                 (const char *)topic.data);
        int sum = 0;
        for (int32_t k = wire_array(r, 4); k > 0; k--)
            sum += 1 << wire_i32(r);
        used += (size_t)snprintf(text + used, sizeof text - used, "%x", sum);
        wire_tags(r);
    }
    assert_false(r->failed);
    call_end(&call);
    return text;
}

/* How many are listed with this state (NULL = any), id (-1 = any) and duration; unknown: how many
 * states were not known. */
static int list(struct txn_bench *b, const char *state, int64_t id, int64_t older_ms, int *unknown)
{
    struct call call;
    struct wire_reader *r = &call.reader;
    call_begin(&call, b->fd, WIRE_LIST_TRANSACTIONS, older_ms >= 0);
    wire_put_array(&call.writer, state != NULL);
    if (state)
        wire_put_text(&call.writer, state);
    wire_put_array(&call.writer, id >= 0);
    if (id >= 0)
        wire_put_i64(&call.writer, id);
    if (older_ms >= 0)
        wire_put_i64(&call.writer, older_ms);
    wire_put_tags(&call.writer);
    call_now(&b->raw, &call);
    wire_i32(r);
    assert_int_equal(wire_i16(r), WIRE_NONE);
    *unknown = wire_array(r, 1);
    for (int i = 0; i < *unknown; i++)
        wire_string(r);
    int count = wire_array(r, 1);
    for (int i = 0; i < count; i++) {
        wire_string(r);
        wire_i64(r);
        struct weir_slice in = wire_string(r);
        assert_true(!state || weir_slice_equal(in, weir_slice(state, strlen(state))));
        wire_tags(r);
    }
    assert_false(r->failed);
    call_end(&call);
    return count;
}

/* "<error> <producers>: <epoch> <sequence> <coordinator epoch> <first offset>" of t's partition. */
static const char *producers(struct txn_bench *b, int32_t partition)
{
    static char text[256];
    struct call call;
    struct wire_reader *r = &call.reader;
    call_begin(&call, b->fd, WIRE_DESCRIBE_PRODUCERS, 0);
    wire_put_array(&call.writer, 1);
    wire_put_text(&call.writer, "t");
    wire_put_array(&call.writer, 1);
    wire_put_i32(&call.writer, partition);
    wire_put_tags(&call.writer);
    wire_put_tags(&call.writer);
    call_now(&b->raw, &call);
    wire_i32(r);
    assert_int_equal(wire_array(r, 1), 1);
    wire_string(r);
    assert_int_equal(wire_array(r, 1), 1);
    assert_int_equal(wire_i32(r), partition);
    int error = wire_i16(r);
    assert_null(wire_string(r).data);
    int32_t count = wire_array(r, 1);
    size_t used = (size_t)snprintf(text, sizeof text, "%d %d:", error, (int)count);
    for (int32_t i = 0; i < count; i++) {
        wire_i64(r);
        int epoch = wire_i32(r), sequence = wire_i32(r);
        assert_in_range(wire_i64(r) + 1, 0, weir_clock_wall_ms(&b->raw.clock.clock) + 1);
        int coordinator_epoch = wire_i32(r);
        used += (size_t)snprintf(text + used, sizeof text - used, " %d %d %d %lld", epoch, sequence,
                                 coordinator_epoch, (long long)wire_i64(r));
        wire_tags(r);
    }
    assert_false(r->failed);
    call_end(&call);
    return text;
}

static int mark(struct txn_bench *b, struct producer producer, int32_t partition,
                int32_t coordinator_epoch, bool commit, int16_t version)
{
    struct call call;
    struct wire_reader *r = &call.reader;
    call_begin(&call, b->fd, WIRE_WRITE_TXN_MARKERS, version);
    wire_put_array(&call.writer, 1);
    txn_put_producer(&call.writer, producer);
    wire_put_bool(&call.writer, commit);
    wire_put_array(&call.writer, 1);
    wire_put_text(&call.writer, "t");
    wire_put_array(&call.writer, 1);
    wire_put_i32(&call.writer, partition);
    wire_put_tags(&call.writer);
    wire_put_i32(&call.writer, coordinator_epoch);
    wire_put_tags(&call.writer);
    wire_put_tags(&call.writer);
    call_now(&b->raw, &call);
    assert_int_equal(wire_array(r, 1), 1);
    assert_int_equal(wire_i64(r), producer.id);
    assert_int_equal(wire_array(r, 1), 1);
    wire_string(r);
    assert_int_equal(wire_array(r, 1), 1);
    assert_int_equal(wire_i32(r), partition);
    int error = wire_i16(r);
    for (int i = 0; i < 4; i++)
        wire_tags(r);
    assert_false(r->failed);
    assert_ptr_equal(r->at, r->end);
    call_end(&call);
    return error;
}

/* ---- what is told ---------------------------------------------------------------------------- */

static void transactions_are_described(void **state)
{
    struct txn_bench *b = *state;
    struct producer producer = txn_nobody;
    assert_string_equal(describe(b, "a"), "105  0 0 0");
    assert_string_equal(describe(b, ""), "42  0 0 0");
    assert_int_equal(txn_init(&b->raw, b->fd, "a", txn_nobody, &producer), WIRE_NONE);
    assert_string_equal(describe(b, "a"), "0 Empty 60000 -1 0");
    assert_int_equal(add_some(b, "a", producer, 0, 1), WIRE_NONE);
    raw_pass(&b->raw, 7000);
    assert_string_equal(describe(b, "a"), "0 Ongoing 60000 7000 0 t:3");
    txn_restart(b, true);
    assert_string_equal(describe(b, "a"), "0 Ongoing 60000 7000 0 t:3");
    assert_int_equal(txn_end(&b->raw, b->fd, "a", producer, true, 3), WIRE_NONE);
    assert_string_equal(describe(b, "a"), "0 CompleteCommit 60000 7000 0");
}

static void transactions_are_listed_by_state_producer_and_duration(void **state)
{
    struct txn_bench *b = *state;
    struct producer a = txn_begin(b, "a"), c;
    int unknown;
    assert_int_equal(txn_init(&b->raw, b->fd, "c", txn_nobody, &c), WIRE_NONE);
    assert_int_equal(list(b, NULL, -1, -1, &unknown), 2);
    assert_int_equal(list(b, "Ongoing", -1, -1, &unknown), 1);
    assert_int_equal(list(b, "PrepareCommit", -1, -1, &unknown), 0);
    assert_int_equal(unknown, 0);
    assert_int_equal(list(b, "Going", -1, -1, &unknown), 0);
    assert_int_equal(unknown, 1);
    assert_int_equal(list(b, NULL, a.id, -1, &unknown), 1);
    assert_int_equal(list(b, NULL, a.id + c.id + 1, -1, &unknown), 0);
    raw_pass(&b->raw, 5000);
    assert_int_equal(list(b, "Ongoing", a.id, 4999, &unknown), 1);
    assert_int_equal(list(b, "Ongoing", a.id, 5000, &unknown), 0);
}

static void producers_are_described(void **state)
{
    struct txn_bench *b = *state;
    assert_string_equal(producers(b, 0), "0 0:");
    assert_string_equal(producers(b, 2), "3 0:");
    struct producer producer = txn_begin(b, "a");
    assert_string_equal(producers(b, 0), "0 1: 0 0 -1 0");
    assert_int_equal(txn_produce(&b->raw, b->fd, "a", producer, "t", 0, 1), WIRE_NONE);
    assert_string_equal(producers(b, 0), "0 1: 0 1 -1 0");
    assert_int_equal(txn_end(&b->raw, b->fd, "a", producer, true, 3), WIRE_NONE);
    assert_string_equal(producers(b, 0), "0 1: 0 1 0 -1");
    /* A fence leaves no batch behind. */
    assert_int_equal(txn_add(&b->raw, b->fd, "a", producer, "t", 0, 3), WIRE_NONE);
    assert_int_equal(txn_init(&b->raw, b->fd, "a", txn_nobody, &producer), WIRE_NONE);
    assert_string_equal(producers(b, 0), "0 1: 1 -1 0 -1");
}

/* As `kafka-transactions.sh abort` does with what nobody else ends. */
static void somebody_else_may_write_a_marker(void **state)
{
    struct txn_bench *b = *state;
    for (int16_t version = 0; version <= 1; version++) {
        struct producer producer = txn_begin(b, "a"), older = producer;
        int64_t stable = txn_fetch(&b->raw, b->fd, 0, true).stable;
        older.epoch--;
        assert_int_equal(mark(b, producer, 2, 0, false, version), WIRE_UNKNOWN_TOPIC_OR_PARTITION);
        assert_int_equal(mark(b, older, 0, 0, false, version),
                         version ? WIRE_INVALID_PRODUCER_EPOCH : WIRE_INVALID_REQUEST);
        assert_int_equal(txn_fetch(&b->raw, b->fd, 0, true).stable, stable);
        assert_int_equal(mark(b, producer, 0, 5, false, version), WIRE_NONE);
        assert_int_equal(txn_fetch(&b->raw, b->fd, 0, true).stable, stable + 2);
        assert_int_equal(mark(b, producer, 0, 4, false, version),
                         WIRE_TRANSACTION_COORDINATOR_FENCED);
    }
}

/* ---- settings -------------------------------------------------------------------------------- */

static void settings_say_how_long(void **state)
{
    struct txn_bench *b = *state;
    struct producer producer;
    close(b->fd);
    raw_stop(&b->raw);
    b->raw.place.options.transaction_timeout_ms_max = 70000;
    b->raw.place.options.transactional_id_expiration_ms = 100000;
    b->raw.place.options.producer_id_expiration_ms = 50000;
    raw_start(&b->raw);
    b->fd = raw_connect(&b->raw);
    assert_int_equal(init_for(b, "a", 70001), WIRE_INVALID_TRANSACTION_TIMEOUT);
    assert_int_equal(init_for(b, "a", 0), WIRE_INVALID_TRANSACTION_TIMEOUT);
    assert_int_equal(init_for(b, "a", 70000), WIRE_NONE);
    producer = txn_begin(b, "a");
    assert_int_equal(txn_end(&b->raw, b->fd, "a", producer, true, 3), WIRE_NONE);
    raw_pass(&b->raw, 49000);
    assert_string_equal(producers(b, 0), "0 1: 1 0 0 -1");
    raw_pass(&b->raw, 3000);
    assert_string_equal(producers(b, 0), "0 0:");
    raw_pass(&b->raw, 46000);
    assert_string_equal(describe(b, "a"), "0 CompleteCommit 60000 98000 1");
    raw_pass(&b->raw, 4000);
    assert_string_equal(describe(b, "a"), "105  0 0 0");
}

/* ---- the journal ----------------------------------------------------------------------------- */

static void a_request_is_one_write_of_the_journal(void **state)
{
    struct txn_bench *b = *state;
    struct producer producer;
    raw_make_topic(&b->raw, b->fd, "t2", 1);
    assert_int_equal(txn_init(&b->raw, b->fd, "a", txn_nobody, &producer), WIRE_NONE);
    b->disk.mask = WEIR_DISK_WRITE;
    uint64_t before = b->disk.calls;
    assert_int_equal(add_some(b, "a", producer, 0, 1), WIRE_NONE);
    assert_int_equal(b->disk.calls, before + 1);
    assert_int_equal(add_some(b, "a", producer, 0, 1), WIRE_NONE); /* there already */
    assert_int_equal(b->disk.calls, before + 1);
    /* One that can't be added keeps the others out. */
    assert_int_equal(add_some(b, "a", producer, 1, 2), WIRE_UNKNOWN_TOPIC_OR_PARTITION);
    assert_int_equal(add_some(b, "a", producer, -1, 1), WIRE_OPERATION_NOT_ATTEMPTED);
    /* What could not be written is not there. */
    assert_int_equal(txn_end(&b->raw, b->fd, "a", producer, true, 3), WIRE_NONE);
    b->disk.fail_at = b->disk.calls + 1;
    assert_int_equal(add_some(b, "a", producer, 0, 1), WIRE_COORDINATOR_NOT_AVAILABLE);
    assert_int_equal(txn_produce(&b->raw, b->fd, "a", producer, "t", 0, 0), WIRE_INVALID_TXN_STATE);
    assert_int_equal(add_some(b, "a", producer, 0, 1), WIRE_NONE);
    assert_int_equal(txn_produce(&b->raw, b->fd, "a", producer, "t", 0, 0), WIRE_NONE);
}

/* More than one write holds, too. */
static void many_partitions_may_be_added(void **state)
{
    enum { MANY = 5000 };
    struct txn_bench *b = *state;
    struct producer producer;
    char id[1001];
    memset(id, 'a', 1000);
    id[1000] = '\0';
    assert_int_equal(txn_init(&b->raw, b->fd, id, txn_nobody, &producer), WIRE_NONE);
    struct call call;
    call_begin(&call, b->fd, WIRE_ADD_PARTITIONS_TO_TXN, 3);
    wire_put_text(&call.writer, id);
    txn_put_producer(&call.writer, producer);
    wire_put_array(&call.writer, 1);
    wire_put_text(&call.writer, "t");
    wire_put_array(&call.writer, MANY); /* the same two, again and again */
    for (int i = 0; i < MANY; i++)
        wire_put_i32(&call.writer, i % 2);
    wire_put_tags(&call.writer);
    wire_put_tags(&call.writer);
    int64_t before = b->raw.broker->journal.bytes;
    call_now(&b->raw, &call);
    call_end(&call);
    assert_true(b->raw.broker->journal.bytes - before < 100000);
    txn_restart(b, true);
    assert_int_equal(txn_produce(&b->raw, b->fd, id, producer, "t", 1, 0), WIRE_NONE);
}

/* ---- partitions that can't be written -------------------------------------------------------- */

/* One write to a log fails, and from then on it is read-only. */
static void break_partition(struct txn_bench *b)
{
    b->disk.mask = WEIR_DISK_WRITE;
    b->disk.fail_at = b->disk.calls + 1;
    assert_int_equal(raw_try_produce(&b->raw, b->fd, "t", 0, 1), WIRE_STORAGE_ERROR);
}

static void a_broken_partition_does_not_hold_the_id(void **state)
{
    struct txn_bench *b = *state;
    struct raw *raw = &b->raw;
    struct producer producer = txn_begin(b, "a");
    assert_int_equal(add_some(b, "a", producer, 1, 1), WIRE_NONE);
    assert_int_equal(txn_produce(raw, b->fd, "a", producer, "t", 1, 0), WIRE_NONE);
    break_partition(b);
    /* It can't be committed as a whole, so it is not; what is left is the abort. */
    assert_int_equal(txn_end(raw, b->fd, "a", producer, true, 3), WIRE_STORAGE_ERROR);
    assert_int_equal(txn_end(raw, b->fd, "a", producer, false, 3), WIRE_NONE);
    assert_int_equal(txn_fetch(raw, b->fd, 0, true).stable, 0);
    struct partition *other = broker_partition_find(raw->broker, weir_slice("t", 1), 1);
    assert_int_equal(weir_plog_offset_stable(other->log), 2);
    /* The id goes on, without that partition. */
    assert_int_equal(add_some(b, "a", producer, 0, 0), WIRE_STORAGE_ERROR);
    assert_int_equal(add_some(b, "a", producer, 0, 1), WIRE_OPERATION_NOT_ATTEMPTED);
    assert_int_equal(add_some(b, "a", producer, 1, 1), WIRE_NONE);
    assert_int_equal(txn_produce(raw, b->fd, "a", producer, "t", 1, 1), WIRE_NONE);
    /* Once it can be written again, it holds an abort, whatever goes on elsewhere. */
    txn_restart(b, true);
    assert_int_equal(txn_fetch(raw, b->fd, 0, true).stable, 2);
    assert_int_equal(txn_fetch(raw, b->fd, 0, true).aborted, 1);
    assert_int_equal(add_some(b, "a", producer, 0, 0), WIRE_NONE);
    assert_int_equal(txn_produce(raw, b->fd, "a", producer, "t", 0, 1), WIRE_NONE);
    assert_int_equal(txn_end(raw, b->fd, "a", producer, true, 3), WIRE_NONE);
    assert_int_equal(txn_fetch(raw, b->fd, 0, true).stable, 4);
    assert_int_equal(txn_fetch(raw, b->fd, 2, true).aborted, 0);
}

/* The power takes an abort's marker, but not what its successor wrote to the journal. */
static void an_abort_whose_marker_was_lost_stays_one(void **state)
{
    struct txn_bench *b = *state;
    struct producer producer = txn_begin(b, "a");
    char path[160];
    int64_t bytes =
        weir_plog_bytes(broker_partition_find(b->raw.broker, weir_slice("t", 1), 0)->log);
    assert_int_equal(txn_init(&b->raw, b->fd, "a", txn_nobody, &producer), WIRE_NONE);
    assert_int_equal(add_some(b, "a", producer, 0, 0), WIRE_NONE);
    close(b->fd);
    b->disk.fail_at = b->disk.calls + 1;
    b->disk.broken_for_good = true;
    broker_close(b->raw.broker, NULL);
    weir_disk_faulty_init(&b->disk, NULL);
    snprintf(path, sizeof path, "%s/t-0/00000000000000000000.log", b->raw.place.dir);
    assert_int_equal(truncate(path, bytes), 0);
    raw_start(&b->raw);
    b->fd = raw_connect(&b->raw);
    assert_int_equal(txn_end(&b->raw, b->fd, "a", producer, true, 3), WIRE_NONE);
    assert_int_equal(txn_fetch(&b->raw, b->fd, 0, true).aborted, 1);
}

int main(void)
{
#define with_bench(test) cmocka_unit_test_setup_teardown(test, txn_set_up, txn_tear_down)
    const struct CMUnitTest tests[] = {
        with_bench(transactions_are_described),
        with_bench(transactions_are_listed_by_state_producer_and_duration),
        with_bench(producers_are_described),
        with_bench(somebody_else_may_write_a_marker),
        with_bench(settings_say_how_long),
        with_bench(a_request_is_one_write_of_the_journal),
        with_bench(many_partitions_may_be_added),
        with_bench(a_broken_partition_does_not_hold_the_id),
        with_bench(an_abort_whose_marker_was_lost_stays_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
