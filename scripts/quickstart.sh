#!/usr/bin/env bash
# From a fresh Debian to a trained DyT vision transformer: installs what is lacking, builds, trains on Fashion-MNIST.
# Words after the script's name are passed on: scripts/quickstart.sh norm.kind=layernorm. The run's folder is the
# script's choice.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/lib/setup.sh

config=configs/quickstart/vit_fashion_dyt.yaml
data=/usr/share/datasets/fashion-mnist

free_run_name() {
    local name=quickstart number=2
    while [ -e "runs/$name" ]; do name=quickstart-$((number++)); done
    echo "$name"
}

need_build
need_file $data/train-images-idx3-ubyte.gz dataset-fashion-mnist
want_tool gnuplot gnuplot-nox
install_lacking
build_in build
echo "set-up took $SECONDS s"

run=runs/$(free_run_name)
started=$SECONDS
build/src/dyttrain $config "$@" run.dir=runs run.name="${run#runs/}" </dev/null
echo "training took $((SECONDS - started)) s"

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
  the same with LayerNorm          scripts/quickstart.sh norm.kind=layernorm
  both curves in one picture       scripts/plot_run.sh runs/quickstart runs/quickstart-2
  evaluate the checkpoint          build/src/dyttrain eval $run
  what a ViT-B/16 would need       build/src/dyttrain plan configs/vit_b_dyt.yaml data.kind=synthetic
  every setting                    build/src/dyttrain --help settings
END
