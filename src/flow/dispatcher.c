/*
 * The dispatcher: few threads that run what has something to do.
 *
 * Nothing of a runnable is touched after its last turn: DONE keeps it out of the run queue, its
 * timer is taken out, and only then its owner hears of the end.
 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "flow/dispatcher.h"

enum { THREADS_MAX = 256, RUNNABLES_MAX = 1 << 22 };

void weir_flow_materializer_options_default(struct weir_flow_materializer_options *options)
{
    *options = (struct weir_flow_materializer_options){.threads = 2, .events_max = 1024};
}

/* ---- the run queue; with the mutex ----------------------------------------------------------- */

static void append(struct weir_flow_materializer *materializer, struct flow_runnable *runnable)
{
    runnable->next_scheduled = NULL;
    if (materializer->last_scheduled != NULL)
        materializer->last_scheduled->next_scheduled = runnable;
    else
        materializer->first_scheduled = runnable;
    materializer->last_scheduled = runnable;
    materializer->scheduled_count++;
    if (materializer->idle_threads > 0)
        pthread_cond_signal(&materializer->work);
}

static struct flow_runnable *take_first(struct weir_flow_materializer *materializer)
{
    struct flow_runnable *runnable = materializer->first_scheduled;

    if (runnable == NULL)
        return NULL;
    materializer->first_scheduled = runnable->next_scheduled;
    if (materializer->first_scheduled == NULL)
        materializer->last_scheduled = NULL;
    materializer->scheduled_count--;
    return runnable;
}

static struct flow_runnable *take(struct weir_flow_materializer *materializer)
{
    if (materializer->options.fuzzing && materializer->scheduled_count > 1)
        for (uint32_t turns =
                 weir_random_below(&materializer->random, materializer->scheduled_count);
             turns > 0; turns--)
            append(materializer, take_first(materializer));
    return take_first(materializer);
}

/* True if the runnable was waiting and is the caller's to append. */
static bool claim(struct flow_runnable *runnable)
{
    int seen = atomic_load(&runnable->schedule);

    for (;;) {
        if (seen == FLOW_WAITING) {
            if (atomic_compare_exchange_weak(&runnable->schedule, &seen, FLOW_SCHEDULED))
                return true;
        } else if (seen == FLOW_RUNNING) {
            if (atomic_compare_exchange_weak(&runnable->schedule, &seen, FLOW_RUNNING_WOKEN))
                return false;
        } else {
            return false;
        }
    }
}

void flow_wake(struct flow_runnable *runnable)
{
    struct weir_flow_materializer *materializer = runnable->materializer;

    if (!claim(runnable))
        return;
    pthread_mutex_lock(&materializer->mutex);
    append(materializer, runnable);
    pthread_mutex_unlock(&materializer->mutex);
}

/* ---- turns ----------------------------------------------------------------------------------- */

static void move_wake(struct flow_runnable *runnable)
{
    struct weir_flow_materializer *materializer = runnable->materializer;
    int64_t due_ns = runnable->ops->due_ns(runnable);

    if (runnable->wake.due_ns == due_ns)
        return;
    runnable->wake.due_ns = due_ns;
    runnable->wake.sequence = ++materializer->timer_sequence;
    weir_timer_heap_move(&materializer->timers, &runnable->wake);
    /* Somebody waits for a later time perhaps. */
    if (materializer->idle_threads > 0 && materializer->timers.timers[0] == &runnable->wake)
        pthread_cond_signal(&materializer->work);
}

/* Runs one turn. Without the mutex; takes it at the end and returns with it. */
static void run_turn(struct weir_flow_materializer *materializer, struct flow_runnable *runnable)
{
    int running = FLOW_RUNNING;
    enum flow_turn turn;

    atomic_store(&runnable->schedule, FLOW_RUNNING);
    turn = runnable->ops->turn(runnable);
    pthread_mutex_lock(&materializer->mutex);
    if (turn == FLOW_ENDED) {
        atomic_store(&runnable->schedule, FLOW_DONE);
        weir_timer_heap_remove(&materializer->timers, &runnable->wake);
        runnable->ops->ended(runnable);
        return;
    }
    move_wake(runnable);
    if (turn == FLOW_MORE_TO_DO ||
        !atomic_compare_exchange_strong(&runnable->schedule, &running, FLOW_WAITING)) {
        atomic_store(&runnable->schedule, FLOW_SCHEDULED);
        append(materializer, runnable);
    }
}

