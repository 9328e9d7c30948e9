/* Consumer groups through librdkafka: sharing, taking over, static members, looking at them. */
#include "place.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int set_up(void **state)
{
    struct place *place = malloc(sizeof *place);
    assert_non_null(place);
    place_init(place);
    place_start(place);
    *state = place;
    return 0;
}

static int tear_down(void **state)
{
    place_release(*state);
    free(*state);
    return 0;
}

static int assigned(rd_kafka_t *consumer)
{
    rd_kafka_topic_partition_list_t *list;
    assert_int_equal(rd_kafka_assignment(consumer, &list), 0);
    int count = list->cnt;
    rd_kafka_topic_partition_list_destroy(list);
    return count;
}

/* Polls all until they have as many partitions as wanted. */
static void wait_assigned(rd_kafka_t *const *consumers, const int *wanted, int count)
{
    int64_t end_ms = now_ms() + WAIT_MS;
    for (;;) {
        bool all = true;
        for (int i = 0; i < count; i++) {
            rd_kafka_message_t *message = rd_kafka_consumer_poll(consumers[i], 20);
            if (message)
                rd_kafka_message_destroy(message);
            all &= assigned(consumers[i]) == wanted[i];
        }
        if (all)
            return;
        if (now_ms() > end_ms)
            fail_msg("the group did not settle: %d %d", assigned(consumers[0]),
                     count > 1 ? assigned(consumers[1]) : -1);
    }
}

static void members_share_with(struct place *place, const char *strategy)
{
    rd_kafka_t *admin = rd_producer(place_address(place), NULL);
    rd_kafka_t *members[2];
    int64_t before_ms = now_ms();
    assert_int_equal(rd_make_topic(admin, "shared", 4, NULL), 0);
    members[0] = rd_consumer(place_address(place), "team", "partition.assignment.strategy",
                             strategy, "heartbeat.interval.ms", "100", NULL);
    rd_subscribe(members[0], "shared");
    wait_assigned(members, (const int[]){4}, 1);
    print_message("%s: joined alone after %lld ms\n", strategy, (long long)(now_ms() - before_ms));
    before_ms = now_ms();
    members[1] = rd_consumer(place_address(place), "team", "partition.assignment.strategy",
                             strategy, "heartbeat.interval.ms", "100", NULL);
    rd_subscribe(members[1], "shared");
    wait_assigned(members, (const int[]){2, 2}, 2);
    print_message("%s: shared after %lld ms\n", strategy, (long long)(now_ms() - before_ms));
    /* librdkafka 2.0.2 closes a cooperative consumer without leaving the group: so unsubscribe. */
    assert_int_equal(rd_kafka_unsubscribe(members[1]), 0);
    wait_assigned(members, (const int[]){4, 0}, 2);
    rd_end(members[1]);
    rd_end(members[0]);
    rd_end(admin);
}

static void members_share_and_take_over(void **state)
{
    members_share_with(*state, "range");
}

static void members_share_cooperatively(void **state)
{
    members_share_with(*state, "cooperative-sticky");
}

static void a_group_goes_on_where_it_was(void **state)
{
    struct place *place = *state;
    rd_kafka_t *producer = rd_producer(place_address(place), NULL);
    assert_int_equal(rd_put(producer, "work", 0, "", 0, 100), 100);
    for (int from = 0; from < 100; from += 25) {
        rd_kafka_t *consumer = rd_consumer(place_address(place), "worker", NULL);
        int64_t end_ms = now_ms() + WAIT_MS;
        rd_subscribe(consumer, "work");
        for (int i = 0; i < 25;) {
            rd_kafka_message_t *message = rd_kafka_consumer_poll(consumer, 100);
            assert_true(now_ms() < end_ms);
            if (!message)
                continue;
            assert_int_equal(message->err, 0);
            assert_int_equal(message->offset, from + i++);
            if (i == 25)
                assert_int_equal(rd_kafka_commit_message(consumer, message, 0), 0);
            rd_kafka_message_destroy(message);
        }
        rd_end(consumer);
    }
    rd_end(producer);
}

