/* The models table: which model is in force, whatever order and kind of records come. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/digest.h"
#include "models_place.h"

static struct place place_memory; /* big: not on the stack */

static struct place *open_started(void)
{
    struct models_options options;
    place_options(&options);
    place_open(&place_memory, &options);
    assert_int_equal(models_start(place_memory.models), WEIR_OK);
    return &place_memory;
}

static struct models_counts counts_of(struct place *place)
{
    struct models_counts counts;
    models_count(place->models, &counts);
    return counts;
}

static void nothing_is_in_force_before_the_first_model(void **state)
{
    struct place *place = open_started();
    (void)state;
    assert_true(models_ready(place->models));
    assert_true(isnan(place_score(place, "wine")));
    place_close(place);
}

static void a_model_is_in_force_once_loaded(void **state)
{
    struct place *place = open_started();
    (void)state;
    place_send_value(place, NULL, "wine", "v1", 5);
    place_wait(place, MODELS_IN_FORCE, 1);
    assert_float_equal(place_score(place, "wine"), 5, 0);
    assert_true(isnan(place_score(place, "cheese")));
    struct models_counts counts = counts_of(place);
    assert_int_equal(counts.received, 1);
    assert_int_equal(counts.loaded, 1);
    assert_int_equal(counts.swaps, 1);
    assert_int_equal(counts.versions, 1);
    assert_true(counts.loaded_bytes > 0);
    place_close(place);
}

static void a_newer_model_replaces_it_and_is_told_what_it_replaces(void **state)
{
    struct place *place = open_started();
    (void)state;
    place_send_value(place, NULL, "wine", "v1", 5);
    place_wait(place, MODELS_IN_FORCE, 1);
    assert_string_equal(place->before, "");
    place_send_value(place, NULL, "wine", "v2", 6);
    place_wait(place, MODELS_IN_FORCE, 2);
    assert_string_equal(place->before, "v1");
    assert_float_equal(place_score(place, "wine"), 6, 0);
    place_close(place);
}

static void an_empty_data_type_means_wine(void **state)
{
    struct place *place = open_started();
    (void)state;
    place_send_value(place, NULL, "", "v1", 5);
    place_wait(place, MODELS_IN_FORCE, 1);
    assert_float_equal(place_score(place, "wine"), 5, 0);
    assert_float_equal(place_score(place, ""), 5, 0);
    place_close(place);
}

static void data_types_do_not_meddle(void **state)
{
    static const char *const names[] = {"wine", "w", "winery", "apple", "zebra"};
    struct place *place = open_started();
    (void)state;
    for (uint32_t i = 0; i < 5; i++)
        place_send_value(place, NULL, names[i], "v1", i);
    place_wait(place, MODELS_IN_FORCE, 5);
    for (uint32_t i = 0; i < 5; i++)
        assert_float_equal(place_score(place, names[i]), i, 0);
    assert_true(isnan(place_score(place, "win")));
    assert_true(isnan(place_score(place, "zebras")));
    place_close(place);
}

static void a_version_that_was_not_given_is_the_digests_beginning(void **state)
{
    struct place *place = open_started();
    uint8_t digest[32];
    char hex[65], version[256], *pmml = place_pmml(5);
    (void)state;
    weir_sha256(pmml, strlen(pmml), digest);
    weir_hex_encode(digest, 32, hex);
    weir_free(pmml);
    place_send_value(place, NULL, "wine", "", 5);
    place_wait(place, MODELS_IN_FORCE, 1);
    assert_memory_equal(place_version(place, "wine", version), hex, 16);
    assert_int_equal(strlen(version), 16);
    place_close(place);
}

/* ---- bad ones -------------------------------------------------------------------------------- */

