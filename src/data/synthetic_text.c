/* Synthetic tokens: each follows from the one before by a fixed rule and one of four draws, so that a model that learns
 * the rule has a loss of ln 4 = 1.386 nats, and none has less. The same everywhere. */
#include <stdlib.h>

#include "base/random.h"
#include "data/dataset.h"

enum { DRAWS = 4, VOCABULARY = 256 };
static const int64_t MOST_TOKENS = INT64_MAX / sizeof(int32_t); /* whose bytes can be counted */

static int64_t count_tokens(const dt_settings *settings, dt_split split)
{
    int64_t samples = dt_setting_int(settings, "data.synthetic_count");
    if (split == DT_SPLIT_EVAL) samples = samples < 10 ? 1 : samples / 10;
    int64_t context = dt_setting_int(settings, "data.context");
    return samples < MOST_TOKENS / context ? samples * context + 1 : MOST_TOKENS + 1;
}

static void describe_synthetic_text(const dt_settings *settings, dt_split split, dt_data_info *info)
{
    info->context = dt_setting_int(settings, "data.context");
    info->vocabulary = VOCABULARY;
    if (dt_setting_has(settings, "data.vocabulary")) info->vocabulary = dt_setting_int(settings, "data.vocabulary");
}

static void draw_tokens(int32_t *tokens, int64_t count, int64_t vocabulary, dt_split split)
{
    uint64_t token = 0;
    dt_random4 draw = {{0}};
    for (int64_t i = 0; i < count; i++) {
        if (i % 4 == 0) draw = dt_philox(0, DT_PURPOSE_SYNTHETIC, split, (uint64_t)i / 4, 0);
        tokens[i] = (int32_t)token;
        token = (5 * token + 1 + (draw.word[i % 4] % DRAWS) * 7) % (uint64_t)vocabulary;
    }
}

static dt_status open_synthetic_text(dt_dataset *dataset, const dt_settings *settings, const char *folder)
{
    dt_shard *shard;
    int64_t count = count_tokens(settings, dataset->split);
    int32_t *tokens = count > MOST_TOKENS ? NULL : malloc((size_t)count * sizeof *tokens);
    if (!tokens) return dt_fail_memory((size_t)count * sizeof *tokens, "synthetic tokens; lower data.synthetic_count");
    draw_tokens(tokens, count, dataset->info.vocabulary, dataset->split);
    DT_TRY(dt_shard_of_memory("synthetic_text", (uint8_t *)tokens, count, sizeof *tokens, &shard));
    shard->vocabulary = dataset->info.vocabulary;
    shard->bytes = count;
    dataset->windows = dt_windows_read(settings, dataset->split);
    DT_TRY(dt_windows_add_one(&dataset->windows, shard));
    DT_TRY(dt_windows_count(&dataset->windows, NULL, &dataset->info));
    dataset->info.documents = true; /* one, unless data.separator ends more */
    return DT_OK;
}

const dt_dataset_kind dt_dataset_synthetic_text = {
    .name = "synthetic_text",
    .what = "tokens drawn by a rule, for tests and benchmarks: data.synthetic_count, .context, .vocabulary",
    .info = {.form = DT_FORM_TOKENS},
    .describe = describe_synthetic_text,
    .open = open_synthetic_text,
};
