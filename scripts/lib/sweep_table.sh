# shellcheck shell=sh disable=SC2154,SC2034,SC2016
# Sourced by sweep_alpha0.sh and sweep_lr.sh: the tables of a sweep's folder, and its picture.
#
# A row, tabs between: FIRST SECOND SEED STATE STEP FINAL BEST BEST_STEP NAME. FINAL and BEST are of the metric
# checkpoint.best_metric; FINAL is given for a point that is done, BEST and STEP for all; - where there is no value.

# All points that the folder ever had, by their numbers.
sorted_points() {
    awk -F '\t' '{ printf "%045.20f %045.20f %020d\t%s\n", $2, ($3 == "-" ? 0 : $3), $4, $0 }' "$folder/points" | sort |
        cut -f2-
}

# prints STEP FINAL BEST BEST_STEP of a run
numbers_of() { # NAME
    if ! [ -e "$folder/$1/metrics.jsonl" ]; then
        printf -- '-\t-\t-\t-\n'
        return
    fi
    awk -v group="\"${metric%%.*}\"" -v key="${metric#*.}" "$awk_value"'
        BEGIN { step = final = best = best_step = "-" }
        !/}[ \r]*$/ { next }
        { now = value($0, "step"); if (now != "") step = now }
        match($0, group " *: *[{]") {
            final = value(substr($0, RSTART + RLENGTH), key)
            if (final == "") { final = "-"; next }
            if (best == "-" || (key == "loss" ? final + 0 < best + 0 : final + 0 > best + 0)) {
                best = final
                best_step = step
            }
        }
        function short(x) { return x == "-" ? x : sprintf("%.6g", x) }
        END { print step "\t" short(final) "\t" short(best) "\t" best_step }' "$folder/$1/metrics.jsonl"
}

final_of() { numbers_of "$1" | cut -f2; }

rows() {
    sorted_points | while IFS=$tab read -r name first second seed; do
        state=$(state_of "$name")
        numbers_of "$name" | awk -F '\t' -v OFS='\t' -v head="$first$tab$second$tab$seed$tab$state" -v name="$name" '
            { sub(/\r$/, ""); $2 = head ~ /done$/ ? $2 : "-"; print head, $0, name }'
    done
}

# The columns of the values: one without a second list.
table_awk='
    BEGIN {
        FS = "\t"
        lists = split(columns, title, " ")
    }
    function values() { return lists == 1 ? $1 : $1 separator $2 }
'

write_csv() {
    awk -v columns="$sweep_columns" -v metric="$metric" -v separator=, "$table_awk"'
        BEGIN {
            gsub(/ /, ",", columns)
            print columns ",seed,state,step,metric,final,best,best_step,run"
        }
        {
            for (i = 5; i <= 8; i++) if ($i == "-") $i = ""
            print values() "," $3 "," $4 "," $5 "," metric "," $6 "," $7 "," $8 "," $9
        }'
}

write_md() {
    awk -v columns="$sweep_columns" -v metric="$metric" -v config="$config" -v separator=' | ' "$table_awk"'
        function better(a, b) { return metric ~ /loss$/ ? a < b : a > b }
        {
            row[NR] = "| " values() " | " $3 " | " $4 " | " $5 " | "
            tail[NR] = " | " $7 " | " $8 " | " $9 " |"
            final[NR] = $6
            if ($6 != "-" && (!best || better($6 + 0, final[best] + 0))) best = NR
        }
        END {
            print "# " config ": " metric ", " (metric ~ /loss$/ ? "lower" : "higher") " is better\n"
            gsub(/ /, " | ", columns)
            print "| " columns " | seed | state | step | final | best | best step | run |"
            rule = "|---|---|---|---|---|---|---|---|"
            print lists == 1 ? rule : rule "---|"
            for (i = 1; i <= NR; i++) print row[i] (i == best ? "**" final[i] "**" : final[i]) tail[i]
        }'
}

# Both tables, each replaced as a whole: somebody may be reading, and another worker be writing.
summarize() {
    rows >"$work/rows.$slot" || return
    for kind in csv md; do
        write_$kind <"$work/rows.$slot" >"$folder/.$slot.$kind" &&
            mv "$folder/.$slot.$kind" "$folder/summary.$kind" || return
    done
}

# For pictures: FIRST SECOND MEAN LABEL a line and point of the plane, over the seeds that are done; MEAN is nan where
# there is none. LABEL counts the seeds that diverged.
means() { # ROWS
    awk -F '\t' '
        { key = $1 " " $2; if (!(key in seen)) { seen[key] = 1; order[++keys] = key } }
        $6 != "-" { sum[key] += $6; number[key]++ }
        $4 == "diverged" { diverged[key]++ }
        $4 == "failed" { failed[key]++ }
        END {
            for (i = 1; i <= keys; i++) {
                key = order[i]
                mean = number[key] ? sprintf("%.10g", sum[key] / number[key]) : "nan"
                label = number[key] ? sprintf("%.4g", mean) : ""
                if (diverged[key]) label = label (label == "" ? "diverged" : "\\n" diverged[key] " diverged")
                if (label == "") label = failed[key] ? "failed" : "open"
                print key, mean, "\"" label "\""
            }
        }' "$1"
}

# Draws, and says what is to be said of it behind the list of tables.
picture() {
    rm -f "$folder/$sweep_picture"
    if ! command -v gnuplot >/dev/null 2>&1; then
        echo "; no picture: gnuplot is missing (Debian: apt-get install gnuplot-nox)"
    elif ! cut -f6 "$work/rows.main" | grep -qv '^-$'; then
        echo "; no picture: nothing to draw yet"
    elif draw_picture "$work/rows.main" "$folder/$sweep_picture"; then
        echo ", $sweep_picture"
    else
        rm -f "$folder/$sweep_picture" # a part of it
        echo "; no picture: $(head -n 3 "$work/messages" | tr '\n' ' ')"
    fi
}
