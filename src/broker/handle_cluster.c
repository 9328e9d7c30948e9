/* broker/handle_cluster.c - what there is: versions, the cluster, its topics, its directory. */
#include <sys/socket.h>

#include <stdio.h>
#include <string.h>

#include "broker/inside.h"

enum { ENDPOINT_BROKERS = 1 };

/*
 * Without authorization everybody may do everything that can be done to a thing: a bit for each of
 * Kafka's operations (READ 3, WRITE 4, CREATE 5, DELETE 6, ALTER 7, DESCRIBE 8, CLUSTER_ACTION 9,
 * DESCRIBE_CONFIGS 10, ALTER_CONFIGS 11, IDEMPOTENT_WRITE 12).
 */
enum { TOPIC_OPERATIONS = 0xdf8, CLUSTER_OPERATIONS = 0x1fa0 };

static int32_t operations_if(bool asked, int32_t operations)
{
    return asked ? operations : INT32_MIN;
}

void broker_put_address(struct request *request)
{
    struct wire_writer *out = &request->out;
    struct weir_endpoint reached = request->connection->listener->advertised;
    struct weir_address address = {.bytes = sizeof address.storage};
    if (!*reached.host && getsockname(request->connection->fd, (struct sockaddr *)&address.storage,
                                      &address.bytes) == 0)
        weir_net_endpoint_of(&address, &reached);
    wire_put_i32(out, BROKER_ID);
    wire_put_text(out, reached.host);
    wire_put_i32(out, reached.port);
}

enum wire_error broker_wire_error_of(enum weir_err err)
{
    switch (err) {
    case WEIR_OK:
        return WIRE_NONE;
    case WEIR_EXISTS:
        return WIRE_TOPIC_ALREADY_EXISTS;
    case WEIR_NOT_FOUND:
        return WIRE_UNKNOWN_TOPIC_OR_PARTITION;
    case WEIR_LIMIT:
        return WIRE_INVALID_PARTITIONS;
    case WEIR_INVALID:
        return WIRE_INVALID_REQUEST;
    case WEIR_IO:
        return WIRE_STORAGE_ERROR;
    default:
        return WIRE_UNKNOWN_SERVER_ERROR;
    }
}

/* ---- ApiVersions ----------------------------------------------------------------------------- */

enum handled broker_handle_api_versions(struct request *request)
{
    struct wire_writer *out = &request->out;
    bool supported = request->head.supported;
    /* A version we don't know is answered in the plainest form, so that it is understood. */
    int16_t version = supported ? request->head.version : 0;
    out->flexible = version >= 3;
    wire_put_i16(out, supported ? WIRE_NONE : WIRE_UNSUPPORTED_VERSION);
    wire_put_array(out, (int32_t)wire_api_count);
    for (size_t i = 0; i < wire_api_count; i++) {
        wire_put_i16(out, wire_apis[i].key);
        wire_put_i16(out, wire_apis[i].advertised_min);
        wire_put_i16(out, wire_apis[i].max);
        wire_put_tags(out);
    }
    if (version >= 1)
        wire_put_i32(out, 0);
    wire_put_tags(out);
    return HANDLED_ANSWER;
}

/* ---- Metadata -------------------------------------------------------------------------------- */

/* What a client asks of topics, beside their names. */
struct asking {
    int16_t version;
    bool may_create, operations;
};

static void put_partitions(struct wire_writer *out, int16_t version, const struct topic *topic)
{
    wire_put_array(out, topic ? topic->partition_count : 0);
    for (int32_t i = 0; topic && i < topic->partition_count; i++) {
        wire_put_i16(out, WIRE_NONE);
        wire_put_i32(out, i);
        wire_put_i32(out, BROKER_ID); /* leader */
        if (version >= 7)
            wire_put_i32(out, LEADER_EPOCH);
        for (int list = 0; list < 2; list++) { /* replicas, in-sync replicas */
            wire_put_array(out, 1);
            wire_put_i32(out, BROKER_ID);
        }
        if (version >= 5)
            wire_put_array(out, 0); /* offline replicas */
        wire_put_tags(out);
    }
}

