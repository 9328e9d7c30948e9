/* Disks that fail and memory that runs out: what was acknowledged stays, the broker lives. */
#include "raw.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/alloc.h"

/* The offset behind the last record. */
static int64_t end_of(struct raw *raw, const char *topic, int32_t partition)
{
    struct partition *found =
        broker_partition_find(raw->broker, weir_slice(topic, strlen(topic)), partition);
    assert_non_null(found);
    return weir_plog_offset_next(found->log);
}

static void a_full_disk_is_told_and_nothing_acknowledged_is_lost(void **state)
{
    struct weir_disk_faulty faulty;
    struct raw raw;
    (void)state;
    raw_init(&raw);
    weir_disk_faulty_init(&faulty, NULL);
    raw.disk = &faulty.disk;
    raw_start(&raw);
    int fd = raw_connect(&raw);
    raw_make_topic(&raw, fd, "t", 2);
    raw_produce(&raw, fd, "t", 0, 10);
    raw_produce(&raw, fd, "t", 1, 10);
    faulty.mask = WEIR_DISK_WRITE;
    faulty.error_number = ENOSPC;
    faulty.write_bytes = 100; /* torn */
    faulty.broken_for_good = true;
    faulty.fail_at = faulty.calls + 1;
    assert_int_equal(raw_try_produce(&raw, fd, "t", 0, 10), WIRE_STORAGE_ERROR);
    faulty.fail_at = 0;
    faulty.broken_for_good = false;
    assert_int_equal(end_of(&raw, "t", 0), 10);
    raw_produce(&raw, fd, "t", 1, 10); /* another partition is not concerned */
    raw_close(&raw, fd);
    assert_int_not_equal(broker_close(raw.broker, NULL), WEIR_INTERNAL);
    raw.disk = weir_disk_real();
    raw_start(&raw);
    assert_int_equal(end_of(&raw, "t", 0), 10);
    assert_int_equal(end_of(&raw, "t", 1), 20);
    fd = raw_connect(&raw);
    raw_produce(&raw, fd, "t", 0, 10);
    raw_close(&raw, fd);
    raw_release(&raw);
}

static void delete_records(struct raw *raw, int fd, const char *topic, int64_t offset)
{
    struct call call;
    call_begin(&call, fd, WIRE_DELETE_RECORDS, 0);
    wire_put_array(&call.writer, 1);
    wire_put_text(&call.writer, topic);
    wire_put_array(&call.writer, 1);
    wire_put_i32(&call.writer, 0);
    wire_put_i64(&call.writer, offset);
    wire_put_i32(&call.writer, 1000);
    call_now(raw, &call);
    call_end(&call);
}

static void delete_topic(struct raw *raw, int fd, const char *topic)
{
    struct call call;
    call_begin(&call, fd, WIRE_DELETE_TOPICS, 0);
    wire_put_array(&call.writer, 1);
    wire_put_text(&call.writer, topic);
    wire_put_i32(&call.writer, 1000);
    call_now(raw, &call);
    call_end(&call);
}

/* Where the first topic began is forgotten with it, also when the broker dies soon after. */
static void a_topic_made_again_begins_at_its_beginning_after_a_crash(void **state)
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
    delete_records(&raw, fd, "t", 10);
    delete_topic(&raw, fd, "t");
    raw_make_topic(&raw, fd, "t", 1);
    raw_produce(&raw, fd, "t", 0, 3);
    faulty.mask = WEIR_DISK_ANY & ~(unsigned)WEIR_DISK_LIST;
    faulty.broken_for_good = true; /* the crash: nothing is written any more */
    faulty.fail_at = faulty.calls + 1;
    raw_close(&raw, fd);
    assert_int_not_equal(broker_close(raw.broker, NULL), WEIR_OK);
    raw.disk = weir_disk_real();
    raw_start(&raw);
    const struct partition *partition = broker_partition_find(raw.broker, weir_slice("t", 1), 0);
    assert_int_equal(weir_plog_offset_first(partition->log), 0);
    assert_int_equal(weir_plog_offset_next(partition->log), 3);
    raw_release(&raw);
}

