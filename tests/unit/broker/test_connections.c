/* Connections that do little, or the wrong thing for long: what they may cost. */
#include "raw.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MANY = 400 };

static void allow_many_files(void)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static void idle_ones_are_closed_in_time(void **state)
{
    struct raw raw;
    (void)state;
    raw_init(&raw);
    raw.place.options.connections_max_idle_ms = 60000;
    raw_start(&raw);
    int idle = raw_connect(&raw), busy = raw_connect(&raw);
    for (int i = 0; i < 6; i++) {
        struct call call;
        raw_pass(&raw, 10000);
        call_begin(&call, busy, WIRE_API_VERSIONS, 0);
        if (i < 5)
            call_now(&raw, &call);
        call_end(&call);
    }
    raw_pass(&raw, 1000);
    assert_true(raw_is_closed(&raw, idle));
    assert_false(raw_is_closed(&raw, busy));
    assert_int_equal(atomic_load(&raw.broker->stats.connections_expired), 1);
    raw_pass(&raw, 60000);
    raw_pass(&raw, 1000);
    assert_true(raw_is_closed(&raw, busy));
    close(idle);
    close(busy);
    raw_release(&raw);
}

static void who_waits_for_us_is_not_idle(void **state)
{
    struct raw raw;
    struct call call;
    (void)state;
    raw_init(&raw);
    raw.place.options.connections_max_idle_ms = 10000;
    raw_start(&raw);
    int fd = raw_connect(&raw), maker = raw_connect(&raw);
    raw_make_topic(&raw, maker, "t", 1);
    raw_close(&raw, maker);
    call_begin(&call, fd, WIRE_FETCH, 4);
    wire_put_i32(&call.writer, -1);
    wire_put_i32(&call.writer, 60000); /* max wait */
    wire_put_i32(&call.writer, 1);
    wire_put_i32(&call.writer, 1 << 20);
    wire_put_i8(&call.writer, 0);
    wire_put_array(&call.writer, 1);
    wire_put_text(&call.writer, "t");
    wire_put_array(&call.writer, 1);
    wire_put_i32(&call.writer, 0);
    wire_put_i64(&call.writer, 0);
    wire_put_i32(&call.writer, 1 << 20);
    call_send(&raw, &call);
    for (int i = 0; i < 59; i++)
        raw_pass(&raw, 1000);
    assert_false(call_answered(&raw, &call));
    raw_pass(&raw, 1000);
    assert_true(call_answered(&raw, &call)); /* after its own time, not ours */
    call_end(&call);
    raw_close(&raw, fd);
    raw_release(&raw);
}

/* Many that say nothing, then a byte of a large request each second: they hold what they sent. */
static void many_slow_ones_hold_little(void **state)
{
    static int fds[MANY];
    struct raw raw;
    (void)state;
    allow_many_files();
    raw_init(&raw);
    raw_start(&raw);
    for (int i = 0; i < MANY; i++)
        fds[i] = raw_connect(&raw);
    assert_int_equal(atomic_load(&raw.broker->stats.connections), MANY);
    assert_int_equal(raw.broker->memory_used, 0);
    for (int i = 0; i < MANY; i++)
        assert_int_equal(send(fds[i], "\0\x80\0\0", 4, MSG_NOSIGNAL), 4);
    for (int second = 0; second < 30; second++) {
        for (int i = 0; i < MANY; i++)
            assert_int_equal(send(fds[i], "x", 1, MSG_NOSIGNAL), 1);
        raw_pass(&raw, 1000);
    }
    assert_int_equal(atomic_load(&raw.broker->stats.connections), MANY);
    assert_true(raw.broker->memory_used <= MANY * 256);
    for (int i = 0; i < MANY; i++)
        close(fds[i]);
    raw_run(&raw);
    raw_run(&raw);
    assert_null(raw.broker->connections);
    assert_int_equal(raw.broker->memory_used, 0);
    raw_release(&raw);
}

static void ask_for_records(struct raw *raw, int fd)
{
    struct call call;
    call_begin(&call, fd, WIRE_FETCH, 4);
    wire_put_i32(&call.writer, -1);
    wire_put_i32(&call.writer, 0);
    wire_put_i32(&call.writer, 1);
    wire_put_i32(&call.writer, INT32_MAX);
    wire_put_i8(&call.writer, 0);
    wire_put_array(&call.writer, 1);
    wire_put_text(&call.writer, "t");
    wire_put_array(&call.writer, 1);
    wire_put_i32(&call.writer, 0);
    wire_put_i64(&call.writer, 0);
    wire_put_i32(&call.writer, INT32_MAX);
    call_send(raw, &call);
    call_end(&call);
}

/* Clients that ask for all there is, over and over, and take nothing of it. */
static void slow_readers_share_the_memory_that_is_set(void **state)
{
    enum { READERS = 40, MEMORY = 8 << 20 };
    static int fds[READERS];
    struct raw raw;
    size_t most = 0;
    (void)state;
    allow_many_files();
    raw_init(&raw);
    raw.place.options.memory_bytes = MEMORY;
    raw.place.options.connections_max_idle_ms = 30000;
    raw_start(&raw);
    int maker = raw_connect(&raw);
    raw_make_topic(&raw, maker, "t", 1);
    for (int i = 0; i < 10; i++)
        raw_produce(&raw, maker, "t", 0, 8000); /* 8 MB in all */
    raw_close(&raw, maker);
    for (int i = 0; i < READERS; i++) {
        int small = 4096;
        fds[i] = raw_connect(&raw);
        /* Both ends: else the system may take the whole answers, and nothing is left to look at. */
        setsockopt(fds[i], SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
        setsockopt(raw.broker->connections->fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
        for (int again = 0; again < 3; again++)
            ask_for_records(&raw, fds[i]);
        most = most > raw.broker->memory_used ? most : raw.broker->memory_used;
    }
    assert_true(most > MEMORY / 4); /* the test is worth something */
    assert_true(most <= MEMORY + MEMORY / 4);
    for (int second = 0; second < 32; second++)
        raw_pass(&raw, 1000);
    assert_null(raw.broker->connections);
    assert_int_equal(raw.broker->memory_used, 0);
    for (int i = 0; i < READERS; i++)
        close(fds[i]);
    raw_release(&raw);
}

static void the_system_looks_after_half_open_ones(void **state)
{
    struct raw raw;
    int on = 0, unsent_ms = 0;
    socklen_t bytes = sizeof on;
    (void)state;
    raw_init(&raw);
    raw_start(&raw);
    int fd = raw_connect(&raw);
    assert_int_equal(getsockopt(raw.broker->connections->fd, SOL_SOCKET, SO_KEEPALIVE, &on, &bytes),
                     0);
    assert_int_equal(on, 1);
    assert_int_equal(
        getsockopt(raw.broker->connections->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unsent_ms, &bytes),
        0);
    assert_int_equal(unsent_ms, 300000);
    raw_close(&raw, fd);
    raw_release(&raw);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(idle_ones_are_closed_in_time),
        cmocka_unit_test(who_waits_for_us_is_not_idle),
        cmocka_unit_test(many_slow_ones_hold_little),
        cmocka_unit_test(slow_readers_share_the_memory_that_is_set),
        cmocka_unit_test(the_system_looks_after_half_open_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
