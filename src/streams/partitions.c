/*
 * streams/partitions.c - which tasks there are, and of which partitions.
 *
 * A sub-topology has as many tasks as the largest of its topics has partitions; task n reads
 * partition n of each topic that has one. The group shares out the tasks as partitions of an empty
 * topic, one topic a sub-topology: so a task keeps its number whatever other topics grow.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/assert.h"
#include "streams/inside.h"

enum {
    ADMIN_TIMEOUT_MS = 5000,
    NEW_TOPIC_MS = 15000,
    LOOK_EVERY_MS = 5000,
    LOOK_TIMEOUT_MS = 1000,
    OTHERS_TIMEOUT_MS = 60000, /* longer than the session of one that died */
    MOMENT_MS = 50,
    LONGER_MOMENT_MS = 500,
    PURGE_EVERY_MS = 30000, /* repartition.purge.interval.ms */
    PURGE_TIMEOUT_MS = 1000,
    PURGE_AT_ONCE = 256,
    EXPIRED_KEPT_MS = 24 * 3600 * 1000, /* windowstore.changelog.additional.retention.ms */
};

static const char *task_topic(const struct weir_streams *streams, uint32_t number)
{
    return streams->task_topics + (size_t)number * (WEIR_KAFKA_TOPIC_BYTES_MAX + 1);
}

static uint32_t number_of(const struct stream_thread *thread, uint32_t topic)
{
    return thread->streams->numbers.of_node[thread->streams->topology->topics[topic].source];
}

uint32_t partitions_source_topic(const struct weir_topology *topology, const char *name)
{
    uint32_t topic = 0;
    while (topic < topology->topic_count && strcmp(topology->topics[topic].name, name) != 0)
        topic++;
    weir_assert(topic < topology->topic_count); /* we read nothing else */
    return topic;
}

int32_t partitions_task_count(const struct stream_thread *thread, uint32_t number)
{
    int32_t count = 0;
    for (uint32_t i = 0; i < thread->streams->topology->topic_count; i++)
        if (number_of(thread, i) == number && thread->source_partitions[i] > count)
            count = thread->source_partitions[i];
    return count;
}

uint32_t partitions_task_topics(const struct weir_streams *streams, const char **out)
{
    bool listed[WEIR_NODES_MAX + STORES_MAX] = {false};
    uint32_t count = 0;
    for (uint32_t i = 0; i < streams->topology->topic_count; i++) {
        uint32_t number = streams->numbers.of_node[streams->topology->topics[i].source];
        if (!listed[number])
            out[count++] = task_topic(streams, number);
        listed[number] = true;
    }
    return count;
}

uint32_t rebalance_sources(void *opaque, const char *topic, int32_t partition,
                           struct weir_kafka_partition *out, uint32_t capacity)
{
    const struct stream_thread *thread = opaque;
    const struct weir_topology *topology = thread->streams->topology;
    uint32_t count = 0;
    for (uint32_t i = 0; i < topology->topic_count && count < capacity; i++)
        if (partition < thread->source_partitions[i] &&
            strcmp(task_topic(thread->streams, number_of(thread, i)), topic) == 0)
            out[count++] = (struct weir_kafka_partition){.topic = topology->topics[i].name,
                                                         .partition = partition};
    return count;
}

/* ---- asking ---------------------------------------------------------------------------------- */

static bool may_wait(const struct weir_streams *streams, int64_t until_ns, int64_t moment_ms)
{
    if (streams->clock->is_virtual || atomic_load(&streams->stopping) ||
        streams_now_ns(streams) >= until_ns)
        return false;
    const struct timespec moment = {.tv_nsec = moment_ms * WEIR_NS_PER_MS};
    nanosleep(&moment, NULL);
    return true;
}

