/* Synthetic images: a pattern of 8x8 cells per class and channel, under noise of the same strength; labels go round.
 * The patterns are drawn from Philox by class. The noise of an image's rows are stretches of one table, at places drawn
 * by (split, sample, row): making an image costs little more than writing it, so that a benchmark measures the model.
 * The set is the same everywhere, and a model that trains on it learns the patterns. */
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "data/dataset.h"

enum { GRID = 8, CELLS = GRID * GRID, MOST_CHANNELS = 4, MOST_WIDTH = 8192 };
enum { PLACES = 1 << 16, NOISE = PLACES + MOST_WIDTH }; /* of the table: where a row's stretch may begin; bytes */
enum { DRAW_PATTERN, DRAW_NOISE, DRAW_PLACE };          /* of the splits: DRAW_PLACE + split */

static void describe_synthetic(const dt_settings *settings, dt_split split, dt_data_info *info)
{
    info->count = dt_setting_int(settings, "data.synthetic_count");
    if (split == DT_SPLIT_EVAL) info->count = info->count < 10 ? 1 : info->count / 10;
    if (dt_setting_has(settings, "data.image")) info->height = info->width = dt_setting_int(settings, "data.image");
    if (dt_setting_has(settings, "data.channels")) info->channels = dt_setting_int(settings, "data.channels");
    if (dt_setting_has(settings, "data.classes")) info->classes = dt_setting_int(settings, "data.classes");
}

/* The table of noise, each byte 0 .. 127. */
static dt_status open_synthetic(dt_dataset *dataset, const dt_settings *settings, const char *folder)
{
    dataset->images = malloc(NOISE);
    if (!dataset->images) return dt_fail_memory(NOISE, "synthetic noise");
    for (uint32_t i = 0; i < NOISE; i += sizeof(dt_random4)) {
        dt_random4 random = dt_philox(0, DT_PURPOSE_SYNTHETIC, DRAW_NOISE, 0, i / sizeof random);
        memcpy(dataset->images + i, &random, sizeof random);
    }
    for (int i = 0; i < NOISE; i++) dataset->images[i] /= 2;
    return DT_OK;
}

/* One row of pixels through a row of cells, each of one value 0 .. 127. */
static void paint_row(const uint8_t *cells, int64_t width, uint8_t *row)
{
    for (int64_t cell = 0; cell < GRID; cell++) {
        int64_t first = (cell * width + GRID - 1) / GRID, end = ((cell + 1) * width + GRID - 1) / GRID;
        memset(row + first, cells[cell] / 2, (size_t)(end - first));
    }
}

/* out = a + b, eight at a time: sums of bytes below 128 carry nothing into their neighbours. */
static void add_bytes(const uint8_t *a, const uint8_t *b, int64_t count, uint8_t *out)
{
    int64_t i = 0;
    for (; i + 8 <= count; i += 8) {
        uint64_t x, y;
        memcpy(&x, a + i, 8);
        memcpy(&y, b + i, 8);
        x += y;
        memcpy(out + i, &x, 8);
    }
    for (; i < count; i++) out[i] = (uint8_t)(a[i] + b[i]);
}

/* image = pattern + noise; `cells` [channels, GRID, GRID]. The channels follow one another, so rows and rows of cells
 * are counted through all of them. */
static void draw_image(const dt_dataset *dataset, int64_t index, const uint8_t *cells, uint8_t *image)
{
    const dt_data_info *info = &dataset->info;
    uint8_t pattern[MOST_WIDTH];
    int64_t painted = -1;
    dt_random4 place = {{0}};
    for (int64_t row = 0; row < info->channels * info->height; row++, image += info->width) {
        int64_t cell_row = row * GRID / info->height;
        if (cell_row != painted) paint_row(cells + cell_row * GRID, info->width, pattern);
        painted = cell_row;
        if (row % 4 == 0)
            place = dt_philox(0, DT_PURPOSE_SYNTHETIC, DRAW_PLACE + dataset->split, (uint64_t)index,
                              (uint32_t)(row / 4));
        add_bytes(pattern, dataset->images + place.word[row % 4] % PLACES, info->width, image);
    }
}

static dt_status read_synthetic(const dt_dataset *dataset, int64_t index, uint8_t *image, int32_t *label)
{
    int64_t class = index % dataset->info.classes;
    dt_random4 cells[MOST_CHANNELS * CELLS / sizeof(dt_random4)];
    for (uint32_t b = 0; b < sizeof cells / sizeof *cells; b++)
        cells[b] = dt_philox(0, DT_PURPOSE_SYNTHETIC, DRAW_PATTERN, (uint64_t)class, b);
    draw_image(dataset, index, (const uint8_t *)cells, image);
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
