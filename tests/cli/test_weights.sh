#!/bin/sh
# What is done with trained weights: eval, inspect, export, import, init.from.
. "$(dirname "$0")/tap.sh"
write_tiny tiny.yaml

run tiny.yaml train.ema=0.9
[ "$code" = 0 ]
is 'a tiny run'
checkpoint=runs/tiny/checkpoints/step-00000060

run eval runs/tiny
[ "$code" = 0 ] && has out 'step 60' && has out 'top-1' && has out 'trained'
is 'eval RUN'
run eval $checkpoint --json
[ "$code" = 0 ] && has out '"step":60' && has out '"set":"eval"' && has out '"top1":'
is 'eval CHECKPOINT --json'
loss=$(echo "$out" | sed 's/.*"loss":\([^,]*\),.*/\1/')
[ -n "$loss" ] && grep -q "\"eval\":{\"loss\":$loss," runs/tiny/metrics.jsonl
is 'eval finds the very loss that the run reported'
run eval runs/tiny --ema
[ "$code" = 0 ] && has out 'averaged'
is 'eval --ema'
run eval runs/tiny device=cpu precision.mode=bf16 --json
[ "$code" = 0 ] && has out "\"loss\":$loss," && has err 'computing in float32'
is 'eval on the CPU of a run in bfloat16 computes in float32'
run eval runs/tiny eval.batch=7 --json
[ "$code" = 0 ] && has out '"samples":40'
is 'eval with another batch sees every sample once'
run eval runs/tiny norm.epsilon=1e-3 eval.batch=9 model.depth=2
[ "$code" = 0 ] && has err 'norm.epsilon=1e-3 is inactive' && [ "$(echo "$err" | grep -c inactive)" = 1 ]
is 'eval lists which of its words nothing reads'
run eval runs/tiny --print-config precision.mode=bf16
[ "$code" = 0 ] && has out 'width: 16'
is 'eval --print-config'

run inspect runs/tiny
[ "$code" = 0 ] && has out 'step-00000060' && has out 'last eval'
is 'inspect RUN'
mkdir runs/tiny/checkpoints/step-00000070.tmp
run inspect runs/tiny --verify
[ "$code" = 0 ] && has out 'verified' && ! has out 'step-00000070'
is 'inspect RUN --verify, while the run writes another checkpoint'
rmdir runs/tiny/checkpoints/step-00000070.tmp
run inspect $checkpoint --verify
[ "$code" = 0 ] && has out 'blocks.0.attn.qkv.weight' && has out '[48, 16]' && has out 'alpha by site' &&
    has out 'all sizes and checksums hold' && has out 'cpu_kernels'
is 'inspect CHECKPOINT: parameters, alphas, numerics, checksums'

run export runs/tiny weights.safetensors
[ "$code" = 0 ] && has out 'weights.safetensors' && [ -s weights.safetensors ]
is 'export'
run export runs/tiny weights.safetensors
[ "$code" = 2 ] && has err "'weights.safetensors' exists"
is 'export does not overwrite'
run inspect weights.safetensors
[ "$code" = 0 ] && has out 'head.weight' && has out 'alpha by site'
is 'inspect FILE.safetensors'
run inspect weights.safetensors --verify
[ "$code" = 2 ] && has err 'checksums'
is 'inspect FILE.safetensors --verify has nothing to verify with'
run export runs/tiny averaged.safetensors --ema
[ "$code" = 0 ] && ! cmp -s weights.safetensors averaged.safetensors
is 'export --ema writes other weights'

run import weights.safetensors tiny.yaml imported
[ "$code" = 0 ] && [ -e imported/checkpoints/step-00000000/manifest.json ]
is 'import'
run eval imported --json
[ "$code" = 0 ] && has out "\"loss\":$loss"
is 'imported weights have the same loss'
run eval imported --ema
[ "$code" = 1 ] && has err 'has no averaged weights'
is 'eval --ema of a run without an average says so'
run export imported again.safetensors
run inspect again.safetensors
cp .out again.txt
run inspect weights.safetensors
sed 1,2d .out >first.txt
sed 1,2d again.txt | cmp -s - first.txt
is 'export, import, export: the same numbers'
run tiny.yaml run.dir=. run.name=imported --resume
[ "$code" = 1 ] && has err 'has no state for' && has err 'init.from'
is 'imported weights are nothing to resume: init.from is for them'
run import weights.safetensors tiny.yaml narrow precision.mode=bf16 train.micro_batch=7 data.batch=13
[ "$code" = 0 ] && [ -z "$err" ]
is 'import says nothing of computing or of passes, of which it makes none'
for mode in fp32 tf32 bf16; do
    CUDA_VISIBLE_DEVICES='' run import weights.safetensors tiny.yaml for-$mode device=cuda precision.mode=$mode
    [ "$code" = 0 ] && [ -z "$err" ] && CUDA_VISIBLE_DEVICES='' run inspect for-$mode/checkpoints/step-00000000 &&
        [ "$code" = 0 ] && CUDA_VISIBLE_DEVICES='' run export for-$mode $mode.safetensors && [ "$code" = 0 ] &&
        run inspect $mode.safetensors && sed 1,2d .out | cmp -s - first.txt
    is "import, inspect and export of a run for a GPU in $mode need none"
