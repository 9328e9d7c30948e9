/* A log in a directory of its own under a virtual clock, for the tests of the partition log. */
#ifndef WEIR_TESTS_PLOG_FIXTURE_H
#define WEIR_TESTS_PLOG_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "batches.h"
#include "plog/batch_head.h"

enum { FIXTURE_WALL_MS = 1000000 }; /* where the virtual clock begins */

struct fixture {
    char *directory;
    struct weir_clock_virtual clock;
    struct weir_plog_options options;
    struct weir_plog *log;
    struct weir_buffer buffer;
    uint8_t *batch;
};

int fixture_set_up(void **state);
int fixture_tear_down(void **state);
/* A test with both. */
#define plog_test(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)

/* Opens with nothing known of the log but whether it was closed; fails the test on an error. */
void open_log(struct fixture *f, bool clean);
void reopen(struct fixture *f, bool clean);
/* Lets the log go as a killed process does: nothing is written any more. */
void abandon(struct fixture *f);
enum weir_plog_refusal append(struct fixture *f, const struct batch_spec *spec,
                              struct weir_plog_appended *out);
/* Must be accepted, at that offset. */
void append_ok(struct fixture *f, const struct batch_spec *spec, int64_t offset);
/* The batch that holds the offset is the one made of spec (base offset and epoch aside). */
void assert_batch_at(struct fixture *f, int64_t offset, const struct batch_spec *spec);
/* "<directory>/<name>", freed by the caller. */
char *file_path(const struct fixture *f, const char *name);
bool file_exists(const struct fixture *f, const char *name);
int64_t file_size(const struct fixture *f, const char *name);

#endif
