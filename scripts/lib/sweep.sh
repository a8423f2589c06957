# shellcheck shell=sh disable=SC2154
# Sourced by sweep_alpha0.sh and sweep_lr.sh: from the words of the command line to a folder of finished runs.
#
# The script that sources this sets
#     sweep_name       alpha0, lr
#     sweep_usage      its usage line
#     sweep_lists      how many lists of values it takes, 1 or 2
#     sweep_settings   the settings that it varies, an awk pattern of paths as in norm[.]alpha0
#     sweep_columns    what the values are called in the table
#     sweep_picture    the file that draw_picture makes
# and defines
#     point_name FIRST SECOND        the first part of a run folder's name
#     point_settings FIRST SECOND    the settings of a point, without blanks in them
#     check_config                   may refuse the config; `setting PATH` gives its values
#     draw_picture ROWS OUT.png      see sweep_table.sh for the rows
# and calls `sweep "$@"`.
#
# What a sweep folder holds beside the run folders: settings.yaml, what all points have in common; points, every point
# that was ever asked for; states/POINT, how its last run ended; output/POINT.txt, what that printed; lock.
set -u
(: >&2) || exec 2>/dev/null # closed, the shell's own files would take its place
# A sweep starts runs of one process each, whatever ranks its own shell is told to be one of.
launch=${DYTTRAIN_LAUNCH-}
DYTTRAIN_LAUNCH=single
export LC_ALL=C DYTTRAIN_LAUNCH
tab=$(printf '\t')

say() { printf '%s\n' "$*" 2>/dev/null; }

fail() { # MESSAGE [CODE]
    printf 'sweep_%s.sh: %s\n' "$sweep_name" "$1" >&2
    exit "${2:-1}"
}

need() { # TOOL PACKAGE
    command -v "$1" >/dev/null 2>&1 || fail "$1 is missing: install it (Debian: apt-get install $2)"
}

# --- the command line ---

# A word as the shell reads it back.
shell_word() { printf '%s\n' "$1" | sed "s/'/'\\\\''/g; 1s/^/'/; \$s/\$/'/"; }

is_positive() {
    say "$1" | grep -Eqx '[+]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][-+]?[0-9]+)?' &&
        awk -v x="$1" 'BEGIN { exit !(x + 0 > 0 && x + 0 < 1e30) }'
}

# A list of positive numbers, one a line in one spelling each (0.0003 for 3e-4), without those that come again.
read_list() { # WHAT LIST
    set -f
    for word in $2; do
        is_positive "$word" || fail "$1: '$word' is not a positive number (a list is one word: \"0.1 0.2\")" 2
        awk -v x="$word" 'BEGIN { printf "%.10g\n", x }'
    done >"$work/list"
    set +f
    [ -s "$work/list" ] || fail "$1: the list is empty" 2
    awk '!seen[$0]++' "$work/list"
}

set_option() { # LETTER VALUE
    case $1$2 in
    -o?*) folder=$2 ;;
    -o) fail "-o needs a folder" 2 ;;
    -j*[!0-9]* | -j | -j0*) fail "-j needs a number of runs, 1 or more, not '$2'" 2 ;;
    -j???????*) jobs=999999 ;; # more than there are points, and still a number to the shell
    *) jobs=$2 ;;
    esac
}

add_setting() {
    case $1 in
    [a-z]*=*) ;;
    *) fail "'$1' is no setting (path=value); a list of values is one word, in quotes" 2 ;;
    esac
    if say "${1%%=*}" | grep -Eqx "$sweep_settings"; then fail "'$1' is what this sweep varies" 2; fi
    settings="$settings $(shell_word "$1")"
}

read_arguments() {
    config='' first_list='' second_list='' settings='' jobs='' folder='' words=0
    while [ $# -gt 0 ]; do
        case $1 in
        -h | --help)
            sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p;}' "$0"
            exit 0
            ;;
        -j | -o)
            set_option "$1" "${2-}"
            shift
            ;;
        -j?*) set_option -j "${1#-j}" ;;
        -*) fail "unknown option '$1'; $sweep_usage" 2 ;;
        *)
            words=$((words + 1))
            case $((words <= sweep_lists + 1 ? words : 0)) in
            1) config=$1 ;;
            2) first_list=$1 ;;
            3) second_list=$1 ;;
            *) add_setting "$1" ;;
            esac
            ;;
        esac
        shift
    done
    [ $words -gt "$sweep_lists" ] || fail "$sweep_usage" 2
}

# --- the program ---

