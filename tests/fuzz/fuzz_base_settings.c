/* Any .properties text is read or refused, never more than that; what is kept can be written. */
#include <string.h>

#include "base/assert.h"
#include "base/settings.h"

static const struct weir_setting table[] = {
    {.name = "a", .type = WEIR_SETTING_STRING},
    {.name = "b", .type = WEIR_SETTING_INT, .min = -5, .max = 5},
    {.name = "c", .type = WEIR_SETTING_DOUBLE},
    {.name = "d", .type = WEIR_SETTING_BOOL},
    {.name = "e", .type = WEIR_SETTING_DURATION},
    {.name = "f", .type = WEIR_SETTING_BYTES},
    {.name = "g", .type = WEIR_SETTING_ENUM, .values = "x|y"},
    {.name = "h", .type = WEIR_SETTING_ENDPOINT},
    {.name = "i", .type = WEIR_SETTING_LIST},
    {.name = "j", .type = WEIR_SETTING_STRING, .secret = true},
};

static bool passes(void *opaque, const char *name)
{
    (void)opaque;
    return name[0] == 'k';
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    const struct weir_settings_options options = {
        .table = table, .count = WEIR_ARRAY_COUNT(table), .passes = passes};
    struct weir_settings *settings;
    struct weir_error error;
    struct weir_buffer out;
    enum weir_err err = weir_settings_new(&options, &settings, &error);

    weir_assert(err == WEIR_OK);
    err = weir_settings_load_text(settings, "fuzz", weir_slice(data, bytes), &error);
    weir_assert(err == WEIR_OK || strlen(error.message) < WEIR_ERROR_TEXT_MAX);
    if (weir_settings_is_set(settings, "h"))
        weir_settings_endpoint(settings, "h");
    for (size_t i = 0; i < weir_settings_list_count(settings, "i"); i++)
        weir_assert(weir_settings_list_item(settings, "i", i)[0] != '\0');
    weir_buffer_init(&out, 4 << 20);
    err = weir_settings_write_values(settings, true, &out);
    weir_assert(err == WEIR_OK);
    weir_buffer_release(&out);
    weir_settings_free(settings);
    return 0;
}
