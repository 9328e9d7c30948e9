#!/usr/bin/env bash
# The demo scores records while models change under them, answers over HTTP, and its numbers add up.
. "$(dirname "$0")/_common.sh"

"$weir" demo --duration 6s --rate 500 --model-interval 1s --error-rate 0.02 --seed 7 \
    >"$work/demo.log" 2>"$work/demo.err" &
demo=$!
pids+=("$demo")
wait_for 10 grep -q 'state at http' "$work/demo.log"
address=$(sed -n 's|.*state at \(http://[^/]*\)/.*|\1|p' "$work/demo.log")
wait_for 10 curl -sf "$address/readyz"

# ask PATH PATTERN: the answer has a line like that. By way of a file: grep -q on a pipe would end it
# under curl's hands.
ask() {
    curl -sf "$address$1" >"$work/answer.log" || fail "no answer from $1"
    grep -q "$2" "$work/answer.log" || fail "$1 has no $2"
}

ask /livez ok
wait_for 5 grep -q 'Calculated quality' "$work/demo.log"
curl -sf "$address/state/value" >"$work/state.log"
for name in name description since usage duration min max; do
    grep -q "\"$name\":" "$work/state.log" || fail "/state/value has no $name"
done
ask '/state/value?dataType=nothing' '"name":"None"'
ask /models '"state":"in-force"'
ask /metrics '^weir_records_consumed_total '
[ "$(curl -s -o /dev/null -w '%{http_code}' "$address/nothing")" = 404 ] || fail 'no 404'
[ "$(curl -s -o /dev/null -w '%{http_code}' -X DELETE "$address/models")" = 405 ] || fail 'no 405'
wait "$demo" || fail "the demo ended with $?"
grep -q 'The numbers add up' "$work/demo.log" || fail 'the sum'
swaps=$(grep -c '^Model in force' "$work/demo.log")
[ "$swaps" -ge 4 ] || fail "$swaps swaps"
grep -q 'dead 0,' "$work/demo.log" && fail 'no damaged record became a dead letter'
[ ! -e "$(sed -n 's/.*data in \([^;]*\);.*/\1/p' "$work/demo.log")" ] || fail 'the folder is left'
tail -n 3 "$work/demo.log"
