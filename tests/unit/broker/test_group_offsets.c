/* What groups have committed: batches, deletion, expiry; and static leaders that come back. */
#include "raw.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HOUR_MS = 3600 * 1000, SESSION_MS = 30000 };

static int set_up(void **state)
{
    struct raw *raw = malloc(sizeof *raw);
    assert_non_null(raw);
    raw_init(raw);
    raw->place.options.offsets_retention_ms = HOUR_MS;
    raw_start(raw);
    *state = raw;
    return 0;
}

static int tear_down(void **state)
{
    raw_release(*state);
    free(*state);
    return 0;
}

static int commit_as(struct raw *raw, int fd, int16_t version, const char *group,
                     const char *member, int32_t generation, const char *topic, int32_t partition,
                     int64_t offset)
{
    struct call call;
    struct wire_writer *w = &call.writer;
    call_begin(&call, fd, WIRE_OFFSET_COMMIT, version);
    wire_put_text(w, group);
    wire_put_i32(w, generation);
    wire_put_text(w, member);
    wire_put_text(w, NULL);
    wire_put_array(w, 1);
    wire_put_text(w, topic);
    wire_put_array(w, 1);
    wire_put_i32(w, partition);
    wire_put_i64(w, offset);
    wire_put_i32(w, 0);
    wire_put_text(w, "words");
    wire_put_tags(w);
    wire_put_tags(w);
    wire_put_tags(w);
    call_now(raw, &call);
    wire_i32(&call.reader);
    wire_array(&call.reader, 1);
    wire_string(&call.reader);
    wire_array(&call.reader, 1);
    wire_i32(&call.reader);
    int error = wire_i16(&call.reader);
    call_end(&call);
    return error;
}

static void commit(struct raw *raw, int fd, const char *group, const char *topic, int32_t partition,
                   int64_t offset)
{
    assert_int_equal(commit_as(raw, fd, 9, group, "", -1, topic, partition, offset), WIRE_NONE);
}

/* -1: there is none. */
static int64_t committed(struct raw *raw, const char *group, const char *topic, int32_t partition)
{
    const struct group *found = broker_group_find(raw->broker, weir_slice(group, strlen(group)));
    const struct committed *offset =
        found ? broker_group_committed(found, weir_slice(topic, strlen(topic)), partition) : NULL;
    return offset ? offset->offset : -1;
}

static int delete_offset(struct raw *raw, int fd, const char *group, const char *topic,
                         int32_t partition)
{
    struct call call;
    call_begin(&call, fd, WIRE_OFFSET_DELETE, 0);
    wire_put_text(&call.writer, group);
    wire_put_array(&call.writer, 1);
    wire_put_text(&call.writer, topic);
    wire_put_array(&call.writer, 1);
    wire_put_i32(&call.writer, partition);
    call_now(raw, &call);
    int error = wire_i16(&call.reader);
    wire_i32(&call.reader);
    if (wire_array(&call.reader, 1) == 1) {
        wire_string(&call.reader);
        assert_int_equal(wire_array(&call.reader, 1), 1);
        assert_int_equal(wire_i32(&call.reader), partition);
        error = wire_i16(&call.reader);
    }
    assert_false(call.reader.failed);
    assert_ptr_equal(call.reader.at, call.reader.end);
    call_end(&call);
    return error;
}

/* ---- a member -------------------------------------------------------------------------------- */

/* A member of "g"; instance NULL = a dynamic one. */
struct client {
    char id[300], leader[300];
    int32_t generation;
    int members;
    bool skip_assignment;
};

