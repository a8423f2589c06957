/* Timing of collectives and of pairs. */
#include "cmd/ranks_speed.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "base/threads.h"
#include "cmd/roof.h"

enum { PERIOD = 61, BLOCK = PERIOD << 16, REPEATS = 5, MOST_CALLS = 50, MOST_ROUNDS = 64 };
static const double enough = 0.2; /* seconds for one collective and size */
static const dt_stream stream = DT_STREAM_COMM;

const char *dt_collective_name(dt_collective kind)
{
    static const char *const names[DT_COLLECTIVES] = {"all-reduce", "reduce-scatter", "all-gather"};
    return names[kind];
}

double dt_bus_bandwidth(dt_collective kind, int ranks, double bytes, double seconds)
{
    return bytes / seconds * (kind == DT_ALL_REDUCE ? 2 : 1) * (ranks - 1) / ranks;
}

dt_status dt_ranks_speed_open(dt_world *world, dt_device *device, dt_comm *comm, int64_t most, dt_ranks_speed *out)
{
    *out = (dt_ranks_speed){.world = world, .device = device, .comm = comm, .most = most};
    out->rank = dt_comm_rank(comm);
    out->size = dt_comm_size(comm);
    dt_status status;
    DT_TRY_GOTO(dt_device_alloc(device, DT_MEMORY_FEED, (size_t)most, &out->data), failed);
    DT_TRY_GOTO(dt_device_alloc(device, DT_MEMORY_FEED, (size_t)most, &out->out), failed);
    DT_TRY_GOTO(dt_device_alloc_host(device, BLOCK * sizeof(float), &out->block), failed);
    return DT_OK;
failed:
    dt_ranks_speed_close(out);
    return status;
}

void dt_ranks_speed_close(dt_ranks_speed *s)
{
    if (s->block) dt_device_free_host(s->device, s->block);
    if (s->out) dt_device_free(s->device, DT_MEMORY_FEED, s->out, (size_t)s->most);
    if (s->data) dt_device_free(s->device, DT_MEMORY_FEED, s->data, (size_t)s->most);
}

/* --- numbers whose results are known: each rank's repeat after PERIOD, and all sums are exact --- */

typedef float pattern[PERIOD];

static void fill_pattern(pattern out, int rank)
{
    for (int i = 0; i < PERIOD; i++) out[i] = (float)((i + 7 * rank) % PERIOD);
}

static void fill_sums(pattern out, int ranks)
{
    memset(out, 0, sizeof(pattern));
    for (int rank = 0; rank < ranks; rank++)
        for (int i = 0; i < PERIOD; i++) out[i] += (float)((i + 7 * rank) % PERIOD);
}

static void fill_block(dt_ranks_speed *s, const pattern of, int64_t from, int64_t count)
{
    float *block = s->block;
    int place = (int)(from % PERIOD);
    for (int64_t i = 0; i < count; i++) {
        block[i] = of[place];
        place = place + 1 == PERIOD ? 0 : place + 1;
    }
}

static int64_t block_at(int64_t at, int64_t count) { return count - at < BLOCK ? count - at : BLOCK; }

static dt_status upload(dt_ranks_speed *s, const pattern of, int64_t count, void *to)
{
    for (int64_t at = 0; at < count; at += BLOCK) {
        int64_t length = block_at(at, count);
        fill_block(s, of, at, length);
        DT_TRY(dt_device_upload(s->device, stream, (float *)to + at, s->block, (size_t)length * sizeof(float)));
        DT_TRY(dt_device_sync(s->device, stream));
    }
    return DT_OK;
}

/* Are these [count] the pattern's from element `first` on? */
static dt_status compare(dt_ranks_speed *s, const pattern of, int64_t first, int64_t count, const void *array,
                         int *wrong)
{
    for (int64_t at = 0; at < count; at += BLOCK) {
        int64_t length = block_at(at, count);
        const float *block = s->block;
        DT_TRY(dt_device_download(s->device, stream, s->block, (const float *)array + at,
                                  (size_t)length * sizeof(float)));
        DT_TRY(dt_device_sync(s->device, stream));
        int place = (int)((first + at) % PERIOD);
        for (int64_t i = 0; i < length; i++) {
            *wrong |= block[i] != of[place];
            place = place + 1 == PERIOD ? 0 : place + 1;
        }
    }
    return DT_OK;
}

