/* Compaction at random, held against a plain list of records. */
#include "keyed.h"

#include <stdio.h>

#include "plog/log.h"
#include "wire/record_batch.h"

enum { RECORDS_MAX = 20000, KEYS = 25, PRODUCERS = 3, RETENTION_MS = 500, STEPS = 400 };

enum fate { DECIDED, OPEN, ABORTED };

struct known {
    struct seen record;
    int64_t producer_id;
    int batch;
    enum fate fate;
    bool gone;
};

struct model {
    struct fixture *f;
    uint64_t seed;
    struct known records[RECORDS_MAX];
    int64_t horizons[RECORDS_MAX]; /* of batches; -1 = none */
    int count, batch_count;
    int64_t offset_dirty;
    int32_t sequences[PRODUCERS + 1];
    bool in_transaction[PRODUCERS + 1];
    const char *removed; /* suffix of files */
};

/* ---- steps */

static void put(struct model *m)
{
    struct keyed_batch batch = {
        .count = 1 + (int)dice_below(&m->seed, KEYED_MAX),
        .timestamp = 1000 + (int64_t)dice_below(&m->seed, 1000),
        .codec = (int)dice_below(&m->seed, 5),
    };
    int64_t offset;

    if (dice_below(&m->seed, 2) == 0) {
        batch.producer_id = 1 + (int64_t)dice_below(&m->seed, PRODUCERS);
        batch.transactional = m->in_transaction[batch.producer_id] || dice_below(&m->seed, 3) > 0;
        batch.sequence = m->sequences[batch.producer_id];
        m->sequences[batch.producer_id] += batch.count;
        m->in_transaction[batch.producer_id] = batch.transactional;
    }
    for (int i = 0; i < batch.count; i++) {
        batch.records[i].key =
            dice_below(&m->seed, 20) > 0 ? (int)dice_below(&m->seed, KEYS) : NO_KEY;
        batch.records[i].value =
            dice_below(&m->seed, 5) > 0 ? (int)dice_below(&m->seed, 100000) : TOMBSTONE;
    }
    offset = keyed_append(m->f, &batch);
    for (int i = 0; i < batch.count; i++) {
        assert_true(m->count < RECORDS_MAX);
        m->records[m->count++] = (struct known){
            .record = {offset + i, batch.timestamp, batch.records[i].key, batch.records[i].value},
            .producer_id = batch.producer_id,
            .batch = m->batch_count,
            .fate = batch.transactional ? OPEN : DECIDED,
        };
    }
    m->horizons[m->batch_count++] = -1;
}

static void end(struct model *m, int64_t producer_id)
{
    bool commit = dice_below(&m->seed, 2) == 0;

    if (!m->in_transaction[producer_id])
        return;
    end_transaction(m->f, producer_id, commit);
    m->in_transaction[producer_id] = false;
    for (int i = 0; i < m->count; i++) {
        struct known *known = &m->records[i];
        if (known->producer_id == producer_id && known->fate == OPEN)
            known->fate = commit ? DECIDED : ABORTED;
    }
}

/* What a pass over offset_dirty .. end - 1 must have done. */
static void judge(struct model *m, int64_t offset_end, int64_t now_ms)
{
    int64_t newest[KEYS];
    bool *stamped = calloc(RECORDS_MAX, sizeof *stamped);

    for (int key = 0; key < KEYS; key++)
        newest[key] = -1;
    for (int i = 0; i < m->count; i++) {
        const struct known *known = &m->records[i];
        if (known->record.offset >= m->offset_dirty && known->record.offset < offset_end &&
            known->fate != ABORTED && known->record.key != NO_KEY)
            newest[known->record.key] = known->record.offset;
    }
    for (int i = 0; i < m->count; i++) {
        struct known *known = &m->records[i];
        int64_t horizon = m->horizons[known->batch];
        if (known->record.offset >= offset_end)
            continue;
        assert_int_not_equal(known->fate, OPEN);
        if (known->fate == ABORTED || known->record.key == NO_KEY ||
            newest[known->record.key] > known->record.offset ||
            (known->record.value == TOMBSTONE && horizon >= 0 && horizon <= now_ms))
            known->gone = true;
        if (!known->gone && known->record.value == TOMBSTONE && horizon < 0)
            stamped[known->batch] = true;
    }
    for (int i = 0; i < m->batch_count; i++) {
        if (stamped[i])
            m->horizons[i] = now_ms + RETENTION_MS;
    }
    free(stamped);
    m->offset_dirty = offset_end;
}

static void pass(struct model *m)
{
    struct weir_plog_clean_settings settings = {
        .offset_dirty = m->offset_dirty,
        .delete_retention_ms = RETENTION_MS,
        .map_bytes = 1 << 14,
    };
    struct weir_plog_cleaned cleaned;
    enum weir_err err = clean(m->f, &settings, &cleaned);

    assert_true(err == WEIR_OK || err == WEIR_END);
    if (err == WEIR_OK)
        judge(m, cleaned.offset_dirty, weir_clock_wall_ms(&m->f->clock.clock));
}

static enum weir_err remove_file(void *opaque, const char *name, bool is_directory)
{
    const struct model *m = opaque;
    const char *suffix = strrchr(name, '.');
    char path[4096];

    (void)is_directory;
    if (strcmp(suffix, m->removed) != 0)
        return WEIR_OK;
    snprintf(path, sizeof path, "%s/%s", m->f->directory, name);
    return weir_disk_unlink(NULL, path, NULL);
}

