/* Topics of a cluster, looked at and changed: kafka/admin.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/assert.h"
#include "kafka/admin.h"
#include "kafka/rd.h"

enum { DESCRIPTION_BYTES_MAX = 64 << 20, WHAT_BYTES = 300 };

static enum weir_err admin_of(struct weir_kafka *kafka, struct rd_client **out,
                              struct weir_error *error)
{
    if (kafka->ops != &weir_kafka_rd_ops)
        return weir_error_set(error, WEIR_UNSUPPORTED, -1, "only a real cluster is administered");
    return rd_admin_get(kafka, out, error);
}

/* The one topic of an answer that names topics and errors. */
static enum weir_err read_topic_result(struct rd_client *admin,
                                       const rd_kafka_topic_result_t **results, size_t count,
                                       const char *what, struct weir_error *error)
{
    if (count != 1)
        return weir_error_set(error, WEIR_BROKER, -1, "%s: the brokers gave no answer", what);
    rd_kafka_resp_err_t code = rd_kafka_topic_result_error(results[0]);
    const char *text = rd_kafka_topic_result_error_string(results[0]);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        return WEIR_OK;
    return rd_error(admin, error, code, "%s (%s)", what, text != NULL ? text : "no reason given");
}

/* ---- delete, grow ---------------------------------------------------------------------------- */

struct one_topic {
    const char *name, *what;
    int32_t count;
    rd_kafka_DeleteTopic_t *removed;
    rd_kafka_NewPartitions_t *grown;
};

static void ask_delete(void *opaque, rd_kafka_t *rk, const rd_kafka_AdminOptions_t *options,
                       rd_kafka_queue_t *queue)
{
    struct one_topic *topic = opaque;
    rd_kafka_DeleteTopics(rk, &topic->removed, 1, options, queue);
}

static enum weir_err read_deleted(void *opaque, struct rd_client *admin, rd_kafka_event_t *event,
                                  struct weir_error *error)
{
    const struct one_topic *topic = opaque;
    size_t count;
    const rd_kafka_topic_result_t **results =
        rd_kafka_DeleteTopics_result_topics(rd_kafka_event_DeleteTopics_result(event), &count);
    return read_topic_result(admin, results, count, topic->what, error);
}

enum weir_err kafka_topic_delete(struct weir_kafka *kafka, const char *name, int32_t timeout_ms,
                                 struct weir_error *error)
{
    char what[WHAT_BYTES];
    struct rd_client *admin;
    enum weir_err err = admin_of(kafka, &admin, error);
    if (err != WEIR_OK)
        return err;
    snprintf(what, sizeof(what), "deleting topic %s", name);
    struct one_topic topic = {
        .name = name, .what = what, .removed = rd_kafka_DeleteTopic_new(name)};
    const struct rd_question question = {.op = RD_KAFKA_ADMIN_OP_DELETETOPICS,
                                         .timeout_ms = timeout_ms,
                                         .brokers_wait = true,
                                         .what = what,
                                         .ask = ask_delete,
                                         .read = read_deleted,
                                         .opaque = &topic};
    err = rd_admin_ask(admin, &question, error);
    rd_kafka_DeleteTopic_destroy(topic.removed);
    return err;
}

static void ask_grow(void *opaque, rd_kafka_t *rk, const rd_kafka_AdminOptions_t *options,
                     rd_kafka_queue_t *queue)
{
    struct one_topic *topic = opaque;
    rd_kafka_CreatePartitions(rk, &topic->grown, 1, options, queue);
}

static enum weir_err read_grown(void *opaque, struct rd_client *admin, rd_kafka_event_t *event,
                                struct weir_error *error)
{
    const struct one_topic *topic = opaque;
    size_t count;
    const rd_kafka_topic_result_t **results = rd_kafka_CreatePartitions_result_topics(
        rd_kafka_event_CreatePartitions_result(event), &count);
    return read_topic_result(admin, results, count, topic->what, error);
}

