/*
 * broker/group.h - consumer groups: members, generations, committed offsets.
 *
 * States, with Kafka's names, by what they wait for:
 *      Empty                 members (offsets may be there)
 *      PreparingRebalance    every member to join again, or the rebalance time-out
 *      CompletingRebalance   the leader's assignment
 *      Stable                nothing; heartbeats keep the members
 *      Dead                  nothing: it is being removed
 *
 * Life:    a group is made by the first request that names it and removed by DeleteGroups, or when
 *          it has neither members nor offsets any more.
 * Threads: the loop's.
 * Memory:  MEMBERS_MAX members, protocols and assignments as the clients send them, within the size
 *          of a request.
 * Errors:  enum wire_error, for the answer.
 *
 * Source: KIP-62, KIP-134, KIP-345, KIP-394; the behaviour of Apache Kafka's GroupCoordinator.
 */
#ifndef BROKER_GROUP_H
#define BROKER_GROUP_H

#include "broker/inside.h"

enum group_state { GROUP_EMPTY, GROUP_PREPARING, GROUP_COMPLETING, GROUP_STABLE, GROUP_DEAD };

struct protocol {
    char *name;
    void *metadata;
    size_t metadata_bytes;
};

struct member {
    struct group *group;
    struct member *next;
    char *id, *instance_id; /* instance_id NULL = dynamic */
    char *client_id, *client_host;
    int32_t session_timeout_ms, rebalance_timeout_ms;
    struct protocol *protocols;
    uint32_t protocol_count;
    void *assignment;
    size_t assignment_bytes;
    struct connection *waiting; /* its parked JoinGroup or SyncGroup */
    bool joined;                /* in this rebalance */
    struct weir_loop_timer session;
};

struct group {
    struct weir_broker *broker;
    char *id;
    enum group_state state;
    int32_t generation;
    char *protocol_type, *protocol; /* NULL = none yet */
    struct member *members, *leader;
    uint32_t member_count;
    struct weir_map pending; /* ids given out with MEMBER_ID_REQUIRED -> struct pending * */
    struct weir_map offsets; /* "<topic>\0<partition>" -> struct committed * */
    struct weir_loop_timer rebalance;
    bool initial_delay;     /* the rebalance timer waits for more members, not for joins */
    bool members_came;      /* since that timer was started */
    int64_t delay_left_ms;  /* by which the initial delay may still be prolonged */
    int64_t empty_since_ms; /* wall clock; when its last member went, or it was made */
};

const char *broker_group_state_name(enum group_state state);
struct member *broker_group_member(const struct group *group, struct weir_slice id);
struct member *broker_group_instance(const struct group *group, struct weir_slice instance_id);
struct member *broker_member_new(struct group *group, const char *id, struct weir_slice instance_id,
                                 struct connection *connection);
/* Takes it out of its group and frees it; a parked request of it is told so. */
void broker_member_remove(struct member *member);
/* Keeps an id for a client that was told to come back with it, as long as its session would last.
 * False: too many of them, or no memory. */
bool broker_pending_add(struct group *group, const char *id, int32_t timeout_ms);
/* Takes it back. False: it is none of them. */
bool broker_pending_take(struct group *group, struct weir_slice id);
void broker_member_touch(struct member *member); /* its session begins anew */
/* Is it a name that a group may have? */
bool broker_group_id_valid(struct weir_slice id);
/* The member that a request speaks for, or NULL and why not. generation -2 = not looked at. */
struct member *broker_group_speaker(struct group *group, struct weir_slice member_id,
                                    struct weir_slice instance_id, int32_t generation,
                                    enum wire_error *error);
/* Are its members consumers, whose subscriptions we can read? */
bool broker_group_is_of_consumers(const struct group *group);
/* Does a member subscribe to the topic, as far as its metadata can be read? */
bool broker_group_subscribes(const struct group *group, struct weir_slice topic);
/* Does every member know this protocol? */
bool broker_group_all_support(const struct group *group, const struct protocol *protocol);
const struct protocol *broker_member_protocol(const struct member *member, const char *name);

/* ---- group_rebalance.c ----------------------------------------------------------------------- */

/* Everybody must join again; Empty, CompletingRebalance and Stable become PreparingRebalance. */
void broker_group_prepare(struct group *group);
/* Ends the joining if all members have joined. */
void broker_group_maybe_complete(struct group *group);
/* After a member left or its session ended. */
void broker_group_member_left(struct group *group);
/* Answers the parked JoinGroup or SyncGroup of a member, if there is one. */
void broker_answer_waiting(struct member *member, enum wire_error error);
/* Would the members as they are now elect the protocol that the group has? */
bool broker_group_keeps_protocol(const struct group *group);
/* The initial delay is over: begins it anew while members keep coming. False: it has ended. */
bool broker_group_prolong_delay(struct group *group);
/* What an answer to JoinGroup may have beside the group's own. */
struct join_answer {
    bool skip_assignment;
    const char *leader_id; /* NULL: the leader's, who gets the members to assign to */
};
/* The same into the request in hand; answer may be NULL. */
void broker_put_join(struct wire_writer *writer, int16_t version, const struct member *member,
                     enum wire_error error, const struct join_answer *answer);
void broker_put_sync(struct wire_writer *writer, int16_t version, const struct member *member,
                     enum wire_error error);
/* Takes the leader's assignments: pairs of member id and bytes, missing ones are empty. */
void broker_group_stabilise(struct group *group);

#endif
