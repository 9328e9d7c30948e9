#!/usr/bin/env bash
# Small queues, a broker and an instance that stall, a kill: nothing is lost to back-pressure.
. "$(dirname "$0")/_common.sh"
. "$(dirname "$0")/_disturbed.sh"

start_broker
back_pressure
