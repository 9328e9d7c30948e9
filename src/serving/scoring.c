/* serving/scoring.c - scoring blocks of records, see scoring.h. */
#include "serving/scoring.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"

const char scoring_no_model_text[] = "no model is in force for its data type";

struct scoring_task {
    struct scoring *scoring;
    struct scoring_task *next;
    struct models_reader *reader;
    struct weir_block *output; /* no columns: rows_meta only */
    struct weir_slice *value;  /* [rows_max] results of the block in hand */
    uint32_t *begin, *bytes;   /* [rows_max] where they lie in `encoded` */
    uint32_t *rows;            /* [rows_max] of the data type in hand */
    bool *done;                /* [rows_max] */
    uint8_t *encoded;
    size_t encoded_used, encoded_capacity;
    struct weir_histogram latency; /* record's timestamp -> score, ns */
    struct scoring_deed *deeds;    /* of the block in hand; only where there is a store */
    uint32_t deed_count, deed_capacity;
};

/* ---- life ------------------------------------------------------------------------------------ */

enum weir_err scoring_init(struct scoring *scoring)
{
    scoring->latency_gone = weir_alloc(sizeof *scoring->latency_gone);
    if (!scoring->latency_gone)
        return WEIR_NOMEM;
    weir_histogram_init(scoring->latency_gone);
    scoring->totals = (struct scoring_totals){0};
    atomic_init(&scoring->sampled_ns, 0);
    pthread_mutex_init(&scoring->lock, NULL);
    scoring->tasks = NULL;
    return WEIR_OK;
}

void scoring_release(struct scoring *scoring)
{
    weir_assert(!scoring->tasks);
    weir_free(scoring->latency_gone);
    pthread_mutex_destroy(&scoring->lock);
}

void scoring_latency(struct scoring *scoring, struct weir_histogram *into)
{
    pthread_mutex_lock(&scoring->lock);
    weir_histogram_merge(into, scoring->latency_gone);
    for (struct scoring_task *task = scoring->tasks; task; task = task->next)
        weir_histogram_merge(into, &task->latency);
    pthread_mutex_unlock(&scoring->lock);
}

static void release_task(struct scoring_task *task)
{
    models_reader_close(task->reader);
    weir_block_free(task->output);
    weir_free(task->value);
    weir_free(task->begin);
    weir_free(task->bytes);
    weir_free(task->rows);
    weir_free(task->done);
    weir_free(task->encoded);
    weir_free(task->deeds);
    weir_free(task);
}

enum weir_err scoring_task_new(struct scoring *scoring, struct scoring_task **out,
                               struct weir_error *error)
{
    uint32_t rows = scoring->rows_max;
    struct scoring_task *task = weir_calloc(1, sizeof *task);
    if (!task)
        return weir_error_set(error, WEIR_NOMEM, -1, "no memory for a scoring task");
    task->scoring = scoring;
    weir_histogram_init(&task->latency);
    task->value = weir_calloc(rows, sizeof *task->value);
    task->begin = weir_calloc(rows, sizeof *task->begin);
    task->bytes = weir_calloc(rows, sizeof *task->bytes);
    task->rows = weir_calloc(rows, sizeof *task->rows);
    task->done = weir_calloc(rows, sizeof *task->done);
    enum weir_err err = task->value && task->begin && task->bytes && task->rows && task->done
                            ? weir_block_new(NULL, rows, &task->output)
                            : WEIR_NOMEM;
    if (err == WEIR_OK)
        err = models_reader_open(scoring->models, &task->reader);
    if (err != WEIR_OK) {
        release_task(task);
        return weir_error_set(error, err, -1, "a scoring task can't be made: %s",
                              weir_err_text(err));
    }
    pthread_mutex_lock(&scoring->lock);
    task->next = scoring->tasks;
    scoring->tasks = task;
    pthread_mutex_unlock(&scoring->lock);
    *out = task;
    return WEIR_OK;
}

void scoring_task_free(struct scoring_task *task)
{
    if (!task)
        return;
    struct scoring_task **at = &task->scoring->tasks;
    pthread_mutex_lock(&task->scoring->lock);
    while (*at != task)
        at = &(*at)->next;
    *at = task->next;
    weir_histogram_merge(task->scoring->latency_gone, &task->latency);
    pthread_mutex_unlock(&task->scoring->lock);
    release_task(task);
}

/* ---- results --------------------------------------------------------------------------------- */

