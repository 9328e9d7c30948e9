/*
 * Administration through librdkafka: one client of consumer type for the whole cluster, made when
 * it is first needed. A consumer's metadata requests never create topics; a producer's would.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "kafka/rd.h"

enum weir_err rd_admin_get(struct weir_kafka *kafka, struct rd_client **admin_out,
                           struct weir_error *error)
{
    struct rd_cluster *cluster = rd_cluster_of(kafka);
    enum weir_err err = WEIR_OK;
    pthread_mutex_lock(&cluster->mutex);
    if (cluster->admin == NULL) {
        /* Ends are those of all records: whoever needs them waits for transactions to end. */
        static const struct rd_setting fixed[] = {{"isolation.level", "read_uncommitted"},
                                                  {NULL, NULL}};
        struct rd_client *admin = weir_calloc(1, sizeof(*admin));
        rd_kafka_conf_t *conf;
        err = admin != NULL ? rd_conf_new(cluster, NULL, fixed, &conf, error)
                            : weir_error_set(error, WEIR_NOMEM, -1, "no memory for a client");
        if (err == WEIR_OK)
            err = rd_client_open(admin, cluster, RD_KAFKA_CONSUMER, conf, error);
        if (err == WEIR_OK)
            cluster->admin = admin;
        else
            weir_free(admin);
    }
    *admin_out = cluster->admin;
    pthread_mutex_unlock(&cluster->mutex);
    return err;
}

enum weir_err rd_admin_ask(struct rd_client *admin, const struct rd_question *question,
                           struct weir_error *error)
{
    char text[128];
    int32_t limit_ms = question->timeout_ms > 0 ? question->timeout_ms : 1;
    rd_kafka_AdminOptions_t *options = rd_kafka_AdminOptions_new(admin->rk, question->op);
    rd_kafka_AdminOptions_set_request_timeout(options, limit_ms, text, sizeof(text));
    if (question->brokers_wait)
        rd_kafka_AdminOptions_set_operation_timeout(options, limit_ms, text, sizeof(text));
    rd_kafka_queue_t *queue = rd_kafka_queue_new(admin->rk);
    question->ask(question->opaque, admin->rk, options, queue);
    /* The answer comes in any case: request_timeout is its limit. */
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, -1);
    rd_kafka_resp_err_t code = rd_kafka_event_error(event);
    enum weir_err err = code != RD_KAFKA_RESP_ERR_NO_ERROR
                            ? rd_error(admin, error, code, "%s", question->what)
                            : question->read(question->opaque, admin, event, error);
    rd_kafka_event_destroy(event);
    rd_kafka_queue_destroy(queue);
    rd_kafka_AdminOptions_destroy(options);
    return err;
}

/* ---- create ---------------------------------------------------------------------------------- */

static enum weir_err new_topic(const struct weir_kafka_topic *topic, rd_kafka_NewTopic_t **out,
                               struct weir_error *error)
{
    char text[256];
    rd_kafka_NewTopic_t *made =
        rd_kafka_NewTopic_new(topic->name, topic->partitions > 0 ? topic->partitions : 1,
                              topic->replication > 0 ? topic->replication : -1, text, sizeof(text));
    if (made == NULL)
        return weir_error_set(error, WEIR_INVALID, -1, "topic %s: %s", topic->name, text);
    for (uint32_t i = 0; i < topic->config_count; i++) {
        rd_kafka_resp_err_t err =
            rd_kafka_NewTopic_set_config(made, topic->config[i].name, topic->config[i].value);
        if (err != RD_KAFKA_RESP_ERR_NO_ERROR) {
            rd_kafka_NewTopic_destroy(made);
            return rd_error(NULL, error, err, "topic %s: setting %s", topic->name,
                            topic->config[i].name);
        }
    }
    *out = made;
    return WEIR_OK;
}

struct creation {
    rd_kafka_NewTopic_t **made;
    const struct weir_kafka_topic *topics;
    uint32_t count;
    bool *created_out;
};

static void ask_create(void *opaque, rd_kafka_t *rk, const rd_kafka_AdminOptions_t *options,
                       rd_kafka_queue_t *queue)
{
    const struct creation *creation = opaque;
    rd_kafka_CreateTopics(rk, creation->made, creation->count, options, queue);
}

