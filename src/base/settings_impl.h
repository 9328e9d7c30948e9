/*
 * base/settings_impl.h - what struct weir_settings holds; for settings*.c only.
 *
 * What, life, threads, memory, errors: as in base/settings.h.
 */
#ifndef WEIR_BASE_SETTINGS_IMPL_H
#define WEIR_BASE_SETTINGS_IMPL_H

#include "base/setting_value.h"
#include "base/settings.h"

enum { WEIR_SETTINGS_EXTRAS_MAX = 512, WEIR_SETTINGS_ARGUMENTS_MAX = 65536 };

/* The state of one row of the table. */
struct setting_state {
    struct weir_setting_value value;
    enum weir_setting_origin origin;
    char *detail; /* where the value stands; NULL = default or unset */
};

/* A name and value for librdkafka. */
struct setting_extra {
    char *name, *value, *detail;
    enum weir_setting_origin origin;
};

struct weir_settings {
    struct weir_settings_options options;
    struct setting_state *states; /* one a row */
    struct setting_extra *extras;
    size_t extra_count;
    const char **arguments; /* borrowed from argv */
    size_t argument_count;
};

/* A value on its way in. */
struct setting_arrival {
    const char *text;
    enum weir_setting_origin origin;
    const char *detail; /* "--state-dir", "WEIR_STATE_DIR", "weir.properties:12" */
    int64_t position;   /* line of a file, or -1 */
};

/* Takes a value unless one of higher rank stands there. */
WEIR_MUST_USE enum weir_err weir_settings_apply(struct weir_settings *settings, size_t row,
                                                const struct setting_arrival *arrival,
                                                struct weir_error *error);
/* The same for a name that is librdkafka's. */
WEIR_MUST_USE enum weir_err weir_settings_apply_extra(struct weir_settings *settings,
                                                      const char *name,
                                                      const struct setting_arrival *arrival,
                                                      struct weir_error *error);
/* Index of a key in the table, or options.count. */
size_t weir_settings_row(const struct weir_settings *settings, const char *name);
/* Does the running command take this row? */
bool weir_settings_takes(const struct weir_settings *settings, const struct weir_setting *row);
/* Does a name of librdkafka's sound like a secret? */
bool weir_settings_is_secret_name(const char *name);

#endif
