/* The system's error numbers as ours: base/errno_error.h. */
#include "base/errno_error.h"

#include <errno.h>
#include <string.h>

enum weir_err weir_errno_code(int error_number)
{
    switch (error_number) {
    case ENOENT:
    case ENOTDIR:
        return WEIR_NOT_FOUND;
    case EEXIST:
    case ENOTEMPTY:
        return WEIR_EXISTS;
    case EACCES:
    case EPERM:
    case EROFS:
        return WEIR_DENIED;
    case EADDRINUSE:
    case EBUSY:
    case EWOULDBLOCK:
        return WEIR_IN_USE;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
    case EMFILE:
    case ENFILE:
        return WEIR_LIMIT;
    case ENOMEM:
    case ENOBUFS:
        return WEIR_NOMEM;
    case EPIPE:
    case ECONNRESET:
    case ECONNABORTED:
        return WEIR_CLOSED;
    default:
        return WEIR_IO;
    }
}

enum weir_err weir_errno_set(struct weir_error *error, int error_number, const char *where,
                             const char *what)
{
    char text[128];

    /* The GNU form: may answer with a constant instead of the buffer. */
    return weir_error_set(error, weir_errno_code(error_number), -1, "%s: %s%s%s", where,
                          what ? what : "", what ? ": " : "",
                          strerror_r(error_number, text, sizeof text));
}
