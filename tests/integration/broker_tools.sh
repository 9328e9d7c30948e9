#!/usr/bin/env bash
# weir topics and weir groups against the broker: what people see, what scripts get, what they are
# told when it can't be done.
. "$(dirname "$0")/_common.sh"
command -v kcat >/dev/null || { printf 'kcat is missing: run scripts/deps test\n'; exit 77; }

start_broker
topics() { "$weir" topics --brokers "$broker_address" --timeout 20s "$@"; }
groups() { "$weir" groups --brokers "$broker_address" --timeout 20s "$@"; }
has() { # has WORDS COMMAND...: the output has a line with the words, blanks counted as one
    local words=$1
    shift
    "$@" >"$work/out" 2>"$work/err.txt" || { cat "$work/err.txt"; fail "$* ends with $?"; }
    tr -s ' ' <"$work/out" >"$work/out1"
    grep -q -- "$words" "$work/out1" || { cat "$work/out"; fail "$*: no \"$words\""; }
}
fails() { # fails STATUS WORDS COMMAND...: it says so on standard error, and nothing else
    local status=0 wanted=$1 words=$2
    shift 2
    "$@" >"$work/out" 2>"$work/err.txt" </dev/null || status=$?
    [ $status -eq "$wanted" ] || { cat "$work/err.txt"; fail "$* ends with $status"; }
    grep -q -- "$words" "$work/err.txt" || { cat "$work/err.txt"; fail "$*: no word of $words"; }
    [ ! -s "$work/out" ] || fail "$* prints something"
}
json() { python3 -c "import json,sys; v=json.load(open('$work/json')); sys.exit(0 if ($1) else 1)" ||
    { cat "$work/json"; fail "$1"; }; }

# ---- topics
has 'created with 3 partitions' topics create orders --partitions 3 \
    --set retention.ms=3600000 --set cleanup.policy=delete
fails 1 'exists already' topics create orders
fails 1 'describe orders' topics create orders
has '^orders 3$' topics list
seq 1 90 | kcat -b "$broker_address" -q -P -t orders -p 0
seq 1 10 | kcat -b "$broker_address" -q -P -t orders -p 2
has '^ *0 1 1 1 0 90 90$' topics describe orders
has '^ retention.ms=3600000$' topics describe orders
has 'was changed' topics alter orders --set retention.ms=7200000 --unset cleanup.policy \
    --partitions 5
has 'topic orders: 5 partitions' topics describe orders
has '^ retention.ms=7200000$' topics describe orders
! grep -q cleanup.policy "$work/out" || fail 'cleanup.policy is still there'
topics alter orders --set segment.bytes=1048576 >/dev/null
has '^ retention.ms=7200000$' topics describe orders # what was set before stays
topics describe orders --json >"$work/json"
json 'v["topic"] == "orders" and len(v["partitions"]) == 5 and v["partitions"][2]["end"] == 10'
json 'v["settings"]["retention.ms"] == {"value": "7200000", "ofTopic": True}'
json 'v["settings"]["cleanup.policy"]["ofTopic"] is False'
topics list --json >"$work/json"
json '{"topic": "orders", "partitions": 5} in v'
fails 1 'topics list' topics describe nowhere
fails 1 'topics list' topics delete nowhere --yes
fails 1 'partitions' topics alter orders --partitions 2
fails 1 'retention.ms' topics alter orders --set retention.ms=soon
fails 2 'nothing to change' topics alter orders
fails 2 'NAME=VALUE' topics alter orders --set retention
fails 2 'A name is missing' topics describe
fails 2 'none of list' topics destroy orders
fails 1 '--yes' topics delete orders
has '^orders 5$' topics list

# ---- groups
fails 1 'groups list' groups describe nobody
kcat -b "$broker_address" -q -G readers -X auto.offset.reset=earliest \
    -X enable.auto.offset.store=true -e orders >/dev/null 2>&1
has '^readers Empty$' groups list
has '^orders 0 90 90 0 - -$' groups describe readers
seq 1 7 | kcat -b "$broker_address" -q -P -t orders -p 0
has '^orders 0 90 97 7 - -$' groups describe readers
has '^7 records not read yet$' groups describe readers
has '^orders 0 90 0 97$' groups reset readers --to earliest --dry-run
has 'nothing was done' groups reset readers --to earliest --dry-run
has '^orders 0 90 97 7 - -$' groups describe readers
has '^orders 0 90 0 97$' groups reset readers --to earliest
has '^orders 0 0 97 97 - -$' groups describe readers
has '^orders 0 0 42 97$' groups reset readers --topic orders --to 42
has '^orders 2 10 10 10$' groups reset readers --topic orders --to latest # 42 was past its end
has '^orders 0 97 0 97$' groups reset readers --to -1h
has '^orders 0 0 97 97$' groups reset readers --to 2999-12-31T23:59:59.5Z
groups reset readers --to 5 --json >"$work/json"
json '[m["to"] for m in v if m["partition"] == 0] == [5]'
groups describe readers --json >"$work/json"
json 'v["group"] == "readers" and v["state"] == "Empty" and v["members"] == []'
json '[o["lag"] for o in v["offsets"] if o["partition"] == 0] == [92]'
has '^orders 0 - 0 97$' groups reset newcomers --topic orders --to earliest # not there before
has '^newcomers Empty$' groups list
fails 1 '--topic' groups reset nobody --to earliest
fails 2 '--to' groups reset readers
fails 2 '2026-01-31T12:00:00Z' groups reset readers --to yesterday
fails 2 'A name is missing' groups delete

# A member that reads: who it is; and nobody moves the group under its feet.
kcat -b "$broker_address" -q -G readers -X client.id=a-reader orders >"$work/read.log" 2>&1 &
pids+=($!)
reads() { groups describe readers 2>/dev/null | tr -s ' ' | grep '^orders 0 .* a-reader .*127.0.0.1'; }
wait_for 20 reads
has 'group readers: Stable, 1 member' groups describe readers
fails 1 'stop its consumers' groups reset readers --to earliest
fails 1 'stop its consumers' groups delete readers --yes
kill "${pids[-1]}"
wait "${pids[-1]}" || true
is_empty() { groups list | tr -s ' ' | grep '^readers Empty$'; }
wait_for 20 is_empty
has 'was deleted' groups delete readers --yes
fails 1 'groups list' groups describe readers
fails 1 'groups list' groups delete readers --yes
has 'was deleted' topics delete orders --yes
[ "$(topics list | wc -l)" -eq 1 ] || fail 'the topic is still there'

# Nobody there.
kill -TERM "$broker_pid"
wait "$broker_pid" || fail 'the end'
fails 1 "$broker_address" "$weir" topics list --brokers "$broker_address" --timeout 2s
fails 1 "$broker_address" "$weir" groups describe g --brokers "$broker_address" --timeout 2s
printf 'topics and groups are listed, made, moved and deleted\n'
