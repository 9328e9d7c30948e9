/*
 * bench_flow - ns per element of a fused stage and of an asynchronous boundary, beside a bare ring.
 *
 * usage: bench_flow [ELEMENTS]        (2,000,000 when nothing is said)
 *
 * A stage is measured by its difference: a chain of 17 maps less a chain of one, over 16. A
 * boundary likewise: a stream with one less the same stream fused. The ring is base/ring.h of the
 * same capacity, one pointer at a time: on one thread, where each fills and empties it by turns,
 * and between two threads that yield while it is full or empty. Medians of the rounds.
 */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include <weir/flow.h>

#include "base/clock.h"
#include "base/ring.h"

enum { ROUNDS = 5, STAGES = 16 };

static uint64_t elements = 2000000;

static void check(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "bench_flow: %s failed\n", what);
    exit(1);
}

static double per_element_ns(int64_t start_ns)
{
    return (double)(weir_clock_now_ns(NULL) - start_ns) / (double)elements;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(double *values)
{
    qsort(values, ROUNDS, sizeof *values, compare);
    return values[ROUNDS / 2];
}

/* ---- streams --------------------------------------------------------------------------------- */

static enum weir_err pass(void *opaque, void *element, void **out, struct weir_error *error)
{
    (void)opaque;
    (void)error;
    *out = element;
    return WEIR_OK;
}

static double run_stream(uint32_t threads, int maps, uint32_t buffer)
{
    struct weir_flow_materializer_options options;
    struct weir_flow_materializer *materializer;
    struct weir_flow_graph *graph;
    struct weir_flow_stream *stream;
    struct weir_flow_outlet out;
    int64_t start_ns;
    double took;

    weir_flow_materializer_options_default(&options);
    options.threads = threads;
    check(weir_flow_materializer_new(&options, &materializer, NULL) == WEIR_OK, "materializer");
    check(weir_flow_graph_new(&graph) == WEIR_OK, "graph");
    out = weir_flow_take(weir_flow_repeat(graph, &elements, NULL), elements);
    if (buffer > 0)
        out = weir_flow_async(out, buffer);
    while (maps-- > 0)
        out = weir_flow_map(out, pass, NULL, NULL);
    weir_flow_ignore(out);
    start_ns = weir_clock_now_ns(NULL);
    check(weir_flow_run(graph, materializer, &stream, NULL) == WEIR_OK, "run");
    check(weir_flow_stream_wait(stream, -1) == WEIR_OK, "stream");
    took = per_element_ns(start_ns);
    weir_flow_stream_free(stream);
    weir_flow_graph_free(graph);
    weir_flow_materializer_free(materializer);
    return took;
}

/* ---- the bare ring --------------------------------------------------------------------------- */

static double ring_alone(uint32_t capacity)
{
    struct weir_ring ring;
    int64_t start_ns;
    double took;
    void *element = &elements;

    check(weir_ring_init(&ring, capacity, sizeof element) == WEIR_OK, "ring");
    start_ns = weir_clock_now_ns(NULL);
    for (uint64_t done = 0; done < elements;) {
        while (weir_ring_write(&ring, &element, 1) == 1)
            continue;
        while (weir_ring_read(&ring, &element, 1) == 1)
            done++;
    }
    took = per_element_ns(start_ns);
    weir_ring_release(&ring);
    return took;
}

static void *write_all(void *opaque)
{
    void *element = &elements;

    for (uint64_t i = 0; i < elements; i++)
        while (weir_ring_write(opaque, &element, 1) == 0)
            sched_yield();
    return NULL;
}

static double ring_between(uint32_t capacity)
{
    struct weir_ring ring;
    pthread_t thread;
    int64_t start_ns;
    double took;
    void *element;

    check(weir_ring_init(&ring, capacity, sizeof element) == WEIR_OK, "ring");
    start_ns = weir_clock_now_ns(NULL);
    check(pthread_create(&thread, NULL, write_all, &ring) == 0, "thread");
    for (uint64_t i = 0; i < elements; i++)
        while (weir_ring_read(&ring, &element, 1) == 0)
            sched_yield();
    took = per_element_ns(start_ns);
    pthread_join(thread, NULL);
    weir_ring_release(&ring);
    return took;
}

/* ---- figures --------------------------------------------------------------------------------- */

static void fused(void)
{
    double one[ROUNDS], many[ROUNDS], stage;

    for (int i = 0; i < ROUNDS; i++) {
        one[i] = run_stream(0, 1, 0);
        many[i] = run_stream(0, 1 + STAGES, 0);
    }
    stage = (median(many) - median(one)) / STAGES;
    printf("fused stage (map): %.1f ns per element (target 10: %s); source, take, map and sink: "
           "%.1f ns\n",
           stage, stage <= 10 ? "met" : "missed", median(one));
}

static void boundary(uint32_t threads, uint32_t capacity)
{
    double whole[ROUNDS], without[ROUNDS], bare[ROUNDS], cost, ring;

    for (int i = 0; i < ROUNDS; i++) {
        whole[i] = run_stream(threads, 0, capacity);
        without[i] = run_stream(threads, 0, 0);
        bare[i] = threads > 1 ? ring_between(capacity) : ring_alone(capacity);
    }
    /* Two threads work at the same time: there the whole stream is compared. */
    cost = threads > 1 ? median(whole) : median(whole) - median(without);
    ring = median(bare);
    printf("boundary of %4u, %s: %.1f ns per element, bare ring %.1f ns: %.1f x (target 3: %s)\n",
           capacity, threads > 1 ? "two threads (with source and sink)" : "one thread", cost, ring,
           cost / ring, cost <= 3 * ring ? "met" : "missed");
}

int main(int argc, char **argv)
{
    if (argc > 1)
        elements = strtoull(argv[1], NULL, 10);
    check(elements > 0, "reading ELEMENTS");
    fused();
    boundary(0, 16);
    boundary(0, 1024);
    boundary(2, 16);
    boundary(2, 1024);
    return 0;
}
