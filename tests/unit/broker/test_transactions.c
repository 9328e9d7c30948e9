/* The transaction coordinator by hand: answers, time-outs, restarts and faults at every step. */
#include "txn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "broker/transactions.h"
#include "wire/record_batch.h"

/* ---- answers --------------------------------------------------------------------------------- */

static void records_are_read_once_they_are_committed(void **state)
{
    struct txn_bench *b = *state;
    struct producer producer = txn_begin(b, "a");
    struct txn_fetched seen = txn_fetch(&b->raw, b->fd, 0, true);
    assert_int_equal(seen.next, 1);
    assert_int_equal(seen.stable, 0);
    assert_int_equal(seen.end, -1);
    assert_int_equal(seen.aborted, 0);
    assert_int_equal(txn_fetch(&b->raw, b->fd, 0, false).end, 1);
    assert_int_equal(txn_fetch(&b->raw, b->fd, 0, false).aborted, -1);
    assert_int_equal(txn_end(&b->raw, b->fd, "a", producer, true, 3), WIRE_NONE);
    assert_int_equal(txn_end(&b->raw, b->fd, "a", producer, true, 3), WIRE_NONE); /* again */
    assert_int_equal(txn_end(&b->raw, b->fd, "a", producer, false, 3), WIRE_INVALID_TXN_STATE);
    seen = txn_fetch(&b->raw, b->fd, 0, true);
    assert_int_equal(seen.stable, 2);
    assert_int_equal(seen.end, 2);
    assert_int_equal(seen.aborted, 0);
    /* The next one of the same producer, aborted. */
    assert_int_equal(txn_add(&b->raw, b->fd, "a", producer, "t", 0, 3), WIRE_NONE);
    assert_int_equal(txn_produce(&b->raw, b->fd, "a", producer, "t", 0, 1), WIRE_NONE);
    assert_int_equal(txn_end(&b->raw, b->fd, "a", producer, false, 3), WIRE_NONE);
    seen = txn_fetch(&b->raw, b->fd, 0, true);
    assert_int_equal(seen.end, 4);
    assert_int_equal(seen.aborted, 1);
    assert_int_equal(seen.first_aborted, 2);
}

static void a_parked_fetch_waits_for_the_decision(void **state)
{
    struct txn_bench *b = *state;
    struct producer producer = txn_begin(b, "a");
    struct call call;
    int reader = raw_connect(&b->raw);
    txn_begin_fetch(&call, reader, 0, true, 10000);
    call_send(&b->raw, &call);
    assert_false(call_answered(&b->raw, &call));
    assert_int_equal(txn_produce(&b->raw, b->fd, "a", producer, "t", 0, 1), WIRE_NONE);
    assert_false(call_answered(&b->raw, &call));
    assert_int_equal(txn_end(&b->raw, b->fd, "a", producer, true, 3), WIRE_NONE);
    assert_true(call_answered(&b->raw, &call));
    assert_int_equal(txn_read_fetch(&call).end, 3);
    call_end(&call);
    raw_close(&b->raw, reader);
}

