/*
 * broker/tls.h - TLS between a socket and the bytes of a connection.
 *
 * What:    a context (certificate, key, whom to trust) and, for each connection, a session over a
 *          non-blocking socket that reads and writes like base/net.h does. TLS 1.2 and 1.3.
 * Life:    tls_context_new -> tls_new ... tls_free -> tls_context_free.
 * Threads: one.
 * Memory:  OpenSSL's own: some 20 KiB a session that is idle.
 * Errors:  context: NOT_FOUND, DENIED, INVALID, each with the file and OpenSSL's reason. read and
 *          write: as weir_net_read and weir_net_write.
 */
#ifndef BROKER_TLS_H
#define BROKER_TLS_H

#include <weir/base.h>

struct tls_context;
struct tls;

enum tls_client_auth { TLS_CLIENT_NONE, TLS_CLIENT_REQUESTED, TLS_CLIENT_REQUIRED };

/* All borrowed for the call. */
struct tls_options {
    const char *certificate_path;     /* PEM: our certificate, then those between it and the root */
    const char *key_path;             /* PEM; NULL: it is in the same file */
    const char *key_password;         /* NULL: the key is not encrypted */
    const char *trust_path;           /* PEM: whose certificates of clients are believed */
    enum tls_client_auth client_auth; /* other than NONE needs trust_path */
};

WEIR_MUST_USE enum weir_err tls_context_new(const struct tls_options *options,
                                            struct tls_context **out, struct weir_error *error);
void tls_context_free(struct tls_context *context); /* NULL is allowed */

/* The socket stays the caller's. NOMEM. */
WEIR_MUST_USE enum weir_err tls_new(struct tls_context *context, int fd, struct tls **out);
/* Says farewell if the session is well; never waits. NULL is allowed. */
void tls_free(struct tls *tls);

/* A step of the handshake: OK, AGAIN, or why it failed. */
WEIR_MUST_USE enum weir_err tls_handshake(struct tls *tls, struct weir_error *error);
/* After AGAIN: does it wait to write? Else it waits to read. */
bool tls_wants_write(const struct tls *tls);
/* Reads until there is no more or less than TLS_RECORD_BYTES_MAX of room; bytes must be that much
 * at least. What it leaves is still in the socket, never in the session. */
enum { TLS_RECORD_BYTES_MAX = 16 << 10 };
WEIR_MUST_USE enum weir_err tls_read(struct tls *tls, void *into, size_t bytes, size_t *count_out);
/* After AGAIN the same bytes must come again, at any address, perhaps with more behind them. */
WEIR_MUST_USE enum weir_err tls_write(struct tls *tls, const void *data, size_t bytes,
                                      size_t *count_out);

#endif