done
run import weights.safetensors tiny.yaml imported
[ "$code" = 2 ] && has err "'imported' exists"
is 'import does not overwrite'
run import weights.safetensors tiny.yaml other model.depth=3
[ "$code" = 1 ] && has err 'blocks.2' && [ ! -e other ]
is 'import into another model names what is missing, and leaves nothing'
run import weights.safetensors tiny.yaml weights.safetensors/other
[ "$code" = 1 ] && has err "cannot make folder" && ! has err 'is left'
is 'import into a file that is no folder leaves nothing either'
run import weights.safetensors tiny.yaml other data.classes=5
[ "$code" = 1 ] && has err 'head.weight'
is 'import with another shape names the tensor'
run tiny.yaml run.name=from init.from=weights.safetensors train.epochs=1 model.init=paper
[ "$code" = 0 ] && ! has err 'known to fail'
is 'init.from takes the exported file, and initial values do not matter'
run tiny.yaml run.name=dry --dry-run init.from=weights.safetensors init.new_head=true model.init=paper
[ "$code" = 0 ] && has err 'with model.init=paper that is known to fail'
is 'but where the head may be a new one they do'
run tiny.yaml run.name=from5 init.from=$checkpoint data.classes=5 init.new_head=true train.epochs=1
[ "$code" = 0 ]
is 'init.from with a new head takes the checkpoint'
run tiny.yaml run.name=from-run init.from=imported train.epochs=1
[ "$code" = 0 ] && has err "those of 'imported/checkpoints/step-00000000'"
is 'init.from takes the newest checkpoint of a run folder'
run tiny.yaml run.name=from-none init.from=nothing
[ "$code" = 1 ] && has err "init.from: cannot open 'nothing'"
is 'init.from with a file that is not there names the setting'
mkdir empty
run tiny.yaml run.name=from-none init.from=empty
[ "$code" = 1 ] && has err "'empty' has neither model.safetensors nor" && has err "'checkpoints'" &&
    [ ! -e runs/from-none/metrics.jsonl ]
is 'init.from with an empty folder says what it looked for'

run tiny.yaml run.name=split model.width=160 checkpoint.file_gib=0.001 train.steps=1
run inspect runs/split/checkpoints/step-00000001/model.safetensors.index.json
[ "$code" = 0 ] && has out 'model.safetensors.index.json: ' && has out 'head.weight' && has out 'blocks.0.attn.qkv.weight'
is 'inspect FILE.index.json: the tensors of all its files'
run tiny.yaml run.name=from-text init.from=tiny.yaml
[ "$code" = 1 ] && has err "'tiny.yaml' is not a safetensors file but a text"
is 'init.from with a text says that it is one'
cp runs/split/checkpoints/step-00000001/manifest.json note.txt
run inspect note.txt
[ "$code" = 1 ] && has err 'but a text, JSON by its first character'
is 'inspect with JSON says that it is'

# the file of one F32 of 1, whose name would clear a terminal
header='{"\u001b[2J.alpha":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
{ printf "\\$(printf %o ${#header})\0\0\0\0\0\0\0%s" "$header" && printf '\0\0\200\77'; } >escape.safetensors
run inspect escape.safetensors
[ "$code" = 0 ] && has out '?[2J.alpha' && has out '1.000000' && ! grep -q "$(printf '\033')" .out
is 'inspect keeps the control characters of names off the terminal'
{ head -c -4 escape.safetensors && printf '\0\0\300\177'; } >nan.safetensors
run inspect nan.safetensors
[ "$code" = 0 ] && has out '1 not finite' && ! has out inf
is 'inspect of a tensor without a finite value has no range'

mkdir -p forged/checkpoints/"$(printf 'step-\033[2J\n\302\233')"
printf '{"step":1,"lr":1,"\033[2J"}\n' >forged/metrics.jsonl
run inspect forged
[ "$code" = 0 ] && has out 'none' && has out '"lr":1,"?[2J"}' && ! grep -q "$(printf '\033\|\302\233')" .out
is 'inspect keeps those of a run off it too'

head -c 1000 weights.safetensors >short.safetensors
run inspect short.safetensors
[ "$code" = 1 ] && has err 'short.safetensors'
is 'a truncated file is named'

split=runs/split/checkpoints/step-00000001
cp $split/model-00001-of-*.safetensors $split/model.safetensors
run eval $split
[ "$code" = 0 ] && ls $split/model.safetensors $split/model.safetensors.index.json >&2
is 'eval reads no file that the manifest does not list'
run tiny.yaml run.name=from-split model.width=160 init.from=runs/split train.steps=1
[ "$code" = 0 ]
is 'nor does init.from'
cp $split/model.safetensors $split/ema.safetensors
run eval $split --ema
[ "$code" = 1 ] && has err 'has no averaged weights'
is 'nor does eval --ema'

printf 'x' | dd of=$checkpoint/model.safetensors bs=1 seek=4000 conv=notrunc 2>.err
run inspect runs/tiny --verify
[ "$code" = 1 ] && has out 'not valid' && has err 'model.safetensors'
is 'inspect --verify finds a changed byte'
run eval $checkpoint
[ "$code" = 1 ] && has err 'model.safetensors'
is 'eval refuses the damaged checkpoint'
run tiny.yaml run.name=from-damaged init.from=$checkpoint train.steps=1
[ "$code" = 1 ] && has err 'init.from' && has err 'model.safetensors' && has err 'is damaged'
is 'and so does init.from'

run tiny.yaml run.name=wild train.steps=1 optim.lr=1e30 schedule.kind=constant
[ "$code" = 0 ] && has err 'eval: loss nan'
is 'a loss that is not a number has no sign'
done_testing
