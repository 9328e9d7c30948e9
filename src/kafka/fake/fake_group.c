/*
 * The in-memory cluster's groups: who shall have what.
 *
 * A slot goes owner == target (steady) -> target changes in a rebalance -> its owner's next poll
 * tells `lost` and lets go (owner NULL) -> the target's next poll tells `gained` (owner = target).
 * A benched slot has no target until its owner has let go; that begins the next rebalance.
 */
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "kafka/fake/fake_impl.h"

enum { SLOTS_MAX = 1 << 20 };

struct fake_group *fake_group_find(struct fake *fake, const char *name)
{
    for (uint32_t i = 0; i < fake->group_count; i++)
        if (strcmp(fake->groups[i]->name, name) == 0)
            return fake->groups[i];
    return NULL;
}

enum weir_err fake_group_get(struct fake *fake, const char *name, struct fake_group **group_out)
{
    *group_out = fake_group_find(fake, name);
    if (*group_out != NULL)
        return WEIR_OK;
    enum weir_err err = fake_reserve(&fake->groups, &fake->group_capacity, fake->group_count,
                                     sizeof(*fake->groups), FAKE_GROUPS_MAX);
    if (err != WEIR_OK)
        return err;
    struct fake_group *group = weir_calloc(1, sizeof(*group));
    if (group == NULL)
        return WEIR_NOMEM;
    group->name = weir_strdup(name);
    if (group->name == NULL) {
        weir_free(group);
        return WEIR_NOMEM;
    }
    fake->groups[fake->group_count++] = group;
    *group_out = group;
    return WEIR_OK;
}

void fake_group_free(struct fake_group *group)
{
    for (uint32_t i = 0; i < group->slot_count; i++)
        weir_free(group->slots[i]);
    weir_free(group->slots);
    weir_free(group->members);
    weir_free(group->name);
    weir_free(group);
}

struct fake_slot *fake_slot_find(const struct fake_group *group, const char *topic,
                                 int32_t partition)
{
    for (uint32_t i = 0; i < group->slot_count; i++)
        if (group->slots[i]->partition == partition &&
            strcmp(group->slots[i]->topic->name, topic) == 0)
            return group->slots[i];
    return NULL;
}

enum weir_err fake_slot_get(struct fake_group *group, struct fake_topic *topic, int32_t partition,
                            struct fake_slot **slot_out)
{
    *slot_out = fake_slot_find(group, topic->name, partition);
    if (*slot_out != NULL)
        return WEIR_OK;
    enum weir_err err = fake_reserve(&group->slots, &group->slot_capacity, group->slot_count,
                                     sizeof(*group->slots), SLOTS_MAX);
    if (err != WEIR_OK)
        return err;
    struct fake_slot *slot = weir_calloc(1, sizeof(*slot));
    if (slot == NULL)
        return WEIR_NOMEM;
    slot->topic = topic;
    slot->partition = partition;
    slot->committed = -1;
    group->slots[group->slot_count++] = slot;
    *slot_out = slot;
    return WEIR_OK;
}

/* ---- who gets what --------------------------------------------------------------------------- */

static bool subscribes(const struct fake_consumer *member, const struct fake_slot *slot)
{
    for (uint32_t i = 0; i < member->topic_count; i++)
        if (strcmp(member->topics[i], slot->topic->name) == 0)
            return true;
    return false;
}

static uint32_t member_number(const struct fake_group *group, const struct fake_consumer *member)
{
    uint32_t i = 0;
    while (i < group->member_count && group->members[i] != member)
        i++;
    return i;
}

static uint32_t share_of(const struct fake_group *group, const struct fake_consumer *member)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < group->slot_count; i++)
        count += group->slots[i]->target == member;
    return count;
}

/* The subscriber with the least; the first of equals. */
static struct fake_consumer *least_loaded(const struct fake_group *group,
                                          const struct fake_slot *slot)
{
    struct fake_consumer *least = NULL;
    uint32_t least_share = UINT32_MAX;
    for (uint32_t i = 0; i < group->member_count; i++) {
        struct fake_consumer *member = group->members[i];
        uint32_t share = share_of(group, member);
        if (subscribes(member, slot) && share < least_share) {
            least = member;
            least_share = share;
        }
    }
    return least;
}

/* Slots for all partitions of the topics that members subscribe to. */
static void find_slots(struct fake *fake, struct fake_group *group)
{
    group->topics_version = fake->topics_version;
    for (uint32_t i = 0; i < group->member_count; i++) {
        struct fake_consumer *member = group->members[i];
        for (uint32_t t = 0; t < member->topic_count; t++) {
            struct fake_topic *topic = fake_topic_find(fake, member->topics[t]);
            for (int32_t p = 0; topic != NULL && p < topic->partition_count; p++) {
                struct fake_slot *slot;
                if (fake_slot_get(group, topic, p, &slot) != WEIR_OK)
                    group->topics_version = 0; /* no memory: tried again by the next call */
            }
        }
    }
}

