#!/usr/bin/env bash
# SOAK_SWAPS (10000) models come in force one after the other while records are scored. The server's
# resident memory must stay within 5 % of what it was after the first tenth, no record may get an
# error, and every record must have its result.
. "$(dirname "$0")/../integration/_common.sh"

swaps=${SOAK_SWAPS:-10000}
start_broker
provide --rate 1000 --error-rate 0 --model-interval 24h
wait_for 20 grep -q '^model' "$work/provide.log"
server='' # its process, set by serve
serve server
wait_for 30 has_task server
http=$(cat "$work/server.log" "$work/server.err" |
    sed -n 's|.*http://\(127.0.0.1:[0-9]*\).*|\1|p' | head -n 1)
[ -n "$http" ] || fail 'the server does not say its address'
printf '== %d swaps under 1000 records/s\n' "$swaps"
python3 "$(dirname "$0")/_swap.py" "$broker_address" "$http" "$server" "$swaps" \
    "$source_dir/samples/wine/models" "$work/model" || fail 'the swaps'
leave provider
count_offsets 60
[ "$(grep -c '"error":' "$work/scores" || true)" -eq 0 ] || fail 'results with an error'
leave server
