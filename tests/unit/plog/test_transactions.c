/* Transactions in a log: markers, the last stable offset, aborted ones; against a plain model. */
#include "fixture.h"

#include <stdio.h>
#include <unistd.h>

#include "base/alloc.h"
#include "plog/log.h"

enum { PRODUCERS = 5, ENDED_MAX = 4096 };

static void send(struct fixture *f, int64_t producer, int32_t sequence, int64_t offset)
{
    append_ok(f,
              &(struct batch_spec){.idempotent = true,
                                   .producer_id = producer,
                                   .sequence = sequence,
                                   .transactional = true,
                                   .value_bytes = 20},
              offset);
}

static int64_t end(struct fixture *f, int64_t producer, bool commit)
{
    struct weir_plog_marker marker = {
        .producer_id = producer, .coordinator_epoch = 7, .commit = commit};
    struct weir_plog_appended out;

    assert_int_equal(weir_plog_end_transaction(f->log, &marker, 3, &out, NULL), WEIR_OK);
    assert_int_equal(out.offset_base, out.offset_last);
    return out.offset_base;
}

/* ---- what is listed */

struct listed {
    struct {
        int64_t producer, first;
    } aborted[ENDED_MAX];
    int count;
};

static enum weir_err list(void *opaque, int64_t producer, int64_t first)
{
    struct listed *listed = opaque;

    assert_true(listed->count < ENDED_MAX);
    listed->aborted[listed->count].producer = producer;
    listed->aborted[listed->count++].first = first;
    return WEIR_OK;
}

static struct listed *aborted(struct fixture *f, int64_t from, int64_t until)
{
    static struct listed listed;

    listed.count = 0;
    assert_int_equal(weir_plog_aborted(f->log, from, until, list, &listed, NULL), WEIR_OK);
    return &listed;
}

/* ---- by hand */

static void a_marker_has_kafkas_own_bytes(void **state)
{
    struct fixture *f = *state;
    static const uint8_t record[] = {32, 0, 0, 0, 8, 0, 0, 0, 1, 12, 0, 0, 0, 0, 0, 7, 0};
    struct plog_head head;

    open_log(f, false);
    send(f, 9, 0, 0);
    assert_int_equal(end(f, 9, true), 1);
    weir_buffer_clear(&f->buffer);
    assert_int_equal(weir_plog_read(f->log, 1, -1, 1, true, &f->buffer, NULL), WEIR_OK);
    assert_int_equal(f->buffer.bytes, 78);
    assert_true(plog_head_read(f->buffer.data, &head));
    assert_int_equal(head.attributes, 0x30);
    assert_int_equal(head.producer_id, 9);
    assert_int_equal(head.producer_epoch, 0);
    assert_int_equal(head.sequence_base, -1);
    assert_int_equal(head.record_count, 1);
    assert_int_equal(head.leader_epoch, 3);
    assert_int_equal(head.timestamp_max, FIXTURE_WALL_MS);
    assert_int_equal(head.crc, plog_batch_crc(f->buffer.data, 78));
    assert_memory_equal(f->buffer.data + 61, record, sizeof record);
    assert_int_equal(file_size(f, "00000000000000000000.txnindex"), -1);
}

static void the_stable_offset_waits_for_the_oldest(void **state)
{
    struct fixture *f = *state;
    static const uint8_t entry[34] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0,
                                      1, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 5};
    uint8_t bytes[sizeof entry];
    char *path = file_path(f, "00000000000000000000.txnindex");

    open_log(f, false);
    assert_int_equal(weir_plog_offset_stable(f->log), 0);
    send(f, 1, 0, 0);
    send(f, 2, 0, 1);
    append_ok(f, &(struct batch_spec){0}, 2);
    assert_int_equal(weir_plog_offset_stable(f->log), 0);
    assert_int_equal(end(f, 1, true), 3);
    assert_int_equal(weir_plog_offset_stable(f->log), 1);
    assert_int_equal(end(f, 2, false), 4);
    assert_int_equal(weir_plog_offset_stable(f->log), 5);
    assert_int_equal(aborted(f, 0, 5)->count, 1);
    assert_int_equal(aborted(f, 0, 1)->count, 0);
    assert_int_equal(aborted(f, 4, 5)->count, 1);
    assert_int_equal(aborted(f, 5, 9)->count, 0);
    /* One that has none open ends nothing. */
    assert_int_equal(end(f, 2, false), 5);
    assert_int_equal(aborted(f, 0, 9)->count, 1);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_int_equal(fread(bytes, 1, sizeof bytes, file), sizeof bytes);
    assert_int_equal(fgetc(file), EOF);
    fclose(file);
    assert_memory_equal(bytes, entry, sizeof entry);
    free(path);
}

static void a_batch_outside_of_an_open_transaction_is_refused(void **state)
{
    struct fixture *f = *state;
    struct weir_plog_appended out;
    struct batch_spec plain = {.idempotent = true, .producer_id = 1, .sequence = 1};

    open_log(f, false);
    send(f, 1, 0, 0);
    assert_int_equal(append(f, &plain, &out), WEIR_PLOG_INVALID_TXN_STATE);
    end(f, 1, true);
    assert_int_equal(append(f, &plain, &out), WEIR_PLOG_ACCEPTED);
}

