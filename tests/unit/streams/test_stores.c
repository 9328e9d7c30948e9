/* Stores of each kind on each engine, against plain lists, by seed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fixture.h"

#include "base/alloc.h"
#include "base/buffer.h"
#include "streams/store/store.h"

enum { ITEMS_MAX = 4000, LOG_BYTES_MAX = 64 << 20, KEY_MAX = 700 };

static uint32_t next_random(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*seed >> 33);
}

static struct weir_slice text(const char *string)
{
    return weir_slice(string, strlen(string));
}

/* ---- a store and its changelog --------------------------------------------------------------- */

struct log_record {
    size_t key_bytes, value_bytes; /* value SIZE_MAX: a tombstone */
    int64_t timestamp_ms;
};

struct place {
    char directory[64];
    struct weir_store_options options;
    struct weir_store *store;
    struct weir_buffer log; /* of log_record, key, value */
    size_t log_committed;
    int64_t position, changes;
};

static enum weir_err on_log(void *opaque, struct weir_store *store, struct weir_slice key,
                            struct weir_slice value, int64_t timestamp_ms, struct weir_error *error)
{
    struct place *place = opaque;
    struct log_record record = {key.bytes, value.data ? value.bytes : SIZE_MAX, timestamp_ms};
    (void)error;
    (void)store;

    assert_int_equal(weir_buffer_append(&place->log, &record, sizeof record), WEIR_OK);
    assert_int_equal(weir_buffer_append(&place->log, key.data, key.bytes), WEIR_OK);
    if (value.data != NULL)
        assert_int_equal(weir_buffer_append(&place->log, value.data, value.bytes), WEIR_OK);
    return WEIR_OK;
}

static enum weir_err on_change(void *opaque, struct weir_store *store,
                               const struct store_change *change, struct weir_error *error)
{
    struct place *place = opaque;
    (void)store;
    (void)change;
    (void)error;

    place->changes++;
    return WEIR_OK;
}

static int64_t open_store(struct place *place)
{
    const struct weir_store_place where = {place->directory, "0_0", "s"};
    const struct store_owner owner = {on_log, on_change, place};
    struct weir_error error = {0};
    int64_t position;
    bool rebuilt;

    if (store_open(&place->options, &where, &owner, &place->store, &position, &rebuilt, &error) !=
        WEIR_OK)
        fail_msg("%s", error.message);
    assert_false(rebuilt);
    return position;
}

static void place_init(struct place *place, enum weir_store_kind kind,
                       const struct weir_store_engine *engine)
{
    memset(place, 0, sizeof *place);
    snprintf(place->directory, sizeof place->directory, "/tmp/weir-stores-XXXXXX");
    assert_non_null(mkdtemp(place->directory));
    weir_store_options_default(&place->options);
    place->options.name = "s";
    place->options.kind = kind;
    place->options.engine = engine;
    weir_buffer_init(&place->log, LOG_BYTES_MAX);
}

static void place_release(struct place *place)
{
    const struct weir_store_place where = {place->directory, "0_0", "s"};

    store_close(place->store);
    if (place->options.engine->destroy != NULL)
        assert_int_equal(place->options.engine->destroy(NULL, &where, NULL), WEIR_OK);
    assert_int_equal(rmdir(place->directory), 0);
    weir_buffer_release(&place->log);
}

static void commit(struct place *place)
{
    assert_int_equal(store_flush(place->store, NULL), WEIR_OK);
    place->log_committed = place->log.bytes;
    assert_int_equal(store_commit(place->store, (int64_t)place->log.bytes, NULL), WEIR_OK);
}

static void rollback(struct place *place)
{
    store_rollback(place->store);
    weir_buffer_truncate(&place->log, place->log_committed);
}

