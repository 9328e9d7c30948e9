/*
 * The power goes under a broker that syncs every batch: all that it has acknowledged is there
 * afterwards, once and where it was, whatever the disk made of the rest.
 */
#include "raw.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "base/disk_memory.h"
#include "base/random.h"

enum { SEEDS = 100, LIVES = 8, STEPS = 60, TOPICS = 3, PARTITIONS = 2, OFFSETS_MAX = 4096 };

/* What was acknowledged. */
struct known_partition {
    int64_t end;                 /* behind the last record */
    int64_t first;               /* after DeleteRecords */
    int64_t stamps[OFFSETS_MAX]; /* of the batch with that base offset; 0 = no base */
    int64_t committed;           /* by the group; -1 = never */
};

struct known_topic {
    bool exists, unsure; /* unsure: its creation or deletion was not answered */
    struct known_partition partitions[PARTITIONS];
};

struct world {
    struct raw raw;
    struct weir_disk_memory *memory;
    struct weir_disk_faulty faulty;
    struct weir_random random;
    struct known_topic topics[TOPICS];
    int fd;
    uint64_t batches; /* acknowledged */
};

static const char *const names[TOPICS] = {"t0", "t1", "t2"};

static void forget_topic(struct known_topic *topic)
{
    memset(topic, 0, sizeof *topic);
    for (int i = 0; i < PARTITIONS; i++)
        topic->partitions[i].committed = -1;
}

/* ---- steps; each gives false when no answer came --------------------------------------------- */

static bool create(struct world *world, int topic)
{
    struct call call;
    call_begin(&call, world->fd, WIRE_CREATE_TOPICS, 0);
    wire_put_array(&call.writer, 1);
    wire_put_text(&call.writer, names[topic]);
    wire_put_i32(&call.writer, PARTITIONS);
    wire_put_i16(&call.writer, 1);
    wire_put_array(&call.writer, 0);
    wire_put_array(&call.writer, 1);
    wire_put_text(&call.writer, "segment.bytes");
    wire_put_text(&call.writer, "2000");
    wire_put_i32(&call.writer, 1000);
    call_send(&world->raw, &call);
    bool answered = call_answered(&world->raw, &call);
    bool ok = false;
    if (answered) {
        wire_array(&call.reader, 1);
        wire_string(&call.reader);
        ok = wire_i16(&call.reader) == WIRE_NONE;
    }
    call_end(&call);
    forget_topic(&world->topics[topic]);
    world->topics[topic].exists = ok;
    world->topics[topic].unsure = !ok;
    return answered;
}

static bool delete (struct world *world, int topic)
{
    struct call call;
    call_begin(&call, world->fd, WIRE_DELETE_TOPICS, 0);
    wire_put_array(&call.writer, 1);
    wire_put_text(&call.writer, names[topic]);
    wire_put_i32(&call.writer, 1000);
    call_send(&world->raw, &call);
    bool answered = call_answered(&world->raw, &call);
    bool ok = false;
    if (answered) {
        wire_array(&call.reader, 1);
        wire_string(&call.reader);
        ok = wire_i16(&call.reader) == WIRE_NONE;
    }
    call_end(&call);
    forget_topic(&world->topics[topic]);
    world->topics[topic].unsure = !ok;
    return answered;
}

static bool produce(struct world *world, int topic, int partition)
{
    struct known_partition *known = &world->topics[topic].partitions[partition];
    int count = 1 + (int)weir_random_below(&world->random, 5);
    weir_clock_virtual_advance_ms(&world->raw.clock, 10); /* a stamp of its own */
    int64_t stamp = weir_clock_wall_ms(&world->raw.clock.clock);
    struct call call;
    raw_begin_produce(&world->raw, &call, world->fd, names[topic], partition, count);
    call_send(&world->raw, &call);
    int error = raw_take_produced(&world->raw, &call);
    if (error == WIRE_NONE) {
        int64_t base = wire_i64(&call.reader);
        assert_true(base >= known->end); /* never given out twice */
        assert_true(base + count < OFFSETS_MAX);
        known->stamps[base] = stamp;
        known->end = base + count;
        world->batches++;
    }
    call_end(&call);
    return error != -100;
}

