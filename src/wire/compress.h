/*
 * wire/compress.h - the four codecs of record batches.
 *
 * What:    gzip (RFC 1952), snappy (raw, and in the blocks of snappy-java, as Java's clients write
 *          it), lz4 (frames) and zstd, inflated with a ceiling and deflated.
 * Life:    one call each; nothing is kept.
 * Threads: any.
 * Memory:  the result is appended to the caller's buffer, whose ceiling is the cap of the inflated
 *          size: a bomb ends in LIMIT after at most that many bytes. A codec's own state is freed
 *          before the call returns; windows of zstd above 8 MiB are refused.
 * Errors:  CORRUPT (not this format, cut off, bytes behind its end), LIMIT, NOMEM, UNSUPPORTED (no
 *          such codec). After a failure the buffer is as before the call.
 *
 * Source: kafka.apache.org/documentation, "Record Batch", attributes; the block header of
 * github.com/xerial/snappy-java, SnappyOutputStream.
 */
#ifndef WIRE_COMPRESS_H
#define WIRE_COMPRESS_H

#include <weir/base.h>

#include "base/buffer.h"

/* The numbers of a batch's attributes. */
enum wire_codec {
    WIRE_CODEC_NONE,
    WIRE_CODEC_GZIP,
    WIRE_CODEC_SNAPPY,
    WIRE_CODEC_LZ4,
    WIRE_CODEC_ZSTD,
    WIRE_CODEC_COUNT,
};

/* "none", "gzip" ...; "?" out of range. Static. */
const char *wire_codec_name(int codec);
/* Borrows bytes for the call; they may not lie in `into`. */
WEIR_MUST_USE enum weir_err wire_inflate(int codec, struct weir_slice bytes,
                                         struct weir_buffer *into, struct weir_error *error);
/* The same the other way round; the codec's usual level. */
WEIR_MUST_USE enum weir_err wire_deflate(int codec, struct weir_slice bytes,
                                         struct weir_buffer *into, struct weir_error *error);

#endif
