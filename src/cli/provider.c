/* cli/provider.c - sends records and models at a pace, see provider.h. */
#include "cli/provider.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include <weir/record.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/number.h"
#include "cli/records.h"

enum {
    ADMIN_TIMEOUT_MS = 10000,
    FLUSH_TIMEOUT_MS = 30000,
    KEYS_TIMEOUT_MS = 10000,
    IDLE_MS_MAX = 20, /* how late provider_stop may be noticed */
    BURST_MAX = 1000, /* records between two looks at the clock */
    KEYS_MAX = 100000,
};

/* A version that stands in the models topic: its key, "wine/<name>/<version>". */
struct kept {
    char *key;
    size_t prefix; /* bytes of "wine/<name>/" */
};

struct provider {
    struct provider_options options;
    struct records records;
    struct weir_kafka_producer *producer;
    struct kept *kept; /* in order of sending */
    size_t kept_count;
    uint64_t random;
    uint8_t *scratch; /* a damaged record */
    size_t scratch_bytes;
    enum weir_err delivery; /* the first failure */
    struct weir_error delivery_error;
    atomic_bool stop;
    atomic_uint_least64_t sent, delivered, damaged, models, failed;
};

/* ---- life ------------------------------------------------------------------------------------ */

static void delivered(void *opaque, void *record_opaque, int32_t partition, int64_t offset,
                      const struct weir_error *error)
{
    struct provider *provider = opaque;
    (void)partition;
    (void)offset;
    if (error) {
        atomic_fetch_add(&provider->failed, 1);
        if (provider->delivery == WEIR_OK) {
            provider->delivery = error->code;
            provider->delivery_error = *error;
        }
    } else if (record_opaque) {
        atomic_fetch_add(&provider->delivered, 1);
    }
}

static enum weir_err create_topics(const struct provider_options *options, struct weir_error *error)
{
    static const struct weir_kafka_property compacted[] = {{"cleanup.policy", "compact"},
                                                           {"min.compaction.lag.ms", "604800000"}};
    struct weir_kafka_topic topics[] = {
        {.name = options->data_topic, .partitions = options->data_partitions, .replication = -1},
        {.name = options->models_topic,
         .partitions = 1,
         .replication = -1,
         .config = compacted,
         .config_count = WEIR_ARRAY_COUNT(compacted)}};
    return weir_kafka_topics_create(options->kafka, topics, WEIR_ARRAY_COUNT(topics),
                                    ADMIN_TIMEOUT_MS, NULL, error);
}

static enum weir_err open_producer(struct provider *provider, struct weir_error *error)
{
    struct weir_kafka_producer_options options;
    weir_kafka_producer_options_default(&options);
    options.linger_ms = provider->options.linger_ms;
    options.delivered = delivered;
    options.opaque = provider;
    return weir_kafka_producer_new(provider->options.kafka, &options, &provider->producer, error);
}

/* Remembers a key of the models topic; one that is there already moves to the end. */
static enum weir_err keep_key(struct provider *provider, const char *key, size_t bytes)
{
    const char *slash = memrchr(key, '/', bytes);
    if (!slash || provider->kept_count >= KEYS_MAX)
        return WEIR_OK; /* not one of ours */
    for (size_t i = 0; i < provider->kept_count; i++) {
        struct kept found = provider->kept[i];
        if (strlen(found.key) == bytes && memcmp(found.key, key, bytes) == 0) {
            memmove(&provider->kept[i], &provider->kept[i + 1],
                    (provider->kept_count - i - 1) * sizeof found);
            provider->kept[provider->kept_count - 1] = found;
            return WEIR_OK;
        }
    }
    struct kept *kept =
        weir_realloc(provider->kept, (provider->kept_count + 1) * sizeof *provider->kept);
    if (!kept)
        return WEIR_NOMEM;
    provider->kept = kept;
    char *copy = weir_strndup(key, bytes);
    if (!copy)
        return WEIR_NOMEM;
    provider->kept[provider->kept_count++] = (struct kept){copy, (size_t)(slash - key) + 1};
    return WEIR_OK;
}

static void forget_key(struct provider *provider, size_t index)
{
    weir_free(provider->kept[index].key);
    memmove(&provider->kept[index], &provider->kept[index + 1],
            (--provider->kept_count - index) * sizeof *provider->kept);
}

/* Which versions earlier runs have left in the topic. */
static enum weir_err take_key(struct provider *provider, struct weir_slice key, bool is_tombstone)
{
    enum weir_err err = key.bytes ? keep_key(provider, key.data, key.bytes) : WEIR_OK;
    if (err != WEIR_OK || !is_tombstone || !key.bytes || !provider->kept_count)
        return err;
    struct kept *last = &provider->kept[provider->kept_count - 1];
    if (strlen(last->key) == key.bytes && memcmp(last->key, key.data, key.bytes) == 0)
        forget_key(provider, provider->kept_count - 1);
    return WEIR_OK;
}

