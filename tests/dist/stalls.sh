#!/bin/sh
# A rank that stays where it is, at random instants of a run that evaluates and saves behind every step: all end, soon.
# Usage: stalls.sh PROGRAM ROOT FAULT_LIBRARY
fault=$(realpath "$3") # before the folder is changed
. "$2/tests/cli/tap.sh"
. "$root/tests/dist/dist.sh"
write_vit vit.yaml
sed -i 's/train: .*/train: {steps: 1000000, ema: 0.9}/; s/eval: .*/eval: {every_steps: 1, batch: 3}/
    s/checkpoint: .*/checkpoint: {every_steps: 1, keep: 2, best_metric: none}/; s/batch: 16/batch: 12/' vit.yaml

random() { echo $(($(od -An -N4 -tu4 /dev/urandom) % $1)); }
lines() { cat "$1" 2>/dev/null | wc -l; }

# stall_one RANK WORD...
stall_one() {
    bad=$1
    shift
    rm -rf runs pid.*
    {
        while [ "$(lines runs/still/metrics.jsonl)" -lt 10 ]; do sleep 0.01; done
        sleep "$(printf '0.%03d' "$(random 1000)")"
        kill -s USR2 "$(cat "pid.$bad")"
        date +%s >stalled
    } &
    ranks 3 vit.yaml run.name=still parallel.hang_limit=3 parallel.wait_limit=20 "$@"
    wait
    took=$(($(date +%s) - $(cat stalled)))
}

per_rank 'export LD_PRELOAD='"$fault"' DT_FAULT=stall' 'echo $$ >pid.$rank'
for level in 0 1 2 3; do
    for rank in 0 1 2; do
        stall_one $rank parallel.zero=$level
        [ "$code" != 0 ] && { has err ': no progress for ' || has err 'did not come to '; } && [ $took -lt 30 ]
        is "rank $rank does not get on, with parallel.zero=$level: all end within 30 s"
    done
done
done_testing
