#!/usr/bin/env bash
# Kafka's own console tools in Java against a broker of ours with TLS and users, set up as
# docs/security.md has it.
. "$(dirname "$0")/_common.sh"
for tool in java openssl; do
    command -v $tool >/dev/null || { printf '%s is missing: run scripts/deps test\n' $tool; exit 77; }
done
jars=$("$source_dir/scripts/fetch-kafka") || {
    status=$?
    printf 'Apache Kafka could not be fetched\n'
    exit $status
}
cd "$work"

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 \
    -subj /CN=our-ca -keyout ca.key -out ca.pem 2>/dev/null
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=broker \
    -keyout broker.key -out broker.csr 2>/dev/null
openssl x509 -req -in broker.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 365 \
    -extfile <(printf 'subjectAltName=IP:127.0.0.1') -out broker.crt 2>/dev/null
cat broker.crt broker.key >broker.pem
printf 'wonderland\n' | "$weir" users add alice --data-dir data >/dev/null
"$weir" broker --listen SASL_SSL://127.0.0.1:0 --data-dir data \
    -X ssl.keystore.location=broker.pem >broker.log 2>broker.err &
pids+=($!)
wait_for 10 grep -q '^listening: SASL_SSL' broker.log
address=$(sed -n 's|^listening: SASL_SSL://||p' broker.log)

client() { # client MECHANISM MODULE PASSWORD
    cat >client.properties <<END
security.protocol=SASL_SSL
ssl.truststore.type=PEM
ssl.truststore.location=ca.pem
sasl.mechanism=$1
sasl.jaas.config=org.apache.kafka.common.security.$2 required username="alice" password="$3";
END
}
tool() { # tool CLASS ARGS...
    timeout 60 java -Xshare:auto -XX:TieredStopAtLevel=1 -cp "$jars/*" "org.apache.kafka.tools.$1" \
        --bootstrap-server "$address" "${@:2}" 2>tool.log
}

seq 1 500 >lines
client SCRAM-SHA-512 scram.ScramLoginModule wonderland
tool ConsoleProducer --topic java --producer.config client.properties <lines ||
    { cat tool.log; fail 'the producer'; }
client PLAIN plain.PlainLoginModule wonderland
tool consumer.ConsoleConsumer --topic java --from-beginning --max-messages 500 --group readers \
    --consumer.config client.properties >received || { cat tool.log; fail 'the consumer'; }
cmp -s lines received || fail 'what was read is not what was sent'
client SCRAM-SHA-256 scram.ScramLoginModule wonderland
tool TopicCommand --list --command-config client.properties | grep -x java >/dev/null ||
    { cat tool.log; fail 'the list of topics'; }
client SCRAM-SHA-256 scram.ScramLoginModule Wonderland
! tool TopicCommand --list --command-config client.properties >out || fail 'a wrong password'
grep -q 'SaslAuthenticationException.*wrong user name or password' out tool.log ||
    { cat out tool.log; fail 'no word of why'; }
printf 'producer, consumer and topics of Java, three mechanisms over TLS\n'