find_program() {
    program=$(dirname "$0")/../build/src/dyttrain
    if [ -n "${DYTTRAIN-}" ]; then
        program=$DYTTRAIN
    elif ! [ -x "$program" ]; then
        program=dyttrain
    fi
    command -v "$program" >/dev/null 2>&1 ||
        fail "there is no dyttrain: build it (ninja -C build), or name it in the environment: DYTTRAIN=..."
}

# Of the processes that mpirun started the first sweeps. Which one this is, the program knows: in all others it leaves
# what is one process's work without a word. That a shell has RANK, or what Slurm sets, makes it none of many.
leave_to_first() {
    [ "$launch" != single ] || return 0
    printed=$(DYTTRAIN_LAUNCH=mpi "$program" "$config" --print-config 2>/dev/null </dev/null) || return 0
    [ -z "$printed" ] || return 0
    [ ! -t 2 ] || say "sweep_$sweep_name.sh: left to MPI's rank 0; with DYTTRAIN_LAUNCH=single each process sweeps" >&2
    exit 0
}

# --- the config ---

# The resolved settings go to $work/config.yaml. What the program has to say against them is said in its words.
resolve() { # SETTING...
    eval "set -- \"\$@\" $settings"
    "$program" "$config" "$@" --print-config >"$work/config.yaml" 2>"$work/errors" </dev/null && return
    cat "$work/errors" >&2
    exit 2
}

# The first point, for what all have in common: the config's own value of what is varied may go with no other setting.
resolve_first() {
    first=$(say "$first_values" | head -n 1)
    second=$(say "$second_values" | head -n 1)
    # shellcheck disable=SC2046
    resolve $(point_settings "$first" "$second")
}

# setting PATH: its resolved value, in one line and without quotes and what they ask for; nothing where it is not set
setting() {
    awk -v path="$1" '
        { key = $1; sub(/:$/, "", key); value = $0; sub(/^[^:]*: */, "", value) }
        /^[^ ]/ { section = at = key }
        /^  [^ ]/ { at = section "." key }
        at == path && !/: *$/ { print value; exit }' "$work/config.yaml" |
        sed '/^"/{ s/^"//; s/"$//; s/\\\(["\\]\)/\1/g; }'
}

# What points do not differ in, and what changes a result: two sweeps of one folder must agree in it.
common_settings() {
    awk -v varied="^($sweep_settings)\$" '
        { key = $1; sub(/:.*/, "", key) }
        /^[^ ]/ { section = at = key }
        /^  [^ ]/ { at = section "." key }
        section != "run" && at !~ varied && at != "seed" && at != "threads"' "$work/config.yaml"
}

# To $work/points: NAME FIRST SECOND SEED, a tab between; SECOND is - where there is no second list.
list_points() {
    for first in $first_values; do
        for second in $second_values; do
            printf '%s-seed%s\t%s\t%s\t%s\n' "$(point_name "$first" "$second")" "$seed" "$first" "$second" "$seed"
        done
    done >"$work/points"
    count=$(wc -l <"$work/points" | tr -d ' ')
}

# Before anything starts: does the program take every point?
check_points() {
    while IFS=$tab read -r name first second seed; do
        # shellcheck disable=SC2046
        resolve $(point_settings "$first" "$second")
    done <"$work/points"
}

# What the table gives; where no checkpoint is kept for it, what would be by default.
read_metric() {
    metric=$(setting checkpoint.best_metric)
    [ "$metric" = none ] || return 0
    given=$settings
    settings="$settings checkpoint.best_metric=null"
    resolve_first
    metric=$(setting checkpoint.best_metric)
    settings=$given
    resolve_first
}

read_config() {
    resolve_first
    read_metric
    seed=$(setting seed)
    threads=$(setting threads)
    device=$(setting device)
    run_name=$(setting run.name)
    if [ -z "$run_name" ]; then
        run_name=${config##*/}
        run_name=${run_name%.*}
    fi
    [ -n "$folder" ] || folder=$(setting run.dir)/sweep-$sweep_name-$run_name
    check_config
    common_settings >"$work/settings.yaml"
}

# --- the sweep's folder ---

# The lock is held by this process and by every run that it starts, so that it outlives a killed sweep as long as they.
take_folder() {
    mkdir -p "$folder/states" "$folder/output" || fail "cannot make '$folder'"
    true >>"$folder/lock" || fail "cannot write to '$folder'" # in exec the shell would end without a word of ours
    exec 9>>"$folder/lock"
    flock -n 9 || fail "another sweep is at work in '$folder', or runs that a killed one has left (process IDs: $(
        tr '\n' ' ' <"$folder/lock" | sed 's/ $//'))" 2
    echo $$ >"$folder/lock"
}