static bool commit(struct world *world, int topic, int partition)
{
    struct known_partition *known = &world->topics[topic].partitions[partition];
    int64_t offset = known->committed + 1 + (int64_t)weir_random_below(&world->random, 10);
    struct call call;
    call_begin(&call, world->fd, WIRE_OFFSET_COMMIT, 2);
    struct wire_writer *w = &call.writer;
    wire_put_text(w, "group");
    wire_put_i32(w, -1);
    wire_put_text(w, "");
    wire_put_i64(w, -1);
    wire_put_array(w, 1);
    wire_put_text(w, names[topic]);
    wire_put_array(w, 1);
    wire_put_i32(w, partition);
    wire_put_i64(w, offset);
    wire_put_text(w, "meta");
    call_send(&world->raw, &call);
    bool answered = call_answered(&world->raw, &call);
    if (answered) {
        wire_array(&call.reader, 1);
        wire_string(&call.reader);
        wire_array(&call.reader, 1);
        wire_i32(&call.reader);
        if (wire_i16(&call.reader) == WIRE_NONE)
            known->committed = offset;
    }
    call_end(&call);
    return answered;
}

static bool trim(struct world *world, int topic, int partition)
{
    struct known_partition *known = &world->topics[topic].partitions[partition];
    int64_t offset = known->first + (int64_t)weir_random_below(
                                        &world->random, (uint32_t)(known->end - known->first) + 1);
    struct call call;
    call_begin(&call, world->fd, WIRE_DELETE_RECORDS, 0);
    wire_put_array(&call.writer, 1);
    wire_put_text(&call.writer, names[topic]);
    wire_put_array(&call.writer, 1);
    wire_put_i32(&call.writer, partition);
    wire_put_i64(&call.writer, offset);
    wire_put_i32(&call.writer, 1000);
    call_send(&world->raw, &call);
    bool answered = call_answered(&world->raw, &call);
    if (answered) {
        wire_i32(&call.reader);
        wire_array(&call.reader, 1);
        wire_string(&call.reader);
        wire_array(&call.reader, 1);
        wire_i32(&call.reader);
        wire_i64(&call.reader);
        if (wire_i16(&call.reader) == WIRE_NONE)
            known->first = offset;
    }
    call_end(&call);
    return answered;
}

static bool step(struct world *world)
{
    int topic = (int)weir_random_below(&world->random, TOPICS);
    int partition = (int)weir_random_below(&world->random, PARTITIONS);
    uint32_t way = weir_random_below(&world->random, 20);
    if (!world->topics[topic].exists)
        return create(world, topic);
    if (way == 0)
        return delete (world, topic);
    if (way == 1)
        return trim(world, topic, partition);
    if (way == 2) {
        raw_pass(&world->raw, 60000);
        return true;
    }
    if (way < 6)
        return commit(world, topic, partition);
    return produce(world, topic, partition);
}

/* ---- afterwards ------------------------------------------------------------------------------ */

/* Batches in order, whole, and every acknowledged one among them. */
static void check_records(struct partition *partition, const struct known_partition *known)
{
    struct weir_buffer bytes;
    int64_t offset = weir_plog_offset_first(partition->log);
    int64_t next = weir_plog_offset_next(partition->log);
    assert_true(next >= known->end);
    assert_true(offset >= known->first);
    weir_buffer_init(&bytes, 64 << 20);
    if (offset < next)
        assert_int_equal(weir_plog_read(partition->log, offset, -1, 64 << 20, true, &bytes, NULL),
                         WEIR_OK);
    for (size_t at = 0; at < bytes.bytes;) {
        struct wire_reader head = wire_reader(weir_slice(bytes.data + at, bytes.bytes - at), false);
        int64_t base = wire_i64(&head);
        size_t length = (size_t)wire_i32(&head) + 12;
        wire_i32(&head);
        wire_i8(&head);
        uint32_t crc = (uint32_t)wire_i32(&head);
        wire_i16(&head);
        int32_t delta = wire_i32(&head);
        int64_t stamp = wire_i64(&head);
        assert_true(!head.failed && at + length <= bytes.bytes);
        assert_int_equal(weir_crc32c(0, bytes.data + at + 21, length - 21), crc);
        assert_true(at == 0 ? base <= offset : base == offset); /* no holes */
        if (base < known->end && known->stamps[base])
            assert_int_equal(stamp, known->stamps[base]);
        offset = base + delta + 1;
        at += length;
    }
    assert_int_equal(offset, next);
    weir_buffer_release(&bytes);
}

