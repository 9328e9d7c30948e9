/* Settings: the table, values, getters: base/settings.h. Loading is in settings_load.c. */
#include "base/settings.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/settings_impl.h"

/* ---- the table */

static enum weir_err check_row(const struct weir_setting *row, struct weir_error *error)
{
    size_t bytes = strlen(row->name);
    struct weir_setting_value value;
    enum weir_err err;

    if (bytes == 0 || bytes > 128 ||
        strspn(row->name, "abcdefghijklmnopqrstuvwxyz0123456789._-") != bytes)
        return weir_error_set(error, WEIR_INTERNAL, -1, "%s: not a name for a setting", row->name);
    if (row->type == WEIR_SETTING_ENUM && (row->values == NULL || row->values[0] == '\0'))
        return weir_error_set(error, WEIR_INTERNAL, -1, "%s: no values to choose from", row->name);
    if (row->secret && (row->flag != NULL || row->flag_short != 0))
        return weir_error_set(error, WEIR_INTERNAL, -1, "%s: a secret has no flag", row->name);
    if (row->default_text == NULL)
        return WEIR_OK;
    err = weir_setting_value_parse(row, row->default_text, &value, error);
    if (err == WEIR_OK)
        weir_setting_value_release(&value);
    if (err == WEIR_OK || err == WEIR_NOMEM)
        return err;
    weir_error_context(error, "%s: default", row->name);
    if (error != NULL)
        error->code = WEIR_INTERNAL;
    return WEIR_INTERNAL;
}

static bool meet(const struct weir_setting *a, const struct weir_setting *b)
{
    return a->commands == 0 || b->commands == 0 || (a->commands & b->commands) != 0;
}

/* No two rows have one name, nor one flag for one command. */
static enum weir_err check_clashes(const struct weir_setting *table, size_t index,
                                   struct weir_error *error)
{
    const struct weir_setting *a = &table[index];

    for (size_t i = 0; i < index; i++) {
        const struct weir_setting *b = &table[i];
        if (strcmp(a->name, b->name) == 0)
            return weir_error_set(error, WEIR_INTERNAL, -1, "%s: twice in the table", a->name);
        if (!meet(a, b))
            continue;
        if ((a->flag != NULL && b->flag != NULL && strcmp(a->flag, b->flag) == 0) ||
            (a->flag_short != 0 && a->flag_short == b->flag_short))
            return weir_error_set(error, WEIR_INTERNAL, -1, "%s: has the flag of %s", a->name,
                                  b->name);
    }
    return WEIR_OK;
}

enum weir_err weir_settings_new(const struct weir_settings_options *options,
                                struct weir_settings **out, struct weir_error *error)
{
    struct weir_settings *settings = weir_calloc(1, sizeof *settings);
    enum weir_err err = WEIR_OK;

    if (settings == NULL)
        return weir_error_set(error, WEIR_NOMEM, -1, "settings: no memory");
    settings->options = *options;
    settings->states = weir_calloc(options->count, sizeof *settings->states);
    if (settings->states == NULL) {
        settings->options.count = 0;
        err = weir_error_set(error, WEIR_NOMEM, -1, "settings: no memory");
    }
    for (size_t i = 0; i < settings->options.count; i++)
        settings->states[i] = (struct setting_state){.origin = WEIR_ORIGIN_UNSET};
    for (size_t i = 0; i < settings->options.count && err == WEIR_OK; i++) {
        const struct weir_setting *row = &options->table[i];
        err = check_row(row, error);
        if (err == WEIR_OK)
            err = check_clashes(options->table, i, error);
        if (err == WEIR_OK && row->default_text != NULL) {
            settings->states[i].origin = WEIR_ORIGIN_DEFAULT;
            err =
                weir_setting_value_parse(row, row->default_text, &settings->states[i].value, error);
        }
    }
    if (err != WEIR_OK) {
        weir_settings_free(settings);
        return err;
    }
    *out = settings;
    return WEIR_OK;
}

static void free_extra(struct setting_extra *extra)
{
    weir_free(extra->name);
    weir_free(extra->value);
    weir_free(extra->detail);
}

void weir_settings_free(struct weir_settings *settings)
{
    if (settings == NULL)
        return;
    for (size_t i = 0; i < settings->options.count; i++) {
        weir_setting_value_release(&settings->states[i].value);
        weir_free(settings->states[i].detail);
    }
    for (size_t i = 0; i < settings->extra_count; i++)
        free_extra(&settings->extras[i]);
    weir_free(settings->states);
    weir_free(settings->extras);
    weir_free(settings->arguments);
    weir_free(settings);
}

