/*
 * cli/commands.h - the commands of `weir`: one table, one function each.
 *
 * What:    main finds the command, loads its settings (flags > environment > files > defaults) and
 *          runs it. `--help` of a command is generated from its row here and the settings table.
 * Life:    everything lives as long as the run.
 * Threads: run is called on the main thread, which alone waits for signals (cli/signals.h).
 * Errors:  run gives the exit status: 0 done, 1 failed, 2 wrong usage.
 */
#ifndef CLI_COMMANDS_H
#define CLI_COMMANDS_H

#include "base/logger.h"
#include "base/settings.h"

enum command_bit {
    COMMAND_DEMO = 1,
    COMMAND_BROKER = 2,
    COMMAND_SERVE = 4,
    COMMAND_PROVIDE = 8,
    COMMAND_READ = 16,
    COMMAND_SCORE = 32,
    COMMAND_CONFIG = 64,
    COMMAND_USERS = 128,
    COMMAND_TOPICS = 256,
    COMMAND_GROUPS = 512,
    COMMAND_INSPECT = 1024,
};

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

/* What a command is run with. All borrowed. */
struct run {
    const struct command *command;
    const struct weir_settings *settings;
    struct weir_log log;
};

struct command {
    const char *name; /* "demo" */
    enum command_bit bit;
    const char *arguments; /* "streams [memory]"; NULL = none */
    size_t arguments_min, arguments_max;
    const char *summary;  /* one line */
    const char *examples; /* lines, each indented by two */
    int (*run)(const struct run *run);
};

int demo_run(const struct run *run);
int broker_run(const struct run *run);
int serve_run(const struct run *run);
int provide_run(const struct run *run);
int read_run(const struct run *run);
int score_run(const struct run *run);
int inspect_run(const struct run *run);
int config_run(const struct run *run);
int users_run(const struct run *run);
int topics_run(const struct run *run);
int groups_run(const struct run *run);

/* The settings table of the program (settings_table.c). */
extern const struct weir_setting settings_table[];
extern const size_t settings_table_count;

/* Is an unknown key of a file or the environment librdkafka's or, for weir broker, Kafka's? opaque:
 * the uint32_t bit of the command, NULL = any. */
bool settings_passes(void *opaque, const char *name);

/* Prints "weir COMMAND: message" and what to do next on standard error; gives EXIT_FAILED. */
int fail(const struct run *run, const struct weir_error *error);
/* The same for wrong usage; gives EXIT_USAGE. */
int fail_usage(const struct run *run, const char *format, ...) WEIR_PRINTF(2, 3);

#endif
