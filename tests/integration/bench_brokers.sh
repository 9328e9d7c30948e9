#!/usr/bin/env bash
# The comparison of brokers runs to its end on a few records, so that it cannot rot.
. "$(dirname "$0")/_common.sh"

build_dir=$(dirname "$weir")
[ -x "$build_dir/bench/broker_load" ] || {
    echo 'this build has no benchmarks'
    exit 77
}
WEIR_BUILD_DIR=$build_dir python3 "$source_dir/bench/brokers.py" --quick >"$work/bench.log" 2>&1 ||
    fail "$(cat "$work/bench.log")"
for figure in 'produce, 100 bytes, 8 producers' 'p99.9' 'transactions of 100 records' 'from kill -9' \
    'flush=every, 64 producers'; do
    grep -q -- "$figure" "$work/bench.log" || fail "no line for $figure"
done
