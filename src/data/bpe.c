/* The tables of a byte pair encoding, and merging. */
#include "data/bpe.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

enum { SHORT_WORD = 48 }; /* up to here looking through all pairs is quicker than a heap */

/* --- strings to numbers --- */

static uint32_t slot_of(const dt_string_map *map, uint32_t hash, const char *key, size_t length)
{
    uint32_t s = hash & map->mask;
    for (; map->slot[s].value >= 0; s = (s + 1) & map->mask) {
        const struct dt_string_slot *slot = &map->slot[s];
        if (slot->hash == hash && slot->length == length && !memcmp(map->bytes.data + slot->at, key, length)) break;
    }
    return s;
}

static dt_status grow(dt_string_map *map)
{
    dt_string_map old = *map;
    uint32_t room = map->slot ? 2 * (map->mask + 1) : 256;
    map->slot = malloc(room * sizeof *map->slot);
    if (!map->slot) {
        map->slot = old.slot;
        return dt_fail_memory(room * sizeof *map->slot, "a table of tokens");
    }
    map->mask = room - 1;
    for (uint32_t s = 0; s < room; s++) map->slot[s].value = -1;
    for (uint32_t s = 0; old.slot && s <= old.mask; s++)
        if (old.slot[s].value >= 0)
            map->slot[slot_of(map, old.slot[s].hash, map->bytes.data + old.slot[s].at, old.slot[s].length)] =
                old.slot[s];
    free(old.slot);
    return DT_OK;
}

dt_status dt_string_map_add(dt_string_map *map, const char *key, size_t length, int32_t value)
{
    if (!map->slot || 2 * map->used > map->mask) DT_TRY(grow(map));
    uint32_t hash = (uint32_t)dt_hash_bytes(key, length, 0), at = (uint32_t)map->bytes.length;
    struct dt_string_slot *slot = &map->slot[slot_of(map, hash, key, length)];
    if (slot->value >= 0) {
        slot->value = value;
        return DT_OK;
    }
    dt_text_add_bytes(&map->bytes, key, length);
    DT_TRY(dt_text_status(&map->bytes));
    *slot = (struct dt_string_slot){hash, value, at, (uint32_t)length};
    map->used++;
    return DT_OK;
}

int32_t dt_string_map_find(const dt_string_map *map, const char *key, size_t length)
{
    if (!map->slot) return -1;
    return map->slot[slot_of(map, (uint32_t)dt_hash_bytes(key, length, 0), key, length)].value;
}

void dt_string_map_free(dt_string_map *map)
{
    free(map->slot);
    dt_text_free(&map->bytes);
    *map = (dt_string_map){0};
}

/* --- tables --- */

void dt_bpe_free(dt_bpe *bpe)
{
    for (int i = 0; i < bpe->specials; i++) free(bpe->special[i].name);
    free(bpe->special);
    free(bpe->merge);
    free(bpe->at);
    dt_text_free(&bpe->bytes);
    dt_string_map_free(&bpe->ids);
    *bpe = (dt_bpe){0};
}

dt_status dt_bpe_reserve_merges(dt_bpe *bpe, int64_t merges)
{
    uint64_t room = 16;
    while (room < 2 * (uint64_t)merges) room *= 2;
    bpe->merge = malloc(room * sizeof *bpe->merge);
    if (!bpe->merge) return dt_fail_memory(room * sizeof *bpe->merge, "the merges of a tokenizer");
    bpe->merge_mask = room - 1;
    for (uint64_t m = 0; m < room; m++) bpe->merge[m].pair = UINT64_MAX;
    return DT_OK;
}

static dt_merge *merge_slot(const dt_bpe *bpe, uint64_t pair)
{
    uint64_t m = (pair * 0x9E3779B97F4A7C15u >> 20) & bpe->merge_mask;
    while (bpe->merge[m].pair != UINT64_MAX && bpe->merge[m].pair != pair) m = (m + 1) & bpe->merge_mask;
    return &bpe->merge[m];
}

static uint64_t pair_of(int32_t left, int32_t right) { return (uint64_t)(uint32_t)left << 32 | (uint32_t)right; }

void dt_bpe_add_merge(dt_bpe *bpe, int32_t left, int32_t right, int32_t token)
{
    dt_merge *merge = merge_slot(bpe, pair_of(left, right));
    *merge = (dt_merge){pair_of(left, right), (int32_t)bpe->merges++, token};
}

const dt_merge *dt_bpe_find(const dt_bpe *bpe, int32_t left, int32_t right)
{
    const dt_merge *merge = merge_slot(bpe, pair_of(left, right));
    return merge->pair == UINT64_MAX ? NULL : merge;
}

/* --- short words: the best of all pairs, again and again --- */

