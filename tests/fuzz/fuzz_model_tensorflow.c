/* Bytes as a TensorFlow graph: loads or is refused; what loads also scores a row. */
#include <stdint.h>
#include <stdlib.h>

#include <weir/model.h>

static void score(struct weir_model *model)
{
    uint32_t count = weir_model_info(model)->input_count;
    struct weir_field *fields = calloc(count, sizeof *fields);
    char(*names)[12] = calloc(count, sizeof *names);
    struct weir_schema *schema = NULL;
    struct weir_block *block = NULL;
    struct weir_scorer *scorer = NULL;
    for (uint32_t i = 0; fields != NULL && names != NULL && i < count; i++) {
        for (uint32_t k = i, at = 0; at == 0 || k > 0; k /= 16) {
            names[i][at++] = (char)('a' + k % 16);
        }
        fields[i] = (struct weir_field){.name = names[i], .type = WEIR_DOUBLE, .number = i + 1};
    }
    if (fields != NULL && names != NULL &&
        weir_schema_new("row", fields, count, &schema, NULL) == WEIR_OK &&
        weir_block_new(schema, 2, &block) == WEIR_OK &&
        weir_scorer_new(model, schema, 2, WEIR_SCORER_OUTPUTS, &scorer, NULL) == WEIR_OK &&
        weir_block_reset(block, 2) == WEIR_OK) {
        for (uint32_t i = 0; i < count; i++) {
            weir_block_set_double(block, i, 0, 1e30 * i);
            weir_block_set_double(block, i, 1, -0.5);
        }
        weir_scorer_score(scorer, block, NULL, 0);
    }
    weir_scorer_free(scorer);
    weir_block_free(block);
    weir_schema_unref(schema);
    free(names);
    free(fields);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct weir_model_options options = {
        .format = WEIR_FORMAT_TENSORFLOW, .bytes_max = 1 << 20, .nodes_max = 4096};
    struct weir_model *model = NULL;
    struct weir_error error;
    if (weir_model_load(weir_slice(data, size), &options, &model, &error) == WEIR_OK) {
        score(model);
        weir_model_unref(model);
    }
    return 0;
}
