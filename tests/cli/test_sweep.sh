#!/bin/sh
# The sweeps over learning rates and alpha0: tables, pictures, what is skipped, resumed and refused.
# shellcheck disable=SC1010,SC2016
. "$(dirname "$0")/tap.sh"
write_tiny tiny.yaml
DYTTRAIN=$program TMPDIR=$work # where a killed sweep's temporary files go with the rest
export DYTTRAIN TMPDIR

sweep() { # lr|alpha0 WORD...
    kind=$1
    shift
    "$root/scripts/sweep_$kind.sh" "$@" >.out 2>.err </dev/null
    code=$?
    out=$(cat .out)
    err=$(cat .err)
}

# column NUMBER RUN: of the sweep's CSV in $folder
column() {
    awk -F , -v number="$1" -v run="$2" '$NF == run { print $number }' "$folder/summary.csv"
}

is_png() {
    ! command -v gnuplot >.which || [ "$(head -c 4 "$1" | tail -c 3)" = PNG ]
}

await() { # CONDITION, an eval'ed command; for at most 20 s
    for _ in $(seq 200); do
        eval "$1" && return 0
        sleep 0.1
    done
    return 1
}

# --- learning rates: one goes well, one diverges ---

folder=runs/sweep-lr-tiny
sweep lr -j 2 tiny.yaml "3e-3 0.003 1e29" train.epochs=1
[ $code = 0 ] && has out '1 done, 1 diverged, 0 failed, 0 open'
is 'sweep_lr.sh: a diverging point stops no other, and the same rate twice is one point'
[ "$(column 3 lr0.003-seed0)" = done ] && [ "$(column 3 lr1e+29-seed0)" = diverged ] &&
    [ "$(column 6 lr1e+29-seed0)" = '' ] &&
    grep -q "\"top1\":$(column 6 lr0.003-seed0)," $folder/lr0.003-seed0/metrics.jsonl
