/* The words of a command line: options, path=value settings and the rest, checked against what a command takes. */
#ifndef DT_CMD_ARGUMENTS_H
#define DT_CMD_ARGUMENTS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/log.h"

typedef struct dt_option {
    const char *name;  /* "--resume" */
    const char *value; /* what follows it, for the help: "FILE"; NULL: nothing */
    const char *help;
    const char *const *choices; /* ended by NULL; the value is one of these, and the first when it is left out */
    bool needs_value;           /* with choices: it cannot be left out */
    const char *setting;        /* whose value the option gives: "--device X" stands for "device=X"; NULL: none */
} dt_option;

typedef struct dt_command dt_command;

enum { DT_MAX_OPTIONS = 24 };

typedef struct dt_given_option {
    const char *name, *value; /* value "" where the option takes none */
} dt_given_option;

typedef struct dt_arguments {
    const dt_command *command;
    const char **words; /* what is neither an option nor a setting */
    int word_count;
    const char **settings; /* path=value, those that options stand for too */
    size_t setting_count;
    dt_given_option options[DT_MAX_OPTIONS];
    int option_count;
    const dt_option *left_out; /* an option without the value that it may have, */
    const char *behind;        /* and the word behind it, which is none */
    dt_arena *arena; /* what the arrays lie in */
} dt_arguments;

/* Every command takes these; the second list is for commands with settings. Ended by a row without a name. */
extern const dt_option dt_common_options[], dt_settings_options[];

/* `--name value` and `--name=value` are the same; behind `--` all words are plain. The words are borrowed. With --help
 * or --version among them the number of plain words is not checked. DT_ERR_USAGE names the nearest option. */
DT_MUST_USE dt_status dt_arguments_parse(const dt_command *, int count, char *const *words, dt_arguments *out);
void dt_arguments_free(dt_arguments *);
/* The option's value, "" where it takes none; NULL when it was not given. */
const char *dt_arguments_value(const dt_arguments *, const char *option);
bool dt_arguments_has(const dt_arguments *, const char *option);
/* The option's number from `least` to `most`, or its whole number from 1 to `most`; *value stays where it was not
 * given. */
DT_MUST_USE dt_status dt_arguments_number(const dt_arguments *, const char *option, double least, double most,
                                          double *value);
DT_MUST_USE dt_status dt_arguments_whole(const dt_arguments *, const char *option, double most, double *value);
/* The log of a command: to standard error, from the level of --log-level on (default info). */
DT_MUST_USE dt_status dt_arguments_log(const dt_arguments *, dt_log **out);

#endif
