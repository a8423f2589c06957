#!/bin/sh
# Language models to and from folders of Hugging Face's transformers: export and import --format hf. That transformers
# computes the same from them is shown by scripts/reference/llama_hf.py, and the other way about by the parity suite.
. "$(dirname "$0")/tap.sh"

easy_text 200 >text.txt
cat >text.yaml <<'END'
device: cpu
threads: 1
run: {name: dyt}
model: {arch: llama, width: 32, depth: 1, heads: 2, kv_heads: 1, init: fan_in, embedding_scale: true}
norm: {kind: dyt, bias: false, alpha0: {attention: 0.8, default: 0.5}}
data: {kind: text, path: text.txt, context: 32, batch: 8}
train: {steps: 20, ema: 0.9}
optim: {lr: 1e-2}
END
data="data.kind=text data.path=text.txt data.context=32 data.batch=8 threads=1"
loss_of() { sed -n 's/.*"loss":\([0-9.]*\),.*/\1/p' .out; }

run text.yaml
run export --format hf runs/dyt dyt.hf
[ "$code" = 0 ] && has out 'DytLlamaForCausalLM' && has out 'trust_remote_code=True' &&
    [ -s dyt.hf/model.safetensors ] &&
    cmp -s dyt.hf/modeling_dyt_llama.py "$root/src/models/hf/modeling_dyt_llama.py" &&
    grep -q '"model_type": "dyt_llama"' dyt.hf/config.json && grep -q '"alpha0": 0.8' dyt.hf/config.json
is 'export --format hf of DyT: a folder with its own Python'
[ ! -e dyt.hf.tmp ] && [ "$(ls dyt.hf | wc -l)" = 3 ]
is 'and nothing else'
run export --format hf runs/dyt dyt.hf
[ "$code" = 2 ] && has err "'dyt.hf' exists"
is 'export --format hf does not overwrite'
mkdir other.hf.tmp && echo mine >other.hf.tmp/file
run export --format hf runs/dyt other.hf
[ "$code" = 2 ] && has err "'other.hf.tmp' is in the way" && [ -s other.hf.tmp/file ] && [ ! -e other.hf ]
is 'nor a folder that has the name it works under'
run export --format=hf --ema runs/dyt averaged.hf/
[ "$code" = 0 ] && ! cmp -s dyt.hf/model.safetensors averaged.hf/model.safetensors
is 'export --format hf --ema writes other weights, to a name that ends in a slash'
run text.yaml run.name=rms norm.kind=rmsnorm model.embedding_scale=false model.tied=true model.rope_factor=4 \
    model.rope_context=16 model.width=192 model.heads=4 checkpoint.file_gib=0.001
run export runs/rms --format hf rms.hf
[ "$code" = 0 ] && has out 'of LlamaForCausalLM, from' && [ ! -e rms.hf/modeling_dyt_llama.py ] &&
    [ -s rms.hf/model.safetensors.index.json ] && grep -q '"rope_type": "llama3"' rms.hf/config.json
is 'export --format hf of RMSNorm: a plain LLaMA, in several files'
write_tiny tiny.yaml
run tiny.yaml
run export --format hf runs/tiny tiny.hf
[ "$code" = 2 ] && has err 'model.arch=vit has no Hugging Face form' && [ ! -e tiny.hf ] && [ ! -e tiny.hf.tmp ]
is 'export --format hf of a ViT is refused'
run export --format onnx runs/dyt dyt.onnx
[ "$code" = 2 ] && has err "'--format' takes one of safetensors, hf, not 'onnx'"
is 'an unknown format is refused by name'
run export runs/dyt dyt.hf2 --format
[ "$code" = 2 ] && has err "'--format' needs a FORM"
is 'and so is none'

for name in dyt rms; do
    run eval runs/$name --json
    loss=$(loss_of)
    run import --format hf $name.hf $name
    [ "$code" = 0 ] && [ -e $name/checkpoints/step-00000000/manifest.json ]
    is "import --format hf, $name"
    # shellcheck disable=SC2086
    run eval $name --json $data
    [ "$code" = 0 ] && [ -n "$loss" ] && [ "$(loss_of)" = "$loss" ]
    is "imported weights have the same loss, $name"
    run export --format hf $name $name.again checkpoint.file_gib=0.001
    [ "$code" = 2 ] && has err "takes no settings"
    is "export takes no settings, $name"
    run export --format hf $name $name.again
    [ "$code" = 0 ] && cmp -s $name.hf/config.json $name.again/config.json
    is "export, import, export: the same config.json, $name"
done
cmp -s dyt.hf/model.safetensors dyt.again/model.safetensors
is 'and the same weights'

cat >tune.yaml <<'END'
base: dyt/config.yaml
run: {name: tuned}
init: {from: dyt}
data: {kind: text, path: text.txt, context: 64, batch: 8}
train: {steps: 5}
END
run tune.yaml
[ "$code" = 0 ] && has err "those of 'dyt/checkpoints/step-00000000'" && grep -q 'context: 64' runs/tuned/config.yaml
is 'init.from an import trains on, with another context'
run tune.yaml run.name=tuned-hf init.from=dyt.hf
[ "$code" = 0 ] && grep -v '"step":0' runs/tuned/metrics.jsonl | sed 's/,"samples_per_s.*//' >first.txt &&
    grep -v '"step":0' runs/tuned-hf/metrics.jsonl | sed 's/,"samples_per_s.*//' | cmp -s - first.txt