/* The record is refused for this reason, the model before goes on, and a dead letter waits. */
static void assert_refused(struct place *place, const struct weir_descriptor *model,
                           enum weir_err why, const char *word)
{
    uint32_t refused = place->seen[MODELS_REFUSED];
    assert_int_equal(place_send(place, "the-key", model), WEIR_OK);
    place_wait(place, MODELS_REFUSED, refused + 1);
    assert_int_equal(place->refused_why, why);
    if (!strstr(place->refused_message, word))
        fail_msg("\"%s\" does not say \"%s\"", place->refused_message, word);
    assert_float_equal(place_score(place, "wine"), 5, 0);
    struct models_bad *bad = models_take_bad(place->models);
    assert_non_null(bad);
    assert_int_equal(bad->why, why);
    assert_string_equal(bad->message, place->refused_message);
    assert_string_equal(bad->rows.topic, "models");
    assert_int_equal(bad->rows.offset[0], place->records - 1);
    assert_int_equal(bad->rows.timestamp_ms[0], 1000 + place->records - 1);
    assert_memory_equal(bad->rows.key[0].data, "the-key", 7);
    assert_int_equal(bad->rows.value[0].bytes, place->topic[place->records - 1].size);
    assert_memory_equal(bad->rows.value[0].data, place->topic[place->records - 1].bytes,
                        bad->rows.value[0].bytes);
    weir_free(bad);
    assert_null(models_take_bad(place->models));
}

static struct place *open_with_a_good_model(void)
{
    struct place *place = open_started();
    place_send_value(place, "good", "wine", "v1", 5);
    place_wait(place, MODELS_IN_FORCE, 1);
    return place;
}

static struct weir_descriptor descriptor(const char *data)
{
    return (struct weir_descriptor){.name = weir_slice("m", 1),
                                    .data_type = weir_slice("wine", 4),
                                    .model_type = WEIR_DESCRIPTOR_PMML,
                                    .data = weir_slice(data, strlen(data))};
}

static void a_bad_model_never_replaces_a_good_one(void **state)
{
    struct place *place = open_with_a_good_model();
    struct weir_descriptor model = descriptor("<PMML><not closed>");
    (void)state;
    assert_refused(place, &model, WEIR_PARSE, "");
    model = descriptor("<PMML version=\"4.4\" xmlns=\"http://www.dmg.org/PMML-4_4\"/>");
    uint32_t refused = place->seen[MODELS_REFUSED];
    assert_int_equal(place_send(place, "k", &model), WEIR_OK);
    place_wait(place, MODELS_REFUSED, refused + 1);
    assert_float_equal(place_score(place, "wine"), 5, 0);
    assert_int_equal(counts_of(place).refused, 2);
    assert_int_equal(place->seen[MODELS_IN_FORCE], 1);
    place_close(place);
}

static void a_good_model_after_a_bad_one_comes_in_force(void **state)
{
    struct place *place = open_with_a_good_model();
    struct weir_descriptor model = descriptor("garbage");
    (void)state;
    assert_int_equal(place_send(place, NULL, &model), WEIR_OK);
    place_send_value(place, NULL, "wine", "v2", 6);
    place_wait(place, MODELS_IN_FORCE, 2);
    assert_float_equal(place_score(place, "wine"), 6, 0);
    place_close(place);
}

static void another_sha256_is_refused(void **state)
{
    struct place *place = open_with_a_good_model();
    char *pmml = place_pmml(6);
    struct weir_descriptor model = descriptor(pmml);
    uint8_t digest[32] = {1};
    (void)state;
    model.sha256 = weir_slice(digest, 32);
    assert_refused(place, &model, WEIR_CORRUPT, "sha256");
    weir_sha256(pmml, strlen(pmml), digest);
    assert_int_equal(place_send(place, NULL, &model), WEIR_OK);
    place_wait(place, MODELS_IN_FORCE, 2);
    assert_float_equal(place_score(place, "wine"), 6, 0);
    weir_free(pmml);
    place_close(place);
}

