/* Models are swapped under scoring threads: nobody waits, nobody meets a freed model, and no record
 * goes back to an older model than the one before it. Run it under TSan too. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models_place.h"

enum { READERS = 3, SWAPS = 120, ROWS = 8 };

static struct place place_memory;

struct scorer_thread {
    struct place *place;
    atomic_bool *stop;
    pthread_t thread;
    uint64_t scored;
    double last;
    bool went_back, was_wrong, had_no_scorer;
};

static void score_once(struct scorer_thread *self, struct models_reader *reader,
                       const struct weir_block *block)
{
    const struct model_set *set = models_enter(reader);
    const struct served *served = model_set_find(set, weir_slice("wine", 4));
    if (served) {
        struct weir_scorer *scorer = served_take_scorer(served);
        if (!scorer) {
            self->had_no_scorer = true;
        } else {
            weir_scorer_score(scorer, block, NULL, 0);
            const struct weir_block *output = weir_scorer_output(scorer);
            double value = output->columns[0].f64[0];
            for (uint32_t i = 1; i < ROWS; i++)
                self->was_wrong |= output->columns[0].f64[i] != value;
            /* The version says what the value must be. */
            self->was_wrong |= value != strtod(served->version + 1, NULL);
            self->went_back |= value < self->last;
            self->last = value;
            statistics_record(served->statistics, ROWS, 0, 10);
            served_give_scorer(served, scorer);
            self->scored++;
        }
    }
    models_leave(reader);
}

static void *score_until_stopped(void *argument)
{
    struct scorer_thread *self = argument;
    struct models_reader *reader;
    struct weir_block *block;
    if (weir_block_new(self->place->schema, ROWS, &block) != WEIR_OK ||
        weir_block_reset(block, ROWS) != WEIR_OK ||
        models_reader_open(self->place->models, &reader) != WEIR_OK) {
        self->was_wrong = true;
        return NULL;
    }
    uint32_t alcohol = (uint32_t)weir_schema_find(self->place->schema, "alcohol");
    for (uint32_t i = 0; i < ROWS; i++)
        weir_block_set_double(block, alcohol, i, 0);
    /* Till the end, but never before the last model was met. */
    while (!atomic_load(self->stop) || self->last < SWAPS)
        score_once(self, reader, block);
    models_reader_close(reader);
    weir_block_free(block);
    return NULL;
}

static void swap_under_readers(size_t cache_bytes)
{
    struct scorer_thread threads[READERS];
    struct models_options options;
    struct place *place = &place_memory;
    atomic_bool stop = false;
    place_options(&options);
    options.scorers = READERS;
    options.cache_bytes = cache_bytes;
    place_open(place, &options);
    assert_int_equal(models_start(place->models), WEIR_OK);
    for (int i = 0; i < READERS; i++) {
        threads[i] = (struct scorer_thread){.place = place, .stop = &stop};
        assert_int_equal(pthread_create(&threads[i].thread, NULL, score_until_stopped, &threads[i]),
                         0);
    }
    for (int i = 1; i <= SWAPS; i++) {
        char version[16];
        snprintf(version, sizeof version, "v%d", i);
        /* One key in three: older versions go for good while they may be in use. */
        place_send_value(place, i % 3 ? "key" : NULL, "wine", version, i);
        place_wait(place, MODELS_IN_FORCE, (uint32_t)i);
    }
    atomic_store(&stop, true);
    for (int i = 0; i < READERS; i++) {
        pthread_join(threads[i].thread, NULL);
        assert_true(threads[i].scored > 0);
        assert_false(threads[i].was_wrong);
        assert_false(threads[i].went_back);
        assert_false(threads[i].had_no_scorer);
    }
    struct models_counts counts;
    models_count(place->models, &counts);
    assert_int_equal(counts.swaps, SWAPS);
    assert_int_equal(counts.loaded, SWAPS);
    assert_int_equal(counts.refused, 0);
    place_close(place);
}

static void swaps_under_readers_lose_nothing(void **state)
{
    (void)state;
    swap_under_readers(0);
}

static void nor_with_a_cache_of_nothing(void **state)
{
    (void)state;
    swap_under_readers(1);
}

static void a_reader_inside_keeps_what_it_entered_with(void **state)
{
    struct models_options options;
    struct place *place = &place_memory;
    struct models_reader *inside;
    (void)state;
    place_options(&options);
    options.cache_bytes = 1;
    place_open(place, &options);
    assert_int_equal(models_start(place->models), WEIR_OK);
    assert_int_equal(models_reader_open(place->models, &inside), WEIR_OK);
    place_send_value(place, "a", "wine", "v1", 1);
    place_wait(place, MODELS_IN_FORCE, 1);
    const struct served *first = model_set_find(models_enter(inside), weir_slice(NULL, 0));
    assert_non_null(first);
    for (uint32_t i = 2; i < 6; i++) { /* the same key: nothing but the reader holds the first */
        const char version[] = {'v', (char)('0' + i), '\0'};
        place_send_value(place, "a", "wine", version, i);
        place_wait(place, MODELS_IN_FORCE, i);
    }
    assert_string_equal(first->version, "v1");
    struct weir_scorer *scorer = served_take_scorer(first);
    assert_non_null(scorer);
    weir_scorer_score(scorer, place->block, NULL, 0);
    assert_float_equal(weir_scorer_output(scorer)->columns[0].f64[0], 1, 0);
    served_give_scorer(first, scorer);
    models_leave(inside);
    assert_float_equal(place_score(place, "wine"), 5, 0);
    models_reader_close(inside);
    place_close(place);
}

static void readers_have_a_ceiling(void **state)
{
    static struct models_reader *readers[MODELS_READERS_MAX];
    struct models_options options;
    struct models_reader *one_more;
    struct place *place = &place_memory;
    (void)state;
    place_options(&options);
    place_open(place, &options); /* opens one itself */
    for (int i = 1; i < MODELS_READERS_MAX; i++)
        assert_int_equal(models_reader_open(place->models, &readers[i]), WEIR_OK);
    assert_int_equal(models_reader_open(place->models, &one_more), WEIR_LIMIT);
    models_reader_close(readers[7]);
    assert_int_equal(models_reader_open(place->models, &readers[7]), WEIR_OK);
    for (int i = 1; i < MODELS_READERS_MAX; i++)
        models_reader_close(readers[i]);
    place_close(place);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(swaps_under_readers_lose_nothing),
        cmocka_unit_test(nor_with_a_cache_of_nothing),
        cmocka_unit_test(a_reader_inside_keeps_what_it_entered_with),
        cmocka_unit_test(readers_have_a_ceiling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
