/*
 * broker/cleaner.c - when which partition is compacted.
 *
 *      maintenance, each second          a pass, on a thread of its own
 *        is there a pass? is it done? <--- reads, writes, replaces (plog/cleaner.h)
 *        which is the dirtiest?  --------> begins
 *
 * The loop chooses and takes in, the thread only works on the log it was given. So nothing of the
 * broker is shared but the pass itself. A partition whose pass has failed is left alone until the
 * next start: it would most likely fail again, at the cost of reading all of it.
 */
#include <signal.h>
#include <sys/resource.h>

#include "base/assert.h"
#include "broker/inside.h"

enum { NICE = 10 };

/* ---- the pass -------------------------------------------------------------------------------- */

static void *run_pass(void *opaque)
{
    struct broker_cleaner *cleaner = opaque;
    /* Of this thread alone, on Linux: whoever waits for an answer comes first. */
    (void)!setpriority(PRIO_PROCESS, 0, NICE);
    cleaner->err = weir_plog_cleaning_run(cleaner->cleaning, &cleaner->cleaned, &cleaner->error);
    atomic_store(&cleaner->done, true);
    return NULL;
}

/* With all signals blocked: they are the program's, not ours. */
static bool start_thread(struct broker_cleaner *cleaner)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool started = pthread_create(&cleaner->thread, NULL, run_pass, cleaner) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return started;
}

static void begin(struct weir_broker *broker, struct partition *partition,
                  const struct weir_plog_clean_settings *settings)
{
    struct broker_cleaner *cleaner = &broker->cleaner;
    struct weir_error error = {.code = WEIR_OK};
    enum weir_err err =
        weir_plog_cleaning_new(partition->log, settings, &cleaner->cleaning, &error);
    if (err == WEIR_END)
        return;
    if (err == WEIR_OK) {
        cleaner->topic = partition->topic;
        cleaner->index = partition->index;
        cleaner->error = error;
        atomic_store(&cleaner->done, false);
        if (start_thread(cleaner))
            return;
        weir_plog_cleaning_free(cleaner->cleaning);
        cleaner->cleaning = NULL;
        weir_error_set(&error, WEIR_NOMEM, -1, "its thread can't be started");
    }
    weir_log(&broker->options.log, WEIR_LOG_WARN, "broker", "%s-%d can't be compacted now: %s",
             partition->topic->name, (int)partition->index, error.message);
}

static void note_failure(struct weir_broker *broker, struct partition *partition)
{
    const struct broker_cleaner *cleaner = &broker->cleaner;
    /* It was told to end, or the log was trimmed, or memory is short: there will be a next time. */
    if (cleaner->err == WEIR_CLOSED || cleaner->err == WEIR_AGAIN || cleaner->err == WEIR_NOMEM)
        return;
    partition->uncleanable = true;
    atomic_fetch_add(&broker->stats.cleaner_uncleanable, 1);
    weir_log(&broker->options.log, WEIR_LOG_ERROR, "broker",
             "%s-%d is not compacted any more until the next start: %s", partition->topic->name,
             (int)partition->index, cleaner->error.message);
}

/* The thread has ended, or is about to. */
static void take_in(struct weir_broker *broker)
{
    struct broker_cleaner *cleaner = &broker->cleaner;
    struct partition *partition = &cleaner->topic->partitions[cleaner->index];
    struct broker_counters *stats = &broker->stats;
    weir_assert(pthread_join(cleaner->thread, NULL) == 0);
    weir_plog_cleaning_free(cleaner->cleaning);
    cleaner->cleaning = NULL;
    atomic_fetch_add(&stats->cleaner_bytes_read, (uint64_t)cleaner->cleaned.bytes_read);
    atomic_fetch_add(&stats->cleaner_bytes_written, (uint64_t)cleaner->cleaned.bytes_written);
    if (cleaner->err != WEIR_OK) {
        note_failure(broker, partition);
        return;
    }
    partition->offset_clean = cleaner->cleaned.offset_dirty;
    broker->cleaned_any = true;
    broker_checkpoint_clean(broker);
    atomic_store(&stats->cleaner_last_ms, (uint64_t)weir_clock_wall_ms(broker->clock));
    atomic_fetch_add(&stats->cleaner_passes, 1);
    weir_log(&broker->options.log, WEIR_LOG_INFO, "broker",
             "%s-%d compacted up to offset %lld: %lld bytes read, %lld written",
             partition->topic->name, (int)partition->index, (long long)partition->offset_clean,
             (long long)cleaner->cleaned.bytes_read, (long long)cleaner->cleaned.bytes_written);
}

