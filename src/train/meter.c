/* Averages and rates of the steps since the last log line. */
#include "train/meter.h"

#include <math.h>

#include "base/threads.h"

void dt_meter_start(dt_meter *m)
{
    double now = dt_clock();
    *m = (dt_meter){.started = now, .timed = now, .untimed = m->untimed};
}

void dt_meter_pause(dt_meter *m) { m->paused = dt_clock(); }

void dt_meter_resume(dt_meter *m)
{
    double took = dt_clock() - m->paused;
    m->started += took;
    m->timed += took;
}

static void add_time(dt_meter *m, int64_t samples)
{
    if (m->untimed) {
        m->untimed--;
        m->timed = dt_clock();
    } else m->samples += samples;
}

void dt_meter_add(dt_meter *m, const dt_step_numbers *numbers, int64_t samples)
{
    add_time(m, samples);
    if (!numbers->finite) return;
    m->loss += numbers->loss;
    m->count += numbers->count;
    m->hits += numbers->hits[0];
    m->norms += numbers->norm;
    m->steps++;
}

void dt_meter_report(const dt_meter *m, dt_step_report *out)
{
    double now = dt_clock();
    out->loss = m->loss / m->count; /* 0 / 0, which is NaN, when no step was committed */
    out->top1 = 100 * m->hits / m->count;
    out->grad_norm = m->norms / (double)m->steps;
    out->samples_per_s = m->samples ? (double)m->samples / (now - m->timed) : NAN;
    out->data_wait = m->wait / (now - m->started);
}
