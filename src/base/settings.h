/*
 * base/settings.h - one table of settings gives flags, environment, files, help and docs.
 *
 * What:    the engine. The tables themselves stand where the program stands (cli).
 *          Precedence: flags > environment > .properties files (later over earlier) > default.
 * Life:    weir_settings_new -> load_arguments, load_environment, load_file (any order) ->
 *          weir_settings_check -> getters -> weir_settings_free.
 * Threads: loading by one thread; getters by any afterwards.
 * Memory:  values are copied; texts from getters are borrowed until free. The table, its texts and
 *          argv's content are borrowed for the life of the settings.
 * Errors:  INVALID with "where: key: what is wrong, what to do"; position = line of a file. NOMEM,
 *          LIMIT, IO, NOT_FOUND (file).
 *
 * Environment: WEIR_ + key in capitals, "." -> "_", "_" -> "__", "-" -> "___"; the same name with
 * _FILE behind it names a file that holds the value (for secrets). Of a command's own table, flags
 * of other commands are refused; their keys in files and environment are checked and passed over.
 *
 * Keys that no table has are an error with the nearest name, unless options.passes says that they
 * are somebody else's (librdkafka's): then they are kept as extras, as is all of -X name=value.
 */
#ifndef WEIR_BASE_SETTINGS_H
#define WEIR_BASE_SETTINGS_H

#include <weir/base.h>

#include "base/buffer.h"
#include "base/net.h"

struct weir_settings;

enum weir_setting_type {
    WEIR_SETTING_STRING,
    WEIR_SETTING_INT,
    WEIR_SETTING_DOUBLE,
    WEIR_SETTING_BOOL,     /* true|false, yes|no, on|off, 1|0; a flag alone is true, --no-x false */
    WEIR_SETTING_DURATION, /* 250ms, 10s, 5m, 2h, 7d, or a bare number of ms; value in ms */
    WEIR_SETTING_BYTES,    /* 64MiB, 1GiB, 512KiB, 10MB (10^6), 4096; value in bytes */
    WEIR_SETTING_ENUM,     /* one of `values` */
    WEIR_SETTING_ENDPOINT, /* HOST:PORT */
    WEIR_SETTING_LIST,     /* a,b,c; spaces around items are dropped; a repeated flag appends */
};

/* One row. Unset members are 0 or NULL. */
struct weir_setting {
    const char *name; /* dotted key: "state.dir" */
    const char *flag; /* "state-dir" for --state-dir; NULL = no flag */
    char flag_short;  /* 'b' for -b; 0 = none */
    enum weir_setting_type type;
    const char *default_text; /* in the type's own syntax; NULL = unset */
    int64_t min, max;         /* of INT, DOUBLE, DURATION (ms), BYTES; min == max: no bounds */
    const char *values;       /* of ENUM: "skip|wait|dead-letter" */
    const char *argument;     /* how help shows the value; NULL = by type ("HOST:PORT") */
    const char *help;         /* one or two sentences */
    const char *group;        /* heading in help and docs */
    bool secret;              /* shown as ****; refused on the command line */
    bool shared;              /* librdkafka has this name too: commands that don't take the row
                                 keep it as an extra */
    bool required;            /* check fails if unset for a command of the mask */
    uint32_t commands;        /* bit mask of commands that take it; 0 = all */
};

struct weir_settings_options {
    const struct weir_setting *table;
    size_t count;
    uint32_t command;         /* bit of the command that runs; 0 = none in particular */
    const char *command_name; /* "serve streams", for messages and help */
    /* Is an unknown key of file or environment somebody else's? NULL = no key is. */
    bool (*passes)(void *opaque, const char *name);
    void *opaque;
};

enum weir_setting_origin {
    WEIR_ORIGIN_UNSET,
    WEIR_ORIGIN_DEFAULT,
    WEIR_ORIGIN_FILE,
    WEIR_ORIGIN_ENVIRONMENT,
    WEIR_ORIGIN_FLAG,
};

/* Checks the table (names, types, defaults; a fault is an INTERNAL error), takes the defaults. */
WEIR_MUST_USE enum weir_err weir_settings_new(const struct weir_settings_options *options,
                                              struct weir_settings **out, struct weir_error *error);
/* NULL is allowed. */
void weir_settings_free(struct weir_settings *settings);

/*
 * Reads argv[0 .. argc) (without program and command): --flag VALUE, --flag=VALUE, -f VALUE,
 * -fVALUE, bundled short switches, -X name=value (own keys too), "--" ends flags. What is no flag
 * is an argument (weir_settings_argument). `-h` and `--help` are not errors: *help_out says so.
 */
