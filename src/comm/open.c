/* The choice of devices and of the way of communicating. */
#include "comm/open.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "comm/backend.h"
#include "comm/nccl.h"

/* --- places --- */

typedef char gpu_id[DT_DEVICE_ID_ROOM];

/* Does an earlier rank of the same host have the same GPU? -1: none. */
static int find_twin(const dt_world *world, const gpu_id *ids, int rank)
{
    for (int other = 0; other < rank; other++)
        if (dt_world_peer_of(world, other)->node == dt_world_peer_of(world, rank)->node &&
            strcmp(ids[other], ids[rank]) == 0)
            return other;
    return -1;
}

static int count_ranks(const dt_world *world, int node)
{
    int count = 0;
    for (int rank = 0; rank < dt_world_size(world); rank++) count += dt_world_peer_of(world, rank)->node == node;
    return count;
}

static int count_gpus(const dt_world *world, const gpu_id *ids, int node)
{
    int count = 0;
    for (int rank = 0; rank < dt_world_size(world); rank++)
        count += dt_world_peer_of(world, rank)->node == node && find_twin(world, ids, rank) < 0;
    return count;
}

static dt_status refuse_sharing(const dt_world *world, const gpu_id *ids)
{
    for (int rank = 0; rank < dt_world_size(world); rank++) {
        int twin = find_twin(world, ids, rank), node = dt_world_peer_of(world, rank)->node;
        if (twin < 0) continue;
        int gpus = count_gpus(world, ids, node);
        return dt_fail(DT_ERR_USAGE, "host %s has %d ranks, and they see %d GPU%s: ranks %d and %d would share %s; "
                       "start one rank for each GPU (mpirun --map-by ppr:%d:node, srun --ntasks-per-node=%d), or look "
                       "whether CUDA_VISIBLE_DEVICES hides the others",
                       dt_world_peer_of(world, rank)->host, count_ranks(world, node), gpus, gpus == 1 ? "" : "s", twin,
                       rank, ids[rank], gpus, gpus);
    }
    return DT_OK;
}

/* Where a launcher shows each rank one GPU alone, all of them count it as the first. */
dt_status dt_comm_place(dt_world *world, dt_backend backend, int *index)
{
    *index = 0;
    int size = dt_world_size(world), count = dt_backend_count(backend, NULL);
    if (size == 1 || backend == DT_CPU) return DT_OK;
    gpu_id mine = "", *ids;
    if (count) *index = dt_world_local_rank(world) % count;
    DT_TRY(dt_backend_check(backend, *index));
    DT_TRY(dt_backend_id(backend, *index, mine));
    if (!(ids = malloc((size_t)size * sizeof *ids))) return dt_fail_memory((size_t)size * sizeof *ids, "GPUs of ranks");
    dt_status status = dt_world_gather(world, "the GPUs of ranks", mine, sizeof mine, ids);
    if (!status) status = refuse_sharing(world, ids);
    free(ids);
    return status;
}

/* --- communicators --- */

static dt_status open_mpi(dt_world *world, dt_comm **out)
{
    if (dt_world_mpi(world)) return dt_comm_create_mpi(dt_world_mpi(world), out);
    return dt_fail(DT_ERR_USAGE, "ranks on CPUs talk over MPI, and these were started without it (RANK and WORLD_SIZE "
                   "are set): start them with mpirun, or give each rank a GPU (device=cuda)");
}

/* The same bits, and talking at all, take the same libraries everywhere. */
static dt_status agree_on_versions(dt_world *world, const dt_nccl *nccl)
{
    char cuda[DT_VERSIONS_ROOM], text[DT_NCCL_TEXT];
    dt_nccl_text(nccl, text);
    dt_backend_versions(DT_CUDA, cuda);
    DT_TRY(dt_world_agree(world, "the version of NCCL", dt_hash_text(text), text));
    return dt_world_agree(world, "the version of CUDA", dt_hash_text(cuda), cuda);
}

static dt_status open_nccl(dt_world *world, dt_device *device, dt_comm **out)
{
    dt_nccl *nccl;
    char id[DT_NCCL_ID_BYTES] = {0};
    int rank = dt_world_rank(world);
    DT_TRY(dt_nccl_open(&nccl));
    dt_status status = agree_on_versions(world, nccl);
    if (!status && rank == 0) status = dt_nccl_make_id(nccl, id);
    if (!status) status = dt_world_broadcast(world, "NCCL's id", id, sizeof id);
    if (!status) status = dt_comm_create_nccl(nccl, device, id, rank, dt_world_size(world), out);
    if (status) dt_nccl_close(nccl);
    return status;
}

dt_status dt_comm_open(dt_world *world, dt_device *device, dt_comm **out)
{
    if (dt_world_size(world) == 1) return dt_comm_create_single(device, out);
    dt_watching before = dt_world_watch(world, DT_WATCH_JOINING);
    dt_status status = dt_device_backend(device) == DT_CUDA ? open_nccl(world, device, out) : open_mpi(world, out);
    dt_world_watch(world, before);
    if (!status) dt_comm_tell(*out, world);
    return status;
}
