#!/usr/bin/env bash
# Transactions of Kafka's own clients, and the tool that looks at them, against our broker and against
# Apache Kafka: what they say of either is compared line by line. It takes a minute: Apache Kafka looks
# every ten seconds for transactions that have timed out.
. "$(dirname "$0")/_java.sh"

fetch 3.9.1 4.1.0
start_both
compile 3.9.1

for version in 3.9.1 4.1.0; do
    both "transactions-$version" "$version" Transactions
done

# The scenario has left a transaction open, in one-1 from offset 12 on.
tools() { # tools ADDRESS OUT
    sed "s|@T|org.apache.kafka.tools.TransactionsCommand; --bootstrap-server; $1|
        s| *; *|\t|g" >"$2.list" <<'TOOLS'
list; @T; list
list; @T; list; --duration-filter; 3600000
describe; @T; describe; --transactional-id; open
describe; @T; describe; --transactional-id; unheard
producers; @T; describe-producers; --topic; one; --partition; 1
hanging; @T; find-hanging; --broker-id; 1
hanging; @T; find-hanging; --topic; one; --max-transaction-timeout; 1
abort; @T; abort; --topic; one; --partition; 1; --start-offset; 11
abort; @T; abort; --topic; one; --partition; 1; --start-offset; 12
producers; @T; describe-producers; --topic; one; --partition; 1
terminate; @T; forceTerminateTransaction; --transactionalId; open
describe; @T; describe; --transactional-id; open
TOOLS
    run "$2.raw" "${jars[4.1.0]}/*" Tools "$2.list" || return
    # Sorted, for some come in the order of a hash map; without producer ids, epochs, sequences and
    # times.
    awk '/^== / { title = $2; number++ }
        title == "list" && $2 == 1 { $3 = "ID" }
        title == "describe" && $1 == 1 { $3 = "ID"; $4 = "EPOCH"; $7 = $8 = "TIME" }
        title == "producers" && /^[0-9]/ { $1 = "ID"; $2 = "EPOCH"; $4 = "SEQUENCE"; $5 = "TIME" }
        /^[ \t]+at |^[ \t]*$/ { next }
        { gsub(/[ \t]+/, " ")
          sub(/ $/, "")
          printf "%02d %s\n", number, $0 }' "$2.raw" | sort >"$2"
}

tools "$kafka" "$work/tools.kafka" &
other=$!
tools "$broker_address" "$work/tools.ours" || fail 'the tools'
wait $other || fail 'the tools with Apache Kafka'
[ "$(grep -c ' -> ' "$work/tools.ours")" -eq 12 ] || fail 'a tool has not run'
compare tools
stop_both
