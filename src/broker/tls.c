/* broker/tls.c - TLS by OpenSSL over our own socket calls, see tls.h. */
#include "broker/tls.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/errno_error.h"
#include "base/net.h"

struct tls_context {
    SSL_CTX *ssl;
    BIO_METHOD *method;
};

struct tls {
    SSL *ssl;
    int fd;
    bool wants_write;
    bool broken; /* no farewell */
};

/* ---- the socket ------------------------------------------------------------------------------
 *
 * OpenSSL's own socket BIO raises SIGPIPE, which a library may not do to its program. */

static int socket_write(BIO *bio, const char *data, int bytes)
{
    const struct tls *tls = BIO_get_data(bio);
    size_t count = 0;
    BIO_clear_retry_flags(bio);
    enum weir_err err = weir_net_write(tls->fd, data, (size_t)bytes, &count, NULL);
    if (err == WEIR_AGAIN)
        BIO_set_retry_write(bio);
    return err == WEIR_OK ? (int)count : -1;
}

static int socket_read(BIO *bio, char *into, int bytes)
{
    const struct tls *tls = BIO_get_data(bio);
    size_t count = 0;
    BIO_clear_retry_flags(bio);
    enum weir_err err = weir_net_read(tls->fd, into, (size_t)bytes, &count, NULL);
    if (err == WEIR_AGAIN)
        BIO_set_retry_read(bio);
    return err == WEIR_OK ? (int)count : err == WEIR_END ? 0 : -1;
}

static long socket_control(BIO *bio, int command, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH;
}

static BIO_METHOD *make_method(void)
{
    BIO_METHOD *method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "weir socket");
    if (method) {
        BIO_meth_set_write(method, socket_write);
        BIO_meth_set_read(method, socket_read);
        BIO_meth_set_ctrl(method, socket_control);
    }
    return method;
}

/* ---- the context ----------------------------------------------------------------------------- */

/* OpenSSL's reason for the last failure; the queue is empty afterwards. */
static const char *reason(void)
{
    const char *text = ERR_reason_error_string(ERR_peek_last_error());
    ERR_clear_error();
    return text ? text : "no reason given";
}

static int give_password(char *into, int bytes, int writing, void *password)
{
    size_t count = password ? strlen(password) : 0;
    (void)writing;
    if (count > (size_t)bytes)
        return -1;
    if (count)
        memcpy(into, password, count);
    return (int)count; /* 0: never ask at the terminal */
}

static enum weir_err check_readable(const char *path, const char *setting, struct weir_error *error)
{
    if (access(path, R_OK) == 0)
        return WEIR_OK;
    return weir_errno_set(error, errno, setting, path);
}

