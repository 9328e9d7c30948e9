/* What leaves the scoring processor: a result for each record that can be decoded, a dead letter
 * for each that can't, in the records' order, and totals that add up. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/digest.h"
#include "stage.h"

static struct stage stage_memory, *const stage = &stage_memory;

static int begin(void **state)
{
    (void)state;
    stage_init(stage);
    return 0;
}

static int end(void **state)
{
    (void)state;
    stage_release(stage);
    return 0;
}

static void assert_text(struct weir_slice slice, const char *expected)
{
    assert_true(weir_slice_equal(slice, weir_slice(expected, strlen(expected))));
}

/* in = results + errors + dead, and these are they. */
static void assert_totals(struct instance *instance, uint64_t results, uint64_t errors,
                          uint64_t dead)
{
    struct weir_streams_stats stats;
    const struct scoring_totals *totals = &instance->scoring.totals;
    weir_streams_stats(instance->streams, &stats);
    assert_int_equal(atomic_load(&totals->results), results);
    assert_int_equal(atomic_load(&totals->errors), errors);
    assert_int_equal(stats.dead_letters - atomic_load(&totals->dead_models), dead);
    assert_int_equal(stats.records_consumed, results + errors + dead);
}

/* An error of this kind at an offset of scores. */
static void assert_error(int32_t partition, int64_t offset, enum weir_err why, int64_t of)
{
    struct weir_kafka_batch batch;
    struct weir_result result = stage_result(stage, partition, offset, &batch);
    assert_int_equal(result.kind, WEIR_RESULT_ERROR);
    assert_int_equal(result.error, why);
    assert_true(result.error_message.bytes > 0);
    assert_int_equal(result.source_offset, of);
    weir_kafka_batch_release(&batch);
}

/* ---- results --------------------------------------------------------------------------------- */

static void a_result_says_by_which_model_and_of_which_record(void **state)
{
    uint8_t digest[32];
    struct weir_kafka_batch batch;
    char *pmml = place_pmml(7);
    (void)state;
    weir_sha256(pmml, strlen(pmml), digest);
    stage_put_value(stage, "beer", NULL, 1);
    int64_t model_offset = stage_put_model(stage, "wine", "v7", weir_slice(pmml, strlen(pmml)));
    weir_free(pmml);
    struct instance *instance = stage_join(stage);
    stage_put(stage, 1, "wine", 0.5);
    int64_t sent_ms = weir_clock_wall_ms(&stage->clock.clock);
    int64_t offset = stage_put(stage, 1, "wine", 0.25);
    stage_settle(stage);
    struct weir_result result = stage_result(stage, 1, 1, &batch);
    assert_int_equal(result.kind, WEIR_RESULT_NUMBER);
    assert_float_equal(result.number, 7.25, 0);
    assert_text(result.data_type, "wine");
    assert_text(result.model, "m");
    assert_text(result.version, "v7");
    assert_true(weir_slice_equal(result.digest, weir_slice(digest, sizeof digest)));
    assert_int_equal(result.model_partition, 0);
    assert_int_equal(result.model_offset, model_offset);
    assert_text(result.source_topic, "mdata");
    assert_int_equal(result.source_partition, 1);
    assert_int_equal(result.source_offset, offset);
    assert_int_equal(result.score_ns, 500); /* a microsecond for both */
    assert_text(batch.rows.key[0], "k1");
    assert_int_equal(batch.rows.timestamp_ms[0], sent_ms);
    assert_int_equal(batch.rows.header_count[0], 1);
    stage_assert_header(&batch, 0, "trace", "a1");
    weir_kafka_batch_release(&batch);
    assert_totals(instance, 2, 0, 0);
}

