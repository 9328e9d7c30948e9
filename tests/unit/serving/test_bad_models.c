/* Bad models become dead letters: of one instance only, the owner of partition 0, and only those
 * that came after its start; what serves goes on serving. */
#include <stdio.h>
#include <string.h>

#include "stage.h"

static struct stage stage_memory, *const stage = &stage_memory;

static int begin(void **state)
{
    (void)state;
    stage_init(stage);
    return 0;
}

static int end(void **state)
{
    (void)state;
    stage_release(stage);
    return 0;
}

static void fail_deliveries(const char *topic, uint32_t skip, uint32_t count)
{
    struct weir_kafka_fake_failure failure = {.call = WEIR_KAFKA_FAKE_DELIVERY,
                                              .topic = topic,
                                              .skip = skip,
                                              .count = count,
                                              .err = WEIR_BROKER,
                                              .retriable = true};
    weir_kafka_fake_fail(stage->kafka, &failure);
}

static const struct weir_slice bad_model = {"<PMML version=\"4.4\">", 20};

/* Which instance has partition 0. */
static struct instance *owner_of_0(struct instance *one, struct instance *two)
{
    const struct task *task = one->streams->threads[0]->tasks;
    while (task && task->partition != 0)
        task = task->next;
    return task ? one : two;
}

static void learn(struct instance *one, struct instance *two)
{
    stage_learn(one);
    stage_learn(two);
}

static void a_bad_model_is_a_dead_letter_of_the_owner_of_partition_0(void **state)
{
    struct models_counts counts;
    (void)state;
    struct instance *one = stage_join(stage), *two = stage_join(stage);
    stage_settle(stage);
    struct instance *owner = owner_of_0(one, two), *other = owner == one ? two : one;
    int64_t good = stage_put_value(stage, "wine", "v1", 1);
    int64_t bad = stage_put_model(stage, "wine", "v2", bad_model);
    learn(one, two);
    stage_settle(stage);
    assert_int_equal(atomic_load(&owner->scoring.totals.dead_models), 1);
    assert_int_equal(atomic_load(&other->scoring.totals.dead_models), 0);
    for (int i = 0; i < 2; i++) { /* but each of them refused it */
        models_count(i ? one->models : two->models, &counts);
        assert_int_equal(counts.refused, 1);
    }
    assert_int_equal(stage_count(stage, "dead", 0), 1);
    struct weir_kafka_batch batch = stage_read(stage, "dead", 0, 0);
    struct weir_kafka_batch original = stage_read(stage, "models", 0, bad);
    char offset[24];
    snprintf(offset, sizeof offset, "%lld", (long long)bad);
    assert_true(weir_slice_equal(batch.rows.value[0], original.rows.value[0]));
    assert_true(weir_slice_equal(batch.rows.key[0], original.rows.key[0]));
    stage_assert_header(&batch, 0, "__streams.errors.exception", "PARSE");
    stage_assert_header(&batch, 1, "__streams.errors.message", NULL);
    stage_assert_header(&batch, 2, "__streams.errors.topic", "models");
    stage_assert_header(&batch, 3, "__streams.errors.partition", "0");
    stage_assert_header(&batch, 4, "__streams.errors.offset", offset);
    weir_kafka_batch_release(&original);
    weir_kafka_batch_release(&batch);
    /* The good one goes on serving. */
    stage_put(stage, 0, "wine", 2);
    stage_put(stage, 1, "wine", 2);
    stage_settle(stage);
    assert_float_equal(stage_number(stage, 0, 0), 3, 0);
    assert_float_equal(stage_number(stage, 1, 0), 3, 0);
    assert_int_equal(good, bad - 1);
}

static void bad_models_from_before_the_start_are_nobodys_dead_letters(void **state)
{
    struct models_counts counts;
    (void)state;
    stage_put_model(stage, "wine", "v1", bad_model);
    struct instance *instance = stage_join(stage);
    stage_settle(stage);
    models_count(instance->models, &counts);
    assert_int_equal(counts.refused, 1);
    assert_int_equal(stage_count(stage, "dead", 0), 0);
    stage_put_model(stage, "wine", "v2", weir_slice("nonsense", 8));
    stage_learn(instance);
    stage_settle(stage);
    assert_int_equal(stage_count(stage, "dead", 0), 1);
    assert_int_equal(atomic_load(&instance->scoring.totals.dead_models), 1);
}

static void a_bad_models_letter_is_sent_until_it_is_delivered(void **state)
{
    (void)state;
    struct instance *instance = stage_join(stage);
    stage_settle(stage);
    fail_deliveries("dead", 0, 2);
    stage_put_model(stage, "wine", "v1", bad_model);
    stage_learn(instance);
    stage_settle(stage);
    assert_int_equal(weir_kafka_fake_failed(stage->kafka, WEIR_KAFKA_FAKE_DELIVERY), 2);
    assert_int_equal(stage_count(stage, "dead", 0), 1);
    assert_int_equal(atomic_load(&instance->scoring.totals.dead_models), 1);
}

static void a_later_owner_of_partition_0_sends_no_old_letters(void **state)
{
    (void)state;
    struct instance *one = stage_join(stage), *two = stage_join(stage);
    stage_settle(stage);
    struct instance *owner = owner_of_0(one, two), *other = owner == one ? two : one;
    stage_put_model(stage, "wine", "v1", bad_model);
    learn(one, two);
    stage_settle(stage);
    assert_int_equal(stage_count(stage, "dead", 0), 1);
    weir_clock_virtual_advance_ms(&stage->clock, 60000);
    stage_leave(owner);
    stage_settle(stage);
    assert_true(owner_of_0(other, NULL) == other);
    assert_int_equal(stage_count(stage, "dead", 0), 1);
    stage_put_model(stage, "wine", "v2", weir_slice("nonsense", 8));
    stage_learn(other);
    stage_settle(stage);
    assert_int_equal(stage_count(stage, "dead", 0), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_bad_model_is_a_dead_letter_of_the_owner_of_partition_0,
                                        begin, end),
        cmocka_unit_test_setup_teardown(bad_models_from_before_the_start_are_nobodys_dead_letters,
                                        begin, end),
        cmocka_unit_test_setup_teardown(a_bad_models_letter_is_sent_until_it_is_delivered, begin,
                                        end),
        cmocka_unit_test_setup_teardown(a_later_owner_of_partition_0_sends_no_old_letters, begin,
                                        end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
