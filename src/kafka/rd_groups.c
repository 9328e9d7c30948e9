/* Consumer groups of a cluster, looked at and moved: kafka/admin.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "kafka/admin.h"
#include "kafka/rd.h"

enum { DESCRIPTION_BYTES_MAX = 256 << 20, WHAT_BYTES = 300 };

static enum weir_err admin_of(struct weir_kafka *kafka, struct rd_client **out,
                              struct weir_error *error)
{
    if (kafka->ops != &weir_kafka_rd_ops)
        return weir_error_set(error, WEIR_UNSUPPORTED, -1, "only a real cluster is administered");
    return rd_admin_get(kafka, out, error);
}

/* Codes that people meet, with what to do. */
static enum weir_err group_error(struct rd_client *admin, struct weir_error *error,
                                 rd_kafka_resp_err_t code, const char *what)
{
    switch ((int)code) {
    case RD_KAFKA_RESP_ERR_NON_EMPTY_GROUP:
    case RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID: /* what a commit beside the members is told */
        return weir_error_set(error, WEIR_IN_USE, -1,
                              "%s: the group has members: stop its consumers first", what);
    case RD_KAFKA_RESP_ERR_GROUP_ID_NOT_FOUND:
        return weir_error_set(error, WEIR_NOT_FOUND, -1,
                              "%s: there is no such group; weir groups list shows them", what);
    default:
        return rd_error(admin, error, code, "%s", what);
    }
}

/* ---- list ------------------------------------------------------------------------------------ */

struct listing {
    void (*each)(void *opaque, const char *id, const char *state);
    void *opaque;
};

static void ask_list(void *opaque, rd_kafka_t *rk, const rd_kafka_AdminOptions_t *options,
                     rd_kafka_queue_t *queue)
{
    (void)opaque;
    rd_kafka_ListConsumerGroups(rk, options, queue);
}

static int compare_listings(const void *a, const void *b)
{
    const rd_kafka_ConsumerGroupListing_t *const *left = a, *const *right = b;
    return strcmp(rd_kafka_ConsumerGroupListing_group_id(*left),
                  rd_kafka_ConsumerGroupListing_group_id(*right));
}

static enum weir_err read_list(void *opaque, struct rd_client *admin, rd_kafka_event_t *event,
                               struct weir_error *error)
{
    const struct listing *listing = opaque;
    const rd_kafka_ListConsumerGroups_result_t *result =
        rd_kafka_event_ListConsumerGroups_result(event);
    size_t count, error_count;
    const rd_kafka_error_t **errors =
        rd_kafka_ListConsumerGroups_result_errors(result, &error_count);
    if (error_count > 0)
        return rd_error(admin, error, rd_kafka_error_code(errors[0]), "asking for the groups");
    const rd_kafka_ConsumerGroupListing_t **groups =
        rd_kafka_ListConsumerGroups_result_valid(result, &count);
    if (count > 0)
        qsort(groups, count, sizeof(*groups), compare_listings);
    for (size_t i = 0; i < count; i++)
        listing->each(
            listing->opaque, rd_kafka_ConsumerGroupListing_group_id(groups[i]),
            rd_kafka_consumer_group_state_name(rd_kafka_ConsumerGroupListing_state(groups[i])));
    return WEIR_OK;
}

enum weir_err kafka_groups_list(struct weir_kafka *kafka, int32_t timeout_ms,
                                void (*each)(void *opaque, const char *id, const char *state),
                                void *opaque, struct weir_error *error)
{
    struct listing listing = {each, opaque};
    struct rd_client *admin;
    enum weir_err err = admin_of(kafka, &admin, error);
    if (err != WEIR_OK)
        return err;
    const struct rd_question question = {.op = RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPS,
                                         .timeout_ms = timeout_ms,
                                         .what = "asking for the groups",
                                         .ask = ask_list,
                                         .read = read_list,
                                         .opaque = &listing};
    return rd_admin_ask(admin, &question, error);
}

/* ---- describe: members ----------------------------------------------------------------------- */

struct description {
    struct kafka_group group;
    struct weir_arena arena;
    struct kafka_group_offset *offsets; /* those of `group`, while they are collected */
    uint32_t offset_count, offset_capacity;
};

struct group_question {
    const char *id, *what;
    struct description *into;
    rd_kafka_DeleteGroup_t *removed;
    rd_kafka_ListConsumerGroupOffsets_t *listed;
    rd_kafka_AlterConsumerGroupOffsets_t *altered;
};

static const char *copy(struct weir_arena *arena, const char *text)
{
    return weir_arena_copy_text(arena, text != NULL ? text : "", text != NULL ? strlen(text) : 0);
}

