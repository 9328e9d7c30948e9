/* Idempotent producers: repeats, gaps, zombies, and what of it outlives the process. */
#include "fixture.h"

#include <stdio.h>
#include <unistd.h>

#include "plog/producers.h"

/* A batch of `count` records of producer 1 at epoch 0. */
static struct batch_spec batch_of(int32_t sequence, int32_t count)
{
    return (struct batch_spec){
        .record_count = count,
        .idempotent = true,
        .producer_id = 1,
        .sequence = sequence,
        .value_bytes = 10,
    };
}

static enum weir_plog_refusal send(struct fixture *f, int32_t sequence, int32_t count)
{
    struct batch_spec spec = batch_of(sequence, count);
    struct weir_plog_appended out;

    return append(f, &spec, &out);
}

static void assert_repeat(struct fixture *f, int32_t sequence, int32_t count, int64_t offset)
{
    struct batch_spec spec = batch_of(sequence, count);
    struct weir_plog_appended out;
    int64_t next = weir_plog_offset_next(f->log);

    assert_int_equal(append(f, &spec, &out), WEIR_PLOG_ACCEPTED);
    assert_true(out.duplicate);
    assert_int_equal(out.offset_base, offset);
    assert_int_equal(out.offset_last, offset + count - 1);
    assert_int_equal(weir_plog_offset_next(f->log), next);
}

static void assert_last_five_known(struct fixture *f)
{
    /* Seven batches of two records each: 0, 2, .. 12. */
    assert_int_equal(send(f, 0, 2), WEIR_PLOG_DUPLICATE_SEQUENCE);
    assert_int_equal(send(f, 2, 2), WEIR_PLOG_DUPLICATE_SEQUENCE);
    for (int32_t sequence = 4; sequence <= 12; sequence += 2)
        assert_repeat(f, sequence, 2, sequence);
    assert_int_equal(send(f, 15, 2), WEIR_PLOG_OUT_OF_ORDER_SEQUENCE);
    assert_int_equal(send(f, 13, 2), WEIR_PLOG_OUT_OF_ORDER_SEQUENCE);
    assert_int_equal(send(f, 12, 4), WEIR_PLOG_OUT_OF_ORDER_SEQUENCE);
}

static void repeats_get_the_first_offsets_also_after_an_open(void **state)
{
    struct fixture *f = *state;

    open_log(f, false);
    for (int32_t i = 0; i < 7; i++)
        assert_int_equal(send(f, 2 * i, 2), WEIR_PLOG_ACCEPTED);
    assert_last_five_known(f);
    reopen(f, true);
    assert_last_five_known(f);
    reopen(f, false);
    assert_last_five_known(f);
    abandon(f);
    open_log(f, false);
    assert_last_five_known(f);
    assert_int_equal(send(f, 14, 1), WEIR_PLOG_ACCEPTED);
}

static void state_outlives_rolled_segments(void **state)
{
    struct fixture *f = *state;

    f->options.segment_bytes = 400;
    open_log(f, false);
    for (int32_t i = 0; i < 7; i++)
        assert_int_equal(send(f, 2 * i, 2), WEIR_PLOG_ACCEPTED);
    /* The records go, the memory of them stays. */
    for (int i = 0; i < 20; i++)
        append_ok(f, &(struct batch_spec){.value_bytes = 200}, 14 + i);
    assert_int_equal(weir_plog_trim(f->log, 30, NULL), WEIR_OK);
    abandon(f);
    open_log(f, false);
    assert_true(weir_plog_offset_first(f->log) > 14);
    assert_last_five_known(f);
}

static void a_zombie_is_fenced_and_a_new_epoch_begins_at_zero(void **state)
{
    struct fixture *f = *state;
    struct batch_spec spec = batch_of(0, 1);
    struct weir_plog_appended out;

    open_log(f, false);
    spec.producer_epoch = 3;
    assert_int_equal(append(f, &spec, &out), WEIR_PLOG_ACCEPTED);
    spec.producer_epoch = 2;
    spec.sequence = 1;
    assert_int_equal(append(f, &spec, &out), WEIR_PLOG_INVALID_PRODUCER_EPOCH);
    spec.producer_epoch = 4;
    assert_int_equal(append(f, &spec, &out), WEIR_PLOG_OUT_OF_ORDER_SEQUENCE);
    spec.sequence = 0;
    assert_int_equal(append(f, &spec, &out), WEIR_PLOG_ACCEPTED);
    assert_false(out.duplicate);
    reopen(f, false);
    spec.producer_epoch = 3;
    spec.sequence = 1;
    assert_int_equal(append(f, &spec, &out), WEIR_PLOG_INVALID_PRODUCER_EPOCH);
}

