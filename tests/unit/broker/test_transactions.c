/* The transaction coordinator by hand: answers, time-outs, restarts and faults at every step. */
#include "raw.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "broker/transactions.h"
#include "wire/record_batch.h"

static const struct producer nobody = {-1, -1};

/* ---- requests -------------------------------------------------------------------------------- */

/* While it is set, the n-th allocation of the broker for each request fails. */
static uint64_t allocation_to_fail;
static bool allocation_failed;

static void send_call(struct raw *raw, struct call *call)
{
    if (!allocation_to_fail) {
        call_send(raw, call);
        return;
    }
    wire_fill_i32(&call->writer, 0, (int32_t)call->out.bytes - 4);
    assert_int_equal(send(call->fd, call->out.data, call->out.bytes, MSG_NOSIGNAL),
                     call->out.bytes);
    weir_alloc_watch_start(allocation_to_fail);
    raw_run(raw);
    allocation_failed |= weir_alloc_watch_stop().failed > 0;
}

static void put_producer(struct wire_writer *w, struct producer producer)
{
    wire_put_i64(w, producer.id);
    wire_put_i16(w, producer.epoch);
}

/* -100: the connection was closed. */
static int result(struct raw *raw, struct call *call)
{
    send_call(raw, call);
    bool answered = call_answered(raw, call);
    wire_i32(&call->reader);
    int error = answered ? wire_i16(&call->reader) : -100;
    return error;
}

static int init(struct raw *raw, int fd, const char *id, struct producer expected,
                struct producer *out)
{
    struct call call;
    call_begin(&call, fd, WIRE_INIT_PRODUCER_ID, 4);
    wire_put_text(&call.writer, id);
    wire_put_i32(&call.writer, 60000);
    put_producer(&call.writer, expected);
    wire_put_tags(&call.writer);
    int error = result(raw, &call);
    if (error == WIRE_NONE) {
        out->id = wire_i64(&call.reader);
        out->epoch = wire_i16(&call.reader);
    }
    call_end(&call);
    return error;
}

/* The first error of the answer. */
static int add(struct raw *raw, int fd, const char *id, struct producer producer, const char *topic,
               int32_t partition, int16_t version)
{
    struct call call;
    call_begin(&call, fd, WIRE_ADD_PARTITIONS_TO_TXN, version);
    wire_put_text(&call.writer, id);
    put_producer(&call.writer, producer);
    wire_put_array(&call.writer, 1);
    wire_put_text(&call.writer, topic);
    wire_put_array(&call.writer, 1);
    wire_put_i32(&call.writer, partition);
    wire_put_tags(&call.writer);
    wire_put_tags(&call.writer);
    send_call(raw, &call);
    int error = -100;
    if (call_answered(raw, &call)) {
        wire_i32(&call.reader);
        assert_int_equal(wire_array(&call.reader, 1), 1);
        wire_string(&call.reader);
        assert_int_equal(wire_array(&call.reader, 1), 1);
        assert_int_equal(wire_i32(&call.reader), partition);
        error = wire_i16(&call.reader);
    }
    call_end(&call);
    return error;
}

static int end(struct raw *raw, int fd, const char *id, struct producer producer, bool commit,
               int16_t version)
{
    struct call call;
    call_begin(&call, fd, WIRE_END_TXN, version);
    wire_put_text(&call.writer, id);
    put_producer(&call.writer, producer);
    wire_put_bool(&call.writer, commit);
    wire_put_tags(&call.writer);
    int error = result(raw, &call);
    call_end(&call);
    return error;
}

