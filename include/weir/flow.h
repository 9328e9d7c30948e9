/*
 * weir/flow.h - reactive streams for C: graphs of stages with demand-driven back-pressure.
 *
 * What:    A graph is a blueprint: sources, stages and sinks, joined outlet to inlet. Run by a
 *          materializer it becomes a stream, as often as you like. Nothing is pushed that was not
 *          pulled, so no buffer grows past what it was given. Names and meaning are those of Akka
 *          Streams. Knows nothing of Kafka.
 *
 *              graph -- weir_flow_run --> stream: islands of fused stages, each on one thread at a
 *                                         time, joined by bounded buffers (weir_flow_async)
 *
 * Life:    weir_flow_materializer_new -> graph_new -> add stages -> weir_flow_run -> stream_wait ->
 *          stream_free ... -> graph_free -> materializer_free. A stream keeps its graph alive.
 *
 *              struct weir_flow_outlet o = weir_flow_from_array(graph, numbers, 3, NULL);
 *              o = weir_flow_map(o, twice, NULL, NULL);
 *              int32_t sum = weir_flow_fold(o, 0, add, NULL, NULL);
 *              err = weir_flow_run(graph, materializer, &stream, &error);
 *              if (err == WEIR_OK && (err = weir_flow_stream_wait(stream, -1)) == WEIR_OK)
 *                  err = weir_flow_stream_result(stream, sum, &result, &error);
 *
 * Threads: a graph is built by one thread. A stage's functions run on one thread at a time, on any
 *          thread of the materializer; stages of one stream run side by side only across
 *          weir_flow_async, and several streams of one graph share each function's `opaque`.
 *          Queues, kill switches, promises and weir_flow_invoke may be used by any thread.
 * Memory:  An element is a pointer, never NULL, with one owner at a time: push gives it away, grab
 *          takes it. Each outlet has a kind: how its elements are dropped and shared; kind NULL is
 *          for what nobody owns (static memory, numbers made pointers). An element that a
 *          stage does not pass on is dropped by whoever holds it: the stage what it has grabbed or
 *          buffered, the engine what lies on an edge or in a boundary at completion, failure or
 *          cancellation. A function given to an operator takes the element, also when it fails,
 *          unless its description says borrows. Operators allocate when they are materialised, and
 *          per element only where they say so.
 * Errors:  building errors stick to the graph and come from weir_flow_run: INVALID (an outlet not
 *          connected, or twice), LIMIT, NOMEM. A failure in a stream travels down as failure and up
 *          as cancellation; it ends in the sinks' results. Breaking the rules of ports (pull twice,
 *          push without demand, grab nothing) is a programmer's mistake: it aborts with a text that
 *          names stage, port and rule.
 */
#ifndef WEIR_FLOW_H
#define WEIR_FLOW_H

#include <weir/base.h>