static void only_who_has_the_id_and_has_added_the_partition_writes(void **state)
{
    struct txn_bench *b = *state;
    struct producer old = txn_begin(b, "a"), new = txn_nobody, other = {old.id + 1, 0};
    struct raw *raw = &b->raw;
    assert_int_equal(txn_produce(raw, b->fd, "a", old, "t", 1, 0), WIRE_INVALID_TXN_STATE);
    assert_int_equal(txn_produce(raw, b->fd, NULL, old, "t", 0, 1),
                     WIRE_TRANSACTIONAL_ID_AUTHORIZATION_FAILED);
    assert_int_equal(txn_produce(raw, b->fd, "b", old, "t", 0, 1),
                     WIRE_INVALID_PRODUCER_ID_MAPPING);
    assert_int_equal(txn_produce(raw, b->fd, "a", other, "t", 0, 0),
                     WIRE_INVALID_PRODUCER_ID_MAPPING);
    assert_int_equal(txn_add(raw, b->fd, "a", old, "nowhere", 0, 3),
                     WIRE_UNKNOWN_TOPIC_OR_PARTITION);
    /* A successor ends what was open and fences who began it. */
    assert_int_equal(txn_init(raw, b->fd, "a", txn_nobody, &new), WIRE_NONE);
    assert_int_equal(new.id, old.id);
    assert_int_equal(new.epoch, old.epoch + 2);
    assert_int_equal(txn_fetch(raw, b->fd, 0, true).aborted, 1);
    assert_int_equal(txn_produce(raw, b->fd, "a", old, "t", 0, 1), WIRE_INVALID_PRODUCER_EPOCH);
    assert_int_equal(txn_add(raw, b->fd, "a", old, "t", 0, 3), WIRE_PRODUCER_FENCED);
    assert_int_equal(txn_add(raw, b->fd, "a", old, "t", 0, 1), WIRE_INVALID_PRODUCER_EPOCH);
    assert_int_equal(txn_end(raw, b->fd, "a", old, true, 3), WIRE_PRODUCER_FENCED);
    assert_int_equal(txn_end(raw, b->fd, "a", old, true, 1), WIRE_INVALID_PRODUCER_EPOCH);
    assert_int_equal(txn_init(raw, b->fd, "a", old, &old), WIRE_PRODUCER_FENCED);
    assert_int_equal(txn_end(raw, b->fd, "a", new, true, 3), WIRE_INVALID_TXN_STATE);
    assert_int_equal(txn_end(raw, b->fd, "nobody", new, true, 3), WIRE_INVALID_PRODUCER_ID_MAPPING);
    assert_int_equal(txn_init(raw, b->fd, "", txn_nobody, &old), WIRE_INVALID_REQUEST);
    assert_int_equal(txn_init(raw, b->fd, "a", (struct producer){1, -1}, &old),
                     WIRE_INVALID_REQUEST);
}

/* KIP-360: who knows its epoch goes on with the next one, and may ask again. */
static void a_producer_goes_on_from_its_epoch(void **state)
{
    struct txn_bench *b = *state;
    struct producer first = txn_begin(b, "a"), second = txn_nobody, again = txn_nobody;
    assert_int_equal(txn_end(&b->raw, b->fd, "a", first, false, 3), WIRE_NONE);
    assert_int_equal(txn_init(&b->raw, b->fd, "a", first, &second), WIRE_NONE);
    assert_int_equal(second.epoch, first.epoch + 1);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(txn_init(&b->raw, b->fd, "a", first, &again), WIRE_NONE);
        assert_int_equal(again.epoch, second.epoch);
        txn_restart(b, i % 2);
    }
    assert_int_equal(txn_add(&b->raw, b->fd, "a", second, "t", 0, 3), WIRE_NONE);
    assert_int_equal(txn_init(&b->raw, b->fd, "a", first, &again), WIRE_PRODUCER_FENCED);
    assert_int_equal(txn_produce(&b->raw, b->fd, "a", second, "t", 0, 0), WIRE_NONE);
    /* Epochs end, and another producer id begins. */
    assert_int_equal(txn_end(&b->raw, b->fd, "a", second, true, 3), WIRE_NONE);
    broker_transaction_find(b->raw.broker, weir_slice("a", 1))->core.producer.epoch = 32766;
    assert_int_equal(txn_init(&b->raw, b->fd, "a", txn_nobody, &again), WIRE_NONE);
    assert_int_not_equal(again.id, first.id);
    assert_int_equal(again.epoch, 0);
}

static void a_transaction_that_takes_too_long_is_aborted(void **state)
{
    struct txn_bench *b = *state;
    struct producer producer = txn_begin(b, "a");
    raw_pass(&b->raw, 59000);
    assert_int_equal(txn_fetch(&b->raw, b->fd, 0, true).stable, 0);
    txn_restart(b, true); /* its time goes on */
    assert_int_equal(txn_fetch(&b->raw, b->fd, 0, true).stable, 0);
    raw_pass(&b->raw, 3000);
    assert_int_equal(txn_fetch(&b->raw, b->fd, 0, true).stable, 2);
    assert_int_equal(txn_fetch(&b->raw, b->fd, 0, true).aborted, 1);
    assert_int_equal(txn_end(&b->raw, b->fd, "a", producer, true, 3), WIRE_PRODUCER_FENCED);
    assert_int_equal(txn_produce(&b->raw, b->fd, "a", producer, "t", 0, 1),
                     WIRE_INVALID_PRODUCER_EPOCH);
    /* An id that nobody uses for a week is forgotten. */
    raw_pass(&b->raw, b->raw.place.options.transactional_id_expiration_ms + 2000);
    close(b->fd); /* idle for too long */
    b->fd = raw_connect(&b->raw);
    assert_int_equal(txn_end(&b->raw, b->fd, "a", producer, true, 3),
                     WIRE_INVALID_PRODUCER_ID_MAPPING);
    txn_restart(b, true);
    assert_int_equal(weir_map_count(&b->raw.broker->transactions), 0);
}

