#include "stage.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"

static struct weir_slice text(const char *chars)
{
    return weir_slice(chars, chars ? strlen(chars) : 0);
}

static int64_t stopwatch_now_ns(void *opaque)
{
    struct stage *stage = opaque;
    weir_clock_virtual_advance(&stage->clock, 1000);
    return weir_clock_now_ns(&stage->clock.clock);
}

static int64_t stopwatch_wall_ms(void *opaque)
{
    struct stage *stage = opaque;
    return weir_clock_wall_ms(&stage->clock.clock);
}

void stage_init(struct stage *stage)
{
    struct weir_kafka_fake_options options;
    struct weir_error error;
    memset(stage, 0, sizeof *stage);
    weir_clock_virtual_init(&stage->clock, 1000000);
    stage->stopwatch = (struct weir_clock){.now_ns = stopwatch_now_ns,
                                           .wall_ms = stopwatch_wall_ms,
                                           .opaque = stage,
                                           .is_virtual = true};
    weir_kafka_fake_options_default(&options);
    options.clock = &stage->clock.clock;
    assert_int_equal(weir_kafka_fake_new(&options, &stage->kafka, &error), WEIR_OK);
    assert_int_equal(weir_kafka_fake_topic(stage->kafka, "mdata", STAGE_PARTITIONS), WEIR_OK);
    assert_int_equal(weir_kafka_fake_topic(stage->kafka, "scores", STAGE_PARTITIONS), WEIR_OK);
    assert_int_equal(weir_kafka_fake_topic(stage->kafka, "models", 1), WEIR_OK);
    assert_int_equal(weir_kafka_fake_topic(stage->kafka, "dead", 1), WEIR_OK);
    assert_int_equal(weir_schema_wine(&stage->schema), WEIR_OK);
    assert_int_equal(weir_block_new(stage->schema, 1, &stage->record), WEIR_OK);
    assert_int_equal(weir_block_reset(stage->record, 1), WEIR_OK);
    weir_streams_options_default(&stage->options);
    stage->options.application_id = "app";
    stage->options.dead_letter_topic = "dead";
    stage->options.commit_interval_ms = 100;
    stage->scoring = (struct scoring){
        .clock = &stage->stopwatch,
        .data_type_column = weir_schema_find(stage->schema, "dataType"),
        .rows_max = stage->options.batch_rows,
    };
}

void stage_release(struct stage *stage)
{
    for (int i = 0; i < STAGE_INSTANCES; i++)
        stage_leave(&stage->instances[i]);
    weir_block_free(stage->record);
    weir_schema_unref(stage->schema);
    weir_kafka_free(stage->kafka);
}

/* ---- instances ------------------------------------------------------------------------------- */

static enum weir_err update_models(void *store, const struct weir_block *block, bool past_end,
                                   struct weir_error *error)
{
    struct instance *instance = store;
    uint32_t taken;
    (void)error;
    enum weir_err err =
        models_update(instance->models, &block->rows_meta, block->rows, past_end, &taken);
    assert_int_equal(err, WEIR_OK);
    assert_int_equal(taken, block->rows);
    return err;
}

static bool models_are_ready(void *store)
{
    struct instance *instance = store;
    return models_ready(instance->models);
}

static enum weir_err make_decoder(void *config, struct weir_decoder **out, struct weir_error *error)
{
    struct stage *stage = config;
    return weir_decoder_protobuf_new(stage->schema, out, error);
}

static struct weir_topology *topology_of(struct instance *instance)
{
    static const char *const data[] = {"data"}, *const scoring[] = {"scoring"},
                             *const mdata[] = {"mdata"};
    struct weir_global_store store = {.name = "models",
                                      .source = "models-source",
                                      .topic = "models",
                                      .processor = "models-update",
                                      .update = update_models,
                                      .ready = models_are_ready,
                                      .store = instance};
    struct weir_topology *topology;
    assert_int_equal(weir_topology_new(&topology), WEIR_OK);
    assert_int_equal(
        weir_topology_add_source(topology, "data", mdata, 1, make_decoder, instance->stage, NULL),
        WEIR_OK);
    assert_int_equal(weir_topology_add_processor(topology, "scoring", scoring_ops(),
                                                 &instance->scoring, data, 1, NULL),
                     WEIR_OK);
    assert_int_equal(weir_topology_add_sink(topology, "scores", "scores", scoring, 1, NULL),
                     WEIR_OK);
    assert_int_equal(weir_topology_add_global_store(topology, &store, NULL), WEIR_OK);
    return topology;
}

