/* The protocol spoken by hand: raw.h. */
#include "raw.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "wire/record_batch.h"

enum { ROUNDS = 64, ANSWER_BYTES_MAX = 64 << 20 };

void raw_init(struct raw *raw)
{
    *raw = (struct raw){0};
    place_init(&raw->place);
    weir_clock_virtual_init(&raw->clock, 1700000000000);
    raw->disk = weir_disk_real();
}

void raw_start(struct raw *raw)
{
    struct weir_error error = {.code = WEIR_OK};
    if (broker_open(&raw->place.options, raw->disk, &raw->clock.clock, &raw->broker, &error) !=
        WEIR_OK)
        fail_msg("%s", error.message);
}

void raw_stop(struct raw *raw)
{
    assert_int_equal(broker_close(raw->broker, NULL), WEIR_OK);
    raw->broker = NULL;
}

void raw_release(struct raw *raw)
{
    if (raw->broker)
        raw_stop(raw);
    place_release(&raw->place);
}

void raw_run(struct raw *raw)
{
    uint32_t count = 1;
    for (int round = 0; round < ROUNDS && count; round++)
        assert_int_equal(weir_loop_run_once(raw->broker->loop, 0, &count, NULL), WEIR_OK);
}

void raw_pass(struct raw *raw, int64_t ms)
{
    raw_run(raw);
    weir_clock_virtual_advance_ms(&raw->clock, ms);
    raw_run(raw);
}

/* ---- connections ----------------------------------------------------------------------------- */

int raw_connect(struct raw *raw)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    address.sin_port = htons(raw->broker->listeners[0].endpoint.port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    raw_run(raw);
    return fd;
}

void raw_close(struct raw *raw, int fd)
{
    close(fd);
    raw_run(raw);
}

void raw_send(struct raw *raw, int fd, const void *bytes, size_t count)
{
    const char *at = bytes;
    for (int round = 0; count; round++) {
        ssize_t sent = send(fd, at, count, MSG_NOSIGNAL);
        if (sent < 0) {
            if (errno != EAGAIN)
                return; /* closed: the caller looks for that */
            assert_true(round < 100000);
            raw_run(raw);
            continue;
        }
        at += sent;
        count -= (size_t)sent;
    }
    raw_run(raw);
}

bool raw_is_closed(struct raw *raw, int fd)
{
    char byte;
    raw_run(raw);
    ssize_t count = recv(fd, &byte, 1, MSG_PEEK);
    return count == 0 || (count < 0 && errno != EAGAIN);
}

/* ---- calls ----------------------------------------------------------------------------------- */

void call_begin(struct call *call, int fd, enum wire_api_key key, int16_t version)
{
    const struct wire_api *api = wire_api_find((int16_t)key);
    *call = (struct call){.fd = fd, .version = version};
    weir_buffer_init(&call->out, ANSWER_BYTES_MAX);
    weir_buffer_init(&call->in, ANSWER_BYTES_MAX);
    call->writer = wire_writer(&call->out, false);
    wire_reserve_i32(&call->writer);
    wire_put_i16(&call->writer, (int16_t)key);
    wire_put_i16(&call->writer, version);
    wire_put_i32(&call->writer, 77);
    wire_put_text(&call->writer, "tester");
    call->writer.flexible = version >= api->flexible_from;
    wire_put_tags(&call->writer);
    call->reader.flexible = call->writer.flexible && key != WIRE_API_VERSIONS;
}

void call_send(struct raw *raw, struct call *call)
{
    wire_fill_i32(&call->writer, 0, (int32_t)call->out.bytes - 4);
    assert_int_equal(call->writer.err, WEIR_OK);
    raw_send(raw, call->fd, call->out.data, call->out.bytes);
}

/* Takes exactly one answer off the socket. */
static bool take_bytes(struct raw *raw, struct call *call, size_t wanted)
{
    for (int round = 0; call->in.bytes < wanted; round++) {
        assert_int_equal(weir_buffer_reserve(&call->in, wanted - call->in.bytes), WEIR_OK);
        ssize_t count = recv(call->fd, weir_buffer_end(&call->in), wanted - call->in.bytes, 0);
        if (count > 0) {
            weir_buffer_commit(&call->in, (size_t)count);
            round = 0;
        } else if (count == 0 || errno != EAGAIN || round > 20) {
            return false;
        }
        raw_run(raw);
    }
    return true;
}

