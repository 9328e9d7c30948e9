/* TLS and SASL with librdkafka as the client: who is let in, who is not, and what they are told. */
#include "certificates.h"
#include "place.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/users.h"

struct secure {
    struct place place;
    char users[128], server[128], ca[128], client[128], client_key[128], other[128], other_key[128];
};

static void put_users(const struct secure *secure, const char *password)
{
    struct users *users;
    assert_int_equal(users_new(&users, NULL), WEIR_OK);
    assert_int_equal(
        users_put(users, weir_slice("a,l=ice", 7), weir_slice(password, strlen(password)), NULL),
        WEIR_OK);
    assert_int_equal(users_save(users, secure->users, NULL), WEIR_OK);
    users_free(users);
}

static void secure_init(struct secure *secure, const char *listen)
{
    static char listener[96];
    place_init(&secure->place);
    const char *dir = secure->place.dir;
    certificates_make(dir);
    snprintf(secure->users, sizeof secure->users, "%s/users", dir);
    snprintf(secure->server, sizeof secure->server, "%s/server.pem", dir);
    snprintf(secure->ca, sizeof secure->ca, "%s/ca.pem", dir);
    snprintf(secure->client, sizeof secure->client, "%s/client.pem", dir);
    snprintf(secure->client_key, sizeof secure->client_key, "%s/client.key", dir);
    snprintf(secure->other, sizeof secure->other, "%s/other.pem", dir);
    snprintf(secure->other_key, sizeof secure->other_key, "%s/other.key", dir);
    put_users(secure, "the password");
    snprintf(listener, sizeof listener, "%s", listen);
    secure->place.options.listen = listener;
    secure->place.options.tls.certificate_path = secure->server;
    secure->place.options.users_path = secure->users;
}

static struct weir_broker_stats stats_of(const struct secure *secure)
{
    struct weir_broker_stats stats;
    weir_broker_stats(secure->place.broker, &stats);
    return stats;
}

/* Is the client told, or cut off, with this error before anything is delivered? */
struct trouble {
    rd_kafka_resp_err_t code;
    char text[512];
};

static void on_error(rd_kafka_t *client, int code, const char *text, void *opaque)
{
    struct trouble *trouble = opaque;
    (void)client;
    if (code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN || trouble->code)
        return;
    trouble->code = (rd_kafka_resp_err_t)code;
    snprintf(trouble->text, sizeof trouble->text, "%s", text);
}

/* Pairs as in place.h. Gives the first trouble that the client is told. */
static struct trouble trouble_of(const char *address, ...)
{
    struct trouble trouble = {.code = 0};
    char text[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    va_list pairs;
    rd_kafka_conf_set(conf, "bootstrap.servers", address, text, sizeof text);
    va_start(pairs, address);
    for (const char *name; (name = va_arg(pairs, const char *)) != NULL;)
        if (rd_kafka_conf_set(conf, name, va_arg(pairs, const char *), text, sizeof text) !=
            RD_KAFKA_CONF_OK)
            fail_msg("%s", text);
    va_end(pairs);
    rd_kafka_conf_set_error_cb(conf, on_error);
    rd_kafka_conf_set_opaque(conf, &trouble);
    rd_kafka_conf_set_log_cb(conf, NULL);
    rd_kafka_t *client = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof text);
    assert_non_null(client);
    int64_t limit = now_ms() + WAIT_MS;
    while (!trouble.code && now_ms() < limit)
        rd_kafka_poll(client, 100);
    rd_kafka_destroy(client);
    return trouble;
}

/* ---- who is let in --------------------------------------------------------------------------- */

static void each_mechanism_works_over_tls(void **state)
{
    static const char *const mechanisms[] = {"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"};
    struct secure secure;
    (void)state;
    secure_init(&secure, "SASL_SSL://127.0.0.1:0");
    place_start(&secure.place);
    const char *address = place_address(&secure.place);
    for (int i = 0; i < 3; i++) {
        rd_kafka_t *producer = rd_producer(
            address, "security.protocol", "SASL_SSL", "ssl.ca.location", secure.ca,
            "ssl.endpoint.identification.algorithm", "https", "sasl.mechanisms", mechanisms[i],
            "sasl.username", "a,l=ice", "sasl.password", "the password", NULL);
        assert_int_equal(rd_put(producer, mechanisms[i], 0, "v", 0, 2000), 2000);
        rd_end(producer);
        rd_kafka_t *consumer =
            rd_consumer(address, "g", "security.protocol", "SASL_SSL", "ssl.ca.location", secure.ca,
                        "sasl.mechanisms", mechanisms[i], "sasl.username", "a,l=ice",
                        "sasl.password", "the password", NULL);
        rd_expect(consumer, mechanisms[i], 0, 0, "v", 0, 2000);
        rd_end(consumer);
    }
    assert_int_equal(stats_of(&secure).authentication_failures, 0);
    assert_true(stats_of(&secure).authentications >= 6);
    place_release(&secure.place);
}