static dt_status compare_result(dt_ranks_speed *s, dt_collective kind, int64_t count, int *wrong)
{
    pattern expected;
    int64_t piece = count / s->size;
    fill_sums(expected, s->size);
    if (kind == DT_ALL_REDUCE) return compare(s, expected, 0, count, s->data, wrong);
    if (kind == DT_REDUCE_SCATTER) return compare(s, expected, s->rank * piece, piece, s->out, wrong);
    for (int rank = 0; rank < s->size; rank++) {
        fill_pattern(expected, rank);
        DT_TRY(compare(s, expected, 0, piece, (float *)s->out + rank * piece, wrong));
    }
    return DT_OK;
}

/* --- collectives --- */

static dt_status run(dt_ranks_speed *s, dt_collective kind, int64_t count)
{
    switch (kind) {
    case DT_ALL_REDUCE: return dt_comm_all_reduce(s->comm, stream, DT_F32, count, s->data);
    case DT_REDUCE_SCATTER:
        return dt_comm_reduce_scatter(s->comm, stream, DT_F32, count / s->size, s->data, s->out);
    default: return dt_comm_all_gather(s->comm, stream, DT_F32, count / s->size, s->data, s->out);
    }
}

static dt_status check(dt_ranks_speed *s, dt_collective kind, int64_t count, int *wrong)
{
    pattern mine;
    fill_pattern(mine, s->rank);
    DT_TRY(upload(s, mine, kind == DT_ALL_GATHER ? count / s->size : count, s->data));
    DT_TRY(run(s, kind, count));
    DT_TRY(compare_result(s, kind, count, wrong));
    return dt_device_clear(s->device, stream, s->data, (size_t)count * sizeof(float)); /* zeros stay zeros */
}

/* Seconds of one of so many calls behind one another. */
static dt_status time_calls(dt_ranks_speed *s, dt_collective kind, int64_t count, int calls, double *seconds)
{
    DT_TRY(dt_device_sync(s->device, stream));
    double start = dt_clock();
    for (int i = 0; i < calls; i++) DT_TRY(run(s, kind, count));
    DT_TRY(dt_device_sync(s->device, stream));
    *seconds = (dt_clock() - start) / calls;
    return DT_OK;
}

/* Rank 0 says how many calls are timed, from how long a few take. */
static dt_status time_collective(dt_ranks_speed *s, dt_collective kind, int64_t count, double *median)
{
    double seconds[REPEATS];
    int32_t calls;
    DT_TRY(dt_world_barrier(s->world, "a measurement"));
    DT_TRY(time_calls(s, kind, count, 2, seconds));
    calls = (int32_t)fmin(fmax(enough / REPEATS / fmax(seconds[0], 1e-9), 1), MOST_CALLS);
    DT_TRY(dt_world_broadcast(s->world, "the calls of a measurement", &calls, sizeof calls));
    for (int i = 0; i < REPEATS; i++) DT_TRY(time_calls(s, kind, count, calls, &seconds[i]));
    *median = dt_median(seconds, REPEATS);
    return DT_OK;
}

typedef struct outcome {
    double seconds;
    int32_t wrong, unused;
} outcome;

/* The slowest rank's time; or the error that names who had a wrong result. */
static dt_status sum_up(const dt_ranks_speed *s, dt_collective kind, int64_t bytes, const outcome *all, double *seconds)
{
    dt_text ranks = {0};
    char size[32];
    *seconds = 0;
    for (int r = 0; r < s->size; r++) {
        *seconds = fmax(*seconds, all[r].seconds);
        if (!all[r].wrong) continue;
        dt_text_add(&ranks, "%s%d on %s", ranks.length ? ", " : "", r, dt_world_peer_of(s->world, r)->host);
    }
    dt_status status = DT_OK;
    if (ranks.length)
        status = dt_fail(DT_ERR_DEVICE, "wrong numbers from %s of %s on rank %s: a link, a GPU or its memory is broken",
                         dt_collective_name(kind), dt_text_bytes(size, (double)bytes), ranks.data);
    dt_text_free(&ranks);
    return status;
}

