/* serving/engine_flow.c - a model server as streams of the flow engine: graphs and life, see
 * flow_inside.h. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "serving/flow_inside.h"

enum {
    AGAIN_MIN_MS = 100, /* before a failed line runs again; doubles */
    AGAIN_MAX_MS = 5000,
    FAILURES_MAX = 10, /* without a delivery in between, then the server fails */
    BLOCKS_ON_THE_WAY = 64,
    ABORT_MS = 1000, /* beyond drain.timeout.ms, before what is left is cut off */
};

static const char description[] =
    "Streams:\n"
    "   lane (one a thread): source %s --> scoring --> producer %s --> committer\n"
    "   models: source %s --> models\n"
    "   letters: bad models --> producer %s\n";

static struct flow_engine *engine_of(const struct server *server)
{
    return server->engine;
}

static struct flow_line *line_of(struct flow_engine *engine, uint32_t index)
{
    if (index < engine->lane_count)
        return &engine->lanes[index].line;
    return index == engine->lane_count ? &engine->table : &engine->letters;
}

static uint32_t line_count(const struct flow_engine *engine)
{
    return engine->lane_count + 2;
}

/* ---- states ---------------------------------------------------------------------------------- */

static void enter(struct flow_engine *engine, enum weir_streams_state to)
{
    enum weir_streams_state from = (enum weir_streams_state)atomic_exchange(&engine->state, to);
    if (from != to)
        server_on_state(engine->server, from, to);
}

void flow_engine_is_ready(struct flow_engine *engine)
{
    int rebalancing = WEIR_STREAMS_REBALANCING;
    atomic_store(&engine->ready, true);
    if (atomic_compare_exchange_strong(&engine->state, &rebalancing, WEIR_STREAMS_RUNNING))
        server_on_state(engine->server, WEIR_STREAMS_REBALANCING, WEIR_STREAMS_RUNNING);
    engine->server->ops->wake(engine->server);
}

static struct weir_connect_control *control_of(const struct flow_line *line)
{
    return line->stream ? weir_flow_stream_value(line->stream, line->first) : NULL;
}

bool flow_engine_owns_first(struct flow_engine *engine)
{
    bool owns = false;
    pthread_mutex_lock(&engine->lock);
    for (uint32_t i = 0; i < engine->lane_count && !owns; i++) {
        struct weir_connect_control *control = control_of(&engine->lanes[i].line);
        owns = control && weir_connect_owns(control, engine->server->options.data_topic, 0);
    }
    pthread_mutex_unlock(&engine->lock);
    return owns;
}

/* ---- graphs ---------------------------------------------------------------------------------- */

static enum weir_err count_delivered(void *opaque, void *element, void **out,
                                     struct weir_error *error)
{
    struct flow_lane *lane = opaque;
    const struct weir_connect_block *block = element;
    (void)error;
    atomic_fetch_add_explicit(&lane->delivered, block->batch.count, memory_order_relaxed);
    *out = element;
    return WEIR_OK;
}

static void producer_options(const struct server *server,
                             struct weir_connect_producer_options *options)
{
    weir_connect_producer_options_default(options);
    options->kafka = server->kafka;
    options->producer.linger_ms = server->options.streams.linger_ms;
    options->producer.queue_bytes =
        server->options.streams.output_bytes / server->options.streams.threads;
    options->elements_max = BLOCKS_ON_THE_WAY;
}

static void build_lane(struct flow_lane *lane, uint32_t number)
{
    struct server *server = lane->line.engine->server;
    const struct weir_streams_options *streams = &server->options.streams;
    struct weir_connect_source_options source;
    struct weir_connect_producer_options producer;
    struct weir_flow_outlet blocks;

    weir_connect_source_options_default(&source);
    source.kafka = server->kafka;
    source.consumer.group_id = streams->application_id;
    if (streams->group_instance_id) { /* each lane is a member of its own */
        snprintf(lane->instance_id, sizeof lane->instance_id, "%s-%u", streams->group_instance_id,
                 (unsigned)number);
        source.consumer.group_instance_id = lane->instance_id;
    }
    source.consumer.topics = &server->options.data_topic;
    source.consumer.topic_count = 1;
    source.consumer.queue_bytes = streams->input_bytes / streams->threads;
    source.consumer.partitions_expected = streams->partitions_expected;
    source.records_max = streams->batch_rows;
    source.blocks = BLOCKS_ON_THE_WAY;
    source.commit_records = UINT32_MAX; /* by time alone */
    if (streams->commit_interval_ms > 0)
        source.commit_ms = streams->commit_interval_ms;
    source.drain_ms = streams->drain_timeout_ms;
    producer_options(server, &producer);
    producer.rows = flow_scoring_rows;
    producer.record = flow_scoring_record;
    producer.instead = flow_scoring_instead;
    producer.opaque = lane;

    blocks = weir_connect_source(lane->line.graph, &source);
    lane->line.first = blocks.stage;
    blocks = weir_connect_producer(flow_scoring(blocks, lane), &producer);
    blocks = weir_flow_map(blocks, count_delivered, lane, &weir_connect_block_kind);
    lane->line.sink = weir_connect_committer(blocks);
}

