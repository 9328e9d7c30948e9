/* SASL spoken by hand, on a virtual clock: order, refusals and their delay, limits before anybody
 * is known. */
#include "certificates.h"
#include "raw.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"

struct secure {
    struct raw raw;
    char users[128], server[128];
};

static void secure_start(struct secure *secure, const char *listen)
{
    struct users *users;
    raw_init(&secure->raw);
    snprintf(secure->users, sizeof secure->users, "%s/users", secure->raw.place.dir);
    snprintf(secure->server, sizeof secure->server, "%s/server.pem", secure->raw.place.dir);
    certificates_make(secure->raw.place.dir);
    assert_int_equal(users_new(&users, NULL), WEIR_OK);
    assert_int_equal(users_put(users, weir_slice("u", 1), weir_slice("pw", 2), NULL), WEIR_OK);
    assert_int_equal(users_save(users, secure->users, NULL), WEIR_OK);
    users_free(users);
    secure->raw.place.options.listen = listen;
    secure->raw.place.options.insecure = true; /* PLAIN, which is short, without TLS */
    secure->raw.place.options.users_path = secure->users;
    secure->raw.place.options.tls.certificate_path = secure->server;
    raw_start(&secure->raw);
}

static uint64_t failures(const struct secure *secure)
{
    return atomic_load(&secure->raw.broker->stats.authentication_failures);
}

/* Gives the error of the answer. */
static int handshake(struct secure *secure, int fd, int16_t version, const char *mechanism)
{
    struct call call;
    call_begin(&call, fd, WIRE_SASL_HANDSHAKE, version);
    wire_put_text(&call.writer, mechanism);
    call_now(&secure->raw, &call);
    int error = wire_i16(&call.reader);
    int32_t count = wire_array(&call.reader, 2);
    assert_int_equal(count, error == WIRE_ILLEGAL_SASL_STATE ? 0 : 3);
    for (int32_t i = 0; i < count; i++)
        assert_non_null(wire_string(&call.reader).data);
    assert_false(call.reader.failed);
    call_end(&call);
    return error;
}

static void send_token(struct secure *secure, struct call *call, int fd, int16_t version,
                       const char *token, size_t bytes)
{
    call_begin(call, fd, WIRE_SASL_AUTHENTICATE, version);
    wire_put_bytes(&call->writer, weir_slice(token, bytes));
    wire_put_tags(&call->writer);
    call_send(&secure->raw, call);
}

/* The error of an answer that has come; its other fields are looked at. */
static int read_verdict(struct call *call, const char *words)
{
    int error = wire_i16(&call->reader);
    struct weir_slice message = wire_string(&call->reader);
    assert_int_equal(message.data != NULL, error != 0);
    if (words && !memmem(message.data, message.bytes, words, strlen(words)))
        fail_msg("\"%.*s\" does not say \"%s\"", (int)message.bytes, (const char *)message.data,
                 words);
    assert_int_equal(wire_bytes(&call->reader).bytes, 0);
    if (call->version >= 1)
        assert_int_equal(wire_i64(&call->reader), 0); /* the session does not end */
    wire_tags(&call->reader);
    assert_false(call->reader.failed);
    assert_true(call->reader.at == call->reader.end);
    return error;
}

static bool metadata_is_answered(struct secure *secure, int fd)
{
    struct call call;
    call_begin(&call, fd, WIRE_METADATA, 1);
    wire_put_array(&call.writer, 0);
    call_send(&secure->raw, &call);
    bool answered = call_answered(&secure->raw, &call);
    call_end(&call);
    return answered;
}

#define RIGHT "\0u\0pw"
#define WRONG "\0u\0pW"

static void every_version_lets_the_right_one_in(void **state)
{
    struct secure secure;
    (void)state;
    secure_start(&secure, "SASL_PLAINTEXT://127.0.0.1:0");
    for (int16_t version = 0; version <= 2; version++) {
        struct call call;
        int fd = raw_connect(&secure.raw);
        assert_int_equal(handshake(&secure, fd, 1, "PLAIN"), 0);
        send_token(&secure, &call, fd, version, RIGHT, 5);
        assert_true(call_answered(&secure.raw, &call));
        assert_int_equal(read_verdict(&call, NULL), 0);
        call_end(&call);
        assert_true(metadata_is_answered(&secure, fd));
        /* Once in, asking again is an error that costs nothing. */
        assert_int_equal(handshake(&secure, fd, 1, "PLAIN"), WIRE_ILLEGAL_SASL_STATE);
        send_token(&secure, &call, fd, version, RIGHT, 5);
        assert_true(call_answered(&secure.raw, &call));
        assert_int_equal(read_verdict(&call, "nobody asks"), WIRE_ILLEGAL_SASL_STATE);
        call_end(&call);
        assert_true(metadata_is_answered(&secure, fd));
        raw_close(&secure.raw, fd);
    }
    assert_int_equal(atomic_load(&secure.raw.broker->stats.authentications), 3);
    raw_release(&secure.raw);
}

