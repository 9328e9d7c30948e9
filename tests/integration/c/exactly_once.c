/*
 * A count of records by their keys that is to be exact, whatever happens to those who count.
 *
 * usage: exactly_once run ADDRESS DIR         an instance: in -> count, in a store -> out
 *        exactly_once feed ADDRESS COUNT RATE  numbered records, so many a second
 *        exactly_once check ADDRESS           the outputs against the inputs
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <weir/streams.h>

enum { KEYS = 60, ADMIN_MS = 10000, POLL_MS = 100, INPUTS_MAX = 10000000, LINE_BYTES = 64 };

static void stop_if(bool failed, const char *why)
{
    if (!failed)
        return;
    fprintf(stderr, "exactly_once: %s\n", why);
    exit(1);
}

static void print_log(void *opaque, enum weir_log_level level, const char *area,
                      const char *message)
{
    struct timespec now;
    (void)opaque;
    (void)level;
    clock_gettime(CLOCK_REALTIME, &now);
    fprintf(stderr, "%ld.%03ld %s: %s\n", (long)now.tv_sec, now.tv_nsec / 1000000, area, message);
}

static struct weir_kafka *connect_to(const char *address)
{
    /* The shortest session that brokers allow: who is frozen is soon replaced. */
    static const struct weir_kafka_property quick[] = {{"session.timeout.ms", "6000"},
                                                       {"heartbeat.interval.ms", "500"}};
    struct weir_kafka_options options;
    struct weir_kafka *kafka;
    struct weir_error error;
    weir_kafka_options_default(&options);
    options.bootstrap_servers = address;
    options.properties = quick;
    options.property_count = 2;
    options.log = (struct weir_log){print_log, NULL, WEIR_LOG_INFO};
    stop_if(weir_kafka_new(&options, &kafka, &error) != WEIR_OK, error.message);
    return kafka;
}

/* ---- run ------------------------------------------------------------------------------------- */

static enum weir_err count(void *self, struct weir_context *context,
                           const struct weir_record *record, struct weir_error *error)
{
    struct weir_store *store = weir_context_store(context, "counts");
    struct weir_stamped found;
    unsigned long before = 0;
    char *text = weir_context_alloc(context, LINE_BYTES);
    (void)self;
    enum weir_err err = weir_key_value_get(store, record->key.bytes, &found, error);
    if (err == WEIR_OK)
        before = strtoul(found.value.data, NULL, 10);
    else if (err != WEIR_NOT_FOUND)
        return err;
    int bytes = snprintf(text, LINE_BYTES, "%lu", before + 1);
    /* with its NUL, so that it can be read as a number */
    err = weir_key_value_put(store, record->key.bytes, weir_slice(text, (size_t)bytes + 1), -1,
                             error);
    if (err != WEIR_OK)
        return err;
    bytes = snprintf(text, LINE_BYTES, "%.*s %lu", (int)record->value.bytes.bytes,
                     (const char *)record->value.bytes.data, before + 1);
    return weir_context_forward_value(context,
                                      weir_value_bytes(weir_slice(text, (size_t)bytes + 1)), error);
}

static struct weir_topology *topology(void)
{
    static const struct weir_processor_ops ops = {.abi = WEIR_PROCESSOR_ABI, .process = count};
    static const char *const in[] = {"in"}, *const source[] = {"source"},
                             *const counts[] = {"count"};
    struct weir_store_options store;
    struct weir_topology *made;
    struct weir_error error;
    weir_store_options_default(&store);
    store.name = "counts";
    store.engine = weir_store_persistent();
    stop_if(weir_topology_new(&made) != WEIR_OK, "no memory");
    stop_if(weir_topology_add_source(made, "source", in, 1, NULL, NULL, &error) != WEIR_OK ||
                weir_topology_add_processor(made, "count", &ops, NULL, source, 1, &error) !=
                    WEIR_OK ||
                weir_topology_add_store(made, &store, counts, 1, &error) != WEIR_OK ||
                weir_topology_add_sink(made, "sink", "out", counts, 1, &error) != WEIR_OK,
            error.message);
    return made;
}