static int32_t rank_of(const dt_bpe *bpe, int32_t left, int32_t right)
{
    const dt_merge *merge = dt_bpe_find(bpe, left, right);
    return merge ? merge->rank : INT32_MAX;
}

static void merge_short(const dt_bpe *bpe, int32_t *token, int64_t *count)
{
    int32_t rank[SHORT_WORD];
    int64_t n = *count;
    for (int64_t i = 0; i + 1 < n; i++) rank[i] = rank_of(bpe, token[i], token[i + 1]);
    while (n > 1) {
        int64_t best = 0;
        for (int64_t i = 1; i + 1 < n; i++)
            if (rank[i] < rank[best]) best = i;
        if (rank[best] == INT32_MAX) break;
        token[best] = dt_bpe_find(bpe, token[best], token[best + 1])->token;
        n--;
        memmove(token + best + 1, token + best + 2, (size_t)(n - best - 1) * sizeof *token);
        if (best + 1 < n) memmove(rank + best + 1, rank + best + 2, (size_t)(n - best - 2) * sizeof *rank);
        if (best + 1 < n) rank[best] = rank_of(bpe, token[best], token[best + 1]);
        if (best > 0) rank[best - 1] = rank_of(bpe, token[best - 1], token[best]);
    }
    *count = n;
}

/* --- long words: a heap of pairs; entries that no longer hold are passed over --- */

typedef struct long_word {
    const dt_bpe *bpe;
    int32_t *token, *next, *before; /* of places; next is `count` at the end, before -1 at the front */
    int32_t count;
    uint64_t *heap;                 /* rank << 32 | place, least first */
    int64_t held;
} long_word;

static void push(long_word *w, uint64_t entry)
{
    int64_t i = w->held++;
    for (; i && w->heap[(i - 1) / 2] > entry; i = (i - 1) / 2) w->heap[i] = w->heap[(i - 1) / 2];
    w->heap[i] = entry;
}

static uint64_t pop(long_word *w)
{
    uint64_t least = w->heap[0], last = w->heap[--w->held];
    int64_t i = 0;
    for (int64_t child; (child = 2 * i + 1) < w->held; i = child) {
        if (child + 1 < w->held && w->heap[child + 1] < w->heap[child]) child++;
        if (w->heap[child] >= last) break;
        w->heap[i] = w->heap[child];
    }
    w->heap[i] = last;
    return least;
}

static void push_pair(long_word *w, int32_t left)
{
    if (left < 0 || w->next[left] == w->count) return;
    const dt_merge *merge = dt_bpe_find(w->bpe, w->token[left], w->token[w->next[left]]);
    if (merge) push(w, (uint64_t)merge->rank << 32 | (uint32_t)left);
}

static void merge_at(long_word *w, int32_t left, int32_t token)
{
    int32_t right = w->next[left];
    w->token[left] = token;
    w->token[right] = -1;
    w->next[left] = w->next[right];
    if (w->next[left] < w->count) w->before[w->next[left]] = left;
    push_pair(w, w->before[left]);
    push_pair(w, left);
}

static void merge_all(long_word *w)
{
    for (int32_t i = 0; i < w->count; i++) w->next[i] = i + 1, w->before[i] = i - 1;
    for (int32_t i = 0; i < w->count; i++) push_pair(w, i);
    while (w->held) {
        uint64_t entry = pop(w);
        int32_t left = (int32_t)(uint32_t)entry;
        if (w->token[left] < 0 || w->next[left] == w->count) continue;
        const dt_merge *merge = dt_bpe_find(w->bpe, w->token[left], w->token[w->next[left]]);
        if (merge && (uint64_t)merge->rank == entry >> 32) merge_at(w, left, merge->token);
    }
}

dt_status dt_bpe_merge(const dt_bpe *bpe, dt_bpe_scratch *scratch, int32_t *token, int64_t *count)
{
    if (*count <= SHORT_WORD) {
        merge_short(bpe, token, count);
        return DT_OK;
    }
    /* Each of at most n - 1 merges takes one entry off and puts two on, above the n - 1 of the beginning. */
    size_t n = (size_t)*count, needed = 2 * n * sizeof(uint64_t) + n * 2 * sizeof(int32_t);
    if (scratch->room < needed) {
        free(scratch->memory);
        scratch->memory = malloc(needed);
        scratch->room = scratch->memory ? needed : 0;
        if (!scratch->memory) return dt_fail_memory(needed, "a long word");
    }
    uint64_t *heap = scratch->memory;
    long_word w = {bpe, token, (int32_t *)(heap + 2 * n), (int32_t *)(heap + 2 * n) + n, (int32_t)n, heap, 0};
    merge_all(&w);
    int64_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (token[i] >= 0) token[kept++] = token[i];
    *count = kept;
    return DT_OK;
}
