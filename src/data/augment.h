/* Random changes to one training image of bytes. */
#ifndef DT_DATA_AUGMENT_H
#define DT_DATA_AUGMENT_H

#include <stdbool.h>

#include "data/data.h"

typedef struct dt_augment {
    bool flip;            /* mirror left to right with probability 1/2 */
    int64_t crop_padding; /* crop the image's own size out of the image with so many black pixels around it */
} dt_augment;

dt_augment dt_augment_read(const dt_settings *); /* data.flip, data.crop_padding */
/* to[C, H, W] from from[C, H, W], which do not overlap; drawn by (seed, epoch, sample) alone. */
void dt_augment_image(const dt_augment *, const dt_data_info *, uint64_t seed, int64_t epoch, int64_t sample,
                      const uint8_t *from, uint8_t *to);

#endif
