/*
 * cli/clients.h - settings to options: what several commands make from the same keys.
 *
 * Memory:  the options borrow texts from the settings; the property list is freed with weir_free.
 * Errors:  NOMEM.
 */
#ifndef CLI_CLIENTS_H
#define CLI_CLIENTS_H

#include <weir/kafka.h>

#include "base/settings.h"
#include "cli/provider.h"
#include "serving/server.h"

/* bootstrap_servers NULL = those of the settings. *properties_out is to be freed after use. */
enum weir_err clients_kafka(const struct weir_settings *settings, const char *bootstrap_servers,
                            struct weir_log log, struct weir_kafka_options *options,
                            struct weir_kafka_property **properties_out);
/* All but `kafka`. */
void clients_server(const struct weir_settings *settings, struct weir_log log,
                    struct server_options *options);
/* Finds data and models, those of the settings or the samples; all but `kafka`, rate and interval.
 * *data_out and options->models are to be freed. Errors: files_add_models, files_sample. */
enum weir_err clients_provider(const struct weir_settings *settings, struct weir_log log,
                               struct provider_options *options, char **data_out,
                               struct weir_error *error);

#endif