static int produce(struct raw *raw, int fd, const char *id, struct producer producer,
                   const char *topic, int32_t partition, int32_t sequence)
{
    struct wire_batch_options options = wire_batch_options();
    struct wire_builder builder;
    struct weir_buffer batch;
    struct call call;
    options.producer_id = producer.id;
    options.producer_epoch = producer.epoch;
    options.sequence_base = sequence;
    options.attributes = WIRE_BATCH_TRANSACTIONAL;
    weir_buffer_init(&batch, 1 << 20);
    wire_builder_init(&builder, &options, 1 << 20);
    assert_int_equal(wire_builder_add(&builder, weir_clock_wall_ms(&raw->clock.clock),
                                      weir_slice(NULL, 0), weir_slice("v", 1), NULL, 0),
                     WEIR_OK);
    assert_int_equal(wire_builder_finish(&builder, &batch, NULL), WEIR_OK);
    call_begin(&call, fd, WIRE_PRODUCE, 3);
    wire_put_text(&call.writer, id);
    wire_put_i16(&call.writer, -1);
    wire_put_i32(&call.writer, 1000);
    wire_put_array(&call.writer, 1);
    wire_put_text(&call.writer, topic);
    wire_put_array(&call.writer, 1);
    wire_put_i32(&call.writer, partition);
    wire_put_bytes(&call.writer, weir_buffer_slice(&batch));
    send_call(raw, &call);
    int error = -100;
    if (call_answered(raw, &call)) {
        wire_array(&call.reader, 1);
        wire_string(&call.reader);
        wire_array(&call.reader, 1);
        wire_i32(&call.reader);
        error = wire_i16(&call.reader);
    }
    call_end(&call);
    wire_builder_release(&builder);
    weir_buffer_release(&batch);
    return error;
}

static int add_group(struct raw *raw, int fd, const char *id, struct producer producer,
                     const char *group)
{
    struct call call;
    call_begin(&call, fd, WIRE_ADD_OFFSETS_TO_TXN, 3);
    wire_put_text(&call.writer, id);
    put_producer(&call.writer, producer);
    wire_put_text(&call.writer, group);
    wire_put_tags(&call.writer);
    int error = result(raw, &call);
    call_end(&call);
    return error;
}

static int commit_offset(struct raw *raw, int fd, const char *id, struct producer producer,
                         const char *group, int32_t generation, const char *member, int64_t offset)
{
    struct call call;
    call_begin(&call, fd, WIRE_TXN_OFFSET_COMMIT, 3);
    wire_put_text(&call.writer, id);
    wire_put_text(&call.writer, group);
    put_producer(&call.writer, producer);
    wire_put_i32(&call.writer, generation);
    wire_put_text(&call.writer, member);
    wire_put_text(&call.writer, NULL);
    wire_put_array(&call.writer, 1);
    wire_put_text(&call.writer, "t");
    wire_put_array(&call.writer, 1);
    wire_put_i32(&call.writer, 0);
    wire_put_i64(&call.writer, offset);
    wire_put_i32(&call.writer, -1);
    wire_put_text(&call.writer, "m");
    for (int i = 0; i < 3; i++)
        wire_put_tags(&call.writer);
    send_call(raw, &call);
    int error = -100;
    if (call_answered(raw, &call)) {
        wire_i32(&call.reader);
        wire_array(&call.reader, 1);
        wire_string(&call.reader);
        wire_array(&call.reader, 1);
        wire_i32(&call.reader);
        error = wire_i16(&call.reader);
    }
    call_end(&call);
    return error;
}

/* The committed offset of t-0; -100 - error if there is one. */
static int64_t fetch_offset(struct raw *raw, int fd, const char *group, bool stable)
{
    struct call call;
    call_begin(&call, fd, WIRE_OFFSET_FETCH, 7);
    wire_put_text(&call.writer, group);
    wire_put_array(&call.writer, 1);
    wire_put_text(&call.writer, "t");
    wire_put_array(&call.writer, 1);
    wire_put_i32(&call.writer, 0);
    wire_put_tags(&call.writer);
    wire_put_bool(&call.writer, stable);
    wire_put_tags(&call.writer);
    call_now(raw, &call);
    wire_i32(&call.reader);
    assert_int_equal(wire_array(&call.reader, 1), 1);
    wire_string(&call.reader);
    assert_int_equal(wire_array(&call.reader, 1), 1);
    wire_i32(&call.reader);
    int64_t offset = wire_i64(&call.reader);
    wire_i32(&call.reader);
    wire_string(&call.reader);
    int error = wire_i16(&call.reader);
    call_end(&call);
    return error ? -100 - error : offset;
}

