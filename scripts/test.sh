#!/usr/bin/env bash
# Builds, runs every test suite, then the unit suite again under the address and undefined-behaviour sanitizers.
# The last line is `N passed, N failed` (with `, N skipped` where some need a GPU); exit code 1 when any failed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/lib/setup.sh

need_build
want_tool mpicc libopenmpi-dev # without MPI the tests of several ranks are skipped
want_tool mpirun openmpi-bin
install_lacking

# Results are counted afterwards from the logs, so a failing suite does not end the script here.
run_suites() { # run_suites FOLDER [MESON TEST OPTION...]
    rm -f "$1/meson-logs/testlog.json" # what an earlier run left must not be counted
    meson test -C "$1" --no-rebuild --num-processes 2 "${@:2}" </dev/null || true
}

# Warnings are errors here, not in meson.build: a user's newer compiler may know more of them. Where quickstart.sh has
# made build/ already, they are errors in build-sanitize/ only.
# Without a GPU the kernels are compiled for the oldest alone: half the time, and later GPUs run them too.
archs=()
[ -e /dev/nvidiactl ] || archs=(-Dgpu_archs=80)
build_in build -Dwerror=true "${archs[@]}"
run_suites build
build_in build-sanitize -Dwerror=true -Db_sanitize=address,undefined -Db_lundef=false -Dcuda=disabled
run_suites build-sanitize --suite unit

python3 scripts/lib/sum_tests.py build/meson-logs/testlog.json build-sanitize/meson-logs/testlog.json