/* Existing topics are well, the first other failure is told. */
static enum weir_err read_created(void *opaque, struct rd_client *admin, rd_kafka_event_t *event,
                                  struct weir_error *error)
{
    const struct creation *creation = opaque;
    size_t result_count;
    const rd_kafka_topic_result_t **results = rd_kafka_CreateTopics_result_topics(
        rd_kafka_event_CreateTopics_result(event), &result_count);
    enum weir_err err = WEIR_OK;
    for (size_t r = 0; r < result_count; r++) {
        const char *name = rd_kafka_topic_result_name(results[r]);
        rd_kafka_resp_err_t code = rd_kafka_topic_result_error(results[r]);
        for (uint32_t i = 0; i < creation->count; i++)
            if (creation->created_out != NULL && strcmp(creation->topics[i].name, name) == 0)
                creation->created_out[i] = code == RD_KAFKA_RESP_ERR_NO_ERROR;
        if (code != RD_KAFKA_RESP_ERR_NO_ERROR && code != RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS &&
            err == WEIR_OK) {
            const char *text = rd_kafka_topic_result_error_string(results[r]);
            err = rd_error(admin, error, code, "creating topic %s (%s)", name,
                           text != NULL ? text : "no reason given");
        }
    }
    return err;
}

enum weir_err rd_topics_create(struct weir_kafka *kafka, const struct weir_kafka_topic *topics,
                               uint32_t count, int32_t timeout_ms, bool *created_out,
                               struct weir_error *error)
{
    struct rd_client *admin;
    enum weir_err err = rd_admin_get(kafka, &admin, error);
    if (err != WEIR_OK)
        return err;
    rd_kafka_NewTopic_t **made = weir_calloc(count, sizeof(rd_kafka_NewTopic_t *));
    if (made == NULL)
        return weir_error_set(error, WEIR_NOMEM, -1, "no memory for %u topics", count);
    uint32_t made_count = 0;
    while (made_count < count && err == WEIR_OK) {
        err = new_topic(&topics[made_count], &made[made_count], error);
        made_count += err == WEIR_OK;
    }
    struct creation creation = {made, topics, count, created_out};
    const struct rd_question question = {.op = RD_KAFKA_ADMIN_OP_CREATETOPICS,
                                         .timeout_ms = timeout_ms,
                                         .brokers_wait = true,
                                         .what = "creating topics",
                                         .ask = ask_create,
                                         .read = read_created,
                                         .opaque = &creation};
    if (err == WEIR_OK)
        err = rd_admin_ask(admin, &question, error);
    rd_kafka_NewTopic_destroy_array(made, made_count);
    weir_free(made);
    return err;
}

/* ---- questions ------------------------------------------------------------------------------- */

enum weir_err rd_ask_partitions(struct rd_client *client, const char *topic, int32_t timeout_ms,
                                int32_t *partitions_out, struct weir_error *error)
{
    rd_kafka_topic_t *handle = rd_kafka_topic_new(client->rk, topic, NULL);
    if (handle == NULL)
        return rd_error(client, error, rd_kafka_last_error(), "topic %s", topic);
    const struct rd_kafka_metadata *metadata;
    rd_kafka_resp_err_t code =
        rd_kafka_metadata(client->rk, 0, handle, &metadata, timeout_ms > 0 ? timeout_ms : 1);
    rd_kafka_topic_destroy(handle);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return rd_error(client, error, code, "asking for topic %s", topic);
    enum weir_err err = WEIR_OK;
    code = metadata->topic_cnt == 1 ? metadata->topics[0].err
                                    : RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        err = rd_error(client, error, code, "topic %s", topic);
    else if (metadata->topics[0].partition_cnt == 0)
        err = rd_error(client, error, RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE, "topic %s", topic);
    else
        *partitions_out = metadata->topics[0].partition_cnt;
    rd_kafka_metadata_destroy(metadata);
    return err;
}

enum weir_err rd_topic_partitions(struct weir_kafka *kafka, const char *topic, int32_t timeout_ms,
                                  int32_t *partitions_out, struct weir_error *error)
{
    struct rd_client *admin;
    enum weir_err err = rd_admin_get(kafka, &admin, error);
    return err == WEIR_OK ? rd_ask_partitions(admin, topic, timeout_ms, partitions_out, error)
                          : err;
}