static void what_a_descriptor_may_not_say_is_refused_in_words(void **state)
{
    static const char long_name[300] = "a name of 300 bytes";
    struct place *place = open_with_a_good_model();
    struct weir_descriptor model = descriptor("");
    (void)state;
    model.data = weir_slice(NULL, 0);
    model.location = weir_slice("s3://models/wine", 16);
    assert_refused(place, &model, WEIR_UNSUPPORTED, "location");
    model = descriptor("<PMML/>");
    model.model_type = 7;
    assert_refused(place, &model, WEIR_UNSUPPORTED, "7");
    model = descriptor("<PMML/>");
    model.action = 9;
    assert_refused(place, &model, WEIR_UNSUPPORTED, "action");
    model = descriptor("");
    assert_refused(place, &model, WEIR_INVALID, "no content");
    model = descriptor("<PMML/>");
    model.name = weir_slice(long_name, sizeof long_name);
    assert_refused(place, &model, WEIR_LIMIT, "255");
    model = descriptor("<PMML/>");
    model.data_type = weir_slice("a\0b", 3);
    assert_refused(place, &model, WEIR_INVALID, "NUL");
    model = descriptor("");
    model.data = weir_slice(NULL, 0);
    model.action = WEIR_DESCRIPTOR_ACTIVATE;
    assert_refused(place, &model, WEIR_INVALID, "version");
    place_close(place);
}

static void bytes_that_are_no_descriptor_are_refused(void **state)
{
    struct place *place = open_with_a_good_model();
    (void)state;
    place_send_bytes(place, NULL, "\xff\xff\xff\xff\xff", 5);
    place_wait(place, MODELS_REFUSED, 1);
    assert_float_equal(place_score(place, "wine"), 5, 0);
    place_close(place);
}

static void a_bad_model_from_before_the_start_gets_no_dead_letter(void **state)
{
    struct place *place = open_with_a_good_model();
    struct weir_descriptor model = descriptor("garbage");
    (void)state;
    place->past_end = false;
    assert_int_equal(place_send(place, NULL, &model), WEIR_OK);
    place_wait(place, MODELS_REFUSED, 1);
    assert_null(models_take_bad(place->models));
    place_close(place);
}

static void bad_records_wait_for_their_letters_in_order(void **state)
{
    struct place *place = open_started();
    (void)state;
    for (int64_t i = 0; i < 200; i++)
        place_send_bytes(place, NULL, "\xff", 1);
    place_wait(place, MODELS_REFUSED, 200);
    struct models_bad *bad = models_take_bad(place->models);
    assert_int_equal(bad->rows.offset[0], 0);
    models_return_bad(place->models, bad); /* it could not be sent */
    for (int64_t i = 0; i < 200; i++) {
        bad = models_take_bad(place->models);
        assert_non_null(bad);
        assert_int_equal(bad->rows.offset[0], i);
        weir_free(bad);
    }
    assert_null(models_take_bad(place->models));
    assert_int_equal(counts_of(place).letters_dropped, 0);
    place_close(place);
}

static void bad_records_have_a_ceiling(void **state)
{
    enum { BYTES = 1 << 20, COUNT = MODELS_BAD_BYTES_MAX / BYTES + 5 };
    struct place *place = open_started();
    void *bytes = weir_alloc(BYTES);
    (void)state;
    memset(bytes, 0xff, BYTES);
    for (uint32_t i = 0; i < COUNT; i++)
        place_send_bytes(place, NULL, bytes, BYTES);
    weir_free(bytes);
    place_wait(place, MODELS_REFUSED, COUNT);
    uint64_t dropped = counts_of(place).letters_dropped;
    assert_in_range(dropped, 5, 7); /* the oldest; each takes a little more than its bytes */
    struct models_bad *bad = models_take_bad(place->models);
    assert_int_equal(bad->rows.offset[0], dropped);
    weir_free(bad);
    place_close(place);
}

static void bad_records_have_an_age(void **state)
{
    struct models_options options;
    struct place *place = &place_memory;
    (void)state;
    place_options(&options);
    options.bad_age_ns = -1; /* all of them are older */
    place_open(place, &options);
    for (int i = 0; i < 10; i++)
        place_send_bytes(place, NULL, "\xff", 1);
    assert_int_equal(counts_of(place).letters_left, 9); /* nobody has to ask for them */
    assert_null(models_take_bad(place->models));
    assert_int_equal(counts_of(place).letters_left, 10);
    place_close(place);
}

/* ---- going back ------------------------------------------------------------------------------ */

