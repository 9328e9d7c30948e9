/* ModelDescriptor and ScoringResult are byte-compatible with their .proto files (protobuf-c is the
 * oracle), and what is not one of them is refused with its place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <weir/record.h>

#include "modeldescriptor.pb-c.h"
#include "scoringresult.pb-c.h"

static struct weir_slice text(const char *string)
{
    return weir_slice(string, strlen(string));
}

static void assert_slice(struct weir_slice actual, const char *expected)
{
    assert_int_equal(actual.bytes, strlen(expected));
    assert_memory_equal(actual.data, expected, actual.bytes);
}

static const uint8_t digest[32] = {1, 2, 3, 0xff, 0, 0xfe};

static void a_descriptor_reads_back_by_protobuf_c(void **state)
{
    (void)state;
    struct weir_descriptor sent = {.name = text("forest"),
                                   .description = text("ten trees"),
                                   .data_type = text("wine"),
                                   .model_type = WEIR_DESCRIPTOR_PMML,
                                   .data = text("<PMML/>"),
                                   .version = text("v7"),
                                   .sha256 = weir_slice(digest, sizeof digest),
                                   .action = WEIR_DESCRIPTOR_ADD};
    uint8_t bytes[512];
    size_t count = weir_descriptor_encode(&sent, bytes);
    assert_int_equal(count, weir_descriptor_bytes(&sent));
    ModelDescriptor *got = model_descriptor__unpack(NULL, count, bytes);
    assert_non_null(got);
    assert_string_equal(got->name, "forest");
    assert_string_equal(got->description, "ten trees");
    assert_string_equal(got->datatype, "wine");
    assert_int_equal(got->modeltype, MODEL_DESCRIPTOR__MODEL_TYPE__PMML);
    assert_int_equal(got->message_content_case, MODEL_DESCRIPTOR__MESSAGE_CONTENT_DATA);
    assert_int_equal(got->data.len, 7);
    assert_string_equal(got->version, "v7");
    assert_memory_equal(got->sha256.data, digest, 32);
    model_descriptor__free_unpacked(got, NULL);
}

static void a_descriptor_of_protobuf_c_is_read(void **state)
{
    (void)state;
    ModelDescriptor sent = MODEL_DESCRIPTOR__INIT;
    uint8_t bytes[512];
    struct weir_descriptor got;
    sent.name = (char *)"data/optimized_WineQuality";
    sent.datatype = (char *)"wine";
    sent.message_content_case = MODEL_DESCRIPTOR__MESSAGE_CONTENT_LOCATION;
    sent.location = (char *)"file:///models/m.pb";
    sent.action = MODEL_DESCRIPTOR__ACTION__ACTIVATE;
    struct weir_slice value = weir_slice(bytes, model_descriptor__pack(&sent, bytes));
    assert_int_equal(weir_descriptor_decode(value, &got, NULL), WEIR_OK);
    assert_slice(got.name, "data/optimized_WineQuality");
    assert_int_equal(got.model_type, WEIR_DESCRIPTOR_TENSORFLOW);
    assert_null(got.data.data);
    assert_slice(got.location, "file:///models/m.pb");
    assert_int_equal(got.action, WEIR_DESCRIPTOR_ACTIVATE);
    assert_null(got.sha256.data);
}

static void every_cut_of_a_descriptor_is_refused_or_ends_between_fields(void **state)
{
    (void)state;
    struct weir_descriptor sent = {.name = text("n"), .data = text("12345"), .version = text("v")};
    uint8_t bytes[64];
    size_t count = weir_descriptor_encode(&sent, bytes);
    for (size_t cut = 0; cut < count; cut++) {
        struct weir_descriptor got;
        struct weir_error error = {0};
        uint8_t *exact = malloc(cut ? cut : 1);
        memcpy(exact, bytes, cut);
        enum weir_err err = weir_descriptor_decode(weir_slice(exact, cut), &got, &error);
        bool between = cut == 0 || cut == 3 || cut == 10;
        assert_int_equal(err, between ? WEIR_OK : WEIR_TRUNCATED);
        if (!between)
            assert_true(error.position < (int64_t)cut);
        free(exact);
    }
}

static void a_result_reads_back_by_protobuf_c_within_150_bytes(void **state)
{
    (void)state;
    struct weir_result sent = {.kind = WEIR_RESULT_NUMBER,
                               .number = 5.67910447761194,
                               .data_type = text("wine"),
                               .model = text("winequalityRandonForrestClassification"),
                               .digest = weir_slice(digest, sizeof digest),
                               .model_partition = 0,
                               .model_offset = 7,
                               .source_topic = text("mdata"),
                               .source_partition = 3,
                               .source_offset = 1234567,
                               .queue_ns = 812345,
                               .score_ns = 63};
    uint8_t bytes[WEIR_RESULT_BYTES_MAX];
    size_t count = weir_result_encode(&sent, bytes, sizeof bytes);
    assert_true(count <= 150);
    ScoringResult *got = scoring_result__unpack(NULL, count, bytes);
    assert_non_null(got);
    assert_int_equal(got->format, 1);
    assert_int_equal(got->value_case, SCORING_RESULT__VALUE_NUMBER);
    assert_true(got->number == 5.67910447761194);
    assert_string_equal(got->datatype, "wine");
    assert_int_equal(got->position->offset, 7);
    assert_int_equal(got->source_partition, 3);
    assert_int_equal(got->source_offset, 1234567);
    assert_int_equal(got->score_ns, 63);
    scoring_result__free_unpacked(got, NULL);
}

static void results_of_each_kind_read_back(void **state)
{
    (void)state;
    uint8_t bytes[WEIR_RESULT_BYTES_MAX];
    struct weir_result got;
    struct weir_result label = {
        .kind = WEIR_RESULT_LABEL, .label = text("6"), .model_offset = 0, .source_offset = 9};
    size_t count = weir_result_encode(&label, bytes, sizeof bytes);
    assert_int_equal(weir_result_decode(weir_slice(bytes, count), &got, NULL), WEIR_OK);
    assert_int_equal(got.kind, WEIR_RESULT_LABEL);
    assert_slice(got.label, "6");
    assert_int_equal(got.model_offset, 0);
    assert_int_equal(got.source_offset, 9);
    struct weir_result failed = {.kind = WEIR_RESULT_ERROR,
                                 .error = WEIR_NO_MODEL,
                                 .error_message = text("no model for wine"),
                                 .model_offset = -1};
    count = weir_result_encode(&failed, bytes, sizeof bytes);
    assert_int_equal(weir_result_decode(weir_slice(bytes, count), &got, NULL), WEIR_OK);
    assert_int_equal(got.kind, WEIR_RESULT_ERROR);
    assert_int_equal(got.error, WEIR_NO_MODEL);
    assert_slice(got.error_message, "no model for wine");
    assert_int_equal(got.model_offset, -1);
}

static void the_longest_names_fit_and_are_cut_at_a_character(void **state)
{
    (void)state;
    static char name[100001];
    uint8_t bytes[WEIR_RESULT_BYTES_MAX];
    struct weir_result got;
    for (size_t i = 0; i + 2 < sizeof name; i += 3)
        memcpy(name + i, "\xe2\x82\xac", 3);
    name[99999] = '\0';
    struct weir_slice longest = weir_slice(name, 99999);
    struct weir_result sent = {.kind = WEIR_RESULT_ERROR,
                               .error = WEIR_MISSING_INPUT,
                               .error_message = longest,
                               .data_type = longest,
                               .model = longest,
                               .source_topic = longest,
                               .version = longest,
                               .source_partition = INT32_MAX,
                               .source_offset = INT64_MAX,
                               .queue_ns = INT64_MAX,
                               .score_ns = INT64_MAX,
                               .model_partition = INT32_MAX,
                               .model_offset = INT64_MAX};
    size_t count = weir_result_encode(&sent, bytes, sizeof bytes);
    assert_true(count <= sizeof bytes);
    assert_int_equal(weir_result_decode(weir_slice(bytes, count), &got, NULL), WEIR_OK);
    assert_int_equal(got.model.bytes, 510); /* 170 characters of three bytes */
}

