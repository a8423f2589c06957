/* Rows of shards, and the windows over them. */
#include "data/windows.h"

#include <stdlib.h>
#include <string.h>

#include "base/random.h"

dt_windows dt_windows_read(const dt_settings *settings, dt_split split)
{
    const char *stride = split == DT_SPLIT_TRAIN ? "data.stride" : "data.eval_stride";
    dt_windows w = {.split = split, .context = dt_setting_int(settings, "data.context"), .separator = -1};
    w.stride = dt_setting_has(settings, stride) ? dt_setting_int(settings, stride) : w.context;
    if (split == DT_SPLIT_EVAL && w.stride > w.context) w.stride = w.context; /* every token is a target */
    if (dt_setting_has(settings, "data.separator")) w.separator = (int32_t)dt_setting_int(settings, "data.separator");
    return w;
}

/* --- rows --- */

static void free_row(dt_token_row *row)
{
    for (int64_t s = 0; s < row->shards; s++) dt_shard_free(row->shard[s]);
    free(row->shard);
    free(row->first);
}

void dt_windows_free(dt_windows *w)
{
    for (int r = 0; r < w->rows; r++) free_row(&w->row[r]);
    free(w->row);
    dt_text_free(&w->without_bytes);
    w->row = NULL;
    w->rows = 0;
}

dt_status dt_windows_add(dt_windows *w, dt_shard **shard, int64_t shards)
{
    dt_token_row row = {.shard = shard, .shards = shards};
    dt_token_row *grown = realloc(w->row, ((size_t)w->rows + 1) * sizeof *grown);
    if (grown) w->row = grown;
    row.first = calloc((size_t)shards + 1, sizeof *row.first);
    if (!grown || !row.first) {
        free_row(&row);
        return dt_fail_memory(((size_t)shards + 1) * sizeof *row.first, "the list of shards");
    }
    for (int64_t s = 0; s < shards; s++) row.first[s + 1] = row.first[s] + shard[s]->tokens;
    row.end = row.first[shards];
    w->row[w->rows++] = row;
    return DT_OK;
}

dt_status dt_windows_add_one(dt_windows *w, dt_shard *shard)
{
    dt_shard **list = malloc(sizeof *list);
    if (!list) {
        dt_shard_free(shard);
        return dt_fail_memory(sizeof *list, "the list of shards");
    }
    *list = shard;
    return dt_windows_add(w, list, 1);
}

void dt_windows_cut(dt_windows *w, int64_t begin, int64_t end)
{
    dt_token_row *row = &w->row[w->rows - 1];
    row->begin = begin;
    row->end = end;
}

/* The shard that holds a token of the row. */
static int64_t find_shard(const dt_token_row *row, int64_t token)
{
    int64_t low = 0, high = row->shards - 1;
    while (low < high) {
        int64_t middle = (low + high + 1) / 2;
        if (row->first[middle] <= token) low = middle;
        else high = middle - 1;
    }
    return low;
}

/* --- counting --- */

static int64_t count_windows(const dt_windows *w, const dt_token_row *row)
{
    int64_t targets = row->end - row->begin - 1;
    if (w->split == DT_SPLIT_TRAIN) return targets < w->context ? 0 : (targets - w->context) / w->stride + 1;
    if (targets < 1) return 0;
    return targets <= w->context ? 1 : 1 + (targets - w->context + w->stride - 1) / w->stride;
}

static dt_status check_length(const dt_windows *w, const dt_token_row *row)
{
    bool train = w->split == DT_SPLIT_TRAIN;
    int64_t tokens = row->end - row->begin, needed = train ? w->context + 1 : 2;
    if (tokens >= needed) return DT_OK;
    return dt_fail(DT_ERR_DATA, "'%s'%s: the %s split has %lld tokens, but a sample takes %lld; %s, or give more text",
                   row->shards ? row->shard[0]->path : "data.path", row->shards > 1 ? " and the other files" : "",
                   train ? "training" : "held-out", (long long)tokens, (long long)needed,
                   train ? "lower data.context" : "raise data.held_out");
}

