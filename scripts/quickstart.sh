#!/usr/bin/env bash
# From a fresh Debian to a trained DyT model: installs what is lacking, builds, trains. A vision transformer on
# Fashion-MNIST, or with `scripts/quickstart.sh llama` a language model on the text of a dictionary. Further words are
# passed on: scripts/quickstart.sh norm.kind=layernorm. The run's folder is the script's choice.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/lib/setup.sh

model=vit
case ${1:-} in vit | llama) model=$1; shift ;; esac
if [ $model = llama ]; then
    config=configs/quickstart/llama_gcide_dyt.yaml
    file=/usr/share/dictd/gcide.dict.dz package=dict-gcide
    other_norm="scripts/quickstart.sh llama norm.kind=rmsnorm model.embedding_scale=false"
    other_plan="configs/llama_7b_dyt.yaml data.kind=synthetic_text"
else
    config=configs/quickstart/vit_fashion_dyt.yaml
    file=/usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz package=dataset-fashion-mnist
    other_norm="scripts/quickstart.sh norm.kind=layernorm"
    other_plan="configs/vit_b_dyt.yaml data.kind=synthetic"
fi

free_run_name() {
    local name=quickstart number=2
    while [ -e "runs/$name" ]; do name=quickstart-$((number++)); done
    echo "$name"
}

need_build
need_file $file $package
want_tool gnuplot gnuplot-nox
install_lacking
build_in build
# Without CUDA there is no bfloat16 to plan for.
[ $model = vit ] || built_with_cuda build || other_plan+=" precision.mode=fp32"
echo "set-up took $SECONDS s"

run=runs/$(free_run_name)
started=$SECONDS
build/src/dyttrain $config "$@" run.dir=runs run.name="${run#runs/}" </dev/null
[ -d "$run" ] || exit 0 # the words asked for help, say, and not for a run
echo "training took $((SECONDS - started)) s"
if [ $model = llama ]; then
    echo "a passage by the model:"
    build/src/dyttrain generate "$run" --prompt "The " --tokens 400 </dev/null
fi

curves=$run/metrics.jsonl
if command -v gnuplot >/dev/null; then
    scripts/plot_run.sh "$run" >/dev/null
    curves="$run/curves.png, $curves"
fi
cat <<END

run folder   $run
curves       $curves, and for TensorBoard: tensorboard --logdir runs
checkpoint   $(ls -d "$run"/checkpoints/step-* | tail -n 1)

What to try next:
  the same with a row norm         $other_norm
  both curves in one picture       scripts/plot_run.sh runs/quickstart runs/quickstart-2
  evaluate the checkpoint          build/src/dyttrain eval $run
  what a published size would need build/src/dyttrain plan $other_plan
  every setting                    build/src/dyttrain --help settings
END
