#include <stdio.h>

#include "model/tensorflow/compile.h"
#include "model/tensorflow/tensorflow.h"

static enum weir_err finish(struct graph *graph, struct model_builder *b, uint32_t outputs,
                            struct weir_model **model_out)
{
    uint32_t count = outputs + 1;
    struct weir_field *fields = weir_arena_calloc(&graph->arena, count, sizeof *fields);
    char(*names)[12] = weir_arena_calloc(&graph->arena, outputs, sizeof *names);
    if (fields == NULL || names == NULL) {
        return graph_fail(graph, NULL, WEIR_NOMEM, "out of memory");
    }
    fields[0] = (struct weir_field){.name = "result", .type = WEIR_INT64};
    for (uint32_t i = 0; i < outputs; i++) {
        snprintf(names[i], sizeof names[i], "p%u", i);
        fields[i + 1] = (struct weir_field){.name = names[i], .type = WEIR_DOUBLE};
    }
    const struct model_builder_info info = {
        .format = WEIR_FORMAT_TENSORFLOW,
        .algorithm = "GraphDef",
        .target = "result",
        .outputs = fields,
        .output_count = count,
    };
    return model_builder_finish(b, &info, model_out, graph->error);
}

enum weir_err tensorflow_load(struct weir_slice bytes, uint32_t nodes_max,
                              struct weir_model **model_out, struct weir_error *error)
{
    struct graph graph;
    struct model_builder b;
    enum weir_err err = graph_open(&graph, bytes, nodes_max, error);
    if (err != WEIR_OK) {
        graph_close(&graph);
        return err;
    }
    err = model_builder_init(&b);
    if (err != WEIR_OK) {
        graph_close(&graph);
        return weir_error_set(error, err, -1, "out of memory");
    }
    uint32_t outputs = 0;
    err = compile_graph(&graph, &b, &outputs);
    if (err == WEIR_OK) {
        err = finish(&graph, &b, outputs, model_out);
    }
    if (err != WEIR_OK) {
        model_builder_release(&b);
    }
    graph_close(&graph);
    return err;
}
