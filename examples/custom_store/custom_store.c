/*
 * A store of one's own: an engine is seven functions over ordered bytes.
 *
 * usage: example_custom_store
 *
 * This one is a sorted array in memory. The program runs a topology with it on the test driver,
 * without a broker: it counts how often each key comes, and prints what is in the store.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <weir/streams_dsl.h>

/* ---- the engine ------------------------------------------------------------------------------ */

struct entry {
    uint8_t *bytes; /* key, value */
    size_t key_bytes, value_bytes;
};

struct sorted_array {
    struct entry *entries;
    size_t count, capacity;
};

static struct weir_slice key_of(const struct entry *entry)
{
    return weir_slice(entry->bytes, entry->key_bytes);
}

static struct weir_slice value_of(const struct entry *entry)
{
    return weir_slice(entry->bytes + entry->key_bytes, entry->value_bytes);
}

/* In the order of their bytes, the shorter first. */
static int compare(struct weir_slice one, struct weir_slice other)
{
    size_t least = one.bytes < other.bytes ? one.bytes : other.bytes;
    int order = least > 0 ? memcmp(one.data, other.data, least) : 0;
    return order != 0 ? order : (one.bytes > other.bytes) - (one.bytes < other.bytes);
}

/* Where the key is, or would be. */
static size_t place_of(const struct sorted_array *array, struct weir_slice key)
{
    size_t low = 0, high = array->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare(key_of(&array->entries[middle]), key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool is_at(const struct sorted_array *array, size_t at, struct weir_slice key)
{
    return at < array->count && compare(key_of(&array->entries[at]), key) == 0;
}

/* config is what the store's engine_config is. Nothing outlives the process: position -1. */
static enum weir_err array_open(void *config, const struct weir_store_place *place, void **self_out,
                                int64_t *position_out, struct weir_error *error)
{
    struct sorted_array *array = calloc(1, sizeof *array);
    (void)config;
    if (array == NULL)
        return weir_error_set(error, WEIR_NOMEM, -1, "store %s: no memory", place->store);
    *self_out = array;
    *position_out = -1;
    return WEIR_OK;
}

static void array_close(void *self)
{
    struct sorted_array *array = self;
    for (size_t i = 0; i < array->count; i++)
        free(array->entries[i].bytes);
    free(array->entries);
    free(array);
}

static enum weir_err array_get(void *self, struct weir_slice key, struct weir_slice *value_out,
                               struct weir_error *error)
{
    const struct sorted_array *array = self;
    size_t at = place_of(array, key);
    (void)error;
    if (!is_at(array, at, key))
        return WEIR_NOT_FOUND;
    *value_out = value_of(&array->entries[at]);
    return WEIR_OK;
}

static enum weir_err array_seek(void *self, struct weir_slice key, bool beyond, bool back,
                                struct weir_slice *key_out, struct weir_slice *value_out,
                                struct weir_error *error)
{
    const struct sorted_array *array = self;
    size_t at = key.data == NULL ? (back ? array->count : 0) : place_of(array, key);
    (void)error;
    if (key.data != NULL && is_at(array, at, key) && (back ? !beyond : beyond))
        at++; /* back: `at` is the first that is too far */
    if (back ? at == 0 : at == array->count)
        return WEIR_END;
    const struct entry *found = &array->entries[back ? at - 1 : at];
    *key_out = key_of(found);
    *value_out = value_of(found);
    return WEIR_OK;
}

static enum weir_err put(struct sorted_array *array, size_t at,
                         const struct weir_store_write *write)
{
    struct entry entry = {.key_bytes = write->key.bytes, .value_bytes = write->value.bytes};
    entry.bytes = malloc(write->key.bytes + write->value.bytes + 1);
    if (entry.bytes == NULL)
        return WEIR_NOMEM;
    memcpy(entry.bytes, write->key.data, write->key.bytes);
    if (write->value.bytes > 0)
        memcpy(entry.bytes + write->key.bytes, write->value.data, write->value.bytes);
    if (is_at(array, at, write->key)) {
        free(array->entries[at].bytes);
        array->entries[at] = entry;
        return WEIR_OK;
    }
    if (array->count == array->capacity) {
        size_t capacity = array->capacity > 0 ? 2 * array->capacity : 16;
        struct entry *entries = realloc(array->entries, capacity * sizeof *entries);
        if (entries == NULL) {
            free(entry.bytes);
            return WEIR_NOMEM;
        }
        array->entries = entries;
        array->capacity = capacity;
    }
    memmove(&array->entries[at + 1], &array->entries[at], (array->count - at) * sizeof entry);
    array->entries[at] = entry;
    array->count++;
    return WEIR_OK;
}

static void drop(struct sorted_array *array, size_t at)
{
    free(array->entries[at].bytes);
    array->count--;
    memmove(&array->entries[at], &array->entries[at + 1],
            (array->count - at) * sizeof *array->entries);
}

/* One commit of a task. In memory there is no half of it to be feared: the process has it all or
 * ends. A persistent engine writes data and position in one transaction. */
static enum weir_err array_write(void *self, const struct weir_store_write *writes, size_t count,
                                 int64_t position, struct weir_error *error)
{
    struct sorted_array *array = self;
    (void)position;
    for (size_t i = 0; i < count; i++) {
        size_t at = place_of(array, writes[i].key);
        if (writes[i].value.data != NULL && put(array, at, &writes[i]) != WEIR_OK)
            return weir_error_set(error, WEIR_NOMEM, -1, "no memory for an entry");
        if (writes[i].value.data == NULL && is_at(array, at, writes[i].key))
            drop(array, at);
    }
    return WEIR_OK;
}

static uint64_t array_count(void *self)
{
    return ((const struct sorted_array *)self)->count;
}

static const struct weir_store_engine sorted_array = {
    .abi = WEIR_STORE_ENGINE_ABI,
    .open = array_open,
    .close = array_close,
    .get = array_get,
    .seek = array_seek,
    .write = array_write,
    .count = array_count,
};

/* ---- a topology that uses it ----------------------------------------------------------------- */

static const struct weir_with text = {.key = &weir_serde_string, .value = &weir_serde_string};

static void count_keys(struct weir_builder *builder)
{
    struct weir_materialized store;
    weir_materialized_default(&store);
    store.name = "counts";
    store.engine = &sorted_array;
    store.caching = false;
    struct weir_stream *stream = weir_builder_stream(builder, "in", &text);
    struct weir_table *counts =
        weir_grouped_count(weir_stream_group_by_key(stream, NULL), &store, NULL);
    weir_stream_to(weir_table_to_stream(counts, NULL), "out", NULL);
}

static void check(enum weir_err err, const struct weir_error *error)
{
    if (err == WEIR_OK)
        return;
    fprintf(stderr, "custom_store: %s\n", error->message);
    exit(1);
}

static void print_store(struct weir_store *store)
{
    struct weir_store_iterator *walk;
    struct weir_store_entry entry;
    struct weir_error error;
    const struct weir_slice all = {0};
    check(weir_key_value_range(store, all, all, false, &walk, &error), &error);
    while (weir_store_iterator_next(walk, &entry, &error) == WEIR_OK) {
        const uint8_t *count = entry.value.data;
        printf("%.*s: %d\n", (int)entry.key.bytes, (const char *)entry.key.data, count[7]);
    }
    weir_store_iterator_free(walk);
}

int main(void)
{
    static const char *const keys[] = {"pear", "apple", "fig", "apple", "pear", "apple"};
    struct weir_streams_options options;
    struct weir_builder *builder = weir_builder_new();
    struct weir_topology *topology;
    struct weir_test_driver *driver;
    struct weir_error error = {0};
    if (builder == NULL)
        return 1;
    count_keys(builder);
    check(weir_builder_build(builder, &topology, &error), &error);
    weir_streams_options_default(&options);
    options.application_id = "custom-store";
    options.commit_interval_ms = 1000;
    check(weir_test_driver_new(topology, &options, 0, 1, &driver, &error), &error);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        const struct weir_kafka_record record = {.topic = "in",
                                                 .timestamp_ms = (int64_t)i,
                                                 .key = weir_slice(keys[i], strlen(keys[i])),
                                                 .value = weir_slice("x", 1)};
        check(weir_test_driver_pipe(driver, &record, &error), &error);
    }
    check(weir_test_driver_advance(driver, options.commit_interval_ms, &error), &error);
    print_store(weir_test_driver_store(driver, "counts", 0));
    weir_test_driver_free(driver);
    return 0;
}
