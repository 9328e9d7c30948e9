/*
 * cli/read.c - weir read TOPIC: looks at any topic, without joining a group.
 *
 * A result, a model descriptor or a wine record is printed as JSON, known by its content; another
 * record as the reference system's reader prints it.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <weir/record.h>

#include "base/alloc.h"
#include "base/digest.h"
#include "base/errno_error.h"
#include "base/json.h"
#include "base/number.h"
#include "cli/clients.h"
#include "cli/commands.h"
#include "cli/signals.h"

enum { BATCH = 256, POLL_MS = 100, WAIT_MS_MAX = 10000, LINE_BYTES_MAX = 4 << 20, BYTES_SHOWN = 5 };

struct reading {
    const struct run *run;
    struct weir_kafka_table *table;
    struct weir_decoder *decoder; /* of wine records */
    struct weir_block *block;     /* one row */
    struct weir_buffer line;
    uint64_t printed, count; /* count 0 = all */
};

/* ---- a record as JSON ------------------------------------------------------------------------ */

static void put_text_if(struct weir_json *json, const char *name, struct weir_slice text)
{
    if (!text.bytes)
        return;
    weir_json_put_slice(json, name, text);
}

static void put_digest_if(struct weir_json *json, const char *name, struct weir_slice digest)
{
    char hex[WEIR_SHA256_HEX_BYTES];
    if (digest.bytes != WEIR_SHA256_BYTES)
        return;
    weir_hex_encode(digest.data, digest.bytes, hex);
    weir_json_put_text(json, name, hex);
}

static bool put_result(struct weir_json *json, struct weir_slice value)
{
    struct weir_result result;
    if (weir_result_decode(value, &result, NULL) != WEIR_OK)
        return false;
    weir_json_key(json, "result");
    weir_json_object_begin(json);
    if (result.kind == WEIR_RESULT_NUMBER) {
        weir_json_put_double(json, "number", result.number);
    } else if (result.kind == WEIR_RESULT_LABEL) {
        weir_json_put_slice(json, "label", result.label);
    } else {
        weir_json_put_text(json, "error", weir_err_name(result.error));
        put_text_if(json, "message", result.error_message);
    }
    put_text_if(json, "dataType", result.data_type);
    put_text_if(json, "model", result.model);
    put_text_if(json, "version", result.version);
    put_digest_if(json, "digest", result.digest);
    if (result.model_offset >= 0)
        weir_json_put_int(json, "modelOffset", result.model_offset);
    put_text_if(json, "sourceTopic", result.source_topic);
    weir_json_put_int(json, "sourcePartition", result.source_partition);
    weir_json_put_int(json, "sourceOffset", result.source_offset);
    weir_json_put_int(json, "queueNs", result.queue_ns);
    weir_json_put_int(json, "scoreNs", result.score_ns);
    weir_json_object_end(json);
    return true;
}

/* A descriptor has a name and a content; other messages that parse as one by chance have not. */
static bool put_descriptor(struct weir_json *json, struct weir_slice value)
{
    struct weir_descriptor descriptor;
    if (weir_descriptor_decode(value, &descriptor, NULL) != WEIR_OK || !descriptor.name.bytes ||
        (!descriptor.data.bytes && !descriptor.location.bytes &&
         descriptor.action != WEIR_DESCRIPTOR_ACTIVATE))
        return false;
    weir_json_key(json, "model");
    weir_json_object_begin(json);
    put_text_if(json, "name", descriptor.name);
    put_text_if(json, "description", descriptor.description);
    put_text_if(json, "dataType", descriptor.data_type);
    weir_json_key(json, "modeltype");
    if (descriptor.model_type == WEIR_DESCRIPTOR_PMML)
        weir_json_text(json, "PMML");
    else if (descriptor.model_type == WEIR_DESCRIPTOR_TENSORFLOW)
        weir_json_text(json, "TENSORFLOW");
    else
        weir_json_int(json, descriptor.model_type);
    put_text_if(json, "location", descriptor.location);
    put_text_if(json, "version", descriptor.version);
    put_digest_if(json, "sha256", descriptor.sha256);
    weir_json_put_uint(json, "dataBytes", descriptor.data.bytes);
    if (descriptor.action == WEIR_DESCRIPTOR_ACTIVATE)
        weir_json_put_text(json, "action", "ACTIVATE");
    weir_json_object_end(json);
    return true;
}

