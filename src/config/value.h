/* One typed value of a row: read from YAML with all checks, printed as YAML. */
#ifndef DT_CONFIG_VALUE_H
#define DT_CONFIG_VALUE_H

#include "config/settings.h"
#include "config/yaml.h"

enum { DT_VALUE_REALS = 16, DT_VALUE_TEXT_BYTES = 4095 }; /* the longest list; the longest text, as a path may be */

typedef enum dt_value_origin { DT_FROM_NOWHERE, DT_FROM_DEFAULT, DT_FROM_USER, DT_FROM_DERIVING } dt_value_origin;

typedef struct dt_value {
    dt_value_origin origin;
    dt_place place; /* of what the user wrote */
    union {
        bool truth;
        int64_t integer;
        double real;
        const char *text;
        int choice;
        struct {
            double *items;
            size_t count;
        } list;
    };
} dt_value;

/* Is it `null`: as if never given? */
bool dt_value_is_null(const dt_yaml *);
/* Reads `node` as the row's type and checks range and choices; `path` is for messages. Lists live in the arena, texts
 * in the node. Sets neither origin nor place. */
DT_MUST_USE dt_status dt_value_read(const dt_setting_row *, const char *path, const dt_yaml *node, dt_arena *,
                                    dt_value *out);
/* YAML that reads as the same value. */
void dt_value_print(const dt_setting_row *, const dt_value *, dt_text *out);
/* "at least 0", "from 0 to 1", ...; "" without limits. */
void dt_value_print_range(const dt_setting_row *, dt_text *out);

#endif
