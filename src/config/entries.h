/* What is inside dt_settings: the joined rows with their values. For this room's files only. */
#ifndef DT_CONFIG_ENTRIES_H
#define DT_CONFIG_ENTRIES_H

#include "config/value.h"

typedef struct dt_named_value {
    const char *name;
    int level; /* of the source that gave it */
    dt_value value;
    bool read;
    struct dt_named_value *next;
} dt_named_value;

typedef struct dt_entry {
    const dt_setting_row *row;
    struct dt_entry *twin;  /* the other one of a pair; NULL: none */
    dt_value own;           /* the row's value; of a named row the value of all names not listed */
    int level;              /* of the source that gave it */
    dt_named_value *names;  /* given under a named row, in the order given */
    dt_value usual;         /* the row's default */
    bool read;              /* somebody asked for its own value */
} dt_entry;

struct dt_settings {
    dt_arena *arena; /* all trees, names and lists */
    dt_entry *entries;
    size_t count;
};

/* The entry of a path, NULL if no row has it. */
dt_entry *dt_entry_find(const dt_settings *, const char *path);
/* Do rows begin with "path."? */
bool dt_entry_is_section(const dt_settings *, const char *path);
/* Did the user give the value or one under a name? */
bool dt_entry_is_set(const dt_entry *);
/* The first place where the user set it. */
dt_place dt_entry_place(const dt_entry *);
/* DT_ERR_USAGE at `place`: nothing is called `path`, and what was perhaps meant. */
DT_MUST_USE dt_status dt_entry_fail_unknown(const dt_settings *, dt_place place, const char *path);

DT_MUST_USE dt_status dt_entry_set_default(const dt_settings *, dt_entry *);
/* A source of a higher level replaces what sources of lower levels said. */
DT_MUST_USE dt_status dt_entries_apply_tree(const dt_settings *, int level, const dt_yaml *root);
DT_MUST_USE dt_status dt_entries_apply_word(const dt_settings *, int level, const char *word);

#endif
