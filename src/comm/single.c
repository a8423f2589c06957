/* The world of one rank: every collective is already done. */
#include <stddef.h>

#include "comm/backend.h"

static dt_status single_all_reduce(void *context, dt_stream stream, dt_dtype type, int64_t count, void *data)
{
    return DT_OK;
}

static void single_close(void *context) {}

static const dt_comm_backend single = {.all_reduce = single_all_reduce, .close = single_close};

dt_status dt_comm_create_single(dt_device *device, dt_comm **out) { return dt_comm_create(&single, NULL, 0, 1, out); }
