/*
 * plog/cleaner.h - compaction of a log: of each key the newest record stays.
 *
 * What:    one pass over the sealed segments, beside the owner who goes on appending:
 *
 *          0. the log is synced: only what the power can't take any more may replace a record
 *          1. the keys of what is dirty (not cleaned before) go into a map with their offsets
 *          2. all segments up to there are written anew without the records that the map knows a
 *             later one of; small neighbours become one segment
 *          3. each new segment takes the place of the old ones
 *
 *      [ clean ....... | dirty ............ | active ]
 *                      ^ offset_dirty       ^ not looked at; nor what is undecided or too young
 *
 *          Offsets never change. Rules for tombstones, transactions and markers are Apache Kafka's:
 *          plog/clean_batch.h. A new segment keeps the last batch of the old ones, and the last
 *          batch of each producer is kept, both without records if need be.
 * Life:    weir_plog_cleaning_new -> run -> free. One cleaning a log at a time; it is freed before
 *          the log is closed.
 * Threads: new and free belong to the log's owner; run is called once, from any thread, and cancel
 *          from any thread meanwhile. Readers of the old segments keep them until they are done.
 * Memory:  the map, a batch (inflated: 64 MiB at most), 1 MiB; three descriptors.
 * Errors:  a sync of the log that fails makes it read-only, as ever (error.fatal). Then, before a
 *          new segment takes its place, a failure changes nothing; until it then has its names
 *          the log becomes read-only, and the next open finishes.
 */
#ifndef WEIR_PLOG_CLEANER_H
#define WEIR_PLOG_CLEANER_H

#include "plog/plog.h"

struct weir_plog_cleaning;

/* Kafka's topic settings of the same name, and where the last pass ended. */
struct weir_plog_clean_settings {
    int64_t offset_dirty;          /* all below it was cleaned; -1 = nothing */
    int64_t delete_retention_ms;   /* delete.retention.ms */
    int64_t min_compaction_lag_ms; /* min.compaction.lag.ms; 0 = none */
    size_t map_bytes;              /* log.cleaner.dedupe.buffer.size */
};

/* How much there is to do. */
struct weir_plog_dirt {
    int64_t clean_bytes, dirty_bytes; /* of what a pass would read */
    int64_t dirty_since_ms;           /* wall clock, of the oldest dirty segment; -1 = none */
};
/* Owner only, while no cleaning of this log runs. */
void weir_plog_dirt(const struct weir_plog *log, const struct weir_plog_clean_settings *settings,
                    struct weir_plog_dirt *out);

/* Owner only. Prepares a pass over what is sealed by now. END: nothing is dirty. NOMEM. */
WEIR_MUST_USE enum weir_err weir_plog_cleaning_new(struct weir_plog *log,
                                                   const struct weir_plog_clean_settings *settings,
                                                   struct weir_plog_cleaning **out,
                                                   struct weir_error *error);

/* What a pass has done. */
struct weir_plog_cleaned {
    int64_t offset_dirty; /* for the next pass: below it all is clean now */
    int64_t bytes_read, bytes_written;
};
/*
 * The pass. Errors: CLOSED (cancelled), AGAIN (a segment was deleted meanwhile): what was replaced
 * by then stays, and another pass begins where this one did; CORRUPT, LIMIT (a batch inflates to
 * too much, or has more keys than the map holds), IO, NOMEM.
 */
WEIR_MUST_USE enum weir_err weir_plog_cleaning_run(struct weir_plog_cleaning *cleaning,
                                                   struct weir_plog_cleaned *out,
                                                   struct weir_error *error);
/* Ends the pass after the batch in hand. */
void weir_plog_cleaning_cancel(struct weir_plog_cleaning *cleaning);
void weir_plog_cleaning_free(struct weir_plog_cleaning *cleaning);

#endif
