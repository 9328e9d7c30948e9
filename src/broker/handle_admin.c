/* broker/handle_admin.c - what there is: versions, the cluster, topics and their settings. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "broker/inside.h"

enum { CONFIGS_MAX = 256, CREATED_MAX = 10000 };

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

static void put_topic(struct wire_writer *out, int16_t version, struct weir_slice name,
                      const struct topic *topic, enum wire_error error)
{
    wire_put_i16(out, (int16_t)error);
    wire_put_string(out, name);
    if (version >= 1)
        wire_put_bool(out, false); /* internal */
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
    if (version >= 8)
        wire_put_i32(out, INT32_MIN); /* authorized operations */
    wire_put_tags(out);
}

/* A topic that was asked for by name; made if that is allowed and it is missing. */
static void put_asked(struct request *request, struct weir_slice name, bool may_create)
{
    struct weir_broker *broker = request->broker;
    struct topic *topic = broker_topic_find(broker, name);
    enum wire_error error = WIRE_NONE;
    if (!name.data || !broker_topic_name_valid(name)) {
        error = WIRE_INVALID_TOPIC;
    } else if (!topic) {
        error = WIRE_UNKNOWN_TOPIC_OR_PARTITION;
        if (may_create && broker_topic_create(broker, name, broker->options.partitions, NULL, 0,
                                              &topic, NULL) == WEIR_OK)
            error = WIRE_NONE;
    }
    put_topic(&request->out, request->head.version, name.data ? name : weir_slice("", 0), topic,
              error);
}

enum handled broker_handle_metadata(struct request *request)
{
    int16_t version = request->head.version;
    struct weir_broker *broker = request->broker;
    struct wire_reader *in = &request->in, names;
    struct wire_writer *out = &request->out;
    int32_t count = wire_array(in, 1);
    names = *in;
    for (int32_t i = 0; i < count && !in->failed; i++) {
        wire_string(in);
        wire_tags(in);
    }
    bool may_create = version >= 4 ? wire_bool(in) : true;
    if (version >= 8) {
        wire_bool(in); /* authorized operations of cluster and topics */
        wire_bool(in);
    }
    wire_tags(in);
    if (in->failed)
        return HANDLED_CLOSE;
    if (version >= 3)
        wire_put_i32(out, 0);
    wire_put_array(out, 1);
    broker_put_address(request);
    if (version >= 1)
        wire_put_text(out, NULL); /* rack */
    wire_put_tags(out);
    if (version >= 2)
        wire_put_text(out, broker->cluster_id);
    if (version >= 1)
        wire_put_i32(out, BROKER_ID); /* controller */
    bool all = count < 0 || (version == 0 && count == 0);
    wire_put_array(out, all ? (int32_t)weir_map_count(&broker->topics) : count);
    for (int32_t i = 0; !all && i < count; i++) {
        struct weir_slice name = wire_string(&names);
        wire_tags(&names);
        put_asked(request, name, may_create && broker->options.auto_create_topics);
    }
    for (struct weir_map_entry *e = NULL; all && (e = weir_map_next(&broker->topics, e)) != NULL;)
        put_topic(out, version, weir_slice(e->key, e->key_bytes), e->value.pointer, WIRE_NONE);
    if (version >= 8)
        wire_put_i32(out, INT32_MIN);
    wire_put_tags(out);
    return HANDLED_ANSWER;
}

enum handled broker_handle_describe_cluster(struct request *request)
{
    struct wire_writer *out = &request->out;
    wire_bool(&request->in);
    wire_tags(&request->in);
    wire_put_i32(out, 0);
    wire_put_i16(out, WIRE_NONE);
    wire_put_text(out, NULL);
    wire_put_text(out, request->broker->cluster_id);
    wire_put_i32(out, BROKER_ID);
    wire_put_array(out, 1);
    broker_put_address(request);
    wire_put_text(out, NULL);
    wire_put_tags(out);
    wire_put_i32(out, INT32_MIN);
    wire_put_tags(out);
    return HANDLED_ANSWER;
}

/* ---- CreateTopics, DeleteTopics, CreatePartitions -------------------------------------------- */

struct creation {
    struct weir_slice name;
    int32_t partitions;
    int16_t replication;
    struct config_pair configs[CONFIGS_MAX];
    int32_t config_count;
};

/* Partitions given by hand: on one node only their number matters. */
static int32_t read_assignments(struct wire_reader *in)
{
    int32_t count = wire_array(in, 8);
    for (int32_t i = 0; i < count && !in->failed; i++) {
        wire_i32(in);
        int32_t replicas = wire_array(in, 4);
        for (int32_t j = 0; j < replicas && !in->failed; j++)
            wire_i32(in);
        wire_tags(in);
    }
    return count > 0 ? count : 0;
}