static void check_topic(struct world *world, int number)
{
    struct known_topic *known = &world->topics[number];
    struct weir_slice name = weir_slice(names[number], strlen(names[number]));
    struct topic *topic = broker_topic_find(world->raw.broker, name);
    if (known->unsure) {
        known->unsure = false;
        known->exists = topic != NULL;
    }
    assert_int_equal(topic != NULL, known->exists);
    if (!topic)
        return;
    assert_int_equal(topic->partition_count, PARTITIONS);
    const struct group *group = broker_group_find(world->raw.broker, weir_slice("group", 5));
    for (int i = 0; i < PARTITIONS; i++) {
        struct known_partition *partition = &known->partitions[i];
        const struct committed *committed = group ? broker_group_committed(group, name, i) : NULL;
        check_records(&topic->partitions[i], partition);
        assert_true((committed ? committed->offset : -1) >= partition->committed);
        /* What was not acknowledged and is there nevertheless counts from now on. */
        partition->end = weir_plog_offset_next(topic->partitions[i].log);
        partition->first = weir_plog_offset_first(topic->partitions[i].log);
        partition->committed = committed ? committed->offset : -1;
    }
}

static void live(struct world *world)
{
    weir_disk_faulty_init(&world->faulty, weir_disk_memory_disk(world->memory));
    world->raw.disk = &world->faulty.disk;
    raw_start(&world->raw);
    for (int topic = 0; topic < TOPICS; topic++)
        check_topic(world, topic);
    world->fd = raw_connect(&world->raw);
    /* The power may go between two calls of the disk, or while nothing happens. */
    world->faulty.mask = WEIR_DISK_ANY & ~(unsigned)(WEIR_DISK_LIST | WEIR_DISK_READ);
    world->faulty.broken_for_good = true;
    world->faulty.write_bytes = weir_random_below(&world->random, 200);
    world->faulty.fail_at = world->faulty.calls + 1 + weir_random_below(&world->random, 600);
    int steps = 1 + (int)weir_random_below(&world->random, STEPS);
    for (int i = 0; i < steps && !world->faulty.failed && step(world); i++) {
    }
    world->faulty.fail_at = world->faulty.calls + 1;
    raw_close(&world->raw, world->fd);
    (void)broker_close(world->raw.broker, NULL);
    world->raw.broker = NULL;
    assert_int_equal(weir_disk_memory_cut(world->memory, weir_random_next(&world->random)),
                     WEIR_OK);
}

/* Of the world that is being played, for whoever looks into a failure. */
static uint64_t last_seed;

static void tell_seed(void)
{
    print_message("WEIR_SEED=%llu was the last world\n", (unsigned long long)last_seed);
}

static void what_was_acknowledged_outlives_the_power(void **state)
{
    const char *given = getenv("WEIR_SEED");
    uint64_t batches = 0, first = given ? strtoull(given, NULL, 0) : (uint64_t)now_ms() << 8;
    (void)state;
    for (uint64_t seed = first; seed < first + (given ? 1 : SEEDS); seed++) {
        struct world *world = calloc(1, sizeof *world);
        assert_non_null(world);
        last_seed = seed;
        world->random.state = seed;
        raw_init(&world->raw);
        world->raw.place.options.data_dir = "/data";
        world->raw.place.options.flush = WEIR_BROKER_FLUSH_EVERY;
        assert_int_equal(weir_disk_memory_new(256 << 20, true, &world->memory), WEIR_OK);
        for (int i = 0; i < TOPICS; i++)
            forget_topic(&world->topics[i]);
        for (int i = 0; i < LIVES; i++)
            live(world);
        weir_disk_memory_free(world->memory);
        raw_release(&world->raw);
        batches += world->batches;
        free(world);
    }
    print_message("%llu batches acknowledged\n", (unsigned long long)batches);
    assert_true(given || batches > SEEDS * LIVES);
}

int main(void)
{
    atexit(tell_seed);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_acknowledged_outlives_the_power),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
