/* broker/handle_configs.c - DescribeConfigs, AlterConfigs, IncrementalAlterConfigs. */
#include <stdio.h>
#include <string.h>

#include "broker/config_about.h"
#include "broker/inside.h"

enum { CONFIGS_MAX = 256, RESOURCE_TOPIC = 2, RESOURCE_BROKER = 4 };

/* The operations of IncrementalAlterConfigs. */
enum { OPERATION_SET, OPERATION_DELETE, OPERATION_APPEND, OPERATION_SUBTRACT };

/* ---- DescribeConfigs ------------------------------------------------------------------------- */

/* What is asked of one resource. */
struct describing {
    int16_t version;
    bool synonyms, documentation;
    struct wire_reader names; /* which settings; name_count -1 = all */
    int32_t name_count;
};

static bool is_asked(const struct describing *describing, const char *name)
{
    struct wire_reader names = describing->names;
    for (int32_t i = 0; i < describing->name_count; i++)
        if (weir_slice_equal(wire_string(&names), weir_slice(name, strlen(name))))
            return true;
    return describing->name_count < 0;
}

/* A setting and where its value comes from; the values it would have without those in front. */
struct described {
    const char *name, *text;
    enum config_source source;
    const char *broker_name, *broker_text; /* NULL: the broker has no such option */
    enum config_source broker_source;
    bool read_only;
};

static void put_synonym(struct wire_writer *out, const char *name, const char *text,
                        enum config_source source)
{
    wire_put_text(out, name);
    wire_put_text(out, text);
    wire_put_i8(out, (int8_t)source);
    wire_put_tags(out);
}

static void put_described(struct wire_writer *out, const struct describing *describing,
                          const struct described *described)
{
    int16_t version = describing->version;
    const struct config_about *about = broker_config_about(described->name);
    bool own = described->source == CONFIG_OF_TOPIC;
    bool broker = described->broker_name != NULL;
    wire_put_text(out, described->name);
    wire_put_text(out, described->text);
    wire_put_bool(out, described->read_only);
    if (version == 0)
        wire_put_bool(out, !own);
    else
        wire_put_i8(out, (int8_t)described->source);
    wire_put_bool(out, false); /* sensitive */
    if (version >= 1) {
        wire_put_array(out, describing->synonyms ? own + broker : 0);
        if (describing->synonyms && own)
            put_synonym(out, described->name, described->text, CONFIG_OF_TOPIC);
        if (describing->synonyms && broker)
            put_synonym(out, described->broker_name, described->broker_text,
                        described->broker_source);
    }
    if (version >= 3) {
        wire_put_i8(out, (int8_t)about->type);
        wire_put_text(out, describing->documentation ? about->text : NULL);
    }
    wire_put_tags(out);
}

static void put_topic_configs(struct request *request, const struct topic *topic,
                              const struct describing *describing)
{
    int32_t count = 0;
    for (size_t i = 0; i < broker_topic_config_count; i++)
        count += is_asked(describing, broker_topic_configs[i].name);
    wire_put_array(&request->out, count);
    for (size_t i = 0; i < broker_topic_config_count; i++) {
        const struct topic_config *config = &broker_topic_configs[i];
        char text[CONFIG_TEXT_MAX], without[CONFIG_TEXT_MAX];
        if (!is_asked(describing, config->name))
            continue;
        struct described described = {.name = config->name, .text = text, .broker_text = without};
        described.source = broker_topic_config_text(request->broker, topic, config, text);
        described.broker_source = broker_topic_config_text(request->broker, NULL, config, without);
        described.broker_name = broker_config_about(config->name)->synonym;
        put_described(&request->out, describing, &described);
    }
}

/* The broker's own are given at its start: all are read only. */
static void put_broker_configs(struct request *request, const struct describing *describing)
{
    int32_t count = 0;
    for (size_t i = 0; i < broker_config_count; i++)
        count += is_asked(describing, broker_configs[i].name);
    wire_put_array(&request->out, count);
    for (size_t i = 0; i < broker_config_count; i++) {
        char text[BROKER_CONFIG_TEXT_MAX];
        if (!is_asked(describing, broker_configs[i].name))
            continue;
        struct described described = {
            .name = broker_configs[i].name, .text = text, .read_only = true};
        described.source = broker_config_text(request->broker, &broker_configs[i], text);
        described.broker_name = described.name;
        described.broker_text = text;
        described.broker_source = described.source;
        put_described(&request->out, describing, &described);
    }
}

static bool is_this_broker(struct weir_slice name)
{
    char id[12];
    int length = snprintf(id, sizeof id, "%d", BROKER_ID);
    return weir_slice_equal(name, weir_slice(id, (size_t)length));
}

