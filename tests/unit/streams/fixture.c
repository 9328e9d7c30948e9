#include "fixture.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct weir_slice text(const char *chars)
{
    return weir_slice(chars, strlen(chars));
}

void fixture_init(struct fixture *fixture, int32_t partitions, int32_t delivery_delay_ms,
                  int32_t rebalance_ms)
{
    struct weir_kafka_fake_options options;
    struct weir_error error;
    weir_clock_virtual_init(&fixture->clock, 1000000);
    weir_kafka_fake_options_default(&options);
    options.clock = &fixture->clock.clock;
    options.delivery_delay_ms = delivery_delay_ms;
    options.rebalance_ms = rebalance_ms;
    assert_int_equal(weir_kafka_fake_new(&options, &fixture->kafka, &error), WEIR_OK);
    assert_int_equal(weir_kafka_fake_topic(fixture->kafka, "in", partitions), WEIR_OK);
    assert_int_equal(weir_kafka_fake_topic(fixture->kafka, "more", partitions), WEIR_OK);
    assert_int_equal(weir_kafka_fake_topic(fixture->kafka, "out", partitions), WEIR_OK);
    assert_int_equal(weir_kafka_fake_topic(fixture->kafka, "dead", 1), WEIR_OK);
    weir_streams_options_default(&fixture->options);
    fixture->options.application_id = "app";
    fixture->options.dead_letter_topic = "dead";
    fixture->options.commit_interval_ms = 100;
}

void fixture_release(struct fixture *fixture)
{
    weir_kafka_free(fixture->kafka);
}

int64_t fixture_put(struct fixture *fixture, int32_t partition, const char *chars)
{
    return fixture_put_on(fixture, "in", partition, chars);
}

int64_t fixture_put_on(struct fixture *fixture, const char *topic, int32_t partition,
                       const char *chars)
{
    struct weir_kafka_record record = {.topic = topic,
                                       .partition = partition,
                                       .timestamp_ms = weir_clock_wall_ms(&fixture->clock.clock),
                                       .key = text(chars),
                                       .value = text(chars)};
    int64_t offset;
    assert_int_equal(weir_kafka_fake_append(fixture->kafka, &record, NULL, &offset), WEIR_OK);
    return offset;
}

void fixture_fail(struct fixture *fixture, enum weir_kafka_fake_call call, const char *topic,
                  uint32_t skip, uint32_t count, enum weir_err err, bool fatal)
{
    struct weir_kafka_fake_failure failure = {.call = call,
                                              .topic = topic,
                                              .skip = skip,
                                              .count = count,
                                              .err = err,
                                              .retriable = !fatal && err == WEIR_BROKER,
                                              .fatal = fatal};
    weir_kafka_fake_fail(fixture->kafka, &failure);
}

int64_t fixture_committed(struct fixture *fixture, int32_t partition)
{
    return fixture_committed_of(fixture, "in", partition);
}

int64_t fixture_committed_of(struct fixture *fixture, const char *topic, int32_t partition)
{
    return weir_kafka_fake_committed(fixture->kafka, "app", topic, partition);
}

static uint32_t count(struct fixture *fixture, const char *topic, int32_t partition,
                      const struct weir_slice *value)
{
    uint32_t found = 0;
    struct weir_kafka_batch batch = {0};
    int64_t offset = 0;
    while (weir_kafka_fake_read(fixture->kafka, topic, partition, offset, &batch) == WEIR_OK) {
        found += !value || weir_slice_equal(batch.rows.value[0], *value);
        offset = batch.offset_next;
        weir_kafka_batch_release(&batch);
    }
    return found;
}

uint32_t fixture_count(struct fixture *fixture, const char *topic, int32_t partition)
{
    return count(fixture, topic, partition, NULL);
}

uint32_t fixture_count_value(struct fixture *fixture, const char *topic, int32_t partition,
                             const char *value)
{
    struct weir_slice slice = text(value);
    return count(fixture, topic, partition, &slice);
}

