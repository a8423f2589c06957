#!/bin/sh
# From text to a trained model: prepare, and training on what it made.
. "$(dirname "$0")/tap.sh"

for i in $(seq 400); do echo "line $i of a text that is not long, but says the same again and again."; done >text.txt
for i in $(seq 50); do printf '{"text": "document %d\\nsays little"}\n' "$i"; done >lines.jsonl

run prepare tokens --tokenizer bytes --out set --held-out 0.2 text.txt lines.jsonl
[ "$code" = 0 ] && has out '51 documents' && has out 'held out' && [ -e set/train-00000.tokens ] &&
    [ -e set/val-00000.tokens ]
is 'prepare tokens'
run prepare tokens --tokenizer bytes --out set --held-out 0.2 text.txt lines.jsonl
[ "$code" = 0 ] && has err 'complete already' && has out '51 documents'
is 'a finished preparation stays as it is'
run prepare tokens --tokenizer bytes --out set text.txt
[ "$code" = 2 ] && has err 'is of a preparation with other options, of other files'
is 'another preparation in the same folder is refused'
cp lines.jsonl grown.jsonl
run prepare tokens --tokenizer bytes --out grown grown.jsonl
echo '{"text": "one more"}' >>grown.jsonl
touch -d tomorrow grown.jsonl
run prepare tokens --tokenizer bytes --out grown grown.jsonl
[ "$code" = 2 ] && has err "or their sizes have changed since ('grown.jsonl')"
is 'a finished preparation of a file that has grown is not taken for complete'

mkdir -p texts/old
cp text.txt texts/old
for turn in first again; do
    run prepare tokens --tokenizer bytes --out texts/set texts
    [ "$code" = 0 ] && has out '1 documents'
    is "a folder with the shards in it is read without them, $turn"
done

"$program" prepare tokens --tokenizer bytes --out piped --json - <lines.jsonl >.out 2>.err
code=$? out=$(cat .out) err=$(cat .err)
[ "$code" = 0 ] && has out '50 documents'
is 'standard input'
"$program" prepare tokens --tokenizer bytes --out piped --json - <lines.jsonl >.out 2>.err
code=$? out=$(cat .out) err=$(cat .err)
[ "$code" = 0 ] && has err 'complete already'
is 'the same standard input again'
"$program" prepare tokens --tokenizer bytes --out piped --json - <text.txt >.out 2>.err
code=$? out=$(cat .out) err=$(cat .err)
[ "$code" = 2 ] && has err "'piped/prepare.json' is of a preparation of another standard input"
is 'another standard input is not taken for the same'

mkfifo pipe
for part in '' 'some text'; do
    exec 3<>pipe
    "$program" prepare tokens --tokenizer bytes --out silent - <pipe >.out 2>.err 3<&- &
    printf %s "$part" >&3
    until grep -q '^SigCgt:.*[4-7c-f]...$' "/proc/$!/status"; do sleep 0.1; done # SIGTERM is caught
    kill -TERM $!
    sleep 0.5
    exec 3<&- # ends the reading of a program that waits for more
    wait $!
    code=$? out=$(cat .out) err=$(cat .err)
    [ "$code" = 3 ] && has err 'stopped by a signal; the same command goes on from here' && [ ! -e silent/prepare.json ]
    is "a signal ends the reading of a pipe that is silent${part:+ behind its first bytes}"
done
exec 3<>pipe
"$program" prepare tokens --tokenizer bytes --out silent - <pipe >.out 2>.err 3<&- &
printf 'some te' >&3
until grep -q '^SigCgt:.*[4-7c-f]...$' "/proc/$!/status"; do sleep 0.1; done
exec 3<&-
sleep 0.02
kill -TERM $!
wait $!
code=$? err=$(cat .err)
[ "$code" = 3 ] && has err 'stopped by a signal' && [ ! -e silent/prepare.json ]
is 'a pipe that ends a moment before a signal is not at its end'

"$program" prepare tokens --tokenizer "$root/tests/data/tokenizers/llama2" --out packed --compress text.txt >.out 2>.err
code=$? out=$(cat .out) err=$(cat .err)
[ "$code" = 0 ] && has out '1 documents' && [ -e packed/tokenizer/tokenizer.json ]
is 'with a tokenizer of its own, compressed'