static void what_is_no_result_is_refused(void **state)
{
    (void)state;
    struct weir_result got;
    struct weir_error error = {0};
    assert_int_equal(weir_result_decode(weir_slice("", 0), &got, &error), WEIR_OTHER_VERSION);
    assert_int_equal(weir_result_decode(weir_slice("\x08\x02", 2), &got, &error),
                     WEIR_OTHER_VERSION);
    assert_non_null(strstr(error.message, "format 2"));
    assert_int_equal(weir_result_decode(weir_slice("\x08\x01\x11zz", 5), &got, &error),
                     WEIR_TRUNCATED);
    assert_int_equal(error.position, 2);
    assert_int_equal(weir_result_decode(weir_slice("\x08\x01\x0f", 3), &got, &error), WEIR_PARSE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_descriptor_reads_back_by_protobuf_c),
        cmocka_unit_test(a_descriptor_of_protobuf_c_is_read),
        cmocka_unit_test(every_cut_of_a_descriptor_is_refused_or_ends_between_fields),
        cmocka_unit_test(a_result_reads_back_by_protobuf_c_within_150_bytes),
        cmocka_unit_test(results_of_each_kind_read_back),
        cmocka_unit_test(the_longest_names_fit_and_are_cut_at_a_character),
        cmocka_unit_test(what_is_no_result_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