static enum weir_err no_memory(struct weir_error *error)
{
    return weir_error_set(error, WEIR_NOMEM, -1, "no memory for a group");
}

/* Room for `more` offsets; what was there is kept. */
static bool make_room(struct description *into, size_t more)
{
    size_t wanted = into->offset_count + more;
    if (wanted <= into->offset_capacity)
        return true;
    size_t capacity = wanted * 2;
    struct kafka_group_offset *offsets =
        weir_arena_calloc(&into->arena, capacity, sizeof(*offsets));
    if (offsets == NULL)
        return false;
    if (into->offset_count > 0)
        memcpy(offsets, into->offsets, into->offset_count * sizeof(*offsets));
    into->offsets = offsets;
    into->offset_capacity = (uint32_t)capacity;
    return true;
}

static bool add_partitions(struct description *into, const rd_kafka_topic_partition_list_t *list,
                           int32_t member)
{
    if (list == NULL)
        return true;
    if (!make_room(into, (size_t)list->cnt))
        return false;
    for (int i = 0; i < list->cnt; i++) {
        const rd_kafka_topic_partition_t *from = &list->elems[i];
        const char *topic = copy(&into->arena, from->topic);
        if (topic == NULL)
            return false;
        into->offsets[into->offset_count++] = (struct kafka_group_offset){
            .topic = topic,
            .partition = from->partition,
            .committed = member < 0 && from->offset >= 0 ? from->offset : -1,
            .first = -1,
            .end = -1,
            .member = member};
    }
    return true;
}

static bool add_member(struct description *into, struct kafka_member *to,
                       const rd_kafka_MemberDescription_t *from, int32_t index)
{
    const char *instance = rd_kafka_MemberDescription_group_instance_id(from);
    const rd_kafka_MemberAssignment_t *assignment = rd_kafka_MemberDescription_assignment(from);
    const rd_kafka_topic_partition_list_t *partitions =
        assignment != NULL ? rd_kafka_MemberAssignment_partitions(assignment) : NULL;
    to->id = copy(&into->arena, rd_kafka_MemberDescription_consumer_id(from));
    to->client_id = copy(&into->arena, rd_kafka_MemberDescription_client_id(from));
    to->host = copy(&into->arena, rd_kafka_MemberDescription_host(from));
    to->instance_id = instance != NULL ? copy(&into->arena, instance) : NULL;
    to->partition_count = partitions != NULL ? (uint32_t)partitions->cnt : 0;
    return to->id != NULL && to->client_id != NULL && to->host != NULL &&
           (instance == NULL || to->instance_id != NULL) && add_partitions(into, partitions, index);
}

static void ask_members(void *opaque, rd_kafka_t *rk, const rd_kafka_AdminOptions_t *options,
                        rd_kafka_queue_t *queue)
{
    struct group_question *asked = opaque;
    rd_kafka_DescribeConsumerGroups(rk, &asked->id, 1, options, queue);
}

