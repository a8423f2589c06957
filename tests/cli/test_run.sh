#!/bin/sh
# A run from its first line to its last: folder, lock, signals, resuming.
. "$(dirname "$0")/tap.sh"
write_tiny tiny.yaml

# Waits until FILE is there and not empty.
wait_for() {
    tries=0
    until [ -s "$1" ]; do
        tries=$((tries + 1))
        [ $tries -lt 200 ] || return 1
        sleep 0.05
    done
}

lines() { grep -c "$1" "$2"; }

run tiny.yaml --dry-run
[ "$code" = 0 ] && has err 'one step of 20 samples: loss ' && [ ! -e runs ]
is '--dry-run tells of one step and writes nothing'

run tiny.yaml norm.epsilon=1e-5
[ "$code" = 0 ] && has err 'norm.epsilon' && has err 'inactive' && [ "$(echo "$err" | grep -c inactive)" = 1 ]
is 'a setting that nothing reads is listed once as inactive'
[ -s runs/tiny/config.yaml ] && [ -s runs/tiny/log.txt ] && ls runs/tiny/events.out.tfevents.* >.out &&
    [ -e runs/tiny/checkpoints/step-00000060/manifest.json ]
is 'the run folder has config, log, events and the last checkpoint'
[ "$(lines '"lr":' runs/tiny/metrics.jsonl)" = 12 ] && [ "$(lines '"eval":' runs/tiny/metrics.jsonl)" = 3 ]
is 'metrics.jsonl has a line for every fifth step and every evaluation'
run runs/tiny/config.yaml --print-config run.dir=runs run.name=tiny
[ "$code" = 0 ] && cmp -s .out runs/tiny/config.yaml
is "the run's config.yaml resolves to itself"

run tiny.yaml
[ "$code" = 2 ] && has err "runs/tiny" && has err '--resume' && has err 'run.name'
is 'an existing run folder is refused, and the message names the choices'

# 10,000 steps take some seconds: long enough to be stopped, short enough to be finished.
cat >long.yaml <<'END'
base: tiny.yaml
train: {epochs: 500}
eval: {every_epochs: 50}
checkpoint: {every_steps: 2000}
END
"$program" long.yaml run.name=long 2>long.err &
pid=$!
wait_for runs/long/metrics.jsonl
run long.yaml run.name=long --resume
[ "$code" = 2 ] && has err "$pid"
is 'a second process on one run folder is refused, and the first one named'
run long.yaml run.name=long
[ "$code" = 2 ] && has err "$pid" && has err 'another process' && ! has err 'remove it'
is 'without --resume too: nobody is told to remove a folder in use'
kill -TERM $pid
wait $pid
code=$? err=$(cat long.err)
[ $code = 3 ] && has err 'stopped by a signal'
is 'SIGTERM: exit code 3'
run long.yaml run.name=long --resume
[ "$code" = 0 ] && has err 'resum'
is '--resume goes on to the end'
[ "$(lines '"lr":' runs/long/metrics.jsonl)" = 2000 ] && [ "$(ls -d runs/long/events.out.tfevents.* | wc -l)" = 2 ]
is 'every fifth step is in metrics.jsonl once, and there is a second event file'

for signal in INT USR1; do
    # a shell's background job ignores SIGINT unless it is told otherwise
    "$program" long.yaml run.name=$signal 2>long.err &
    pid=$!
    wait_for runs/$signal/metrics.jsonl
    kill -$signal $pid
    wait $pid
    code=$? err=$(cat long.err)
    [ $code = 3 ] && ls runs/$signal/checkpoints/step-*/manifest.json >.out
    is "SIG$signal: saved, exit code 3"
done

"$program" long.yaml run.name=twice 2>long.err &
pid=$!
wait_for runs/twice/metrics.jsonl
kill -STOP $pid
kill -USR1 $pid
kill -TERM $pid
kill -CONT $pid
wait $pid
code=$? err=$(cat long.err)
[ $code = 143 ] || [ $code = 138 ]
is 'a second signal leaves at once: 128 + its number'

