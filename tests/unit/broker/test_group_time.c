/* The group protocol step by step on a virtual clock: who waits for what, and for how long. */
#include "raw.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SESSION_MS = 10000, REBALANCE_MS = 60000 };

static int set_up(void **state)
{
    struct raw *raw = malloc(sizeof *raw);
    assert_non_null(raw);
    raw_init(raw);
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

/* A client of the group "g". */
struct client {
    struct raw *raw;
    int fd;
    const char *instance;
    char id[300];
    int32_t generation;
    struct call join, sync;
    int members; /* in its last JoinGroup answer */
    char leader[300], assignment[64];
};

static void copy(char *to, size_t room, struct weir_slice text)
{
    snprintf(to, room, "%.*s", (int)text.bytes, text.data ? (const char *)text.data : "");
}

static struct client client_of(struct raw *raw, const char *instance)
{
    return (struct client){.raw = raw, .fd = raw_connect(raw), .instance = instance};
}

static void send_join_as(struct client *client, const char *protocol)
{
    struct wire_writer *w = &client->join.writer;
    call_begin(&client->join, client->fd, WIRE_JOIN_GROUP, 5);
    wire_put_text(w, "g");
    wire_put_i32(w, SESSION_MS);
    wire_put_i32(w, REBALANCE_MS);
    wire_put_text(w, client->id);
    wire_put_text(w, client->instance);
    wire_put_text(w, "consumer");
    wire_put_array(w, 1);
    wire_put_text(w, protocol);
    wire_put_bytes(w, weir_slice("meta", 4));
    call_send(client->raw, &client->join);
}

static void send_join(struct client *client)
{
    send_join_as(client, "range");
}

/* Reads the answer to a join: its error, or -100 if there is none yet. */
static int join_error(struct client *client)
{
    struct wire_reader *r = &client->join.reader;
    if (!call_answered(client->raw, &client->join))
        return -100;
    wire_i32(r);
    int error = wire_i16(r);
    client->generation = wire_i32(r);
    wire_string(r);
    copy(client->leader, sizeof client->leader, wire_string(r));
    struct weir_slice id = wire_string(r);
    if (id.bytes)
        copy(client->id, sizeof client->id, id);
    client->members = wire_array(r, 1);
    call_end(&client->join);
    return error;
}

/* Gets an id first, as clients do since version 4; then joins. */
static void begin_join(struct client *client)
{
    if (!*client->id && !client->instance) {
        send_join(client);
        assert_int_equal(join_error(client), WIRE_MEMBER_ID_REQUIRED);
        assert_true(strlen(client->id) > 0);
    }
    send_join(client);
}

static bool leads(const struct client *client)
{
    return strcmp(client->leader, client->id) == 0;
}

/* assigned: who gets "work", NULL = nobody. */
static void send_sync(struct client *client, const struct client *assigned)
{
    struct wire_writer *w = &client->sync.writer;
    call_begin(&client->sync, client->fd, WIRE_SYNC_GROUP, 3);
    wire_put_text(w, "g");
    wire_put_i32(w, client->generation);
    wire_put_text(w, client->id);
    wire_put_text(w, client->instance);
    wire_put_array(w, assigned ? 1 : 0);
    if (assigned) {
        wire_put_text(w, assigned->id);
        wire_put_bytes(w, weir_slice("work", 4));
    }
    call_send(client->raw, &client->sync);
}

static int sync_error(struct client *client)
{
    if (!call_answered(client->raw, &client->sync))
        return -100;
    wire_i32(&client->sync.reader);
    int error = wire_i16(&client->sync.reader);
    copy(client->assignment, sizeof client->assignment, wire_bytes(&client->sync.reader));
    call_end(&client->sync);
    return error;
}

static int heartbeat(struct client *client)
{
    struct call call;
    call_begin(&call, client->fd, WIRE_HEARTBEAT, 3);
    wire_put_text(&call.writer, "g");
    wire_put_i32(&call.writer, client->generation);
    wire_put_text(&call.writer, client->id);
    wire_put_text(&call.writer, client->instance);
    call_now(client->raw, &call);
    wire_i32(&call.reader);
    int error = wire_i16(&call.reader);
    call_end(&call);
    return error;
}

static int leave(struct client *by, const char *id, const char *instance)
{
    struct call call;
    call_begin(&call, by->fd, WIRE_LEAVE_GROUP, 3);
    wire_put_text(&call.writer, "g");
    wire_put_array(&call.writer, 1);
    wire_put_text(&call.writer, id);
    wire_put_text(&call.writer, instance);
    call_now(by->raw, &call);
    wire_i32(&call.reader);
    assert_int_equal(wire_i16(&call.reader), WIRE_NONE);
    wire_array(&call.reader, 1);
    wire_string(&call.reader);
    wire_string(&call.reader);
    int error = wire_i16(&call.reader);
    call_end(&call);
    return error;
}

static void end(struct client *client)
{
    raw_close(client->raw, client->fd);
}

/* Two members of generation 2, both synced. */
static void settle(struct client *a, struct client *b)
{
    begin_join(a);
    assert_int_equal(join_error(a), WIRE_NONE);
    assert_true(leads(a));
    send_sync(a, a);
    assert_int_equal(sync_error(a), WIRE_NONE);
    assert_string_equal(a->assignment, "work");
    begin_join(b);
    assert_int_equal(join_error(b), -100);
    assert_int_equal(heartbeat(a), WIRE_REBALANCE_IN_PROGRESS);
    send_join(a);
    assert_int_equal(join_error(a), WIRE_NONE);
    assert_int_equal(join_error(b), WIRE_NONE);
    assert_int_equal(a->generation, b->generation);
    assert_int_equal(a->members, 2);
    assert_int_equal(b->members, 0);
    send_sync(b, NULL);
    assert_int_equal(sync_error(b), -100); /* it waits for the leader */
    send_sync(a, b);
    assert_int_equal(sync_error(a), WIRE_NONE);
    assert_int_equal(sync_error(b), WIRE_NONE);
    assert_string_equal(b->assignment, "work");
    assert_string_equal(a->assignment, "");
}

static void two_members_join_and_share(void **state)
{
    struct client a = client_of(*state, NULL), b = client_of(*state, NULL);
    settle(&a, &b);
    assert_int_equal(heartbeat(&a), WIRE_NONE);
    assert_int_equal(heartbeat(&b), WIRE_NONE);
    b.generation--;
    assert_int_equal(heartbeat(&b), WIRE_ILLEGAL_GENERATION);
    b.generation++;
    assert_int_equal(leave(&b, b.id, NULL), WIRE_NONE);
    assert_int_equal(heartbeat(&b), WIRE_UNKNOWN_MEMBER_ID);
    assert_int_equal(heartbeat(&a), WIRE_REBALANCE_IN_PROGRESS);
    send_join(&a);
    assert_int_equal(join_error(&a), WIRE_NONE);
    assert_int_equal(a.members, 1);
    end(&a);
    end(&b);
}

static void a_silent_member_goes_when_its_session_ends(void **state)
{
    struct raw *raw = *state;
    struct client a = client_of(raw, NULL), b = client_of(raw, NULL);
    settle(&a, &b);
    raw_pass(raw, SESSION_MS - 1);
    assert_int_equal(heartbeat(&a), WIRE_NONE);
    raw_pass(raw, 2);
    assert_int_equal(heartbeat(&a), WIRE_REBALANCE_IN_PROGRESS);
    assert_int_equal(heartbeat(&b), WIRE_UNKNOWN_MEMBER_ID);
    end(&a);
    end(&b);
}

static void who_does_not_join_again_is_left_behind(void **state)
{
    struct raw *raw = *state;
    struct client a = client_of(raw, NULL), b = client_of(raw, NULL), c = client_of(raw, NULL);
    settle(&a, &b);
    begin_join(&c);
    send_join(&a);
    for (int ms = 0; ms < REBALANCE_MS - 5000; ms += 5000) { /* b lives, but does not join */
        raw_pass(raw, 5000);
        assert_int_equal(heartbeat(&b), WIRE_REBALANCE_IN_PROGRESS);
        assert_int_equal(join_error(&a), -100);
    }
    raw_pass(raw, 5001);
    assert_int_equal(join_error(&a), WIRE_NONE);
    assert_int_equal(join_error(&c), WIRE_NONE);
    assert_int_equal(a.members + c.members, 2);
    assert_int_equal(heartbeat(&b), WIRE_UNKNOWN_MEMBER_ID);
    end(&a);
    end(&b);
    end(&c);
}

static void an_id_that_nobody_comes_back_with_holds_nobody_up_for_long(void **state)
{
    struct raw *raw = *state;
    struct client a = client_of(raw, NULL), lost = client_of(raw, NULL);
    send_join(&lost);
    assert_int_equal(join_error(&lost), WIRE_MEMBER_ID_REQUIRED);
    begin_join(&a);
    assert_int_equal(join_error(&a), -100); /* perhaps it comes at once */
    raw_pass(raw, SESSION_MS + 1);
    assert_int_equal(join_error(&a), WIRE_NONE);
    assert_int_equal(a.members, 1);
    send_join(&lost);
    assert_int_equal(join_error(&lost), WIRE_UNKNOWN_MEMBER_ID);
    end(&a);
    end(&lost);
}

static void a_leader_that_sends_no_assignment_is_replaced(void **state)
{
    struct raw *raw = *state;
    struct client a = client_of(raw, NULL), b = client_of(raw, NULL);
    settle(&a, &b);
    assert_int_equal(leave(&b, "nobody", NULL), WIRE_UNKNOWN_MEMBER_ID);
    struct client c = client_of(raw, NULL);
    begin_join(&c);
    send_join(&a);
    send_join(&b);
    assert_int_equal(join_error(&a), WIRE_NONE);
    assert_int_equal(join_error(&b), WIRE_NONE);
    assert_int_equal(join_error(&c), WIRE_NONE);
    assert_true(leads(&a));
    send_sync(&b, NULL);
    send_sync(&c, NULL);
    end(&a); /* never heard of again */
    raw_pass(raw, SESSION_MS + 1);
    assert_int_equal(sync_error(&b), WIRE_REBALANCE_IN_PROGRESS);
    assert_int_equal(sync_error(&c), WIRE_REBALANCE_IN_PROGRESS);
    send_join(&b);
    send_join(&c);
    assert_int_equal(join_error(&b), WIRE_NONE);
    assert_int_equal(join_error(&c), WIRE_NONE);
    assert_int_equal(b.members + c.members, 2);
    end(&b);
    end(&c);
}

static void a_static_member_comes_back_under_a_new_id(void **state)
{
    struct raw *raw = *state;
    struct client a = client_of(raw, NULL), b = client_of(raw, "inst");
    settle(&a, &b);
    struct client again = client_of(raw, "inst");
    send_join(&again);
    assert_int_equal(join_error(&again), WIRE_NONE); /* at once, without a rebalance */
    assert_int_equal(again.generation, b.generation);
    assert_string_not_equal(again.id, b.id);
    assert_int_equal(heartbeat(&a), WIRE_NONE);
    send_sync(&again, NULL);
    assert_int_equal(sync_error(&again), WIRE_NONE);
    assert_string_equal(again.assignment, "work");
    assert_int_equal(heartbeat(&b), WIRE_FENCED_INSTANCE_ID);
    assert_int_equal(heartbeat(&again), WIRE_NONE);
    end(&a);
    end(&b);
    end(&again);
}

static void a_removed_instance_that_waits_is_told(void **state)
{
    struct raw *raw = *state;
    struct client a = client_of(raw, NULL), b = client_of(raw, "inst"),
                  admin = client_of(raw, NULL);
    settle(&a, &b);
    struct client c = client_of(raw, NULL);
    begin_join(&c);
    send_join(&b); /* both wait for a */
    assert_int_equal(join_error(&b), -100);
    assert_int_equal(leave(&admin, "", "inst"), WIRE_NONE);
    assert_int_equal(join_error(&b), WIRE_UNKNOWN_MEMBER_ID);
    send_join(&a);
    assert_int_equal(join_error(&a), WIRE_NONE);
    assert_int_equal(join_error(&c), WIRE_NONE);
    end(&a);
    end(&b);
    end(&c);
    end(&admin);
}

static void another_protocol_is_refused(void **state)
{
    struct client a = client_of(*state, NULL), b = client_of(*state, NULL);
    begin_join(&a);
    assert_int_equal(join_error(&a), WIRE_NONE);
    send_join_as(&b, "sticky");
    assert_int_equal(join_error(&b), WIRE_INCONSISTENT_GROUP_PROTOCOL);
    end(&a);
    end(&b);
}

static void the_first_rebalance_waits_if_it_is_told_to(void **state)
{
    struct raw raw;
    (void)state;
    raw_init(&raw);
    raw.place.options.group_initial_rebalance_delay_ms = 3000;
    raw_start(&raw);
    struct client a = client_of(&raw, NULL), b = client_of(&raw, NULL);
    begin_join(&a);
    raw_pass(&raw, 1000);
    begin_join(&b);
    raw_pass(&raw, 2000);
    assert_int_equal(join_error(&a), -100); /* somebody came: as long again */
    raw_pass(&raw, 2999);
    assert_int_equal(join_error(&a), -100);
    raw_pass(&raw, 1);
    assert_int_equal(join_error(&a), WIRE_NONE);
    assert_int_equal(join_error(&b), WIRE_NONE);
    assert_int_equal(a.members + b.members, 2);
    end(&a);
    end(&b);
    raw_release(&raw);
}

static void a_group_without_members_and_offsets_is_forgotten(void **state)
{
    struct raw *raw = *state;
    struct client a = client_of(raw, NULL);
    struct weir_broker_stats stats;
    begin_join(&a);
    assert_int_equal(join_error(&a), WIRE_NONE);
    assert_int_equal(leave(&a, a.id, NULL), WIRE_NONE);
    end(&a);
    for (int i = 0; i < 500; i++)
        raw_pass(raw, 1000);
    weir_broker_stats(raw->broker, &stats);
    assert_int_equal(stats.groups, 1); /* until the next look, every ten minutes as in Kafka */
    for (int i = 0; i < 112; i++)
        raw_pass(raw, 1000);
    weir_broker_stats(raw->broker, &stats);
    assert_int_equal(stats.groups, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(two_members_join_and_share),
        TEST(a_silent_member_goes_when_its_session_ends),
        TEST(who_does_not_join_again_is_left_behind),
        TEST(an_id_that_nobody_comes_back_with_holds_nobody_up_for_long),
        TEST(a_leader_that_sends_no_assignment_is_replaced),
        TEST(a_static_member_comes_back_under_a_new_id),
        TEST(a_removed_instance_that_waits_is_told),
        TEST(another_protocol_is_refused),
        cmocka_unit_test(the_first_rebalance_waits_if_it_is_told_to),
        TEST(a_group_without_members_and_offsets_is_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
