/* What attention's mask leaves of a tile of queries and keys. Ends and begins of what successive queries see never go
 * back (kernels.h), so that a key is seen by successive queries too. */
#ifndef DT_KERNELS_CPU_ATTENTION_MASK_H
#define DT_KERNELS_CPU_ATTENTION_MASK_H

#include "kernels/cpu/attention_layout.h"
#include "kernels/kernels.h"

/* Where the documents of a sample's tokens begin; NULL: there is one document. */
static inline const int32_t *dt_attention_starts(const dt_attention_args *p, int64_t sample)
{
    return p->documents ? p->starts + sample * p->tokens : NULL;
}

/* The first key that query `query` sees. */
static inline int64_t dt_first_key(const int32_t *starts, int64_t query)
{
    return starts ? dt_max(0, dt_min(starts[query], query)) : 0;
}

/* Of `keys` keys from number `begin` on those that each of `queries` queries from number `first` on sees. Returns
 * whether some do not see all. */
static inline bool dt_find_seen(const dt_attention_args *p, const int32_t *starts, int64_t first, int64_t queries,
                                int64_t begin, int64_t keys, dt_row_span *seen)
{
    bool masked = false;
    for (int64_t i = 0; i < queries; i++) {
        int64_t end = p->causal ? dt_max(0, dt_min(keys, first + i + 1 - begin)) : keys;
        seen[i] = (dt_row_span){dt_max(0, dt_min(end, dt_first_key(starts, first + i) - begin)), end};
        masked |= seen[i].begin > 0 || end < keys;
    }
    return masked;
}

/* The same by keys: the queries that see each of them. */
static inline void dt_turn_seen(const dt_row_span *seen, int64_t queries, int64_t keys, dt_row_span *seen_by)
{
    int64_t begin = 0, end = 0;
    for (int64_t j = 0; j < keys; j++) {
        while (begin < queries && seen[begin].end <= j) begin++;
        while (end < queries && seen[end].begin <= j) end++;
        seen_by[j] = (dt_row_span){begin, dt_max(begin, end)};
    }
}

#endif