/* One resource of the request, answered. */
static void describe(struct request *request, struct describing *describing, int8_t kind,
                     struct weir_slice name)
{
    struct wire_writer *out = &request->out;
    struct topic *topic = kind == RESOURCE_TOPIC ? broker_topic_find(request->broker, name) : NULL;
    bool broker = kind == RESOURCE_BROKER && is_this_broker(name);
    /* No name stands for what is set for all brokers at once: nothing. */
    bool brokers = kind == RESOURCE_BROKER && name.bytes == 0;
    bool known = topic || broker || brokers;
    wire_put_i16(out, known                    ? WIRE_NONE
                      : kind == RESOURCE_TOPIC ? WIRE_UNKNOWN_TOPIC_OR_PARTITION
                                               : WIRE_INVALID_REQUEST);
    wire_put_text(out, known                    ? NULL
                       : kind == RESOURCE_TOPIC ? "there is no such topic"
                                                : "only topics and broker 1 have settings here");
    wire_put_i8(out, kind);
    wire_put_string(out, name);
    if (topic)
        put_topic_configs(request, topic, describing);
    else if (broker)
        put_broker_configs(request, describing);
    else
        wire_put_array(out, 0);
    wire_put_tags(out);
}

/* Reads one resource; fills in which settings of it. */
static struct weir_slice read_resource(struct wire_reader *in, int8_t *kind,
                                       struct describing *describing)
{
    *kind = wire_i8(in);
    struct weir_slice name = wire_string(in);
    describing->name_count = wire_array(in, 1);
    describing->names = *in;
    for (int32_t i = 0; i < describing->name_count && !in->failed; i++)
        wire_string(in);
    wire_tags(in);
    return name;
}

enum handled broker_handle_describe_configs(struct request *request)
{
    struct wire_reader *in = &request->in, tail;
    struct wire_writer *out = &request->out;
    struct describing describing = {.version = request->head.version};
    int8_t kind;
    int32_t count = wire_array(in, 3);
    tail = *in;
    for (int32_t i = 0; i < count && !tail.failed; i++) /* how it is to be said stands behind */
        read_resource(&tail, &kind, &describing);
    describing.synonyms = describing.version >= 1 && wire_bool(&tail);
    describing.documentation = describing.version >= 3 && wire_bool(&tail);
    wire_tags(&tail);
    if (tail.failed)
        return HANDLED_CLOSE;
    wire_put_i32(out, 0);
    wire_put_array(out, count > 0 ? count : 0);
    for (int32_t i = 0; i < count; i++) {
        struct weir_slice name = read_resource(in, &kind, &describing);
        describe(request, &describing, kind, name);
    }
    wire_put_tags(out);
    return HANDLED_ANSWER;
}

/* ---- AlterConfigs, IncrementalAlterConfigs --------------------------------------------------- */

/* The changes to one resource. */
struct changes {
    int32_t count;
    struct config_pair pairs[CONFIGS_MAX]; /* a setting that goes has a null value */
    int8_t operations[CONFIGS_MAX];
    char lists[CONFIGS_MAX][CONFIG_TEXT_MAX]; /* what became of APPEND and SUBTRACT */
};

static void read_changes(struct request *request, struct changes *changes)
{
    struct wire_reader *in = &request->in;
    bool incremental = request->head.key == WIRE_INCREMENTAL_ALTER_CONFIGS;
    memset(changes, 0, sizeof *changes);
    changes->count = wire_array(in, 2);
    if (changes->count > CONFIGS_MAX)
        in->failed = true;
    for (int32_t i = 0; i < changes->count && !in->failed; i++) {
        changes->pairs[i].name = wire_string(in);
        changes->operations[i] = incremental ? wire_i8(in) : OPERATION_SET;
        changes->pairs[i].value = wire_string(in);
        if (changes->operations[i] == OPERATION_DELETE)
            changes->pairs[i].value = weir_slice(NULL, 0);
        wire_tags(in);
        in->failed |= !changes->pairs[i].name.data;
    }
    wire_tags(in);
    if (in->failed || changes->count < 0)
        changes->count = 0;
}

/* Is the word one of the list's, which has commas between them? */
static bool has_word(const char *list, struct weir_slice word)
{
    for (const char *at = list; *at;) {
        size_t bytes = strcspn(at, ",");
        if (weir_slice_equal(weir_slice(at, bytes), word))
            return true;
        at += bytes + (at[bytes] == ',');
    }
    return false;
}

/* The list with the words added or taken out. False: it is too long. */
static bool change_list(const char *list, const char *words, bool add, char out[CONFIG_TEXT_MAX])
{
    size_t length = 0;
    for (int turn = 0; turn < (add ? 2 : 1); turn++) {
        for (const char *at = turn ? words : list; *at;) {
            struct weir_slice word = weir_slice(at, strcspn(at, ","));
            out[length] = '\0';
            bool wanted = turn ? !has_word(out, word) : add || !has_word(words, word);
            if (wanted && word.bytes) {
                int more = snprintf(out + length, CONFIG_TEXT_MAX - length, "%s%.*s",
                                    length ? "," : "", (int)word.bytes, (const char *)word.data);
                length += (size_t)more;
                if (length >= CONFIG_TEXT_MAX)
                    return false;
            }
            at += word.bytes + (at[word.bytes] == ',');
        }
    }
    out[length] = '\0';
    return true;
}

