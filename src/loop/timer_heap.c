/* The started timers of a loop: loop/timer_heap.h. */
#include "loop/timer_heap.h"

#include "base/alloc.h"

static bool is_before(const struct weir_loop_timer *a, const struct weir_loop_timer *b)
{
    return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->sequence < b->sequence;
}

static void place(struct weir_timer_heap *heap, uint32_t index, struct weir_loop_timer *timer)
{
    heap->timers[index] = timer;
    timer->heap_index = index + 1;
}

static void sift_up(struct weir_timer_heap *heap, uint32_t index)
{
    struct weir_loop_timer *timer = heap->timers[index];

    while (index > 0 && is_before(timer, heap->timers[(index - 1) / 2])) {
        place(heap, index, heap->timers[(index - 1) / 2]);
        index = (index - 1) / 2;
    }
    place(heap, index, timer);
}

static void sift_down(struct weir_timer_heap *heap, uint32_t index)
{
    struct weir_loop_timer *timer = heap->timers[index];

    for (;;) {
        uint32_t child = 2 * index + 1;
        if (child >= heap->count)
            break;
        if (child + 1 < heap->count && is_before(heap->timers[child + 1], heap->timers[child]))
            child++;
        if (!is_before(heap->timers[child], timer))
            break;
        place(heap, index, heap->timers[child]);
        index = child;
    }
    place(heap, index, timer);
}

enum weir_err weir_timer_heap_insert(struct weir_timer_heap *heap, struct weir_loop_timer *timer)
{
    if (heap->count == heap->count_max)
        return WEIR_LIMIT;
    if (heap->count == heap->capacity) {
        uint32_t capacity = heap->capacity > 0 ? heap->capacity * 2 : 16;
        struct weir_loop_timer **timers;
        if (capacity > heap->count_max)
            capacity = heap->count_max;
        timers = weir_realloc_array(heap->timers, capacity, sizeof *timers);
        if (timers == NULL)
            return WEIR_NOMEM;
        heap->timers = timers;
        heap->capacity = capacity;
    }
    heap->timers[heap->count++] = timer;
    sift_up(heap, heap->count - 1);
    return WEIR_OK;
}

void weir_timer_heap_move(struct weir_timer_heap *heap, struct weir_loop_timer *timer)
{
    sift_up(heap, timer->heap_index - 1);
    sift_down(heap, timer->heap_index - 1);
}

void weir_timer_heap_remove(struct weir_timer_heap *heap, struct weir_loop_timer *timer)
{
    uint32_t index = timer->heap_index - 1;
    struct weir_loop_timer *last = heap->timers[--heap->count];

    timer->heap_index = 0;
    if (last == timer)
        return;
    place(heap, index, last);
    weir_timer_heap_move(heap, last);
}

void weir_timer_heap_release(struct weir_timer_heap *heap)
{
    weir_free(heap->timers);
    heap->timers = NULL;
    heap->count = heap->capacity = 0;
}
