/*
 * broker/topics.c - the topics: the catalogue `weir-topics` names them, their partition counts and
 * settings; each partition has a log in a folder of the directory (data_directory.c).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/number.h"
#include "broker/inside.h"

enum { FILE_BYTES_MAX = 64 << 20, PROGRESS_EVERY = 1000 };

/* Version 1, of Weir 0.1, has no ids. */
static const char catalogue_head[] = "weir-topics 2\n", catalogue_head_1[] = "weir-topics 1\n";

/* ---- names ----------------------------------------------------------------------------------- */

static void partition_path(const struct weir_broker *broker, const char *topic, int32_t index,
                           char path[PATH_BYTES_MAX])
{
    snprintf(path, PATH_BYTES_MAX, "%s/%s-%d", broker->data_dir, topic, (int)index);
}

/* Kafka's rule: [a-zA-Z0-9._-]{1,249}, but not "." or "..". No such name leaves the directory. */
bool broker_topic_name_valid(struct weir_slice name)
{
    const char *at = name.data;
    if (name.bytes == 0 || name.bytes > TOPIC_NAME_BYTES_MAX ||
        (at[0] == '.' && (name.bytes == 1 || (name.bytes == 2 && at[1] == '.'))))
        return false;
    for (size_t i = 0; i < name.bytes; i++) {
        char c = at[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '.' || c == '_' || c == '-'))
            return false;
    }
    return true;
}

/* ---- finding --------------------------------------------------------------------------------- */

struct topic *broker_topic_find(const struct weir_broker *broker, struct weir_slice name)
{
    return name.data ? weir_map_get(&broker->topics, name) : NULL;
}

struct topic *broker_topic_find_id(const struct weir_broker *broker, struct wire_uuid id)
{
    return weir_map_get(&broker->topic_ids, weir_slice(id.bytes, sizeof id.bytes));
}

struct partition *broker_partition_find(const struct weir_broker *broker, struct weir_slice topic,
                                        int32_t index)
{
    struct topic *found = broker_topic_find(broker, topic);
    return found && index >= 0 && index < found->partition_count ? &found->partitions[index] : NULL;
}

/* ---- the catalogue --------------------------------------------------------------------------- */

static enum weir_err put_topic(struct weir_buffer *text, const struct topic *topic)
{
    char id[TOPIC_ID_TEXT_BYTES];
    broker_topic_id_format(topic->id, id);
    enum weir_err err = weir_buffer_appendf(text, "topic\t%s\t%d\t%s", topic->name,
                                            (int)topic->partition_count, id);
    for (struct weir_map_entry *e = NULL; (e = weir_map_next(&topic->configs, e)) != NULL;)
        if (err == WEIR_OK)
            err = weir_buffer_appendf(text, "\t%s=%s", e->key, (const char *)e->value.pointer);
    return err == WEIR_OK ? weir_buffer_append_byte(text, '\n') : err;
}

/* without: a topic that is to go, or NULL. */
static enum weir_err write_catalogue(struct weir_broker *broker, const struct topic *without,
                                     struct weir_error *error)
{
    char path[PATH_BYTES_MAX];
    struct weir_buffer text;
    weir_buffer_init(&text, FILE_BYTES_MAX);
    enum weir_err err = weir_buffer_append_text(&text, catalogue_head);
    for (struct weir_map_entry *e = NULL; (e = weir_map_next(&broker->topics, e)) != NULL;)
        if (err == WEIR_OK && e->value.pointer != without)
            err = put_topic(&text, e->value.pointer);
    broker_path(broker, "weir-topics", path);
    if (err == WEIR_OK)
        err = weir_disk_replace_file(broker->disk, path, text.data, text.bytes, error);
    else
        weir_error_set(error, err, -1, "the catalogue of topics is too large");
    weir_buffer_release(&text);
    return err;
}

/* ---- partition logs -------------------------------------------------------------------------- */

