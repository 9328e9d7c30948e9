/* wire/api.c - the table of requests, see api.h. */
#include "wire/api.h"

const struct wire_api wire_apis[] = {
    /* key, name, advertised from, answered from .. to, flexible from */
    {WIRE_PRODUCE, "Produce", 0, 3, 11, 9},
    {WIRE_FETCH, "Fetch", 0, 4, 17, 12},
    {WIRE_LIST_OFFSETS, "ListOffsets", 1, 1, 8, 6},
    {WIRE_METADATA, "Metadata", 0, 0, 12, 9},
    {WIRE_OFFSET_COMMIT, "OffsetCommit", 1, 1, 9, 8},
    {WIRE_OFFSET_FETCH, "OffsetFetch", 1, 1, 9, 6},
    {WIRE_FIND_COORDINATOR, "FindCoordinator", 0, 0, 6, 3},
    {WIRE_JOIN_GROUP, "JoinGroup", 0, 0, 9, 6},
    {WIRE_HEARTBEAT, "Heartbeat", 0, 0, 4, 4},
    {WIRE_LEAVE_GROUP, "LeaveGroup", 0, 0, 5, 4},
    {WIRE_SYNC_GROUP, "SyncGroup", 0, 0, 5, 4},
    {WIRE_DESCRIBE_GROUPS, "DescribeGroups", 0, 0, 6, 5},
    {WIRE_LIST_GROUPS, "ListGroups", 0, 0, 5, 3},
    {WIRE_SASL_HANDSHAKE, "SaslHandshake", 0, 0, 1, 2},
    {WIRE_API_VERSIONS, "ApiVersions", 0, 0, 4, 3},
    {WIRE_CREATE_TOPICS, "CreateTopics", 0, 0, 7, 5},
    {WIRE_DELETE_TOPICS, "DeleteTopics", 0, 0, 6, 4},
    {WIRE_DELETE_RECORDS, "DeleteRecords", 0, 0, 2, 2},
    {WIRE_INIT_PRODUCER_ID, "InitProducerId", 0, 0, 5, 2},
    {WIRE_OFFSET_FOR_LEADER_EPOCH, "OffsetForLeaderEpoch", 2, 2, 4, 4},
    {WIRE_ADD_PARTITIONS_TO_TXN, "AddPartitionsToTxn", 0, 0, 3, 3},
    {WIRE_ADD_OFFSETS_TO_TXN, "AddOffsetsToTxn", 0, 0, 3, 3},
    {WIRE_END_TXN, "EndTxn", 0, 0, 3, 3},
    {WIRE_WRITE_TXN_MARKERS, "WriteTxnMarkers", 0, 0, 1, 1},
    {WIRE_TXN_OFFSET_COMMIT, "TxnOffsetCommit", 0, 0, 3, 3},
    {WIRE_DESCRIBE_CONFIGS, "DescribeConfigs", 0, 0, 4, 4},
    {WIRE_ALTER_CONFIGS, "AlterConfigs", 0, 0, 2, 2},
    {WIRE_DESCRIBE_LOG_DIRS, "DescribeLogDirs", 1, 1, 4, 2},
    {WIRE_SASL_AUTHENTICATE, "SaslAuthenticate", 0, 0, 2, 2},
    {WIRE_CREATE_PARTITIONS, "CreatePartitions", 0, 0, 3, 2},
    {WIRE_DELETE_GROUPS, "DeleteGroups", 0, 0, 2, 2},
    {WIRE_INCREMENTAL_ALTER_CONFIGS, "IncrementalAlterConfigs", 0, 0, 1, 1},
    {WIRE_OFFSET_DELETE, "OffsetDelete", 0, 0, 0, 1},
    {WIRE_DESCRIBE_CLUSTER, "DescribeCluster", 0, 0, 1, 0},
    {WIRE_DESCRIBE_PRODUCERS, "DescribeProducers", 0, 0, 0, 0},
    {WIRE_DESCRIBE_TRANSACTIONS, "DescribeTransactions", 0, 0, 0, 0},
    {WIRE_LIST_TRANSACTIONS, "ListTransactions", 0, 0, 1, 0},
};

const size_t wire_api_count = sizeof wire_apis / sizeof *wire_apis;

const struct wire_api *wire_api_find(int16_t key)
{
    for (size_t i = 0; i < wire_api_count; i++)
        if (wire_apis[i].key == key)
            return &wire_apis[i];
    return NULL;
}

bool wire_request_head(struct wire_reader *reader, struct wire_request_head *out)
{
    reader->flexible = false;
    out->key = wire_i16(reader);
    out->version = wire_i16(reader);
    out->correlation_id = wire_i32(reader);
    out->api = wire_api_find(out->key);
    out->supported = out->api && out->version >= out->api->min && out->version <= out->api->max;
    out->client_id = wire_string_plain(reader);
    if (!out->supported)
        return !reader->failed;
    reader->flexible = out->version >= out->api->flexible_from;
    wire_tags(reader);
    return !reader->failed;
}

void wire_response_head(struct wire_writer *writer, const struct wire_request_head *head)
{
    wire_put_i32(writer, head->correlation_id);
    writer->flexible = head->supported && head->version >= head->api->flexible_from;
    if (head->key != WIRE_API_VERSIONS)
        wire_put_tags(writer);
}
