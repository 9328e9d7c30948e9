/* cli/signals.c - one descriptor for SIGINT and SIGTERM, see signals.h. */
#include "cli/signals.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"

/* Some senders signal the process and its group: two that come together are one wish. */
enum { SAME_WISH_MS = 500 };

/* A process has one set of signals, so that this is one state of the process, too. */
static int descriptor = -1;
static bool has_come;

void signals_block(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    weir_assert(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
    signal(SIGPIPE, SIG_IGN);
    descriptor = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    weir_assert(descriptor >= 0);
}

static bool take(int timeout_ms, int *number_out)
{
    struct pollfd wait = {.fd = descriptor, .events = POLLIN};
    struct signalfd_siginfo info;
    if (poll(&wait, 1, timeout_ms) != 1 || read(descriptor, &info, sizeof info) != sizeof info)
        return false;
    *number_out = (int)info.ssi_signo;
    return true;
}

bool signals_wait(int timeout_ms)
{
    int number;
    if (has_come)
        return true;
    has_come = take(timeout_ms, &number);
    return has_come;
}

static void *force(void *unused)
{
    int64_t start_ns = weir_clock_now_ns(NULL);
    int number;
    (void)unused;
    while (!take(-1, &number) ||
           weir_clock_now_ns(NULL) - start_ns < SAME_WISH_MS * WEIR_NS_PER_MS) {
    }
    fputs("weir: forced to end; what was not committed will be read again\n", stderr);
    _exit(128 + number);
}

void signals_force_on_next(void)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, force, NULL) == 0)
        pthread_detach(thread);
}
