#!/usr/bin/env bash
# dyttrain doctor --ranks: what it says of two ranks, of one, and of ranks that cannot talk to each other.
. "$(dirname "$0")/../cli/tap.sh"

run_ranks() { # RANKS WORD...
    "$root/scripts/lib/mpirun.sh" "$1" "$program" doctor --ranks "${@:2}" >"$work/.out" 2>"$work/.err" </dev/null
    code=$?
    out=$(cat "$work/.out")
    err=$(cat "$work/.err")
}

if [ -n "${DYTTRAIN_MPI_PLUGIN-}" ] && command -v mpirun >/dev/null; then
    run_ranks 2 --device cpu
    [ "$code" = 0 ] && has out '2 ranks on 1 host (launch: MPI)' && has out 'rank 1 ' && has out '64.0 MiB' &&
        has out 'slowest link rank 0 on' && ! has out 'wrong'
    is 'two ranks under mpirun: who they are, bandwidths, the slowest link'
    [ "$(grep -c '1.00 KiB' <<<"$out")" = 1 ]
    is 'the first rank alone speaks'
fi

run doctor --ranks --device cpu
[ "$code" = 0 ] && has out '1 rank on 1 host' && has out 'mpirun -np 2'
is 'one rank: says how to start several'

# started RANK: one of two, as any launcher may start them
port=$((20000 + $$ % 20000))
started() {
    env -u OMPI_COMM_WORLD_SIZE RANK="$1" WORLD_SIZE=2 MASTER_ADDR=127.0.0.1 MASTER_PORT=$port \
        timeout 60 "$program" doctor --ranks --device cpu
}
started 1 >"$work/other.out" 2>"$work/other.err" &
started 0 >"$work/.out" 2>"$work/.err"
code=$?
out=$(cat "$work/.out")
err=$(cat "$work/.err")
wait $! && false
[ "$code" = 2 ] && has err 'ranks on CPUs talk over MPI' && has err 'start them with mpirun'
is 'an environment launch with neither MPI nor a GPU is refused'

done_testing
