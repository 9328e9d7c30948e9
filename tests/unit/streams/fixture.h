/*
 * A cluster in memory under a virtual clock, and instances of the engine stepped by hand.
 *
 * Life:    fixture_init -> instance_open ... -> instance_close or instance_kill -> fixture_release.
 * Threads: one.
 * Memory:  the fixture's; topologies are taken by instance_open.
 * Errors:  asserted.
 */
#ifndef STREAMS_FIXTURE_H
#define STREAMS_FIXTURE_H

#include "cmocka_all.h"
#include "kafka/fake/fake.h"
#include "streams/inside.h"

/* Topics of a source that has one. */
#define TOPIC(name) ((const char *const[]){name}), 1

enum { INSTANCES_MAX = 4, PARTITIONS_MAX = 8 };

struct fixture {
    struct weir_clock_virtual clock;
    struct weir_kafka *kafka;
    struct weir_streams_options options;
};

/* Topics in, more and out with so many partitions, dead with one. */
void fixture_init(struct fixture *fixture, int32_t partitions, int32_t delivery_delay_ms,
                  int32_t rebalance_ms);
void fixture_release(struct fixture *fixture);
/* Puts a record with key and value of one text on topic in. Gives its offset. */
int64_t fixture_put(struct fixture *fixture, int32_t partition, const char *text);
int64_t fixture_put_on(struct fixture *fixture, const char *topic, int32_t partition,
                       const char *text);
void fixture_fail(struct fixture *fixture, enum weir_kafka_fake_call call, const char *topic,
                  uint32_t skip, uint32_t count, enum weir_err err, bool fatal);
int64_t fixture_committed(struct fixture *fixture, int32_t partition);
int64_t fixture_committed_of(struct fixture *fixture, const char *topic, int32_t partition);
/* Records of a partition of a topic from the beginning. */
uint32_t fixture_count(struct fixture *fixture, const char *topic, int32_t partition);
/* How often a value stands in a partition of a topic. */
uint32_t fixture_count_value(struct fixture *fixture, const char *topic, int32_t partition,
                             const char *value);

/* A new empty directory, borrowed until the next one; and away with it. */
const char *fixture_state_dir(void);
void fixture_state_remove(const char *path);

/* What the processor between source and sink does. */
struct behaviour {
    uint32_t refuse;   /* so many calls say AGAIN */
    int64_t fail_at;   /* a block with this offset fails; -1 = none */
    uint32_t failures; /* so many times */
    uint32_t calls, opened, closed;
    bool one_by_one;                  /* records, not blocks */
    bool keeps;                       /* forwards at the next flush only */
    bool two;                         /* sources: topic more, too */
    bool ticks;                       /* has a punctuator that does nothing, every 10 ms */
    int64_t refuse_offset;            /* one_by_one: where `refuse` applies */
    struct weir_clock_virtual *clock; /* NULL, or what each call moves */
    int64_t takes_ms;
};

/* source data (in), and source more (more) -> copy -> sink out (out). */
struct weir_topology *copy_topology(struct behaviour *behaviour);

/* An instance on the fixture's clock, its stream thread opened. */
struct weir_streams *instance_open(struct fixture *fixture, struct weir_topology *topology);
/* One round; gives what thread_step gave. */
enum weir_err instance_step(struct weir_streams *streams, struct weir_error *error);
/* Steps and small advances of the clock until nothing is left to read and to deliver. */
void instance_settle(struct fixture *fixture, struct weir_streams *streams);
/* In order, with drain. */
void instance_close(struct weir_streams *streams);
/* As if it had died: nothing is committed, what was not delivered never is. */
void instance_kill(struct fixture *fixture, struct weir_streams *streams);

#endif
