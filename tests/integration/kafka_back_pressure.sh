#!/usr/bin/env bash
# Small queues, a broker and an instance that stall, a kill: the same on a real Apache Kafka.
. "$(dirname "$0")/_common.sh"
. "$(dirname "$0")/_disturbed.sh"

start_kafka
back_pressure
