/* cli/serve.c - weir serve: the model server on either engine, until SIGTERM. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "cli/clients.h"
#include "cli/commands.h"
#include "cli/signals.h"

enum { LOOK_EVERY_MS = 200, DESCRIPTION_BYTES_MAX = 8192 };

static void print_start(const struct run *run, const struct server *server)
{
    char topology[DESCRIPTION_BYTES_MAX];
    server_describe(server, topology, sizeof topology);
    fputs(topology, stdout);
    fflush(stdout);
    weir_log(&run->log, WEIR_LOG_INFO, "serve", "state and metrics at http://%s/",
             server_address(server));
}

static int serve(const struct run *run, struct server *server)
{
    struct weir_error error = {.code = WEIR_OK};
    enum weir_err err = WEIR_OK;
    print_start(run, server);
    do
        err = server_tick(server, &error);
    while (err == WEIR_OK && !signals_wait(LOOK_EVERY_MS));
    weir_log(&run->log, WEIR_LOG_INFO, "serve", "draining");
    signals_force_on_next();
    enum weir_err stopped = server_stop(server);
    struct server_totals totals;
    server_totals(server, &totals);
    weir_log(&run->log, WEIR_LOG_INFO, "serve",
             "in %llu, scored %llu, errors %llu, dead letters %llu, models loaded %llu",
             (unsigned long long)totals.in, (unsigned long long)totals.results,
             (unsigned long long)totals.errors, (unsigned long long)totals.dead,
             (unsigned long long)totals.models.loaded);
    if (err != WEIR_OK)
        return fail(run, &error);
    if (stopped != WEIR_OK) {
        weir_error_set(&error, stopped, -1,
                       "not all results were delivered before the end (%s); what was not committed "
                       "will be scored again",
                       weir_err_text(stopped));
        return fail(run, &error);
    }
    return EXIT_DONE;
}

/* What can be served, by its two words; where the second is left out the first of its engine. */
struct engine_words {
    const char *engine, *kind;
    enum server_engine is;
};

static int choose_engine(const struct run *run, enum server_engine *engine_out)
{
    static const struct engine_words words[] = {{"streams", "custom", SERVER_STREAMS_CUSTOM},
                                                {"streams", "standard", SERVER_STREAMS_STANDARD},
                                                {"streams", "memory", SERVER_STREAMS_MEMORY},
                                                {"flow", "custom", SERVER_FLOW_CUSTOM}};
    const char *engine = weir_settings_argument(run->settings, 0);
    const char *kind = weir_settings_argument_count(run->settings) > 1
                           ? weir_settings_argument(run->settings, 1)
                           : NULL;
    const char *kinds = NULL;
    for (size_t i = 0; i < WEIR_ARRAY_COUNT(words); i++) {
        if (strcmp(engine, words[i].engine) != 0)
            continue;
        *engine_out = words[i].is;
        if (!kind || strcmp(kind, words[i].kind) == 0)
            return EXIT_DONE;
        kinds = words[i].is == SERVER_FLOW_CUSTOM ? "\"custom\""
                                                  : "\"custom\", \"standard\" and \"memory\"";
    }
    if (kinds)
        return fail_usage(run, "\"%s\" is no kind of \"%s\" that is here; there is %s", kind,
                          engine, kinds);
    return fail_usage(run, "\"%s\" is no engine that is here; there are \"streams\" and \"flow\"",
                      engine);
}

static bool is_default(const struct run *run, const char *name)
{
    return weir_settings_origin(run->settings, name, NULL) == WEIR_ORIGIN_DEFAULT;
}

/* The flow engine has a group and a port of its own, so that both servers may run side by side. */
static void choose_defaults(const struct run *run, struct server_options *options)
{
    if (options->engine != SERVER_FLOW_CUSTOM)
        return;
    if (is_default(run, "application.id"))
        options->streams.application_id = "wineRecordsGroup";
    if (is_default(run, "http.listen"))
        options->http_listen.port = 5500;
}

int serve_run(const struct run *run)
{
    struct server_options options;
    struct weir_kafka_property *properties;
    struct weir_error error = {.code = WEIR_OK};
    struct server *server;
    enum server_engine engine = SERVER_STREAMS_CUSTOM;
    int status = choose_engine(run, &engine);
    if (status != EXIT_DONE)
        return status;
    clients_server(run->settings, run->log, &options);
    options.engine = engine;
    choose_defaults(run, &options);
    if (engine == SERVER_FLOW_CUSTOM &&
        options.streams.processing_guarantee == WEIR_EXACTLY_ONCE_V2)
        return fail_usage(run, "processing.guarantee=exactly_once_v2 is for the streams engine");
    options.insecure = weir_settings_bool(run->settings, "insecure");
    options.streams.group_instance_id = weir_settings_string(run->settings, "group.instance.id");
    enum weir_err err = clients_kafka(run->settings, NULL, run->log, &options.kafka, &properties);
    if (err != WEIR_OK)
        return EXIT_FAILED;
    if (server_new(&options, &server, &error) == WEIR_OK) {
        status = serve(run, server);
        server_free(server);
    } else {
        status = fail(run, &error);
    }
    weir_free(properties);
    return status;
}
