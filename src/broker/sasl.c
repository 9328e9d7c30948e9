/*
 * broker/sasl.c - who is it: SaslHandshake, SaslAuthenticate, PLAIN and SCRAM.
 *
 *      WANTS_MECHANISM --SaslHandshake--> WANTS_TOKEN --PLAIN token, right-----------> (freed: in)
 *                                             |                                            ^
 *                                             +--SCRAM first--> WANTS_PROOF --right proof--+
 *
 * Anything else ends the connection, after its answer where one is due. A refusal is answered
 * FAILURE_DELAY_MS late, as Kafka does, so that guessing is slow.
 *
 * The exchange for SCRAM costs the broker microseconds. To look at a password sent by PLAIN takes
 * milliseconds the first time, on the one thread that does everything: so these looks get a slot
 * each, SLOT_MS apart, and whoever finds too long a queue is refused. A password that was right
 * once is known again without a slot.
 */
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/clock.h"
#include "broker/inside.h"

enum {
    FAILURE_DELAY_MS = 100, /* connection.failed.authentication.delay.ms */
    SLOT_MS = 20,           /* between two derivations of a password */
    QUEUE_MS_MAX = 5000,    /* of those that wait for theirs */
    NONCE_BYTES = 24,       /* random ones, in base64 on the wire */
    FINAL_BYTES_MAX = 1024,
};

enum mechanism { MECHANISM_PLAIN, MECHANISM_SHA_256, MECHANISM_SHA_512, MECHANISMS };

static const char *const names[MECHANISMS] = {"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"};

enum sasl_state { WANTS_MECHANISM, WANTS_TOKEN, WANTS_PROOF, REFUSED };

struct sasl {
    struct connection *connection;
    enum sasl_state state;
    enum mechanism mechanism;
    bool raw; /* tokens come without a head */
    struct scram_exchange scram;
    struct weir_loop_timer timer; /* PARKED: the slot, or the delay of a refusal */
    char name[SCRAM_NAME_BYTES_MAX + 1];
    size_t name_bytes;
    char password[USERS_PASSWORD_BYTES_MAX]; /* of PLAIN, until its slot comes */
    size_t password_bytes;
    struct weir_error refusal;
};

/* ---- what there is --------------------------------------------------------------------------- */

static int find_mechanism(struct weir_slice name)
{
    for (int i = 0; i < MECHANISMS; i++)
        if (weir_slice_equal(name, weir_slice(names[i], strlen(names[i]))))
            return i;
    return -1;
}

/* Without TLS a password would be there for all to read. */
static bool offers(const struct connection *connection, enum mechanism mechanism)
{
    const struct weir_broker *broker = connection->broker;
    if (!(broker->sasl_mechanisms & 1U << mechanism))
        return false;
    return mechanism != MECHANISM_PLAIN || connection->tls || broker->options.insecure;
}

static int64_t stamp_of(const char *path)
{
    struct stat status;
    if (stat(path, &status) != 0)
        return -1;
    return ((int64_t)status.st_mtim.tv_sec * 1000000000 + status.st_mtim.tv_nsec) ^
           (int64_t)status.st_ino;
}

static enum weir_err parse_mechanisms(const char *text, unsigned *out, struct weir_error *error)
{
    for (*out = 0; *(text += strspn(text, " ,")); text += strcspn(text, " ,")) {
        struct weir_slice name = weir_slice(text, strcspn(text, " ,"));
        int mechanism = find_mechanism(name);
        if (mechanism < 0)
            return weir_error_set(error, WEIR_INVALID, -1,
                                  "sasl.enabled.mechanisms: there is no \"%.*s\" here, but PLAIN, "
                                  "SCRAM-SHA-256 and SCRAM-SHA-512",
                                  name.bytes < 60 ? (int)name.bytes : 60, text);
        *out |= 1U << mechanism;
    }
    return WEIR_OK;
}

static bool only_plain_without_tls(const struct weir_broker *broker)
{
    for (uint32_t i = 0; i < broker->listener_count; i++)
        if (broker->listeners[i].security == SECURITY_SASL_PLAINTEXT)
            return broker->sasl_mechanisms == 1U << MECHANISM_PLAIN && !broker->options.insecure;
    return false;
}

