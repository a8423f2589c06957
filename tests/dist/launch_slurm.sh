#!/bin/sh
# scripts/launch_slurm.sh under a stand-in for Slurm: what each task gets to know of itself, restarts, the time limit.
# Ranks on CPUs need MPI, which this way of starting does without: several of them only meet here, and one trains.
# Usage: launch_slurm.sh PROGRAM ROOT
. "$2/tests/cli/tap.sh"
write_tiny tiny.yaml

# srun starts SLURM_NTASKS tasks, hands SIGUSR1 and SIGTERM on to them, and ends with the highest exit code.
mkdir bin
cat >bin/srun <<'END2'
#!/bin/sh
while [ "${1#--}" != "$1" ]; do shift; done
tasks=
trap 'kill -s USR1 $tasks' USR1
trap 'kill -s TERM $tasks' TERM
for task in $(seq 0 $((SLURM_NTASKS - 1))); do
    SLURM_PROCID=$task SLURM_LOCALID=$((task % SLURM_NTASKS_PER_NODE)) PMIX_RANK=$task "$@" &
    tasks="$tasks $!"
done
highest=0
for task in $tasks; do
    code=0
    wait $task || code=$?
    while kill -s 0 $task 2>/dev/null; do code=0; wait $task || code=$?; done
    [ $code -le $highest ] || highest=$code
done
exit $highest
END2
cat >bin/scontrol <<'END2'
#!/bin/sh
case "$1 $2" in
'show hostnames') printf '127.0.0.1\nanother\n' ;;
*) echo "$@" >>requeued ;;
esac
END2
chmod +x bin/*
PATH=$work/bin:$PATH
export SLURM_JOB_ID=$$ SLURM_JOB_NODELIST='gpu[1-2]' SLURM_NTASKS_PER_NODE=2 SLURM_CPUS_PER_TASK=3
export RUN_DIR=runs RESTART_SECONDS=1 MAX_RESTARTS=2
unset OMPI_COMM_WORLD_SIZE SLURM_RESTART_COUNT

launch() { # TASKS NAME WORD...
    tasks=$1 name=$2
    shift 2
    SLURM_NTASKS=$tasks RUN_NAME=$name "$root/scripts/launch_slurm.sh" "$@" >"$work/.out" 2>"$work/.err" </dev/null
    code=$?
    out=$(cat "$work/.out")
    err=$(cat "$work/.err")
}

restarts() { printf '%s\n' "$err" | grep -c 'launch_slurm.sh: exit code'; }

# signal_later SIGNAL: to the launch script, once a checkpoint is there
signal_later() {
    for _ in $(seq 600); do
        [ ! -e runs/long/checkpoints/step-00000020/manifest.json ] || break
        sleep 0.1
    done
    pkill "-$1" -P $$ -f 'scripts/launch_slurm.sh'
}

# --- what the tasks know ---
cat >program.sh <<'END2'
#!/bin/sh
echo "$RANK of $WORLD_SIZE, $LOCAL_RANK, $MASTER_ADDR:$MASTER_PORT $DYTTRAIN_LAUNCH $SRUN_CPUS_PER_TASK: $*" >>tasks
exit "$(cat exit)"
END2
chmod +x program.sh
export DYTTRAIN="$work/program.sh" CONFIG=some.yaml
echo 0 >exit
launch 4 known a.b='c d'
sort tasks >sorted
port=$((10000 + SLURM_JOB_ID % 20000))
for rank in 0 1 2 3; do
    echo "$rank of 4, $((rank % 2)), 127.0.0.1:$port environment 3: some.yaml run.dir=runs run.name=known a.b=c d"
done | cmp - sorted && [ "$code" = 0 ] && [ "$(restarts)" = 0 ]
is 'each task knows its rank, how many there are, and where rank 0 is'

for wanted in 2 3; do
    echo $wanted >exit
    launch 2 known
    [ "$code" = $wanted ] && [ "$(restarts)" = 0 ] && [ ! -e requeued ]
    is "exit code $wanted is not started again"
done
echo 1 >exit
rm tasks
launch 1 known
[ "$code" = 1 ] && [ "$(restarts)" = 2 ] && [ "$(wc -l <tasks)" = 3 ] && [ "$(grep -c -e --resume tasks)" = 2 ]
is 'a run that always fails is given up after MAX_RESTARTS'
rm tasks
echo 0 >exit
SLURM_RESTART_COUNT=1 launch 1 known
grep -q -e --resume tasks
is 'a job that was queued again resumes'

# --- with the program ---
export DYTTRAIN="$program" CONFIG=tiny.yaml
launch 2 two
[ "$code" = 2 ] && [ "$(restarts)" = 0 ] && has err 'ranks on CPUs talk over MPI'
is 'the ranks find each other'

launch 1 long train.epochs=60
[ "$code" = 0 ] && mv runs/long runs/all
is 'a run that nothing stops'
signal_later USR1 &
launch 1 long train.epochs=60
wait $!
[ "$code" = 3 ] && grep -q "^requeue $SLURM_JOB_ID$" requeued && has err 'which is saved'
is 'near the time limit it saves, and the job queues again'
SLURM_RESTART_COUNT=1 launch 1 long train.epochs=60
[ "$code" = 0 ] && cmp runs/all/checkpoints/step-00001200/model.safetensors \
    runs/long/checkpoints/step-00001200/model.safetensors
is 'and goes on to the bits of a run that nothing stopped'
done_testing
