/* The ring and the queue, between threads. */
#include "cmocka_all.h"

#include <pthread.h>
#include <sched.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/queue.h"
#include "base/ring.h"

enum { ITEMS = 200000 };

static void a_ring_gives_items_in_order_and_keeps_to_its_capacity(void **state)
{
    struct weir_ring ring;
    uint32_t in[8], out[8];

    (void)state;
    assert_int_equal(weir_ring_init(&ring, 4, sizeof in[0]), WEIR_OK);
    for (uint32_t round = 0; round < 10; round++) {
        for (uint32_t i = 0; i < 8; i++)
            in[i] = round * 10 + i;
        assert_int_equal(weir_ring_write(&ring, in, 3), 3);
        assert_int_equal(weir_ring_write(&ring, in + 3, 5), 1);
        assert_int_equal(weir_ring_write(&ring, in, 1), 0);
        assert_int_equal(weir_ring_count(&ring), 4);
        assert_int_equal(weir_ring_read(&ring, out, 1), 1);
        assert_int_equal(weir_ring_read(&ring, out + 1, 8), 3);
        assert_int_equal(weir_ring_read(&ring, out, 1), 0);
        assert_memory_equal(in, out, 4 * sizeof in[0]);
    }
    weir_ring_release(&ring);
}

static void *write_items(void *opaque)
{
    struct weir_ring *ring = opaque;
    uint64_t batch[7];

    for (uint64_t next = 0; next < ITEMS;) {
        uint32_t count = 0;
        while (count < 7 && next + count < ITEMS) {
            batch[count] = next + count;
            count++;
        }
        count = weir_ring_write(ring, batch, count);
        next += count;
        if (count == 0)
            sched_yield();
    }
    return NULL;
}

static void a_ring_between_two_threads_loses_and_reorders_nothing(void **state)
{
    struct weir_ring ring;
    pthread_t writer;
    uint64_t batch[5];

    (void)state;
    assert_int_equal(weir_ring_init(&ring, 64, sizeof batch[0]), WEIR_OK);
    assert_int_equal(pthread_create(&writer, NULL, write_items, &ring), 0);
    for (uint64_t next = 0; next < ITEMS;) {
        uint32_t count = weir_ring_read(&ring, batch, 5);
        if (count == 0)
            sched_yield();
        for (uint32_t i = 0; i < count; i++, next++)
            if (batch[i] != next)
                fail_msg("item %llu in place of %llu", (unsigned long long)batch[i],
                         (unsigned long long)next);
    }
    pthread_join(writer, NULL);
    weir_ring_release(&ring);
}

static void a_queue_is_first_in_first_out_and_bounded(void **state)
{
    struct weir_queue queue;
    int items[3];
    void *item;

    (void)state;
    assert_int_equal(weir_queue_init(&queue, 2), WEIR_OK);
    assert_int_equal(weir_queue_pop(&queue, &item, 0), WEIR_AGAIN);
    assert_int_equal(weir_queue_push(&queue, &items[0], 0), WEIR_OK);
    assert_int_equal(weir_queue_push(&queue, &items[1], -1), WEIR_OK);
    assert_int_equal(weir_queue_push(&queue, &items[2], 0), WEIR_AGAIN);
    assert_int_equal(weir_queue_push(&queue, &items[2], 1), WEIR_TIMEOUT);
    assert_int_equal(weir_queue_count(&queue), 2);
    assert_int_equal(weir_queue_pop(&queue, &item, 0), WEIR_OK);
    assert_ptr_equal(item, &items[0]);
    assert_int_equal(weir_queue_push(&queue, &items[2], 0), WEIR_OK);
    weir_queue_close(&queue);
    assert_int_equal(weir_queue_push(&queue, &items[0], -1), WEIR_CLOSED);
    assert_int_equal(weir_queue_pop(&queue, &item, 1000), WEIR_OK);
    assert_ptr_equal(item, &items[1]);
    assert_int_equal(weir_queue_pop(&queue, &item, -1), WEIR_OK);
    assert_int_equal(weir_queue_pop(&queue, &item, -1), WEIR_CLOSED);
    weir_queue_release(&queue);
}

