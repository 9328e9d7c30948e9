/*
 * broker/topic_config.c - the settings of a topic: Kafka's names, checks and defaults.
 *
 * Those that mean nothing on one node are accepted and read back, for clients set them as a matter
 * of course.
 */
#include <stdio.h>
#include <string.h>

#include "base/number.h"
#include "base/settings.h"
#include "broker/inside.h"

static const char ratio_name[] = "min.cleanable.dirty.ratio";

const struct topic_config broker_topic_configs[] = {
    {"cleanup.policy", "delete"},
    {"compression.type", "producer"},
    {"delete.retention.ms", "86400000"},
    {"file.delete.delay.ms", "60000"},
    {"flush.messages", "9223372036854775807"},
    {"flush.ms", "9223372036854775807"},
    {"index.interval.bytes", "4096"},
    {"max.compaction.lag.ms", "9223372036854775807"},
    {"max.message.bytes", "1048588"},
    {"message.format.version", "3.0-IV1"},
    {"message.timestamp.difference.max.ms", "9223372036854775807"},
    {"message.timestamp.type", "CreateTime"},
    {"min.cleanable.dirty.ratio", "0.5"},
    {"min.compaction.lag.ms", "0"},
    {"min.insync.replicas", "1"},
    {"preallocate", "false"},
    {"retention.bytes", "-1"},
    {"retention.ms", "604800000"},
    {"segment.bytes", "1073741824"},
    {"segment.index.bytes", "10485760"},
    {"segment.jitter.ms", "0"},
    {"segment.ms", "604800000"},
    {"unclean.leader.election.enable", "false"},
};

const size_t broker_topic_config_count = sizeof broker_topic_configs / sizeof *broker_topic_configs;

const struct topic_config *broker_topic_config_find(struct weir_slice name)
{
    for (size_t i = 0; i < broker_topic_config_count; i++)
        if (weir_slice_equal(name, weir_slice(broker_topic_configs[i].name,
                                              strlen(broker_topic_configs[i].name))))
            return &broker_topic_configs[i];
    return NULL;
}

static bool is_one_of(struct weir_slice value, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (weir_slice_equal(value, weir_slice(words[i], strlen(words[i]))))
            return true;
    return false;
}

static enum weir_err unknown(struct weir_slice name, struct weir_error *error)
{
    const char *names[sizeof broker_topic_configs / sizeof *broker_topic_configs + 1] = {NULL};
    char text[128];
    snprintf(text, sizeof text, "%.*s", name.bytes > 100 ? 100 : (int)name.bytes,
             (const char *)name.data);
    for (size_t i = 0; i < broker_topic_config_count; i++)
        names[i] = broker_topic_configs[i].name;
    const char *near = weir_nearest_name(text, names);
    return weir_error_set(error, WEIR_INVALID, -1, "unknown topic config name: %s%s%s", text,
                          near ? "; did you mean " : "", near ? near : "");
}

/* Smallest value of a number; retention may be -1, a segment must hold something. */
static int64_t least_of(const char *name)
{
    if (strncmp(name, "retention.", 10) == 0)
        return -1;
    if (strcmp(name, "segment.bytes") == 0)
        return 14;
    return strcmp(name, "segment.ms") == 0 || strcmp(name, "min.insync.replicas") == 0 ||
                   strcmp(name, "max.compaction.lag.ms") == 0
               ? 1
               : 0;
}

enum weir_err broker_topic_config_check(struct weir_slice name, struct weir_slice value,
                                        struct weir_error *error)
{
    static const char *const policies[] = {"delete", "compact", "compact,delete", "delete,compact"};
    static const char *const types[] = {"CreateTime", "LogAppendTime"};
    static const char *const codecs[] = {"producer", "uncompressed", "none", "gzip",
                                         "snappy",   "lz4",          "zstd"};
    static const char *const truths[] = {"true", "false"};
    const struct topic_config *config = broker_topic_config_find(name);
    bool valid = true;
    int64_t number;
    double ratio;
    if (!config)
        return unknown(name, error);
    if (!value.data)
        return WEIR_OK;
    if (strcmp(config->name, "cleanup.policy") == 0)
        valid = is_one_of(value, policies, 4);
    else if (strcmp(config->name, "message.timestamp.type") == 0)
        valid = is_one_of(value, types, 2);
    else if (strcmp(config->name, "compression.type") == 0)
        valid = is_one_of(value, codecs, 7);
    else if (strcmp(config->default_text, "false") == 0)
        valid = is_one_of(value, truths, 2);
    else if (strcmp(config->name, "message.format.version") == 0)
        valid =
            value.bytes <= 16 && broker_topic_name_valid(value); /* "3.0-IV1": nobody reads it */
    else if (strcmp(config->name, ratio_name) == 0)
        valid = weir_parse_double(value, &ratio) == WEIR_OK && ratio >= 0 && ratio <= 1;
    else
        valid = weir_parse_int64(value, &number) == WEIR_OK && number >= least_of(config->name);
    if (valid)
        return WEIR_OK;
    return weir_error_set(error, WEIR_INVALID, -1, "invalid value %.*s for topic config %s",
                          value.bytes > 60 ? 60 : (int)value.bytes, (const char *)value.data,
                          config->name);
}