static void build_table(struct flow_engine *engine)
{
    struct weir_connect_table_options options;
    weir_connect_table_options_default(&options);
    options.kafka = engine->server->kafka;
    options.table.topic = engine->server->options.models_topic;
    struct weir_flow_outlet blocks = weir_connect_table(engine->table.graph, &options);
    engine->table.first = blocks.stage;
    engine->table.sink = flow_models_sink(blocks, engine);
}

static void build_letters(struct flow_engine *engine)
{
    struct weir_connect_producer_options options;
    producer_options(engine->server, &options);
    options.record = flow_bad_models_record;
    options.instead = flow_bad_models_instead;
    options.opaque = engine;
    options.elements_max = 1;
    struct weir_flow_outlet letters = flow_bad_models(engine->letters.graph, engine);
    engine->letters.first = letters.stage;
    engine->letters.sink =
        weir_flow_foreach(weir_connect_producer(letters, &options), flow_bad_models_sent, engine);
}

static enum weir_err describe(struct server *server)
{
    const struct server_options *options = &server->options;
    int bytes = snprintf(NULL, 0, description, options->data_topic, options->scores_topic,
                         options->models_topic, options->dead_letter_topic);
    server->description = weir_alloc((size_t)bytes + 1);
    if (!server->description)
        return WEIR_NOMEM;
    snprintf(server->description, (size_t)bytes + 1, description, options->data_topic,
             options->scores_topic, options->models_topic, options->dead_letter_topic);
    return WEIR_OK;
}

static enum weir_err make(struct server *server, struct weir_error *error)
{
    uint32_t lanes = server->options.streams.threads;
    struct weir_flow_materializer_options options;
    struct flow_engine *engine = weir_calloc(1, sizeof *engine + lanes * sizeof *engine->lanes);
    if (!engine)
        return weir_error_set(error, WEIR_NOMEM, -1, "no memory for streams");
    server->engine = engine;
    engine->server = server;
    engine->lane_count = lanes;
    pthread_mutex_init(&engine->lock, NULL);
    weir_flow_materializer_options_default(&options);
    options.threads = lanes + 1; /* one more for models and letters */
    enum weir_err err = weir_flow_materializer_new(&options, &engine->materializer, error);
    for (uint32_t i = 0; i < line_count(engine) && err == WEIR_OK; i++) {
        struct flow_line *line = line_of(engine, i);
        line->engine = engine;
        line->name = i < lanes ? "records" : i == lanes ? "models" : "letters";
        err = weir_flow_graph_new(&line->graph);
    }
    if (err == WEIR_OK)
        err = describe(server);
    if (err != WEIR_OK)
        return weir_error_set(error, err, -1, "the streams of a server can't be made: %s",
                              weir_err_text(err));
    for (uint32_t i = 0; i < lanes; i++)
        build_lane(&engine->lanes[i], i + 1);
    build_table(engine);
    build_letters(engine);
    return WEIR_OK;
}

/* ---- lines ----------------------------------------------------------------------------------- */

static enum weir_err run_line(struct flow_line *line, struct weir_error *error)
{
    struct flow_engine *engine = line->engine;
    pthread_mutex_lock(&engine->lock);
    line->again_ns = 0;
    enum weir_err err = weir_flow_run(line->graph, engine->materializer, &line->stream, error);
    if (err != WEIR_OK)
        line->event = NULL;
    pthread_mutex_unlock(&engine->lock);
    return err;
}

static struct flow_lane *lane_of(struct flow_line *line)
{
    struct flow_engine *engine = line->engine;
    return line == &engine->table || line == &engine->letters
               ? NULL
               : WEIR_CONTAINER(line, struct flow_lane, line);
}

