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
 * left within the same request. A start completes what was prepared; what was ongoing goes on and
 * may time out. A transaction that stands open in a log and that the journal does not know (it went
 * with the power) is aborted at start.
 *
 * A partition that is read-only since a write failed takes no marker until the next start.
 *      It is not added to a transaction any more.
 *      A transaction that has it can't be committed any more.
 *      An abort goes without it: the next start finds it open there, and aborts it.
 *      A commit that was decided before waits for the next start, or until the topic is deleted,
 *      as Kafka waits for a partition that is offline; requests hear CONCURRENT_TRANSACTIONS then.
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
 * Memory:  about 400 bytes an id, TRANSACTIONS_MAX of them, forgotten when idle for
 *          transactional.id.expiration.ms; what a transaction has added, within limits below.
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
    TRANSACTION_GROUPS_MAX = 10000,   /* of a transaction */
    TRANSACTION_OFFSETS_MAX = 100000, /* of a transaction */
    TRANSACTION_ENTRIES_BYTES_MAX = 1 << 17,
};

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

/* Adding what a request names: begin, then any of the other two, then end. It goes to the journal
 * with one write, or, past half of TRANSACTION_ENTRIES_BYTES_MAX, several, and then into memory. */
struct transaction_adding {
    struct weir_broker *broker;
    struct transaction *transaction;
    struct weir_buffer entries; /* that are not in the journal yet */
    struct wire_writer writer;  /* into entries */
    enum wire_error error;
};
void broker_transaction_add_begin(struct transaction_adding *adding, struct weir_broker *broker,
                                  struct transaction *t);
/* A partition, or with ADD_GROUP a group; the first one begins the transaction. */
void broker_transaction_add(struct transaction_adding *adding, struct weir_slice group_or_topic,
                            int32_t partition);
enum { ADD_GROUP = -1 };
/* An offset for a group that was added. */
void broker_transaction_add_offset(struct transaction_adding *adding, struct weir_slice group,
                                   struct weir_slice topic, int32_t partition,
                                   const struct committed *committed);
/* COORDINATOR_NOT_AVAILABLE; INVALID_TXN_STATE: an offset of a group that was not added. */
enum wire_error broker_transaction_add_end(struct transaction_adding *adding);

/* EndTxn. STORAGE_ERROR: a partition is read-only, so that it can't be committed any more. */
enum wire_error broker_transaction_end(struct weir_broker *broker, struct transaction *t,
                                       bool commit);
/* Writes a marker. False: it could not be written, which is logged. */
bool broker_transaction_mark(struct weir_broker *broker, struct partition *partition,
                             const struct weir_plog_marker *marker);

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
enum weir_err broker_journal_forget_transaction(struct weir_broker *broker,
                                                const struct transaction *t,
                                                struct weir_error *error);
/* Entries, put one behind the other and written by broker_journal_append. */
void broker_journal_put_core(struct wire_writer *writer, const struct transaction *t,
                             const struct transaction_core *core);
void broker_journal_put_added(struct wire_writer *writer, const struct transaction *t,
                              struct weir_slice group_or_topic, int32_t partition);
void broker_journal_put_offset(struct wire_writer *writer, const struct transaction *t,
                               struct weir_slice group, struct weir_slice topic, int32_t partition,
                               const struct committed *committed);
/* Takes in what was just written of them. NOMEM, LIMIT. */
enum weir_err broker_journal_take_entries(struct weir_broker *broker, struct weir_slice entries);

#endif
