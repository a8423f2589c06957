/* What a way of communicating gives comm.c: one constant table of functions on its own `context`. The contracts stand
 * in comm/comm.h. */
#ifndef DT_COMM_BACKEND_H
#define DT_COMM_BACKEND_H

#include "comm/comm.h"
#include "comm/world.h"

typedef struct dt_comm_backend {
    dt_status (*all_reduce)(void *context, dt_stream, dt_dtype, int64_t count, void *data);
    dt_status (*reduce_scatter)(void *context, dt_stream, dt_dtype, int64_t count, const void *data, void *out);
    dt_status (*all_gather)(void *context, dt_stream, dt_dtype, int64_t count, const void *data, void *out);
    dt_status (*broadcast)(void *context, dt_stream, dt_dtype, int64_t count, void *data, int root);
    /* NULL where there are no peers. */
    dt_status (*swap)(void *context, dt_stream, dt_dtype, int64_t count, const void *data, void *out, int peer);
    /* Gives the context of the part, and this rank's place there. */
    dt_status (*split)(void *context, int colour, void **out, int *rank, int *size);
    dt_status (*check)(void *context); /* NULL: nothing fails behind its back */
    void (*close)(void *context);
} dt_comm_backend;

/* Takes `context` over on success: dt_comm_free closes it. */
DT_MUST_USE dt_status dt_comm_create(const dt_comm_backend *, void *context, int rank, int size, dt_comm **out);

/* From now on the world hears of each collective that is begun, on what is split off, too. */
void dt_comm_tell(dt_comm *, dt_world *);

#endif
