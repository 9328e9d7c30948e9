/* cli/embedded.c - a broker inside this process, see embedded.h. */
#include "cli/embedded.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/errno_error.h"

struct embedded {
    struct weir_broker *broker;
    char *directory;
    bool temporary; /* the directory is removed at the end */
    struct weir_log log;
};

/* ---- the directory --------------------------------------------------------------------------- */

static enum weir_err make_temporary(char **out, struct weir_error *error)
{
    const char *base = secure_getenv("TMPDIR");
    size_t bytes = strlen(base && *base ? base : "/tmp") + sizeof "/weir-demo-XXXXXX";
    char *path = weir_alloc(bytes);
    if (!path)
        return weir_error_set(error, WEIR_NOMEM, -1, "no memory for a path");
    snprintf(path, bytes, "%s/weir-demo-XXXXXX", base && *base ? base : "/tmp");
    if (!mkdtemp(path)) {
        enum weir_err err = weir_errno_set(error, errno, path, "making a temporary folder");
        weir_free(path);
        return err;
    }
    *out = path;
    return WEIR_OK;
}

/* $XDG_DATA_HOME/weir/broker, or ~/.local/share/weir/broker. */
static enum weir_err users_directory(char **out, struct weir_error *error)
{
    const char *data = secure_getenv("XDG_DATA_HOME"), *home = secure_getenv("HOME");
    bool xdg = data && *data == '/';
    if (!xdg && (!home || !*home))
        return weir_error_set(error, WEIR_INVALID, -1,
                              "neither XDG_DATA_HOME nor HOME is set; give --data-dir");
    size_t bytes = strlen(xdg ? data : home) + sizeof "/.local/share/weir/broker";
    *out = weir_alloc(bytes);
    if (!*out)
        return weir_error_set(error, WEIR_NOMEM, -1, "no memory for a path");
    snprintf(*out, bytes, "%s%s/weir/broker", xdg ? data : home, xdg ? "" : "/.local/share");
    return WEIR_OK;
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *place)
{
    (void)status;
    (void)kind;
    (void)place;
    return remove(path);
}

static void release(struct embedded *embedded)
{
    if (embedded->temporary && embedded->directory &&
        /* NOLINTNEXTLINE(concurrency-mt-unsafe): the working directory stays where it is */
        nftw(embedded->directory, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) != 0)
        weir_log(&embedded->log, WEIR_LOG_WARN, "broker", "%s can't be removed: %m",
                 embedded->directory);
    weir_free(embedded->directory);
    weir_free(embedded);
}

enum weir_err embedded_data_directory(const struct weir_settings *settings, char **out,
                                      struct weir_error *error)
{
    const char *given = weir_settings_string(settings, "log.dirs");
    if (!given)
        return users_directory(out, error);
    if (strchr(given, ','))
        return weir_error_set(error, WEIR_INVALID, -1,
                              "log.dirs: %s: the data lie in one directory here, not in several",
                              given);
    *out = weir_strdup(given);
    return *out ? WEIR_OK : weir_error_set(error, WEIR_NOMEM, -1, "no memory for a path");
}

enum weir_err embedded_users_path(const struct weir_settings *settings, char **out,
                                  struct weir_error *error)
{
    static const char name[] = "/weir-users";
    const char *given = weir_settings_string(settings, "users.file");
    char *directory;
    if (given) {
        *out = weir_strdup(given);
        return *out ? WEIR_OK : weir_error_set(error, WEIR_NOMEM, -1, "no memory for a path");
    }
    enum weir_err err = embedded_data_directory(settings, &directory, error);
    if (err != WEIR_OK)
        return err;
    size_t bytes = strlen(directory) + sizeof name;
    *out = weir_alloc(bytes);
    if (*out)
        snprintf(*out, bytes, "%s%s", directory, name);
    weir_free(directory);
    return *out ? WEIR_OK : weir_error_set(error, WEIR_NOMEM, -1, "no memory for a path");
}

