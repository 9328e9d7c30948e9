/* flush = every: shared syncs, answers that wait for them, records that can't be read before. */
#include "raw.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"

/* A disk whose syncs, where another thread makes them, wait until the gate is opened. */
struct gate {
    struct weir_disk disk;
    pthread_t tester;
    pthread_mutex_t mutex;
    pthread_cond_t moved;
    bool closed;
    int waiting;
    int error_number; /* of the syncs that were let through */
    int syncs;        /* by the thread */
};

static int gated_fdatasync(void *opaque, int fd)
{
    struct gate *gate = opaque;
    int error_number;
    if (pthread_equal(pthread_self(), gate->tester))
        return fdatasync(fd) == 0 ? 0 : -errno;
    pthread_mutex_lock(&gate->mutex);
    gate->syncs++;
    gate->waiting++;
    pthread_cond_broadcast(&gate->moved);
    while (gate->closed)
        pthread_cond_wait(&gate->moved, &gate->mutex);
    gate->waiting--;
    error_number = gate->error_number;
    pthread_mutex_unlock(&gate->mutex);
    return error_number ? -error_number : 0;
}

static void gate_init(struct gate *gate)
{
    *gate = (struct gate){.tester = pthread_self(),
                          .mutex = PTHREAD_MUTEX_INITIALIZER,
                          .moved = PTHREAD_COND_INITIALIZER};
    gate->disk = *weir_disk_real(); /* its calls need no opaque */
    gate->disk.fdatasync = gated_fdatasync;
    gate->disk.opaque = gate;
}

static void gate_set(struct gate *gate, bool closed)
{
    pthread_mutex_lock(&gate->mutex);
    gate->closed = closed;
    pthread_cond_broadcast(&gate->moved);
    pthread_mutex_unlock(&gate->mutex);
}

/* Until the thread stands at the gate. */
static void gate_await(struct gate *gate)
{
    pthread_mutex_lock(&gate->mutex);
    while (!gate->waiting)
        pthread_cond_wait(&gate->moved, &gate->mutex);
    pthread_mutex_unlock(&gate->mutex);
}

struct scene {
    struct raw raw;
    struct gate gate;
    int fds[4];
};

static void scene_open(struct scene *scene)
{
    raw_init(&scene->raw);
    gate_init(&scene->gate);
    scene->raw.disk = &scene->gate.disk;
    scene->raw.place.options.flush = WEIR_BROKER_FLUSH_EVERY;
    raw_start(&scene->raw);
    assert_int_equal(broker_syncs_start(scene->raw.broker), WEIR_OK);
    for (int i = 0; i < 4; i++)
        scene->fds[i] = raw_connect(&scene->raw);
    raw_make_topic(&scene->raw, scene->fds[0], "t", 2);
    raw_make_topic(&scene->raw, scene->fds[0], "u", 1);
}

static void scene_close(struct scene *scene)
{
    for (int i = 0; i < 4; i++)
        raw_close(&scene->raw, scene->fds[i]);
    raw_release(&scene->raw);
}

/* The answer to a produce request, which comes by another thread. */
static int await_produced(struct scene *scene, struct call *call)
{
    int error;
    int64_t give_up_ms = now_ms() + WAIT_MS;
    while ((error = raw_take_produced(&scene->raw, call)) == -100 && now_ms() < give_up_ms) {
        uint32_t count;
        assert_int_equal(weir_loop_run_once(scene->raw.broker->loop, 10, &count, NULL), WEIR_OK);
    }
    return error;
}

/* ---- fetching -------------------------------------------------------------------------------- */

static void send_fetch(struct scene *scene, struct call *call, int fd, int8_t isolation,
                       int32_t wait_ms)
{
    call_begin(call, fd, WIRE_FETCH, 4);
    wire_put_i32(&call->writer, -1);
    wire_put_i32(&call->writer, wait_ms);
    wire_put_i32(&call->writer, 1);
    wire_put_i32(&call->writer, 1 << 20);
    wire_put_i8(&call->writer, isolation);
    wire_put_array(&call->writer, 1);
    wire_put_text(&call->writer, "t");
    wire_put_array(&call->writer, 1);
    wire_put_i32(&call->writer, 0);
    wire_put_i64(&call->writer, 0);
    wire_put_i32(&call->writer, 1 << 20);
    call_send(&scene->raw, call);
}

/* Gives the high watermark, and how many bytes of records came; -1: no answer yet. */
static int64_t take_fetched(struct scene *scene, struct call *call, size_t *bytes)
{
    if (!call_answered(&scene->raw, call))
        return -1;
    struct wire_reader *in = &call->reader;
    wire_i32(in);
    assert_int_equal(wire_array(in, 1), 1);
    wire_string(in);
    assert_int_equal(wire_array(in, 1), 1);
    wire_i32(in);
    assert_int_equal(wire_i16(in), WIRE_NONE);
    int64_t watermark = wire_i64(in);
    assert_int_equal(wire_i64(in), watermark); /* last stable offset */
    for (int32_t aborted = wire_array(in, 16); aborted > 0; aborted--)
        fail();
    *bytes = wire_bytes(in).bytes;
    return watermark;
}

