#!/usr/bin/env bash
# Random kills, rebalances and stalls of everything that takes part, for SOAK_SECONDS (600) on our
# broker and as long on Apache Kafka, with each engine's server. In the end every record that is on the data topic must have a
# result or a dead letter, and nothing else may have one.
#
# usage: tests/soak/records_are_counted.sh [weir|kafka|weir-flow|kafka-flow]...
#
# SOAK_SEED (printed) repeats the order of events, SOAK_RATE (1500) is the load in records a second.
if [ $# -ne 1 ]; then
    [ $# -gt 0 ] || set -- weir kafka weir-flow kafka-flow
    status=0
    for kind in "$@"; do
        bash "$0" "$kind" || { [ $? -eq 77 ] && [ $status -eq 0 ] && status=77; } || status=1
    done
    exit $status
fi
kind=${1%-flow}
lasts=${SOAK_SECONDS:-600}
seed=${SOAK_SEED:-$((RANDOM * 32768 + RANDOM))}
rate=${SOAK_RATE:-1500}
. "$(dirname "$0")/../integration/_common.sh"
RANDOM=$seed
[ "$1" = "$kind" ] || engine=(flow custom)

declare -A times # how often each event took place
instances=()     # names of those that run
made=0

say() {
    printf '%4d s  %s\n' "$SECONDS" "$*"
}

# between FIRST LAST: sets `number` to one of them (a subshell would draw from numbers of its own).
between() {
    number=$(($1 + RANDOM % ($2 - $1 + 1)))
}

any_instance() {
    between 0 $((${#instances[@]} - 1))
    name=${instances[number]}
}

new_instance() {
    made=$((made + 1))
    between 1 2
    serve "i$made" --threads "$number" --input-buffer 1MiB --output-buffer 1MiB \
        -X queue.buffering.max.messages=2000
    instances+=("i$made")
}

forget() {
    local kept=() each
    for each in "${instances[@]}"; do
        [ "$each" = "$1" ] || kept+=("$each")
    done
    instances=("${kept[@]}")
}

load() {
    provide --rate "$rate" --model-interval 500ms
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

# stall PID SECONDS: it does nothing for so long.
stall() {
    kill -STOP "$1"
    pause "$2"
    kill -CONT "$1"
}

# An event, drawn by its weight.
disturb() {
    between 1 20
    case $number in
    [1-4])
        any_instance
        event="an instance is killed, another comes"
        destroy "$name"
        forget "$name"
        new_instance
        ;;
    [5-7])
        any_instance
        event="an instance leaves, another comes"
        leave "$name"
        forget "$name"
        new_instance
        ;;
    8 | 9)
        event="an instance comes"
        if [ ${#instances[@]} -lt 4 ]; then
            new_instance
        else
            any_instance
            event="an instance leaves"
            leave "$name"
            forget "$name"
        fi
        ;;
    10 | 11 | 12) # at times longer than its session of 6 s: it comes back to what is another's
        any_instance
        between 1 9
        event="an instance stalls"
        stall "${!name}" "$number"
        ;;
    13 | 14 | 15)
        between 1 6
        event="the broker stalls"
        stall "$broker_pid" "$number"
        ;;
    16 | 17)
        event="the broker is killed and comes again"
        broker_again
        ;;
    18 | 19)
        event="the provider is killed and comes again"
        destroy provider
        load
        ;;
    20)
        event="all instances are killed, two come"
        for name in "${instances[@]}"; do
            destroy "$name"
        done
        instances=()
        new_instance
        new_instance
        ;;
    esac
    times[$event]=$((${times[$event]:-0} + 1))
    say "$event"
}

# What nobody has ended must not have ended by itself.
all_live() {
    local each
    for each in provider broker_pid "${instances[@]}"; do
        kill -0 "${!each}" 2>/dev/null || fail "$each ended by itself after: $event"
    done
}

printf '== records are counted: %s, %d s, %d records/s, SOAK_SEED=%d\n' \
    "$1" "$lasts" "$rate" "$seed"
case $kind in
weir) start_broker ;;
kafka) start_kafka ;;
*) fail "no broker is called $kind" ;;
esac
load
wait_for 30 grep -q '^model' "$work/provide.log"
new_instance
new_instance
event='the start'
SECONDS=0
while [ $SECONDS -lt "$lasts" ]; do
    between 1 4
    pause "$number"
    all_live
    disturb
done
pause 2
all_live
leave provider
say 'no more records, no more events'
count_offsets 300
for name in "${instances[@]}"; do
    leave "$name"
done
for event in "${!times[@]}"; do
    printf '%5d times: %s\n' "${times[$event]}" "$event"
done
