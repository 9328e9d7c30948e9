/*
 * cli/signals.h - the one place that knows signals.
 *
 * What:    SIGINT and SIGTERM are blocked in every thread and read from a descriptor by the main
 *          thread; SIGPIPE is ignored. The first asks for an orderly end, the second forces it.
 * Life:    signals_block before any thread exists; then signals_wait from the main thread.
 * Threads: the main thread only.
 */
#ifndef CLI_SIGNALS_H
#define CLI_SIGNALS_H

#include <stdbool.h>
#include <stdint.h>

void signals_block(void);
/* Waits up to timeout_ms (-1 = for ever). True when SIGINT or SIGTERM has come, now or before. */
bool signals_wait(int timeout_ms);
/* From half a second on the next signal ends the process with status 130 or 143: for the time of
 * draining. Those before it are taken for the first one's: some senders signal twice at once.
 * Starts a thread that reads the descriptor; signals_wait must not be called any more. */
void signals_force_on_next(void);

#endif
