/* TensorFlow graphs: what loads and computes what it says, what is refused, and equal kernels. */
#include <math.h>

#include "base/alloc.h"
#include "graph_writer.h"
#include "support.h"

#define NONE ((struct graph_attr){0})

/* ---- the reference graph --------------------------------------------------------------------- */

static struct weir_slice reference_graph(void)
{
    const char *path = support_shared("wine/optimized_WineQuality.pb");
    if (path == NULL) {
        print_message("skipped: the shared data is absent\n");
        skip();
    }
    struct weir_slice bytes = support_read(path);
    assert_non_null(bytes.data);
    return bytes;
}

static void compare_reference(const struct weir_block *out, const struct support_table *expected,
                              uint32_t columns)
{
    assert_int_equal(out->failed, 0);
    for (uint32_t r = 0; r < out->rows; r++) {
        const double *want = expected->values + (size_t)r * expected->columns;
        assert_int_equal(out->columns[0].i64[r], (int64_t)want[0]);
        for (uint32_t c = 1; c < columns; c++) {
            double got = out->columns[c].f64[r];
            if (!(fabs(got - want[c]) <= 5e-5 * fabs(want[c]) + 1e-7)) {
                fail_msg("row %u, p%u: expected %.9g, got %.9g", r, c - 1, want[c], got);
            }
        }
    }
}

static void the_reference_graph_gives_the_expected_results(void **state)
{
    (void)state;
    static const unsigned flags[] = {
        WEIR_SCORER_VALUE, WEIR_SCORER_OUTPUTS, WEIR_SCORER_OUTPUTS | WEIR_SCORER_PORTABLE,
        WEIR_SCORER_OUTPUTS | WEIR_SCORER_DETAILS, /* the general path */
    };
    struct weir_slice bytes = reference_graph();
    struct weir_model *model = support_load(bytes);
    free((void *)(uintptr_t)bytes.data);
    const struct weir_model_info *info = weir_model_info(model);
    assert_int_equal(info->format, WEIR_FORMAT_TENSORFLOW);
    assert_string_equal(info->algorithm, "GraphDef");
    assert_string_equal(info->target, "result");
    assert_int_equal(info->input_count, 11);
    assert_int_equal(info->output_count, 10);
    assert_string_equal(info->outputs[9].name, "p8");

    struct support_table rows = support_table(support_shared("wine/winequality_red.csv"), ';', 0);
    struct support_table expected =
        support_table(support_shared("wine/expected/optimized_WineQuality.csv"), ',', 1);
    struct weir_schema *schema = support_schema(support_wine_fields, 11);
    struct weir_block *block = support_block(schema, &rows, 11);
    assert_int_equal(block->rows, 1599);
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        struct weir_scorer *scorer = NULL;
        assert_int_equal(weir_scorer_new(model, schema, block->rows, flags[i], &scorer, NULL),
                         WEIR_OK);
        weir_scorer_score(scorer, block, NULL, 0);
        compare_reference(weir_scorer_output(scorer), &expected,
                          flags[i] == WEIR_SCORER_VALUE ? 1 : 10);
        weir_scorer_free(scorer);
    }
    weir_block_free(block);
    weir_schema_unref(schema);
    weir_model_unref(model);
    free(rows.values);
    free(expected.values);
}

static void a_cut_or_changed_reference_graph_is_refused_or_loads(void **state)
{
    (void)state;
    struct weir_slice bytes = reference_graph();
    uint8_t *copy = malloc(bytes.bytes);
    assert_non_null(copy);
    struct weir_error error;
    for (size_t cut = 0; cut < bytes.bytes; cut++) {
        struct weir_model *model = NULL;
        uint8_t *part = malloc(cut > 0 ? cut : 1); /* the sanitizer sees a read past its end */
        assert_non_null(part);
        memcpy(part, bytes.data, cut);
        enum weir_err err = weir_model_load(weir_slice(part, cut), NULL, &model, &error);
        if (err == WEIR_OK) {
            weir_model_unref(model);
        } else {
            assert_true(error.message[0] != '\0');
        }
        memcpy(copy, bytes.data, bytes.bytes);
        copy[cut] ^= (uint8_t)(1 + cut % 255);
        if (weir_model_load(weir_slice(copy, bytes.bytes), NULL, &model, &error) == WEIR_OK) {
            weir_model_unref(model);
        }
        free(part);
    }
    free(copy);
    free((void *)(uintptr_t)bytes.data);
}

