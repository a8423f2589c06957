/* What makes the memory of a device last, for messages when it does not: the device knows sizes, and whoever plans for
 * it knows settings. */
#ifndef DT_DEVICE_REMEDIES_H
#define DT_DEVICE_REMEDIES_H

#include "device/device.h"

enum { DT_REMEDY_ROOM = 256 }; /* longer ones are cut */
/* What helps where a category is the largest: "a smaller train.micro_batch". Until it is told, and where it is "", the
 * message names no setting. */
void dt_device_advise(dt_device *, dt_memory, const char *remedy);

#endif