static enum weir_err open_partition(struct weir_broker *broker, struct topic *topic, int32_t index,
                                    struct weir_error *error)
{
    char path[PATH_BYTES_MAX];
    struct weir_plog_options options;
    struct partition *partition = &topic->partitions[index];
    struct weir_plog_recovery recovery = broker_checkpoint_find(broker, topic->name, index);
    partition_path(broker, topic->name, index, path);
    broker_topic_log_options(broker, topic, &options);
    *partition = (struct partition){
        .topic = topic,
        .index = index,
        .offset_clean = broker_checkpoint_find_clean(broker, topic->name, index),
    };
    enum weir_err err = weir_plog_open(path, &options, &recovery, &partition->log, error);
    if (err == WEIR_OK && broker_sync_add(partition) != WEIR_OK) {
        weir_plog_close(partition->log, NULL);
        partition->log = NULL;
        return weir_error_set(error, WEIR_NOMEM, -1, "%s: no memory", path);
    }
    if (err == WEIR_OK && ++broker->partition_count % PROGRESS_EVERY == 0 &&
        !broker->directory_ready)
        weir_log(&broker->options.log, WEIR_LOG_INFO, "broker", "%d partitions recovered",
                 (int)broker->partition_count);
    return err;
}

static void close_partitions(struct weir_broker *broker, struct topic *topic, int32_t from,
                             int32_t to)
{
    for (int32_t i = from; i < to; i++) {
        if (topic->partitions[i].log) {
            broker_sync_remove(broker, &topic->partitions[i]);
            weir_plog_close(topic->partitions[i].log, NULL);
            broker->partition_count--;
        }
        topic->partitions[i].log = NULL;
    }
}

/* Opens partitions from .. topic->partition_count-1; closes those it opened on failure. */
static enum weir_err open_partitions(struct weir_broker *broker, struct topic *topic, int32_t from,
                                     struct weir_error *error)
{
    enum weir_err err = WEIR_OK;
    int32_t index = from;
    for (; index < topic->partition_count && err == WEIR_OK; index++)
        err = open_partition(broker, topic, index, error);
    if (err == WEIR_OK)
        return err;
    close_partitions(broker, topic, from, index - 1);
    return err;
}

static void free_topic(struct topic *topic)
{
    for (struct weir_map_entry *e = NULL; (e = weir_map_next(&topic->configs, e)) != NULL;)
        weir_free(e->value.pointer);
    weir_map_release(&topic->configs);
    weir_free(topic->partitions);
    weir_free(topic->name);
    weir_free(topic);
}

static enum weir_err set_config(struct topic *topic, struct weir_slice name,
                                struct weir_slice value)
{
    union weir_map_value old;
    char *copy = NULL;
    if (value.data && !(copy = weir_strndup(value.data, value.bytes)))
        return WEIR_NOMEM;
    if (weir_map_remove(&topic->configs, name, &old))
        weir_free(old.pointer);
    enum weir_err err = copy ? weir_map_put(&topic->configs, name, copy) : WEIR_OK;
    if (err != WEIR_OK)
        weir_free(copy);
    return err;
}

/* Makes it known by name and id, or by neither. */
static enum weir_err enter_topic(struct weir_broker *broker, struct topic *topic)
{
    struct weir_slice id = weir_slice(topic->id.bytes, sizeof topic->id.bytes);
    enum weir_err err = weir_map_put(&broker->topic_ids, id, topic);
    if (err == WEIR_OK && (err = weir_map_put_text(&broker->topics, topic->name, topic)) != WEIR_OK)
        weir_map_remove(&broker->topic_ids, id, NULL);
    return err;
}

static void leave_topic(struct weir_broker *broker, struct topic *topic)
{
    weir_map_remove(&broker->topics, weir_slice(topic->name, strlen(topic->name)), NULL);
    weir_map_remove(&broker->topic_ids, weir_slice(topic->id.bytes, sizeof topic->id.bytes), NULL);
}

static struct topic *new_topic(struct weir_slice name, int32_t partitions)
{
    struct topic *topic = weir_calloc(1, sizeof *topic);
    if (!topic)
        return NULL;
    weir_map_init(&topic->configs, 64);
    topic->name = weir_strndup(name.data, name.bytes);
    topic->partitions = weir_calloc((size_t)partitions, sizeof *topic->partitions);
    topic->partition_count = partitions;
    topic->id = broker_topic_id_new();
    if (!topic->name || !topic->partitions) {
        free_topic(topic);
        return NULL;
    }
    return topic;
}

static void count_topics(struct weir_broker *broker)
{
    atomic_store(&broker->stats.topics, weir_map_count(&broker->topics));
    atomic_store(&broker->stats.partitions, (uint32_t)broker->partition_count);
}

/* Closes the logs of partitions from .. to-1 and removes their folders. */
static void destroy_partitions(struct weir_broker *broker, struct topic *topic, int32_t from,
                               int32_t to)
{
    char path[PATH_BYTES_MAX];
    close_partitions(broker, topic, from, to);
    for (int32_t i = from; i < to; i++) {
        struct weir_error error = {.code = WEIR_OK};
        partition_path(broker, topic->name, i, path);
        if (weir_plog_destroy(path, broker->disk, &error) != WEIR_OK)
            weir_log(&broker->options.log, WEIR_LOG_WARN, "broker", "%s", error.message);
    }
}

