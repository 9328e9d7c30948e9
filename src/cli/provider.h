/*
 * cli/provider.h - sends records and models to their topics, at a pace.
 *
 *      CSV file -> records, encoded once -> data topic, `rate` a second, over and over
 *      model files, in order             -> models topic, one each `model_interval_ms`
 *
 * Life:    provider_new (reads the records) -> provider_run until done or told to stop -> free.
 * Threads: run belongs to one thread; provider_stop and provider_totals may be called from any.
 * Memory:  the records are held in memory, at most PROVIDER_RECORDS_MAX; a model only while sent.
 * Errors:  what the broker says, with topic and reason; a model file that can't be read is one.
 */
#ifndef CLI_PROVIDER_H
#define CLI_PROVIDER_H

#include <weir/kafka.h>

#include "cli/files.h"

enum { PROVIDER_RECORDS_MAX = 10 * 1000 * 1000 };

struct provider;

struct provider_options {
    struct weir_kafka *kafka; /* borrowed */
    const char *data_path;    /* eleven numbers a line and perhaps the quality, ';' between them */
    struct files_list models; /* borrowed */
    const char *data_topic, *models_topic;
    int32_t data_partitions; /* of a data topic that has to be created */
    double rate;             /* records a second; 0 = as fast as they go */
    int64_t model_interval_ms;
    int64_t count;     /* records in all; 0 = no end */
    bool once;         /* each record and each model once */
    int keep;          /* versions of a model that stay in the topic */
    double error_rate; /* share of records damaged */
    uint64_t seed;
    int32_t linger_ms;
    /* Optional, on the running thread: a model was sent, or a file could not be. */
    void (*on_model)(void *opaque, const char *name, const char *version, size_t bytes);
    void *opaque;
    struct weir_log log;
};

struct provider_totals {
    uint64_t records, delivered, damaged, models, failed;
};

/* Creates missing topics and leaves existing ones. */
enum weir_err provider_new(const struct provider_options *options, struct provider **out,
                           struct weir_error *error);
/* Sends until everything is sent, the count is reached or provider_stop was called; then waits for
 * the delivery of what was sent. */
enum weir_err provider_run(struct provider *provider, struct weir_error *error);
void provider_stop(struct provider *provider);
void provider_totals(const struct provider *provider, struct provider_totals *out);
uint64_t provider_record_count(const struct provider *provider); /* of the file */
void provider_free(struct provider *provider);                   /* NULL is allowed */

#endif