static void restore(struct place *place, int64_t position)
{
    for (size_t at = position < 0 ? 0 : (size_t)position; at < place->log.bytes;) {
        struct log_record record;
        memcpy(&record, place->log.data + at, sizeof record);
        const uint8_t *key = place->log.data + at + sizeof record;
        bool tombstone = record.value_bytes == SIZE_MAX;
        size_t value_bytes = tombstone ? 0 : record.value_bytes;
        struct weir_slice value =
            weir_slice(tombstone ? NULL : key + record.key_bytes, value_bytes);
        assert_int_equal(store_restore(place->store, weir_slice(key, record.key_bytes), value,
                                       record.timestamp_ms, NULL),
                         WEIR_OK);
        at += sizeof record + record.key_bytes + value_bytes;
    }
    assert_int_equal(store_commit(place->store, (int64_t)place->log.bytes, NULL), WEIR_OK);
}

/* The process ends and another one opens the store, with what the changelog has. */
static void reopen(struct place *place)
{
    weir_buffer_truncate(&place->log, place->log_committed);
    store_close(place->store);
    int64_t position = open_store(place);
    assert_int_equal(position, place->options.engine->persistent && place->position >= 0
                                   ? (int64_t)place->log_committed
                                   : -1);
    restore(place, position);
}

/* ---- the plain one --------------------------------------------------------------------------- */

struct item {
    uint8_t key[KEY_MAX];
    size_t key_bytes;
    int64_t start_ms, end_ms, timestamp_ms;
    char value[24];
};

struct plain {
    struct item items[ITEMS_MAX]; /* in no order */
    size_t count;
};

static struct weir_slice key_of(const struct item *item)
{
    return weir_slice(item->key, item->key_bytes);
}

static bool same(const struct item *a, const struct item *b)
{
    return a->start_ms == b->start_ms && a->end_ms == b->end_ms &&
           tree_compare(key_of(a), key_of(b)) == 0;
}

static struct item *plain_find(struct plain *plain, const struct item *like)
{
    for (size_t i = 0; i < plain->count; i++)
        if (same(&plain->items[i], like))
            return &plain->items[i];
    return NULL;
}

static void plain_put(struct plain *plain, const struct item *item)
{
    struct item *found = plain_find(plain, item);

    if (found != NULL) {
        *found = *item;
        return;
    }
    assert_true(plain->count < ITEMS_MAX);
    plain->items[plain->count++] = *item;
}

static void plain_remove(struct plain *plain, const struct item *item)
{
    struct item *found = plain_find(plain, item);

    if (found != NULL)
        *found = plain->items[--plain->count];
}

static void plain_copy(struct plain *to, const struct plain *from)
{
    memcpy(to->items, from->items, from->count * sizeof *from->items);
    to->count = from->count;
}

/* Few letters: keys share prefixes, are prefixes of each other, are empty, hold zeros and 0xff. */
static void random_key(uint64_t *seed, bool long_ones, struct item *item)
{
    static const uint8_t letters[] = {0, 1, 'a', 0xff};

    item->key_bytes = next_random(seed) % 5;
    for (size_t i = 0; i < item->key_bytes; i++)
        item->key[i] = letters[next_random(seed) % 4];
    if (long_ones && next_random(seed) % 20 == 0) {
        item->key_bytes = 500 + next_random(seed) % 30; /* on both sides of what LMDB takes */
        memset(item->key, 'a' + (int)(next_random(seed) % 3), item->key_bytes);
        /* They differ in the beginning: where they don't, LMDB's order is another one. */
        item->key[300] = (uint8_t)item->key_bytes;
    }
}

/* ---- walks ----------------------------------------------------------------------------------- */

static int64_t segment_ms;
static bool sessions;

/* The order of a walk. */
static int compare_items(const void *a, const void *b)
{
    const struct item *x = a, *y = b;
    int64_t times[2][2] = {{sessions ? x->end_ms : x->start_ms, x->start_ms},
                           {sessions ? y->end_ms : y->start_ms, y->start_ms}};
    int64_t segments[2] = {0, 0};

    if (segment_ms > 0) {
        segments[0] = times[0][0] / segment_ms;
        segments[1] = times[1][0] / segment_ms;
        if (segments[0] != segments[1])
            return segments[0] < segments[1] ? -1 : 1;
        /* Key and times as bytes, one behind the other. */
        uint8_t bytes[2][KEY_MAX + 16];
        for (int i = 0; i < 2; i++) {
            const struct item *item = i == 0 ? x : y;
            memcpy(bytes[i], item->key, item->key_bytes);
            store_put64(bytes[i] + item->key_bytes, times[i][0]);
            store_put64(bytes[i] + item->key_bytes + 8, times[i][1]);
        }
        return tree_compare(weir_slice(bytes[0], x->key_bytes + (sessions ? 16 : 8)),
                            weir_slice(bytes[1], y->key_bytes + (sessions ? 16 : 8)));
    }
    return tree_compare(key_of(x), key_of(y));
}

