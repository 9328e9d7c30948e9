/*
 * bench_pipeline - records through the whole server on each engine, beside a bare librdkafka
 * pass-through.
 *
 * usage: bench_pipeline [RECORDS]        (400,000 when nothing is said)
 *
 * All run in this process, on the same embedded broker, in the same run: consume from 64
 * partitions and produce as many records of the same size. The server decodes, scores with the
 * sample forest and encodes in between. They take turns; medians of the rounds are compared.
 */
#include <ftw.h>
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <weir/broker.h>

#include "base/clock.h"
#include "serving/server.h"

enum { PARTITIONS = 64, ROUNDS = 5, RESULT_BYTES = 128, BATCH = 1000 };

struct place {
    struct weir_broker *broker;
    struct weir_kafka *kafka;
    char directory[64];
    uint64_t records;
};

static void check(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "bench_pipeline: %s failed\n", what);
    exit(1);
}

static double seconds_since(int64_t start_ns)
{
    return (double)(weir_clock_now_ns(NULL) - start_ns) / 1e9;
}

static void pause_ms(long ms)
{
    const struct timespec time = {.tv_nsec = ms * 1000000};
    nanosleep(&time, NULL);
}

/* ---- the data -------------------------------------------------------------------------------- */

static struct weir_kafka_producer *open_producer(struct place *place)
{
    struct weir_kafka_producer_options options;
    struct weir_kafka_producer *producer;
    weir_kafka_producer_options_default(&options);
    check(weir_kafka_producer_new(place->kafka, &options, &producer, NULL) == WEIR_OK, "producer");
    return producer;
}

static void send_record(struct weir_kafka_producer *producer,
                        const struct weir_kafka_record *record)
{
    while (weir_kafka_produce(producer, record, NULL) == WEIR_AGAIN)
        weir_kafka_producer_poll(producer, 10);
}

static void send_records(struct place *place)
{
    uint8_t bytes[256];
    size_t count;
    struct weir_schema *schema;
    struct weir_block *block;
    struct weir_kafka_producer *producer = open_producer(place);
    check(weir_schema_wine(&schema) == WEIR_OK, "schema");
    check(weir_block_new(schema, 1, &block) == WEIR_OK, "block");
    for (uint64_t i = 0; i < place->records; i++) {
        check(weir_block_reset(block, 1) == WEIR_OK, "block");
        for (uint32_t column = 0; column < 11; column++)
            weir_block_set_double(block, column, 0,
                                  (double)((i * 2654435761u + column) % 997) / 50);
        check(weir_block_set_string(block, 11, 0, weir_slice("wine", 4)) == WEIR_OK, "block");
        check(weir_encode_protobuf(block, 0, bytes, sizeof bytes, &count) == WEIR_OK, "encode");
        send_record(producer, &(struct weir_kafka_record){.topic = "mdata",
                                                          .partition = (int32_t)(i % PARTITIONS),
                                                          .timestamp_ms = -1,
                                                          .value = weir_slice(bytes, count)});
    }
    check(weir_kafka_producer_flush(producer, 60000) == WEIR_OK, "flush");
    weir_kafka_producer_close(producer);
    weir_block_free(block);
    weir_schema_unref(schema);
}

static void send_model(struct place *place)
{
    static const char path[] = WEIR_BENCH_SOURCE_DIR "/samples/wine/models/wine-forest.pmml";
    FILE *file = fopen(path, "rb");
    check(file != NULL, path);
    char *text = malloc(1 << 20);
    size_t bytes = fread(text, 1, 1 << 20, file);
    fclose(file);
    struct weir_descriptor descriptor = {.name = weir_slice("forest", 6),
                                         .data_type = weir_slice("wine", 4),
                                         .model_type = WEIR_DESCRIPTOR_PMML,
                                         .data = weir_slice(text, bytes)};
    char *value = malloc(weir_descriptor_bytes(&descriptor));
    struct weir_kafka_producer *producer = open_producer(place);
    send_record(producer,
                &(struct weir_kafka_record){
                    .topic = "models",
                    .partition = 0,
                    .timestamp_ms = -1,
                    .key = weir_slice("wine/forest/1", 13),
                    .value = weir_slice(value, weir_descriptor_encode(&descriptor, value))});
    check(weir_kafka_producer_flush(producer, 10000) == WEIR_OK, "flush");
    weir_kafka_producer_close(producer);
    free(value);
    free(text);
}

