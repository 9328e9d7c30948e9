#!/usr/bin/env bash
# The model servers that keep what models did in a store: it is there again after kill -9, two
# instances that share the records have it between them, and the changelog holds no model.
. "$(dirname "$0")/_common.sh"

serve() { # serve NAME KIND ARGUMENTS...
    "$weir" serve streams "$2" --brokers "$broker_address" --http 127.0.0.1:0 \
        -X application.id="stored-$2" --commit-interval 100ms -X session.timeout.ms=6000 "${@:3}" \
        >"$work/$1.log" 2>"$work/$1.err" &
    pids+=("$!")
    printf -v "$1" '%s' "$!"
    wait_for 20 grep -q 'http://' "$work/$1.err"
}
state_of() {
    curl -sf "$(sed -n 's|.*\(http://127.0.0.1:[0-9]*\).*|\1|p' "$work/$1.err" | head -n 1)/state/value"
}
used() { # used NAME...: by all of these together
    local name sum=0
    for name; do
        sum=$((sum + $(state_of "$name" | sed -n 's/.*"usage":\([0-9]*\).*/\1/p')))
    done
    echo $sum
}
is_used() { # is_used COUNT NAME...
    [ "$(used "${@:2}")" -eq "$1" ]
}

records=1600
start_broker
"$weir" provide --brokers "$broker_address" --once --rate 5000 --partitions 4 \
    --data "$source_dir/samples/wine/data.csv" --models "$source_dir/samples/wine/models/wine-forest.pmml" \
    >"$work/provide.log" 2>"$work/provide.err" || fail 'the provider'
for kind in custom standard; do
    serve one $kind
    wait_for 20 is_used $records one
    pause 0.3 # a commit
    destroy one
    serve one $kind
    wait_for 30 is_used $records one
    serve two $kind
    wait_for 30 grep -q 'RUNNING' "$work/two.err"
    wait_for 30 is_used $records one two
    [ "$(used two)" -lt $records ] || fail 'the second instance has everything'
    leave one
    wait_for 30 is_used $records two
    leave two
    kcat -b "$broker_address" -t "stored-$kind-ModelStore-changelog" -C -e -q -f '%k %S\n' \
        >"$work/changes" 2>"$work/kcat.err"
    [ -s "$work/changes" ] || fail 'the changelog is empty'
    awk '$1 != "wine" || $2 > 400 { exit 1 }' "$work/changes" || fail "$(head -n 3 "$work/changes")"
done

# On disk the store goes on where it was.
serve one standard -X state.dir="$work/state"
wait_for 20 is_used $records one
leave one
[ -s "$work/state/stored-standard/0_0/ModelStore.mdb" ] || fail 'there is no file of the store'
serve one standard -X state.dir="$work/state"
wait_for 20 is_used $records one
leave one
printf 'what models did is found again\n'