struct bounds {
    struct weir_slice key_from, key_to;
    int64_t from_ms, to_ms, latest_start_ms;
    bool back, prefix;
};

static bool is_in(const struct item *item, const struct bounds *bounds)
{
    struct weir_slice key = key_of(item);
    int64_t time_ms = sessions ? item->end_ms : item->start_ms;

    if (bounds->prefix)
        return key.bytes >= bounds->key_from.bytes &&
               memcmp(key.data, bounds->key_from.data, bounds->key_from.bytes) == 0;
    if ((bounds->key_from.data && tree_compare(key, bounds->key_from) < 0) ||
        (bounds->key_to.data && tree_compare(key, bounds->key_to) > 0))
        return false;
    return segment_ms == 0 || (time_ms >= bounds->from_ms && time_ms <= bounds->to_ms &&
                               item->start_ms <= bounds->latest_start_ms);
}

static void check_walk(struct weir_store_iterator *iterator, const struct plain *plain,
                       const struct bounds *bounds)
{
    static struct item wanted[ITEMS_MAX];
    struct weir_store_entry entry;
    size_t count = 0;

    for (size_t i = 0; i < plain->count; i++)
        if (is_in(&plain->items[i], bounds))
            wanted[count++] = plain->items[i];
    qsort(wanted, count, sizeof *wanted, compare_items);
    for (size_t i = 0; i < count; i++) {
        const struct item *item = &wanted[bounds->back ? count - 1 - i : i];
        assert_int_equal(weir_store_iterator_next(iterator, &entry, NULL), WEIR_OK);
        assert_int_equal(entry.key.bytes, item->key_bytes);
        assert_memory_equal(entry.key.data, item->key, item->key_bytes);
        assert_true(weir_slice_equal(entry.value, text(item->value)));
        if (segment_ms > 0)
            assert_int_equal(entry.start_ms, item->start_ms);
        if (sessions)
            assert_int_equal(entry.end_ms, item->end_ms);
    }
    assert_int_equal(weir_store_iterator_next(iterator, &entry, NULL), WEIR_END);
    assert_int_equal(weir_store_iterator_next(iterator, &entry, NULL), WEIR_END);
    weir_store_iterator_free(iterator);
}

/* ---- key-value ------------------------------------------------------------------------------- */

static void check_value(const struct weir_store *store, const struct weir_stamped *got,
                        const struct item *item)
{
    assert_true(weir_slice_equal(got->value, text(item->value)));
    assert_int_equal(got->timestamp_ms, store_is_stamped(store) ? item->timestamp_ms : -1);
}

static void walk_keys_at_random(struct place *place, const struct plain *plain, uint64_t *seed)
{
    struct item from, to;
    struct bounds bounds = {.back = next_random(seed) % 2 == 0};
    struct weir_store_iterator *iterator;

    random_key(seed, false, &from);
    random_key(seed, false, &to);
    if (next_random(seed) % 4 != 0)
        bounds.key_from = key_of(&from);
    if (next_random(seed) % 4 != 0)
        bounds.key_to = key_of(&to);
    if (next_random(seed) % 4 == 0) {
        bounds = (struct bounds){.prefix = true, .key_from = key_of(&from)};
        assert_int_equal(weir_key_value_prefix(place->store, key_of(&from), &iterator, NULL),
                         WEIR_OK);
    } else {
        assert_int_equal(weir_key_value_range(place->store, bounds.key_from, bounds.key_to,
                                              bounds.back, &iterator, NULL),
                         WEIR_OK);
    }
    check_walk(iterator, plain, &bounds);
}

