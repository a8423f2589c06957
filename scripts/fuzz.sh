#!/bin/sh
# Fuzzes the readers of foreign bytes: scripts/fuzz.sh SECONDS [TARGET...]
#
# Builds tests/fuzz/ with clang, libFuzzer and the address and undefined-behaviour sanitizers in build-fuzz/, and runs
# each target (all of them without names) for SECONDS. Inputs that reach new code are kept in build-fuzz/ for the next
# run; only an input that makes a target fail is copied to tests/fuzz/corpus/, where the tests replay it.
set -eu

fail() {
    echo "fuzz.sh: $*" >&2
    exit 1
}

[ $# -ge 1 ] || fail "usage: scripts/fuzz.sh SECONDS [TARGET...]"
seconds=$1
shift
case $seconds in '' | *[!0-9]*) fail "'$seconds' is not a number of seconds" ;; esac

cd "$(dirname "$0")/.."
root=$(pwd)
command -v clang >/dev/null || fail "clang is not installed"
if [ $# -eq 0 ]; then
    set -- $(ls tests/fuzz/fuzz_*.c | sed 's|.*/fuzz_\(.*\)\.c|\1|')
fi

if [ ! -f build-fuzz/build.ninja ]; then
    CC=clang meson setup build-fuzz -Dfuzz=true -Dcuda=disabled -Db_lundef=false -Db_sanitize=address,undefined
fi
ninja -C build-fuzz $(printf 'tests/fuzz/fuzz-%s ' "$@")

# Runs one target in an empty folder; what it finds stays in build-fuzz/findings/.
fuzz() {
    inputs=$root/build-fuzz/inputs/$1
    findings=$root/build-fuzz/findings/$1
    rm -rf "$findings"
    mkdir -p "$inputs" "$findings/empty"
    (cd "$findings/empty" && "$root/build-fuzz/tests/fuzz/fuzz-$1" -max_total_time="$seconds" -timeout=10 \
        -rss_limit_mb=2048 -malloc_limit_mb=1024 -print_final_stats=1 -artifact_prefix="$findings/" \
        "$inputs" "$root/tests/fuzz/corpus/$1")
}

found=0
for target in "$@"; do
    echo "== $target: $seconds s"
    if fuzz "$target"; then continue; fi
    found=$((found + 1))
    for finding in "$root/build-fuzz/findings/$target"/*-*; do
        [ -f "$finding" ] || continue
        cp "$finding" "tests/fuzz/corpus/$target/"
        echo "fuzz.sh: $target fails on tests/fuzz/corpus/$target/$(basename "$finding")" >&2
    done
done
[ "$found" -eq 0 ] || fail "$found of $# targets failed"
echo "$# targets, no finding"
