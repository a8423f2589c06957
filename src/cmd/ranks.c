/* The ranks of a command. */
#include "cmd/ranks.h"

#include <stdio.h>
#include <unistd.h>

#include "cmd/command.h"
#include "cmd/signal.h"
#include "train/ranks.h"

/* On the heartbeat's thread. What the first rank shows is but kept by the others. */
static void end_by_verdict(void *context, const dt_verdict *verdict)
{
    const dt_party *party = context;
    dt_log_write(party->log, DT_LOG_ERROR, "%s", verdict->text);
    if (party->rank && !verdict->told) fprintf(stderr, "dyttrain: %s\n", verdict->text);
    _exit(1);
}

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

dt_status dt_party_meet(dt_party *party, const dt_settings *settings, dt_log *log, dt_status prepared)
{
    char why[1024];
    *party = (dt_party){.log = log};
    snprintf(why, sizeof why, "%s", dt_error_message());
    dt_status met = meet(party, settings);
    if (prepared && (met || !dt_ranks_alone(party->world))) prepared = dt_fail(prepared, "%s", why);
    if (met) return prepared ? prepared : met;
    return dt_ranks_join(party->world, "the start", prepared);
}

dt_status dt_party_leave(dt_party *party, dt_status status)
{
    bool alone = dt_ranks_alone(party->world);
    if (!alone && status && party->rank == 0) fprintf(stderr, "dyttrain: %s\n", dt_error_message());
    if (!alone) dt_signal_ignore();
    dt_world_close(party->world);
    party->world = NULL;
    if (!alone && status) _exit(dt_command_exit_code(status));
    return status;
}
