/* Settings from flags, environment and files: base/settings.h. */
#include "base/settings.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/disk.h"
#include "base/properties.h"
#include "base/settings_impl.h"

enum { NAME_MAX_BYTES = 192, SECRET_FILE_BYTES_MAX = 65536 };

static const char prefix[] = "WEIR_";

/* ---- names */

/* Appends one name for each row that `name_of` gives one for, and finds the nearest to word. */
static const char *nearest(const struct weir_settings *settings, const char *word, bool flags)
{
    const char **names = weir_calloc(settings->options.count + 1, sizeof *names);
    const char *found;
    size_t count = 0;

    if (names == NULL)
        return NULL; /* only a hint is lost */
    for (size_t i = 0; i < settings->options.count; i++) {
        const struct weir_setting *row = &settings->options.table[i];
        const char *name = flags ? row->flag : row->name;
        if (name != NULL && (!flags || weir_settings_takes(settings, row)))
            names[count++] = name;
    }
    names[count] = NULL;
    found = weir_nearest_name(word, names);
    weir_free(names);
    return found;
}

static enum weir_err unknown_key(const struct weir_settings *settings, const char *key,
                                 const struct setting_arrival *arrival, struct weir_error *error)
{
    const char *near = nearest(settings, key, false);

    return weir_error_set(error, WEIR_UNSUPPORTED, arrival->position,
                          "%s: unknown setting \"%s\"%s%s%s", arrival->detail, key,
                          near != NULL ? ": did you mean " : "", near != NULL ? near : "",
                          near != NULL ? "?" : "");
}

/* "state.dir" -> WEIR_STATE_DIR. False: too long. */
static bool environment_name(const char *key, char out[NAME_MAX_BYTES])
{
    size_t used = sizeof prefix - 1;

    memcpy(out, prefix, used);
    for (; *key != '\0'; key++) {
        size_t bars = *key == '.' ? 1 : *key == '_' ? 2 : *key == '-' ? 3 : 0;
        if (used + 4 > NAME_MAX_BYTES)
            return false;
        if (bars == 0)
            out[used++] = (char)toupper((unsigned char)*key);
        for (; bars > 0; bars--)
            out[used++] = '_';
    }
    out[used] = '\0';
    return true;
}

/* WEIR_STATE_DIR (without the prefix) -> "state.dir". False: too long. */
static bool key_of_environment(const char *name, size_t bytes, char out[NAME_MAX_BYTES])
{
    if (bytes >= NAME_MAX_BYTES)
        return false;
    for (size_t i = 0; i < bytes;) {
        size_t bars = 0;
        while (bars < 3 && i + bars < bytes && name[i + bars] == '_')
            bars++;
        *out++ = bars == 0 ? (char)tolower((unsigned char)name[i]) : " ._-"[bars];
        i += bars > 0 ? bars : 1;
    }
    *out = '\0';
    return true;
}

enum weir_err weir_settings_environment_name(const char *name, struct weir_buffer *into)
{
    char text[NAME_MAX_BYTES];

    return environment_name(name, text) ? weir_buffer_append_text(into, text) : WEIR_LIMIT;
}

/* A key of a file, of the environment or of -X: ours, librdkafka's or unknown. */
static enum weir_err apply_key(struct weir_settings *settings, const char *key,
                               const struct setting_arrival *arrival, bool passes,
                               struct weir_error *error)
{
    size_t row = weir_settings_row(settings, key);

    if (row < settings->options.count && settings->options.table[row].shared &&
        !weir_settings_takes(settings, &settings->options.table[row]))
        return weir_settings_apply_extra(settings, key, arrival, error);
    if (row < settings->options.count)
        return weir_settings_apply(settings, row, arrival, error);
    if (passes || (settings->options.passes != NULL &&
                   settings->options.passes(settings->options.opaque, key)))
        return weir_settings_apply_extra(settings, key, arrival, error);
    return unknown_key(settings, key, arrival, error);
}

/* ---- the command line */

struct words {
    const char *const *at;
    const char *const *end;
};

