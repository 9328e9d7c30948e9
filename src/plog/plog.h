/*
 * plog/plog.h - append-only partition log on disk, in Apache Kafka's own file layout.
 *
 * A log is a directory `<topic>-<partition>` of segments; a segment is `<base offset>.log` (record
 * batches v2, as received), `.index` (offset -> position, one entry every index_interval_bytes) and
 * `.timeindex` (timestamp -> offset). Kafka's dump tool reads it.
 *
 *      00000000000000000000.log   [batch][batch][batch]....      sealed
 *      00000000000000004711.log   [batch][batch]|                active: appends go to its end
 *
 * Life:    weir_plog_open (recovers) -> append / read / ... -> weir_plog_close.
 * Threads: one owner thread appends, trims and closes. read, offsets and find may be called from
 *          any thread meanwhile; segments deleted under a reader stay readable until it is done.
 * Memory:  read copies into the caller's buffer. An open log holds 6 KB, and for each segment three
 *          descriptors (four where a transaction was aborted) and about 300 bytes; indexes are
 *          searched where they lie. With idempotent producers about 350 bytes each, 100,000 of
 *          them at most.
 * Errors:  IO, DENIED, CORRUPT, INVALID, LIMIT, OTHER_VERSION; detail in struct weir_error. After a
 *          failed write or fsync the log is read-only (error.fatal) and says so; it never pretends.
 *
 * kill -9 at any moment loses nothing acknowledged, at any flush setting: the page cache has it.
 * Power loss is covered up to the last sync: with flush = none too the owner calls weir_plog_sync
 * now and then, from another thread, and keeps weir_plog_offset_flushed as the recovery point.
 * Recovery scans all since the recovery point (the last segment, if that is unknown) and cuts the
 * log at the first batch that is torn or fails its CRC.
 *
 * Transactions: a batch with the transactional bit opens one for its producer, unless it has one
 * open here; weir_plog_end_transaction ends it with a marker, which is a control batch.
 *
 *      [A a1][B b1][C][A a2][A: commit][B: abort][D d1]
 *            `b1 .. abort': aborted            ^      ^ next
 *                                              stable, while D is open
 *
 * What lies below the last stable offset is decided. A reader of committed records stops there and
 * leaves out what belongs to the aborted transactions that weir_plog_aborted names.
 */
#ifndef WEIR_PLOG_H
#define WEIR_PLOG_H

#include <weir/base.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/disk.h"

struct weir_plog;

enum weir_plog_flush { WEIR_PLOG_FLUSH_NONE, WEIR_PLOG_FLUSH_INTERVAL, WEIR_PLOG_FLUSH_EVERY };

/* Kafka's topic settings of the same name; weir_plog_options_default fills in Kafka's defaults. */
struct weir_plog_options {
    int64_t segment_bytes;             /* segment.bytes [1 GiB] */
    int64_t segment_ms;                /* segment.ms [7 days] */
    int64_t retention_bytes;           /* retention.bytes [-1 = no limit] */
    int64_t retention_ms;              /* retention.ms [7 days]; -1 = for ever */
    int64_t producer_id_expiration_ms; /* producer.id.expiration.ms, the broker's [1 day] */
    int32_t index_interval_bytes;      /* index.interval.bytes [4096] */
    int32_t message_bytes_max;         /* max.message.bytes of a batch [1048588] */
    bool log_append_time;              /* message.timestamp.type=LogAppendTime [false] */
    bool deletes;                 /* cleanup.policy has "delete" [true]; else retention rests */
    enum weir_plog_flush flush;   /* [none] */
    const struct weir_disk *disk; /* seam; shared */
    const struct weir_clock *clock;
    struct weir_log log;
};

void weir_plog_options_default(struct weir_plog_options *options);

/* What the owner's checkpoint files say of a log (Kafka keeps them in the parent directory:
 * log-start-offset-checkpoint, recovery-point-offset-checkpoint). */
struct weir_plog_recovery {
    bool clean;              /* the last close was orderly: no scan */
    int64_t offset_first;    /* log start offset; -1 = unknown: the first segment's */
    int64_t offset_recovery; /* all below was flushed; -1 = unknown: the last segment is scanned */
};

/* Opens or creates the log in `directory`. Recovers: cuts a torn tail, rebuilds missing or damaged
 * indexes, restores producer state. */
