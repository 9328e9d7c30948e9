/*
 * What a member of a group reads, on librdkafka.
 *
 * A partition on its way, each step inside poll, on the caller's thread:
 *
 *   the group gives a share -> its slots WAIT for their offsets (asked until they are known)
 *                           -> assigned with a real offset, `gained` -> read
 *   revoked                 -> `lost` -> unassigned -> gone
 *   out of the log          -> `lost` -> unassigned -> WAITS
 *
 * A slot WAITS while told is false. librdkafka's rebalance is answered at once with an empty
 * assignment; the partitions are added when their offsets are known. So a slow coordinator holds up
 * no rebalance, and librdkafka never chooses an offset itself. The slots of a share are told
 * together, and lost together.
 *
 * librdkafka keeps two lists: what the group assigned, from which the assignor learns what we own,
 * and what is fetched. Only the first knows of tasks, only the second of their sources.
 */
#include "kafka/rd_member.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/clock.h"

enum { SLOTS_MAX = 100000 };

int32_t rd_member_index(const struct rd_consumer *consumer, const char *topic, int32_t partition)
{
    for (uint32_t i = 0; i < consumer->slot_count; i++)
        if (consumer->slots[i] != NULL && consumer->slots[i]->partition == partition &&
            strcmp(consumer->slots[i]->topic, topic) == 0)
            return (int32_t)i;
    return -1;
}

void rd_member_log(struct rd_consumer *consumer, rd_kafka_error_t *failure, const char *what)
{
    if (failure == NULL)
        return;
    weir_log(&consumer->client.cluster->log, WEIR_LOG_WARN, "kafka", "%s: %s", what,
             rd_kafka_error_string(failure));
    rd_kafka_error_destroy(failure);
}

/* ---- telling the caller ---------------------------------------------------------------------- */

struct told {
    struct weir_kafka_partition *partitions;
    int32_t *indexes;
    uint32_t count;
};

static bool told_init(struct told *told, uint32_t capacity)
{
    told->count = 0;
    told->partitions = weir_calloc(capacity + 1, sizeof(*told->partitions));
    told->indexes = weir_calloc(capacity + 1, sizeof(*told->indexes));
    return told->partitions != NULL && told->indexes != NULL;
}

static void told_release(struct told *told)
{
    weir_free(told->partitions);
    weir_free(told->indexes);
}

static struct weir_kafka_partition *told_add(struct told *told, const struct rd_slot *slot,
                                             int32_t index)
{
    told->partitions[told->count] = (struct weir_kafka_partition){
        .topic = slot->topic, .partition = slot->partition, .offset = slot->position};
    told->indexes[told->count] = index;
    return &told->partitions[told->count++];
}

static void tell_lost(struct rd_consumer *consumer, struct told *told, bool gone)
{
    if (told->count == 0)
        return;
    if (consumer->rebalance.lost != NULL) {
        consumer->in_callback = true;
        consumer->gone = gone;
        consumer->rebalance.lost(consumer->rebalance.opaque, told->partitions, told->indexes,
                                 told->count, gone);
        consumer->in_callback = consumer->gone = false;
    }
    for (uint32_t i = 0; i < told->count; i++) {
        consumer->slots[told->indexes[i]]->told = false;
        consumer->waiting++;
    }
}

/* Those of one share that were told, or of all. */
static void add_told_slots(const struct rd_consumer *consumer, const struct rd_share *share,
                           struct told *told)
{
    for (uint32_t i = 0; i < consumer->slot_count; i++) {
        const struct rd_slot *slot = consumer->slots[i];
        if (slot != NULL && slot->told && (share == NULL || slot->share == share))
            told_add(told, slot, (int32_t)i);
    }
}

static void lose(struct rd_consumer *consumer, const struct rd_share *share, bool gone)
{
    struct told told;
    if (told_init(&told, consumer->slot_count)) {
        add_told_slots(consumer, share, &told);
        tell_lost(consumer, &told, gone);
    }
    told_release(&told);
}

void rd_member_lose_all(struct rd_consumer *consumer)
{
    lose(consumer, NULL, true);
}

/* ---- shares and their slots ------------------------------------------------------------------ */

