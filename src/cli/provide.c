/* cli/provide.c - weir provide: records and models to their topics, until done or Ctrl-C. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "cli/clients.h"
#include "cli/commands.h"
#include "cli/embedded.h"
#include "cli/signals.h"

enum { LOOK_EVERY_MS = 100 };

struct providing {
    struct provider *provider;
    enum weir_err err;
    struct weir_error error;
    atomic_bool done;
};

static void print_model(void *opaque, const char *name, const char *version, size_t bytes)
{
    (void)opaque;
    printf("model %s, version %s, %zu bytes\n", name, version, bytes);
    fflush(stdout);
}

static void *run_provider(void *argument)
{
    struct providing *providing = argument;
    providing->err = provider_run(providing->provider, &providing->error);
    atomic_store(&providing->done, true);
    return NULL;
}

static void print_progress(const struct provider *provider)
{
    struct provider_totals totals;
    provider_totals(provider, &totals);
    printf("sent %llu records, %llu models\n", (unsigned long long)totals.records,
           (unsigned long long)totals.models);
    fflush(stdout);
}

static int provide(const struct run *run, struct provider *provider)
{
    struct providing providing = {.provider = provider};
    pthread_t thread;
    if (pthread_create(&thread, NULL, run_provider, &providing) != 0)
        return EXIT_FAILED;
    int64_t said_ns = weir_clock_now_ns(NULL);
    while (!atomic_load(&providing.done)) {
        if (signals_wait(LOOK_EVERY_MS))
            break;
        if (weir_clock_now_ns(NULL) - said_ns >= 10 * WEIR_NS_PER_SECOND) {
            print_progress(provider);
            said_ns = weir_clock_now_ns(NULL);
        }
    }
    provider_stop(provider);
    if (!atomic_load(&providing.done))
        signals_force_on_next();
    pthread_join(thread, NULL);
    struct provider_totals totals;
    provider_totals(provider, &totals);
    printf("sent %llu records (%llu damaged on purpose) and %llu models; %llu records delivered\n",
           (unsigned long long)totals.records, (unsigned long long)totals.damaged,
           (unsigned long long)totals.models, (unsigned long long)totals.delivered);
    return providing.err == WEIR_OK ? EXIT_DONE : fail(run, &providing.error);
}

static int provide_to(const struct run *run, const char *bootstrap_servers)
{
    struct weir_kafka_options kafka_options;
    struct weir_kafka_property *properties;
    struct provider_options options;
    struct provider *provider;
    struct weir_kafka *kafka = NULL;
    struct weir_error error = {.code = WEIR_OK};
    char *data;
    if (clients_provider(run->settings, run->log, &options, &data, &error) != WEIR_OK)
        return fail(run, &error);
    options.rate = weir_settings_double(run->settings, "rate");
    options.model_interval_ms = weir_settings_int(run->settings, "model.interval");
    options.once = weir_settings_bool(run->settings, "once");
    if (options.once &&
        weir_settings_origin(run->settings, "model.interval", NULL) == WEIR_ORIGIN_DEFAULT)
        options.model_interval_ms = 0; /* nobody is there to watch them change */
    options.on_model = print_model;
    int status = EXIT_FAILED;
    enum weir_err err =
        clients_kafka(run->settings, bootstrap_servers, run->log, &kafka_options, &properties);
    if (err == WEIR_OK)
        err = weir_kafka_new(&kafka_options, &kafka, &error);
    else
        properties = NULL;
    options.kafka = kafka;
    if (err == WEIR_OK)
        err = provider_new(&options, &provider, &error);
    if (err == WEIR_OK) {
        printf("Using kafka brokers at %s\n", kafka_options.bootstrap_servers);
        printf("%llu records of %s, %zu models\n",
               (unsigned long long)provider_record_count(provider), options.data_path,
               options.models.count);
        fflush(stdout);
        status = provide(run, provider);
        provider_free(provider);
    } else {
        status = fail(run, &error);
    }
    weir_kafka_free(kafka);
    weir_free(properties);
    weir_free(data);
    files_list_release(&options.models);
    return status;
}

int provide_run(const struct run *run)
{
    struct embedded_options options = {.settings = run->settings, .log = run->log};
    struct embedded *embedded;
    struct weir_error error = {.code = WEIR_OK};
    if (!weir_settings_bool(run->settings, "embedded"))
        return provide_to(run, NULL);
    if (embedded_start(&options, &embedded, &error) != WEIR_OK)
        return fail(run, &error);
    printf("broker at %s, data in %s\n", embedded_address(embedded), embedded_directory(embedded));
    int status = provide_to(run, embedded_address(embedded));
    embedded_stop(embedded);
    return status;
}