WEIR_MUST_USE enum weir_err weir_plog_open(const char *directory,
                                           const struct weir_plog_options *options,
                                           const struct weir_plog_recovery *recovery,
                                           struct weir_plog **log_out, struct weir_error *error);
/* Flushes and seals; gives the first failure. The log is freed in any case. */
enum weir_err weir_plog_close(struct weir_plog *log, struct weir_error *error);
/* Owner only. New settings for what is appended and trimmed from now on. */
void weir_plog_configure(struct weir_plog *log, const struct weir_plog_options *options);

/* What became of an append. */
struct weir_plog_appended {
    int64_t offset_base, offset_last; /* of the records in the log */
    int64_t append_time_ms;           /* -1 unless log_append_time */
    bool duplicate;                   /* a repeat by an idempotent producer: offsets of the first */
};

/* Why an append was refused, for the protocol's own code. */
enum weir_plog_refusal {
    WEIR_PLOG_ACCEPTED,
    WEIR_PLOG_CORRUPT_MESSAGE,  /* CRC, length, magic, offset deltas */
    WEIR_PLOG_RECORD_TOO_LARGE, /* above message_bytes_max */
    WEIR_PLOG_INVALID_RECORD,   /* no records, several batches of an idempotent producer */
    WEIR_PLOG_OUT_OF_ORDER_SEQUENCE,
    WEIR_PLOG_DUPLICATE_SEQUENCE, /* older than the last five batches */
    WEIR_PLOG_INVALID_PRODUCER_EPOCH,
    WEIR_PLOG_UNKNOWN_PRODUCER,  /* not given: one that is unknown begins anywhere, as in
                                           Kafka since 2.5 */
    WEIR_PLOG_STORAGE,           /* the log is read-only after a failed write */
    WEIR_PLOG_INVALID_TXN_STATE, /* a batch outside of the transaction that its producer has open */
};

/*
 * Appends the record batches of one produce request: checks each (magic 2, length, CRC-32C over
 * attributes and what follows, record count = last offset delta + 1), checks the producer's
 * sequence, patches base offset and leader epoch (both outside the CRC; with log_append_time also
 * the timestamp type and max timestamp, and the CRC anew), writes. All or nothing. bytes is written
 * to in place and borrowed for the call. It does not sync: with flush = every, the owner calls
 * weir_plog_sync before it answers, once for many appends.
 * On failure *refusal_out says which protocol error it is: CORRUPT (corrupt message), LIMIT (too
 * large), INVALID (record, sequence, unknown producer), FENCED (producer epoch), IO (storage).
 * Format: kafka.apache.org/documentation, "Record Batch".
 */
WEIR_MUST_USE enum weir_err weir_plog_append(struct weir_plog *log, uint8_t *bytes,
                                             size_t byte_count, int32_t leader_epoch,
                                             struct weir_plog_appended *out,
                                             enum weir_plog_refusal *refusal_out,
                                             struct weir_error *error);
/* Is the first record batch transactional? If so, whose. No CRC is checked. */
bool weir_plog_is_transactional(struct weir_slice batches, int64_t *producer_id_out,
                                int16_t *producer_epoch_out);
/* Behind the last record of whole batches that were read from a log. */
int64_t weir_plog_batches_end(struct weir_slice batches);
/* fdatasync what is not synced yet. A failure makes the log read-only. From the owner, or from any
 * one other thread meanwhile. */
WEIR_MUST_USE enum weir_err weir_plog_sync(struct weir_plog *log, struct weir_error *error);
/* Has a write or a sync failed? */
bool weir_plog_is_read_only(const struct weir_plog *log);

/* False: a write has failed, and the log is read-only until it is opened again. */
bool weir_plog_is_writable(const struct weir_plog *log);
/* First offset that can be read, and the one the next record will get. */
int64_t weir_plog_offset_first(const struct weir_plog *log);
int64_t weir_plog_offset_next(const struct weir_plog *log);
/* The last stable offset: all below it is outside of open transactions. */
int64_t weir_plog_offset_stable(const struct weir_plog *log);
int64_t weir_plog_offset_flushed(const struct weir_plog *log); /* all below it is on the disk */
int64_t weir_plog_bytes(const struct weir_plog *log);