static void a_member_that_vanishes_is_replaced_when_its_session_ends(void **state)
{
    struct place *place = *state;
    rd_kafka_t *admin = rd_producer(place_address(place), NULL);
    rd_kafka_t *members[2];
    assert_int_equal(rd_make_topic(admin, "shared", 2, NULL), 0);
    for (int i = 0; i < 2; i++) {
        members[i] = rd_consumer(place_address(place), "team", "session.timeout.ms", "6000",
                                 "heartbeat.interval.ms", "100", NULL);
        rd_subscribe(members[i], "shared");
    }
    wait_assigned(members, (const int[]){1, 1}, 2);
    rd_kafka_destroy_flags(members[1], RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    wait_assigned(members, (const int[]){2}, 1);
    rd_end(members[0]);
    rd_end(admin);
}

static void static_members_come_back_without_a_rebalance(void **state)
{
    struct place *place = *state;
    rd_kafka_t *admin = rd_producer(place_address(place), NULL);
    rd_kafka_t *members[2];
    static const char *const names[] = {"one", "two"};
    assert_int_equal(rd_make_topic(admin, "shared", 2, NULL), 0);
    for (int i = 0; i < 2; i++) {
        members[i] = rd_consumer(place_address(place), "team", "group.instance.id", names[i],
                                 "heartbeat.interval.ms", "100", NULL);
        rd_subscribe(members[i], "shared");
    }
    wait_assigned(members, (const int[]){1, 1}, 2);
    rd_end(members[1]); /* a static member does not leave */
    members[1] = rd_consumer(place_address(place), "team", "group.instance.id", names[1],
                             "heartbeat.interval.ms", "100", NULL);
    rd_subscribe(members[1], "shared");
    wait_assigned(members, (const int[]){1, 1}, 2);
    for (int i = 0; i < 2; i++)
        rd_end(members[i]);
    rd_end(admin);
}

static void groups_are_listed_and_described(void **state)
{
    struct place *place = *state;
    rd_kafka_t *admin = rd_producer(place_address(place), NULL);
    rd_kafka_t *member = rd_consumer(place_address(place), "seen", "client.id", "who@host:1", NULL);
    const struct rd_kafka_group_list *list;
    assert_int_equal(rd_make_topic(admin, "shared", 2, NULL), 0);
    rd_subscribe(member, "shared");
    wait_assigned(&member, (const int[]){2}, 1);
    assert_int_equal(rd_kafka_list_groups(admin, NULL, &list, WAIT_MS), 0);
    assert_int_equal(list->group_cnt, 1);
    assert_string_equal(list->groups[0].group, "seen");
    assert_string_equal(list->groups[0].state, "Stable");
    assert_string_equal(list->groups[0].protocol_type, "consumer");
    assert_string_equal(list->groups[0].protocol, "range");
    assert_int_equal(list->groups[0].member_cnt, 1);
    assert_string_equal(list->groups[0].members[0].client_id, "who@host:1");
    assert_true(list->groups[0].members[0].member_assignment_size > 0);
    rd_kafka_group_list_destroy(list);
    rd_end(member);
    rd_end(admin);
}

static rd_kafka_event_t *take(rd_kafka_queue_t *queue)
{
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, WAIT_MS);
    assert_non_null(event);
    assert_int_equal(rd_kafka_event_error(event), 0);
    return event;
}

static void empty_groups_are_deleted_others_not(void **state)
{
    struct place *place = *state;
    rd_kafka_t *admin = rd_producer(place_address(place), NULL);
    rd_kafka_t *member = rd_consumer(place_address(place), "busy", NULL);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(admin);
    assert_int_equal(rd_put(admin, "shared", 0, "v", 0, 1), 1);
    rd_subscribe(member, "shared");
    wait_assigned(&member, (const int[]){1}, 1);
    for (int round = 0; round < 3; round++) {
        static const rd_kafka_resp_err_t wanted[] = {RD_KAFKA_RESP_ERR_NON_EMPTY_GROUP,
                                                     RD_KAFKA_RESP_ERR_NO_ERROR,
                                                     RD_KAFKA_RESP_ERR_GROUP_ID_NOT_FOUND};
        rd_kafka_DeleteGroup_t *which = rd_kafka_DeleteGroup_new("busy");
        if (round == 1) {
            rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
            rd_kafka_topic_partition_list_add(list, "shared", 0)->offset = 1;
            assert_int_equal(rd_kafka_commit(member, list, 0), 0);
            rd_kafka_topic_partition_list_destroy(list);
            rd_end(member);
        }
        rd_kafka_DeleteGroups(admin, &which, 1, NULL, queue);
        rd_kafka_event_t *event = take(queue);
        size_t count;
        const rd_kafka_group_result_t **results =
            rd_kafka_DeleteGroups_result_groups(rd_kafka_event_DeleteGroups_result(event), &count);
        assert_int_equal(count, 1);
        rd_kafka_resp_err_t err = rd_kafka_group_result_error(results[0])
                                      ? rd_kafka_error_code(rd_kafka_group_result_error(results[0]))
                                      : RD_KAFKA_RESP_ERR_NO_ERROR;
        assert_int_equal(err, wanted[round]);
        rd_kafka_event_destroy(event);
        rd_kafka_DeleteGroup_destroy(which);
    }
    rd_kafka_queue_destroy(queue);
    rd_end(admin);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(members_share_and_take_over, set_up, tear_down),
        cmocka_unit_test_setup_teardown(members_share_cooperatively, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_group_goes_on_where_it_was, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_member_that_vanishes_is_replaced_when_its_session_ends,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(static_members_come_back_without_a_rebalance, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(groups_are_listed_and_described, set_up, tear_down),
        cmocka_unit_test_setup_teardown(empty_groups_are_deleted_others_not, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
