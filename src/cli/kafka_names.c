/* cli/kafka_names.c - settings of Apache Kafka that are not ours, see kafka_names.h. */
#include "cli/kafka_names.h"

#include <stddef.h>
#include <string.h>

#define ONE_NODE "this broker is a single node"
#define ONE_THREAD "this broker does its work on one thread"
#define NO_PERMISSIONS "there are no permissions here: who is in may do everything"
#define PER_TOPIC "set it on a topic: weir topics alter TOPIC --set "

/* The first row that fits counts. */
static const struct kafka_name names[] = {
    /* security: nothing of it is passed over */
    {"authorizer.class.name", true, NO_PERMISSIONS},
    {"super.users", true, NO_PERMISSIONS},
    {"allow.everyone.if.no.acl.found", true, NO_PERMISSIONS},
    {"principal.builder.class", true, NO_PERMISSIONS},
    {"ssl.principal.mapping.rules", true, NO_PERMISSIONS},
    {"listener.name.*", true, "give the setting without its listener: it counts for all of them"},
    {"listener.security.protocol.map", true,
     "listeners are named by their protocol: SASL_SSL://host:port"},
    {"sasl.jaas.config", true, "users come from weir users add NAME"},
    {"ssl.keystore.password", true, "a PEM file has none; the key's own is ssl.key.password"},
    {"ssl.truststore.password", true, "a PEM file has none"},
    {"ssl.keystore.*", true, "ssl.keystore.location names a PEM file with certificate and key"},
    {"ssl.truststore.certificates", true, "ssl.truststore.location names a PEM file"},
    {"ssl.enabled.protocols", true, "TLS 1.2 and 1.3 are spoken"},
    {"ssl.cipher.suites", true, "OpenSSL's own choice is taken"},
    {"connections.max.reauth.ms", true, "sessions don't end here"},
    {"max.connections.per.ip", true, "max.connections counts all of them"},
    {"max.connections.per.ip.overrides", true, "max.connections counts all of them"},
    /* what is kept */
    {"log.cleanup.policy", true, PER_TOPIC "cleanup.policy=..."},
    {"log.message.timestamp.*", true, PER_TOPIC "message.timestamp.type=..."},
    {"log.roll.*", true, PER_TOPIC "segment.ms=..."},
    {"log.dir", true, "it is log.dirs here"},
    {"compression.type", true, "batches are kept as they come"},
    {"min.insync.replicas", true, ONE_NODE ": there is one copy of each partition"},
    {"quota.*", true, "there are no quotas here"},
    /* what a single node has no use for */
    {"broker.id", false, ONE_NODE},
    {"broker.id.generation.enable", false, ONE_NODE},
    {"broker.rack", false, ONE_NODE},
    {"node.id", false, ONE_NODE},
    {"process.roles", false, ONE_NODE},
    {"controller.*", false, ONE_NODE},
    {"zookeeper.*", false, ONE_NODE},
    {"metadata.log.*", false, ONE_NODE},
    {"inter.broker.*", false, ONE_NODE},
    {"security.inter.broker.protocol", false, ONE_NODE},
    {"sasl.mechanism.inter.broker.protocol", false, ONE_NODE},
    {"sasl.mechanism.controller.protocol", false, ONE_NODE},
    {"default.replication.factor", false, ONE_NODE},
    {"offsets.topic.*", false, ONE_NODE},
    {"transaction.state.log.*", false, ONE_NODE},
    {"share.coordinator.state.*", false, ONE_NODE},
    {"replica.*", false, ONE_NODE},
    {"num.replica.*", false, ONE_NODE},
    {"leader.imbalance.*", false, ONE_NODE},
    {"auto.leader.rebalance.enable", false, ONE_NODE},
    {"unclean.leader.election.enable", false, ONE_NODE},
    {"delete.topic.enable", false, "topics can be deleted"},
    {"num.network.threads", false, ONE_THREAD},
    {"num.io.threads", false, ONE_THREAD},
    {"num.recovery.threads.per.data.dir", false, ONE_THREAD},
    {"background.threads", false, ONE_THREAD},
    {"queued.max.requests", false, ONE_THREAD},
    {"socket.send.buffer.bytes", false, "the system's own size is taken"},
    {"socket.receive.buffer.bytes", false, "the system's own size is taken"},
    {"log.retention.check.interval.ms", false, "retention is looked at every few seconds"},
    {"log.cleaner.threads", false, "one log is compacted at a time"},
    {"log.cleaner.io.*", false, "compaction runs at a low priority, without a limit of its own"},
    {"log.flush.*", false, "flush says when records are forced to the disk"},
    {"confluent.*", false, "it is not of Apache Kafka"},
};

const struct kafka_name *kafka_name_find(const char *name)
{
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t bytes = strlen(names[i].name);
        bool whole = names[i].name[bytes - 1] != '*';
        if (whole ? strcmp(name, names[i].name) == 0 : strncmp(name, names[i].name, bytes - 1) == 0)
            return &names[i];
    }
    return NULL;
}
