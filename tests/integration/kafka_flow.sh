#!/usr/bin/env bash
# The model server on the flow engine and a real Apache Kafka: instances are killed, leave and come
# under load; every record has a result or a dead letter.
. "$(dirname "$0")/_common.sh"
. "$(dirname "$0")/_disturbed.sh"

engine=(flow custom)
start_kafka
kills_and_rebalances
