/* The ranks of a command. */
#include "cmd/ranks.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "cmd/command.h"
#include "cmd/signal.h"
#include "train/ranks.h"

/* --- the end by a verdict, on the heartbeat's thread --- */

static const double OTHERS_SECONDS = 3; /* for another rank to say why all end, and mpirun to end all behind it */

/* What ends the process where the log does not: a file system that hangs may hold it, and with it the verdict. */
typedef struct last_resort {
    const char *text; /* to be shown; NULL: nothing */
    double seconds;
} last_resort;

static void nap(double seconds)
{
    struct timespec left = {.tv_sec = (time_t)seconds, .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)};
    while (nanosleep(&left, &left) && errno == EINTR) continue;
}

static void *leave_anyway(void *arg)
{
    const last_resort *last = arg;
    struct pollfd out = {.fd = STDERR_FILENO, .events = POLLOUT};
    nap(last->seconds);
    if (last->text && poll(&out, 1, 0) == 1) dprintf(STDERR_FILENO, "dyttrain: %s\n", last->text);
    _exit(1);
}

/* What the first rank shows is but kept by the others. The first is quick, since mpirun ends it behind another. Where
 * it is gone itself the others know the same, and under MPI one of them is enough. */
static void end_by_verdict(void *context, const dt_verdict *verdict)
{
    const dt_party *party = context;
    bool shows = party->rank == 0 || !verdict->told;
    last_resort last = {shows ? verdict->text : NULL, party->rank ? 2 * OTHERS_SECONDS : 1};
    pthread_t guard;
    if (pthread_create(&guard, NULL, leave_anyway, &last) == 0) pthread_detach(guard);
    dt_log_write(party->log, DT_LOG_ERROR, "%s", verdict->text);
    if (party->rank && shows) {
        if (party->rank > 1 && dt_world_launch(party->world) == DT_LAUNCH_MPI) nap(OTHERS_SECONDS);
        fprintf(stderr, "dyttrain: %s\n", verdict->text);
    }
    _exit(1);
}

/* --- meeting and leaving --- */

static dt_status meet(dt_party *party, const dt_settings *settings)
{
    dt_world_options options = settings ? dt_world_options_of(settings) : (dt_world_options){0};
    options.on_verdict = end_by_verdict;
    options.context = party;
    DT_TRY(dt_world_open(&options, party->log, &party->world));
    party->rank = dt_world_rank(party->world);
    if (party->rank && party->log) dt_log_mute(party->log);
    return DT_OK;
}

/* Why ranks cannot meet is mostly known to all of them, and rank 0's exit has mpirun end the others. */
static void let_rank0_speak(void)
{
    dt_launch_facts facts;
    if (!dt_launch_read(&facts) && facts.kind == DT_LAUNCH_MPI && facts.rank > 0) nap(OTHERS_SECONDS);
}

dt_status dt_party_meet(dt_party *party, const dt_settings *settings, dt_log *log, dt_status prepared)
{
    char why[DT_MESSAGE_ROOM];
    *party = (dt_party){.log = log};
    snprintf(why, sizeof why, "%s", dt_error_message());
    dt_status met = meet(party, settings);
    if (met) let_rank0_speak();
    if (prepared && (met || !dt_ranks_alone(party->world))) prepared = dt_fail(prepared, "%s", why);
    if (met) return prepared ? prepared : met;
    return dt_ranks_join(party->world, "the start", prepared);
}

dt_status dt_party_leave(dt_party *party, dt_status status)
{
    bool alone = dt_ranks_alone(party->world);
    if (!alone && status && party->rank == 0) fprintf(stderr, "dyttrain: %s\n", dt_error_message());
    if (!alone && status) dt_world_tell_failure(party->world, dt_error_message());
    if (!alone) dt_signal_ignore();
    dt_world_close(party->world);
    party->world = NULL;
    if (!alone && status) _exit(dt_command_exit_code(status));
    return status;
}
