/* dyttrain doctor --ranks, started as a training run is: who sees which GPU, how fast the collectives are over sizes,
 * and which link is the slowest. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "cmd/doctor.h"
#include "cmd/ranks.h"
#include "cmd/ranks_speed.h"
#include "comm/nccl.h"

/* What a rank tells of itself. */
typedef struct sight {
    dt_device_info device;
    char id[DT_DEVICE_ID_ROOM], cuda[DT_VERSIONS_ROOM], nccl[DT_NCCL_TEXT];
    int32_t index, unused;
} sight;

/* --- who sees what --- */

static void print_rank(const dt_world *world, int rank, const sight *seen)
{
    const dt_world_peer *peer = dt_world_peer_of(world, rank);
    char label[24], total[32], available[32], gpu[32] = "";
    snprintf(label, sizeof label, "rank %d", rank);
    if (*seen->id) snprintf(gpu, sizeof gpu, "GPU %d: ", seen->index);
    dt_doctor_line(label, "%s, process %lld; %s%s%s%s, %s, %s of it free", peer->host, (long long)peer->pid, gpu,
                   seen->device.name, *seen->id ? ", " : "", seen->id,
                   dt_text_bytes(total, (double)seen->device.memory_total),
                   dt_text_bytes(available, (double)seen->device.memory_free));
}

static int count_nodes(const dt_world *world)
{
    int nodes = 0;
    for (int rank = 0; rank < dt_world_size(world); rank++)
        if (dt_world_peer_of(world, rank)->node >= nodes) nodes = dt_world_peer_of(world, rank)->node + 1;
    return nodes;
}

static void print_ranks(const dt_world *world, const sight *all)
{
    int size = dt_world_size(world), nodes = count_nodes(world);
    dt_doctor_line("dyttrain", "%s, %d rank%s on %d host%s (launch: %s)", DT_VERSION, size, size == 1 ? "" : "s",
                   nodes, nodes == 1 ? "" : "s", dt_launch_name(dt_world_launch(world)));
    for (int rank = 0; rank < size; rank++) print_rank(world, rank, &all[rank]);
    if (*all[0].id) dt_doctor_line("versions", "%s; %s", all[0].cuda, all[0].nccl);
}

/* NCCL's version where several ranks will need it. */
static dt_status look(dt_world *world, dt_device *device, int index, sight *mine)
{
    dt_nccl *nccl;
    dt_backend backend = dt_device_backend(device);
    mine->index = index;
    dt_backend_versions(backend, mine->cuda);
    DT_TRY(dt_device_query(device, &mine->device));
    DT_TRY(dt_backend_id(backend, index, mine->id));
    if (backend == DT_CPU || dt_world_size(world) == 1) return DT_OK;
    DT_TRY(dt_nccl_open(&nccl));
    dt_nccl_text(nccl, mine->nccl);
    dt_nccl_close(nccl);
    return DT_OK;
}

static dt_status report_sights(dt_world *world, dt_device *device, int index)
{
    size_t bytes = (size_t)dt_world_size(world) * sizeof(sight);
    sight mine = {0}, *all = malloc(bytes);
    if (!all) return dt_fail_memory(bytes, "what the ranks see");
    dt_status status = look(world, device, index, &mine);
    if (!status) status = dt_world_gather(world, "what the ranks see", &mine, sizeof mine, all);
    if (!status && dt_world_rank(world) == 0) print_ranks(world, all);
    free(all);
    return status;
}

/* --- how fast they talk --- */

static void print_head(const dt_ranks_speed *s)
{
    if (s->rank) return;
    printf("\n%d ranks over %s, float32, results checked; bus bandwidth in GB/s as nccl-tests define it\n%9s", s->size,
           dt_device_backend(s->device) == DT_CUDA ? "NCCL" : "MPI", "size");
    for (int kind = 0; kind < DT_COLLECTIVES; kind++) printf("  %24s", dt_collective_name((dt_collective)kind));
    printf("\n");
}