is 'the table has the states and the final metric'
grep -q '^| 0.003 | 0 | done | 20 | \*\*' $folder/summary.md && is_png $folder/curve.png
is 'Markdown with the best in bold, and the picture'
before=$(cksum $folder/lr0.003-seed0/* 2>&1)
sweep lr tiny.yaml "3e-3 1e29" train.epochs=1
[ $code = 0 ] && has out 'lr0.003-seed0: done already' && has out 'lr1e+29-seed0: diverged already' &&
    [ "$before" = "$(cksum $folder/lr0.003-seed0/* 2>&1)" ]
is 'a second call finds it finished'
sweep lr tiny.yaml 1e-3 seed=1 train.epochs=1
[ $code = 0 ] && [ "$(column 2 lr0.001-seed1)" = 1 ] && [ "$(column 3 lr0.003-seed0)" = done ]
is 'another rate and seed go into the same table'
RANK=1 WORLD_SIZE=2 SLURM_PROCID=1 SLURM_NTASKS=2 SLURM_STEP_NUM_TASKS=2
export RANK WORLD_SIZE SLURM_PROCID SLURM_NTASKS SLURM_STEP_NUM_TASKS
sweep lr tiny.yaml 1e-3 seed=2 train.epochs=1
[ $code = 0 ] && [ "$(column 3 lr0.001-seed2)" = done ]
is 'a shell that is told to be one of several ranks sweeps all the same'
PMIX_RANK=1
export PMIX_RANK
sweep lr tiny.yaml 1e-3 seed=3 train.epochs=1
[ $code = 0 ] && [ -z "$out$err$(column 3 lr0.001-seed3)" ]
is 'but of the processes that MPI started, the first'
DYTTRAIN_LAUNCH=single
export DYTTRAIN_LAUNCH
sweep lr tiny.yaml 1e-3 seed=3 train.epochs=1
unset RANK WORLD_SIZE SLURM_PROCID SLURM_NTASKS SLURM_STEP_NUM_TASKS PMIX_RANK DYTTRAIN_LAUNCH
[ $code = 0 ] && [ "$(column 3 lr0.001-seed3)" = done ]
is 'or each, by DYTTRAIN_LAUNCH=single'
folder=runs/unkept
sweep lr -o $folder tiny.yaml 3e-3 train.epochs=1 checkpoint.best_metric=none checkpoint.at_end=false \
    checkpoint.every_steps=0
[ $code = 0 ] && [ "$(column 5 lr0.003-seed0)" = eval.top1 ] && [ -n "$(column 6 lr0.003-seed0)" ] &&
    ! ls $folder/lr0.003-seed0/checkpoints/step-* >.ls 2>&1
is 'a sweep that keeps no weights has its table all the same'
folder=runs/high
sweep lr -o $folder tiny.yaml 6e-3 train.epochs=1 schedule.min_lr=5e-3
[ $code = 0 ] && [ "$(column 3 lr0.006-seed0)" = done ]
is "a setting that goes with the points and not with the config's own rate"
folder=runs/sweep-lr-tiny
sweep lr tiny.yaml 1e-3 train.epochs=2
[ $code = 2 ] && has err 'other settings' && has err 'epochs: 2'
is 'other settings do not'

for file in settings.yaml points main.csv main.md; do # a disk that is full
    cp $folder/settings.yaml $folder/points .
    ln -s /dev/full $folder/.$file
    sweep lr tiny.yaml 2e-3 train.epochs=1
    [ $code = 1 ] && has err 'cannot write' && cmp -s settings.yaml $folder/settings.yaml &&
        ! grep -vxFf $folder/points points
    is "$file is kept as a whole or not at all"
    rm $folder/.$file
done
"$root/scripts/sweep_lr.sh" tiny.yaml 4e-3 train.epochs=1 >&- 2>.err </dev/null
code=$? err=$(cat .err)
[ $code = 0 ] && [ -z "$err" ] && [ "$(column 3 lr0.004-seed0)" = done ]
is 'nowhere to speak to'
rm -rf $folder/lr0.004-seed0
"$root/scripts/sweep_lr.sh" tiny.yaml 4e-3 train.epochs=1 >&- 2>&- <&-
[ $? = 0 ] && [ "$(column 3 lr0.004-seed0)" = done ]
is 'nor to complain to'
rm -rf $folder/lr0.004-seed0
mkdir temporary
{
    TMPDIR=$work/temporary "$root/scripts/sweep_lr.sh" tiny.yaml 4e-3 train.epochs=1 2>.err </dev/null
    echo $? >.code
} | true
[ "$(cat .code)" = 0 ] && ! [ -s .err ] && [ "$(column 3 lr0.004-seed0)" = done ] && [ -z "$(ls temporary)" ]
is 'nobody who listens'
mkdir full
printf '#!/bin/sh\ncase $2 in *.png) echo half >"$2"; exit 1 ;; esac\nexec %s "$@"\n' "$(command -v cp)" >full/cp
chmod +x full/cp
PATH=$work/full:$PATH sweep lr tiny.yaml 2e-3 train.epochs=1
[ $code = 0 ] && has out 'no picture' && [ ! -e $folder/curve.png ]
is 'no half of a picture stays'
printf 'lr0.009-seed12\t0.009\t-\t1' >>$folder/points
sweep lr tiny.yaml 2e-3 train.epochs=1
[ $code = 0 ] && [ "$(column 3 lr0.002-seed0)" = done ] && ! grep -q 0.009 $folder/summary.csv
is 'a line of points that was cut off is none'
folder=runs/corrected
sweep lr -o $folder tiny.yaml '2e-3 3e-3' train.epochs=1 data.batch=4000 eval.batch=4000
[ $code = 1 ] && has out 'larger than the training set'
is 'what a run refuses with its data open fails the points'
sweep lr -o $folder tiny.yaml 3e-3 train.epochs=1
[ $code = 0 ] && has out '1 done' && [ "$(wc -l <$folder/summary.csv)" = 2 ]
is 'where no run was begun other settings take over'

# --- alpha0, on a program that claims two GPUs and at first fails for one point ---

cat >stub <<END
#!/bin/sh
case "\$*" in
doctor) printf 'CUDA         GPU 0: one\n             GPU 1: two\n'; exit ;;
*--print-config) exec "$program" "\$@" ;;
*attention=2*) [ -e mended ] || { echo 'dyttrain: the disk is on fire' >&2; exit 1; } ;;
esac
echo "\${CUDA_VISIBLE_DEVICES-}" >>gpus
sleep 0.2
exec "$program" "\$@"
END
chmod +x stub
sed 's/^device: cpu/device: auto/' tiny.yaml >auto.yaml
folder=out
DYTTRAIN=./stub CUDA_VISIBLE_DEVICES=5,7 sweep alpha0 -o out auto.yaml "1 2" "0.5 1" train.epochs=1 threads=1
[ $code = 1 ] && has out '2 done, 0 diverged, 2 failed' && has out 'the disk is on fire' &&
    [ "$(column 4 attention2-other1-seed0)" = failed ]
is 'sweep_alpha0.sh: a failing point stops no other, and the exit code tells'
[ "$(sort -u gpus | tr '\n' ' ')" = '5 7 ' ] && has out 'begins on GPU 5' && has out 'begins on GPU 7'
is 'runs are spread over the GPUs that may be seen'
true >mended
DYTTRAIN=./stub sweep alpha0 -j3 -o out auto.yaml "1 2" "0.5 1" train.epochs=1 threads=1
[ $code = 0 ] && has out '4 done' && is_png out/heatmap.png && grep -q '^|.*\*\*' out/summary.md
is 'what failed is tried again; heat map'
grep -q 'alpha0: {default: 0.5, attention: 2}' out/attention2-other0.5-seed0/config.yaml
is 'the points have their alpha0'
sweep lr -j 99999999999999999999 tiny.yaml 3e-3 train.epochs=1 'run.dir=of "mine" \' 'run.name=a "b"'
[ $code = 0 ] && [ -z "$err" ] && [ -s 'of "mine" \/sweep-lr-a "b"/summary.md' ]
is 'names with quotes, and more runs at a time than a number of the shell'
mkdir bin
for tool in sh cat dirname awk mktemp rm sed grep tr wc diff cp mv mkdir date sort cut flock setsid getconf head tail \
    sleep; do
    ln -s "$(command -v "$tool")" bin/
done
DYTTRAIN=./stub PATH=$work/bin sweep alpha0 -o out auto.yaml "1 2" "0.5 1" train.epochs=1 threads=1
[ $code = 0 ] && has out 'no picture: gnuplot is missing' && [ -s out/summary.csv ]
is 'without gnuplot the tables alone'

# --- stopped and killed: long runs that save often ---

folder=long
long() {
    "$root/scripts/sweep_lr.sh" -j 2 -o long tiny.yaml "1e-3 2e-3 3e-3" train.steps=4000 checkpoint.every_steps=200 \
        eval.every_epochs=0 log.every_steps=1000 >long.out 2>&1 </dev/null
}
saved() { ls long/lr0.00[12]-seed0/checkpoints/step-* >.list 2>&1; }
long &
pid=$!
await saved
sweeping=$(head -n 1 long/lock)
kill -USR1 "$sweeping"
wait $pid
! kill -0 "$sweeping" 2>.err && [ "$(column 3 lr0.003-seed0)" = open ] && grep -q 'stopping: runs save' long.out &&
    flock -n long/lock true && [ ! -e long/lr0.003-seed0 ]
is 'a signal (SIGUSR1): the runs save, nothing new begins, nothing is left behind'
long &
pid=$!
await 'grep -q goes\ on long.out && [ $(wc -l <long/lock) -ge 3 ]'
grep -q 'resuming from' long/output/lr0.00[12]-seed0.txt || await 'grep -q "resuming from" long/output/*.txt'
is 'the next call goes on'
sweep lr -o long tiny.yaml 1e-3 train.steps=4000
[ $code = 2 ] && has err 'another sweep is at work'
is 'two sweeps into one folder are refused'
# shellcheck disable=SC2046
kill -KILL $(cat long/lock)
wait $pid
await 'flock -n long/lock true'
long
code=$?
[ $code = 0 ] && grep -q '^3 done' long.out && [ "$(column 4 lr0.001-seed0)$(column 4 lr0.003-seed0)" = 40004000 ]
is 'a sweep that was killed with its runs goes on to its end'

# --- wrong use ---

wrong() { # NAME TEXT WORD...
    name=$1
    text=$2
    shift 2
    sweep "$@"
    [ $code = 2 ] && has err "$text"
    is "$name"
}
wrong 'no list' 'usage:' lr tiny.yaml
wrong 'an empty list' 'the list is empty' lr tiny.yaml ' '
wrong 'a word in a list' "'x3' is not a positive number" lr tiny.yaml '1e-3 x3'
wrong 'a pattern in a list' "'*' is not a positive number" alpha0 tiny.yaml 1 '*'
wrong 'a list without quotes' "'3e-4' is no setting" lr tiny.yaml 1e-3 3e-4
wrong 'a setting that varies' "'norm.alpha0.ffn=1' is what" alpha0 tiny.yaml 1 1 norm.alpha0.ffn=1
wrong 'a setting that is none' 'did you mean' lr tiny.yaml 1 optim.betaz=1
wrong 'a value that no run takes' 'must be from 0 to 1000' alpha0 tiny.yaml '1 5000' 1
wrong 'a value that the schedule does not take' 'is above the peak' lr tiny.yaml '3e-3 1e-3' schedule.min_lr=2e-3
wrong 'a metric that no run has' 'is of averaged weights' lr tiny.yaml 3e-3 checkpoint.best_metric=eval_ema.loss
wrong 'sites without alpha' 'add norm.kind=dyt' alpha0 tiny.yaml '1 2' 1 norm.kind=layernorm
wrong 'other sites without alpha, each by name' 'all sites but attention are without' alpha0 tiny.yaml 1 '1 2' \
    norm.kind.ffn=rmsnorm norm.kind.final=rmsnorm
wrong 'runs at a time that are no number' '-j needs a number' lr -j two tiny.yaml 1
done_testing
