#!/usr/bin/env bash
# Partitions are added to the input of running instances, on Apache Kafka; every record has a result
# or a dead letter. A member of the group that knows no tasks is waited for.
. "$(dirname "$0")/_common.sh"
. "$(dirname "$0")/_disturbed.sh"

start_kafka
partitions_grow
