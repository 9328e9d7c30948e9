/*
 * The asynchronous edge: a ring between the last stage of one island and the first of another.
 *
 *      island above                                      island below
 *      ... -> [boundary-in] -> ring of `capacity` -> batch -> [boundary-out] -> ...
 *
 * Elements go without a word: each side wakes the other only when that one said that it waits (for
 * room, for elements), and at the end of its turn, so that a wake-up is shared by a batch. Who is
 * about to wait says so first and then looks once more; the other acts first and then looks whether
 * somebody waits. So one of the two sees the other.
 */
#include <string.h>

#include "base/ring.h"
#include "flow/inside.h"

enum { BATCH_MAX = 64 };

enum boundary_end { END_OPEN, END_COMPLETED, END_FAILED };

struct flow_boundary {     /* NOLINT(clang-analyzer-optin.performance.Padding): in reading order */
    struct weir_ring ring; /* of element pointers */
    const struct weir_flow_kind *kind;
    uint32_t capacity;
    /* Written once by the side above, by the side below. */
    _Atomic int end;
    _Atomic bool cancelled;
    struct weir_error failure, cause;
    _Atomic bool above_waits, below_waits;
    struct weir_flow_event above, below;
    /* Each side's own. */
    alignas(64) bool above_touched;
    struct flow_boundary *above_next;
    alignas(64) bool below_touched;
    struct flow_boundary *below_next;
    uint32_t batch_first, batch_count, batch_max;
    void *batch[BATCH_MAX];
};

struct flow_boundary *flow_boundary_new(struct weir_flow_stream *stream, uint32_t capacity,
                                        const struct weir_flow_kind *kind)
{
    struct flow_boundary *boundary = weir_arena_alloc_aligned(&stream->arena, 64, sizeof *boundary);

    if (boundary == NULL)
        return NULL;
    memset(boundary, 0, sizeof *boundary);
    boundary->kind = kind;
    boundary->capacity = capacity;
    boundary->batch_max = capacity / 2 < BATCH_MAX ? capacity / 2 : BATCH_MAX;
    return boundary;
}

static struct flow_boundary *boundary_of(const struct weir_flow_stage *stage)
{
    return (struct flow_boundary *)(uintptr_t)stage->config;
}

/* True once if the other side waits. Both sides write the flag by exchange: whichever comes second
 * sees what the other did before its own. */
static bool was_waiting(_Atomic bool *waits)
{
    return atomic_exchange(waits, false);
}

/* ---- the side above -------------------------------------------------------------------------- */

static enum weir_err in_init(void *self, struct weir_flow_stage *stage, struct weir_error *error)
{
    struct flow_boundary *boundary = boundary_of(stage);

    (void)self;
    (void)error;
    weir_flow_event_init(&boundary->above, stage);
    return weir_ring_init(&boundary->ring, boundary->capacity, sizeof(void *));
}

static void in_release(void *self, struct weir_flow_stage *stage)
{
    struct flow_boundary *boundary = boundary_of(stage);
    void *element;

    (void)self;
    while (weir_ring_read(&boundary->ring, &element, 1) == 1)
        weir_flow_drop_element(boundary->kind, element);
    weir_ring_release(&boundary->ring);
}

static void in_start(void *self, struct weir_flow_stage *stage)
{
    (void)self;
    flow_pull(stage, 0);
}

static void touch_above(struct flow_boundary *boundary, struct flow_island *island)
{
    if (boundary->above_touched)
        return;
    boundary->above_touched = true;
    boundary->above_next = island->touched;
    island->touched = boundary;
}

static void pull_if_room(struct flow_boundary *boundary, struct weir_flow_stage *stage)
{
    if (weir_ring_count(&boundary->ring) < boundary->capacity) {
        weir_flow_try_pull(stage, 0);
        return;
    }
    (void)atomic_exchange(&boundary->above_waits, true);
    /* Half of it free: fewer wake-ups than one for each place. */
    if (weir_ring_count(&boundary->ring) <= boundary->capacity / 2 &&
        atomic_exchange(&boundary->above_waits, false))
        weir_flow_try_pull(stage, 0);
}

