#!/bin/sh
# Kills training runs with SIGKILL at random instants while they save after every step, resumes them, tries to kill the
# resumed ones too, resumes again, and compares what is left with what a run leaves that nobody disturbed: weights,
# state, progress and metrics, bit for bit. A resumed run must go on from the newest checkpoint there was: one that
# starts over ends with the same bits. First two broken programs show that this script finds such faults.
# usage: kill.sh DYTTRAIN COUNT [SETTING...]
# The settings are those of all runs. Exit code 77 where they ask for a GPU that is not there.
set -eu
dyttrain=$1
count=$2
shift 2
settings=$* # none holds a blank
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
log: {every_steps: 1}
run: {dir: $work/runs}
YAML

fail() {
    echo "$1; the last run said:" >&2
    cat "$work/output" >&2
    exit 1
}

# newest NAME: the step of the newest checkpoint of run NAME; 0: there is none
newest() {
    steps=$(ls "$work/runs/$1/checkpoints" 2>/dev/null | sed -n 's/^step-0*\([0-9]*\)$/\1/p' | sort -n | tail -n 1)
    echo "${steps:-0}"
}

# note NAME: keeps in `reached` the newest checkpoint that run NAME ever had, also if a broken program loses it
note() {
    found=$(newest "$1")
    [ "$found" -le "$reached" ] || reached=$found
}

# train NAME: starts run NAME, or goes on with it, in the background
train() {
    note "$1"
    # shellcheck disable=SC2086
    "$dyttrain" "$work/config.yaml" $settings run.name="$1" --resume >"$work/output" 2>&1 &
    pid=$!
}

# ended: waits for the run that was started; its exit code in `status`
ended() {
    status=0
    wait "$pid" 2>/dev/null || status=$?
    pid=
}

# went_on NAME: fails unless the run that ended resumed where it should have, as far as it came to say
went_on() {
    from=$(sed -n 's/.*resuming from .*: step \([0-9]*\) of .*/\1/p' "$work/output")
    if [ -n "$from" ]; then
        [ "$from" -ge "$reached" ] || fail "resumed at step $from, but there was a checkpoint of step $reached"
    elif [ "$reached" -gt 0 ] && { [ "$status" -eq 0 ] || grep -q 'starting' "$work/output"; }; then
        fail "began anew, but there was a checkpoint of step $reached"
    fi
    note "$1"
}

# finish NAME: waits for the run to end by itself
finish() {
    ended
    [ "$status" -eq 0 ] || fail "a run failed with exit code $status"
    went_on "$1"
}

milliseconds() { echo $(($(date +%s%N) / 1000000)); }
# random BOUND: below BOUND
random() { echo $(($(od -An -N4 -tu4 /dev/urandom) % $1)); }

# cut NAME: starts or resumes run NAME and kills it within `length` milliseconds, but not where it is only starting;
# false if it ended before
cut() {
    train "$1"
    instant=$((start + $(random $((length > start ? length - start : 1)))))
    sleep "$(printf '%d.%03d' $((instant / 1000)) $((instant % 1000)))"
    kill -9 "$pid" 2>/dev/null || true
    ended
    case $status in
    0 | 137) went_on "$1" ;;
    *) fail "a run that was to be killed failed with exit code $status" ;;
    esac
    [ "$status" -eq 137 ]
}

# begin_cut NAME: a new run NAME that is killed before its end
begin_cut() {
    reached=0
    until cut "$1"; do
        rm -rf "${work:?}/runs/$1"
        reached=0
        length=$((length * 9 / 10 + 1))
        start=$((start * 9 / 10))
    done
}

progress() { sed -n '/"progress": {/,/}/p' "$1/manifest.json"; }
metrics() { sed -E 's/,"(samples_per_s|tokens_per_s|mfu|data_wait)":[^,}]*//g' "$work/runs/$1/metrics.jsonl"; }

# compare NAME: fails where run NAME differs from the one that nobody disturbed
compare() {
    ours=$work/runs/$1/$last
    [ "$(ls "$ours")" = "$(ls "$work/runs/whole/$last")" ] || fail "other files are in the last checkpoint: $(ls "$ours")"
    for file in "$ours"/*; do
        [ "${file##*/}" = manifest.json ] || cmp "$work/runs/whole/$last/${file##*/}" "$file" || fail "other bits"
    done
    [ "$(progress "$ours")" = "$(progress "$work/runs/whole/$last")" ] || fail "other progress: $(progress "$ours")"
    kept=$(ls "$work/runs/$1/checkpoints")
    [ "$kept" = "$(ls "$work/runs/whole/checkpoints")" ] || fail "other checkpoints are kept: $kept"
    metrics whole >"$work/expected"
    metrics "$1" | diff "$work/expected" - >&2 || fail "other metrics"
}

# recover NAME: resumes the killed run NAME, perhaps only after another kill, up to its end
recover() {
    cut "$1" || true
    train "$1"
    finish "$1"
    compare "$1"
}

# finds_out WHAT: a program that does WHAT when it should resume must not get through
finds_out() {
    chmod +x "$work/broken"
    name=broken
    until begin_cut $name && [ "$reached" -gt 0 ]; do rm -rf "${work:?}/runs/$name"; done
    if (dyttrain=$work/broken recover $name) >"$work/verdict" 2>&1; then
        echo "a program that $1 when it should resume was not found out" >&2
        exit 1
    fi
    rm -rf "${work:?}/runs/$name"
}

# elapsed COMMAND...: the milliseconds it takes, in `took`
elapsed() {
    begin=$(milliseconds)
    "$@"
    took=$(($(milliseconds) - begin))
}

whole() {
    reached=0
    train whole
    finish whole
}

# begin_only: a run that starts, makes one step, and saves nothing
begin_only() {
    status=0
    # shellcheck disable=SC2086
    "$dyttrain" "$work/config.yaml" $settings --dry-run >"$work/output" 2>&1 || status=$?
    if grep -q 'cuda cannot be used' "$work/output"; then
        cat "$work/output"
        exit 77
    fi
    [ "$status" -eq 0 ] || fail "a dry run failed with exit code $status"
}

begin_only # what only the first run loads from the disk does not count
elapsed begin_only
start=$((took * 3 / 4))
elapsed whole
length=$took
last=checkpoints/step-00000030

cat > "$work/broken" <<SH
#!/bin/sh
rm -rf "$work/runs/broken"
exec "$dyttrain" "\$@"
SH
finds_out 'starts over'
printf '#!/bin/sh\nkill -SEGV $$\n' >"$work/broken"
finds_out 'crashes'

killed=0
number=0
while [ "$number" -lt "$count" ]; do
    number=$((number + 1))
    name=cut$number
    begin_cut "$name"
    recover "$name"
    killed=$((killed + 1))
    rm -rf "${work:?}/runs/$name"
done
echo "$killed runs were killed and resumed: each ended with the same bits"