/* Schedules those whose timers are due; gives the time of the next one. */
static int64_t take_due(struct weir_flow_materializer *materializer)
{
    int64_t now_ns;

    if (materializer->timers.count == 0 || materializer->timers.timers[0]->due_ns == FLOW_NEVER)
        return FLOW_NEVER;
    now_ns = weir_clock_now_ns(materializer->options.clock);
    while (materializer->timers.timers[0]->due_ns <= now_ns) {
        struct weir_loop_timer *timer = materializer->timers.timers[0];
        struct flow_runnable *runnable = timer->opaque;
        timer->due_ns = FLOW_NEVER;
        weir_timer_heap_move(&materializer->timers, timer);
        if (claim(runnable))
            append(materializer, runnable);
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
        struct flow_runnable *runnable = take(materializer);
        if (runnable == NULL) {
            wait_for_work(materializer, due_ns);
            continue;
        }
        pthread_mutex_unlock(&materializer->mutex);
        run_turn(materializer, runnable);
    }
    pthread_mutex_unlock(&materializer->mutex);
    return NULL;
}

void weir_flow_materializer_run(struct weir_flow_materializer *materializer)
{
    weir_assert(materializer->options.threads == 0);
    pthread_mutex_lock(&materializer->mutex);
    for (;;) {
        struct flow_runnable *runnable;
        take_due(materializer);
        runnable = take(materializer);
        if (runnable == NULL)
            break;
        pthread_mutex_unlock(&materializer->mutex);
        run_turn(materializer, runnable);
    }
    pthread_mutex_unlock(&materializer->mutex);
}

/* ---- coming, going, waiting ------------------------------------------------------------------ */

void flow_runnable_init(struct flow_runnable *runnable, const struct flow_runnable_ops *ops,
                        struct weir_flow_materializer *materializer)
{
    *runnable = (struct flow_runnable){
        .ops = ops,
        .materializer = materializer,
        .wake = {.opaque = runnable, .due_ns = FLOW_NEVER},
    };
}

enum weir_err flow_enter(struct flow_runnable *runnable)
{
    return weir_timer_heap_insert(&runnable->materializer->timers, &runnable->wake);
}

void flow_leave(struct flow_runnable *runnable)
{
    weir_timer_heap_remove(&runnable->materializer->timers, &runnable->wake);
}

void flow_schedule_first(struct flow_runnable *runnable)
{
    atomic_store(&runnable->schedule, FLOW_SCHEDULED);
    append(runnable->materializer, runnable);
}

enum weir_err flow_wait(struct weir_flow_materializer *materializer, const uint32_t *count,
                        int64_t timeout_ms)
{
    const int64_t year_ms = INT64_C(365) * 24 * 3600 * 1000;
    int64_t due_ns =
        weir_clock_now_ns(NULL) + (timeout_ms < year_ms ? timeout_ms : year_ms) * WEIR_NS_PER_MS;
    const struct timespec at = {.tv_sec = due_ns / WEIR_NS_PER_SECOND,
                                .tv_nsec = due_ns % WEIR_NS_PER_SECOND};
    int failed = 0;
    bool over;

    if (materializer->options.threads == 0) {
        weir_flow_materializer_run(materializer);
        timeout_ms = 0;
    }
    pthread_mutex_lock(&materializer->mutex);
    while (*count > 0 && timeout_ms != 0 && failed != ETIMEDOUT) {
        if (timeout_ms < 0)
            pthread_cond_wait(&materializer->ended, &materializer->mutex);
        else
            failed = pthread_cond_timedwait(&materializer->ended, &materializer->mutex, &at);
    }
    over = *count == 0;
    pthread_mutex_unlock(&materializer->mutex);
    return over ? WEIR_OK : WEIR_TIMEOUT;
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
    materializer->timers.count_max = RUNNABLES_MAX;
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
    weir_assert(materializer->user_count == 0);
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
