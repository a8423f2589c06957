/* Collectives on the CPU's memory, over the exchanges of the MPI plug-in. MPI's own collectives choose the order of
 * their additions by size and topology; these add in the order of ranks, always.
 *
 *   reduce-scatter   a rank is sent every other's part of its piece, and adds them up: (size - 1) / size of the data
 *                    leaves and arrives, as in the best known methods. In chunks, so that what arrives fits into a
 *                    buffer of a fixed size.
 *   all-gather       every rank sends its piece to every other.
 *   all-reduce       a reduce-scatter and an all-gather; little data is sent to everybody and added up there, which
 *                    gives the same bits in one exchange. */
#include <stdlib.h>
#include <string.h>

#include "comm/backend.h"
#include "comm/mpi.h"
#include "comm/rank_sum.h"

enum { CHUNK_BYTES = 256 << 10, LITTLE_BYTES = 8 << 10, WHY_ROOM = 512 };

typedef struct mpi_comm {
    const dt_mpi_calls *mpi;
    dt_mpi_group *group;
    int rank, size;
    dt_mpi_part *parts; /* [2 * size] of the next exchange */
    int part_count;
    const void **terms; /* [size] of a sum */
    char *arrived;      /* [size][CHUNK_BYTES] */
} mpi_comm;

/* An array that is cut into a piece for each rank: `each` elements, and what is left of `total` for the last ones. */
typedef struct cut {
    size_t element; /* bytes */
    int64_t each, total;
} cut;

static int64_t at_most(int64_t a, int64_t b) { return a < b ? a : b; }

/* Of the piece of `rank`, the elements from `from` on, up to `most` of them. */
static int64_t length_of(const cut *of, int rank, int64_t from, int64_t most)
{
    int64_t left = at_most(of->each, of->total - rank * of->each) - from;
    return left < 0 ? 0 : at_most(left, most);
}

static char *place_of(const cut *of, const void *data, int rank, int64_t from)
{
    return (char *)data + (size_t)(rank * of->each + from) * of->element;
}

/* --- exchanges --- */

static void add_part(mpi_comm *c, int rank, int sent, const void *data, size_t bytes)
{
    c->parts[c->part_count++] = (dt_mpi_part){.rank = rank, .sent = sent, .data = (void *)data, .bytes = bytes};
}

static dt_status exchange(mpi_comm *c, const char *what)
{
    char why[WHY_ROOM];
    int failed = c->mpi->exchange(c->group, c->parts, c->part_count, why, sizeof why);
    c->part_count = 0;
    return failed ? dt_mpi_fail(what, why) : DT_OK;
}

/* What the ranks have of a piece: this one's is `own`, the others' has arrived. */
static void add_up(mpi_comm *c, dt_dtype type, int64_t count, const void *own, void *out)
{
    for (int r = 0; r < c->size; r++) c->terms[r] = r == c->rank ? own : c->arrived + (size_t)r * CHUNK_BYTES;
    dt_rank_sum(type, c->size, c->terms, count, out);
}

/* --- collectives --- */

static dt_status reduce_pieces(mpi_comm *c, dt_dtype type, const cut *of, const void *data, void *out)
{
    const int64_t chunk = CHUNK_BYTES / (int64_t)of->element;
    for (int64_t from = 0; from < of->each; from += chunk) {
        int64_t own = length_of(of, c->rank, from, chunk);
        for (int r = 0; r < c->size; r++) {
            if (r == c->rank) continue;
            add_part(c, r, 1, place_of(of, data, r, from), (size_t)length_of(of, r, from, chunk) * of->element);
            add_part(c, r, 0, c->arrived + (size_t)r * CHUNK_BYTES, (size_t)own * of->element);
        }
        DT_TRY(exchange(c, "add up over ranks"));
        add_up(c, type, own, place_of(of, data, c->rank, from), (char *)out + (size_t)from * of->element);
    }
    return DT_OK;
}

/* Every rank's piece lies in its place in `data`. */
static dt_status gather_pieces(mpi_comm *c, const cut *of, void *data)
{
    size_t own = (size_t)length_of(of, c->rank, 0, of->each) * of->element;
    for (int r = 0; r < c->size; r++) {
        if (r == c->rank) continue;
        add_part(c, r, 1, place_of(of, data, c->rank, 0), own);
        add_part(c, r, 0, place_of(of, data, r, 0), (size_t)length_of(of, r, 0, of->each) * of->element);
    }
    return exchange(c, "gather from ranks");
}

static dt_status reduce_little(mpi_comm *c, dt_dtype type, int64_t count, void *data)
{
    size_t bytes = (size_t)count * dt_dtype_size(type);
    for (int r = 0; r < c->size; r++) {
        if (r == c->rank) continue;
        add_part(c, r, 1, data, bytes);
        add_part(c, r, 0, c->arrived + (size_t)r * CHUNK_BYTES, bytes);
    }
    DT_TRY(exchange(c, "add up over ranks"));
    add_up(c, type, count, data, data);
    return DT_OK;
}

