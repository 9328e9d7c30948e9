/* cli/serve.c - weir serve streams [memory]: the model server, until SIGTERM. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
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

static int check_arguments(const struct run *run)
{
    const char *engine = weir_settings_argument(run->settings, 0);
    const char *store = weir_settings_argument_count(run->settings) > 1
                            ? weir_settings_argument(run->settings, 1)
                            : "memory";
    if (strcmp(engine, "streams") != 0)
        return fail_usage(run, "\"%s\" is no engine that is here; there is \"streams\"", engine);
    if (strcmp(store, "memory") != 0)
        return fail_usage(run, "\"%s\" is no store that is here; there is \"memory\"", store);
    return EXIT_DONE;
}

int serve_run(const struct run *run)
{
    struct server_options options;
    struct weir_kafka_property *properties;
    struct weir_error error = {.code = WEIR_OK};
    struct server *server;
    int status = check_arguments(run);
    if (status != EXIT_DONE)
        return status;
    clients_server(run->settings, run->log, &options);
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