static void a_tombstone_brings_back_the_one_before(void **state)
{
    struct place *place = open_started();
    (void)state;
    place_send_value(place, "a", "wine", "v1", 5);
    place_wait(place, MODELS_IN_FORCE, 1);
    place_send_value(place, "b", "wine", "v2", 6);
    place_wait(place, MODELS_IN_FORCE, 2);
    place_send_tombstone(place, "b");
    place_wait(place, MODELS_IN_FORCE, 3);
    assert_float_equal(place_score(place, "wine"), 5, 0);
    assert_int_equal(counts_of(place).loaded, 2); /* it was still in memory */
    place_send_tombstone(place, "not a key");
    place_send_tombstone(place, NULL);
    assert_float_equal(place_score(place, "wine"), 5, 0);
    place_send_tombstone(place, "a");
    place_wait(place, MODELS_WITHDRAWN, 1);
    assert_true(isnan(place_score(place, "wine")));
    assert_int_equal(counts_of(place).versions, 0);
    place_close(place);
}

static void a_record_with_the_same_key_takes_the_place_of_the_older(void **state)
{
    struct place *place = open_started();
    (void)state;
    place_send_value(place, "a", "wine", "v1", 5);
    place_wait(place, MODELS_IN_FORCE, 1);
    place_send_value(place, "a", "wine", "v2", 6);
    place_wait(place, MODELS_IN_FORCE, 2);
    place_send_tombstone(place, "a");
    place_wait(place, MODELS_WITHDRAWN, 1);
    place_close(place);
}

static void activate_puts_an_earlier_version_in_force(void **state)
{
    struct place *place = open_started();
    (void)state;
    place_send_value(place, "a", "wine", "v1", 5);
    place_wait(place, MODELS_IN_FORCE, 1);
    place_send_value(place, "b", "wine", "v2", 6);
    place_wait(place, MODELS_IN_FORCE, 2);
    place_send_activate(place, "wine", "v1");
    place_wait(place, MODELS_IN_FORCE, 3);
    assert_float_equal(place_score(place, "wine"), 5, 0);
    place_send_value(place, "c", "wine", "v3", 7);
    place_wait(place, MODELS_IN_FORCE, 4);
    assert_float_equal(place_score(place, "wine"), 7, 0);
    place_close(place);
}

static void activate_of_a_version_still_to_come_waits_for_it(void **state)
{
    struct place *place = open_with_a_good_model();
    (void)state;
    place_send_activate(place, "wine", "v9");
    assert_float_equal(place_score(place, "wine"), 5, 0);
    place_send_value(place, "b", "wine", "v2", 6);
    place_wait(place, MODELS_IN_FORCE, 2);
    assert_float_equal(place_score(place, "wine"), 6, 0);
    place_send_value(place, "c", "wine", "v9", 9);
    place_wait(place, MODELS_IN_FORCE, 3);
    assert_float_equal(place_score(place, "wine"), 9, 0);
    place_close(place);
}

static void the_same_content_is_loaded_once(void **state)
{
    struct place *place = open_started();
    (void)state;
    place_send_value(place, NULL, "wine", "v1", 5);
    place_wait(place, MODELS_IN_FORCE, 1);
    for (int i = 0; i < 5; i++)
        place_send_value(place, NULL, "wine", "v1", 5);
    place_send_value(place, NULL, "other", "v1", 1); /* a fence: the loader works in order */
    place_wait(place, MODELS_IN_FORCE, 2);
    assert_int_equal(counts_of(place).loaded, 2);
    assert_int_equal(counts_of(place).versions, 2);
    assert_int_equal(place->seen[MODELS_RECEIVED], 2);
    place_close(place);
}

/* ---- at the start ---------------------------------------------------------------------------- */

static void superseded_models_are_not_loaded_at_the_start(void **state)
{
    struct models_options options;
    struct place *place = &place_memory;
    char key[16], version[16];
    (void)state;
    place_options(&options);
    place_open(place, &options);
    for (int i = 0; i < 20; i++) {
        snprintf(key, sizeof key, "k%d", i);
        snprintf(version, sizeof version, "v%d", i);
        place_send_value(place, key, "wine", version, i);
    }
    assert_false(models_ready(place->models));
    assert_int_equal(models_start(place->models), WEIR_OK);
    place_wait(place, MODELS_IN_FORCE, 1);
    assert_float_equal(place_score(place, "wine"), 19, 0);
    assert_int_equal(counts_of(place).loaded, 1);
    place_send_tombstone(place, "k19"); /* the one before is read again from the topic */
    place_wait(place, MODELS_IN_FORCE, 2);
    assert_float_equal(place_score(place, "wine"), 18, 0);
    assert_int_equal(counts_of(place).fetched, 1);
    assert_int_equal(place->fetches, 1);
    place_close(place);
}