enum weir_err broker_sasl_open(struct weir_broker *broker, struct weir_error *error)
{
    const struct weir_broker_options *options = &broker->options;
    bool wanted = false;
    for (uint32_t i = 0; i < broker->listener_count; i++)
        wanted = wanted || security_has_sasl(broker->listeners[i].security);
    if (!wanted)
        return WEIR_OK;
    enum weir_err err = parse_mechanisms(options->sasl_mechanisms, &broker->sasl_mechanisms, error);
    if (err != WEIR_OK)
        return err;
    if (!broker->sasl_mechanisms)
        return weir_error_set(error, WEIR_INVALID, -1, "sasl.enabled.mechanisms is empty");
    if (only_plain_without_tls(broker))
        return weir_error_set(error, WEIR_DENIED, -1,
                              "SASL_PLAINTEXT with PLAIN alone would send passwords for all to "
                              "read; use SASL_SSL, add SCRAM-SHA-256 to sasl.enabled.mechanisms, "
                              "or give --insecure");
    if (!options->users_path)
        return weir_error_set(error, WEIR_INVALID, -1,
                              "a listener with SASL needs a file of users; make it with "
                              "weir users add NAME");
    broker->users_path = weir_strdup(options->users_path);
    if (!broker->users_path)
        return weir_error_set(error, WEIR_NOMEM, -1, "no memory for a path");
    broker->users_stamp_ns = stamp_of(broker->users_path);
    return users_load(broker->users_path, &broker->users, error);
}

void broker_sasl_close(struct weir_broker *broker)
{
    users_free(broker->users);
    weir_free(broker->users_path);
    broker->users = NULL;
    broker->users_path = NULL;
}

void broker_users_maintain(struct weir_broker *broker)
{
    struct weir_error error = {.code = WEIR_OK};
    struct users *users;
    int64_t stamp = broker->users_path ? stamp_of(broker->users_path) : 0;
    if (!broker->users_path || stamp == broker->users_stamp_ns)
        return;
    broker->users_stamp_ns = stamp;
    if (users_load(broker->users_path, &users, &error) != WEIR_OK) {
        weir_log(&broker->options.log, WEIR_LOG_ERROR, "broker", "the users stay as they were: %s",
                 error.message);
        return;
    }
    users_free(broker->users);
    broker->users = users;
    weir_log(&broker->options.log, WEIR_LOG_INFO, "broker", "%s was read again: %u users",
             broker->users_path, weir_map_count(&users->map));
}

/* ---- life ------------------------------------------------------------------------------------ */

static void on_time(struct weir_loop_timer *timer);

enum weir_err broker_sasl_new(struct connection *connection)
{
    struct sasl *sasl = weir_calloc(1, sizeof *sasl);
    if (!sasl)
        return WEIR_NOMEM;
    sasl->connection = connection;
    scram_exchange_init(&sasl->scram, SCRAM_SHA_256);
    weir_loop_timer_init(connection->broker->loop, &sasl->timer, on_time);
    sasl->timer.opaque = sasl;
    connection->sasl = sasl;
    return WEIR_OK;
}

void broker_sasl_free(struct connection *connection)
{
    struct sasl *sasl = connection->sasl;
    if (!sasl)
        return;
    weir_loop_timer_stop(&sasl->timer);
    scram_exchange_release(&sasl->scram);
    OPENSSL_cleanse(sasl->password, sizeof sasl->password);
    weir_free(sasl);
    connection->sasl = NULL;
}

bool broker_sasl_admits(const struct connection *connection, const struct wire_request_head *head)
{
    (void)connection;
    return head->key == WIRE_API_VERSIONS || head->key == WIRE_SASL_HANDSHAKE ||
           head->key == WIRE_SASL_AUTHENTICATE;
}

bool broker_sasl_is_raw(const struct connection *connection)
{
    return connection->sasl && connection->sasl->raw;
}

/* ---- answers --------------------------------------------------------------------------------- */

