/*
 * The fast paths against the general one, on random rows around the reference data: dispatched and
 * portable kernels give equal bits, and both what the general path gives (a network: within the
 * few ulp that its own exp may differ by). Also the rows that a plan must hand over.
 */
#include "support.h"

#include <math.h>

static const char *const models[] = {
    "winequalityDecisionTreeClassification",
    "winequalityDesisionTreeRegression",
    "winequalityGeneralizedLinearRegressionGamma",
    "winequalityLinearRegression",
    "winequalityMultilayerPerceptron",
    "winequalityRandonForrestClassification",
};

enum { ROWS = 3000 };

static uint64_t next_random(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *state >> 33;
}

/* Rows of the data with noise; now and then a cell is missing, NaN, infinite or huge. */
static struct weir_block *random_block(struct weir_schema *schema, uint64_t seed)
{
    struct support_table data = support_table(support_shared("wine/winequality_red.csv"), ';', 0);
    struct weir_block *block = NULL;
    assert_int_equal(weir_block_new(schema, ROWS, &block), WEIR_OK);
    assert_int_equal(weir_block_reset(block, ROWS), WEIR_OK);
    for (uint32_t r = 0; r < ROWS; r++) {
        const double *from = data.values + next_random(&seed) % data.rows * data.columns;
        bool odd = r >= 1000; /* the first rows are all complete: whole tiles of the plan */
        for (uint32_t c = 0; c < 11; c++) {
            double noise = 0.9 + 0.2 * (double)(next_random(&seed) % 1000) / 1000;
            uint64_t pick = odd ? next_random(&seed) % 400 : 9;
            double value = pick == 0   ? (double)NAN
                           : pick == 1 ? (double)INFINITY
                           : pick == 2 ? -1e300
                           : pick == 3 ? from[c]
                                       : from[c] * noise;
            if (pick != 4) {
                weir_block_set_double(block, c, r, value);
            }
        }
        if (odd && r % 97 == 0) {
            weir_block_fail_row(block, r, WEIR_PARSE);
        }
    }
    free(data.values);
    return block;
}

static struct weir_scorer *scorer_of(struct weir_model *model, struct weir_schema *schema,
                                     struct weir_block *block, unsigned flags)
{
    struct weir_scorer *scorer = NULL;
    assert_int_equal(weir_scorer_new(model, schema, ROWS, flags, &scorer, NULL), WEIR_OK);
    weir_scorer_score(scorer, block, NULL, 0);
    return scorer;
}

/* tolerance 0: the same bits. */
static void compare(const char *what, const struct weir_block *a, const struct weir_block *b,
                    uint32_t columns, double tolerance)
{
    assert_int_equal(a->failed, b->failed);
    for (uint32_t r = 0; r < ROWS; r++) {
        if (a->status[r] != b->status[r]) {
            fail_msg("%s: row %u has status %s here and %s there", what, r,
                     weir_err_name((enum weir_err)a->status[r]),
                     weir_err_name((enum weir_err)b->status[r]));
        }
        for (uint32_t c = 0; c < columns; c++) {
            const struct weir_column *x = &a->columns[c];
            const struct weir_column *y = &b->columns[c];
            assert_int_equal(weir_column_is_valid(x, r), weir_column_is_valid(y, r));
            if (x->type == WEIR_STRING) {
                assert_int_equal(x->code[r], y->code[r]);
            } else if (tolerance == 0 ? memcmp(&x->f64[r], &y->f64[r], sizeof(double)) != 0
                                      : !support_near(x->f64[r], y->f64[r], tolerance)) {
                fail_msg("%s: row %u column %u: %.17g and %.17g", what, r, c, x->f64[r], y->f64[r]);
            }
        }
    }
}

