/* The pool. A job is published in one atomic word, the ticket: its generation and how many of its tasks are not yet
 * claimed. A thread claims a task by a compare-and-swap that lowers the ticket; success proves that the job it read
 * (task, arg, count) was still the current one, so a thread that was held up between the two never runs a stale job,
 * and the caller need not wait for threads that never came. */
#include "base/threads.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { CACHE_LINE = 64, STACK_BYTES = 2 << 20 }; /* tasks keep tiles on their stack; some systems give 128 KiB */

static const double SPIN_SECONDS = 30e-6; /* of an idle worker, before it sleeps */

typedef struct worker {
    dt_pool *pool;
    int number; /* from 1: 0 is the caller */
    pthread_t thread;
} worker;

struct dt_pool {
    _Alignas(CACHE_LINE) _Atomic uint64_t ticket; /* generation << 32 | unclaimed tasks */
    _Atomic(dt_task) task;
    _Atomic(void *) arg;
    _Atomic int64_t count;
    _Alignas(CACHE_LINE) _Atomic int64_t unfinished; /* tasks of the current job */
    _Alignas(CACHE_LINE) _Atomic int sleepers;
    _Atomic bool stop;
    pthread_mutex_t mutex; /* for sleeping only */
    pthread_cond_t wake;
    int threads, started; /* workers started: threads - 1 once created */
    worker workers[];
};

double dt_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void pause_a_little(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static bool has_work(dt_pool *pool) { return (uint32_t)atomic_load(&pool->ticket) != 0; }

/* Claims and runs tasks of the current job until none is left. */
static void run_tasks(dt_pool *pool, int number)
{
    int64_t finished = 0;
    uint64_t ticket = atomic_load_explicit(&pool->ticket, memory_order_acquire);
    while ((uint32_t)ticket) {
        dt_task task = atomic_load_explicit(&pool->task, memory_order_relaxed);
        void *arg = atomic_load_explicit(&pool->arg, memory_order_relaxed);
        int64_t count = atomic_load_explicit(&pool->count, memory_order_relaxed);
        bool claimed = atomic_compare_exchange_weak_explicit(&pool->ticket, &ticket, ticket - 1, memory_order_acq_rel,
                                                             memory_order_acquire);
        if (!claimed) continue;
        task(arg, count - (int64_t)(uint32_t)ticket, number);
        finished++;
        ticket = atomic_load_explicit(&pool->ticket, memory_order_acquire);
    }
    /* told once: the job cannot end, nor the next begin, before it is */
    if (finished) atomic_fetch_sub_explicit(&pool->unfinished, finished, memory_order_release);
}

static bool spin_for_work(dt_pool *pool)
{
    double end = dt_clock() + SPIN_SECONDS;
    do {
        for (int i = 0; i < 32; i++) {
            if (has_work(pool)) return true;
            pause_a_little();
        }
    } while (dt_clock() < end && !atomic_load(&pool->stop));
    return false;
}

/* The sleeper counts itself before it looks for work, and the caller publishes before it counts sleepers: one of the
 * two sees the other (both in sequentially consistent order). */
static void sleep_until_work(dt_pool *pool)
{
    pthread_mutex_lock(&pool->mutex);
    atomic_fetch_add(&pool->sleepers, 1);
    while (!has_work(pool) && !atomic_load(&pool->stop)) pthread_cond_wait(&pool->wake, &pool->mutex);
    atomic_fetch_sub(&pool->sleepers, 1);
    pthread_mutex_unlock(&pool->mutex);
}

static void wake_sleepers(dt_pool *pool)
{
    if (!atomic_load(&pool->sleepers)) return;
    pthread_mutex_lock(&pool->mutex);
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->mutex);
}

static void *work(void *arg)
{
    const worker *self = arg;
    dt_pool *pool = self->pool;
    while (!atomic_load(&pool->stop)) {
        if (!spin_for_work(pool)) sleep_until_work(pool);
        run_tasks(pool, self->number);
    }
    return NULL;
}

