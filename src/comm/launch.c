/* Reads the variables of launchers. */
#include "comm/launch.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static const char *const kind_words[] = {"single", "mpi", "environment"};

const char *dt_launch_name(dt_launch kind)
{
    static const char *const names[] = {"one process", "MPI", "RANK and WORLD_SIZE"};
    return names[kind];
}

/* An empty variable counts as one that is not set. */
static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

/* Sets `*out`, or leaves it alone where the variable is not set. */
static dt_status read_number(const char *name, long lowest, long highest, int *out)
{
    const char *value = variable(name);
    if (!value) return DT_OK;
    char *end;
    errno = 0;
    long number = strtol(value, &end, 10);
    if (*end || errno || number < lowest || number > highest)
        return dt_fail(DT_ERR_USAGE, "the environment's %s='%s' is not a whole number from %ld to %ld", name, value,
                       lowest, highest);
    *out = (int)number;
    return DT_OK;
}

/* What one launcher of MPI calls its numbers; a name may be NULL. */
typedef struct mpi_names {
    const char *sign; /* set by this launcher alone */
    const char *rank, *size, *local_rank, *local_size;
} mpi_names;

static const mpi_names launchers[] = {
    {"OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK",
     "OMPI_COMM_WORLD_LOCAL_SIZE"},
    {"PMI_SIZE", "PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS"},
    /* the size is Slurm's word; other starters with PMIx leave it to MPI */
    {"PMIX_RANK", "PMIX_RANK", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID", NULL},
};

static const mpi_names *find_launcher(void)
{
    for (size_t i = 0; i < sizeof launchers / sizeof launchers[0]; i++)
        if (variable(launchers[i].sign)) return &launchers[i];
    return NULL;
}

static dt_status read_mpi(const mpi_names *names, dt_launch_facts *out)
{
    int size = 0;
    DT_TRY(read_number(names->size, 1, DT_WORLD_MOST_RANKS, &size));
    if (size == 1) return DT_OK; /* MPI need not even be there */
    *out = (dt_launch_facts){.kind = DT_LAUNCH_MPI, .size = size, .local_rank = -1, .local_size = -1};
    DT_TRY(read_number(names->rank, 0, DT_WORLD_MOST_RANKS - 1, &out->rank));
    DT_TRY(read_number(names->local_rank, 0, DT_WORLD_MOST_RANKS - 1, &out->local_rank));
    return names->local_size ? read_number(names->local_size, 1, DT_WORLD_MOST_RANKS, &out->local_size) : DT_OK;
}

static dt_status check_local(const dt_launch_facts *facts)
{
    if (facts->local_size > facts->size)
        return dt_fail(DT_ERR_USAGE, "the environment's LOCAL_WORLD_SIZE=%d is more than its WORLD_SIZE=%d",
                       facts->local_size, facts->size);
    int below = facts->local_size > 0 ? facts->local_size : facts->size;
    if (facts->local_rank < below) return DT_OK;
    return dt_fail(DT_ERR_USAGE, "the environment's LOCAL_RANK=%d is not below %s=%d", facts->local_rank,
                   facts->local_size > 0 ? "LOCAL_WORLD_SIZE" : "WORLD_SIZE", below);
}

static dt_status read_environment(dt_launch_facts *out)
{
    int rank = -1, size = -1;
    DT_TRY(read_number("RANK", 0, DT_WORLD_MOST_RANKS - 1, &rank));
    DT_TRY(read_number("WORLD_SIZE", 1, DT_WORLD_MOST_RANKS, &size));
    if (rank < 0 || size < 0)
        return dt_fail(DT_ERR_USAGE, "the environment has %s but not %s: a run of several processes needs both, a run "
                       "of one neither", size < 0 ? "RANK" : "WORLD_SIZE", size < 0 ? "WORLD_SIZE" : "RANK");
    if (rank >= size)
        return dt_fail(DT_ERR_USAGE, "the environment's RANK=%d is not below its WORLD_SIZE=%d: ranks count from 0",
                       rank, size);
    if (size == 1) return DT_OK;
    *out = (dt_launch_facts){.kind = DT_LAUNCH_ENVIRONMENT, .rank = rank, .size = size, .local_rank = -1,
                             .local_size = -1, .address = variable("MASTER_ADDR"), .port = DT_LAUNCH_DEFAULT_PORT};
    if (!out->address)
        return dt_fail(DT_ERR_USAGE, "the environment has RANK and WORLD_SIZE but not MASTER_ADDR: the name or address "
                       "of rank 0's host");
    DT_TRY(read_number("MASTER_PORT", 1, 65535, &out->port));
    DT_TRY(read_number("LOCAL_RANK", 0, DT_WORLD_MOST_RANKS - 1, &out->local_rank));
    DT_TRY(read_number("LOCAL_WORLD_SIZE", 1, DT_WORLD_MOST_RANKS, &out->local_size));
    return check_local(out);
}

static bool has_environment(void) { return variable("RANK") || variable("WORLD_SIZE"); }

/* What nobody has told anything is alone. But a plain srun starts many such: were they meant as the ranks of one
 * run? */
static dt_status check_alone(void)
{
    int tasks = 1;
    if (!variable("SLURM_PROCID")) return DT_OK;
    DT_TRY(read_number("SLURM_STEP_NUM_TASKS", 1, INT_MAX, &tasks));
    if (tasks == 1) return DT_OK;
    return dt_fail(DT_ERR_USAGE, "srun started %d tasks that do not know of each other: take srun --mpi=pmix, or set "
                   "RANK, WORLD_SIZE and MASTER_ADDR for each, as scripts/launch_slurm.sh does; where each is meant as "
                   "a run of its own, set DYTTRAIN_LAUNCH=single", tasks);
}

/* What DYTTRAIN_LAUNCH asks for, -1: nothing. */
static dt_status read_wanted(int *out)
{
    const char *wanted = variable("DYTTRAIN_LAUNCH");
    *out = wanted ? DT_LAUNCH_ENVIRONMENT : -1;
    while (*out >= 0 && strcmp(wanted, kind_words[*out])) --*out;
    if (*out >= 0 || !wanted) return DT_OK;
    return dt_fail(DT_ERR_USAGE, "the environment's DYTTRAIN_LAUNCH='%s' is none of single, mpi, environment", wanted);
}

static dt_status choose(const mpi_names *launcher, int wanted, dt_launch *out)
{
    if (wanted < 0) {
        *out = launcher ? DT_LAUNCH_MPI : has_environment() ? DT_LAUNCH_ENVIRONMENT : DT_LAUNCH_SINGLE;
        return *out == DT_LAUNCH_SINGLE ? check_alone() : DT_OK;
    }
    *out = (dt_launch)wanted;
    if (*out == DT_LAUNCH_MPI && !launcher)
        return dt_fail(DT_ERR_USAGE, "the environment's DYTTRAIN_LAUNCH=mpi, but no launcher of MPI left its "
                       "variables: start with mpirun or srun");
    if (*out == DT_LAUNCH_ENVIRONMENT && !has_environment())
        return dt_fail(DT_ERR_USAGE, "the environment's DYTTRAIN_LAUNCH=environment, but RANK and WORLD_SIZE are not "
                       "set");
    return DT_OK;
}

static const dt_launch_facts alone = {.kind = DT_LAUNCH_SINGLE, .size = 1, .local_size = 1};

dt_status dt_launch_read(dt_launch_facts *out)
{
    const mpi_names *launcher = find_launcher();
    int wanted;
    dt_launch kind;
    *out = alone;
    DT_TRY(read_wanted(&wanted));
    DT_TRY(choose(launcher, wanted, &kind));
    if (kind == DT_LAUNCH_MPI) return read_mpi(launcher, out);
    return kind == DT_LAUNCH_ENVIRONMENT ? read_environment(out) : DT_OK;
}

dt_status dt_launch_read_rank(dt_launch_facts *out)
{
    const mpi_names *launcher = find_launcher();
    int wanted;
    dt_launch kind;
    *out = alone;
    DT_TRY(read_wanted(&wanted));
    if (choose(launcher, wanted, &kind)) {
        dt_error_clear();
        return DT_OK;
    }
    if (kind == DT_LAUNCH_MPI) return read_mpi(launcher, out);
    if (kind == DT_LAUNCH_SINGLE || !variable("RANK") || !variable("WORLD_SIZE")) return DT_OK;
    out->kind = kind;
    DT_TRY(read_number("RANK", 0, DT_WORLD_MOST_RANKS - 1, &out->rank));
    return read_number("WORLD_SIZE", 1, DT_WORLD_MOST_RANKS, &out->size);
}
