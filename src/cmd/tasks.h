/* eval --tasks: a language model's accuracy on files of multiple-choice questions. */
#ifndef DT_CMD_TASKS_H
#define DT_CMD_TASKS_H

#include "cmd/arguments.h"

/* Scores the files behind the first word with the model that it names, and prints a table or one JSON object. */
DT_MUST_USE dt_status dt_tasks_run(const dt_arguments *);

#endif
