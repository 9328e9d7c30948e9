/* Protobuf records become columns; what can't be decoded is marked, with a reason, and nothing else
 * is touched. protobuf-c is the independent oracle. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <weir/record.h>

#include "winerecord.pb-c.h"

enum { RECORDS = 2000, RECORD_BYTES = 512 };

static uint64_t seed;

static uint64_t next_random(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

static double random_double(void)
{
    return (double)(int64_t)next_random() / 1e12;
}

struct fixture {
    struct weir_schema *schema;
    struct weir_decoder *decoder;
    struct weir_block *block;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    const char *given = getenv("WEIR_TEST_SEED");
    seed = given ? strtoull(given, NULL, 0) : UINT64_C(0x9e3779b97f4a7c15);
    print_message("WEIR_TEST_SEED=%llu\n", (unsigned long long)seed);
    assert_int_equal(weir_schema_wine(&f->schema), WEIR_OK);
    assert_int_equal(weir_decoder_protobuf_new(f->schema, &f->decoder, NULL), WEIR_OK);
    assert_int_equal(weir_block_new(f->schema, 64, &f->block), WEIR_OK);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    weir_block_free(f->block);
    weir_decoder_free(f->decoder);
    weir_schema_unref(f->schema);
    free(f);
    return 0;
}

/* Decodes these values as one block. */
static void decode(struct fixture *f, const struct weir_slice *values, uint32_t count)
{
    assert_int_equal(weir_block_prepare(f->block, count), WEIR_OK);
    f->block->rows_meta.value = values;
    assert_int_equal(weir_decode(f->decoder, f->block), WEIR_OK);
}

static double *field_of(WineRecord *record, uint32_t index)
{
    double *fields[] = {&record->fixed_acidity,
                        &record->volatile_acidity,
                        &record->citric_acid,
                        &record->residual_sugar,
                        &record->chlorides,
                        &record->free_sulfur_dioxide,
                        &record->total_sulfur_dioxide,
                        &record->density,
                        &record->ph,
                        &record->sulphates,
                        &record->alcohol};
    return fields[index];
}

static void assert_row(const struct weir_block *block, uint32_t row, WineRecord *expected)
{
    assert_int_equal(block->status[row], WEIR_OK);
    for (uint32_t i = 0; i < 11; i++) {
        assert_true(weir_column_is_valid(&block->columns[i], row));
        assert_memory_equal(&block->columns[i].f64[row], field_of(expected, i), sizeof(double));
    }
    struct weir_slice type = weir_block_string(block, 11, row);
    assert_int_equal(type.bytes, strlen(expected->datatype));
    assert_memory_equal(type.data, expected->datatype, type.bytes);
    assert_int_equal(block->columns[12].i64[row], expected->ts);
}

static void records_decode_as_protobuf_c_decodes_them(void **state)
{
    struct fixture *f = *state;
    static uint8_t bytes[RECORDS][RECORD_BYTES];
    static struct weir_slice values[RECORDS];
    static char types[RECORDS][24];
    static WineRecord records[RECORDS];
    for (uint32_t row = 0; row < RECORDS; row++) {
        WineRecord record = WINE_RECORD__INIT;
        for (uint32_t i = 0; i < 11; i++)
            if (next_random() % 8) /* some stay 0 and are not written */
                *field_of(&record, i) = random_double();
        snprintf(types[row], sizeof types[row], "type%u", (unsigned)(next_random() % 300));
        record.datatype = next_random() % 5 ? types[row] : (char *)protobuf_c_empty_string;
        record.ts = next_random() % 3 ? (int64_t)next_random() : 0;
        records[row] = record;
        values[row] = weir_slice(bytes[row], wine_record__pack(&record, bytes[row]));
    }
    decode(f, values, RECORDS);
    assert_int_equal(f->block->failed, 0);
    for (uint32_t row = 0; row < RECORDS; row++)
        assert_row(f->block, row, &records[row]);
    assert_int_equal(f->block->columns[0].valid_count, RECORDS);
}