/* A wine record: it decodes, and it has all eleven features, which is 99 bytes. */
static bool put_wine(struct reading *reading, struct weir_json *json, struct weir_slice value)
{
    struct weir_block *block = reading->block;
    if (value.bytes < 99 || value.bytes > 200 || *(const uint8_t *)value.data != 0x09 ||
        weir_block_prepare(block, 1) != WEIR_OK)
        return false;
    block->rows_meta.value = &value;
    if (weir_decode(reading->decoder, block) != WEIR_OK || block->failed)
        return false;
    weir_json_key(json, "record");
    weir_json_object_begin(json);
    for (uint32_t i = 0; i < weir_schema_field_count(block->schema); i++) {
        const struct weir_field *field = weir_schema_field(block->schema, i);
        weir_json_key(json, field->name);
        if (field->type == WEIR_STRING)
            weir_json_slice(json, weir_block_string(block, i, 0));
        else if (field->type == WEIR_INT64)
            weir_json_int(json, block->columns[i].i64[0]);
        else
            weir_json_double(json, block->columns[i].f64[0]);
    }
    weir_json_object_end(json);
    return true;
}

static void put_headers(struct weir_json *json, const struct weir_rows *rows, uint32_t row)
{
    if (!rows->header_count[row])
        return;
    weir_json_key(json, "headers");
    weir_json_array_begin(json); /* names may repeat: no object */
    for (uint32_t i = 0; i < rows->header_count[row]; i++) {
        weir_json_array_begin(json);
        weir_json_slice(json, rows->headers[row][i].name);
        weir_json_slice(json, rows->headers[row][i].value);
        weir_json_array_end(json);
    }
    weir_json_array_end(json);
}

/* The content under a name that says what it is; false if it is none of ours. */
static bool put_content(struct reading *reading, struct weir_json *json, struct weir_slice value)
{
    if (!value.data) {
        weir_json_put_bool(json, "tombstone", true);
        return true;
    }
    return put_result(json, value) || put_wine(reading, json, value) || put_descriptor(json, value);
}

/* A dead letter is told by its headers; its value is what nothing could read. */
static bool is_dead_letter(const struct weir_rows *rows, uint32_t row)
{
    static const char name[] = "__streams.errors.exception";
    for (uint32_t i = 0; i < rows->header_count[row]; i++)
        if (weir_slice_equal(rows->headers[row][i].name, weir_slice(name, sizeof name - 1)))
            return true;
    return false;
}

/* Appends the record as one JSON line; false if its content is not known. */
static bool put_json(struct reading *reading, const struct weir_rows *rows, uint32_t row)
{
    struct weir_json json;
    weir_json_begin(&json, &reading->line);
    weir_json_object_begin(&json);
    weir_json_put_int(&json, "partition", rows->partition);
    weir_json_put_int(&json, "offset", rows->offset[row]);
    weir_json_put_int(&json, "timestamp", rows->timestamp_ms[row]);
    weir_json_put_slice(&json, "key", rows->key[row]);
    put_headers(&json, rows, row);
    bool known = put_content(reading, &json, rows->value[row]);
    if (!known && is_dead_letter(rows, row)) {
        weir_json_put_uint(&json, "valueBytes", rows->value[row].bytes);
        known = true;
    }
    weir_json_object_end(&json);
    return weir_json_end(&json) == WEIR_OK && known;
}

/* ---- a record as the reference system's reader prints it ----------------------------------------
 * */

static enum weir_err put_plain(struct reading *reading, const struct weir_rows *rows, uint32_t row)
{
    struct weir_slice key = rows->key[row], value = rows->value[row];
    const int8_t *bytes = value.data;
    enum weir_err err = weir_buffer_appendf(
        &reading->line,
        "Retrieved message #%llu: key = %.*s, value = size = %zu, first %d elements "
        "= [",
        (unsigned long long)reading->printed + 1, key.data ? (int)key.bytes : 4,
        key.data ? (const char *)key.data : "null", value.bytes, BYTES_SHOWN);
    for (size_t i = 0; i < value.bytes && i < BYTES_SHOWN && err == WEIR_OK; i++)
        err = weir_buffer_appendf(&reading->line, "%s%d", i ? "," : "", bytes[i]);
    return err == WEIR_OK ? weir_buffer_append_text(&reading->line, "]") : err;
}

static enum weir_err print_record(struct reading *reading, const struct weir_rows *rows,
                                  uint32_t row, struct weir_error *error)
{
    weir_buffer_clear(&reading->line);
    enum weir_err err = WEIR_OK;
    if (!put_json(reading, rows, row)) {
        weir_buffer_clear(&reading->line);
        err = put_plain(reading, rows, row);
    }
    if (err == WEIR_OK)
        err = weir_buffer_append_byte(&reading->line, '\n');
    if (err == WEIR_LIMIT) {
        weir_buffer_clear(&reading->line);
        err =
            weir_buffer_appendf(&reading->line,
                                "{\"partition\":%d,\"offset\":%lld,\"error\":\"over %d MiB of "
                                "text\",\"keyBytes\":%zu,\"valueBytes\":%zu}\n",
                                (int)rows->partition, (long long)rows->offset[row],
                                LINE_BYTES_MAX >> 20, rows->key[row].bytes, rows->value[row].bytes);
    }
    if (err != WEIR_OK)
        return weir_error_set(error, err, rows->offset[row], "no memory for a record");
    if (fwrite(reading->line.data, 1, reading->line.bytes, stdout) != reading->line.bytes)
        return weir_errno_set(error, errno, "standard output", NULL);
    reading->printed++;
    return WEIR_OK;
}