/* topic NULL: there is none, and why; name or id are then what was asked for. */
static void put_topic(struct wire_writer *out, const struct asking *asking, struct weir_slice name,
                      struct wire_uuid id, const struct topic *topic, enum wire_error error)
{
    wire_put_i16(out, (int16_t)error);
    wire_put_string(out, name.data || asking->version >= 12 ? name : weir_slice("", 0));
    if (asking->version >= 10)
        wire_put_uuid(out, topic ? topic->id : id);
    if (asking->version >= 1)
        wire_put_bool(out, false); /* internal */
    put_partitions(out, asking->version, topic);
    if (asking->version >= 8)
        wire_put_i32(out, operations_if(asking->operations && topic, TOPIC_OPERATIONS));
    wire_put_tags(out);
}

static struct weir_slice name_of(const struct topic *topic)
{
    return weir_slice(topic->name, strlen(topic->name));
}

/* A topic that was asked for by name; made if that is allowed and it is missing. */
static void put_named(struct request *request, const struct asking *asking, struct weir_slice name)
{
    struct weir_broker *broker = request->broker;
    struct topic *topic = broker_topic_find(broker, name);
    enum wire_error error = WIRE_NONE;
    if (!name.data || !broker_topic_name_valid(name)) {
        error = WIRE_INVALID_TOPIC;
    } else if (!topic) {
        error = WIRE_UNKNOWN_TOPIC_OR_PARTITION;
        if (asking->may_create && broker_topic_create(broker, name, broker->options.partitions,
                                                      NULL, 0, &topic, NULL) == WEIR_OK)
            error = WIRE_NONE;
    }
    put_topic(&request->out, asking, name.data ? name : weir_slice("", 0), (struct wire_uuid){{0}},
              topic, error);
}

static void put_identified(struct request *request, const struct asking *asking,
                           struct wire_uuid id)
{
    const struct topic *topic = broker_topic_find_id(request->broker, id);
    put_topic(&request->out, asking, topic ? name_of(topic) : weir_slice(NULL, 0), id, topic,
              topic ? WIRE_NONE : WIRE_UNKNOWN_TOPIC_ID);
}

static struct weir_slice read_asked(struct wire_reader *in, int16_t version, struct wire_uuid *id)
{
    *id = version >= 10 ? wire_uuid(in) : (struct wire_uuid){{0}};
    struct weir_slice name = wire_string(in);
    wire_tags(in);
    return name;
}

static void put_brokers(struct request *request, bool has_rack)
{
    wire_put_array(&request->out, 1);
    broker_put_address(request);
    if (has_rack)
        wire_put_text(&request->out, NULL);
    wire_put_tags(&request->out);
}

enum handled broker_handle_metadata(struct request *request)
{
    int16_t version = request->head.version;
    struct weir_broker *broker = request->broker;
    struct wire_reader *in = &request->in, names;
    struct wire_writer *out = &request->out;
    struct asking asking = {.version = version};
    struct wire_uuid id;
    int32_t count = wire_array(in, 1);
    names = *in;
    for (int32_t i = 0; i < count && !in->failed; i++)
        read_asked(in, version, &id);
    asking.may_create = (version >= 4 ? wire_bool(in) : true) && broker->options.auto_create_topics;
    bool operations = version >= 8 && version <= 10 && wire_bool(in); /* of the cluster */
    asking.operations = version >= 8 && wire_bool(in);
    wire_tags(in);
    if (in->failed)
        return HANDLED_CLOSE;
    if (version >= 3)
        wire_put_i32(out, 0);
    put_brokers(request, version >= 1);
    if (version >= 2)
        wire_put_text(out, broker->cluster_id);
    if (version >= 1)
        wire_put_i32(out, BROKER_ID); /* controller */
    bool all = count < 0 || (version == 0 && count == 0);
    wire_put_array(out, all ? (int32_t)weir_map_count(&broker->topics) : count);
    for (int32_t i = 0; !all && i < count; i++) {
        struct weir_slice name = read_asked(&names, version, &id);
        if (broker_topic_id_is_none(id))
            put_named(request, &asking, name);
        else
            put_identified(request, &asking, id);
    }
    for (struct weir_map_entry *e = NULL; all && (e = weir_map_next(&broker->topics, e)) != NULL;)
        put_topic(out, &asking, weir_slice(e->key, e->key_bytes), (struct wire_uuid){{0}},
                  e->value.pointer, WIRE_NONE);
    if (version >= 8 && version <= 10)
        wire_put_i32(out, operations_if(operations, CLUSTER_OPERATIONS));
    wire_put_tags(out);
    return HANDLED_ANSWER;
}

