#!/usr/bin/env bash
# gpus.sh COMMAND [WORD...]: a TAP test of as many ranks as this machine has GPUs, up to 8, started by the variables
# of an environment launch. What the first rank prints is the test's output.
set -uo pipefail
count=$(nvidia-smi -L 2>/dev/null | grep -c '^GPU')
if [ "$count" -lt 2 ]; then
    echo '1..0 # SKIP it takes two GPUs'
    exit 0
fi
[ "$count" -le 8 ] || count=8
port=$((20000 + $$ % 20000))
failed=0
ranks=()
exec 3>&1
for ((rank = 0; rank < count; rank++)); do
    DYTTRAIN_LAUNCH=environment RANK=$rank LOCAL_RANK=$rank WORLD_SIZE=$count MASTER_ADDR=127.0.0.1 MASTER_PORT=$port \
        "$@" </dev/null >&3 &
    ranks+=($!)
    exec 3>&2 # the others'
done
for rank in "${ranks[@]}"; do wait "$rank" || failed=1; done
exit $failed