static enum weir_err read_keys(struct provider *provider, struct weir_error *error)
{
    struct weir_kafka_table_options options;
    struct weir_kafka_table *table;
    weir_kafka_table_options_default(&options);
    options.topic = provider->options.models_topic;
    enum weir_err err = weir_kafka_table_open(provider->options.kafka, &options, &table, error);
    if (err != WEIR_OK)
        return err;
    int64_t until_ns = weir_clock_now_ns(NULL) + KEYS_TIMEOUT_MS * WEIR_NS_PER_MS;
    do {
        struct weir_kafka_batch batch = {0};
        err = weir_kafka_table_poll(table, 256, 100, &batch, error);
        for (uint32_t i = 0; err == WEIR_OK && i < batch.count; i++)
            err = take_key(provider, batch.rows.key[i], !batch.rows.value[i].data);
        weir_kafka_batch_release(&batch);
        if (err == WEIR_AGAIN && weir_clock_now_ns(NULL) < until_ns)
            err = WEIR_OK;
    } while (err == WEIR_OK && !atomic_load(&provider->stop));
    weir_kafka_table_close(table);
    if (err == WEIR_AGAIN)
        return weir_error_set(error, WEIR_TIMEOUT, -1, "topic %s could not be read in %d s",
                              provider->options.models_topic, KEYS_TIMEOUT_MS / 1000);
    return err == WEIR_END ? WEIR_OK : err;
}

enum weir_err provider_new(const struct provider_options *options, struct provider **out,
                           struct weir_error *error)
{
    struct provider *provider = weir_calloc(1, sizeof *provider);
    if (!provider)
        return weir_error_set(error, WEIR_NOMEM, -1, "no memory for a provider");
    provider->options = *options;
    provider->random = options->seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    enum weir_err err =
        records_read(options->data_path, PROVIDER_RECORDS_MAX, &provider->records, error);
    if (err == WEIR_OK)
        err = create_topics(options, error);
    if (err == WEIR_OK)
        err = open_producer(provider, error);
    if (err == WEIR_OK)
        err = read_keys(provider, error);
    if (err != WEIR_OK) {
        provider_free(provider);
        return err;
    }
    *out = provider;
    return WEIR_OK;
}

void provider_free(struct provider *provider)
{
    if (!provider)
        return;
    weir_kafka_producer_close(provider->producer);
    records_release(&provider->records);
    while (provider->kept_count)
        forget_key(provider, provider->kept_count - 1);
    weir_free(provider->kept);
    weir_free(provider->scratch);
    weir_free(provider);
}

void provider_stop(struct provider *provider)
{
    atomic_store(&provider->stop, true);
}

void provider_totals(const struct provider *provider, struct provider_totals *out)
{
    *out = (struct provider_totals){.records = atomic_load(&provider->sent),
                                    .delivered = atomic_load(&provider->delivered),
                                    .damaged = atomic_load(&provider->damaged),
                                    .models = atomic_load(&provider->models),
                                    .failed = atomic_load(&provider->failed)};
}

uint64_t provider_record_count(const struct provider *provider)
{
    return provider->records.count;
}

/* ---- sending --------------------------------------------------------------------------------- */

/* Hands a record to the producer, waiting for room. record_opaque tells records from models. */
static enum weir_err send(struct provider *provider, const struct weir_kafka_record *record,
                          struct weir_error *error)
{
    enum weir_err err;
    while ((err = weir_kafka_produce(provider->producer, record, error)) == WEIR_AGAIN &&
           !atomic_load(&provider->stop))
        weir_kafka_producer_poll(provider->producer, IDLE_MS_MAX);
    return err;
}