enum weir_err rd_topic_grow(struct weir_kafka *kafka, const char *name, int32_t count,
                            int32_t timeout_ms, struct weir_error *error)
{
    char what[WHAT_BYTES], text[256];
    struct rd_client *admin;
    enum weir_err err = rd_admin_get(kafka, &admin, error);
    if (err != WEIR_OK)
        return err;
    snprintf(what, sizeof(what), "giving topic %s %d partitions", name, count);
    struct one_topic topic = {.name = name, .what = what, .count = count};
    topic.grown = rd_kafka_NewPartitions_new(name, (size_t)count, text, sizeof(text));
    if (topic.grown == NULL)
        return weir_error_set(error, WEIR_INVALID, -1, "%s: %s", what, text);
    const struct rd_question question = {.op = RD_KAFKA_ADMIN_OP_CREATEPARTITIONS,
                                         .timeout_ms = timeout_ms,
                                         .brokers_wait = true,
                                         .what = what,
                                         .ask = ask_grow,
                                         .read = read_grown,
                                         .opaque = &topic};
    err = rd_admin_ask(admin, &question, error);
    rd_kafka_NewPartitions_destroy(topic.grown);
    return err;
}

/* ---- records --------------------------------------------------------------------------------- */

static void ask_delete_records(void *opaque, rd_kafka_t *rk, const rd_kafka_AdminOptions_t *options,
                               rd_kafka_queue_t *queue)
{
    rd_kafka_DeleteRecords_t *deletion = opaque;
    rd_kafka_DeleteRecords(rk, &deletion, 1, options, queue);
}

static enum weir_err read_deleted_records(void *opaque, struct rd_client *admin,
                                          rd_kafka_event_t *event, struct weir_error *error)
{
    const rd_kafka_topic_partition_list_t *offsets =
        rd_kafka_DeleteRecords_result_offsets(rd_kafka_event_DeleteRecords_result(event));
    (void)opaque;
    for (int i = 0; i < offsets->cnt; i++)
        if (offsets->elems[i].err != RD_KAFKA_RESP_ERR_NO_ERROR)
            return rd_error(admin, error, offsets->elems[i].err, "deleting records of %s [%d]",
                            offsets->elems[i].topic, (int)offsets->elems[i].partition);
    return WEIR_OK;
}

enum weir_err rd_delete_records(struct weir_kafka *kafka,
                                const struct weir_kafka_partition *partitions, uint32_t count,
                                int32_t timeout_ms, struct weir_error *error)
{
    struct rd_client *admin;
    enum weir_err err = rd_admin_get(kafka, &admin, error);
    if (err != WEIR_OK)
        return err;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)count);
    for (uint32_t i = 0; i < count; i++)
        rd_kafka_topic_partition_list_add(list, partitions[i].topic, partitions[i].partition)
            ->offset = partitions[i].offset;
    rd_kafka_DeleteRecords_t *deletion = rd_kafka_DeleteRecords_new(list);
    rd_kafka_topic_partition_list_destroy(list);
    const struct rd_question question = {.op = RD_KAFKA_ADMIN_OP_DELETERECORDS,
                                         .timeout_ms = timeout_ms,
                                         .brokers_wait = true,
                                         .what = "deleting records",
                                         .ask = ask_delete_records,
                                         .read = read_deleted_records,
                                         .opaque = deletion};
    err = rd_admin_ask(admin, &question, error);
    rd_kafka_DeleteRecords_destroy(deletion);
    return err;
}

/* ---- settings -------------------------------------------------------------------------------- */

struct description {
    struct kafka_topic topic;
    struct weir_arena arena;
};

struct settings_question {
    const char *name;
    rd_kafka_ConfigResource_t *resource;
    struct description *into; /* of a description */
};