static const struct weir_setting *find_flag(const struct weir_settings *settings, const char *name,
                                            size_t bytes, char name_short)
{
    for (size_t i = 0; i < settings->options.count; i++) {
        const struct weir_setting *row = &settings->options.table[i];
        if (!weir_settings_takes(settings, row))
            continue;
        if (name != NULL ? row->flag != NULL && strlen(row->flag) == bytes &&
                               strncmp(row->flag, name, bytes) == 0
                         : row->flag_short == name_short)
            return row;
    }
    return NULL;
}

static enum weir_err apply_flag(struct weir_settings *settings, const struct weir_setting *row,
                                const char *text, struct weir_error *error)
{
    char detail[NAME_MAX_BYTES];
    struct setting_arrival arrival = {
        .text = text, .origin = WEIR_ORIGIN_FLAG, .detail = detail, .position = -1};

    if (row->flag != NULL)
        snprintf(detail, sizeof detail, "--%s", row->flag);
    else
        snprintf(detail, sizeof detail, "-%c", row->flag_short);
    return weir_settings_apply(settings, (size_t)(row - settings->options.table), &arrival, error);
}

/* "name=value" behind -X. */
static enum weir_err take_extra(struct weir_settings *settings, const char *pair,
                                struct weir_error *error)
{
    const char *equals = strchr(pair, '=');
    char name[NAME_MAX_BYTES], detail[NAME_MAX_BYTES + 8];
    struct setting_arrival arrival = {.origin = WEIR_ORIGIN_FLAG, .detail = detail, .position = -1};
    size_t row;

    if (equals == NULL || equals == pair || (size_t)(equals - pair) >= sizeof name)
        return weir_error_set(error, WEIR_INVALID, -1, "-X %.60s: expected -X name=value", pair);
    snprintf(name, sizeof name, "%.*s", (int)(equals - pair), pair);
    snprintf(detail, sizeof detail, "-X %s", name);
    arrival.text = equals + 1;
    row = weir_settings_row(settings, name);
    if (row < settings->options.count && settings->options.table[row].secret) {
        char variable[NAME_MAX_BYTES] = "";
        environment_name(name, variable);
        return weir_error_set(error, WEIR_INVALID, -1,
                              "-X %s: others can see the command line: set %s, %s_FILE or a line "
                              "of a file",
                              name, variable, variable);
    }
    return apply_key(settings, name, &arrival, true, error);
}

static enum weir_err unknown_flag(const struct weir_settings *settings, const char *word,
                                  struct weir_error *error)
{
    const char *name = word + strspn(word, "-");
    char text[NAME_MAX_BYTES];
    const char *near;

    snprintf(text, sizeof text, "%.*s", (int)strcspn(name, "="), name);
    near = nearest(settings, text, true);
    return weir_error_set(
        error, WEIR_INVALID, -1, "%.80s is not an option of %s%s%s%s", word,
        settings->options.command_name != NULL ? settings->options.command_name : "this command",
        near != NULL ? ": did you mean --" : "", near != NULL ? near : "", near != NULL ? "?" : "");
}

/* The value of a flag: what is glued to it, or the next word. NULL: there is none. */
static const char *take_value(struct words *words, const char *glued)
{
    if (glued != NULL)
        return glued;
    return words->at < words->end ? *words->at++ : NULL;
}

static enum weir_err no_value(const char *word, const char *argument, struct weir_error *error)
{
    return weir_error_set(error, WEIR_INVALID, -1, "%.80s needs a value: %s", word, argument);
}

static enum weir_err take_long(struct weir_settings *settings, const char *word,
                               struct words *words, struct weir_error *error)
{
    const char *name = word + 2, *equals = strchr(name, '=');
    size_t bytes = equals != NULL ? (size_t)(equals - name) : strlen(name);
    const struct weir_setting *row = find_flag(settings, name, bytes, 0);
    const char *value;

