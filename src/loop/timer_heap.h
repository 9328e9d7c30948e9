/*
 * loop/timer_heap.h - the started timers of a loop, earliest first.
 *
 * What:    a binary heap of pointers to weir_loop_timer, ordered by (due_ns, sequence). A timer
 *          knows its place (heap_index), so that it is moved or removed in O(log n).
 * Life:    zeroed struct -> insert ... -> release.
 * Threads: the loop's.
 * Memory:  one array that grows up to count_max pointers.
 * Errors:  LIMIT, NOMEM from insert.
 */
#ifndef WEIR_LOOP_TIMER_HEAP_H
#define WEIR_LOOP_TIMER_HEAP_H

#include "loop/loop.h"

struct weir_timer_heap {
    struct weir_loop_timer **timers; /* [0] is the earliest */
    uint32_t count, capacity, count_max;
};

/* Adds a timer that is not in it; its due_ns and sequence are set. */
WEIR_MUST_USE enum weir_err weir_timer_heap_insert(struct weir_timer_heap *heap,
                                                   struct weir_loop_timer *timer);
/* Takes out a timer that is in it. */
void weir_timer_heap_remove(struct weir_timer_heap *heap, struct weir_loop_timer *timer);
/* Puts a timer whose due_ns or sequence was changed to its right place. */
void weir_timer_heap_move(struct weir_timer_heap *heap, struct weir_loop_timer *timer);
void weir_timer_heap_release(struct weir_timer_heap *heap);

#endif
