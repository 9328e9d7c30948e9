/*
 * Counts the words of a topic, and writes each new count to another: Kafka Streams' first example.
 *
 * usage: example_word_count BROKERS [STATE_DIR]
 *
 * Reads topic "lines", writes topic "counts" (word -> count, 8 bytes big-endian). With STATE_DIR
 * the counts lie on disk, too, and are there at once at the next start. Ctrl-C ends it in order.
 */
#include <ctype.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include <weir/streams_dsl.h>

/* ---- what is done to a record ---------------------------------------------------------------- */

/* Forwards each word of the line. */
static enum weir_err split(void *config, struct weir_context *context,
                           const struct weir_record *line, struct weir_error *error)
{
    const char *at = line->value.bytes.data, *end = at + line->value.bytes.bytes;
    enum weir_err err = WEIR_OK;
    (void)config;
    while (at < end && err == WEIR_OK) {
        const char *word = at;
        while (at < end && !isspace((unsigned char)*at))
            at++;
        if (at > word)
            err = weir_context_forward_value(
                context, weir_value_bytes(weir_slice(word, (size_t)(at - word))), error);
        at++;
    }
    return err;
}

static enum weir_err word_as_key(void *config, struct weir_context *context,
                                 struct weir_record *record, struct weir_error *error)
{
    (void)config;
    (void)context;
    (void)error;
    record->key = record->value;
    return WEIR_OK;
}

/* ---- the topology ---------------------------------------------------------------------------- */

static const struct weir_with text = {.key = &weir_serde_string, .value = &weir_serde_string};

static void count_words(struct weir_builder *builder)
{
    struct weir_materialized store;
    weir_materialized_default(&store);
    store.name = "word-counts";

    struct weir_stream *lines = weir_builder_stream(builder, "lines", &text);
    struct weir_stream *words = weir_stream_flat_map_values(lines, split, NULL, NULL);
    struct weir_grouped *by_word = weir_stream_group_by(words, word_as_key, NULL, &text);
    struct weir_table *counts = weir_grouped_count(by_word, &store, NULL);
    weir_stream_to(weir_table_to_stream(counts, NULL), "counts", NULL);
}

/* ---- running it ------------------------------------------------------------------------------ */

static int fail(const struct weir_error *error)
{
    fprintf(stderr, "word_count: %s\n", error->message);
    return 1;
}

static int run(struct weir_kafka *kafka, const char *state_dir)
{
    struct weir_streams_options options;
    struct weir_builder *builder = weir_builder_new();
    struct weir_topology *topology;
    struct weir_streams *streams;
    struct weir_error error;
    sigset_t signals;
    int number;

    if (builder == NULL)
        return 1;
    if (state_dir != NULL)
        weir_builder_set_engine(builder, weir_store_persistent());
    count_words(builder);
    if (weir_builder_build(builder, &topology, &error) != WEIR_OK)
        return fail(&error);
    weir_streams_options_default(&options);
    options.application_id = "word-count";
    options.state_dir = state_dir;
    options.commit_interval_ms = 1000; /* how often new counts are told */
    if (weir_streams_new(topology, kafka, &options, &streams, &error) != WEIR_OK)
        return fail(&error);

    sigemptyset(&signals); /* before the threads start, which inherit it */
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    if (weir_streams_start(streams, &error) != WEIR_OK)
        return fail(&error);
    const struct timespec moment = {.tv_nsec = 100 * 1000000};
    do
        number = sigtimedwait(&signals, NULL, &moment);
    while (number < 0 && weir_streams_state(streams) != WEIR_STREAMS_ERROR);
    enum weir_err err = weir_streams_stop(streams);
    weir_streams_failure(streams, &error);
    weir_streams_free(streams);
    return err == WEIR_OK && error.code == WEIR_OK ? 0 : fail(&error);
}

int main(int argc, char **argv)
{
    struct weir_kafka_options options;
    struct weir_kafka *kafka;
    struct weir_error error;

    if (argc < 2 || argc > 3) {
        fprintf(stderr, "usage: %s BROKERS [STATE_DIR]\n", argv[0]);
        return 2;
    }
    weir_kafka_options_default(&options);
    options.bootstrap_servers = argv[1];
    if (weir_kafka_new(&options, &kafka, &error) != WEIR_OK)
        return fail(&error);
    int status = run(kafka, argc > 2 ? argv[2] : NULL);
    weir_kafka_free(kafka);
    return status;
}
