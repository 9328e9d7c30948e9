/* The cluster behind librdkafka: settings, logs, clients. See kafka/rd.h. */
#include "kafka/rd.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/clock.h"

struct rd_cluster *rd_cluster_of(struct weir_kafka *kafka)
{
    return WEIR_CONTAINER(kafka, struct rd_cluster, base);
}

/* ---- settings -------------------------------------------------------------------------------- */

static const struct rd_setting common_defaults[] = {
    {"reconnect.backoff.ms", "50"},
    {"reconnect.backoff.max.ms", "1000"},
    {"socket.nagle.disable", "true"},
    {"log.connection.close", "false"},
    /* New topics and partitions are seen within seconds; one small request a client. */
    {"topic.metadata.refresh.interval.ms", "5000"},
    {NULL, NULL},
};

static const struct rd_setting common_fixed[] = {
    {"allow.auto.create.topics", "false"},
    {NULL, NULL},
};

/* What the guarantees rest on, or what an option of ours sets. */
static const char *const reserved[] = {
    "bootstrap.servers",
    "metadata.broker.list",
    "group.id",
    "group.instance.id",
    "enable.auto.commit",
    "auto.commit.enable",
    "enable.auto.offset.store",
    "partition.assignment.strategy",
    "enable.partition.eof",
    "auto.offset.reset",
    "allow.auto.create.topics",
    "transactional.id",
};

static enum weir_err conf_set(rd_kafka_conf_t *conf, const char *name, const char *value,
                              struct weir_error *error)
{
    char text[256];
    if (rd_kafka_conf_set(conf, name, value, text, sizeof(text)) == RD_KAFKA_CONF_OK)
        return WEIR_OK;
    return weir_error_set(error, WEIR_INVALID, -1, "librdkafka refuses %s=%s: %s", name, value,
                          text);
}

static enum weir_err conf_set_all(rd_kafka_conf_t *conf, const struct rd_setting *settings,
                                  struct weir_error *error)
{
    enum weir_err err = WEIR_OK;
    for (; settings != NULL && settings->name != NULL && err == WEIR_OK; settings++)
        if (settings->value != NULL)
            err = conf_set(conf, settings->name, settings->value, error);
    return err;
}

static enum weir_log_level log_level_of(int syslog_level)
{
    return syslog_level <= 3   ? WEIR_LOG_ERROR
           : syslog_level <= 5 ? WEIR_LOG_WARN
           : syslog_level == 6 ? WEIR_LOG_INFO
                               : WEIR_LOG_DEBUG;
}

/*
 * librdkafka tells the state of its membership in debug lines alone: "... changed join state steady
 * -> init (state up)". They are written by its main thread as the state changes, before it acts on
 * it, and consumers of groups ask for them: see rd_consumer.c on what depends on it.
 */
static void note_join_state(struct rd_client *client, const char *message)
{
    const char *to = strstr(message, " -> ");
    if (to != NULL)
        atomic_store(&client->steady, strncmp(to + 4, "steady", 6) == 0);
}

/* Comes from any of librdkafka's threads. What failed is kept for the texts of later errors. */
static void on_log(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
    struct rd_client *client = rd_kafka_opaque(rk);
    /* The same properties go to producers and consumers; each takes what is its own. */
    if (client == NULL || strcmp(facility, "CONFWARN") == 0)
        return;
    /* "[thrd:...]: " stands in front of what people want to know. */
    const char *message = strncmp(text, "[thrd:", 6) == 0 ? strstr(text, "]: ") : NULL;
    message = message != NULL ? message + 3 : text;
    /* "1/1 brokers are down" comes after the line that says why. */
    if (strcmp(facility, "CGRPJOINSTATE") == 0)
        note_join_state(client, message);
    pthread_mutex_lock(&client->mutex);
    if (strcmp(facility, "FAIL") == 0 || (level <= 3 && strcmp(facility, "ERROR") != 0)) {
        snprintf(client->trouble, sizeof(client->trouble), "%s", message);
        client->trouble_ns = weir_clock_now_ns(NULL);
    }
    struct weir_log log = {0};
    if (!client->abandoned && (level < 7 || client->cluster->debug[0] != '\0'))
        log = client->cluster->log;
    pthread_mutex_unlock(&client->mutex);
    weir_log(&log, log_level_of(level), "kafka", "%s: %s", facility, message);
}