/* Begins a join with a subscription to one topic. */
static void begin_join(struct call *call, int fd, int16_t version, const char *type,
                       const char *instance, const char *id, const char *topic)
{
    struct wire_writer *w = &call->writer;
    struct weir_buffer buffer;
    weir_buffer_init(&buffer, 1 << 10);
    struct wire_writer subscription = wire_writer(&buffer, false);
    wire_put_i16(&subscription, 1);
    wire_put_array(&subscription, 1);
    wire_put_text(&subscription, topic);
    wire_put_bytes(&subscription, weir_slice(NULL, 0));
    call_begin(call, fd, WIRE_JOIN_GROUP, version);
    wire_put_text(w, "g");
    wire_put_i32(w, SESSION_MS);
    wire_put_i32(w, 60000);
    wire_put_text(w, id);
    wire_put_text(w, instance);
    wire_put_text(w, type);
    wire_put_array(w, 1);
    wire_put_text(w, "range");
    wire_put_bytes(w, weir_buffer_slice(&buffer));
    wire_put_tags(w);
    if (version >= 8)
        wire_put_text(w, "a test");
    wire_put_tags(w);
    weir_buffer_release(&buffer);
}

static void copy(char to[300], struct weir_slice text)
{
    snprintf(to, 300, "%.*s", (int)text.bytes, text.data ? (const char *)text.data : "");
}

static int end_join(struct raw *raw, struct call *call, struct client *client)
{
    struct wire_reader *r = &call->reader;
    call_now(raw, call);
    wire_i32(r);
    int error = wire_i16(r);
    client->generation = wire_i32(r);
    if (call->version >= 7)
        wire_string(r);
    wire_string(r);
    copy(client->leader, wire_string(r));
    client->skip_assignment = call->version >= 9 && wire_bool(r);
    copy(client->id, wire_string(r));
    client->members = wire_array(r, 1);
    call_end(call);
    return error;
}

static int join(struct raw *raw, int fd, int16_t version, const char *type, const char *instance,
                const char *topic, struct client *client)
{
    struct call call;
    begin_join(&call, fd, version, type, instance, client->id, topic);
    int error = end_join(raw, &call, client);
    if (error == WIRE_MEMBER_ID_REQUIRED) {
        begin_join(&call, fd, version, type, instance, client->id, topic);
        error = end_join(raw, &call, client);
    }
    return error;
}

static void sync_alone(struct raw *raw, int fd, const char *instance, const struct client *client)
{
    struct call call;
    call_begin(&call, fd, WIRE_SYNC_GROUP, 3);
    wire_put_text(&call.writer, "g");
    wire_put_i32(&call.writer, client->generation);
    wire_put_text(&call.writer, client->id);
    wire_put_text(&call.writer, instance);
    wire_put_array(&call.writer, 0);
    call_now(raw, &call);
    wire_i32(&call.reader);
    assert_int_equal(wire_i16(&call.reader), WIRE_NONE);
    call_end(&call);
}

