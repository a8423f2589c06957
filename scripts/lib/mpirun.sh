#!/usr/bin/env bash
# Runs a command as several ranks on this one machine: mpirun.sh RANKS COMMAND [WORD...]. What tests and checks need
# beside mpirun's own defaults stands here alone: to be root, more ranks than processors, waits that leave the processor
# to others, and messages through memory that are not copied across processes by the kernel, which containers forbid.
# Exit code 77 where there is no mpirun.
set -euo pipefail

if ! command -v mpirun >/dev/null; then
    echo "no mpirun: install Open MPI (Debian: apt-get install openmpi-bin libopenmpi-dev)" >&2
    exit 77
fi
words=()
# The version is read first: grep -q would leave mpirun writing to nobody.
version=$(mpirun --version 2>&1 || true)
if grep -qi 'open.*mpi' <<<"$version"; then
    words=(--allow-run-as-root --oversubscribe --bind-to none --mca mpi_yield_when_idle 1
        --mca pml ob1 --mca btl 'self,vader' --mca btl_vader_single_copy_mechanism none)
fi
exec mpirun "${words[@]}" -np "$@"