static void change_key_value(struct place *place, struct plain *plain, uint64_t *seed)
{
    struct item item = {.start_ms = 0};
    struct weir_stamped got;

    random_key(seed, true, &item);
    item.timestamp_ms = next_random(seed);
    snprintf(item.value, sizeof item.value, "%u", next_random(seed) >> (next_random(seed) % 24));
    const struct item *was = plain_find(plain, &item);
    enum weir_err err = weir_key_value_get(place->store, key_of(&item), &got, NULL);
    assert_int_equal(err, was ? WEIR_OK : WEIR_NOT_FOUND);
    if (was)
        check_value(place->store, &got, was);
    switch (next_random(seed) % 4) {
    case 0:
        assert_int_equal(
            weir_key_value_put(place->store, key_of(&item), (struct weir_slice){0}, 5, NULL),
            WEIR_OK);
        plain_remove(plain, &item);
        break;
    case 1:
        err = weir_key_value_put_if_absent(place->store, key_of(&item), text(item.value),
                                           item.timestamp_ms, &got, NULL);
        assert_int_equal(err, was ? WEIR_EXISTS : WEIR_OK);
        if (was)
            check_value(place->store, &got, was);
        else
            plain_put(plain, &item);
        break;
    default:
        assert_int_equal(weir_key_value_put(place->store, key_of(&item), text(item.value),
                                            item.timestamp_ms, NULL),
                         WEIR_OK);
        plain_put(plain, &item);
    }
}

struct run {
    struct place place;
    struct plain plain, committed;
    uint64_t seed;
};

static void run_init(struct run *run, enum weir_store_kind kind,
                     const struct weir_store_engine *engine, bool caching, uint64_t seed)
{
    place_init(&run->place, kind, engine);
    run->place.options.caching = caching;
    run->place.options.retention_ms = 600000;
    run->seed = seed;
    run->place.position = -1;
    run->plain.count = run->committed.count = 0;
    assert_int_equal(open_store(&run->place), -1);
    segment_ms = store_is_segmented(run->place.store) ? run->place.store->segment_ms : 0;
    sessions = kind == WEIR_STORE_SESSION;
}

static void run_release(struct run *run)
{
    place_release(&run->place);
}

/* Now and then: what was done is committed, forgotten, or the process ends. */
static void turn(struct run *run)
{
    switch (next_random(&run->seed) % 3) {
    case 0:
        commit(&run->place);
        run->place.position = (int64_t)run->place.log_committed;
        plain_copy(&run->committed, &run->plain);
        break;
    case 1:
        rollback(&run->place);
        plain_copy(&run->plain, &run->committed);
        break;
    default:
        reopen(&run->place);
        plain_copy(&run->plain, &run->committed);
        run->place.position = 0; /* the restore was a commit */
        break;
    }
}

static void key_value(enum weir_store_kind kind, const struct weir_store_engine *engine,
                      bool caching, int steps)
{
    static struct run run;

    run_init(&run, kind, engine, caching, 11 + (uint64_t)caching);
    for (int step = 0; step < steps; step++) {
        change_key_value(&run.place, &run.plain, &run.seed);
        if (step % 7 == 0)
            walk_keys_at_random(&run.place, &run.plain, &run.seed);
        if (next_random(&run.seed) % 60 == 0)
            turn(&run);
    }
    assert_true(!caching || run.place.changes > 100);
    run_release(&run);
}

static void key_values(void **state)
{
    (void)state;
    for (int caching = 0; caching < 2; caching++) {
        key_value(WEIR_STORE_KEY_VALUE, weir_store_in_memory(), caching, 6000);
        key_value(WEIR_STORE_TIMESTAMPED_KEY_VALUE, weir_store_in_memory(), caching, 6000);
        key_value(WEIR_STORE_KEY_VALUE, weir_store_persistent(), caching, 3000);
        key_value(WEIR_STORE_TIMESTAMPED_KEY_VALUE, weir_store_persistent(), caching, 3000);
    }
}

/* ---- windows and sessions -------------------------------------------------------------------- */