static struct rd_share **share_find(struct rd_consumer *consumer, const char *topic,
                                    int32_t partition)
{
    struct rd_share **at = &consumer->shares;
    while (*at != NULL && ((*at)->partition != partition || strcmp((*at)->topic, topic) != 0))
        at = &(*at)->next;
    return at;
}

static enum weir_err slot_add(struct rd_consumer *consumer, struct rd_share *share,
                              const char *topic, int32_t partition)
{
    uint32_t index = 0;
    while (index < consumer->slot_count && consumer->slots[index] != NULL)
        index++;
    if (index == consumer->slot_count) {
        uint32_t more = index + 16;
        if (more > SLOTS_MAX)
            return WEIR_LIMIT;
        struct rd_slot **slots =
            weir_realloc_array(consumer->slots, more, sizeof(struct rd_slot *));
        if (slots == NULL)
            return WEIR_NOMEM;
        memset(slots + index, 0, 16 * sizeof(struct rd_slot *));
        consumer->slots = slots;
        consumer->slot_count = more;
    }
    enum weir_err err = rd_slot_new(&consumer->client, &consumer->signal, topic, partition,
                                    &consumer->slots[index]);
    if (err != WEIR_OK)
        return err;
    consumer->slots[index]->share = share;
    consumer->slots[index]->wake_bytes = consumer->wake_bytes;
    consumer->slots[index]->wake_rows = consumer->wake_rows;
    consumer->waiting++;
    consumer->ask_ns = 0;
    return WEIR_OK;
}

/* What is to be read for a share: itself, or what the caller names. */
static uint32_t sources_of(struct rd_consumer *consumer, const struct rd_share *share,
                           struct weir_kafka_partition *out)
{
    if (consumer->rebalance.sources == NULL) {
        out[0] =
            (struct weir_kafka_partition){.topic = share->topic, .partition = share->partition};
        return 1;
    }
    uint32_t count = consumer->rebalance.sources(consumer->rebalance.opaque, share->topic,
                                                 share->partition, out, WEIR_KAFKA_SOURCES_MAX);
    weir_assert(count <= WEIR_KAFKA_SOURCES_MAX);
    return count;
}

static void add_slots(struct rd_consumer *consumer, struct rd_share *share)
{
    struct weir_kafka_partition sources[WEIR_KAFKA_SOURCES_MAX];
    uint32_t count = sources_of(consumer, share, sources);
    for (uint32_t i = 0; i < count; i++) {
        enum weir_err err = slot_add(consumer, share, sources[i].topic, sources[i].partition);
        if (err != WEIR_OK && consumer->failure.code == WEIR_OK) {
            weir_error_set(&consumer->failure, err, -1, "%s [%d] can't be taken over",
                           sources[i].topic, sources[i].partition);
            consumer->failure.fatal = true;
        }
    }
}

/* Frees the slots of a share, which were told lost, and takes them from librdkafka's fetching into
 * *assigned, if they ever were there. */
static void free_slots(struct rd_consumer *consumer, const struct rd_share *share,
                       rd_kafka_topic_partition_list_t *assigned)
{
    for (uint32_t i = 0; i < consumer->slot_count; i++) {
        struct rd_slot *slot = consumer->slots[i];
        if (slot == NULL || slot->share != share)
            continue;
        if (slot->queue != NULL)
            rd_kafka_topic_partition_list_add(assigned, slot->topic, slot->partition);
        rd_slot_free(slot);
        consumer->slots[i] = NULL;
        consumer->waiting--;
    }
}

void rd_member_release(struct rd_consumer *consumer)
{
    for (uint32_t i = 0; i < consumer->slot_count; i++)
        if (consumer->slots[i] != NULL)
            rd_slot_free(consumer->slots[i]);
    weir_free(consumer->slots);
    while (consumer->shares != NULL) {
        struct rd_share *next = consumer->shares->next;
        weir_free(consumer->shares);
        consumer->shares = next;
    }
}

/* ---- rebalance ------------------------------------------------------------------------------- */

