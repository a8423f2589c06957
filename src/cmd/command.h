/* Commands: one file of this folder each, one row of dt_commands (commands.c). A command parses no words itself: its
 * row says which options and how many words it takes, and `run` receives them checked. It prints its result to
 * standard output; messages go to a log on standard error. */
#ifndef DT_CMD_COMMAND_H
#define DT_CMD_COMMAND_H

#include "cmd/arguments.h"

struct dt_command {
    const char *name;
    const char *usage;        /* what follows `dyttrain`: "plan CONFIG.yaml [path=value ...]" */
    const char *summary;      /* one line */
    const char *help;         /* more lines for `--help`, NULL: none */
    const dt_option *options; /* beside those that every command takes; ended by a row without a name. NULL: none */
    bool settings;            /* takes path=value words, --device and --print-config */
    int least_words, most_words;
    bool every;           /* every rank has a part in it, but for --print-config; false: it is one process's work, */
    const char *but_with; /* and with this option it is the other way round. NULL: with none */
    dt_status (*run)(const dt_arguments *);
};

extern const dt_command dt_command_train, dt_command_eval, dt_command_plan, dt_command_bench, dt_command_export,
    dt_command_import, dt_command_inspect, dt_command_doctor, dt_command_help, dt_command_prepare,
    dt_command_generate;

extern const dt_command *const dt_commands[];
extern const int dt_command_count;

/* NULL when there is none of that name. */
const dt_command *dt_command_find(const char *name);
/* Runs the program's words (without its own name) and returns its exit code: 0 done, 1 failed, 2 wrong use, 3 stopped
 * by a signal after saving. A failure's message goes to standard error. */
int dt_command_main(int count, char *const *words);
int dt_command_exit_code(dt_status);
/* Has the reader of standard output, a pipe, closed it, having seen enough (`| head`)? Then not to write to it is no
 * failure. */
bool dt_command_reader_left(void);
/* The text of `dyttrain COMMAND --help`. */
void dt_command_print_help(const dt_command *);

#endif