/* ListOffsets takes the special times -2 (first) and -1 (end), which librdkafka hands through. */
static rd_kafka_resp_err_t ask_times(struct rd_client *client,
                                     const rd_kafka_topic_partition_list_t *partitions,
                                     int64_t time, int32_t timeout_ms,
                                     rd_kafka_topic_partition_list_t **out)
{
    *out = rd_kafka_topic_partition_list_copy(partitions);
    for (int i = 0; i < (*out)->cnt; i++)
        (*out)->elems[i].offset = time;
    return rd_kafka_offsets_for_times(client->rk, *out, timeout_ms > 0 ? timeout_ms : 1);
}

enum weir_err rd_ask_offsets(struct rd_client *client,
                             const rd_kafka_topic_partition_list_t *partitions, int32_t timeout_ms,
                             rd_kafka_topic_partition_list_t **firsts_out,
                             rd_kafka_topic_partition_list_t **ends_out, struct weir_error *error)
{
    *ends_out = NULL;
    int64_t deadline_ns = weir_clock_now_ns(NULL) + (int64_t)timeout_ms * WEIR_NS_PER_MS;
    rd_kafka_resp_err_t code =
        ask_times(client, partitions, RD_KAFKA_OFFSET_BEGINNING, timeout_ms, firsts_out);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
        int64_t left_ms = (deadline_ns - weir_clock_now_ns(NULL)) / WEIR_NS_PER_MS;
        code = ask_times(client, partitions, RD_KAFKA_OFFSET_END, (int32_t)left_ms, ends_out);
    }
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        return WEIR_OK;
    rd_kafka_topic_partition_list_destroy(*firsts_out);
    if (*ends_out != NULL)
        rd_kafka_topic_partition_list_destroy(*ends_out);
    return rd_error(client, error, code, "asking for the offsets of %s",
                    partitions->elems[0].topic);
}

enum weir_err rd_offsets(struct weir_kafka *kafka, const char *topic, int32_t partition,
                         int32_t timeout_ms, int64_t *first_out, int64_t *next_out,
                         struct weir_error *error)
{
    struct rd_client *admin;
    enum weir_err err = rd_admin_get(kafka, &admin, error);
    if (err != WEIR_OK)
        return err;
    int64_t first, next;
    rd_kafka_resp_err_t code = rd_kafka_query_watermark_offsets(
        admin->rk, topic, partition, &first, &next, timeout_ms > 0 ? timeout_ms : 1);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return rd_error(admin, error, code, "asking for the offsets of %s [%d]", topic, partition);
    *first_out = first;
    *next_out = next;
    return WEIR_OK;
}

static int compare_topics(const void *a, const void *b)
{
    const struct rd_kafka_metadata_topic *const *left = a, *const *right = b;
    return strcmp((*left)->topic, (*right)->topic);
}

enum weir_err rd_topics_list(struct weir_kafka *kafka, int32_t timeout_ms,
                             void (*each)(void *opaque, const char *name, int32_t partitions),
                             void *opaque, struct weir_error *error)
{
    struct rd_client *admin;
    enum weir_err err = rd_admin_get(kafka, &admin, error);
    if (err != WEIR_OK)
        return err;
    const struct rd_kafka_metadata *metadata;
    rd_kafka_resp_err_t code =
        rd_kafka_metadata(admin->rk, 1, NULL, &metadata, timeout_ms > 0 ? timeout_ms : 1);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return rd_error(admin, error, code, "asking for the topics");
    size_t count = (size_t)metadata->topic_cnt;
    const struct rd_kafka_metadata_topic **sorted =
        weir_realloc_array(NULL, count + 1, sizeof(struct rd_kafka_metadata_topic *));
    if (sorted != NULL) {
        for (size_t i = 0; i < count; i++)
            sorted[i] = &metadata->topics[i];
        qsort(sorted, count, sizeof(struct rd_kafka_metadata_topic *), compare_topics);
        for (size_t i = 0; i < count; i++)
            each(opaque, sorted[i]->topic, sorted[i]->partition_cnt);
        weir_free(sorted);
    } else {
        err = weir_error_set(error, WEIR_NOMEM, -1, "no memory for %zu topics", count);
    }
    rd_kafka_metadata_destroy(metadata);
    return err;
}
