/*
 * Transactions on librdkafka: what its errors ask for, in the words of weir/kafka.h.
 *
 * Its calls can be given up and made again: init, commit and abort go on where they were.
 */
#include <string.h>

#include "kafka/rd_member.h"
#include "kafka/rd_producer.h"

enum { GROUP_BYTES_MAX = 4096 };

/* Takes the failure, which may be NULL. */
static enum weir_err outcome(struct rd_producer *producer, rd_kafka_error_t *failure,
                             const char *what, struct weir_error *error)
{
    if (failure == NULL)
        return WEIR_OK;
    char reason[200];
    rd_kafka_resp_err_t code = rd_kafka_error_code(failure);
    bool fatal = rd_kafka_error_is_fatal(failure);
    bool aborts = rd_kafka_error_txn_requires_abort(failure);
    bool retriable = !fatal && !aborts && rd_kafka_error_is_retriable(failure);
    rd_kafka_resp_err_t cause =
        fatal ? rd_kafka_fatal_error(producer->client.rk, reason, sizeof(reason))
              : RD_KAFKA_RESP_ERR_NO_ERROR;
    enum weir_err err = rd_error(&producer->client, error, cause ? cause : code, "%s (%s)", what,
                                 rd_kafka_error_string(failure));
    rd_kafka_error_destroy(failure);
    if (err == WEIR_OK || err == WEIR_AGAIN) /* that is for rebalances */
        err = WEIR_BROKER;
    if (error != NULL) {
        error->code = err;
        error->fatal = fatal;
        error->retriable = retriable;
    }
    return err;
}

enum weir_err rd_transactions_init(struct weir_kafka_producer *base, int32_t timeout_ms,
                                   struct weir_error *error)
{
    struct rd_producer *producer = rd_producer_of(base);
    return outcome(producer, rd_kafka_init_transactions(producer->client.rk, timeout_ms),
                   "beginning with transactions", error);
}

enum weir_err rd_transaction_begin(struct weir_kafka_producer *base, struct weir_error *error)
{
    struct rd_producer *producer = rd_producer_of(base);
    return outcome(producer, rd_kafka_begin_transaction(producer->client.rk),
                   "beginning a transaction", error);
}

static bool is_same(const rd_kafka_consumer_group_metadata_t *one,
                    const rd_kafka_consumer_group_metadata_t *other)
{
    void *bytes[2] = {NULL, NULL};
    size_t size[2] = {0, 0};
    bool same = false;
    rd_kafka_error_t *failure = rd_kafka_consumer_group_metadata_write(one, &bytes[0], &size[0]);
    if (failure == NULL)
        failure = rd_kafka_consumer_group_metadata_write(other, &bytes[1], &size[1]);
    if (failure != NULL)
        rd_kafka_error_destroy(failure);
    else
        same = size[0] == size[1] && memcmp(bytes[0], bytes[1], size[0]) == 0;
    rd_kafka_mem_free(NULL, bytes[0]);
    rd_kafka_mem_free(NULL, bytes[1]);
    return same;
}

/*
 * Between two memberships librdkafka has neither member id nor generation, and brokers take offsets
 * that come without them from anybody.
 */
static bool is_nobody(const struct rd_consumer *consumer,
                      const rd_kafka_consumer_group_metadata_t *member)
{
    const rd_kafka_conf_t *conf = rd_kafka_conf(consumer->client.rk);
    char group[GROUP_BYTES_MAX] = "", instance[GROUP_BYTES_MAX] = "";
    size_t group_bytes = sizeof(group), instance_bytes = sizeof(instance);
    if (member == NULL ||
        rd_kafka_conf_get(conf, "group.id", group, &group_bytes) != RD_KAFKA_CONF_OK)
        return true;
    bool is_static = rd_kafka_conf_get(conf, "group.instance.id", instance, &instance_bytes) ==
                         RD_KAFKA_CONF_OK &&
                     instance[0] != '\0';
    rd_kafka_consumer_group_metadata_t *nobody =
        rd_kafka_consumer_group_metadata_new_with_genid(group, -1, "", is_static ? instance : NULL);
    bool same = is_same(member, nobody);
    rd_kafka_consumer_group_metadata_destroy(nobody);
    return same;
}

enum weir_err rd_transaction_offsets(struct weir_kafka_producer *base,
                                     struct weir_kafka_consumer *of,
                                     struct weir_kafka_partition *partitions, uint32_t count,
                                     int32_t timeout_ms, struct weir_error *error)
{
    struct rd_producer *producer = rd_producer_of(base);
    struct rd_consumer *consumer = (struct rd_consumer *)(void *)of;
    rd_kafka_topic_partition_list_t *list;
    enum weir_err foreign = WEIR_OK;
    enum weir_err err =
        rd_consumer_commit_list(consumer, true, partitions, count, &list, &foreign, error);
    if (err != WEIR_OK)
        return err;
    if (list->cnt > 0) {
        rd_kafka_consumer_group_metadata_t *member =
            rd_kafka_consumer_group_metadata(consumer->client.rk);
        if (is_nobody(consumer, member))
            err = weir_error_set(error, WEIR_FENCED, -1, "the membership in the group is over");
        else
            err = outcome(
                producer,
                rd_kafka_send_offsets_to_transaction(producer->client.rk, list, member, timeout_ms),
                "adding offsets to a transaction", error);
        rd_kafka_consumer_group_metadata_destroy(member);
    }
    rd_kafka_topic_partition_list_destroy(list);
    for (uint32_t i = 0; i < count; i++)
        if (partitions[i].err == WEIR_OK)
            partitions[i].err = err;
    return err != WEIR_OK ? err : foreign;
}

enum weir_err rd_transaction_commit(struct weir_kafka_producer *base, int32_t timeout_ms,
                                    struct weir_error *error)
{
    struct rd_producer *producer = rd_producer_of(base);
    return outcome(producer, rd_kafka_commit_transaction(producer->client.rk, timeout_ms),
                   "committing a transaction", error);
}

enum weir_err rd_transaction_abort(struct weir_kafka_producer *base, int32_t timeout_ms,
                                   struct weir_error *error)
{
    struct rd_producer *producer = rd_producer_of(base);
    return outcome(producer, rd_kafka_abort_transaction(producer->client.rk, timeout_ms),
                   "aborting a transaction", error);
}