static void on_assign(struct rd_consumer *consumer, const rd_kafka_topic_partition_list_t *list)
{
    for (int i = 0; i < list->cnt; i++) {
        const rd_kafka_topic_partition_t *at = &list->elems[i];
        struct rd_share **end = share_find(consumer, at->topic, at->partition);
        if (*end != NULL)
            continue;
        size_t bytes = strlen(at->topic) + 1;
        struct rd_share *share = weir_alloc(sizeof(*share) + bytes);
        if (share == NULL) {
            weir_error_set(&consumer->failure, WEIR_NOMEM, -1, "%s [%d] can't be taken over",
                           at->topic, at->partition);
            consumer->failure.fatal = true;
            return;
        }
        share->next = NULL;
        share->partition = at->partition;
        memcpy(share->topic, at->topic, bytes);
        *end = share;
        add_slots(consumer, share);
    }
}

/* Tells of those that were told, then takes back all of the list from librdkafka and from us. */
static void on_revoke(struct rd_consumer *consumer, const rd_kafka_topic_partition_list_t *list,
                      bool gone)
{
    struct told told;
    if (told_init(&told, consumer->slot_count)) {
        for (int i = 0; i < list->cnt; i++) {
            const struct rd_share *share =
                *share_find(consumer, list->elems[i].topic, list->elems[i].partition);
            if (share != NULL)
                add_told_slots(consumer, share, &told);
        }
        tell_lost(consumer, &told, gone);
    }
    told_release(&told);
    rd_kafka_topic_partition_list_t *assigned = rd_kafka_topic_partition_list_new(list->cnt);
    for (int i = 0; i < list->cnt; i++) {
        struct rd_share **at = share_find(consumer, list->elems[i].topic, list->elems[i].partition);
        struct rd_share *share = *at;
        if (share == NULL)
            continue;
        free_slots(consumer, share, assigned);
        *at = share->next;
        weir_free(share);
    }
    rd_member_log(consumer, rd_kafka_incremental_unassign(consumer->client.rk, assigned),
                  "giving partitions back");
    rd_kafka_topic_partition_list_destroy(assigned);
}

void rd_member_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t err,
                         rd_kafka_topic_partition_list_t *partitions, void *opaque)
{
    struct rd_consumer *consumer =
        WEIR_CONTAINER((struct rd_client *)opaque, struct rd_consumer, client);
    if (err == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
        rd_kafka_topic_partition_list_t *none = rd_kafka_topic_partition_list_new(1);
        consumer->assigned = true;
        on_assign(consumer, partitions);
        rd_member_log(consumer, rd_kafka_incremental_assign(rk, none), "taking partitions");
        rd_kafka_topic_partition_list_destroy(none);
        if (consumer->shares == NULL && consumer->rebalance.gained != NULL)
            consumer->rebalance.gained(consumer->rebalance.opaque, NULL, NULL, 0);
        return;
    }
    if (err != RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS)
        weir_log(&consumer->client.cluster->log, WEIR_LOG_WARN, "kafka", "rebalance: %s",
                 rd_kafka_err2str(err));
    on_revoke(consumer, partitions, rd_kafka_assignment_lost(rk));
}

/* ---- where reading begins -------------------------------------------------------------------- */

static int64_t begin_offset(struct rd_consumer *consumer, const struct rd_slot *slot,
                            int64_t committed, int64_t first, int64_t end)
{
    if (committed < 0)
        return consumer->from_end ? end : first;
    if (committed >= first && committed <= end)
        return committed;
    weir_log(&consumer->client.cluster->log, WEIR_LOG_WARN, "kafka",
             "%s [%d]: the committed offset %lld is not in the log, which has %lld to %lld; "
             "reading from %lld",
             slot->topic, slot->partition, (long long)committed, (long long)first, (long long)end,
             (long long)first);
    return first;
}

/* The three offsets of each waiting slot, as far as they are known. */
struct answers {
    rd_kafka_topic_partition_list_t *committed, *firsts, *ends;
};

static const rd_kafka_topic_partition_t *answer(const rd_kafka_topic_partition_list_t *list,
                                                const struct rd_slot *slot)
{
    return rd_kafka_topic_partition_list_find((rd_kafka_topic_partition_list_t *)(uintptr_t)list,
                                              slot->topic, slot->partition);
}

static bool is_answered(const struct answers *answers, const struct rd_slot *slot)
{
    const rd_kafka_topic_partition_t *committed = answer(answers->committed, slot),
                                     *first = answer(answers->firsts, slot),
                                     *end = answer(answers->ends, slot);
    return committed != NULL && !committed->err && first != NULL && !first->err && end != NULL &&
           !end->err && first->offset >= 0 && end->offset >= 0;
}