static void heartbeat(struct raw *raw, int fd, const struct client *client)
{
    struct call call;
    call_begin(&call, fd, WIRE_HEARTBEAT, 3);
    wire_put_text(&call.writer, "g");
    wire_put_i32(&call.writer, client->generation);
    wire_put_text(&call.writer, client->id);
    wire_put_text(&call.writer, NULL);
    call_now(raw, &call);
    wire_i32(&call.reader);
    assert_int_equal(wire_i16(&call.reader), WIRE_NONE);
    call_end(&call);
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void many_groups_are_asked_at_once(void **state)
{
    struct raw *raw = *state;
    struct call call;
    struct wire_writer *w = &call.writer;
    struct wire_reader *r = &call.reader;
    static const char *const groups[] = {"one", "two", "nobody"};
    int fd = raw_connect(raw);
    raw_make_topic(raw, fd, "t", 2);
    commit(raw, fd, "one", "t", 0, 11);
    commit(raw, fd, "two", "t", 1, 22);
    call_begin(&call, fd, WIRE_OFFSET_FETCH, 9);
    wire_put_array(w, 3);
    for (int i = 0; i < 3; i++) {
        wire_put_text(w, groups[i]);
        wire_put_text(w, NULL);
        wire_put_i32(w, -1);
        wire_put_array(w, i == 1 ? 1 : -1);
        if (i == 1) {
            wire_put_text(w, "t");
            wire_put_array(w, 2);
            wire_put_i32(w, 0);
            wire_put_i32(w, 1);
            wire_put_tags(w);
        }
        wire_put_tags(w);
    }
    wire_put_bool(w, true);
    wire_put_tags(w);
    call_now(raw, &call);
    wire_i32(r);
    assert_int_equal(wire_array(r, 1), 3);
    for (int i = 0; i < 3; i++) {
        static const int64_t offsets[3][2] = {{11, 0}, {-1, 22}, {0, 0}};
        assert_int_equal(wire_string(r).bytes, strlen(groups[i]));
        assert_int_equal(wire_array(r, 1), i < 2);
        if (i < 2) {
            wire_string(r);
            assert_int_equal(wire_array(r, 1), 1 + i);
            for (int j = 0; j < 1 + i; j++) {
                assert_int_equal(wire_i32(r), j);
                assert_int_equal(wire_i64(r), offsets[i][j]);
                wire_i32(r);
                assert_int_equal(wire_string(r).bytes, offsets[i][j] < 0 ? 0 : 5);
                assert_int_equal(wire_i16(r), WIRE_NONE);
                wire_tags(r);
            }
            wire_tags(r);
        }
        assert_int_equal(wire_i16(r), WIRE_NONE);
        wire_tags(r);
    }
    wire_tags(r);
    assert_false(r->failed);
    assert_ptr_equal(r->at, r->end);
    call_end(&call);
    raw_close(raw, fd);
}

static void a_member_of_no_group_commits_nothing(void **state)
{
    struct raw *raw = *state;
    int fd = raw_connect(raw);
    raw_make_topic(raw, fd, "t", 1);
    assert_int_equal(commit_as(raw, fd, 8, "x", "m", 3, "t", 0, 1), WIRE_ILLEGAL_GENERATION);
    assert_int_equal(commit_as(raw, fd, 9, "x", "m", 3, "t", 0, 1), WIRE_GROUP_ID_NOT_FOUND);
    assert_null(broker_group_find(raw->broker, weir_slice("x", 1)));
    raw_close(raw, fd);
}

static void offsets_are_deleted_for_good(void **state)
{
    struct raw *raw = *state;
    int fd = raw_connect(raw);
    raw_make_topic(raw, fd, "t", 2);
    raw_make_topic(raw, fd, "u", 1);
    commit(raw, fd, "g", "t", 0, 5);
    commit(raw, fd, "g", "t", 1, 6);
    assert_int_equal(delete_offset(raw, fd, "nobody", "t", 0), WIRE_GROUP_ID_NOT_FOUND);
    assert_int_equal(delete_offset(raw, fd, "g", "t", 9), WIRE_UNKNOWN_TOPIC_OR_PARTITION);
    assert_int_equal(delete_offset(raw, fd, "g", "t", 0), WIRE_NONE);
    assert_int_equal(delete_offset(raw, fd, "g", "t", 0), WIRE_NONE); /* it is gone: fine */
    raw_close(raw, fd);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(committed(raw, "g", "t", 0), -1);
        assert_int_equal(committed(raw, "g", "t", 1), 6);
        raw_stop(raw);
        raw_start(raw);
    }
}

static void offsets_in_use_are_not_deleted(void **state)
{
    struct raw *raw = *state;
    struct client client = {.id = ""};
    int fd = raw_connect(raw);
    raw_make_topic(raw, fd, "t", 1);
    raw_make_topic(raw, fd, "u", 1);
    commit(raw, fd, "g", "t", 0, 5);
    commit(raw, fd, "g", "u", 0, 6);
    assert_int_equal(join(raw, fd, 5, "consumer", NULL, "t", &client), WIRE_NONE);
    sync_alone(raw, fd, NULL, &client);
    assert_int_equal(delete_offset(raw, fd, "g", "t", 0), WIRE_GROUP_SUBSCRIBED_TO_TOPIC);
    assert_int_equal(delete_offset(raw, fd, "g", "u", 0), WIRE_NONE);
    assert_int_equal(committed(raw, "g", "t", 0), 5);
    assert_int_equal(committed(raw, "g", "u", 0), -1);
    raw_close(raw, fd);
}

