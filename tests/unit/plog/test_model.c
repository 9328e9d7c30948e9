/* The log against a plain list in memory: random work, one seed. */
#include "fixture.h"

#include <stdio.h>

enum { STEPS = 6000, ENTRIES_MAX = STEPS, PRODUCERS = 3 };

/* What the log should hold: one entry a batch. */
struct entry {
    int64_t offset;
    struct batch_spec spec;
};

struct model {
    struct fixture *f;
    uint64_t dice;
    struct entry *entries;
    int count;
    int64_t offset_first, offset_next;
    int32_t sequences[PRODUCERS]; /* next of each */
    int16_t epochs[PRODUCERS];
};

static struct batch_spec random_batch(struct model *m)
{
    struct batch_spec spec = {
        .record_count = 1 + (int32_t)dice_below(&m->dice, 5),
        .timestamp = 1000 + (int64_t)dice_below(&m->dice, 5000),
        .timestamp_step = (int64_t)dice_below(&m->dice, 3),
        .value_bytes = (size_t)dice_below(&m->dice, dice_below(&m->dice, 20) == 0 ? 5000 : 200),
        .seed = dice(&m->dice),
    };
    return spec;
}

static void remember(struct model *m, const struct batch_spec *spec,
                     const struct weir_plog_appended *out)
{
    assert_int_equal(out->offset_base, m->offset_next);
    assert_int_equal(out->offset_last, m->offset_next + spec->record_count - 1);
    assert_true(m->count < ENTRIES_MAX);
    m->entries[m->count++] = (struct entry){.offset = m->offset_next, .spec = *spec};
    m->offset_next += spec->record_count;
}

static void step_append(struct model *m)
{
    struct batch_spec spec = random_batch(m);
    struct weir_plog_appended out;

    assert_int_equal(append(m->f, &spec, &out), WEIR_PLOG_ACCEPTED);
    remember(m, &spec, &out);
}

static void step_append_idempotent(struct model *m)
{
    struct batch_spec spec = random_batch(m);
    size_t who = (size_t)dice_below(&m->dice, PRODUCERS);
    struct weir_plog_appended out;

    if (dice_below(&m->dice, 10) == 0) {
        m->epochs[who]++;
        m->sequences[who] = 0;
    }
    spec.idempotent = true;
    spec.producer_id = (int64_t)who;
    spec.producer_epoch = m->epochs[who];
    spec.sequence = m->sequences[who];
    assert_int_equal(append(m->f, &spec, &out), WEIR_PLOG_ACCEPTED);
    assert_false(out.duplicate);
    remember(m, &spec, &out);
    m->sequences[who] += spec.record_count;
    /* A gap behind it. */
    spec.sequence = m->sequences[who] + 1;
    assert_int_equal(append(m->f, &spec, &out), WEIR_PLOG_OUT_OF_ORDER_SEQUENCE);
}

/* One of the last five batches of a producer comes again. */
static void step_repeat(struct model *m)
{
    size_t who = (size_t)dice_below(&m->dice, PRODUCERS);
    int age = (int)dice_below(&m->dice, 6);
    struct weir_plog_appended out;

    for (int i = m->count - 1; i >= 0; i--) {
        const struct batch_spec *spec = &m->entries[i].spec;
        if (!spec->idempotent || spec->producer_id != (int64_t)who ||
            spec->producer_epoch != m->epochs[who])
            continue;
        if (age-- > 0)
            continue;
        if (append(m->f, spec, &out) == WEIR_PLOG_ACCEPTED) {
            assert_true(out.duplicate);
            assert_int_equal(out.offset_base, m->entries[i].offset);
        } else {
            assert_int_equal(age, -1); /* only the sixth may be too old */
        }
        return;
    }
}

static const struct entry *entry_at(const struct model *m, int64_t offset)
{
    for (int low = 0, high = m->count;;) {
        int middle = (low + high) / 2;
        const struct entry *entry = &m->entries[middle];
        if (offset < entry->offset)
            high = middle;
        else if (offset >= entry->offset + entry->spec.record_count)
            low = middle + 1;
        else
            return entry;
    }
}