static void a_marker_of_a_newer_epoch_fences(void **state)
{
    struct fixture *f = *state;
    struct weir_plog_marker marker = {.producer_id = 1, .producer_epoch = 1};
    struct weir_plog_appended out;
    struct batch_spec zombie = {
        .idempotent = true, .producer_id = 1, .sequence = 1, .transactional = true};

    open_log(f, false);
    send(f, 1, 0, 0);
    assert_int_equal(weir_plog_end_transaction(f->log, &marker, 0, &out, NULL), WEIR_OK);
    assert_int_equal(append(f, &zombie, &out), WEIR_PLOG_INVALID_PRODUCER_EPOCH);
    for (int i = 0; i < 2; i++) {
        reopen(f, i == 0);
        assert_int_equal(append(f, &zombie, &out), WEIR_PLOG_INVALID_PRODUCER_EPOCH);
        assert_int_equal(aborted(f, 0, 9)->count, 1);
    }
}

/* A damaged or lost list is made anew from the batches, whichever segment it is of. */
static void a_damaged_list_is_made_anew(void **state)
{
    struct fixture *f = *state;
    char *path = file_path(f, "00000000000000000000.txnindex");
    int64_t offset = 0;

    f->options.segment_bytes = 700;
    open_log(f, false);
    for (int i = 0; i < 30; i++) {
        send(f, 1, i, offset);
        offset = end(f, 1, false) + 1;
    }
    assert_true(f->log->segment_count > 5);
    for (int how = 0; how < 3; how++) {
        assert_int_equal(weir_plog_close(f->log, NULL), WEIR_OK);
        assert_int_equal(truncate(path, how == 0 ? 33 : how == 1 ? 40 : 35), 0);
        f->log = NULL;
        open_log(f, how != 1);
        assert_int_equal(aborted(f, 0, offset)->count, 30);
        assert_int_equal(weir_plog_offset_stable(f->log), offset);
        assert_int_equal(weir_plog_offset_next(f->log), offset);
    }
    free(path);
}

/* ---- against a model */

struct model {
    int64_t next, first;
    int64_t open[PRODUCERS]; /* first offset; -1 = none */
    int32_t sequence[PRODUCERS];
    struct {
        int64_t producer, first, last;
    } ended[ENDED_MAX];
    int count;
};

static int64_t model_stable(const struct model *m)
{
    int64_t stable = m->next;

    for (int i = 0; i < PRODUCERS; i++)
        if (m->open[i] >= 0 && m->open[i] < stable)
            stable = m->open[i];
    return stable > m->first ? stable : m->first;
}

static void compare(struct fixture *f, const struct model *m, uint64_t *seed)
{
    int64_t from = m->first + (int64_t)dice_below(seed, (uint64_t)(m->next - m->first + 1));
    int64_t until = from + (int64_t)dice_below(seed, (uint64_t)(m->next - from + 1));
    struct listed *listed = aborted(f, from, until);
    struct weir_plog_transaction open = {.offset_first = -1};
    int found = 0, opened = 0;

    assert_int_equal(weir_plog_offset_next(f->log), m->next);
    assert_int_equal(weir_plog_offset_stable(f->log), model_stable(m));
    for (int i = 0; i < m->count; i++) {
        if (m->ended[i].last < from || m->ended[i].first >= until)
            continue;
        assert_true(found < listed->count);
        assert_int_equal(listed->aborted[found].producer, m->ended[i].producer);
        assert_int_equal(listed->aborted[found++].first, m->ended[i].first);
    }
    assert_int_equal(found, listed->count);
    while (weir_plog_transaction_after(f->log, open.offset_first, &open)) {
        assert_int_equal(m->open[open.producer_id], open.offset_first);
        opened++;
    }
    for (int i = 0; i < PRODUCERS; i++)
        opened -= m->open[i] >= 0;
    assert_int_equal(opened, 0);
}

static void step(struct fixture *f, struct model *m, uint64_t *seed)
{
    int producer = (int)dice_below(seed, PRODUCERS);
    uint64_t what = dice_below(seed, 100);

    if (what < 60) {
        if (m->open[producer] < 0)
            m->open[producer] = m->next;
        send(f, producer, m->sequence[producer]++, m->next++);
    } else if (what < 90) {
        bool commit = what < 70;
        assert_int_equal(end(f, producer, commit), m->next);
        if (!commit && m->open[producer] >= 0) {
            assert_true(m->count < ENDED_MAX);
            m->ended[m->count].producer = producer;
            m->ended[m->count].first = m->open[producer];
            m->ended[m->count++].last = m->next;
        }
        m->open[producer] = -1;
        m->next++;
    } else if (what < 92) {
        m->first += (int64_t)dice_below(seed, (uint64_t)(m->next - m->first + 1) / 4 + 1);
        assert_int_equal(weir_plog_trim(f->log, m->first, NULL), WEIR_OK);
    } else if (what < 96) {
        struct weir_plog_recovery known = {.offset_first = m->first, .offset_recovery = -1};
        if (what < 94) {
            known.clean = true;
            assert_int_equal(weir_plog_close(f->log, NULL), WEIR_OK);
        } else {
            abandon(f);
        }
        assert_int_equal(weir_plog_open(f->directory, &f->options, &known, &f->log, NULL), WEIR_OK);
    } else if (what < 97) {
        assert_int_equal(weir_plog_sync(f->log, NULL), WEIR_OK);
    }
}

