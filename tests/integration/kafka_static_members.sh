#!/usr/bin/env bash
# An instance of two threads that is a static member dies and comes back, on Apache Kafka: every
# record has a result or a dead letter, and no other instance is disturbed.
. "$(dirname "$0")/_common.sh"
. "$(dirname "$0")/_disturbed.sh"

start_kafka
static_members
