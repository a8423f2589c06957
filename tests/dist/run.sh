#!/usr/bin/env bash
# run.sh RANKS COMMAND [WORD...]: a TAP test of several ranks. DYTTRAIN_MPI_PLUGIN is the plug-in of this build, empty
# where it was built without MPI.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

skip() {
    echo "1..0 # SKIP $1"
    exit 0
}

[ -n "${DYTTRAIN_MPI_PLUGIN-}" ] || skip 'this build found no MPI'
command -v mpirun >/dev/null || skip 'there is no mpirun'
exec "$root/scripts/lib/mpirun.sh" "$@"