/* Every partition moves to the next subscriber; with one member all of it is benched. */
static void rotate(struct fake_group *group)
{
    group->rotate = false;
    for (uint32_t i = 0; i < group->slot_count; i++) {
        struct fake_slot *slot = group->slots[i];
        if (slot->target == NULL)
            continue;
        if (group->member_count < 2) {
            slot->benched = slot->owner != NULL;
            continue;
        }
        uint32_t number = member_number(group, slot->target);
        for (uint32_t step = 1; step <= group->member_count; step++) {
            struct fake_consumer *next = group->members[(number + step) % group->member_count];
            if (subscribes(next, slot)) {
                slot->target = next;
                break;
            }
        }
    }
}

/* Moves one partition from the longest list to the shortest that may have it. */
static bool even_out(struct fake_group *group)
{
    for (uint32_t i = group->slot_count; i-- > 0;) {
        struct fake_slot *slot = group->slots[i];
        if (slot->target == NULL || slot->benched)
            continue;
        struct fake_consumer *least = least_loaded(group, slot);
        if (least == NULL || share_of(group, slot->target) < share_of(group, least) + 2)
            continue;
        slot->target = least;
        return true;
    }
    return false;
}

static void assign(struct fake *fake, struct fake_group *group)
{
    find_slots(fake, group);
    for (uint32_t i = 0; i < group->slot_count; i++) {
        struct fake_slot *slot = group->slots[i];
        if (slot->target != NULL && (member_number(group, slot->target) == group->member_count ||
                                     !subscribes(slot->target, slot)))
            slot->target = NULL;
    }
    bool rotated = group->rotate;
    if (rotated)
        rotate(group);
    for (uint32_t i = 0; i < group->slot_count; i++) {
        struct fake_slot *slot = group->slots[i];
        if (slot->benched && slot->owner == NULL)
            slot->benched = false;
        if (slot->benched)
            slot->target = NULL;
        else if (slot->target == NULL)
            slot->target = least_loaded(group, slot);
    }
    while (!rotated && even_out(group))
        continue;
}

void fake_group_begin(struct fake *fake, struct fake_group *group)
{
    group->rebalancing = true;
    group->rebalanced_ns = fake_now_ns(fake) + fake->options.rebalance_ms * WEIR_NS_PER_MS;
    fake_changed(fake);
}

void fake_groups_advance(struct fake *fake)
{
    for (uint32_t i = 0; i < fake->group_count; i++) {
        struct fake_group *group = fake->groups[i];
        if (group->member_count > 0 && group->topics_version != fake->topics_version) {
            uint32_t known = group->slot_count;
            find_slots(fake, group);
            if (group->slot_count > known && !group->rebalancing)
                fake_group_begin(fake, group);
        }
        if (!group->rebalancing || group->held || fake->away ||
            fake_now_ns(fake) < group->rebalanced_ns)
            continue;
        group->rebalancing = false;
        group->generation++;
        assign(fake, group);
        fake_changed(fake);
    }
}

enum weir_err fake_group_join(struct fake *fake, struct fake_group *group,
                              struct fake_consumer *consumer)
{
    enum weir_err err = fake_reserve(&group->members, &group->member_capacity, group->member_count,
                                     sizeof(*group->members), FAKE_MEMBERS_MAX);
    if (err != WEIR_OK)
        return err;
    group->members[group->member_count++] = consumer;
    group->topics_version = 0;
    fake_group_begin(fake, group);
    return WEIR_OK;
}

void fake_group_leave(struct fake *fake, struct fake_group *group, struct fake_consumer *consumer)
{
    uint32_t number = member_number(group, consumer);
    if (number == group->member_count)
        return;
    memmove(group->members + number, group->members + number + 1,
            (group->member_count - number - 1) * sizeof(*group->members));
    group->member_count--;
    for (uint32_t i = 0; i < group->slot_count; i++)
        if (group->slots[i]->target == consumer)
            group->slots[i]->target = NULL;
    fake_group_begin(fake, group);
}

/* Slots and topics live as long as the cluster: the lock is let go for the calls. */
enum weir_err
fake_group_assignments(struct weir_kafka *kafka, const char *group_id, int32_t timeout_ms,
                       void (*each)(void *opaque, const struct weir_kafka_assignment *found),
                       void *opaque, struct weir_error *error)
{
    (void)timeout_ms;
    (void)error;
    struct fake *fake = WEIR_CONTAINER(kafka, struct fake, base);
    fake_lock(fake);
    const struct fake_group *group = fake_group_find(fake, group_id);
    for (uint32_t i = 0; group != NULL && i < group->slot_count; i++) {
        const struct fake_slot *slot = group->slots[i];
        const struct weir_kafka_assignment found = {.client_id = "fake",
                                                    .host = "memory",
                                                    .topic = slot->topic->name,
                                                    .partition = slot->partition};
        if (slot->owner == NULL)
            continue;
        fake_unlock(fake);
        each(opaque, &found);
        fake_lock(fake);
    }
    fake_unlock(fake);
    return WEIR_OK;
}

