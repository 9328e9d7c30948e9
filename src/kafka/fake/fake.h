/*
 * kafka/fake/fake.h - a Kafka cluster in memory, for tests of whatever stands on weir/kafka.h.
 *
 * What:    topics, partitions, groups with cooperative rebalances, commits, deliveries that take
 *          time, and failures on demand. It does nothing by itself: the same calls at the same
 *          readings of the clock give the same results.
 * Life:    weir_kafka_fake_new gives a struct weir_kafka like any other; weir_kafka_free ends it.
 * Threads: everything may be called from any thread (one lock); callbacks run outside the lock.
 * Memory:  records are kept until the cluster is freed, up to bytes_max.
 * Errors:  INVALID, NOMEM when made; later as weir/kafka.h says, and those asked for with
 *          weir_kafka_fake_fail. Functions without a result assert that what they name exists.
 *
 * Time: things fall due by the clock (delivery_delay_ms, rebalance_ms) and are looked at in every
 * call. With a virtual clock nothing ever waits, whatever timeout_ms says: poll says AGAIN, flush,
 * commit and the like TIMEOUT at once; advance the clock and call again. With `threads` (always
 * with the real clock) they wait in real time, up to timeout_ms, for something to happen, which
 * includes weir_kafka_fake_tick after an advance.
 * Static membership is taken for dynamic. Transactions time out by the clock, too.
 *
 * A group: with `sources`, too, it shares out the partitions of the topics subscribed to, and what
 * follows here names those. Members join in their first poll. A rebalance begins when a member
 * joins or leaves, a topic of its subscription appears or grows, or a test asks; it ends
 * rebalance_ms later, and each member is told in its next poll: first lost, and what nobody holds
 * any more is gained by the one it goes to. A member keeps what it has as far as the balance allows
 * (cooperative-sticky); the newcomers' share is taken from the ends of the longest lists.
 */
#ifndef WEIR_KAFKA_FAKE_H
#define WEIR_KAFKA_FAKE_H

#include <weir/kafka.h>

#include "base/clock.h"

struct weir_kafka_fake_options {
    const struct weir_clock *clock; /* NULL = the real one; borrowed until free */
    bool threads;                   /* wait in real time even though the clock is virtual [no] */
    int32_t partitions_default;     /* of topics made by produce; 0 = they are not made [1] */
    int32_t delivery_delay_ms;      /* from produce until the record is in the log [0] */
    int32_t rebalance_ms;           /* what a rebalance takes [0] */
    size_t record_bytes_max;        /* key, value and headers of one record [1 MiB] */
    size_t bytes_max;               /* all records together [256 MiB] */
    struct weir_log log;
};
/* Fills in what [brackets] say. */
void weir_kafka_fake_options_default(struct weir_kafka_fake_options *options);

WEIR_MUST_USE enum weir_err weir_kafka_fake_new(const struct weir_kafka_fake_options *options,
                                                struct weir_kafka **kafka_out,
                                                struct weir_error *error);

/* Wakes whoever waits, to look at the clock again. Needed with `threads` after an advance. */
void weir_kafka_fake_tick(struct weir_kafka *kafka);

/* ---- topics and their records ---------------------------------------------------------------- */

/* Adds a topic, or partitions to one. NOMEM, LIMIT. */
WEIR_MUST_USE enum weir_err weir_kafka_fake_topic(struct weir_kafka *kafka, const char *topic,
                                                  int32_t partitions);
/* Puts a record into the log at once, past all failures. record->partition -1 = by key as a
 * producer does it. partition_out and offset_out may be NULL. NOT_FOUND, LIMIT, NOMEM. */
WEIR_MUST_USE enum weir_err weir_kafka_fake_append(struct weir_kafka *kafka,
                                                   const struct weir_kafka_record *record,
                                                   int32_t *partition_out, int64_t *offset_out);
/* Leaves `count` offsets unused, as control records and compaction do. */
void weir_kafka_fake_gap(struct weir_kafka *kafka, const char *topic, int32_t partition,
                         int64_t count);
/* Moves the log's first offset, as retention does. */
void weir_kafka_fake_delete_before(struct weir_kafka *kafka, const char *topic, int32_t partition,
                                   int64_t offset);
