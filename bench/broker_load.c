/*
 * broker_load - a client's load on any broker, measured from the client: bench/brokers runs it.
 *
 * usage: broker_load ADDRESS make TOPIC                              makes it, of one partition
 *        broker_load ADDRESS produce TOPIC RECORDS BYTES PRODUCERS   prints seconds
 *        broker_load ADDRESS consume TOPIC RECORDS                   prints seconds
 *        broker_load ADDRESS latency TOPIC PER_SECOND SECONDS        prints p50 p99 p99.9, in ms
 *        broker_load ADDRESS transactions TOPIC COUNT RECORDS        prints seconds
 *        broker_load ADDRESS ready TOPIC                             returns when it can be read
 *
 * Bare librdkafka, the same for both sides: acks=all, its own defaults for batches but for
 * linger.ms, which is 5 for rates and 0 for latency.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <librdkafka/rdkafka.h>

#include "base/clock.h"

enum { PRODUCERS_MAX = 64, VALUE_BYTES_MAX = 1 << 20 };

static const char *address;

static void stop_if(bool bad, const char *what)
{
    if (!bad)
        return;
    fprintf(stderr, "broker_load: %s\n", what);
    exit(1);
}

/* A record that did not get through would make the rate a lie. */
static void on_delivery(rd_kafka_t *producer, const rd_kafka_message_t *message, void *opaque)
{
    (void)producer;
    (void)opaque;
    stop_if(message->err != RD_KAFKA_RESP_ERR_NO_ERROR, rd_kafka_err2str(message->err));
}

/* Pairs of settings end with NULL. */
static rd_kafka_t *new_client(rd_kafka_type_t type, const char *const *pairs)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    char error[512];

    stop_if(rd_kafka_conf_set(conf, "bootstrap.servers", address, error, sizeof error) !=
                RD_KAFKA_CONF_OK,
            error);
    for (; *pairs != NULL; pairs += 2)
        stop_if(rd_kafka_conf_set(conf, pairs[0], pairs[1], error, sizeof error) !=
                    RD_KAFKA_CONF_OK,
                error);
    if (type == RD_KAFKA_PRODUCER)
        rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    rd_kafka_t *made = rd_kafka_new(type, conf, error, sizeof error);
    stop_if(made == NULL, error);
    return made;
}

/* ---- produce --------------------------------------------------------------------------------- */

struct share {
    const char *topic;
    long records;
    size_t bytes;
    pthread_barrier_t *ready;
    pthread_t thread;
};

static bool produce_one(rd_kafka_t *producer, const struct share *share, char *value)
{
    return rd_kafka_producev(
               producer, RD_KAFKA_V_TOPIC(share->topic), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
               RD_KAFKA_V_VALUE(value, share->bytes), RD_KAFKA_V_END) == RD_KAFKA_RESP_ERR_NO_ERROR;
}

static void flush(rd_kafka_t *producer)
{
    stop_if(rd_kafka_flush(producer, 120000) != RD_KAFKA_RESP_ERR_NO_ERROR, "records are left");
}

static void *produce_share(void *opaque)
{
    const struct share *share = opaque;
    rd_kafka_t *producer = new_client(
        RD_KAFKA_PRODUCER,
        (const char *const[]){"linger.ms", "5", "queue.buffering.max.messages", "1000000", NULL});
    char *value = malloc(share->bytes);

    stop_if(value == NULL, "no memory");
    for (size_t i = 0; i < share->bytes; i++)
        value[i] = (char)('a' + i * 7 % 26);
    /* The first one waits for the client to know the topic, up to a second: that is no rate. */
    stop_if(!produce_one(producer, share, value), "produce");
    flush(producer);
    pthread_barrier_wait(share->ready);
    for (long i = 1; i < share->records;) {
        bool taken = produce_one(producer, share, value);
        i += taken;
        rd_kafka_poll(producer, taken ? 0 : 10);
    }
    flush(producer);
    rd_kafka_destroy(producer);
    free(value);
    return NULL;
}

static void produce(const char *topic, long records, size_t bytes, int producers)
{
    struct share shares[PRODUCERS_MAX];
    pthread_barrier_t ready;
    int64_t start_ns;

    stop_if(producers < 1 || producers > PRODUCERS_MAX || bytes > VALUE_BYTES_MAX, "a number");
    pthread_barrier_init(&ready, NULL, (unsigned)producers + 1);
    for (int i = 0; i < producers; i++) {
        shares[i] = (struct share){topic, records / producers, bytes, &ready, 0};
        stop_if(pthread_create(&shares[i].thread, NULL, produce_share, &shares[i]) != 0, "thread");
    }
    pthread_barrier_wait(&ready);
    start_ns = weir_clock_now_ns(NULL);
    for (int i = 0; i < producers; i++)
        pthread_join(shares[i].thread, NULL);
    pthread_barrier_destroy(&ready);
    printf("%.6f\n", (double)(weir_clock_now_ns(NULL) - start_ns) / 1e9);
}

