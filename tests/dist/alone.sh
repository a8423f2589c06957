#!/bin/sh
# Commands that are one process's work, started on several ranks: the first does it, and the others leave it the time.
# Usage: alone.sh PROGRAM ROOT
. "$2/tests/cli/tap.sh"
. "$root/tests/dist/dist.sh"
write_vit vit.yaml

# one FILE: does it hold what one process prints, once?
one() { [ "$code" = 0 ] && [ -s "$1" ] && cmp "$1" "$work/.out" >&2 && [ -z "$err" ]; }

per_rank '[ $rank = 0 ] && sleep 0.5'
run plan vit.yaml --graph=eval
cp .out plan.txt
ranks 3 plan vit.yaml --graph=eval
one plan.txt
is 'plan prints once'

run vit.yaml train.steps=1 checkpoint.at_end=true run.name=a
run export runs/a alone.safetensors
ranks 3 export runs/a together.safetensors
[ "$code" = 0 ] && cmp alone.safetensors together.safetensors >&2 && [ "$(printf '%s\n' "$out" | wc -l)" = 1 ] &&
    ! ls together.safetensors.* >&2 2>/dev/null
is 'export writes once'
ranks 3 export runs/a together.safetensors
[ "$code" = 2 ] && [ "$(printf '%s\n' "$err" | grep -c '^dyttrain: ')" = 1 ]
is 'what the first cannot do is told once'

run eval runs/a --print-config parallel.start_limit=2
cp .out eval.txt

# Nobody meets, so any rank may be started alone.
WORLD_SIZE=2 MASTER_ADDR=nowhere.invalid
export RANK WORLD_SIZE MASTER_ADDR
RANK=1
run export runs/a second.safetensors
[ "$code" = 0 ] && [ -z "$out" ] && has err "'export' is one process's work and left to rank 0" &&
    [ ! -e second.safetensors ]
is 'RANK and WORLD_SIZE: the second has nothing to do, and says so'
run vit.yaml --print-config
[ "$code" = 0 ] && [ -z "$out" ] && has err "'train --print-config' is one process's work"
is 'and with what, where all have their part in the command without it'
run eval runs/a --print-config parallel.start_limit=2
[ "$code" = 0 ] && [ -z "$out" ] && has err "'eval --print-config' is one process's work"
is 'that of an evaluation, too'
run --help
[ "$code" = 0 ] && [ -n "$out" ]
is 'RANK and WORLD_SIZE: it explains itself anywhere'
RANK=0
run plan vit.yaml --graph=eval
one plan.txt
is 'RANK and WORLD_SIZE: the first does it'
run eval runs/a --print-config parallel.start_limit=2
one eval.txt
is 'and waits for nobody'
RANK=1 DYTTRAIN_LAUNCH=single
export DYTTRAIN_LAUNCH
run plan vit.yaml --graph=eval
one plan.txt
is 'DYTTRAIN_LAUNCH=single: each does it'
unset RANK MASTER_ADDR DYTTRAIN_LAUNCH
run plan vit.yaml --graph=eval
one plan.txt
is 'WORLD_SIZE alone, as scripts set it for what they start, changes nothing'
unset WORLD_SIZE
DYTTRAIN_LAUNCH=environment
export DYTTRAIN_LAUNCH
run plan vit.yaml --graph=eval
one plan.txt
is 'nor does DYTTRAIN_LAUNCH alone'
DYTTRAIN_LAUNCH=mpirun
run plan vit.yaml --graph=eval
[ "$code" = 2 ] && has err "DYTTRAIN_LAUNCH='mpirun' is none of single, mpi, environment" && [ -z "$out" ]
is 'but a word of it that says nothing is refused'
unset DYTTRAIN_LAUNCH

SLURM_PROCID=1 SLURM_STEP_NUM_TASKS=2
export SLURM_PROCID SLURM_STEP_NUM_TASKS
run plan vit.yaml --graph=eval
one plan.txt
is 'tasks that cannot be told from runs of their own do it each'
unset SLURM_PROCID SLURM_STEP_NUM_TASKS

run vit.yaml --print-config
cp .out config.txt
ranks 2 vit.yaml --print-config
one config.txt
is '--print-config of a training prints once, and meets nobody'
export DYTTRAIN="$program"
"$launch" 2 "$root/scripts/sweep_lr.sh" vit.yaml 1e-3 train.steps=1 >.out 2>.err </dev/null
code=$? out=$(cat .out) err=$(cat .err)
[ "$code" = 0 ] && [ "$(printf '%s\n' "$out" | grep -c '^1 done')" = 1 ] && [ -z "$err" ] &&
    [ -e runs/sweep-lr-vit/summary.md ]
is 'a sweep is one'
ranks 2 doctor
[ "$code" = 0 ] && [ "$(printf '%s\n' "$out" | grep -c '^dyttrain')" = 2 ]
is 'doctor is of each host'
done_testing