printf 'a\0b' >nul.txt
run prepare tokens --tokenizer "$root/tests/data/tokenizers/llama3" --out kept nul.txt
[ "$code" = 1 ] && [ -e kept/tokenizer/tokenizer.json ] && echo mine >kept/tokenizer/notes
run prepare tokens --tokenizer "$root/tests/data/tokenizers/pair" --out kept text.txt
[ "$code" = 0 ] && [ "$(cd kept/tokenizer && echo *)" = 'encoder.json notes vocab.bpe' ]
is 'what a failed preparation left of another tokenizer is not kept beside the shards'
for notes in with without; do
    run prepare tokens --tokenizer "$root/tests/data/tokenizers/pair" --out "$notes" nul.txt
    [ $notes = with ] && echo mine >with/tokenizer/notes
    run prepare tokens --tokenizer bytes --out "$notes" text.txt
done
[ "$code" = 0 ] && [ ! -e without/tokenizer ] && [ "$(echo with/tokenizer/*)" = with/tokenizer/notes ]
is 'nor beside shards of bytes'
mkdir linked && ln -s "$root/tests/data/tokenizers/pair" linked/tokenizer
run prepare tokens --tokenizer bytes --out linked text.txt
[ "$code" = 2 ] && has err "'linked/tokenizer' is a link" && [ -e linked/tokenizer/encoder.json ]
is 'files behind a link are not removed'

printf 'a\377b' >unsound.txt
run prepare tokens --tokenizer bytes --out unsound --unsound=skip unsound.txt
[ "$code" = 1 ] && has err "no text is left of 'unsound.txt': all" && [ -z "$out" ]
is 'a preparation of nothing but unsound text'
echo '{"text": ""}' >nothing.jsonl
run prepare tokens --tokenizer bytes --out nothing nothing.jsonl
[ "$code" = 1 ] && has err "no text is left of 'nothing.jsonl': all documents are empty or not sound, 1 in number"
is 'a preparation of nothing but empty text'
run prepare tokens --tokenizer bytes --out refused unsound.txt
[ "$code" = 1 ] && has err 'byte 1 is not valid UTF-8' && has err 'unsound=keep takes'
is 'unsound bytes could be kept, as the message says'
echo '{"other": ""}' >other.jsonl
run prepare tokens --tokenizer bytes --out refused other.jsonl
[ "$code" = 1 ] && has err "no object with a text under 'text'; --unsound=skip" && ! has err 'unsound=keep'
is 'a line without the text cannot be kept, and the message does not say so'
run prepare tokens --out set text.txt
[ "$code" = 2 ] && has err 'tokenizer is not given'
is 'no tokenizer'
run prepare tokens --tokenizer nowhere --out other text.txt
[ "$code" = 1 ] && has err "cannot find the tokenizer 'nowhere'"
is 'a tokenizer that is not there'
run prepare tokens --tokenizer bytes --out other nowhere.txt
[ "$code" = 1 ] && has err "cannot open 'nowhere.txt'"
is 'a file that is not there'
run prepare tokens --tokenizer bytes --out other --held-out 2 text.txt
[ "$code" = 2 ] && has err 'a number from 0 to 0.5'
is 'a share that cannot be'
run prepare tokens --tokenizer bytes --out other --threads 1.5 text.txt
[ "$code" = 2 ] && has err '--threads=1.5: a whole number is needed' && [ ! -e other ]
is 'one and a half threads'
run prepare images --tokenizer bytes --out other text.txt
[ "$code" = 2 ] && has err "'images' is nothing that can be prepared"
is 'what cannot be prepared'

