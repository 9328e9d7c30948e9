# Three instances count exactly once (c/exactly_once.c) over twelve partitions, and by a seed one of
# them is killed, frozen past its session, asked to leave, or started again, while records come. In the
# end each input has one output, the counts have no gap, and the changelog says the same. On whichever
# broker the test has started.
# shellcheck source=tests/integration/_common.sh
. "$(dirname "${BASH_SOURCE[0]}")/_common.sh"
# shellcheck source=tests/integration/_disturbed.sh
. "$(dirname "${BASH_SOURCE[0]}")/_disturbed.sh"

counter=$(dirname "$weir")/tests/exactly_once

# instance NAME: starts it, until it listens to signals; its lines stand in NAME.lines.
instance() {
    mkdir -p "$work/$1.state"
    rm -f "$work/$1.lines"
    "$counter" run "$broker_address" "$work/$1.state" >"$work/$1.lines" 2>>"$work/$1.err" &
    pids+=("$!")
    printf -v "$1" '%s' "$!"
    wait_for 10 test -s "$work/$1.lines"
}

thaw() {
    kill -CONT "${!1}" 2>/dev/null || true
}

# One thing happens to one of them.
disturb() {
    local name=$1 frozen
    case $((RANDOM % 4)) in
    0 | 1)
        printf 'kill %s\n' "$name"
        destroy "$name"
        pause 0.$((RANDOM % 10))
        instance "$name"
        ;;
    2)
        frozen=$((RANDOM % 9))
        printf 'freeze %s for %d s\n' "$name" $frozen
        kill -STOP "${!name}"
        pause $frozen
        thaw "$name"
        ;;
    3)
        printf 'leave %s\n' "$name"
        leave "$name"
        instance "$name"
        ;;
    esac
}

# Until nothing is missing any more; what is wrong is told at once.
await_end() {
    local status until_s=$((SECONDS + 90))
    while :; do
        status=0
        "$counter" check "$broker_address" >"$work/check" 2>"$work/check.err" || status=$?
        [ $status -ne 0 ] || return 0
        [ $status -eq 3 ] && [ $SECONDS -lt $until_s ] ||
            fail "$(cat "$work/check" "$work/check.err")"
        pause 0.5
    done
}

# counts_are_exact SECONDS RATE SEED
counts_are_exact() {
    local names=(one two three) name until_s=$((SECONDS + $1))
    RANDOM=$3
    printf 'seed %d\n' "$3"
    "$weir" topics create in --partitions 12 --brokers "$broker_address" >/dev/null
    "$weir" topics create out --partitions 12 --brokers "$broker_address" >/dev/null
    for name in "${names[@]}"; do
        instance "$name"
    done
    "$counter" feed "$broker_address" $(($1 * $2)) "$2" >"$work/feed" 2>"$work/feed.err" &
    local feeder=$!
    pids+=("$feeder")
    while [ $SECONDS -lt $until_s ]; do
        pause $((RANDOM % 3))
        disturb "${names[$((RANDOM % 3))]}"
    done
    wait "$feeder" || fail 'not all was fed'
    await_end
    for name in "${names[@]}"; do
        leave "$name"
    done
    await_end
    grep 'inputs' "$work/check"
    tail -qn 1 "$work"/*.lines
}
