/* Settings: what the user asked for, typed and checked against the one table of rows.
 *
 * Every room and registry entry declares its own rows as a constant array; `cmd/` joins them into the table. A value
 * comes from, later winning: the row's default, the `base:` file, the config file, `path=value` on the command line.
 * `base:` at the top of a file is a path relative to that file; bases may have bases. The value `null` takes back what
 * earlier sources gave: the row's default counts again. On the command line texts need no quotes and lists are written
 * [0.9, 0.999].
 *
 * Under a named row (norm.alpha0) names have values of their own. A value for the whole row is for all names: it
 * replaces what earlier sources gave to names, while names given by the same source stand beside it. So
 * `norm.kind=dyt` on the command line changes every site, and with `norm.alpha0=0.5 norm.alpha0.attention=0.8`, in
 * either order, all sites but one have 0.5.
 *
 * Two rows that say the same in two units (train.steps, train.epochs) are a pair: one of them `replaces` the other.
 * Where a source gives one, what earlier sources or the default gave for the other no longer counts, whichever of the
 * two it is; a source that gives both is refused.
 *
 * Reading a path that no row declares, or a value that is not there, is a broken invariant (assert). Reading marks a
 * value as read, each name of a named row on its own; what the user set and nobody read is listed as inactive
 * (dt_settings_inactive). One thread at a time reads. */
#ifndef DT_CONFIG_SETTINGS_H
#define DT_CONFIG_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/text.h"

typedef enum dt_setting_type {
    DT_SETTING_BOOL,
    DT_SETTING_INT,
    DT_SETTING_REAL,
    DT_SETTING_TEXT,
    DT_SETTING_CHOICE, /* one of `choices` */
    DT_SETTING_REALS   /* a list of up to 16 reals */
} dt_setting_type;

typedef struct dt_setting_row {
    const char *path; /* "optim.lr" */
    dt_setting_type type;
    const char *value;          /* the default as YAML text; NULL: none (absent until set or derived) */
    double min, max;            /* both 0: no limit; -INFINITY or INFINITY: none on that side. For numbers, and for each
                                   number of a list */
    const char *const *choices; /* NULL-terminated, for DT_SETTING_CHOICE */
    bool named;                 /* also a map from names to values, e.g. norm.alpha0: {attention: 0.8, ffn: 0.2} and
                                   norm.alpha0.attention=0.8; key `default` in the map is the value of the rest. For
                                   bools, reals and choices */
    bool name;                  /* a text that names one file or folder: no '/', not . or .., no control characters */
    const char *replaces;       /* the path of the other row of a pair; NULL: none. One of the two names the other */
    const char *help;           /* one line, what it means and its unit */
} dt_setting_row;

typedef struct dt_setting_table { /* rows of one room or entry */
    const dt_setting_row *rows;
    size_t count;
} dt_setting_table;

typedef struct dt_settings dt_settings;

/* `overrides` are `path=value` words. DT_ERR_USAGE (or DT_ERR_MEMORY) with the message "file:line:column: path: fact"
 * or "command line: path=value: fact", and the nearest known key where one is unknown. `path` may be NULL: defaults
 * and overrides only. The rows must outlive the settings. */
DT_MUST_USE dt_status dt_settings_load(const char *path, const char *const *overrides, size_t override_count,
                                       const dt_setting_table *tables, size_t table_count, dt_settings **out);
/* The same from memory: `name` stands for the file in messages; `base:` is resolved relative to the working folder. */
DT_MUST_USE dt_status dt_settings_parse(const char *yaml, size_t size, const char *name, const char *const *overrides,
                                        size_t override_count, const dt_setting_table *tables, size_t table_count,
                                        dt_settings **out);
void dt_settings_free(dt_settings *);

bool dt_setting_bool(const dt_settings *, const char *path);
int64_t dt_setting_int(const dt_settings *, const char *path);
double dt_setting_real(const dt_settings *, const char *path);
const char *dt_setting_text(const dt_settings *, const char *path); /* texts and choices */
int dt_setting_choice(const dt_settings *, const char *path);       /* index into the row's choices */
/* Copies up to `room` numbers; returns how many the list has. */
size_t dt_setting_reals(const dt_settings *, const char *path, double *out, size_t room);
/* Named rows: the value for `name`, falling back to the row's own value. */
double dt_setting_real_for(const dt_settings *, const char *path, const char *name);
int dt_setting_choice_for(const dt_settings *, const char *path, const char *name);
bool dt_setting_bool_for(const dt_settings *, const char *path, const char *name);
/* What was read made no difference after all: it counts as not read. */
void dt_setting_unread(const dt_settings *, const char *path);
/* Are the names given under a named row all among `names`? Otherwise an error naming the nearest. */
DT_MUST_USE dt_status dt_setting_check_names(const dt_settings *, const char *path, const char *const *names,
                                             size_t count);

/* Does the row have a value of its own (default, set or derived)? Asking does not count as reading. */
bool dt_setting_has(const dt_settings *, const char *path);
/* Has the row its default, whoever gave it? No for a path that no row declares. Does not count as reading either. */
bool dt_setting_is_default(const dt_settings *, const char *path);
/* Gives a row without a value one that follows from others (model.width from model.size), for the resolved config; a
 * value that is there stays. The checks of the row apply. */
DT_MUST_USE dt_status dt_setting_derive_int(dt_settings *, const char *path, int64_t value);
DT_MUST_USE dt_status dt_setting_derive_text(dt_settings *, const char *path, const char *value);
/* DT_ERR_USAGE with "file:line:column: path: " (or "path (default): ") before the message. */
DT_MUST_USE DT_PRINTF(3, 4) dt_status dt_setting_fail(const dt_settings *, const char *path, const char *format, ...);

/* The resolved settings as YAML that loads to the same settings (every row that has a value, no `base:`). */
void dt_settings_print(const dt_settings *, dt_text *out);
typedef struct dt_inactive_options {
    const char *const *sections; /* only these, "model" say, ended by NULL; NULL: all */
    bool words_only;             /* only what is from the command line */
} dt_inactive_options;
/* What the user set and nothing has read, one a line ("file:line:column: path", "command line: path=value"); returns
 * how many. Where a file repeats a row's default, that is not listed: resolved settings have all defaults. */
size_t dt_settings_inactive(const dt_settings *, const dt_inactive_options *, dt_text *out);
/* All rows grouped by section: path, type, range, default, help. For --help. */
void dt_settings_help(const dt_setting_table *tables, size_t table_count, dt_text *out);

#endif