/* ---- bare pass-through ----------------------------------------------------------------------- */

static rd_kafka_t *open_rdkafka(const struct place *place, rd_kafka_type_t type, const char *group)
{
    char text[512];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    const char *settings[][2] = {{"bootstrap.servers", weir_broker_address(place->broker)},
                                 {"queue.buffering.max.messages", "1000000"},
                                 {"queued.min.messages", "100000"},
                                 {"fetch.wait.max.ms", "10"},
                                 {"linger.ms", "5"},
                                 {"log_level", "3"},
                                 {"enable.auto.commit", "false"},
                                 {"group.id", group}};
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        rd_kafka_conf_set(conf, settings[i][0], settings[i][1], text, sizeof text);
    if (type == RD_KAFKA_PRODUCER)
        rd_kafka_conf_set(conf, "enable.idempotence", "true", text, sizeof text);
    rd_kafka_t *client = rd_kafka_new(type, conf, text, sizeof text);
    check(client != NULL, "rd_kafka_new");
    return client;
}

static double bare(struct place *place, const char *out)
{
    static char payload[RESULT_BYTES];
    static rd_kafka_message_t *messages[BATCH];
    rd_kafka_t *consumer = open_rdkafka(place, RD_KAFKA_CONSUMER, "bare");
    rd_kafka_t *producer = open_rdkafka(place, RD_KAFKA_PRODUCER, "bare");
    rd_kafka_topic_t *topic = rd_kafka_topic_new(producer, out, NULL);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(PARTITIONS);
    for (int32_t i = 0; i < PARTITIONS; i++)
        rd_kafka_topic_partition_list_add(list, "mdata", i)->offset = RD_KAFKA_OFFSET_BEGINNING;
    rd_kafka_poll_set_consumer(consumer);
    rd_kafka_assign(consumer, list);
    rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(consumer);
    int64_t start_ns = 0;
    for (uint64_t seen = 0; seen < place->records;) {
        ssize_t count = rd_kafka_consume_batch_queue(queue, 100, messages, BATCH);
        if (count > 0 && !start_ns)
            start_ns = weir_clock_now_ns(NULL);
        for (ssize_t i = 0; i < count; i++) {
            seen += !messages[i]->err;
            while (!messages[i]->err &&
                   rd_kafka_produce(topic, messages[i]->partition, RD_KAFKA_MSG_F_COPY, payload,
                                    sizeof payload, NULL, 0, NULL) != 0)
                rd_kafka_poll(producer, 5);
            rd_kafka_message_destroy(messages[i]);
        }
        rd_kafka_poll(producer, 0);
    }
    rd_kafka_flush(producer, 60000);
    double seconds = seconds_since(start_ns);
    rd_kafka_queue_destroy(queue);
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_topic_destroy(topic);
    rd_kafka_destroy(producer);
    rd_kafka_consumer_close(consumer);
    rd_kafka_destroy(consumer);
    return seconds;
}

/* ---- the server ------------------------------------------------------------------------------ */

