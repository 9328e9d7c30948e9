/* cli/topics.c - weir topics: topics of any Kafka, looked at, made, changed and deleted. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "cli/admin.h"

enum { CHANGES_MAX = 256 };

/* ---- list ------------------------------------------------------------------------------------ */

static void list_one(void *opaque, const char *name, int32_t partitions)
{
    struct admin_listing *listing = opaque;
    if (listing->as_json) {
        weir_json_object_begin(&listing->json);
        weir_json_put_text(&listing->json, "topic", name);
        weir_json_put_int(&listing->json, "partitions", partitions);
        weir_json_object_end(&listing->json);
    } else {
        table_cell(&listing->table, "%s", name);
        table_number(&listing->table, partitions);
    }
}

static enum weir_err list(const struct admin *admin, struct weir_error *error)
{
    static const char *const heads[] = {"TOPIC", ">PARTITIONS", NULL};
    struct admin_listing listing;
    admin_listing_begin(admin, heads, &listing);
    enum weir_err err =
        weir_kafka_topics_list(admin->kafka, admin->timeout_ms, list_one, &listing, error);
    return admin_listing_end(&listing, err, error);
}

/* ---- describe -------------------------------------------------------------------------------- */

static int64_t records(const struct kafka_partition *partition)
{
    return partition->first >= 0 && partition->end >= partition->first
               ? partition->end - partition->first
               : -1;
}

static enum weir_err print_topic_json(const struct kafka_topic *topic, struct weir_error *error)
{
    struct weir_buffer text;
    struct weir_json json;
    weir_buffer_init(&text, TABLE_BYTES_MAX);
    weir_json_begin(&json, &text);
    weir_json_object_begin(&json);
    weir_json_put_text(&json, "topic", topic->name);
    weir_json_key(&json, "partitions");
    weir_json_array_begin(&json);
    for (uint32_t i = 0; i < topic->partition_count; i++) {
        const struct kafka_partition *at = &topic->partitions[i];
        weir_json_object_begin(&json);
        weir_json_put_int(&json, "partition", i);
        weir_json_put_int(&json, "leader", at->leader);
        weir_json_put_int(&json, "replicas", at->replicas);
        weir_json_put_int(&json, "inSync", at->in_sync);
        weir_json_put_int(&json, "first", at->first);
        weir_json_put_int(&json, "end", at->end);
        weir_json_object_end(&json);
    }
    weir_json_array_end(&json);
    weir_json_key(&json, "settings");
    weir_json_object_begin(&json);
    for (uint32_t i = 0; i < topic->config_count; i++) {
        const struct kafka_config *at = &topic->configs[i];
        weir_json_key(&json, at->name);
        weir_json_object_begin(&json);
        weir_json_key(&json, "value");
        if (at->value)
            weir_json_text(&json, at->value);
        else
            weir_json_null(&json);
        weir_json_put_bool(&json, "ofTopic", at->own);
        weir_json_object_end(&json);
    }
    weir_json_object_end(&json);
    weir_json_object_end(&json);
    return admin_print_json(&json, &text, error);
}

static enum weir_err print_topic(const struct kafka_topic *topic, struct weir_error *error)
{
    static const char *const heads[] = {">PARTITION", ">LEADER", ">REPLICAS", ">IN-SYNC",
                                        ">FIRST",     ">END",    ">RECORDS",  NULL};
    struct table table;
    uint32_t own = 0;
    printf("topic %s: %u partition%s\n\n", topic->name, topic->partition_count,
           topic->partition_count == 1 ? "" : "s");
    table_begin(&table, heads);
    for (uint32_t i = 0; i < topic->partition_count; i++) {
        const struct kafka_partition *at = &topic->partitions[i];
        table_number(&table, i);
        table_number(&table, at->leader);
        table_number(&table, at->replicas);
        table_number(&table, at->in_sync);
        table_number(&table, at->first);
        table_number(&table, at->end);
        table_number(&table, records(at));
    }
    enum weir_err err = table_print(&table, error);
    for (uint32_t i = 0; i < topic->config_count; i++)
        own += topic->configs[i].own;
    printf("\n%s\n", own ? "set on this topic:" : "no settings of its own; --json shows all");
    for (uint32_t i = 0; i < topic->config_count; i++)
        if (topic->configs[i].own)
            printf("  %s=%s\n", topic->configs[i].name,
                   topic->configs[i].value ? topic->configs[i].value : "****");
    return err;
}