size_t weir_settings_row(const struct weir_settings *settings, const char *name)
{
    size_t i = 0;

    while (i < settings->options.count && strcmp(settings->options.table[i].name, name) != 0)
        i++;
    return i;
}

bool weir_settings_takes(const struct weir_settings *settings, const struct weir_setting *row)
{
    uint32_t command = settings->options.command;
    return row->commands == 0 || command == 0 || (row->commands & command) != 0;
}

/* ---- values */

enum weir_err weir_settings_apply(struct weir_settings *settings, size_t index,
                                  const struct setting_arrival *arrival, struct weir_error *error)
{
    const struct weir_setting *row = &settings->options.table[index];
    struct setting_state *state = &settings->states[index];
    struct weir_setting_value value;
    char *detail, *joined = NULL;
    enum weir_err err;

    /* A flag that is given twice: a list grows, anything else takes the later one. */
    if (row->type == WEIR_SETTING_LIST && arrival->origin == WEIR_ORIGIN_FLAG &&
        state->origin == WEIR_ORIGIN_FLAG) {
        size_t bytes = strlen(state->value.text) + strlen(arrival->text) + 2;
        joined = weir_alloc(bytes);
        if (joined == NULL)
            return weir_error_set(error, WEIR_NOMEM, -1, "settings: no memory");
        snprintf(joined, bytes, "%s,%s", state->value.text, arrival->text);
    }
    err = weir_setting_value_parse(row, joined != NULL ? joined : arrival->text, &value, error);
    weir_free(joined);
    if (err != WEIR_OK) {
        if (arrival->origin == WEIR_ORIGIN_FILE)
            weir_error_context(error, "%s: %s", arrival->detail, row->name);
        else
            weir_error_context(error, "%s", arrival->detail);
        if (error != NULL)
            error->position = arrival->position;
        return err;
    }
    detail = arrival->origin >= state->origin ? weir_strdup(arrival->detail) : NULL;
    if (detail == NULL) {
        /* Checked, but outranked; or no memory. */
        weir_setting_value_release(&value);
        return arrival->origin < state->origin
                   ? WEIR_OK
                   : weir_error_set(error, WEIR_NOMEM, -1, "settings: no memory");
    }
    weir_setting_value_release(&state->value);
    weir_free(state->detail);
    state->value = value;
    state->detail = detail;
    state->origin = arrival->origin;
    return WEIR_OK;
}

static struct setting_extra *find_extra(const struct weir_settings *settings, const char *name)
{
    for (size_t i = 0; i < settings->extra_count; i++)
        if (strcmp(settings->extras[i].name, name) == 0)
            return &settings->extras[i];
    return NULL;
}

enum weir_err weir_settings_apply_extra(struct weir_settings *settings, const char *name,
                                        const struct setting_arrival *arrival,
                                        struct weir_error *error)
{
    struct setting_extra *place = find_extra(settings, name);
    struct setting_extra extra = {.origin = arrival->origin};

    if (place != NULL && place->origin > arrival->origin)
        return WEIR_OK;
    if (place == NULL && settings->extra_count == WEIR_SETTINGS_EXTRAS_MAX)
        return weir_error_set(error, WEIR_LIMIT, arrival->position,
                              "%s: more than %d settings for the Kafka client", arrival->detail,
                              WEIR_SETTINGS_EXTRAS_MAX);
    if (settings->extras == NULL)
        settings->extras = weir_calloc(WEIR_SETTINGS_EXTRAS_MAX, sizeof *settings->extras);
    extra.name = weir_strdup(name);
    extra.value = weir_strdup(arrival->text);
    extra.detail = weir_strdup(arrival->detail);
    if (settings->extras == NULL || extra.name == NULL || extra.value == NULL ||
        extra.detail == NULL) {
        free_extra(&extra);
        return weir_error_set(error, WEIR_NOMEM, -1, "settings: no memory");
    }
    if (place != NULL)
        free_extra(place);
    else
        place = &settings->extras[settings->extra_count++];
    *place = extra;
    return WEIR_OK;
}

enum weir_err weir_settings_set(struct weir_settings *settings, const char *name, const char *value,
                                const char *origin, struct weir_error *error)
{
    size_t row = weir_settings_row(settings, name);
    struct setting_arrival arrival = {
        .text = value, .origin = WEIR_ORIGIN_FLAG, .detail = origin, .position = -1};

    weir_assert(row < settings->options.count);
    return weir_settings_apply(settings, row, &arrival, error);
}