static void a_wait_ends_at_its_time(void **state)
{
    struct weir_queue queue;
    int64_t begin_ns = weir_clock_now_ns(NULL);
    void *item;

    (void)state;
    assert_int_equal(weir_queue_init(&queue, 1), WEIR_OK);
    assert_int_equal(weir_queue_pop(&queue, &item, 5), WEIR_TIMEOUT);
    assert_true(weir_clock_now_ns(NULL) - begin_ns >= 5 * WEIR_NS_PER_MS);
    weir_queue_release(&queue);
}

static void *push_many(void *opaque)
{
    for (uintptr_t i = 1; i <= 1000; i++)
        assert_int_equal(weir_queue_push(opaque, (void *)i, -1), WEIR_OK);
    return NULL;
}

static void many_producers_and_a_closing_consumer_meet_all_items(void **state)
{
    struct weir_queue queue;
    pthread_t producers[3];
    uintptr_t sum = 0;
    void *item;

    (void)state;
    assert_int_equal(weir_queue_init(&queue, 4), WEIR_OK);
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&producers[i], NULL, push_many, &queue), 0);
    for (int i = 0; i < 3000; i++) {
        assert_int_equal(weir_queue_pop(&queue, &item, -1), WEIR_OK);
        sum += (uintptr_t)item;
    }
    for (int i = 0; i < 3; i++)
        pthread_join(producers[i], NULL);
    assert_int_equal(sum, 3 * 1000 * 1001 / 2);
    weir_queue_release(&queue);
}

static void *pop_until_closed(void *opaque)
{
    void *item;
    assert_int_equal(weir_queue_pop(opaque, &item, -1), WEIR_CLOSED);
    return NULL;
}

static void close_wakes_who_waits(void **state)
{
    struct weir_queue queue;
    pthread_t consumer;

    (void)state;
    assert_int_equal(weir_queue_init(&queue, 1), WEIR_OK);
    assert_int_equal(pthread_create(&consumer, NULL, pop_until_closed, &queue), 0);
    weir_queue_close(&queue);
    pthread_join(consumer, NULL);
    weir_queue_release(&queue);
}

static void no_memory_is_told(void **state)
{
    struct weir_queue queue;
    struct weir_ring ring;

    (void)state;
    weir_alloc_watch_start(1);
    assert_int_equal(weir_queue_init(&queue, 1), WEIR_NOMEM);
    weir_queue_release(&queue);
    weir_alloc_watch_start(1);
    assert_int_equal(weir_ring_init(&ring, 2, 1), WEIR_NOMEM);
    weir_alloc_watch_stop();
    weir_ring_release(&ring);
}

static void virtual_time_stands_until_it_is_moved(void **state)
{
    struct weir_clock_virtual clock;

    (void)state;
    weir_clock_virtual_init(&clock, 1000);
    assert_int_equal(weir_clock_now_ns(&clock.clock), 0);
    assert_int_equal(weir_clock_wall_ms(&clock.clock), 1000);
    weir_clock_virtual_advance_ms(&clock, 5);
    weir_clock_virtual_advance(&clock, 999999);
    assert_int_equal(weir_clock_now_ns(&clock.clock), 5999999);
    assert_int_equal(weir_clock_now_ms(&clock.clock), 5);
    assert_int_equal(weir_clock_wall_ms(&clock.clock), 1005);
    assert_true(weir_clock_wall_ms(NULL) > INT64_C(1600000000000));
    assert_true(weir_clock_now_ns(NULL) <= weir_clock_now_ns(weir_clock_real()));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_ring_gives_items_in_order_and_keeps_to_its_capacity),
        cmocka_unit_test(a_ring_between_two_threads_loses_and_reorders_nothing),
        cmocka_unit_test(a_queue_is_first_in_first_out_and_bounded),
        cmocka_unit_test(a_wait_ends_at_its_time),
        cmocka_unit_test(many_producers_and_a_closing_consumer_meet_all_items),
        cmocka_unit_test(close_wakes_who_waits),
        cmocka_unit_test(no_memory_is_told),
        cmocka_unit_test(virtual_time_stands_until_it_is_moved),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
