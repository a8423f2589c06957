/* A hub where each rank leaves its addresses, between two barriers. */
#include "support/thread_ranks.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "comm/backend.h"

enum { MOST_RANKS = 16 };

typedef struct hub {
    int ranks;
    pthread_barrier_t barrier;
    const void *from[MOST_RANKS];
} hub;

typedef struct rank_context {
    hub *hub;
    int rank;
} rank_context;

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

static void close_rank(void *context) { free(context); }

static const dt_comm_backend threads = {.all_reduce = all_reduce,
                                        .reduce_scatter = reduce_scatter,
                                        .all_gather = all_gather,
                                        .broadcast = broadcast,
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
    if (c) *c = (rank_context){j->hub, j->rank};
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