/* What the broker's own options say of a setting. False: nothing, Kafka's default holds. */
static bool broker_number(const struct weir_broker *broker, const char *name, int64_t *number)
{
    const struct weir_broker_options *options = &broker->options;
    if (strcmp(name, "retention.ms") == 0)
        *number = options->retention_ms;
    else if (strcmp(name, "retention.bytes") == 0)
        *number = options->retention_bytes;
    else if (strcmp(name, "segment.bytes") == 0)
        *number = options->segment_bytes;
    else if (strcmp(name, "max.message.bytes") == 0)
        *number = options->message_bytes_max;
    else if (strcmp(name, "delete.retention.ms") == 0)
        *number = options->cleaner_delete_retention_ms;
    else if (strcmp(name, "min.compaction.lag.ms") == 0)
        *number = options->cleaner_lag_ms_min;
    else if (strcmp(name, "max.compaction.lag.ms") == 0)
        *number = options->cleaner_lag_ms_max;
    else
        return false;
    return true;
}

enum config_source broker_topic_config_text(const struct weir_broker *broker,
                                            const struct topic *topic,
                                            const struct topic_config *config,
                                            char text[CONFIG_TEXT_MAX])
{
    const char *set = topic ? weir_map_get_text(&topic->configs, config->name) : NULL;
    int64_t number;
    snprintf(text, CONFIG_TEXT_MAX, "%s", set ? set : config->default_text);
    if (set)
        return CONFIG_OF_TOPIC;
    if (broker_number(broker, config->name, &number))
        snprintf(text, CONFIG_TEXT_MAX, "%lld", (long long)number);
    else if (strcmp(config->name, ratio_name) == 0)
        snprintf(text, CONFIG_TEXT_MAX, "%g", broker->options.cleaner_dirty_ratio_min);
    else
        return CONFIG_DEFAULT;
    return strcmp(text, config->default_text) == 0 ? CONFIG_DEFAULT : CONFIG_OF_BROKER;
}

/* The value in force of a number; names here are those of the table. */
static int64_t number_of(const struct weir_broker *broker, const struct topic *topic,
                         const char *name)
{
    char text[CONFIG_TEXT_MAX];
    int64_t number = 0;
    const struct topic_config *config = broker_topic_config_find(weir_slice(name, strlen(name)));
    broker_topic_config_text(broker, topic, config, text);
    if (weir_parse_int64(weir_slice(text, strlen(text)), &number) != WEIR_OK)
        number = 0; /* it was checked when it was set */
    return number;
}

bool broker_topic_compacts(const struct topic *topic)
{
    const char *policy = weir_map_get_text(&topic->configs, "cleanup.policy");
    return policy && strstr(policy, "compact") != NULL;
}

bool broker_topic_deletes(const struct topic *topic)
{
    const char *policy = weir_map_get_text(&topic->configs, "cleanup.policy");
    return !policy || strstr(policy, "delete") != NULL;
}

void broker_topic_cleaning(const struct weir_broker *broker, const struct topic *topic,
                           struct topic_cleaning *out)
{
    const char *ratio = weir_map_get_text(&topic->configs, ratio_name);
    *out = (struct topic_cleaning){
        .delete_retention_ms = number_of(broker, topic, "delete.retention.ms"),
        .lag_ms_min = number_of(broker, topic, "min.compaction.lag.ms"),
        .lag_ms_max = number_of(broker, topic, "max.compaction.lag.ms"),
        .dirty_ratio_min = broker->options.cleaner_dirty_ratio_min,
    };
    if (ratio &&
        weir_parse_double(weir_slice(ratio, strlen(ratio)), &out->dirty_ratio_min) != WEIR_OK)
        out->dirty_ratio_min = 0; /* it was checked when it was set */
}

void broker_topic_log_options(const struct weir_broker *broker, const struct topic *topic,
                              struct weir_plog_options *options)
{
    const char *type = weir_map_get_text(&topic->configs, "message.timestamp.type");
    weir_plog_options_default(options);
    options->segment_bytes = number_of(broker, topic, "segment.bytes");
    options->segment_ms = number_of(broker, topic, "segment.ms");
    options->retention_bytes = number_of(broker, topic, "retention.bytes");
    options->retention_ms = number_of(broker, topic, "retention.ms");
    options->producer_id_expiration_ms = broker->options.producer_id_expiration_ms;
    options->index_interval_bytes = (int32_t)number_of(broker, topic, "index.interval.bytes");
    options->message_bytes_max = (int32_t)number_of(broker, topic, "max.message.bytes");
    options->log_append_time = type && strcmp(type, "LogAppendTime") == 0;
    options->deletes = broker_topic_deletes(topic);
    if (broker_topic_compacts(topic)) {
        /* Only what is sealed is compacted. */
        int64_t lag_ms = number_of(broker, topic, "max.compaction.lag.ms");
        if (lag_ms < options->segment_ms)
            options->segment_ms = lag_ms;
    }
    options->flush = (enum weir_plog_flush)broker->options.flush;
    options->disk = broker->disk;
    options->clock = broker->clock;
    options->log = broker->options.log;
}