static void any_mix_is_as_the_model_says(void **state)
{
    struct fixture *f = *state;
    uint64_t seed = dice_seed("any_mix_is_as_the_model_says");
    struct model *m = calloc(1, sizeof *m);

    f->options.segment_bytes = 1500;
    f->options.index_interval_bytes = 200;
    open_log(f, false);
    memset(m->open, 0xff, sizeof m->open);
    for (int i = 0; i < 4000; i++) {
        step(f, m, &seed);
        compare(f, m, &seed);
    }
    free(m);
}

/* ---- faults */

/* Two transactions, one aborted, over several segments. What was acknowledged is so afterwards. */
static bool work(struct fixture *f, int64_t *marked)
{
    struct weir_plog_appended out;
    enum weir_plog_refusal refusal;
    enum weir_err err = weir_plog_open(f->directory, &f->options, NULL, &f->log, NULL);

    *marked = -1;
    if (err != WEIR_OK) {
        f->log = NULL;
        return false;
    }
    for (int i = 0; i < 12 && err == WEIR_OK; i++) {
        struct batch_spec spec = {.idempotent = true,
                                  .producer_id = i % 2,
                                  .sequence = i / 2,
                                  .transactional = true,
                                  .value_bytes = 50};
        size_t bytes = batch_make(f->batch, &spec);
        err = weir_plog_append(f->log, f->batch, bytes, 0, &out, &refusal, NULL);
    }
    if (err == WEIR_OK) {
        struct weir_plog_marker marker = {.producer_id = 1};
        err = weir_plog_end_transaction(f->log, &marker, 0, &out, NULL);
        /* Undecided until it is all written. */
        assert_int_equal(weir_plog_offset_stable(f->log), 0);
        if (err == WEIR_OK)
            *marked = out.offset_base;
    }
    err = weir_plog_close(f->log, NULL);
    f->log = NULL;
    return err == WEIR_OK;
}

static void check(struct fixture *f, int64_t marked)
{
    open_log(f, false);
    if (marked >= 0) {
        struct listed *listed = aborted(f, 0, marked + 1);
        assert_int_equal(listed->count, 1);
        assert_int_equal(listed->aborted[0].producer, 1);
        assert_int_equal(listed->aborted[0].first, 1);
        assert_int_equal(weir_plog_offset_stable(f->log), 0);
    }
    end(f, 0, true);
    end(f, 1, false);
    assert_int_equal(weir_plog_offset_stable(f->log), weir_plog_offset_next(f->log));
    assert_int_equal(weir_plog_close(f->log, NULL), WEIR_OK);
    f->log = NULL;
    assert_int_equal(weir_plog_destroy(f->directory, NULL, NULL), WEIR_OK);
}

static void every_call_of_the_disk_may_fail(void **state)
{
    struct fixture *f = *state;
    static const unsigned masks[] = {WEIR_DISK_WRITE, WEIR_DISK_SYNC, WEIR_DISK_OPEN,
                                     WEIR_DISK_READ};

    f->options.segment_bytes = 700;
    for (size_t i = 0; i < sizeof masks / sizeof *masks; i++) {
        bool whole = false;
        for (uint64_t n = 1; !whole; n++) {
            struct weir_disk_faulty faulty;
            int64_t marked;
            weir_disk_faulty_init(&faulty, NULL);
            faulty.mask = masks[i];
            faulty.fail_at = n;
            f->options.disk = &faulty.disk;
            whole = work(f, &marked) && faulty.failed == 0;
            f->options.disk = NULL;
            check(f, marked);
        }
    }
}

static void every_allocation_may_fail(void **state)
{
    struct fixture *f = *state;
    bool whole = false;

    f->options.segment_bytes = 700;
    for (uint64_t n = 1; !whole; n++) {
        int64_t marked;
        weir_alloc_watch_start(n);
        (void)!work(f, &marked);
        whole = weir_alloc_watch_stop().failed == 0;
        check(f, marked);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        plog_test(a_marker_has_kafkas_own_bytes),
        plog_test(the_stable_offset_waits_for_the_oldest),
        plog_test(a_batch_outside_of_an_open_transaction_is_refused),
        plog_test(a_marker_of_a_newer_epoch_fences),
        plog_test(a_damaged_list_is_made_anew),
        plog_test(any_mix_is_as_the_model_says),
        plog_test(every_call_of_the_disk_may_fail),
        plog_test(every_allocation_may_fail),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
