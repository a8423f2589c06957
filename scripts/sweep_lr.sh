#!/bin/sh
# Trains a config with several learning rates, one run folder each, and makes a table and a curve of the results.
#
#     scripts/sweep_lr.sh [-j N] [-o FOLDER] CONFIG.yaml "1e-4 3e-4 1e-3" [path=value ...]
#
# Further words are settings of every run. -j: runs at a time, by default one per GPU, or one on the CPU; -o: the
# sweep's folder, by default run.dir/sweep-lr-NAME. The same call again goes on where a stopped sweep was, and tries
# again what failed. Exit codes: 0 done, 1 a point failed, 2 wrong use, 3 stopped. The program is build/src/dyttrain,
# else that on the PATH, or DYTTRAIN=PROGRAM. Needs flock and setsid (util-linux); gnuplot for the picture. See
# docs/sweeps.md.
set -u
here=$(dirname "$0")
. "$here/lib/plot.sh"
. "$here/lib/sweep.sh"
. "$here/lib/sweep_table.sh"

# shellcheck disable=SC2034
sweep_name=lr sweep_lists=1 sweep_columns=lr sweep_settings='optim[.]lr' sweep_picture=curve.png
# shellcheck disable=SC2034
sweep_usage='usage: sweep_lr.sh [-j N] [-o FOLDER] CONFIG.yaml "1e-4 3e-4 1e-3" [path=value ...]'

point_name() { echo "lr$1"; }
point_settings() { echo "optim.lr=$1"; }
check_config() { :; }

# The mean over seeds as a line, every run as a dot, and where runs diverged a dashed line with a word.
# shellcheck disable=SC2154
draw_picture() { # ROWS OUT.png
    means "$1" >"$work/means"
    awk -F '\t' '$6 != "-" { print $1, $6 }' "$1" >"$work/dots"
    {
        cat <<'END'
set encoding utf8
set terminal pngcairo noenhanced size 860,600 font "sans,12" background "#ffffff"
set border 3 lc rgb "#808080"
set tics nomirror out scale 0.6 textcolor rgb "#404040"
set grid lc rgb "#e4e4e4" lt 1 lw 1
set key off
set logscale x
set offsets graph 0.05, graph 0.05, graph 0.08, graph 0.08
set xlabel "learning rate"
END
        awk 'NR == 1 { least = most = $1 }
            { most = $1; tics = tics (NR > 1 ? ", " : "") "\"" $1 "\" " $1 }
            END {
                print "set xtics rotate by 30 right (" tics ")"
                print "set xrange [" least / 1.5 ":" most * 1.5 "]"
            }' "$work/means"
        printf 'set title "%s" font "sans,14"\n' "$(quoted "$run_name")"
        printf 'set ylabel "final %s"\n' "$metric"
        printf 'set output "%s"\n' "$(quoted "$work/out.png")"
        awk '/diverged/ {
            print "set arrow from first " $1 ", graph 0 to first " $1 ", graph 1 nohead dt 2 lc rgb \"#D55E00\""
            print "set label \"" ($3 == "nan" ? "diverged" : "in part diverged") "\" at first " $1 \
                ", graph 0.98 right offset -0.5,0 tc rgb \"#D55E00\""
        }' "$work/means"
        printf 'plot "%s" using 1:3 with lines lw 2.2 lc rgb "#0072B2", ' "$work/means"
        printf '"%s" using 1:2 with points pt 7 ps 1.1 lc rgb "#0072B2"\n' "$work/dots"
    } >"$work/script"
    draw "$work/script" "$2"
}

sweep "$@"
