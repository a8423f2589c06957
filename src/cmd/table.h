/* The one table of settings: the rows of all rooms joined. */
#ifndef DT_CMD_TABLE_H
#define DT_CMD_TABLE_H

#include "cmd/arguments.h"
#include "config/settings.h"

/* The settings of a config file (NULL: defaults alone) under the command line's path=value words. */
DT_MUST_USE dt_status dt_table_load(const dt_arguments *, const char *config, dt_settings **out);
/* The same from YAML in memory, as a checkpoint keeps it; `name` stands for it in messages. */
DT_MUST_USE dt_status dt_table_parse(const dt_arguments *, const char *yaml, const char *name, dt_settings **out);
/* The same settings under other path=value words. */
DT_MUST_USE dt_status dt_table_vary(const dt_settings *, const char *const *words, size_t count, dt_settings **out);
/* All rows for people, grouped by section. */
DT_MUST_USE dt_status dt_table_print_help(void);
/* Derives what follows from other settings, as a run would. */
DT_MUST_USE dt_status dt_table_resolve(dt_settings *, dt_log *);
/* Prints all of them as YAML. */
DT_MUST_USE dt_status dt_table_print(const dt_settings *);
/* Both. */
DT_MUST_USE dt_status dt_table_print_config(dt_settings *, dt_log *);

#endif
