/*
 * Pass-through: consume a topic and produce every record to another, once through bare librdkafka
 * (consume_batch_queue -> produce) and once through weir/kafka.h, on our broker in this process.
 * Prints the median rate of each and their ratio.
 *
 *      bench_kafka [records] [repeats] [partitions]      default 1000000 5 8
 */
#include <ftw.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <librdkafka/rdkafka.h>

#include <weir/broker.h>
#include <weir/kafka.h>

#include "base/assert.h"
#include "base/clock.h"

enum { VALUE_BYTES = 100, BATCH = 1024, REPEATS_MAX = 99, WAIT_S = 120 };

struct bench {
    const char *address;
    struct weir_kafka *kafka;
    uint32_t records, repeats;
    int32_t partitions;
};

struct result {
    double rate, cpu_us; /* records a second; processor time a record, broker included */
};

static double cpu_seconds(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void need(bool ok, const char *what, const struct weir_error *error)
{
    if (ok)
        return;
    fprintf(stderr, "bench_kafka: %s: %s\n", what, error != NULL ? error->message : "");
    exit(1);
}

static void make_topic(struct bench *bench, const char *name)
{
    const struct weir_kafka_topic topic = {
        .name = name, .partitions = bench->partitions, .replication = -1};
    struct weir_error error = {0};
    need(weir_kafka_topics_create(bench->kafka, &topic, 1, 10000, NULL, &error) == WEIR_OK, name,
         &error);
}

static void fill(struct bench *bench, const char *topic)
{
    struct weir_kafka_producer_options options;
    weir_kafka_producer_options_default(&options);
    struct weir_kafka_producer *producer;
    struct weir_error error = {0};
    need(weir_kafka_producer_new(bench->kafka, &options, &producer, &error) == WEIR_OK, "producer",
         &error);
    char value[VALUE_BYTES];
    memset(value, 'x', sizeof(value));
    for (uint32_t i = 0; i < bench->records;) {
        struct weir_kafka_record record = {.topic = topic,
                                           .timestamp_ms = -1,
                                           .partition = (int32_t)i % bench->partitions,
                                           .value = weir_slice(value, sizeof(value))};
        enum weir_err err = weir_kafka_produce(producer, &record, &error);
        need(err == WEIR_OK || err == WEIR_AGAIN, "produce", &error);
        if (err == WEIR_OK)
            i++;
        else
            weir_kafka_producer_poll(producer, 10);
    }
    need(weir_kafka_producer_flush(producer, WAIT_S * 1000) == WEIR_OK, "flush", NULL);
    weir_kafka_producer_close(producer);
}

/* ---- bare librdkafka ------------------------------------------------------------------------- */

static void bare_set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
    char text[256];
    need(rd_kafka_conf_set(conf, name, value, text, sizeof(text)) == RD_KAFKA_CONF_OK, text, NULL);
}

static void bare_delivered(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque)
{
    (void)rk;
    if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR)
        (*(uint32_t *)opaque)++;
}