static void an_unknown_producer_begins_anywhere_and_sequences_wrap(void **state)
{
    struct fixture *f = *state;

    open_log(f, false);
    assert_int_equal(send(f, INT32_MAX - 2, 2), WEIR_PLOG_ACCEPTED);
    assert_int_equal(send(f, INT32_MAX, 3), WEIR_PLOG_ACCEPTED);
    assert_int_equal(send(f, 2, 1), WEIR_PLOG_ACCEPTED);
    assert_repeat(f, INT32_MAX, 3, 2);
    assert_repeat(f, INT32_MAX - 2, 2, 0);
    assert_int_equal(send(f, 4, 1), WEIR_PLOG_OUT_OF_ORDER_SEQUENCE);
}

static void idle_producers_are_forgotten_after_a_day(void **state)
{
    struct fixture *f = *state;

    open_log(f, false);
    assert_int_equal(send(f, 0, 1), WEIR_PLOG_ACCEPTED);
    weir_clock_virtual_advance_ms(&f->clock, INT64_C(24) * 3600 * 1000);
    weir_plog_maintain(f->log);
    assert_int_equal(send(f, 5, 1), WEIR_PLOG_OUT_OF_ORDER_SEQUENCE);
    weir_clock_virtual_advance_ms(&f->clock, 1);
    weir_plog_maintain(f->log);
    assert_int_equal(send(f, 5, 1), WEIR_PLOG_ACCEPTED);
}

static void a_damaged_snapshot_costs_only_a_scan(void **state)
{
    struct fixture *f = *state;
    char *path = file_path(f, "00000000000000000014.snapshot");

    open_log(f, false);
    for (int32_t i = 0; i < 7; i++)
        assert_int_equal(send(f, 2 * i, 2), WEIR_PLOG_ACCEPTED);
    for (int i = 0; i < 3; i++) {
        FILE *file;
        reopen(f, true);
        assert_true(file_exists(f, "00000000000000000014.snapshot"));
        abandon(f);
        file = fopen(path, "r+b");
        fseek(file, 20 * i, SEEK_SET);
        fputc(0x55, file);
        fclose(file);
        open_log(f, true);
        assert_last_five_known(f);
    }
    free(path);
}

static void the_table_has_a_ceiling_and_the_oldest_goes(void **state)
{
    struct plog_producers producers;
    struct plog_head head = {.producer_id = 1, .record_count = 1};
    const struct plog_producer_batch *repeat;

    (void)state;
    weir_plog_producers_init(&producers);
    for (int i = 0; i < PLOG_PRODUCERS_MAX + 1; i++, head.producer_id++)
        assert_int_equal(weir_plog_producers_add(&producers, &head, i), WEIR_OK);
    assert_int_equal(weir_map_count(&producers.map), PLOG_PRODUCERS_MAX);
    head.producer_id = 1;
    assert_int_equal(weir_plog_producers_check(&producers, &head, &repeat), WEIR_PLOG_ACCEPTED);
    assert_null(repeat);
    head.producer_id = 2;
    assert_int_equal(weir_plog_producers_check(&producers, &head, &repeat), WEIR_PLOG_ACCEPTED);
    assert_non_null(repeat);
    weir_plog_producers_release(&producers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        plog_test(repeats_get_the_first_offsets_also_after_an_open),
        plog_test(state_outlives_rolled_segments),
        plog_test(a_zombie_is_fenced_and_a_new_epoch_begins_at_zero),
        plog_test(an_unknown_producer_begins_anywhere_and_sequences_wrap),
        plog_test(idle_producers_are_forgotten_after_a_day),
        plog_test(a_damaged_snapshot_costs_only_a_scan),
        cmocka_unit_test(the_table_has_a_ceiling_and_the_oldest_goes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