/* The partitions of a topic. Those that were made a moment ago may not be known everywhere yet. */
static enum weir_err look_up(const struct weir_streams *streams, const char *topic, int32_t least,
                             int32_t *partitions, struct weir_error *error)
{
    int64_t until_ns = streams_now_ns(streams) + NEW_TOPIC_MS * WEIR_NS_PER_MS;
    enum weir_err err;
    bool again;
    do {
        err =
            weir_kafka_topic_partitions(streams->kafka, topic, ADMIN_TIMEOUT_MS, partitions, error);
        again = err == WEIR_OK ? *partitions < least : err == WEIR_NOT_FOUND || error->retriable;
    } while (again && may_wait(streams, until_ns, MOMENT_MS));
    return err;
}

/* A topic with so many partitions at least. Others may make it at this moment, too: what counts is
 * what is there afterwards. */
static enum weir_err make_topic(const struct weir_streams *streams,
                                const struct weir_kafka_topic *wanted, int32_t *partitions,
                                struct weir_error *error)
{
    struct weir_kafka *kafka = streams->kafka;
    enum weir_err err =
        weir_kafka_topic_partitions(kafka, wanted->name, ADMIN_TIMEOUT_MS, partitions, error);
    if (err == WEIR_NOT_FOUND)
        err = weir_kafka_topics_create(kafka, wanted, 1, ADMIN_TIMEOUT_MS, NULL, error);
    else if (err == WEIR_OK && *partitions < wanted->partitions)
        err =
            weir_kafka_topic_grow(kafka, wanted->name, wanted->partitions, ADMIN_TIMEOUT_MS, error);
    if (err == WEIR_OK || err == WEIR_INVALID)
        err = look_up(streams, wanted->name, wanted->partitions, partitions, error);
    if (err == WEIR_OK && *partitions < wanted->partitions)
        err = weir_error_set(error, WEIR_INVALID, -1, "it has %d partitions", (int)*partitions);
    if (err != WEIR_OK)
        weir_error_context(error, "topic %s, which is to have %d partitions", wanted->name,
                           (int)wanted->partitions);
    return err;
}

/* How many partitions an internal topic is to have: what was asked for, as many as what it is
 * joined with, or as the largest that leads to it. 0: not known yet. */
static int32_t internal_partitions(const struct stream_thread *thread, uint32_t topic)
{
    const struct weir_topology *topology = thread->streams->topology;
    const char *name = topology->topics[topic].name;
    const struct internal_topic *internal = topology_internal(topology, name);
    uint32_t group = topology->nodes[topology->topics[topic].source].copartition;
    int32_t count = internal->partitions;
    for (uint32_t i = 0; i < topology->topic_count && group && count == 0; i++)
        if (topology->nodes[topology->topics[i].source].copartition == group)
            count = thread->source_partitions[i];
    for (uint32_t i = 0; i < topology->node_count && count == 0; i++)
        if (topology->nodes[i].kind == NODE_SINK && strcmp(topology->nodes[i].topic, name) == 0)
            count = partitions_task_count(thread, thread->streams->numbers.of_node[i]);
    return count;
}

static enum weir_err make_internal(struct stream_thread *thread, uint32_t topic, int32_t partitions,
                                   struct weir_error *error)
{
    static const struct weir_kafka_property config[] = {{"cleanup.policy", "delete"},
                                                        {"retention.ms", "-1"}};
    const struct weir_kafka_topic wanted = {.name = thread->streams->topology->topics[topic].name,
                                            .partitions = partitions,
                                            .replication = -1,
                                            .config = config,
                                            .config_count = 2};
    return make_topic(thread->streams, &wanted, &thread->source_partitions[topic], error);
}