cat >tiny.yaml <<'END'
run: {name: tiny}
model: {arch: llama, width: 16, depth: 1, heads: 2, init: fan_in, embedding_scale: true}
norm: {kind: dyt, bias: false, alpha0: 1}
data: {kind: tokens, path: set, context: 32, batch: 4}
train: {steps: 4}
END
run tiny.yaml model.vocabulary=400 --device cpu
[ "$code" = 0 ] && grep -q '"eval"' runs/tiny/metrics.jsonl
is 'training on shards, with room for more tokens than they have'
run tiny.yaml model.vocabulary=400 data.path=packed data.tokenizer=bytes run.name=other --device cpu
[ "$code" = 2 ] && has err 'made with another tokenizer'
is 'shards of another tokenizer'
run eval runs/tiny data.context=16
[ "$code" = 2 ] && has err 'model.context: is 32, but samples have 16 tokens: give data.context the same value'
is 'eval with another context than the model has'
run eval runs/tiny data.context=16 model.context=16
[ "$code" = 0 ]
is 'eval of a model of another context'
cp -r set copy
run prepare tokens --tokenizer "$root/tests/data/tokenizers/gpt2" --out words text.txt
[ "$code" = 0 ] && has out 'data.path=words and a model.vocabulary of 360 or more'
is 'prepare says what to train with'
grep -q 'token_hash: [0-9a-f]\{16\}$' runs/tiny/config.yaml
is 'a run writes down the tokenizer of its tokens'
run eval runs/tiny data.path=copy
[ "$code" = 0 ]
is 'eval takes other shards of that tokenizer'
run eval runs/tiny data.path=words
[ "$code" = 2 ] && has err 'data.token_hash' && has err 'made with another tokenizer'
is 'eval refuses shards of another tokenizer'
run tiny.yaml model.vocabulary=400 train.steps=6 --resume --device cpu data.path=copy
[ "$code" = 0 ]
is 'resuming takes other shards of the tokenizer'
run tiny.yaml model.vocabulary=400 train.steps=8 --resume --device cpu data.path=words
[ "$code" = 2 ] && has err 'tokens of another tokenizer than the checkpoint'
is 'resuming refuses shards of another tokenizer'
for words in '' '--tokenizer bytes'; do
    # shellcheck disable=SC2086
    run generate runs/tiny $words --prompt a --tokens 2
    [ "$code" = 0 ] && has out a
    is "generate takes the tokenizer of the tokens${words:+ by name}"
done
run generate runs/tiny --tokenizer "$root/tests/data/tokenizers/gpt2" --prompt a --tokens 2
[ "$code" = 2 ] && has err "the tokenizer '$root/tests/data/tokenizers/gpt2' is not the one that the run"
is 'generate refuses another tokenizer'
run tiny.yaml model.vocabulary=500 data.path=packed run.name=packed --device cpu
[ "$code" = 0 ] && has err 'bits per byte' && ! has err 'no bits per byte'
is 'bits per byte of a part of a file, by the tokenizer beside it'
cp -r packed lacking
echo '{' >lacking/tokenizer/tokenizer.json
run eval runs/packed data.path=lacking
[ "$code" = 0 ] && ! has out 'bits/byte' && has err "no bits per byte: lacking/tokenizer/tokenizer.json:" &&
    has err 'set data.tokenizer to'
is 'a tokenizer that cannot be read is warned of'
cp "$root/tests/data/tokenizers/llama3/tokenizer.json" lacking/tokenizer
run generate runs/packed data.path=lacking --prompt a --tokens 2
[ "$code" = 2 ] && has err "the tokenizer 'lacking/tokenizer' is not the one" && has err 'name that one with --tokenizer'
is 'generate names the copy beside the shards that is another tokenizer'
run eval runs/packed data.path=lacking
[ "$code" = 0 ] && has err "'lacking/tokenizer' is another tokenizer than that of 'lacking/train-00000.tokens'"
is 'so is another one'
rm -r lacking/tokenizer
run eval runs/packed data.path=lacking
[ "$code" = 0 ] && has err "there is no tokenizer 'lacking/tokenizer'"
is 'and one that is not there'
run eval runs/packed data.path=lacking data.tokenizer=packed/tokenizer
[ "$code" = 0 ] && has out 'bits/byte' && ! has err 'no bits per byte'
is 'naming it is what the warning says'
run tiny.yaml model.vocabulary=100 run.name=small --device cpu
[ "$code" = 1 ] && has err 'holds tokens of a vocabulary of 256'
is 'tokens beyond the vocabulary'
run tiny.yaml model.vocabulary=400 data.context=100000 run.name=long --device cpu
[ "$code" = 1 ] && has err 'a sample takes 100001'
is 'a context longer than the text'

done_testing
