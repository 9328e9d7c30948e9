/*
 * The persistent engine of weir/streams_store.h, on LMDB: one file a store.
 *
 *      <store>.mdb     database "data"    key -> value
 *                      database "meta"    "weir" -> format, position
 *
 * A commit is one transaction, so that data and position always fit together. Between commits a
 * read transaction stands open, from which get and seek hand out memory of the map itself. When the
 * map is full the transaction is given up, the map made larger, and all is written again.
 *
 * A stored key is a zero byte, as LMDB takes no empty keys, and the key. One that LMDB would find
 * too long is cut, with a digest behind; the whole key then stands in front of the value:
 *
 *      short    0 | key                            value
 *      long     0 | 494 bytes of it | digest       length | key | value         511 bytes, always
 *
 * An environment a store, not a task: stores need not fit together, as each follows its own
 * changelog, and an engine is the same to its task whether it is ours or a user's. Nobody else has
 * the file open: the state directory is locked by its instance.
 */
#include <errno.h>
#include <lmdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <weir/streams_store.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/digest.h"

enum {
    FORMAT = 1,
    PATH_BYTES_MAX = 4096,
    STORED_BYTES_MAX = 511, /* of a key, LMDB's own limit */
    DIGEST_BYTES = 16,
    CUT_BYTES = STORED_BYTES_MAX - DIGEST_BYTES - 1,
    SHORT_BYTES_MAX = STORED_BYTES_MAX - 2,
    FIRST_MAP_BYTES = 64 << 20,
};

#define MAP_BYTES_MAX ((size_t)1 << 42)

struct meta {
    uint32_t format, reserved;
    int64_t position;
};

struct lmdb_store {
    MDB_env *env;
    MDB_dbi data, meta;
    MDB_txn *reader;    /* stands open between commits */
    MDB_cursor *cursor; /* of it */
    bool is_placed;     /* the cursor stands at the entry that was given last */
    struct weir_buffer long_value;
    char path[PATH_BYTES_MAX];
};

/* ---- errors ---------------------------------------------------------------------------------- */

static enum weir_err code_of(int failure)
{
    switch (failure) {
    case MDB_CORRUPTED:
    case MDB_PANIC:
    case MDB_INVALID:
    case MDB_PAGE_NOTFOUND:
        return WEIR_CORRUPT;
    case MDB_VERSION_MISMATCH:
        return WEIR_OTHER_VERSION;
    case MDB_MAP_FULL:
        return WEIR_LIMIT;
    case ENOMEM:
        return WEIR_NOMEM;
    case EACCES:
    case EROFS:
        return WEIR_DENIED;
    default:
        return WEIR_IO;
    }
}

static enum weir_err fail(const struct lmdb_store *store, int failure, struct weir_error *error)
{
    return weir_error_set(error, code_of(failure), -1, "%s: %s", store->path,
                          mdb_strerror(failure));
}

/* ---- keys and values ------------------------------------------------------------------------- */

struct stored_key {
    size_t bytes;
    uint8_t data[STORED_BYTES_MAX];
};

static MDB_val stored_of(struct weir_slice key, struct stored_key *out)
{
    out->data[0] = 0;
    if (key.bytes <= SHORT_BYTES_MAX) {
        if (key.bytes > 0)
            memcpy(out->data + 1, key.data, key.bytes);
        out->bytes = 1 + key.bytes;
    } else {
        uint8_t digest[WEIR_SHA256_BYTES];
        weir_sha256(key.data, key.bytes, digest);
        memcpy(out->data + 1, key.data, CUT_BYTES);
        memcpy(out->data + 1 + CUT_BYTES, digest, DIGEST_BYTES);
        out->bytes = STORED_BYTES_MAX;
    }
    return (MDB_val){.mv_size = out->bytes, .mv_data = out->data};
}

/* What an entry says. False: it is none of ours. */
static bool take_apart(const MDB_val *key, const MDB_val *value, struct weir_slice *key_out,
                       struct weir_slice *value_out)
{
    const uint8_t *key_at = key->mv_data, *at = value->mv_data;
    uint32_t bytes;

    if (key->mv_size < STORED_BYTES_MAX) {
        *key_out = weir_slice(key_at + 1, key->mv_size - 1);
        *value_out = weir_slice(at, value->mv_size);
        return key->mv_size > 0;
    }
    if (value->mv_size < sizeof bytes)
        return false;
    memcpy(&bytes, at, sizeof bytes);
    if (bytes > value->mv_size - sizeof bytes)
        return false;
    *key_out = weir_slice(at + sizeof bytes, bytes);
    *value_out = weir_slice(at + sizeof bytes + bytes, value->mv_size - sizeof bytes - bytes);
    return true;
}

