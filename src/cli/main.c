/*
 * cli/main.c - weir: finds the command, loads its settings, runs it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/alloc.h"
#include "cli/commands.h"
#include "cli/signals.h"

static const struct command commands[] = {
    {.name = "demo",
     .bit = COMMAND_DEMO,
     .summary = "broker, provider and model server in one process: see wine being scored",
     .examples = "  weir demo\n"
                 "  weir demo --duration 10s --rate 5000 --model-interval 1s\n",
     .run = demo_run},
    {.name = "broker",
     .bit = COMMAND_BROKER,
     .summary = "a Kafka-protocol broker on this machine, with a durable log",
     .examples = "  weir broker --listen 127.0.0.1:9092 --data-dir ./data\n"
                 "  weir broker --config server.properties\n"
                 "  weir broker --in-memory 256MiB\n",
     .run = broker_run},
    {.name = "users",
     .bit = COMMAND_USERS,
     .arguments = "list|add|remove [NAME]",
     .arguments_min = 1,
     .arguments_max = 2,
     .summary = "who may come in to a broker with SASL; add reads the password from standard input",
     .examples = "  weir users add alice --data-dir ./data\n"
                 "  weir users add alice --users ./weir-users < password.txt\n"
                 "  weir users remove alice --data-dir ./data\n",
     .run = users_run},
    {.name = "topics",
     .bit = COMMAND_TOPICS,
     .arguments = "list|describe|create|alter|delete [TOPIC]",
     .arguments_min = 1,
     .arguments_max = 2,
     .summary = "look at the topics of any Kafka, make and change them",
     .examples = "  weir topics list --brokers localhost:9092\n"
                 "  weir topics describe orders\n"
                 "  weir topics create orders --partitions 6 --set cleanup.policy=compact\n"
                 "  weir topics alter orders --set retention.ms=86400000\n"
                 "  weir topics delete orders --yes\n",
     .run = topics_run},
    {.name = "groups",
     .bit = COMMAND_GROUPS,
     .arguments = "list|describe|reset|delete [GROUP]",
     .arguments_min = 1,
     .arguments_max = 2,
     .summary = "look at the consumer groups of any Kafka and what they have not read, move them",
     .examples = "  weir groups list --json\n"
                 "  weir groups describe billing\n"
                 "  weir groups reset billing --topic orders --to earliest --dry-run\n"
                 "  weir groups reset billing --to 2026-01-31T12:00:00Z\n"
                 "  weir groups delete billing --yes\n",
     .run = groups_run},
    {.name = "serve",
     .bit = COMMAND_SERVE,
     .arguments = "streams [custom|standard|memory] | flow [custom]",
     .arguments_min = 1,
     .arguments_max = 2,
     .summary = "score the records of a topic with the newest model",
     .examples = "  weir serve streams --brokers localhost:9092\n"
                 "  weir serve streams standard -X state.dir=/var/lib/weir\n"
                 "  weir serve streams --threads 2 --no-model wait\n"
                 "  weir serve flow custom --http 127.0.0.1:5500\n",
     .run = serve_run},
    {.name = "provide",
     .bit = COMMAND_PROVIDE,
     .summary = "send records and models to their topics",
     .examples = "  weir provide --rate 100 --model-interval 10s\n"
                 "  weir provide --data wine.csv --models ./models --once\n",
     .run = provide_run},
    {.name = "read",
     .bit = COMMAND_READ,
     .arguments = "TOPIC",
     .arguments_min = 1,
     .arguments_max = 1,
     .summary = "look at a topic: results, models and records as JSON",
     .examples = "  weir read scores --count 5\n"
                 "  weir read weir-dead-letters --follow\n",
     .run = read_run},
    {.name = "score",
     .bit = COMMAND_SCORE,
     .summary = "score a CSV file with a model, without Kafka",
     .examples = "  weir score --model forest.pmml --input wine.csv\n"
                 "  weir score --model net.pb --input wine.csv --delimiter ';' --format json\n",
     .run = score_run},
    {.name = "inspect",
     .bit = COMMAND_INSPECT,
     .arguments = "FILE",
     .arguments_min = 1,
     .arguments_max = 1,
     .summary = "what a model wants, what it gives, and what it costs to score",
     .examples = "  weir inspect forest.pmml\n"
                 "  weir inspect forest.pmml --input wine.csv\n"
                 "  weir inspect net.pb --json\n",
     .run = inspect_run},
    {.name = "config",
     .bit = COMMAND_CONFIG,
     .arguments = "check|show",
     .arguments_min = 1,
     .arguments_max = 1,
     .summary = "check the settings, or show them and where they come from",
     .examples = "  weir config check --config weir.properties\n"
                 "  weir config show --origin\n",
     .run = config_run},
};

enum { COMMAND_COUNT = sizeof commands / sizeof *commands };

int fail(const struct run *run, const struct weir_error *error)
{
    fprintf(stderr, "weir %s: %s\n", run->command->name, error->message);
    return EXIT_FAILED;
}

int fail_usage(const struct run *run, const char *format, ...)
{
    char message[WEIR_ERROR_TEXT_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    fprintf(stderr, "weir %s: %s\n'weir %s --help' says more\n", run->command->name, message,
            run->command->name);
    return EXIT_USAGE;
}

/* ---- help ------------------------------------------------------------------------------------ */

