/* Record batches for the tests of the partition log, made by hand from the format's description. */
#ifndef WEIR_TESTS_PLOG_BATCHES_H
#define WEIR_TESTS_PLOG_BATCHES_H

#include "plog/plog.h"

/* What one batch is made of; zero = the plain case. */
struct batch_spec {
    int32_t record_count;   /* 0 = 1 */
    int64_t timestamp;      /* of the first record */
    int64_t timestamp_step; /* from record to record, >= 0 */
    size_t value_bytes;     /* of each record */
    uint64_t seed;          /* of the values */
    bool idempotent;        /* with the three fields behind it */
    int64_t producer_id;
    int16_t producer_epoch;
    int32_t sequence;
    bool transactional;
};

enum { BATCH_BYTES_MAX = 1 << 20 };

/* Writes a batch with base offset 0 to `bytes` (BATCH_BYTES_MAX of room); its size. */
size_t batch_make(uint8_t *bytes, const struct batch_spec *spec);
/* The CRC anew after a test has changed something. */
void batch_seal(uint8_t *bytes);

/* A directory below TMPDIR that is new for each call; removed with all in it. */
char *directory_make(void);
void directory_remove(char *path);

/* xorshift64*: small, seeded. */
uint64_t dice(uint64_t *state);
uint64_t dice_below(uint64_t *state, uint64_t limit);
/* The seed of this run: WEIR_SEED or the clock; printed. */
uint64_t dice_seed(const char *test);

#endif
