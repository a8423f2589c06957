/* Ranks and collectives on raw pointers and a stream. A world of one takes the same calls and does nothing. */
#ifndef DT_COMM_COMM_H
#define DT_COMM_COMM_H

#include <stdint.h>

#include "base/dtype.h"
#include "device/device.h"

typedef struct dt_comm dt_comm;

DT_MUST_USE dt_status dt_comm_create_single(dt_device *, dt_comm **out);
void dt_comm_free(dt_comm *);
int dt_comm_rank(const dt_comm *);
int dt_comm_size(const dt_comm *);
/* Sum over all ranks, in place. */
DT_MUST_USE dt_status dt_comm_all_reduce(dt_comm *, dt_stream, dt_dtype, int64_t count, void *data);

#endif
