/*
 * librdkafka's threads under the thread sanitizer; nothing in any other build.
 *
 * librdkafka starts its threads with C11's thrd_create, which the sanitizer of gcc 12 does not
 * intercept: it knows nothing of such a thread and crashes in its first allocation. A program's own
 * definition goes before the C library's, also for shared libraries, and pthread_create is known.
 */
#include "kafka/rd.h"

#ifdef __SANITIZE_THREAD__

#include <threads.h>

#include "base/alloc.h"

struct start {
    thrd_start_t run;
    void *argument;
};

static void *thread_main(void *opaque)
{
    struct start start = *(struct start *)opaque;
    weir_free(opaque);
    return (void *)(intptr_t)start.run(start.argument);
}

int thrd_create(thrd_t *thread, thrd_start_t run, void *argument)
{
    struct start *start = weir_alloc(sizeof(*start));
    if (start == NULL)
        return thrd_nomem;
    *start = (struct start){run, argument};
    if (pthread_create(thread, NULL, thread_main, start) == 0)
        return thrd_success;
    weir_free(start);
    return thrd_error;
}

int thrd_join(thrd_t thread, int *result)
{
    void *value;
    if (pthread_join(thread, &value) != 0)
        return thrd_error;
    if (result != NULL)
        *result = (int)(intptr_t)value;
    return thrd_success;
}

int thrd_detach(thrd_t thread)
{
    return pthread_detach(thread) == 0 ? thrd_success : thrd_error;
}

void rd_threads_known(void)
{
}

#endif