/* ---- offsets --------------------------------------------------------------------------------- */

static void offsets_wait_for_the_end(void **state)
{
    struct txn_bench *b = *state;
    struct raw *raw = &b->raw;
    for (int round = 0; round < 4; round++) {
        bool commit = round % 2;
        struct producer producer = txn_begin(b, "a");
        int64_t before = txn_fetch_offset(raw, b->fd, "g", true);
        assert_int_equal(txn_commit_offset(raw, b->fd, "a", producer, "g", -1, "", 5 + round),
                         WIRE_INVALID_TXN_STATE);
        assert_int_equal(txn_add_group(raw, b->fd, "a", producer, "g"), WIRE_NONE);
        assert_int_equal(txn_commit_offset(raw, b->fd, "a", producer, "g", -1, "", 5 + round),
                         WIRE_NONE);
        assert_int_equal(txn_commit_offset(raw, b->fd, "a", producer, "g", 3, "gone", 99),
                         round < 2 ? WIRE_ILLEGAL_GENERATION : WIRE_UNKNOWN_MEMBER_ID);
        if (round >= 2)
            txn_restart(b, true);
        assert_int_equal(txn_fetch_offset(raw, b->fd, "g", true),
                         -100 - WIRE_UNSTABLE_OFFSET_COMMIT);
        assert_int_equal(txn_fetch_offset(raw, b->fd, "g", false), before);
        assert_int_equal(txn_end(raw, b->fd, "a", producer, commit, 3), WIRE_NONE);
        for (int i = 0; i < 3; i++) {
            assert_int_equal(txn_fetch_offset(raw, b->fd, "g", true), commit ? 5 + round : before);
            txn_restart(b, i);
        }
    }
}

/* ---- restarts and faults --------------------------------------------------------------------- */

/* What was decided stays decided, and what was not is aborted by the successor: whichever call of
 * the disk is the last one, as a kill has it. */
static void a_kill_at_any_call_leaves_all_or_nothing(void **state)
{
    struct txn_bench *b = *state;
    struct raw *raw = &b->raw;
    bool whole = false;
    int64_t offset = 0;
    for (uint64_t n = 1; !whole; n++) {
        struct producer producer = txn_begin(b, "a"), next = txn_nobody;
        assert_int_equal(txn_add(raw, b->fd, "a", producer, "t", 1, 3), WIRE_NONE);
        assert_int_equal(txn_produce(raw, b->fd, "a", producer, "t", 1, 0), WIRE_NONE);
        assert_int_equal(txn_add_group(raw, b->fd, "a", producer, "g"), WIRE_NONE);
        assert_int_equal(
            txn_commit_offset(raw, b->fd, "a", producer, "g", -1, "", 1000 + (int64_t)n),
            WIRE_NONE);
        b->disk.fail_at = b->disk.calls + n;
        b->disk.broken_for_good = true;
        bool acknowledged = txn_end(raw, b->fd, "a", producer, true, 3) == WIRE_NONE;
        whole = b->disk.failed == 0;
        txn_restart(b, true);
        assert_int_equal(txn_init(raw, b->fd, "a", txn_nobody, &next), WIRE_NONE);
        bool committed = txn_fetch_offset(raw, b->fd, "g", true) == 1000 + (int64_t)n;
        assert_true(committed || !acknowledged);
        for (int32_t i = 0; i < 2; i++) {
            struct partition *p = broker_partition_find(raw->broker, weir_slice("t", 1), i);
            assert_int_equal(weir_plog_offset_stable(p->log), weir_plog_offset_next(p->log));
        }
        struct txn_fetched seen = txn_fetch(raw, b->fd, offset, true);
        assert_int_equal(seen.aborted, committed ? 0 : 1);
        offset = seen.next;
    }
}