/* The answer to a token, whose connection is parked. message NULL: all is well so far. */
static void answer(struct connection *connection, enum wire_error code, const char *message,
                   struct weir_slice token)
{
    struct wire_writer out;
    if (connection->sasl->raw) {
        if (code != WIRE_NONE) { /* there is no way to say so */
            broker_connection_close(connection);
            return;
        }
        out = wire_writer(&connection->out, false);
        connection->answer_place = connection->out.bytes;
        wire_reserve_i32(&out);
        for (size_t i = 0; i < token.bytes; i++)
            wire_put_i8(&out, ((const int8_t *)token.data)[i]);
    } else {
        out = broker_answer_begin(connection);
        wire_put_i16(&out, (int16_t)code);
        wire_put_text(&out, message);
        wire_put_bytes(&out, token);
        if (connection->head.version >= 1)
            wire_put_i64(&out, 0); /* the session does not end */
        wire_put_tags(&out);
    }
    connection->last = code != WIRE_NONE;
    broker_answer_end(connection, &out);
}

/* The connection is parked; the answer comes after the delay. */
static enum handled refuse(struct connection *connection, const struct weir_error *why)
{
    struct weir_broker *broker = connection->broker;
    struct sasl *sasl = connection->sasl;
    atomic_fetch_add_explicit(&broker->stats.authentication_failures, 1, memory_order_relaxed);
    weir_log(&broker->options.log, WEIR_LOG_WARN, "broker",
             "%s at %s fails to authenticate by %s: %s", connection->peer,
             connection->listener->address, names[sasl->mechanism], why->message);
    OPENSSL_cleanse(sasl->password, sizeof sasl->password);
    sasl->state = REFUSED;
    if (why != &sasl->refusal)
        sasl->refusal = *why;
    if (weir_loop_timer_start(&sasl->timer, FAILURE_DELAY_MS, 0) != WEIR_OK)
        broker_connection_close(connection);
    return HANDLED_PARKED;
}

static enum handled accept_user(struct connection *connection, const char *name,
                                struct weir_slice token)
{
    struct weir_broker *broker = connection->broker;
    atomic_fetch_add_explicit(&broker->stats.authentications, 1, memory_order_relaxed);
    weir_log(&broker->options.log, WEIR_LOG_DEBUG, "broker", "%s is %s, by %s", connection->peer,
             name, names[connection->sasl->mechanism]);
    answer(connection, WIRE_NONE, NULL, token);
    broker_sasl_free(connection);
    return HANDLED_PARKED;
}

static const struct weir_error wrong = {.code = WEIR_DENIED,
                                        .message = "wrong user name or password"};

/* ---- PLAIN ----------------------------------------------------------------------------------- */

static enum handled check_password(struct connection *connection)
{
    struct users *users = connection->broker->users;
    struct sasl *sasl = connection->sasl;
    struct weir_slice password = weir_slice(sasl->password, sasl->password_bytes);
    struct user *user = users_find(users, weir_slice(sasl->name, sasl->name_bytes));
    if (!users_check_fast(users, user, password) && !users_check_slow(users, user, password))
        return refuse(connection, &wrong);
    OPENSSL_cleanse(sasl->password, sizeof sasl->password);
    return accept_user(connection, sasl->name, weir_slice("", 0));
}

/* Now, or when its slot comes. */
static enum handled queue_password(struct connection *connection)
{
    struct weir_broker *broker = connection->broker;
    struct sasl *sasl = connection->sasl;
    int64_t now = weir_loop_now_ns(broker->loop);
    const struct user *user = users_find(broker->users, weir_slice(sasl->name, sasl->name_bytes));
    if (users_check_fast(broker->users, user, weir_slice(sasl->password, sasl->password_bytes)))
        return check_password(connection);
    int64_t slot = broker->slow_check_ns > now ? broker->slow_check_ns : now;
    if (slot - now > QUEUE_MS_MAX * WEIR_NS_PER_MS) {
        const struct weir_error busy = {
            .code = WEIR_LIMIT, .message = "too many authenticate at once: try again later"};
        return refuse(connection, &busy);
    }
    broker->slow_check_ns = slot + SLOT_MS * WEIR_NS_PER_MS;
    if (slot == now)
        return check_password(connection);
    if (weir_loop_timer_start_at(&sasl->timer, slot, 0) != WEIR_OK)
        broker_connection_close(connection);
    return HANDLED_PARKED;
}