static dt_status check_shards(const dt_windows *w, const dt_token_row *row, int64_t vocabulary)
{
    const dt_shard *first = w->row[0].shard[0];
    for (int64_t s = 0; s < row->shards; s++) {
        const dt_shard *shard = row->shard[s];
        int64_t told = shard->vocabulary ? shard->vocabulary : vocabulary;
        if (shard->tokenizer && first->tokenizer && shard->tokenizer != first->tokenizer)
            return dt_fail(DT_ERR_DATA, "'%s' was made with another tokenizer than '%s'", shard->path, first->path);
        if (shard->vocabulary > vocabulary)
            return dt_fail(DT_ERR_DATA, "'%s' holds tokens of a vocabulary of %lld, but the settings say %lld "
                           "(data.vocabulary, or model.vocabulary)", shard->path, (long long)shard->vocabulary,
                           (long long)vocabulary);
        if (w->separator >= told)
            return dt_fail(DT_ERR_USAGE, "data.separator is %d, but '%s' holds tokens of a vocabulary of %lld, which "
                           "has no such token", w->separator, shard->path, (long long)told);
    }
    return DT_OK;
}

/* Does every shard tell where its documents end? */
static bool tells_documents(const dt_windows *w)
{
    for (int r = 0; r < w->rows && w->separator < 0; r++)
        for (int64_t s = 0; s < w->row[r].shards; s++)
            if (!w->row[r].shard[s]->document_ends) return false;
    return true;
}

static dt_status count_text(dt_windows *w, dt_data_info *info)
{
    info->tokens = 0;
    for (int r = 0; r < w->rows; r++) info->tokens += w->row[r].end - w->row[r].begin - 1;
    if (w->split == DT_SPLIT_TRAIN) return DT_OK;
    return dt_windows_count_bytes(w, info->tokenizer, &info->bytes, &w->without_bytes);
}

/* Each row's share of an epoch that has as many samples as all rows together. */
static void deal_shares(dt_windows *w, const double *weights)
{
    double all = 0, sum = 0;
    for (int r = 0; r < w->rows; r++) all += (double)w->row[r].windows, sum += weights[r];
    for (int r = 0; r < w->rows; r++) {
        double share = all * weights[r] / sum;
        w->row[r].share = share < 1 ? 1 : (int64_t)(share + 0.5);
    }
}

dt_status dt_windows_count(dt_windows *w, const double *weights, dt_data_info *info)
{
    info->count = 0;
    for (int r = 0; r < w->rows; r++) {
        dt_token_row *row = &w->row[r];
        DT_TRY(check_length(w, row));
        if (!info->vocabulary) info->vocabulary = row->shard[0]->vocabulary;
        if (!info->vocabulary)
            return dt_fail(DT_ERR_USAGE, "'%s' does not tell how many tokens its vocabulary has: set data.vocabulary",
                           row->shard[0]->path);
        DT_TRY(check_shards(w, row, info->vocabulary));
        row->windows = row->share = count_windows(w, row);
    }
    if (weights && w->split == DT_SPLIT_TRAIN) deal_shares(w, weights);
    for (int r = 0; r < w->rows; r++) info->count += w->row[r].share;
    w->vocabulary = info->vocabulary;
    info->documents = tells_documents(w);
    return count_text(w, info);
}

/* --- reading --- */

static dt_status check_tokens(const dt_windows *w, const dt_shard *shard, int64_t first, int64_t count,
                              const int32_t *tokens)
{
    uint32_t most = 0;
    for (int64_t i = 0; i < count; i++) most = (uint32_t)tokens[i] > most ? (uint32_t)tokens[i] : most;
    if (most < (uint64_t)w->vocabulary) return DT_OK;
    for (; (uint32_t)*tokens < (uint64_t)w->vocabulary; tokens++) first++;
    return dt_fail(DT_ERR_DATA, "'%s': token %lld is %u, beyond the vocabulary of %lld", shard->path, (long long)first,
                   (unsigned)*tokens, (long long)w->vocabulary);
}

static dt_status check_shard(const dt_windows *w, const dt_shard *shard)
{
    enum { AT_ONCE = 1 << 16 };
    int32_t *tokens = malloc(AT_ONCE * sizeof *tokens);
    if (!tokens) return dt_fail_memory(AT_ONCE * sizeof *tokens, "tokens");
    dt_status status = DT_OK;
    for (int64_t first = 0, count; first < shard->tokens && !status; first += count) {
        count = shard->tokens - first < AT_ONCE ? shard->tokens - first : AT_ONCE;
        status = dt_shard_read(shard, first, count, tokens);
        if (!status) status = check_tokens(w, shard, first, count, tokens);
    }
    free(tokens);
    return status;
}

