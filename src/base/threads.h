/* The one pool of compute threads: kernels split their work into numbered tasks of a fixed size, and the pool runs
 * them on whatever threads are free. What a task computes never depends on which thread ran it or on how many there
 * are. Idle workers spin for a short while and then sleep. And how every other thread is started. */
#ifndef DT_BASE_THREADS_H
#define DT_BASE_THREADS_H

#include <pthread.h>
#include <stdint.h>

#include "base/status.h"

typedef struct dt_pool dt_pool;
/* `worker` is below dt_pool_threads() and no two tasks run at once under one number: it picks a task's scratch
 * memory. */
typedef void (*dt_task)(void *arg, int64_t task, int worker);

/* `threads` counts the caller; 0 means as many as the processors this process may use. */
DT_MUST_USE dt_status dt_pool_create(int threads, dt_pool **out);
void dt_pool_free(dt_pool *);
int dt_pool_threads(const dt_pool *);
/* Runs task(arg, 0 .. count-1, worker) (count below 2^32), the caller taking part as worker 0, and returns when all are
 * done. One caller at a time, and never from a task. A NULL pool runs everything on the caller. */
void dt_pool_run(dt_pool *, int64_t count, dt_task task, void *arg);

/* Starts a thread that takes no signals, for those are the main thread's. `stack_bytes` 0: as many as threads have.
 * Returns 0 or an error number. */
int dt_thread_start(pthread_t *out, const char *name, size_t stack_bytes, void *(*run)(void *), void *arg);
int dt_usable_processors(void); /* of this process, by its affinity and by the quota of its container */
double dt_clock(void); /* monotonic seconds */

#endif
