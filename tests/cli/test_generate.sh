#!/bin/sh
# Text from a language model: the same text again, many prompts, what does not fit.
. "$(dirname "$0")/tap.sh"

easy_text 400 >text.txt
easy_model >text.yaml
cat >>text.yaml <<'END'
train: {steps: 60, ema: 0.9}
eval: {every_epochs: 0, at_end: false}
checkpoint: {every_steps: 0, best_metric: none}
END
run text.yaml
[ "$code" = 0 ]
is 'a language model is trained'

run generate runs/text --prompt 'line 7' --tokens 100
first=$out
[ "$code" = 0 ] && [ "$(wc -c <.out)" = 107 ]
is 'a prompt goes on for as many tokens as asked for, beyond the context'
case $out in 'line 7'*) true ;; *) false ;; esac
is 'the prompt is written first'
run generate runs/text --prompt 'line 7' --tokens 100 threads=1
[ "$out" = "$first" ]
is 'the same seed gives the same text on any number of threads'
run generate runs/text --prompt 'line 7' --tokens 100 --seed 8
[ "$code" = 0 ] && [ "$out" != "$first" ]
is 'another seed gives another text'
run generate runs/text --prompt 'line 7' --tokens 100 --ema
[ "$code" = 0 ] && [ "$out" != "$first" ]
is 'the averaged weights give another text'
run generate runs/text --prompt 'line 7' --tokens 60 --temperature 0
greedy=$out
run generate runs/text --prompt 'line 7' --tokens 60 --top-k 1 --seed 3
[ "$code" = 0 ] && [ "$out" = "$greedy" ]
is 'the most likely token is that of --top-k 1'
run generate runs/text --prompt 'line 7' --tokens 60 --temperature 0 --repetition-penalty 3
[ "$code" = 0 ] && [ "$out" != "$greedy" ]
is 'a repetition penalty changes the text'
run generate runs/text/checkpoints/step-00000060 --prompt '' --tokens 5
[ "$code" = 0 ] && [ "$(wc -c <.out)" = 6 ]
is 'an empty prompt begins a text'

printf 'line 7\n\nand\r\nof a text\nthe same\n' >prompts.txt
run generate runs/text --prompts prompts.txt --tokens 50 --batch 2
[ "$code" = 0 ] && has out "$(echo "$first" | head -c 56)"
is 'a file of prompts: the first as by itself'
texts=$out
run generate runs/text --prompts prompts.txt --tokens 50 --batch 3
[ "$out" = "$texts" ]
is 'texts do not depend on how many are made side by side'
run generate runs/text --prompts prompts.txt --tokens 5 --json
[ "$code" = 0 ] && [ "$(sed -n 's/{"prompt":\("[^"]*"\).*/\1/p' .out | tr '\n' ' ')" = \
    '"line 7" "" "and" "of a text" "the same" ' ]
is 'each line is a prompt, an empty one, too'
"$program" generate runs/text --prompts prompts.txt --tokens 500 --batch 1 2>.err | head -c 10 >.out
"$program" generate runs/text --prompt 'line 7' --tokens 500 2>>.err | head -c 10 >>.out
[ "$(wc -c <.out)" = 20 ] && ! grep -q 'cannot write' .err
is 'a reader who has seen enough is no failure'
printf '{"prompt": "line 7"}\n{"id": 18446744073709551616, "prompt": "caf\\u00e9"}\n' >prompts.jsonl
run generate runs/text --prompts prompts.jsonl --tokens 50 --json
[ "$code" = 0 ] && [ "$(wc -l <.out)" = 2 ] && has out '{"prompt":"line 7","text":"' && has out '"prompt":"café"' &&
    has out '"tokens":50,"stop":"length"'
is 'JSON lines in, JSON lines out'
"$program" generate runs/text --prompts - --tokens 50 --batch 2 <prompts.txt >piped.txt 2>.err
[ "$(cat piped.txt)" = "$texts" ]
is 'prompts of standard input'
gzip -c prompts.jsonl >packed.jsonl.gz
run generate runs/text --prompts packed.jsonl.gz --tokens 5 --json
[ "$code" = 0 ] && [ "$(wc -l <.out)" = 2 ] && has out '"prompt":"café"'
is 'a packed file of JSON lines'
run generate runs/text --prompts - --tokens 5
[ "$code" = 1 ] && has err "'-' holds no prompts"
is 'standard input without prompts'
run generate runs/text --prompt x --print-config precision.mode=bf16
[ "$code" = 0 ] && has out 'top_p: 0.95'
is 'generate --print-config'

run generate runs/text
[ "$code" = 2 ] && has err '--prompt TEXT or --prompts FILE'
is 'a prompt is needed'
run generate runs/text --prompt 'this prompt is longer than the context'
[ "$code" = 2 ] && has err 'prompt 1 has 38 tokens, beyond the model'"'"'s context of 32' && [ -z "$out" ]
is 'a prompt beyond the context is refused'
run generate runs/text --prompt x --temperature -1
[ "$code" = 2 ] && has err 'generate.temperature'
is 'a temperature below 0 is refused'
run generate runs/text --prompt x --tokenizer nowhere
[ "$code" = 1 ] && has err "cannot find the tokenizer 'nowhere'"
is 'a tokenizer that is not there is named'
gpt2=$root/tests/data/tokenizers/gpt2
run generate runs/text --prompt x --tokenizer "$gpt2"
[ "$code" = 2 ] && has err 'the tokenizer has 360 tokens and the model 256' && [ -z "$out" ]
is 'a tokenizer with more tokens than the model is refused'
run text.yaml run.name=padded model.vocabulary=384 train.steps=1 train.ema=0
run generate runs/padded --prompt x --tokens 3 --tokenizer "$gpt2"
[ "$code" = 0 ] && has out x
is 'a padded vocabulary takes one with fewer'
echo '{"text": "x"}' >bad.jsonl
run generate runs/text --prompts bad.jsonl
[ "$code" = 1 ] && has err 'bad.jsonl:1' && has err 'prompt'
is 'a line without a prompt is named'
printf '{"prompt": "x"}\n{"prompt": "a\\u0000b"}\n' >bad.jsonl
run generate runs/text --prompts bad.jsonl
[ "$code" = 1 ] && has err 'bad.jsonl:2:' && has err 'has the NUL character (\u0000), which is not taken'
is 'so is one with a NUL character'
run generate runs/text --prompts text.yaml.txt
[ "$code" = 1 ] && has err 'text.yaml.txt'
is 'a missing file of prompts is named'
run text.yaml run.name=drawn data.kind=synthetic_text data.vocabulary=256 train.steps=1 train.ema=0
run generate runs/drawn --prompt x --tokens 3
[ "$code" = 2 ] && has err '--tokenizer'
is 'a run that does not tell its tokenizer needs one'
run generate runs/drawn --prompt x --tokens 3 --tokenizer bytes
[ "$code" = 0 ]
is 'and takes one'
write_tiny tiny.yaml
run tiny.yaml
run generate runs/tiny --prompt x
[ "$code" = 2 ] && has err 'vit is not a language model'
is 'a network of images is refused'
done_testing