/* A partition that can't be written holds its own readers back, and the id; not the others. */
static void what_cannot_be_marked_is_tried_again(void **state)
{
    struct txn_bench *b = *state;
    struct raw *raw = &b->raw;
    struct producer producer = txn_begin(b, "a"), next = txn_nobody;
    /* The journal's entry gets through, the marker does not. */
    b->disk.mask = WEIR_DISK_WRITE;
    b->disk.fail_at = b->disk.calls + 2;
    assert_int_equal(txn_end(raw, b->fd, "a", producer, true, 3), WIRE_NONE);
    assert_int_equal(b->disk.failed, 1);
    assert_int_equal(txn_fetch(raw, b->fd, 0, true).stable, 0);
    assert_int_equal(txn_init(raw, b->fd, "a", txn_nobody, &next), WIRE_CONCURRENT_TRANSACTIONS);
    assert_int_equal(txn_add(raw, b->fd, "a", producer, "t", 1, 3), WIRE_CONCURRENT_TRANSACTIONS);
    raw_pass(raw, 5000);
    assert_int_equal(txn_end(raw, b->fd, "a", producer, false, 3), WIRE_INVALID_TXN_STATE);
    txn_restart(b, true);
    assert_int_equal(txn_fetch(raw, b->fd, 0, true).stable, 2);
    assert_int_equal(txn_fetch(raw, b->fd, 0, true).aborted, 0);
    assert_int_equal(txn_init(raw, b->fd, "a", txn_nobody, &next), WIRE_NONE);
}

/* The journal was lost with the power, the log was not. */
static void what_nobody_knows_is_aborted(void **state)
{
    struct txn_bench *b = *state;
    char path[128];
    txn_begin(b, "a");
    close(b->fd);
    raw_stop(&b->raw);
    snprintf(path, sizeof path, "%s/weir-journal", b->raw.place.dir);
    assert_int_equal(unlink(path), 0);
    raw_start(&b->raw);
    b->fd = raw_connect(&b->raw);
    struct txn_fetched seen = txn_fetch(&b->raw, b->fd, 0, true);
    assert_int_equal(seen.stable, 2);
    assert_int_equal(seen.aborted, 1);
}

static void every_allocation_may_fail(void **state)
{
    struct txn_bench *b = *state;
    struct raw *raw = &b->raw;
    int completed = 0;
    for (uint64_t n = 1; n == 1 || txn_allocation_failed; n++) {
        struct producer producer = txn_nobody;
        int fd = raw_connect(raw);
        txn_allocation_to_fail = n;
        txn_allocation_failed = false;
        /* A client whose connection was closed, or who was told to, tries again. */
        for (int i = 0; i < 2 && producer.id < 0; i++, txn_allocation_to_fail = i ? 0 : n) {
            raw_close(raw, fd);
            fd = raw_connect(raw);
            (void)!txn_init(raw, fd, "a", txn_nobody, &producer);
        }
        txn_allocation_to_fail = n;
        int error = WIRE_NONE;
        for (int at = 0; at < 5; at++) {
            error = at == 0   ? txn_add(raw, fd, "a", producer, "t", 0, 3)
                    : at == 1 ? txn_produce(raw, fd, "a", producer, "t", 0, 0)
                    : at == 2 ? txn_add_group(raw, fd, "a", producer, "g")
                    : at == 3 ? txn_commit_offset(raw, fd, "a", producer, "g", -1, "", 7)
                              : txn_end(raw, fd, "a", producer, true, 3);
            if (error != WIRE_NONE && txn_allocation_to_fail) {
                raw_close(raw, fd);
                fd = raw_connect(raw);
                txn_allocation_to_fail = 0;
                at--;
            } else {
                txn_allocation_to_fail = n;
            }
        }
        txn_allocation_to_fail = 0;
        completed += error == WIRE_NONE;
        raw_close(raw, fd);
        raw_pass(raw, 62000);
        struct partition *p = broker_partition_find(raw->broker, weir_slice("t", 1), 0);
        assert_int_equal(weir_plog_offset_stable(p->log), weir_plog_offset_next(p->log));
        assert_true(n > 1 || completed == 1);
    }
    assert_int_equal(txn_fetch_offset(raw, b->fd, "g", true), 7);
    assert_true(completed > 3);
}

int main(void)
{
#define with_bench(test) cmocka_unit_test_setup_teardown(test, txn_set_up, txn_tear_down)
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
