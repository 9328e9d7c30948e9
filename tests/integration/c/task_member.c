/*
 * A member of a group that shares out tasks, on librdkafka alone: what src/kafka does with tasks
 * has to hold here first. The group's one subscription is an empty topic; who is given its
 * partition p reads partition p of the topics left and right instead, and commits those.
 *
 * usage: task_member ADDRESS GROUP run [INSTANCE_ID]     until SIGTERM
 *        task_member ADDRESS GROUP load COUNT SECONDS    so many records a partition
 *        task_member ADDRESS GROUP intrude               a commit by one that is no member
 *
 * Each line begins with the monotonic clock in ns, so that those of several processes can be put in
 * order: gained and read when it happened, committed when it was sent.
 */
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <librdkafka/rdkafka.h>

enum { TASKS = 6, TOPICS = 2, COMMIT_MS = 100, ANSWER_MS = 5000 };

static const char *const topics[TOPICS] = {"left", "right"};

struct member {
    rd_kafka_t *rk;
    bool owned[TASKS];
    int64_t position[TASKS][TOPICS], committed[TASKS][TOPICS];
};

static atomic_bool ended;

static void on_signal(int number)
{
    (void)number;
    atomic_store(&ended, true);
}

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void say(int64_t at_ns, const char *what, const char *topic, int partition, int64_t offset,
                const char *why)
{
    printf("%lld %s %s %d %lld %s\n", (long long)at_ns, what, topic, partition, (long long)offset,
           why);
}

static void die(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

static int topic_number(const char *topic)
{
    return strcmp(topic, topics[0]) == 0 ? 0 : 1;
}

/* Commits what was read of the tasks marked, in the name of the member. */
static void commit(struct member *member, const bool *which)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(TASKS * TOPICS);
    for (int p = 0; p < TASKS; p++)
        for (int t = 0; t < TOPICS && which[p] && member->owned[p]; t++)
            if (member->position[p][t] > member->committed[p][t])
                rd_kafka_topic_partition_list_add(list, topics[t], p)->offset =
                    member->position[p][t];
    int64_t sent_ns = now_ns();
    rd_kafka_resp_err_t err =
        list->cnt > 0 ? rd_kafka_commit(member->rk, list, 0) : RD_KAFKA_RESP_ERR_NO_ERROR;
    for (int i = 0; i < list->cnt; i++) {
        const rd_kafka_topic_partition_t *at = &list->elems[i];
        rd_kafka_resp_err_t own = err ? err : at->err;
        say(sent_ns, own ? "refused" : "committed", at->topic, at->partition, at->offset,
            rd_kafka_err2name(own));
        if (!own)
            member->committed[at->partition][topic_number(at->topic)] = at->offset;
    }
    rd_kafka_topic_partition_list_destroy(list);
}

static void take(struct member *member, const rd_kafka_topic_partition_list_t *tasks)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(TASKS * TOPICS);
    for (int i = 0; i < tasks->cnt; i++)
        for (int t = 0; t < TOPICS; t++)
            rd_kafka_topic_partition_list_add(list, topics[t], tasks->elems[i].partition);
    rd_kafka_resp_err_t err = rd_kafka_committed(member->rk, list, ANSWER_MS);
    if (err)
        die("committed", rd_kafka_err2str(err));
    int64_t at_ns = now_ns();
    for (int i = 0; i < list->cnt; i++) {
        rd_kafka_topic_partition_t *at = &list->elems[i];
        int t = topic_number(at->topic);
        at->offset = at->offset < 0 ? 0 : at->offset;
        member->position[at->partition][t] = member->committed[at->partition][t] = at->offset;
        member->owned[at->partition] = true;
        say(at_ns, "gained", at->topic, at->partition, at->offset, "");
    }
    rd_kafka_error_t *failure = rd_kafka_incremental_assign(member->rk, list);
    if (failure)
        die("incremental_assign", rd_kafka_error_string(failure));
    rd_kafka_topic_partition_list_destroy(list);
}

static void give(struct member *member, const rd_kafka_topic_partition_list_t *tasks)
{
    bool gone = rd_kafka_assignment_lost(member->rk), which[TASKS] = {false};
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(TASKS * TOPICS);
    for (int i = 0; i < tasks->cnt; i++)
        which[tasks->elems[i].partition] = true;
    commit(member, which); /* also when it is gone: then it has to be refused */
    for (int i = 0; i < tasks->cnt; i++) {
        int p = tasks->elems[i].partition;
        say(now_ns(), gone ? "gone" : "lost", "task", p, 0, "");
        member->owned[p] = false;
        for (int t = 0; t < TOPICS; t++)
            rd_kafka_topic_partition_list_add(list, topics[t], p);
    }
    rd_kafka_error_t *failure = rd_kafka_incremental_unassign(member->rk, list);
    if (failure)
        die("incremental_unassign", rd_kafka_error_string(failure));
    rd_kafka_topic_partition_list_destroy(list);
}

