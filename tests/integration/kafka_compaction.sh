#!/usr/bin/env bash
# The same records in a compacted topic of our broker and of Apache Kafka: both leave the same ones,
# consumers see the newest of each key, and Kafka's dump tool reads what ours has left.
. "$(dirname "$0")/_common.sh"
command -v kcat >/dev/null || { printf 'kcat is missing: run scripts/deps test\n'; exit 77; }

start_kafka
kafka_address=$broker_address
"$weir" broker --listen 127.0.0.1:0 --data-dir "$work/broker" \
    -X log.cleaner.backoff.ms=1s >"$work/broker.log" 2>"$work/broker.err" &
pids+=("$!")
wait_for 10 grep -q '^broker at' "$work/broker.log"
ours=$(sed -n 's/^broker at \([^,]*\),.*/\1/p' "$work/broker.log")

# Keys again and again, tombstones among them; small batches and large ones, with and without codec.
records() { # records FROM TO TOMBSTONE-EVERY
    awk -v from="$1" -v to="$2" -v every="$3" 'BEGIN {
        for (i = from; i < to; i++)
            printf "key%d:%s\n", (i * 7) % 23, i % every == 0 ? "" : "value" i
    }'
}
fill() { # fill ADDRESS
    local put=(kcat -b "$1" -q -P -t compacted -p 0 -K : -Z -X enable.idempotence=true)
    "$weir" topics create compacted --brokers "$1" --partitions 1 \
        --set cleanup.policy=compact --set segment.ms=1000 --set min.cleanable.dirty.ratio=0.01 \
        --set delete.retention.ms=3600000 --set index.interval.bytes=100 >/dev/null
    records 0 400 11 | "${put[@]}" -z lz4
    pause 1.2 # so that a segment is old enough for the next record to begin another one
    records 400 600 7 | "${put[@]}" -X batch.num.messages=3
    pause 1.2
    records 600 630 4 | "${put[@]}" -z zstd
    pause 1.2
    printf 'end:1\n' | "${put[@]}"
}
look() { kcat -b "$1" -q -C -t compacted -p 0 -o beginning -e -X check.crcs=true -f '%o %k %S\n'; }
is_compacted() { look "$1" >"$work/now" && [ "$(wc -l <"$work/now")" -le "$2" ]; }

# What must be left: of each key the last record, where it was.
{ records 0 400 11; records 400 600 7; records 600 630 4; printf 'end:1\n'; } |
    awk -F: '{ last[$1] = NR - 1; bytes[$1] = $2 == "" ? -1 : length($2) }
        END { for (key in last) print last[key], key, bytes[key] }' | sort -n >"$work/expected"
expected=$(wc -l <"$work/expected")

for address in "$ours" "$kafka_address"; do
    fill "$address"
    [ "$(look "$address" | wc -l)" -ge "$expected" ] || fail "$address has lost records"
done
wait_for 30 is_compacted "$ours" "$expected"
cmp "$work/expected" "$work/now" || fail "not what must be left: $(diff "$work/expected" "$work/now")"
wait_for 90 is_compacted "$kafka_address" "$expected"
cmp "$work/expected" "$work/now" || fail "Apache Kafka leaves other records"

# ---- Kafka's own tools on what ours has left
tool() { "$source_dir/scripts/kafka-tool" "$@" 2>>"$work/tool.err"; }
log=$work/broker/compacted-0
tool dump-log --print-data-log --files "$log/00000000000000000000.log" >"$work/dump"
! grep -q 'isvalid: false' "$work/dump" || fail 'the dump tool finds a batch that is not valid'
sed -n 's/^| offset: \([0-9]*\) .* keySize.* key: \(key[0-9]*\).*/\1 \2/p' "$work/dump" >"$work/dumped"
awk '$2 != "end" { print $1, $2 }' "$work/expected" | cmp - "$work/dumped" ||
    fail "the dump tool sees other records: $(cat "$work/dump")"
grep -q 'deleteHorizonMs: OptionalLong\[' "$work/dump" || fail 'no tombstone has a horizon'
first=$log/00000000000000000000
for index in "$first.index" "$first.timeindex"; do
    tool dump-log --index-sanity-check --files "$index" | grep -q 'passed sanity check' ||
        fail "${index##*/} is not sane"
    tool dump-log --verify-index-only --files "$index" >"$work/index"
    ! grep -qi 'mismatch\|out of order\|not found' "$work/index" ||
        fail "${index##*/} does not fit its log: $(cat "$work/index")"
done
tool console-consumer --bootstrap-server "$ours" --topic compacted --from-beginning \
    --max-messages "$expected" --timeout-ms 20000 --property print.key=true \
    --property print.offset=true --property print.value=false >"$work/java"
sed 's/^Offset:\([0-9]*\).\(.*\)$/\1 \2/' "$work/java" | cmp - <(cut -d' ' -f1,2 "$work/expected") ||
    fail "a Java consumer sees other records: $(cat "$work/java")"
printf '%s of 631 records are left, the same in Apache Kafka\n' "$expected"
