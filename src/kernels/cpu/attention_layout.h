/* The tiles of attention and the scratch memory of one worker, in elements. */
#ifndef DT_KERNELS_CPU_ATTENTION_LAYOUT_H
#define DT_KERNELS_CPU_ATTENTION_LAYOUT_H

#include "kernels/cpu/split.h"

enum {
    DT_ATTENTION_TILE = 128, /* queries and keys of a tile of scores */
    DT_ATTENTION_PAD = 32    /* no set's panel is wider */
};

typedef struct dt_attention_layout {
    int64_t tile;       /* queries, and keys, of a tile: fewer where there are fewer tokens */
    int64_t tile_width; /* of a row of scores, whole panels */
    int64_t size_width; /* of a row of a packed or accumulated head, whole panels */
    int64_t scores;     /* tile x tile_width */
    int64_t columns;    /* size x tile_width: a packed transpose */
    int64_t rows;       /* tile x size_width */
} dt_attention_layout;

static inline dt_attention_layout dt_attention_layout_of(int64_t tokens, int64_t size)
{
    dt_attention_layout l = {.tile = dt_min(tokens, DT_ATTENTION_TILE)};
    l.tile_width = dt_round_up(l.tile, DT_ATTENTION_PAD);
    l.size_width = dt_round_up(size, DT_ATTENTION_PAD);
    l.scores = l.tile * l.tile_width;
    l.columns = size * l.tile_width;
    l.rows = l.tile * l.size_width;
    return l;
}

/* Forward: scores, keys transposed, values, the output. Backward: probabilities and their gradients; keys and values
 * transposed; keys, queries and output gradients by rows. */
static inline int64_t dt_attention_scratch(dt_attention_layout l) { return l.scores + l.columns + 2 * l.rows; }
static inline int64_t dt_attention_grad_scratch(dt_attention_layout l)
{
    return 2 * l.scores + 2 * l.columns + 3 * l.rows;
}

#endif