static enum weir_err damaged(const struct lmdb_store *store, struct weir_error *error)
{
    return weir_error_set(error, WEIR_CORRUPT, -1, "%s: an entry can't be read", store->path);
}

/* ---- reading --------------------------------------------------------------------------------- */

static void end_reader(struct lmdb_store *store)
{
    if (store->cursor != NULL)
        mdb_cursor_close(store->cursor);
    if (store->reader != NULL)
        mdb_txn_abort(store->reader);
    store->cursor = NULL;
    store->reader = NULL;
    store->is_placed = false;
}

static enum weir_err begin_reader(struct lmdb_store *store, struct weir_error *error)
{
    int failure = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &store->reader);

    if (failure == 0)
        failure = mdb_cursor_open(store->reader, store->data, &store->cursor);
    if (failure == 0)
        return WEIR_OK;
    end_reader(store);
    return fail(store, failure, error);
}

static enum weir_err lmdb_get(void *self, struct weir_slice key, struct weir_slice *value_out,
                              struct weir_error *error)
{
    struct lmdb_store *store = self;
    struct stored_key stored;
    struct weir_slice found_key;
    MDB_val at = stored_of(key, &stored), value;
    int failure = mdb_get(store->reader, store->data, &at, &value);

    if (failure == MDB_NOTFOUND)
        return WEIR_NOT_FOUND;
    if (failure != 0)
        return fail(store, failure, error);
    if (!take_apart(&at, &value, &found_key, value_out))
        return damaged(store, error);
    return weir_slice_equal(found_key, key) || key.bytes == 0 ? WEIR_OK : WEIR_NOT_FOUND;
}

/* Does the cursor stand at this key? */
static bool is_at(struct lmdb_store *store, const MDB_val *stored)
{
    MDB_val key, value;

    return store->is_placed && mdb_cursor_get(store->cursor, &key, &value, MDB_GET_CURRENT) == 0 &&
           key.mv_size == stored->mv_size && memcmp(key.mv_data, stored->mv_data, key.mv_size) == 0;
}

/* Moves the cursor; MDB_NOTFOUND: there is none. */
static int move(struct lmdb_store *store, struct weir_slice key, bool beyond, bool back,
                MDB_val *key_out, MDB_val *value_out)
{
    const MDB_cursor_op on = back ? MDB_PREV : MDB_NEXT, edge = back ? MDB_LAST : MDB_FIRST;
    struct stored_key stored;
    MDB_val wanted;

    if (key.data == NULL)
        return mdb_cursor_get(store->cursor, key_out, value_out, edge);
    wanted = stored_of(key, &stored);
    if (beyond && is_at(store, &wanted))
        return mdb_cursor_get(store->cursor, key_out, value_out, on);
    *key_out = wanted;
    int failure = mdb_cursor_get(store->cursor, key_out, value_out, MDB_SET_RANGE);
    if (failure == MDB_NOTFOUND && back)
        return mdb_cursor_get(store->cursor, key_out, value_out, MDB_LAST);
    if (failure != 0)
        return failure;
    bool same = key_out->mv_size == wanted.mv_size &&
                memcmp(key_out->mv_data, wanted.mv_data, wanted.mv_size) == 0;
    if (back ? !same || beyond : same && beyond)
        return mdb_cursor_get(store->cursor, key_out, value_out, on);
    return 0;
}

static enum weir_err lmdb_seek(void *self, struct weir_slice key, bool beyond, bool back,
                               struct weir_slice *key_out, struct weir_slice *value_out,
                               struct weir_error *error)
{
    struct lmdb_store *store = self;
    MDB_val found_key, found_value;
    int failure = move(store, key, beyond, back, &found_key, &found_value);

    store->is_placed = failure == 0;
    if (failure == MDB_NOTFOUND)
        return WEIR_END;
    if (failure != 0)
        return fail(store, failure, error);
    return take_apart(&found_key, &found_value, key_out, value_out) ? WEIR_OK
                                                                    : damaged(store, error);
}

static uint64_t lmdb_count(void *self)
{
    struct lmdb_store *store = self;
    MDB_stat stat;

    return mdb_stat(store->reader, store->data, &stat) == 0 ? stat.ms_entries : 0;
}