static void a_failed_sync_is_told_when_every_batch_is_synced(void **state)
{
    struct weir_disk_faulty faulty;
    struct raw raw;
    (void)state;
    raw_init(&raw);
    weir_disk_faulty_init(&faulty, NULL);
    raw.disk = &faulty.disk;
    raw.place.options.flush = WEIR_BROKER_FLUSH_EVERY;
    raw_start(&raw);
    int fd = raw_connect(&raw);
    raw_make_topic(&raw, fd, "t", 1);
    uint64_t before = faulty.calls;
    faulty.mask = WEIR_DISK_SYNC;
    raw_produce(&raw, fd, "t", 0, 10);
    assert_true(faulty.calls > before);
    faulty.fail_at = faulty.calls + 1;
    assert_int_equal(raw_try_produce(&raw, fd, "t", 0, 10), WIRE_STORAGE_ERROR);
    /* It never pretends: what the disk holds is not known any more. */
    assert_int_equal(raw_try_produce(&raw, fd, "t", 0, 10), WIRE_STORAGE_ERROR);
    raw_close(&raw, fd);
    broker_close(raw.broker, NULL);
    raw.broker = NULL;
    raw_release(&raw);
}

/* Starts and uses a broker while the n-th call of the disk fails, for every n. */
static void every_call_of_the_disk_may_fail(void **state)
{
    struct weir_disk_faulty faulty;
    struct raw raw;
    int64_t acknowledged = 0;
    (void)state;
    raw_init(&raw);
    weir_disk_faulty_init(&faulty, NULL);
    raw_start(&raw);
    int fd = raw_connect(&raw);
    raw_make_topic(&raw, fd, "t", 1);
    raw_close(&raw, fd);
    raw_stop(&raw);
    uint64_t n = 1;
    for (bool failed = true; failed; n++) {
        struct weir_error error = {.code = WEIR_OK};
        uint64_t before = faulty.failed;
        faulty.fail_at = faulty.calls + n;
        enum weir_err err =
            broker_open(&raw.place.options, &faulty.disk, &raw.clock.clock, &raw.broker, &error);
        if (err == WEIR_OK) {
            fd = raw_connect(&raw);
            int produced = raw_try_produce(&raw, fd, "t", 0, 1);
            acknowledged += produced == WIRE_NONE;
            raw_pass(&raw, 1000);
            raw_close(&raw, fd);
            broker_close(raw.broker, NULL);
        } else {
            assert_true(strlen(error.message) > 0);
        }
        failed = faulty.failed > before;
        faulty.fail_at = 0;
        raw_start(&raw); /* on a disk that works */
        assert_true(end_of(&raw, "t", 0) >= acknowledged);
        raw_stop(&raw);
    }
    print_message("%llu calls\n", (unsigned long long)n - 2);
    assert_true(n > 20);
    raw.broker = NULL;
    raw_release(&raw);
}

static void put_join(struct call *call, const struct raw *raw)
{
    struct wire_writer *w = &call->writer;
    (void)raw;
    wire_put_text(w, "g");
    wire_put_i32(w, 10000);
    wire_put_i32(w, 10000);
    wire_put_text(w, "");
    wire_put_text(w, "consumer");
    wire_put_array(w, 2);
    for (int i = 0; i < 2; i++) {
        wire_put_text(w, i ? "sticky" : "range");
        wire_put_bytes(w, weir_slice("meta", 4));
    }
}

static void put_commit(struct call *call, const struct raw *raw)
{
    struct wire_writer *w = &call->writer;
    (void)raw;
    wire_put_text(w, "another");
    wire_put_i32(w, -1);
    wire_put_text(w, "");
    wire_put_i64(w, -1);
    wire_put_array(w, 1);
    wire_put_text(w, "t");
    wire_put_array(w, 1);
    wire_put_i32(w, 0);
    wire_put_i64(w, 7);
    wire_put_text(w, "meta");
}

