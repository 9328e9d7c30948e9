/*
 * plog/producers.h - what the log remembers of idempotent producers.
 *
 * What:    for each producer id its epoch and its last five batches, to tell the next batch from a
 *          repeat, a gap and a zombie; saved as Kafka's `<offset>.snapshot`.
 *
 *      sequence:   ... [ 3..7 ][ 8..8 ][ 9..20 ][ 21..21 ][ 22..30 ]  next: 31
 *                       oldest of five                      newest
 *
 * Life:    init -> check, add ... -> release. Saved at each roll and at close; an open loads the
 *          newest snapshot and adds the batches behind it.
 * Threads: the log's owner.
 * Memory:  about 300 bytes a producer, PRODUCERS_MAX of them; past it the longest idle one goes,
 *          as all do that were idle for producer.id.expiration.ms. Who has a transaction open
 *          stays.
 * Errors:  NOMEM, CORRUPT and OTHER_VERSION (a snapshot), IO.
 *
 * A producer that is not known may begin with any sequence: its state may have gone with its
 * records. So does Kafka since 2.5 (KIP-360).
 */
#ifndef WEIR_PLOG_PRODUCERS_H
#define WEIR_PLOG_PRODUCERS_H

#include <weir/base.h>

#include "base/disk.h"
#include "base/map.h"
#include "plog/batch_head.h"
#include "plog/plog.h"

enum {
    PLOG_PRODUCERS_MAX = 100000,
    PLOG_PRODUCER_BATCHES = 5, /* as many as a client may have in flight */
};

struct plog_producer_batch {
    int64_t offset_last;
    int64_t timestamp;
    int32_t sequence_last;
    int32_t offset_delta;
};

struct plog_producer {
    int64_t id;
    int64_t active_ms;        /* wall clock of the last append, or of the open */
    int64_t txn_offset_first; /* of the open transaction; -1 = none */
    struct plog_producer *txn_older, *txn_younger; /* with one open, by its first offset */
    int32_t coordinator_epoch;                     /* of the last transaction marker; -1 = none */
    int16_t epoch;
    uint8_t batch_count;
    uint8_t batch_newest; /* index into batches, a ring */
    struct plog_producer_batch batches[PLOG_PRODUCER_BATCHES];
};

struct plog_producers {
    struct weir_map map; /* id (8 bytes) -> struct plog_producer */
    struct plog_producer *txn_oldest, *txn_youngest;
};

void weir_plog_producers_init(struct plog_producers *producers);
void weir_plog_producers_release(struct plog_producers *producers);
void weir_plog_producers_clear(struct plog_producers *producers);

/* Judges a batch with a producer id before it is written. ACCEPTED with *repeat_out not NULL: the
 * batch is in the log already, as that one (borrowed until the next call). */
enum weir_plog_refusal weir_plog_producers_check(const struct plog_producers *producers,
                                                 const struct plog_head *head,
                                                 const struct plog_producer_batch **repeat_out);
/* Makes sure that the producer of a batch has its place, so that weir_plog_producers_add and _mark
 * after the write cannot fail. NOMEM; LIMIT: all of them have transactions open. */
WEIR_MUST_USE enum weir_err weir_plog_producers_prepare(struct plog_producers *producers,
                                                        const struct plog_head *head);
/* Takes in a batch that is in the log, with its offsets in the log. `now_ms` is the wall clock. */
WEIR_MUST_USE enum weir_err weir_plog_producers_add(struct plog_producers *producers,
                                                    const struct plog_head *head, int64_t now_ms);
/* Takes in a transaction marker that is in the log. *txn_first_out: first offset of the transaction
 * that it ends; -1 = there was none. */
WEIR_MUST_USE enum weir_err weir_plog_producers_mark(struct plog_producers *producers,
                                                     const struct plog_head *head,
                                                     int32_t coordinator_epoch, int64_t now_ms,
                                                     int64_t *txn_first_out);
/* First offset of the oldest open transaction; INT64_MAX = there is none. */
int64_t weir_plog_producers_unstable(const struct plog_producers *producers);
/* A producer of a loaded snapshot takes its place among those with transactions open. */
void weir_plog_producers_link(struct plog_producers *producers, struct plog_producer *producer);
/* Forgets who was idle for over `idle_ms`. */
void weir_plog_producers_expire(struct plog_producers *producers, int64_t now_ms, int64_t idle_ms);

/* NULL: not known. */
const struct plog_producer *weir_plog_producers_find(const struct plog_producers *producers,
                                                     int64_t id);

/* Writes the state to `path`, whole or not at all, synced. */
WEIR_MUST_USE enum weir_err weir_plog_producers_save(const struct plog_producers *producers,
                                                     const struct weir_disk *disk, const char *path,
                                                     struct weir_error *error);
/* Reads it into an empty table; after a failure the table is empty. */
WEIR_MUST_USE enum weir_err weir_plog_producers_load(struct plog_producers *producers,
                                                     const struct weir_disk *disk, const char *path,
                                                     int64_t now_ms, struct weir_error *error);

#endif