static enum weir_err read_members(void *opaque, struct rd_client *admin, rd_kafka_event_t *event,
                                  struct weir_error *error)
{
    const struct group_question *asked = opaque;
    struct description *into = asked->into;
    size_t count;
    const rd_kafka_ConsumerGroupDescription_t **groups =
        rd_kafka_DescribeConsumerGroups_result_groups(
            rd_kafka_event_DescribeConsumerGroups_result(event), &count);
    if (count != 1)
        return weir_error_set(error, WEIR_BROKER, -1, "%s: no answer", asked->what);
    const rd_kafka_error_t *failed = rd_kafka_ConsumerGroupDescription_error(groups[0]);
    if (failed != NULL && rd_kafka_error_code(failed) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return group_error(admin, error, rd_kafka_error_code(failed), asked->what);
    size_t member_count = rd_kafka_ConsumerGroupDescription_member_count(groups[0]);
    struct kafka_member *members = weir_arena_calloc(&into->arena, member_count, sizeof(*members));
    into->group.id = copy(&into->arena, asked->id);
    into->group.state = copy(&into->arena, rd_kafka_consumer_group_state_name(
                                               rd_kafka_ConsumerGroupDescription_state(groups[0])));
    into->group.assignor =
        copy(&into->arena, rd_kafka_ConsumerGroupDescription_partition_assignor(groups[0]));
    bool whole = members != NULL && into->group.id != NULL && into->group.state != NULL &&
                 into->group.assignor != NULL;
    for (size_t i = 0; i < member_count && whole; i++)
        whole = add_member(into, &members[i],
                           rd_kafka_ConsumerGroupDescription_member(groups[0], i), (int32_t)i);
    into->group.members = members;
    into->group.member_count = (uint32_t)member_count;
    return whole ? WEIR_OK : no_memory(error);
}

enum weir_err
rd_group_assignments(struct weir_kafka *kafka, const char *group_id, int32_t timeout_ms,
                     void (*each)(void *opaque, const struct weir_kafka_assignment *found),
                     void *opaque, struct weir_error *error)
{
    char what[WHAT_BYTES];
    struct rd_client *admin;
    enum weir_err err = rd_admin_get(kafka, &admin, error);
    if (err != WEIR_OK)
        return err;
    struct description into = {0};
    weir_arena_init(&into.arena, DESCRIPTION_BYTES_MAX);
    snprintf(what, sizeof(what), "asking for group %s", group_id);
    struct group_question asked = {.id = group_id, .what = what, .into = &into};
    const struct rd_question question = {.op = RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS,
                                         .timeout_ms = timeout_ms,
                                         .what = what,
                                         .ask = ask_members,
                                         .read = read_members,
                                         .opaque = &asked};
    err = rd_admin_ask(admin, &question, error);
    for (uint32_t i = 0; i < into.offset_count && err == WEIR_OK; i++) {
        const struct kafka_member *member = &into.group.members[into.offsets[i].member];
        const struct weir_kafka_assignment found = {.client_id = member->client_id,
                                                    .host = member->host,
                                                    .topic = into.offsets[i].topic,
                                                    .partition = into.offsets[i].partition};
        each(opaque, &found);
    }
    weir_arena_release(&into.arena);
    return err;
}

/* ---- describe: offsets ----------------------------------------------------------------------- */

static void ask_offsets(void *opaque, rd_kafka_t *rk, const rd_kafka_AdminOptions_t *options,
                        rd_kafka_queue_t *queue)
{
    struct group_question *asked = opaque;
    rd_kafka_ListConsumerGroupOffsets(rk, &asked->listed, 1, options, queue);
}

static enum weir_err read_offsets(void *opaque, struct rd_client *admin, rd_kafka_event_t *event,
                                  struct weir_error *error)
{
    const struct group_question *asked = opaque;
    size_t count;
    const rd_kafka_group_result_t **groups = rd_kafka_ListConsumerGroupOffsets_result_groups(
        rd_kafka_event_ListConsumerGroupOffsets_result(event), &count);
    if (count != 1)
        return weir_error_set(error, WEIR_BROKER, -1, "%s: no answer", asked->what);
    const rd_kafka_error_t *failed = rd_kafka_group_result_error(groups[0]);
    if (failed != NULL)
        return group_error(admin, error, rd_kafka_error_code(failed), asked->what);
    return add_partitions(asked->into, rd_kafka_group_result_partitions(groups[0]), -1)
               ? WEIR_OK
               : no_memory(error);
}

/* Those of members behind those committed. */
static int compare_offsets(const void *a, const void *b)
{
    const struct kafka_group_offset *left = a, *right = b;
    int topics = strcmp(left->topic, right->topic);
    if (topics != 0)
        return topics;
    if (left->partition != right->partition)
        return left->partition < right->partition ? -1 : 1;
    return (left->member > right->member) - (left->member < right->member);
}

/* One entry a partition: what is committed, and who reads it. */
static void merge(struct description *into)
{
    uint32_t kept = 0;
    if (into->offset_count > 1)
        qsort(into->offsets, into->offset_count, sizeof(*into->offsets), compare_offsets);
    for (uint32_t i = 0; i < into->offset_count; i++) {
        struct kafka_group_offset *last = kept > 0 ? &into->offsets[kept - 1] : NULL;
        const struct kafka_group_offset *at = &into->offsets[i];
        if (last != NULL && last->partition == at->partition && strcmp(last->topic, at->topic) == 0)
            last->member = at->member;
        else
            into->offsets[kept++] = *at;
    }
    into->offset_count = kept;
}

/* A topic that is gone must not hide the others: what can't be had is not known. */
static void fill_log_offsets(struct rd_client *admin, struct description *into, int32_t timeout_ms)
{
    rd_kafka_topic_partition_list_t *firsts, *ends;
    if (into->offset_count == 0)
        return;
    rd_kafka_topic_partition_list_t *asked =
        rd_kafka_topic_partition_list_new((int)into->offset_count);
    for (uint32_t i = 0; i < into->offset_count; i++)
        rd_kafka_topic_partition_list_add(asked, into->offsets[i].topic,
                                          into->offsets[i].partition);
    if (rd_ask_offsets(admin, asked, timeout_ms, &firsts, &ends, NULL) == WEIR_OK) {
        for (uint32_t i = 0; i < into->offset_count; i++) {
            into->offsets[i].first = firsts->elems[i].err ? -1 : firsts->elems[i].offset;
            into->offsets[i].end = ends->elems[i].err ? -1 : ends->elems[i].offset;
        }
        rd_kafka_topic_partition_list_destroy(firsts);
        rd_kafka_topic_partition_list_destroy(ends);
    }
    rd_kafka_topic_partition_list_destroy(asked);
}

static enum weir_err describe(struct rd_client *admin, const char *id, int32_t timeout_ms,
                              struct description *into, struct weir_error *error)
{
    char what[WHAT_BYTES];
    snprintf(what, sizeof(what), "asking for group %s", id);
    struct group_question asked = {.id = id, .what = what, .into = into};
    struct rd_question question = {.op = RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS,
                                   .timeout_ms = timeout_ms,
                                   .what = what,
                                   .ask = ask_members,
                                   .read = read_members,
                                   .opaque = &asked};
    enum weir_err err = rd_admin_ask(admin, &question, error);
    if (err != WEIR_OK)
        return err;
    asked.listed = rd_kafka_ListConsumerGroupOffsets_new(id, NULL);
    question.op = RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS;
    question.ask = ask_offsets;
    question.read = read_offsets;
    err = rd_admin_ask(admin, &question, error);
    rd_kafka_ListConsumerGroupOffsets_destroy(asked.listed);
    if (err == WEIR_OK && into->group.member_count == 0 && into->offset_count == 0)
        err = group_error(admin, error, RD_KAFKA_RESP_ERR_GROUP_ID_NOT_FOUND, what);
    if (err != WEIR_OK)
        return err;
    merge(into);
    fill_log_offsets(admin, into, timeout_ms);
    into->group.offsets = into->offsets;
    into->group.offset_count = into->offset_count;
    return WEIR_OK;
}

enum weir_err kafka_group_describe(struct weir_kafka *kafka, const char *id, int32_t timeout_ms,
                                   struct kafka_group **out, struct weir_error *error)
{
    struct rd_client *admin;
    enum weir_err err = admin_of(kafka, &admin, error);
    if (err != WEIR_OK)
        return err;
    struct description *made = weir_calloc(1, sizeof(*made));
    if (made == NULL)
        return no_memory(error);
    made->group.impl = made;
    weir_arena_init(&made->arena, DESCRIPTION_BYTES_MAX);
    err = describe(admin, id, timeout_ms, made, error);
    if (err == WEIR_OK)
        *out = &made->group;
    else
        kafka_group_free(&made->group);
    return err;
}

void kafka_group_free(struct kafka_group *group)
{
    if (group == NULL)
        return;
    struct description *made = group->impl;
    weir_arena_release(&made->arena);
    weir_free(made);
}

/* ---- delete, commit -------------------------------------------------------------------------- */

static enum weir_err read_group_result(struct rd_client *admin,
                                       const rd_kafka_group_result_t **groups, size_t count,
                                       const char *what, struct weir_error *error)
{
    if (count != 1)
        return weir_error_set(error, WEIR_BROKER, -1, "%s: no answer", what);
    const rd_kafka_error_t *failed = rd_kafka_group_result_error(groups[0]);
    if (failed != NULL && rd_kafka_error_code(failed) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return group_error(admin, error, rd_kafka_error_code(failed), what);
    const rd_kafka_topic_partition_list_t *partitions = rd_kafka_group_result_partitions(groups[0]);
    for (int i = 0; partitions != NULL && i < partitions->cnt; i++)
        if (partitions->elems[i].err)
            return group_error(admin, error, partitions->elems[i].err, what);
    return WEIR_OK;
}

static void ask_delete(void *opaque, rd_kafka_t *rk, const rd_kafka_AdminOptions_t *options,
                       rd_kafka_queue_t *queue)
{
    struct group_question *asked = opaque;
    rd_kafka_DeleteGroups(rk, &asked->removed, 1, options, queue);
}

static enum weir_err read_deleted(void *opaque, struct rd_client *admin, rd_kafka_event_t *event,
                                  struct weir_error *error)
{
    const struct group_question *asked = opaque;
    size_t count;
    const rd_kafka_group_result_t **groups =
        rd_kafka_DeleteGroups_result_groups(rd_kafka_event_DeleteGroups_result(event), &count);
    return read_group_result(admin, groups, count, asked->what, error);
}

enum weir_err kafka_group_delete(struct weir_kafka *kafka, const char *id, int32_t timeout_ms,
                                 struct weir_error *error)
{
    char what[WHAT_BYTES];
    struct rd_client *admin;
    enum weir_err err = admin_of(kafka, &admin, error);
    if (err != WEIR_OK)
        return err;
    snprintf(what, sizeof(what), "deleting group %s", id);
    struct group_question asked = {.id = id, .what = what, .removed = rd_kafka_DeleteGroup_new(id)};
    const struct rd_question question = {.op = RD_KAFKA_ADMIN_OP_DELETEGROUPS,
                                         .timeout_ms = timeout_ms,
                                         .what = what,
                                         .ask = ask_delete,
                                         .read = read_deleted,
                                         .opaque = &asked};
    err = rd_admin_ask(admin, &question, error);
    rd_kafka_DeleteGroup_destroy(asked.removed);
    return err;
}

static void ask_commit(void *opaque, rd_kafka_t *rk, const rd_kafka_AdminOptions_t *options,
                       rd_kafka_queue_t *queue)
{
    struct group_question *asked = opaque;
    rd_kafka_AlterConsumerGroupOffsets(rk, &asked->altered, 1, options, queue);
}

static enum weir_err read_committed(void *opaque, struct rd_client *admin, rd_kafka_event_t *event,
                                    struct weir_error *error)
{
    const struct group_question *asked = opaque;
    size_t count;
    const rd_kafka_group_result_t **groups = rd_kafka_AlterConsumerGroupOffsets_result_groups(
        rd_kafka_event_AlterConsumerGroupOffsets_result(event), &count);
    return read_group_result(admin, groups, count, asked->what, error);
}

enum weir_err kafka_group_commit(struct weir_kafka *kafka, const char *id,
                                 const struct weir_kafka_partition *offsets, uint32_t count,
                                 int32_t timeout_ms, struct weir_error *error)
{
    char what[WHAT_BYTES];
    struct rd_client *admin;
    enum weir_err err = admin_of(kafka, &admin, error);
    if (err != WEIR_OK)
        return err;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)count);
    for (uint32_t i = 0; i < count; i++)
        rd_kafka_topic_partition_list_add(list, offsets[i].topic, offsets[i].partition)->offset =
            offsets[i].offset;
    snprintf(what, sizeof(what), "moving group %s", id);
    struct group_question asked = {
        .id = id, .what = what, .altered = rd_kafka_AlterConsumerGroupOffsets_new(id, list)};
    const struct rd_question question = {.op = RD_KAFKA_ADMIN_OP_ALTERCONSUMERGROUPOFFSETS,
                                         .timeout_ms = timeout_ms,
                                         .what = what,
                                         .ask = ask_commit,
                                         .read = read_committed,
                                         .opaque = &asked};
    err = rd_admin_ask(admin, &question, error);
    rd_kafka_AlterConsumerGroupOffsets_destroy(asked.altered);
    rd_kafka_topic_partition_list_destroy(list);
    return err;
}

