/*
 * streams/test_driver.c - a topology without broker, threads or sleeps.
 *
 * The same rounds as a stream thread's, in the caller's thread, on the in-memory cluster of
 * kafka/fake and a virtual clock.
 */
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "kafka/fake/fake.h"
#include "streams/inside.h"

enum { ROUNDS_MAX = 100000, READY_MS_MAX = 10000, OUTPUTS_MAX = 256 };

/* Where reading of an output topic's partition stands. */
struct output {
    char topic[WEIR_KAFKA_TOPIC_BYTES_MAX + 1];
    int32_t partition;
    int64_t offset;
};

struct weir_test_driver {
    struct weir_clock_virtual clock;
    struct weir_kafka *kafka;
    struct weir_streams *streams;
    struct output outputs[OUTPUTS_MAX];
    uint32_t output_count;
    struct weir_kafka_batch last; /* given by read */
    bool has_last;
};

static enum weir_err make_topics(struct weir_test_driver *driver, int32_t partitions)
{
    const struct weir_topology *topology = driver->streams->topology;
    const char *dead = driver->streams->options.dead_letter_topic;
    enum weir_err err = WEIR_OK;
    for (uint32_t i = 0; i < topology->topic_count && err == WEIR_OK; i++)
        err = weir_kafka_fake_topic(driver->kafka, topology->topics[i].name, partitions);
    for (uint32_t i = 0; i < topology->node_count && err == WEIR_OK; i++)
        if (topology->nodes[i].topic)
            err = weir_kafka_fake_topic(driver->kafka, topology->nodes[i].topic, partitions);
    for (uint32_t i = 0; i < topology->store_count && err == WEIR_OK; i++)
        err = weir_kafka_fake_topic(driver->kafka, topology->stores[i].topic, 1);
    return err == WEIR_OK && dead ? weir_kafka_fake_topic(driver->kafka, dead, 1) : err;
}

/* One look at everything. *busy: something was done. */
static enum weir_err round_once(struct weir_test_driver *driver, bool *busy,
                                struct weir_error *error)
{
    struct weir_streams *streams = driver->streams;
    struct stream_thread *thread = streams->threads[0];
    struct weir_streams_stats before, after;
    bool ready = true;
    weir_streams_stats(streams, &before);
    enum weir_err err = WEIR_OK;
    if (streams->topology->store_count)
        err = globals_step(streams, 0, &ready, error);
    if (err == WEIR_AGAIN)
        err = WEIR_OK;
    if (err == WEIR_OK)
        err = thread_step(thread, 0, error);
    weir_streams_stats(streams, &after);
    *busy = memcmp(&before, &after, sizeof before) != 0;
    return err;
}

/* Rounds until there is nothing left to do at this moment. */
static enum weir_err settle(struct weir_test_driver *driver, struct weir_error *error)
{
    struct weir_error unseen; /* the engine reads what it wrote */
    enum weir_err err = WEIR_OK;
    if (!error)
        error = &unseen;
    uint32_t idle = 0;
    for (uint32_t i = 0; i < ROUNDS_MAX && idle < 4 && err == WEIR_OK; i++) {
        bool busy = false;
        err = round_once(driver, &busy, error);
        idle = busy ? 0 : idle + 1;
    }
    return err;
}

static enum weir_err wait_for_stores(struct weir_test_driver *driver, struct weir_error *error)
{
    int64_t until_ns = weir_clock_now_ns(NULL) + READY_MS_MAX * WEIR_NS_PER_MS;
    bool ready = driver->streams->topology->store_count == 0;
    enum weir_err err = WEIR_OK;
    while (!ready && err == WEIR_OK) {
        err = globals_step(driver->streams, 0, &ready, error);
        if (err == WEIR_AGAIN)
            err = WEIR_OK;
        if (!ready && weir_clock_now_ns(NULL) > until_ns)
            return weir_error_set(error, WEIR_TIMEOUT, -1, "a global store was not ready in %d s",
                                  READY_MS_MAX / 1000);
    }
    return err;
}

