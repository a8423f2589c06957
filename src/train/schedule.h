/* How long a run is, and its learning rate at every step: pure functions of the settings and the step. */
#ifndef DT_TRAIN_SCHEDULE_H
#define DT_TRAIN_SCHEDULE_H

#include "config/settings.h"

/* Learning rate without the warmup, as a share of the way from schedule.min_lr to optim.lr; `at` runs over [0, 1). */
typedef double (*dt_schedule_curve)(double at);

typedef struct dt_schedule {
    int64_t batch;         /* samples of one update */
    int64_t epoch_samples; /* positions of an epoch, padding included: a multiple of `batch` */
    int64_t steps;         /* updates of the whole run */
    int64_t warmup;        /* at the start; where the run is shorter, it ends on the way to the full rate */
    bool eased;            /* the warmup: a parabola that is flat at its end, and not a line */
    bool from_start;       /* the curve begins at step 0, and of it and the warmup the lower counts */
    double lr, min_lr;
    dt_schedule_curve curve;
} dt_schedule;

extern const char *const dt_schedule_names[]; /* choices of schedule.kind, NULL-terminated */
extern const char *const dt_warmup_names[];   /* of schedule.warmup_kind */
extern const char *const dt_schedule_begin_names[];

/* `samples`: of the training set. */
DT_MUST_USE dt_status dt_schedule_create(const dt_settings *, int64_t samples, dt_schedule *out);
/* Of the update that follows `step` others. Warmup is numpy's linspace(0, lr, warmup), as in the DyT authors' training
 * code for images: the first update has rate 0, the last of the warmup the full one. Eased, it is one minus the square
 * of the share of its steps that are left, as in their code for LLaMA: the full rate comes one update later. A cosine
 * then starts at the full rate and would reach min_lr in the step after the last. */
double dt_schedule_lr(const dt_schedule *, int64_t step);
double dt_schedule_epoch(const dt_schedule *, int64_t samples); /* epochs after so many samples */
/* Updates in `epochs`, at least 1 unless it is 0. */
int64_t dt_schedule_steps(const dt_schedule *, double epochs);
/* Updates, as the one of a pair of settings says that has a value. */
int64_t dt_schedule_length(const dt_settings *, const dt_schedule *, const char *steps_path, const char *epochs_path);

#endif
