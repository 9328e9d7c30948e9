#!/usr/bin/env bash
# A group of librdkafka's members shares out tasks instead of partitions, on Apache Kafka: no record
# is lost, each task begins where the last commit was, and who is no member any more commits nothing.
. "$(dirname "$0")/_tasks.sh"

start_kafka
tasks_are_shared_out
