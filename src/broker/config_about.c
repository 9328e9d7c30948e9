/* broker/config_about.c - types and explanations of settings, see config_about.h. */
#include "broker/config_about.h"

#include <stdio.h>
#include <string.h>

static const struct config_about abouts[] = {
    /* of topics */
    {"cleanup.policy", CONFIG_LIST, "log.cleanup.policy",
     "What becomes of old records: delete, compact (the newest of each key stays), or both."},
    {"compression.type", CONFIG_STRING, "compression.type",
     "The codec records are kept in; here always the producer's."},
    {"delete.retention.ms", CONFIG_LONG, "log.cleaner.delete.retention.ms",
     "How long a tombstone of a compacted topic stays."},
    {"file.delete.delay.ms", CONFIG_LONG, "log.segment.delete.delay.ms",
     "Accepted and kept; files are removed at once here."},
    {"flush.messages", CONFIG_LONG, "log.flush.interval.messages",
     "Accepted and kept; the broker's own flush setting decides here."},
    {"flush.ms", CONFIG_LONG, "log.flush.interval.ms",
     "Accepted and kept; the broker's own flush setting decides here."},
    {"index.interval.bytes", CONFIG_INT, "log.index.interval.bytes",
     "About how many bytes of records lie between two entries of an index."},
    {"max.compaction.lag.ms", CONFIG_LONG, "log.cleaner.max.compaction.lag.ms",
     "The longest time a record of a compacted topic may stay uncompacted."},
    {"max.message.bytes", CONFIG_INT, "message.max.bytes",
     "The largest batch of records, after compression."},
    {"message.format.version", CONFIG_STRING, NULL, "Accepted and kept; nothing reads it."},
    {"message.timestamp.difference.max.ms", CONFIG_LONG, NULL,
     "Accepted and kept; timestamps are not refused here."},
    {"message.timestamp.type", CONFIG_STRING, "log.message.timestamp.type",
     "Whose clock stamps records: the producer's (CreateTime) or the broker's (LogAppendTime)."},
    {"min.cleanable.dirty.ratio", CONFIG_DOUBLE, "log.cleaner.min.cleanable.ratio",
     "How much of a compacted log is to be new before it is compacted again."},
    {"min.compaction.lag.ms", CONFIG_LONG, "log.cleaner.min.compaction.lag.ms",
     "The shortest time a record of a compacted topic stays uncompacted."},
    {"min.insync.replicas", CONFIG_INT, "min.insync.replicas",
     "Accepted and kept; there is one replica here."},
    {"preallocate", CONFIG_BOOLEAN, "log.preallocate", "Accepted and kept; files grow as needed."},
    {"retention.bytes", CONFIG_LONG, "log.retention.bytes",
     "The size of a partition above which old segments go; -1 for none."},
    {"retention.ms", CONFIG_LONG, "log.retention.ms",
     "The age at which segments go; -1 for never."},
    {"segment.bytes", CONFIG_INT, "log.segment.bytes",
     "The size at which a partition begins a new segment."},
    {"segment.index.bytes", CONFIG_INT, "log.index.size.max.bytes",
     "Accepted and kept; indexes grow as needed."},
    {"segment.jitter.ms", CONFIG_LONG, "log.roll.jitter.ms",
     "Accepted and kept; segments roll without jitter."},
    {"segment.ms", CONFIG_LONG, "log.roll.ms",
     "The age at which a partition begins a new segment."},
    {"unclean.leader.election.enable", CONFIG_BOOLEAN, "unclean.leader.election.enable",
     "Accepted and kept; there is one replica here."},
    /* of the broker */
    {"auto.create.topics.enable", CONFIG_BOOLEAN, NULL,
     "Whether a topic is made when a client asks for one that is missing."},
    {"default.replication.factor", CONFIG_INT, NULL, "Copies of each partition: one."},
    {"group.initial.rebalance.delay.ms", CONFIG_INT, NULL,
     "How long an empty group waits for more members before its first rebalance."},
    {"listeners", CONFIG_LIST, NULL, "Where the broker takes connections."},
    {"log.cleaner.backoff.ms", CONFIG_LONG, NULL,
     "How long compaction rests when nothing is dirty enough."},
    {"log.cleaner.dedupe.buffer.size", CONFIG_LONG, NULL, "Memory of a pass of compaction."},
    {"log.cleaner.delete.retention.ms", CONFIG_LONG, NULL,
     "What topics have that do not set delete.retention.ms."},
    {"log.cleaner.enable", CONFIG_BOOLEAN, NULL, "Whether topics are compacted."},
    {"log.cleaner.max.compaction.lag.ms", CONFIG_LONG, NULL,
     "What topics have that do not set max.compaction.lag.ms."},
    {"log.cleaner.min.cleanable.ratio", CONFIG_DOUBLE, NULL,
     "What topics have that do not set min.cleanable.dirty.ratio."},
    {"log.cleaner.min.compaction.lag.ms", CONFIG_LONG, NULL,
     "What topics have that do not set min.compaction.lag.ms."},
    {"log.dirs", CONFIG_STRING, NULL, "The directory that holds everything."},
    {"log.retention.bytes", CONFIG_LONG, NULL, "What topics have that do not set retention.bytes."},
    {"log.retention.ms", CONFIG_LONG, NULL, "What topics have that do not set retention.ms."},
    {"log.segment.bytes", CONFIG_INT, NULL, "What topics have that do not set segment.bytes."},
    {"max.connections", CONFIG_INT, NULL, "How many connections there may be."},
    {"message.max.bytes", CONFIG_INT, NULL, "What topics have that do not set max.message.bytes."},
    {"node.id", CONFIG_INT, NULL, "The broker's number in answers."},
    {"num.partitions", CONFIG_INT, NULL, "Partitions of a topic that does not say how many."},
    {"offsets.retention.minutes", CONFIG_INT, NULL,
     "How long committed offsets outlive the use of their group."},
    {"producer.id.expiration.ms", CONFIG_INT, NULL,
     "How long a partition knows an idempotent producer that sends nothing to it."},
    {"socket.request.max.bytes", CONFIG_INT, NULL, "The largest request."},
    {"transaction.max.timeout.ms", CONFIG_INT, NULL,
     "The longest time for which a producer may ask to keep a transaction open."},
    {"transactional.id.expiration.ms", CONFIG_INT, NULL,
     "How long a transactional id that nobody uses is known."},
};

