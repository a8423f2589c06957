#!/bin/sh
# doctor, bench, the plotting script, and the check of a GPU where it has none.
. "$(dirname "$0")/tap.sh"
write_tiny tiny.yaml

run doctor
[ "$code" = 0 ] && has out 'processor' && has out 'FLOP/s' && has out 'CUDA' && has out 'fashion_mnist' && has out 'gnuplot'
is 'doctor'
run bench kernels tiny.yaml
[ "$code" = 0 ] && has out 'attention' && has out 'AdamW' && has out 'DyT, gradient'
is 'bench kernels at the shapes of a config: every kernel agrees with float64'
cat >text.yaml <<'END'
model: {arch: llama, width: 32, depth: 1, heads: 4, kv_heads: 2, ffn: 48, vocabulary: 77}
data: {kind: synthetic_text, context: 24, vocabulary: 77, batch: 3}
device: cpu
END
run bench kernels text.yaml
[ "$code" = 0 ] && has out 'on 2 of keys and values' && has out 'rotary embedding' && has out 'attention to a cache' &&
    has out 'loss of tokens' && has out 'learned factor, gradient' && has out 'SwiGLU' && ! has out 'GELU, gradient'
is 'bench kernels at the shapes of a language model'
run bench kernels tiny.yaml --device cuda
{ [ "$code" = 0 ] && has out 'bfloat16' && has out 'copy %'; } || { [ "$code" = 2 ] && has err 'cuda cannot be used'; }
is 'bench kernels on a GPU, or why not'
run bench tiny.yaml
[ "$code" = 0 ] && has out 'images/s' && has out 'the same bits' && has out 'float64'
is 'bench: the step agrees with other threads and with float64'
run bench tiny.yaml --no-update
[ "$code" = 0 ] && has out 'no update; gradients of matrices in float32' && has out 'and backward' &&
    has out 'run again    the same bits'
is 'bench --no-update: forward, and forward and backward'
run bench tiny.yaml --no-update --grad-dtype bf16
[ "$code" = 2 ] && has err 'with precision.mode=bf16'
is 'bench --grad-dtype bf16 says what it needs'
run bench tiny.yaml --grad-dtype bf16
[ "$code" = 2 ] && has err '--grad-dtype goes with --no-update'
is 'bench --grad-dtype without --no-update is refused'
run bench --norms tiny.yaml
[ "$code" = 0 ] && has out 'rmsnorm' && has out 'identity' && has out 'DyT / RMSNorm' && has out 'large copy'
is 'bench --norms: the norms of a model and the model'
run bench --norms tiny.yaml --grad-dtype bf16
[ "$code" = 2 ] && has err 'with precision.mode=bf16'
is 'bench --norms takes the gradients of --grad-dtype'
run bench --norms tiny.yaml precision.mode=fp64
[ "$code" = 2 ] && has err 'not in fp64'
is 'bench --norms in fp64 is refused'
run bench --norms --device cpu
[ "$code" = 2 ] && has err 'LLaMA 7B is for a GPU'
is 'bench --norms of the CPU needs a config'
run bench --norms tiny.yaml --profile
[ "$code" = 2 ] && has err 'leave out --profile'
is 'bench --norms --profile is refused'
run bench kernels --norms
[ "$code" = 2 ] && has err 'leave out'
is 'bench kernels --norms is refused'
run bench
[ "$code" = 2 ] && has err 'a word is missing'
is 'bench of nothing is refused'
run bench tiny.yaml --profile --no-update
[ "$code" = 2 ] && has err 'leave out --no-update'
is 'bench --profile --no-update is refused'
run bench tiny.yaml --profile
[ "$code" = 0 ] && has out 'matmul' && has out 'blocks.*.attn' && has out 'adamw' && ! has out 'reshape'
is 'bench --profile'
run bench kernels tiny.yaml --profile
[ "$code" = 2 ] && has err 'leave out'
is 'bench kernels --profile is refused'
[ ! -e runs ]
is 'none of these made a run folder'

run tiny.yaml train.epochs=1
plot() {
    "$root/scripts/plot_run.sh" "$@" >.out 2>.err
    code=$?
    out=$(cat .out)
    err=$(cat .err)
}
if command -v gnuplot >.out; then
    plot runs/tiny
    [ $code = 0 ] && [ "$(head -c 4 runs/tiny/curves.png | tail -c 3)" = PNG ]
    is 'plot_run.sh draws a run'
    printf '{"step":15,"lo' >>runs/tiny/metrics.jsonl
    cp -r runs/tiny 'runs/a "quoted" $name'
    plot runs/tiny 'runs/a "quoted" $name' -o two.png
    [ $code = 0 ] && [ -s two.png ]
    is 'plot_run.sh draws two runs, a torn line and a strange name'
    width() { od -A n -t u1 -j 16 -N 4 "$1" | awk '{ print $3 * 256 + $4 }'; } # of a PNG
    mkdir runs/text
    printf '{"step":1,"loss":3}\n{"step":2,"eval":{"loss":2.5}}\n' >runs/text/metrics.jsonl
    plot runs/text
    [ $code = 0 ] && [ "$(width two.png)" = 1500 ] && [ "$(width runs/text/curves.png)" = 750 ]
    is 'plot_run.sh draws a run without accuracies in one panel'
fi
plot
[ $code = 2 ] && has err 'usage:'
is 'plot_run.sh without a run'
for last in runs/tiny ''; do
    plot $last -o # behind a run, and alone
    [ $code = 2 ] && has err '-o needs a file name'
    is 'plot_run.sh -o without a file name'
done
plot none
[ $code = 1 ] && has err "'none' is no run"
is 'plot_run.sh with something else'
mkdir bin
for tool in sh cat dirname awk mktemp rm; do ln -s "$(command -v "$tool")" bin/; done
PATH=$work/bin plot runs/tiny
[ $code = 1 ] && has err 'install it'
is 'plot_run.sh without gnuplot says how to get it'

# check [-b BUILD]; BUILD's program is the words in `says`
check() {
    mkdir -p build/src
    printf '#!/bin/sh\n%s\n' "${says-}" >build/src/dyttrain
    chmod +x build/src/dyttrain
    "$root/scripts/gpu_check.sh" "$@" >.out 2>.err </dev/null
    code=$?
    out=$(cat .out)
    err=$(cat .err)
}
says='echo "CUDA         built in, but no CUDA device: there is no NVIDIA driver"'
check -b build
[ $code = 1 ] && has err 'no GPU to check: built in, but no CUDA device: there is no NVIDIA driver'
is 'gpu_check.sh without a GPU'
says='echo "cannot open libcublasLt.so.13" >&2; exit 127'
check -b build
[ $code = 1 ] && has err 'does not start: cannot open libcublasLt.so.13'
is 'gpu_check.sh with a program that does not start'
check -b bin
[ $code = 1 ] && has err 'is no build folder'
is 'gpu_check.sh with another folder'
check -b
[ $code = 2 ] && has err 'usage:' && check -b none && [ $code = 2 ]
is 'gpu_check.sh -b without a folder'
done_testing