static enum weir_err describe(const struct admin *admin, const char *name, struct weir_error *error)
{
    struct kafka_topic *topic;
    enum weir_err err = kafka_topic_describe(admin->kafka, name, admin->timeout_ms, &topic, error);
    if (err != WEIR_OK)
        return err;
    err = admin->json ? print_topic_json(topic, error) : print_topic(topic, error);
    kafka_topic_free(topic);
    return err;
}

/* ---- create, alter, delete ------------------------------------------------------------------- */

struct changes {
    struct weir_kafka_property list[CHANGES_MAX];
    char *texts[CHANGES_MAX]; /* "name\0value" of those that are set */
    uint32_t count;
};

static void changes_release(struct changes *changes)
{
    for (uint32_t i = 0; i < changes->count; i++)
        weir_free(changes->texts[i]);
    weir_free(changes);
}

/* What stood behind a comma of the last value: cleanup.policy=compact,delete. */
static enum weir_err lengthen(struct changes *changes, const char *item)
{
    struct weir_kafka_property *last = &changes->list[changes->count - 1];
    size_t name_bytes = strlen(last->name) + 1, value_bytes = strlen(last->value);
    char *text = weir_realloc(changes->texts[changes->count - 1],
                              name_bytes + value_bytes + strlen(item) + 2);
    if (!text)
        return WEIR_NOMEM;
    changes->texts[changes->count - 1] = text;
    text[name_bytes + value_bytes] = ',';
    memcpy(text + name_bytes + value_bytes + 1, item, strlen(item) + 1);
    *last = (struct weir_kafka_property){text, text + name_bytes};
    return WEIR_OK;
}

static enum weir_err add_set(struct changes *changes, const char *item, struct weir_error *error)
{
    const char *equals = strchr(item, '=');
    enum weir_err err = WEIR_OK;
    if (!equals && changes->count) {
        err = lengthen(changes, item);
    } else if (!equals || equals == item) {
        return weir_error_set(error, WEIR_INVALID, -1, "--set %.60s: expected --set NAME=VALUE",
                              item);
    } else {
        char *text = weir_strdup(item);
        if (text) {
            text[equals - item] = '\0';
            changes->texts[changes->count] = text;
            changes->list[changes->count++] =
                (struct weir_kafka_property){text, text + (equals - item) + 1};
        }
        err = text ? WEIR_OK : WEIR_NOMEM;
    }
    return err == WEIR_OK ? err : weir_error_set(error, err, -1, "no memory for a setting");
}

/* --set NAME=VALUE and --unset NAME. */
static enum weir_err read_changes(const struct run *run, bool creates, struct changes *changes,
                                  struct weir_error *error)
{
    size_t sets = weir_settings_list_count(run->settings, "topic.set");
    size_t unsets = weir_settings_list_count(run->settings, "topic.unset");
    enum weir_err err = WEIR_OK;
    if (sets + unsets > CHANGES_MAX)
        return weir_error_set(error, WEIR_LIMIT, -1, "over %d settings at once", CHANGES_MAX);
    if (creates && unsets)
        return weir_error_set(error, WEIR_INVALID, -1, "a new topic has nothing to --unset");
    for (size_t i = 0; i < sets && err == WEIR_OK; i++)
        err = add_set(changes, weir_settings_list_item(run->settings, "topic.set", i), error);
    for (size_t i = 0; i < unsets && err == WEIR_OK; i++)
        changes->list[changes->count++].name =
            weir_settings_list_item(run->settings, "topic.unset", i);
    if (err == WEIR_OK && !creates && !changes->count &&
        !weir_settings_is_set(run->settings, "topic.partitions"))
        err = weir_error_set(error, WEIR_INVALID, -1,
                             "nothing to change: give --set NAME=VALUE, --unset NAME or "
                             "--partitions N");
    return err;
}

static enum weir_err create(const struct admin *admin, const char *name,
                            const struct changes *changes, struct weir_error *error)
{
    const struct weir_settings *settings = admin->run->settings;
    int32_t partitions = (int32_t)weir_settings_int(settings, "topic.partitions");
    const struct weir_kafka_topic topic = {
        .name = name,
        .partitions = partitions ? partitions : 1,
        .replication = weir_settings_is_set(settings, "topic.replication.factor")
                           ? (int32_t)weir_settings_int(settings, "topic.replication.factor")
                           : -1,
        .config = changes->list,
        .config_count = changes->count};
    bool created = false;
    enum weir_err err =
        weir_kafka_topics_create(admin->kafka, &topic, 1, admin->timeout_ms, &created, error);
    if (err == WEIR_OK && !created)
        err =
            weir_error_set(error, WEIR_EXISTS, -1,
                           "topic %s exists already; weir topics describe %s shows it", name, name);
    if (err == WEIR_OK)
        printf("topic %s was created with %d partition%s\n", name, topic.partitions,
               topic.partitions == 1 ? "" : "s");
    return err;
}

