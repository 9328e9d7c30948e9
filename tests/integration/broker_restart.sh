#!/usr/bin/env bash
# A broker that is killed and comes again stops nothing for good: the server goes on by itself,
# every record has a result, and it still ends in order.
. "$(dirname "$0")/_common.sh"

provide() {
    "$weir" provide --brokers "$broker_address" --once --rate 5000 --model-interval 20ms \
        --data "$source_dir/samples/wine/data.csv" --models "$source_dir/samples/wine/models" \
        >"$work/provide.log" 2>"$work/provide.err" || fail "the provider ended with $?"
}
has_results() {
    [ "$("$weir" read scores --brokers "$broker_address" |
        sed -n 's/.*"sourcePartition":\([0-9]*\),"sourceOffset":\([0-9]*\).*/\1 \2/p' |
        sort -u | wc -l)" -eq "$1" ]
}
records=$(wc -l <"$source_dir/samples/wine/data.csv")

start_broker
provide
"$weir" serve streams memory --brokers "$broker_address" --http 127.0.0.1:0 \
    --commit-interval 200ms >"$work/server.log" 2>"$work/server.err" &
server=$!
pids+=("$server")
wait_for 20 has_results "$records"
for round in 2 3; do
    kill -KILL "$broker_pid"
    wait "$broker_pid" || true
    start_broker "$broker_address"
    provide
    wait_for 60 has_results $((round * records))
done
kill -TERM "$server"
wait "$server" || fail "SIGTERM ends the server with $?"
printf '%d records over two deaths of the broker, a result each\n' $((3 * records))
