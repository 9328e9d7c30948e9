/*
 * broker/scram.h - SCRAM-SHA-256 and SCRAM-SHA-512, the server's side.
 *
 * What:    salted credentials, and the exchange of messages that proves that a client knows the
 *          password without sending it.
 *
 *            client                                server
 *            n,,n=NAME,r=C             ->          scram_read_first
 *                                      <-          r=CS,s=SALT,i=COUNT      scram_challenge
 *            c=biws,r=CS,p=PROOF       ->          scram_finish
 *                                      <-          v=SIGNATURE
 *
 * Life:    scram_exchange_init -> read_first -> challenge -> finish -> scram_exchange_release.
 * Threads: none of its own.
 * Memory:  an exchange keeps its messages, SCRAM_EXCHANGE_BYTES_MAX at most.
 * Errors:  PARSE (not such a message), DENIED (wrong proof), UNSUPPORTED, NOMEM, LIMIT. Messages
 *          hold nothing that a client has sent.
 *
 * Sources: RFC 5802, RFC 7677. As in Kafka there is no SASLprep: names and passwords are taken as
 * the bytes of their UTF-8. Channel binding is not offered.
 */
#ifndef BROKER_SCRAM_H
#define BROKER_SCRAM_H

#include <weir/base.h>

#include "base/buffer.h"

enum scram_hash { SCRAM_SHA_256, SCRAM_SHA_512, SCRAM_HASHES };

enum {
    SCRAM_KEY_BYTES_MAX = 64,
    SCRAM_SALT_BYTES = 16, /* of ours */
    SCRAM_SALT_BYTES_MAX = 64,
    SCRAM_ITERATIONS_MIN = 4096, /* Kafka's clients accept this range only */
    SCRAM_ITERATIONS = 10000,
    SCRAM_ITERATIONS_MAX = 16384,
    SCRAM_NAME_BYTES_MAX = 255,
    SCRAM_NONCE_BYTES_MAX = 256, /* each side's */
    SCRAM_MESSAGE_BYTES_MAX = 1024,
    SCRAM_EXCHANGE_BYTES_MAX = 4 * SCRAM_MESSAGE_BYTES_MAX,
};

/* What is kept of a password. */
struct scram_credential {
    uint32_t iterations;
    uint32_t salt_bytes;
    uint8_t salt[SCRAM_SALT_BYTES_MAX];
    uint8_t stored_key[SCRAM_KEY_BYTES_MAX];
    uint8_t server_key[SCRAM_KEY_BYTES_MAX];
};

/* 32 or 64. */
size_t scram_key_bytes(enum scram_hash hash);
/* "SCRAM-SHA-256". Static. */
const char *scram_name(enum scram_hash hash);
/* Makes the keys of a password; iterations and salt are the credential's and set before. */
WEIR_MUST_USE enum weir_err scram_derive(enum scram_hash hash, struct weir_slice password,
                                         struct scram_credential *credential);
/* Is it the password of this credential? In a time that does not depend on where they differ. */
bool scram_is_password(enum scram_hash hash, struct weir_slice password,
                       const struct scram_credential *credential);

struct scram_exchange {
    enum scram_hash hash;
    struct weir_buffer messages;             /* "AuthMessage": what the proof is about */
    uint8_t header[SCRAM_MESSAGE_BYTES_MAX]; /* of the first message: must come again in the last */
    size_t header_bytes;
    char nonce[2 * SCRAM_NONCE_BYTES_MAX + 1]; /* the client's, then ours behind it */
    char name[SCRAM_NAME_BYTES_MAX + 1];
    size_t name_bytes;
    struct scram_credential credential;
};

void scram_exchange_init(struct scram_exchange *exchange, enum scram_hash hash);
void scram_exchange_release(struct scram_exchange *exchange);
/* Reads the client's first message; then name and name_bytes are set. */
WEIR_MUST_USE enum weir_err scram_read_first(struct scram_exchange *exchange,
                                             struct weir_slice message, struct weir_error *error);
/* Appends our answer. nonce: printable characters without a comma. */
WEIR_MUST_USE enum weir_err scram_challenge(struct scram_exchange *exchange,
                                            const struct scram_credential *credential,
                                            const char *nonce, struct weir_buffer *into);
/* Reads the client's final message and appends our signature. DENIED: the proof is wrong. */
WEIR_MUST_USE enum weir_err scram_finish(struct scram_exchange *exchange, struct weir_slice message,
                                         struct weir_buffer *into, struct weir_error *error);

/* Base64 (RFC 4648, section 4) without line ends. Decoding is strict: PARSE for anything else. */
WEIR_MUST_USE enum weir_err scram_base64_put(const void *data, size_t bytes,
                                             struct weir_buffer *into);
WEIR_MUST_USE enum weir_err scram_base64_read(struct weir_slice text, uint8_t *into,
                                              size_t bytes_max, size_t *bytes_out);

#endif
