/* The backward pass of LayerNorm and RMSNorm:
 *   h = (x - mean) rstd, g = dy gamma: dx = rstd (g - mean(g) - h mean(g h)) (+ dsum); RMSNorm lacks mean(g);
 *   dgamma = sum over rows of dy h, dbeta = of dy
 * Bytes: x, dy, dx (and dsum), each once; statistics and the partial sums of dgamma and dbeta are a few percent of that
 * at worst in large arrays. The trunk's x, dsum and dx may be float32 beside bfloat16; dx is then also written rounded
 * where a branch wants it, which saves a pass of its own.
 *
 * A team of threads has many rows, one after the other, all of whose dgamma and dbeta stay in registers; what the next
 * rows need is copied into shared memory meanwhile (cp.async), every thread for itself, so that no barrier but that of
 * the row's own sums holds it up.
 *
 * Rows that are too long for that, or do not divide into packs, take loops over the row, read from memory once and from
 * cache thereafter; a kernel of its own for the columns goes before, because dx may be dy.
 *
 * Reached on an H200 in bfloat16 (`bench kernels`): 91 to 100 % of the bandwidth of a copy of as many bytes, 87 % of
 * small ones. */
#include <cuda_pipeline_primitives.h>

#include "kernels/cuda/rows.cuh"

using namespace dt;

