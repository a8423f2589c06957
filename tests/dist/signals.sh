#!/bin/sh
# A signal to any rank: all save the step that they are in, leave with exit code 3, and go on as if nothing had been.
# Usage: signals.sh PROGRAM ROOT
. "$2/tests/cli/tap.sh"
. "$root/tests/dist/dist.sh"
write_vit vit.yaml
steps=400
lines() { cat "runs/$1/metrics.jsonl" 2>/dev/null | wc -l; }
ranks 3 vit.yaml data.batch=15 train.steps=$steps run.name=whole
[ "$code" = 0 ]
is 'a run of three ranks'

per_rank 'echo $$ >pid.$rank'

# stop RANK SIGNAL WORD...: sends it once there are metrics of a new step
stop() {
    to=$1 signal=$2
    shift 2
    before=$(lines stopped)
    {
        while [ "$(lines stopped)" -lt $((before + 40)) ]; do sleep 0.01; done
        kill -s "$signal" "$(cat "pid.$to")"
    } &
    ranks 3 vit.yaml data.batch=15 train.steps=$steps run.name=stopped "$@"
    wait
}

for rank in 0 1 2; do
    case $rank in
    0) stop 0 USR1 ;;
    1) stop 1 TERM --resume ;;
    2) stop 2 INT --resume ;;
    esac
    [ "$code" = 3 ] && has err 'dyttrain: stopped by a signal after step ' &&
        [ "$(printf '%s\n' "$err" | grep -c '^dyttrain: ')" = 1 ]
    is "a signal to rank $rank: exit code 3, said once"
done
ranks 3 vit.yaml data.batch=15 train.steps=$steps run.name=stopped --resume
[ "$code" = 0 ] && same_bits whole stopped
is 'resumed three times, it ends with the same bits'

# In an evaluation, which a signal that is there from its beginning cuts off.
per_rank 'echo $$ >pid.$rank'
{
    while [ "$(lines cut)" -lt 4 ]; do sleep 0.01; done
    kill -s USR1 "$(cat pid.1)"
} &
ranks 2 vit.yaml run.name=cut data.synthetic_count=40000 eval.every_steps=4 eval.batch=1
wait
[ "$code" = 3 ] && has err 'stopped by a signal after step ' && ! grep -q '"eval"' runs/cut/metrics.jsonl
is 'a signal to rank 1 in an evaluation'
done_testing