static void members_that_are_no_consumers_use_everything(void **state)
{
    struct raw *raw = *state;
    struct client client = {.id = ""};
    int fd = raw_connect(raw);
    raw_make_topic(raw, fd, "t", 1);
    commit(raw, fd, "g", "t", 0, 5);
    assert_int_equal(join(raw, fd, 5, "connect", NULL, "u", &client), WIRE_NONE);
    assert_int_equal(delete_offset(raw, fd, "g", "t", 0), WIRE_NON_EMPTY_GROUP);
    assert_int_equal(committed(raw, "g", "t", 0), 5);
    raw_close(raw, fd);
}

static void offsets_of_nobody_expire_and_their_group_with_them(void **state)
{
    struct raw *raw = *state;
    int fd = raw_connect(raw);
    raw_make_topic(raw, fd, "t", 2);
    commit(raw, fd, "g", "t", 0, 5);
    for (int minutes = 0; minutes < 59; minutes++)
        raw_pass(raw, 60000);
    assert_int_equal(committed(raw, "g", "t", 0), 5);
    raw_close(raw, fd); /* the broker has done so: it was idle */
    fd = raw_connect(raw);
    commit(raw, fd, "g", "t", 1, 6);
    for (int minutes = 0; minutes < 2; minutes++)
        raw_pass(raw, 60000);
    assert_int_equal(committed(raw, "g", "t", 0), -1);
    assert_int_equal(committed(raw, "g", "t", 1), 6);
    raw_close(raw, fd);
    raw_stop(raw);
    raw_start(raw);
    assert_int_equal(committed(raw, "g", "t", 0), -1);
    assert_int_equal(committed(raw, "g", "t", 1), 6);
    for (int minutes = 0; minutes < 62; minutes++)
        raw_pass(raw, 60000);
    assert_null(broker_group_find(raw->broker, weir_slice("g", 1)));
}

static void offsets_of_a_living_group_expire_where_nobody_subscribes(void **state)
{
    struct raw *raw = *state;
    struct client client = {.id = ""};
    int fd = raw_connect(raw);
    raw_make_topic(raw, fd, "t", 1);
    raw_make_topic(raw, fd, "u", 1);
    commit(raw, fd, "g", "t", 0, 5);
    commit(raw, fd, "g", "u", 0, 6);
    assert_int_equal(join(raw, fd, 5, "consumer", NULL, "t", &client), WIRE_NONE);
    sync_alone(raw, fd, NULL, &client);
    for (int beats = 0; beats < 61 * 3; beats++) {
        raw_pass(raw, 20000);
        heartbeat(raw, fd, &client);
    }
    assert_int_equal(committed(raw, "g", "t", 0), 5);
    assert_int_equal(committed(raw, "g", "u", 0), -1);
    /* An hour after the last member has gone the other one goes, too. */
    for (int minutes = 0; minutes < 59; minutes++)
        raw_pass(raw, 60000);
    assert_int_equal(committed(raw, "g", "t", 0), 5);
    for (int minutes = 0; minutes < 15; minutes++)
        raw_pass(raw, 60000);
    assert_int_equal(committed(raw, "g", "t", 0), -1);
    raw_close(raw, fd);
}