static void begin_fetch(struct call *call, int fd, int64_t offset, bool committed, int32_t wait_ms)
{
    struct wire_writer *w = &call->writer;
    call_begin(call, fd, WIRE_FETCH, 4);
    wire_put_i32(w, -1);
    wire_put_i32(w, wait_ms);
    wire_put_i32(w, 1);
    wire_put_i32(w, 1 << 20);
    wire_put_i8(w, committed);
    wire_put_array(w, 1);
    wire_put_text(w, "t");
    wire_put_array(w, 1);
    wire_put_i32(w, 0);
    wire_put_i64(w, offset);
    wire_put_i32(w, 1 << 20);
}

struct fetched {
    int64_t next, stable, end; /* end: behind the records */
    int32_t aborted;           /* -1 = null */
    int64_t first_aborted;
};

static struct fetched read_fetch(struct call *call)
{
    struct fetched fetched = {.first_aborted = -1};
    struct wire_reader *r = &call->reader;
    wire_i32(r);
    assert_int_equal(wire_array(r, 1), 1);
    wire_string(r);
    assert_int_equal(wire_array(r, 1), 1);
    wire_i32(r);
    assert_int_equal(wire_i16(r), WIRE_NONE);
    fetched.next = wire_i64(r);
    fetched.stable = wire_i64(r);
    fetched.aborted = wire_array(r, 1);
    for (int32_t i = 0; i < fetched.aborted; i++) {
        wire_i64(r);
        int64_t first = wire_i64(r);
        fetched.first_aborted = i ? fetched.first_aborted : first;
    }
    fetched.end = weir_plog_batches_end(wire_bytes(r));
    assert_false(r->failed);
    return fetched;
}

static struct fetched fetch(struct raw *raw, int fd, int64_t offset, bool committed)
{
    struct call call;
    begin_fetch(&call, fd, offset, committed, 0);
    call_now(raw, &call);
    struct fetched fetched = read_fetch(&call);
    call_end(&call);
    return fetched;
}

/* ---- a place --------------------------------------------------------------------------------- */

struct bench {
    struct raw raw;
    struct weir_disk_faulty disk;
    int fd;
};

static int set_up(void **state)
{
    struct bench *b = calloc(1, sizeof *b);
    raw_init(&b->raw);
    weir_disk_faulty_init(&b->disk, NULL);
    b->raw.disk = &b->disk.disk;
    raw_start(&b->raw);
    b->fd = raw_connect(&b->raw);
    raw_make_topic(&b->raw, b->fd, "t", 2);
    *state = b;
    return 0;
}

static int tear_down(void **state)
{
    struct bench *b = *state;
    close(b->fd);
    raw_release(&b->raw);
    free(b);
    return 0;
}

/* As kill -9: from here on nothing is written. */
static void restart(struct bench *b, bool killed)
{
    close(b->fd);
    if (killed) {
        b->disk.fail_at = b->disk.calls + 1;
        b->disk.broken_for_good = true;
        broker_close(b->raw.broker, NULL);
        b->disk.fail_at = 0;
        b->disk.broken_for_good = false;
        weir_disk_faulty_init(&b->disk, NULL);
    } else {
        raw_stop(&b->raw);
    }
    raw_start(&b->raw);
    b->fd = raw_connect(&b->raw);
}

/* Begins a transaction with one record in t-0. */
static struct producer begin(struct bench *b, const char *id)
{
    struct producer producer = nobody;
    assert_int_equal(init(&b->raw, b->fd, id, nobody, &producer), WIRE_NONE);
    assert_int_equal(add(&b->raw, b->fd, id, producer, "t", 0, 3), WIRE_NONE);
    assert_int_equal(produce(&b->raw, b->fd, id, producer, "t", 0, 0), WIRE_NONE);
    return producer;
}

/* ---- answers --------------------------------------------------------------------------------- */

