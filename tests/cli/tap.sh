# shellcheck shell=sh disable=SC2034
# For the scripts of this folder: run the program, look at its exit code and words, report as TAP. A script is called
# with the binary under test and the root of the source tree, and works in a folder of its own, $work.
#
#     run WORD...      runs the program; keeps $code, $out and $err
#     is NAME          one test: did the command before it succeed?   [ "$code" = 0 ] && has out x
#                                                                     is 'prints x'
#     easy_text LINES  prints a text to train on
#     easy_model       prints the settings of a model that learns it from text.txt; `train` and more go behind them
# What is known about a failure goes to standard error: standard output is TAP alone.
set -u
program=$(realpath "$1")
root=$(realpath "$2")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
cases=0
failures=0

run() {
    "$program" "$@" >"$work/.out" 2>"$work/.err" </dev/null
    code=$?
    out=$(cat "$work/.out")
    err=$(cat "$work/.err")
}

# easy_text LINES: what a tiny language model learns in seconds
easy_text() {
    line=0
    while [ "$line" -lt "$1" ]; do
        echo "line $line of a text that is easy to learn, for it says the same thing again and again"
        line=$((line + 1))
    done
}

easy_model() {
    cat <<'END'
device: cpu
threads: 2
run: {name: text}
model: {arch: llama, width: 32, depth: 1, heads: 2, kv_heads: 1, init: fan_in, embedding_scale: true}
norm: {kind: dyt, bias: false}
data: {kind: text, path: text.txt, context: 32, batch: 8}
optim: {lr: 1e-2, decay: all}
END
}

# has out|err TEXT: is it part of what the last run wrote?
has() {
    case $1 in
    out) text=$out ;;
    *) text=$err ;;
    esac
    case $text in
    *"$2"*) return 0 ;;
    esac
    return 1
}

# is NAME, directly behind the condition
is() {
    status=$?
    cases=$((cases + 1))
    if [ $status = 0 ]; then
        echo "ok $cases - $1"
    else
        failures=$((failures + 1))
        echo "not ok $cases - $1"
        printf '# %s\n# exit code %s\n# out: %s\n# err: %s\n' "$1" "${code-}" "${out-}" "${err-}" >&2
    fi
}

# The last line of every script: done_testing
done_testing() {
    echo "1..$cases"
    [ "$failures" = 0 ]
}

# A ViT so small that a step takes a few milliseconds, on made-up images.
write_tiny() {
    cat >"$1" <<'END'
run: {name: tiny}
model: {arch: vit, width: 16, depth: 2, heads: 2, patch: 4, init: fan_in}
norm: {kind: dyt, alpha0: 1}
data: {kind: synthetic, image: 8, channels: 1, classes: 4, synthetic_count: 400, batch: 20}
train: {epochs: 3}
optim: {lr: 3e-3}
eval: {batch: 20}
checkpoint: {every_steps: 10, keep: 2}
log: {every_steps: 5}
device: cpu
threads: 1
END
}
