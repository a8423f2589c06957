#!/bin/sh
# Trains a config with several alpha0, that of the attention sites against that of all others, one run folder for each
# pair, and makes a table and a heat map of the results, as in figure 11 of "Transformers without Normalization".
#
#     scripts/sweep_alpha0.sh [-j N] [-o FOLDER] CONFIG.yaml "0.2 0.4 0.8" "0.1 0.2" [path=value ...]
#
# First list: norm.alpha0.attention; second: norm.alpha0 of every other site of the model. Further words are settings of
# every run. -j: runs at a time, by default one per GPU, or one on the CPU; -o: the sweep's folder, by default
# run.dir/sweep-alpha0-NAME. The same call again goes on where a stopped sweep was, and tries again what failed. Exit
# codes: 0 done, 1 a point failed, 2 wrong use, 3 stopped. The program is build/src/dyttrain, else that on the PATH, or
# DYTTRAIN=PROGRAM. Needs flock and setsid (util-linux); gnuplot for the picture. See docs/sweeps.md.
set -u
here=$(dirname "$0")
. "$here/lib/plot.sh"
. "$here/lib/sweep.sh"
. "$here/lib/sweep_table.sh"

# shellcheck disable=SC2034
sweep_name=alpha0 sweep_lists=2 sweep_columns='alpha0_attention alpha0_other' sweep_picture=heatmap.png
# shellcheck disable=SC2034
sweep_settings='norm[.]alpha0([.].*)?'
# shellcheck disable=SC2034
sweep_usage='usage: sweep_alpha0.sh [-j N] [-o FOLDER] CONFIG.yaml "ATTENTION ..." "OTHER ..." [path=value ...]'

point_name() { echo "attention$1-other$2"; }

# A value for the whole row is for all sites, whatever the config gives to single ones; that of a site wins over it.
point_settings() { echo "norm.alpha0=$2 norm.alpha0.attention=$1"; }

# Sites without an alpha would make all points of an axis the same run.
# shellcheck disable=SC2154
check_config() {
    kinds=$(setting norm.kind | tr -d '{} ' | tr , '\n') # dyt, or default:dyt and attention:layernorm in two lines
    attention=$(say "$kinds" | sed -n 's/^attention://p')
    [ -n "$attention" ] || attention=$(say "$kinds" | sed 's/^default://' | head -n 1)
    if [ "$(say "$kinds" | grep -Ec '^(ffn|final):')" = 2 ]; then # each model's other sites: nothing is left to default
        kinds=$(say "$kinds" | sed '/^default:/d')
    fi
    others=$(say "$kinds" | sed '/^attention:/d; s/^.*://')
    case $attention in
    layernorm | rmsnorm) fail "the attention sites are $attention, which has no alpha: add norm.kind=dyt" 2 ;;
    esac
    say "$others" | grep -Eqvx 'layernorm|rmsnorm' || [ "$(say "$second_values" | wc -l)" -eq 1 ] ||
        fail "all sites but attention are without an alpha: give one value for them, or add norm.kind=dyt" 2
}

# A cell for each pair: the mean over its seeds, darker for better; grey where no seed came to an end.
# shellcheck disable=SC2154
draw_picture() { # ROWS OUT.png
    means "$1" | awk -v at="$work" '
        function place(x, list, name,    i) {
            for (i = 1; i <= size[name]; i++) if (list[i] == x) return i - 1
            list[++size[name]] = x
            return i - 1
        }
        { x[NR] = $1; y[NR] = $2; line[NR] = $0; sub(/^[^ ]* [^ ]* /, "", line[NR]) }
        function tics(name, list,    i, text) {
            for (i = 1; i <= size[name]; i++) text = text (i > 1 ? ", " : "") "\"" list[i] "\" " i - 1
            print "set " name "tics (" text ")\nset " name "range [-0.5:" size[name] - 0.5 "]"
        }
        function sorted(list, name,    i, j, t) {
            for (i = 2; i <= size[name]; i++)
                for (j = i; j > 1 && list[j] + 0 < list[j - 1] + 0; j--) {
                    t = list[j]
                    list[j] = list[j - 1]
                    list[j - 1] = t
                }
        }
        END {
            for (i = 1; i <= NR; i++) { place(x[i], xs, "x"); place(y[i], ys, "y") }
            sorted(xs, "x"); sorted(ys, "y")
            for (i = 1; i <= NR; i++) {
                split(line[i], part, " ")
                out = part[1] == "nan" ? at "/grey" : at "/cells"
                if (part[1] != "nan") {
                    if (least == "" || part[1] + 0 < least) least = part[1] + 0
                    if (most == "" || part[1] + 0 > most) most = part[1] + 0
                }
                print place(x[i], xs, "x"), place(y[i], ys, "y"), line[i] >out
            }
            tics("x", xs); tics("y", ys)
            if (least == most) { least -= 0.5; most += 0.5 }
            printf "set cbrange [%.10g:%.10g]\n", least, most
            print "set terminal pngcairo noenhanced size " 260 + 120 * size["x"] "," 180 + 90 * size["y"] \
                " font \"sans,12\" background \"#ffffff\""
        }' >"$work/axes"
    {
        cat "$work/axes"
        cat <<'END'
set encoding utf8
set border 0
set tics scale 0 textcolor rgb "#404040"
set key off
set style fill solid noborder
set xlabel "α₀ of attention"
set ylabel "α₀ of the other sites"
END
        case $metric in
        *loss) echo 'set palette defined (0 "#4393c3", 0.5 "#b5d4e9", 1 "#f7fbff")' ;;
        *) echo 'set palette defined (0 "#f7fbff", 0.5 "#b5d4e9", 1 "#4393c3")' ;;
        esac
        printf 'set title "%s: final %s" font "sans,13"\n' "$(quoted "$run_name")" "$metric"
        printf 'set output "%s"\n' "$(quoted "$work/out.png")"
        printf 'plot "%s" using 1:2:(0.48):(0.48):3 with boxxyerror fc palette' "$work/cells"
        [ ! -s "$work/grey" ] || printf ', "%s" using 1:2:(0.48):(0.48) with boxxyerror fc rgb "#e0e0e0"' "$work/grey"
        printf ', "%s" using 1:2:4 with labels' "$work/cells"
        [ ! -s "$work/grey" ] || printf ', "%s" using 1:2:4 with labels tc rgb "#606060"' "$work/grey"
        echo
    } >"$work/script"
    draw "$work/script" "$2"
}

sweep "$@"
