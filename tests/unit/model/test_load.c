/* Documents that must be refused, and loading when memory runs out. */
#include "support.h"

#include "base/alloc.h"

static const char good[] =
    "<PMML xmlns=\"http://www.dmg.org/PMML-4_3\" version=\"4.3\"><Header/>\n"
    "<DataDictionary>"
    "<DataField name=\"y\" optype=\"categorical\" dataType=\"string\">"
    "<Value value=\"a\"/><Value value=\"b\"/></DataField>"
    "<DataField name=\"x\" optype=\"continuous\" dataType=\"double\">"
    "<Interval closure=\"closedClosed\" leftMargin=\"0\" rightMargin=\"9\"/></DataField>"
    "<DataField name=\"s\" optype=\"categorical\" dataType=\"string\"/></DataDictionary>\n"
    "<TreeModel functionName=\"classification\"><MiningSchema>"
    "<MiningField name=\"y\" usageType=\"target\"/><MiningField name=\"x\"/>"
    "<MiningField name=\"s\" missingValueReplacement=\"q\"/></MiningSchema>"
    "<Output><OutputField name=\"p\" feature=\"probability\" value=\"a\"/></Output>"
    "<Node id=\"0\"><True/>"
    "<Node id=\"1\"><CompoundPredicate booleanOperator=\"or\">"
    "<SimplePredicate field=\"x\" operator=\"lessThan\" value=\"3\"/>"
    "<SimpleSetPredicate field=\"s\" booleanOperator=\"isIn\"><Array n=\"2\" type=\"string\">"
    "u v</Array></SimpleSetPredicate></CompoundPredicate>"
    "<ScoreDistribution value=\"a\" recordCount=\"3\"/>"
    "<ScoreDistribution value=\"b\" recordCount=\"1\"/></Node>"
    "<Node id=\"2\" score=\"b\"><True/></Node></Node></TreeModel></PMML>";

static struct weir_slice slice_of(const char *text)
{
    return weir_slice(text, strlen(text));
}

static void refuses(const char *text, enum weir_err code, const char *message)
{
    struct weir_model *model = NULL;
    struct weir_error error = {.code = WEIR_OK};
    enum weir_err err = weir_model_load(slice_of(text), NULL, &model, &error);
    if (err != code || strstr(error.message, message) == NULL) {
        fail_msg("expected %s \"%s\", got %s \"%s\" for %.120s", weir_err_name(code), message,
                 weir_err_name(err), error.message, text);
    }
    assert_null(model);
}

#define DOCUMENT(body) "<PMML version=\"4.4\"><Header/>\n" body "</PMML>"
#define DICTIONARY                                                                                 \
    "<DataDictionary><DataField name=\"y\" optype=\"continuous\" dataType=\"double\"/>"            \
    "<DataField name=\"x\" optype=\"continuous\" dataType=\"double\"/></DataDictionary>\n"
#define SCHEMA                                                                                     \
    "<MiningSchema><MiningField name=\"y\" usageType=\"target\"/>"                                 \
    "<MiningField name=\"x\"/></MiningSchema>\n"