/* splitmix64 (Steele, Lea, Flood, 2014). */
static uint64_t next_random(struct provider *provider)
{
    uint64_t z = provider->random += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* Cuts the record somewhere, or turns some bits of one byte. */
static enum weir_err damage(struct provider *provider, struct weir_slice *value)
{
    if (value->bytes > provider->scratch_bytes) {
        uint8_t *scratch = weir_realloc(provider->scratch, value->bytes);
        if (!scratch)
            return WEIR_NOMEM;
        provider->scratch = scratch;
        provider->scratch_bytes = value->bytes;
    }
    memcpy(provider->scratch, value->data, value->bytes);
    uint64_t random = next_random(provider);
    size_t at = (size_t)(random >> 8) % value->bytes;
    if (random & 1)
        value->bytes = at;
    else
        provider->scratch[at] ^= (uint8_t)(1 + (random >> 1) % 255);
    value->data = provider->scratch;
    atomic_fetch_add(&provider->damaged, 1);
    return WEIR_OK;
}

static enum weir_err send_record(struct provider *provider, struct weir_error *error)
{
    uint64_t number = atomic_load(&provider->sent);
    struct weir_slice value = records_get(&provider->records, number % provider->records.count);
    if (provider->options.error_rate > 0 && value.bytes &&
        (double)(next_random(provider) >> 11) * 0x1p-53 < provider->options.error_rate &&
        damage(provider, &value) != WEIR_OK)
        return weir_error_set(error, WEIR_NOMEM, -1, "no memory for a record");
    struct weir_kafka_record record = {.topic = provider->options.data_topic,
                                       .partition = -1,
                                       .timestamp_ms = -1,
                                       .value = value,
                                       .opaque = provider};
    enum weir_err err = send(provider, &record, error);
    if (err == WEIR_OK)
        atomic_fetch_add(&provider->sent, 1);
    return err;
}

/* The file's name without folder and ending. */
static struct weir_slice model_name(const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    const char *dot = strrchr(name, '.');
    return weir_slice(name, dot && dot != name ? (size_t)(dot - name) : strlen(name));
}

/* Takes the oldest versions of that model back until `keep` are left. */
static enum weir_err take_back(struct provider *provider, const char *key, struct weir_error *error)
{
    size_t prefix = (size_t)(strrchr(key, '/') - key) + 1;
    int count = 0;
    for (size_t i = 0; i < provider->kept_count; i++)
        count +=
            provider->kept[i].prefix == prefix && memcmp(provider->kept[i].key, key, prefix) == 0;
    for (size_t i = 0; i < provider->kept_count && count > provider->options.keep;) {
        struct kept *kept = &provider->kept[i];
        if (kept->prefix != prefix || memcmp(kept->key, key, prefix) != 0) {
            i++;
            continue;
        }
        struct weir_kafka_record tombstone = {.topic = provider->options.models_topic,
                                              .partition = -1,
                                              .timestamp_ms = -1,
                                              .key = weir_slice(kept->key, strlen(kept->key))};
        enum weir_err err = send(provider, &tombstone, error);
        if (err != WEIR_OK)
            return err;
        forget_key(provider, i);
        count--;
    }
    return WEIR_OK;
}

static enum weir_err send_content(struct provider *provider, const char *path,
                                  struct weir_slice content, struct weir_error *error)
{
    static const char data_type[] = "wine", description[] = "sent by weir provide";
    uint8_t digest[WEIR_SHA256_BYTES];
    char version[WEIR_SHA256_HEX_BYTES], key[512];
    struct weir_slice name = model_name(path);
    size_t length = strlen(path);
    weir_sha256(content.data, content.bytes, digest);
    weir_hex_encode(digest, sizeof digest, version);
    version[16] = '\0';
    snprintf(key, sizeof key, "%s/%.*s/%s", data_type, name.bytes > 255 ? 255 : (int)name.bytes,
             (const char *)name.data, version);
    struct weir_descriptor descriptor = {
        .name = name,
        .description = weir_slice(description, sizeof description - 1),
        .data_type = weir_slice(data_type, sizeof data_type - 1),
        .model_type = length > 3 && strcmp(path + length - 3, ".pb") == 0
                          ? WEIR_DESCRIPTOR_TENSORFLOW
                          : WEIR_DESCRIPTOR_PMML,
        .data = content,
        .sha256 = weir_slice(digest, sizeof digest)};
    size_t bytes = weir_descriptor_bytes(&descriptor);
    uint8_t *value = weir_alloc(bytes);
    if (!value)
        return weir_error_set(error, WEIR_NOMEM, -1, "%s: no memory to send it", path);
    struct weir_kafka_record record = {
        .topic = provider->options.models_topic,
        .partition = -1,
        .timestamp_ms = -1,
        .key = weir_slice(key, strlen(key)),
        .value = weir_slice(value, weir_descriptor_encode(&descriptor, value))};
    enum weir_err err = send(provider, &record, error);
    weir_free(value);
    if (err == WEIR_OK)
        err = keep_key(provider, key, strlen(key));
    if (err == WEIR_OK)
        err = take_back(provider, key, error);
    /* The first model is there before the first record, so that none has to go without. */
    if (err == WEIR_OK && atomic_load(&provider->models) == 0 &&
        weir_kafka_producer_flush(provider->producer, FLUSH_TIMEOUT_MS) != WEIR_OK)
        err = weir_error_set(error, WEIR_TIMEOUT, -1, "%s: not taken by the broker within %d s",
                             path, FLUSH_TIMEOUT_MS / 1000);
    if (err == WEIR_OK) {
        char shown[256];
        snprintf(shown, sizeof shown, "%.*s", (int)name.bytes, (const char *)name.data);
        atomic_fetch_add(&provider->models, 1);
        if (provider->options.on_model)
            provider->options.on_model(provider->options.opaque, shown, version, content.bytes);
    }
    return err;
}

static enum weir_err send_model(struct provider *provider, const char *path,
                                struct weir_error *error)
{
    void *data;
    size_t bytes;
    enum weir_err err = files_read(path, FILES_MODEL_BYTES_MAX, &data, &bytes, error);
    if (err != WEIR_OK)
        return err;
    err = send_content(provider, path, weir_slice(data, bytes), error);
    weir_free(data);
    return err;
}

/* ---- pace ------------------------------------------------------------------------------------ */

static bool records_done(const struct provider *provider)
{
    uint64_t sent = atomic_load(&provider->sent);
    return (provider->options.count && sent >= (uint64_t)provider->options.count) ||
           (provider->options.once && sent >= provider->records.count);
}

static bool models_done(const struct provider *provider, uint64_t sent)
{
    return provider->options.models.count == 0 ||
           (provider->options.once && sent >= provider->options.models.count);
}

/* Records due by now that were not sent. */
static uint64_t due(const struct provider *provider, int64_t elapsed_ns)
{
    if (records_done(provider))
        return 0;
    if (provider->options.rate == 0)
        return BURST_MAX;
    double wanted = (double)elapsed_ns / 1e9 * provider->options.rate + 1;
    uint64_t sent = atomic_load(&provider->sent);
    return wanted > (double)sent ? (uint64_t)(wanted - (double)sent) : 0;
}

static enum weir_err send_due(struct provider *provider, int64_t elapsed_ns,
                              struct weir_error *error)
{
    uint64_t count = due(provider, elapsed_ns);
    enum weir_err err = WEIR_OK;
    for (uint64_t i = 0; i < count && i < BURST_MAX && err == WEIR_OK && !records_done(provider);
         i++)
        err = send_record(provider, error);
    return err;
}

/* How long nothing is due, up to IDLE_MS_MAX. */
static int32_t idle_ms(const struct provider *provider, int64_t elapsed_ns, int64_t model_due_ns)
{
    int64_t until_ns = elapsed_ns + IDLE_MS_MAX * WEIR_NS_PER_MS;
    if (model_due_ns < until_ns)
        until_ns = model_due_ns;
    if (!records_done(provider)) {
        double rate = provider->options.rate;
        int64_t next_ns =
            rate == 0 ? elapsed_ns : (int64_t)((double)atomic_load(&provider->sent) / rate * 1e9);
        if (next_ns < until_ns)
            until_ns = next_ns;
    }
    int64_t left_ns = until_ns - elapsed_ns; /* rounded up: a spin would take a whole core */
    return left_ns > 0 ? (int32_t)((left_ns + WEIR_NS_PER_MS - 1) / WEIR_NS_PER_MS) : 0;
}

enum weir_err provider_run(struct provider *provider, struct weir_error *error)
{
    const struct provider_options *options = &provider->options;
    int64_t start_ns = weir_clock_now_ns(NULL), model_due_ns = 0;
    uint64_t models_sent = 0;
    enum weir_err err = WEIR_OK;
    while (err == WEIR_OK && !atomic_load(&provider->stop)) {
        int64_t elapsed_ns = weir_clock_now_ns(NULL) - start_ns;
        if (models_done(provider, models_sent))
            model_due_ns = INT64_MAX;
        if (elapsed_ns >= model_due_ns) {
            err = send_model(provider, options->models.paths[models_sent % options->models.count],
                             error);
            models_sent++;
            model_due_ns += options->model_interval_ms * WEIR_NS_PER_MS;
        }
        if (err == WEIR_OK)
            err = send_due(provider, elapsed_ns, error);
        bool end = records_done(provider) && (options->count || models_done(provider, models_sent));
        if (end)
            break;
        weir_kafka_producer_poll(provider->producer, idle_ms(provider, elapsed_ns, model_due_ns));
        if (provider->delivery != WEIR_OK)
            break;
    }
    if (err == WEIR_AGAIN)
        err = WEIR_OK; /* told to stop while the queue was full */
    if (err == WEIR_OK &&
        weir_kafka_producer_flush(provider->producer, FLUSH_TIMEOUT_MS) != WEIR_OK)
        err = weir_error_set(error, WEIR_TIMEOUT, -1,
                             "%llu records were not taken by the broker within %d s",
                             (unsigned long long)weir_kafka_producer_pending(provider->producer),
                             FLUSH_TIMEOUT_MS / 1000);
    if (err == WEIR_OK && provider->delivery != WEIR_OK) {
        err = provider->delivery;
        if (error)
            *error = provider->delivery_error;
    }
    return err;
}