/* ---- for tests ------------------------------------------------------------------------------- */

static struct fake *fake_of(struct weir_kafka *kafka)
{
    weir_assert(kafka->ops == &weir_kafka_fake_ops);
    return WEIR_CONTAINER(kafka, struct fake, base);
}

int64_t weir_kafka_fake_committed(struct weir_kafka *kafka, const char *group, const char *topic,
                                  int32_t partition)
{
    struct fake *fake = fake_of(kafka);
    fake_lock(fake);
    struct fake_group *found = fake_group_find(fake, group);
    struct fake_slot *slot = found != NULL ? fake_slot_find(found, topic, partition) : NULL;
    int64_t committed = slot != NULL ? slot->committed : -1;
    fake_unlock(fake);
    return committed;
}

enum weir_err weir_kafka_fake_commit(struct weir_kafka *kafka, const char *group, const char *topic,
                                     int32_t partition, int64_t offset)
{
    struct fake *fake = fake_of(kafka);
    fake_lock(fake);
    struct fake_topic *found = fake_topic_find(fake, topic);
    weir_assert(found != NULL && partition >= 0 && partition < found->partition_count);
    struct fake_group *of;
    struct fake_slot *slot;
    enum weir_err err = fake_group_get(fake, group, &of);
    if (err == WEIR_OK)
        err = fake_slot_get(of, found, partition, &slot);
    if (err == WEIR_OK)
        slot->committed = offset;
    fake_unlock(fake);
    return err;
}

uint32_t weir_kafka_fake_members(struct weir_kafka *kafka, const char *group)
{
    struct fake *fake = fake_of(kafka);
    fake_lock(fake);
    struct fake_group *found = fake_group_find(fake, group);
    uint32_t members = found != NULL ? found->member_count : 0;
    fake_unlock(fake);
    return members;
}

uint64_t weir_kafka_fake_generation(struct weir_kafka *kafka, const char *group)
{
    struct fake *fake = fake_of(kafka);
    fake_lock(fake);
    fake_advance(fake);
    struct fake_group *found = fake_group_find(fake, group);
    uint64_t generation = found != NULL ? found->generation : 0;
    fake_unlock(fake);
    return generation;
}

static struct fake_group *group_named(struct fake *fake, const char *name)
{
    struct fake_group *group = fake_group_find(fake, name);
    weir_assert(group != NULL);
    return group;
}

void weir_kafka_fake_rebalance(struct weir_kafka *kafka, const char *group)
{
    struct fake *fake = fake_of(kafka);
    fake_lock(fake);
    struct fake_group *found = group_named(fake, group);
    found->rotate = true;
    fake_group_begin(fake, found);
    fake_advance(fake);
    fake_unlock(fake);
}

void weir_kafka_fake_revoke(struct weir_kafka *kafka, const char *group, const char *topic,
                            int32_t partition)
{
    struct fake *fake = fake_of(kafka);
    fake_lock(fake);
    struct fake_group *found = group_named(fake, group);
    struct fake_slot *slot = fake_slot_find(found, topic, partition);
    weir_assert(slot != NULL);
    slot->benched = slot->owner != NULL;
    fake_group_begin(fake, found);
    fake_advance(fake);
    fake_unlock(fake);
}

void weir_kafka_fake_evict(struct weir_kafka *kafka, const char *group, const char *topic,
                           int32_t partition)
{
    struct fake *fake = fake_of(kafka);
    fake_lock(fake);
    struct fake_group *found = group_named(fake, group);
    struct fake_slot *slot = fake_slot_find(found, topic, partition);
    weir_assert(slot != NULL && slot->owner != NULL);
    struct fake_consumer *member = slot->owner;
    member->evicted = true;
    fake_group_leave(fake, found, member);
    /* The others don't wait for one whose session is over. */
    for (uint32_t i = 0; i < found->slot_count; i++)
        if (found->slots[i]->owner == member)
            found->slots[i]->owner = NULL;
    fake_advance(fake);
    fake_unlock(fake);
}

void weir_kafka_fake_hold_rebalance(struct weir_kafka *kafka, const char *group, bool hold)
{
    struct fake *fake = fake_of(kafka);
    fake_lock(fake);
    struct fake_group *found = group_named(fake, group);
    found->held = hold;
    if (hold)
        fake_group_begin(fake, found);
    fake_advance(fake);
    fake_changed(fake);
    fake_unlock(fake);
}