/* ---- the processor --------------------------------------------------------------------------- */

enum { KEPT_MAX = 4096, KEPT_BYTES_MAX = 64 };

struct copier {
    struct behaviour *behaviour;
    char kept[KEPT_MAX][KEPT_BYTES_MAX];
    uint32_t kept_count;
};

static enum weir_err tick(void *self, struct weir_context *context, int64_t time_ms,
                          struct weir_error *error)
{
    (void)self;
    (void)context;
    (void)time_ms;
    (void)error;
    return WEIR_OK;
}

static enum weir_err copier_init(void *config, struct weir_context *context, void **self_out,
                                 struct weir_error *error)
{
    struct copier *copier = calloc(1, sizeof *copier);
    (void)error;
    assert_non_null(copier);
    copier->behaviour = config;
    copier->behaviour->opened++;
    *self_out = copier;
    return copier->behaviour->ticks ? weir_context_schedule(context, WEIR_WALL_CLOCK_TIME, 10, tick)
                                    : WEIR_OK;
}

static void copier_close(void *self, struct weir_context *context)
{
    struct copier *copier = self;
    (void)context;
    copier->behaviour->closed++;
    free(copier);
}

static enum weir_err stumble(struct behaviour *behaviour, int64_t offset, struct weir_error *error)
{
    if (!behaviour->failures || offset != behaviour->fail_at)
        return WEIR_OK;
    behaviour->failures--;
    return weir_error_set(error, WEIR_MODEL_FAILED, behaviour->fail_at, "told to fail");
}

static enum weir_err copier_batch(void *self, struct weir_context *context,
                                  const struct weir_block *block, struct weir_error *error)
{
    struct copier *copier = self;
    struct behaviour *behaviour = copier->behaviour;
    behaviour->calls++;
    if (behaviour->clock)
        weir_clock_virtual_advance_ms(behaviour->clock, behaviour->takes_ms);
    if (behaviour->refuse) {
        behaviour->refuse--;
        return WEIR_AGAIN;
    }
    enum weir_err err = WEIR_OK;
    for (uint32_t row = 0; row < block->rows && err == WEIR_OK; row++)
        err = stumble(behaviour, block->rows_meta.offset[row], error);
    if (err != WEIR_OK || !behaviour->keeps)
        return err == WEIR_OK ? weir_context_forward(context, block, error) : err;
    for (uint32_t row = 0; row < block->rows; row++) {
        struct weir_slice value = block->rows_meta.value[row];
        assert_true(copier->kept_count < KEPT_MAX && value.bytes < KEPT_BYTES_MAX);
        memcpy(copier->kept[copier->kept_count], value.data, value.bytes);
        copier->kept[copier->kept_count++][value.bytes] = '\0';
    }
    return WEIR_OK;
}

static enum weir_err copier_flush(void *self, struct weir_context *context,
                                  struct weir_error *error)
{
    struct copier *copier = self;
    enum weir_err err = WEIR_OK;
    for (uint32_t i = 0; i < copier->kept_count && err == WEIR_OK; i++) {
        struct weir_record record = {.timestamp_ms = weir_context_stream_time_ms(context),
                                     .key = weir_value_bytes(text(copier->kept[i])),
                                     .value = weir_value_bytes(text(copier->kept[i]))};
        err = weir_context_forward_record(context, &record, error);
    }
    copier->kept_count = 0;
    return err;
}

static enum weir_err copier_record(void *self, struct weir_context *context,
                                   const struct weir_record *record, struct weir_error *error)
{
    struct copier *copier = self;
    struct behaviour *behaviour = copier->behaviour;
    struct weir_record_metadata at;
    behaviour->calls++;
    assert_true(weir_context_metadata(context, &at));
    if (behaviour->refuse && at.offset == behaviour->refuse_offset) {
        behaviour->refuse--;
        return WEIR_AGAIN;
    }
    enum weir_err err = stumble(behaviour, at.offset, error);
    return err == WEIR_OK ? weir_context_forward_record(context, record, error) : err;
}

