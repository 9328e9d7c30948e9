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
        wait "$pid" 2>/dev/null || true
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

# Starts Apache Kafka on a free port; sets broker_address, broker_pid and kafka_command, which
# starts it again on its data. Ends the test with 77 where it can't be had.
start_kafka() {
    local status=0
    broker_address=$("$source_dir/scripts/kafka-server" start --dir "$work/kafka" \
        --port $((20000 + RANDOM % 10000))) || status=$?
    [ $status -ne 77 ] || printf 'Apache Kafka could not be fetched, or java is missing\n'
    [ $status -eq 0 ] || exit $status
    broker_pid=$(cat "$work/kafka/pid")
    pids+=("$broker_pid")
    mapfile -d '' -t kafka_command <"/proc/$broker_pid/cmdline"
}

# A length of time that belongs to the scenario: how long something is stopped, or left alone.
pause() {
    read -rt "$1" <> <(:) || true
}

# ---- a server under load, every offset counted

engine=(streams memory) # or (flow custom)

# serve NAME ARGUMENTS...: an instance of the server; sets the variable NAME to its process.
serve() {
    "$weir" serve "${engine[@]}" --brokers "$broker_address" --http 127.0.0.1:0 \
        --commit-interval 200ms -X session.timeout.ms=6000 "${@:2}" \
        >>"$work/$1.log" 2>>"$work/$1.err" &
    pids+=("$!")
    printf -v "$1" '%s' "$!"
}

# has_task NAME: the instance was given a partition.
has_task() {
    grep -q 'task 0_\|reads [1-9][0-9]* partitions' "$work/$1.err"
}

# provide ARGUMENTS...: sends damaged records, too; sets the variable provider to its process.
provide() {
    "$weir" provide --brokers "$broker_address" --partitions 4 --error-rate 0.01 \
        --data "$source_dir/samples/wine/data.csv" --models "$source_dir/samples/wine/models" \
        "$@" >"$work/provide.log" 2>>"$work/provide.err" &
    provider=$!
    pids+=("$provider")
}

# Reads all three topics: `sent`, `scored` and `dead` get a line "partition offset" for each record,
# sorted; `seen` gets what is scored or dead, each record once.
look() {
    kcat -b "$broker_address" -t mdata -C -e -q -f '%p %o\n' >"$work/mdata" 2>/dev/null &&
        "$weir" read scores --brokers "$broker_address" >"$work/scores" &&
        "$weir" read weir-dead-letters --brokers "$broker_address" >"$work/letters" || return
    sort "$work/mdata" >"$work/sent"
    sed -n 's/.*"sourcePartition":\([0-9]*\),"sourceOffset":\([0-9]*\).*/\1 \2/p' "$work/scores" |
        sort >"$work/scored"
    grep 'errors.topic","mdata"' "$work/letters" |
        sed -n 's/.*errors.partition","\([0-9]*\)".*errors.offset","\([0-9]*\)".*/\1 \2/p' |
        sort >"$work/dead" || true
    sort -um "$work/scored" "$work/dead" >"$work/seen"
}

# Every record that is on the broker has a result or a dead letter, and nothing else has one.
all_are_there() {
    look && [ -s "$work/sent" ] && cmp -s "$work/sent" "$work/seen"
}

# count_offsets SECONDS [RECORDS]: waits until each offset is accounted for, and says what there is.
# RECORDS: so many must have been sent.
count_offsets() {
    local until=$((SECONDS + $1))
    until all_are_there; do
        if [ $SECONDS -ge $until ]; then
            fail "$(comm -23 "$work/sent" "$work/seen" | wc -l) of $(wc -l <"$work/sent") records" \
                "have neither result nor dead letter: $(comm -23 "$work/sent" "$work/seen" |
                    head -n 5 | tr '\n' ',') and $(comm -13 "$work/sent" "$work/seen" | wc -l)" \
                "results are of no record"
        fi
        pause 0.5
    done
    [ $# -eq 1 ] || [ "$(wc -l <"$work/sent")" -eq "$2" ] ||
        fail "$(wc -l <"$work/sent") records were sent instead of $2"
    printf '%d records, each accounted for: %d results (%d of them errors) and %d dead letters; ' \
        "$(wc -l <"$work/sent")" "$(wc -l <"$work/scored")" \
        "$(grep -c '"error":' "$work/scores" || true)" "$(wc -l <"$work/dead")"
    printf '%d of these twice or more\n' \
        "$(cat "$work/scored" "$work/dead" | sort | uniq -d | wc -l)"
}

# destroy NAME: kill -9 of the process that the variable names.
destroy() {
    kill -KILL "${!1}"
    wait "${!1}" 2>/dev/null || true
}

# leave NAME: SIGTERM; the instance must end in order.
leave() {
    kill -TERM "${!1}"
    wait "${!1}" || fail "instance $1 ended with $?"
}