static void on_state(void *opaque, enum weir_streams_state from, enum weir_streams_state to)
{
    (void)opaque;
    (void)from;
    printf("%s\n", weir_streams_state_name(to));
    fflush(stdout);
}

static void run(const char *address, const char *directory)
{
    struct weir_streams_options options;
    struct weir_streams *streams;
    struct weir_streams_stats stats;
    struct weir_error error;
    sigset_t ends;
    int which;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &ends, NULL);
    struct weir_kafka *kafka = connect_to(address);
    weir_streams_options_default(&options);
    options.application_id = "counts";
    options.processing_guarantee = WEIR_EXACTLY_ONCE_V2;
    options.transaction_timeout_ms = 5000;
    options.threads = 2;
    options.linger_ms = 5;
    options.state_dir = directory;
    options.on_state = on_state;
    options.log = (struct weir_log){print_log, NULL, WEIR_LOG_INFO};
    stop_if(weir_streams_new(topology(), kafka, &options, &streams, &error) != WEIR_OK,
            error.message);
    stop_if(weir_streams_start(streams, &error) != WEIR_OK, error.message);
    sigwait(&ends, &which);
    weir_streams_stats(streams, &stats);
    printf("%llu consumed, %llu commits, %llu failed, %llu rewinds\n",
           (unsigned long long)stats.records_consumed, (unsigned long long)stats.commits,
           (unsigned long long)stats.commit_failures, (unsigned long long)stats.rewinds);
    bool failed = weir_streams_state(streams) == WEIR_STREAMS_ERROR;
    weir_streams_free(streams);
    weir_kafka_free(kafka);
    exit(failed ? 2 : 0);
}

/* ---- feed ------------------------------------------------------------------------------------ */

static void feed(const char *address, unsigned count, unsigned rate)
{
    struct weir_kafka *kafka = connect_to(address);
    struct weir_kafka_producer_options options;
    struct weir_kafka_producer *producer;
    struct weir_error error;
    weir_kafka_producer_options_default(&options);
    stop_if(weir_kafka_producer_new(kafka, &options, &producer, &error) != WEIR_OK, error.message);
    for (unsigned i = 0; i < count; i++) {
        char key[LINE_BYTES], value[LINE_BYTES];
        size_t key_bytes = (size_t)snprintf(key, sizeof key, "k%u", i * 7919 % KEYS);
        size_t value_bytes = (size_t)snprintf(value, sizeof value, "%u", i);
        struct weir_kafka_record record = {.topic = "in",
                                           .partition = -1,
                                           .timestamp_ms = -1,
                                           .key = weir_slice(key, key_bytes),
                                           .value = weir_slice(value, value_bytes)};
        while (weir_kafka_produce(producer, &record, &error) == WEIR_AGAIN)
            weir_kafka_producer_poll(producer, POLL_MS);
        if (i % (rate / 100 + 1) == 0)
            nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
        weir_kafka_producer_poll(producer, 0);
    }
    stop_if(weir_kafka_producer_flush(producer, 60000) != WEIR_OK, "not all was delivered");
    weir_kafka_producer_close(producer);
    weir_kafka_free(kafka);
    printf("%u records\n", count);
}

/* ---- check ----------------------------------------------------------------------------------- */

struct seen {
    unsigned inputs, outputs, changes;
    unsigned by_key[KEYS], counted[KEYS], stored[KEYS];
    unsigned char *at; /* by input: its outputs */
    unsigned faults;
};

static void fault(struct seen *seen, const char *what, const struct weir_rows *rows, uint32_t row)
{
    if (seen->faults++ < 10)
        printf("%s: %s-%d, offset %lld: key %.*s, value %.*s\n", what, rows->topic, rows->partition,
               (long long)rows->offset[row], (int)rows->key[row].bytes,
               (const char *)rows->key[row].data, (int)rows->value[row].bytes,
               (const char *)rows->value[row].data);
}

