/* Ranks that are threads of one process and reach into each other's memory: for tests of what ranks do together on the
 * CPU, without anything to start them. Sums are made in the order of ranks. */
#ifndef DT_TESTS_THREAD_RANKS_H
#define DT_TESTS_THREAD_RANKS_H

#include "comm/comm.h"

/* Calls work(context, comm) for every rank, each in a thread of its own, and waits for all. The communicators die with
 * the call. */
void thread_ranks_run(int ranks, void (*work)(void *context, dt_comm *), void *context);

#endif
