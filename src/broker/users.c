/* broker/users.c - names and salted credentials in a file, see users.h. */
#include "broker/users.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/disk.h"
#include "base/errno_error.h"
#include "base/number.h"

enum { FILE_BYTES_MAX = 16 << 20 };

static const char magic[] = "weir-users 1";

/* ---- life ------------------------------------------------------------------------------------ */

enum weir_err users_new(struct users **out, struct weir_error *error)
{
    struct users *users = weir_calloc(1, sizeof *users);
    if (!users)
        return weir_error_set(error, WEIR_NOMEM, -1, "no memory for users");
    weir_map_init(&users->map, USERS_MAX);
    if (RAND_bytes(users->key, sizeof users->key) != 1) {
        users_free(users);
        return weir_error_set(error, WEIR_IO, -1, "the system has no random numbers for a key");
    }
    *out = users;
    return WEIR_OK;
}

static void free_user(struct user *user)
{
    if (user)
        OPENSSL_cleanse(user, sizeof *user);
    weir_free(user);
}

void users_free(struct users *users)
{
    if (!users)
        return;
    for (struct weir_map_entry *at = NULL; (at = weir_map_next(&users->map, at)) != NULL;)
        free_user(at->value.pointer);
    weir_map_release(&users->map);
    OPENSSL_cleanse(users, sizeof *users);
    weir_free(users);
}

struct user *users_find(const struct users *users, struct weir_slice name)
{
    return weir_map_get(&users->map, name);
}

bool users_remove(struct users *users, struct weir_slice name)
{
    union weir_map_value old;
    if (!weir_map_remove(&users->map, name, &old))
        return false;
    free_user(old.pointer);
    return true;
}

/* Takes the user. */
static enum weir_err keep(struct users *users, struct weir_slice name, struct user *user,
                          struct weir_error *error)
{
    users_remove(users, name);
    enum weir_err err = weir_map_put(&users->map, name, user);
    if (err == WEIR_OK)
        return err;
    free_user(user);
    return err == WEIR_LIMIT ? weir_error_set(error, err, -1, "over %d users", USERS_MAX)
                             : weir_error_set(error, err, -1, "no memory for a user");
}

static enum weir_err check_name(struct weir_slice name, struct weir_error *error)
{
    const uint8_t *at = name.data;
    if (!name.bytes || name.bytes > SCRAM_NAME_BYTES_MAX)
        return weir_error_set(error, WEIR_INVALID, -1, "a user's name has 1 to %d bytes",
                              SCRAM_NAME_BYTES_MAX);
    for (size_t i = 0; i < name.bytes; i++)
        if (at[i] < 0x20 || at[i] == 0x7f)
            return weir_error_set(error, WEIR_INVALID, -1,
                                  "a user's name has no control characters");
    return WEIR_OK;
}

static enum weir_err make_credential(enum scram_hash hash, struct weir_slice password,
                                     struct scram_credential *credential, struct weir_error *error)
{
    credential->iterations = SCRAM_ITERATIONS;
    credential->salt_bytes = SCRAM_SALT_BYTES;
    if (RAND_bytes(credential->salt, SCRAM_SALT_BYTES) != 1)
        return weir_error_set(error, WEIR_IO, -1, "the system has no random numbers for a salt");
    enum weir_err err = scram_derive(hash, password, credential);
    return err == WEIR_OK ? err : weir_error_set(error, err, -1, "no memory for a user");
}

enum weir_err users_put(struct users *users, struct weir_slice name, struct weir_slice password,
                        struct weir_error *error)
{
    enum weir_err err = check_name(name, error);
    if (err == WEIR_OK && (!password.bytes || password.bytes > USERS_PASSWORD_BYTES_MAX ||
                           memchr(password.data, '\0', password.bytes)))
        err =
            weir_error_set(error, WEIR_INVALID, -1, "a password has 1 to %d bytes, none of them 0",
                           USERS_PASSWORD_BYTES_MAX);
    if (err != WEIR_OK)
        return err;
    struct user *user = weir_calloc(1, sizeof *user);
    if (!user)
        return weir_error_set(error, WEIR_NOMEM, -1, "no memory for a user");
    for (int hash = 0; hash < SCRAM_HASHES && err == WEIR_OK; hash++)
        err = make_credential((enum scram_hash)hash, password, &user->credentials[hash], error);
    if (err == WEIR_OK)
        return keep(users, name, user, error);
    free_user(user);
    return err;
}

/* ---- passwords ------------------------------------------------------------------------------- */

static bool tag_of(const struct users *users, struct weir_slice data, uint8_t tag[32])
{
    return HMAC(EVP_sha256(), users->key, sizeof users->key, data.data, data.bytes, tag, NULL) !=
           NULL;
}

bool users_check_fast(const struct users *users, const struct user *user,
                      struct weir_slice password)
{
    uint8_t tag[32];
    return user && user->tagged && tag_of(users, password, tag) &&
           CRYPTO_memcmp(tag, user->tag, sizeof tag) == 0;
}

