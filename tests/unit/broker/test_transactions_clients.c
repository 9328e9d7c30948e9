/* Transactions as librdkafka has them: all or nothing, once, also over kill -9 of the broker. */
#include "place.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PARTITIONS = 2, VALUES_MAX = 20000 };

/* ---- small things ---------------------------------------------------------------------------- */

static int code_of(rd_kafka_error_t *error)
{
    int code = error ? rd_kafka_error_code(error) : 0;
    if (error)
        rd_kafka_error_destroy(error);
    return code;
}

static rd_kafka_t *transactional(const char *address, const char *id)
{
    rd_kafka_t *producer = rd_producer(address, "transactional.id", id, NULL);
    assert_int_equal(code_of(rd_kafka_init_transactions(producer, WAIT_MS)), 0);
    return producer;
}

static bool try_put(rd_kafka_t *producer, const char *topic, int32_t partition, int value)
{
    char text[16];
    snprintf(text, sizeof text, "%d", value);
    return rd_kafka_producev(producer, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(partition),
                             RD_KAFKA_V_VALUE(text, strlen(text)),
                             RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END) == 0;
}

static void put(rd_kafka_t *producer, const char *topic, int32_t partition, int value)
{
    assert_true(try_put(producer, topic, partition, value));
}

static int value_of(const rd_kafka_message_t *message)
{
    char text[16] = "", *end;
    assert_true(message->len > 0 && message->len < sizeof text);
    memcpy(text, message->payload, message->len);
    long value = strtol(text, &end, 10);
    assert_true(*end == '\0' && value >= 0 && value < VALUES_MAX);
    return (int)value;
}

/* How often each value stands in the topic, for a reader of committed records (or of all). */
static int count_values(const char *address, const char *topic, bool committed,
                        uint8_t counts[VALUES_MAX])
{
    rd_kafka_t *consumer = rd_consumer(address, "counting", "isolation.level",
                                       committed ? "read_committed" : "read_uncommitted",
                                       "enable.partition.eof", "true", NULL);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(PARTITIONS);
    int64_t end_ms = now_ms() + WAIT_MS;
    int ended = 0, total = 0;
    memset(counts, 0, VALUES_MAX);
    for (int32_t p = 0; p < PARTITIONS; p++)
        rd_kafka_topic_partition_list_add(list, topic, p)->offset = 0;
    assert_int_equal(rd_kafka_assign(consumer, list), 0);
    while (ended < PARTITIONS) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(consumer, 100);
        assert_true(now_ms() < end_ms);
        if (message && message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
            ended++;
        if (message && !message->err) {
            int value = value_of(message);
            counts[value]++;
            total++;
        }
        if (message)
            rd_kafka_message_destroy(message);
    }
    rd_kafka_topic_partition_list_destroy(list);
    rd_end(consumer);
    return total;
}

/* ---- commit, abort, zombies ------------------------------------------------------------------ */

static void aborted_records_are_never_read(void **state)
{
    static uint8_t counts[VALUES_MAX];
    struct place place;
    (void)state;
    place_init(&place);
    place_start(&place);
    rd_kafka_t *producer = transactional(place_address(&place), "a");
    assert_int_equal(rd_make_topic(producer, "t", PARTITIONS, NULL), 0);
    for (int i = 0; i < 40; i++) {
        assert_int_equal(code_of(rd_kafka_begin_transaction(producer)), 0);
        for (int k = 0; k < 10; k++)
            put(producer, "t", k % PARTITIONS, i * 10 + k);
        if (i % 3 == 0)
            assert_int_equal(rd_kafka_flush(producer, WAIT_MS), 0); /* there to be aborted */
        assert_int_equal(code_of(i % 3 ? rd_kafka_commit_transaction(producer, WAIT_MS)
                                       : rd_kafka_abort_transaction(producer, WAIT_MS)),
                         0);
    }
    for (int restart = 0; restart < 2; restart++) {
        count_values(place_address(&place), "t", true, counts);
        for (int i = 0; i < 400; i++)
            assert_int_equal(counts[i], i / 10 % 3 ? 1 : 0);
        assert_int_equal(count_values(place_address(&place), "t", false, counts), 400);
        if (!restart) {
            rd_end(producer);
            place_stop(&place);
            place_start(&place);
        }
    }
    place_release(&place);
}

