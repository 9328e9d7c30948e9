#!/usr/bin/env bash
# Instances share four partitions under load; one is killed, one leaves, one comes. Every record has
# a result or a dead letter in the end.
. "$(dirname "$0")/_common.sh"
. "$(dirname "$0")/_disturbed.sh"

start_broker
kills_and_rebalances