/* Those that lead to others come first: as often around as that takes. */
static enum weir_err make_internals(struct stream_thread *thread, struct weir_error *error)
{
    const struct weir_topology *topology = thread->streams->topology;
    enum weir_err err = WEIR_OK;
    bool more = true;
    while (more && err == WEIR_OK) {
        more = false;
        for (uint32_t i = 0; i < topology->topic_count && err == WEIR_OK; i++) {
            if (thread->source_partitions[i] > 0)
                continue;
            int32_t partitions = internal_partitions(thread, i);
            if (partitions == 0)
                continue;
            err = make_internal(thread, i, partitions, error);
            more = true;
        }
    }
    for (uint32_t i = 0; i < topology->topic_count && err == WEIR_OK; i++)
        if (thread->source_partitions[i] <= 0)
            err = weir_error_set(error, WEIR_INVALID, -1, "nothing leads to topic %s",
                                 topology->topics[i].name);
    return err;
}

static enum weir_err count_partitions(struct stream_thread *thread, struct weir_error *error)
{
    const struct weir_streams *streams = thread->streams;
    const struct weir_topology *topology = streams->topology;
    const char *topic = NULL, *node = NULL;
    enum weir_err err = WEIR_OK;
    for (uint32_t i = 0; i < topology->topic_count && err == WEIR_OK; i++) {
        topic = topology->topics[i].name;
        node = topology->nodes[topology->topics[i].source].name;
        if (!topology_internal(topology, topic))
            err = look_up(streams, topic, 1, &thread->source_partitions[i], error);
    }
    if (err == WEIR_OK) {
        err = make_internals(thread, error);
        if (err != WEIR_OK)
            return err;
    }
    for (uint32_t i = 0; i < topology->node_count && err == WEIR_OK; i++) {
        if (topology->nodes[i].kind != NODE_SINK)
            continue;
        topic = topology->nodes[i].topic;
        node = topology->nodes[i].name;
        err = look_up(streams, topic, 1, &thread->sink_partitions[i], error);
    }
    if (err == WEIR_NOT_FOUND)
        weir_error_set(error, err, -1, "topic %s of node %s does not exist", topic, node);
    return err;
}

/* What is joined by key has to lie in partitions of the same number. */
static enum weir_err check_copartitioned(const struct stream_thread *thread,
                                         struct weir_error *error)
{
    const struct weir_topology *topology = thread->streams->topology;
    for (uint32_t i = 0; i < topology->topic_count; i++) {
        const struct node *node = &topology->nodes[topology->topics[i].source];
        for (uint32_t k = 0; k < i && node->copartition; k++)
            if (topology->nodes[topology->topics[k].source].copartition == node->copartition &&
                thread->source_partitions[k] != thread->source_partitions[i])
                return weir_error_set(
                    error, WEIR_INVALID, -1,
                    "topics %s (%d partitions) and %s (%d) are joined and need the same number of "
                    "partitions: give them that, or repartition one of them",
                    topology->topics[k].name, (int)thread->source_partitions[k],
                    topology->topics[i].name, (int)thread->source_partitions[i]);
    }
    return WEIR_OK;
}

/* ---- the topics of tasks --------------------------------------------------------------------- */

static enum weir_err make_task_topic(const struct stream_thread *thread, uint32_t number,
                                     struct weir_error *error)
{
    const struct weir_streams *streams = thread->streams;
    const struct weir_kafka_topic wanted = {.name = task_topic(streams, number),
                                            .partitions = partitions_task_count(thread, number),
                                            .replication = -1};
    int32_t partitions = 0;
    enum weir_err err = make_topic(streams, &wanted, &partitions, error);
    if (err == WEIR_OK && partitions > wanted.partitions)
        weir_log(&streams->options.log, WEIR_LOG_WARN, "streams",
                 "topic %s has %d partitions, but there are %d tasks: instances may get uneven "
                 "shares; delete it while none runs",
                 wanted.name, (int)partitions, (int)wanted.partitions);
    return err;
}

static enum weir_err make_task_topics(const struct stream_thread *thread, struct weir_error *error)
{
    enum weir_err err = WEIR_OK;
    for (uint32_t number = 0; number < thread->streams->numbers.count && err == WEIR_OK; number++)
        if (partitions_task_count(thread, number) > 0)
            err = make_task_topic(thread, number, error);
    return err;
}