static void read_creation(struct wire_reader *in, struct creation *creation)
{
    creation->name = wire_string(in);
    creation->partitions = wire_i32(in);
    creation->replication = wire_i16(in);
    int32_t assigned = read_assignments(in);
    if (assigned)
        creation->partitions = assigned;
    creation->config_count = wire_array(in, 2);
    if (creation->config_count > CONFIGS_MAX)
        in->failed = true;
    for (int32_t i = 0; i < creation->config_count && !in->failed; i++) {
        creation->configs[i].name = wire_string(in);
        creation->configs[i].value = wire_string(in);
        wire_tags(in);
        in->failed |= !creation->configs[i].name.data;
    }
    if (creation->config_count < 0)
        creation->config_count = 0;
    wire_tags(in);
}

static enum wire_error create(struct weir_broker *broker, const struct creation *creation,
                              bool only_check, struct weir_error *error)
{
    int32_t partitions =
        creation->partitions == -1 ? broker->options.partitions : creation->partitions;
    if (creation->replication > 1 || creation->replication == 0) {
        weir_error_set(error, WEIR_INVALID, -1,
                       "replication factor %d: this is a single broker, 1 is possible",
                       creation->replication);
        return WIRE_INVALID_REPLICATION_FACTOR;
    }
    if (!creation->name.data || !broker_topic_name_valid(creation->name)) {
        weir_error_set(error, WEIR_INVALID, -1,
                       "a topic's name has 1 to 249 letters, digits, '.', '_' and '-'");
        return WIRE_INVALID_TOPIC;
    }
    for (int32_t i = 0; i < creation->config_count; i++)
        if (broker_topic_config_check(creation->configs[i].name, creation->configs[i].value,
                                      error) != WEIR_OK)
            return WIRE_INVALID_CONFIG;
    if (only_check) {
        if (!broker_topic_find(broker, creation->name))
            return WIRE_NONE;
        weir_error_set(error, WEIR_EXISTS, -1, "the topic already exists");
        return WIRE_TOPIC_ALREADY_EXISTS;
    }
    return broker_wire_error_of(broker_topic_create(broker, creation->name, partitions,
                                                    creation->configs,
                                                    (uint32_t)creation->config_count, NULL, error));
}

enum handled broker_handle_create_topics(struct request *request)
{
    int16_t version = request->head.version;
    struct wire_reader *in = &request->in;
    struct wire_writer *out = &request->out;
    int32_t count = wire_array(in, 10);
    if (in->failed || count > CREATED_MAX)
        return HANDLED_CLOSE;
    struct creation *creation = weir_alloc(sizeof *creation);
    if (!creation)
        return HANDLED_CLOSE;
    struct wire_reader tail = *in; /* whether it is only a check stands behind the topics */
    for (int32_t i = 0; i < count && !tail.failed; i++)
        read_creation(&tail, creation);
    wire_i32(&tail);
    bool only_check = version >= 1 && wire_bool(&tail);
    if (version >= 2)
        wire_put_i32(out, 0);
    wire_put_array(out, count > 0 ? count : 0);
    for (int32_t i = 0; i < count && !tail.failed; i++) {
        struct weir_error error = {.code = WEIR_OK};
        read_creation(in, creation);
        enum wire_error answer = create(request->broker, creation, only_check, &error);
        wire_put_string(out, creation->name);
        wire_put_i16(out, (int16_t)answer);
        if (version >= 1)
            wire_put_text(out, answer == WIRE_NONE ? NULL : error.message);
    }
    weir_free(creation);
    return tail.failed ? HANDLED_CLOSE : HANDLED_ANSWER;
}

enum handled broker_handle_delete_topics(struct request *request)
{
    struct wire_reader *in = &request->in;
    struct wire_writer *out = &request->out;
    int32_t count = wire_array(in, 1);
    if (request->head.version >= 1)
        wire_put_i32(out, 0);
    wire_put_array(out, count > 0 ? count : 0);
    for (int32_t i = 0; i < count && !in->failed; i++) {
        struct weir_slice name = wire_string(in);
        struct topic *topic = broker_topic_find(request->broker, name);
        enum wire_error error = WIRE_UNKNOWN_TOPIC_OR_PARTITION;
        wire_put_string(out, name); /* before the topic goes, whose name it may be */
        if (topic)
            error = broker_wire_error_of(broker_topic_delete(request->broker, topic, NULL));
        wire_put_i16(out, (int16_t)error);
        wire_put_tags(out);
    }
    wire_i32(in); /* timeout */
    wire_tags(in);
    wire_put_tags(out);
    return HANDLED_ANSWER;
}

