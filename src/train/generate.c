/* Each sequence of the generator holds one text at a time; a text that is done gives it to the next prompt. */
#include "train/generate.h"

#include <stdlib.h>
#include <string.h>

#include "train/generator.h"

/* --- settings --- */

static const dt_setting_row rows[] = {
    {"generate.tokens", DT_SETTING_INT, "256", 1, 1 << 30, .help = "tokens that a prompt is followed by, at most"},
    {"generate.temperature", DT_SETTING_REAL, "0.8", 0, 100,
     .help = "what logits are divided by: less is more likely text; 0: always the most likely token"},
    {"generate.top_k", DT_SETTING_INT, "0", 0, 1 << 24, .help = "draw from the so many most likely tokens; 0: all"},
    {"generate.top_p", DT_SETTING_REAL, "0.95", 0, 1,
     .help = "draw from the fewest tokens that together are so probable; 1: all"},
    {"generate.repetition_penalty", DT_SETTING_REAL, "1", 0.01, 100,
     .help = "makes tokens that the text already has less likely; 1: not"},
    {"generate.batch", DT_SETTING_INT, "8", 1, 1 << 16, .help = "prompts of a file that are worked on side by side"},
};

const dt_setting_table dt_generate_settings = {rows, sizeof rows / sizeof *rows};

dt_generate_options dt_generate_read(const dt_settings *settings)
{
    return (dt_generate_options){
        .sampling = {.temperature = dt_setting_real(settings, "generate.temperature"),
                     .top_k = dt_setting_int(settings, "generate.top_k"),
                     .top_p = dt_setting_real(settings, "generate.top_p"),
                     .repetition_penalty = dt_setting_real(settings, "generate.repetition_penalty"),
                     .seed = (uint64_t)dt_setting_int(settings, "seed")},
        .tokens = dt_setting_int(settings, "generate.tokens"),
        .end = -1};
}

/* --- the loop --- */

typedef struct sequence {
    int64_t text;  /* number of its prompt; -1: free */
    dt_tokens all; /* the prompt and what was drawn */
    int64_t first; /* of these, what its cache begins with */
    int64_t drawn;
} sequence;

typedef struct generation {
    const dt_generate_options *options;
    const dt_tokens *prompts;
    int64_t count, next; /* prompts; the next to begin */
    int64_t sequences;
    sequence *sequence;
    const int32_t **pending; /* what is to be added to each sequence */
    int64_t *pending_count;
    dt_generator *generator;
    dt_sampler *sampler;
} generation;

static dt_status begin_text(generation *g, int64_t i)
{
    sequence *s = &g->sequence[i];
    const dt_tokens *prompt = &g->prompts[g->next];
    s->all.count = s->first = s->drawn = 0;
    DT_TRY(dt_tokens_reserve(&s->all, prompt->count));
    memcpy(s->all.token, prompt->token, (size_t)prompt->count * sizeof *prompt->token);
    s->all.count = prompt->count;
    s->text = g->next++;
    dt_sampler_clear(g->sampler, i);
    return dt_sampler_add(g->sampler, i, prompt->token, prompt->count);
}

/* What a sequence's cache lacks of its text; where that has no room, of the last half of a context of it. */
static void find_pending(generation *g, int64_t i)
{
    sequence *s = &g->sequence[i];
    int64_t capacity = dt_generator_capacity(g->generator);
    g->pending_count[i] = 0;
    if (s->text < 0) return;
    if (s->all.count - s->first > capacity) {
        dt_generator_clear(g->generator, i);
        s->first = s->all.count - (capacity > 1 ? capacity / 2 : 1);
    }
    int64_t there = s->first + dt_generator_length(g->generator, i);
    g->pending[i] = s->all.token + there;
    g->pending_count[i] = s->all.count - there;
}

static dt_status end_text(generation *g, int64_t i, bool ended)
{
    DT_TRY(g->options->done(g->options->context, g->sequence[i].text, ended));
    g->sequence[i].text = -1;
    dt_generator_clear(g->generator, i);
    return DT_OK;
}

