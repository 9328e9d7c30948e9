/*
 * Sleeping until a queue has something: kafka/rd.h.
 *
 * librdkafka calls back when an empty queue gets something. `raised` remembers that for a reader
 * who is not asleep; the descriptor is written only for one who is. A reader sets `waiting` before
 * it looks at `raised`, and a raiser sets `raised` before it looks at `waiting`: one of them sees
 * the other.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/errno_error.h"
#include "kafka/rd.h"

enum weir_err rd_signal_init(struct rd_signal *signal, struct weir_error *error)
{
    signal->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (signal->fd < 0)
        return weir_errno_set(error, errno, "librdkafka", "eventfd");
    atomic_init(&signal->raised, false);
    atomic_init(&signal->waiting, false);
    return WEIR_OK;
}

void rd_signal_release(struct rd_signal *signal)
{
    close(signal->fd);
}

void rd_signal_raise(struct rd_signal *signal)
{
    atomic_store(&signal->raised, true);
    if (atomic_load(&signal->waiting)) {
        uint64_t one = 1;
        /* It can only fail when the counter is full, and then the sleeper is awake anyway. */
        ssize_t written = write(signal->fd, &one, sizeof(one));
        (void)written;
    }
}

bool rd_signal_wait(struct rd_signal *signal, int64_t timeout_ms)
{
    atomic_store(&signal->waiting, true);
    bool raised = atomic_exchange(&signal->raised, false);
    if (!raised) {
        struct pollfd poll_fd = {.fd = signal->fd, .events = POLLIN};
        poll(&poll_fd, 1, timeout_ms > INT32_MAX ? INT32_MAX : (int)timeout_ms);
    }
    atomic_store(&signal->waiting, false);
    uint64_t count;
    ssize_t got = read(signal->fd, &count, sizeof(count));
    (void)got;
    return atomic_exchange(&signal->raised, false) || raised;
}
