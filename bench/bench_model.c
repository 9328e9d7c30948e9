/*
 * Nanoseconds a record for every model of a folder: one record, batches of 64 and 1,024, by the
 * portable kernels and by those chosen for the CPU, field treatment included; beside them a plain
 * loop or walk written for that one model. Then load time, allocations, decoding.
 *
 *      bench_model [FOLDER]     default: $WEIR_SHARED_DATA/wine, else samples/wine
 *
 * The folder holds *.pmml and *.pb, and a *.csv of wine records. 65,536 rows are made of them by
 * jitter, so that the branch predictor can't learn them. Figures are medians.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <weir/model.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "plain_model.h"

enum { ROWS = 1 << 16, CELLS = 11, REPEATS = 5, SIZES = 3, CHUNK_BLOCKS = 16, BATCH_MAX = 1024 };

static const uint32_t batch_sizes[SIZES] = {1, 64, BATCH_MAX};

struct bench {
    double *rows; /* [ROWS][CELLS] */
    struct weir_schema *schema;
    struct weir_block *ones[CHUNK_BLOCKS]; /* of one row; few: a record just decoded is in cache */
    struct weir_block *block;              /* of up to BATCH_MAX rows */
    double clock_ns;                       /* what reading the clock costs, taken off */
};

static void die(const char *what, const char *detail)
{
    fprintf(stderr, "bench_model: %s: %s\n", what, detail);
    exit(1);
}

static void check(enum weir_err err, const char *what)
{
    if (err != WEIR_OK) {
        die(what, weir_err_text(err));
    }
}

static double now_ns(void)
{
    return (double)weir_clock_now_ns(NULL);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values)
{
    qsort(values, REPEATS, sizeof *values, by_value);
    return values[REPEATS / 2];
}

/* ---- records --------------------------------------------------------------------------------- */

/* Jitter: -1 .. 1, always the same sequence. */
static double jitter(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (double)(int64_t)*state * 0x1p-63;
}

static uint32_t read_records(const char *path, double **cells_out)
{
    FILE *file = fopen(path, "r");
    char line[4096];
    uint32_t count = 0;
    double *cells = malloc(sizeof *cells * CELLS * ROWS);
    if (file == NULL || cells == NULL) {
        die(path, "can't be read");
    }
    while (count < ROWS && fgets(line, sizeof line, file) != NULL) {
        char *at = line;
        uint32_t cell = 0;
        for (; cell < CELLS; cell++) {
            char *end;
            cells[(size_t)count * CELLS + cell] = strtod(at, &end);
            if (end == at) {
                break; /* a header */
            }
            at = end + (*end == ',' || *end == ';');
        }
        count += cell == CELLS;
    }
    fclose(file);
    *cells_out = cells;
    return count;
}

static void make_rows(struct bench *b, const char *path)
{
    double *records;
    uint32_t count = read_records(path, &records);
    uint64_t state = 1;
    b->rows = malloc(sizeof *b->rows * ROWS * CELLS);
    if (count == 0 || b->rows == NULL) {
        die(path, "holds no records of 11 numbers");
    }
    for (uint32_t r = 0; r < ROWS; r++) {
        for (uint32_t c = 0; c < CELLS; c++) {
            double value = records[(size_t)(r % count) * CELLS + c];
            b->rows[(size_t)r * CELLS + c] = value * (1 + 0.1 * jitter(&state));
        }
    }
    free(records);
}

static void fill(const struct bench *b, struct weir_block *block, uint32_t first, uint32_t count)
{
    check(weir_block_reset(block, count), "block");
    for (uint32_t c = 0; c < CELLS; c++) {
        for (uint32_t r = 0; r < count; r++) {
            weir_block_set_double(block, c, r, b->rows[(size_t)(first + r) * CELLS + c]);
        }
    }
}

/* ---- scoring --------------------------------------------------------------------------------- */

/* ns a record of one pass over all rows. Filling the blocks is not timed. */
static double pass(const struct bench *b, struct weir_scorer *scorer, uint32_t batch)
{
    uint32_t blocks = batch == 1 ? CHUNK_BLOCKS : 1;
    double spent = 0;
    for (uint32_t first = 0; first < ROWS; first += blocks * batch) {
        for (uint32_t i = 0; i < blocks; i++) {
            fill(b, batch == 1 ? b->ones[i] : b->block, first + i * batch, batch);
        }
        double start = now_ns();
        for (uint32_t i = 0; i < blocks; i++) {
            weir_scorer_score(scorer, batch == 1 ? b->ones[i] : b->block, NULL, 0);
        }
        spent += now_ns() - start - b->clock_ns;
    }
    return spent / ROWS;
}

static double measure(const struct bench *b, struct weir_model *model, uint32_t batch,
                      unsigned flags)
{
    struct weir_scorer *scorer;
    struct weir_error error;
    double times[REPEATS];
    if (weir_scorer_new(model, b->schema, BATCH_MAX, flags, &scorer, &error) != WEIR_OK) {
        die("scorer", error.message);
    }
    pass(b, scorer, batch);
    for (int i = 0; i < REPEATS; i++) {
        times[i] = pass(b, scorer, batch);
    }
    weir_scorer_free(scorer);
    return median(times);
}

