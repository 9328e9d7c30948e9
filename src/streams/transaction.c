/*
 * streams/transaction.c - exactly once: the transaction of a thread (KIP-447, exactly_once_v2).
 *
 *      NEW --init--> IDLE --output or offsets--> OPEN --commit--> COMMITTING --answer--> IDLE
 *                                                  `--failure--> ABORTING --answer--> IDLE
 *      each --fatal--> FENCED --clients made anew--> NEW
 *
 * Outputs, changelogs and offsets of all tasks of the thread are one transaction, so that they are
 * committed together, when all of them are settled, and fail together: one task's failure takes
 * back what the others did since the last commit, too. While an answer is outstanding nothing else
 * is done; what is asked for again goes on where it was.
 *
 * Offsets carry the member's generation: who was replaced in the group can't commit any more. Who
 * gets a task afterwards waits until transactions of the one before are decided: for its offsets
 * (the consumer does that), and at the end of its changelogs (their tables do).
 *
 * What became of a commit is not known when the producer is fenced before its answer. Then all
 * tasks are given up, without a word to their stores, and begin anew with what the group has.
 */
#include "streams/inside.h"

enum {
    ANSWER_MS = 1000,        /* what one question may take */
    LOST_ANSWER_MS = 3000,   /* while tasks are being lost */
    REOPENINGS_MAX = 10,     /* without a commit, then the instance fails */
    REOPENING_PAUSE_MS = 500 /* */
};

bool transaction_is_decided(const struct stream_thread *thread)
{
    switch (thread->transaction) {
    case TRANSACTION_NONE:
    case TRANSACTION_IDLE:
    case TRANSACTION_OPEN:
        return true;
    default:
        return false;
    }
}

static void warn(const struct stream_thread *thread, const char *what,
                 const struct weir_error *error)
{
    weir_log(&thread->streams->options.log, WEIR_LOG_WARN, "streams", "%s: %s", what,
             error->message);
}

enum weir_err transaction_enter(struct stream_thread *thread, struct weir_error *error)
{
    if (thread->transaction == TRANSACTION_NONE || thread->transaction == TRANSACTION_OPEN)
        return WEIR_OK;
    if (thread->transaction != TRANSACTION_IDLE)
        return weir_error_set(error, WEIR_CLOSED, -1, "the last transaction is not decided yet");
    enum weir_err err = weir_kafka_transaction_begin(thread->producer, error);
    thread->transaction = err == WEIR_OK ? TRANSACTION_OPEN : TRANSACTION_FENCED;
    return err;
}

/* ---- aborts ---------------------------------------------------------------------------------- */

/* What the others did since the last commit is in the transaction, too. */
static void begin_abort(struct stream_thread *thread)
{
    for (struct task *task = thread->tasks; task; task = task->next)
        if (!task->must_rewind && !task_is_untouched(task))
            task->must_rewind = task->dragged = true;
    thread->transaction = TRANSACTION_ABORTING;
}

static void abort_on(struct stream_thread *thread, int32_t timeout_ms)
{
    struct weir_error error = {.code = WEIR_OK};
    enum weir_err err = weir_kafka_transaction_abort(thread->producer, timeout_ms, &error);
    if (err == WEIR_OK) {
        thread->transaction = TRANSACTION_IDLE;
        dead_letters_settle(thread, false);
    } else if (!error.retriable) {
        warn(thread, "a transaction can't be aborted", &error);
        thread->transaction = TRANSACTION_FENCED;
    }
}

void transaction_lost(struct stream_thread *thread)
{
    if (thread->transaction == TRANSACTION_OPEN) {
        begin_abort(thread);
        abort_on(thread, LOST_ANSWER_MS);
    } else if (thread->transaction == TRANSACTION_COMMITTING) {
        thread->transaction = TRANSACTION_FENCED; /* others will see what became of it */
    }
}

/* ---- commits --------------------------------------------------------------------------------- */

/* What a failure of a step to the commit asks for. AGAIN: to try it again. */
static enum weir_err fall(struct stream_thread *thread, enum weir_err err,
                          const struct weir_error *error)
{
    if (err == WEIR_OK || err == WEIR_AGAIN || error->retriable)
        return err == WEIR_OK ? WEIR_OK : WEIR_AGAIN;
    warn(thread, "a transaction is not committed", error);
    count_up(&thread->streams->counters.commit_failures, 1);
    if (error->fatal)
        thread->transaction = TRANSACTION_FENCED;
    else
        begin_abort(thread);
    return err;
}

