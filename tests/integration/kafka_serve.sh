#!/usr/bin/env bash
# The same programs on a real Apache Kafka: instances are killed, leave and come under load; every
# record has a result or a dead letter, and others can read them.
. "$(dirname "$0")/_common.sh"
. "$(dirname "$0")/_disturbed.sh"

start_kafka
kills_and_rebalances
kcat -b "$broker_address" -t scores -C -c 1 -e -q >/dev/null || fail 'kcat does not read the scores'
