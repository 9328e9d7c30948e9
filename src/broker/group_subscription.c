/*
 * broker/group_subscription.c - what the members of a group of consumers subscribe to.
 *
 * Metadata of members are opaque to the broker but for this: whether an offset is in use depends on
 * it. They begin with version i16 and the topics, an array of strings; what follows is not read.
 *
 * Source: ConsumerProtocolSubscription, in Kafka's message definitions.
 */
#include <string.h>

#include "broker/group.h"

bool broker_group_is_of_consumers(const struct group *group)
{
    return group->protocol_type && strcmp(group->protocol_type, "consumer") == 0;
}

static bool names_topic(const struct protocol *protocol, struct weir_slice topic)
{
    struct wire_reader in =
        wire_reader(weir_slice(protocol->metadata, protocol->metadata_bytes), false);
    wire_i16(&in); /* version: the topics stand first in all of them */
    int32_t count = wire_array(&in, 2);
    for (int32_t i = 0; i < count && !in.failed; i++)
        if (weir_slice_equal(wire_string(&in), topic))
            return true;
    return in.failed; /* what can't be read may be in use */
}

bool broker_group_subscribes(const struct group *group, struct weir_slice topic)
{
    for (const struct member *at = group->members; at; at = at->next) {
        const struct protocol *protocol =
            group->protocol ? broker_member_protocol(at, group->protocol) : NULL;
        if (!protocol && at->protocol_count)
            protocol = &at->protocols[0];
        if (protocol && names_topic(protocol, topic))
            return true;
    }
    return false;
}
