/*
 * kafka/admin.h - topics and groups of a real cluster, for people who look and change.
 *
 * What:    what `weir topics` and `weir groups` are made of, on librdkafka's admin API.
 * Life:    describe -> read -> free.
 * Threads: any; each call asks the brokers and waits, up to timeout_ms for each question.
 * Memory:  a description owns all that it points to.
 * Errors:  NOT_FOUND (topic, group), DENIED, EXISTS, INVALID, IN_USE (a group with members),
 *          BROKER, TIMEOUT, NOMEM; UNSUPPORTED on the in-memory cluster.
 */
#ifndef WEIR_KAFKA_ADMIN_H
#define WEIR_KAFKA_ADMIN_H

#include <weir/kafka.h>

/* ---- topics ---------------------------------------------------------------------------------- */

struct kafka_config {
    const char *name;
    const char *value; /* NULL: it is secret */
    bool own;          /* set on the topic itself */
};

struct kafka_partition {
    int32_t leader; /* a broker's id; -1 = none */
    int32_t replicas, in_sync;
    int64_t first, end; /* offsets; -1 = not known, as the partition has no leader */
};

struct kafka_topic {
    const char *name;
    uint32_t partition_count, config_count;
    const struct kafka_partition *partitions; /* by their number */
    const struct kafka_config *configs;       /* by name */
    void *impl;
};

WEIR_MUST_USE enum weir_err kafka_topic_describe(struct weir_kafka *kafka, const char *name,
                                                 int32_t timeout_ms, struct kafka_topic **out,
                                                 struct weir_error *error);
void kafka_topic_free(struct kafka_topic *topic); /* NULL is allowed */
WEIR_MUST_USE enum weir_err kafka_topic_delete(struct weir_kafka *kafka, const char *name,
                                               int32_t timeout_ms, struct weir_error *error);
/* Changes settings; a value NULL takes one back to its default. Others that are set on the topic
 * stay; who changes them at the same moment may lose. */
WEIR_MUST_USE enum weir_err kafka_topic_configure(struct weir_kafka *kafka, const char *name,
                                                  const struct weir_kafka_property *changes,
                                                  uint32_t count, int32_t timeout_ms,
                                                  struct weir_error *error);

/* ---- groups ---------------------------------------------------------------------------------- */

/* Calls `each` for every group; state as Kafka names it. */
WEIR_MUST_USE enum weir_err kafka_groups_list(struct weir_kafka *kafka, int32_t timeout_ms,
                                              void (*each)(void *opaque, const char *id,
                                                           const char *state),
                                              void *opaque, struct weir_error *error);

struct kafka_member {
    const char *id, *client_id, *host, *instance_id; /* instance_id NULL: not a static one */
    uint32_t partition_count;
};

/* A partition that the group has committed, or that a member reads. */
struct kafka_group_offset {
    const char *topic;
    int32_t partition;
    int64_t committed;  /* -1 = never */
    int64_t first, end; /* of the log; -1 = not known */
    int32_t member;     /* index; -1 = nobody reads it */
};

struct kafka_group {
    const char *id, *state, *assignor;
    uint32_t member_count, offset_count;
    const struct kafka_member *members;
    const struct kafka_group_offset *offsets; /* by topic and partition */
    void *impl;
};

/* NOT_FOUND: neither members nor offsets. */
WEIR_MUST_USE enum weir_err kafka_group_describe(struct weir_kafka *kafka, const char *id,
                                                 int32_t timeout_ms, struct kafka_group **out,
                                                 struct weir_error *error);
void kafka_group_free(struct kafka_group *group); /* NULL is allowed */
WEIR_MUST_USE enum weir_err kafka_group_delete(struct weir_kafka *kafka, const char *id,
                                               int32_t timeout_ms, struct weir_error *error);
/* Commits for a group without members. IN_USE: it has some. */
WEIR_MUST_USE enum weir_err kafka_group_commit(struct weir_kafka *kafka, const char *id,
                                               const struct weir_kafka_partition *offsets,
                                               uint32_t count, int32_t timeout_ms,
                                               struct weir_error *error);
/* Finds, for each partition, the first record with this timestamp or a later one; the end where
 * there is none. */
WEIR_MUST_USE enum weir_err kafka_offsets_at(struct weir_kafka *kafka, int64_t timestamp_ms,
                                             struct weir_kafka_partition *partitions,
                                             uint32_t count, int32_t timeout_ms,
                                             struct weir_error *error);

#endif
