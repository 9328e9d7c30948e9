/* Loading: which reader a document is for; the life of a model. */
#include <weir/model.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "model/core/form.h"
#include "model/pmml/pmml.h"
#include "model/tensorflow/tensorflow.h"

enum { DEPTH_CEILING = 1024 }; /* readers recurse over elements */

/* '<' and the start of a tag, after white space or a byte-order mark; UTF-16 has a NUL beside each.
 * A GraphDef may begin with "\n<" too (a first node of 60 bytes), but not with a tag behind it. */
static bool looks_like_xml(struct weir_slice bytes)
{
    static const char skipped[] = " \t\r\n\xef\xbb\xbf\xfe\xff";
    const char *data = bytes.data;
    size_t i = 0;
    while (i < bytes.bytes && memchr(skipped, data[i], sizeof skipped) != NULL) {
        i++; /* sizeof: the NUL is skipped too */
    }
    if (i == bytes.bytes || data[i] != '<') {
        return false;
    }
    i += i + 1 < bytes.bytes && data[i + 1] == '\0';
    char next = i + 1 < bytes.bytes ? data[i + 1] : '?';
    return next == '?' || next == '!' || (next >= 'A' && next <= 'Z') ||
           (next >= 'a' && next <= 'z');
}

enum weir_err weir_model_load(struct weir_slice bytes, const struct weir_model_options *options,
                              struct weir_model **model_out, struct weir_error *error)
{
    static const struct weir_model_options defaults = {.format = WEIR_FORMAT_AUTO};
    const struct weir_model_options *o = options != NULL ? options : &defaults;
    enum weir_model_format format = o->format;
    if (format == WEIR_FORMAT_AUTO) {
        format = looks_like_xml(bytes) ? WEIR_FORMAT_PMML : WEIR_FORMAT_TENSORFLOW;
    }
    size_t bytes_max = o->bytes_max > 0 ? o->bytes_max : (size_t)256 << 20;
    uint32_t nodes_max = o->nodes_max > 0 ? o->nodes_max : 10000000;
    uint32_t depth_max = o->depth_max > 0 ? o->depth_max : 256;
    if (bytes.bytes > bytes_max) {
        return weir_error_set(error, WEIR_LIMIT, -1, "the model is larger than %zu bytes",
                              bytes_max);
    }
    if (format == WEIR_FORMAT_TENSORFLOW) {
        return tensorflow_load(bytes, nodes_max, model_out, error);
    }
    struct pmml_limits limits = {
        .bytes_max = bytes_max,
        .depth_max = depth_max < DEPTH_CEILING ? depth_max : DEPTH_CEILING,
        .elements_max = nodes_max,
        .verify = !o->unverified,
    };
    return pmml_load(bytes, &limits, model_out, error);
}

struct weir_model *weir_model_ref(struct weir_model *model)
{
    atomic_fetch_add_explicit(&model->refs, 1, memory_order_relaxed);
    return model;
}

void weir_model_unref(struct weir_model *model)
{
    if (model == NULL || atomic_fetch_sub_explicit(&model->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    model_symbols_release(&model->symbols);
    weir_arena_release(model->arena);
    weir_free(model->arena);
    weir_free(model);
}

const struct weir_model_info *weir_model_info(const struct weir_model *model)
{
    return &model->info;
}