/* ---- what graphs compute --------------------------------------------------------------------- */

static const char *const two_fields[] = {"a", "b"};
static const float matrix[6] = {1, 2, 3, -4, 5, 0.5F}; /* [2][3] */
static const float bias[3] = {10, -20, 0.25F};

/* Scores one row of two fields; p[] gets the outputs. Gives the result. */
static int64_t score_two(const struct graph_writer *w, double a, double b, uint32_t outputs,
                         double *p)
{
    struct weir_model *model = support_load(graph_writer_slice(w));
    double values[] = {a, b};
    struct support_table table = {1, 2, values};
    struct weir_schema *schema = support_schema(two_fields, 2);
    struct weir_block *block = support_block(schema, &table, 2);
    struct weir_scorer *scorer = NULL;
    assert_int_equal(weir_scorer_new(model, schema, 1, WEIR_SCORER_OUTPUTS, &scorer, NULL),
                     WEIR_OK);
    assert_int_equal(weir_model_info(model)->output_count, outputs + 1);
    weir_scorer_score(scorer, block, NULL, 0);
    const struct weir_block *out = weir_scorer_output(scorer);
    assert_int_equal(out->status[0], WEIR_OK);
    for (uint32_t i = 0; i < outputs; i++) {
        p[i] = out->columns[i + 1].f64[0];
    }
    int64_t result = out->columns[0].i64[0];
    weir_scorer_free(scorer);
    weir_block_free(block);
    weir_schema_unref(schema);
    weir_model_unref(model);
    return result;
}

static void begin(struct graph_writer *w)
{
    *w = (struct graph_writer){0};
    graph_writer_node(w, "x", "Placeholder", "", (struct graph_attr){.rank = 2, .dims = {-1, 2}});
    graph_writer_const(w, "w", 2, 3, matrix);
    graph_writer_const(w, "b", 0, 3, bias);
}

static void a_dense_layer_multiplies_and_adds(void **state)
{
    (void)state;
    static const char *const adds[] = {"BiasAdd", "Add", "AddV2"};
    for (size_t i = 0; i < 3; i++) {
        struct graph_writer w;
        double p[3];
        begin(&w);
        graph_writer_node(&w, "m", "MatMul", "x w", NONE);
        graph_writer_node(&w, "y", adds[i], "m b", NONE);
        assert_int_equal(score_two(&w, 2, 3, 3, p), 2);
        assert_true(p[0] == 2 - 12 + 10 && p[1] == 4 + 15 - 20 && p[2] == 6 + 1.5 + 0.25);
        graph_writer_release(&w);
    }
}

static void names_constants_and_order_may_be_written_in_every_way(void **state)
{
    (void)state;
    /* Readers before what they read, ":0", a control input, constants behind Identity, one by one
     * and repeated, the sum's constant first, a constant of another type that nobody reads. */
    struct graph_writer w = {0};
    double p[3];
    graph_writer_node(&w, "out", "Identity", "y:0", NONE);
    graph_writer_node(&w, "y", "AddV2", "b/read m ^w", NONE);
    graph_writer_node(&w, "m", "MatMul", "x:0 w/read", NONE);
    graph_writer_node(&w, "w/read", "Identity", "w", NONE);
    graph_writer_node(&w, "b/read", "Identity", "b", NONE);
    graph_writer_node(
        &w, "w", "Const", "",
        (struct graph_attr){
            .rank = 2, .dims = {2, 3}, .values = matrix, .value_count = 6, .one_by_one = true});
    graph_writer_node(
        &w, "b", "Const", "",
        (struct graph_attr){
            .rank = 2, .dims = {1, 3}, .values = bias, .value_count = 1, .one_by_one = true});
    graph_writer_node(&w, "unused", "Const", "", (struct graph_attr){.type = 3});
    graph_writer_node(&w, "x", "Placeholder", "", NONE);
    assert_int_equal(score_two(&w, 2, 3, 3, p), 1);
    assert_true(p[0] == 0 && p[1] == 29 && p[2] == 17.5);
    graph_writer_release(&w);
}