const struct config_about *broker_config_about(const char *name)
{
    static const struct config_about nothing = {"", CONFIG_STRING, NULL, ""};
    for (size_t i = 0; i < sizeof abouts / sizeof *abouts; i++)
        if (strcmp(abouts[i].name, name) == 0)
            return &abouts[i];
    return &nothing;
}

/* ---- the broker's own ------------------------------------------------------------------------ */

const struct broker_config broker_configs[] = {
    {"auto.create.topics.enable", "true"},
    {"default.replication.factor", "1"},
    {"group.initial.rebalance.delay.ms", "0"},
    {"listeners", NULL},
    {"log.cleaner.backoff.ms", "15000"},
    {"log.cleaner.dedupe.buffer.size", "16777216"},
    {"log.cleaner.delete.retention.ms", "86400000"},
    {"log.cleaner.enable", "true"},
    {"log.cleaner.max.compaction.lag.ms", "9223372036854775807"},
    {"log.cleaner.min.cleanable.ratio", "0.5"},
    {"log.cleaner.min.compaction.lag.ms", "0"},
    {"log.dirs", NULL},
    {"log.retention.bytes", "-1"},
    {"log.retention.ms", "604800000"},
    {"log.segment.bytes", "1073741824"},
    {"max.connections", "10000"},
    {"message.max.bytes", "1048588"},
    {"min.insync.replicas", "1"},
    {"node.id", NULL},
    {"num.partitions", "1"},
    {"offsets.retention.minutes", "10080"},
    {"producer.id.expiration.ms", "86400000"},
    {"socket.request.max.bytes", "104857600"},
    {"transaction.max.timeout.ms", "900000"},
    {"transactional.id.expiration.ms", "604800000"},
};