/* Are the offsets of all that belong to the slot's share known? */
static bool share_is_answered(const struct rd_consumer *consumer, const struct answers *answers,
                              const struct rd_slot *slot)
{
    if (consumer->rebalance.sources == NULL)
        return is_answered(answers, slot);
    for (uint32_t i = 0; i < consumer->slot_count; i++)
        if (consumer->slots[i] != NULL && consumer->slots[i]->share == slot->share &&
            !is_answered(answers, consumer->slots[i]))
            return false;
    return true;
}

/* Makes the slots whose offsets are known ready to be read. */
static void begin_slots(struct rd_consumer *consumer, const struct answers *answers,
                        rd_kafka_topic_partition_list_t *assign, struct told *told)
{
    for (uint32_t i = 0; i < consumer->slot_count; i++) {
        struct rd_slot *slot = consumer->slots[i];
        if (slot == NULL || slot->told || !share_is_answered(consumer, answers, slot))
            continue;
        int64_t committed = answer(answers->committed, slot)->offset;
        int64_t end = answer(answers->ends, slot)->offset;
        int64_t offset =
            begin_offset(consumer, slot, committed, answer(answers->firsts, slot)->offset, end);
        if (rd_slot_begin(slot, offset) != WEIR_OK)
            continue;
        slot->end = end;
        rd_kafka_topic_partition_list_add(assign, slot->topic, slot->partition)->offset = offset;
        told_add(told, slot, (int32_t)i)->committed = committed >= 0 && committed == offset;
    }
}

/* Assigns the waiting slots whose offsets are known, and tells of them. */
static void gain(struct rd_consumer *consumer, const struct answers *answers)
{
    struct told told;
    rd_kafka_topic_partition_list_t *assign =
        rd_kafka_topic_partition_list_new(answers->committed->cnt);
    if (!told_init(&told, consumer->slot_count))
        goto out;
    begin_slots(consumer, answers, assign, &told);
    rd_kafka_error_t *failure =
        assign->cnt > 0 ? rd_kafka_incremental_assign(consumer->client.rk, assign) : NULL;
    if (failure != NULL) {
        rd_member_log(consumer, failure, "taking partitions");
        for (uint32_t i = 0; i < told.count; i++)
            rd_slot_end(consumer->slots[told.indexes[i]]);
        goto out;
    }
    for (uint32_t i = 0; i < told.count; i++)
        consumer->slots[told.indexes[i]]->told = true;
    consumer->waiting -= told.count;
    if (told.count > 0 && consumer->rebalance.gained != NULL) {
        consumer->in_callback = true;
        consumer->rebalance.gained(consumer->rebalance.opaque, told.partitions, told.indexes,
                                   told.count);
        consumer->in_callback = false;
    }
out:
    told_release(&told);
    rd_kafka_topic_partition_list_destroy(assign);
}

void rd_member_gain(struct rd_consumer *consumer)
{
    int64_t now_ns = weir_clock_now_ns(NULL);
    if (consumer->waiting == 0 || consumer->closing || now_ns < consumer->ask_ns)
        return;
    struct answers answers = {.committed =
                                  rd_kafka_topic_partition_list_new((int)consumer->waiting)};
    for (uint32_t i = 0; i < consumer->slot_count; i++)
        if (consumer->slots[i] != NULL && !consumer->slots[i]->told)
            rd_kafka_topic_partition_list_add(answers.committed, consumer->slots[i]->topic,
                                              consumer->slots[i]->partition);
    struct weir_error error = {0};
    rd_kafka_resp_err_t code =
        rd_kafka_committed(consumer->client.rk, answers.committed, RD_ANSWER_MS);
    enum weir_err err = WEIR_OK;
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        err = rd_error(&consumer->client, &error, code, "asking for committed offsets");
    if (err == WEIR_OK)
        err = rd_ask_offsets(&consumer->client, answers.committed, RD_ANSWER_MS, &answers.firsts,
                             &answers.ends, &error);
    if (err == WEIR_OK) {
        gain(consumer, &answers);
        rd_kafka_topic_partition_list_destroy(answers.firsts);
        rd_kafka_topic_partition_list_destroy(answers.ends);
    } else {
        weir_log(&consumer->client.cluster->log, WEIR_LOG_WARN, "kafka", "%s; asking again",
                 error.message);
    }
    rd_kafka_topic_partition_list_destroy(answers.committed);
    consumer->ask_ns = weir_clock_now_ns(NULL) + RD_RETRY_MS * WEIR_NS_PER_MS;
}

