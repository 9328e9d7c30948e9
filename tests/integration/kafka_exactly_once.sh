#!/usr/bin/env bash
# Counts are exact, and scores come once, while instances are killed, frozen and replaced, on Apache
# Kafka, see _exactly_once.sh.
. "$(dirname "$0")/_exactly_once.sh"

start_kafka
counts_are_exact "${CHAOS_SECONDS:-10}" 2000 "${CHAOS_SEED:-$RANDOM}"
results_are_once
