/* The running figures of the log: averages since the last line, and where the time went. */
#ifndef DT_TRAIN_METER_H
#define DT_TRAIN_METER_H

#include "train/outbox.h"

typedef struct dt_meter {
    double started;                  /* dt_clock() when the window began, moved on by pauses */
    double timed;                    /* the same of that part of it that counts for rates */
    double paused;                   /* when the pause that runs began */
    double wait;                     /* seconds spent waiting for data */
    double loss, count, hits, norms; /* sums over the window's committed steps */
    int64_t steps;                   /* these steps */
    int64_t samples;                 /* of all steps that count for rates, also those that did not commit */
    int untimed;                     /* so many steps to come do not: the caller's to set, kept over windows */
} dt_meter;

void dt_meter_start(dt_meter *); /* a new window */
/* Evaluations and checkpoints do not count as training time. */
void dt_meter_pause(dt_meter *);
void dt_meter_resume(dt_meter *);
/* A step whose numbers are just known. */
void dt_meter_add(dt_meter *, const dt_step_numbers *, int64_t samples);
/* Fills loss, top1, grad_norm, samples_per_s and data_wait; NaN where nothing is known. */
void dt_meter_report(const dt_meter *, dt_step_report *out);

#endif
