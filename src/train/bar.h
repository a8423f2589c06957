/* The status line of a run on a terminal. */
#ifndef DT_TRAIN_BAR_H
#define DT_TRAIN_BAR_H

#include "base/text.h"
#include "train/report.h"

/* "[====>    ]  45 %  ETA 1:02  loss 0.54  lr 0.003  1774 images/s  wait 0.3 %  128 MiB  step 900/2000" in at most
 * `columns` columns: a bar where there is room for one; where there is not, fields stand closer, and those that still
 * do not fit are left out, the last ones first. `remaining`: seconds to the end. */
void dt_bar_print(dt_text *out, const dt_step_report *, int64_t total_steps, double remaining, int columns);

#endif
