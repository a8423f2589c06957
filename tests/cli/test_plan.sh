#!/bin/sh
# Plans of one rank of several: what it takes and sends at each level of sharing, which level fits, and how many ranks
# are needed where none does.
. "$(dirname "$0")/tap.sh"
write_tiny tiny.yaml

run plan tiny.yaml
printf '%s\n' "$out" | grep -v ' free now' >alone.txt
run plan tiny.yaml --ranks 1
printf '%s\n' "$out" | grep -v ' free now' | sed '/^ranks/,/smallest that fits/d' >one.txt
[ "$code" = 0 ] && has out 'the smallest that fits: parallel.zero=0' && cmp -s alone.txt one.txt
is 'the plan of one rank of one is that of a run by itself'
run plan tiny.yaml --ranks 2 parallel.zero=3
[ "$code" = 0 ] && has out '20 samples in passes of 10 on 2 ranks'
is 'a rank of two takes half of the batch'
total=$(echo "$out" | sed -n 's/^  total  *\([0-9.]* [KMG]iB\).*/\1/p')
echo "$out" | grep -q "^  3  *$total "
is 'the table has what the plan above it has at its level'
run plan tiny.yaml --ranks 3
[ "$code" = 2 ] && has err 'data.batch: a batch of 20 does not divide into 3 ranks: take 18 or 21'
is 'a batch that does not divide is refused as a run refuses it'
run plan tiny.yaml --ranks 4 parallel.shard_group=3
[ "$code" = 2 ] && has err 'parallel.shard_group=3: 4 ranks cannot be put into groups of 3'
is 'ranks that make no whole groups are refused as a run refuses them'

# One rank of one takes 5.96 GiB.
vit_l() {
    run plan "$root/configs/vit_l_dyt.yaml" device=cpu precision.mode=fp32 data.kind=synthetic data.batch=8 \
        train.micro_batch=1 "$@"
}
row() { # row LEVEL PLANNED VERDICT: does the table say so?
    echo "$out" | grep -q "^  $1  *$2  .*  $3  "
}
vit_l --ranks 8 --gpu-gib 4
[ "$code" = 0 ] && row 0 '5.96 GiB' 'too much' && row 1 '3.00 GiB' fits && row 2 '2.10 GiB' fits &&
    row 3 '1.20 GiB' fits && has out 'the smallest that fits: parallel.zero=1'
is 'plan --ranks says which levels fit, and the smallest'
[ "$(echo "$out" | sed -n 's/^  1 .*fits  *//p' | tr -s ' ')" = '1.98 GiB 1016 MiB 1016 MiB 0 B 98 B' ]
is 'plan --ranks says what is sent'
vit_l --ranks 8 --gpu-gib 4 parallel.shard_group=2
[ "$code" = 0 ] && row 1 '4.27 GiB' 'too much' && has out 'the smallest that fits: parallel.zero=2'
is 'groups share among themselves alone'
# All ranks write, whatever they keep: an eighth of three arrays of 304 million and an average.
same_copy=true
for words in parallel.zero=0 parallel.zero=3 parallel.shard_group=2; do
    vit_l --ranks 8 --gpu-gib 4 $words
    echo "$out" | grep -q '^    copy to be saved  *580 MiB$' || same_copy=false
done
$same_copy
is 'a rank copies what it writes of a checkpoint, whatever it keeps'
vit_l --ranks 2 --gpu-gib 2
[ "$code" = 0 ] && has out 'none of these fits; parallel.zero=3 does from 4 ranks on'
is 'plan --ranks says how many are needed'
vit_l --ranks 2 --gpu-gib 1
[ "$code" = 0 ] && has out 'no number of ranks fits: with 8 and parallel.zero=3 each takes 1.20 GiB'
is 'plan --ranks says that none fit, and what comes nearest'
vit_l --ranks 0
[ "$code" = 2 ] && has err "--ranks=0: a number from 1 to 65536 is needed"
is 'plan --ranks refuses none'
vit_l --gpu-gib 3
[ "$code" = 2 ] && has err 'give --ranks too'
is 'plan --gpu-gib needs ranks'

# The paper's sizes, for GPUs that need not be there.
run doctor
case $out in
*'not in this binary'*) ;;
*)
    run plan "$root/configs/llama_7b_dyt.yaml" --ranks 1 --gpu-gib 80
    [ "$code" = 0 ] && has out 'none of these fits; parallel.zero=' && has out '1.50 GiB   CUDA context'
    is 'plan --ranks of 7B, for GPUs'
    ;;
esac

# What quickstart.sh advises at its end, in a tree whose build is there and from which nothing is installed.
mkdir -p tree/build/src bin
touch tree/build/build.ninja
ln -s "$program" tree/build/src/dyttrain
cp -r "$root/scripts" tree
ln -s "$root/configs" tree/configs
for tool in cc pkg-config meson ninja; do
    printf '#!/bin/sh\n' >bin/$tool
    chmod +x bin/$tool
done
easy_text 40 >text.txt
if [ -e /usr/share/dictd/gcide.dict.dz ] && command -v gnuplot >/dev/null; then
    PATH=$work/bin:$PATH tree/scripts/quickstart.sh llama device=cpu data.kind=text data.path="$work/text.txt" \
        data.held_out=0.3 train.steps=1 >quickstart.txt 2>&1 </dev/null
    advised=$(sed -n 's/.*build.src.dyttrain plan //p' quickstart.txt)
    cd tree || exit 1
    # shellcheck disable=SC2086 # several words
    [ -n "$advised" ] && run plan $advised && [ "$code" = 0 ] && has out '(6738415682)'
    is 'the plan that quickstart.sh llama advises is one that its build makes'
    cd .. || exit 1
    for word in --help --dry-run; do
        PATH=$work/bin:$PATH tree/scripts/quickstart.sh llama device=cpu data.kind=text data.path="$work/text.txt" \
            data.held_out=0.3 $word >quickstart.txt 2>&1 </dev/null && ! grep -q 'What to try next' quickstart.txt
        is "quickstart.sh llama $word tells of no run"
    done
fi

run plan tiny.yaml --ranks 2 --graph
[ "$code" = 0 ] && has out 'u8[10, 1, 8, 8] = input()' && has out 'reduce_scatter(matrices' && ! has out 'ranks'
is 'plan --ranks --graph prints the pass of a rank'
run plan tiny.yaml --ranks 2 --graph update
[ "$code" = 0 ] && has out 'all_gather(matrices.0-3.piece.value, matrices.0-3.value)'
is 'plan --ranks --graph update gathers what was updated'
done_testing
