/* dyttrain CONFIG.yaml [path=value ...]: trains. */
#include <string.h>

#include "base/file.h"
#include "base/text.h"
#include "cmd/command.h"
#include "cmd/ranks.h"
#include "cmd/signal.h"
#include "cmd/table.h"
#include "train/policy.h"
#include "train/run_folder.h"
#include "train/schedule.h"
#include "train/train.h"

/* `dyttrain pln`: a word that is neither a file nor looks like one was meant as a command. */
static dt_status check_config(const char *word)
{
    if (strchr(word, '/') || strchr(word, '.') || dt_file_exists(word)) return DT_OK;
    const char *names[32];
    for (int i = 0; i < dt_command_count; i++) names[i] = dt_commands[i]->name;
    const char *nearest = dt_text_nearest(word, names, (size_t)dt_command_count);
    if (nearest)
        return dt_fail(DT_ERR_USAGE, "'%s' is neither a command nor a config file; did you mean '%s'?", word, nearest);
    return dt_fail(DT_ERR_USAGE, "'%s' is neither a command nor a config file; 'dyttrain --help' lists the commands",
                   word);
}

/* A dry run writes nothing, but fails where the run would at once. */
static dt_status check_dry_run(dt_settings *settings)
{
    bool exists = false;
    dt_text folder = {0};
    dt_status status = dt_run_folder_name(settings, &folder);
    if (!status) status = dt_file_look(folder.data, &exists);
    if (!status && exists)
        status = dt_fail(DT_ERR_USAGE, "the run folder '%s' is there already: choose another run.name, or remove it",
                         folder.data);
    dt_text_free(&folder);
    return status;
}

static dt_status load(const dt_arguments *args, dt_settings **settings)
{
    bool dry_run = dt_arguments_has(args, "--dry-run");
    DT_TRY(check_config(args->words[0]));
    if (dt_arguments_has(args, "--resume") && dry_run)
        return dt_fail(DT_ERR_USAGE, "--resume and --dry-run do not go together: a dry run begins anew");
    DT_TRY(dt_table_load(args, args->words[0], settings));
    return dry_run && !dt_arguments_has(args, "--print-config") ? check_dry_run(*settings) : DT_OK;
}

static dt_status run(const dt_arguments *args, dt_settings *settings, const dt_party *party)
{
    dt_train_options options = {.world = party->world,
                                .resume = dt_arguments_has(args, "--resume"),
                                .dry_run = dt_arguments_has(args, "--dry-run"),
                                .signal = dt_signal_watch()};
    return dt_train_run(settings, &options, party->log);
}

/* Refuses what a run would refuse of its course. How many samples there are is not known without the data: a batch. */
static dt_status print_config(dt_settings *settings, dt_log *log)
{
    dt_schedule schedule;
    dt_policy policy;
    DT_TRY(dt_table_resolve(settings, log));
    DT_TRY(dt_schedule_create(settings, dt_setting_int(settings, "data.batch"), &schedule));
    DT_TRY(dt_policy_read(settings, &schedule, true, &policy));
    return dt_table_print(settings);
}

static dt_status train(const dt_arguments *args)
{
    dt_log *log = NULL;
    dt_settings *settings = NULL;
    dt_party party;
    DT_TRY(dt_arguments_log(args, &log));
    dt_status status = load(args, &settings);
    if (dt_arguments_has(args, "--print-config")) {
        if (!status) status = print_config(settings, log);
    } else {
        status = dt_party_meet(&party, settings, log, status);
        if (!status) status = run(args, settings, &party);
        status = dt_party_leave(&party, status);
    }
    dt_settings_free(settings);
    dt_log_free(log);
    return status;
}

static const dt_option options[] = {
    {"--resume", NULL, "go on from the newest valid checkpoint of the run folder"},
    {"--dry-run", NULL, "set everything up, make one step on real data, write nothing"},
    {0},
};

const dt_command dt_command_train = {
    .name = "train",
    .usage = "CONFIG.yaml [path=value ...]",
    .summary = "train (the word 'train' may be left out)",
    .help = "Trains what the config says into the run folder run.dir/run.name. Settings on the command line win over\n"
            "the config; 'dyttrain --help settings' lists all of them.\n"
            "\n"
            "SIGINT (Ctrl-C), SIGTERM and SIGUSR1 save a checkpoint and leave with exit code 3; --resume goes on from\n"
            "it bit for bit. A second signal leaves at once, without saving, with exit code 128 + its number.",
    .options = options,
    .settings = true,
    .least_words = 1,
    .most_words = 1,
    .every = true,
    .run = train,
};