    if (row == NULL && equals == NULL && strncmp(name, "no-", 3) == 0) {
        row = find_flag(settings, name + 3, bytes - 3, 0);
        if (row != NULL && row->type == WEIR_SETTING_BOOL)
            return apply_flag(settings, row, "false", error);
        row = NULL;
    }
    if (row == NULL)
        return unknown_flag(settings, word, error);
    if (row->type == WEIR_SETTING_BOOL && equals == NULL)
        return apply_flag(settings, row, "true", error);
    value = take_value(words, equals != NULL ? equals + 1 : NULL);
    if (value == NULL)
        return no_value(word, weir_setting_argument(row), error);
    return apply_flag(settings, row, value, error);
}

/* -f, -fVALUE, or several switches in one word; -X. */
static enum weir_err take_short(struct weir_settings *settings, const char *word,
                                struct words *words, struct weir_error *error)
{
    enum weir_err err = WEIR_OK;

    for (const char *at = word + 1; *at != '\0' && err == WEIR_OK; at++) {
        const struct weir_setting *row = find_flag(settings, NULL, 0, *at);
        const char *value;
        if (row == NULL && *at != 'X')
            return unknown_flag(settings, word, error);
        if (row != NULL && row->type == WEIR_SETTING_BOOL) {
            err = apply_flag(settings, row, "true", error);
            continue;
        }
        value = take_value(words, at[1] != '\0' ? at + 1 : NULL);
        if (value == NULL)
            return no_value(word, row != NULL ? weir_setting_argument(row) : "name=value", error);
        return row != NULL ? apply_flag(settings, row, value, error)
                           : take_extra(settings, value, error);
    }
    return err;
}

static enum weir_err take_argument(struct weir_settings *settings, const char *word, int argc,
                                   struct weir_error *error)
{
    if (settings->arguments == NULL) {
        settings->arguments = weir_calloc((size_t)argc, sizeof *settings->arguments);
        if (settings->arguments == NULL)
            return weir_error_set(error, WEIR_NOMEM, -1, "settings: no memory");
    }
    settings->arguments[settings->argument_count++] = word;
    return WEIR_OK;
}

enum weir_err weir_settings_load_arguments(struct weir_settings *settings, int argc,
                                           const char *const *argv, bool *help_out,
                                           struct weir_error *error)
{
    struct words words = {argv, argv + argc};
    bool flags_ended = false;
    enum weir_err err = WEIR_OK;

    weir_assert(argc >= 0 && settings->arguments == NULL);
    if (argc > WEIR_SETTINGS_ARGUMENTS_MAX)
        return weir_error_set(error, WEIR_LIMIT, -1, "more than %d words on the command line",
                              WEIR_SETTINGS_ARGUMENTS_MAX);
    /* Help is wanted even if the rest is wrong: perhaps just because of that. */
    *help_out = false;
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
        *help_out = *help_out || strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0;
    if (*help_out)
        return WEIR_OK;
    while (err == WEIR_OK && words.at < words.end) {
        const char *word = *words.at++;
        if (flags_ended || word[0] != '-' || word[1] == '\0')
            err = take_argument(settings, word, argc, error);
        else if (strcmp(word, "--") == 0)
            flags_ended = true;
        else if (word[1] == '-')
            err = take_long(settings, word, &words, error);
        else
            err = take_short(settings, word, &words, error);
    }
    return err;
}

/* ---- the environment */

/* Finds the row a variable names. *is_file: by its _FILE form. */
static size_t row_of_variable(const struct weir_settings *settings, const char *name, size_t bytes,
                              bool *is_file)
{
    size_t with_file = settings->options.count;

    *is_file = false;
    for (size_t i = 0; i < settings->options.count; i++) {
        char known[NAME_MAX_BYTES];
        size_t known_bytes;
        if (!environment_name(settings->options.table[i].name, known))
            continue;
        known_bytes = strlen(known);
        if (known_bytes > bytes || memcmp(known, name, known_bytes) != 0)
            continue;
        if (known_bytes == bytes)
            return i;
        if (bytes - known_bytes == 5 && memcmp(name + known_bytes, "_FILE", 5) == 0)
            with_file = i;
    }
    *is_file = with_file < settings->options.count;
    return with_file;
}

/* The variable names a file that holds the value; one line end behind it is not part of it. */
static enum weir_err apply_from_file(struct weir_settings *settings, size_t row,
                                     const struct setting_arrival *arrival,
                                     struct weir_error *error)
{
    struct setting_arrival from_file = *arrival;
    struct weir_buffer content;
    enum weir_err err;

