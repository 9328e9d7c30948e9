/* wire/compress.c - the four codecs of record batches, see compress.h. */
#include "wire/compress.h"

#include <limits.h>
#include <string.h>

#include <lz4frame.h>
#include <snappy-c.h>
#include <zlib.h>
#include <zstd.h>

#include "base/alloc.h"

enum {
    CHUNK_BYTES = 64 << 10,   /* by which an inflated stream grows */
    ZSTD_WINDOW_LOG_MAX = 23, /* 8 MiB: what levels up to 19 use */
    BLOCK_BYTES_MAX = 32 << 10,
    BLOCK_HEAD_BYTES = 16,
};

static const uint8_t block_magic[8] = {0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0};

const char *wire_codec_name(int codec)
{
    static const char *const names[WIRE_CODEC_COUNT] = {"none", "gzip", "snappy", "lz4", "zstd"};
    return codec >= 0 && codec < WIRE_CODEC_COUNT ? names[codec] : "?";
}

/* Room for the next piece of a stream, as far as the ceiling allows. */
static enum weir_err make_room(struct weir_buffer *into, size_t *room)
{
    size_t left = into->bytes_max - into->bytes;
    *room = into->capacity - into->bytes;
    if (*room > 0)
        return WEIR_OK;
    if (left == 0)
        return WEIR_LIMIT;
    enum weir_err err = weir_buffer_reserve(into, left < CHUNK_BYTES ? left : CHUNK_BYTES);
    *room = into->capacity - into->bytes;
    return err;
}

/* ---- gzip ------------------------------------------------------------------------------------ */

static void *zlib_alloc(void *opaque, unsigned count, unsigned bytes)
{
    (void)opaque;
    return weir_calloc(count, bytes);
}

static void zlib_free(void *opaque, void *memory)
{
    (void)opaque;
    weir_free(memory);
}

static enum weir_err inflate_gzip(struct weir_slice bytes, struct weir_buffer *into)
{
    z_stream stream = {.zalloc = zlib_alloc, .zfree = zlib_free};
    enum weir_err err = WEIR_OK;
    int result = Z_OK;
    if (bytes.bytes > UINT_MAX)
        return WEIR_LIMIT;
    if (inflateInit2(&stream, 15 + 16) != Z_OK)
        return WEIR_NOMEM;
    stream.next_in = (z_const Bytef *)bytes.data;
    stream.avail_in = (uInt)bytes.bytes;
    while (err == WEIR_OK && result != Z_STREAM_END) {
        size_t room = 0;
        err = make_room(into, &room);
        if (err == WEIR_LIMIT) {
            /* Full to the byte: fine if the stream is at its end. */
            uint8_t probe;
            stream.next_out = &probe;
            stream.avail_out = 1;
            result = inflate(&stream, Z_NO_FLUSH);
            err = result == Z_STREAM_END && stream.avail_out == 1 ? WEIR_OK : WEIR_LIMIT;
            break;
        }
        if (err != WEIR_OK)
            break;
        stream.next_out = weir_buffer_end(into);
        stream.avail_out = room > UINT_MAX ? UINT_MAX : (uInt)room;
        uInt before = stream.avail_out;
        result = inflate(&stream, Z_NO_FLUSH);
        weir_buffer_commit(into, before - stream.avail_out);
        if (result != Z_OK && result != Z_STREAM_END)
            err = result == Z_MEM_ERROR ? WEIR_NOMEM : WEIR_CORRUPT;
    }
    if (err == WEIR_OK && stream.avail_in != 0)
        err = WEIR_CORRUPT;
    inflateEnd(&stream);
    return err;
}

static enum weir_err deflate_gzip(struct weir_slice bytes, struct weir_buffer *into)
{
    z_stream stream = {.zalloc = zlib_alloc, .zfree = zlib_free};
    if (bytes.bytes > UINT_MAX / 2)
        return WEIR_LIMIT;
    if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) !=
        Z_OK)
        return WEIR_NOMEM;
    uLong bound = deflateBound(&stream, (uLong)bytes.bytes);
    enum weir_err err = weir_buffer_reserve(into, bound);
    if (err == WEIR_OK) {
        stream.next_in = (z_const Bytef *)bytes.data;
        stream.avail_in = (uInt)bytes.bytes;
        stream.next_out = weir_buffer_end(into);
        stream.avail_out = (uInt)bound;
        err = deflate(&stream, Z_FINISH) == Z_STREAM_END ? WEIR_OK : WEIR_INTERNAL;
        weir_buffer_commit(into, bound - stream.avail_out);
    }
    deflateEnd(&stream);
    return err;
}

/* ---- snappy ---------------------------------------------------------------------------------- */

