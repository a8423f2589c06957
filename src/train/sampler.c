/* Candidates are an array of (score, token); each rule leaves fewer of them. Probabilities are kept in float64. */
#include "train/sampler.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/random.h"
#include "data/tokenizer.h"

typedef struct candidate {
    double score; /* the logit, then the probability times a factor */
    int32_t token;
} candidate;

/* The tokens that a text has, each once: a step costs what these are, however long the text. */
typedef struct token_set {
    dt_tokens list;
    bool *has; /* [vocabulary] */
} token_set;

struct dt_sampler {
    dt_sampling by;
    int64_t vocabulary, sequences;
    candidate *candidate;
    token_set *seen; /* [sequences] */
};

static dt_status allocate(dt_sampler *s)
{
    s->candidate = malloc((size_t)s->vocabulary * sizeof *s->candidate);
    s->seen = calloc((size_t)s->sequences, sizeof *s->seen);
    if (!s->candidate || !s->seen) return dt_fail_memory((size_t)s->vocabulary * sizeof *s->candidate, "the sampler");
    for (int64_t i = 0; i < s->sequences && s->by.repetition_penalty != 1; i++) {
        s->seen[i].has = calloc((size_t)s->vocabulary, sizeof *s->seen[i].has);
        if (!s->seen[i].has) return dt_fail_memory((size_t)s->vocabulary * sizeof *s->seen[i].has, "the sampler");
    }
    return DT_OK;
}

dt_status dt_sampler_create(const dt_sampling *by, int64_t vocabulary, int64_t sequences, dt_sampler **out)
{
    dt_sampler *s = calloc(1, sizeof *s);
    if (!s) return dt_fail_memory(sizeof *s, "the sampler");
    *s = (dt_sampler){.by = *by, .vocabulary = vocabulary, .sequences = sequences};
    dt_status status = allocate(s);
    if (status) dt_sampler_free(s);
    else *out = s;
    return status;
}

void dt_sampler_free(dt_sampler *s)
{
    if (!s) return;
    for (int64_t i = 0; s->seen && i < s->sequences; i++) {
        free(s->seen[i].list.token);
        free(s->seen[i].has);
    }
    free(s->seen);
    free(s->candidate);
    free(s);
}

/* --- the tokens of a text --- */

void dt_sampler_clear(dt_sampler *s, int64_t sequence)
{
    token_set *seen = &s->seen[sequence];
    for (int64_t i = 0; i < seen->list.count; i++) seen->has[seen->list.token[i]] = false;
    seen->list.count = 0;
}

dt_status dt_sampler_add(dt_sampler *s, int64_t sequence, const int32_t *tokens, int64_t count)
{
    token_set *seen = &s->seen[sequence];
    if (!seen->has) return DT_OK;
    for (int64_t i = 0; i < count; i++) {
        if (tokens[i] < 0 || tokens[i] >= s->vocabulary || seen->has[tokens[i]]) continue;
        DT_TRY(dt_tokens_reserve(&seen->list, 1));
        seen->list.token[seen->list.count++] = tokens[i];
        seen->has[tokens[i]] = true;
    }
    return DT_OK;
}

/* --- the rules --- */

/* Does `a` go before `b`? */
static bool before(const candidate *a, const candidate *b)
{
    return a->score != b->score ? a->score > b->score : a->token < b->token;
}

static int by_rank(const void *a, const void *b) { return before(a, b) ? -1 : 1; }

static dt_status take_logits(dt_sampler *s, const float *logits)
{
    bool any = false;
    for (int64_t i = 0; i < s->vocabulary; i++) {
        if (isnan(logits[i]) || logits[i] == INFINITY)
            return dt_fail(DT_ERR_NUMERIC, "the model's logit of token %lld is not finite", (long long)i);
        any |= logits[i] > -INFINITY;
        s->candidate[i] = (candidate){logits[i], (int32_t)i};
    }
    return any ? DT_OK : dt_fail(DT_ERR_NUMERIC, "the model gives no token a chance: all logits are -inf");
}