/* ---- writing --------------------------------------------------------------------------------- */

/* length | key | value, in a buffer of the store's. */
static bool long_value(struct lmdb_store *store, const struct weir_store_write *write, MDB_val *out)
{
    uint32_t bytes = (uint32_t)write->key.bytes;

    weir_buffer_clear(&store->long_value);
    if (weir_buffer_append(&store->long_value, &bytes, sizeof bytes) != WEIR_OK ||
        weir_buffer_append(&store->long_value, write->key.data, write->key.bytes) != WEIR_OK ||
        weir_buffer_append(&store->long_value, write->value.data, write->value.bytes) != WEIR_OK)
        return false;
    *out = (MDB_val){store->long_value.bytes, store->long_value.data};
    return true;
}

static int write_one(struct lmdb_store *store, MDB_txn *txn, const struct weir_store_write *write)
{
    struct stored_key stored;
    MDB_val key = stored_of(write->key, &stored);
    MDB_val value = {write->value.bytes, (void *)(uintptr_t)write->value.data};

    if (write->value.data == NULL) {
        int failure = mdb_del(txn, store->data, &key, NULL);
        return failure == MDB_NOTFOUND ? 0 : failure;
    }
    if (stored.bytes == STORED_BYTES_MAX && !long_value(store, write, &value))
        return ENOMEM;
    return mdb_put(txn, store->data, &key, &value, 0);
}

static int write_all(struct lmdb_store *store, const struct weir_store_write *writes, size_t count,
                     int64_t position)
{
    struct meta meta = {.format = FORMAT, .position = position};
    MDB_val key = {4, (void *)(uintptr_t) "weir"}, value = {sizeof meta, &meta};
    MDB_txn *txn;
    int failure = mdb_txn_begin(store->env, NULL, 0, &txn);

    if (failure != 0)
        return failure;
    for (size_t i = 0; failure == 0 && i < count; i++)
        failure = write_one(store, txn, &writes[i]);
    if (failure == 0)
        failure = mdb_put(txn, store->meta, &key, &value, 0);
    if (failure == 0)
        return mdb_txn_commit(txn);
    mdb_txn_abort(txn);
    return failure;
}

static int grow_map(struct lmdb_store *store)
{
    MDB_envinfo info;

    mdb_env_info(store->env, &info);
    return info.me_mapsize >= MAP_BYTES_MAX ? MDB_MAP_FULL
                                            : mdb_env_set_mapsize(store->env, 2 * info.me_mapsize);
}

static enum weir_err lmdb_write(void *self, const struct weir_store_write *writes, size_t count,
                                int64_t position, struct weir_error *error)
{
    struct lmdb_store *store = self;
    int failure;

    end_reader(store); /* else its pages could not be used again, nor the map grow */
    while ((failure = write_all(store, writes, count, position)) == MDB_MAP_FULL &&
           (failure = grow_map(store)) == 0) {
    }
    return failure == 0 ? begin_reader(store, error) : fail(store, failure, error);
}

/* ---- life ------------------------------------------------------------------------------------ */

static void lmdb_close(void *self)
{
    struct lmdb_store *store = self;

    end_reader(store);
    if (store->env != NULL)
        mdb_env_close(store->env);
    weir_buffer_release(&store->long_value);
    weir_free(store);
}

/* A file that was cut off would end the process when the missing part of the map is touched. */
static enum weir_err check_length(struct lmdb_store *store, struct weir_error *error)
{
    MDB_envinfo info;
    MDB_stat stat;
    struct stat file;
    int fd;

    mdb_env_info(store->env, &info);
    mdb_env_stat(store->env, &stat);
    if (mdb_env_get_fd(store->env, &fd) != 0 || fstat(fd, &file) != 0)
        return weir_error_set(error, WEIR_IO, -1, "%s: its size is not known", store->path);
    if ((uint64_t)file.st_size < (uint64_t)(info.me_last_pgno + 1) * stat.ms_psize)
        return weir_error_set(error, WEIR_CORRUPT, -1, "%s: it is cut off", store->path);
    return WEIR_OK;
}

static enum weir_err read_meta(struct lmdb_store *store, MDB_txn *txn, int64_t *position_out,
                               struct weir_error *error)
{
    MDB_val key = {4, (void *)(uintptr_t) "weir"}, value;
    struct meta meta;
    int failure = mdb_get(txn, store->meta, &key, &value);