/* What the store does not find any more. */
static void plain_expire(struct plain *plain, const struct weir_store *store)
{
    for (size_t i = 0; i < plain->count;) {
        int64_t time_ms = sessions ? plain->items[i].end_ms : plain->items[i].start_ms;
        if (time_ms < segments_live_ms(store))
            plain->items[i] = plain->items[--plain->count];
        else
            i++;
    }
}

static void walk_segments_at_random(struct run *run, int64_t now_ms)
{
    struct item from, to;
    struct bounds bounds = {.back = next_random(&run->seed) % 2 == 0};
    struct weir_store_iterator *iterator;
    bool one = next_random(&run->seed) % 2 == 0;

    random_key(&run->seed, false, &from);
    random_key(&run->seed, false, &to);
    if (one)
        to = from;
    if (one || next_random(&run->seed) % 4 != 0)
        bounds.key_from = key_of(&from);
    if (one || next_random(&run->seed) % 4 != 0)
        bounds.key_to = key_of(&to);
    bounds.from_ms = (int64_t)(next_random(&run->seed) % (uint32_t)(now_ms + 1000));
    bounds.to_ms = bounds.from_ms + next_random(&run->seed) % 400000;
    bounds.latest_start_ms = INT64_MAX;
    if (sessions) {
        bounds.to_ms = INT64_MAX;
        bounds.latest_start_ms = bounds.from_ms + next_random(&run->seed) % 400000;
        assert_int_equal(weir_session_find_keys(run->place.store, bounds.key_from, bounds.key_to,
                                                bounds.from_ms, bounds.latest_start_ms, bounds.back,
                                                &iterator, NULL),
                         WEIR_OK);
    } else {
        assert_int_equal(weir_window_fetch_keys(run->place.store, bounds.key_from, bounds.key_to,
                                                bounds.from_ms, bounds.to_ms, bounds.back,
                                                &iterator, NULL),
                         WEIR_OK);
    }
    check_walk(iterator, &run->plain, &bounds);
}

static void change_segmented(struct run *run, int64_t now_ms)
{
    struct weir_store *store = run->place.store;
    struct item item = {.start_ms = 0};
    struct weir_stamped got;
    struct weir_slice value;
    enum weir_err err;

    random_key(&run->seed, false, &item);
    item.start_ms = now_ms - (int64_t)(next_random(&run->seed) % 500000);
    item.start_ms = item.start_ms > 0 ? item.start_ms / 1000 * 1000 : 0;
    item.end_ms = sessions ? item.start_ms + next_random(&run->seed) % 3 * 1000 : 0;
    item.timestamp_ms = item.start_ms + 1;
    snprintf(item.value, sizeof item.value, "%u", next_random(&run->seed));
    bool removing = next_random(&run->seed) % 5 == 0;
    value = removing ? (struct weir_slice){0} : text(item.value);
    err = sessions ? weir_session_put(store, key_of(&item), value, item.start_ms, item.end_ms,
                                      item.timestamp_ms, NULL)
                   : weir_window_put(store, key_of(&item), value, item.start_ms, item.timestamp_ms,
                                     NULL);
    assert_int_equal(err, WEIR_OK);
    if (removing)
        plain_remove(&run->plain, &item);
    else
        plain_put(&run->plain, &item);
    plain_expire(&run->plain, store);
    err = sessions ? weir_session_get(store, key_of(&item), item.start_ms, item.end_ms, &got, NULL)
                   : weir_window_get(store, key_of(&item), item.start_ms, &got, NULL);
    const struct item *found = plain_find(&run->plain, &item);
    assert_int_equal(err, found ? WEIR_OK : WEIR_NOT_FOUND);
    if (found)
        check_value(store, &got, found);
}

static void segmented(enum weir_store_kind kind, const struct weir_store_engine *engine,
                      bool caching, int steps)
{
    static struct run run;
    int64_t now_ms = 1000;
    uint64_t count_max = 0;

    run_init(&run, kind, engine, caching, 5 + (uint64_t)kind);
    for (int step = 0; step < steps; step++) {
        now_ms += (int64_t)(next_random(&run.seed) % 4000);
        change_segmented(&run, now_ms);
        if (step % 7 == 0)
            walk_segments_at_random(&run, now_ms);
        if (next_random(&run.seed) % 60 == 0) {
            turn(&run);
            /* A rollback takes the time back, too. */
            plain_expire(&run.plain, run.place.store);
            count_max = weir_store_count(run.place.store) > count_max
                            ? weir_store_count(run.place.store)
                            : count_max;
        }
    }
    assert_true(count_max < 3000); /* what has expired goes */
    run_release(&run);
}

