/*
 * cli/demo.c - weir demo: broker, provider and model server in one process.
 *
 *      provider --> mdata, models --> broker (temporary folder) --> server --> scores, dead letters
 *
 * It prints each model as it comes in force and a sample of the scores, then one live line, and at
 * the end a summary. The exit status is 0 only if every record sent is accounted for, as counted
 * here and as the broker's own offsets say.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/number.h"
#include "cli/clients.h"
#include "cli/commands.h"
#include "cli/embedded.h"
#include "cli/signals.h"

enum {
    LOOK_EVERY_MS = 50,
    DRAIN_MS_MAX = 30000,
    OFFSETS_TIMEOUT_MS = 10000,
    FIRST_MODEL_MS_MAX = 5000,
};

struct demo {
    const struct run *run;
    struct embedded *broker;
    struct weir_kafka_property *properties;
    struct weir_kafka *kafka;
    struct provider_options provider_options;
    struct provider *provider;
    struct server *server;
    char *data;
    pthread_t thread;
    bool thread_runs;
    atomic_bool provided;
    enum weir_err provider_err;
    struct weir_error provider_error;
    pthread_mutex_t out; /* of standard output: events come from several threads */
    bool terminal;
    bool live;          /* the cursor stands behind a live line */
    int samples_wanted; /* until the next swap */
    int64_t start_ns;
    atomic_int_least64_t first_score_ns; /* after the start; 0 = none yet */
    uint64_t last_in;
    int64_t last_line_ns;
};

/* ---- printing -------------------------------------------------------------------------------- */

/* Begins a line of its own, over the live line if there is one. */
static void begin_line(struct demo *demo)
{
    if (demo->live)
        fputs("\r\033[K", stdout);
    demo->live = false;
}

static void on_model(void *opaque, const struct models_event *event)
{
    struct demo *demo = opaque;
    if (event->kind != MODELS_IN_FORCE && event->kind != MODELS_REFUSED)
        return;
    pthread_mutex_lock(&demo->out);
    begin_line(demo);
    if (event->kind == MODELS_REFUSED)
        printf("Model refused: %s\n", event->error->message);
    else
        printf("Model in force: %s (%s, version %s, loaded in %.1f ms)%s\n", event->served->name,
               weir_model_info(event->served->model)->algorithm, event->served->version,
               (double)event->served->load_ns / 1e6, event->before ? "" : ", the first");
    demo->samples_wanted = 2;
    fflush(stdout);
    pthread_mutex_unlock(&demo->out);
}

static void on_sample(void *opaque, const struct scoring_sample *sample)
{
    struct demo *demo = opaque;
    char value[WEIR_NUMBER_TEXT_MAX] = "";
    pthread_mutex_lock(&demo->out);
    if (!demo->first_score_ns)
        demo->first_score_ns = weir_clock_now_ns(NULL) - demo->start_ns;
    if (demo->samples_wanted > 0) {
        demo->samples_wanted--;
        if (!sample->is_label)
            snprintf(value, sizeof value, "%.3f", sample->number);
        begin_line(demo);
        printf("Calculated quality - %.*s calculated in %.1f us by %s\n",
               sample->is_label ? (int)sample->label.bytes : (int)strlen(value),
               sample->is_label ? (const char *)sample->label.data : value,
               (double)sample->score_ns / 1e3, sample->served->name);
        fflush(stdout);
    }
    pthread_mutex_unlock(&demo->out);
}

static void print_live(struct demo *demo, int64_t now_ns)
{
    struct server_totals totals;
    char model[128];
    double seconds = (double)(now_ns - demo->last_line_ns) / 1e9;
    if (seconds < (demo->terminal ? 0.25 : 1.0))
        return;
    server_totals(demo->server, &totals);
    server_model_name(demo->server, model, sizeof model);
    double rate = (double)(totals.in - demo->last_in) / seconds;
    demo->last_in = totals.in;
    demo->last_line_ns = now_ns;
    pthread_mutex_lock(&demo->out);
    begin_line(demo);
    printf("%.0f records/s, p99 %.1f ms, %llu scored, model %s%s", rate,
           (double)totals.latency_p99_ns / 1e6, (unsigned long long)totals.results,
           *model ? model : "(none yet)", demo->terminal ? "" : "\n");
    demo->live = demo->terminal;
    fflush(stdout);
    pthread_mutex_unlock(&demo->out);
}

/* ---- starting -------------------------------------------------------------------------------- */

static void *provide(void *argument)
{
    struct demo *demo = argument;
    demo->provider_err = provider_run(demo->provider, &demo->provider_error);
    atomic_store(&demo->provided, true);
    return NULL;
}

static bool is_given(const struct run *run, const char *name)
{
    enum weir_setting_origin origin = weir_settings_origin(run->settings, name, NULL);
    return origin != WEIR_ORIGIN_DEFAULT && origin != WEIR_ORIGIN_UNSET;
}

