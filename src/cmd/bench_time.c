/* Repeats and medians. */
#include "cmd/bench_time.h"

#include "cmd/roof.h"

enum { LEAST_REPEATS = 5, MOST_REPEATS = 500, UNCOUNTED = 2 };

dt_status dt_bench_time(dt_status (*run)(void *), void *context, double enough, dt_bench_times *out)
{
    double seconds[MOST_REPEATS], total = 0;
    int count = 0;
    for (int i = 0; i < UNCOUNTED; i++) DT_TRY(run(context));
    while (count < MOST_REPEATS && (count < LEAST_REPEATS || total < enough)) {
        double start = dt_clock();
        DT_TRY(run(context));
        total += seconds[count++] = dt_clock() - start;
    }
    double median = dt_median(seconds, count); /* sorts them */
    *out = (dt_bench_times){median, seconds[0], seconds[count - 1], count};
    return DT_OK;
}

typedef struct subject {
    dt_session *session;
    const char *program;
} subject;

static dt_status run_subject(void *context)
{
    const subject *of = context;
    return of->program ? dt_session_run_one(of->session, of->program) : dt_session_run_step(of->session, NULL, NULL);
}

dt_status dt_bench_time_program(dt_session *session, const char *program, double seconds, dt_bench_times *out)
{
    return dt_bench_time(run_subject, &(subject){session, program}, seconds, out);
}
