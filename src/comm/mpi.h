/* Finds and loads the MPI plug-in (comm/mpi_plugin.h), only in a process that an MPI launcher started. */
#ifndef DT_COMM_MPI_H
#define DT_COMM_MPI_H

#include "base/status.h"
#include "comm/mpi_plugin.h"

/* The name of the plug-in's file, and the variable that gives its path instead of the search. */
#define DT_MPI_PLUGIN_FILE "dyttrain-mpi.so"
#define DT_MPI_PLUGIN_VARIABLE "DYTTRAIN_MPI_PLUGIN"

/* Looks for it at DYTTRAIN_MPI_PLUGIN where that is set, else in the folder of the running program, in ../lib/dyttrain
 * from there. It stays loaded until the process ends: MPI does not take itself apart. DT_ERR_DEVICE says where it
 * was looked for, or why it does not load. */
DT_MUST_USE dt_status dt_mpi_load(const dt_mpi_calls **out);
/* DT_ERR_DEVICE: "MPI cannot WHAT: WHY". */
DT_MUST_USE dt_status dt_mpi_fail(const char *what, const char *why);

#endif