/* ---- outside of rebalances ------------------------------------------------------------------- */

static enum weir_err unassign(struct rd_consumer *consumer,
                              const rd_kafka_topic_partition_list_t *list, const char *topic,
                              int32_t partition, struct weir_error *error)
{
    if (!atomic_load(&consumer->client.steady) || rd_kafka_queue_length(consumer->events) > 0)
        return weir_error_set(error, WEIR_AGAIN, -1, "a rebalance is under way");
    rd_kafka_error_t *failure = rd_kafka_incremental_unassign(consumer->client.rk, list);
    if (failure == NULL)
        return WEIR_OK;
    enum weir_err err = rd_error(&consumer->client, error, rd_kafka_error_code(failure), "%s [%d]",
                                 topic, partition);
    rd_kafka_error_destroy(failure);
    return err;
}

enum weir_err rd_member_unassign(struct rd_consumer *consumer, const struct rd_slot *slot,
                                 struct weir_error *error)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, slot->topic, slot->partition);
    enum weir_err err = unassign(consumer, list, slot->topic, slot->partition, error);
    rd_kafka_topic_partition_list_destroy(list);
    return err;
}

static enum weir_err unassign_share(struct rd_consumer *consumer, const struct rd_share *share)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    for (uint32_t i = 0; i < consumer->slot_count; i++)
        if (consumer->slots[i] != NULL && consumer->slots[i]->share == share &&
            consumer->slots[i]->told)
            rd_kafka_topic_partition_list_add(list, consumer->slots[i]->topic,
                                              consumer->slots[i]->partition);
    enum weir_err err = unassign(consumer, list, share->topic, share->partition, NULL);
    rd_kafka_topic_partition_list_destroy(list);
    return err;
}

void rd_member_restart(struct rd_consumer *consumer, struct rd_slot *slot)
{
    const struct rd_share *share = slot->share;
    if (unassign_share(consumer, share) == WEIR_AGAIN)
        return; /* the next poll tries again; any other failure says that it is not assigned */
    weir_log(&consumer->client.cluster->log, WEIR_LOG_WARN, "kafka",
             "%s [%d]: offset %lld is not in the log any more, beginning again", slot->topic,
             slot->partition, (long long)slot->position);
    lose(consumer, share, true);
    for (uint32_t i = 0; i < consumer->slot_count; i++) {
        if (consumer->slots[i] == NULL || consumer->slots[i]->share != share)
            continue;
        rd_slot_end(consumer->slots[i]);
        consumer->slots[i]->reset = false;
    }
    consumer->ask_ns = 0;
}

/* Is something else to be read for it than is read now? */
static bool has_other_sources(struct rd_consumer *consumer, const struct rd_share *share)
{
    struct weir_kafka_partition sources[WEIR_KAFKA_SOURCES_MAX];
    uint32_t count = sources_of(consumer, share, sources), slots = 0;
    for (uint32_t i = 0; i < consumer->slot_count; i++)
        slots += consumer->slots[i] != NULL && consumer->slots[i]->share == share;
    bool same = count == slots;
    for (uint32_t i = 0; i < count && same; i++) {
        int32_t index = rd_member_index(consumer, sources[i].topic, sources[i].partition);
        same = index >= 0 && consumer->slots[index]->share == share;
    }
    return !same;
}

void rd_member_ask_sources(struct rd_consumer *consumer)
{
    consumer->ask_sources = false;
    for (struct rd_share *share = consumer->shares; share != NULL; share = share->next) {
        if (!has_other_sources(consumer, share))
            continue;
        if (unassign_share(consumer, share) == WEIR_AGAIN) {
            consumer->ask_sources = true; /* after the rebalance */
            return;
        }
        rd_kafka_topic_partition_list_t *unassigned = rd_kafka_topic_partition_list_new(1);
        lose(consumer, share, false);
        free_slots(consumer, share, unassigned);
        rd_kafka_topic_partition_list_destroy(unassigned);
        add_slots(consumer, share);
    }
}