static enum weir_err commit_on(struct stream_thread *thread, struct weir_error *error)
{
    enum weir_err err = weir_kafka_transaction_commit(thread->producer, ANSWER_MS, error);
    if (err != WEIR_OK)
        return fall(thread, err, error);
    thread->transaction = TRANSACTION_IDLE;
    thread->reopenings = 0;
    dead_letters_settle(thread, true);
    return commit_note_transaction(thread, error);
}

/* Is everything that is in the transaction there with its offset? */
static enum weir_err check_settled(const struct stream_thread *thread, struct weir_error *error)
{
    for (const struct task *task = thread->tasks; task; task = task->next) {
        if (task->must_rewind)
            return weir_error_set(error, WEIR_CLOSED, -1, "task %s has failed", task->id);
        if (task->is_ready && !task_is_settled(task))
            return weir_error_set(error, WEIR_TIMEOUT, -1, "task %s is not done with what it read",
                                  task->id);
    }
    return WEIR_OK;
}

enum weir_err transaction_commit(struct stream_thread *thread, struct weir_error *error)
{
    if (thread->transaction == TRANSACTION_COMMITTING)
        return commit_on(thread, error);
    if (!transaction_is_decided(thread))
        return weir_error_set(error, WEIR_CLOSED, -1, "there is no transaction to commit");
    enum weir_err err = check_settled(thread, error);
    if (err != WEIR_OK)
        return err;
    if (thread->transaction == TRANSACTION_IDLE && !commit_is_needed(thread))
        return commit_note_transaction(thread, error); /* of stores without changelog */
    err = transaction_enter(thread, error);
    if (err == WEIR_OK)
        err = fall(thread, commit_send_offsets(thread, false, error), error);
    if (err != WEIR_OK)
        return err;
    thread->transaction = TRANSACTION_COMMITTING;
    return commit_on(thread, error);
}

/* ---- rounds ---------------------------------------------------------------------------------- */

static enum weir_err initialise(struct stream_thread *thread, struct weir_error *error)
{
    enum weir_err err = weir_kafka_transactions_init(thread->producer, ANSWER_MS, error);
    if (err == WEIR_OK)
        thread->transaction = TRANSACTION_IDLE;
    else if (error->fatal)
        thread->transaction = TRANSACTION_FENCED;
    return err == WEIR_OK || error->retriable || error->fatal ? WEIR_OK : err;
}

/* All tasks are given up; the group gives them out again. */
static enum weir_err reopen(struct stream_thread *thread, struct weir_error *error)
{
    if (++thread->reopenings > REOPENINGS_MAX)
        return weir_error_set(error, WEIR_FENCED, -1,
                              "the producer of a thread was fenced %d times in a row: its "
                              "transactions take longer than transaction.timeout.ms, or the "
                              "broker refuses them",
                              REOPENINGS_MAX);
    weir_log(&thread->streams->options.log, WEIR_LOG_WARN, "streams",
             "thread %u begins anew: its producer is fenced", thread->number);
    thread_close_clients(thread);
    dead_letters_settle(thread, false);
    streams_pause(thread->streams, REOPENING_PAUSE_MS);
    return thread_open_clients(thread, error);
}

static bool has_failed_task(const struct stream_thread *thread)
{
    const struct task *task = thread->tasks;
    while (task && !task->must_rewind)
        task = task->next;
    return task != NULL;
}

enum weir_err transaction_step(struct stream_thread *thread, struct weir_error *error)
{
    if (thread->transaction == TRANSACTION_NONE)
        return WEIR_OK;
    if (thread->producer_failed)
        thread->transaction = TRANSACTION_FENCED;
    if (thread->transaction == TRANSACTION_OPEN && has_failed_task(thread))
        begin_abort(thread);
    switch (thread->transaction) {
    case TRANSACTION_NEW:
        return initialise(thread, error);
    case TRANSACTION_COMMITTING:
        (void)!commit_on(thread, error); /* what it asks for is noted */
        thread_go_on(thread);
        return WEIR_OK;
    case TRANSACTION_ABORTING:
        abort_on(thread, ANSWER_MS);
        thread_go_on(thread);
        return WEIR_OK;
    case TRANSACTION_FENCED:
        return reopen(thread, error);
    default:
        return WEIR_OK;
    }
}