# Each as a whole: a disk that is full leaves what was there.
keep() { # NAME FILE
    if ! cp "$2" "$folder/.$1" || ! mv "$folder/.$1" "$folder/$1"; then fail "cannot write to '$folder'"; fi
}

has_runs() {
    for run in "$folder"/*/; do
        case $run in
        */states/ | */output/) ;;
        *) [ ! -d "$run" ] || return 0 ;;
        esac
    done
    return 1
}

# Runs of another config do not belong into one table with these. Where nothing was begun there are none, and the
# bookkeeping begins anew. A line of points that a kill cut off is none.
check_folder() {
    if [ -e "$folder/settings.yaml" ] && ! diff "$folder/settings.yaml" "$work/settings.yaml" >"$work/changes"; then
        ! has_runs ||
            fail "the runs in '$folder' have other settings ($(
                sed -n 's/^\([<>]\) */\1 /p' "$work/changes" | head -n 4 | tr '\n' ';' | sed 's/;$//;s/;/; /g'
            )): choose another folder with -o, or remove it" 2
        rm -f "$folder/points" "$folder"/states/* "$folder"/output/*
    fi
    keep settings.yaml "$work/settings.yaml"
    set -- "$work/points"
    [ ! -e "$folder/points" ] || set -- "$folder/points" "$@"
    awk -F '\t' 'NF == 4 && $1 ~ "-seed" $4 "$" && !seen[$0]++' "$@" >"$work/all"
    keep points "$work/all"
}

# done, diverged, failed; open: not begun, under way or stopped. A run folder that was removed is to be made again.
state_of() { # NAME
    state=open
    ! [ -s "$folder/states/$1" ] || read -r state <"$folder/states/$1"
    [ "$state" = failed ] || [ -d "$folder/$1" ] || state=open
    say "$state"
}

# --- where runs go ---

# The usable GPUs' numbers, as CUDA_VISIBLE_DEVICES takes them; none where the runs are to be on the CPU.
find_gpus() {
    [ "$device" != cpu ] || return 0
    visible=${CUDA_VISIBLE_DEVICES-}
    "$program" doctor 2>/dev/null </dev/null | sed -n 's/.*GPU \([0-9]*\): .*/\1/p' | while read -r number; do
        if [ -n "$visible" ]; then say "$visible" | cut -d, -f$((number + 1)); else say "$number"; fi
    done
}

plan_runs() {
    gpus=$(find_gpus)
    # shellcheck disable=SC2086
    gpu_count=$(set -- $gpus && echo $#)
    [ -n "$jobs" ] || jobs=$((gpu_count > 0 ? gpu_count : 1))
    [ "$jobs" -le "$count" ] || jobs=$count
    run_threads=
    [ "$threads" = 0 ] || return 0 # the config says how many each run is to have
    [ "$gpu_count" = 0 ] && [ "$jobs" -gt 1 ] || return 0
    run_threads=$(($(getconf _NPROCESSORS_ONLN) / jobs))
    [ $run_threads -gt 0 ] || run_threads=1
}

gpu_of() { # SLOT
    [ "$gpu_count" = 0 ] || say "$gpus" | sed -n "$(($1 % gpu_count + 1))p"
}

# --- one run ---

# Returns the exit code of a child, also when signals come meanwhile.
wait_for() {
    while :; do
        wait "$1"
        code=$?
        [ $code -gt 128 ] && kill -0 "$1" 2>/dev/null || return $code
    done
}

# A run is told as often as this process was: the second time it leaves at once.
pass_on() {
    while [ -n "$child" ] && [ "$told" -lt "$asked" ]; do
        told=$((told + 1))
        kill -TERM "$child" 2>/dev/null
    done
}

# In a session of its own, a run does not see the terminal's Ctrl-C: it would count that and what pass_on sends as two.
start_run() { # NAME FIRST SECOND; sets child and verb
    name=$1 resume='' verb=begins
    [ ! -e "$folder/$1" ] || resume=--resume verb='goes on'
    eval "set -- $(point_settings "$2" "$3") $settings"
    setsid "$program" "$config" "$@" ${run_threads:+"threads=$run_threads"} run.dir="$folder" run.name="$name" \
        $resume </dev/null >"$folder/output/$name.txt" 2>&1 3<&- &
    child=$!
    echo $child >>"$folder/lock"
}

# How a run ended, from its exit code. The program leaves numbers that are not finite out of metrics.jsonl.
judge() { # NAME CODE
    case $2 in
    0) awk "$awk_value"'
            /"eval" *:/ { seen = 1; sub(/}.*/, "}"); loss = value($0, "loss") }
            END { print seen && loss == "" ? "diverged" : "done" }' "$folder/$1/metrics.jsonl" ;;
    1) if grep -q '^dyttrain: .*not finite' "$folder/output/$1.txt"; then echo diverged; else echo failed; fi ;;
    3) echo open ;;
    *) if [ "$2" -gt 128 ] && [ "$asked" -gt 0 ]; then echo open; else echo failed; fi ;;
    esac
}

