/* The counting sort of a batch's tokens. */
#include "data/token_order.h"

#include <string.h>

void dt_token_order(const int32_t *tokens, int64_t count, int64_t vocabulary, int32_t *places, int32_t *order)
{
    memset(places, 0, ((size_t)vocabulary + 1) * sizeof *places);
    for (int64_t i = 0; i < count; i++) places[tokens[i] + 1]++;
    for (int64_t v = 0; v < vocabulary; v++) places[v + 1] += places[v];
    for (int64_t i = 0; i < count; i++) order[places[tokens[i]]++] = (int32_t)i;
}
