# A group shares out tasks: members on librdkafka alone (c/task_member.c), of which one is killed, one
# stalls past its session, some come and one leaves, one of them static, while records are written. On
# whichever broker the test has started.
# shellcheck source=tests/integration/_common.sh
. "$(dirname "${BASH_SOURCE[0]}")/_common.sh"

tasks=6
records=4000 # a partition

member() { # NAME [INSTANCE_ID]
    "$work/task_member" "$broker_address" app run ${2:+"$2"} >>"$work/$1.lines" 2>>"$work/$1.err" &
    pids+=("$!")
    printf -v "$1" '%s' "$!"
}

# count_of NAME EVENT: how many such lines a member has written.
count_of() {
    awk -v event="$2" '$2 == event { n++ } END { print n + 0 }' "$work/$1.lines"
}

has_gained() {
    [ "$(count_of "$1" gained)" -gt "${2:-0}" ]
}

# Tasks that members hold by the last word on each.
held() {
    local name
    for name; do
        awk '$2 == "gained" { at[$4] = 1 } $2 == "lost" || $2 == "gone" { delete at[$4] }
             END { for (p in at) print p }' "$work/$name.lines"
    done | sort | uniq
}

all_held() {
    [ "$(held "$@" | wc -l)" -eq $tasks ]
}

# What all of them wrote, put in order: is nothing lost, does each begin where the last commit was,
# does no commit go back?
account() {
    sort -n "$work"/*.lines | awk -v records=$records -v tasks=$tasks '
        { at = $3 " " $4 }
        $2 == "read" { reads++; distinct += !seen[at " " $5]++ }
        $2 == "refused" { refused++ }
        $2 == "committed" {
            if ($5 < last[at]) { print "a commit of " at " went from " last[at] " to " $5; bad = 1 }
            last[at] = $5
        }
        $2 == "gained" {
            gained++
            if ($5 != last[at] + 0) { print at " begins at " $5 ", not at " last[at]; bad = 1 }
        }
        END {
            if (distinct != records * tasks * 2) { print distinct " records were read"; bad = 1 }
            printf "%d records, each read; %d of them again; %d partitions gained, ", \
                distinct, reads - distinct, gained
            printf "%d offsets refused\n", refused
            exit bad
        }'
}

are_read() {
    [ "$(cat "$work"/*.lines | awk '$2 == "read" { print $3, $4, $5 }' | sort -u | wc -l)" -eq \
        $((records * tasks * 2)) ]
}

tasks_are_shared_out() {
    local before name topic one two three four fixed
    # shellcheck disable=SC2046
    "${CC:-cc}" -std=gnu17 -O1 -Wall -Wextra -Werror -o "$work/task_member" \
        "$source_dir/tests/integration/c/task_member.c" $(pkg-config --cflags --libs rdkafka)
    for topic in app-tasks left right; do
        "$weir" topics create "$topic" --partitions $tasks --brokers "$broker_address" >/dev/null
    done
    "$work/task_member" "$broker_address" app load $records 25 2>"$work/load.err" &
    pids+=("$!")
    for name in one two three; do
        member $name
        wait_for 30 has_gained $name
    done
    wait_for 30 all_held one two three

    # Another one comes: one task moves to it, or two; the others stay where they are.
    before=$(cat "$work"/*.lines | grep -c ' lost ' || true)
    member four
    wait_for 30 has_gained four
    wait_for 30 all_held one two three four
    before=$(($(cat "$work"/*.lines | grep -c ' lost ') - before))
    [ $before -le 2 ] || fail "$before tasks moved for one new member"

    # One that is no member may not commit.
    "$work/task_member" "$broker_address" app intrude >"$work/intruder" 2>&1
    grep -q ' refused left 0 ' "$work/intruder" || fail "$(cat "$work/intruder")"

    destroy two
    wait_for 30 all_held one three four

    kill -STOP "$one"
    wait_for 30 all_held three four
    before=$(count_of one gone)
    kill -CONT "$one"
    wait_for 30 eval "[ \$(count_of one gone) -gt $before ]"
    wait_for 30 has_gained one "$(count_of one gained)"

    leave three
    wait_for 30 all_held one four

    # A static member that dies and comes back within its session gets its tasks again, and nobody
    # else is disturbed.
    member fixed fixed
    wait_for 30 has_gained fixed
    wait_for 30 all_held one four fixed
    before=$(cat "$work/one.lines" "$work/four.lines" | grep -cE ' (lost|gone|gained) ')
    destroy fixed
    member fixed fixed
    wait_for 30 has_gained fixed "$(count_of fixed gained)"
    [ "$(cat "$work/one.lines" "$work/four.lines" | grep -cE ' (lost|gone|gained) ')" -eq \
        "$before" ] || fail 'the return of a static member moved tasks of others'

    wait_for 90 are_read
    for name in one four fixed; do
        leave $name
    done
    account || fail 'the accounts are wrong'
}
