#!/bin/sh
# The graphs of a tiny ViT and a tiny LLaMA after all passes, against the golden texts beside their configs: a change of builders, passes or
# order shows here, and is then either meant or found. Usage: golden.sh PROGRAM ROOT (from the cli tests' tap.sh).
# To renew: dyttrain plan --graph pass tests/rewrite/golden/vit.yaml > tests/rewrite/golden/vit.pass.txt
. "$2/tests/cli/tap.sh"
golden=$root/tests/rewrite/golden
for graph in vit.pass vit.update vit.eval llama.pass llama.eval; do
    run plan --graph ${graph#*.} "$golden/${graph%.*}.yaml"
    printf '%s\n' "$out" >"$work/$graph.txt"
    diff -u "$golden/$graph.txt" "$work/$graph.txt" >&2
    is "the graph $graph is the golden one"
done
# One of two ranks, with a bucket for each unit: gradients are summed up behind their last contributor; at level 3
# parameters are gathered ahead of their use, and again for the backward pass.
for level in 1 3; do
    run plan --graph pass --ranks 2 parallel.zero=$level parallel.bucket_mib=0 "$golden/vit.yaml"
    printf '%s\n' "$out" >"$work/vit.pass_zero$level.txt"
    diff -u "$golden/vit.pass_zero$level.txt" "$work/vit.pass_zero$level.txt" >&2
    is "the graph of pass on one of two ranks at parallel.zero=$level is the golden one"
done
# For a GPU, where the program is built for one; the plan does not need it to be there. The residual stream in bfloat16
# like the rest, and beside it in float32.
for residual in bf16 f32; do
    name=pass_bf16
    [ $residual = bf16 ] || name=${name}_$residual
    run plan --graph pass device=cuda precision.mode=bf16 precision.residual=$residual "$golden/vit.yaml"
    if ! has err 'built without CUDA'; then
        printf '%s\n' "$out" >"$work/$name.txt"
        diff -u "$golden/vit.$name.txt" "$work/$name.txt" >&2
        is "the graph of pass in bfloat16 with a residual stream in $residual is the golden one"
    fi
done
done_testing
