/*
 * models_place.h - a models table without Kafka: a topic of one partition in memory, small PMML
 * models of wine whose score is a chosen number, and waiting for the table's events with a limit.
 *
 * Life:    place_open -> place_* -> place_close.
 * Threads: sending belongs to one thread; events come from the loader's too and are kept under a
 * lock.
 */
#ifndef MODELS_PLACE_H
#define MODELS_PLACE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <pthread.h>

#include <cmocka.h>

#include "serving/models.h"

enum { PLACE_RECORDS_MAX = 4096, PLACE_KINDS = MODELS_REFUSED + 1, PLACE_WAIT_S = 20 };

struct place {
    struct models *models;
    struct models_reader *reader;
    struct weir_schema *schema;
    struct weir_block *block; /* one row of wine, all zeroes */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint32_t seen[PLACE_KINDS]; /* events of each kind */
    enum weir_err refused_why;
    char refused_message[WEIR_ERROR_TEXT_MAX];
    char before[256]; /* version that the last MODELS_IN_FORCE took the place of */
    struct {
        void *bytes;
        size_t size;
    } topic[PLACE_RECORDS_MAX];
    uint32_t records;
    uint32_t fetches;
    bool past_end;
    bool fetch_fails;
};

/* Options that a test may change before place_open: scorers, cache_bytes, queue_bytes. */
void place_options(struct models_options *options);
void place_open(struct place *place, const struct models_options *options);
void place_close(struct place *place);

/* A PMML regression of wine that gives `value` where alcohol is 0; weir_free. */
char *place_pmml(double value);
/* Sends a descriptor as the topic's next record. key NULL: none. */
enum weir_err place_send(struct place *place, const char *key, const struct weir_descriptor *model);
/* The model that gives `value`, as ADD, called "m", with this version and data type. */
void place_send_value(struct place *place, const char *key, const char *data_type,
                      const char *version, double value);
void place_send_bytes(struct place *place, const char *key, const void *bytes, size_t size);
void place_send_tombstone(struct place *place, const char *key);
void place_send_activate(struct place *place, const char *data_type, const char *version);

/* Waits until so many events of a kind have been told; fails the test after PLACE_WAIT_S. */
void place_wait(struct place *place, enum models_event_kind kind, uint32_t count);
/* What the model in force gives for the block's row; NAN if none is in force. */
double place_score(struct place *place, const char *data_type);
/* Version in force, copied into text of 256 bytes; "" if none. */
const char *place_version(struct place *place, const char *data_type, char text[256]);

#endif