reason() { # NAME CODE
    why=$(sed -n 's/^dyttrain: //p' "$folder/output/$1.txt" | tail -n 1)
    say "${why:-exit code $2, see $folder/output/$1.txt}"
}

run_point() { # NUMBER NAME FIRST SECOND
    began=$(date +%s)
    child='' told=0
    echo open >"$folder/states/$2"
    start_run "$2" "$3" "$4"
    say "[$1/$count] $2: $verb${gpu:+ on GPU $gpu}"
    pass_on
    wait_for "$child"
    code=$?
    child=
    state=$(judge "$2" $code)
    echo "$state" >"$folder/states/$2"
    summarize
    took="$(($(date +%s) - began)) s"
    case $state in
    done) say "[$1/$count] $2: done in $took, $metric $(final_of "$2")" ;;
    open) say "[$1/$count] $2: stopped" ;;
    *) say "[$1/$count] $2: $state after $took: $(reason "$2" $code)" ;;
    esac
}

# --- all runs ---

# Takes points that no other worker has, until there are none. It ignores Ctrl-C (as every background process of a
# shell) and a closed terminal: the main process passes on what is to be known. Without that process it begins nothing.
worker() { # SLOT
    asked=0 child='' told=0 number=0
    trap 'asked=$((asked + 1)); pass_on' TERM
    trap '' HUP
    trap : USR1
    slot=$1
    gpu=$(gpu_of "$slot")
    [ -z "$gpu" ] || export CUDA_VISIBLE_DEVICES="$gpu"
    while IFS=$tab read -r name first second seed <&3; do
        number=$((number + 1))
        if [ -e "$work/stop" ] || ! kill -0 $$ 2>/dev/null; then break; fi
        mkdir "$work/claims/$name" 2>/dev/null || continue
        state=$(state_of "$name")
        case $state in
        done | diverged) say "[$number/$count] $name: $state already" ;;
        *) run_point $number "$name" "$first" "$second" ;;
        esac
    done 3<"$work/points"
}

stop_workers() {
    [ -e "$work/stop" ] || say "stopping: runs save and leave; a second signal ends them at once, unsaved"
    : >"$work/stop"
    # shellcheck disable=SC2086
    kill -TERM $workers 2>/dev/null
}

run_points() {
    mkdir "$work/claims"
    workers='' slot=0
    trap stop_workers HUP INT TERM USR1
    while [ $slot -lt "$jobs" ]; do
        worker $slot &
        workers="$workers $!"
        slot=$((slot + 1))
    done
    for pid in $workers; do wait_for "$pid"; done
    trap '' HUP INT TERM USR1 # the tables are a matter of a moment
}

ended() { grep -c "^$1" "$work/ended"; } # how many points of this call

# Exit code: 1 where a point failed, 3 where points are still open, else 0.
finish() {
    slot=main
    summarize || fail "cannot write the tables to '$folder'"
    while IFS=$tab read -r name _; do state_of "$name"; done <"$work/points" >"$work/ended"
    say "$(ended 'done') done, $(ended diverged) diverged, $(ended failed) failed, $(ended open) open;" \
        "$folder: summary.md, summary.csv$(picture)"
    [ "$(ended failed)" = 0 ] || exit 1
    [ "$(ended open)" = 0 ] || exit 3
    exit 0
}

sweep() {
    # Runs and tables go on where nobody reads what is said. A file must not get the number of what is closed.
    trap '' PIPE
    { true 3>&1; } 2>/dev/null || exec >/dev/null
    read_arguments "$@"
    find_program
    leave_to_first
    need flock util-linux
    need setsid util-linux
    work=$(mktemp -d) || exit 1
    trap 'rm -rf "$work"' EXIT
    trap 'exit 3' HUP INT TERM USR1
    first_values=$(read_list "${sweep_columns%% *}" "$first_list") || exit
    second_values=-
    [ "$sweep_lists" = 1 ] || second_values=$(read_list "${sweep_columns##* }" "$second_list") || exit
    read_config
    list_points
    check_points
    take_folder
    check_folder
    plan_runs
    run_points
    finish
}