#ifdef __cplusplus
extern "C" {
#endif

struct weir_flow_graph;
struct weir_flow_materializer;
struct weir_flow_stream;
struct weir_flow_stage; /* a stage of a running stream */

enum {
    WEIR_FLOW_STAGES_MAX = 4096, /* of a graph */
    WEIR_FLOW_PORTS_MAX = 256,   /* inlets, and outlets, of a stage */
    WEIR_FLOW_BUFFER_MAX = 1 << 20,
    WEIR_FLOW_NONE = -1, /* no stage: what a function returns once the graph has an error */
};

/* How elements of an outlet are owned; static or longer-lived than every stream. */
struct weir_flow_kind {
    void (*drop)(void *element);   /* required: ends an element */
    void *(*share)(void *element); /* optional: a second owner for it, NULL = no memory; needed by
                                      broadcast, also_to and wire_tap */
};

/* ---- running --------------------------------------------------------------------------------- */

struct weir_clock;

struct weir_flow_materializer_options {
    uint32_t threads;               /* [2]; 0: streams run inside weir_flow_materializer_run and
                                       weir_flow_stream_wait, on the caller's thread */
    const struct weir_clock *clock; /* NULL = real; a virtual one needs threads 0 */
    uint32_t events_max;            /* an island's turn, in events [1024] */
    bool fuzzing;                   /* takes events and islands in random order, turns of random
                                       length: all are legal; each seed is one; threads 0 */
    uint64_t seed;
};
void weir_flow_materializer_options_default(struct weir_flow_materializer_options *options);
/* options NULL = defaults. NOMEM, INVALID; IO: no thread can be started. */
WEIR_MUST_USE enum weir_err
weir_flow_materializer_new(const struct weir_flow_materializer_options *options,
                           struct weir_flow_materializer **out, struct weir_error *error);
/* Its streams must have been freed (assertion). NULL is allowed. */
void weir_flow_materializer_free(struct weir_flow_materializer *materializer);
/* With threads 0: fires due timers and runs everything that can run, until nothing can. */
void weir_flow_materializer_run(struct weir_flow_materializer *materializer);

/* Starts a stream. Building errors of the graph, NOMEM, and errors of a stage's init. */
WEIR_MUST_USE enum weir_err weir_flow_run(struct weir_flow_graph *graph,
                                          struct weir_flow_materializer *materializer,
                                          struct weir_flow_stream **out, struct weir_error *error);
/* Waits until every stage has stopped; timeout_ms 0 = only looks, -1 = for ever. TIMEOUT. With
 * threads 0 it runs the materializer once instead of waiting. */
WEIR_MUST_USE enum weir_err weir_flow_stream_wait(struct weir_flow_stream *stream,
                                                  int64_t timeout_ms);
/* Fails every stage with CLOSED; the stream then ends once its open promises are kept. */
void weir_flow_stream_abort(struct weir_flow_stream *stream);
/* The stream must have ended (assertion). Drops results nobody took. NULL is allowed. */
void weir_flow_stream_free(struct weir_flow_stream *stream);
/* What a stage materialised (a queue, a switch, a probe), by its number: the `stage` of its outlet,
 * or what its function returned. Valid until the stream is freed. */
void *weir_flow_stream_value(struct weir_flow_stream *stream, int32_t stage);
/* What a sink or watch_termination came to: OK and its value (gives; NULL where there is none), the
 * failure of the stream, CLOSED (cancelled or aborted), AGAIN (not yet). value_out may be NULL. */
WEIR_MUST_USE enum weir_err weir_flow_stream_result(struct weir_flow_stream *stream, int32_t stage,
                                                    void **value_out, struct weir_error *error);

/* ---- graphs ---------------------------------------------------------------------------------- */

WEIR_MUST_USE enum weir_err weir_flow_graph_new(struct weir_flow_graph **out);
/* NULL is allowed. Its streams go on. */
void weir_flow_graph_free(struct weir_flow_graph *graph);

/* The open end of a graph, to be handed once to the function that adds what comes next. */
struct weir_flow_outlet {
    struct weir_flow_graph *graph;
    int32_t stage, port;
};

/* An asynchronous boundary: what comes next runs in another island. `buffer` elements wait between
 * them, 0 = 16, rounded up to a power of two; half as many may be on their way. Completion comes
 * behind them; a failure overtakes and drops them. */
struct weir_flow_outlet weir_flow_async(struct weir_flow_outlet in, uint32_t buffer);

enum weir_flow_directive { WEIR_FLOW_STOP, WEIR_FLOW_RESUME, WEIR_FLOW_RESTART };
/* What the stage before does when its function fails: STOP (default) fails it; RESUME leaves the
 * element out; RESTART also forgets its state (stateful_map). Heeded by map, collect, stateful_map,
 * map_concat and map_async*. */
struct weir_flow_outlet weir_flow_supervision(
    struct weir_flow_outlet in,
    enum weir_flow_directive (*decide)(void *opaque, const struct weir_error *error), void *opaque);

/* ---- sources --------------------------------------------------------------------------------- */

/* Elements of an array; the array is copied, the elements are borrowed for the graph's life, so
 * kind must be NULL or have share, by which each stream gets its own. */
struct weir_flow_outlet weir_flow_from_array(struct weir_flow_graph *graph, void *const *elements,
                                             uint32_t count, const struct weir_flow_kind *kind);
struct weir_flow_outlet weir_flow_single(struct weir_flow_graph *graph, void *element,
                                         const struct weir_flow_kind *kind);
struct weir_flow_outlet weir_flow_empty(struct weir_flow_graph *graph);
struct weir_flow_outlet weir_flow_failed(struct weir_flow_graph *graph, enum weir_err code,
                                         const char *message);
/* The same element for ever. */
struct weir_flow_outlet weir_flow_repeat(struct weir_flow_graph *graph, void *element,
                                         const struct weir_flow_kind *kind);
/* The element after initial_ms, then every period_ms > 0; ticks without demand are left out. */
struct weir_flow_outlet weir_flow_tick(struct weir_flow_graph *graph, int64_t initial_ms,
                                       int64_t period_ms, void *element,
                                       const struct weir_flow_kind *kind);
/* An iterator: each stream opens a state of its own. */
struct weir_flow_unfold {
    enum weir_err (*open)(void *opaque, void **state_out, struct weir_error *error); /* optional */
    /* Gives the next element; END = no more; other codes fail the source. */
    enum weir_err (*next)(void *opaque, void *state, void **out, struct weir_error *error);
    void (*close)(void *opaque, void *state); /* optional */
    void *opaque;
};
struct weir_flow_outlet weir_flow_unfold(struct weir_flow_graph *graph,
                                         const struct weir_flow_unfold *unfold,
                                         const struct weir_flow_kind *kind);
/* Materialises a struct weir_flow_queue * of `capacity` elements. */
struct weir_flow_outlet weir_flow_source_queue(struct weir_flow_graph *graph, uint32_t capacity,
                                               const struct weir_flow_kind *kind);
struct weir_flow_queue;
/* Any thread. Takes the element if OK. timeout_ms as in stream_wait; a thread of the materializer
 * must not wait. AGAIN, TIMEOUT: full; CLOSED: completed, or the stream no longer listens. */
WEIR_MUST_USE enum weir_err weir_flow_queue_offer(struct weir_flow_queue *queue, void *element,
                                                  int64_t timeout_ms);
/* Any thread: no more offers; what waits still goes out. */
void weir_flow_queue_complete(struct weir_flow_queue *queue);

/* ---- linear stages --------------------------------------------------------------------------- */

/* Gives another element for each. */
typedef enum weir_err weir_flow_map_fn(void *opaque, void *element, void **out,
                                       struct weir_error *error);
/* Borrows the element. */
typedef bool weir_flow_predicate(void *opaque, const void *element);

struct weir_flow_outlet weir_flow_map(struct weir_flow_outlet in, weir_flow_map_fn *fn,
                                      void *opaque, const struct weir_flow_kind *kind);
/* As map; AGAIN from fn leaves the element out (it took it). */
struct weir_flow_outlet weir_flow_collect(struct weir_flow_outlet in, weir_flow_map_fn *fn,
                                          void *opaque, const struct weir_flow_kind *kind);
struct weir_flow_outlet weir_flow_filter(struct weir_flow_outlet in, weir_flow_predicate *fn,
                                         void *opaque);
struct weir_flow_stateful_map {
    enum weir_err (*create)(void *opaque, void **state_out, struct weir_error *error);
    /* AGAIN: nothing for this element. */
    enum weir_err (*map)(void *opaque, void *state, void *element, void **out,
                         struct weir_error *error);
    /* Optional: a last element when upstream completes; AGAIN: none. */
    enum weir_err (*complete)(void *opaque, void *state, void **out, struct weir_error *error);
    void (*free_state)(void *opaque, void *state); /* optional */
    void *opaque;
};
struct weir_flow_outlet weir_flow_stateful_map(struct weir_flow_outlet in,
                                               const struct weir_flow_stateful_map *map,
                                               const struct weir_flow_kind *kind);
/* Zero or more elements for each, made one by one as they are asked for. */
struct weir_flow_map_concat {
    enum weir_err (*open)(void *opaque, void *element, void **cursor_out, struct weir_error *error);
    enum weir_err (*next)(void *opaque, void *cursor, void **out,
                          struct weir_error *error); /* END */
    void (*close)(void *opaque, void *cursor);       /* optional */
    void *opaque;
};
struct weir_flow_outlet weir_flow_map_concat(struct weir_flow_outlet in,
                                             const struct weir_flow_map_concat *map,
                                             const struct weir_flow_kind *kind);
struct weir_flow_outlet weir_flow_take(struct weir_flow_outlet in, uint64_t count);
/* `inclusive`: the first element that fails the test still goes out. */
struct weir_flow_outlet weir_flow_take_while(struct weir_flow_outlet in, weir_flow_predicate *fn,
                                             void *opaque, bool inclusive);
struct weir_flow_outlet weir_flow_drop(struct weir_flow_outlet in, uint64_t count);

/* Several elements as one, allocated for each group; dropped with weir_flow_group_free, or emptied
 * (count = 0) by who takes the elements out. */
struct weir_flow_group {
    const struct weir_flow_kind *kind; /* of the elements */
    uint32_t count;
    void *elements[];
};
void weir_flow_group_free(struct weir_flow_group *group);
/* Groups of `count`; the last may be smaller. */
struct weir_flow_outlet weir_flow_grouped(struct weir_flow_outlet in, uint32_t count);
/* ... and at the latest within_ms after the group before; never an empty one. */
struct weir_flow_outlet weir_flow_grouped_within(struct weir_flow_outlet in, uint32_t count,
                                                 int64_t within_ms);

/* ---- rate ------------------------------------------------------------------------------------ */

/* At most `elements` per per_ms on average, `burst` at once (a token bucket that begins full). */
struct weir_flow_outlet weir_flow_throttle(struct weir_flow_outlet in, uint32_t elements,
                                           int64_t per_ms, uint32_t burst);
enum weir_flow_overflow {
    WEIR_FLOW_BACKPRESSURE, /* pull no more */
    WEIR_FLOW_DROP_HEAD,    /* the oldest goes */
    WEIR_FLOW_DROP_TAIL,    /* the youngest goes */
    WEIR_FLOW_DROP_BUFFER,  /* all go */
    WEIR_FLOW_DROP_NEW,     /* the newcomer goes */
    WEIR_FLOW_FAIL,         /* the stage fails with LIMIT */
};
struct weir_flow_outlet weir_flow_buffer(struct weir_flow_outlet in, uint32_t capacity,
                                         enum weir_flow_overflow strategy);
/* While downstream is slow: `seed` makes a batch of the first element, `aggregate` adds each
 * further one, up to `max` elements; then upstream waits. Both take the element; aggregate takes
 * the batch and gives it back or another (on failure it has dropped it). */
struct weir_flow_batch {
    uint64_t max; /* UINT64_MAX: conflate_with_seed */
    enum weir_err (*seed)(void *opaque, void *element, void **batch_out, struct weir_error *error);
    enum weir_err (*aggregate)(void *opaque, void *batch, void *element, void **batch_out,
                               struct weir_error *error);
    void *opaque;
};
struct weir_flow_outlet weir_flow_batch(struct weir_flow_outlet in,
                                        const struct weir_flow_batch *batch,
                                        const struct weir_flow_kind *kind);
/* batch without limit, the first element being its own batch: upstream never waits. */
struct weir_flow_outlet
weir_flow_conflate(struct weir_flow_outlet in,
                   enum weir_err (*aggregate)(void *opaque, void *batch, void *element,
                                              void **batch_out, struct weir_error *error),
                   void *opaque);

/* ---- asynchronous work ----------------------------------------------------------------------- */

/* The answer that a function of map_async owes: exactly one of succeed and fail, at once or later,
 * from any thread. The stream does not end before. */
struct weir_flow_promise;
void weir_flow_promise_succeed(struct weir_flow_promise *promise, void *element); /* takes */
void weir_flow_promise_fail(struct weir_flow_promise *promise, const struct weir_error *error);

struct weir_flow_map_async {
    uint32_t parallelism; /* promises open at once */
    /* Takes the element; must not block. */
    void (*start)(void *opaque, void *element, struct weir_flow_promise *promise);
    /* map_async_partitioned: borrows the element; equal partitions run one after the other, in
     * order. */
    uint64_t (*partition)(void *opaque, const void *element);
    void *opaque;
};
/* Results in the order of the elements. */
struct weir_flow_outlet weir_flow_map_async(struct weir_flow_outlet in,
                                            const struct weir_flow_map_async *map,
                                            const struct weir_flow_kind *kind);
/* Results as they come. */
struct weir_flow_outlet weir_flow_map_async_unordered(struct weir_flow_outlet in,
                                                      const struct weir_flow_map_async *map,
                                                      const struct weir_flow_kind *kind);
/* In order of the elements; one promise a partition at a time. */
struct weir_flow_outlet weir_flow_map_async_partitioned(struct weir_flow_outlet in,
                                                        const struct weir_flow_map_async *map,
                                                        const struct weir_flow_kind *kind);

/* ---- fan-out and fan-in ---------------------------------------------------------------------- */

/* Every element to all outlets, when all have asked; ends when all have cancelled. */
void weir_flow_broadcast(struct weir_flow_outlet in, struct weir_flow_outlet *outs, uint32_t count);
/* Each element to one outlet that has asked. */
void weir_flow_balance(struct weir_flow_outlet in, struct weir_flow_outlet *outs, uint32_t count);
/* Each element to the outlet that fn says (borrows; the result must be below count). What would go
 * to a cancelled outlet is dropped. */
void weir_flow_partition(struct weir_flow_outlet in,
                         uint32_t (*fn)(void *opaque, const void *element), void *opaque,
                         struct weir_flow_outlet *outs, uint32_t count);
/* These give the main outlet, and in *side_out the other. also_to: broadcast to both, ends with
 * either. divert_to: where fn is true to the side. wire_tap: to the side only if it has asked
 * (elements that it misses are lost there), never slowing the main. */
struct weir_flow_outlet weir_flow_also_to(struct weir_flow_outlet in,
                                          struct weir_flow_outlet *side_out);
struct weir_flow_outlet weir_flow_divert_to(struct weir_flow_outlet in, weir_flow_predicate *fn,
                                            void *opaque, struct weir_flow_outlet *side_out);
struct weir_flow_outlet weir_flow_wire_tap(struct weir_flow_outlet in,
                                           struct weir_flow_outlet *side_out);
/* Fan-in: all inlets' kinds must be the same (zip apart). merge takes in order of arrival. */
struct weir_flow_outlet weir_flow_merge(const struct weir_flow_outlet *ins, uint32_t count);
/* ins[0] is preferred whenever it has an element. */
struct weir_flow_outlet weir_flow_merge_preferred(const struct weir_flow_outlet *ins,
                                                  uint32_t count);
/* All of the first, then all of the second ... */
struct weir_flow_outlet weir_flow_concat(const struct weir_flow_outlet *ins, uint32_t count);
/* One element of each, made one by fn, which takes both; ends with the shorter. */
struct weir_flow_outlet weir_flow_zip_with(struct weir_flow_outlet a, struct weir_flow_outlet b,
                                           enum weir_err (*fn)(void *opaque, void *a, void *b,
                                                               void **out,
                                                               struct weir_error *error),
                                           void *opaque, const struct weir_flow_kind *kind);
/* zip: two elements as one, allocated for each pair; each keeps its own kind. */
struct weir_flow_pair {
    void *first, *second; /* NULL: taken out */
    const struct weir_flow_kind *kinds[2];
};
void weir_flow_pair_free(struct weir_flow_pair *pair);
struct weir_flow_outlet weir_flow_zip(struct weir_flow_outlet a, struct weir_flow_outlet b);

/* ---- errors, time-outs, control -------------------------------------------------------------- */

/* On failure a last element from fn, then completion; fn may answer with an error to fail. */
struct weir_flow_outlet weir_flow_recover(struct weir_flow_outlet in,
                                          enum weir_err (*fn)(void *opaque,
                                                              const struct weir_error *failure,
                                                              void **out, struct weir_error *error),
                                          void *opaque);
/* Fail with TIMEOUT: no element for so long | no first element | no completion | after an element
 * downstream has not asked for the next one for so long. */
struct weir_flow_outlet weir_flow_idle_timeout(struct weir_flow_outlet in, int64_t timeout_ms);
struct weir_flow_outlet weir_flow_initial_timeout(struct weir_flow_outlet in, int64_t timeout_ms);
struct weir_flow_outlet weir_flow_completion_timeout(struct weir_flow_outlet in,
                                                     int64_t timeout_ms);
struct weir_flow_outlet weir_flow_backpressure_timeout(struct weir_flow_outlet in,
                                                       int64_t timeout_ms);
/* Sends an element from make when none has come for so long and downstream waits for one. */
struct weir_flow_outlet weir_flow_keep_alive(struct weir_flow_outlet in, int64_t idle_ms,
                                             enum weir_err (*make)(void *opaque, void **out,
                                                                   struct weir_error *error),
                                             void *opaque);
/* Materialises a struct weir_flow_kill_switch *, for any thread. */
struct weir_flow_outlet weir_flow_kill_switch(struct weir_flow_outlet in);
struct weir_flow_kill_switch;
/* Completes downstream and cancels upstream; the first of the two calls counts. */
void weir_flow_kill_switch_shutdown(struct weir_flow_kill_switch *kill_switch);
void weir_flow_kill_switch_abort(struct weir_flow_kill_switch *kill_switch,
                                 const struct weir_error *error);
/*
 * One switch for the streams of many graphs: each passes through it, and ends when it is turned
 * off; one that starts later ends at once. It is freed behind the last of these streams.
 */
struct weir_flow_shared_kill_switch;
WEIR_MUST_USE enum weir_err
weir_flow_shared_kill_switch_new(struct weir_flow_shared_kill_switch **out);
void weir_flow_shared_kill_switch_free(struct weir_flow_shared_kill_switch *kill_switch);
struct weir_flow_outlet
weir_flow_via_shared_kill_switch(struct weir_flow_outlet in,
                                 struct weir_flow_shared_kill_switch *kill_switch);
/* From any thread, as those of one stream. */
void weir_flow_shared_kill_switch_shutdown(struct weir_flow_shared_kill_switch *kill_switch);
void weir_flow_shared_kill_switch_abort(struct weir_flow_shared_kill_switch *kill_switch,
                                        const struct weir_error *error);
/* Passes on; its result says how the stream ended here: OK, the failure, or CLOSED (cancelled). */
struct weir_flow_outlet weir_flow_watch_termination(struct weir_flow_outlet in);

/* ---- sinks: the number returned names the stage for weir_flow_stream_result and _value ------- */

/* fn takes both and gives the new accumulation, as aggregate of weir_flow_batch does; kind: the
 * accumulation's. initial is shared by kind for each stream, or NULL. The result is the last. */
int32_t weir_flow_fold(struct weir_flow_outlet in, void *initial,
                       enum weir_err (*fn)(void *opaque, void *sum, void *element, void **sum_out,
                                           struct weir_error *error),
                       void *opaque, const struct weir_flow_kind *kind);
/* The result is a struct weir_flow_group * of all elements; more than max: fails with LIMIT. */
int32_t weir_flow_collect_all(struct weir_flow_outlet in, uint32_t max);
int32_t weir_flow_foreach(struct weir_flow_outlet in,
                          enum weir_err (*fn)(void *opaque, void *element,
                                              struct weir_error *error),
                          void *opaque);
int32_t weir_flow_ignore(struct weir_flow_outlet in);
/* The result is the first element; NOT_FOUND if there is none. */
int32_t weir_flow_head(struct weir_flow_outlet in);
int32_t weir_flow_cancelled(struct weir_flow_outlet in);
/* Materialises a struct weir_flow_sink_queue *, which pulls ahead up to `capacity` elements. */
int32_t weir_flow_sink_queue(struct weir_flow_outlet in, uint32_t capacity);
struct weir_flow_sink_queue;
/* Any thread; gives. AGAIN, TIMEOUT; END: completed and empty; the stream's failure. */
WEIR_MUST_USE enum weir_err weir_flow_sink_queue_pull(struct weir_flow_sink_queue *queue,
                                                      void **out, int64_t timeout_ms,
                                                      struct weir_error *error);
/* Any thread: the sink wants no more. */
void weir_flow_sink_queue_cancel(struct weir_flow_sink_queue *queue);

/* ---- stages of your own ---------------------------------------------------------------------- */

/*
 * The life of an edge, one element at a time:
 *
 *      inlet:  pull ----> (has_been_pulled)                on_push -> is_available -> grab
 *                    \                                    /
 *      outlet:        on_pull -> is_available -> push ---/
 *
 * Legal: pull an open inlet that is neither pulled nor holds an element; push to an open outlet
 * that is available; grab once after on_push. complete, fail and cancel of a closed port do
 * nothing. A port is closed by its own side at once, by the other side when the handler is called.
 * A stage stops when all its ports are closed, unless it keeps going. Handlers never nest: what a
 * call causes elsewhere comes after the handler.
 */
struct weir_flow_event;

#define WEIR_FLOW_STAGE_ABI 1

struct weir_flow_stage_ops {
    uint32_t abi; /* WEIR_FLOW_STAGE_ABI */
    const char *name;
    size_t self_bytes;    /* of `self`, zeroed for each stream */
    uint32_t timer_count; /* timers 0 .. timer_count - 1 */
    /* Optional. On the thread of weir_flow_run: fills *self, sets the materialised value; memory by
     * weir_flow_stage_alloc. If any stage fails, those that succeeded are released. */
    enum weir_err (*init)(void *self, struct weir_flow_stage *stage, struct weir_error *error);
    /* Optional: what init made ends; when the stream is freed. */
    void (*release)(void *self, struct weir_flow_stage *stage);
    /* Optional: before the first event (preStart), and after the last (postStop): drops what it
     * still holds. Both run inside the stream. */
    void (*start)(void *self, struct weir_flow_stage *stage);
    void (*stop)(void *self, struct weir_flow_stage *stage);
    /* Required with inlets. */
    void (*on_push)(void *self, struct weir_flow_stage *stage, uint32_t inlet);
    /* Optional [complete_stage]. An element not grabbed yet can still be grabbed. */
    void (*on_upstream_finish)(void *self, struct weir_flow_stage *stage, uint32_t inlet);
    /* Optional [fail_stage]. */
    void (*on_upstream_failure)(void *self, struct weir_flow_stage *stage, uint32_t inlet,
                                const struct weir_error *error);
    /* Required with outlets. */
    void (*on_pull)(void *self, struct weir_flow_stage *stage, uint32_t outlet);
    /* Optional [cancel_stage]; cause NULL: it has enough. */
    void (*on_downstream_finish)(void *self, struct weir_flow_stage *stage, uint32_t outlet,
                                 const struct weir_error *cause);
    void (*on_timer)(void *self, struct weir_flow_stage *stage, uint32_t timer);
    void (*on_event)(void *self, struct weir_flow_stage *stage, struct weir_flow_event *event);
};

struct weir_flow_stage_options {
    const void *config; /* copied */
    size_t config_bytes;
    const struct weir_flow_outlet *ins; /* what the inlets are connected to */
    uint32_t in_count, out_count;
    const struct weir_flow_kind *kind; /* of all outlets */
};
/* Adds a stage and gives its number, WEIR_FLOW_NONE if the graph has an error. ops are static. Its
 * outlets are {graph, number, 0 .. out_count - 1}. */
int32_t weir_flow_stage_add(struct weir_flow_graph *graph, const struct weir_flow_stage_ops *ops,
                            const struct weir_flow_stage_options *options);
/* For functions that add stages: makes an error stick to the graph (the first counts). */
void weir_flow_graph_fail(struct weir_flow_graph *graph, enum weir_err code, const char *message);
const struct weir_flow_kind *weir_flow_outlet_kind(struct weir_flow_outlet outlet);

/* Inside init. alloc: zeroed, lives as long as the stream. */
void *weir_flow_stage_alloc(struct weir_flow_stage *stage, size_t bytes);
void weir_flow_stage_value_set(struct weir_flow_stage *stage, void *value);
/* The copy of options.config. */
const void *weir_flow_stage_config(const struct weir_flow_stage *stage);
uint32_t weir_flow_stage_in_count(const struct weir_flow_stage *stage);
uint32_t weir_flow_stage_out_count(const struct weir_flow_stage *stage);
const struct weir_flow_kind *weir_flow_in_kind(const struct weir_flow_stage *stage, uint32_t inlet);
const struct weir_flow_kind *weir_flow_out_kind(const struct weir_flow_stage *stage,
                                                uint32_t outlet);
/* Ends an element of a kind (NULL: nothing to do). */
void weir_flow_drop_element(const struct weir_flow_kind *kind, void *element);

/* Inside start, stop and the handlers. */
void weir_flow_pull(struct weir_flow_stage *stage, uint32_t inlet);
/* Pulls if that is legal. */
void weir_flow_try_pull(struct weir_flow_stage *stage, uint32_t inlet);
void *weir_flow_grab(struct weir_flow_stage *stage, uint32_t inlet);
void weir_flow_cancel(struct weir_flow_stage *stage, uint32_t inlet,
                      const struct weir_error *cause); /* cause may be NULL */
bool weir_flow_in_is_available(const struct weir_flow_stage *stage, uint32_t inlet);
bool weir_flow_has_been_pulled(const struct weir_flow_stage *stage, uint32_t inlet);
bool weir_flow_in_is_closed(const struct weir_flow_stage *stage, uint32_t inlet);
void weir_flow_push(struct weir_flow_stage *stage, uint32_t outlet, void *element);
void weir_flow_complete(struct weir_flow_stage *stage, uint32_t outlet);
void weir_flow_fail(struct weir_flow_stage *stage, uint32_t outlet, const struct weir_error *error);
bool weir_flow_out_is_available(const struct weir_flow_stage *stage, uint32_t outlet);
bool weir_flow_out_is_closed(const struct weir_flow_stage *stage, uint32_t outlet);
/* All ports at once: outlets complete or fail, inlets cancel. They leave keep_going as it is. */
void weir_flow_complete_stage(struct weir_flow_stage *stage);
void weir_flow_fail_stage(struct weir_flow_stage *stage, const struct weir_error *error);
void weir_flow_cancel_stage(struct weir_flow_stage *stage, const struct weir_error *cause);
/* The stage lives on with all ports closed, until it says false. */
void weir_flow_keep_going(struct weir_flow_stage *stage, bool keep_going);
/* Sets what weir_flow_stream_result gives; once. kind: how to drop a value that nobody takes. */
void weir_flow_resolve(struct weir_flow_stage *stage, void *value,
                       const struct weir_flow_kind *kind);
void weir_flow_resolve_error(struct weir_flow_stage *stage, const struct weir_error *error);
/* on_timer after delay_ms, then every period_ms (0 = once); a started timer is moved. Timers stop
 * with the stage. */
void weir_flow_timer_start(struct weir_flow_stage *stage, uint32_t timer, int64_t delay_ms,
                           int64_t period_ms);
void weir_flow_timer_stop(struct weir_flow_stage *stage, uint32_t timer);
int64_t weir_flow_now_ns(const struct weir_flow_stage *stage);

/* An asynchronous callback: embedded in the stage's memory or in what the stage hands out. */
struct weir_flow_event {
    struct weir_flow_event *next; /* the engine's own */
    struct weir_flow_stage *stage;
    bool waiting;
};
void weir_flow_event_init(struct weir_flow_event *event, struct weir_flow_stage *stage);
/* Any thread, until the stream is freed: on_event(event) follows, once for all calls before it; not
 * if the stage has stopped. What was written before is visible to it. */
void weir_flow_invoke(struct weir_flow_event *event);

/* ---- test kit: with threads 0, on one thread ------------------------------------------------- */

struct weir_flow_source_probe; /* materialised by probe_source */
struct weir_flow_sink_probe;   /* materialised by probe_sink */

struct weir_flow_outlet weir_flow_probe_source(struct weir_flow_graph *graph,
                                               const struct weir_flow_kind *kind);
int32_t weir_flow_probe_sink(struct weir_flow_outlet in);
/* Each of these lets the streams run until nothing moves. next: takes; AGAIN without demand, CLOSED
 * after completion or cancellation; the element is the caller's then. */
WEIR_MUST_USE enum weir_err weir_flow_source_probe_next(struct weir_flow_source_probe *probe,
                                                        void *element);
void weir_flow_source_probe_complete(struct weir_flow_source_probe *probe);
void weir_flow_source_probe_fail(struct weir_flow_source_probe *probe, enum weir_err code);
bool weir_flow_source_probe_has_demand(struct weir_flow_source_probe *probe);
/* OK: not cancelled; CLOSED: cancelled without cause; else the cause. */
enum weir_err weir_flow_source_probe_cancelled(struct weir_flow_source_probe *probe);
/* Asks for `count` more elements. */
void weir_flow_sink_probe_request(struct weir_flow_sink_probe *probe, uint32_t count);
/* Gives what has come, in order: OK and an element, AGAIN (nothing), END, or the failure. */
enum weir_err weir_flow_sink_probe_take(struct weir_flow_sink_probe *probe, void **out);
void weir_flow_sink_probe_cancel(struct weir_flow_sink_probe *probe);

#ifdef __cplusplus
}
#endif
#endif
