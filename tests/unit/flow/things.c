/* Elements that count themselves: things.h. */
#include "things.h"
#include "cmocka_all.h"

#include <stdlib.h>

_Atomic long thing_count;

void *thing(long value)
{
    struct thing *made = malloc(sizeof *made);

    assert_non_null(made);
    atomic_init(&made->owners, 1);
    made->value = value;
    atomic_fetch_add(&thing_count, 1);
    return made;
}

static void drop(void *element)
{
    struct thing *old = element;

    if (atomic_fetch_sub(&old->owners, 1) != 1)
        return;
    atomic_fetch_sub(&thing_count, 1);
    free(old);
}

static void *share(void *element)
{
    struct thing *shared = element;

    atomic_fetch_add(&shared->owners, 1);
    return shared;
}

const struct weir_flow_kind thing_kind = {.drop = drop, .share = share};

long value_of(const void *element)
{
    return ((const struct thing *)element)->value;
}

long take_value(void *element)
{
    long value = value_of(element);

    drop(element);
    return value;
}

void place_open(struct place *place, uint64_t seed)
{
    struct weir_flow_materializer_options options;

    *place = (struct place){0};
    weir_clock_virtual_init(&place->clock, 0);
    weir_flow_materializer_options_default(&options);
    options.threads = 0;
    options.clock = &place->clock.clock;
    options.fuzzing = seed != 0;
    options.seed = seed;
    assert_int_equal(weir_flow_materializer_new(&options, &place->materializer, NULL), WEIR_OK);
    assert_int_equal(weir_flow_graph_new(&place->graph), WEIR_OK);
}

void place_open_threads(struct place *place, uint32_t threads)
{
    struct weir_flow_materializer_options options;

    *place = (struct place){0};
    weir_flow_materializer_options_default(&options);
    options.threads = threads;
    assert_int_equal(weir_flow_materializer_new(&options, &place->materializer, NULL), WEIR_OK);
    assert_int_equal(weir_flow_graph_new(&place->graph), WEIR_OK);
}

void place_run(struct place *place)
{
    struct weir_error error = {.message = ""};
    enum weir_err err = weir_flow_run(place->graph, place->materializer, &place->stream, &error);

    if (err != WEIR_OK)
        fail_msg("%s: %s", weir_err_name(err), error.message);
}

void place_close(struct place *place)
{
    if (place->stream != NULL) {
        weir_flow_stream_abort(place->stream);
        assert_int_equal(weir_flow_stream_wait(place->stream, 20000), WEIR_OK);
        weir_flow_stream_free(place->stream);
    }
    weir_flow_graph_free(place->graph);
    weir_flow_materializer_free(place->materializer);
    assert_int_equal(thing_count, 0);
}

struct counter {
    long next, last;
};

static enum weir_err counter_open(void *opaque, void **state_out, struct weir_error *error)
{
    struct counter *counter = malloc(sizeof *counter);

    (void)error;
    if (counter == NULL)
        return WEIR_NOMEM;
    *counter = (struct counter){1, (long)(intptr_t)opaque};
    *state_out = counter;
    return WEIR_OK;
}

static enum weir_err counter_next(void *opaque, void *state, void **out, struct weir_error *error)
{
    struct counter *counter = state;

    (void)opaque;
    (void)error;
    if (counter->next > counter->last)
        return WEIR_END;
    *out = thing(counter->next++);
    return WEIR_OK;
}

static void counter_close(void *opaque, void *state)
{
    (void)opaque;
    free(state);
}

struct weir_flow_outlet count_to(struct weir_flow_graph *graph, long last)
{
    const struct weir_flow_unfold unfold = {.open = counter_open,
                                            .next = counter_next,
                                            .close = counter_close,
                                            .opaque = (void *)(intptr_t)last};
    return weir_flow_unfold(graph, &unfold, &thing_kind);
}

enum weir_err add_up(void *opaque, void *sum, void *element, void **out, struct weir_error *error)
{
    long value = take_value(element);

    (void)opaque;
    (void)error;
    if (sum != NULL)
        value += take_value(sum);
    *out = thing(value);
    return WEIR_OK;
}

enum weir_err twice(void *opaque, void *element, void **out, struct weir_error *error)
{
    (void)opaque;
    (void)error;
    *out = thing(2 * take_value(element));
    return WEIR_OK;
}
