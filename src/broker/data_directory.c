/*
 * broker/data_directory.c - the directory of the broker:
 *
 *      meta.properties                      version of this layout; identity
 *      .lock                                held while a broker runs here
 *      .kafka_cleanshutdown                 the last stop was orderly
 *      weir-topics                          topics, partition counts, settings (topics.c)
 *      weir-journal                         committed offsets, producer ids (journal.c)
 *      log-start-offset-checkpoint, recovery-point-offset-checkpoint, cleaner-offset-checkpoint
 *                                           checkpoints.c
 *      <topic>-<partition>/                 partition logs
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/assert.h"
#include "base/number.h"
#include "broker/inside.h"

enum { FORMAT = 1, LEFTOVERS_BYTES_MAX = 64 << 20 };

void broker_path(const struct weir_broker *broker, const char *name, char path[PATH_BYTES_MAX])
{
    snprintf(path, PATH_BYTES_MAX, "%s/%s", broker->data_dir, name);
}

/* ---- whose it is ----------------------------------------------------------------------------- */

static void make_cluster_id(struct weir_broker *broker)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
    uint8_t random[22];
    weir_assert(getrandom(random, sizeof random, 0) == (ssize_t)sizeof random);
    for (size_t i = 0; i < sizeof random; i++)
        broker->cluster_id[i] = letters[random[i] & 63];
}

static enum weir_err write_meta(struct weir_broker *broker, const char *path,
                                struct weir_error *error)
{
    char text[256];
    make_cluster_id(broker);
    int length = snprintf(text, sizeof text,
                          "# written by weir %s\nversion=1\nweir.format=%d\nbroker.id=%d\n"
                          "cluster.id=%s\n",
                          WEIR_VERSION, FORMAT, BROKER_ID, broker->cluster_id);
    return weir_disk_replace_file(broker->disk, path, text, (size_t)length, error);
}

/* Reads meta.properties, or writes it in a new directory. */
static enum weir_err check_meta(struct weir_broker *broker, struct weir_error *error)
{
    char path[PATH_BYTES_MAX];
    struct weir_buffer text;
    int format = 0;
    weir_buffer_init(&text, 1 << 16);
    broker_path(broker, "meta.properties", path);
    enum weir_err err = weir_disk_read_file(broker->disk, path, &text, error);
    if (err == WEIR_NOT_FOUND) {
        weir_buffer_release(&text);
        return write_meta(broker, path, error);
    }
    if (err == WEIR_OK) {
        const char *number = strstr(weir_buffer_text(&text), "weir.format=");
        const char *id = strstr(weir_buffer_text(&text), "cluster.id=");
        if (!number || sscanf(number, "weir.format=%d", &format) != 1)
            err = weir_error_set(error, WEIR_INVALID, -1,
                                 "%s: not a directory of weir broker (Apache Kafka's own can't be "
                                 "taken over); give another --data-dir",
                                 broker->data_dir);
        else if (format > FORMAT)
            err =
                weir_error_set(error, WEIR_OTHER_VERSION, -1,
                               "%s: written by a newer version of weir (format %d, this one knows "
                               "%d); use that version, or another --data-dir",
                               broker->data_dir, format, FORMAT);
        else if (!id || sscanf(id, "cluster.id=%22s", broker->cluster_id) != 1)
            err = weir_error_set(error, WEIR_CORRUPT, -1, "%s: has no cluster.id", path);
    }
    weir_buffer_release(&text);
    return err;
}

static enum weir_err lock_directory(struct weir_broker *broker, struct weir_error *error)
{
    char path[PATH_BYTES_MAX];
    enum weir_err err = weir_disk_make_directories(broker->disk, broker->data_dir, 0755, error);
    broker_path(broker, ".lock", path);
    if (err == WEIR_OK)
        err = weir_disk_open(broker->disk, path, O_RDWR | O_CREAT, 0644, &broker->lock_fd, error);
    if (err == WEIR_OK)
        err = weir_disk_lock(broker->disk, path, broker->lock_fd, error);
    if (err == WEIR_IN_USE)
        weir_error_set(error, err, -1,
                       "%s: another broker runs on this directory; stop it, or give another "
                       "--data-dir",
                       broker->data_dir);
    return err;
}