static void in_push(void *self, struct weir_flow_stage *stage, uint32_t inlet)
{
    struct flow_boundary *boundary = boundary_of(stage);
    void *element = flow_grab(stage, inlet);
    uint32_t written = weir_ring_write(&boundary->ring, &element, 1);

    (void)self;
    weir_assert(written == 1);
    touch_above(boundary, stage->island);
    pull_if_room(boundary, stage);
}

static void in_finish(void *self, struct weir_flow_stage *stage, uint32_t inlet)
{
    struct flow_boundary *boundary = boundary_of(stage);

    (void)self;
    (void)inlet;
    atomic_store(&boundary->end, END_COMPLETED);
    weir_flow_invoke(&boundary->below);
}

static void in_failure(void *self, struct weir_flow_stage *stage, uint32_t inlet,
                       const struct weir_error *error)
{
    struct flow_boundary *boundary = boundary_of(stage);

    (void)self;
    (void)inlet;
    boundary->failure = *error;
    atomic_store(&boundary->end, END_FAILED);
    weir_flow_invoke(&boundary->below);
}

/* Room again, or cancelled. */
static void in_event(void *self, struct weir_flow_stage *stage, struct weir_flow_event *event)
{
    struct flow_boundary *boundary = boundary_of(stage);

    (void)self;
    (void)event;
    if (!atomic_load(&boundary->cancelled))
        pull_if_room(boundary, stage);
    else
        weir_flow_cancel(stage, 0, boundary->cause.code != WEIR_OK ? &boundary->cause : NULL);
}

/* Aborted, perhaps: nobody below may wait for ever. */
static void in_stop(void *self, struct weir_flow_stage *stage)
{
    struct flow_boundary *boundary = boundary_of(stage);

    (void)self;
    if (atomic_load(&boundary->end) != END_OPEN || atomic_load(&boundary->cancelled))
        return;
    boundary->failure = stage->result_error;
    atomic_store(&boundary->end, END_FAILED);
    weir_flow_invoke(&boundary->below);
}

const struct weir_flow_stage_ops flow_boundary_in_ops = {
    .abi = WEIR_FLOW_STAGE_ABI,
    .name = "boundary-in",
    .init = in_init,
    .release = in_release,
    .start = in_start,
    .stop = in_stop,
    .on_push = in_push,
    .on_upstream_finish = in_finish,
    .on_upstream_failure = in_failure,
    .on_event = in_event,
};

/* ---- the side below -------------------------------------------------------------------------- */

static enum weir_err out_init(void *self, struct weir_flow_stage *stage, struct weir_error *error)
{
    (void)self;
    (void)error;
    weir_flow_event_init(&boundary_of(stage)->below, stage);
    return WEIR_OK;
}

static void touch_below(struct flow_boundary *boundary, struct flow_island *island)
{
    if (boundary->below_touched)
        return;
    boundary->below_touched = true;
    boundary->below_next = island->touched_below;
    island->touched_below = boundary;
}

static bool fill_batch(struct flow_boundary *boundary)
{
    boundary->batch_first = 0;
    boundary->batch_count = weir_ring_read(&boundary->ring, boundary->batch, boundary->batch_max);
    return boundary->batch_count > 0;
}

static void finish_below(struct flow_boundary *boundary, struct weir_flow_stage *stage, int end)
{
    if (end == END_FAILED)
        weir_flow_fail_stage(stage, &boundary->failure);
    else
        weir_flow_complete_stage(stage);
}

/* Completes below if the end has come and nothing is left. Nothing comes after the end, which is
 * therefore looked at first. */
