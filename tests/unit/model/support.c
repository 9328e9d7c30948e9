#include "support.h"

#include <math.h>

const char *const support_wine_fields[11] = {"fixed acidity",
                                             "volatile acidity",
                                             "citric acid",
                                             "residual sugar",
                                             "chlorides",
                                             "free sulfur dioxide",
                                             "total sulfur dioxide",
                                             "density",
                                             "pH",
                                             "sulphates",
                                             "alcohol"};

const char *support_shared(const char *below)
{
    static char path[1024];
    const char *data = getenv("WEIR_SHARED_DATA");
    if (data == NULL) {
        return NULL;
    }
    snprintf(path, sizeof path, "%s/%s", data, below);
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        return NULL;
    }
    fclose(file);
    return path;
}

struct weir_slice support_read(const char *path)
{
    FILE *file = path != NULL ? fopen(path, "rb") : NULL;
    if (file == NULL) {
        return weir_slice(NULL, 0);
    }
    fseek(file, 0, SEEK_END);
    size_t bytes = (size_t)ftell(file);
    rewind(file);
    char *data = malloc(bytes + 1);
    assert_non_null(data);
    assert_int_equal(fread(data, 1, bytes, file), bytes);
    data[bytes] = '\0';
    fclose(file);
    return weir_slice(data, bytes);
}

struct weir_model *support_load(struct weir_slice bytes)
{
    struct weir_model *model = NULL;
    struct weir_error error = {.code = WEIR_OK};
    if (weir_model_load(bytes, NULL, &model, &error) != WEIR_OK) {
        fail_msg("%s: %s", weir_err_name(error.code), error.message);
    }
    return model;
}

struct support_table support_table(const char *path, char delimiter, uint32_t first)
{
    struct support_table table = {0, 1, NULL};
    struct weir_slice text = support_read(path);
    assert_non_null(text.data);
    const char *at = text.data;
    for (uint32_t i = 0; i < first; i++) {
        at = strchr(at, '\n') + 1;
    }
    for (const char *c = at; *c != '\n'; c++) {
        table.columns += *c == delimiter;
    }
    for (const char *c = at; *c != '\0'; c++) {
        table.rows += *c == '\n';
    }
    table.rows += text.bytes > 0 && ((const char *)text.data)[text.bytes - 1] != '\n';
    table.values = calloc((size_t)table.rows * table.columns, sizeof(double));
    assert_non_null(table.values);
    for (size_t i = 0; i < (size_t)table.rows * table.columns; i++) {
        char *end;
        double value = strtod(at, &end);
        table.values[i] = end == at ? (double)NAN : value;
        at = end + strcspn(end, delimiter == ';' ? ";\n" : ",\n");
        at += *at != '\0';
    }
    free((void *)(uintptr_t)text.data);
    return table;
}

struct weir_schema *support_schema(const char *const *names, uint32_t count)
{
    struct weir_field fields[64];
    struct weir_schema *schema = NULL;
    assert_true(count <= 64);
    for (uint32_t i = 0; i < count; i++) {
        fields[i] = (struct weir_field){names[i], WEIR_DOUBLE, i + 1};
    }
    assert_int_equal(weir_schema_new("test", fields, count, &schema, NULL), WEIR_OK);
    return schema;
}

struct weir_block *support_block(struct weir_schema *schema, const struct support_table *table,
                                 uint32_t columns)
{
    struct weir_block *block = NULL;
    assert_int_equal(weir_block_new(schema, table->rows, &block), WEIR_OK);
    assert_int_equal(weir_block_reset(block, table->rows), WEIR_OK);
    for (uint32_t r = 0; r < table->rows; r++) {
        for (uint32_t c = 0; c < columns; c++) {
            double value = table->values[(size_t)r * table->columns + c];
            if (!isnan(value)) {
                weir_block_set_double(block, c, r, value);
            }
        }
    }
    return block;
}

bool support_near(double a, double b, double relative)
{
    return (isnan(a) && isnan(b)) || a == b || fabs(a - b) <= relative * fabs(a) + 1e-13;
}