static void check(const char *name, uint64_t seed)
{
    char path[256];
    snprintf(path, sizeof path, "wine/%s.pmml", name);
    struct weir_slice bytes = support_read(support_shared(path));
    struct weir_model *model = support_load(bytes);
    struct weir_schema *schema = support_schema(support_wine_fields, 11);
    struct weir_block *block = random_block(schema, seed);
    bool network = strcmp(weir_model_info(model)->algorithm, "NeuralNetwork") == 0;
    uint32_t columns = weir_model_info(model)->output_count;
    unsigned outputs = WEIR_SCORER_OUTPUTS;
    struct weir_scorer *fast = scorer_of(model, schema, block, outputs);
    struct weir_scorer *portable = scorer_of(model, schema, block, outputs | WEIR_SCORER_PORTABLE);
    struct weir_scorer *general = scorer_of(model, schema, block, outputs | WEIR_SCORER_DETAILS);
    struct weir_scorer *value = scorer_of(model, schema, block, WEIR_SCORER_VALUE);
    const struct weir_block *fast_out = weir_scorer_output(fast);
    compare(name, fast_out, weir_scorer_output(portable), columns, 0);
    compare(name, fast_out, weir_scorer_output(general), columns, network ? 1e-14 : 0);
    compare(name, fast_out, weir_scorer_output(value), 1, 0);
    weir_scorer_free(fast);
    weir_scorer_free(portable);
    weir_scorer_free(general);
    weir_scorer_free(value);
    weir_block_free(block);
    weir_schema_unref(schema);
    weir_model_unref(model);
    free((void *)(uintptr_t)bytes.data);
}

static void all_paths_agree_on_random_rows(void **state)
{
    (void)state;
    const char *given = getenv("WEIR_TEST_SEED");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 10) : 20170503;
    print_message("seed %llu\n", (unsigned long long)seed);
    if (support_shared("wine/winequality_red.csv") == NULL) {
        print_message("skipped: the shared data is absent\n");
        skip();
    }
    for (size_t i = 0; i < sizeof models / sizeof models[0]; i++) {
        check(models[i], seed + i);
    }
}

/* A network of one neuron: 1 / (1 + exp(-x)) shows the error of the kernels' exp. */
static void the_kernels_exp_is_within_two_ulp(void **state)
{
    (void)state;
    static const char text[] =
        "<PMML version=\"4.4\"><Header/><DataDictionary>"
        "<DataField name=\"y\" optype=\"continuous\" dataType=\"double\"/>"
        "<DataField name=\"x\" optype=\"continuous\" dataType=\"double\"/></DataDictionary>"
        "<NeuralNetwork functionName=\"regression\" activationFunction=\"logistic\">"
        "<MiningSchema><MiningField name=\"y\" usageType=\"target\"/><MiningField name=\"x\"/>"
        "</MiningSchema><NeuralInputs><NeuralInput id=\"0\"><DerivedField optype=\"continuous\" "
        "dataType=\"double\"><FieldRef field=\"x\"/></DerivedField></NeuralInput></NeuralInputs>"
        "<NeuralLayer><Neuron id=\"1\"><Con from=\"0\" weight=\"1\"/></Neuron></NeuralLayer>"
        "<NeuralOutputs><NeuralOutput outputNeuron=\"1\"><DerivedField optype=\"continuous\" "
        "dataType=\"double\"><FieldRef field=\"y\"/></DerivedField></NeuralOutput>"
        "</NeuralOutputs></NeuralNetwork></PMML>";
    static const char *const names[] = {"x"};
    struct weir_model *model = support_load(weir_slice(text, sizeof text - 1));
    struct weir_schema *schema = support_schema(names, 1);
    struct weir_block *block = NULL;
    assert_int_equal(weir_block_new(schema, ROWS, &block), WEIR_OK);
    assert_int_equal(weir_block_reset(block, ROWS), WEIR_OK);
    for (uint32_t r = 0; r < ROWS; r++) {
        weir_block_set_double(block, 0, r, -700 + 1400.0 * r / (ROWS - 1));
    }
    struct weir_scorer *scorer = scorer_of(model, schema, block, WEIR_SCORER_VALUE);
    const struct weir_block *out = weir_scorer_output(scorer);
    double worst = 0;
    for (uint32_t r = 0; r < ROWS; r++) {
        long double exact = 1 / (1 + expl((long double)-block->columns[0].f64[r]));
        double got = out->columns[0].f64[r];
        double ulp = nextafter(fabs(got), INFINITY) - fabs(got);
        double error = fabs((double)(exact - (long double)got)) / ulp;
        worst = error > worst ? error : worst;
    }
    print_message("largest error of 1 / (1 + exp(-x)): %.3f ulp\n", worst);
    assert_true(worst <= 3); /* 2 of exp, half each of the sum and the quotient */
    weir_scorer_free(scorer);
    weir_block_free(block);
    weir_schema_unref(schema);
    weir_model_unref(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_paths_agree_on_random_rows),
        cmocka_unit_test(the_kernels_exp_is_within_two_ulp),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