static void put_fetch(struct call *call, const struct raw *raw)
{
    struct wire_writer *w = &call->writer;
    (void)raw;
    wire_put_i32(w, -1);
    wire_put_i32(w, 100000);
    wire_put_i32(w, 1 << 20);
    wire_put_i32(w, 50 << 20);
    wire_put_i8(w, 0);
    wire_put_array(w, 1);
    wire_put_text(w, "t");
    wire_put_array(w, 1);
    wire_put_i32(w, 0);
    wire_put_i64(w, 0);
    wire_put_i32(w, 50 << 20);
}

static void put_metadata(struct call *call, const struct raw *raw)
{
    char name[32]; /* a new topic each time */
    snprintf(name, sizeof name, "new-%lld",
             (long long)atomic_load(&raw->broker->stats.connections_opened));
    wire_put_array(&call->writer, 1);
    wire_put_text(&call->writer, name);
    wire_put_bool(&call->writer, true);
}

static void put_creation(struct call *call, const struct raw *raw)
{
    char name[32];
    snprintf(name, sizeof name, "made-%lld",
             (long long)atomic_load(&raw->broker->stats.connections_opened));
    wire_put_array(&call->writer, 1);
    wire_put_text(&call->writer, name);
    wire_put_i32(&call->writer, 3);
    wire_put_i16(&call->writer, 1);
    wire_put_array(&call->writer, 0);
    wire_put_array(&call->writer, 1);
    wire_put_text(&call->writer, "retention.ms");
    wire_put_text(&call->writer, "1000");
    wire_put_i32(&call->writer, 1000);
}

static void put_static_join(struct call *call, const struct raw *raw)
{
    struct wire_writer *w = &call->writer;
    (void)raw;
    wire_put_text(w, "s");
    wire_put_i32(w, 1800000);
    wire_put_i32(w, 10000);
    wire_put_text(w, "");
    wire_put_text(w, "instance");
    wire_put_text(w, "consumer");
    wire_put_array(w, 1);
    wire_put_text(w, "range");
    wire_put_bytes(w, weir_slice("meta", 4));
    wire_put_tags(w);
    wire_put_text(w, NULL);
    wire_put_tags(w);
}

static void put_fetch_by_id(struct call *call, const struct raw *raw)
{
    struct wire_writer *w = &call->writer;
    wire_put_i32(w, 100000);
    wire_put_i32(w, 1 << 20);
    wire_put_i32(w, 50 << 20);
    wire_put_i8(w, 0);
    wire_put_i32(w, 0);
    wire_put_i32(w, -1);
    wire_put_array(w, 1);
    wire_put_uuid(w, broker_topic_find(raw->broker, weir_slice("t", 1))->id);
    wire_put_array(w, 1);
    wire_put_i32(w, 0);
    wire_put_i32(w, 0);
    wire_put_i64(w, 0);
    wire_put_i32(w, -1);
    wire_put_i64(w, -1);
    wire_put_i32(w, 50 << 20);
    wire_put_tags(w);
    wire_put_tags(w);
    wire_put_array(w, 0);
    wire_put_text(w, "");
    wire_put_tags(w);
}

static void put_offset_delete(struct call *call, const struct raw *raw)
{
    (void)raw;
    wire_put_text(&call->writer, "another");
    wire_put_array(&call->writer, 1);
    wire_put_text(&call->writer, "t");
    wire_put_array(&call->writer, 1);
    wire_put_i32(&call->writer, 0);
}

