/*
 * Elements become records, and go on in order when those are delivered.
 *
 *      line:  [ delivered | waits 2 | waits 5 | being sent ]    a ring of elements_max places
 *               ^ goes out                      ^ sent until the client's queue is full
 *
 * Delivery reports come inside polls of the client, which never wait here; a timer polls while
 * something is under way.
 */
#include "base/assert.h"
#include "connect/inside.h"

void weir_connect_producer_options_default(struct weir_connect_producer_options *options)
{
    *options = (struct weir_connect_producer_options){.elements_max = 1024, .poll_ms = 2};
    weir_kafka_producer_options_default(&options->producer);
}

enum { TIMER_POLL };

struct pending {
    void *element;
    uint32_t sent;    /* records */
    uint32_t waiting; /* for their reports */
};

struct producer_self {
    struct weir_kafka_producer *producer;
    struct pending *line;
    uint32_t first, count;
    bool sending; /* the youngest has records left */
    bool timer_set;
    struct weir_error failure;
};

static const struct weir_connect_producer_options *options_of(const struct weir_flow_stage *stage)
{
    return weir_flow_stage_config(stage);
}

static struct pending *in_line(struct producer_self *self, const struct weir_flow_stage *stage,
                               uint32_t place)
{
    return &self->line[(self->first + place) % options_of(stage)->elements_max];
}

static void delivered(void *opaque, void *record_opaque, int32_t partition, int64_t offset,
                      const struct weir_error *error)
{
    struct producer_self *self = opaque;
    struct pending *pending = record_opaque;

    (void)partition;
    (void)offset;
    pending->waiting--;
    if (error != NULL && self->failure.code == WEIR_OK)
        self->failure = *error;
}

static enum weir_err producer_init(void *opaque, struct weir_flow_stage *stage,
                                   struct weir_error *error)
{
    struct producer_self *self = opaque;
    const struct weir_connect_producer_options *options = options_of(stage);
    struct weir_kafka_producer_options client = options->producer;

    self->line = weir_flow_stage_alloc(stage, options->elements_max * sizeof *self->line);
    if (self->line == NULL)
        return WEIR_NOMEM;
    client.delivered = delivered;
    client.opaque = self;
    return weir_kafka_producer_new(options->kafka, &client, &self->producer, error);
}

static void producer_start(void *opaque, struct weir_flow_stage *stage)
{
    (void)opaque;
    weir_flow_pull(stage, 0);
}

/* Sends a run of records at once. NOT_FOUND: here is none. */
static enum weir_err send_rows(struct producer_self *self, struct weir_flow_stage *stage,
                               struct pending *pending)
{
    const struct weir_connect_producer_options *options = options_of(stage);
    struct weir_connect_rows rows;
    uint32_t accepted = 0;
    enum weir_err err;

    if (options->rows == NULL ||
        !options->rows(options->opaque, pending->element, pending->sent, &rows))
        return WEIR_NOT_FOUND;
    err = weir_kafka_produce_rows(self->producer, rows.topic, rows.partition, rows.rows, rows.first,
                                  rows.end, pending, &accepted, &self->failure);
    pending->sent += accepted;
    pending->waiting += accepted;
    return err;
}

static enum weir_err send_one(struct producer_self *self, struct weir_flow_stage *stage,
                              struct pending *pending)
{
    const struct weir_connect_producer_options *options = options_of(stage);
    struct weir_kafka_record record = {.partition = -1, .timestamp_ms = -1};
    bool more = options->record(options->opaque, pending->element, pending->sent, &record);
    enum weir_err err = WEIR_END;

    while (more) {
        record.opaque = pending;
        err = weir_kafka_produce(self->producer, &record, &self->failure);
        if (err == WEIR_OK) {
            pending->sent++;
            pending->waiting++;
        }
        more = (err == WEIR_LIMIT || err == WEIR_INVALID) && options->instead != NULL &&
               options->instead(options->opaque, pending->element, pending->sent, &self->failure,
                                &record);
    }
    return err;
}

/* Sends what the youngest element still has. */
static void send(struct producer_self *self, struct weir_flow_stage *stage)
{
    struct pending *pending = in_line(self, stage, self->count - 1);
    enum weir_err err = WEIR_OK;

    while (err == WEIR_OK) {
        err = send_rows(self, stage, pending);
        if (err != WEIR_OK && err != WEIR_AGAIN) /* the one that stopped the run is seen to alone */
            err = send_one(self, stage, pending);
        if (err == WEIR_OK || err == WEIR_AGAIN || err == WEIR_END)
            self->failure.code = WEIR_OK;
    }
    self->sending = err == WEIR_AGAIN;
}