static void remove_files(struct model *m, const char *suffix)
{
    m->removed = suffix;
    assert_int_equal(weir_disk_list(NULL, m->f->directory, remove_file, m, NULL), WEIR_OK);
}

/* A process that ends, perhaps without warning and without its snapshots. */
static void restart(struct model *m)
{
    bool clean_close = dice_below(&m->seed, 2) == 0;

    if (clean_close)
        assert_int_equal(weir_plog_close(m->f->log, NULL), WEIR_OK);
    else
        abandon(m->f);
    if (dice_below(&m->seed, 2) == 0)
        remove_files(m, ".snapshot");
    if (dice_below(&m->seed, 4) == 0) {
        remove_files(m, ".index");
        remove_files(m, ".timeindex");
    }
    open_log(m->f, clean_close);
}

/* ---- checks */

static void check_records(struct model *m)
{
    size_t count, at = 0;
    struct seen *seen = read_all(m->f, &count);

    for (int i = 0; i < m->count; i++) {
        const struct known *known = &m->records[i];
        if (known->gone)
            continue;
        if (at == count || memcmp(&seen[at], &known->record, sizeof *seen) != 0)
            fail_msg("offset %lld is missing or wrong; there is %lld",
                     (long long)known->record.offset, at < count ? (long long)seen[at].offset : -1);
        at++;
    }
    assert_int_equal(at, count);
    free(seen);
}

struct aborted {
    struct {
        int64_t producer_id, offset_first;
    } entries[RECORDS_MAX];
    int count;
};

static enum weir_err note_aborted(void *opaque, int64_t producer_id, int64_t offset_first)
{
    struct aborted *aborted = opaque;

    aborted->entries[aborted->count].producer_id = producer_id;
    aborted->entries[aborted->count++].offset_first = offset_first;
    return WEIR_OK;
}

static bool is_abort_marker(const uint8_t *bytes, const struct plog_head *head)
{
    struct wire_batch batch;
    struct wire_walk walk;
    struct wire_record record;
    bool is;

    assert_int_equal(wire_batch_read(weir_slice(bytes, (size_t)head->bytes), &batch, NULL), 0);
    assert_int_equal(wire_walk_init(&walk, &batch, 1 << 20, NULL), WEIR_OK);
    is = wire_walk_next(&walk, &record, NULL) == WEIR_OK &&
         ((const uint8_t *)record.key.data)[3] == 0;
    wire_walk_release(&walk);
    return is;
}

/* As a consumer of committed records reads: it drops a producer's batches from where the list of
 * aborted transactions says until the marker. Those left must be there and committed. */
static void check_committed(struct model *m)
{
    struct fixture *f = m->f;
    struct aborted *aborted = calloc(1, sizeof *aborted);
    bool dropping[PRODUCERS + 1] = {false};
    int64_t stable = weir_plog_offset_stable(f->log);
    int at = 0;

    assert_int_equal(weir_plog_aborted(f->log, 0, stable, note_aborted, aborted, NULL), WEIR_OK);
    weir_buffer_clear(&f->buffer);
    assert_int_equal(weir_plog_read(f->log, 0, stable, 32 << 20, true, &f->buffer, NULL), WEIR_OK);
    for (size_t place = 0; place < f->buffer.bytes;) {
        const uint8_t *bytes = f->buffer.data + place;
        struct plog_head head = {0};
        assert_true(plog_head_read(bytes, &head));
        place += (size_t)head.bytes;
        for (int i = 0; i < aborted->count; i++) {
            if (aborted->entries[i].offset_first > head.offset_last)
                continue;
            dropping[aborted->entries[i].producer_id] = true;
            aborted->entries[i].offset_first = INT64_MAX; /* once */
        }
        if (head.attributes & PLOG_CONTROL) {
            if (is_abort_marker(bytes, &head))
                dropping[head.producer_id] = false;
            continue;
        }
        for (; at < m->count && m->records[at].record.offset <= head.offset_last; at++) {
            const struct known *known = &m->records[at];
            bool dropped = head.attributes & PLOG_TRANSACTIONAL && dropping[head.producer_id];
            if (!known->gone && known->record.offset >= head.offset_base)
                assert_int_equal(dropped, known->fate == ABORTED);
        }
    }
    free(aborted);
}

static void compaction_at_random_leaves_what_it_must(void **state)
{
    struct fixture *f = *state;
    struct model *m = calloc(1, sizeof *m);

    m->f = f;
    m->seed = dice_seed("compaction_at_random_leaves_what_it_must");
    m->offset_dirty = 0;
    f->options.segment_bytes = 4000;
    f->options.index_interval_bytes = 300;
    f->options.deletes = false;
    open_log(f, false);
    for (int step = 0; step < STEPS; step++) {
        int64_t next;
        for (uint64_t more = 1 + dice_below(&m->seed, 6); more > 0; more--)
            put(m);
        end(m, 1 + (int64_t)dice_below(&m->seed, PRODUCERS));
        end(m, 1 + (int64_t)dice_below(&m->seed, PRODUCERS));
        weir_clock_virtual_advance_ms(&f->clock, (int64_t)dice_below(&m->seed, 200));
        next = weir_plog_offset_next(f->log);
        if (dice_below(&m->seed, 3) == 0)
            pass(m);
        if (dice_below(&m->seed, 10) == 0)
            restart(m);
        assert_int_equal(weir_plog_offset_next(f->log), next);
        assert_int_equal(weir_plog_offset_first(f->log), 0);
        check_records(m);
        check_committed(m);
    }
    assert_true(m->offset_dirty > 0);
    free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        plog_test(compaction_at_random_leaves_what_it_must),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