/* Was the last stop orderly? From now on it is not, until the next one. */
static void take_clean_mark(struct weir_broker *broker)
{
    char path[PATH_BYTES_MAX];
    broker_path(broker, ".kafka_cleanshutdown", path);
    /* Gone for good: after a power cut it would lie. */
    broker->was_clean = weir_disk_unlink(broker->disk, path, NULL) == WEIR_OK &&
                        weir_disk_sync_directory(broker->disk, broker->data_dir, NULL) == WEIR_OK;
}

enum weir_err broker_directory_open(struct weir_broker *broker, struct weir_error *error)
{
    enum weir_err err = lock_directory(broker, error);
    if (err == WEIR_OK)
        err = check_meta(broker, error);
    if (err == WEIR_OK)
        take_clean_mark(broker);
    return err;
}

enum weir_err broker_directory_close(struct weir_broker *broker, bool clean,
                                     struct weir_error *error)
{
    char path[PATH_BYTES_MAX];
    enum weir_err err = WEIR_OK;
    broker_path(broker, ".kafka_cleanshutdown", path);
    if (clean)
        err = weir_disk_replace_file(broker->disk, path, "clean\n", 6, error);
    broker_path(broker, ".lock", path);
    weir_disk_close(broker->disk, path, broker->lock_fd, NULL);
    return err;
}

/* ---- leftovers ------------------------------------------------------------------------------- */

/* What lies in the directory beside the topics of the catalogue. */
struct leftovers {
    const struct weir_broker *broker;
    struct weir_buffer names; /* of folders, each with its NUL */
};

/* Ends the walk at the first name that no partition log has. */
static enum weir_err look_at_file(void *opaque, const char *name, bool is_directory)
{
    enum { OFFSET_DIGITS = 20 };
    (void)opaque;
    if (is_directory || strspn(name, "0123456789") != OFFSET_DIGITS || name[OFFSET_DIGITS] != '.')
        return WEIR_EXISTS;
    return WEIR_OK;
}

static enum weir_err look_at_name(void *opaque, const char *name, bool is_directory)
{
    struct leftovers *leftovers = opaque;
    const char *dash = strrchr(name, '-');
    int64_t index;
    if (!is_directory || !dash || dash[1] < '0' || dash[1] > '9' ||
        weir_parse_int64(weir_slice(dash + 1, strlen(dash + 1)), &index) != WEIR_OK ||
        index >= PARTITIONS_MAX ||
        !broker_topic_name_valid(weir_slice(name, (size_t)(dash - name))))
        return WEIR_OK;
    if (broker_partition_find(leftovers->broker, weir_slice(name, (size_t)(dash - name)),
                              (int32_t)index))
        return WEIR_OK;
    char path[PATH_BYTES_MAX]; /* somebody else's folder may have such a name, too */
    broker_path(leftovers->broker, name, path);
    if (weir_disk_list(leftovers->broker->disk, path, look_at_file, NULL, NULL) != WEIR_OK)
        return WEIR_OK;
    return weir_buffer_append(&leftovers->names, name, strlen(name) + 1);
}

enum weir_err broker_directory_sweep(struct weir_broker *broker, bool has_catalogue,
                                     struct weir_error *error)
{
    struct leftovers leftovers = {.broker = broker};
    char path[PATH_BYTES_MAX];
    weir_buffer_init(&leftovers.names, LEFTOVERS_BYTES_MAX);
    enum weir_err err =
        weir_disk_list(broker->disk, broker->data_dir, look_at_name, &leftovers, error);
    if (err == WEIR_OK && leftovers.names.bytes && !has_catalogue)
        err =
            weir_error_set(error, WEIR_CORRUPT, -1,
                           "%s: holds partitions (%s), but weir-topics is missing; restore it, or "
                           "give another --data-dir",
                           broker->data_dir, weir_buffer_text(&leftovers.names));
    for (size_t at = 0; err == WEIR_OK && at < leftovers.names.bytes;) {
        const char *name = (const char *)leftovers.names.data + at;
        broker_path(broker, name, path);
        err = weir_plog_destroy(path, broker->disk, error);
        weir_log(&broker->options.log, WEIR_LOG_WARN, "broker",
                 "%s: left over from an unfinished creation or deletion, removed", name);
        at += strlen(name) + 1;
    }
    weir_buffer_release(&leftovers.names);
    return err;
}