static dt_status draw_token(generation *g, int64_t i)
{
    sequence *s = &g->sequence[i];
    int32_t token;
    DT_TRY(dt_sampler_draw(g->sampler, i, dt_generator_logits(g->generator, i), (uint64_t)s->text, (uint64_t)s->drawn,
                           &token));
    if (token == g->options->end) return end_text(g, i, true);
    DT_TRY(g->options->token(g->options->context, s->text, token));
    DT_TRY(dt_tokens_reserve(&s->all, 1));
    s->all.token[s->all.count++] = token;
    DT_TRY(dt_sampler_add(g->sampler, i, &token, 1));
    return ++s->drawn < g->options->tokens ? DT_OK : end_text(g, i, false);
}

static dt_status run(generation *g)
{
    for (;;) {
        bool any = false;
        for (int64_t i = 0; i < g->sequences; i++) {
            if (g->sequence[i].text < 0 && g->next < g->count) DT_TRY(begin_text(g, i));
            find_pending(g, i);
            any |= g->sequence[i].text >= 0;
        }
        if (!any) return DT_OK;
        DT_TRY(dt_generator_add(g->generator, g->pending, g->pending_count));
        for (int64_t i = 0; i < g->sequences; i++)
            if (g->sequence[i].text >= 0) DT_TRY(draw_token(g, i));
    }
}

static dt_status check_prompt(const dt_session *session, const dt_tokens *prompt, int64_t number)
{
    dt_model_dims dims = dt_model_dims_of(dt_session_model(session));
    if (!prompt->count) return dt_fail(DT_ERR_USAGE, "prompt %lld is empty", (long long)number);
    if (prompt->count > dims.tokens)
        return dt_fail(DT_ERR_USAGE, "prompt %lld has %lld tokens, beyond the model's context of %lld",
                       (long long)number, (long long)prompt->count, (long long)dims.tokens);
    for (int64_t t = 0; t < prompt->count; t++)
        if (prompt->token[t] < 0 || prompt->token[t] >= dims.classes)
            return dt_fail(DT_ERR_USAGE, "prompt %lld has token %d, but the model's vocabulary is %lld: is it another "
                           "tokenizer's?", (long long)number, (int)prompt->token[t], (long long)dims.classes);
    return DT_OK;
}

static dt_status prepare(generation *g, dt_session *session)
{
    DT_TRY(dt_session_check_vocabulary(session, g->options->vocabulary));
    for (int64_t i = 0; i < g->count; i++) DT_TRY(check_prompt(session, &g->prompts[i], i + 1));
    g->sequence = calloc((size_t)g->sequences, sizeof *g->sequence);
    g->pending = calloc((size_t)g->sequences, sizeof *g->pending);
    g->pending_count = calloc((size_t)g->sequences, sizeof *g->pending_count);
    if (!g->sequence || !g->pending || !g->pending_count)
        return dt_fail_memory((size_t)g->sequences * sizeof *g->sequence, "the texts");
    for (int64_t i = 0; i < g->sequences; i++) g->sequence[i].text = -1;
    DT_TRY(dt_sampler_create(&g->options->sampling, g->options->vocabulary, g->sequences, &g->sampler));
    return dt_generator_create(session, &g->generator);
}

dt_status dt_generate(dt_session *session, const dt_tokens *prompts, int64_t count, const dt_generate_options *options)
{
    generation g = {.options = options, .prompts = prompts, .count = count};
    g.sequences = session->options.sequences;
    dt_status status = prepare(&g, session);
    if (!status) status = run(&g);
    dt_generator_free(g.generator);
    dt_sampler_free(g.sampler);
    for (int64_t i = 0; g.sequence && i < g.sequences; i++) free(g.sequence[i].all.token);
    free(g.sequence);
    free(g.pending);
    free(g.pending_count);
    return status;
}
