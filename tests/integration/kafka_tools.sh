#!/usr/bin/env bash
# weir topics and weir groups against a real Apache Kafka: the same words as against our broker
# (broker_tools.sh), where the two may differ.
. "$(dirname "$0")/_common.sh"
command -v kcat >/dev/null || { printf 'kcat is missing: run scripts/deps test\n'; exit 77; }

kafka=$("$source_dir/scripts/kafka-server" start --dir "$work/kafka" \
    --port $((20000 + RANDOM % 10000))) || {
    status=$?
    [ $status -eq 77 ] && printf 'Apache Kafka could not be fetched, or java is missing\n'
    exit $status
}
pids+=("$(cat "$work/kafka/pid")")
topics() { "$weir" topics --brokers "$kafka" --timeout 30s "$@"; }
groups() { "$weir" groups --brokers "$kafka" --timeout 30s "$@"; }
has() { # has WORDS COMMAND...
    local words=$1
    shift
    "$@" >"$work/out" 2>"$work/err.txt" || { cat "$work/err.txt"; fail "$* ends with $?"; }
    tr -s ' ' <"$work/out" >"$work/out1"
    grep -q -- "$words" "$work/out1" || { cat "$work/out"; fail "$*: no \"$words\""; }
}
fails() { # fails WORDS COMMAND...
    local words=$1 status=0
    shift
    "$@" >"$work/out" 2>"$work/err.txt" </dev/null || status=$?
    [ $status -eq 1 ] || { cat "$work/err.txt"; fail "$* ends with $status"; }
    grep -q -- "$words" "$work/err.txt" || { cat "$work/err.txt"; fail "$*: no word of $words"; }
}

has 'created with 3 partitions' topics create orders --partitions 3 \
    --set retention.ms=3600000 --set cleanup.policy=compact,delete
fails 'exists already' topics create orders
has '^orders 3$' topics list
seq 1 90 | kcat -b "$kafka" -q -P -t orders -p 0 -k key
has '^ *0 1 1 1 0 90 90$' topics describe orders
has '^ cleanup.policy=compact,delete$' topics describe orders
has 'was changed' topics alter orders --set retention.ms=7200000 --unset cleanup.policy \
    --partitions 5
has '^ retention.ms=7200000$' topics describe orders
! grep -q cleanup.policy "$work/out" || fail 'cleanup.policy is still there'
has 'topic orders: 5 partitions' topics describe orders
fails 'retention.ms' topics alter orders --set retention.ms=soon
fails 'topics list' topics describe nowhere
kcat -b "$kafka" -q -G readers -X auto.offset.reset=earliest -X enable.auto.offset.store=true \
    -e orders >/dev/null 2>&1
has '^readers Empty$' groups list
seq 1 7 | kcat -b "$kafka" -q -P -t orders -p 0 -k key
has '^orders 0 90 97 7 - -$' groups describe readers
has '^orders 0 90 0 97$' groups reset readers --to earliest
has '^orders 0 0 97 97$' groups reset readers --to 2999-12-31T23:59:59Z
has '^orders 0 - 42 97$' groups reset newcomers --topic orders --to 42
fails 'groups list' groups describe nobody
has 'was deleted' groups delete readers --yes
fails 'groups list' groups delete readers --yes
has 'was deleted' topics delete orders --yes
printf 'topics and groups of Apache Kafka are listed, made, moved and deleted\n'