static void print_overview(FILE *out)
{
    fputs("weir " WEIR_VERSION " - serves machine-learning models inside Kafka streams\n\n"
          "usage: weir COMMAND [OPTIONS]\n\n",
          out);
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        fprintf(out, "  %-9s %s\n", commands[i].name, commands[i].summary);
    fputs("\n'weir COMMAND --help' lists the options, 'weir demo' is the place to begin.\n", out);
}

static int terminal_width(void)
{
    struct winsize size;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= 60)
        return size.ws_col;
    return 80;
}

static int print_help(const struct command *command, const struct weir_settings *settings)
{
    struct weir_buffer text;
    weir_buffer_init(&text, 1 << 20);
    enum weir_err err = weir_settings_write_help(settings, terminal_width(), &text);
    if (err == WEIR_OK) {
        printf("usage: weir %s%s%s [OPTIONS]\n\n%s.\n\nexamples:\n%s\n%s", command->name,
               command->arguments ? " " : "", command->arguments ? command->arguments : "",
               command->summary, command->examples, weir_buffer_text(&text));
        printf("\nEach option is also a key of a .properties file (--config) and, as WEIR_..., of "
               "the environment.\n-X name=value passes a property to librdkafka.\n");
    }
    weir_buffer_release(&text);
    return err == WEIR_OK ? EXIT_DONE : EXIT_FAILED;
}

/* ---- running --------------------------------------------------------------------------------- */

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

static int unknown_command(const char *name)
{
    const char *names[COMMAND_COUNT + 1] = {NULL};
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        names[i] = commands[i].name;
    const char *near = weir_nearest_name(name, names);
    fprintf(stderr, "weir: there is no command \"%s\"", name);
    if (near)
        fprintf(stderr, "; did you mean \"%s\"?", near);
    fputs("\n'weir --help' lists the commands\n", stderr);
    return EXIT_USAGE;
}

/* The environment is shared with others, who may have WEIR_... variables of their own: one that is
 * no setting is told and passed over. A wrong value of a setting is an error as anywhere. */
static enum weir_err load_environment(struct weir_settings *settings, struct weir_error *error)
{
    enum weir_err err = WEIR_OK;
    for (char **at = environ; *at && err == WEIR_OK; at++) {
        const char *const one[] = {*at, NULL};
        err = weir_settings_load_environment(settings, one, error);
        if (err == WEIR_UNSUPPORTED) {
            fprintf(stderr, "weir: %s (ignored)\n", error->message);
            *error = (struct weir_error){.code = WEIR_OK};
            err = WEIR_OK;
        }
    }
    return err;
}