static void windows(void **state)
{
    (void)state;
    for (int caching = 0; caching < 2; caching++) {
        segmented(WEIR_STORE_WINDOW, weir_store_in_memory(), caching, 8000);
        segmented(WEIR_STORE_WINDOW, weir_store_persistent(), caching, 3000);
    }
}

static void session_windows(void **state)
{
    (void)state;
    for (int caching = 0; caching < 2; caching++) {
        segmented(WEIR_STORE_SESSION, weir_store_in_memory(), caching, 8000);
        segmented(WEIR_STORE_SESSION, weir_store_persistent(), caching, 3000);
    }
}

/* Long keys that differ in their last byte alone: found, and met once by a walk. */
static void long_keys(void **state)
{
    enum { KEYS = 200, BYTES = 600 };
    struct place place;
    uint8_t key[BYTES];
    bool seen[KEYS] = {false};
    struct weir_store_iterator *iterator;
    struct weir_store_entry entry;
    struct weir_stamped got;
    (void)state;

    memset(key, 'k', sizeof key);
    place_init(&place, WEIR_STORE_KEY_VALUE, weir_store_persistent());
    assert_int_equal(open_store(&place), -1);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < KEYS; i++) {
            key[BYTES - 1] = (uint8_t)i;
            assert_int_equal(weir_key_value_put(place.store, weir_slice(key, BYTES),
                                                weir_slice(&key[BYTES - 1], 1), 0, NULL),
                             WEIR_OK);
        }
        commit(&place);
    }
    for (int i = 0; i < KEYS; i++) {
        key[BYTES - 1] = (uint8_t)i;
        assert_int_equal(weir_key_value_get(place.store, weir_slice(key, BYTES), &got, NULL),
                         WEIR_OK);
        assert_int_equal(*(const uint8_t *)got.value.data, i);
    }
    assert_int_equal(weir_key_value_get(place.store, weir_slice(key, BYTES - 1), &got, NULL),
                     WEIR_NOT_FOUND);
    assert_int_equal(weir_key_value_range(place.store, (struct weir_slice){0},
                                          (struct weir_slice){0}, false, &iterator, NULL),
                     WEIR_OK);
    while (weir_store_iterator_next(iterator, &entry, NULL) == WEIR_OK) {
        uint8_t number = ((const uint8_t *)entry.key.data)[BYTES - 1];
        assert_int_equal(entry.key.bytes, BYTES);
        assert_false(seen[number]);
        seen[number] = true;
    }
    for (int i = 0; i < KEYS; i++)
        assert_true(seen[i]);
    weir_store_iterator_free(iterator);
    place_release(&place);
}

/* More than the first map holds, in one commit. */
static void the_map_grows(void **state)
{
    enum { VALUES = 12, BYTES = 8 << 20 };
    struct place place;
    struct weir_stamped got;
    uint8_t *value = malloc(BYTES);
    (void)state;

    assert_non_null(value);
    place_init(&place, WEIR_STORE_KEY_VALUE, weir_store_persistent());
    place.options.logging = false;
    assert_int_equal(open_store(&place), -1);
    place.store->owner.log = NULL;
    for (int i = 0; i < VALUES; i++) {
        const uint8_t name = (uint8_t)i;
        memset(value, i, BYTES);
        assert_int_equal(weir_key_value_put(place.store, weir_slice(&name, 1),
                                            weir_slice(value, BYTES), 0, NULL),
                         WEIR_OK);
    }
    commit(&place);
    for (int i = 0; i < VALUES; i++) {
        const uint8_t name = (uint8_t)i;
        assert_int_equal(weir_key_value_get(place.store, weir_slice(&name, 1), &got, NULL),
                         WEIR_OK);
        assert_int_equal(got.value.bytes, BYTES);
        assert_int_equal(((const uint8_t *)got.value.data)[BYTES - 1], i);
    }
    free(value);
    place_release(&place);
}

