/* serving/model_record.c - values of the store "ModelStore", see model_record.h. */
#include "serving/model_record.h"

#include <endian.h>
#include <string.h>

#include "base/assert.h"
#include "base/digest.h"

enum { VERSION = 1, CRC_AT = 1, BODY_AT = 5, NAME_AT = BODY_AT + 32 + 6 * 8 };

const char model_store_name[] = "ModelStore";

static uint8_t *put64(uint8_t *at, uint64_t value)
{
    uint64_t big = htobe64(value);
    memcpy(at, &big, sizeof big);
    return at + sizeof big;
}

static uint64_t get64(const uint8_t **at)
{
    uint64_t big;
    memcpy(&big, *at, sizeof big);
    *at += sizeof big;
    return be64toh(big);
}

size_t model_record_encode(const struct model_record *record, uint8_t out[MODEL_RECORD_BYTES_MAX])
{
    const struct statistics_copy *statistics = &record->statistics;
    const size_t name_bytes = strlen(record->name);
    uint8_t *at = out + BODY_AT;
    memcpy(at, record->digest, sizeof record->digest);
    at = put64(at + sizeof record->digest, (uint64_t)record->since_ms);
    at = put64(at, statistics->usage);
    at = put64(at, statistics->errors);
    at = put64(at, statistics->duration_ns);
    at = put64(at, statistics->min_ns);
    at = put64(at, statistics->max_ns);
    weir_assert(name_bytes <= MODELS_NAME_BYTES_MAX);
    *at++ = (uint8_t)name_bytes;
    memcpy(at, record->name, name_bytes);
    at += name_bytes;
    out[0] = VERSION;
    uint32_t crc = htobe32(weir_crc32c(0, out + BODY_AT, (size_t)(at - out) - BODY_AT));
    memcpy(out + CRC_AT, &crc, sizeof crc);
    return (size_t)(at - out);
}

enum weir_err model_record_decode(struct weir_slice bytes, struct model_record *out,
                                  struct weir_error *error)
{
    const uint8_t *data = bytes.data, *at = data + BODY_AT;
    uint32_t crc;
    if (bytes.bytes > 0 && data[0] != VERSION)
        return weir_error_set(error, WEIR_OTHER_VERSION, 0,
                              "a value of %s is of version %u, %d is known", model_store_name,
                              data[0], VERSION);
    if (bytes.bytes <= NAME_AT || bytes.bytes != (size_t)NAME_AT + 1 + data[NAME_AT])
        return weir_error_set(error, WEIR_CORRUPT, 0, "a value of %s has %zu bytes",
                              model_store_name, bytes.bytes);
    memcpy(&crc, data + CRC_AT, sizeof crc);
    if (be32toh(crc) != weir_crc32c(0, data + BODY_AT, bytes.bytes - BODY_AT))
        return weir_error_set(error, WEIR_CORRUPT, CRC_AT, "a value of %s has another checksum",
                              model_store_name);
    memcpy(out->digest, at, sizeof out->digest);
    at += sizeof out->digest;
    out->since_ms = (int64_t)get64(&at);
    out->statistics.usage = get64(&at);
    out->statistics.errors = get64(&at);
    out->statistics.duration_ns = get64(&at);
    out->statistics.min_ns = get64(&at);
    out->statistics.max_ns = get64(&at);
    memcpy(out->name, at + 1, *at);
    out->name[*at] = '\0';
    return WEIR_OK;
}

void model_record_add(struct model_record *record, const struct model_record *more)
{
    if (memcmp(record->digest, more->digest, sizeof record->digest) == 0)
        statistics_merge(&record->statistics, &more->statistics);
    else
        *record = *more;
}
