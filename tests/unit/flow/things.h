/* Elements that count themselves, and a materializer under a virtual clock. */
#ifndef TEST_FLOW_THINGS_H
#define TEST_FLOW_THINGS_H

#include <stdatomic.h>

#include <weir/flow.h>

#include "base/clock.h"

struct thing {
    _Atomic int owners;
    long value;
};

extern const struct weir_flow_kind thing_kind;
/* Things alive in the whole process. */
extern _Atomic long thing_count;

void *thing(long value);
long value_of(const void *element);
/* The value, and the end of the element. */
long take_value(void *element);

struct place {
    struct weir_clock_virtual clock;
    struct weir_flow_materializer *materializer;
    struct weir_flow_graph *graph;
    struct weir_flow_stream *stream;
};

/* seed 0: in order; else fuzzing. */
void place_open(struct place *place, uint64_t seed);
void place_open_threads(struct place *place, uint32_t threads);
void place_run(struct place *place);
/* Aborts what still runs, frees everything, and sees that nothing is left alive. */
void place_close(struct place *place);

/* 1, 2, ... last. */
struct weir_flow_outlet count_to(struct weir_flow_graph *graph, long last);
enum weir_err add_up(void *opaque, void *sum, void *element, void **out, struct weir_error *error);
enum weir_err twice(void *opaque, void *element, void **out, struct weir_error *error);

#endif
