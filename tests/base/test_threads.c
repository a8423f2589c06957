/* The pool: every task once, whatever the sizes and however long the workers slept. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/threads.h"

enum { MOST_TASKS = 5000, MOST_THREADS = 5 };

typedef struct job {
    int times[MOST_TASKS];                 /* how often each task ran: plain, so that a sanitizer sees a race */
    int scratch[MOST_THREADS];             /* in use by a task of this worker? */
    _Atomic int clashes, foreign;          /* two tasks under one number; a number that no worker has */
    int threads;
} job;

static void count_task(void *arg, int64_t task, int worker)
{
    job *j = arg;
    if (worker < 0 || worker >= j->threads) {
        atomic_fetch_add(&j->foreign, 1);
        return;
    }
    if (j->scratch[worker]++) atomic_fetch_add(&j->clashes, 1);
    j->times[task]++;
    j->scratch[worker]--;
}

static void assert_each_once(dt_pool *pool, int64_t count)
{
    static job j;
    memset(&j, 0, sizeof j);
    j.threads = dt_pool_threads(pool);
    dt_pool_run(pool, count, count_task, &j);
    for (int64_t i = 0; i < MOST_TASKS; i++) assert_int_equal(j.times[i], i < count);
    assert_int_equal(j.clashes, 0);
    assert_int_equal(j.foreign, 0);
}

static void every_task_runs_once(void **state)
{
    for (int threads = 1; threads <= MOST_THREADS; threads++) {
        dt_pool *pool;
        assert_int_equal(dt_pool_create(threads, &pool), DT_OK);
        assert_int_equal(dt_pool_threads(pool), threads);
        for (int64_t count = 0; count <= MOST_TASKS; count = count < 20 ? count + 1 : count * 3)
            assert_each_once(pool, count);
        dt_pool_free(pool);
    }
}

static void sleeping_workers_wake(void **state)
{
    dt_pool *pool;
    assert_int_equal(dt_pool_create(3, &pool), DT_OK);
    for (int i = 0; i < 30; i++) {
        assert_each_once(pool, 7);
        usleep(i * 20); /* shorter and longer than the spinning */
    }
    dt_pool_free(pool);
}

static void add_to_sum(void *arg, int64_t task, int worker) { atomic_fetch_add((_Atomic int64_t *)arg, task); }

static void many_small_jobs_follow_each_other(void **state)
{
    dt_pool *pool;
    _Atomic int64_t sum = 0;
    assert_int_equal(dt_pool_create(4, &pool), DT_OK);
    for (int i = 0; i < 20000; i++) dt_pool_run(pool, 2 + i % 3, add_to_sum, &sum);
    assert_int_equal(sum, 6667 * 1 + 6667 * 3 + 6666 * 6);
    dt_pool_free(pool);
}

static void no_pool_means_the_caller(void **state)
{
    assert_int_equal(dt_pool_threads(NULL), 1);
    assert_each_once(NULL, 100);
    dt_pool_free(NULL);
}

static void zero_threads_means_all_processors(void **state)
{
    dt_pool *pool;
    assert_int_equal(dt_pool_create(0, &pool), DT_OK);
    assert_in_range(dt_pool_threads(pool), 1, sysconf(_SC_NPROCESSORS_CONF));
    dt_pool_free(pool);
}

static void the_clock_goes_forward(void **state)
{
    double start = dt_clock();
    usleep(1000);
    assert_true(dt_clock() - start >= 1e-3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_task_runs_once),
        cmocka_unit_test(sleeping_workers_wake),
        cmocka_unit_test(many_small_jobs_follow_each_other),
        cmocka_unit_test(no_pool_means_the_caller),
        cmocka_unit_test(zero_threads_means_all_processors),
        cmocka_unit_test(the_clock_goes_forward),
    };
    return cmocka_run_group_tests_name("base/threads", tests, NULL, NULL);
}