static double result_of(const struct weir_block *out, uint32_t row)
{
    if (out->columns[0].type == WEIR_DOUBLE) {
        return out->columns[0].f64[row];
    }
    struct weir_slice label = weir_block_string(out, 0, row);
    char text[64] = "";
    if (label.data != NULL && label.bytes < sizeof text) {
        memcpy(text, label.data, label.bytes);
    }
    return strtod(text, NULL);
}

/* Rows for which the plain model says something else. */
static uint32_t count_differences(const struct bench *b, struct weir_model *model,
                                  const struct plain_model *plain)
{
    struct weir_scorer *scorer;
    uint32_t differences = 0;
    check(weir_scorer_new(model, b->schema, BATCH_MAX, 0, &scorer, NULL), "scorer");
    for (uint32_t first = 0; first < ROWS; first += BATCH_MAX) {
        fill(b, b->block, first, BATCH_MAX);
        weir_scorer_score(scorer, b->block, NULL, 0);
        for (uint32_t r = 0; r < BATCH_MAX; r++) {
            double wanted = plain_model_score(plain, b->rows + (size_t)(first + r) * CELLS);
            double difference = result_of(weir_scorer_output(scorer), r) - wanted;
            differences += !(difference <= 1e-12 * wanted && -difference <= 1e-12 * wanted);
        }
    }
    weir_scorer_free(scorer);
    return differences;
}

static double measure_plain(const struct bench *b, const struct plain_model *plain)
{
    double times[REPEATS];
    volatile double sink = 0;
    for (int i = 0; i < REPEATS; i++) {
        double sum = 0;
        double start = now_ns();
        for (uint32_t r = 0; r < ROWS; r++) {
            sum += plain_model_score(plain, b->rows + (size_t)r * CELLS);
        }
        times[i] = (now_ns() - start) / ROWS;
        sink = sink + sum;
    }
    return median(times);
}

/* Allocations while all rows are scored, warm. */
static uint64_t count_allocations(const struct bench *b, struct weir_model *model)
{
    struct weir_scorer *scorer;
    check(weir_scorer_new(model, b->schema, BATCH_MAX, WEIR_SCORER_OUTPUTS, &scorer, NULL),
          "scorer");
    pass(b, scorer, BATCH_MAX);
    weir_alloc_watch_start(0);
    pass(b, scorer, BATCH_MAX);
    uint64_t count = weir_alloc_watch_stop().allocations;
    weir_scorer_free(scorer);
    return count;
}

/* ---- models ---------------------------------------------------------------------------------- */

static struct weir_slice read_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0) {
        die(path, "can't be read");
    }
    long size = ftell(file);
    char *data = malloc(size > 0 ? (size_t)size : 1);
    rewind(file);
    if (size < 0 || data == NULL || fread(data, 1, (size_t)size, file) != (size_t)size) {
        die(path, "can't be read");
    }
    fclose(file);
    return weir_slice(data, (size_t)size);
}

static struct weir_model *load(const char *name, struct weir_slice bytes, double *ms_out)
{
    struct weir_model *model = NULL;
    struct weir_error error;
    double times[REPEATS];
    for (int i = 0; i < REPEATS; i++) {
        weir_model_unref(model);
        double start = now_ns();
        if (weir_model_load(bytes, NULL, &model, &error) != WEIR_OK) {
            die(name, error.message);
        }
        times[i] = (now_ns() - start) / 1e6;
    }
    *ms_out = median(times);
    return model;
}

static void bench_file(const struct bench *b, const char *folder, const char *name)
{
    char path[1024];
    double load_ms;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    struct weir_slice bytes = read_file(path);
    struct weir_model *model = load(name, bytes, &load_ms);
    struct plain_model *plain = plain_model_new(bytes, b->schema);
    double by_hand = plain != NULL ? measure_plain(b, plain) : 0;
    printf("%-48s %-16s load %7.3f ms  %zu bytes\n", name, weir_model_info(model)->algorithm,
           load_ms, weir_model_info(model)->bytes);
    for (uint32_t s = 0; s < SIZES; s++) {
        double portable = measure(b, model, batch_sizes[s], WEIR_SCORER_PORTABLE);
        double fast = measure(b, model, batch_sizes[s], WEIR_SCORER_VALUE);
        double all = measure(b, model, batch_sizes[s], WEIR_SCORER_OUTPUTS);
        printf("  batch %4u   portable %8.1f ns   dispatched %8.1f ns   with outputs %8.1f ns",
               batch_sizes[s], portable, fast, all);
        if (plain != NULL) {
            printf("   by hand %6.1f ns   ratio %.2f", by_hand, fast / by_hand);
        }
        printf("\n");
    }
    uint64_t allocations = count_allocations(b, model);
    printf("  allocations %llu in %d records", (unsigned long long)allocations, ROWS);
    if (plain != NULL) {
        printf("; by hand and scorer differ in %u", count_differences(b, model, plain));
    }
    printf("\n");
    plain_model_free(plain);
    weir_model_unref(model);
    free((void *)(uintptr_t)bytes.data);
}