static void an_encoded_row_reads_back_by_protobuf_c(void **state)
{
    struct fixture *f = *state;
    uint8_t bytes[RECORD_BYTES];
    size_t count;
    assert_int_equal(weir_block_reset(f->block, 1), WEIR_OK);
    for (uint32_t i = 0; i < 11; i++)
        weir_block_set_double(f->block, i, 0, i + 0.5);
    assert_int_equal(weir_block_set_string(f->block, 11, 0, weir_slice("wine", 4)), WEIR_OK);
    assert_int_equal(weir_encode_protobuf(f->block, 0, bytes, sizeof bytes, &count), WEIR_OK);
    assert_int_equal(count, 105); /* the size that the reference's client sends */
    assert_int_equal(weir_encode_protobuf(f->block, 0, bytes, count - 1, &count), WEIR_LIMIT);
    WineRecord *record = wine_record__unpack(NULL, 105, bytes);
    assert_non_null(record);
    for (uint32_t i = 0; i < 11; i++)
        assert_true(*field_of(record, i) == i + 0.5);
    assert_string_equal(record->datatype, "wine");
    wine_record__free_unpacked(record, NULL);
}

static void every_cut_of_a_record_is_refused_or_ends_between_fields(void **state)
{
    struct fixture *f = *state;
    WineRecord record = WINE_RECORD__INIT;
    uint8_t bytes[RECORD_BYTES];
    for (uint32_t i = 0; i < 11; i++)
        *field_of(&record, i) = 1.5;
    record.datatype = "wine";
    size_t whole = wine_record__pack(&record, bytes);
    for (size_t cut = 0; cut < whole; cut++) {
        uint8_t *exact = malloc(cut ? cut : 1); /* so that a sanitizer sees a read beyond it */
        memcpy(exact, bytes, cut);
        struct weir_slice value = weir_slice(exact, cut);
        decode(f, &value, 1);
        bool between = cut <= 99 && cut % 9 == 0;
        assert_int_equal(f->block->status[0], between ? WEIR_OK : WEIR_TRUNCATED);
        if (!between) {
            struct weir_error error;
            assert_int_equal(weir_decode_explain(f->decoder, value, &error), WEIR_TRUNCATED);
            assert_true(error.position >= 0 && error.position < (int64_t)cut);
            assert_true(isnan(f->block->columns[0].f64[0]));
            assert_int_equal(f->block->columns[0].valid_count, 0);
        }
        free(exact);
    }
}

static void bad_records_are_refused_with_code_place_and_reason(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *bytes;
        size_t count;
        enum weir_err err;
        int64_t position;
        const char *words;
    } cases[] = {
        {"\x00\x01", 2, WEIR_PARSE, 0, "tag"},           /* field number 0 */
        {"\x0b", 1, WEIR_PARSE, 0, "tag"},               /* a group */
        {"\x08\x01", 2, WEIR_PARSE, 0, "fixed_acidity"}, /* varint for a double */
        {"\x62\x02\xc3\x28", 4, WEIR_PARSE, 0, "UTF-8"}, /* dataType */
        {"\x62\x7f"
         "x",
         3, WEIR_TRUNCATED, 0, "dataType"}, /* length beyond the end */
        {"\x68\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 11, WEIR_PARSE, 0, "ts"},
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 11, WEIR_PARSE, 0, "tag"},
        {"\xa2\x06\x01zjunk", 8, WEIR_PARSE, 4, "ts"}, /* behind a field that is well formed */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct weir_slice value = weir_slice(cases[i].bytes, cases[i].count);
        struct weir_error error = {0};
        decode(f, &value, 1);
        print_message("case %zu\n", i);
        assert_int_equal(f->block->status[0], cases[i].err);
        assert_int_equal(weir_decode_explain(f->decoder, value, &error), cases[i].err);
        assert_int_equal(error.position, cases[i].position);
        assert_non_null(strstr(error.message, cases[i].words));
    }
}

static void a_null_or_oversized_value_is_refused(void **state)
{
    struct fixture *f = *state;
    char *large = calloc(1, WEIR_RECORD_BYTES_MAX + 1);
    struct weir_slice values[] = {weir_slice(NULL, 0), weir_slice("", 0),
                                  weir_slice(large, WEIR_RECORD_BYTES_MAX + 1)};
    decode(f, values, 3);
    assert_int_equal(f->block->status[0], WEIR_PARSE);
    assert_int_equal(f->block->status[1], WEIR_OK); /* proto3: all defaults */
    assert_int_equal(f->block->status[2], WEIR_LIMIT);
    assert_int_equal(f->block->failed, 2);
    free(large);
}