static void tokens_may_come_without_a_head(void **state)
{
    struct secure secure;
    char answer[4];
    (void)state;
    secure_start(&secure, "SASL_PLAINTEXT://127.0.0.1:0");
    int fd = raw_connect(&secure.raw);
    assert_int_equal(handshake(&secure, fd, 0, "PLAIN"), 0);
    raw_send(&secure.raw, fd, "\0\0\0\5" RIGHT, 9);
    assert_int_equal(recv(fd, answer, sizeof answer, 0), 4);
    assert_memory_equal(answer, "\0\0\0\0", 4);
    assert_true(metadata_is_answered(&secure, fd));
    raw_close(&secure.raw, fd);

    raw_pass(&secure.raw, 1000);
    fd = raw_connect(&secure.raw); /* no words for a refusal: it is closed, late */
    assert_int_equal(handshake(&secure, fd, 0, "PLAIN"), 0);
    raw_send(&secure.raw, fd, "\0\0\0\5" WRONG, 9);
    assert_false(raw_is_closed(&secure.raw, fd));
    raw_pass(&secure.raw, 100);
    assert_true(raw_is_closed(&secure.raw, fd));
    raw_close(&secure.raw, fd);

    fd = raw_connect(&secure.raw);
    assert_int_equal(handshake(&secure, fd, 0, "SCRAM-SHA-256"), 0);
    raw_send(&secure.raw, fd, "\0\0\0\0", 4);
    raw_pass(&secure.raw, 100);
    assert_true(raw_is_closed(&secure.raw, fd));
    raw_close(&secure.raw, fd);
    assert_int_equal(failures(&secure), 2);
    raw_release(&secure.raw);
}

static void nothing_else_is_answered_before(void **state)
{
    struct secure secure;
    (void)state;
    secure_start(&secure, "SASL_PLAINTEXT://127.0.0.1:0");
    for (size_t i = 0; i < wire_api_count; i++) {
        const struct wire_api *api = &wire_apis[i];
        if (api->key == WIRE_API_VERSIONS || api->key == WIRE_SASL_HANDSHAKE ||
            api->key == WIRE_SASL_AUTHENTICATE)
            continue;
        for (int after_handshake = 0; after_handshake < 2; after_handshake++) {
            struct call call;
            int fd = raw_connect(&secure.raw);
            if (after_handshake)
                assert_int_equal(handshake(&secure, fd, 1, "PLAIN"), 0);
            call_begin(&call, fd, (enum wire_api_key)api->key, api->max);
            call_send(&secure.raw, &call);
            assert_false(call_answered(&secure.raw, &call));
            assert_true(raw_is_closed(&secure.raw, fd));
            call_end(&call);
            raw_close(&secure.raw, fd);
        }
    }
    int fd = raw_connect(&secure.raw);
    struct call call;
    call_begin(&call, fd, WIRE_API_VERSIONS, 0);
    call_now(&secure.raw, &call);
    assert_int_equal(wire_i16(&call.reader), 0);
    call_end(&call);
    /* a token before its mechanism */
    send_token(&secure, &call, fd, 2, RIGHT, 5);
    assert_true(call_answered(&secure.raw, &call));
    assert_int_equal(read_verdict(&call, "before SaslHandshake"), WIRE_ILLEGAL_SASL_STATE);
    call_end(&call);
    assert_true(raw_is_closed(&secure.raw, fd));
    raw_close(&secure.raw, fd);
    /* a mechanism after a mechanism */
    fd = raw_connect(&secure.raw);
    assert_int_equal(handshake(&secure, fd, 1, "PLAIN"), 0);
    assert_int_equal(handshake(&secure, fd, 1, "PLAIN"), WIRE_ILLEGAL_SASL_STATE);
    assert_true(raw_is_closed(&secure.raw, fd));
    raw_close(&secure.raw, fd);
    /* and what comes behind a refusal is not looked at */
    assert_int_equal(secure.raw.broker->topics.count, 0);
    raw_release(&secure.raw);
}