/* ---- decoding -------------------------------------------------------------------------------- */

enum { RECORD_BYTES = 256 };

static void encode_rows(const struct bench *b, struct weir_slice *values, uint8_t *buffer)
{
    int32_t type = weir_schema_find(b->schema, "dataType");
    for (uint32_t first = 0; first < ROWS; first += BATCH_MAX) {
        fill(b, b->block, first, BATCH_MAX);
        for (uint32_t r = 0; r < BATCH_MAX; r++) {
            uint8_t *at = buffer + (size_t)(first + r) * RECORD_BYTES;
            size_t bytes;
            if (type >= 0) {
                check(weir_block_set_string(b->block, (uint32_t)type, r, weir_slice("wine", 4)),
                      "string");
            }
            check(weir_encode_protobuf(b->block, r, at, RECORD_BYTES, &bytes), "encode");
            values[first + r] = weir_slice(at, bytes);
        }
    }
}

static void bench_decode(const struct bench *b)
{
    struct weir_slice *values = calloc(ROWS, sizeof *values);
    uint8_t *buffer = malloc((size_t)ROWS * RECORD_BYTES);
    struct weir_decoder *decoder;
    double times[REPEATS];
    uint64_t allocations = 0;
    size_t bytes = 0;
    if (values == NULL || buffer == NULL) {
        die("decode", "out of memory");
    }
    encode_rows(b, values, buffer);
    check(weir_decoder_protobuf_new(b->schema, &decoder, NULL), "decoder");
    for (int i = -1; i < REPEATS; i++) { /* once to warm up */
        weir_alloc_watch_start(0);
        double start = now_ns();
        for (uint32_t first = 0; first < ROWS; first += BATCH_MAX) {
            check(weir_block_prepare(b->block, BATCH_MAX), "block");
            b->block->rows_meta.value = values + first;
            check(weir_decode(decoder, b->block), "decode");
            if (b->block->failed > 0) {
                die("decode", "a record that was encoded can't be decoded");
            }
        }
        times[i < 0 ? 0 : i] = (now_ns() - start) / ROWS;
        allocations = weir_alloc_watch_stop().allocations;
    }
    for (uint32_t r = 0; r < ROWS; r++) {
        bytes += values[r].bytes;
    }
    printf("decode WineRecord (%.0f bytes): %.1f ns a record, allocations %llu in %d records\n",
           (double)bytes / ROWS, median(times), (unsigned long long)allocations, ROWS);
    weir_decoder_free(decoder);
    free(buffer);
    free(values);
}

/* ---- the folder ------------------------------------------------------------------------------ */

static bool ends_with(const char *text, const char *end)
{
    size_t a = strlen(text);
    size_t b = strlen(end);
    return a > b && strcmp(text + a - b, end) == 0;
}

static void open_bench(struct bench *b, const char *folder, struct dirent **entries, int count)
{
    char path[1024] = "";
    for (int i = 0; i < count; i++) {
        if (ends_with(entries[i]->d_name, ".csv")) {
            snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name);
            break;
        }
    }
    make_rows(b, path);
    check(weir_schema_wine(&b->schema), "schema");
    check(weir_block_new(b->schema, BATCH_MAX, &b->block), "block");
    for (uint32_t i = 0; i < CHUNK_BLOCKS; i++) {
        check(weir_block_new(b->schema, 1, &b->ones[i]), "block");
    }
}

static double measure_clock(void)
{
    double times[REPEATS];
    for (int i = 0; i < REPEATS; i++) {
        double start = now_ns();
        double end = start;
        for (int k = 0; k < 1000; k++) {
            end = now_ns();
        }
        times[i] = (end - start) / 1000;
    }
    return median(times);
}

static void close_bench(struct bench *b)
{
    for (uint32_t i = 0; i < CHUNK_BLOCKS; i++) {
        weir_block_free(b->ones[i]);
    }
    weir_block_free(b->block);
    weir_schema_unref(b->schema);
    free(b->rows);
}

int main(int argc, char **argv)
{
    char folder[512] = "samples/wine";
    const char *shared = getenv("WEIR_SHARED_DATA");
    struct bench b = {0};
    struct dirent **entries;
    if (argc > 1 || shared != NULL) {
        snprintf(folder, sizeof folder, argc > 1 ? "%s" : "%s/wine", argc > 1 ? argv[1] : shared);
    }
    int count = scandir(folder, &entries, NULL, alphasort);
    if (count < 0) {
        printf("skipped: no models in %s; give a folder, or set WEIR_SHARED_DATA\n", folder);
        return 0;
    }
    open_bench(&b, folder, entries, count);
    b.clock_ns = measure_clock();
    bench_decode(&b);
    for (int i = 0; i < count; i++) {
        if (ends_with(entries[i]->d_name, ".pmml") || ends_with(entries[i]->d_name, ".pb")) {
            bench_file(&b, folder, entries[i]->d_name);
        }
        free(entries[i]);
    }
    free(entries);
    close_bench(&b);
    return 0;
}
