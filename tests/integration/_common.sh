# Shared by the integration tests: a place to work in, processes that are ended, waiting with a
# limit.
set -euo pipefail

# To the program, WEIR_... variables are settings: the test's own are none.
weir=$WEIR_BIN
source_dir=$WEIR_SOURCE_DIR
unset "${!WEIR_@}"

work=$(mktemp -d)
pids=()

finish() {
    local status=$?
    for pid in "${pids[@]}"; do
        kill -9 "$pid" 2>/dev/null || true
    done
    if [ $status -ne 0 ] && [ $status -ne 77 ]; then
        tail -n 15 "$work"/*.log "$work"/*.err 2>/dev/null || true
    fi
    rm -rf "$work"
}
trap finish EXIT

fail() {
    printf 'FAILED: %s\n' "$*"
    exit 1
}

# wait_for SECONDS COMMAND...: until the command succeeds.
wait_for() {
    local tries=$(($1 * 20))
    shift
    until "$@" >/dev/null 2>&1; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || fail "waited in vain for: $*"
        read -rt 0.05 <> <(:) || true
    done
}

# Starts a broker on a free port; sets broker_address and broker_pid.
start_broker() {
    : >"$work/broker.log" # what an earlier broker said there must not be taken for this one's
    "$weir" broker --listen "${1:-127.0.0.1:0}" --data-dir "$work/broker" \
        >"$work/broker.log" 2>"$work/broker.err" &
    broker_pid=$!
    pids+=("$broker_pid")
    wait_for 10 grep -q '^broker at' "$work/broker.log"
    broker_address=$(sed -n 's/^broker at \([^,]*\),.*/\1/p' "$work/broker.log")
}