static void when_the_newest_is_bad_the_one_before_is_read_again(void **state)
{
    struct models_options options;
    struct place *place = &place_memory;
    struct weir_descriptor model = descriptor("garbage");
    (void)state;
    place_options(&options);
    place_open(place, &options);
    place_send_value(place, NULL, "wine", "v1", 1);
    place_send_value(place, NULL, "wine", "v2", 2);
    assert_int_equal(place_send(place, NULL, &model), WEIR_OK);
    assert_int_equal(models_start(place->models), WEIR_OK);
    place_wait(place, MODELS_IN_FORCE, 1);
    assert_float_equal(place_score(place, "wine"), 2, 0);
    assert_int_equal(place->seen[MODELS_REFUSED], 1);
    assert_int_equal(counts_of(place).loaded, 1);
    place_close(place);
}

static void a_full_queue_says_again_and_goes_on_later(void **state)
{
    struct models_options options;
    struct place *place = &place_memory;
    char *pmml = place_pmml(3);
    struct weir_descriptor model = descriptor(pmml);
    (void)state;
    place_options(&options);
    options.queue_bytes = 1;
    place_open(place, &options);
    place_send_value(place, NULL, "wine", "v1", 1);
    assert_int_equal(place_send(place, NULL, &model), WEIR_AGAIN);
    assert_int_equal(counts_of(place).received, 1);
    assert_int_equal(models_start(place->models), WEIR_OK);
    place_wait(place, MODELS_IN_FORCE, 1);
    assert_int_equal(place_send(place, NULL, &model), WEIR_OK);
    place_wait(place, MODELS_IN_FORCE, 2);
    assert_float_equal(place_score(place, "wine"), 3, 0);
    weir_free(pmml);
    place_close(place);
}

/* ---- the cache ------------------------------------------------------------------------------- */

static void what_the_cache_has_no_room_for_is_read_again(void **state)
{
    struct models_options options;
    struct place *place = &place_memory;
    (void)state;
    place_options(&options);
    options.cache_bytes = 1;
    place_open(place, &options);
    assert_int_equal(models_start(place->models), WEIR_OK);
    for (uint32_t i = 1; i <= 4; i++) {
        const char key[] = {(char)('a' + i), '\0'}, version[] = {'v', (char)('0' + i), '\0'};
        place_send_value(place, key, "wine", version, i);
        place_wait(place, MODELS_IN_FORCE, i);
    }
    place_send_value(place, NULL, "other", "v1", 0); /* a fence: the loader tidies up before it */
    place_wait(place, MODELS_IN_FORCE, 5);
    assert_int_equal(counts_of(place).evicted, 3);
    place_send_activate(place, "wine", "v1");
    place_wait(place, MODELS_IN_FORCE, 6);
    assert_float_equal(place_score(place, "wine"), 1, 0);
    assert_int_equal(place->fetches, 1);
    assert_int_equal(counts_of(place).fetched, 1);
    place_close(place);
}

static void a_version_that_is_gone_from_the_topic_is_refused(void **state)
{
    struct models_options options;
    struct place *place = &place_memory;
    (void)state;
    place_options(&options);
    place_open(place, &options);
    place_send_value(place, "a", "wine", "v1", 1);
    place_send_value(place, "b", "wine", "v2", 2);
    assert_int_equal(models_start(place->models), WEIR_OK);
    place_wait(place, MODELS_IN_FORCE, 1);
    pthread_mutex_lock(&place->lock);
    place->fetch_fails = true;
    pthread_mutex_unlock(&place->lock);
    place_send_activate(place, "wine", "v1");
    place_wait(place, MODELS_REFUSED, 1);
    assert_int_equal(place->refused_why, WEIR_NOT_FOUND);
    assert_float_equal(place_score(place, "wine"), 2, 0);
    place_close(place);
}

