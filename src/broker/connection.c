/*
 * broker/connection.c - bytes in, requests handled one after the other, answers out.
 *
 * What comes is read into memory that all connections share and copied from there, unless the
 * connection's own buffer has room: so one that is idle or sends a byte now and then holds little.
 * A buffer grows only with the bytes that have really come, whatever size a request claims. While
 * an answer is not taken by the client nothing more is read, and while a request is parked no more
 * than a little, so that the end of the connection is noticed: that is the back-pressure.
 *
 * When all buffers together reach memory_bytes, connections that are in the midst of a large
 * request stall: they are not read, but for one of them, the favoured. So the sum stays bounded,
 * and some request always comes to its end and frees what it held.
 */
#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/clock.h"
#include "broker/inside.h"

enum {
    READ_BYTES = 64 << 10,
    SIZE_BYTES = 4,
    ANSWER_BYTES_MAX = 128 << 20,
    KEEP_BYTES = 256 << 10,      /* a buffer up to this size is kept while the connection is busy */
    AUTHENTICATE_MS_MAX = 30000, /* from connect to known: TLS and SASL together */
};

_Static_assert((int)READ_BYTES >= (int)TLS_RECORD_BYTES_MAX, "a read takes a record of TLS");

_Static_assert((int)WIRE_DESCRIBE_CLUSTER < (int)WEIR_BROKER_API_KEYS,
               "requests are counted by key");

/* ---- handling -------------------------------------------------------------------------------- */

static enum handled dispatch(struct request *request)
{
    switch ((enum wire_api_key)request->head.key) {
    case WIRE_PRODUCE:
        return broker_handle_produce(request);
    case WIRE_FETCH:
        return broker_handle_fetch(request);
    case WIRE_LIST_OFFSETS:
        return broker_handle_list_offsets(request);
    case WIRE_METADATA:
        return broker_handle_metadata(request);
    case WIRE_OFFSET_COMMIT:
        return broker_handle_offset_commit(request);
    case WIRE_OFFSET_FETCH:
        return broker_handle_offset_fetch(request);
    case WIRE_FIND_COORDINATOR:
        return broker_handle_find_coordinator(request);
    case WIRE_JOIN_GROUP:
        return broker_handle_join_group(request);
    case WIRE_HEARTBEAT:
        return broker_handle_heartbeat(request);
    case WIRE_LEAVE_GROUP:
        return broker_handle_leave_group(request);
    case WIRE_SYNC_GROUP:
        return broker_handle_sync_group(request);
    case WIRE_DESCRIBE_GROUPS:
        return broker_handle_describe_groups(request);
    case WIRE_LIST_GROUPS:
        return broker_handle_list_groups(request);
    case WIRE_SASL_HANDSHAKE:
        return broker_handle_sasl_handshake(request);
    case WIRE_SASL_AUTHENTICATE:
        return broker_handle_sasl_authenticate(request);
    case WIRE_API_VERSIONS:
        return broker_handle_api_versions(request);
    case WIRE_CREATE_TOPICS:
        return broker_handle_create_topics(request);
    case WIRE_DELETE_TOPICS:
        return broker_handle_delete_topics(request);
    case WIRE_DELETE_RECORDS:
        return broker_handle_delete_records(request);
    case WIRE_INIT_PRODUCER_ID:
        return broker_handle_init_producer_id(request);
    case WIRE_OFFSET_FOR_LEADER_EPOCH:
        return broker_handle_offset_for_leader_epoch(request);
    case WIRE_ADD_PARTITIONS_TO_TXN:
        return broker_handle_add_partitions_to_txn(request);
    case WIRE_ADD_OFFSETS_TO_TXN:
        return broker_handle_add_offsets_to_txn(request);
    case WIRE_END_TXN:
        return broker_handle_end_txn(request);
    case WIRE_WRITE_TXN_MARKERS:
        return broker_handle_write_txn_markers(request);
    case WIRE_TXN_OFFSET_COMMIT:
        return broker_handle_txn_offset_commit(request);
    case WIRE_DESCRIBE_CONFIGS:
        return broker_handle_describe_configs(request);
    case WIRE_ALTER_CONFIGS:
    case WIRE_INCREMENTAL_ALTER_CONFIGS:
        return broker_handle_alter_configs(request);
    case WIRE_DESCRIBE_LOG_DIRS:
        return broker_handle_describe_log_dirs(request);
    case WIRE_CREATE_PARTITIONS:
        return broker_handle_create_partitions(request);
    case WIRE_DELETE_GROUPS:
        return broker_handle_delete_groups(request);
    case WIRE_OFFSET_DELETE:
        return broker_handle_offset_delete(request);
    case WIRE_DESCRIBE_CLUSTER:
        return broker_handle_describe_cluster(request);
    case WIRE_DESCRIBE_PRODUCERS:
        return broker_handle_describe_producers(request);
    case WIRE_DESCRIBE_TRANSACTIONS:
        return broker_handle_describe_transactions(request);
    case WIRE_LIST_TRANSACTIONS:
        return broker_handle_list_transactions(request);
    }
    return HANDLED_CLOSE;
}

