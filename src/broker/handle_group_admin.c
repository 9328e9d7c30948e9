/* broker/handle_group_admin.c - ListGroups, DescribeGroups, DeleteGroups. */
#include <string.h>
#include <strings.h>

#include "broker/group.h"

/* There is but one type of group here (KIP-848 has others). */
static const char group_type[] = "classic";
enum { GROUP_OPERATIONS = 0x148 }; /* READ, DELETE, DESCRIBE: nobody is without permission */

/* A list of names of a request; none at all means every name. */
struct filter {
    struct wire_reader names;
    int32_t count;
};

static struct filter read_filter(struct wire_reader *in)
{
    struct filter filter = {.count = wire_array(in, 1)};
    filter.names = *in;
    for (int32_t i = 0; i < filter.count && !in->failed; i++)
        wire_string(in);
    return filter;
}

static bool is_wanted(const struct filter *filter, const char *name)
{
    struct wire_reader names = filter->names;
    size_t bytes = strlen(name);
    for (int32_t i = 0; i < filter->count; i++) {
        struct weir_slice wanted = wire_string(&names);
        if (wanted.bytes == bytes && strncasecmp(wanted.data, name, bytes) == 0)
            return true;
    }
    return filter->count <= 0;
}

/* Those that a ListGroups request wants to hear of. */
struct listing {
    struct filter states, types;
};

static bool is_listed(const struct listing *listing, const struct group *group)
{
    return is_wanted(&listing->types, group_type) &&
           is_wanted(&listing->states, broker_group_state_name(group->state));
}

enum handled broker_handle_list_groups(struct request *request)
{
    int16_t version = request->head.version;
    struct wire_reader *in = &request->in;
    struct wire_writer *out = &request->out;
    struct listing listing = {.states.count = 0};
    int32_t count = 0;
    if (version >= 4)
        listing.states = read_filter(in);
    if (version >= 5)
        listing.types = read_filter(in);
    wire_tags(in);
    if (in->failed)
        return HANDLED_CLOSE;
    for (struct weir_map_entry *e = NULL; (e = weir_map_next(&request->broker->groups, e));)
        count += is_listed(&listing, e->value.pointer);
    if (version >= 1)
        wire_put_i32(out, 0);
    wire_put_i16(out, WIRE_NONE);
    wire_put_array(out, count);
    for (struct weir_map_entry *e = NULL; (e = weir_map_next(&request->broker->groups, e));) {
        const struct group *group = e->value.pointer;
        if (!is_listed(&listing, group))
            continue;
        wire_put_text(out, group->id);
        wire_put_text(out, group->protocol_type ? group->protocol_type : "");
        if (version >= 4)
            wire_put_text(out, broker_group_state_name(group->state));
        if (version >= 5)
            wire_put_text(out, group_type);
        wire_put_tags(out);
    }
    wire_put_tags(out);
    return HANDLED_ANSWER;
}

static void put_described_member(struct wire_writer *out, int16_t version,
                                 const struct member *member)
{
    const struct group *group = member->group;
    const struct protocol *protocol = group->protocol && group->state == GROUP_STABLE
                                          ? broker_member_protocol(member, group->protocol)
                                          : NULL;
    wire_put_text(out, member->id);
    if (version >= 4)
        wire_put_text(out, member->instance_id);
    wire_put_text(out, member->client_id);
    wire_put_text(out, member->client_host);
    wire_put_bytes(out, protocol ? weir_slice(protocol->metadata, protocol->metadata_bytes)
                                 : weir_slice("", 0));
    wire_put_bytes(out, protocol && member->assignment
                            ? weir_slice(member->assignment, member->assignment_bytes)
                            : weir_slice("", 0));
    wire_put_tags(out);
}

static void put_described(struct wire_writer *out, int16_t version, struct weir_slice id,
                          const struct group *group, bool operations)
{
    /* Before version 6 a group that is not there is a dead one. */
    wire_put_i16(out, group || version < 6 ? WIRE_NONE : WIRE_GROUP_ID_NOT_FOUND);
    if (version >= 6)
        wire_put_text(out, group ? NULL : "there is no such group");
    wire_put_string(out, id);
    wire_put_text(out, group ? broker_group_state_name(group->state) : "Dead");
    wire_put_text(out, group && group->protocol_type ? group->protocol_type : "");
    wire_put_text(out,
                  group && group->protocol && group->state == GROUP_STABLE ? group->protocol : "");
    wire_put_array(out, group ? (int32_t)group->member_count : 0);
    for (const struct member *at = group ? group->members : NULL; at; at = at->next)
        put_described_member(out, version, at);
    if (version >= 3)
        wire_put_i32(out, operations ? GROUP_OPERATIONS : INT32_MIN);
    wire_put_tags(out);
}

enum handled broker_handle_describe_groups(struct request *request)
{
    int16_t version = request->head.version;
    struct wire_reader *in = &request->in;
    struct wire_writer *out = &request->out;
    struct filter ids = read_filter(in);
    bool operations = version >= 3 && wire_bool(in);
    wire_tags(in);
    if (in->failed)
        return HANDLED_CLOSE;
    if (version >= 1)
        wire_put_i32(out, 0);
    wire_put_array(out, ids.count > 0 ? ids.count : 0);
    for (int32_t i = 0; i < ids.count; i++) {
        struct weir_slice id = wire_string(&ids.names);
        put_described(out, version, id, broker_group_find(request->broker, id), operations);
    }
    wire_put_tags(out);
    return HANDLED_ANSWER;
}

static enum wire_error delete_group(struct weir_broker *broker, struct weir_slice id)
{
    struct group *group = broker_group_find(broker, id);
    if (!group)
        return WIRE_GROUP_ID_NOT_FOUND;
    if (group->members)
        return WIRE_NON_EMPTY_GROUP;
    if (broker_journal_forget_group(broker, id, NULL) != WEIR_OK)
        return WIRE_UNKNOWN_SERVER_ERROR;
    broker_group_forget(broker, id);
    return WIRE_NONE;
}

enum handled broker_handle_delete_groups(struct request *request)
{
    struct wire_reader *in = &request->in;
    struct wire_writer *out = &request->out;
    int32_t count = wire_array(in, 1);
    wire_put_i32(out, 0);
    wire_put_array(out, count > 0 ? count : 0);
    for (int32_t i = 0; i < count && !in->failed; i++) {
        struct weir_slice id = wire_string(in);
        wire_put_string(out, id);
        wire_put_i16(out, (int16_t)delete_group(request->broker, id));
        wire_put_tags(out);
    }
    wire_tags(in);
    wire_put_tags(out);
    return HANDLED_ANSWER;
}