static dt_status mpi_all_reduce(void *context, dt_stream stream, dt_dtype type, int64_t count, void *data)
{
    mpi_comm *c = context;
    const cut of = {dt_dtype_size(type), (count + c->size - 1) / c->size, count};
    if ((size_t)count * of.element <= LITTLE_BYTES) return reduce_little(c, type, count, data);
    DT_TRY(reduce_pieces(c, type, &of, data, place_of(&of, data, c->rank, 0)));
    return gather_pieces(c, &of, data);
}

static dt_status mpi_reduce_scatter(void *context, dt_stream stream, dt_dtype type, int64_t count, const void *data,
                                    void *out)
{
    mpi_comm *c = context;
    const cut of = {dt_dtype_size(type), count, count * c->size};
    return reduce_pieces(c, type, &of, data, out);
}

static dt_status mpi_all_gather(void *context, dt_stream stream, dt_dtype type, int64_t count, const void *data,
                                void *out)
{
    mpi_comm *c = context;
    const cut of = {dt_dtype_size(type), count, count * c->size};
    char *own = place_of(&of, out, c->rank, 0);
    if (count && own != data) memcpy(own, data, (size_t)count * of.element);
    return gather_pieces(c, &of, out);
}

static dt_status mpi_broadcast(void *context, dt_stream stream, dt_dtype type, int64_t count, void *data, int root)
{
    mpi_comm *c = context;
    size_t bytes = (size_t)count * dt_dtype_size(type);
    if (c->rank != root) add_part(c, root, 0, data, bytes);
    for (int r = 0; c->rank == root && r < c->size; r++)
        if (r != root) add_part(c, r, 1, data, bytes);
    return exchange(c, "broadcast to ranks");
}

static dt_status mpi_swap(void *context, dt_stream stream, dt_dtype type, int64_t count, const void *data, void *out,
                          int peer)
{
    mpi_comm *c = context;
    size_t bytes = (size_t)count * dt_dtype_size(type);
    add_part(c, peer, 1, data, bytes);
    add_part(c, peer, 0, out, bytes);
    return exchange(c, "swap with a rank");
}

/* --- making and freeing --- */

static void mpi_close(void *context)
{
    mpi_comm *c = context;
    if (c->group) c->mpi->free(c->group);
    free(c->parts);
    free(c->terms);
    free(c->arrived);
    free(c);
}

static dt_status make_room(mpi_comm *c)
{
    size_t size = (size_t)c->size;
    c->parts = malloc(2 * size * sizeof *c->parts);
    c->terms = malloc(size * sizeof *c->terms);
    c->arrived = malloc(size * CHUNK_BYTES);
    return c->parts && c->terms && c->arrived ? DT_OK : dt_fail_memory(size * CHUNK_BYTES, "messages of other ranks");
}

/* A group of the ranks of `parent` (NULL: the world) that have this colour. */
static dt_status open_group(const dt_mpi_calls *mpi, dt_mpi_group *parent, int colour, mpi_comm **out)
{
    char why[WHY_ROOM];
    mpi_comm *c = calloc(1, sizeof *c);
    if (!c) return dt_fail_memory(sizeof *c, "a communicator");
    c->mpi = mpi;
    dt_status status;
    if (mpi->split(parent, colour, &c->group, &c->rank, &c->size, why, sizeof why)) {
        status = dt_mpi_fail("make a group of ranks", why);
        goto failed;
    }
    DT_TRY_GOTO(make_room(c), failed);
    *out = c;
    return DT_OK;
failed:
    mpi_close(c);
    return status;
}

static dt_status mpi_split(void *context, int colour, void **out, int *rank, int *size)
{
    const mpi_comm *from = context;
    mpi_comm *c;
    DT_TRY(open_group(from->mpi, from->group, colour, &c));
    *rank = c->rank;
    *size = c->size;
    *out = c;
    return DT_OK;
}

static const dt_comm_backend backend = {.all_reduce = mpi_all_reduce,
                                        .reduce_scatter = mpi_reduce_scatter,
                                        .all_gather = mpi_all_gather,
                                        .broadcast = mpi_broadcast,
                                        .swap = mpi_swap,
                                        .split = mpi_split,
                                        .close = mpi_close};

dt_status dt_comm_create_mpi(const dt_mpi_calls *mpi, dt_comm **out)
{
    mpi_comm *c;
    DT_TRY(open_group(mpi, NULL, 0, &c));
    dt_status status = dt_comm_create(&backend, c, c->rank, c->size, out);
    if (status) mpi_close(c);
    return status;
}
