/*
 * weir/streams_record.h - records one by one: values, serdes, what a processor may do with them.
 *
 * What:    a record is a key, a value, a timestamp and headers. Keys and values are null, bytes, an
 *          integer, a number, or a pointer to something of your own; a serde turns them into the
 *          bytes of a topic or a store, and back.
 *
 *              topic --deserialize--> record -> processor -> processor --serialize--> topic, store
 *
 * Life:    a record, and all that it points to, lives until the call that was given it returns.
 *          What is made for it meanwhile (weir_context_alloc, deserialize) lives until the source
 *          record in hand is done, so that nothing has to be freed.
 * Threads: the task's. Serdes are shared by all tasks: they change nothing.
 * Memory:  from the task's arena, which is empty again after each source record.
 * Errors:  PARSE from deserialize makes the record a dead letter; any other error fails the task.
 */
#ifndef WEIR_STREAMS_RECORD_H
#define WEIR_STREAMS_RECORD_H

#include <weir/base.h>
#include <weir/record.h>

#ifdef __cplusplus
extern "C" {
#endif

struct weir_context;

/* ---- values ---------------------------------------------------------------------------------- */

enum weir_value_type {
    WEIR_VALUE_NULL,
    WEIR_VALUE_BYTES, /* also text, which is UTF-8 without a NUL behind it */
    WEIR_VALUE_INTEGER,
    WEIR_VALUE_NUMBER,
    WEIR_VALUE_OBJECT, /* of a serde of your own */
};

struct weir_value {
    enum weir_value_type type;
    union {
        struct weir_slice bytes;
        int64_t integer;
        double number;
        const void *object;
    };
};

static inline struct weir_value weir_value_null(void)
{
    struct weir_value value = {WEIR_VALUE_NULL, {{NULL, 0}}};
    return value;
}

static inline struct weir_value weir_value_bytes(struct weir_slice bytes)
{
    struct weir_value value = weir_value_null();
    value.type = WEIR_VALUE_BYTES;
    value.bytes = bytes;
    return value;
}

static inline struct weir_value weir_value_integer(int64_t integer)
{
    struct weir_value value = weir_value_null();
    value.type = WEIR_VALUE_INTEGER;
    value.integer = integer;
    return value;
}

static inline struct weir_value weir_value_number(double number)
{
    struct weir_value value = weir_value_null();
    value.type = WEIR_VALUE_NUMBER;
    value.number = number;
    return value;
}

static inline struct weir_value weir_value_object(const void *object)
{
    struct weir_value value = weir_value_null();
    value.type = WEIR_VALUE_OBJECT;
    value.object = object;
    return value;
}

static inline bool weir_value_is_null(struct weir_value value)
{
    return value.type == WEIR_VALUE_NULL;
}

/* ---- records --------------------------------------------------------------------------------- */

enum weir_window_kind { WEIR_NO_WINDOW, WEIR_TIME_WINDOW, WEIR_SESSION_WINDOW };

/* The window that a key belongs to (Kafka Streams' Windowed). */
struct weir_window {
    enum weir_window_kind kind;
    int64_t start_ms, end_ms;
};

struct weir_record {
    struct weir_value key, value;
    struct weir_value old;     /* tables: what the value was before; null elsewhere */
    struct weir_window window; /* of the key */
    int64_t timestamp_ms;
    const struct weir_header *headers;
    uint32_t header_count;
};

/* ---- serdes ---------------------------------------------------------------------------------- */

/* A null value is null bytes, always: the functions are not called for it. */
struct weir_serde {
    const char *name; /* for errors */
    /* The value may point into the bytes, and to memory of weir_context_alloc. PARSE and a message
     * without the bytes themselves. */
    enum weir_err (*deserialize)(void *config, struct weir_context *context,
                                 struct weir_slice bytes, struct weir_value *value_out,
                                 struct weir_error *error);
    /* The bytes may be the value's own, or memory of weir_context_alloc. INVALID: the value is of
     * another type. */
    enum weir_err (*serialize)(void *config, struct weir_context *context,
                               const struct weir_value *value, struct weir_slice *bytes_out,
                               struct weir_error *error);
    void *config;
};

/* Kafka's own formats: bytes as they are; text, which is not looked at; integers of 4 and 8 bytes
 * and doubles, all big-endian. */
extern const struct weir_serde weir_serde_bytes, weir_serde_string, weir_serde_int32,
    weir_serde_int64, weir_serde_double;

/* ---- for processors -------------------------------------------------------------------------- */

/* 16-byte aligned memory that lives until the source record in hand is done; NULL: none left. */
void *weir_context_alloc(struct weir_context *context, size_t bytes);

/* Gives a record to every child of the calling node, one after the other, each with all that
 * follows from it. Children's errors, to be returned as they are; never AGAIN. */
WEIR_MUST_USE enum weir_err weir_context_forward_record(struct weir_context *context,
                                                        const struct weir_record *record,
                                                        struct weir_error *error);
/* The same to one child by name. NOT_FOUND. */
WEIR_MUST_USE enum weir_err weir_context_forward_record_to(struct weir_context *context,
                                                           const char *child,
                                                           const struct weir_record *record,
                                                           struct weir_error *error);
/* The record in hand with another value. INVALID in punctuators and flush, which have none. */
WEIR_MUST_USE enum weir_err weir_context_forward_value(struct weir_context *context,
                                                       struct weir_value value,
                                                       struct weir_error *error);

/* Where the source record in hand was read. */
struct weir_record_metadata {
    const char *topic;
    int32_t partition;
    int64_t offset;
};
/* False: there is none in hand (punctuators, flush, init, close). */
bool weir_context_metadata(const struct weir_context *context, struct weir_record_metadata *out);
/* The source record in hand becomes a dead letter, as by weir_context_dead_letter. */
WEIR_MUST_USE enum weir_err weir_context_refuse(struct weir_context *context, enum weir_err why,
                                                const char *message, struct weir_error *error);
/* Wishes for a commit as soon as may be. */
void weir_context_commit(struct weir_context *context);

#ifdef __cplusplus
}
#endif
#endif
