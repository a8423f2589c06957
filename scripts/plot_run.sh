#!/bin/sh
# Draws loss and accuracy of one or more runs into one PNG.
#
#     scripts/plot_run.sh RUN [RUN ...] [-o OUT.png]
#
# RUN is a run folder (or its metrics.jsonl). Without -o the picture is curves.png in the first run's folder. Left: loss,
# thin while training and bold with dots on the evaluation split; right, for images: top-1 of the evaluation split, and
# dashed that of the averaged weights where a run keeps them. Needs gnuplot (Debian: gnuplot-nox) and awk.
set -eu
. "$(dirname "$0")/lib/plot.sh"

fail() {
    echo "plot_run.sh: $1" >&2
    exit "${2:-1}"
}

usage='usage: scripts/plot_run.sh RUN [RUN ...] [-o OUT.png]'
out=
runs=0
while [ $# -gt 0 ] && [ "$1" != -- ]; do
    case $1 in
    -h | --help)
        sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p;}' "$0"
        exit 0
        ;;
    -o)
        { [ $# -ge 2 ] && [ "$2" != -- ]; } || fail "-o needs a file name; $usage" 2
        out=$2
        shift 2
        ;;
    -*) fail "unknown option '$1'; $usage" 2 ;;
    *) # moved behind the marker, in order
        [ $runs -gt 0 ] || set -- "$@" --
        set -- "$@" "$1"
        runs=$((runs + 1))
        shift
        ;;
    esac
done
[ $runs -gt 0 ] || fail "no run given; $usage" 2
shift # the marker

metrics_of() {
    if [ -d "$1" ]; then echo "$1/metrics.jsonl"; else echo "$1"; fi
}

for run; do
    [ -f "$(metrics_of "$run")" ] || fail "'$run' is no run: there is no '$(metrics_of "$run")'"
done
command -v gnuplot >/dev/null 2>&1 || fail "gnuplot is missing: install it (Debian: apt-get install gnuplot-nox)"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM # not every shell goes through EXIT then

# One table per curve, "step value" a line, under $work/RUN.CURVE. A torn last line matches nothing.
extract() {
    awk -v to="$2" "$awk_value"'
        function put(curve, step, y) {
            if (step != "" && y != "") print step, y > (to "." curve)
        }
        /}[ \r]*$/ {
            step = value($0, "step")
            if (match($0, /"eval_ema" *: *\{/)) put("ema_top1", step, value(substr($0, RSTART + RLENGTH), "top1"))
            else if (match($0, /"eval" *: *\{/)) {
                rest = substr($0, RSTART + RLENGTH)
                put("eval_loss", step, value(rest, "loss"))
                put("eval_top1", step, value(rest, "top1"))
            }
            else put("train_loss", step, value($0, "loss"))
        }' "$1"
}

add() { # PANEL CURVE STYLE TITLE
    [ -s "$work/$n.$2" ] || return 0
    printf '"%s" using 1:2 with %s %s, \\\n' "$work/$n.$2" "$3" "$4" >>"$work/$1"
}

colors='0072B2 D55E00 009E73 CC79A7 E69F00 56B4E9 6A3D9A 444444'
n=0
for run; do
    file=$(metrics_of "$run")
    [ -n "$out" ] || out=$(dirname "$file")/curves.png
    n=$((n + 1))
    extract "$file" "$work/$n"
    name=$(quoted "$(basename "${run%/metrics.jsonl}")")
    # shellcheck disable=SC2086
    color=$(set -- $colors && shift $(((n - 1) % $#)) && echo "$1")
    add loss train_loss "lines lw 1.2 lc rgb '#80$color'" notitle
    add loss eval_loss "linespoints lw 2.2 pt 7 ps 0.6 lc rgb '#$color'" notitle
    add top1 eval_top1 "linespoints lw 2.2 pt 7 ps 0.6 lc rgb '#$color'" notitle
    add top1 ema_top1 "linespoints lw 1.6 dt 2 pt 6 ps 0.6 lc rgb '#$color'" notitle
    for panel in loss top1; do # the legend, one entry a run
        [ ! -s "$work/$panel" ] ||
            printf 'NaN with lines lw 3 lc rgb "#%s" title "%s", \\\n' "$color" "$name" >>"$work/$panel"
    done
done
[ -s "$work/loss" ] || [ -s "$work/top1" ] || fail "nothing to draw yet: no line of metrics with a loss"

# One that would be empty is left out.
panel() { # NAME TITLE KEY-POSITION LABEL
    [ -s "$work/$1" ] || return 0
    printf 'set title "%s"\nset ylabel "%s"\nset key %s\nplot %s\n' "$2" "$4" "$3" "$(sed '$s/, \\$//' "$work/$1")"
}

panels=1
if [ -s "$work/loss" ] && [ -s "$work/top1" ]; then panels=2; fi

{
    echo "set terminal pngcairo noenhanced size $((750 * panels)),620 font \"sans,12\" background \"#ffffff\""
    cat <<'END'
set border 3 lc rgb "#808080"
set tics nomirror out scale 0.6 textcolor rgb "#404040"
set grid lc rgb "#e4e4e4" lt 1 lw 1
set key samplen 1.6 spacing 1.25 opaque noautotitle
set xlabel "step"
set xrange [0:*]
set lmargin 9
set rmargin 3
set title font "sans,14"
END
    printf 'set output "%s"\n' "$(quoted "$work/out.png")"
    echo "set multiplot layout 1,$panels"
    panel loss 'Loss (thin: training, dots: evaluation)' 'top right' 'cross-entropy'
    panel top1 'Accuracy on the evaluation split' 'bottom right' 'top-1, percent'
    echo 'unset multiplot'
} >"$work/script"

draw "$work/script" "$out" || fail "cannot draw '$out': $(head -n 5 "$work/messages")"
echo "$out"
