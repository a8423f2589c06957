/* How this process was started, read from its environment: no socket, no library, no waiting.
 *
 *   MPI          a launcher of MPI left its variables (Open MPI: OMPI_COMM_WORLD_*; MPICH, Intel MPI: PMI_*; Slurm with
 *                PMIx: PMIX_RANK). The last word on rank and size is MPI's own.
 *   environment  RANK and WORLD_SIZE are set, LOCAL_RANK and LOCAL_WORLD_SIZE where known, MASTER_ADDR, MASTER_PORT.
 *   single       neither, or a world of one. Several tasks of one srun that know nothing of each other are refused.
 *
 * Where both kinds of variables are there it is MPI; DYTTRAIN_LAUNCH=single|mpi|environment decides otherwise. */
#ifndef DT_COMM_LAUNCH_H
#define DT_COMM_LAUNCH_H

#include "base/status.h"

typedef enum dt_launch { DT_LAUNCH_SINGLE, DT_LAUNCH_MPI, DT_LAUNCH_ENVIRONMENT } dt_launch;
const char *dt_launch_name(dt_launch); /* "one process", "MPI", "RANK and WORLD_SIZE" */

enum { DT_WORLD_MOST_RANKS = 65536, DT_LAUNCH_DEFAULT_PORT = 29500 };

typedef struct dt_launch_facts {
    dt_launch kind;
    int rank, size;             /* 0 and 1 for a single one; under MPI 0 where its variables do not say */
    int local_rank, local_size; /* among those of this host; -1 where the variables do not say */
    const char *address;        /* environment: MASTER_ADDR, of the environment; else NULL */
    int port;                   /* environment: MASTER_PORT, 29500 where it is not set */
} dt_launch_facts;

/* DT_ERR_USAGE names the variable that is missing or malformed. */
DT_MUST_USE dt_status dt_launch_read(dt_launch_facts *out);
/* Kind, rank and size alone, for who will not meet the others. What does not tell a rank counts as nothing, as scripts
 * set such for all that they start: one of RANK and WORLD_SIZE, DYTTRAIN_LAUNCH without them, an srun's numbers. */
DT_MUST_USE dt_status dt_launch_read_rank(dt_launch_facts *out);

#endif
