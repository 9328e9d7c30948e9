/*
 * base/errno_error.h - the system's error numbers as ours.
 *
 * What:    one mapping for files and sockets.
 * Life:    pure functions.
 * Threads: any.
 * Memory:  none.
 * Errors:  NOT_FOUND, EXISTS, DENIED, IN_USE, LIMIT, NOMEM, CLOSED, IO.
 */
#ifndef WEIR_BASE_ERRNO_ERROR_H
#define WEIR_BASE_ERRNO_ERROR_H

#include <weir/base.h>

/* The code for a (positive) errno. */
enum weir_err weir_errno_code(int error_number);
/* Fills *error with "where: what: reason", e.g. "data/x.log: write: No space left on device"; what
 * NULL is left out. */
enum weir_err weir_errno_set(struct weir_error *error, int error_number, const char *where,
                             const char *what);

#endif
