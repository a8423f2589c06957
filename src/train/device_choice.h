/* Which back end a run uses. */
#ifndef DT_TRAIN_DEVICE_CHOICE_H
#define DT_TRAIN_DEVICE_CHOICE_H

#include "base/log.h"
#include "config/settings.h"
#include "device/device.h"

/* device=auto takes a CUDA GPU if there is one that the kernels run on, else the CPU, and says why; device=cuda without
 * one is an error. Of several GPUs a process that is `alone` takes the first, and says so. */
DT_MUST_USE dt_status dt_device_choose(const dt_settings *, bool alone, dt_log *, dt_backend *out);

#endif
