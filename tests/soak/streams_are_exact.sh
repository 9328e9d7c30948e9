#!/usr/bin/env bash
# A Kafka Streams application with exactly_once_v2 for SOAK_SECONDS (600) on our broker and as long on
# Apache Kafka, while its instances and the broker are killed at random. In the end every record must
# have been counted once: in the output, in the store and in its changelog.
#
# usage: tests/soak/streams_are_exact.sh [weir|kafka]...
#
# SOAK_SEED (printed) repeats the order of events, SOAK_RATE (1500) is the load in records a second.
if [ $# -ne 1 ]; then
    [ $# -gt 0 ] || set -- weir kafka
    status=0
    for kind in "$@"; do
        bash "$0" "$kind" || { [ $? -eq 77 ] && [ $status -eq 0 ] && status=77; } || status=1
    done
    exit $status
fi
kind=$1
lasts=${SOAK_SECONDS:-600}
seed=${SOAK_SEED:-$((RANDOM * 32768 + RANDOM))}
rate=${SOAK_RATE:-1500}
. "$(dirname "$0")/../integration/_streams.sh"
RANDOM=$seed

say() {
    printf '%4d s  %s\n' "$SECONDS" "$*"
}

broker_is_there() {
    kcat -b "$broker_address" -L -m 2
}

# The broker dies, and comes again on its port and its data.
broker_again() {
    destroy broker_pid
    if [ "$kind" = weir ]; then
        start_broker "$broker_address"
    else
        wait_for 10 test ! -e "/proc/$broker_pid"
        "${kafka_command[@]}" >>"$work/kafka/server.log" 2>&1 </dev/null &
        broker_pid=$!
        pids+=("$broker_pid")
        printf '%s\n' "$broker_pid" >"$work/kafka/pid"
    fi
    wait_for 60 broker_is_there
}

again() { # again NAME
    destroy "$1"
    application "$1" "$broker_address"
}

disturb() {
    case $((RANDOM % 6)) in
    0 | 1)
        say 'one is killed and comes again'
        again one
        ;;
    2 | 3)
        say 'two is killed and comes again'
        again two
        ;;
    4)
        say 'both are killed and come again'
        again one
        again two
        ;;
    5)
        say 'the broker is killed and comes again'
        broker_again
        ;;
    esac
}

printf '== streams are exact: %s, %d s, %d records/s, SOAK_SEED=%d\n' \
    "$kind" "$lasts" "$rate" "$seed"
case $kind in
weir) start_broker ;;
kafka) start_kafka ;;
*) fail "no broker is called $kind" ;;
esac
records=$((lasts * rate))
run "$work/make" "$class_path" Counts make "$broker_address" || fail 'no topics'
run "$work/feed" "$class_path" Counts feed "$broker_address" 0 $records "$rate" &
feeding=$!
pids+=("$feeding")
application one "$broker_address"
application two "$broker_address"
SECONDS=0
while [ $SECONDS -lt "$lasts" ]; do
    pause $((RANDOM % 15 + 1))
    disturb
done
wait $feeding || fail 'not all records were sent'
say 'no more records, no more events'
destroy one
destroy two
ended last "$broker_address" $records || fail 'the end'
is_exact last $records
printf '%d records, each counted once\n' $records