static void finish_if_drained(struct flow_boundary *boundary, struct weir_flow_stage *stage)
{
    if (atomic_load(&boundary->end) == END_COMPLETED && boundary->batch_count == 0 &&
        weir_ring_count(&boundary->ring) == 0)
        weir_flow_complete_stage(stage);
}

/* Nothing in the batch: looks into the ring, and waits or ends if there is nothing either. */
static bool refill(struct flow_boundary *boundary, struct weir_flow_stage *stage)
{
    int end;

    if (fill_batch(boundary))
        return true;
    (void)atomic_exchange(&boundary->below_waits, true);
    end = atomic_load(&boundary->end); /* before the last look: nothing comes after the end */
    if (fill_batch(boundary))
        return true;
    if (end != END_OPEN)
        finish_below(boundary, stage, end);
    return false;
}

static void out_pull(void *self, struct weir_flow_stage *stage, uint32_t outlet)
{
    struct flow_boundary *boundary = boundary_of(stage);

    (void)self;
    if (boundary->batch_count == 0) {
        if (!refill(boundary, stage))
            return;
        touch_below(boundary, stage->island);
    }
    boundary->batch_count--;
    flow_push(stage, outlet, boundary->batch[boundary->batch_first++]);
    if (boundary->batch_count == 0)
        finish_if_drained(boundary, stage);
}

/* Elements or the end have come. */
static void out_event(void *self, struct weir_flow_stage *stage, struct weir_flow_event *event)
{
    struct flow_boundary *boundary = boundary_of(stage);
    int end = atomic_load(&boundary->end);

    (void)event;
    if (weir_flow_out_is_closed(stage, 0))
        return;
    if (end == END_FAILED)
        finish_below(boundary, stage, end);
    else if (weir_flow_out_is_available(stage, 0))
        out_pull(self, stage, 0);
    else
        finish_if_drained(boundary, stage);
}

static void out_finish(void *self, struct weir_flow_stage *stage, uint32_t outlet,
                       const struct weir_error *cause)
{
    struct flow_boundary *boundary = boundary_of(stage);

    (void)self;
    (void)outlet;
    if (cause != NULL)
        boundary->cause = *cause;
    atomic_store(&boundary->cancelled, true);
    weir_flow_invoke(&boundary->above);
}

/* What was on its way goes; what the side above still writes goes with the stream. */
static void out_stop(void *self, struct weir_flow_stage *stage)
{
    struct flow_boundary *boundary = boundary_of(stage);

    (void)self;
    do {
        while (boundary->batch_count > 0) {
            boundary->batch_count--;
            weir_flow_drop_element(boundary->kind, boundary->batch[boundary->batch_first++]);
        }
    } while (fill_batch(boundary));
    if (atomic_load(&boundary->end) == END_OPEN && !atomic_load(&boundary->cancelled)) {
        boundary->cause = stage->result_error;
        atomic_store(&boundary->cancelled, true);
        weir_flow_invoke(&boundary->above);
    }
}

const struct weir_flow_stage_ops flow_boundary_out_ops = {
    .abi = WEIR_FLOW_STAGE_ABI,
    .name = "boundary-out",
    .init = out_init,
    .stop = out_stop,
    .on_pull = out_pull,
    .on_downstream_finish = out_finish,
    .on_event = out_event,
};

/* ---- the end of a turn ----------------------------------------------------------------------- */

void flow_boundaries_flush(struct flow_island *island)
{
    while (island->touched != NULL) {
        struct flow_boundary *boundary = island->touched;
        island->touched = boundary->above_next;
        boundary->above_touched = false;
        if (was_waiting(&boundary->below_waits))
            weir_flow_invoke(&boundary->below);
    }
    while (island->touched_below != NULL) {
        struct flow_boundary *boundary = island->touched_below;
        island->touched_below = boundary->below_next;
        boundary->below_touched = false;
        if (weir_ring_count(&boundary->ring) <= boundary->capacity / 2 &&
            was_waiting(&boundary->above_waits))
            weir_flow_invoke(&boundary->above);
    }
}