static void malformed_documents_are_refused_with_a_line(void **state)
{
    (void)state;
    refuses("<PMML", WEIR_PARSE, "line 1");
    refuses("<PMML><Header></PMML>", WEIR_PARSE, "line 1");
    refuses("<html/>", WEIR_PARSE, "not PMML");
    refuses("<PMML xmlns=\"http://www.dmg.org/PMML-2_0\"/>", WEIR_PARSE, "3.0 to 4.4");
    refuses("<?xml version=\"1.0\"?>\n<!DOCTYPE PMML [<!ENTITY a \"b\">]><PMML>&a;</PMML>",
            WEIR_PARSE, "DOCTYPE");
    refuses("<?xml version=\"1.0\"?>\n<!DOCTYPE PMML SYSTEM \"file:///etc/passwd\"><PMML/>",
            WEIR_PARSE, "line 2: a DOCTYPE");
    refuses("<PMML>&nbsp;</PMML>", WEIR_PARSE, "line 1");
    refuses(DOCUMENT(""), WEIR_INVALID, "holds no model");
    refuses(DOCUMENT("<TreeModel functionName=\"regression\"/>"), WEIR_INVALID, "DataDictionary");
    refuses(DOCUMENT(DICTIONARY "<TreeModel functionName=\"regression\"/>"), WEIR_INVALID,
            "MiningSchema");
    refuses(DOCUMENT(DICTIONARY "<BayesianNetworkModel functionName=\"regression\"/>"),
            WEIR_UNSUPPORTED, "line 3: <BayesianNetworkModel> is not supported yet");
    refuses(DOCUMENT(DICTIONARY "<Strange/>"), WEIR_UNSUPPORTED, "line 3: <Strange>");
}

static void contradictions_are_refused(void **state)
{
    (void)state;
    refuses(DOCUMENT(DICTIONARY "<RegressionModel functionName=\"regression\"><MiningSchema>"
                                "<MiningField name=\"q\"/></MiningSchema></RegressionModel>"),
            WEIR_INVALID, "no DataField");
    refuses(DOCUMENT(DICTIONARY "<RegressionModel functionName=\"regression\">" SCHEMA
                                "<RegressionTable intercept=\"1x\"/></RegressionModel>"),
            WEIR_INVALID, "not a number");
    refuses(DOCUMENT(DICTIONARY "<RegressionModel functionName=\"regression\">" SCHEMA
                                "<RegressionTable intercept=\"1\"><NumericPredictor name=\"z\" "
                                "coefficient=\"1\"/></RegressionTable></RegressionModel>"),
            WEIR_INVALID, "line 4: <NumericPredictor> refers to \"z\"");
    refuses(DOCUMENT(DICTIONARY "<RegressionModel functionName=\"regression\">" SCHEMA
                                "</RegressionModel>"),
            WEIR_INVALID, "RegressionTable");
    refuses(
        DOCUMENT(DICTIONARY "<TreeModel functionName=\"regression\">" SCHEMA "<Node/></TreeModel>"),
        WEIR_INVALID, "predicate");
    refuses(DOCUMENT(DICTIONARY "<TreeModel functionName=\"regression\" missingValueStrategy=\""
                                "aggregateNodes\">" SCHEMA "<Node><True/></Node></TreeModel>"),
            WEIR_UNSUPPORTED, "missingValueStrategy=\"aggregateNodes\"");
    refuses(DOCUMENT(DICTIONARY "<TreeModel functionName=\"regression\">" SCHEMA
                                "<Node defaultChild=\"7\"><True/></Node></TreeModel>"),
            WEIR_INVALID, "defaultChild");
    refuses(DOCUMENT(DICTIONARY "<TreeModel functionName=\"regression\">" SCHEMA
                                "<Node><SimpleSetPredicate field=\"x\" booleanOperator=\"isIn\">"
                                "<Array n=\"1000000000\" type=\"int\">1</Array>"
                                "</SimpleSetPredicate></Node></TreeModel>"),
            WEIR_INVALID, "n=1e+09");
}

static void every_prefix_of_a_document_is_refused(void **state)
{
    (void)state;
    for (size_t bytes = 0; bytes + 1 < sizeof good; bytes++) {
        struct weir_model *model = NULL;
        struct weir_error error;
        char *copy = malloc(bytes + 1); /* exact size: reading past it is seen */
        assert_non_null(copy);
        memcpy(copy, good, bytes);
        struct weir_model_options options = {.format = WEIR_FORMAT_PMML};
        enum weir_err err = weir_model_load(weir_slice(copy, bytes), &options, &model, &error);
        if (err == WEIR_OK) {
            fail_msg("the first %zu bytes were taken for a model", bytes);
        }
        free(copy);
    }
}