bool users_check_slow(struct users *users, struct user *user, struct weir_slice password)
{
    struct scram_credential stranger;
    users_stranger(users, weir_slice("", 0), SCRAM_SHA_256, &stranger);
    const struct scram_credential *credential =
        user ? &user->credentials[SCRAM_SHA_256] : &stranger;
    if (!scram_is_password(SCRAM_SHA_256, password, credential) || !user)
        return false;
    user->tagged = tag_of(users, password, user->tag);
    return true;
}

void users_stranger(const struct users *users, struct weir_slice name, enum scram_hash hash,
                    struct scram_credential *out)
{
    uint8_t salt[32] = {0};
    *out =
        (struct scram_credential){.iterations = SCRAM_ITERATIONS, .salt_bytes = SCRAM_SALT_BYTES};
    if (tag_of(users, name, salt)) {
        memcpy(out->salt, salt + hash * SCRAM_SALT_BYTES, SCRAM_SALT_BYTES);
        /* keys that nobody can have the password of */
        memcpy(out->stored_key, users->key, sizeof users->key);
        memcpy(out->server_key, users->key, sizeof users->key);
    }
}

/* ---- the file -------------------------------------------------------------------------------- */

/* Cuts the next field off a line. */
static struct weir_slice next_field(struct weir_slice *line)
{
    const char *at = line->data, *tab = memchr(at, '\t', line->bytes);
    size_t bytes = tab ? (size_t)(tab - at) : line->bytes;
    struct weir_slice field = weir_slice(at, bytes);
    *line = tab ? weir_slice(tab + 1, line->bytes - bytes - 1) : weir_slice(at + bytes, 0);
    return field;
}

static bool read_key(struct weir_slice *line, enum scram_hash hash, uint8_t *key)
{
    size_t bytes = 0;
    return scram_base64_read(next_field(line), key, SCRAM_KEY_BYTES_MAX, &bytes) == WEIR_OK &&
           bytes == scram_key_bytes(hash);
}

static bool read_credential(struct weir_slice *line, enum scram_hash hash,
                            struct scram_credential *credential)
{
    struct weir_slice name = next_field(line), count = next_field(line);
    int64_t iterations;
    size_t salt_bytes = 0;
    if (!weir_slice_equal(name, weir_slice(scram_name(hash), strlen(scram_name(hash)))) ||
        weir_parse_int64(count, &iterations) != WEIR_OK || iterations < SCRAM_ITERATIONS_MIN ||
        iterations > SCRAM_ITERATIONS_MAX ||
        scram_base64_read(next_field(line), credential->salt, SCRAM_SALT_BYTES_MAX, &salt_bytes) !=
            WEIR_OK ||
        salt_bytes < 8)
        return false;
    credential->iterations = (uint32_t)iterations;
    credential->salt_bytes = (uint32_t)salt_bytes;
    return read_key(line, hash, credential->stored_key) &&
           read_key(line, hash, credential->server_key);
}

static enum weir_err read_user(struct users *users, struct weir_slice line,
                               struct weir_error *error)
{
    struct weir_slice name = next_field(&line);
    enum weir_err err = check_name(name, error);
    if (err != WEIR_OK)
        return err;
    struct user *user = weir_calloc(1, sizeof *user);
    if (!user)
        return weir_error_set(error, WEIR_NOMEM, -1, "no memory for a user");
    bool good = true;
    for (int hash = 0; hash < SCRAM_HASHES && good; hash++)
        good = read_credential(&line, (enum scram_hash)hash, &user->credentials[hash]);
    if (good && !line.bytes)
        return keep(users, name, user, error);
    free_user(user);
    return weir_error_set(error, WEIR_CORRUPT, -1, "not a line of a user");
}

static enum weir_err read_lines(struct users *users, struct weir_slice text,
                                struct weir_error *error)
{
    const char *at = text.data, *end = at + text.bytes;
    enum weir_err err = WEIR_OK;
    for (int64_t number = 1; at < end && err == WEIR_OK; number++) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        if (!stop)
            return weir_error_set(error, WEIR_CORRUPT, number, "line %d is cut off", (int)number);
        struct weir_slice line = weir_slice(at, (size_t)(stop - at));
        if (number == 1)
            err = weir_slice_equal(line, weir_slice(magic, sizeof magic - 1))
                      ? WEIR_OK
                      : weir_error_set(error, WEIR_OTHER_VERSION, 1,
                                       "not a file of users (it begins with \"%s\")", magic);
        else
            err = read_user(users, line, error);
        if (err != WEIR_OK && number > 1)
            weir_error_context(error, "line %d", (int)number);
        at = stop + 1;
    }
    if (err == WEIR_OK && !text.bytes)
        err = weir_error_set(error, WEIR_OTHER_VERSION, 1, "not a file of users: it is empty");
    return err;
}