static void records_are_read_once_they_are_committed(void **state)
{
    struct bench *b = *state;
    struct producer producer = begin(b, "a");
    struct fetched seen = fetch(&b->raw, b->fd, 0, true);
    assert_int_equal(seen.next, 1);
    assert_int_equal(seen.stable, 0);
    assert_int_equal(seen.end, -1);
    assert_int_equal(seen.aborted, 0);
    assert_int_equal(fetch(&b->raw, b->fd, 0, false).end, 1);
    assert_int_equal(fetch(&b->raw, b->fd, 0, false).aborted, -1);
    assert_int_equal(end(&b->raw, b->fd, "a", producer, true, 3), WIRE_NONE);
    assert_int_equal(end(&b->raw, b->fd, "a", producer, true, 3), WIRE_NONE); /* again */
    assert_int_equal(end(&b->raw, b->fd, "a", producer, false, 3), WIRE_INVALID_TXN_STATE);
    seen = fetch(&b->raw, b->fd, 0, true);
    assert_int_equal(seen.stable, 2);
    assert_int_equal(seen.end, 2);
    assert_int_equal(seen.aborted, 0);
    /* The next one of the same producer, aborted. */
    assert_int_equal(add(&b->raw, b->fd, "a", producer, "t", 0, 3), WIRE_NONE);
    assert_int_equal(produce(&b->raw, b->fd, "a", producer, "t", 0, 1), WIRE_NONE);
    assert_int_equal(end(&b->raw, b->fd, "a", producer, false, 3), WIRE_NONE);
    seen = fetch(&b->raw, b->fd, 0, true);
    assert_int_equal(seen.end, 4);
    assert_int_equal(seen.aborted, 1);
    assert_int_equal(seen.first_aborted, 2);
}

static void a_parked_fetch_waits_for_the_decision(void **state)
{
    struct bench *b = *state;
    struct producer producer = begin(b, "a");
    struct call call;
    int reader = raw_connect(&b->raw);
    begin_fetch(&call, reader, 0, true, 10000);
    call_send(&b->raw, &call);
    assert_false(call_answered(&b->raw, &call));
    assert_int_equal(produce(&b->raw, b->fd, "a", producer, "t", 0, 1), WIRE_NONE);
    assert_false(call_answered(&b->raw, &call));
    assert_int_equal(end(&b->raw, b->fd, "a", producer, true, 3), WIRE_NONE);
    assert_true(call_answered(&b->raw, &call));
    assert_int_equal(read_fetch(&call).end, 3);
    call_end(&call);
    raw_close(&b->raw, reader);
}

static void only_who_has_the_id_and_has_added_the_partition_writes(void **state)
{
    struct bench *b = *state;
    struct producer old = begin(b, "a"), new = nobody, other = {old.id + 1, 0};
    struct raw *raw = &b->raw;
    assert_int_equal(produce(raw, b->fd, "a", old, "t", 1, 0), WIRE_INVALID_TXN_STATE);
    assert_int_equal(produce(raw, b->fd, NULL, old, "t", 0, 1),
                     WIRE_TRANSACTIONAL_ID_AUTHORIZATION_FAILED);
    assert_int_equal(produce(raw, b->fd, "b", old, "t", 0, 1), WIRE_INVALID_PRODUCER_ID_MAPPING);
    assert_int_equal(produce(raw, b->fd, "a", other, "t", 0, 0), WIRE_INVALID_PRODUCER_ID_MAPPING);
    assert_int_equal(add(raw, b->fd, "a", old, "nowhere", 0, 3), WIRE_UNKNOWN_TOPIC_OR_PARTITION);
    /* A successor ends what was open and fences who began it. */
    assert_int_equal(init(raw, b->fd, "a", nobody, &new), WIRE_NONE);
    assert_int_equal(new.id, old.id);
    assert_int_equal(new.epoch, old.epoch + 2);
    assert_int_equal(fetch(raw, b->fd, 0, true).aborted, 1);
    assert_int_equal(produce(raw, b->fd, "a", old, "t", 0, 1), WIRE_INVALID_PRODUCER_EPOCH);
    assert_int_equal(add(raw, b->fd, "a", old, "t", 0, 3), WIRE_PRODUCER_FENCED);
    assert_int_equal(add(raw, b->fd, "a", old, "t", 0, 1), WIRE_INVALID_PRODUCER_EPOCH);
    assert_int_equal(end(raw, b->fd, "a", old, true, 3), WIRE_PRODUCER_FENCED);
    assert_int_equal(end(raw, b->fd, "a", old, true, 1), WIRE_INVALID_PRODUCER_EPOCH);
    assert_int_equal(init(raw, b->fd, "a", old, &old), WIRE_PRODUCER_FENCED);
    assert_int_equal(end(raw, b->fd, "a", new, true, 3), WIRE_INVALID_TXN_STATE);
    assert_int_equal(end(raw, b->fd, "nobody", new, true, 3), WIRE_INVALID_PRODUCER_ID_MAPPING);
    assert_int_equal(init(raw, b->fd, "", nobody, &old), WIRE_INVALID_REQUEST);
    assert_int_equal(init(raw, b->fd, "a", (struct producer){1, -1}, &old), WIRE_INVALID_REQUEST);
}

