# Shared by the tests of a Kafka Streams application that counts exactly once (java/streams/Counts):
# starting it, and what its end has to show.
# shellcheck source=tests/integration/_java.sh
. "$(dirname "${BASH_SOURCE[0]}")/_java.sh"

fetch 4.1.0
streams=$("$source_dir/scripts/fetch-kafka" --streams) || exit $?
class_path="${jars[4.1.0]}/*:$streams/*"
javac -nowarn -Xlint:none -XDsuppressNotes -d "$work/classes" -cp "$class_path" \
    "$source_dir/tests/integration/java/streams/Counts.java" || fail 'Counts does not compile'
now=$(date +%s)
COUNTS_BASE_MS=$((now - now % 10))000 # of the first window
export COUNTS_BASE_MS

# application NAME ADDRESS: starts one; sets the variable NAME to its process. Its lines stand in
# NAME.run, its state in NAME.state.
application() {
    : >"$work/$1.run"
    "${java[@]}" -cp "$work/classes:$class_path" Counts run "$2" "$work/$1.state" \
        >>"$work/$1.run" 2>"$work/$1.run.err" &
    pids+=("$!")
    printf -v "$1" '%s' "$!"
}

# ended NAME ADDRESS RECORDS: runs one to the end of the input; all it says of it stands in NAME.
ended() {
    run "$work/$1.end" "$class_path" Counts check "$2" "$work/$1.state" "$3" || return
    grep -v '^state' "$work/$1.end" >"$work/$1"
}

# is_exact NAME RECORDS: not only the same of both brokers.
is_exact() {
    local line
    for line in "records: $2" 'each update once: true' 'counts: as they should be' \
        'store: as it should be' 'changelog: as the store' "each change once: true $2" \
        'end: reached'; do
        grep -qxF "$line" "$work/$1" || { head -20 "$work/$1"; fail "no line says: $line"; }
    done
}
