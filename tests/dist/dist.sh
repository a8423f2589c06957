# shellcheck shell=sh disable=SC2034,SC2154
# For the scripts of this folder that train: what they need beside the cli tests' tap.sh, which they have read before.
#
#     ranks N WORD...         runs the program with N ranks (1: alone); keeps $code, $out and $err as `run` does
#     per_rank SCRIPT...      from now on each rank runs these lines of shell before the program; $rank is its number
#     same_curve A B LIMIT    have runs A and B the same steps, losses and evaluations, within LIMIT?
#     same_bits A B           the same, digit for digit, and the gradient norms?
#     write_vit, write_llama  a tiny model on made-up data, in FILE
launch=$root/scripts/lib/mpirun.sh
if [ -z "${DYTTRAIN_MPI_PLUGIN-}" ]; then
    echo '1..0 # SKIP this build found no MPI'
    exit 0
fi
command -v mpirun >/dev/null || {
    echo '1..0 # SKIP there is no mpirun'
    exit 0
}
export OMPI_MCA_orte_abort_print_stack=0

per_rank() {
    {
        echo '#!/bin/sh'
        echo 'rank=${OMPI_COMM_WORLD_RANK:-0}'
        printf '%s\n' "$@"
        echo 'exec "$@"'
    } >"$work/per_rank.sh"
    chmod +x "$work/per_rank.sh"
}
per_rank

ranks() {
    count=$1
    shift
    "$launch" "$count" "$work/per_rank.sh" "$program" "$@" >"$work/.out" 2>"$work/.err" </dev/null
    code=$?
    out=$(cat "$work/.out")
    err=$(cat "$work/.err")
}

# The numbers of `key` in a run's metrics.jsonl, a line each, behind "step key".
numbers() {
    sed -nE 's/^\{"step":([0-9]+).*[{,]"'"$2"'":([^,}]+).*/\1 '"$2"' \2/p' "runs/$1/metrics.jsonl"
}

curve() {
    for key in loss top1 top5; do numbers "$1" "$key"; done
}

# With the largest difference on standard error.
same_curve() {
    curve "$1" >"$work/.a"
    curve "$2" >"$work/.b"
    [ -s "$work/.a" ] && paste "$work/.a" "$work/.b" | awk -v limit="$3" '
        NF != 6 || $1 != $4 || $2 != $5 { wrong = 1 }
        { d = $3 - $6; if (d < 0) d = -d; if (d > most) most = d }
        END { printf "largest difference %g\n", most > "/dev/stderr"; exit wrong || !(most <= limit) }'
}

same_bits() {
    { curve "$1"; numbers "$1" grad_norm; } >"$work/.a"
    { curve "$2"; numbers "$2" grad_norm; } >"$work/.b"
    [ -s "$work/.a" ] && cmp "$work/.a" "$work/.b" >&2
}

write_common() {
    cat <<'END'
device: cpu
threads: 1
norm: {kind: dyt}
train: {steps: 20}
optim: {lr: 1e-3}
schedule: {kind: constant, warmup_steps: 0}
eval: {every_epochs: 0, at_end: true, batch: 3}
log: {every_steps: 1}
checkpoint: {every_steps: 0, at_end: false, best_metric: none}
END
}

# 20 samples to evaluate, which no number of ranks here takes in whole batches of 3.
write_vit() {
    write_common >"$1"
    cat >>"$1" <<'END'
model: {arch: vit, width: 16, depth: 2, heads: 2, patch: 4, init: fan_in}
data: {kind: synthetic, image: 8, channels: 1, classes: 4, synthetic_count: 200, batch: 16, workers: 1}
END
}

write_llama() {
    write_common | sed 's/norm: .*/norm: {kind: dyt, bias: false}/' >"$1"
    cat >>"$1" <<'END'
model: {arch: llama, width: 16, depth: 2, heads: 2, kv_heads: 1, ffn: 24, init: fan_in, embedding_scale: true}
data: {kind: synthetic_text, context: 12, vocabulary: 40, synthetic_count: 3000, batch: 16, workers: 1}
END
}