enum weir_err weir_test_driver_new(struct weir_topology *topology,
                                   const struct weir_streams_options *options,
                                   int64_t start_wall_ms, int32_t partitions,
                                   struct weir_test_driver **driver_out, struct weir_error *error)
{
    struct weir_streams_options single = *options;
    struct weir_kafka_fake_options fake;
    struct weir_test_driver *driver = weir_calloc(1, sizeof *driver);
    if (!driver) {
        weir_topology_free(topology);
        return weir_error_set(error, WEIR_NOMEM, -1, "no memory for a test driver");
    }
    weir_clock_virtual_init(&driver->clock, start_wall_ms);
    weir_kafka_fake_options_default(&fake);
    fake.clock = &driver->clock.clock;
    single.threads = 1;
    enum weir_err err = weir_kafka_fake_new(&fake, &driver->kafka, error);
    if (err != WEIR_OK)
        weir_topology_free(topology);
    else
        err = weir_streams_new(topology, driver->kafka, &single, &driver->streams, error);
    if (err == WEIR_OK) {
        driver->streams->clock = &driver->clock.clock;
        driver->streams->started = true;
        streams_become(driver->streams, WEIR_STREAMS_REBALANCING);
        err = make_topics(driver, partitions);
    }
    if (err == WEIR_OK)
        err = globals_open(driver->streams, error);
    if (err == WEIR_OK)
        err = wait_for_stores(driver, error);
    if (err == WEIR_OK)
        err = thread_open(driver->streams->threads[0], error);
    if (err == WEIR_OK)
        err = settle(driver, error);
    if (err != WEIR_OK) {
        weir_test_driver_free(driver);
        return err;
    }
    *driver_out = driver;
    return WEIR_OK;
}

void weir_test_driver_free(struct weir_test_driver *driver)
{
    if (!driver)
        return;
    if (driver->has_last)
        weir_kafka_batch_release(&driver->last);
    if (driver->streams) {
        thread_close(driver->streams->threads[0]);
        globals_close(driver->streams);
        weir_streams_free(driver->streams);
    }
    weir_kafka_free(driver->kafka);
    weir_free(driver);
}

struct weir_kafka *weir_test_driver_kafka(struct weir_test_driver *driver)
{
    return driver->kafka;
}

const struct weir_streams *weir_test_driver_streams(const struct weir_test_driver *driver)
{
    return driver->streams;
}

struct weir_store *weir_test_driver_store(struct weir_test_driver *driver, const char *name,
                                          int32_t partition)
{
    const struct stream_thread *thread = driver->streams->threads[0];
    for (const struct task *task = thread->tasks; task; task = task->next)
        for (uint32_t i = 0; i < task->store_count && task->partition == partition; i++)
            if (strcmp(task->stores[i].kind->options.name, name) == 0)
                return task->stores[i].store;
    return NULL;
}

enum weir_err weir_test_driver_pipe(struct weir_test_driver *driver,
                                    const struct weir_kafka_record *record,
                                    struct weir_error *error)
{
    struct weir_kafka_record stamped = *record;
    if (stamped.timestamp_ms == -1)
        stamped.timestamp_ms = weir_clock_wall_ms(&driver->clock.clock);
    enum weir_err err = weir_kafka_fake_append(driver->kafka, &stamped, NULL, NULL);
    if (err != WEIR_OK)
        return weir_error_set(error, err, -1, "the record can't be put on topic %s: %s",
                              record->topic, weir_err_text(err));
    return settle(driver, error);
}

static struct output *output_of(struct weir_test_driver *driver, const char *topic,
                                int32_t partition)
{
    for (uint32_t i = 0; i < driver->output_count; i++)
        if (driver->outputs[i].partition == partition &&
            strcmp(driver->outputs[i].topic, topic) == 0)
            return &driver->outputs[i];
    weir_assert(driver->output_count < OUTPUTS_MAX && strlen(topic) <= WEIR_KAFKA_TOPIC_BYTES_MAX);
    struct output *output = &driver->outputs[driver->output_count++];
    memcpy(output->topic, topic, strlen(topic) + 1);
    output->partition = partition;
    return output;
}

enum weir_err weir_test_driver_read(struct weir_test_driver *driver, const char *topic,
                                    struct weir_kafka_batch *out)
{
    if (driver->has_last)
        weir_kafka_batch_release(&driver->last);
    driver->has_last = false;
    for (int32_t partition = 0;; partition++) {
        struct output *output = output_of(driver, topic, partition);
        struct weir_kafka_batch batch = {0};
        enum weir_err err =
            weir_kafka_fake_read(driver->kafka, topic, partition, output->offset, &batch);
        if (err == WEIR_NOT_FOUND) {
            driver->output_count--; /* there is no such partition */
            return WEIR_AGAIN;
        }
        if (err == WEIR_AGAIN)
            continue;
        if (err != WEIR_OK)
            return err;
        output->offset = batch.offset_next;
        driver->last = batch;
        driver->has_last = true;
        *out = batch;
        return WEIR_OK;
    }
}

enum weir_err weir_test_driver_advance(struct weir_test_driver *driver, int64_t milliseconds,
                                       struct weir_error *error)
{
    weir_clock_virtual_advance_ms(&driver->clock, milliseconds);
    return settle(driver, error);
}
