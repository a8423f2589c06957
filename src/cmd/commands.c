/* The table of commands, and how one of them is run. */
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "cmd/command.h"
#include "comm/launch.h"

const dt_command *const dt_commands[] = {
    &dt_command_train,  &dt_command_eval,   &dt_command_generate, &dt_command_plan,   &dt_command_bench,
    &dt_command_export, &dt_command_import, &dt_command_inspect,  &dt_command_doctor, &dt_command_prepare,
    &dt_command_help,
};
const int dt_command_count = sizeof dt_commands / sizeof dt_commands[0];

const dt_command *dt_command_find(const char *name)
{
    for (int i = 0; i < dt_command_count; i++)
        if (strcmp(dt_commands[i]->name, name) == 0) return dt_commands[i];
    return NULL;
}

int dt_command_exit_code(dt_status status)
{
    switch (status) {
    case DT_OK: return 0;
    case DT_ERR_USAGE: return 2;
    case DT_ERR_STOPPED: return 3;
    default: return 1;
    }
}

static bool explains(const dt_arguments *args)
{
    return dt_arguments_has(args, "--help") || dt_arguments_has(args, "--version");
}

static dt_status run(const dt_arguments *args)
{
    if (dt_arguments_has(args, "--help")) dt_command_print_help(args->command);
    else if (dt_arguments_has(args, "--version")) printf("dyttrain %s\n", DT_VERSION);
    else return args->command->run(args);
    return DT_OK;
}

/* mpirun's other ranks need not say it. But whoever sits at a terminal, or has RANK and WORLD_SIZE for another program,
 * takes itself for the only one. */
static void tell_left(const dt_command *command, const char *with, const dt_launch_facts *facts)
{
    if (facts->kind != DT_LAUNCH_ENVIRONMENT && !isatty(STDERR_FILENO)) return;
    fprintf(stderr, "dyttrain: '%s%s%s' is one process's work and left to rank 0, and by the environment (%s) this is "
            "rank %d; with DYTTRAIN_LAUNCH=single it does it\n", command->name, with ? " " : "", with ? with : "",
            dt_launch_name(facts->kind), facts->rank);
}

static const char *given(const dt_arguments *args, const char *option)
{
    return option && dt_arguments_has(args, option) ? option : NULL;
}

/* Of the processes that a launcher started, is this one to do the command? What is one process's work is the first
 * one's; the others end at once, and as a success, at which no launcher ends the first but a srun --wait that is too
 * short. They never meet. What explains itself does so anywhere. */
static dt_status find_part(const dt_arguments *args, bool *takes_part)
{
    const dt_command *command = args->command;
    const char *prints = given(args, "--print-config"), *other = given(args, command->but_with);
    bool every = !prints && command->every != (other != NULL);
    dt_launch_facts facts;
    *takes_part = true;
    if (every || command == &dt_command_help || explains(args)) return DT_OK;
    DT_TRY(dt_launch_read_rank(&facts));
    *takes_part = facts.rank == 0 || facts.size == 1;
    if (!*takes_part) tell_left(command, prints ? prints : other, &facts);
    return DT_OK;
}

static dt_status parse_and_run(const dt_command *command, int count, char *const *words)
{
    dt_arguments args;
    bool takes_part;
    DT_TRY(dt_arguments_parse(command, count, words, &args));
    dt_status status = find_part(&args, &takes_part);
    if (!status && takes_part) status = run(&args);
    dt_arguments_free(&args);
    return status;
}

bool dt_command_reader_left(void)
{
    struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};
    return poll(&out, 1, 0) == 1 && (out.revents & POLLERR);
}

static dt_status finish_output(void)
{
    bool written = fflush(stdout) == 0 && !ferror(stdout);
    if (written || dt_command_reader_left()) return DT_OK;
    return dt_fail(DT_ERR_IO, "cannot write the result to standard output");
}

int dt_command_main(int count, char *const *words)
{
    const dt_command *command = count ? dt_command_find(words[0]) : &dt_command_train;
    if (command && count) count--, words++;
    if (!command && (strcmp(words[0], "--help") == 0 || strcmp(words[0], "-h") == 0))
        command = &dt_command_help, count--, words++;
    if (!command) command = &dt_command_train;
    dt_status status = parse_and_run(command, count, words);
    if (!status) status = finish_output();
    if (status) fprintf(stderr, "dyttrain: %s\n", dt_error_message());
    return dt_command_exit_code(status);
}
