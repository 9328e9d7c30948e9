/*
 * kafka/letter.h - a dead letter: a record that can't be used, with the headers of KIP-1034.
 *
 * Key, value, timestamp and headers are the original's; behind them stand
 *      __streams.errors.exception   the error's name
 *      __streams.errors.message     what is wrong, in words
 *      __streams.errors.topic, .partition, .offset   where it was read, numbers in decimal
 * A record above KAFKA_LETTER_BYTES_MAX carries the first 64 KiB of its value, and
 *      __weir.value.bytes, __weir.value.sha256       what the whole value was
 *
 * Life:    words and headers are the caller's, from kafka_letter_make until the record is produced.
 * Threads: none of its own; a pure function.
 * Memory:  the record made points to rows, words and headers.
 * Errors:  none; a broker that refuses the letter may take the next level.
 */
#ifndef KAFKA_LETTER_H
#define KAFKA_LETTER_H

#include <weir/kafka.h>

#include "base/digest.h"

enum {
    KAFKA_LETTER_BYTES_MAX = 900 << 10, /* larger ones are cut */
    KAFKA_LETTER_CUT_BYTES = 64 << 10,
    KAFKA_LETTER_HEADERS_MAX = 7, /* added to the record's own */
    KAFKA_LETTER_NUMBER_BYTES = 24,
};

/* The texts that headers point to while a letter is sent. */
struct kafka_letter_words {
    char partition[KAFKA_LETTER_NUMBER_BYTES], offset[KAFKA_LETTER_NUMBER_BYTES];
    char bytes[KAFKA_LETTER_NUMBER_BYTES];
    char sha256[WEIR_SHA256_HEX_BYTES];
};

/* How much of the record goes along; the broker may refuse more. */
enum kafka_letter_level { KAFKA_LETTER_WHOLE, KAFKA_LETTER_NO_VALUE, KAFKA_LETTER_BARE };

/* Why a row is a letter. */
struct kafka_letter_reason {
    enum weir_err why;
    const char *message; /* NULL: none. Borrowed with the letter */
};

/* Fills *record but for topic and opaque. headers has room for the row's own and
 * KAFKA_LETTER_HEADERS_MAX. */
void kafka_letter_make(const struct weir_rows *rows, uint32_t row,
                       const struct kafka_letter_reason *reason, enum kafka_letter_level level,
                       struct weir_header *headers, struct kafka_letter_words *words,
                       struct weir_kafka_record *record);

#endif
