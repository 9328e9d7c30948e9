/* Any text is read within the caps or refused; any bytes are written as JSON that reads back. */
#include <string.h>

#include "base/assert.h"
#include "base/json.h"

static void write_and_read_back(struct weir_slice bytes)
{
    struct weir_buffer out;
    struct weir_json json;
    json_t *root;
    enum weir_err err;

    weir_buffer_init(&out, 16 + 6 * bytes.bytes);
    weir_json_begin(&json, &out);
    weir_json_array_begin(&json);
    weir_json_slice(&json, bytes);
    weir_json_array_end(&json);
    err = weir_json_end(&json);
    weir_assert(err == WEIR_OK);
    /* jansson refuses \u0000, which is JSON all the same. */
    err = weir_json_read(weir_buffer_slice(&out), NULL, &root, NULL);
    weir_assert(err == WEIR_OK || out.bytes > 1 << 20 ||
                memmem(out.data, out.bytes, "\\u0000", 6) != NULL);
    if (err == WEIR_OK)
        json_decref(root);
    weir_buffer_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    const struct weir_json_limits limits = {
        .bytes_max = 65536, .depth_max = 16, .values_max = 1000};
    struct weir_error error;
    json_t *root;

    if (weir_json_read(weir_slice(data, bytes), &limits, &root, &error) == WEIR_OK)
        json_decref(root);
    if (bytes > 0)
        write_and_read_back(weir_slice(data, bytes));
    return 0;
}