static void an_unknown_mechanism_is_told_which_there_are(void **state)
{
    static const char *const unknown[] = {"GSSAPI", "", "plain", "OAUTHBEARER"};
    struct secure secure;
    (void)state;
    secure_start(&secure, "SASL_PLAINTEXT://127.0.0.1:0");
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        int fd = raw_connect(&secure.raw);
        assert_int_equal(handshake(&secure, fd, (int16_t)(i % 2), unknown[i]),
                         WIRE_UNSUPPORTED_SASL_MECHANISM);
        assert_true(raw_is_closed(&secure.raw, fd));
        raw_close(&secure.raw, fd);
    }
    assert_int_equal(failures(&secure), sizeof unknown / sizeof *unknown);
    raw_release(&secure.raw);
}

static void a_refusal_comes_late_and_ends_the_connection(void **state)
{
    static const struct {
        const char *token;
        size_t bytes;
        const char *words;
    } cases[] = {
        {WRONG, 5, "wrong user name or password"},
        {"\0v\0pw", 5, "wrong user name or password"},
        {"x\0u\0pw", 6, "act for another"},
        {"", 0, "malformed"},
        {"\0", 1, "malformed"},
        {"\0u", 2, "malformed"},
        {"\0u\0", 3, "malformed"},
        {"\0\0pw", 4, "malformed"},
        {"\0u\0p\0w", 6, "malformed"},
    };
    struct secure secure;
    (void)state;
    secure_start(&secure, "SASL_PLAINTEXT://127.0.0.1:0");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct call call;
        int fd = raw_connect(&secure.raw);
        assert_int_equal(handshake(&secure, fd, 1, "PLAIN"), 0);
        send_token(&secure, &call, fd, (int16_t)(i % 3), cases[i].token, cases[i].bytes);
        assert_false(call_answered(&secure.raw, &call));
        raw_pass(&secure.raw, 99);
        assert_false(call_answered(&secure.raw, &call));
        raw_pass(&secure.raw, 1);
        assert_true(call_answered(&secure.raw, &call));
        assert_int_equal(read_verdict(&call, cases[i].words), WIRE_SASL_AUTHENTICATION_FAILED);
        call_end(&call);
        assert_true(raw_is_closed(&secure.raw, fd));
        raw_close(&secure.raw, fd);
        raw_pass(&secure.raw, 1000);
    }
    /* One that goes away meanwhile leaves nothing behind. */
    struct call call;
    int fd = raw_connect(&secure.raw);
    assert_int_equal(handshake(&secure, fd, 1, "PLAIN"), 0);
    send_token(&secure, &call, fd, 2, WRONG, 5);
    call_end(&call);
    raw_close(&secure.raw, fd);
    raw_pass(&secure.raw, 100);
    assert_null(secure.raw.broker->connections);
    raw_release(&secure.raw);
}

static void guessing_passwords_is_slow_and_harms_nobody_known(void **state)
{
    enum { GUESSERS = 400, WAITING = 5000 / 20 };
    static struct call calls[GUESSERS];
    struct secure secure;
    struct call call;
    (void)state;
    secure_start(&secure, "SASL_PLAINTEXT://127.0.0.1:0");
    int fd = raw_connect(&secure.raw); /* whose password is known from here on */
    assert_int_equal(handshake(&secure, fd, 1, "PLAIN"), 0);
    send_token(&secure, &call, fd, 2, RIGHT, 5);
    assert_true(call_answered(&secure.raw, &call));
    call_end(&call);
    raw_close(&secure.raw, fd);
    raw_pass(&secure.raw, 1000);
    for (int i = 0; i < GUESSERS; i++) {
        int guesser = raw_connect(&secure.raw);
        assert_int_equal(handshake(&secure, guesser, 1, "PLAIN"), 0);
        send_token(&secure, &calls[i], guesser, 2, WRONG, 5);
    }
    /* One password was looked at; others wait, 20 ms each; the others are refused. */
    assert_int_equal(failures(&secure), GUESSERS - WAITING);
    fd = raw_connect(&secure.raw);
    assert_int_equal(handshake(&secure, fd, 1, "PLAIN"), 0);
    send_token(&secure, &call, fd, 2, RIGHT, 5);
    assert_true(call_answered(&secure.raw, &call)); /* at once */
    assert_int_equal(read_verdict(&call, NULL), 0);
    call_end(&call);
    raw_pass(&secure.raw, 1000);
    assert_int_equal(failures(&secure), GUESSERS - WAITING + 1000 / 20);
    raw_pass(&secure.raw, 4100);
    assert_int_equal(failures(&secure), GUESSERS);
    raw_pass(&secure.raw, 100);
    for (int i = 0; i < GUESSERS; i++) {
        assert_true(call_answered(&secure.raw, &calls[i]));
        assert_int_equal(read_verdict(&calls[i], i <= WAITING ? "wrong" : "too many"),
                         WIRE_SASL_AUTHENTICATION_FAILED);
        close(calls[i].fd);
        call_end(&calls[i]);
    }
    assert_true(metadata_is_answered(&secure, fd));
    raw_close(&secure.raw, fd);
    raw_release(&secure.raw);
}

