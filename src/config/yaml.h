/* YAML text as a tree whose nodes know their places. On purpose a part of YAML: one document of maps, lists and
 * scalars. Anchors, aliases, tags, control characters and keys that are no words are errors, and so are more than
 * 1 MiB, 16 levels or 10,000 values. */
#ifndef DT_CONFIG_YAML_H
#define DT_CONFIG_YAML_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "config/place.h"

enum { DT_YAML_BYTES = 1 << 20, DT_YAML_DEPTH = 16, DT_YAML_NODES = 10000, DT_YAML_KEY_BYTES = 100 };

typedef enum dt_yaml_kind { DT_YAML_SCALAR, DT_YAML_MAP, DT_YAML_LIST } dt_yaml_kind;

typedef struct dt_yaml {
    dt_yaml_kind kind;
    dt_place place;
    const char *text; /* of a scalar, as written but for quotes and escapes */
    bool plain;       /* the scalar had no quotes */
    const char *key;  /* of a member of a map; no two members share one */
    dt_place key_place;
    struct dt_yaml *first, *next; /* the members of a map or list, in order */
} dt_yaml;

/* The tree lives in the arena. With `numbered` false places have no lines: `source` is the whole place. */
DT_MUST_USE dt_status dt_yaml_parse(dt_arena *, const char *bytes, size_t size, const char *source, bool numbered,
                                    dt_yaml **out);
/* Is every byte part of a UTF-8 character that YAML allows, and no line indented with tabs? */
DT_MUST_USE dt_status dt_yaml_check_bytes(const char *bytes, size_t size, const char *source, bool numbered);
/* Is the text free of characters that YAML allows as escapes only: a bell, a terminal's escape? */
bool dt_yaml_is_clean(const char *text);
enum { DT_YAML_DESCRIBE_ROOM = DT_QUOTE_ROOM + 2 };
/* "a map", "a list", "'text'" for messages; returns `out`. */
char *dt_yaml_describe(const dt_yaml *, char out[DT_YAML_DESCRIBE_ROOM]);

#endif