static void a_zombie_is_fenced(void **state)
{
    static uint8_t counts[VALUES_MAX];
    struct place place;
    (void)state;
    place_init(&place);
    place_start(&place);
    rd_kafka_t *old = transactional(place_address(&place), "a");
    assert_int_equal(rd_make_topic(old, "t", PARTITIONS, NULL), 0);
    assert_int_equal(code_of(rd_kafka_begin_transaction(old)), 0);
    put(old, "t", 0, 1);
    assert_int_equal(rd_kafka_flush(old, WAIT_MS), 0);
    rd_kafka_t *new = transactional(place_address(&place), "a");
    put(old, "t", 0, 2);
    assert_int_not_equal(code_of(rd_kafka_commit_transaction(old, WAIT_MS)), 0);
    assert_int_equal(rd_kafka_fatal_error(old, (char[256]){0}, 256), RD_KAFKA_RESP_ERR__FENCED);
    assert_int_equal(code_of(rd_kafka_begin_transaction(new)), 0);
    put(new, "t", 0, 3);
    assert_int_equal(code_of(rd_kafka_commit_transaction(new, WAIT_MS)), 0);
    assert_int_equal(count_values(place_address(&place), "t", true, counts), 1);
    assert_int_equal(counts[3], 1);
    rd_kafka_destroy(old);
    rd_end(new);
    place_release(&place);
}

/* ---- consume, transform, produce ------------------------------------------------------------- */

/* Reads up to `count` values, writes each to "out" and sends the offsets along. */
static void pass_on(rd_kafka_t *consumer, rd_kafka_t *producer, int count, bool commit)
{
    rd_kafka_topic_partition_list_t *offsets = rd_kafka_topic_partition_list_new(PARTITIONS);
    rd_kafka_consumer_group_metadata_t *group;
    int64_t end_ms = now_ms() + WAIT_MS;
    assert_int_equal(code_of(rd_kafka_begin_transaction(producer)), 0);
    for (int i = 0; i < count;) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(consumer, 100);
        assert_true(now_ms() < end_ms);
        if (message && !message->err) {
            put(producer, "out", message->partition, value_of(message));
            rd_kafka_topic_partition_t *at =
                rd_kafka_topic_partition_list_find(offsets, "in", message->partition);
            if (!at)
                at = rd_kafka_topic_partition_list_add(offsets, "in", message->partition);
            at->offset = message->offset + 1;
            i++;
        }
        if (message)
            rd_kafka_message_destroy(message);
    }
    group = rd_kafka_consumer_group_metadata(consumer);
    assert_int_equal(
        code_of(rd_kafka_send_offsets_to_transaction(producer, offsets, group, WAIT_MS)), 0);
    assert_int_equal(code_of(commit ? rd_kafka_commit_transaction(producer, WAIT_MS)
                                    : rd_kafka_abort_transaction(producer, WAIT_MS)),
                     0);
    rd_kafka_consumer_group_metadata_destroy(group);
    rd_kafka_topic_partition_list_destroy(offsets);
}

static void offsets_go_with_the_records(void **state)
{
    enum { COUNT = 120, EACH = 30 };
    static uint8_t counts[VALUES_MAX];
    struct place place;
    (void)state;
    place_init(&place);
    place_start(&place);
    rd_kafka_t *source = rd_producer(place_address(&place), NULL);
    assert_int_equal(rd_make_topic(source, "in", PARTITIONS, NULL), 0);
    assert_int_equal(rd_make_topic(source, "out", PARTITIONS, NULL), 0);
    for (int i = 0; i < COUNT; i++)
        put(source, "in", i % PARTITIONS, i);
    rd_end(source);
    for (int round = 0, done = 0; done < COUNT; round++) {
        bool commit = round % 2;
        rd_kafka_t *consumer = rd_consumer(place_address(&place), "movers", NULL);
        rd_kafka_t *producer = transactional(place_address(&place), "mover");
        rd_subscribe(consumer, "in");
        pass_on(consumer, producer, EACH, commit);
        done += commit ? EACH : 0;
        rd_end(consumer);
        rd_end(producer);
        if (round == 3) {
            place_stop(&place);
            place_start(&place);
        }
    }
    assert_int_equal(count_values(place_address(&place), "out", true, counts), COUNT);
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(counts[i], 1);
    place_release(&place);
}

/* ---- a history over kills -------------------------------------------------------------------- */

/* xorshift64*, seeded by the test. */
static int dice(uint64_t *state, int below)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return (int)((*state * UINT64_C(0x2545f4914f6cdd1d) >> 33) % (uint64_t)below);
}

enum outcome { UNTRIED, COMMITTED, ABORTED, UNKNOWN };

/* A broker in a process of its own that dies of SIGKILL after so long. */
static pid_t start_mortal(struct place *place, int64_t life_ms, char address[64])
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct timespec life = {.tv_sec = life_ms / 1000, .tv_nsec = life_ms % 1000 * 1000000};
        struct weir_broker *broker;
        if (weir_broker_start(&place->options, &broker, NULL) != WEIR_OK)
            _exit(1);
        const char *text = weir_broker_address(broker);
        if (write(ends[1], text, strlen(text)) < 0)
            _exit(1);
        close(ends[1]);
        nanosleep(&life, NULL);
        kill(getpid(), SIGKILL);
    }
    close(ends[1]);
    ssize_t count = read(ends[0], address, 63);
    assert_true(count > 0);
    address[count] = '\0';
    close(ends[0]);
    return pid;
}