/*
 * The first record at or after `offset`, without a consumer: a batch of one (release it) with
 * partition_index 0, or AGAIN when there is none yet. NOT_FOUND: no such partition.
 */
WEIR_MUST_USE enum weir_err weir_kafka_fake_read(struct weir_kafka *kafka, const char *topic,
                                                 int32_t partition, int64_t offset,
                                                 struct weir_kafka_batch *batch);

/* ---- groups ---------------------------------------------------------------------------------- */

/* Committed offset of a group, -1 = none. */
int64_t weir_kafka_fake_committed(struct weir_kafka *kafka, const char *group, const char *topic,
                                  int32_t partition);
/* Sets it, as an administrator does; -1 removes it. NOMEM. */
WEIR_MUST_USE enum weir_err weir_kafka_fake_commit(struct weir_kafka *kafka, const char *group,
                                                   const char *topic, int32_t partition,
                                                   int64_t offset);
/* Number of members, and of rebalances that ended; 0 for a group that nobody joined. */
uint32_t weir_kafka_fake_members(struct weir_kafka *kafka, const char *group);
uint64_t weir_kafka_fake_generation(struct weir_kafka *kafka, const char *group);

/* A rebalance now in which every partition moves to the next member in the order of joining; a
 * group of one loses everything and gains it again. */
void weir_kafka_fake_rebalance(struct weir_kafka *kafka, const char *group);
/* One partition is taken from its owner, and is given out again by the rebalance after that. */
void weir_kafka_fake_revoke(struct weir_kafka *kafka, const char *group, const char *topic,
                            int32_t partition);
/* Ends the membership of the owner of a partition as a session time-out does: its next poll is told
 * `lost` with gone, its commits are FENCED until then; after that it joins anew. */
void weir_kafka_fake_evict(struct weir_kafka *kafka, const char *group, const char *topic,
                           int32_t partition);
/* While held, a rebalance is under way and does not end: commit and rewind say AGAIN. */
void weir_kafka_fake_hold_rebalance(struct weir_kafka *kafka, const char *group, bool hold);
/* Open transactions end as their time-out ends them: aborted, their producers FENCED. */
void weir_kafka_fake_expire(struct weir_kafka *kafka);

/* ---- failures -------------------------------------------------------------------------------- */

enum weir_kafka_fake_call {
    WEIR_KAFKA_FAKE_PRODUCE,  /* the call: AGAIN = queue full */
    WEIR_KAFKA_FAKE_DELIVERY, /* the report: the record is not in the log then */
    WEIR_KAFKA_FAKE_COMMIT,   /* of any partition of the topic; nothing is committed then */
    WEIR_KAFKA_FAKE_FETCH,    /* what weir_kafka_poll and weir_kafka_table_poll return */
    WEIR_KAFKA_FAKE_ADMIN,    /* topics_create, topic_partitions, offsets, topics_list */
    WEIR_KAFKA_FAKE_TRANSACTION_OFFSETS, /* of any partition of the topic; nothing is added then */
    WEIR_KAFKA_FAKE_TRANSACTION_COMMIT,  /* nothing has happened then */
    WEIR_KAFKA_FAKE_TRANSACTION_ANSWER,  /* the commit takes place, its answer does not come */
    WEIR_KAFKA_FAKE_CALL_COUNT,
};

struct weir_kafka_fake_failure {
    enum weir_kafka_fake_call call;
    const char *topic; /* NULL = any */
    uint32_t skip;     /* let so many pass first */
    uint32_t count;    /* then fail so many; 0 = none, which ends an earlier failure */
    enum weir_err err;
    bool retriable, fatal;
};
/* One failure is kept for each kind of call; a new one takes the place of the old one. The topic's
 * name is copied (up to Kafka's limit). */
void weir_kafka_fake_fail(struct weir_kafka *kafka, const struct weir_kafka_fake_failure *failure);
/* How many calls of a kind were made to fail so far. */
uint64_t weir_kafka_fake_failed(struct weir_kafka *kafka, enum weir_kafka_fake_call call);

/* While away: records wait (until their delivery_timeout_ms), nothing is fetched, commits time out,
 * administration says BROKER. */
void weir_kafka_fake_away(struct weir_kafka *kafka, bool away);

#endif