static void nesting_and_counts_have_ceilings(void **state)
{
    (void)state;
    enum { DEEP = 20000 };
    char *text = malloc(DEEP * 6 + 64);
    assert_non_null(text);
    char *at = stpcpy(text, "<PMML>");
    for (int i = 0; i < DEEP; i++) {
        at = stpcpy(at, "<a>");
    }
    struct weir_model *model = NULL;
    struct weir_error error;
    struct weir_model_options options = {.depth_max = 100000000};
    assert_int_equal(weir_model_load(slice_of(text), NULL, &model, &error), WEIR_LIMIT);
    assert_non_null(strstr(error.message, "nested too deep"));
    assert_int_equal(weir_model_load(slice_of(text), &options, &model, &error), WEIR_LIMIT);
    at = stpcpy(text, "<PMML>");
    for (int i = 0; i < DEEP; i++) {
        at = stpcpy(at, "<a/>");
    }
    options = (struct weir_model_options){.nodes_max = 1000};
    assert_int_equal(weir_model_load(slice_of(text), &options, &model, &error), WEIR_LIMIT);
    options = (struct weir_model_options){.bytes_max = 1000};
    assert_int_equal(weir_model_load(slice_of(text), &options, &model, &error), WEIR_LIMIT);
    at = stpcpy(text, "<PMML a");
    memset(at, 'b', 70000);
    stpcpy(at + 70000, "=\"1\"/>");
    assert_int_not_equal(weir_model_load(slice_of(text), NULL, &model, &error), WEIR_OK);
    free(text);
}

static void verification_can_be_left_out(void **state)
{
    (void)state;
    static const char text[] =
        "<PMML version=\"4.4\"><DataDictionary><DataField name=\"y\" optype=\"continuous\" "
        "dataType=\"double\"/><DataField name=\"x\" optype=\"continuous\" dataType=\"double\"/>"
        "</DataDictionary><RegressionModel functionName=\"regression\"><MiningSchema>"
        "<MiningField name=\"x\"/><MiningField name=\"y\" usageType=\"target\"/></MiningSchema>"
        "<ModelVerification><VerificationFields><VerificationField field=\"x\"/>"
        "<VerificationField field=\"y\"/></VerificationFields><InlineTable><row><x>1</x><y>2</y>"
        "</row></InlineTable></ModelVerification><RegressionTable intercept=\"1\"/>"
        "</RegressionModel></PMML>";
    struct weir_model *model = NULL;
    struct weir_error error;
    assert_int_equal(weir_model_load(slice_of(text), NULL, &model, &error), WEIR_INVALID);
    assert_non_null(strstr(error.message, "\"y\" should be 2 and is 1"));
    struct weir_model_options options = {.unverified = true};
    assert_int_equal(weir_model_load(slice_of(text), &options, &model, &error), WEIR_OK);
    weir_model_unref(model);
}

