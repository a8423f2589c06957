/* What a run tells: metrics.jsonl, TensorBoard events, log lines, and the progress bar on a terminal. */
#ifndef DT_TRAIN_REPORT_H
#define DT_TRAIN_REPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/log.h"

typedef struct dt_step_report { /* averages since the last report; NaN: not known, left out */
    int64_t step;
    double epoch;
    double loss, top1;       /* top1 in percent */
    double lr, grad_norm;
    double samples_per_s, tokens_per_s;
    double mfu;              /* share of the device's dense peak; NaN: unknown device */
    double data_wait;        /* share of the time spent waiting for data, 0 .. 1 */
    double memory_gib;       /* device high-water mark */
    int64_t skipped;
    const char *unit;        /* what a sample is, for people: "images"; NULL: "samples" */
} dt_step_report;

typedef struct dt_eval_report {
    int64_t step;
    const char *set; /* "eval" for the trained weights, "ema" for their average */
    double loss, top1, top5;           /* percent; NaN of text */
    double perplexity, bits_per_byte;  /* of text; NaN: not known */
    double seconds;
    int64_t samples;                   /* images, or tokens */
} dt_eval_report;

typedef struct dt_report dt_report;
/* `folder` is the run folder; files are opened for appending. After a resume, lines of metrics.jsonl beyond
 * `resume_step` are removed first (they will come again); -1: a new run. `total_steps` for the bar and the ETA. */
DT_MUST_USE dt_status dt_report_create(const char *folder, int64_t resume_step, int64_t total_steps, dt_log *,
                                       dt_report **out);
void dt_report_free(dt_report *);
/* Did an earlier process report an evaluation of `resume_step`? */
bool dt_report_has_eval(const dt_report *);
/* A line of metrics.jsonl and an event are whole or absent, also when the disk is full: one that fails does not keep
 * the log line or a later one from being written. Numbers that are not finite are left out.
 *
 * One object a line, an event, a log line: {"step":..,"epoch":..,"loss":..,"lr":..,...}. */
DT_MUST_USE dt_status dt_report_step(dt_report *, const dt_step_report *);
/* {"step":..,"eval":{"loss":..,"top1":..}}; set "ema" under key "eval_ema". The lines of all sets that were evaluated
 * at one step come together: a kill leaves all of them or none. */
DT_MUST_USE dt_status dt_report_eval(dt_report *, const dt_eval_report *sets, int count);
/* Takes back the lines and events beyond `step`, as they will come again. Needs no room on the disk but for an
 * event. */
DT_MUST_USE dt_status dt_report_rewind(dt_report *, int64_t step);
/* The bar on a terminal, at most ten times a second; nothing elsewhere. */
void dt_report_progress(dt_report *, const dt_step_report *);
DT_MUST_USE dt_status dt_report_flush(dt_report *); /* makes all of it durable */

#endif