static void penalise(dt_sampler *s, const dt_tokens *seen)
{
    for (int64_t i = 0; i < seen->count; i++) {
        double *score = &s->candidate[seen->token[i]].score;
        *score = *score > 0 ? *score / s->by.repetition_penalty : *score * s->by.repetition_penalty;
    }
}

static int32_t most_likely(const dt_sampler *s)
{
    const candidate *best = s->candidate;
    for (int64_t i = 1; i < s->vocabulary; i++)
        if (before(&s->candidate[i], best)) best = &s->candidate[i];
    return best->token;
}

/* Restores a heap of `count`, its last in rank on top, when only the one at `at` stands wrong. */
static void sift(candidate *heap, int64_t count, int64_t at)
{
    for (int64_t child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && before(&heap[child], &heap[child + 1])) child++;
        if (!before(&heap[at], &heap[child])) return;
        candidate other = heap[at];
        heap[at] = heap[child];
        heap[child] = other;
    }
}

/* The first k in rank stand in front then, in no order. Returns how many are left. */
static int64_t keep_top_k(const dt_sampler *s, int64_t count)
{
    int64_t k = s->by.top_k;
    if (!k || k >= count) return count;
    for (int64_t i = k / 2; i-- > 0;) sift(s->candidate, k, i);
    for (int64_t i = k; i < count; i++) {
        if (!before(&s->candidate[i], s->candidate)) continue;
        s->candidate[0] = s->candidate[i];
        sift(s->candidate, k, 0);
    }
    return k;
}

/* Logits become probabilities but for a common factor; returns that of all together. */
static double exponentiate(const dt_sampler *s, int64_t count)
{
    double top = -INFINITY, total = 0;
    for (int64_t i = 0; i < count; i++) top = fmax(top, s->candidate[i].score);
    for (int64_t i = 0; i < count; i++)
        total += s->candidate[i].score = exp((s->candidate[i].score - top) / s->by.temperature);
    return total;
}

/* What all those have together that are each below (1 - p) / count is below 1 - p, so they need not be sorted. */
static int64_t keep_top_p(const dt_sampler *s, int64_t count, double *total)
{
    double least = (1 - s->by.top_p) / (double)count * *total, wanted = s->by.top_p * *total, sum = 0;
    int64_t left = 0, taken = 0;
    if (s->by.top_p >= 1) return count;
    for (int64_t i = 0; i < count; i++)
        if (s->candidate[i].score >= least) s->candidate[left++] = s->candidate[i];
    qsort(s->candidate, (size_t)left, sizeof *s->candidate, by_rank);
    while (taken < left && (taken == 0 || sum < wanted)) sum += s->candidate[taken++].score;
    *total = sum;
    return taken;
}

static int32_t draw(const dt_sampler *s, int64_t count, double total, uint64_t text, uint64_t number)
{
    double at = dt_random_uniform(s->by.seed, DT_PURPOSE_GENERATE, text, 0, number) * total, sum = 0;
    int64_t i = 0, last = 0;
    for (; i < count; i++) {
        if (s->candidate[i].score > 0) last = i;
        if (at < (sum += s->candidate[i].score)) break;
    }
    return s->candidate[i < count ? i : last].token; /* the sum may round to less than the total */
}

dt_status dt_sampler_draw(dt_sampler *s, int64_t sequence, const float *logits, uint64_t text, uint64_t number,
                          int32_t *out)
{
    DT_TRY(take_logits(s, logits));
    penalise(s, &s->seen[sequence].list);
    if (s->by.temperature == 0) {
        *out = most_likely(s);
        return DT_OK;
    }
    int64_t left = keep_top_k(s, s->vocabulary);
    double total = exponentiate(s, left);
    left = keep_top_p(s, left, &total);
    *out = draw(s, left, total, text, number);
    return DT_OK;
}
