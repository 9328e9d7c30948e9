/*
 * Bytes as what a client sends: requests, whole or not, one behind the other. Each input gets a
 * connection of its own to a broker without a thread on a virtual clock; behind it the broker is
 * emptied, so that the next one finds it as it was. The sizes in front of the requests are put
 * right, lest most inputs are nothing but a wrong size: [length u8][api key, version, body] ...
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "broker/group.h"

enum { REQUEST_BYTES_MAX = 255, ROUNDS = 32, FOLDERS = 100 };

static struct weir_clock_virtual virtual_clock;

static int no_sync(void *opaque, int fd)
{
    (void)opaque;
    (void)fd;
    return 0;
}

/* A topic of many partitions is no finding, but slow: the disk is full after some folders. */
static unsigned folders_left;

static int make_folder(void *opaque, const char *path, mode_t mode)
{
    if (folders_left == 0)
        return -ENOSPC;
    folders_left--;
    return weir_disk_real()->mkdir(opaque, path, mode);
}

static struct weir_broker *broker_of_this_process(void)
{
    static struct weir_broker *broker;
    static struct weir_disk disk;
    static char in_memory[] = "/dev/shm/weir-fuzz-XXXXXX", on_disk[] = "/tmp/weir-fuzz-XXXXXX";
    struct weir_broker_options options;
    if (broker)
        return broker;
    disk = *weir_disk_real();
    disk.fsync = disk.fdatasync = no_sync;
    disk.mkdir = make_folder;
    weir_clock_virtual_init(&virtual_clock, 1700000000000);
    weir_broker_options_default(&options);
    options.listen = "127.0.0.1:0";
    options.data_dir = access("/dev/shm", W_OK) == 0 ? mkdtemp(in_memory) : mkdtemp(on_disk);
    folders_left = FOLDERS;
    if (!options.data_dir ||
        broker_open(&options, &disk, &virtual_clock.clock, &broker, NULL) != WEIR_OK)
        abort();
    return broker;
}

static void run(struct weir_broker *broker)
{
    uint32_t count = 1;
    for (int round = 0; round < ROUNDS && count; round++)
        if (weir_loop_run_once(broker->loop, 0, &count, NULL) != WEIR_OK)
            abort();
}

/* Takes whatever answers there are. */
static void drain(int fd)
{
    char bytes[4096];
    while (recv(fd, bytes, sizeof bytes, MSG_DONTWAIT) > 0) {
    }
}

static void send_requests(struct weir_broker *broker, int fd, const uint8_t *data, size_t size)
{
    while (size > 1) {
        uint8_t bytes[4 + REQUEST_BYTES_MAX] = {0};
        size_t count = data[0] < size - 1 ? data[0] : size - 1;
        bytes[3] = (uint8_t)count;
        memcpy(bytes + 4, data + 1, count);
        if (send(fd, bytes, 4 + count, MSG_NOSIGNAL) < 0)
            return;
        run(broker);
        drain(fd);
        data += 1 + count;
        size -= 1 + count;
    }
}

static void empty(struct weir_broker *broker)
{
    struct weir_map_entry *entry;
    while ((entry = weir_map_next(&broker->groups, NULL)) != NULL)
        broker_group_forget(broker, weir_slice(entry->key, entry->key_bytes));
    while ((entry = weir_map_next(&broker->topics, NULL)) != NULL)
        if (broker_topic_delete(broker, entry->value.pointer, NULL) != WEIR_OK)
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct weir_broker *broker = broker_of_this_process();
    struct sockaddr_in address = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct linger at_once = {1, 0}; /* a reset: no ports are used up by waiting */
    address.sin_port = htons(broker->listeners[0].endpoint.port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0)
        abort();
    while (connect(fd, (struct sockaddr *)&address, sizeof address) != 0 && errno != EISCONN)
        if (errno != EINTR && errno != EALREADY) /* the fuzzer's alarm */
            abort();
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    folders_left = FOLDERS;
    send_requests(broker, fd, data, size);
    close(fd);
    weir_clock_virtual_advance_ms(&virtual_clock, 60000);
    run(broker);
    if (broker->connections || broker->memory_used)
        abort(); /* nothing of a client stays */
    empty(broker);
    return 0;
}
