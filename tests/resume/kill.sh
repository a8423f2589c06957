#!/bin/sh
# Kills training runs with SIGKILL at random instants while they save after every step, resumes them, tries to kill the
# resumed ones too, resumes again, and compares the last checkpoint with that of a run that nobody disturbed: bit for
# bit.
# usage: kill.sh DYTTRAIN COUNT
set -eu
dyttrain=$1
count=$2
work=$(mktemp -d)
pid=
trap '[ -z "$pid" ] || kill -9 "$pid" 2>/dev/null || true; rm -rf "$work"' EXIT

cat > "$work/config.yaml" <<YAML
device: cpu
threads: 1
model: {arch: vit, width: 16, depth: 2, heads: 2, patch: 4, init: fan_in, drop_path: 0.1}
norm: {kind: dyt}
data: {kind: synthetic, image: 8, channels: 1, classes: 4, synthetic_count: 100, batch: 8, workers: 1}
train: {steps: 30, accumulate: 4, ema: 0.9}
eval: {every_steps: 10, at_end: true}
checkpoint: {every_steps: 1, keep: 3}
run: {dir: $work/runs}
YAML

# train NAME: starts run NAME, or goes on with it, in the background
train() {
    "$dyttrain" "$work/config.yaml" run.name="$1" --resume >"$work/output" 2>&1 &
    pid=$!
}

# finish: waits for it and fails if it failed
finish() {
    wait "$pid" || { cat "$work/output" >&2; echo "resuming failed" >&2; exit 1; }
    pid=
}

milliseconds() { echo $(($(date +%s%N) / 1000000)); }
# random BOUND: below BOUND
random() { echo $(($(od -An -N4 -tu4 /dev/urandom) % $1)); }

# cut NAME: starts or resumes run NAME and kills it within `length` milliseconds; fails if it ended before
cut() {
    train "$1"
    instant=$(random "$length")
    sleep "$(printf '%d.%03d' $((instant / 1000)) $((instant % 1000)))"
    kill -9 "$pid" 2>/dev/null || true
    status=0
    wait "$pid" 2>/dev/null || status=$?
    pid=
    [ "$status" -eq 137 ] && killed=$((killed + 1))
}

begin=$(milliseconds)
train whole
finish
length=$(($(milliseconds) - begin))
last=checkpoints/step-00000030

killed=0
number=0
while [ "$number" -lt "$count" ]; do
    number=$((number + 1))
    name=cut$number
    until cut "$name"; do
        rm -rf "$work/runs/$name"
        length=$((length * 9 / 10 + 1))
    done
    cut "$name" || true
    train "$name"
    finish
    for file in "$work/runs/whole/$last"/*; do
        [ "${file##*/}" = manifest.json ] || cmp "$file" "$work/runs/$name/$last/${file##*/}"
    done
    rm -rf "${work:?}/runs/$name"
done
echo "$count runs were killed, $killed times in all, and resumed: each ended with the same bits"
