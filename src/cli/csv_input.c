/* CSV files as the settings describe them: cli/csv_input.h. */
#include "cli/csv_input.h"

#include <string.h>

#include "base/alloc.h"

enum { NAMES_MAX = WEIR_FIELDS_MAX };

bool csv_input_check(const struct run *run)
{
    const char *delimiter = weir_settings_string(run->settings, "score.delimiter");
    if (strlen(delimiter) == 1 || strcmp(delimiter, "\\t") == 0)
        return true;
    fail_usage(run, "--delimiter takes one character, not \"%s\"", delimiter);
    return false;
}

/* Splits "a;b;c" in place. */
static uint32_t split_names(char *text, const char **names)
{
    uint32_t count = 0;
    for (char *at = text; count < NAMES_MAX;) {
        names[count++] = at;
        at = strchr(at, ';');
        if (!at)
            break;
        *at++ = '\0';
    }
    return count;
}

enum weir_err csv_input_open(const struct weir_settings *settings, const char *path,
                             struct weir_csv_reader **reader_out, struct weir_error *error)
{
    const char *delimiter = weir_settings_string(settings, "score.delimiter");
    const char *names = weir_settings_string(settings, "score.names");
    struct weir_csv_options options = {.delimiter =
                                           strcmp(delimiter, "\\t") == 0 ? '\t' : delimiter[0]};
    size_t missing_count = weir_settings_list_count(settings, "score.missing");
    const char **missing = weir_calloc(missing_count + 1, sizeof *missing);
    const char **list = weir_calloc(NAMES_MAX, sizeof *list);
    char *copy = names ? weir_strdup(names) : NULL;
    enum weir_err err = WEIR_NOMEM;
    if (missing && list && (copy || !names)) {
        for (size_t i = 0; i < missing_count; i++)
            missing[i] = weir_settings_list_item(settings, "score.missing", i);
        options.missing = missing;
        options.missing_count = (uint32_t)missing_count;
        if (copy) {
            options.name_count = split_names(copy, list);
            options.names = list;
        }
        err = weir_csv_open(path, &options, reader_out, error);
    } else {
        weir_error_set(error, err, -1, "no memory for the names");
    }
    weir_free(copy);
    weir_free(list);
    weir_free(missing);
    return err;
}
