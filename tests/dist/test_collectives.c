/* Every collective, over types and counts that fit no block, in place and not, twice for the same bits, and in groups
 * that were split off. What is expected is computed here, from what every rank is known to have given. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "ranks.h"

static const dt_dtype types[] = {DT_F32, DT_F64, DT_BF16, DT_I32, DT_I64};
enum { TYPES = sizeof types / sizeof types[0], UNTOUCHED = 0xAB };

typedef struct trial {
    ranks *of;
    dt_comm *comm;
    int rank, size;
    dt_dtype type;
    int64_t count;
} trial;

/* --- values --- */

/* Of a rank's array. Sums of floats depend on the order of addition, but where the back end has one of its own: these
 * are small whole numbers. */
static double value(const trial *t, int rank, int64_t i)
{
    uint64_t key[2] = {(uint64_t)rank, (uint64_t)i}, bits = dt_hash_bytes(key, sizeof key, 0);
    double small = (double)(bits % 9) - 4;
    if (t->of->any_order) return small;
    if (!dt_dtype_is_float(t->type)) return (double)(bits % 200000001) - 100000000;
    if (t->type == DT_BF16) return ldexp(small, (int)(bits >> 8 & 7));
    return ldexp((double)(bits % 8001) - 4000, (int)(bits >> 20 & 15));
}

static float to_bf16(float x) /* finite values */
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    bits = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static void put(dt_dtype type, char *array, int64_t i, double x)
{
    char *to = array + (size_t)i * dt_dtype_size(type);
    float narrow = type == DT_BF16 ? to_bf16((float)x) : (float)x;
    int32_t whole = (int32_t)x;
    int64_t wide = (int64_t)x;
    switch (type) {
    case DT_F32: memcpy(to, &narrow, 4); return;
    case DT_F64: memcpy(to, &x, 8); return;
    case DT_BF16: memcpy(to, (char *)&narrow + 2, 2); return;
    case DT_I32: memcpy(to, &whole, 4); return;
    default: memcpy(to, &wide, 8);
    }
}

/* In the order of ranks, in the type: float32 for bf16. A sum of two floats is the same through double. */
static double sum(const trial *t, int64_t i)
{
    double total = value(t, 0, i);
    for (int r = 1; r < t->size; r++) {
        total += value(t, r, i);
        if (t->type == DT_F32 || t->type == DT_BF16) total = (float)total;
    }
    return total;
}

/* --- arrays --- */

static size_t bytes_of(const trial *t, int64_t count) { return (size_t)count * dt_dtype_size(t->type); }

static void *host_alloc(size_t bytes)
{
    void *p = malloc(bytes + 1);
    if (!p) abort();
    return memset(p, UNTOUCHED, bytes + 1);
}

/* An array on the device with this content. */
static void *upload(const trial *t, const void *host, size_t bytes)
{
    void *p;
    ranks_must(t->of, dt_device_alloc(t->of->device, DT_MEMORY_FEED, bytes, &p));
    ranks_must(t->of, dt_device_upload(t->of->device, DT_STREAM_COMM, p, host, bytes));
    ranks_must(t->of, dt_device_sync(t->of->device, DT_STREAM_COMM));
    return p;
}

/* Frees it. Does it hold these bytes? */
static bool take_back(const trial *t, void *device, const void *expected, size_t bytes)
{
    char *host = host_alloc(bytes);
    ranks_must(t->of, dt_device_download(t->of->device, DT_STREAM_COMM, host, device, bytes));
    ranks_must(t->of, dt_device_sync(t->of->device, DT_STREAM_COMM));
    bool same = !bytes || memcmp(host, expected, bytes) == 0;
    free(host);
    dt_device_free(t->of->device, DT_MEMORY_FEED, device, bytes);
    return same;
}

/* [count] of what `rank` gives, from element `from` of its array on. */
static void fill(const trial *t, char *array, int rank, int64_t from, int64_t count)
{
    for (int64_t i = 0; i < count; i++) put(t->type, array, i, value(t, rank, from + i));
}

static void fill_sums(const trial *t, char *array, int64_t from, int64_t count)
{
    for (int64_t i = 0; i < count; i++) put(t->type, array, i, sum(t, from + i));
}

/* --- collectives --- */

static bool all_reduce(const trial *t)
{
    size_t bytes = bytes_of(t, t->count);
    char *mine = host_alloc(bytes), *expected = host_alloc(bytes);
    fill(t, mine, t->rank, 0, t->count);
    fill_sums(t, expected, 0, t->count);
    void *data = upload(t, mine, bytes);
    ranks_must(t->of, dt_comm_all_reduce(t->comm, DT_STREAM_COMM, t->type, t->count, data));
    bool good = take_back(t, data, expected, bytes);
    free(mine);
    free(expected);
    return good;
}

