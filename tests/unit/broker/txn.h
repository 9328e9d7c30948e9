/*
 * The requests of transactions, by hand, and a broker on a disk that can fail. What gives an int
 * gives the error of the answer, or -100 if the connection was closed.
 */
#ifndef WEIR_TESTS_BROKER_TXN_H
#define WEIR_TESTS_BROKER_TXN_H

#include "raw.h"

#include "broker/transactions.h"

extern const struct producer txn_nobody;
/* While it is set, the n-th allocation of the broker for each request fails. */
extern uint64_t txn_allocation_to_fail;
extern bool txn_allocation_failed;

void txn_call(struct raw *raw, struct call *call);
void txn_put_producer(struct wire_writer *w, struct producer producer);
/* Of an answer that begins with throttle and error. */
int txn_result(struct raw *raw, struct call *call);
int txn_init(struct raw *raw, int fd, const char *id, struct producer expected,
             struct producer *out);
int txn_add(struct raw *raw, int fd, const char *id, struct producer producer, const char *topic,
            int32_t partition, int16_t version);
int txn_end(struct raw *raw, int fd, const char *id, struct producer producer, bool commit,
            int16_t version);
int txn_produce(struct raw *raw, int fd, const char *id, struct producer producer,
                const char *topic, int32_t partition, int32_t sequence);
int txn_add_group(struct raw *raw, int fd, const char *id, struct producer producer,
                  const char *group);
int txn_commit_offset(struct raw *raw, int fd, const char *id, struct producer producer,
                      const char *group, int32_t generation, const char *member, int64_t offset);
/* The committed offset of t-0; -100 - error if there is one. */
int64_t txn_fetch_offset(struct raw *raw, int fd, const char *group, bool stable);

struct txn_fetched {
    int64_t next, stable, end; /* end: behind the records */
    int32_t aborted;           /* -1 = null */
    int64_t first_aborted;
};
/* Of t-0. */
void txn_begin_fetch(struct call *call, int fd, int64_t offset, bool committed, int32_t wait_ms);
struct txn_fetched txn_read_fetch(struct call *call);
struct txn_fetched txn_fetch(struct raw *raw, int fd, int64_t offset, bool committed);

struct txn_bench {
    struct raw raw;
    struct weir_disk_faulty disk;
    int fd;
};
/* A broker with the topic "t" of two partitions. */
int txn_set_up(void **state);
int txn_tear_down(void **state);
/* killed: as by kill -9, nothing is written from here on. */
void txn_restart(struct txn_bench *b, bool killed);
/* Begins a transaction with one record in t-0. */
struct producer txn_begin(struct txn_bench *b, const char *id);

#endif