static enum weir_err load_key(SSL_CTX *ssl, const struct tls_options *options,
                              struct weir_error *error)
{
    const char *path = options->certificate_path;
    const char *key = options->key_path ? options->key_path : path;
    union { /* OpenSSL hands it through to give_password, which only reads it */
        const char *given;
        void *wanted;
    } password = {.given = options->key_password};
    enum weir_err err = check_readable(path, "ssl.keystore.location", error);
    if (err == WEIR_OK)
        err = check_readable(key, "the private key", error);
    if (err != WEIR_OK)
        return err;
    SSL_CTX_set_default_passwd_cb(ssl, give_password);
    SSL_CTX_set_default_passwd_cb_userdata(ssl, password.wanted);
    if (SSL_CTX_use_certificate_chain_file(ssl, path) != 1)
        return weir_error_set(error, WEIR_INVALID, -1,
                              "ssl.keystore.location: %s holds no certificate in PEM form (%s)",
                              path, reason());
    if (SSL_CTX_use_PrivateKey_file(ssl, key, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(ssl) != 1)
        return weir_error_set(error, WEIR_INVALID, -1,
                              "%s: no private key in PEM form that fits the certificate%s (%s)",
                              key, options->key_password ? " and ssl.key.password" : "", reason());
    return WEIR_OK;
}

static enum weir_err load_trust(SSL_CTX *ssl, const struct tls_options *options,
                                struct weir_error *error)
{
    int mode = SSL_VERIFY_PEER;
    if (options->client_auth == TLS_CLIENT_NONE)
        return WEIR_OK;
    if (!options->trust_path)
        return weir_error_set(error, WEIR_INVALID, -1,
                              "ssl.client.auth: ssl.truststore.location must name the file of the "
                              "certificate authorities whose clients are let in");
    enum weir_err err = check_readable(options->trust_path, "ssl.truststore.location", error);
    if (err != WEIR_OK)
        return err;
    STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(options->trust_path);
    if (!names || SSL_CTX_load_verify_file(ssl, options->trust_path) != 1) {
        sk_X509_NAME_pop_free(names, X509_NAME_free);
        return weir_error_set(error, WEIR_INVALID, -1,
                              "ssl.truststore.location: %s holds no certificate in PEM form (%s)",
                              options->trust_path, reason());
    }
    SSL_CTX_set_client_CA_list(ssl, names);
    if (options->client_auth == TLS_CLIENT_REQUIRED)
        mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    SSL_CTX_set_verify(ssl, mode, NULL);
    return WEIR_OK;
}

enum weir_err tls_context_new(const struct tls_options *options, struct tls_context **out,
                              struct weir_error *error)
{
    struct tls_context *context = weir_calloc(1, sizeof *context);
    if (!context)
        return weir_error_set(error, WEIR_NOMEM, -1, "no memory for TLS");
    context->ssl = SSL_CTX_new(TLS_server_method());
    context->method = make_method();
    enum weir_err err = WEIR_OK;
    if (!context->ssl || !context->method ||
        SSL_CTX_set_min_proto_version(context->ssl, TLS1_2_VERSION) != 1)
        err = weir_error_set(error, WEIR_NOMEM, -1, "no memory for TLS (%s)", reason());
    if (err == WEIR_OK) {
        /* Sessions are not resumed: clients of Kafka keep their connections, and nothing need be
         * kept for those that are gone. */
        SSL_CTX_set_session_cache_mode(context->ssl, SSL_SESS_CACHE_OFF);
        SSL_CTX_set_num_tickets(context->ssl, 0);
        SSL_CTX_set_options(context->ssl, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION |
                                              SSL_OP_NO_COMPRESSION |
                                              SSL_OP_CIPHER_SERVER_PREFERENCE);
        SSL_CTX_set_mode(context->ssl, SSL_MODE_ENABLE_PARTIAL_WRITE |
                                           SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                           SSL_MODE_RELEASE_BUFFERS);
        err = load_key(context->ssl, options, error);
    }
    if (err == WEIR_OK)
        err = load_trust(context->ssl, options, error);
    if (context->ssl) /* the password is the caller's */
        SSL_CTX_set_default_passwd_cb_userdata(context->ssl, NULL);
    if (err == WEIR_OK)
        *out = context;
    else
        tls_context_free(context);
    return err;
}

void tls_context_free(struct tls_context *context)
{
    if (!context)
        return;
    SSL_CTX_free(context->ssl);
    BIO_meth_free(context->method);
    weir_free(context);
}

/* ---- a session ------------------------------------------------------------------------------- */

enum weir_err tls_new(struct tls_context *context, int fd, struct tls **out)
{
    struct tls *tls = weir_calloc(1, sizeof *tls);
    if (!tls)
        return WEIR_NOMEM;
    BIO *bio = BIO_new(context->method);
    tls->ssl = bio ? SSL_new(context->ssl) : NULL;
    tls->fd = fd;
    if (!tls->ssl) {
        BIO_free(bio);
        weir_free(tls);
        ERR_clear_error();
        return WEIR_NOMEM;
    }
    BIO_set_data(bio, tls);
    BIO_set_init(bio, 1);
    SSL_set_bio(tls->ssl, bio, bio);
    SSL_set_accept_state(tls->ssl);
    *out = tls;
    return WEIR_OK;
}

void tls_free(struct tls *tls)
{
    if (!tls)
        return;
    if (!tls->broken && SSL_is_init_finished(tls->ssl))
        SSL_shutdown(tls->ssl);
    SSL_free(tls->ssl);
    weir_free(tls);
    ERR_clear_error();
}

/* What a call that gave `done` <= 0 means. */
static enum weir_err meaning(struct tls *tls, int done)
{
    int code = SSL_get_error(tls->ssl, done);
    tls->wants_write = code == SSL_ERROR_WANT_WRITE;
    if (code == SSL_ERROR_WANT_READ || code == SSL_ERROR_WANT_WRITE)
        return WEIR_AGAIN;
    if (code == SSL_ERROR_ZERO_RETURN)
        return WEIR_END;
    tls->broken = true;
    return code == SSL_ERROR_SYSCALL ? WEIR_CLOSED : WEIR_IO;
}

enum weir_err tls_handshake(struct tls *tls, struct weir_error *error)
{
    ERR_clear_error();
    int done = SSL_do_handshake(tls->ssl);
    if (done == 1) {
        tls->wants_write = false;
        return WEIR_OK;
    }
    enum weir_err err = meaning(tls, done);
    if (err == WEIR_AGAIN)
        return err;
    return weir_error_set(error, err, -1, "%s",
                          ERR_peek_last_error() ? reason() : "the client has gone");
}

bool tls_wants_write(const struct tls *tls)
{
    return tls->wants_write;
}

enum weir_err tls_read(struct tls *tls, void *into, size_t bytes, size_t *count_out)
{
    char *at = into;
    size_t total = 0;
    enum weir_err err = WEIR_OK;
    weir_assert(bytes >= TLS_RECORD_BYTES_MAX);
    tls->wants_write = false;
    while (bytes - total >= TLS_RECORD_BYTES_MAX && err == WEIR_OK) {
        size_t count = 0;
        ERR_clear_error();
        int done = SSL_read_ex(tls->ssl, at + total, bytes - total, &count);
        if (done != 1)
            err = meaning(tls, done);
        total += count;
    }
    *count_out = total;
    ERR_clear_error();
    return total ? WEIR_OK : err;
}

enum weir_err tls_write(struct tls *tls, const void *data, size_t bytes, size_t *count_out)
{
    ERR_clear_error();
    int done = SSL_write_ex(tls->ssl, data, bytes, count_out);
    enum weir_err err = done == 1 ? WEIR_OK : meaning(tls, done);
    tls->wants_write = false; /* whoever writes waits for that anyhow */
    ERR_clear_error();
    return err == WEIR_END ? WEIR_CLOSED : err;
}
