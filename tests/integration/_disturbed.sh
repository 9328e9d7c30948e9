# What is done to servers under load, on whichever broker the test has started. Every offset is
# counted in the end: at least one result or dead letter a record.

# Instances come, are killed and go, each with a rebalance.
kills_and_rebalances() {
    local records=20000
    provide --rate 2500 --count $records --model-interval 500ms
    wait_for 20 grep -q '^model' "$work/provide.log"
    serve one
    serve two
    wait_for 30 has_task one
    wait_for 30 has_task two
    destroy one
    serve three
    wait_for 30 has_task three
    leave two
    wait "$provider" || fail "the provider ended with $?"
    grep -q "; $records records delivered" "$work/provide.log" || fail 'not all were delivered'
    count_offsets 60 $records
    leave three
}

# With exactly once: instances are killed in the middle of their transactions, and no record has two
# results or dead letters that can be read.
results_are_once() {
    local records=10000
    local once=(--guarantee exactly_once_v2 --transaction-timeout 3s)
    rm -f "$work"/{one,two,three}.{log,err}
    provide --rate 2000 --count $records --model-interval 500ms
    wait_for 20 grep -q '^model' "$work/provide.log"
    serve one "${once[@]}"
    serve two "${once[@]}"
    wait_for 30 has_task one
    wait_for 30 has_task two
    destroy one
    serve three "${once[@]}"
    wait_for 30 has_task three
    leave two
    wait "$provider" || fail "the provider ended with $?"
    count_offsets 60 $records
    [ -z "$(cat "$work/scored" "$work/dead" | sort | uniq -d)" ] || fail 'some came twice'
    leave three
}

# Queues far too small for the load on both sides, a broker that stops answering, an instance that
# stalls past its session and comes back to partitions that are another's, and one that dies with
# its queues full.
back_pressure() {
    local records=60000
    local small=(--input-buffer 1MiB --output-buffer 1MiB --batch-rows 32
        -X queue.buffering.max.messages=300 -X queued.max.messages.kbytes=256
        -X fetch.message.max.bytes=65536)
    provide --rate 4000 --count $records --model-interval 500ms
    wait_for 20 grep -q '^model' "$work/provide.log"
    serve one "${small[@]}"
    serve two "${small[@]}" --threads 2
    wait_for 30 has_task one
    wait_for 30 has_task two
    kill -STOP "$broker_pid"
    pause 3
    kill -CONT "$broker_pid"
    kill -STOP "$one"
    pause 8
    kill -STOP "$broker_pid"
    kill -CONT "$one"
    pause 2
    destroy two
    kill -CONT "$broker_pid"
    serve three "${small[@]}"
    wait "$provider" || fail "the provider ended with $?"
    grep -q "; $records records delivered" "$work/provide.log" || fail 'not all were delivered'
    count_offsets 60 $records
    leave three
    leave one
}

# Partitions are added to the input while instances run: they are more tasks, which somebody is given.
# Before that a member of the group reads the input itself, and the first instance waits until it has
# gone.
partitions_grow() {
    local records=4000
    provide --rate 4000 --count $records --model-interval 500ms
    wait "$provider" || fail "the provider ended with $?"
    kcat -b "$broker_address" -G streams-model-server -q \
        -X partition.assignment.strategy=cooperative-sticky \
        -X session.timeout.ms=6000 -X auto.offset.reset=latest mdata >/dev/null 2>&1 &
    local other=$!
    pids+=("$other")
    wait_for 20 eval "'$weir' groups describe streams-model-server --brokers $broker_address |
        grep -q 'mdata .* rdkafka '"
    serve one
    wait_for 20 grep -q 'waiting: a member of group streams-model-server' "$work/one.err"
    kill -TERM "$other"
    wait_for 30 has_task one
    serve two
    wait_for 30 has_task two
    "$weir" topics alter mdata --partitions 7 --brokers "$broker_address" >/dev/null
    wait_for 30 grep -q 'task 0_6' "$work/one.err" "$work/two.err"
    provide --rate 4000 --count $records --model-interval 500ms --partitions 7
    wait "$provider" || fail "the provider ended with $?"
    count_offsets 60 $((2 * records))
    [ "$(awk '$1 > 3' "$work/sent" | wc -l)" -gt 0 ] || fail 'nothing was sent to the new partitions'
    leave two
    leave one
}

# A static member of two threads dies and comes back within its session: each of its threads has its
# tasks again, and those of the other instance stay where they are.
static_members() {
    local records=10000 tasks others
    provide --rate 1500 --count $records --model-interval 500ms
    wait_for 20 grep -q '^model' "$work/provide.log"
    serve one --threads 2 --group-instance-id fixed
    wait_for 30 eval "[ \$(grep -o 'task 0_.' '$work/one.err' | sort -u | wc -l) -eq 4 ]"
    serve two
    wait_for 30 has_task two
    tasks=$(grep -c 'task 0_' "$work/one.err")
    others=$(grep -c 'task 0_' "$work/two.err")
    destroy one
    serve one --threads 2 --group-instance-id fixed
    wait_for 30 eval "[ \$(grep -c 'task 0_' '$work/one.err') -gt $tasks ]"
    wait "$provider" || fail "the provider ended with $?"
    count_offsets 60 $records
    [ "$(grep -c 'task 0_' "$work/two.err")" -eq "$others" ] ||
        fail 'the return of a static member moved tasks of another'
    leave two
    leave one
}