static rd_kafka_t *bare_client(struct bench *bench, rd_kafka_type_t type, const char *group,
                               uint32_t *delivered)
{
    char text[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    bare_set(conf, "bootstrap.servers", bench->address);
    if (type == RD_KAFKA_CONSUMER) {
        bare_set(conf, "group.id", group);
        bare_set(conf, "enable.auto.commit", "false");
        bare_set(conf, "auto.offset.reset", "earliest");
        bare_set(conf, "fetch.wait.max.ms", "50");
        /* One queue for all partitions: enough that it never stands still for a full queue. */
        bare_set(conf, "queued.min.messages", "1000000");
        bare_set(conf, "queued.max.messages.kbytes", "262144");
    } else {
        bare_set(conf, "enable.idempotence", "true");
        bare_set(conf, "linger.ms", "5");
        bare_set(conf, "queue.buffering.max.messages", "262144");
        rd_kafka_conf_set_dr_msg_cb(conf, bare_delivered);
        rd_kafka_conf_set_opaque(conf, delivered);
    }
    rd_kafka_t *rk = rd_kafka_new(type, conf, text, sizeof(text));
    need(rk != NULL, text, NULL);
    return rk;
}

static void bare_pass(struct bench *bench, const char *from, const char *to, const char *group)
{
    uint32_t delivered = 0, taken = 0;
    rd_kafka_t *consumer = bare_client(bench, RD_KAFKA_CONSUMER, group, NULL);
    rd_kafka_t *producer = bare_client(bench, RD_KAFKA_PRODUCER, NULL, &delivered);
    rd_kafka_topic_t *topic = rd_kafka_topic_new(producer, to, NULL);
    rd_kafka_poll_set_consumer(consumer);
    rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(topics, from, RD_KAFKA_PARTITION_UA);
    rd_kafka_subscribe(consumer, topics);
    rd_kafka_topic_partition_list_destroy(topics);
    rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(consumer);
    static rd_kafka_message_t *messages[BATCH];
    while (taken < bench->records) {
        ssize_t got = rd_kafka_consume_batch_queue(queue, 100, messages, BATCH);
        for (ssize_t i = 0; i < got; i++) {
            rd_kafka_message_t *message = messages[i];
            if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
                while (rd_kafka_produce(topic, message->partition, RD_KAFKA_MSG_F_COPY,
                                        message->payload, message->len, message->key,
                                        message->key_len, NULL) != 0)
                    rd_kafka_poll(producer, 10);
                taken++;
            }
            rd_kafka_message_destroy(message);
        }
        rd_kafka_poll(producer, 0);
    }
    rd_kafka_flush(producer, WAIT_S * 1000);
    need(delivered == bench->records, "bare: not all delivered", NULL);
    rd_kafka_topic_destroy(topic);
    rd_kafka_destroy(producer);
    rd_kafka_queue_destroy(queue);
    rd_kafka_consumer_close(consumer);
    rd_kafka_destroy(consumer);
}

/* ---- weir/kafka.h ---------------------------------------------------------------------------- */

static void weir_delivered(void *opaque, void *record_opaque, int32_t partition, int64_t offset,
                           const struct weir_error *error)
{
    (void)record_opaque;
    (void)partition;
    (void)offset;
    if (error == NULL)
        (*(uint32_t *)opaque)++;
}

static void weir_pass(struct bench *bench, const char *from, const char *to, const char *group)
{
    uint32_t delivered = 0, taken = 0;
    struct weir_error error = {0};
    struct weir_kafka_producer_options producing;
    weir_kafka_producer_options_default(&producing);
    producing.delivered = weir_delivered;
    producing.opaque = &delivered;
    struct weir_kafka_producer *producer;
    need(weir_kafka_producer_new(bench->kafka, &producing, &producer, &error) == WEIR_OK,
         "producer", &error);
    struct weir_kafka_consumer_options consuming;
    weir_kafka_consumer_options_default(&consuming);
    consuming.group_id = group;
    consuming.topics = &from;
    consuming.topic_count = 1;
    struct weir_kafka_consumer *consumer;
    need(weir_kafka_consumer_new(bench->kafka, &consuming, &consumer, &error) == WEIR_OK,
         "consumer", &error);
    while (taken < bench->records) {
        struct weir_kafka_batch batch;
        enum weir_err err = weir_kafka_poll(consumer, BATCH, 100, NULL, NULL, &batch, &error);
        need(err == WEIR_OK || err == WEIR_AGAIN, "poll", &error);
        for (uint32_t first = 0; first < batch.count;) {
            uint32_t accepted;
            err = weir_kafka_produce_rows(producer, to, batch.rows.partition, &batch.rows, first,
                                          batch.count, NULL, &accepted, &error);
            need(err == WEIR_OK || err == WEIR_AGAIN, "produce", &error);
            first += accepted;
            if (err == WEIR_AGAIN)
                weir_kafka_producer_poll(producer, 10);
        }
        taken += batch.count;
        weir_kafka_batch_release(&batch);
        weir_kafka_producer_poll(producer, 0);
    }
    need(weir_kafka_producer_flush(producer, WAIT_S * 1000) == WEIR_OK, "flush", NULL);
    need(delivered == bench->records, "not all delivered", NULL);
    weir_kafka_producer_close(producer);
    weir_kafka_consumer_close(consumer, 5000);
}