/* As Kafka Streams has it: windows and sessions go when they have been expired for a day. */
static enum weir_err make_changelog(const struct stream_thread *thread, uint32_t kind,
                                    struct weir_error *error)
{
    const struct weir_streams *streams = thread->streams;
    const struct weir_store_options *store = &streams->topology->kinds[kind].options;
    bool expires = store->kind == WEIR_STORE_WINDOW || store->kind == WEIR_STORE_SESSION;
    int64_t kept_ms = store->retention_ms + EXPIRED_KEPT_MS;
    char retention_ms[24];
    snprintf(retention_ms, sizeof retention_ms, "%lld", (long long)kept_ms);
    const struct weir_kafka_property config[] = {
        {"cleanup.policy", expires ? "compact,delete" : "compact"}, {"retention.ms", retention_ms}};
    const struct weir_kafka_topic wanted = {
        .name = streams->changelogs + (size_t)kind * (WEIR_KAFKA_TOPIC_BYTES_MAX + 1),
        .partitions = partitions_task_count(thread, store_number(streams, kind)),
        .replication = -1,
        .config = config,
        .config_count = expires ? 2 : 1};
    int32_t partitions;
    return make_topic(streams, &wanted, &partitions, error);
}

/* A changelog that exists is left as it is but for partitions that are missing. */
static enum weir_err make_changelogs(const struct stream_thread *thread, struct weir_error *error)
{
    const struct weir_topology *topology = thread->streams->topology;
    enum weir_err err = WEIR_OK;
    for (uint32_t i = 0; i < topology->kind_count && err == WEIR_OK; i++)
        if (topology->kinds[i].options.logging)
            err = make_changelog(thread, i, error);
    return err;
}

/* ---- members that know no tasks -------------------------------------------------------------- */

static bool is_task_topic(const struct weir_streams *streams, const char *name)
{
    for (uint32_t number = 0; number < streams->numbers.count; number++)
        if (strcmp(task_topic(streams, number), name) == 0)
            return true;
    return false;
}

struct others {
    const struct weir_streams *streams;
    struct weir_error *error;
    bool found;
};

/* Is this one given partitions of another topic? */
static void look_at_member(void *opaque, const struct weir_kafka_assignment *found)
{
    struct others *others = opaque;
    if (others->found || is_task_topic(others->streams, found->topic))
        return;
    others->found = true;
    weir_error_set(
        others->error, WEIR_IN_USE, -1,
        "a member of group %s (%s at %s) reads topic %s itself, as other programs do and "
        "releases without tasks: end it, or choose another application.id",
        others->streams->options.application_id, found->client_id, found->host, found->topic);
}

/* Where the group can't be looked at there are none. */
static bool finds_others(const struct weir_streams *streams, struct weir_error *error)
{
    struct others others = {.streams = streams, .error = error};
    return weir_kafka_group_assignments(streams->kafka, streams->options.application_id,
                                        ADMIN_TIMEOUT_MS, look_at_member, &others,
                                        NULL) == WEIR_OK &&
           others.found;
}

/* Beside such a one each record would be processed twice. One that died needs its session's time to
 * go. */
static enum weir_err wait_for_others(const struct weir_streams *streams, struct weir_error *error)
{
    int64_t until_ns = streams_now_ns(streams) + OTHERS_TIMEOUT_MS * WEIR_NS_PER_MS;
    bool told = false;
    while (finds_others(streams, error)) {
        if (!told)
            weir_log(&streams->options.log, WEIR_LOG_WARN, "streams", "waiting: %s",
                     error->message);
        told = true;
        if (!may_wait(streams, until_ns, LONGER_MOMENT_MS))
            return WEIR_IN_USE;
    }
    return WEIR_OK;
}

/* ---- for threads ----------------------------------------------------------------------------- */

