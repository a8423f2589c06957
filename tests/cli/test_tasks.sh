#!/bin/sh
# Multiple-choice tasks: what a model that knows a text answers, and what is wrong with a file of questions.
. "$(dirname "$0")/tap.sh"

easy_text 400 >text.txt
easy_model >text.yaml
cat >>text.yaml <<'END'
train: {steps: 120, ema: 0.9}
eval: {at_end: false}
checkpoint: {every_steps: 0, best_metric: none}
log: {every_steps: 60}
END
cat >easy.jsonl <<'END'
{"context": "of a text that is easy to ", "choices": ["learn", "xylem", "again"], "answer": 0}
{"context": "for it says the same thing", "choices": [" text", " easy", " again"], "answer": 2, "id": 7}

{"context": "that is", "choices": ["qqqq", " easy"], "answer": 1}
{"context": "of a text that is easy to learn, for it says the same ", "choices": ["thing", "xylem"], "answer": 1}
END
# What a choice begins with is likelier than the choice, but by the byte less so.
cat >begins.jsonl <<'END'
{"context": "a text that is easy to ", "choices": ["learn, for it says the same", "l"], "answer": 0}
{"context": "for it says the ", "choices": ["sa", "same thing again and again"], "answer": 1}
END
run text.yaml
[ "$code" = 0 ]
is 'a text is learned'

run eval runs/text --tasks easy.jsonl begins.jsonl
[ "$code" = 0 ] && echo "$out" | grep -q '^easy.jsonl  *4  *75.00 %  *75.00 %' &&
    echo "$out" | grep -Eq '^begins.jsonl  *2  *0.00 %  *(50|100).00 %'
is 'accuracy, as it is and normalised'
run eval runs/text --tasks --json easy.jsonl
[ "$code" = 0 ] && has out '"tasks":[{"file":"easy.jsonl","questions":4,"accuracy":75.0,"accuracy_normalised":75.0,'
is 'the same as JSON'
run eval runs/text --tasks --json --ema eval.batch=7 easy.jsonl
[ "$code" = 0 ] && has out '"set":"ema"' && has out '"accuracy":75.0'
is 'the averaged weights, and another batch size'
mv text.txt away.txt
run eval runs/text --tasks easy.jsonl
[ "$code" = 0 ]
is 'the data set is not needed'
mv away.txt text.txt

tokenizer=$root/tests/data/tokenizers/llama2
run prepare tokens --tokenizer "$tokenizer" --out packed --held-out 0 text.txt
run text.yaml run.name=packed data.kind=tokens data.path=packed train.steps=2 model.vocabulary=1000
run eval runs/packed --tasks easy.jsonl
[ "$code" = 0 ] && has out 'easy.jsonl'
is 'the tokenizer beside the shards'
rm -r packed/tokenizer
run eval runs/packed --tasks easy.jsonl
[ "$code" = 2 ] && has err '--tokenizer'
is 'a tokenizer that is not there is asked for'
run eval runs/packed --tasks --tokenizer "$tokenizer" easy.jsonl
[ "$code" = 0 ] && has out 'easy.jsonl'
is 'and can be named'

echo '{"context": "a", "choices": ["b", "c"], "answer": 2}' >bad.jsonl
run eval runs/text --tasks easy.jsonl bad.jsonl
[ "$code" = 1 ] && has err "bad.jsonl:1: 'answer' is 2" && [ -z "$out" ]
is 'an answer that is none of the choices'
echo '{"context": "a", "choices": ["b", "0123456789 0123456789 0123456789 0123456789"], "answer": 0}' >bad.jsonl
run eval runs/text --tasks bad.jsonl
[ "$code" = 1 ] && has err 'bad.jsonl:1: ' && has err "43 tokens, and the model's context 32"
is 'a choice that does not fit'
run text.yaml run.name=wild train.steps=1 optim.lr=1e30 schedule.kind=constant
run eval runs/wild --tasks easy.jsonl
[ "$code" != 0 ] && has err 'easy.jsonl:1: the loss of choice 0 is not finite'
is 'a model without numbers'
run eval runs/text easy.jsonl
[ "$code" = 2 ] && has err '--tasks'
is 'files without --tasks'
run eval runs/text --tasks
[ "$code" = 2 ] && has err 'no files of questions'
is '--tasks without files'
run eval runs/text --tasks nowhere.jsonl
[ "$code" = 1 ] && has err 'nowhere.jsonl'
is 'a file that is not there'
write_tiny tiny.yaml
run tiny.yaml train.epochs=1
run eval runs/tiny --tasks --tokenizer bytes easy.jsonl
[ "$code" = 2 ] && has err 'not a language model'
is 'a network of images'
done_testing