enum handled broker_handle_create_partitions(struct request *request)
{
    struct wire_reader *in = &request->in, tail;
    struct wire_writer *out = &request->out;
    int32_t count = wire_array(in, 7);
    tail = *in;
    for (int32_t i = 0; i < count && !tail.failed; i++) {
        wire_string(&tail);
        wire_i32(&tail);
        read_assignments(&tail);
        wire_tags(&tail);
    }
    wire_i32(&tail);
    bool only_check = wire_bool(&tail);
    if (tail.failed)
        return HANDLED_CLOSE;
    wire_put_i32(out, 0);
    wire_put_array(out, count > 0 ? count : 0);
    for (int32_t i = 0; i < count; i++) {
        struct weir_error error = {.code = WEIR_OK};
        struct weir_slice name = wire_string(in);
        int32_t partitions = wire_i32(in);
        read_assignments(in);
        wire_tags(in);
        struct topic *topic = broker_topic_find(request->broker, name);
        enum wire_error answer = WIRE_UNKNOWN_TOPIC_OR_PARTITION;
        if (topic && partitions <= topic->partition_count)
            answer = WIRE_INVALID_PARTITIONS;
        else if (topic)
            answer = only_check ? WIRE_NONE
                                : broker_wire_error_of(broker_topic_grow(request->broker, topic,
                                                                         partitions, &error));
        wire_put_string(out, name);
        wire_put_i16(out, (int16_t)answer);
        wire_put_text(out, *error.message ? error.message : NULL);
        wire_put_tags(out);
    }
    wire_put_tags(out);
    return HANDLED_ANSWER;
}

/* ---- settings -------------------------------------------------------------------------------- */

enum { RESOURCE_TOPIC = 2, RESOURCE_BROKER = 4 };

static bool is_asked(struct wire_reader names, int32_t count, const char *name)
{
    for (int32_t i = 0; i < count; i++)
        if (weir_slice_equal(wire_string(&names), weir_slice(name, strlen(name))))
            return true;
    return count < 0;
}

static void put_configs(struct wire_writer *out, int16_t version, const struct weir_broker *broker,
                        const struct topic *topic, struct wire_reader names, int32_t name_count)
{
    int32_t count = 0;
    for (size_t i = 0; i < broker_topic_config_count; i++)
        count += is_asked(names, name_count, broker_topic_configs[i].name);
    wire_put_array(out, count);
    for (size_t i = 0; i < broker_topic_config_count; i++) {
        char text[CONFIG_TEXT_MAX];
        if (!is_asked(names, name_count, broker_topic_configs[i].name))
            continue;
        enum config_source source =
            broker_topic_config_text(broker, topic, &broker_topic_configs[i], text);
        wire_put_text(out, broker_topic_configs[i].name);
        wire_put_text(out, text);
        wire_put_bool(out, false); /* read only */
        if (version == 0)
            wire_put_bool(out, source != CONFIG_OF_TOPIC);
        else
            wire_put_i8(out, (int8_t)source);
        wire_put_bool(out, false); /* sensitive */
        if (version >= 1)
            wire_put_array(out, 0); /* synonyms */
    }
}

enum handled broker_handle_describe_configs(struct request *request)
{
    int16_t version = request->head.version;
    struct wire_reader *in = &request->in;
    struct wire_writer *out = &request->out;
    int32_t count = wire_array(in, 7);
    wire_put_i32(out, 0);
    wire_put_array(out, count > 0 ? count : 0);
    for (int32_t i = 0; i < count && !in->failed; i++) {
        int8_t kind = wire_i8(in);
        struct weir_slice name = wire_string(in);
        int32_t name_count = wire_array(in, 2);
        struct wire_reader names = *in;
        for (int32_t j = 0; j < name_count && !in->failed; j++)
            wire_string(in);
        struct topic *topic =
            kind == RESOURCE_TOPIC ? broker_topic_find(request->broker, name) : NULL;
        bool known = topic || kind == RESOURCE_BROKER;
        wire_put_i16(out, known                    ? WIRE_NONE
                          : kind == RESOURCE_TOPIC ? WIRE_UNKNOWN_TOPIC_OR_PARTITION
                                                   : WIRE_INVALID_REQUEST);
        wire_put_text(out, known ? NULL : "there is no such topic");
        wire_put_i8(out, kind);
        wire_put_string(out, name);
        if (topic && !in->failed)
            put_configs(out, version, request->broker, topic, names, name_count);
        else
            wire_put_array(out, 0);
    }
    return HANDLED_ANSWER;
}

