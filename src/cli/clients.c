/* cli/clients.c - settings to options, see clients.h. */
#include "cli/clients.h"

#include "base/alloc.h"

enum weir_err clients_kafka(const struct weir_settings *settings, const char *bootstrap_servers,
                            struct weir_log log, struct weir_kafka_options *options,
                            struct weir_kafka_property **properties_out)
{
    size_t count = weir_settings_extra_count(settings);
    struct weir_kafka_property *properties = weir_calloc(count + 1, sizeof *properties);
    if (!properties)
        return WEIR_NOMEM;
    for (size_t i = 0; i < count; i++)
        weir_settings_extra(settings, i, &properties[i].name, &properties[i].value);
    weir_kafka_options_default(options);
    options->bootstrap_servers =
        bootstrap_servers ? bootstrap_servers : weir_settings_string(settings, "bootstrap.servers");
    options->client_id = weir_settings_string(settings, "client.id");
    options->properties = properties;
    options->property_count = (uint32_t)count;
    options->log = log;
    *properties_out = properties;
    return WEIR_OK;
}

void clients_server(const struct weir_settings *settings, struct weir_log log,
                    struct server_options *options)
{
    server_options_default(options);
    options->data_topic = weir_settings_string(settings, "data.topic");
    options->models_topic = weir_settings_string(settings, "models.topic");
    options->scores_topic = weir_settings_string(settings, "scores.topic");
    options->dead_letter_topic =
        weir_settings_string(settings, "errors.dead.letter.queue.topic.name");
    options->no_model = (enum no_model_policy)weir_settings_enum(settings, "no.model");
    options->model_cache_bytes = (size_t)weir_settings_int(settings, "model.cache.bytes");
    options->http = true;
    options->http_listen = weir_settings_endpoint(settings, "http.listen");
    options->log = log;
    struct weir_streams_options *streams = &options->streams;
    streams->application_id = weir_settings_string(settings, "application.id");
    streams->threads = (uint32_t)weir_settings_int(settings, "num.stream.threads");
    streams->processing_guarantee =
        (enum weir_guarantee)weir_settings_enum(settings, "processing.guarantee");
    streams->transaction_timeout_ms =
        (int32_t)weir_settings_int(settings, "transaction.timeout.ms");
    if (weir_settings_is_set(settings, "commit.interval.ms") ||
        streams->processing_guarantee == WEIR_AT_LEAST_ONCE)
        streams->commit_interval_ms = (int32_t)weir_settings_int(settings, "commit.interval.ms");
    const char *state_dir = weir_settings_string(settings, "state.dir");
    streams->state_dir = *state_dir ? state_dir : NULL;
    streams->poll_ms = (int32_t)weir_settings_int(settings, "poll.ms");
    streams->batch_rows = (uint32_t)weir_settings_int(settings, "batch.rows");
    streams->linger_ms = (int32_t)weir_settings_int(settings, "linger.ms");
    streams->input_bytes = (size_t)weir_settings_int(settings, "input.buffer.bytes");
    streams->output_bytes = (size_t)weir_settings_int(settings, "output.buffer.bytes");
    streams->drain_timeout_ms = (int32_t)weir_settings_int(settings, "drain.timeout.ms");
}

enum weir_err clients_provider(const struct weir_settings *settings, struct weir_log log,
                               struct provider_options *options, char **data_out,
                               struct weir_error *error)
{
    const char *data = weir_settings_string(settings, "data.file");
    size_t models = weir_settings_list_count(settings, "model.files");
    *options = (struct provider_options){
        .data_topic = weir_settings_string(settings, "data.topic"),
        .models_topic = weir_settings_string(settings, "models.topic"),
        .data_partitions = (int32_t)weir_settings_int(settings, "data.partitions"),
        .count = weir_settings_int(settings, "count"),
        .keep = (int)weir_settings_int(settings, "keep"),
        .error_rate = weir_settings_double(settings, "error.rate"),
        .seed = (uint64_t)weir_settings_int(settings, "seed"),
        .linger_ms = (int32_t)weir_settings_int(settings, "linger.ms"),
        .log = log};
    *data_out = data ? weir_strdup(data) : NULL;
    enum weir_err err = WEIR_OK;
    if (!data)
        err = files_sample("wine/data.csv", data_out, error);
    else if (!*data_out)
        err = weir_error_set(error, WEIR_NOMEM, -1, "no memory for a path");
    for (size_t i = 0; i < models && err == WEIR_OK; i++)
        err = files_add_models(&options->models,
                               weir_settings_list_item(settings, "model.files", i), error);
    if (err == WEIR_OK && !models) {
        char *samples;
        err = files_sample("wine/models", &samples, error);
        if (err == WEIR_OK) {
            err = files_add_models(&options->models, samples, error);
            weir_free(samples);
        }
    }
    options->data_path = *data_out;
    if (err != WEIR_OK) {
        weir_free(*data_out);
        files_list_release(&options->models);
    }
    return err;
}
