/* A broker in a folder of its own, and librdkafka as its client. */
#ifndef WEIR_TESTS_BROKER_PLACE_H
#define WEIR_TESTS_BROKER_PLACE_H

#include "cmocka_all.h"

#include <librdkafka/rdkafka.h>
#include <weir/broker.h>

enum { WAIT_MS = 20000 }; /* for what must come: a limit, never a pause */

struct place {
    char dir[64];
    struct weir_broker_options options;
    struct weir_broker *broker; /* NULL: not running */
};

/* A new folder; options for a free port on the loopback. */
void place_init(struct place *place);
void place_start(struct place *place);
void place_stop(struct place *place); /* asserts that all went well */
/* Stops what runs and removes the folder. */
void place_release(struct place *place);
const char *place_address(const struct place *place);

/* Pairs of librdkafka's settings end with NULL. */
rd_kafka_t *rd_producer(const char *address, ...);
rd_kafka_t *rd_consumer(const char *address, const char *group, ...);
void rd_end(rd_kafka_t *client); /* flushes, closes, destroys */

/* Produces "<prefix><i>" with key "k<i>" for i = from .. to-1 and waits for every report; gives how
 * many were delivered. partition -1 = by key. */
int rd_put(rd_kafka_t *producer, const char *topic, int32_t partition, const char *prefix, int from,
           int to);
/* Assigns one partition from an offset and reads `count` messages that must be "<prefix><i>" from
 * `from` on. */
void rd_expect(rd_kafka_t *consumer, const char *topic, int32_t partition, int64_t offset,
               const char *prefix, int from, int count);
void rd_subscribe(rd_kafka_t *consumer, const char *topic);
/* Makes a topic; pairs of settings end with NULL. Gives the topic's error. */
rd_kafka_resp_err_t rd_make_topic(rd_kafka_t *client, const char *topic, int partitions, ...);

int64_t now_ms(void);

#endif