/* KIP-360: who knows its epoch goes on with the next one, and may ask again. */
static void a_producer_goes_on_from_its_epoch(void **state)
{
    struct bench *b = *state;
    struct producer first = begin(b, "a"), second = nobody, again = nobody;
    assert_int_equal(end(&b->raw, b->fd, "a", first, false, 3), WIRE_NONE);
    assert_int_equal(init(&b->raw, b->fd, "a", first, &second), WIRE_NONE);
    assert_int_equal(second.epoch, first.epoch + 1);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(init(&b->raw, b->fd, "a", first, &again), WIRE_NONE);
        assert_int_equal(again.epoch, second.epoch);
        restart(b, i % 2);
    }
    assert_int_equal(add(&b->raw, b->fd, "a", second, "t", 0, 3), WIRE_NONE);
    assert_int_equal(init(&b->raw, b->fd, "a", first, &again), WIRE_PRODUCER_FENCED);
    assert_int_equal(produce(&b->raw, b->fd, "a", second, "t", 0, 0), WIRE_NONE);
    /* Epochs end, and another producer id begins. */
    assert_int_equal(end(&b->raw, b->fd, "a", second, true, 3), WIRE_NONE);
    broker_transaction_find(b->raw.broker, weir_slice("a", 1))->core.producer.epoch = 32766;
    assert_int_equal(init(&b->raw, b->fd, "a", nobody, &again), WIRE_NONE);
    assert_int_not_equal(again.id, first.id);
    assert_int_equal(again.epoch, 0);
}

static void a_transaction_that_takes_too_long_is_aborted(void **state)
{
    struct bench *b = *state;
    struct producer producer = begin(b, "a");
    raw_pass(&b->raw, 59000);
    assert_int_equal(fetch(&b->raw, b->fd, 0, true).stable, 0);
    restart(b, true); /* its time goes on */
    assert_int_equal(fetch(&b->raw, b->fd, 0, true).stable, 0);
    raw_pass(&b->raw, 3000);
    assert_int_equal(fetch(&b->raw, b->fd, 0, true).stable, 2);
    assert_int_equal(fetch(&b->raw, b->fd, 0, true).aborted, 1);
    assert_int_equal(end(&b->raw, b->fd, "a", producer, true, 3), WIRE_PRODUCER_FENCED);
    assert_int_equal(produce(&b->raw, b->fd, "a", producer, "t", 0, 1),
                     WIRE_INVALID_PRODUCER_EPOCH);
    /* An id that nobody uses for a week is forgotten. */
    raw_pass(&b->raw, TRANSACTIONAL_ID_IDLE_MS + 2000);
    close(b->fd); /* idle for too long */
    b->fd = raw_connect(&b->raw);
    assert_int_equal(end(&b->raw, b->fd, "a", producer, true, 3), WIRE_INVALID_PRODUCER_ID_MAPPING);
    restart(b, true);
    assert_int_equal(weir_map_count(&b->raw.broker->transactions), 0);
}

/* ---- offsets --------------------------------------------------------------------------------- */