run tiny.yaml run.name=twice train.epochs=1 --resume
[ "$code" = 0 ]
is 'after that --resume works too'
! has err 'is not that of the checkpoint'
is 'with the same program, and nothing to warn of'
at=$(LC_ALL=C grep -obUaP '\x03\x00\x00\x00GNU\x00' "$program" | head -n 1 | cut -d : -f 1)
if [ -n "$at" ]; then # the linker's build ID follows
    cp "$program" other
    printf other | dd of=other bs=1 seek=$((at + 8)) conv=notrunc 2>.err
    ./other tiny.yaml run.name=twice train.epochs=1 --resume 2>.err
    code=$? err=$(cat .err)
    [ $code = 0 ] && has err 'binary is not that of the checkpoint: the last bits may differ'
    is 'another program says that bits may differ'
fi
cp -r runs/twice runs/odd
rm runs/odd/metrics.jsonl
for make in 'mkfifo' 'ln -s /dev/zero'; do
    $make runs/odd/metrics.jsonl
    timeout -k 1 20 "$program" inspect runs/odd >.out 2>&1 </dev/null && grep -q 'not a regular file' .out &&
        grep -q step-000000 .out
    is "inspect does not wait for metrics.jsonl by $make"
    timeout -k 1 20 "$program" tiny.yaml run.name=odd train.epochs=1 --resume >.out 2>&1 </dev/null
    [ $? = 1 ] && grep -q 'not a regular file' .out
    is "nor does --resume"
    rm runs/odd/metrics.jsonl
done
run tiny.yaml run.name=odd train.epochs=1 data.synthetic_count=440 --resume
[ "$code" = 0 ] && has err 'the training set has 440 samples, and had 400 at the checkpoint'
is 'another number of samples is named'
run tiny.yaml run.name=one train.epochs=null train.steps=1
[ "$code" = 0 ] && has err '1 step of 20' && has err 'done: 1 step,'
is 'one step is no steps'

# The limit is on each file, also on what is said: config.yaml and weights are above it, words below.
sh -c 'ulimit -f 2 && exec "$@"' sh "$program" tiny.yaml run.name=limited >.out 2>.err
code=$? err=$(cat .err)
[ "$code" = 1 ] && has err 'File too large' && [ ! -e runs/limited ]
is 'a limit on the size of files is a failed write, and no run begins'
# Config and log are below this one, weights above it.
name=$(printf '%0200d' 0)
deep=$name/$name/$name/$name/$name/$name
for choice in stop continue; do
    sh -c 'ulimit -f 20 && exec "$@"' sh "$program" tiny.yaml run.dir=$deep run.name=$choice train.epochs=null \
        train.steps=2 checkpoint.every_steps=1 checkpoint.on_error=$choice >.out 2>.err
    code=$? err=$(cat .err)
    [ "$code" = 1 ] && has err "$choice/checkpoints/step-00000001.tmp/model.safetensors': File too large"
    is "a weight file that cannot be written is named with the reason, however long its path: on_error=$choice"
done
sh -c 'ulimit -f 2 && exec "$@"' sh "$program" export runs/one one.safetensors >.out 2>.err
code=$? err=$(cat .err)
[ "$code" = 1 ] && has err 'File too large' && [ ! -e one.safetensors ] && [ ! -e one.safetensors.tmp ]
is 'an export that fails so leaves nothing behind'

# reads AT_MOST WORD...: does the program read at most so many times the checkpoint of the run that it goes on from? A
# shell's own count takes in what it has waited for.
count_read() { sed -n 's/^rchar: //p' /proc/$$/io; }
reads() {
    most=$1
    shift
    before=$(count_read)
    run "$@"
    bytes=$(($(count_read) - before))
    [ "$code" = 0 ] && awk -v bytes="$bytes" -v size="$(cat runs/large/checkpoints/*/* | wc -c)" -v most="$most" \
        'BEGIN { printf "read %.2f times\n", bytes / size > "/dev/stderr"; exit !(bytes <= most * size) }'
}
set -- tiny.yaml model.width=192 train.epochs=null train.steps=1 eval.at_end=false run.name=large
run "$@"
reads 2.3 "$@" --resume
is 'a resume looks at checksums once, and loads'
for word in runs/large runs/large/checkpoints/*; do
    reads 1.6 eval "$word"
    is "and so does eval $word, and loads a third of the bytes"
done
done_testing
