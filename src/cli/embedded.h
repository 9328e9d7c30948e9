/*
 * cli/embedded.h - a broker inside this process, for the demo, `provide --embedded` and `broker`.
 *
 * Life:    embedded_start -> embedded_stop, which also removes a temporary folder.
 * Threads: the caller's; the broker has threads of its own.
 * Errors:  what the broker says: IN_USE (port, folder), DENIED, OTHER_VERSION, IO.
 */
#ifndef CLI_EMBEDDED_H
#define CLI_EMBEDDED_H

#include <weir/broker.h>

#include "base/net.h"
#include "base/settings.h"

struct embedded;

struct embedded_options {
    const struct weir_settings *settings; /* log.dirs, listeners and the broker's own */
    bool own_settings; /* the command has all the broker's settings (weir broker) */
    bool temporary;    /* without log.dirs: a temporary folder, else the user's */
    bool any_port;     /* a port that is taken is replaced by a free one on the loopback */
    bool insecure;
    struct weir_log log;
};

/* Where the data are: log.dirs, or the user's own folder. The caller frees it. */
WEIR_MUST_USE enum weir_err embedded_data_directory(const struct weir_settings *settings,
                                                    char **out, struct weir_error *error);
/* The file of users: users.file, or in there. The caller frees it. */
WEIR_MUST_USE enum weir_err embedded_users_path(const struct weir_settings *settings, char **out,
                                                struct weir_error *error);

/* Has each of the listeners a port? INVALID, and where it stands. */
WEIR_MUST_USE enum weir_err embedded_check_listeners(const struct weir_settings *settings,
                                                     struct weir_error *error);
enum weir_err embedded_start(const struct embedded_options *options, struct embedded **out,
                             struct weir_error *error);
/* "127.0.0.1:9092". Borrowed until stop. */
const char *embedded_address(const struct embedded *embedded);
const char *embedded_directory(const struct embedded *embedded); /* NULL: in memory */
struct weir_broker *embedded_broker(struct embedded *embedded);
void embedded_stop(struct embedded *embedded); /* NULL is allowed */

#endif