static void weights_may_be_transposed(void **state)
{
    (void)state;
    static const float turned[6] = {1, -4, 2, 5, 3, 0.5F}; /* [3][2] */
    struct graph_writer w = {0};
    double p[3];
    graph_writer_node(&w, "x", "Placeholder", "", NONE);
    graph_writer_const(&w, "w", 3, 2, turned);
    graph_writer_node(&w, "m", "MatMul", "x w", (struct graph_attr){.transpose_b = true});
    score_two(&w, 2, 3, 3, p);
    assert_true(p[0] == -10 && p[1] == 19 && p[2] == 7.5);
    graph_writer_release(&w);
}

static void activations_are_those_of_the_format(void **state)
{
    (void)state;
    double z[3] = {-0.5, 1.25, 2};
    static const float chosen[6] = {-0.25F, 0.625F, 1, 0, 0, 0}; /* x = (2, 0) gives z */
    static const char *const ops[] = {"Relu", "Sigmoid", "Tanh", "Softmax"};
    double sum = exp(z[0]) + exp(z[1]) + exp(z[2]);
    for (size_t i = 0; i < 4; i++) {
        struct graph_writer w = {0};
        double p[3];
        graph_writer_node(&w, "x", "Placeholder", "", NONE);
        graph_writer_const(&w, "w", 2, 3, chosen);
        graph_writer_node(&w, "m", "MatMul", "x w", NONE);
        graph_writer_node(&w, "y", ops[i], "m", NONE);
        assert_int_equal(score_two(&w, 2, 0, 3, p), 2);
        for (size_t k = 0; k < 3; k++) {
            double want[] = {fmax(z[k], 0), 1 / (1 + exp(-z[k])), tanh(z[k]), exp(z[k]) / sum};
            assert_true(fabs(p[k] - want[i]) <= 4 * 0x1p-24 * fabs(want[i]));
        }
        graph_writer_release(&w);
    }
}

static void operations_out_of_order_get_layers_of_their_own(void **state)
{
    (void)state;
    static const float shift[2] = {0.5F, -8};
    static const float one[1] = {3};
    struct graph_writer w;
    double p[3];
    begin(&w);
    graph_writer_const(&w, "shift", 0, 2, shift);
    graph_writer_node(&w, "one", "Const", "", (struct graph_attr){.values = one, .value_count = 1});
    graph_writer_node(&w, "s", "BiasAdd", "x shift", NONE);
    graph_writer_node(&w, "r", "Relu", "s", NONE);
    graph_writer_node(&w, "m", "MatMul", "r w", NONE);
    graph_writer_node(&w, "y", "BiasAdd", "m b", NONE);
    graph_writer_node(&w, "y2", "Add", "y one", NONE);
    graph_writer_node(&w, "z", "Tanh", "y2", NONE);
    graph_writer_node(&w, "z2", "Relu", "z", NONE);
    score_two(&w, 1.5, 7, 3, p); /* relu(2, -1) = (2, 0) -> (2, 4, 6) -> (12, -16, 6.25) + 3 */
    assert_true(fabs(p[0] - tanh(15)) < 1e-6 && p[1] == 0 && fabs(p[2] - tanh(9.25)) < 1e-6);
    graph_writer_release(&w);
}

