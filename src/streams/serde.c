/* streams/serde.c - Kafka's own serdes: weir/streams_record.h. */
#include <endian.h>
#include <string.h>

#include <weir/streams_record.h>

static enum weir_err wrong_type(const struct weir_value *value, const char *wanted,
                                struct weir_error *error)
{
    static const char *const types[] = {"null", "bytes", "an integer", "a number", "an object"};
    return weir_error_set(error, WEIR_INVALID, -1,
                          "it is %s, and its serde takes %s: name the serde where the record is "
                          "read, stored or written",
                          types[value->type], wanted);
}

static enum weir_err wrong_size(struct weir_slice bytes, size_t wanted, struct weir_error *error)
{
    return weir_error_set(error, WEIR_PARSE, -1, "it has %zu bytes and not %zu", bytes.bytes,
                          wanted);
}

/* ---- bytes, text ----------------------------------------------------------------------------- */

static enum weir_err bytes_out_of(void *config, struct weir_context *context,
                                  const struct weir_value *value, struct weir_slice *bytes_out,
                                  struct weir_error *error)
{
    (void)config;
    (void)context;
    if (value->type != WEIR_VALUE_BYTES)
        return wrong_type(value, "bytes", error);
    *bytes_out = value->bytes;
    return WEIR_OK;
}

static enum weir_err bytes_from(void *config, struct weir_context *context, struct weir_slice bytes,
                                struct weir_value *value_out, struct weir_error *error)
{
    (void)config;
    (void)context;
    (void)error;
    *value_out = weir_value_bytes(bytes);
    return WEIR_OK;
}

/* ---- numbers --------------------------------------------------------------------------------- */

static enum weir_err copy_out(struct weir_context *context, const void *number, size_t bytes,
                              struct weir_slice *bytes_out, struct weir_error *error)
{
    void *copy = weir_context_alloc(context, bytes);
    if (!copy)
        return weir_error_set(error, WEIR_NOMEM, -1, "no memory to serialize a number");
    memcpy(copy, number, bytes);
    *bytes_out = weir_slice(copy, bytes);
    return WEIR_OK;
}

static enum weir_err int32_from(void *config, struct weir_context *context, struct weir_slice bytes,
                                struct weir_value *value_out, struct weir_error *error)
{
    uint32_t big;
    (void)config;
    (void)context;
    if (bytes.bytes != sizeof big)
        return wrong_size(bytes, sizeof big, error);
    memcpy(&big, bytes.data, sizeof big);
    *value_out = weir_value_integer((int32_t)be32toh(big));
    return WEIR_OK;
}

static enum weir_err int32_out_of(void *config, struct weir_context *context,
                                  const struct weir_value *value, struct weir_slice *bytes_out,
                                  struct weir_error *error)
{
    (void)config;
    if (value->type != WEIR_VALUE_INTEGER)
        return wrong_type(value, "an integer", error);
    if (value->integer < INT32_MIN || value->integer > INT32_MAX)
        return weir_error_set(error, WEIR_INVALID, -1, "the integer needs more than 4 bytes");
    uint32_t big = htobe32((uint32_t)value->integer);
    return copy_out(context, &big, sizeof big, bytes_out, error);
}

static enum weir_err int64_from(void *config, struct weir_context *context, struct weir_slice bytes,
                                struct weir_value *value_out, struct weir_error *error)
{
    uint64_t big;
    (void)config;
    (void)context;
    if (bytes.bytes != sizeof big)
        return wrong_size(bytes, sizeof big, error);
    memcpy(&big, bytes.data, sizeof big);
    *value_out = weir_value_integer((int64_t)be64toh(big));
    return WEIR_OK;
}

static enum weir_err int64_out_of(void *config, struct weir_context *context,
                                  const struct weir_value *value, struct weir_slice *bytes_out,
                                  struct weir_error *error)
{
    (void)config;
    if (value->type != WEIR_VALUE_INTEGER)
        return wrong_type(value, "an integer", error);
    uint64_t big = htobe64((uint64_t)value->integer);
    return copy_out(context, &big, sizeof big, bytes_out, error);
}

static enum weir_err double_from(void *config, struct weir_context *context,
                                 struct weir_slice bytes, struct weir_value *value_out,
                                 struct weir_error *error)
{
    enum weir_err err = int64_from(config, context, bytes, value_out, error);
    if (err != WEIR_OK)
        return err;
    double number;
    memcpy(&number, &value_out->integer, sizeof number);
    *value_out = weir_value_number(number);
    return WEIR_OK;
}

static enum weir_err double_out_of(void *config, struct weir_context *context,
                                   const struct weir_value *value, struct weir_slice *bytes_out,
                                   struct weir_error *error)
{
    uint64_t bits;
    (void)config;
    if (value->type != WEIR_VALUE_NUMBER)
        return wrong_type(value, "a number", error);
    memcpy(&bits, &value->number, sizeof bits);
    bits = htobe64(bits);
    return copy_out(context, &bits, sizeof bits, bytes_out, error);
}

const struct weir_serde weir_serde_bytes = {
    .name = "bytes", .deserialize = bytes_from, .serialize = bytes_out_of};
const struct weir_serde weir_serde_string = {
    .name = "string", .deserialize = bytes_from, .serialize = bytes_out_of};
const struct weir_serde weir_serde_int32 = {
    .name = "int32", .deserialize = int32_from, .serialize = int32_out_of};
const struct weir_serde weir_serde_int64 = {
    .name = "int64", .deserialize = int64_from, .serialize = int64_out_of};
const struct weir_serde weir_serde_double = {
    .name = "double", .deserialize = double_from, .serialize = double_out_of};
