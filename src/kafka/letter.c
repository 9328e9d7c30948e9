/* kafka/letter.c - the records of dead letters, see letter.h. */
#include "kafka/letter.h"

#include <stdio.h>
#include <string.h>

static struct weir_header header(const char *name, const char *value)
{
    struct weir_header made = {weir_slice(name, strlen(name)), weir_slice(value, strlen(value))};
    return made;
}

static size_t size_of(const struct weir_rows *rows, uint32_t row)
{
    size_t bytes = rows->key[row].bytes + rows->value[row].bytes;
    for (uint32_t i = 0; i < rows->header_count[row]; i++)
        bytes += rows->headers[row][i].name.bytes + rows->headers[row][i].value.bytes + 8;
    return bytes;
}

void kafka_letter_make(const struct weir_rows *rows, uint32_t row,
                       const struct kafka_letter_reason *reason, enum kafka_letter_level level,
                       struct weir_header *headers, struct kafka_letter_words *words,
                       struct weir_kafka_record *record)
{
    uint32_t count = level < KAFKA_LETTER_BARE ? rows->header_count[row] : 0;
    struct weir_slice value =
        level < KAFKA_LETTER_NO_VALUE ? rows->value[row] : weir_slice(NULL, 0);
    if (count)
        memcpy(headers, rows->headers[row], count * sizeof *headers);
    snprintf(words->partition, sizeof words->partition, "%d", (int)rows->partition);
    snprintf(words->offset, sizeof words->offset, "%lld", (long long)rows->offset[row]);
    headers[count++] = header("__streams.errors.exception", weir_err_name(reason->why));
    headers[count++] = header("__streams.errors.message", reason->message ? reason->message : "");
    headers[count++] = header("__streams.errors.topic", rows->topic ? rows->topic : "");
    headers[count++] = header("__streams.errors.partition", words->partition);
    headers[count++] = header("__streams.errors.offset", words->offset);
    if (size_of(rows, row) > KAFKA_LETTER_BYTES_MAX && value.bytes > KAFKA_LETTER_CUT_BYTES) {
        uint8_t digest[WEIR_SHA256_BYTES];
        weir_sha256(value.data, value.bytes, digest);
        weir_hex_encode(digest, sizeof digest, words->sha256);
        snprintf(words->bytes, sizeof words->bytes, "%zu", value.bytes);
        headers[count++] = header("__weir.value.bytes", words->bytes);
        headers[count++] = header("__weir.value.sha256", words->sha256);
        value.bytes = KAFKA_LETTER_CUT_BYTES;
    }
    *record = (struct weir_kafka_record){.partition = -1,
                                         .timestamp_ms = rows->timestamp_ms[row],
                                         .key = level < KAFKA_LETTER_BARE ? rows->key[row]
                                                                          : weir_slice(NULL, 0),
                                         .value = value,
                                         .headers = headers,
                                         .header_count = count};
}