/* authorization id NUL name NUL password (RFC 4616). */
static enum handled take_plain(struct connection *connection, struct weir_slice token)
{
    static const struct weir_error malformed = {.code = WEIR_PARSE,
                                                .message = "malformed PLAIN message"};
    static const struct weir_error other = {
        .code = WEIR_DENIED,
        .message = "a user can't act for another: leave the authorization id out"};
    struct sasl *sasl = connection->sasl;
    const char *at = token.data, *end = at + token.bytes;
    const char *name = token.bytes ? memchr(at, '\0', token.bytes) : NULL;
    const char *password = name ? memchr(name + 1, '\0', (size_t)(end - name - 1)) : NULL;
    if (!password)
        return refuse(connection, &malformed);
    struct weir_slice self = weir_slice(at, (size_t)(name - at));
    struct weir_slice user = weir_slice(name + 1, (size_t)(password - name - 1));
    password++;
    size_t bytes = (size_t)(end - password);
    if (!user.bytes || user.bytes > SCRAM_NAME_BYTES_MAX || !bytes ||
        bytes > USERS_PASSWORD_BYTES_MAX || memchr(password, '\0', bytes))
        return refuse(connection, &malformed);
    if (self.bytes && !weir_slice_equal(self, user))
        return refuse(connection, &other);
    memcpy(sasl->name, user.data, user.bytes);
    sasl->name[user.bytes] = '\0';
    sasl->name_bytes = user.bytes;
    memcpy(sasl->password, password, bytes);
    sasl->password_bytes = bytes;
    return queue_password(connection);
}

/* ---- SCRAM ----------------------------------------------------------------------------------- */

static enum weir_err make_nonce(struct weir_buffer *into)
{
    uint8_t random[NONCE_BYTES];
    return RAND_bytes(random, sizeof random) == 1 ? scram_base64_put(random, sizeof random, into)
                                                  : WEIR_IO;
}

static enum handled take_scram_first(struct connection *connection, struct weir_slice token)
{
    struct users *users = connection->broker->users;
    struct sasl *sasl = connection->sasl;
    struct scram_exchange *scram = &sasl->scram;
    struct scram_credential stranger;
    struct weir_buffer challenge, nonce;
    if (scram_read_first(scram, token, &sasl->refusal) != WEIR_OK)
        return refuse(connection, &sasl->refusal);
    struct weir_slice name = weir_slice(scram->name, scram->name_bytes);
    const struct user *user = users_find(users, name);
    users_stranger(users, name, scram->hash, &stranger);
    weir_buffer_init(&challenge, FINAL_BYTES_MAX);
    weir_buffer_init(&nonce, FINAL_BYTES_MAX);
    enum weir_err err = make_nonce(&nonce);
    if (err == WEIR_OK)
        err = scram_challenge(scram, user ? &user->credentials[scram->hash] : &stranger,
                              weir_buffer_text(&nonce), &challenge);
    if (err == WEIR_OK) {
        sasl->state = WANTS_PROOF;
        answer(connection, WIRE_NONE, NULL, weir_buffer_slice(&challenge));
    } else {
        broker_connection_close(connection);
    }
    weir_buffer_release(&nonce);
    weir_buffer_release(&challenge);
    return HANDLED_PARKED;
}

static enum handled take_scram_proof(struct connection *connection, struct weir_slice token)
{
    struct sasl *sasl = connection->sasl;
    struct weir_buffer final;
    weir_buffer_init(&final, FINAL_BYTES_MAX);
    if (scram_finish(&sasl->scram, token, &final, &sasl->refusal) == WEIR_OK)
        accept_user(connection, sasl->scram.name, weir_buffer_slice(&final));
    else
        refuse(connection, &sasl->refusal);
    weir_buffer_release(&final);
    return HANDLED_PARKED;
}

/* ---- requests -------------------------------------------------------------------------------- */