/* A file that is cut off, of another format, or no database: begun anew, and said so. */
static void what_cant_be_trusted_is_begun_anew(void **state)
{
    (void)state;
    for (int fault = 0; fault < 3; fault++) {
        struct place place;
        char path[128];
        int64_t position;
        bool rebuilt = false;
        place_init(&place, WEIR_STORE_KEY_VALUE, weir_store_persistent());
        open_store(&place);
        for (uint8_t i = 0; i < 200; i++)
            assert_int_equal(weir_key_value_put(place.store, weir_slice(&i, 1),
                                                weir_slice(path, sizeof path), 0, NULL),
                             WEIR_OK);
        commit(&place);
        store_close(place.store);
        snprintf(path, sizeof path, "%s/s.mdb", place.directory);
        if (fault == 0) {
            assert_int_equal(truncate(path, 5 * 4096), 0);
        } else {
            FILE *file = fopen(path, "r+");
            assert_non_null(file);
            for (int page = 0; page < 2; page++) { /* the two meta pages: magic, version */
                assert_int_equal(fseek(file, page * 4096 + (fault == 1 ? 16 : 20), SEEK_SET), 0);
                assert_int_equal(fwrite("\x99\x99", 1, 2, file), 2);
            }
            fclose(file);
        }
        const struct weir_store_place where = {place.directory, "0_0", "s"};
        const struct store_owner owner = {on_log, NULL, &place};
        struct weir_error error = {0};
        if (store_open(&place.options, &where, &owner, &place.store, &position, &rebuilt, &error) !=
            WEIR_OK)
            fail_msg("%d: %s", fault, error.message);
        assert_true(rebuilt);
        assert_int_equal(position, -1);
        restore(&place, -1);
        struct weir_stamped got;
        assert_int_equal(weir_key_value_get(place.store, weir_slice("\x07", 1), &got, NULL),
                         WEIR_OK);
        place_release(&place);
    }
}

/* A function of another kind, null keys, keys and values too large, nowhere to lie. */
static void what_is_refused(void **state)
{
    static char large[WEIR_STORE_KEY_BYTES_MAX + 1];
    struct place place;
    struct weir_stamped got;
    struct weir_error error;
    struct weir_slice none = {0};
    (void)state;

    place_init(&place, WEIR_STORE_KEY_VALUE, weir_store_in_memory());
    open_store(&place);
    assert_int_equal(weir_window_put(place.store, text("k"), text("v"), 0, 0, &error),
                     WEIR_INVALID);
    assert_string_equal(error.message, "store s: it is a store of another kind");
    assert_int_equal(weir_key_value_get(place.store, none, &got, &error), WEIR_INVALID);
    assert_string_equal(error.message, "store s: the key is null");
    assert_int_equal(
        weir_key_value_put(place.store, weir_slice(large, sizeof large), text("v"), 0, &error),
        WEIR_LIMIT);
    place_release(&place);
    place_init(&place, WEIR_STORE_WINDOW, weir_store_in_memory());
    open_store(&place);
    assert_int_equal(weir_window_put(place.store, text("k"), text("v"), -1, 0, &error),
                     WEIR_INVALID);
    assert_int_equal(store_restore(place.store, text("short"), text("v"), 0, &error), WEIR_PARSE);
    place_release(&place);
    place_init(&place, WEIR_STORE_KEY_VALUE, weir_store_persistent());
    const struct weir_store_place nowhere = {NULL, "0_0", "s"};
    const struct store_owner owner = {on_log, NULL, &place};
    int64_t position;
    bool rebuilt;
    assert_int_equal(
        store_open(&place.options, &nowhere, &owner, &place.store, &position, &rebuilt, &error),
        WEIR_INVALID);
    assert_non_null(strstr(error.message, "state.dir"));
    place.store = NULL;
    place_release(&place);
}

