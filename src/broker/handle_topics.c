/* broker/handle_topics.c - CreateTopics, DeleteTopics, CreatePartitions. */
#include <string.h>

#include "base/alloc.h"
#include "broker/inside.h"

enum { CONFIGS_MAX = 256, CREATED_MAX = 10000 };

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

/* What was made, as version 5 has it (KIP-525). */
static void put_created(struct wire_writer *out, const struct weir_broker *broker,
                        const struct topic *topic)
{
    wire_put_i32(out, topic ? topic->partition_count : -1);
    wire_put_i16(out, topic ? 1 : -1); /* replication factor */
    wire_put_array(out, topic ? (int32_t)broker_topic_config_count : 0);
    for (size_t i = 0; topic && i < broker_topic_config_count; i++) {
        char text[CONFIG_TEXT_MAX];
        enum config_source source =
            broker_topic_config_text(broker, topic, &broker_topic_configs[i], text);
        wire_put_text(out, broker_topic_configs[i].name);
        wire_put_text(out, text);
        wire_put_bool(out, false); /* read only */
        wire_put_i8(out, (int8_t)source);
        wire_put_bool(out, false); /* sensitive */
        wire_put_tags(out);
    }
}

static void put_creation(struct request *request, const struct creation *creation,
                         enum wire_error answer, const struct weir_error *error)
{
    int16_t version = request->head.version;
    struct wire_writer *out = &request->out;
    const struct topic *topic =
        answer == WIRE_NONE ? broker_topic_find(request->broker, creation->name) : NULL;
    wire_put_string(out, creation->name);
    if (version >= 7)
        wire_put_uuid(out, topic ? topic->id : (struct wire_uuid){{0}});
    wire_put_i16(out, (int16_t)answer);
    if (version >= 1)
        wire_put_text(out, answer == WIRE_NONE ? NULL : error->message);
    if (version >= 5)
        put_created(out, request->broker, topic);
    wire_put_tags(out);
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
    wire_tags(&tail);
    if (version >= 2)
        wire_put_i32(out, 0);
    wire_put_array(out, count > 0 ? count : 0);
    for (int32_t i = 0; i < count && !tail.failed; i++) {
        struct weir_error error = {.code = WEIR_OK};
        read_creation(in, creation);
        enum wire_error answer = create(request->broker, creation, only_check, &error);
        put_creation(request, creation, answer, &error);
    }
    wire_put_tags(out);
    weir_free(creation);
    return tail.failed ? HANDLED_CLOSE : HANDLED_ANSWER;
}

/* The topic that a DeleteTopics request names next, by name or, from version 6 on, by id. */
static struct topic *read_deletion(struct request *request, struct weir_slice *name,
                                   struct wire_uuid *id)
{
    struct wire_reader *in = &request->in;
    *id = (struct wire_uuid){{0}};
    *name = wire_string(in);
    if (request->head.version >= 6) {
        *id = wire_uuid(in);
        wire_tags(in);
    }
    struct topic *topic = name->data ? broker_topic_find(request->broker, *name)
                                     : broker_topic_find_id(request->broker, *id);
    if (topic && !name->data)
        *name = weir_slice(topic->name, strlen(topic->name));
    return topic;
}

enum handled broker_handle_delete_topics(struct request *request)
{
    int16_t version = request->head.version;
    struct wire_reader *in = &request->in;
    struct wire_writer *out = &request->out;
    int32_t count = wire_array(in, 1);
    if (version >= 1)
        wire_put_i32(out, 0);
    wire_put_array(out, count > 0 ? count : 0);
    for (int32_t i = 0; i < count && !in->failed; i++) {
        struct weir_slice name;
        struct wire_uuid id;
        struct topic *topic = read_deletion(request, &name, &id);
        enum wire_error error =
            name.data || version < 6 ? WIRE_UNKNOWN_TOPIC_OR_PARTITION : WIRE_UNKNOWN_TOPIC_ID;
        if (in->failed)
            break;
        wire_put_string(out, name); /* before the topic goes, whose name it may be */
        if (version >= 6)
            wire_put_uuid(out, topic ? topic->id : id);
        if (topic)
            error = broker_wire_error_of(broker_topic_delete(request->broker, topic, NULL));
        wire_put_i16(out, (int16_t)error);
        if (version >= 5)
            wire_put_text(out, NULL);
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
