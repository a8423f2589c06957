/* The order in which an embedding's gradient adds up. */
#ifndef DT_DATA_TOKEN_ORDER_H
#define DT_DATA_TOKEN_ORDER_H

#include <stdint.h>

/* order[count] gets the positions of `tokens` sorted by (token, position); tokens are below `vocabulary`, and `places`
 * holds vocabulary + 1 numbers. A counting sort: count + vocabulary steps. */
void dt_token_order(const int32_t *tokens, int64_t count, int64_t vocabulary, int32_t *places, int32_t *order);

#endif