static enum weir_err inflate_snappy_raw(const uint8_t *at, size_t bytes, struct weir_buffer *into)
{
    size_t length = 0;
    if (snappy_uncompressed_length((const char *)at, bytes, &length) != SNAPPY_OK)
        return WEIR_CORRUPT;
    /* Three bytes can make at most 64: a length beyond that is a lie, not to be reserved for. */
    if (length / 24 > bytes)
        return WEIR_CORRUPT;
    enum weir_err err = weir_buffer_reserve(into, length);
    if (err != WEIR_OK)
        return err;
    if (snappy_uncompress((const char *)at, bytes, (char *)weir_buffer_end(into), &length) !=
        SNAPPY_OK)
        return WEIR_CORRUPT;
    weir_buffer_commit(into, length);
    return WEIR_OK;
}

/* [magic 8][version i32][compatible i32] then [length i32][raw snappy] ... */
static enum weir_err inflate_snappy(struct weir_slice bytes, struct weir_buffer *into)
{
    const uint8_t *at = bytes.data, *end = at + bytes.bytes;
    enum weir_err err = WEIR_OK;
    if (bytes.bytes < BLOCK_HEAD_BYTES || memcmp(at, block_magic, sizeof block_magic) != 0)
        return inflate_snappy_raw(at, bytes.bytes, into);
    for (at += BLOCK_HEAD_BYTES; at < end && err == WEIR_OK;) {
        if (end - at < 4)
            return WEIR_CORRUPT;
        uint32_t length =
            (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
        at += 4;
        if (length > (size_t)(end - at))
            return WEIR_CORRUPT;
        err = inflate_snappy_raw(at, length, into);
        at += length;
    }
    return err;
}

/* In blocks, as Java's clients do it: Java reads nothing else. */
static enum weir_err deflate_snappy(struct weir_slice bytes, struct weir_buffer *into)
{
    static const uint8_t versions[8] = {0, 0, 0, 1, 0, 0, 0, 1};
    const uint8_t *at = bytes.data, *end = at + bytes.bytes;
    enum weir_err err = weir_buffer_append(into, block_magic, sizeof block_magic);
    if (err == WEIR_OK)
        err = weir_buffer_append(into, versions, sizeof versions);
    while (at < end && err == WEIR_OK) {
        size_t bytes_in =
            (size_t)(end - at) < BLOCK_BYTES_MAX ? (size_t)(end - at) : BLOCK_BYTES_MAX;
        size_t length = snappy_max_compressed_length(bytes_in);
        err = weir_buffer_reserve(into, 4 + length);
        if (err != WEIR_OK)
            return err;
        uint8_t *head = weir_buffer_end(into);
        if (snappy_compress((const char *)at, bytes_in, (char *)head + 4, &length) != SNAPPY_OK)
            return WEIR_INTERNAL;
        for (unsigned i = 0; i < 4; i++)
            head[i] = (uint8_t)(length >> 8 * (3 - i));
        weir_buffer_commit(into, 4 + length);
        at += bytes_in;
    }
    return err;
}

/* ---- lz4 ------------------------------------------------------------------------------------- */

static enum weir_err inflate_lz4(struct weir_slice bytes, struct weir_buffer *into)
{
    LZ4F_dctx *context = NULL;
    const uint8_t *at = bytes.data, *end = at + bytes.bytes;
    enum weir_err err = WEIR_OK;
    size_t result = 1; /* bytes it would like next; 0 = the frame is complete */
    if (LZ4F_isError(LZ4F_createDecompressionContext(&context, LZ4F_VERSION)))
        return WEIR_NOMEM;
    while (err == WEIR_OK && result != 0) {
        size_t room = 0, bytes_in = (size_t)(end - at);
        uint8_t probe, *out = &probe;
        err = make_room(into, &room);
        bool full = err == WEIR_LIMIT; /* only the frame's end may come */
        if (full)
            room = 1;
        else if (err != WEIR_OK)
            break;
        else
            out = weir_buffer_end(into);
        result = LZ4F_decompress(context, out, &room, at, &bytes_in, NULL);
        if (full)
            err = room == 0 ? WEIR_OK : WEIR_LIMIT;
        if (err != WEIR_OK)
            break;
        if (LZ4F_isError(result) || (bytes_in == 0 && room == 0 && result != 0)) {
            err = WEIR_CORRUPT;
            break;
        }
        if (!full)
            weir_buffer_commit(into, room);
        at += bytes_in;
    }
    if (err == WEIR_OK && at != end)
        err = WEIR_CORRUPT;
    LZ4F_freeDecompressionContext(context);
    return err;
}

static enum weir_err deflate_lz4(struct weir_slice bytes, struct weir_buffer *into)
{
    LZ4F_preferences_t preferences = {.frameInfo.blockMode = LZ4F_blockIndependent};
    size_t bound = LZ4F_compressFrameBound(bytes.bytes, &preferences);
    enum weir_err err = weir_buffer_reserve(into, bound);
    if (err != WEIR_OK)
        return err;
    size_t length =
        LZ4F_compressFrame(weir_buffer_end(into), bound, bytes.data, bytes.bytes, &preferences);
    if (LZ4F_isError(length))
        return WEIR_NOMEM;
    weir_buffer_commit(into, length);
    return WEIR_OK;
}

/* ---- zstd ------------------------------------------------------------------------------------ */

static enum weir_err inflate_zstd(struct weir_slice bytes, struct weir_buffer *into)
{
    ZSTD_inBuffer in = {bytes.data, bytes.bytes, 0};
    ZSTD_DCtx *context = ZSTD_createDCtx();
    enum weir_err err = WEIR_OK;
    size_t result = 1; /* 0 = the frame is complete and given out */
    if (!context)
        return WEIR_NOMEM;
    if (ZSTD_isError(ZSTD_DCtx_setParameter(context, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG_MAX)))
        err = WEIR_INTERNAL;
    while (err == WEIR_OK && (result != 0 || in.pos < in.size)) {
        size_t room = 0, pos_before = in.pos;
        uint8_t probe;
        err = make_room(into, &room);
        bool full = err == WEIR_LIMIT; /* only the frame's end may come */
        if (err != WEIR_OK && !full)
            break;
        ZSTD_outBuffer out = {full ? &probe : weir_buffer_end(into), full ? 1 : room, 0};
        result = ZSTD_decompressStream(context, &out, &in);
        err = full && out.pos ? WEIR_LIMIT : WEIR_OK;
        if (err != WEIR_OK)
            break;
        if (ZSTD_isError(result) || (in.pos == pos_before && out.pos == 0 && result != 0)) {
            err = WEIR_CORRUPT;
            break;
        }
        if (!full)
            weir_buffer_commit(into, out.pos);
    }
    ZSTD_freeDCtx(context);
    return err;
}

static enum weir_err deflate_zstd(struct weir_slice bytes, struct weir_buffer *into)
{
    size_t bound = ZSTD_compressBound(bytes.bytes);
    enum weir_err err = weir_buffer_reserve(into, bound);
    if (err != WEIR_OK)
        return err;
    size_t length =
        ZSTD_compress(weir_buffer_end(into), bound, bytes.data, bytes.bytes, ZSTD_CLEVEL_DEFAULT);
    if (ZSTD_isError(length))
        return WEIR_NOMEM;
    weir_buffer_commit(into, length);
    return WEIR_OK;
}

/* ---- all ------------------------------------------------------------------------------------- */

static enum weir_err finish(enum weir_err err, int codec, const char *what, size_t before,
                            struct weir_buffer *into, struct weir_error *error)
{
    if (err == WEIR_OK)
        return err;
    weir_buffer_truncate(into, before);
    return weir_error_set(error, err, -1, "%s %s: %s", what, wire_codec_name(codec),
                          weir_err_text(err));
}

enum weir_err wire_inflate(int codec, struct weir_slice bytes, struct weir_buffer *into,
                           struct weir_error *error)
{
    size_t before = into->bytes;
    enum weir_err err = WEIR_UNSUPPORTED;
    if (codec == WIRE_CODEC_NONE)
        err = weir_buffer_append(into, bytes.data, bytes.bytes);
    else if (bytes.bytes == 0)
        err = WEIR_CORRUPT;
    else if (codec == WIRE_CODEC_GZIP)
        err = inflate_gzip(bytes, into);
    else if (codec == WIRE_CODEC_SNAPPY)
        err = inflate_snappy(bytes, into);
    else if (codec == WIRE_CODEC_LZ4)
        err = inflate_lz4(bytes, into);
    else if (codec == WIRE_CODEC_ZSTD)
        err = inflate_zstd(bytes, into);
    return finish(err, codec, "inflating", before, into, error);
}

enum weir_err wire_deflate(int codec, struct weir_slice bytes, struct weir_buffer *into,
                           struct weir_error *error)
{
    size_t before = into->bytes;
    enum weir_err err = WEIR_UNSUPPORTED;
    if (codec == WIRE_CODEC_NONE)
        err = weir_buffer_append(into, bytes.data, bytes.bytes);
    else if (codec == WIRE_CODEC_GZIP)
        err = deflate_gzip(bytes, into);
    else if (codec == WIRE_CODEC_SNAPPY)
        err = deflate_snappy(bytes, into);
    else if (codec == WIRE_CODEC_LZ4)
        err = deflate_lz4(bytes, into);
    else if (codec == WIRE_CODEC_ZSTD)
        err = deflate_zstd(bytes, into);
    return finish(err, codec, "compressing", before, into, error);
}