static void strangers_are_challenged_alike(void **state)
{
    struct secure secure;
    char salts[3][64];
    static const char *const names[3] = {"n,,n=nobody,r=abc", "n,,n=nobody,r=xyz",
                                         "n,,n=somebody,r=abc"};
    (void)state;
    secure_start(&secure, "SASL_PLAINTEXT://127.0.0.1:0");
    for (int i = 0; i < 3; i++) {
        struct call call;
        int fd = raw_connect(&secure.raw);
        assert_int_equal(handshake(&secure, fd, 1, "SCRAM-SHA-512"), 0);
        send_token(&secure, &call, fd, 1, names[i], strlen(names[i]));
        assert_true(call_answered(&secure.raw, &call));
        assert_int_equal(wire_i16(&call.reader), 0);
        assert_null(wire_string(&call.reader).data);
        struct weir_slice token = wire_bytes(&call.reader);
        const char *salt = memmem(token.data, token.bytes, ",s=", 3);
        assert_non_null(salt);
        snprintf(salts[i], sizeof salts[i], "%.24s", salt + 3);
        assert_non_null(memmem(token.data, token.bytes, ",i=10000", 8));
        call_end(&call);
        raw_close(&secure.raw, fd);
    }
    assert_string_equal(salts[0], salts[1]);
    assert_string_not_equal(salts[0], salts[2]);
    raw_release(&secure.raw);
}

/* ---- limits before anybody is known ---------------------------------------------------------- */

static void who_takes_too_long_is_closed(void **state)
{
    struct secure secure;
    (void)state;
    secure_start(&secure, "SASL_PLAINTEXT://127.0.0.1:0");
    int silent = raw_connect(&secure.raw), half = raw_connect(&secure.raw),
        dripping = raw_connect(&secure.raw);
    assert_int_equal(handshake(&secure, half, 1, "PLAIN"), 0);
    raw_send(&secure.raw, dripping, "\0\0\1\0", 4);
    for (int i = 0; i < 29; i++) {
        raw_pass(&secure.raw, 1000);
        raw_send(&secure.raw, dripping, "x", 1);
    }
    assert_false(raw_is_closed(&secure.raw, silent));
    assert_false(raw_is_closed(&secure.raw, half));
    assert_false(raw_is_closed(&secure.raw, dripping));
    raw_pass(&secure.raw, 1000);
    raw_pass(&secure.raw, 1000);
    assert_true(raw_is_closed(&secure.raw, silent));
    assert_true(raw_is_closed(&secure.raw, half));
    assert_true(raw_is_closed(&secure.raw, dripping));
    assert_null(secure.raw.broker->connections);
    assert_int_equal(atomic_load(&secure.raw.broker->stats.connections_expired), 3);
    close(silent);
    close(half);
    close(dripping);
    raw_release(&secure.raw);
}

static void strangers_may_not_send_much(void **state)
{
    struct secure secure;
    (void)state;
    secure_start(&secure, "SASL_PLAINTEXT://127.0.0.1:0");
    int fd = raw_connect(&secure.raw);
    raw_send(&secure.raw, fd, "\0\1\0\1", 4); /* 64 KiB and a byte */
    assert_true(raw_is_closed(&secure.raw, fd));
    raw_close(&secure.raw, fd);
    fd = raw_connect(&secure.raw);
    raw_send(&secure.raw, fd, "\0\1\0\0", 4);
    assert_false(raw_is_closed(&secure.raw, fd));
    raw_close(&secure.raw, fd);
    raw_release(&secure.raw);
}