/* Takes a half-written answer back. */
static void drop_answer(struct connection *connection)
{
    weir_buffer_truncate(&connection->out, connection->answer_place);
}

struct wire_writer broker_answer_begin(struct connection *connection)
{
    struct wire_writer writer = wire_writer(&connection->out, false);
    connection->answer_place = connection->out.bytes;
    wire_reserve_i32(&writer);
    wire_response_head(&writer, &connection->head);
    return writer;
}

static size_t buffer_bytes(const struct connection *connection)
{
    return connection->in.capacity + connection->out.capacity + broker_held_bytes(connection);
}

/* Brings the broker's sum up to date. */
static void account(struct connection *connection)
{
    connection->broker->memory_used += buffer_bytes(connection) - connection->counted;
    connection->counted = buffer_bytes(connection);
}

static void make_dirty(struct connection *connection)
{
    if (connection->dirty)
        return;
    connection->dirty = true;
    connection->next_dirty = connection->broker->dirty;
    connection->broker->dirty = connection;
}

void broker_connection_park(struct connection *connection)
{
    drop_answer(connection);
    connection->state = CONNECTION_PARKED;
}

static void finish_answer(struct connection *connection, const struct wire_writer *writer)
{
    struct wire_writer last = *writer;
    size_t bytes = connection->out.bytes - connection->answer_place - SIZE_BYTES;
    wire_fill_i32(&last, connection->answer_place, (int32_t)bytes);
}

void broker_answer_end(struct connection *connection, const struct wire_writer *writer)
{
    weir_assert(connection->state == CONNECTION_PARKED);
    if (writer->err != WEIR_OK) {
        drop_answer(connection);
        broker_connection_close(connection);
        return;
    }
    finish_answer(connection, writer);
    account(connection); /* now: one batch may wake many fetches, and the next asks what is left */
    connection->state = CONNECTION_READING;
    make_dirty(connection);
}

/* An API or version that is not here: ApiVersions is answered so that the client can choose again,
 * anything else breaks the connection, as Kafka does. */
static enum handled refuse_version(struct request *request)
{
    bool goes_on = request->head.key == WIRE_API_VERSIONS;
    weir_log(&request->broker->options.log, goes_on ? WEIR_LOG_DEBUG : WEIR_LOG_WARN, "broker",
             "%s asks for api %d version %d, which is not here", request->connection->peer,
             request->head.key, request->head.version);
    return goes_on ? broker_handle_api_versions(request) : HANDLED_CLOSE;
}