/* On the loader's thread. */
static enum weir_err fetch_model(void *opaque, int32_t partition, int64_t offset, void **value_out,
                                 size_t *bytes_out, struct weir_error *error)
{
    struct stage *stage = opaque;
    struct weir_kafka_batch batch = {0};
    if (weir_kafka_fake_read(stage->kafka, "models", partition, offset, &batch) != WEIR_OK)
        return weir_error_set(error, WEIR_NOT_FOUND, offset, "the record is gone");
    struct weir_slice value = batch.rows.value[0];
    *bytes_out = value.bytes;
    *value_out = weir_alloc(value.bytes);
    memcpy(*value_out, value.data, value.bytes);
    weir_kafka_batch_release(&batch);
    return WEIR_OK;
}

static void make_models(struct instance *instance)
{
    struct stage *stage = instance->stage;
    struct models_options options = {.schema = stage->schema,
                                     .rows_max = stage->options.batch_rows,
                                     .scorers = 1,
                                     .clock = &stage->clock.clock,
                                     .fetch = fetch_model,
                                     .opaque = stage};
    assert_int_equal(models_new(&options, &instance->models), WEIR_OK);
    assert_int_equal(models_start(instance->models), WEIR_OK);
    instance->scoring = stage->scoring;
    instance->scoring.models = instance->models;
    assert_int_equal(scoring_init(&instance->scoring), WEIR_OK);
}

struct instance *stage_join(struct stage *stage)
{
    struct instance *instance = stage->instances;
    struct weir_error error = {.code = WEIR_OK};
    while (instance->streams)
        instance++;
    assert_true(instance < stage->instances + STAGE_INSTANCES);
    instance->stage = stage;
    make_models(instance);
    assert_int_equal(weir_streams_new(topology_of(instance), stage->kafka, &stage->options,
                                      &instance->streams, &error),
                     WEIR_OK);
    instance->streams->clock = &stage->clock.clock;
    instance->streams->started = true;
    streams_become(instance->streams, WEIR_STREAMS_REBALANCING);
    assert_int_equal(globals_open(instance->streams, &error), WEIR_OK);
    stage_learn(instance);
    assert_int_equal(thread_open(instance->streams->threads[0], &error), WEIR_OK);
    return instance;
}

void stage_leave(struct instance *instance)
{
    if (!instance->streams)
        return;
    thread_close(instance->streams->threads[0]);
    globals_close(instance->streams);
    weir_streams_free(instance->streams);
    models_free(instance->models);
    scoring_release(&instance->scoring);
    instance->streams = NULL;
}

void stage_learn(struct instance *instance)
{
    struct weir_error error = {.code = WEIR_OK};
    int64_t until_ns = weir_clock_now_ns(NULL) + STAGE_READY_S * WEIR_NS_PER_SECOND;
    bool ready = false;
    while (!ready) {
        assert_int_equal(globals_step(instance->streams, 0, &ready, &error), WEIR_OK);
        assert_true(weir_clock_now_ns(NULL) < until_ns);
        if (!ready)
            sched_yield(); /* the loader parses */
    }
}

enum weir_err stage_step(struct instance *instance, struct weir_error *error)
{
    return thread_step(instance->streams->threads[0], 0, error);
}

void stage_settle(struct stage *stage)
{
    enum { ROUNDS = 200, ROUND_MS = 50 };
    struct weir_error error = {.code = WEIR_OK};
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < STAGE_INSTANCES; i++)
            if (stage->instances[i].streams && stage_step(&stage->instances[i], &error) != WEIR_OK)
                fail_msg("%s", error.message);
        weir_clock_virtual_advance_ms(&stage->clock, ROUND_MS);
    }
}

/* ---- records --------------------------------------------------------------------------------- */

int64_t stage_put_bytes(struct stage *stage, int32_t partition, const void *bytes, size_t size)
{
    char key[32];
    struct weir_header header = {text("trace"), text("a1")};
    int64_t offset;
    snprintf(key, sizeof key, "k%lld", (long long)stage->records[partition]);
    struct weir_kafka_record record = {.topic = "mdata",
                                       .partition = partition,
                                       .timestamp_ms = weir_clock_wall_ms(&stage->clock.clock),
                                       .key = text(key),
                                       .value = weir_slice(bytes, size),
                                       .headers = &header,
                                       .header_count = 1};
    assert_int_equal(weir_kafka_fake_append(stage->kafka, &record, NULL, &offset), WEIR_OK);
    assert_int_equal(offset, stage->records[partition]++);
    return offset;
}