/* Frees the stream, which has ended. */
static void leave_line(struct flow_line *line)
{
    struct flow_engine *engine = line->engine;
    struct flow_lane *lane = lane_of(line);
    struct weir_flow_stream *stream = line->stream;
    struct weir_connect_stats stats = {.lag_records = -1};
    pthread_mutex_lock(&engine->lock);
    if (lane && stream) {
        weir_connect_stats(control_of(line), &stats);
        lane->gone.commits += stats.commits;
        lane->gone.commit_failures += stats.commit_failures;
        lane->gone.rebalances += stats.rebalances;
    }
    line->stream = NULL;
    line->event = NULL;
    pthread_mutex_unlock(&engine->lock);
    weir_flow_stream_free(stream);
}

static bool has_ended(const struct flow_line *line)
{
    return line->stream && weir_flow_stream_wait(line->stream, 0) == WEIR_OK;
}

/* What a line that ended by itself came to; OK never: nothing asked it to. */
static enum weir_err failure_of(const struct flow_line *line, struct weir_error *error)
{
    enum weir_err err = weir_flow_stream_result(line->stream, line->sink, NULL, error);
    return err == WEIR_OK || err == WEIR_AGAIN
               ? weir_error_set(error, WEIR_INTERNAL, -1, "the stream of %s has ended", line->name)
               : err;
}

/* Running it again may help: what was not committed is read again. */
static bool may_pass(const struct flow_line *line, const struct weir_error *error)
{
    return line->failures < FAILURES_MAX && !error->fatal &&
           (error->retriable || error->code == WEIR_TIMEOUT || error->code == WEIR_FENCED ||
            error->code == WEIR_BROKER);
}

static uint64_t delivered_of(struct flow_line *line)
{
    struct flow_lane *lane = lane_of(line);
    return lane ? atomic_load(&lane->delivered) : atomic_load(&line->engine->model_letters);
}

/* A line that ended: for good, or to run again after a while. */
static enum weir_err look_after(struct flow_line *line, struct weir_error *error)
{
    int64_t now_ns = weir_clock_now_ns(NULL);
    if (line->again_ns && now_ns >= line->again_ns)
        return run_line(line, error);
    if (!has_ended(line))
        return WEIR_OK;
    uint64_t delivered = delivered_of(line);
    enum weir_err err = failure_of(line, error);
    if (delivered > line->delivered_before)
        line->failures = 0;
    line->delivered_before = delivered;
    if (!may_pass(line, error))
        return err;
    int64_t wait_ms = AGAIN_MIN_MS << line->failures++;
    if (wait_ms > AGAIN_MAX_MS)
        wait_ms = AGAIN_MAX_MS;
    weir_log(&line->engine->server->options.log, WEIR_LOG_WARN, "flow",
             "the stream of %s runs again in %d ms: %s", line->name, (int)wait_ms, error->message);
    leave_line(line);
    atomic_fetch_add(&line->reruns, 1);
    line->again_ns = now_ns + wait_ms * WEIR_NS_PER_MS;
    return WEIR_OK;
}

/* ---- life ------------------------------------------------------------------------------------ */

static enum weir_err fail(struct flow_engine *engine, enum weir_err err)
{
    enter(engine, WEIR_STREAMS_ERROR);
    return err;
}

static enum weir_err start(struct server *server, struct weir_error *error)
{
    struct flow_engine *engine = engine_of(server);
    enum weir_err err = WEIR_OK;
    enter(engine, WEIR_STREAMS_REBALANCING);
    for (uint32_t i = 0; i < line_count(engine) && err == WEIR_OK; i++)
        err = run_line(line_of(engine, i), error);
    return err == WEIR_OK ? err : fail(engine, err);
}

/* Says how many partitions a lane has, when that changes. */
static void tell_partitions(struct flow_lane *lane)
{
    struct weir_connect_stats stats = {.partitions = 0};
    if (lane->line.stream)
        weir_connect_stats(control_of(&lane->line), &stats);
    if (stats.partitions == lane->told)
        return;
    lane->told = stats.partitions;
    weir_log(&lane->line.engine->server->options.log, WEIR_LOG_INFO, "flow",
             "lane %u reads %u partitions", (unsigned)(lane - lane->line.engine->lanes) + 1,
             (unsigned)lane->told);
}

static enum weir_err tick(struct server *server, struct weir_error *error)
{
    struct flow_engine *engine = engine_of(server);
    enum weir_err err = WEIR_OK;
    for (uint32_t i = 0; i < line_count(engine) && err == WEIR_OK; i++)
        err = look_after(line_of(engine, i), error);
    for (uint32_t i = 0; i < engine->lane_count; i++)
        tell_partitions(&engine->lanes[i]);
    return err == WEIR_OK ? err : fail(engine, err);
}