/* The bad record's key is that of the model in force; an older model of another key is there. */
static void a_bad_model_does_not_take_the_place_of_the_good_one_with_its_key(void **state)
{
    struct place *place = open_started();
    struct weir_descriptor model = descriptor("garbage");
    (void)state;
    place_send_value(place, "older", "wine", "v1", 1);
    place_wait(place, MODELS_IN_FORCE, 1);
    place_send_value(place, "fixed", "wine", "v2", 2);
    place_wait(place, MODELS_IN_FORCE, 2);
    for (uint32_t i = 1; i <= 3; i++) {
        char content[16];
        snprintf(content, sizeof content, "garbage %u", i);
        model = descriptor(content);
        assert_int_equal(place_send(place, "fixed", &model), WEIR_OK);
        place_wait(place, MODELS_REFUSED, i);
        place_send_value(place, NULL, "other", "v", i); /* a fence */
        place_wait(place, MODELS_IN_FORCE, 2 + i);
        assert_float_equal(place_score(place, "wine"), 2, 0);
    }
    place_send_tombstone(place, "older");
    assert_float_equal(place_score(place, "wine"), 2, 0);
    place_send_value(place, "fixed", "wine", "v3", 3); /* takes the place of all of them */
    place_wait(place, MODELS_IN_FORCE, 6);
    assert_float_equal(place_score(place, "wine"), 3, 0);
    place_send_tombstone(place, "fixed");
    place_wait(place, MODELS_WITHDRAWN, 1);
    place_close(place);
}

static void a_tombstone_takes_the_bad_model_and_the_good_one_of_its_key(void **state)
{
    struct place *place = open_started();
    struct weir_descriptor model = descriptor("garbage");
    (void)state;
    place_send_value(place, "older", "wine", "v1", 1);
    place_wait(place, MODELS_IN_FORCE, 1);
    place_send_value(place, "fixed", "wine", "v2", 2);
    place_wait(place, MODELS_IN_FORCE, 2);
    assert_int_equal(place_send(place, "fixed", &model), WEIR_OK);
    place_wait(place, MODELS_REFUSED, 1);
    place_send_tombstone(place, "fixed");
    place_wait(place, MODELS_IN_FORCE, 3);
    assert_float_equal(place_score(place, "wine"), 1, 0);
    place_close(place);
}

static void an_activate_keeps_the_record_of_its_own_key_that_it_names(void **state)
{
    struct place *place = open_started();
    (void)state;
    place_send_value(place, "older", "wine", "v1", 1);
    place_wait(place, MODELS_IN_FORCE, 1);
    place_send_value(place, "wine", "wine", "v2", 2);
    place_wait(place, MODELS_IN_FORCE, 2);
    struct weir_descriptor model = {.name = weir_slice("m", 1),
                                    .data_type = weir_slice("wine", 4),
                                    .version = weir_slice("v2", 2),
                                    .action = WEIR_DESCRIPTOR_ACTIVATE};
    assert_int_equal(place_send(place, "wine", &model), WEIR_OK);
    place_send_value(place, NULL, "other", "v", 0); /* a fence */
    place_wait(place, MODELS_IN_FORCE, 3);
    assert_float_equal(place_score(place, "wine"), 2, 0);
    place_close(place);
}

static void a_version_is_read_again_where_it_was_sent_last(void **state)
{
    struct models_options options;
    struct place *place = &place_memory;
    (void)state;
    place_options(&options);
    options.cache_bytes = 1;
    place_open(place, &options);
    assert_int_equal(models_start(place->models), WEIR_OK);
    place_send_value(place, "a", "wine", "v1", 1);
    place_wait(place, MODELS_IN_FORCE, 1);
    place_send_value(place, "a", "wine", "v1", 1);
    place_send_value(place, "b", "wine", "v2", 2);
    place_wait(place, MODELS_IN_FORCE, 2);
    place_send_value(place, NULL, "other", "v1", 0); /* a fence: the loader tidies up before it */
    place_wait(place, MODELS_IN_FORCE, 3);
    pthread_mutex_lock(&place->lock);
    place->topic[0].size = 0; /* compacted away */
    pthread_mutex_unlock(&place->lock);
    place_send_tombstone(place, "b");
    place_wait(place, MODELS_IN_FORCE, 4);
    assert_float_equal(place_score(place, "wine"), 1, 0);
    assert_int_equal(place->fetches, 1);
    place_close(place);
}

