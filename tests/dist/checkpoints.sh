#!/bin/sh
# Checkpoints of several ranks: each of them writes a part, any number of ranks goes on from them, and a rank that is
# killed or cannot write leaves the ones before.
# Usage: checkpoints.sh PROGRAM ROOT FAULT_LIBRARY
fault=$(realpath "$3")
. "$2/tests/cli/tap.sh"
. "$root/tests/dist/dist.sh"
write_vit vit.yaml
sed -i 's/train: .*/train: {steps: 4, ema: 0.9}/; s/checkpoint: .*/checkpoint: {every_steps: 1, keep: 2}/; s/batch: 16/batch: 12/' vit.yaml

folder() { printf 'runs/%s/checkpoints/step-%08d' "$1" "$2"; }

# same_files A B: have two checkpoints the same files with the same bits, but for their manifests?
same_files() { diff -r --exclude=manifest.json "$1" "$2" >&2; }

# --- the same folder, whoever writes it ---

run vit.yaml run.name=alone train.steps=1
ranks 3 vit.yaml run.name=three train.steps=1
[ "$code" = 0 ] && [ "$(ls "$(folder three 1)")" = "$(ls "$(folder alone 1)")" ]
is 'three ranks write the files that one writes'
run inspect --verify "$(folder three 1)"
[ "$code" = 0 ]
is 'and they are whole'
run eval runs/three
[ "$code" = 0 ] && has out top-1
is 'and can be evaluated by one'

# --- from any number of ranks to any other ---

# A learning rate of no size: weights stay as they were loaded.
ranks 2 vit.yaml run.name=chain train.steps=1
steps=1
for n in 1 4 2; do
    steps=$((steps + 1))
    ranks $n vit.yaml run.name=chain --resume train.steps=$steps optim.lr=1e-60 optim.weight_decay=0
    [ "$code" = 0 ] && has err "step $((steps - 1)) of $steps" &&
        cmp "$(folder chain $((steps - 1)))/model.safetensors" "$(folder chain $steps)/model.safetensors" >&2
    is "$n ranks go on from the weights that others saved"
    has err 'rank_count is not that of the checkpoint: the last bits may differ'
    is "and are told that their bits may differ"
done

ranks 2 vit.yaml run.name=whole
for n in 2 4; do
    ranks 2 vit.yaml run.name=to$n train.steps=2 eval.at_end=false
    ranks $n vit.yaml run.name=to$n --resume
    [ "$code" = 0 ] && same_curve whole to$n 1e-6
    is "$n ranks end as the 2 would have that began"
done
same_files "$(folder whole 4)" "$(folder to2 4)" && ! grep rank_count runs/to2/log.txt >&2
is 'the same number of ranks goes on with the same bits'

# --- from any level of sharing to any other, whose bits are the same ---

for level in 0 1 2 3; do
    ranks 2 vit.yaml run.name=level$level parallel.zero=$level train.steps=2 eval.at_end=false
    ranks 2 vit.yaml run.name=level$level parallel.zero=$((3 - level)) --resume
    [ "$code" = 0 ] && same_files "$(folder whole 4)" "$(folder level$level 4)"
    is "what level $level saved, level $((3 - level)) goes on with, with the same bits"
done

# --- damage ---

ranks 2 vit.yaml run.name=damaged
truncate -s 100 "$(folder damaged 4)/state-0002.safetensors"
for n in 1 2 4; do
    ranks $n eval runs/damaged
    [ "$code" = 0 ] && has err 'step-00000004'"'"' is passed over' && has out 'step-00000003 (step 3)'
    is "eval by $n ranks takes the checkpoint before a damaged one"
done
ranks 2 eval "$(folder damaged 4)"
[ "$code" = 1 ] && has err 'state-0002.safetensors' && [ -z "$out" ]
is 'and refuses the damaged one where it is named'
ranks 2 vit.yaml run.name=damaged --resume
[ "$code" = 0 ] && has err 'is passed over' && has err 'step 3 of 4' &&
    same_files "$(folder whole 4)" "$(folder damaged 4)"
is 'ranks pass a damaged checkpoint over, whichever of them meets the damage'

# --- a checkpoint that a run which trains removes ---

# faulty RANK FAULT
faulty() { per_rank "[ \$rank != $1 ] || export LD_PRELOAD=$fault DT_FAULT=$2"; }

