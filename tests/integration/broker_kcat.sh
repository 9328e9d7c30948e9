#!/usr/bin/env bash
# The broker for a client that is not ours: codecs, idempotence, groups, a restart, kill -9, and
# what it says when it can't start.
. "$(dirname "$0")/_common.sh"
command -v kcat >/dev/null || { printf 'kcat is missing: run scripts/deps test\n'; exit 77; }

kcat_as() { kcat -b "$broker_address" -q "$@"; }
ends_with() { # ends_with WORD: the broker can't start, and says why
    timeout 10 "$weir" broker --listen "$2" --data-dir "$3" \
        >"$work/other.log" 2>"$work/other.err" &&
        fail "a broker started in spite of $1"
    grep -qi -- "$1" "$work/other.err" || { cat "$work/other.err"; fail "no word of $1"; }
}

start_broker
seq 1 3000 >"$work/lines"

for codec in none gzip snappy lz4 zstd; do
    kcat_as -P -t "t-$codec" -z "$codec" -X linger.ms=50 "$work/lines" -l
    kcat_as -C -t "t-$codec" -e -o beginning -X check.crcs=true >"$work/read"
    cmp -s "$work/lines" "$work/read" || fail "what $codec brought is not what was sent"
done

kcat_as -P -t exact -X enable.idempotence=true -X acks=all -K : \
    -l <(sed 's/.*/k&:v&/' "$work/lines")
[ "$(kcat_as -C -t exact -e -o beginning -f '%k=%s\n' | sort -u | wc -l)" -eq 3000 ] ||
    fail 'the idempotent producer'
kcat_as -C -t exact -e -o beginning -c 1 -f '%o %k=%s %T\n' | grep -E '^0 k1=v1 1[0-9]{12}$' >/dev/null ||
    fail 'offset, key, value and time'
printf 'x\n' | kcat_as -P -t exact -H name=value -H empty= -k key
kcat_as -C -t exact -o -1 -e -f '%h\n' | grep '^name=value,empty=$' >/dev/null || fail 'headers'
kcat_as -C -t exact -o 2999 -c 1 -e -f '%s\n' | grep -x v3000 >/dev/null || fail 'reading from an offset'
kcat_as -L | grep '"exact"' >/dev/null || fail 'the list of topics'

# A group goes on where it stopped; another one begins anew.
group() { kcat_as -G "$1" -X auto.offset.reset=earliest -X enable.auto.offset.store=true "${@:2}"; }
group g1 -c 100 exact >"$work/first"
group g1 -e exact >"$work/rest"
[ "$(cat "$work/first" "$work/rest" | sort -u | wc -l)" -eq 3001 ] || fail 'the group lost records'
[ "$(wc -l <"$work/rest")" -eq 2901 ] || fail 'the group began anew'

# In order: an end by SIGTERM, by kill -9. Records, offsets and the address stay.
for signal in TERM KILL; do
    printf 'before %s\n' "$signal" | kcat_as -P -t exact -X acks=all
    kill "-$signal" "$broker_pid"
    status=0
    wait "$broker_pid" || status=$?
    [ "$signal" = KILL ] || [ $status -eq 0 ] || fail "SIGTERM ends the broker with $status"
    start_broker "$broker_address"
    kcat_as -C -t exact -o -1 -e | grep -x "before $signal" >/dev/null || fail "the last record after $signal"
    kcat_as -C -t t-zstd -e -o beginning | cmp -s "$work/lines" - || fail "t-zstd after $signal"
    group g1 -e exact >"$work/rest"
    grep -qx "before $signal" "$work/rest" || fail "the group misses the record after $signal"
    [ "$(wc -l <"$work/rest")" -eq 1 ] || fail "the group began anew after $signal"
done

# A torn tail is cut when the log is opened; everything before it is there.
kill -KILL "$broker_pid"
wait "$broker_pid" || true
segment=$(find "$work/broker" -path '*t-none-0/*' -name '*.log' | sort | tail -n 1)
[ -n "$segment" ] || fail 'no segment of t-none'
head -c 50 "$segment" >"$work/torn"
cat "$work/torn" >>"$segment"
start_broker "$broker_address"
kcat_as -C -t t-none -e -o beginning | cmp -s "$work/lines" - || fail 'the torn log'

ends_with 'in use' "$broker_address" "$work/second"
ends_with 'another broker' 127.0.0.1:0 "$work/broker"
kill -TERM "$broker_pid"
wait "$broker_pid" || fail 'the last end'

[ -f "$work/broker/meta.properties" ] || fail 'no meta.properties'
cp -r "$work/broker" "$work/newer"
sed -i 's/^weir.format=.*/weir.format=99/' "$work/newer/meta.properties"
ends_with 'newer version' 127.0.0.1:0 "$work/newer"
: >"$work/file"
ends_with "$work/file" 127.0.0.1:0 "$work/file"
if [ "$(id -u)" -ne 0 ]; then
    mkdir -m 500 "$work/sealed"
    ends_with 'sealed' 127.0.0.1:0 "$work/sealed/broker"
else
    ends_with '/proc/1' 127.0.0.1:0 /proc/1/weir # even root can't
fi
ends_with 'insecure' 0.0.0.0:0 "$work/open"
printf 'five codecs, idempotence, a group, two ends and a torn tail: all records are there\n'