/* ---- DescribeCluster, DescribeLogDirs -------------------------------------------------------- */

enum handled broker_handle_describe_cluster(struct request *request)
{
    int16_t version = request->head.version;
    struct wire_writer *out = &request->out;
    bool operations = wire_bool(&request->in);
    int8_t endpoints = version >= 1 ? wire_i8(&request->in) : ENDPOINT_BROKERS;
    wire_tags(&request->in);
    bool ok = endpoints == ENDPOINT_BROKERS;
    wire_put_i32(out, 0);
    wire_put_i16(out, ok ? WIRE_NONE : WIRE_MISMATCHED_ENDPOINT_TYPE);
    wire_put_text(out, ok ? NULL : "this is an endpoint of brokers, not of controllers");
    if (version >= 1)
        wire_put_i8(out, ENDPOINT_BROKERS);
    wire_put_text(out, request->broker->cluster_id);
    wire_put_i32(out, BROKER_ID);
    put_brokers(request, true);
    wire_put_i32(out, operations_if(operations, CLUSTER_OPERATIONS));
    wire_put_tags(out);
    return HANDLED_ANSWER;
}

static void put_log_partition(struct wire_writer *out, const struct topic *topic, int32_t index)
{
    wire_put_i32(out, index);
    wire_put_i64(out, weir_plog_bytes(topic->partitions[index].log));
    wire_put_i64(out, 0);      /* lag of a replica that moves here: none does */
    wire_put_bool(out, false); /* nor is it one */
    wire_put_tags(out);
}

/* The partitions of a topic that were asked for and are there. */
static void put_log_asked(struct wire_writer *out, const struct topic *topic,
                          struct wire_reader indices, int32_t count)
{
    struct wire_reader again = indices;
    int32_t known = 0;
    for (int32_t i = 0; i < count; i++) {
        int32_t index = wire_i32(&again);
        known += topic && index >= 0 && index < topic->partition_count;
    }
    wire_put_array(out, known);
    for (int32_t i = 0; i < count; i++) {
        int32_t index = wire_i32(&indices);
        if (topic && index >= 0 && index < topic->partition_count)
            put_log_partition(out, topic, index);
    }
}

static void put_log_topics(struct request *request, int32_t count)
{
    struct wire_reader *in = &request->in;
    struct wire_writer *out = &request->out;
    struct weir_broker *broker = request->broker;
    wire_put_array(out, count < 0 ? (int32_t)weir_map_count(&broker->topics) : count);
    for (int32_t i = 0; i < count && !in->failed; i++) {
        struct weir_slice name = wire_string(in);
        int32_t index_count = wire_array(in, 4);
        struct wire_reader indices = *in;
        for (int32_t j = 0; j < index_count; j++)
            wire_i32(in);
        wire_tags(in);
        wire_put_string(out, name);
        put_log_asked(out, broker_topic_find(broker, name), indices, in->failed ? 0 : index_count);
        wire_put_tags(out);
    }
    for (struct weir_map_entry *e = NULL; count < 0 && (e = weir_map_next(&broker->topics, e));) {
        const struct topic *topic = e->value.pointer;
        wire_put_text(out, topic->name);
        wire_put_array(out, topic->partition_count);
        for (int32_t i = 0; i < topic->partition_count; i++)
            put_log_partition(out, topic, i);
        wire_put_tags(out);
    }
}

enum handled broker_handle_describe_log_dirs(struct request *request)
{
    int16_t version = request->head.version;
    struct wire_writer *out = &request->out;
    int32_t count = wire_array(&request->in, 6);
    wire_put_i32(out, 0);
    if (version >= 3)
        wire_put_i16(out, WIRE_NONE);
    wire_put_array(out, 1);
    wire_put_i16(out, WIRE_NONE);
    wire_put_text(out, request->broker->data_dir);
    put_log_topics(request, count);
    if (version >= 4) {
        wire_put_i64(out, -1); /* size of the volume and what is left of it: not known here */
        wire_put_i64(out, -1);
    }
    wire_put_tags(out);
    wire_tags(&request->in);
    wire_put_tags(out);
    return HANDLED_ANSWER;
}