/* What is the same for all results of the block by one model. */
static struct weir_result result_of(const struct weir_block *block, const struct served *served,
                                    struct weir_slice data_type)
{
    struct weir_result result = {
        .data_type = data_type,
        .model_offset = -1,
        .source_topic = weir_slice(block->rows_meta.topic, strlen(block->rows_meta.topic)),
        .source_partition = block->rows_meta.partition};
    if (served) {
        result.model = weir_slice(served->name, strlen(served->name));
        result.digest = weir_slice(served->digest, sizeof served->digest);
        result.model_partition = served->partition;
        result.model_offset = served->offset;
        if (served->version_given)
            result.version = weir_slice(served->version, strlen(served->version));
    }
    return result;
}

/* Room for so many more results. */
static enum weir_err reserve(struct scoring_task *task, size_t more)
{
    if (task->encoded_capacity - task->encoded_used >= more)
        return WEIR_OK;
    size_t capacity = (task->encoded_used + more) * 2;
    uint8_t *encoded = weir_realloc(task->encoded, capacity);
    if (!encoded)
        return WEIR_NOMEM;
    task->encoded = encoded;
    task->encoded_capacity = capacity;
    return WEIR_OK;
}

static void put_row(struct scoring_task *task, const struct weir_block *block, uint32_t row,
                    struct weir_result *result, struct weir_slice common)
{
    result->source_offset = block->rows_meta.offset[row];
    size_t bytes = weir_result_encode_row(result, common, task->encoded + task->encoded_used,
                                          task->encoded_capacity - task->encoded_used);
    task->begin[row] = (uint32_t)task->encoded_used;
    task->bytes[row] = (uint32_t)bytes;
    task->encoded_used += bytes;
}

/* The value of a row of the scorer's output. */
static void take_value(const struct weir_block *scores, uint32_t row, struct weir_result *result)
{
    const struct weir_column *target = &scores->columns[0];
    result->kind = WEIR_RESULT_NUMBER;
    switch (target->type) {
    case WEIR_DOUBLE:
        result->number = target->f64[row];
        return;
    case WEIR_FLOAT:
        result->number = (double)target->f32[row];
        return;
    case WEIR_INT64:
        result->number = (double)target->i64[row];
        return;
    case WEIR_STRING:
        result->kind = WEIR_RESULT_LABEL;
        result->label = weir_block_string(scores, 0, row);
        return;
    }
}

static void sample(struct scoring_task *task, const struct weir_block *block, uint32_t row,
                   const struct served *served, const struct weir_result *result, int64_t now_ns)
{
    struct scoring *scoring = task->scoring;
    if (!scoring->on_sample || !scoring->sample_every_ns)
        return;
    int64_t last_ns = atomic_load_explicit(&scoring->sampled_ns, memory_order_relaxed);
    if (last_ns && now_ns - last_ns < scoring->sample_every_ns)
        return;
    if (!atomic_compare_exchange_strong(&scoring->sampled_ns, &last_ns, now_ns))
        return; /* another task has just given one */
    struct scoring_sample given = {.served = served,
                                   .is_label = result->kind == WEIR_RESULT_LABEL,
                                   .number = result->number,
                                   .label = result->label,
                                   .score_ns = result->score_ns,
                                   .offset = block->rows_meta.offset[row],
                                   .partition = block->rows_meta.partition};
    scoring->on_sample(scoring->opaque, &given);
}

static uint32_t count_failed(const struct weir_block *scores, const uint32_t *rows, uint32_t count)
{
    uint32_t failed = 0;
    for (uint32_t i = 0; i < count; i++)
        failed += scores->status[rows[i]] != WEIR_OK;
    return failed;
}

const struct scoring_deed *scoring_task_deed(const struct scoring_task *task, uint32_t index)
{
    return index < task->deed_count ? &task->deeds[index] : NULL;
}

/* Notes what the model did, for the store. */
static enum weir_err note_deed(struct scoring_task *task, const struct served *served,
                               const struct statistics_copy *statistics)
{
    if (!task->scoring->store)
        return WEIR_OK;
    if (task->deed_count == task->deed_capacity) {
        uint32_t capacity = 2 * task->deed_capacity + 1;
        struct scoring_deed *deeds = weir_realloc_array(task->deeds, capacity, sizeof *deeds);
        if (!deeds)
            return WEIR_NOMEM;
        task->deeds = deeds;
        task->deed_capacity = capacity;
    }
    struct scoring_deed *deed = &task->deeds[task->deed_count++];
    snprintf(deed->data_type, sizeof deed->data_type, "%s", served->data_type);
    snprintf(deed->record.name, sizeof deed->record.name, "%s", served->name);
    memcpy(deed->record.digest, served->digest, sizeof deed->record.digest);
    deed->record.since_ms = served->since_ms;
    deed->record.statistics = *statistics;
    return WEIR_OK;
}

