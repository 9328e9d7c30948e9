/*
 * kafka/rd_member.h - the consumer of a group, and what the group has given it.
 *
 *      rd_consumer -- rd_share, rd_share ...  a partition of a subscribed topic, given by the group
 *           |              ^
 *           +------- rd_slot, rd_slot ...     a partition that is read for its share: the same one,
 *                                             or what `sources` names for it
 *
 * Life:    a share from the group's assignment to its revocation; slots as in rd_member.c.
 * Threads: the consumer's.
 * Memory:  shares and slots are the consumer's.
 * Errors:  AGAIN: a rebalance is under way.
 */
#ifndef WEIR_KAFKA_RD_MEMBER_H
#define WEIR_KAFKA_RD_MEMBER_H

#include "kafka/rd.h"

struct rd_share {
    struct rd_share *next;
    int32_t partition;
    char topic[];
};

struct rd_consumer {
    struct weir_kafka_consumer base;
    struct rd_client client;
    struct rd_signal signal;
    _Atomic bool awake;
    struct weir_batch_pool pool;
    struct weir_kafka_rebalance rebalance;
    bool from_end, in_callback, closing, is_static;
    bool gone;        /* inside `lost`: the membership is over */
    bool assigned;    /* librdkafka assigned at least once, be it nothing */
    bool ask_sources; /* they may have changed */
    uint64_t wake_bytes, wake_rows;
    struct rd_share *shares;
    struct rd_slot **slots; /* by partition index; NULL = free */
    uint32_t slot_count;
    uint32_t cursor;
    uint32_t waiting; /* slots that are not told */
    int64_t ask_ns;   /* when to ask for offsets (again) */
    rd_kafka_queue_t *events, *commits;
    uint64_t commit_number;
    struct weir_error failure; /* told by librdkafka: code OK = none */
};

/* The slot's index; -1 = there is none. */
int32_t rd_member_index(const struct rd_consumer *consumer, const char *topic, int32_t partition);
/* librdkafka's rebalance callback. */
void rd_member_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t err,
                         rd_kafka_topic_partition_list_t *partitions, void *opaque);
/* Asks where the waiting slots begin: committed offset, first, end; then they are told. Takes
 * RD_ANSWER_MS a question at most. */
void rd_member_gain(struct rd_consumer *consumer);
/*
 * Takes a slot (a share with all its slots) out of librdkafka's assignment outside a rebalance. Not
 * while one is under way: librdkafka would take this call for the answer to it and go on before
 * `lost` was told. (One that begins between the look and the call is answered too early; then the
 * next owner may begin before our last commit and reads some records again: at least once still
 * holds.)
 */
enum weir_err rd_member_unassign(struct rd_consumer *consumer, const struct rd_slot *slot,
                                 struct weir_error *error);
/* The broker has the slot's position no more: its share is lost and gained again. */
void rd_member_restart(struct rd_consumer *consumer, struct rd_slot *slot);
/* Asks `sources` again; shares of which others are read now are lost and gained. */
void rd_member_ask_sources(struct rd_consumer *consumer);
/* Tells `lost` of all that was told, without membership. */
void rd_member_lose_all(struct rd_consumer *consumer);
void rd_member_release(struct rd_consumer *consumer);
/*
 * What may be committed now, for librdkafka: a list that is the caller's. partitions[i].err is set;
 * *foreign_out = FENCED if some are not ours. AGAIN, FENCED: nothing may, and there is no list.
 */
enum weir_err rd_consumer_commit_list(struct rd_consumer *consumer, bool in_transaction,
                                      struct weir_kafka_partition *partitions, uint32_t count,
                                      rd_kafka_topic_partition_list_t **list_out,
                                      enum weir_err *foreign_out, struct weir_error *error);
/* Takes the failure, which may be NULL. */
void rd_member_log(struct rd_consumer *consumer, rd_kafka_error_t *failure, const char *what);

#endif