static void offsets_wait_for_the_end(void **state)
{
    struct bench *b = *state;
    struct raw *raw = &b->raw;
    for (int round = 0; round < 4; round++) {
        bool commit = round % 2;
        struct producer producer = begin(b, "a");
        int64_t before = fetch_offset(raw, b->fd, "g", true);
        assert_int_equal(commit_offset(raw, b->fd, "a", producer, "g", -1, "", 5 + round),
                         WIRE_INVALID_TXN_STATE);
        assert_int_equal(add_group(raw, b->fd, "a", producer, "g"), WIRE_NONE);
        assert_int_equal(commit_offset(raw, b->fd, "a", producer, "g", -1, "", 5 + round),
                         WIRE_NONE);
        assert_int_equal(commit_offset(raw, b->fd, "a", producer, "g", 3, "gone", 99),
                         round < 2 ? WIRE_ILLEGAL_GENERATION : WIRE_UNKNOWN_MEMBER_ID);
        if (round >= 2)
            restart(b, true);
        assert_int_equal(fetch_offset(raw, b->fd, "g", true), -100 - WIRE_UNSTABLE_OFFSET_COMMIT);
        assert_int_equal(fetch_offset(raw, b->fd, "g", false), before);
        assert_int_equal(end(raw, b->fd, "a", producer, commit, 3), WIRE_NONE);
        for (int i = 0; i < 3; i++) {
            assert_int_equal(fetch_offset(raw, b->fd, "g", true), commit ? 5 + round : before);
            restart(b, i);
        }
    }
}

/* ---- restarts and faults --------------------------------------------------------------------- */

/* What was decided stays decided, and what was not is aborted by the successor: whichever call of
 * the disk is the last one, as a kill has it. */
static void a_kill_at_any_call_leaves_all_or_nothing(void **state)
{
    struct bench *b = *state;
    struct raw *raw = &b->raw;
    bool whole = false;
    int64_t offset = 0;
    for (uint64_t n = 1; !whole; n++) {
        struct producer producer = begin(b, "a"), next = nobody;
        assert_int_equal(add(raw, b->fd, "a", producer, "t", 1, 3), WIRE_NONE);
        assert_int_equal(produce(raw, b->fd, "a", producer, "t", 1, 0), WIRE_NONE);
        assert_int_equal(add_group(raw, b->fd, "a", producer, "g"), WIRE_NONE);
        assert_int_equal(commit_offset(raw, b->fd, "a", producer, "g", -1, "", 1000 + (int64_t)n),
                         WIRE_NONE);
        b->disk.fail_at = b->disk.calls + n;
        b->disk.broken_for_good = true;
        bool acknowledged = end(raw, b->fd, "a", producer, true, 3) == WIRE_NONE;
        whole = b->disk.failed == 0;
        restart(b, true);
        assert_int_equal(init(raw, b->fd, "a", nobody, &next), WIRE_NONE);
        bool committed = fetch_offset(raw, b->fd, "g", true) == 1000 + (int64_t)n;
        assert_true(committed || !acknowledged);
        for (int32_t i = 0; i < 2; i++) {
            struct partition *p = broker_partition_find(raw->broker, weir_slice("t", 1), i);
            assert_int_equal(weir_plog_offset_stable(p->log), weir_plog_offset_next(p->log));
        }
        struct fetched seen = fetch(raw, b->fd, offset, true);
        assert_int_equal(seen.aborted, committed ? 0 : 1);
        offset = seen.next;
    }
}

