/* A hub where each rank leaves its addresses, between two barriers. */
#include "support/thread_ranks.h"

#include <assert.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "comm/backend.h"

enum { MOST_RANKS = 16 };

typedef struct hub {
    int ranks;
    bool split; /* off another */
    pthread_barrier_t barrier;
    const void *from[MOST_RANKS];
} hub;

typedef struct rank_context {
    hub *hub;
    int rank;
    bool owner; /* of the hub: the first rank of a group that was split off */
} rank_context;

static hub *make_hub(int ranks)
{
    hub *h = calloc(1, sizeof *h);
    assert(h);
    h->ranks = ranks;
    h->split = true;
    pthread_barrier_init(&h->barrier, NULL, (unsigned)ranks);
    return h;
}

/* pthread_barrier_destroy waits for those who are on their way out of it. */
static void free_hub(hub *h)
{
    pthread_barrier_destroy(&h->barrier);
    free(h);
}

static void meet(rank_context *c) { pthread_barrier_wait(&c->hub->barrier); }

/* All ranks' `data` are at hand from the first meeting on, until all have come to the second. */
static hub *show(rank_context *c, const void *data)
{
    c->hub->from[c->rank] = data;
    meet(c);
    return c->hub;
}

static void add(dt_dtype type, int64_t count, const void *x, void *y)
{
    for (int64_t i = 0; i < count; i++) {
        if (type == DT_F64) ((double *)y)[i] += ((const double *)x)[i];
        else if (type == DT_F32) ((float *)y)[i] += ((const float *)x)[i];
        else assert(!"a sum of this type");
    }
}

/* The sum of the elements from `first` on, into memory of its own. */
static void *sum(const hub *h, dt_dtype type, int64_t first, int64_t count)
{
    size_t size = dt_dtype_size(type), bytes = (size_t)count * size;
    char *out = malloc(bytes + 1);
    assert(out);
    memcpy(out, (const char *)h->from[0] + (size_t)first * size, bytes);
    for (int r = 1; r < h->ranks; r++) add(type, count, (const char *)h->from[r] + (size_t)first * size, out);
    return out;
}

static dt_status reduce(rank_context *c, dt_dtype type, int64_t first, int64_t count, const void *data, void *out)
{
    void *own = sum(show(c, data), type, first, count);
    meet(c);
    memcpy(out, own, (size_t)count * dt_dtype_size(type));
    free(own);
    return DT_OK;
}

static dt_status all_reduce(void *context, dt_stream stream, dt_dtype type, int64_t count, void *data)
{
    return reduce(context, type, 0, count, data, data);
}

static dt_status reduce_scatter(void *context, dt_stream stream, dt_dtype type, int64_t count, const void *data,
                                void *out)
{
    rank_context *c = context;
    return reduce(c, type, c->rank * count, count, data, out);
}

static dt_status all_gather(void *context, dt_stream stream, dt_dtype type, int64_t count, const void *data, void *out)
{
    rank_context *c = context;
    size_t bytes = (size_t)count * dt_dtype_size(type);
    const hub *h = show(c, data);
    for (int r = 0; r < h->ranks; r++)
        if (h->from[r] != (char *)out + (size_t)r * bytes) memcpy((char *)out + (size_t)r * bytes, h->from[r], bytes);
    meet(c);
    return DT_OK;
}

static dt_status broadcast(void *context, dt_stream stream, dt_dtype type, int64_t count, void *data, int root)
{
    rank_context *c = context;
    const hub *h = show(c, data);
    if (c->rank != root) memcpy(data, h->from[root], (size_t)count * dt_dtype_size(type));
    meet(c);
    return DT_OK;
}

/* The first of a colour makes the hub of all of it. */
static dt_status split(void *context, int colour, void **out, int *rank, int *size)
{
    rank_context *c = context, *made = calloc(1, sizeof *made);
    int colours[MOST_RANKS], first = -1;
    assert(made);
    const hub *h = show(c, &colour);
    *rank = *size = 0;
    for (int r = 0; r < h->ranks; r++) colours[r] = *(const int *)h->from[r];
    for (int r = 0; r < h->ranks; r++) {
        if (colours[r] != colour) continue;
        if (first < 0) first = r;
        if (r == c->rank) *rank = *size;
        ++*size;
    }
    meet(c);
    made->owner = first == c->rank;
    if (made->owner) made->hub = make_hub(*size);
    h = show(c, made->hub);
    made->hub = (hub *)h->from[first];
    made->rank = *rank;
    meet(c);
    *out = made;
    return DT_OK;
}

/* Nobody waits in the hub any more once all have met to leave it. */
static void close_rank(void *context)
{
    rank_context *c = context;
    if (c->hub->split) meet(c);
    if (c->owner) free_hub(c->hub);
    free(c);
}

static const dt_comm_backend threads = {.all_reduce = all_reduce,
                                        .reduce_scatter = reduce_scatter,
                                        .all_gather = all_gather,
                                        .broadcast = broadcast,
                                        .split = split,
                                        .close = close_rank};

typedef struct job {
    hub *hub;
    int rank;
    void (*work)(void *, dt_comm *);
    void *context;
} job;

static void *run(void *arg)
{
    const job *j = arg;
    rank_context *c = malloc(sizeof *c);
    dt_comm *comm;
    if (c) *c = (rank_context){.hub = j->hub, .rank = j->rank};
    if (!c || dt_comm_create(&threads, c, j->rank, j->hub->ranks, &comm)) abort();
    j->work(j->context, comm);
    dt_comm_free(comm);
    return NULL;
}

void thread_ranks_run(int ranks, void (*work)(void *, dt_comm *), void *context)
{
    hub h = {.ranks = ranks};
    pthread_t thread[MOST_RANKS];
    job jobs[MOST_RANKS];
    assert(ranks <= MOST_RANKS);
    pthread_barrier_init(&h.barrier, NULL, (unsigned)ranks);
    for (int r = 0; r < ranks; r++) {
        jobs[r] = (job){&h, r, work, context};
        if (pthread_create(&thread[r], NULL, run, &jobs[r])) abort();
    }
    for (int r = 0; r < ranks; r++) pthread_join(thread[r], NULL);
    pthread_barrier_destroy(&h.barrier);
}