enum weir_err broker_topic_create(struct weir_broker *broker, struct weir_slice name,
                                  int32_t partitions, const struct config_pair *configs,
                                  uint32_t config_count, struct topic **out,
                                  struct weir_error *error)
{
    if (!broker_topic_name_valid(name))
        return weir_error_set(error, WEIR_INVALID, -1,
                              "a topic's name has 1 to 249 letters, digits, '.', '_' and '-'");
    if (broker_topic_find(broker, name))
        return weir_error_set(error, WEIR_EXISTS, -1, "Topic '%.*s' already exists.",
                              (int)name.bytes, (const char *)name.data);
    if (partitions < 1 || broker->partition_count + partitions > PARTITIONS_MAX)
        return weir_error_set(error, WEIR_LIMIT, -1,
                              "%d partitions: at least 1, and %d on this broker in all",
                              (int)partitions, PARTITIONS_MAX);
    struct topic *topic = new_topic(name, partitions);
    enum weir_err err = topic ? WEIR_OK : WEIR_NOMEM;
    for (uint32_t i = 0; i < config_count && err == WEIR_OK; i++) {
        err = broker_topic_config_check(configs[i].name, configs[i].value, error);
        if (err == WEIR_OK)
            err = set_config(topic, configs[i].name, configs[i].value);
    }
    if (err == WEIR_OK)
        err = open_partitions(broker, topic, 0, error);
    if (err == WEIR_OK) {
        err = enter_topic(broker, topic);
        if (err == WEIR_OK && (err = write_catalogue(broker, NULL, error)) != WEIR_OK)
            leave_topic(broker, topic);
        if (err != WEIR_OK)
            destroy_partitions(broker, topic, 0, partitions);
    }
    if (err != WEIR_OK) {
        if (topic)
            free_topic(topic);
        return err == WEIR_NOMEM ? weir_error_set(error, err, -1, "no memory for a topic") : err;
    }
    count_topics(broker);
    weir_log(&broker->options.log, WEIR_LOG_INFO, "broker", "topic %s created, %d partitions",
             topic->name, (int)partitions);
    if (out)
        *out = topic;
    return WEIR_OK;
}

enum weir_err broker_topic_grow(struct weir_broker *broker, struct topic *topic, int32_t partitions,
                                struct weir_error *error)
{
    int32_t before = topic->partition_count;
    if (partitions <= before)
        return weir_error_set(error, WEIR_INVALID, -1,
                              "topic %s has %d partitions; their number can only grow", topic->name,
                              (int)before);
    if (broker->partition_count + partitions - before > PARTITIONS_MAX)
        return weir_error_set(error, WEIR_LIMIT, -1, "over %d partitions on this broker",
                              PARTITIONS_MAX);
    for (int32_t i = 0; i < before; i++)
        broker_fetches_release(&topic->partitions[i]); /* they point at what moves now */
    struct partition *grown = weir_realloc(topic->partitions, (size_t)partitions * sizeof *grown);
    if (!grown)
        return weir_error_set(error, WEIR_NOMEM, -1, "no memory for partitions");
    memset(grown + before, 0, (size_t)(partitions - before) * sizeof *grown);
    topic->partitions = grown;
    topic->partition_count = partitions;
    for (int32_t i = 0; i < before; i++)
        broker_sync_moved(&grown[i]);
    enum weir_err err = open_partitions(broker, topic, before, error);
    if (err == WEIR_OK && (err = write_catalogue(broker, NULL, error)) != WEIR_OK)
        destroy_partitions(broker, topic, before, partitions);
    if (err != WEIR_OK)
        topic->partition_count = before;
    count_topics(broker);
    return err;
}