/* ---- consume --------------------------------------------------------------------------------- */

static rd_kafka_t *reader(const char *topic, int64_t offset, const char *wait_ms)
{
    rd_kafka_t *consumer = new_client(
        RD_KAFKA_CONSUMER, (const char *const[]){"group.id", "bench", "enable.auto.commit", "false",
                                                 "fetch.wait.max.ms", wait_ms, NULL});
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);

    rd_kafka_poll_set_consumer(consumer);
    rd_kafka_topic_partition_list_add(list, topic, 0)->offset = offset;
    stop_if(rd_kafka_assign(consumer, list) != RD_KAFKA_RESP_ERR_NO_ERROR, "assign");
    rd_kafka_topic_partition_list_destroy(list);
    return consumer;
}

static void end_reader(rd_kafka_t *consumer)
{
    rd_kafka_consumer_close(consumer);
    rd_kafka_destroy(consumer);
}

static void consume(const char *topic, long records)
{
    int64_t start_ns = weir_clock_now_ns(NULL);
    rd_kafka_t *consumer = reader(topic, 0, "500");
    rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(consumer);
    static rd_kafka_message_t *messages[1000];

    while (records > 0) {
        ssize_t count = rd_kafka_consume_batch_queue(queue, 60000, messages, 1000);
        stop_if(count <= 0, "nothing comes any more");
        for (ssize_t i = 0; i < count; i++) {
            records -= messages[i]->err == RD_KAFKA_RESP_ERR_NO_ERROR;
            rd_kafka_message_destroy(messages[i]);
        }
    }
    printf("%.6f\n", (double)(weir_clock_now_ns(NULL) - start_ns) / 1e9);
    rd_kafka_queue_destroy(queue);
    end_reader(consumer);
}

/* ---- latency --------------------------------------------------------------------------------- */

struct pace {
    const char *topic;
    long per_second, records;
};

/* The value is the time at which it is produced. */
static void *produce_at_pace(void *opaque)
{
    const struct pace *pace = opaque;
    rd_kafka_t *producer =
        new_client(RD_KAFKA_PRODUCER, (const char *const[]){"linger.ms", "0", NULL});
    int64_t start_ns = weir_clock_now_ns(NULL);

    for (long i = 0; i < pace->records; i++) {
        int64_t due_ns = start_ns + i * WEIR_NS_PER_SECOND / pace->per_second, now_ns;
        while ((now_ns = weir_clock_now_ns(NULL)) < due_ns)
            rd_kafka_poll(producer, due_ns - now_ns > WEIR_NS_PER_MS ? 1 : 0);
        stop_if(rd_kafka_producev(producer, RD_KAFKA_V_TOPIC(pace->topic),
                                  RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                                  RD_KAFKA_V_VALUE(&now_ns, sizeof now_ns),
                                  RD_KAFKA_V_END) != RD_KAFKA_RESP_ERR_NO_ERROR,
                "produce");
    }
    rd_kafka_flush(producer, 10000);
    rd_kafka_destroy(producer);
    return NULL;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void latency(const char *topic, long per_second, long seconds)
{
    struct pace pace = {topic, per_second, per_second * seconds};
    stop_if(per_second < 1 || seconds < 1, "a number");
    double *took_ms = malloc((size_t)pace.records * sizeof *took_ms);
    rd_kafka_t *consumer = reader(topic, RD_KAFKA_OFFSET_END, "500");
    rd_kafka_message_t *message;
    pthread_t thread;
    long count = 0, skip = per_second / 2; /* the first half second: connections, first fetches */

    stop_if(took_ms == NULL, "no memory");
    /* The end must be known before the first record comes. */
    message = rd_kafka_consumer_poll(consumer, 1500);
    if (message != NULL)
        rd_kafka_message_destroy(message);
    stop_if(pthread_create(&thread, NULL, produce_at_pace, &pace) != 0, "thread");
    while (count < pace.records && (message = rd_kafka_consumer_poll(consumer, 10000)) != NULL) {
        int64_t sent_ns;
        if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR && message->len == sizeof sent_ns) {
            memcpy(&sent_ns, message->payload, sizeof sent_ns);
            took_ms[count++] = (double)(weir_clock_now_ns(NULL) - sent_ns) / 1e6;
        }
        rd_kafka_message_destroy(message);
    }
    pthread_join(thread, NULL);
    stop_if(count <= skip, "no records came");
    qsort(took_ms + skip, (size_t)(count - skip), sizeof *took_ms, compare);
    for (int i = 0; i < 3; i++)
        printf("%.3f%s",
               took_ms[skip + (long)((double)(count - skip - 1) * (double[]){0.5, 0.99, 0.999}[i])],
               i < 2 ? " " : "\n");
    free(took_ms);
    end_reader(consumer);
}