/*
 * Appends whole batches, beginning with the one that holds `offset` and ending below offset_end (-1
 * = the end of the log), to `into`, at most bytes_max bytes; one batch is given even if it is
 * larger when at_least_one. Nothing is appended at the end
 * of the log. Goes on into the next segment where there is room. CRCs are not checked again.
 * Errors: NOT_FOUND (offset outside first..next), IO, CORRUPT, NOMEM, LIMIT (buffer's ceiling).
 */
WEIR_MUST_USE enum weir_err weir_plog_read(struct weir_plog *log, int64_t offset,
                                           int64_t offset_end, size_t bytes_max, bool at_least_one,
                                           struct weir_buffer *into, struct weir_error *error);
/*
 * The first record with a timestamp >= timestamp_ms: its offset and timestamp. Looks into the
 * batch, inflating it if need be. NOT_FOUND: all are older or have no timestamp.
 */
WEIR_MUST_USE enum weir_err weir_plog_find_time(struct weir_plog *log, int64_t timestamp_ms,
                                                int64_t *offset_out, int64_t *timestamp_out,
                                                struct weir_error *error);
/* The largest timestamp of all records, -1 if there are none with one. Records below the first
 * offset count as long as their segment is there. */
int64_t weir_plog_timestamp_max(struct weir_plog *log);

/* What ends a transaction. */
struct weir_plog_marker {
    int64_t producer_id;
    int32_t coordinator_epoch;
    int16_t producer_epoch; /* the log refuses lower ones from then on */
    bool commit;            /* else it is aborted */
};
/*
 * Owner only. Appends the marker that ends a producer's transaction; fine if it has none here. It
 * does not sync. Errors: IO (the log is read-only, and the transaction stays open until the next
 * open, which finds the marker or not), NOMEM, LIMIT.
 */
WEIR_MUST_USE enum weir_err weir_plog_end_transaction(struct weir_plog *log,
                                                      const struct weir_plog_marker *marker,
                                                      int32_t leader_epoch,
                                                      struct weir_plog_appended *out,
                                                      struct weir_error *error);
/* An open transaction. */
struct weir_plog_transaction {
    int64_t producer_id, offset_first;
    int16_t producer_epoch;
};
/* Owner only. The oldest one that begins behind `offset` (-1 = the oldest of all). False: none. */
bool weir_plog_transaction_after(const struct weir_plog *log, int64_t offset,
                                 struct weir_plog_transaction *out);
/* What the log remembers of an idempotent producer; -1 = nothing. */
struct weir_plog_producer {
    int64_t id;
    int64_t timestamp;    /* of its newest batch */
    int64_t offset_first; /* of the transaction it has open */
    int32_t sequence_last;
    int32_t coordinator_epoch; /* of its last marker */
    int16_t epoch;
};
uint32_t weir_plog_producer_count(const struct weir_plog *log);
/* Owner only. Calls `each` for all of them, in any order. */
void weir_plog_each_producer(const struct weir_plog *log,
                             void (*each)(void *opaque, const struct weir_plog_producer *producer),
                             void *opaque);
/* Owner only. False: it is not known. */
bool weir_plog_producer_find(const struct weir_plog *log, int64_t id,
                             struct weir_plog_producer *out);
/* Called for an aborted transaction; anything but OK ends the listing. */
typedef enum weir_err weir_plog_aborted_fn(void *opaque, int64_t producer_id, int64_t offset_first);
/* Calls `each` for the aborted transactions with records in offset_from .. offset_end - 1, in the
 * order of their ends. Errors: IO, CORRUPT, those of `each`. */
WEIR_MUST_USE enum weir_err weir_plog_aborted(struct weir_plog *log, int64_t offset_from,
                                              int64_t offset_end, weir_plog_aborted_fn *each,
                                              void *opaque, struct weir_error *error);

/* Deletes records below `offset` (DeleteRecords): moves the first offset, drops whole segments. The
 * owner writes its checkpoint of the first offset before it answers. */
WEIR_MUST_USE enum weir_err weir_plog_trim(struct weir_plog *log, int64_t offset,
                                           struct weir_error *error);
/* Owner only. Rolls by age and applies retention by time and size; call it every few seconds. Gives
 * the number of segments deleted. */
uint32_t weir_plog_maintain(struct weir_plog *log);
/* Deletes the whole directory of a closed log. */
WEIR_MUST_USE enum weir_err weir_plog_destroy(const char *directory, const struct weir_disk *disk,
                                              struct weir_error *error);

#endif