static void large_records_come_through_tls(void **state)
{
    enum { BYTES = 900000, COUNT = 20 };
    struct secure secure;
    char *value = malloc(BYTES);
    (void)state;
    assert_non_null(value);
    for (int i = 0; i < BYTES; i++)
        value[i] = (char)(i * 31 ^ i >> 8);
    secure_init(&secure, "SSL://127.0.0.1:0");
    place_start(&secure.place);
    rd_kafka_t *producer = rd_producer(place_address(&secure.place), "security.protocol", "SSL",
                                       "ssl.ca.location", secure.ca, NULL);
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(rd_kafka_producev(producer, RD_KAFKA_V_TOPIC("large"),
                                           RD_KAFKA_V_PARTITION(0), RD_KAFKA_V_VALUE(value, BYTES),
                                           RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                                           RD_KAFKA_V_END),
                         0);
    assert_int_equal(rd_kafka_flush(producer, WAIT_MS), 0);
    rd_kafka_t *consumer = rd_consumer(place_address(&secure.place), "g", "security.protocol",
                                       "SSL", "ssl.ca.location", secure.ca, NULL);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, "large", 0)->offset = 0;
    assert_int_equal(rd_kafka_assign(consumer, list), 0);
    rd_kafka_topic_partition_list_destroy(list);
    for (int i = 0; i < COUNT; i++) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(consumer, WAIT_MS);
        assert_non_null(message);
        assert_int_equal(message->err, 0);
        assert_int_equal(message->len, BYTES);
        assert_memory_equal(message->payload, value, BYTES);
        rd_kafka_message_destroy(message);
    }
    rd_end(consumer);
    rd_end(producer);
    free(value);
    place_release(&secure.place);
}

static void several_listeners_have_a_security_each(void **state)
{
    struct secure secure;
    (void)state;
    secure_init(&secure,
                "PLAINTEXT://127.0.0.1:0, SASL_SSL://127.0.0.1:0,SASL_PLAINTEXT://localhost:0");
    place_start(&secure.place);
    assert_string_equal(weir_broker_address_of(secure.place.broker, "PLAINTEXT"),
                        place_address(&secure.place));
    assert_null(weir_broker_address_of(secure.place.broker, "SSL"));
    rd_kafka_t *open = rd_producer(place_address(&secure.place), NULL);
    assert_int_equal(rd_put(open, "t", 0, "v", 0, 10), 10);
    rd_end(open);
    /* A client stays at the listener that it came in by. */
    rd_kafka_t *closed =
        rd_consumer(weir_broker_address_of(secure.place.broker, "SASL_PLAINTEXT"), "g",
                    "security.protocol", "SASL_PLAINTEXT", "sasl.mechanisms", "SCRAM-SHA-512",
                    "sasl.username", "a,l=ice", "sasl.password", "the password", NULL);
    rd_expect(closed, "t", 0, 0, "v", 0, 10);
    rd_end(closed);
    place_release(&secure.place);
}

