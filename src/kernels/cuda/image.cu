/* Images: bytes to normalised numbers, y = (x / 255 - mean[c]) / std[c], and images [b, c, rows p, cols p] to patches
 * [b, rows cols, c p p] and back.
 *
 * Bytes: normalize reads one and writes one element of y per pixel, 1 + 2 in bfloat16; the patches are read once and
 * written once, 4 bytes an element in bfloat16. The bound is memory.
 *
 * patchify and unpatchify are one kernel. A line of a patch, p elements, is contiguous on both sides, so it moves in
 * words of the largest size that divides it, one a thread. Threads follow the order of the patches: that side is
 * contiguous over a warp, and the other touches whole lines of a patch, for p = 16 in bfloat16 32 bytes, the sector of
 * memory, of which neighbouring warps take the neighbours.
 *
 * Reached on an H200 in float32 (`bench --profile`): for ViT-B's 256 images of 224 x 224 normalize moves 3.0 TB/s
 * and patchify 3.5, where a copy moves 4.2. */
#include "kernels/cuda/divide.cuh"
#include "kernels/cuda/group.cuh"

namespace {

using namespace dt;

enum { THREADS = 256, MOST_CHANNELS = 4 };

/* --- normalize --- */

/* y = x scale + offset; by value, since mean and std are the host's. */
struct channel_map {
    float scale[MOST_CHANNELS], offset[MOST_CHANNELS];
};

/* A thread makes 16 bytes of y; they may reach into further planes. */
template <typename T, typename INDEX>
__global__ void __launch_bounds__(THREADS)
    normalize_bytes(INDEX n, divider<INDEX> pixels, divider<INDEX> channels,
                    const __grid_constant__ channel_map map, const uint8_t *x, T *y)
{
    constexpr int N = pack<T>::size;
    const INDEX first = ((INDEX)blockIdx.x * THREADS + threadIdx.x) * N;
    if (first >= n) return;
    const bool whole = n - first >= N;
    group<uint8_t, N> in = {};
    if (whole) in = load_group<N>(x + first);
    for (int j = 0; j < N && !whole; j++)
        if (j < n - first) in.at[j] = x[first + j];
    INDEX plane = first;
    INDEX pixel = pixels.split(&plane), channel = channels.split(&plane);
    group<T, N> out;
#pragma unroll
    for (int j = 0; j < N; j++) {
        out.at[j] = narrow<T>(fmaf((float)in.at[j], map.scale[channel], map.offset[channel]));
        if (++pixel < pixels.by) continue;
        pixel = 0;
        channel = channel + 1 < channels.by ? channel + 1 : 0;
    }
    if (whole) store_group<N>(y + first, out);
    for (int j = 0; j < N && !whole; j++)
        if (j < n - first) y[first + j] = out.at[j];
}

/* --- patchify, unpatchify --- */

template <typename INDEX> struct patch_layout {
    INDEX count; /* words in all */
    divider<INDEX> words, p, channels, cols, rows; /* words: of a line of a patch */
};

template <typename INDEX> __device__ __forceinline__ INDEX word_in_image(const patch_layout<INDEX> &l, INDEX in_patches)
{
    INDEX sample = in_patches;
    const INDEX word = l.words.split(&sample), line = l.p.split(&sample), channel = l.channels.split(&sample);
    const INDEX col = l.cols.split(&sample), row = l.rows.split(&sample);
    const INDEX image_line = ((sample * l.channels.by + channel) * l.rows.by + row) * l.p.by + line;
    return (image_line * l.cols.by + col) * l.words.by + word;
}

template <bool BACK, typename W, typename INDEX>
__global__ void __launch_bounds__(THREADS) move_patches(patch_layout<INDEX> layout, const W *from, W *to)
{
    const INDEX i = (INDEX)blockIdx.x * THREADS + threadIdx.x;
    if (i >= layout.count) return;
    const INDEX image = word_in_image(layout, i);
    to[BACK ? image : i] = from[BACK ? i : image];
}

template <bool BACK, typename W>
dt_status move_words(const dt_queue *q, int64_t line, int64_t batch, int64_t channels, int64_t rows, int64_t cols,
                     int64_t p, const void *from, void *to)
{
    const int64_t words = line / (int64_t)sizeof(W), count = batch * channels * rows * cols * p * words;
    if (count <= 0) return DT_OK;
    return by_index(count, [=](auto zero) {
        typedef decltype(zero) INDEX;
        typedef divider<INDEX> by;
        const patch_layout<INDEX> layout = {(INDEX)count, by(words), by(p), by(channels), by(cols), by(rows)};
        const int64_t blocks = ceil_div<int64_t>(count, THREADS);
        move_patches<BACK, W><<<(unsigned)blocks, THREADS, 0, stream_of(q)>>>(layout, (const W *)from, (W *)to);
        return launched();
    });
}

/* No arithmetic: the element's size is all that matters of its type. */
template <bool BACK>
dt_status move(const dt_queue *q, dt_dtype t, int64_t batch, int64_t channels, int64_t rows, int64_t cols, int64_t p,
               const void *from, void *to)
{
    const int64_t line = p * (int64_t)dt_dtype_size(t);
    if (line % 16 == 0) return move_words<BACK, uint4>(q, line, batch, channels, rows, cols, p, from, to);
    if (line % 8 == 0) return move_words<BACK, uint2>(q, line, batch, channels, rows, cols, p, from, to);
    if (line % 4 == 0) return move_words<BACK, uint32_t>(q, line, batch, channels, rows, cols, p, from, to);
    if (line % 2 == 0) return move_words<BACK, uint16_t>(q, line, batch, channels, rows, cols, p, from, to);
    return no_type(t);
}

}

dt_status dt_cuda_normalize(const dt_queue *q, dt_dtype t, int64_t batch, int64_t channels, int64_t pixels,
                            const double *mean, const double *std, const uint8_t *x, void *y)
{
    const int64_t n = batch * channels * pixels;
    if (n <= 0) return DT_OK;
    if (channels > MOST_CHANNELS)
        return dt_fail(DT_ERR_USAGE, "CUDA normalises images of at most %d channels, not %lld", (int)MOST_CHANNELS,
                       (long long)channels);
    channel_map map = {};
    for (int64_t c = 0; c < channels; c++) {
        map.scale[c] = (float)(1 / (255 * std[c]));
        map.offset[c] = (float)(-mean[c] / std[c]);
    }
    return by_type(t, [=](auto element) {
        typedef decltype(element) T;
        return by_index(n, [=](auto zero) {
            typedef decltype(zero) INDEX;
            const int64_t blocks = ceil_div<int64_t>(n, pack<T>::size * THREADS);
            normalize_bytes<T, INDEX><<<(unsigned)blocks, THREADS, 0, stream_of(q)>>>(
                (INDEX)n, divider<INDEX>(pixels), divider<INDEX>(channels), map, x, (T *)y);
            return launched();
        });
    });
}

dt_status dt_cuda_patchify(const dt_queue *q, dt_dtype t, int64_t batch, int64_t channels, int64_t rows, int64_t cols,
                           int64_t p, const void *images, void *patches)
{
    return move<false>(q, t, batch, channels, rows, cols, p, images, patches);
}

dt_status dt_cuda_unpatchify(const dt_queue *q, dt_dtype t, int64_t batch, int64_t channels, int64_t rows, int64_t cols,
                             int64_t p, const void *patches, void *images)
{
    return move<true>(q, t, batch, channels, rows, cols, p, patches, images);
}
