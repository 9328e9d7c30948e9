#!/usr/bin/env bash
# The history checker (tests/history) for SOAK_SECONDS (600) on our broker, in rounds with a seed
# each, and for one round on Apache Kafka, which shows that the checker raises no false alarm.
set -uo pipefail
run=$WEIR_SOURCE_DIR/tests/history/run.py
round=120
seed=${SOAK_SEED:-$((RANDOM * 32768 + RANDOM))}
status=0
for ((done_s = 0; done_s < ${SOAK_SECONDS:-600}; done_s += round)); do
    /usr/bin/python3 "$run" --seconds $round --seed "$seed" || status=1
    seed=$((seed + 1))
done
kafka=0
/usr/bin/python3 "$run" --seconds $round --seed "$seed" --kafka || kafka=$?
[ $status -ne 0 ] || status=$kafka
exit $status