namespace {

enum { BACKWARD_THREADS = 132 * 512, LONGEST_TEAM = 512 }; /* of all blocks: one wave on an H200 */
enum { WHOLE_BLOCK = 0 };                                   /* a team as large as its block */

/* S is the type of the trunk, here and below: x, dsum and dx. Threads walk in its packs. */
template <typename T, typename S> struct norm_grad_job {
    int64_t rows, channels;
    const S *x;
    const T *dy;
    const S *dsum;
    S *dx;
    const float *gamma, *mean, *rstd;
    float *dgamma, *dbeta; /* partial[slices, channels]; NULL: not wanted */
    bool center;
    T *dresidual; /* dx rounded, where S is wider than T; NULL: not wanted */
};

/* dx of one run. */
template <typename T, typename S, int V>
__device__ __forceinline__ void store_dx(const norm_grad_job<T, S> &p, int64_t at, const float (&dx)[V])
{
    store_run(p.dx + at, narrow_run<S>(dx));
    if constexpr (!std::is_same<T, S>::value)
        if (p.dresidual) store_run(p.dresidual + at, narrow_run<T>(dx));
}

/* Sums of a and of b over a team. A block has one barrier for it: `room` must not be that of the call before. */
template <int TEAM> __device__ __forceinline__ float2 row_sums(float a, float b, float2 *room)
{
    if constexpr (TEAM != WHOLE_BLOCK) {
        return make_float2(team_sum<TEAM>(a), team_sum<TEAM>(b));
    } else {
        a = warp_sum(a), b = warp_sum(b);
        if (threadIdx.x % 32 == 0) room[threadIdx.x / 32] = make_float2(a, b);
        __syncthreads();
        float2 total = room[0];
        for (unsigned warp = 1; warp < blockDim.x / 32; warp++) total.x += room[warp].x, total.y += room[warp].y;
        return total;
    }
}

/* The packs of the next rows of a thread's team, in shared memory[STAGES][ARRAYS][K][threads]. A thread waits for its
 * own copies alone. */
template <typename T, typename S, int K, bool DSUM> struct row_ring {
    enum { ARRAYS = DSUM ? 3 : 2, STAGES = DSUM || K > 2 ? 2 : 3, V = pack<S>::size };
    uint4 *room;
    int lane, width, packs; /* the thread's place in its team; packs of a row */

    static constexpr int64_t bytes(int threads) { return (int64_t)STAGES * ARRAYS * K * threads * (int)sizeof(uint4); }

    __device__ __forceinline__ uint4 *at(int stage, int array, int k) const
    {
        return room + ((stage * ARRAYS + array) * K + k) * (int)blockDim.x + (int)threadIdx.x;
    }

    /* Every call makes one batch to wait for, an empty one past the last row. */
    __device__ __forceinline__ void request(const norm_grad_job<T, S> &p, int64_t row, int stage) const
    {
        if (row < p.rows) {
#pragma unroll
            for (int k = 0; k < K; k++)
                if (lane + k * width < packs) {
                    const int64_t from = row * p.channels + (lane + k * width) * V;
                    __pipeline_memcpy_async(at(stage, 0, k), p.x + from, sizeof(uint4));
                    __pipeline_memcpy_async(at(stage, 1, k), p.dy + from, V * sizeof(T));
                    if (DSUM) __pipeline_memcpy_async(at(stage, ARRAYS - 1, k), p.dsum + from, sizeof(uint4));
                }
        }
        __pipeline_commit();
    }

    /* E: the array's type. */
    template <typename E> __device__ __forceinline__ void take(int stage, int array, int k, float (&to)[V]) const
    {
        widen_run(run<E, V>{*reinterpret_cast<const typename run<E, V>::word *>(at(stage, array, k))}, to);
    }
};

/* gamma of a thread's packs: in registers, unless there are too many. */
template <int V, int K> struct row_factors {
    float kept[K < 4 ? K : 1][V];

    __device__ __forceinline__ void load(const float *gamma, int lane, int width, int packs)
    {
        if constexpr (K < 4) {
#pragma unroll
            for (int k = 0; k < K; k++)
                if (lane + k * width < packs) load_factors(kept[k], gamma, (lane + k * width) * V, 1);
        }
    }

    __device__ __forceinline__ void get(float (&to)[V], const float *gamma, int k, int column) const
    {
        if constexpr (K < 4) {
#pragma unroll
            for (int i = 0; i < V; i++) to[i] = kept[k][i];
        } else {
            load_factors(to, gamma, column, 1);
        }
    }
};

/* Adds the teams of a block and writes the slice's row of a partial array. `room` is shared memory for a row per team,
 * in which no copy is under way. */
template <int TEAM, int V, int K>
__device__ __forceinline__ void store_team_sums(const float (&sum)[K][V], int lane, int width, int packs,
                                                float *partial, float *room)
{
    const int channels = packs * V;
    if constexpr (TEAM == WHOLE_BLOCK) {
#pragma unroll
        for (int k = 0; k < K; k++)
            if (lane + k * width < packs) store_floats(partial + (lane + k * width) * V, sum[k]);
    } else {
        __syncthreads();
#pragma unroll
        for (int k = 0; k < K; k++)
            if (lane + k * width < packs)
                store_floats(room + (int)threadIdx.x / TEAM * channels + (lane + k * width) * V, sum[k]);
        __syncthreads();
        for (int column = (int)threadIdx.x; column < channels; column += SHARED_BLOCK) {
            float total = room[column];
            for (int team = 1; team < SHARED_BLOCK / TEAM; team++) total += room[team * channels + column];
            partial[column] = total;
        }
    }
}

/* The row that a team is at. */
struct row_at {
    int64_t row;
    int stage, packs; /* where it lies in the ring; packs: 0 past the last row */
    float mean, rstd;
};

/* Adds a row to a thread's dgamma and dbeta: its share of the sums of g and of g h. */
template <typename T, typename S, int K, bool DSUM, int V>
__device__ __forceinline__ float2 add_row(const norm_grad_job<T, S> &p, const row_ring<T, S, K, DSUM> &ring,
                                          const row_factors<V, K> &factors, const row_at &now, float (&dgamma)[K][V],
                                          float (&dbeta)[K][V])
{
    float g_sum = 0, gh_sum = 0;
#pragma unroll
    for (int k = 0; k < K; k++)
        if (ring.lane + k * ring.width < now.packs) {
            float x[V], dy[V], gamma[V];
            ring.template take<S>(now.stage, 0, k, x), ring.template take<T>(now.stage, 1, k, dy);
            factors.get(gamma, p.gamma, k, (ring.lane + k * ring.width) * V);
#pragma unroll
            for (int i = 0; i < V; i++) {
                const float h = (x[i] - now.mean) * now.rstd, g = dy[i] * gamma[i];
                dgamma[k][i] = fmaf(dy[i], h, dgamma[k][i]);
                dbeta[k][i] += dy[i];
                g_sum += g;
                gh_sum = fmaf(g, h, gh_sum);
            }
        }
    return make_float2(g_sum, gh_sum);
}

/* dx of a row from the means of g and of g h. */
template <typename T, typename S, int K, bool DSUM, int V>
__device__ __forceinline__ void make_dx(const norm_grad_job<T, S> &p, const row_ring<T, S, K, DSUM> &ring,
                                        const row_factors<V, K> &factors, const row_at &now, float mean_g,
                                        float mean_gh)
{
#pragma unroll
    for (int k = 0; k < K; k++)
        if (ring.lane + k * ring.width < now.packs) {
            float x[V], dy[V], gamma[V], more[V] = {};
            ring.template take<S>(now.stage, 0, k, x), ring.template take<T>(now.stage, 1, k, dy);
            if (DSUM) ring.template take<S>(now.stage, ring.ARRAYS - 1, k, more);
            factors.get(gamma, p.gamma, k, (ring.lane + k * ring.width) * V);
#pragma unroll
            for (int i = 0; i < V; i++) {
                const float h = (x[i] - now.mean) * now.rstd, g = dy[i] * gamma[i];
                const float d = now.rstd * (g - mean_g - h * mean_gh);
                x[i] = DSUM ? more[i] + d : d;
            }
            store_dx(p, now.row * p.channels + (ring.lane + k * ring.width) * V, x);
        }
}

/* dx may be dy (of its type) or dsum: a row belongs to one team, whose threads have copied their packs of it before
 * they write them. */
template <typename T, typename S, int TEAM, int K, bool DSUM>
__global__ void __launch_bounds__(TEAM == WHOLE_BLOCK ? LONGEST_TEAM : SHARED_BLOCK,
                                  TEAM == WHOLE_BLOCK ? 1 : 2) row_norm_grad(const norm_grad_job<T, S> p)
{
    typedef row_ring<T, S, K, DSUM> ring_type;
    constexpr int V = pack<S>::size, STAGES = ring_type::STAGES;
    extern __shared__ uint4 shared[];
    __shared__ float2 room[2][LONGEST_TEAM / 32];
    const int width = TEAM == WHOLE_BLOCK ? (int)blockDim.x : TEAM, teams = (int)blockDim.x / width;
    const int lane = (int)threadIdx.x % width, packs = (int)(p.channels / V);
    const int64_t step = (int64_t)gridDim.x * teams, team = (int)threadIdx.x / width;
    const ring_type ring = {shared, lane, width, packs};
    const float share = 1 / (float)p.channels;
    float dgamma[K][V] = {}, dbeta[K][V] = {};
    row_factors<V, K> factors;
    factors.load(p.gamma, lane, width, packs);

    int64_t row = (int64_t)blockIdx.x * teams + team;
    for (int stage = 0; stage + 1 < STAGES; stage++) ring.request(p, row + stage * step, stage);
    float next_mean = 0, next_rstd = 0;
    if (row < p.rows) next_mean = p.center ? p.mean[row] : 0, next_rstd = p.rstd[row];
    int stage = 0, parity = 0;
    /* teams of a block go through the loop equally often, since its sums are of whole warps or blocks */
    for (int64_t first = row - team; first < p.rows; first += step, row += step) {
        const row_at now = {row, stage, row < p.rows ? packs : 0, next_mean, next_rstd};
        ring.request(p, row + (STAGES - 1) * step, (stage + STAGES - 1) % STAGES);
        if (row + step < p.rows) next_mean = p.center ? p.mean[row + step] : 0, next_rstd = p.rstd[row + step];
        __pipeline_wait_prior(STAGES - 1);
        const float2 own = add_row(p, ring, factors, now, dgamma, dbeta);
        const float2 sums = row_sums<TEAM>(own.x, own.y, room[parity]);
        if (p.dx) make_dx(p, ring, factors, now, p.center ? sums.x * share : 0, sums.y * share);
        stage = stage + 1 < STAGES ? stage + 1 : 0;
        parity ^= 1;
    }
    __pipeline_wait_prior(0);
    const int64_t slice = (int64_t)blockIdx.x * p.channels;
    float *sums = reinterpret_cast<float *>(shared);
    if (p.dgamma) store_team_sums<TEAM>(dgamma, lane, width, packs, p.dgamma + slice, sums);
    if (p.dbeta) store_team_sums<TEAM>(dbeta, lane, width, packs, p.dbeta + slice, sums);
}

/* How many rows a block takes at once, how many threads it has, and how many slices of rows there are. */
struct row_plan {
    int threads, teams;
    int64_t slices;
};

/* team: threads of a team, at least the packs of a row over K. */
row_plan plan_rows(int64_t rows, int team, bool alone)
{
    row_plan plan = {alone ? team : (int)SHARED_BLOCK, alone ? 1 : SHARED_BLOCK / team, 0};
    const int64_t turns = ceil_div<int64_t>(rows, plan.teams);
    const int64_t steps = ceil_div<int64_t>(turns, std::max(BACKWARD_THREADS / plan.threads, 1));
    plan.slices = steps ? ceil_div(turns, steps) : 0;
    return plan;
}

/* Calls f(team constant, K constant, plan) of rows of so many packs; false: they are too long. */
template <int N> using constant = std::integral_constant<int, N>;
template <typename F> bool by_row(int64_t rows, int64_t packs, F f)
{
    const auto team_of = [&](auto team, auto k) { f(team, k, plan_rows(rows, team, false)); };
    const auto whole = [&](auto k) {
        f(constant<WHOLE_BLOCK>(), k, plan_rows(rows, (int)ceil_div<int64_t>(packs, 32 * k) * 32, true));
    };
    if (packs <= 8) team_of(constant<8>(), constant<1>());
    else if (packs <= 16) team_of(constant<8>(), constant<2>());
    else if (packs <= 32) team_of(constant<32>(), constant<1>());
    else if (packs <= 64) team_of(constant<32>(), constant<2>());
    else if (packs <= 96) team_of(constant<32>(), constant<3>());
    else if (packs <= 256) whole(constant<1>());
    else if (packs <= 2 * LONGEST_TEAM) whole(constant<2>());
    else if (packs <= 4 * LONGEST_TEAM) whole(constant<4>());
    else return false;
    return true;
}

template <typename T, typename S, int TEAM, int K, bool DSUM>
dt_status launch_grad(const dt_queue *q, const norm_grad_job<T, S> &p, const row_plan &plan, int64_t bytes)
{
    const auto kernel = row_norm_grad<T, S, TEAM, K, DSUM>;
    DT_TRY(allow_shared(kernel, bytes));
    kernel<<<(unsigned)plan.slices, (unsigned)plan.threads, (size_t)bytes, stream_of(q)>>>(p);
    return launched();
}

/* --- backward, in loops --- */

enum { LOOP_BLOCKS = 396 };

template <typename S> column_tiling loop_tiling(int64_t rows, int64_t channels)
{
    return tile_columns(rows, channels, in_packs<S>(channels) ? pack<S>::size : 1, LOOP_BLOCKS);
}

/* dgamma and dbeta of a slice. */
template <typename T, typename S, int V>
__global__ void __launch_bounds__(COLUMN_THREADS) row_norm_columns(const column_tiling t, const norm_grad_job<T, S> p)
{
    __shared__ float room[COLUMN_THREADS * V];
    const column_place place = place_in<V>(t);
    float dgamma[V] = {}, dbeta[V] = {};
    for (int64_t group = place.slice; place.inside && group < t.groups; group += t.slices)
#pragma unroll
        for (int u = 0; u < GROUP_ROWS; u++) {
            const int64_t row = first_row(t, place, group) + u * t.lanes, at = row * t.channels + place.column;
            if (row < t.rows) {
                const float mean = p.center ? p.mean[row] : 0, rstd = p.rstd[row];
                float x[V], dy[V];
                widen_run(load_run<V>(p.x + at), x), widen_run(load_run<V>(p.dy + at), dy);
#pragma unroll
                for (int i = 0; i < V; i++) {
                    dgamma[i] = fmaf(dy[i], (x[i] - mean) * rstd, dgamma[i]);
                    dbeta[i] += dy[i];
                }
            }
        }
    if (p.dgamma) store_partial(dgamma, t, place, p.dgamma, room);
    if (p.dbeta) store_partial(dbeta, t, place, p.dbeta, room);
}

/* dx: a block has a row and reads it twice. */
template <typename T, typename S, int V>
__global__ void __launch_bounds__(LOOP_THREADS) row_norm_grad_loop(const norm_grad_job<T, S> p)
{
    constexpr int64_t STEP = LOOP_THREADS * V;
    __shared__ float room[LOOP_THREADS / 32];
    const int64_t first = (int64_t)threadIdx.x * V;
    for (int64_t row = blockIdx.x; row < p.rows; row += gridDim.x) {
        const int64_t start = row * p.channels;
        const float mean = p.center ? p.mean[row] : 0, rstd = p.rstd[row];
        float g_sum = 0, gh_sum = 0, x[V], dy[V], gamma[V], more[V] = {};
        for (int64_t j = first; j < p.channels; j += STEP) {
            widen_run(load_run<V>(p.x + start + j), x), widen_run(load_run<V>(p.dy + start + j), dy);
            load_factors(gamma, p.gamma, j, 1);
            for (int i = 0; i < V; i++) {
                g_sum += dy[i] * gamma[i];
                gh_sum = fmaf(dy[i] * gamma[i], (x[i] - mean) * rstd, gh_sum);
            }
        }
        const float mean_g = p.center ? block_sum<LOOP_THREADS>(g_sum, room) / (float)p.channels : 0;
        const float mean_gh = block_sum<LOOP_THREADS>(gh_sum, room) / (float)p.channels;
        for (int64_t j = first; j < p.channels; j += STEP) {
            widen_run(load_run<V>(p.x + start + j), x), widen_run(load_run<V>(p.dy + start + j), dy);
            load_factors(gamma, p.gamma, j, 1);
            if (p.dsum) widen_run(load_run<V>(p.dsum + start + j), more);
            for (int i = 0; i < V; i++)
                x[i] = more[i] + rstd * (dy[i] * gamma[i] - mean_g - (x[i] - mean) * rstd * mean_gh);
            store_dx(p, start + j, x);
        }
    }
}

template <int V, typename T, typename S>
dt_status launch_grad_loops(const dt_queue *q, const norm_grad_job<T, S> &p, const column_tiling &t)
{
    if (p.dgamma || p.dbeta) {
        const unsigned blocks = (unsigned)(t.tiles * t.slices), threads = (unsigned)t.threads;
        row_norm_columns<T, S, V><<<blocks, threads, 0, stream_of(q)>>>(t, p);
        DT_TRY(launched());
    }
    if (!p.dx) return DT_OK;
    const unsigned blocks = (unsigned)std::min<int64_t>(p.rows, MOST_ROW_BLOCKS);
    row_norm_grad_loop<T, S, V><<<blocks, LOOP_THREADS, 0, stream_of(q)>>>(p);
    return launched();
}

/* --- backward: choosing --- */

/* The slices that either way leaves in scratch; what the processor's shared memory allows does not count here. */
template <typename S> int64_t most_slices(int64_t rows, int64_t channels)
{
    int64_t slices = loop_tiling<S>(rows, channels).slices;
    if (in_packs<S>(channels))
        by_row(rows, channels / pack<S>::size,
               [&](auto, auto, const row_plan &plan) { slices = std::max(slices, plan.slices); });
    return slices;
}

/* *slices gets how many partial rows of dgamma and dbeta there are. */
template <typename T, typename S>
dt_status launch_norm_grad(const dt_queue *q, const norm_grad_job<T, S> &p, int64_t *slices)
{
    int limit = 0;
    bool done = false;
    dt_status status = tell_limit(cudaDevAttrMaxSharedMemoryPerBlockOptin, &limit);
    if (status) return status;
    if (in_packs<S>(p.channels))
        by_row(p.rows, p.channels / pack<S>::size, [&](auto team, auto k, const row_plan &plan) {
            constexpr int TEAM = decltype(team)::value, K = decltype(k)::value;
            const int64_t bytes = p.dsum ? row_ring<T, S, K, true>::bytes(plan.threads)
                                         : row_ring<T, S, K, false>::bytes(plan.threads);
            if (bytes + 1024 > limit) return; /* 1024: what the kernel has besides, and to spare */
            done = true;
            *slices = plan.slices;
            status = p.dsum ? launch_grad<T, S, TEAM, K, true>(q, p, plan, bytes)
                            : launch_grad<T, S, TEAM, K, false>(q, p, plan, bytes);
        });
    if (done) return status;
    const column_tiling t = loop_tiling<S>(p.rows, p.channels);
    *slices = t.slices;
    return in_packs<S>(p.channels) ? launch_grad_loops<pack<S>::size>(q, p, t) : launch_grad_loops<1>(q, p, t);
}

template <typename T, typename S> dt_status run_row_norm_grad(const dt_queue *q, const dt_row_norm_grad_args *a)
{
    float *gamma = static_cast<float *>(a->scratch), *beta = gamma + most_slices<S>(a->rows, a->channels) * a->channels;
    const norm_grad_job<T, S> p = {a->rows,
                                   a->channels,
                                   static_cast<const S *>(a->x),
                                   static_cast<const T *>(a->dy),
                                   static_cast<const S *>(a->dsum),
                                   static_cast<S *>(a->dx),
                                   static_cast<const float *>(a->gamma),
                                   static_cast<const float *>(a->mean),
                                   static_cast<const float *>(a->rstd),
                                   a->dgamma ? gamma : nullptr,
                                   a->dbeta ? beta : nullptr,
                                   a->center,
                                   static_cast<T *>(a->dresidual)};
    int64_t slices = 0;
    if (p.rows > 0) DT_TRY(launch_norm_grad(q, p, &slices));
    column_jobs jobs = {};
    add_column_job(&jobs, gamma, a->dgamma, slices, p.channels, a->accumulate_gamma);
    add_column_job(&jobs, beta, a->dbeta, slices, p.channels, a->accumulate_beta);
    return run_column_jobs(q, jobs);
}

}

dt_status dt_cuda_row_norm_grad(const dt_queue *q, dt_dtype t, const dt_row_norm_grad_args *p)
{
    if (p->channels == 0) return DT_OK;
    return by_trunk(t, p->wide_trunk, [&](auto zero, auto trunk) {
        return run_row_norm_grad<decltype(zero), decltype(trunk)>(q, p);
    });
}

int64_t dt_cuda_row_norm_grad_scratch(const dt_device_info *, dt_dtype type, int64_t rows, int64_t channels)
{
    if (channels == 0) return 0;
    const int64_t slices = type == DT_BF16 ? most_slices<bf16>(rows, channels) : most_slices<float>(rows, channels);
    return 2 * slices * channels * (int64_t)sizeof(float);
}
