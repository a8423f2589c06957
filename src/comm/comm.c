/* Dispatch of collectives to the way of communicating that the communicator was made with. */
#include "comm/comm.h"

#include <stdlib.h>

#include "comm/backend.h"

struct dt_comm {
    const dt_comm_backend *backend;
    void *context; /* the backend's */
    int rank, size;
    dt_world *world; /* is told what is begun; NULL: nobody is */
};

dt_status dt_comm_create(const dt_comm_backend *backend, void *context, int rank, int size, dt_comm **out)
{
    dt_comm *comm = malloc(sizeof *comm);
    if (!comm) return dt_fail_memory(sizeof *comm, "a communicator");
    *comm = (dt_comm){.backend = backend, .context = context, .rank = rank, .size = size};
    *out = comm;
    return DT_OK;
}

void dt_comm_tell(dt_comm *comm, dt_world *world) { comm->world = world; }

void dt_comm_free(dt_comm *comm)
{
    if (!comm) return;
    comm->backend->close(comm->context);
    free(comm);
}

dt_status dt_comm_split(dt_comm *comm, int colour, dt_comm **out)
{
    void *context;
    int rank, size;
    dt_world_begin_collective(comm->world);
    dt_watching before = dt_world_watch(comm->world, DT_WATCH_JOINING);
    dt_status status = comm->backend->split(comm->context, colour, &context, &rank, &size);
    dt_world_watch(comm->world, before);
    if (status) return status;
    status = dt_comm_create(comm->backend, context, rank, size, out);
    if (status) comm->backend->close(context);
    else dt_comm_tell(*out, comm->world);
    return status;
}

dt_status dt_comm_check(dt_comm *comm) { return comm->backend->check ? comm->backend->check(comm->context) : DT_OK; }

int dt_comm_rank(const dt_comm *comm) { return comm->rank; }

int dt_comm_size(const dt_comm *comm) { return comm->size; }

dt_status dt_comm_all_reduce(dt_comm *comm, dt_stream stream, dt_dtype type, int64_t count, void *data)
{
    dt_world_begin_collective(comm->world);
    return comm->backend->all_reduce(comm->context, stream, type, count, data);
}

dt_status dt_comm_reduce_scatter(dt_comm *comm, dt_stream stream, dt_dtype type, int64_t count, const void *data,
                                 void *out)
{
    dt_world_begin_collective(comm->world);
    return comm->backend->reduce_scatter(comm->context, stream, type, count, data, out);
}

dt_status dt_comm_all_gather(dt_comm *comm, dt_stream stream, dt_dtype type, int64_t count, const void *data, void *out)
{
    dt_world_begin_collective(comm->world);
    return comm->backend->all_gather(comm->context, stream, type, count, data, out);
}

dt_status dt_comm_broadcast(dt_comm *comm, dt_stream stream, dt_dtype type, int64_t count, void *data, int root)
{
    dt_world_begin_collective(comm->world);
    return comm->backend->broadcast(comm->context, stream, type, count, data, root);
}

dt_status dt_comm_swap(dt_comm *comm, dt_stream stream, dt_dtype type, int64_t count, const void *data, void *out,
                       int peer)
{
    dt_world_begin_collective(comm->world);
    return comm->backend->swap(comm->context, stream, type, count, data, out, peer);
}