static double serve(struct place *place, enum server_engine engine, const char *out,
                    const char *application)
{
    struct server_options options;
    struct server *server;
    struct server_totals totals;
    struct weir_error error;
    server_options_default(&options);
    options.engine = engine;
    options.kafka.bootstrap_servers = weir_broker_address(place->broker);
    options.streams.application_id = application;
    options.streams.linger_ms = 5;
    options.streams.partitions_expected = PARTITIONS;
    options.scores_topic = out;
    check(server_new(&options, &server, &error) == WEIR_OK, "server");
    int64_t start_ns = 0;
    do {
        check(server_tick(server, &error) == WEIR_OK, error.message);
        pause_ms(1);
        server_totals(server, &totals);
        if (totals.in && !start_ns)
            start_ns = weir_clock_now_ns(NULL);
    } while (totals.streams.records_delivered < place->records);
    double seconds = seconds_since(start_ns);
    check(totals.results == place->records, "every record has a score");
    server_stop(server);
    server_free(server);
    return seconds;
}

/* ---- rounds ---------------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

static double median(double *values)
{
    qsort(values, ROUNDS, sizeof *values, by_value);
    return values[ROUNDS / 2];
}

static void open_place(struct place *place)
{
    struct weir_broker_options broker;
    struct weir_kafka_options kafka;
    struct weir_error error = {.message = ""};
    snprintf(place->directory, sizeof place->directory, "/tmp/weir-bench-XXXXXX");
    check(mkdtemp(place->directory) != NULL, "mkdtemp");
    weir_broker_options_default(&broker);
    broker.listen = "127.0.0.1:0";
    broker.data_dir = place->directory;
    check(weir_broker_start(&broker, &place->broker, &error) == WEIR_OK, error.message);
    weir_kafka_options_default(&kafka);
    kafka.bootstrap_servers = weir_broker_address(place->broker);
    check(weir_kafka_new(&kafka, &place->kafka, &error) == WEIR_OK, error.message);
}

static void make_topic(struct place *place, const char *name, int32_t partitions)
{
    struct weir_kafka_topic topic = {.name = name, .partitions = partitions, .replication = -1};
    check(weir_kafka_topics_create(place->kafka, &topic, 1, 10000, NULL, NULL) == WEIR_OK, name);
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *where)
{
    (void)status;
    (void)kind;
    (void)where;
    return remove(path);
}

/* One way of a round: a bare pass-through, or a server. */
enum way { BARE, STREAMS, FLOW, WAYS };

static double go(struct place *place, enum way way, int round)
{
    static const char *const names[WAYS] = {"bare", "streams", "flow"};
    char out[32], application[32];
    snprintf(out, sizeof out, "%s-%d", names[way], round);
    snprintf(application, sizeof application, "bench-%s-%d", names[way], round);
    make_topic(place, out, PARTITIONS);
    return way == BARE ? bare(place, out)
                       : serve(place, way == STREAMS ? SERVER_STREAMS_MEMORY : SERVER_FLOW_CUSTOM,
                               out, application);
}

int main(int argc, char **argv)
{
    struct place place = {.records = argc > 1 ? strtoull(argv[1], NULL, 10) : 400000};
    double seconds[WAYS][ROUNDS], rate[WAYS];
    open_place(&place);
    make_topic(&place, "mdata", PARTITIONS);
    make_topic(&place, "models", 1);
    send_model(&place);
    send_records(&place);
    for (int i = 0; i < ROUNDS; i++) {
        for (int way = 0; way < WAYS; way++)
            seconds[way][i] = go(&place, (enum way)way, i);
        printf("round %d: bare %.0f records/s, streams %.0f, flow %.0f\n", i + 1,
               (double)place.records / seconds[BARE][i],
               (double)place.records / seconds[STREAMS][i],
               (double)place.records / seconds[FLOW][i]);
        fflush(stdout);
    }
    for (int way = 0; way < WAYS; way++)
        rate[way] = (double)place.records / median(seconds[way]);
    printf("median: bare %.0f, served %.0f records/s; ratio %.2f (target 0.80)\n", rate[BARE],
           rate[STREAMS], rate[STREAMS] / rate[BARE]);
    printf("        on the flow engine %.0f; ratio %.2f\n", rate[FLOW], rate[FLOW] / rate[BARE]);
    weir_kafka_free(place.kafka);
    weir_broker_stop(place.broker, NULL);
    nftw(place.directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return 0;
}