/* The keys in it are as good as passwords for one who wants to play the broker. */
static enum weir_err check_mode(const char *path, struct weir_error *error)
{
    struct stat status;
    if (stat(path, &status) != 0)
        return errno == ENOENT ? weir_error_set(error, WEIR_NOT_FOUND, -1,
                                                "%s: there is no such file; make it with "
                                                "weir users add NAME",
                                                path)
                               : weir_errno_set(error, errno, path, NULL);
    if (status.st_mode & 077)
        return weir_error_set(error, WEIR_DENIED, -1,
                              "%s: others may read or write it (mode %03o); run: chmod 600 %s",
                              path, (unsigned)(status.st_mode & 0777), path);
    return WEIR_OK;
}

enum weir_err users_load(const char *path, struct users **out, struct weir_error *error)
{
    struct weir_buffer text;
    struct users *users = NULL;
    weir_buffer_init(&text, FILE_BYTES_MAX);
    enum weir_err err = check_mode(path, error);
    if (err == WEIR_OK)
        err = weir_disk_read_file(NULL, path, &text, error);
    if (err == WEIR_OK)
        err = users_new(&users, error);
    if (err == WEIR_OK) {
        err = read_lines(users, weir_buffer_slice(&text), error);
        if (err != WEIR_OK)
            weir_error_context(error, "%s", path);
    }
    if (text.data)
        OPENSSL_cleanse(text.data, text.bytes);
    weir_buffer_release(&text);
    if (err == WEIR_OK)
        *out = users;
    else
        users_free(users);
    return err;
}

static enum weir_err put_base64(struct weir_buffer *text, const uint8_t *data, size_t bytes)
{
    enum weir_err err = weir_buffer_append_byte(text, '\t');
    return err == WEIR_OK ? scram_base64_put(data, bytes, text) : err;
}

static enum weir_err put_user(struct weir_buffer *text, const struct weir_map_entry *entry)
{
    const struct user *user = entry->value.pointer;
    enum weir_err err = weir_buffer_append(text, entry->key, entry->key_bytes);
    for (int hash = 0; hash < SCRAM_HASHES && err == WEIR_OK; hash++) {
        const struct scram_credential *at = &user->credentials[hash];
        size_t bytes = scram_key_bytes((enum scram_hash)hash);
        err = weir_buffer_appendf(text, "\t%s\t%u", scram_name((enum scram_hash)hash),
                                  at->iterations);
        if (err == WEIR_OK)
            err = put_base64(text, at->salt, at->salt_bytes);
        if (err == WEIR_OK)
            err = put_base64(text, at->stored_key, bytes);
        if (err == WEIR_OK)
            err = put_base64(text, at->server_key, bytes);
    }
    return err == WEIR_OK ? weir_buffer_append_byte(text, '\n') : err;
}

static enum weir_err replace(const char *path, struct weir_slice text, struct weir_error *error)
{
    char temporary[PATH_MAX], directory[PATH_MAX] = ".";
    const char *slash = strrchr(path, '/');
    int fd = -1;
    if (strlen(path) + sizeof ".tmp" > sizeof temporary)
        return weir_error_set(error, WEIR_INVALID, -1, "%.80s...: path is too long", path);
    snprintf(temporary, sizeof temporary, "%s.tmp", path);
    if (slash)
        snprintf(directory, sizeof directory, "%.*s", slash == path ? 1 : (int)(slash - path),
                 path);
    /* Made anew, so that it has our mode and nobody has it open. */
    if (unlink(temporary) != 0 && errno != ENOENT)
        return weir_errno_set(error, errno, temporary, NULL);
    enum weir_err err =
        weir_disk_open(NULL, temporary, O_WRONLY | O_CREAT | O_EXCL, 0600, &fd, error);
    if (err != WEIR_OK)
        return err;
    err = weir_disk_write(NULL, temporary, fd, text.data, text.bytes, 0, error);
    if (err == WEIR_OK)
        err = weir_disk_sync(NULL, temporary, fd, error);
    enum weir_err closed = weir_disk_close(NULL, temporary, fd, err == WEIR_OK ? error : NULL);
    if (err == WEIR_OK)
        err = closed;
    if (err == WEIR_OK)
        err = weir_disk_rename(NULL, temporary, path, error);
    if (err != WEIR_OK) {
        unlink(temporary);
        return err;
    }
    return weir_disk_sync_directory(NULL, directory, error);
}

enum weir_err users_save(const struct users *users, const char *path, struct weir_error *error)
{
    struct weir_buffer text;
    weir_buffer_init(&text, FILE_BYTES_MAX);
    enum weir_err err = weir_buffer_appendf(&text, "%s\n", magic);
    for (struct weir_map_entry *at = NULL;
         err == WEIR_OK && (at = weir_map_next(&users->map, at)) != NULL;)
        err = put_user(&text, at);
    if (err != WEIR_OK)
        weir_error_set(error, err, -1, "no memory for the file of users");
    else
        err = replace(path, weir_buffer_slice(&text), error);
    if (text.data)
        OPENSSL_cleanse(text.data, text.bytes);
    weir_buffer_release(&text);
    return err;
}
