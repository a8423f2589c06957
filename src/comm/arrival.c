/* Marks, and the thread that waits beside MPI. */
#include "comm/arrival.h"

#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/threads.h"
#include "comm/hello.h"

/* So much later speaks a host that misses nobody, and so much again another rank than a host's first: those who know
 * more come first, and their end is mostly that of all. */
static const double TURN_SECONDS = 5;
static const double LOOK_SECONDS = 0.5; /* between looks for marks */

struct dt_arrival {
    dt_launch_facts facts;
    dt_world_options options;
    const char *job; /* of the environment; NULL: no marks can be left */
    int mark;        /* -1: none */
    bool *seen;      /* [local_size] of the thread: who of this host has come; NULL: that cannot be known */
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool over;
};

/* --- marks --- */

static socklen_t name_mark(const char *job, int local_rank, struct sockaddr_un *out)
{
    *out = (struct sockaddr_un){.sun_family = AF_UNIX}; /* a name that begins with 0 is no file */
    int length = snprintf(out->sun_path + 1, sizeof out->sun_path - 1, "dyttrain-%.60s-%d", job, local_rank);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length);
}

static bool knows_host(const dt_launch_facts *facts) { return facts->local_rank >= 0 && facts->local_size > 0; }

static int leave_mark(const dt_arrival *a)
{
    struct sockaddr_un name;
    if (!a->job || !knows_host(&a->facts)) return -1;
    socklen_t length = name_mark(a->job, a->facts.local_rank, &name);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&name, length) == 0) return fd;
    close(fd);
    return -1;
}

static bool has_mark(const char *job, int local_rank)
{
    struct sockaddr_un name;
    socklen_t length = name_mark(job, local_rank, &name);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool there = fd >= 0 && connect(fd, (const struct sockaddr *)&name, length) == 0;
    if (fd >= 0) close(fd);
    return there;
}

/* --- who is missing --- */

/* A mark that is gone again is that of a rank which has come, and has spoken perhaps. */
static void look_round(dt_arrival *a)
{
    for (int r = 0; a->seen && r < a->facts.local_size; r++)
        a->seen[r] = a->seen[r] || r == a->facts.local_rank || has_mark(a->job, r);
}

static int count_missing(const dt_arrival *a)
{
    int count = 0;
    for (int r = 0; a->seen && r < a->facts.local_size; r++) count += !a->seen[r];
    return count;
}

/* Is this rank the first of its host that came? */
static bool is_first(const dt_arrival *a)
{
    if (!a->seen) return a->facts.rank == 0;
    return (bool *)memchr(a->seen, true, (size_t)a->facts.local_size) == a->seen + a->facts.local_rank;
}

static void list_missing(const dt_arrival *a, dt_text *out)
{
    bool *missing = calloc((size_t)a->facts.local_size, sizeof *missing);
    for (int r = 0; missing && r < a->facts.local_size; r++) missing[r] = !a->seen[r];
    if (a->facts.local_size < a->facts.size) dt_text_add(out, "local ");
    if (missing) dt_members_list(NULL, missing, a->facts.local_size, out);
    free(missing);
}

static void tell(const dt_arrival *a, double waited, dt_text *out)
{
    char host[DT_HELLO_HOST] = "this host";
    gethostname(host, sizeof host - 1);
    if (count_missing(a)) {
        list_missing(a, out);
        dt_text_add(out, " of %d on %s did not come to MPI's start within %.0f s (parallel.start_limit): did dyttrain "
                    "start there, or does something before it hang?", a->facts.local_size, host, waited);
    } else {
        bool all = a->seen && a->facts.local_size == a->facts.size;
        dt_text_add(out, "MPI's start did not end within %.0f s (parallel.start_limit)%s%s: %s", waited, a->seen
                    ? ", though all ranks have come on " : "", a->seen ? host : "", all ? "one of them is stopped, or "
                    "MPI hangs" : "ranks of other hosts do not come to it, or MPI does not reach them");
    }
}

/* --- the thread --- */

/* Whether MPI was through before so many seconds more. */
static bool wait_for_end(dt_arrival *a, double seconds)
{
    struct timespec end;
    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += (time_t)seconds;
    end.tv_nsec += (long)((seconds - (double)(time_t)seconds) * 1e9);
    if (end.tv_nsec >= 1000000000) {
        end.tv_nsec -= 1000000000;
        end.tv_sec++;
    }
    pthread_mutex_lock(&a->mutex);
    while (!a->over && pthread_cond_timedwait(&a->changed, &a->mutex, &end) != ETIMEDOUT) continue;
    bool over = a->over;
    pthread_mutex_unlock(&a->mutex);
    return over;
}

static void speak(const dt_arrival *a, double waited)
{
    dt_text line = {0};
    tell(a, waited, &line);
    const char *text = line.failed ? "MPI's start does not end: out of memory" : line.data;
    a->options.on_verdict(a->options.context, &(dt_verdict){.text = text, .rank = -1});
    dt_text_free(&line);
}

static void *run(void *arg)
{
    dt_arrival *a = arg;
    double waited = 0, limit = a->options.start_limit;
    while (waited < limit) {
        double pause = limit - waited < LOOK_SECONDS ? limit - waited : LOOK_SECONDS;
        if (wait_for_end(a, pause)) return NULL;
        waited += pause;
        look_round(a);
    }
    double turn = TURN_SECONDS * ((count_missing(a) ? 0 : 1) + (is_first(a) ? 0 : 1));
    if (!wait_for_end(a, turn)) speak(a, limit + turn);
    return NULL;
}

static void release(dt_arrival *a)
{
    if (a->mark >= 0) close(a->mark);
    free(a->seen);
    pthread_cond_destroy(&a->changed);
    pthread_mutex_destroy(&a->mutex);
    free(a);
}

dt_status dt_arrival_begin(const dt_launch_facts *facts, const dt_world_options *options, dt_arrival **out)
{
    pthread_condattr_t monotonic;
    *out = NULL;
    if (!options->on_verdict) return DT_OK;
    dt_arrival *a = malloc(sizeof *a);
    if (!a) return dt_fail_memory(sizeof *a, "the start of MPI");
    *a = (dt_arrival){.facts = *facts, .options = *options, .job = getenv("PMIX_NAMESPACE")};
    a->mark = leave_mark(a);
    if (a->mark >= 0) a->seen = calloc((size_t)facts->local_size, sizeof *a->seen);
    pthread_mutex_init(&a->mutex, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&a->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    int failed = dt_thread_start(&a->thread, "dt-arrival", 0, run, a);
    if (!failed) {
        *out = a;
        return DT_OK;
    }
    release(a);
    return dt_fail(DT_ERR_IO, "cannot start a thread: %s", strerror(failed));
}

void dt_arrival_end(dt_arrival *a)
{
    if (!a) return;
    pthread_mutex_lock(&a->mutex);
    a->over = true;
    pthread_cond_broadcast(&a->changed);
    pthread_mutex_unlock(&a->mutex);
    pthread_join(a->thread, NULL);
    release(a);
}
