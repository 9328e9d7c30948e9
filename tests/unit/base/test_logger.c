/* The program's log. */
#include "cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/logger.h"

struct fixture {
    struct weir_clock_virtual clock;
    struct weir_logger *logger;
    struct weir_log log;
    FILE *out;
    char *text;
    size_t bytes;
};

/* Begins at 2026-01-31T12:34:56.789Z. */
static void set_up(struct fixture *f, bool json)
{
    struct weir_logger_options options;

    memset(f, 0, sizeof *f);
    weir_clock_virtual_init(&f->clock, INT64_C(1769862896789));
    f->out = open_memstream(&f->text, &f->bytes);
    assert_non_null(f->out);
    weir_logger_options_default(&options);
    options.out = f->out;
    options.json = json;
    options.repeats_per_second = 2;
    options.clock = &f->clock.clock;
    assert_int_equal(weir_logger_new(&options, &f->logger), WEIR_OK);
    f->log = weir_logger_log(f->logger);
}

static void tear_down(struct fixture *f, const char *expected)
{
    weir_logger_free(f->logger);
    fclose(f->out);
    assert_string_equal(f->text, expected);
    free(f->text);
}

static void people_get_lines(void **state)
{
    struct fixture f;

    (void)state;
    set_up(&f, false);
    weir_log(&f.log, WEIR_LOG_WARN, "broker", "disk is %d%% full", 97);
    weir_log(&f.log, WEIR_LOG_DEBUG, "broker", "not this");
    weir_logger_set_level(f.logger, WEIR_LOG_ERROR);
    weir_log(&f.log, WEIR_LOG_INFO, "broker", "nor this");
    tear_down(&f, "2026-01-31T12:34:56.789Z WARN  broker disk is 97% full\n");
}

static void machines_get_json(void **state)
{
    struct fixture f;

    (void)state;
    set_up(&f, true);
    weir_log(&f.log, WEIR_LOG_INFO, "kafka", "a \"b\"");
    tear_down(&f, "{\"time\":\"2026-01-31T12:34:56.789Z\",\"level\":\"info\",\"area\":\"kafka\","
                  "\"message\":\"a \\\"b\\\"\"}\n");
}

static void repetition_is_capped_and_counted(void **state)
{
    struct fixture f;

    (void)state;
    set_up(&f, false);
    for (int i = 0; i < 10; i++)
        weir_log(&f.log, WEIR_LOG_ERROR, "kafka", "down");
    weir_log(&f.log, WEIR_LOG_ERROR, "kafka", "other");
    weir_clock_virtual_advance_ms(&f.clock, 1000);
    for (int i = 0; i < 3; i++)
        weir_log(&f.log, WEIR_LOG_ERROR, "kafka", "down");
    tear_down(&f, "2026-01-31T12:34:56.789Z ERROR kafka down\n"
                  "2026-01-31T12:34:56.789Z ERROR kafka down\n"
                  "2026-01-31T12:34:56.789Z ERROR kafka other\n"
                  "2026-01-31T12:34:57.789Z ERROR kafka down (8 more like it)\n"
                  "2026-01-31T12:34:57.789Z ERROR kafka down\n"
                  "2026-01-31T12:34:57.789Z ERROR kafka down\n"
                  "2026-01-31T12:34:57.789Z ERROR kafka down (1 more like it)\n");
}

static void writing_allocates_nothing(void **state)
{
    struct fixture f;

    (void)state;
    set_up(&f, true);
    weir_logger_set_level(f.logger, WEIR_LOG_DEBUG);
    weir_alloc_watch_start(0);
    weir_log(&f.log, WEIR_LOG_INFO, "kafka", "x");
    assert_int_equal(weir_alloc_watch_stop().allocations, 0);
    tear_down(&f, "{\"time\":\"2026-01-31T12:34:56.789Z\",\"level\":\"info\",\"area\":\"kafka\","
                  "\"message\":\"x\"}\n");
}

static void every_failing_allocation_is_told(void **state)
{
    struct weir_logger_options options;
    struct weir_logger *logger = NULL;

    (void)state;
    weir_logger_options_default(&options);
    for (uint64_t n = 1; n <= 2; n++) {
        weir_alloc_watch_start(n);
        assert_int_equal(weir_logger_new(&options, &logger), WEIR_NOMEM);
        assert_int_equal(weir_alloc_watch_stop().failed, 1);
    }
    weir_logger_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(people_get_lines),
        cmocka_unit_test(machines_get_json),
        cmocka_unit_test(repetition_is_capped_and_counted),
        cmocka_unit_test(writing_allocates_nothing),
        cmocka_unit_test(every_failing_allocation_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
