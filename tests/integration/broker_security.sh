#!/usr/bin/env bash
# A broker with TLS and users, word for word as docs/security.md has it: certificates by openssl,
# users by weir, and kcat, weir's own clients and strangers at its door.
. "$(dirname "$0")/_common.sh"
for tool in kcat openssl curl; do
    command -v $tool >/dev/null || { printf '%s is missing: run scripts/deps test\n' $tool; exit 77; }
done
cd "$work"

# ---- certificates, as in docs/security.md
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 \
    -subj /CN=our-ca -keyout ca.key -out ca.pem 2>/dev/null
certify() { # certify NAME SUBJECT-ALTERNATIVES
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1" \
        -keyout "$1.key" -out "$1.csr" 2>/dev/null
    openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -days 365 \
        -extfile <(printf 'subjectAltName=%s' "$2") -out "$1.crt" 2>/dev/null
}
certify broker DNS:localhost,IP:127.0.0.1
certify client DNS:client
cat broker.crt broker.key >broker.pem
chmod 600 broker.pem

# ---- users
printf 'wonder,land=1\n' | "$weir" users add alice --data-dir data >/dev/null
printf 'builder\n' | "$weir" users add 'b=ob, the 2nd' --data-dir data >/dev/null
[ "$(stat -c %a data/weir-users)" = 600 ] || fail 'the file of users can be read by others'
! grep -q -e wonder -e builder data/weir-users || fail 'a password stands in the file'
[ "$("$weir" users list --data-dir data)" = $'alice\nb=ob, the 2nd' ] || fail 'the list of users'

cat >server.properties <<'END'
listeners=SASL_SSL://127.0.0.1:0,SSL://127.0.0.1:0,SASL_PLAINTEXT://127.0.0.1:0
log.dirs=data
ssl.keystore.location=broker.pem
ssl.client.auth=requested
ssl.truststore.location=ca.pem
num.network.threads=3
END
"$weir" broker --config server.properties --metrics 127.0.0.1:0 >broker.log 2>broker.err &
pids+=($!)
wait_for 10 grep -q '^metrics: ' broker.log
address() { sed -n "s|^listening: $1://||p" broker.log; }
secure=$(address SASL_SSL) half=$(address SASL_PLAINTEXT) certified=$(address SSL)

# ---- who comes in
seq 1 2000 >lines
read_back() { # read_back TOPIC ARGS...
    local topic=$1
    shift
    kcat "$@" -q -C -t "$topic" -e -o beginning >received
    cmp -s lines received || fail "what $topic brought is not what was sent"
}
for mechanism in PLAIN SCRAM-SHA-256 SCRAM-SHA-512; do
    for user in 'alice wonder,land=1' 'b=ob, the 2nd builder'; do
        as=(-b "$secure" -X security.protocol=SASL_SSL -X ssl.ca.location=ca.pem
            -X ssl.endpoint.identification.algorithm=https -X "sasl.mechanisms=$mechanism"
            -X "sasl.username=${user% *}" -X "sasl.password=${user##* }")
        topic=t-$mechanism-${#user}
        kcat "${as[@]}" -q -P -t "$topic" -l lines
        read_back "$topic" "${as[@]}"
    done
done
as=(-b "$half" -X security.protocol=SASL_PLAINTEXT -X sasl.mechanisms=SCRAM-SHA-512
    -X sasl.username=alice -X 'sasl.password=wonder,land=1')
read_back t-PLAIN-19 "${as[@]}"
as=(-b "$certified" -X security.protocol=SSL -X ssl.ca.location=ca.pem
    -X ssl.certificate.location=client.crt -X ssl.key.location=client.key)
read_back t-PLAIN-19 "${as[@]}"

# ---- weir's own clients
client=(--brokers "$secure" -X security.protocol=SASL_SSL -X ssl.ca.location=ca.pem
    -X sasl.mechanisms=SCRAM-SHA-256 -X sasl.username=alice -X 'sasl.password=wonder,land=1')
"$weir" topics list "${client[@]}" | grep '^t-SCRAM-SHA-256-19 ' >/dev/null || fail 'weir topics'
"$weir" provide "${client[@]}" --once --count 20 --rate 0 >provide.log 2>provide.err || fail 'weir provide'
[ "$("$weir" read mdata "${client[@]}" --count 20 | wc -l)" -eq 20 ] || fail 'weir read'
cat >client.properties <<END
bootstrap.servers=$secure
security.protocol=SASL_SSL
ssl.ca.location=ca.pem
sasl.mechanisms=PLAIN
sasl.username=alice
sasl.password=wonder,land=1
END
"$weir" serve streams memory --config client.properties --http 127.0.0.1:0 >serve.log 2>serve.err &
pids+=($!)
scored() { [ "$("$weir" read scores --config client.properties --count 20 2>/dev/null | wc -l)" -eq 20 ]; }
wait_for 30 scored
kill -TERM "${pids[-1]}"
wait "${pids[-1]}" || fail 'weir serve ends badly'

# ---- who does not
strangers=()
stranger() { # stranger WORDS ARGS...: kcat is refused, and told why; all of them at once
    {
        local words=$1 log=stranger-${#strangers[@]}.log
        shift
        ! timeout 6 kcat "$@" -L -m 2 >"$log.out" 2>"$log" || fail "let in: $*"
        [ -z "$words" ] || grep -qi -- "$words" "$log" || { cat "$log"; fail "$*: no word of $words"; }
    } &
    strangers+=($!)
}
all_are_refused() {
    local pid
    for pid in "${strangers[@]}"; do
        wait "$pid" || fail 'a stranger'
    done
    strangers=()
}
tls=(-b "$secure" -X security.protocol=SASL_SSL -X ssl.ca.location=ca.pem)
stranger 'wrong user name or password' "${tls[@]}" -X sasl.mechanisms=SCRAM-SHA-256 \
    -X sasl.username=alice -X sasl.password=wonderland
stranger 'wrong user name or password' "${tls[@]}" -X sasl.mechanisms=PLAIN \
    -X sasl.username=mallory -X sasl.password=builder
stranger 'certificate verify failed' -b "$secure" -X security.protocol=SASL_SSL \
    -X sasl.mechanisms=PLAIN -X sasl.username=alice -X sasl.password=wonder,land=1
stranger '' -b "$secure"                                # no TLS where it is asked for
stranger '' -b "$half"                                  # nobody in particular
stranger 'unsupported' -b "$half" -X security.protocol=SASL_PLAINTEXT -X sasl.mechanisms=PLAIN \
    -X sasl.username=alice -X sasl.password=wonder,land=1
all_are_refused
curl -s "$(sed -n 's/^metrics: //p' broker.log)" >metrics
counted() { awk -v name="$1" '$1 == name { found = $2 } END { exit !(found >= '"$2"') }' metrics ||
    { cat metrics; fail "$1 is not at least $2"; }; }
counted weir_broker_authentications_total 10
counted weir_broker_authentication_failures_total 3
counted weir_broker_tls_handshake_failures_total 2
counted 'weir_broker_api_requests_total{api="SaslAuthenticate"}' 10
counted 'weir_broker_api_requests_total{api="Produce"}' 6

# A user who is taken out does not come in again.
"$weir" users remove alice --data-dir data >/dev/null
wait_for 10 grep -q 'was read again: 1 users' broker.err
stranger 'wrong user name or password' "${tls[@]}" -X sasl.mechanisms=SCRAM-SHA-256 \
    -X sasl.username=alice -X sasl.password=wonder,land=1
all_are_refused
printf 'three mechanisms over TLS, certificates of clients, strangers left outside\n'
