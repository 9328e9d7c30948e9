/*
 * broker/requests.c - requests are taken from what has come, handled one after the other by the
 * handler of their kind, and answered; an answer that has to wait comes later, by a parked request.
 */
#include <string.h>

#include "base/assert.h"
#include "broker/inside.h"

_Static_assert((int)WIRE_DESCRIBE_CLUSTER < (int)WEIR_BROKER_API_KEYS,
               "requests are counted by key");

/* ---- the handlers ---------------------------------------------------------------------------- */

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

/* ---- answers --------------------------------------------------------------------------------- */

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

void broker_connection_park(struct connection *connection)
{
    drop_answer(connection);
    connection->state = CONNECTION_PARKED;
}

static void finish_answer(struct connection *connection, const struct wire_writer *writer)
{
    struct wire_writer last = *writer;
    size_t bytes = connection->out.bytes - connection->answer_place - REQUEST_SIZE_BYTES;
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
    broker_connection_answered(connection);
}

/* ---- requests -------------------------------------------------------------------------------- */

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

uint32_t broker_request_size(const struct connection *connection)
{
    const uint8_t *at = connection->in.data + connection->in_used;
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* The next whole request in the buffer. False: there is none yet, or the connection goes. */
static bool take_request(struct connection *connection, struct weir_slice *out)
{
    const uint8_t *at = connection->in.data + connection->in_used;
    size_t left = connection->in.bytes - connection->in_used;
    if (left < REQUEST_SIZE_BYTES)
        return false;
    uint32_t size = broker_request_size(connection);
    size_t size_max = connection->sasl ? (size_t)SASL_REQUEST_BYTES_MAX
                                       : connection->broker->options.request_bytes_max;
    if (size > size_max || (size < 8 && !broker_sasl_is_raw(connection))) {
        weir_log(&connection->broker->options.log, WEIR_LOG_WARN, "broker",
                 "%s announces a request of %u bytes: closed (is it a Kafka client?)",
                 connection->peer, size);
        broker_connection_close(connection);
        return false;
    }
    if (left - REQUEST_SIZE_BYTES < size)
        return false;
    *out = weir_slice(at + REQUEST_SIZE_BYTES, size);
    connection->in_used += REQUEST_SIZE_BYTES + size;
    return true;
}

bool broker_requests_pending(const struct connection *connection)
{
    size_t left = connection->in.bytes - connection->in_used;
    return left >= REQUEST_SIZE_BYTES &&
           left - REQUEST_SIZE_BYTES >= broker_request_size(connection);
}

void broker_requests_handle(struct connection *connection)
{
    struct weir_slice bytes;
    while (connection->state == CONNECTION_READING && !connection->last &&
           connection->out.bytes - connection->out_sent < CONNECTION_READ_BYTES &&
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
