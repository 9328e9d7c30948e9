/* The program's log: base/logger.h. */
#include "base/logger.h"

#include <inttypes.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/json.h"

enum { RECENT_COUNT = 64, LINE_MAX_BYTES = 8192 };

/* A message that was written lately. Two that share a place push each other out: the cap then lets
 * more through, never less. */
struct recent {
    uint64_t hash; /* of area and message; 0 = free */
    int64_t second;
    uint32_t written;    /* in that second */
    uint64_t suppressed; /* since it was last written */
    enum weir_log_level level;
    const char *area; /* static by contract */
    char message[256];
};

struct weir_logger {
    struct weir_logger_options options;
    _Atomic int level;
    pthread_mutex_t mutex; /* of what follows and of the order of lines */
    struct weir_buffer line;
    struct recent recent[RECENT_COUNT];
};

const char *weir_log_level_name(enum weir_log_level level)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    return (unsigned)level < WEIR_ARRAY_COUNT(names) ? names[level] : "unknown";
}

void weir_logger_options_default(struct weir_logger_options *options)
{
    *options = (struct weir_logger_options){
        .out = stderr, .level = WEIR_LOG_INFO, .repeats_per_second = 5};
}

enum weir_err weir_logger_new(const struct weir_logger_options *options, struct weir_logger **out)
{
    struct weir_logger *logger = weir_calloc(1, sizeof *logger);

    if (logger == NULL)
        return WEIR_NOMEM;
    logger->options = *options;
    atomic_init(&logger->level, (int)options->level);
    weir_buffer_init(&logger->line, LINE_MAX_BYTES);
    /* All of it at once: a log that fails for want of memory is of no use when memory is short. */
    if (weir_buffer_reserve(&logger->line, LINE_MAX_BYTES) != WEIR_OK) {
        weir_free(logger);
        return WEIR_NOMEM;
    }
    pthread_mutex_init(&logger->mutex, NULL);
    *out = logger;
    return WEIR_OK;
}

static void format_time(int64_t wall_ms, char text[64])
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm utc;

    (void)gmtime_r(&seconds, &utc);
    snprintf(text, 64, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", utc.tm_year + 1900, utc.tm_mon + 1,
             utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec, (int)(wall_ms % 1000));
}

static enum weir_err format_json(struct weir_buffer *line, const char *time,
                                 enum weir_log_level level, const char *area, const char *message)
{
    struct weir_json json;
    enum weir_err err;

    weir_json_begin(&json, line);
    weir_json_object_begin(&json);
    weir_json_key(&json, "time");
    weir_json_text(&json, time);
    weir_json_key(&json, "level");
    weir_json_text(&json, weir_log_level_name(level));
    weir_json_key(&json, "area");
    weir_json_text(&json, area);
    weir_json_key(&json, "message");
    weir_json_text(&json, message);
    weir_json_object_end(&json);
    err = weir_json_end(&json);
    return err == WEIR_OK ? weir_buffer_append_byte(line, '\n') : err;
}

static enum weir_err format_human(struct weir_buffer *line, const char *time,
                                  enum weir_log_level level, const char *area, const char *message)
{
    static const char *const names[] = {"ERROR", "WARN ", "INFO ", "DEBUG"};

    return weir_buffer_appendf(line, "%s %s %s %s\n", time, names[level], area, message);
}

/* Under the mutex. One fwrite a line, so that lines of other writers to the FILE don't mix in. */
static void write_line(struct weir_logger *logger, enum weir_log_level level, const char *area,
                       const char *message)
{
    char time[64];
    enum weir_err err;

    format_time(weir_clock_wall_ms(logger->options.clock), time);
    weir_buffer_clear(&logger->line);
    err = logger->options.json ? format_json(&logger->line, time, level, area, message)
                               : format_human(&logger->line, time, level, area, message);
    if (err != WEIR_OK)
        return;
    (void)fwrite(logger->line.data, 1, logger->line.bytes, logger->options.out);
    fflush(logger->options.out);
}

/* FNV-1a; never 0. Only chooses a place in the table of recent messages. */
static uint64_t hash_text(uint64_t hash, const char *text)
{
    for (; *text != '\0'; text++)
        hash = (hash ^ (uint8_t)*text) * UINT64_C(0x100000001b3);
    return hash | 1;
}

static void tell_suppressed(struct weir_logger *logger, struct recent *recent)
{
    char text[sizeof recent->message + 64];

    if (recent->suppressed == 0)
        return;
    snprintf(text, sizeof text, "%s (%" PRIu64 " more like it)", recent->message,
             recent->suppressed);
    recent->suppressed = 0;
    write_line(logger, recent->level, recent->area, text);
}

/* Under the mutex. True if the message is to be left out. */
static bool is_too_often(struct weir_logger *logger, enum weir_log_level level, const char *area,
                         const char *message)
{
    int64_t second = weir_clock_now_ns(logger->options.clock) / WEIR_NS_PER_SECOND;
    uint64_t hash = hash_text(hash_text(UINT64_C(0xcbf29ce484222325), area), message);
    struct recent *recent = &logger->recent[hash >> 32 & (RECENT_COUNT - 1)];

    if (logger->options.repeats_per_second == 0)
        return false;
    if (recent->hash != hash) {
        tell_suppressed(logger, recent);
        *recent = (struct recent){.hash = hash, .second = second, .level = level, .area = area};
        snprintf(recent->message, sizeof recent->message, "%s", message);
    } else if (recent->second != second) {
        tell_suppressed(logger, recent);
        recent->second = second;
        recent->written = 0;
    }
    if (recent->written >= logger->options.repeats_per_second) {
        recent->suppressed++;
        return true;
    }
    recent->written++;
    return false;
}

/* What libraries call: struct weir_log.write. */
static void logger_write(void *opaque, enum weir_log_level level, const char *area,
                         const char *message)
{
    struct weir_logger *logger = opaque;

    if ((int)level < 0 || (int)level > atomic_load(&logger->level))
        return;
    pthread_mutex_lock(&logger->mutex);
    if (!is_too_often(logger, level, area, message))
        write_line(logger, level, area, message);
    pthread_mutex_unlock(&logger->mutex);
}

void weir_logger_free(struct weir_logger *logger)
{
    if (logger == NULL)
        return;
    for (size_t i = 0; i < RECENT_COUNT; i++)
        tell_suppressed(logger, &logger->recent[i]);
    pthread_mutex_destroy(&logger->mutex);
    weir_buffer_release(&logger->line);
    weir_free(logger);
}

struct weir_log weir_logger_log(struct weir_logger *logger)
{
    struct weir_log log = {.write = logger_write,
                           .opaque = logger,
                           .level = (enum weir_log_level)atomic_load(&logger->level)};
    return log;
}

void weir_logger_set_level(struct weir_logger *logger, enum weir_log_level level)
{
    atomic_store(&logger->level, (int)level);
}