const size_t broker_config_count = sizeof broker_configs / sizeof *broker_configs;

/* The number that an option of this name has. */
static int64_t number_of(const struct weir_broker *broker, const char *name)
{
    const struct weir_broker_options *options = &broker->options;
    const struct {
        const char *name;
        int64_t number;
    } numbers[] = {
        {"group.initial.rebalance.delay.ms", options->group_initial_rebalance_delay_ms},
        {"log.cleaner.backoff.ms", options->cleaner_backoff_ms},
        {"log.cleaner.dedupe.buffer.size", (int64_t)options->cleaner_map_bytes},
        {"log.cleaner.delete.retention.ms", options->cleaner_delete_retention_ms},
        {"log.cleaner.max.compaction.lag.ms", options->cleaner_lag_ms_max},
        {"log.cleaner.min.compaction.lag.ms", options->cleaner_lag_ms_min},
        {"log.retention.bytes", options->retention_bytes},
        {"log.retention.ms", options->retention_ms},
        {"log.segment.bytes", options->segment_bytes},
        {"max.connections", options->connections_max},
        {"message.max.bytes", options->message_bytes_max},
        {"node.id", BROKER_ID},
        {"num.partitions", options->partitions},
        {"offsets.retention.minutes", options->offsets_retention_ms / 60000},
        {"producer.id.expiration.ms", options->producer_id_expiration_ms},
        {"socket.request.max.bytes", (int64_t)options->request_bytes_max},
        {"transaction.max.timeout.ms", options->transaction_timeout_ms_max},
        {"transactional.id.expiration.ms", options->transactional_id_expiration_ms},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (strcmp(numbers[i].name, name) == 0)
            return numbers[i].number;
    return 1; /* of what there is one of: replicas */
}

/* "PROTOCOL://host:port" of each, with commas between. */
static void list_listeners(const struct weir_broker *broker, char text[BROKER_CONFIG_TEXT_MAX])
{
    _Static_assert((WEIR_NET_TEXT_MAX + 32) * SECURITIES < BROKER_CONFIG_TEXT_MAX, "they fit");
    size_t used = 0;
    for (uint32_t i = 0; i < broker->listener_count; i++)
        used += (size_t)snprintf(text + used, BROKER_CONFIG_TEXT_MAX - used, "%s%s://%s",
                                 i ? "," : "", broker_security_name(broker->listeners[i].security),
                                 broker->listeners[i].address);
}

enum config_source broker_config_text(const struct weir_broker *broker,
                                      const struct broker_config *config,
                                      char text[BROKER_CONFIG_TEXT_MAX])
{
    if (strcmp(config->name, "auto.create.topics.enable") == 0)
        snprintf(text, BROKER_CONFIG_TEXT_MAX, "%s",
                 broker->options.auto_create_topics ? "true" : "false");
    else if (strcmp(config->name, "log.cleaner.enable") == 0)
        snprintf(text, BROKER_CONFIG_TEXT_MAX, "%s",
                 broker->options.cleaner_enable ? "true" : "false");
    else if (strcmp(config->name, "log.cleaner.min.cleanable.ratio") == 0)
        snprintf(text, BROKER_CONFIG_TEXT_MAX, "%g", broker->options.cleaner_dirty_ratio_min);
    else if (strcmp(config->name, "listeners") == 0)
        list_listeners(broker, text);
    else if (strcmp(config->name, "log.dirs") == 0)
        snprintf(text, BROKER_CONFIG_TEXT_MAX, "%s", broker->data_dir);
    else
        snprintf(text, BROKER_CONFIG_TEXT_MAX, "%lld", (long long)number_of(broker, config->name));
    return config->default_text && strcmp(text, config->default_text) == 0 ? CONFIG_DEFAULT
                                                                           : CONFIG_OF_BROKER;
}
