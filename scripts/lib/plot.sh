# shellcheck shell=sh disable=SC2154,SC2034,SC2016
# Sourced by plot_run.sh and the sweeps: numbers out of metrics.jsonl, and gnuplot.

# awk: value(text, key), the number under "key" in a piece of a line of metrics.jsonl, or "". A line is one flat object,
# or has one object "eval" or "eval_ema".
awk_value='
    function value(text, key,    at) {
        if (!match(text, "\"" key "\": *-?[0-9][-+.0-9eE]*[,}]")) return ""
        at = substr(text, RSTART, RLENGTH - 1)
        sub(/^[^:]*: */, "", at)
        return at
    }
'

# Text inside a quoted gnuplot string; titles are drawn without markup.
quoted() {
    printf '%s' "$1" | sed 's/[\\"]/\\&/g'
}

# draw SCRIPT OUT.png: runs a gnuplot script that leaves its picture in $work/out.png. Where that fails, what gnuplot
# said is in $work/messages.
draw() {
    rm -f "$work/out.png"
    gnuplot "$1" >"$work/messages" 2>&1 && [ -s "$work/out.png" ] && cp "$work/out.png" "$2" 2>>"$work/messages"
}