static void ask_settings(void *opaque, rd_kafka_t *rk, const rd_kafka_AdminOptions_t *options,
                         rd_kafka_queue_t *queue)
{
    struct settings_question *asked = opaque;
    rd_kafka_DescribeConfigs(rk, &asked->resource, 1, options, queue);
}

static int compare_configs(const void *a, const void *b)
{
    const struct kafka_config *left = a, *right = b;
    return strcmp(left->name, right->name);
}

static enum weir_err read_resource(struct rd_client *admin,
                                   const rd_kafka_ConfigResource_t *const *resources, size_t count,
                                   const char *name, struct weir_error *error)
{
    if (count != 1)
        return weir_error_set(error, WEIR_BROKER, -1, "topic %s: no answer about its settings",
                              name);
    rd_kafka_resp_err_t code = rd_kafka_ConfigResource_error(resources[0]);
    const char *text = rd_kafka_ConfigResource_error_string(resources[0]);
    return code == RD_KAFKA_RESP_ERR_NO_ERROR
               ? WEIR_OK
               : rd_error(admin, error, code, "settings of topic %s (%s)", name,
                          text != NULL ? text : "no reason given");
}

static char *copy(struct weir_arena *arena, const char *text)
{
    return weir_arena_copy_text(arena, text, strlen(text));
}

static enum weir_err read_settings(void *opaque, struct rd_client *admin, rd_kafka_event_t *event,
                                   struct weir_error *error)
{
    const struct settings_question *asked = opaque;
    struct description *into = asked->into;
    size_t resource_count, count;
    const rd_kafka_ConfigResource_t **resources = rd_kafka_DescribeConfigs_result_resources(
        rd_kafka_event_DescribeConfigs_result(event), &resource_count);
    enum weir_err err = read_resource(admin, resources, resource_count, asked->name, error);
    if (err != WEIR_OK)
        return err;
    const rd_kafka_ConfigEntry_t **entries = rd_kafka_ConfigResource_configs(resources[0], &count);
    struct kafka_config *configs = weir_arena_calloc(&into->arena, count, sizeof(*configs));
    bool whole = configs != NULL;
    for (size_t i = 0; i < count && whole; i++) {
        const char *value = rd_kafka_ConfigEntry_value(entries[i]);
        configs[i].name = copy(&into->arena, rd_kafka_ConfigEntry_name(entries[i]));
        configs[i].value = value != NULL ? copy(&into->arena, value) : NULL;
        configs[i].own =
            rd_kafka_ConfigEntry_source(entries[i]) == RD_KAFKA_CONFIG_SOURCE_DYNAMIC_TOPIC_CONFIG;
        whole = configs[i].name != NULL && (value == NULL || configs[i].value != NULL);
    }
    if (!whole)
        return weir_error_set(error, WEIR_NOMEM, -1, "no memory for the settings of a topic");
    qsort(configs, count, sizeof(*configs), compare_configs);
    into->topic.configs = configs;
    into->topic.config_count = (uint32_t)count;
    return WEIR_OK;
}

static enum weir_err describe_settings(struct rd_client *admin, const char *name,
                                       int32_t timeout_ms, struct description *into,
                                       struct weir_error *error)
{
    char what[WHAT_BYTES];
    struct settings_question asked = {
        name, rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, name), into};
    snprintf(what, sizeof(what), "asking for the settings of topic %s", name);
    const struct rd_question question = {.op = RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS,
                                         .timeout_ms = timeout_ms,
                                         .what = what,
                                         .ask = ask_settings,
                                         .read = read_settings,
                                         .opaque = &asked};
    enum weir_err err = rd_admin_ask(admin, &question, error);
    rd_kafka_ConfigResource_destroy(asked.resource);
    return err;
}

static void ask_alter(void *opaque, rd_kafka_t *rk, const rd_kafka_AdminOptions_t *options,
                      rd_kafka_queue_t *queue)
{
    struct settings_question *asked = opaque;
    rd_kafka_AlterConfigs(rk, &asked->resource, 1, options, queue);
}

