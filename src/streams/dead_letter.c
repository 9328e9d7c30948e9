/* streams/dead_letter.c - sending records that can't be used, see kafka/letter.h. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "kafka/letter.h"
#include "streams/inside.h"

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
    struct kafka_letter_words words;
    snprintf(copy, sizeof copy, "%s", message ? message : "");
    if (!topic)
        return weir_error_set(error, WEIR_INVALID, rows->offset[row],
                              "%s-%d, offset %lld: %s (%s), and there is no dead-letter topic",
                              rows->topic, (int)rows->partition, (long long)rows->offset[row], copy,
                              weir_err_name(why));
    struct weir_header *headers =
        scratch_headers(thread, rows->header_count[row] + (size_t)KAFKA_LETTER_HEADERS_MAX);
    if (!headers)
        return weir_error_set(error, WEIR_NOMEM, -1, "no memory for a dead letter");
    struct inflight *inflight =
        progress_output(task, rows->key[row].bytes + rows->value[row].bytes, 1);
    const struct kafka_letter_reason reason = {why, copy};
    enum kafka_letter_level level = with_value ? KAFKA_LETTER_WHOLE : KAFKA_LETTER_NO_VALUE;
    enum weir_err err;
    do {
        kafka_letter_make(rows, row, &reason, level, headers, &words, &record);
        record.topic = topic;
        record.opaque = (void *)((uintptr_t)inflight | OPAQUE_LETTER);
        err = thread_produce(thread, &record, error);
    } while ((err == WEIR_LIMIT || err == WEIR_INVALID) && level++ < KAFKA_LETTER_BARE);
    if (err != WEIR_OK) {
        progress_report(inflight, NULL); /* no report will come */
        task->letter_failed = true;      /* the task waits, however long that takes */
        weir_error_context(error, "dead letter");
        return err == WEIR_AGAIN ? WEIR_TIMEOUT : err;
    }
    count_up(&thread->streams->counters.dead_letters, 1);
    return WEIR_OK;
}

/* One line for the first, and again whenever their number has doubled. */
static void drop(struct task *task, const struct weir_rows *rows, uint32_t row, const char *message)
{
    struct weir_streams *streams = task->thread->streams;
    count_up(&streams->counters.dropped, 1);
    uint64_t count = atomic_load(&streams->counters.dropped);
    if ((count & (count - 1)) == 0)
        weir_log(&streams->options.log, WEIR_LOG_WARN, "streams",
                 "%s-%d, offset %lld is left out, one of %llu by now: %s", rows->topic,
                 (int)rows->partition, (long long)rows->offset[row], (unsigned long long)count,
                 message);
}

enum weir_err row_refused(struct task *task, const struct weir_rows *rows, uint32_t row,
                          enum weir_err why, const char *message, bool with_value,
                          enum weir_handler handler, struct weir_error *error)
{
    const bool has_letters = task->thread->streams->options.dead_letter_topic != NULL;
    char copy[WEIR_ERROR_TEXT_MAX]; /* message may be error's own */
    snprintf(copy, sizeof copy, "%s", message ? message : "");
    if (!has_letters && handler == WEIR_HANDLER_CONTINUE) {
        drop(task, rows, row, copy);
        return WEIR_OK;
    }
    enum weir_err err = dead_letter_send(task, rows, row, why, copy, with_value, error);
    if (err != WEIR_OK || handler != WEIR_HANDLER_FAIL)
        return err;
    return weir_error_set(error, why, rows->offset[row], "%s-%d, offset %lld: %s", rows->topic,
                          (int)rows->partition, (long long)rows->offset[row], copy);
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
    size_t header_count = rows->header_count[row] + (size_t)KAFKA_LETTER_HEADERS_MAX;
    struct weir_header *headers = scratch_headers(thread, header_count);
    const struct kafka_letter_reason reason = {why, message};
    struct weir_kafka_record record;
    struct kafka_letter_words words;
    if (!topic)
        return weir_error_set(error, WEIR_INVALID, -1, "there is no dead-letter topic");
    if (!headers)
        return weir_error_set(error, WEIR_NOMEM, -1, "no memory for a dead letter");
    kafka_letter_make(rows, row, &reason, KAFKA_LETTER_WHOLE, headers, &words, &record);
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
        struct weir_error error;
        enum weir_err err = transaction_enter(thread, &error);
        if (err == WEIR_OK)
            err = weir_kafka_produce(thread->producer, &letter->record, &error);
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
    if (!error && thread->transaction != TRANSACTION_NONE) {
        letter->delivered = true;
        return;
    }
    letter->sent = false;
    bool refused = error && (error->code == WEIR_LIMIT || error->code == WEIR_INVALID);
    if (error && (!refused || shorten(thread, letter)))
        return; /* again with the next round */
    *at = letter->next;
    weir_free(letter);
}

void dead_letters_settle(struct stream_thread *thread, bool committed)
{
    for (struct letter **at = &thread->letters; *at;) {
        struct letter *letter = *at;
        if (!letter->delivered || !committed) {
            letter->sent &= !letter->delivered;
            letter->delivered = false;
            at = &letter->next;
            continue;
        }
        *at = letter->next;
        weir_free(letter);
    }
}

void dead_letters_free(struct stream_thread *thread)
{
    while (thread->letters) {
        struct letter *next = thread->letters->next;
        weir_free(thread->letters);
        thread->letters = next;
    }
}