enum weir_err broker_topic_delete(struct weir_broker *broker, struct topic *topic,
                                  struct weir_error *error)
{
    struct weir_slice name = weir_slice(topic->name, strlen(topic->name));
    for (int32_t i = 0; i < topic->partition_count; i++)
        broker_fetches_release(&topic->partitions[i]);
    enum weir_err err = write_catalogue(broker, topic, error);
    if (err != WEIR_OK)
        return err;
    broker_cleaner_leave(broker, topic);
    leave_topic(broker, topic);
    destroy_partitions(broker, topic, 0, topic->partition_count);
    count_topics(broker);
    broker_checkpoint_starts(broker, NULL); /* lest a topic of this name begins where it ended */
    broker_checkpoint_recovery(broker);
    broker_checkpoint_clean(broker);
    broker_groups_forget_topic(broker, name);
    struct weir_error trouble = {.code = WEIR_OK};
    if (broker_journal_forget_topic(broker, name, &trouble) != WEIR_OK)
        weir_log(&broker->options.log, WEIR_LOG_ERROR, "broker",
                 "offsets committed for the deleted topic %s may come back: %s", topic->name,
                 trouble.message);
    weir_log(&broker->options.log, WEIR_LOG_INFO, "broker", "topic %s deleted", topic->name);
    free_topic(topic);
    return WEIR_OK;
}

enum weir_err broker_topic_configure(struct weir_broker *broker, struct topic *topic,
                                     const struct config_pair *configs, uint32_t config_count,
                                     struct weir_error *error)
{
    enum weir_err err = WEIR_OK;
    for (uint32_t i = 0; i < config_count && err == WEIR_OK; i++)
        err = broker_topic_config_check(configs[i].name, configs[i].value, error);
    for (uint32_t i = 0; i < config_count && err == WEIR_OK; i++)
        err = set_config(topic, configs[i].name, configs[i].value);
    if (err == WEIR_OK)
        err = write_catalogue(broker, NULL, error);
    for (int32_t i = 0; i < topic->partition_count; i++) {
        struct weir_plog_options options;
        broker_topic_log_options(broker, topic, &options);
        weir_plog_configure(topic->partitions[i].log, &options);
    }
    return err;
}

/* ---- opening --------------------------------------------------------------------------------- */

/* One line of the catalogue: "topic<TAB>name<TAB>partitions<TAB>id[<TAB>key=value]...". */
static enum weir_err read_topic(struct weir_broker *broker, char *line, bool has_id,
                                struct weir_error *error)
{
    char *rest = line, *word = strsep(&rest, "\t"), *name = strsep(&rest, "\t");
    char *count = strsep(&rest, "\t"), *id = has_id ? strsep(&rest, "\t") : NULL;
    struct wire_uuid uuid = {{0}};
    int64_t partitions;
    if (strcmp(word, "topic") != 0 || !name || !count ||
        !broker_topic_name_valid(weir_slice(name, strlen(name))) ||
        weir_parse_int64(weir_slice(count, strlen(count)), &partitions) != WEIR_OK ||
        partitions < 1 || partitions > PARTITIONS_MAX ||
        (has_id && (!id || !broker_topic_id_parse(id, &uuid))) ||
        broker_topic_find(broker, weir_slice(name, strlen(name))) ||
        broker_topic_find_id(broker, uuid))
        return weir_error_set(error, WEIR_CORRUPT, -1, "%s/weir-topics: a line can't be read: %s",
                              broker->data_dir, line);
    struct topic *topic = new_topic(weir_slice(name, strlen(name)), (int32_t)partitions);
    enum weir_err err = topic ? WEIR_OK : WEIR_NOMEM;
    if (topic && has_id)
        topic->id = uuid;
    while (err == WEIR_OK && (word = strsep(&rest, "\t")) != NULL) {
        char *value = strchr(word, '=');
        if (value) {
            *value++ = '\0';
            err =
                set_config(topic, weir_slice(word, strlen(word)), weir_slice(value, strlen(value)));
        }
    }
    if (err == WEIR_OK)
        err = open_partitions(broker, topic, 0, error);
    if (err == WEIR_OK)
        err = enter_topic(broker, topic);
    if (err != WEIR_OK && topic) {
        close_partitions(broker, topic, 0, topic->partition_count);
        free_topic(topic);
    }
    return err;
}

