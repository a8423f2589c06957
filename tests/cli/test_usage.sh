#!/bin/sh
# Wrong use: exit code 2, and a message that says what to do instead. And the ways to ask for help.
. "$(dirname "$0")/tap.sh"
write_tiny tiny.yaml

refuses() { # refuses NAME MESSAGE-PART WORD...
    name=$1 part=$2
    shift 2
    run "$@"
    [ "$code" = 2 ] && has err "$part" && [ -z "$out" ]
    is "$name"
}

refuses 'no words' 'usage: dyttrain CONFIG.yaml'
refuses 'unknown command' "did you mean 'plan'?" plam
refuses 'unknown command, nothing near' "'dyttrain --help' lists the commands" zzzzzzzz
refuses 'missing config' "cannot open 'none.yaml': No such file" none.yaml
refuses 'folder as config' "cannot read '$work': it is a folder" "$work"
refuses 'unknown option' "unknown option '--resum'; did you mean '--resume'?" tiny.yaml --resum
refuses 'unknown option, nothing near' "'dyttrain plan --help' lists the options" plan tiny.yaml --xyzzy
refuses 'option without its value' "option '--device' needs a NAME" tiny.yaml --device
refuses 'option with a value it does not take' "option '--resume' takes no value" tiny.yaml --resume=yes
refuses 'option twice' "option '--resume' is given twice" tiny.yaml --resume --resume
refuses 'wrong device' "did you mean 'cuda'?" tiny.yaml --device cude
refuses 'wrong log level' "--log-level must be debug, info, warn or error, not 'loud'" plan tiny.yaml --log-level loud
refuses 'wrong log level of a command without a log' "not 'loud'" doctor --log-level=loud
refuses 'wrong program of plan --graph' "takes one of pass, update, eval, eval_ema, prefill, decode, not 'foo'" \
    plan tiny.yaml --graph=foo
refuses 'one word too many' "one word too many: 'other.yaml'" plan tiny.yaml other.yaml
refuses 'settings where none are taken' "takes no settings" doctor seed=1
refuses 'unknown setting on the command line' "did you mean 'optim.lr'?" plan tiny.yaml optim.l=1
refuses 'hyphen in a setting' "did you mean 'optim.weight_decay'?" plan tiny.yaml optim.weight-decay=1
refuses 'wrong type on the command line' 'optim.lr' plan tiny.yaml optim.lr=fast
refuses 'out of range' 'train.ema' plan tiny.yaml train.ema=2
refuses 'an epsilon that lets 0 be divided by 0' 'from 1e-20 to 1' plan tiny.yaml optim.epsilon=0
refuses 'best of averaged weights that there are not' 'set train.ema' tiny.yaml \
    checkpoint.best_metric=eval_ema.loss run.name=best
refuses 'heads do not divide the width' 'heads' plan tiny.yaml model.heads=3
refuses 'patch does not divide the image' 'patch' plan tiny.yaml model.patch=3
refuses 'site that the model has not' 'attention' plan tiny.yaml norm.alpha0.atention=1
ln -s circle circle
for words in 'eval circle/run' 'generate circle/run --prompt x' 'inspect circle/run' \
    'tiny.yaml run.dir=circle run.name=run' 'tiny.yaml --dry-run run.dir=circle run.name=run'; do
    # shellcheck disable=SC2086
    run $words
    [ "$code" = 1 ] && has err "cannot look at 'circle/run': "
    is "why a run cannot be looked at: $words"
done
refuses 'no such run to evaluate' "there is no run or checkpoint 'none'" eval none
refuses 'neither run nor checkpoint' "is neither a run nor a checkpoint" eval "$root/src"
refuses 'nothing to inspect' "there is no run, checkpoint or file 'none'" inspect none
refuses 'folder to inspect' "is neither a run nor a checkpoint" inspect "$root/src"
refuses 'no help on that' "no help on 'everything'" help everything
refuses 'missing ImageNet' 'imagenet' "$root/configs/vit_b_dyt.yaml" data.path="$work/none" run.dir="$work/runs" device=cpu

refuses 'data set without a path' 'data.kind=mnist: mnist needs data.path' tiny.yaml data.kind=mnist run.name=mnist
refuses 'ImageNet names its key' 'data.kind=imagenet: imagenet can be planned but not yet read' tiny.yaml \
    data.kind=imagenet run.name=imagenet
refuses 'end of the schedule above its peak' 'schedule.min_lr=1' tiny.yaml schedule.min_lr=1 run.name=peak
refuses 'more threads than any machine has' 'from 0 to 1024' plan tiny.yaml threads=4096
refuses 'a dry run that resumes' 'do not go together' tiny.yaml --dry-run --resume
mkdir -p runs/tiny
refuses 'a dry run where the run would be refused' 'is there already' tiny.yaml --dry-run
rm -r runs
for name in . .. ../esc '' "$work/run" a/b; do
    refuses "run.name=$name" 'run.name' tiny.yaml run.name="$name"
done
refuses 'run.dir that is empty' 'has no value' tiny.yaml run.dir=
refuses 'import into no folder' 'OUT is empty' import none.safetensors tiny.yaml ''
printf 'seed: 1\n  bad: [\n' >broken.yaml
refuses 'not YAML' 'broken.yaml:2' plan broken.yaml
printf 'seed: 1\nsede: 2\n' >unknown.yaml
refuses 'unknown key' "unknown.yaml:2:1" plan unknown.yaml
printf 'seed: 1\nseed: 2\n' >twice.yaml
refuses 'duplicate key' 'twice.yaml:2:1' plan twice.yaml
: >empty.yaml
refuses 'empty config' 'empty.yaml' plan empty.yaml
printf 'base: loop.yaml\n' >loop.yaml
refuses 'base loop' 'loop' plan loop.yaml

run --version
[ "$code" = 0 ] && has out 'dyttrain ' && [ -z "$err" ]
is '--version'
run --help
[ "$code" = 0 ] && has out 'commands:' && has out 'inspect' && has out 'Exit codes: 0 done'
is '--help lists the commands and exit codes'
for command in train eval plan bench export import inspect doctor help; do
    run $command --help
    [ "$code" = 0 ] && has out 'usage: dyttrain' && has out '--log-level' && [ -z "$err" ]
    is "$command --help"
done
run --help settings
[ "$code" = 0 ] && has out 'optim.lr' && has out 'norm.alpha0' && has out 'checkpoint.keep' && has out 'model.width' &&
    has out 'data.batch' && has out 'of data.kind=tokens this or data.vocabulary must be set'
is '--help settings lists the settings of every room'
"$program" --help settings | head -n 1 >/dev/null
"$program" help settings 2>.err | head -n 1 >/dev/null
[ ! -s .err ]
is 'a closed pipe is no complaint'
code='' out='' err=''
if [ -w /dev/full ]; then
    "$program" --help >/dev/full 2>.err
    code=$?
    err=$(cat .err)
    [ $code = 1 ] && has err 'cannot write the result'
    is 'a full disk under standard output is a failure'
fi
done_testing