/* KIP-814: it leads on, but assigns nothing. Clients that don't know of that lead no more. */
static void a_static_leader_comes_back_without_a_rebalance(void **state)
{
    struct raw *raw = *state;
    struct client first = {.id = ""}, back = {.id = ""}, older = {.id = ""};
    int fd = raw_connect(raw);
    assert_int_equal(join(raw, fd, 9, "consumer", "s", "t", &first), WIRE_NONE);
    sync_alone(raw, fd, "s", &first);
    assert_int_equal(join(raw, fd, 9, "consumer", "s", "other", &back), WIRE_NONE);
    assert_int_equal(back.generation, first.generation);
    assert_string_not_equal(back.id, first.id);
    assert_string_equal(back.leader, back.id);
    assert_true(back.skip_assignment);
    assert_int_equal(back.members, 1);
    assert_int_equal(join(raw, fd, 8, "consumer", "s", "other", &older), WIRE_NONE);
    assert_int_equal(older.generation, first.generation);
    assert_string_equal(older.leader, back.id);
    assert_int_equal(older.members, 0);
    /* One that says who it is wants a new assignment, perhaps for new partitions. */
    assert_int_equal(join(raw, fd, 9, "consumer", "s", "other", &older), WIRE_NONE);
    assert_int_equal(older.generation, first.generation + 1);
    assert_false(older.skip_assignment);
    assert_int_equal(older.members, 1);
    raw_close(raw, fd);
}

static void coordinators_are_found_for_many_keys(void **state)
{
    struct raw *raw = *state;
    struct call call;
    int fd = raw_connect(raw);
    call_begin(&call, fd, WIRE_FIND_COORDINATOR, 6);
    wire_put_i8(&call.writer, 0);
    wire_put_array(&call.writer, 2);
    wire_put_text(&call.writer, "g");
    wire_put_text(&call.writer, "h");
    wire_put_tags(&call.writer);
    call_now(raw, &call);
    wire_i32(&call.reader);
    assert_int_equal(wire_array(&call.reader, 1), 2);
    for (int i = 0; i < 2; i++) {
        assert_memory_equal(wire_string(&call.reader).data, i ? "h" : "g", 1);
        assert_int_equal(wire_i32(&call.reader), BROKER_ID);
        wire_string(&call.reader);
        assert_int_equal(wire_i32(&call.reader), raw->broker->listeners[0].endpoint.port);
        assert_int_equal(wire_i16(&call.reader), WIRE_NONE);
        assert_null(wire_string(&call.reader).data);
        wire_tags(&call.reader);
    }
    wire_tags(&call.reader);
    assert_false(call.reader.failed);
    assert_ptr_equal(call.reader.at, call.reader.end);
    call_end(&call);
    raw_close(raw, fd);
}

/* A group that goes while somebody was told to come back with an id leaves no timer behind. */
static void a_pending_id_goes_with_its_group(void **state)
{
    struct raw *raw = *state;
    struct client lost = {.id = ""}, client = {.id = ""};
    struct call call;
    int fd = raw_connect(raw);
    begin_join(&call, fd, 5, "consumer", NULL, "", "t");
    assert_int_equal(end_join(raw, &call, &lost), WIRE_MEMBER_ID_REQUIRED);
    int other = raw_connect(raw);
    begin_join(&call, other, 5, "consumer", NULL, "", "t");
    assert_int_equal(end_join(raw, &call, &client), WIRE_MEMBER_ID_REQUIRED);
    begin_join(&call, other, 5, "consumer", NULL, client.id, "t");
    call_send(raw, &call); /* waits for the one that is lost */
    raw_pass(raw, 60001);
    assert_true(call_answered(raw, &call));
    call_end(&call);
    broker_group_forget(raw->broker, weir_slice("g", 1));
    raw_pass(raw, 2 * SESSION_MS);
    raw_close(raw, fd);
    raw_close(raw, other);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(many_groups_are_asked_at_once),
        TEST(a_member_of_no_group_commits_nothing),
        TEST(offsets_are_deleted_for_good),
        TEST(offsets_in_use_are_not_deleted),
        TEST(members_that_are_no_consumers_use_everything),
        TEST(offsets_of_nobody_expire_and_their_group_with_them),
        TEST(offsets_of_a_living_group_expire_where_nobody_subscribes),
        TEST(a_static_leader_comes_back_without_a_rebalance),
        TEST(coordinators_are_found_for_many_keys),
        TEST(a_pending_id_goes_with_its_group),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