static enum weir_err start_provider(struct demo *demo, struct weir_error *error)
{
    const struct run *run = demo->run;
    struct provider_options *options = &demo->provider_options;
    options->kafka = demo->kafka;
    options->rate = is_given(run, "rate") ? weir_settings_double(run->settings, "rate") : 1000;
    options->model_interval_ms =
        is_given(run, "model.interval") ? weir_settings_int(run->settings, "model.interval") : 2000;
    enum weir_err err = provider_new(options, &demo->provider, error);
    if (err != WEIR_OK)
        return err;
    if (pthread_create(&demo->thread, NULL, provide, demo) != 0)
        return weir_error_set(error, WEIR_NOMEM, -1, "the provider's thread can't be started");
    demo->thread_runs = true;
    return WEIR_OK;
}

/* Until the first model is on the broker: then the server has it before its first record. */
static void wait_for_model(const struct demo *demo)
{
    const struct timespec moment = {.tv_nsec = 1000000};
    struct provider_totals totals = {0};
    int64_t until_ns = weir_clock_now_ns(NULL) + FIRST_MODEL_MS_MAX * WEIR_NS_PER_MS;
    while (!totals.models && !atomic_load(&demo->provided) && weir_clock_now_ns(NULL) < until_ns) {
        nanosleep(&moment, NULL);
        provider_totals(demo->provider, &totals);
    }
}

static enum weir_err start_server(struct demo *demo, const struct weir_kafka_options *kafka,
                                  struct weir_error *error)
{
    struct server_options options;
    clients_server(demo->run->settings, demo->run->log, &options);
    options.kafka = *kafka;
    if (!is_given(demo->run, "commit.interval.ms"))
        options.streams.commit_interval_ms = 1000;
    options.http_optional = !is_given(demo->run, "http.listen");
    options.sample_every_ns = 20 * WEIR_NS_PER_MS;
    options.on_model = on_model;
    options.on_sample = on_sample;
    options.opaque = demo;
    return server_new(&options, &demo->server, error);
}

static enum weir_err start(struct demo *demo, struct weir_error *error)
{
    const struct run *run = demo->run;
    struct embedded_options broker = {.settings = run->settings,
                                      .temporary = true,
                                      .any_port = !is_given(run, "listeners"),
                                      .log = run->log};
    struct weir_kafka_options kafka;
    enum weir_err err =
        clients_provider(run->settings, run->log, &demo->provider_options, &demo->data, error);
    if (err == WEIR_OK)
        err = embedded_start(&broker, &demo->broker, error);
    if (err != WEIR_OK)
        return err;
    err = clients_kafka(run->settings, embedded_address(demo->broker), run->log, &kafka,
                        &demo->properties);
    if (err != WEIR_OK)
        return weir_error_set(error, err, -1, "no memory for the settings");
    err = weir_kafka_new(&kafka, &demo->kafka, error);
    if (err == WEIR_OK)
        err = start_provider(demo, error);
    if (err == WEIR_OK) {
        wait_for_model(demo);
        err = start_server(demo, &kafka, error);
    }
    if (err == WEIR_OK) {
        pthread_mutex_lock(&demo->out);
        printf("broker at %s, data in %s; state at http://%s/state/value\n",
               embedded_address(demo->broker), embedded_directory(demo->broker),
               server_address(demo->server));
        printf("%llu records of %s, %zu models\n",
               (unsigned long long)provider_record_count(demo->provider),
               demo->provider_options.data_path, demo->provider_options.models.count);
        fflush(stdout);
        pthread_mutex_unlock(&demo->out);
    }
    return err;
}

/* ---- running --------------------------------------------------------------------------------- */

static enum weir_err run_for_a_while(struct demo *demo, struct weir_error *error)
{
    int64_t duration_ms = weir_settings_int(demo->run->settings, "duration");
    int64_t end_ns = duration_ms ? demo->start_ns + duration_ms * WEIR_NS_PER_MS : INT64_MAX;
    enum weir_err err = WEIR_OK;
    while (err == WEIR_OK && !atomic_load(&demo->provided)) {
        err = server_tick(demo->server, error);
        int64_t now_ns = weir_clock_now_ns(NULL);
        if (now_ns >= end_ns || signals_wait(LOOK_EVERY_MS))
            break;
        if (demo->first_score_ns)
            print_live(demo, now_ns);
    }
    return err;
}

/* Lets the server read what the provider has sent. */
static enum weir_err drain(struct demo *demo, struct weir_error *error)
{
    struct provider_totals sent;
    struct server_totals totals;
    const struct timespec moment = {.tv_nsec = LOOK_EVERY_MS * 1000000};
    int64_t until_ns = weir_clock_now_ns(NULL) + DRAIN_MS_MAX * WEIR_NS_PER_MS;
    enum weir_err err = WEIR_OK;
    provider_stop(demo->provider);
    pthread_join(demo->thread, NULL);
    demo->thread_runs = false;
    if (demo->provider_err != WEIR_OK) {
        *error = demo->provider_error;
        return demo->provider_err;
    }
    provider_totals(demo->provider, &sent);
    do {
        err = server_tick(demo->server, error);
        server_totals(demo->server, &totals);
    } while (err == WEIR_OK && totals.in < sent.delivered && weir_clock_now_ns(NULL) < until_ns &&
             nanosleep(&moment, NULL) == 0);
    enum weir_err stopped = server_stop(demo->server);
    if (err == WEIR_OK && stopped != WEIR_OK)
        err = weir_error_set(error, stopped, -1, "the server could not be drained: %s",
                             weir_err_text(stopped));
    return err;
}

