/* The reference models on all records of the reference data, against an independent evaluator. */
#include "support.h"

#include <math.h>

static const char *const models[] = {
    "winequalityDecisionTreeClassification",
    "winequalityDesisionTreeRegression",
    "winequalityGeneralizedLinearRegressionGamma",
    "winequalityGeneralizedLinearRegressionGaussian",
    "winequalityLinearRegression",
    "winequalityMultilayerPerceptron",
    "winequalityRandonForrestClassification",
};

struct wine {
    struct support_table records, expected;
    struct weir_schema *schema;
    struct weir_block *block;
    struct weir_model *model;
};

static struct wine open_wine(const char *name)
{
    char path[256];
    struct wine wine;
    wine.records = support_table(support_shared("wine/winequality_red.csv"), ';', 0);
    snprintf(path, sizeof path, "wine/expected/%s.csv", name);
    wine.expected = support_table(support_shared(path), ',', 1);
    wine.schema = support_schema(support_wine_fields, 11);
    wine.block = support_block(wine.schema, &wine.records, 11);
    snprintf(path, sizeof path, "wine/%s.pmml", name);
    struct weir_slice bytes = support_read(support_shared(path));
    assert_non_null(bytes.data);
    wine.model = support_load(bytes);
    free((void *)(uintptr_t)bytes.data);
    return wine;
}

static void close_wine(struct wine *wine)
{
    weir_model_unref(wine->model);
    weir_block_free(wine->block);
    weir_schema_unref(wine->schema);
    free(wine->records.values);
    free(wine->expected.values);
}

static double cell(const struct weir_block *block, uint32_t column, uint32_t row)
{
    if (block->columns[column].type == WEIR_STRING) {
        struct weir_slice text = weir_block_string(block, column, row);
        char label[16] = "";
        assert_true(text.data != NULL && text.bytes < sizeof label);
        memcpy(label, text.data, text.bytes);
        return strtod(label, NULL); /* labels of these models are numbers */
    }
    return block->columns[column].f64[row];
}

static void compare_row(const char *name, const struct wine *wine, const struct weir_block *out,
                        uint32_t row, uint32_t columns)
{
    assert_int_equal(out->status[row], WEIR_OK);
    for (uint32_t c = 0; c < columns; c++) {
        double want = wine->expected.values[(size_t)row * wine->expected.columns + c];
        double got = cell(out, c, row);
        if (!support_near(want, got, 1e-12)) {
            fail_msg("%s row %u column %u: expected %.17g, got %.17g", name, row, c, want, got);
        }
    }
}

static void check(const char *name, unsigned flags)
{
    struct wine wine = open_wine(name);
    struct weir_scorer *scorer = NULL;
    assert_int_equal(
        weir_scorer_new(wine.model, wine.schema, wine.block->rows, flags, &scorer, NULL), WEIR_OK);
    weir_scorer_score(scorer, wine.block, NULL, 0);
    const struct weir_block *out = weir_scorer_output(scorer);
    assert_int_equal(out->rows, 1599);
    assert_int_equal(out->failed, 0);
    assert_int_equal(out->columns[0].valid_count, 1599);
    bool outputs = (flags & WEIR_SCORER_OUTPUTS) != 0;
    for (uint32_t r = 0; r < out->rows; r++) {
        compare_row(name, &wine, out, r, outputs ? wine.expected.columns : 1);
    }
    /* Every seventh row alone, and a list of rows. */
    uint32_t rows[300];
    uint32_t count = 0;
    for (uint32_t r = 3; r < wine.block->rows && count < 300; r += 7) {
        rows[count++] = r;
        weir_scorer_score(scorer, wine.block, &r, 1);
        compare_row(name, &wine, weir_scorer_output(scorer), r, 1);
    }
    weir_scorer_score(scorer, wine.block, rows, count);
    for (uint32_t i = 0; i < count; i++) {
        compare_row(name, &wine, weir_scorer_output(scorer), rows[i], 1);
    }
    weir_scorer_free(scorer);
    close_wine(&wine);
}

static void all_models_with(unsigned flags)
{
    for (size_t i = 0; i < sizeof models / sizeof models[0]; i++) {
        check(models[i], flags);
    }
}

static void values_equal_the_reference(void **state)
{
    (void)state;
    all_models_with(WEIR_SCORER_VALUE);
    all_models_with(WEIR_SCORER_VALUE | WEIR_SCORER_PORTABLE);
}

static void outputs_equal_the_reference(void **state)
{
    (void)state;
    all_models_with(WEIR_SCORER_OUTPUTS);
    all_models_with(WEIR_SCORER_OUTPUTS | WEIR_SCORER_PORTABLE);
}

static void the_general_path_equals_the_reference(void **state)
{
    (void)state;
    all_models_with(WEIR_SCORER_OUTPUTS | WEIR_SCORER_DETAILS);
}

int main(void)
{
    if (support_shared("wine/winequality_red.csv") == NULL) {
        puts("skipped: the shared data is absent");
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_equal_the_reference),
        cmocka_unit_test(outputs_equal_the_reference),
        cmocka_unit_test(the_general_path_equals_the_reference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