static const char expressions[] =
    "<PMML version=\"4.4\"><DataDictionary><DataField name=\"y\" optype=\"continuous\" "
    "dataType=\"double\"/><DataField name=\"x\" optype=\"continuous\" dataType=\"double\"/>"
    "<DataField name=\"s\" optype=\"categorical\" dataType=\"string\"/></DataDictionary>"
    "<TransformationDictionary><DefineFunction name=\"f\" optype=\"continuous\">"
    "<ParameterField name=\"a\"/><Apply function=\"median\"><FieldRef field=\"a\"/>"
    "<Constant>3</Constant></Apply></DefineFunction></TransformationDictionary>"
    "<Scorecard functionName=\"regression\" baselineScore=\"9\"><MiningSchema>"
    "<MiningField name=\"y\" usageType=\"target\"/><MiningField name=\"x\"/>"
    "<MiningField name=\"s\"/></MiningSchema><LocalTransformations>"
    "<DerivedField name=\"d\" optype=\"continuous\" dataType=\"double\"><MapValues "
    "outputColumn=\"o\" defaultValue=\"1\"><FieldColumnPair field=\"s\" column=\"c\"/>"
    "<InlineTable><row><c>u</c><o>2</o></row><row><c>v</c><o>3</o></row></InlineTable></MapValues>"
    "</DerivedField></LocalTransformations><Output><OutputField name=\"r\" "
    "feature=\"reasonCode\"/><OutputField name=\"t\" feature=\"transformedValue\">"
    "<Apply function=\"concat\"><FieldRef field=\"s\"/><Constant>-</Constant>"
    "<Apply function=\"uppercase\"><FieldRef field=\"s\"/></Apply></Apply></OutputField></Output>"
    "<Characteristics><Characteristic reasonCode=\"A\"><Attribute><True/><ComplexPartialScore>"
    "<Apply function=\"+\"><Apply function=\"f\"><FieldRef field=\"x\"/></Apply>"
    "<FieldRef field=\"d\"/></Apply></ComplexPartialScore></Attribute></Characteristic>"
    "</Characteristics></Scorecard></PMML>";

/* Loads, binds and scores one block; OK or the failure. */
static enum weir_err work(const char *document)
{
    static const struct weir_field fields[] = {{"x", WEIR_DOUBLE, 1}, {"s", WEIR_STRING, 2}};
    struct weir_model *model = NULL;
    struct weir_schema *schema = NULL;
    struct weir_block *block = NULL;
    struct weir_scorer *scorer = NULL;
    struct weir_error error;
    unsigned flags = WEIR_SCORER_OUTPUTS | WEIR_SCORER_DETAILS;
    enum weir_err err = weir_model_load(slice_of(document), NULL, &model, &error);
    err = err == WEIR_OK ? weir_schema_new("t", fields, 2, &schema, &error) : err;
    err = err == WEIR_OK ? weir_block_new(schema, 4, &block) : err;
    err = err == WEIR_OK ? weir_block_reset(block, 1) : err;
    err = err == WEIR_OK ? weir_block_set_string(block, 1, 0, slice_of("new")) : err;
    err = err == WEIR_OK ? weir_scorer_new(model, schema, 4, flags, &scorer, &error) : err;
    if (err == WEIR_OK) {
        weir_block_set_double(block, 0, 0, 2);
        weir_scorer_score(scorer, block, NULL, 0);
        err = (enum weir_err)weir_scorer_output(scorer)->status[0];
    }
    weir_scorer_free(scorer);
    weir_block_free(block);
    weir_schema_unref(schema);
    weir_model_unref(model);
    return err;
}

static void every_failing_allocation_is_told(const char *document)
{
    for (uint64_t n = 1;; n++) {
        assert_true(n < 10000);
        weir_alloc_watch_start(n);
        enum weir_err err = work(document);
        struct weir_alloc_counts counts = weir_alloc_watch_stop();
        if (counts.failed == 0) {
            assert_int_equal(err, WEIR_OK);
            break;
        }
        if (err != WEIR_NOMEM) {
            fail_msg("allocation %llu failed, but the outcome was %s", (unsigned long long)n,
                     weir_err_name(err));
        }
    }
}

static void any_allocation_may_fail(void **state)
{
    (void)state;
    every_failing_allocation_is_told(good);
    every_failing_allocation_is_told(expressions);
}

