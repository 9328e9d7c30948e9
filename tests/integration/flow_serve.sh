#!/usr/bin/env bash
# The model server on the flow engine: its routes; instances that are killed, leave and come under
# load; queues far too small, a broker that stops. Every record has a result or a dead letter.
. "$(dirname "$0")/_common.sh"
. "$(dirname "$0")/_disturbed.sh"

engine=(flow custom)
start_broker
kills_and_rebalances

# The data types are the three instances' alike; the routes are those of the reference system.
serve routes --threads 2
wait_for 20 grep -q 'http://' "$work/routes.err"
address=$(sed -n 's|.*\(http://127.0.0.1:[0-9]*\).*|\1|p' "$work/routes.err" | head -n 1)
wait_for 20 curl -sf "$address/readyz"
for route in models processors; do
    [ "$(curl -sf "$address/$route")" = '{"models":["wine"]}' ] || fail "/$route"
done
curl -sf "$address/state" | grep '"dataType":"wine"' >/dev/null || fail '/state'
curl -sf "$address/state/wine" | grep '"dataType":"wine"' >/dev/null || fail '/state/wine'
curl -sf "$address/state/beer" | grep '"name":"None"' >/dev/null || fail '/state/beer'
curl -sf "$address/versions" | python3 -m json.tool >/dev/null || fail '/versions is no JSON'
curl -sf "$address/metrics" | grep '^weir_state{state="RUNNING"} 1' >/dev/null || fail '/metrics'
leave routes