static void rows_without_all_values_have_no_result(void **state)
{
    (void)state;
    struct graph_writer w;
    begin(&w);
    graph_writer_node(&w, "m", "MatMul", "x w", NONE);
    struct weir_model *model = support_load(graph_writer_slice(&w));
    double values[] = {1, 2, NAN, 4, 5, 6};
    struct support_table table = {3, 2, values};
    struct weir_schema *schema = support_schema(two_fields, 2);
    struct weir_block *block = support_block(schema, &table, 2);
    struct weir_scorer *scorer = NULL;
    assert_int_equal(weir_scorer_new(model, schema, 3, WEIR_SCORER_OUTPUTS, &scorer, NULL),
                     WEIR_OK);
    weir_scorer_score(scorer, block, NULL, 0);
    const struct weir_block *out = weir_scorer_output(scorer);
    assert_int_equal(out->status[0], WEIR_OK);
    assert_int_equal(out->status[1], WEIR_MISSING_INPUT);
    assert_int_equal(out->status[2], WEIR_OK);
    weir_scorer_free(scorer);

    struct weir_schema *narrow = support_schema(two_fields, 1);
    assert_int_equal(weir_scorer_new(model, narrow, 3, 0, &scorer, NULL), WEIR_INVALID);
    weir_schema_unref(narrow);
    weir_block_free(block);
    weir_schema_unref(schema);
    weir_model_unref(model);
    graph_writer_release(&w);
}

/* ---- what is refused ------------------------------------------------------------------------- */

/* Loads and releases the writer; the message must hold `says`. */
static void refuse(struct graph_writer *w, enum weir_err code, const char *says)
{
    struct weir_model *model = NULL;
    struct weir_error error = {0};
    const struct weir_model_options options = {.format = WEIR_FORMAT_TENSORFLOW, .nodes_max = 100};
    enum weir_err err = weir_model_load(graph_writer_slice(w), &options, &model, &error);
    if (err != code || strstr(error.message, says) == NULL) {
        fail_msg("expected %s \"%s\", got %s \"%s\"", weir_err_name(code), says, weir_err_name(err),
                 error.message);
    }
    graph_writer_release(w);
}

static void other_operations_are_refused_by_name(void **state)
{
    (void)state;
    struct graph_writer w;
    begin(&w);
    graph_writer_node(&w, "net/conv", "Conv2D", "x w", NONE);
    refuse(&w, WEIR_UNSUPPORTED, "node \"net/conv\" (Conv2D)");
    begin(&w);
    graph_writer_node(&w, "m", "MatMul", "x w", (struct graph_attr){.transpose_a = true});
    refuse(&w, WEIR_UNSUPPORTED, "node \"m\" (MatMul): it transposes");
    begin(&w);
    graph_writer_node(&w, "m", "MatMul", "w x", NONE);
    refuse(&w, WEIR_UNSUPPORTED, "node \"m\" (MatMul)");
    begin(&w);
    graph_writer_node(&w, "m", "MatMul", "x w", (struct graph_attr){.type = 2});
    refuse(&w, WEIR_UNSUPPORTED, "not float32");
    begin(&w);
    graph_writer_node(&w, "d", "Const", "", (struct graph_attr){.type = 2, .rank = 1});
    graph_writer_node(&w, "y", "BiasAdd", "x d", NONE);
    refuse(&w, WEIR_UNSUPPORTED, "node \"d\" (Const)");
}

static void graphs_that_are_no_chain_are_refused(void **state)
{
    (void)state;
    struct graph_writer w;
    begin(&w);
    refuse(&w, WEIR_UNSUPPORTED, "nothing is computed");
    begin(&w);
    graph_writer_node(&w, "x2", "Placeholder", "", NONE);
    refuse(&w, WEIR_UNSUPPORTED, "node \"x2\" (Placeholder): it is a second");
    begin(&w);
    graph_writer_node(&w, "m1", "MatMul", "x w", NONE);
    graph_writer_node(&w, "m2", "MatMul", "x w", NONE);
    refuse(&w, WEIR_UNSUPPORTED, "second output");
    begin(&w);
    graph_writer_node(&w, "r", "Relu", "x", NONE);
    graph_writer_node(&w, "y", "Add", "x r", NONE);
    refuse(&w, WEIR_UNSUPPORTED, "joins two computed values");
    begin(&w);
    graph_writer_node(&w, "ww", "Relu", "w", NONE);
    graph_writer_node(&w, "y", "MatMul", "x ww", NONE);
    refuse(&w, WEIR_UNSUPPORTED, "node \"ww\" (Relu): it computes with constants alone");
    w = (struct graph_writer){0};
    graph_writer_const(&w, "w", 2, 3, matrix);
    refuse(&w, WEIR_INVALID, "no Placeholder");
}

