/*
 * wire/record_batch.h - record batches of version 2, the unit in which records travel and lie.
 *
 * What:    reads and checks a batch's header, walks over its records, builds batches.
 *
 *       0 base offset i64        23 last offset delta i32     53 base sequence i32
 *       8 length i32             27 base timestamp i64        57 record count i32
 *      12 leader epoch i32       35 max timestamp i64         61 records, perhaps compressed
 *      16 magic i8 = 2           43 producer id i64
 *      17 crc32c u32             51 producer epoch i16
 *      21 attributes i16
 *
 *      length counts what follows it (from 12), the CRC covers what follows it (from 21), so that
 *      the log may set base offset and leader epoch without reckoning anew.
 *
 * Life:    values on the stack; a walk and a builder own a buffer each and are released.
 * Threads: any; one at a time a value.
 * Memory:  a batch and its records borrow the bytes they were read from; records of a compressed
 *          batch borrow the walk's buffer, until the walk is released.
 * Errors:  CORRUPT (with the offset in the batch), TRUNCATED (the bytes end inside the batch),
 *          LIMIT (inflated size), UNSUPPORTED (magic 0 and 1, unknown codec), NOMEM.
 *
 * Source: kafka.apache.org/documentation, "Record Batch" and "Record".
 *
 *      struct wire_batch batch;
 *      err = wire_batch_read(bytes, &batch, &error);
 *      if (err == WEIR_OK && wire_batch_crc_holds(&batch))
 *          err = wire_walk_init(&walk, &batch, inflated_bytes_max, &error);
 *      while (err == WEIR_OK && (err = wire_walk_next(&walk, &record, &error)) == WEIR_OK)
 *          ...                                               // END behind the last record
 *      wire_walk_release(&walk);
 */
#ifndef WIRE_RECORD_BATCH_H
#define WIRE_RECORD_BATCH_H

#include <weir/base.h>

#include "base/buffer.h"
#include "wire/compress.h"

enum {
    WIRE_BATCH_HEAD_BYTES = 61,
    WIRE_BATCH_MAGIC = 2,
    WIRE_BATCH_CODEC_MASK = 0x07, /* of the attributes */
    WIRE_BATCH_LOG_APPEND_TIME = 0x08,
    WIRE_BATCH_TRANSACTIONAL = 0x10,
    WIRE_BATCH_CONTROL = 0x20,
    WIRE_BATCH_DELETE_HORIZON = 0x40, /* the base timestamp says when tombstones may go */
};

/* A batch in memory; borrows its bytes. */
struct wire_batch {
    const uint8_t *bytes;
    size_t byte_count; /* of the whole batch */
    int64_t offset_base, offset_last;
    int64_t timestamp_base, timestamp_max;
    int64_t producer_id; /* -1 = none */
    int32_t leader_epoch;
    int32_t last_offset_delta;
    int32_t sequence_base; /* -1 = none */
    int32_t record_count;  /* in a compacted batch less than last_offset_delta + 1 */
    uint32_t crc;
    int16_t attributes;
    int16_t producer_epoch;
};

/* Reads the header of the batch at the front of `bytes`, which may hold more behind it. Does not
 * look at the CRC nor into the records. */
WEIR_MUST_USE enum weir_err wire_batch_read(struct weir_slice bytes, struct wire_batch *out,
                                            struct weir_error *error);
/* Reckons the CRC-32C over the batch. */
bool wire_batch_crc_holds(const struct wire_batch *batch);

/* A record; slices are borrowed as said above. */
struct wire_record {
    int64_t offset, timestamp_ms;
    struct weir_slice key, value; /* null slices where the record has nulls */
    int32_t header_count;
    struct weir_slice headers; /* as they stand in the record: wire_header_next reads them */
};

/* A walk over the records of a batch. */
struct wire_walk {
    struct wire_batch batch;
    struct weir_buffer inflated;
    const uint8_t *begin, *at, *end;
    int32_t left; /* records to come */
};

/* Inflates the records if need be, at most inflated_bytes_max bytes (> 0). Release in any case. */
WEIR_MUST_USE enum weir_err wire_walk_init(struct wire_walk *walk, const struct wire_batch *batch,
                                           size_t inflated_bytes_max, struct weir_error *error);
/* END behind the last record, if nothing follows it. */
WEIR_MUST_USE enum weir_err wire_walk_next(struct wire_walk *walk, struct wire_record *out,
                                           struct weir_error *error);
void wire_walk_release(struct wire_walk *walk);
/*
 * Appends the walk's batch to `into`, with those of its records only whose byte in `keep` is not 0
 * (one byte each, in their order), as a compaction does. Offsets, producer and codec stay as they
 * were; without a record only the header is left. delete_horizon_ms >= 0 becomes the base timestamp
 * and is marked as such (KIP-534); timestamps of records do not change by it. Walks from the
 * beginning, wherever the walk stood. After a failure `into` is as before.
 */
WEIR_MUST_USE enum weir_err wire_walk_rewrite(struct wire_walk *walk, const uint8_t *keep,
                                              int64_t delete_horizon_ms, struct weir_buffer *into,
                                              struct weir_error *error);
/* Takes the next header off *headers: OK, END, CORRUPT. value may be null. */
WEIR_MUST_USE enum weir_err wire_header_next(struct weir_slice *headers, struct weir_slice *name,
                                             struct weir_slice *value);

/* What a built batch says of itself; zero is not the default, begin with wire_batch_options. */
struct wire_batch_options {
    int64_t offset_base;    /* [0] */
    int64_t producer_id;    /* [-1] */
    int32_t sequence_base;  /* [-1] */
    int32_t leader_epoch;   /* [-1] */
    int16_t producer_epoch; /* [-1] */
    int16_t attributes;     /* codec and flags [0] */
};
struct wire_batch_options wire_batch_options(void);

struct wire_header {
    const char *name;
    struct weir_slice value;
};

/* A batch that is being built. */
struct wire_builder {
    struct wire_batch_options options;
    struct weir_buffer records;
    int64_t timestamp_base, timestamp_max;
    int32_t record_count;
};

/* bytes_max: ceiling of the records before they are compressed. Allocates nothing. */
void wire_builder_init(struct wire_builder *builder, const struct wire_batch_options *options,
                       size_t bytes_max);
/* Copies a record behind the others; its offset is the next one. headers may be NULL if
 * header_count is 0. Errors: LIMIT, NOMEM; the builder is as before then. */
WEIR_MUST_USE enum weir_err wire_builder_add(struct wire_builder *builder, int64_t timestamp_ms,
                                             struct weir_slice key, struct weir_slice value,
                                             const struct wire_header *headers,
                                             uint32_t header_count);
/* Appends the whole batch, compressed and with its CRC, to `into`, and begins anew behind it: base
 * offset and sequence go on. INVALID: there are no records. */
WEIR_MUST_USE enum weir_err wire_builder_finish(struct wire_builder *builder,
                                                struct weir_buffer *into, struct weir_error *error);
void wire_builder_release(struct wire_builder *builder);

#endif