    *position_out = -1;
    if (failure == MDB_NOTFOUND)
        return WEIR_OK;
    if (failure != 0)
        return fail(store, failure, error);
    if (value.mv_size != sizeof meta)
        return damaged(store, error);
    memcpy(&meta, value.mv_data, sizeof meta);
    if (meta.format != FORMAT)
        return weir_error_set(error, WEIR_OTHER_VERSION, -1, "%s: format %u, this one knows %d",
                              store->path, (unsigned)meta.format, FORMAT);
    *position_out = meta.position;
    return WEIR_OK;
}

static enum weir_err open_env(struct lmdb_store *store, int64_t *position_out,
                              struct weir_error *error)
{
    const unsigned flags = MDB_NOSUBDIR | MDB_NOTLS | MDB_NOLOCK | MDB_NOMETASYNC;
    MDB_txn *txn;
    int failure = mdb_env_create(&store->env);

    if (failure == 0)
        failure = mdb_env_set_maxdbs(store->env, 2);
    if (failure == 0)
        failure = mdb_env_set_mapsize(store->env, FIRST_MAP_BYTES);
    if (failure == 0)
        failure = mdb_env_open(store->env, store->path, flags, 0644);
    if (failure != 0)
        return fail(store, failure, error);
    enum weir_err err = check_length(store, error);
    if (err != WEIR_OK)
        return err;
    failure = mdb_txn_begin(store->env, NULL, 0, &txn);
    if (failure != 0)
        return fail(store, failure, error);
    failure = mdb_dbi_open(txn, "data", MDB_CREATE, &store->data);
    if (failure == 0)
        failure = mdb_dbi_open(txn, "meta", MDB_CREATE, &store->meta);
    err = failure == 0 ? read_meta(store, txn, position_out, error) : fail(store, failure, error);
    if (err != WEIR_OK) {
        mdb_txn_abort(txn);
        return err;
    }
    failure = mdb_txn_commit(txn);
    return failure == 0 ? begin_reader(store, error) : fail(store, failure, error);
}

static enum weir_err path_of(const struct weir_store_place *place, char path[PATH_BYTES_MAX],
                             struct weir_error *error)
{
    if (place->directory == NULL)
        return weir_error_set(error, WEIR_INVALID, -1,
                              "store %s is persistent: set state.dir, where it can lie",
                              place->store);
    int bytes = snprintf(path, PATH_BYTES_MAX, "%s/%s.mdb", place->directory, place->store);
    return bytes < PATH_BYTES_MAX ? WEIR_OK
                                  : weir_error_set(error, WEIR_LIMIT, -1,
                                                   "store %s: the path is too long", place->store);
}

static enum weir_err lmdb_open(void *config, const struct weir_store_place *place, void **self_out,
                               int64_t *position_out, struct weir_error *error)
{
    struct lmdb_store *store = weir_calloc(1, sizeof *store);

    (void)config;
    if (store == NULL)
        return weir_error_set(error, WEIR_NOMEM, -1, "store %s: no memory", place->store);
    weir_buffer_init(&store->long_value,
                     WEIR_STORE_KEY_BYTES_MAX + WEIR_STORE_VALUE_BYTES_MAX + 64);
    enum weir_err err = path_of(place, store->path, error);
    if (err == WEIR_OK)
        err = open_env(store, position_out, error);
    if (err != WEIR_OK) {
        lmdb_close(store);
        return err;
    }
    *self_out = store;
    return WEIR_OK;
}

static enum weir_err lmdb_destroy(void *config, const struct weir_store_place *place,
                                  struct weir_error *error)
{
    char path[PATH_BYTES_MAX];
    enum weir_err err = path_of(place, path, error);

    (void)config;
    if (err == WEIR_OK && unlink(path) != 0 && errno != ENOENT)
        err = weir_error_set(error, WEIR_IO, -1, "%s: can't be removed: %s", path,
                             mdb_strerror(errno));
    return err;
}

const struct weir_store_engine *weir_store_persistent(void)
{
    static const struct weir_store_engine engine = {
        .abi = WEIR_STORE_ENGINE_ABI,
        .persistent = true,
        .open = lmdb_open,
        .close = lmdb_close,
        .destroy = lmdb_destroy,
        .get = lmdb_get,
        .seek = lmdb_seek,
        .write = lmdb_write,
        .count = lmdb_count,
    };

    return &engine;
}