static void broken_edges_are_refused(void **state)
{
    (void)state;
    struct graph_writer w;
    begin(&w);
    graph_writer_node(&w, "m", "MatMul", "x nowhere", NONE);
    refuse(&w, WEIR_INVALID, "\"nowhere\" is not in the graph");
    begin(&w);
    graph_writer_node(&w, "m", "MatMul", "x w:1", NONE);
    refuse(&w, WEIR_UNSUPPORTED, "second output");
    begin(&w);
    graph_writer_node(&w, "m", "MatMul", "x ^w", NONE);
    refuse(&w, WEIR_INVALID, "1 inputs instead of 2");
    begin(&w);
    graph_writer_node(&w, "r", "Relu", "^w x", NONE);
    refuse(&w, WEIR_INVALID, "behind a control input");
    begin(&w);
    graph_writer_node(&w, "w", "Relu", "x", NONE);
    refuse(&w, WEIR_INVALID, "appears twice");
    begin(&w);
    graph_writer_node(&w, "i", "Identity", "j", NONE);
    graph_writer_node(&w, "j", "Identity", "i", NONE);
    refuse(&w, WEIR_INVALID, "circle");
}

static void shapes_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    static const float nan_bias[3] = {1, NAN, 2};
    struct graph_writer w;
    begin(&w);
    graph_writer_node(&w, "m", "MatMul", "x b", NONE);
    refuse(&w, WEIR_INVALID, "no matrix");
    begin(&w);
    graph_writer_const(&w, "w2", 3, 2, matrix);
    graph_writer_node(&w, "m", "MatMul", "x w2", NONE);
    refuse(&w, WEIR_INVALID, "want 3 values, it gets 2");
    begin(&w);
    graph_writer_node(&w, "y", "BiasAdd", "x b", NONE);
    refuse(&w, WEIR_INVALID, "does not fit the 2 values");
    begin(&w);
    graph_writer_const(&w, "n", 0, 3, nan_bias);
    graph_writer_node(&w, "m", "MatMul", "x w", NONE);
    graph_writer_node(&w, "y", "BiasAdd", "m n", NONE);
    refuse(&w, WEIR_INVALID, "NaN");
    begin(&w);
    graph_writer_node(
        &w, "c", "Const", "",
        (struct graph_attr){.rank = 2, .dims = {2, 3}, .values = matrix, .value_count = 5});
    graph_writer_node(&w, "m", "MatMul", "x c", NONE);
    refuse(&w, WEIR_INVALID, "do not fit its shape");
    w = (struct graph_writer){0};
    graph_writer_node(&w, "x", "Placeholder", "", NONE);
    graph_writer_node(&w, "r", "Relu", "x", NONE);
    refuse(&w, WEIR_UNSUPPORTED, "no shape that says how many inputs");
    w = (struct graph_writer){0};
    graph_writer_node(&w, "x", "Placeholder", "",
                      (struct graph_attr){.rank = 3, .dims = {-1, 4, 4}});
    graph_writer_node(&w, "r", "Relu", "x", NONE);
    refuse(&w, WEIR_UNSUPPORTED, "shape is not");
}