static enum weir_err read_catalogue(struct weir_broker *broker, struct weir_error *error)
{
    char path[PATH_BYTES_MAX];
    struct weir_buffer text;
    weir_buffer_init(&text, FILE_BYTES_MAX);
    broker_path(broker, "weir-topics", path);
    enum weir_err err = weir_disk_read_file(broker->disk, path, &text, error);
    if (err == WEIR_NOT_FOUND) {
        weir_buffer_release(&text);
        /* A new directory. From here on it has one: partitions without it are a loss. */
        err = broker_directory_sweep(broker, false, error);
        return err == WEIR_OK ? write_catalogue(broker, NULL, error) : err;
    }
    char *line = err == WEIR_OK ? (char *)(uintptr_t)weir_buffer_text(&text) : NULL;
    bool old = line && strncmp(line, catalogue_head_1, strlen(catalogue_head_1)) == 0;
    if (err == WEIR_OK && !old && strncmp(line, catalogue_head, strlen(catalogue_head)) != 0)
        err = weir_error_set(error, WEIR_OTHER_VERSION, -1,
                             "%s: not a catalogue of topics that this version reads", path);
    if (err == WEIR_OK)
        line += strlen(catalogue_head);
    for (char *next; err == WEIR_OK && *line; line = next) {
        next = strchr(line, '\n');
        if (!next) {
            err = weir_error_set(error, WEIR_CORRUPT, -1, "%s: the last line is cut off", path);
            break;
        }
        *next++ = '\0';
        err = read_topic(broker, line, !old, error);
    }
    weir_buffer_release(&text);
    if (err == WEIR_OK)
        err = broker_directory_sweep(broker, true, error);
    return err == WEIR_OK && old ? write_catalogue(broker, NULL, error)
                                 : err; /* ids are for ever */
}

enum weir_err broker_topics_open(struct weir_broker *broker, struct weir_error *error)
{
    enum weir_err err = broker_directory_open(broker, error);
    if (err != WEIR_OK)
        return err;
    broker_checkpoints_read(broker);
    int64_t start_ms = weir_clock_now_ms(broker->clock);
    err = read_catalogue(broker, error);
    count_topics(broker);
    broker->directory_ready = err == WEIR_OK;
    if (err == WEIR_OK && weir_map_count(&broker->starts) > (uint32_t)broker->partition_count) {
        broker_checkpoint_starts(broker, NULL); /* a deletion had not come to its end */
        broker_checkpoint_clean(broker);
    }
    broker_checkpoints_forget(broker);
    if (err == WEIR_OK) {
        broker_checkpoint_recovery(broker);
        broker_topics_sync(broker);
    }
    if (err == WEIR_OK && weir_map_count(&broker->topics))
        weir_log(&broker->options.log, WEIR_LOG_INFO, "broker",
                 "%u topics with %d partitions opened in %lld ms; the last stop was %s",
                 weir_map_count(&broker->topics), (int)broker->partition_count,
                 (long long)(weir_clock_now_ms(broker->clock) - start_ms),
                 broker->was_clean ? "orderly" : "not orderly");
    return err;
}

enum weir_err broker_topics_close(struct weir_broker *broker, struct weir_error *error)
{
    enum weir_err err = WEIR_OK;
    if (broker->directory_ready) /* else it is not ours, or only a part of it was read */
        broker_checkpoint_starts(broker, NULL);
    for (struct weir_map_entry *e = NULL; (e = weir_map_next(&broker->topics, e)) != NULL;) {
        struct topic *topic = e->value.pointer;
        for (int32_t i = 0; i < topic->partition_count; i++) {
            broker_sync_remove(broker, &topic->partitions[i]);
            enum weir_err closed =
                weir_plog_close(topic->partitions[i].log, err == WEIR_OK ? error : NULL);
            err = err == WEIR_OK ? closed : err;
        }
        free_topic(topic);
    }
    weir_map_release(&broker->topics);
    weir_map_release(&broker->topic_ids);
    broker_checkpoints_forget(broker);
    enum weir_err let_go =
        broker_directory_close(broker, err == WEIR_OK && broker->directory_ready, error);
    return err == WEIR_OK ? let_go : err;
}

struct partition *broker_partition_next(const struct weir_broker *broker,
                                        const struct partition *previous)
{
    const struct topic *topic = previous ? previous->topic : NULL;
    if (topic && previous->index + 1 < topic->partition_count)
        return &topic->partitions[previous->index + 1];
    struct weir_map_entry *entry =
        topic ? weir_map_find(&broker->topics, weir_slice(topic->name, strlen(topic->name))) : NULL;
    entry = weir_map_next(&broker->topics, entry);
    return entry ? ((struct topic *)entry->value.pointer)->partitions : NULL;
}

void broker_topics_maintain(struct weir_broker *broker)
{
    bool trimmed = false;
    for (struct partition *at = NULL; (at = broker_partition_next(broker, at)) != NULL;)
        trimmed |= weir_plog_maintain(at->log) > 0;
    if (trimmed)
        broker_checkpoint_starts(broker, NULL);
}

void broker_topics_sync(struct weir_broker *broker)
{
    for (struct partition *at = NULL; (at = broker_partition_next(broker, at)) != NULL;)
        broker_sync_if_needed(broker, at);
}