void broker_cleaner_leave(struct weir_broker *broker, const struct topic *topic)
{
    struct broker_cleaner *cleaner = &broker->cleaner;
    if (!cleaner->cleaning || (topic && cleaner->topic != topic))
        return;
    weir_plog_cleaning_cancel(cleaner->cleaning);
    take_in(broker);
}

/* ---- the choice ------------------------------------------------------------------------------ */

struct choice {
    struct partition *partition; /* NULL: nothing is dirty enough */
    struct weir_plog_clean_settings settings;
    double ratio, ratio_max; /* of the chosen one; of all */
    bool overdue;
};

/* As Kafka: what has waited too long comes first, then the dirtiest. */
static void consider(const struct weir_broker *broker, struct partition *partition,
                     const struct topic_cleaning *how, struct choice *choice)
{
    struct weir_plog_clean_settings settings = {
        .offset_dirty = partition->offset_clean,
        .delete_retention_ms = how->delete_retention_ms,
        .min_compaction_lag_ms = how->lag_ms_min,
        .map_bytes = broker->options.cleaner_map_bytes,
    };
    struct weir_plog_dirt dirt;
    if (partition->uncleanable)
        return;
    weir_plog_dirt(partition->log, &settings, &dirt);
    if (dirt.dirty_bytes == 0)
        return;
    double ratio = (double)dirt.dirty_bytes / (double)(dirt.clean_bytes + dirt.dirty_bytes);
    bool overdue = weir_clock_wall_ms(broker->clock) - dirt.dirty_since_ms > how->lag_ms_max;
    choice->ratio_max = ratio > choice->ratio_max ? ratio : choice->ratio_max;
    if (!overdue && ratio <= how->dirty_ratio_min)
        return;
    if (choice->partition &&
        (choice->overdue > overdue || (choice->overdue == overdue && choice->ratio >= ratio)))
        return;
    choice->partition = partition;
    choice->settings = settings;
    choice->ratio = ratio;
    choice->overdue = overdue;
}

static void choose(struct weir_broker *broker, struct choice *choice)
{
    *choice = (struct choice){.partition = NULL};
    for (struct weir_map_entry *e = NULL; (e = weir_map_next(&broker->topics, e)) != NULL;) {
        struct topic *topic = e->value.pointer;
        struct topic_cleaning how;
        if (!broker_topic_compacts(topic))
            continue;
        broker_topic_cleaning(broker, topic, &how);
        for (int32_t i = 0; i < topic->partition_count; i++)
            consider(broker, &topic->partitions[i], &how, choice);
    }
    atomic_store(&broker->stats.cleaner_dirty_percent_max, (uint32_t)(100 * choice->ratio_max));
}

void broker_cleaner_maintain(struct weir_broker *broker)
{
    struct broker_cleaner *cleaner = &broker->cleaner;
    int64_t now_ms = weir_clock_now_ms(broker->clock);
    struct choice choice;
    if (cleaner->cleaning && !atomic_load(&cleaner->done))
        return;
    if (cleaner->cleaning) {
        take_in(broker);
        cleaner->look_ms = now_ms; /* there may be more */
    }
    if (!broker->options.cleaner_enable || now_ms < cleaner->look_ms)
        return;
    cleaner->look_ms = now_ms + broker->options.cleaner_backoff_ms;
    choose(broker, &choice);
    if (choice.partition)
        begin(broker, choice.partition, &choice.settings);
}