/* Scores rows[0 .. count), all of one data type, and encodes their results. */
static enum weir_err score_rows(struct scoring_task *task, const struct weir_block *block,
                                const struct served *served, struct weir_slice data_type,
                                uint32_t count)
{
    struct scoring *scoring = task->scoring;
    struct weir_scorer *scorer = served_take_scorer(served);
    weir_assert(scorer); /* as many were made as there are stream threads */
    int64_t start_ns = weir_clock_now_ns(scoring->clock);
    weir_scorer_score(scorer, block, count == block->rows ? NULL : task->rows, count);
    int64_t end_ns = weir_clock_now_ns(scoring->clock);
    const struct weir_block *scores = weir_scorer_output(scorer);
    uint32_t failed = count_failed(scores, task->rows, count);
    statistics_record(served->statistics, count, failed, (uint64_t)(end_ns - start_ns));
    const uint64_t each_ns = (uint64_t)(end_ns - start_ns) / count;
    const struct statistics_copy did = {.usage = count,
                                        .errors = failed,
                                        .duration_ns = (uint64_t)(end_ns - start_ns),
                                        .min_ns = each_ns,
                                        .max_ns = each_ns};

    uint8_t buffer[WEIR_RESULT_BYTES_MAX];
    struct weir_result result = result_of(block, served, data_type);
    result.score_ns = (end_ns - start_ns) / count;
    result.queue_ns = block->rows_meta.received_ns ? start_ns - block->rows_meta.received_ns : 0;
    struct weir_slice common =
        weir_slice(buffer, weir_result_encode_common(&result, buffer, sizeof buffer));
    enum weir_err err = note_deed(task, served, &did);
    if (err == WEIR_OK)
        err = reserve(task, count * (common.bytes + 64) + WEIR_RESULT_ROW_BYTES_MAX);
    for (uint32_t i = 0; i < count && err == WEIR_OK; i++) {
        uint32_t row = task->rows[i];
        struct weir_error why;
        if (scores->status[row] == WEIR_OK) {
            take_value(scores, row, &result);
        } else {
            result.kind = WEIR_RESULT_ERROR;
            result.error = weir_scorer_explain(scorer, block, row, &why);
            result.error_message = weir_slice(why.message, strlen(why.message));
        }
        err = reserve(task, common.bytes + WEIR_RESULT_ROW_BYTES_MAX);
        if (err == WEIR_OK)
            put_row(task, block, row, &result, common);
        if (err == WEIR_OK && result.kind != WEIR_RESULT_ERROR && i == count - 1)
            sample(task, block, row, served, &result, end_ns);
    }
    served_give_scorer(served, scorer);
    atomic_fetch_add_explicit(&scoring->totals.results, count - failed, memory_order_relaxed);
    atomic_fetch_add_explicit(&scoring->totals.errors, failed, memory_order_relaxed);
    return err;
}

/* ---- records without a model ----------------------------------------------------------------- */

static enum weir_err skip_rows(struct scoring_task *task, const struct weir_block *block,
                               struct weir_slice data_type, uint32_t count)
{
    uint8_t buffer[WEIR_RESULT_BYTES_MAX];
    char message[128];
    struct scoring *scoring = task->scoring;
    struct weir_result result = result_of(block, NULL, data_type);
    snprintf(message, sizeof message, "no model is in force for data type \"%.*s\"",
             data_type.bytes > 64 ? 64 : (int)data_type.bytes, (const char *)data_type.data);
    result.kind = WEIR_RESULT_ERROR;
    result.error = WEIR_NO_MODEL;
    result.error_message = weir_slice(message, strlen(message));
    atomic_fetch_add_explicit(&scoring->totals.no_model, count, memory_order_relaxed);
    if (scoring->no_model == NO_MODEL_DEAD_LETTER) {
        atomic_fetch_add_explicit(&scoring->totals.dead, count, memory_order_relaxed);
        for (uint32_t i = 0; i < count; i++)
            weir_block_fail_row(task->output, task->rows[i], WEIR_NO_MODEL);
        return WEIR_OK;
    }
    atomic_fetch_add_explicit(&scoring->totals.errors, count, memory_order_relaxed);
    struct weir_slice common =
        weir_slice(buffer, weir_result_encode_common(&result, buffer, sizeof buffer));
    enum weir_err err = reserve(task, count * (common.bytes + WEIR_RESULT_ROW_BYTES_MAX));
    for (uint32_t i = 0; i < count && err == WEIR_OK; i++)
        put_row(task, block, task->rows[i], &result, common);
    return err;
}