static unsigned key_of(const struct weir_rows *rows, uint32_t row)
{
    char text[LINE_BYTES] = "";
    stop_if(rows->key[row].bytes >= sizeof text, "a key is too long");
    memcpy(text, rows->key[row].data, rows->key[row].bytes);
    unsigned key = (unsigned)strtoul(text + 1, NULL, 10);
    stop_if(key >= KEYS, "a key is not ours");
    return key;
}

static void see_input(struct seen *seen, const struct weir_rows *rows, uint32_t row)
{
    seen->inputs++;
    seen->by_key[key_of(rows, row)]++;
}

/* One output of each input, and the counts of a key one after the other. */
static void see_output(struct seen *seen, const struct weir_rows *rows, uint32_t row)
{
    unsigned input, reached, key = key_of(rows, row);
    seen->outputs++;
    stop_if(sscanf(rows->value[row].data, "%u %u", &input, &reached) != 2 || input >= INPUTS_MAX,
            "an output is not ours");
    if (seen->at[input]++)
        fault(seen, "its input has an output already", rows, row);
    if (reached != ++seen->counted[key])
        fault(seen, "the count of its key jumps", rows, row);
}

static void see_change(struct seen *seen, const struct weir_rows *rows, uint32_t row)
{
    seen->changes++;
    seen->stored[key_of(rows, row)] = (unsigned)strtoul(rows->value[row].data, NULL, 10);
}

static void read_topic(struct weir_kafka *kafka, const char *topic, struct seen *seen,
                       void (*see)(struct seen *seen, const struct weir_rows *rows, uint32_t row))
{
    struct weir_kafka_table_options options;
    struct weir_kafka_table *table;
    struct weir_error error;
    weir_kafka_table_options_default(&options);
    options.topic = topic;
    options.open_transactions = true;
    stop_if(weir_kafka_table_open(kafka, &options, &table, &error) != WEIR_OK, error.message);
    for (;;) {
        struct weir_kafka_batch batch;
        enum weir_err err = weir_kafka_table_poll(table, 1000, POLL_MS, &batch, &error);
        if (err == WEIR_END)
            break;
        if (err != WEIR_OK)
            continue;
        batch.rows.topic = topic;
        for (uint32_t row = 0; row < batch.count; row++)
            see(seen, &batch.rows, row);
        weir_kafka_batch_release(&batch);
    }
    weir_kafka_table_close(table);
}

static int check(const char *address)
{
    struct weir_kafka *kafka = connect_to(address);
    struct seen seen = {.at = calloc(INPUTS_MAX, 1)};
    unsigned behind = 0;
    stop_if(!seen.at, "no memory");
    read_topic(kafka, "in", &seen, see_input);
    read_topic(kafka, "out", &seen, see_output);
    read_topic(kafka, "counts-counts-changelog", &seen, see_change);
    weir_kafka_free(kafka);
    for (unsigned key = 0; key < KEYS; key++)
        behind += seen.counted[key] != seen.by_key[key];
    for (unsigned key = 0; key < KEYS && behind == 0; key++) {
        if (seen.stored[key] == seen.counted[key])
            continue;
        seen.faults++;
        printf("k%u: the changelog says %u, the outputs say %u\n", key, seen.stored[key],
               seen.counted[key]);
    }
    printf("%u inputs, %u outputs, %u changes of the store, %u faults, %u keys behind\n",
           seen.inputs, seen.outputs, seen.changes, seen.faults, behind);
    free(seen.at);
    return seen.faults > 0 ? 2 : behind > 0 ? 3 : 0;
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "run") == 0)
        run(argv[2], argv[3]);
    else if (argc == 5 && strcmp(argv[1], "feed") == 0)
        feed(argv[2], (unsigned)strtoul(argv[3], NULL, 10), (unsigned)strtoul(argv[4], NULL, 10));
    else if (argc == 3 && strcmp(argv[1], "check") == 0)
        return check(argv[2]);
    else
        stop_if(true, "usage: exactly_once run|feed|check ADDRESS ...");
    return 0;
}