static void sizes_beyond_the_limits_are_refused(void **state)
{
    (void)state;
    struct graph_writer w;
    static const int64_t large[][2] = {
        {1 << 20, 1 << 20}, {INT64_MAX, INT64_MAX}, {1 << 13, 1 << 12}, {2, 70000}};
    for (size_t i = 0; i < sizeof large / sizeof large[0]; i++) {
        begin(&w);
        graph_writer_node(&w, "c", "Const", "",
                          (struct graph_attr){.rank = 2,
                                              .dims = {large[i][0], large[i][1]},
                                              .values = matrix,
                                              .value_count = 1,
                                              .one_by_one = true});
        graph_writer_node(&w, "m", "MatMul", "x c", NONE);
        refuse(&w, WEIR_LIMIT, "");
    }
    begin(&w);
    graph_writer_node(&w, "c", "Const", "", (struct graph_attr){.rank = 9});
    graph_writer_node(&w, "m", "MatMul", "x c", NONE);
    refuse(&w, WEIR_LIMIT, "dimensions");
    begin(&w);
    for (int i = 0; i < 100; i++) {
        char name[16];
        snprintf(name, sizeof name, "c%d", i);
        graph_writer_const(&w, name, 0, 1, bias);
    }
    refuse(&w, WEIR_LIMIT, "too many nodes");
}

static void what_is_no_graph_is_refused(void **state)
{
    (void)state;
    struct graph_writer w = {0};
    refuse(&w, WEIR_PARSE, "no nodes");
    graph_writer_raw(&w, "hello, world", 12);
    refuse(&w, WEIR_PARSE, "byte");
    graph_writer_raw(&w, "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", 11);
    refuse(&w, WEIR_PARSE, "byte 0");
    graph_writer_raw(&w, "\x0a\x00", 2);
    refuse(&w, WEIR_INVALID, "no name");
    graph_writer_raw(&w, "\x08\x01", 2);
    refuse(&w, WEIR_PARSE, "no message");
}

static void want_of_memory_is_reported_and_leaks_nothing(void **state)
{
    (void)state;
    struct graph_writer w;
    begin(&w);
    graph_writer_node(&w, "s", "BiasAdd", "x c", NONE);
    graph_writer_const(&w, "c", 0, 2, bias);
    graph_writer_node(&w, "m", "MatMul", "s w", NONE);
    graph_writer_node(&w, "y", "BiasAdd", "m b", NONE);
    for (uint64_t n = 1;; n++) {
        struct weir_model *model = NULL;
        weir_alloc_watch_start(n);
        enum weir_err err = weir_model_load(graph_writer_slice(&w), NULL, &model, NULL);
        struct weir_alloc_counts counts = weir_alloc_watch_stop();
        if (counts.failed == 0) {
            assert_int_equal(err, WEIR_OK);
            assert_true(n > 5);
            weir_model_unref(model);
            break;
        }
        assert_int_equal(err, WEIR_NOMEM);
    }
    graph_writer_release(&w);
}

/* ---- kernels --------------------------------------------------------------------------------- */

