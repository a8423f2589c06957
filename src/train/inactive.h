/* Settings that make no difference, told to the user. */
#ifndef DT_TRAIN_INACTIVE_H
#define DT_TRAIN_INACTIVE_H

#include "base/log.h"
#include "config/settings.h"

/* A line of the log for each setting that dt_settings_inactive lists. `what` names what might have read it, "run" say;
 * it has read all its settings by now. */
void dt_inactive_log(const dt_settings *, const dt_inactive_options *, const char *what, dt_log *);

#endif