/* ---- reading --------------------------------------------------------------------------------- */

static enum weir_err read_offset(const struct weir_settings *settings, int64_t *out)
{
    const char *text = weir_settings_string(settings, "offset");
    if (strcmp(text, "beginning") == 0)
        *out = WEIR_KAFKA_BEGINNING;
    else if (strcmp(text, "end") == 0)
        *out = WEIR_KAFKA_END;
    else if (weir_parse_int64(weir_slice(text, strlen(text)), out) != WEIR_OK || *out < 0)
        return WEIR_INVALID;
    return WEIR_OK;
}

static enum weir_err read_all(struct reading *reading, struct weir_error *error)
{
    bool follow = weir_settings_bool(reading->run->settings, "follow"), at_end = false;
    enum weir_err err = WEIR_OK;
    int waited_ms = 0;
    while ((err == WEIR_OK || err == WEIR_AGAIN) && !(at_end && !follow) && !signals_wait(0)) {
        struct weir_kafka_batch batch = {0};
        err = weir_kafka_table_poll(reading->table, BATCH, POLL_MS, &batch, error);
        if (err == WEIR_END) {
            at_end = true;
            err = weir_kafka_table_partitions(reading->table) == 0 && !follow ? WEIR_NOT_FOUND
                                                                              : WEIR_OK;
        } else if (err == WEIR_AGAIN) {
            fflush(stdout);
            waited_ms += POLL_MS;
            if (!follow && waited_ms >= WAIT_MS_MAX)
                err = weir_error_set(error, WEIR_TIMEOUT, -1, "no answer from the brokers in %d s",
                                     WAIT_MS_MAX / 1000);
        } else if (err == WEIR_OK) {
            waited_ms = 0;
        }
        for (uint32_t i = 0; err == WEIR_OK && i < batch.count; i++) {
            err = print_record(reading, &batch.rows, i, error);
            if (reading->count && reading->printed == reading->count)
                err = WEIR_END;
        }
        weir_kafka_batch_release(&batch);
    }
    if (err == WEIR_NOT_FOUND)
        weir_error_set(error, err, -1, "there is no topic \"%s\" (--follow waits for it)",
                       weir_settings_argument(reading->run->settings, 0));
    return err == WEIR_END || err == WEIR_AGAIN ? WEIR_OK : err;
}

static enum weir_err open_table(struct reading *reading, struct weir_kafka *kafka,
                                struct weir_error *error)
{
    const struct weir_settings *settings = reading->run->settings;
    struct weir_kafka_table_options options;
    struct weir_schema *schema = NULL;
    weir_kafka_table_options_default(&options);
    options.topic = weir_settings_argument(settings, 0);
    options.partition = (int32_t)weir_settings_int(settings, "partition");
    if (read_offset(settings, &options.offset) != WEIR_OK)
        return weir_error_set(error, WEIR_INVALID, -1,
                              "--offset takes beginning, end or a number, not \"%s\"",
                              weir_settings_string(settings, "offset"));
    enum weir_err err = weir_schema_wine(&schema);
    if (err == WEIR_OK)
        err = weir_decoder_protobuf_new(schema, &reading->decoder, error);
    if (err == WEIR_OK)
        err = weir_block_new(schema, 1, &reading->block);
    weir_schema_unref(schema);
    if (err != WEIR_OK)
        return weir_error_set(error, err, -1, "no memory for a decoder");
    return weir_kafka_table_open(kafka, &options, &reading->table, error);
}

int read_run(const struct run *run)
{
    struct reading reading = {.run = run,
                              .count = (uint64_t)weir_settings_int(run->settings, "count")};
    struct weir_kafka_options options;
    struct weir_kafka_property *properties;
    struct weir_kafka *kafka = NULL;
    struct weir_error error = {.code = WEIR_OK};
    if (clients_kafka(run->settings, NULL, run->log, &options, &properties) != WEIR_OK)
        return EXIT_FAILED;
    weir_buffer_init(&reading.line, LINE_BYTES_MAX);
    enum weir_err err = weir_kafka_new(&options, &kafka, &error);
    if (err == WEIR_OK)
        err = open_table(&reading, kafka, &error);
    if (err == WEIR_OK)
        err = read_all(&reading, &error);
    weir_kafka_table_close(reading.table);
    weir_block_free(reading.block);
    weir_decoder_free(reading.decoder);
    weir_kafka_free(kafka);
    weir_buffer_release(&reading.line);
    weir_free(properties);
    return err == WEIR_OK ? EXIT_DONE : fail(run, &error);
}