/* ---- measuring ------------------------------------------------------------------------------- */

static struct result measure(struct bench *bench, bool bare, uint32_t run)
{
    char to[32], group[48];
    snprintf(to, sizeof(to), "%s-%u", bare ? "bare" : "weir", run);
    snprintf(group, sizeof(group), "group-%s", to);
    make_topic(bench, to);
    int64_t start_ns = weir_clock_now_ns(NULL);
    double cpu = cpu_seconds();
    (bare ? bare_pass : weir_pass)(bench, "from", to, group);
    double seconds = (double)(weir_clock_now_ns(NULL) - start_ns) / 1e9;
    return (struct result){bench->records / seconds, (cpu_seconds() - cpu) * 1e6 / bench->records};
}

static int compare(const void *a, const void *b)
{
    double left = ((const struct result *)a)->rate, right = ((const struct result *)b)->rate;
    return (left > right) - (left < right);
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *at)
{
    (void)status;
    (void)type;
    (void)at;
    return remove(path);
}

int main(int argc, char **argv)
{
    struct bench bench = {.records = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 1000000,
                          .repeats = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 5,
                          .partitions = argc > 3 ? (int32_t)strtol(argv[3], NULL, 10) : 8};
    need(bench.records > 0 && bench.repeats > 0 && bench.repeats <= REPEATS_MAX &&
             bench.partitions > 0,
         "usage: bench_kafka [records] [repeats] [partitions]", NULL);
    char directory[] = "/tmp/weir-bench-XXXXXX";
    need(mkdtemp(directory) != NULL, "mkdtemp", NULL);
    struct weir_broker_options broker_options;
    weir_broker_options_default(&broker_options);
    broker_options.listen = "127.0.0.1:0";
    broker_options.data_dir = directory;
    struct weir_broker *broker;
    struct weir_error error = {0};
    need(weir_broker_start(&broker_options, &broker, &error) == WEIR_OK, "broker", &error);
    bench.address = weir_broker_address(broker);
    struct weir_kafka_options options;
    weir_kafka_options_default(&options);
    options.bootstrap_servers = bench.address;
    need(weir_kafka_new(&options, &bench.kafka, &error) == WEIR_OK, "kafka", &error);
    make_topic(&bench, "from");
    fill(&bench, "from");
    struct result bare[REPEATS_MAX] = {0}, ours[REPEATS_MAX] = {0};
    for (uint32_t i = 0; i < bench.repeats; i++) {
        bare[i] = measure(&bench, true, i);
        ours[i] = measure(&bench, false, i);
    }
    qsort(bare, bench.repeats, sizeof(bare[0]), compare);
    qsort(ours, bench.repeats, sizeof(ours[0]), compare);
    const struct result *b = &bare[bench.repeats / 2], *o = &ours[bench.repeats / 2];
    printf("pass-through, %u records of %d bytes, %d partitions, median of %u\n", bench.records,
           VALUE_BYTES, bench.partitions, bench.repeats);
    printf("  bare librdkafka  %6.3f M/s (%.3f .. %.3f)  %.2f us processor, broker included\n",
           b->rate / 1e6, bare[0].rate / 1e6, bare[bench.repeats - 1].rate / 1e6, b->cpu_us);
    printf("  weir/kafka.h     %6.3f M/s (%.3f .. %.3f)  %.2f us processor, broker included\n",
           o->rate / 1e6, ours[0].rate / 1e6, ours[bench.repeats - 1].rate / 1e6, o->cpu_us);
    printf("  ratio            %6.2f (target 0.95)\n", o->rate / b->rate);
    weir_kafka_free(bench.kafka);
    need(weir_broker_stop(broker, &error) == WEIR_OK, "stop", &error);
    nftw(directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return 0;
}
