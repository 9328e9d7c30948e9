/*
 * streams/dead_letter.c - records that can't be used, with the headers of KIP-1034.
 *
 * Key, value, timestamp and headers are the original's; behind them stand
 *      __streams.errors.exception   the error's name
 *      __streams.errors.message     what is wrong, in words
 *      __streams.errors.topic, .partition, .offset   where it was read, numbers in decimal
 * A record above DEAD_LETTER_BYTES_MAX carries the first 64 KiB of its value, and
 *      __weir.value.bytes, __weir.value.sha256       what the whole value was
 */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/digest.h"
#include "streams/inside.h"

enum { HEADERS_ADDED_MAX = 7, NUMBER_BYTES = 24 };

/* The texts that headers point to while a letter is sent. */
struct words {
    char partition[NUMBER_BYTES], offset[NUMBER_BYTES], bytes[NUMBER_BYTES];
    char sha256[WEIR_SHA256_HEX_BYTES];
};

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

/* How much of the record goes along; the broker may refuse more. */
enum letter_level { LETTER_WHOLE, LETTER_NO_VALUE, LETTER_BARE };

/* Fills *record; headers has room for the row's own and HEADERS_ADDED_MAX. */
static void make_letter(const struct weir_rows *rows, uint32_t row, enum weir_err why,
                        const char *message, enum letter_level level, struct weir_header *headers,
                        struct words *words, struct weir_kafka_record *record)
{
    uint32_t count = level < LETTER_BARE ? rows->header_count[row] : 0;
    struct weir_slice value = level < LETTER_NO_VALUE ? rows->value[row] : weir_slice(NULL, 0);
    if (count)
        memcpy(headers, rows->headers[row], count * sizeof *headers);
    snprintf(words->partition, NUMBER_BYTES, "%d", (int)rows->partition);
    snprintf(words->offset, NUMBER_BYTES, "%lld", (long long)rows->offset[row]);
    headers[count++] = header("__streams.errors.exception", weir_err_name(why));
    headers[count++] = header("__streams.errors.message", message ? message : "");
    headers[count++] = header("__streams.errors.topic", rows->topic ? rows->topic : "");
    headers[count++] = header("__streams.errors.partition", words->partition);
    headers[count++] = header("__streams.errors.offset", words->offset);
    if (size_of(rows, row) > DEAD_LETTER_BYTES_MAX && value.bytes > DEAD_LETTER_CUT_BYTES) {
        uint8_t digest[WEIR_SHA256_BYTES];
        weir_sha256(value.data, value.bytes, digest);
        weir_hex_encode(digest, sizeof digest, words->sha256);
        snprintf(words->bytes, NUMBER_BYTES, "%zu", value.bytes);
        headers[count++] = header("__weir.value.bytes", words->bytes);
        headers[count++] = header("__weir.value.sha256", words->sha256);
        value.bytes = DEAD_LETTER_CUT_BYTES;
    }
    *record = (struct weir_kafka_record){.partition = -1,
                                         .timestamp_ms = rows->timestamp_ms[row],
                                         .key = level < LETTER_BARE ? rows->key[row]
                                                                    : weir_slice(NULL, 0),
                                         .value = value,
                                         .headers = headers,
                                         .header_count = count};
}

static struct weir_header *scratch_headers(struct stream_thread *thread, size_t count)
{
    if (count > thread->header_capacity) {
        struct weir_header *headers = weir_realloc_array(thread->headers, count, sizeof *headers);
        if (!headers)
            return NULL;
        thread->headers = headers;
        thread->header_capacity = count;
    }
    return thread->headers;
}

enum weir_err dead_letter_send(struct task *task, const struct weir_rows *rows, uint32_t row,
                               enum weir_err why, const char *message, bool with_value,
                               struct weir_error *error)
{
    struct stream_thread *thread = task->thread;
    const char *topic = thread->streams->options.dead_letter_topic;
    char copy[WEIR_ERROR_TEXT_MAX]; /* message may be error's own */
    struct weir_kafka_record record;
    struct words words;
    snprintf(copy, sizeof copy, "%s", message ? message : "");
    if (!topic)
        return weir_error_set(error, WEIR_INVALID, rows->offset[row],
                              "%s-%d, offset %lld: %s (%s), and there is no dead-letter topic",
                              rows->topic, (int)rows->partition, (long long)rows->offset[row], copy,
                              weir_err_name(why));
    struct weir_header *headers =
        scratch_headers(thread, rows->header_count[row] + (size_t)HEADERS_ADDED_MAX);
    if (!headers)
        return weir_error_set(error, WEIR_NOMEM, -1, "no memory for a dead letter");
    struct inflight *inflight =
        progress_output(task, rows->key[row].bytes + rows->value[row].bytes, 1);
    enum letter_level level = with_value ? LETTER_WHOLE : LETTER_NO_VALUE;
    enum weir_err err;
    do {
        make_letter(rows, row, why, copy, level, headers, &words, &record);
        record.topic = topic;
        record.opaque = (void *)((uintptr_t)inflight | OPAQUE_LETTER);
        err = thread_produce(thread, &record, error);
    } while ((err == WEIR_LIMIT || err == WEIR_INVALID) && level++ < LETTER_BARE);
    if (err != WEIR_OK) {
        progress_report(inflight, NULL); /* no report will come */
        task->letter_failed = true;      /* the task waits, however long that takes */
        weir_error_context(error, "dead letter");
        return err == WEIR_AGAIN ? WEIR_TIMEOUT : err;
    }
    count_up(&thread->streams->counters.dead_letters, 1);
    return WEIR_OK;
}