static uint64_t random_next(uint64_t *state)
{
    *state += UINT64_C(0x9e3779b97f4a7c15); /* splitmix64 */
    uint64_t z = *state;
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static double random_real(uint64_t *state) /* -2 .. 2 */
{
    return (double)(random_next(state) >> 11) * 0x1p-51 - 2;
}

/* A network of random widths and activations; its weights in *weights (free them). */
static struct weir_model *random_network(uint64_t *state, uint32_t inputs)
{
    static const char *const ops[] = {"Identity", "Relu", "Sigmoid", "Tanh", "Softmax"};
    struct graph_writer w = {0};
    char last[24] = "x";
    uint32_t width = inputs;
    graph_writer_node(&w, "x", "Placeholder", "", NONE);
    uint32_t layers = 1 + (uint32_t)(random_next(state) % 3);
    for (uint32_t l = 0; l < layers; l++) {
        uint32_t outputs = 1 + (uint32_t)(random_next(state) % 40);
        float *values = malloc(sizeof(float) * width * outputs);
        assert_non_null(values);
        for (uint32_t i = 0; i < width * outputs; i++) {
            values[i] = (float)random_real(state);
        }
        char names[4][24], reads[64];
        for (int k = 0; k < 4; k++) {
            snprintf(names[k], sizeof names[k], "%c%u", "wbma"[k], l);
        }
        graph_writer_const(&w, names[0], width, outputs, values);
        graph_writer_const(&w, names[1], 0, outputs, values);
        snprintf(reads, sizeof reads, "%s %s", last, names[0]);
        graph_writer_node(&w, names[2], "MatMul", reads, NONE);
        snprintf(reads, sizeof reads, "%s %s", names[2], names[1]);
        snprintf(last, sizeof last, "s%u", l);
        graph_writer_node(&w, last, "BiasAdd", reads, NONE);
        graph_writer_node(&w, names[3], ops[random_next(state) % 5], last, NONE);
        memcpy(last, names[3], sizeof last);
        width = outputs;
        free(values);
    }
    struct weir_model *model = support_load(graph_writer_slice(&w));
    graph_writer_release(&w);
    return model;
}

struct trial {
    struct weir_model *model;
    struct weir_schema *schema;
    struct weir_block *block;
};

static struct weir_scorer *scored(const struct trial *t, unsigned flags)
{
    struct weir_scorer *scorer = NULL;
    assert_int_equal(weir_scorer_new(t->model, t->schema, t->block->rows, flags, &scorer, NULL),
                     WEIR_OK);
    weir_scorer_score(scorer, t->block, NULL, 0);
    assert_int_equal(weir_scorer_output(scorer)->failed, 0);
    return scorer;
}

/* All rows at once by the dispatched kernels, by the portable ones, and row by row: the same bits;
 * the general path, which takes the exp of the C library: close. */
static void compare_kernels(const struct trial *t, unsigned long long seed)
{
    const unsigned flags = WEIR_SCORER_OUTPUTS;
    struct weir_scorer *fast = scored(t, flags);
    struct weir_scorer *plain = scored(t, flags | WEIR_SCORER_PORTABLE);
    struct weir_scorer *general = scored(t, flags | WEIR_SCORER_DETAILS);
    struct weir_scorer *single = scored(t, flags);
    uint32_t outputs = weir_model_info(t->model)->output_count;
    for (uint32_t r = 0; r < t->block->rows; r++) {
        weir_scorer_score(single, t->block, &r, 1);
        const struct weir_block *blocks[] = {weir_scorer_output(fast), weir_scorer_output(plain),
                                             weir_scorer_output(single)};
        for (uint32_t k = 1; k < 3; k++) {
            assert_int_equal(blocks[0]->columns[0].i64[r], blocks[k]->columns[0].i64[r]);
            for (uint32_t c = 1; c < outputs; c++) {
                const double *want = &blocks[0]->columns[c].f64[r];
                const double *got = &blocks[k]->columns[c].f64[r];
                if (memcmp(want, got, sizeof *want) != 0) {
                    fail_msg("seed %llu row %u p%u: %a is not %a", seed, r, c - 1, *want, *got);
                }
            }
        }
        for (uint32_t c = 1; c < outputs; c++) {
            double want = weir_scorer_output(general)->columns[c].f64[r];
            double got = blocks[0]->columns[c].f64[r];
            if (!(fabs(got - want) <= 2e-4 * fabs(want) + 1e-6)) {
                fail_msg("seed %llu row %u p%u: %.9g, general path %.9g", seed, r, c - 1, got,
                         want);
            }
        }
    }
    weir_scorer_free(fast);
    weir_scorer_free(plain);
    weir_scorer_free(general);
    weir_scorer_free(single);
}

static void all_kernels_give_the_bits_of_the_portable_ones(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {1, 2, 63, 64, 65, 300};
    const char *given = getenv("WEIR_TEST_SEED");
    unsigned long long seed = given != NULL ? strtoull(given, NULL, 10) : 20240607;
    print_message("WEIR_TEST_SEED=%llu\n", seed);
    uint64_t random = seed;
    char texts[24][8];
    const char *names[24];
    for (uint32_t i = 0; i < 24; i++) {
        snprintf(texts[i], sizeof texts[i], "f%u", i);
        names[i] = texts[i];
    }
    for (uint32_t n = 0; n < 30; n++) {
        uint32_t inputs = 1 + (uint32_t)(random_next(&random) % 24);
        struct support_table table = {.rows = sizes[n % 6], .columns = inputs};
        table.values = malloc(sizeof(double) * table.rows * inputs);
        assert_non_null(table.values);
        for (uint32_t i = 0; i < table.rows * inputs; i++) {
            table.values[i] = random_real(&random) * 3;
        }
        struct trial t = {.model = random_network(&random, inputs)};
        t.schema = support_schema(names, inputs);
        t.block = support_block(t.schema, &table, inputs);
        compare_kernels(&t, seed);
        weir_block_free(t.block);
        weir_schema_unref(t.schema);
        weir_model_unref(t.model);
        free(table.values);
    }
}

/* 1 / (1 + exp(-z)): exp within 2 ulp, the sum and the quotient within half of one each. */
static void sigmoid_is_within_four_ulp(void **state)
{
    (void)state;
    static const float unit[4] = {1, 0, 0, 1};
    struct graph_writer w = {0};
    graph_writer_node(&w, "x", "Placeholder", "", NONE);
    graph_writer_const(&w, "w", 2, 2, unit);
    graph_writer_node(&w, "m", "MatMul", "x w", NONE);
    graph_writer_node(&w, "y", "Sigmoid", "m", NONE);
    struct trial t = {.model = support_load(graph_writer_slice(&w))};
    struct support_table table = {.rows = 40000, .columns = 2};
    table.values = calloc((size_t)table.rows * 2, sizeof(double));
    assert_non_null(table.values);
    for (uint32_t i = 0; i < table.rows; i++) {
        table.values[(size_t)i * 2] = (double)(float)((double)i * 0.005 - 85);
    }
    t.schema = support_schema(two_fields, 2);
    t.block = support_block(t.schema, &table, 2);
    struct weir_scorer *scorer = scored(&t, WEIR_SCORER_OUTPUTS);
    for (uint32_t i = 0; i < table.rows; i++) {
        double want = 1 / (1 + exp(-table.values[(size_t)i * 2]));
        double got = weir_scorer_output(scorer)->columns[1].f64[i];
        double ulp = ldexp(1, ilogb(want) - 23);
        if (!(fabs(got - want) <= 4 * ulp)) {
            fail_msg("sigmoid(%g): %.9g instead of %.9g", table.values[(size_t)i * 2], got, want);
        }
    }
    weir_scorer_free(scorer);
    weir_block_free(t.block);
    weir_schema_unref(t.schema);
    weir_model_unref(t.model);
    graph_writer_release(&w);
    free(table.values);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_reference_graph_gives_the_expected_results),
        cmocka_unit_test(a_cut_or_changed_reference_graph_is_refused_or_loads),
        cmocka_unit_test(a_dense_layer_multiplies_and_adds),
        cmocka_unit_test(names_constants_and_order_may_be_written_in_every_way),
        cmocka_unit_test(weights_may_be_transposed),
        cmocka_unit_test(activations_are_those_of_the_format),
        cmocka_unit_test(operations_out_of_order_get_layers_of_their_own),
        cmocka_unit_test(rows_without_all_values_have_no_result),
        cmocka_unit_test(other_operations_are_refused_by_name),
        cmocka_unit_test(graphs_that_are_no_chain_are_refused),
        cmocka_unit_test(broken_edges_are_refused),
        cmocka_unit_test(shapes_that_do_not_fit_are_refused),
        cmocka_unit_test(sizes_beyond_the_limits_are_refused),
        cmocka_unit_test(what_is_no_graph_is_refused),
        cmocka_unit_test(want_of_memory_is_reported_and_leaks_nothing),
        cmocka_unit_test(all_kernels_give_the_bits_of_the_portable_ones),
        cmocka_unit_test(sigmoid_is_within_four_ulp),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