int64_t stage_put(struct stage *stage, int32_t partition, const char *data_type, double alcohol)
{
    uint8_t bytes[512];
    size_t size;
    int32_t type = weir_schema_find(stage->schema, "dataType");
    int32_t strength = weir_schema_find(stage->schema, "alcohol");
    assert_int_equal(weir_block_set_string(stage->record, (uint32_t)type, 0, text(data_type)),
                     WEIR_OK);
    weir_block_set_double(stage->record, (uint32_t)strength, 0, alcohol);
    assert_int_equal(weir_encode_protobuf(stage->record, 0, bytes, sizeof bytes, &size), WEIR_OK);
    return stage_put_bytes(stage, partition, bytes, size);
}

int64_t stage_put_model(struct stage *stage, const char *data_type, const char *version,
                        struct weir_slice content)
{
    bool is_pmml = content.bytes && ((const char *)content.data)[0] == '<';
    struct weir_descriptor descriptor = {.name = text("m"),
                                         .data_type = text(data_type),
                                         .model_type = is_pmml ? WEIR_DESCRIPTOR_PMML
                                                               : WEIR_DESCRIPTOR_TENSORFLOW,
                                         .data = content,
                                         .version = text(version)};
    void *bytes = weir_alloc(weir_descriptor_bytes(&descriptor));
    assert_non_null(bytes);
    struct weir_kafka_record record = {
        .topic = "models",
        .timestamp_ms = weir_clock_wall_ms(&stage->clock.clock),
        .key = text("model"),
        .value = weir_slice(bytes, weir_descriptor_encode(&descriptor, bytes))};
    int64_t offset;
    assert_int_equal(weir_kafka_fake_append(stage->kafka, &record, NULL, &offset), WEIR_OK);
    weir_free(bytes);
    return offset;
}

int64_t stage_put_value(struct stage *stage, const char *data_type, const char *version,
                        double value)
{
    char *pmml = place_pmml(value);
    int64_t offset = stage_put_model(stage, data_type, version, text(pmml));
    weir_free(pmml);
    return offset;
}

/* ---- what came out --------------------------------------------------------------------------- */

uint32_t stage_count(struct stage *stage, const char *topic, int32_t partition)
{
    struct weir_kafka_batch batch = {0};
    uint32_t count = 0;
    int64_t offset = 0;
    for (; weir_kafka_fake_read(stage->kafka, topic, partition, offset, &batch) == WEIR_OK;
         count++) {
        offset = batch.offset_next;
        weir_kafka_batch_release(&batch);
    }
    return count;
}

struct weir_kafka_batch stage_read(struct stage *stage, const char *topic, int32_t partition,
                                   int64_t offset)
{
    struct weir_kafka_batch batch = {0};
    assert_int_equal(weir_kafka_fake_read(stage->kafka, topic, partition, offset, &batch), WEIR_OK);
    assert_int_equal(batch.rows.offset[0], offset);
    return batch;
}

struct weir_result stage_result(struct stage *stage, int32_t partition, int64_t offset,
                                struct weir_kafka_batch *batch)
{
    struct weir_result result;
    struct weir_error error;
    *batch = stage_read(stage, "scores", partition, offset);
    assert_int_equal(weir_result_decode(batch->rows.value[0], &result, &error), WEIR_OK);
    return result;
}

double stage_number(struct stage *stage, int32_t partition, int64_t offset)
{
    struct weir_kafka_batch batch;
    struct weir_result result = stage_result(stage, partition, offset, &batch);
    assert_int_equal(result.kind, WEIR_RESULT_NUMBER);
    weir_kafka_batch_release(&batch);
    return result.number;
}

uint32_t stage_results_of(struct stage *stage, int32_t partition, int64_t source_offset)
{
    uint32_t found = 0, count = stage_count(stage, "scores", partition);
    for (uint32_t i = 0; i < count; i++) {
        struct weir_kafka_batch batch;
        struct weir_result result = stage_result(stage, partition, i, &batch);
        assert_int_equal(result.source_partition, partition);
        found += result.source_offset == source_offset;
        weir_kafka_batch_release(&batch);
    }
    return found;
}

void stage_assert_header(const struct weir_kafka_batch *batch, uint32_t index, const char *name,
                         const char *value)
{
    assert_true(index < batch->rows.header_count[0]);
    const struct weir_header *header = &batch->rows.headers[0][index];
    assert_true(weir_slice_equal(header->name, text(name)));
    assert_true(header->value.bytes > 0);
    if (value)
        assert_true(weir_slice_equal(header->value, text(value)));
}

int64_t stage_committed(struct stage *stage, int32_t partition)
{
    return weir_kafka_fake_committed(stage->kafka, "app", "mdata", partition);
}