static int64_t latest(struct scene *scene, int fd)
{
    struct call call;
    call_begin(&call, fd, WIRE_LIST_OFFSETS, 1);
    wire_put_i32(&call.writer, -1);
    wire_put_array(&call.writer, 1);
    wire_put_text(&call.writer, "t");
    wire_put_array(&call.writer, 1);
    wire_put_i32(&call.writer, 0);
    wire_put_i64(&call.writer, -1);
    call_now(&scene->raw, &call);
    assert_int_equal(wire_array(&call.reader, 1), 1);
    wire_string(&call.reader);
    assert_int_equal(wire_array(&call.reader, 1), 1);
    wire_i32(&call.reader);
    assert_int_equal(wire_i16(&call.reader), WIRE_NONE);
    wire_i64(&call.reader);
    int64_t offset = wire_i64(&call.reader);
    call_end(&call);
    return offset;
}

static void send_produce(struct scene *scene, struct call *call, int fd, const char *topic,
                         int32_t partition, int count)
{
    raw_begin_produce(&scene->raw, call, fd, topic, partition, count);
    call_send(&scene->raw, call);
}

/* ---- cases ----------------------------------------------------------------------------------- */

static void what_is_not_on_the_disk_is_neither_acknowledged_nor_seen(void **state)
{
    struct scene scene;
    struct call produce, fetches[2];
    size_t bytes;
    (void)state;
    scene_open(&scene);
    for (int8_t i = 0; i < 2; i++) /* READ_UNCOMMITTED and READ_COMMITTED, waiting */
        send_fetch(&scene, &fetches[i], scene.fds[1 + i], i, 1000000);
    gate_set(&scene.gate, true);
    send_produce(&scene, &produce, scene.fds[0], "t", 0, 10);
    gate_await(&scene.gate);
    assert_int_equal(raw_take_produced(&scene.raw, &produce), -100);
    assert_int_equal(latest(&scene, scene.fds[3]), 0);
    struct call early;
    send_fetch(&scene, &early, scene.fds[3], 0, 0);
    assert_int_equal(take_fetched(&scene, &early, &bytes), 0);
    assert_int_equal(bytes, 0);
    call_end(&early);
    for (int i = 0; i < 2; i++)
        assert_int_equal(take_fetched(&scene, &fetches[i], &bytes), -1);
    gate_set(&scene.gate, false);
    assert_int_equal(await_produced(&scene, &produce), WIRE_NONE);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(take_fetched(&scene, &fetches[i], &bytes), 10);
        assert_true(bytes > 1000);
        call_end(&fetches[i]);
    }
    assert_int_equal(latest(&scene, scene.fds[3]), 10);
    call_end(&produce);
    scene_close(&scene);
}

static void requests_that_come_during_a_sync_share_the_next(void **state)
{
    struct scene scene;
    struct call calls[4];
    (void)state;
    scene_open(&scene);
    gate_set(&scene.gate, true);
    send_produce(&scene, &calls[0], scene.fds[0], "t", 0, 1);
    gate_await(&scene.gate);
    for (int i = 1; i < 4; i++)
        send_produce(&scene, &calls[i], scene.fds[i], "t", 0, 1);
    raw_run(&scene.raw);
    gate_set(&scene.gate, false);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(await_produced(&scene, &calls[i]), WIRE_NONE);
        assert_int_equal(wire_i64(&calls[i].reader), i); /* its offset */
        call_end(&calls[i]);
    }
    assert_int_equal(atomic_load(&scene.raw.broker->stats.syncs), 2);
    scene_close(&scene);
}

static void a_failed_sync_is_told_to_all_that_wait_for_it_and_to_no_other(void **state)
{
    struct scene scene;
    struct call calls[3];
    (void)state;
    scene_open(&scene);
    send_produce(&scene, &calls[0], scene.fds[0], "t", 1, 1);
    assert_int_equal(await_produced(&scene, &calls[0]), WIRE_NONE);
    call_end(&calls[0]);
    gate_set(&scene.gate, true);
    send_produce(&scene, &calls[0], scene.fds[0], "t", 0, 1);
    gate_await(&scene.gate);
    send_produce(&scene, &calls[1], scene.fds[1], "t", 0, 1); /* would be synced next */
    scene.gate.error_number = EIO;
    gate_set(&scene.gate, false);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(await_produced(&scene, &calls[i]), WIRE_STORAGE_ERROR);
        assert_int_equal(wire_i64(&calls[i].reader), -1);
        call_end(&calls[i]);
    }
    scene.gate.error_number = 0;
    assert_int_equal(raw_try_produce(&scene.raw, scene.fds[0], "t", 0, 1), WIRE_STORAGE_ERROR);
    assert_int_equal(latest(&scene, scene.fds[3]), 0);
    send_produce(&scene, &calls[2], scene.fds[2], "t", 1, 1);
    assert_int_equal(await_produced(&scene, &calls[2]), WIRE_NONE);
    call_end(&calls[2]);
    assert_int_equal(atomic_load(&scene.raw.broker->stats.syncs_failed), 2);
    for (int i = 0; i < 4; i++)
        raw_close(&scene.raw, scene.fds[i]);
    assert_int_not_equal(broker_close(scene.raw.broker, NULL), WEIR_OK);
    scene.raw.broker = NULL;
    raw_release(&scene.raw);
}

