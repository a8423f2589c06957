#!/bin/sh
# What goes wrong in the middle of a run of several ranks ends all of them, or none: one message, soon.
# Usage: failures.sh PROGRAM ROOT FAULT_LIBRARY
fault=$(realpath "$3") # before the folder is changed
. "$2/tests/cli/tap.sh"
. "$root/tests/dist/dist.sh"
write_vit vit.yaml

# tells TEXT: is it in what was written, and is there one line of the program?
tells() { has err "$1" && [ "$(printf '%s\n' "$err" | grep -c '^\(dyttrain\|error\): ')" = 1 ]; }
lines() { cat "$1" 2>/dev/null | wc -l; }

# --- steps that do not commit ---

set -- optim.lr=1e30 optim.kind=sgd
ranks 2 vit.yaml run.name=stop "$@"
[ "$code" = 1 ] && tells 'is not finite: a lower optim.lr'
is 'a gradient that is not finite ends all ranks'
ranks 2 vit.yaml run.name=skip train.on_nonfinite=skip train.skip_limit=3 "$@"
[ "$code" = 1 ] && tells 'the gradients of 3 steps in a row'
is 'as many skipped steps as are allowed end all ranks'
ranks 2 vit.yaml run.name=back train.on_nonfinite=rollback train.rollback_limit=2 "$@"
[ "$code" = 1 ] && tells 'after as many rollbacks' && [ "$(grep -c 'rolled back to step 0' runs/back/log.txt)" = 2 ] &&
    [ "$(grep -c 'rolled back to step 0' runs/back/log.rank-0001.txt)" = 2 ]
is 'all ranks roll back together'

# --- what the first rank cannot write ---

per_rank '[ $rank = 0 ] && export LD_PRELOAD='"$fault"' DT_FAULT=write:30+:metrics'
ranks 2 vit.yaml run.name=full train.steps=60
[ "$code" = 1 ] && tells 'metrics.jsonl' && has err 'of 60 is saved: go on with --resume'
is 'a report that cannot be written ends all ranks'
ranks 2 vit.yaml run.name=on train.steps=60 checkpoint.on_error=continue
[ "$code" = 0 ] && has err 'going on, as checkpoint.on_error says'
is 'or none, where checkpoint.on_error says so'

# --- deaths ---

per_rank 'echo $$ >pid.$rank'
# kill_one RANK RANKS: in the middle of a run
kill_one() {
    rm -rf runs/dead
    {
        while [ "$(lines runs/dead/metrics.jsonl)" -lt 40 ]; do sleep 0.01; done
        kill -s KILL "$(cat "pid.$1")"
        date +%s >killed
    } &
    ranks "$2" vit.yaml run.name=dead train.steps=1000000
    wait
    took=$(($(date +%s) - $(cat killed)))
}
kill_one 1 2
[ "$code" != 0 ] && tells 'rank 1 on ' && [ $took -lt 30 ]
is 'a rank that is killed: named, within 30 s'
kill_one 0 4
[ "$code" != 0 ] && tells 'rank 0 on ' && [ $took -lt 30 ]
is 'rank 0 killed: named by another, within 30 s'

# --- a log that hangs, as on a file system whose server is gone ---

per_rank
ranks 2 vit.yaml run.name=stuck train.steps=1 checkpoint.at_end=true
rm runs/stuck/log.txt
mkfifo runs/stuck/log.txt
exec 9<>runs/stuck/log.txt # which nobody reads
ranks 2 vit.yaml run.name=stuck train.steps=1000000 parallel.hang_limit=2 parallel.start_limit=2 --resume
[ "$code" = 1 ] && tells 'rank 0 on ' && has err 'hangs: no progress for '
is 'a rank that hangs in its log says so'
exec 9<&-

# --- a rank that stays where it is ---

per_rank 'export LD_PRELOAD='"$fault"' DT_FAULT=stall' 'echo $$ >pid.$rank'
{
    while [ "$(lines runs/still/metrics.jsonl)" -lt 5 ]; do sleep 0.01; done
    sleep 2
    kill -s USR2 "$(cat pid.1)"
    date +%s >stalled
} &
ranks 2 vit.yaml run.name=still train.steps=5 data.synthetic_count=40000000 parallel.hang_limit=3 parallel.wait_limit=60
wait
took=$(($(date +%s) - $(cat stalled)))
[ "$code" = 1 ] && tells 'rank 1 on ' && has err 's in an evaluation after step 4, where' && [ $took -lt 30 ]
is 'a rank that does not get on in an evaluation: named, within 30 s'

# Many small steps are timed; where it waits within a collective for the other, who waits for it, both hang.
{
    while ! grep -q . pid.1 2>/dev/null; do sleep 0.01; done
    sleep 3
    kill -s USR2 "$(cat pid.1)"
} &
rm -f pid.1
ranks 2 bench vit.yaml data.batch=2048 parallel.start_limit=6 parallel.hang_limit=3 parallel.wait_limit=6
wait
[ "$code" = 1 ] && { tells 'no progress for ' || tells 'did not come to '; }
is 'a rank that does not get on in a benchmark ends it'
done_testing
