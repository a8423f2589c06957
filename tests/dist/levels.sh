#!/bin/sh
# Every level of sharing with every number of micro-batches, of a model in a type: the same bits at all levels where a
# step is one micro-batch, and else the losses of one rank. Usage: levels.sh PROGRAM ROOT cpu|cuda vit|llama TYPE
. "$2/tests/cli/tap.sh"
. "$root/tests/dist/dist.sh"
device=$3 model=$4 type=$5
if [ "$device" = cuda ]; then
    gpus=$(nvidia-smi -L 2>/dev/null | grep -c '^GPU')
    if [ "$gpus" -lt 2 ]; then
        echo '1..0 # SKIP it takes two GPUs'
        exit 0
    fi
    counts=$gpus
    [ "$gpus" -le 2 ] || counts="2 $gpus"
    export NCCL_NVLS_ENABLE="${NCCL_NVLS_ENABLE:-0}" # multicast wants a service that containers lack
else
    counts='2 4'
fi
"write_$model" "$model.yaml"

# How far losses may be from those of one rank.
limit() {
    case $1 in
    fp64) echo 1e-12 ;;
    fp32) [ "$device" = cpu ] && echo 1e-6 || echo 1e-4 ;;
    bf16) echo 5e-2 ;;
    esac
}

# level RANKS ACCUMULATE ZERO
level() {
    name=$1-$2
    ranks "$1" "$model.yaml" "device=$device" "precision.mode=$type" "train.accumulate=$2" "parallel.zero=$3" \
        parallel.bucket_mib=0 "run.name=$name-$3"
    bits=true
    if [ "$3" -le 1 ] || [ "$2" = 1 ]; then same_bits "$name-0" "$name-$3" || bits=false; fi
    [ "$code" = 0 ] && $bits
    is "$model in $type on $1 ranks, $2 micro-batches, parallel.zero=$3: it trains, with the bits of level 0 where it should"
    same_curve one "$name-$3" "$(limit "$type")"
    is "$model in $type on $1 ranks, $2 micro-batches, parallel.zero=$3: the losses of one rank"
}

run "$model.yaml" device="$device" precision.mode="$type" run.name=one
for n in $counts; do for accumulate in 1 4; do for zero in 0 1 2 3; do
    level "$n" $accumulate $zero
done; done; done
done_testing