is 'and so does init.from the folder of transformers itself'
cp -r dyt.hf both.hf && cp -r runs/tuned/checkpoints both.hf
run import --format hf both.hf both && run export --format hf both both.again
[ "$code" = 0 ] && cmp -s dyt.hf/model.safetensors both.again/model.safetensors
is 'import --format hf reads what is published, whatever checkpoints lie beside it'
run tune.yaml run.name=tuned-both init.from=both.hf
[ "$code" = 0 ] && has err "those of 'both.hf/checkpoints/step-00000005'"
is 'for init.from such a folder is a run'

cat >head.yaml <<'END'
base: rms/config.yaml
run: {name: head}
init: {from: rms}
data: {kind: text, path: text.txt, context: 32, batch: 8}
train: {steps: 1}
END
run head.yaml model.tied=false
[ "$code" = 1 ] && has err 'missing in the file: lm_head.weight' && has err 'init.new_head=true'
is 'init.from with no head in the file names init.new_head'
run head.yaml model.tied=false init.new_head=true
[ "$code" = 0 ] && has err 'lm_head.weight keeps its initial values'
is 'which starts with a new one'
run head.yaml init.new_head=true run.name=tied
[ "$code" = 0 ] && has err 'init.new_head=true is inactive'
is 'and is inactive where there is none'

run text.yaml run.name=wide model.vocabulary=360 train.steps=1
run export --format hf runs/wide wide.hf && cp "$root/tests/data/tokenizers/gpt2/tokenizer.json" wide.hf
cp -r "$root/tests/data/tokenizers/llama2" tokenizer
run import --format hf wide.hf wide && cmp -s wide/tokenizer/tokenizer.json wide.hf/tokenizer.json &&
    run generate wide --prompt 'a text' --tokens 3 && [ "$code" = 0 ] &&
    run generate wide/checkpoints/step-00000000 --prompt 'a text' --tokens 3
[ "$code" = 0 ]
is 'import --format hf keeps the tokenizer for generate'
run generate dyt --prompt 'a text'
[ "$code" = 2 ] && has err 'there is none in its folder: name it with --tokenizer'
is 'which takes none of the folder that it happens to be in'
mkdir -p far/away && cp -r wide/checkpoints/step-00000000 far/away/lone && cp -r wide/tokenizer far
run generate far/away/lone --prompt 'a text' --tokens 3
[ "$code" = 2 ] && has err 'there is none in its folder: name it with --tokenizer'
is 'and a checkpoint that stands alone none of a folder above it'
run import --format hf dyt.hf
[ "$code" = 2 ] && has err 'a word is missing'
is 'import --format hf without OUT'
run import --format hf dyt.hf text.yaml other
[ "$code" = 2 ] && has err 'import takes a folder and OUT with --format hf'
is 'import --format hf takes no config'
run import dyt.hf/model.safetensors other
[ "$code" = 2 ] && has err 'import takes a file, a config and OUT'
is 'import without it needs one'
run import --format hf nothing other
[ "$code" = 1 ] && has err "cannot open 'nothing/config.json'" && [ ! -e other ]
is 'import --format hf of a folder that is not there'
run import --format hf dyt.hf other --print-config
[ "$code" = 0 ] && has out 'width: 32' && [ ! -e other ]
is 'import --format hf --print-config'

# changed SED: imports rms.hf with another config.json
changed() {
    rm -rf changed
    cp -r rms.hf changed
    sed "$1" rms.hf/config.json >changed/config.json
    run import --format hf changed other
}
changed 's/"attention_bias": false/"attention_bias": true/'
[ "$code" = 1 ] && has err "'changed/config.json': attention_bias true is not supported" && [ ! -e other ]
is 'attention with biases is refused by name'
changed 's/llama3/yarn/'
[ "$code" = 1 ] && has err "rope type 'yarn' is not supported, only default and llama3"
is 'and so is another scaling of rotations'
changed 's/"num_key_value_heads": 1/"num_key_value_heads": 3/'
[ "$code" = 2 ] && has err "settings from 'changed/config.json'" && has err 'cannot be shared evenly by 4 heads'
is 'settings that do not fit name the file'
changed 's/"intermediate_size": 512/"intermediate_size": 64/'
[ "$code" = 1 ] && has err 'does not fit this model' && [ ! -e other ] &&
    has err 'model.layers.0.mlp.gate_proj.weight ([512, 192] in the file, [64, 192] here)'
is 'weights of another shape are named with both shapes'
changed '$d'
[ "$code" = 1 ] && has err 'changed/config.json' && has err 'not valid JSON'
is 'a truncated config.json is named'
rm -rf changed
cp -r dyt.hf changed
sed 's/"tie_word_embeddings": false/"tie_word_embeddings": true/' dyt.hf/config.json >changed/config.json
run import --format hf changed other
[ "$code" = 1 ] && has err 'lm_head.weight is not model.embed_tokens.weight' && has err 'model.tied=false' &&
    [ ! -e other ]
is 'a head of its own beside tied embeddings is refused'
run import --format hf changed untied model.tied=false
[ "$code" = 0 ] && run export --format hf untied untied.again && cmp -s dyt.hf/model.safetensors \
    untied.again/model.safetensors
is 'and read with model.tied=false'
rm -rf changed
cp -r rms.hf changed
rm changed/model-00001-of-*
run import --format hf changed other
[ "$code" = 1 ] && has err 'model-00001-of-' && [ ! -e other ]
is 'a missing file of several is named'
done_testing
