/* serving/processor.c - scoring as a processor of the streams engine, see scoring.h. */
#include <string.h>

#include "base/alloc.h"
#include "serving/scoring.h"

struct processor {
    struct scoring *scoring;
    struct weir_store *store; /* NULL = none */
    struct scoring_task *task;
};

static enum weir_err send_bad_models(void *self, struct weir_context *context, int64_t time_ms,
                                     struct weir_error *error)
{
    struct processor *processor = self;
    struct models *models = processor->scoring->models;
    struct models_bad *bad;
    enum weir_err err = WEIR_OK;
    (void)time_ms;
    while (err == WEIR_OK && (bad = models_take_bad(models))) {
        err =
            weir_context_dead_letter_record(context, &bad->rows, 0, bad->why, bad->message, error);
        if (err != WEIR_OK) {
            models_return_bad(models, bad);
            break;
        }
        atomic_fetch_add_explicit(&processor->scoring->totals.dead_models, 1, memory_order_relaxed);
        weir_free(bad);
    }
    return err;
}

static enum weir_err processor_init(void *config, struct weir_context *context, void **self_out,
                                    struct weir_error *error)
{
    struct processor *processor = weir_calloc(1, sizeof *processor);
    if (!processor)
        return weir_error_set(error, WEIR_NOMEM, -1, "no memory for a scoring task");
    processor->scoring = config;
    if (processor->scoring->store)
        processor->store = weir_context_store(context, processor->scoring->store);
    enum weir_err err = scoring_task_new(config, &processor->task, error);
    if (err == WEIR_OK && weir_context_partition(context) == 0) {
        err = weir_context_schedule(context, WEIR_WALL_CLOCK_TIME, SCORING_BAD_MODELS_EVERY_MS,
                                    send_bad_models);
        if (err != WEIR_OK)
            weir_error_set(error, err, -1, "a punctuator can't be made");
    }
    if (err != WEIR_OK) {
        scoring_task_free(processor->task);
        weir_free(processor);
        return err;
    }
    *self_out = processor;
    return WEIR_OK;
}

static void processor_close(void *self, struct weir_context *context)
{
    struct processor *processor = self;
    (void)context;
    scoring_task_free(processor->task);
    weir_free(processor);
}

static enum weir_err send_no_model(struct weir_context *context, const struct weir_block *block,
                                   const struct weir_block *results, struct weir_error *error)
{
    enum weir_err err = WEIR_OK;
    for (uint32_t row = 0; row < block->rows && err == WEIR_OK; row++)
        if (block->status[row] == WEIR_OK && results->status[row] != WEIR_OK)
            err = weir_context_dead_letter(context, block, row, (enum weir_err)results->status[row],
                                           scoring_no_model_text, error);
    return err;
}

/* Adds what a model did to what the store has of its data type. */
static enum weir_err keep(struct weir_store *store, const struct scoring_deed *deed,
                          struct weir_error *error)
{
    const struct weir_slice key = weir_slice(deed->data_type, strlen(deed->data_type));
    struct model_record record = deed->record;
    struct weir_stamped found;
    uint8_t bytes[MODEL_RECORD_BYTES_MAX];
    enum weir_err err = weir_key_value_get(store, key, &found, error);
    if (err == WEIR_OK) {
        err = model_record_decode(found.value, &record, error);
        if (err == WEIR_OK)
            model_record_add(&record, &deed->record);
    }
    if (err != WEIR_OK && err != WEIR_NOT_FOUND)
        return err;
    return weir_key_value_put(store, key, weir_slice(bytes, model_record_encode(&record, bytes)),
                              -1, error);
}

static enum weir_err processor_process(void *self, struct weir_context *context,
                                       const struct weir_block *block, struct weir_error *error)
{
    struct processor *processor = self;
    const struct weir_block *results;
    enum weir_err err = scoring_task_score(processor->task, block, &results, error);
    if (err == WEIR_OK && results->failed > block->failed)
        err = send_no_model(context, block, results, error);
    const struct scoring_deed *deed;
    for (uint32_t i = 0;
         err == WEIR_OK && processor->store && (deed = scoring_task_deed(processor->task, i)); i++)
        err = keep(processor->store, deed, error);
    return err == WEIR_OK ? weir_context_forward(context, results, error) : err;
}

const struct weir_processor_ops *scoring_ops(void)
{
    static const struct weir_processor_ops ops = {.abi = WEIR_PROCESSOR_ABI,
                                                  .init = processor_init,
                                                  .process_batch = processor_process,
                                                  .close = processor_close};
    return &ops;
}