    weir_buffer_init(&content, SECRET_FILE_BYTES_MAX);
    err = weir_disk_read_file(NULL, arrival->text, &content, error);
    if (err != WEIR_OK) {
        weir_error_context(error, "%s", arrival->detail);
    } else {
        if (content.bytes > 0 && content.data[content.bytes - 1] == '\n')
            weir_buffer_truncate(&content, content.bytes - 1);
        from_file.text = weir_buffer_text(&content);
        if (content.bytes > 0 && memchr(content.data, '\0', content.bytes) != NULL)
            err = weir_error_set(error, WEIR_INVALID, -1, "%s: %s: not a text file",
                                 arrival->detail, arrival->text);
        else
            err = weir_settings_apply(settings, row, &from_file, error);
    }
    weir_buffer_release(&content);
    return err;
}

static enum weir_err apply_variable(struct weir_settings *settings, const char *variable,
                                    const char *equals, struct weir_error *error)
{
    size_t bytes = (size_t)(equals - variable);
    char name[NAME_MAX_BYTES], key[NAME_MAX_BYTES];
    struct setting_arrival arrival = {
        .text = equals + 1, .origin = WEIR_ORIGIN_ENVIRONMENT, .detail = name, .position = -1};
    bool is_file;
    size_t row;

    snprintf(name, sizeof name, "%.*s", bytes < sizeof name ? (int)bytes : (int)sizeof name - 1,
             variable);
    row = row_of_variable(settings, variable, bytes, &is_file);
    if (row < settings->options.count)
        return is_file ? apply_from_file(settings, row, &arrival, error)
                       : weir_settings_apply(settings, row, &arrival, error);
    if (!key_of_environment(variable + sizeof prefix - 1, bytes - (sizeof prefix - 1), key))
        return weir_error_set(error, WEIR_INVALID, -1, "%s...: too long for a setting", name);
    return apply_key(settings, key, &arrival, false, error);
}

enum weir_err weir_settings_load_environment(struct weir_settings *settings,
                                             const char *const *environment,
                                             struct weir_error *error)
{
    enum weir_err err = WEIR_OK;

    for (; *environment != NULL && err == WEIR_OK; environment++) {
        const char *equals = strchr(*environment, '=');
        /* An empty variable is one that somebody wanted to unset. */
        if (strncmp(*environment, prefix, sizeof prefix - 1) != 0 || equals == NULL ||
            equals[1] == '\0')
            continue;
        err = apply_variable(settings, *environment, equals, error);
    }
    return err;
}

/* ---- files */

struct file {
    struct weir_settings *settings;
    const char *name;
};

static enum weir_err take_property(void *opaque, const char *key, const char *value, int64_t line,
                                   struct weir_error *error)
{
    struct file *file = opaque;
    char detail[512];
    struct setting_arrival arrival = {
        .text = value, .origin = WEIR_ORIGIN_FILE, .detail = detail, .position = line};

    snprintf(detail, sizeof detail, "%.480s:%lld", file->name, (long long)line);
    return apply_key(file->settings, key, &arrival, false, error);
}

enum weir_err weir_settings_load_text(struct weir_settings *settings, const char *name,
                                      struct weir_slice text, struct weir_error *error)
{
    struct file file = {settings, name};
    enum weir_err err = weir_properties_read(text, take_property, &file, error);

    if (err == WEIR_PARSE || err == WEIR_LIMIT)
        weir_error_context(error, "%s", name);
    return err == WEIR_PARSE ? WEIR_INVALID : err;
}

enum weir_err weir_settings_load_file(struct weir_settings *settings, const char *path,
                                      struct weir_error *error)
{
    struct weir_buffer content;
    enum weir_err err;

    weir_buffer_init(&content, WEIR_PROPERTIES_BYTES_MAX);
    err = weir_disk_read_file(NULL, path, &content, error);
    if (err == WEIR_OK)
        err = weir_settings_load_text(settings, path, weir_buffer_slice(&content), error);
    weir_buffer_release(&content);
    return err;
}
