/*
 * weir/base.h - the words that every Weir library shares: error codes, byte slices, logging.
 *
 * What:    enum weir_err and its table, struct weir_error (where, what, what to do), struct
 *          weir_slice, the log callback through which libraries report background events, and the
 *          version. Nothing here does any work of its own.
 * Life:    plain values; nothing to open or to close.
 * Threads: every function here may be called from any thread.
 * Memory:  nothing is allocated. A slice borrows; whoever hands one out says until when.
 * Errors:  a function that can fail returns enum weir_err and takes an optional struct weir_error
 *          last. Out parameters hold no result unless the function returned WEIR_OK.
 */
#ifndef WEIR_BASE_H
#define WEIR_BASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WEIR_VERSION "0.1.0"

/* Results that may not be dropped. */
#define WEIR_MUST_USE __attribute__((warn_unused_result))
/* Checks a format string and its arguments. */
#define WEIR_PRINTF(format_index, first) __attribute__((format(printf, format_index, first)))

/*
 * The one table of errors: name, text. The name is what people and dead-letter headers see
 * (without its prefix: "NO_MODEL"), the text is the plain meaning; detail stands in weir_error.
 * Order is ABI: add at the end.
 */
#define WEIR_ERR_TABLE(X)                                                                          \
    X(OK, "no error")                                                                              \
    X(AGAIN, "nothing to do now, call again (back-pressure; not an error)")                        \
    X(END, "end of the data")                                                                      \
    X(NOMEM, "out of memory")                                                                      \
    X(INVALID, "an argument or setting is not valid")                                              \
    X(LIMIT, "a configured or built-in limit is exceeded")                                         \
    X(IO, "reading or writing failed")                                                             \
    X(NOT_FOUND, "not found")                                                                      \
    X(EXISTS, "exists already")                                                                    \
    X(DENIED, "permission denied")                                                                 \
    X(IN_USE, "in use by another process")                                                         \
    X(OTHER_VERSION, "written by another version")                                                 \
    X(CORRUPT, "stored data is damaged")                                                           \
    X(TIMEOUT, "timed out")                                                                        \
    X(CLOSED, "closed or shutting down")                                                           \
    X(PARSE, "malformed input")                                                                    \
    X(TRUNCATED, "input ends too early")                                                           \
    X(UNSUPPORTED, "valid, but not supported")                                                     \
    X(NO_MODEL, "no model for this data type")                                                     \
    X(MISSING_INPUT, "a required input is missing")                                                \
    X(INVALID_INPUT, "an input value is not valid for the model")                                  \
    X(NO_RESULT, "the model gives no result for this input")                                       \
    X(MODEL_FAILED, "the model failed on this input")                                              \
    X(BROKER, "the broker refused or could not be reached")                                        \
    X(FENCED, "another instance has taken over")                                                   \
    X(INTERNAL, "a fault of this program")

#define WEIR_ERR_ENUM(name, text) WEIR_##name,
enum weir_err { WEIR_ERR_TABLE(WEIR_ERR_ENUM) WEIR_ERR_COUNT };
#undef WEIR_ERR_ENUM

/* Name of a code without prefix ("NO_MODEL"); static; "UNKNOWN" for a value out of range. */
const char *weir_err_name(enum weir_err err);
/* Plain text of a code; static. */
const char *weir_err_text(enum weir_err err);

enum { WEIR_ERROR_TEXT_MAX = 320 };

/*
 * Detail of a failure, owned by the caller, filled once by the layer that failed; upper layers may
 * put context in front with weir_error_context. `message` is one line without a newline: where,
 * what, what to do. Control characters of quoted input are escaped by weir_error_set.
 */
struct weir_error {
    enum weir_err code;
    bool retriable;   /* the same call may succeed later */
    bool fatal;       /* the object it was called on can't be used any further */
    int64_t position; /* line of a text file (1-based), byte offset or record offset; -1 = none */
    char message[WEIR_ERROR_TEXT_MAX];
};

/* Fills *error (may be NULL) and returns code: `return weir_error_set(error, ...)`. */
enum weir_err weir_error_set(struct weir_error *error, enum weir_err code, int64_t position,
                             const char *format, ...) WEIR_PRINTF(4, 5);
#ifdef __clang_analyzer__ /* it sees one file at a time: this is how it knows what comes back */
#define weir_error_set(error, code, ...) ((void)weir_error_set(error, code, __VA_ARGS__), (code))
#endif
enum weir_err weir_error_setv(struct weir_error *error, enum weir_err code, int64_t position,
                              const char *format, va_list args) WEIR_PRINTF(4, 0);
/* Puts "context: " in front of the message of *error (NULL is allowed). Keeps the code. */
void weir_error_context(struct weir_error *error, const char *format, ...) WEIR_PRINTF(2, 3);

/* Bytes that somebody else owns. data == NULL is Kafka's null (a missing key, a tombstone), which
 * is not the same as bytes == 0. */
struct weir_slice {
    const void *data;
    size_t bytes;
};

static inline struct weir_slice weir_slice(const void *data, size_t bytes)
{
    struct weir_slice s = {data, bytes};
    return s;
}

/* Equal length and bytes; two null slices are equal, null and empty are not. */
bool weir_slice_equal(struct weir_slice a, struct weir_slice b);

enum weir_log_level { WEIR_LOG_ERROR, WEIR_LOG_WARN, WEIR_LOG_INFO, WEIR_LOG_DEBUG };

/*
 * Where a library reports what happens in the background. It is never called while the library
 * holds a lock of its own; it may be called from any of the library's threads, and must not call
 * back into the library. `message` is borrowed for the call, one line, no newline.
 * A zeroed struct weir_log (no function) drops everything.
 */
struct weir_log {
    void (*write)(void *opaque, enum weir_log_level level, const char *area, const char *message);
    void *opaque;
    enum weir_log_level level; /* messages above it are not even formatted */
};

/* Formats and hands over one message; area is a short static name ("broker"). log may be NULL. */
void weir_log(const struct weir_log *log, enum weir_log_level level, const char *area,
              const char *format, ...) WEIR_PRINTF(4, 5);

/* "0.1.0", the version of the library that is linked (WEIR_VERSION is that of the header). */
const char *weir_version(void);

#ifdef __cplusplus
}
#endif
#endif
