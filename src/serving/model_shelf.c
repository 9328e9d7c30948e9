/* serving/model_shelf.c - the custom store of the model server, see model_shelf.h. */
#include "serving/model_shelf.h"

#include <string.h>

#include "base/alloc.h"
#include "serving/model_record.h"

struct row {
    char data_type[MODELS_NAME_BYTES_MAX + 1];
    size_t type_bytes, value_bytes;
    uint8_t value[MODEL_RECORD_BYTES_MAX];
};

struct shelf {
    struct row *rows; /* in the order of their data types */
    size_t count, capacity;
};

static int compare(struct weir_slice one, struct weir_slice other)
{
    size_t least = one.bytes < other.bytes ? one.bytes : other.bytes;
    int order = least > 0 ? memcmp(one.data, other.data, least) : 0;
    return order != 0 ? order : (one.bytes > other.bytes) - (one.bytes < other.bytes);
}

static struct weir_slice type_of(const struct row *row)
{
    return weir_slice(row->data_type, row->type_bytes);
}

/* The first row that is not before the data type. */
static size_t place_of(const struct shelf *shelf, struct weir_slice type)
{
    size_t low = 0, high = shelf->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare(type_of(&shelf->rows[middle]), type) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool is_at(const struct shelf *shelf, size_t at, struct weir_slice type)
{
    return at < shelf->count && compare(type_of(&shelf->rows[at]), type) == 0;
}

static enum weir_err shelf_open(void *config, const struct weir_store_place *place, void **self_out,
                                int64_t *position_out, struct weir_error *error)
{
    struct shelf *shelf = weir_calloc(1, sizeof *shelf);
    (void)config;
    if (!shelf)
        return weir_error_set(error, WEIR_NOMEM, -1, "store %s: no memory", place->store);
    *self_out = shelf;
    *position_out = -1;
    return WEIR_OK;
}

static void shelf_close(void *self)
{
    struct shelf *shelf = self;
    weir_free(shelf->rows);
    weir_free(shelf);
}

static enum weir_err shelf_get(void *self, struct weir_slice key, struct weir_slice *value_out,
                               struct weir_error *error)
{
    const struct shelf *shelf = self;
    size_t at = place_of(shelf, key);
    (void)error;
    if (!is_at(shelf, at, key))
        return WEIR_NOT_FOUND;
    *value_out = weir_slice(shelf->rows[at].value, shelf->rows[at].value_bytes);
    return WEIR_OK;
}

static enum weir_err shelf_seek(void *self, struct weir_slice key, bool beyond, bool back,
                                struct weir_slice *key_out, struct weir_slice *value_out,
                                struct weir_error *error)
{
    const struct shelf *shelf = self;
    size_t at = key.data ? place_of(shelf, key) : back ? shelf->count : 0;
    (void)error;
    if (key.data && is_at(shelf, at, key) && (back ? !beyond : beyond))
        at++; /* back: `at` is the first that is too far */
    if (back ? at == 0 : at == shelf->count)
        return WEIR_END;
    const struct row *found = &shelf->rows[back ? at - 1 : at];
    *key_out = type_of(found);
    *value_out = weir_slice(found->value, found->value_bytes);
    return WEIR_OK;
}

static enum weir_err make_room(struct shelf *shelf, struct weir_error *error)
{
    if (shelf->count == MODELS_TYPES_MAX)
        return weir_error_set(error, WEIR_LIMIT, -1, "%s has %d data types already",
                              model_store_name, MODELS_TYPES_MAX);
    if (shelf->count < shelf->capacity)
        return WEIR_OK;
    size_t capacity = shelf->capacity ? 2 * shelf->capacity : 4;
    struct row *rows = weir_realloc_array(shelf->rows, capacity, sizeof *rows);
    if (!rows)
        return weir_error_set(error, WEIR_NOMEM, -1, "no memory for %s", model_store_name);
    shelf->rows = rows;
    shelf->capacity = capacity;
    return WEIR_OK;
}

static enum weir_err put(struct shelf *shelf, const struct weir_store_write *write,
                         struct weir_error *error)
{
    struct model_record record;
    size_t at = place_of(shelf, write->key);
    if (write->key.bytes > MODELS_NAME_BYTES_MAX)
        return weir_error_set(error, WEIR_CORRUPT, -1, "a key of %s has %zu bytes",
                              model_store_name, write->key.bytes);
    enum weir_err err = model_record_decode(write->value, &record, error);
    if (err == WEIR_OK && !is_at(shelf, at, write->key)) {
        err = make_room(shelf, error);
        if (err != WEIR_OK)
            return err;
        memmove(&shelf->rows[at + 1], &shelf->rows[at], (shelf->count - at) * sizeof *shelf->rows);
        shelf->count++;
    }
    if (err != WEIR_OK)
        return err;
    struct row *row = &shelf->rows[at];
    row->type_bytes = write->key.bytes;
    row->value_bytes = write->value.bytes;
    memcpy(row->data_type, write->key.data, write->key.bytes);
    memcpy(row->value, write->value.data, write->value.bytes);
    return WEIR_OK;
}

static void take_out(struct shelf *shelf, struct weir_slice key)
{
    size_t at = place_of(shelf, key);
    if (!is_at(shelf, at, key))
        return;
    shelf->count--;
    memmove(&shelf->rows[at], &shelf->rows[at + 1], (shelf->count - at) * sizeof *shelf->rows);
}

static enum weir_err shelf_write(void *self, const struct weir_store_write *writes, size_t count,
                                 int64_t position, struct weir_error *error)
{
    enum weir_err err = WEIR_OK;
    (void)position;
    for (size_t i = 0; i < count && err == WEIR_OK; i++) {
        if (writes[i].value.data)
            err = put(self, &writes[i], error);
        else
            take_out(self, writes[i].key);
    }
    return err;
}

static uint64_t shelf_count(void *self)
{
    const struct shelf *shelf = self;
    return shelf->count;
}

const struct weir_store_engine *model_shelf_engine(void)
{
    static const struct weir_store_engine engine = {.abi = WEIR_STORE_ENGINE_ABI,
                                                    .open = shelf_open,
                                                    .close = shelf_close,
                                                    .get = shelf_get,
                                                    .seek = shelf_seek,
                                                    .write = shelf_write,
                                                    .count = shelf_count};
    return &engine;
}