/* The rest of the array must stay as it is. */
static bool reduce_scatter(const trial *t, bool in_place)
{
    size_t piece = bytes_of(t, t->count), bytes = piece * (size_t)t->size;
    char *mine = host_alloc(bytes), *expected = host_alloc(piece);
    fill(t, mine, t->rank, 0, t->count * t->size);
    fill_sums(t, expected, t->rank * t->count, t->count);
    char *data = upload(t, mine, bytes), *own = data + (size_t)t->rank * piece;
    char *out = in_place ? own : upload(t, mine, piece);
    ranks_must(t->of, dt_comm_reduce_scatter(t->comm, DT_STREAM_COMM, t->type, t->count, data, out));
    bool good = in_place || take_back(t, out, expected, piece);
    if (in_place && piece) memcpy(mine + (size_t)t->rank * piece, expected, piece);
    good = take_back(t, data, mine, bytes) && good;
    free(mine);
    free(expected);
    return good;
}

static bool all_gather(const trial *t, bool in_place)
{
    size_t piece = bytes_of(t, t->count), bytes = piece * (size_t)t->size;
    char *mine = host_alloc(piece), *empty = host_alloc(bytes), *expected = host_alloc(bytes);
    fill(t, mine, t->rank, 0, t->count);
    for (int r = 0; r < t->size; r++) fill(t, expected + (size_t)r * piece, r, 0, t->count);
    if (in_place && piece) memcpy(empty + (size_t)t->rank * piece, mine, piece);
    char *out = upload(t, empty, bytes);
    char *data = in_place ? out + (size_t)t->rank * piece : upload(t, mine, piece);
    ranks_must(t->of, dt_comm_all_gather(t->comm, DT_STREAM_COMM, t->type, t->count, data, out));
    bool good = in_place || take_back(t, data, mine, piece);
    good = take_back(t, out, expected, bytes) && good;
    free(mine);
    free(empty);
    free(expected);
    return good;
}

static bool broadcast(const trial *t, int root)
{
    size_t bytes = bytes_of(t, t->count);
    char *mine = host_alloc(bytes), *expected = host_alloc(bytes);
    fill(t, mine, t->rank, 0, t->count);
    fill(t, expected, root, 0, t->count);
    void *data = upload(t, mine, bytes);
    ranks_must(t->of, dt_comm_broadcast(t->comm, DT_STREAM_COMM, t->type, t->count, data, root));
    bool good = take_back(t, data, expected, bytes);
    free(mine);
    free(expected);
    return good;
}

/* With the neighbour; of an odd number of ranks the last one has none. */
static bool swap(const trial *t)
{
    int peer = t->rank ^ 1;
    if (peer >= t->size) return true;
    size_t bytes = bytes_of(t, t->count);
    char *mine = host_alloc(bytes), *expected = host_alloc(bytes);
    fill(t, mine, t->rank, 0, t->count);
    fill(t, expected, peer, 0, t->count);
    void *data = upload(t, mine, bytes), *out = upload(t, mine, bytes);
    ranks_must(t->of, dt_comm_swap(t->comm, DT_STREAM_COMM, t->type, t->count, data, out, peer));
    bool good = take_back(t, out, expected, bytes);
    good = take_back(t, data, mine, bytes) && good;
    free(mine);
    free(expected);
    return good;
}

/* Twice: a collective that gives other bits the second time, or leaves something behind, shows. */
static bool all_collectives(const trial *t)
{
    bool good = true;
    for (int again = 0; again < 2; again++) {
        good = all_reduce(t) && good;
        for (int in_place = 0; in_place < 2; in_place++) {
            good = reduce_scatter(t, in_place) && good;
            good = all_gather(t, in_place) && good;
        }
        good = broadcast(t, again ? t->size - 1 : 0) && good;
        good = swap(t) && good;
    }
    return good;
}

static void check(ranks *r, dt_comm *comm, int64_t count, const char *what)
{
    bool good = true;
    for (int i = 0; i < TYPES; i++) {
        trial t = {r, comm, dt_comm_rank(comm), dt_comm_size(comm), types[i], count};
        good = all_collectives(&t) && good;
    }
    ranks_case(r, good && !dt_comm_check(comm), "%s of %lld elements", what, (long long)count);
}

/* A group is as large as its colour has ranks, in the order of ranks. */
static void check_group(ranks *r, dt_comm *from, int colour, int rank, int size, const char *what)
{
    dt_comm *comm;
    ranks_must(r, dt_comm_split(from, colour, &comm));
    ranks_case(r, dt_comm_rank(comm) == rank && dt_comm_size(comm) == size, "%s: places", what);
    check(r, comm, 1009, what);
    dt_comm_free(comm);
}

static void groups(ranks *r)
{
    dt_comm *half;
    int odd = r->rank % 2, evens = (r->size + 1) / 2;
    check_group(r, r->comm, 7, r->rank, r->size, "a group of all ranks");
    check_group(r, r->comm, odd, r->rank / 2, odd ? r->size / 2 : evens, "groups of every other rank");
    check_group(r, r->comm, r->rank > 0, r->rank ? r->rank - 1 : 0, r->rank ? r->size - 1 : 1, "rank 0 alone");
    ranks_must(r, dt_comm_split(r->comm, odd, &half));
    check_group(r, half, dt_comm_rank(half), 0, 1, "groups of one out of groups");
    dt_comm_free(half);
}

int main(int count, char **words)
{
    ranks r = ranks_open(count > 1 ? words[1] : "cpu");
    const int64_t counts[] = {0, 1, r.size - 1, 2, 17, 1009, 2048, 65537, 131101};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) check(&r, r.comm, counts[i], "all collectives");
    groups(&r);
    return ranks_close(&r);
}