static enum weir_err choose_directory(const struct embedded_options *options,
                                      struct embedded *embedded, struct weir_error *error)
{
    size_t in_memory = options->own_settings
                           ? (size_t)weir_settings_int(options->settings, "log.memory.bytes")
                           : 0;
    if (in_memory > 0 && weir_settings_is_set(options->settings, "log.dirs"))
        return weir_error_set(error, WEIR_INVALID, -1,
                              "--in-memory and --data-dir: give one of both");
    if (in_memory > 0)
        return WEIR_OK;
    embedded->temporary =
        options->temporary && !weir_settings_is_set(options->settings, "log.dirs");
    return embedded->temporary
               ? make_temporary(&embedded->directory, error)
               : embedded_data_directory(options->settings, &embedded->directory, error);
}

/* ---- the broker ------------------------------------------------------------------------------ */

/* Kafka's order: milliseconds win over minutes, those over hours. */
static int64_t retention_ms(const struct weir_settings *settings)
{
    static const struct {
        const char *name;
        int64_t unit_ms;
    } others[] = {{"log.retention.minutes", 60000}, {"log.retention.hours", 3600000}};
    int64_t ms = weir_settings_int(settings, "log.retention.ms");
    if (weir_settings_origin(settings, "log.retention.ms", NULL) > WEIR_ORIGIN_DEFAULT)
        return ms;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        if (!weir_settings_is_set(settings, others[i].name))
            continue;
        int64_t count = weir_settings_int(settings, others[i].name);
        return count < 0 ? -1 : count * others[i].unit_ms;
    }
    return ms;
}

static void security_settings(const struct weir_settings *settings,
                              struct weir_broker_options *options)
{
    options->sasl_mechanisms = weir_settings_string(settings, "sasl.enabled.mechanisms");
    options->tls.certificate_path = weir_settings_string(settings, "ssl.keystore.location");
    options->tls.key_password = weir_settings_string(settings, "ssl.key.password");
    options->tls.trust_path = weir_settings_string(settings, "ssl.truststore.location");
    options->tls.client_auth =
        (enum weir_broker_client_auth)weir_settings_enum(settings, "ssl.client.auth");
}

static void cleaner_settings(const struct weir_settings *settings,
                             struct weir_broker_options *options)
{
    options->cleaner_enable = weir_settings_bool(settings, "log.cleaner.enable");
    options->cleaner_backoff_ms = weir_settings_int(settings, "log.cleaner.backoff.ms");
    options->cleaner_map_bytes =
        (size_t)weir_settings_int(settings, "log.cleaner.dedupe.buffer.size");
    options->cleaner_dirty_ratio_min =
        weir_settings_double(settings, "log.cleaner.min.cleanable.ratio");
    options->cleaner_delete_retention_ms =
        weir_settings_int(settings, "log.cleaner.delete.retention.ms");
    options->cleaner_lag_ms_min = weir_settings_int(settings, "log.cleaner.min.compaction.lag.ms");
    options->cleaner_lag_ms_max = weir_settings_int(settings, "log.cleaner.max.compaction.lag.ms");
}

static void own_settings(const struct weir_settings *settings, struct weir_broker_options *options)
{
    options->advertised = weir_settings_string(settings, "advertised.listeners");
    options->partitions = (int32_t)weir_settings_int(settings, "num.partitions");
    options->auto_create_topics = weir_settings_bool(settings, "auto.create.topics.enable");
    options->group_initial_rebalance_delay_ms =
        (int32_t)weir_settings_int(settings, "group.initial.rebalance.delay.ms");
    options->group_session_timeout_ms_min =
        (int32_t)weir_settings_int(settings, "group.min.session.timeout.ms");
    options->group_session_timeout_ms_max =
        (int32_t)weir_settings_int(settings, "group.max.session.timeout.ms");
    options->retention_ms = retention_ms(settings);
    options->retention_bytes = weir_settings_int(settings, "log.retention.bytes");
    options->message_bytes_max = (int32_t)weir_settings_int(settings, "message.max.bytes");
    options->request_bytes_max = (size_t)weir_settings_int(settings, "socket.request.max.bytes");
    options->connections_max = (uint32_t)weir_settings_int(settings, "max.connections");
    options->connections_max_idle_ms = weir_settings_int(settings, "connections.max.idle.ms");
    options->memory_bytes = (size_t)weir_settings_int(settings, "connections.memory.bytes");
    options->offsets_retention_ms =
        weir_settings_int(settings, "offsets.retention.minutes") * 60 * 1000;
    options->transaction_timeout_ms_max =
        (int32_t)weir_settings_int(settings, "transaction.max.timeout.ms");
    options->transactional_id_expiration_ms =
        weir_settings_int(settings, "transactional.id.expiration.ms");
    options->producer_id_expiration_ms = weir_settings_int(settings, "producer.id.expiration.ms");
    options->segment_bytes = weir_settings_int(settings, "log.segment.bytes");
    options->in_memory_bytes = (size_t)weir_settings_int(settings, "log.memory.bytes");
    options->flush = (enum weir_broker_flush)weir_settings_enum(settings, "flush");
}

