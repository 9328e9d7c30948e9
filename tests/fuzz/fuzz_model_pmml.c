/*
 * Any bytes as a PMML document; what loads scores a few rows of plain, missing and odd values.
 */
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <weir/model.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

enum { ROWS = 20, FIELDS_MAX = 32 };

static void fill(struct weir_block *block, uint32_t fields)
{
    static const double values[] = {0, 1, -1, 2.5, 1e300, -0.0};
    static const char *const texts[] = {"a", "1", "", "x"};
    for (uint32_t r = 0; r < ROWS; r++) {
        for (uint32_t c = 0; c < fields; c++) {
            uint32_t pick = (r * 7 + c * 3) % 8;
            if (block->columns[c].type == WEIR_STRING && pick < 4) {
                struct weir_slice text = weir_slice(texts[pick], pick == 2 ? 0 : 1);
                if (weir_block_set_string(block, c, r, text) != WEIR_OK) {
                    abort();
                }
            } else if (block->columns[c].type == WEIR_DOUBLE && pick < 6) {
                weir_block_set_double(block, c, r, values[pick]);
            } else if (block->columns[c].type == WEIR_DOUBLE && pick == 6) {
                weir_block_set_double(block, c, r, (double)NAN);
            }
        }
    }
}

static void score(struct weir_model *model)
{
    const struct weir_model_info *info = weir_model_info(model);
    struct weir_field fields[FIELDS_MAX];
    struct weir_schema *schema = NULL;
    struct weir_block *block = NULL;
    struct weir_scorer *scorer = NULL;
    uint32_t count = info->input_count < FIELDS_MAX ? info->input_count : FIELDS_MAX;
    for (uint32_t i = 0; i < count; i++) {
        bool text = info->inputs[i].type == WEIR_STRING || i % 5 == 4;
        fields[i] = (struct weir_field){info->inputs[i].name, text ? WEIR_STRING : WEIR_DOUBLE, 0};
    }
    if (count == 0 || weir_schema_new("fuzz", fields, count, &schema, NULL) != WEIR_OK) {
        return;
    }
    if (weir_block_new(schema, ROWS, &block) == WEIR_OK &&
        weir_block_reset(block, ROWS) == WEIR_OK) {
        fill(block, count);
        for (unsigned flags = 0; flags < 4; flags++) {
            if (weir_scorer_new(model, schema, ROWS, flags, &scorer, NULL) == WEIR_OK) {
                weir_scorer_score(scorer, block, NULL, 0);
                weir_scorer_free(scorer);
            }
        }
    }
    weir_block_free(block);
    weir_schema_unref(schema);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct weir_model_options options = {.format = WEIR_FORMAT_PMML, .nodes_max = 10000};
    struct weir_model *model = NULL;
    struct weir_error error;
    if (weir_model_load(weir_slice(data, bytes), &options, &model, &error) == WEIR_OK) {
        score(model);
        weir_model_unref(model);
    }
    return 0;
}
