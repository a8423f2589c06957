/* Where a setting was written, and errors that say so. */
#ifndef DT_CONFIG_PLACE_H
#define DT_CONFIG_PLACE_H

#include "base/status.h"

typedef struct dt_place {
    const char *source; /* a file's name; or all of the place: "command line: optim.lr=3" */
    int line, column;   /* from 1; 0: `source` says it all */
} dt_place;

/* DT_ERR_USAGE with "file:line:column: path: " or "command line: word: " before the message; `path` may be NULL. */
DT_MUST_USE DT_PRINTF(3, 4) dt_status dt_place_fail(dt_place, const char *path, const char *format, ...);

enum { DT_QUOTE_ROOM = 80 };
/* `text` as messages quote it: cut when long, on one line. Returns `out`. */
char *dt_place_quote(char out[DT_QUOTE_ROOM], const char *text);

#endif