static enum weir_err read_altered(void *opaque, struct rd_client *admin, rd_kafka_event_t *event,
                                  struct weir_error *error)
{
    const struct settings_question *asked = opaque;
    size_t count;
    const rd_kafka_ConfigResource_t **resources =
        rd_kafka_AlterConfigs_result_resources(rd_kafka_event_AlterConfigs_result(event), &count);
    return read_resource(admin, resources, count, asked->name, error);
}

/* AlterConfigs sets all at once: what is set already is given again. */
static void merge(rd_kafka_ConfigResource_t *resource, const struct kafka_topic *topic,
                  const struct weir_kafka_property *changes, uint32_t count)
{
    for (uint32_t i = 0; i < topic->config_count; i++) {
        const struct kafka_config *config = &topic->configs[i];
        bool changed = false;
        for (uint32_t k = 0; k < count; k++)
            changed = changed || strcmp(changes[k].name, config->name) == 0;
        if (config->own && config->value != NULL && !changed)
            rd_kafka_ConfigResource_set_config(resource, config->name, config->value);
    }
    for (uint32_t k = 0; k < count; k++)
        if (changes[k].value != NULL)
            rd_kafka_ConfigResource_set_config(resource, changes[k].name, changes[k].value);
}

enum weir_err kafka_topic_configure(struct weir_kafka *kafka, const char *name,
                                    const struct weir_kafka_property *changes, uint32_t count,
                                    int32_t timeout_ms, struct weir_error *error)
{
    char what[WHAT_BYTES];
    struct description now = {0};
    struct rd_client *admin;
    enum weir_err err = admin_of(kafka, &admin, error);
    if (err != WEIR_OK)
        return err;
    weir_arena_init(&now.arena, DESCRIPTION_BYTES_MAX);
    err = describe_settings(admin, name, timeout_ms, &now, error);
    if (err == WEIR_OK) {
        struct settings_question asked = {
            name, rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, name), NULL};
        snprintf(what, sizeof(what), "setting up topic %s", name);
        const struct rd_question question = {.op = RD_KAFKA_ADMIN_OP_ALTERCONFIGS,
                                             .timeout_ms = timeout_ms,
                                             .what = what,
                                             .ask = ask_alter,
                                             .read = read_altered,
                                             .opaque = &asked};
        merge(asked.resource, &now.topic, changes, count);
        err = rd_admin_ask(admin, &question, error);
        rd_kafka_ConfigResource_destroy(asked.resource);
    }
    weir_arena_release(&now.arena);
    return err;
}

/* ---- describe -------------------------------------------------------------------------------- */

static enum weir_err fill_partitions(struct description *into,
                                     const struct rd_kafka_metadata_topic *found,
                                     struct kafka_partition **out, struct weir_error *error)
{
    struct kafka_partition *partitions =
        weir_arena_calloc(&into->arena, (size_t)found->partition_cnt, sizeof(*partitions));
    into->topic.name = copy(&into->arena, found->topic);
    if (partitions == NULL || into->topic.name == NULL)
        return weir_error_set(error, WEIR_NOMEM, -1, "no memory for a topic");
    for (int i = 0; i < found->partition_cnt; i++) {
        const struct rd_kafka_metadata_partition *at = &found->partitions[i];
        if (at->id < 0 || at->id >= found->partition_cnt)
            continue;
        partitions[at->id] = (struct kafka_partition){.leader = at->leader,
                                                      .replicas = at->replica_cnt,
                                                      .in_sync = at->isr_cnt,
                                                      .first = -1,
                                                      .end = -1};
    }
    into->topic.partitions = partitions;
    into->topic.partition_count = (uint32_t)found->partition_cnt;
    *out = partitions;
    return WEIR_OK;
}

