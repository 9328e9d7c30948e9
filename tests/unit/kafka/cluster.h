/*
 * A Kafka cluster for a test: our own broker as a process where the program is built (WEIR_BIN),
 * else librdkafka's mock cluster. Which one it was is printed.
 *
 * The mock joins groups after 3 s, keeps 5 MB a partition, knows no CreateTopics: tests ask
 * `is_mock` before they rely on more.
 */
#ifndef WEIR_TEST_KAFKA_CLUSTER_H
#define WEIR_TEST_KAFKA_CLUSTER_H

#include <sys/types.h>

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include <weir/kafka.h>

struct cluster {
    bool is_mock;
    char address[256];
    char directory[64];
    pid_t pid;
    rd_kafka_t *rk;
    rd_kafka_mock_cluster_t *mock;
};

void cluster_start(struct cluster *cluster, bool want_mock);
void cluster_stop(struct cluster *cluster);
/* A topic of so many partitions. */
void cluster_topic(struct cluster *cluster, struct weir_kafka *kafka, const char *topic,
                   int32_t partitions);
struct weir_kafka *cluster_connect(const struct cluster *cluster);

int64_t now_ms(void);

#endif