static void who_goes_while_it_waits_is_forgotten(void **state)
{
    struct scene scene;
    struct call produce;
    (void)state;
    scene_open(&scene);
    gate_set(&scene.gate, true);
    send_produce(&scene, &produce, scene.fds[0], "t", 0, 1);
    gate_await(&scene.gate);
    raw_close(&scene.raw, scene.fds[0]);
    assert_null(scene.raw.broker->syncs.held);
    scene.fds[0] = raw_connect(&scene.raw);
    gate_set(&scene.gate, false);
    call_end(&produce);
    send_produce(&scene, &produce, scene.fds[0], "t", 0, 1);
    assert_int_equal(await_produced(&scene, &produce), WIRE_NONE);
    call_end(&produce);
    scene_close(&scene);
}

static void a_topic_that_is_deleted_meanwhile_answers_so(void **state)
{
    struct scene scene;
    struct call first, second, delete;
    (void)state;
    scene_open(&scene);
    gate_set(&scene.gate, true);
    send_produce(&scene, &first, scene.fds[0], "t", 0, 1);
    gate_await(&scene.gate);
    send_produce(&scene, &second, scene.fds[1], "u", 0, 1); /* asked, not yet begun */
    call_begin(&delete, scene.fds[2], WIRE_DELETE_TOPICS, 0);
    wire_put_array(&delete.writer, 1);
    wire_put_text(&delete.writer, "u");
    wire_put_i32(&delete.writer, 1000);
    call_now(&scene.raw, &delete);
    call_end(&delete);
    assert_int_equal(raw_take_produced(&scene.raw, &second), WIRE_UNKNOWN_TOPIC_OR_PARTITION);
    gate_set(&scene.gate, false);
    assert_int_equal(await_produced(&scene, &first), WIRE_NONE);
    call_end(&first);
    call_end(&second);
    scene_close(&scene);
}

static void partitions_that_move_in_memory_are_still_found(void **state)
{
    struct scene scene;
    struct call produce, grow;
    (void)state;
    scene_open(&scene);
    gate_set(&scene.gate, true);
    send_produce(&scene, &produce, scene.fds[0], "t", 0, 1);
    gate_await(&scene.gate);
    call_begin(&grow, scene.fds[1], WIRE_CREATE_PARTITIONS, 0);
    wire_put_array(&grow.writer, 1);
    wire_put_text(&grow.writer, "t");
    wire_put_i32(&grow.writer, 200);
    wire_put_array(&grow.writer, -1);
    wire_put_i32(&grow.writer, 1000);
    wire_put_i8(&grow.writer, 0);
    call_now(&scene.raw, &grow);
    call_end(&grow);
    gate_set(&scene.gate, false);
    assert_int_equal(await_produced(&scene, &produce), WIRE_NONE);
    call_end(&produce);
    scene_close(&scene);
}

/* Every allocation on the way fails in turn: an answer, or a closed connection, never a lie. */
static void memory_may_run_out_while_an_answer_waits(void **state)
{
    bool failed = true;
    (void)state;
    for (uint64_t n = 1; failed; n++) {
        struct raw raw;
        raw_init(&raw);
        raw.place.options.flush = WEIR_BROKER_FLUSH_EVERY;
        raw_start(&raw);
        int fd = raw_connect(&raw);
        raw_make_topic(&raw, fd, "t", 1);
        raw_produce(&raw, fd, "t", 0, 1);
        struct call produce;
        raw_begin_produce(&raw, &produce, fd, "t", 0, 1);
        weir_alloc_watch_start(n);
        call_send(&raw, &produce);
        failed = weir_alloc_watch_stop().failed > 0;
        int error = raw_take_produced(&raw, &produce);
        call_end(&produce);
        if (error == -100)
            assert_true(raw_is_closed(&raw, fd));
        raw_close(&raw, fd);
        raw_release(&raw);
        if (n > 200)
            fail();
    }
}

/* ---- recovery points ------------------------------------------------------------------------- */