/* ---- offsets by time ------------------------------------------------------------------------- */

enum weir_err kafka_offsets_at(struct weir_kafka *kafka, int64_t timestamp_ms,
                               struct weir_kafka_partition *partitions, uint32_t count,
                               int32_t timeout_ms, struct weir_error *error)
{
    struct rd_client *admin;
    enum weir_err err = admin_of(kafka, &admin, error);
    if (err != WEIR_OK)
        return err;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)count);
    for (uint32_t i = 0; i < count; i++)
        rd_kafka_topic_partition_list_add(list, partitions[i].topic, partitions[i].partition)
            ->offset = timestamp_ms;
    rd_kafka_topic_partition_list_t *ends = rd_kafka_topic_partition_list_copy(list);
    for (uint32_t i = 0; i < count; i++)
        ends->elems[i].offset = RD_KAFKA_OFFSET_END;
    rd_kafka_resp_err_t code = rd_kafka_offsets_for_times(admin->rk, list, timeout_ms);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        code = rd_kafka_offsets_for_times(admin->rk, ends, timeout_ms);
    for (uint32_t i = 0; i < count && code == RD_KAFKA_RESP_ERR_NO_ERROR; i++) {
        const rd_kafka_topic_partition_t *found = &list->elems[i], *end = &ends->elems[i];
        code = found->err ? found->err : end->err;
        partitions[i].offset = found->offset >= 0 ? found->offset : end->offset;
    }
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        err = rd_error(admin, error, code, "asking for offsets by time");
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_topic_partition_list_destroy(ends);
    return err;
}
