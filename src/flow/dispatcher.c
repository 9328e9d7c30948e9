/*
 * The dispatcher: few threads that run islands which have something to do.
 *
 * An island is in the run queue at most once (`schedule`), so it runs on one thread at a time, and
 * the mutex between two of its turns makes what one thread wrote visible to the next.
 *
 * Nothing of an island is touched after its last turn: DONE keeps it out of the run queue, its
 * timer is taken out, and only then its stream hears of the end.
 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "flow/inside.h"

enum { THREADS_MAX = 256, ISLANDS_MAX = 1 << 20 };

void weir_flow_materializer_options_default(struct weir_flow_materializer_options *options)
{
    *options = (struct weir_flow_materializer_options){.threads = 2, .events_max = 1024};
}

/* ---- the run queue; with the mutex ----------------------------------------------------------- */

static void append(struct weir_flow_materializer *materializer, struct flow_island *island)
{
    island->next_scheduled = NULL;
    if (materializer->last_scheduled != NULL)
        materializer->last_scheduled->next_scheduled = island;
    else
        materializer->first_scheduled = island;
    materializer->last_scheduled = island;
    materializer->scheduled_count++;
    if (materializer->idle_threads > 0)
        pthread_cond_signal(&materializer->work);
}

static struct flow_island *take_first(struct weir_flow_materializer *materializer)
{
    struct flow_island *island = materializer->first_scheduled;

    if (island == NULL)
        return NULL;
    materializer->first_scheduled = island->next_scheduled;
    if (materializer->first_scheduled == NULL)
        materializer->last_scheduled = NULL;
    materializer->scheduled_count--;
    return island;
}

static struct flow_island *take(struct weir_flow_materializer *materializer)
{
    if (materializer->options.fuzzing && materializer->scheduled_count > 1)
        for (uint32_t turns =
                 weir_random_below(&materializer->random, materializer->scheduled_count);
             turns > 0; turns--)
            append(materializer, take_first(materializer));
    return take_first(materializer);
}

/* True if the island was waiting and is the caller's to append. */
static bool claim(struct flow_island *island)
{
    int seen = atomic_load(&island->schedule);

    for (;;) {
        if (seen == FLOW_WAITING) {
            if (atomic_compare_exchange_weak(&island->schedule, &seen, FLOW_SCHEDULED))
                return true;
        } else if (seen == FLOW_RUNNING) {
            if (atomic_compare_exchange_weak(&island->schedule, &seen, FLOW_RUNNING_WOKEN))
                return false;
        } else {
            return false;
        }
    }
}

void flow_island_wake(struct flow_island *island)
{
    struct weir_flow_materializer *materializer = island->materializer;

    if (!claim(island))
        return;
    pthread_mutex_lock(&materializer->mutex);
    append(materializer, island);
    pthread_mutex_unlock(&materializer->mutex);
}

/* ---- events from anywhere -------------------------------------------------------------------- */

void weir_flow_event_init(struct weir_flow_event *event, struct weir_flow_stage *stage)
{
    *event = (struct weir_flow_event){.stage = stage};
}

void weir_flow_invoke(struct weir_flow_event *event)
{
    struct flow_island *island = event->stage->island;
    struct weir_flow_stream *stream = island->stream;

    atomic_fetch_add(&stream->invokers, 1);
    if (!__atomic_exchange_n(&event->waiting, true, __ATOMIC_ACQ_REL)) {
        struct weir_flow_event *first = atomic_load(&island->mailbox);
        do
            event->next = first;
        while (!atomic_compare_exchange_weak(&island->mailbox, &first, event));
        /* The event may be through, and its owner gone, from here on. */
        flow_island_wake(island);
    }
    atomic_fetch_sub(&stream->invokers, 1);
}

/* ---- turns ----------------------------------------------------------------------------------- */

static void move_wake(struct flow_island *island)
{
    struct weir_flow_materializer *materializer = island->materializer;
    int64_t due_ns = flow_island_due_ns(island);

    if (island->wake.due_ns == due_ns)
        return;
    island->wake.due_ns = due_ns;
    island->wake.sequence = ++materializer->timer_sequence;
    weir_timer_heap_move(&materializer->timers, &island->wake);
    /* Somebody waits for a later time perhaps. */
    if (materializer->idle_threads > 0 && materializer->timers.timers[0] == &island->wake)
        pthread_cond_signal(&materializer->work);
}