/* ---- what people see ------------------------------------------------------------------------- */

static void see_state(void *opaque, const struct models_view *view)
{
    char *line = opaque;
    size_t used = strlen(line);
    snprintf(line + used, 256 - used, "%s %s %s;", view->data_type, view->version, view->state);
    assert_int_equal(view->in_force, strcmp(view->state, "in-force") == 0);
    assert_int_equal(view->bytes > 0, *view->algorithm != '\0');
    assert_int_equal(*view->reason != '\0', strcmp(view->state, "refused") == 0);
}

static void every_version_is_shown_with_its_state(void **state)
{
    struct place *place = open_started();
    char line[256] = "";
    struct weir_descriptor model = descriptor("garbage");
    (void)state;
    model.version = weir_slice("v3", 2);
    place_send_value(place, NULL, "wine", "v1", 5);
    place_wait(place, MODELS_IN_FORCE, 1);
    place_send_value(place, NULL, "wine", "v2", 6);
    place_wait(place, MODELS_IN_FORCE, 2);
    assert_int_equal(place_send(place, NULL, &model), WEIR_OK);
    place_wait(place, MODELS_REFUSED, 1);
    place_send_value(place, NULL, "apple", "v1", 1);
    place_wait(place, MODELS_IN_FORCE, 3);
    models_each(place->models, see_state, line);
    assert_string_equal(line,
                        "apple v1 in-force;wine v3 refused;wine v2 in-force;wine v1 standby;");
    place_close(place);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_in_force_before_the_first_model),
        cmocka_unit_test(a_model_is_in_force_once_loaded),
        cmocka_unit_test(a_newer_model_replaces_it_and_is_told_what_it_replaces),
        cmocka_unit_test(an_empty_data_type_means_wine),
        cmocka_unit_test(data_types_do_not_meddle),
        cmocka_unit_test(a_version_that_was_not_given_is_the_digests_beginning),
        cmocka_unit_test(a_bad_model_never_replaces_a_good_one),
        cmocka_unit_test(a_good_model_after_a_bad_one_comes_in_force),
        cmocka_unit_test(another_sha256_is_refused),
        cmocka_unit_test(what_a_descriptor_may_not_say_is_refused_in_words),
        cmocka_unit_test(bytes_that_are_no_descriptor_are_refused),
        cmocka_unit_test(a_bad_model_from_before_the_start_gets_no_dead_letter),
        cmocka_unit_test(bad_records_wait_for_their_letters_in_order),
        cmocka_unit_test(bad_records_have_a_ceiling),
        cmocka_unit_test(bad_records_have_an_age),
        cmocka_unit_test(a_tombstone_brings_back_the_one_before),
        cmocka_unit_test(a_record_with_the_same_key_takes_the_place_of_the_older),
        cmocka_unit_test(activate_puts_an_earlier_version_in_force),
        cmocka_unit_test(activate_of_a_version_still_to_come_waits_for_it),
        cmocka_unit_test(the_same_content_is_loaded_once),
        cmocka_unit_test(superseded_models_are_not_loaded_at_the_start),
        cmocka_unit_test(when_the_newest_is_bad_the_one_before_is_read_again),
        cmocka_unit_test(a_full_queue_says_again_and_goes_on_later),
        cmocka_unit_test(what_the_cache_has_no_room_for_is_read_again),
        cmocka_unit_test(a_version_that_is_gone_from_the_topic_is_refused),
        cmocka_unit_test(a_bad_model_does_not_take_the_place_of_the_good_one_with_its_key),
        cmocka_unit_test(a_tombstone_takes_the_bad_model_and_the_good_one_of_its_key),
        cmocka_unit_test(an_activate_keeps_the_record_of_its_own_key_that_it_names),
        cmocka_unit_test(a_version_is_read_again_where_it_was_sent_last),
        cmocka_unit_test(every_version_is_shown_with_its_state),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
