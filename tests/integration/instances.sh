#!/usr/bin/env bash
# Three instances share four partitions under load; one is killed, one leaves, one comes back. Every
# record has a result or a dead letter in the end.
. "$(dirname "$0")/_common.sh"

serve() {
    "$weir" serve streams memory --brokers "$broker_address" --http 127.0.0.1:0 \
        --commit-interval 200ms -X session.timeout.ms=6000 >"$work/$1.log" 2>"$work/$1.err" &
    pids+=("$!")
    printf -v "$1" '%s' "$!"
}

start_broker
"$weir" provide --brokers "$broker_address" --partitions 4 --rate 3000 --count 30000 \
    --model-interval 500ms --error-rate 0.01 >"$work/provide.log" 2>"$work/provide.err" &
provider=$!
pids+=("$provider")
wait_for 10 grep -q '^model' "$work/provide.log"
serve one
serve two
wait_for 20 grep -q 'task 0_' "$work/one.err"
wait_for 20 grep -q 'task 0_' "$work/two.err"
kill -9 "$one"
serve three
wait_for 30 grep -q 'task 0_' "$work/three.err"
kill -TERM "$two"
wait "$two" || fail "the instance that left ended with $?"
wait "$provider" || fail "the provider ended with $?"
grep -q '30000 records delivered' "$work/provide.log" || fail 'not all records were delivered'

# The distinct source offsets of results and dead letters, until they are all there.
all_there() {
    "$weir" read scores --brokers "$broker_address" |
        sed -n 's/.*"sourcePartition":\([0-9]*\),"sourceOffset":\([0-9]*\).*/\1 \2/p' >"$work/seen"
    "$weir" read weir-dead-letters --brokers "$broker_address" |
        sed -n 's/.*errors.partition","\([0-9]*\)".*errors.offset","\([0-9]*\)".*/\1 \2/p' \
            >>"$work/seen"
    [ "$(sort -u "$work/seen" | wc -l)" -eq 30000 ]
}
wait_for 60 all_there
printf '%d results and dead letters for 30000 records\n' "$(wc -l <"$work/seen")"
kill -TERM "$three"
wait "$three" || fail "the last instance ended with $?"
