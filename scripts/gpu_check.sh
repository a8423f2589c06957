#!/usr/bin/env bash
# Checks dyttrain on this machine's GPU, in less than ten minutes on 16 cores and an H200: builds, runs the suites
# kernel, parity, resume, and with several GPUs dist-gpu, then bench with its checks (kernels, the quick start's step
# and ViT-B's, float32 and bfloat16). Ends with a table; exit code 1 when anything failed.
#
#     scripts/gpu_check.sh [-b BUILD]
#
# -b BUILD   takes this build folder as it is, made here or elsewhere: then neither Meson nor a compiler is needed.
#            Without it build/ is made or renewed, as scripts/test.sh does.
# What every check printed lies in BUILD/gpu-check/.
set -euo pipefail

fail() {
    echo "gpu_check.sh: $1" >&2
    exit "${2:-1}"
}

build=
while getopts 'b:h' option; do
    case $option in
    b) build=$(realpath -e -- "$OPTARG") || exit 2 ;;
    h)
        sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p;}' "${BASH_SOURCE[0]}"
        exit 0
        ;;
    *) fail 'usage: scripts/gpu_check.sh [-b BUILD]' 2 ;;
    esac
done
[ "$OPTIND" -gt $# ] || fail 'usage: scripts/gpu_check.sh [-b BUILD]' 2
cd "$(dirname "${BASH_SOURCE[0]}")/.."

began=$SECONDS
if [ -z "$build" ]; then
    . scripts/lib/setup.sh
    need_build
    install_lacking
    build_in build # a warning that this machine's compiler has beyond test.sh's is no failure of the GPU
    build=$PWD/build
fi
program=$build/src/dyttrain
logs=$build/gpu-check
[ -x "$program" ] || fail "'$build' is no build folder: there is no '$program'"
mkdir -p "$logs"
rm -f "$logs"/*

doctor=$("$program" doctor 2>&1) || fail "'$program' does not start: $(tail -n 1 <<<"$doctor")"
gpu=$(sed -n 's/^CUDA *GPU 0: //p' <<<"$doctor")
[ -n "$gpu" ] || fail "no GPU to check: $(sed -n 's/^CUDA *//p' <<<"$doctor" | head -n 1)"
echo "GPU: $gpu"

failed=0
rows=()

# row NAME RESULT SECONDS
row() {
    rows+=("$(printf '%-34s %-42s %4d s' "$1" "$2" "$3")")
    echo "${rows[-1]}"
}

# suite NAME: its tests four at a time; what failed is printed. Where all are skipped nothing was checked.
suite() {
    local from=$SECONDS result=0 log=$logs/$1
    python3 scripts/lib/run_tests.py "$build" "$log.json" 4 "$1" || result=2
    [ $result = 2 ] || python3 scripts/lib/sum_tests.py "$log.json" >"$log.txt" || result=1
    [ $result = 0 ] || failed=1
    [ $result != 1 ] || sed '$d' "$log.txt"
    [ $result != 2 ] || echo "no tests were run" >"$log.txt"
    ! grep -q '^0 passed' "$log.txt" || failed=1
    row "suite $1" "$(tail -n 1 "$log.txt")" $((SECONDS - from))
}

# bench NAME WORD...: dyttrain bench WORD..., whose speed, where it has one, goes into the table
bench() {
    local from=$SECONDS log=$logs/${1//[ ,]/-}.txt result=FAILED
    if timeout 150 "$program" bench "${@:2}" device=cuda >"$log" 2>&1; then
        result="agrees$(sed -n 's/^speed */, /p' "$log")"
    else
        failed=1
    fi
    cat "$log"
    row "bench $1" "$result" $((SECONDS - from))
}

suite kernel
suite parity
suite resume
# Of several GPUs: levels of sharing, micro-batches and types with each other.
[ "$(nvidia-smi -L | grep -c '^GPU')" -lt 2 ] || suite dist-gpu

quick=configs/quickstart/vit_fashion_dyt.yaml
vit_b=(configs/vit_b_dyt.yaml data.batch=256 train.micro_batch=256)
bench 'kernels' kernels
bench 'quick start, fp32' "$quick" precision.mode=fp32
bench 'quick start, bf16' "$quick" precision.mode=bf16
bench 'ViT-B, 256 images, fp32' "${vit_b[@]}" precision.mode=fp32
bench 'ViT-B, 256 images, bf16' "${vit_b[@]}" precision.mode=bf16

echo
echo "$gpu"
printf '%s\n' "${rows[@]}"
if [ "$failed" = 0 ]; then echo "all passed in $((SECONDS - began)) s"; else echo "FAILED, see $logs"; fi
exit "$failed"
