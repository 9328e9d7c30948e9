/*
 * base/assert.h - assertions that stay on in release, and the smallest macros of the house.
 *
 * What:    weir_assert for a programmer's mistake (never for outside input: that is answered with
 *          an error), branch hints, the number of elements of an array.
 * Threads: any.
 * Memory:  none.
 * Errors:  a failed assertion prints file, line and expression on stderr and aborts.
 */
#ifndef WEIR_BASE_ASSERT_H
#define WEIR_BASE_ASSERT_H

#include <stddef.h>

#define weir_likely(condition) __builtin_expect(!!(condition), 1)
#define weir_unlikely(condition) __builtin_expect(!!(condition), 0)

/* Aborts unless condition holds. The condition is always evaluated. */
#define weir_assert(condition)                                                                     \
    (weir_likely(condition) ? (void)0 : weir_assert_failed(__FILE__, __LINE__, #condition))

/* Elements of an array; not for pointers. */
#define WEIR_ARRAY_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* The struct that holds `member`, from a pointer to the member. */
#define WEIR_CONTAINER(pointer, type, member)                                                      \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

/* Prints "file:line: assertion failed: expression" and aborts. Called by weir_assert only. */
_Noreturn void weir_assert_failed(const char *file, int line, const char *expression)
    __attribute__((cold));

#endif