static enum weir_err load_settings(struct weir_settings *settings, int argc, char **argv,
                                   bool *help_out, struct weir_error *error)
{
    enum weir_err err =
        weir_settings_load_arguments(settings, argc, (const char *const *)argv, help_out, error);
    if (err != WEIR_OK || *help_out)
        return err;
    err = load_environment(settings, error);
    size_t files = err == WEIR_OK ? weir_settings_list_count(settings, "config.files") : 0;
    for (size_t i = 0; i < files && err == WEIR_OK; i++)
        err = weir_settings_load_file(settings,
                                      weir_settings_list_item(settings, "config.files", i), error);
    return err;
}

static int run_with_log(struct run *run)
{
    struct weir_logger_options options;
    struct weir_logger *logger;
    weir_logger_options_default(&options);
    options.json = weir_settings_enum(run->settings, "log.format") == 1;
    options.level = (enum weir_log_level)weir_settings_enum(run->settings, "log.level");
    if (run->command->bit == COMMAND_DEMO &&
        weir_settings_origin(run->settings, "log.level", NULL) == WEIR_ORIGIN_DEFAULT)
        options.level = WEIR_LOG_WARN; /* the demo says itself what there is to see */
    if (weir_logger_new(&options, &logger) != WEIR_OK)
        return EXIT_FAILED;
    run->log = weir_logger_log(logger);
    int status = run->command->run(run);
    weir_logger_free(logger);
    return status;
}

static int run_command(const struct command *command, int argc, char **argv)
{
    struct weir_settings_options options = {
        .table = settings_table,
        .count = settings_table_count,
        .command = command->bit == COMMAND_CONFIG ? 0 : (uint32_t)command->bit,
        .command_name = command->name,
        .passes = settings_passes};
    options.opaque = &options.command; /* settings_passes asks for whom */
    struct run run = {.command = command};
    struct weir_settings *settings;
    struct weir_error error = {.code = WEIR_OK};
    bool help = false;
    int status;
    if (weir_settings_new(&options, &settings, &error) != WEIR_OK)
        return fail(&run, &error);
    run.settings = settings;
    enum weir_err err = load_settings(settings, argc, argv, &help, &error);
    /* config looks at the settings of all commands, none of which is run. */
    if (err == WEIR_OK && !help && command->bit != COMMAND_CONFIG)
        err = weir_settings_check(settings, &error);
    size_t words = err == WEIR_OK ? weir_settings_argument_count(settings) : 0;
    if (help)
        status = print_help(command, settings);
    else if (err != WEIR_OK)
        status = fail_usage(&run, "%s", error.message);
    else if (words < command->arguments_min)
        status = fail_usage(&run, "%s is missing", command->arguments);
    else if (words > command->arguments_max)
        status = fail_usage(&run, "\"%s\" is one word too many",
                            weir_settings_argument(settings, command->arguments_max));
    else
        status = run_with_log(&run);
    weir_settings_free(settings);
    return status;
}

int main(int argc, char **argv)
{
    signals_block();
    if (argc < 2) {
        print_overview(stderr);
        return EXIT_USAGE;
    }
    const char *name = argv[1];
    if (strcmp(name, "--version") == 0 || strcmp(name, "version") == 0) {
        printf("weir %s\n", weir_version());
        return EXIT_DONE;
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        const struct command *about = argc > 2 ? find_command(argv[2]) : NULL;
        char *help[] = {(char *)"--help"};
        if (about)
            return run_command(about, 1, help);
        print_overview(stdout);
        return EXIT_DONE;
    }
    const struct command *command = find_command(name);
    int status = command ? run_command(command, argc - 2, argv + 2) : unknown_command(name);
    if ((fflush(stdout) != 0 || ferror(stdout)) && status == EXIT_DONE) {
        fprintf(stderr, "weir: standard output could not be written to\n");
        status = EXIT_FAILED; /* a full disk or a closed pipe */
    }
    return status;
}
