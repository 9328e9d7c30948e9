# Shared by the tests that run the same Java against our broker and against Apache Kafka, unchanged,
# and compare line by line what it says of either.
# shellcheck source=tests/integration/_common.sh
. "$(dirname "${BASH_SOURCE[0]}")/_common.sh"

command -v javac >/dev/null || { printf 'javac is missing: run scripts/deps test\n'; exit 77; }
java=(java -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1
    -Dorg.apache.logging.log4j.level=OFF)
declare -A jars # folders, by version

# fetch VERSION...: what scripts/fetch-kafka has of them.
fetch() {
    local version
    for version; do
        jars[$version]=$("$source_dir/scripts/fetch-kafka" --version "$version") || exit $?
    done
}

# Starts both; sets kafka and broker_address.
start_both() {
    kafka=$("$source_dir/scripts/kafka-server" start --dir "$work/kafka" \
        --port $((20000 + RANDOM % 10000))) || exit $?
    pids+=("$(cat "$work/kafka/pid")")
    start_broker
}

# Ours must end in order.
stop_both() {
    kill -TERM "$broker_pid"
    wait "$broker_pid" || fail "the broker ended with $?"
    "$source_dir/scripts/kafka-server" stop --dir "$work/kafka"
}

# compile VERSION: all that needs no more than the clients of this version, which newer ones run.
compile() {
    javac -nowarn -Xlint:none -d "$work/classes" -cp "${jars[$1]}/*" \
        "$source_dir"/tests/integration/java/*.java || fail 'the clients do not compile'
}

# run OUT CLASSPATH CLASS ARGUMENTS...
run() {
    "${java[@]}" -cp "$work/classes:$2" "${@:3}" >"$1" 2>"$1.err" || { tail -5 "$1.err"; return 1; }
}

# compare WHAT: the lines of the two, which stand in WHAT.ours and WHAT.kafka.
compare() {
    [ -s "$work/$1.ours" ] || fail "$1 said nothing"
    diff "$work/$1.kafka" "$work/$1.ours" >"$work/$1.diff" ||
        { cat "$work/$1.diff"; fail "$1: Apache Kafka's answers are marked <, ours >"; }
    printf '%s: %d lines, the same of both brokers\n' "$1" "$(wc -l <"$work/$1.ours")"
}

# both WHAT VERSION CLASS: runs it against both at a time and compares; its last line is "end: reached".
both() {
    local other
    run "$work/$1.kafka" "${jars[$2]}/*" "$3" "$kafka" &
    other=$!
    run "$work/$1.ours" "${jars[$2]}/*" "$3" "$broker_address" || fail "$1"
    wait $other || fail "$1 with Apache Kafka"
    grep -q '^end: reached' "$work/$1.ours" || fail "$1 stopped"
    compare "$1"
}
