/* Folds the numbers in a scope. */
#include "cmd/place.h"

#include <ctype.h>
#include <stddef.h>

const char *dt_place_fold(const char *scope, char out[DT_PLACE_ROOM])
{
    size_t used = 0;
    for (const char *c = scope; *c && used < DT_PLACE_ROOM - 1; c++) {
        if (!isdigit((unsigned char)*c)) out[used++] = *c;
        else if (c == scope || c[-1] == '.') out[used++] = '*'; /* but "norm1" keeps its number */
        else if (!isdigit((unsigned char)c[-1]) || out[used - 1] != '*') out[used++] = *c;
    }
    out[used] = '\0';
    return out;
}