/* Turns APPEND and SUBTRACT into the value that comes of it. */
static enum weir_err resolve(const struct weir_broker *broker, const struct topic *topic,
                             struct changes *changes, struct weir_error *error)
{
    for (int32_t i = 0; i < changes->count; i++) {
        struct config_pair *pair = &changes->pairs[i];
        char text[CONFIG_TEXT_MAX], words[CONFIG_TEXT_MAX] = "";
        int8_t operation = changes->operations[i];
        if (operation == OPERATION_SET || operation == OPERATION_DELETE)
            continue;
        const struct topic_config *config = broker_topic_config_find(pair->name);
        if (!config || broker_config_about(config->name)->type != CONFIG_LIST ||
            operation > OPERATION_SUBTRACT || operation < 0 || !pair->value.data ||
            pair->value.bytes >= sizeof words)
            return weir_error_set(
                error, WEIR_INVALID, -1,
                "nothing can be appended to or subtracted from '%.*s' in this way",
                pair->name.bytes > 100 ? 100 : (int)pair->name.bytes,
                (const char *)pair->name.data);
        memcpy(words, pair->value.data, pair->value.bytes);
        broker_topic_config_text(broker, topic, config, text);
        if (!change_list(text, words, operation == OPERATION_APPEND, changes->lists[i]))
            return weir_error_set(error, WEIR_INVALID, -1, "the list of %s is too long",
                                  config->name);
        pair->value = weir_slice(changes->lists[i], strlen(changes->lists[i]));
    }
    return WEIR_OK;
}

/* The non-incremental form replaces everything: what it does not name is taken back. */
static void take_back_others(struct changes *changes)
{
    int32_t named_count = changes->count;
    for (size_t i = 0; i < broker_topic_config_count && changes->count < CONFIGS_MAX; i++) {
        struct weir_slice name =
            weir_slice(broker_topic_configs[i].name, strlen(broker_topic_configs[i].name));
        bool named = false;
        for (int32_t j = 0; j < named_count && !named; j++)
            named = weir_slice_equal(changes->pairs[j].name, name);
        if (!named)
            changes->pairs[changes->count++] = (struct config_pair){name, weir_slice(NULL, 0)};
    }
}

static enum weir_err check_changes(const struct changes *changes, struct weir_error *error)
{
    enum weir_err err = WEIR_OK;
    for (int32_t i = 0; i < changes->count && err == WEIR_OK; i++)
        err = broker_topic_config_check(changes->pairs[i].name, changes->pairs[i].value, error);
    return err;
}

static enum wire_error alter(struct request *request, int8_t kind, struct weir_slice name,
                             struct changes *changes, bool only_check, struct weir_error *error)
{
    struct weir_broker *broker = request->broker;
    struct topic *topic = kind == RESOURCE_TOPIC ? broker_topic_find(broker, name) : NULL;
    if (kind != RESOURCE_TOPIC) {
        weir_error_set(error, WEIR_INVALID, -1,
                       "only settings of topics can be changed while the broker runs");
        return WIRE_INVALID_REQUEST;
    }
    if (!topic) {
        weir_error_set(error, WEIR_NOT_FOUND, -1, "there is no such topic");
        return WIRE_UNKNOWN_TOPIC_OR_PARTITION;
    }
    enum weir_err err = resolve(broker, topic, changes, error);
    if (err == WEIR_OK)
        err = check_changes(changes, error);
    if (err == WEIR_OK && request->head.key == WIRE_ALTER_CONFIGS)
        take_back_others(changes);
    if (err == WEIR_OK && !only_check)
        err =
            broker_topic_configure(broker, topic, changes->pairs, (uint32_t)changes->count, error);
    return err == WEIR_INVALID ? WIRE_INVALID_CONFIG : broker_wire_error_of(err);
}

enum handled broker_handle_alter_configs(struct request *request)
{
    struct wire_reader *in = &request->in, tail;
    struct wire_writer *out = &request->out;
    struct changes changes;
    int32_t count = wire_array(in, 3);
    tail = *in;
    for (int32_t i = 0; i < count && !in->failed; i++) { /* first to the end: is it a check? */
        wire_i8(in);
        wire_string(in);
        read_changes(request, &changes);
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
        read_changes(request, &changes);
        enum wire_error answer = alter(request, kind, name, &changes, only_check, &error);
        wire_put_i16(out, (int16_t)answer);
        wire_put_text(out, answer == WIRE_NONE ? NULL : error.message);
        wire_put_i8(out, kind);
        wire_put_string(out, name);
        wire_put_tags(out);
    }
    wire_put_tags(out);
    return HANDLED_ANSWER;
}
