/*
 * broker/connection.c - bytes in, answers out; requests.c handles what has come.
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
    ANSWER_BYTES_MAX = 128 << 20,
    KEEP_BYTES = 256 << 10,      /* a buffer up to this size is kept while the connection is busy */
    AUTHENTICATE_MS_MAX = 30000, /* from connect to known: TLS and SASL together */
};

_Static_assert((int)CONNECTION_READ_BYTES >= (int)TLS_RECORD_BYTES_MAX,
               "a read takes a record of TLS");

/* ---- what is held, and who is looked after --------------------------------------------------- */

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

void broker_connection_answered(struct connection *connection)
{
    account(connection); /* now: one batch may wake many fetches, and the next asks what is left */
    connection->state = CONNECTION_READING;
    make_dirty(connection);
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
        return unhandled < CONNECTION_READ_BYTES;
    bool large = unhandled >= CONNECTION_READ_BYTES;
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
        broker_requests_handle(connection);
        send_answers(connection);
        /* requests that waited for the answers to be taken */
        more = connection->state == CONNECTION_READING && connection->out.bytes == 0 &&
               broker_requests_pending(connection);
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
    if (unhandled < CONNECTION_READ_BYTES)
        return CONNECTION_READ_BYTES;
    size_t missing = REQUEST_SIZE_BYTES + broker_request_size(connection) - unhandled;
    size_t step = missing < unhandled ? missing : unhandled;
    return step > CONNECTION_READ_BYTES ? step : CONNECTION_READ_BYTES;
}

/* Reads straight into the connection's buffer where that is there, or worth while. */
static enum weir_err read_into(struct connection *connection, size_t *count_out)
{
    struct weir_buffer *in = &connection->in;
    size_t wanted = read_size(connection);
    if (wanted > CONNECTION_READ_BYTES || in->capacity - in->bytes >= CONNECTION_READ_BYTES) {
        enum weir_err err = weir_buffer_reserve(in, wanted);
        if (err == WEIR_OK)
            err = read_some(connection, weir_buffer_end(in), in->capacity - in->bytes, count_out);
        if (err == WEIR_OK)
            weir_buffer_commit(in, *count_out);
        return err;
    }
    uint8_t *scratch = connection->broker->scratch;
    enum weir_err err = read_some(connection, scratch, CONNECTION_READ_BYTES, count_out);
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
    weir_buffer_init(&connection->in,
                     broker->options.request_bytes_max + 2 * CONNECTION_READ_BYTES);
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
    broker->scratch = weir_alloc(CONNECTION_READ_BYTES);
    return broker->scratch ? WEIR_OK : WEIR_NOMEM;
}
