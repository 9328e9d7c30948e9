#include "cluster.h"

#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"

extern char **environ;

enum { START_MS = 10000, ENVIRONMENT_MAX = 256 };

int64_t now_ms(void)
{
    return weir_clock_now_ms(NULL);
}

/* Reads the broker's output until it names its address. */
static bool read_address(struct cluster *cluster, int fd)
{
    char text[4096];
    size_t bytes = 0;
    int64_t deadline = now_ms() + START_MS;
    while (bytes < sizeof(text) - 1) {
        struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
        int64_t left = deadline - now_ms();
        if (left <= 0 || poll(&poll_fd, 1, (int)left) <= 0)
            return false;
        ssize_t got = read(fd, text + bytes, sizeof(text) - 1 - bytes);
        if (got <= 0) {
            printf("[ cluster  ] it wrote: %.*s\n", (int)bytes, text);
            return false;
        }
        bytes += (size_t)got;
        text[bytes] = '\0';
        char *at = strstr(text, "127.0.0.1:");
        if (at != NULL && strpbrk(at, "\n") != NULL) {
            size_t length = strspn(at, "0123456789.:");
            snprintf(cluster->address, sizeof(cluster->address), "%.*s", (int)length, at);
            return true;
        }
    }
    return false;
}

static bool start_process(struct cluster *cluster)
{
    char *program = getenv("WEIR_BIN");
    if (program == NULL || access(program, X_OK) != 0)
        return false;
    snprintf(cluster->directory, sizeof(cluster->directory), "/tmp/weir-test-XXXXXX");
    if (mkdtemp(cluster->directory) == NULL)
        return false;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 2);
    posix_spawn_file_actions_addclose(&actions, ends[0]);
    char *arguments[] = {program,      "broker",           "--listen", "127.0.0.1:0",
                         "--data-dir", cluster->directory, NULL};
    /* What begins with WEIR_ would be taken for settings. */
    char *environment[ENVIRONMENT_MAX + 1] = {NULL};
    for (size_t i = 0, kept = 0; environ[i] != NULL && kept < ENVIRONMENT_MAX; i++)
        if (strncmp(environ[i], "WEIR_", 5) != 0)
            environment[kept++] = environ[i];
    int code = posix_spawn(&cluster->pid, program, &actions, NULL, arguments, environment);
    bool started = code == 0;
    if (!started)
        printf("[ cluster  ] %s: %s\n", program, strerror(code));
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    if (started && !read_address(cluster, ends[0])) {
        printf("[ cluster  ] %s named no address\n", program);
        started = false;
    }
    /* The reading end stays open: the broker may go on to write. */
    return started;
}

static void start_mock(struct cluster *cluster)
{
    char text[256];
    cluster->is_mock = true;
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    cluster->rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
    assert_non_null(cluster->rk);
    cluster->mock = rd_kafka_mock_cluster_new(cluster->rk, 1);
    assert_non_null(cluster->mock);
    snprintf(cluster->address, sizeof(cluster->address), "%s",
             rd_kafka_mock_cluster_bootstraps(cluster->mock));
}

void cluster_start(struct cluster *cluster, bool want_mock)
{
    memset(cluster, 0, sizeof(*cluster));
    if (want_mock || !start_process(cluster))
        start_mock(cluster);
    printf("[ cluster  ] %s at %s\n", cluster->is_mock ? "mock" : "broker", cluster->address);
}

static void remove_tree(const char *directory)
{
    char *arguments[] = {"rm", "-rf", (char *)(uintptr_t)directory, NULL};
    pid_t pid;
    if (posix_spawnp(&pid, "rm", NULL, NULL, arguments, environ) == 0)
        waitpid(pid, NULL, 0);
}

void cluster_stop(struct cluster *cluster)
{
    if (cluster->pid > 0) {
        kill(cluster->pid, SIGTERM);
        waitpid(cluster->pid, NULL, 0);
        remove_tree(cluster->directory);
    }
    if (cluster->mock != NULL) {
        rd_kafka_mock_cluster_destroy(cluster->mock);
        rd_kafka_destroy(cluster->rk);
    }
}

void cluster_topic(struct cluster *cluster, struct weir_kafka *kafka, const char *topic,
                   int32_t partitions)
{
    if (cluster->is_mock) {
        assert_int_equal(rd_kafka_mock_topic_create(cluster->mock, topic, partitions, 1),
                         RD_KAFKA_RESP_ERR_NO_ERROR);
        return;
    }
    const struct weir_kafka_topic wanted = {
        .name = topic, .partitions = partitions, .replication = -1};
    struct weir_error error = {0};
    if (weir_kafka_topics_create(kafka, &wanted, 1, START_MS, NULL, &error) != WEIR_OK)
        fail_msg("%s", error.message);
}

static void print_log(void *opaque, enum weir_log_level level, const char *area,
                      const char *message)
{
    (void)opaque;
    (void)level;
    printf("[ %-8s ] %s\n", area, message);
}

struct weir_kafka *cluster_connect(const struct cluster *cluster)
{
    struct weir_kafka_options options;
    weir_kafka_options_default(&options);
    options.bootstrap_servers = cluster->address;
    /* So that members hear of each other within a test. */
    const struct weir_kafka_property quick[] = {{"heartbeat.interval.ms", "100"}};
    options.properties = quick;
    options.property_count = 1;
    options.log = (struct weir_log){print_log, NULL, WEIR_LOG_WARN};
    struct weir_kafka *kafka;
    struct weir_error error = {0};
    if (weir_kafka_new(&options, &kafka, &error) != WEIR_OK)
        fail_msg("%s", error.message);
    return kafka;
}