# gone RANKS RANK N WORD...: before that rank opens a file of weights for the N-th time; alone it does so three times to
# verify it
gone() {
    count=$1
    [ -e "$(folder whole 4)" ] || mv "$(folder whole 4).tmp" "$(folder whole 4)"
    faulty "$2" "gone:$3:step-00000004/model"
    shift 3
    ranks "$count" "$@"
    [ "$code" = 0 ] && ! has err step-00000004 && [ ! -e "$(folder whole 4)" ]
}
eval_gone() { gone "$@" eval runs/whole && has out 'step-00000003 (step 3)'; }
eval_gone 1 0 1
is 'eval takes the newest that is left when one goes before it is verified'
eval_gone 1 0 4
is 'and when it goes before its weights are read'
eval_gone 2 0 1 && eval_gone 2 1 1
is 'and so do two ranks, whichever of them finds it gone'
from_gone() { gone "$@" vit.yaml run.name="from$1$2" init.from=runs/whole train.steps=1 && has err step-00000003; }
from_gone 1 0 4 && from_gone 2 0 1 && from_gone 2 1 1
is 'and init.from, on one rank and on two'
mv "$(folder whole 4).tmp" "$(folder whole 4)"
faulty 0 gone:4:step-00000004/model
ranks 1 eval "$(folder whole 4)"
[ "$code" = 1 ] && has err 'was removed while it was read' && has err 'checkpoint.keep'
is 'where it was named, its removal is told'
mv "$(folder whole 4).tmp" "$(folder whole 4)"
# inspect_gone FILE [--verify]
inspect_gone() {
    faulty 0 "gone:1:step-00000004/$1"
    shift
    ranks 1 inspect "$@" "$(folder whole 4)"
    mv "$(folder whole 4).tmp" "$(folder whole 4)" && [ "$code" = 1 ] &&
        has err "step-00000004' was removed while it was read, as a run that trains does"
}
inspect_gone manifest && inspect_gone model && inspect_gone state --verify
is 'as it is by inspect, whenever that meets it'
faulty 0 gone:1:step-00000004/manifest
ranks 1 inspect runs/whole
[ "$code" = 0 ] && has out 'removed meanwhile' && ! has out 'not valid'
is 'and inspect takes none that goes for a damaged one'
mv "$(folder whole 4).tmp" "$(folder whole 4)"
per_rank

# --- a folder that is not everybody's ---

per_rank 'if [ $rank = 1 ]; then mkdir -p apart; cp vit.yaml apart; cd apart; fi'
ranks 2 vit.yaml run.name=apart
[ "$code" = 2 ] && has err 'rank 1 on ' && has err "'runs/apart' that rank 0 has made is not seen here" &&
    [ ! -e runs/apart ]
is 'ranks that do not share the run folder are told so before they train'
ranks 2 vit.yaml run.name=apart checkpoint.every_steps=0 checkpoint.at_end=false checkpoint.best_metric=none
[ "$code" = 0 ]
is 'unless nothing is to be saved'

# --- a rank that cannot write ---

for rank in 0 1; do
    faulty $rank write:1:step-00000003.tmp
    ranks 2 vit.yaml run.name=full$rank
    [ "$code" = 1 ] && has err 'step 3 not saved, earlier ones are kept' && has err 'No space left on device' &&
        [ "$(ls runs/full$rank/checkpoints | tr '\n' ' ')" = 'step-00000001 step-00000002 ' ]
    is "where rank $rank cannot write, the run ends on both with the older checkpoints"
    ranks 2 vit.yaml run.name=on$rank checkpoint.on_error=continue
    [ "$code" = 0 ] && has err 'going on, as checkpoint.on_error says' && same_files "$(folder whole 4)" "$(folder on$rank 4)"
    is "and where it may go on, both do"
done
per_rank

# --- kills ---

random() { echo $(($(od -An -N4 -tu4 /dev/urandom) % $1)); }

has_checkpoint() { ls "runs/$1/checkpoints" 2>/dev/null | grep -qx 'step-[0-9]*'; }

# kill_rank RANK NAME: starts or resumes run NAME on 3 ranks and kills that rank with SIGKILL at a random instant, once
# there is something to resume
kill_rank() {
    rm -f pid.*
    per_rank "echo \$\$ >pid.\$rank"
    "$launch" 3 "$work/per_rank.sh" "$program" vit.yaml run.name="$2" train.steps=200 --resume >"$work/.out" \
        2>"$work/.err" </dev/null &
    job=$!
    while [ ! -s "pid.$1" ] && kill -0 $job 2>/dev/null; do sleep 0.01; done
    while ! has_checkpoint "$2" && kill -0 $job 2>/dev/null; do sleep 0.01; done
    sleep "$(printf '0.%03d' "$(random 700)")"
    kill -9 "$(cat "pid.$1")" 2>/dev/null
    code=0
    wait $job || code=$?
    out=$(cat "$work/.out")
    err=$(cat "$work/.err")
}

ranks 3 vit.yaml run.name=undisturbed train.steps=200
for rank in 0 1 2; do
    name=killed$rank
    kill_rank $rank $name
    [ "$code" != 0 ] && has err "rank $rank on "
    is "the others name rank $rank, which was killed"
    kill_rank $rank $name
    per_rank
    ranks 3 vit.yaml run.name=$name train.steps=200 --resume
    [ "$code" = 0 ] && has err resuming && same_files "$(folder undisturbed 200)" "$(folder $name 200)" &&
        [ "$(ls runs/$name/checkpoints)" = "$(ls runs/undisturbed/checkpoints)" ]
    is "killed twice at random instants of saving, rank $rank ends with the same bits"
done
done_testing
