#!/bin/sh
# The same training on several ranks as on one: 20 steps of AdamW, and an evaluation whose last batches are uneven.
# Usage: train.sh PROGRAM ROOT pairs|all: a choice in which every two settings meet, or all of them together.
. "$2/tests/cli/tap.sh"
. "$root/tests/dist/dist.sh"
write_vit vit.yaml
write_llama llama.yaml

# limit TYPE: how far losses may be from those of one rank
limit() {
    case $1 in
    fp64) echo 1e-12 ;;
    *) echo 1e-6 ;;
    esac
}

alone() {
    [ -d "runs/$1-$2" ] || run "$1.yaml" "precision.mode=$2" "run.name=$1-$2"
}

# one MODEL TYPE ACCUMULATE RANKS
one() {
    name=$1-$2-$3-$4
    alone "$1" "$2"
    ranks "$4" "$1.yaml" "precision.mode=$2" "train.accumulate=$3" "run.name=$name"
    [ "$code" = 0 ] && same_curve "$1-$2" "$name" "$(limit "$2")"
    is "$1 in $2 on $4 ranks, $3 micro-batches: the same losses as alone"
}

if [ "$3" = all ]; then
    for model in vit llama; do for type in fp64 fp32; do for accumulate in 1 4; do for n in 2 4; do
        one $model $type $accumulate $n
    done; done; done; done
else
    one vit fp64 1 4
    one vit fp32 4 2
    one llama fp64 4 4
    one llama fp32 1 2
    one llama fp64 1 2
fi

# The same number of ranks again, and 3, which has no tree of pairs.
sed -i 's/batch: 16/batch: 12/' vit.yaml llama.yaml
for model in vit llama; do
    for again in 1 2; do ranks 3 $model.yaml run.name=$model-again-$again debug.check_ranks_every_steps=5; done
    [ "$code" = 0 ] && same_bits $model-again-1 $model-again-2
    is "$model on 3 ranks twice: the same bits, and the same weights on all ranks"
done

# The command, which writes the loss to all its digits, and which has no use for the run's groups and what it sends.
loss_of() { printf '%s' "$out" | sed -nE 's/.*"loss":([^,]+),.*"samples":20,.*/\1/p'; }
run vit.yaml run.name=kept precision.mode=fp64 checkpoint.at_end=true parallel.shard_group=2 parallel.grad_dtype=bf16
run eval runs/kept --json
alone=$(loss_of)
ranks 3 eval runs/kept --json eval.batch=4
[ "$code" = 0 ] && [ -n "$alone" ] && echo "$alone $(loss_of)" |
    awk '{ d = $1 - $2; exit NF != 2 || d > 1e-12 || d < -1e-12 }'
is 'dyttrain eval on 3 ranks: the same loss of the same samples, said once'
done_testing
