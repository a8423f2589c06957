#!/bin/sh
# Trains on many ranks by Open MPI's mpirun, and starts the run again when it fails. Edit the lines below, then
#
#     scripts/launch_mpirun.sh [path=value ...]
#
# Each of these variables may as well come from the environment: RANKS=2 scripts/launch_mpirun.sh. SIGINT, SIGTERM and
# SIGUSR1 to this script have all ranks save and leave (exit code 3). The same call later goes on from the newest
# checkpoint. Exit codes are the program's: 0 done, 2 wrong use, 3 stopped after saving; any other ended the last try.
# Read docs/multi_node.md first.
set -eu

RANKS=${RANKS:-8}                           # processes in all, one per GPU
RANKS_PER_HOST=${RANKS_PER_HOST:-8}         # GPUs of a host
HOST_FILE=${HOST_FILE:-}                    # a line for each host, as "gpu1 slots=8"; empty: this host alone
CONFIG=${CONFIG:-configs/llama_7b_dyt.yaml} # the same path on all hosts, as all others here
RUN_DIR=${RUN_DIR:-runs}                    # run.dir: in a file system that all hosts share
RUN_NAME=${RUN_NAME:-llama-7b}              # run.name
DYTTRAIN=${DYTTRAIN:-build/src/dyttrain}    # the program; the same file on all hosts
MPIRUN=${MPIRUN:-mpirun}                    # and further words to it, as "mpirun --mca btl_tcp_if_include eth0"
MAX_RESTARTS=${MAX_RESTARTS:-3}             # how often a run that failed is started again
RESTART_SECONDS=${RESTART_SECONDS:-10}      # before that: for GPUs, ports and file locks to become free
GONE_SECONDS=${GONE_SECONDS:-30}            # how long mpirun may outlive the ranks of this host

export NCCL_DEBUG="${NCCL_DEBUG:-WARN}" # why NCCL failed, which its error code alone does not say
# export NCCL_SOCKET_IFNAME=eth0        # several hosts: the network over which they find each other
# export NCCL_IB_HCA=mlx5               # several hosts: the InfiniBand or RoCE adapters that carry the data
# export NCCL_NVLS_ENABLE=0             # where the start fails at NVLink multicast, as on parts of a host
# export LD_LIBRARY_PATH=/opt/nccl/lib  # where libnccl.so.2 lies, if not in the system

export DYTTRAIN_LAUNCH=mpi # the environment may have variables of another launcher: mpirun's count

# Other hosts get of this environment only what -x names.
set -- "$CONFIG" run.dir="$RUN_DIR" run.name="$RUN_NAME" "$@"
passed=$(env | sed -nE 's/^((NCCL|DYTTRAIN)_[A-Z0-9_]+|LD_LIBRARY_PATH)=.*/-x \1/p')
[ -z "$HOST_FILE" ] || passed="$passed --hostfile $HOST_FILE"

mpirun=
trap '[ -z "$mpirun" ] || kill -s USR1 "$mpirun" || :; stopped=1' INT TERM USR1
stopped=

# attempt WORD...: one run from its start to its end, as $code. mpirun gets a session of its own: it would answer
# Ctrl-C by ending the ranks within a second, but hands SIGUSR1 on. A rank is not bound to one core, since it reads and
# decodes data in threads. Where a host is gone mpirun may wait for it for ever, or hang behind a rank that was stopped;
# by then our ranks have ended.
attempt() {
    # shellcheck disable=SC2086 # words
    setsid $MPIRUN -np "$RANKS" --map-by "ppr:$RANKS_PER_HOST:node" --bind-to none $passed "$DYTTRAIN" "$@" &
    mpirun=$! code=0 began='' gone=0
    while kill -s 0 "$mpirun" 2>/dev/null; do
        sleep 1 &
        wait $! || : # which a signal cuts short, unlike the sleep
        ranks=$(ps -o stat= --ppid "$mpirun") || : # of this host; Z: one that has ended, which mpirun has not asked for
        if printf '%s\n' "$ranks" | grep -q '^[^Z]'; then
            began=1 gone=0
        elif [ "$began$ranks" ]; then
            gone=$((gone + 1))
            [ "$gone" -lt "$GONE_SECONDS" ] || kill -s KILL "$mpirun" 2>/dev/null || :
        fi
    done
    wait "$mpirun" || code=$?
    mpirun=
}

if ! command -v "$DYTTRAIN" >/dev/null; then # mpirun has no exit code of its own for that
    echo "launch_mpirun.sh: no program '$DYTTRAIN': build it, or name it by DYTTRAIN" >&2
    exit 127
fi
resume=
for manifest in "$RUN_DIR/$RUN_NAME"/checkpoints/step-*/manifest.json; do
    [ ! -e "$manifest" ] || resume=--resume
done
restarts=0
while :; do
    attempt "$@" $resume
    case $code in 0 | 2 | 3 | 126 | 127) break ;; esac # the last two: what was to be started is not there
    [ -z "$stopped" ] && [ "$restarts" -lt "$MAX_RESTARTS" ] || break
    restarts=$((restarts + 1)) resume=--resume
    echo "launch_mpirun.sh: exit code $code; restart $restarts of $MAX_RESTARTS in $RESTART_SECONDS s" >&2
    sleep "$RESTART_SECONDS" || :
    [ -z "$stopped" ] || break
done
exit "$code"
