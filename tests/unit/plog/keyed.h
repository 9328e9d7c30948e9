/* Records with keys for the tests of compaction, and what a log holds of them. */
#ifndef WEIR_TESTS_PLOG_KEYED_H
#define WEIR_TESTS_PLOG_KEYED_H

#include "fixture.h"
#include "plog/cleaner.h"

enum { KEYED_MAX = 16, NO_KEY = -1, TOMBSTONE = -1 };

/* A batch; value TOMBSTONE = null, key NO_KEY = null. */
struct keyed_batch {
    struct keyed_record {
        int key, value;
    } records[KEYED_MAX];
    int count;
    int64_t timestamp; /* of all records */
    int codec;
    int64_t producer_id; /* 0 = none */
    int32_t sequence;
    bool transactional;
};

/* Appends it; gives the offset of the first record. */
int64_t keyed_append(struct fixture *f, const struct keyed_batch *batch);
/* The same for one record. */
int64_t keyed_put(struct fixture *f, int key, int value);
void end_transaction(struct fixture *f, int64_t producer_id, bool commit);
/* So that what was appended is sealed. */
void roll(struct fixture *f);

/* A record as a reader finds it. */
struct seen {
    int64_t offset, timestamp;
    int key, value;
};
/* All records of the log but markers; freed by the caller. */
struct seen *read_all(struct fixture *f, size_t *count_out);
/* The log holds these records and no others: "offset:key=value ...", a tombstone without value. */
void assert_holds(struct fixture *f, const char *expected);

/* One pass over the log of the fixture, in this thread. END: nothing to do. */
enum weir_err clean(struct fixture *f, const struct weir_plog_clean_settings *settings,
                    struct weir_plog_cleaned *out);

#endif
