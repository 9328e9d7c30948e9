#!/usr/bin/env bash
# The same program against a real Apache Kafka: provide, serve with two instances of which one is
# killed, read; every record has a result or a dead letter.
. "$(dirname "$0")/_common.sh"

port=$((20000 + RANDOM % 10000))
kafka=$("$source_dir/scripts/kafka-server" start --dir "$work/kafka" --port $port) || {
    status=$?
    [ $status -eq 77 ] && printf 'Apache Kafka could not be fetched, or java is missing\n'
    exit $status
}
pids+=("$(cat "$work/kafka/pid")")

serve() {
    "$weir" serve streams memory --brokers "$kafka" --http 127.0.0.1:0 --commit-interval 200ms \
        -X session.timeout.ms=6000 >"$work/$1.log" 2>"$work/$1.err" &
    pids+=("$!")
    printf -v "$1" '%s' "$!"
}

"$weir" provide --brokers "$kafka" --partitions 4 --rate 2000 --count 20000 --model-interval 500ms \
    --error-rate 0.01 >"$work/provide.log" 2>"$work/provide.err" &
provider=$!
pids+=("$provider")
wait_for 20 grep -q '^model' "$work/provide.log"
serve one
serve two
wait_for 30 grep -q 'task 0_' "$work/one.err"
wait_for 30 grep -q 'task 0_' "$work/two.err"
kill -9 "$one"
wait "$provider" || fail "the provider ended with $?"

all_there() {
    "$weir" read scores --brokers "$kafka" |
        sed -n 's/.*"sourcePartition":\([0-9]*\),"sourceOffset":\([0-9]*\).*/\1 \2/p' >"$work/seen"
    "$weir" read weir-dead-letters --brokers "$kafka" |
        sed -n 's/.*errors.partition","\([0-9]*\)".*errors.offset","\([0-9]*\)".*/\1 \2/p' \
            >>"$work/seen"
    [ "$(sort -u "$work/seen" | wc -l)" -eq 20000 ]
}
wait_for 90 all_there
printf '%d results and dead letters for 20000 records\n' "$(wc -l <"$work/seen")"
kcat -b "$kafka" -t scores -C -c 1 -e -q >/dev/null || fail 'kcat does not read the scores'
kill -TERM "$two"
wait "$two" || fail "the instance ended with $?"
"$source_dir/scripts/kafka-server" stop --dir "$work/kafka"
