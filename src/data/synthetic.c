/* Synthetic images: a pattern of 8x8 cells per class and channel, under noise of the same strength; labels go round.
 * All bytes are drawn from Philox by (class) and (split, sample), so the set needs no memory, is the same everywhere,
 * and a model that trains on it learns the patterns. */
#include <string.h>

#include "base/random.h"
#include "data/dataset.h"

enum { GRID = 8, CELLS = GRID * GRID, MOST_CHANNELS = 4 };
enum { DRAW_PATTERN, DRAW_NOISE }; /* the noise of the splits: DRAW_NOISE + split */

static void describe_synthetic(const dt_settings *settings, dt_split split, dt_image_info *info)
{
    info->count = dt_setting_int(settings, "data.synthetic_count");
    if (split == DT_SPLIT_EVAL) info->count = info->count < 10 ? 1 : info->count / 10;
    if (dt_setting_has(settings, "data.image")) info->height = info->width = dt_setting_int(settings, "data.image");
    if (dt_setting_has(settings, "data.channels")) info->channels = dt_setting_int(settings, "data.channels");
    if (dt_setting_has(settings, "data.classes")) info->classes = dt_setting_int(settings, "data.classes");
}

static dt_status open_synthetic(dt_dataset *dataset, const char *folder) { return DT_OK; }

/* Fills one channel with its cells, each of one value in 64 .. 191. */
static void paint_cells(const uint8_t *cells, int64_t height, int64_t width, uint8_t *channel)
{
    for (int64_t y = 0; y < height; y++) {
        const uint8_t *row = cells + y * GRID / height * GRID;
        for (int64_t cell = 0; cell < GRID; cell++) {
            int64_t first = (cell * width + GRID - 1) / GRID, end = ((cell + 1) * width + GRID - 1) / GRID;
            memset(channel + y * width + first, 64 + row[cell] / 2, (size_t)(end - first));
        }
    }
}

/* Adds -64 .. 63 to each byte. */
static void add_noise(uint64_t draw, uint64_t sample, int64_t count, uint8_t *bytes)
{
    for (int64_t start = 0; start < count; start += (int64_t)sizeof(dt_random4)) {
        dt_random4 random = dt_philox(0, DT_PURPOSE_SYNTHETIC, draw, sample, (uint32_t)(start / (int64_t)sizeof random));
        uint8_t noise[sizeof random];
        memcpy(noise, &random, sizeof random);
        int64_t here = count - start < (int64_t)sizeof random ? count - start : (int64_t)sizeof random;
        for (int64_t i = 0; i < here; i++) bytes[start + i] = (uint8_t)(bytes[start + i] + noise[i] / 2 - 64);
    }
}

static dt_status read_synthetic(const dt_dataset *dataset, int64_t index, uint8_t *image, int32_t *label)
{
    const dt_image_info *info = &dataset->info;
    int64_t class = index % info->classes, area = info->height * info->width;
    dt_random4 cells[MOST_CHANNELS * CELLS / sizeof(dt_random4)];
    for (uint32_t b = 0; b < sizeof cells / sizeof *cells; b++)
        cells[b] = dt_philox(0, DT_PURPOSE_SYNTHETIC, DRAW_PATTERN, (uint64_t)class, b);
    for (int64_t c = 0; c < info->channels; c++)
        paint_cells((const uint8_t *)cells + c * CELLS, info->height, info->width, image + c * area);
    add_noise(DRAW_NOISE + (uint64_t)dataset->split, (uint64_t)index, dt_image_bytes(info), image);
    *label = (int32_t)class;
    return DT_OK;
}

const dt_dataset_kind dt_dataset_synthetic = {
    .name = "synthetic",
    .what = "images drawn on the fly, for tests and benchmarks: data.synthetic_count, .image, .channels, .classes",
    .info = {.channels = 3, .height = 224, .width = 224, .classes = 1000,
             .mean = {0.5, 0.5, 0.5, 0.5}, .std = {0.2, 0.2, 0.2, 0.2}},
    .describe = describe_synthetic,
    .open = open_synthetic,
    .read = read_synthetic,
};