/* One round: reports in, records out, elements on. */
static void work(struct producer_self *self, struct weir_flow_stage *stage)
{
    const struct weir_connect_producer_options *options = options_of(stage);

    weir_kafka_producer_poll(self->producer, 0);
    if (self->failure.code == WEIR_OK && self->sending)
        send(self, stage);
    if (self->failure.code != WEIR_OK) {
        weir_flow_fail_stage(stage, &self->failure);
        return;
    }
    if (self->count > 0 && weir_flow_out_is_available(stage, 0)) {
        struct pending *oldest = in_line(self, stage, 0);
        if (oldest->waiting == 0 && (self->count > 1 || !self->sending)) {
            weir_flow_push(stage, 0, oldest->element);
            self->first = (self->first + 1) % options->elements_max;
            self->count--;
        }
    }
    if (!self->sending && self->count < options->elements_max)
        weir_flow_try_pull(stage, 0);
    if (self->count == 0 && weir_flow_in_is_closed(stage, 0)) {
        weir_flow_complete_stage(stage);
    } else if (self->count > 0 && !self->timer_set) {
        weir_flow_timer_start(stage, TIMER_POLL, options->poll_ms, 0);
        self->timer_set = true;
    }
}

static void producer_push(void *opaque, struct weir_flow_stage *stage, uint32_t inlet)
{
    struct producer_self *self = opaque;

    *in_line(self, stage, self->count++) =
        (struct pending){.element = weir_flow_grab(stage, inlet)};
    self->sending = true;
    work(self, stage);
}

static void producer_pull(void *opaque, struct weir_flow_stage *stage, uint32_t outlet)
{
    (void)outlet;
    work(opaque, stage);
}

static void producer_timer(void *opaque, struct weir_flow_stage *stage, uint32_t timer)
{
    struct producer_self *self = opaque;

    (void)timer;
    self->timer_set = false;
    work(self, stage);
}

static void producer_finish(void *opaque, struct weir_flow_stage *stage, uint32_t inlet)
{
    struct producer_self *self = opaque;

    (void)inlet;
    if (self->count == 0)
        weir_flow_complete_stage(stage);
}

static void producer_stop(void *opaque, struct weir_flow_stage *stage)
{
    struct producer_self *self = opaque;

    for (; self->count > 0; self->count--) {
        weir_flow_drop_element(weir_flow_in_kind(stage, 0), in_line(self, stage, 0)->element);
        self->first = (self->first + 1) % options_of(stage)->elements_max;
    }
}

static void producer_release(void *opaque, struct weir_flow_stage *stage)
{
    struct producer_self *self = opaque;

    (void)stage;
    weir_kafka_producer_close(self->producer);
}

static const struct weir_flow_stage_ops producer_ops = {
    .abi = WEIR_FLOW_STAGE_ABI,
    .name = "connect_producer",
    .self_bytes = sizeof(struct producer_self),
    .timer_count = 1,
    .init = producer_init,
    .release = producer_release,
    .start = producer_start,
    .stop = producer_stop,
    .on_push = producer_push,
    .on_upstream_finish = producer_finish,
    .on_pull = producer_pull,
    .on_timer = producer_timer,
};

struct weir_flow_outlet weir_connect_producer(struct weir_flow_outlet in,
                                              const struct weir_connect_producer_options *options)
{
    const struct weir_flow_stage_options stage = {.config = options,
                                                  .config_bytes = sizeof *options,
                                                  .ins = &in,
                                                  .in_count = 1,
                                                  .out_count = 1,
                                                  .kind = in.stage >= 0 ? weir_flow_outlet_kind(in)
                                                                        : NULL};

    if (options->kafka == NULL || options->record == NULL || options->elements_max == 0 ||
        options->elements_max > WEIR_FLOW_BUFFER_MAX || options->poll_ms <= 0)
        weir_flow_graph_fail(in.graph, WEIR_INVALID,
                             "connect: a producer needs a cluster, a function, and its limits");
    return (struct weir_flow_outlet){in.graph, weir_flow_stage_add(in.graph, &producer_ops, &stage),
                                     0};
}