/* The limit that a container sets (cgroup v2), in whole processors; `most` where there is none. */
static int quota_processors(int most)
{
    FILE *file = fopen("/sys/fs/cgroup/cpu.max", "re");
    if (!file) return most;
    double quota, period;
    bool limited = fscanf(file, "%lf %lf", &quota, &period) == 2 && quota > 0 && period > 0;
    fclose(file);
    return limited && quota / period < most ? (int)ceil(quota / period) : most;
}

int dt_usable_processors(void)
{
    cpu_set_t set;
    int count = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : (int)sysconf(_SC_NPROCESSORS_ONLN);
    return quota_processors(count > 0 ? count : 1);
}

int dt_thread_start(pthread_t *out, const char *name, size_t stack_bytes, void *(*run)(void *), void *arg)
{
    sigset_t all, before;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    if (stack_bytes) pthread_attr_setstacksize(&attributes, stack_bytes);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(out, &attributes, run, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!failed) pthread_setname_np(*out, name);
    pthread_attr_destroy(&attributes);
    return failed;
}

static dt_status start_workers(dt_pool *pool)
{
    int failed = 0;
    while (pool->started < pool->threads - 1) {
        worker *next = &pool->workers[pool->started];
        *next = (worker){.pool = pool, .number = pool->started + 1};
        failed = dt_thread_start(&next->thread, "dt-compute", STACK_BYTES, work, next);
        if (failed) break;
        pool->started++;
    }
    if (!failed) return DT_OK;
    return dt_fail(DT_ERR_IO, "cannot start thread %d of %d: %s", pool->started + 2, pool->threads, strerror(failed));
}

dt_status dt_pool_create(int threads, dt_pool **out)
{
    assert(threads >= 0);
    if (threads == 0) threads = dt_usable_processors();
    size_t bytes = sizeof(dt_pool) + (size_t)(threads - 1) * sizeof(worker);
    bytes = (bytes + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
    dt_pool *pool = aligned_alloc(CACHE_LINE, bytes);
    if (!pool) return dt_fail_memory(bytes, "the thread pool");
    memset(pool, 0, bytes);
    pool->threads = threads;
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->wake, NULL);
    dt_status status = start_workers(pool);
    if (status) dt_pool_free(pool);
    else *out = pool;
    return status;
}

void dt_pool_free(dt_pool *pool)
{
    if (!pool) return;
    atomic_store(&pool->stop, true);
    wake_sleepers(pool);
    for (int i = 0; i < pool->started; i++) pthread_join(pool->workers[i].thread, NULL);
    pthread_cond_destroy(&pool->wake);
    pthread_mutex_destroy(&pool->mutex);
    free(pool);
}

int dt_pool_threads(const dt_pool *pool) { return pool ? pool->threads : 1; }

/* Others still hold tasks: spin, but give the processor away if they must need it to go on. */
static void wait_for_others(dt_pool *pool)
{
    enum { SPINS = 2000 };
    for (int i = 0; atomic_load_explicit(&pool->unfinished, memory_order_acquire); i++) {
        if (i < SPINS) pause_a_little();
        else sched_yield();
    }
}

void dt_pool_run(dt_pool *pool, int64_t count, dt_task task, void *arg)
{
    assert(count >= 0 && count <= UINT32_MAX);
    if (!pool || pool->threads == 1 || count <= 1) {
        for (int64_t i = 0; i < count; i++) task(arg, i, 0);
        return;
    }
    atomic_store_explicit(&pool->task, task, memory_order_relaxed);
    atomic_store_explicit(&pool->arg, arg, memory_order_relaxed);
    atomic_store_explicit(&pool->count, count, memory_order_relaxed);
    atomic_store_explicit(&pool->unfinished, count, memory_order_relaxed);
    uint64_t generation = (atomic_load_explicit(&pool->ticket, memory_order_relaxed) >> 32) + 1;
    atomic_store(&pool->ticket, generation << 32 | (uint64_t)count);
    wake_sleepers(pool);
    run_tasks(pool, 0);
    wait_for_others(pool);
}
