/*
 * A cluster in memory with the topics in (3 partitions) and out, and streams of its sources.
 *
 * Life:    station_open -> streams -> station_close, which sees that nothing is left.
 * Threads: one; station_open_threads: real time, two threads, readers with threads of their own.
 * Memory:  the station's.
 * Errors:  asserted.
 */
#ifndef TEST_CONNECT_STATION_H
#define TEST_CONNECT_STATION_H

#include "cmocka_all.h"

#include <weir/connect.h>

#include "base/clock.h"
#include "kafka/fake/fake.h"

enum { PARTITIONS = 3 };

struct station {
    struct weir_clock_virtual clock;
    struct weir_kafka *kafka;
    struct weir_flow_materializer *materializer;
};

/* seed 0: in order; else fuzzing. */
void station_open(struct station *station, uint64_t seed, int32_t delivery_delay_ms);
void station_open_threads(struct station *station);
void station_close(struct station *station);
/* `count` more records into each partition, whose values are their offsets as text. */
void station_put(struct station *station, int32_t count);
int64_t station_committed(struct station *station, int32_t partition);
/* Sum over the partitions, those without a commit as 0. */
int64_t station_committed_sum(struct station *station);
/* Runs and moves the clock for so long. */
void station_run_ms(struct station *station, int64_t ms);
void station_options(struct station *station, struct weir_connect_source_options *options);

/* One stream: open adds the source, the test adds the rest, start runs it. */
struct line {
    struct station *station;
    struct weir_flow_graph *graph;
    struct weir_flow_stream *stream;
    struct weir_flow_outlet source;
};
void line_open(struct line *line, struct station *station,
               const struct weir_connect_source_options *options);
void line_start(struct line *line);
void line_stop(struct line *line);
/* It has ended, now or within 30 s. */
void line_wait(struct line *line);
/* Aborts it unless it has ended, and frees all. */
void line_close(struct line *line);

#endif
