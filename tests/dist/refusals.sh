#!/bin/sh
# What keeps ranks from training together, and what ends them together: one message, which names the rank.
# Usage: refusals.sh PROGRAM ROOT
. "$2/tests/cli/tap.sh"
. "$root/tests/dist/dist.sh"
write_vit vit.yaml

# tells TEXT: is it in a line of the program, of which there is one?
tells() { has err "$1" && [ "$(printf '%s\n' "$err" | grep -c '^dyttrain: ')" = 1 ]; }

ranks 3 vit.yaml
[ "$code" = 2 ] && tells 'data.batch: a batch of 16 does not divide into 3 ranks: take 15 or 18' && [ ! -e runs ]
is 'a batch that does not divide'

per_rank '[ $rank = 1 ] && set -- "$@" optim.lr=0.5'
ranks 3 vit.yaml data.batch=15
[ "$code" = 2 ] && tells 'dyttrain: rank 1 on ' && has err 'other settings than rank 0: optim.lr is 0.5, there 0.001'
is 'other settings on one rank'

per_rank '[ $rank = 2 ] && set -- "$1" no.yaml'
ranks 3 vit.yaml data.batch=15
[ "$code" = 2 ] && tells 'dyttrain: rank 2 on ' && has err "cannot open 'no.yaml'" && [ ! -e runs ]
is 'a config that one rank does not find'

PMI_RANK=0 PMI_SIZE=2
export PMI_RANK PMI_SIZE
run vit.yaml run.name=strange
unset PMI_RANK PMI_SIZE
[ "$code" = 2 ] && tells '2 ranks were started, and MPI knows of 1' && [ ! -e runs/strange ]
is 'a launcher of another MPI'

cp "$program" other
echo >>other
per_rank '[ $rank = 2 ] && { shift; set -- ./other "$@"; }'
ranks 3 vit.yaml data.batch=15
[ "$code" = 2 ] && tells 'dyttrain: rank 2 on ' && has err 'runs another build of dyttrain'
is 'another build on one rank'

per_rank '[ $rank = 1 ] && exec sleep 60'
ranks 3 vit.yaml data.batch=15 parallel.start_limit=2
[ "$code" = 1 ] && [ "$(printf '%s\n' "$err" | grep -c '^error: ')" = 1 ] &&
    has err 'error: rank 1 of 3 on ' && has err "did not come to MPI's start within 2 s (parallel.start_limit)"
is 'a rank that does not come to MPI, which itself would wait for ever'

per_rank
ranks 2 vit.yaml no.setting=1
[ "$code" = 2 ] && tells 'unknown'
is 'a setting that no rank knows is told once'

run vit.yaml train.steps=1 checkpoint.at_end=true run.name=a
RANK=1 WORLD_SIZE=2 MASTER_ADDR=127.0.0.1 MASTER_PORT=1 timeout 30 "$program" eval runs/a parallel.start_limit=1 \
    >.out 2>.err
code=$? err=$(cat .err)
[ "$code" = 1 ] && tells 'rank 1 on ' && has err 'did not reach rank 0 within 1 s (parallel.start_limit)'
is 'an evaluation whose other rank does not come, as its words limit that'
run eval runs/a parallel.start_limit=9
[ "$code" = 0 ] && ! has err inactive
is 'and one by itself does not call the limit inactive'

# Each rank in a folder of its own: what is found there differs.
run vit.yaml train.steps=1 checkpoint.at_end=true run.name=b seed=1
mkdir here there
cp runs/a/checkpoints/*/model.safetensors here/start.safetensors
cp runs/b/checkpoints/*/model.safetensors there/start.safetensors
per_rank '[ $rank = 1 ] && cd there || cd here'
ranks 3 "$work/vit.yaml" "run.dir=$work/runs" run.name=odd init.from=start.safetensors data.batch=15 \
    debug.check_ranks_every_steps=1
[ "$code" = 1 ] && tells 'after step 0 the weights of rank 1 on ' && has err 'are not those of rank 0'
is 'other weights on one rank'

set -- init.from=start.safetensors data.batch=16 debug.check_ranks_every_steps=1 parallel.shard_group=2
ranks 4 "$work/vit.yaml" "run.dir=$work/runs" run.name=pieces parallel.zero=3 "$@"
[ "$code" = 1 ] && tells 'after step 0 the weights of rank 3 on ' && has err 'are not those of rank 1'
is 'other weights on one rank of which each keeps pieces that another has too'

# Averages: rank 1 verifies its own, rank 0 reads those that were changed here.
run vit.yaml train.steps=1 checkpoint.at_end=true run.name=c train.ema=0.9
mkdir -p here/runs there/runs
cp -r runs/c here/runs
cp -r runs/c there/runs
printf X | dd of=here/runs/c/checkpoints/step-00000001/ema.safetensors bs=1 seek=20000 conv=notrunc 2>/dev/null
ranks 2 "$work/vit.yaml" run.name=c train.ema=0.9 train.steps=2 parallel.zero=0 debug.check_ranks_every_steps=1 \
    eval.at_end=false --resume
[ "$code" = 1 ] && tells 'after step 1 the weights of rank 1 on ' && has err 'are not those of rank 0'
is 'other averages on one rank'

rm there/start.safetensors
ranks 2 "$work/vit.yaml" "run.dir=$work/runs" run.name=lost init.from=start.safetensors
[ "$code" != 0 ] && tells 'rank 1 on ' && has err 'start' && [ ! -e runs/lost ]
is 'a start that fails on one rank, and leaves no run folder'

per_rank
ranks 2 vit.yaml run.name=two log.ranks_every_steps=10
[ "$code" = 0 ] && grep -q 'ranks, steps 11 to 20: median step' runs/two/log.txt &&
    grep -q 'steps 11 to 20: median' runs/two/log.rank-0001.txt && ! grep -q 'step 1/' runs/two/log.rank-0001.txt
is 'step times are compared, and each rank has a log'
ranks 2 vit.yaml run.name=three train.steps=1 parallel.zero=3 debug.check_ranks_every_steps=1
[ "$code" = 0 ] && has err 'finds nothing to compare with parallel.zero=3'
is 'a check of weights that no two ranks keep'
half=$(($(nproc) > 1 ? $(nproc) / 2 : 1))
ranks 2 vit.yaml run.name=half threads=0 train.steps=1
[ "$code" = 0 ] && grep -q ", $half thread" runs/half/log.txt && grep -q ", $half thread" runs/half/log.rank-0001.txt
is 'ranks of a host share its processors'
ranks 2 vit.yaml run.name=two
[ "$code" = 2 ] && tells 'is there already'
is 'a run folder that is there'
done_testing
