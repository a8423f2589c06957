#!/usr/bin/env bash
# test_hang.sh PROGRAM: a collective in which ranks wait for one that does not come. The program is hang.c.
set -uo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
if [ -z "${DYTTRAIN_MPI_PLUGIN-}" ] || ! command -v mpirun >/dev/null; then
    echo '1..0 # SKIP no MPI'
    exit 0
fi
echo 1..2
failed=0
cases=0
for rank in 0 2; do
    cases=$((cases + 1))
    out=$(timeout 60 "$root/scripts/lib/mpirun.sh" 3 "$1" $rank 2>&1 </dev/null)
    if grep -q "^verdict: rank $rank on " <<<"$out" && ! grep "^verdict: " <<<"$out" | grep -qv "rank $rank on "; then
        echo "ok $cases - rank $rank is named, which the others wait for in a collective"
    else
        echo "not ok $cases - rank $rank is named, which the others wait for in a collective"
        echo "$out" >&2
        failed=1
    fi
done
exit $failed
