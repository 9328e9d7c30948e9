/* The log callback of the libraries: include/weir/base.h. */
#include <weir/base.h>

#include <stdio.h>

enum { MESSAGE_MAX = 1024 };

void weir_log(const struct weir_log *log, enum weir_log_level level, const char *area,
              const char *format, ...)
{
    char message[MESSAGE_MAX];
    va_list args;

    if (log == NULL || log->write == NULL || level > log->level)
        return;
    va_start(args, format);
    if (vsnprintf(message, sizeof message, format, args) < 0)
        message[0] = '\0';
    va_end(args);
    /* One line whatever was quoted in it. */
    for (char *c = message; *c != '\0'; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = ' ';
    log->write(log->opaque, level, area, message);
}