/* ---- a block --------------------------------------------------------------------------------- */

static struct weir_slice type_of(const struct scoring *scoring, const struct weir_block *block,
                                 uint32_t row)
{
    struct weir_slice type = weir_slice("", 0);
    if (scoring->data_type_column >= 0)
        type = weir_block_string(block, (uint32_t)scoring->data_type_column, row);
    return type.bytes ? type : weir_slice("wine", 4);
}

/* Collects in task->rows the rows from `first` on that have its data type and aren't done. */
static uint32_t gather(struct scoring_task *task, const struct weir_block *block, uint32_t first)
{
    const struct scoring *scoring = task->scoring;
    const uint32_t *code =
        scoring->data_type_column >= 0 ? block->columns[scoring->data_type_column].code : NULL;
    uint32_t count = 0;
    for (uint32_t row = first; row < block->rows; row++) {
        if (block->status[row] != WEIR_OK || task->done[row] || (code && code[row] != code[first]))
            continue;
        task->done[row] = true;
        task->rows[count++] = row;
    }
    return count;
}

/* With no.model=wait: is there a model for every record of the block? */
static bool all_have_models(const struct scoring *scoring, const struct weir_block *block,
                            const struct model_set *set)
{
    struct weir_slice last = {NULL, 0};
    for (uint32_t row = 0; row < block->rows; row++) {
        if (block->status[row] != WEIR_OK)
            continue;
        struct weir_slice type = type_of(scoring, block, row);
        if (type.data != last.data && !model_set_find(set, type))
            return false;
        last = type;
    }
    return true;
}

static void record_latency(struct scoring_task *task, const struct weir_block *block)
{
    int64_t now_ms = weir_clock_wall_ms(task->scoring->clock);
    const int64_t *timestamp_ms = block->rows_meta.timestamp_ms;
    for (uint32_t row = 0, next; row < block->rows; row = next) {
        for (next = row + 1; next < block->rows && timestamp_ms[next] == timestamp_ms[row];)
            next++;
        int64_t age_ms = now_ms - timestamp_ms[row];
        if (timestamp_ms[row] >= 0)
            weir_histogram_record_n(&task->latency, age_ms > 0 ? age_ms * WEIR_NS_PER_MS : 0,
                                    next - row);
    }
}

static enum weir_err score_block(struct scoring_task *task, const struct weir_block *block,
                                 const struct model_set *set)
{
    const struct scoring *scoring = task->scoring;
    enum weir_err err = WEIR_OK;
    task->encoded_used = 0;
    memset(task->done, 0, block->rows * sizeof *task->done);
    for (uint32_t row = 0; row < block->rows && err == WEIR_OK; row++) {
        if (task->done[row] || block->status[row] != WEIR_OK)
            continue;
        struct weir_slice data_type = type_of(scoring, block, row);
        const struct served *served = model_set_find(set, data_type);
        uint32_t count = gather(task, block, row);
        err = served ? score_rows(task, block, served, data_type, count)
                     : skip_rows(task, block, data_type, count);
    }
    return err;
}

enum weir_err scoring_task_score(struct scoring_task *task, const struct weir_block *block,
                                 const struct weir_block **results_out, struct weir_error *error)
{
    struct weir_block *output = task->output;
    enum weir_err err = weir_block_prepare(output, block->rows);
    if (err != WEIR_OK)
        return weir_error_set(error, err, -1, "no room for the results of a block");
    memcpy(output->status, block->status, block->rows);
    output->failed = block->failed;
    task->deed_count = 0;
    const struct model_set *set = models_enter(task->reader);
    if (task->scoring->no_model == NO_MODEL_WAIT && !all_have_models(task->scoring, block, set)) {
        models_leave(task->reader);
        return WEIR_AGAIN;
    }
    err = score_block(task, block, set);
    models_leave(task->reader);
    if (err != WEIR_OK)
        return weir_error_set(error, err, -1, "no memory for the results of a block");
    record_latency(task, block);
    for (uint32_t row = 0; row < block->rows; row++)
        task->value[row] = output->status[row] == WEIR_OK
                               ? weir_slice(task->encoded + task->begin[row], task->bytes[row])
                               : weir_slice(NULL, 0);
    output->rows_meta = block->rows_meta;
    output->rows_meta.value = task->value;
    *results_out = output;
    return WEIR_OK;
}