/* Runs one turn. Without the mutex; takes it at the end and returns with it. */
static void run_turn(struct weir_flow_materializer *materializer, struct flow_island *island)
{
    int running = FLOW_RUNNING;
    bool more;

    atomic_store(&island->schedule, FLOW_RUNNING);
    more = flow_island_run(island);
    pthread_mutex_lock(&materializer->mutex);
    if (island->alive_count == 0) {
        atomic_store(&island->schedule, FLOW_DONE);
        weir_timer_heap_remove(&materializer->timers, &island->wake);
        if (--island->stream->islands_alive == 0)
            pthread_cond_broadcast(&materializer->ended);
        return;
    }
    move_wake(island);
    if (more || !atomic_compare_exchange_strong(&island->schedule, &running, FLOW_WAITING)) {
        atomic_store(&island->schedule, FLOW_SCHEDULED);
        append(materializer, island);
    }
}

/* Schedules the islands whose timers are due; gives the time of the next one. */
static int64_t take_due(struct weir_flow_materializer *materializer)
{
    int64_t now_ns;

    if (materializer->timers.count == 0 || materializer->timers.timers[0]->due_ns == FLOW_NEVER)
        return FLOW_NEVER;
    now_ns = weir_clock_now_ns(materializer->options.clock);
    while (materializer->timers.timers[0]->due_ns <= now_ns) {
        struct weir_loop_timer *timer = materializer->timers.timers[0];
        struct flow_island *island = timer->opaque;
        timer->due_ns = FLOW_NEVER;
        weir_timer_heap_move(&materializer->timers, timer);
        if (claim(island))
            append(materializer, island);
    }
    return materializer->timers.timers[0]->due_ns;
}

static void wait_for_work(struct weir_flow_materializer *materializer, int64_t due_ns)
{
    materializer->idle_threads++;
    if (due_ns == FLOW_NEVER) {
        pthread_cond_wait(&materializer->work, &materializer->mutex);
    } else {
        const struct timespec at = {.tv_sec = due_ns / WEIR_NS_PER_SECOND,
                                    .tv_nsec = due_ns % WEIR_NS_PER_SECOND};
        pthread_cond_timedwait(&materializer->work, &materializer->mutex, &at);
    }
    materializer->idle_threads--;
}

static void *work(void *opaque)
{
    struct weir_flow_materializer *materializer = opaque;

    pthread_mutex_lock(&materializer->mutex);
    while (!materializer->stopping) {
        int64_t due_ns = take_due(materializer);
        struct flow_island *island = take(materializer);
        if (island == NULL) {
            wait_for_work(materializer, due_ns);
            continue;
        }
        pthread_mutex_unlock(&materializer->mutex);
        run_turn(materializer, island);
    }
    pthread_mutex_unlock(&materializer->mutex);
    return NULL;
}

void weir_flow_materializer_run(struct weir_flow_materializer *materializer)
{
    weir_assert(materializer->options.threads == 0);
    pthread_mutex_lock(&materializer->mutex);
    for (;;) {
        struct flow_island *island;
        take_due(materializer);
        island = take(materializer);
        if (island == NULL)
            break;
        pthread_mutex_unlock(&materializer->mutex);
        run_turn(materializer, island);
    }
    pthread_mutex_unlock(&materializer->mutex);
}

/* ---- streams --------------------------------------------------------------------------------- */

enum weir_err flow_materializer_add(struct weir_flow_materializer *materializer,
                                    struct weir_flow_stream *stream)
{
    pthread_mutex_lock(&materializer->mutex);
    for (uint32_t i = 0; i < stream->island_count; i++) {
        struct flow_island *island = &stream->islands[i];
        island->wake.opaque = island;
        island->wake.due_ns = FLOW_NEVER;
        if (weir_timer_heap_insert(&materializer->timers, &island->wake) != WEIR_OK) {
            while (i-- > 0)
                weir_timer_heap_remove(&materializer->timers, &stream->islands[i].wake);
            pthread_mutex_unlock(&materializer->mutex);
            return WEIR_NOMEM;
        }
        island->fuzzing = materializer->options.fuzzing;
        island->random.state = weir_random_next(&materializer->random);
    }
    stream->islands_alive = stream->island_count;
    materializer->stream_count++;
    for (uint32_t i = 0; i < stream->island_count; i++) {
        atomic_store(&stream->islands[i].schedule, FLOW_SCHEDULED);
        append(materializer, &stream->islands[i]);
    }
    pthread_mutex_unlock(&materializer->mutex);
    return WEIR_OK;
}