enum weir_err partitions_open(struct stream_thread *thread, struct weir_error *error)
{
    thread->topics_due_ns = streams_now_ns(thread->streams) + LOOK_EVERY_MS * WEIR_NS_PER_MS;
    enum weir_err err = count_partitions(thread, error);
    if (err == WEIR_OK)
        err = check_copartitioned(thread, error);
    if (err == WEIR_OK)
        err = make_changelogs(thread, error);
    if (err == WEIR_OK)
        err = make_task_topics(thread, error);
    return err == WEIR_OK ? wait_for_others(thread->streams, error) : err;
}

/* The count as it is now, if it can be had. False: there is no use in asking on. */
static bool look_at(const struct weir_streams *streams, const char *topic, int32_t *count,
                    bool *changed)
{
    int32_t now;
    enum weir_err err =
        weir_kafka_topic_partitions(streams->kafka, topic, LOOK_TIMEOUT_MS, &now, NULL);
    if (err == WEIR_OK) {
        *changed |= now != *count;
        *count = now;
    }
    return err == WEIR_OK || err == WEIR_NOT_FOUND;
}

enum weir_err partitions_look(struct stream_thread *thread, struct weir_error *error)
{
    const struct weir_streams *streams = thread->streams;
    const struct weir_topology *topology = streams->topology;
    int64_t now_ns = streams_now_ns(streams);
    bool asks = true, other = false;
    if (now_ns < thread->topics_due_ns)
        return WEIR_OK;
    thread->topics_due_ns = now_ns + LOOK_EVERY_MS * WEIR_NS_PER_MS;
    for (uint32_t i = 0; i < topology->topic_count && asks; i++)
        asks = look_at(streams, topology->topics[i].name, &thread->source_partitions[i],
                       &thread->topics_changed);
    for (uint32_t i = 0; i < topology->node_count && asks; i++)
        if (topology->nodes[i].kind == NODE_SINK)
            asks = look_at(streams, topology->nodes[i].topic, &thread->sink_partitions[i], &other);
    if (!thread->topics_changed)
        return WEIR_OK;
    enum weir_err err = check_copartitioned(thread, error);
    if (err != WEIR_OK)
        return err;
    weir_kafka_sources_changed(thread->consumer);
    thread->topics_changed =
        make_changelogs(thread, error) != WEIR_OK || make_task_topics(thread, error) != WEIR_OK;
    if (thread->topics_changed)
        weir_log(&streams->options.log, WEIR_LOG_WARN, "streams", "%s; trying again",
                 error->message);
    return WEIR_OK;
}

static bool is_to_purge(const struct stream_thread *thread, const struct input *input)
{
    return input && input->position_committed > input->position_purged &&
           topology_internal(thread->streams->topology, input->topic);
}

void partitions_purge(struct stream_thread *thread)
{
    const struct weir_streams *streams = thread->streams;
    struct weir_kafka_partition partitions[PURGE_AT_ONCE];
    struct input *inputs[PURGE_AT_ONCE];
    struct weir_error error;
    uint32_t count = 0;
    int64_t now_ns = streams_now_ns(streams);
    if (streams->topology->internal_count == 0 || now_ns < thread->purge_due_ns)
        return;
    thread->purge_due_ns = now_ns + PURGE_EVERY_MS * WEIR_NS_PER_MS;
    for (uint32_t i = 0; i < thread->input_capacity && count < PURGE_AT_ONCE; i++) {
        struct input *input = thread->inputs[i];
        if (!is_to_purge(thread, input))
            continue;
        inputs[count] = input;
        partitions[count++] = (struct weir_kafka_partition){.topic = input->topic,
                                                            .partition = input->task->partition,
                                                            .offset = input->position_committed};
    }
    if (weir_kafka_delete_records(streams->kafka, partitions, count, PURGE_TIMEOUT_MS, &error) !=
        WEIR_OK) {
        weir_log(&streams->options.log, WEIR_LOG_WARN, "streams",
                 "records of internal topics stay for now: %s", error.message);
        return;
    }
    for (uint32_t i = 0; i < count; i++)
        inputs[i]->position_purged = partitions[i].offset;
}
