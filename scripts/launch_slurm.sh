#!/bin/sh
# Trains on many ranks under Slurm, without MPI, and starts the run again when it fails. Edit the lines below, then
#
#     sbatch scripts/launch_slurm.sh [path=value ...]
#
# Each of the variables may as well come from the environment: CONFIG=my.yaml sbatch scripts/launch_slurm.sh. Before the
# time limit all ranks save and leave (exit code 3), and the job queues again to go on. `scancel --signal=USR1 JOB` has
# them save and end the job. Exit codes are the program's: 0 done, 2 wrong use, 3 stopped after saving; any other ended
# the last try. Read docs/multi_node.md first.
#SBATCH --job-name=dyttrain
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=8
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=12
#SBATCH --time=24:00:00
#SBATCH --signal=B:USR1@300
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=dyttrain-%j.log
# Above: a task is a rank and needs a GPU; its cores read and decode data (data.workers); 300 seconds before the time
# limit this script alone gets SIGUSR1: more than a step and a checkpoint take.
set -eu

CONFIG=${CONFIG:-configs/llama_7b_dyt.yaml} # the same path on all hosts, as all others here
RUN_DIR=${RUN_DIR:-runs}                    # run.dir: in a file system that all hosts share
RUN_NAME=${RUN_NAME:-llama-7b}              # run.name
DYTTRAIN=${DYTTRAIN:-build/src/dyttrain}    # the program; the same file on all hosts
MAX_RESTARTS=${MAX_RESTARTS:-3}             # how often a run that failed is started again within the job
RESTART_SECONDS=${RESTART_SECONDS:-10}      # before that: for GPUs, ports and file locks to become free
GONE_SECONDS=${GONE_SECONDS:-60}            # how long ranks may outlive the first that ended

export NCCL_DEBUG="${NCCL_DEBUG:-WARN}" # why NCCL failed, which its error code alone does not say
# export NCCL_SOCKET_IFNAME=eth0        # several hosts: the network over which they find each other
# export NCCL_IB_HCA=mlx5               # several hosts: the InfiniBand or RoCE adapters that carry the data
# export NCCL_NVLS_ENABLE=0             # where the start fails at NVLink multicast, as on parts of a host
# export LD_LIBRARY_PATH=/opt/nccl/lib  # where libnccl.so.2 lies, if not in the system

export DYTTRAIN_LAUNCH=environment # srun may leave MPI's variables: ours count
MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1) # rank 0's host
MASTER_PORT=$((10000 + SLURM_JOB_ID % 20000))                              # where it listens: another for each job
export MASTER_ADDR MASTER_PORT DYTTRAIN
[ -z "${SLURM_CPUS_PER_TASK:-}" ] || export SRUN_CPUS_PER_TASK="$SLURM_CPUS_PER_TASK" # srun does not take it over

# Slurm's own signals reach the ranks without this script, and a second one would end them before they have saved: only
# that of the time limit, which goes to this script alone, is handed on.
srun=
near_limit=
stopped=
trap 'near_limit=1; [ -z "$srun" ] || kill -s USR1 "$srun" || :' USR1
trap 'stopped=1' TERM

# attempt WORD...: one run from its start to its end, as $code. What tells a rank who it is stands in each task's own
# environment. No --kill-on-bad-exit: it would cut off ranks that are just leaving in order.
attempt() {
    # shellcheck disable=SC2016 # the task's shell expands it
    srun --wait="$GONE_SECONDS" sh -c 'export RANK=$SLURM_PROCID WORLD_SIZE=$SLURM_NTASKS LOCAL_RANK=$SLURM_LOCALID
        exec "$DYTTRAIN" "$@"' rank "$@" &
    srun=$! code=0
    wait "$srun" || code=$?
    while kill -s 0 "$srun" 2>/dev/null; do # a signal to this script ended the wait
        code=0
        wait "$srun" || code=$?
    done
    srun=
}

set -- "$CONFIG" run.dir="$RUN_DIR" run.name="$RUN_NAME" "$@"
resume=
for manifest in "$RUN_DIR/$RUN_NAME"/checkpoints/step-*/manifest.json; do
    [ ! -e "$manifest" ] || resume=--resume
done
[ "${SLURM_RESTART_COUNT:-0}" = 0 ] || resume=--resume # the job was queued again, perhaps before its first checkpoint
restarts=0
while :; do
    attempt "$@" $resume
    case $code in 0 | 2 | 3 | 126 | 127) break ;; esac # the last two: what was to be started is not there
    [ -z "$stopped$near_limit" ] && [ "$restarts" -lt "$MAX_RESTARTS" ] || break
    restarts=$((restarts + 1)) resume=--resume
    echo "launch_slurm.sh: exit code $code; restart $restarts of $MAX_RESTARTS in $RESTART_SECONDS s" >&2
    sleep "$RESTART_SECONDS"
    [ -z "$stopped$near_limit" ] || break
done
case $code in 0 | 2) ;; *) [ -z "$near_limit" ] || scontrol requeue "$SLURM_JOB_ID" ;; esac
exit "$code"
