/*
 * serving/models_bad.c - bad records of the models topic that wait for their dead letter.
 *
 * Every instance has them, for every instance reads the topic; the one that owns partition 0 of the
 * data sends them, the others let them grow old.
 */
#include <string.h>

#include "base/alloc.h"
#include "serving/models_table.h"

static size_t row_bytes(const struct weir_rows *rows, uint32_t row)
{
    size_t bytes = rows->key[row].bytes + rows->value[row].bytes + strlen(rows->topic) + 1;
    for (uint32_t i = 0; i < rows->header_count[row]; i++)
        bytes += rows->headers[row][i].name.bytes + rows->headers[row][i].value.bytes +
                 sizeof(struct weir_header);
    return bytes;
}

/* One piece of memory: the struct, the arrays of one row, headers, bytes. */
struct bad_piece {
    struct models_bad bad;
    struct weir_slice key, value;
    int64_t timestamp_ms, offset;
    const struct weir_header *headers;
    uint32_t header_count;
};

static struct weir_slice copy_slice(uint8_t **at, struct weir_slice from)
{
    if (!from.data)
        return from;
    struct weir_slice copy = weir_slice(*at, from.bytes);
    memcpy(*at, from.data, from.bytes);
    *at += from.bytes;
    return copy;
}

struct models_bad *models_copy_bad(const struct weir_rows *rows, uint32_t row)
{
    size_t bytes = sizeof(struct bad_piece) + row_bytes(rows, row);
    struct bad_piece *piece = weir_alloc(bytes);
    if (!piece)
        return NULL;
    piece->bad.bytes = bytes;
    struct weir_header *headers = (struct weir_header *)(piece + 1);
    uint8_t *at = (uint8_t *)(headers + rows->header_count[row]);
    for (uint32_t i = 0; i < rows->header_count[row]; i++) {
        headers[i].name = copy_slice(&at, rows->headers[row][i].name);
        headers[i].value = copy_slice(&at, rows->headers[row][i].value);
    }
    piece->key = copy_slice(&at, rows->key[row]);
    piece->value = copy_slice(&at, rows->value[row]);
    piece->timestamp_ms = rows->timestamp_ms[row];
    piece->offset = rows->offset[row];
    piece->headers = headers;
    piece->header_count = rows->header_count[row];
    size_t topic_bytes = strlen(rows->topic) + 1;
    memcpy(at, rows->topic, topic_bytes);
    piece->bad.rows = (struct weir_rows){.topic = (const char *)at,
                                         .partition = rows->partition,
                                         .key = &piece->key,
                                         .value = &piece->value,
                                         .timestamp_ms = &piece->timestamp_ms,
                                         .offset = &piece->offset,
                                         .headers = &piece->headers,
                                         .header_count = &piece->header_count};
    return &piece->bad;
}

static void push_back(struct models *models, struct models_bad *bad)
{
    bad->next = NULL;
    if (models->bad_first)
        models->bad_last->next = bad;
    else
        models->bad_first = bad;
    models->bad_last = bad;
    models->bad_bytes += bad->bytes;
}

static struct models_bad *pop_front(struct models *models)
{
    struct models_bad *bad = models->bad_first;
    models->bad_first = bad->next;
    models->bad_bytes -= bad->bytes;
    return bad;
}

/* Those that another instance has sent by now. */
static void drop_old(struct models *models)
{
    int64_t oldest_ns = weir_clock_now_ns(models->options.clock) - models->options.bad_age_ns;
    while (models->bad_first && models->bad_first->at_ns < oldest_ns) {
        weir_free(pop_front(models));
        models->counts.letters_left++;
    }
}

void models_keep_bad(struct models *models, struct models_bad *bad, const struct weir_error *error)
{
    bad->why = error->code;
    bad->at_ns = weir_clock_now_ns(models->options.clock);
    memcpy(bad->message, error->message, sizeof bad->message);
    drop_old(models);
    push_back(models, bad);
    while (models->bad_bytes > MODELS_BAD_BYTES_MAX && models->bad_first != bad) {
        weir_free(pop_front(models));
        models->counts.letters_dropped++;
    }
}

struct models_bad *models_take_bad(struct models *models)
{
    pthread_mutex_lock(&models->lock);
    drop_old(models);
    struct models_bad *bad = models->bad_first ? pop_front(models) : NULL;
    pthread_mutex_unlock(&models->lock);
    return bad;
}

void models_return_bad(struct models *models, struct models_bad *bad)
{
    pthread_mutex_lock(&models->lock);
    bad->at_ns = weir_clock_now_ns(models->options.clock);
    bad->next = models->bad_first;
    if (!models->bad_first)
        models->bad_last = bad;
    models->bad_first = bad;
    models->bad_bytes += bad->bytes;
    pthread_mutex_unlock(&models->lock);
}

void models_free_bad(struct models *models)
{
    while (models->bad_first)
        weir_free(pop_front(models));
}