WEIR_MUST_USE enum weir_err weir_settings_load_arguments(struct weir_settings *settings, int argc,
                                                         const char *const *argv, bool *help_out,
                                                         struct weir_error *error);
/* environment: "NAME=value" texts, NULL-ended (environ). UNSUPPORTED: a variable is no setting. */
WEIR_MUST_USE enum weir_err weir_settings_load_environment(struct weir_settings *settings,
                                                           const char *const *environment,
                                                           struct weir_error *error);
/* A file in Java's .properties format (java.util.Properties#load), UTF-8, <= 1 MiB. */
WEIR_MUST_USE enum weir_err weir_settings_load_file(struct weir_settings *settings,
                                                    const char *path, struct weir_error *error);
/* The same from memory; name stands in messages and origins. */
WEIR_MUST_USE enum weir_err weir_settings_load_text(struct weir_settings *settings,
                                                    const char *name, struct weir_slice text,
                                                    struct weir_error *error);
/* Sets one value as if by a flag (a program's own decision, "--reference"). */
WEIR_MUST_USE enum weir_err weir_settings_set(struct weir_settings *settings, const char *name,
                                              const char *value, const char *origin,
                                              struct weir_error *error);
/* Looks for required settings that nobody gave. */
WEIR_MUST_USE enum weir_err weir_settings_check(const struct weir_settings *settings,
                                                struct weir_error *error);

/* Getters. The name must stand in the table with that type (assertion). An unset one gives NULL, 0,
 * false or an empty list; an endpoint then has an empty host. */
bool weir_settings_is_set(const struct weir_settings *settings, const char *name);
const char *weir_settings_string(const struct weir_settings *settings, const char *name); /* ENUM */
int64_t weir_settings_int(const struct weir_settings *settings,
                          const char *name); /* INT, DURATION in ms, BYTES */
double weir_settings_double(const struct weir_settings *settings, const char *name);
bool weir_settings_bool(const struct weir_settings *settings, const char *name);
/* Index of the value in `values`: a C enum in the same order. -1 = unset. */
int weir_settings_enum(const struct weir_settings *settings, const char *name);
struct weir_endpoint weir_settings_endpoint(const struct weir_settings *settings, const char *name);
size_t weir_settings_list_count(const struct weir_settings *settings, const char *name);
const char *weir_settings_list_item(const struct weir_settings *settings, const char *name,
                                    size_t index);

/* Where a value comes from; *detail_out (may be NULL): "--state-dir", "WEIR_STATE_DIR",
 * "weir.properties:12", "default"; borrowed. */
enum weir_setting_origin weir_settings_origin(const struct weir_settings *settings,
                                              const char *name, const char **detail_out);

/* Words of the command line that are no flags. */
size_t weir_settings_argument_count(const struct weir_settings *settings);
const char *weir_settings_argument(const struct weir_settings *settings, size_t index);

/* Names and values for librdkafka, the winner of each name, in the order of arrival. */
size_t weir_settings_extra_count(const struct weir_settings *settings);
void weir_settings_extra(const struct weir_settings *settings, size_t index, const char **name_out,
                         const char **value_out);

/* Appends the options of the command as help text: groups, flags, defaults. width: columns. */
WEIR_MUST_USE enum weir_err weir_settings_write_help(const struct weir_settings *settings,
                                                     int width, struct weir_buffer *into);
/* Appends Markdown tables of the whole table, a heading a group. */
WEIR_MUST_USE enum weir_err weir_settings_write_markdown(const struct weir_settings *settings,
                                                         struct weir_buffer *into);
/* Appends "key=value" lines of the command's settings and the extras, secrets masked; with origins:
 * "key=value   # WEIR_STATE_DIR". */
WEIR_MUST_USE enum weir_err weir_settings_write_values(const struct weir_settings *settings,
                                                       bool with_origin, struct weir_buffer *into);

/* Writes the environment variable of a key ("state.dir" -> "WEIR_STATE_DIR"); LIMIT. */
WEIR_MUST_USE enum weir_err weir_settings_environment_name(const char *name,
                                                           struct weir_buffer *into);
/* The nearest of `names` (NULL-ended) to a mistyped word, or NULL if none is near: edit distance
 * <= a third of its length. For commands too. */
const char *weir_nearest_name(const char *word, const char *const *names);

#endif
