/* dyttrain --help: what there is. */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "cmd/command.h"
#include "cmd/table.h"

static void print_options(const dt_option *options)
{
    for (const dt_option *o = options; o && o->name; o++) {
        char left[48];
        bool may_lack = o->choices && !o->needs_value;
        const char *open = may_lack ? "[" : "", *close = may_lack ? "]" : "";
        snprintf(left, sizeof left, "%s%s%s%s%s", o->name, o->value ? " " : "", o->value ? open : "",
                 o->value ? o->value : "", o->value ? close : "");
        printf("  %-20s %s\n", left, o->help);
    }
}

void dt_command_print_help(const dt_command *command)
{
    printf("usage: dyttrain %s\n\n", command->usage);
    if (command->help) printf("%s\n\n", command->help);
    else printf("%s\n\n", command->summary);
    printf("options:\n");
    print_options(command->options);
    if (command->settings) print_options(dt_settings_options);
    print_options(dt_common_options);
}

static void print_overview(void)
{
    printf("dyttrain %s: trains networks whose normalization is a setting\n\n"
           "usage: dyttrain CONFIG.yaml [path=value ...]   train\n"
           "       dyttrain COMMAND ...\n\n"
           "commands:\n",
           DT_VERSION);
    for (int i = 0; i < dt_command_count; i++) printf("  %-10s %s\n", dt_commands[i]->name, dt_commands[i]->summary);
    printf("\noptions of every command:\n");
    print_options(dt_common_options);
    printf("\n'dyttrain COMMAND --help' says what a command takes, 'dyttrain --help settings' lists all settings.\n"
           "Exit codes: 0 done, 1 failed while running, 2 wrong use, 3 stopped by a signal after saving.\n");
}

static dt_status help(const dt_arguments *args)
{
    if (args->word_count == 0) {
        print_overview();
        return DT_OK;
    }
    const char *topic = args->words[0];
    if (strcmp(topic, "settings") == 0) return dt_table_print_help();
    const dt_command *command = dt_command_find(topic);
    if (!command)
        return dt_fail(DT_ERR_USAGE, "no help on '%s': topics are 'settings' and the commands of 'dyttrain --help'",
                       topic);
    dt_command_print_help(command);
    return DT_OK;
}

const dt_command dt_command_help = {
    .name = "help",
    .usage = "help [settings|COMMAND]",
    .summary = "say what there is: all settings, or what a command takes",
    .most_words = 1,
    .run = help,
};
