#!/usr/bin/env bash
# The flow engine with queues far too small for the load, a broker that stops answering, an instance
# that stalls past its session and one that dies: every record has a result or a dead letter.
. "$(dirname "$0")/_common.sh"
. "$(dirname "$0")/_disturbed.sh"

engine=(flow custom)
start_broker
back_pressure