static void a_version_that_was_not_given_is_not_sent(void **state)
{
    struct weir_kafka_batch batch;
    (void)state;
    stage_put_value(stage, "wine", NULL, 1);
    stage_join(stage);
    stage_put(stage, 0, "wine", 0);
    stage_settle(stage);
    struct weir_result result = stage_result(stage, 0, 0, &batch);
    assert_null(result.version.data);
    assert_int_equal(result.digest.bytes, 32);
    weir_kafka_batch_release(&batch);
}

static struct weir_slice read_sample(const char *name)
{
    char path[4096];
    const char *source = getenv("WEIR_SOURCE_DIR");
    snprintf(path, sizeof path, "%s/samples/wine/models/%s", source ? source : ".", name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    long bytes = ftell(file);
    char *content = weir_alloc((size_t)bytes);
    rewind(file);
    assert_int_equal(fread(content, 1, (size_t)bytes, file), bytes);
    fclose(file);
    return weir_slice(content, (size_t)bytes);
}

/* The result of the stage's record, by the model alone. */
static void assert_same(struct weir_scorer *scorer, const struct weir_result *result)
{
    weir_scorer_score(scorer, stage->record, NULL, 0);
    const struct weir_block *scores = weir_scorer_output(scorer);
    assert_int_equal(scores->status[0], WEIR_OK);
    switch (scores->columns[0].type) {
    case WEIR_DOUBLE:
        assert_int_equal(result->kind, WEIR_RESULT_NUMBER);
        assert_true(result->number == scores->columns[0].f64[0]);
        break;
    case WEIR_INT64:
        assert_int_equal(result->kind, WEIR_RESULT_NUMBER);
        assert_true(result->number == (double)scores->columns[0].i64[0]);
        break;
    case WEIR_STRING:
        assert_int_equal(result->kind, WEIR_RESULT_LABEL);
        assert_true(weir_slice_equal(result->label, weir_block_string(scores, 0, 0)));
        break;
    default:
        fail_msg("a target of another type");
    }
}

/* The same pseudo-random wine for the same number. */
static void fill_record(uint32_t number)
{
    struct weir_block *record = stage->record;
    uint32_t at = number * 2654435761u;
    for (uint32_t column = 0; column < weir_schema_field_count(stage->schema); column++) {
        if (record->columns[column].type != WEIR_DOUBLE)
            continue;
        at = at * 1664525u + 1013904223u;
        weir_block_set_double(record, column, 0, (double)(at >> 8) / (1 << 20));
    }
}

static void results_are_the_models_own_scores(void **state)
{
    static const char *const models[] = {"wine-forest.pmml", "wine-tree-classification.pmml",
                                         "wine-net.pmml", "wine-graph.pb"};
    enum { RECORDS = 100 };
    (void)state;
    struct instance *instance = stage_join(stage);
    int64_t next = 0;
    for (size_t i = 0; i < WEIR_ARRAY_COUNT(models); i++) {
        struct weir_slice content = read_sample(models[i]);
        struct weir_error error = {0};
        struct weir_model *model;
        struct weir_scorer *scorer;
        assert_int_equal(weir_model_load(content, NULL, &model, &error), WEIR_OK);
        assert_int_equal(weir_scorer_new(model, stage->schema, 1, 0, &scorer, &error), WEIR_OK);
        stage_put_model(stage, "wine", models[i], content);
        stage_learn(instance);
        for (uint32_t k = 0; k < RECORDS; k++) {
            fill_record(k);
            stage_put(stage, 0, "wine", k);
        }
        stage_settle(stage);
        for (uint32_t k = 0; k < RECORDS; k++) {
            struct weir_kafka_batch batch;
            struct weir_result result = stage_result(stage, 0, next, &batch);
            assert_int_equal(result.source_offset, next++);
            assert_text(result.version, models[i]);
            fill_record(k);
            weir_block_set_double(stage->record,
                                  (uint32_t)weir_schema_find(stage->schema, "alcohol"), 0, k);
            assert_same(scorer, &result);
            weir_kafka_batch_release(&batch);
        }
        weir_scorer_free(scorer);
        weir_model_unref(model);
        weir_free((void *)(uintptr_t)content.data);
    }
    assert_totals(instance, WEIR_ARRAY_COUNT(models) * RECORDS, 0, 0);
}

static void data_types_in_one_block_keep_the_order_of_rows(void **state)
{
    static const char *const types[] = {"wine", "beer", "", "cider", "wine", "beer"};
    enum { ROUNDS = 20, TYPES = WEIR_ARRAY_COUNT(types), RECORDS = ROUNDS * TYPES };
    (void)state;
    stage_put_value(stage, "wine", "w", 1000);
    stage_put_value(stage, "beer", "b", 2000);
    struct instance *instance = stage_join(stage);
    for (uint32_t i = 0; i < RECORDS; i++)
        stage_put(stage, 0, types[i % TYPES], i);
    struct weir_error error;
    assert_int_equal(stage_step(instance, &error), WEIR_OK); /* joins */
    stage_settle(stage);
    assert_int_equal(stage_count(stage, "scores", 0), RECORDS);
    for (uint32_t i = 0; i < RECORDS; i++) {
        const char *type = types[i % TYPES];
        if (strcmp(type, "cider") == 0)
            assert_error(0, i, WEIR_NO_MODEL, i);
        else /* an empty type is wine */
            assert_true(stage_number(stage, 0, i) == (strcmp(type, "beer") == 0 ? 2000 : 1000) + i);
    }
    struct weir_kafka_batch batch;
    struct weir_result result = stage_result(stage, 0, 2, &batch);
    assert_text(result.data_type, "wine");
    weir_kafka_batch_release(&batch);
    assert_totals(instance, RECORDS - ROUNDS, ROUNDS, 0);
    assert_int_equal(atomic_load(&instance->scoring.totals.no_model), ROUNDS);
}

/* ---- records that get no score --------------------------------------------------------------- */

static void without_a_model_a_record_is_skipped_with_an_error_result(void **state)
{
    struct weir_kafka_batch batch;
    (void)state;
    struct instance *instance = stage_join(stage);
    stage_put(stage, 0, "wine", 1);
    stage_settle(stage);
    assert_error(0, 0, WEIR_NO_MODEL, 0);
    struct weir_result result = stage_result(stage, 0, 0, &batch);
    assert_int_equal(result.model_offset, -1);
    assert_int_equal(result.digest.bytes, 0);
    assert_text(result.data_type, "wine");
    weir_kafka_batch_release(&batch);
    assert_totals(instance, 0, 1, 0);
    assert_int_equal(stage_committed(stage, 0), 1);
}

static void without_a_model_a_record_can_wait_for_one(void **state)
{
    (void)state;
    stage->scoring.no_model = NO_MODEL_WAIT;
    stage_put_value(stage, "wine", "w", 100);
    struct instance *instance = stage_join(stage);
    stage_put(stage, 0, "wine", 0);
    stage_put(stage, 0, "beer", 1); /* the whole block waits for it */
    stage_put(stage, 0, "wine", 2);
    stage_put(stage, 1, "wine", 3); /* another partition does not */
    stage_settle(stage);
    assert_int_equal(stage_count(stage, "scores", 0), 0);
    assert_int_equal(stage_committed(stage, 0), -1);
    assert_float_equal(stage_number(stage, 1, 0), 103, 0);
    stage_put_value(stage, "beer", "b", 200);
    stage_learn(instance);
    stage_settle(stage);
    assert_int_equal(stage_count(stage, "scores", 0), 3);
    assert_float_equal(stage_number(stage, 0, 0), 100, 0);
    assert_float_equal(stage_number(stage, 0, 1), 201, 0);
    assert_float_equal(stage_number(stage, 0, 2), 102, 0);
    assert_totals(instance, 4, 0, 0);
    assert_int_equal(stage_committed(stage, 0), 3);
}

static void without_a_model_a_record_can_become_a_dead_letter(void **state)
{
    struct weir_kafka_batch batch;
    (void)state;
    stage->scoring.no_model = NO_MODEL_DEAD_LETTER;
    stage_put_value(stage, "wine", "w", 100);
    struct instance *instance = stage_join(stage);
    stage_put(stage, 1, "wine", 0);
    stage_put(stage, 1, "beer", 1);
    stage_put(stage, 1, "wine", 2);
    stage_settle(stage);
    assert_int_equal(stage_count(stage, "scores", 1), 2);
    assert_float_equal(stage_number(stage, 1, 1), 102, 0);
    assert_int_equal(stage_count(stage, "dead", 0), 1);
    batch = stage_read(stage, "dead", 0, 0);
    assert_text(batch.rows.key[0], "k1");
    stage_assert_header(&batch, 0, "trace", "a1");
    stage_assert_header(&batch, 1, "__streams.errors.exception", "NO_MODEL");
    stage_assert_header(&batch, 2, "__streams.errors.message", NULL);
    stage_assert_header(&batch, 3, "__streams.errors.topic", "mdata");
    stage_assert_header(&batch, 4, "__streams.errors.partition", "1");
    stage_assert_header(&batch, 5, "__streams.errors.offset", "1");
    weir_kafka_batch_release(&batch);
    assert_totals(instance, 2, 0, 1);
    assert_int_equal(atomic_load(&instance->scoring.totals.dead), 1);
    assert_int_equal(stage_committed(stage, 1), 3);
}

static void an_undecodable_record_is_a_dead_letter_and_no_result(void **state)
{
    static const char garbage[] = "\xff\xff";
    struct weir_kafka_batch batch;
    (void)state;
    stage_put_value(stage, "wine", "w", 100);
    struct instance *instance = stage_join(stage);
    stage_put(stage, 1, "wine", 0);
    stage_put_bytes(stage, 1, garbage, 2);
    stage_put_bytes(stage, 1, NULL, 0);
    stage_put(stage, 1, "wine", 3);
    stage_settle(stage);
    assert_int_equal(stage_count(stage, "scores", 1), 2);
    assert_float_equal(stage_number(stage, 1, 0), 100, 0);
    assert_float_equal(stage_number(stage, 1, 1), 103, 0);
    assert_int_equal(stage_count(stage, "dead", 0), 2);
    batch = stage_read(stage, "dead", 0, 0);
    assert_text(batch.rows.key[0], "k1");
    assert_true(weir_slice_equal(batch.rows.value[0], weir_slice(garbage, 2)));
    stage_assert_header(&batch, 0, "trace", "a1");
    stage_assert_header(&batch, 1, "__streams.errors.exception", "TRUNCATED");
    stage_assert_header(&batch, 2, "__streams.errors.message", NULL);
    stage_assert_header(&batch, 3, "__streams.errors.topic", "mdata");
    stage_assert_header(&batch, 4, "__streams.errors.partition", "1");
    stage_assert_header(&batch, 5, "__streams.errors.offset", "1");
    weir_kafka_batch_release(&batch);
    assert_totals(instance, 2, 0, 2);
    assert_int_equal(stage_committed(stage, 1), 4);
}

/* alcohol above 10 is invalid to this model. */
static const char strict_pmml[] =
    "<PMML version=\"4.4\" xmlns=\"http://www.dmg.org/PMML-4_4\"><Header/><DataDictionary>"
    "<DataField name=\"alcohol\" optype=\"continuous\" dataType=\"double\">"
    "<Interval closure=\"closedClosed\" leftMargin=\"0\" rightMargin=\"10\"/></DataField>"
    "<DataField name=\"quality\" optype=\"continuous\" dataType=\"double\"/></DataDictionary>"
    "<RegressionModel functionName=\"regression\"><MiningSchema>"
    "<MiningField name=\"alcohol\" invalidValueTreatment=\"returnInvalid\"/>"
    "<MiningField name=\"quality\" usageType=\"target\"/></MiningSchema>"
    "<RegressionTable intercept=\"5\"><NumericPredictor name=\"alcohol\" coefficient=\"1\"/>"
    "</RegressionTable></RegressionModel></PMML>";

static void an_unscorable_record_has_an_error_result_that_names_the_field(void **state)
{
    struct weir_kafka_batch batch;
    (void)state;
    stage_put_model(stage, "wine", "strict", weir_slice(strict_pmml, sizeof strict_pmml - 1));
    struct instance *instance = stage_join(stage);
    stage_put(stage, 0, "wine", 1);
    stage_put(stage, 0, "wine", 11);
    stage_put(stage, 0, "wine", 2);
    stage_settle(stage);
    assert_int_equal(stage_count(stage, "scores", 0), 3);
    assert_float_equal(stage_number(stage, 0, 0), 6, 0);
    assert_error(0, 1, WEIR_INVALID_INPUT, 1);
    assert_float_equal(stage_number(stage, 0, 2), 7, 0);
    struct weir_result result = stage_result(stage, 0, 1, &batch);
    assert_text(result.version, "strict"); /* the model that could not */
    assert_non_null(memmem(result.error_message.data, result.error_message.bytes, "alcohol", 7));
    weir_kafka_batch_release(&batch);
    assert_int_equal(stage_count(stage, "dead", 0), 0);
    assert_totals(instance, 2, 1, 0);
    assert_int_equal(atomic_load(&instance->scoring.totals.no_model), 0);
}

/* ---- models that change, and what is counted ------------------------------------------------- */

static void note_view(void *opaque, const struct models_view *view)
{
    struct statistics_copy *by_version = opaque;
    by_version[view->version[1] - '0'] = view->statistics; /* "v0" to "v9" */
}

static void a_swap_takes_effect_with_the_next_block(void **state)
{
    enum { SWAPS = 5, RECORDS = 10 };
    struct statistics_copy statistics[SWAPS] = {0};
    (void)state;
    struct instance *instance = stage_join(stage);
    for (uint32_t swap = 0; swap < SWAPS; swap++) {
        char version[8];
        snprintf(version, sizeof version, "v%u", swap);
        stage_put_value(stage, "wine", version, swap * 100);
        stage_learn(instance);
        for (uint32_t i = 0; i < RECORDS; i++)
            stage_put(stage, 0, "wine", i);
        stage_settle(stage);
    }
    for (uint32_t i = 0; i < SWAPS * RECORDS; i++) {
        struct weir_kafka_batch batch;
        struct weir_result result = stage_result(stage, 0, i, &batch);
        assert_true(result.number == i / RECORDS * 100 + i % RECORDS);
        assert_int_equal(result.model_offset, i / RECORDS);
        weir_kafka_batch_release(&batch);
    }
    assert_totals(instance, (uint64_t)SWAPS * RECORDS, 0, 0);
    /* A key for all: each version goes with the next; the last is there with its figures. */
    models_each(instance->models, note_view, statistics);
    assert_int_equal(statistics[SWAPS - 1].usage, RECORDS);
    struct models_counts counts;
    models_count(instance->models, &counts);
    assert_int_equal(counts.swaps, SWAPS);
}

static void statistics_count_records_errors_and_time_by_version(void **state)
{
    struct statistics_copy statistics[2] = {0};
    (void)state;
    stage_put_model(stage, "wine", "v1", weir_slice(strict_pmml, sizeof strict_pmml - 1));
    struct instance *instance = stage_join(stage);
    for (int i = 0; i < 8; i++)
        stage_put(stage, 0, "wine", i < 6 ? 1 : 100);
    stage_settle(stage);
    models_each(instance->models, note_view, statistics);
    assert_int_equal(statistics[1].usage, 8);
    assert_int_equal(statistics[1].errors, 2);
    assert_int_equal(statistics[1].duration_ns, 1000); /* one block, a microsecond */
    assert_int_equal(statistics[1].min_ns, 125);
    assert_int_equal(statistics[1].max_ns, 125);
    stage_put(stage, 0, "wine", 1);
    stage_settle(stage);
    models_each(instance->models, note_view, statistics);
    assert_int_equal(statistics[1].usage, 9);
    assert_int_equal(statistics[1].duration_ns, 2000);
    assert_int_equal(statistics[1].min_ns, 125);
    assert_int_equal(statistics[1].max_ns, 1000);
}

static void note_sample(void *opaque, const struct scoring_sample *sample)
{
    struct scoring_sample *samples = opaque;
    uint32_t count = 0;
    while (samples[count].served)
        count++;
    assert_true(count < 3);
    samples[count] = *sample;
}

static void samples_and_latency_are_what_was_scored(void **state)
{
    struct scoring_sample samples[4] = {0};
    struct weir_histogram *latency = weir_calloc(1, sizeof *latency);
    (void)state;
    stage->scoring.on_sample = note_sample;
    stage->scoring.sample_every_ns = 60 * WEIR_NS_PER_SECOND;
    stage->scoring.opaque = samples;
    stage_put_value(stage, "wine", "v1", 3);
    struct instance *instance = stage_join(stage);
    stage_settle(stage);
    for (int i = 0; i < 3; i++)
        stage_put(stage, 1, "wine", i);
    weir_clock_virtual_advance_ms(&stage->clock, 40); /* on the way to us */
    stage_settle(stage);
    stage_put(stage, 1, "wine", 9); /* too soon for a sample */
    stage_settle(stage);
    assert_non_null(samples[0].served);
    assert_null(samples[1].served);
    assert_false(samples[0].is_label);
    assert_float_equal(samples[0].number, 5, 0); /* the block's last */
    assert_int_equal(samples[0].offset, 2);
    assert_int_equal(samples[0].partition, 1);
    weir_clock_virtual_advance_ms(&stage->clock, 60000);
    stage_put(stage, 0, "wine", 1);
    stage_settle(stage);
    assert_non_null(samples[1].served);
    weir_histogram_init(latency);
    scoring_latency(&instance->scoring, latency);
    /* Three of five took 40 ms; a bucket is a few per cent wide. */
    assert_true(weir_histogram_percentile(latency, 99) >= 38 * WEIR_NS_PER_MS);
    assert_true(weir_histogram_percentile(latency, 99) <= 45 * WEIR_NS_PER_MS);
    assert_true(weir_histogram_percentile(latency, 20) <= 2 * WEIR_NS_PER_MS);
    weir_free(latency);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_result_says_by_which_model_and_of_which_record, begin,
                                        end),
        cmocka_unit_test_setup_teardown(a_version_that_was_not_given_is_not_sent, begin, end),
        cmocka_unit_test_setup_teardown(results_are_the_models_own_scores, begin, end),
        cmocka_unit_test_setup_teardown(data_types_in_one_block_keep_the_order_of_rows, begin, end),
        cmocka_unit_test_setup_teardown(without_a_model_a_record_is_skipped_with_an_error_result,
                                        begin, end),
        cmocka_unit_test_setup_teardown(without_a_model_a_record_can_wait_for_one, begin, end),
        cmocka_unit_test_setup_teardown(without_a_model_a_record_can_become_a_dead_letter, begin,
                                        end),
        cmocka_unit_test_setup_teardown(an_undecodable_record_is_a_dead_letter_and_no_result, begin,
                                        end),
        cmocka_unit_test_setup_teardown(
            an_unscorable_record_has_an_error_result_that_names_the_field, begin, end),
        cmocka_unit_test_setup_teardown(a_swap_takes_effect_with_the_next_block, begin, end),
        cmocka_unit_test_setup_teardown(statistics_count_records_errors_and_time_by_version, begin,
                                        end),
        cmocka_unit_test_setup_teardown(samples_and_latency_are_what_was_scored, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