dt_status dt_windows_check(const dt_windows *w)
{
    for (int r = 0; r < w->rows; r++)
        for (int64_t s = 0; s < w->row[r].shards; s++)
            if (!w->row[r].shard[s]->vocabulary) DT_TRY(check_shard(w, w->row[r].shard[s]));
    return DT_OK;
}

/* Tokens of the row, through as many shards as it takes. */
static dt_status read_row(const dt_windows *w, const dt_token_row *row, int64_t first, int64_t count, int32_t *out)
{
    for (int64_t s = find_shard(row, first); count > 0; s++) {
        int64_t here = row->first[s + 1] - first, inside = first - row->first[s];
        if (here > count) here = count;
        DT_TRY(dt_shard_read(row->shard[s], inside, here, out));
        DT_TRY(check_tokens(w, row->shard[s], inside, here, out));
        first += here;
        out += here;
        count -= here;
    }
    return DT_OK;
}

/* Where in the window, which begins at `first` of the row, each token's document begins. A shard begins one. */
static void find_starts(const dt_windows *w, const dt_token_row *row, int64_t first, int64_t count,
                        const int32_t *tokens, int32_t *starts)
{
    int64_t s = find_shard(row, first), begin = 0;
    for (int64_t t = 0; t < count; t++) {
        while (first + t >= row->first[s + 1]) begin = row->first[++s];
        const dt_shard *shard = row->shard[s];
        if (shard->document_ends) begin = row->first[s] + dt_shard_document(shard, first + t - row->first[s]);
        else if (t && tokens[t - 1] == w->separator) begin = first + t;
        starts[t] = begin <= first ? 0 : (int32_t)(begin - first);
    }
}

/* Sample `index` of an epoch as a row and its window. */
static const dt_token_row *locate(const dt_windows *w, uint64_t seed, int64_t epoch, int64_t index, int64_t *window)
{
    int r = 0;
    for (; index >= w->row[r].share; r++) index -= w->row[r].share;
    const dt_token_row *row = &w->row[r];
    *window = index;
    if (row->share == row->windows) return row;
    int64_t drawn = epoch * row->share + index;
    uint64_t key = (seed ^ 0x6D69780000000000u) + (uint64_t)r; /* "mix": another order than that of the samples */
    *window = (int64_t)dt_permute(key, (uint64_t)(drawn / row->windows), (uint64_t)row->windows,
                                  (uint64_t)(drawn % row->windows));
    return row;
}

/* Targets that a window of the eval split shares with the one before it are that one's. */
static void mask_targets(const dt_windows *w, int64_t window, int64_t read, int32_t *targets)
{
    int64_t before = w->split == DT_SPLIT_EVAL && window ? w->context - w->stride : 0;
    for (int64_t t = 0; t < before; t++) targets[t] = -1;
    for (int64_t t = read - 1; t < w->context; t++) targets[t] = -1;
}

dt_status dt_windows_fill(const dt_windows *w, uint64_t seed, int64_t epoch, int64_t index, int32_t *scratch,
                          int32_t *tokens, int32_t *targets, int32_t *starts)
{
    int64_t window, room = w->context + 1;
    size_t bytes = (size_t)w->context * sizeof *tokens;
    const dt_token_row *row = locate(w, seed, epoch, index, &window);
    int64_t first = row->begin + window * w->stride;
    int64_t read = row->end - first < room ? row->end - first : room;
    DT_TRY(read_row(w, row, first, read, scratch));
    memset(scratch + read, 0, (size_t)(room - read) * sizeof *scratch);
    if (tokens) memcpy(tokens, scratch, bytes);
    if (targets) {
        memcpy(targets, scratch + 1, bytes);
        mask_targets(w, window, read, targets);
    }
    if (!starts) return DT_OK;
    find_starts(w, row, first, read < w->context ? read : w->context, scratch, starts);
    for (int64_t t = read; t < w->context; t++) starts[t] = (int32_t)t;
    return DT_OK;
}