enum weir_err embedded_check_listeners(const struct weir_settings *settings,
                                       struct weir_error *error)
{
    const char *text = weir_settings_string(settings, "listeners"), *origin = "listeners";
    enum weir_err err = WEIR_OK;
    weir_settings_origin(settings, "listeners", &origin);
    for (; *(text += strspn(text, " ,")) && err == WEIR_OK; text += strcspn(text, " ,")) {
        struct weir_endpoint endpoint;
        size_t bytes = strcspn(text, " ,");
        char *item = weir_strndup(text, bytes);
        if (!item)
            return weir_error_set(error, WEIR_NOMEM, -1, "no memory for a listener");
        const char *at = strstr(item, "://");
        err = weir_net_parse(at ? at + 3 : item, -1, &endpoint, error);
        weir_free(item);
    }
    if (err != WEIR_OK)
        weir_error_context(error, "%s", origin);
    return err;
}

enum weir_err embedded_start(const struct embedded_options *options, struct embedded **out,
                             struct weir_error *error)
{
    struct weir_broker_options broker;
    char *users = NULL;
    struct embedded *embedded = weir_calloc(1, sizeof *embedded);
    if (!embedded)
        return weir_error_set(error, WEIR_NOMEM, -1, "no memory for a broker");
    embedded->log = options->log;
    enum weir_err err = embedded_check_listeners(options->settings, error);
    if (err == WEIR_OK)
        err = choose_directory(options, embedded, error);
    weir_broker_options_default(&broker);
    if (options->own_settings) {
        own_settings(options->settings, &broker);
        cleaner_settings(options->settings, &broker);
        security_settings(options->settings, &broker);
        if (err == WEIR_OK)
            err = embedded_users_path(options->settings, &users, error);
        broker.users_path = users;
    }
    broker.listen = weir_settings_string(options->settings, "listeners");
    broker.data_dir = embedded->directory;
    broker.insecure = options->insecure;
    broker.log = options->log;
    if (err == WEIR_OK)
        err = weir_broker_start(&broker, &embedded->broker, error);
    if (err == WEIR_IN_USE && options->any_port) {
        broker.listen = "127.0.0.1:0";
        err = weir_broker_start(&broker, &embedded->broker, error);
    }
    weir_free(users);
    if (err != WEIR_OK) {
        release(embedded);
        return err;
    }
    *out = embedded;
    return WEIR_OK;
}

const char *embedded_address(const struct embedded *embedded)
{
    return weir_broker_address(embedded->broker);
}

const char *embedded_directory(const struct embedded *embedded)
{
    return embedded->directory;
}

struct weir_broker *embedded_broker(struct embedded *embedded)
{
    return embedded->broker;
}

void embedded_stop(struct embedded *embedded)
{
    struct weir_error error = {.code = WEIR_OK};
    if (!embedded)
        return;
    if (weir_broker_stop(embedded->broker, &error) != WEIR_OK)
        weir_log(&embedded->log, WEIR_LOG_ERROR, "broker", "%s", error.message);
    release(embedded);
}