static enum handled handle_request(struct connection *connection, struct weir_slice bytes)
{
    struct request request = {.broker = connection->broker, .connection = connection};
    request.in = wire_reader(bytes, false);
    atomic_fetch_add_explicit(&connection->broker->stats.requests, 1, memory_order_relaxed);
    if (broker_sasl_is_raw(connection))
        return broker_sasl_take_raw(connection, bytes);
    if (!wire_request_head(&request.in, &request.head))
        return HANDLED_CLOSE;
    if (connection->sasl && !broker_sasl_admits(connection, &request.head)) {
        weir_log(&connection->broker->options.log, WEIR_LOG_WARN, "broker",
                 "%s sends a %s request to %s before it has authenticated: closed (is "
                 "security.protocol=%s set?)",
                 connection->peer, request.head.api ? request.head.api->name : "unknown",
                 connection->listener->address,
                 broker_security_name(connection->listener->security));
        return HANDLED_CLOSE;
    }
    connection->head = request.head;
    if (request.head.api)
        atomic_fetch_add_explicit(&connection->broker->stats.by_api[request.head.key], 1,
                                  memory_order_relaxed);
    request.out = broker_answer_begin(connection);
    enum handled handled = request.head.supported ? dispatch(&request) : refuse_version(&request);
    connection->head.client_id = weir_slice(NULL, 0); /* it lies in the buffer, which moves */
    if (handled == HANDLED_PARKED)                    /* perhaps answered meanwhile */
        return handled;
    if (request.in.failed || request.out.err != WEIR_OK) {
        weir_log(&connection->broker->options.log, WEIR_LOG_WARN, "broker",
                 "%s sent a malformed %s request, version %d", connection->peer,
                 request.head.api ? request.head.api->name : "unknown", request.head.version);
        handled = HANDLED_CLOSE;
    }
    if (handled == HANDLED_ANSWER)
        finish_answer(connection, &request.out);
    else
        drop_answer(connection);
    return handled;
}