static void put_alteration(struct call *call, const struct raw *raw)
{
    struct wire_writer *w = &call->writer;
    (void)raw;
    wire_put_array(w, 1);
    wire_put_i8(w, 2);
    wire_put_text(w, "t");
    wire_put_array(w, 2);
    wire_put_text(w, "cleanup.policy");
    wire_put_i8(w, 2);
    wire_put_text(w, "delete");
    wire_put_tags(w);
    wire_put_text(w, "retention.ms");
    wire_put_i8(w, 0);
    wire_put_text(w, "-1");
    wire_put_tags(w);
    wire_put_tags(w);
    wire_put_bool(w, false);
    wire_put_tags(w);
}

/* One request on a connection of its own while the n-th allocation of the broker fails, for every
 * n; the client's buffers are made before the watch begins. */
static void fail_every_allocation(struct raw *raw, enum wire_api_key key, int16_t version,
                                  void (*put)(struct call *call, const struct raw *raw))
{
    uint64_t n = 1;
    for (bool failed = true; failed; n++) {
        struct call call;
        int fd = raw_connect(raw);
        call_begin(&call, fd, key, version);
        put(&call, raw);
        wire_fill_i32(&call.writer, 0, (int32_t)call.out.bytes - 4);
        assert_int_equal(send(fd, call.out.data, call.out.bytes, MSG_NOSIGNAL), call.out.bytes);
        weir_alloc_watch_start(n);
        raw_run(raw);
        failed = weir_alloc_watch_stop().failed > 0;
        call_end(&call);
        raw_close(raw, fd);
        raw_pass(raw, 60000); /* members whose client is gone go, too */
    }
    print_message("%s: %llu allocations\n", wire_api_find((int16_t)key)->name,
                  (unsigned long long)n - 2);
}

static void every_allocation_may_fail(void **state)
{
    struct raw raw;
    uint64_t n = 1;
    (void)state;
    raw_init(&raw);
    raw_start(&raw);
    int fd = raw_connect(&raw);
    raw_make_topic(&raw, fd, "t", 1);
    raw_close(&raw, fd);
    raw_stop(&raw);
    for (bool failed = true; failed; n++) {
        struct weir_error error = {.code = WEIR_OK};
        weir_alloc_watch_start(n);
        enum weir_err err =
            broker_open(&raw.place.options, raw.disk, &raw.clock.clock, &raw.broker, &error);
        failed = weir_alloc_watch_stop().failed > 0;
        if (err == WEIR_OK)
            broker_close(raw.broker, NULL);
        else
            assert_true(strlen(error.message) > 0);
    }
    print_message("start: %llu allocations\n", (unsigned long long)n - 2);
    raw_start(&raw);
    fail_every_allocation(&raw, WIRE_METADATA, 4, put_metadata);
    fail_every_allocation(&raw, WIRE_CREATE_TOPICS, 0, put_creation);
    fail_every_allocation(&raw, WIRE_JOIN_GROUP, 3, put_join);
    fail_every_allocation(&raw, WIRE_OFFSET_COMMIT, 2, put_commit);
    fail_every_allocation(&raw, WIRE_OFFSET_DELETE, 0, put_offset_delete);
    fail_every_allocation(&raw, WIRE_JOIN_GROUP, 9, put_static_join);
    fail_every_allocation(&raw, WIRE_FETCH, 4, put_fetch);
    fail_every_allocation(&raw, WIRE_FETCH, 17, put_fetch_by_id);
    fail_every_allocation(&raw, WIRE_INCREMENTAL_ALTER_CONFIGS, 1, put_alteration);
    fd = raw_connect(&raw);
    raw_produce(&raw, fd, "t", 0, 1);
    raw_close(&raw, fd);
    raw_release(&raw);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_disk_is_told_and_nothing_acknowledged_is_lost),
        cmocka_unit_test(a_topic_made_again_begins_at_its_beginning_after_a_crash),
        cmocka_unit_test(a_failed_sync_is_told_when_every_batch_is_synced),
        cmocka_unit_test(every_call_of_the_disk_may_fail),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