static void a_tls_handshake_has_an_end(void **state)
{
    struct secure secure;
    (void)state;
    secure_start(&secure, "SSL://127.0.0.1:0");
    int silent = raw_connect(&secure.raw), dripping = raw_connect(&secure.raw),
        plain = raw_connect(&secure.raw), gone = raw_connect(&secure.raw);
    raw_send(&secure.raw, dripping, "\x16\x03\x01\x02\x00\x01", 6); /* a ClientHello begins */
    raw_send(&secure.raw, plain, "\0\0\0\x10\0\x12\0\0\0\0\0\1\0\0\0\0\0\0\0\0", 20);
    raw_close(&secure.raw, gone);
    assert_true(raw_is_closed(&secure.raw, plain)); /* is no TLS */
    assert_int_equal(atomic_load(&secure.raw.broker->stats.tls_handshake_failures), 2);
    for (int i = 0; i < 29; i++) {
        raw_pass(&secure.raw, 1000);
        raw_send(&secure.raw, dripping, "\0", 1);
    }
    assert_false(raw_is_closed(&secure.raw, silent));
    assert_false(raw_is_closed(&secure.raw, dripping));
    raw_pass(&secure.raw, 1000);
    raw_pass(&secure.raw, 1000);
    assert_null(secure.raw.broker->connections);
    close(silent);
    close(dripping);
    close(plain);
    raw_release(&secure.raw);
}

/* Each allocation of a start, of a connection with TLS and of one that authenticates fails once. */
static void no_memory_leaks_and_breaks_nothing(void **state)
{
    struct secure secure;
    (void)state;
    secure_start(&secure, "SASL_PLAINTEXT://127.0.0.1:0,SSL://localhost:0");
    raw_stop(&secure.raw);
    for (uint64_t n = 1;; n++) {
        weir_alloc_watch_start(n);
        enum weir_err err = broker_open(&secure.raw.place.options, secure.raw.disk,
                                        &secure.raw.clock.clock, &secure.raw.broker, NULL);
        struct weir_alloc_counts counts = weir_alloc_watch_stop();
        if (!counts.failed) {
            assert_int_equal(err, WEIR_OK);
            break;
        }
        if (err == WEIR_OK) /* it could do without */
            raw_stop(&secure.raw);
        else
            assert_int_equal(err, WEIR_NOMEM);
    }
    for (uint64_t n = 1;; n++) {
        weir_alloc_watch_start(n);
        int fd = raw_connect(&secure.raw);
        bool answered = false;
        if (!raw_is_closed(&secure.raw, fd)) {
            raw_send(&secure.raw, fd, "\0\0\0\x11\0\x11\0\1\0\0\0\0\xff\xff\0\5PLAIN", 21);
            raw_send(&secure.raw, fd, "\0\0\0\x13\0\x24\0\0\0\0\0M\xff\xff\0\0\0\5" RIGHT, 23);
            answered = !raw_is_closed(&secure.raw, fd);
        }
        struct weir_alloc_counts counts = weir_alloc_watch_stop();
        raw_close(&secure.raw, fd);
        raw_pass(&secure.raw, 1000);
        if (!counts.failed) {
            assert_true(answered);
            break;
        }
    }
    assert_true(atomic_load(&secure.raw.broker->stats.authentications) > 0);
    assert_null(secure.raw.broker->connections);
    raw_release(&secure.raw);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_version_lets_the_right_one_in),
        cmocka_unit_test(tokens_may_come_without_a_head),
        cmocka_unit_test(nothing_else_is_answered_before),
        cmocka_unit_test(an_unknown_mechanism_is_told_which_there_are),
        cmocka_unit_test(a_refusal_comes_late_and_ends_the_connection),
        cmocka_unit_test(guessing_passwords_is_slow_and_harms_nobody_known),
        cmocka_unit_test(strangers_are_challenged_alike),
        cmocka_unit_test(who_takes_too_long_is_closed),
        cmocka_unit_test(strangers_may_not_send_much),
        cmocka_unit_test(a_tls_handshake_has_an_end),
        cmocka_unit_test(no_memory_leaks_and_breaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