static void clients_can_be_asked_for_a_certificate(void **state)
{
    struct secure secure;
    (void)state;
    secure_init(&secure, "SSL://0.0.0.0:0"); /* which is then authentication enough */
    secure.place.options.tls.client_auth = WEIR_BROKER_CLIENT_AUTH_REQUIRED;
    secure.place.options.tls.trust_path = secure.ca;
    place_start(&secure.place);
    char address[64];
    snprintf(address, sizeof address, "127.0.0.1%s", strrchr(place_address(&secure.place), ':'));
    rd_kafka_t *producer = rd_producer(address, "security.protocol", "SSL", "ssl.ca.location",
                                       secure.ca, "ssl.certificate.location", secure.client,
                                       "ssl.key.location", secure.client_key, NULL);
    assert_int_equal(rd_put(producer, "t", 0, "v", 0, 10), 10);
    rd_end(producer);
    assert_int_equal(stats_of(&secure).tls_handshake_failures, 0);
    struct trouble none =
        trouble_of(address, "security.protocol", "SSL", "ssl.ca.location", secure.ca, NULL);
    assert_int_not_equal(none.code, 0);
    struct trouble other = trouble_of(address, "security.protocol", "SSL", "ssl.ca.location",
                                      secure.ca, "ssl.certificate.location", secure.other,
                                      "ssl.key.location", secure.other_key, NULL);
    assert_int_not_equal(other.code, 0);
    assert_true(stats_of(&secure).tls_handshake_failures >= 2);
    place_release(&secure.place);
}

/* ---- who is not ------------------------------------------------------------------------------ */

static void wrong_passwords_and_names_are_refused_alike(void **state)
{
    static const char *const mechanisms[] = {"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"};
    struct secure secure;
    (void)state;
    secure_init(&secure, "SASL_SSL://127.0.0.1:0");
    place_start(&secure.place);
    for (int i = 0; i < 6; i++) {
        struct trouble trouble = trouble_of(
            place_address(&secure.place), "security.protocol", "SASL_SSL", "ssl.ca.location",
            secure.ca, "sasl.mechanisms", mechanisms[i % 3], "sasl.username",
            i < 3 ? "a,l=ice" : "nobody", "sasl.password", "the Password", NULL);
        assert_int_equal(trouble.code, RD_KAFKA_RESP_ERR__AUTHENTICATION);
        if (!strstr(trouble.text, "wrong user name or password"))
            fail_msg("%s: \"%s\"", mechanisms[i % 3], trouble.text);
    }
    assert_true(stats_of(&secure).authentication_failures >= 6);
    assert_int_equal(stats_of(&secure).authentications, 0);
    place_release(&secure.place);
}

static void plain_needs_tls(void **state)
{
    struct secure secure;
    (void)state;
    secure_init(&secure, "SASL_PLAINTEXT://127.0.0.1:0");
    place_start(&secure.place);
    struct trouble trouble = trouble_of(
        place_address(&secure.place), "security.protocol", "SASL_PLAINTEXT", "sasl.mechanisms",
        "PLAIN", "sasl.username", "a,l=ice", "sasl.password", "the password", NULL);
    assert_int_equal(trouble.code, RD_KAFKA_RESP_ERR__AUTHENTICATION);
    place_stop(&secure.place);
    secure.place.options.insecure = true;
    place_start(&secure.place);
    rd_kafka_t *producer = rd_producer(
        place_address(&secure.place), "security.protocol", "SASL_PLAINTEXT", "sasl.mechanisms",
        "PLAIN", "sasl.username", "a,l=ice", "sasl.password", "the password", NULL);
    assert_int_equal(rd_put(producer, "t", 0, "v", 0, 10), 10);
    rd_end(producer);
    place_release(&secure.place);
}

static void a_changed_file_counts_without_a_restart(void **state)
{
    struct secure secure;
    (void)state;
    secure_init(&secure, "SASL_PLAINTEXT://127.0.0.1:0");
    place_start(&secure.place);
    const char *address = place_address(&secure.place);
    put_users(&secure, "another password");
    int64_t limit = now_ms() + WAIT_MS;
    struct weir_broker_stats stats = {0};
    /* Comes in as soon as the broker has looked; librdkafka tries again by itself. */
    rd_kafka_t *producer = rd_producer(address, "security.protocol", "SASL_PLAINTEXT",
                                       "sasl.mechanisms", "SCRAM-SHA-256", "sasl.username",
                                       "a,l=ice", "sasl.password", "another password", NULL);
    while (!stats.authentications && now_ms() < limit) {
        rd_kafka_poll(producer, 50);
        stats = stats_of(&secure);
    }
    assert_int_equal(rd_put(producer, "t", 0, "v", 0, 10), 10);
    rd_end(producer);
    struct trouble trouble = trouble_of(address, "security.protocol", "SASL_PLAINTEXT",
                                        "sasl.mechanisms", "SCRAM-SHA-256", "sasl.username",
                                        "a,l=ice", "sasl.password", "the password", NULL);
    assert_int_equal(trouble.code, RD_KAFKA_RESP_ERR__AUTHENTICATION);
    place_release(&secure.place);
}