enum weir_err rd_conf_new(struct rd_cluster *cluster, const struct rd_setting *defaults,
                          const struct rd_setting *fixed, rd_kafka_conf_t **conf_out,
                          struct weir_error *error)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    enum weir_err err = conf_set(conf, "client.id", cluster->client_id, error);
    if (err == WEIR_OK)
        err = conf_set_all(conf, common_defaults, error);
    if (err == WEIR_OK)
        err = conf_set_all(conf, defaults, error);
    for (uint32_t i = 0; i < cluster->property_count && err == WEIR_OK; i++)
        err = conf_set(conf, cluster->properties[i].name, cluster->properties[i].value, error);
    if (err == WEIR_OK)
        err = conf_set(conf, "bootstrap.servers", cluster->bootstrap_servers, error);
    if (err == WEIR_OK)
        err = conf_set_all(conf, common_fixed, error);
    if (err == WEIR_OK)
        err = conf_set_all(conf, fixed, error);
    if (err != WEIR_OK) {
        rd_kafka_conf_destroy(conf);
        return err;
    }
    rd_kafka_conf_set_log_cb(conf, on_log);
    *conf_out = conf;
    return WEIR_OK;
}

/* ---- clients --------------------------------------------------------------------------------- */

enum weir_err rd_client_open(struct rd_client *client, struct rd_cluster *cluster,
                             rd_kafka_type_t type, rd_kafka_conf_t *conf, struct weir_error *error)
{
    memset(client, 0, sizeof(*client));
    client->cluster = cluster;
    atomic_init(&client->steady, true); /* until told otherwise */
    pthread_mutex_init(&client->mutex, NULL);
    rd_kafka_conf_set_opaque(conf, client);
#ifdef __SANITIZE_THREAD__
    rd_threads_known();
#endif
    char text[256];
    client->rk = rd_kafka_new(type, conf, text, sizeof(text));
    if (client->rk == NULL) {
        rd_kafka_conf_destroy(conf);
        pthread_mutex_destroy(&client->mutex);
        return weir_error_set(error, WEIR_INVALID, -1, "librdkafka: %s", text);
    }
    atomic_fetch_add(&cluster->client_count, 1);
    return WEIR_OK;
}

void rd_client_close(struct rd_client *client, int flags)
{
    rd_kafka_destroy_flags(client->rk, flags);
    pthread_mutex_destroy(&client->mutex);
    if (!client->abandoned)
        atomic_fetch_sub(&client->cluster->client_count, 1);
}

void rd_client_abandon(struct rd_client *client)
{
    pthread_mutex_lock(&client->mutex);
    client->abandoned = true;
    pthread_mutex_unlock(&client->mutex);
    atomic_fetch_sub(&client->cluster->client_count, 1);
}

/* ---- cluster --------------------------------------------------------------------------------- */

void weir_kafka_options_default(struct weir_kafka_options *options)
{
    *options = (struct weir_kafka_options){.client_id = "weir"};
}

static void cluster_free(struct weir_kafka *kafka)
{
    struct rd_cluster *cluster = rd_cluster_of(kafka);
    if (cluster->admin != NULL) {
        rd_client_close(cluster->admin, 0);
        weir_free(cluster->admin);
    }
    weir_assert(atomic_load(&cluster->client_count) == 0);
    for (uint32_t i = 0; i < cluster->property_count; i++) {
        weir_free((char *)(uintptr_t)cluster->properties[i].name);
        weir_free((char *)(uintptr_t)cluster->properties[i].value);
    }
    weir_free(cluster->properties);
    weir_free(cluster->bootstrap_servers);
    weir_free(cluster->client_id);
    pthread_mutex_destroy(&cluster->mutex);
    weir_free(cluster);
}

static enum weir_err property_copy(struct rd_cluster *cluster,
                                   const struct weir_kafka_property *property,
                                   struct weir_error *error)
{
    if (property->name == NULL || property->value == NULL)
        return weir_error_set(error, WEIR_INVALID, -1, "a property has no name or no value");
    for (size_t i = 0; i < WEIR_ARRAY_COUNT(reserved); i++)
        if (strcmp(property->name, reserved[i]) == 0)
            return weir_error_set(error, WEIR_INVALID, -1,
                                  "%s is set by Weir itself and can't be passed through",
                                  property->name);
    struct weir_kafka_property *copy = &cluster->properties[cluster->property_count++];
    copy->name = weir_strdup(property->name);
    copy->value = weir_strdup(property->value);
    if (copy->name == NULL || copy->value == NULL)
        return weir_error_set(error, WEIR_NOMEM, -1, "no memory for the Kafka settings");
    if (strcmp(copy->name, "sasl.username") == 0)
        cluster->sasl_username = copy->value;
    if (strcmp(copy->name, "sasl.password") == 0)
        cluster->sasl_password = copy->value;
    if (strcmp(copy->name, "debug") == 0)
        cluster->debug = copy->value;
    return WEIR_OK;
}

