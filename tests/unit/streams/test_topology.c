/* Building a topology. */
#include <string.h>

#include "fixture.h"

static const struct weir_processor_ops *batch_ops(void)
{
    static struct behaviour behaviour;
    static struct weir_processor_ops ops;
    struct weir_topology *topology = copy_topology(&behaviour);
    ops = *topology->nodes[1].ops;
    weir_topology_free(topology);
    return &ops;
}

static void faults_are_named_when_they_are_made(void **state)
{
    static const char *const data[] = {"data"}, *const none[] = {"none"}, *const out[] = {"out"};
    struct weir_processor_ops both = *batch_ops(), neither = both;
    struct weir_topology *topology;
    struct weir_error error;
    (void)state;
    both.process = (enum weir_err(*)(void *, struct weir_context *, const struct weir_block *,
                                     uint32_t, struct weir_error *))1;
    neither.process_batch = NULL;
    assert_int_equal(weir_topology_new(&topology), WEIR_OK);
    assert_int_equal(weir_topology_add_source(topology, "data", "in", NULL, NULL, &error), WEIR_OK);
    assert_int_equal(weir_topology_add_source(topology, "data", "x", NULL, NULL, &error),
                     WEIR_EXISTS);
    assert_non_null(strstr(error.message, "data"));
    assert_int_equal(weir_topology_add_source(topology, "", "x", NULL, NULL, &error), WEIR_INVALID);
    assert_int_equal(weir_topology_add_source(topology, "again", "in", NULL, NULL, &error),
                     WEIR_EXISTS);
    assert_int_equal(weir_topology_add_sink(topology, "out", "out", none, 1, &error),
                     WEIR_NOT_FOUND);
    assert_non_null(strstr(error.message, "none"));
    assert_int_equal(weir_topology_add_sink(topology, "out", "out", data, 1, &error), WEIR_OK);
    assert_int_equal(weir_topology_add_sink(topology, "out2", "out", out, 1, &error),
                     WEIR_NOT_FOUND);
    assert_int_equal(weir_topology_add_processor(topology, "p", &both, NULL, data, 1, &error),
                     WEIR_INVALID);
    assert_int_equal(weir_topology_add_processor(topology, "p", &neither, NULL, data, 1, &error),
                     WEIR_INVALID);
    assert_int_equal(weir_topology_add_processor(topology, "p", batch_ops(), NULL, NULL, 0, &error),
                     WEIR_INVALID);
    weir_topology_free(topology);
}

static void a_topology_without_a_source_is_refused(void **state)
{
    struct weir_streams_options options;
    struct weir_streams *streams;
    struct weir_topology *topology;
    struct fixture fixture;
    struct weir_error error;
    (void)state;
    fixture_init(&fixture, 1, 0, 0);
    options = fixture.options;
    assert_int_equal(weir_topology_new(&topology), WEIR_OK);
    assert_int_equal(weir_streams_new(topology, fixture.kafka, &options, &streams, &error),
                     WEIR_INVALID);
    fixture_release(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(faults_are_named_when_they_are_made),
        cmocka_unit_test(a_topology_without_a_source_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