/* Records that the broker holds in all partitions of a topic. */
static enum weir_err count_topic(struct demo *demo, const char *topic, uint64_t *out,
                                 struct weir_error *error)
{
    int32_t partitions;
    *out = 0;
    enum weir_err err =
        weir_kafka_topic_partitions(demo->kafka, topic, OFFSETS_TIMEOUT_MS, &partitions, error);
    for (int32_t i = 0; i < partitions && err == WEIR_OK; i++) {
        int64_t first, next;
        err = weir_kafka_offsets(demo->kafka, topic, i, OFFSETS_TIMEOUT_MS, &first, &next, error);
        if (err == WEIR_OK)
            *out += (uint64_t)(next - first);
    }
    return err;
}

/* Prints what became of everything. False: it does not add up. */
static bool summarise(struct demo *demo, uint64_t in_scores, uint64_t in_dead)
{
    struct provider_totals sent;
    struct server_totals totals;
    provider_totals(demo->provider, &sent);
    server_totals(demo->server, &totals);
    double seconds = (double)(weir_clock_now_ns(NULL) - demo->start_ns) / 1e9;
    begin_line(demo);
    printf("\nIn %.1f s: in %llu, scored %llu, errors %llu, dead %llu, models %llu in force %llu "
           "times\n",
           seconds, (unsigned long long)totals.in, (unsigned long long)totals.results,
           (unsigned long long)totals.errors, (unsigned long long)totals.dead,
           (unsigned long long)totals.models.loaded, (unsigned long long)totals.models.swaps);
    printf("First score after %.0f ms; p50 %.1f ms, p99 %.1f ms from a record's timestamp to its "
           "score\n",
           (double)demo->first_score_ns / 1e6, (double)totals.latency_p50_ns / 1e6,
           (double)totals.latency_p99_ns / 1e6);
    bool sums = sent.records == sent.delivered && totals.in == sent.delivered &&
                totals.in == totals.results + totals.errors + totals.dead &&
                in_scores == totals.results + totals.errors &&
                in_dead == totals.dead + totals.dead_models;
    if (sums)
        printf("The numbers add up: %llu sent, %llu results and %llu dead letters on the broker\n",
               (unsigned long long)sent.records, (unsigned long long)in_scores,
               (unsigned long long)in_dead);
    else
        printf("THE NUMBERS DO NOT ADD UP: %llu sent, %llu delivered, %llu results and %llu dead "
               "letters on the broker; %llu times a task began again at its last commit, which "
               "repeats records\n",
               (unsigned long long)sent.records, (unsigned long long)sent.delivered,
               (unsigned long long)in_scores, (unsigned long long)in_dead,
               (unsigned long long)totals.streams.rewinds);
    return sums;
}

static int finish(struct demo *demo, enum weir_err err, struct weir_error *error)
{
    const struct weir_settings *settings = demo->run->settings;
    uint64_t in_scores = 0, in_dead = 0;
    if (err == WEIR_OK)
        err = drain(demo, error);
    if (err == WEIR_OK)
        err = count_topic(demo, weir_settings_string(settings, "scores.topic"), &in_scores, error);
    if (err == WEIR_OK)
        err =
            count_topic(demo, weir_settings_string(settings, "errors.dead.letter.queue.topic.name"),
                        &in_dead, error);
    if (err != WEIR_OK) {
        begin_line(demo);
        return fail(demo->run, error);
    }
    return summarise(demo, in_scores, in_dead) ? EXIT_DONE : EXIT_FAILED;
}

static void release(struct demo *demo)
{
    if (demo->thread_runs) {
        provider_stop(demo->provider);
        pthread_join(demo->thread, NULL);
    }
    server_free(demo->server);
    provider_free(demo->provider);
    weir_kafka_free(demo->kafka);
    embedded_stop(demo->broker);
    files_list_release(&demo->provider_options.models);
    weir_free(demo->properties);
    weir_free(demo->data);
    pthread_mutex_destroy(&demo->out);
}

int demo_run(const struct run *run)
{
    struct demo demo = {.run = run, .terminal = isatty(STDOUT_FILENO)};
    struct weir_error error = {.code = WEIR_OK};
    pthread_mutex_init(&demo.out, NULL);
    demo.start_ns = demo.last_line_ns = weir_clock_now_ns(NULL);
    enum weir_err err = start(&demo, &error);
    int status;
    if (err == WEIR_OK) {
        err = run_for_a_while(&demo, &error);
        status = finish(&demo, err, &error);
    } else {
        status = fail(run, &error);
    }
    release(&demo);
    return status;
}