static enum weir_err alter(const struct admin *admin, const char *name,
                           const struct changes *changes, struct weir_error *error)
{
    int32_t partitions = (int32_t)weir_settings_int(admin->run->settings, "topic.partitions");
    enum weir_err err = WEIR_OK;
    if (changes->count)
        err = kafka_topic_configure(admin->kafka, name, changes->list, changes->count,
                                    admin->timeout_ms, error);
    if (err == WEIR_OK && partitions)
        err = weir_kafka_topic_grow(admin->kafka, name, partitions, admin->timeout_ms, error);
    if (err == WEIR_OK)
        printf("topic %s was changed\n", name);
    return err;
}

static enum weir_err delete_topic(const struct admin *admin, const char *name,
                                  struct weir_error *error)
{
    char question[320];
    snprintf(question, sizeof question, "Delete topic %s with all its records?", name);
    enum weir_err err = admin_confirm(admin->run, question, error);
    if (err == WEIR_OK)
        err = kafka_topic_delete(admin->kafka, name, admin->timeout_ms, error);
    if (err == WEIR_OK)
        printf("topic %s was deleted\n", name);
    return err;
}

/* ---- the command ----------------------------------------------------------------------------- */

enum verb { LIST, DESCRIBE, CREATE, ALTER, DELETE, VERBS };

static enum weir_err do_verb(const struct admin *admin, enum verb verb, const char *name,
                             const struct changes *changes, struct weir_error *error)
{
    enum weir_err err = verb == LIST       ? list(admin, error)
                        : verb == DESCRIBE ? describe(admin, name, error)
                        : verb == CREATE   ? create(admin, name, changes, error)
                        : verb == ALTER    ? alter(admin, name, changes, error)
                                           : delete_topic(admin, name, error);
    return err == WEIR_NOT_FOUND
               ? weir_error_set(error, err, -1,
                                "there is no topic \"%s\"; weir topics list shows them", name)
               : err;
}

static int run_verb(const struct run *run, enum verb verb, const char *name,
                    struct changes *changes)
{
    struct weir_error error = {.code = WEIR_OK};
    struct admin admin;
    enum weir_err err = WEIR_OK;
    if (verb == CREATE || verb == ALTER)
        err = read_changes(run, verb == CREATE, changes, &error);
    if (err != WEIR_OK)
        return fail_usage(run, "%s", error.message);
    err = admin_open(run, &admin, &error);
    if (err == WEIR_OK) {
        err = do_verb(&admin, verb, name, changes, &error);
        admin_close(&admin);
    }
    return err == WEIR_OK ? EXIT_DONE : fail(run, &error);
}

int topics_run(const struct run *run)
{
    static const char *const verbs[VERBS] = {"list", "describe", "create", "alter", "delete"};
    const char *word = weir_settings_argument(run->settings, 0);
    bool named = weir_settings_argument_count(run->settings) > 1;
    const char *name = named ? weir_settings_argument(run->settings, 1) : NULL;
    int verb = 0;
    while (verb < VERBS && strcmp(word, verbs[verb]) != 0)
        verb++;
    if (verb == VERBS)
        return fail_usage(run, "\"%s\" is none of list, describe, create, alter and delete", word);
    if (verb == LIST && named)
        return fail_usage(run, "\"%s\" is one word too many", name);
    if (verb != LIST && !named)
        return fail_usage(run, "%s which topic? A name is missing", word);
    if (named && (!*name || strlen(name) > WEIR_KAFKA_TOPIC_BYTES_MAX))
        return fail_usage(run, "a topic's name has 1 to %d bytes", WEIR_KAFKA_TOPIC_BYTES_MAX);
    struct changes *changes = weir_calloc(1, sizeof *changes);
    if (!changes)
        return EXIT_FAILED;
    int status = run_verb(run, (enum verb)verb, name, changes);
    changes_release(changes);
    return status;
}
