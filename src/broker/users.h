/*
 * broker/users.h - the users of a broker: names and what is kept of their passwords.
 *
 * What:    a file of salted SCRAM credentials, one line a user; docs/formats/users.md. It holds no
 *          password and nothing from which one could be read off.
 * Life:    users_new or users_load -> put, remove, find -> users_save -> users_free.
 * Threads: one at a time.
 * Memory:  a user is some 500 bytes; USERS_MAX of them.
 * Errors:  load: NOT_FOUND, DENIED (others than its owner may read or write it), CORRUPT,
 *          OTHER_VERSION, IO. Messages name the file, the line and what to do.
 */
#ifndef BROKER_USERS_H
#define BROKER_USERS_H

#include "base/map.h"
#include "broker/scram.h"

enum { USERS_MAX = 10000, USERS_PASSWORD_BYTES_MAX = 1024 };

struct user {
    struct scram_credential credentials[SCRAM_HASHES];
    bool tagged;     /* the password was seen and found right: */
    uint8_t tag[32]; /* its HMAC under the key of `users`, so that the next look is fast */
};

struct users {
    struct weir_map map; /* name -> struct user * */
    uint8_t key[32];     /* random; of this process alone */
};

WEIR_MUST_USE enum weir_err users_new(struct users **out, struct weir_error *error);
WEIR_MUST_USE enum weir_err users_load(const char *path, struct users **out,
                                       struct weir_error *error);
/* Replaces the file; only its owner can read it. */
WEIR_MUST_USE enum weir_err users_save(const struct users *users, const char *path,
                                       struct weir_error *error);
void users_free(struct users *users); /* NULL is allowed */

/* NULL: no such user. */
struct user *users_find(const struct users *users, struct weir_slice name);
/* Adds a user or gives one a new password, under fresh salts. INVALID: a name or password that
 * can't be used. */
WEIR_MUST_USE enum weir_err users_put(struct users *users, struct weir_slice name,
                                      struct weir_slice password, struct weir_error *error);
/* False: no such user. */
bool users_remove(struct users *users, struct weir_slice name);

/* Is it the password that users_check_slow has found right before? user may be NULL. */
bool users_check_fast(const struct users *users, const struct user *user,
                      struct weir_slice password);
/* The slow derivation (some ms). user NULL takes as long and says no. */
bool users_check_slow(struct users *users, struct user *user, struct weir_slice password);
/* What a user who does not exist is challenged with: the same salt each time, so that asking does
 * not tell who exists. */
void users_stranger(const struct users *users, struct weir_slice name, enum scram_hash hash,
                    struct scram_credential *out);

#endif