enum { WRITERS = 4, RECORDS = 4 /* of a transaction */ };
static const char *const ids[WRITERS] = {"writer-0", "writer-1", "writer-2", "writer-3"};

/* What became of each transaction, and how many there are. */
struct history {
    enum outcome outcomes[VALUES_MAX / RECORDS];
    int next;
};

struct writer {
    rd_kafka_t *producer;
    int transaction, sent; /* transaction -1: none is open */
};

/* One step of one of them: begin, a record, or the end. False: the broker is gone. */
static bool step(struct writer *writer, struct history *history, uint64_t *seed)
{
    enum { SHORT_MS = 1000 };
    if (writer->transaction < 0) {
        *writer = (struct writer){writer->producer, history->next++, 0};
        history->outcomes[writer->transaction] = ABORTED; /* until its commit is tried */
        return code_of(rd_kafka_begin_transaction(writer->producer)) == 0;
    }
    if (writer->sent < RECORDS) {
        int value = writer->transaction * RECORDS + writer->sent++;
        return try_put(writer->producer, "t", value % PARTITIONS, value);
    }
    enum outcome *outcome = &history->outcomes[writer->transaction];
    writer->transaction = -1;
    if (dice(seed, 3) == 0) {
        rd_kafka_flush(writer->producer, 100); /* there to be aborted */
        return code_of(rd_kafka_abort_transaction(writer->producer, SHORT_MS)) == 0;
    }
    *outcome = UNKNOWN;
    if (code_of(rd_kafka_commit_transaction(writer->producer, SHORT_MS)) != 0)
        return false;
    *outcome = COMMITTED;
    return true;
}

/* Transactions of all writers, all open at a time, until the broker is gone. */
static void write_until_gone(const char *address, struct history *history, uint64_t *seed)
{
    enum { INIT_MS = 1000 };
    struct writer writers[WRITERS];
    bool gone = false;
    for (int i = 0; i < WRITERS; i++) {
        writers[i].producer = rd_producer(address, "transactional.id", ids[i], NULL);
        writers[i].transaction = -1;
    }
    /* In the first round it is made, and then it is there. */
    rd_kafka_resp_err_t made = rd_make_topic(writers[0].producer, "t", PARTITIONS, NULL);
    assert_true(made == 0 || made == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS);
    for (int i = 0; i < WRITERS && !gone; i++)
        gone = code_of(rd_kafka_init_transactions(writers[i].producer, INIT_MS)) != 0;
    while (!gone && history->next < VALUES_MAX / RECORDS)
        gone = !step(&writers[dice(seed, WRITERS)], history, seed);
    for (int i = 0; i < WRITERS; i++)
        rd_kafka_destroy(writers[i].producer);
}

/* Each transaction is there as a whole or not at all, as its producer was told. */
static void check_history(const struct history *history, const uint8_t counts[VALUES_MAX],
                          int tally[4])
{
    for (int i = 0; i < history->next; i++) {
        enum outcome outcome = history->outcomes[i];
        int want = outcome == COMMITTED ? 1 : outcome == ABORTED ? 0 : counts[i * RECORDS];
        tally[outcome]++;
        assert_true(want <= 1);
        for (int k = 0; k < RECORDS; k++)
            assert_int_equal(counts[i * RECORDS + k], want);
    }
}

static void a_history_over_kills_is_whole(void **state)
{
    enum { ROUNDS = 5 };
    static uint8_t counts[VALUES_MAX];
    static struct history history;
    struct place place;
    char address[64];
    int tally[4] = {0};
    const char *given = getenv("WEIR_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 10) : (uint64_t)now_ms();
    (void)state;
    print_message("WEIR_SEED=%llu\n", (unsigned long long)seed);
    place_init(&place);
    place.options.partitions = PARTITIONS;
    place.options.segment_bytes = 1 << 16;
    for (int round = 0; round < ROUNDS; round++) {
        int status;
        pid_t pid = start_mortal(&place, 1500 + dice(&seed, 800), address);
        write_until_gone(address, &history, &seed);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
    }
    place_start(&place);
    rd_kafka_t *heirs[WRITERS]; /* they end what is open */
    for (int i = 0; i < WRITERS; i++)
        heirs[i] = transactional(place_address(&place), ids[i]);
    count_values(place_address(&place), "t", true, counts);
    check_history(&history, counts, tally);
    print_message("%d committed, %d aborted, %d unknown\n", tally[COMMITTED], tally[ABORTED],
                  tally[UNKNOWN]);
    assert_true(tally[COMMITTED] > ROUNDS && tally[ABORTED] > ROUNDS);
    for (int i = 0; i < WRITERS; i++)
        rd_end(heirs[i]);
    place_release(&place);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_history_over_kills_is_whole), /* forks: before any thread */
        cmocka_unit_test(aborted_records_are_never_read),
        cmocka_unit_test(a_zombie_is_fenced),
        cmocka_unit_test(offsets_go_with_the_records),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
