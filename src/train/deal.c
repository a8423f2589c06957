/* Largest first, to whoever has least (Graham, 1969). */
#include "train/deal.h"

#include <stdlib.h>

typedef struct piece {
    int64_t bytes;
    int index;
} piece;

/* Of equal size, the earlier one first. */
static int larger_first(const void *a, const void *b)
{
    const piece *x = a, *y = b;
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? 1 : -1;
    return (x->index > y->index) - (x->index < y->index);
}

static int least_loaded(const int64_t *load, int ranks)
{
    int least = 0;
    for (int rank = 1; rank < ranks; rank++)
        if (load[rank] < load[least]) least = rank;
    return least;
}

/* The sizes may come from a file and be absurd. */
static int64_t sum(int64_t load, int64_t bytes)
{
    if (bytes <= 0) return load;
    return bytes > INT64_MAX - load ? INT64_MAX : load + bytes;
}

dt_status dt_deal(const int64_t *bytes, int count, int ranks, int *rank_of)
{
    piece *pieces = calloc((size_t)count + 1, sizeof *pieces);
    int64_t *load = calloc((size_t)ranks, sizeof *load);
    dt_status status = DT_OK;
    if (!pieces || !load) status = dt_fail_memory((size_t)count * sizeof *pieces, "dealing work to ranks");
    for (int i = 0; i < count && !status; i++) pieces[i] = (piece){bytes[i], i};
    if (!status) qsort(pieces, (size_t)count, sizeof *pieces, larger_first);
    for (int i = 0; i < count && !status; i++) {
        int rank = least_loaded(load, ranks);
        rank_of[pieces[i].index] = rank;
        load[rank] = sum(load[rank], pieces[i].bytes);
    }
    free(load);
    free(pieces);
    return status;
}
