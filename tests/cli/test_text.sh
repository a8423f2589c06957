#!/bin/sh
# A language model on a file of text: training, evaluation, what does not fit.
. "$(dirname "$0")/tap.sh"

easy_text 400 >text.txt
easy_model >text.yaml
cat >>text.yaml <<'END'
train: {steps: 120}
eval: {every_steps: 60, batch: 4}
checkpoint: {every_steps: 0}
log: {every_steps: 20}
END

# member NAME: its number in the last line of JSON
member() { echo "$out" | sed -n "s/.*\"$1\":\([-+.e0-9]*\).*/\1/p"; }
# near A B: within a millionth
near() { awk "BEGIN { d = $1 - $2; exit !(d * d <= 1e-12 * $2 * $2) }"; }

run text.yaml --dry-run
[ "$code" = 0 ] && has err 'one step of 8 samples with 256 targets: loss '
is 'a dry run tells samples and targets'
run text.yaml --dry-run model.drop_path=0.1 data.flip=true data.crop_padding=3 model.patch=3
[ "$code" = 0 ] && has err 'model.drop_path=0.1 is inactive' && has err 'data.flip=true is inactive' &&
    has err 'data.crop_padding=3 is inactive' && [ "$(echo "$err" | grep -c inactive)" = 4 ]
is 'and which settings are of images alone'
run text.yaml
[ "$code" = 0 ] && has err 'perplexity' && has err 'bits per byte' && ! has err 'top-1'
is 'evaluation tells perplexity and bits per byte'
grep -q '"eval":{"loss":[0-9.]*,"perplexity":[0-9.]*,"bits_per_byte":[0-9.]*}' runs/text/metrics.jsonl
is 'and so does metrics.jsonl'
run eval runs/text --json
loss=$(member loss)
[ "$code" = 0 ] && near "$(member perplexity)" "exp($loss)" && near "$(member bits_per_byte)" "$loss / log(2)"
is 'they are what follows from the loss of a byte'
awk "BEGIN { exit !($loss < 1.5) }"
is 'the text is learned'
tokens=$(member samples)
run eval runs/text --json eval.batch=7
near "$(member loss)" "$loss" && [ "$(member samples)" = "$tokens" ]
is 'the loss does not depend on the batch size of the evaluation'
run eval runs/text
[ "$code" = 0 ] && has out 'perplexity' && has out 'bits/byte' && has out 'tokens'
is 'eval prints a table'

run text.yaml run.name=vit model.arch=vit model.patch=4
[ "$code" = 2 ] && has err 'model.arch' && has err 'the data set has text'
is 'a network of images is refused'
run text.yaml run.name=small model.vocabulary=100
[ "$code" != 0 ] && has err 'vocabulary'
is 'a vocabulary that the text does not keep to is refused'
run text.yaml run.name=smooth train.label_smoothing=0.1
[ "$code" = 2 ] && has err 'train.label_smoothing'
is 'label smoothing is refused'
run text.yaml run.name=best checkpoint.best_metric=eval.top1
[ "$code" = 2 ] && has err 'eval.loss'
is 'a best checkpoint by top-1 is refused'
run text.yaml run.name=warned model.embedding_scale=false norm.bias=true train.steps=1
[ "$code" = 0 ] && has err 'model.embedding_scale=true' && has err 'norm.bias=false'
is 'what goes with the swap of norms is named'

mkdir texts
easy_text 200 >texts/a.txt
easy_text 150 >texts/b.txt
run text.yaml run.name=masked data.path=texts train.steps=20 model.mask_documents=true eval.every_steps=0
[ "$code" = 0 ] && has err 'documents masked'
is 'a model may see one document at a time'
run eval runs/masked --json data.eval_stride=8 data.held_out=0.9
masked=$(member loss)
run eval runs/masked --json data.eval_stride=8 data.held_out=0.9 model.mask_documents=false
[ "$code" = 0 ] && [ -n "$masked" ] && [ "$(member loss)" != "$masked" ]
is 'evaluation keeps to documents too, also where windows overlap'
run eval runs/masked --json data.held_out=0.9
whole=$(member loss)
! has err 'eval_stride' && run eval runs/masked --json data.held_out=0.9 data.eval_stride=100
[ "$code" = 0 ] && [ -n "$whole" ] && [ "$(member loss)" = "$whole" ] &&
    has err 'data.eval_stride=100 is above data.context=32, which is taken instead'
is 'windows do not leave tokens out, and eval says so'
echo '{"context": "the", "choices": [" cat", " dog"], "answer": 0}' >tasks.jsonl
run eval runs/masked --tasks tasks.jsonl
[ "$code" = 0 ] && run generate runs/masked --prompt the --tokens 5
[ "$code" = 0 ]
is 'it answers questions and goes on with texts'
iconv -f latin1 -t utf-16le text.txt >text.bin
set -- text.yaml run.name=separated data.kind=tokens data.path=text.bin data.vocabulary=256 train.steps=2
run "$@" model.mask_documents=true
[ "$code" = 2 ] && has err 'model.mask_documents' && has err 'data.separator'
is 'tokens that do not tell of documents are refused'
run "$@" model.mask_documents=true data.separator=10
[ "$code" = 0 ]
is 'unless a token ends them'
done_testing