static int64_t flushed(struct raw *raw, const char *topic)
{
    const struct partition *partition =
        broker_partition_find(raw->broker, weir_slice(topic, strlen(topic)), 0);
    assert_non_null(partition);
    return weir_plog_offset_flushed(partition->log);
}

/* As kill -9 does: nothing more is written. */
static void crash(struct raw *raw, struct weir_disk_faulty *faulty)
{
    faulty->mask = WEIR_DISK_ANY & ~(unsigned)WEIR_DISK_LIST;
    faulty->broken_for_good = true;
    faulty->fail_at = faulty->calls + 1;
    assert_int_not_equal(broker_close(raw->broker, NULL), WEIR_OK);
    raw->disk = weir_disk_real();
    raw_start(raw);
}

static void recovery_points_are_kept_now_and_then(void **state)
{
    struct weir_disk_faulty faulty;
    struct raw raw;
    (void)state;
    raw_init(&raw);
    weir_disk_faulty_init(&faulty, NULL);
    raw.disk = &faulty.disk;
    raw_start(&raw);
    int fd = raw_connect(&raw);
    raw_make_topic(&raw, fd, "t", 1);
    raw_produce(&raw, fd, "t", 0, 10);
    assert_int_equal(flushed(&raw, "t"), 0);
    for (int second = 0; second < 120; second++)
        raw_pass(&raw, 1000);
    assert_int_equal(flushed(&raw, "t"), 10);
    raw_produce(&raw, fd, "t", 0, 5);
    raw_make_topic(&raw, fd, "young", 1);
    raw_produce(&raw, fd, "young", 0, 3);
    close(fd);
    crash(&raw, &faulty);
    /* All that was acknowledged is there; the page cache had it. */
    const struct partition *partition = broker_partition_find(raw.broker, weir_slice("t", 1), 0);
    assert_int_equal(weir_plog_offset_next(partition->log), 15);
    /* The first round of syncs follows the open. */
    assert_int_equal(flushed(&raw, "t"), 10);
    assert_int_equal(flushed(&raw, "young"), 0);
    raw_run(&raw);
    assert_int_equal(flushed(&raw, "t"), 15);
    assert_int_equal(flushed(&raw, "young"), 3);
    raw_release(&raw);
}

static void a_topic_made_again_has_no_recovery_point(void **state)
{
    struct weir_disk_faulty faulty;
    struct raw raw;
    struct call delete;
    (void)state;
    raw_init(&raw);
    weir_disk_faulty_init(&faulty, NULL);
    raw.disk = &faulty.disk;
    raw_start(&raw);
    int fd = raw_connect(&raw);
    raw_make_topic(&raw, fd, "t", 1);
    raw_produce(&raw, fd, "t", 0, 10);
    for (int second = 0; second < 120; second++)
        raw_pass(&raw, 1000);
    call_begin(&delete, fd, WIRE_DELETE_TOPICS, 0);
    wire_put_array(&delete.writer, 1);
    wire_put_text(&delete.writer, "t");
    wire_put_i32(&delete.writer, 1000);
    call_now(&raw, &delete);
    call_end(&delete);
    raw_make_topic(&raw, fd, "t", 1);
    raw_produce(&raw, fd, "t", 0, 20);
    close(fd);
    crash(&raw, &faulty);
    assert_int_equal(flushed(&raw, "t"), 0);
    raw_release(&raw);
}

static void an_interval_syncs_every_second(void **state)
{
    struct raw raw;
    (void)state;
    raw_init(&raw);
    raw.place.options.flush = WEIR_BROKER_FLUSH_INTERVAL;
    raw_start(&raw);
    int fd = raw_connect(&raw);
    raw_make_topic(&raw, fd, "t", 1);
    raw_produce(&raw, fd, "t", 0, 10);
    assert_int_equal(flushed(&raw, "t"), 0);
    raw_pass(&raw, 1000);
    assert_int_equal(flushed(&raw, "t"), 10);
    raw_close(&raw, fd);
    raw_release(&raw);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_on_the_disk_is_neither_acknowledged_nor_seen),
        cmocka_unit_test(requests_that_come_during_a_sync_share_the_next),
        cmocka_unit_test(a_failed_sync_is_told_to_all_that_wait_for_it_and_to_no_other),
        cmocka_unit_test(who_goes_while_it_waits_is_forgotten),
        cmocka_unit_test(a_topic_that_is_deleted_meanwhile_answers_so),
        cmocka_unit_test(partitions_that_move_in_memory_are_still_found),
        cmocka_unit_test(memory_may_run_out_while_an_answer_waits),
        cmocka_unit_test(recovery_points_are_kept_now_and_then),
        cmocka_unit_test(a_topic_made_again_has_no_recovery_point),
        cmocka_unit_test(an_interval_syncs_every_second),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
