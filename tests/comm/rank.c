/* One rank of a test: opens a world and does what its arguments say, one after the other. `only` before a rank's number
 * and an action is done by that rank alone:
 *
 *   rank START WAIT HANG LOST collectives only 3 kill step barrier close
 *
 * START, WAIT, HANG, LOST are the limits in seconds. A verdict is printed and ends the process with exit code 9. */
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "comm/world.h"

static _Atomic int verdicts;

static void on_verdict(void *context, const dt_verdict *verdict)
{
    printf("verdict %d: rank %d, told %d: %s\n", atomic_fetch_add(&verdicts, 1) + 1, verdict->rank, verdict->told,
           verdict->text);
    fflush(stdout);
    if (!*(const bool *)context) _exit(9);
}

static void wait_for(double seconds)
{
    struct timespec left = {.tv_sec = (time_t)seconds, .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)};
    while (nanosleep(&left, &left)) continue;
}

static dt_status check(bool right, const char *what)
{
    return right ? DT_OK : dt_fail(DT_ERR_DATA, "%s is wrong", what);
}

/* Every collective, with contents, of sizes from nothing to many packets. */
static dt_status do_collectives(dt_world *world)
{
    enum { MOST = 300000 };
    int rank = dt_world_rank(world), size = dt_world_size(world);
    unsigned char *mine = malloc(MOST), *all = malloc((size_t)MOST * (size_t)size);
    dt_status status = mine && all ? DT_OK : dt_fail_memory(MOST, "a test");
    for (size_t bytes = 0; !status && bytes < MOST; bytes = bytes * 7 + 1) {
        for (size_t i = 0; i < bytes; i++) mine[i] = (unsigned char)(i * 31 + (size_t)rank);
        status = dt_world_gather(world, "a gather", mine, bytes, all);
        for (size_t i = 0; !status && i < bytes * (size_t)size; i++)
            status = check(all[i] == (unsigned char)(i % bytes * 31 + i / bytes), "a gather");
        if (!status) status = dt_world_broadcast(world, "a broadcast", mine, bytes);
        for (size_t i = 0; !status && i < bytes; i++) status = check(mine[i] == (unsigned char)(i * 31), "a broadcast");
        if (!status) status = dt_world_barrier(world, "a barrier");
        if (!status) status = dt_world_agree(world, "everything", bytes, NULL);
    }
    free(mine);
    free(all);
    return status;
}

static dt_status do_disagree(dt_world *world)
{
    char value[32];
    int one = dt_world_rank(world) == 1;
    snprintf(value, sizeof value, "CUDA 1%d.0", 2 + one);
    return dt_world_agree(world, "the version of CUDA", (uint64_t)one, value);
}

static void print_place(const dt_world *world)
{
    int rank = dt_world_rank(world);
    printf("rank %d of %d, local %d of %d, launch %d, node %d, last rank's process %lld\n", rank, dt_world_size(world),
           dt_world_local_rank(world), dt_world_local_size(world), dt_world_launch(world),
           dt_world_peer_of(world, rank)->node, (long long)dt_world_peer_of(world, dt_world_size(world) - 1)->pid);
}

/* Stopped for so many seconds; a child brings it back. */
static void stop_for(double seconds)
{
    if (fork() == 0) {
        wait_for(seconds);
        kill(getppid(), SIGCONT);
        _exit(0);
    }
    raise(SIGSTOP);
}

static dt_status act(dt_world **world, const char *word, int64_t *step)
{
    if (!strcmp(word, "collectives")) return do_collectives(*world);
    if (!strcmp(word, "disagree")) return do_disagree(*world);
    if (!strcmp(word, "barrier")) return dt_world_barrier(*world, "the barrier");
    if (!strcmp(word, "other")) return dt_world_barrier(*world, "another barrier");
    if (!strcmp(word, "place")) print_place(*world);
    else if (!strcmp(word, "fail")) dt_world_tell_failure(*world, "cannot open 'y'");
    else if (!strcmp(word, "watch")) dt_world_watch(*world, DT_WATCH_STEPS);
    else if (!strcmp(word, "unwatch")) dt_world_watch(*world, DT_WATCH_NOTHING);
    else if (!strcmp(word, "step")) dt_world_progress(*world, *step += 1, 0);
    else if (!strcmp(word, "work")) dt_world_progress(*world, *step, 1);
    else if (!strcmp(word, "kill")) raise(SIGKILL);
    else if (!strcmp(word, "stop")) raise(SIGSTOP);
    else if (!strcmp(word, "exit")) _exit(0);
    else if (!strcmp(word, "abort")) {
        dt_world_abort(*world, "cannot open 'x': no such\nfile");
        _exit(7);
    } else if (!strcmp(word, "close")) {
        dt_world_close(*world);
        *world = NULL;
    } else if (!strncmp(word, "pause", 5)) stop_for(strtod(word + 5, NULL));
    else if (!strncmp(word, "sleep", 5)) wait_for(strtod(word + 5, NULL));
    else return dt_fail(DT_ERR_USAGE, "'%s' is no action", word);
    return DT_OK;
}

static dt_status run(dt_log *log, char **words, int count)
{
    static bool stay;
    int64_t step = 0;
    dt_world *world;
    dt_world_options options = {strtod(words[0], NULL), strtod(words[1], NULL), strtod(words[2], NULL),
                                strtod(words[3], NULL), on_verdict, &stay};
    stay = count > 4 && !strcmp(words[4], "stay");
    DT_TRY(dt_world_open(&options, log, &world));
    dt_status status = DT_OK;
    int rank = dt_world_rank(world);
    for (int i = 4 + stay; !status && i < count; i++) {
        bool only = !strcmp(words[i], "only"), mine = !only || atoi(words[i + 1]) == rank;
        i += 2 * only;
        if (mine) status = act(&world, words[i], &step);
    }
    if (!status) printf("done\n");
    else if (world) dt_world_abort(world, dt_error_message());
    dt_world_close(world);
    return status;
}

int main(int argc, char **argv)
{
    dt_log *log;
    if (argc < 5 || dt_log_create(stdout, DT_LOG_INFO, &log)) return 2;
    dt_status status = run(log, argv + 1, argc - 1);
    if (status) printf("error: %s\n", dt_error_message());
    dt_log_free(log);
    return status ? 1 : 0;
}