static enum weir_err fill_offsets(struct rd_client *admin, const struct description *into,
                                  struct kafka_partition *partitions, int32_t timeout_ms,
                                  struct weir_error *error)
{
    rd_kafka_topic_partition_list_t *asked =
        rd_kafka_topic_partition_list_new((int)into->topic.partition_count);
    weir_assert(partitions);
    rd_kafka_topic_partition_list_t *firsts = NULL, *ends = NULL;
    for (uint32_t i = 0; i < into->topic.partition_count; i++)
        if (partitions[i].leader >= 0)
            rd_kafka_topic_partition_list_add(asked, into->topic.name, (int32_t)i);
    enum weir_err err = WEIR_OK;
    if (asked->cnt > 0)
        err = rd_ask_offsets(admin, asked, timeout_ms, &firsts, &ends, error);
    for (int i = 0; err == WEIR_OK && i < asked->cnt; i++) {
        weir_assert(firsts && ends);
        struct kafka_partition *at = &partitions[asked->elems[i].partition];
        at->first = firsts->elems[i].err ? -1 : firsts->elems[i].offset;
        at->end = ends->elems[i].err ? -1 : ends->elems[i].offset;
    }
    if (err == WEIR_OK && asked->cnt > 0) {
        rd_kafka_topic_partition_list_destroy(firsts);
        rd_kafka_topic_partition_list_destroy(ends);
    }
    rd_kafka_topic_partition_list_destroy(asked);
    return err;
}

static enum weir_err describe_partitions(struct rd_client *admin, const char *name,
                                         int32_t timeout_ms, struct description *into,
                                         struct weir_error *error)
{
    const struct rd_kafka_metadata *metadata;
    struct kafka_partition *partitions = NULL;
    rd_kafka_topic_t *handle = rd_kafka_topic_new(admin->rk, name, NULL);
    if (handle == NULL)
        return rd_error(admin, error, rd_kafka_last_error(), "topic %s", name);
    rd_kafka_resp_err_t code = rd_kafka_metadata(admin->rk, 0, handle, &metadata, timeout_ms);
    rd_kafka_topic_destroy(handle);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return rd_error(admin, error, code, "asking for topic %s", name);
    enum weir_err err = WEIR_OK;
    if (metadata->topic_cnt != 1)
        err = weir_error_set(error, WEIR_BROKER, -1, "asking for topic %s: no answer", name);
    else if (metadata->topics[0].err != RD_KAFKA_RESP_ERR_NO_ERROR)
        err = rd_error(admin, error, metadata->topics[0].err, "topic %s", name);
    else
        err = fill_partitions(into, &metadata->topics[0], &partitions, error);
    rd_kafka_metadata_destroy(metadata);
    return err == WEIR_OK ? fill_offsets(admin, into, partitions, timeout_ms, error) : err;
}

enum weir_err kafka_topic_describe(struct weir_kafka *kafka, const char *name, int32_t timeout_ms,
                                   struct kafka_topic **out, struct weir_error *error)
{
    struct rd_client *admin;
    enum weir_err err = admin_of(kafka, &admin, error);
    if (err != WEIR_OK)
        return err;
    struct description *made = weir_calloc(1, sizeof(*made));
    if (made == NULL)
        return weir_error_set(error, WEIR_NOMEM, -1, "no memory for a topic");
    made->topic.impl = made;
    weir_arena_init(&made->arena, DESCRIPTION_BYTES_MAX);
    err = describe_partitions(admin, name, timeout_ms, made, error);
    if (err == WEIR_OK)
        err = describe_settings(admin, name, timeout_ms, made, error);
    if (err == WEIR_OK)
        *out = &made->topic;
    else
        kafka_topic_free(&made->topic);
    return err;
}

void kafka_topic_free(struct kafka_topic *topic)
{
    if (topic == NULL)
        return;
    struct description *made = topic->impl;
    weir_arena_release(&made->arena);
    weir_free(made);
}
