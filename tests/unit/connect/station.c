/* A cluster in memory and streams of its sources: station.h. */
#include "station.h"

#include <stdio.h>

static const char *const topics[] = {"in"};

static void open_cluster(struct station *station, int32_t delivery_delay_ms, bool threads)
{
    struct weir_kafka_fake_options options;

    weir_kafka_fake_options_default(&options);
    options.clock = threads ? NULL : &station->clock.clock;
    options.delivery_delay_ms = delivery_delay_ms;
    assert_int_equal(weir_kafka_fake_new(&options, &station->kafka, NULL), WEIR_OK);
    assert_int_equal(weir_kafka_fake_topic(station->kafka, "in", PARTITIONS), WEIR_OK);
    assert_int_equal(weir_kafka_fake_topic(station->kafka, "out", 1), WEIR_OK);
}

void station_open(struct station *station, uint64_t seed, int32_t delivery_delay_ms)
{
    struct weir_flow_materializer_options options;

    weir_clock_virtual_init(&station->clock, 0);
    open_cluster(station, delivery_delay_ms, false);
    weir_flow_materializer_options_default(&options);
    options.threads = 0;
    options.clock = &station->clock.clock;
    options.fuzzing = seed != 0;
    options.seed = seed;
    assert_int_equal(weir_flow_materializer_new(&options, &station->materializer, NULL), WEIR_OK);
}

void station_open_threads(struct station *station)
{
    open_cluster(station, 0, true);
    assert_int_equal(weir_flow_materializer_new(NULL, &station->materializer, NULL), WEIR_OK);
}

void station_close(struct station *station)
{
    weir_flow_materializer_free(station->materializer);
    weir_kafka_free(station->kafka);
}

void station_put(struct station *station, int32_t count)
{
    for (int32_t i = 0; i < count * PARTITIONS; i++) {
        char text[24];
        const struct weir_kafka_record record = {
            .topic = "in",
            .partition = i % PARTITIONS,
            .timestamp_ms = 1,
            .value = weir_slice(text, (size_t)snprintf(text, sizeof text, "%d", i / PARTITIONS))};
        assert_int_equal(weir_kafka_fake_append(station->kafka, &record, NULL, NULL), WEIR_OK);
    }
}

int64_t station_committed(struct station *station, int32_t partition)
{
    return weir_kafka_fake_committed(station->kafka, "group", "in", partition);
}

int64_t station_committed_sum(struct station *station)
{
    int64_t sum = 0;

    for (int32_t partition = 0; partition < PARTITIONS; partition++) {
        int64_t committed = station_committed(station, partition);
        sum += committed > 0 ? committed : 0;
    }
    return sum;
}

void station_run_ms(struct station *station, int64_t ms)
{
    weir_flow_materializer_run(station->materializer);
    for (; ms > 0; ms -= 5) {
        weir_clock_virtual_advance_ms(&station->clock, 5);
        weir_flow_materializer_run(station->materializer);
    }
}

void station_options(struct station *station, struct weir_connect_source_options *options)
{
    weir_connect_source_options_default(options);
    options->kafka = station->kafka;
    options->consumer.group_id = "group";
    options->consumer.topics = topics;
    options->consumer.topic_count = 1;
    options->thread = false;
}

void line_open(struct line *line, struct station *station,
               const struct weir_connect_source_options *options)
{
    *line = (struct line){.station = station};
    assert_int_equal(weir_flow_graph_new(&line->graph), WEIR_OK);
    line->source = weir_connect_source(line->graph, options);
}

void line_start(struct line *line)
{
    struct weir_error error = {.message = ""};
    enum weir_err err =
        weir_flow_run(line->graph, line->station->materializer, &line->stream, &error);

    if (err != WEIR_OK)
        fail_msg("%s: %s", weir_err_name(err), error.message);
}

void line_stop(struct line *line)
{
    weir_connect_stop(weir_flow_stream_value(line->stream, line->source.stage));
}

void line_wait(struct line *line)
{
    assert_int_equal(weir_flow_stream_wait(line->stream, 30000), WEIR_OK);
}

void line_close(struct line *line)
{
    if (line->stream != NULL) {
        weir_flow_stream_abort(line->stream);
        line_wait(line);
        weir_flow_stream_free(line->stream);
    }
    weir_flow_graph_free(line->graph);
}