enum weir_err weir_flow_stream_wait(struct weir_flow_stream *stream, int64_t timeout_ms)
{
    struct weir_flow_materializer *materializer = stream->materializer;
    const int64_t year_ms = INT64_C(365) * 24 * 3600 * 1000;
    int64_t due_ns =
        weir_clock_now_ns(NULL) + (timeout_ms < year_ms ? timeout_ms : year_ms) * WEIR_NS_PER_MS;
    const struct timespec at = {.tv_sec = due_ns / WEIR_NS_PER_SECOND,
                                .tv_nsec = due_ns % WEIR_NS_PER_SECOND};
    int failed = 0;
    bool alive;

    if (materializer->options.threads == 0) {
        weir_flow_materializer_run(materializer);
        timeout_ms = 0;
    }
    pthread_mutex_lock(&materializer->mutex);
    while (stream->islands_alive > 0 && timeout_ms != 0 && failed != ETIMEDOUT) {
        if (timeout_ms < 0)
            pthread_cond_wait(&materializer->ended, &materializer->mutex);
        else
            failed = pthread_cond_timedwait(&materializer->ended, &materializer->mutex, &at);
    }
    alive = stream->islands_alive > 0;
    pthread_mutex_unlock(&materializer->mutex);
    return alive ? WEIR_TIMEOUT : WEIR_OK;
}

/* ---- life ------------------------------------------------------------------------------------ */

static enum weir_err start_threads(struct weir_flow_materializer *materializer)
{
    materializer->threads =
        weir_calloc(materializer->options.threads, sizeof *materializer->threads);
    if (materializer->threads == NULL)
        return WEIR_NOMEM;
    while (materializer->thread_count < materializer->options.threads) {
        pthread_t *thread = &materializer->threads[materializer->thread_count];
        if (pthread_create(thread, NULL, work, materializer) != 0)
            return WEIR_IO;
        materializer->thread_count++;
    }
    return WEIR_OK;
}

enum weir_err weir_flow_materializer_new(const struct weir_flow_materializer_options *options,
                                         struct weir_flow_materializer **out,
                                         struct weir_error *error)
{
    struct weir_flow_materializer_options chosen;
    struct weir_flow_materializer *materializer;
    pthread_condattr_t monotonic;
    enum weir_err err;

    weir_flow_materializer_options_default(&chosen);
    if (options != NULL)
        chosen = *options;
    if (chosen.threads > THREADS_MAX || chosen.events_max == 0)
        return weir_error_set(error, WEIR_INVALID, -1,
                              "flow: at most %d threads, and turns of at least one event",
                              THREADS_MAX);
    if (chosen.threads > 0 &&
        (chosen.fuzzing || (chosen.clock != NULL && chosen.clock->is_virtual)))
        return weir_error_set(error, WEIR_INVALID, -1,
                              "flow: fuzzing and a virtual clock need threads = 0");
    materializer = weir_calloc(1, sizeof *materializer);
    if (materializer == NULL)
        return weir_error_set(error, WEIR_NOMEM, -1, "flow: no memory for a materializer");
    materializer->options = chosen;
    materializer->timers.count_max = ISLANDS_MAX;
    materializer->random.state = chosen.seed;
    pthread_mutex_init(&materializer->mutex, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&materializer->work, &monotonic);
    pthread_cond_init(&materializer->ended, &monotonic);
    pthread_condattr_destroy(&monotonic);
    err = start_threads(materializer);
    if (err != WEIR_OK) {
        weir_flow_materializer_free(materializer);
        return weir_error_set(error, err, -1, "flow: the threads of a materializer do not start");
    }
    *out = materializer;
    return WEIR_OK;
}

void weir_flow_materializer_free(struct weir_flow_materializer *materializer)
{
    if (materializer == NULL)
        return;
    pthread_mutex_lock(&materializer->mutex);
    weir_assert(materializer->stream_count == 0);
    materializer->stopping = true;
    pthread_cond_broadcast(&materializer->work);
    pthread_mutex_unlock(&materializer->mutex);
    for (uint32_t i = 0; i < materializer->thread_count; i++)
        pthread_join(materializer->threads[i], NULL);
    weir_timer_heap_release(&materializer->timers);
    pthread_cond_destroy(&materializer->work);
    pthread_cond_destroy(&materializer->ended);
    pthread_mutex_destroy(&materializer->mutex);
    weir_free(materializer->threads);
    weir_free(materializer);
}
