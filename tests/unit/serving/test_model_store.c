/* What the model servers keep in their stores: its bytes, and the store of our own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "serving/model_record.h"
#include "serving/model_shelf.h"

static struct model_record record_of(uint8_t digest, uint64_t usage)
{
    struct model_record record = {.name = "a model", .since_ms = 1700000000000};
    memset(record.digest, digest, sizeof record.digest);
    record.statistics = (struct statistics_copy){
        .usage = usage, .errors = 2, .duration_ns = 1000, .min_ns = 5, .max_ns = 70};
    return record;
}

static void a_record_comes_back(void **state)
{
    uint8_t bytes[MODEL_RECORD_BYTES_MAX];
    struct model_record record = record_of(7, 12), found;
    struct weir_error error;
    (void)state;
    size_t size = model_record_encode(&record, bytes);
    assert_int_equal(size, 1 + 4 + 32 + 48 + 1 + strlen("a model"));
    assert_int_equal(model_record_decode(weir_slice(bytes, size), &found, &error), WEIR_OK);
    assert_string_equal(found.name, "a model");
    assert_int_equal(found.since_ms, record.since_ms);
    assert_memory_equal(found.digest, record.digest, sizeof found.digest);
    assert_memory_equal(&found.statistics, &record.statistics, sizeof found.statistics);
    memset(record.name, 'n', MODELS_NAME_BYTES_MAX);
    record.name[MODELS_NAME_BYTES_MAX] = '\0';
    size = model_record_encode(&record, bytes);
    assert_int_equal(size, sizeof bytes);
    assert_int_equal(model_record_decode(weir_slice(bytes, size), &found, &error), WEIR_OK);
    assert_string_equal(found.name, record.name);
}

static void damage_is_seen(void **state)
{
    uint8_t bytes[MODEL_RECORD_BYTES_MAX];
    struct model_record record = record_of(7, 12), found;
    struct weir_error error;
    (void)state;
    size_t size = model_record_encode(&record, bytes);
    for (size_t at = 0; at < size; at++) {
        bytes[at] ^= 0x10;
        enum weir_err err = model_record_decode(weir_slice(bytes, size), &found, &error);
        assert_int_equal(err, at == 0 ? WEIR_OTHER_VERSION : WEIR_CORRUPT);
        bytes[at] ^= 0x10;
    }
    for (size_t less = 0; less < size; less++)
        assert_int_equal(model_record_decode(weir_slice(bytes, less), &found, &error),
                         WEIR_CORRUPT);
}

static void another_model_begins_anew(void **state)
{
    struct model_record record = record_of(7, 12), same = record_of(7, 3), other = record_of(8, 4);
    (void)state;
    same.statistics.min_ns = 4;
    model_record_add(&record, &same);
    assert_int_equal(record.statistics.usage, 15);
    assert_int_equal(record.statistics.errors, 4);
    assert_int_equal(record.statistics.min_ns, 4);
    assert_int_equal(record.statistics.max_ns, 70);
    model_record_add(&record, &other);
    assert_int_equal(record.statistics.usage, 4);
    assert_int_equal(record.digest[0], 8);
}

/* ---- the shelf ------------------------------------------------------------------------------- */

enum { TYPES = 12 };

static void *open_shelf(void)
{
    const struct weir_store_place place = {.task_id = "0_0", .store = model_store_name};
    void *shelf;
    int64_t position;
    assert_int_equal(model_shelf_engine()->open(NULL, &place, &shelf, &position, NULL), WEIR_OK);
    assert_int_equal(position, -1);
    return shelf;
}

/* Types are the one letter 'a' + number. */
static struct weir_slice type_of(char *text, int number)
{
    *text = (char)('a' + number);
    return weir_slice(text, 1);
}

