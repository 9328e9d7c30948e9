#!/usr/bin/env bash
# Kafka's own clients and console tools, unchanged, against our broker and against Apache Kafka: the
# same scenario, and what they say of either is compared line by line. Three things are left out, see
# `normalised`: nothing else may differ.
. "$(dirname "$0")/_java.sh"

fetch 3.9.1 4.1.0
start_both
compile 3.9.1

for version in 3.9.1 4.1.0; do
    both "client-$version" "$version" Scenario
done

# The console tools, of the newer version. Figures of speed and ids differ from run to run.
printf '{"version":1,"partitions":[{"topic":"tools","partition":0,"offset":5}]}\n' >"$work/delete.json"
tools() { # tools ADDRESS OUT LOG
    sed "s|@A|$1|g; s|@W|$work|g; s|@L|$3|g; s| *; *|\t|g" >"$2.list" <<'TOOLS'
create; org.apache.kafka.tools.TopicCommand; --bootstrap-server; @A; --create; --topic; tools; --partitions; 2; --replication-factor; 1; --config; segment.bytes=1048576
create again; org.apache.kafka.tools.TopicCommand; --bootstrap-server; @A; --create; --topic; tools
grow; org.apache.kafka.tools.TopicCommand; --bootstrap-server; @A; --alter; --topic; tools; --partitions; 3
perf; org.apache.kafka.tools.ProducerPerformance; --topic; tools; --num-records; 3000; --record-size; 100; --throughput; -1; --producer-props; bootstrap.servers=@A; linger.ms=5
describe; org.apache.kafka.tools.TopicCommand; --bootstrap-server; @A; --describe; --topic; tools
list; org.apache.kafka.tools.TopicCommand; --bootstrap-server; @A; --list; --exclude-internal
config; kafka.admin.ConfigCommand; --bootstrap-server; @A; --describe; --entity-type; topics; --entity-name; tools
change; kafka.admin.ConfigCommand; --bootstrap-server; @A; --alter; --entity-type; topics; --entity-name; tools; --add-config; max.message.bytes=2000000,cleanup.policy=[compact,delete]
broker is not changed; kafka.admin.ConfigCommand; --bootstrap-server; @A; --alter; --entity-type; brokers; --entity-name; 1; --add-config; node.id=2
perf; org.apache.kafka.tools.ConsumerPerformance; --bootstrap-server; @A; --topic; tools; --messages; 3000; --group; perf
changed; kafka.admin.ConfigCommand; --bootstrap-server; @A; --describe; --entity-type; topics; --entity-name; tools
offsets; org.apache.kafka.tools.GetOffsetShell; --bootstrap-server; @A; --topic; tools; --time; earliest
groups; org.apache.kafka.tools.consumer.group.ConsumerGroupCommand; --bootstrap-server; @A; --list; --state
state; org.apache.kafka.tools.consumer.group.ConsumerGroupCommand; --bootstrap-server; @A; --describe; --group; perf; --state
members; org.apache.kafka.tools.consumer.group.ConsumerGroupCommand; --bootstrap-server; @A; --describe; --group; perf; --members
reset; org.apache.kafka.tools.consumer.group.ConsumerGroupCommand; --bootstrap-server; @A; --reset-offsets; --group; perf; --topic; tools; --to-earliest; --execute
forget; org.apache.kafka.tools.consumer.group.ConsumerGroupCommand; --bootstrap-server; @A; --delete-offsets; --group; perf; --topic; tools:1
delete group; org.apache.kafka.tools.consumer.group.ConsumerGroupCommand; --bootstrap-server; @A; --delete; --group; perf
delete records; org.apache.kafka.tools.DeleteRecordsCommand; --bootstrap-server; @A; --offset-json-file; @W/delete.json
earliest; org.apache.kafka.tools.GetOffsetShell; --bootstrap-server; @A; --topic-partitions; tools:0; --time; earliest
delete; org.apache.kafka.tools.TopicCommand; --bootstrap-server; @A; --delete; --topic; tools
dump; kafka.tools.DumpLogSegments; --files; @L/r-zstd-0/00000000000000000000.log; --print-data-log
long; org.apache.kafka.tools.TopicCommand; --bootstrap-server; @A; --create; --topic; long; --config; segment.bytes=1048576
perf; org.apache.kafka.tools.ProducerPerformance; --topic; long; --num-records; 20000; --record-size; 100; --throughput; -1; --producer-props; bootstrap.servers=@A
dump; kafka.tools.DumpLogSegments; --files; @L/long-0/00000000000000000000.index; --index-sanity-check
dump; kafka.tools.DumpLogSegments; --files; @L/long-0/00000000000000000000.index; --verify-index-only
dump; kafka.tools.DumpLogSegments; --files; @L/long-0/00000000000000000000.timeindex; --verify-index-only
TOOLS
    run "$2.raw" "${jars[4.1.0]}/*" Tools "$2.list" || return
    normalised "$2.raw" | sed "s|$1|ADDRESS|g; s|$3|LOGS|g" >"$2"
}

# Lines of each tool, sorted, for some come in the order of a hash map; without what no two runs have
# in common (speed, ids, stacks, how records were batched), and without what of Apache Kafka 4.1
#   - comes of its feature eligible.leader.replicas, which a single node has no use for: the columns
#     Elr and LastKnownElr, and min.insync.replicas, which it sets on every topic;
#   - is the wording of an error: its class is compared.
normalised() {
    awk '/^== / { title = $0; number++ }
        title == "== perf" && !/^==|^->/ { gsub(/[0-9.]+/, "N"); gsub(/N[0-9:N, -]*N/, "N") }
        title == "== dump" && !/^==|^->|offset: |passed|ismatch/ || /baseOffset/ { next }
        /^[ \t]+at |^null$|Tools.Ended|^[ \t]*$/ { next }
        { gsub(/TopicId: [^ \t]+/, "TopicId: ID")
          gsub(/[ \t]*(LastKnown)?Elr: *[^ \t]*/, "")
          gsub(/min.insync.replicas=1,?/, "")
          gsub(/Exception: .*/, "Exception")
          gsub(/[ \t]+/, " ")
          sub(/ $/, "")
          printf "%02d %s\n", number, $0 }' "$1" | sort
}

tools "$kafka" "$work/tools.kafka" "$work/kafka/data" &
other=$!
tools "$broker_address" "$work/tools.ours" "$work/broker" || fail 'the tools'
wait $other || fail 'the tools with Apache Kafka'
[ "$(grep -c ' -> ' "$work/tools.ours")" -eq 27 ] || fail 'a tool has not run'
compare tools
stop_both