/* A partition that can't be written holds its own readers back, and the id; not the others. */
static void what_cannot_be_marked_is_tried_again(void **state)
{
    struct bench *b = *state;
    struct raw *raw = &b->raw;
    struct producer producer = begin(b, "a"), next = nobody;
    /* The journal's entry gets through, the marker does not. */
    b->disk.mask = WEIR_DISK_WRITE;
    b->disk.fail_at = b->disk.calls + 2;
    assert_int_equal(end(raw, b->fd, "a", producer, true, 3), WIRE_NONE);
    assert_int_equal(b->disk.failed, 1);
    assert_int_equal(fetch(raw, b->fd, 0, true).stable, 0);
    assert_int_equal(init(raw, b->fd, "a", nobody, &next), WIRE_CONCURRENT_TRANSACTIONS);
    assert_int_equal(add(raw, b->fd, "a", producer, "t", 1, 3), WIRE_CONCURRENT_TRANSACTIONS);
    raw_pass(raw, 5000);
    assert_int_equal(end(raw, b->fd, "a", producer, false, 3), WIRE_INVALID_TXN_STATE);
    restart(b, true);
    assert_int_equal(fetch(raw, b->fd, 0, true).stable, 2);
    assert_int_equal(fetch(raw, b->fd, 0, true).aborted, 0);
    assert_int_equal(init(raw, b->fd, "a", nobody, &next), WIRE_NONE);
}

/* The journal was lost with the power, the log was not. */
static void what_nobody_knows_is_aborted(void **state)
{
    struct bench *b = *state;
    char path[128];
    begin(b, "a");
    close(b->fd);
    raw_stop(&b->raw);
    snprintf(path, sizeof path, "%s/weir-journal", b->raw.place.dir);
    assert_int_equal(unlink(path), 0);
    raw_start(&b->raw);
    b->fd = raw_connect(&b->raw);
    struct fetched seen = fetch(&b->raw, b->fd, 0, true);
    assert_int_equal(seen.stable, 2);
    assert_int_equal(seen.aborted, 1);
}

static void every_allocation_may_fail(void **state)
{
    struct bench *b = *state;
    struct raw *raw = &b->raw;
    int completed = 0;
    for (uint64_t n = 1; n == 1 || allocation_failed; n++) {
        struct producer producer = nobody;
        int fd = raw_connect(raw);
        allocation_to_fail = n;
        allocation_failed = false;
        /* A client whose connection was closed, or who was told to, tries again. */
        for (int i = 0; i < 2 && producer.id < 0; i++, allocation_to_fail = i ? 0 : n) {
            raw_close(raw, fd);
            fd = raw_connect(raw);
            (void)!init(raw, fd, "a", nobody, &producer);
        }
        allocation_to_fail = n;
        int error = WIRE_NONE;
        for (int at = 0; at < 5; at++) {
            error = at == 0   ? add(raw, fd, "a", producer, "t", 0, 3)
                    : at == 1 ? produce(raw, fd, "a", producer, "t", 0, 0)
                    : at == 2 ? add_group(raw, fd, "a", producer, "g")
                    : at == 3 ? commit_offset(raw, fd, "a", producer, "g", -1, "", 7)
                              : end(raw, fd, "a", producer, true, 3);
            if (error != WIRE_NONE && allocation_to_fail) {
                raw_close(raw, fd);
                fd = raw_connect(raw);
                allocation_to_fail = 0;
                at--;
            } else {
                allocation_to_fail = n;
            }
        }
        allocation_to_fail = 0;
        completed += error == WIRE_NONE;
        raw_close(raw, fd);
        raw_pass(raw, 62000);
        struct partition *p = broker_partition_find(raw->broker, weir_slice("t", 1), 0);
        assert_int_equal(weir_plog_offset_stable(p->log), weir_plog_offset_next(p->log));
        assert_true(n > 1 || completed == 1);
    }
    assert_int_equal(fetch_offset(raw, b->fd, "g", true), 7);
    assert_true(completed > 3);
}

int main(void)
{
#define with_bench(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        with_bench(records_are_read_once_they_are_committed),
        with_bench(a_parked_fetch_waits_for_the_decision),
        with_bench(only_who_has_the_id_and_has_added_the_partition_writes),
        with_bench(a_producer_goes_on_from_its_epoch),
        with_bench(a_transaction_that_takes_too_long_is_aborted),
        with_bench(offsets_wait_for_the_end),
        with_bench(a_kill_at_any_call_leaves_all_or_nothing),
        with_bench(what_cannot_be_marked_is_tried_again),
        with_bench(what_nobody_knows_is_aborted),
        with_bench(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
