#!/bin/sh
# scripts/launch_mpirun.sh: it starts ranks, starts them again when one was killed, as if nothing had been, and stops
# where that is of no use.
# Usage: launch_mpirun.sh PROGRAM ROOT
. "$2/tests/cli/tap.sh"
. "$root/tests/dist/dist.sh"
write_vit vit.yaml
# Large enough for a second or two between a checkpoint and the end.
sed -i 's/checkpoint: .*/checkpoint: {every_steps: 20, keep: 100}/; s/train: .*/train: {steps: 300}/
    s/batch: 16/batch: 48/; s/width: 16, depth: 2/width: 48, depth: 4/; s/image: 8/image: 16/' vit.yaml
export CONFIG=vit.yaml RUN_DIR=runs RESTART_SECONDS=1 MAX_RESTARTS=2 RANKS_PER_HOST=4

# What scripts/lib/mpirun.sh adds, for the same reasons.
mpirun="mpirun --allow-run-as-root --oversubscribe --mca mpi_yield_when_idle 1 --mca pml ob1 --mca btl self,vader"
export MPIRUN="$mpirun --mca btl_vader_single_copy_mechanism none"

# The program, each rank of which leaves its process in pid-RANK.
cat >program.sh <<END2
#!/bin/sh
echo \$\$ >"$work/pid-\$OMPI_COMM_WORLD_RANK"
exec "$program" "\$@"
END2
chmod +x program.sh
export DYTTRAIN="$work/program.sh"

launch() { # RANKS NAME WORD...
    launched=$1 name=$2
    shift 2
    RANKS=$launched RUN_NAME=$name "$root/scripts/launch_mpirun.sh" "$@" >"$work/.out" 2>"$work/.err" </dev/null
    code=$?
    out=$(cat "$work/.out")
    err=$(cat "$work/.err")
}

restarts() { printf '%s\n' "$err" | grep -c 'launch_mpirun.sh: exit code'; }

# behind_step NAME STEP COMMAND...: once that checkpoint is there, or not within a minute
behind_step() {
    manifest=runs/$1/checkpoints/step-$(printf %08d "$2")/manifest.json
    shift 2
    for _ in $(seq 1200); do
        [ ! -e "$manifest" ] || break
        sleep 0.05
    done
    "$@"
}

kill_rank() { kill -s KILL "$(cat "pid-$1")"; }

# same_end A B: have the last checkpoints of both runs the same bits, and both the same curve?
same_end() {
    a=runs/$1/checkpoints/step-00000300 b=runs/$2/checkpoints/step-00000300
    [ -e "$a/manifest.json" ] && [ -e "$b/manifest.json" ] || return 1
    for file in "$a"/*.safetensors; do
        cmp "$file" "$b/${file##*/}" >&2 || return 1
    done
    same_bits "$1" "$2"
}

for n in 2 4; do
    launch $n whole-$n
    [ "$code" = 0 ] && [ "$(restarts)" = 0 ]
    is "$n ranks that nothing stops"

    victim=$((n - 1))
    behind_step killed-$n 40 kill_rank $victim &
    launch $n killed-$n
    wait $!
    [ "$code" = 0 ] && [ "$(restarts)" = 1 ] && has err "rank $victim on " && has err 'killed or crashed'
    is "rank $victim of $n killed: said in one line, and started again"
    same_end whole-$n killed-$n
    is "rank $victim of $n killed: the end is that of a run that nothing stopped, to the bit"
done

{ behind_step twice 20 kill_rank 0; behind_step twice 100 kill_rank 1; } &
launch 2 twice
wait $!
[ "$code" = 0 ] && [ "$(restarts)" = 2 ] && same_end whole-2 twice
is 'rank 0 killed, then rank 1: two restarts, the same bits'

behind_step stopped 40 pkill -TERM -P $$ -f 'scripts/launch_mpirun.sh' &
launch 2 stopped
wait $!
[ "$code" = 3 ] && [ "$(restarts)" = 0 ] && has err 'which is saved'
is 'SIGTERM: all ranks save, exit code 3, no restart'
launch 2 stopped
[ "$code" = 0 ] && same_end whole-2 stopped
is 'the same call later goes on from the checkpoint, to the same bits'

DYTTRAIN_LAUNCH=environment RANK=1 WORLD_SIZE=4 MASTER_ADDR=nowhere.invalid
export DYTTRAIN_LAUNCH RANK WORLD_SIZE MASTER_ADDR
launch 2 meant train.steps=1
unset DYTTRAIN_LAUNCH RANK WORLD_SIZE MASTER_ADDR
[ "$code" = 0 ] && [ -e runs/meant/log.rank-0001.txt ]
is 'variables of another launcher in the environment do not count'

launch 2 whole-2 optim.lr=no
[ "$code" = 2 ] && [ "$(restarts)" = 0 ]
is 'wrong use is not started again'

printf '#!/bin/sh\necho "$@" >>started\nexit 5\n' >program.sh
launch 1 failing a.b=1
[ "$code" = 5 ] && [ "$(restarts)" = 2 ] && [ "$(wc -l <started)" = 3 ] && [ "$(grep -c resume started)" = 2 ] &&
    grep -q 'vit.yaml run.dir=runs run.name=failing a.b=1' started
is 'a run that always fails is given up after MAX_RESTARTS'
MPIRUN=no-mpirun launch 1 absent
[ "$code" = 127 ] && [ "$(restarts)" = 0 ]
is 'an mpirun that is not there is not looked for again'
DYTTRAIN=$work/nowhere launch 2 nothing
[ "$code" = 127 ] && [ "$(restarts)" = 0 ] && has err "no program '$work/nowhere'"
is 'nor is a program that is not there'

# It loses its ranks, does not ask how they ended, and stays.
printf '#!/bin/sh\nsleep 2 &\nexec sleep 60\n' >program.sh
export MPIRUN="$work/program.sh" MAX_RESTARTS=0 GONE_SECONDS=2
launch 1 gone
[ "$code" = 137 ]
is 'an mpirun that waits for a host that is gone is ended'
done_testing