static void wake(struct server *server)
{
    struct flow_engine *engine = engine_of(server);
    pthread_mutex_lock(&engine->lock);
    for (uint32_t i = 0; i < line_count(engine); i++) {
        const struct flow_line *line = line_of(engine, i);
        if (line->stream && line->event)
            weir_flow_invoke(line->event);
    }
    pthread_mutex_unlock(&engine->lock);
}

static enum weir_streams_state state(const struct server *server)
{
    const struct flow_engine *engine = engine_of(server);
    return engine ? (enum weir_streams_state)atomic_load(&engine->state) : WEIR_STREAMS_CREATED;
}

static void stats(struct server *server, struct weir_streams_stats *out)
{
    struct flow_engine *engine = engine_of(server);
    uint64_t model_letters = atomic_load(&engine->model_letters);
    out->threads = engine->lane_count;
    out->global_records = atomic_load(&engine->global_records);
    out->dead_letters = model_letters;
    out->records_delivered = model_letters;
    pthread_mutex_lock(&engine->lock);
    for (uint32_t i = 0; i < engine->lane_count; i++) {
        struct flow_lane *lane = &engine->lanes[i];
        struct weir_connect_stats now = {.lag_records = -1};
        uint64_t scored = atomic_load(&lane->scored), letters = atomic_load(&lane->letters);
        if (lane->line.stream)
            weir_connect_stats(control_of(&lane->line), &now);
        out->records_consumed += scored;
        out->records_forwarded_to_sinks += scored - letters;
        out->dead_letters += letters;
        out->records_delivered += atomic_load(&lane->delivered);
        out->commits += lane->gone.commits + now.commits;
        out->commit_failures += lane->gone.commit_failures + now.commit_failures;
        out->rebalances += lane->gone.rebalances + now.rebalances;
        out->rewinds += atomic_load(&lane->line.reruns);
        out->tasks += now.partitions;
        out->lag_records =
            out->lag_records < 0 || now.lag_records < 0 ? -1 : out->lag_records + now.lag_records;
    }
    pthread_mutex_unlock(&engine->lock);
}

/* Lets the lanes drain; what has not ended by then is cut off. */
static enum weir_err stop(struct server *server)
{
    struct flow_engine *engine = engine_of(server);
    const struct weir_streams_options *options = &server->options.streams;
    int64_t until_ns =
        weir_clock_now_ns(NULL) + (options->drain_timeout_ms + (int64_t)ABORT_MS) * WEIR_NS_PER_MS;
    enum weir_streams_state before = engine ? state(server) : WEIR_STREAMS_NOT_RUNNING;
    enum weir_err err = WEIR_OK;
    if (before == WEIR_STREAMS_NOT_RUNNING)
        return WEIR_OK;
    if (before != WEIR_STREAMS_ERROR)
        enter(engine, WEIR_STREAMS_PENDING_SHUTDOWN);
    for (uint32_t i = 0; i < engine->lane_count; i++)
        if (engine->lanes[i].line.stream)
            weir_connect_stop(control_of(&engine->lanes[i].line));
    atomic_store(&engine->ends, true);
    wake(server);
    for (uint32_t i = 0; i < line_count(engine); i++) {
        struct flow_line *line = line_of(engine, i);
        int64_t left_ms = (until_ns - weir_clock_now_ns(NULL)) / WEIR_NS_PER_MS;
        if (!line->stream)
            continue;
        if (lane_of(line) && weir_flow_stream_wait(line->stream, left_ms > 0 ? left_ms : 0))
            err = WEIR_TIMEOUT;
        weir_flow_stream_abort(line->stream);
        if (weir_flow_stream_wait(line->stream, -1) != WEIR_OK)
            err = WEIR_INTERNAL;
        leave_line(line);
    }
    if (before != WEIR_STREAMS_ERROR)
        enter(engine, WEIR_STREAMS_NOT_RUNNING);
    return err;
}

static void release(struct server *server)
{
    struct flow_engine *engine = engine_of(server);
    if (!engine)
        return;
    (void)stop(server);
    for (uint32_t i = 0; i < line_count(engine); i++)
        weir_flow_graph_free(line_of(engine, i)->graph);
    weir_flow_materializer_free(engine->materializer);
    pthread_mutex_destroy(&engine->lock);
    weir_free(engine);
}

const struct engine_ops engine_flow_custom = {.make = make,
                                              .start = start,
                                              .tick = tick,
                                              .wake = wake,
                                              .state = state,
                                              .stats = stats,
                                              .stop = stop,
                                              .free = release};