/* Windows of one key and time stay apart, in the order in which they came. */
static void duplicates_are_retained(void **state)
{
    struct place place;
    struct weir_store_iterator *iterator;
    struct weir_store_entry entry;
    (void)state;

    place_init(&place, WEIR_STORE_WINDOW, weir_store_in_memory());
    place.options.retain_duplicates = true;
    open_store(&place);
    assert_int_equal(weir_window_put(place.store, text("k"), text("1"), 10, 10, NULL), WEIR_OK);
    assert_int_equal(weir_window_put(place.store, text("k"), text("2"), 10, 10, NULL), WEIR_OK);
    assert_int_equal(weir_window_put(place.store, text("k"), text("0"), 9, 9, NULL), WEIR_OK);
    assert_int_equal(weir_window_fetch(place.store, text("k"), 0, 20, false, &iterator, NULL),
                     WEIR_OK);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(weir_store_iterator_next(iterator, &entry, NULL), WEIR_OK);
        assert_int_equal(*(const char *)entry.value.data, '0' + i);
    }
    assert_int_equal(weir_store_iterator_next(iterator, &entry, NULL), WEIR_END);
    weir_store_iterator_free(iterator);
    place_release(&place);
}

/* What a cache tells: the last of each key, in the order of their first change; and what was told
 * before. */
struct told {
    char text[256];
};

static enum weir_err tell(void *opaque, struct weir_store *store, const struct store_change *change,
                          struct weir_error *error)
{
    struct told *told = opaque;
    size_t used = strlen(told->text);
    (void)store;
    (void)error;

    snprintf(told->text + used, sizeof told->text - used, "%.*s:%.*s>%.*s ", (int)change->key.bytes,
             (const char *)change->key.data, (int)change->old.value.bytes,
             (const char *)change->old.value.data, (int)change->now.value.bytes,
             (const char *)change->now.value.data);
    return WEIR_OK;
}

static void a_cache_tells_the_last_of_each_key(void **state)
{
    const struct weir_store_place where = {NULL, "0_0", "s"};
    struct told told = {""};
    const struct store_owner owner = {NULL, tell, &told};
    struct weir_store_options options;
    struct weir_store *store;
    int64_t position;
    bool rebuilt;
    (void)state;

    weir_store_options_default(&options);
    options.name = "s";
    options.kind = WEIR_STORE_TIMESTAMPED_KEY_VALUE;
    options.caching = true;
    assert_int_equal(store_open(&options, &where, &owner, &store, &position, &rebuilt, NULL),
                     WEIR_OK);
    static const char *const puts[][2] = {
        {"b", "1"}, {"a", "1"},  {"b", "2"}, {"c", "1"},
        {"", ""},   {"b", "3"},  {"", ""},   {"a", "22222222222222222"},
        {"b", "4"}, {"a", "33"}, {"", ""}};
    for (size_t i = 0; i < sizeof puts / sizeof *puts; i++) {
        if (*puts[i][0] != '\0')
            assert_int_equal(weir_key_value_put(store, text(puts[i][0]), text(puts[i][1]), 1, NULL),
                             WEIR_OK);
        else
            assert_int_equal(store_flush(store, NULL), WEIR_OK);
    }
    assert_string_equal(told.text, "b:>2 a:>1 c:>1 b:2>3 a:1>33 b:3>4 ");
    assert_int_equal(store_commit(store, 0, NULL), WEIR_OK);
    told.text[0] = '\0';
    assert_int_equal(weir_key_value_put(store, text("a"), (struct weir_slice){0}, 1, NULL),
                     WEIR_OK);
    assert_int_equal(store_flush(store, NULL), WEIR_OK);
    assert_string_equal(told.text, "a:33> ");
    store_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(key_values),
        cmocka_unit_test(windows),
        cmocka_unit_test(session_windows),
        cmocka_unit_test(long_keys),
        cmocka_unit_test(the_map_grows),
        cmocka_unit_test(what_cant_be_trusted_is_begun_anew),
        cmocka_unit_test(what_is_refused),
        cmocka_unit_test(duplicates_are_retained),
        cmocka_unit_test(a_cache_tells_the_last_of_each_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