/* ---- starting -------------------------------------------------------------------------------- */

static void assert_refused(struct secure *secure, enum weir_err err, const char *words)
{
    struct weir_broker *broker = NULL;
    struct weir_error error = {.code = WEIR_OK};
    assert_int_equal(weir_broker_start(&secure->place.options, &broker, &error), err);
    if (!strstr(error.message, words))
        fail_msg("\"%s\" does not say \"%s\"", error.message, words);
}

static void what_is_not_safe_does_not_start(void **state)
{
    struct secure secure;
    (void)state;
    secure_init(&secure, "");
    struct weir_broker_options *options = &secure.place.options;
    static const struct {
        const char *listen;
        enum weir_err err;
        const char *words;
    } cases[] = {
        {"0.0.0.0:0", WEIR_DENIED, "SASL_SSL://"},
        {"PLAINTEXT://0.0.0.0:0", WEIR_DENIED, "--insecure"},
        {"SSL://0.0.0.0:0", WEIR_DENIED, "authentication"},
        {"SASL_PLAINTEXT://0.0.0.0:0", WEIR_DENIED, "TLS"},
        {"SASL_SSL://127.0.0.1:0,PLAINTEXT://[::]:0", WEIR_DENIED, "PLAINTEXT://[::]:0"},
        {"", WEIR_INVALID, "there is none"},
        {"HTTP://127.0.0.1:0", WEIR_INVALID, "SASL_SSL://"},
        {"SSL://127.0.0.1:0,ssl://127.0.0.1:0", WEIR_INVALID, "twice"},
        {"SSL://127.0.0.1:x", WEIR_INVALID, "listeners"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        options->listen = cases[i].listen;
        assert_refused(&secure, cases[i].err, cases[i].words);
    }
    options->listen = "SASL_SSL://127.0.0.1:0";
    options->advertised = "SSL://example.org:1";
    assert_refused(&secure, WEIR_INVALID, "not among the listeners");
    options->advertised = NULL;
    options->sasl_mechanisms = "PLAIN,GSSAPI";
    assert_refused(&secure, WEIR_INVALID, "GSSAPI");
    options->sasl_mechanisms = "PLAIN";
    options->users_path = NULL;
    assert_refused(&secure, WEIR_INVALID, "weir users add");
    options->users_path = secure.ca;
    assert_refused(&secure, WEIR_DENIED, "chmod 600");
    options->users_path = secure.users;
    options->tls.certificate_path = NULL;
    assert_refused(&secure, WEIR_INVALID, "ssl.keystore.location");
    options->tls.certificate_path = "/nowhere/server.pem";
    assert_refused(&secure, WEIR_NOT_FOUND, "/nowhere/server.pem");
    options->tls.certificate_path = secure.users;
    assert_refused(&secure, WEIR_INVALID, "no certificate");
    options->tls.certificate_path = secure.ca;
    assert_refused(&secure, WEIR_INVALID, "no private key");
    options->tls.certificate_path = secure.client;
    options->tls.key_path = secure.other_key;
    assert_refused(&secure, WEIR_INVALID, "no private key in PEM form that fits");
    options->tls.key_path = NULL;
    options->tls.certificate_path = secure.server;
    options->tls.client_auth = WEIR_BROKER_CLIENT_AUTH_REQUIRED;
    assert_refused(&secure, WEIR_INVALID, "ssl.truststore.location");
    options->tls.client_auth = WEIR_BROKER_CLIENT_AUTH_NONE;
    options->listen = "SASL_PLAINTEXT://127.0.0.1:0";
    assert_refused(&secure, WEIR_DENIED, "SCRAM-SHA-256");
    options->listen = "SASL_SSL://127.0.0.1:0";
    place_start(&secure.place); /* nothing of all that is left behind */
    place_release(&secure.place);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_mechanism_works_over_tls),
        cmocka_unit_test(large_records_come_through_tls),
        cmocka_unit_test(several_listeners_have_a_security_each),
        cmocka_unit_test(clients_can_be_asked_for_a_certificate),
        cmocka_unit_test(wrong_passwords_and_names_are_refused_alike),
        cmocka_unit_test(plain_needs_tls),
        cmocka_unit_test(a_changed_file_counts_without_a_restart),
        cmocka_unit_test(what_is_not_safe_does_not_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