static void check_shelf(void *shelf, const uint64_t usage[TYPES])
{
    const struct weir_store_engine *engine = model_shelf_engine();
    struct weir_slice key, value, none = {NULL, 0};
    struct model_record record;
    char text;
    uint64_t count = 0;
    for (int i = 0; i < TYPES; i++) {
        enum weir_err err = engine->get(shelf, type_of(&text, i), &value, NULL);
        assert_int_equal(err, usage[i] ? WEIR_OK : WEIR_NOT_FOUND);
        if (err == WEIR_OK) {
            assert_int_equal(model_record_decode(value, &record, NULL), WEIR_OK);
            assert_int_equal(record.statistics.usage, usage[i]);
        }
        count += usage[i] > 0;
        for (int how = 0; how < 4; how++) { /* beyond or not, back or on */
            bool beyond = how & 1, back = how & 2;
            int wanted = beyond ? (back ? i - 1 : i + 1) : i;
            while (wanted >= 0 && wanted < TYPES && !usage[wanted])
                wanted += back ? -1 : 1;
            err = engine->seek(shelf, type_of(&text, i), beyond, back, &key, &value, NULL);
            assert_int_equal(err, wanted >= 0 && wanted < TYPES ? WEIR_OK : WEIR_END);
            if (err == WEIR_OK)
                assert_int_equal(((const char *)key.data)[0], 'a' + wanted);
        }
    }
    assert_int_equal(engine->count(shelf), count);
    assert_int_equal(engine->seek(shelf, none, false, false, &key, &value, NULL),
                     count ? WEIR_OK : WEIR_END);
    assert_int_equal(engine->seek(shelf, none, false, true, &key, &value, NULL),
                     count ? WEIR_OK : WEIR_END);
}

static void a_shelf_is_an_ordered_map(void **state)
{
    const struct weir_store_engine *engine = model_shelf_engine();
    struct weir_random random = {.state = 5};
    uint64_t usage[TYPES] = {0};
    void *shelf = open_shelf();
    (void)state;
    assert_int_equal(weir_store_engine_check(engine, NULL), WEIR_OK);
    for (int round = 0; round < 2000; round++) {
        uint8_t bytes[MODEL_RECORD_BYTES_MAX];
        char text;
        int type = (int)weir_random_below(&random, TYPES);
        usage[type] = weir_random_below(&random, 3) ? 1 + weir_random_below(&random, 100) : 0;
        struct model_record record = record_of(1, usage[type]);
        size_t size = usage[type] ? model_record_encode(&record, bytes) : 0;
        const struct weir_store_write write = {
            .key = type_of(&text, type), .value = weir_slice(usage[type] ? bytes : NULL, size)};
        assert_int_equal(engine->write(shelf, &write, 1, round, NULL), WEIR_OK);
        check_shelf(shelf, usage);
    }
    engine->close(shelf);
}

static void a_shelf_takes_nothing_else(void **state)
{
    const struct weir_store_engine *engine = model_shelf_engine();
    void *shelf = open_shelf();
    struct weir_error error;
    uint8_t bytes[MODEL_RECORD_BYTES_MAX];
    struct model_record record = record_of(1, 1);
    char name[32];
    (void)state;
    struct weir_store_write write = {.key = weir_slice("wine", 4), .value = weir_slice("x", 1)};
    assert_int_equal(engine->write(shelf, &write, 1, 0, &error), WEIR_OTHER_VERSION);
    write.value = weir_slice(bytes, model_record_encode(&record, bytes));
    for (int i = 0; i < MODELS_TYPES_MAX; i++) {
        write.key = weir_slice(name, (size_t)snprintf(name, sizeof name, "type %d", i));
        assert_int_equal(engine->write(shelf, &write, 1, i, &error), WEIR_OK);
    }
    write.key = weir_slice("one more", 8);
    assert_int_equal(engine->write(shelf, &write, 1, 0, &error), WEIR_LIMIT);
    engine->close(shelf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_comes_back),        cmocka_unit_test(damage_is_seen),
        cmocka_unit_test(another_model_begins_anew),  cmocka_unit_test(a_shelf_is_an_ordered_map),
        cmocka_unit_test(a_shelf_takes_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
