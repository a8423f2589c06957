#!/bin/sh
# Settings from file and command line to the resolved config, and plans of every config that comes with the program.
. "$(dirname "$0")/tap.sh"
write_tiny tiny.yaml

run tiny.yaml --print-config
[ "$code" = 0 ] && has out 'width: 16' && has out 'kind: dyt' && has out 'weight_decay: 0.05'
is '--print-config prints set and default values'
cp .out resolved.yaml
run resolved.yaml --print-config
[ "$code" = 0 ] && cmp -s .out resolved.yaml
is 'what --print-config prints resolves to itself'
run tiny.yaml --print-config seed=7 norm.alpha0.attention=0.8 norm.alpha0.ffn=0.2 optim.betas=[0.9,0.95]
[ "$code" = 0 ] && has out 'seed: 7' && has out 'attention: 0.8' && has out 'ffn: 0.2' && has out '[0.9, 0.95]'
is 'the command line wins'
cp .out resolved.yaml
run plan resolved.yaml --print-config
[ "$code" = 0 ] && cmp -s .out resolved.yaml
is 'a map of names prints as one that resolves to itself'
run resolved.yaml --dry-run
[ "$code" = 0 ] && ! has err inactive
is 'a resolved config has no inactive settings'
run tiny.yaml --dry-run norm.kind.attention=layernorm norm.alpha0.attention=3 norm.alpha0.ffn=2
[ "$code" = 0 ] && has err 'norm.alpha0.attention=3 is inactive' && ! has err 'alpha0.ffn'
is 'a setting of a site that nothing reads is listed as inactive'
run plan tiny.yaml norm.kind.attention=layernorm norm.alpha0.attention=3 optim.momentum=0.5 train.skip_limit=7
[ "$code" = 0 ] && has err 'norm.alpha0.attention=3 is inactive' && [ "$(echo "$err" | grep -c inactive)" = 1 ]
is 'plan lists what the model does not read, and nothing of what only a run does'
run plan tiny.yaml data.batch=127 train.micro_batch=126
[ "$code" = 0 ] && has err 'takes 127 passes of 1; data.batch=126 would take 2 of 63'
is 'a batch that train.micro_batch cuts to pieces is warned of'
run plan tiny.yaml data.batch=128 train.micro_batch=100
[ "$code" = 0 ] && ! has err 'passes'
is 'a batch that train.micro_batch halves is not'
run plan tiny.yaml --device cpu
[ "$code" = 0 ] && has out 'memory'
is '--device and device in the file go together'
[ ! -e runs ]
is 'none of these made a run folder'

run doctor
case $out in
*'not in this binary'*) built=no ;;
*) built=yes ;;
esac
run plan tiny.yaml device=auto precision.mode=bf16
if [ $built = yes ]; then [ "$code" = 0 ] && has out '4 x bf16' && has out 'CUDA context'
else [ "$code" = 2 ] && has err 'built without CUDA: build it where nvcc is (for a plan no GPU is needed)' &&
    has err 'precision.mode=fp32'; fi
is 'plan for the GPU that the precision needs, wherever CUDA is built in'
run plan tiny.yaml device=cpu precision.mode=bf16
[ "$code" = 2 ] && has err 'bf16 needs a GPU: on the CPU use fp32 or fp64'
is 'a plan for the CPU has no bfloat16'
run tiny.yaml device=cpu precision.mode=bf16 --print-config
[ "$code" = 2 ] && has err 'bf16 needs a GPU: on the CPU use fp32 or fp64'
is 'nor has a run, which --print-config says'
for norm in layernorm rmsnorm dyt hardtanh sigmoid identity derf isru; do
    run plan tiny.yaml norm.kind=$norm
    [ "$code" = 0 ] && has out 'parameters'
    is "plan with norm.kind=$norm"
done

# Those for a GPU compute in bfloat16.
for config in $(cd "$root/configs" && find . -maxdepth 2 -name '*.yaml' ! -path './base/*' | sort); do
    run plan "$root/configs/$config" device=cpu precision.mode=fp32
    [ "$code" = 0 ] && has out 'FLOP' && has out 'arena' && has out 'outside'
    is "plan $config"
    run "$root/configs/$config" --print-config
    [ "$code" = 0 ] && has out 'arch: '
    is "--print-config $config"
done

run plan "$root/configs/vit_b_ln.yaml" device=cpu
has out '(86567656)'
is 'ViT-B/16 has 86,567,656 parameters, as published'

batches() { # batches N: the line of plan for data.ahead=N
    run plan tiny.yaml data.batch=64 data.image=64 data.ahead="$1"
    echo "$out" | sed -n 's/^ *batches ready *//p'
}
[ "$(batches 8)" = '2.64 MiB' ] && [ "$(batches 64)" = '21.1 MiB' ]
is 'plan counts the batches that the loader has ready'
run plan tiny.yaml data.kind=fashion_mnist data.image=null
[ "$code" = 0 ] && has out 'data set             52.4 MiB'
is 'plan counts a data set that is kept in memory'

run plan tiny.yaml --graph
[ "$code" = 0 ] && has out '= attention(' && has out 'blocks.1'
is 'plan --graph prints the pass'
run plan tiny.yaml --graph update
[ "$code" = 0 ] && has out 'adamw'
is 'plan --graph update'
run plan tiny.yaml --graph=eval
[ "$code" = 0 ] && has out 'attention('
is 'plan --graph=eval'
run plan tiny.yaml --graph foo
[ "$code" = 2 ] && has err 'takes one of pass, update, eval, eval_ema, prefill, decode' && has err "'foo'"
is 'plan --graph of no program names the programs'
run plan --graph foo
[ "$code" = 2 ] && has err 'takes one of pass, update'
is 'plan --graph of no program, without a config'
run plan --graph missing.yaml
[ "$code" = 2 ] && has err "cannot open 'missing.yaml'"
is 'plan --graph of a config that is not there'
run plan tiny.yaml --graph decode
[ "$code" = 2 ] && has err 'not a language model'
is 'plan --graph decode of images'
cat >text.yaml <<'END'
model: {arch: llama, width: 16, depth: 1, heads: 2}
data: {kind: synthetic_text, context: 8, batch: 2}
END
run plan text.yaml --graph decode
[ "$code" = 0 ] && has out 'attention_cached' && has out 'cache_append'
is 'plan --graph decode'
run plan text.yaml --graph prefill
[ "$code" = 0 ] && has out 'i32[1, 8] = input()' && has out 'attention_cached'
is 'plan --graph prefill'
run plan tiny.yaml --graph eval_ema
[ "$code" = 2 ] && has err 'train.ema'
is 'plan --graph eval_ema without averaged weights'
run plan tiny.yaml --graph eval_ema train.ema=0.99
[ "$code" = 0 ] && has out 'attention('
is 'plan --graph eval_ema'
done_testing
