#!/usr/bin/env bash
# Kafka Streams as the peer: the same topologies, built by its DSL in Java and by ours in C, describe
# themselves with the same text; and the same input gives the same records, byte by byte, in output,
# repartition and changelog topics. The Java side runs on Apache Kafka, ours on our broker.
# shellcheck source=tests/integration/_java.sh
. "$(dirname "$0")/_java.sh"

fetch 4.1.0
streams=$("$source_dir/scripts/fetch-kafka" --streams) || exit $?
class_path="${jars[4.1.0]}/*:$streams/*"
javac -nowarn -Xlint:none -d "$work/classes" -cp "$class_path" \
    "$source_dir/tests/integration/java/streams/Peer.java" || fail 'Peer does not compile'
peer=$(dirname "$weir")/tests/streams_peer
RECORDS=300

run "$work/describe.kafka" "$class_path" Peer describe
"$peer" describe >"$work/describe.ours" 2>"$work/describe.err" || fail 'describe'
diff "$work/describe.kafka" "$work/describe.ours" ||
    fail 'describe: the lines of Kafka Streams are marked <, ours >'
printf 'describe: %d lines, the same of both\n' "$(wc -l <"$work/describe.ours")"

# side NAME ADDRESS: feeds one broker; the input is the same on both.
base_ms=$(($(date +%s) - 600))000
side() {
    run "$work/feed.$1" "$class_path" Peer feed "$2" "$base_ms" $RECORDS
}

# Topics whose format is Kafka Streams' own business are left out: what suppress and outer joins hold
# back. Kafka Streams empties its repartition topics behind itself.
topics() {
    "$weir" topics list --brokers "$1" >"$work/topics"
    awk 'NR > 1 { print $1 }' "$work/topics" |
        grep -Ev 'SUPPRESS|OUTERSHARED|-repartition$|-tasks-|^__' | sort
}

# both_run NAME...: these topologies, on either side.
both_run() {
    local other
    run "$work/run.kafka" "$class_path" Peer run "$kafka" "$work/state.kafka" "$@" &
    other=$!
    "$peer" run "$broker_address" "$work/state.ours" "$@" >"$work/run.ours" 2>"$work/ours.err" ||
        fail 'our side'
    wait $other || fail 'Kafka Streams'
}

# both_dump WHAT TOPIC...
both_dump() {
    run "$work/$1.kafka" "$class_path" Peer dump "$kafka" "${@:2}"
    run "$work/$1.ours" "$class_path" Peer dump "$broker_address" "${@:2}"
}

start_both
side kafka "$kafka"
side ours "$broker_address"
# All but the one whose result hangs on which of two topics comes first.
mapfile -t names < <(sed -n 's/^== //p' "$work/describe.ours" | grep -vx repartitioned)
both_run "${names[@]}"
topics "$kafka" >"$work/topics.kafka"
topics "$broker_address" >"$work/topics.ours"
compare topics
# What has found nothing in a left or outer join is told of as soon as its window has closed, and by
# Kafka Streams when it looks again: the same records, at another place.
mapfile -t topics < <(grep -Evx '(left|outer)-out' "$work/topics.ours")
both_dump records "${topics[@]}"
compare records
both_dump unsorted left-out outer-out
for of in kafka ours; do
    sort "$work/unsorted.$of" >"$work/joins.$of"
done
compare joins
stop_both