static void on_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t err,
                         rd_kafka_topic_partition_list_t *tasks, void *opaque)
{
    (void)rk;
    if (err == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS)
        take(opaque, tasks);
    else
        give(opaque, tasks);
}

static void set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
    char text[256];
    if (rd_kafka_conf_set(conf, name, value, text, sizeof text) != RD_KAFKA_CONF_OK)
        die(name, text);
}

static rd_kafka_t *client(rd_kafka_type_t type, const char *address, const char *group,
                          const char *instance, struct member *member)
{
    char text[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    set(conf, "bootstrap.servers", address);
    if (type == RD_KAFKA_CONSUMER) {
        set(conf, "group.id", group);
        set(conf, "partition.assignment.strategy", "cooperative-sticky");
        set(conf, "enable.auto.commit", "false");
        set(conf, "session.timeout.ms", "6000");
        set(conf, "heartbeat.interval.ms", "500");
        if (instance)
            set(conf, "group.instance.id", instance);
        rd_kafka_conf_set_rebalance_cb(conf, on_rebalance);
        rd_kafka_conf_set_opaque(conf, member);
    }
    rd_kafka_t *rk = rd_kafka_new(type, conf, text, sizeof text);
    if (!rk)
        die("rd_kafka_new", text);
    return rk;
}

static void run(const char *address, const char *group, const char *instance)
{
    static struct member member;
    static const bool all[TASKS] = {true, true, true, true, true, true};
    char name[256];
    member.rk = client(RD_KAFKA_CONSUMER, address, group, instance, &member);
    rd_kafka_poll_set_consumer(member.rk);
    snprintf(name, sizeof name, "%s-tasks", group);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, name, RD_KAFKA_PARTITION_UA);
    if (rd_kafka_subscribe(member.rk, list))
        die("subscribe", name);
    rd_kafka_topic_partition_list_destroy(list);
    int64_t due_ns = 0;
    while (!atomic_load(&ended)) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(member.rk, 20);
        if (message && !message->err) {
            int t = topic_number(rd_kafka_topic_name(message->rkt));
            member.position[message->partition][t] = message->offset + 1;
            say(now_ns(), "read", topics[t], message->partition, message->offset, "");
        }
        if (message)
            rd_kafka_message_destroy(message);
        if (now_ns() < due_ns)
            continue;
        commit(&member, all);
        due_ns = now_ns() + COMMIT_MS * INT64_C(1000000);
    }
    rd_kafka_consumer_close(member.rk);
    rd_kafka_destroy(member.rk);
}

static void load(const char *address, int count, int seconds)
{
    rd_kafka_t *rk = client(RD_KAFKA_PRODUCER, address, NULL, NULL, NULL);
    int64_t began_ns = now_ns();
    for (int i = 0; i < count;) {
        int64_t due = (now_ns() - began_ns) * count / (seconds * INT64_C(1000000000));
        for (; i < count && i <= due; i++)
            for (int p = 0; p < TASKS * TOPICS; p++)
                while (rd_kafka_producev(rk, RD_KAFKA_V_TOPIC(topics[p / TASKS]),
                                         RD_KAFKA_V_PARTITION(p % TASKS), RD_KAFKA_V_VALUE("x", 1),
                                         RD_KAFKA_V_END) == RD_KAFKA_RESP_ERR__QUEUE_FULL)
                    rd_kafka_poll(rk, 10);
        rd_kafka_poll(rk, 5);
    }
    if (rd_kafka_flush(rk, 60000))
        die("flush", "not all were delivered");
    rd_kafka_destroy(rk);
}

static void intrude(const char *address, const char *group)
{
    struct member member = {.owned = {true}, .position = {{1}}};
    static const bool first[TASKS] = {true};
    member.rk = client(RD_KAFKA_CONSUMER, address, group, NULL, &member);
    commit(&member, first);
    rd_kafka_consumer_close(member.rk);
    rd_kafka_destroy(member.rk);
}

int main(int argc, char **argv)
{
    if (argc < 4)
        die(argv[0], "ADDRESS GROUP run|load|intrude ...");
    setvbuf(stdout, NULL, _IOLBF, 0);
    signal(SIGTERM, on_signal);
    if (strcmp(argv[3], "run") == 0)
        run(argv[1], argv[2], argv[4]);
    else if (strcmp(argv[3], "load") == 0 && argc == 6)
        load(argv[1], (int)strtol(argv[4], NULL, 10), (int)strtol(argv[5], NULL, 10));
    else
        intrude(argv[1], argv[2]);
    return 0;
}
