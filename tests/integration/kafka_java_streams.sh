#!/usr/bin/env bash
# A Kafka Streams application with exactly_once_v2 that is killed while its input comes, on our broker
# and on Apache Kafka at a time: windowed counts, their changelog, the topics it has made. It takes
# three quarters of a minute: whoever follows one that was killed waits for its session to end (6 s).
. "$(dirname "$0")/_streams.sh"
RECORDS=20000 RATE=800 KILLS=2

# life NAME ADDRESS: the application on one broker. It is killed a little after it has begun to work,
# and another one must have everything right in the end. No exception may get to it.
life() {
    local feeding round
    run "$work/$1.make" "$class_path" Counts make "$2" || return
    run "$work/$1.feed" "$class_path" Counts feed "$2" 0 $RECORDS $RATE &
    feeding=$!
    for ((round = 1; round <= KILLS; round++)); do
        application "$1" "$2"
        wait_for 60 grep -q '^state: RUNNING' "$work/$1.run"
        pause "2.$((RANDOM % 1000))"
        ! grep '^failed' "$work/$1.run" || return
        destroy "$1"
    done
    wait $feeding || return
    ended "$1" "$2" $RECORDS
}

start_both
life of_kafka "$kafka" &
other=$!
life of_ours "$broker_address" || fail 'on our broker'
wait $other || fail 'on Apache Kafka'
is_exact of_ours $RECORDS
ln -s of_kafka "$work/counts.kafka"
ln -s of_ours "$work/counts.ours"
compare counts
stop_both
