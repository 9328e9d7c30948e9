/*
 * wire/api.h - which requests there are, in which versions, and the errors that answers carry.
 *
 * One table. What is advertised is true, but for one thing: Produce and Fetch are advertised from
 * version 0, though below 3 and 4 they are refused like any unknown version, because librdkafka up
 * to 2.2 takes it as "this broker has no message format 2" when they are missing (KAFKA-18659).
 *
 * Sources: kafka.apache.org/protocol, "The Messages" and "Error Codes".
 */
#ifndef WIRE_API_H
#define WIRE_API_H

#include "wire/field.h"

enum wire_api_key {
    WIRE_PRODUCE = 0,
    WIRE_FETCH = 1,
    WIRE_LIST_OFFSETS = 2,
    WIRE_METADATA = 3,
    WIRE_OFFSET_COMMIT = 8,
    WIRE_OFFSET_FETCH = 9,
    WIRE_FIND_COORDINATOR = 10,
    WIRE_JOIN_GROUP = 11,
    WIRE_HEARTBEAT = 12,
    WIRE_LEAVE_GROUP = 13,
    WIRE_SYNC_GROUP = 14,
    WIRE_DESCRIBE_GROUPS = 15,
    WIRE_LIST_GROUPS = 16,
    WIRE_SASL_HANDSHAKE = 17,
    WIRE_API_VERSIONS = 18,
    WIRE_CREATE_TOPICS = 19,
    WIRE_DELETE_TOPICS = 20,
    WIRE_DELETE_RECORDS = 21,
    WIRE_INIT_PRODUCER_ID = 22,
    WIRE_OFFSET_FOR_LEADER_EPOCH = 23,
    WIRE_ADD_PARTITIONS_TO_TXN = 24,
    WIRE_ADD_OFFSETS_TO_TXN = 25,
    WIRE_END_TXN = 26,
    WIRE_WRITE_TXN_MARKERS = 27,
    WIRE_TXN_OFFSET_COMMIT = 28,
    WIRE_DESCRIBE_CONFIGS = 32,
    WIRE_ALTER_CONFIGS = 33,
    WIRE_DESCRIBE_LOG_DIRS = 35,
    WIRE_SASL_AUTHENTICATE = 36,
    WIRE_CREATE_PARTITIONS = 37,
    WIRE_DELETE_GROUPS = 42,
    WIRE_INCREMENTAL_ALTER_CONFIGS = 44,
    WIRE_OFFSET_DELETE = 47,
    WIRE_DESCRIBE_CLUSTER = 60,
    WIRE_DESCRIBE_PRODUCERS = 61,
    WIRE_DESCRIBE_TRANSACTIONS = 65,
    WIRE_LIST_TRANSACTIONS = 66,
};

enum wire_error {
    WIRE_NONE = 0,
    WIRE_UNKNOWN_SERVER_ERROR = -1,
    WIRE_OFFSET_OUT_OF_RANGE = 1,
    WIRE_CORRUPT_MESSAGE = 2,
    WIRE_UNKNOWN_TOPIC_OR_PARTITION = 3,
    WIRE_MESSAGE_TOO_LARGE = 10,
    WIRE_OFFSET_METADATA_TOO_LARGE = 12,
    WIRE_COORDINATOR_NOT_AVAILABLE = 15,
    WIRE_INVALID_TOPIC = 17,
    WIRE_INVALID_REQUIRED_ACKS = 21,
    WIRE_ILLEGAL_GENERATION = 22,
    WIRE_INCONSISTENT_GROUP_PROTOCOL = 23,
    WIRE_INVALID_GROUP_ID = 24,
    WIRE_UNKNOWN_MEMBER_ID = 25,
    WIRE_INVALID_SESSION_TIMEOUT = 26,
    WIRE_REBALANCE_IN_PROGRESS = 27,
    WIRE_UNSUPPORTED_SASL_MECHANISM = 33,
    WIRE_ILLEGAL_SASL_STATE = 34,
    WIRE_UNSUPPORTED_VERSION = 35,
    WIRE_TOPIC_ALREADY_EXISTS = 36,
    WIRE_INVALID_PARTITIONS = 37,
    WIRE_INVALID_REPLICATION_FACTOR = 38,
    WIRE_INVALID_CONFIG = 40,
    WIRE_INVALID_REQUEST = 42,
    WIRE_POLICY_VIOLATION = 44,
    WIRE_OUT_OF_ORDER_SEQUENCE = 45,
    WIRE_DUPLICATE_SEQUENCE = 46,
    WIRE_INVALID_PRODUCER_EPOCH = 47,
    WIRE_INVALID_TXN_STATE = 48,
    WIRE_INVALID_PRODUCER_ID_MAPPING = 49,
    WIRE_INVALID_TRANSACTION_TIMEOUT = 50,
    WIRE_CONCURRENT_TRANSACTIONS = 51,
    WIRE_TRANSACTION_COORDINATOR_FENCED = 52,
    WIRE_TRANSACTIONAL_ID_AUTHORIZATION_FAILED = 53,
    WIRE_OPERATION_NOT_ATTEMPTED = 55,
    WIRE_STORAGE_ERROR = 56,
    WIRE_SASL_AUTHENTICATION_FAILED = 58,
    WIRE_UNKNOWN_PRODUCER_ID = 59,
    WIRE_NON_EMPTY_GROUP = 68,
    WIRE_GROUP_ID_NOT_FOUND = 69,
    WIRE_FENCED_LEADER_EPOCH = 74,
    WIRE_UNKNOWN_LEADER_EPOCH = 75,
    WIRE_MEMBER_ID_REQUIRED = 79,
    WIRE_GROUP_MAX_SIZE_REACHED = 81,
    WIRE_FENCED_INSTANCE_ID = 82,
    WIRE_GROUP_SUBSCRIBED_TO_TOPIC = 86,
    WIRE_INVALID_RECORD = 87,
    WIRE_UNSTABLE_OFFSET_COMMIT = 88,
    WIRE_PRODUCER_FENCED = 90,
    WIRE_UNKNOWN_TOPIC_ID = 100,
    WIRE_TRANSACTIONAL_ID_NOT_FOUND = 105,
    WIRE_MISMATCHED_ENDPOINT_TYPE = 114,
};

struct wire_api {
    int16_t key;
    const char *name;
    int16_t advertised_min, min, max; /* versions; min is the lowest that is really answered */
    int16_t flexible_from;            /* compact forms from this version on */
};

/* The table, ordered by key. */
extern const struct wire_api wire_apis[];
extern const size_t wire_api_count;
/* NULL: a request that is not known here. */
const struct wire_api *wire_api_find(int16_t key);

/* The head of a request, behind its size. */
struct wire_request_head {
    int16_t key, version;
    int32_t correlation_id;
    struct weir_slice client_id;
    const struct wire_api *api; /* NULL: unknown */
    bool supported;             /* api is known and version within min .. max */
};

/* Reads the head and leaves the reader at the body, flexible as the version has it. False: too
 * short or malformed. */
bool wire_request_head(struct wire_reader *reader, struct wire_request_head *out);
/* Writes the head of an answer; the writer is flexible as the version has it. ApiVersions always
 * has the plain head (KIP-511). */
void wire_response_head(struct wire_writer *writer, const struct wire_request_head *head);

#endif
