/*
 * broker/transactions.h - the transaction coordinator: who writes under a transactional id, and how
 * far its transaction is.
 *
 * States, with Kafka's names and numbers, by what each waits for:
 *      Empty             a first partition or group; nothing is open
 *      Ongoing           EndTxn, a successor's InitProducerId (aborts), or its time-out (aborts)
 *      PrepareCommit     markers in all its partitions: decided, and not to be undone
 *      PrepareAbort      the same
 *      CompleteCommit    as Empty
 *      CompleteAbort     as Empty
 *
 *                  add                 EndTxn                   markers, offsets
 *      Empty ------------> Ongoing ------------> PrepareCommit ------------> CompleteCommit
 *        ^                    |                                                  | add: Ongoing
 *        |                    +----------------> PrepareAbort -----> CompleteAbort
 *        |                    EndTxn, time-out, successor
 *        +-- InitProducerId, from Empty and both Complete
 *
 * A state is in the journal before it is acted upon. Markers are written at once, so Prepare is
 * left within the same request, unless a partition can't be written: then the maintenance tries
 * again, and requests hear CONCURRENT_TRANSACTIONS meanwhile. A start completes what was prepared;
 * what was ongoing goes on and may time out. A transaction that stands open in a log and that the
 * journal does not know (it went with the power) is aborted at start.
 *
 * Epochs: each InitProducerId gets the next one. An abort by time-out or by a successor takes one
 * more, so that its markers fence in the logs whoever wrote before. Before epochs run out, the id
 * gets another producer id.
 *
 * Offsets sent to a transaction (TxnOffsetCommit) stand with it until the commit and are in force
 * then; a plain commit for the same partition in between replaces them.
 *
 * Life:    the journal's frames, broker_transactions_resume ... broker_transactions_close.
 * Threads: the loop's.
 * Memory:  about 400 bytes an id, TRANSACTIONS_MAX of them, forgotten when idle for a week
 *          (transactional.id.expiration.ms); what a transaction has added, within limits below.
 * Errors:  enum wire_error, for the answer. COORDINATOR_NOT_AVAILABLE: the journal can't be
 *          written, or there is no memory; clients try again.
 *
 * Source: KIP-98, KIP-360, KIP-447; the behaviour of Apache Kafka's TransactionCoordinator.
 */
#ifndef BROKER_TRANSACTIONS_H
#define BROKER_TRANSACTIONS_H

#include "broker/inside.h"

enum {
    TRANSACTIONS_MAX = 100000,
    TRANSACTIONAL_ID_BYTES_MAX = 1024,
    TRANSACTION_TIMEOUT_MAX_MS = 15 * 60 * 1000, /* transaction.max.timeout.ms */
    TRANSACTION_GROUPS_MAX = 10000,              /* of a transaction */
    TRANSACTION_OFFSETS_MAX = 100000,            /* of a transaction */
};
#define TRANSACTIONAL_ID_IDLE_MS (INT64_C(7) * 24 * 3600 * 1000)

enum transaction_state {
    TRANSACTION_EMPTY,
    TRANSACTION_ONGOING,
    TRANSACTION_PREPARE_COMMIT,
    TRANSACTION_PREPARE_ABORT,
    TRANSACTION_COMPLETE_COMMIT,
    TRANSACTION_COMPLETE_ABORT,
};

/* An id and the epoch of who may use it; -1 = none. */
struct producer {
    int64_t id;
    int16_t epoch;
};

/* What the journal keeps in one entry. */
struct transaction_core {
    struct producer producer; /* epoch -1: never initialised */
    struct producer last;     /* of the InitProducerId before, if that went on from it (KIP-360) */
    int32_t timeout_ms;
    enum transaction_state state;
    int64_t started_ms, updated_ms; /* wall clock, as it outlives the process */
};

struct transaction {
    char *id;
    struct transaction_core core;
    struct weir_map partitions; /* "<topic>\0<partition>"; without those that have their marker */
    struct weir_map groups;     /* whose offsets may be sent to it */
    struct weir_map offsets;    /* "<group>\0<topic>\0<partition>" -> struct committed * */
};

struct transaction *broker_transaction_find(const struct weir_broker *broker, struct weir_slice id);
/* InitProducerId; expected: of a producer that goes on. */
enum wire_error broker_transaction_init(struct weir_broker *broker, struct weir_slice id,
                                        int32_t timeout_ms, struct producer expected,
                                        struct producer *out);
/* The transaction of a request's sender, if it may speak for it: PRODUCER_FENCED,
 * INVALID_PRODUCER_ID_MAPPING, INVALID_REQUEST. */
enum wire_error broker_transaction_speaker(struct weir_broker *broker, struct weir_slice id,
                                           struct producer producer, struct transaction **out);
/* May something be added to it now? CONCURRENT_TRANSACTIONS. */
enum wire_error broker_transaction_may_add(struct weir_broker *broker, struct transaction *t);
/* Adds a partition, or a group if topic is null; the first one begins the transaction. */
enum wire_error broker_transaction_add(struct weir_broker *broker, struct transaction *t,
                                       struct weir_slice group_or_topic, int32_t partition);
enum { ADD_GROUP = -1 };
enum wire_error broker_transaction_add_offset(struct weir_broker *broker, struct transaction *t,
                                              struct weir_slice group, struct weir_slice topic,
                                              int32_t partition, const struct committed *committed);
/* EndTxn. */
enum wire_error broker_transaction_end(struct weir_broker *broker, struct transaction *t,
                                       bool commit);

/* ---- the inside, for journal_transactions.c -------------------------------------------------- */

/* Makes it if need be; NULL = no memory, or too many. */
struct transaction *broker_transaction_obtain(struct weir_broker *broker, struct weir_slice id);
void broker_transaction_forget(struct weir_broker *broker, struct transaction *t);
/* Takes on what stands in the journal. Whoever is not Ongoing or Prepare has nothing added. */
void broker_transaction_become(struct weir_broker *broker, struct transaction *t,
                               const struct transaction_core *core);
enum weir_err broker_transaction_note(struct transaction *t, struct weir_slice group_or_topic,
                                      int32_t partition);
enum weir_err broker_transaction_note_offset(struct weir_broker *broker, struct transaction *t,
                                             struct weir_slice group, struct weir_slice topic,
                                             int32_t partition, const struct committed *committed);
/* Its offsets become those of their groups. */
enum weir_err broker_transaction_apply_offsets(struct weir_broker *broker, struct transaction *t);

/* ---- journal_transactions.c ------------------------------------------------------------------ */

enum weir_err broker_journal_transaction(struct weir_broker *broker, const struct transaction *t,
                                         const struct transaction_core *core,
                                         struct weir_error *error);
/* *core not NULL: that entry, too. */
enum weir_err broker_journal_added(struct weir_broker *broker, const struct transaction *t,
                                   const struct transaction_core *core,
                                   struct weir_slice group_or_topic, int32_t partition,
                                   struct weir_error *error);
enum weir_err broker_journal_transaction_offset(struct weir_broker *broker,
                                                const struct transaction *t,
                                                struct weir_slice group, struct weir_slice topic,
                                                int32_t partition,
                                                const struct committed *committed,
                                                struct weir_error *error);
enum weir_err broker_journal_forget_transaction(struct weir_broker *broker,
                                                const struct transaction *t,
                                                struct weir_error *error);

#endif