static dt_status report_size(dt_ranks_speed *s, int64_t size)
{
    char text[32];
    if (s->rank == 0) printf("%9s", dt_text_bytes(text, (double)size));
    for (int kind = 0; kind < DT_COLLECTIVES; kind++) {
        int64_t bytes = size;
        double seconds;
        DT_TRY(dt_ranks_speed_run(s, (dt_collective)kind, &bytes, &seconds));
        if (s->rank == 0)
            printf("  %12.1f us %9.2f", 1e6 * seconds,
                   dt_bus_bandwidth((dt_collective)kind, s->size, (double)bytes, seconds) / 1e9);
    }
    if (s->rank == 0) printf("\n"), fflush(stdout);
    return DT_OK;
}

static dt_status report_links(dt_ranks_speed *s, int64_t bytes)
{
    dt_link_speed slowest;
    double median;
    int pairs;
    char each[32];
    DT_TRY(dt_ranks_speed_links(s, bytes, &slowest, &median, &pairs));
    if (s->rank) return DT_OK;
    printf("\n");
    dt_doctor_line("slowest link", "rank %d on %s and rank %d on %s: %.2f GB/s each way; the median of %d pair%s is "
                   "%.2f GB/s", slowest.a, dt_world_peer_of(s->world, slowest.a)->host, slowest.b,
                   dt_world_peer_of(s->world, slowest.b)->host, slowest.bandwidth / 1e9, pairs, pairs == 1 ? "" : "s",
                   median / 1e9);
    dt_doctor_line("", "%s each way, every rank with another at the same time", dt_text_bytes(each, (double)bytes));
    return DT_OK;
}

/* Takes the communicator over. Behind a failure it is freed first: what waits for ranks that are gone is given up, and
 * without that a device frees no memory. */
static dt_status report_speed(dt_world *world, dt_device *device, dt_comm *comm)
{
    bool gpu = dt_device_backend(device) == DT_CUDA;
    const int64_t most = (int64_t)(gpu ? 1024 : 64) << 20;
    dt_ranks_speed s;
    dt_status status = dt_ranks_speed_open(world, device, comm, most, &s);
    if (status) {
        dt_comm_free(comm);
        return status;
    }
    print_head(&s);
    dt_world_watch(world, DT_WATCH_STEPS); /* a link may hang, which is what this is to find */
    for (int64_t size = 1024; size <= most && !status; size *= 4) status = report_size(&s, size);
    if (!status) status = report_links(&s, most / 16);
    dt_world_watch(world, DT_WATCH_NOTHING);
    dt_comm_free(comm);
    dt_ranks_speed_close(&s);
    return status;
}

/* --- the command --- */

/* Which kind of device: all ranks must come to the same. */
static dt_status choose_backend(dt_world *world, const char *name, dt_backend *out)
{
    *out = name ? (strcmp(name, "cuda") ? DT_CPU : DT_CUDA) : dt_backend_count(DT_CUDA, NULL) ? DT_CUDA : DT_CPU;
    return dt_world_agree(world, "the device (option --device)", (uint64_t)*out, dt_backend_name(*out));
}

static dt_status examine(dt_world *world, const char *name)
{
    dt_device *device = NULL;
    dt_comm *comm = NULL;
    dt_backend backend;
    dt_status status;
    int index;
    DT_TRY(choose_backend(world, name, &backend));
    DT_TRY(dt_comm_place(world, backend, &index));
    DT_TRY(dt_device_open(backend, index, 1, &device));
    DT_TRY_GOTO(report_sights(world, device, index), done);
    DT_TRY_GOTO(dt_comm_open(world, device, &comm), done);
    if (dt_world_size(world) > 1) {
        status = report_speed(world, device, comm);
    } else {
        dt_doctor_line("", "one rank talks to nobody: start several, as in mpirun -np 2 dyttrain doctor --ranks");
        dt_comm_free(comm);
    }
done:
    dt_device_close(device);
    return status;
}

/* Wrong use is found by all ranks together; any other failure may be one rank's own, and ends all. */
dt_status dt_doctor_ranks(const dt_arguments *args)
{
    dt_log *log;
    dt_party party;
    DT_TRY(dt_arguments_log(args, &log));
    dt_status status = dt_party_meet(&party, NULL, log, DT_OK);
    if (!status) {
        status = examine(party.world, dt_arguments_value(args, "--device"));
        if (status && status != DT_ERR_USAGE) dt_world_abort(party.world, dt_error_message());
        status = dt_party_leave(&party, status);
    }
    dt_log_free(log);
    return status;
}