/* Reads the settings of one resource; a DELETE of the incremental form has a null value. */
static int32_t read_configs(struct request *request, struct config_pair *configs, bool *supported)
{
    struct wire_reader *in = &request->in;
    bool incremental = request->head.key == WIRE_INCREMENTAL_ALTER_CONFIGS;
    int32_t count = wire_array(in, 2);
    *supported = true;
    if (count > CONFIGS_MAX)
        in->failed = true;
    for (int32_t i = 0; i < count && !in->failed; i++) {
        configs[i].name = wire_string(in);
        int8_t operation = incremental ? wire_i8(in) : 0; /* SET, DELETE, APPEND, SUBTRACT */
        configs[i].value = wire_string(in);
        if (operation == 1)
            configs[i].value = weir_slice(NULL, 0);
        *supported &= operation <= 1;
        wire_tags(in);
        in->failed |= !configs[i].name.data;
    }
    wire_tags(in);
    return in->failed || count < 0 ? 0 : count;
}

/* The non-incremental form replaces everything: what it does not name is taken back. */
static enum weir_err replace_configs(struct weir_broker *broker, struct topic *topic,
                                     struct config_pair *configs, int32_t count,
                                     struct weir_error *error)
{
    for (size_t i = 0; i < broker_topic_config_count && count < CONFIGS_MAX; i++) {
        struct weir_slice name =
            weir_slice(broker_topic_configs[i].name, strlen(broker_topic_configs[i].name));
        bool named = false;
        for (int32_t j = 0; j < count && !named; j++)
            named = weir_slice_equal(configs[j].name, name);
        if (!named)
            configs[count++] = (struct config_pair){name, weir_slice(NULL, 0)};
    }
    return broker_topic_configure(broker, topic, configs, (uint32_t)count, error);
}

static enum weir_err check_configs(const struct config_pair *configs, int32_t count,
                                   struct weir_error *error)
{
    enum weir_err err = WEIR_OK;
    for (int32_t i = 0; i < count && err == WEIR_OK; i++)
        err = broker_topic_config_check(configs[i].name, configs[i].value, error);
    return err;
}

enum handled broker_handle_alter_configs(struct request *request)
{
    struct wire_reader *in = &request->in, tail;
    struct wire_writer *out = &request->out;
    struct config_pair configs[CONFIGS_MAX] = {0};
    bool incremental = request->head.key == WIRE_INCREMENTAL_ALTER_CONFIGS, supported;
    int32_t count = wire_array(in, 3);
    tail = *in;
    for (int32_t i = 0; i < count && !in->failed; i++) { /* first to the end: is it a check? */
        wire_i8(in);
        wire_string(in);
        read_configs(request, configs, &supported);
    }
    bool only_check = wire_bool(in);
    if (in->failed)
        return HANDLED_CLOSE;
    *in = tail;
    wire_put_i32(out, 0);
    wire_put_array(out, count > 0 ? count : 0);
    for (int32_t i = 0; i < count; i++) {
        struct weir_error error = {.code = WEIR_OK};
        int8_t kind = wire_i8(in);
        struct weir_slice name = wire_string(in);
        int32_t config_count = read_configs(request, configs, &supported);
        struct topic *topic =
            kind == RESOURCE_TOPIC ? broker_topic_find(request->broker, name) : NULL;
        enum weir_err err = WEIR_NOT_FOUND;
        if (!supported)
            err = weir_error_set(&error, WEIR_INVALID, -1, "only SET and DELETE are known here");
        else if (topic && only_check)
            err = check_configs(configs, config_count, &error);
        else if (topic)
            err = incremental
                      ? broker_topic_configure(request->broker, topic, configs,
                                               (uint32_t)config_count, &error)
                      : replace_configs(request->broker, topic, configs, config_count, &error);
        wire_put_i16(
            out, (int16_t)(err == WEIR_INVALID ? WIRE_INVALID_CONFIG : broker_wire_error_of(err)));
        wire_put_text(out, err == WEIR_OK ? NULL : *error.message ? error.message : "not found");
        wire_put_i8(out, kind);
        wire_put_string(out, name);
        wire_put_tags(out);
    }
    wire_put_tags(out);
    return HANDLED_ANSWER;
}
