/*
 * broker/checkpoints.c - three files of offsets, as Kafka writes them:
 *
 *      log-start-offset-checkpoint          the first offset of each partition
 *      recovery-point-offset-checkpoint     below it all is on the disk: the next open after a
 *                                           crash checks what lies behind it
 *      cleaner-offset-checkpoint            below it the log is compacted; only if some log is
 *
 * A recovery point that is too low costs time, one that is too high would hide torn records: it is
 * written behind the syncs, and anew when a topic goes, lest one of the same name inherits it.
 */
#include <stdio.h>
#include <string.h>

#include "broker/inside.h"

enum { FILE_BYTES_MAX = 64 << 20 };

static const char starts_name[] = "log-start-offset-checkpoint";
static const char recovery_name[] = "recovery-point-offset-checkpoint";
static const char clean_name[] = "cleaner-offset-checkpoint";

/* Version 0, a count, then "topic partition offset" lines. False: there is no such file. */
static bool read_file(const struct weir_broker *broker, const char *file, struct weir_map *into)
{
    char path[PATH_BYTES_MAX], name[TOPIC_NAME_BYTES_MAX + 16], topic[TOPIC_NAME_BYTES_MAX + 1];
    struct weir_buffer text;
    int index, skip;
    long long offset;
    weir_buffer_init(&text, FILE_BYTES_MAX);
    broker_path(broker, file, path);
    bool there = weir_disk_read_file(broker->disk, path, &text, NULL) == WEIR_OK;
    const char *at = there ? strchr(weir_buffer_text(&text), '\n') : NULL;
    at = at ? strchr(at + 1, '\n') : NULL;
    while (at && sscanf(at + 1, "%249s %d %lld%n", topic, &index, &offset, &skip) == 3) {
        struct weir_map_entry *entry;
        int length = snprintf(name, sizeof name, "%s-%d", topic, index);
        if (weir_map_add(into, weir_slice(name, (size_t)length), &entry, NULL) != WEIR_OK)
            break;
        entry->value.number = (uint64_t)offset;
        at = strchr(at + 1, '\n');
    }
    weir_buffer_release(&text);
    return there;
}

void broker_checkpoints_read(struct weir_broker *broker)
{
    read_file(broker, starts_name, &broker->starts);
    broker->has_recovery_points = read_file(broker, recovery_name, &broker->recovery_points);
    broker->cleaned_any = read_file(broker, clean_name, &broker->clean);
}

void broker_checkpoints_forget(struct weir_broker *broker)
{
    weir_map_release(&broker->starts);
    weir_map_release(&broker->recovery_points);
    weir_map_release(&broker->clean);
}

/* -1: the file has nothing of this partition. */
static int64_t find(const struct weir_map *offsets, const char *topic, int32_t index)
{
    char name[TOPIC_NAME_BYTES_MAX + 16];
    int length = snprintf(name, sizeof name, "%s-%d", topic, (int)index);
    const struct weir_map_entry *entry = weir_map_find(offsets, weir_slice(name, (size_t)length));
    return entry ? (int64_t)entry->value.number : -1;
}

struct weir_plog_recovery broker_checkpoint_find(const struct weir_broker *broker,
                                                 const char *topic, int32_t index)
{
    struct weir_plog_recovery recovery = {
        .clean = broker->was_clean,
        .offset_first = find(&broker->starts, topic, index),
        .offset_recovery = find(&broker->recovery_points, topic, index),
    };
    if (recovery.offset_recovery < 0 && broker->has_recovery_points)
        recovery.offset_recovery = 0; /* younger than the file: nothing of it is sure */
    return recovery;
}

int64_t broker_checkpoint_find_clean(const struct weir_broker *broker, const char *topic,
                                     int32_t index)
{
    return find(&broker->clean, topic, index);
}

static enum weir_err write_file(struct weir_broker *broker, const char *file,
                                int64_t (*offset_of)(const struct partition *partition),
                                struct weir_error *error)
{
    char path[PATH_BYTES_MAX];
    struct weir_buffer text;
    struct weir_error cause = {.code = WEIR_OK};
    weir_buffer_init(&text, FILE_BYTES_MAX);
    enum weir_err err = weir_buffer_appendf(&text, "0\n%d\n", (int)broker->partition_count);
    for (struct partition *at = NULL;
         err == WEIR_OK && (at = broker_partition_next(broker, at)) != NULL;)
        err = weir_buffer_appendf(&text, "%s %d %lld\n", at->topic->name, (int)at->index,
                                  (long long)offset_of(at));
    broker_path(broker, file, path);
    if (err == WEIR_OK)
        err = weir_disk_replace_file(broker->disk, path, text.data, text.bytes, &cause);
    else
        weir_error_set(&cause, err, -1, "no memory for the list of partitions");
    weir_buffer_release(&text);
    if (err == WEIR_OK)
        return err;
    weir_log(&broker->options.log, WEIR_LOG_ERROR, "broker", "%s: %s", path, cause.message);
    if (error)
        *error = cause;
    return err;
}

static int64_t first_of(const struct partition *partition)
{
    return weir_plog_offset_first(partition->log);
}

enum weir_err broker_checkpoint_starts(struct weir_broker *broker, struct weir_error *error)
{
    return write_file(broker, starts_name, first_of, error);
}

static int64_t flushed_of(const struct partition *partition)
{
    return weir_plog_offset_flushed(partition->log);
}

void broker_checkpoint_recovery(struct weir_broker *broker)
{
    (void)!write_file(broker, recovery_name, flushed_of, NULL);
}

static int64_t clean_of(const struct partition *partition)
{
    return partition->offset_clean > 0 ? partition->offset_clean : 0;
}

void broker_checkpoint_clean(struct weir_broker *broker)
{
    if (broker->cleaned_any)
        (void)!write_file(broker, clean_name, clean_of, NULL);
}