/* The connection is parked: every answer to a token is given by `answer`, now or later. */
static enum handled take_token(struct connection *connection, struct weir_slice token)
{
    struct sasl *sasl = connection->sasl;
    if (sasl->state == WANTS_PROOF)
        return take_scram_proof(connection, token);
    return sasl->mechanism == MECHANISM_PLAIN ? take_plain(connection, token)
                                              : take_scram_first(connection, token);
}

static void on_time(struct weir_loop_timer *timer)
{
    struct sasl *sasl = timer->opaque;
    struct connection *connection = sasl->connection;
    struct weir_broker *broker = connection->broker;
    if (sasl->state == REFUSED)
        answer(connection, WIRE_SASL_AUTHENTICATION_FAILED, sasl->refusal.message,
               weir_slice("", 0));
    else
        check_password(connection);
    broker_connections_settle(broker);
}

enum handled broker_sasl_take_raw(struct connection *connection, struct weir_slice token)
{
    connection->state = CONNECTION_PARKED;
    return take_token(connection, token);
}

/* Says it once, and goes. */
static enum handled out_of_order(struct request *request, const char *message)
{
    struct wire_writer *out = &request->out;
    wire_put_i16(out, WIRE_ILLEGAL_SASL_STATE);
    if (request->head.key == WIRE_SASL_HANDSHAKE) {
        wire_put_array(out, 0);
    } else {
        wire_put_text(out, message);
        wire_put_bytes(out, weir_slice("", 0));
        if (request->head.version >= 1)
            wire_put_i64(out, 0);
        wire_put_tags(out);
    }
    /* Once in, it is a harmless mistake. */
    request->connection->last = request->connection->sasl != NULL;
    return HANDLED_ANSWER;
}

enum handled broker_handle_sasl_handshake(struct request *request)
{
    struct connection *connection = request->connection;
    struct sasl *sasl = connection->sasl;
    struct wire_writer *out = &request->out;
    struct weir_slice name = wire_string(&request->in);
    wire_tags(&request->in);
    if (request->in.failed)
        return HANDLED_CLOSE;
    if (!sasl || sasl->state != WANTS_MECHANISM)
        return out_of_order(request, NULL);
    int32_t offered = 0;
    for (int i = 0; i < MECHANISMS; i++)
        offered += offers(connection, (enum mechanism)i);
    int mechanism = name.data ? find_mechanism(name) : -1;
    bool known = mechanism >= 0 && offers(connection, (enum mechanism)mechanism);
    wire_put_i16(out, known ? WIRE_NONE : WIRE_UNSUPPORTED_SASL_MECHANISM);
    wire_put_array(out, offered);
    for (int i = 0; i < MECHANISMS; i++)
        if (offers(connection, (enum mechanism)i))
            wire_put_text(out, names[i]);
    if (known) {
        sasl->mechanism = (enum mechanism)mechanism;
        sasl->scram.hash = mechanism == MECHANISM_SHA_512 ? SCRAM_SHA_512 : SCRAM_SHA_256;
        sasl->raw = request->head.version == 0;
        sasl->state = WANTS_TOKEN;
        return HANDLED_ANSWER;
    }
    atomic_fetch_add_explicit(&connection->broker->stats.authentication_failures, 1,
                              memory_order_relaxed);
    weir_log(&connection->broker->options.log, WEIR_LOG_WARN, "broker",
             "%s at %s asks for the SASL mechanism \"%.*s\", which is not offered there",
             connection->peer, connection->listener->address,
             name.bytes < 32 ? (int)name.bytes : 32, name.data ? (const char *)name.data : "");
    connection->last = true;
    return HANDLED_ANSWER;
}

enum handled broker_handle_sasl_authenticate(struct request *request)
{
    struct connection *connection = request->connection;
    struct weir_slice token = wire_bytes(&request->in);
    wire_tags(&request->in);
    if (request->in.failed)
        return HANDLED_CLOSE;
    if (!connection->sasl)
        return out_of_order(request, "SaslAuthenticate where nobody asks for it");
    if (connection->sasl->state == WANTS_MECHANISM)
        return out_of_order(request, "SaslAuthenticate before SaslHandshake");
    broker_connection_park(connection);
    return take_token(connection, token.data ? token : weir_slice("", 0));
}
