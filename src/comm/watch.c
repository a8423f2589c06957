/* Lost ranks, hung ranks. */
#include "comm/watch.h"

#include <stdlib.h>

void dt_watch_start(dt_watch *w, dt_watch_limits limits, int size, dt_watched *ranks, double now)
{
    *w = (dt_watch){.limits = limits, .size = size, .ranks = ranks, .steps = {.since = now}, .batches = {.since = now}};
    for (int r = 0; r < size; r++) ranks[r] = (dt_watched){.heard = now, .moved = now};
}

void dt_watch_hear(dt_watch *w, int rank, double now) { w->ranks[rank].heard = now; }

void dt_watch_beat(dt_watch *w, int rank, dt_beat beat, double now)
{
    dt_watched *r = &w->ranks[rank];
    bool moved = beat.step != r->beat.step || beat.work != r->beat.work || beat.watching != r->beat.watching;
    r->heard = now;
    if (moved) r->moved = now;
    r->beat = beat;
}

void dt_watch_leave(dt_watch *w, int rank) { w->ranks[rank].left = true; }

void dt_watch_forgive(dt_watch *w, double seconds)
{
    for (int r = 0; r < w->size; r++) {
        w->ranks[r].heard += seconds;
        w->ranks[r].moved += seconds;
    }
    w->steps.since += seconds;
    w->batches.since += seconds;
    w->all_since += seconds;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(const dt_laps *laps)
{
    double sorted[DT_WATCH_LAPS];
    int count = laps->count < DT_WATCH_LAPS ? (int)laps->count : DT_WATCH_LAPS;
    for (int i = 0; i < count; i++) sorted[i] = laps->seconds[i];
    qsort(sorted, (size_t)count, sizeof *sorted, compare);
    return count ? sorted[count / 2] : 0;
}

/* Do all watch, and this (DT_WATCH_NOTHING: whatever)? */
static bool all_watch(const dt_watch *w, dt_watching what)
{
    for (int r = 0; r < w->size; r++) {
        dt_watching now = w->ranks[r].left ? DT_WATCH_NOTHING : w->ranks[r].beat.watching;
        if (now == DT_WATCH_NOTHING || (what != DT_WATCH_NOTHING && now != what)) return false;
    }
    return true;
}

/* Laps are measured where the last rank ends them; those under way while not all watch are not. */
static void measure(dt_laps *laps, int64_t lowest, bool watched, double now)
{
    if (lowest == laps->lowest && watched == laps->watched) return;
    if (lowest > laps->lowest && laps->watched)
        laps->seconds[laps->count++ % DT_WATCH_LAPS] = (now - laps->since) / (double)(lowest - laps->lowest);
    laps->lowest = lowest;
    laps->since = now;
    laps->watched = watched;
}

static void measure_all(dt_watch *w, double now)
{
    int64_t step = INT64_MAX, batches = INT64_MAX;
    bool watched = w->all_watch;
    for (int r = 0; r < w->size; r++) {
        const dt_beat *beat = &w->ranks[r].beat;
        if (beat->step < step) step = beat->step;
        if (beat->batches < batches) batches = beat->batches;
    }
    measure(&w->steps, step, all_watch(w, DT_WATCH_STEPS), now);
    measure(&w->batches, batches, all_watch(w, DT_WATCH_EVALUATION), now);
    w->all_watch = all_watch(w, DT_WATCH_NOTHING);
    if (watched != w->all_watch) w->all_since = now;
}

/* [size] flags, the caller's; NULL: no memory. The size is positive, which not every compiler sees. */
static bool *make_flags(const dt_watch *w) { return w->size > 0 ? calloc((size_t)w->size, sizeof(bool)) : NULL; }

/* A host or a link that is gone takes several ranks with it: those count, too, that were silent for nearly as long. */
static void blame_silent(const dt_watch *w, const dt_member *members, double now, double longest, dt_text *line,
                         int *rank)
{
    const double limit = w->limits.lost, least = limit - (limit < 8 ? limit / 4 : 2);
    bool *silent = make_flags(w);
    int count = 0;
    for (int r = 0; silent && r < w->size; r++) {
        silent[r] = !w->ranks[r].left && now - w->ranks[r].heard > least;
        count += silent[r];
    }
    if (count > 1) *rank = -1;
    if (silent) dt_members_list(members, silent, w->size, line);
    dt_text_add(line, ": no sign of life for %.0f s: %s", longest,
                count > 1 ? "their hosts or the network to them are down, or the processes are stopped"
                          : "its host or the network to it is down, or the process is stopped");
    free(silent);
}

static bool judge_lost(const dt_watch *w, const dt_member *members, double now, dt_text *line, int *rank)
{
    double longest = 0;
    for (int r = 0; r < w->size; r++) {
        if (w->ranks[r].left || now - w->ranks[r].heard <= longest) continue;
        longest = now - w->ranks[r].heard;
        *rank = r;
    }
    if (longest <= w->limits.lost) return false;
    blame_silent(w, members, now, longest, line, rank);
    return true;
}

static bool is_behind(const dt_beat *a, const dt_beat *b)
{
    return a->step != b->step ? a->step < b->step : a->work < b->work;
}

/* The furthest behind and the furthest ahead. */
static void find_ends(const dt_watch *w, dt_beat *last, dt_beat *first)
{
    *last = *first = w->ranks[0].beat;
    for (int r = 1; r < w->size; r++) {
        if (is_behind(&w->ranks[r].beat, last)) *last = w->ranks[r].beat;
        if (is_behind(first, &w->ranks[r].beat)) *first = w->ranks[r].beat;
    }
}

static const char *name_of(dt_watching watching)
{
    static const char *const names[DT_WATCHINGS] = {[DT_WATCH_EVALUATION] = " in an evaluation",
                                                    [DT_WATCH_SAVING] = " in saving",
                                                    [DT_WATCH_JOINING] = " in making a communicator"};
    return names[watching] ? names[watching] : "";
}

static void blame(const dt_watch *w, const dt_member *members, double waited, dt_text *line, int *rank)
{
    dt_beat last, first;
    bool *behind = make_flags(w);
    int count = 0;
    find_ends(w, &last, &first);
    for (int r = 0; behind && r < w->size; r++) {
        behind[r] = !is_behind(&last, &w->ranks[r].beat);
        if (behind[r]) *rank = r;
        count += behind[r];
    }
    if (count == w->size || !behind) {
        *rank = -1;
        dt_text_add(line, "all %d ranks hang: no progress for %.0f s%s after step %lld; a collective does not end, or "
                    "a device does not answer", w->size, waited, name_of(last.watching), (long long)last.step);
    } else {
        dt_members_list(members, behind, w->size, line);
        dt_text_add(line, " %s: no progress for %.0f s%s after step %lld, where the others %s",
                    count == 1 ? "hangs" : "hang", waited, name_of(last.watching), (long long)last.step,
                    first.step > last.step ? "went on" : "wait in a later collective");
        if (count > 1) *rank = -1;
    }
    free(behind);
}

/* Of what this rank watches. Steps and evaluations may be over between two heartbeats: then they are not measured, and
 * were no first ones all the same. */
static double limit_of(const dt_watch *w, const dt_watched *rank)
{
    dt_watching watching = rank->left ? DT_WATCH_NOTHING : rank->beat.watching;
    bool evaluates = watching == DT_WATCH_EVALUATION;
    bool first = evaluates ? !rank->beat.batches : rank->beat.step <= rank->beat.first;
    double limit = 5 * median(evaluates ? &w->batches : &w->steps);
    if (watching == DT_WATCH_NOTHING) return w->limits.wait;
    if (watching == DT_WATCH_SAVING) return w->limits.hang;
    if (watching == DT_WATCH_JOINING) return w->limits.start;
    if (limit < w->limits.hang) limit = w->limits.hang;
    return first && limit < w->limits.start ? w->limits.start : limit;
}

static bool any_watches(const dt_watch *w)
{
    int r = 0;
    while (r < w->size && (w->ranks[r].left || w->ranks[r].beat.watching == DT_WATCH_NOTHING)) r++;
    return r < w->size;
}

static bool judge_hung(const dt_watch *w, const dt_member *members, double now, dt_text *line, int *rank)
{
    double limit = 0, waited = 0;
    if (!any_watches(w)) return false;
    for (int r = 0; r < w->size; r++) {
        const dt_watched *one = &w->ranks[r];
        if (limit_of(w, one) > limit) limit = limit_of(w, one);
        if (now - one->moved > waited) waited = now - one->moved;
    }
    /* before, those who watched may have waited for others */
    if (now - w->all_since < waited) waited = now - w->all_since;
    if (waited <= limit) return false;
    blame(w, members, waited, line, rank);
    return true;
}

bool dt_watch_judge(dt_watch *w, const dt_member *members, double now, dt_text *line, int *rank)
{
    measure_all(w, now);
    return judge_lost(w, members, now, line, rank) || judge_hung(w, members, now, line, rank);
}