struct weir_topology *copy_topology(struct behaviour *behaviour)
{
    static const struct weir_processor_ops batch = {.abi = WEIR_PROCESSOR_ABI,
                                                    .init = copier_init,
                                                    .process_batch = copier_batch,
                                                    .close = copier_close};
    static const struct weir_processor_ops keeping = {.abi = WEIR_PROCESSOR_ABI,
                                                      .init = copier_init,
                                                      .process_batch = copier_batch,
                                                      .flush = copier_flush,
                                                      .close = copier_close};
    static const struct weir_processor_ops rows = {.abi = WEIR_PROCESSOR_ABI,
                                                   .init = copier_init,
                                                   .process = copier_record,
                                                   .close = copier_close};
    static const char *const sources[] = {"data", "more"}, *const copy[] = {"copy"};
    const struct weir_processor_ops *ops = behaviour->one_by_one ? &rows
                                           : behaviour->keeps    ? &keeping
                                                                 : &batch;
    struct weir_topology *topology;
    assert_int_equal(weir_topology_new(&topology), WEIR_OK);
    assert_int_equal(weir_topology_add_source(topology, "data", TOPIC("in"), NULL, NULL, NULL),
                     WEIR_OK);
    if (behaviour->two)
        assert_int_equal(
            weir_topology_add_source(topology, "more", TOPIC("more"), NULL, NULL, NULL), WEIR_OK);
    assert_int_equal(weir_topology_add_processor(topology, "copy", ops, behaviour, sources,
                                                 behaviour->two ? 2 : 1, NULL),
                     WEIR_OK);
    assert_int_equal(weir_topology_add_sink(topology, "out", "out", copy, 1, NULL), WEIR_OK);
    return topology;
}

/* ---- directories ----------------------------------------------------------------------------- */

const char *fixture_state_dir(void)
{
    static char path[32];
    snprintf(path, sizeof path, "/tmp/weir-state-XXXXXX");
    assert_non_null(mkdtemp(path));
    return path;
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *ftw)
{
    (void)status;
    (void)kind;
    (void)ftw;
    return remove(path);
}

void fixture_state_remove(const char *path)
{
    assert_int_equal(nftw(path, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

/* ---- instances ------------------------------------------------------------------------------- */

struct weir_streams *instance_open(struct fixture *fixture, struct weir_topology *topology)
{
    struct weir_streams *streams;
    struct weir_error error = {0};
    enum weir_err err =
        weir_streams_new(topology, fixture->kafka, &fixture->options, &streams, &error);
    if (err != WEIR_OK)
        fail_msg("%s", error.message);
    streams->clock = &fixture->clock.clock;
    streams->started = true;
    streams_become(streams, WEIR_STREAMS_REBALANCING);
    assert_int_equal(thread_open(streams->threads[0], &error), WEIR_OK);
    return streams;
}

enum weir_err instance_step(struct weir_streams *streams, struct weir_error *error)
{
    return thread_step(streams->threads[0], 0, error);
}

void instance_settle(struct fixture *fixture, struct weir_streams *streams)
{
    struct weir_error error = {0};
    for (int i = 0; i < 200; i++) {
        if (instance_step(streams, &error) != WEIR_OK)
            fail_msg("%s", error.message);
        weir_clock_virtual_advance_ms(&fixture->clock, 50);
    }
}

void instance_close(struct weir_streams *streams)
{
    thread_close(streams->threads[0]);
    weir_streams_free(streams);
}

void instance_kill(struct fixture *fixture, struct weir_streams *streams)
{
    const struct task *task = streams->threads[0]->tasks; /* with one of them go all */
    if (task)
        weir_kafka_fake_evict(fixture->kafka, "app", "app-tasks-0", task->partition);
    instance_close(streams);
}
