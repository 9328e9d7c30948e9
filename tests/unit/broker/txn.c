/* See txn.h. */
#include "txn.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "wire/record_batch.h"

const struct producer txn_nobody = {-1, -1};

/* ---- requests -------------------------------------------------------------------------------- */

uint64_t txn_allocation_to_fail;
bool txn_allocation_failed;

void txn_call(struct raw *raw, struct call *call)
{
    if (!txn_allocation_to_fail) {
        call_send(raw, call);
        return;
    }
    wire_fill_i32(&call->writer, 0, (int32_t)call->out.bytes - 4);
    assert_int_equal(send(call->fd, call->out.data, call->out.bytes, MSG_NOSIGNAL),
                     call->out.bytes);
    weir_alloc_watch_start(txn_allocation_to_fail);
    raw_run(raw);
    txn_allocation_failed |= weir_alloc_watch_stop().failed > 0;
}

void txn_put_producer(struct wire_writer *w, struct producer producer)
{
    wire_put_i64(w, producer.id);
    wire_put_i16(w, producer.epoch);
}

int txn_result(struct raw *raw, struct call *call)
{
    txn_call(raw, call);
    bool answered = call_answered(raw, call);
    wire_i32(&call->reader);
    int error = answered ? wire_i16(&call->reader) : -100;
    return error;
}

int txn_init(struct raw *raw, int fd, const char *id, struct producer expected,
             struct producer *out)
{
    struct call call;
    call_begin(&call, fd, WIRE_INIT_PRODUCER_ID, 4);
    wire_put_text(&call.writer, id);
    wire_put_i32(&call.writer, 60000);
    txn_put_producer(&call.writer, expected);
    wire_put_tags(&call.writer);
    int error = txn_result(raw, &call);
    if (error == WIRE_NONE) {
        out->id = wire_i64(&call.reader);
        out->epoch = wire_i16(&call.reader);
    }
    call_end(&call);
    return error;
}

/* The first error of the answer. */
int txn_add(struct raw *raw, int fd, const char *id, struct producer producer, const char *topic,
            int32_t partition, int16_t version)
{
    struct call call;
    call_begin(&call, fd, WIRE_ADD_PARTITIONS_TO_TXN, version);
    wire_put_text(&call.writer, id);
    txn_put_producer(&call.writer, producer);
    wire_put_array(&call.writer, 1);
    wire_put_text(&call.writer, topic);
    wire_put_array(&call.writer, 1);
    wire_put_i32(&call.writer, partition);
    wire_put_tags(&call.writer);
    wire_put_tags(&call.writer);
    txn_call(raw, &call);
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

int txn_end(struct raw *raw, int fd, const char *id, struct producer producer, bool commit,
            int16_t version)
{
    struct call call;
    call_begin(&call, fd, WIRE_END_TXN, version);
    wire_put_text(&call.writer, id);
    txn_put_producer(&call.writer, producer);
    wire_put_bool(&call.writer, commit);
    wire_put_tags(&call.writer);
    int error = txn_result(raw, &call);
    call_end(&call);
    return error;
}

int txn_produce(struct raw *raw, int fd, const char *id, struct producer producer,
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
    txn_call(raw, &call);
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

int txn_add_group(struct raw *raw, int fd, const char *id, struct producer producer,
                  const char *group)
{
    struct call call;
    call_begin(&call, fd, WIRE_ADD_OFFSETS_TO_TXN, 3);
    wire_put_text(&call.writer, id);
    txn_put_producer(&call.writer, producer);
    wire_put_text(&call.writer, group);
    wire_put_tags(&call.writer);
    int error = txn_result(raw, &call);
    call_end(&call);
    return error;
}

int txn_commit_offset(struct raw *raw, int fd, const char *id, struct producer producer,
                      const char *group, int32_t generation, const char *member, int64_t offset)
{
    struct call call;
    call_begin(&call, fd, WIRE_TXN_OFFSET_COMMIT, 3);
    wire_put_text(&call.writer, id);
    wire_put_text(&call.writer, group);
    txn_put_producer(&call.writer, producer);
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
    txn_call(raw, &call);
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

int64_t txn_fetch_offset(struct raw *raw, int fd, const char *group, bool stable)
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

void txn_begin_fetch(struct call *call, int fd, int64_t offset, bool committed, int32_t wait_ms)
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

struct txn_fetched txn_read_fetch(struct call *call)
{
    struct txn_fetched fetched = {.first_aborted = -1};
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

struct txn_fetched txn_fetch(struct raw *raw, int fd, int64_t offset, bool committed)
{
    struct call call;
    txn_begin_fetch(&call, fd, offset, committed, 0);
    call_now(raw, &call);
    struct txn_fetched fetched = txn_read_fetch(&call);
    call_end(&call);
    return fetched;
}

/* ---- a place --------------------------------------------------------------------------------- */

int txn_set_up(void **state)
{
    struct txn_bench *b = calloc(1, sizeof *b);
    raw_init(&b->raw);
    weir_disk_faulty_init(&b->disk, NULL);
    b->raw.disk = &b->disk.disk;
    raw_start(&b->raw);
    b->fd = raw_connect(&b->raw);
    raw_make_topic(&b->raw, b->fd, "t", 2);
    *state = b;
    return 0;
}

int txn_tear_down(void **state)
{
    struct txn_bench *b = *state;
    close(b->fd);
    raw_release(&b->raw);
    free(b);
    return 0;
}

void txn_restart(struct txn_bench *b, bool killed)
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

struct producer txn_begin(struct txn_bench *b, const char *id)
{
    struct producer producer = txn_nobody;
    assert_int_equal(txn_init(&b->raw, b->fd, id, txn_nobody, &producer), WIRE_NONE);
    assert_int_equal(txn_add(&b->raw, b->fd, id, producer, "t", 0, 3), WIRE_NONE);
    assert_int_equal(txn_produce(&b->raw, b->fd, id, producer, "t", 0, 0), WIRE_NONE);
    return producer;
}