static void unknown_fields_are_skipped_and_repeats_overwrite(void **state)
{
    struct fixture *f = *state;
    /* field 100 (bytes), field 14 (varint), field 1 twice, field 15 (fixed32) */
    static const char bytes[] = "\xa2\x06\x03xyz\x70\x2a"
                                "\x09\0\0\0\0\0\0\xf0\x3f\x09\0\0\0\0\0\0\x00\x40\x7d"
                                "abcd";
    struct weir_slice value = weir_slice(bytes, sizeof bytes - 1);
    decode(f, &value, 1);
    assert_int_equal(f->block->status[0], WEIR_OK);
    assert_true(f->block->columns[0].f64[0] == 2.0);
    assert_true(f->block->columns[1].f64[0] == 0.0);
}

static void doubles_in_any_order_and_absent_ones_come_out_right(void **state)
{
    struct fixture *f = *state;
    /* what each record holds: field numbers; the value of field n in row r is 100 r + n */
    static const uint8_t numbers[][12] = {
        {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11},
        {11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1},
        {2, 4, 11},
        {11, 1},
        {0},
        {3, 3, 1, 2},
    };
    enum { COUNT = sizeof numbers / sizeof numbers[0] };
    uint8_t bytes[COUNT][12 * 9];
    struct weir_slice values[COUNT];
    for (uint32_t r = 0; r < COUNT; r++) {
        size_t at = 0;
        for (uint32_t i = 0; i < 12 && numbers[r][i] > 0; i++, at += 9) {
            double value = 100.0 * r + numbers[r][i];
            bytes[r][at] = (uint8_t)(numbers[r][i] << 3 | 1);
            memcpy(bytes[r] + at + 1, &value, sizeof value);
        }
        values[r] = weir_slice(bytes[r], at);
    }
    decode(f, values, COUNT);
    for (uint32_t first = 0; first < 2; first++) { /* again, into cells that hold other rows */
        decode(f, values + first, COUNT - first);
        for (uint32_t r = first; r < COUNT; r++) {
            double want[12] = {0};
            for (uint32_t i = 0; i < 12; i++) {
                want[numbers[r][i]] = 100.0 * r + numbers[r][i];
            }
            assert_int_equal(f->block->status[r - first], WEIR_OK);
            for (uint32_t c = 0; c < 11; c++) {
                assert_true(f->block->columns[c].f64[r - first] == want[c + 1]);
            }
        }
    }
}

static void distinct_strings_beyond_the_ceiling_do_not_grow_a_dictionary(void **state)
{
    struct fixture *f = *state;
    static uint8_t bytes[1000][64];
    static struct weir_slice values[1000];
    uint32_t number = 0;
    for (uint32_t round = 0; round < 400; round++) {
        for (uint32_t row = 0; row < 1000; row++) {
            char type[24];
            WineRecord record = WINE_RECORD__INIT;
            snprintf(type, sizeof type, "t%u", (unsigned)number++);
            record.datatype = type;
            values[row] = weir_slice(bytes[row], wine_record__pack(&record, bytes[row]));
        }
        decode(f, values, 1000);
        assert_int_equal(f->block->failed, 0);
        assert_true(f->block->columns[11].dictionary->count <= WEIR_DICTIONARY_MAX);
    }
    assert_true(f->block->columns[11].dictionary->count < 400000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(records_decode_as_protobuf_c_decodes_them, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(an_encoded_row_reads_back_by_protobuf_c, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_cut_of_a_record_is_refused_or_ends_between_fields,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(bad_records_are_refused_with_code_place_and_reason, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_null_or_oversized_value_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(unknown_fields_are_skipped_and_repeats_overwrite, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(doubles_in_any_order_and_absent_ones_come_out_right, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(
            distinct_strings_beyond_the_ceiling_do_not_grow_a_dictionary, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
