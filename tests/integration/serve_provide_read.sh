#!/usr/bin/env bash
# Broker, model server, provider and reader as four processes: what is sent once is scored once, the
# server answers over HTTP and drains at SIGTERM.
. "$(dirname "$0")/_common.sh"

serve() { # serve NAME ARGUMENTS...: sets the variable NAME to its process
    "$weir" serve streams memory --brokers "$broker_address" --http 127.0.0.1:0 "${@:2}" \
        >"$work/$1.log" 2>"$work/$1.err" &
    pids+=("$!")
    printf -v "$1" '%s' "$!"
}
# provide ARGUMENTS...: the samples, once; the data topic's offsets in `sent` grow by `records`.
provide() {
    "$weir" provide --brokers "$broker_address" --once --rate 5000 --model-interval 20ms "$@" \
        >"$work/provide.log" 2>"$work/provide.err" || fail "the provider ended with $?"
}
address_of() {
    sed -n 's|.*\(http://127.0.0.1:[0-9]*\).*|\1|p' "$work/$1.log" "$work/$1.err" | head -n 1
}
read_topic() { "$weir" read "$1" --brokers "$broker_address" "${@:2}"; }
sources() {
    read_topic scores |
        sed -n 's/.*"sourcePartition":\([0-9]*\),"sourceOffset":\([0-9]*\).*/\1 \2/p'
}
has_results() { [ "$(sources | sort -u | wc -l)" -eq "$1" ]; }

records=$(wc -l <"$source_dir/samples/wine/data.csv")
data=(--data "$source_dir/samples/wine/data.csv")
models=(--models "$source_dir/samples/wine/models")

server='' second='' # processes, set by serve
start_broker
provide "${data[@]}" "${models[@]}"
serve server --commit-interval 200ms
wait_for 20 has_results "$records"
# Nothing happened to the server: each record has one result, not two.
[ "$(sources | wc -l)" -eq "$records" ] || fail 'some records were scored twice'
[ "$(read_topic weir-dead-letters | wc -l)" -eq 0 ] || fail 'dead letters'

[ "$(read_topic scores --count 5 | wc -l)" -eq 5 ] || fail 'read --count'
read_topic scores --count 5 | python3 -c '
import json, sys
for line in sys.stdin:
    result = json.loads(line)
    text = json.dumps(result)
    assert "sourceOffset" in text and "wine" in text, text
' || fail 'a result is no JSON'
[ "$(read_topic models | wc -l)" -ge 7 ] || fail 'the models are not on their topic'
read_topic mdata --count 1 | grep '"alcohol":' >/dev/null || fail 'a record is not shown with its fields'
read_topic no-such-topic >"$work/none.log" 2>"$work/none.err" && fail 'a topic that is not there'
grep -q 'no-such-topic' "$work/none.err" || fail 'the topic is not named'

http=$(address_of server)
[ -n "$http" ] || fail 'the server does not say its address'
curl -sf "$http/livez" >/dev/null || fail '/livez'
curl -sf "$http/readyz" >/dev/null || fail '/readyz'
curl -sf "$http/state/value" | python3 -m json.tool >/dev/null || fail '/state/value is no JSON'
curl -sf "$http/models" | python3 -m json.tool >/dev/null || fail '/models is no JSON'
curl -sf "$http/metrics" | grep -E '^weir_records_consumed_total(\{[^}]*\})? [1-9]' >/dev/null ||
    fail '/metrics'

# SIGTERM drains: positions are committed, so that the next server scores nothing anew. Two at once,
# as some supervisors send them, are one wish.
kill -TERM "$server"
curl -s "$http/livez" >/dev/null || true
kill -TERM "$server" 2>/dev/null || true
wait "$server" || fail "SIGTERM ends the server with $?"
before=$(sources | wc -l)
provide "${data[@]}"
serve second --threads 2
wait_for 30 has_results $((2 * records))
[ "$(sources | wc -l)" -eq $((before + records)) ] || fail 'the second server scored old records'

# Two servers can't have one port.
taken=$(address_of second)
timeout 20 "$weir" serve streams memory --brokers "$broker_address" --http "${taken#http://}" \
    >"$work/third.log" 2>"$work/third.err" && fail 'two servers on one port'
grep -q "port ${taken##*:} " "$work/third.err" || fail 'the taken port is not named'

kill -INT "$second"
wait "$second" || fail "SIGINT ends the server with $?"
printf '%d records in two rounds, a result each\n' $((2 * records))