enum weir_err weir_settings_check(const struct weir_settings *settings, struct weir_error *error)
{
    for (size_t i = 0; i < settings->options.count; i++) {
        const struct weir_setting *row = &settings->options.table[i];
        if (!row->required || !weir_settings_takes(settings, row) ||
            settings->states[i].value.text != NULL)
            continue;
        if (row->flag != NULL)
            return weir_error_set(error, WEIR_INVALID, -1, "%s is missing: give --%s %s", row->name,
                                  row->flag, weir_setting_argument(row));
        return weir_error_set(error, WEIR_INVALID, -1,
                              "%s is missing: set it in a file or in the environment", row->name);
    }
    return WEIR_OK;
}

/* ---- getters */

/* The value of a row whose type is in the mask: 1 << type. */
static const struct weir_setting_value *value_of(const struct weir_settings *settings,
                                                 const char *name, unsigned types)
{
    size_t row = weir_settings_row(settings, name);

    weir_assert(row < settings->options.count);
    weir_assert((types & 1u << settings->options.table[row].type) != 0);
    return &settings->states[row].value;
}

bool weir_settings_is_set(const struct weir_settings *settings, const char *name)
{
    return value_of(settings, name, ~0u)->text != NULL;
}

const char *weir_settings_string(const struct weir_settings *settings, const char *name)
{
    return value_of(settings, name, 1u << WEIR_SETTING_STRING | 1u << WEIR_SETTING_ENUM)->text;
}

int64_t weir_settings_int(const struct weir_settings *settings, const char *name)
{
    return value_of(settings, name,
                    1u << WEIR_SETTING_INT | 1u << WEIR_SETTING_DURATION | 1u << WEIR_SETTING_BYTES)
        ->integer;
}

double weir_settings_double(const struct weir_settings *settings, const char *name)
{
    return value_of(settings, name, 1u << WEIR_SETTING_DOUBLE)->real;
}

bool weir_settings_bool(const struct weir_settings *settings, const char *name)
{
    return value_of(settings, name, 1u << WEIR_SETTING_BOOL)->integer != 0;
}

int weir_settings_enum(const struct weir_settings *settings, const char *name)
{
    const struct weir_setting_value *value = value_of(settings, name, 1u << WEIR_SETTING_ENUM);
    return value->text != NULL ? (int)value->integer : -1;
}

struct weir_endpoint weir_settings_endpoint(const struct weir_settings *settings, const char *name)
{
    const struct weir_setting_value *value = value_of(settings, name, 1u << WEIR_SETTING_ENDPOINT);
    struct weir_endpoint endpoint = {.port = 0};

    if (value->text != NULL) {
        enum weir_err err = weir_net_parse(value->text, -1, &endpoint, NULL);
        weir_assert(err == WEIR_OK); /* it was checked when it came in */
    }
    return endpoint;
}

size_t weir_settings_list_count(const struct weir_settings *settings, const char *name)
{
    return value_of(settings, name, 1u << WEIR_SETTING_LIST)->item_count;
}

const char *weir_settings_list_item(const struct weir_settings *settings, const char *name,
                                    size_t index)
{
    const struct weir_setting_value *value = value_of(settings, name, 1u << WEIR_SETTING_LIST);
    const char *item = value->items;

    weir_assert(index < value->item_count);
    while (index-- > 0)
        item += strlen(item) + 1;
    return item;
}

enum weir_setting_origin weir_settings_origin(const struct weir_settings *settings,
                                              const char *name, const char **detail_out)
{
    size_t row = weir_settings_row(settings, name);
    const struct setting_state *state;

    weir_assert(row < settings->options.count);
    state = &settings->states[row];
    if (detail_out != NULL)
        *detail_out = state->detail != NULL                  ? state->detail
                      : state->origin == WEIR_ORIGIN_DEFAULT ? "default"
                                                             : "unset";
    return state->origin;
}

size_t weir_settings_argument_count(const struct weir_settings *settings)
{
    return settings->argument_count;
}

const char *weir_settings_argument(const struct weir_settings *settings, size_t index)
{
    weir_assert(index < settings->argument_count);
    return settings->arguments[index];
}

size_t weir_settings_extra_count(const struct weir_settings *settings)
{
    return settings->extra_count;
}

void weir_settings_extra(const struct weir_settings *settings, size_t index, const char **name_out,
                         const char **value_out)
{
    weir_assert(index < settings->extra_count);
    *name_out = settings->extras[index].name;
    *value_out = settings->extras[index].value;
}

bool weir_settings_is_secret_name(const char *name)
{
    static const char *const parts[] = {"password", "secret", "jaas", "key.pem",
                                        "oauthbearer.config"};

    for (size_t i = 0; i < WEIR_ARRAY_COUNT(parts); i++)
        if (strstr(name, parts[i]) != NULL)
            return true;
    return false;
}
