/* Random crop with padding and horizontal flip, one pass over the image for both. */
#include "data/augment.h"

#include <string.h>

#include "base/random.h"

dt_augment dt_augment_read(const dt_settings *settings)
{
    return (dt_augment){.flip = dt_setting_bool(settings, "data.flip"),
                        .crop_padding = dt_setting_int(settings, "data.crop_padding")};
}

/* 0 .. count-1; a count far below 2^32 makes the unevenness nothing. */
static int64_t draw_below(uint32_t word, int64_t count) { return dt_mul_high(word, (uint32_t)count); }

static void mirror(uint8_t *row, int64_t width)
{
    for (int64_t x = 0; x < width / 2; x++) {
        uint8_t kept = row[x];
        row[x] = row[width - 1 - x];
        row[width - 1 - x] = kept;
    }
}

/* to[x] = from[x + shift], 0 outside. */
static void shift_row(const uint8_t *from, int64_t width, int64_t shift, uint8_t *to)
{
    int64_t first = shift < 0 ? -shift : 0, end = shift > 0 ? width - shift : width;
    if (first >= end) {
        memset(to, 0, (size_t)width);
        return;
    }
    memset(to, 0, (size_t)first);
    memcpy(to + first, from + first + shift, (size_t)(end - first));
    memset(to + end, 0, (size_t)(width - end));
}

void dt_augment_image(const dt_augment *augment, const dt_data_info *info, uint64_t seed, int64_t epoch,
                      int64_t sample, const uint8_t *from, uint8_t *to)
{
    dt_random4 random = dt_philox(seed, DT_PURPOSE_AUGMENT, (uint64_t)epoch, (uint64_t)sample, 0);
    int64_t offsets = 2 * augment->crop_padding + 1;
    int64_t down = draw_below(random.word[0], offsets) - augment->crop_padding;
    int64_t right = draw_below(random.word[1], offsets) - augment->crop_padding;
    bool flip = augment->flip && random.word[2] >> 31;
    for (int64_t row = 0; row < info->channels * info->height; row++, to += info->width) {
        int64_t y = row % info->height + down;
        if (y < 0 || y >= info->height) {
            memset(to, 0, (size_t)info->width);
            continue;
        }
        shift_row(from + (row + down) * info->width, info->width, right, to);
        if (flip) mirror(to, info->width);
    }
}
