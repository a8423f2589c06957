#!/bin/sh
# Every level of sharing with every number of micro-batches, in every type: the same bits at all levels where a step is
# one micro-batch, and else the losses of one rank. Usage: levels.sh PROGRAM ROOT cpu|cuda
. "$2/tests/cli/tap.sh"
. "$root/tests/dist/dist.sh"
device=$3
if [ "$device" = cuda ]; then
    gpus=$(nvidia-smi -L 2>/dev/null | grep -c '^GPU')
    if [ "$gpus" -lt 2 ]; then
        echo '1..0 # SKIP it takes two GPUs'
        exit 0
    fi
    types='fp32 bf16'
    counts=$gpus
    [ "$gpus" -le 2 ] || counts="2 $gpus"
    export NCCL_NVLS_ENABLE="${NCCL_NVLS_ENABLE:-0}" # multicast wants a service that containers lack
else
    types='fp64 fp32'
    counts='2 4'
fi
write_vit vit.yaml
write_llama llama.yaml

# How far losses may be from those of one rank; rounded ones are held against each other alone.
limit() {
    case $1 in
    fp64) echo 1e-12 ;;
    fp32) [ "$device" = cpu ] && echo 1e-6 || echo 1e-4 ;;
    bf16) echo 100 ;;
    esac
}

# level MODEL TYPE RANKS ACCUMULATE ZERO
level() {
    name=$1-$2-$3-$4
    ranks "$3" "$1.yaml" "device=$device" "precision.mode=$2" "train.accumulate=$4" "parallel.zero=$5" \
        parallel.bucket_mib=0 "run.name=$name-$5"
    bits=true
    if [ "$5" -le 1 ] || [ "$4" = 1 ]; then same_bits "$name-0" "$name-$5" || bits=false; fi
    [ "$code" = 0 ] && $bits
    is "$1 in $2 on $3 ranks, $4 micro-batches, parallel.zero=$5: it trains, with the bits of level 0 where it should"
    same_curve "$1-$2" "$name-$5" "$(limit "$2")"
    is "$1 in $2 on $3 ranks, $4 micro-batches, parallel.zero=$5: the losses of one rank"
}

for model in vit llama; do for type in $types; do
    run $model.yaml device="$device" precision.mode="$type" run.name="$model-$type"
    for n in $counts; do for accumulate in 1 4; do for zero in 0 1 2 3; do
        level $model "$type" "$n" $accumulate $zero
    done; done; done
done; done
done_testing
