/* What the MPI plug-in gives the program: the only code that is linked with libmpi is a shared object of its own,
 * dyttrain-mpi.so, whose one symbol is dt_mpi_plugin. So the program starts where there is no MPI (comm/mpi.h loads
 * it).
 *
 * Plain C, no types of ours: the plug-in is linked with nothing of the program. Calls are for the main thread only.
 * They return 0, or not 0 with a reason in `why`, of `room` bytes, ended by 0. Between two ranks bytes travel as they
 * are. */
#ifndef DT_COMM_MPI_PLUGIN_H
#define DT_COMM_MPI_PLUGIN_H

#include <stddef.h>

/* Raised with every change of this header: a plug-in of another build is refused. */
enum { DT_MPI_ABI = 2 };

/* Ranks that send to each other, numbered from 0 on: an MPI communicator. NULL stands for the whole world. */
typedef struct dt_mpi_group dt_mpi_group;

/* Bytes to or from another rank of the group; any number of them, also 0. */
typedef struct dt_mpi_part {
    int rank;
    int sent; /* 1: from here to there, 0: from there to here */
    void *data;
    size_t bytes;
} dt_mpi_part;

typedef struct dt_mpi_calls {
    int abi; /* DT_MPI_ABI, and the first member for ever */
    /* Starts MPI (MPI_THREAD_FUNNELED) and gives this process's place in the world. */
    int (*init)(int *rank, int *size, char *why, size_t room);
    /* This process's place among those that share its host's memory. All ranks call it. */
    int (*local)(int *rank, int *size, char *why, size_t room);
    /* From rank 0 to all. All ranks call it, with the same count. */
    int (*broadcast)(void *data, size_t bytes, char *why, size_t room);
    /* The ranks of the group with this rank's colour (0 or higher), in the same order, as a group of its own, and this
     * rank's place there. All ranks of the group call it. `out` is freed before `finalize`. */
    int (*split)(dt_mpi_group *, int colour, dt_mpi_group **out, int *rank, int *size, char *why, size_t room);
    void (*free)(dt_mpi_group *);
    /* All parts travel at once; returns when they have, at their other ends, too: no rank needs further calls of this
     * one to get what it waits for. What a rank sends to another, that one receives, in the same order and with the
     * same counts. The wait leaves the processor to others. */
    int (*exchange)(dt_mpi_group *, const dt_mpi_part *parts, int count, char *why, size_t room);
    /* Ends MPI. All ranks call it; a process that fails does not. */
    void (*finalize)(void);
} dt_mpi_calls;

/* The symbol `dt_mpi_plugin` of the plug-in. */
typedef const dt_mpi_calls *dt_mpi_plugin_fn(void);

#endif
