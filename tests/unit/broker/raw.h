/*
 * The protocol spoken by hand to a broker without a thread, on a virtual clock: one thread does
 * both sides, and nothing waits for real time.
 */
#ifndef WEIR_TESTS_BROKER_RAW_H
#define WEIR_TESTS_BROKER_RAW_H

#include "place.h"

#include "broker/inside.h"

struct raw {
    struct place place;
    struct weir_clock_virtual clock;
    const struct weir_disk *disk; /* [real] */
    struct weir_broker *broker;
};

/* Options in place.options may be changed between the two. */
void raw_init(struct raw *raw);
void raw_start(struct raw *raw);
void raw_stop(struct raw *raw);
void raw_release(struct raw *raw);
/* Lets the broker do what there is to do. */
void raw_run(struct raw *raw);
/* Moves the clock and lets the broker notice. */
void raw_pass(struct raw *raw, int64_t ms);

int raw_connect(struct raw *raw);
void raw_close(struct raw *raw, int fd);
void raw_send(struct raw *raw, int fd, const void *bytes, size_t count);
/* Has the broker closed this connection? */
bool raw_is_closed(struct raw *raw, int fd);

/* A request and its answer. */
struct call {
    int fd;
    int16_t version;
    struct weir_buffer out, in;
    struct wire_writer writer; /* the request's body */
    struct wire_reader reader; /* the answer's body */
};

/* Begins a request: write its body to call->writer. */
void call_begin(struct call *call, int fd, enum wire_api_key key, int16_t version);
/* Sends it. */
void call_send(struct raw *raw, struct call *call);
/* Has the answer come? If so, the reader stands at its body. */
bool call_answered(struct raw *raw, struct call *call);
/* Sends and asserts that the answer comes at once. */
void call_now(struct raw *raw, struct call *call);
void call_end(struct call *call);

/* Makes a topic, produces `count` records of 100 bytes as one batch. */
void raw_make_topic(struct raw *raw, int fd, const char *topic, int32_t partitions);
void raw_produce(struct raw *raw, int fd, const char *topic, int32_t partition, int count);
/* The same; gives the error of the answer, or -100 if the connection was closed. */
int raw_try_produce(struct raw *raw, int fd, const char *topic, int32_t partition, int count);
/* Its two ends, with call_send between. The second gives -100 too while there is no answer, and may
 * be called again; the reader stands behind the error then. */
void raw_begin_produce(struct raw *raw, struct call *call, int fd, const char *topic,
                       int32_t partition, int count);
int raw_take_produced(struct raw *raw, struct call *call);

#endif