/* ---- letters that no block holds back -------------------------------------------------------- */

static struct weir_slice copy_to(uint8_t **at, struct weir_slice from)
{
    if (!from.data)
        return from;
    struct weir_slice copy = weir_slice(*at, from.bytes);
    if (from.bytes)
        memcpy(*at, from.data, from.bytes);
    *at += from.bytes;
    return copy;
}

enum weir_err dead_letter_keep(struct stream_thread *thread, const struct weir_rows *rows,
                               uint32_t row, enum weir_err why, const char *message,
                               struct weir_error *error)
{
    const char *topic = thread->streams->options.dead_letter_topic;
    size_t header_count = rows->header_count[row] + (size_t)HEADERS_ADDED_MAX;
    struct weir_header *headers = scratch_headers(thread, header_count);
    struct weir_kafka_record record;
    struct words words;
    if (!topic)
        return weir_error_set(error, WEIR_INVALID, -1, "there is no dead-letter topic");
    if (!headers)
        return weir_error_set(error, WEIR_NOMEM, -1, "no memory for a dead letter");
    make_letter(rows, row, why, message, LETTER_WHOLE, headers, &words, &record);
    size_t bytes = record.header_count * sizeof *headers + record.key.bytes + record.value.bytes;
    for (uint32_t i = 0; i < record.header_count; i++)
        bytes += headers[i].name.bytes + headers[i].value.bytes;
    struct letter *letter = weir_alloc(sizeof *letter + bytes);
    if (!letter)
        return weir_error_set(error, WEIR_NOMEM, -1, "no memory for a dead letter");
    *letter = (struct letter){.thread = thread, .record = record, .next = thread->letters};
    struct weir_header *copies = (struct weir_header *)(void *)letter->bytes;
    uint8_t *at = (uint8_t *)(copies + record.header_count);
    for (uint32_t i = 0; i < record.header_count; i++) {
        copies[i].name = copy_to(&at, headers[i].name);
        copies[i].value = copy_to(&at, headers[i].value);
    }
    letter->record.topic = topic;
    letter->record.headers = copies;
    letter->record.key = copy_to(&at, record.key);
    letter->record.value = copy_to(&at, record.value);
    thread->letters = letter;
    count_up(&thread->streams->counters.dead_letters, 1);
    dead_letters_send_kept(thread);
    return WEIR_OK;
}

/* True if it can be sent once more, without its value. */
static bool shorten(struct stream_thread *thread, struct letter *letter)
{
    if (letter->record.value.data) {
        letter->record.value = weir_slice(NULL, 0);
        return true;
    }
    weir_log(&thread->streams->options.log, WEIR_LOG_ERROR, "streams",
             "a dead letter of a global store is refused and lost");
    return false;
}

void dead_letters_send_kept(struct stream_thread *thread)
{
    for (struct letter **at = &thread->letters; *at && thread->producer;) {
        struct letter *letter = *at;
        if (letter->sent) {
            at = &letter->next;
            continue;
        }
        letter->record.opaque = (void *)((uintptr_t)letter | OPAQUE_KEPT_LETTER);
        enum weir_err err = weir_kafka_produce(thread->producer, &letter->record, NULL);
        letter->sent = err == WEIR_OK;
        if (letter->sent || ((err == WEIR_LIMIT || err == WEIR_INVALID) && shorten(thread, letter)))
            continue;
        if (err != WEIR_LIMIT && err != WEIR_INVALID)
            return; /* no room, or nobody there: with the next round */
        *at = letter->next;
        weir_free(letter);
    }
}

void dead_letter_report(struct letter *letter, const struct weir_error *error)
{
    struct stream_thread *thread = letter->thread;
    struct letter **at = &thread->letters;
    while (*at != letter)
        at = &(*at)->next;
    letter->sent = false;
    bool refused = error && (error->code == WEIR_LIMIT || error->code == WEIR_INVALID);
    if (error && (!refused || shorten(thread, letter)))
        return; /* again with the next round */
    *at = letter->next;
    weir_free(letter);
}

void dead_letters_free(struct stream_thread *thread)
{
    while (thread->letters) {
        struct letter *next = thread->letters->next;
        weir_free(thread->letters);
        thread->letters = next;
    }
}