static enum weir_err cluster_fill(struct rd_cluster *cluster,
                                  const struct weir_kafka_options *options,
                                  struct weir_error *error)
{
    cluster->base.ops = &weir_kafka_rd_ops;
    cluster->log = options->log;
    cluster->sasl_username = cluster->sasl_password = cluster->debug = "";
    cluster->bootstrap_servers = weir_strdup(options->bootstrap_servers);
    cluster->client_id = weir_strdup(options->client_id != NULL ? options->client_id : "weir");
    cluster->properties = weir_calloc(options->property_count + 1, sizeof(*cluster->properties));
    if (cluster->bootstrap_servers == NULL || cluster->client_id == NULL ||
        cluster->properties == NULL)
        return weir_error_set(error, WEIR_NOMEM, -1, "no memory for the Kafka settings");
    for (uint32_t i = 0; i < options->property_count; i++) {
        enum weir_err err = property_copy(cluster, &options->properties[i], error);
        if (err != WEIR_OK)
            return err;
    }
    /* All of them are tried now, so that a wrong one is told at the start. */
    rd_kafka_conf_t *conf;
    enum weir_err err = rd_conf_new(cluster, NULL, NULL, &conf, error);
    if (err == WEIR_OK)
        rd_kafka_conf_destroy(conf);
    return err;
}

enum weir_err weir_kafka_new(const struct weir_kafka_options *options,
                             struct weir_kafka **kafka_out, struct weir_error *error)
{
    if (options->bootstrap_servers == NULL || options->bootstrap_servers[0] == '\0')
        return weir_error_set(error, WEIR_INVALID, -1,
                              "bootstrap.servers is empty: give the brokers as host:port,...");
    if (options->property_count > RD_PROPERTIES_MAX)
        return weir_error_set(error, WEIR_INVALID, -1, "%u Kafka properties, %d at most",
                              options->property_count, RD_PROPERTIES_MAX);
    struct rd_cluster *cluster = weir_calloc(1, sizeof(*cluster));
    if (cluster == NULL)
        return weir_error_set(error, WEIR_NOMEM, -1, "no memory for a Kafka cluster");
    pthread_mutex_init(&cluster->mutex, NULL);
    enum weir_err err = cluster_fill(cluster, options, error);
    if (err != WEIR_OK) {
        cluster_free(&cluster->base);
        return err;
    }
    *kafka_out = &cluster->base;
    return WEIR_OK;
}

const struct weir_kafka_ops weir_kafka_rd_ops = {
    .abi = WEIR_KAFKA_ABI,
    .free = cluster_free,
    .topics_create = rd_topics_create,
    .topic_grow = rd_topic_grow,
    .delete_records = rd_delete_records,
    .topic_partitions = rd_topic_partitions,
    .offsets = rd_offsets,
    .topics_list = rd_topics_list,
    .group_assignments = rd_group_assignments,
    .producer_new = rd_producer_new,
    .produce = rd_produce,
    .produce_rows = rd_produce_rows,
    .producer_poll = rd_producer_poll,
    .producer_flush = rd_producer_flush,
    .producer_pending = rd_producer_pending,
    .producer_close = rd_producer_close,
    .transactions_init = rd_transactions_init,
    .transaction_begin = rd_transaction_begin,
    .transaction_offsets = rd_transaction_offsets,
    .transaction_commit = rd_transaction_commit,
    .transaction_abort = rd_transaction_abort,
    .consumer_new = rd_consumer_new,
    .poll = rd_consumer_poll,
    .commit = rd_consumer_commit,
    .rewind = rd_consumer_rewind,
    .sources_changed = rd_consumer_sources_changed,
    .lag = rd_consumer_lag,
    .consumer_wake = rd_consumer_wake,
    .consumer_close = rd_consumer_close,
    .table_open = rd_table_open,
    .table_poll = rd_table_poll,
    .table_partitions = rd_table_partitions,
    .table_end = rd_table_end,
    .table_wake = rd_table_wake,
    .table_close = rd_table_close,
};