dt_status dt_ranks_speed_run(dt_ranks_speed *s, dt_collective kind, int64_t *bytes, double *seconds)
{
    int64_t count = *bytes / (int64_t)sizeof(float) / s->size * s->size;
    if (!count) count = s->size;
    *bytes = count * (int64_t)sizeof(float);
    outcome mine = {0}, *all = malloc((size_t)s->size * sizeof *all);
    if (!all) return dt_fail_memory((size_t)s->size * sizeof *all, "times of ranks");
    dt_status status;
    int wrong = 0;
    DT_TRY_GOTO(check(s, kind, count, &wrong), done);
    DT_TRY_GOTO(time_collective(s, kind, count, &mine.seconds), done);
    DT_TRY_GOTO(dt_comm_check(s->comm), done);
    mine.wrong = wrong;
    DT_TRY_GOTO(dt_world_gather(s->world, "the time of a collective", &mine, sizeof mine, all), done);
    status = sum_up(s, kind, *bytes, all, seconds);
done:
    free(all);
    return status;
}

/* --- pairs --- */

/* Whom a rank meets in a round of a tournament in which each meets every other once; -1: nobody. The last of an even
 * number of places stands still, the others turn around it. */
static int partner_of(int rank, int size, int round)
{
    int places = size + size % 2, turning = places - 1, partner;
    if (rank == turning) partner = (int)((int64_t)round * (places / 2) % turning);
    else if ((partner = ((round - rank) % turning + turning) % turning) == rank) partner = turning;
    return partner < size ? partner : -1;
}

static dt_status time_swaps(dt_ranks_speed *s, int64_t bytes, int peer, double *median)
{
    double seconds[REPEATS];
    int64_t count = bytes / (int64_t)sizeof(float);
    for (int i = -1; i < REPEATS; i++) { /* the first one connects, and does not count */
        double start = dt_clock();
        DT_TRY(dt_comm_swap(s->comm, stream, DT_F32, count, s->data, s->out, peer));
        DT_TRY(dt_device_sync(s->device, stream));
        if (i >= 0) seconds[i] = dt_clock() - start;
    }
    *median = dt_median(seconds, REPEATS);
    return DT_OK;
}

/* Adds what the pairs of a round reached to `reached`. */
static dt_status time_round(dt_ranks_speed *s, int round, int64_t bytes, double *times, double *reached, int *pairs,
                            dt_link_speed *slowest)
{
    double mine = 0;
    int peer = partner_of(s->rank, s->size, round);
    DT_TRY(dt_world_barrier(s->world, "a round of pairs"));
    if (peer >= 0) DT_TRY(time_swaps(s, bytes, peer, &mine));
    DT_TRY(dt_world_gather(s->world, "the times of pairs", &mine, sizeof mine, times));
    for (int a = 0; a < s->size; a++) {
        int b = partner_of(a, s->size, round);
        if (b < a) continue; /* counted already, or nobody */
        double bandwidth = (double)bytes / fmax(times[a], times[b]);
        if (!*pairs || bandwidth < slowest->bandwidth) *slowest = (dt_link_speed){a, b, bandwidth};
        reached[(*pairs)++] = bandwidth;
    }
    return DT_OK;
}

dt_status dt_ranks_speed_links(dt_ranks_speed *s, int64_t bytes, dt_link_speed *slowest, double *median, int *pairs)
{
    int rounds = s->size - 1 + s->size % 2;
    if (rounds > MOST_ROUNDS) rounds = MOST_ROUNDS;
    size_t room = (size_t)s->size + (size_t)rounds * (size_t)(s->size / 2 + 1);
    double *times = malloc(room * sizeof *times), *reached = times + s->size;
    if (!times) return dt_fail_memory(room * sizeof *times, "times of pairs");
    dt_status status = DT_OK;
    *pairs = 0;
    for (int round = 0; round < rounds && !status; round++)
        status = time_round(s, round, bytes, times, reached, pairs, slowest);
    if (!status) *median = dt_median(reached, *pairs);
    free(times);
    return status;
}
