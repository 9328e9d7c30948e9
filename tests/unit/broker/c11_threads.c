/*
 * librdkafka makes its threads with thrd_create, which the thread sanitizer of gcc 12 does not
 * know: it crashes in a thread that it has not seen begin. So they are made as POSIX threads here;
 * in other builds this file is empty. Nor does it know C11's locks, so that whatever happens inside
 * of librdkafka is left out: it is the broker that is looked at.
 */
#if defined(__SANITIZE_THREAD__)

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <threads.h>

/* The sanitizer asks for it by this name. */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
    return "called_from_lib:librdkafka.so\nrace:librdkafka.so\nmutex:librdkafka.so\n";
}

struct start {
    thrd_start_t run;
    void *argument;
};

static void *begin(void *opaque)
{
    struct start start = *(struct start *)opaque;
    free(opaque);
    return (void *)(intptr_t)start.run(start.argument);
}

int thrd_create(thrd_t *thread, thrd_start_t run, void *argument)
{
    struct start *start = malloc(sizeof *start);
    if (start == NULL)
        return thrd_nomem;
    *start = (struct start){run, argument};
    if (pthread_create(thread, NULL, begin, start) == 0)
        return thrd_success;
    free(start);
    return thrd_error;
}

int thrd_join(thrd_t thread, int *result)
{
    void *value = NULL;
    if (pthread_join(thread, &value) != 0)
        return thrd_error;
    if (result != NULL)
        *result = (int)(intptr_t)value;
    return thrd_success;
}

#else
extern int c11_threads_are_known;
#endif