static void scoring_allocates_nothing_once_its_strings_are_known(void **state)
{
    (void)state;
    static const struct weir_field fields[] = {{"x", WEIR_DOUBLE, 1}, {"s", WEIR_STRING, 2}};
    struct weir_model *model = support_load(slice_of(good));
    struct weir_schema *schema = NULL;
    struct weir_block *block = NULL;
    struct weir_scorer *scorer = NULL;
    assert_int_equal(weir_schema_new("t", fields, 2, &schema, NULL), WEIR_OK);
    assert_int_equal(weir_block_new(schema, 512, &block), WEIR_OK);
    assert_int_equal(weir_block_reset(block, 512), WEIR_OK);
    for (uint32_t r = 0; r < 512; r++) {
        weir_block_set_double(block, 0, r, r % 12);
        assert_int_equal(weir_block_set_string(block, 1, r, slice_of(r % 3 ? "u" : "new")),
                         WEIR_OK);
    }
    unsigned flags = WEIR_SCORER_OUTPUTS | WEIR_SCORER_DETAILS;
    assert_int_equal(weir_scorer_new(model, schema, 512, flags, &scorer, NULL), WEIR_OK);
    weir_scorer_score(scorer, block, NULL, 0);
    weir_alloc_watch_start(0);
    for (int i = 0; i < 10; i++) {
        weir_scorer_score(scorer, block, NULL, 0);
    }
    assert_int_equal(weir_alloc_watch_stop().allocations, 0);
    assert_int_equal(weir_scorer_output(scorer)->status[11], WEIR_INVALID_INPUT);
    weir_scorer_free(scorer);
    weir_block_free(block);
    weir_schema_unref(schema);
    weir_model_unref(model);
}

/* Every file of the shared corpus loads, or is refused by name and line; none crashes. */
static void the_corpus_loads_or_is_refused_with_a_reason(void **state)
{
    (void)state;
    static const char *const lists[] = {"pmml/FIXTURES.tsv", "pmml/MANIFEST.tsv"};
    uint32_t loaded = 0;
    uint32_t refused = 0;
    for (int i = 0; i < 2; i++) {
        struct weir_slice list = support_read(support_shared(lists[i]));
        if (list.data == NULL) {
            print_message("skipped: the shared data is absent\n");
            skip();
        }
        char *rest = strchr(list.data, '\n') + 1;
        for (char *line = strtok_r(rest, "\n", &rest); line != NULL;
             line = strtok_r(NULL, "\n", &rest)) {
            char below[600];
            char *field = line;
            for (int f = 0; f < 3; f++) {
                field = strchr(field, '\t') + 1;
            }
            snprintf(below, sizeof below, "pmml/%.*s", (int)strcspn(field, "\t"), field);
            struct weir_slice bytes = support_read(support_shared(below));
            struct weir_model *model = NULL;
            struct weir_error error = {.code = WEIR_OK};
            struct weir_model_options options = {.format = WEIR_FORMAT_PMML};
            if (bytes.data == NULL) {
                continue;
            }
            enum weir_err err = weir_model_load(bytes, &options, &model, &error);
            loaded += err == WEIR_OK;
            refused += err != WEIR_OK;
            if (err != WEIR_OK) {
                assert_true(error.message[0] != '\0');
                assert_true(err == WEIR_PARSE || err == WEIR_UNSUPPORTED || err == WEIR_INVALID ||
                            err == WEIR_LIMIT);
                if (getenv("WEIR_TEST_VERBOSE") != NULL) {
                    print_message("%s: %s %s\n", below, weir_err_name(err), error.message);
                }
            }
            weir_model_unref(model);
            free((void *)(uintptr_t)bytes.data);
        }
        free((void *)(uintptr_t)list.data);
    }
    print_message("loaded %u, refused %u\n", loaded, refused);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(malformed_documents_are_refused_with_a_line),
        cmocka_unit_test(contradictions_are_refused),
        cmocka_unit_test(every_prefix_of_a_document_is_refused),
        cmocka_unit_test(nesting_and_counts_have_ceilings),
        cmocka_unit_test(verification_can_be_left_out),
        cmocka_unit_test(any_allocation_may_fail),
        cmocka_unit_test(scoring_allocates_nothing_once_its_strings_are_known),
        cmocka_unit_test(the_corpus_loads_or_is_refused_with_a_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
