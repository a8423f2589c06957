#!/usr/bin/env bash
# test_hang.sh PROGRAM: a collective in which ranks wait for one that does not come. The program is hang.c.
set -uo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
if [ -z "${DYTTRAIN_MPI_PLUGIN-}" ] || ! command -v mpirun >/dev/null; then
    echo '1..0 # SKIP no MPI'
    exit 0
fi
echo 1..3
failed=0
cases=0
# names RANK WHERE [WORD...]: every verdict is of that rank.
names() {
    local rank=$1 where=$2 out
    shift 2
    cases=$((cases + 1))
    out=$(timeout 60 "$root/scripts/lib/mpirun.sh" 3 "$program" "$rank" "$@" 2>&1 </dev/null)
    if grep -q "^verdict: rank $rank on .* hangs: " <<<"$out" && ! grep "^verdict: " <<<"$out" | grep -qv "rank $rank on "; then
        echo "ok $cases - rank $rank is named, which the others wait for in $where"
    else
        echo "not ok $cases - rank $rank is named, which the others wait for in $where"
        echo "$out" >&2
        failed=1
    fi
}
program=$1
names 0 'a collective'
names 2 'a collective'
names 1 'making a communicator' split
exit $failed