bool call_answered(struct raw *raw, struct call *call)
{
    raw_run(raw);
    if (!take_bytes(raw, call, 4))
        return false;
    struct wire_reader size = wire_reader(weir_buffer_slice(&call->in), false);
    int32_t bytes = wire_i32(&size);
    assert_true(bytes >= 4 && bytes < ANSWER_BYTES_MAX);
    if (!take_bytes(raw, call, (size_t)bytes + 4))
        return false;
    bool tagged = call->reader.flexible;
    call->reader = wire_reader(weir_slice(call->in.data + 4, (size_t)bytes), call->writer.flexible);
    assert_int_equal(wire_i32(&call->reader), 77);
    if (tagged)
        wire_tags(&call->reader);
    return true;
}

void call_now(struct raw *raw, struct call *call)
{
    call_send(raw, call);
    assert_true(call_answered(raw, call));
}

void call_end(struct call *call)
{
    weir_buffer_release(&call->out);
    weir_buffer_release(&call->in);
}

/* ---- topics and records ---------------------------------------------------------------------- */

void raw_make_topic(struct raw *raw, int fd, const char *topic, int32_t partitions)
{
    struct call call;
    call_begin(&call, fd, WIRE_CREATE_TOPICS, 0);
    wire_put_array(&call.writer, 1);
    wire_put_text(&call.writer, topic);
    wire_put_i32(&call.writer, partitions);
    wire_put_i16(&call.writer, 1);
    wire_put_array(&call.writer, 0);
    wire_put_array(&call.writer, 0);
    wire_put_i32(&call.writer, 1000);
    call_now(raw, &call);
    assert_int_equal(wire_array(&call.reader, 1), 1);
    wire_string(&call.reader);
    assert_int_equal(wire_i16(&call.reader), WIRE_NONE);
    call_end(&call);
}

void raw_begin_produce(struct raw *raw, struct call *call, int fd, const char *topic,
                       int32_t partition, int count)
{
    struct wire_batch_options options = wire_batch_options();
    struct wire_builder builder;
    struct weir_buffer batch;
    char value[100];
    memset(value, 'v', sizeof value);
    weir_buffer_init(&batch, ANSWER_BYTES_MAX);
    wire_builder_init(&builder, &options, ANSWER_BYTES_MAX);
    for (int i = 0; i < count; i++)
        assert_int_equal(wire_builder_add(&builder, weir_clock_wall_ms(&raw->clock.clock) + i,
                                          weir_slice(NULL, 0), weir_slice(value, sizeof value),
                                          NULL, 0),
                         WEIR_OK);
    assert_int_equal(wire_builder_finish(&builder, &batch, NULL), WEIR_OK);
    call_begin(call, fd, WIRE_PRODUCE, 3);
    wire_put_text(&call->writer, NULL);
    wire_put_i16(&call->writer, 1);
    wire_put_i32(&call->writer, 1000);
    wire_put_array(&call->writer, 1);
    wire_put_text(&call->writer, topic);
    wire_put_array(&call->writer, 1);
    wire_put_i32(&call->writer, partition);
    wire_put_bytes(&call->writer, weir_buffer_slice(&batch));
    wire_builder_release(&builder);
    weir_buffer_release(&batch);
}

int raw_take_produced(struct raw *raw, struct call *call)
{
    if (!call_answered(raw, call))
        return -100;
    assert_int_equal(wire_array(&call->reader, 1), 1);
    wire_string(&call->reader);
    assert_int_equal(wire_array(&call->reader, 1), 1);
    wire_i32(&call->reader);
    return wire_i16(&call->reader);
}

int raw_try_produce(struct raw *raw, int fd, const char *topic, int32_t partition, int count)
{
    struct call call;
    raw_begin_produce(raw, &call, fd, topic, partition, count);
    call_send(raw, &call);
    int error = raw_take_produced(raw, &call);
    call_end(&call);
    return error;
}

void raw_produce(struct raw *raw, int fd, const char *topic, int32_t partition, int count)
{
    assert_int_equal(raw_try_produce(raw, fd, topic, partition, count), WIRE_NONE);
}
