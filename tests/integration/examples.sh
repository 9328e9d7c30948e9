#!/usr/bin/env bash
# The examples do what their pages say.
# shellcheck source=tests/integration/_common.sh
. "$(dirname "$0")/_common.sh"
command -v kcat >/dev/null || { printf 'kcat is missing: run scripts/deps test\n'; exit 77; }
examples=$(dirname "$weir")/examples

diff "$source_dir/examples/custom_store/README.md" <("$examples/example_custom_store") |
    grep '^>' && fail 'custom_store prints another thing than its page says'

counts() {
    kcat -b "$broker_address" -q -C -t counts -e -o beginning -s value='>q' -f '%k %s\n'
}
has_counted() { counts | grep -x "$1"; }

# count: starts it; sets word_count to its process.
count() {
    "$examples/example_word_count" "$broker_address" "$work/state" 2>>"$work/count.err" &
    word_count=$!
    pids+=("$word_count")
}

start_broker
for topic in lines counts; do
    "$weir" topics create $topic --partitions 2 --brokers "$broker_address" >"$work/create.log"
done
count
printf 'to be or not\nto be\n' | kcat -b "$broker_address" -q -P -t lines
wait_for 20 has_counted 'to 2'
wait_for 20 has_counted 'not 1'
kill -INT "$word_count"
wait "$word_count" || fail "it ended with $?"
count
printf 'to\n' | kcat -b "$broker_address" -q -P -t lines
wait_for 20 has_counted 'to 3'
kill -INT "$word_count"
wait "$word_count" || fail "it ended with $?"
rm -r "$work/state" # from the changelog
count
printf 'be\n' | kcat -b "$broker_address" -q -P -t lines
wait_for 30 has_counted 'be 3'
kill -INT "$word_count"
wait "$word_count" || fail "it ended with $?"