/* What the size in front of the next request says; its four bytes are there. */
static uint32_t request_size(const struct connection *connection)
{
    const uint8_t *at = connection->in.data + connection->in_used;
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* The next whole request in the buffer. False: there is none yet, or the connection goes. */
static bool take_request(struct connection *connection, struct weir_slice *out)
{
    const uint8_t *at = connection->in.data + connection->in_used;
    size_t left = connection->in.bytes - connection->in_used;
    if (left < SIZE_BYTES)
        return false;
    uint32_t size = request_size(connection);
    size_t size_max = connection->sasl ? (size_t)SASL_REQUEST_BYTES_MAX
                                       : connection->broker->options.request_bytes_max;
    if (size > size_max || (size < 8 && !broker_sasl_is_raw(connection))) {
        weir_log(&connection->broker->options.log, WEIR_LOG_WARN, "broker",
                 "%s announces a request of %u bytes: closed (is it a Kafka client?)",
                 connection->peer, size);
        broker_connection_close(connection);
        return false;
    }
    if (left - SIZE_BYTES < size)
        return false;
    *out = weir_slice(at + SIZE_BYTES, size);
    connection->in_used += SIZE_BYTES + size;
    return true;
}

static bool has_request(const struct connection *connection)
{
    size_t left = connection->in.bytes - connection->in_used;
    return left >= SIZE_BYTES && left - SIZE_BYTES >= request_size(connection);
}

static void handle_requests(struct connection *connection)
{
    struct weir_slice bytes;
    while (connection->state == CONNECTION_READING && !connection->last &&
           connection->out.bytes - connection->out_sent < READ_BYTES &&
           take_request(connection, &bytes)) {
        bool secret = connection->sasl != NULL; /* perhaps a password */
        size_t end = connection->in_used;
        enum handled handled = handle_request(connection, bytes);
        if (secret)
            explicit_bzero(connection->in.data + end - bytes.bytes, bytes.bytes);
        switch (handled) {
        case HANDLED_ANSWER:
        case HANDLED_SILENT:
        case HANDLED_PARKED:
            break;
        case HANDLED_CLOSE:
            atomic_fetch_add_explicit(&connection->broker->stats.requests_failed, 1,
                                      memory_order_relaxed);
            broker_connection_close(connection);
            break;
        }
    }
}

/* ---- bytes ----------------------------------------------------------------------------------- */

static enum weir_err write_some(struct connection *connection, const void *data, size_t bytes,
                                size_t *count_out)
{
    return connection->tls ? tls_write(connection->tls, data, bytes, count_out)
                           : weir_net_write(connection->fd, data, bytes, count_out, NULL);
}

static enum weir_err read_some(struct connection *connection, void *into, size_t bytes,
                               size_t *count_out)
{
    return connection->tls ? tls_read(connection->tls, into, bytes, count_out)
                           : weir_net_read(connection->fd, into, bytes, count_out, NULL);
}

/* Sends what it takes; forgets what is sent. */
static void send_answers(struct connection *connection)
{
    while (connection->state != CONNECTION_CLOSING &&
           connection->out_sent < connection->out.bytes) {
        size_t count = 0;
        enum weir_err err = write_some(connection, connection->out.data + connection->out_sent,
                                       connection->out.bytes - connection->out_sent, &count);
        if (err == WEIR_AGAIN)
            return;
        if (err != WEIR_OK) {
            broker_connection_close(connection);
            return;
        }
        connection->out_sent += count;
        connection->active_ns = weir_loop_now_ns(connection->broker->loop);
        atomic_fetch_add_explicit(&connection->broker->stats.bytes_out, count,
                                  memory_order_relaxed);
    }
    if (connection->last)
        broker_connection_close(connection);
    if (connection->state == CONNECTION_CLOSING)
        return;
    connection->out_sent = 0;
    if (connection->out.capacity > KEEP_BYTES)
        weir_buffer_release(&connection->out);
    else
        weir_buffer_clear(&connection->out);
}

/* Moves what is left of the requests to the front. */
static void tidy_in(struct connection *connection)
{
    if (connection->in_used == connection->in.bytes && connection->in.capacity > KEEP_BYTES)
        weir_buffer_release(&connection->in);
    else
        weir_buffer_consume(&connection->in, connection->in_used);
    connection->in_used = 0;
}

static void stall(struct connection *connection, bool stalled)
{
    if (connection->stalled == stalled)
        return;
    connection->stalled = stalled;
    connection->broker->stalled_count += stalled ? 1 : -1;
}

/* May more be read into its buffer? */
static bool has_room(struct connection *connection)
{
    struct weir_broker *broker = connection->broker;
    size_t unhandled = connection->in.bytes - connection->in_used;
    if (connection->state == CONNECTION_PARKED)
        return unhandled < READ_BYTES;
    bool large = unhandled >= READ_BYTES;
    if (!large && broker->favoured == connection)
        broker->favoured = NULL;
    if (!large || broker->memory_used < broker->options.memory_bytes)
        return true;
    if (!broker->favoured)
        broker->favoured = connection;
    return broker->favoured == connection;
}

static void update_interest(struct connection *connection)
{
    bool unsent = connection->out_sent < connection->out.bytes;
    unsigned interest = unsent ? WEIR_LOOP_WRITE : 0;
    if (connection->state == CONNECTION_CLOSING)
        return;
    bool room = has_room(connection);
    if (!unsent && room) /* TLS may have to write before it can read on */
        interest |=
            connection->tls && tls_wants_write(connection->tls) ? WEIR_LOOP_WRITE : WEIR_LOOP_READ;
    stall(connection, connection->state == CONNECTION_READING && !room);
    weir_loop_fd_interest(&connection->handle, interest);
}

/* Those that wait for memory look again when there is some. */
static void wake_stalled(struct weir_broker *broker)
{
    if (!broker->stalled_count ||
        (broker->favoured && broker->memory_used >= broker->options.memory_bytes))
        return;
    for (struct connection *at = broker->connections; at; at = at->next)
        if (at->stalled)
            update_interest(at);
}

/* Requests and answers until nothing more can be done now. */
static void look_after(struct connection *connection)
{
    bool more = false;
    do {
        handle_requests(connection);
        send_answers(connection);
        /* requests that waited for the answers to be taken */
        more = connection->state == CONNECTION_READING && connection->out.bytes == 0 &&
               has_request(connection);
    } while (more);
    if (connection->state == CONNECTION_CLOSING)
        return;
    if (connection->in_used)
        tidy_in(connection);
    connection->busy = true;
    account(connection);
    update_interest(connection);
}

void broker_connections_settle(struct weir_broker *broker)
{
    while (broker->dirty) {
        struct connection *connection = broker->dirty;
        broker->dirty = connection->next_dirty;
        connection->dirty = false;
        if (connection->state != CONNECTION_CLOSING)
            look_after(connection);
    }
    wake_stalled(broker);
}

/* Nothing came from it or went to it for too long, or it is still unknown. Whoever waits for us is
 * left alone: TCP notices if nobody is there any more. */
static bool is_overdue(const struct connection *connection, int64_t now_ns)
{
    const struct weir_broker *broker = connection->broker;
    bool unknown = connection->state == CONNECTION_HANDSHAKE || connection->sasl;
    if (unknown && now_ns - connection->opened_ns >= AUTHENTICATE_MS_MAX * WEIR_NS_PER_MS)
        return true;
    return connection->state != CONNECTION_PARKED &&
           (now_ns - connection->active_ns) / WEIR_NS_PER_MS >=
               broker->options.connections_max_idle_ms;
}

static void expire(struct connection *connection)
{
    struct weir_broker *broker = connection->broker;
    atomic_fetch_add_explicit(&broker->stats.connections_expired, 1, memory_order_relaxed);
    weir_log(&broker->options.log, WEIR_LOG_DEBUG, "broker", "%s is closed: %s", connection->peer,
             connection->state == CONNECTION_HANDSHAKE ? "its TLS handshake takes too long"
             : connection->sasl                        ? "it takes too long to authenticate"
                                                       : "it was idle for connections.max.idle.ms");
    broker_connection_close(connection);
}

void broker_connections_trim(struct weir_broker *broker)
{
    int64_t now_ns = weir_loop_now_ns(broker->loop);
    struct connection *next;
    for (struct connection *at = broker->connections; at; at = next) {
        next = at->next;
        if (is_overdue(at, now_ns)) {
            expire(at);
            continue;
        }
        if (!at->busy && !at->in.bytes)
            weir_buffer_release(&at->in);
        if (!at->busy && !at->out.bytes)
            weir_buffer_release(&at->out);
        at->busy = false;
        account(at);
    }
    wake_stalled(broker);
}

/* How much to read at once: a large request is read in doubling steps as it comes. */
static size_t read_size(const struct connection *connection)
{
    size_t unhandled = connection->in.bytes - connection->in_used;
    if (unhandled < READ_BYTES)
        return READ_BYTES;
    size_t missing = SIZE_BYTES + request_size(connection) - unhandled;
    size_t step = missing < unhandled ? missing : unhandled;
    return step > READ_BYTES ? step : READ_BYTES;
}

/* Reads straight into the connection's buffer where that is there, or worth while. */
static enum weir_err read_into(struct connection *connection, size_t *count_out)
{
    struct weir_buffer *in = &connection->in;
    size_t wanted = read_size(connection);
    if (wanted > READ_BYTES || in->capacity - in->bytes >= READ_BYTES) {
        enum weir_err err = weir_buffer_reserve(in, wanted);
        if (err == WEIR_OK)
            err = read_some(connection, weir_buffer_end(in), in->capacity - in->bytes, count_out);
        if (err == WEIR_OK)
            weir_buffer_commit(in, *count_out);
        return err;
    }
    uint8_t *scratch = connection->broker->scratch;
    enum weir_err err = read_some(connection, scratch, READ_BYTES, count_out);
    if (err == WEIR_OK)
        err = weir_buffer_append(in, scratch, *count_out);
    if (connection->sasl)
        explicit_bzero(scratch, *count_out);
    return err;
}

static void read_bytes(struct connection *connection)
{
    size_t count = 0;
    enum weir_err err = read_into(connection, &count);
    if (err == WEIR_AGAIN)
        return;
    if (err != WEIR_OK) {
        broker_connection_close(connection);
        return;
    }
    connection->active_ns = weir_loop_now_ns(connection->broker->loop);
    atomic_fetch_add_explicit(&connection->broker->stats.bytes_in, count, memory_order_relaxed);
}

static void shake_hands(struct connection *connection)
{
    struct weir_broker *broker = connection->broker;
    struct weir_error error = {.code = WEIR_OK};
    enum weir_err err = tls_handshake(connection->tls, &error);
    if (err == WEIR_AGAIN) {
        weir_loop_fd_interest(&connection->handle,
                              tls_wants_write(connection->tls) ? WEIR_LOOP_WRITE : WEIR_LOOP_READ);
        return;
    }
    if (err != WEIR_OK) {
        atomic_fetch_add_explicit(&broker->stats.tls_handshake_failures, 1, memory_order_relaxed);
        weir_log(&broker->options.log, WEIR_LOG_WARN, "broker",
                 "%s at %s fails the TLS handshake: %s", connection->peer,
                 connection->listener->address, error.message);
        broker_connection_close(connection);
        return;
    }
    connection->state = CONNECTION_READING;
    read_bytes(connection); /* what came with the last message of the handshake */
}

static void on_ready(struct weir_loop_fd *handle, unsigned events)
{
    struct connection *connection = handle->opaque;
    if (connection->state == CONNECTION_HANDSHAKE) {
        shake_hands(connection);
        if (connection->state == CONNECTION_HANDSHAKE)
            return;
    } else {
        bool reads =
            events & WEIR_LOOP_READ || (connection->tls && tls_wants_write(connection->tls));
        if (events & WEIR_LOOP_WRITE)
            send_answers(connection);
        if (connection->state != CONNECTION_CLOSING && reads)
            read_bytes(connection);
    }
    if (connection->state != CONNECTION_CLOSING)
        make_dirty(connection);
    broker_connections_settle(connection->broker);
}

/* ---- life ------------------------------------------------------------------------------------ */

static void on_closed(struct weir_loop_fd *handle)
{
    struct connection *connection = handle->opaque;
    tls_free(connection->tls);
    weir_net_close(connection->fd);
    weir_buffer_release(&connection->in);
    weir_buffer_release(&connection->out);
    weir_free(connection);
}

/* Takes it out of the list of those to be looked after. */
static void clean(struct connection *connection)
{
    struct connection **at = &connection->broker->dirty;
    while (*at && *at != connection)
        at = &(*at)->next_dirty;
    if (*at)
        *at = connection->next_dirty;
    connection->dirty = false;
}

void broker_connection_close(struct connection *connection)
{
    struct weir_broker *broker = connection->broker;
    if (connection->state == CONNECTION_CLOSING)
        return;
    if (connection->fetch)
        broker_fetch_cancel(connection);
    if (connection->member)
        broker_group_connection_gone(connection);
    if (connection->held)
        broker_held_cancel(connection);
    broker_sasl_free(connection);
    connection->state = CONNECTION_CLOSING;
    if (connection->dirty)
        clean(connection);
    broker->memory_used -= connection->counted;
    stall(connection, false);
    if (broker->favoured == connection)
        broker->favoured = NULL;
    if (connection->previous)
        connection->previous->next = connection->next;
    else
        broker->connections = connection->next;
    if (connection->next)
        connection->next->previous = connection->previous;
    atomic_fetch_sub(&broker->stats.connections, 1);
    weir_loop_fd_close(&connection->handle, on_closed);
}

static void discard(struct connection *connection)
{
    broker_sasl_free(connection);
    tls_free(connection->tls);
    weir_net_close(connection->fd);
    weir_free(connection);
}

void broker_connection_adopt(const struct listener *listener, int fd,
                             const struct weir_address *peer)
{
    struct weir_broker *broker = listener->broker;
    struct weir_endpoint endpoint;
    struct connection *connection = weir_calloc(1, sizeof *connection);
    if (!connection) {
        weir_net_close(fd);
        return;
    }
    connection->broker = broker;
    connection->listener = listener;
    connection->fd = fd;
    connection->handle.opaque = connection;
    connection->state =
        security_has_tls(listener->security) ? CONNECTION_HANDSHAKE : CONNECTION_READING;
    connection->opened_ns = connection->active_ns = weir_loop_now_ns(broker->loop);
    weir_net_endpoint_of(peer, &endpoint);
    weir_net_format(&endpoint, connection->peer);
    weir_net_keepalive(fd);
    weir_buffer_init(&connection->in, broker->options.request_bytes_max + 2 * READ_BYTES);
    weir_buffer_init(&connection->out, ANSWER_BYTES_MAX);
    if ((connection->state == CONNECTION_HANDSHAKE &&
         tls_new(broker->tls, fd, &connection->tls) != WEIR_OK) ||
        (security_has_sasl(listener->security) && broker_sasl_new(connection) != WEIR_OK) ||
        weir_loop_fd_open(broker->loop, &connection->handle, fd, WEIR_LOOP_READ, on_ready, NULL) !=
            WEIR_OK) {
        discard(connection);
        return;
    }
    connection->next = broker->connections;
    if (connection->next)
        connection->next->previous = connection;
    broker->connections = connection;
    atomic_fetch_add(&broker->stats.connections, 1);
    atomic_fetch_add(&broker->stats.connections_opened, 1);
}

void broker_connections_close(struct weir_broker *broker)
{
    while (broker->connections)
        broker_connection_close(broker->connections);
}

enum weir_err broker_connections_open(struct weir_broker *broker)
{
    broker->scratch = weir_alloc(READ_BYTES);
    return broker->scratch ? WEIR_OK : WEIR_NOMEM;
}