/* ---- transactions ---------------------------------------------------------------------------- */

static void transaction(rd_kafka_t *producer, const char *topic, long records)
{
    char value[100];

    memset(value, 'v', sizeof value);
    stop_if(rd_kafka_begin_transaction(producer) != NULL, "begin");
    for (long i = 0; i < records; i++)
        stop_if(rd_kafka_producev(producer, RD_KAFKA_V_TOPIC(topic),
                                  RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                                  RD_KAFKA_V_VALUE(value, sizeof value),
                                  RD_KAFKA_V_END) != RD_KAFKA_RESP_ERR_NO_ERROR,
                "produce");
    stop_if(rd_kafka_commit_transaction(producer, 60000) != NULL, "commit");
}

static void transactions(const char *topic, long count, long records)
{
    rd_kafka_t *producer =
        new_client(RD_KAFKA_PRODUCER,
                   (const char *const[]){"transactional.id", "bench", "linger.ms", "0", NULL});

    stop_if(rd_kafka_init_transactions(producer, 60000) != NULL, "init_transactions");
    transaction(producer, topic, 1); /* the client gets to know the topic */
    int64_t start_ns = weir_clock_now_ns(NULL);
    for (long i = 0; i < count; i++)
        transaction(producer, topic, records);
    printf("%.6f\n", (double)(weir_clock_now_ns(NULL) - start_ns) / 1e9);
    rd_kafka_destroy(producer);
}

static void make(const char *topic)
{
    char error[512];
    rd_kafka_t *producer = new_client(RD_KAFKA_PRODUCER, (const char *const[]){NULL});
    rd_kafka_NewTopic_t *new_topic = rd_kafka_NewTopic_new(topic, 1, 1, error, sizeof error);
    stop_if(new_topic == NULL, error);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(producer);
    rd_kafka_CreateTopics(producer, &new_topic, 1, NULL, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, 30000);
    size_t count = 0;
    stop_if(event == NULL || rd_kafka_event_error(event) != RD_KAFKA_RESP_ERR_NO_ERROR,
            "no answer");
    const rd_kafka_topic_result_t **results =
        rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &count);
    stop_if(count != 1 || rd_kafka_topic_result_error(results[0]) != RD_KAFKA_RESP_ERR_NO_ERROR,
            "the topic could not be made");
    rd_kafka_event_destroy(event);
    rd_kafka_queue_destroy(queue);
    rd_kafka_NewTopic_destroy(new_topic);
    rd_kafka_destroy(producer);
}

static void ready(const char *topic)
{
    rd_kafka_t *consumer =
        new_client(RD_KAFKA_CONSUMER, (const char *const[]){"reconnect.backoff.ms", "5",
                                                            "reconnect.backoff.max.ms", "5", NULL});
    int64_t low, high, give_up_ns = weir_clock_now_ns(NULL) + 120 * WEIR_NS_PER_SECOND;

    while (rd_kafka_query_watermark_offsets(consumer, topic, 0, &low, &high, 1000) !=
           RD_KAFKA_RESP_ERR_NO_ERROR)
        stop_if(weir_clock_now_ns(NULL) > give_up_ns, "the broker does not answer");
    rd_kafka_destroy(consumer);
}

int main(int argc, char **argv)
{
    stop_if(argc < 4, "see the head of bench/broker_load.c");
    address = argv[1];
    const char *verb = argv[2], *topic = argv[3];
    long numbers[3] = {0};
    for (int i = 4; i < argc && i < 7; i++)
        numbers[i - 4] = strtol(argv[i], NULL, 10);
    if (strcmp(verb, "make") == 0)
        make(topic);
    else if (strcmp(verb, "produce") == 0)
        produce(topic, numbers[0], (size_t)numbers[1], (int)numbers[2]);
    else if (strcmp(verb, "consume") == 0)
        consume(topic, numbers[0]);
    else if (strcmp(verb, "latency") == 0)
        latency(topic, numbers[0], numbers[1]);
    else if (strcmp(verb, "transactions") == 0)
        transactions(topic, numbers[0], numbers[1]);
    else if (strcmp(verb, "ready") == 0)
        ready(topic);
    else
        stop_if(true, "no such verb");
    return 0;
}