static void step_read(struct model *m)
{
    struct fixture *f = m->f;
    int64_t offset;
    const struct entry *entry;
    size_t max = (size_t)dice_below(&m->dice, 20000);

    if (m->offset_first == m->offset_next)
        return;
    offset = m->offset_first +
             (int64_t)dice_below(&m->dice, (uint64_t)(m->offset_next - m->offset_first));
    weir_buffer_clear(&f->buffer);
    assert_int_equal(weir_plog_read(f->log, offset, -1, max, true, &f->buffer, NULL), WEIR_OK);
    entry = entry_at(m, offset);
    for (size_t at = 0; at < f->buffer.bytes; entry++) {
        size_t bytes = batch_make(f->batch, &entry->spec);
        assert_true(entry < m->entries + m->count);
        assert_true(bytes <= f->buffer.bytes - at);
        assert_int_equal(plog_get64(f->buffer.data + at), entry->offset);
        assert_memory_equal(f->buffer.data + at + 16, f->batch + 16, bytes - 16);
        at += bytes;
    }
    assert_true(f->buffer.bytes > 0);
    /* As much as fits. */
    if (entry < m->entries + m->count)
        assert_true(f->buffer.bytes + batch_make(f->batch, &entry->spec) > max);
}

static void step_find_time(struct model *m)
{
    int64_t sought = 1000 + (int64_t)dice_below(&m->dice, 5100), offset, timestamp;
    enum weir_err err = weir_plog_find_time(m->f->log, sought, &offset, &timestamp, NULL);

    for (int i = 0; i < m->count; i++) {
        const struct entry *entry = &m->entries[i];
        for (int32_t r = 0; r < entry->spec.record_count; r++) {
            int64_t time = entry->spec.timestamp + r * entry->spec.timestamp_step;
            if (entry->offset + r < m->offset_first || time < sought)
                continue;
            assert_int_equal(err, WEIR_OK);
            assert_int_equal(offset, entry->offset + r);
            assert_int_equal(timestamp, time);
            return;
        }
    }
    assert_int_equal(err, WEIR_NOT_FOUND);
}

static void step_trim(struct model *m)
{
    int64_t span = m->offset_next - m->offset_first;
    int64_t offset = m->offset_first + (int64_t)dice_below(&m->dice, (uint64_t)span / 4 + 1);

    assert_int_equal(weir_plog_trim(m->f->log, offset, NULL), WEIR_OK);
    m->offset_first = offset;
}

static void step_open_again(struct model *m)
{
    struct fixture *f = m->f;
    bool clean = dice_below(&m->dice, 2) == 0;
    struct weir_plog_recovery known = {
        .clean = clean,
        .offset_first = m->offset_first,
        .offset_recovery = -1,
    };

    if (dice_below(&m->dice, 2) == 0)
        known.offset_recovery = weir_plog_offset_flushed(f->log);
    if (clean)
        assert_int_equal(weir_plog_close(f->log, NULL), WEIR_OK);
    else
        abandon(f);
    assert_int_equal(weir_plog_open(f->directory, &f->options, &known, &f->log, NULL), WEIR_OK);
}

static void step(struct model *m)
{
    uint64_t die = dice_below(&m->dice, 100);

    if (die < 30)
        step_append(m);
    else if (die < 45)
        step_append_idempotent(m);
    else if (die < 55)
        step_repeat(m);
    else if (die < 85)
        step_read(m);
    else if (die < 92)
        step_find_time(m);
    else if (die < 94)
        assert_int_equal(weir_plog_sync(m->f->log, NULL), WEIR_OK);
    else if (die < 96)
        step_trim(m);
    else if (die < 98)
        assert_int_equal(weir_plog_maintain(m->f->log), 0);
    else
        step_open_again(m);
    assert_int_equal(weir_plog_offset_first(m->f->log), m->offset_first);
    assert_int_equal(weir_plog_offset_next(m->f->log), m->offset_next);
}

static void random_work_agrees_with_a_plain_list(void **state)
{
    struct fixture *f = *state;
    struct model m = {.f = f, .dice = dice_seed("random_work_agrees_with_a_plain_list")};

    m.entries = calloc(ENTRIES_MAX, sizeof *m.entries);
    f->options.segment_bytes = 30000;
    f->options.index_interval_bytes = 700;
    f->options.retention_ms = -1;
    open_log(f, false);
    for (int i = 0; i < STEPS; i++)
        step(&m);
    free(m.entries);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        plog_test(random_work_agrees_with_a_plain_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
